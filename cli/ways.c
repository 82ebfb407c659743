#include "ways.h"

#include <stdlib.h>

#define NOISE        64u /* one in so many buffers may be otherwise */
#define LEAST        3u  /* buffers that were retained less often than others, and more often */
#define POINTERS_MAX 5u  /* places of a class at which releases are called through a pointer */

enum way { WAY_UNKNOWN, WAY_CALLER, WAY_LIBRARY };

struct bl_ways {
    const struct bl_histories *histories;
    uint8_t *ways;         /* enum way, by item */
    uint8_t *pointer_ways; /* the same of what is called through a pointer, by chain of it */
};

/* A pattern, by what made its buffers. */
struct one {
    const struct bl_pattern *pattern;
    uint32_t class_number;
    uint32_t entry;
    uint64_t retains; /* that the caller made himself */
    uint64_t releases;
    uint64_t inside;                   /* retains that the library made */
    uint64_t by_pointer[POINTERS_MAX]; /* releases, by the place of the call */
    enum way birth;                    /* what others like them show, */
    uint32_t callbacks;                /* and which of those places call back */
};

/* Where the library calls through a pointer what gives back references of one class. */
struct pointers {
    uint32_t places[POINTERS_MAX];
    uint32_t count;
};

/* What a group shows, and of which places it takes to be the caller's that it does. */
struct answer {
    enum way birth;
    uint32_t callbacks; /* a set of struct pointers */
};

/* Of buffers, those with the fewest and the others. */
struct spread {
    uint64_t least;
    uint64_t lower; /* buffers */
    uint64_t higher;
};

static bool is_direct(const struct bl_callers *callers, const struct bl_item *item)
{
    size_t depth;
    const struct bl_caller *site = bl_callers_frames(callers, item->callers, &depth);
    return site->frame && site->inside == 0;
}

/* False: it has no birth that was seen, or one that gave several references. */
static bool look_at(const struct bl_histories *histories, const struct bl_callers *callers,
                    const struct bl_pattern *pattern, struct one *one)
{
    const struct bl_item *birth = bl_pattern_birth(histories, pattern);
    const struct bl_item *items = bl_pattern_items(histories, pattern);
    if (!birth || birth->stack == 0 || birth->units != 1 || pattern->is_owned || pattern->is_unseen)
        return false;
    *one = (struct one){.pattern = pattern,
                        .class_number = pattern->class_number,
                        .entry = bl_callers_entry(callers, birth->callers)};
    for (uint32_t i = 0; i < pattern->item_count; i++) {
        bool is_own = is_direct(callers, &items[i]);
        if (items[i].kind == BL_ITEM_RETAIN)
            *(is_own ? &one->retains : &one->inside) += items[i].units;
        else if (items[i].kind == BL_ITEM_RELEASE && is_own)
            one->releases += items[i].units;
    }
    return true;
}

static int compare_ones(const void *left, const void *right)
{
    const struct one *a = left;
    const struct one *b = right;
    if (a->class_number != b->class_number)
        return a->class_number < b->class_number ? -1 : 1;
    if (a->entry != b->entry)
        return a->entry < b->entry ? -1 : 1;
    return a->pattern < b->pattern ? -1 : a->pattern > b->pattern;
}

static bool are_together(const struct one *a, const struct one *b)
{
    return a->class_number == b->class_number && a->entry == b->entry;
}

static struct spread spread_of(const struct one *all, size_t count, bool of_library)
{
    struct spread spread = {.least = UINT64_MAX};
    for (size_t i = 0; i < count; i++) {
        uint64_t retains = of_library ? all[i].inside : all[i].retains;
        if (retains < spread.least) {
            spread.higher += spread.lower;
            spread.lower = 0;
            spread.least = retains;
        }
        *(retains == spread.least ? &spread.lower : &spread.higher) += all[i].pattern->count;
    }
    return spread;
}

static bool is_spread(struct spread spread)
{
    return spread.lower >= LEAST && spread.higher >= LEAST;
}

/* References that the caller gave back, as far as he has what is called at the places of a set. */
static uint64_t given_by(const struct one *one, uint32_t callbacks)
{
    uint64_t given = one->releases;
    for (uint32_t k = 0; k < POINTERS_MAX; k++)
        given += callbacks >> k & 1 ? one->by_pointer[k] : 0;
    return given;
}

/* What the birth's own release is, if what is called at some places is the caller's; WAY_UNKNOWN:
 * nothing shows it. */
static enum way judge_with(const struct one *all, size_t count, uint32_t callbacks)
{
    struct spread direct = spread_of(all, count, false);
    bool is_caller_alone = direct.least == 0 && direct.higher == 0;
    uint64_t buffers = direct.lower + direct.higher;
    uint64_t unlike[2] = {buffers, buffers}; /* by how many more were released than retained */
    for (size_t i = 0; i < count; i++) {
        /* wraps when it is less */
        uint64_t given = given_by(&all[i], callbacks) - all[i].retains;
        if (given < 2)
            unlike[given] -= all[i].pattern->count;
    }
    if (unlike[1] * NOISE <= buffers &&
        (is_spread(direct) || (is_caller_alone && is_spread(spread_of(all, count, true)))))
        return WAY_CALLER;
    /* only those that nobody retained show that the birth's is none of the caller's */
    return unlike[0] * NOISE <= buffers && direct.least == 0 && is_spread(direct) ? WAY_LIBRARY
                                                                                  : WAY_UNKNOWN;
}

/* The places at which something was released of a group. */
static uint32_t used_pointers(const struct one *all, size_t count)
{
    uint32_t used = 0;
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < POINTERS_MAX; k++)
            used |= all[i].by_pointer[k] > 0 ? 1u << k : 0;
    return used;
}

/* What is called through pointers is taken for the library's, and only if that shows nothing some
 * of it for the caller's: where one set of places makes the numbers come out, and no other one. */
static struct answer judge_group(const struct one *all, size_t count)
{
    struct answer found = {judge_with(all, count, 0), 0};
    uint32_t used = found.birth == WAY_UNKNOWN ? used_pointers(all, count) : 0;
    for (uint32_t set = 1; set < 1u << POINTERS_MAX; set++) {
        enum way birth = (set & ~used) == 0 ? judge_with(all, count, set) : WAY_UNKNOWN;
        if (birth == WAY_UNKNOWN)
            continue;
        if (found.birth != WAY_UNKNOWN)
            return (struct answer){WAY_UNKNOWN, 0};
        found = (struct answer){birth, set};
    }
    return found;
}

/* The number of a release's place among those at which it may be a callback; POINTERS_MAX: it is no
 * such release. */
static uint32_t pointer_of(const struct bl_callers *callers, const struct pointers *pointers,
                           const struct bl_item *item)
{
    uint32_t place = item->kind == BL_ITEM_RELEASE && !is_direct(callers, item)
                         ? bl_callers_pointer(callers, item->callers)
                         : 0;
    uint32_t k = 0;
    while (place && k < pointers->count && pointers->places[k] != place)
        k++;
    return place && k < pointers->count ? k : POINTERS_MAX;
}

static void mark_pattern(struct bl_ways *ways, const struct bl_callers *callers,
                         const struct pointers *pointers, const struct one *one)
{
    for (uint32_t i = 0; i < one->pattern->item_count; i++) {
        uint32_t number = one->pattern->first_item + i;
        const struct bl_item *item = &ways->histories->items[number];
        uint32_t pointer = pointer_of(callers, pointers, item);
        bool is_callers =
            is_direct(callers, item) || (pointer < POINTERS_MAX && one->callbacks >> pointer & 1);
        enum way way = is_callers ? WAY_CALLER : WAY_LIBRARY;
        ways->ways[number] = (uint8_t)(item->kind == BL_ITEM_ALLOC ? one->birth : way);
        uint8_t *known = &ways->pointer_ways[item->site];
        if (pointer < POINTERS_MAX && *known != WAY_CALLER)
            *known = (uint8_t)way;
    }
}

static void add_pointer(struct pointers *pointers, uint32_t place)
{
    for (uint32_t k = 0; k < pointers->count; k++)
        if (pointers->places[k] == place)
            return;
    if (pointers->count < POINTERS_MAX)
        pointers->places[pointers->count++] = place;
}

/* Counts what a class's patterns were released by through pointers; further places than there is
 * room for are the library's. */
static void count_pointers(const struct bl_ways *ways, const struct bl_callers *callers,
                           struct one *all, size_t count, struct pointers *pointers)
{
    *pointers = (struct pointers){.count = 0};
    for (size_t i = 0; i < count; i++) {
        const struct bl_item *items = bl_pattern_items(ways->histories, all[i].pattern);
        for (uint32_t k = 0; k < all[i].pattern->item_count; k++) {
            uint32_t place = bl_callers_pointer(callers, items[k].callers);
            if (items[k].kind == BL_ITEM_RELEASE && place)
                add_pointer(pointers, place);
            uint32_t pointer = pointer_of(callers, pointers, &items[k]);
            if (pointer < POINTERS_MAX)
                all[i].by_pointer[pointer] += items[k].units;
        }
    }
}

/* What each group of a class shows: the class as a whole, else those that one call made. */
static void judge_class(struct one *all, size_t count)
{
    struct answer class = judge_group(all, count);
    for (size_t i = 0; i < count;) {
        size_t first = i;
        while (i < count && are_together(&all[i], &all[first]))
            i++;
        struct answer its =
            class.birth != WAY_UNKNOWN ? class : judge_group(&all[first], i - first);
        for (size_t k = first; k < i; k++) {
            all[k].birth = its.birth;
            all[k].callbacks = its.callbacks;
        }
    }
}

/* Marks the patterns of what shows something. Live ones are not: what is missing there is told by
 * those that ended well. */
static void mark_all(struct bl_ways *ways, const struct bl_callers *callers, struct one *all,
                     size_t count)
{
    if (count > 1)
        qsort(all, count, sizeof(*all), compare_ones);
    for (size_t i = 0; i < count;) {
        size_t first = i;
        while (i < count && all[i].class_number == all[first].class_number)
            i++;
        struct pointers pointers;
        count_pointers(ways, callers, &all[first], i - first, &pointers);
        judge_class(&all[first], i - first);
        for (size_t k = first; k < i; k++)
            if (all[k].birth != WAY_UNKNOWN)
                mark_pattern(ways, callers, &pointers, &all[k]);
    }
}

struct bl_ways *bl_ways_create(const struct bl_histories *histories,
                               const struct bl_callers *callers)
{
    struct bl_ways *ways = calloc(1, sizeof(*ways));
    struct one *all = calloc(histories->completed_count + 1, sizeof(*all));
    size_t count = 0;
    if (ways) {
        ways->histories = histories;
        ways->ways = calloc(histories->item_count + 1, 1);
        ways->pointer_ways = calloc(bl_callers_chain_count(callers) + 1u, 1);
    }
    if (!ways || !ways->ways || !ways->pointer_ways || !all) {
        free(all);
        bl_ways_destroy(ways);
        return NULL;
    }
    for (size_t i = 0; i < histories->completed_count; i++)
        if (!histories->completed[i].doubt &&
            look_at(histories, callers, &histories->completed[i], &all[count]))
            count++;
    mark_all(ways, callers, all, count);
    free(all);
    return ways;
}

void bl_ways_destroy(struct bl_ways *ways)
{
    if (!ways)
        return;
    free(ways->ways);
    free(ways->pointer_ways);
    free(ways);
}

bool bl_ways_may_call_back(const struct bl_ways *ways, const struct bl_item *release)
{
    return release->whole != release->call && ways->pointer_ways[release->site] != WAY_LIBRARY;
}

bool bl_ways_are_unlike(const struct bl_ways *ways, const struct bl_item *a,
                        const struct bl_item *b)
{
    enum way one = ways->ways[a - ways->histories->items];
    enum way other = ways->ways[b - ways->histories->items];
    return one != WAY_UNKNOWN && other != WAY_UNKNOWN && one != other;
}
