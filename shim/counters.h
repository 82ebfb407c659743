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
#include "limit.h"

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
    if (class_number == 0 && unsettled > 0) /* heap */
        bl_limit_look_settled(now);
}

struct bl_live_sums {
    uint64_t bytes;
    uint64_t count;
    uint64_t allocs;
    uint64_t frees;
};

/* Over all shards, while they go on. What ended is summed up first: a buffer that is born meanwhile
 * can only add. */
__attribute__((cold)) static inline struct bl_live_sums bl_counters_sum(uint32_t class_number)
{
    const struct bl_counters *c = bl_ledger_at(BL_SECTION_COUNTERS, class_number);
    struct bl_live_sums sums = {0};
    uint64_t free_bytes = 0;
    uint64_t alloc_bytes = 0;
    for (uint32_t i = 0; i < BL_SHARDS; i++) {
        free_bytes += bl_load_relaxed(&c->shard[i].free_bytes);
        sums.frees += bl_load_relaxed(&c->shard[i].frees);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < BL_SHARDS; i++) {
        alloc_bytes += bl_load_relaxed(&c->shard[i].alloc_bytes);
        sums.allocs += bl_load_relaxed(&c->shard[i].allocs);
    }
    int64_t bytes = (int64_t)(alloc_bytes - free_bytes);
    int64_t count = (int64_t)(sums.allocs - sums.frees);
    sums.bytes = bytes > 0 ? (uint64_t)bytes : 0;
    sums.count = count > 0 ? (uint64_t)count : 0;
    return sums;
}

/* What a block that ended stands for; times: -1 if it has not ended after all. */
BL_INLINE void bl_counters_end_sampled(uint8_t class_number, uint64_t size, int times)
{
    if (BL_LIKELY(bl_limit_sample_mean <= 1) || class_number != 0) /* heap */
        return;
    struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, class_number);
    uint64_t blocks = bl_limit_blocks(size);
    __atomic_fetch_add(&class->ended_blocks, times < 0 ? -blocks : blocks, __ATOMIC_RELAXED);
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
    bl_counters_end_sampled(class_number, size, 1);
    bl_counters_settle(c, class_number, -(int64_t)size);
}

#endif
