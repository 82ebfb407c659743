/*
 * Ghosts: the records of releases too many.
 *
 * A release of a handle that has ended is one too many, as far as was seen. Where a heap block
 * begins at the handle all the same, another cause looks equal: a function that retains or
 * allocates which the profile does not name, so that the buffer lived on, or another one came to be
 * at its address. What becomes of the block tells the two apart: a library that frees it within the
 * very release knew it for the last one. Such a ghost, and those before it of the same block, are
 * taken back: nobody is accused, the release is counted (releases_unmatched), and the class is
 * BL_CLASS_LACKS from then on. Of the others the record says how it looked, see BL_OBJECT_KEPT.
 *
 * Threads: any; the caller of what is _locked holds the lock of the handle's shard. Needs the
 * guard. Signal context: safe under the guard. Errors: a ghost without room is counted.
 */
#ifndef BL_GHOSTS_H
#define BL_GHOSTS_H

#include "ref_index.h"

/* What was released once too often, and by whom, for the report: with both releases of a handle
 * that had ended, t; with the one of NULL, if there is none. */
void bl_ghosts_leave_locked(const struct bl_ref_spot *at, const struct bl_ref_event *e,
                            struct bl_ref_tombstone *t);
/* A block that bl_live_hold knows of is freed at the address: is there a ghost to be taken back? */
bool bl_ghosts_is_waiting_locked(const struct bl_ref_spot *at);
/* Then this is to be told, with the stack of that call. */
void bl_ghosts_block_freed(uint64_t address, uint32_t stack);

#endif
