#include "counts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FEW_PASSES   5u   /* callers with fewer are taken together */
#define CHANCE_SIGMA 3.09 /* rates differ by chance in 999 of 1,000 cases less than this */

static bool is_counted(const struct bl_counts *counts, const struct bl_item *item)
{
    return bl_item_is_acquire(item) == (counts->counted == BL_COUNTS_ACQUIRES);
}

static void count_chains(struct bl_counts *counts, const struct bl_item *item, uint64_t buffers,
                         enum bl_pass pass)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(counts->callers, item->callers, &depth);
    for (size_t i = 0; i < depth; i++) {
        struct bl_count *count = &counts->chains[frames[i].chain];
        if (count->mark == counts->mark)
            continue;
        count->mark = counts->mark;
        count->buffers[pass] += buffers;
    }
}

/* Each buffer once at a chain, however many references it acquired there. */
static void count_buffers(struct bl_counts *counts, const struct bl_pattern *pattern,
                          uint64_t buffers, enum bl_pass pass)
{
    const struct bl_item *items = bl_pattern_items(counts->histories, pattern);
    counts->mark++;
    for (uint32_t i = 0; i < pattern->item_count; i++)
        if (is_counted(counts, &items[i]))
            count_chains(counts, &items[i], buffers, pass);
}

static void count_references(struct bl_counts *counts, const struct bl_pattern *pattern,
                             uint64_t buffers)
{
    const struct bl_item *items = bl_pattern_items(counts->histories, pattern);
    for (uint32_t i = 0; i < pattern->item_count; i++) {
        size_t depth;
        const struct bl_caller *frames =
            bl_callers_frames(counts->callers, items[i].callers, &depth);
        if (!is_counted(counts, &items[i]))
            continue;
        for (size_t k = 0; k < depth; k++)
            counts->chains[frames[k].chain].taken += items[i].units * buffers;
        counts->stacks[items[i].stack] += items[i].units * buffers;
    }
}

static void link_chains(struct bl_counts *counts)
{
    for (size_t i = 0; i < counts->histories->item_count; i++) {
        size_t depth;
        const struct bl_caller *frames =
            bl_callers_frames(counts->callers, counts->histories->items[i].callers, &depth);
        for (size_t k = 1; k < depth; k++) {
            struct bl_count *count = &counts->chains[frames[k].chain];
            struct bl_count *parent = &counts->chains[frames[k - 1].chain];
            if (count->parent)
                continue;
            count->parent = frames[k - 1].chain;
            count->next = parent->first;
            parent->first = frames[k].chain;
        }
    }
}

int bl_counts_create(struct bl_counts **ret_counts, const struct bl_histories *histories,
                     const struct bl_callers *callers, const struct bl_reader *reader,
                     enum bl_counted counted, struct bl_error *error)
{
    struct bl_counts *counts = calloc(1, sizeof(*counts));
    if (counts) {
        counts->histories = histories;
        counts->callers = callers;
        counts->counted = counted;
        counts->chain_count = bl_callers_chain_count(callers) + 1u;
        counts->stack_count = bl_reader_count(reader, BL_SECTION_FRAMES) + 1u;
        counts->chains = calloc(counts->chain_count, sizeof(*counts->chains));
        counts->stacks = calloc(counts->stack_count, sizeof(*counts->stacks));
        counts->accused = calloc(histories->live_count + 1, sizeof(*counts->accused));
        counts->blames = calloc(histories->item_count + 1, sizeof(*counts->blames));
    }
    if (!counts || !counts->chains || !counts->stacks || !counts->accused || !counts->blames) {
        bl_counts_destroy(counts);
        return bl_error_set(error, "not enough memory to count what leaked where");
    }
    link_chains(counts);
    *ret_counts = counts;
    return 0;
}

void bl_counts_destroy(struct bl_counts *counts)
{
    if (!counts)
        return;
    free(counts->chains);
    free(counts->stacks);
    free(counts->accused);
    free(counts->blames);
    free(counts);
}

void bl_counts_complete(struct bl_counts *counts, const struct bl_pattern *pattern, uint64_t count)
{
    counts->classes[pattern->class_number % BL_CLASSES_MAX].completed += count;
    count_buffers(counts, pattern, count, BL_PASS_ANY);
    count_references(counts, pattern, count);
}

void bl_counts_restart(struct bl_counts *counts)
{
    for (size_t i = 0; i < counts->chain_count; i++) {
        struct bl_count *count = &counts->chains[i];
        memset(count->buffers, 0, sizeof(count->buffers));
        count->taken = count->kept = 0;
    }
    memset(counts->stacks, 0, counts->stack_count * sizeof(*counts->stacks));
    memset(counts->accused, 0, (counts->histories->live_count + 1) * sizeof(*counts->accused));
    memset(counts->blames, 0, (counts->histories->item_count + 1) * sizeof(*counts->blames));
    memset(counts->classes, 0, sizeof(counts->classes));
    for (size_t i = 0; i < counts->histories->completed_count; i++)
        bl_counts_complete(counts, &counts->histories->completed[i],
                           counts->histories->completed[i].count);
}

void bl_counts_accuse(struct bl_counts *counts, const struct bl_pattern *live, uint64_t count)
{
    counts->classes[live->class_number % BL_CLASSES_MAX].accused += count;
    counts->accused[live - counts->histories->live] += count;
    count_buffers(counts, live, count, BL_PASS_ANY);
    count_buffers(counts, live, count, BL_PASS_ACCUSED);
    count_references(counts, live, count);
    bl_counts_next(counts);
}

void bl_counts_blame(struct bl_counts *counts, uint32_t item, uint64_t buffers, uint64_t units)
{
    const struct bl_item *blamed = &counts->histories->items[item];
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(counts->callers, blamed->callers, &depth);
    count_chains(counts, blamed, buffers, BL_PASS_BLAMED);
    counts->blames[item].buffers += buffers;
    counts->blames[item].units += units * buffers;
    for (size_t i = 0; i < depth; i++)
        counts->chains[frames[i].chain].kept += units * buffers;
}

void bl_counts_next(struct bl_counts *counts)
{
    counts->mark++;
}

/* What one group of callers adds to chi squared, when they leak at this rate. */
static double deviation(double taken, double kept, double rate)
{
    double difference = kept - taken * rate;
    return difference * difference / (taken * rate * (1 - rate));
}

/* What chi squared stays below by chance, with so many groups: as approximated by E. B. Wilson and
 * M. M. Hilferty, PNAS 17, 1931. */
static double chance_limit(double groups)
{
    double spread = 2 / (9 * (groups - 1));
    return (groups - 1) * pow(1 - spread + CHANCE_SIGMA * sqrt(spread), 3);
}

/* Of the references that came by one caller, and of all others beside it. */
struct split {
    double taken;
    double kept;
    double others_taken;
    double others_kept;
};

/* Is a rate not even half of the others', or twice that: of what was kept, or of what was given
 * back? Those between are no other bug: the same one is met more or less often by who called, as
 * requests of one kind come in pieces more often. */
static bool is_unlike(const struct split *s)
{
    double kept = s->kept * s->others_taken;
    double others_kept = s->others_kept * s->taken;
    double given = (s->taken - s->kept) * s->others_taken;
    double others_given = (s->others_taken - s->others_kept) * s->taken;
    return kept * 2 <= others_kept || kept >= others_kept * 2 || given * 2 <= others_given ||
           given >= others_given * 2;
}

static double unlikeness(const struct bl_count *all, double taken, double kept)
{
    struct split split = {taken, kept, (double)all->taken - taken, (double)all->kept - kept};
    return is_unlike(&split) ? deviation(taken, kept, (double)all->kept / (double)all->taken) : 0;
}

/* Do the references that came by a chain leak at rates that differ by who called? Pearson's test of
 * homogeneity (K. Pearson, Philosophical Magazine 50, 1900), of the callers whose rate is unlike
 * that of the others. */
static bool do_rates_differ(const struct bl_counts *counts, const struct bl_count *count)
{
    double chi_squared = 0;
    double few_taken = 0;
    double few_kept = 0;
    double groups = 0;
    if (count->kept == 0 || count->kept >= count->taken)
        return false;
    for (uint32_t child = count->first; child; child = counts->chains[child].next) {
        double taken = (double)counts->chains[child].taken;
        double kept = (double)counts->chains[child].kept;
        if (taken < FEW_PASSES) {
            few_taken += taken;
            few_kept += kept;
            continue;
        }
        groups++;
        chi_squared += unlikeness(count, taken, kept);
    }
    if (few_taken > 0) {
        groups++;
        chi_squared += unlikeness(count, few_taken, few_kept);
    }
    return groups >= 2 && chi_squared > chance_limit(groups);
}

void bl_counts_finish(struct bl_counts *counts)
{
    for (size_t i = 0; i < counts->chain_count; i++)
        counts->chains[i].is_mixed = false;
    /* a chain's number is above those of its parts */
    for (size_t i = counts->chain_count; i-- > 1;) {
        struct bl_count *count = &counts->chains[i];
        count->is_mixed |= do_rates_differ(counts, count);
        counts->chains[count->parent].is_mixed |= count->is_mixed;
    }
}

uint32_t bl_counts_choose(const struct bl_counts *counts, uint32_t item)
{
    size_t depth;
    const struct bl_caller *frames =
        bl_callers_frames(counts->callers, counts->histories->items[item].callers, &depth);
    size_t i = 0;
    while (i + 1 < depth && counts->chains[frames[i].chain].is_mixed)
        i++;
    return frames[i].chain;
}

bool bl_counts_is_within(const struct bl_counts *counts, const struct bl_scope *scope,
                         const struct bl_item *item)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(counts->callers, item->callers, &depth);
    if (!is_counted(counts, item) ||
        (scope->is_inner && bl_callers_inner(counts->callers, item->callers) != scope->inner))
        return false;
    for (size_t i = 0; i < depth; i++)
        if (frames[i].chain == scope->chain)
            return true;
    return false;
}

/* Adds `buffers` of a pattern, of which the blamed are known by item. */
static void add_within(const struct bl_counts *counts, const struct bl_scope *scope,
                       const struct bl_pattern *pattern, uint64_t buffers, struct bl_count *sum)
{
    const struct bl_item *items = bl_pattern_items(counts->histories, pattern);
    uint64_t blamed = 0;
    bool is_any = false;
    for (uint32_t i = 0; i < pattern->item_count; i++) {
        const struct bl_blame *blame = &counts->blames[pattern->first_item + i];
        if (!bl_counts_is_within(counts, scope, &items[i]))
            continue;
        is_any = true;
        blamed = blame->buffers > blamed ? blame->buffers : blamed;
        sum->taken += items[i].units * buffers;
        sum->kept += blame->units;
    }
    if (!is_any)
        return;
    sum->buffers[BL_PASS_ANY] += buffers;
    sum->buffers[BL_PASS_ACCUSED] += pattern->lifecycle ? 0 : buffers;
    sum->buffers[BL_PASS_BLAMED] += blamed;
}

struct bl_count bl_counts_of(const struct bl_counts *counts, const struct bl_scope *scope)
{
    const struct bl_histories *all = counts->histories;
    struct bl_count sum = {0};
    if (!scope->is_inner)
        return counts->chains[scope->chain];
    for (size_t i = 0; i < all->completed_count; i++)
        add_within(counts, scope, &all->completed[i], all->completed[i].count, &sum);
    for (size_t i = 0; i < all->live_count; i++)
        if (counts->accused[i] > 0)
            add_within(counts, scope, &all->live[i], counts->accused[i], &sum);
    return sum;
}

/* Was a reference given back by the same call of the user's that took it? */
static bool is_passing(const struct bl_counts *counts, const struct bl_pattern *pattern,
                       const struct bl_item *acquire)
{
    const struct bl_item *items = bl_pattern_items(counts->histories, pattern);
    size_t depth;
    uint32_t site = bl_callers_frames(counts->callers, acquire->callers, &depth)->frame;
    for (uint32_t i = 0; i < pattern->item_count; i++)
        if (items[i].kind == BL_ITEM_RELEASE &&
            bl_callers_frames(counts->callers, items[i].callers, &depth)->frame == site)
            return true;
    return false;
}

/* References taken at the chain on other ways that never left the call. */
static uint64_t count_passing(const struct bl_counts *counts, const struct bl_scope *scope)
{
    struct bl_scope chain = {.chain = scope->chain};
    uint64_t count = 0;
    for (size_t i = 0; i < counts->histories->completed_count; i++) {
        const struct bl_pattern *pattern = &counts->histories->completed[i];
        const struct bl_item *items = bl_pattern_items(counts->histories, pattern);
        for (uint32_t k = 0; k < pattern->item_count; k++)
            if (bl_counts_is_within(counts, &chain, &items[k]) &&
                !bl_counts_is_within(counts, scope, &items[k]) &&
                is_passing(counts, pattern, &items[k]))
                count += items[k].units * pattern->count;
    }
    return count;
}

struct bl_scope bl_counts_scope(const struct bl_counts *counts, uint32_t chain, uint32_t item)
{
    const struct bl_item *blamed = &counts->histories->items[item];
    struct bl_scope scope = {.chain = chain,
                             .inner = bl_callers_inner(counts->callers, blamed->callers),
                             .is_inner = true};
    const struct bl_count *all = &counts->chains[chain];
    struct bl_count way = bl_counts_of(counts, &scope);
    scope.is_inner =
        way.taken > way.kept || count_passing(counts, &scope) * 2 > all->taken - way.taken;
    return scope;
}
