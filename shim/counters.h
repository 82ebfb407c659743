/*
 * The counters of a class, spread over shards so that threads do not meet (bl_counters in the
 * ledger).
 *
 * A row of (class, shard) is written by whoever holds the lock of that shard in the table the class
 * lives in (live.c or references.c). Signal context: safe under the guard. No errors.
 */
#ifndef BL_COUNTERS_H
#define BL_COUNTERS_H

#include "ledger.h"

BL_INLINE struct bl_counter *bl_counters_of(uint8_t class_number, uint32_t shard)
{
    struct bl_counters *c = bl_ledger_at(BL_SECTION_COUNTERS, class_number);
    return &c->shard[shard];
}

/* Relaxed stores: the lock orders writers, the reader takes each 64-bit value as it is. */
BL_INLINE void bl_counters_add(uint64_t *counter, uint64_t change)
{
    bl_store_relaxed(counter, *counter + change);
}

/* The peak needs a sum over the shards. A shard reports its change once it exceeds 1/4096 of the
 * peak, so 32 shards together withhold at most 1/128 of it, and small programs are exact. */
BL_INLINE void bl_counters_settle(struct bl_counter *c, uint8_t class_number, int64_t change)
{
    struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, class_number);
    int64_t unsettled = c->unsettled + change;
    uint64_t peak = bl_load_relaxed(&class->peak_bytes);
    uint64_t magnitude = (uint64_t)(unsettled < 0 ? -unsettled : unsettled);
    if (BL_LIKELY(magnitude <= peak >> 12)) {
        bl_store_relaxed(&c->unsettled, unsettled);
        return;
    }
    bl_store_relaxed(&c->unsettled, 0);
    uint64_t now = __atomic_add_fetch(&class->settled_bytes, (uint64_t)unsettled, __ATOMIC_RELAXED);
    while ((int64_t)now > 0 && now > peak &&
           !__atomic_compare_exchange_n(&class->peak_bytes, &peak, now, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

BL_INLINE void bl_counters_birth(uint32_t shard, uint8_t class_number, uint64_t size)
{
    struct bl_counter *c = bl_counters_of(class_number, shard);
    bl_counters_add(&c->allocs, 1);
    bl_counters_add(&c->alloc_bytes, size);
    bl_counters_settle(c, class_number, (int64_t)size);
}

BL_INLINE void bl_counters_end(uint32_t shard, uint8_t class_number, uint64_t size)
{
    struct bl_counter *c = bl_counters_of(class_number, shard);
    bl_counters_add(&c->frees, 1);
    bl_counters_add(&c->free_bytes, size);
    bl_counters_settle(c, class_number, -(int64_t)size);
}

#endif
