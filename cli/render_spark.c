#include "render_spark.h"

#include <stdio.h>
#include <string.h>

#define LEVELS 8

/* 0 is blank. */
static const char *block(size_t level, bool is_ascii)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const letters[] = {" ", "_", ".", ",", "-", "=", "+", "*", "#"};
    size_t index = level <= LEVELS ? level : LEVELS;
    return is_ascii ? letters[index] : blocks[index];
}

static void append(char *out, size_t size, size_t *used, const char *text)
{
    size_t length = strlen(text);
    if (*used + length >= size)
        return;
    memcpy(out + *used, text, length + 1);
    *used += length;
}

/* The last value of each step: what it has come to. */
static double value_at(const double *values, size_t count, size_t step, size_t steps)
{
    size_t index = (step + 1) * count / steps;
    return index > 0 ? values[index - 1] : values[0];
}

void bl_render_spark(char *out, size_t size, const double *values, size_t count, size_t width,
                     bool is_ascii)
{
    double low = -1;
    double high = -1;
    size_t used = 0;
    out[0] = '\0';
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (values[i] < 0)
            continue;
        low = low < 0 || values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    bool is_flat = high - low <= high / 50;
    for (size_t i = 0; i < width; i++) {
        double value = value_at(values, count, i, width);
        size_t level = 0;
        if (value >= 0 && is_flat)
            level = high > 0 ? LEVELS / 2 : 1;
        else if (value >= 0)
            level = 1 + (size_t)((value - low) / (high - low) * (LEVELS - 1) + 0.5);
        append(out, size, &used, block(level, is_ascii));
    }
}

void bl_spark_scale(struct bl_spark_chart *chart)
{
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;
    for (size_t i = 0; i < chart->count; i++) {
        low = chart->points[i].min_bytes < low ? chart->points[i].min_bytes : low;
        high = chart->points[i].max_bytes > high ? chart->points[i].max_bytes : high;
    }
    bool is_flat = low > high || high - low < high / 50;
    chart->low = !is_flat && low > high / 2 ? low : 0;
    chart->high = high > chart->low ? high : chart->low + 1;
}

/* The most that was seen in a column's time; what it was before, where nothing was. False: it was
 * not followed yet. */
static bool column_value(const struct bl_spark_chart *chart, size_t column, uint64_t *ret_value)
{
    uint64_t span_ns = chart->to_ns - chart->from_ns;
    uint64_t from_ns =
        chart->from_ns + (uint64_t)((double)span_ns * (double)column / (double)chart->width);
    uint64_t to_ns =
        chart->from_ns + (uint64_t)((double)span_ns * (double)(column + 1) / (double)chart->width);
    bool is_known = false;
    uint64_t value = 0;
    for (size_t i = 0; i < chart->count && chart->points[i].t_ns <= to_ns; i++) {
        const struct bl_point *point = &chart->points[i];
        bool is_within = point->t_ns > from_ns;
        if (is_within && is_known && i > 0 && chart->points[i - 1].t_ns > from_ns)
            value = point->max_bytes > value ? point->max_bytes : value;
        else
            value = is_within ? point->max_bytes : point->bytes;
        is_known = true;
    }
    *ret_value = value;
    return is_known;
}

void bl_spark_chart_row(const struct bl_spark_chart *chart, size_t row, char *out, size_t size)
{
    size_t used = 0;
    double range = (double)(chart->high - chart->low);
    out[0] = '\0';
    for (size_t column = 0; column < chart->width; column++) {
        uint64_t value;
        size_t level = 0;
        if (column_value(chart, column, &value)) {
            double share = value > chart->low ? (double)(value - chart->low) / range : 0;
            double filled = share * (double)(chart->height * LEVELS);
            double below = (double)((chart->height - 1 - row) * LEVELS);
            level = filled <= below            ? 0
                    : filled >= below + LEVELS ? LEVELS
                                               : (size_t)(filled - below + 0.5);
            if (row + 1 == chart->height && level == 0)
                level = 1; /* followed, and nothing there */
        }
        append(out, size, &used, block(level, chart->is_ascii));
    }
}
