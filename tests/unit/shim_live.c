/* The live table against a simple model. */
#include "shim_start.h"

#define KEYS 200000u

/* The model: every address that may live, and what lives there. */
struct entry {
    uint64_t size;
    uint64_t birth;
    uint32_t stack;
    uint32_t thread;
    uint8_t class_number;
    bool lives;
};

static struct entry model[KEYS];
static uint64_t live_count[2];
static uint64_t live_bytes[2];
static uint64_t peak_bytes[2];
static uint64_t born[2];
static uint64_t ended[2];

static uint64_t address_of(uint32_t key)
{
    return 0x550000000000u + (uint64_t)key * 16;
}

static struct bl_buffer buffer_of(uint32_t key)
{
    const struct entry *e = &model[key];
    return (struct bl_buffer){.address = address_of(key),
                              .size_bytes = e->size,
                              .birth_ns = e->birth,
                              .stack = e->stack,
                              .thread = e->thread,
                              .class_number = e->class_number};
}

static void check_equal(const struct bl_buffer *a, const struct bl_buffer *b)
{
    if (a->address != b->address || a->size_bytes != b->size_bytes || a->birth_ns != b->birth_ns ||
        a->stack != b->stack || a->thread != b->thread || a->class_number != b->class_number)
        ck_abort_msg("record of %#lx is not what was put in", (unsigned long)b->address);
}

static void model_end(uint32_t key)
{
    struct entry *e = &model[key];
    e->lives = false;
    live_count[e->class_number]--;
    live_bytes[e->class_number] -= e->size;
    ended[e->class_number]++;
}

static void model_birth(uint32_t key, uint64_t random)
{
    struct entry *e = &model[key];
    *e = (struct entry){.size = random % 10000,
                        .birth = random >> 8,
                        .stack = (uint32_t)(random >> 16) & 0xffffff,
                        .thread = (uint32_t)(random >> 24) & 0xffff,
                        .class_number = (uint8_t)(random >> 63),
                        .lives = true};
    live_count[e->class_number]++;
    live_bytes[e->class_number] += e->size;
    born[e->class_number]++;
    if (live_bytes[e->class_number] > peak_bytes[e->class_number])
        peak_bytes[e->class_number] = live_bytes[e->class_number];
}

static void step_insert(uint32_t key, uint64_t random)
{
    if (model[key].lives)
        model_end(key);
    model_birth(key, random);
    struct bl_buffer b = buffer_of(key);
    bl_live_insert(&b);
}

static void step_remove(uint32_t key, bool restore)
{
    struct bl_buffer found;
    struct bl_buffer expected = buffer_of(key);
    bool removed = bl_live_remove(expected.address, &found);
    if (removed != model[key].lives)
        ck_abort_msg("remove of key %u found %d", key, removed);
    if (!removed)
        return;
    check_equal(&found, &expected);
    if (restore)
        bl_live_restore(&found);
    else
        model_end(key);
}

static void step_find(uint32_t key)
{
    struct bl_buffer found;
    struct bl_buffer expected = buffer_of(key);
    bool there = bl_live_find(expected.address, &found);
    if (there != model[key].lives)
        ck_abort_msg("find of key %u says %d", key, there);
    if (there)
        check_equal(&found, &expected);
}

static void check_counters(uint32_t class_number)
{
    uint64_t count;
    uint64_t bytes;
    scan_live(class_number, &count, &bytes);
    ck_assert_uint_eq(count, live_count[class_number]);
    ck_assert_uint_eq(bytes, live_bytes[class_number]);
    struct bl_counter c = counters_of(class_number);
    ck_assert_uint_eq(c.allocs, born[class_number]);
    ck_assert_uint_eq(c.frees, ended[class_number]);
    ck_assert_uint_eq(c.alloc_bytes - c.free_bytes, live_bytes[class_number]);
    const struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, class_number);
    ck_assert_uint_le(class->peak_bytes, peak_bytes[class_number]);
    ck_assert_uint_ge(class->peak_bytes, peak_bytes[class_number] / 100 * 98);
}

static void run_steps(unsigned steps, uint32_t keys, uint64_t seed)
{
    for (unsigned i = 0; i < steps; i++) {
        uint64_t random = next_random(&seed);
        uint32_t key = (uint32_t)(next_random(&seed) % keys);
        switch (random % 8) {
        case 0:
        case 1:
        case 2:
            step_insert(key, next_random(&seed));
            break;
        case 3:
        case 4:
            step_remove(key, false);
            break;
        case 5:
            step_remove(key, true);
            break;
        default:
            step_find(key);
            break;
        }
    }
}

START_TEST(a_million_random_steps_over_200000_keys_agree_with_the_model)
{
    start_ledger();
    for (uint32_t key = 0; key < KEYS; key++)
        step_insert(key, key * 0x9E3779B97F4A7C15u);
    ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), 0);
    run_steps(scaled(alone(1000000)), KEYS, 11);
    for (uint32_t key = 0; key < KEYS; key++)
        step_find(key);
    check_counters(0);
    check_counters(1);
    ck_assert_uint_gt(loss(BL_LOSS_buffers_replaced), 0);
    ck_assert_uint_eq(loss(BL_LOSS_buffers_no_memory) + loss(BL_LOSS_buffers_no_space), 0);
}
END_TEST

START_TEST(everything_can_be_removed_and_the_records_serve_again)
{
    start_ledger();
    for (unsigned round = 0; round < 3; round++) {
        for (uint32_t key = 0; key < 50000; key++)
            step_insert(key, key + 1);
        for (uint32_t key = 0; key < 50000; key++)
            step_remove(key, false);
        check_counters(0);
    }
    uint64_t count;
    uint64_t bytes;
    scan_live(0, &count, &bytes);
    ck_assert_uint_eq(count, 0);
    /* 32 shards hold at most a batch each beyond the peak */
    ck_assert_uint_le(bl_header->published[BL_SECTION_LIVE], 50000 + 32 * 64);
}
END_TEST

START_TEST(a_replaced_buffer_is_counted_as_ended)
{
    start_ledger();
    step_insert(1, 5);
    step_insert(1, 7);
    ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), 1);
    check_counters(0);
}
END_TEST

START_TEST(a_restore_leaves_the_counters_as_they_were)
{
    start_ledger();
    step_insert(1, 99);
    struct bl_counter before = counters_of(0);
    step_remove(1, true);
    struct bl_counter after = counters_of(0);
    ck_assert_uint_eq(after.allocs, before.allocs);
    ck_assert_uint_eq(after.frees, before.frees);
    ck_assert_uint_eq(after.alloc_bytes - after.free_bytes, before.alloc_bytes - before.free_bytes);
    check_counters(0);
}
END_TEST

START_TEST(a_restore_after_the_address_was_given_out_again_keeps_the_new_buffer)
{
    start_ledger();
    struct bl_buffer old = {.address = 0x1000, .size_bytes = 10};
    struct bl_buffer new = {.address = 0x1000, .size_bytes = 20, .stack = 3};
    struct bl_buffer found;
    bl_live_insert(&old);
    ck_assert(bl_live_remove(0x1000, &found));
    bl_live_insert(&new);
    bl_live_restore(&found);
    ck_assert(bl_live_find(0x1000, &found));
    check_equal(&found, &new);
}
END_TEST

START_TEST(a_removal_says_what_the_buffer_was_marked_with)
{
    start_ledger();
    struct bl_buffer b = {.address = 0x1000, .size_bytes = 10, .stack = 3, .watched = true};
    struct bl_buffer found = {.stack = 77};
    bl_live_insert(&b);
    bl_live_hold(0x1000);
    bl_live_resize(0x1000, 20);
    ck_assert_uint_eq(bl_live_end(0x1000, &found),
                      BL_REMOVED | BL_REMOVED_WATCHED | BL_REMOVED_HELD);
    ck_assert_uint_eq(found.stack, 3);
    ck_assert_uint_eq(found.size_bytes, 20);
    ck_assert_uint_eq(bl_live_end(0x1000, &found), BL_REMOVED_NONE);
    bl_live_restore(&found);
    ck_assert_uint_eq(bl_live_remove(0x1000, NULL), BL_REMOVED | BL_REMOVED_WATCHED);
}
END_TEST

START_TEST(the_end_of_a_buffer_that_is_not_watched_is_not_read)
{
    start_ledger();
    struct bl_buffer b = {.address = 0x1000, .size_bytes = 10, .stack = 3};
    struct bl_buffer found = {.stack = 77};
    bl_live_insert(&b);
    ck_assert_uint_eq(bl_live_end(0x1000, &found), BL_REMOVED);
    ck_assert_uint_eq(found.stack, 77);
    ck_assert_uint_eq(counters_of(0).frees, 1);
}
END_TEST

START_TEST(sizes_of_every_magnitude_come_back)
{
    start_ledger();
    for (unsigned bit = 0; bit < 48; bit++) {
        struct bl_buffer b = {.address = 0x10000 + bit * 16, .size_bytes = 1ull << bit};
        struct bl_buffer found;
        bl_live_insert(&b);
        ck_assert(bl_live_find(b.address, &found));
        check_equal(&found, &b);
    }
}
END_TEST

/* A size that the record cannot hold must not leave the counters wrong for ever. */
START_TEST(an_absurd_size_leaves_the_counters_even)
{
    start_ledger();
    struct bl_buffer b = {.address = 0x1000, .size_bytes = UINT64_MAX / 2};
    bl_live_insert(&b);
    ck_assert(bl_live_remove(0x1000, NULL));
    struct bl_counter c = counters_of(0);
    ck_assert_uint_eq(c.alloc_bytes - c.free_bytes, 0);
}
END_TEST

START_TEST(addresses_that_differ_only_high_or_low_are_kept_apart)
{
    start_ledger();
    for (unsigned bit = 3; bit < 64; bit++) {
        struct bl_buffer b = {.address = 1ull << bit, .size_bytes = bit};
        bl_live_insert(&b);
    }
    for (unsigned bit = 3; bit < 64; bit++) {
        struct bl_buffer found;
        ck_assert(bl_live_find(1ull << bit, &found));
        ck_assert_uint_eq(found.size_bytes, bit);
    }
    ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), 0);
}
END_TEST

/* With every n-th mapping refused: what is in is found, what is out is counted, sums agree. */
static void check_with_fault(uint32_t every_nth)
{
    uint64_t in = 0;
    uint64_t bytes = 0;
    uint32_t keys = 60000;
    bl_arena_set_fault(every_nth);
    for (uint32_t key = 0; key < keys; key++) {
        struct bl_buffer b = {.address = address_of(key), .size_bytes = key};
        bl_live_insert(&b);
    }
    bl_arena_set_fault(0);
    for (uint32_t key = 0; key < keys; key++) {
        struct bl_buffer found;
        if (!bl_live_find(address_of(key), &found))
            continue;
        if (found.size_bytes != key)
            ck_abort_msg("key %u came back with %lu bytes", key, (unsigned long)found.size_bytes);
        in++;
        bytes += key;
    }
    ck_assert_uint_eq(in + loss(BL_LOSS_buffers_no_memory), keys);
    uint64_t count;
    uint64_t scanned;
    scan_live(0, &count, &scanned);
    ck_assert_uint_eq(count, in);
    ck_assert_uint_eq(scanned, bytes);
    ck_assert_uint_eq(counters_of(0).allocs, in);
    for (uint32_t key = 0; key < keys; key++)
        bl_live_remove(address_of(key), NULL);
    scan_live(0, &count, &scanned);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(counters_of(0).frees, in);
}

START_TEST(without_memory_at_every_nth_turn_the_table_stays_whole)
{
    start_ledger();
    check_with_fault((uint32_t)_i);
}
END_TEST

START_TEST(a_child_starts_from_what_it_inherited)
{
    start_ledger();
    for (uint32_t key = 0; key < 1000; key++)
        step_insert(key, key);
    for (uint32_t key = 0; key < 400; key++)
        step_remove(key, false);
    bl_live_rebase_counters();
    struct bl_counter c = counters_of(0);
    ck_assert_uint_eq(c.allocs, 600);
    ck_assert_uint_eq(c.frees, 0);
    ck_assert_uint_eq(c.alloc_bytes, live_bytes[0]);
    ck_assert_uint_eq(c.free_bytes, 0);
    const struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, 0);
    ck_assert_uint_le(class->peak_bytes, live_bytes[0] / 100 * 102);
    ck_assert_uint_ge(class->peak_bytes, live_bytes[0] / 100 * 98);
}
END_TEST

START_TEST(there_is_room_for_64_classes_and_no_more)
{
    start_ledger();
    for (int i = 2; i < (int)BL_CLASSES_MAX; i++)
        ck_assert_int_eq(bl_live_add_class("another"), i);
    ck_assert_int_lt(bl_live_add_class("too many"), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_million_random_steps_over_200000_keys_agree_with_the_model,
        everything_can_be_removed_and_the_records_serve_again,
        a_replaced_buffer_is_counted_as_ended,
        a_restore_leaves_the_counters_as_they_were,
        a_restore_after_the_address_was_given_out_again_keeps_the_new_buffer,
        a_removal_says_what_the_buffer_was_marked_with,
        the_end_of_a_buffer_that_is_not_watched_is_not_read,
        sizes_of_every_magnitude_come_back,
        an_absurd_size_leaves_the_counters_even,
        addresses_that_differ_only_high_or_low_are_kept_apart,
        a_child_starts_from_what_it_inherited,
        there_is_room_for_64_classes_and_no_more,
    };
    Suite *suite = suite_create("shim live");
    TCase *all = tcase_create("model");
    tcase_set_timeout(all, 60);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(all, tests[i]);
    tcase_add_loop_test(all, without_memory_at_every_nth_turn_the_table_stays_whole, 1, 41);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
