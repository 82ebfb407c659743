/*
 * What the library took of a buffer as it made another one, and keeps while that lives.
 *
 * Of several references that a buffer was given, which one it lacks is often not known, as any
 * release may have given back any of them. But where the library took one of them inside the call
 * that made another buffer, and each buffer in question has such a one, of its own, that lives:
 * then that one has the reference that is left, and nothing else was forgotten. What is said of the
 * keeper is said of both.
 */
#include "judge.h"

#include <stdlib.h>

#define DECISIONS_MAX 2048u /* further ones stay what they are */

/* Buffers that were made around a reference. */
struct makings {
    uint64_t *births_ns; /* in order; NULL without memory */
    size_t count;
    uint32_t keeper; /* decision about the most of them, an accused one if any is */
};

static int compare_times(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void sort_times(uint64_t *times, size_t count)
{
    if (times && count > 1)
        qsort(times, count, sizeof(*times), compare_times);
}

static bool is_about_same(const struct bl_decision *a, const struct bl_decision *b)
{
    return a->pattern == b->pattern && a->first_object == b->first_object;
}

/* Is it one reference that the objects lack, of several that fit as well? Of two such decisions one
 * is explained by a keeper; not one that others of the path tell about. */
static bool is_any_of_several(const struct bl_judge *judge, uint32_t number)
{
    const struct bl_decision *decision = &judge->decisions[number];
    if (!bl_decision_is_accused(decision) || decision->rival != BL_RIVAL_ANY ||
        decision->units != 1 || decision->owner != BL_JUDGE_NONE || decision->given_in_turn > 0)
        return false;
    for (uint32_t i = 0; i < judge->decision_count; i++)
        if (is_about_same(&judge->decisions[i], decision) &&
            judge->decisions[i].owner != BL_JUDGE_NONE)
            return false;
    return true;
}

/* Is a decision the first one about its objects? */
static bool is_first_about(const struct bl_judge *judge, uint32_t number)
{
    for (uint32_t i = number; i-- > 0;)
        if (is_about_same(&judge->decisions[i], &judge->decisions[number]))
            return false;
    return true;
}

/* What was made at the stack of a birth, and may keep something. */
static bool is_made_around(const struct bl_judge *judge, const struct bl_decision *decision,
                           uint32_t taken)
{
    const struct bl_item *birth = bl_decision_birth(judge, decision);
    return birth && birth->stack && birth->stack != taken &&
           judge->histories->live[decision->pattern].doubt == BL_DOUBT_NONE &&
           bl_model_frames_inside(judge->reader, taken, birth->stack) > 0;
}

static bool is_better(const struct bl_decision *a, const struct bl_decision *b)
{
    if (bl_decision_is_accused(a) != bl_decision_is_accused(b))
        return bl_decision_is_accused(a);
    return a->object_count > b->object_count;
}

static struct makings find_makings(const struct bl_judge *judge, size_t decisions, uint32_t part,
                                   uint32_t taken)
{
    struct makings found = {.births_ns = NULL, .keeper = BL_JUDGE_NONE};
    for (uint32_t i = 0; i < decisions; i++) {
        const struct bl_decision *one = &judge->decisions[i];
        if (one->pattern == judge->decisions[part].pattern ||
            bl_decision_is_owned_by(judge, i, part) || !is_made_around(judge, one, taken))
            continue;
        if (found.keeper == BL_JUDGE_NONE || is_better(one, &judge->decisions[found.keeper]))
            found.keeper = i;
        if (!is_first_about(judge, i))
            continue;
        uint64_t *grown =
            realloc(found.births_ns, (found.count + one->object_count + 1) * sizeof(*grown));
        if (!grown)
            break;
        found.births_ns = grown;
        for (size_t k = 0; k < one->object_count; k++)
            grown[found.count++] = judge->histories->objects[one->first_object + k].birth_ns;
    }
    sort_times(found.births_ns, found.count);
    return found;
}

/* When a decision's objects were used at an item, in order; NULL without memory. */
static uint64_t *find_times(const struct bl_judge *judge, const struct bl_decision *decision,
                            const struct bl_item *item)
{
    uint64_t *times = calloc(decision->object_count + 1, sizeof(*times));
    size_t all;
    const struct bl_tracked *tracked = bl_reader_objects(judge->reader, &all);
    for (size_t i = 0; times && i < decision->object_count; i++) {
        uint32_t index = judge->histories->objects[decision->first_object + i].index;
        times[i] = bl_turns_time(judge, &tracked[index].object, item);
    }
    sort_times(times, decision->object_count);
    return times;
}

/* Was each of some references taken as a buffer was made, each as another one? */
static bool has_each_its_own(const uint64_t *taken_ns, size_t count, const struct makings *makings)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++, at++) {
        while (at < makings->count && makings->births_ns[at] + BL_JUDGE_TICK_NS < taken_ns[i])
            at++;
        if (taken_ns[i] == 0 || at == makings->count ||
            makings->births_ns[at] > taken_ns[i] + BL_JUDGE_TICK_NS)
            return false;
    }
    return true;
}

static uint32_t find_keeper_of(const struct bl_judge *judge, size_t decisions, uint32_t part,
                               const struct bl_item *item)
{
    const struct bl_decision *decision = &judge->decisions[part];
    struct makings makings = find_makings(judge, decisions, part, item->stack);
    uint64_t *taken_ns = makings.births_ns && makings.count >= decision->object_count
                             ? find_times(judge, decision, item)
                             : NULL;
    bool is_kept = taken_ns && has_each_its_own(taken_ns, decision->object_count, &makings);
    free(makings.births_ns);
    free(taken_ns);
    return is_kept ? makings.keeper : BL_JUDGE_NONE;
}

static uint32_t find_keeper(const struct bl_judge *judge, size_t decisions, uint32_t part)
{
    const struct bl_pattern *live = &judge->histories->live[judge->decisions[part].pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint32_t keeper = BL_JUDGE_NONE;
    for (uint32_t i = 0; i < live->item_count && keeper == BL_JUDGE_NONE; i++) {
        size_t depth;
        if (items[i].kind == BL_ITEM_RETAIN && items[i].units == 1 && items[i].stack &&
            bl_callers_frames(judge->callers, items[i].callers, &depth)->inside > 0)
            keeper = find_keeper_of(judge, decisions, part, &items[i]);
    }
    return keeper;
}

void bl_keepers_find(struct bl_judge *judge)
{
    size_t count = judge->decision_count < DECISIONS_MAX ? judge->decision_count : DECISIONS_MAX;
    for (uint32_t i = 0; i < count; i++)
        if (is_any_of_several(judge, i))
            judge->decisions[i].owner = find_keeper(judge, count, i);
    /* a keeper may be a part of something else */
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct bl_decision *part = &judge->decisions[i];
        while (part->owner != BL_JUDGE_NONE && judge->decisions[part->owner].owner != BL_JUDGE_NONE)
            part->owner = judge->decisions[part->owner].owner;
    }
}
