/*
 * What could not be recorded, counted by cause (enum bl_loss) where the reader finds it.
 * Threads: any, relaxed atomics. Signal context: safe. Before the ledger exists the counts are
 * collected in a static page and moved over by bl_losses_attach.
 */
#ifndef BL_LOSSES_H
#define BL_LOSSES_H

#include "compiler.h"
#include "ledger_format.h"

extern uint64_t *bl_losses_at; /* BL_LOSSES_MAX counters */

BL_INLINE void bl_losses_add(enum bl_loss cause, uint64_t count)
{
    bl_add_relaxed(&bl_losses_at[cause], count);
}

/* Counts go to `counters` from now on, together with those collected so far. Single-threaded. */
void bl_losses_attach(uint64_t *counters);
/* Their memory is about to go: counts are collected from zero again. Single-threaded. */
void bl_losses_detach(void);

#endif
