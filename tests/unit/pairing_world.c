#include "pairing_world.h"

#include "cli_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct bl_error error;

struct world *make_world(void)
{
    struct world *w = calloc(1, sizeof(*w));
    ck_assert_ptr_nonnull(w);
    w->synth = synth_create();
    synth_class(w->synth, "heap");
    w->class = synth_class(w->synth, "buf");
    synth_refcounted(w->synth, w->class, "libbuf.so* libbufextra*");
    w->gw = synth_module(w->synth, "/usr/bin/gw", "gw", 2, BL_MODULE_MAIN);
    w->library = synth_module(w->synth, "/usr/lib/libbuf.so.1", "lb", 2, 0);
    w->main_frame = synth_frame(w->synth, 0, w->gw, 0x10);
    w->loop = synth_frame(w->synth, w->main_frame, w->gw, 0x20);
    w->main_thread = synth_thread(w->synth, 4242, "gw");
    w->worker = synth_thread(w->synth, 4250, "worker/0");
    return w;
}

void finish(struct world *w)
{
    bl_model_destroy(w->model);
    bl_pairing_destroy(w->pairing);
    bl_growth_destroy(w->growth);
    bl_series_destroy(w->series);
    bl_reaches_destroy(w->reaches);
    bl_reader_destroy(w->reader);
    synth_destroy(w->synth);
    free(w);
}

void make_live(struct world *w)
{
    w->synth->header.state = BL_STATE_RUNNING;
    w->synth->header.snapshot_number = 2;
    w->synth->header.snapshot_reason = BL_REASON_SIGNAL;
    w->synth->header.snapshot_ns = END;
}

uint32_t at(struct world *w, uint32_t caller, uint64_t offset)
{
    return synth_frame(w->synth, caller, w->gw, offset);
}

uint32_t inside(struct world *w, uint32_t caller, uint64_t offset)
{
    return synth_frame(w->synth, caller, w->library, offset);
}

void live_in(struct world *w, uint32_t class_number, uint64_t count, uint64_t from, uint64_t to,
             const struct synth_op *ops, size_t op_count)
{
    struct synth_op timed[64];
    for (uint64_t i = 0; i < count; i++) {
        uint64_t birth = count > 1 ? from + (to - from) / (count - 1) * i : to;
        for (size_t k = 0; k < op_count; k++) {
            timed[k] = ops[k];
            timed[k].time_ns = birth + k * MILLI;
            timed[k].thread = ops[k].thread ? ops[k].thread : w->main_thread;
        }
        synth_object(w->synth, class_number, 1000, birth, timed, op_count);
    }
}

void live(struct world *w, uint64_t count, uint64_t from, uint64_t to, const struct synth_op *ops,
          size_t op_count)
{
    live_in(w, w->class, count, from, to, ops, op_count);
}

void done(struct world *w, uint64_t count, uint64_t lifetime_ns, const struct synth_op *ops,
          size_t op_count)
{
    synth_lifecycle(w->synth, w->class, count, lifetime_ns, END - SECOND, ops, op_count);
}

void judge(struct world *w)
{
    size_t size;
    if (w->is_killed)
        w->synth->header.state = BL_STATE_RUNNING;
    uint8_t *bytes = synth_bytes(w->synth, &size);
    int fd = synth_file(bytes, size);
    ck_assert_msg(bl_reader_create(&w->reader, fd, "test", BL_READER_ALL, &error) == 0, "%s",
                  error.text);
    close(fd);
    free(bytes);
    ck_assert_int_eq(bl_reaches_create(&w->reaches, w->reader, &error), 0);
    w->options.reaches = w->reaches;
    bool is_running = w->synth->header.state == BL_STATE_RUNNING && !w->is_killed;
    ck_assert_int_eq(bl_model_create(&w->model, w->reader, is_running, &w->options, &error), 0);
    ck_assert_int_eq(bl_series_create(&w->series, w->reader, &error), 0);
    ck_assert_int_eq(bl_growth_create(&w->growth, w->reader, w->series, w->model, NULL, &error), 0);
    ck_assert_msg(bl_pairing_create(&w->pairing, w->reader, NULL, w->growth, w->model, &w->options,
                                    &error) == 0,
                  "%s", error.text);
    ck_assert_uint_eq(bl_reader_damage(w->reader), 0);
    ck_assert_int_eq(bl_growth_apply(w->growth, w->model, &w->options, &error), 0);
}

uint64_t offset_of(const struct world *w, uint32_t frame)
{
    const struct bl_frame *record = bl_reader_frame(w->reader, frame);
    return record ? record->offset : 0;
}

void follow(struct world *w, uint32_t birth, uint32_t (*live_at)(uint32_t second))
{
    enum { SECONDS = (END - START) / SECOND };
    struct bl_sample *samples = calloc(SECONDS, sizeof(*samples));
    uint32_t series = synth_series(w->synth, BL_SERIES_SITE, w->class, birth, START);
    ck_assert_ptr_nonnull(samples);
    for (uint32_t i = 0; i < SECONDS; i++)
        samples[i] = (struct bl_sample){
            .bytes = 1000ull * live_at(i), .total = 100ull * i, .count = live_at(i), .after = i};
    synth_samples(w->synth, series, 0, START, SECOND, samples, SECONDS);
    free(samples);
}

uint32_t filled_by_half(uint32_t second)
{
    return second < 300 ? second / 3 : 100;
}

uint32_t ever_more(uint32_t second)
{
    return second / 7;
}

void done_between(struct world *w, uint64_t count, uint64_t shortest_ns, uint64_t longest_ns,
                  uint64_t first_end_ns, uint64_t last_end_ns, const struct synth_op *ops,
                  size_t op_count)
{
    uint32_t number =
        synth_lifecycle(w->synth, w->class, count, longest_ns, last_end_ns, ops, op_count);
    struct bl_lifecycle *life = synth_record(w->synth, BL_SECTION_LIFECYCLES, number);
    life->min_ns = shortest_ns;
    life->first_ns = first_end_ns;
}

const struct bl_group *find(const struct world *w, enum bl_verdict verdict, uint64_t offset)
{
    for (size_t i = 0; i < w->model->group_count; i++) {
        const struct bl_group *group = &w->model->groups[i];
        if (group->finding && group->finding->verdict == verdict &&
            offset_of(w, group->stack) == offset)
            return group;
    }
    for (size_t i = 0; i < w->model->group_count; i++)
        if (w->model->groups[i].finding)
            fprintf(stderr, "there is: %s at 0x%llx, %llu buffers, ground %d: %s\n",
                    bl_verdict_name(w->model->groups[i].finding->verdict),
                    (unsigned long long)offset_of(w, w->model->groups[i].stack),
                    (unsigned long long)w->model->groups[i].count,
                    (int)w->model->groups[i].finding->ground, w->model->groups[i].finding->text);
    ck_abort_msg("no %s at 0x%llx", bl_verdict_name(verdict), (unsigned long long)offset);
    return NULL;
}

size_t accusations(const struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->model->group_count; i++)
        count += w->model->groups[i].finding &&
                 w->model->groups[i].finding->verdict != BL_VERDICT_UNRELEASED;
    return count;
}

const struct bl_group *only(const struct world *w, enum bl_verdict verdict, uint64_t offset)
{
    const struct bl_group *group = find(w, verdict, offset);
    ck_assert_uint_eq(accusations(w), 1);
    return group;
}

const struct bl_group *left_alone(const struct world *w, enum bl_ground ground)
{
    const struct bl_group *found = NULL;
    ck_assert_uint_eq(accusations(w), 0);
    for (size_t i = 0; i < w->model->group_count; i++)
        if (w->model->groups[i].finding && w->model->groups[i].finding->ground == ground)
            found = &w->model->groups[i];
    ck_assert_msg(found != NULL, "nothing is unreleased for reason %d", (int)ground);
    return found;
}
