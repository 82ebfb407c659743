#include "judge.h"

#include <stdlib.h>
#include <string.h>

static int compare_patterns(const void *left, const void *right)
{
    const struct bl_decision *a = left;
    const struct bl_decision *b = right;
    if (a->pattern != b->pattern)
        return a->pattern < b->pattern ? -1 : 1;
    if (a->first_object != b->first_object)
        return a->first_object < b->first_object ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static int compare_decisions(const void *left, const void *right)
{
    const struct bl_decision *a = left;
    const struct bl_decision *b = right;
    if (a->verdict != b->verdict)
        return a->verdict < b->verdict ? -1 : 1;
    if (a->ground != b->ground)
        return a->ground < b->ground ? -1 : 1;
    if (a->chain != b->chain)
        return a->chain < b->chain ? -1 : 1;
    return compare_patterns(a, b);
}

static void sort_decisions(struct bl_judge *judge, int (*order)(const void *, const void *))
{
    if (judge->decision_count > 1)
        qsort(judge->decisions, judge->decision_count, sizeof(*judge->decisions), order);
}

/* Decisions about the same buffers follow each other. */
static bool is_about_same(const struct bl_decision *a, const struct bl_decision *b)
{
    return a->pattern == b->pattern && a->first_object == b->first_object;
}

static void count_decisions(struct bl_judge *judge, size_t first, size_t end)
{
    const struct bl_pattern *live = &judge->histories->live[judge->decisions[first].pattern];
    uint64_t most = 0;
    for (size_t i = first; i < end; i++)
        if (bl_decision_is_accused(&judge->decisions[i]) && judge->decisions[i].object_count > most)
            most = judge->decisions[i].object_count;
    if (most == 0) {
        if (judge->decisions[first].ground == BL_GROUND_LASTING)
            bl_counts_complete(judge->counts, live, judge->decisions[first].object_count);
        return;
    }
    bl_counts_accuse(judge->counts, live, most);
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        if (bl_decision_is_accused(decision))
            bl_counts_blame(judge->counts, decision->item, decision->object_count,
                            bl_decision_kept(judge, decision));
    }
}

static void count_all(struct bl_judge *judge)
{
    bl_counts_restart(judge->counts);
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = i + 1;
        while (end < judge->decision_count &&
               is_about_same(&judge->decisions[i], &judge->decisions[end]))
            end++;
        count_decisions(judge, i, end);
        i = end;
    }
    bl_counts_finish(judge->counts);
}

static void choose_chains(struct bl_judge *judge)
{
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct bl_decision *decision = &judge->decisions[i];
        if (decision->item == BL_JUDGE_NONE)
            decision->chain = 0;
        else if (bl_decision_is_accused(decision))
            decision->chain = bl_counts_choose(judge->counts, decision->item);
        else
            decision->chain =
                bl_callers_site(judge->callers, judge->histories->items[decision->item].callers);
    }
}

size_t bl_grouping_end(const struct bl_judge *judge, size_t first)
{
    const struct bl_decision *a = &judge->decisions[first];
    size_t end = first + 1;
    while (end < judge->decision_count && judge->decisions[end].verdict == a->verdict &&
           judge->decisions[end].ground == a->ground && judge->decisions[end].chain == a->chain)
        end++;
    return end;
}

struct bl_span bl_grouping_span(const struct bl_judge *judge, size_t first, size_t end)
{
    struct bl_span span = {.oldest_birth_ns = UINT64_MAX};
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        const struct bl_pattern *live = &judge->histories->live[decision->pattern];
        if (live->latest_ns > span.latest_event_ns)
            span.latest_event_ns = live->latest_ns;
        for (size_t k = 0; k < decision->object_count; k++) {
            uint64_t birth = judge->histories->objects[decision->first_object + k].birth_ns;
            span.count++;
            if (birth < span.oldest_birth_ns)
                span.oldest_birth_ns = birth;
            if (birth > span.youngest_birth_ns)
                span.youngest_birth_ns = birth;
        }
    }
    return span;
}

static void settle_all(struct bl_judge *judge)
{
    sort_decisions(judge, compare_patterns);
    count_all(judge);
    choose_chains(judge);
    sort_decisions(judge, compare_decisions);
    bl_settle_groups(judge);
}

/* Buffers that lack two releases, of which one was settled, are in the group of the other alone. */
static void drop_repeated(struct bl_judge *judge)
{
    size_t kept = 0;
    sort_decisions(judge, compare_patterns);
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct bl_decision *a = &judge->decisions[i];
        for (size_t k = i + 1; k < judge->decision_count; k++) {
            struct bl_decision *b = &judge->decisions[k];
            if (b->pattern != a->pattern)
                break;
            if (a->first_object != b->first_object)
                continue;
            a->is_repeated |= !bl_decision_is_accused(a) && bl_decision_is_accused(b);
            b->is_repeated |= !bl_decision_is_accused(b) && !a->is_repeated;
        }
    }
    for (size_t i = 0; i < judge->decision_count; i++)
        if (!judge->decisions[i].is_repeated)
            judge->decisions[kept++] = judge->decisions[i];
    judge->decision_count = kept;
}

/* What no owner in peace explains is not given to one again. */
static void keep_beyond_owners(struct bl_judge *judge)
{
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct bl_decision *decision = &judge->decisions[i];
        if (decision->is_beyond_owner && decision->owner != BL_JUDGE_NONE &&
            !bl_decision_is_accused(&judge->decisions[decision->owner]))
            decision->owner = BL_JUDGE_NONE;
    }
}

size_t bl_grouping_sort(struct bl_judge *judge, struct bl_decision *parts,
                        struct bl_decision *owners)
{
    bl_owned_find(judge);
    bl_cascade_find(judge);
    bl_keepers_find(judge);
    size_t taken = bl_cascade_take(judge, parts, owners);
    settle_all(judge);
    size_t part_count = bl_owned_restore(judge, parts, owners, taken);
    if (part_count < taken) {
        bl_owned_find(judge); /* what lies between may be leaked itself */
        bl_cascade_find(judge);
        bl_keepers_find(judge);
        keep_beyond_owners(judge);
        part_count += bl_cascade_take(judge, parts + part_count, owners + part_count);
        settle_all(judge);
    }
    part_count = bl_cascade_return(judge, parts, owners, part_count);
    drop_repeated(judge);
    sort_decisions(judge, compare_patterns);
    count_all(judge);
    sort_decisions(judge, compare_decisions);
    return part_count;
}
