/*
 * What a line of memory in time means.
 *
 * The line is cut into at most 240 bins of equal time; of each the least, the most and the last are
 * kept. What comes and goes is told from what stays by floors: where the line falls back again and
 * again, a block is as long as the longest time between two such falls, and only the least of each
 * block counts. Then, on at most 60 block floors:
 *
 *   rising      by the Mann-Kendall test (Mann 1945, Kendall 1975) at one in two thousand, its
 *               variance corrected for autocorrelation (Hamed and Rao 1998); or because next to
 *               nothing of what was taken has ever been given back
 *   slope       the median of the slopes of all pairs, with its 95 % interval (Theil 1950, Sen
 * 1968) stopped     nothing new has stayed for three times the longest pause between two rises that
 *               stayed; counted in time and in operations, so that a quiet night ends no leak
 *   slowing     of the last third (in time and in operations) less than half of the first has
 * stayed
 *
 * growing: rising, not stopped, not slowing. saturating: rising and slowing. steady: neither rises
 * nor falls, or has stopped. shrinking: what is said of rising, of the highs, downwards. sawtooth:
 * rises and falls back to a floor that stays. A single jump that makes half of the change begins
 * the line anew. Growth that began late is found in the last quarter and the last sixteenth of the
 * line, where it counts if it ends above all that was before. unknown: fewer than 24 turns, too few
 * falls to know the floor, fewer than 8 buffers more in fewer than 8 rises, or between chance and
 * certainty.
 *
 * Pure functions of their arguments.
 */
#ifndef BL_TREND_H
#define BL_TREND_H

#include "series.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bl_trend {
    BL_TREND_UNKNOWN,
    BL_TREND_GROWING,
    BL_TREND_SATURATING,
    BL_TREND_STEADY,
    BL_TREND_SAWTOOTH,
    BL_TREND_SHRINKING,
};

#define BL_TREND_TURNS_MIN  24
#define BL_TREND_WORKED_MIN 5

struct bl_trend_line {
    const struct bl_point *points;
    size_t count;
    /* Operations at the time of each point (only rises); NULL: time alone counts. */
    const double *operations;
    uint64_t interval_ns; /* of the samples, for what is too short */
    uint64_t end_ns;      /* the line is known to here; 0: to its last point */
};

struct bl_trend_finding {
    enum bl_trend trend;
    double per_s; /* bytes; of the floor where the line falls back */
    double low_per_s;
    double high_per_s;
    double count_per_s;
    /* bytes, and buffers, by the later half of the operations; 0 where that has fewer moments than
     * BL_TREND_WORKED_MIN */
    double per_operation;
    double count_per_operation;
    size_t worked;      /* such moments */
    double step_bytes;  /* bytes for each buffer more: the median of all pairs of blocks; 0: none */
    bool is_step_exact; /* nearly all pairs have the same */
    double floor_bytes; /* what it falls back to now */
    double stayed_bytes; /* more than at the beginning of the span, and never given back */
    size_t rises;        /* separate ones, of what stayed */
    uint64_t from_ns;    /* the span that was judged */
    uint64_t to_ns;
};

void bl_trend_judge(const struct bl_trend_line *line, struct bl_trend_finding *ret_finding);

/* "growing", as in the JSON. */
const char *bl_trend_name(enum bl_trend trend);

#endif
