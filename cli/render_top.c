#include "render_top.h"

#include "render_spark.h"
#include "text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDE   110 /* columns from which verdict, trend and class have columns of their own */
#define NARROW 72  /* and below which there is no room for sparks */

struct page {
    struct bl_canvas *canvas;
    const struct bl_top_frame *frame;
    struct bl_top_ui *ui;
    size_t width; /* of the screen; 0: no limit */
    size_t row;   /* the next one */
};

const char *bl_top_sort_name(enum bl_top_sort sort)
{
    static const char *const names[BL_TOP_SORTS] = {"bytes", "count", "rate", "verdict", "name"};
    return names[sort < BL_TOP_SORTS ? sort : BL_TOP_BY_BYTES];
}

/* ---- words ---- */

static const char *verdict_name(uint32_t rank, bool is_short)
{
    static const char *const names[] = {
        "missing release", "never released", "over-release", "stale", "growing", "-", "steady"};
    static const char *const short_names[] = {"missing", "never", "over-rel.", "stale",
                                              "growing", "-",     "steady"};
    uint32_t index = rank <= BL_MODEL_RANK_STEADY ? rank : BL_MODEL_RANK_PLAIN;
    return is_short ? short_names[index] : names[index];
}

static bool is_accused(const struct bl_top_row *row)
{
    return row->rank < BL_MODEL_RANK_PLAIN;
}

/* By the history of its buffers; growth has a column of its own. */
static bool has_verdict(const struct bl_top_row *row)
{
    return row->rank < BL_MODEL_RANK_GROWING;
}

static bool is_growing(const struct bl_top_row *row)
{
    return *row->time.growth != '\0';
}

/* "104.6K" */
static const char *short_bytes(char *out, double value)
{
    static const char units[] = "BKMGTPE";
    size_t unit = 0;
    for (; value >= 999.95 && unit + 2 < sizeof(units); unit++)
        value /= 1024;
    snprintf(out, BL_TEXT_NUMBER, unit > 0 ? "%.1f%c" : "%.0f%c", value, units[unit]);
    return out;
}

/* A rate that rounds to nothing is nothing. */
static const char *rate_text(char *out, const struct bl_top_row *row, bool is_short)
{
    char number[BL_TEXT_NUMBER];
    double value = fabs(row->time.bytes_per_s);
    if (!row->time.has_rate)
        snprintf(out, BL_TEXT_NUMBER + 8, "-");
    else if (value < 0.5)
        snprintf(out, BL_TEXT_NUMBER + 8, is_short ? "0/s" : "0 B/s");
    else if (is_short)
        snprintf(out, BL_TEXT_NUMBER + 8, "%s%s/s", row->time.bytes_per_s < 0 ? "-" : "+",
                 short_bytes(number, value));
    else
        snprintf(out, BL_TEXT_NUMBER + 8, "%s%s/s", row->time.bytes_per_s < 0 ? "-" : "+",
                 bl_text_bytes(number, (uint64_t)(value + 0.5)));
    return out;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* ---- rows in order ---- */

static bool has_text(const char *text, const char *wanted)
{
    return strcasestr(text, wanted) != NULL;
}

static bool matches(const struct bl_top_row *row, const char *filter)
{
    return *filter == '\0' || has_text(row->class_name, filter) || has_text(row->what, filter) ||
           has_text(row->where, filter) || has_text(verdict_name(row->rank, false), filter) ||
           has_text(row->time.trend, filter);
}

static int order(double a, double b)
{
    return a > b ? -1 : a < b;
}

static int compare_rows(const void *left, const void *right, void *context)
{
    const struct bl_top_row *a = *(const struct bl_top_row *const *)left;
    const struct bl_top_row *b = *(const struct bl_top_row *const *)right;
    const enum bl_top_sort *sort = context;
    int by = 0;
    switch (*sort) {
    case BL_TOP_BY_COUNT:
        by = order((double)a->count, (double)b->count);
        break;
    case BL_TOP_BY_RATE:
        by = order(a->time.has_rate ? a->time.bytes_per_s : 0,
                   b->time.has_rate ? b->time.bytes_per_s : 0);
        break;
    case BL_TOP_BY_VERDICT:
        by = order(b->rank, a->rank);
        break;
    case BL_TOP_BY_NAME:
        by = strcmp(a->what, b->what);
        break;
    case BL_TOP_BY_BYTES:
    case BL_TOP_SORTS:
        break;
    }
    by = by ? by : order((double)a->bytes, (double)b->bytes);
    by = by ? by : order((double)a->count, (double)b->count);
    return by ? by : strcmp(a->what, b->what);
}

const struct bl_top_row **bl_top_list(const struct bl_top_frame *frame, const struct bl_top_ui *ui,
                                      size_t *ret_class_count, size_t *ret_count)
{
    enum bl_top_sort sort = ui->sort;
    size_t total = frame->class_count + frame->site_count;
    const struct bl_top_row **rows = calloc(total + 1, sizeof(const struct bl_top_row *));
    size_t count = 0;
    if (!rows)
        return NULL;
    for (size_t i = 0; i < frame->class_count; i++)
        rows[count++] = &frame->classes[i];
    *ret_class_count = count;
    for (size_t i = 0; i < frame->site_count; i++)
        if (matches(&frame->sites[i], ui->filter))
            rows[count++] = &frame->sites[i];
    enum bl_top_sort by_bytes = BL_TOP_BY_BYTES;
    if (*ret_class_count > 1)
        qsort_r(rows, *ret_class_count, sizeof(const struct bl_top_row *), compare_rows, &by_bytes);
    if (count - *ret_class_count > 1)
        qsort_r(rows + *ret_class_count, count - *ret_class_count,
                sizeof(const struct bl_top_row *), compare_rows, &sort);
    *ret_count = count;
    return rows;
}

/* ---- the head ---- */

static void put(struct page *page, size_t column, enum bl_style style, const char *text)
{
    bl_canvas_put(page->canvas, page->row, column, style, text);
}

static void write_title(struct page *page)
{
    const struct bl_top_frame *frame = page->frame;
    char age[BL_TEXT_NUMBER];
    char text[512];
    snprintf(text, sizeof(text), "%s[%d]", frame->comm, (int)frame->pid);
    size_t column = bl_canvas_put(page->canvas, page->row, 0, BL_STYLE_PLAIN,
                                  page->ui->is_ascii ? "bufleak - " : "bufleak · ");
    column = bl_canvas_put(page->canvas, page->row, column, BL_STYLE_BOLD, text);
    snprintf(text, sizeof(text), " %s %s %s %s %s", page->ui->is_ascii ? "-" : "·",
             frame->state == BL_PROCESS_RUNNING ? "up" : "ran", bl_text_age(age, frame->uptime_ns),
             page->ui->is_ascii ? "-" : "·", frame->moment);
    column = bl_canvas_put(page->canvas, page->row, column, BL_STYLE_PLAIN, text);
    if (page->ui->is_paused && page->width > column + 10)
        bl_canvas_put_right(page->canvas, page->row, page->width, BL_STYLE_BAD, "paused");
    page->row++;
}

static size_t put_fact(struct page *page, size_t column, enum bl_style style, const char *text)
{
    if (column > 0)
        column = bl_canvas_put(page->canvas, page->row, column, BL_STYLE_DIM,
                               page->ui->is_ascii ? " - " : " · ");
    return bl_canvas_put(page->canvas, page->row, column, style, text);
}

/* Of the class that grows most for each request. */
static size_t put_per_request(struct page *page, size_t column)
{
    const struct bl_top_frame *frame = page->frame;
    const struct bl_top_row *most = NULL;
    char number[BL_TEXT_NUMBER];
    char text[512];
    for (size_t i = 0; i < frame->class_count; i++) {
        const struct bl_top_row *row = &frame->classes[i];
        if (row->time.bytes_per_request > (most ? most->time.bytes_per_request : 0.5))
            most = row;
    }
    if (!most)
        return column;
    snprintf(text, sizeof(text), "%s +%s B a request", most->class_name,
             bl_text_count(number, (uint64_t)(most->time.bytes_per_request + 0.5)));
    return put_fact(page, column, BL_STYLE_BAD, text);
}

/* What the system says of the process, and what its numbers lack. */
static void write_facts(struct page *page)
{
    const struct bl_top_frame *frame = page->frame;
    char a[BL_TEXT_NUMBER];
    char b[BL_TEXT_NUMBER];
    char text[512];
    size_t column = 0;
    if (frame->rss_bytes > 0) {
        snprintf(text, sizeof(text), "resident %s", bl_text_bytes(a, frame->rss_bytes));
        column = put_fact(page, column, BL_STYLE_DIM, text);
    }
    if (frame->cgroup_limit_bytes > 0) {
        snprintf(text, sizeof(text), "cgroup %s of %s", bl_text_bytes(a, frame->cgroup_bytes),
                 bl_text_bytes(b, frame->cgroup_limit_bytes));
        column = put_fact(page, column, BL_STYLE_DIM, text);
    }
    if (frame->limit_bytes > 0) {
        snprintf(text, sizeof(text), "limit %s", bl_text_bytes(a, frame->limit_bytes));
        column = put_fact(page, column, BL_STYLE_DIM, text);
    }
    for (size_t i = 0; i < frame->direct_count; i++) {
        char use[128];
        if (frame->direct[i].kind == BL_DIRECT_NETTY_IDLE)
            continue;
        bl_direct_use_text(&frame->direct[i], use, sizeof(use));
        snprintf(text, sizeof(text), "%s %s", frame->direct[i].name, use);
        column = put_fact(page, column, BL_STYLE_DIM, text);
    }
    column = put_per_request(page, column);
    if (frame->to_limit_s >= 0) {
        if (frame->to_limit_s <= 0)
            snprintf(text, sizeof(text), "at its limit");
        else
            snprintf(text, sizeof(text), "at its limit in %s",
                     bl_text_age(a, frame->to_limit_s < 1e9 ? (uint64_t)(frame->to_limit_s * 1e9)
                                                            : 1000000000000000000u));
        column = put_fact(page, column, BL_STYLE_BAD, text);
    }
    if (frame->mark_count > 0) {
        snprintf(text, sizeof(text), "mark \"%s\" %s ago", frame->marks[0].name,
                 bl_text_age(a, frame->marks[0].ago_ns));
        column = put_fact(page, column, BL_STYLE_DIM, text);
    }
    if (frame->is_incomplete)
        put_fact(page, column, BL_STYLE_BAD, "incomplete: see report");
    page->row++; /* kept free when there is nothing to say: the rows below stay where they are */
}

/* ---- tables ---- */

static void put_count(struct page *page, size_t end, const struct bl_top_row *row)
{
    char digits[BL_TEXT_NUMBER];
    char text[BL_TEXT_NUMBER + 1];
    snprintf(text, sizeof(text), "%s%s", row->is_sampled ? "~" : "",
             bl_text_count(digits, row->count));
    bl_canvas_put_right(page->canvas, page->row, end, BL_STYLE_PLAIN, text);
}

static void put_right(struct page *page, size_t end, const char *text)
{
    bl_canvas_put_right(page->canvas, page->row, end, BL_STYLE_PLAIN, text);
}

static void put_spark(struct page *page, size_t column, size_t width, const struct bl_top_row *row)
{
    char text[4 * BL_TOP_SPARKS + 1];
    bl_render_spark(text, sizeof(text), row->time.sparks, row->time.spark_count, width,
                    page->ui->is_ascii);
    put(page, column, BL_STYLE_PLAIN, text);
}

static bool is_picked(const struct page *page, const struct bl_top_row *row)
{
    return page->ui->has_picked && bl_top_key_equals(&page->ui->picked, &row->key);
}

static enum bl_style trend_style(const struct bl_top_row *row)
{
    return is_growing(row)                           ? BL_STYLE_BAD
           : strcmp(row->time.trend, "unknown") == 0 ? BL_STYLE_DIM
                                                     : BL_STYLE_PLAIN;
}

static size_t name_width_of(const struct page *page)
{
    size_t width = 12;
    for (size_t i = 0; i < page->frame->class_count; i++) {
        size_t one = bl_text_width(page->frame->classes[i].class_name);
        width = one > width ? one : width;
    }
    return width < 24 ? width : 24;
}

static size_t spark_width(const struct page *page, size_t column)
{
    if (page->width == 0)
        return 32;
    return page->width < column + 4 ? 0 : page->width - column < 64 ? page->width - column : 64;
}

/* name, live, bytes, rate, trend, sparks */
static void write_class(struct page *page, const struct bl_top_row *row, size_t name_width)
{
    char name[4 * BL_TOP_NAME];
    char text[BL_TEXT_NUMBER + 8];
    size_t end = name_width;
    bl_text_fit(name, sizeof(name), row->class_name, name_width, false);
    put(page, 0, is_accused(row) ? BL_STYLE_BAD : BL_STYLE_PLAIN, name);
    put_count(page, end += 11, row);
    put_right(page, end += 12, bl_text_bytes(text, row->bytes));
    put_right(page, end += 14, rate_text(text, row, false));
    put(page, end += 2, trend_style(row), row->time.trend);
    put_spark(page, end + 11, spark_width(page, end + 11), row);
    if (is_picked(page, row))
        bl_canvas_pick(page->canvas, page->row);
    page->row++;
}

static void write_classes(struct page *page, const struct bl_top_row *const *rows, size_t count,
                          size_t most)
{
    size_t name_width = name_width_of(page);
    size_t end = name_width;
    char text[BL_TEXT_NUMBER + 64];
    char number[BL_TEXT_NUMBER];
    put(page, 0, BL_STYLE_DIM, "CLASS");
    bl_canvas_put_right(page->canvas, page->row, end += 11, BL_STYLE_DIM, "LIVE");
    bl_canvas_put_right(page->canvas, page->row, end += 12, BL_STYLE_DIM, "BYTES");
    bl_canvas_put_right(page->canvas, page->row, end += 14, BL_STYLE_DIM, "RATE");
    put(page, end += 2, BL_STYLE_DIM, "TREND");
    if (page->frame->span_ns > 0)
        snprintf(text, sizeof(text), "LAST %s", bl_text_age(number, page->frame->span_ns));
    else
        snprintf(text, sizeof(text), "IN TIME");
    put(page, end + 11, BL_STYLE_DIM, text);
    page->row++;
    for (size_t i = 0; i < count && i < most; i++)
        write_class(page, rows[i], name_width);
    if (count > most) {
        snprintf(text, sizeof(text), "%zu more classes", count - most);
        put(page, 0, BL_STYLE_DIM, text);
        page->row++;
    }
}

struct columns {
    size_t count;
    size_t bytes;
    size_t rate; /* ends */
    size_t spark;
    size_t spark_width;
    size_t verdict;
    size_t trend; /* 0: in the verdict's */
    size_t class_name;
    size_t place;
    bool is_short;
};

static struct columns columns_of(const struct page *page)
{
    bool is_wide = page->width == 0 || page->width >= WIDE;
    bool is_narrow = page->width > 0 && page->width < NARROW;
    struct columns columns = {.count = is_wide ? 9 : 8,
                              .bytes = is_wide ? 21 : 20,
                              .rate = is_wide ? 36 : 30,
                              .spark_width = is_wide     ? 16
                                             : is_narrow ? 0
                                                         : 8,
                              .is_short = !is_wide};
    columns.spark = columns.rate + 1;
    columns.verdict = columns.spark + columns.spark_width + (is_narrow ? 0 : 1);
    if (is_wide) {
        columns.trend = columns.verdict + 16;
        columns.class_name = columns.trend + 11;
        columns.place = columns.class_name + 13;
    } else {
        columns.place = columns.verdict + 11;
    }
    return columns;
}

static void put_place(struct page *page, const struct columns *columns,
                      const struct bl_top_row *row)
{
    char text[1024];
    char fitted[1024];
    bool has_class = columns->is_short && strcmp(row->class_name, "heap") != 0;
    size_t room = page->width > columns->place ? page->width - columns->place : 0;
    snprintf(text, sizeof(text), "%s%s%s%s%s", has_class ? row->class_name : "",
             has_class ? " " : "", row->what, *row->where ? " " : "",
             columns->is_short ? base_of(row->where) : row->where);
    bl_text_fit(fitted, sizeof(fitted), text, page->width > 0 ? room : 0, false);
    put(page, columns->place, BL_STYLE_PLAIN, fitted);
}

static void write_site(struct page *page, const struct columns *columns,
                       const struct bl_top_row *row)
{
    char text[BL_TEXT_NUMBER + 8];
    char name[4 * BL_TOP_NAME];
    put_count(page, columns->count, row);
    put_right(page, columns->bytes, bl_text_bytes(text, row->bytes));
    put_right(page, columns->rate, rate_text(text, row, columns->is_short));
    put_spark(page, columns->spark, columns->spark_width, row);
    if (has_verdict(row) || columns->trend > 0)
        put(page, columns->verdict, is_accused(row) ? BL_STYLE_BAD : BL_STYLE_DIM,
            verdict_name(row->rank, columns->is_short));
    else
        put(page, columns->verdict, trend_style(row), row->time.trend);
    if (columns->trend > 0) {
        put(page, columns->trend, trend_style(row), row->time.trend);
        bl_text_fit(name, sizeof(name), row->class_name, 12, false);
        put(page, columns->class_name, BL_STYLE_PLAIN, name);
    }
    put_place(page, columns, row);
    if (is_picked(page, row))
        bl_canvas_pick(page->canvas, page->row);
    page->row++;
}

static void write_site_head(struct page *page, const struct columns *columns, size_t count)
{
    const struct bl_top_ui *ui = page->ui;
    char text[256];
    size_t end = columns->place;
    bl_canvas_put_right(page->canvas, page->row, columns->count, BL_STYLE_DIM, "COUNT");
    bl_canvas_put_right(page->canvas, page->row, columns->bytes, BL_STYLE_DIM, "BYTES");
    bl_canvas_put_right(page->canvas, page->row, columns->rate, BL_STYLE_DIM, "RATE");
    put(page, columns->verdict, BL_STYLE_DIM, "VERDICT");
    if (columns->trend > 0) {
        put(page, columns->trend, BL_STYLE_DIM, "TREND");
        put(page, columns->class_name, BL_STYLE_DIM, "CLASS");
    }
    snprintf(text, sizeof(text), "%zu PLACE%s by %s%s%s", count, count == 1 ? "" : "S",
             bl_top_sort_name(ui->sort), *ui->filter ? " with " : "", ui->filter);
    put(page, end, BL_STYLE_DIM, text);
    page->row++;
}

/* ---- the list ---- */

static size_t class_rows(const struct bl_top_frame *frame, size_t height)
{
    size_t most = height < 16 ? 2 : height / 4;
    if (height == 0 || frame->class_count <= most + 1)
        return frame->class_count;
    return most;
}

/* Rows above the first site: title, facts, blank, classes and their head, blank, head. */
static size_t head_rows(const struct bl_top_frame *frame, size_t height)
{
    size_t classes = class_rows(frame, height);
    return 6 + classes + (frame->class_count > classes);
}

size_t bl_top_site_rows(const struct bl_top_frame *frame, size_t height)
{
    size_t used = head_rows(frame, height) + 2; /* status and keys */
    return height > used ? height - used : 1;
}

/* Scrolls as little as it takes to have the picked row on the screen. */
static void scroll(struct page *page, const struct bl_top_row *const *sites, size_t count,
                   size_t room)
{
    size_t *first = &page->ui->first;
    for (size_t i = 0; i < count; i++) {
        if (!is_picked(page, sites[i]))
            continue;
        if (i < *first)
            *first = i;
        if (i >= *first + room)
            *first = i - room + 1;
    }
    if (*first + room > count)
        *first = count > room ? count - room : 0;
}

static void write_keys(struct page *page, const char *keys)
{
    size_t height = bl_canvas_height(page->canvas);
    if (page->ui->is_once || height < 3)
        return;
    page->row = height - 2; /* in a low window there is something already */
    bool has_message = page->ui->prompt || *page->ui->status;
    bl_canvas_cut(page->canvas, has_message ? page->row : page->row + 1);
    if (page->ui->prompt) {
        size_t column = bl_canvas_put(page->canvas, page->row, 0, BL_STYLE_BOLD, page->ui->prompt);
        column = bl_canvas_put(page->canvas, page->row, column, BL_STYLE_PLAIN, page->ui->input);
        put(page, column, BL_STYLE_PLAIN, "_");
    } else {
        put(page, 0, BL_STYLE_PLAIN, page->ui->status);
    }
    page->row++;
    put(page, 0, BL_STYLE_DIM, keys);
}

static void write_list(struct page *page)
{
    const struct bl_top_frame *frame = page->frame;
    struct bl_top_ui *ui = page->ui;
    struct columns columns = columns_of(page);
    size_t height = bl_canvas_height(page->canvas);
    size_t class_count;
    size_t count;
    const struct bl_top_row **rows = bl_top_list(frame, ui, &class_count, &count);
    if (!rows)
        return;
    size_t sites = count - class_count;
    size_t room = ui->is_once ? (ui->top > 0 ? ui->top : sites) : bl_top_site_rows(frame, height);
    write_title(page);
    write_facts(page);
    page->row++;
    write_classes(page, rows, class_count, class_rows(frame, height));
    page->row++;
    write_site_head(page, &columns, sites);
    scroll(page, rows + class_count, sites, room);
    for (size_t i = ui->first; i < sites && i < ui->first + room; i++)
        write_site(page, &columns, rows[class_count + i]);
    if (sites == 0)
        put(page, 2, BL_STYLE_DIM,
            *ui->filter            ? "nothing like that (/ changes the filter)"
            : frame->is_incomplete ? "nothing is known to be unreleased"
                                   : "nothing is unreleased");
    free(rows);
    write_keys(page,
               "q quit  enter open  s sort  / filter  p pause  w time  d dump  m mark  h help");
}

/* ---- one row ---- */

/* Breaks text at blanks; returns the rows it took. */
static size_t put_wrapped(struct page *page, size_t column, enum bl_style style, const char *text)
{
    size_t rows = 0;
    size_t room = page->width > column + 10 ? page->width - column : 200;
    char line[512] = "";
    while (*text) {
        size_t length = strcspn(text, " ");
        size_t used = strlen(line);
        if (used > 0 && bl_text_width(line) + 1 + length > room) {
            put(page, column, style, line);
            page->row++;
            rows++;
            used = 0;
        }
        snprintf(line + used, sizeof(line) - used, "%s%.*s", used ? " " : "", (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
    if (*line) {
        put(page, column, style, line);
        page->row++;
        rows++;
    }
    return rows;
}

static void write_detail_head(struct page *page, const struct bl_top_detail *detail)
{
    const struct bl_top_row *row = &detail->row;
    const char *dot = page->ui->is_ascii ? " - " : " · ";
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    char rate[BL_TEXT_NUMBER + 8];
    char text[512];
    if (is_accused(row)) {
        snprintf(text, sizeof(text), "%s%s", verdict_name(row->rank, false), dot);
        put(page, 0, BL_STYLE_BAD, text);
    }
    size_t column = is_accused(row) ? bl_text_width(text) : 0;
    snprintf(text, sizeof(text), "%s%s%s%s buffer%s, %s%s%s%s%s", row->class_name, dot,
             row->is_sampled ? "~" : "", bl_text_count(count, row->count),
             row->count == 1 ? "" : "s", bl_text_bytes(bytes, row->bytes), dot,
             rate_text(rate, row, false), dot,
             *row->time.growth ? row->time.growth : row->time.trend);
    put(page, column, BL_STYLE_BOLD, text);
    page->row++;
    put_wrapped(page, 2, BL_STYLE_PLAIN, detail->text);
    put_wrapped(page, 2, BL_STYLE_DIM, detail->note);
}

static void write_stack(struct page *page, const struct bl_top_detail *detail, size_t room)
{
    size_t *first = &page->ui->detail_first;
    size_t what_width = 12;
    char text[128];
    if (*first + room > detail->stack_count)
        *first = detail->stack_count > room ? detail->stack_count - room : 0;
    for (size_t i = 0; i < detail->stack_count; i++) {
        size_t width = bl_text_width(detail->stack[i].what);
        what_width = width > what_width ? width : what_width;
    }
    if (page->width > 0 && what_width > page->width / 2)
        what_width = page->width / 2;
    for (size_t i = *first; i < detail->stack_count && i < *first + room; i++) {
        char what[1024];
        bl_text_fit(what, sizeof(what), detail->stack[i].what, what_width, false);
        put(page, 2, BL_STYLE_PLAIN, what);
        put(page, what_width + 4, BL_STYLE_DIM, detail->stack[i].where);
        page->row++;
    }
    if (detail->stack_count > *first + room) {
        snprintf(text, sizeof(text), "%s %zu more caller%s (down scrolls)",
                 page->ui->is_ascii ? "..." : "…", detail->stack_count - *first - room,
                 detail->stack_count - *first - room == 1 ? "" : "s");
        put(page, 2, BL_STYLE_DIM, text);
        page->row++;
    }
}

/* "assembled at  Flux.map, app.Orders.route(Orders.java:25)  22 of 31 asked" */
static void write_assembled(struct page *page, const struct bl_top_detail *detail)
{
    for (size_t i = 0; i < detail->assembled_count; i++) {
        const struct bl_top_assembled *assembled = &detail->assembled[i];
        char number[BL_TEXT_NUMBER];
        char sum[BL_TEXT_NUMBER];
        char asked[2 * BL_TEXT_NUMBER + 16];
        char fitted[sizeof(assembled->text)];
        snprintf(asked, sizeof(asked), "  %s of %s asked",
                 bl_text_count(number, assembled->said.count), bl_text_count(sum, detail->asked));
        size_t column = 2 + strlen("assembled behind") + 2;
        size_t used = column + strlen(asked);
        bl_text_fit(fitted, sizeof(fitted), assembled->text,
                    page->width > used + 12 ? page->width - used : 0, false);
        put(page, 2, BL_STYLE_DIM, bl_assembled_label(&assembled->said));
        put(page, column, BL_STYLE_PLAIN, fitted);
        put(page, column + bl_text_width(fitted), BL_STYLE_DIM, asked);
        page->row++;
    }
    if (detail->assembled_others > 0) {
        char text[64];
        snprintf(text, sizeof(text), "and %zu more", detail->assembled_others);
        put(page, 2, BL_STYLE_DIM, text);
        page->row++;
    }
}

/* Rows that it takes. */
static size_t assembled_rows(const struct bl_top_detail *detail)
{
    return detail->assembled_count + (detail->assembled_others > 0);
}

static void write_chart(struct page *page, const struct bl_top_detail *detail, size_t height)
{
    const struct bl_top_frame *frame = page->frame;
    struct bl_spark_chart chart = {
        .points = detail->points,
        .count = detail->point_count,
        .from_ns = frame->now_ns > frame->span_ns ? frame->now_ns - frame->span_ns : 0,
        .to_ns = frame->now_ns,
        .width = page->width > 16 && page->width < 200 ? page->width - 13 : 67,
        .height = height,
        .is_ascii = page->ui->is_ascii,
    };
    char number[BL_TEXT_NUMBER];
    char text[4 * 256];
    bl_spark_scale(&chart);
    for (size_t i = 0; i < height; i++) {
        if (i == 0)
            put_right(page, 11, bl_text_bytes(number, chart.high));
        if (i + 1 == height)
            put_right(page, 11, bl_text_bytes(number, chart.low));
        bl_spark_chart_row(&chart, i, text, sizeof(text));
        put(page, 12, BL_STYLE_PLAIN, text);
        page->row++;
    }
    snprintf(text, sizeof(text), "%s ago", bl_text_age(number, frame->span_ns));
    put(page, 12, BL_STYLE_DIM, text);
    bl_canvas_put_right(page->canvas, page->row, 12 + chart.width, BL_STYLE_DIM,
                        frame->state == BL_PROCESS_RUNNING ? "now" : "end");
    page->row++;
}

static void write_history(struct page *page, const struct bl_top_detail *detail)
{
    size_t height = bl_canvas_height(page->canvas);
    char a[BL_TEXT_NUMBER];
    char b[BL_TEXT_NUMBER];
    char c[BL_TEXT_NUMBER];
    char text[256];
    page->row++;
    if (detail->point_count == 0) {
        put(page, 2, BL_STYLE_DIM, "not followed in time: too small or too slow beside others");
        return;
    }
    size_t left = height > page->row + 5 ? height - page->row - 5 : 0;
    write_chart(page, detail, left < 3 ? 3 : left > 10 ? 10 : left);
    snprintf(text, sizeof(text), "followed for %s, at most %s, that was %s ago",
             bl_text_age(a, detail->followed_ns), bl_text_bytes(b, detail->peak_bytes),
             bl_text_age(c, detail->peak_ago_ns));
    put(page, 2, BL_STYLE_DIM, text);
}

static void write_detail(struct page *page)
{
    const struct bl_top_detail *detail = page->frame->detail;
    size_t height = bl_canvas_height(page->canvas);
    write_title(page);
    page->row++;
    if (!detail) {
        put(page, 0, BL_STYLE_DIM, "looking it up");
    } else if (!detail->is_there) {
        put(page, 0, BL_STYLE_BOLD, "nothing is left of it");
    } else {
        bool is_place = detail->stack_count > 0;
        write_detail_head(page, detail);
        size_t taken = page->row + 14 + assembled_rows(detail);
        size_t room = height > taken ? height - taken : 4;
        if (is_place)
            write_stack(page, detail, room);
        write_assembled(page, detail);
        write_history(page, detail);
    }
    write_keys(page, "q quit  esc back  up/down scroll  w time  p pause  d dump  m mark");
}

/* ---- help ---- */

static void write_help(struct page *page)
{
    static const char *const lines[][2] = {
        {"up down", "pick a class or a place; page up, page down, home, end too"},
        {"enter", "open it: its stack, its verdict and its history"},
        {"esc", "back"},
        {"s", "sort by the next of bytes, count, rate, verdict, name"},
        {"b c r v n", "sort by bytes, count, rate, verdict, name"},
        {"/", "show only places with this in class, function, file or verdict"},
        {"p, space", "hold the picture; the program runs on"},
        {"w", "the time shown: 1 minute, 10 minutes, 1 hour, 1 day, all"},
        {"d", "have the program write a snapshot"},
        {"m", "set a mark, to compare with later: bufleak diff PID@NAME PID"},
        {"h, ?", "this"},
        {"q", "quit"},
    };
    write_title(page);
    page->row++;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        put(page, 2, BL_STYLE_BOLD, lines[i][0]);
        put(page, 14, BL_STYLE_PLAIN, lines[i][1]);
        page->row++;
    }
    page->row++;
    put_wrapped(page, 2, BL_STYLE_DIM,
                "Rates are of the latest minute. Red are verdicts and what grows; the verdict of a "
                "place takes its buffers out of the place they were allocated at.");
    write_keys(page, "q quit  esc back");
}

void bl_top_layout(struct bl_canvas *canvas, const struct bl_top_frame *frame, struct bl_top_ui *ui)
{
    struct page page = {
        .canvas = canvas, .frame = frame, .ui = ui, .width = bl_canvas_width(canvas)};
    if (ui->is_ascii)
        bl_canvas_keep_ascii(canvas);
    switch (ui->mode) {
    case BL_TOP_LIST:
        write_list(&page);
        break;
    case BL_TOP_DETAIL:
        write_detail(&page);
        break;
    case BL_TOP_HELP:
        write_help(&page);
        break;
    }
}
