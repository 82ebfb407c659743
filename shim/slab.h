/*
 * Slabs: records of a ledger section, given out and taken back.
 *
 * A free record's link to the next free one is in the record itself, at link_offset. Record 0 is
 * never given out.
 * Threads: any; the slab's lock is taken inside, the innermost of BL_RANK_REFS. Needs the guard.
 * Signal context: safe under the guard. Errors: 0 instead of a record.
 */
#ifndef BL_SLAB_H
#define BL_SLAB_H

#include "ledger.h"
#include "lock.h"

struct bl_slab {
    enum bl_section section;
    uint32_t link_offset;
    struct bl_lock lock;
    uint32_t used;      /* (lock) to write; only grows */
    uint32_t free_head; /* (lock) */
};

uint32_t bl_slab_take(struct bl_slab *slab);
void bl_slab_give(struct bl_slab *slab, uint32_t n);
/* In a child whose ledger starts empty. */
void bl_slab_reset(struct bl_slab *slab);

#endif
