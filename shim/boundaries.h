/*
 * Boundaries of requests: what is counted so that growth can be told per request.
 *
 * Owns: BOUNDARIES of the ledger. Threads: any; BL_RANK_HOOKS inside add. Needs the guard to add.
 * Signal context: counting. Errors: what has no room is not counted.
 */
#ifndef BL_BOUNDARIES_H
#define BL_BOUNDARIES_H

#include "ledger.h"

#define BL_BOUNDARY_NONE UINT32_MAX

/* Returns its number, or BL_BOUNDARY_NONE. */
uint32_t bl_boundaries_add(const char *function, const char *module);

/* BL_BOUNDARY_*, added to those it has. */
void bl_boundaries_mark(uint32_t number, uint32_t flags);
/* Counts from zero. */
void bl_boundaries_restart(uint32_t number);

/* One more request is complete. In a child whose ledger started empty it is nobody's. */
BL_INLINE void bl_boundaries_count(uint32_t number)
{
    if (BL_UNLIKELY(number >= bl_load_relaxed(&bl_header->published[BL_SECTION_BOUNDARIES])))
        return;
    struct bl_boundary *b = bl_ledger_at(BL_SECTION_BOUNDARIES, number);
    bl_add_relaxed(&b->completed, 1);
}

#endif
