#include "direct.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NETTY_PACKAGE "io.netty.util.internal.PlatformDependent"
#define RISES_MIN     2 /* before a pace is called one */

static void name_row(const struct bl_reader *reader, const struct bl_direct *direct,
                     struct bl_direct_row *row)
{
    char class[256] = "";
    bl_reader_name_text(reader, direct->name, class, sizeof(class));
    size_t length = strlen(class);
    size_t plain = strlen(NETTY_PACKAGE);
    bool is_shaded = length > plain + 1 && strcmp(class + length - plain, NETTY_PACKAGE) == 0;
    if (direct->kind == BL_DIRECT_JDK)
        snprintf(row->name, sizeof(row->name), "jdk pool");
    else if (is_shaded)
        snprintf(row->name, sizeof(row->name), "netty of %.*s", (int)(length - plain - 1), class);
    else if (strcmp(class, NETTY_PACKAGE) == 0)
        snprintf(row->name, sizeof(row->name), "netty");
    else
        snprintf(row->name, sizeof(row->name), "netty (%.100s)", class);
}

static void take_rises(struct bl_direct_row *row, const struct bl_line *line)
{
    const struct bl_point *first = &line->points[0];
    const struct bl_point *last = &line->points[line->count - 1];
    for (size_t i = 1; i < line->count; i++) {
        uint64_t before = line->points[i - 1].bytes;
        uint64_t now = line->points[i].bytes;
        if (now <= before)
            continue;
        row->rises++;
        if (row->step_bytes == 0 || now - before < row->step_bytes)
            row->step_bytes = now - before;
    }
    row->added_bytes = last->bytes > first->bytes ? last->bytes - first->bytes : 0;
    row->since_ns = last->t_ns - first->t_ns;
}

/* From rise to rise, as a counter that rises by chunks tells most then: from the first after so
 * many requests to the latest; false where there are no two. */
static bool take_requests_after(struct bl_direct_row *row, const struct bl_line *line,
                                const struct bl_line *requests, uint64_t after)
{
    uint64_t bytes[2] = {0, 0};
    uint64_t served[2] = {0, 0};
    for (size_t i = 1; i < line->count; i++) {
        const struct bl_point *then = bl_line_at(requests, line->points[i].t_ns);
        if (line->points[i].bytes <= line->points[i - 1].bytes || !then || then->total <= after)
            continue;
        size_t which = served[0] > 0;
        bytes[which] = line->points[i].bytes;
        served[which] = then->total;
    }
    if (served[1] < served[0] + BL_GROWTH_REQUESTS_MIN || bytes[1] <= bytes[0])
        return false;
    row->bytes_per_request = (double)(bytes[1] - bytes[0]) / (double)(served[1] - served[0]);
    return true;
}

/* By the later half of the requests, as what is in use comes up with the first; what was taken
 * before any was served is the start's. */
static void take_requests(struct bl_direct_row *row, const struct bl_line *line,
                          const struct bl_line *requests)
{
    const struct bl_point *begin = requests ? bl_line_at(requests, line->points[0].t_ns) : NULL;
    uint64_t before = begin ? begin->total : 0;
    if (row->growth->has_per_request) {
        row->bytes_per_request = row->growth->bytes_per_request;
    } else if (requests) {
        uint64_t half = (before + requests->points[requests->count - 1].total) / 2;
        if (!take_requests_after(row, line, requests, half))
            take_requests_after(row, line, requests, before);
    }
}

static double pace_of(const struct bl_direct_row *row)
{
    if (row->growth->found.trend == BL_TREND_GROWING)
        return row->growth->found.per_s;
    if (row->growth->found.trend != BL_TREND_UNKNOWN || row->rises < RISES_MIN ||
        row->since_ns == 0)
        return 0;
    return (double)row->added_bytes / ((double)row->since_ns / 1e9);
}

static void follow(struct bl_direct_row *row, const struct bl_growth *growth,
                   const struct bl_line *requests)
{
    if (!growth->line || growth->line->count == 0)
        return;
    row->growth = growth;
    take_rises(row, growth->line);
    take_requests(row, growth->line, requests);
    double per_s = pace_of(row);
    if (row->limit_bytes == 0 || per_s <= 0)
        return;
    row->to_limit_s =
        row->bytes < row->limit_bytes ? (double)(row->limit_bytes - row->bytes) / per_s : 0;
}

size_t bl_direct_rows(const struct bl_reader *reader, const struct bl_growth_set *growth,
                      struct bl_direct_row out[BL_DIRECT_MAX])
{
    const struct bl_header *header = bl_reader_header(reader);
    size_t count = 0;
    for (size_t i = 0; i < BL_DIRECT_MAX; i++) {
        const struct bl_direct *direct = &header->direct[i];
        if (direct->kind == BL_DIRECT_NONE || direct->kind > BL_DIRECT_JDK)
            continue;
        struct bl_direct_row *row = &out[count++];
        *row = (struct bl_direct_row){.kind = direct->kind,
                                      .bytes = direct->bytes,
                                      .limit_bytes = direct->limit_bytes,
                                      .bytes_per_request = -1,
                                      .to_limit_s = -1};
        name_row(reader, direct, row);
        if (growth && direct->kind != BL_DIRECT_NETTY_IDLE)
            follow(row, &growth->direct[i], growth->requests);
    }
    return count;
}

/* ---- words ---- */

void bl_direct_use_text(const struct bl_direct_row *row, char *out, size_t size)
{
    char used[BL_TEXT_NUMBER];
    char limit[BL_TEXT_NUMBER];
    if (row->kind == BL_DIRECT_NETTY_IDLE)
        snprintf(out, size, "not counted by Netty itself: see the JDK's pool");
    else if (row->limit_bytes > 0)
        snprintf(out, size, "%s of %s", bl_text_bytes(used, row->bytes),
                 bl_text_bytes(limit, row->limit_bytes));
    else
        snprintf(out, size, "%s", bl_text_bytes(used, row->bytes));
}

__attribute__((format(printf, 3, 4))) static void add(char *out, size_t size, const char *format,
                                                      ...)
{
    size_t used = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is the line above
    vsnprintf(out + used, size - used, format, arguments);
    va_end(arguments);
}

void bl_direct_growth_text(const struct bl_direct_row *row, char *out, size_t size)
{
    char number[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    out[0] = '\0';
    if (!row->growth)
        return;
    if (row->growth->found.trend == BL_TREND_GROWING)
        bl_growth_text(row->growth, out, size);
    else if (row->growth->found.trend != BL_TREND_UNKNOWN)
        add(out, size, "%s", bl_trend_name(row->growth->found.trend));
    else if (row->added_bytes > 0)
        add(out, size, "+%s in %s", bl_text_bytes(number, row->added_bytes),
            bl_text_age(age, row->since_ns));
    if (row->growth->found.trend == BL_TREND_STEADY || row->added_bytes == 0)
        return;
    add(out, size, ", %u step%s of %s", row->rises, row->rises == 1 ? "" : "s",
        row->rises > 1 ? "at least " : "");
    add(out, size, "%s", bl_text_bytes(number, row->step_bytes));
    if (row->bytes_per_request >= 0)
        add(out, size, ", %s B for each request",
            bl_text_count(number, (uint64_t)(row->bytes_per_request + 0.5)));
    if (row->to_limit_s >= 0 && row->bytes >= row->limit_bytes)
        add(out, size, ", at its limit");
    else if (row->to_limit_s >= 0)
        add(out, size, ", at its limit in %s",
            bl_text_age(age, row->to_limit_s < 1e9 ? (uint64_t)(row->to_limit_s * 1e9)
                                                   : 1000000000000000000u));
}
