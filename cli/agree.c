/*
 * Guesses that agree with each other.
 *
 * Where no sibling ended well, which acquire lacks its release is guessed by how near they are in
 * the program. One mistake explains more than two: if the acquire that was guessed is given back by
 * most others, and another one of the same history by nobody and is blamed for many more buffers
 * already, it is that one; unless those have more references left, as if this one had given it
 * back.
 */
#include "judge.h"

#include <stdlib.h>

#define TIMES_MORE 4u

/* What came by a site, in buffers; references of one buffer that it takes on two ways count twice.
 */
struct tally {
    uint64_t ended;   /* that ended well */
    uint64_t accused; /* that are accused, of whatever acquire; */
    uint64_t blamed;  /* of this one */
    uint64_t least;   /* references left of one of these */
};

static uint32_t site_of(const struct bl_judge *judge, const struct bl_decision *decision)
{
    return judge->histories->items[decision->item].site;
}

static void count_ended(const struct bl_judge *judge, struct tally *tallies)
{
    const struct bl_histories *all = judge->histories;
    for (size_t i = 0; i < all->completed_count; i++) {
        const struct bl_item *items = bl_pattern_items(all, &all->completed[i]);
        for (uint32_t k = 0; k < all->completed[i].item_count; k++)
            if (bl_item_is_acquire(&items[k]))
                tallies[items[k].site].ended += all->completed[i].count;
    }
}

static void count_accused(const struct bl_judge *judge, struct tally *tallies)
{
    const struct bl_histories *all = judge->histories;
    for (size_t i = 0; i < judge->decision_count; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        bool is_repeated = i > 0 && judge->decisions[i - 1].pattern == decision->pattern;
        if (!bl_decision_is_accused(decision))
            continue;
        struct tally *blamed = &tallies[site_of(judge, decision)];
        uint64_t refs = all->live[decision->pattern].refs;
        if (blamed->blamed == 0 || refs < blamed->least)
            blamed->least = refs;
        blamed->blamed += decision->object_count;
        const struct bl_item *items = bl_pattern_items(all, &all->live[decision->pattern]);
        for (uint32_t k = 0; k < all->live[decision->pattern].item_count && !is_repeated; k++)
            if (bl_item_is_acquire(&items[k]))
                tallies[items[k].site].accused += decision->object_count;
    }
}

/* Is its site blamed for the same buffers already? */
static bool is_blamed(const struct bl_judge *judge, const struct bl_decision *decision,
                      uint32_t item)
{
    for (size_t i = 0; i < judge->decision_count; i++)
        if (bl_decision_is_accused(&judge->decisions[i]) &&
            judge->decisions[i].pattern == decision->pattern &&
            site_of(judge, &judge->decisions[i]) == judge->histories->items[item].site)
            return true;
    return false;
}

/* The acquire to blame instead; BL_JUDGE_NONE: there is none. */
static uint32_t find_better(const struct bl_judge *judge, const struct bl_decision *decision,
                            const struct tally *tallies)
{
    const struct bl_pattern *live = &judge->histories->live[decision->pattern];
    uint32_t best = BL_JUDGE_NONE;
    uint64_t most = TIMES_MORE * tallies[site_of(judge, decision)].blamed;
    for (uint32_t k = live->first_item; k < live->first_item + live->item_count; k++) {
        const struct bl_item *item = &judge->histories->items[k];
        const struct tally *t = &tallies[item->site];
        if (item->kind != BL_ITEM_RETAIN || item->units < decision->units || t->blamed < most ||
            t->ended > 0 || live->refs < t->least || is_blamed(judge, decision, k))
            continue;
        most = t->blamed;
        best = k;
    }
    return best;
}

/* Was it a guess, and one that most others who came by there contradict? */
static bool is_doubtful(const struct bl_judge *judge, const struct bl_decision *decision,
                        const struct tally *tallies)
{
    if (!bl_decision_is_accused(decision) || decision->likeness != BL_LIKENESS_GUESSED)
        return false;
    const struct tally *t = &tallies[site_of(judge, decision)];
    return t->ended + t->accused >= (TIMES_MORE + 1) * t->blamed;
}

int bl_judge_agree(struct bl_judge *judge)
{
    size_t sites = bl_callers_chain_count(judge->callers);
    struct tally *tallies = calloc(sites + 1, sizeof(*tallies));
    if (!tallies)
        return bl_judge_out_of_memory(judge);
    count_ended(judge, tallies);
    count_accused(judge, tallies);
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct bl_decision *decision = &judge->decisions[i];
        uint32_t better = is_doubtful(judge, decision, tallies)
                              ? find_better(judge, decision, tallies)
                              : BL_JUDGE_NONE;
        if (better == BL_JUDGE_NONE)
            continue;
        decision->item = better;
        decision->expected = BL_JUDGE_NONE;
        if (decision->verdict == BL_VERDICT_NEVER_RELEASED)
            decision->verdict = BL_VERDICT_MISSING_RELEASE;
    }
    free(tallies);
    return 0;
}
