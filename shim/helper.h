/*
 * The helper thread: answers requests for snapshots, and takes the samples of memory in time, once
 * per interval (series.h). Before a snapshot, and at a turn, the Java machine is visited, if there
 * is one (jvm/java_visit.h).
 *
 * It waits on a futex in the ledger's header, so the signal handler, and `bufleak dump` from
 * another process, wake it the same way. It blocks every signal but those libc needs in every
 * thread, does not allocate from the target's heap, and sleeps between its turns.
 * Threads: start and stop by the process layer, one at a time. Errors: a helper that cannot be
 * started is counted and flagged in the ledger: `dump` then copies the ledger by itself.
 */
#ifndef BL_HELPER_H
#define BL_HELPER_H

#include "compiler.h"

/* base: name of the ledger's file, for the names of snapshots; must stay valid. */
void bl_helper_start(const char *base, uint64_t interval_ns);
/* Ends the thread and waits until the kernel has forgotten it: unshare and setns refuse processes
 * of more than one thread. */
void bl_helper_stop(void);
bool bl_helper_runs(void);
/* In a forked child there is none. */
void bl_helper_after_fork(void);

#endif
