/*
 * The event clock: CLOCK_MONOTONIC_COARSE, 13-17 ns through the vDSO and exact to a timer tick
 * (1-4 ms), on the same time line as CLOCK_MONOTONIC. Ages of leaks need no more.
 * Threads: any. Signal context: safe. errno is never set: both clocks exist since Linux 2.6.32.
 */
#ifndef BL_CLOCK_H
#define BL_CLOCK_H

#include "compiler.h"

#include <time.h>

BL_INLINE uint64_t bl_clock_read(clockid_t id)
{
    struct timespec t = {0};
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Events are not before this: the start of the recording, exact, or the fork that made the process.
 * A tick may have begun before it; what is born before a fork counts as inherited, and nothing is
 * older than the run. */
extern uint64_t bl_clock_floor_ns;

BL_INLINE uint64_t bl_clock_event_ns(void)
{
    uint64_t now = bl_clock_read(CLOCK_MONOTONIC_COARSE);
    return now < bl_clock_floor_ns ? bl_clock_floor_ns : now;
}

#endif
