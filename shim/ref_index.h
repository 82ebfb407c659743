/*
 * The index of references.c: from handles to the records of live buffers, and what it takes to make
 * and to end one. For references.c alone.
 *
 * Functions called _locked hold the lock of the spot's shard. An operation begins with
 * bl_ref_enter, which takes that lock, and ends with bl_ref_leave, which gives it and then ends
 * what the operation left without an owner.
 */
#ifndef BL_REF_INDEX_H
#define BL_REF_INDEX_H

#include "flights.h"
#include "lock.h"
#include "own_count.h"
#include "owners.h"
#include "slab.h"
#include "table.h"

#define BL_REF_SHARDS BL_SHARDS

/* A size: nobody said it, it is that of the heap block that begins at the handle; 0 without one. */
#define BL_REF_SIZE_OF_BLOCK UINT64_MAX

struct bl_ref_policy {
    bool revives;      /* a retain after the end brings it back: pools reset buffers this way */
    bool zero_is_end;  /* count 0 ends the buffer; else only bl_refs_end does */
    bool adopts;       /* a retain of an unknown handle makes it known */
    bool recycles;     /* born again while live: its end could not be seen, and was well */
    bool inlined;      /* most operations cannot be seen: the field differs without drift */
    bool ends_by_free; /* the free of the heap block at its address ends it, whatever its count */
    bool uncounted;    /* they are bl_object.word's IGNORED, like all born in an ignored scope */
    bool is_partial;   /* some operations go unseen: none of those seen is one too many */
    uint8_t kind_of;   /* the class whose functions are this one's; 0: it has its own */
    struct bl_own_field field;
};

/* By class number. Before its first event. */
void bl_refs_set_policy(uint8_t class_number, struct bl_ref_policy policy);
void bl_refs_set_partial(uint8_t class_number);

BL_INLINE struct bl_object *bl_ref_object_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_OBJECTS, n);
}

extern struct bl_ref_policy bl_ref_policies[BL_CLASSES_MAX];

BL_INLINE const struct bl_ref_policy *bl_ref_policy_of(uint8_t class_number)
{
    return &bl_ref_policies[class_number & (BL_CLASSES_MAX - 1)];
}

/* The class that the functions are those of. */
BL_INLINE uint8_t bl_ref_family_of(uint8_t class_number)
{
    uint8_t family = bl_ref_policy_of(class_number)->kind_of;
    return family ? family : class_number;
}

/* Sharded by handle alone, so that a handle can be asked for whatever its class. Of the buffers of
 * several classes at one address, one is in the table and leads to the others. */
struct bl_ref_entry {
    UT_hash_handle hh;
    uint64_t handle;
    struct bl_ref_entry *more;
    uint32_t record;
    uint8_t class_number;
    bool oom;
};

struct bl_ref_shard {
    struct bl_lock lock;        /* BL_RANK_REFS */
    struct bl_ref_entry *table; /* (lock) */
    struct bl_ref_entry *spare; /* (lock) unused ones, by `more` */
    uint32_t spare_count;       /* (lock) */
} BL_ALIGNED(64);
extern struct bl_ref_shard bl_ref_shards[BL_REF_SHARDS];

/* Where a handle is, or would be, during one operation. */
struct bl_ref_spot {
    struct bl_ref_shard *shard;
    uint64_t handle;
    uint32_t index;
    uint32_t ended; /* owners that the operation has ended, whose members are to end as well */
    bool ended_ill; /* not in the way that siblings are to be compared with */
    uint8_t
        class_number; /* of the function called, until the buffer that is found tells the kind */
};

/* Handles that are numbers, not addresses, tell the record: there is no entry for them. A record
 * serves one buffer after the other, whose numbers differ in `serial`.
 *   63..56 BL_REF_NUMBER   55..32 record   31..0 serial */
#define BL_REF_NUMBER       0xb1ull
#define BL_REF_NUMBER_SHIFT 56
#define BL_REF_RECORD_SHIFT 32
#define BL_REF_RECORD_MASK  0xffffffu
BL_INLINE bool bl_ref_is_number(uint64_t handle)
{
    return handle >> BL_REF_NUMBER_SHIFT == BL_REF_NUMBER;
}

BL_INLINE uint64_t bl_ref_number_of(uint32_t record, uint32_t serial)
{
    return BL_REF_NUMBER << BL_REF_NUMBER_SHIFT | (uint64_t)record << BL_REF_RECORD_SHIFT | serial;
}

BL_INLINE uint32_t bl_ref_record_in(uint64_t number)
{
    return (uint32_t)(number >> BL_REF_RECORD_SHIFT) & BL_REF_RECORD_MASK;
}

/* Records are given to threads in groups, and each group is in one shard: so a thread that has few
 * live buffers at a time goes to a few shards, whose locks and counters stay in its cache, and
 * which are seldom another's. */
#define BL_REF_GROUP 16u
BL_INLINE uint32_t bl_ref_index_of_record(uint32_t record)
{
    return record / BL_REF_GROUP & (BL_REF_SHARDS - 1);
}

BL_INLINE uint32_t bl_ref_index_of(uint64_t handle)
{
    if (bl_ref_is_number(handle))
        return bl_ref_index_of_record(bl_ref_record_in(handle));
    return bl_table_hash(&handle, sizeof handle) >> 27 & (BL_REF_SHARDS - 1);
}

BL_INLINE struct bl_ref_spot bl_ref_spot_of(uint64_t handle, uint8_t class_number)
{
    uint32_t index = bl_ref_index_of(handle);
    return (struct bl_ref_spot){.shard = &bl_ref_shards[index],
                                .handle = handle,
                                .index = index,
                                .class_number = class_number};
}

BL_INLINE struct bl_ref_spot bl_ref_spot_of_number(uint64_t number, uint8_t class_number)
{
    uint32_t index = bl_ref_index_of_record(bl_ref_record_in(number));
    return (struct bl_ref_spot){.shard = &bl_ref_shards[index],
                                .handle = number,
                                .index = index,
                                .class_number = class_number};
}

BL_INLINE struct bl_ref_entry *bl_ref_find_any_locked(const struct bl_ref_spot *at)
{
    struct bl_ref_entry *e = NULL;
    HASH_FIND(hh, at->shard->table, &at->handle, sizeof at->handle, e);
    return e;
}

BL_INLINE struct bl_ref_entry *bl_ref_find_locked(struct bl_ref_spot *at)
{
    struct bl_ref_entry *e = bl_ref_find_any_locked(at);
    while (e && e->class_number != at->class_number &&
           bl_ref_family_of(e->class_number) != bl_ref_family_of(at->class_number))
        e = e->more;
    if (e)
        at->class_number = e->class_number;
    return e;
}

extern struct bl_slab bl_ref_objects;

/* Is it the handle's live buffer? Its record's shard is that of the handle as long as this is its
 * address. Without the lock this is true only of a buffer that nobody else can end. */
BL_INLINE bool bl_ref_holds(const struct bl_object *o, uint64_t handle, uint8_t class_number)
{
    const uint64_t class_mask = BL_LIVE_CLASS_MASK << BL_LIVE_CLASS_SHIFT;
    uint64_t word = bl_load_acquire(&o->word) & (class_mask | BL_LIVE_BIT);
    return bl_load_relaxed(&o->address) == handle &&
           word == ((uint64_t)class_number << BL_LIVE_CLASS_SHIFT | BL_LIVE_BIT) &&
           !(bl_load_relaxed(&o->flags) & (BL_OBJECT_GHOST | BL_OBJECT_MOVING));
}

BL_INLINE bool bl_ref_is_of(uint32_t record, uint64_t handle, uint8_t class_number)
{
    return record < bl_load_relaxed(&bl_ref_objects.used) &&
           bl_ref_holds(bl_ref_object_at(record), handle, class_number);
}

/* The record of the handle's buffer, 0: none. A thread remembers those of its latest buffers,
 * because the way through the table costs more than the operation. */
BL_INLINE uint32_t bl_ref_find_record_locked(struct bl_ref_spot *at)
{
    if (bl_ref_is_number(at->handle)) {
        uint32_t record = bl_ref_record_in(at->handle);
        return bl_ref_is_of(record, at->handle, at->class_number) ? record : 0;
    }
    struct bl_thread_state *t = bl_tls.thread;
    uint64_t key = (at->handle ^ at->class_number) * 0x9E3779B97F4A7C15u;
    struct bl_found *f = t ? &t->found[key >> 57 & (BL_FOUND - 1)] : NULL;
    if (BL_LIKELY(f && f->handle == at->handle && f->asked_class == at->class_number) &&
        BL_LIKELY(bl_ref_is_of(f->record, f->handle, f->class_number))) {
        at->class_number = f->class_number;
        return f->record;
    }
    uint8_t asked = at->class_number;
    const struct bl_ref_entry *entry = bl_ref_find_locked(at);
    if (!entry)
        return 0;
    if (f)
        *f = (struct bl_found){.handle = at->handle,
                               .record = entry->record,
                               .asked_class = asked,
                               .class_number = entry->class_number};
    return entry->record;
}

BL_INLINE struct bl_ref_entry *bl_ref_find_token_locked(const struct bl_ref_spot *at,
                                                        struct bl_token token)
{
    struct bl_ref_entry *entry = bl_ref_find_any_locked(at);
    while (entry && entry->record != token.record)
        entry = entry->more;
    return entry && bl_ref_object_at(token.record)->serial == token.serial ? entry : NULL;
}

/* Buffers of several classes may be at one address. The latest is found first: where an end could
 * not be noted yet, as that of what a pool holds while it is being destroyed, the address may have
 * been given out again. False: no memory. */
bool bl_ref_add_locked(const struct bl_ref_spot *at, uint32_t record);
void bl_ref_remove_locked(const struct bl_ref_spot *at, struct bl_ref_entry *e);

/* The last handles that ended, each over the one before it at its place. Under the handle's shard
 * lock; a place belongs to one shard. */
struct bl_ref_tombstone {
    uint64_t handle;
    uint64_t time_ns;
    uint64_t size;
    uint32_t birth_stack;
    uint32_t end_stack;
    uint32_t end_thread;
    uint32_t ghost_stack; /* of the release that the latest ghost is of */
    uint32_t ghost;       /* the latest that may be taken back, see ghosts.h; 0: none */
    uint8_t class_number; /* 0: none */
    bool held;            /* it had a heap block, whose free would have ended it */
} BL_ALIGNED(64);         /* a cache line, that is loaded for it when a buffer ends */

/* Calls `see` for all of them, under their locks. */
void bl_ref_see_tombstones(void (*see)(const struct bl_ref_tombstone *tombstone));
/* NULL: no such buffer has ended lately. */
struct bl_ref_tombstone *bl_ref_find_tombstone(const struct bl_ref_spot *at);
/* Where it would be, whosever is there now. */
struct bl_ref_tombstone *bl_ref_tombstone_at(const struct bl_ref_spot *at);

BL_INLINE uint64_t bl_ref_size_in(const struct bl_object *o)
{
    return o->word >> BL_LIVE_SIZE_SHIFT;
}

BL_INLINE uint64_t bl_ref_word_of(uint8_t class_number, uint64_t size, uint64_t generation)
{
    if (size > BL_LIVE_SIZE_MAX)
        size = BL_LIVE_SIZE_MAX;
    return size << BL_LIVE_SIZE_SHIFT | (uint64_t)class_number << BL_LIVE_CLASS_SHIFT |
           (generation & BL_LIVE_GENERATION_MASK) << BL_LIVE_GENERATION_SHIFT | BL_LIVE_BIT;
}

/* How deep in its thread's stack a birth was told, in words, modulo 2^24; kept where the bits of
 * events will be, for as long as there is none. */
#define BL_REF_DEPTH_MASK 0xffffffu

BL_INLINE uint32_t bl_ref_depth_of(uint64_t sp)
{
    return (uint32_t)(sp / sizeof(uint64_t)) & BL_REF_DEPTH_MASK;
}

BL_INLINE void bl_ref_set_birth_depth(struct bl_object *o, uint64_t sp)
{
    uint32_t depth = bl_ref_depth_of(sp);
    for (unsigned i = 0; i < sizeof o->event_bits; i++)
        o->event_bits[i] = (uint8_t)(depth >> 8 * i);
}

BL_INLINE uint32_t bl_ref_birth_depth(const struct bl_object *o)
{
    return o->event_bits[0] | (uint32_t)o->event_bits[1] << 8 | (uint32_t)o->event_bits[2] << 16;
}

/* What the end of the handle's buffer will write to besides the record and the shard. */
void bl_ref_prefetch_end(uint64_t handle);
uint32_t bl_ref_take_record(void); /* 0: none */
void bl_ref_fill_object(struct bl_object *o, uint8_t class_number, const struct bl_ref_event *e,
                        uint64_t size, uint32_t flags);
/* The class is at's; the handle is no number. Returns the record, 0: there is no room. */
uint32_t bl_ref_birth_locked(const struct bl_ref_spot *at, const struct bl_ref_event *e,
                             uint64_t size);
enum bl_ref_end {
    BL_REF_WELL,   /* its siblings are to be compared with it; unless its count drifted */
    BL_REF_ILL,    /* nothing can be learned from it */
    BL_REF_UNSEEN, /* that others end this way is to be known */
};
/* The buffer of a record that is not in the index, of at's class, is gone. What it owns is left to
 * bl_ref_leave. */
void bl_ref_bury_locked(struct bl_ref_spot *at, uint32_t record, const struct bl_ref_event *e,
                        enum bl_ref_end how);
/* The same of one that is. */
void bl_ref_end_locked(struct bl_ref_spot *at, struct bl_ref_entry *entry,
                       const struct bl_ref_event *e, enum bl_ref_end how);
/* The same of one that bl_ref_find_record_locked has found. */
void bl_ref_end_record_locked(struct bl_ref_spot *at, uint32_t record, const struct bl_ref_event *e,
                              enum bl_ref_end how);
/* With no lock held: a buffer that was in the list of an owner ends with it, unless it has just
 * ended by itself. */
void bl_ref_end_member(struct bl_ref_spot *owner, struct bl_token member,
                       const struct bl_ref_event *e);
/* With no lock held: all that the ended ones own. */
void bl_ref_end_members(struct bl_ref_spot *at, const struct bl_ref_event *e);

/* Takes the lock; every operation of a thread begins so. Filled in where it is to be: a copy would
 * be read in other pieces than it was written. */
BL_INLINE void bl_ref_enter(struct bl_ref_spot *at, const struct bl_ref_event *e)
{
    struct bl_thread_state *t = bl_tls.thread;
    at->handle = e->handle;
    at->index = bl_ref_index_of(e->handle);
    at->shard = &bl_ref_shards[at->index];
    at->ended = 0;
    at->ended_ill = false;
    at->class_number = e->class_number;
    if (BL_LIKELY(t != NULL))
        bl_flights_land(t, e->sp);
    bl_lock_take(&at->shard->lock);
}

/* And ends so. */
BL_INLINE void bl_ref_leave(struct bl_ref_spot *at, const struct bl_ref_event *e)
{
    bl_lock_give(&at->shard->lock);
    if (BL_UNLIKELY(at->ended))
        bl_ref_end_members(at, e);
}

void bl_refs_lock(void);
void bl_refs_unlock(void);
void bl_refs_reset_lock(void);
void bl_refs_reset(void);

#endif
