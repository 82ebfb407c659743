#include "live.h"
#include "clock.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"
#include "names.h"
#include "table.h"

#include <errno.h>

#define BATCH 32u /* records a shard takes from the common stock at a time */

/* One cache line. The table is uthash's; its list in order of insertion is not kept, because every
 * delete would touch two more lines: the two list pointers are free for our use. */
struct node {
    UT_hash_handle hh; /* prev: the record's number; in a free node, the next free one's */
    uint64_t address;  /* key */
};
static_assert(sizeof(struct node) == 64, "a node is a cache line");

static struct shard {
    struct bl_lock lock; /* BL_RANK_LIVE */
    uint32_t free_head;  /* record number, 0 = none */
    struct node head;    /* head.hh.tbl is the table, NULL until the first insert */
} BL_ALIGNED(64) shards[BL_SHARDS];

static struct bl_lock slab_lock = BL_LOCK_INIT; /* BL_RANK_SLAB */
static uint32_t slab_used = 1;                  /* (slab_lock) record 0 is never used */
static struct node *node_chunks[BL_CHUNKS_MAX]; /* (slab_lock) to write; nodes mirror the records */

struct place {
    struct shard *shard;
    unsigned hash;
    uint32_t index;
};

BL_INLINE struct place place_of(uint64_t address)
{
    uint64_t h = (address >> 3) * 0x9E3779B97F4A7C15u;
    uint32_t index = (uint32_t)(h >> 59) & (BL_SHARDS - 1);
    return (struct place){&shards[index], (unsigned)(h >> 24), index};
}

BL_INLINE struct node *node_at(uint32_t record)
{
    struct bl_chunk_position p = bl_ledger_locate(BL_SECTION_LIVE, record);
    return &node_chunks[p.chunk][p.record];
}

BL_INLINE uint32_t number_in(const struct node *n)
{
    return (uint32_t)(uintptr_t)n->hh.prev;
}

BL_INLINE void set_number(struct node *n, uint32_t number)
{
    n->hh.prev = (void *)(uintptr_t)number; // NOLINT(performance-no-int-to-ptr)
}

/* Makes the nodes of the chunk that holds `record`. */
static bool ensure_nodes_locked(uint32_t record)
{
    uint32_t chunk = bl_ledger_locate(BL_SECTION_LIVE, record).chunk;
    if (node_chunks[chunk])
        return true;
    const struct bl_geometry g = bl_geometry[BL_SECTION_LIVE];
    uint32_t log2 = chunk == 0 ? g.first : g.first + chunk - 1u;
    if (log2 > g.last)
        log2 = g.last;
    node_chunks[chunk] = bl_arena_map(sizeof(struct node) << log2);
    return node_chunks[chunk] != NULL;
}

/* Gives a shard its next batch of records. Batches never cross a chunk: both are powers of two. */
static bool refill_locked(struct shard *s)
{
    bl_lock_take(&slab_lock);
    uint32_t first = slab_used;
    uint32_t end = (first | (BATCH - 1)) + 1;
    enum bl_loss cause = BL_LOSS_buffers_no_space;
    bool ok = end > first && bl_ledger_ensure(BL_SECTION_LIVE, end) == 0;
    if (ok && !ensure_nodes_locked(first)) {
        cause = BL_LOSS_buffers_no_memory;
        ok = false;
    }
    if (ok) {
        slab_used = end;
        bl_ledger_publish(BL_SECTION_LIVE, end);
    }
    bl_lock_give(&slab_lock);
    if (!ok) {
        bl_losses_add(cause, 1);
        return false;
    }
    for (uint32_t r = end; r-- > first;) {
        set_number(node_at(r), s->free_head);
        s->free_head = r;
    }
    return true;
}

BL_INLINE struct bl_counter *counter_of(uint8_t class_number, uint32_t shard)
{
    struct bl_counters *c = bl_ledger_at(BL_SECTION_COUNTERS, class_number);
    return &c->shard[shard];
}

/* The peak needs a sum over the shards. A shard reports its change once it exceeds 1/4096 of the
 * peak, so 32 shards together withhold at most 1/128 of it, and small programs are exact. */
BL_INLINE void settle(struct bl_counter *c, uint8_t class_number, int64_t change)
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

/* Relaxed stores: the lock orders writers, the reader takes each 64-bit value as it is. */
BL_INLINE void count(uint64_t *counter, uint64_t change)
{
    bl_store_relaxed(counter, *counter + change);
}

static void count_birth_locked(uint32_t shard, uint8_t class_number, uint64_t size)
{
    struct bl_counter *c = counter_of(class_number, shard);
    count(&c->allocs, 1);
    count(&c->alloc_bytes, size);
    settle(c, class_number, (int64_t)size);
}

static void count_end_locked(uint32_t shard, uint8_t class_number, uint64_t size)
{
    struct bl_counter *c = counter_of(class_number, shard);
    count(&c->frees, 1);
    count(&c->free_bytes, size);
    settle(c, class_number, -(int64_t)size);
}

BL_INLINE uint8_t class_in(uint64_t word)
{
    return (uint8_t)(word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
}

static void fill_record(struct bl_live *r, const struct bl_buffer *b)
{
    uint64_t size = b->size_bytes < BL_LIVE_SIZE_MAX ? b->size_bytes : BL_LIVE_SIZE_MAX;
    uint64_t generation = (r->word >> BL_LIVE_GENERATION_SHIFT) + 1;
    uint64_t word = size << BL_LIVE_SIZE_SHIFT | (uint64_t)b->class_number << BL_LIVE_CLASS_SHIFT |
                    (generation & BL_LIVE_GENERATION_MASK) << BL_LIVE_GENERATION_SHIFT |
                    BL_LIVE_BIT;
    bl_store_relaxed(&r->address, b->address);
    bl_store_relaxed(&r->birth_ns, b->birth_ns);
    bl_store_relaxed(&r->stack, b->stack);
    bl_store_relaxed(&r->thread, b->thread);
    bl_store_release(&r->word, word);
}

BL_INLINE void read_record(const struct bl_live *r, struct bl_buffer *ret_buffer)
{
    *ret_buffer = (struct bl_buffer){
        .address = r->address,
        .size_bytes = r->word >> BL_LIVE_SIZE_SHIFT,
        .birth_ns = r->birth_ns,
        .stack = r->stack,
        .thread = r->thread,
        .class_number = class_in(r->word),
    };
}

/* Takes the live bit off; the generation stays so that a reader notices reuse. */
BL_INLINE void end_record(struct bl_live *r)
{
    bl_store_release(&r->word, r->word & ~BL_LIVE_BIT);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* before the fields are written for the next buffer */
}

static struct node *find_locked(const struct place *p, uint64_t address)
{
    struct node *n = NULL;
    struct node *head = &p->shard->head;
    if (BL_LIKELY(head->hh.tbl != NULL))
        HASH_FIND_BYHASHVALUE(hh, head, &address, sizeof address, p->hash, n);
    return n;
}

/* Growth is ours, at one element a bucket: uthash's own, by chain length, stops for good when it
 * thinks the hash is bad. Without memory chains get longer. */
static bool prepare_table_locked(struct shard *s)
{
    bool oom = false;
    struct node *head = &s->head;
    if (BL_UNLIKELY(!head->hh.tbl)) {
        HASH_MAKE_TABLE(hh, head, oom);
        if (oom) {
            head->hh.tbl = NULL;
            return false;
        }
        head->hh.tbl->noexpand = 1;
    }
    if (BL_UNLIKELY(head->hh.tbl->num_items >= head->hh.tbl->num_buckets)) {
        HASH_EXPAND_BUCKETS(&head->hh, head->hh.tbl, oom);
        head->hh.tbl->noexpand = 1;
    }
    return true;
}

static void link_locked(struct shard *s, struct node *n, unsigned hash)
{
    bool oom = false; /* not set: noexpand */
    unsigned bucket;
    UT_hash_table *table = s->head.hh.tbl;
    n->hh.tbl = table;
    n->hh.key = &n->address;
    n->hh.keylen = sizeof n->address;
    n->hh.hashv = hash;
    HASH_TO_BKT(hash, table->num_buckets, bucket);
    HASH_ADD_TO_BKT(table->buckets[bucket], hh, &n->hh, oom);
    table->num_items++;
    (void)oom;
}

static void unlink_locked(struct shard *s, struct node *n)
{
    unsigned bucket;
    UT_hash_table *table = s->head.hh.tbl;
    HASH_TO_BKT(n->hh.hashv, table->num_buckets, bucket);
    HASH_DEL_IN_BKT(table->buckets[bucket], &n->hh);
    table->num_items--;
}

/* Puts a free record into the index under address. NULL: no room, counted. */
static struct bl_live *add_locked(const struct place *p, uint64_t address)
{
    struct shard *s = p->shard;
    if (BL_UNLIKELY(!prepare_table_locked(s))) {
        bl_losses_add(BL_LOSS_buffers_no_memory, 1);
        return NULL;
    }
    if (BL_UNLIKELY(!s->free_head) && !refill_locked(s))
        return NULL;
    uint32_t record = s->free_head;
    struct node *n = node_at(record);
    s->free_head = number_in(n);
    set_number(n, record);
    n->address = address;
    link_locked(s, n, p->hash);
    return bl_ledger_at(BL_SECTION_LIVE, record);
}

static void replace_locked(const struct place *p, struct bl_live *old)
{
    bl_losses_add(BL_LOSS_buffers_replaced, 1);
    count_end_locked(p->index, class_in(old->word), old->word >> BL_LIVE_SIZE_SHIFT);
    end_record(old);
}

void bl_live_insert(const struct bl_buffer *buffer)
{
    struct place p = place_of(buffer->address);
    struct bl_live *r;
    bl_lock_take(&p.shard->lock);
    struct node *n = find_locked(&p, buffer->address);
    if (BL_UNLIKELY(n != NULL)) {
        r = bl_ledger_at(BL_SECTION_LIVE, number_in(n));
        replace_locked(&p, r);
    } else {
        r = add_locked(&p, buffer->address);
    }
    if (BL_LIKELY(r != NULL)) {
        fill_record(r, buffer);
        count_birth_locked(p.index, buffer->class_number, r->word >> BL_LIVE_SIZE_SHIFT);
    }
    bl_lock_give(&p.shard->lock);
}

bool bl_live_remove(uint64_t address, struct bl_buffer *ret_buffer)
{
    struct place p = place_of(address);
    bl_lock_take(&p.shard->lock);
    struct node *n = find_locked(&p, address);
    if (BL_LIKELY(n != NULL)) {
        uint32_t record = number_in(n);
        struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, record);
        if (ret_buffer)
            read_record(r, ret_buffer);
        end_record(r);
        count_end_locked(p.index, class_in(r->word), r->word >> BL_LIVE_SIZE_SHIFT);
        unlink_locked(p.shard, n);
        set_number(n, p.shard->free_head);
        p.shard->free_head = record;
    }
    bl_lock_give(&p.shard->lock);
    return n != NULL;
}

void bl_live_restore(const struct bl_buffer *buffer)
{
    struct place p = place_of(buffer->address);
    bl_lock_take(&p.shard->lock);
    struct bl_live *r = find_locked(&p, buffer->address) ? NULL : add_locked(&p, buffer->address);
    if (r) {
        struct bl_counter *c = counter_of(buffer->class_number, p.index);
        fill_record(r, buffer);
        count(&c->frees, (uint64_t)-1);
        count(&c->free_bytes, -buffer->size_bytes);
        settle(c, buffer->class_number, (int64_t)buffer->size_bytes);
    }
    bl_lock_give(&p.shard->lock);
}

bool bl_live_find(uint64_t address, struct bl_buffer *ret_buffer)
{
    struct place p = place_of(address);
    bl_lock_take(&p.shard->lock);
    const struct node *n = find_locked(&p, address);
    if (n)
        read_record(bl_ledger_at(BL_SECTION_LIVE, number_in(n)), ret_buffer);
    bl_lock_give(&p.shard->lock);
    return n != NULL;
}

int bl_live_add_class(const char *name)
{
    uint64_t n = bl_header->published[BL_SECTION_CLASSES];
    if (n >= BL_CLASSES_MAX || bl_ledger_ensure(BL_SECTION_CLASSES, (uint32_t)n + 1) != 0 ||
        bl_ledger_ensure(BL_SECTION_COUNTERS, (uint32_t)n + 1) != 0)
        return -ENOSPC;
    struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, (uint32_t)n);
    class->name = bl_names_add_str(name);
    bl_ledger_publish(BL_SECTION_COUNTERS, n + 1);
    bl_ledger_publish(BL_SECTION_CLASSES, n + 1);
    return (int)n;
}

void bl_live_lock(void)
{
    for (unsigned i = 0; i < BL_SHARDS; i++)
        bl_lock_take(&shards[i].lock);
    bl_lock_take(&slab_lock);
}

void bl_live_unlock(void)
{
    bl_lock_give(&slab_lock);
    for (unsigned i = BL_SHARDS; i-- > 0;)
        bl_lock_give(&shards[i].lock);
}

void bl_live_reset_lock(void)
{
    bl_lock_reset(&slab_lock);
    for (unsigned i = 0; i < BL_SHARDS; i++)
        bl_lock_reset(&shards[i].lock);
}

void bl_live_rebase_counters(void)
{
    for (uint32_t k = 0; k < bl_header->published[BL_SECTION_CLASSES]; k++) {
        for (uint32_t i = 0; i < BL_SHARDS; i++) {
            struct bl_counter *c = counter_of((uint8_t)k, i);
            c->allocs -= c->frees;
            c->alloc_bytes -= c->free_bytes;
            c->frees = 0;
            c->free_bytes = 0;
            c->retains = 0;
            c->releases = 0;
            c->over_releases = 0;
        }
        struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, k);
        class->peak_bytes = class->settled_bytes;
    }
}

void bl_live_reset(void)
{
    slab_used = 1;
    for (unsigned i = 0; i < BL_SHARDS; i++) {
        shards[i].free_head = 0;
        shards[i].head.hh.tbl = NULL;
    }
}
