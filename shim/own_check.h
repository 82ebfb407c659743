/*
 * The own counts of all live objects, looked at without an operation.
 *
 * What the ledger says of an object's own count is as of its latest operation, and leaves open what
 * was in flight then. Before a snapshot and at the end of the process each count is read once more,
 * so that drift is true of that moment, and seen also where no operation followed it.
 *
 * Reads through /proc/self/mem, because memory that we believe to hold an object may be gone.
 * Threads: any, others go on meanwhile; BL_RANK_REFS inside, for one object at a time. Needs the
 * guard. Signal context: no. Errors: what cannot be read stays as it was noted.
 */
#ifndef BL_OWN_CHECK_H
#define BL_OWN_CHECK_H

void bl_own_check_all(void);

#endif
