/* Histories of references, and the lifecycles that ended well. */
#include "shim_start.h"

#include "losses.h"
#include "references.h"

#include <pthread.h>

static int class_number;

static void start(struct bl_ref_policy policy)
{
    start_ledger();
    bl_refs_reset();
    class_number = bl_live_add_class("widget");
    ck_assert_int_ge(class_number, 0);
    bl_refs_set_policy((uint8_t)class_number, policy);
    bl_guard_enter();
    ck_assert_ptr_nonnull(bl_threads_current()); /* which remembers what it found */
}

static const struct bl_ref_policy counted = {.zero_is_end = true};

static struct bl_ref_event event(uint64_t handle, uint32_t stack, int32_t delta, uint64_t time_ns)
{
    return (struct bl_ref_event){.handle = handle,
                                 .time_ns = time_ns,
                                 .stack = stack,
                                 .thread = 1,
                                 .delta = delta,
                                 .class_number = (uint8_t)class_number};
}

static void birth(uint64_t handle, uint32_t stack, uint64_t time_ns)
{
    struct bl_ref_event e = event(handle, stack, 1, time_ns);
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 100});
}

static void retain(uint64_t handle, uint32_t stack)
{
    struct bl_ref_event e = event(handle, stack, 1, 5000);
    if (bl_refs_is_number(handle))
        bl_refs_count_numbered(&e);
    else
        bl_refs_retain(&e);
}

static void release(uint64_t handle, uint32_t stack)
{
    struct bl_ref_event e = event(handle, stack, -1, 9000);
    if (bl_refs_is_number(handle))
        bl_refs_count_numbered(&e);
    else
        bl_refs_release(&e);
}

static const struct bl_object *find(uint64_t handle, bool ghost)
{
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_OBJECTS]; n++) {
        const struct bl_object *o = bl_ledger_at(BL_SECTION_OBJECTS, n);
        if ((o->word & BL_LIVE_BIT) && o->address == handle &&
            ghost == ((o->flags & BL_OBJECT_GHOST) != 0))
            return o;
    }
    return NULL;
}

static uint64_t live_count(void)
{
    const struct bl_counters *c = bl_ledger_at(BL_SECTION_COUNTERS, (uint32_t)class_number);
    uint64_t live = 0;
    for (unsigned i = 0; i < BL_SHARDS; i++)
        live += c->shard[i].allocs - c->shard[i].frees;
    return live;
}

static unsigned lifecycle_count(uint64_t *ret_buffers)
{
    unsigned kept = 0;
    *ret_buffers = 0;
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_LIFECYCLES]; n++) {
        const struct bl_lifecycle *c = bl_ledger_at(BL_SECTION_LIFECYCLES, n);
        kept += c->count > 0;
        *ret_buffers += c->count;
    }
    return kept;
}

START_TEST(a_buffer_lives_until_its_last_release)
{
    start(counted);
    birth(0x1000, 11, 1000);
    retain(0x1000, 12);
    release(0x1000, 13);
    ck_assert_ptr_nonnull(find(0x1000, false));
    ck_assert_int_eq(find(0x1000, false)->refs, 1);
    release(0x1000, 14);
    ck_assert_ptr_null(find(0x1000, false));
    ck_assert_uint_eq(live_count(), 0);
}
END_TEST

START_TEST(equal_operations_fold_and_others_do_not)
{
    start(counted);
    birth(0x1000, 11, 1000);
    for (int i = 0; i < 50; i++)
        retain(0x1000, 12);
    retain(0x1000, 13);
    const struct bl_object *o = find(0x1000, false);
    ck_assert_uint_eq(o->event_count, 2);
    ck_assert_int_eq(o->refs, 52);
    const struct bl_event *latest = bl_ledger_at(BL_SECTION_EVENTS, o->events);
    const struct bl_event *folded = bl_ledger_at(BL_SECTION_EVENTS, latest->next);
    ck_assert_uint_eq(latest->folded, 1);
    ck_assert_uint_eq(folded->folded, 50);
    ck_assert_uint_eq(folded->stack, 12);
    ck_assert_int_eq(folded->count_after, 51);
}
END_TEST

static unsigned events_folded(const struct bl_object *o, uint32_t times)
{
    unsigned count = 0;
    for (uint32_t n = o->events; n;) {
        const struct bl_event *e = bl_ledger_at(BL_SECTION_EVENTS, n);
        count += e->folded == times;
        n = e->next;
    }
    return count;
}

/* Each operation of it is remembered by the thread: for this buffer, not for the next one. */
START_TEST(what_a_long_history_repeats_folds_in_its_own_buffer)
{
    start(counted);
    for (uint32_t buffers = 0; buffers < 3; buffers++) {
        birth(0x1000, 11, 1000);
        for (uint32_t i = 0; i < 60; i++)
            retain(0x1000, 100 + i % 20);
        const struct bl_object *o = find(0x1000, false);
        ck_assert_uint_eq(o->event_count, 20);
        ck_assert_uint_eq(events_folded(o, 3), 20);
        ck_assert_uint_eq(o->event_overflow, 0);
        for (uint32_t i = 0; i < 61; i++)
            release(0x1000, 13);
        ck_assert_ptr_null(find(0x1000, false));
    }
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_events_overflow], 0);
}
END_TEST

static void *retain_from_eleven_places(void *first)
{
    bl_guard_enter();
    bl_threads_current();
    for (uint32_t i = 0; i < 11; i++)
        retain(0x1000, (uint32_t)(uintptr_t)first + i);
    bl_guard_leave();
    return NULL;
}

/* What one thread remembers of the list is not all that is in it by now. */
START_TEST(what_threads_repeat_of_one_another_folds)
{
    static const uintptr_t firsts[] = {100, 200, 100, 200};
    start(counted);
    birth(0x1000, 11, 1000);
    for (int turn = 0; turn < 4; turn++) {
        pthread_t other;
        retain_from_eleven_places((void *)firsts[turn]);
        ck_assert_int_eq(
            pthread_create(&other, NULL, retain_from_eleven_places, (void *)firsts[(turn + 1) % 4]),
            0);
        pthread_join(other, NULL);
    }
    ck_assert_uint_eq(find(0x1000, false)->event_count, 22);
    ck_assert_uint_eq(events_folded(find(0x1000, false), 4), 22);
}
END_TEST

START_TEST(a_full_history_counts_what_it_does_not_keep)
{
    start(counted);
    birth(0x1000, 11, 1000);
    for (uint32_t i = 0; i < 100; i++)
        retain(0x1000, 100 + i);
    const struct bl_object *o = find(0x1000, false);
    ck_assert_int_eq(o->refs, 101);
    ck_assert_uint_gt(o->event_overflow, 0);
    ck_assert_uint_eq(o->event_count + o->event_overflow, 100);
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_events_overflow], o->event_overflow);
}
END_TEST

/* A stack of its own, called from another. */
static uint32_t add_stack(uint32_t caller)
{
    uint32_t n = (uint32_t)bl_header->published[BL_SECTION_FRAMES];
    n = n ? n : 1;
    ck_assert_int_eq(bl_ledger_ensure(BL_SECTION_FRAMES, n + 1), 0);
    struct bl_frame *frame = bl_ledger_at(BL_SECTION_FRAMES, n);
    *frame = (struct bl_frame){.parent = caller, .offset = n};
    bl_ledger_publish(BL_SECTION_FRAMES, n + 1);
    return n;
}

/* As many calls of one function as asked for, each from another place. In each the handle is
 * retained `times` times and released as often, less `kept`. */
static void pass_through(uint64_t handle, uint32_t calls, int times, int kept)
{
    uint32_t loop = add_stack(0);
    for (uint32_t i = 0; i < calls; i++) {
        uint32_t call = add_stack(loop);
        uint32_t ref = add_stack(add_stack(call));
        uint32_t unref = add_stack(call);
        for (int k = 0; k < times; k++)
            retain(handle, ref);
        for (int k = kept; k < times; k++)
            release(handle, unref);
    }
}

static const struct bl_event *find_event(const struct bl_object *o, enum bl_op op, uint32_t skip)
{
    uint32_t n = o->events;
    while (n) {
        const struct bl_event *e = bl_ledger_at(BL_SECTION_EVENTS, n);
        if (e->op == op && skip-- == 0)
            return e;
        n = e->next;
    }
    return NULL;
}

static int64_t sum_of_events(const struct bl_object *o, uint32_t *ret_length)
{
    int64_t sum = 0;
    uint32_t length = 0;
    for (uint32_t n = o->events; n; length++) {
        const struct bl_event *e = bl_ledger_at(BL_SECTION_EVENTS, n);
        sum += (int64_t)e->delta * e->folded;
        n = e->next;
    }
    *ret_length = length;
    return sum;
}

START_TEST(references_in_passing_leave_a_full_history_in_pairs)
{
    uint32_t length;
    start(counted);
    birth(0x1000, 11, 1000);
    retain(0x1000, 12);
    pass_through(0x1000, 1000, 3, 0);
    const struct bl_object *o = find(0x1000, false);
    ck_assert_int_eq(o->refs, 2);
    ck_assert_uint_eq(o->event_overflow, 0);
    ck_assert_int_eq(sum_of_events(o, &length), 1);
    ck_assert_uint_eq(length, o->event_count);
    const struct bl_event *balanced = find_event(o, BL_OP_BALANCED, 0);
    ck_assert_ptr_nonnull(balanced);
    ck_assert_uint_ge(balanced->folded, 3 * 980);
    ck_assert_ptr_null(find_event(o, BL_OP_BALANCED, 1));
    ck_assert_uint_eq(find_event(o, BL_OP_RETAIN, 0) != NULL, 1);
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_events_overflow], 0);
    ck_assert_uint_lt(bl_header->published[BL_SECTION_EVENTS], 40);
}
END_TEST

START_TEST(a_reference_that_is_kept_in_passing_stays_in_a_full_history)
{
    uint32_t length;
    start(counted);
    birth(0x1000, 11, 1000);
    pass_through(0x1000, 100, 2, 0);
    uint32_t before = (uint32_t)bl_header->published[BL_SECTION_FRAMES];
    pass_through(0x1000, 1, 1000, 1);
    uint32_t guilty = before + 3; /* loop, call, wrapper, ref */
    pass_through(0x1000, 100, 2, 0);
    const struct bl_object *o = find(0x1000, false);
    ck_assert_int_eq(o->refs, 2);
    ck_assert_uint_eq(o->event_overflow, 0);
    ck_assert_int_eq(sum_of_events(o, &length), 1);
    const struct bl_event *kept = NULL;
    for (uint32_t i = 0; !kept || kept->stack != guilty; i++) {
        kept = find_event(o, BL_OP_RETAIN, i);
        ck_assert_ptr_nonnull(kept);
    }
    ck_assert_uint_eq(kept->folded, 1);
}
END_TEST

START_TEST(the_order_of_operations_makes_no_other_lifecycle)
{
    uint64_t buffers;
    start(counted);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t handle = 0x1000 + i * 16;
        birth(handle, 11, 1000);
        retain(handle, i % 2 ? 12 : 13);
        retain(handle, i % 2 ? 13 : 12);
        release(handle, 14);
        release(handle, 14);
        release(handle, 15);
    }
    ck_assert_uint_eq(lifecycle_count(&buffers), 1);
    ck_assert_uint_eq(buffers, 1000);
    const struct bl_lifecycle *c = bl_ledger_at(BL_SECTION_LIFECYCLES, 1);
    ck_assert_uint_eq(c->min_ns, 8000);
    ck_assert_uint_eq(c->total_ns, 8000 * 1000);
    ck_assert_uint_eq(c->bytes, 100 * 1000);
    ck_assert_uint_eq(c->alloc_stack, 11);
}
END_TEST

static uint32_t sum_of_lags(const struct bl_lifecycle *c)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < BL_LAG_BUCKETS; i++)
        sum += c->lags[i];
    return sum;
}

START_TEST(what_ends_in_the_order_of_births_is_not_overtaken)
{
    start(counted);
    birth(0x1000, 11, 1000);
    for (uint64_t i = 1; i <= 100; i++) {
        birth(0x1000 + i * 16, 11, 1000);
        release(0x1000 + (i - 1) * 16, 13);
    }
    const struct bl_lifecycle *c = bl_ledger_at(BL_SECTION_LIFECYCLES, 1);
    ck_assert_uint_eq(c->lags[0], 100);
    ck_assert_uint_eq(c->lag_most, 0);
    ck_assert_uint_eq(c->outlasted, 99);
    ck_assert_uint_eq(c->span, 99);
    ck_assert_uint_eq(c->lived, 100);
    ck_assert_uint_eq(c->lived_least, 1);
    ck_assert_uint_eq(find(0x1000 + 1600, false)->birth, c->newest + 1);
}
END_TEST

START_TEST(what_ends_after_younger_ones_lags_behind_them_whatever_was_done_with_them)
{
    start(counted);
    for (uint64_t round = 0; round < 10; round++) {
        birth(0x1000, 11, 1000);
        retain(0x1000, 12);
        for (uint64_t i = 1; i <= 20; i++) {
            birth(0x1000 + i * 16, 11, 1000);
            release(0x1000 + i * 16, 13);
        }
        release(0x1000, 13);
        release(0x1000, 13);
    }
    const struct bl_lifecycle *quick = bl_ledger_at(BL_SECTION_LIFECYCLES, 1);
    const struct bl_lifecycle *slow = bl_ledger_at(BL_SECTION_LIFECYCLES, 2);
    ck_assert_uint_eq(quick->lags[0], 200);
    ck_assert_uint_eq(quick->outlasted, 0);
    ck_assert_uint_eq(slow->lags[3], 10);
    ck_assert_uint_eq(slow->lag_most, 20);
    ck_assert_uint_eq(slow->outlasted, 10);
    ck_assert_uint_eq(slow->span, 21 * 9);
    ck_assert_uint_eq(sum_of_lags(slow), 10);
}
END_TEST

START_TEST(how_often_an_operation_happened_does_make_another_lifecycle)
{
    uint64_t buffers;
    start(counted);
    for (uint64_t i = 0; i < 10; i++) {
        uint64_t handle = 0x1000 + i * 16;
        birth(handle, 11, 1000);
        for (uint64_t k = 0; k < i; k++)
            retain(handle, 12);
        for (uint64_t k = 0; k <= i; k++)
            release(handle, 13);
    }
    ck_assert_uint_eq(lifecycle_count(&buffers), 10);
    ck_assert_uint_eq(buffers, 10);
}
END_TEST

START_TEST(events_of_ended_buffers_are_used_again)
{
    start(counted);
    for (uint64_t i = 0; i < 100000; i++) {
        birth(0x1000 + (i % 10) * 16, 11, 1000);
        retain(0x1000 + (i % 10) * 16, 12);
        release(0x1000 + (i % 10) * 16, 13);
        release(0x1000 + (i % 10) * 16, 14);
    }
    ck_assert_uint_lt(bl_header->published[BL_SECTION_EVENTS], 100);
    ck_assert_uint_lt(bl_header->published[BL_SECTION_OBJECTS], 100);
}
END_TEST

START_TEST(lifecycles_are_bounded_and_the_rare_ones_go_first)
{
    uint64_t buffers;
    start(counted);
    for (uint32_t i = 0; i < 40000; i++) {
        birth(0x1000, 100000 + i, 1000);
        release(0x1000, 13);
        birth(0x2000, 7, 1000);
        release(0x2000, 13);
    }
    ck_assert_uint_le(lifecycle_count(&buffers), 1u << 14);
    ck_assert_uint_gt(bl_header->losses[BL_LOSS_lifecycles_dropped], 0);
    bool common_kept = false;
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_LIFECYCLES]; n++) {
        const struct bl_lifecycle *c = bl_ledger_at(BL_SECTION_LIFECYCLES, n);
        common_kept = common_kept || (c->alloc_stack == 7 && c->count == 40000);
    }
    ck_assert(common_kept);
}
END_TEST

START_TEST(a_release_after_the_end_leaves_a_ghost_with_both_releases)
{
    start(counted);
    birth(0x1000, 11, 1000);
    release(0x1000, 13);
    release(0x1000, 14);
    const struct bl_object *ghost = find(0x1000, true);
    ck_assert_ptr_nonnull(ghost);
    ck_assert_uint_eq(ghost->stack, 11);
    const struct bl_event *over = bl_ledger_at(BL_SECTION_EVENTS, ghost->events);
    const struct bl_event *last = bl_ledger_at(BL_SECTION_EVENTS, over->next);
    ck_assert_uint_eq(over->op, BL_OP_OVER_RELEASE);
    ck_assert_uint_eq(over->stack, 14);
    ck_assert_uint_eq(last->op, BL_OP_RELEASE);
    ck_assert_uint_eq(last->stack, 13);
    ck_assert_uint_eq(live_count(), 0);
}
END_TEST

START_TEST(operations_on_handles_never_seen_are_counted_and_accuse_nobody)
{
    start(counted);
    retain(0x9000, 12);
    release(0x9000, 13);
    ck_assert_ptr_null(find(0x9000, true));
    ck_assert_ptr_null(find(0x9000, false));
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_events_unknown], 2);
}
END_TEST

START_TEST(what_a_constructor_does_is_known_once_its_call_returns)
{
    start(counted);
    struct bl_ref_event inner = event(0x9000, 12, 1, 8000);
    struct bl_ref_event outer = event(0x9000, 11, 1, 9000);
    inner.sp = 0x7000;
    outer.sp = 0x8000;
    bl_refs_retain(&inner);
    inner.delta = -1;
    bl_refs_release(&inner);
    inner.handle = 0xa000;
    bl_refs_release(&inner);
    ck_assert_uint_eq(loss(BL_LOSS_events_unknown), 3);
    bl_refs_birth(&outer, &(struct bl_ref_birth){.size = 100});
    ck_assert_uint_eq(loss(BL_LOSS_events_unknown), 1); /* the other handle's */
    birth(0xa000, 11, 9000);                            /* the call that tells is not around it */
    ck_assert_uint_eq(loss(BL_LOSS_events_unknown), 1);
    ck_assert_int_eq(find(0x9000, false)->refs, 1);
}
END_TEST

START_TEST(a_pool_takes_a_buffer_back_into_use)
{
    start((struct bl_ref_policy){.zero_is_end = true, .revives = true});
    birth(0x1000, 11, 1000);
    release(0x1000, 13);
    retain(0x1000, 12);
    ck_assert_ptr_nonnull(find(0x1000, false));
    ck_assert_uint_eq(find(0x1000, false)->stack, 11);
    ck_assert_int_eq(find(0x1000, false)->refs, 1);
    release(0x1000, 13);
    ck_assert_ptr_null(find(0x1000, false));
    ck_assert_ptr_null(find(0x1000, true));
}
END_TEST

START_TEST(an_outer_constructor_is_the_one_that_is_named)
{
    start(counted);
    birth(0x1000, 11, 1000);
    birth(0x1000, 10, 1000);
    ck_assert_uint_eq(live_count(), 1);
    ck_assert_uint_eq(find(0x1000, false)->stack, 10);
}
END_TEST

static uint64_t completed_by(enum bl_op op, uint32_t stack)
{
    uint64_t buffers = 0;
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_LIFECYCLES]; n++) {
        const struct bl_lifecycle *c = bl_ledger_at(BL_SECTION_LIFECYCLES, n);
        const struct bl_event *last =
            c->count > 0 && c->events ? bl_ledger_at(BL_SECTION_EVENTS, c->events) : NULL;
        buffers += last && last->op == op && last->stack == stack ? c->count : 0;
    }
    return buffers;
}

START_TEST(a_birth_at_a_live_address_ends_the_old_buffer_in_a_way_that_is_known_as_unseen)
{
    uint64_t buffers;
    start(counted);
    birth(0x1000, 11, 1000);
    retain(0x1000, 12);
    birth(0x1000, 11, 2000);
    ck_assert_uint_eq(live_count(), 1);
    ck_assert_int_eq(find(0x1000, false)->refs, 1);
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_buffers_replaced], 1);
    ck_assert_uint_eq(lifecycle_count(&buffers), 1);
    ck_assert_uint_eq(completed_by(BL_OP_FREED, 0), 1);
}
END_TEST

/* The next class, and events of it. */
static struct bl_ref_event other_event(uint64_t handle, uint32_t stack, int32_t delta)
{
    struct bl_ref_event e = event(handle, stack, delta, 9000);
    e.class_number = (uint8_t)(class_number + 1);
    return e;
}

static void start_with_other(struct bl_ref_policy policy)
{
    start(counted);
    bl_guard_leave();
    ck_assert_int_eq(bl_live_add_class("other"), class_number + 1);
    bl_refs_set_policy((uint8_t)(class_number + 1), policy);
    bl_guard_enter();
}

static uint64_t class_of(const struct bl_object *o)
{
    return o->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK;
}

START_TEST(functions_of_a_class_are_those_of_its_kinds)
{
    start_with_other((struct bl_ref_policy){.zero_is_end = true});
    bl_refs_set_policy(
        (uint8_t)(class_number + 1),
        (struct bl_ref_policy){.zero_is_end = true, .kind_of = (uint8_t)class_number});
    struct bl_ref_event e = other_event(0x1000, 11, 1);
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 100});
    retain(0x1000, 12);
    ck_assert_uint_eq(class_of(find(0x1000, false)), (uint64_t)class_number + 1);
    ck_assert_int_eq(find(0x1000, false)->refs, 2);
    release(0x1000, 13);
    release(0x1000, 13);
    ck_assert_ptr_null(find(0x1000, false));
    release(0x1000, 14);
    ck_assert_uint_eq(class_of(find(0x1000, true)), (uint64_t)class_number + 1);
    ck_assert_uint_eq(live_count(), 0);
}
END_TEST

START_TEST(classes_that_are_no_kinds_share_nothing_but_addresses)
{
    start_with_other((struct bl_ref_policy){.zero_is_end = true});
    struct bl_ref_event e = other_event(0x1000, 21, 1);
    birth(0x1000, 11, 1000);
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 100});
    retain(0x1000, 12);
    release(0x1000, 13);
    release(0x1000, 13); /* the one that is in the table goes, the other stays */
    ck_assert_uint_eq(class_of(find(0x1000, false)), (uint64_t)class_number + 1);
    ck_assert_int_eq(find(0x1000, false)->refs, 1);
    e = other_event(0x1000, 22, -1);
    birth(0x1000, 11, 2000);
    bl_refs_release(&e);
    ck_assert_uint_eq(class_of(find(0x1000, false)), (uint64_t)class_number);
    release(0x1000, 13);
    ck_assert_ptr_null(find(0x1000, false));
    ck_assert_ptr_null(find(0x1000, true));
}
END_TEST

START_TEST(the_free_of_a_block_ends_what_it_held_of_every_class)
{
    const struct bl_ref_policy held = {.zero_is_end = true, .ends_by_free = true};
    start_with_other(held);
    bl_refs_set_policy((uint8_t)class_number, held);
    struct bl_buffer block = {.address = 0x1000, .size_bytes = 64};
    bl_live_insert(&block);
    struct bl_ref_event e = other_event(0x1000, 21, 1);
    birth(0x1000, 11, 1000);
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 100});
    ck_assert(bl_live_remove(0x1000, NULL) & BL_REMOVED_HELD);
    bl_refs_block_freed(0x1000, 3000);
    ck_assert_ptr_null(find(0x1000, false));
    ck_assert_uint_eq(live_count(), 0);
}
END_TEST

START_TEST(a_size_that_nobody_said_is_that_of_the_block)
{
    start((struct bl_ref_policy){.zero_is_end = true, .ends_by_free = true});
    struct bl_buffer block = {.address = 0x1000, .size_bytes = 64};
    bl_live_insert(&block);
    struct bl_ref_event inside = event(0x1000, 11, 1, 1000);
    struct bl_ref_event elsewhere = event(0x2000, 11, 1, 1000);
    const struct bl_ref_birth unsaid = {.size = BL_REF_SIZE_OF_BLOCK};
    bl_refs_birth(&inside, &unsaid);
    bl_refs_birth(&elsewhere, &unsaid);
    ck_assert_uint_eq(bl_ref_size_in(find(0x1000, false)), 64);
    ck_assert_uint_eq(bl_ref_size_in(find(0x2000, false)), 0);
}
END_TEST

/* ---- owners ---- */

static void birth_in(uint64_t handle, uint64_t owner, uint32_t stack)
{
    struct bl_ref_event e = event(handle, stack, 1, 1000);
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 10, .owner = owner});
}

static void end(uint64_t handle, uint32_t stack)
{
    struct bl_ref_event e = event(handle, stack, 0, 9000);
    bl_refs_end(&e);
}

/* Completed lifecycles whose latest operation is this one. */
START_TEST(what_an_owner_owns_ends_with_it)
{
    start_with_other((struct bl_ref_policy){.zero_is_end = true});
    struct bl_ref_event pool = other_event(0x1000, 11, 1);
    bl_refs_birth(&pool, &(struct bl_ref_birth){.size = 100});
    for (uint64_t i = 0; i < 1000; i++)
        birth_in(0x100000 + i * 16, 0x1000, 12);
    retain(0x100000, 13);
    ck_assert_uint_eq(find(0x100010, false)->owner, find(0x100000, false)->owner);
    ck_assert_uint_ne(find(0x100010, false)->owner, 0);
    ck_assert_uint_eq(live_count(), 1000);
    pool = other_event(0x1000, 14, 0);
    bl_refs_end(&pool);
    ck_assert_uint_eq(live_count(), 0);
    ck_assert_ptr_null(find(0x1000, false));
    ck_assert_uint_eq(completed_by(BL_OP_OWNER_END, 14), 1000);
    ck_assert_uint_eq(completed_by(BL_OP_END, 14), 1);
}
END_TEST

START_TEST(owners_that_are_owned_end_with_all_they_own)
{
    start(counted);
    birth(0x1000, 11, 1000);
    for (uint64_t i = 1; i < 300; i++)
        birth_in(0x1000 + i * 16, 0x1000 + (i - 1) * 16, 12); /* as deep as can be */
    for (uint64_t i = 0; i < 300; i++)
        birth_in(0x100000 + i * 16, 0x1000 + i * 16, 13);
    end(0x1000, 14);
    ck_assert_uint_eq(live_count(), 0);
    ck_assert_uint_eq(completed_by(BL_OP_OWNER_END, 14), 599);
    uint64_t published = bl_header->published[BL_SECTION_OBJECTS];
    for (uint64_t i = 0; i < 300; i++)
        birth_in(0x1000 + i * 16, 0, 12);
    ck_assert_uint_eq(bl_header->published[BL_SECTION_OBJECTS], published); /* used again */
}
END_TEST

START_TEST(what_ended_by_itself_is_in_nobodys_list)
{
    start(counted);
    birth(0x1000, 11, 1000);
    for (uint64_t i = 0; i < 3; i++)
        birth_in(0x2000 + i * 16, 0x1000, 12);
    release(0x2010, 13);     /* from the middle, */
    release(0x2020, 13);     /* the front, */
    birth_in(0x2010, 0, 12); /* and born again elsewhere */
    end(0x1000, 14);
    ck_assert_uint_eq(live_count(), 1);
    ck_assert_ptr_nonnull(find(0x2010, false));
    ck_assert_uint_eq(completed_by(BL_OP_OWNER_END, 14), 1);
}
END_TEST

START_TEST(a_cleared_owner_stays_and_owns_anew)
{
    start(counted);
    birth(0x1000, 11, 1000);
    for (int round = 0; round < 3; round++) {
        birth_in(0x2000, 0x1000, 12);
        birth_in(0x3000, 0x2000, 12);
        ck_assert_uint_eq(live_count(), 3);
        struct bl_ref_event e = event(0x1000, 14, 0, 9000);
        bl_refs_clear(&e);
        ck_assert_uint_eq(live_count(), 1);
    }
    ck_assert_uint_eq(completed_by(BL_OP_OWNER_END, 14), 6);
}
END_TEST

START_TEST(of_buffers_at_one_address_the_latest_is_the_owner)
{
    start_with_other(counted);
    birth(0x1000, 11, 1000); /* its end is not noted yet, and the memory is a pool now */
    struct bl_ref_event pool = other_event(0x1000, 12, 1);
    bl_refs_birth(&pool, &(struct bl_ref_birth){.size = 100});
    birth_in(0x2000, 0x1000, 13);
    end(0x1000, 14);
    ck_assert_ptr_nonnull(find(0x2000, false));
    pool = other_event(0x1000, 15, 0);
    bl_refs_end(&pool);
    ck_assert_ptr_null(find(0x2000, false));
    ck_assert_uint_eq(completed_by(BL_OP_OWNER_END, 15), 1);
}
END_TEST

START_TEST(memory_of_an_owner_that_is_being_destroyed_may_be_given_out_again)
{
    struct bl_token token;
    start(counted);
    birth(0x1000, 11, 1000);
    birth_in(0x2000, 0x1000, 12);
    struct bl_ref_event destroy = event(0x1000, 14, 0, 9000);
    ck_assert(bl_refs_begin(BL_REFS_DESTROY, &destroy, &token));
    struct bl_ref_event again = event(0x2000, 13, 1, 9000);
    again.thread = 2;
    bl_refs_birth(&again, &(struct bl_ref_birth){.size = 10});
    bl_refs_finish_destroy(&destroy, token);
    ck_assert_uint_eq(live_count(), 1);
    ck_assert_uint_eq(find(0x2000, false)->stack, 13);
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_buffers_replaced], 0);
}
END_TEST

START_TEST(an_owner_that_is_not_known_is_counted_and_marked)
{
    start(counted);
    birth_in(0x2000, 0x9000, 12);
    birth_in(0x3000, 0, 12); /* none is no unknown one */
    ck_assert_uint_eq(find(0x2000, false)->owner, 0);
    ck_assert(find(0x2000, false)->flags & BL_OBJECT_OWNER_UNKNOWN);
    ck_assert(!(find(0x3000, false)->flags & BL_OBJECT_OWNER_UNKNOWN));
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_owners_unknown], 1);
    end(0x9000, 14);
    ck_assert_uint_eq(live_count(), 2);
}
END_TEST

START_TEST(one_beside_another_has_its_owner)
{
    start(counted);
    birth(0x1000, 11, 1000);
    birth_in(0x2000, 0x1000, 12);
    struct bl_ref_event e = event(0x3000, 13, 1, 1000);
    bl_refs_birth(&e, &(struct bl_ref_birth){.beside = 0x2000});
    release(0x2000, 14);
    ck_assert_uint_eq(live_count(), 2);
    end(0x1000, 15);
    ck_assert_uint_eq(live_count(), 0);
    birth(0x2000, 11, 1000);
    bl_refs_birth(&e, &(struct bl_ref_birth){.beside = 0x2000});
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_owners_unknown], 0);
}
END_TEST

START_TEST(an_outer_constructor_that_names_the_owner_is_believed)
{
    start(counted);
    birth(0x1000, 11, 1000);
    birth(0x2000, 12, 1000);
    birth_in(0x2000, 0x1000, 13);
    ck_assert_uint_eq(find(0x2000, false)->stack, 13);
    end(0x1000, 14);
    ck_assert_uint_eq(live_count(), 0);
}
END_TEST

START_TEST(what_a_destroy_releases_itself_is_no_end_by_the_owner)
{
    struct bl_token token;
    start(counted);
    birth(0x1000, 11, 1000);
    birth_in(0x2000, 0x1000, 12);
    birth_in(0x3000, 0x1000, 12);
    struct bl_ref_event e = event(0x1000, 14, 0, 9000);
    ck_assert(bl_refs_begin(BL_REFS_DESTROY, &e, &token));
    release(0x2000, 15);
    birth_in(0x4000, 0x1000, 12);
    bl_refs_finish_destroy(&e, token);
    ck_assert_uint_eq(live_count(), 0);
    ck_assert_uint_eq(completed_by(BL_OP_RELEASE, 15), 1);
    ck_assert_uint_eq(completed_by(BL_OP_OWNER_END, 14), 2);
    ck_assert_ptr_null(find(0x2000, true));
}
END_TEST

START_TEST(a_buffer_born_where_another_is_being_destroyed_is_a_new_one)
{
    struct bl_token token;
    start(counted);
    birth(0x1000, 11, 1000);
    birth_in(0x2000, 0x1000, 12);
    struct bl_ref_event e = event(0x1000, 14, 0, 9000);
    ck_assert(bl_refs_begin(BL_REFS_DESTROY, &e, &token));
    birth(0x1000, 16, 9500);
    birth_in(0x3000, 0x1000, 17);
    bl_refs_finish_destroy(&e, token);
    ck_assert_uint_eq(live_count(), 2);
    ck_assert_uint_eq(find(0x1000, false)->stack, 16);
    ck_assert_uint_eq(completed_by(BL_OP_END, 14), 1);
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_buffers_replaced], 0);
}
END_TEST

static void birth_at_depth(uint32_t stack, uint64_t sp)
{
    struct bl_ref_event e = event(0x1000, stack, 1, 1000);
    e.sp = sp;
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 100});
}

START_TEST(a_birth_told_again_by_an_outer_function_is_one_and_any_other_a_new_one)
{
    start(counted);
    birth_at_depth(11, 0x7ffff000);
    birth_at_depth(12, 0x7ffff040);
    birth_at_depth(13, 0x7ffff080); /* the outermost */
    ck_assert_uint_eq(find(0x1000, false)->stack, 13);
    ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), 0);
    for (uint32_t i = 1; i <= 3; i++) { /* in a loop: freed unseen, and made again */
        birth_at_depth(11, 0x7ffff000);
        birth_at_depth(13, 0x7ffff080);
        ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), i);
    }
    birth_at_depth(13, 0x7ffff080);
    ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), 4);
    ck_assert_uint_eq(live_count(), 1);
    ck_assert_uint_eq(completed_by(BL_OP_FREED, 0), 4);
    retain(0x1000, 14);
    birth_at_depth(13, 0x7ffff0c0);
    ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), 5);
}
END_TEST

START_TEST(a_chain_link_that_is_handed_out_again_had_ended)
{
    uint64_t buffers;
    start((struct bl_ref_policy){.zero_is_end = true, .recycles = true});
    birth(0x1000, 11, 1000);
    for (int i = 0; i < 5; i++)
        birth_in(0x2000, 0x1000, 12);
    ck_assert_uint_eq(live_count(), 2);
    lifecycle_count(&buffers);
    ck_assert_uint_eq(buffers, 4);
    end(0x1000, 14);
    ck_assert_uint_eq(live_count(), 0);
}
END_TEST

START_TEST(a_replaced_buffer_lost_a_reference_and_one_that_stayed_did_not)
{
    struct bl_token token;
    start(counted);
    birth(0x1000, 11, 1000);
    retain(0x1000, 12);
    struct bl_ref_event e = event(0x1000, 14, -1, 9000);
    ck_assert(bl_refs_begin(BL_REFS_REPLACE, &e, &token));
    bl_refs_finish_replace(&e, token, false);
    ck_assert_int_eq(find(0x1000, false)->refs, 2);
    ck_assert(bl_refs_begin(BL_REFS_REPLACE, &e, &token));
    bl_refs_finish_replace(&e, token, true);
    ck_assert_int_eq(find(0x1000, false)->refs, 1);
    ck_assert(bl_refs_begin(BL_REFS_REPLACE, &e, &token));
    release(0x1000, 15); /* by another thread meanwhile, and the address is used again */
    birth(0x1000, 11, 9500);
    bl_refs_finish_replace(&e, token, true);
    ck_assert_int_eq(find(0x1000, false)->refs, 1);
}
END_TEST

START_TEST(a_buffer_that_moves_keeps_its_history_and_owner)
{
    struct bl_token token;
    start(counted);
    birth(0x1000, 11, 1000);
    birth_in(0x2000, 0x1000, 12);
    birth_in(0x4000, 0x2000, 12);
    retain(0x2000, 13);
    struct bl_ref_event e = event(0x2000, 14, 0, 9000);
    ck_assert(bl_refs_begin(BL_REFS_MOVE, &e, &token));
    birth(0x2000, 15, 9500); /* given out again before the call has returned */
    bl_refs_finish_move(&e, token, 0x3000, 64);
    ck_assert_int_eq(find(0x3000, false)->refs, 2);
    ck_assert_uint_eq(find(0x3000, false)->word >> BL_LIVE_SIZE_SHIFT, 64);
    ck_assert_int_eq(find(0x2000, false)->refs, 1);
    e = event(0x3000, 14, 0, 9000);
    ck_assert(bl_refs_begin(BL_REFS_MOVE, &e, &token));
    bl_refs_finish_move(&e, token, 0, 0); /* failed: nothing has changed */
    ck_assert_uint_eq(find(0x3000, false)->word >> BL_LIVE_SIZE_SHIFT, 64);
    end(0x1000, 16);
    ck_assert_uint_eq(live_count(), 1);
    ck_assert_ptr_nonnull(find(0x2000, false));
}
END_TEST

static uint64_t birth_numbered(uint64_t former, uint32_t stack, uint32_t serial)
{
    struct bl_ref_event e = event(0, stack, 1, 1000);
    return bl_refs_birth_numbered(&e, former, serial);
}

START_TEST(a_number_is_good_for_one_buffer_of_its_record)
{
    start(counted);
    uint64_t first = birth_numbered(0, 11, 1);
    const struct bl_object *o = find(first, false);
    ck_assert_ptr_nonnull(o);
    retain(first, 12);
    release(first, 13);
    release(first, 14);
    ck_assert_uint_eq(live_count(), 0);
    uint64_t second = birth_numbered(first, 15, 2);
    ck_assert_uint_ne(second, first);
    ck_assert_ptr_eq(find(second, false), o);
    retain(first, 16);
    ck_assert_uint_eq(loss(BL_LOSS_events_unknown), 1);
    ck_assert_int_eq(o->refs, 1);
    ck_assert_uint_eq(o->stack, 15);
}
END_TEST

START_TEST(operations_on_numbers_are_counted_and_kept_in_the_history)
{
    start(counted);
    uint64_t number = birth_numbered(0, 11, 1);
    const struct bl_object *o = find(number, false);
    for (int i = 0; i < 3; i++)
        retain(number, 12);
    release(number, 13);
    ck_assert_int_eq(o->refs, 3);
    ck_assert_uint_eq(o->event_count, 2);
    ck_assert_uint_eq(events_folded(o, 3), 1);
    const struct bl_event *latest = bl_ledger_at(BL_SECTION_EVENTS, o->events);
    ck_assert_uint_eq(latest->op, BL_OP_RELEASE);
    ck_assert_uint_eq(latest->stack, 13);
    ck_assert_int_eq(latest->count_after, 3);
    const struct bl_counters *c = bl_ledger_at(BL_SECTION_COUNTERS, (uint32_t)class_number);
    uint64_t retains = 0;
    uint64_t releases = 0;
    for (unsigned i = 0; i < BL_SHARDS; i++) {
        retains += c->shard[i].retains;
        releases += c->shard[i].releases;
    }
    ck_assert_uint_eq(retains, 3);
    ck_assert_uint_eq(releases, 1);
}
END_TEST

START_TEST(a_number_that_ended_is_released_once_more)
{
    start(counted);
    uint64_t number = birth_numbered(0, 11, 1);
    release(number, 12);
    birth_numbered(0, 13, 2); /* in the same record */
    release(number, 14);
    const struct bl_object *ghost = find(number, true);
    ck_assert_ptr_nonnull(ghost);
    ck_assert_uint_eq(ghost->stack, 11);
    ck_assert_uint_eq(live_count(), 1);
}
END_TEST

START_TEST(a_number_is_remembered_while_five_hundred_others_end)
{
    start(counted);
    uint64_t number = birth_numbered(0, 11, 1);
    uint64_t live = birth_numbered(0, 12, 2);
    release(number, 12);
    for (uint32_t i = 0; i < 500; i++)
        release(birth_numbered(0, 13, 3 + i), 14);
    release(number, 15);
    ck_assert_ptr_nonnull(find(number, true));
    ck_assert_ptr_nonnull(find(live, false));
    ck_assert_uint_eq(live_count(), 1);
}
END_TEST

START_TEST(a_numbered_buffer_told_twice_is_one_and_renewed_is_another)
{
    start(counted);
    uint64_t number = birth_numbered(0, 11, 1);
    ck_assert_uint_eq(birth_numbered(number, 12, 2), number);
    ck_assert_uint_eq(find(number, false)->stack, 12);
    retain(number, 13);
    uint64_t renewed = birth_numbered(number, 14, 3);
    ck_assert_uint_ne(renewed, number);
    ck_assert_ptr_null(find(number, false));
    ck_assert_uint_eq(live_count(), 1);
    ck_assert_uint_eq(loss(BL_LOSS_buffers_replaced), 1);
}
END_TEST

START_TEST(numbers_of_no_record_and_of_another_class_lead_nowhere)
{
    start(counted);
    uint64_t number = birth_numbered(0, 11, 1);
    release(number | 0xffffffull << 32, 12);
    struct bl_ref_event e = event(number, 13, -1, 9000);
    e.class_number++;
    bl_refs_release(&e);
    ck_assert_uint_eq(loss(BL_LOSS_events_unknown), 2);
    ck_assert_uint_eq(live_count(), 1);
}
END_TEST

START_TEST(what_a_thread_has_found_it_does_not_find_once_it_is_gone)
{
    struct bl_token token;
    start(counted);
    birth(0x1000, 11, 1000);
    retain(0x1000, 12);
    struct bl_ref_event e = event(0x1000, 14, 0, 9000);
    ck_assert(bl_refs_begin(BL_REFS_MOVE, &e, &token));
    retain(0x1000, 12); /* of nothing that is known */
    bl_refs_finish_move(&e, token, 0x2000, 64);
    release(0x1000, 13);
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_events_unknown], 2);
    ck_assert_int_eq(find(0x2000, false)->refs, 2);
    release(0x2000, 13);
    release(0x2000, 13);
    release(0x2000, 14); /* leaves a ghost, in the same record */
    retain(0x2000, 15);
    ck_assert_uint_eq(bl_header->losses[BL_LOSS_events_unknown], 3);
    ck_assert_int_eq(find(0x2000, true)->refs, -1);
    birth(0x2000, 16, 1000);
    retain(0x2000, 17);
    ck_assert_int_eq(find(0x2000, false)->refs, 2);
    ck_assert_int_eq(find(0x2000, true)->refs, -1);
}
END_TEST

/* Pools and what is in them, by several threads: each has its own addresses, but for some pools
 * that all of them allocate in while others destroy them. */
static void *make_and_end_pools(void *argument)
{
    uint64_t own = (uint64_t)(uintptr_t)argument;
    uint32_t random = (uint32_t)own * 2654435761u + 1;
    bl_guard_enter();
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        uint64_t shared = 0x1000 + (random >> 28 & 3) * 16;
        uint64_t member = own << 32 | (0x1000 + (random >> 16 & 255) * 16);
        switch (random >> 24 & 7) {
        case 0:
            birth_in(shared, 0, 11);
            break;
        case 1:
            end(shared, 14);
            break;
        case 2:
            release(member, 13);
            break;
        default:
            birth_in(member, shared, 12);
            break;
        }
    }
    bl_guard_leave();
    return NULL;
}

START_TEST(threads_may_own_and_end_at_once)
{
    pthread_t threads[4];
    start((struct bl_ref_policy){.zero_is_end = true, .adopts = true});
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, make_and_end_pools, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (uint64_t i = 0; i < 4; i++)
        end(0x1000 + i * 16, 14);
    uint64_t left = 0;
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_OBJECTS]; n++) {
        const struct bl_object *o = bl_ledger_at(BL_SECTION_OBJECTS, n);
        if (!(o->word & BL_LIVE_BIT))
            continue;
        left++;
        ck_assert_uint_eq(o->owner, 0); /* whoever has one has ended with it */
        ck_assert(o->flags & BL_OBJECT_OWNER_UNKNOWN);
    }
    ck_assert_uint_eq(live_count(), left);
}
END_TEST

START_TEST(without_memory_operations_are_counted_and_nothing_else_happens)
{
    start(counted);
    bl_arena_set_fault((uint32_t)_i);
    for (uint64_t i = 0; i < 20000; i++) {
        birth(0x10000 + i * 16, (uint32_t)i, 1000);
        retain(0x10000 + i * 16, (uint32_t)(i % 100));
    }
    for (uint64_t i = 0; i < 20000; i++) {
        release(0x10000 + i * 16, 3);
        release(0x10000 + i * 16, 4);
    }
    ck_assert_uint_eq(live_count(), 0);
    birth(0x10, 11, 1000);
    for (uint64_t i = 0; i < 20000; i++)
        birth_in(0x10000 + i * 16, 0x10, (uint32_t)i);
    end(0x10, 14);
    uint64_t unknown = 0;
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_OBJECTS]; n++) {
        const struct bl_object *o = bl_ledger_at(BL_SECTION_OBJECTS, n);
        unknown += (o->word & BL_LIVE_BIT) && o->flags & BL_OBJECT_OWNER_UNKNOWN;
    }
    for (uint64_t i = 0; i < 20000; i++)
        release(0x10000 + i * 16, 3);
    ck_assert_uint_eq(unknown, bl_header->losses[BL_LOSS_owners_unknown]);
    ck_assert_uint_eq(live_count(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shim references");
    TCase *tc = tcase_create("references");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_buffer_lives_until_its_last_release);
    tcase_add_test(tc, equal_operations_fold_and_others_do_not);
    tcase_add_test(tc, what_a_long_history_repeats_folds_in_its_own_buffer);
    tcase_add_test(tc, what_threads_repeat_of_one_another_folds);
    tcase_add_test(tc, a_full_history_counts_what_it_does_not_keep);
    tcase_add_test(tc, references_in_passing_leave_a_full_history_in_pairs);
    tcase_add_test(tc, a_reference_that_is_kept_in_passing_stays_in_a_full_history);
    tcase_add_test(tc, the_order_of_operations_makes_no_other_lifecycle);
    tcase_add_test(tc, what_ends_in_the_order_of_births_is_not_overtaken);
    tcase_add_test(tc, what_ends_after_younger_ones_lags_behind_them_whatever_was_done_with_them);
    tcase_add_test(tc, how_often_an_operation_happened_does_make_another_lifecycle);
    tcase_add_test(tc, events_of_ended_buffers_are_used_again);
    tcase_add_test(tc, lifecycles_are_bounded_and_the_rare_ones_go_first);
    tcase_add_test(tc, a_release_after_the_end_leaves_a_ghost_with_both_releases);
    tcase_add_test(tc, operations_on_handles_never_seen_are_counted_and_accuse_nobody);
    tcase_add_test(tc, what_a_constructor_does_is_known_once_its_call_returns);
    tcase_add_test(tc, a_pool_takes_a_buffer_back_into_use);
    tcase_add_test(tc, an_outer_constructor_is_the_one_that_is_named);
    tcase_add_test(tc,
                   a_birth_at_a_live_address_ends_the_old_buffer_in_a_way_that_is_known_as_unseen);
    tcase_add_test(tc, functions_of_a_class_are_those_of_its_kinds);
    tcase_add_test(tc, classes_that_are_no_kinds_share_nothing_but_addresses);
    tcase_add_test(tc, the_free_of_a_block_ends_what_it_held_of_every_class);
    tcase_add_test(tc, a_size_that_nobody_said_is_that_of_the_block);
    tcase_add_test(tc, what_an_owner_owns_ends_with_it);
    tcase_add_test(tc, owners_that_are_owned_end_with_all_they_own);
    tcase_add_test(tc, what_ended_by_itself_is_in_nobodys_list);
    tcase_add_test(tc, a_cleared_owner_stays_and_owns_anew);
    tcase_add_test(tc, of_buffers_at_one_address_the_latest_is_the_owner);
    tcase_add_test(tc, memory_of_an_owner_that_is_being_destroyed_may_be_given_out_again);
    tcase_add_test(tc, an_owner_that_is_not_known_is_counted_and_marked);
    tcase_add_test(tc, one_beside_another_has_its_owner);
    tcase_add_test(tc, an_outer_constructor_that_names_the_owner_is_believed);
    tcase_add_test(tc, what_a_destroy_releases_itself_is_no_end_by_the_owner);
    tcase_add_test(tc, a_buffer_born_where_another_is_being_destroyed_is_a_new_one);
    tcase_add_test(tc, a_birth_told_again_by_an_outer_function_is_one_and_any_other_a_new_one);
    tcase_add_test(tc, a_chain_link_that_is_handed_out_again_had_ended);
    tcase_add_test(tc, a_replaced_buffer_lost_a_reference_and_one_that_stayed_did_not);
    tcase_add_test(tc, a_buffer_that_moves_keeps_its_history_and_owner);
    tcase_add_test(tc, a_number_is_good_for_one_buffer_of_its_record);
    tcase_add_test(tc, operations_on_numbers_are_counted_and_kept_in_the_history);
    tcase_add_test(tc, a_number_that_ended_is_released_once_more);
    tcase_add_test(tc, a_number_is_remembered_while_five_hundred_others_end);
    tcase_add_test(tc, a_numbered_buffer_told_twice_is_one_and_renewed_is_another);
    tcase_add_test(tc, numbers_of_no_record_and_of_another_class_lead_nowhere);
    tcase_add_test(tc, what_a_thread_has_found_it_does_not_find_once_it_is_gone);
    tcase_add_test(tc, threads_may_own_and_end_at_once);
    tcase_add_loop_test(tc, without_memory_operations_are_counted_and_nothing_else_happens, 1, 8);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
