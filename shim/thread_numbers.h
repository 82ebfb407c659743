/*
 * The numbers of threads in the ledger, and which of them are given out again.
 *
 * A server with a thread for each request has millions in a week, of which hardly one still
 * matters: those that run, and those that a record names (who made a live buffer, whose events are
 * kept, who made a mark). When the numbers in use are at least BL_THREAD_NUMBERS_MIN and have
 * doubled, those of ended threads that no record names are found as frames without a stack are, and
 * with the same proof (sweep.h): whoever had ended when the sweep began makes no record any more,
 * and who copies a number meanwhile says so (bl_thread_numbers_keep). The record of such a thread
 * stays until another one takes its place. What is given out again is no loss: nothing names it.
 *
 * Owns: the sets of numbers, in private memory. Threads: due to reuse are the helper's, which
 * take the lock for moments; take needs it; keep is anybody's. Needs the
 * guard. Signal context: safe under the guard. Errors: without memory nothing is given out again,
 * and the table grows until it is full (losses threads_dropped).
 */
#ifndef BL_THREAD_NUMBERS_H
#define BL_THREAD_NUMBERS_H

#include "compiler.h"
#include "lock.h"

#define BL_THREAD_NUMBERS_MIN 8192u

extern struct bl_lock bl_thread_lock;       /* of threads.h, and of this */
extern uint32_t bl_thread_numbers_sweeping; /* relaxed atomic */

/* A number for a new thread, with room for its record, which is to be filled in and published. 0:
 * there is none. ret_is_new: it was never given out. */
uint32_t bl_thread_numbers_take_locked(bool *ret_is_new);

bool bl_thread_numbers_due(void);
/* Looks who has ended. False: no memory. */
bool bl_thread_numbers_begin(void);
void bl_thread_numbers_cancel(void);
/* A record names it. */
void bl_thread_numbers_mark(uint32_t number);
/* The number is kept in a place that a sweep may have looked at already. */
BL_INLINE uint32_t bl_thread_numbers_keep(uint32_t number)
{
    if (BL_UNLIKELY(bl_load_relaxed(&bl_thread_numbers_sweeping)))
        bl_thread_numbers_mark(number);
    return number;
}
/* Sets aside those that had ended and were not marked. */
void bl_thread_numbers_sweep(void);
uint32_t bl_thread_numbers_set_aside(void);
void bl_thread_numbers_reuse(void);
/* For tests, instead of BL_THREAD_NUMBERS_MIN. */
void bl_thread_numbers_set_min(uint32_t numbers);
/* In a forked child, before its thread gets a number. What the parent has given out stays as it is:
 * that a buffer is inherited is told by its thread's number, which is lower than all the child's.
 */
void bl_thread_numbers_after_fork(void);

#endif
