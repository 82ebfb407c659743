#include "ways.h"

#include <stdlib.h>

#define NOISE 64u /* one in so many buffers may be otherwise */
#define LEAST 3u  /* buffers that were retained less often than others, and more often */

enum way { WAY_UNKNOWN, WAY_CALLER, WAY_LIBRARY };

struct bl_ways {
    const struct bl_histories *histories;
    uint8_t *ways; /* enum way, by item */
};

/* A pattern, by what made its buffers. */
struct one {
    const struct bl_pattern *pattern;
    uint32_t class_number;
    uint32_t entry;
    uint64_t retains; /* that the caller made himself */
    uint64_t releases;
    uint64_t inside; /* retains that the library made */
    enum way birth;  /* what others like them show */
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

/* What the birth's own release is; WAY_UNKNOWN: nothing shows it. */
static enum way judge_group(const struct one *all, size_t count)
{
    struct spread direct = spread_of(all, count, false);
    bool is_caller_alone = direct.least == 0 && direct.higher == 0;
    uint64_t buffers = direct.lower + direct.higher;
    uint64_t unlike[2] = {buffers, buffers}; /* by how many more were released than retained */
    for (size_t i = 0; i < count; i++) {
        uint64_t given = all[i].releases - all[i].retains; /* wraps when it is less */
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

static void mark_pattern(struct bl_ways *ways, const struct bl_callers *callers,
                         const struct bl_pattern *pattern, enum way birth)
{
    for (uint32_t i = 0; i < pattern->item_count; i++) {
        uint32_t number = pattern->first_item + i;
        const struct bl_item *item = &ways->histories->items[number];
        enum way way = is_direct(callers, item) ? WAY_CALLER : WAY_LIBRARY;
        ways->ways[number] = (uint8_t)(item->kind == BL_ITEM_ALLOC ? birth : way);
    }
}

/* What each group of a class shows: the class as a whole, else those that one call made. */
static void judge_class(struct one *all, size_t count)
{
    enum way birth = judge_group(all, count);
    for (size_t i = 0; i < count;) {
        size_t first = i;
        while (i < count && are_together(&all[i], &all[first]))
            i++;
        enum way its = birth != WAY_UNKNOWN ? birth : judge_group(&all[first], i - first);
        for (size_t k = first; k < i; k++)
            all[k].birth = its;
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
        judge_class(&all[first], i - first);
    }
    for (size_t i = 0; i < count; i++)
        if (all[i].birth != WAY_UNKNOWN)
            mark_pattern(ways, callers, all[i].pattern, all[i].birth);
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
    }
    if (!ways || !ways->ways || !all) {
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
    free(ways);
}

bool bl_ways_are_unlike(const struct bl_ways *ways, const struct bl_item *a,
                        const struct bl_item *b)
{
    enum way one = ways->ways[a - ways->histories->items];
    enum way other = ways->ways[b - ways->histories->items];
    return one != WAY_UNKNOWN && other != WAY_UNKNOWN && one != other;
}
