/* Lines and marks are put together from what a ledger says, and only from what it says soundly. */
#include "cli_check.h"

#include "ledger_synth.h"
#include "sample_code.h"
#include "series.h"

#include <string.h>
#include <unistd.h>

#define SECOND 1000000000ull

static struct bl_error error;
static struct bl_reader *reader;
static struct bl_series_set *set;

static void open_set(struct synth *synth)
{
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    int fd = synth_file(bytes, size);
    ck_assert_msg(bl_reader_create(&reader, fd, "test.ledger", BL_READER_ALL, &error) == 0, "%s",
                  error.text);
    ck_assert_msg(bl_series_create(&set, reader, &error) == 0, "%s", error.text);
    close(fd);
    free(bytes);
    synth_destroy(synth);
}

static void close_set(void)
{
    bl_series_destroy(set);
    bl_reader_destroy(reader);
    set = NULL;
    reader = NULL;
}

static struct synth *make(void)
{
    struct synth *synth = synth_create();
    uint32_t program = synth_module(synth, "/usr/bin/gw", "\xab\xcd", 2, BL_MODULE_MAIN);
    synth_class(synth, "heap");
    synth_frame(synth, synth_frame(synth, 0, program, 0x100), program, 0x200);
    return synth;
}

/* Samples that rise by 1,000 bytes and one buffer each unit, from `first` on. */
static void add_rising(struct synth *synth, uint32_t series, uint32_t level, uint64_t unit_ns,
                       uint32_t first, uint32_t count, uint32_t step)
{
    struct bl_sample *samples = calloc(count, sizeof(*samples));
    for (uint32_t i = 0; samples && i < count; i++) {
        uint32_t after = first + i * step;
        samples[i] = (struct bl_sample){
            .bytes = after * 1000ull, .total = after * 2ull, .count = after, .after = after};
    }
    synth_samples(synth, series, level, SECOND, unit_ns, samples, count);
    free(samples);
}

START_TEST(samples_of_many_blocks_make_one_line_in_time_order)
{
    struct synth *synth = make();
    uint32_t rss = synth_series(synth, BL_SERIES_RSS, 0, 0, SECOND);
    uint32_t heap = synth_series(synth, BL_SERIES_CLASS, 0, 0, SECOND);
    for (uint32_t i = 0; i < 5; i++) { /* blocks of the two lie between each other */
        add_rising(synth, heap, 0, SECOND, i * 50, 50, 1);
        add_rising(synth, rss, 0, SECOND, i * 50, 50, 1);
    }
    open_set(synth);
    ck_assert_uint_eq(set->line_count, 2);
    ck_assert_uint_eq(set->damage, 0);
    const struct bl_line *line = bl_series_find(set, BL_SERIES_CLASS, 0);
    ck_assert_uint_eq(line->count, 250);
    for (uint32_t i = 0; i < 250; i++) {
        ck_assert_uint_eq(line->points[i].t_ns, (i + 1) * SECOND);
        ck_assert_uint_eq(line->points[i].bytes, i * 1000ull);
        ck_assert_uint_eq(line->points[i].min_bytes, i * 1000ull);
        ck_assert_uint_eq(line->points[i].count, i);
        ck_assert_uint_eq(line->points[i].total, i * 2ull);
        ck_assert_uint_eq(line->points[i].span_ns, 0);
    }
    close_set();
}
END_TEST

START_TEST(coarse_samples_are_used_only_where_the_fine_ones_are_gone)
{
    struct synth *synth = make();
    uint32_t heap = synth_series(synth, BL_SERIES_CLASS, 0, 0, SECOND);
    add_rising(synth, heap, 0, SECOND, 7000, 1000, 1);
    add_rising(synth, heap, 1, SECOND, 3600, 70, 60); /* also of the time of the fine ones */
    add_rising(synth, heap, 2, SECOND, 0, 2, 3600);
    open_set(synth);
    const struct bl_line *line = bl_series_find(set, BL_SERIES_CLASS, 0);
    ck_assert_uint_eq(set->damage, 0);
    /* turn 0 of the coarsest, 3600 ... 6960 by 60, then every one */
    ck_assert_uint_eq(line->count, 1 + 57 + 1000);
    for (size_t i = 1; i < line->count; i++)
        ck_assert_uint_gt(line->points[i].t_ns, line->points[i - 1].t_ns);
    ck_assert_uint_eq(line->points[2].span_ns, 60 * SECOND);
    ck_assert_uint_eq(line->points[2].bytes, 3660000);
    ck_assert_uint_eq(line->points[2].min_bytes, 3294000);
    ck_assert_uint_eq(line->points[2].max_bytes, 4026000);
    ck_assert_uint_eq(line->points[58].span_ns, 0);
    close_set();
}
END_TEST

START_TEST(the_point_at_a_time_is_the_latest_before_it)
{
    struct synth *synth = make();
    uint32_t heap = synth_series(synth, BL_SERIES_CLASS, 0, 0, SECOND);
    add_rising(synth, heap, 0, SECOND, 10, 10, 10);
    open_set(synth);
    const struct bl_line *line = bl_series_find(set, BL_SERIES_CLASS, 0);
    ck_assert_ptr_null(bl_line_at(line, 11 * SECOND - 1));
    ck_assert_ptr_eq(bl_line_at(line, 11 * SECOND), &line->points[0]);
    ck_assert_ptr_eq(bl_line_at(line, 30 * SECOND), &line->points[1]);
    ck_assert_ptr_eq(bl_line_at(line, UINT64_MAX), &line->points[9]);
    close_set();
}
END_TEST

START_TEST(a_thinned_line_keeps_its_ends_and_extremes)
{
    struct bl_point out[20];
    struct synth *synth = make();
    uint32_t heap = synth_series(synth, BL_SERIES_CLASS, 0, 0, SECOND);
    add_rising(synth, heap, 0, SECOND, 0, 1000, 1);
    open_set(synth);
    const struct bl_line *line = bl_series_find(set, BL_SERIES_CLASS, 0);
    size_t count = bl_line_thin(line, 0, out, 20);
    ck_assert_uint_eq(count, 20);
    ck_assert_uint_eq(out[0].min_bytes, 0);
    ck_assert_uint_eq(out[19].bytes, 999000);
    for (size_t i = 1; i < count; i++)
        ck_assert_uint_eq(out[i].min_bytes, out[i - 1].max_bytes + 1000);
    ck_assert_uint_eq(bl_line_thin(line, 996 * SECOND, out, 20), 5);
    ck_assert_uint_eq(out[0].t_ns, 996 * SECOND);
    ck_assert_uint_eq(bl_line_thin(line, 2000 * SECOND, out, 20), 0);
    close_set();
}
END_TEST

START_TEST(sites_name_a_stack_and_an_end)
{
    struct synth *synth = make();
    uint32_t site = synth_series(synth, BL_SERIES_SITE, 0, 2, SECOND);
    struct bl_series *record = synth_record(synth, BL_SECTION_SERIES, site);
    record->until_ns = 9 * SECOND;
    add_rising(synth, site, 0, SECOND, 0, 3, 1);
    open_set(synth);
    ck_assert_uint_eq(set->line_count, 1);
    ck_assert_uint_eq(set->lines[0].stack, 2);
    ck_assert_uint_eq(set->lines[0].until_ns, 9 * SECOND);
    close_set();
}
END_TEST

START_TEST(what_refers_to_nothing_is_left_out_and_counted)
{
    struct synth *synth = make();
    struct bl_sample sample = {.bytes = 1, .after = 1};
    uint32_t ok = synth_series(synth, BL_SERIES_CLASS, 0, 0, SECOND);
    synth_series(synth, BL_SERIES_CLASS, 7, 0, SECOND);    /* no such class */
    synth_series(synth, BL_SERIES_SITE, 0, 99, SECOND);    /* no such stack */
    synth_series(synth, BL_SERIES_BOUNDARY, 0, 0, SECOND); /* no such boundary */
    synth_series(synth, (enum bl_series_kind)77, 0, 0, SECOND);
    for (uint32_t i = 0; i < 6; i++)
        synth_samples(synth, i < 5 ? i + 1 : 900, 0, SECOND, 1, &sample, 1);
    synth_samples(synth, ok, 9, SECOND, 1, &sample, 1); /* no such level */
    synth_samples(synth, ok, 0, SECOND, 0, &sample, 1); /* no unit */
    struct bl_sample late[] = {sample, {.bytes = 2, .after = UINT32_MAX}};
    synth_samples(synth, ok, 0, UINT64_MAX - 9, 1, late, 2); /* its second is beyond all time */
    synth_samples(synth, ok, 0, SECOND, 1, &sample, 1);      /* before the one above */
    synth_samples(synth, ok, 0, SECOND, 1, &sample, 1);
    struct bl_samples *block = synth_record(synth, BL_SECTION_SAMPLES, 11);
    block->head = BL_SAMPLES_CODE + 1;
    open_set(synth);
    ck_assert_uint_eq(set->line_count, 1);
    ck_assert_uint_eq(set->lines[0].count, 2);
    ck_assert_uint_eq(set->damage, 4 + 1 + 2 + 1 + 1 + 1);
    close_set();
}
END_TEST

/* What a block says is cut off at any byte, or is any bytes at all. */
START_TEST(a_broken_block_gives_what_comes_before_the_break)
{
    struct bl_sample samples[40] = {0};
    struct bl_coarse_sample out[BL_SAMPLES_MAX];
    uint64_t random = 88172645463325252ull;
    bool is_sound;
    for (uint32_t i = 1; i < 40; i++)
        samples[i] = (struct bl_sample){.bytes = i % 3 ? UINT64_MAX / i : 0,
                                        .total = UINT64_MAX - i,
                                        .count = i % 2 ? UINT32_MAX : 0,
                                        .after = samples[i - 1].after + i * i};
    struct synth *synth = make();
    uint32_t heap = synth_series(synth, BL_SERIES_CLASS, 0, 0, SECOND);
    synth_samples(synth, heap, 0, SECOND, 1, samples, 40);
    struct bl_samples block = *(struct bl_samples *)synth_record(synth, BL_SECTION_SAMPLES, 1);
    uint32_t count = bl_samples_decode(&block, out, &is_sound);
    ck_assert(is_sound && count > 20);
    for (uint32_t length = (uint32_t)block.head; length > 0; length--) {
        block.head = (uint64_t)UINT32_MAX << 32 | length;
        uint32_t kept = bl_samples_decode(&block, out, &is_sound);
        ck_assert_uint_le(kept, count);
        for (uint32_t i = 0; i < kept; i++) {
            ck_assert_uint_eq(out[i].last.bytes, samples[i].bytes);
            ck_assert_uint_eq(out[i].last.total, samples[i].total);
            ck_assert_uint_eq(out[i].last.count, samples[i].count);
            if (i + 1 < kept)
                ck_assert_uint_eq(out[i].last.after, samples[i].after);
        }
    }
    for (uint32_t turn = 0; turn < 20000; turn++) {
        for (uint32_t i = 0; i < BL_SAMPLES_CODE; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            block.code[i] = (uint8_t)(turn % 2 ? random : random & 3);
        }
        block.head = random;
        block.level = turn % 3;
        block.head = turn % 2 ? random : random << 32 | BL_SAMPLES_CODE;
        ck_assert_uint_le(bl_samples_decode(&block, out, &is_sound), BL_SAMPLES_MAX);
    }
    synth_destroy(synth);
}
END_TEST

START_TEST(marks_come_oldest_first_and_are_found_by_name)
{
    struct synth *synth = make();
    synth_live(synth, 0, 100, 2, 0, SECOND);
    synth_mark(synth, "b", BL_MARK_PLAIN, 2 * SECOND);
    synth_mark(synth, "a", BL_MARK_CHECKPOINT, 3 * SECOND);
    synth_live(synth, 0, 50, 2, 0, SECOND);
    synth_mark(synth, "b", BL_MARK_PLAIN, 4 * SECOND);
    struct bl_mark *first = synth_record(synth, BL_SECTION_MARKS, 0);
    first->serial = 4; /* the ring has come round */
    open_set(synth);
    ck_assert_uint_eq(set->mark_count, 3);
    ck_assert_uint_eq(set->marks[0]->serial, 2);
    ck_assert_uint_eq(set->marks[2]->serial, 4);
    ck_assert_ptr_eq(bl_series_find_mark(set, "b"), set->marks[2]);
    ck_assert_uint_eq(set->marks[1]->classes[0].live_bytes, 150);
    ck_assert_uint_eq(set->marks[0]->classes[0].live_count, 1);
    ck_assert_ptr_null(bl_series_find_mark(set, "c"));
    ck_assert_ptr_eq(bl_series_find_mark(set, "#2"), set->marks[0]);
    ck_assert_ptr_null(bl_series_find_mark(set, "#1"));
    char text[BL_SERIES_MARK_TEXT];
    bl_series_mark_text(set, 1, text, sizeof(text)); /* a later one has its name */
    ck_assert_str_eq(text, "#3 \"b\"");
    bl_series_mark_text(set, 2, text, sizeof(text));
    ck_assert_str_eq(text, "b");
    close_set();
}
END_TEST

START_TEST(unsound_marks_are_left_out)
{
    struct synth *synth = make();
    for (int i = 0; i < 4; i++)
        synth_mark(synth, "m", BL_MARK_PLAIN, SECOND);
    ((struct bl_mark *)synth_record(synth, BL_SECTION_MARKS, 0))->serial = 0; /* half written */
    ((struct bl_mark *)synth_record(synth, BL_SECTION_MARKS, 1))->kind = 9;
    memset(((struct bl_mark *)synth_record(synth, BL_SECTION_MARKS, 2))->name, 'x', BL_MARK_NAME);
    open_set(synth);
    ck_assert_uint_eq(set->mark_count, 1);
    ck_assert_uint_eq(set->damage, 2);
    close_set();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("series");
    TCase *tests = tcase_create("lines and marks");
    tcase_add_test(tests, samples_of_many_blocks_make_one_line_in_time_order);
    tcase_add_test(tests, coarse_samples_are_used_only_where_the_fine_ones_are_gone);
    tcase_add_test(tests, the_point_at_a_time_is_the_latest_before_it);
    tcase_add_test(tests, a_thinned_line_keeps_its_ends_and_extremes);
    tcase_add_test(tests, sites_name_a_stack_and_an_end);
    tcase_add_test(tests, what_refers_to_nothing_is_left_out_and_counted);
    tcase_add_test(tests, a_broken_block_gives_what_comes_before_the_break);
    tcase_add_test(tests, marks_come_oldest_first_and_are_found_by_name);
    tcase_add_test(tests, unsound_marks_are_left_out);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
