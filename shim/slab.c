#include "slab.h"

#define RECORDS_MAX (1u << 24)

static uint32_t *link_in(const struct bl_slab *slab, uint32_t n)
{
    return (uint32_t *)(void *)((unsigned char *)bl_ledger_at(slab->section, n) +
                                slab->link_offset);
}

/* A link that was bent through the file ends the list: nothing outside the slab is ever touched. */
static uint32_t next_of(const struct bl_slab *slab, uint32_t n)
{
    uint32_t next = bl_load_relaxed(link_in(slab, n));
    return next < slab->used ? next : 0;
}

static uint32_t take_locked(struct bl_slab *slab)
{
    uint32_t n = slab->free_head;
    if (n) {
        slab->free_head = next_of(slab, n);
    } else if (slab->used < RECORDS_MAX && bl_ledger_ensure(slab->section, slab->used + 1) == 0) {
        n = slab->used;
        bl_store_relaxed(&slab->used, n + 1);
        bl_ledger_publish(slab->section, n + 1);
    }
    return n;
}

static void give_locked(struct bl_slab *slab, uint32_t n)
{
    bl_store_relaxed(link_in(slab, n), slab->free_head);
    slab->free_head = n;
}

/* Half of what fits at a time, so that taking and giving in turns does not lock each time. Records
 * that were never used are not hoarded, but those of one group go to one thread. */
static void refill(struct bl_slab *slab, struct bl_spares *spares)
{
    bl_lock_take(&slab->lock);
    do {
        uint32_t n = take_locked(slab);
        if (!n)
            break;
        spares->records[spares->count++] = n;
    } while (spares->count < BL_SPARES / 2 &&
             (slab->free_head || (slab->used & (slab->group - 1))));
    bl_lock_give(&slab->lock);
}

static void spill(struct bl_slab *slab, struct bl_spares *spares)
{
    bl_lock_take(&slab->lock);
    while (spares->count > BL_SPARES / 2)
        give_locked(slab, spares->records[--spares->count]);
    bl_lock_give(&slab->lock);
}

/* NULL: the thread has no state. */
BL_INLINE struct bl_spares *spares_of(const struct bl_slab *slab)
{
    struct bl_thread_state *t = bl_tls.thread;
    if (BL_UNLIKELY(!t))
        return NULL;
    struct bl_spares *spares = &t->spares[slab->spares];
    if (BL_UNLIKELY(spares->epoch != slab->epoch))
        *spares = (struct bl_spares){.epoch = slab->epoch};
    return spares;
}

uint32_t bl_slab_take_slow(struct bl_slab *slab)
{
    struct bl_spares *spares = spares_of(slab);
    if (BL_LIKELY(spares != NULL)) {
        if (BL_UNLIKELY(spares->count == 0))
            refill(slab, spares);
        return spares->count > 0 ? spares->records[--spares->count] : 0;
    }
    bl_lock_take(&slab->lock);
    uint32_t n = take_locked(slab);
    bl_lock_give(&slab->lock);
    return n;
}

void bl_slab_give_slow(struct bl_slab *slab, uint32_t n)
{
    struct bl_spares *spares = spares_of(slab);
    if (BL_LIKELY(spares != NULL)) {
        if (BL_UNLIKELY(spares->count == BL_SPARES))
            spill(slab, spares);
        spares->records[spares->count++] = n;
        return;
    }
    bl_lock_take(&slab->lock);
    give_locked(slab, n);
    bl_lock_give(&slab->lock);
}

void bl_slab_reset(struct bl_slab *slab)
{
    slab->epoch++;
    slab->used = 1;
    slab->free_head = 0;
}
