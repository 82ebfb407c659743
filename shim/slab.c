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

uint32_t bl_slab_take(struct bl_slab *slab)
{
    bl_lock_take(&slab->lock);
    uint32_t n = slab->free_head;
    if (n) {
        slab->free_head = next_of(slab, n);
    } else if (slab->used < RECORDS_MAX && bl_ledger_ensure(slab->section, slab->used + 1) == 0) {
        n = slab->used;
        bl_store_relaxed(&slab->used, n + 1);
        bl_ledger_publish(slab->section, n + 1);
    }
    bl_lock_give(&slab->lock);
    return n;
}

void bl_slab_give(struct bl_slab *slab, uint32_t n)
{
    bl_lock_take(&slab->lock);
    bl_store_relaxed(link_in(slab, n), slab->free_head);
    slab->free_head = n;
    bl_lock_give(&slab->lock);
}

void bl_slab_reset(struct bl_slab *slab)
{
    slab->used = 1;
    slab->free_head = 0;
}
