#include "render_top.h"

#include "text.h"
#include "view.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *whole_number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *known_number(uint64_t value)
{
    return value > 0 ? whole_number(value) : json_null();
}

static json_t *make_sparks(const struct bl_top_row *row)
{
    json_t *sparks = json_array();
    for (size_t i = 0; i < row->time.spark_count; i++)
        json_array_append_new(sparks, row->time.sparks[i] < 0
                                          ? json_null()
                                          : whole_number((uint64_t)row->time.sparks[i]));
    return sparks;
}

static void add_time(json_t *object, const struct bl_top_row *row)
{
    json_object_set_new(object, "bytes_per_s",
                        row->time.has_rate ? json_real(row->time.bytes_per_s) : json_null());
    json_object_set_new(object, "trend", json_string(row->time.trend));
    json_object_set_new(object, "growth",
                        *row->time.growth ? json_string(row->time.growth) : json_null());
    json_object_set_new(object, "step_bytes", known_number(row->time.step_bytes));
    json_object_set_new(object, "bytes_per_request",
                        row->time.bytes_per_request >= 0 ? json_real(row->time.bytes_per_request)
                                                         : json_null());
    json_object_set_new(object, "to_limit_s",
                        row->time.to_limit_s >= 0 ? json_real(row->time.to_limit_s) : json_null());
    json_object_set_new(object, "verdict", json_string(bl_growth_rank_name(row->rank)));
    json_object_set_new(object, "estimate", json_boolean(row->is_sampled));
    json_object_set_new(object, "sparks", make_sparks(row));
}

static json_t *make_class(const struct bl_top_row *row)
{
    json_t *object =
        json_pack("{s:s, s:o, s:o, s:o, s:o}", "name", row->class_name, "live_count",
                  whole_number(row->count), "live_bytes", whole_number(row->bytes), "peak_bytes",
                  whole_number(row->peak_bytes), "allocs", whole_number(row->allocs));
    if (object)
        add_time(object, row);
    return object;
}

static json_t *make_site(const struct bl_top_row *row)
{
    json_t *object = json_pack("{s:s, s:o, s:o, s:s, s:s, s:f, s:b}", "class", row->class_name,
                               "count", whole_number(row->count), "bytes", whole_number(row->bytes),
                               "function", row->what, "place", row->where, "confidence",
                               row->confidence, "followed", row->line > 0);
    if (object)
        add_time(object, row);
    return object;
}

static json_t *make_rows(const struct bl_top_frame *frame, const struct bl_top_ui *ui,
                         json_t *classes, json_t *sites)
{
    size_t class_count;
    size_t count;
    const struct bl_top_row **rows = bl_top_list(frame, ui, &class_count, &count);
    if (!rows)
        return NULL;
    for (size_t i = 0; i < class_count; i++)
        json_array_append_new(classes, make_class(rows[i]));
    for (size_t i = class_count; i < count && (ui->top == 0 || i < class_count + ui->top); i++)
        json_array_append_new(sites, make_site(rows[i]));
    json_t *total = whole_number(count - class_count);
    free(rows);
    return total;
}

static json_t *make_process(const struct bl_top_frame *frame)
{
    char start[BL_TEXT_NUMBER];
    return json_pack(
        "{s:i, s:s, s:s, s:o, s:s, s:s, s:s}", "pid", (int)frame->pid, "comm", frame->comm, "start",
        bl_text_time(start, frame->start_realtime_ns), "uptime_ns", whole_number(frame->uptime_ns),
        "state", bl_view_state_name(frame->state), "moment", frame->moment, "ledger", frame->path);
}

static json_t *make_marks(const struct bl_top_frame *frame)
{
    json_t *marks = json_array();
    for (size_t i = 0; i < frame->mark_count; i++)
        json_array_append_new(marks, json_pack("{s:s, s:o}", "name", frame->marks[i].name, "ago_ns",
                                               whole_number(frame->marks[i].ago_ns)));
    return marks;
}

static json_t *make_direct(const struct bl_top_frame *frame)
{
    json_t *counters = json_array();
    for (size_t i = 0; i < frame->direct_count; i++)
        json_array_append_new(counters,
                              json_pack("{s:s, s:b, s:o, s:o}", "name", frame->direct[i].name,
                                        "counts", frame->direct[i].kind != BL_DIRECT_NETTY_IDLE,
                                        "bytes", whole_number(frame->direct[i].bytes),
                                        "limit_bytes", known_number(frame->direct[i].limit_bytes)));
    return counters;
}

int bl_render_top_json(FILE *out, const struct bl_top_frame *frame, const struct bl_top_ui *ui,
                       struct bl_error *error)
{
    json_t *classes = json_array();
    json_t *sites = json_array();
    json_t *total = make_rows(frame, ui, classes, sites);
    json_t *memory = json_pack("{s:o, s:o, s:o, s:o}", "rss_bytes", known_number(frame->rss_bytes),
                               "cgroup_bytes", known_number(frame->cgroup_bytes),
                               "cgroup_limit_bytes", known_number(frame->cgroup_limit_bytes),
                               "limit_bytes", known_number(frame->limit_bytes));
    if (memory)
        json_object_set_new(memory, "direct", make_direct(frame));
    json_t *root = json_pack("{s:i, s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "schema", 1,
                             "tool", "bufleak " BL_VERSION, "process", make_process(frame),
                             "memory", memory, "window_ns", whole_number(frame->span_ns),
                             "incomplete", frame->is_incomplete, "classes", classes, "sites", sites,
                             "sites_total", total, "marks", make_marks(frame));
    if (!root)
        return bl_error_set(error, "not enough memory to write the frame");
    int outcome = json_dumpf(root, out, JSON_INDENT(1));
    fputc('\n', out);
    json_decref(root);
    return outcome < 0 && !ferror(out) ? bl_error_set(error, "not enough memory to write the frame")
                                       : 0;
}
