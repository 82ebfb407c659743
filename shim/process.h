/*
 * The life of the process: start, fork, exec, change of user, end; and the ledger it has at each.
 *
 * fork: the handlers run before and after every fork that goes through libc. All locks are taken in
 * rank order before (so that the child's copy of private memory is whole), the ledger is copied for
 * the child, the locks are released in the parent and made anew in the child. A fork that bypasses
 * libc is noticed at the child's first event by a page that the kernel wipes in it
 * (MADV_WIPEONFORK); that child starts with an empty ledger. exec: the new program has its own
 * ledger; this one is marked, and unmarked if exec fails. End: exit, _exit, quick_exit and abort
 * are noted with their status. A process that is killed needs nothing: its ledger is complete at
 * every instruction. Threads: as each function says. Signal context: exec and exit marks are
 * async-signal-safe.
 */
#ifndef BL_PROCESS_H
#define BL_PROCESS_H

#include "compiler.h"
#include "ledger_format.h"

#include <sys/types.h>

/* The constructor's work, single-threaded. */
void bl_process_start(void);
/* Is the ledger this process's own? Not in a vfork child, where marks must not be made. */
bool bl_process_is_self(void);
/* Memory is the parent's here, descriptors and signal actions are not. */
bool bl_process_is_vfork_child(void);
/* The process says good-bye. */
void bl_process_mark_exit(enum bl_exit_kind kind, int status);
/* The same of a parent whose child goes on in its place. */
void bl_process_mark_left(void);
void bl_process_unmark_exit(void);
void bl_process_mark_exec(void);
void bl_process_unmark_exec(void);
/* Before the effective user becomes uid. */
void bl_process_change_user(uid_t uid);
/* In the child, after the fork handlers are through: what may allocate. */
void bl_process_after_fork_in_child(void);
/* Runs with no helper thread between the two. */
bool bl_process_pause_helper(void);
void bl_process_resume_helper(void);

#endif
