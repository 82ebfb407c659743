#include "references.h"
#include "counters.h"
#include "flights.h"
#include "live.h"
#include "lock.h"
#include "losses.h"
#include "slab.h"
#include "table.h"

#define SHARDS     BL_SHARDS
#define TOMBSTONES (1u << 12) /* ended handles remembered, to tell an over-release */

static struct bl_slab objects = {
    .section = BL_SECTION_OBJECTS, .link_offset = offsetof(struct bl_object, stack), .used = 1};

BL_INLINE struct bl_object *object_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_OBJECTS, n);
}

static struct bl_ref_policy policies[BL_CLASSES_MAX];

BL_INLINE const struct bl_ref_policy *policy_of(uint8_t class_number)
{
    return &policies[class_number & (BL_CLASSES_MAX - 1)];
}

/* The class that the functions are those of. */
BL_INLINE uint8_t family_of(uint8_t class_number)
{
    uint8_t family = policy_of(class_number)->kind_of;
    return family ? family : class_number;
}

/* ---- the index: handle to records ---- */

/* Sharded by handle alone, so that a handle can be asked for whatever its class. Of the buffers of
 * several classes at one address, one is in the table and leads to the others. */
struct entry {
    UT_hash_handle hh;
    uint64_t handle;
    struct entry *more;
    uint32_t record;
    uint8_t class_number;
    bool oom;
};

static struct shard {
    struct bl_lock lock; /* BL_RANK_REFS */
    struct entry *table; /* (lock) */
} BL_ALIGNED(64) shards[SHARDS];

/* Where a handle is, or would be. Its class is that of the function called, until the buffer that
 * is found tells the kind. */
struct spot {
    struct shard *shard;
    uint64_t handle;
    uint32_t index;
    uint8_t class_number;
};

BL_INLINE struct spot spot_of(uint64_t handle, uint8_t class_number)
{
    uint32_t index = bl_table_hash(&handle, sizeof handle) >> 27 & (SHARDS - 1);
    return (struct spot){&shards[index], handle, index, class_number};
}

/* Takes the lock; every operation of a thread begins so. */
static struct spot begin(const struct bl_ref_event *e)
{
    struct spot at = spot_of(e->handle, e->class_number);
    struct bl_thread_state *t = bl_tls.thread;
    if (BL_LIKELY(t != NULL))
        bl_flights_land(t, e->sp);
    bl_lock_take(&at.shard->lock);
    return at;
}

static struct entry *find_any_locked(const struct spot *at)
{
    struct entry *e = NULL;
    HASH_FIND(hh, at->shard->table, &at->handle, sizeof at->handle, e);
    return e;
}

static struct entry *find_locked(struct spot *at)
{
    struct entry *e = find_any_locked(at);
    while (e && e->class_number != at->class_number &&
           family_of(e->class_number) != family_of(at->class_number))
        e = e->more;
    if (e)
        at->class_number = e->class_number;
    return e;
}

static struct entry *add_locked(const struct spot *at, uint32_t record)
{
    struct entry *first = find_any_locked(at);
    struct entry *e = bl_arena_alloc(sizeof *e);
    if (!e)
        return NULL;
    *e = (struct entry){.handle = at->handle, .record = record, .class_number = at->class_number};
    if (first) {
        e->more = first->more;
        first->more = e;
        return e;
    }
    HASH_ADD(hh, at->shard->table, handle, sizeof e->handle, e);
    if (e->oom) {
        bl_arena_free(e, sizeof *e);
        return NULL;
    }
    return e;
}

/* Nothing is added to the table, for which there might be no memory: what follows the first moves
 * into it. */
static void remove_locked(const struct spot *at, struct entry *e)
{
    struct entry *before = find_any_locked(at);
    struct entry *gone = e;
    if (before != e) {
        while (before->more != e)
            before = before->more;
        before->more = e->more;
    } else if (e->more) {
        gone = e->more;
        e->record = gone->record;
        e->class_number = gone->class_number;
        e->more = gone->more;
    } else {
        HASH_DELETE(hh, at->shard->table, e);
    }
    bl_arena_free(gone, sizeof *gone);
}

/* ---- tombstones ---- */

/* The last handles that ended, each over the one before it at its place. Under the handle's shard
 * lock; a place belongs to one shard. */
struct tombstone {
    uint64_t handle;
    uint64_t time_ns;
    uint64_t size;
    uint32_t birth_stack;
    uint32_t end_stack;
    uint32_t end_thread;
    uint8_t class_number; /* 0: none */
};

static struct tombstone tombstones[SHARDS][TOMBSTONES / SHARDS];

BL_INLINE struct tombstone *tombstone_place(const struct spot *at)
{
    uint32_t place = bl_table_hash(&at->handle, sizeof at->handle) & (TOMBSTONES / SHARDS - 1);
    return &tombstones[at->index][place];
}

/* NULL: no such buffer has ended lately. */
static struct tombstone *find_tombstone(const struct spot *at)
{
    struct tombstone *t = tombstone_place(at);
    bool is_its = t->class_number && t->handle == at->handle &&
                  family_of(t->class_number) == family_of(at->class_number);
    return is_its ? t : NULL;
}

/* ---- operations ---- */

BL_INLINE uint64_t size_in(const struct bl_object *o)
{
    return o->word >> BL_LIVE_SIZE_SHIFT;
}

static uint64_t word_of(uint8_t class_number, uint64_t size, uint64_t generation)
{
    if (size > BL_LIVE_SIZE_MAX)
        size = BL_LIVE_SIZE_MAX;
    return size << BL_LIVE_SIZE_SHIFT | (uint64_t)class_number << BL_LIVE_CLASS_SHIFT |
           (generation & BL_LIVE_GENERATION_MASK) << BL_LIVE_GENERATION_SHIFT | BL_LIVE_BIT;
}

static void fill_object(struct bl_object *o, uint8_t class_number, const struct bl_ref_event *e,
                        uint64_t size, uint32_t flags)
{
    static uint32_t generation;
    o->address = e->handle;
    o->birth_ns = e->time_ns;
    o->stack = e->stack;
    o->thread = e->thread;
    o->refs = e->delta;
    o->events = 0;
    o->event_count = 0;
    o->event_overflow = 0;
    o->block = 0;
    o->flags = flags;
    o->field = 0;
    bl_store_release(&o->word, word_of(class_number, size, bl_add_relaxed(&generation, 1)));
}

/* The buffer is gone. well: its siblings are to be compared with it. */
static void end_locked(const struct spot *at, struct entry *entry, const struct bl_ref_event *e,
                       bool well)
{
    uint32_t record = entry->record;
    struct bl_object *o = object_at(record);
    uint64_t size = size_in(o);
    well = well && !(o->flags & BL_OBJECT_DRIFTED);
    bl_store_release(&o->word, 0);
    *tombstone_place(at) = (struct tombstone){.handle = at->handle,
                                              .time_ns = e->time_ns,
                                              .size = size,
                                              .birth_stack = o->stack,
                                              .end_stack = e->stack,
                                              .end_thread = e->thread,
                                              .class_number = entry->class_number};
    bl_counters_end(at->index, entry->class_number, size);
    if (well)
        bl_history_complete(o, entry->class_number, size, e->time_ns);
    else
        bl_history_drop(o->events);
    remove_locked(at, entry);
    bl_slab_give(&objects, record);
}

/* The class is at's. */
static void birth_locked(const struct spot *at, const struct bl_ref_event *e, uint64_t size)
{
    struct bl_buffer block;
    struct tombstone *t = find_tombstone(at);
    bool held = policy_of(at->class_number)->ends_by_free && bl_live_find(e->handle, &block);
    uint32_t record = bl_slab_take(&objects);
    struct entry *entry = record ? add_locked(at, record) : NULL;
    if (!entry) {
        if (record)
            bl_slab_give(&objects, record);
        bl_losses_add(BL_LOSS_objects_dropped, 1);
        return;
    }
    if (t)
        t->class_number = 0;
    struct bl_ref_event birth = *e;
    birth.delta = bl_own_at_birth(&policies[at->class_number].field, e);
    fill_object(object_at(record), at->class_number, &birth, size, 0);
    object_at(record)->block = held ? e->handle : 0;
    if (held)
        bl_live_hold(e->handle);
    bl_counters_birth(at->index, at->class_number, size);
}

void bl_refs_set_policy(uint8_t class_number, struct bl_ref_policy policy)
{
    policies[class_number & (BL_CLASSES_MAX - 1)] = policy;
}

void bl_refs_birth(const struct bl_ref_event *e, uint64_t size)
{
    const struct spot place = begin(e);
    struct spot at = place;
    struct entry *entry = find_locked(&at);
    struct bl_object *o = entry ? object_at(entry->record) : NULL;
    if (o && o->event_count == 0 && o->thread == e->thread) {
        /* the same birth, told by an outer function: that one is what the caller called */
        bl_store_relaxed(&o->stack, e->stack);
    } else {
        bool well = policy_of(at.class_number)->recycles;
        if (entry && !well)
            bl_losses_add(BL_LOSS_buffers_replaced, 1);
        if (entry)
            end_locked(&at, entry, e, well);
        birth_locked(&place, e, size);
    }
    bl_lock_give(&at.shard->lock);
}

/* One more operation of a live object, of at's class. */
static struct bl_own change_locked(const struct spot *at, struct bl_object *o,
                                   const struct bl_ref_event *e)
{
    const struct bl_ref_policy *policy = policy_of(at->class_number);
    bl_store_relaxed(&o->refs, o->refs + e->delta);
    if (policy->inlined)
        return (struct bl_own){0};
    return bl_own_compare(&policy->field, at->class_number, o, e);
}

/* A retain of a handle that is not live. A pool keeps a buffer whose count fell to 0 and takes it
 * into use again this way; a class may also say that births cannot all be seen. */
static void revive_locked(const struct spot *at, const struct bl_ref_event *e)
{
    const struct tombstone *t = find_tombstone(at);
    const struct bl_ref_policy *policy = policy_of(at->class_number);
    struct bl_ref_event birth = *e;
    if (t && policy->revives) {
        const struct spot again = spot_of(at->handle, t->class_number);
        birth.stack = t->birth_stack;
        birth.delta = 0;
        birth_locked(&again, &birth, t->size);
    } else if (policy->adopts) {
        struct bl_own own = bl_own_read(&policy->field, e);
        birth.stack = 0;
        birth.delta = own.known ? own.after - e->delta : 0;
        birth_locked(at, &birth, 0);
    }
}

bool bl_refs_known(uint64_t handle, uint8_t class_number)
{
    struct spot at = spot_of(handle, class_number);
    bl_lock_take(&at.shard->lock);
    bool known = find_locked(&at) != NULL;
    bl_lock_give(&at.shard->lock);
    return known;
}

void bl_refs_retain(const struct bl_ref_event *e)
{
    struct spot at = begin(e);
    if (!find_locked(&at))
        revive_locked(&at, e);
    struct entry *entry = find_locked(&at);
    if (entry) {
        struct bl_object *o = object_at(entry->record);
        change_locked(&at, o, e);
        bl_history_note(o, BL_OP_RETAIN, e);
        bl_counters_add(&bl_counters_of(at.class_number, at.index)->retains, 1);
    } else {
        bl_losses_add(BL_LOSS_events_unknown, 1);
    }
    bl_lock_give(&at.shard->lock);
}

/* A handle that ended is released once more: a ghost with both releases is left for the report. */
static void over_release_locked(const struct spot *at, const struct bl_ref_event *e)
{
    const struct tombstone *t = find_tombstone(at);
    struct bl_own own = {0};
    if (e->delta < 0)
        own = bl_own_read(&policy_of(at->class_number)->field, e);
    /* Not every birth of such a class is seen; and a handle that had a reference to give is no dead
     * one: it was born again at the same address, unseen. */
    bool unsure = policy_of(at->class_number)->adopts || (own.known && own.after >= 0);
    if (!t || unsure) {
        bl_losses_add(BL_LOSS_events_unknown, 1);
        return;
    }
    bl_counters_add(&bl_counters_of(t->class_number, at->index)->over_releases, 1);
    uint32_t record = bl_slab_take(&objects);
    if (!record) {
        bl_losses_add(BL_LOSS_objects_dropped, 1);
        return;
    }
    struct bl_ref_event birth = *e;
    struct bl_ref_event end = *e;
    birth.stack = t->birth_stack;
    birth.delta = 0;
    end.stack = t->end_stack;
    end.thread = t->end_thread;
    end.time_ns = t->time_ns;
    struct bl_object *o = object_at(record);
    fill_object(o, t->class_number, &birth, 0, BL_OBJECT_GHOST);
    bl_history_note(o, BL_OP_RELEASE, &end);
    bl_store_relaxed(&o->refs, e->delta);
    bl_history_note(o, BL_OP_OVER_RELEASE, e);
}

static void release_locked(const struct spot *at, struct entry *entry, const struct bl_ref_event *e)
{
    const struct bl_ref_policy *policy = policy_of(at->class_number);
    struct bl_object *o = object_at(entry->record);
    struct bl_own own = change_locked(at, o, e);
    bool over = o->refs < 0 && !own.drifts && !policy->adopts;
    bl_counters_add(&bl_counters_of(at->class_number, at->index)->releases, 1);
    bl_history_note(o, over ? BL_OP_OVER_RELEASE : BL_OP_RELEASE, e);
    if (policy->zero_is_end && (own.drifts ? own.after : o->refs) <= 0)
        end_locked(at, entry, e, true);
}

void bl_refs_release(const struct bl_ref_event *e)
{
    struct spot at = begin(e);
    struct entry *entry = find_locked(&at);
    if (entry)
        release_locked(&at, entry, e);
    else
        over_release_locked(&at, e);
    bl_lock_give(&at.shard->lock);
}

void bl_refs_release_last(const struct bl_ref_event *e)
{
    struct spot at = begin(e);
    struct entry *entry = find_locked(&at);
    if (entry && object_at(entry->record)->refs + e->delta <= 0)
        release_locked(&at, entry, e);
    bl_lock_give(&at.shard->lock);
}

void bl_refs_end(const struct bl_ref_event *e)
{
    struct spot at = begin(e);
    struct entry *entry = find_locked(&at);
    if (entry) {
        bl_history_note(object_at(entry->record), BL_OP_END, e);
        end_locked(&at, entry, e, true);
    } else {
        over_release_locked(&at, e);
    }
    bl_lock_give(&at.shard->lock);
}

void bl_refs_resize(const struct bl_ref_event *e, uint64_t size)
{
    struct spot at = begin(e);
    struct entry *entry = find_locked(&at);
    if (entry) {
        struct bl_object *o = object_at(entry->record);
        struct bl_counter *c = bl_counters_of(at.class_number, at.index);
        int64_t change = (int64_t)(size - size_in(o));
        uint64_t generation = o->word >> BL_LIVE_GENERATION_SHIFT;
        bl_store_release(&o->word, word_of(at.class_number, size, generation + 1));
        bl_counters_add(&c->alloc_bytes, (uint64_t)change);
        bl_counters_settle(c, at.class_number, change);
    }
    bl_lock_give(&at.shard->lock);
}

void bl_refs_transfer(const struct bl_ref_event *e, uint64_t into)
{
    struct spot at = begin(e);
    (void)into; /* the report names the site; the buffer that answers has a record of its own */
    struct entry *entry = find_locked(&at);
    if (entry) {
        bl_history_note(object_at(entry->record), BL_OP_TRANSFER, e);
        end_locked(&at, entry, e, true);
    }
    bl_lock_give(&at.shard->lock);
}

/* A buffer that the block held, and that ends with it. */
static struct entry *find_held_locked(const struct spot *at)
{
    struct entry *e = find_any_locked(at);
    while (e &&
           !(policy_of(e->class_number)->ends_by_free && object_at(e->record)->block == at->handle))
        e = e->more;
    return e;
}

void bl_refs_block_freed(uint64_t address, uint64_t now_ns)
{
    struct bl_ref_event e = {.handle = address, .time_ns = now_ns};
    struct spot at = spot_of(address, 0);
    bl_lock_take(&at.shard->lock);
    for (struct entry *entry; (entry = find_held_locked(&at)) != NULL;) {
        bool well = object_at(entry->record)->refs <= 0;
        if (!well && policy_of(entry->class_number)->zero_is_end)
            bl_losses_add(BL_LOSS_counts_drifted, 1);
        end_locked(&at, entry, &e, well);
    }
    bl_lock_give(&at.shard->lock);
}

/* ---- locks ---- */

void bl_refs_lock(void)
{
    for (unsigned i = 0; i < SHARDS; i++)
        bl_lock_take(&shards[i].lock);
    bl_history_lock();
    bl_lock_take(&objects.lock);
}

void bl_refs_unlock(void)
{
    bl_lock_give(&objects.lock);
    bl_history_unlock();
    for (unsigned i = SHARDS; i-- > 0;)
        bl_lock_give(&shards[i].lock);
}

void bl_refs_reset_lock(void)
{
    bl_lock_reset(&objects.lock);
    bl_history_reset_lock();
    for (unsigned i = 0; i < SHARDS; i++)
        bl_lock_reset(&shards[i].lock);
}

void bl_refs_reset(void)
{
    bl_history_reset();
    bl_slab_reset(&objects);
    memset(tombstones, 0, sizeof tombstones);
    for (unsigned i = 0; i < SHARDS; i++)
        shards[i].table = NULL;
}
