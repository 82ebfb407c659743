/*
 * Where heap blocks end: of a sample of each allocation stack's blocks, the stack that freed them.
 *
 * The sample is chosen at birth (stacks.h), so that which path frees a block does not decide
 * whether it is seen. Kept in the ledger's FREE_PATHS, one record for each pair of stacks, at most
 * BL_FREES_MAX: then the least useful of a few is replaced, and counted.
 * Owns: the index, uthash with its buckets in the arena. Threads: any; BL_RANK_FREES inside. Needs
 * the guard. Signal context: safe under the guard. Errors: counted in free_paths_dropped.
 */
#ifndef BL_FREES_H
#define BL_FREES_H

#include "live.h"

#define BL_FREES_MAX (1u << 14)

/* The buffer ended at free_stack. op: BL_OP_END or BL_OP_RESIZE. Nothing is noted where one of the
 * stacks could not be recorded. */
void bl_frees_add(const struct bl_buffer *buffer, uint32_t free_stack, enum bl_op op,
                  uint64_t now_ns);

void bl_frees_lock(void);
void bl_frees_unlock(void);
void bl_frees_reset_lock(void);
/* In a child whose ledger starts empty. */
void bl_frees_reset(void);

#endif
