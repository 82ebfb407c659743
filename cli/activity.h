/*
 * How far the program was with its work at a moment: a clock that ticks with what buffers live
 * through, not with time. A program that waits does not come further; one that sets itself up for
 * long, and then does its work in an instant, does.
 *
 * A tick is the birth of a buffer that ended well, or of one that still lives: births, because what
 * is born may wait long until somebody has time to release it. When each of the completed ones was
 * born is not known, but when the first and the last of each kind ended, and how long they lived
 * (bl_lifetimes_born_after).
 */
#ifndef BL_ACTIVITY_H
#define BL_ACTIVITY_H

#include "callers.h"
#include "histories.h"

#include <stdbool.h>
#include <stdint.h>

/* Whose life counts. */
struct bl_circle {
    bool is_of_class;
    uint32_t class_number;
    bool is_of_path; /* born on one path, see bl_callers_whole */
    uint32_t path;
    double least; /* of completed ones; where there are fewer, those that live are not counted */
};

struct bl_work {
    double before;
    double after;
    double completed;        /* of both: those that ended */
    double completed_before; /* of those, the ones born before */
};

/* Which share of the births of the process, from the first to the youngest of those that ended, had
 * been by the time of one birth; 1 where none has ended. Whatever the clock says of bursts. */
double bl_activity_share_by(const struct bl_histories *histories, const struct bl_callers *callers,
                            const struct bl_circle *circle, uint64_t birth_ns, uint32_t birth);

/* The same share by the end of a tick of the clock, at least: until the youngest birth that is
 * known to have been by then. */
double bl_activity_share_until(const struct bl_histories *histories,
                               const struct bl_callers *callers, const struct bl_circle *circle,
                               uint64_t moment_ns);

struct bl_work bl_activity_at(const struct bl_histories *histories,
                              const struct bl_callers *callers, const struct bl_circle *circle,
                              uint64_t start_ns, uint64_t moment_ns);

#endif
