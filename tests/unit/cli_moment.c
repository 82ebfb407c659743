/* What a process held at a mark, from what its ledger still knows. */
#include "cli_check.h"

#include "ledger_synth.h"
#include "moment.h"

#include <string.h>
#include <unistd.h>

#define SECOND 1000000000ull

static struct bl_error error;
static struct bl_reader *reader;
static struct bl_series_set *set;

/* The model of a ledger, put back to a mark; NULL when that is refused. Takes the synth over. */
static struct bl_model *model_at(struct synth *synth, const char *mark)
{
    struct bl_model *model = NULL;
    struct bl_model_options options = {.group_by = BL_GROUP_SITE};
    size_t size;
    uint8_t *bytes = synth_bytes(synth, &size);
    int fd = synth_file(bytes, size);
    ck_assert_int_eq(bl_reader_create(&reader, fd, "test.ledger", BL_READER_ALL, &error), 0);
    ck_assert_int_eq(bl_series_create(&set, reader, &error), 0);
    ck_assert_int_eq(bl_model_create(&model, reader, false, &options, &error), 0);
    const struct bl_mark *found = mark ? bl_series_find_mark(set, mark) : NULL;
    ck_assert(!mark || found);
    int outcome = bl_moment_apply(model, reader, set, found, &options, &error);
    close(fd);
    free(bytes);
    synth_destroy(synth);
    if (outcome == 0)
        return model;
    bl_model_destroy(model);
    return NULL;
}

static void deinit(struct bl_model *model)
{
    bl_model_destroy(model);
    bl_series_destroy(set);
    bl_reader_destroy(reader);
}

struct places {
    uint32_t heap;
    uint32_t leak;    /* followed, all that was born lives */
    uint32_t churn;   /* followed, nothing of then lives */
    uint32_t unknown; /* not followed */
};

/* A block a second at each place from 10 s on; a mark at 40 s. */
static struct synth *make_program(struct places *p)
{
    struct synth *synth = synth_create();
    uint32_t program = synth_module(synth, "/usr/bin/gw", "\xab\xcd", 2, BL_MODULE_MAIN);
    p->heap = synth_class(synth, "heap");
    uint32_t main_frame = synth_frame(synth, 0, program, 0x100);
    p->leak = synth_frame(synth, main_frame, program, 0x200);
    p->churn = synth_frame(synth, main_frame, program, 0x300);
    p->unknown = synth_frame(synth, main_frame, program, 0x400);
    for (uint64_t i = 0; i < 30; i++)
        synth_live(synth, p->heap, 100, p->leak, 0, (10 + i) * SECOND);
    uint32_t warm = synth_mark(synth, "warm", BL_MARK_PLAIN, 40 * SECOND);
    struct bl_mark *mark = synth_record(synth, BL_SECTION_MARKS, warm);
    mark->classes[0].live_count += 12 + 1; /* churn and unknown */
    mark->classes[0].live_bytes += 12ull * 50 + 7;
    for (uint64_t i = 30; i < 60; i++) {
        synth_live(synth, p->heap, 100, p->leak, 0, (11 + i) * SECOND);
        synth_live(synth, p->heap, 50, p->churn, 0, (11 + i) * SECOND);
    }
    synth_live(synth, p->heap, 7, p->unknown, 0, 20 * SECOND);
    synth_live(synth, p->heap, 7, p->unknown, 0, 50 * SECOND);
    uint32_t leak = synth_series(synth, BL_SERIES_SITE, p->heap, p->leak, SECOND);
    uint32_t churn = synth_series(synth, BL_SERIES_SITE, p->heap, p->churn, SECOND);
    struct bl_sample leaked[] = {{.bytes = 2500, .count = 25, .after = 34}};
    struct bl_sample churned[] = {{.bytes = 600, .count = 12, .after = 38},
                                  {.bytes = 900, .count = 18, .after = 50}};
    synth_samples(synth, leak, 0, SECOND, SECOND, leaked, 1);
    synth_samples(synth, churn, 0, SECOND, SECOND, churned, 2);
    return synth;
}

static const struct bl_group *group_at(const struct bl_model *model, uint64_t offset)
{
    for (size_t i = 0; i < model->group_count; i++)
        if (bl_reader_frame(reader, model->groups[i].site)->offset == offset)
            return &model->groups[i];
    return NULL;
}

START_TEST(a_mark_has_its_own_counters_and_time)
{
    struct places p;
    struct bl_model *model = model_at(make_program(&p), "warm");
    ck_assert_uint_eq(model->now_ns, 40 * SECOND);
    ck_assert_uint_eq(model->uptime_ns, 40 * SECOND - bl_reader_header(reader)->start_ns);
    ck_assert_uint_eq(model->classes[0].live_count, 43);
    ck_assert_uint_eq(model->classes[0].live_bytes, 3607);
    deinit(model);
}
END_TEST

START_TEST(what_survived_counts_where_the_sample_is_older)
{
    struct places p;
    struct bl_model *model = model_at(make_program(&p), "warm");
    const struct bl_group *leak = group_at(model, 0x200);
    ck_assert_uint_eq(leak->count, 30);
    ck_assert_uint_eq(leak->bytes, 3000);
    ck_assert(!leak->is_least);
    deinit(model);
}
END_TEST

START_TEST(what_was_released_since_is_known_from_samples)
{
    struct places p;
    struct bl_model *model = model_at(make_program(&p), "warm");
    const struct bl_group *churn = group_at(model, 0x300);
    ck_assert_uint_eq(churn->count, 12);
    ck_assert_uint_eq(churn->bytes, 600);
    ck_assert(!churn->is_least);
    deinit(model);
}
END_TEST

START_TEST(a_place_that_was_not_followed_is_at_least_its_survivors)
{
    struct places p;
    struct bl_model *model = model_at(make_program(&p), "warm");
    const struct bl_group *unknown = group_at(model, 0x400);
    ck_assert_uint_eq(unknown->count, 1);
    ck_assert(unknown->is_least);
    deinit(model);
}
END_TEST

/* Ten blocks at each of two places in the tick before the mark, and three more at each in the tick
 * after it, which have the same time; a third place was seen with 900 B a second before, of which
 * little was left. */
static struct synth *make_rush(void)
{
    struct synth *synth = synth_create();
    uint32_t program = synth_module(synth, "/usr/bin/gw", "\xab\xcd", 2, BL_MODULE_MAIN);
    uint32_t heap = synth_class(synth, "heap");
    uint32_t main_frame = synth_frame(synth, 0, program, 0x100);
    uint32_t churn = synth_frame(synth, main_frame, program, 0x400);
    for (uint64_t i = 0; i < 20; i++)
        synth_live(synth, heap, 100, synth_frame(synth, main_frame, program, 0x200 + i % 2), 0,
                   10 * SECOND);
    uint32_t warm = synth_mark(synth, "warm", BL_MARK_PLAIN, 10 * SECOND + 1000000);
    struct bl_mark *mark = synth_record(synth, BL_SECTION_MARKS, warm);
    mark->classes[0].live_count += 2;
    mark->classes[0].live_bytes += 100;
    for (uint64_t i = 0; i < 6; i++)
        synth_live(synth, heap, 100, synth_frame(synth, main_frame, program, 0x200 + i % 2), 0,
                   10 * SECOND);
    uint32_t line = synth_series(synth, BL_SERIES_SITE, heap, churn, SECOND);
    struct bl_sample sample = {.bytes = 900, .count = 18, .after = 8};
    synth_samples(synth, line, 0, SECOND, SECOND, &sample, 1);
    return synth;
}

START_TEST(places_never_have_more_than_their_class)
{
    struct bl_model *model = model_at(make_rush(), "warm");
    const struct bl_class_sums *heap = &model->classes[0];
    uint64_t count = 0;
    uint64_t bytes = 0;
    ck_assert_uint_eq(heap->live_count, 22);
    ck_assert_uint_eq(heap->live_bytes, 2100);
    for (size_t i = 0; i < model->group_count; i++) {
        count += model->groups[i].count;
        bytes += model->groups[i].bytes;
    }
    ck_assert_uint_eq(count, heap->live_count);
    ck_assert_uint_eq(bytes, heap->live_bytes);
    ck_assert(group_at(model, 0x200)->is_least);
    deinit(model);
}
END_TEST

START_TEST(now_is_exact_and_by_the_same_places)
{
    struct places p;
    struct bl_model *model = model_at(make_program(&p), NULL);
    ck_assert_uint_eq(model->group_count, 3);
    ck_assert_uint_eq(group_at(model, 0x200)->count, 60);
    ck_assert_uint_eq(group_at(model, 0x300)->count, 30);
    ck_assert_uint_eq(group_at(model, 0x400)->count, 2);
    ck_assert(!group_at(model, 0x400)->is_least);
    deinit(model);
}
END_TEST

START_TEST(a_sampled_past_is_refused)
{
    struct places p;
    struct synth *synth = make_program(&p);
    synth->header.sample_bytes = 524288;
    ck_assert_ptr_null(model_at(synth, "warm"));
    ck_assert_ptr_nonnull(strstr(error.text, "compare snapshots"));
    bl_series_destroy(set);
    bl_reader_destroy(reader);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli_moment");
    TCase *tests = tcase_create("moment");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_mark_has_its_own_counters_and_time);
    tcase_add_test(tests, what_survived_counts_where_the_sample_is_older);
    tcase_add_test(tests, what_was_released_since_is_known_from_samples);
    tcase_add_test(tests, a_place_that_was_not_followed_is_at_least_its_survivors);
    tcase_add_test(tests, places_never_have_more_than_their_class);
    tcase_add_test(tests, now_is_exact_and_by_the_same_places);
    tcase_add_test(tests, a_sampled_past_is_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
