/* Where sampled heap blocks end. */
#include "shim_start.h"

#include "frees.h"

static const struct bl_free_path *path_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_FREE_PATHS, n);
}

static uint32_t records(void)
{
    return (uint32_t)bl_header->published[BL_SECTION_FREE_PATHS];
}

static const struct bl_free_path *find(uint32_t alloc_stack, uint32_t free_stack)
{
    const struct bl_free_path *found = NULL;
    for (uint32_t n = 1; n < records(); n++) {
        const struct bl_free_path *p = path_at(n);
        if (p->count == 0 || p->alloc_stack != alloc_stack || p->free_stack != free_stack)
            continue;
        ck_assert_msg(!found, "stacks %u and %u are recorded twice", alloc_stack, free_stack);
        found = p;
    }
    return found;
}

static void end(uint32_t alloc_stack, uint32_t free_stack, uint64_t birth_ns, uint64_t end_ns)
{
    struct bl_buffer b = {
        .address = 0x1000, .size_bytes = 100, .birth_ns = birth_ns, .stack = alloc_stack};
    bl_frees_add(&b, free_stack, BL_OP_END, end_ns);
}

/* Every record stands for one pair of stacks, and says so in its check. */
static void check_records(void)
{
    for (uint32_t n = 1; n < records(); n++) {
        const struct bl_free_path *p = path_at(n);
        if (p->count > 0)
            ck_assert_uint_eq(p->check, bl_free_path_check(p->alloc_stack, p->free_stack));
    }
}

START_TEST(equal_paths_are_one_record_with_their_lifetimes)
{
    start_ledger();
    end(5, 7, 1000, 4000);
    end(5, 7, 2000, 3000);
    end(5, 8, 2000, 3000);
    end(6, 7, 2000, 3000);
    ck_assert_uint_eq(records(), 4);
    const struct bl_free_path *p = find(5, 7);
    ck_assert_uint_eq(p->count, 2);
    ck_assert_uint_eq(p->bytes, 200);
    ck_assert_uint_eq(p->max_ns, 3000);
    ck_assert_uint_eq(p->total_ns, 4000);
    ck_assert_uint_eq(p->last_ns, 3000);
    ck_assert_uint_eq(p->op, BL_OP_END);
    ck_assert_uint_eq(find(5, 8)->count, 1);
    ck_assert_uint_eq(find(6, 7)->count, 1);
    check_records();
}
END_TEST

START_TEST(a_stack_that_was_not_recorded_makes_no_path)
{
    start_ledger();
    end(0, 7, 1000, 2000);
    end(5, 0, 1000, 2000);
    ck_assert_uint_le(records(), 1);
}
END_TEST

START_TEST(paths_are_bounded_counted_and_the_rare_ones_go_first)
{
    start_ledger();
    for (uint32_t often = 1; often <= 100; often++)
        for (unsigned i = 0; i < 50; i++)
            end(often, 1000 + often, 1000, 2000);
    for (uint32_t rare = 0; rare < 3 * BL_FREES_MAX; rare++)
        end(2000 + rare, 3000 + rare, 1000, 2000);
    ck_assert_uint_eq(records(), BL_FREES_MAX);
    for (uint32_t often = 1; often <= 100; often++) {
        const struct bl_free_path *p = find(often, 1000 + often);
        ck_assert_msg(p && p->count == 50, "path %u was dropped for rarer ones", often);
    }
    ck_assert_uint_eq(loss(BL_LOSS_free_paths_dropped),
                      100 + 3 * BL_FREES_MAX - (BL_FREES_MAX - 1));
    check_records();
}
END_TEST

START_TEST(a_path_that_was_dropped_begins_anew)
{
    start_ledger();
    end(1, 2, 1000, 2000);
    for (uint32_t other = 0; other < 2 * BL_FREES_MAX; other++)
        for (unsigned i = 0; i < 2; i++)
            end(10 + other, 20 + other, 1000, 2000);
    ck_assert_ptr_null(find(1, 2));
    end(1, 2, 1000, 2000);
    ck_assert_uint_eq(find(1, 2)->count, 1);
}
END_TEST

/* What is not recorded is counted, what is recorded is right. */
START_TEST(without_memory_paths_are_dropped_and_counted)
{
    start_ledger();
    bl_arena_set_fault((uint32_t)_i);
    for (uint32_t i = 1; i <= 2000; i++)
        end(i, 5000 + i, 1000, 2000);
    bl_arena_set_fault(0);
    uint64_t kept = 0;
    for (uint32_t i = 1; i <= 2000; i++)
        kept += find(i, 5000 + i) != NULL;
    ck_assert_uint_eq(kept + loss(BL_LOSS_free_paths_dropped), 2000);
    check_records();
    end(1, 5001, 1000, 2000);
    ck_assert_ptr_nonnull(find(1, 5001));
}
END_TEST

START_TEST(an_empty_ledger_starts_empty)
{
    start_ledger();
    for (uint32_t i = 1; i <= 500; i++)
        end(i, i, 1000, 2000);
    bl_ledger_forget();
    bl_frees_reset();
    ck_assert_int_eq(bl_ledger_create("unit.1.2.ledger", false), 0);
    end(7, 7, 1000, 2000);
    ck_assert_uint_eq(records(), 2);
    ck_assert_uint_eq(find(7, 7)->count, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shim frees");
    TCase *tc = tcase_create("frees");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, equal_paths_are_one_record_with_their_lifetimes);
    tcase_add_test(tc, a_stack_that_was_not_recorded_makes_no_path);
    tcase_add_test(tc, paths_are_bounded_counted_and_the_rare_ones_go_first);
    tcase_add_test(tc, a_path_that_was_dropped_begins_anew);
    tcase_add_loop_test(tc, without_memory_paths_are_dropped_and_counted, 1, 6);
    tcase_add_test(tc, an_empty_ledger_starts_empty);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
