/*
 * A snapshot: a copy of the ledger as it was at one moment, in a file beside it.
 *
 * The file is reserved, and everything is copied once as it changes, so that its pages are there;
 * then all writers of the live table are stopped for one more memcpy of records and counters (1.5
 * ms for a million buffers; 22 ms without the first copy), so that they agree with each other; the
 * append-only rest is copied while the target runs on. It appears
 * under its final name when it is complete. The newest KEEP snapshots are kept. Threads: the helper
 * only. Needs the guard. Allocates pages. Errors: -errno, counted.
 */
#ifndef BL_SNAPSHOT_H
#define BL_SNAPSHOT_H

#include "compiler.h"
#include "ledger_format.h"

#define BL_SNAPSHOTS_KEPT 32u

/* base: the name of the ledger's file without directory. flags: BL_DUMP_*; what cannot be found out
 * is told in the snapshot, and is no error. */
int bl_snapshot_write(const char *base, enum bl_reason reason, uint32_t number, uint32_t flags);
/* The process ends now: a snapshot in the making would stay half-made. */
void bl_snapshot_abandon(void);
/* In a forked child: what the parent's helper had in hand is not ours. */
void bl_snapshot_after_fork(void);
bool bl_snapshot_owns_fd(int fd);

#endif
