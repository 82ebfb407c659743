#include "live.h"
#include "counters.h"
#include "guard.h"
#include "limit.h"
#include "lock.h"
#include "losses.h"
#include "names.h"
#include "table.h"

#include <errno.h>

/* Unused records move between a shard and the common stock in batches: what one thread allocates
 * another may free for ever. */
#define BATCH 128u

#define HEAP 0u /* class number */

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

/* bits 0-31 record number, 0 = none; 32-37 class; 38-61 size, or SIZE_IN_RECORD; 62 watched; 63
 * held */
typedef uint64_t map_word;
#define SIZE_IN_RECORD ((1u << 24) - 1)
#define FLAGS_SHIFT    62
#define WATCHED        (1ull << 62)
#define HELD           (1ull << 63)
#define FLAGS          (WATCHED | HELD)
static_assert((map_word)BL_REMOVED_WATCHED << (FLAGS_SHIFT - 1) == WATCHED &&
                  (map_word)BL_REMOVED_HELD << (FLAGS_SHIFT - 1) == HELD,
              "what a removal says is the word's flags");

struct leaf {
    map_word word[1u << LEAF_BITS]; /* 2 MiB for 4 MiB of addresses */
};

struct directory {
    struct leaf *leaf[1u << DIRECTORY_BITS];
};

static struct directory *root[1u << ROOT_BITS];

/* What the map cannot hold is in uthash tables, sharded by address: addresses that are not
 * multiples of 16 (small blocks of jemalloc), and all others while there is no memory for a leaf.
 */
#define STRAY_SHARDS 16u

struct stray {
    UT_hash_handle hh;
    uint64_t address; /* key */
    map_word word;
    bool oom;
};

static struct stray_shard {
    struct bl_lock lock; /* BL_RANK_STRAYS */
    struct stray *table; /* (lock); read without it only to see that it is empty */
} BL_ALIGNED(64) stray_shards[STRAY_SHARDS];

/* A thread works in one shard, so that lock, counters and unused records stay in its cache. */
static struct shard {
    struct bl_lock lock; /* BL_RANK_LIVE */
    uint32_t free_head;  /* record number, 0 = none */
    uint32_t free_count;
    uint32_t generation; /* of the next record; its low bits tell a reader of reuse */
    uint32_t index;
} BL_ALIGNED(64) shards[BL_SHARDS];

static uint32_t shard_turn;                     /* atomic: next thread's shard */
static struct bl_lock slab_lock = BL_LOCK_INIT; /* BL_RANK_SLAB */
static uint32_t slab_used = 1;                  /* (slab_lock) to write; record 0 is never used */
static uint32_t stock_head;                     /* (slab_lock) batches of no shard */

static uint64_t hidden_classes; /* a bit each */

static BL_TLS struct shard *own_shard;

BL_COLD static struct shard *choose_shard(void)
{
    uint32_t index = bl_add_relaxed(&shard_turn, 1) & (BL_SHARDS - 1);
    shards[index].index = index;
    own_shard = &shards[index];
    return own_shard;
}

BL_INLINE struct shard *lock_own_shard(void)
{
    struct shard *s = own_shard;
    if (BL_UNLIKELY(!s))
        s = choose_shard();
    bl_lock_take(&s->lock);
    return s;
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

/* ---- strays ---- */

BL_INLINE struct stray_shard *stray_shard_of(uint64_t address)
{
    return &stray_shards[bl_table_hash(&address, sizeof address) >> 28 & (STRAY_SHARDS - 1)];
}

/* Sets the word of address and returns the one it had. 0 takes it out. oom: it could not be added.
 */
BL_NOINLINE static map_word exchange_stray(uint64_t address, map_word word, bool *ret_oom)
{
    struct stray_shard *shard = stray_shard_of(address);
    struct stray *s = NULL;
    map_word old = 0;
    *ret_oom = false;
    bl_lock_take(&shard->lock);
    HASH_FIND(hh, shard->table, &address, sizeof address, s);
    if (s) {
        old = s->word;
        s->word = word;
    }
    if (s && !word) {
        HASH_DELETE(hh, shard->table, s);
        bl_arena_free(s, sizeof *s);
    } else if (!s && word) {
        s = bl_arena_alloc(sizeof *s);
        if (s) {
            *s = (struct stray){.address = address, .word = word};
            HASH_ADD(hh, shard->table, address, sizeof s->address, s);
        }
        *ret_oom = !s || s->oom;
        if (s && s->oom)
            bl_arena_free(s, sizeof *s);
    }
    bl_lock_give(&shard->lock);
    return old;
}

static map_word find_stray(uint64_t address)
{
    struct stray_shard *shard = stray_shard_of(address);
    const struct stray *s = NULL;
    bl_lock_take(&shard->lock);
    HASH_FIND(hh, shard->table, &address, sizeof address, s);
    map_word word = s ? s->word : 0;
    bl_lock_give(&shard->lock);
    return word;
}

/* ---- the index: page map and strays as one ---- */

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
    uint64_t size = w >> 38 & SIZE_IN_RECORD;
    if (BL_LIKELY(size != SIZE_IN_RECORD))
        return size;
    const struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, number_in(w));
    return r->word >> BL_LIVE_SIZE_SHIFT;
}

/* An address is the allocator's to give: two threads have it at once only in a broken program,
 * whose double free must not put one record to two uses. Hence the exchange. */
BL_INLINE map_word index_take(uint64_t address)
{
    map_word *slot = find_slot(address);
    if (BL_LIKELY(slot && bl_load_relaxed(slot)))
        return __atomic_exchange_n(slot, 0, __ATOMIC_ACQ_REL);
    bool oom;
    if (BL_LIKELY(!bl_load_relaxed(&stray_shard_of(address)->table)))
        return 0;
    return exchange_stray(address, 0, &oom);
}

BL_INLINE map_word index_find(uint64_t address)
{
    const map_word *slot = find_slot(address);
    if (BL_LIKELY(slot && bl_load_relaxed(slot)))
        return bl_load_acquire(slot);
    return bl_load_relaxed(&stray_shard_of(address)->table) ? find_stray(address) : 0;
}

/* Enters address under a new word and returns the one it had. */
BL_INLINE map_word index_put(uint64_t address, map_word word, bool *ret_oom)
{
    map_word *slot = find_slot(address);
    *ret_oom = false;
    if (BL_UNLIKELY(!slot))
        slot = make_slot(address);
    if (BL_UNLIKELY(!slot))
        return exchange_stray(address, word, ret_oom);
    map_word old = __atomic_exchange_n(slot, word, __ATOMIC_ACQ_REL);
    /* It may have become a stray while there was no memory for the leaf. */
    if (BL_UNLIKELY(!old && bl_load_relaxed(&stray_shard_of(address)->table))) {
        bool oom;
        old = exchange_stray(address, 0, &oom);
    }
    return old;
}

/* ---- unused records ---- */

/* An unused record links to the next by its stack field: the line is in hand anyway. The first of a
 * batch in the stock links to the next batch by its thread field. A link that was bent through the
 * file ends the list, so nothing outside the slab is ever touched. */
BL_INLINE uint32_t next_of(uint32_t record)
{
    const struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, record);
    uint32_t next = bl_load_relaxed(&r->stack);
    return BL_LIKELY(next < bl_load_relaxed(&slab_used)) ? next : 0;
}

BL_INLINE void set_next(uint32_t record, uint32_t next)
{
    struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, record);
    bl_store_relaxed(&r->stack, next);
}

/* A batch of records never used before. Batches never cross a chunk: both are powers of two. */
static bool carve_locked(struct shard *s)
{
    uint32_t first = slab_used;
    uint32_t end = (first | (BATCH - 1)) + 1;
    if (end < first || bl_ledger_ensure(BL_SECTION_LIVE, end) != 0) {
        bl_losses_add(BL_LOSS_buffers_no_space, 1);
        return false;
    }
    bl_store_relaxed(&slab_used, end);
    bl_ledger_publish(BL_SECTION_LIVE, end);
    for (uint32_t r = end; r-- > first;) {
        set_next(r, s->free_head);
        s->free_head = r;
    }
    s->free_count += end - first;
    return true;
}

/* The next batch in the stock after the one that starts with `record`. */
BL_INLINE uint32_t next_batch_of(uint32_t record)
{
    const struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, record);
    uint32_t next = bl_load_relaxed(&r->thread);
    return BL_LIKELY(next < bl_load_relaxed(&slab_used)) ? next : 0;
}

/* The shard has none left. A batch changes hands as it is: to walk through records that were freed
 * long ago would wait for the memory of each. */
BL_NOINLINE static bool refill_locked(struct shard *s)
{
    bool ok = true;
    bl_lock_take(&slab_lock);
    if (stock_head) {
        s->free_head = stock_head;
        s->free_count = BATCH;
        stock_head = next_batch_of(stock_head);
    } else {
        ok = carve_locked(s);
    }
    bl_lock_give(&slab_lock);
    return ok;
}

/* This thread frees what others allocate: its surplus goes back to the stock. */
BL_NOINLINE static void spill_locked(struct shard *s)
{
    uint32_t head = s->free_head;
    uint32_t tail = head;
    for (uint32_t i = 1; i < BATCH; i++)
        tail = next_of(tail);
    s->free_head = next_of(tail);
    s->free_count -= BATCH;
    set_next(tail, 0);
    struct bl_live *first = bl_ledger_at(BL_SECTION_LIVE, head);
    bl_lock_take(&slab_lock);
    bl_store_relaxed(&first->thread, stock_head);
    stock_head = head;
    bl_lock_give(&slab_lock);
}

BL_INLINE uint32_t take_record_locked(struct shard *s)
{
    if (BL_UNLIKELY(!s->free_head) && !refill_locked(s))
        return 0;
    uint32_t record = s->free_head;
    s->free_head = next_of(record);
    s->free_count--;
    __builtin_prefetch(bl_ledger_at(BL_SECTION_LIVE, s->free_head), 1); /* for the next one */
    return record;
}

BL_INLINE void give_record_locked(struct shard *s, uint32_t record)
{
    set_next(record, s->free_head);
    s->free_head = record;
    if (BL_UNLIKELY(++s->free_count > 2 * BATCH))
        spill_locked(s);
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
    uint64_t hidden = bl_load_relaxed(&hidden_classes) >> b->class_number & 1;
    uint64_t word = recorded_size(b) << BL_LIVE_SIZE_SHIFT | hidden * BL_LIVE_IGNORED |
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
        .watched = (w & WATCHED) != 0,
    };
}

/* Ends the record that w names and gives it back. */
BL_INLINE void end_locked(struct shard *s, map_word w)
{
    uint64_t size = size_in(w);
    __builtin_prefetch(record_at(w), 1);
    bl_store_release(&record_at(w)->word, 0);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* before the fields are written for the next buffer */
    bl_counters_end(s->index, class_in(w), size);
    give_record_locked(s, number_in(w));
}

bool bl_live_is_limited(uint8_t class_number)
{
    return class_number == HEAP || (bl_load_relaxed(&hidden_classes) >> class_number & 1);
}

BL_COLD static void leave_limit(map_word w)
{
    if (bl_live_is_limited(class_in(w)))
        bl_limit_settle(bl_limit_weight(size_in(w)), 0);
}

/* Records buffer and enters it into the index. False: no room, counted. */
BL_INLINE bool put_locked(struct shard *s, const struct bl_buffer *b)
{
    uint32_t record = take_record_locked(s);
    bool oom;
    if (BL_UNLIKELY(!record))
        return false;
    map_word w = make_word(record, b->class_number, recorded_size(b)) | (map_word)b->watched
                                                                            << FLAGS_SHIFT;
    fill_record_locked(s, record_at(w), b);
    map_word old = index_put(b->address, w, &oom);
    if (BL_UNLIKELY(oom)) {
        bl_store_release(&record_at(w)->word, 0);
        give_record_locked(s, record);
        bl_losses_add(BL_LOSS_buffers_no_memory, 1);
        return false;
    }
    if (BL_UNLIKELY(old)) {
        bl_losses_add(BL_LOSS_buffers_replaced, 1);
        if (BL_UNLIKELY(bl_limit_on))
            leave_limit(old);
        end_locked(s, old);
    }
    return true;
}

bool bl_live_insert(const struct bl_buffer *buffer)
{
    struct shard *s = lock_own_shard();
    bool done = put_locked(s, buffer);
    if (BL_LIKELY(done))
        bl_counters_birth(s->index, buffer->class_number, recorded_size(buffer));
    bl_lock_give(&s->lock);
    return done;
}

/* read_if: flags that make it worth reading the record. */
BL_INLINE unsigned remove_record(uint64_t address, map_word read_if, bool leaves_limit,
                                 struct bl_buffer *ret_buffer)
{
    struct shard *s = lock_own_shard();
    map_word w = index_take(address);
    if (BL_LIKELY(w != 0)) {
        if (w & read_if)
            read_record(w, ret_buffer);
        if (BL_UNLIKELY(bl_limit_on) && leaves_limit)
            leave_limit(w);
        end_locked(s, w);
    }
    bl_lock_give(&s->lock);
    return w ? BL_REMOVED | (unsigned)(w >> FLAGS_SHIFT) << 1 : BL_REMOVED_NONE;
}

unsigned bl_live_remove(uint64_t address, struct bl_buffer *ret_buffer)
{
    return remove_record(address, ret_buffer ? ~0ull : 0, true, ret_buffer);
}

unsigned bl_live_end(uint64_t address, struct bl_buffer *ret_buffer)
{
    return remove_record(address, WATCHED, true, ret_buffer);
}

unsigned bl_live_take_out(uint64_t address, uint64_t new_bytes, struct bl_buffer *ret_buffer)
{
    struct shard *s = lock_own_shard();
    map_word w = index_take(address);
    if (BL_LIKELY(w != 0)) {
        read_record(w, ret_buffer);
        bl_tls.moving_bytes = ret_buffer->size_bytes;
        bl_tls.moving_new_bytes = new_bytes;
        bl_tls.moving = address;
        end_locked(s, w);
    }
    bl_lock_give(&s->lock);
    return w ? BL_REMOVED | (unsigned)(w >> FLAGS_SHIFT) << 1 : BL_REMOVED_NONE;
}

bool bl_live_hold(uint64_t address)
{
    struct shard *s = lock_own_shard();
    map_word w = index_find(address);
    bool oom;
    if (w)
        index_put(address, w | HELD, &oom);
    bl_lock_give(&s->lock);
    return (w & HELD) != 0;
}

bool bl_live_restore(const struct bl_buffer *buffer)
{
    struct shard *s = lock_own_shard();
    uint64_t size = recorded_size(buffer);
    bool done = !index_find(buffer->address) && put_locked(s, buffer);
    if (done) {
        struct bl_counter *c = bl_counters_of(buffer->class_number, s->index);
        bl_counters_add(&c->frees, (uint64_t)-1);
        bl_counters_add(&c->free_bytes, -size);
        bl_counters_end_sampled(buffer->class_number, size, -1);
        bl_counters_settle(c, buffer->class_number, (int64_t)size);
    }
    bl_lock_give(&s->lock);
    return done;
}

void bl_live_resize(uint64_t address, uint64_t size_bytes)
{
    struct shard *s = lock_own_shard();
    map_word w = index_find(address);
    if (w) {
        struct bl_buffer b;
        bool oom;
        read_record(w, &b);
        struct bl_counter *c = bl_counters_of(b.class_number, s->index);
        int64_t change = (int64_t)(size_bytes - b.size_bytes);
        if (BL_UNLIKELY(bl_limit_on) && bl_live_is_limited(b.class_number))
            bl_limit_settle(bl_limit_weight(b.size_bytes), bl_limit_weight(size_bytes));
        b.size_bytes = size_bytes;
        fill_record_locked(s, record_at(w), &b);
        map_word resized = make_word(number_in(w), b.class_number, recorded_size(&b));
        index_put(address, resized | (w & FLAGS), &oom);
        bl_counters_add(&c->alloc_bytes, (uint64_t)change);
        bl_counters_settle(c, b.class_number, change);
    }
    bl_lock_give(&s->lock);
}

void bl_live_hide_class(uint8_t class_number)
{
    __atomic_fetch_or(&hidden_classes, 1ull << class_number, __ATOMIC_RELAXED);
}

bool bl_live_move(uint64_t address, uint8_t from, uint8_t to)
{
    struct shard *s = lock_own_shard();
    map_word w = index_find(address);
    bool found = w && class_in(w) == from;
    if (found) {
        struct bl_buffer b;
        bool oom;
        read_record(w, &b);
        b.class_number = to;
        fill_record_locked(s, record_at(w), &b);
        index_put(address, make_word(number_in(w), to, recorded_size(&b)) | (w & FLAGS), &oom);
        bl_counters_end(s->index, from, b.size_bytes);
        bl_counters_birth(s->index, to, b.size_bytes);
    }
    bl_lock_give(&s->lock);
    return found;
}

bool bl_live_find(uint64_t address, struct bl_buffer *ret_buffer)
{
    struct shard *s = lock_own_shard();
    map_word w = index_find(address);
    if (w)
        read_record(w, ret_buffer);
    bl_lock_give(&s->lock);
    return w != 0;
}

void bl_live_restack_locked(uint64_t address, uint32_t old_stack, uint32_t new_stack)
{
    const map_word *slot = find_slot(address);
    map_word w = slot ? bl_load_relaxed(slot) : 0;
    if (!w)
        return;
    struct bl_live *r = bl_ledger_at(BL_SECTION_LIVE, number_in(w));
    if (r->word & BL_LIVE_BIT && r->address == address && r->stack == old_stack)
        bl_store_relaxed(&r->stack, new_stack);
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
    for (unsigned i = 0; i < STRAY_SHARDS; i++)
        bl_lock_take(&stray_shards[i].lock);
}

void bl_live_unlock(void)
{
    for (unsigned i = STRAY_SHARDS; i-- > 0;)
        bl_lock_give(&stray_shards[i].lock);
    bl_lock_give(&slab_lock);
    for (unsigned i = BL_SHARDS; i-- > 0;)
        bl_lock_give(&shards[i].lock);
}

void bl_live_reset_lock(void)
{
    for (unsigned i = 0; i < STRAY_SHARDS; i++)
        bl_lock_reset(&stray_shards[i].lock);
    bl_lock_reset(&slab_lock);
    for (unsigned i = 0; i < BL_SHARDS; i++)
        bl_lock_reset(&shards[i].lock);
}

void bl_live_rebase_counters(void)
{
    for (uint32_t k = 0; k < bl_header->published[BL_SECTION_CLASSES]; k++) {
        for (uint32_t i = 0; i < BL_SHARDS; i++) {
            struct bl_counter *c = bl_counters_of((uint8_t)k, i);
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
        class->ended_blocks = 0;
    }
}

void bl_live_reset(void)
{
    slab_used = 1;
    stock_head = 0;
    for (unsigned i = 0; i < 1u << ROOT_BITS; i++)
        root[i] = NULL;
    for (unsigned i = 0; i < BL_SHARDS; i++) {
        shards[i].free_head = 0;
        shards[i].free_count = 0;
    }
    for (unsigned i = 0; i < STRAY_SHARDS; i++)
        stray_shards[i].table = NULL;
}
