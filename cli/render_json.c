#include "render_parts.h"

#include "assembled.h"
#include "called.h"
#include "execs.h"
#include "hooks.h"
#include "siblings.h"
#include "text.h"
#include "verdict.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *const loss_names[] = {
#define LOSS_NAME(name, text) #name,
    BL_LOSSES(LOSS_NAME)
#undef LOSS_NAME
};

static json_t *whole_number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

json_t *bl_render_json_process(const struct bl_view *view)
{
    const struct bl_header *header = view->header;
    char start[BL_TEXT_NUMBER];
    json_t *process =
        json_pack("{s:i, s:s, s:s, s:o, s:s, s:i, s:s}", "pid", (int)view->pid, "comm", view->comm,
                  "start", bl_text_time(start, header->start_realtime_ns), "uptime_ns",
                  whole_number(view->model->uptime_ns), "state", bl_view_state(view), "snapshot",
                  (int)(header->snapshot_number & INT32_MAX), "reason", bl_view_reason(view));
    if (!process)
        return NULL;
    json_object_set_new(process, "ppid", whole_number(header->ppid));
    json_object_set_new(process, "exit_status",
                        view->model->state == BL_PROCESS_EXITED ? json_integer(header->exit_status)
                                                                : json_null());
    json_object_set_new(process, "replaced_by_exec",
                        json_boolean(view->model->state == BL_PROCESS_REPLACED));
    json_object_set_new(process, "forked_from",
                        header->flags & BL_FLAG_FORKED ? whole_number(header->parent_pid)
                                                       : json_null());
    json_object_set_new(process, "sample_bytes", whole_number(header->sample_bytes));
    json_object_set_new(process, "inexact", json_boolean(header->flags & BL_FLAG_INEXACT));
    json_object_set_new(process, "ledger", text_or_null(view->path));
    return process;
}

static json_t *make_class(const struct bl_view *view, const struct bl_class_sums *sums)
{
    const struct bl_growth *growth = view->growth ? &view->growth->classes[sums->number] : NULL;
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", sums->name,
                     "live_count", whole_number(sums->live_count), "live_bytes",
                     whole_number(sums->live_bytes), "peak_bytes", whole_number(sums->peak_bytes),
                     "allocs", whole_number(sums->allocs), "retains", whole_number(sums->retains),
                     "releases", whole_number(sums->releases), "over_releases",
                     whole_number(sums->over_releases), "growth", bl_render_json_growth(growth));
}

static json_t *make_frame(const struct bl_symbol *symbol)
{
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:b, s:o}", "function",
                     text_or_null(symbol->function), "file", text_or_null(symbol->file), "line",
                     symbol->line > 0 ? json_integer(symbol->line) : json_null(), "module",
                     symbol->module, "offset", whole_number(symbol->offset), "inlined",
                     symbol->inlined ? 1 : 0, "build_id", text_or_null(symbol->build_id));
}

json_t *bl_render_json_frames(const struct bl_view *view, uint32_t stack)
{
    uint32_t numbers[BL_MODEL_FRAMES_MAX];
    size_t count = bl_model_stack(view->reader, stack, numbers, BL_MODEL_FRAMES_MAX);
    json_t *frames = json_array();
    for (size_t i = 0; i < count; i++) {
        size_t inlined = 0;
        const struct bl_symbol *symbols = bl_symbols_frame(view->symbols, numbers[i], &inlined);
        for (size_t k = 0; symbols && k < inlined; k++)
            json_array_append_new(frames, make_frame(&symbols[k]));
    }
    return frames;
}

json_t *bl_render_json_place(const struct bl_view *view, uint32_t frame)
{
    size_t inlined;
    const struct bl_symbol *symbol =
        frame ? bl_symbols_frame(view->symbols, frame, &inlined) : NULL;
    return symbol ? make_frame(symbol) : json_null();
}

/* What sets this group apart when it is not its place in the code. */
json_t *bl_render_json_key(const struct bl_view *view, const struct bl_group *group)
{
    const struct bl_thread *thread;
    char name[64] = "";
    switch (view->model->group_by) {
    case BL_GROUP_SIZE:
        return json_pack("{s:o}", "size", whole_number(group->key));
    case BL_GROUP_AGE:
        return json_pack("{s:s}", "age", bl_model_age_range(group->key));
    case BL_GROUP_MODULE:
        return json_pack("{s:s}", "module", bl_symbols_module(view->symbols, (uint32_t)group->key));
    case BL_GROUP_THREAD:
        thread = bl_reader_thread(view->reader, (uint32_t)group->key);
        if (thread)
            bl_text_printable(name, sizeof(name), thread->name,
                              strnlen(thread->name, sizeof(thread->name)));
        return json_pack("{s:o, s:o}", "thread", thread ? whole_number(thread->tid) : json_null(),
                         "name", text_or_null(name));
    case BL_GROUP_SITE:
    case BL_GROUP_STACK:
        break;
    }
    return json_null();
}

static json_t *make_end_frames(const struct bl_view *view, const struct bl_end_place *place)
{
    return bl_render_json_frames(view, place->through ? place->through : place->frame);
}

/* Where sampled siblings ended, as releases. */
static json_t *make_endings(const struct bl_view *view, const struct bl_siblings *siblings)
{
    json_t *array = json_array();
    for (size_t i = 0; siblings && i < siblings->place_count; i++) {
        const struct bl_end_place *place = &siblings->places[i];
        json_array_append_new(array, json_pack("{s:s, s:o, s:b, s:o, s:o}", "op",
                                               place->is_resize ? "resize" : "release", "count",
                                               whole_number(place->count), "blamed", 0, "sampled",
                                               whole_number(siblings->sampled), "frames",
                                               make_end_frames(view, place)));
    }
    return array;
}

/* Where most of the siblings that were born on the same path ended. */
static json_t *make_expected_end(const struct bl_view *view, const struct bl_siblings *siblings)
{
    if (!siblings || siblings->of_other_callers)
        return json_pack("{s:[], s:i, s:n}", "frames", "count", 0, "sampled");
    return json_pack("{s:o, s:o, s:o}", "frames", make_end_frames(view, &siblings->places[0]),
                     "count", whole_number(siblings->places[0].count), "sampled",
                     whole_number(siblings->sampled));
}

/* Does what is said of a group come from its site's memory in time? */
static bool is_of_growth(const struct bl_group *group)
{
    return group->growth && (group->rank == BL_MODEL_RANK_GROWING ||
                             (group->rank == BL_MODEL_RANK_STEADY &&
                              !(group->finding && group->finding->ground == BL_GROUND_STEADY)));
}

static void write_growth(const struct bl_group *group, char *out, size_t size)
{
    char rate[128];
    bl_growth_text(group->growth, rate, sizeof(rate));
    if (group->rank == BL_MODEL_RANK_GROWING)
        snprintf(out, size, "grows without giving back: %s, in %zu separate steps", rate,
                 group->growth->found.rises);
    else
        snprintf(out, size, "does not grow: a pool or a cache that is filled");
}

/* What is said of a group whose buffers have no history. */
static json_t *make_growth_evidence(const struct bl_group *group)
{
    char text[256] = "alive at this moment; not judged whether it will be released";
    if (is_of_growth(group))
        write_growth(group, text, sizeof(text));
    return json_pack("{s:n, s:n, s:s}", "leaked", "completed", "text", text);
}

json_t *bl_render_json_assembled(const struct bl_view *view, const struct bl_group *group)
{
    struct bl_assembled assembled[BL_ASSEMBLED_MAX];
    char text[512];
    uint64_t all;
    size_t others;
    size_t count = bl_assembled_find(view->reader, group->stack, group->stack_count > 1, assembled,
                                     &all, &others);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        bl_assembled_text(view->reader, &assembled[i], text, sizeof(text));
        json_array_append_new(array, json_pack("{s:s, s:s, s:o}", "text", text, "of",
                                               assembled[i].is_of_source ? "source" : "operator",
                                               "events", whole_number(assembled[i].count)));
    }
    return array;
}

static json_t *make_group(const struct bl_view *view, const struct bl_group *group)
{
    bool is_growing = group->rank == BL_MODEL_RANK_GROWING;
    double confidence = is_of_growth(group) ? group->growth->confidence : 0;
    json_t *object = json_pack("{s:s, s:s, s:f, s:o, s:o, s:o, s:o, s:s, s:n}", "class",
                               bl_model_class_name(view->model, group->class_number), "verdict",
                               bl_growth_verdict(group), "confidence", confidence, "count",
                               whole_number(group->count), "bytes", whole_number(group->bytes),
                               "oldest_ns", whole_number(group->oldest_ns), "youngest_ns",
                               whole_number(group->youngest_ns), "reach", "unknown", "refs");
    if (!object)
        return NULL;
    json_object_set_new(
        object, "blame",
        json_pack("{s:s, s:o}", "op", "alloc", "frames",
                  is_growing ? bl_render_json_frames(view, group->stack) : json_array()));
    json_object_set_new(object, "alloc",
                        json_pack("{s:o}", "frames", bl_render_json_frames(view, group->stack)));
    json_object_set_new(object, "assembled", bl_render_json_assembled(view, group));
    json_object_set_new(object, "acquires", json_array());
    json_object_set_new(object, "releases", make_endings(view, group->siblings));
    json_object_set_new(object, "evidence", make_growth_evidence(group));
    json_object_set_new(object, "expected_release", make_expected_end(view, group->siblings));
    json_object_set_new(object, "ended_at", json_pack("{s:[], s:i}", "frames", "count", 0));
    json_object_set_new(object, "suppressed_by", json_null());
    json_object_set_new(object, "baseline", json_null());
    json_object_set_new(object, "inherited", whole_number(group->inherited));
    json_object_set_new(object, "inherited_bytes", whole_number(group->inherited_bytes));
    json_object_set_new(object, "stacks", whole_number(group->stack_count));
    json_object_set_new(object, "key", bl_render_json_key(view, group));
    bl_render_json_held_by(object, view, group);
    json_object_set_new(object, "growth",
                        group->growth ? bl_render_json_growth(group->growth) : json_null());
    return object;
}

static const char *op_name(enum bl_item_kind kind)
{
    switch (kind) {
    case BL_ITEM_ALLOC:
        return "alloc";
    case BL_ITEM_RETAIN:
        return "retain";
    case BL_ITEM_RELEASE:
    case BL_ITEM_OVER_RELEASE:
        break;
    }
    return "release";
}

static json_t *make_references(const struct bl_view *view, const struct bl_finding *finding,
                               bool acquires)
{
    json_t *array = json_array();
    for (size_t i = 0; i < finding->reference_count; i++) {
        const struct bl_reference *reference = &finding->references[i];
        if ((reference->kind == BL_ITEM_ALLOC || reference->kind == BL_ITEM_RETAIN) != acquires)
            continue;
        json_array_append_new(
            array, json_pack("{s:s, s:o, s:b, s:n, s:o}", "op", op_name(reference->kind), "count",
                             whole_number(reference->count), "blamed", reference->is_blamed ? 1 : 0,
                             "sampled", "frames", bl_render_json_frames(view, reference->frame)));
    }
    return array;
}

static json_t *make_evidence(const struct bl_group *group)
{
    const struct bl_finding *finding = group->finding;
    bool is_judged = finding->verdict != BL_VERDICT_UNRELEASED || finding->suspect_frame;
    char text[sizeof(finding->text)];
    snprintf(text, sizeof(text), "%s", finding->text);
    if (is_of_growth(group))
        write_growth(group, text, sizeof(text));
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:s, s:o}", "leaked",
        is_judged ? whole_number(finding->leaked) : json_null(), "completed",
        is_judged ? whole_number(finding->passed - finding->leaked) : json_null(), "others_leaked",
        is_judged ? whole_number(finding->other_leaked) : json_null(), "others_completed",
        is_judged ? whole_number(finding->other_passed - finding->other_leaked) : json_null(),
        "text", text, "note", text_or_null(finding->note));
}

static json_t *make_parts(const struct bl_view *view, const struct bl_finding *finding)
{
    json_t *array = json_array();
    for (size_t i = 0; i < finding->part_count; i++)
        json_array_append_new(
            array, json_pack("{s:s, s:o, s:o, s:o}", "class",
                             bl_model_class_name(view->model, finding->parts[i].class_number),
                             "count", whole_number(finding->parts[i].count), "bytes",
                             whole_number(finding->parts[i].bytes), "estimate",
                             whole_number(finding->parts[i].estimate)));
    if (finding->other_parts.count > 0)
        json_array_append_new(array, json_pack("{s:n, s:i, s:o, s:o, s:o}", "class", "classes",
                                               (int)bl_finding_other_classes(finding), "count",
                                               whole_number(finding->other_parts.count), "bytes",
                                               whole_number(finding->other_parts.bytes), "estimate",
                                               whole_number(finding->other_parts.estimate)));
    return array;
}

static json_t *make_finding(const struct bl_view *view, const struct bl_group *group)
{
    const struct bl_finding *finding = group->finding;
    uint32_t blame_frame = finding->suspect_frame ? finding->suspect_frame : finding->blame_frame;
    json_t *object = json_pack(
        "{s:s, s:s, s:f, s:o, s:o, s:o, s:o, s:s, s:o}", "class",
        bl_model_class_name(view->model, group->class_number), "verdict", bl_growth_verdict(group),
        "confidence", is_of_growth(group) ? group->growth->confidence : finding->confidence,
        "count", whole_number(group->count), "bytes", whole_number(group->bytes), "oldest_ns",
        whole_number(group->oldest_ns), "youngest_ns", whole_number(group->youngest_ns), "reach",
        "unknown", "refs", finding->is_uncounted ? json_null() : whole_number(finding->refs_max));
    if (!object)
        return NULL;
    json_object_set_new(object, "blame",
                        json_pack("{s:s, s:o}", "op", op_name(finding->blame_kind), "frames",
                                  bl_render_json_frames(view, blame_frame)));
    json_object_set_new(
        object, "alloc",
        json_pack("{s:o}", "frames", bl_render_json_frames(view, finding->alloc_frame)));
    json_object_set_new(object, "assembled", bl_render_json_assembled(view, group));
    json_object_set_new(object, "acquires", make_references(view, finding, true));
    json_object_set_new(object, "releases", make_references(view, finding, false));
    json_object_set_new(object, "evidence", make_evidence(group));
    json_object_set_new(
        object, "expected_release",
        json_pack("{s:o, s:o, s:n, s:b}", "frames",
                  bl_render_json_frames(view, finding->expected_frame), "count",
                  whole_number(finding->expected_count), "sampled", "by_pointer",
                  bl_called_by_pointer(view->symbols, view->reader, group->class_number,
                                       finding->expected_stack)));
    json_object_set_new(object, "ended_at",
                        json_pack("{s:o, s:o}", "frames",
                                  bl_render_json_frames(view, finding->ended_frame), "count",
                                  whole_number(finding->ended_count)));
    char address[2 + 16 + 1];
    snprintf(address, sizeof(address), "0x%llx", (unsigned long long)finding->oldest_address);
    json_object_set_new(object, "oldest_address",
                        finding->oldest_address ? json_string(address) : json_null());
    json_object_set_new(object, "suppressed_by", json_null());
    json_object_set_new(object, "baseline", json_null());
    json_object_set_new(object, "inherited", whole_number(group->inherited));
    json_object_set_new(object, "inherited_bytes", whole_number(group->inherited_bytes));
    json_object_set_new(object, "stacks", whole_number(group->stack_count));
    json_object_set_new(object, "key", json_null());
    bl_render_json_held_by(object, view, group);
    json_object_set_new(object, "shared", whole_number(finding->shared));
    json_object_set_new(object, "holds", make_parts(view, finding));
    json_object_set_new(object, "growth",
                        group->growth ? bl_render_json_growth(group->growth) : json_null());
    return object;
}

json_t *bl_render_json_losses(const struct bl_view *view)
{
    json_t *losses = json_object();
    for (unsigned i = 0; i < BL_LOSS_COUNT; i++)
        json_object_set_new(losses, loss_names[i], whole_number(view->header->losses[i]));
    uint64_t unknown = 0;
    for (unsigned i = BL_LOSS_COUNT; i < BL_LOSSES_MAX; i++)
        unknown += view->header->losses[i];
    json_object_set_new(losses, "unknown_cause", whole_number(unknown));
    json_object_set_new(losses, "buffers_unreadable",
                        whole_number(view->model->buffers_unreadable));
    json_object_set_new(losses, "buffers_missing", whole_number(view->model->buffers_missing));
    json_object_set_new(losses, "buffers_uncounted", whole_number(view->model->buffers_uncounted));
    json_object_set_new(losses, "file_bytes_missing",
                        whole_number(bl_reader_lost_bytes(view->reader)));
    json_object_set_new(losses, "references_damaged", whole_number(bl_reader_damage(view->reader)));
    return losses;
}

/* How the stacks of Java threads were taken; see ledger_format.h. */
static json_t *make_java_reach(const struct bl_view *view)
{
    const struct bl_java_counts *java = &view->header->java;
    uint64_t start_ns = view->header->start_ns;
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "t_ns",
                     whole_number(java->reach_ns > start_ns ? java->reach_ns - start_ns : 0),
                     "gc_ns", whole_number(java->reach_gc_ns), "pause_ns",
                     whole_number(java->reach_walk_ns), "collected", whole_number(java->reach_lost),
                     "reachable", whole_number(java->reach_held));
}

static json_t *make_java(const struct bl_java_counts *java)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "walked", whole_number(java->walks),
                     "not_recognisable", whole_number(java->unkept), "checked",
                     whole_number(java->checked), "wrong", whole_number(java->wrong));
}

static json_t *make_hook(const struct bl_view *view, const struct bl_hook_row *hook)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "class",
                     bl_model_class_name(view->model, hook->class_number), "function",
                     hook->function, "method", hook->method, "why", text_or_null(hook->why),
                     "module", text_or_null(hook->module));
}

bool bl_render_json_put(FILE *out, const char *before, json_t *value)
{
    if (!value)
        return false;
    fputs(before, out);
    bool done = json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
    json_decref(value);
    return done || ferror(out);
}

/* The document is written piece by piece: a hundred thousand groups are never in memory as JSON. */
static bool write_document(FILE *out, const struct bl_view *view)
{
    const struct bl_model *model = view->model;
    bool done = bl_render_json_put(
                    out, "{\"schema\": 1,\n\"tool\": ", json_string("bufleak " BL_VERSION)) &&
                bl_render_json_put(out, ",\n\"process\": ", bl_render_json_process(view));
    fputs(",\n\"classes\": [", out);
    for (size_t i = 0; done && i < model->class_count; i++)
        done = bl_render_json_put(out, i ? ",\n  " : "\n  ", make_class(view, &model->classes[i]));
    fputs("],\n\"groups\": [", out);
    for (size_t i = 0; done && !view->summary_only && i < model->shown; i++)
        done = bl_render_json_put(out, i ? ",\n  " : "\n  ",
                                  model->groups[i].finding ? make_finding(view, &model->groups[i])
                                                           : make_group(view, &model->groups[i]));
    done =
        done && bl_render_json_put(out, "],\n\"groups_total\": ", whole_number(model->group_count));
    done = done && bl_render_json_series(out, view) && bl_render_json_memory(out, view) &&
           bl_render_json_put(out, ",\n\"losses\": ", bl_render_json_losses(view));
    if (done && view->reaches && bl_reaches_run(view->reaches))
        done = bl_render_json_put(out, ",\n\"reach\": ", bl_render_json_reach(view));
    if (done && view->header->java.walks > 0)
        done = bl_render_json_put(out, ",\n\"java_stacks\": ", make_java(&view->header->java));
    if (done && view->header->java.reach_ns > 0)
        done = bl_render_json_put(out, ",\n\"java_reach\": ", make_java_reach(view));
    fputs(",\n\"hooks\": [", out);
    const char *before = "\n  ";
    uint32_t hooks = bl_hooks_count(view->reader);
    for (uint32_t i = 0; done && i < hooks; i++) {
        struct bl_hook_row hook;
        if (!bl_hooks_read(view->reader, i, &hook) || hook.is_lasting || hook.is_profile ||
            hook.is_wanted)
            continue;
        done = bl_render_json_put(out, before, make_hook(view, &hook));
        before = ",\n  ";
    }
    fputs("]", out);
    done = done && bl_render_json_put(out, ",\n\"untracked\": ", bl_execs_make_json(view->header));
    json_t *mistakes = bl_hooks_make_mistakes(view->reader);
    if (done && json_array_size(mistakes) > 0)
        done = bl_render_json_put(out, ",\n\"profiles_broken\": ", json_incref(mistakes));
    json_decref(mistakes);
    json_t *missing = bl_hooks_make_missing(view->reader);
    if (done && json_array_size(missing) > 0)
        done = bl_render_json_put(out, ",\n\"profiles_missing\": ", json_incref(missing));
    json_decref(missing);
    fputs("}\n", out);
    return done;
}

int bl_render_json(FILE *out, const struct bl_view *view, struct bl_error *error)
{
    if (!write_document(out, view))
        return bl_error_set(error, "not enough memory to write the report");
    fflush(out);
    return 0;
}
