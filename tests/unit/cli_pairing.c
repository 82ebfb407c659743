/* Verdicts on made-up ledgers: which reference is blamed, with which counts, and who is left alone.
 */
#include "cli_check.h"

#include "pairing_world.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- missing release ---- */

START_TEST(the_retain_of_the_incident_is_blamed_with_counts_on_both_sides)
{
    struct world *w = make_world();
    uint32_t request = at(w, w->loop, 0x402);
    uint32_t read = at(w, request, 0x377);
    uint32_t join = at(w, at(w, request, 0x131), 0x88);
    uint32_t end = at(w, request, 0x441);
    live(w, 1204, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(join), RELEASE(end)));
    done(w, 19220, 3 * MILLI, OPS(ALLOC(read), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x88);
    ck_assert_uint_eq(group->count, 1204);
    ck_assert_uint_eq(group->bytes, 1204000);
    ck_assert_uint_eq(group->finding->refs_min, 1);
    ck_assert_uint_eq(group->finding->refs_max, 1);
    ck_assert_int_eq(group->finding->blame_kind, BL_ITEM_RETAIN);
    ck_assert_str_eq(group->finding->text, "1,204 of 1,204 that passed here leaked; 0 of 19,220 "
                                           "that did not");
    ck_assert_uint_eq(offset_of(w, group->finding->alloc_frame), 0x377);
    ck_assert_uint_eq(group->finding->expected_frame, 0);
    ck_assert_double_gt(group->finding->confidence, 0.99);
    ck_assert_ptr_nonnull(strstr(group->finding->note, "kept by a cache that is never emptied"));
    finish(w);
}
END_TEST

START_TEST(a_running_process_gives_the_same_verdict_as_one_that_ended)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x377);
    uint32_t join = at(w, at(w, w->loop, 0x131), 0x88);
    uint32_t end = at(w, w->loop, 0x441);
    make_live(w);
    live(w, 300, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(join), RELEASE(end)));
    done(w, 5000, 3 * MILLI, OPS(ALLOC(read), LAST(end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x88)->count, 300);
    finish(w);
}
END_TEST

START_TEST(a_retain_that_others_give_back_elsewhere_names_the_expected_release)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x377);
    uint32_t join = at(w, at(w, w->loop, 0x131), 0x88);
    uint32_t drop = at(w, at(w, w->loop, 0x140), 0x99);
    uint32_t end = at(w, w->loop, 0x441);
    live(w, 50, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(join), RELEASE(end)));
    done(w, 450, 3 * MILLI, OPS(ALLOC(read), RETAIN(join), RELEASE(drop), LAST(end)));
    done(w, 1000, 3 * MILLI, OPS(ALLOC(read), LAST(end)));
    judge(w);
    const struct bl_finding *finding = only(w, BL_VERDICT_MISSING_RELEASE, 0x88)->finding;
    ck_assert_uint_eq(offset_of(w, finding->expected_frame), 0x99);
    ck_assert_uint_eq(finding->expected_count, 450);
    ck_assert_uint_eq(finding->leaked, 50);
    ck_assert_uint_eq(finding->passed, 500);
    ck_assert_uint_eq(finding->other_passed, 1000);
    ck_assert_double_gt(finding->confidence, 0.9);
    finish(w);
}
END_TEST

START_TEST(an_error_path_of_one_in_a_thousand_blames_the_acquire_of_the_missing_release)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x100);
    uint32_t parse = at(w, w->loop, 0x120);
    uint32_t keep = at(w, parse, 0x200);
    uint32_t drop = at(w, parse, 0x240);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 20, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(keep), RELEASE(end)));
    done(w, 19980, 2 * MILLI, OPS(ALLOC(read), RETAIN(keep), RELEASE(drop), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x200);
    ck_assert_uint_eq(group->count, 20);
    ck_assert_uint_eq(group->finding->passed, 20000);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x240);
    ck_assert_double_gt(group->finding->confidence, 0.9);
    finish(w);
}
END_TEST

START_TEST(an_alloc_that_one_path_forgets_is_blamed_at_the_alloc)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 10, START + SECOND, END - SECOND, OPS(ALLOC(read)));
    done(w, 9990, 2 * MILLI, OPS(ALLOC(read), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_int_eq(group->finding->blame_kind, BL_ITEM_ALLOC);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x180);
    finish(w);
}
END_TEST

START_TEST(an_error_path_with_its_own_release_still_blames_the_forgotten_one)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x100);
    uint32_t parse = at(w, w->loop, 0x120);
    uint32_t keep = at(w, parse, 0x200);
    uint32_t drop = at(w, parse, 0x240);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t failed = at(w, w->loop, 0x1c0);
    live(w, 7, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(keep), RELEASE(failed)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(read), RETAIN(keep), RELEASE(drop), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x200);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x240);
    finish(w);
}
END_TEST

START_TEST(a_wrapper_is_told_apart_by_who_called_it)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t good = at(w, at(w, w->loop, 0x300), 0x50);
    uint32_t good_end = at(w, at(w, w->loop, 0x310), 0x60);
    uint32_t bad = at(w, at(w, w->loop, 0x400), 0x50);
    live(w, 30, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(bad), RELEASE(end)));
    done(w, 8000, 2 * MILLI, OPS(ALLOC(read), RETAIN(good), RELEASE(good_end), LAST(end)));
    done(w, 500, 2 * MILLI, OPS(ALLOC(read), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x50);
    const struct bl_frame *site = bl_reader_frame(w->reader, group->finding->blame_frame);
    ck_assert_uint_eq(offset_of(w, site->parent), 0x400);
    ck_assert_uint_eq(group->finding->leaked, 30);
    ck_assert_uint_eq(group->finding->passed, 30);
    ck_assert_uint_eq(group->finding->other_passed, 8500);
    finish(w);
}
END_TEST

START_TEST(two_leaking_callers_of_one_wrapper_are_two_findings_when_a_third_is_clean)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t clean = at(w, at(w, w->loop, 0x300), 0x50);
    uint32_t clean_end = at(w, at(w, w->loop, 0x310), 0x60);
    uint32_t first = at(w, at(w, w->loop, 0x400), 0x50);
    uint32_t second = at(w, at(w, w->loop, 0x500), 0x50);
    live(w, 30, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(first), RELEASE(end)));
    live(w, 40, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(second), RELEASE(end)));
    done(w, 8000, 2 * MILLI, OPS(ALLOC(read), RETAIN(clean), RELEASE(clean_end), LAST(end)));
    judge(w);
    ck_assert_uint_eq(accusations(w), 2);
    ck_assert_uint_eq(w->model->groups[0].count, 40);
    ck_assert_uint_eq(w->model->groups[1].count, 30);
    finish(w);
}
END_TEST

START_TEST(one_leaking_line_reached_on_many_paths_is_one_finding)
{
    struct world *w = make_world();
    uint32_t end = at(w, w->loop, 0x180);
    for (uint64_t path = 0; path < 25; path++) {
        uint32_t outer = at(w, w->loop, 0x1000 + path * 16);
        uint32_t read = at(w, outer, 0x100);
        uint32_t join = at(w, outer, 0x88);
        live(w, 4, START + SECOND, END - SECOND, OPS(ALLOC(read), RETAIN(join), RELEASE(end)));
        done(w, 60, 2 * MILLI, OPS(ALLOC(read), LAST(end)));
    }
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x88);
    ck_assert_uint_eq(group->count, 100);
    ck_assert_uint_eq(group->stack_count, 25);
    ck_assert_uint_eq(group->finding->passed, 100);
    finish(w);
}
END_TEST

START_TEST(a_bug_that_one_caller_meets_a_little_more_often_is_one_finding)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    const uint64_t leaked[] = {220, 333};
    const uint64_t passed[] = {847, 955};
    for (unsigned way = 0; way < 2; way++) {
        uint32_t body = at(w, at(w, w->loop, 0x300 + way), 0x151);
        uint32_t keep = at(w, body, 0x46);
        uint32_t drop = at(w, body, 0x53);
        live(w, leaked[way], START + SECOND, END - SECOND,
             OPS(ALLOC(read), RETAIN(keep), RELEASE(end)));
        done(w, passed[way] - leaked[way], 2 * MILLI,
             OPS(ALLOC(read), RETAIN(keep), RELEASE(end), LAST(drop)));
    }
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x46)->count, 553);
    finish(w);
}
END_TEST

START_TEST(the_way_a_library_takes_inside_does_not_matter)
{
    struct world *w = make_world();
    uint32_t read = at(w, w->loop, 0x100);
    uint32_t filter = at(w, w->loop, 0x140);
    uint32_t keep = at(w, filter, 0x150);
    uint32_t drop = at(w, filter, 0x160);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 5, START + SECOND, END - SECOND,
         OPS(ALLOC(inside(w, read, 0x1)), RETAIN(inside(w, keep, 0x2)),
             RELEASE(inside(w, inside(w, end, 0x3), 0x4))));
    done(w, 700, 2 * MILLI,
         OPS(ALLOC(inside(w, inside(w, read, 0x5), 0x6)), RETAIN(inside(w, keep, 0x7)),
             RELEASE(drop), LAST(inside(w, end, 0x8))));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x150);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x160);
    ck_assert_uint_eq(group->finding->passed, 705);
    finish(w);
}
END_TEST

START_TEST(a_new_path_to_a_known_alloc_is_compared_with_the_known_ones)
{
    struct world *w = make_world();
    uint32_t old = at(w, w->loop, 0x700);
    uint32_t new = at(w, w->loop, 0x800);
    live(w, 60, START + SECOND, END - SECOND,
         OPS(ALLOC(at(w, new, 0x100)), RETAIN(at(w, new, 0x150)), RELEASE(at(w, new, 0x180))));
    done(w, 3000, 2 * MILLI, OPS(ALLOC(at(w, old, 0x100)), LAST(at(w, old, 0x180))));
    judge(w);
    only(w, BL_VERDICT_MISSING_RELEASE, 0x150);
    finish(w);
}
END_TEST

START_TEST(ownership_that_moves_between_threads_blames_what_the_consumer_forgot)
{
    struct world *w = make_world();
    uint32_t consumer = synth_frame(w->synth, 0, w->gw, 0x900);
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t push = at(w, at(w, w->loop, 0x110), 0x150);
    uint32_t produced = at(w, w->loop, 0x120);
    uint32_t consumed = at(w, consumer, 0x910);
    live(w, 12, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(push), RELEASE(produced)));
    done(w, 4000, 5 * MILLI,
         OPS(ALLOC(make), RETAIN(push), RELEASE(produced),
             {.op = BL_OP_END, .stack = consumed, .delta = -1, .thread = w->worker}));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x150);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x910);
    finish(w);
}
END_TEST

START_TEST(a_reference_in_a_container_is_blamed_where_it_was_put_in)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t insert = at(w, at(w, w->loop, 0x110), 0x150);
    uint32_t clear = at(w, at(w, w->loop, 0x900), 0x990);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 33, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(insert), RELEASE(end)));
    done(w, 900, 9 * MILLI, OPS(ALLOC(make), RETAIN(insert), RELEASE(end), LAST(clear)));
    done(w, 900, 1 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x150);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x990);
    finish(w);
}
END_TEST

START_TEST(two_bugs_in_one_buffer_are_two_findings_that_share_it)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t cache = at(w, at(w, w->loop, 0x110), 0x150);
    uint32_t log = at(w, at(w, w->loop, 0x120), 0x160);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 20, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(cache), RELEASE(end)));
    live(w, 30, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(log), RELEASE(end)));
    live(w, 5, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(cache), RETAIN(log), RELEASE(end)));
    done(w, 2000, 1 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(accusations(w), 2);
    const struct bl_group *cached = find(w, BL_VERDICT_MISSING_RELEASE, 0x150);
    const struct bl_group *logged = find(w, BL_VERDICT_MISSING_RELEASE, 0x160);
    ck_assert_uint_eq(cached->count, 25);
    ck_assert_uint_eq(logged->count, 35);
    ck_assert_uint_eq(cached->finding->shared, 5);
    ck_assert_uint_eq(logged->finding->shared, 5);
    ck_assert_uint_eq(cached->finding->refs_max, 1);
    ck_assert_uint_eq(cached->finding->other_leaked, 30);
    ck_assert_uint_eq(cached->finding->other_passed, 2030);
    finish(w);
}
END_TEST

START_TEST(several_references_of_one_line_are_counted)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x150);
    uint32_t drop = at(w, w->loop, 0x160);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 9, START + SECOND, END - SECOND,
         OPS(ALLOC(make), {.op = BL_OP_RETAIN, .stack = keep, .delta = 1, .folded = 10},
             {.op = BL_OP_RELEASE, .stack = drop, .delta = -1, .folded = 7}, RELEASE(end)));
    done(w, 600, 1 * MILLI,
         OPS(ALLOC(make), {.op = BL_OP_RETAIN, .stack = keep, .delta = 1, .folded = 10},
             {.op = BL_OP_RELEASE, .stack = drop, .delta = -1, .folded = 10}, LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x150);
    ck_assert_uint_eq(group->finding->refs_min, 3);
    ck_assert_uint_eq(group->finding->refs_max, 3);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x160);
    finish(w);
}
END_TEST

START_TEST(without_anything_to_compare_with_the_retain_is_blamed_and_that_is_said)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 40, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    judge(w);
    const struct bl_finding *finding = only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->finding;
    ck_assert_ptr_nonnull(strstr(finding->note, "little evidence"));
    ck_assert_double_le(finding->confidence, 0.5);
    finish(w);
}
END_TEST

/* A filter that keeps a reference, a sender that takes one and gives it back itself; some buffers
 * come a way on which the sender's is given back inside the filter. */
static void make_filter_and_sender(struct world *w, uint64_t by_filter, uint64_t until_ns)
{
    uint32_t handler = at(w, w->loop, 0x100);
    uint32_t filter = at(w, handler, 0x200);
    uint32_t sender = at(w, handler, 0x300);
    uint32_t alloc = at(w, handler, 0x110);
    uint32_t end = at(w, handler, 0x120);
    uint32_t keep = at(w, filter, 0x210);
    uint32_t take = at(w, sender, 0x310);
    uint32_t sent = at(w, sender, 0x320);
    uint32_t passed = at(w, filter, 0x220);
    live(w, 500, START + SECOND, END - SECOND,
         OPS(ALLOC(alloc), RETAIN(keep), RETAIN(take), RELEASE(sent), RELEASE(end)));
    live(w, by_filter, START + SECOND, until_ns,
         OPS(ALLOC(alloc), RETAIN(keep), RETAIN(take), RELEASE(passed), RELEASE(end)));
}

START_TEST(a_guess_that_most_others_contradict_joins_them)
{
    struct world *w = make_world();
    make_filter_and_sender(w, 15, START + 8 * SECOND);
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x210);
    ck_assert_uint_eq(group->count, 515);
    ck_assert_uint_eq(group->finding->leaked, 515);
    ck_assert_uint_eq(group->finding->passed, 515);
    finish(w);
}
END_TEST

START_TEST(a_guess_stays_where_as_many_agree_with_it)
{
    struct world *w = make_world();
    make_filter_and_sender(w, 400, END - SECOND);
    judge(w);
    ck_assert_uint_eq(accusations(w), 2);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x210)->count, 500);
    finish(w);
}
END_TEST

/* Everybody makes, keeps and drops through one function each; what calls them is told by the call.
 */
static uint32_t through(struct world *w, uint64_t caller, uint64_t helper)
{
    return at(w, at(w, w->loop, caller), helper);
}

START_TEST(what_each_did_equally_often_belongs_together)
{
    struct world *w = make_world();
    uint32_t make = through(w, 0x300, 0x50);
    uint32_t keep = through(w, 0x310, 0x60);
    uint32_t drop = through(w, 0x320, 0x70);
    live(w, 40, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(keep), RETAIN(keep), RETAIN(keep), RELEASE(drop), RELEASE(drop),
             RELEASE(drop)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x50)->count, 40);
    finish(w);
}
END_TEST

START_TEST(a_birth_and_a_retain_that_fit_as_well_are_little_evidence)
{
    struct world *w = make_world();
    uint32_t make = through(w, 0x300, 0x50);
    uint32_t keep = through(w, 0x310, 0x60);
    uint32_t first = through(w, 0x320, 0x70);
    uint32_t last = through(w, 0x330, 0x70);
    live(w, 40, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep), RELEASE(last)));
    done(w, 1000, 2 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(first), LAST(last)));
    judge(w);
    const struct bl_finding *finding = only(w, BL_VERDICT_MISSING_RELEASE, 0x60)->finding;
    ck_assert_ptr_nonnull(strstr(finding->note, "little evidence which"));
    ck_assert_uint_eq(finding->expected_count, 1000);
    finish(w);
}
END_TEST

START_TEST(a_retain_and_release_in_one_function_belong_together)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t work = at(w, w->loop, 0x110);
    live(w, 40, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(at(w, work, 0x150)), RELEASE(at(w, work, 0x158))));
    judge(w);
    only(w, BL_VERDICT_NEVER_RELEASED, 0x100);
    finish(w);
}
END_TEST

START_TEST(two_leaks_of_few_are_worded_as_little_evidence)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 2, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    done(w, 3, 1 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_finding *finding = only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->finding;
    ck_assert_str_eq(finding->note, "little evidence: only 2 buffers");
    ck_assert_double_lt(finding->confidence, 0.6);
    finish(w);
}
END_TEST

/* So many are left of which two others were released: what is noted of that. */
static void check_note(uint32_t left, const char *expected)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    live(w, left, START + SECOND, END - SECOND, OPS(ALLOC(make)));
    done(w, 2, 1 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_str_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->finding->note, expected);
    finish(w);
}

START_TEST(two_to_compare_with_are_little_evidence_unless_many_are_left)
{
    check_note(4, "little evidence: only 2 like them gave it back");
    check_note(40, "");
}
END_TEST

/* ---- never released, over-released ---- */

START_TEST(what_no_path_ever_releases_is_never_released)
{
    struct world *w = make_world();
    uint32_t lost = at(w, w->loop, 0x900);
    uint32_t make = at(w, w->loop, 0x100);
    live(w, 77, START + SECOND, END - SECOND, OPS(ALLOC(lost)));
    done(w, 1000, 1 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_NEVER_RELEASED, 0x900);
    ck_assert_uint_eq(group->count, 77);
    ck_assert_uint_eq(group->finding->other_passed, 1000);
    ck_assert_double_gt(group->finding->confidence, 0.9);
    ck_assert_ptr_nonnull(strstr(group->finding->note, "kept by a cache that is never emptied"));
    finish(w);
}
END_TEST

START_TEST(a_buffer_that_was_forgotten_with_all_its_references_is_one_finding)
{
    struct world *w = make_world();
    live(w, 8, START + SECOND, END - SECOND,
         OPS(ALLOC(at(w, w->loop, 0x900)), RETAIN(at(w, w->loop, 0x910)),
             RETAIN(at(w, w->loop, 0x920))));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x900)->finding->refs_max, 3);
    finish(w);
}
END_TEST

START_TEST(a_release_too_many_is_shown_with_the_last_good_one)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t again = at(w, w->loop, 0x1a0);
    done(w, 4, 1 * MILLI, OPS(ALLOC(make), LAST(end), OVER(again)));
    done(w, 900, 1 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_OVER_RELEASE, 0x1a0);
    ck_assert_uint_eq(group->count, 4);
    bool has_end = false;
    for (size_t i = 0; i < group->finding->reference_count; i++)
        has_end |= group->finding->references[i].kind == BL_ITEM_RELEASE &&
                   offset_of(w, group->finding->references[i].frame) == 0x180;
    ck_assert(has_end);
    ck_assert_str_eq(group->finding->text, "4 releases of a buffer that was gone");
    finish(w);
}
END_TEST

START_TEST(the_record_of_a_dead_buffer_is_no_unreleased_one)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    live(w, 5, START + SECOND, END - SECOND,
         OPS(ALLOC(make), LAST(at(w, w->loop, 0x180)), OVER(at(w, w->loop, 0x1a0))));
    for (uint32_t i = 1; i <= 5; i++)
        ((struct bl_object *)synth_record(w->synth, BL_SECTION_OBJECTS, i))->flags =
            BL_OBJECT_GHOST;
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_OVER_RELEASE, 0x1a0);
    ck_assert_uint_eq(w->model->group_count, 1);
    ck_assert_uint_eq(group->finding->leaked, 5);
    ck_assert_uint_eq(offset_of(w, group->finding->alloc_frame), 0x100);
    finish(w);
}
END_TEST

START_TEST(a_buffer_whose_birth_was_not_seen_accuses_no_birth)
{
    struct world *w = make_world();
    live(w, 5, START + SECOND, END - SECOND,
         OPS(ALLOC(0), RETAIN(at(w, w->loop, 0x150)), RELEASE(at(w, w->loop, 0x160))));
    judge(w);
    left_alone(w, BL_GROUND_UNSEEN);
    finish(w);
}
END_TEST

START_TEST(a_birth_with_several_references_is_paired_with_as_many_releases)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 6, START + SECOND, END - SECOND,
         OPS({.op = BL_OP_ALLOC, .stack = make, .delta = 3}, RELEASE(end)));
    done(w, 700, 1 * MILLI,
         OPS({.op = BL_OP_ALLOC, .stack = make, .delta = 3},
             {.op = BL_OP_RELEASE, .stack = end, .delta = -1, .folded = 3}));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->finding->refs_max, 2);
    finish(w);
}
END_TEST

/* Two users of one key, each as often as the other: the numbers alone tell whose is whose. */
START_TEST(of_one_buffer_that_many_used_who_balances_exactly_lacks_nothing)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->main_frame, 0x100);
    uint32_t set = inside(w, at(w, w->loop, 0x200), 0x10);
    uint32_t get = inside(w, at(w, w->loop, 0x210), 0x20);
    uint32_t put = at(w, w->loop, 0x220);
    uint32_t flush = inside(w, inside(w, at(w, w->loop, 0x230), 0x30), 0x40);
    uint32_t drop = inside(w, at(w, w->loop, 0x240), 0x40);
    uint32_t flush_last = inside(w, inside(w, at(w, w->main_frame, 0x250), 0x30), 0x40);
    live(w, 1, START + SECOND, START + SECOND,
         OPS(ALLOC(make), {.op = BL_OP_RETAIN, .stack = set, .delta = 1, .folded = 6000},
             {.op = BL_OP_RETAIN, .stack = get, .delta = 1, .folded = 6000},
             {.op = BL_OP_RELEASE, .stack = put, .delta = -1, .folded = 5994},
             {.op = BL_OP_RELEASE, .stack = flush, .delta = -1, .folded = 5950},
             {.op = BL_OP_RELEASE, .stack = drop, .delta = -1, .folded = 6},
             {.op = BL_OP_RELEASE, .stack = flush_last, .delta = -1, .folded = 44},
             RELEASE(at(w, w->main_frame, 0x260))));
    judge(w);
    const struct bl_finding *finding = only(w, BL_VERDICT_MISSING_RELEASE, 0x210)->finding;
    ck_assert_uint_eq(finding->refs_max, 6);
    ck_assert_uint_eq(offset_of(w, finding->expected_frame), 0x220);
    finish(w);
}
END_TEST

START_TEST(over_releases_that_were_only_counted_are_not_kept_silent)
{
    struct world *w = make_world();
    struct bl_counters *counters = synth_record(w->synth, BL_SECTION_COUNTERS, w->class);
    counters->shard[0].over_releases = 3;
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_OVER_RELEASE, 0)->finding->leaked, 3);
    finish(w);
}
END_TEST

/* ---- those that are not to be accused ---- */

START_TEST(buffers_in_flight_are_not_accused)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x150);
    uint32_t drop = at(w, w->loop, 0x160);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 6, END - 40 * MILLI, END, OPS(ALLOC(make)));
    live(w, 6, END - 40 * MILLI, END, OPS(ALLOC(make), RETAIN(keep)));
    live(w, 6, END - 40 * MILLI, END, OPS(ALLOC(make), RETAIN(keep), RELEASE(drop)));
    done(w, 5000, 50 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(drop), LAST(end)));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 18);
    finish(w);
}
END_TEST

START_TEST(leaked_ones_are_counted_without_those_in_flight)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t parse = at(w, w->loop, 0x120);
    uint32_t keep = at(w, parse, 0x150);
    uint32_t drop = at(w, parse, 0x160);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 25, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    live(w, 3, END - 2 * MILLI, END, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    done(w, 5000, 5 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(drop), LAST(end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->count, 25);
    ck_assert_uint_eq(find(w, BL_VERDICT_UNRELEASED, 0x100)->count, 3);
    finish(w);
}
END_TEST

START_TEST(far_older_than_siblings_on_their_way_is_stale)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 12, START + SECOND, END - 100 * SECOND, OPS(ALLOC(make)));
    done(w, 20000, 3 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_STALE, 0x100);
    ck_assert_uint_eq(group->count, 12);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x180);
    ck_assert_ptr_nonnull(strstr(group->finding->text, "99% of 20,000"));
    ck_assert_double_le(group->finding->confidence, 0.5);
    finish(w);
}
END_TEST

START_TEST(a_little_older_than_siblings_is_no_accusation)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    make_live(w);
    live(w, 4, END - 5 * SECOND, END - 2 * SECOND, OPS(ALLOC(make)));
    done(w, 2000, 500 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_OLD)->count, 4);
    finish(w);
}
END_TEST

START_TEST(what_was_left_behind_for_seconds_is_told_with_how_long_siblings_lived)
{
    for (unsigned is_killed = 0; is_killed < 2; is_killed++) {
        struct world *w = make_world();
        uint32_t make = at(w, w->loop, 0x100);
        w->is_killed = is_killed;
        if (!is_killed)
            make_live(w);
        live(w, 40, END - 9 * SECOND, END - 2 * SECOND, OPS(ALLOC(make)));
        done(w, 2000, 5 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
        judge(w);
        const struct bl_group *group = left_alone(w, BL_GROUND_OLD);
        ck_assert_uint_eq(group->count, 40);
        ck_assert_ptr_nonnull(strstr(group->finding->text, "left behind"));
        ck_assert_ptr_nonnull(strstr(group->finding->text, "99% of 2,000"));
        ck_assert_ptr_nonnull(strstr(group->finding->text, "(40 of 2,040 that passed there"));
        ck_assert_int_eq(strstr(group->finding->text, "was killed") != NULL, is_killed);
        finish(w);
    }
}
END_TEST

START_TEST(a_cache_that_replaces_its_entries_is_in_use)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t insert = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t evict = at(w, at(w, w->loop, 0x150), 0x190);
    make_live(w);
    live(w, 64, END - 60 * SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(insert), RELEASE(end)));
    done(w, 700, 64 * SECOND, OPS(ALLOC(make), RETAIN(insert), RELEASE(end), LAST(evict)));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 64);
    finish(w);
}
END_TEST

/* A ring of eight, of which the process left the last, and what it forgot meanwhile. */
static void fill_ring(struct world *w, unsigned forgotten)
{
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t number = synth_lifecycle(w->synth, w->class, 50000, 100 * MILLI, END - SECOND,
                                      OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    struct bl_lifecycle *life = synth_record(w->synth, BL_SECTION_LIFECYCLES, number);
    life->outlasted = 49999 - forgotten;
    life->lived_least = 8;
    life->lived = 8 * life->count;
    live(w, 8, END - SECOND, END - 8 * MILLI, OPS(ALLOC(make)));
    if (forgotten > 0)
        live(w, forgotten, START + 10 * SECOND, END - 10 * SECOND, OPS(ALLOC(make)));
}

START_TEST(the_last_of_a_ring_are_in_use_at_the_end)
{
    struct world *w = make_world();
    fill_ring(w, 0);
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 8);
    finish(w);
}
END_TEST

/* Nothing of it is in use any more, but the report must not say that it was forgotten either. */
START_TEST(of_a_killed_process_is_said_what_cannot_be_told)
{
    struct world *w = make_world();
    w->is_killed = true;
    fill_ring(w, 50);
    judge(w);
    const struct bl_finding *told = only(w, BL_VERDICT_STALE, 0x100)->finding;
    ck_assert_ptr_nonnull(strstr(told->note, "the process was killed"));
    const struct bl_finding *rest = find(w, BL_VERDICT_UNRELEASED, 0x100)->finding;
    ck_assert_ptr_nonnull(strstr(rest->text, "or forgotten: in the middle of the work"));
    ck_assert_str_eq(rest->note, "");
    finish(w);
}
END_TEST

START_TEST(of_an_ended_process_nothing_is_in_use_any_more)
{
    struct world *w = make_world();
    fill_ring(w, 0);
    judge(w);
    ck_assert_ptr_nonnull(
        strstr(left_alone(w, BL_GROUND_IN_USE)->finding->text, "in use at the end: until then"));
    finish(w);
}
END_TEST

START_TEST(what_a_ring_forgot_is_told_from_the_last_in_it)
{
    struct world *w = make_world();
    fill_ring(w, 50);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 50);
    ck_assert_uint_eq(find(w, BL_VERDICT_UNRELEASED, 0x100)->count, 8);
    finish(w);
}
END_TEST

/* The garbage collector took the first `count` of the class's unreleased buffers. */
static void collect(struct world *w, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++)
        ((struct bl_object *)synth_record(w->synth, BL_SECTION_OBJECTS, i))->flags |=
            BL_OBJECT_LOST;
}

START_TEST(what_was_collected_is_in_no_ring)
{
    struct world *w = make_world();
    fill_ring(w, 0);
    collect(w, 2);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 2);
    const struct bl_group *rest = find(w, BL_VERDICT_UNRELEASED, 0x100);
    ck_assert_int_eq(rest->finding->ground, BL_GROUND_IN_USE);
    ck_assert_uint_eq(rest->count, 6);
    ck_assert_uint_eq(rest->reach.collected, 0);
    finish(w);
}
END_TEST

START_TEST(what_was_collected_is_not_in_use_however_young)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x150);
    uint32_t drop = at(w, w->loop, 0x160);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 3, END - 400 * MILLI, END - 300 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    collect(w, 1);
    done(w, 5000, 500 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(drop), LAST(end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->count, 1);
    ck_assert_uint_eq(find(w, BL_VERDICT_UNRELEASED, 0x100)->count, 2);
    finish(w);
}
END_TEST

START_TEST(what_was_collected_is_not_stale)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 12, START + SECOND, END - 100 * SECOND, OPS(ALLOC(make)));
    collect(w, 5);
    done(w, 20000, 3 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(accusations(w), 2);
    ck_assert_uint_eq(find(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 5);
    const struct bl_group *stale = find(w, BL_VERDICT_STALE, 0x100);
    ck_assert_uint_eq(stale->count, 7);
    ck_assert_uint_eq(stale->reach.collected, 0);
    finish(w);
}
END_TEST

START_TEST(what_was_collected_needs_no_age)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 12, END - 100 * MILLI, END - 20 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    collect(w, 9);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->count, 9);
    const struct bl_group *rest = find(w, BL_VERDICT_UNRELEASED, 0x100);
    ck_assert_int_eq(rest->finding->ground, BL_GROUND_YOUNG);
    ck_assert_uint_eq(rest->count, 3);
    ck_assert_uint_eq(rest->reach.collected, 0);
    finish(w);
}
END_TEST

/* Gives each of the class's unreleased buffers, `count` of them, a heap block of its own. The block
 * of buffer number i is i. */
static void place_in_heap(struct world *w, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        const struct bl_object *object = synth_record(w->synth, BL_SECTION_OBJECTS, i);
        uint64_t address = object->address;
        uint32_t block = synth_live(w->synth, 0, 60, w->loop, w->main_thread, START);
        ck_assert_uint_eq(block, i);
        ((struct bl_live *)synth_record(w->synth, BL_SECTION_LIVE, block))->address = address;
    }
}

static void hold(struct world *w, uint32_t first, uint32_t last)
{
    struct bl_reach_root root = {.module = w->gw, .kind = BL_ROOT_GLOBAL};
    for (uint32_t i = first; i <= last; i++)
        synth_reach_root(w->synth, i, &root);
}

static void lose(struct world *w, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++)
        synth_reach(w->synth, i, BL_REACH_LEADER, 0, 0);
}

START_TEST(what_nothing_leads_to_is_in_no_ring)
{
    struct world *w = make_world();
    fill_ring(w, 0);
    place_in_heap(w, 8);
    lose(w, 1, 2);
    hold(w, 3, 8);
    synth_reach_run(w->synth, BL_REACH_DONE, NULL);
    judge(w);
    const struct bl_group *lost = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(lost->count, 2);
    ck_assert_uint_eq(lost->reach.lost, 2);
    const struct bl_group *rest = find(w, BL_VERDICT_UNRELEASED, 0x100);
    ck_assert_int_eq(rest->finding->ground, BL_GROUND_IN_USE);
    ck_assert_uint_eq(rest->count, 6);
    ck_assert_uint_eq(rest->reach.held, 6);
    finish(w);
}
END_TEST

START_TEST(what_a_run_that_failed_did_not_find_may_be_in_a_ring)
{
    struct world *w = make_world();
    fill_ring(w, 0);
    place_in_heap(w, 8);
    lose(w, 1, 8);
    synth_reach_run(w->synth, BL_REACH_FAILED, "the marking child died");
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 8);
    finish(w);
}
END_TEST

START_TEST(what_is_lost_is_in_nobodys_hands_however_young)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x150);
    uint32_t drop = at(w, w->loop, 0x160);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 3, END - 400 * MILLI, END - 300 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    done(w, 5000, 500 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(drop), LAST(end)));
    place_in_heap(w, 3);
    lose(w, 1, 3);
    synth_reach_run(w->synth, BL_REACH_DONE, NULL);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->count, 3);
    finish(w);
}
END_TEST

START_TEST(what_is_lost_by_a_link_to_its_like_is_lost_itself)
{
    struct world *w = make_world();
    fill_ring(w, 0);
    place_in_heap(w, 8);
    lose(w, 1, 1);
    synth_reach(w->synth, 2, BL_REACH_INDIRECT, 1, 8);
    hold(w, 3, 8);
    synth_reach_run(w->synth, BL_REACH_DONE, NULL);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 2);
    finish(w);
}
END_TEST

START_TEST(what_is_lost_with_another_is_left_to_it)
{
    struct world *w = make_world();
    fill_ring(w, 0);
    place_in_heap(w, 8);
    uint32_t other = synth_live(w->synth, 0, 60, w->loop, w->main_thread, START);
    lose(w, other, other);
    for (uint32_t i = 1; i <= 8; i++)
        synth_reach(w->synth, i, BL_REACH_INDIRECT, other, 8 * i);
    synth_reach_run(w->synth, BL_REACH_DONE, NULL);
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 8);
    finish(w);
}
END_TEST

START_TEST(a_stray_pointer_takes_none_from_many_that_are_lost)
{
    struct world *w = make_world();
    fill_ring(w, 0);
    place_in_heap(w, 8);
    lose(w, 1, 7);
    hold(w, 8, 8);
    ((struct bl_reach *)synth_record(w->synth, BL_SECTION_REACH, 8))->grade = BL_REACH_INTERIOR;
    synth_reach_run(w->synth, BL_REACH_DONE, NULL);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x100)->count, 8);
    finish(w);
}
END_TEST

START_TEST(a_cache_that_filled_and_stopped_is_not_a_leak)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t insert = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 100, START + SECOND, START + 8 * SECOND,
         OPS(ALLOC(make), RETAIN(insert), RELEASE(end)));
    done(w, 50000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_STEADY)->count, 100);
    finish(w);
}
END_TEST

START_TEST(a_pool_made_at_start_up_is_not_a_leak)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->main_frame, 0x900);
    uint32_t take = at(w, w->loop, 0x150);
    uint32_t give = at(w, w->loop, 0x160);
    make_live(w);
    for (unsigned i = 0; i < 32; i++) {
        struct synth_op ops[] = {
            ALLOC(make),
            {.op = BL_OP_RETAIN, .stack = take, .delta = 1, .folded = 500, .time_ns = END - SECOND},
            {.op = BL_OP_RELEASE, .stack = give, .delta = -1, .folded = 500, .time_ns = END}};
        synth_object(w->synth, w->class, 4096, START + i * MILLI, ops, 3);
    }
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_STEADY)->count, 32);
    finish(w);
}
END_TEST

START_TEST(leaks_that_ended_with_the_traffic_are_still_leaks)
{
    struct world *w = make_world();
    uint32_t lost = at(w, w->loop, 0x900);
    make_live(w);
    /* everything happened in the first seconds, then the program idled for minutes */
    live(w, 100, START + SECOND, START + 3 * SECOND, OPS(ALLOC(lost)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x900)->count, 100);
    finish(w);
}
END_TEST

START_TEST(leaks_whose_path_was_left_late_are_still_leaks)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 1000, START + SECOND, END - 150 * SECOND,
         OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x150)), RELEASE(end)));
    done(w, 50000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->count, 1000);
    finish(w);
}
END_TEST

START_TEST(what_lives_long_by_nature_is_released_late_and_not_accused)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    make_live(w);
    live(w, 40, END - 250 * SECOND, END - SECOND, OPS(ALLOC(make)));
    done(w, 200, 300 * SECOND, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    left_alone(w, BL_GROUND_IN_USE);
    finish(w);
}
END_TEST

START_TEST(new_kinds_of_buffers_are_given_time)
{
    struct world *w = make_world();
    make_live(w);
    live(w, 9, END - 500 * MILLI, END, OPS(ALLOC(at(w, w->loop, 0x100))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_YOUNG)->count, 9);
    finish(w);
}
END_TEST

START_TEST(what_is_made_once_per_path_is_a_singleton)
{
    struct world *w = make_world();
    for (uint64_t type = 0; type < 12; type++) {
        uint32_t make = at(w, at(w, w->main_frame, 0x4000 + type), 0x900);
        live(w, 1, START, START + (200 + type) * SECOND, OPS(ALLOC(make)));
    }
    done(w, 5000, 2 * MILLI, OPS(ALLOC(at(w, w->loop, 0x100)), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_ONCE)->count, 12);
    finish(w);
}
END_TEST

START_TEST(one_buffer_retained_by_a_global_is_a_singleton)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 1, START, START + 400 * SECOND,
         OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x150)), RELEASE(end)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    left_alone(w, BL_GROUND_ONCE);
    finish(w);
}
END_TEST

START_TEST(one_buffer_that_was_born_alone_and_passed_around_is_a_singleton)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t pass = at(w, w->loop, 0x140);
    uint32_t drop = at(w, w->loop, 0x150);
    live(w, 1, END / 2, END / 2,
         OPS(ALLOC(inside(w, make, 0x10)), RETAIN(pass), RETAIN(pass), RELEASE(drop),
             RELEASE(drop)));
    done(w, 5000, 2 * MILLI,
         OPS(ALLOC(inside(w, make, 0x20)), RETAIN(pass), RELEASE(drop), LAST(drop)));
    judge(w);
    left_alone(w, BL_GROUND_ONCE);
    finish(w);
}
END_TEST

START_TEST(what_a_library_sets_up_for_itself_is_left_to_it)
{
    struct world *w = make_world();
    uint32_t deep = at(w, w->main_frame, 0x900);
    for (uint64_t i = 0; i < 6; i++)
        deep = inside(w, deep, 0x10 + i);
    live(w, 4, START + 300 * SECOND, START + 300 * SECOND + MILLI, OPS(ALLOC(deep)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(at(w, w->loop, 0x100)), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_ONCE)->count, 4);
    finish(w);
}
END_TEST

START_TEST(what_is_made_to_stay_is_no_leak)
{
    struct world *w = make_world();
    uint32_t set_up = inside(w, w->main_frame, 0x1010);
    uint32_t make = at(w, set_up, 0x100);
    uint32_t pass = at(w, w->loop, 0x140);
    uint32_t drop = at(w, w->loop, 0x150);
    synth_lasting(w->synth, "/usr/lib/libbuf.so.1", 0x1000, 0x20, 0);
    live(w, 500, START, END, OPS(ALLOC(make)));
    live(w, 500, START, END, OPS(ALLOC(make), RETAIN(pass), RELEASE(drop)));
    live(w, 500, START, END, OPS(ALLOC(make), RETAIN(at(w, set_up, 0x120))));
    judge(w);
    left_alone(w, BL_GROUND_LASTING);
    ck_assert_uint_eq(w->model->group_count, 1);
    finish(w);
}
END_TEST

START_TEST(a_reference_to_what_is_made_to_stay_can_be_leaked)
{
    struct world *w = make_world();
    uint32_t make = at(w, inside(w, w->main_frame, 0x1010), 0x100);
    uint32_t pass = at(w, w->loop, 0x140);
    synth_lasting(w->synth, "/usr/lib/libbuf.so.1", 0x1000, 0x20, 0);
    live(w, 400, START, END, OPS(ALLOC(make), RETAIN(pass), RELEASE(at(w, w->loop, 0x150))));
    live(w, 100, START, END, OPS(ALLOC(make), RETAIN(pass)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x140);
    ck_assert_uint_eq(group->finding->leaked, 100);
    ck_assert_uint_eq(group->finding->passed, 500);
    finish(w);
}
END_TEST

START_TEST(only_births_last_where_the_profile_says_so)
{
    struct world *w = make_world();
    uint32_t set_up = inside(w, w->loop, 0x1010);
    uint32_t again = at(w, set_up, 0x120);
    synth_lasting(w->synth, "/usr/lib/libbuf.so.1", 0x1000, 0x20, BL_LASTING_BIRTHS);
    live(w, 100, START, END, OPS(ALLOC(at(w, set_up, 0x100)), RETAIN(again)));
    judge(w);
    only(w, BL_VERDICT_MISSING_RELEASE, 0x120);
    finish(w);
}
END_TEST

START_TEST(code_beside_a_lasting_function_is_judged)
{
    struct world *w = make_world();
    synth_lasting(w->synth, "/usr/lib/libbuf.so.1", 0x1000, 0x20, 0);
    synth_lasting(w->synth, "/usr/lib/libother.so", 0x2000, 0x20, 0);
    live(w, 100, START, END, OPS(ALLOC(at(w, inside(w, w->loop, 0x1021), 0x100))));
    live(w, 100, START, END, OPS(ALLOC(at(w, inside(w, w->loop, 0x2010), 0x200))));
    judge(w);
    find(w, BL_VERDICT_NEVER_RELEASED, 0x100);
    find(w, BL_VERDICT_NEVER_RELEASED, 0x200);
    finish(w);
}
END_TEST

/* One object that lives to the end has been given `taken` references by a queue, most of which that
 * gave back itself, and `elsewhere` where it was emptied. */
static void use_by_queue(struct world *w, int32_t taken, int32_t by_queue, int32_t elsewhere)
{
    uint32_t whole = at(w, w->main_frame, 0x60);
    uint32_t early = at(w, whole, 0x120);
    const struct synth_op ops[] = {
        ALLOC(at(w, whole, 0x100)),
        {.op = BL_OP_RETAIN, .stack = early, .delta = 6},
        {.op = BL_OP_RETAIN, .stack = at(w, w->loop, 0x300), .delta = taken},
        {.op = BL_OP_RELEASE, .stack = at(w, w->loop, 0x310), .delta = -by_queue},
        {.op = BL_OP_RELEASE, .stack = at(w, whole, 0x140), .delta = -elsewhere},
    };
    live(w, 1, END - 10 * SECOND, END - 10 * SECOND, ops, elsewhere > 0 ? 5 : 4);
}

START_TEST(what_a_queue_gave_back_where_it_was_emptied_is_not_missing)
{
    struct world *w = make_world();
    use_by_queue(w, 2000, 1900, 100);
    judge(w);
    ck_assert_uint_eq(accusations(w), 0);
    finish(w);
}
END_TEST

START_TEST(what_a_queue_never_gave_back_of_one_object_is_missing)
{
    struct world *w = make_world();
    use_by_queue(w, 2000, 1920, 0);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x300)->finding->refs_max, 80);
    finish(w);
}
END_TEST

START_TEST(a_leak_that_recurses_is_no_singleton)
{
    struct world *w = make_world();
    uint32_t caller = w->loop;
    for (uint64_t depth = 0; depth < 40; depth++) {
        caller = at(w, caller, 0x700);
        live(w, 1, START, START + (10 + 18 * depth) * SECOND, OPS(ALLOC(at(w, caller, 0x900))));
    }
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x900)->count, 40);
    finish(w);
}
END_TEST

START_TEST(a_count_that_drifted_accuses_nobody)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    live(w, 2, START + SECOND, END - SECOND, OPS(ALLOC(make)));
    struct bl_object *object = synth_record(w->synth, BL_SECTION_OBJECTS, 1);
    object->flags = BL_OBJECT_FIELD | BL_OBJECT_DRIFTED;
    object->field = 3;
    object = synth_record(w->synth, BL_SECTION_OBJECTS, 2);
    object->flags = BL_OBJECT_FIELD | BL_OBJECT_DRIFTED;
    object->field = 1;
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_DRIFTED)->count, 2);
    finish(w);
}
END_TEST

START_TEST(a_history_that_was_not_kept_whole_accuses_nobody)
{
    struct world *w = make_world();
    live(w, 1, START + SECOND, END - SECOND, OPS(ALLOC(at(w, w->loop, 0x100))));
    struct bl_object *object = synth_record(w->synth, BL_SECTION_OBJECTS, 1);
    object->event_overflow = 5;
    judge(w);
    left_alone(w, BL_GROUND_OVERFLOW);
    finish(w);
}
END_TEST

START_TEST(what_came_with_a_fork_is_judged_in_the_parent)
{
    struct world *w = make_world();
    w->synth->header.flags = BL_FLAG_FORKED;
    w->synth->header.forked_ns = 100 * SECOND;
    live(w, 10, 2 * SECOND, 90 * SECOND,
         OPS({.op = BL_OP_ALLOC, .stack = at(w, w->loop, 0x100), .delta = 1, .thread = 0}));
    for (uint32_t i = 1; i <= 10; i++)
        ((struct bl_object *)synth_record(w->synth, BL_SECTION_OBJECTS, i))->thread = 0;
    judge(w);
    const struct bl_group *group = left_alone(w, BL_GROUND_INHERITED);
    ck_assert_uint_eq(group->inherited, 10);
    finish(w);
}
END_TEST

START_TEST(at_exit_the_buffers_of_busy_threads_are_in_use)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    struct synth_op ops[] = {{.op = BL_OP_ALLOC, .stack = make, .delta = 1, .thread = w->worker}};
    live(w, 2, END - 2 * MILLI, END - MILLI, ops, 1);
    done(w, 3000, 4 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    left_alone(w, BL_GROUND_IN_USE);
    finish(w);
}
END_TEST

/* ---- grouping ---- */

START_TEST(what_a_leaked_owner_holds_is_folded_under_it)
{
    struct world *w = make_world();
    uint32_t memory = synth_class(w->synth, "mem");
    synth_refcounted(w->synth, memory, "libbuf.so*");
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 50, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    live_in(w, memory, 50, START + SECOND, END - SECOND, OPS(ALLOC(inside(w, make, 0x33))));
    done(w, 800, 1 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_finding *finding = only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->finding;
    ck_assert_uint_eq(finding->part_count, 1);
    ck_assert_uint_eq(finding->parts[0].class_number, memory);
    ck_assert_uint_eq(finding->parts[0].count, 50);
    finish(w);
}
END_TEST

/* Of how many classes it may be. */
START_TEST(all_that_a_leaked_owner_holds_is_in_the_totals)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint64_t count = 0;
    uint64_t bytes = 0;
    live(w, 50, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x150)), RELEASE(at(w, w->loop, 0x180))));
    for (uint32_t i = 0; i < BL_FINDING_PARTS + 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "part-%u", i);
        uint32_t number = synth_class(w->synth, name);
        synth_refcounted(w->synth, number, "libbuf.so*");
        live_in(w, number, 50, START + SECOND, END - SECOND, OPS(ALLOC(inside(w, make, 0x33 + i))));
    }
    done(w, 800, 1 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    const struct bl_finding *finding = only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->finding;
    ck_assert_uint_eq(finding->part_count, BL_FINDING_PARTS);
    ck_assert_uint_eq(bl_finding_other_classes(finding), 3);
    ck_assert_uint_eq(finding->other_parts.count, 150);
    for (size_t i = 0; i < finding->part_count; i++) {
        count += finding->parts[i].count;
        bytes += finding->parts[i].bytes;
    }
    ck_assert_uint_eq(count + finding->other_parts.count, 50 * (BL_FINDING_PARTS + 3));
    ck_assert_uint_eq(bytes + finding->other_parts.bytes, 50000ull * (BL_FINDING_PARTS + 3));
    finish(w);
}
END_TEST

START_TEST(what_was_collected_with_its_owner_is_its_part)
{
    struct world *w = make_world();
    uint32_t memory = synth_class(w->synth, "mem");
    synth_refcounted(w->synth, memory, "libbuf.so*");
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t fill = inside(w, make, 0x33);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 3, END - 400 * MILLI, END - 300 * MILLI, OPS(ALLOC(make)));
    live_in(w, memory, 3, END - 400 * MILLI, END - 300 * MILLI, OPS(ALLOC(fill)));
    collect(w, 6);
    done(w, 5000, 500 * MILLI, OPS(ALLOC(make), LAST(end)));
    synth_lifecycle(w->synth, memory, 5000, 500 * MILLI, END - SECOND,
                    OPS(ALLOC(fill), LAST(inside(w, end, 0x44))));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(group->count, 3);
    ck_assert_uint_eq(group->finding->part_count, 1);
    ck_assert_uint_eq(group->finding->parts[0].class_number, memory);
    ck_assert_uint_eq(group->finding->parts[0].count, 3);
    finish(w);
}
END_TEST

START_TEST(what_merely_looks_like_a_part_is_not_folded)
{
    struct world *w = make_world();
    uint32_t memory = synth_class(w->synth, "mem");
    synth_refcounted(w->synth, memory, "libbuf.so*");
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    live(w, 50, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x150)), RELEASE(end)));
    /* born elsewhere, though as often */
    live_in(w, memory, 50, START + SECOND, END - SECOND, OPS(ALLOC(at(w, w->loop, 0x700))));
    done(w, 800, 1 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(accusations(w), 2);
    ck_assert_uint_eq(find(w, BL_VERDICT_NEVER_RELEASED, 0x700)->count, 50);
    finish(w);
}
END_TEST

/* ---- owners ---- */

static uint32_t next_object(const struct world *w)
{
    size_t length = w->synth->sections[BL_SECTION_OBJECTS].length;
    return length ? (uint32_t)(length / sizeof(struct bl_object)) : 1;
}

/* A pool's class, and `count` pools born over [from, to] at an offset; each then owns `each` of the
 * other class's latest objects, in turn. */
static uint32_t make_pools(struct world *w, uint64_t count, uint64_t from, uint64_t to,
                           uint32_t birth)
{
    uint32_t pools = synth_class(w->synth, "pool");
    uint32_t first = next_object(w);
    synth_refcounted(w->synth, pools, "libbuf.so*");
    live_in(w, pools, count, from, to, OPS(ALLOC(birth)));
    return first;
}

static void give_to(struct world *w, uint32_t first_pool, uint64_t each, uint32_t first,
                    uint64_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bl_object *o = synth_record(w->synth, BL_SECTION_OBJECTS, first + i);
        o->owner = first_pool + i / (uint32_t)each;
    }
}

static void set_class_flags(struct world *w, uint32_t flags)
{
    struct bl_class *class = synth_record(w->synth, BL_SECTION_CLASSES, w->class);
    class->flags |= flags;
}

START_TEST(what_siblings_left_to_their_owners_is_left_to_it)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x50);
    uint32_t pools = make_pools(w, 1, END - SECOND, END - SECOND, at(w, w->loop, 0x40));
    uint32_t first = next_object(w);
    live(w, 200, START + SECOND, END - SECOND, OPS(ALLOC(make)));
    give_to(w, pools, 200, first, 200);
    set_class_flags(w, BL_CLASS_RELEASED);
    done(w, 900, 3 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x60))));
    done(w, 10, 3 * MILLI, OPS(ALLOC(make), WITH_OWNER(at(w, w->loop, 0x41))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_OWNED)->count, 200);
    finish(w);
}
END_TEST

START_TEST(what_siblings_released_is_missed_though_its_owner_lives)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x50);
    uint32_t pools = make_pools(w, 1, END - SECOND, END - SECOND, at(w, w->loop, 0x40));
    uint32_t first = next_object(w);
    live(w, 200, START + SECOND, END - SECOND, OPS(ALLOC(make)));
    give_to(w, pools, 200, first, 200);
    set_class_flags(w, BL_CLASS_RELEASED);
    done(w, 900, 3 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x60))));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x50);
    ck_assert_uint_eq(group->count, 200);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x60);
    finish(w);
}
END_TEST

START_TEST(an_end_with_the_owner_is_no_release_to_miss)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x50);
    live(w, 200, START + SECOND, END - SECOND, OPS(ALLOC(make)));
    set_class_flags(w, BL_CLASS_RELEASED);
    done(w, 900, 3 * MILLI, OPS(ALLOC(make), WITH_OWNER(at(w, w->loop, 0x41))));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_NEVER_RELEASED, 0x50);
    ck_assert_uint_eq(group->count, 200);
    ck_assert_uint_eq(group->finding->expected_frame, 0);
    finish(w);
}
END_TEST

START_TEST(what_nothing_releases_may_pile_up_in_its_owner)
{
    struct world *w = make_world();
    uint32_t pools = make_pools(w, 1, END - SECOND, END - SECOND, at(w, w->loop, 0x40));
    uint32_t first = next_object(w);
    live(w, 200, START + SECOND, END - SECOND, OPS(ALLOC(at(w, w->loop, 0x50))));
    give_to(w, pools, 200, first, 200);
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_OWNED)->count, 200);
    finish(w);
}
END_TEST

START_TEST(what_can_be_released_and_piles_up_is_never_released)
{
    struct world *w = make_world();
    uint32_t pools = make_pools(w, 1, END - SECOND, END - SECOND, at(w, w->loop, 0x40));
    uint32_t first = next_object(w);
    live(w, 200, START + SECOND, END - SECOND, OPS(ALLOC(at(w, w->loop, 0x50))));
    give_to(w, pools, 200, first, 200);
    set_class_flags(w, BL_CLASS_RELEASED);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x50)->count, 200);
    finish(w);
}
END_TEST

START_TEST(what_a_leaked_owner_owns_is_its_part)
{
    struct world *w = make_world();
    uint32_t pools = make_pools(w, 100, START + SECOND, END - SECOND, at(w, w->loop, 0x40));
    uint32_t first = next_object(w);
    live(w, 300, START + SECOND, END - SECOND, OPS(ALLOC(at(w, w->loop, 0x50))));
    give_to(w, pools, 3, first, 300);
    set_class_flags(w, BL_CLASS_RELEASED);
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_NEVER_RELEASED, 0x40);
    ck_assert_uint_eq(group->finding->part_count, 1);
    ck_assert_uint_eq(group->finding->parts[0].count, 300);
    ck_assert_uint_eq(w->model->group_count, 1);
    finish(w);
}
END_TEST

START_TEST(owners_in_a_circle_answer_for_nothing)
{
    struct world *w = make_world();
    uint32_t pools = make_pools(w, 100, START + SECOND, END - SECOND, at(w, w->loop, 0x40));
    uint32_t first = next_object(w);
    live(w, 100, START + SECOND, END - SECOND, OPS(ALLOC(at(w, w->loop, 0x50))));
    give_to(w, pools, 1, first, 100);
    give_to(w, first, 1, pools, 100);
    judge(w);
    uint64_t buffers = 0;
    for (size_t i = 0; i < w->model->group_count; i++)
        buffers += w->model->groups[i].count;
    ck_assert_uint_eq(buffers, 200);
    finish(w);
}
END_TEST

START_TEST(an_owner_that_was_not_seen_accuses_nobody)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x50);
    uint32_t first = next_object(w);
    live(w, 200, START + SECOND, END - SECOND, OPS(ALLOC(make)));
    for (uint32_t i = 0; i < 200; i++) {
        struct bl_object *o = synth_record(w->synth, BL_SECTION_OBJECTS, first + i);
        o->flags |= BL_OBJECT_OWNER_UNKNOWN;
    }
    done(w, 900, 3 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x60))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_OWNER_UNSEEN)->count, 200);
    finish(w);
}
END_TEST

START_TEST(own_modules_are_where_the_site_is)
{
    struct world *w = make_world();
    uint32_t glue = synth_module(w->synth, "/usr/lib/libglue.so", "gl", 2, 0);
    uint32_t make = synth_frame(w->synth, at(w, w->loop, 0x100), glue, 0x9000);
    uint32_t keep = synth_frame(w->synth, at(w, w->loop, 0x150), glue, 0x9100);
    uint32_t end = synth_frame(w->synth, at(w, w->loop, 0x180), glue, 0x9200);
    live(w, 50, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    done(w, 800, 1 * MILLI, OPS(ALLOC(make), LAST(end)));
    w->options.own[0] = "gw";
    w->options.own_count = 1;
    judge(w);
    only(w, BL_VERDICT_MISSING_RELEASE, 0x150);
    finish(w);
}
END_TEST

START_TEST(accusations_come_before_what_is_only_large)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    synth_live(w->synth, 0, 1 << 30, at(w, w->loop, 0x999), 0, START);
    live(w, 3, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x150)), RELEASE(end)));
    done(w, 800, 1 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(w->model->group_count, 2);
    ck_assert_ptr_nonnull(w->model->groups[0].finding);
    ck_assert_ptr_null(w->model->groups[1].finding);
    finish(w);
}
END_TEST

START_TEST(lists_that_cycle_or_meet_are_cut)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    live(w, 3, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RELEASE(make), RETAIN(make), RETAIN(at(w, w->loop, 0x150))));
    struct bl_object *objects = synth_record(w->synth, BL_SECTION_OBJECTS, 1);
    struct bl_event *first = synth_record(w->synth, BL_SECTION_EVENTS, objects[0].events - 2);
    first->next = objects[0].events;
    objects[0].event_count = UINT8_MAX;
    objects[2].events = objects[1].events;
    objects[1].event_count = UINT8_MAX;
    size_t size;
    uint8_t *bytes = synth_bytes(w->synth, &size);
    int fd = synth_file(bytes, size);
    ck_assert_int_eq(bl_reader_create(&w->reader, fd, "test", BL_READER_ALL, &error), 0);
    close(fd);
    free(bytes);
    size_t count;
    const struct bl_tracked *tracked = bl_reader_objects(w->reader, &count);
    struct bl_event events[16];
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(bl_reader_history(w->reader, tracked[0].object.events,
                                        tracked[0].object.event_count, events, 16),
                      3);
    ck_assert_uint_eq(tracked[1].object.event_count, 3);
    ck_assert_uint_eq(tracked[2].object.event_count, 0);
    ck_assert_uint_ge(bl_reader_damage(w->reader), 2);
    ck_assert_int_eq(bl_model_create(&w->model, w->reader, false, &w->options, &error), 0);
    ck_assert_int_eq(
        bl_pairing_create(&w->pairing, w->reader, NULL, NULL, w->model, &w->options, &error), 0);
    finish(w);
}
END_TEST

/* ---- time and threads ---- */

START_TEST(what_a_late_consumer_released_all_at_once_shows_who_was_forgotten)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t push = at(w, w->loop, 0x110);
    uint32_t end = at(w, w->loop, 0x180);
    uint64_t last = START + 120 * MILLI;
    w->synth->header.end_ns = START + 125 * MILLI;
    live(w, 250, START, START + 20 * MILLI, OPS(ALLOC(make), RETAIN(push), RELEASE(make)));
    /* the queue was full all the time: each waited until the consumer came to run */
    done_between(w, 4750, 100 * MILLI, 120 * MILLI, last, last,
                 OPS(ALLOC(make), RETAIN(push), RELEASE(make), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x110);
    ck_assert_uint_eq(group->count, 250);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x180);
    finish(w);
}
END_TEST

START_TEST(leaks_of_a_thread_that_did_its_work_before_others_are_leaks)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x110);
    uint32_t drop = at(w, w->loop, 0x120);
    uint32_t end = at(w, w->loop, 0x180);
    struct synth_op ops[] = {{.op = BL_OP_ALLOC, .stack = make, .delta = 1, .thread = w->worker},
                             {.op = BL_OP_RETAIN, .stack = keep, .delta = 1, .thread = w->worker},
                             {.op = BL_OP_RELEASE, .stack = end, .delta = -1, .thread = w->worker}};
    live(w, 40, START + SECOND, START + 80 * SECOND, ops, 3);
    done(w, 39960, 2 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(drop), LAST(end)));
    struct bl_thread *thread = synth_record(w->synth, BL_SECTION_THREADS, w->worker);
    thread->flags = BL_THREAD_ENDED;
    thread->start_ns = START;
    thread->end_ns = START + 81 * SECOND;
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x110)->count, 40);
    finish(w);
}
END_TEST

START_TEST(of_what_one_call_makes_inside_the_library_the_same_kind_is_compared)
{
    struct world *w = make_world();
    uint32_t call = at(w, w->loop, 0x133);
    uint32_t end = at(w, w->loop, 0x119);
    uint32_t deep = inside(w, inside(w, call, 0x10), 0x20);
    uint32_t other = inside(w, call, 0x30);
    uint32_t session = inside(w, call, 0x5);
    uint32_t session_end = inside(w, end, 0x40);
    uint32_t deep_end = inside(w, session_end, 0x50);
    uint32_t get = at(w, w->loop, 0x142);
    for (uint64_t i = 0; i < 6; i++) {
        uint64_t born = START + i * 100 * SECOND;
        /* further apart than what is born together */
        live(w, 1, born, born, OPS(ALLOC(session), RETAIN(get), RELEASE(session_end)));
        live(w, 1, born, born + SECOND, OPS(ALLOC(deep)));
    }
    done(w, 54, 5 * MILLI, OPS(ALLOC(session), RETAIN(get), RELEASE(get), LAST(session_end)));
    done(w, 240, 5 * MILLI, OPS(ALLOC(other), LAST(inside(w, end, 0x60))));
    done(w, 54, 5 * MILLI, OPS(ALLOC(deep), LAST(deep_end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x142);
    ck_assert_uint_eq(group->count, 6);
    ck_assert_uint_eq(group->finding->part_count, 1);
    ck_assert_uint_eq(group->finding->parts[0].count, 6);
    finish(w);
}
END_TEST

START_TEST(what_the_library_holds_ends_inside_it_and_the_callers_own_by_the_caller)
{
    struct world *w = make_world();
    uint32_t make = inside(w, inside(w, at(w, w->loop, 0x100), 0x1), 0x2);
    uint32_t keep = at(w, w->loop, 0x110);
    uint32_t drop = at(w, w->loop, 0x120);
    uint32_t end = inside(w, at(w, w->loop, 0x130), 0x3);
    live(w, 6, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    done(w, 600, 2 * MILLI, OPS(ALLOC(make), RETAIN(keep), RELEASE(end), LAST(drop)));
    done(w, 600, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x110);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x120);
    finish(w);
}
END_TEST

START_TEST(who_made_a_buffer_ends_it_in_a_callback_too)
{
    struct world *w = make_world();
    uint32_t make = inside(w, at(w, w->loop, 0x100), 0x1);
    uint32_t write = inside(w, at(w, w->loop, 0x110), 0x2);
    uint32_t written = inside(w, at(w, w->loop, 0x110), 0x3);
    uint32_t defer = inside(w, at(w, w->loop, 0x110), 0x4);
    uint32_t run = inside(w, at(w, w->loop, 0x120), 0x5);
    uint32_t callback = at(w, inside(w, run, 0x6), 0x130);
    live(w, 20, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(write), RELEASE(written), RETAIN(defer), RELEASE(run)));
    done(w, 600, 2 * MILLI,
         OPS(ALLOC(make), RETAIN(write), RELEASE(written), RETAIN(defer), RELEASE(callback),
             LAST(run)));
    done(w, 600, 2 * MILLI,
         OPS(ALLOC(make), RETAIN(write), RELEASE(written), LAST(at(w, w->loop, 0x140))));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x100);
    ck_assert_uint_eq(offset_of(w, group->finding->expected_frame), 0x130);
    finish(w);
}
END_TEST

START_TEST(a_path_that_always_forgets_is_told_by_itself_and_not_by_others_of_its_helpers)
{
    struct world *w = make_world();
    uint32_t path = at(w, w->loop, 0x200);
    uint32_t other = at(w, w->loop, 0x300);
    uint32_t make = at(w, at(w, path, 0x210), 0x10);
    uint32_t keep = at(w, at(w, path, 0x220), 0x20);
    uint32_t consumed = at(w, at(w, synth_frame(w->synth, 0, w->gw, 0x900), 0x910), 0x30);
    uint32_t other_make = at(w, at(w, other, 0x310), 0x10);
    uint32_t other_keep = at(w, at(w, other, 0x320), 0x20);
    uint32_t other_drop = at(w, at(w, other, 0x330), 0x30);
    uint32_t other_end = at(w, at(w, other, 0x340), 0x30);
    live(w, 60, START + SECOND, END - SECOND, OPS(ALLOC(make)));
    live(w, 200, START + SECOND, END - SECOND, OPS(ALLOC(make), RETAIN(keep), RELEASE(consumed)));
    done(w, 500, 2 * MILLI,
         OPS(ALLOC(other_make), RETAIN(other_keep), RELEASE(other_drop), LAST(other_end)));
    done(w, 300, 2 * MILLI, OPS(ALLOC(other_make), LAST(other_end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x10)->count, 260);
    finish(w);
}
END_TEST

START_TEST(a_release_before_one_that_left_no_frame_is_not_inside_it)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t log = at(w, w->loop, 0x110);
    uint32_t cache = at(w, w->loop, 0x120);
    uint32_t log_end = at(w, w->loop, 0x130);
    uint32_t cache_end = at(w, w->loop, 0x140);
    uint32_t end = w->loop; /* the function jumped into the release */
    live(w, 200, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(log), RETAIN(cache), RELEASE(cache_end), RELEASE(end)));
    live(w, 400, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(log), RETAIN(cache), RELEASE(log_end), RELEASE(end)));
    live(w, 100, START + SECOND, END - SECOND,
         OPS(ALLOC(make), RETAIN(log), RETAIN(cache), RELEASE(log_end), RELEASE(cache_end)));
    done(w, 2000, 2 * MILLI,
         OPS(ALLOC(make), RETAIN(log), RETAIN(cache), RELEASE(log_end), RELEASE(cache_end),
             LAST(end)));
    judge(w);
    for (size_t i = 0; i < accusations(w); i++)
        ck_assert_uint_eq(w->model->groups[i].finding->part_count, 0);
    ck_assert_uint_eq(accusations(w), 3);
    finish(w);
}
END_TEST

START_TEST(what_its_owner_ends_in_two_steps_is_held_once)
{
    struct world *w = make_world();
    uint32_t below = inside(w, at(w, w->loop, 0x100), 0x1);
    uint32_t call = at(w, w->loop, 0x110);
    uint32_t make = inside(w, call, 0x2);
    uint32_t hold = inside(w, inside(w, call, 0x3), 0x4);
    uint32_t end = at(w, w->loop, 0x120);
    uint32_t unlink = inside(w, end, 0x5);
    uint32_t last = inside(w, inside(w, at(w, w->loop, 0x130), 0x6), 0x7);
    for (uint64_t i = 0; i < 20; i++) {
        uint64_t born = START + (i + 1) * 10 * SECOND;
        live(w, 1, born, born, OPS(ALLOC(below), RETAIN(hold)));
        live(w, 1, born, born, OPS(ALLOC(make)));
    }
    done(w, 600, 2 * MILLI, OPS(ALLOC(below), RETAIN(hold), RELEASE(unlink), LAST(last)));
    done(w, 600, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_group *group = only(w, BL_VERDICT_MISSING_RELEASE, 0x110);
    ck_assert_uint_eq(group->finding->part_count, 1);
    ck_assert_uint_eq(group->finding->parts[0].count, 20);
    finish(w);
}
END_TEST

START_TEST(what_a_busy_thread_still_holds_at_exit_is_in_use)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t own = at(w, w->loop, 0x200);
    /* the thread's own reference is not given back yet, the maker's is */
    struct synth_op ops[] = {
        {.op = BL_OP_ALLOC, .stack = make, .delta = 1},
        {.op = BL_OP_RETAIN, .stack = own, .delta = 1},
        {.op = BL_OP_RETAIN, .stack = at(w, w->loop, 0x210), .delta = 1, .thread = w->worker},
        {.op = BL_OP_RELEASE, .stack = at(w, w->loop, 0x220), .delta = -1, .thread = w->worker},
        {.op = BL_OP_RELEASE, .stack = end, .delta = -1}};
    live(w, 1, END - 40 * SECOND, END - 40 * SECOND, ops, 5);
    done(w, 3, 100 * SECOND,
         OPS(ALLOC(make), RETAIN(own), RELEASE(end), LAST(at(w, w->loop, 0x190))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 1);
    finish(w);
}
END_TEST

START_TEST(what_workers_had_when_they_were_told_to_stop_is_in_use)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t split = at(w, w->loop, 0x120);
    struct synth_op ops[] = {{.op = BL_OP_ALLOC, .stack = make, .delta = 1, .thread = w->worker},
                             {.op = BL_OP_RETAIN, .stack = split, .delta = 1, .thread = w->worker}};
    live(w, 3, END - 20 * MILLI, END - 10 * MILLI, ops, 2);
    done(w, 9000, 30 * MILLI, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    struct bl_thread *thread = synth_record(w->synth, BL_SECTION_THREADS, w->worker);
    thread->flags = BL_THREAD_ENDED;
    thread->start_ns = START;
    thread->end_ns = END - 5 * MILLI;
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 3);
    finish(w);
}
END_TEST

/* A process that has many threads ends as soon as its work is done, of which two did all. */
static void end_at_once(struct world *w, bool has_ended)
{
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t keep = at(w, w->loop, 0x120);
    uint32_t drop = at(w, w->loop, 0x130);
    uint32_t end = at(w, w->loop, 0x180);
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t number = synth_thread(w->synth, 4400 + i, "idle");
        ((struct bl_thread *)synth_record(w->synth, BL_SECTION_THREADS, number))->start_ns = START;
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t number = i == 0 ? w->worker : synth_thread(w->synth, 4300, "worker");
        struct synth_op ops[] = {
            {.op = BL_OP_ALLOC, .stack = make, .delta = 1, .thread = number},
            {.op = BL_OP_RETAIN, .stack = keep, .delta = 1, .thread = number},
            {.op = BL_OP_RELEASE, .stack = end, .delta = -1, .thread = number}};
        live(w, 10, END - 50 * SECOND, END - 40 * SECOND, ops, 3);
    }
    done_between(w, 3900, SECOND, 60 * SECOND, END - 70 * SECOND, END, OPS(ALLOC(make), LAST(end)));
    if (has_ended)
        done_between(w, 60, SECOND, 60 * SECOND, END - 70 * SECOND, END,
                     OPS(ALLOC(make), RETAIN(keep), RELEASE(drop), LAST(end)));
}

START_TEST(what_two_threads_kept_of_all_they_took_is_not_in_the_hands_of_others)
{
    struct world *w = make_world();
    end_at_once(w, false);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x120)->count, 20);
    finish(w);
}
END_TEST

START_TEST(what_two_threads_took_may_be_in_the_hands_of_others_that_give_it_back)
{
    struct world *w = make_world();
    end_at_once(w, true);
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_IN_USE)->count, 20);
    finish(w);
}
END_TEST

/* Something that a worker uses to the end is set up by one call, late in the run, and with it two
 * more, which the library has a plug-in make. */
struct set_up {
    uint32_t whole;
    uint32_t part;
    uint32_t use;
};

static struct set_up make_set_up(struct world *w)
{
    uint32_t call = at(w, w->main_frame, 0x300);
    return (struct set_up){.whole = inside(w, call, 0x40),
                           .part = at(w, inside(w, call, 0x50), 0x800),
                           .use = at(w, w->loop, 0x210)};
}

static void set_up(struct world *w, struct set_up at, uint64_t birth_ns, uint64_t parts_ns,
                   uint64_t used_ns)
{
    struct synth_op part[] = {{.op = BL_OP_ALLOC, .stack = at.part, .delta = 1}};
    struct synth_op ops[] = {
        {.op = BL_OP_ALLOC, .stack = at.whole, .delta = 1, .thread = w->main_thread},
        {.op = BL_OP_RETAIN, .stack = at.use, .delta = 1, .thread = w->worker},
        {.op = BL_OP_RELEASE, .stack = at.use, .delta = -1, .thread = w->worker}};
    for (size_t i = 0; i < 3; i++)
        ops[i].time_ns = i == 0 ? birth_ns : used_ns;
    synth_object(w->synth, w->class, 1000, birth_ns, ops, 3);
    live(w, 2, birth_ns, parts_ns, part, 1);
}

static void work_all_the_time(struct world *w)
{
    done_between(w, 9000, MILLI, 2 * MILLI, START + MILLI, END,
                 OPS(ALLOC(at(w, w->loop, 0x100)), LAST(at(w, w->loop, 0x180))));
}

START_TEST(one_of_a_running_process_is_not_judged_before_others_ages)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    make_live(w);
    live(w, 1, END - 20 * SECOND, END - 20 * SECOND,
         OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x120)), RELEASE(at(w, w->loop, 0x130))));
    done_between(w, 5000, MILLI, 30 * SECOND, START + SECOND, END,
                 OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x140)), RELEASE(at(w, w->loop, 0x150)),
                     LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_YOUNG)->count, 1);
    finish(w);
}
END_TEST

START_TEST(one_of_a_running_process_that_is_older_than_others_is_blamed)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    make_live(w);
    live(w, 1, END - 200 * SECOND, END - 200 * SECOND,
         OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x120)), RELEASE(at(w, w->loop, 0x130))));
    done_between(w, 5000, MILLI, 30 * SECOND, START + SECOND, END,
                 OPS(ALLOC(make), RETAIN(at(w, w->loop, 0x140)), RELEASE(at(w, w->loop, 0x150)),
                     LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(accusations(w), 1);
    finish(w);
}
END_TEST

START_TEST(what_hangs_on_the_last_that_a_thread_at_work_did_is_in_its_hands)
{
    struct world *w = make_world();
    work_all_the_time(w);
    set_up(w, make_set_up(w), END - 300 * SECOND, END - 280 * SECOND, END - MILLI);
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_HANDS)->count, 2);
    finish(w);
}
END_TEST

START_TEST(a_thread_at_work_has_no_more_in_its_hands_than_the_last)
{
    struct world *w = make_world();
    struct set_up places = make_set_up(w);
    work_all_the_time(w);
    for (uint64_t i = 5; i-- > 0;)
        set_up(w, places, END - (10 + 50 * i) * SECOND, END - (10 + 50 * i) * SECOND,
               END - MILLI - 50 * i * SECOND);
    judge(w);
    ck_assert_uint_eq(find(w, BL_VERDICT_NEVER_RELEASED, 0x300)->count, 5);
    ck_assert_uint_eq(find(w, BL_VERDICT_NEVER_RELEASED, 0x800)->count, 10);
    finish(w);
}
END_TEST

START_TEST(what_one_long_call_makes_as_the_work_goes_on_is_in_nobodys_hands)
{
    struct world *w = make_world();
    work_all_the_time(w);
    set_up(w, make_set_up(w), END - 500 * SECOND, END - 100 * SECOND, END - MILLI);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x800)->count, 2);
    finish(w);
}
END_TEST

START_TEST(what_a_thread_did_that_has_ended_is_in_nobodys_hands)
{
    struct world *w = make_world();
    work_all_the_time(w);
    set_up(w, make_set_up(w), END - 300 * SECOND, END - 280 * SECOND, END - MILLI);
    struct bl_thread *thread = synth_record(w->synth, BL_SECTION_THREADS, w->worker);
    thread->flags = BL_THREAD_ENDED;
    thread->start_ns = START;
    thread->end_ns = END;
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x800)->count, 2);
    finish(w);
}
END_TEST

START_TEST(the_pools_that_a_young_process_makes_for_its_threads_are_no_leak)
{
    struct world *w = make_world();
    uint32_t make = at(w, at(w, w->main_frame, 0x700), 0x710);
    uint32_t other = at(w, w->loop, 0x100);
    make_live(w);
    w->synth->header.snapshot_ns = START + 4 * SECOND;
    live(w, 25, START + 5 * MILLI, START + 400 * MILLI, OPS(ALLOC(make)));
    done_between(w, 2000, MILLI, 2 * MILLI, START + 10 * MILLI, START + 4 * SECOND,
                 OPS(ALLOC(other), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(accusations(w), 0);
    finish(w);
}
END_TEST

/* A process whose start takes seconds, with work going on beside. */
static void make_with_threads(struct world *w, uint32_t flags)
{
    uint32_t make = at(w, at(w, w->main_frame, 0x700), 0x710);
    make_live(w);
    w->synth->header.snapshot_ns = START + 10 * SECOND;
    live(w, 25, START + 1500 * MILLI, START + 3900 * MILLI, OPS(ALLOC(make)));
    done_between(w, 2000, MILLI, 2 * MILLI, START + 10 * MILLI, START + 10 * SECOND,
                 OPS(ALLOC(at(w, w->loop, 0x100)), LAST(at(w, w->loop, 0x180))));
    for (uint32_t i = 0; i < 25; i++) {
        uint32_t number = synth_thread(w->synth, 4300 + i, "worker");
        struct bl_thread *thread = synth_record(w->synth, BL_SECTION_THREADS, number);
        thread->start_ns = START + (1500 + 100 * i) * MILLI;
        thread->end_ns = flags ? thread->start_ns + SECOND : 0;
        thread->flags = flags;
    }
}

START_TEST(what_is_made_with_each_thread_is_set_up_however_long_that_takes)
{
    struct world *w = make_world();
    make_with_threads(w, 0);
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_SET_UP)->count, 25);
    finish(w);
}
END_TEST

START_TEST(what_outlives_the_thread_that_it_was_made_with_is_a_leak)
{
    struct world *w = make_world();
    make_with_threads(w, BL_THREAD_ENDED);
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x710)->count, 25);
    finish(w);
}
END_TEST

START_TEST(what_comes_all_at_once_and_is_never_released_is_set_up)
{
    struct world *w = make_world();
    make_live(w);
    live(w, 500, START + 60 * SECOND, START + 60 * SECOND + 50 * MILLI,
         OPS(ALLOC(at(w, w->loop, 0x900))));
    judge(w);
    ck_assert_uint_eq(left_alone(w, BL_GROUND_SET_UP)->count, 500);
    finish(w);
}
END_TEST

START_TEST(a_few_requests_that_are_never_released_late_in_a_run_are_a_leak)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    make_live(w);
    live(w, 300, END - 2 * SECOND, END - SECOND, OPS(ALLOC(at(w, w->loop, 0x900))));
    done_between(w, 900000, MILLI, 2 * MILLI, START, END,
                 OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_NEVER_RELEASED, 0x900)->count, 300);
    finish(w);
}
END_TEST

START_TEST(a_cache_that_nothing_leaves_and_that_fills_ever_more_slowly_is_filling)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t insert = at(w, w->loop, 0x900);
    /* every 8th of the time brings half as many as the one before */
    for (uint64_t part = 0, many = 64; part < 8; part++, many /= 2)
        live(w, many ? many : 1, START + part * 90 * SECOND, START + (part + 1) * 90 * SECOND,
             OPS(ALLOC(insert)));
    done_between(w, 90000, MILLI, 2 * MILLI, START, END,
                 OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    left_alone(w, BL_GROUND_FILLING);
    finish(w);
}
END_TEST

START_TEST(one_that_is_far_older_than_siblings_is_no_evidence_of_a_leak)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    live(w, 1, END - 300 * SECOND, END - 300 * SECOND, OPS(ALLOC(make)));
    done_between(w, 20000, MILLI, 3 * MILLI, START, END, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_finding *finding = left_alone(w, BL_GROUND_FEW)->finding;
    ck_assert_uint_eq(finding->leaked, 1);
    ck_assert_uint_eq(finding->passed, 20001);
    finish(w);
}
END_TEST

START_TEST(stale_ones_that_become_ever_more_are_sure_to_be_a_leak)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    make_live(w);
    follow(w, make, ever_more);
    live(w, 105, START + SECOND, END - 20 * SECOND, OPS(ALLOC(make)));
    done_between(w, 20000, MILLI, 3 * MILLI, START, END,
                 OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    const struct bl_finding *finding = only(w, BL_VERDICT_STALE, 0x100)->finding;
    ck_assert(finding->is_growing);
    ck_assert_double_gt(finding->confidence, 0.9);
    finish(w);
}
END_TEST

START_TEST(a_pool_that_filled_for_half_the_run_is_steady_where_that_was_seen_in_time)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t insert = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    follow(w, make, filled_by_half);
    live(w, 100, START, START + 300 * SECOND, OPS(ALLOC(make), RETAIN(insert), RELEASE(end)));
    done_between(w, 50000, MILLI, 2 * MILLI, START, END, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_group *group = left_alone(w, BL_GROUND_STEADY);
    ck_assert_str_eq(bl_growth_verdict(group), "steady");
    ck_assert_double_gt(group->finding->confidence, 0.9);
    finish(w);
}
END_TEST

START_TEST(a_pool_of_its_own_that_filled_is_steady_where_that_was_seen_in_time)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x900);
    make_live(w);
    follow(w, make, filled_by_half);
    live(w, 100, START, START + 300 * SECOND, OPS(ALLOC(make)));
    done_between(w, 50000, MILLI, 2 * MILLI, START, END,
                 OPS(ALLOC(at(w, w->loop, 0x100)), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_str_eq(bl_growth_verdict(left_alone(w, BL_GROUND_STEADY)), "steady");
    finish(w);
}
END_TEST

START_TEST(what_was_seen_to_grow_is_not_taken_for_a_pool_because_work_came_later)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t insert = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    follow(w, make, ever_more);
    live(w, 107, START, END - SECOND, OPS(ALLOC(make), RETAIN(insert), RELEASE(end)));
    /* nearly all of the work was done in the last second */
    done_between(w, 500000, MILLI / 2, MILLI, END - SECOND, END, OPS(ALLOC(make), LAST(end)));
    judge(w);
    ck_assert_uint_eq(only(w, BL_VERDICT_MISSING_RELEASE, 0x150)->count, 107);
    finish(w);
}
END_TEST

START_TEST(a_site_that_grows_accuses_none_of_those_in_use_beside_the_leak)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t insert = at(w, w->loop, 0x150);
    uint32_t end = at(w, w->loop, 0x180);
    make_live(w);
    follow(w, make, ever_more);
    live(w, 107, START, END - SECOND, OPS(ALLOC(make), RETAIN(insert), RELEASE(end)));
    live(w, 5, END - 2 * MILLI, END - MILLI, OPS(ALLOC(make)));
    done_between(w, 50000, MILLI, 5 * MILLI, START, END, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_group *leaked = only(w, BL_VERDICT_MISSING_RELEASE, 0x150);
    ck_assert_ptr_nonnull(leaked->growth);
    ck_assert_int_eq(leaked->growth->found.trend, BL_TREND_GROWING);
    ck_assert_str_eq(bl_growth_verdict(find(w, BL_VERDICT_UNRELEASED, 0x100)), "unreleased");
    finish(w);
}
END_TEST

START_TEST(what_grows_at_a_site_of_buffers_in_use_is_growing)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    make_live(w);
    follow(w, make, ever_more);
    live(w, 107, START, END - SECOND, OPS(ALLOC(make)));
    /* others like them are released after hours */
    done(w, 50, 9000 * SECOND, OPS(ALLOC(make), LAST(at(w, w->loop, 0x180))));
    judge(w);
    ck_assert_uint_eq(accusations(w), 0);
    ck_assert_str_eq(bl_growth_verdict(find(w, BL_VERDICT_UNRELEASED, 0x100)), "growing");
    finish(w);
}
END_TEST

START_TEST(who_is_not_accused_is_told_with_the_counts_that_speak_against_him)
{
    struct world *w = make_world();
    uint32_t make = at(w, w->loop, 0x100);
    uint32_t end = at(w, w->loop, 0x180);
    uint32_t keep = at(w, w->loop, 0x150);
    live(w, 1, START + 400 * SECOND, START + 400 * SECOND,
         OPS(ALLOC(make), RETAIN(keep), RELEASE(end)));
    done(w, 5000, 2 * MILLI, OPS(ALLOC(make), LAST(end)));
    judge(w);
    const struct bl_finding *finding = left_alone(w, BL_GROUND_ONCE)->finding;
    ck_assert_uint_eq(offset_of(w, finding->suspect_frame), 0x150);
    ck_assert_int_eq(finding->blame_kind, BL_ITEM_RETAIN);
    ck_assert_ptr_nonnull(
        strstr(finding->text, "(1 of 1 that passed there is left; 0 of 5,000 that did not)"));
    finish(w);
}
END_TEST

static void add_first_half(TCase *tests)
{
    tcase_add_test(tests, the_retain_of_the_incident_is_blamed_with_counts_on_both_sides);
    tcase_add_test(tests, a_running_process_gives_the_same_verdict_as_one_that_ended);
    tcase_add_test(tests, a_retain_that_others_give_back_elsewhere_names_the_expected_release);
    tcase_add_test(tests,
                   an_error_path_of_one_in_a_thousand_blames_the_acquire_of_the_missing_release);
    tcase_add_test(tests, an_alloc_that_one_path_forgets_is_blamed_at_the_alloc);
    tcase_add_test(tests, an_error_path_with_its_own_release_still_blames_the_forgotten_one);
    tcase_add_test(tests, a_wrapper_is_told_apart_by_who_called_it);
    tcase_add_test(tests,
                   two_leaking_callers_of_one_wrapper_are_two_findings_when_a_third_is_clean);
    tcase_add_test(tests, one_leaking_line_reached_on_many_paths_is_one_finding);
    tcase_add_test(tests, a_bug_that_one_caller_meets_a_little_more_often_is_one_finding);
    tcase_add_test(tests, the_way_a_library_takes_inside_does_not_matter);
    tcase_add_test(tests, a_new_path_to_a_known_alloc_is_compared_with_the_known_ones);
    tcase_add_test(tests, ownership_that_moves_between_threads_blames_what_the_consumer_forgot);
    tcase_add_test(tests, a_reference_in_a_container_is_blamed_where_it_was_put_in);
    tcase_add_test(tests, two_bugs_in_one_buffer_are_two_findings_that_share_it);
    tcase_add_test(tests, several_references_of_one_line_are_counted);
    tcase_add_test(tests, without_anything_to_compare_with_the_retain_is_blamed_and_that_is_said);
    tcase_add_test(tests, a_guess_that_most_others_contradict_joins_them);
    tcase_add_test(tests, a_guess_stays_where_as_many_agree_with_it);
    tcase_add_test(tests, what_each_did_equally_often_belongs_together);
    tcase_add_test(tests, a_birth_and_a_retain_that_fit_as_well_are_little_evidence);
    tcase_add_test(tests, a_retain_and_release_in_one_function_belong_together);
    tcase_add_test(tests, two_leaks_of_few_are_worded_as_little_evidence);
    tcase_add_test(tests, two_to_compare_with_are_little_evidence_unless_many_are_left);
    tcase_add_test(tests, what_no_path_ever_releases_is_never_released);
    tcase_add_test(tests, a_buffer_that_was_forgotten_with_all_its_references_is_one_finding);
    tcase_add_test(tests, a_release_too_many_is_shown_with_the_last_good_one);
    tcase_add_test(tests, the_record_of_a_dead_buffer_is_no_unreleased_one);
    tcase_add_test(tests, a_buffer_whose_birth_was_not_seen_accuses_no_birth);
    tcase_add_test(tests, a_birth_with_several_references_is_paired_with_as_many_releases);
    tcase_add_test(tests, of_one_buffer_that_many_used_who_balances_exactly_lacks_nothing);
    tcase_add_test(tests, over_releases_that_were_only_counted_are_not_kept_silent);
    tcase_add_test(tests, buffers_in_flight_are_not_accused);
    tcase_add_test(tests, leaked_ones_are_counted_without_those_in_flight);
    tcase_add_test(tests, far_older_than_siblings_on_their_way_is_stale);
    tcase_add_test(tests, a_little_older_than_siblings_is_no_accusation);
    tcase_add_test(tests, what_was_left_behind_for_seconds_is_told_with_how_long_siblings_lived);
    tcase_add_test(tests, a_cache_that_replaces_its_entries_is_in_use);
    tcase_add_test(tests, the_last_of_a_ring_are_in_use_at_the_end);
    tcase_add_test(tests, of_a_killed_process_is_said_what_cannot_be_told);
    tcase_add_test(tests, of_an_ended_process_nothing_is_in_use_any_more);
    tcase_add_test(tests, what_was_collected_is_in_no_ring);
    tcase_add_test(tests, what_was_collected_is_not_in_use_however_young);
    tcase_add_test(tests, what_was_collected_is_not_stale);
    tcase_add_test(tests, what_was_collected_needs_no_age);
    tcase_add_test(tests, what_nothing_leads_to_is_in_no_ring);
    tcase_add_test(tests, what_a_run_that_failed_did_not_find_may_be_in_a_ring);
    tcase_add_test(tests, what_is_lost_is_in_nobodys_hands_however_young);
    tcase_add_test(tests, what_is_lost_by_a_link_to_its_like_is_lost_itself);
    tcase_add_test(tests, what_is_lost_with_another_is_left_to_it);
    tcase_add_test(tests, a_stray_pointer_takes_none_from_many_that_are_lost);
    tcase_add_test(tests, what_a_ring_forgot_is_told_from_the_last_in_it);
    tcase_add_test(tests, a_cache_that_filled_and_stopped_is_not_a_leak);
    tcase_add_test(tests, a_pool_made_at_start_up_is_not_a_leak);
    tcase_add_test(tests, leaks_that_ended_with_the_traffic_are_still_leaks);
    tcase_add_test(tests, leaks_whose_path_was_left_late_are_still_leaks);
    tcase_add_test(tests, what_lives_long_by_nature_is_released_late_and_not_accused);
    tcase_add_test(tests, new_kinds_of_buffers_are_given_time);
    tcase_add_test(tests, what_is_made_once_per_path_is_a_singleton);
    tcase_add_test(tests, one_buffer_retained_by_a_global_is_a_singleton);
}

static void add_second_half(TCase *tests)
{
    tcase_add_test(tests, one_buffer_that_was_born_alone_and_passed_around_is_a_singleton);
    tcase_add_test(tests, what_a_library_sets_up_for_itself_is_left_to_it);
    tcase_add_test(tests, what_is_made_to_stay_is_no_leak);
    tcase_add_test(tests, a_reference_to_what_is_made_to_stay_can_be_leaked);
    tcase_add_test(tests, only_births_last_where_the_profile_says_so);
    tcase_add_test(tests, code_beside_a_lasting_function_is_judged);
    tcase_add_test(tests, what_a_queue_gave_back_where_it_was_emptied_is_not_missing);
    tcase_add_test(tests, what_a_queue_never_gave_back_of_one_object_is_missing);
    tcase_add_test(tests, a_leak_that_recurses_is_no_singleton);
    tcase_add_test(tests, a_count_that_drifted_accuses_nobody);
    tcase_add_test(tests, a_history_that_was_not_kept_whole_accuses_nobody);
    tcase_add_test(tests, what_came_with_a_fork_is_judged_in_the_parent);
    tcase_add_test(tests, at_exit_the_buffers_of_busy_threads_are_in_use);
    tcase_add_test(tests, what_a_leaked_owner_holds_is_folded_under_it);
    tcase_add_test(tests, all_that_a_leaked_owner_holds_is_in_the_totals);
    tcase_add_test(tests, what_was_collected_with_its_owner_is_its_part);
    tcase_add_test(tests, what_merely_looks_like_a_part_is_not_folded);
    tcase_add_test(tests, what_siblings_left_to_their_owners_is_left_to_it);
    tcase_add_test(tests, what_siblings_released_is_missed_though_its_owner_lives);
    tcase_add_test(tests, an_end_with_the_owner_is_no_release_to_miss);
    tcase_add_test(tests, what_nothing_releases_may_pile_up_in_its_owner);
    tcase_add_test(tests, what_can_be_released_and_piles_up_is_never_released);
    tcase_add_test(tests, what_a_leaked_owner_owns_is_its_part);
    tcase_add_test(tests, owners_in_a_circle_answer_for_nothing);
    tcase_add_test(tests, an_owner_that_was_not_seen_accuses_nobody);
    tcase_add_test(tests, own_modules_are_where_the_site_is);
    tcase_add_test(tests, accusations_come_before_what_is_only_large);
    tcase_add_test(tests, lists_that_cycle_or_meet_are_cut);
    tcase_add_test(tests, what_a_late_consumer_released_all_at_once_shows_who_was_forgotten);
    tcase_add_test(tests, leaks_of_a_thread_that_did_its_work_before_others_are_leaks);
    tcase_add_test(tests, of_what_one_call_makes_inside_the_library_the_same_kind_is_compared);
    tcase_add_test(tests, what_the_library_holds_ends_inside_it_and_the_callers_own_by_the_caller);
    tcase_add_test(tests, who_made_a_buffer_ends_it_in_a_callback_too);
    tcase_add_test(tests,
                   a_path_that_always_forgets_is_told_by_itself_and_not_by_others_of_its_helpers);
    tcase_add_test(tests, a_release_before_one_that_left_no_frame_is_not_inside_it);
    tcase_add_test(tests, what_its_owner_ends_in_two_steps_is_held_once);
    tcase_add_test(tests, what_a_busy_thread_still_holds_at_exit_is_in_use);
    tcase_add_test(tests, what_workers_had_when_they_were_told_to_stop_is_in_use);
    tcase_add_test(tests, what_two_threads_kept_of_all_they_took_is_not_in_the_hands_of_others);
    tcase_add_test(tests, what_two_threads_took_may_be_in_the_hands_of_others_that_give_it_back);
    tcase_add_test(tests, one_of_a_running_process_is_not_judged_before_others_ages);
    tcase_add_test(tests, one_of_a_running_process_that_is_older_than_others_is_blamed);
    tcase_add_test(tests, what_hangs_on_the_last_that_a_thread_at_work_did_is_in_its_hands);
    tcase_add_test(tests, a_thread_at_work_has_no_more_in_its_hands_than_the_last);
    tcase_add_test(tests, what_one_long_call_makes_as_the_work_goes_on_is_in_nobodys_hands);
    tcase_add_test(tests, what_a_thread_did_that_has_ended_is_in_nobodys_hands);
    tcase_add_test(tests, the_pools_that_a_young_process_makes_for_its_threads_are_no_leak);
    tcase_add_test(tests, what_is_made_with_each_thread_is_set_up_however_long_that_takes);
    tcase_add_test(tests, what_outlives_the_thread_that_it_was_made_with_is_a_leak);
    tcase_add_test(tests, what_comes_all_at_once_and_is_never_released_is_set_up);
    tcase_add_test(tests, a_few_requests_that_are_never_released_late_in_a_run_are_a_leak);
    tcase_add_test(tests, a_cache_that_nothing_leaves_and_that_fills_ever_more_slowly_is_filling);
    tcase_add_test(tests, one_that_is_far_older_than_siblings_is_no_evidence_of_a_leak);
    tcase_add_test(tests, stale_ones_that_become_ever_more_are_sure_to_be_a_leak);
    tcase_add_test(tests,
                   a_pool_that_filled_for_half_the_run_is_steady_where_that_was_seen_in_time);
    tcase_add_test(tests, a_pool_of_its_own_that_filled_is_steady_where_that_was_seen_in_time);
    tcase_add_test(tests, what_was_seen_to_grow_is_not_taken_for_a_pool_because_work_came_later);
    tcase_add_test(tests, a_site_that_grows_accuses_none_of_those_in_use_beside_the_leak);
    tcase_add_test(tests, what_grows_at_a_site_of_buffers_in_use_is_growing);
    tcase_add_test(tests, who_is_not_accused_is_told_with_the_counts_that_speak_against_him);
}

int main(void)
{
    Suite *suite = suite_create("cli_pairing");
    TCase *tests = tcase_create("pairing");
    tcase_set_timeout(tests, 60);
    add_first_half(tests);
    add_second_half(tests);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
