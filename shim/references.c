#include "references.h"
#include "counters.h"
#include "live.h"
#include "lock.h"
#include "losses.h"
#include "table.h"

#define SHARDS         BL_SHARDS
#define HISTORY_MAX    24u        /* distinct operations kept of one buffer */
#define LIFECYCLES_MAX (1u << 14) /* distinct lifecycles kept, all classes together */
#define EVICT_SAMPLES  16u
#define TOMBSTONES     (1u << 12) /* ended handles remembered, to tell an over-release */
#define SLAB_RECORDS   (1u << 24)

/* ---- slabs: records of a section, given out and taken back ---- */

struct slab {
    enum bl_section section;
    struct bl_lock lock; /* BL_RANK_REFS, inside of all others here */
    uint32_t used;       /* (lock) record 0 is never used */
    uint32_t free_head;  /* (lock) */
};

static struct slab objects = {.section = BL_SECTION_OBJECTS, .used = 1};
static struct slab events = {.section = BL_SECTION_EVENTS, .used = 1};

BL_INLINE struct bl_object *object_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_OBJECTS, n);
}

BL_INLINE struct bl_event *event_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_EVENTS, n);
}

BL_INLINE uint32_t *link_in(const struct slab *slab, uint32_t n)
{
    return slab->section == BL_SECTION_EVENTS ? &event_at(n)->next : &object_at(n)->stack;
}

/* A link that was bent through the file ends the list: nothing outside the slab is ever touched. */
static uint32_t next_of(const struct slab *slab, uint32_t n)
{
    uint32_t next = bl_load_relaxed(link_in(slab, n));
    return next < slab->used ? next : 0;
}

static uint32_t slab_take(struct slab *slab)
{
    bl_lock_take(&slab->lock);
    uint32_t n = slab->free_head;
    if (n) {
        slab->free_head = next_of(slab, n);
    } else if (slab->used < SLAB_RECORDS && bl_ledger_ensure(slab->section, slab->used + 1) == 0) {
        n = slab->used++;
        bl_ledger_publish(slab->section, slab->used);
    }
    bl_lock_give(&slab->lock);
    return n;
}

static void slab_give(struct slab *slab, uint32_t n)
{
    bl_lock_take(&slab->lock);
    bl_store_relaxed(link_in(slab, n), slab->free_head);
    slab->free_head = n;
    bl_lock_give(&slab->lock);
}

/* ---- the index: (class, handle) to record ---- */

struct entry {
    UT_hash_handle hh;
    uint64_t key;
    uint32_t record;
    bool oom;
};

static struct shard {
    struct bl_lock lock; /* BL_RANK_REFS */
    struct entry *table; /* (lock) */
} BL_ALIGNED(64) shards[SHARDS];

static struct bl_ref_policy policies[BL_CLASSES_MAX];

struct spot {
    struct shard *shard;
    uint64_t key;
    uint32_t index;
};

BL_INLINE const struct bl_ref_policy *policy_of(uint8_t class_number)
{
    return &policies[class_number & (BL_CLASSES_MAX - 1)];
}

BL_INLINE struct spot spot_of(uint64_t handle, uint8_t class_number)
{
    uint64_t key = handle ^ (uint64_t)class_number << 56;
    uint32_t index = bl_table_hash(&key, sizeof key) >> 27 & (SHARDS - 1);
    return (struct spot){&shards[index], key, index};
}

static struct entry *find_locked(const struct spot *at)
{
    struct entry *e = NULL;
    HASH_FIND(hh, at->shard->table, &at->key, sizeof at->key, e);
    return e;
}

static struct entry *add_locked(const struct spot *at, uint32_t record)
{
    struct entry *e = bl_arena_alloc(sizeof *e);
    if (!e)
        return NULL;
    *e = (struct entry){.key = at->key, .record = record};
    HASH_ADD(hh, at->shard->table, key, sizeof e->key, e);
    if (e->oom) {
        bl_arena_free(e, sizeof *e);
        return NULL;
    }
    return e;
}

static void remove_locked(const struct spot *at, struct entry *e)
{
    HASH_DELETE(hh, at->shard->table, e);
    bl_arena_free(e, sizeof *e);
}

/* ---- histories ---- */

static int16_t clamp16(int32_t value)
{
    if (value > INT16_MAX)
        return INT16_MAX;
    return (int16_t)(value < INT16_MIN ? INT16_MIN : value);
}

static struct bl_event *find_event(const struct bl_object *o, uint16_t op,
                                   const struct bl_ref_event *e)
{
    uint32_t n = o->events;
    for (uint32_t i = 0; n && n < events.used && i < HISTORY_MAX; i++) {
        struct bl_event *event = event_at(n);
        if (event->op == op && event->stack == e->stack && event->delta == e->delta)
            return event;
        n = event->next;
    }
    return NULL;
}

static void note_event(struct bl_object *o, enum bl_op op, const struct bl_ref_event *e)
{
    struct bl_event *event = find_event(o, (uint16_t)op, e);
    uint32_t n = 0;
    if (!event && o->event_count < HISTORY_MAX)
        n = slab_take(&events);
    if (n) {
        event = event_at(n);
        *event = (struct bl_event){
            .next = o->events, .stack = e->stack, .delta = e->delta, .op = (uint16_t)op};
    }
    if (!event) {
        o->event_overflow++;
        bl_losses_add(
            o->event_count < HISTORY_MAX ? BL_LOSS_events_dropped : BL_LOSS_events_overflow, 1);
        return;
    }
    event->time_ns = e->time_ns;
    event->thread = e->thread;
    event->count_after = clamp16(o->refs);
    bl_store_relaxed(&event->folded, event->folded + 1);
    if (n) {
        bl_store_release(&o->events, n);
        bl_store_relaxed(&o->event_count, o->event_count + 1);
    }
}

static void drop_events(uint32_t head)
{
    for (uint32_t i = 0; head && head < events.used && i < HISTORY_MAX; i++) {
        uint32_t next = event_at(head)->next;
        slab_give(&events, head);
        head = next;
    }
}

/* ---- lifecycles ---- */

struct lifecycle_entry {
    UT_hash_handle hh;
    uint64_t key;
    uint32_t record;
    bool oom;
};

static struct bl_lock lifecycle_lock = BL_LOCK_INIT; /* BL_RANK_REFS, inside a shard: all below */
static struct lifecycle_entry *lifecycles;
static uint32_t lifecycle_used = 1;
static uint32_t lifecycle_hand = 1;

BL_INLINE struct bl_lifecycle *lifecycle_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_LIFECYCLES, n);
}

BL_INLINE uint64_t scramble(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* A sum, so that the order does not count. */
static uint64_t multiset_hash(const struct bl_object *o, uint8_t class_number)
{
    uint64_t sum = scramble((uint64_t)o->stack << 8 | BL_OP_ALLOC) + scramble(class_number);
    uint32_t n = o->events;
    for (uint32_t i = 0; n && n < events.used && i < HISTORY_MAX; i++) {
        const struct bl_event *e = event_at(n);
        uint64_t what = (uint64_t)e->stack << 24 | (uint64_t)(e->delta & 0xffff) << 8 | e->op;
        sum += scramble(what) * e->folded;
        n = e->next;
    }
    return scramble(sum + o->event_overflow) | 1;
}

/* The least useful of a few: seen least often, then longest ago. Its record is free afterwards. */
static uint32_t evict_locked(void)
{
    uint32_t victim = 0;
    for (uint32_t i = 0; i < EVICT_SAMPLES; i++) {
        lifecycle_hand = lifecycle_hand + 1 < lifecycle_used ? lifecycle_hand + 1 : 1;
        const struct bl_lifecycle *c = lifecycle_at(lifecycle_hand);
        const struct bl_lifecycle *v = victim ? lifecycle_at(victim) : NULL;
        if (!v || c->count < v->count || (c->count == v->count && c->last_ns < v->last_ns))
            victim = lifecycle_hand;
    }
    struct bl_lifecycle *v = lifecycle_at(victim);
    struct lifecycle_entry *e = NULL;
    HASH_FIND(hh, lifecycles, &v->hash, sizeof v->hash, e);
    if (e) {
        HASH_DEL(lifecycles, e);
        bl_arena_free(e, sizeof *e);
    }
    bl_store_release(&v->count, 0);
    drop_events(v->events);
    bl_losses_add(BL_LOSS_lifecycles_dropped, 1);
    return victim;
}

static uint32_t take_lifecycle_locked(void)
{
    if (lifecycle_used >= LIFECYCLES_MAX)
        return evict_locked();
    if (bl_ledger_ensure(BL_SECTION_LIFECYCLES, lifecycle_used + 1) != 0)
        return lifecycle_used > 1 ? evict_locked() : 0;
    uint32_t n = lifecycle_used++;
    memset(lifecycle_at(n), 0, sizeof(struct bl_lifecycle));
    bl_ledger_publish(BL_SECTION_LIFECYCLES, lifecycle_used);
    return n;
}

static uint32_t bucket_of(uint64_t lifetime_ns)
{
    uint64_t us = lifetime_ns / 1000;
    uint32_t bucket = us ? (uint32_t)(64 - __builtin_clzll(us) + 1) / 2 : 0;
    return bucket < BL_LIFETIME_BUCKETS ? bucket : BL_LIFETIME_BUCKETS - 1;
}

static void count_lifecycle(struct bl_lifecycle *c, uint64_t lifetime_ns, uint64_t size,
                            uint64_t now_ns)
{
    if (c->count == 0 || lifetime_ns < c->min_ns)
        c->min_ns = lifetime_ns;
    if (lifetime_ns > c->max_ns)
        c->max_ns = lifetime_ns;
    c->total_ns += lifetime_ns;
    c->bytes += size;
    c->last_ns = now_ns;
    c->histogram[bucket_of(lifetime_ns)]++;
    bl_store_release(&c->count, c->count + 1);
}

/* A lifecycle not known yet: the object's events become its exemplar. 0: no room. */
static uint32_t new_lifecycle_locked(const struct bl_object *o, uint8_t class_number, uint64_t hash)
{
    struct lifecycle_entry *e = bl_arena_alloc(sizeof *e);
    uint32_t n = e ? take_lifecycle_locked() : 0;
    if (n) {
        *e = (struct lifecycle_entry){.key = hash, .record = n};
        HASH_ADD(hh, lifecycles, key, sizeof e->key, e);
    }
    if (!n || e->oom) {
        bl_arena_free(e, sizeof *e);
        bl_losses_add(BL_LOSS_lifecycles_dropped, 1);
        return 0;
    }
    struct bl_lifecycle *c = lifecycle_at(n);
    memset(c, 0, sizeof *c);
    c->hash = hash;
    c->class_number = class_number;
    c->overflow = o->event_overflow;
    c->events = o->events;
    c->event_count = o->event_count;
    c->alloc_stack = o->stack;
    return n;
}

/* Enters a buffer that ended well. Its events are used up. */
static void complete(const struct bl_object *o, uint8_t class_number, uint64_t size,
                     uint64_t now_ns)
{
    uint64_t hash = multiset_hash(o, class_number);
    struct lifecycle_entry *e = NULL;
    uint32_t spare = o->events;
    bl_lock_take(&lifecycle_lock);
    HASH_FIND(hh, lifecycles, &hash, sizeof hash, e);
    uint32_t n = e ? e->record : new_lifecycle_locked(o, class_number, hash);
    if (n && !e)
        spare = 0;
    if (n)
        count_lifecycle(lifecycle_at(n), now_ns > o->birth_ns ? now_ns - o->birth_ns : 0, size,
                        now_ns);
    bl_lock_give(&lifecycle_lock);
    drop_events(spare);
}

/* ---- tombstones ---- */

/* The last handles that ended, each over the one before it at its place. Under the handle's shard
 * lock; a place belongs to one shard. */
struct tombstone {
    uint64_t key;
    uint64_t time_ns;
    uint64_t size;
    uint32_t birth_stack;
    uint32_t end_stack;
    uint32_t end_thread;
};

static struct tombstone tombstones[SHARDS][TOMBSTONES / SHARDS];

static struct tombstone *tombstone_of(const struct spot *at)
{
    uint32_t place = bl_table_hash(&at->key, sizeof at->key) & (TOMBSTONES / SHARDS - 1);
    return &tombstones[at->index][place];
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

static void fill_object(struct bl_object *o, const struct bl_ref_event *e, uint64_t size,
                        uint64_t block, uint32_t flags)
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
    o->block = block;
    o->flags = flags | (e->field_known ? BL_OBJECT_FIELD : 0u);
    o->field = e->field;
    bl_store_release(&o->word, word_of(e->class_number, size, bl_add_relaxed(&generation, 1)));
}

/* The buffer is gone. well: its siblings are to be compared with it. */
static void end_locked(const struct spot *at, struct entry *entry, const struct bl_ref_event *e,
                       bool well)
{
    uint32_t record = entry->record;
    struct bl_object *o = object_at(record);
    uint64_t size = size_in(o);
    bl_store_release(&o->word, 0);
    *tombstone_of(at) = (struct tombstone){.key = at->key,
                                           .time_ns = e->time_ns,
                                           .size = size,
                                           .birth_stack = o->stack,
                                           .end_stack = e->stack,
                                           .end_thread = e->thread};
    bl_counters_end(at->index, e->class_number, size);
    if (well)
        complete(o, e->class_number, size, e->time_ns);
    else
        drop_events(o->events);
    remove_locked(at, entry);
    slab_give(&objects, record);
}

static void birth_locked(const struct spot *at, const struct bl_ref_event *e, uint64_t size)
{
    struct bl_buffer block;
    bool held = policy_of(e->class_number)->ends_by_free && bl_live_find(e->handle, &block);
    uint32_t record = slab_take(&objects);
    struct entry *entry = record ? add_locked(at, record) : NULL;
    if (!entry) {
        if (record)
            slab_give(&objects, record);
        bl_losses_add(BL_LOSS_objects_dropped, 1);
        return;
    }
    tombstone_of(at)->key = 0;
    fill_object(object_at(record), e, size, held ? e->handle : 0, 0);
    if (held)
        bl_live_hold(e->handle);
    bl_counters_birth(at->index, e->class_number, size);
}

void bl_refs_set_policy(uint8_t class_number, struct bl_ref_policy policy)
{
    policies[class_number & (BL_CLASSES_MAX - 1)] = policy;
}

void bl_refs_birth(const struct bl_ref_event *e, uint64_t size)
{
    struct spot at = spot_of(e->handle, e->class_number);
    bl_lock_take(&at.shard->lock);
    struct entry *entry = find_locked(&at);
    struct bl_object *o = entry ? object_at(entry->record) : NULL;
    if (o && o->event_count == 0 && o->thread == e->thread) {
        /* the same birth, told by an outer function: that one is what the caller called */
        bl_store_relaxed(&o->stack, e->stack);
    } else {
        bool well = policy_of(e->class_number)->recycles;
        if (entry && !well)
            bl_losses_add(BL_LOSS_buffers_replaced, 1);
        if (entry)
            end_locked(&at, entry, e, well);
        birth_locked(&at, e, size);
    }
    bl_lock_give(&at.shard->lock);
}

/* Takes note of the object's own count. Operations of other threads may be in flight between its
 * reading and this; the flag says how it stood at the latest event, and the loss how many stand so
 * now. */
static void note_field(struct bl_object *o, const struct bl_ref_event *e)
{
    if (!e->field_known || policy_of(e->class_number)->inlined)
        return;
    bool drifts = e->field != o->refs;
    bool drifted = (o->flags & BL_OBJECT_DRIFTED) != 0;
    o->field = e->field;
    o->flags |= BL_OBJECT_FIELD;
    if (drifts == drifted)
        return;
    o->flags ^= BL_OBJECT_DRIFTED;
    bl_losses_add(BL_LOSS_counts_drifted, drifts ? 1 : (uint64_t)-1);
}

/* A retain of a handle that is not live. A pool keeps a buffer whose count fell to 0 and takes it
 * into use again this way; a class may also say that births cannot all be seen. */
static void revive_locked(const struct spot *at, const struct bl_ref_event *e)
{
    const struct tombstone *t = tombstone_of(at);
    const struct bl_ref_policy *policy = policy_of(e->class_number);
    struct bl_ref_event birth = *e;
    if (policy->revives && t->key == at->key) {
        birth.stack = t->birth_stack;
        birth.delta = 0;
        birth_locked(at, &birth, t->size);
    } else if (policy->adopts) {
        birth.stack = 0;
        birth.delta = e->field_known ? e->field - e->delta : 0;
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
    struct spot at = spot_of(e->handle, e->class_number);
    bl_lock_take(&at.shard->lock);
    if (!find_locked(&at))
        revive_locked(&at, e);
    struct entry *entry = find_locked(&at);
    if (entry) {
        struct bl_object *o = object_at(entry->record);
        bl_store_relaxed(&o->refs, o->refs + e->delta);
        note_event(o, BL_OP_RETAIN, e);
        note_field(o, e);
        bl_counters_add(&bl_counters_of(e->class_number, at.index)->retains, 1);
    } else {
        bl_losses_add(BL_LOSS_events_unknown, 1);
    }
    bl_lock_give(&at.shard->lock);
}

/* A handle that ended is released once more: a ghost with both releases is left for the report. */
static void over_release_locked(const struct spot *at, const struct bl_ref_event *e)
{
    const struct tombstone *t = tombstone_of(at);
    /* Not every birth of such a class is seen; and a handle that had a reference to give is no dead
     * one: it was born again at the same address, unseen. */
    bool unsure = policy_of(e->class_number)->adopts || (e->field_known && e->field >= 0);
    if (t->key != at->key || unsure) {
        bl_losses_add(BL_LOSS_events_unknown, 1);
        return;
    }
    bl_counters_add(&bl_counters_of(e->class_number, at->index)->over_releases, 1);
    uint32_t record = slab_take(&objects);
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
    fill_object(o, &birth, 0, 0, BL_OBJECT_GHOST);
    note_event(o, BL_OP_RELEASE, &end);
    bl_store_relaxed(&o->refs, e->delta);
    note_event(o, BL_OP_OVER_RELEASE, e);
}

static void release_locked(const struct spot *at, struct entry *entry, const struct bl_ref_event *e)
{
    const struct bl_ref_policy *policy = policy_of(e->class_number);
    struct bl_object *o = object_at(entry->record);
    bl_store_relaxed(&o->refs, o->refs + e->delta);
    bl_counters_add(&bl_counters_of(e->class_number, at->index)->releases, 1);
    note_event(o, o->refs < 0 && !policy->adopts ? BL_OP_OVER_RELEASE : BL_OP_RELEASE, e);
    note_field(o, e);
    if (policy->zero_is_end && o->refs <= 0)
        end_locked(at, entry, e, true);
}

void bl_refs_release(const struct bl_ref_event *e)
{
    struct spot at = spot_of(e->handle, e->class_number);
    bl_lock_take(&at.shard->lock);
    struct entry *entry = find_locked(&at);
    if (entry)
        release_locked(&at, entry, e);
    else
        over_release_locked(&at, e);
    bl_lock_give(&at.shard->lock);
}

void bl_refs_release_last(const struct bl_ref_event *e)
{
    struct spot at = spot_of(e->handle, e->class_number);
    bl_lock_take(&at.shard->lock);
    struct entry *entry = find_locked(&at);
    if (entry && object_at(entry->record)->refs + e->delta <= 0)
        release_locked(&at, entry, e);
    bl_lock_give(&at.shard->lock);
}

void bl_refs_end(const struct bl_ref_event *e)
{
    struct spot at = spot_of(e->handle, e->class_number);
    bl_lock_take(&at.shard->lock);
    struct entry *entry = find_locked(&at);
    if (entry) {
        note_event(object_at(entry->record), BL_OP_END, e);
        end_locked(&at, entry, e, true);
    } else {
        over_release_locked(&at, e);
    }
    bl_lock_give(&at.shard->lock);
}

void bl_refs_resize(const struct bl_ref_event *e, uint64_t size)
{
    struct spot at = spot_of(e->handle, e->class_number);
    bl_lock_take(&at.shard->lock);
    struct entry *entry = find_locked(&at);
    if (entry) {
        struct bl_object *o = object_at(entry->record);
        struct bl_counter *c = bl_counters_of(e->class_number, at.index);
        int64_t change = (int64_t)(size - size_in(o));
        uint64_t generation = o->word >> BL_LIVE_GENERATION_SHIFT;
        bl_store_release(&o->word, word_of(e->class_number, size, generation + 1));
        bl_counters_add(&c->alloc_bytes, (uint64_t)change);
        bl_counters_settle(c, e->class_number, change);
    }
    bl_lock_give(&at.shard->lock);
}

void bl_refs_transfer(const struct bl_ref_event *e, uint64_t into)
{
    struct spot at = spot_of(e->handle, e->class_number);
    (void)into; /* the report names the site; the buffer that answers has a record of its own */
    bl_lock_take(&at.shard->lock);
    struct entry *entry = find_locked(&at);
    if (entry) {
        note_event(object_at(entry->record), BL_OP_TRANSFER, e);
        end_locked(&at, entry, e, true);
    }
    bl_lock_give(&at.shard->lock);
}

void bl_refs_block_freed(uint64_t address, uint64_t now_ns)
{
    uint64_t classes = bl_header->published[BL_SECTION_CLASSES];
    for (uint32_t k = 0; k < classes && k < BL_CLASSES_MAX; k++) {
        if (!policies[k].ends_by_free)
            continue;
        struct bl_ref_event e = {.handle = address, .time_ns = now_ns, .class_number = (uint8_t)k};
        struct spot at = spot_of(address, (uint8_t)k);
        bl_lock_take(&at.shard->lock);
        struct entry *entry = find_locked(&at);
        if (entry && object_at(entry->record)->block == address) {
            bool well = object_at(entry->record)->refs <= 0;
            if (!well && policies[k].zero_is_end)
                bl_losses_add(BL_LOSS_counts_drifted, 1);
            end_locked(&at, entry, &e, well);
        }
        bl_lock_give(&at.shard->lock);
    }
}

/* ---- locks ---- */

void bl_refs_lock(void)
{
    for (unsigned i = 0; i < SHARDS; i++)
        bl_lock_take(&shards[i].lock);
    bl_lock_take(&lifecycle_lock);
    bl_lock_take(&objects.lock);
    bl_lock_take(&events.lock);
}

void bl_refs_unlock(void)
{
    bl_lock_give(&events.lock);
    bl_lock_give(&objects.lock);
    bl_lock_give(&lifecycle_lock);
    for (unsigned i = SHARDS; i-- > 0;)
        bl_lock_give(&shards[i].lock);
}

void bl_refs_reset_lock(void)
{
    bl_lock_reset(&events.lock);
    bl_lock_reset(&objects.lock);
    bl_lock_reset(&lifecycle_lock);
    for (unsigned i = 0; i < SHARDS; i++)
        bl_lock_reset(&shards[i].lock);
}

void bl_refs_reset(void)
{
    lifecycles = NULL;
    lifecycle_used = 1;
    lifecycle_hand = 1;
    objects.used = events.used = 1;
    objects.free_head = events.free_head = 0;
    for (unsigned i = 0; i < SHARDS; i++)
        shards[i].table = NULL;
}
