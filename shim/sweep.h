/*
 * Keeping the table of stacks bounded: frames that nothing refers to any more are found and freed.
 *
 * A process that runs for weeks passes ever new stacks, of which few still matter: those of live
 * buffers and their events, of completed lifecycles, of where blocks are freed, of followed sites,
 * of marks. A sweep is due when the frames in use are at least BL_SWEEP_MIN and have doubled since
 * the last one. So the table is never larger than twice what is in use, or BL_SWEEP_MIN, and what
 * came in while a sweep was on its way. What is freed is no loss: nothing could have named it; it
 * is counted in header.frames_reclaimed. Numbers of threads are kept few in the same way, by
 * themselves (thread_numbers.h): nobody remembers those of others, so nothing is watched for (1).
 *
 * How it is known that nothing refers to a frame, without a word by the application's threads:
 *
 *   1  Begin. The epoch of all hashes changes, so that the threads' memos and the caches, which are
 *      full of numbers, match nothing any more. Each stack is looked for in the trie once more, as
 *      after a dlclose, and is marked when it is found or entered. For BL_SWEEP_WATCH_NS: so what
 *      is passed all the time stays where it is, above all the outer frames that all stacks share.
 *   2  Grace (threads.h): every thread has been outside the shim since. The number of a stack that
 *      was found before the beginning is now in a record, or nowhere: a thread carries none from
 *      one event to the next but in its own bl_tls (the block that realloc has in hand, the hooked
 *      calls it is in), which is looked at as well.
 *   3  Mark. Each record is read, and the frames of its stack are marked. Who copies a number to a
 *      place that may have been read already marks it, under the guard (bl_stacks_keep).
 *   4  Grace: who took a number out of a record before it was read has marked it by now.
 *   5  Sweep. What is not marked is taken out of the index, under the trie's lock, a few frames at
 * a time: who interns such a stack comes before, and marks it, or after, and enters it anew. 6
 * Rest. The numbers are not given out for BL_SWEEP_REST_NS, and header.frame_reuse counts when they
 * are, so that whoever reads the ledger meanwhile sees that it must read again.
 *
 * Owns: what phase it is in. Threads: the helper only, which also makes the snapshots: none is made
 * in the middle. Needs the guard. Takes the locks of threads, stacks, references' shards,
 * lifecycles and free paths, one at a time. Errors: without memory or without the kernel's barrier
 * there is no sweep, and the table grows until it is full.
 */
#ifndef BL_SWEEP_H
#define BL_SWEEP_H

#include "compiler.h"

#define BL_SWEEP_WATCH_NS 1000000000u
#define BL_SWEEP_REST_NS  2000000000u

/* At each turn of the helper. */
void bl_sweep_turn(uint64_t now_ns);
/* In a forked child. */
void bl_sweep_reset(void);

#endif
