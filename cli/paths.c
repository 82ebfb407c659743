/*
 * What the buffers of one path tell together.
 *
 * A path is where a buffer was born, with all its callers. If some that came on it ended well,
 * those are what the others are compared with. If none did, each history alone leaves a choice:
 * which of its acquires lacks the release? But the same code made all of them, and mistakes are
 * few. So
 *
 *  - an acquire and a release that every buffer of the path did equally often belong together, if
 * no others did them as often, nor an acquire as often as two releases together do (an entry is
 *    given back when the next one pushes it out, or at the end);
 *  - what was retained and given back again and again, without any release that each buffer had
 *    once, is kept: of a pool;
 *  - where one buffer was given many references at a place, and none was ever given back, it is the
 *    references taken there that add up, also of buffers that were given few;
 *  - of the acquires that may lack a release in all buffers of the path, one does (bl_paths_agree);
 *  - others that are not quite like them, which were made at the same place, may show what is
 *    missing. If that is one thing for some and another for others, they are alike by the helpers
 *    alone that serve them all, and the path is told by itself (bl_paths_find_torn). Not so where
 *    all that the others did was done to these as well, at the end of the same calls (detour.h):
 *    then each user that was added to it is a mistake of its own.
 *
 * Buffers that are still in use disturb that little, as long as they are few.
 */
#include "judge.h"

#include <stdlib.h>

#define SIDE_MAX     24u  /* acquires, or releases, of one path that are compared */
#define PATTERNS_MAX 512u /* of one path */
#define NOISE        64u  /* one in so many buffers may be otherwise */
#define USES_LEAST   6u   /* of what is kept to be used */
#define FLOW_MANY    16u  /* references that one buffer was given at one place */

struct path {
    size_t first; /* in order */
    size_t count;
    bool is_kept;
    bool is_torn;
    uint32_t blamed; /* chain of an acquire that a guess blamed; 0: none did */
    uint32_t flow;   /* of the retain by which one buffer has most, and many; 0: none has */
};

struct bl_paths {
    uint32_t *order; /* live patterns of paths without an end, path by path */
    size_t order_count;
    struct path *all;
    size_t count;
    uint32_t *path_of; /* by live pattern: number + 1; 0: others on its path ended well */
};

/* What one path's buffers did: by pattern, how often each thing was done. */
struct side {
    const struct bl_item *items[SIDE_MAX];
    bool may_call_back[SIDE_MAX]; /* for all that is known, it is a callback's: ways.h */
    uint32_t count;
    uint64_t units[PATTERNS_MAX][SIDE_MAX];
};

struct table {
    struct side acquires;
    struct side releases;
    uint64_t buffers[PATTERNS_MAX];
    uint64_t total; /* of them */
    size_t pattern_count;
};

/* One acquire or release, or two of which each buffer had the one or the other. */
struct choice {
    uint32_t one;
    uint32_t other; /* SIDE_MAX: none */
};

static uint32_t path_chain(const struct bl_judge *judge, uint32_t pattern)
{
    const struct bl_item *birth =
        bl_pattern_birth(judge->histories, &judge->histories->live[pattern]);
    return birth && birth->stack ? birth->whole : 0;
}

static int compare_paths(const void *left, const void *right, void *context)
{
    const struct bl_judge *judge = context;
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    uint32_t a_chain = path_chain(judge, a);
    uint32_t b_chain = path_chain(judge, b);
    if (a_chain != b_chain)
        return a_chain < b_chain ? -1 : 1;
    uint64_t a_count = judge->histories->live[a].count;
    uint64_t b_count = judge->histories->live[b].count;
    if (a_count != b_count)
        return a_count > b_count ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* By chain: did a buffer that was born there end well? NULL without memory. */
static uint8_t *find_ended(const struct bl_judge *judge)
{
    const struct bl_histories *all = judge->histories;
    uint8_t *ended = calloc(bl_callers_chain_count(judge->callers) + 1u, 1);
    for (size_t i = 0; ended && i < all->completed_count; i++) {
        const struct bl_item *birth = bl_pattern_birth(all, &all->completed[i]);
        if (birth && !all->completed[i].is_owned && !all->completed[i].is_unseen)
            ended[birth->whole] = 1;
    }
    return ended;
}

static int find_paths(struct bl_judge *judge, struct bl_paths *paths)
{
    const struct bl_histories *all = judge->histories;
    uint8_t *ended = find_ended(judge);
    paths->order = calloc(all->live_count + 1, sizeof(*paths->order));
    paths->all = calloc(all->live_count + 1, sizeof(*paths->all));
    paths->path_of = calloc(all->live_count + 1, sizeof(*paths->path_of));
    if (!ended || !paths->order || !paths->all || !paths->path_of) {
        free(ended);
        return -1;
    }
    for (size_t i = 0; i < all->live_count; i++) {
        uint32_t chain = path_chain(judge, (uint32_t)i);
        if (all->live[i].doubt == BL_DOUBT_NONE && chain && !ended[chain])
            paths->order[paths->order_count++] = (uint32_t)i;
    }
    free(ended);
    if (paths->order_count > 1)
        qsort_r(paths->order, paths->order_count, sizeof(*paths->order), compare_paths, judge);
    for (size_t i = 0; i < paths->order_count; i++) {
        uint32_t pattern = paths->order[i];
        if (i == 0 || path_chain(judge, pattern) != path_chain(judge, paths->order[i - 1]))
            paths->all[paths->count++] = (struct path){.first = i};
        paths->all[paths->count - 1].count++;
        paths->path_of[pattern] = (uint32_t)paths->count;
    }
    return 0;
}

/* ---- which release belongs to which acquire ---- */

static bool add_units(const struct bl_judge *judge, struct side *side, size_t pattern,
                      const struct bl_item *item)
{
    uint32_t at = 0;
    while (at < side->count && side->items[at]->whole != item->whole)
        at++;
    if (at == SIDE_MAX)
        return false;
    if (at == side->count) {
        side->may_call_back[at] = bl_compare_may_call_back(judge->compare, item);
        side->items[side->count++] = item;
    }
    side->units[pattern][at] += item->units;
    return true;
}

/* Was it done inside one call of the caller's, and as far as is known by the library, or perhaps by
 * a callback of his? */
static bool is_of_call(const struct table *table, uint32_t acquire, uint32_t release,
                       bool may_call_back)
{
    return table->acquires.items[acquire]->call == table->releases.items[release]->call &&
           table->releases.may_call_back[release] == may_call_back;
}

static void settle(struct table *table, uint32_t acquire, bool may_call_back)
{
    for (size_t p = 0; p < table->pattern_count; p++) {
        uint64_t *taken = &table->acquires.units[p][acquire];
        for (uint32_t j = 0; j<table->releases.count && * taken> 0; j++) {
            uint64_t *given = &table->releases.units[p][j];
            if (!is_of_call(table, acquire, j, may_call_back))
                continue;
            uint64_t units = *taken < *given ? *taken : *given;
            *taken -= units;
            *given -= units;
        }
    }
}

/* Did the call take as much, of each buffer, as may have been given back by callbacks inside it? If
 * not, some of those are the caller's own, and which is not known. */
static bool is_enough(const struct table *table, uint32_t acquire)
{
    for (size_t p = 0; p < table->pattern_count; p++) {
        uint64_t given = 0;
        for (uint32_t j = 0; j < table->releases.count; j++)
            if (is_of_call(table, acquire, j, true))
                given += table->releases.units[p][j];
        if (given > table->acquires.units[p][acquire])
            return false;
    }
    return true;
}

/* What one call of the caller's took and gave back inside the library is settled. */
static void settle_calls(struct table *table)
{
    for (uint32_t i = 0; i < table->acquires.count; i++) {
        settle(table, i, false);
        if (is_enough(table, i))
            settle(table, i, true);
    }
}

/* False: there is too much to compare. */
static bool fill_table(const struct bl_judge *judge, const struct bl_pattern *patterns,
                       const uint32_t *numbers, size_t count, struct table *table)
{
    memset(table, 0, sizeof(*table));
    table->pattern_count = count < PATTERNS_MAX ? count : PATTERNS_MAX;
    for (size_t p = 0; p < table->pattern_count; p++) {
        const struct bl_pattern *pattern = &patterns[numbers[p]];
        const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
        table->buffers[p] = pattern->count;
        table->total += pattern->count;
        for (uint32_t i = 0; i < pattern->item_count; i++)
            if (items[i].kind != BL_ITEM_OVER_RELEASE &&
                !add_units(judge,
                           bl_item_is_acquire(&items[i]) ? &table->acquires : &table->releases, p,
                           &items[i]))
                return false;
    }
    settle_calls(table);
    return true;
}

static uint64_t units_of(const struct side *side, size_t pattern, struct choice choice)
{
    const uint64_t *units = side->units[pattern];
    return units[choice.one] + (choice.other < SIDE_MAX ? units[choice.other] : 0);
}

/* Did nearly all buffers do the one as often as the other, and some of them at all? */
static bool are_equal(const struct table *table, struct choice taken, struct choice given)
{
    uint64_t all = 0;
    uint64_t unequal = 0;
    for (size_t p = 0; p < table->pattern_count && unequal * NOISE <= table->total; p++) {
        uint64_t a = units_of(&table->acquires, p, taken);
        uint64_t b = units_of(&table->releases, p, given);
        all += a > 0 || b > 0 ? table->buffers[p] : 0;
        unequal += a != b ? table->buffers[p] : 0;
    }
    return all > 0 && unequal * NOISE <= all;
}

static bool is_constant(const struct table *table, const struct side *side, uint32_t which)
{
    for (size_t p = 1; p < table->pattern_count; p++)
        if (side->units[p][which] != side->units[0][which])
            return false;
    return true;
}

static struct choice single(uint32_t which)
{
    return (struct choice){which, SIDE_MAX};
}

static bool is_in(uint32_t set, uint32_t which)
{
    return set >> which & 1;
}

/* Which of one side, of those in a set, were done as often as something of the other. */
static uint32_t find_equal(const struct table *table, bool of_releases, uint32_t set,
                           struct choice other)
{
    const struct side *side = of_releases ? &table->releases : &table->acquires;
    uint32_t found = 0;
    for (uint32_t i = 0; i < side->count; i++)
        if (is_in(set, i) &&
            (of_releases ? are_equal(table, other, single(i)) : are_equal(table, single(i), other)))
            found |= 1u << i;
    return found;
}

/* The two of one side, of those in a set, that are something of the other together, as each buffer
 * has the one or the other, or more often the one; returns how many such twos there are. */
static uint32_t find_twos(const struct table *table, bool of_releases, uint32_t set,
                          struct choice other, struct choice *ret_last)
{
    const struct side *side = of_releases ? &table->releases : &table->acquires;
    uint32_t count = 0;
    for (uint32_t j = 0; j < side->count; j++) {
        for (uint32_t k = j + 1; k < side->count; k++) {
            struct choice two = {j, k};
            if (!is_in(set, j) || !is_in(set, k) || is_constant(table, side, j) ||
                is_constant(table, side, k) ||
                !(of_releases ? are_equal(table, other, two) : are_equal(table, two, other)))
                continue;
            *ret_last = two;
            count++;
        }
    }
    return count;
}

static bool learn(struct bl_judge *judge, const struct table *table, struct choice taken,
                  struct choice given, bool is_sure)
{
    const uint32_t a[2] = {taken.one, taken.other};
    const uint32_t r[2] = {given.one, given.other};
    bool done = true;
    for (unsigned i = 0; i < 2; i++)
        for (unsigned j = 0; j < 2 && done; j++)
            if (a[i] < SIDE_MAX && r[j] < SIDE_MAX)
                done = bl_compare_learn(judge->compare, table->acquires.items[a[i]],
                                        table->releases.items[r[j]], is_sure);
    return done;
}

/* What is left to be explained of a path. */
struct rest {
    uint32_t acquires;
    uint32_t releases;
};

static bool learn_singles(struct bl_judge *judge, const struct table *table, struct rest *rest)
{
    for (uint32_t i = 0; i < table->acquires.count; i++) {
        uint32_t releases =
            is_in(rest->acquires, i) ? find_equal(table, true, rest->releases, single(i)) : 0;
        if (__builtin_popcount(releases) != 1)
            continue;
        struct choice given = single((uint32_t)__builtin_ctz(releases));
        if (find_equal(table, false, rest->acquires, given) != 1u << i)
            continue;
        rest->acquires &= ~(1u << i);
        rest->releases &= ~releases;
        if (!learn(judge, table, single(i), given, true))
            return false;
    }
    return true;
}

/* One acquire that two releases give back, or one release for two acquires. */
static bool learn_twos(struct bl_judge *judge, const struct table *table, struct rest *rest)
{
    struct choice two;
    for (uint32_t i = 0; i < table->acquires.count; i++) {
        if (!is_in(rest->acquires, i) || find_equal(table, true, ~0u, single(i)) ||
            find_twos(table, true, rest->releases, single(i), &two) != 1 ||
            find_equal(table, false, rest->acquires, two) != 1u << i)
            continue;
        rest->acquires &= ~(1u << i);
        rest->releases &= ~(1u << two.one | 1u << two.other);
        if (!learn(judge, table, single(i), two, true))
            return false;
    }
    for (uint32_t j = 0; j < table->releases.count; j++) {
        if (!is_in(rest->releases, j) || find_equal(table, false, ~0u, single(j)) ||
            find_twos(table, false, rest->acquires, single(j), &two) != 1 ||
            find_equal(table, true, rest->releases, two) != 1u << j)
            continue;
        rest->acquires &= ~(1u << two.one | 1u << two.other);
        rest->releases &= ~(1u << j);
        if (!learn(judge, table, two, single(j), true))
            return false;
    }
    return true;
}

/* The acquire, of those in a set, that is nearest to a release. */
static uint32_t find_nearest(const struct bl_judge *judge, const struct table *table, uint32_t set,
                             uint32_t release)
{
    uint32_t nearest = SIDE_MAX;
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < table->acquires.count; i++) {
        uint32_t apart = bl_compare_apart(judge->compare, table->acquires.items[i],
                                          table->releases.items[release]);
        if (!is_in(set, i) || apart >= least)
            continue;
        least = apart;
        nearest = i;
    }
    return nearest;
}

/* Where several acquires and releases are equal it is not known which belong together, but that
 * they do: none of those acquires is given back by another release. The nearest are taken. */
static bool assume(struct bl_judge *judge, const struct table *table, struct rest *rest)
{
    for (uint32_t j = 0; j < table->releases.count; j++) {
        uint32_t acquires =
            is_in(rest->releases, j) ? find_equal(table, false, rest->acquires, single(j)) : 0;
        if (acquires == 0)
            continue;
        uint32_t nearest = find_nearest(judge, table, acquires, j);
        rest->acquires &= ~(1u << nearest);
        rest->releases &= ~(1u << j);
        if (!learn(judge, table, single(nearest), single(j), false))
            return false;
    }
    for (uint32_t i = 0; i < table->acquires.count; i++) {
        struct choice two;
        if (!is_in(rest->acquires, i) ||
            find_twos(table, true, rest->releases, single(i), &two) != 1)
            continue;
        uint32_t equal = find_equal(table, false, rest->acquires, two);
        if (find_nearest(judge, table, equal, two.one) != i ||
            find_nearest(judge, table, equal, two.other) != i)
            continue;
        rest->acquires &= ~(1u << i);
        rest->releases &= ~(1u << two.one | 1u << two.other);
        if (!learn(judge, table, single(i), two, false))
            return false;
    }
    return true;
}

/* The releases of one call of the caller's, some of them through pointers; 0: there is only one, or
 * an earlier one of them was asked. */
static uint32_t releases_of_call(const struct table *table, uint32_t release)
{
    const struct side *side = &table->releases;
    uint32_t set = 0;
    bool may_call_back = false;
    for (uint32_t j = 0; j < side->count; j++) {
        if (side->items[j]->call != side->items[release]->call)
            continue;
        if (j < release)
            return 0;
        set |= 1u << j;
        may_call_back |= side->may_call_back[j];
    }
    return may_call_back && __builtin_popcount(set) > 1 ? set : 0;
}

/* Did nearly all buffers do one thing as often as some releases together? */
static bool are_together_equal(const struct table *table, uint32_t acquire, uint32_t releases)
{
    uint64_t all = 0;
    uint64_t unequal = 0;
    for (size_t p = 0; p < table->pattern_count; p++) {
        uint64_t taken = table->acquires.units[p][acquire];
        uint64_t given = 0;
        for (uint32_t j = 0; j < table->releases.count; j++)
            given += is_in(releases, j) ? table->releases.units[p][j] : 0;
        all += taken > 0 || given > 0 ? table->buffers[p] : 0;
        unequal += taken != given ? table->buffers[p] : 0;
    }
    return all > 0 && unequal * NOISE <= all;
}

/* What the library calls through pointers inside one call is mostly its own, as where it empties a
 * list: then all that was released there is what one acquire took, and no part of it another's. */
static bool learn_calls(struct bl_judge *judge, const struct table *table, struct rest *rest)
{
    for (uint32_t j = 0; j < table->releases.count; j++) {
        uint32_t releases = releases_of_call(table, j);
        uint32_t acquires = 0;
        for (uint32_t i = 0; releases && i < table->acquires.count; i++)
            acquires |= are_together_equal(table, i, releases) ? 1u << i : 0;
        if (__builtin_popcount(acquires) != 1)
            continue;
        uint32_t acquire = (uint32_t)__builtin_ctz(acquires);
        rest->acquires &= ~acquires;
        rest->releases &= ~releases;
        for (uint32_t k = 0; k < table->releases.count; k++)
            if (is_in(releases, k) && !learn(judge, table, single(acquire), single(k), true))
                return false;
    }
    return true;
}

static bool learn_path(struct bl_judge *judge, const struct table *table, bool has_ended)
{
    struct rest rest = {~0u, ~0u};
    if (!learn_calls(judge, table, &rest) || !learn_singles(judge, table, &rest) ||
        !learn_twos(judge, table, &rest))
        return false;
    return has_ended || assume(judge, table, &rest);
}

/* Was each used again and again, without any release that each had once? */
static bool is_kept(const struct table *table)
{
    for (uint32_t i = 0; i < table->acquires.count; i++)
        if (table->acquires.items[i]->kind == BL_ITEM_ALLOC &&
            find_equal(table, true, ~0u, single(i)))
            return false;
    for (size_t p = 0; p < table->pattern_count; p++) {
        uint64_t given = 0;
        for (uint32_t j = 0; j < table->releases.count; j++)
            given += table->releases.units[p][j];
        if (given < USES_LEAST)
            return false;
    }
    return true;
}

static bool has_release(const struct bl_judge *judge, const struct bl_pattern *live)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    for (uint32_t i = 0; i < live->item_count; i++)
        if (items[i].kind == BL_ITEM_RELEASE)
            return true;
    return false;
}

/* The chain of the retain by which a buffer of a path that none was released of has most
 * references, and many; 0: there is none. */
static uint32_t find_flow(const struct bl_judge *judge, const uint32_t *numbers, size_t count)
{
    uint64_t most = 0;
    uint32_t flow = 0;
    for (size_t p = 0; p < count; p++) {
        const struct bl_pattern *live = &judge->histories->live[numbers[p]];
        const struct bl_item *items = bl_pattern_items(judge->histories, live);
        if (has_release(judge, live))
            continue;
        for (uint32_t i = 0; i < live->item_count; i++) {
            if (items[i].kind != BL_ITEM_RETAIN || items[i].units < FLOW_MANY ||
                items[i].units <= most)
                continue;
            most = items[i].units;
            flow = items[i].whole;
        }
    }
    return flow;
}

static int compare_completed(const void *left, const void *right, void *context)
{
    const struct bl_histories *all = context;
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    uint32_t a_chain = bl_pattern_birth(all, &all->completed[a])->whole;
    uint32_t b_chain = bl_pattern_birth(all, &all->completed[b])->whole;
    if (a_chain != b_chain)
        return a_chain < b_chain ? -1 : 1;
    return a < b ? -1 : a > b; /* most common first */
}

/* From those that ended well, path by path. */
static bool learn_completed(struct bl_judge *judge, struct table *table)
{
    struct bl_histories *all = judge->histories;
    uint32_t *order = calloc(all->completed_count + 1, sizeof(*order));
    size_t count = 0;
    bool done = order != NULL;
    for (size_t i = 0; done && i < all->completed_count; i++) {
        const struct bl_pattern *pattern = &all->completed[i];
        const struct bl_item *birth = bl_pattern_birth(all, pattern);
        if (birth && birth->stack && !pattern->doubt && !pattern->is_owned && !pattern->is_unseen)
            order[count++] = (uint32_t)i;
    }
    if (done && count > 1)
        qsort_r(order, count, sizeof(*order), compare_completed, all);
    for (size_t i = 0; done && i < count;) {
        uint32_t chain = bl_pattern_birth(all, &all->completed[order[i]])->whole;
        size_t first = i;
        while (i < count && bl_pattern_birth(all, &all->completed[order[i]])->whole == chain)
            i++;
        if (fill_table(judge, all->completed, &order[first], i - first, table))
            done = learn_path(judge, table, true);
    }
    free(order);
    return done;
}

int bl_paths_learn(struct bl_judge *judge)
{
    struct table *table = malloc(sizeof(*table));
    struct bl_paths *paths = calloc(1, sizeof(*paths));
    bool done = table && paths;
    judge->paths = paths;
    done = done && find_paths(judge, paths) == 0 && learn_completed(judge, table);
    for (size_t i = 0; done && i < paths->count; i++) {
        struct path *path = &paths->all[i];
        if (!fill_table(judge, judge->histories->live, &paths->order[path->first], path->count,
                        table))
            continue;
        done = learn_path(judge, table, false);
        path->is_kept = is_kept(table);
        path->flow = find_flow(judge, &paths->order[path->first], path->count);
    }
    free(table);
    return done ? 0 : -1;
}

void bl_paths_destroy(struct bl_paths *paths)
{
    if (!paths)
        return;
    free(paths->order);
    free(paths->all);
    free(paths->path_of);
    free(paths);
}

bool bl_paths_is_open(const struct bl_judge *judge, uint32_t pattern)
{
    return judge->paths->path_of[pattern] != 0;
}

bool bl_paths_is_flow(const struct bl_judge *judge, uint32_t pattern, const struct bl_item *item)
{
    uint32_t path = judge->paths->path_of[pattern];
    if (item->kind != BL_ITEM_RETAIN || has_release(judge, &judge->histories->live[pattern]))
        return false;
    return item->units >= FLOW_MANY || (path && judge->paths->all[path - 1].flow == item->whole);
}

bool bl_paths_is_torn(const struct bl_judge *judge, uint32_t pattern)
{
    uint32_t path = judge->paths->path_of[pattern];
    return path && judge->paths->all[path - 1].is_torn;
}

bool bl_paths_find_torn(struct bl_judge *judge)
{
    struct bl_paths *paths = judge->paths;
    bool is_any = false;
    for (size_t i = 0; i < judge->decision_count; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        uint32_t number = paths->path_of[decision->pattern];
        if (number && decision->is_guessed && !decision->is_led_on &&
            bl_decision_is_accused(decision))
            paths->all[number - 1].blamed = judge->histories->items[decision->item].whole;
    }
    for (size_t i = 0; i < judge->decision_count; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        uint32_t number = paths->path_of[decision->pattern];
        struct path *path = number ? &paths->all[number - 1] : NULL;
        if (!path || !path->blamed || path->is_torn || decision->is_led_on ||
            !bl_decision_is_accused(decision))
            continue;
        path->is_torn = judge->histories->items[decision->item].whole != path->blamed;
        is_any |= path->is_torn;
    }
    return is_any;
}

enum bl_ends bl_paths_ends(const struct bl_judge *judge, uint32_t pattern)
{
    uint32_t path = judge->paths->path_of[pattern];
    return path && judge->paths->all[path - 1].is_kept ? BL_ENDS_KEPT : BL_ENDS_OPEN;
}

/* ---- one mistake for all ---- */

#define SUSPECTS_MAX 64u
#define ROUNDS       3u /* mistakes of one path */

/* An acquire of one pattern that lacks a release by one of its decisions, or may lack it instead.
 */
struct claim {
    uint32_t whole;
    uint32_t item; /* index in histories->items */
    uint32_t pattern;
    size_t decision;
    bool is_blamed;
};

/* One acquire of a path, in buffers. */
struct suspect {
    uint32_t whole;
    uint32_t pattern; /* the last one that was counted */
    bool is_birth;
    uint64_t blamed;
    uint64_t possible;
};

struct agreement {
    struct bl_judge *judge;
    struct claim *claims;
    size_t count;
    size_t room;
    uint8_t *is_settled; /* by decision */
};

static bool add_claim(struct agreement *agreement, struct claim claim)
{
    if (agreement->count == agreement->room) {
        size_t room = agreement->room ? agreement->room * 2 : 256;
        struct claim *grown = realloc(agreement->claims, room * sizeof(*grown));
        if (!grown)
            return false;
        agreement->claims = grown;
        agreement->room = room;
    }
    agreement->claims[agreement->count++] = claim;
    return true;
}

/* What a decision blames, and what it could blame as well: for a pair is exchanged as a whole, or
 * all that two equal acquires are given back by. */
static bool claim_for(struct agreement *agreement, size_t number, const struct bl_pair *pairs,
                      size_t count)
{
    struct bl_judge *judge = agreement->judge;
    const struct bl_decision *decision = &judge->decisions[number];
    const struct bl_pattern *live = &judge->histories->live[decision->pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint32_t blamed = decision->item - live->first_item;
    struct claim claim = {.pattern = decision->pattern, .decision = number};
    claim.whole = items[blamed].whole;
    claim.item = decision->item;
    claim.is_blamed = true;
    bool done = add_claim(agreement, claim);
    claim.is_blamed = false;
    for (size_t i = 0; i < count && done; i++) {
        if ((pairs[i].units != decision->units &&
             items[pairs[i].acquire].units != items[blamed].units) ||
            bl_rivals_of_open(judge->compare, items, &pairs[i], blamed) != BL_RIVAL_ANY)
            continue;
        claim.whole = items[pairs[i].acquire].whole;
        claim.item = live->first_item + pairs[i].acquire;
        done = add_claim(agreement, claim);
    }
    return done;
}

/* All of one pattern, whose decisions follow each other. */
static bool claim_all(struct agreement *agreement, size_t first, size_t end)
{
    struct bl_judge *judge = agreement->judge;
    uint32_t pattern = judge->decisions[first].pattern;
    const struct bl_pair *pairs;
    uint64_t left[BL_HISTORY_ITEMS];
    bool done = true;
    if (bl_compare_work(judge->compare) > BL_JUDGE_WORK)
        return true;
    size_t count = bl_compare_pair(judge->compare, &judge->histories->live[pattern],
                                   bl_paths_ends(judge, pattern), left, &pairs);
    for (size_t i = first; i < end && done; i++)
        if (judge->decisions[i].is_open && bl_decision_is_accused(&judge->decisions[i]))
            done = claim_for(agreement, i, pairs, count);
    return done;
}

static uint64_t buffers_of(const struct agreement *agreement, const struct claim *claim)
{
    return agreement->judge->decisions[claim->decision].object_count;
}

/* Adds up the claims that are not settled; returns the buffers behind them. */
static uint64_t count_suspects(const struct agreement *agreement, size_t first, size_t end,
                               struct suspect *suspects, uint32_t *ret_count)
{
    uint64_t all = 0;
    uint32_t last = BL_JUDGE_NONE;
    *ret_count = 0;
    for (size_t i = first; i < end; i++) {
        const struct claim *claim = &agreement->claims[i];
        uint32_t at = 0;
        if (agreement->is_settled[claim->decision])
            continue;
        all += claim->pattern != last ? buffers_of(agreement, claim) : 0;
        last = claim->pattern;
        while (at < *ret_count && suspects[at].whole != claim->whole)
            at++;
        if (at == SUSPECTS_MAX)
            continue;
        if (at == *ret_count)
            suspects[(*ret_count)++] = (struct suspect){
                .whole = claim->whole,
                .pattern = BL_JUDGE_NONE,
                .is_birth = agreement->judge->histories->items[claim->item].kind == BL_ITEM_ALLOC};
        struct suspect *suspect = &suspects[at];
        suspect->possible += suspect->pattern != claim->pattern ? buffers_of(agreement, claim) : 0;
        suspect->blamed += claim->is_blamed ? buffers_of(agreement, claim) : 0;
        suspect->pattern = claim->pattern;
    }
    return all;
}

static bool is_of_all(const struct suspect *suspect, uint64_t all)
{
    return (all - suspect->possible) * NOISE <= all;
}

/* Of those that explain all, the one that most histories blame by themselves; NULL: none of them is
 * blamed by any. */
static const struct suspect *choose(const struct suspect *suspects, uint32_t count, uint64_t all)
{
    const struct suspect *best = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct suspect *one = &suspects[i];
        if (one->blamed == 0 || !is_of_all(one, all))
            continue;
        if (!best || one->blamed > best->blamed ||
            (one->blamed == best->blamed && one->is_birth && !best->is_birth))
            best = one;
    }
    return best;
}

static void blame_instead(struct bl_decision *decision, uint32_t item, bool is_birth)
{
    if (decision->item == item)
        return;
    decision->item = item;
    decision->expected = BL_JUDGE_NONE;
    if (decision->verdict != BL_VERDICT_STALE)
        decision->verdict = is_birth && decision->is_unmatched ? BL_VERDICT_NEVER_RELEASED
                                                               : BL_VERDICT_MISSING_RELEASE;
}

/* Settles one decision of each pattern, one that blames the suspect already if there is one. */
static void settle_on(struct agreement *agreement, size_t first, size_t end,
                      const struct suspect *suspect, enum bl_rival rival)
{
    for (size_t i = first; i < end;) {
        const struct claim *best = NULL;
        uint32_t pattern = agreement->claims[i].pattern;
        for (; i < end && agreement->claims[i].pattern == pattern; i++) {
            const struct claim *claim = &agreement->claims[i];
            if (claim->whole == suspect->whole && !agreement->is_settled[claim->decision] &&
                (!best || (claim->is_blamed && !best->is_blamed)))
                best = claim;
        }
        if (!best)
            continue;
        struct bl_decision *decision = &agreement->judge->decisions[best->decision];
        /* that it could be the birth, but for habits, is no claim of that */
        bool is_kept = decision->item == best->item && decision->rival == BL_RIVAL_BIRTH;
        blame_instead(decision, best->item, suspect->is_birth);
        decision->rival = is_kept ? bl_rivals_stronger(rival, BL_RIVAL_BIRTH) : rival;
        agreement->is_settled[best->decision] = 1;
    }
}

/* All claims of one path. */
static void agree(struct agreement *agreement, size_t first, size_t end)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct suspect suspects[SUSPECTS_MAX];
        uint32_t count;
        enum bl_rival rival = BL_RIVAL_NONE;
        uint64_t all = count_suspects(agreement, first, end, suspects, &count);
        const struct suspect *best = all > 0 ? choose(suspects, count, all) : NULL;
        if (!best)
            return;
        for (uint32_t i = 0; i < count; i++)
            if (&suspects[i] != best && is_of_all(&suspects[i], all))
                rival = BL_RIVAL_ANY;
        settle_on(agreement, first, end, best, rival);
    }
}

struct run {
    uint32_t path;
    size_t first; /* decisions of one pattern */
    size_t end;
};

static int compare_runs(const void *left, const void *right)
{
    const struct run *a = left;
    const struct run *b = right;
    if (a->path != b->path)
        return a->path < b->path ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

/* The decisions about patterns of such paths, path by path; returns how many. */
static size_t find_runs(const struct bl_judge *judge, struct run *runs)
{
    size_t count = 0;
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = i + 1;
        while (end < judge->decision_count &&
               judge->decisions[end].pattern == judge->decisions[i].pattern)
            end++;
        uint32_t path = judge->paths->path_of[judge->decisions[i].pattern];
        if (path)
            runs[count++] = (struct run){path, i, end};
        i = end;
    }
    if (count > 1)
        qsort(runs, count, sizeof(*runs), compare_runs);
    return count;
}

int bl_paths_agree(struct bl_judge *judge)
{
    struct agreement agreement = {.judge = judge};
    struct run *runs = calloc(judge->decision_count + 1, sizeof(*runs));
    agreement.is_settled = calloc(judge->decision_count + 1, 1);
    bool done = runs && agreement.is_settled;
    size_t count = done ? find_runs(judge, runs) : 0;
    for (size_t i = 0; done && i < count;) {
        uint32_t path = runs[i].path;
        agreement.count = 0;
        for (; done && i < count && runs[i].path == path; i++)
            done = claim_all(&agreement, runs[i].first, runs[i].end);
        agree(&agreement, 0, agreement.count);
    }
    free(runs);
    free(agreement.is_settled);
    free(agreement.claims);
    return done ? 0 : bl_judge_out_of_memory(judge);
}
