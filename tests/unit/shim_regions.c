/* Mapped ranges against a bitmap of pages. */
#include "shim_start.h"
#include "regions.h"

#define PAGES 4096u
#define BASE  0x7f0000000000u

static uint64_t owner[PAGES]; /* birth of the mapping that holds the page; 0 = none */
static uint64_t seen[PAGES];

static void model_set(uint32_t first, uint32_t count, uint64_t birth)
{
    for (uint32_t i = first; i < first + count; i++)
        owner[i] = birth;
}

/* The live records, as a reader finds them, spread over the pages. */
static void scan_pages(void)
{
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 1; i < bl_header->published[BL_SECTION_LIVE]; i++) {
        const struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, i);
        if (!(r->word & BL_LIVE_BIT))
            continue;
        uint64_t size = r->word >> BL_LIVE_SIZE_SHIFT;
        uint64_t first = (r->address - BASE) / BL_PAGE;
        if (r->word >> BL_LIVE_CLASS_SHIFT & 1 ? 0 : 1)
            ck_abort_msg("a range is not of class mmap");
        if (size == 0 || size % BL_PAGE || r->address % BL_PAGE || first + size / BL_PAGE > PAGES)
            ck_abort_msg("range %#lx+%#lx", (unsigned long)r->address, (unsigned long)size);
        for (uint64_t p = first; p < first + size / BL_PAGE; p++) {
            if (seen[p])
                ck_abort_msg("page %lu is in two ranges", (unsigned long)p);
            seen[p] = r->birth_ns;
        }
    }
}

static void check_pages(void)
{
    scan_pages();
    for (uint32_t p = 0; p < PAGES; p++) {
        if (seen[p] != owner[p])
            ck_abort_msg("page %u belongs to %lu, not to %lu", p, (unsigned long)seen[p],
                         (unsigned long)owner[p]);
    }
}

static uint64_t owned_bytes(void)
{
    uint64_t bytes = 0;
    for (uint32_t p = 0; p < PAGES; p++)
        bytes += owner[p] ? BL_PAGE : 0;
    return bytes;
}

/* A length that is not whole pages stands for the pages it reaches into, as for the kernel. */
static void add(uint32_t first, uint32_t count, uint64_t birth, uint64_t short_by)
{
    struct bl_buffer b = {.address = BASE + (uint64_t)first * BL_PAGE,
                          .size_bytes = (uint64_t)count * BL_PAGE - short_by,
                          .birth_ns = birth,
                          .class_number = 1};
    bl_regions_add(&b);
}

static void step(uint64_t *random, uint64_t birth)
{
    uint32_t first = (uint32_t)(next_random(random) % PAGES);
    uint32_t room = PAGES - first;
    uint32_t count = 1 + (uint32_t)(next_random(random) % (room < 40 ? room : 40));
    uint64_t short_by = next_random(random) % BL_PAGE;
    if (next_random(random) % 5 < 3) {
        add(first, count, birth, short_by);
        model_set(first, count, birth);
    } else {
        bl_regions_remove(BASE + (uint64_t)first * BL_PAGE, (uint64_t)count * BL_PAGE - short_by);
        model_set(first, count, 0);
    }
}

START_TEST(random_maps_and_unmaps_agree_with_a_bitmap_of_pages)
{
    uint64_t random = 5;
    unsigned steps = scaled(alone(60000));
    start_ledger();
    for (unsigned i = 1; i <= steps; i++) {
        step(&random, i);
        if (i < 300 || i % 1000 == 0)
            check_pages();
    }
    check_pages();
    struct bl_counter c = counters_of(1);
    ck_assert_uint_eq(c.alloc_bytes - c.free_bytes, owned_bytes());
    bl_regions_remove(BASE, (uint64_t)PAGES * BL_PAGE);
    model_set(0, PAGES, 0);
    check_pages();
    ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), 0);
}
END_TEST

START_TEST(an_unmap_in_the_middle_leaves_two_ranges_of_the_same_birth)
{
    start_ledger();
    add(10, 30, 7, 0);
    model_set(10, 30, 7);
    bl_regions_remove(BASE + 20 * BL_PAGE, 5 * BL_PAGE);
    model_set(20, 5, 0);
    check_pages();
    struct bl_counter c = counters_of(1);
    ck_assert_uint_eq(c.allocs - c.frees, 2);
}
END_TEST

START_TEST(many_ranges_are_kept_apart)
{
    start_ledger();
    for (uint32_t p = 0; p < PAGES; p += 2) {
        add(p, 1, p + 1, 0);
        model_set(p, 1, p + 1);
    }
    check_pages();
    ck_assert_uint_eq(counters_of(1).allocs, PAGES / 2);
}
END_TEST

START_TEST(without_memory_ranges_are_lost_and_counted_and_the_rest_stays_whole)
{
    uint32_t kept = 0;
    start_ledger();
    bl_arena_set_fault(1);
    for (uint32_t p = 0; p < PAGES; p += 2)
        add(p, 1, p + 1, 0);
    bl_arena_set_fault(0);
    scan_pages();
    for (uint32_t p = 0; p < PAGES; p++)
        kept += seen[p] != 0;
    ck_assert_uint_eq(kept + loss(BL_LOSS_buffers_no_memory), PAGES / 2);
    bl_regions_remove(BASE, (uint64_t)PAGES * BL_PAGE);
    memset(owner, 0, sizeof owner);
    check_pages();
    add(0, 4, 9, 0);
    model_set(0, 4, 9);
    check_pages();
}
END_TEST

START_TEST(a_range_that_wraps_around_removes_nothing)
{
    start_ledger();
    add(0, 4, 9, 0);
    bl_regions_remove(BASE + BL_PAGE, UINT64_MAX - BASE - BL_PAGE);
    model_set(0, 4, 9);
    check_pages();
}
END_TEST

RUN_SUITE("shim regions", random_maps_and_unmaps_agree_with_a_bitmap_of_pages,
          an_unmap_in_the_middle_leaves_two_ranges_of_the_same_birth, many_ranges_are_kept_apart,
          without_memory_ranges_are_lost_and_counted_and_the_rest_stays_whole,
          a_range_that_wraps_around_removes_nothing)
