#include "ref_index.h"
#include "counters.h"
#include "live.h"
#include "losses.h"
#include "stacks.h"

#include <sys/mman.h>

#define SHARDS BL_REF_SHARDS
/* Ended handles that a shard remembers, to tell an over-release. Numbers, of which a thread's are
 * in few shards, come one after the other and need no spare room to be told apart. */
#define TOMBSTONES        (1u << 7)
#define NUMBER_TOMBSTONES (1u << 9)
#define PAGE              4096u

struct bl_slab bl_ref_objects = {.section = BL_SECTION_OBJECTS,
                                 .link_offset = offsetof(struct bl_object, stack),
                                 .spares = BL_SPARES_OBJECTS,
                                 .group = BL_REF_GROUP,
                                 .used = 1};

struct bl_ref_policy bl_ref_policies[BL_CLASSES_MAX];
struct bl_ref_shard bl_ref_shards[SHARDS];

void bl_refs_set_policy(uint8_t class_number, struct bl_ref_policy policy)
{
    bl_ref_policies[class_number & (BL_CLASSES_MAX - 1)] = policy;
}

void bl_refs_set_partial(uint8_t class_number)
{
    bl_ref_policies[class_number & (BL_CLASSES_MAX - 1)].is_partial = true;
}

/* ---- handles to records ---- */

#define SPARES_MAX 256u /* entries that a shard keeps for its next buffers */

static struct bl_ref_entry *take_entry_locked(struct bl_ref_shard *shard)
{
    struct bl_ref_entry *e = shard->spare;
    if (!e)
        return bl_arena_alloc(sizeof *e);
    shard->spare = e->more;
    shard->spare_count--;
    return e;
}

static void give_entry_locked(struct bl_ref_shard *shard, struct bl_ref_entry *e)
{
    if (shard->spare_count >= SPARES_MAX) {
        bl_arena_free(e, sizeof *e);
        return;
    }
    e->more = shard->spare;
    shard->spare = e;
    shard->spare_count++;
}

bool bl_ref_add_locked(const struct bl_ref_spot *at, uint32_t record)
{
    struct bl_ref_entry *first = bl_ref_find_any_locked(at);
    struct bl_ref_entry *e = take_entry_locked(at->shard);
    if (!e)
        return false;
    *e = (struct bl_ref_entry){
        .handle = at->handle, .record = record, .class_number = at->class_number};
    if (first) {
        /* the table keeps its first entry, which now stands for the newcomer */
        e->record = first->record;
        e->class_number = first->class_number;
        e->more = first->more;
        first->record = record;
        first->class_number = at->class_number;
        first->more = e;
        return true;
    }
    HASH_ADD(hh, at->shard->table, handle, sizeof e->handle, e);
    if (e->oom) {
        give_entry_locked(at->shard, e);
        return false;
    }
    return true;
}

/* Nothing is added to the table, for which there might be no memory: what follows the first moves
 * into it. */
void bl_ref_remove_locked(const struct bl_ref_spot *at, struct bl_ref_entry *e)
{
    struct bl_ref_entry *before = bl_ref_find_any_locked(at);
    struct bl_ref_entry *gone = e;
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
    give_entry_locked(at->shard, gone);
}

/* ---- tombstones ---- */

/* Pages of its own, which are there once they are written to. */
static struct {
    struct bl_ref_tombstone of_numbers[SHARDS][NUMBER_TOMBSTONES];
    struct bl_ref_tombstone of_others[SHARDS][TOMBSTONES];
} BL_ALIGNED(PAGE) tombstones;
static_assert(sizeof tombstones % PAGE == 0, "nothing else is in its pages");

BL_INLINE struct bl_ref_tombstone *tombstone_place(const struct bl_ref_spot *at)
{
    if (bl_ref_is_number(at->handle))
        return &tombstones.of_numbers[at->index][at->handle & (NUMBER_TOMBSTONES - 1)];
    uint32_t place = bl_table_hash(&at->handle, sizeof at->handle);
    return &tombstones.of_others[at->index][place & (TOMBSTONES - 1)];
}

static void forget_tombstones(void)
{
    if (bl_sys3(SYS_madvise, (long)&tombstones, sizeof tombstones, MADV_DONTNEED) != 0)
        memset(&tombstones, 0, sizeof tombstones);
}

struct bl_ref_tombstone *bl_ref_tombstone_at(const struct bl_ref_spot *at)
{
    return tombstone_place(at);
}

struct bl_ref_tombstone *bl_ref_find_tombstone(const struct bl_ref_spot *at)
{
    struct bl_ref_tombstone *t = tombstone_place(at);
    bool is_its = t->class_number && t->handle == at->handle &&
                  bl_ref_family_of(t->class_number) == bl_ref_family_of(at->class_number);
    return is_its ? t : NULL;
}

void bl_ref_prefetch_end(uint64_t handle)
{
    struct bl_ref_spot at = bl_ref_spot_of(handle, 0);
    __builtin_prefetch(tombstone_place(&at), 1);
}

void bl_ref_see_tombstones(void (*see)(const struct bl_ref_tombstone *tombstone))
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        bl_lock_take(&bl_ref_shards[i].lock);
        for (uint32_t k = 0; k < NUMBER_TOMBSTONES; k++)
            see(&tombstones.of_numbers[i][k]);
        for (uint32_t k = 0; k < TOMBSTONES; k++)
            see(&tombstones.of_others[i][k]);
        bl_lock_give(&bl_ref_shards[i].lock);
    }
}

/* ---- births and ends ---- */

uint32_t bl_ref_take_record(void)
{
    return bl_slab_take(&bl_ref_objects);
}

static uint32_t births; /* of the process so far; numbers them, from 1 */

void bl_ref_fill_object(struct bl_object *o, uint8_t class_number, const struct bl_ref_event *e,
                        uint64_t size, uint32_t flags)
{
    uint32_t birth = bl_add_relaxed(&births, 1) + 1;
    bl_store_relaxed(&o->address, e->handle); /* see bl_ref_end_member */
    o->birth_ns = e->time_ns;
    bl_store_relaxed(&o->stack, e->stack);
    o->thread = e->thread;
    bl_store_relaxed(&o->refs, e->delta); /* see bl_refs_expect */
    o->events = 0;
    o->event_count = 0;
    bl_ref_set_birth_depth(o, e->sp);
    o->event_overflow = 0;
    o->owner = 0;
    o->flags = (uint16_t)flags;
    o->birth = birth;
    o->field = flags & BL_OBJECT_FIELD ? e->delta : 0;
    bl_store_release(&o->word, bl_ref_word_of(class_number, size, birth));
}

void bl_ref_bury_locked(struct bl_ref_spot *at, uint32_t record, const struct bl_ref_event *e,
                        enum bl_ref_end how)
{
    struct bl_object *o = bl_ref_object_at(record);
    struct bl_ref_tombstone *tombstone = tombstone_place(at);
    uint64_t size = bl_ref_size_in(o);
    bool ignored = o->word & BL_LIVE_IGNORED;
    bool held = o->flags & BL_OBJECT_HELD;
    uint32_t birth_stack = bl_stacks_keep(o->stack);
    __builtin_prefetch(tombstone, 1);
    if (how == BL_REF_WELL && o->flags & BL_OBJECT_DRIFTED)
        how = BL_REF_ILL;
    bl_store_release(&o->word, 0);
    if (BL_LIKELY(!ignored))
        bl_counters_end(at->index, at->class_number, size);
    if (how != BL_REF_ILL && !ignored)
        bl_history_complete(o, at->class_number, size,
                            (struct bl_moment){e->time_ns, bl_load_relaxed(&births)});
    else
        bl_history_drop(o->events);
    if (BL_LIKELY(!bl_owners_end(record))) {
        bl_slab_give(&bl_ref_objects, record);
    } else {
        bl_owners_push_ended(&at->ended, record);
        at->ended_ill |= how != BL_REF_WELL;
    }
    /* Last: its place has left the cache since it was used, and an atomic operation waits for the
     * stores before it. */
    *tombstone = (struct bl_ref_tombstone){.handle = at->handle,
                                           .time_ns = e->time_ns,
                                           .size = size,
                                           .birth_stack = birth_stack,
                                           .end_stack = e->stack,
                                           .end_thread = e->thread,
                                           .class_number = at->class_number,
                                           .held = held};
}

void bl_ref_end_locked(struct bl_ref_spot *at, struct bl_ref_entry *entry,
                       const struct bl_ref_event *e, enum bl_ref_end how)
{
    uint32_t record = entry->record;
    at->class_number = entry->class_number;
    bl_ref_remove_locked(at, entry);
    bl_ref_bury_locked(at, record, e, how);
}

void bl_ref_end_record_locked(struct bl_ref_spot *at, uint32_t record, const struct bl_ref_event *e,
                              enum bl_ref_end how)
{
    if (bl_ref_is_number(at->handle)) {
        bl_ref_bury_locked(at, record, e, how);
        return;
    }
    struct bl_ref_entry *entry = bl_ref_find_any_locked(at);
    while (entry && entry->record != record)
        entry = entry->more;
    if (entry)
        bl_ref_end_locked(at, entry, e, how);
}

void bl_ref_end_member(struct bl_ref_spot *owner, struct bl_token member,
                       const struct bl_ref_event *e)
{
    /* of the next buffer by now, perhaps: then the token is not found there */
    uint64_t handle = bl_load_relaxed(&bl_ref_object_at(member.record)->address);
    struct bl_ref_spot at = bl_ref_spot_of(handle, 0);
    bl_lock_take(&at.shard->lock);
    struct bl_ref_entry *entry = bl_ref_find_token_locked(&at, member);
    at.ended = owner->ended;
    if (entry) {
        bl_history_note(bl_ref_object_at(member.record), BL_OP_OWNER_END, e);
        bl_ref_end_locked(&at, entry, e, owner->ended_ill ? BL_REF_ILL : BL_REF_WELL);
    }
    owner->ended = at.ended;
    bl_lock_give(&at.shard->lock);
}

/* Members may be owners themselves: they are put on the same stack. */
BL_COLD void bl_ref_end_members(struct bl_ref_spot *at, const struct bl_ref_event *e)
{
    struct bl_ref_event end = *e;
    struct bl_token member;
    end.delta = 0;
    while (at->ended) {
        uint32_t owner = at->ended;
        if (bl_owners_pop(owner, &member)) {
            bl_ref_end_member(at, member, &end);
        } else {
            bl_owners_drop_ended(&at->ended);
            bl_slab_give(&bl_ref_objects, owner);
        }
    }
}

/* Is there a heap block that holds this one handle? One that is carved up holds many. */
static bool find_block(uint64_t handle, struct bl_buffer *ret_block)
{
    return bl_live_find(handle, ret_block) && !bl_ref_policy_of(ret_block->class_number)->uncounted;
}

uint32_t bl_ref_birth_locked(const struct bl_ref_spot *at, const struct bl_ref_event *e,
                             uint64_t size)
{
    const struct bl_ref_policy *policy = bl_ref_policy_of(at->class_number);
    struct bl_ref_tombstone *t = bl_ref_find_tombstone(at);
    struct bl_buffer block;
    bool held = policy->ends_by_free && find_block(e->handle, &block);
    if (size == BL_REF_SIZE_OF_BLOCK)
        size = held ? block.size_bytes : 0;
    bool ignored = policy->uncounted || bl_tls.ignoring;
    uint32_t record = bl_slab_take(&bl_ref_objects);
    if (!record || !bl_ref_add_locked(at, record)) {
        if (record)
            bl_slab_give(&bl_ref_objects, record);
        bl_losses_add(BL_LOSS_objects_dropped, 1);
        return 0;
    }
    if (t) {
        t->class_number = 0;
        t->ghost = 0; /* the block serves another buffer now, as those of pools do */
    }
    struct bl_ref_event birth = *e;
    birth.delta = bl_own_at_birth(&bl_ref_policies[at->class_number].field, at->class_number, e);
    uint32_t flags = held ? BL_OBJECT_HELD : 0;
    if (e->through && policy->field.width > 0)
        flags |= BL_OBJECT_FIELD;
    struct bl_object *o = bl_ref_object_at(record);
    bl_ref_fill_object(o, at->class_number, &birth, size, flags);
    if (held)
        bl_live_hold(e->handle);
    if (BL_UNLIKELY(ignored))
        bl_store_release(&o->word, o->word | BL_LIVE_IGNORED);
    else
        bl_counters_birth(at->index, at->class_number, size);
    return record;
}

/* ---- locks ---- */

void bl_refs_lock(void)
{
    for (unsigned i = 0; i < SHARDS; i++)
        bl_lock_take(&bl_ref_shards[i].lock);
    bl_owners_lock();
    bl_history_lock();
    bl_lock_take(&bl_ref_objects.lock);
}

void bl_refs_unlock(void)
{
    bl_lock_give(&bl_ref_objects.lock);
    bl_history_unlock();
    bl_owners_unlock();
    for (unsigned i = SHARDS; i-- > 0;)
        bl_lock_give(&bl_ref_shards[i].lock);
}

void bl_refs_reset_lock(void)
{
    bl_lock_reset(&bl_ref_objects.lock);
    bl_history_reset_lock();
    bl_owners_reset_lock();
    for (unsigned i = 0; i < SHARDS; i++)
        bl_lock_reset(&bl_ref_shards[i].lock);
}

void bl_refs_reset(void)
{
    bl_history_reset();
    bl_owners_reset();
    bl_slab_reset(&bl_ref_objects);
    forget_tombstones();
    for (unsigned i = 0; i < SHARDS; i++) {
        bl_ref_shards[i].table = NULL;
        bl_ref_shards[i].spare = NULL;
        bl_ref_shards[i].spare_count = 0;
    }
}
