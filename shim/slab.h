/*
 * Slabs: records of a ledger section, given out and taken back.
 *
 * A free record's link to the next free one is in the record itself, at link_offset. Record 0 is
 * never given out. Each thread keeps a few free ones at hand; those of a thread that has ended pass
 * to the next that is given its state.
 * Threads: any; the slab's lock is taken inside, the innermost of BL_RANK_REFS. Needs the guard.
 * Signal context: safe under the guard. Errors: 0 instead of a record.
 */
#ifndef BL_SLAB_H
#define BL_SLAB_H

#include "ledger.h"
#include "lock.h"
#include "threads.h"

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): used and lock are to be apart
struct bl_slab {
    enum bl_section section;
    uint32_t link_offset;
    enum bl_spares_of spares;
    uint32_t group; /* new records that go to one thread: 2 to a power */
    uint32_t epoch; /* counts resets */
    uint32_t used;  /* (lock) to write; only grows. Read on every event: away from the lock */
    struct bl_lock lock BL_ALIGNED(64);
    uint32_t free_head; /* (lock) */
};

/* For what the thread has not at hand, or no place for. */
uint32_t bl_slab_take_slow(struct bl_slab *slab);
void bl_slab_give_slow(struct bl_slab *slab, uint32_t n);

BL_INLINE uint32_t bl_slab_take(struct bl_slab *slab)
{
    struct bl_thread_state *t = bl_tls.thread;
    struct bl_spares *spares = t ? &t->spares[slab->spares] : NULL;
    if (BL_LIKELY(spares && spares->epoch == slab->epoch && spares->count > 0))
        return spares->records[--spares->count];
    return bl_slab_take_slow(slab);
}

BL_INLINE void bl_slab_give(struct bl_slab *slab, uint32_t n)
{
    struct bl_thread_state *t = bl_tls.thread;
    struct bl_spares *spares = t ? &t->spares[slab->spares] : NULL;
    if (BL_LIKELY(spares && spares->epoch == slab->epoch && spares->count < BL_SPARES))
        spares->records[spares->count++] = n;
    else
        bl_slab_give_slow(slab, n);
}

/* Several at once. */
BL_INLINE void bl_slab_give_all(struct bl_slab *slab, const uint32_t *records, uint32_t count)
{
    struct bl_thread_state *t = bl_tls.thread;
    struct bl_spares *spares = t ? &t->spares[slab->spares] : NULL;
    if (BL_LIKELY(spares && spares->epoch == slab->epoch && spares->count + count <= BL_SPARES)) {
        for (uint32_t i = 0; i < count; i++)
            spares->records[spares->count + i] = records[i];
        spares->count += count;
    } else {
        for (uint32_t i = 0; i < count; i++)
            bl_slab_give_slow(slab, records[i]);
    }
}

/* In a child whose ledger starts empty. */
void bl_slab_reset(struct bl_slab *slab);

#endif
