/* Numbers in time, drawn with characters: a line of sparks, or a chart of several rows. */
#ifndef BL_RENDER_SPARK_H
#define BL_RENDER_SPARK_H

#include "series.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `width` characters for `count` values; a negative value is a blank. From the least to the most
 * of them, but what changes by less than a fiftieth is flat. `out` has 3 bytes for each. */
void bl_render_spark(char *out, size_t size, const double *values, size_t count, size_t width,
                     bool is_ascii);

struct bl_spark_chart {
    const struct bl_point *points; /* oldest first */
    size_t count;
    uint64_t from_ns;
    uint64_t to_ns;
    size_t width;
    size_t height;
    bool is_ascii;
    uint64_t low; /* of the axis: from bl_spark_scale */
    uint64_t high;
};

/* From nothing to the most there was; from the least, where that is more than half of the most and
 * something changed at all. */
void bl_spark_scale(struct bl_spark_chart *chart);

/* One row of it, from the top. */
void bl_spark_chart_row(const struct bl_spark_chart *chart, size_t row, char *out, size_t size);

#endif
