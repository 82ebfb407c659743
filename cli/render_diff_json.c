#include "render_diff.h"

#include "direct.h"
#include "render_parts.h"

#include <jansson.h>

static json_t *unsigned_number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *rate_or_null(bool has_rate, double rate)
{
    return has_rate ? json_real(rate) : json_null();
}

static json_t *make_class_side(const struct bl_class_sums *sums)
{
    if (!sums)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o}", "live_count", unsigned_number(sums->live_count),
                     "live_bytes", unsigned_number(sums->live_bytes), "allocs",
                     unsigned_number(sums->allocs), "releases", unsigned_number(sums->releases));
}

static json_t *make_class(const struct bl_diff *diff, const struct bl_diff_class *class)
{
    return json_pack("{s:s, s:o, s:o, s:I, s:I, s:o}", "name", class->name, "a",
                     make_class_side(class->sums[0]), "b", make_class_side(class->sums[1]),
                     "count_change", (json_int_t) class->count_change, "bytes_change",
                     (json_int_t) class->bytes_change, "bytes_per_s",
                     rate_or_null(diff->is_same_process && diff->has_rate, class->bytes_per_s[1]));
}

static json_t *make_part(const struct bl_diff *diff, const struct bl_diff_part *part)
{
    if (!part->group)
        return json_null();
    return json_pack(
        "{s:o, s:o, s:o, s:b, s:s, s:o, s:o}", "groups", unsigned_number(part->groups), "count",
        unsigned_number(part->count), "bytes", unsigned_number(part->bytes), "at_least",
        part->is_least ? 1 : 0, "verdict", bl_growth_rank_name(part->rank), "bytes_per_s",
        rate_or_null(!diff->is_same_process, part->bytes_per_s), "bytes_per_request",
        rate_or_null(!diff->is_same_process && diff->has_requests, part->bytes_per_request));
}

/* What became of a verdict that B does not have. */
static json_t *make_lost_verdict(const struct bl_diff_row *row)
{
    if (!row->was_accused)
        return json_null();
    return json_pack(
        "{s:b, s:s, s:o, s:o, s:o, s:b, s:f, s:o}", "fixed", row->change == BL_CHANGE_FIXED,
        "verdict", bl_growth_rank_name(row->part[0].rank), "accused_a",
        unsigned_number(row->part[0].count), "released_a", unsigned_number(row->passed[0]),
        "released_b", unsigned_number(row->passed[1]), "sample", row->is_sample ? 1 : 0, "luck",
        row->luck, "trend_b",
        row->trend ? json_string(bl_trend_name(row->trend->found.trend)) : json_null());
}

static const char *kind_name(enum bl_origin_kind kind)
{
    static const char *const names[] = {"offset", "function", "unnamed"};
    return names[kind <= BL_ORIGIN_UNNAMED ? kind : BL_ORIGIN_UNNAMED];
}

static const char *op_of(const struct bl_group *group)
{
    const struct bl_finding *finding = group->finding;
    if (!finding || finding->verdict == BL_VERDICT_UNRELEASED ||
        finding->blame_kind == BL_ITEM_ALLOC)
        return "alloc";
    return finding->blame_kind == BL_ITEM_RETAIN ? "retain" : "release";
}

static json_t *make_row(const struct bl_diff_view *view, const struct bl_diff_row *row)
{
    const struct bl_diff *diff = view->diff;
    int side = row->part[1].group ? 1 : 0;
    const struct bl_group *group = row->part[side].group;
    bool by_site = diff->sides[side].model->group_by == BL_GROUP_SITE;
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:o}", "change", bl_diff_change_name(row->change),
        "class", row->class_name, "matched_by", kind_name(row->matched_by), "a",
        make_part(diff, &row->part[0]), "b", make_part(diff, &row->part[1]), "count_change",
        (json_int_t)row->count_change, "bytes_change", (json_int_t)row->bytes_change, "bytes_per_s",
        rate_or_null(diff->is_same_process && diff->has_rate, row->bytes_per_s));
    if (!object)
        return NULL;
    bool has_requests = diff->is_same_process && diff->has_requests;
    json_object_set_new(object, "bytes_per_request",
                        rate_or_null(has_requests, row->bytes_per_request));
    json_object_set_new(object, "count_per_request",
                        rate_or_null(has_requests, row->count_per_request));
    json_object_set_new(object, "lost_verdict", make_lost_verdict(row));
    json_object_set_new(object, "op", json_string(op_of(group)));
    json_object_set_new(object, "frames_of", json_string(side ? "b" : "a"));
    json_object_set_new(
        object, "frames",
        bl_render_json_frames(&view->sides[side], by_site ? group->site : group->stack));
    json_object_set_new(object, "assembled", bl_render_json_assembled(&view->sides[side], group));
    json_object_set_new(object, "key", bl_render_json_key(&view->sides[side], group));
    return object;
}

/* Of a Java program only. */
static void put_direct(json_t *process, const struct bl_view *view)
{
    struct bl_direct_row rows[BL_DIRECT_MAX];
    size_t count = bl_direct_rows(view->reader, NULL, rows);
    json_t *counters = count > 0 ? json_array() : NULL;
    for (size_t i = 0; i < count; i++)
        json_array_append_new(counters,
                              json_pack("{s:s, s:b, s:I, s:I}", "name", rows[i].name, "counts",
                                        rows[i].kind != BL_DIRECT_NETTY_IDLE, "bytes",
                                        (json_int_t)(rows[i].bytes & INT64_MAX), "limit_bytes",
                                        (json_int_t)(rows[i].limit_bytes & INT64_MAX)));
    if (counters)
        json_object_set_new(process, "direct", counters);
}

static json_t *make_side(const struct bl_diff_view *view, int side)
{
    json_t *process = bl_render_json_process(&view->sides[side]);
    if (process) {
        json_object_set_new(process, "mark",
                            view->marks[side] ? json_string(view->marks[side]) : json_null());
        put_direct(process, &view->sides[side]);
    }
    return process;
}

/* What completes requests, and how many each side has. */
static json_t *make_requests(const struct bl_diff *diff)
{
    if (!diff->request_name)
        return json_null();
    return json_pack("{s:s, s:o, s:o}", "function", diff->request_name, "a",
                     unsigned_number(diff->requests[0]), "b", unsigned_number(diff->requests[1]));
}

static json_t *make_summary(const struct bl_diff *diff)
{
    json_t *summary = json_object();
    for (int i = 0; i < BL_CHANGE_COUNT; i++)
        json_object_set_new(summary, bl_diff_change_name((enum bl_change)i),
                            json_pack("{s:o, s:I, s:I}", "groups",
                                      unsigned_number(diff->totals[i].rows), "count_change",
                                      (json_int_t)diff->totals[i].count_change, "bytes_change",
                                      (json_int_t)diff->totals[i].bytes_change));
    json_object_set_new(summary, "below_min_bytes", unsigned_number(diff->below));
    return summary;
}

static bool write_document(FILE *out, const struct bl_diff_view *view)
{
    const struct bl_diff *diff = view->diff;
    int64_t elapsed = (int64_t)diff->elapsed_ns;
    bool done =
        bl_render_json_put(out,
                           "{\"schema\": 1,\n\"tool\": ", json_string("bufleak " BL_VERSION)) &&
        bl_render_json_put(out, ",\n\"a\": ", make_side(view, 0)) &&
        bl_render_json_put(out, ",\n\"b\": ", make_side(view, 1)) &&
        bl_render_json_put(out, ",\n\"same_process\": ", json_boolean(diff->is_same_process)) &&
        bl_render_json_put(out, ",\n\"elapsed_ns\": ",
                           diff->is_same_process
                               ? json_integer(diff->is_backwards ? -elapsed : elapsed)
                               : json_null()) &&
        bl_render_json_put(out, ",\n\"requests\": ", make_requests(diff)) &&
        bl_render_json_put(out, ",\n\"summary\": ", make_summary(diff));
    fputs(",\n\"classes\": [", out);
    for (size_t i = 0; done && i < diff->class_count; i++)
        done = bl_render_json_put(out, i ? ",\n  " : "\n  ", make_class(diff, &diff->classes[i]));
    fputs("],\n\"groups\": [", out);
    for (size_t i = 0; done && i < diff->shown; i++)
        done = bl_render_json_put(out, i ? ",\n  " : "\n  ", make_row(view, &diff->rows[i]));
    done =
        done && bl_render_json_put(out, "],\n\"groups_total\": ", unsigned_number(diff->row_count));
    fputs("}\n", out);
    return done;
}

int bl_render_diff_json(FILE *out, const struct bl_diff_view *view, struct bl_error *error)
{
    if (!write_document(out, view))
        return bl_error_set(error, "not enough memory to write the comparison");
    fflush(out);
    return 0;
}
