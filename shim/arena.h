/*
 * Private memory of the shim, on mmap: never the target's heap.
 *
 * Owns: regions it mapped; blocks of power-of-two sizes with a free list per size. Blocks of more
 * than half a region are mappings of their own. Nothing is returned to the system but those.
 * Threads: any; one leaf lock (BL_RANK_ARENA), taken inside. Needs the guard.
 * Signal context: not safe by itself, safe under the guard. Errors: NULL, counted in
 * arena_failures.
 */
#ifndef BL_ARENA_H
#define BL_ARENA_H

#include "compiler.h"

/* Zeroed only on first use: callers initialise. 16-byte aligned. */
void *bl_arena_alloc(size_t size);
/* size as given to bl_arena_alloc. NULL is ignored. */
void bl_arena_free(void *block, size_t size);
/* Zeroed pages of their own; return them with bl_arena_unmap. */
void *bl_arena_map(size_t size);
void bl_arena_unmap(void *pages, size_t size);
/* Calls visit for each range that is mapped now; not for those that the caller's threads map or
 * unmap meanwhile. Takes no lock. */
void bl_arena_each(void (*visit)(void *context, uint64_t start, uint64_t end), void *context);
/* How many mappings could not be noted for bl_arena_each. */
uint32_t bl_arena_unnoted(void);
/* Every n-th mapping fails from now on; 0 = none. For fault-injection tests. */
void bl_arena_set_fault(uint32_t every_nth);
/* Bytes mapped now. */
uint64_t bl_arena_mapped_bytes(void);

void bl_arena_lock(void);
void bl_arena_unlock(void);
void bl_arena_reset_lock(void);

#endif
