/*
 * What looks guilty as single buffers only: pools, caches, singletons, what a program or a library
 * sets up. Judged is the whole group that is blamed on one acquire.
 */
#include "judge.h"

#include <math.h>
#include <string.h>

#define STEADY_CHANCE   0.02 /* that leaks spread over the run all came this early */
#define STEADY_LEAST    3u   /* buffers, to speak of chance */
#define STEADY_SHARE    0.25 /* of the time that siblings came and went; flat after it */
#define SINGLETONS_MANY 16u
#define DEEP_INSIDE     5u   /* frames of the library between the user's call and the birth */
#define START_UP_SHARE  0.05 /* of the run */

/* Did the group fill up early and stop, while the same path, or at least the program, went on? Then
 * it is a pool, a cache, or made at start-up. */
static bool is_steady(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t start_ns = bl_reader_header(judge->reader)->start_ns;
    struct bl_span span = bl_grouping_span(judge, first, end);
    uint64_t siblings_last_ns = 0;
    for (size_t i = first; i < end; i++)
        if (judge->decisions[i].same_path_last_ns > siblings_last_ns)
            siblings_last_ns = judge->decisions[i].same_path_last_ns;
    uint64_t last_ns = siblings_last_ns ? siblings_last_ns : judge->activity_end_ns;
    if (span.youngest_birth_ns < start_ns || last_ns <= span.youngest_birth_ns)
        return false;
    double share = (double)(span.youngest_birth_ns - start_ns) / (double)(last_ns - start_ns);
    if (siblings_last_ns)
        return span.count >= STEADY_LEAST && share <= STEADY_SHARE &&
               pow(share, (double)span.count) < STEADY_CHANCE;
    return share <= START_UP_SHARE && last_ns - span.youngest_birth_ns >= BL_JUDGE_SECOND;
}

/* Is this the only buffer that came by on its path, the library's inside included, and were all
 * references that it took there kept, and not many? Or is it the only one that was born on its
 * path, and one reference is left, which may be that of whoever made it? */
static bool is_single(const struct bl_judge *judge, const struct bl_decision *decision)
{
    uint32_t stack = judge->histories->items[decision->item].stack;
    const struct bl_item *birth = bl_decision_birth(judge, decision);
    const uint64_t *stacks = judge->counts->stacks;
    if (decision->object_count != 1)
        return false;
    if (birth && birth->stack && stacks[birth->stack] <= 1 &&
        judge->histories->live[decision->pattern].refs == 1)
        return true;
    return decision->units < SINGLETONS_MANY && stacks[stack] <= decision->units;
}

/* Were half of them or more the only buffer that came by on its path? A singleton, or what a
 * program makes once per type or file, looks like that and lives for ever. Many of them, still
 * coming late in the run, are no start-up. */
static bool are_singletons(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t start_ns = bl_reader_header(judge->reader)->start_ns;
    struct bl_span span = bl_grouping_span(judge, first, end);
    uint64_t single = 0;
    for (size_t i = first; i < end; i++)
        single += is_single(judge, &judge->decisions[i]);
    if (single * 2 < span.count)
        return false;
    if (span.count < SINGLETONS_MANY || span.youngest_birth_ns < start_ns)
        return true;
    return (span.youngest_birth_ns - start_ns) * 2 < judge->activity_end_ns - start_ns;
}

/* Were a few of them made at one moment deep inside the library, by one call of its user, as what
 * it sets up for itself is? Its users cannot release that. */
static bool are_set_up_inside(const struct bl_judge *judge, size_t first, size_t end)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    if (span.count >= SINGLETONS_MANY ||
        span.youngest_birth_ns - span.oldest_birth_ns > BL_JUDGE_TICK_NS)
        return false;
    for (size_t i = first; i < end; i++) {
        const struct bl_item *birth = bl_decision_birth(judge, &judge->decisions[i]);
        size_t depth;
        if (!birth ||
            bl_callers_frames(judge->callers, birth->callers, &depth)->inside < DEEP_INSIDE)
            return false;
        /* nor has any born there ended otherwise, nor was one retained by somebody else */
        if (judge->counts->stacks[birth->stack] > span.count ||
            judge->histories->items[judge->decisions[i].item].kind != BL_ITEM_ALLOC)
            return false;
    }
    return true;
}

static void settle(struct bl_judge *judge, struct bl_decision *decision, enum bl_ground ground)
{
    const struct bl_item *birth = bl_decision_birth(judge, decision);
    decision->verdict = BL_VERDICT_UNRELEASED;
    decision->ground = ground;
    decision->chain = birth ? bl_callers_site(judge->callers, birth->callers) : 0;
}

static enum bl_ground ground_of(const struct bl_judge *judge, size_t first, size_t end)
{
    enum bl_verdict verdict = judge->decisions[first].verdict;
    if (verdict != BL_VERDICT_MISSING_RELEASE && verdict != BL_VERDICT_NEVER_RELEASED)
        return BL_GROUND_ACCUSED;
    if (is_steady(judge, first, end))
        return BL_GROUND_STEADY;
    if (are_singletons(judge, first, end) || are_set_up_inside(judge, first, end))
        return BL_GROUND_ONCE;
    return BL_GROUND_ACCUSED;
}

void bl_settle_groups(struct bl_judge *judge)
{
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = bl_grouping_end(judge, i);
        enum bl_ground ground = ground_of(judge, i, end);
        for (size_t k = i; k < end && ground != BL_GROUND_ACCUSED; k++)
            settle(judge, &judge->decisions[k], ground);
        i = end;
    }
}
