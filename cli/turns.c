/*
 * References that are given back in turn, of buffers that something else keeps.
 *
 * Where one reference is kept of all buffers of a path, none of them ends, and there is no sibling
 * to compare with. But each reference has a life of its own, from where it was taken to where it
 * was given back: a ring takes one of all of them, and gives it back when it comes round. That one
 * is not missing yet of the youngest. So what a buffer is accused of, and others of its path gave
 * back, is asked what is asked of whole buffers (left.c), with the references in their place,
 * numbered in the order in which they were taken: it was forgotten where younger ones were given
 * back, more of them than can be if it is in use. All others wait for their turn.
 *
 * The clock has ticks. Of references that were given back within one of them the order is not
 * known, unless all others were given back in the order in which they were taken; where everything
 * was done within a few ticks, those alone wait that are younger than all that were given back.
 */
#include "judge.h"

#include <math.h>
#include <stdlib.h>

#define DECISIONS_MAX 2048u /* further ones stay what they are */
#define EVENTS_MAX    64u   /* of a buffer's history, that are looked at */
#define GIVEN_LEAST   16u   /* fewer tell only of about as few: */
#define GIVEN_SHARE   8u    /* one in so many, at least */
#define TICKS_LEAST   16u   /* in fewer the clock tells no order */
#define CHANCE        0.001 /* that the youngest of all are those that were forgotten */

/* One reference that was taken at the place in question. */
struct turn {
    uint64_t taken_ns;
    uint64_t given_ns; /* 0: it was not */
    uint64_t birth_ns; /* of its buffer */
    uint32_t birth;
    uint32_t rank;  /* in the order in which they were taken, from 1 */
    uint32_t index; /* of its buffer, see struct bl_history_object */
};

struct turns {
    struct bl_judge *judge;
    uint8_t *is_blamed; /* by item, before anything was taken back */
    struct turn *all;   /* in the order in which they were taken */
    size_t count;
    size_t room;
    uint32_t *at; /* by index of a buffer in question: its place in `all` */
    size_t given;
    uint64_t longest_ns; /* of those */
    uint32_t release;    /* by which the most numerous were given back, BL_JUDGE_NONE: none */
    uint64_t most;
};

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_taken(const void *left, const void *right)
{
    const struct turn *a = left;
    const struct turn *b = right;
    if (a->taken_ns != b->taken_ns)
        return compare(a->taken_ns, b->taken_ns);
    if (a->birth_ns != b->birth_ns)
        return compare(a->birth_ns, b->birth_ns);
    return (int32_t)(a->birth - b->birth) < 0 ? -1 : a->birth != b->birth;
}

static int compare_given(const void *left, const void *right)
{
    const struct turn *a = left;
    const struct turn *b = right;
    if (a->given_ns != b->given_ns)
        return compare(a->given_ns, b->given_ns);
    return compare(a->rank, b->rank);
}

static int compare_numbers(const void *left, const void *right)
{
    return compare(*(const uint64_t *)left, *(const uint64_t *)right);
}

/* ---- what was taken, and given back ---- */

uint64_t bl_turns_time(const struct bl_judge *judge, const struct bl_object *record,
                       const struct bl_item *item)
{
    struct bl_event events[EVENTS_MAX];
    uint64_t last_ns = 0;
    bool is_acquire = bl_item_is_acquire(item);
    if (item->kind == BL_ITEM_ALLOC)
        return record->birth_ns;
    size_t count =
        bl_reader_history(judge->reader, record->events, record->event_count, events, EVENTS_MAX);
    for (size_t i = 0; i < count; i++)
        if (events[i].stack == item->stack && (events[i].delta > 0) == is_acquire &&
            events[i].time_ns > last_ns)
            last_ns = events[i].time_ns;
    return last_ns;
}

static bool add_turn(struct turns *turns, struct turn turn)
{
    if (turns->count == turns->room) {
        size_t room = turns->room ? turns->room * 2 : 256;
        struct turn *grown = realloc(turns->all, room * sizeof(*grown));
        if (!grown)
            return false;
        turns->all = grown;
        turns->room = room;
    }
    turns->all[turns->count++] = turn;
    return true;
}

/* release: NULL, they were not given back. */
static bool add_turns(struct turns *turns, size_t first, size_t count, const struct bl_item *taken,
                      const struct bl_item *release)
{
    size_t all;
    const struct bl_tracked *tracked = bl_reader_objects(turns->judge->reader, &all);
    for (size_t i = 0; i < count; i++) {
        uint32_t index = turns->judge->histories->objects[first + i].index;
        const struct bl_object *record = &tracked[index].object;
        struct turn turn = {.taken_ns = bl_turns_time(turns->judge, record, taken),
                            .birth_ns = record->birth_ns,
                            .birth = record->birth,
                            .index = index};
        if (release)
            turn.given_ns = bl_turns_time(turns->judge, record, release);
        if (release && (turn.taken_ns == 0 || turn.given_ns < turn.taken_ns))
            continue; /* a history that was cut */
        if (!add_turn(turns, turn))
            return false;
    }
    return true;
}

/* The one reference that a pattern took at a place; BL_JUDGE_NONE: none, or several. */
static uint32_t find_taken(const struct bl_judge *judge, const struct bl_pattern *live,
                           uint32_t whole)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint32_t found = BL_JUDGE_NONE;
    for (uint32_t i = 0; i < live->item_count; i++) {
        if (!bl_item_is_acquire(&items[i]) || items[i].whole != whole)
            continue;
        if (found != BL_JUDGE_NONE || items[i].units != 1)
            return BL_JUDGE_NONE;
        found = i;
    }
    return found;
}

/* By which item of its own a pattern gave back a reference that it is not accused of. All decide
 * together what is blamed (paths.c): then what is blamed instead had this one's release. */
static uint32_t find_release(struct turns *turns, uint32_t pattern, uint32_t taken)
{
    struct bl_judge *judge = turns->judge;
    const struct bl_pattern *live = &judge->histories->live[pattern];
    const struct bl_pair *pairs;
    uint64_t left[BL_HISTORY_ITEMS];
    uint32_t instead = BL_JUDGE_NONE;
    size_t count =
        bl_compare_pair(judge->compare, live, bl_paths_ends(judge, pattern), left, &pairs);
    for (size_t i = 0; i < count; i++) {
        if (pairs[i].acquire == taken)
            return pairs[i].release;
        if (turns->is_blamed[live->first_item + pairs[i].acquire])
            instead = pairs[i].release;
    }
    return instead;
}

static bool add_given(struct turns *turns, uint32_t pattern, uint32_t whole)
{
    struct bl_judge *judge = turns->judge;
    const struct bl_pattern *live = &judge->histories->live[pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint32_t taken = find_taken(judge, live, whole);
    if (taken == BL_JUDGE_NONE || turns->is_blamed[live->first_item + taken])
        return true;
    uint32_t release = find_release(turns, pattern, taken);
    if (release == BL_JUDGE_NONE || items[release].units != 1)
        return true;
    size_t before = turns->count;
    if (!add_turns(turns, live->first_object, live->object_count, &items[taken], &items[release]))
        return false;
    turns->given += turns->count - before;
    if (turns->count - before > turns->most) {
        turns->most = turns->count - before;
        turns->release = live->first_item + release;
    }
    return true;
}

/* All references of the decision's, and those that others of its path gave back, in order. */
static bool collect(struct turns *turns, const struct bl_decision *decision)
{
    const struct bl_judge *judge = turns->judge;
    const struct bl_histories *all = judge->histories;
    const struct bl_pattern *own = &all->live[decision->pattern];
    const struct bl_item *birth = bl_pattern_birth(all, own);
    const struct bl_item *blamed = &all->items[decision->item];
    turns->count = turns->given = turns->most = 0;
    turns->release = BL_JUDGE_NONE;
    for (uint32_t i = 0; i < all->live_count; i++) {
        const struct bl_pattern *live = &all->live[i];
        const struct bl_item *its =
            live->class_number == own->class_number && live->doubt == BL_DOUBT_NONE
                ? bl_pattern_birth(all, live)
                : NULL;
        if (its && live != own && its->whole == birth->whole && !add_given(turns, i, blamed->whole))
            return false;
    }
    if (!add_turns(turns, decision->first_object, decision->object_count, blamed, NULL))
        return false;
    if (turns->count > 1)
        qsort(turns->all, turns->count, sizeof(*turns->all), compare_taken);
    for (size_t i = 0; i < turns->count; i++) {
        turns->all[i].rank = (uint32_t)i + 1;
        if (turns->all[i].given_ns == 0)
            turns->at[turns->all[i].index] = (uint32_t)i;
    }
    return true;
}

/* ---- what they tell ---- */

/* Were most given back while others were still taken? What is taken first, all of it, and given
 * back when that is over, has no turns: what is left then is no next one. */
static bool are_there_turns(const struct turns *turns)
{
    uint64_t last_ns = turns->count > 0 ? turns->all[turns->count - 1].taken_ns : 0;
    size_t meanwhile = 0;
    for (size_t i = 0; i < turns->count; i++)
        meanwhile += turns->all[i].given_ns > 0 && turns->all[i].given_ns <= last_ns;
    return 2 * meanwhile >= turns->given;
}

/* How many references had been taken at a moment, at most. */
static uint32_t taken_until(const struct turns *turns, uint64_t moment_ns)
{
    size_t low = 0;
    size_t high = turns->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (turns->all[middle].taken_ns <= moment_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

/* Those that were given back, in that order; NULL without memory. */
static struct turn *sort_given(const struct turns *turns)
{
    struct turn *given = calloc(turns->given + 1, sizeof(*given));
    size_t count = 0;
    for (size_t i = 0; given && i < turns->count; i++)
        if (turns->all[i].given_ns > 0)
            given[count++] = turns->all[i];
    if (given && count > 1)
        qsort(given, count, sizeof(*given), compare_given);
    return given;
}

static size_t end_of_tick(const struct turn *given, size_t count, size_t first)
{
    size_t end = first + 1;
    while (end < count && given[end].given_ns == given[first].given_ns)
        end++;
    return end;
}

/* In how many ticks were they given back? And was none given back before an older one, as far as
 * the clock tells? */
static size_t count_ticks(const struct turn *given, size_t count, bool *ret_in_order)
{
    size_t ticks = 0;
    uint32_t youngest = 0;
    *ret_in_order = true;
    for (size_t i = 0; i < count;) {
        size_t end = end_of_tick(given, count, i);
        *ret_in_order &= given[i].rank > youngest;
        youngest = given[end - 1].rank > youngest ? given[end - 1].rank : youngest;
        ticks++;
        i = end;
    }
    return ticks;
}

/* How many of them had been given back before a moment. */
static size_t given_before(const struct turn *given, size_t count, uint64_t moment_ns)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (given[middle].given_ns < moment_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add_lag(struct bl_order *order, uint32_t lag)
{
    unsigned bucket = lag > 0 ? 1 : 0;
    while (bucket + 1 < BL_LAG_BUCKETS && bucket > 0 && (uint64_t)lag >= 1ull << 2 * bucket)
        bucket++;
    order->lags[bucket]++;
    order->lag_most = lag > order->lag_most ? lag : order->lag_most;
}

/* Of references that were given back within one tick, each may have been the last. */
static void write_order(const struct turns *turns, const struct turn *given, bool in_order,
                        struct bl_order *order)
{
    uint32_t oldest = UINT32_MAX;
    order->lived_least = UINT32_MAX;
    for (size_t i = 0; i < turns->given;) {
        size_t end = end_of_tick(given, turns->given, i);
        for (size_t k = i; k < end; k++)
            if (given[k].rank > order->newest) {
                order->newest = given[k].rank;
                order->newest_ns = given[k].taken_ns;
            }
        for (size_t k = i; k < end; k++) {
            uint32_t lived = taken_until(turns, given[k].given_ns) - given[k].rank;
            order->outlasted += end - given_before(given, end, given[k].taken_ns) > 1;
            order->lived += lived;
            order->lived_least = lived < order->lived_least ? lived : order->lived_least;
            oldest = given[k].rank < oldest ? given[k].rank : oldest;
            add_lag(order, in_order ? 0 : order->newest - given[k].rank);
        }
        i = end;
    }
    order->count = turns->given;
    order->span = order->newest - oldest;
}

static bool write_lifetimes(struct turns *turns, const struct turn *given, struct bl_study *study)
{
    uint64_t *lived_ns = malloc((turns->given + 1) * sizeof(*lived_ns));
    struct bl_lifetimes *all = &study->lifetimes;
    if (!lived_ns)
        return false;
    for (size_t i = 0; i < turns->given; i++) {
        lived_ns[i] = given[i].given_ns - given[i].taken_ns;
        study->lived_ns += lived_ns[i];
    }
    qsort(lived_ns, turns->given, sizeof(*lived_ns), compare_numbers);
    *all = (struct bl_lifetimes){.count = turns->given,
                                 .first_end_ns = given[0].given_ns,
                                 .last_end_ns = given[turns->given - 1].given_ns,
                                 .shortest_ns = lived_ns[0],
                                 .longest_ns = lived_ns[turns->given - 1]};
    turns->longest_ns = all->longest_ns;
    study->p99_ns = lived_ns[(turns->given - 1) * 99 / 100];
    study->sibling_count = study->part_count = turns->given;
    free(lived_ns);
    return true;
}

/* Numbers a decision's objects by the references in question, as if each had been born with it. */
static void renumber(const struct turns *turns, const struct bl_decision *decision)
{
    for (size_t i = 0; i < decision->object_count; i++) {
        struct bl_history_object *object =
            &turns->judge->histories->objects[decision->first_object + i];
        const struct turn *turn = &turns->all[turns->at[object->index]];
        object->birth = turn->rank;
        object->birth_ns = turn->taken_ns;
        object->is_in_ring = false;
    }
}

static void restore(const struct turns *turns, const struct bl_decision *decision)
{
    size_t all;
    const struct bl_tracked *tracked = bl_reader_objects(turns->judge->reader, &all);
    for (size_t i = 0; i < decision->object_count; i++) {
        struct bl_history_object *object =
            &turns->judge->histories->objects[decision->first_object + i];
        object->birth = tracked[object->index].object.birth;
        object->birth_ns = tracked[object->index].object.birth_ns;
        object->is_in_ring = false;
    }
}

/* Can it hardly be chance that so many of all are the youngest? */
static bool are_youngest(size_t count, size_t others)
{
    double log_ways = lgamma((double)(count + others) + 1) - lgamma((double)count + 1) -
                      lgamma((double)others + 1);
    return log_ways >= -log(CHANCE);
}

/* Moves those that are older than one that was given back to the front; returns how many. */
static size_t put_overtaken_first(const struct turns *turns, const struct bl_decision *decision,
                                  uint32_t newest)
{
    struct bl_history_object *objects = turns->judge->histories->objects + decision->first_object;
    size_t taken = 0;
    for (size_t i = 0; i < decision->object_count; i++) {
        struct bl_history_object moved = objects[i];
        if (moved.birth > newest)
            continue;
        memmove(&objects[taken + 1], &objects[taken], (i - taken) * sizeof(moved));
        objects[taken++] = moved;
    }
    return are_youngest(decision->object_count - taken, turns->given) ? taken
                                                                      : decision->object_count;
}

/* Puts those first that do not wait for their turn; returns how many, -1 without memory. */
static int64_t find_forgotten(struct turns *turns, const struct bl_decision *decision)
{
    struct turn *given = sort_given(turns);
    struct bl_study *study = calloc(1, sizeof(*study));
    int64_t forgotten = -1;
    if (given && study && write_lifetimes(turns, given, study)) {
        bool in_order;
        bool is_behind;
        size_t ticks = count_ticks(given, turns->given, &in_order);
        write_order(turns, given, in_order, &study->order);
        renumber(turns, decision);
        forgotten = ticks < TICKS_LEAST
                        ? (int64_t)put_overtaken_first(turns, decision, study->order.newest)
                        : bl_judge_find_left(turns->judge, decision->first_object,
                                             decision->object_count, study, &is_behind);
        restore(turns, decision);
    }
    free(given);
    free(study);
    return forgotten;
}

/* ---- the decisions ---- */

static bool is_asked(const struct turns *turns, const struct bl_decision *decision)
{
    const struct bl_histories *all = turns->judge->histories;
    return (decision->verdict == BL_VERDICT_MISSING_RELEASE ||
            decision->verdict == BL_VERDICT_NEVER_RELEASED) &&
           decision->units == 1 && all->items[decision->item].units == 1 &&
           bl_paths_is_open(turns->judge, decision->pattern) &&
           bl_pattern_birth(all, &all->live[decision->pattern]) != NULL;
}

static bool is_of_same(const struct bl_decision *a, const struct bl_decision *b)
{
    return a->pattern == b->pattern && a->first_object == b->first_object &&
           a->object_count == b->object_count;
}

/* Leaves the others in peace, as far as this reference goes. Decisions about the same objects are
 * divided as well, so that they stay about the same. */
static bool leave_others(struct turns *turns, size_t number, size_t forgotten)
{
    struct bl_judge *judge = turns->judge;
    struct bl_decision whole = judge->decisions[number];
    size_t count = judge->decision_count;
    for (size_t i = 0; i < count; i++) {
        if (!is_of_same(&judge->decisions[i], &whole))
            continue;
        struct bl_decision *others = &judge->decisions[i];
        if (forgotten > 0) {
            struct bl_decision part = *others;
            part.first_object += forgotten;
            part.object_count -= forgotten;
            others->object_count = forgotten;
            others = bl_judge_add(judge, part);
        }
        if (!others)
            return false;
        if (i != number)
            continue;
        bl_decision_settle(judge, others, BL_GROUND_IN_USE);
        others->expected = turns->release;
    }
    return true;
}

static bool take_back(struct turns *turns, size_t number)
{
    const struct bl_decision decision = turns->judge->decisions[number];
    if (bl_compare_work(turns->judge->compare) > BL_JUDGE_WORK)
        return true;
    if (!collect(turns, &decision))
        return false;
    if (turns->given < 2 ||
        (turns->given < GIVEN_LEAST && turns->given * GIVEN_SHARE < decision.object_count) ||
        !are_there_turns(turns))
        return true;
    int64_t forgotten = find_forgotten(turns, &decision);
    if (forgotten < 0)
        return false;
    /* where none waits there are no turns, and what others gave back tells nothing of these */
    if ((size_t)forgotten == decision.object_count)
        return true;
    if (!leave_others(turns, number, (size_t)forgotten))
        return false;
    struct bl_decision *rest = &turns->judge->decisions[number];
    rest->expected = turns->release;
    rest->given_in_turn = turns->given;
    rest->sibling_longest_ns = turns->longest_ns;
    rest->is_unmatched = false;
    if (bl_decision_is_accused(rest))
        rest->verdict = BL_VERDICT_MISSING_RELEASE;
    return true;
}

int bl_turns_take_back(struct bl_judge *judge)
{
    size_t objects;
    bl_reader_objects(judge->reader, &objects);
    struct turns turns = {.judge = judge,
                          .is_blamed = calloc(judge->histories->item_count + 1, 1),
                          .at = calloc(objects + 1, sizeof(*turns.at))};
    bool done = turns.is_blamed && turns.at;
    for (size_t i = 0; done && i < judge->decision_count; i++)
        if (bl_decision_is_accused(&judge->decisions[i]))
            turns.is_blamed[judge->decisions[i].item] = 1;
    for (size_t i = 0; done && i < judge->decision_count && i < DECISIONS_MAX; i++)
        if (is_asked(&turns, &judge->decisions[i]))
            done = take_back(&turns, i);
    free(turns.is_blamed);
    free(turns.at);
    free(turns.all);
    return done ? 0 : bl_judge_out_of_memory(judge);
}
