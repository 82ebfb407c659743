#include "judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEADY_CHANCE   0.02 /* that leaks spread over the run all came this early */
#define STEADY_LEAST    3u   /* buffers, to speak of chance */
#define STEADY_SHARE    0.25 /* of the time that siblings came and went; flat after it */
#define SINGLETONS_MANY 16u
#define DEEP_INSIDE     5u   /* frames of the library between the user's call and the birth */
#define START_UP_SHARE  0.05 /* of the run */

/* ---- cascades ---- */

/* Was the part born inside the call that made the owner? Then the owner's whole stack is the outer
 * end of the part's. */
static bool is_born_inside(const struct bl_judge *judge, const struct bl_item *part,
                           const struct bl_item *owner)
{
    uint32_t inner[BL_MODEL_FRAMES_MAX];
    uint32_t outer;
    size_t count = bl_model_stack(judge->reader, part->stack, inner, BL_MODEL_FRAMES_MAX);
    if (bl_model_stack(judge->reader, owner->stack, &outer, 1) == 0)
        return false;
    for (size_t i = 1; i < count; i++)
        if (inner[i] == outer)
            return true;
    return false;
}

static int compare_births(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static uint64_t *births_of(const struct bl_judge *judge, const struct bl_decision *decision)
{
    uint64_t *births = calloc(decision->object_count + 1, sizeof(*births));
    for (size_t i = 0; births && i < decision->object_count; i++)
        births[i] = judge->histories->objects[decision->first_object + i].birth_ns;
    if (births && decision->object_count > 1)
        qsort(births, decision->object_count, sizeof(*births), compare_births);
    return births;
}

/* Has every part an owner that was born at the same moment? */
static bool are_born_together(const struct bl_judge *judge, const struct bl_decision *part,
                              const struct bl_decision *owner)
{
    uint64_t *parts = births_of(judge, part);
    uint64_t *owners = births_of(judge, owner);
    size_t at = 0;
    bool together = parts && owners && part->object_count % owner->object_count == 0;
    for (size_t i = 0; together && i < part->object_count; i++) {
        while (at < owner->object_count && owners[at] + BL_JUDGE_TICK_NS < parts[i])
            at++;
        together = at < owner->object_count && owners[at] <= parts[i] + BL_JUDGE_TICK_NS;
    }
    free(parts);
    free(owners);
    return together;
}

/* A leaked owner holds its parts: they are folded under it, when there is no doubt about whose they
 * are, and nothing else is wrong with them than that they were not released. */
static void find_owners(struct bl_judge *judge)
{
    size_t count = judge->decision_count < 2048 ? judge->decision_count : 2048;
    for (size_t i = 0; i < count; i++) {
        struct bl_decision *part = &judge->decisions[i];
        const struct bl_item *born = bl_decision_birth(judge, part);
        if (!bl_decision_is_accused(part) || !born ||
            judge->histories->items[part->item].kind != BL_ITEM_ALLOC)
            continue;
        for (size_t j = 0; j < count && part->owner == BL_JUDGE_NONE; j++) {
            const struct bl_decision *owner = &judge->decisions[j];
            if (bl_decision_is_accused(owner) && owner->owner == BL_JUDGE_NONE &&
                bl_decision_class(judge, owner) != bl_decision_class(judge, part) &&
                bl_decision_birth(judge, owner) &&
                is_born_inside(judge, born, bl_decision_birth(judge, owner)) &&
                are_born_together(judge, part, owner))
                part->owner = (uint32_t)j;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct bl_decision *part = &judge->decisions[i];
        while (part->owner != BL_JUDGE_NONE && judge->decisions[part->owner].owner != BL_JUDGE_NONE)
            part->owner = judge->decisions[part->owner].owner;
    }
}

/* ---- counts on both sides ---- */

static void count_chains(struct bl_judge *judge, const struct bl_item *item, uint64_t count,
                         uint64_t *counters)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(judge->callers, item->callers, &depth);
    for (size_t i = 0; i < depth; i++) {
        if (judge->marks[frames[i].chain] == judge->mark)
            continue;
        judge->marks[frames[i].chain] = judge->mark;
        counters[frames[i].chain] += count;
    }
}

static void count_acquires(struct bl_judge *judge, const struct bl_pattern *pattern, uint64_t count,
                           uint64_t *counters)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
    judge->mark++;
    for (uint32_t i = 0; i < pattern->item_count; i++) {
        if (!bl_item_is_acquire(&items[i]))
            continue;
        count_chains(judge, &items[i], count, counters);
        if (counters == judge->passed)
            judge->by_stack[items[i].stack] += count;
    }
}

/* Decisions about one pattern follow each other; those that accuse are about the same objects. */
static void count_decisions(struct bl_judge *judge, size_t first, size_t end)
{
    const struct bl_pattern *live = &judge->histories->live[judge->decisions[first].pattern];
    uint64_t most = 0;
    judge->mark++;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        if (!bl_decision_is_accused(decision))
            continue;
        if (decision->object_count > most)
            most = decision->object_count;
        count_chains(judge, &judge->histories->items[decision->item], decision->object_count,
                     judge->blamed);
    }
    if (most == 0)
        return;
    judge->accused_total[live->class_number % BL_CLASSES_MAX] += most;
    count_acquires(judge, live, most, judge->passed);
    count_acquires(judge, live, most, judge->accused);
}

static int compare_patterns(const void *left, const void *right)
{
    const struct bl_decision *a = left;
    const struct bl_decision *b = right;
    if (a->pattern != b->pattern)
        return a->pattern < b->pattern ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static void count_all(struct bl_judge *judge)
{
    size_t chains = bl_callers_chain_count(judge->callers);
    memset(judge->by_stack, 0,
           bl_reader_count(judge->reader, BL_SECTION_FRAMES) * sizeof(*judge->by_stack));
    memset(judge->passed, 0, chains * sizeof(*judge->passed));
    memset(judge->accused, 0, chains * sizeof(*judge->accused));
    memset(judge->blamed, 0, chains * sizeof(*judge->blamed));
    memset(judge->completed_total, 0, sizeof(judge->completed_total));
    memset(judge->accused_total, 0, sizeof(judge->accused_total));
    for (size_t i = 0; i < judge->histories->completed_count; i++) {
        const struct bl_pattern *pattern = &judge->histories->completed[i];
        judge->completed_total[pattern->class_number % BL_CLASSES_MAX] += pattern->count;
        count_acquires(judge, pattern, pattern->count, judge->passed);
    }
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = i + 1;
        while (end < judge->decision_count &&
               judge->decisions[end].pattern == judge->decisions[i].pattern)
            end++;
        count_decisions(judge, i, end);
        i = end;
    }
}

/* How many of the blamed stack's frames it takes to tell the leaking callers from the others: the
 * fewest for which what else passed there leaks as well, or is too little to have leaked. */
static uint32_t choose_chain(const struct bl_judge *judge, uint32_t item)
{
    size_t depth;
    const struct bl_caller *frames =
        bl_callers_frames(judge->callers, judge->histories->items[item].callers, &depth);
    uint32_t whole = frames[depth - 1].chain;
    double passed = (double)judge->passed[whole];
    double rate = passed > 0 ? (double)judge->blamed[whole] / passed : 1;
    for (size_t i = 0; i + 1 < depth; i++) {
        double others = (double)judge->passed[frames[i].chain] - passed;
        double leaked = (double)judge->blamed[frames[i].chain] - (double)judge->blamed[whole];
        if (others <= 0 || leaked * 4 >= rate * others || pow(1 - rate, others) >= 0.05)
            return frames[i].chain;
    }
    return whole;
}

static void choose_chains(struct bl_judge *judge)
{
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct bl_decision *decision = &judge->decisions[i];
        if (decision->item == BL_JUDGE_NONE)
            decision->chain = 0;
        else if (bl_decision_is_accused(decision))
            decision->chain = choose_chain(judge, decision->item);
        else
            decision->chain =
                bl_callers_site(judge->callers, judge->histories->items[decision->item].callers);
    }
}

/* ---- groups ---- */

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

/* Were half of them or more the only buffer that came by on its path, the library's inside
 * included? A singleton, or what a program makes once per type or file, looks like that and lives
 * for ever. Many of them, still coming late in the run, are no start-up. */
static bool are_singletons(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t start_ns = bl_reader_header(judge->reader)->start_ns;
    struct bl_span span = bl_grouping_span(judge, first, end);
    uint64_t single = 0;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        if (judge->by_stack[judge->histories->items[decision->item].stack] <= 1)
            single += decision->object_count;
    }
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
        uint32_t frames[BL_MODEL_FRAMES_MAX];
        size_t depth = 0;
        size_t count =
            birth ? bl_model_stack(judge->reader, birth->stack, frames, BL_MODEL_FRAMES_MAX) : 0;
        while (depth < count && frames[depth] != bl_judge_site(judge, birth))
            depth++;
        /* nor has any born there ended otherwise, nor was one retained by somebody else */
        if (depth < DEEP_INSIDE || judge->by_stack[birth->stack] > span.count ||
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

/* Takes back what was said about groups that look guilty as single buffers only. */
static void settle_groups(struct bl_judge *judge)
{
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = bl_grouping_end(judge, i);
        enum bl_verdict verdict = judge->decisions[i].verdict;
        enum bl_ground ground = BL_GROUND_ACCUSED;
        if (verdict == BL_VERDICT_MISSING_RELEASE || verdict == BL_VERDICT_NEVER_RELEASED) {
            if (is_steady(judge, i, end))
                ground = BL_GROUND_STEADY;
            else if (are_singletons(judge, i, end) || are_set_up_inside(judge, i, end))
                ground = BL_GROUND_ONCE;
        }
        for (size_t k = i; k < end && ground != BL_GROUND_ACCUSED; k++)
            settle(judge, &judge->decisions[k], ground);
        i = end;
    }
}

/* Takes the parts of leaked owners out of the decisions. Returns how many. */
static size_t take_parts(struct bl_judge *judge, struct bl_decision *parts,
                         struct bl_decision *owners)
{
    size_t kept = 0;
    size_t taken = 0;
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct bl_decision *decision = &judge->decisions[i];
        if (decision->owner == BL_JUDGE_NONE)
            continue;
        parts[taken] = *decision;
        owners[taken++] = judge->decisions[decision->owner];
    }
    for (size_t i = 0; i < judge->decision_count; i++)
        if (judge->decisions[i].owner == BL_JUDGE_NONE)
            judge->decisions[kept++] = judge->decisions[i];
    judge->decision_count = kept;
    return taken;
}

static void sort_decisions(struct bl_judge *judge, int (*order)(const void *, const void *))
{
    if (judge->decision_count > 1)
        qsort(judge->decisions, judge->decision_count, sizeof(*judge->decisions), order);
}

size_t bl_grouping_sort(struct bl_judge *judge, struct bl_decision *parts,
                        struct bl_decision *owners)
{
    find_owners(judge);
    size_t part_count = take_parts(judge, parts, owners);
    sort_decisions(judge, compare_patterns);
    count_all(judge);
    choose_chains(judge);
    sort_decisions(judge, compare_decisions);
    settle_groups(judge);
    sort_decisions(judge, compare_patterns);
    count_all(judge);
    sort_decisions(judge, compare_decisions);
    return part_count;
}
