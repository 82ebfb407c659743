/* Interning of stacks, with walks made by hand. */
#include "shim_start.h"
#include "conf.h"
#include "stacks.h"

/* Addresses of this program's text, so that they are named by a module; any will do. */
static uint64_t code(uint32_t i)
{
    return (uint64_t)(uintptr_t)&code + i % 1024;
}

static uint64_t mix(uint64_t h, uint64_t pc)
{
    h = (h ^ pc) * 0xff51afd7ed558ccdu;
    return h ^ h >> 31;
}

/* A walk of `count` frames; frame i (0 = innermost) has pcs[i]. */
static struct bl_walk make_walk(const uint64_t *pcs, uint32_t count, uint32_t flags)
{
    struct bl_thread_state *t = bl_threads_current();
    struct bl_walk w = {.fresh = count, .flags = flags};
    w.hash = 1 + flags;
    for (uint32_t i = count; i-- > 0;) {
        t->scratch[i] = (struct bl_scratch_frame){.pc = pcs[i]};
        w.hash = mix(w.hash, pcs[i]);
    }
    return w;
}

static uint32_t intern(const uint64_t *pcs, uint32_t count, uint32_t depth)
{
    struct bl_walk w = make_walk(pcs, count, 0);
    return bl_stacks_intern(bl_threads_current(), &w, depth);
}

static struct bl_frame *frame_at(uint32_t n)
{
    if (n == 0 || n >= bl_header->published[BL_SECTION_FRAMES])
        ck_abort_msg("frame %u is not published", n);
    return bl_ledger_at(BL_SECTION_FRAMES, n);
}

/* Follows the trie outward and compares with the addresses. */
static void check_path(uint32_t stack, const uint64_t *pcs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_frame *f = frame_at(stack);
        struct bl_location where = bl_modules_locate(pcs[i]);
        if ((f->module & BL_FRAME_MODULE_MASK) != where.module || f->offset != where.offset)
            ck_abort_msg("frame %u of the stack is not what was put in", i);
        if (f->parent >= stack)
            ck_abort_msg("the caller of frame %u came after it", stack);
        stack = f->parent;
    }
    ck_assert_uint_eq(stack, 0);
}

static void random_stack(uint64_t *seed, uint64_t *pcs, uint32_t *ret_count)
{
    uint32_t count = 1 + (uint32_t)(next_random(seed) % 30);
    for (uint32_t i = 0; i < count; i++) /* outer frames repeat: a real program's do */
        pcs[i] = code((uint32_t)(next_random(seed) % (2 + (count - i) / 4)));
    *ret_count = count;
}

START_TEST(a_stack_is_one_number_however_often_it_comes)
{
    uint64_t pcs[64];
    uint32_t numbers[2000];
    start_core();
    for (unsigned round = 0; round < 3; round++) {
        uint64_t seed = 17;
        for (unsigned i = 0; i < 2000; i++) {
            uint32_t count;
            random_stack(&seed, pcs, &count);
            uint32_t stack = intern(pcs, count, 64);
            if (round == 0) {
                numbers[i] = stack;
                check_path(stack, pcs, count);
            }
            ck_assert_uint_eq(stack, numbers[i]);
        }
        bl_stacks_forget_hashes();
    }
}
END_TEST

START_TEST(stacks_share_their_outer_frames)
{
    uint64_t a[] = {code(1), code(10), code(20), code(30)};
    uint64_t b[] = {code(2), code(10), code(20), code(30)};
    start_core();
    uint32_t first = intern(a, 4, 64);
    uint64_t frames = bl_header->published[BL_SECTION_FRAMES];
    uint32_t second = intern(b, 4, 64);
    ck_assert_uint_ne(first, second);
    ck_assert_uint_eq(bl_header->published[BL_SECTION_FRAMES], frames + 1);
    ck_assert_uint_eq(frame_at(first)->parent, frame_at(second)->parent);
}
END_TEST

START_TEST(a_parent_is_always_a_lower_number)
{
    uint64_t pcs[64];
    uint64_t seed = 23;
    start_core();
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t count;
        random_stack(&seed, pcs, &count);
        intern(pcs, count, 64);
    }
    for (uint32_t i = 1; i < bl_header->published[BL_SECTION_FRAMES]; i++)
        ck_assert(frame_at(i)->parent < i);
}
END_TEST

START_TEST(a_cut_stack_is_flagged_at_its_outermost_frame_and_counted)
{
    uint64_t pcs[20];
    start_core();
    for (uint32_t i = 0; i < 20; i++)
        pcs[i] = code(i);
    uint32_t stack = intern(pcs, 20, 8);
    for (uint32_t i = 0; i < 7; i++) {
        ck_assert_uint_eq(frame_at(stack)->module & ~BL_FRAME_MODULE_MASK, 0);
        stack = frame_at(stack)->parent;
    }
    ck_assert_uint_eq(frame_at(stack)->module & ~BL_FRAME_MODULE_MASK, BL_FRAME_TRUNCATED);
    ck_assert_uint_eq(frame_at(stack)->parent, 0);
    ck_assert_uint_eq(loss(BL_LOSS_stacks_truncated), 1);
}
END_TEST

START_TEST(a_stack_without_a_root_is_flagged_and_counted)
{
    uint64_t pcs[] = {code(1), code(2)};
    start_core();
    struct bl_walk w = make_walk(pcs, 2, BL_WALK_UNROOTED);
    uint32_t stack = bl_stacks_intern(bl_threads_current(), &w, 64);
    stack = frame_at(stack)->parent;
    ck_assert_uint_eq(frame_at(stack)->module & ~BL_FRAME_MODULE_MASK, BL_FRAME_UNROOTED);
    ck_assert_uint_eq(loss(BL_LOSS_stacks_unrooted), 1);
}
END_TEST

START_TEST(code_of_no_module_keeps_its_address)
{
    uint64_t pcs[] = {0x1234567, code(2)};
    start_core();
    uint32_t stack = intern(pcs, 2, 64);
    ck_assert_uint_eq(frame_at(stack)->module & BL_FRAME_MODULE_MASK, 0);
    ck_assert_uint_eq(frame_at(stack)->offset, 0x1234567);
}
END_TEST

START_TEST(an_exact_address_is_flagged_and_not_moved)
{
    uint64_t pcs[] = {code(1), code(2)};
    start_core();
    struct bl_walk w = make_walk(pcs, 2, 0);
    bl_threads_current()->scratch[1].exact = true;
    bl_threads_current()->scratch[1].pc = pcs[1] + 1;
    uint32_t stack = bl_stacks_intern(bl_threads_current(), &w, 64);
    const struct bl_frame *outer = frame_at(frame_at(stack)->parent);
    ck_assert_uint_eq(outer->module & ~BL_FRAME_MODULE_MASK, BL_FRAME_EXACT);
    ck_assert_uint_eq(outer->offset, bl_modules_locate(pcs[1]).offset);
}
END_TEST

/* How many of so many births of one stack are watched. */
static unsigned watched_of(const uint64_t *pcs, unsigned births)
{
    struct bl_walk w = make_walk(pcs, 2, 0);
    unsigned watched = 0;
    for (unsigned i = 0; i < births; i++) {
        bool is_watched;
        ck_assert_uint_ne(bl_stacks_intern_birth(bl_threads_current(), &w, 64, &is_watched), 0);
        watched += is_watched;
    }
    return watched;
}

START_TEST(of_a_new_stack_the_first_births_are_watched_and_later_one_in_a_thousand)
{
    uint64_t pcs[] = {code(1), code(2)};
    start_core();
    ck_assert_uint_eq(watched_of(pcs, 8), 8);
    unsigned first_thousand = watched_of(pcs, 1000);
    ck_assert_uint_ge(first_thousand, 30);
    ck_assert_uint_le(first_thousand, 70);
    watched_of(pcs, 100000);
    unsigned of_a_million = watched_of(pcs, 1000000);
    ck_assert_uint_ge(of_a_million, 800);
    ck_assert_uint_le(of_a_million, 1200);
}
END_TEST

START_TEST(what_a_program_does_with_every_tenth_buffer_does_not_fall_in_step)
{
    uint64_t pcs[] = {code(1), code(2)};
    unsigned watched = 0;
    unsigned watched_tenth = 0;
    start_core();
    struct bl_walk w = make_walk(pcs, 2, 0);
    for (unsigned i = 0; i < 2000000; i++) {
        bool is_watched;
        bl_stacks_intern_birth(bl_threads_current(), &w, 64, &is_watched);
        watched += is_watched;
        watched_tenth += is_watched && i % 10 == 3;
    }
    /* a tenth of some 2,000: 200, with a standard deviation of 14 */
    ck_assert_uint_ge(watched_tenth * 10, watched / 2);
    ck_assert_uint_le(watched_tenth * 10, watched * 2);
}
END_TEST

START_TEST(stacks_that_push_each_other_out_of_the_memo_are_sampled_all_the_same)
{
    uint64_t a[] = {code(1), code(2)};
    uint64_t b[] = {code(3), code(2)};
    unsigned watched = 0;
    start_core();
    struct bl_walk first = make_walk(a, 2, 0);
    uint32_t first_number = bl_stacks_intern(bl_threads_current(), &first, 64);
    struct bl_walk second = make_walk(b, 2, 0);
    second.hash = (second.hash & ~(uint64_t)(BL_MEMO_SIZE - 1)) | (first.hash & (BL_MEMO_SIZE - 1));
    uint32_t second_number = bl_stacks_intern(bl_threads_current(), &second, 64);
    ck_assert_uint_ne(first_number, second_number);
    for (unsigned i = 0; i < 200000; i++) {
        bool is_watched;
        bl_stacks_intern_birth(bl_threads_current(), i % 2 ? &first : &second, 64, &is_watched);
        watched += is_watched;
    }
    /* one in 128: 1,562, with a standard deviation of 40 */
    ck_assert_uint_ge(watched, 1200);
    ck_assert_uint_le(watched, 2000);
}
END_TEST

START_TEST(what_is_no_birth_does_not_count_as_one)
{
    uint64_t pcs[] = {code(1), code(2)};
    start_core();
    for (unsigned i = 0; i < 10000; i++)
        intern(pcs, 2, 64);
    ck_assert_uint_eq(watched_of(pcs, 8), 8);
}
END_TEST

START_TEST(without_memory_a_stack_is_dropped_and_counted_and_known_again_later)
{
    uint64_t pcs[64];
    uint64_t seed = 29;
    uint32_t dropped = 0;
    start_core();
    bl_arena_set_fault((uint32_t)_i);
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t count;
        random_stack(&seed, pcs, &count);
        uint32_t stack = intern(pcs, count, 64);
        dropped += stack == 0;
        if (stack)
            check_path(stack, pcs, count);
    }
    ck_assert_uint_eq(loss(BL_LOSS_stacks_dropped), dropped);
    bl_arena_set_fault(0);
    seed = 29;
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t count;
        random_stack(&seed, pcs, &count);
        check_path(intern(pcs, count, 64), pcs, count);
    }
}
END_TEST

START_TEST(every_count_of_frames_up_to_the_limit_is_kept_whole)
{
    uint64_t pcs[BL_DEPTH_MAX];
    start_core();
    for (uint32_t count = 1; count <= BL_DEPTH_MAX; count++) {
        for (uint32_t i = 0; i < count; i++)
            pcs[i] = code(i + count);
        check_path(intern(pcs, count, BL_DEPTH_MAX), pcs, count);
    }
    ck_assert_uint_eq(loss(BL_LOSS_stacks_truncated), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_stack_is_one_number_however_often_it_comes,
        stacks_share_their_outer_frames,
        a_parent_is_always_a_lower_number,
        a_cut_stack_is_flagged_at_its_outermost_frame_and_counted,
        a_stack_without_a_root_is_flagged_and_counted,
        of_a_new_stack_the_first_births_are_watched_and_later_one_in_a_thousand,
        what_a_program_does_with_every_tenth_buffer_does_not_fall_in_step,
        stacks_that_push_each_other_out_of_the_memo_are_sampled_all_the_same,
        what_is_no_birth_does_not_count_as_one,
        code_of_no_module_keeps_its_address,
        an_exact_address_is_flagged_and_not_moved,
        every_count_of_frames_up_to_the_limit_is_kept_whole,
    };
    Suite *suite = suite_create("shim stacks");
    TCase *all = tcase_create("stacks");
    tcase_set_timeout(all, 60);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(all, tests[i]);
    tcase_add_loop_test(all, without_memory_a_stack_is_dropped_and_counted_and_known_again_later, 1,
                        21);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
