#include "live.h"
#include "clock.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"
#include "names.h"
#include "table.h"

#include <errno.h>

#define BATCH 32u /* records a shard takes from the common stock at a time */

/*
 * From address to record number: a map of pages, three levels like a page table, one word for every
 * 16 bytes of address space in use. An end waits for one cache line, where a hash table has its
 * bucket and its node: the word also tells class and size, so the record is only stored to;
 * measured with 100,000 blocks replaced at random it costs a third of a tuned uthash. A leaf is
 * touched only where buffers start. address  46..35 root   34..22 directory   21..4 leaf   3..0
 * must be zero
 */
#define ROOT_BITS      12u
#define DIRECTORY_BITS 13u
#define LEAF_BITS      18u
#define LEAF_SHIFT     4u

/* bits 0-31 record number, 0 = none; 32-37 class; 38-63 size, or SIZE_IN_RECORD */
typedef uint64_t map_word;
#define SIZE_IN_RECORD ((1u << 26) - 1)

struct leaf {
    map_word word[1u << LEAF_BITS]; /* 2 MiB for 4 MiB of addresses */
};

struct directory {
    struct leaf *leaf[1u << DIRECTORY_BITS];
};

static struct directory *root[1u << ROOT_BITS];

/* What the map cannot hold is in a uthash per shard: addresses that are not multiples of 16 (small
 * blocks of jemalloc), and all others while there is no memory for a leaf. */
struct stray {
    UT_hash_handle hh;
    uint64_t address; /* key */
    map_word word;
    bool oom;
};

static struct shard {
    struct bl_lock lock; /* BL_RANK_LIVE */
    uint32_t free_head;  /* record number, 0 = none */
    uint32_t generation; /* of the next record; its low bits tell a reader of reuse */
    struct stray *strays;
} BL_ALIGNED(64) shards[BL_SHARDS];

static struct bl_lock slab_lock = BL_LOCK_INIT; /* BL_RANK_SLAB */
static uint32_t slab_used = 1;                  /* (slab_lock) record 0 is never used */
static uint32_t *link_chunks[BL_CHUNKS_MAX];    /* (slab_lock) to write */

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

/* ---- the page map ---- */

BL_INLINE bool is_mappable(uint64_t address)
{
    return (address & ((1u << LEAF_SHIFT) - 1)) == 0 && address >> 47 == 0;
}

BL_INLINE struct directory **directory_slot(uint64_t address)
{
    return &root[address >> (LEAF_SHIFT + LEAF_BITS + DIRECTORY_BITS)];
}

BL_INLINE struct leaf **leaf_slot(struct directory *d, uint64_t address)
{
    return &d->leaf[address >> (LEAF_SHIFT + LEAF_BITS) & ((1u << DIRECTORY_BITS) - 1)];
}

/* The slot of address, or NULL: nothing is mapped there. */
BL_INLINE map_word *find_slot(uint64_t address)
{
    if (BL_UNLIKELY(!is_mappable(address)))
        return NULL;
    struct directory *d = bl_load_acquire(directory_slot(address));
    struct leaf *leaf = BL_LIKELY(d != NULL) ? bl_load_acquire(leaf_slot(d, address)) : NULL;
    if (BL_UNLIKELY(!leaf))
        return NULL;
    return &leaf->word[address >> LEAF_SHIFT & ((1u << LEAF_BITS) - 1)];
}

/* Puts fresh zeroed pages into *slot, unless another shard's thread was faster. */
static void *install(void **slot, size_t size)
{
    void *seen = bl_load_acquire(slot);
    if (seen)
        return seen;
    void *fresh = bl_arena_map(size);
    if (fresh && !__atomic_compare_exchange_n(slot, &seen, fresh, false, __ATOMIC_ACQ_REL,
                                              __ATOMIC_ACQUIRE)) {
        bl_arena_unmap(fresh, size);
        return seen;
    }
    return fresh;
}

static map_word *make_slot(uint64_t address)
{
    if (!is_mappable(address))
        return NULL;
    struct directory *d = install((void **)directory_slot(address), sizeof *d);
    if (!d || !install((void **)leaf_slot(d, address), sizeof(struct leaf)))
        return NULL;
    return find_slot(address);
}

void bl_live_prefetch(uint64_t address)
{
    __builtin_prefetch(find_slot(address), 1);
}

/* ---- the index: page map and strays as one ---- */

static struct stray *find_stray_locked(const struct place *p, uint64_t address)
{
    struct stray *s = NULL;
    HASH_FIND_BYHASHVALUE(hh, p->shard->strays, &address, sizeof address, p->hash, s);
    return s;
}

BL_INLINE map_word make_word(uint32_t record, uint8_t class_number, uint64_t size)
{
    uint64_t kept = size < SIZE_IN_RECORD ? size : SIZE_IN_RECORD;
    return record | (uint64_t)class_number << 32 | kept << 38;
}

BL_INLINE uint32_t number_in(map_word w)
{
    return (uint32_t)w;
}

BL_INLINE uint8_t class_in(map_word w)
{
    return (uint8_t)(w >> 32 & (BL_CLASSES_MAX - 1));
}

BL_INLINE uint64_t size_in(map_word w)
{
    uint64_t size = w >> 38;
    if (BL_LIKELY(size != SIZE_IN_RECORD))
        return size;
    const struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, number_in(w));
    return r->word >> BL_LIVE_SIZE_SHIFT;
}

/* The word of address, 0 if it is not recorded. */
BL_INLINE map_word index_find_locked(const struct place *p, uint64_t address)
{
    const map_word *slot = find_slot(address);
    if (BL_LIKELY(slot && *slot))
        return *slot;
    if (BL_LIKELY(!p->shard->strays))
        return 0;
    const struct stray *s = find_stray_locked(p, address);
    return s ? s->word : 0;
}

static bool add_stray_locked(const struct place *p, uint64_t address, map_word word)
{
    struct stray *s = bl_arena_alloc(sizeof *s);
    if (!s)
        return false;
    *s = (struct stray){.address = address, .word = word};
    HASH_ADD_BYHASHVALUE(hh, p->shard->strays, address, sizeof s->address, p->hash, s);
    bool ok = !s->oom;
    if (!ok)
        bl_arena_free(s, sizeof *s);
    return ok;
}

/* Adds address, or gives it a new word. */
BL_INLINE bool index_set_locked(const struct place *p, uint64_t address, map_word word)
{
    map_word *slot = find_slot(address);
    if (BL_UNLIKELY(p->shard->strays != NULL)) {
        struct stray *s = find_stray_locked(p, address);
        if (s) {
            s->word = word;
            return true;
        }
    }
    if (BL_UNLIKELY(!slot))
        slot = make_slot(address);
    if (BL_UNLIKELY(!slot))
        return add_stray_locked(p, address, word);
    *slot = word;
    return true;
}

static void index_remove_locked(const struct place *p, uint64_t address)
{
    map_word *slot = find_slot(address);
    if (BL_LIKELY(slot && *slot)) {
        *slot = 0;
        return;
    }
    struct stray *s = find_stray_locked(p, address);
    HASH_DELETE(hh, p->shard->strays, s);
    bl_arena_free(s, sizeof *s);
}

/* ---- unused records ---- */

BL_INLINE uint32_t *link_of(uint32_t record)
{
    struct bl_chunk_position p = bl_ledger_locate(BL_SECTION_LIVE, record);
    return &link_chunks[p.chunk][p.record];
}

/* The links of unused records are in private memory: nobody can bend them through the file. */
static bool ensure_links_locked(uint32_t record)
{
    uint32_t chunk = bl_ledger_locate(BL_SECTION_LIVE, record).chunk;
    if (link_chunks[chunk])
        return true;
    const struct bl_geometry g = bl_geometry[BL_SECTION_LIVE];
    uint32_t log2 = chunk == 0 ? g.first : g.first + chunk - 1u;
    if (log2 > g.last)
        log2 = g.last;
    link_chunks[chunk] = bl_arena_map(sizeof(uint32_t) << log2);
    return link_chunks[chunk] != NULL;
}

/* Gives a shard its next batch of records. Batches never cross a chunk: both are powers of two. */
static bool refill_locked(struct shard *s)
{
    bl_lock_take(&slab_lock);
    uint32_t first = slab_used;
    uint32_t end = (first | (BATCH - 1)) + 1;
    enum bl_loss cause = BL_LOSS_buffers_no_space;
    bool ok = end > first && bl_ledger_ensure(BL_SECTION_LIVE, end) == 0;
    if (ok && !ensure_links_locked(first)) {
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
        *link_of(r) = s->free_head;
        s->free_head = r;
    }
    return true;
}

/* ---- counters ---- */

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

/* ---- records ---- */

BL_INLINE struct bl_live *record_at(map_word w)
{
    return bl_ledger_at(BL_SECTION_LIVE, number_in(w));
}

BL_INLINE uint64_t recorded_size(const struct bl_buffer *b)
{
    return b->size_bytes < BL_LIVE_SIZE_MAX ? b->size_bytes : BL_LIVE_SIZE_MAX;
}

BL_INLINE void fill_record_locked(struct shard *s, struct bl_live *r, const struct bl_buffer *b)
{
    uint64_t generation = s->generation++ & BL_LIVE_GENERATION_MASK;
    uint64_t word = recorded_size(b) << BL_LIVE_SIZE_SHIFT |
                    (uint64_t)b->class_number << BL_LIVE_CLASS_SHIFT |
                    generation << BL_LIVE_GENERATION_SHIFT | BL_LIVE_BIT;
    bl_store_relaxed(&r->address, b->address);
    bl_store_relaxed(&r->birth_ns, b->birth_ns);
    bl_store_relaxed(&r->stack, b->stack);
    bl_store_relaxed(&r->thread, b->thread);
    bl_store_release(&r->word, word);
}

static void read_record(map_word w, struct bl_buffer *ret_buffer)
{
    const struct bl_live *r = record_at(w);
    *ret_buffer = (struct bl_buffer){
        .address = r->address,
        .size_bytes = size_in(w),
        .birth_ns = r->birth_ns,
        .stack = r->stack,
        .thread = r->thread,
        .class_number = class_in(w),
    };
}

BL_INLINE void end_record_locked(const struct place *p, map_word w)
{
    uint64_t size = size_in(w);
    bl_store_release(&record_at(w)->word, 0);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* before the fields are written for the next buffer */
    count_end_locked(p->index, class_in(w), size);
}

/* Records buffer under the given number, which is in the index already or enters it. */
BL_INLINE bool put_locked(const struct place *p, const struct bl_buffer *b, uint32_t number)
{
    map_word w = make_word(number, b->class_number, recorded_size(b));
    if (BL_UNLIKELY(!index_set_locked(p, b->address, w))) {
        bl_losses_add(BL_LOSS_buffers_no_memory, 1);
        return false;
    }
    fill_record_locked(p->shard, record_at(w), b);
    return true;
}

/* Records buffer in an unused record. False: no room, counted. */
BL_INLINE bool put_new_locked(const struct place *p, const struct bl_buffer *b)
{
    struct shard *s = p->shard;
    if (BL_UNLIKELY(!s->free_head) && !refill_locked(s))
        return false;
    uint32_t number = s->free_head;
    uint32_t next = *link_of(number);
    if (!put_locked(p, b, number))
        return false;
    s->free_head = next;
    return true;
}

void bl_live_insert(const struct bl_buffer *buffer)
{
    struct place p = place_of(buffer->address);
    bool done;
    bl_lock_take(&p.shard->lock);
    map_word w = index_find_locked(&p, buffer->address);
    if (BL_UNLIKELY(w != 0)) {
        bl_losses_add(BL_LOSS_buffers_replaced, 1);
        end_record_locked(&p, w);
        done = put_locked(&p, buffer, number_in(w));
    } else {
        done = put_new_locked(&p, buffer);
    }
    if (BL_LIKELY(done))
        count_birth_locked(p.index, buffer->class_number, recorded_size(buffer));
    bl_lock_give(&p.shard->lock);
}

bool bl_live_remove(uint64_t address, struct bl_buffer *ret_buffer)
{
    struct place p = place_of(address);
    bl_lock_take(&p.shard->lock);
    map_word w = index_find_locked(&p, address);
    if (BL_LIKELY(w != 0)) {
        if (ret_buffer)
            read_record(w, ret_buffer);
        end_record_locked(&p, w);
        index_remove_locked(&p, address);
        *link_of(number_in(w)) = p.shard->free_head;
        p.shard->free_head = number_in(w);
    }
    bl_lock_give(&p.shard->lock);
    return w != 0;
}

void bl_live_restore(const struct bl_buffer *buffer)
{
    struct place p = place_of(buffer->address);
    bl_lock_take(&p.shard->lock);
    if (!index_find_locked(&p, buffer->address) && put_new_locked(&p, buffer)) {
        struct bl_counter *c = counter_of(buffer->class_number, p.index);
        count(&c->frees, (uint64_t)-1);
        count(&c->free_bytes, -recorded_size(buffer));
        settle(c, buffer->class_number, (int64_t)recorded_size(buffer));
    }
    bl_lock_give(&p.shard->lock);
}

void bl_live_resize(uint64_t address, uint64_t size_bytes)
{
    struct place p = place_of(address);
    bl_lock_take(&p.shard->lock);
    map_word w = index_find_locked(&p, address);
    if (w) {
        struct bl_buffer b;
        read_record(w, &b);
        struct bl_counter *c = counter_of(b.class_number, p.index);
        int64_t change = (int64_t)(size_bytes - b.size_bytes);
        b.size_bytes = size_bytes;
        put_locked(&p, &b, number_in(w));
        count(&c->alloc_bytes, (uint64_t)change);
        settle(c, b.class_number, change);
    }
    bl_lock_give(&p.shard->lock);
}

bool bl_live_find(uint64_t address, struct bl_buffer *ret_buffer)
{
    struct place p = place_of(address);
    bl_lock_take(&p.shard->lock);
    map_word w = index_find_locked(&p, address);
    if (w)
        read_record(w, ret_buffer);
    bl_lock_give(&p.shard->lock);
    return w != 0;
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
    for (unsigned i = 0; i < 1u << ROOT_BITS; i++)
        root[i] = NULL;
    for (unsigned i = 0; i < BL_SHARDS; i++) {
        shards[i].free_head = 0;
        shards[i].strays = NULL;
    }
}
