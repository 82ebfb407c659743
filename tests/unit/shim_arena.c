/* Private memory. */
#include "shim_start.h"

#define BLOCKS 256u

struct block {
    unsigned char *at;
    size_t size;
    unsigned char mark;
};

static void fill(const struct block *b)
{
    memset(b->at, b->mark, b->size);
}

static void check_filled(const struct block *b)
{
    size_t good = 0;
    while (good < b->size && b->at[good] == b->mark)
        good++;
    ck_assert_uint_eq(good, b->size);
}

/* Sizes over all classes, and some beyond the largest. */
static size_t random_size(uint64_t *seed)
{
    unsigned bits = (unsigned)(next_random(seed) % 15);
    size_t size = 1 + (size_t)(next_random(seed) % (16u << bits));
    return size;
}

START_TEST(blocks_are_aligned_and_do_not_overlap_through_random_use)
{
    static struct block blocks[BLOCKS];
    uint64_t seed = 1;
    for (unsigned round = 0; round < scaled(alone(40000)); round++) {
        struct block *b = &blocks[next_random(&seed) % BLOCKS];
        if (b->at) {
            check_filled(b);
            bl_arena_free(b->at, b->size);
        }
        b->size = random_size(&seed);
        b->at = bl_arena_alloc(b->size);
        b->mark = (unsigned char)next_random(&seed);
        ck_assert_ptr_nonnull(b->at);
        ck_assert_uint_eq((uintptr_t)b->at % 16, 0);
        fill(b);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (blocks[i].at)
            check_filled(&blocks[i]);
    }
}
END_TEST

START_TEST(a_freed_block_is_given_out_again_for_its_class)
{
    for (size_t size = 1; size <= 128u << 10; size = size * 2 + 1) {
        void *a = bl_arena_alloc(size);
        bl_arena_free(a, size);
        ck_assert_ptr_eq(bl_arena_alloc(size), a);
    }
}
END_TEST

START_TEST(steady_use_maps_nothing_more)
{
    for (unsigned i = 0; i < 1000; i++)
        bl_arena_free(bl_arena_alloc(100), 100);
    uint64_t mapped = bl_arena_mapped_bytes();
    for (unsigned i = 0; i < 100000; i++)
        bl_arena_free(bl_arena_alloc(100), 100);
    ck_assert_uint_eq(bl_arena_mapped_bytes(), mapped);
}
END_TEST

START_TEST(a_big_block_is_a_mapping_that_goes_back_to_the_system)
{
    uint64_t before = bl_arena_mapped_bytes();
    size_t size = (128u << 10) + 1;
    char *big = bl_arena_alloc(size);
    ck_assert_ptr_nonnull(big);
    big[0] = big[size - 1] = 1;
    ck_assert_uint_ge(bl_arena_mapped_bytes(), before + size);
    bl_arena_free(big, size);
    ck_assert_uint_eq(bl_arena_mapped_bytes(), before);
}
END_TEST

START_TEST(pages_are_zero_and_returned)
{
    uint64_t before = bl_arena_mapped_bytes();
    unsigned char *pages = bl_arena_map(1 << 20);
    const struct block all = {.at = pages, .size = 1 << 20, .mark = 0};
    check_filled(&all);
    bl_arena_unmap(pages, 1 << 20);
    ck_assert_uint_eq(bl_arena_mapped_bytes(), before);
}
END_TEST

START_TEST(nothing_is_freed_for_null)
{
    bl_arena_free(NULL, 10);
    bl_arena_free(NULL, 1 << 20);
    bl_arena_unmap(NULL, 4096);
    ck_assert_uint_eq(bl_arena_mapped_bytes(), 0);
}
END_TEST

START_TEST(every_nth_mapping_fails_on_demand_and_is_counted)
{
    unsigned failed = 0;
    bl_arena_set_fault(3);
    for (unsigned i = 1; i <= 30; i++) {
        void *pages = bl_arena_map(4096);
        failed += pages == NULL;
        ck_assert_int_eq(pages == NULL, i % 3 == 0);
    }
    ck_assert_uint_eq(failed, 10);
    ck_assert_uint_eq(loss(BL_LOSS_arena_failures), 10);
    bl_arena_set_fault(0);
    for (unsigned i = 0; i < 30; i++)
        ck_assert_ptr_nonnull(bl_arena_map(4096));
}
END_TEST

START_TEST(a_refused_region_is_null_now_and_served_later)
{
    bl_arena_set_fault(1);
    ck_assert_ptr_null(bl_arena_alloc(64));
    ck_assert_ptr_null(bl_arena_alloc(1 << 20));
    ck_assert_uint_eq(loss(BL_LOSS_arena_failures), 2);
    bl_arena_set_fault(0);
    ck_assert_ptr_nonnull(bl_arena_alloc(64));
}
END_TEST

START_TEST(an_impossible_size_is_refused)
{
    ck_assert_ptr_null(bl_arena_alloc(1ull << 60));
    ck_assert_uint_eq(loss(BL_LOSS_arena_failures), 1);
}
END_TEST

RUN_SUITE("shim arena", blocks_are_aligned_and_do_not_overlap_through_random_use,
          a_freed_block_is_given_out_again_for_its_class, steady_use_maps_nothing_more,
          a_big_block_is_a_mapping_that_goes_back_to_the_system, pages_are_zero_and_returned,
          nothing_is_freed_for_null, every_nth_mapping_fails_on_demand_and_is_counted,
          a_refused_region_is_null_now_and_served_later, an_impossible_size_is_refused)
