/* Samples coarsen, stay within their bounds, and sites are added up from the live tables. */
#include "shim_start.h"

#include "clock.h"
#include "marks.h"
#include "sample_code.h"
#include "samples.h"
#include "series.h"
#include "sites.h"

#define SECOND 1000000000ull
#define DAY    86400u

static const struct bl_samples *block_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_SAMPLES, n);
}

static uint32_t blocks_published(void)
{
    return (uint32_t)bl_header->published[BL_SECTION_SAMPLES];
}

struct extent {
    uint64_t first_ns;
    uint64_t last_ns;
    uint32_t samples;
    uint32_t blocks;
};

static uint64_t time_of(const struct bl_samples *b, const struct bl_coarse_sample *c)
{
    return b->base_ns + c->last.after * b->unit_ns;
}

static uint32_t decode(const struct bl_samples *b, struct bl_coarse_sample *out)
{
    bool is_sound;
    uint32_t count = bl_samples_decode(b, out, &is_sound);
    ck_assert(is_sound);
    ck_assert_uint_ne(count, 0);
    return count;
}

/* What the ledger has of one series at one level. */
static struct extent extent_of(uint32_t series, uint32_t level)
{
    struct extent e = {.first_ns = UINT64_MAX};
    for (uint32_t i = 1; i < blocks_published(); i++) {
        const struct bl_samples *b = block_at(i);
        struct bl_coarse_sample all[BL_SAMPLES_MAX];
        if (b->head == 0 || b->series != series || b->level != level)
            continue;
        uint32_t count = decode(b, all);
        e.blocks++;
        e.samples += count;
        if (time_of(b, &all[0]) < e.first_ns)
            e.first_ns = time_of(b, &all[0]);
        if (time_of(b, &all[count - 1]) > e.last_ns)
            e.last_ns = time_of(b, &all[count - 1]);
    }
    return e;
}

static uint64_t wave(uint64_t turn)
{
    return 1000000 + turn % 997 * 1000;
}

static void add(uint32_t series, uint64_t turn, uint64_t bytes)
{
    struct bl_reading r = {.bytes = bytes, .total = turn * 3, .count = bytes / 100};
    bl_samples_add(series, &r, (turn + 1) * SECOND, SECOND);
}

static void check_reach(uint32_t series, uint64_t days)
{
    struct extent fine = extent_of(series, 0);
    struct extent minutes = extent_of(series, 1);
    struct extent hours = extent_of(series, 2);
    uint64_t turns = days * DAY;
    uint64_t month = days - 1 < 30 ? days - 1 : 30;
    ck_assert_uint_ge(fine.last_ns - fine.first_ns, DAY * SECOND);
    ck_assert_uint_le(fine.samples, DAY + DAY / 100);
    ck_assert_uint_ge(minutes.last_ns - minutes.first_ns, month * DAY * SECOND);
    ck_assert_uint_le(minutes.samples, 31 * 1440);
    ck_assert_uint_eq(hours.samples, days * 24);
    /* the latest is there to the interval's thousandth, and so is each of the coarse ones */
    ck_assert_uint_le(turns * SECOND - fine.last_ns, SECOND / 1000);
    ck_assert_uint_le(turns * SECOND - minutes.last_ns, SECOND);
}

START_TEST(a_day_is_kept_at_seconds_and_a_month_at_minutes)
{
    if (is_left_to_other_builds())
        return;
    start_ledger();
    uint32_t class = bl_samples_open(BL_SERIES_CLASS, 0, 0, 0, SECOND);
    uint32_t site = bl_samples_open(BL_SERIES_SITE, 0, 1, 1, SECOND);
    for (uint64_t turn = 0; turn < 40ull * DAY; turn++) {
        add(class, turn, wave(turn));
        add(site, turn, wave(turn));
    }
    check_reach(class, 40);
    check_reach(site, 40);
    ck_assert_uint_eq(loss(BL_LOSS_samples_dropped), 0);
    ck_assert_uint_le(blocks_published(), 2 * 1700);
}
END_TEST

START_TEST(when_there_is_not_room_for_all_the_largest_sites_keep_theirs)
{
    if (is_left_to_other_builds())
        return;
    enum { SITES = 128, CLASSES = 9, LONG = 16 };
    uint64_t days = is_long() ? 31 : 2;
    uint32_t sites[SITES];
    uint32_t classes[CLASSES];
    uint64_t state = 4711;
    start_ledger();
    for (uint32_t i = 0; i < CLASSES; i++)
        classes[i] = bl_samples_open(BL_SERIES_CLASS, 0, 0, 0, SECOND);
    for (uint32_t i = 0; i < SITES; i++)
        sites[i] = bl_samples_open(BL_SERIES_SITE, 0, 1, 1, SECOND);
    for (uint64_t turn = 0; turn < days * DAY; turn++) {
        for (uint32_t i = 0; i < CLASSES; i++)
            add(classes[i], turn, wave(turn + i));
        for (uint32_t i = 0; i < SITES; i++) {
            bl_samples_set_worth(sites[i], i < LONG ? 100 : 1 + (float)(i % 5));
            add(sites[i], turn, 5000000 + next_random(&state) % 1000000);
        }
    }
    for (uint32_t i = 0; i < CLASSES; i++)
        check_reach(classes[i], days);
    for (uint32_t i = 0; i < LONG; i++)
        check_reach(sites[i], days);
    for (uint32_t i = LONG; i < SITES; i++) {
        ck_assert_uint_ge(extent_of(sites[i], 0).samples, 3600);
        ck_assert_uint_ge(extent_of(sites[i], 1).samples, 1440);
    }
    ck_assert_uint_eq(loss(BL_LOSS_samples_dropped), 0);
}
END_TEST

START_TEST(a_coarse_sample_has_the_extremes_of_its_span)
{
    start_ledger();
    uint32_t s = bl_samples_open(BL_SERIES_CLASS, 0, 0, 0, SECOND);
    for (uint64_t turn = 0; turn < 60 * 60; turn++)
        add(s, turn, turn == 100 ? 7 : turn == 110 ? 99999999 : wave(turn));
    for (uint32_t i = 1; i < blocks_published(); i++) {
        const struct bl_samples *b = block_at(i);
        struct bl_coarse_sample all[BL_SAMPLES_MAX];
        uint32_t count = b->series == s && b->level == 1 ? decode(b, all) : 0;
        for (uint32_t n = 0; n < count; n++) {
            const struct bl_coarse_sample *c = &all[n];
            uint64_t last_turn = (time_of(b, c) + SECOND / 2) / SECOND - 1;
            ck_assert_uint_eq(last_turn % 60, 59);
            ck_assert_uint_eq(c->last.bytes, wave(last_turn));
            ck_assert_uint_eq(c->last.total, last_turn * 3);
            ck_assert_uint_eq(c->min_bytes == 7, last_turn == 119);
            ck_assert_uint_eq(c->max_bytes == 99999999, last_turn == 119);
        }
    }
    struct extent hours = extent_of(s, 2);
    ck_assert_uint_eq(hours.samples, 1);
    const struct bl_series *record = bl_ledger_at(BL_SECTION_SERIES, s);
    ck_assert_uint_eq(record->peak_bytes, 99999999);
    ck_assert_uint_eq(record->peak_ns, 111 * SECOND);
}
END_TEST

START_TEST(what_does_not_change_takes_no_room)
{
    start_ledger();
    uint32_t s = bl_samples_open(BL_SERIES_CLASS, 0, 0, 0, SECOND);
    struct bl_reading r = {.bytes = 5000, .total = 10, .count = 10};
    for (uint64_t turn = 0; turn < 10ull * DAY; turn++)
        bl_samples_add(s, &r, (turn + 1) * SECOND, SECOND);
    struct extent fine = extent_of(s, 0);
    ck_assert_uint_eq(fine.samples, 2);
    ck_assert_uint_eq(fine.first_ns, SECOND);
    ck_assert_uint_le(10ull * DAY * SECOND - fine.last_ns, SECOND / 1000);
    ck_assert_uint_le(blocks_published(), 4 + 1);
}
END_TEST

START_TEST(many_series_stay_within_the_bound_and_lose_the_oldest_fine_blocks_only)
{
    if (is_left_to_other_builds())
        return;
    uint32_t s[200];
    start_ledger();
    for (uint32_t i = 0; i < 200; i++)
        s[i] = bl_samples_open(BL_SERIES_CLASS, 0, 0, 0, SECOND);
    uint64_t turns = 6 * DAY / 10;
    for (uint64_t turn = 0; turn < turns; turn++) {
        for (uint32_t i = 0; i < 200; i++)
            add(s[i], turn, wave(turn + i));
    }
    ck_assert_uint_eq(blocks_published(), BL_SAMPLE_BLOCKS_MAX);
    ck_assert_uint_eq(loss(BL_LOSS_samples_dropped), 0);
    for (uint32_t i = 0; i < 200; i++) {
        struct extent fine = extent_of(s[i], 0);
        ck_assert_uint_le(turns * SECOND - fine.last_ns, SECOND / 1000);
        ck_assert_uint_ge(fine.samples, 2000);
        ck_assert_uint_eq(extent_of(s[i], 1).samples, turns / 60);
    }
    ck_assert_uint_le(bl_ledger_length(), 52u << 20);
}
END_TEST

START_TEST(a_series_that_was_given_up_gives_way_to_a_new_one)
{
    uint32_t s[BL_SERIES_MAX];
    uint32_t count = 0;
    start_ledger();
    while ((s[count] = bl_samples_open(BL_SERIES_SITE, 0, 1, 1, SECOND)) != 0)
        add(s[count++], 0, 100);
    ck_assert_uint_eq(count, BL_SERIES_MAX - 1);
    bl_samples_close(s[7], 3 * SECOND);
    bl_samples_close(s[9], 2 * SECOND);
    ck_assert_uint_eq(extent_of(s[9], 0).samples, 1); /* still to be read */
    uint32_t blocks = blocks_published();
    uint32_t again = bl_samples_open(BL_SERIES_CLASS, 1, 0, 0, 4 * SECOND);
    ck_assert_uint_eq(again, s[9]);
    ck_assert_uint_eq(extent_of(again, 0).samples, 0);
    add(again, 5, 200);
    ck_assert_uint_eq(blocks_published(), blocks);
    const struct bl_series *record = bl_ledger_at(BL_SECTION_SERIES, again);
    ck_assert_uint_eq(record->kind, BL_SERIES_CLASS);
    ck_assert_uint_eq(record->until_ns, 0);
    ck_assert_uint_eq(record->since_ns, 4 * SECOND);
}
END_TEST

/* ---- sites ---- */

static uint64_t next_address = 0x100000;

/* Frame n is called by frame n - 1 ... 1, in the modules given (0: the last module). */
static uint32_t add_frame(uint32_t parent, uint32_t module, uint64_t offset)
{
    uint32_t n = (uint32_t)bl_header->published[BL_SECTION_FRAMES];
    n = n ? n : 1;
    ck_assert_int_eq(bl_ledger_ensure(BL_SECTION_FRAMES, n + 1), 0);
    struct bl_frame *f = bl_ledger_at(BL_SECTION_FRAMES, n);
    *f = (struct bl_frame){.parent = parent, .module = module, .offset = offset};
    bl_ledger_publish(BL_SECTION_FRAMES, n + 1);
    return n;
}

static uint32_t add_module(const char *path)
{
    uint32_t n = (uint32_t)bl_header->published[BL_SECTION_MODULES];
    n = n ? n : 1;
    ck_assert_int_eq(bl_ledger_ensure(BL_SECTION_MODULES, n + 1), 0);
    struct bl_module *m = bl_ledger_at(BL_SECTION_MODULES, n);
    *m = (struct bl_module){.path_name = bl_names_add_str(path)};
    bl_ledger_publish(BL_SECTION_MODULES, n + 1);
    return n;
}

static uint64_t born(uint32_t stack, uint64_t size, uint64_t birth_ns)
{
    struct bl_buffer b = {.address = next_address += 64,
                          .size_bytes = size,
                          .birth_ns = birth_ns,
                          .stack = stack,
                          .class_number = 0};
    bl_live_insert(&b);
    return b.address;
}

/* The series of the site of a frame; 0 = not followed. */
static uint32_t series_of(uint32_t frame)
{
    for (uint32_t i = 1; i < bl_header->published[BL_SECTION_SERIES]; i++) {
        const struct bl_series *s = bl_ledger_at(BL_SECTION_SERIES, i);
        if (s->kind == BL_SERIES_SITE && s->site == frame && s->until_ns == 0)
            return i;
    }
    return 0;
}

static struct bl_sample latest_of(uint32_t series)
{
    struct bl_sample latest = {0};
    uint64_t serial = 0;
    for (uint32_t i = 1; i < blocks_published(); i++) {
        const struct bl_samples *b = block_at(i);
        if (b->head && b->series == series && b->level == 0 && b->serial > serial) {
            struct bl_coarse_sample all[BL_SAMPLES_MAX];
            serial = b->serial;
            latest = all[decode(b, all) - 1].last;
        }
    }
    return latest;
}

START_TEST(a_site_is_the_callers_frame_whatever_stacks_pass_it)
{
    start_ledger();
    uint32_t gw = add_module("/usr/bin/gw");
    uint32_t libc = add_module("/lib/x86_64-linux-gnu/libc.so.6");
    uint32_t main_a = add_frame(0, gw, 0x100);
    uint32_t main_b = add_frame(0, gw, 0x200);
    uint32_t at_a = add_frame(main_a, gw, 0x300); /* one site, reached over two paths */
    uint32_t at_b = add_frame(main_b, gw, 0x300);
    uint32_t dup_a = add_frame(at_a, libc, 0x10);
    uint32_t dup_b = add_frame(at_b, libc, 0x10);
    uint32_t elsewhere = add_frame(main_b, gw, 0x400);
    born(dup_a, 100, 1);
    born(dup_b, 20, 1);
    uint64_t short_lived = born(elsewhere, 5000, 1);
    bl_sites_turn(SECOND, SECOND);
    bl_sites_turn(2 * SECOND, SECOND);
    ck_assert_uint_eq(bl_header->published[BL_SECTION_SERIES], 1 + 2);
    ck_assert_uint_ne(series_of(at_a), 0);
    struct bl_sample s = latest_of(series_of(at_a));
    ck_assert_uint_eq(s.bytes, 120);
    ck_assert_uint_eq(s.count, 2);
    ck_assert_uint_eq(latest_of(series_of(elsewhere)).bytes, 5000);
    bl_live_remove(short_lived, NULL);
    bl_sites_turn(3 * SECOND, SECOND);
    ck_assert_uint_eq(latest_of(series_of(elsewhere)).bytes, 0);
    ck_assert_uint_eq(latest_of(series_of(elsewhere)).count, 0);
}
END_TEST

START_TEST(births_seen_alive_are_counted_once_each)
{
    start_ledger();
    uint32_t frame = add_frame(0, add_module("/usr/bin/gw"), 0x100);
    born(frame, 10, SECOND / 2);
    bl_sites_turn(SECOND, SECOND);
    uint64_t births = 0;
    for (uint64_t turn = 2; turn < 50; turn++) {
        for (uint64_t i = 0; i < turn; i++)
            born(frame, 10, turn * SECOND - SECOND / 2);
        births += turn;
        bl_sites_turn(turn * SECOND, SECOND);
    }
    ck_assert_uint_eq(latest_of(series_of(frame)).count, births + 1);
    ck_assert_uint_eq(latest_of(series_of(frame)).total, births);
}
END_TEST

/* One turn; whether it was through before the time at which it would have been broken off. */
static bool turn_in_time(uint64_t now_ns, uint64_t interval_ns)
{
    uint64_t began_ns = bl_clock_read(CLOCK_MONOTONIC);
    bl_sites_turn(now_ns, interval_ns);
    return bl_clock_read(CLOCK_MONOTONIC) - began_ns < interval_ns / 2;
}

START_TEST(a_round_over_a_large_table_takes_several_turns_and_is_exact)
{
    start_ledger();
    uint32_t frame = add_frame(0, add_module("/usr/bin/gw"), 0x100);
    uint64_t interval = SECOND / 100; /* 4,096 records a turn */
    bool all_in_time = true;
    for (uint32_t i = 0; i < 20000; i++)
        born(frame, 1, 1);
    uint32_t turns = 0;
    while (!series_of(frame) && turns < 100)
        all_in_time &= turn_in_time(++turns * interval, interval);
    ck_assert_uint_ge(turns, 5);
    if (all_in_time) /* it may have had to wait for a processor */
        ck_assert_uint_eq(turns, 5);
    ck_assert_uint_eq(latest_of(series_of(frame)).count, 20000);
    ck_assert_uint_eq(bl_header->round_ns, (turns - 1) * interval);
}
END_TEST

START_TEST(a_slow_leak_finds_a_place_among_many_larger_sites)
{
    enum { SITES = 600 };
    uint32_t frames[SITES];
    uint64_t state = 4711;
    start_ledger();
    uint32_t gw = add_module("/usr/bin/gw");
    for (uint32_t i = 0; i < SITES; i++) {
        frames[i] = add_frame(0, gw, 0x1000 + i * 16);
        born(frames[i], 1000000 + i * 1000, 1);
    }
    uint32_t leak = add_frame(0, gw, 0x10);
    uint64_t noise[SITES] = {0};
    for (uint64_t turn = 1; turn <= 1500; turn++) {
        for (uint32_t k = 0; k < 40; k++) { /* traffic that comes and goes */
            uint32_t i = (uint32_t)(next_random(&state) % SITES);
            if (noise[i])
                bl_live_remove(noise[i], NULL);
            noise[i] = born(frames[i], next_random(&state) % 100000, turn * SECOND);
        }
        if (turn % 60 == 0)
            born(leak, 1024, turn * SECOND);
        bl_sites_turn(turn * SECOND, SECOND);
    }
    ck_assert_uint_ne(series_of(leak), 0);
    struct bl_sample s = latest_of(series_of(leak));
    ck_assert_uint_eq(s.count, 1500 / 60);
    /* the largest are followed as well */
    for (uint32_t i = SITES - 20; i < SITES; i++)
        ck_assert_uint_ne(series_of(frames[i]), 0);
    uint32_t followed = 0;
    for (uint32_t i = 1; i < bl_header->published[BL_SECTION_SERIES]; i++) {
        const struct bl_series *r = bl_ledger_at(BL_SECTION_SERIES, i);
        followed += r->kind == BL_SERIES_SITE && r->until_ns == 0;
    }
    ck_assert_uint_le(followed, BL_SITES_FOLLOWED);
}
END_TEST

START_TEST(rotating_sites_are_counted_when_dropped_and_swept_when_empty)
{
    start_ledger();
    uint32_t gw = add_module("/usr/bin/gw");
    uint32_t stays = add_frame(0, gw, 0x10);
    born(stays, 1 << 20, 1);
    for (uint64_t turn = 1; turn <= 60; turn++) {
        uint64_t addresses[1000];
        for (uint32_t i = 0; i < 1000; i++) /* 60,000 sites in all, 1,000 alive at a time */
            addresses[i] = born(add_frame(0, gw, 0x1000 + (turn * 1000 + i) * 16), 64, 1);
        bl_sites_turn(turn * SECOND, SECOND);
        for (uint32_t i = 0; i < 1000; i++)
            bl_live_remove(addresses[i], NULL);
    }
    ck_assert_uint_eq(loss(BL_LOSS_sites_dropped), 0);
    ck_assert_uint_eq(latest_of(series_of(stays)).bytes, 1 << 20);
    for (uint32_t i = 0; i < 20000; i++) /* more than there is room for, all alive */
        born(add_frame(0, gw, 0x2000000 + i * 16), 64, 1);
    for (uint64_t turn = 61; turn <= 64; turn++)
        bl_sites_turn(turn * SECOND, SECOND);
    ck_assert_uint_ge(loss(BL_LOSS_sites_dropped), 20000 - 16384);
    ck_assert_uint_eq(latest_of(series_of(stays)).bytes, 1 << 20);
}
END_TEST

START_TEST(a_turn_samples_the_process_and_each_class_that_was_used)
{
    start_ledger();
    uint32_t frame = add_frame(0, add_module("/usr/bin/gw"), 0x100);
    for (uint64_t turn = 1; turn <= 10; turn++) {
        born(frame, 1000, turn * SECOND);
        bl_series_turn(turn * SECOND, SECOND);
    }
    uint32_t kinds[BL_SERIES_BOUNDARY + 1] = {0};
    for (uint32_t i = 1; i < bl_header->published[BL_SECTION_SERIES]; i++) {
        const struct bl_series *r = bl_ledger_at(BL_SECTION_SERIES, i);
        kinds[r->kind]++;
        if (r->kind == BL_SERIES_CLASS) {
            ck_assert_uint_eq(r->class_number, 0); /* nothing was mapped */
            ck_assert_uint_eq(latest_of(i).bytes, 10000);
            ck_assert_uint_eq(latest_of(i).total, 10);
            ck_assert_uint_eq(extent_of(i, 0).samples, 10);
        }
    }
    ck_assert_uint_eq(kinds[BL_SERIES_CLASS], 1);
    ck_assert_uint_eq(kinds[BL_SERIES_SITE], 1);
    ck_assert_uint_eq(bl_header->sampled_ns, 10 * SECOND);
}
END_TEST

/* ---- marks ---- */

static const struct bl_mark *mark_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_MARKS, n);
}

START_TEST(a_mark_keeps_what_lived_of_each_class)
{
    uint64_t serial;
    uint64_t bytes;
    start_ledger();
    uint64_t first = born(0, 1000, 1);
    born(0, 500, 1);
    bl_live_remove(first, NULL);
    struct bl_new_mark mark = {.name = "warm", .kind = BL_MARK_CHECKPOINT, .thread = 3, .stack = 7};
    ck_assert_int_eq(bl_marks_add(&mark, &serial), 0);
    ck_assert_uint_eq(serial, 1);
    ck_assert_uint_eq(mark_at(0)->classes[0].live_bytes, 500);
    ck_assert_uint_eq(mark_at(0)->classes[0].live_count, 1);
    ck_assert_uint_eq(mark_at(0)->classes[0].allocs, 2);
    ck_assert_uint_eq(mark_at(0)->classes[0].ended, 1);
    ck_assert_uint_eq(mark_at(0)->class_count, 2);
    ck_assert_uint_eq(mark_at(0)->kind, BL_MARK_CHECKPOINT);
    ck_assert_str_eq(mark_at(0)->name, "warm");
    ck_assert(bl_marks_find(serial, &bytes));
    ck_assert_uint_eq(bytes, 500);
    ck_assert(!bl_marks_find(0, &bytes) && !bl_marks_find(2, &bytes));
}
END_TEST

START_TEST(the_latest_marks_are_kept_and_those_dropped_are_counted)
{
    uint64_t serial = 0;
    uint64_t bytes;
    char name[2 * BL_MARK_NAME];
    start_ledger();
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    struct bl_new_mark mark = {.name = name, .kind = BL_MARK_PLAIN};
    for (uint32_t i = 0; i < BL_MARKS_MAX + 10; i++)
        ck_assert_int_eq(bl_marks_add(&mark, &serial), 0);
    ck_assert_uint_eq(serial, BL_MARKS_MAX + 10);
    ck_assert_uint_eq(bl_header->published[BL_SECTION_MARKS], BL_MARKS_MAX);
    ck_assert_uint_eq(loss(BL_LOSS_marks_dropped), 10);
    ck_assert_uint_eq(mark_at(9)->serial, BL_MARKS_MAX + 10);
    ck_assert_uint_eq(mark_at(10)->serial, 11);
    ck_assert_uint_eq(strlen(mark_at(0)->name), BL_MARK_NAME - 1);
    ck_assert(!bl_marks_find(10, &bytes));
    ck_assert(bl_marks_find(11, &bytes));
}
END_TEST

START_TEST(a_mark_asked_for_in_the_header_is_made_once)
{
    start_ledger();
    memset(bl_header->mark_name, 'n', sizeof bl_header->mark_name); /* without an end */
    bl_header->mark_requests = 1;
    bl_marks_answer();
    bl_marks_answer();
    ck_assert_uint_eq(bl_header->mark_served, 1);
    ck_assert_int_eq(bl_header->mark_error, 0);
    ck_assert_uint_eq(bl_header->published[BL_SECTION_MARKS], 1);
    ck_assert_uint_eq(strlen(mark_at(0)->name), BL_MARK_NAME - 1);
    ck_assert_uint_eq(mark_at(0)->thread, 0);
}
END_TEST

RUN_SUITE("shim series", a_mark_keeps_what_lived_of_each_class,
          the_latest_marks_are_kept_and_those_dropped_are_counted,
          a_mark_asked_for_in_the_header_is_made_once,
          a_day_is_kept_at_seconds_and_a_month_at_minutes,
          when_there_is_not_room_for_all_the_largest_sites_keep_theirs,
          a_coarse_sample_has_the_extremes_of_its_span, what_does_not_change_takes_no_room,
          many_series_stay_within_the_bound_and_lose_the_oldest_fine_blocks_only,
          a_series_that_was_given_up_gives_way_to_a_new_one,
          a_site_is_the_callers_frame_whatever_stacks_pass_it,
          births_seen_alive_are_counted_once_each,
          a_round_over_a_large_table_takes_several_turns_and_is_exact,
          a_slow_leak_finds_a_place_among_many_larger_sites,
          rotating_sites_are_counted_when_dropped_and_swept_when_empty,
          a_turn_samples_the_process_and_each_class_that_was_used)
