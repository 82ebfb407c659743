#include "ghosts.h"
#include "counters.h"
#include "history.h"
#include "hook_list.h"
#include "live.h"
#include "losses.h"
#include "stacks.h"
#include "thread_numbers.h"

/* Is there a heap block at the handle, and is it the one that the buffer had? From now on we are
 * told when it is freed. Blocks that pools keep by intent tell nothing, nor do those that are
 * carved up; and where the object counts for itself, that has told already. */
static uint32_t look_at_block(const struct bl_ref_spot *at, const struct bl_ref_tombstone *t)
{
    const struct bl_ref_policy *policy = bl_ref_policy_of(t->class_number);
    struct bl_buffer block;
    if (bl_ref_is_number(at->handle) || policy->field.width > 0)
        return BL_OBJECT_HELD;
    if (policy->revives || policy->recycles || !policy->ends_by_free ||
        !bl_live_find(at->handle, &block) || bl_ref_policy_of(block.class_number)->uncounted)
        return t->held ? BL_OBJECT_HELD : 0;
    bool was_held = bl_live_hold(at->handle);
    return t->held && was_held ? BL_OBJECT_KEPT : BL_OBJECT_AGAIN;
}

void bl_ghosts_leave_locked(const struct bl_ref_spot *at, const struct bl_ref_event *e,
                            struct bl_ref_tombstone *t)
{
    uint8_t class_number = t ? t->class_number : at->class_number;
    bl_counters_add(&bl_counters_of(class_number, at->index)->over_releases, 1);
    uint32_t record = bl_ref_take_record();
    if (!record) {
        bl_losses_add(BL_LOSS_objects_dropped, 1);
        return;
    }
    struct bl_ref_event birth = *e;
    struct bl_ref_event end = *e;
    uint32_t look = t ? look_at_block(at, t) : BL_OBJECT_HELD;
    birth.stack = t ? bl_stacks_keep(t->birth_stack) : 0;
    birth.delta = 0;
    struct bl_object *o = bl_ref_object_at(record);
    bl_ref_fill_object(o, class_number, &birth, 0, BL_OBJECT_GHOST | look);
    if (t) {
        end.stack = bl_stacks_keep(t->end_stack);
        end.thread = bl_thread_numbers_keep(t->end_thread);
        end.time_ns = t->time_ns;
        bl_history_note(o, BL_OP_RELEASE, &end);
    }
    bl_store_relaxed(&o->refs, e->delta);
    bl_history_note(o, BL_OP_OVER_RELEASE, e);
    if (t && look & (BL_OBJECT_KEPT | BL_OBJECT_AGAIN)) {
        o->field = (int32_t)t->ghost; /* those of a block are a list */
        t->ghost = record;
        t->ghost_stack = e->stack; /* the record keeps it from being swept */
    }
}

bool bl_ghosts_is_waiting_locked(const struct bl_ref_spot *at)
{
    const struct bl_ref_tombstone *t = bl_ref_tombstone_at(at);
    return t->ghost != 0 && t->handle == at->handle;
}

/* Was the stack taken inside the call that the other one is of? */
static bool is_within(uint32_t stack, uint32_t call)
{
    while (stack > call)
        stack = ((const struct bl_frame *)bl_ledger_at(BL_SECTION_FRAMES, stack))->parent;
    return stack == call && call != 0;
}

static void take_back(const struct bl_ref_spot *at, const struct bl_ref_tombstone *t)
{
    struct bl_counter *c = bl_counters_of(t->class_number, at->index);
    for (uint32_t record = t->ghost, next; record; record = next) {
        struct bl_object *o = bl_ref_object_at(record);
        next = (uint32_t)o->field;
        bl_store_release(&o->word, 0);
        bl_history_drop(o->events);
        bl_slab_give(&bl_ref_objects, record);
        bl_counters_add(&c->over_releases, (uint64_t)-1);
        bl_counters_add(&c->releases, 1);
        bl_losses_add(BL_LOSS_releases_unmatched, 1);
    }
    bl_hook_list_set_flags(t->class_number, BL_CLASS_LACKS);
}

void bl_ghosts_block_freed(uint64_t address, uint32_t stack)
{
    struct bl_ref_spot at = bl_ref_spot_of(address, 0);
    bl_lock_take(&at.shard->lock);
    if (bl_ghosts_is_waiting_locked(&at)) {
        struct bl_ref_tombstone *t = bl_ref_tombstone_at(&at);
        if (is_within(stack, t->ghost_stack))
            take_back(&at, t);
        t->ghost = 0; /* what comes to the address next is another block */
        t->held = false;
    }
    bl_lock_give(&at.shard->lock);
}
