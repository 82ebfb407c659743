#include "owners.h"
#include "arena.h"
#include "lock.h"

#include <string.h>

#define LOCKS       32u
#define CHUNK_SHIFT 12u
#define CHUNK       (1u << CHUNK_SHIFT)
#define CHUNKS_MAX  4096u /* of them: 1 << 24 records, as many as a slab has */

struct links {
    uint32_t owner; /* (owner's lock) 0: in no list */
    uint32_t next;  /* (owner's lock) in that list; of an ended record: the next ended one */
    uint32_t prev;  /* (owner's lock) */
    uint32_t first; /* (own lock) of its members */
    uint32_t count; /* (own lock) */
};

static struct links *chunks[CHUNKS_MAX]; /* release stores; never freed */
static struct {
    struct bl_lock lock; /* BL_RANK_OWNERS */
} BL_ALIGNED(64) locks[LOCKS];

BL_INLINE struct bl_lock *lock_of(uint32_t record)
{
    return &locks[record & (LOCKS - 1)].lock;
}

/* Of a record that has some, as all have that are in a list or have one. */
BL_INLINE struct links *links_of(uint32_t record)
{
    return &bl_load_acquire(&chunks[record >> CHUNK_SHIFT])[record & (CHUNK - 1)];
}

BL_INLINE bool has_links(uint32_t record)
{
    return record >> CHUNK_SHIFT < CHUNKS_MAX && bl_load_acquire(&chunks[record >> CHUNK_SHIFT]);
}

static bool make_links(uint32_t record)
{
    if (has_links(record))
        return true;
    if (record >> CHUNK_SHIFT >= CHUNKS_MAX)
        return false;
    struct links *expected = NULL;
    struct links *fresh = bl_arena_map(CHUNK * sizeof *fresh);
    if (fresh && !__atomic_compare_exchange_n(&chunks[record >> CHUNK_SHIFT], &expected, fresh,
                                              false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        bl_arena_unmap(fresh, CHUNK * sizeof *fresh);
    return has_links(record);
}

BL_INLINE struct bl_object *object_at(uint32_t record)
{
    return bl_ledger_at(BL_SECTION_OBJECTS, record);
}

bool bl_owners_prepare(uint32_t record, struct bl_token *ret_owner)
{
    if (!make_links(record))
        return false;
    *ret_owner = (struct bl_token){.record = record, .serial = object_at(record)->serial};
    return true;
}

/* Takes the lock of the owner that the record has now. 0: it has none, and nothing is locked. */
static uint32_t lock_owner_of(const struct links *l)
{
    for (uint32_t owner; (owner = bl_load_acquire(&l->owner)) != 0;) {
        bl_lock_take(lock_of(owner));
        if (bl_load_relaxed(&l->owner) == owner)
            return owner;
        bl_lock_give(lock_of(owner));
    }
    return 0;
}

bool bl_owners_of(uint32_t record, struct bl_token *ret_owner)
{
    uint32_t owner = has_links(record) ? lock_owner_of(links_of(record)) : 0;
    if (!owner)
        return false;
    *ret_owner = (struct bl_token){.record = owner, .serial = object_at(owner)->serial};
    bl_lock_give(lock_of(owner));
    return true;
}

/* The caller holds the owner's lock. */
static void take_out_locked(uint32_t record, struct links *l)
{
    struct links *owner = links_of(l->owner);
    if (l->prev)
        links_of(l->prev)->next = l->next;
    else
        owner->first = l->next;
    if (l->next)
        links_of(l->next)->prev = l->prev;
    owner->count--;
    l->next = l->prev = 0;
    bl_store_relaxed(&object_at(record)->owner, 0);
    bl_store_release(&l->owner, 0); /* last: whoever sees it may link the record elsewhere */
}

static void leave_owner(uint32_t record, struct links *l)
{
    uint32_t owner = lock_owner_of(l);
    if (!owner)
        return;
    take_out_locked(record, l);
    bl_lock_give(lock_of(owner));
}

bool bl_owners_link(struct bl_token owner, uint32_t record)
{
    if (owner.record == record || !make_links(record))
        return false;
    struct links *o = links_of(owner.record);
    struct links *l = links_of(record);
    leave_owner(record, l);
    bl_lock_take(lock_of(owner.record));
    bool lives = object_at(owner.record)->serial == owner.serial;
    if (lives) {
        l->prev = 0;
        l->next = o->first;
        if (l->next)
            links_of(l->next)->prev = record;
        o->first = record;
        o->count++;
        bl_store_relaxed(&l->owner, owner.record);
        bl_store_relaxed(&object_at(record)->owner, owner.record);
    }
    bl_lock_give(lock_of(owner.record));
    return lives;
}

bool bl_owners_end(uint32_t record)
{
    if (BL_LIKELY(!has_links(record))) {
        object_at(record)->serial++;
        return false;
    }
    struct links *l = links_of(record);
    leave_owner(record, l);
    bl_lock_take(lock_of(record));
    object_at(record)->serial++;
    bool owns = l->first != 0;
    bl_lock_give(lock_of(record));
    return owns;
}

bool bl_owners_pop(uint32_t record, struct bl_token *ret_member)
{
    struct links *l = links_of(record);
    bl_lock_take(lock_of(record));
    uint32_t first = l->first;
    if (first) {
        *ret_member = (struct bl_token){.record = first, .serial = object_at(first)->serial};
        take_out_locked(first, links_of(first));
    }
    bl_lock_give(lock_of(record));
    return first != 0;
}

uint32_t bl_owners_count(uint32_t record)
{
    return has_links(record) ? bl_load_relaxed(&links_of(record)->count) : 0;
}

void bl_owners_push_ended(uint32_t *head, uint32_t record)
{
    links_of(record)->next = *head;
    *head = record;
}

void bl_owners_drop_ended(uint32_t *head)
{
    struct links *l = links_of(*head);
    *head = l->next;
    l->next = 0;
}

/* ---- locks ---- */

void bl_owners_lock(void)
{
    for (unsigned i = 0; i < LOCKS; i++)
        bl_lock_take(&locks[i].lock);
}

void bl_owners_unlock(void)
{
    for (unsigned i = LOCKS; i-- > 0;)
        bl_lock_give(&locks[i].lock);
}

void bl_owners_reset_lock(void)
{
    for (unsigned i = 0; i < LOCKS; i++)
        bl_lock_reset(&locks[i].lock);
}

void bl_owners_reset(void)
{
    for (unsigned i = 0; i < CHUNKS_MAX; i++)
        if (chunks[i])
            memset(chunks[i], 0, CHUNK * sizeof *chunks[i]);
}
