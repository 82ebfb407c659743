/* What a line of memory in time comes to in a live view: its rate, its trend, and sparks. */
#ifndef BL_TOP_SERIES_H
#define BL_TOP_SERIES_H

#include "growth.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_TOP_SPARKS 64

struct bl_top_time {
    bool has_rate;
    double bytes_per_s;       /* of the latest minute */
    const char *trend;        /* "growing", "steady" …, "unknown" */
    char growth[96];          /* "+96.3/min, +1,024 B each"; "" when it does not grow */
    uint64_t step_bytes;      /* of each buffer more; 0: none */
    double bytes_per_request; /* negative: not known, or it does not grow */
    double to_limit_s;        /* negative: none, or it does not grow */
    /* bytes at equal steps, oldest first; negative: not followed then */
    double sparks[BL_TOP_SPARKS];
    size_t spark_count;
};

/* Of what was followed as it was until now_ns, with sparks of the latest span_ns; NULL: not
 * followed. */
void bl_top_series_fill(struct bl_top_time *time, const struct bl_growth *growth, uint64_t now_ns,
                        uint64_t span_ns);

#endif
