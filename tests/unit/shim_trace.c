/* The marker on memory made up for it: what holds what, what is lost and who leads; and spans. */
#include "shim_start.h"

#include "spans.h"
#include "trace.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 64
#define BYTES  256

/* Blocks in an arena of their own, far enough apart for gaps; 0 is the lowest. */
static struct {
    uint64_t *memory;
    struct bl_trace trace;
    struct bl_trace_key keys[BLOCKS];
    struct bl_trace_key spare[BLOCKS];
    struct bl_reach_root roots[BLOCKS + 1];
    uint64_t root_words[8] __attribute__((aligned(8)));
    uint32_t count;
} scene;

static uint64_t address(uint32_t block)
{
    return (uint64_t)(uintptr_t)scene.memory + (uint64_t)block * 2 * BYTES;
}

static void point(uint32_t from, uint32_t word, uint64_t to)
{
    uint64_t *block = (uint64_t *)(uintptr_t)address(from);
    block[word] = to;
}

static void make_scene(uint32_t count)
{
    memset(&scene, 0, sizeof(scene));
    scene.memory = calloc(2 * BLOCKS, BYTES);
    ck_assert_ptr_nonnull(scene.memory);
    scene.count = count;
}

static void start_trace(void)
{
    /* not in the order of their addresses */
    for (uint32_t i = 0; i < scene.count; i++) {
        uint32_t block = (i * 37 + 11) % scene.count;
        scene.keys[i] = (struct bl_trace_key){
            .start = address(block), .end = address(block) + BYTES, .number = 100 + block};
    }
    ck_assert_int_eq(bl_trace_init(&scene.trace, scene.keys, scene.spare, scene.count), 0);
    scene.trace.roots = scene.roots;
}

static void trace_roots(size_t words, bool exact_only)
{
    start_trace();
    bl_trace_scan(&scene.trace, (uint64_t)(uintptr_t)scene.root_words,
                  (uint64_t)(uintptr_t)(scene.root_words + words), exact_only);
    bl_trace_follow(&scene.trace);
    bl_trace_lost(&scene.trace);
}

static const struct bl_trace_block *block_of(uint32_t block)
{
    for (uint32_t i = 0; i < scene.trace.count; i++)
        if (scene.trace.blocks[i].number == 100 + block)
            return &scene.trace.blocks[i];
    ck_abort_msg("block %u is not there", block);
}

static int grade(uint32_t block)
{
    return block_of(block)->grade;
}

static void end_scene(void)
{
    free(scene.memory);
}

START_TEST(every_address_finds_its_block_and_no_other)
{
    make_scene(40);
    start_trace();
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t found = bl_trace_find(&scene.trace, address(i));
        ck_assert_uint_ne(found, BL_TRACE_NONE);
        ck_assert_uint_eq(scene.trace.blocks[found].number, 100 + i);
        ck_assert_uint_eq(bl_trace_find(&scene.trace, address(i) + BYTES - 1), found);
        ck_assert_uint_eq(bl_trace_find(&scene.trace, address(i) + BYTES), BL_TRACE_NONE);
        ck_assert_uint_eq(bl_trace_find(&scene.trace, address(i) - 1), BL_TRACE_NONE);
    }
    ck_assert_uint_eq(bl_trace_find(&scene.trace, 0), BL_TRACE_NONE);
    ck_assert_uint_eq(bl_trace_find(&scene.trace, UINT64_MAX), BL_TRACE_NONE);
    end_scene();
}
END_TEST

START_TEST(small_blocks_close_together_are_told_apart)
{
    enum { SMALL = 1024 };
    struct bl_trace_key *keys = calloc(SMALL, sizeof(*keys));
    struct bl_trace_key *spare = calloc(SMALL, sizeof(*spare));
    uint64_t base = 0x7f0000000000ull;
    struct bl_trace trace = {.count = 0};
    for (uint32_t i = 0; i < SMALL; i++)
        keys[i] = (struct bl_trace_key){
            .start = base + 8ull * i, .end = base + 8ull * i + 1 + i % 8, .number = i + 1};
    ck_assert_int_eq(bl_trace_init(&trace, keys, spare, SMALL), 0);
    for (uint32_t i = 0; i < SMALL; i++) {
        uint32_t found = bl_trace_find(&trace, base + 8ull * i + i % 8);
        ck_assert_uint_ne(found, BL_TRACE_NONE);
        ck_assert_uint_eq(trace.blocks[found].number, i + 1);
        if (i % 8 < 7)
            ck_assert_uint_eq(bl_trace_find(&trace, base + 8ull * i + 7), BL_TRACE_NONE);
    }
    free(keys);
    free(spare);
}
END_TEST

START_TEST(a_root_holds_what_it_reaches_by_the_shortest_path)
{
    make_scene(5);
    scene.root_words[1] = address(0);
    point(0, 3, address(1));
    point(1, 0, address(2));
    point(2, 0, address(3));
    point(0, 5, address(3)); /* shorter than through 1 and 2 */
    trace_roots(2, false);
    ck_assert_int_eq(grade(0), BL_REACH_EXACT);
    ck_assert(block_of(0)->is_root);
    ck_assert_uint_eq(scene.roots[block_of(0)->holder].slot,
                      (uint64_t)(uintptr_t)&scene.root_words[1]);
    ck_assert_uint_eq(scene.trace.blocks[block_of(3)->holder].number, 100);
    ck_assert_uint_eq(block_of(3)->slot, 40);
    ck_assert_int_eq(grade(2), BL_REACH_EXACT);
    ck_assert_int_eq(grade(4), BL_REACH_LEADER);
    end_scene();
}
END_TEST

START_TEST(a_pointer_into_the_middle_holds_less_than_one_to_the_start)
{
    make_scene(3);
    scene.root_words[0] = address(0) + 16;
    scene.root_words[1] = address(1) + 8;
    scene.root_words[2] = address(1);
    trace_roots(3, false);
    ck_assert_int_eq(grade(0), BL_REACH_INTERIOR);
    ck_assert_uint_eq(block_of(0)->inside, 16);
    ck_assert_int_eq(grade(1), BL_REACH_EXACT);
    ck_assert_int_eq(grade(2), BL_REACH_LEADER);
    end_scene();
}
END_TEST

START_TEST(where_only_starts_count_an_inner_pointer_holds_nothing)
{
    make_scene(2);
    scene.root_words[0] = address(0) + 16;
    scene.root_words[1] = address(1);
    trace_roots(2, true);
    ck_assert_int_eq(grade(0), BL_REACH_LEADER);
    ck_assert_int_eq(grade(1), BL_REACH_EXACT);
    end_scene();
}
END_TEST

START_TEST(of_a_lost_list_the_head_leads)
{
    make_scene(4);
    point(2, 0, address(0));
    point(0, 1, address(3));
    point(3, 0, address(1));
    trace_roots(0, false);
    ck_assert_int_eq(grade(2), BL_REACH_LEADER);
    ck_assert_int_eq(grade(0), BL_REACH_INDIRECT);
    ck_assert_int_eq(grade(3), BL_REACH_INDIRECT);
    ck_assert_int_eq(grade(1), BL_REACH_INDIRECT);
    ck_assert_uint_eq(scene.trace.blocks[block_of(1)->holder].number, 103);
    end_scene();
}
END_TEST

START_TEST(of_lost_cycles_one_block_leads_each)
{
    make_scene(5);
    point(0, 0, address(1));
    point(1, 0, address(2));
    point(2, 0, address(0));
    point(3, 0, address(3)); /* itself */
    point(4, 2, address(1)); /* and one from outside leads the first cycle */
    trace_roots(0, false);
    ck_assert_int_eq(grade(4), BL_REACH_LEADER);
    ck_assert_int_eq(grade(3), BL_REACH_LEADER);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_int_eq(grade(i), BL_REACH_INDIRECT);
    end_scene();
    make_scene(3);
    point(0, 0, address(1));
    point(1, 0, address(2));
    point(2, 0, address(0));
    trace_roots(0, false);
    int leaders = 0;
    for (uint32_t i = 0; i < 3; i++)
        leaders += grade(i) == BL_REACH_LEADER;
    ck_assert_int_eq(leaders, 1);
    end_scene();
}
END_TEST

static uint64_t later_when_lower(void *context, uint32_t number)
{
    (void)context;
    return number == 102 ? 5 : 1000 - number;
}

START_TEST(the_first_allocated_of_a_cycle_leads_it)
{
    make_scene(5);
    for (uint32_t i = 0; i < 5; i++)
        point(i, 0, address((i + 1) % 5));
    trace_roots(0, false);
    ck_assert_int_eq(grade(0), BL_REACH_LEADER);
    memset(&scene.trace, 0, sizeof(scene.trace));
    start_trace();
    scene.trace.age = later_when_lower;
    bl_trace_lost(&scene.trace);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_int_eq(grade(i), i == 2 ? BL_REACH_LEADER : BL_REACH_INDIRECT);
    end_scene();
}
END_TEST

START_TEST(a_cycle_that_another_one_leads_to_comes_under_it_whichever_is_older)
{
    make_scene(6);
    /* 3 4 5 lead to 0 1 2, which are older */
    for (uint32_t i = 0; i < 3; i++) {
        point(i, 0, address((i + 1) % 3));
        point(3 + i, 0, address(3 + (i + 1) % 3));
    }
    point(4, 1, address(1));
    point(5, 1, address(0));
    trace_roots(0, false);
    ck_assert_int_eq(grade(3), BL_REACH_LEADER);
    for (uint32_t i = 0; i < 6; i++)
        if (i != 3)
            ck_assert_int_eq(grade(i), BL_REACH_INDIRECT);
    uint32_t at = bl_trace_find(&scene.trace, address(2));
    for (int steps = 0; scene.trace.blocks[at].grade == BL_REACH_INDIRECT; steps++) {
        ck_assert_int_lt(steps, 6);
        at = scene.trace.blocks[at].holder;
    }
    ck_assert_uint_eq(scene.trace.blocks[at].number, 103);
    end_scene();
}
END_TEST

START_TEST(what_a_held_block_holds_is_not_lost_though_lost_ones_hold_it_too)
{
    make_scene(3);
    scene.root_words[0] = address(0);
    point(0, 0, address(1));
    point(2, 0, address(1));
    trace_roots(1, false);
    ck_assert_int_eq(grade(1), BL_REACH_EXACT);
    ck_assert_int_eq(grade(2), BL_REACH_LEADER);
    end_scene();
}
END_TEST

START_TEST(a_kept_block_holds_what_it_points_to)
{
    make_scene(2);
    point(0, 0, address(1));
    start_trace();
    bl_trace_keep(&scene.trace, bl_trace_find(&scene.trace, address(0)), BL_ROOT_LOADER);
    bl_trace_follow(&scene.trace);
    bl_trace_lost(&scene.trace);
    ck_assert_int_eq(grade(1), BL_REACH_EXACT);
    ck_assert_uint_eq(scene.roots[block_of(0)->holder].kind, BL_ROOT_LOADER);
    end_scene();
}
END_TEST

START_TEST(an_unreadable_block_is_graded_and_not_read)
{
    make_scene(1);
    uint64_t nowhere = 0x10000; /* below mmap_min_addr: reading it would crash */
    struct bl_trace_key keys[1] = {
        {.start = nowhere, .end = nowhere + 64, .number = 7, .is_unreadable = 1}};
    ck_assert_int_eq(bl_trace_init(&scene.trace, keys, scene.spare, 1), 0);
    scene.trace.roots = scene.roots;
    bl_trace_word(&scene.trace, 1, nowhere);
    bl_trace_follow(&scene.trace);
    ck_assert_int_eq(scene.trace.blocks[0].grade, BL_REACH_EXACT);
    end_scene();
}
END_TEST

START_TEST(a_hundred_thousand_blocks_at_random_are_graded_as_a_plain_search_does)
{
    enum { MANY = 100000, WORDS = 4 };
    uint64_t *memory = calloc((size_t)MANY * WORDS, sizeof(*memory));
    struct bl_trace_key *keys = calloc(MANY, sizeof(*keys));
    struct bl_trace_key *spare = calloc(MANY, sizeof(*spare));
    struct bl_reach_root *roots = calloc(MANY + 1, sizeof(*roots));
    bool *held = calloc(MANY, sizeof(*held));
    uint32_t *stack = calloc(MANY, sizeof(*stack));
    struct bl_trace trace = {.count = 0};
    uint64_t random = 88172645463325252ull;
    for (uint32_t i = 0; i < MANY; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if (random % 3 == 0) /* a third of them hold another one */
            memory[(size_t)i * WORDS + random % WORDS] =
                (uint64_t)(uintptr_t)&memory[random / 8 % MANY * WORDS];
        keys[i] = (struct bl_trace_key){.start = (uint64_t)(uintptr_t)&memory[(size_t)i * WORDS],
                                        .end = (uint64_t)(uintptr_t)&memory[(size_t)i * WORDS] + 32,
                                        .number = i};
    }
    ck_assert_int_eq(bl_trace_init(&trace, keys, spare, MANY), 0);
    trace.roots = roots;
    uint32_t depth = 0;
    for (uint32_t i = 0; i < MANY; i += 50) {
        bl_trace_word(&trace, i + 1, (uint64_t)(uintptr_t)&memory[(size_t)i * WORDS]);
        if (!held[i])
            stack[depth++] = i;
        held[i] = true;
        while (depth > 0) {
            uint32_t at = stack[--depth];
            for (uint32_t w = 0; w < WORDS; w++) {
                uint64_t to = memory[(size_t)at * WORDS + w];
                if (!to)
                    continue;
                uint32_t next = (uint32_t)((to - (uint64_t)(uintptr_t)memory) / 32);
                if (!held[next])
                    stack[depth++] = next;
                held[next] = true;
            }
        }
    }
    bl_trace_follow(&trace);
    bl_trace_lost(&trace);
    for (uint32_t i = 0; i < MANY; i++) {
        const struct bl_trace_block *b = &trace.blocks[i];
        bool is_held = b->grade == BL_REACH_EXACT || b->grade == BL_REACH_INTERIOR;
        ck_assert_int_ne(b->grade, BL_REACH_NONE);
        ck_assert_int_eq(is_held, held[b->number]);
    }
    free(memory);
    free(keys);
    free(spare);
    free(roots);
    free(held);
    free(stack);
}
END_TEST

/* ---- spans ---- */

struct parts {
    struct bl_span list[8];
    size_t count;
};

static void collect(void *context, uint64_t start, uint64_t end)
{
    struct parts *parts = context;
    ck_assert_uint_lt(parts->count, 8);
    parts->list[parts->count++] = (struct bl_span){start, end};
}

START_TEST(spans_are_merged_and_what_is_outside_is_found)
{
    struct bl_spans spans = {.count = 0};
    struct parts parts = {.count = 0};
    bl_spans_add(&spans, 500, 600);
    bl_spans_add(&spans, 100, 200);
    bl_spans_add(&spans, 150, 250);
    bl_spans_add(&spans, 300, 300);
    bl_spans_add(&spans, 240, 260);
    bl_spans_settle(&spans);
    ck_assert_uint_eq(spans.count, 2);
    bl_spans_outside(&spans, 50, 700, collect, &parts);
    ck_assert_uint_eq(parts.count, 3);
    ck_assert_uint_eq(parts.list[0].end, 100);
    ck_assert_uint_eq(parts.list[1].start, 260);
    ck_assert_uint_eq(parts.list[1].end, 500);
    ck_assert_uint_eq(parts.list[2].start, 600);
    ck_assert_uint_eq(parts.list[2].end, 700);
    parts.count = 0;
    bl_spans_outside(&spans, 120, 240, collect, &parts);
    ck_assert_uint_eq(parts.count, 0);
    ck_assert(bl_spans_cover(&spans, 100, 260));
    ck_assert(!bl_spans_cover(&spans, 100, 261));
    ck_assert(!bl_spans_cover(&spans, 300, 310));
}
END_TEST

START_TEST(thousands_of_spans_in_any_order_come_out_sorted)
{
    struct bl_spans spans = {.count = 0};
    for (uint64_t i = 0; i < 5000; i++)
        bl_spans_add(&spans, i * 7919 % 5000 * 10, i * 7919 % 5000 * 10 + 5);
    bl_spans_settle(&spans);
    ck_assert(!spans.failed);
    ck_assert_uint_eq(spans.count, 5000);
    for (uint32_t i = 1; i < spans.count; i++)
        ck_assert_uint_lt(spans.list[i - 1].end, spans.list[i].start);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace");
    TCase *tracing = tcase_create("trace");
    tcase_set_timeout(tracing, 120);
    tcase_add_test(tracing, every_address_finds_its_block_and_no_other);
    tcase_add_test(tracing, small_blocks_close_together_are_told_apart);
    tcase_add_test(tracing, a_root_holds_what_it_reaches_by_the_shortest_path);
    tcase_add_test(tracing, a_pointer_into_the_middle_holds_less_than_one_to_the_start);
    tcase_add_test(tracing, where_only_starts_count_an_inner_pointer_holds_nothing);
    tcase_add_test(tracing, of_a_lost_list_the_head_leads);
    tcase_add_test(tracing, of_lost_cycles_one_block_leads_each);
    tcase_add_test(tracing, the_first_allocated_of_a_cycle_leads_it);
    tcase_add_test(tracing, a_cycle_that_another_one_leads_to_comes_under_it_whichever_is_older);
    tcase_add_test(tracing, what_a_held_block_holds_is_not_lost_though_lost_ones_hold_it_too);
    tcase_add_test(tracing, a_kept_block_holds_what_it_points_to);
    tcase_add_test(tracing, an_unreadable_block_is_graded_and_not_read);
    tcase_add_test(tracing, a_hundred_thousand_blocks_at_random_are_graded_as_a_plain_search_does);
    suite_add_tcase(suite, tracing);
    TCase *spans = tcase_create("spans");
    tcase_add_test(spans, spans_are_merged_and_what_is_outside_is_found);
    tcase_add_test(spans, thousands_of_spans_in_any_order_come_out_sorted);
    suite_add_tcase(suite, spans);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
