/* Rules of the judge that decide in few ledgers: each test has one that tells otherwise without the
 * rule. */
#include "cli_check.h"

#include "pairing_world.h"

#include <math.h>

#define TICK (START + MILLI) /* of the clock that stamps what is done */

static struct bl_class *class_of(struct world *w)
{
    return synth_record(w->synth, BL_SECTION_CLASSES, w->class);
}

static struct bl_object *object(struct world *w, uint32_t number)
{
    return synth_record(w->synth, BL_SECTION_OBJECTS, number);
}

static uint32_t next_object(const struct world *w)
{
    size_t length = w->synth->sections[BL_SECTION_OBJECTS].length;
    return length ? (uint32_t)(length / sizeof(struct bl_object)) : 1;
}

/* ---- pairs ---- */

START_TEST(of_one_buffer_who_gave_back_nearly_all_lacks_nothing_where_another_lacks_more)
{
    struct world *w = make_world();
    uint32_t often = at(w, w->loop, 0x200);
    uint32_t seldom = at(w, w->loop, 0x300);
    uint32_t use = at(w, often, 0x210);
    uint32_t used = at(w, often, 0x220);
    uint32_t keep = at(w, seldom, 0x310);
    uint32_t drop = at(w, seldom, 0x320);
    live(w, 1, START + SECOND, START + SECOND,
         OPS(ALLOC(at(w, w->main_frame, 0x100)),
             {.op = BL_OP_RETAIN, .stack = use, .delta = 1, .folded = 32},
             {.op = BL_OP_RELEASE, .stack = used, .delta = -1, .folded = 31},
             {.op = BL_OP_RETAIN, .stack = keep, .delta = 1, .folded = 40}, RELEASE(drop),
             RELEASE(at(w, w->main_frame, 0x160))));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x310)->finding->refs_max, 40);
    finish(w);
}
END_TEST

START_TEST(what_adds_up_on_one_buffer_adds_up_on_others_of_its_pool)
{
    for (unsigned often = 5; often <= 20; often += 15) {
        struct world *w = make_world();
        uint32_t fill = at(w, w->main_frame, 0x100);
        uint32_t keep = at(w, w->loop, 0x210);
        for (unsigned i = 0; i < 24; i++) {
            struct synth_op ops[] = {ALLOC(fill), RETAIN(keep)};
            ops[1].folded = i % 2 ? often : 9;
            ops[1].time_ns = END - SECOND;
            synth_object(w->synth, w->class, 1000, START + i * MILLI, ops, 2);
        }
        done(w, 5000, 2 * MILLI, OPS(ALLOC(at(w, w->loop, 0x300)), LAST(at(w, w->loop, 0x310))));
        judge(w);
        if (often == 20)
            ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x210)->count, 24);
        else
            ck_assert_uint_eq(left_alone(w, BL_GROUND_STEADY)->count, 24);
        finish(w);
    }
}
END_TEST

/* Siblings were retained at 0x120 only, and at 0x110 as well. What was released at the end can have
 * been either's, unless it is in the same part of the program as one of them. */
START_TEST(what_siblings_did_not_take_may_have_lacked_the_release_as_well)
{
    for (unsigned is_near = 0; is_near < 2; is_near++) {
        struct world *w = make_world();
        uint32_t serve = at(w, w->loop, 0x30);
        uint32_t make = at(w, serve, 0x100);
        uint32_t one = at(w, is_near ? at(w, serve, 0x40) : serve, 0x110);
        uint32_t other = at(w, serve, 0x120);
        uint32_t own = at(w, serve, 0x130);
        uint32_t pushed = at(w, at(w, serve, 0x50), 0x150);
        uint32_t drained =
            is_near ? at(w, at(w, serve, 0x40), 0x160) : at(w, at(w, w->main_frame, 0x60), 0x160);
        live(w, 20, START + SECOND, END - SECOND,
             OPS(ALLOC(make), RETAIN(one), RETAIN(other), RELEASE(own), RELEASE(drained)));
        done(w, 5000, 2 * MILLI, OPS(ALLOC(make), RETAIN(other), RELEASE(own), LAST(pushed)));
        judge(w);
        const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x120);
        ck_assert_uint_eq(group->count, 20);
        ck_assert_int_eq(group->finding->rival == BL_RIVAL_ANY, !is_near);
        finish(w);
    }
}
END_TEST

/* A stage retains what it is given, and hands it on. A later callback, which siblings had, and the
 * next stage give back one reference each: nothing shows which. Where the stage itself gives back
 * one, that is its own. */
START_TEST(a_later_release_is_tied_to_no_acquire_before_a_stage_that_hands_on)
{
    for (unsigned is_own = 0; is_own < 2; is_own++) {
        struct world *w = make_world();
        uint32_t serve = at(w, w->loop, 0x30);
        uint32_t make = at(w, serve, 0x100);
        uint32_t stage = at(w, serve, 0x110);
        uint32_t taken = at(w, stage, 0x200);
        uint32_t given = is_own ? at(w, stage, 0x220) : at(w, at(w, stage, 0x220), 0x300);
        uint32_t later = at(w, at(w, w->main_frame, 0x60), 0x400);
        live(w, 20, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(taken), RELEASE(given)));
        done(w, 5000, 2 * MILLI, OPS(ALLOC(make), RETAIN(taken), RELEASE(given), LAST(later)));
        judge(w);
        const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
        ck_assert_uint_eq(group->count, 20);
        ck_assert_int_eq(group->finding->rival == BL_RIVAL_ANY, !is_own);
        finish(w);
    }
}
END_TEST

START_TEST(two_references_of_one_line_that_the_same_buffers_lack_are_one_finding)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t first = at(w, at(w, w->loop, 0x110), 0x88);
    uint32_t second = at(w, at(w, w->loop, 0x120), 0x88);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 100, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(first), RETAIN(second), RELEASE(end)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x88);
    ck_assert_uint_eq(group->count, 100);
    ck_assert_uint_eq(group->bytes, 100000);
    ck_assert_uint_eq(group->finding->refs_min, 2);
    ck_assert_uint_eq(group->finding->refs_max, 2);
    finish(w);
}
END_TEST

START_TEST(what_siblings_keep_to_their_end_is_missed_where_they_have_not_ended)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x110);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 100, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), RETAIN(keep), LAST(end)));
    judge(w);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 100);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x110)->count, 100);
    finish(w);
}
END_TEST

/* ---- who is judged ---- */

START_TEST(a_live_buffer_that_was_released_too_often_is_accused_of_that_alone)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    live(
        w, 20, START + SECOND, END - SECOND,
        OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x110)), RELEASE(end), OVER(at(w, w->loop, 0x190))));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_OVER_RELEASE, 0x190)->count, 20);
    finish(w);
}
END_TEST

START_TEST(a_class_seen_in_part_accuses_nobody_until_one_has_ended)
{
    for (unsigned is_any = 0; is_any < 2; is_any++) {
        struct world *w = make_world();
        uint32_t make = at(w, w->loop, 0x100);
        class_of(w)->flags |= BL_CLASS_PARTIAL;
        uint32_t first = next_object(w);
        live(w, 100, START + SECOND, END - SECOND, OPS(ALLOC(make)));
        for (uint32_t i = 0; i < 100; i++)
            object(w, first + i)->flags |= BL_OBJECT_HELD;
        if (is_any)
            done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
        judge(w);
        if (is_any)
            ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 100);
        else
            ck_assert_uint_eq(left_alone(w, BL_GROUND_PARTIAL)->count, 100);
        finish(w);
    }
}
END_TEST

START_TEST(of_a_class_whose_counting_is_not_seen_no_reference_is_named)
{
    for (unsigned is_seen = 0; is_seen < 2; is_seen++) {
        struct world *w = make_world();
        uint32_t make = at(w, w->loop, 0x100);
        class_of(w)->flags |= is_seen ? 0 : BL_CLASS_INLINED;
        live(w, 100, START + SECOND, END - SECOND, OPS(ALLOC(make)));
        done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
        judge(w);
        const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
        const struct bl_finding *finding = group->finding;
        ck_assert_uint_eq(group->count, 100);
        ck_assert_uint_eq(finding->refs_max, is_seen);
        ck_assert_double_gt(finding->confidence, 0.95);
        ck_assert_uint_eq(offset_of(w, is_seen ? finding->expected_frame : finding->ended_frame),
                          0x180);
        ck_assert_uint_eq(is_seen ? finding->ended_frame : finding->expected_frame, 0);
        ck_assert_int_eq(strstr(finding->note, "little evidence which reference") == NULL, is_seen);
        finish(w);
    }
}
END_TEST

START_TEST(beside_what_is_made_to_stay_another_reference_can_be_missing)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t stay = inside(w, at(w, w->loop, 0x110), 0x1008);
    uint32_t end = at(w, w->loop, 0x180);
    synth_lasting(w->synth, "/usr/lib/libbuf.so.1", 0x1000, 0x20, 0);
    live(w, 100, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(stay), RETAIN(at(w, w->loop, 0x120)), RELEASE(end)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x120)->count, 100);
    finish(w);
}
END_TEST

START_TEST(what_is_made_to_stay_and_given_back_there_keeps_nothing)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t call = at(w, w->loop, 0x110);
    synth_lasting(w->synth, "/usr/lib/libbuf.so.1", 0x1000, 0x20, 0);
    live(w, 100, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(inside(w, call, 0x1008)), RELEASE(inside(w, call, 0x1010))));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 100);
    finish(w);
}
END_TEST

START_TEST(what_siblings_had_for_seconds_is_not_stale_after_twenty)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    make_live(w);
    live(w, 5, END - 20 * SECOND, END - 19 * SECOND, OPS(ALLOC(make)));
    done(w, 5000, 5 * SECOND, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(accusations(w), 0);
    finish(w);
}
END_TEST

/* ---- what holds what ---- */

START_TEST(what_a_leaked_buffer_of_its_class_holds_is_its_part)
{
    struct world *w = make_world();
    uint32_t outer = at(w, w->loop, 0x100);
    uint32_t inner = at(w, w->loop, 0x200);
    uint32_t first = next_object(w);
    live(w, 50, START + SECOND, END - SECOND, OPS(ALLOC(outer)));
    live(w, 50, START + 2 * SECOND, END - SECOND, OPS(ALLOC(inner)));
    for (uint32_t i = 0; i < 50; i++) {
        object(w, first + 50 + i)->flags |= BL_OBJECT_HOLDER;
        object(w, first + 50 + i)->field = (int32_t)object(w, first + i)->address;
    }
    done(w, 5000, 2 * MILLI, OPS(ALLOC(outer), LAST(at(w, w->loop, 0x180))));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(inner), LAST(at(w, w->loop, 0x280))));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(group->count, 50);
    ck_assert_uint_eq(group->finding->part_count, 1);
    ck_assert_uint_eq(group->finding->parts[0].count, 50);
    finish(w);
}
END_TEST

START_TEST(what_a_few_leaked_ones_hold_goes_with_them_and_the_others_are_accused)
{
    struct world *w = make_world();
    uint32_t outer = at(w, w->loop, 0x100);
    uint32_t inner = at(w, w->loop, 0x200);
    uint32_t first = next_object(w);
    live(w, 20, START + SECOND, END - SECOND, OPS(ALLOC(outer)));
    live(w, 50, START + 2 * SECOND, END - SECOND, OPS(ALLOC(inner)));
    for (uint32_t i = 0; i < 20; i++) {
        object(w, first + 20 + i)->flags |= BL_OBJECT_HOLDER;
        object(w, first + 20 + i)->field = (int32_t)object(w, first + i)->address;
    }
    done(w, 5000, 2 * MILLI, OPS(ALLOC(outer), LAST(at(w, w->loop, 0x180))));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(inner), LAST(at(w, w->loop, 0x280))));
    judge(w);
    const struct bl_group *group = find(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(group->count, 20);
    ck_assert_uint_eq(group->finding->part_count, 1);
    ck_assert_uint_eq(group->finding->parts[0].count, 20);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x200)->count, 30);
    finish(w);
}
END_TEST

static void holds(struct world *w, uint32_t holder, uint32_t held)
{
    object(w, held)->flags |= BL_OBJECT_HOLDER;
    object(w, held)->field = (int32_t)object(w, holder)->address;
}

/* Slices of buffers that are told with them; others were made where those were, and all of that
 * place ended inside the end of a slice. */
START_TEST(what_no_buffer_is_named_to_hold_is_told_beside_what_the_leaked_ones_hold)
{
    const uint32_t forgotten[] = {20, 70};
    for (size_t i = 0; i < 2; i++) {
        struct world *w = make_world();
        uint32_t slice = at(w, w->loop, 0x100);
        uint32_t read = at(w, w->loop, 0x200);
        uint32_t held = inside(w, slice, 0x44);
        uint32_t end = at(w, w->loop, 0x180);
        uint32_t passed_on = at(w, w->loop, 0x280);
        uint32_t first = next_object(w);
        live(w, 80, START + SECOND, END - SECOND, OPS(ALLOC(slice)));
        live(w, 80, START + SECOND, END - SECOND,
             OPS(ALLOC(read), RETAIN(held), RELEASE(passed_on)));
        for (uint32_t k = 0; k < 80; k++)
            holds(w, first + k, first + 80 + k);
        live(w, forgotten[i], START + 2 * SECOND, END - SECOND, OPS(ALLOC(read)));
        done(w, 5000, 2 * MILLI, OPS(ALLOC(slice), LAST(end)));
        done(w, 5000, 2 * MILLI,
             OPS(ALLOC(read), RETAIN(held), RELEASE(passed_on), LAST(inside(w, end, 0x55))));
        judge(w);
        const struct bl_group *group = find(w, BL_VERDICT_MISSING_RELEASE, 0x100);
        ck_assert_uint_eq(group->count, 80);
        ck_assert_uint_eq(group->finding->parts[0].count, 80);
        ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x200)->count, forgotten[i]);
        ck_assert_uint_eq(accusations(w), 2);
        finish(w);
    }
}
END_TEST

/* Each owner holds one of what is made at 0x300, and that one of what is made at 0x400. */
START_TEST(what_owners_of_two_kinds_hold_goes_with_either)
{
    struct world *w = make_world();
    const uint32_t counts[] = {40, 15};
    uint32_t first = next_object(w);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t make = at(w, w->loop, 0x100 + i * 0x100);
        live(w, counts[i], START + SECOND, END - SECOND, OPS(ALLOC(make)));
        done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180 + i * 0x100))));
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t make = at(w, w->loop, 0x300 + i * 0x100);
        live(w, 55, START + 2 * SECOND, END - SECOND, OPS(ALLOC(make)));
        done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x380 + i * 0x100))));
    }
    for (uint32_t i = 0; i < 55; i++) { /* in another order than they were made in */
        holds(w, first + i * 7 % 55, first + 55 + i);
        holds(w, first + 55 + i, first + 110 + i * 3 % 55);
    }
    judge(w);
    for (uint32_t i = 0; i < 2; i++) {
        const struct bl_group *group = find(w, BL_VERDICT_MISSING_RELEASE, 0x100 + i * 0x100);
        ck_assert_uint_eq(group->count, counts[i]);
        ck_assert_uint_eq(group->finding->part_count, 1);
        ck_assert_uint_eq(group->finding->parts[0].count, 2 * counts[i]);
    }
    ck_assert_uint_eq(accusations(w), 2);
    finish(w);
}
END_TEST

/* Fifty buffers that another one holds by a reference of the library, and that their user retained
 * himself at 0x300; siblings gave that back at 0x380. */
static void make_retained_parts(struct world *w, bool is_forgotten)
{
    uint32_t outer = at(w, w->loop, 0x100);
    uint32_t inner = at(w, w->loop, 0x200);
    uint32_t held = inside(w, outer, 0x44);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t own = at(w, w->loop, 0x300);
    uint32_t given_back = at(w, w->loop, 0x380);
    uint32_t first = next_object(w);
    live(w, 50, START + SECOND, END - SECOND, OPS(ALLOC(outer)));
    if (is_forgotten)
        live(w, 50, START + 2 * SECOND, END - SECOND,
             OPS(ALLOC(inner), RETAIN(held), RETAIN(own), RELEASE(at(w, w->loop, 0x280))));
    else
        live(w, 50, START + 2 * SECOND, END - SECOND,
             OPS(ALLOC(inner), RETAIN(held), RETAIN(own), RELEASE(given_back),
                 RELEASE(at(w, w->loop, 0x280))));
    for (uint32_t i = 0; i < 50; i++) {
        object(w, first + 50 + i)->flags |= BL_OBJECT_HOLDER;
        object(w, first + 50 + i)->field = (int32_t)object(w, first + i)->address;
    }
    done(w, 5000, 2 * MILLI, OPS(ALLOC(outer), LAST(end)));
    done(w, 5000, 2 * MILLI,
         OPS(ALLOC(inner), RETAIN(held), RETAIN(own), RELEASE(given_back),
             RELEASE(at(w, w->loop, 0x280)), LAST(inside(w, end, 0x55))));
    judge(w);
}

START_TEST(what_a_user_retained_himself_is_no_part_of_what_holds_it_by_another_reference)
{
    struct world *w = make_world();
    make_retained_parts(w, true);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x100)->finding->parts[0].count, 50);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x300)->count, 50);
    ck_assert_uint_eq(accusations(w), 2);
    finish(w);
    w = make_world();
    make_retained_parts(w, false);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(group->finding->parts[0].count, 50);
    finish(w);
}
END_TEST

/* Fifty leaked buffers, ten seconds apart, of which siblings gave back one other each; beside each
 * two others were left, of which the second was made so long after it. */
static const struct bl_finding *judge_surplus(struct world *w, uint64_t later_ns)
{
    uint32_t memory = synth_class(w->synth, "mem");
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t fill = at(w, w->loop, 0x200);
    uint32_t end = at(w, w->loop, 0x180);
    uint64_t from = START + 10 * SECOND;
    synth_refcounted(w->synth, memory, "libbuf.so*");
    live(w, 50, from, from + 490 * SECOND, OPS(ALLOC(make)));
    live_in(w, memory, 50, from + 1000, from + 490 * SECOND + 1000, OPS(ALLOC(fill)));
    live_in(w, memory, 50, from + later_ns, from + 490 * SECOND + later_ns, OPS(ALLOC(fill)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    synth_lifecycle(w->synth, memory, 5000, 2 * MILLI, END - SECOND,
                    OPS(ALLOC(fill), LAST(inside(w, end, 0x55))));
    judge(w);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x100)->finding->parts[0].count, 50);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x200)->count, 50);
    return find(w, BL_VERDICT_MISSING_RELEASE, 0x200)->finding;
}

START_TEST(what_leaked_ones_may_hold_beyond_their_siblings_is_little_evidence_unless_born_elsewhere)
{
    struct world *w = make_world();
    const struct bl_finding *near = judge_surplus(w, 2000);
    ck_assert_int_eq(strncmp(near->note, "little evidence", 15), 0);
    ck_assert_double_le(near->confidence, 0.5);
    finish(w);
    w = make_world();
    const struct bl_finding *elsewhere = judge_surplus(w, 5 * SECOND);
    ck_assert_int_ne(strncmp(elsewhere->note, "little evidence", 15), 0);
    ck_assert_double_ge(elsewhere->confidence, 0.9);
    finish(w);
}
END_TEST

/* Fifty leaked buffers, ten seconds apart, and so many that are made inside the same call, each so
 * long after one of them. */
static void make_with_parts(struct world *w, uint64_t count, int64_t later_ns)
{
    uint32_t memory = synth_class(w->synth, "mem");
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t fill = inside(w, make, 0x33);
    uint64_t from = START + 10 * SECOND;
    uint64_t parts_from = from + (uint64_t)later_ns;
    synth_refcounted(w->synth, memory, "libbuf.so*");
    live(w, 50, from, from + 490 * SECOND, OPS(ALLOC(make)));
    live_in(w, memory, count, parts_from, parts_from + (count - 1) * 10 * SECOND, OPS(ALLOC(fill)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    synth_lifecycle(w->synth, memory, 5000, 2 * MILLI, END - SECOND,
                    OPS(ALLOC(fill), LAST(at(w, w->loop, 0x190))));
    judge(w);
}

START_TEST(what_is_made_in_one_call_is_a_part_only_if_it_is_made_with_each)
{
    static const struct {
        uint64_t count;
        int64_t later_ns;
        bool is_part;
    } all[] = {
        {50, (int64_t)MILLI, true},
        {50, -5 * (int64_t)SECOND, false},
        {50, 5 * (int64_t)SECOND, false},
        {36, (int64_t)MILLI, false},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct world *w = make_world();
        make_with_parts(w, all[i].count, all[i].later_ns);
        const struct bl_finding *finding = find(w, BL_VERDICT_MISSING_RELEASE, 0x100)->finding;
        ck_assert_uint_eq(finding->part_count, all[i].is_part);
        ck_assert_uint_eq(accusations(w), all[i].is_part ? 1 : 2);
        finish(w);
    }
}
END_TEST

/* A machine that has other things to do lets time go by in the middle of a call; births are in the
 * same order. */
START_TEST(what_is_made_in_one_call_is_a_part_however_long_that_takes)
{
    for (int is_late = 0; is_late < 2; is_late++) {
        struct world *w = make_world();
        uint32_t memory = synth_class(w->synth, "mem");
        uint32_t make = at(w, w->loop, 0x100);
        uint32_t first = next_object(w);
        uint64_t from = START + 10 * SECOND;
        synth_refcounted(w->synth, memory, "libbuf.so*");
        live(w, 50, from, from + 490 * SECOND, OPS(ALLOC(make)));
        live_in(w, memory, 50, from - 3 * SECOND, from + 487 * SECOND,
                OPS(ALLOC(inside(w, make, 0x33))));
        for (uint32_t i = 0; i < 50; i++)
            object(w, first + 50 + i)->birth =
                object(w, first + i)->birth + (is_late ? 3 : (uint32_t)-3);
        done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
        synth_lifecycle(w->synth, memory, 5000, 2 * MILLI, END - SECOND,
                        OPS(ALLOC(inside(w, make, 0x33)), LAST(at(w, w->loop, 0x190))));
        judge(w);
        const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
        ck_assert_uint_eq(group->finding->part_count, 1);
        finish(w);
    }
}
END_TEST

/* A call at 0x100 parses a text: it makes lists, and strings in them. Strings end where lists do,
 * for both are in objects, and strings in lists inside the end of those. Some of the lists and, at
 * 0x300, strings are forgotten. */
START_TEST(of_what_one_call_makes_only_that_is_held_by_another_that_ended_inside_its_end)
{
    struct world *w = make_world();
    uint32_t parse = at(w, w->loop, 0x100);
    uint32_t list = inside(w, parse, 0x10);
    uint32_t in_list = inside(w, inside(w, parse, 0x20), 0x30);
    uint32_t object_made = inside(w, parse, 0x40);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t in_object = inside(w, end, 0x50);
    uint32_t string = at(w, w->loop, 0x300);
    uint64_t from = START + 10 * SECOND;
    live(w, 40, from, from + 390 * SECOND, OPS(ALLOC(list)));
    live(w, 40, from + 2000, from + 390 * SECOND + 2000, OPS(ALLOC(in_list)));
    live(w, 70, from + SECOND, from + 346 * SECOND, OPS(ALLOC(string)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(object_made), LAST(end)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(list), LAST(in_object)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(string), LAST(in_object)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(in_list), LAST(inside(w, in_object, 0x60))));
    judge(w);
    const struct bl_group *lists = find(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(accusations(w), 2);
    ck_assert_uint_eq(lists->count, 40);
    ck_assert_uint_eq(lists->finding->part_count, 1);
    ck_assert_uint_eq(lists->finding->parts[0].count, 40);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x300)->count, 70);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x300)->finding->part_count, 0);
    finish(w);
}
END_TEST

/* Thirty leaked owners, and as many others, each made so long after one of them. Of siblings of
 * these most were released by their user, the others by what held them. */
static void make_with_left(struct world *w, uint64_t later_ns)
{
    uint32_t memory = synth_class(w->synth, "mem");
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t fill = at(w, w->loop, 0x200);
    uint32_t look = at(w, w->loop, 0x220);
    uint32_t end = at(w, w->loop, 0x180);
    uint64_t from = START + 10 * SECOND;
    synth_refcounted(w->synth, memory, "libbuf.so*");
    live(w, 30, from, from + 600 * SECOND, OPS(ALLOC(make)));
    live_in(w, memory, 30, from + later_ns, from + 600 * SECOND + later_ns, OPS(ALLOC(fill)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    synth_lifecycle(w->synth, memory, 3000, 2 * MILLI, END - SECOND,
                    OPS(ALLOC(fill), LAST(at(w, w->loop, 0x280))));
    synth_lifecycle(
        w->synth, memory, 2000, 2 * MILLI, END - SECOND,
        OPS(ALLOC(fill), RETAIN(look), RELEASE(at(w, w->loop, 0x228)), LAST(inside(w, end, 0x55))));
    judge(w);
}

START_TEST(
    what_some_siblings_left_to_their_owners_is_a_part_of_leaked_ones_that_it_was_born_near_to)
{
    struct world *w = make_world();
    make_with_left(w, 3 * MILLI);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(group->finding->part_count, 1);
    ck_assert_uint_eq(group->finding->parts[0].estimate, 30);
    finish(w);
    w = make_world();
    make_with_left(w, 9 * SECOND);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x200)->count, 30);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x100)->finding->part_count, 0);
    finish(w);
}
END_TEST

/* Thirty leaked owners that hold something whose birth was not seen, which holds another buffer. */
START_TEST(what_was_not_seen_to_be_born_is_a_link_between_a_leaked_owner_and_its_parts)
{
    struct world *w = make_world();
    uint32_t session = synth_class(w->synth, "session");
    uint32_t memory = synth_class(w->synth, "mem");
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t fill = at(w, w->loop, 0x200);
    uint32_t take = at(w, w->loop, 0x240);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t session_end = inside(w, end, 0x44);
    uint64_t from = START + 10 * SECOND;
    synth_refcounted(w->synth, session, "libbuf.so*");
    synth_refcounted(w->synth, memory, "libbuf.so*");
    live(w, 30, from, from + 600 * SECOND, OPS(ALLOC(make)));
    live_in(w, session, 30, from + MILLI, from + 600 * SECOND + MILLI,
            OPS(ALLOC(0), RETAIN(take), RELEASE(at(w, w->loop, 0x248))));
    live_in(w, memory, 30, from + 2 * MILLI, from + 600 * SECOND + 2 * MILLI, OPS(ALLOC(fill)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    synth_lifecycle(w->synth, session, 5000, 2 * MILLI, END - SECOND,
                    OPS(ALLOC(0), RETAIN(take), RELEASE(at(w, w->loop, 0x248)), LAST(session_end)));
    synth_lifecycle(w->synth, memory, 5000, 2 * MILLI, END - SECOND,
                    OPS(ALLOC(fill), LAST(inside(w, session_end, 0x55))));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(group->finding->part_count, 2);
    finish(w);
}
END_TEST

/* ---- who is left alone ---- */

/* The library takes a reference of what a child is made of, and keeps it while the child lives. */
START_TEST(what_was_taken_as_another_was_made_is_kept_by_that_one_while_it_lives)
{
    for (unsigned have_ended = 0; have_ended < 2; have_ended++) {
        struct world *w = make_world();
        uint32_t child = at(w, w->loop, 0x120);
        live(w, 1000, START + SECOND, END - SECOND,
             OPS(ALLOC(at(w, w->loop, 0x100)), RETAIN(at(w, w->loop, 0x110)),
                 RETAIN(inside(w, child, 0x900)), RELEASE(at(w, w->loop, 0x130)),
                 RELEASE(at(w, w->loop, 0x140))));
        live(w, have_ended ? 100 : 1000, START + SECOND + 2 * MILLI, END - SECOND + 2 * MILLI,
             OPS(ALLOC(child), RETAIN(at(w, w->loop, 0x150)), RELEASE(at(w, w->loop, 0x160))));
        done(w, 900, 2 * MILLI,
             OPS(ALLOC(at(w, w->main_frame, 0x400)), LAST(at(w, w->main_frame, 0x410))));
        judge(w);
        const struct bl_group *group = find(w, BL_VERDICT_MISSING_RELEASE, 0x150);
        ck_assert_uint_eq(group->count, have_ended ? 100 : 1000);
        ck_assert_uint_eq(accusations(w), have_ended ? 2 : 1);
        ck_assert_uint_eq(group->finding->part_count, have_ended ? 0 : 1);
        finish(w);
    }
}
END_TEST

START_TEST(one_in_use_that_lost_another_reference_does_not_lack_its_end_as_well)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t show = at(w, w->loop, 0x110);
    uint32_t shown = at(w, w->loop, 0x120);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 8, END - 80 * SECOND, END - 10 * SECOND,
         OPS(ALLOC(make), RETAIN(show), RELEASE(shown)));
    live(w, 4, END - 60 * SECOND, END - 30 * SECOND,
         OPS(ALLOC(make), RETAIN(show), RELEASE(shown), RETAIN(at(w, w->loop, 0x130))));
    done_between(w, 50000, 80 * SECOND, 100 * SECOND, START + 100 * SECOND, END - MILLI,
                 OPS(ALLOC(make), RETAIN(show), RELEASE(shown), LAST(end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x130)->count, 4);
    finish(w);
}
END_TEST

/* What a thread made just before the process ended, as others did that was released. */
static void make_at_end(struct world *w, uint32_t thread)
{
    uint32_t make = at(w, w->loop, 0x100);
    struct synth_op ops[] = {{.op = BL_OP_ALLOC, .stack = make, .delta = 1, .thread = thread}};
    live(w, 6, END - 2 * MILLI, END - MILLI, ops, 1);
    done(w, 3000, 4 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
}

START_TEST(only_a_thread_that_was_at_work_at_exit_may_have_been_about_to_release)
{
    struct world *w = make_world();
    make_at_end(w, w->worker);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 6);
    finish(w);
    w = make_world();
    make_at_end(w, w->main_thread);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 6);
    finish(w);
    w = make_world();
    struct bl_thread *thread = synth_record(w->synth, BL_SECTION_THREADS, w->worker);
    thread->flags = BL_THREAD_ENDED;
    thread->start_ns = START;
    thread->end_ns = END;
    make_at_end(w, w->worker);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 6);
    finish(w);
}
END_TEST

static uint32_t filled_late(uint32_t second)
{
    return second < 450 ? second * 2 / 9 : 100;
}

static uint32_t ever_slower(uint32_t second)
{
    return (uint32_t)(200 * (1 - exp(-(double)second / 300)));
}

/* A pool that was born evenly over so many seconds, and how its memory went. */
static void fill_pool(struct world *w, uint64_t seconds, uint32_t (*memory)(uint32_t second))
{
    uint32_t make = at(w, w->loop, 0x900);
    make_live(w);
    follow(w, make, memory);
    live(w, 100, START, START + seconds * SECOND, OPS(ALLOC(make)));
    done_between(w, 50000, MILLI, 2 * MILLI, START, END,
                 OPS(ALLOC(at(w, w->loop, 0x100)), LAST(at(w, w->loop, 0x180))));
    judge(w);
}

START_TEST(a_pool_that_filled_late_is_steady_where_that_was_seen_in_time)
{
    struct world *w = make_world();
    fill_pool(w, 450, filled_late);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_STEADY)->count, 100);
    finish(w);
}
END_TEST

START_TEST(what_was_seen_to_fill_ever_more_slowly_is_filling)
{
    struct world *w = make_world();
    fill_pool(w, 750, ever_slower);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_FILLING)->count, 100);
    finish(w);
}
END_TEST

/* A thousand buffers that stay, made over a second from a moment on, after others of their class
 * were tried out and ended; then only the work with another class goes on. */
static void make_pool_after_trials(struct world *w, uint64_t from)
{
    uint32_t other = synth_class(w->synth, "mem");
    uint32_t try = at(w, w->loop, 0x200);
    synth_refcounted(w->synth, other, "libbuf.so*");
    live(w, 1000, from, from + SECOND, OPS(ALLOC(at(w, w->main_frame, 0x100))));
    done_between(w, 100, MILLI, 2 * MILLI, from - 100 * MILLI, from - MILLI,
                 OPS(ALLOC(try), LAST(at(w, w->loop, 0x280))));
    uint32_t work = synth_lifecycle(w->synth, other, 50000, 2 * MILLI, END,
                                    OPS(ALLOC(at(w, w->loop, 0x300)), LAST(at(w, w->loop, 0x380))));
    ((struct bl_lifecycle *)synth_record(w->synth, BL_SECTION_LIFECYCLES, work))->first_ns = START;
    judge(w);
}

START_TEST(a_pool_made_at_start_up_is_told_by_all_work_where_that_of_its_class_was_over)
{
    struct world *w = make_world();
    make_pool_after_trials(w, START + SECOND);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_STEADY)->count, 1000);
    finish(w);
    /* not so later: who made them may have no more work */
    w = make_world();
    make_pool_after_trials(w, START + 100 * SECOND);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x100)->count, 1000);
    finish(w);
}
END_TEST

/* Twenty buffers, each alone on its path, the last of them after so many seconds. */
static void make_singles(struct world *w, uint64_t seconds)
{
    for (uint64_t type = 0; type < 20; type++) {
        uint32_t make = at(w, at(w, w->main_frame, 0x4000 + type), 0x900);
        live(w, 1, START, START + seconds * type / 19 * SECOND, OPS(ALLOC(make)));
    }
    done(w, 5000, 2 * MILLI, OPS(ALLOC(at(w, w->loop, 0x100)), LAST(at(w, w->loop, 0x180))));
    judge(w);
}

START_TEST(many_that_were_alone_on_their_paths_are_singletons_if_they_come_no_more)
{
    struct world *w = make_world();
    make_singles(w, 300);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_ONCE)->count, 20);
    finish(w);
    w = make_world();
    make_singles(w, 740);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x900)->count, 20);
    finish(w);
}
END_TEST

START_TEST(what_was_used_while_others_were_made_is_no_pool)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t use = at(w, w->loop, 0x110);
    uint32_t used = at(w, w->loop, 0x120);
    live(w, 20, START + SECOND, END - SECOND,
         OPS(ALLOC(make), {.op = BL_OP_RETAIN, .stack = use, .delta = 1, .folded = 9},
             {.op = BL_OP_RELEASE, .stack = used, .delta = -1, .folded = 9}));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(at(w, w->loop, 0x200)), LAST(at(w, w->loop, 0x280))));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x100)->count, 20);
    finish(w);
}
END_TEST

/* A pool whose buffers were used often in one tick of the clock; of most of them it was forgotten
 * up to three times to give back the reference. Others were born from that tick until `last_ns`,
 * and ended a tick later at most. */
static void use_pool_within_tick(struct world *w, uint64_t last_ns)
{
    uint32_t fill = at(w, w->main_frame, 0x100);
    uint32_t use = at(w, w->loop, 0x210);
    uint32_t used = at(w, w->loop, 0x220);
    for (unsigned i = 0; i < 24; i++) {
        struct synth_op ops[] = {ALLOC(fill), RETAIN(use), RELEASE(used)};
        ops[1].folded = 9 + i % 7;
        ops[2].folded = 9 + i % 7 - i % 4;
        for (size_t k = 0; k < 3; k++)
            ops[k].time_ns = TICK;
        synth_object(w->synth, w->class, 1000, TICK, ops, 3);
        object(w, next_object(w) - 1)->birth = i + 1;
    }
    done_between(w, 400, 0, 4 * MILLI, TICK, last_ns + 4 * MILLI,
                 OPS(ALLOC(at(w, w->loop, 0x300)), LAST(at(w, w->loop, 0x310))));
    struct bl_lifecycle *life = synth_record(w->synth, BL_SECTION_LIFECYCLES, 1);
    memset(life->histogram, 0, sizeof(life->histogram));
    life->histogram[0] = 400;
    life->newest_ns = last_ns;
    life->newest = 424;
    life->span = 400;
}

START_TEST(what_a_pool_lost_within_the_only_tick_of_the_work_was_not_lost_early)
{
    struct world *w = make_world();
    use_pool_within_tick(w, TICK);
    judge(w);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x210)->count, 18);
    finish(w);
    w = make_world();
    use_pool_within_tick(w, TICK + 100 * MILLI);
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_STEADY)->count, 24);
    finish(w);
}
END_TEST

START_TEST(what_was_born_late_in_a_tick_tells_how_late_references_of_that_tick_may_be)
{
    for (unsigned is_late = 0; is_late < 2; is_late++) {
        struct world *w = make_world();
        use_pool_within_tick(w, TICK + 100 * MILLI);
        synth_object(w->synth, w->class, 1000, TICK, OPS(ALLOC(at(w, w->main_frame, 0x400))));
        object(w, next_object(w) - 1)->birth = is_late ? 410 : 30;
        judge(w);
        if (is_late)
            ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x210)->count, 18);
        else
            ck_assert_uint_eq(left_alone(w, BL_GROUND_STEADY)->count, 24);
        finish(w);
    }
}
END_TEST

/* 400 that ended well, each after so many others were born; most, but not nearly all, while another
 * one ended. Twelve younger ones were only made, when those were over. */
static void leave_the_youngest(struct world *w, uint64_t lived, bool is_overtaken, uint64_t when)
{
    uint32_t make = at(w, w->loop, 0x100);
    done_between(w, 400, 0, 8 * MILLI, START, when,
                 OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x110)), RELEASE(at(w, w->loop, 0x120)),
                     LAST(at(w, w->loop, 0x130))));
    struct bl_lifecycle *life = synth_record(w->synth, BL_SECTION_LIFECYCLES, 1);
    life->newest_ns = when;
    life->newest = is_overtaken ? 412 : 400;
    life->span = 400;
    life->lived = 400 * lived;
    life->outlasted = 284;
    for (unsigned i = 0; i < 12; i++) {
        synth_object(w->synth, w->class, 1000, when, OPS(ALLOC(make)));
        object(w, next_object(w) - 1)->birth = 401 + i - (is_overtaken ? 20 : 0);
    }
}

START_TEST(the_youngest_are_in_use_where_as_many_are_on_average)
{
    struct world *w = make_world();
    leave_the_youngest(w, 22, false, END - MILLI);
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 12);
    finish(w);
    w = make_world();
    leave_the_youngest(w, 5, false, END - MILLI);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 12);
    finish(w);
    w = make_world();
    leave_the_youngest(w, 22, true, END - MILLI);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 12);
    finish(w);
    w = make_world();
    leave_the_youngest(w, 22, false, END - SECOND);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 12);
    finish(w);
}
END_TEST

START_TEST(what_a_library_set_up_and_its_user_retained_is_missed)
{
    struct world *w = make_world();
    uint32_t deep = at(w, w->main_frame, 0x900);
    for (uint64_t i = 0; i < 6; i++)
        deep = inside(w, deep, 0x10 + i);
    live(w, 4, START + 300 * SECOND, START + 300 * SECOND + MILLI,
         OPS(ALLOC(deep), RETAIN(at(w, w->main_frame, 0x910)), RELEASE(deep)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(at(w, w->loop, 0x100)), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x910)->count, 4);
    finish(w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_judge");
    TCase *tests = tcase_create("judge");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests,
                   of_one_buffer_who_gave_back_nearly_all_lacks_nothing_where_another_lacks_more);
    tcase_add_test(tests, what_adds_up_on_one_buffer_adds_up_on_others_of_its_pool);
    tcase_add_test(tests, what_siblings_did_not_take_may_have_lacked_the_release_as_well);
    tcase_add_test(tests, a_later_release_is_tied_to_no_acquire_before_a_stage_that_hands_on);
    tcase_add_test(tests, two_references_of_one_line_that_the_same_buffers_lack_are_one_finding);
    tcase_add_test(tests, what_siblings_keep_to_their_end_is_missed_where_they_have_not_ended);
    tcase_add_test(tests, a_live_buffer_that_was_released_too_often_is_accused_of_that_alone);
    tcase_add_test(tests, a_class_seen_in_part_accuses_nobody_until_one_has_ended);
    tcase_add_test(tests, of_a_class_whose_counting_is_not_seen_no_reference_is_named);
    tcase_add_test(tests, beside_what_is_made_to_stay_another_reference_can_be_missing);
    tcase_add_test(tests, what_is_made_to_stay_and_given_back_there_keeps_nothing);
    tcase_add_test(tests, what_siblings_had_for_seconds_is_not_stale_after_twenty);
    tcase_add_test(tests, what_a_leaked_buffer_of_its_class_holds_is_its_part);
    tcase_add_test(tests,
                   what_a_user_retained_himself_is_no_part_of_what_holds_it_by_another_reference);
    tcase_add_test(
        tests,
        what_leaked_ones_may_hold_beyond_their_siblings_is_little_evidence_unless_born_elsewhere);
    tcase_add_test(tests, what_a_few_leaked_ones_hold_goes_with_them_and_the_others_are_accused);
    tcase_add_test(tests, what_no_buffer_is_named_to_hold_is_told_beside_what_the_leaked_ones_hold);
    tcase_add_test(tests, what_owners_of_two_kinds_hold_goes_with_either);
    tcase_add_test(tests, what_is_made_in_one_call_is_a_part_only_if_it_is_made_with_each);
    tcase_add_test(tests, what_is_made_in_one_call_is_a_part_however_long_that_takes);
    tcase_add_test(tests,
                   of_what_one_call_makes_only_that_is_held_by_another_that_ended_inside_its_end);
    tcase_add_test(
        tests,
        what_some_siblings_left_to_their_owners_is_a_part_of_leaked_ones_that_it_was_born_near_to);
    tcase_add_test(tests,
                   what_was_not_seen_to_be_born_is_a_link_between_a_leaked_owner_and_its_parts);
    tcase_add_test(tests, what_was_taken_as_another_was_made_is_kept_by_that_one_while_it_lives);
    tcase_add_test(tests, one_in_use_that_lost_another_reference_does_not_lack_its_end_as_well);
    tcase_add_test(tests, only_a_thread_that_was_at_work_at_exit_may_have_been_about_to_release);
    tcase_add_test(tests, a_pool_that_filled_late_is_steady_where_that_was_seen_in_time);
    tcase_add_test(tests, what_was_seen_to_fill_ever_more_slowly_is_filling);
    tcase_add_test(tests,
                   a_pool_made_at_start_up_is_told_by_all_work_where_that_of_its_class_was_over);
    tcase_add_test(tests, many_that_were_alone_on_their_paths_are_singletons_if_they_come_no_more);
    tcase_add_test(tests, what_was_used_while_others_were_made_is_no_pool);
    tcase_add_test(tests, what_a_pool_lost_within_the_only_tick_of_the_work_was_not_lost_early);
    tcase_add_test(tests,
                   what_was_born_late_in_a_tick_tells_how_late_references_of_that_tick_may_be);
    tcase_add_test(tests, the_youngest_are_in_use_where_as_many_are_on_average);
    tcase_add_test(tests, what_a_library_set_up_and_its_user_retained_is_missed);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
