#include "references.h"
#include "counters.h"
#include "ghosts.h"
#include "live.h"
#include "losses.h"
#include "stacks.h"

/* ---- births ---- */

enum owner_found {
    OWNER_NONE,
    OWNER_FOUND,
    OWNER_UNKNOWN,
};

/* With no lock held. A buffer at the owner's address is taken for it, of whatever class. */
static enum owner_found find_owner(const struct bl_ref_birth *birth, uint64_t handle,
                                   struct bl_token *ret_owner)
{
    uint64_t wanted = birth->owner ? birth->owner : birth->beside;
    if (BL_LIKELY(wanted == 0 || (wanted == handle && !birth->owner_class)))
        return OWNER_NONE;
    enum owner_found found = OWNER_UNKNOWN;
    struct bl_ref_spot at = bl_ref_spot_of(wanted, birth->owner_class);
    bl_lock_take(&at.shard->lock);
    const struct bl_ref_entry *entry =
        birth->owner_class ? bl_ref_find_locked(&at) : bl_ref_find_any_locked(&at);
    if (entry && birth->owner)
        found = bl_owners_prepare(entry->record, ret_owner) ? OWNER_FOUND : OWNER_UNKNOWN;
    else if (entry && bl_owners_of(entry->record, ret_owner))
        found = OWNER_FOUND;
    else if (entry && !(bl_ref_object_at(entry->record)->flags & BL_OBJECT_OWNER_UNKNOWN))
        found = OWNER_NONE;
    bl_lock_give(&at.shard->lock);
    return found;
}

static void set_owner_locked(uint32_t record, enum owner_found found, struct bl_token owner)
{
    if (BL_LIKELY(found == OWNER_NONE) || !record)
        return;
    if (found == OWNER_FOUND && bl_owners_link(owner, record))
        return;
    bl_ref_object_at(record)->flags |= BL_OBJECT_OWNER_UNKNOWN;
    bl_losses_add(BL_LOSS_owners_unknown, 1);
}

/* Is it the same birth, told by an outer function? */
static bool is_told_again(const struct bl_object *o, const struct bl_ref_event *e,
                          const struct bl_ref_policy *policy)
{
    return o->event_count == 0 && o->thread == e->thread && !policy->recycles;
}

/* Was the former birth at this address told from deeper in the stack? Else no function that it was
 * told in can be telling of it now: it ended unseen. */
static bool is_told_by_outer(const struct bl_object *o, const struct bl_ref_event *e)
{
    uint32_t further = (bl_ref_depth_of(e->sp) - bl_ref_birth_depth(o)) & BL_REF_DEPTH_MASK;
    return e->sp == 0 || (further > 0 && further <= BL_REF_DEPTH_MASK / 2);
}

/* Is it being destroyed, or what owns it? Its memory may be in use again before that is through. */
static bool is_ending(const struct bl_object *o)
{
    uint32_t owner = bl_load_relaxed(&o->owner);
    uint32_t flags = bl_load_relaxed(&o->flags);
    if (owner)
        flags |= bl_load_relaxed(&bl_ref_object_at(owner)->flags);
    return flags & BL_OBJECT_ENDING;
}

/* How a buffer ends at whose address the same class has another one now. */
static enum bl_ref_end given_out_again(struct bl_object *o, const struct bl_ref_event *e,
                                       const struct bl_ref_policy *policy)
{
    const struct bl_ref_event gone = {.handle = e->handle, .time_ns = e->time_ns};
    if (policy->recycles || is_ending(o))
        return BL_REF_WELL;
    bl_losses_add(BL_LOSS_buffers_replaced, 1);
    if (o->refs <= 0)
        return BL_REF_ILL;
    bl_history_note(o, BL_OP_FREED, &gone);
    return BL_REF_UNSEEN;
}

/* ---- before a birth is known ---- */

/* Constructors take and give back references of what they make before the call returns that tells
 * of the birth, as those of GObject do: they are unknown until then. The latest of a thread. */
static void note_unknown(const struct bl_ref_event *e)
{
    struct bl_unborn *u = NULL;
    bl_losses_add(BL_LOSS_events_unknown, 1);
    for (uint32_t i = 0; i < BL_UNBORN && !u; i++)
        u = bl_tls.unborn[i].handle == e->handle ? &bl_tls.unborn[i] : NULL;
    if (!u) {
        u = &bl_tls.unborn[bl_tls.unborn_at++ % BL_UNBORN];
        *u = (struct bl_unborn){.handle = e->handle};
    }
    u->sp = e->sp;
    u->count++;
}

/* Those made inside the call that tells now are in the count that the buffer is born with. */
BL_INLINE void forget_unborn(const struct bl_ref_event *e)
{
    if (BL_LIKELY(bl_tls.unborn_at == 0))
        return;
    for (uint32_t i = 0; i < BL_UNBORN; i++) {
        struct bl_unborn *u = &bl_tls.unborn[i];
        if (u->handle != e->handle || u->handle == 0)
            continue;
        if (u->sp < e->sp)
            bl_losses_add(BL_LOSS_events_unknown, -(uint64_t)u->count);
        *u = (struct bl_unborn){.handle = 0};
    }
}

void bl_refs_birth(const struct bl_ref_event *e, const struct bl_ref_birth *birth)
{
    struct bl_token owner = {.record = 0};
    enum owner_found found = find_owner(birth, e->handle, &owner);
    struct bl_ref_spot at;
    forget_unborn(e);
    bl_ref_enter(&at, e);
    const struct bl_ref_spot place = at;
    struct bl_ref_entry *entry = bl_ref_find_locked(&at);
    struct bl_object *o = entry ? bl_ref_object_at(entry->record) : NULL;
    uint32_t record;
    if (o && is_told_again(o, e, bl_ref_policy_of(at.class_number)) && is_told_by_outer(o, e)) {
        /* that one is what the caller called */
        bl_store_relaxed(&o->stack, e->stack);
        bl_ref_set_birth_depth(o, e->sp);
        record = entry->record;
    } else {
        if (o)
            bl_ref_end_locked(&at, entry, e,
                              given_out_again(o, e, bl_ref_policy_of(at.class_number)));
        record = bl_ref_birth_locked(&place, e, birth->size);
    }
    set_owner_locked(record, found, owner);
    bl_ref_leave(&at, e);
}

/* Told twice, by the constructor and when it is made ready, or taken into use again without an end.
 * Nobody else has a buffer that is being born. */
static bool is_renewed(const struct bl_ref_event *e, uint64_t former)
{
    struct bl_ref_spot at;
    bool told_again = false;
    uint32_t record = bl_ref_record_in(former);
    if (BL_LIKELY(!bl_ref_is_number(former) || !bl_ref_is_of(record, former, e->class_number)))
        return false;
    struct bl_ref_event again = *e;
    again.handle = former;
    bl_ref_enter(&at, &again);
    if (bl_ref_find_record_locked(&at)) {
        struct bl_object *o = bl_ref_object_at(record);
        told_again = is_told_again(o, e, bl_ref_policy_of(at.class_number));
        if (told_again) {
            bl_store_relaxed(&o->stack, e->stack);
        } else {
            bl_losses_add(BL_LOSS_buffers_replaced, 1);
            bl_ref_end_record_locked(&at, record, e, BL_REF_ILL);
        }
    }
    bl_ref_leave(&at, &again);
    return told_again;
}

uint64_t bl_refs_birth_numbered(struct bl_ref_event *e, uint64_t former, uint32_t serial)
{
    struct bl_ref_spot at;
    if (is_renewed(e, former))
        return former;
    uint32_t record = bl_ref_take_record();
    if (BL_UNLIKELY(!record)) {
        bl_losses_add(BL_LOSS_objects_dropped, 1);
        return 0;
    }
    e->handle = bl_ref_number_of(record, serial);
    bool ignored = bl_ref_policy_of(e->class_number)->uncounted || bl_tls.ignoring;
    bl_ref_enter(&at, e);
    struct bl_object *o = bl_ref_object_at(record);
    bl_ref_fill_object(o, at.class_number, e, 0, 0);
    if (BL_UNLIKELY(ignored))
        bl_store_release(&o->word, o->word | BL_LIVE_IGNORED);
    else
        bl_counters_add(&bl_counters_of(at.class_number, at.index)->allocs, 1);
    bl_ref_leave(&at, e);
    return e->handle;
}

void bl_refs_expect(uint64_t number, int32_t delta)
{
    uint32_t record = bl_ref_record_in(number);
    if (BL_UNLIKELY(record >= bl_load_relaxed(&bl_ref_objects.used)))
        return;
    __builtin_prefetch(&bl_ref_shards[bl_ref_index_of(number)], 1);
    if (bl_load_relaxed(&bl_ref_object_at(record)->refs) + delta <= 0)
        bl_ref_prefetch_end(number);
}

/* ---- retains and releases ---- */

/* One more operation of a live object, of at's class. */
BL_INLINE struct bl_own change_locked(const struct bl_ref_spot *at, struct bl_object *o,
                                      const struct bl_ref_event *e)
{
    const struct bl_ref_policy *policy = bl_ref_policy_of(at->class_number);
    bl_store_relaxed(&o->refs, o->refs + e->delta);
    if (policy->inlined || policy->field.width == 0)
        return (struct bl_own){0};
    return bl_own_compare(&policy->field, at->class_number, o, e);
}

/* A retain of a handle that is not live. A pool keeps a buffer whose count fell to 0 and takes it
 * into use again this way; a class may also say that births cannot all be seen. */
static void revive_locked(const struct bl_ref_spot *at, const struct bl_ref_event *e)
{
    const struct bl_ref_tombstone *t = bl_ref_find_tombstone(at);
    const struct bl_ref_policy *policy = bl_ref_policy_of(at->class_number);
    struct bl_ref_event birth = *e;
    birth.through = false; /* what the object counts now is no constructor's doing */
    if (t && policy->revives) {
        const struct bl_ref_spot again = bl_ref_spot_of(at->handle, t->class_number);
        birth.stack = bl_stacks_keep(t->birth_stack);
        birth.delta = 0;
        bl_ref_birth_locked(&again, &birth, t->size);
    } else if (policy->adopts) {
        struct bl_own own = bl_own_read(&policy->field, e);
        birth.stack = 0;
        birth.delta = own.known ? own.after - e->delta : 0;
        bl_ref_birth_locked(at, &birth, BL_REF_SIZE_OF_BLOCK);
    }
}

bool bl_refs_known(uint64_t handle, uint8_t class_number)
{
    struct bl_ref_spot at = bl_ref_spot_of(handle, class_number);
    bl_lock_take(&at.shard->lock);
    bool known = bl_ref_find_locked(&at) != NULL;
    bl_lock_give(&at.shard->lock);
    return known;
}

void bl_refs_retain(const struct bl_ref_event *e)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    uint32_t record = bl_ref_find_record_locked(&at);
    if (BL_UNLIKELY(!record)) {
        revive_locked(&at, e);
        record = bl_ref_find_record_locked(&at);
    }
    if (record) {
        struct bl_object *o = bl_ref_object_at(record);
        change_locked(&at, o, e);
        bl_history_note(o, BL_OP_RETAIN, e);
        bl_counters_add(&bl_counters_of(at.class_number, at.index)->retains, 1);
    } else {
        note_unknown(e);
    }
    bl_ref_leave(&at, e);
}

/* A handle that ended is released once more. */
static void over_release_locked(const struct bl_ref_spot *at, const struct bl_ref_event *e)
{
    struct bl_ref_tombstone *t = bl_ref_find_tombstone(at);
    struct bl_own own = {0};
    if (e->delta < 0)
        own = bl_own_read(&bl_ref_policy_of(at->class_number)->field, e);
    /* Not every birth of such a class is seen; and a handle that had a reference to give is no dead
     * one: it was born again at the same address, unseen. */
    const struct bl_ref_policy *policy = bl_ref_policy_of(at->class_number);
    bool unsure = policy->adopts || policy->is_partial || (own.known && own.after >= 0);
    /* A call that ended it at its beginning, for there was no room to follow it, makes releases of
     * its own (profile_events.c). */
    unsure |= bl_tls.beyond_sp != 0;
    if (!t || unsure) {
        note_unknown(e);
        return;
    }
    bl_ghosts_leave_locked(at, e, t);
}

/* o->refs is less already. */
BL_INLINE void note_release_locked(struct bl_ref_spot *at, uint32_t record,
                                   const struct bl_ref_event *e, struct bl_own own)
{
    const struct bl_ref_policy *policy = bl_ref_policy_of(at->class_number);
    struct bl_object *o = bl_ref_object_at(record);
    /* who has a reference to give gives it: then one that was taken was not seen */
    bool unsure = policy->adopts || policy->is_partial;
    bool over = o->refs < 0 && !unsure && !(own.known && own.read >= 0);
    bool well = over || o->refs >= 0 || unsure;
    bl_counters_add(&bl_counters_of(at->class_number, at->index)->releases, 1);
    bl_history_note(o, over ? BL_OP_OVER_RELEASE : BL_OP_RELEASE, e);
    if (policy->zero_is_end && (own.drifts ? own.after : o->refs) <= 0)
        bl_ref_end_record_locked(at, record, e, well ? BL_REF_WELL : BL_REF_ILL);
}

BL_INLINE void release_locked(struct bl_ref_spot *at, uint32_t record, const struct bl_ref_event *e)
{
    struct bl_own own = change_locked(at, bl_ref_object_at(record), e);
    note_release_locked(at, record, e, own);
}

void bl_refs_release(const struct bl_ref_event *e)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    uint32_t record = bl_ref_find_record_locked(&at);
    if (record)
        release_locked(&at, record, e);
    else
        over_release_locked(&at, e);
    bl_ref_leave(&at, e);
}

/* By far the most frequent of all: the buffer is there, and keeps references or gives back its
 * last. Nothing is in flight of a class whose own counts are not looked at. False: this is another
 * case, and nothing has been done. */
BL_INLINE bool count_plainly(const struct bl_ref_event *e)
{
    uint32_t record = bl_ref_record_in(e->handle);
    const struct bl_ref_policy *policy = bl_ref_policy_of(e->class_number);
    if (BL_UNLIKELY(record >= bl_load_relaxed(&bl_ref_objects.used) || policy->field.width > 0))
        return false;
    struct bl_ref_spot at = bl_ref_spot_of_number(e->handle, e->class_number);
    struct bl_object *o = bl_ref_object_at(record);
    bl_lock_take(&at.shard->lock);
    int32_t refs = o->refs + e->delta;
    bool plain = (refs > 0 || (refs == 0 && policy->zero_is_end)) &&
                 bl_ref_holds(o, e->handle, e->class_number);
    if (BL_LIKELY(plain)) {
        struct bl_counter *c = bl_counters_of(e->class_number, at.index);
        bl_store_relaxed(&o->refs, refs);
        bl_counters_add(e->delta > 0 ? &c->retains : &c->releases, 1);
        bl_history_note(o, e->delta > 0 ? BL_OP_RETAIN : BL_OP_RELEASE, e);
        if (refs == 0)
            bl_ref_bury_locked(&at, record, e, BL_REF_WELL);
    }
    bl_ref_leave(&at, e);
    return plain;
}

void bl_refs_count_numbered(const struct bl_ref_event *e)
{
    if (BL_LIKELY(count_plainly(e)))
        return;
    if (e->delta > 0)
        bl_refs_retain(e);
    else
        bl_refs_release(e);
}

bool bl_refs_release_last(const struct bl_ref_event *e)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    uint32_t record = bl_ref_find_record_locked(&at);
    bool last = record && bl_ref_object_at(record)->refs + e->delta <= 0;
    if (last)
        release_locked(&at, record, e);
    bl_ref_leave(&at, e);
    return last;
}

void bl_refs_forget(const struct bl_ref_event *e)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    struct bl_ref_entry *entry = bl_ref_find_locked(&at);
    if (entry) {
        bl_ref_end_locked(&at, entry, e, BL_REF_ILL);
        struct bl_ref_tombstone *t = bl_ref_find_tombstone(&at);
        if (t)
            t->class_number = 0; /* a release of it is no second one */
        bl_losses_add(BL_LOSS_events_dropped, 1);
    }
    bl_ref_leave(&at, e);
}

void bl_refs_release_null(const struct bl_ref_event *e)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    bl_ghosts_leave_locked(&at, e, NULL);
    bl_ref_leave(&at, e);
}

/* ---- ends ---- */

void bl_refs_end(const struct bl_ref_event *e)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    struct bl_ref_entry *entry = bl_ref_find_locked(&at);
    if (entry) {
        bl_history_note(bl_ref_object_at(entry->record), BL_OP_END, e);
        bl_ref_end_locked(&at, entry, e, BL_REF_WELL);
    } else {
        over_release_locked(&at, e);
    }
    bl_ref_leave(&at, e);
}

void bl_refs_transfer(const struct bl_ref_event *e, uint64_t into)
{
    struct bl_ref_spot at;
    (void)into; /* the report names the site; the buffer that answers has a record of its own */
    bl_ref_enter(&at, e);
    struct bl_ref_entry *entry = bl_ref_find_locked(&at);
    if (entry) {
        bl_history_note(bl_ref_object_at(entry->record), BL_OP_TRANSFER, e);
        bl_ref_end_locked(&at, entry, e, BL_REF_WELL);
    }
    bl_ref_leave(&at, e);
}

bool bl_refs_ignore(uint64_t handle)
{
    struct bl_ref_spot at = bl_ref_spot_of(handle, 0);
    bl_lock_take(&at.shard->lock);
    struct bl_ref_entry *first = bl_ref_find_any_locked(&at);
    for (struct bl_ref_entry *entry = first; entry; entry = entry->more) {
        struct bl_object *o = bl_ref_object_at(entry->record);
        if (o->word & BL_LIVE_IGNORED)
            continue;
        bl_store_release(&o->word, o->word | BL_LIVE_IGNORED);
        bl_counters_end(at.index, entry->class_number, bl_ref_size_in(o));
    }
    bl_lock_give(&at.shard->lock);
    return first != NULL;
}

/* A buffer that the block held, and that ends with it. */
static struct bl_ref_entry *find_held_locked(const struct bl_ref_spot *at)
{
    struct bl_ref_entry *e = bl_ref_find_any_locked(at);
    while (e && !(bl_ref_object_at(e->record)->flags & BL_OBJECT_HELD))
        e = e->more;
    return e;
}

/* The stack of a call of this thread that is under way and may have had the block freed. */
static uint32_t stack_under_way(uint64_t handle)
{
    for (uint32_t i = bl_tls.under_way_count; i-- > 0;) {
        if (handle == 0 || bl_tls.under_way[i].handle == handle)
            return bl_stacks_keep(bl_tls.under_way[i].stack);
    }
    return 0;
}

/* Is a call of this thread under way that may give back its references by having it freed? The flag
 * tells of any thread's, and of the first that ends. */
static bool is_replacing(const struct bl_object *o)
{
    bool own = false;
    for (uint32_t i = 0; i < bl_tls.under_way_count; i++)
        own |= bl_tls.under_way[i].handle == o->address && bl_tls.under_way[i].record;
    return own || o->flags & BL_OBJECT_REPLACING;
}

/* Is the owner, as far as the reader is told, about to end what it owns? */
static bool is_owner_ending(const struct bl_object *o)
{
    uint32_t owner = bl_load_relaxed(&o->owner);
    uint32_t flags = BL_OBJECT_ENDING | BL_OBJECT_CLEARING;
    return owner && owner < bl_header->published[BL_SECTION_OBJECTS] &&
           bl_load_relaxed(&bl_ref_object_at(owner)->flags) & flags;
}

/* How a buffer ends whose block is freed. */
static enum bl_ref_end freed(const struct bl_ref_spot *at, struct bl_ref_entry *entry,
                             struct bl_ref_event *e)
{
    struct bl_object *o = bl_ref_object_at(entry->record);
    if (o->refs <= 0 || o->flags & BL_OBJECT_ENDING)
        return BL_REF_WELL;
    if (o->refs == 1 && is_replacing(o)) { /* its last release is being made */
        bl_counters_add(&bl_counters_of(entry->class_number, at->index)->releases, 1);
        e->stack = stack_under_way(o->address);
        e->delta = -1;
        bl_history_note(o, BL_OP_RELEASE, e);
        return BL_REF_WELL;
    }
    if (is_owner_ending(o)) {
        e->stack = stack_under_way(0);
        bl_history_note(o, BL_OP_OWNER_END, e);
        return BL_REF_WELL;
    }
    if (bl_ref_policy_of(entry->class_number)->zero_is_end)
        bl_losses_add(BL_LOSS_counts_drifted, 1);
    bl_history_note(o, BL_OP_FREED, e);
    return BL_REF_UNSEEN;
}

bool bl_refs_block_freed(uint64_t address, uint64_t now_ns)
{
    const struct bl_ref_event plain = {.handle = address, .time_ns = now_ns};
    struct bl_ref_spot at = bl_ref_spot_of(address, 0);
    bl_lock_take(&at.shard->lock);
    for (struct bl_ref_entry *entry; (entry = find_held_locked(&at)) != NULL;) {
        struct bl_ref_event e = plain;
        bl_ref_end_locked(&at, entry, &e, freed(&at, entry, &e));
    }
    bool waits = bl_ghosts_is_waiting_locked(&at);
    bl_ref_leave(&at, &plain);
    return waits;
}

/* ---- calls that are followed from beginning to end ---- */

static void set_flag(uint32_t record, uint32_t flag, bool on)
{
    struct bl_object *o = bl_ref_object_at(record);
    o->flags = (uint16_t)(on ? o->flags | flag : o->flags & ~flag);
}

static void begin_locked(enum bl_refs_call call, struct bl_ref_spot *at, struct bl_ref_entry *entry,
                         const struct bl_ref_event *e)
{
    switch (call) {
    case BL_REFS_DESTROY:
        bl_history_note(bl_ref_object_at(entry->record), BL_OP_END, e);
        set_flag(entry->record, BL_OBJECT_ENDING, true);
        break;
    case BL_REFS_REPLACE:
        set_flag(entry->record, BL_OBJECT_REPLACING, true);
        bl_own_may_lose(at->class_number, e);
        break;
    case BL_REFS_MOVE:
        set_flag(entry->record, BL_OBJECT_MOVING, true);
        bl_ref_remove_locked(at, entry);
        break;
    case BL_REFS_CLEAR:
        set_flag(entry->record, BL_OBJECT_CLEARING, true);
        break;
    }
}

bool bl_refs_begin(enum bl_refs_call call, const struct bl_ref_event *e, struct bl_token *ret_token)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    struct bl_ref_entry *entry = bl_ref_find_locked(&at);
    bool known = entry != NULL;
    if (known) {
        *ret_token = (struct bl_token){.record = entry->record,
                                       .serial = bl_ref_object_at(entry->record)->serial,
                                       .class_number = entry->class_number};
        begin_locked(call, &at, entry, e);
    } else if (call == BL_REFS_DESTROY) {
        over_release_locked(&at, e);
    }
    bl_ref_leave(&at, e);
    return known;
}

void bl_refs_finish_destroy(const struct bl_ref_event *e, struct bl_token token)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    struct bl_ref_entry *entry = bl_ref_find_token_locked(&at, token);
    if (entry)
        bl_ref_end_locked(&at, entry, e, BL_REF_WELL);
    bl_ref_leave(&at, e);
}

void bl_refs_finish_clear(const struct bl_ref_event *e, struct bl_token token)
{
    struct bl_ref_spot at = bl_ref_spot_of(e->handle, e->class_number);
    struct bl_ref_event end = *e;
    struct bl_token member;
    bl_lock_take(&at.shard->lock);
    bool lives = bl_ref_find_token_locked(&at, token) != NULL;
    uint32_t count = lives ? bl_owners_count(token.record) : 0;
    if (lives)
        set_flag(token.record, BL_OBJECT_CLEARING, false);
    bl_lock_give(&at.shard->lock);
    end.delta = 0;
    while (count-- > 0 && bl_owners_pop(token.record, &member))
        bl_ref_end_member(&at, member, &end);
    if (at.ended)
        bl_ref_end_members(&at, e);
}

void bl_refs_clear(const struct bl_ref_event *e)
{
    struct bl_token token;
    if (bl_refs_begin(BL_REFS_CLEAR, e, &token))
        bl_refs_finish_clear(e, token);
}

/* It may have been released and freed meanwhile, so its own count is not looked at. */
void bl_refs_finish_replace(const struct bl_ref_event *e, struct bl_token token, bool replaced)
{
    struct bl_ref_spot at = bl_ref_spot_of(e->handle, e->class_number);
    bl_lock_take(&at.shard->lock);
    struct bl_ref_entry *entry = bl_ref_find_token_locked(&at, token);
    if (entry) {
        struct bl_object *o = bl_ref_object_at(token.record);
        at.class_number = entry->class_number;
        set_flag(token.record, BL_OBJECT_REPLACING, false);
        if (replaced) {
            bl_store_relaxed(&o->refs, o->refs + e->delta);
            note_release_locked(&at, token.record, e, (struct bl_own){0});
        }
    }
    if (bl_tls.thread)
        bl_flights_land(bl_tls.thread, e->sp); /* what bl_refs_begin put there */
    bl_ref_leave(&at, e);
}

static void resize_locked(const struct bl_ref_spot *at, struct bl_object *o, uint64_t size)
{
    struct bl_counter *c = bl_counters_of(at->class_number, at->index);
    int64_t change = (int64_t)(size - bl_ref_size_in(o));
    uint64_t generation = o->word >> BL_LIVE_GENERATION_SHIFT;
    uint64_t ignored = o->word & BL_LIVE_IGNORED;
    bl_store_release(&o->word, bl_ref_word_of(at->class_number, size, generation + 1) | ignored);
    if (ignored)
        return;
    bl_counters_add(&c->alloc_bytes, (uint64_t)change);
    bl_counters_settle(c, at->class_number, change);
}

void bl_refs_resize(const struct bl_ref_event *e, uint64_t size)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    uint32_t record = bl_ref_find_record_locked(&at);
    if (record)
        resize_locked(&at, bl_ref_object_at(record), size);
    bl_ref_leave(&at, e);
}

void bl_refs_note_holder(const struct bl_ref_event *e, uint64_t holder)
{
    struct bl_ref_spot at;
    bl_ref_enter(&at, e);
    uint32_t record = bl_ref_find_record_locked(&at);
    if (record) {
        struct bl_object *o = bl_ref_object_at(record);
        o->field = (int32_t)(uint32_t)holder;
        o->flags |= BL_OBJECT_HOLDER;
    }
    bl_ref_leave(&at, e);
}

/* While it was out of the index nobody else could come upon the record. */
void bl_refs_finish_move(const struct bl_ref_event *e, struct bl_token token, uint64_t into,
                         uint64_t size)
{
    struct bl_object *o = bl_ref_object_at(token.record);
    struct bl_ref_spot at = bl_ref_spot_of(into ? into : e->handle, token.class_number);
    struct bl_buffer block;
    bl_lock_take(&at.shard->lock);
    struct bl_ref_entry *entry = bl_ref_find_locked(&at);
    if (entry) {
        bl_losses_add(BL_LOSS_buffers_replaced, 1);
        bl_ref_end_locked(&at, entry, e, BL_REF_ILL);
    }
    at.class_number = token.class_number;
    bl_store_relaxed(&o->address, at.handle);
    bool held = bl_ref_policy_of(at.class_number)->ends_by_free && bl_live_find(at.handle, &block);
    set_flag(token.record, BL_OBJECT_MOVING, false);
    set_flag(token.record, BL_OBJECT_HELD, held);
    if (held)
        bl_live_hold(at.handle);
    if (into)
        resize_locked(&at, o, size);
    if (!bl_ref_add_locked(&at, token.record)) {
        bl_losses_add(BL_LOSS_objects_dropped, 1);
        bl_ref_bury_locked(&at, token.record, e, BL_REF_ILL);
    }
    bl_ref_leave(&at, e);
}
