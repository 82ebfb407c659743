/*
 * Growth in a report: how fast, to what limit, and the series themselves.
 */
#include "render_parts.h"

#include "direct.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MIN_NS 10000000u /* that interval= accepts */
#define POINTS_MAX      300       /* of one series in a report; more is in the ledger */
#define SITE_POINTS_MAX 60        /* of a place, of which there are many */

static bool is_growing(const struct bl_growth *growth)
{
    return growth && growth->line && growth->found.trend == BL_TREND_GROWING;
}

static const char *limit_text(enum bl_growth_limit limit)
{
    static const char *const texts[] = {[BL_GROWTH_NO_LIMIT] = "",
                                        [BL_GROWTH_LIMIT_OPTION] = "its limit (limit=)",
                                        [BL_GROWTH_LIMIT_CGROUP] = "the limit of its cgroup",
                                        [BL_GROWTH_LIMIT_ADDRESS_SPACE] =
                                            "the limit of its address space (RLIMIT_AS)",
                                        [BL_GROWTH_LIMIT_DIRECT] = "the limit of direct memory"};
    return texts[limit];
}

static uint64_t limit_bytes(const struct bl_header *header, enum bl_growth_limit limit)
{
    const uint64_t limits[] = {[BL_GROWTH_NO_LIMIT] = 0,
                               [BL_GROWTH_LIMIT_OPTION] = header->limit_bytes,
                               [BL_GROWTH_LIMIT_CGROUP] = header->cgroup_limit_bytes,
                               [BL_GROWTH_LIMIT_ADDRESS_SPACE] = header->address_space_limit_bytes,
                               [BL_GROWTH_LIMIT_DIRECT] = header->direct_limit_bytes};
    return limits[limit];
}

static uint64_t nanoseconds(double seconds)
{
    return seconds < 1e9 ? (uint64_t)(seconds * 1e9) : 1000000000000000000u;
}

static void write_limit_reached(FILE *out, const struct bl_view *view)
{
    const struct bl_header *header = view->header;
    char size[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    char count[BL_TEXT_NUMBER];
    if (header->limit_bytes == 0 || header->limit_reached_ns == 0)
        return;
    uint64_t after_ns = header->limit_reached_ns > header->start_ns
                            ? header->limit_reached_ns - header->start_ns
                            : 0;
    fprintf(out, "\nheap reached its limit of %s after %s",
            bl_text_bytes(size, header->limit_bytes), bl_text_age(age, after_ns));
    if (header->limit_refused > 0)
        fprintf(out, "; %s allocation%s beyond it failed",
                bl_text_count(count, header->limit_refused), header->limit_refused == 1 ? "" : "s");
    fprintf(out, "\n");
    if (header->limit_refused > 0 && header->limit_stack > 0) {
        fprintf(out, "     the first%s, of %s B, at\n",
                header->limit_refused == 1 ? " and only" : "",
                bl_text_count(count, header->limit_first_bytes));
        bl_render_text_stack(out, view, header->limit_stack);
    }
}

static void write_direct(FILE *out, const struct bl_view *view)
{
    struct bl_direct_row rows[BL_DIRECT_MAX];
    size_t count = bl_direct_rows(view->reader, view->growth, rows);
    if (count > 0)
        fprintf(out, "\ndirect memory, by the program's own counters:\n");
    for (size_t i = 0; i < count; i++) {
        char use[128];
        char growth[256];
        bl_direct_use_text(&rows[i], use, sizeof(use));
        bl_direct_growth_text(&rows[i], growth, sizeof(growth));
        int column = fprintf(out, "  %-9s %s%s", rows[i].name, use, *growth ? " ·" : "");
        bl_render_text_wrapped(out, growth, column > 0 ? (size_t)column : 0);
        fputc('\n', out);
    }
}

static const struct bl_boundary *find_asked(const struct bl_reader *reader)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_BOUNDARIES);
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_boundary *boundary = bl_reader_boundary(reader, i);
        if (boundary && boundary->flags & BL_BOUNDARY_ASKED)
            return boundary;
    }
    return NULL;
}

/* Why there is no growth for each call of what per= names: there were too few calls, */
static bool write_too_few(FILE *out, const struct bl_boundary *asked, const char *function)
{
    char number[BL_TEXT_NUMBER];
    if (asked->completed >= BL_GROWTH_REQUESTS_MIN)
        return false;
    fprintf(out, "\n%s has returned %s time%s; growth per call takes at least %u\n", function,
            bl_text_count(number, asked->completed), asked->completed == 1 ? "" : "s",
            BL_GROWTH_REQUESTS_MIN);
    return true;
}

/* or the run was too short for its interval. */
static void write_too_short(FILE *out, const struct bl_view *view)
{
    const struct bl_boundary *asked = find_asked(view->reader);
    const struct bl_growth *heap = view->growth ? &view->growth->classes[0] : NULL;
    uint64_t needed_ns = view->model->uptime_ns / (2ul * BL_TREND_TURNS_MIN);
    char function[128];
    char number[BL_TEXT_NUMBER];
    if (!asked || !heap)
        return;
    bl_reader_name_text(view->reader, asked->function_name, function, sizeof(function));
    if (write_too_few(out, asked, function) || heap->found.trend != BL_TREND_UNKNOWN ||
        needed_ns >= view->header->interval_ns)
        return;
    fprintf(out, "\n%s was called %s time%s; growth per call takes %d samples: let it run longer",
            function, bl_text_count(number, asked->completed), asked->completed == 1 ? "" : "s",
            BL_TREND_TURNS_MIN);
    if (needed_ns >= INTERVAL_MIN_NS)
        fprintf(out, ", or interval=%s",
                bl_text_age(number, needed_ns - needed_ns % INTERVAL_MIN_NS));
    fputc('\n', out);
}

/* What per= names and is nowhere. */
static void write_unknown_per(FILE *out, const struct bl_view *view)
{
    char options[1024];
    char *rest = NULL;
    if (find_asked(view->reader) ||
        !bl_reader_name_text(view->reader, view->header->options_name, options, sizeof(options)))
        return;
    for (char *item = strtok_r(options, ":", &rest); item; item = strtok_r(NULL, ":", &rest))
        if (strncmp(item, "per=", 4) == 0)
            fprintf(out,
                    "\n%s: no function of that name has been loaded, so no requests are counted\n",
                    item);
}

void bl_render_text_outlook(FILE *out, const struct bl_view *view)
{
    const struct bl_model *model = view->model;
    const char *before = "\n";
    for (size_t i = 0; view->growth && i < model->class_count; i++) {
        const struct bl_growth *growth = &view->growth->classes[model->classes[i].number];
        char number[BL_TEXT_NUMBER];
        char size[BL_TEXT_NUMBER];
        if (!is_growing(growth))
            continue;
        if (growth->has_per_request) {
            fprintf(out, "%s%s grows by %s B for each %s", before, model->classes[i].name,
                    bl_text_count(number, (uint64_t)fmax(0, growth->bytes_per_request + 0.5)),
                    view->growth->request_name);
            fprintf(out, " (%.3g buffer%s)\n", growth->count_per_request,
                    growth->count_per_request == 1 ? "" : "s");
            before = "";
        }
        bool is_there = growth->to_limit_s <= 0;
        if (growth->limit == BL_GROWTH_NO_LIMIT ||
            (is_there && growth->limit == BL_GROWTH_LIMIT_OPTION)) /* write_limit_reached */
            continue;
        const char *limit_size = bl_text_bytes(size, limit_bytes(view->header, growth->limit));
        if (is_there)
            fprintf(out, "%s%s is at %s, %s\n", before, model->classes[i].name,
                    limit_text(growth->limit), limit_size);
        else
            fprintf(out, "%sat this rate %s reaches %s, %s, in %s\n", before,
                    model->classes[i].name, limit_text(growth->limit), limit_size,
                    bl_text_age(number, nanoseconds(growth->to_limit_s)));
        before = "";
    }
    write_too_short(out, view);
    write_unknown_per(out, view);
    write_limit_reached(out, view);
    write_direct(out, view);
}

/* How sure it is and how it was seen, of a growing group. */
void bl_render_text_growing(FILE *out, const struct bl_growth *growth)
{
    char text[128];
    char bytes[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    char rises[BL_TEXT_NUMBER];
    if (!is_growing(growth))
        return;
    bl_growth_text(growth, text, sizeof(text));
    fprintf(out, "     %-22s %s: %s more than %s before, in %s step%s and never given back\n",
            "growing", text, bl_text_bytes(bytes, (uint64_t)growth->found.stayed_bytes),
            bl_text_age(age, growth->found.to_ns - growth->found.from_ns),
            bl_text_count(rises, growth->found.rises), growth->found.rises == 1 ? "" : "s");
}

#define MARKS_SHOWN 5

/* The latest of them, with how long before this moment they were set. */
void bl_render_text_marks(FILE *out, const struct bl_view *view)
{
    const struct bl_series_set *series = view->series;
    char bytes[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    if (!series || series->mark_count == 0)
        return;
    size_t first = series->mark_count > MARKS_SHOWN ? series->mark_count - MARKS_SHOWN : 0;
    fprintf(out, "\nmarks:");
    if (first > 0)
        fprintf(out, " %zu earlier ·", first);
    for (size_t i = first; i < series->mark_count; i++) {
        const struct bl_mark *mark = series->marks[i];
        char name[BL_SERIES_MARK_TEXT];
        uint64_t now_ns = view->model->now_ns;
        bl_series_mark_text(series, i, name, sizeof(name));
        fprintf(out, "%s %s, ", i > first ? " ·" : "", name);
        if (mark->kind == BL_MARK_GREW)
            fprintf(out, "grown by %s, ",
                    bl_text_bytes(bytes, mark->grown_bytes > 0 ? (uint64_t)mark->grown_bytes : 0));
        fprintf(out, "%s before",
                bl_text_age(age, now_ns > mark->time_ns ? now_ns - mark->time_ns : 0));
    }
    fputc('\n', out);
}

/* ---- JSON ---- */

static json_t *number_or_null(double value, bool is_known)
{
    return is_known && isfinite(value) ? json_real(value) : json_null();
}

static json_t *whole_or_null(double value, bool is_known)
{
    return is_known && value >= 0 && value < 9e18 ? json_integer((json_int_t)(value + 0.5))
                                                  : json_null();
}

json_t *bl_render_json_growth(const struct bl_growth *growth)
{
    static const struct bl_growth none = {.to_limit_s = -1};
    bool is_followed = growth && growth->line;
    const struct bl_growth *g = is_followed ? growth : &none;
    bool is_known = is_followed && g->found.trend != BL_TREND_UNKNOWN;
    bool is_up = is_growing(g);
    json_t *object =
        json_pack("{s:s, s:o, s:o, s:o, s:o}", "trend", bl_trend_name(g->found.trend),
                  "bytes_per_s", number_or_null(g->found.per_s, is_known), "step_bytes",
                  whole_or_null((double)g->step_bytes, is_up && g->step_bytes > 0), "floor_bytes",
                  whole_or_null(g->found.floor_bytes, is_known), "to_limit_s",
                  number_or_null(g->to_limit_s, g->to_limit_s >= 0));
    if (!object)
        return NULL;
    const char *limit = bl_growth_limit_name(g->limit);
    json_object_set_new(object, "limit", limit ? json_string(limit) : json_null());
    json_object_set_new(object, "bytes_per_s_low", number_or_null(g->found.low_per_s, is_known));
    json_object_set_new(object, "bytes_per_s_high", number_or_null(g->found.high_per_s, is_known));
    json_object_set_new(object, "count_per_s", number_or_null(g->found.count_per_s, is_known));
    json_object_set_new(object, "step_exact",
                        is_up && g->step_bytes > 0 ? json_boolean(g->is_step_exact) : json_null());
    json_object_set_new(object, "bytes_per_request",
                        number_or_null(g->bytes_per_request, is_up && g->has_per_request));
    json_object_set_new(object, "count_per_request",
                        number_or_null(g->count_per_request, is_up && g->has_per_request));
    json_object_set_new(object, "stayed_bytes", whole_or_null(g->found.stayed_bytes, is_up));
    json_object_set_new(object, "rises", whole_or_null((double)g->found.rises, is_up));
    json_object_set_new(object, "span_ns",
                        whole_or_null((double)(g->found.to_ns - g->found.from_ns), is_known));
    return object;
}

/* Of a sampled class, what the recorded ones stand for, as everywhere else. */
static json_int_t weighed(uint64_t value, double weight)
{
    return (json_int_t)(weight == 1 ? value & INT64_MAX : (uint64_t)((double)value * weight + 0.5));
}

static json_t *make_point(const struct bl_view *view, const struct bl_line *line,
                          const struct bl_point *point)
{
    uint64_t start_ns = view->header->start_ns;
    json_int_t t_ns = point->t_ns > start_ns ? (json_int_t)(point->t_ns - start_ns) : 0;
    if (line->kind == BL_SERIES_CLASS) {
        const struct bl_growth *growth = &view->growth->classes[line->class_number];
        bool has_weights = growth->line == line;
        double bytes = has_weights ? growth->byte_weight : 1;
        double count = has_weights ? growth->count_weight : 1;
        return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "t_ns", t_ns, "class",
                         bl_model_class_name(view->model, line->class_number), "live_bytes",
                         weighed(point->bytes, bytes), "live_count", weighed(point->count, count),
                         "min_bytes", weighed(point->min_bytes, bytes), "max_bytes",
                         weighed(point->max_bytes, bytes), "allocs", weighed(point->total, count));
    }
    return json_pack("{s:I, s:I, s:I, s:I}", "t_ns", t_ns, "bytes", (json_int_t)point->bytes,
                     "min_bytes", (json_int_t)point->min_bytes, "max_bytes",
                     (json_int_t)point->max_bytes);
}

static bool put_line(FILE *out, const struct bl_view *view, const struct bl_line *line,
                     const char **before)
{
    struct bl_point *points = calloc(POINTS_MAX, sizeof(*points));
    size_t count = points ? bl_line_thin(line, 0, points, POINTS_MAX) : 0;
    bool done = points != NULL;
    for (size_t i = 0; done && i < count; i++) {
        done = bl_render_json_put(out, *before, make_point(view, line, &points[i]));
        *before = ",\n  ";
    }
    free(points);
    return done;
}

/* NULL: it was given up for another place. */
static const struct bl_growth *growth_of(const struct bl_view *view, const struct bl_line *line)
{
    const struct bl_growth_set *growth = view->growth;
    for (size_t i = 0; growth && i < growth->site_count; i++)
        if (growth->sites[i].line == line)
            return &growth->sites[i];
    return NULL;
}

static uint64_t since_start(const struct bl_view *view, uint64_t t_ns)
{
    return t_ns > view->header->start_ns ? t_ns - view->header->start_ns : 0;
}

/* `births` counts those that a sample saw alive. */
static json_t *make_site_points(const struct bl_view *view, const struct bl_line *line,
                                const struct bl_growth *growth)
{
    struct bl_point points[SITE_POINTS_MAX];
    size_t count = bl_line_thin(line, 0, points, SITE_POINTS_MAX);
    double bytes = growth ? growth->byte_weight : 1;
    double buffers = growth ? growth->count_weight : 1;
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "t_ns",
                                               (json_int_t)since_start(view, points[i].t_ns),
                                               "live_bytes", weighed(points[i].bytes, bytes),
                                               "live_count", weighed(points[i].count, buffers),
                                               "min_bytes", weighed(points[i].min_bytes, bytes),
                                               "max_bytes", weighed(points[i].max_bytes, bytes),
                                               "births", weighed(points[i].total, buffers)));
    return array;
}

static json_t *make_site(const struct bl_view *view, const struct bl_line *line)
{
    const struct bl_growth *growth = growth_of(view, line);
    double weight = growth ? growth->byte_weight : 1;
    json_t *until = line->until_ns > 0 ? json_integer((json_int_t)since_start(view, line->until_ns))
                                       : json_null();
    return json_pack("{s:s, s:o, s:I, s:o, s:I, s:I, s:o, s:o}", "class",
                     bl_model_class_name(view->model, line->class_number), "frames",
                     bl_render_json_frames(view, line->site), "since_ns",
                     (json_int_t)since_start(view, line->since_ns), "until_ns", until, "peak_bytes",
                     weighed(line->peak_bytes, weight), "peak_ns",
                     (json_int_t)since_start(view, line->peak_ns), "growth",
                     bl_render_json_growth(growth), "points", make_site_points(view, line, growth));
}

static bool put_sites(FILE *out, const struct bl_view *view)
{
    const char *before = "\n  ";
    bool done = true;
    fputs(",\n\"site_series\": [", out);
    for (size_t i = 0; done && !view->summary_only && view->series && i < view->series->line_count;
         i++) {
        if (view->series->lines[i].kind != BL_SERIES_SITE)
            continue;
        done = bl_render_json_put(out, before, make_site(view, &view->series->lines[i]));
        before = ",\n  ";
    }
    fputc(']', out);
    return done;
}

bool bl_render_json_series(FILE *out, const struct bl_view *view)
{
    const char *before = "\n  ";
    bool done = true;
    fputs(",\n\"series\": [", out);
    for (size_t i = 0; done && view->series && i < view->series->line_count; i++)
        if (view->series->lines[i].kind == BL_SERIES_CLASS)
            done = put_line(out, view, &view->series->lines[i], &before);
    fputc(']', out);
    return done && put_sites(out, view);
}

static json_t *size_or_null(uint64_t bytes)
{
    return bytes > 0 && bytes <= INT64_MAX ? json_integer((json_int_t)bytes) : json_null();
}

static json_t *make_direct(const struct bl_direct_row *row)
{
    bool has_pace = row->growth && row->added_bytes > 0;
    json_t *object = json_pack(
        "{s:s, s:b, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "name", row->name, "counts",
        row->kind != BL_DIRECT_NETTY_IDLE, "bytes", (json_int_t)(row->bytes & INT64_MAX),
        "limit_bytes", size_or_null(row->limit_bytes), "growth", bl_render_json_growth(row->growth),
        "added_bytes", has_pace ? json_integer((json_int_t)row->added_bytes) : json_null(),
        "step_bytes", size_or_null(row->step_bytes), "bytes_per_request",
        number_or_null(row->bytes_per_request, row->bytes_per_request >= 0), "to_limit_s",
        number_or_null(row->to_limit_s, row->to_limit_s >= 0));
    if (object)
        json_object_set_new(object, "rises", json_integer((json_int_t)row->rises));
    return object;
}

static bool put_direct_lines(FILE *out, const struct bl_view *view)
{
    bool done = true;
    const char *between = "";
    fputs(",\n  \"direct_series\": [", out);
    for (uint32_t i = 0; done && view->series && i < BL_DIRECT_MAX; i++) {
        const struct bl_line *line = bl_series_find_direct(view->series, i);
        const char *before = "\n    ";
        if (!line)
            continue;
        fprintf(out, "%s\n   [", between);
        done = put_line(out, view, line, &before);
        fputc(']', out);
        between = ",";
    }
    fputc(']', out);
    return done;
}

static bool put_direct(FILE *out, const struct bl_view *view)
{
    struct bl_direct_row rows[BL_DIRECT_MAX];
    size_t count = bl_direct_rows(view->reader, view->growth, rows);
    bool done = true;
    if (count == 0)
        return true;
    fputs(",\n  \"direct\": [", out);
    for (size_t i = 0; done && i < count; i++)
        done = bl_render_json_put(out, i ? ",\n    " : "\n    ", make_direct(&rows[i]));
    fputc(']', out);
    return done && put_direct_lines(out, view);
}

static bool put_process_line(FILE *out, const struct bl_view *view, const char *name,
                             enum bl_series_kind kind)
{
    const struct bl_line *line = view->series ? bl_series_find(view->series, kind, 0) : NULL;
    const char *before = "\n    ";
    bool done = true;
    fprintf(out, ",\n  \"%s\": [", name);
    if (line)
        done = put_line(out, view, line, &before);
    fputc(']', out);
    return done;
}

static json_t *make_requests(const struct bl_reader *reader, const struct bl_boundary *boundary)
{
    char function[BL_TEXT_NUMBER * 4];
    char module[BL_TEXT_NUMBER * 4];
    bl_reader_name_text(reader, boundary->function_name, function, sizeof(function));
    bl_reader_name_text(reader, boundary->module_name, module, sizeof(module));
    return json_pack("{s:s, s:s, s:I, s:b}", "function", function, "module", module, "completed",
                     (json_int_t)(boundary->completed & INT64_MAX), "asked",
                     (boundary->flags & BL_BOUNDARY_ASKED) != 0);
}

/* What completes requests, as of the moment of reading. */
static bool put_requests(FILE *out, const struct bl_view *view)
{
    uint32_t count = bl_reader_count(view->reader, BL_SECTION_BOUNDARIES);
    const char *before = "\n    ";
    bool done = true;
    fputs(",\n  \"requests\": [", out);
    for (uint32_t i = 0; done && i < count; i++) {
        const struct bl_boundary *boundary = bl_reader_boundary(view->reader, i);
        if (!boundary)
            continue;
        done = bl_render_json_put(out, before, make_requests(view->reader, boundary));
        before = ",\n    ";
    }
    fputc(']', out);
    return done;
}

static json_t *make_limits(const struct bl_view *view)
{
    const struct bl_header *header = view->header;
    json_t *limits =
        json_pack("{s:o, s:s, s:o, s:I, s:o, s:o, s:o, s:o}", "limit_bytes",
                  size_or_null(header->limit_bytes), "limit_action",
                  header->limit_action == BL_LIMIT_FAIL ? "fail" : "report", "limit_reached_ns",
                  size_or_null(header->limit_reached_ns > header->start_ns
                                   ? header->limit_reached_ns - header->start_ns
                                   : 0),
                  "limit_refused", (json_int_t)(header->limit_refused & INT64_MAX),
                  "cgroup_limit_bytes", size_or_null(header->cgroup_limit_bytes), "cgroup_bytes",
                  size_or_null(header->cgroup_bytes), "address_space_limit_bytes",
                  size_or_null(header->address_space_limit_bytes), "direct_limit_bytes",
                  size_or_null(header->direct_limit_bytes));
    if (!limits)
        return NULL;
    json_object_set_new(limits, "limit_refused_bytes",
                        json_integer((json_int_t)(header->limit_refused_bytes & INT64_MAX)));
    json_object_set_new(limits, "limit_first_bytes", size_or_null(header->limit_first_bytes));
    json_object_set_new(
        limits, "limit_stack",
        header->limit_stack
            ? json_pack("{s:o}", "frames", bl_render_json_frames(view, header->limit_stack))
            : json_null());
    json_object_set_new(limits, "address_space_bytes", size_or_null(header->address_space_bytes));
    return limits;
}

/* The table of stacks, which is kept bounded. */
static json_t *make_stacks(const struct bl_view *view)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "frames_in_table",
                     json_integer((json_int_t)bl_reader_count(view->reader, BL_SECTION_FRAMES)),
                     "sweeps", json_integer((json_int_t)view->header->frame_sweeps),
                     "frames_reclaimed",
                     json_integer((json_int_t)(view->header->frames_reclaimed & INT64_MAX)),
                     "java_stacks_forgotten",
                     json_integer((json_int_t)(view->header->java_stacks_forgotten & INT64_MAX)));
}

static json_t *make_mark(const struct bl_view *view, const struct bl_mark *mark)
{
    static const char *const kinds[] = {"", "mark", "checkpoint", "grew"};
    uint64_t start_ns = view->header->start_ns;
    char name[BL_MARK_NAME * 4];
    bl_text_printable(name, sizeof(name), mark->name, strlen(mark->name));
    return json_pack("{s:s, s:I, s:s, s:I, s:I}", "name", name, "number",
                     (json_int_t)(mark->serial & INT64_MAX), "kind", kinds[mark->kind], "t_ns",
                     (json_int_t)(mark->time_ns > start_ns ? mark->time_ns - start_ns : 0),
                     "grown_bytes", (json_int_t)mark->grown_bytes);
}

bool bl_render_json_memory(FILE *out, const struct bl_view *view)
{
    bool done = bl_render_json_put(out, ",\n\"memory\": {\"limits\": ", make_limits(view)) &&
                put_process_line(out, view, "rss", BL_SERIES_RSS) &&
                put_process_line(out, view, "cgroup", BL_SERIES_CGROUP) &&
                put_requests(out, view) && put_direct(out, view) &&
                bl_render_json_put(out, ",\n  \"stacks\": ", make_stacks(view));
    fputs("},\n\"marks\": [", out);
    for (size_t i = 0; done && view->series && i < view->series->mark_count; i++)
        done =
            bl_render_json_put(out, i ? ",\n  " : "\n  ", make_mark(view, view->series->marks[i]));
    fputc(']', out);
    return done;
}
