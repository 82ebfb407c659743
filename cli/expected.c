/*
 * The release that is expected: where others gave back the reference that was not given back here.
 */
#include "judge.h"

#define TALLIES 64 /* ways to a place; further ones are not the most common */

/* One way to a place. */
struct tally {
    uint32_t site; /* the place */
    uint32_t chain;
    uint32_t frame;
    uint32_t stack;
    bool is_helper;
    uint32_t latest; /* pattern that was counted last, + 1 */
    uint64_t count;
};

/* Is the release there in the leaked history as well? Then it is not the one that is missing. */
static bool has_release(const struct bl_judge *judge, const struct bl_pattern *live,
                        const struct bl_item *release)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint32_t whole = bl_callers_whole(judge->callers, release->callers);
    for (uint32_t i = 0; i < live->item_count; i++)
        if (items[i].kind == BL_ITEM_RELEASE && items[i].units >= release->units &&
            bl_callers_whole(judge->callers, items[i].callers) == whole)
            return true;
    return false;
}

static size_t add_tally(struct tally *tallies, size_t count, struct tally one)
{
    for (size_t i = 0; i < count; i++) {
        if (tallies[i].chain == one.chain) {
            tallies[i].count += one.count;
            tallies[i].latest = one.latest;
            return count;
        }
    }
    if (count < TALLIES)
        tallies[count++] = one;
    return count;
}

/* Was a pattern counted at the place before? Who gave back two references there is one sibling. */
static bool is_known(const struct tally *tallies, size_t count, const struct tally *one)
{
    for (size_t i = 0; i < count; i++)
        if (tallies[i].site == one->site && tallies[i].latest == one->latest)
            return true;
    return false;
}

/* The partners of a sibling's acquires, where the leaked one lacks them. */
static size_t tally_sibling(const struct bl_judge *judge, const struct bl_pattern *live,
                            const struct bl_pattern *sibling, const struct bl_scope *scope,
                            struct tally *tallies, size_t count)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, sibling);
    const struct bl_pair *pairs;
    uint64_t left[BL_HISTORY_ITEMS];
    bool is_candidate = false;
    for (uint32_t k = 0; k < sibling->item_count && !is_candidate; k++)
        is_candidate = bl_counts_is_within(judge->counts, scope, &items[k]);
    if (!is_candidate || bl_compare_work(judge->compare) > 2 * BL_JUDGE_WORK)
        return count;
    size_t made = bl_compare_pair(judge->compare, sibling, BL_ENDS_WELL, left, &pairs);
    for (size_t k = 0; k < made; k++) {
        const struct bl_item *release = &items[pairs[k].release];
        struct tally one = {.site = release->site,
                            .chain = bl_callers_whole(judge->callers, release->callers),
                            .frame = bl_judge_shown_site(judge, live->class_number, release),
                            .stack = release->stack,
                            .is_helper = bl_compare_is_helper(judge->compare, release),
                            .latest = (uint32_t)(sibling - judge->histories->completed) + 1,
                            .count = sibling->count};
        if (bl_counts_is_within(judge->counts, scope, &items[pairs[k].acquire]) &&
            !has_release(judge, live, release) && !is_known(tallies, count, &one))
            count = add_tally(tallies, count, one);
    }
    return count;
}

/* Where a buffer itself gave back other references that it was given by the same acquire. */
static size_t tally_itself(const struct bl_judge *judge, const struct bl_decision *decision,
                           struct tally *tallies, size_t count)
{
    const struct bl_pattern *live = &judge->histories->live[decision->pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    const struct bl_pair *pairs;
    uint64_t left[BL_HISTORY_ITEMS];
    if (decision->units >= items[decision->item - live->first_item].units ||
        bl_compare_work(judge->compare) > 2 * BL_JUDGE_WORK)
        return count;
    size_t made = bl_compare_pair(judge->compare, live, bl_paths_ends(judge, decision->pattern),
                                  left, &pairs);
    for (size_t k = 0; k < made; k++) {
        const struct bl_item *release = &items[pairs[k].release];
        struct tally one = {.site = release->site,
                            .chain = bl_callers_whole(judge->callers, release->callers),
                            .frame = bl_judge_shown_site(judge, live->class_number, release),
                            .stack = release->stack,
                            .is_helper = bl_compare_is_helper(judge->compare, release),
                            .count = pairs[k].units * decision->object_count};
        if (live->first_item + pairs[k].acquire == decision->item)
            count = add_tally(tallies, count, one);
    }
    return count;
}

/* Where buffers that something else keeps gave back the same reference in turn. Decisions of a
 * group tell of the same ones. */
static size_t tally_turn(const struct bl_judge *judge, const struct bl_decision *decision,
                         struct tally *tallies, size_t count)
{
    if (decision->given_in_turn == 0)
        return count;
    const struct bl_item *release = &judge->histories->items[decision->expected];
    struct tally one = {.site = release->site,
                        .chain = bl_callers_whole(judge->callers, release->callers),
                        .frame =
                            bl_judge_shown_site(judge, bl_decision_class(judge, decision), release),
                        .stack = release->stack,
                        .is_helper = bl_compare_is_helper(judge->compare, release)};
    count = add_tally(tallies, count, one);
    for (size_t i = 0; i < count; i++)
        if (tallies[i].chain == one.chain && tallies[i].count < decision->given_in_turn)
            tallies[i].count = decision->given_in_turn;
    return count;
}

/* The place where most were given back, by whatever way, and the most common of those. */
static void choose(const struct tally *tallies, size_t count, struct bl_finding *finding)
{
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t all = 0;
        for (size_t k = 0; k < count; k++)
            all += tallies[k].site == tallies[i].site ? tallies[k].count : 0;
        if (all < finding->expected_count ||
            (all == finding->expected_count && tallies[i].count <= most))
            continue;
        most = tallies[i].count;
        finding->expected_count = all;
        finding->expected_frame = tallies[i].frame;
        finding->expected_stack = tallies[i].stack;
        finding->is_expected_of_helper = tallies[i].is_helper;
    }
}

void bl_expected_find(struct bl_judge *judge, size_t first, size_t end,
                      const struct bl_scope *scope, struct bl_finding *finding)
{
    const struct bl_histories *all = judge->histories;
    const struct bl_pattern *live = &all->live[judge->decisions[first].pattern];
    struct tally tallies[TALLIES];
    size_t count = 0;
    for (size_t i = 0; i < all->completed_count; i++)
        if (all->completed[i].class_number == live->class_number && !all->completed[i].is_owned &&
            !all->completed[i].is_unseen)
            count = tally_sibling(judge, live, &all->completed[i], scope, tallies, count);
    bool has_ended = count > 0;
    for (size_t i = first; !has_ended && i < end; i++)
        count = tally_turn(judge, &judge->decisions[i], tallies, count);
    finding->is_expected_of_itself = count == 0;
    for (size_t i = first; finding->is_expected_of_itself && i < end; i++)
        count = tally_itself(judge, &judge->decisions[i], tallies, count);
    choose(tallies, count, finding);
}
