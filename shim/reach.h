/*
 * Reach: which blocks are lost and what holds the others, asked for and entered into the ledger.
 *
 * The caller holds the locks of the live table. freeze stops the threads and clones the process by
 * the bare system call, sharing descriptors and without an exit signal: no handlers run, the
 * program gets no SIGCHLD and no wait of its own sees the child. The locks are given back, thaw
 * lets the threads go on, and finish waits for the child, which has marked its frozen copy
 * (roots.h) into memory that both share. What goes wrong makes the run a failed one, with a reason;
 * the program does not notice.
 *
 * At the end of the process, where clone is refused, the marking is done in the process itself,
 * with the other threads stopped.
 *
 * Owns the job and its result. Threads: one at a time, by the lock inside. Needs the guard. Signal
 * context: no. Allocates pages only. Errors: none; the run's record tells.
 */
#ifndef BL_REACH_H
#define BL_REACH_H

#include "capture.h"

/* Takes the turn: false, another one is under way. Makes room for the result. */
bool bl_reach_begin(void);
/* With the live table's locks held, and `copy` a copy of the ledger, laid out like its file. */
void bl_reach_freeze(const unsigned char *copy, uint64_t length, uint64_t locked_since_ns);
/* With the locks given back. */
void bl_reach_thaw(void);
/* The result is in the ledger when it returns. Gives the turn back. */
void bl_reach_finish(void);

/* Gives the turn back, if it was not brought to an end: there was no snapshot to go with it. */
void bl_reach_cancel(void);

/* At the end of the process, on a thread of the program's own. */
void bl_reach_at_exit(void);

/* A helper thread is being made, or is not after all: it says who it is as it begins. */
void bl_reach_expect_helper(bool expected);
/* The helper, which is not stopped and holds nothing: what is below `frame` on its stack is ours.
 */
void bl_reach_set_helper(uint32_t tid, const void *frame);
/* In a forked child. */
void bl_reach_after_fork(void);

#endif
