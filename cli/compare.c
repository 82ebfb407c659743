#include "compare.h"

#include "detour.h"
#include "learned.h"
#include "ways.h"

#include <stdlib.h>
#include <string.h>

#define LEARN_SIBLINGS 128  /* of one birth site: pairs of them are compared */
#define OPTIONS_MAX    4096 /* more are not sorted out: such histories explain nothing */
#define SORTED_BY_HAND 24
#define SITE_COST      2 /* the same site, called from elsewhere */
#define PAIR_COST      1 /* a guess by distance comes after what was learned */
#define MOVE_COST      2 /* the same thing done at another place */
#define UNKNOWN_COST   2 /* of a pair that nothing shows; what was learned costs less */

struct option {
    uint32_t cost;
    uint32_t tie;
    uint16_t from;
    uint16_t to;
    uint8_t from_side; /* 0 live, 1 completed */
    uint8_t to_side;
};

#define KEPT_ITEMS 32u /* of a pattern whose pair costs are kept */

struct pair_costs {
    const struct bl_pattern *of;
    uint32_t *cost;
};

struct bl_compare {
    const struct bl_histories *histories;
    const struct bl_callers *callers;
    struct bl_ways *ways;
    uint32_t *room;
    struct list {
        uint32_t *numbers; /* of completed patterns, by class, birth site, most common first */
        size_t count;
    } lists[3]; /* by how they ended: enum ending */
    struct bl_learned learned;
    uint8_t *is_completed; /* by stack: an acquire there ended well at least once */
    uint8_t *has_ended;    /* by chain: what was acquired there ended well at least once */
    uint8_t *is_helper;    /* by site: it is called from several places */
    uint8_t *has_learned;  /* by whole chain: it is in a learned pair */
    struct option *options;
    size_t option_count;
    size_t dear_count;      /* options that were left out for their cost */
    struct bl_pair *wanted; /* room for bl_fitting */
    struct bl_pair *pairs;
    struct pair_costs *completed_costs; /* by pattern */
    struct pair_costs live_costs;       /* of the latest one */
    uint64_t work;
};

bool bl_compare_is_learned(const struct bl_compare *compare, const struct bl_item *acquire,
                           const struct bl_item *release)
{
    return bl_learned_find(&compare->learned, acquire->whole, release->whole) == BL_LEARNED_SURE;
}

bool bl_compare_learn(struct bl_compare *compare, const struct bl_item *acquire,
                      const struct bl_item *release, bool is_sure)
{
    if (!bl_learned_put(&compare->learned, acquire->whole, release->whole, is_sure))
        return false;
    compare->has_learned[acquire->whole] |= is_sure;
    compare->has_learned[release->whole] |= is_sure;
    return true;
}

/* The only item with something left, of one of the two kinds; NULL when there is none or more. */
static const struct bl_item *only_left(const struct bl_item *items, const uint64_t *left,
                                       uint32_t count, bool is_acquire)
{
    const struct bl_item *only = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (left[i] == 0 || items[i].kind == BL_ITEM_OVER_RELEASE ||
            bl_item_is_acquire(&items[i]) != is_acquire)
            continue;
        if (only)
            return NULL;
        only = &items[i];
    }
    return only;
}

static bool learn_from(struct bl_compare *compare, const struct bl_item *items,
                       const uint64_t *left, uint32_t count)
{
    const struct bl_item *acquire = only_left(items, left, count, true);
    const struct bl_item *release = only_left(items, left, count, false);
    if (!acquire || !release || left[acquire - items] != left[release - items])
        return true;
    return bl_compare_learn(compare, acquire, release, true);
}

/* Are two things of the same kind the same at this level? */
static bool fits(const struct bl_item *a, const struct bl_item *b, int level)
{
    switch (level) {
    case 0:
        return a->stack == b->stack;
    case 1:
        return a->whole == b->whole;
    default:
        /* through whichever pointer, see callers.h */
        return a->site == b->site || a->call == b->call;
    }
}

/* Sets equal things against each other, up to a level: 0 whole stacks, 1 callers, 2 sites. */
static void match(struct bl_compare *compare, const struct bl_pattern *live,
                  const struct bl_pattern *completed, int levels, struct bl_difference *d)
{
    const struct bl_item *a = bl_pattern_items(compare->histories, live);
    const struct bl_item *b = bl_pattern_items(compare->histories, completed);
    for (uint32_t i = 0; i < live->item_count; i++) {
        d->extra[i] = a[i].kind == BL_ITEM_OVER_RELEASE ? 0 : a[i].units;
        d->given[i] = BL_COMPARE_NONE;
        d->given_units[i] = 0;
    }
    for (uint32_t j = 0; j < completed->item_count; j++) {
        d->missing[j] = b[j].kind == BL_ITEM_OVER_RELEASE ? 0 : b[j].units;
        d->mate[j] = BL_COMPARE_NONE;
    }
    d->match_cost = 0;
    d->other_ways = 0;
    d->is_led_on = true;
    for (int level = 0; level <= levels; level++) {
        uint32_t first = 0; /* of the same kind: items are ordered by it */
        for (uint32_t i = 0; i < live->item_count; i++) {
            while (first < completed->item_count && b[first].kind < a[i].kind)
                first++;
            for (uint32_t j = first; j < completed->item_count && b[j].kind == a[i].kind; j++) {
                if (d->extra[i] == 0)
                    break;
                if (d->missing[j] == 0 || !fits(&a[i], &b[j], level))
                    continue;
                uint64_t units = d->extra[i] < d->missing[j] ? d->extra[i] : d->missing[j];
                d->extra[i] -= units;
                d->missing[j] -= units;
                d->mate[j] = i;
                d->is_led_on =
                    d->is_led_on && (level < 2 || a[i].kind == BL_ITEM_ALLOC ||
                                     bl_detour_is(compare->callers, b[j].callers, a[i].callers));
                d->match_cost += level == 2 ? SITE_COST : 0;
                d->other_ways += level > 0;
            }
        }
        compare->work += (uint64_t)live->item_count * completed->item_count;
    }
}

static bool learn_from_siblings(struct bl_compare *compare, const uint32_t *siblings, size_t count)
{
    struct bl_difference d;
    size_t most = count < LEARN_SIBLINGS ? count : LEARN_SIBLINGS;
    for (size_t i = 0; i < most; i++) {
        for (size_t j = 0; j < most; j++) {
            const struct bl_pattern *less = &compare->histories->completed[siblings[i]];
            const struct bl_pattern *more = &compare->histories->completed[siblings[j]];
            if (i == j || less->item_count > more->item_count || less->doubt || more->doubt)
                continue;
            match(compare, less, more, 1, &d);
            uint64_t extra = 0;
            for (uint32_t k = 0; k < less->item_count; k++)
                extra |= d.extra[k];
            if (extra == 0 && !learn_from(compare, bl_pattern_items(compare->histories, more),
                                          d.missing, more->item_count))
                return false;
        }
    }
    return true;
}

static uint32_t birth_site(const struct bl_compare *compare, const struct bl_pattern *pattern)
{
    const struct bl_item *birth = bl_pattern_birth(compare->histories, pattern);
    return birth ? birth->site : 0;
}

static int compare_siblings(const void *left, const void *right, void *context)
{
    const struct bl_compare *sorting = context;
    const struct bl_pattern *a = &sorting->histories->completed[*(const uint32_t *)left];
    const struct bl_pattern *b = &sorting->histories->completed[*(const uint32_t *)right];
    uint32_t a_site = birth_site(sorting, a);
    uint32_t b_site = birth_site(sorting, b);
    if (a->class_number != b->class_number)
        return a->class_number < b->class_number ? -1 : 1;
    if (a_site != b_site)
        return a_site < b_site ? -1 : 1;
    return a < b ? -1 : a > b; /* they are most common first already */
}

enum ending { RELEASED, OWNED, UNSEEN, ENDINGS };

static enum ending ending_of(const struct bl_pattern *pattern)
{
    if (pattern->is_unseen)
        return UNSEEN;
    return pattern->is_owned ? OWNED : RELEASED;
}

/* One list for each way to end, each sorted. */
static bool sort_siblings(struct bl_compare *compare)
{
    const struct bl_histories *all = compare->histories;
    uint32_t *room = calloc(all->completed_count + 1, sizeof(*room));
    compare->room = room;
    if (!room)
        return false;
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        struct list *list = &compare->lists[ending];
        list->numbers = room;
        for (size_t i = 0; i < all->completed_count; i++)
            if (ending_of(&all->completed[i]) == ending)
                list->numbers[list->count++] = (uint32_t)i;
        if (list->count > 1)
            qsort_r(list->numbers, list->count, sizeof(*room), compare_siblings, compare);
        room += list->count;
    }
    return true;
}

/* Where those of a class begin that were born at the site, or at one after it. */
static size_t first_at(const struct bl_compare *compare, const struct list *list,
                       uint32_t class_number, uint32_t site)
{
    size_t low = 0;
    size_t high = list->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct bl_pattern *pattern = &compare->histories->completed[list->numbers[middle]];
        if (pattern->class_number < class_number ||
            (pattern->class_number == class_number && birth_site(compare, pattern) < site))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Those of a class that were born at a site. */
static const uint32_t *find_born(const struct bl_compare *compare, enum ending ending,
                                 uint32_t class_number, uint32_t site, size_t *ret_count)
{
    const struct list *list = &compare->lists[ending];
    size_t low = first_at(compare, list, class_number, site);
    size_t end = low;
    for (; end < list->count; end++) {
        const struct bl_pattern *pattern = &compare->histories->completed[list->numbers[end]];
        if (pattern->class_number != class_number || birth_site(compare, pattern) != site)
            break;
    }
    *ret_count = end - low;
    return list->numbers + low;
}

const uint32_t *bl_compare_siblings(const struct bl_compare *compare, uint32_t class_number,
                                    uint32_t site, size_t *ret_count)
{
    return find_born(compare, RELEASED, class_number, site, ret_count);
}

bool bl_compare_left_to_owners(const struct bl_compare *compare, uint32_t class_number,
                               uint32_t site)
{
    size_t count;
    find_born(compare, OWNED, class_number, site, &count);
    return count > 0;
}

bool bl_compare_ended_unseen(const struct bl_compare *compare, uint32_t class_number, uint32_t site)
{
    size_t count;
    find_born(compare, UNSEEN, class_number, site, &count);
    return count > 0;
}

bool bl_compare_mostly_unseen(const struct bl_compare *compare, uint32_t class_number)
{
    uint64_t ended[ENDINGS] = {0};
    for (enum ending ending = 0; ending < ENDINGS; ending++) {
        const struct list *list = &compare->lists[ending];
        for (size_t i = first_at(compare, list, class_number, 0); i < list->count; i++) {
            const struct bl_pattern *one = &compare->histories->completed[list->numbers[i]];
            if (one->class_number != class_number)
                break;
            ended[ending] += one->count;
        }
    }
    return ended[UNSEEN] > ended[RELEASED];
}

bool bl_compare_has_ended(const struct bl_compare *compare, uint32_t site)
{
    return compare->has_ended[site];
}

/* What is done at one place of the program for several others, which it does not tell apart. */
static bool find_helpers(struct bl_compare *compare)
{
    const struct bl_histories *all = compare->histories;
    uint32_t *callers = calloc(bl_callers_chain_count(compare->callers) + 1u, sizeof(*callers));
    for (size_t i = 0; callers && i < all->item_count; i++) {
        const struct bl_item *item = &all->items[i];
        size_t depth;
        const struct bl_caller *frames = bl_callers_frames(compare->callers, item->callers, &depth);
        uint32_t caller = depth > 1 ? frames[1].chain : frames[0].chain;
        if (item->whole != item->call)
            continue; /* its site is no place of the program's */
        compare->is_helper[item->site] |= callers[item->site] && callers[item->site] != caller;
        callers[item->site] = caller;
    }
    free(callers);
    return callers != NULL;
}

static void note_ended(struct bl_compare *compare, const struct bl_item *acquire)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(compare->callers, acquire->callers, &depth);
    compare->is_completed[acquire->stack] = 1;
    for (size_t i = depth; i-- > 0 && !compare->has_ended[frames[i].chain];)
        compare->has_ended[frames[i].chain] = 1;
}

static bool learn_all(struct bl_compare *compare)
{
    const struct bl_histories *all = compare->histories;
    for (size_t i = 0; i < all->completed_count; i++) {
        const struct bl_pattern *pattern = &all->completed[i];
        const struct bl_item *items = bl_pattern_items(all, pattern);
        uint64_t units[BL_HISTORY_ITEMS];
        if (ending_of(pattern) != RELEASED)
            continue;
        for (uint32_t k = 0; k < pattern->item_count; k++) {
            units[k] = items[k].units;
            if (bl_item_is_acquire(&items[k]))
                note_ended(compare, &items[k]);
        }
        if (!pattern->doubt && !learn_from(compare, items, units, pattern->item_count))
            return false;
    }
    const struct list *released = &compare->lists[RELEASED];
    for (size_t i = 0; i < released->count;) {
        const struct bl_pattern *first = &all->completed[released->numbers[i]];
        size_t count;
        const uint32_t *siblings =
            bl_compare_siblings(compare, first->class_number, birth_site(compare, first), &count);
        if (!learn_from_siblings(compare, siblings, count))
            return false;
        i += count ? count : 1;
    }
    return true;
}

static size_t find_highest_stack(const struct bl_histories *histories)
{
    size_t highest = 0;
    for (size_t i = 0; i < histories->item_count; i++)
        if (histories->items[i].stack > highest)
            highest = histories->items[i].stack;
    return highest;
}

int bl_compare_create(struct bl_compare **ret_compare, const struct bl_histories *histories,
                      const struct bl_callers *callers, struct bl_error *error)
{
    struct bl_compare *compare = calloc(1, sizeof(*compare));
    bool done = compare != NULL;
    if (done) {
        compare->histories = histories;
        compare->callers = callers;
        compare->ways = bl_ways_create(histories, callers);
        compare->is_completed = calloc(find_highest_stack(histories) + 1u, 1);
        compare->has_ended = calloc(bl_callers_chain_count(callers) + 1u, 1);
        compare->is_helper = calloc(bl_callers_chain_count(callers) + 1u, 1);
        compare->has_learned = calloc(bl_callers_chain_count(callers) + 1u, 1);
        compare->options = calloc(OPTIONS_MAX, sizeof(*compare->options));
        compare->wanted = calloc(OPTIONS_MAX, sizeof(*compare->wanted));
        compare->pairs = calloc(OPTIONS_MAX + BL_HISTORY_ITEMS, sizeof(*compare->pairs));
        compare->completed_costs =
            calloc(histories->completed_count + 1, sizeof(*compare->completed_costs));
        done = compare->ways && compare->is_completed && compare->has_ended && compare->is_helper &&
               find_helpers(compare) && compare->has_learned && compare->completed_costs &&
               compare->options && compare->wanted && compare->pairs && sort_siblings(compare) &&
               learn_all(compare);
    }
    if (!done) {
        bl_compare_destroy(compare);
        return bl_error_set(error, "not enough memory to compare histories");
    }
    *ret_compare = compare;
    return 0;
}

void bl_compare_destroy(struct bl_compare *compare)
{
    if (!compare)
        return;
    for (size_t i = 0; compare->completed_costs && i < compare->histories->completed_count; i++)
        free(compare->completed_costs[i].cost);
    free(compare->completed_costs);
    bl_ways_destroy(compare->ways);
    free(compare->live_costs.cost);
    free(compare->room);
    bl_learned_deinit(&compare->learned);
    free(compare->is_completed);
    free(compare->has_ended);
    free(compare->is_helper);
    free(compare->has_learned);
    free(compare->options);
    free(compare->wanted);
    free(compare->pairs);
    free(compare);
}

uint64_t bl_compare_work(const struct bl_compare *compare)
{
    return compare->work;
}

static int compare_options(const void *left, const void *right)
{
    const struct option *a = left;
    const struct option *b = right;
    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    if (a->tie != b->tie)
        return a->tie < b->tie ? -1 : 1;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a->to < b->to ? -1 : a->to > b->to;
}

static uint32_t pair_cost(const struct bl_compare *compare, const struct bl_item *acquire,
                          const struct bl_item *release)
{
    if (bl_compare_is_learned(compare, acquire, release))
        return 0;
    return PAIR_COST + bl_callers_distance(compare->callers, acquire->callers, release->callers);
}

/* The latest acquire before the release first; one that came after it last. */
static uint32_t latest_first(const struct bl_item *acquire, const struct bl_item *release)
{
    return release->order > acquire->order ? release->order - acquire->order
                                           : BL_HISTORY_ITEMS + acquire->order;
}

/* The two sides of a comparison while the rest of it is explained. */
struct sides {
    const struct bl_item *items[2];
    uint32_t counts[2];
    uint64_t *left[2];
    const uint32_t *pair_costs[2]; /* NULL: not kept */
};

/* Can b, on its side, explain a? */
static bool is_option(const struct bl_item *a, const struct bl_item *b, bool same_side)
{
    return same_side ? bl_item_is_acquire(a) && b->kind == BL_ITEM_RELEASE : a->kind == b->kind;
}

/* The pair costs of a pattern, by acquire and release: it is compared with many. NULL where they
 * are not kept. */
static const uint32_t *find_pair_costs(struct bl_compare *compare, const struct bl_pattern *pattern)
{
    const struct bl_histories *all = compare->histories;
    const struct bl_item *items = bl_pattern_items(all, pattern);
    uint32_t count = pattern->item_count;
    struct pair_costs *kept = &compare->live_costs;
    if (pattern->lifecycle)
        kept = &compare->completed_costs[pattern - all->completed];
    if (kept->of == pattern)
        return kept->cost;
    if (count > KEPT_ITEMS)
        return NULL;
    if (!kept->cost) {
        size_t most = pattern->lifecycle ? count : KEPT_ITEMS;
        kept->cost = malloc((most * most + 1) * sizeof(*kept->cost));
    }
    if (!kept->cost)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < count; j++)
            if (is_option(&items[i], &items[j], true))
                kept->cost[i * count + j] = pair_cost(compare, &items[i], &items[j]);
    kept->of = pattern;
    return kept->cost;
}

static uint32_t option_cost(const struct bl_compare *compare, const struct sides *sides,
                            const struct option *option)
{
    const struct bl_item *a = &sides->items[option->from_side][option->from];
    const struct bl_item *b = &sides->items[option->to_side][option->to];
    const uint32_t *kept = sides->pair_costs[option->from_side];
    if (option->from_side != option->to_side)
        return MOVE_COST + bl_callers_distance(compare->callers, a->callers, b->callers);
    return kept ? kept[option->from * sides->counts[option->from_side] + option->to]
                : pair_cost(compare, a, b);
}

/* Did nothing come after it that is of its kind? */
static bool is_last(const struct sides *sides, unsigned side, uint32_t which)
{
    const struct bl_item *items = sides->items[side];
    for (uint32_t i = 0; i < sides->counts[side]; i++)
        if (items[i].kind == items[which].kind && items[i].order > items[which].order)
            return false;
    return true;
}

static const uint8_t ways[3][2] = {{0, 0}, {1, 1}, {0, 1}};

/* Of one way, what thing i may be explained with; see collect_options. */
static bool collect_for(struct bl_compare *compare, const struct sides *sides, unsigned way,
                        uint32_t i, uint32_t limit)
{
    unsigned from = ways[way][0];
    unsigned to = ways[way][1];
    const struct bl_item *a = &sides->items[from][i];
    for (uint32_t j = 0; j < sides->counts[to]; j++) {
        const struct bl_item *b = &sides->items[to][j];
        if (sides->left[to][j] == 0 || !is_option(a, b, from == to))
            continue;
        struct option option = {.from = (uint16_t)i,
                                .to = (uint16_t)j,
                                .from_side = (uint8_t)from,
                                .to_side = (uint8_t)to};
        option.cost = option_cost(compare, sides, &option);
        option.tie =
            from == to ? latest_first(a, b) : is_last(sides, from, i) != is_last(sides, to, j);
        if (option.cost > limit) {
            compare->dear_count++;
            continue;
        }
        if (compare->option_count == OPTIONS_MAX)
            return false;
        compare->options[compare->option_count++] = option;
    }
    return true;
}

/* Every way to explain two things that are left with each other. Those whose cost is above the
 * limit are only counted. When they are too many there is none. */
static void collect_options(struct bl_compare *compare, const struct sides *sides, uint32_t limit)
{
    bool fits_all = true;
    compare->option_count = 0;
    compare->dear_count = 0;
    for (unsigned way = 0; way < 3; way++)
        for (uint32_t i = 0; i < sides->counts[ways[way][0]] && fits_all; i++)
            if (sides->left[ways[way][0]][i] > 0)
                fits_all = collect_for(compare, sides, way, i, limit);
    if (!fits_all) {
        compare->option_count = 0;
        compare->dear_count = 0;
    }
}

/* Are two things left that explain each other, at whatever cost? */
static bool is_explicable(const struct sides *sides)
{
    for (unsigned way = 0; way < 3; way++) {
        unsigned from = ways[way][0];
        unsigned to = ways[way][1];
        for (uint32_t i = 0; i < sides->counts[from]; i++)
            for (uint32_t j = 0; sides->left[from][i] > 0 && j < sides->counts[to]; j++)
                if (sides->left[to][j] > 0 &&
                    is_option(&sides->items[from][i], &sides->items[to][j], from == to))
                    return true;
    }
    return false;
}

/* What explaining and what is left over will cost at least: a thing that is left costs 1, and what
 * explains two things costs 1 at least, but for the pairs that were learned. */
static uint32_t least_cost(const struct bl_compare *compare, const struct sides *sides)
{
    uint32_t things = 0;
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = 0; i < sides->counts[side]; i++)
            things +=
                sides->left[side][i] > 0 && !compare->has_learned[sides->items[side][i].whole];
    return (things + 1) / 2;
}

/* A stable sort. Mostly there are few, in order already. */
static void sort_options(struct option *options, size_t count)
{
    if (count > SORTED_BY_HAND) {
        qsort(options, count, sizeof(*options), compare_options);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct option one = options[i];
        size_t k = i;
        for (; k > 0 && compare_options(&options[k - 1], &one) > 0; k--)
            options[k] = options[k - 1];
        options[k] = one;
    }
}

static void note_given(struct bl_difference *d, const struct option *option, uint64_t units)
{
    if (option->from_side != 0 || option->to_side != 0 || units <= d->given_units[option->from])
        return;
    d->given[option->from] = option->to;
    d->given_units[option->from] = units;
}

/* Explains what is left in pairs, the cheapest first; returns what it cost, or any cost above the
 * limit when it would come to more. */
static uint32_t explain(struct bl_compare *compare, const struct sides *sides, uint32_t limit,
                        struct bl_difference *d)
{
    uint32_t cost = 0;
    uint32_t least = least_cost(compare, sides);
    if (least > limit)
        return least;
    collect_options(compare, sides, limit);
    compare->work += compare->option_count + compare->dear_count;
    sort_options(compare->options, compare->option_count);
    for (size_t i = 0; i < compare->option_count && cost <= limit; i++) {
        const struct option *option = &compare->options[i];
        uint64_t *from = &sides->left[option->from_side][option->from];
        uint64_t *to = &sides->left[option->to_side][option->to];
        uint64_t units = *from < *to ? *from : *to;
        *from -= units;
        *to -= units;
        cost += units > 0 ? option->cost : 0;
        note_given(d, option, units);
    }
    return compare->dear_count > 0 && is_explicable(sides) ? limit + 1 : cost;
}

static bool is_beginning(const struct bl_item *items, const struct bl_pattern *completed,
                         const struct bl_difference *d)
{
    uint32_t last_done = 0;
    uint32_t first_missing = UINT32_MAX;
    for (uint32_t j = 0; items && j < completed->item_count; j++) {
        if (d->missing[j] < items[j].units && items[j].order > last_done)
            last_done = items[j].order;
        if (d->missing[j] > 0 && items[j].order < first_missing)
            first_missing = items[j].order;
    }
    return first_missing >= last_done;
}

void bl_compare_patterns(struct bl_compare *compare, const struct bl_pattern *live,
                         const struct bl_pattern *completed, uint32_t limit,
                         struct bl_difference *ret_difference)
{
    struct bl_difference *d = ret_difference;
    struct sides sides = {
        .items = {bl_pattern_items(compare->histories, live),
                  bl_pattern_items(compare->histories, completed)},
        .counts = {live->item_count, completed->item_count},
        .left = {d->extra, d->missing},
        .pair_costs = {find_pair_costs(compare, live), find_pair_costs(compare, completed)}};
    match(compare, live, completed, 2, d);
    d->is_part = true;
    for (uint32_t i = 0; i < live->item_count; i++) {
        d->is_part &= d->extra[i] == 0;
        d->is_led_on &= d->extra[i] == 0 || sides.items[0][i].kind != BL_ITEM_RELEASE;
    }
    for (uint32_t j = 0; j < completed->item_count; j++)
        d->is_led_on &= d->missing[j] == 0;
    d->is_beginning = d->is_part && is_beginning(sides.items[1], completed, d);
    d->guess_cost = d->match_cost;
    if (d->match_cost <= limit)
        d->guess_cost += explain(compare, &sides, limit - d->match_cost, d);
    d->cost = d->guess_cost;
    for (unsigned side = 0; side < 2; side++)
        for (uint32_t i = 0; i < sides.counts[side]; i++)
            d->cost += sides.left[side][i] > 0;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Did the library do it for itself, in some call of its user's? */
static bool is_by_library(const struct bl_compare *compare, const struct bl_item *item)
{
    size_t depth;
    return bl_callers_frames(compare->callers, item->callers, &depth)->inside > 0;
}

/* How far apart an acquire and a release are, in this order: how small the part of the program is
 * that both are in; whether one is the caller's own and the other the library's; how much of the
 * library lies between, as when it calls back or a container frees what it holds; and whether both
 * are equally deep, as two functions that belong together. What the library made unseen it gives
 * back itself. */
uint32_t bl_compare_apart(const struct bl_compare *compare, const struct bl_item *acquire,
                          const struct bl_item *release)
{
    if (acquire->kind == BL_ITEM_ALLOC && acquire->stack == 0 && is_by_library(compare, release))
        return 0;
    struct bl_fork fork = bl_callers_fork(compare->callers, acquire->callers, release->callers);
    uint32_t depth = fork.a_frames > fork.b_frames ? fork.a_frames - fork.b_frames
                                                   : fork.b_frames - fork.a_frames;
    bool is_unlike = bl_ways_are_unlike(compare->ways, acquire, release);
    return (BL_CALLERS_DEPTH - fork.shared) << 17 | (uint32_t)is_unlike << 16 |
           least(fork.b_library, 255) << 8 | least(depth, 255);
}

/* Of those equally far apart the alloc goes first, with the last release: who makes a buffer and
 * hands it to others, which take references of their own, gives back his where he made it. Then the
 * latest acquire. In an open history what ended well elsewhere comes before what never did. */
static uint32_t pair_tie(const struct bl_compare *compare, const struct bl_item *acquire,
                         const struct bl_item *release, enum bl_ends ends)
{
    uint32_t tie =
        ends != BL_ENDS_WELL && !compare->is_completed[acquire->stack] ? 8 * BL_HISTORY_ITEMS : 0;
    if (acquire->kind == BL_ITEM_ALLOC)
        return tie + BL_HISTORY_ITEMS - release->order;
    return tie + 2 * BL_HISTORY_ITEMS + latest_first(acquire, release);
}

struct bl_fork bl_compare_fork(const struct bl_compare *compare, const struct bl_item *a,
                               const struct bl_item *b)
{
    return bl_callers_fork(compare->callers, a->callers, b->callers);
}

static size_t collect_pairs(struct bl_compare *compare, const struct bl_item *items, uint32_t total,
                            enum bl_ends ends)
{
    size_t count = 0;
    for (uint32_t i = 0; i < total; i++) {
        for (uint32_t j = 0; j < total && count < OPTIONS_MAX; j++) {
            if (!bl_item_is_acquire(&items[i]) || items[j].kind != BL_ITEM_RELEASE ||
                (ends == BL_ENDS_KEPT && items[i].kind == BL_ITEM_ALLOC))
                continue;
            enum bl_learning known =
                bl_learned_find(&compare->learned, items[i].whole, items[j].whole);
            compare->options[count++] = (struct option){
                .cost = known != BL_LEARNED_NOTHING
                            ? known == BL_LEARNED_ALIKE
                            : UNKNOWN_COST + bl_compare_apart(compare, &items[i], &items[j]),
                .tie = pair_tie(compare, &items[i], &items[j], ends),
                .from = (uint16_t)i,
                .to = (uint16_t)j};
        }
    }
    return count;
}

size_t bl_compare_pair(struct bl_compare *compare, const struct bl_pattern *pattern,
                       enum bl_ends ends, uint64_t left[BL_HISTORY_ITEMS],
                       const struct bl_pair **ret_pairs)
{
    uint8_t is_known[BL_HISTORY_ITEMS] = {0};
    uint8_t by_library[BL_HISTORY_ITEMS];
    const struct bl_item *items = bl_pattern_items(compare->histories, pattern);
    size_t count = collect_pairs(compare, items, pattern->item_count, ends);
    compare->work += count;
    sort_options(compare->options, count);
    for (size_t i = 0; i < count; i++) {
        const struct option *option = &compare->options[i];
        compare->wanted[i] = (struct bl_pair){.acquire = option->from, .release = option->to};
        is_known[option->from] |= option->cost < UNKNOWN_COST;
        is_known[option->to] |= option->cost < UNKNOWN_COST;
    }
    for (uint32_t i = 0; i < pattern->item_count; i++)
        by_library[i] = is_by_library(compare, &items[i]);
    const struct bl_fitting fitting = {.items = items,
                                       .item_count = pattern->item_count,
                                       .wanted = compare->wanted,
                                       .wanted_count = count,
                                       .is_known = is_known,
                                       .is_by_library = by_library};
    *ret_pairs = compare->pairs;
    return bl_fitting_pairs(&fitting, ends != BL_ENDS_WELL, left, compare->pairs, &compare->work);
}

bool bl_compare_may_call_back(const struct bl_compare *compare, const struct bl_item *release)
{
    return bl_ways_may_call_back(compare->ways, release);
}

bool bl_compare_is_helper(const struct bl_compare *compare, const struct bl_item *item)
{
    return compare->is_helper[item->site];
}

size_t bl_compare_frames_that_ended(const struct bl_compare *compare, const struct bl_item *acquire)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(compare->callers, acquire->callers, &depth);
    size_t count = 0;
    while (count < depth && compare->has_ended[frames[count].chain])
        count++;
    return count;
}
