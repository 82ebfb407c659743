/*
 * Operations in flight: references are counted before the function that takes or gives them back
 * runs, so the object's own count lags behind what is noted until that function is through. What
 * two counts differ by may be no more than that.
 *
 * A thread keeps what it has noted and what may not be done yet, outermost first. It learns that a
 * function has returned from its next operation: the stack pointer is back where its caller had it,
 * or further out. Inside a function, as in the dispose of an object's last release, it is not.
 *
 * Owns nothing; the list is part of the thread's state. Threads: a list is written by its own
 * thread and read by any. An operation is added under the object's lock together with its count:
 * who holds that lock finds here every operation that is noted and not done. Takes no lock. Signal
 * context: safe under the guard. Errors: of more than BL_FLIGHTS nested ones the outermost is
 * forgotten; on other stacks than the thread's own (coroutines) an operation may be taken to be
 * done or not done wrongly. Both cost a doubt about a count, never an event.
 */
#ifndef BL_FLIGHTS_H
#define BL_FLIGHTS_H

#include "threads.h"

/* How far an object's own count may be from the one noted. */
struct bl_flight_sums {
    int64_t up;   /* references that may not have been taken yet */
    int64_t down; /* and given back */
};

/* Forgets what has returned. sp: of the caller of the function that tells of itself now. */
BL_INLINE void bl_flights_land(struct bl_thread_state *t, uint64_t sp)
{
    uint32_t count = t->flight_count;
    while (count > 0 && t->flights[count - 1].sp <= sp)
        count--;
    bl_store_relaxed(&t->flight_count, count);
}

BL_INLINE void bl_flights_add(struct bl_thread_state *t, uint64_t key, int32_t delta, uint64_t sp)
{
    uint32_t count = t->flight_count;
    if (BL_UNLIKELY(count == BL_FLIGHTS)) {
        count--;
        for (uint32_t i = 0; i < count; i++)
            t->flights[i] = t->flights[i + 1];
    }
    struct bl_flight *f = &t->flights[count];
    bl_store_relaxed(&f->key, key);
    bl_store_relaxed(&f->sp, sp);
    bl_store_relaxed(&f->delta, delta);
    bl_store_release(&t->flight_count, count + 1);
}

/* Of all threads, on one object. The object's lock is held; its own count is to be read after. */
struct bl_flight_sums bl_flights_of(uint64_t key);

#endif
