/*
 * What a Java program counts of its direct memory itself, and where that leads.
 *
 * A pool takes memory in chunks: its counter rises seldom, by much, and then a trend is long in
 * coming. So beside the trend the pace over the whole line is told: what was added since the first
 * look, and in how many rises. Per request it is told by the trend, else from rise to rise of
 * the later half of the requests. Time to the limit is by the trend where that is known, else by
 * the pace, once it has risen twice.
 *
 * Owns nothing. Everything in the file is untrusted.
 */
#ifndef BL_DIRECT_H
#define BL_DIRECT_H

#include "growth.h"

struct bl_direct_row {
    char name[128]; /* "netty", "netty of com.acme.shaded", "jdk pool" */
    uint32_t kind;  /* enum bl_direct_kind */
    uint32_t rises; /* since the first look */
    uint64_t bytes;
    uint64_t limit_bytes;           /* 0: none */
    const struct bl_growth *growth; /* NULL: not followed */
    uint64_t added_bytes;           /* since the first look; 0 if less now than then */
    uint64_t since_ns;              /* how long ago that was */
    uint64_t step_bytes;            /* of the smallest rise */
    double bytes_per_request;       /* negative: not known: fewer than two such rises */
    double to_limit_s;              /* negative: it does not grow, or there is none */
};

/* Returns how many there are. */
size_t bl_direct_rows(const struct bl_reader *reader, const struct bl_growth_set *growth,
                      struct bl_direct_row out[BL_DIRECT_MAX]);
/* "48.00 MiB of 64.00 MiB" and what it does: "+16.00 MiB in 3 steps ..." */
void bl_direct_use_text(const struct bl_direct_row *row, char *out, size_t size);
void bl_direct_growth_text(const struct bl_direct_row *row, char *out, size_t size);

#endif
