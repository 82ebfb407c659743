#include "histories.h"

#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX (4ul * BL_HISTORY_ITEMS) /* of one buffer */
#define UNITS_MAX  (1ull << 40)             /* of one item: sums of them cannot overflow */
#define COUNT_MAX  (1ull << 40)             /* of one lifecycle, for the same reason */
/* Times of two threads tell no order within one tick of the clock: what a record says does. */
#define SAME_TICK_NS 1000000u

struct builder {
    struct bl_histories *histories;
    const struct bl_reader *reader;
    struct bl_callers *callers;
    struct bl_error *error;
    size_t live_room;
    size_t completed_room;
    size_t item_room;
    uint32_t *slots; /* live patterns by content: index + 1 */
    size_t slot_room;
    struct bl_event *events;
};

/* The items of one buffer, before they become a pattern's. */
struct draft {
    struct bl_item items[BL_HISTORY_ITEMS];
    size_t count;
    bool is_cut;
    bool is_owned;  /* it ended with its owner */
    bool is_unseen; /* it ended, nobody knows how */
    uint64_t acquired;
    uint64_t released;
    uint64_t latest_ns;
    uint32_t latest_thread;
};

static int out_of_memory(struct builder *builder)
{
    bl_error_set(builder->error, "not enough memory for the histories");
    return -1;
}

static void add_item(struct draft *draft, enum bl_item_kind kind, uint32_t stack, uint64_t units)
{
    if (bl_item_is_acquire(&(struct bl_item){.kind = kind}))
        draft->acquired += units;
    else if (kind == BL_ITEM_RELEASE)
        draft->released += units;
    for (size_t i = 0; i < draft->count; i++) {
        struct bl_item *item = &draft->items[i];
        if (item->kind != kind || item->stack != stack)
            continue;
        item->units += units < UNITS_MAX - item->units ? units : UNITS_MAX - item->units;
        return;
    }
    if (draft->count == BL_HISTORY_ITEMS) {
        draft->is_cut = true;
        return;
    }
    draft->items[draft->count] = (struct bl_item){
        .kind = kind, .stack = stack, .order = (uint32_t)draft->count, .units = units};
    draft->count++;
}

/* References that an event stands for. */
static uint64_t units_of(const struct bl_event *event)
{
    uint64_t step = (uint64_t)(event->delta < 0 ? -(int64_t)event->delta : event->delta);
    uint64_t units = (step ? step : 1) * event->folded;
    return units < UNITS_MAX ? units : UNITS_MAX;
}

static void add_event(struct draft *draft, const struct bl_event *event)
{
    uint64_t left = draft->acquired > draft->released ? draft->acquired - draft->released : 0;
    if (event->time_ns + SAME_TICK_NS >= draft->latest_ns)
        draft->latest_thread = event->thread;
    if (event->time_ns > draft->latest_ns)
        draft->latest_ns = event->time_ns;
    switch (event->op) {
    case BL_OP_ALLOC:
        add_item(draft, BL_ITEM_ALLOC, event->stack, units_of(event));
        break;
    case BL_OP_RETAIN:
        add_item(draft, BL_ITEM_RETAIN, event->stack, units_of(event));
        break;
    case BL_OP_RELEASE:
        add_item(draft, BL_ITEM_RELEASE, event->stack, units_of(event));
        break;
    case BL_OP_FREED:
    case BL_OP_OWNER_END:
        draft->is_owned |= event->op == BL_OP_OWNER_END;
        draft->is_unseen |= event->op == BL_OP_FREED;
        __attribute__((fallthrough));
    case BL_OP_END:
    case BL_OP_TRANSFER:
        /* a destroy takes what is left, however much that is */
        if (event->delta != 0 || left > 0)
            add_item(draft, BL_ITEM_RELEASE, event->stack,
                     event->delta != 0 ? units_of(event) : left);
        break;
    case BL_OP_OVER_RELEASE:
        add_item(draft, BL_ITEM_OVER_RELEASE, event->stack, units_of(event));
        break;
    default: /* a resize moves no reference */
        break;
    }
}

static int compare_items(const void *left, const void *right)
{
    const struct bl_item *a = left;
    const struct bl_item *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return a->stack < b->stack ? -1 : a->stack > b->stack;
}

/* What a birth gave, from what came of it: the balance of all events since and, of a live one, what
 * is left. A buffer that was destroyed may have had any count, then it is taken to be one. */
static uint64_t birth_units(const struct bl_event *events, size_t count, int64_t left)
{
    int64_t balance = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t units = (int64_t)units_of(&events[i]);
        if (events[i].op == BL_OP_RETAIN)
            balance += units;
        else if (events[i].op == BL_OP_RELEASE || events[i].op == BL_OP_OVER_RELEASE)
            balance -= units;
    }
    if (left < 0)
        return balance < 0 ? (uint64_t)-balance : 1;
    return left > balance ? (uint64_t)(left - balance) : 0;
}

/* Fills the draft from a list of events, newest first. The birth is no event but has a stack, and
 * gave `given` references. */
static void make_draft(struct draft *draft, const struct bl_event *events, size_t count,
                       uint32_t birth_stack, uint64_t given)
{
    bool has_alloc = false;
    draft->count = 0;
    draft->is_cut = false;
    draft->is_owned = false;
    draft->is_unseen = false;
    draft->acquired = 0;
    draft->released = 0;
    draft->latest_ns = 0;
    draft->latest_thread = 0;
    for (size_t i = 0; i < count; i++)
        has_alloc |= events[i].op == BL_OP_ALLOC;
    if (!has_alloc)
        add_item(draft, BL_ITEM_ALLOC, birth_stack, given < UNITS_MAX ? given : UNITS_MAX);
    for (size_t i = count; i-- > 0;)
        add_event(draft, &events[i]);
    qsort(draft->items, draft->count, sizeof(draft->items[0]), compare_items);
}

static void *grow(void *array, size_t *room, size_t needed, size_t size)
{
    if (needed <= *room)
        return array;
    size_t wanted = *room ? *room : 1024;
    while (wanted < needed)
        wanted *= 2;
    void *grown = realloc(array, wanted * size);
    if (grown)
        *room = wanted;
    return grown;
}

/* Copies the draft's items behind those of all other patterns. */
static int keep_items(struct builder *builder, const struct draft *draft,
                      struct bl_pattern *pattern)
{
    struct bl_histories *all = builder->histories;
    void *grown =
        grow(all->items, &builder->item_room, all->item_count + draft->count, sizeof(*all->items));
    if (!grown)
        return out_of_memory(builder);
    all->items = grown;
    pattern->first_item = (uint32_t)all->item_count;
    pattern->item_count = (uint32_t)draft->count;
    for (size_t i = 0; i < draft->count; i++) {
        struct bl_item *item = &all->items[all->item_count++];
        *item = draft->items[i];
        item->callers =
            item->kind == BL_ITEM_RELEASE
                ? bl_callers_find_release(builder->callers, pattern->class_number, item->stack)
                : bl_callers_find(builder->callers, pattern->class_number, item->stack);
        if (item->callers == UINT32_MAX)
            return out_of_memory(builder);
        item->whole = bl_callers_whole(builder->callers, item->callers);
        item->site = bl_callers_site(builder->callers, item->callers);
        item->call = bl_callers_call(builder->callers, item->callers);
    }
    return 0;
}

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    return value ^ value >> 32;
}

static uint64_t hash_items(const struct bl_pattern *head, const struct bl_item *items, size_t count)
{
    uint64_t hash = mix((uint64_t)head->class_number << 16 | (uint64_t)head->ghost << 9 |
                        (uint64_t)head->is_owned << 8 | head->doubt);
    for (size_t i = 0; i < count; i++)
        hash = mix(hash + mix((uint64_t)items[i].kind << 32 | items[i].stack) + items[i].units);
    return hash;
}

static bool same_items(const struct bl_item *a, const struct bl_item *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i].kind != b[i].kind || a[i].stack != b[i].stack || a[i].units != b[i].units)
            return false;
    return true;
}

static bool grow_slots(struct builder *builder)
{
    const struct bl_histories *all = builder->histories;
    if (all->live_count * 2 < builder->slot_room)
        return true;
    size_t room = builder->slot_room ? builder->slot_room * 2 : 1024;
    uint32_t *slots = calloc(room, sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i < all->live_count; i++) {
        const struct bl_pattern *pattern = &all->live[i];
        uint64_t at = hash_items(pattern, bl_pattern_items(all, pattern), pattern->item_count);
        while (slots[at & (room - 1)])
            at++;
        slots[at & (room - 1)] = (uint32_t)i + 1;
    }
    free(builder->slots);
    builder->slots = slots;
    builder->slot_room = room;
    return true;
}

/* Index of the live pattern of this head and these items, made when it is new; -1 without memory.
 */
static int64_t find_live(struct builder *builder, const struct bl_pattern *head,
                         const struct draft *draft)
{
    struct bl_histories *all = builder->histories;
    if (!grow_slots(builder))
        return out_of_memory(builder);
    uint64_t at = hash_items(head, draft->items, draft->count);
    uint32_t slot;
    while (all->live && (slot = builder->slots[at & (builder->slot_room - 1)])) {
        const struct bl_pattern *pattern = &all->live[slot - 1];
        if (pattern->class_number == head->class_number && pattern->doubt == head->doubt &&
            pattern->is_owned == head->is_owned && pattern->ghost == head->ghost &&
            pattern->item_count == draft->count &&
            same_items(bl_pattern_items(all, pattern), draft->items, draft->count))
            return (int64_t)slot - 1;
        at++;
    }
    void *grown = grow(all->live, &builder->live_room, all->live_count + 1, sizeof(*all->live));
    if (!grown)
        return out_of_memory(builder);
    all->live = grown;
    struct bl_pattern *pattern = &all->live[all->live_count];
    *pattern = *head;
    if (draft->acquired > draft->released)
        pattern->refs = draft->acquired - draft->released;
    if (keep_items(builder, draft, pattern) < 0)
        return -1;
    all->live_count++;
    builder->slots[at & (builder->slot_room - 1)] = (uint32_t)all->live_count;
    return (int64_t)all->live_count - 1;
}

static enum bl_doubt doubt_of(const struct builder *builder, const struct bl_tracked *tracked,
                              const struct draft *draft, bool is_inherited)
{
    const struct bl_object *object = &tracked->object;
    const struct bl_class *class = bl_reader_class(
        builder->reader, (uint32_t)(object->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK));
    if (object->flags & BL_OBJECT_GHOST)
        return BL_DOUBT_GHOST;
    if (is_inherited)
        return BL_DOUBT_INHERITED;
    if (tracked->is_moving)
        return BL_DOUBT_MOVING;
    if (object->event_overflow > 0 || draft->is_cut)
        return BL_DOUBT_OVERFLOW;
    if (object->flags & BL_OBJECT_DRIFTED)
        return BL_DOUBT_DRIFTED;
    if (object->flags & BL_OBJECT_OWNER_UNKNOWN)
        return BL_DOUBT_OWNER;
    if (class && class->flags & BL_CLASS_PARTIAL &&
        !(object->flags & (BL_OBJECT_HELD | BL_OBJECT_FIELD)))
        return BL_DOUBT_PARTIAL;
    return draft->acquired > draft->released ? BL_DOUBT_NONE : BL_DOUBT_SETTLED;
}

/* A ghost whose block was there, as a library leaves it that knows of references which were not
 * seen. Another block at its address is mostly chance, unless that was seen of the class. */
static enum bl_ghost ghost_of(const struct builder *builder, const struct bl_object *object)
{
    const uint32_t looks = BL_OBJECT_HELD | BL_OBJECT_KEPT | BL_OBJECT_AGAIN;
    const struct bl_class *class = bl_reader_class(
        builder->reader, (uint32_t)(object->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK));
    bool lacks = class && class->flags & BL_CLASS_LACKS;
    if (!(object->flags & BL_OBJECT_GHOST))
        return BL_GHOST_GONE;
    if (object->flags & BL_OBJECT_KEPT || (object->flags & BL_OBJECT_AGAIN && lacks))
        return BL_GHOST_MAY_LIVE;
    return object->flags & looks ? BL_GHOST_GONE : BL_GHOST_UNKNOWN;
}

static int add_object(struct builder *builder, const struct bl_tracked *tracked, uint32_t index,
                      bool is_inherited, struct draft *draft)
{
    struct bl_histories *all = builder->histories;
    const struct bl_object *object = &tracked->object;
    size_t count = bl_reader_history(builder->reader, object->events, object->event_count,
                                     builder->events, EVENTS_MAX);
    int64_t left = object->refs > 0 ? object->refs : 0;
    make_draft(draft, builder->events, count, object->stack,
               tracked->is_moving ? 1 : birth_units(builder->events, count, left));
    draft->is_cut |= count < object->event_count;
    const struct bl_pattern head = {
        .class_number = (uint32_t)(object->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK),
        .doubt = doubt_of(builder, tracked, draft, is_inherited),
        .ghost = ghost_of(builder, object),
        .is_owned = object->owner != 0};
    int64_t found = find_live(builder, &head, draft);
    if (found < 0 || !all->live)
        return -1;
    struct bl_pattern *pattern = &all->live[found];
    uint64_t bytes = object->word >> BL_LIVE_SIZE_SHIFT;
    pattern->count++;
    pattern->bytes += bytes;
    if (draft->latest_ns > pattern->latest_ns)
        pattern->latest_ns = draft->latest_ns;
    all->objects[all->object_count++] = (struct bl_history_object){
        .birth_ns = object->birth_ns,
        .birth = object->birth,
        .bytes = bytes,
        .index = index,
        .owner = object->owner,
        .latest_ns = draft->latest_ns,
        .thread = draft->latest_thread ? draft->latest_thread : object->thread,
        .pattern = (uint32_t)found};
    return 0;
}

static int compare_births(const void *left, const void *right)
{
    const struct bl_history_object *a = left;
    const struct bl_history_object *b = right;
    if (a->birth_ns != b->birth_ns)
        return a->birth_ns < b->birth_ns ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Each pattern's objects together, by birth. They come by record, so one pass deals them out; a
 * pattern's are mostly in order then. */
static int sort_objects(struct builder *builder)
{
    struct bl_histories *all = builder->histories;
    struct bl_history_object *sorted = calloc(all->object_count + 1, sizeof(*sorted));
    size_t first = 0;
    if (!sorted)
        return out_of_memory(builder);
    for (size_t i = 0; i < all->live_count; i++) {
        all->live[i].first_object = first;
        first += all->live[i].count;
    }
    for (size_t i = 0; i < all->object_count; i++) {
        struct bl_pattern *pattern = &all->live[all->objects[i].pattern];
        sorted[pattern->first_object + pattern->object_count++] = all->objects[i];
    }
    for (size_t i = 0; i < all->live_count; i++) {
        struct bl_history_object *own = &sorted[all->live[i].first_object];
        size_t count = all->live[i].object_count;
        size_t k = 1;
        while (k < count && compare_births(&own[k - 1], &own[k]) <= 0)
            k++;
        if (k < count)
            qsort(own, count, sizeof(*own), compare_births);
    }
    free(all->objects);
    all->objects = sorted;
    all->births = calloc(all->object_count + 1, sizeof(*all->births));
    if (!all->births)
        return out_of_memory(builder);
    for (size_t i = 0; i < all->object_count; i++)
        all->births[i] = sorted[i].birth_ns;
    return 0;
}

static int add_objects(struct builder *builder, uint64_t now_ns, uint64_t min_age_ns)
{
    struct bl_histories *all = builder->histories;
    const struct bl_header *header = bl_reader_header(builder->reader);
    uint32_t first_own_thread = bl_model_first_own_thread(builder->reader);
    size_t count;
    const struct bl_tracked *tracked = bl_reader_objects(builder->reader, &count);
    struct draft *draft = malloc(sizeof(*draft));
    all->objects = calloc(count + 1, sizeof(*all->objects));
    int outcome = 0;
    if (!draft || !all->objects) {
        free(draft);
        return out_of_memory(builder);
    }
    for (size_t i = 0; i < count && outcome == 0; i++) {
        const struct bl_object *object = &tracked[i].object;
        struct bl_live live = {.birth_ns = object->birth_ns, .thread = object->thread};
        uint64_t age_ns = now_ns > object->birth_ns ? now_ns - object->birth_ns : 0;
        if (age_ns < min_age_ns)
            continue;
        outcome = add_object(builder, &tracked[i], (uint32_t)i,
                             bl_model_is_inherited(header, first_own_thread, &live), draft);
    }
    free(draft);
    if (outcome < 0)
        return -1;
    return sort_objects(builder);
}

static int add_lifecycle(struct builder *builder, const struct bl_lifecycle *life,
                         struct draft *draft)
{
    struct bl_histories *all = builder->histories;
    size_t count = bl_reader_history(builder->reader, life->events, life->event_count,
                                     builder->events, EVENTS_MAX);
    make_draft(draft, builder->events, count, life->alloc_stack,
               birth_units(builder->events, count, -1));
    void *grown = grow(all->completed, &builder->completed_room, all->completed_count + 1,
                       sizeof(*all->completed));
    if (!grown)
        return out_of_memory(builder);
    all->completed = grown;
    struct bl_pattern *pattern = &all->completed[all->completed_count];
    *pattern = (struct bl_pattern){.class_number = life->class_number,
                                   .count = life->count < COUNT_MAX ? life->count : COUNT_MAX,
                                   .bytes = life->bytes,
                                   .latest_ns = life->last_ns,
                                   .longest_ns = life->max_ns,
                                   .is_owned = draft->is_owned,
                                   .is_unseen = draft->is_unseen,
                                   .lifecycle = life};
    if (life->overflow > 0 || draft->is_cut)
        pattern->doubt = BL_DOUBT_OVERFLOW;
    if (keep_items(builder, draft, pattern) < 0)
        return -1;
    all->completed_count++;
    return 0;
}

static int compare_completed(const void *left, const void *right)
{
    const struct bl_pattern *a = left;
    const struct bl_pattern *b = right;
    if (a->class_number != b->class_number)
        return a->class_number < b->class_number ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->first_item < b->first_item ? -1 : a->first_item > b->first_item;
}

static int add_lifecycles(struct builder *builder)
{
    struct bl_histories *all = builder->histories;
    uint32_t count = bl_reader_count(builder->reader, BL_SECTION_LIFECYCLES);
    struct draft *draft = malloc(sizeof(*draft));
    int outcome = 0;
    if (!draft)
        return out_of_memory(builder);
    for (uint32_t i = 1; i < count && outcome == 0; i++) {
        const struct bl_lifecycle *life = bl_reader_lifecycle(builder->reader, i);
        if (life)
            outcome = add_lifecycle(builder, life, draft);
    }
    free(draft);
    if (outcome == 0 && all->completed_count > 0)
        qsort(all->completed, all->completed_count, sizeof(*all->completed), compare_completed);
    return outcome;
}

int bl_histories_create(struct bl_histories **ret_histories, const struct bl_reader *reader,
                        struct bl_callers *callers, uint64_t now_ns, uint64_t min_age_ns,
                        struct bl_error *error)
{
    struct builder builder = {.histories = calloc(1, sizeof(struct bl_histories)),
                              .reader = reader,
                              .callers = callers,
                              .error = error,
                              .events = calloc(EVENTS_MAX, sizeof(struct bl_event))};
    if (!builder.histories || !builder.events) {
        free(builder.histories);
        free(builder.events);
        return out_of_memory(&builder);
    }
    builder.histories->items = grow(NULL, &builder.item_room, 1, sizeof(struct bl_item));
    int outcome = builder.histories->items ? add_objects(&builder, now_ns, min_age_ns)
                                           : out_of_memory(&builder);
    if (outcome == 0)
        outcome = add_lifecycles(&builder);
    free(builder.events);
    free(builder.slots);
    if (outcome < 0)
        bl_histories_destroy(builder.histories);
    else
        *ret_histories = builder.histories;
    return outcome;
}

void bl_histories_destroy(struct bl_histories *histories)
{
    if (!histories)
        return;
    free(histories->live);
    free(histories->completed);
    free(histories->items);
    free(histories->objects);
    free(histories->births);
    free(histories);
}

const struct bl_item *bl_pattern_birth(const struct bl_histories *histories,
                                       const struct bl_pattern *pattern)
{
    const struct bl_item *items = bl_pattern_items(histories, pattern);
    /* items are ordered by kind, and this is the first one */
    return pattern->item_count > 0 && items[0].kind == BL_ITEM_ALLOC ? items : NULL;
}

#define ENDS    8  /* moments of ends that stand for all */
#define INSTANT 64 /* lifetimes this part of the span of the ends need not be told apart */

static double within_one(double share)
{
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

struct bl_lifetimes bl_lifetimes_of(const struct bl_lifecycle *lifecycle, uint64_t start_ns)
{
    struct bl_lifetimes lifetimes = {
        .count = lifecycle->count,
        .first_end_ns = lifecycle->first_ns ? lifecycle->first_ns : start_ns,
        .last_end_ns = lifecycle->last_ns,
        .shortest_ns = lifecycle->min_ns,
        .longest_ns = lifecycle->max_ns,
    };
    double first_ns = (double)lifetimes.first_end_ns;
    double span_ns = (double)lifetimes.last_end_ns - first_ns;
    double mean_ns = lifecycle->count > 0 && lifecycle->first_ns > 0 && lifecycle->ends_ns > 0
                         ? (double)lifecycle->ends_ns / (double)lifecycle->count
                         : span_ns / 2;
    lifetimes.mean_end_ns = first_ns + (mean_ns < span_ns ? mean_ns : span_ns);
    for (unsigned i = 0; i < BL_LIFETIME_BUCKETS; i++)
        lifetimes.histogram[i] = lifecycle->histogram[i];
    return lifetimes;
}

/* The share that lived less than age_ns. */
static double share_below(const struct bl_lifetimes *lifetimes, double age_ns)
{
    double below = 0;
    double all = 0;
    double low_ns = 0;
    double shortest_ns = (double)lifetimes->shortest_ns;
    double longest_ns = (double)lifetimes->longest_ns;
    for (unsigned i = 0; i < BL_LIFETIME_BUCKETS; i++) {
        double high_ns = i + 1 < BL_LIFETIME_BUCKETS ? 1e3 * (double)(1ull << 2 * i) : 1e18;
        double count = (double)lifetimes->histogram[i];
        double from_ns = low_ns > shortest_ns ? low_ns : shortest_ns;
        double to_ns = high_ns < longest_ns ? high_ns : longest_ns;
        low_ns = high_ns;
        if (lifetimes->histogram[i] == 0)
            continue;
        double share = to_ns > from_ns ? (age_ns - from_ns) / (to_ns - from_ns) : age_ns > from_ns;
        below += count * within_one(share);
        all += count;
    }
    return all > 0 ? below / all : 0;
}

/* Of those that ended evenly from one moment to another. */
static double born_after(const struct bl_lifetimes *lifetimes, double from_ns, double to_ns,
                         double moment_ns)
{
    double span_ns = to_ns > from_ns ? to_ns - from_ns : 0;
    double share = 0;
    if ((double)lifetimes->longest_ns * INSTANT < span_ns) {
        double life_ns = ((double)lifetimes->shortest_ns + (double)lifetimes->longest_ns) / 2;
        return within_one((to_ns - life_ns - moment_ns) / span_ns);
    }
    for (unsigned i = 0; i < ENDS; i++)
        share += share_below(lifetimes, from_ns + span_ns * (i + 0.5) / ENDS - moment_ns) / ENDS;
    return share;
}

double bl_lifetimes_born_after(const struct bl_lifetimes *lifetimes, uint64_t moment_ns)
{
    double first_ns = (double)lifetimes->first_end_ns;
    double last_ns = (double)lifetimes->last_end_ns;
    if (moment_ns >= lifetimes->last_end_ns)
        return 0;
    if (moment_ns + lifetimes->longest_ns < lifetimes->first_end_ns)
        return 1;
    double mean = last_ns > first_ns
                      ? within_one((lifetimes->mean_end_ns - first_ns) / (last_ns - first_ns))
                      : 0.5;
    double mean_ns = last_ns > first_ns ? first_ns + mean * (last_ns - first_ns) : last_ns;
    return (1 - mean) * born_after(lifetimes, first_ns, mean_ns, (double)moment_ns) +
           mean * born_after(lifetimes, mean_ns, last_ns, (double)moment_ns);
}

uint64_t bl_lifetimes_p99(const uint64_t histogram[BL_LIFETIME_BUCKETS], uint64_t longest_ns)
{
    uint64_t total = 0;
    uint64_t below = 0;
    for (unsigned i = 0; i < BL_LIFETIME_BUCKETS; i++)
        total += histogram[i];
    for (unsigned i = 0; i + 1 < BL_LIFETIME_BUCKETS; i++) {
        below += histogram[i];
        uint64_t limit_ns = 1000ull << (2 * i);
        if (below * 100 >= total * 99)
            return limit_ns < longest_ns ? limit_ns : longest_ns;
    }
    return longest_ns;
}
