/*
 * Of buffers with one history, some are held by leaked owners and the others were forgotten by
 * themselves. Nothing in their histories tells which, but births do: see nearness.h.
 */
#include "nearness.h"

#include <stdlib.h>

#define APART 4u /* so many times farther from any owner is elsewhere */

struct near {
    struct bl_history_object object;
    uint32_t distance; /* births to the nearest owner's */
};

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static int compare_nearness(const void *left, const void *right)
{
    const struct near *a = left;
    const struct near *b = right;
    if (a->distance != b->distance)
        return a->distance < b->distance ? -1 : 1;
    return compare_numbers(&a->object.birth, &b->object.birth);
}

static int compare_births(const void *left, const void *right)
{
    const struct bl_history_object *a = left;
    const struct bl_history_object *b = right;
    if (a->birth_ns != b->birth_ns)
        return a->birth_ns < b->birth_ns ? -1 : 1;
    return compare_numbers(&a->birth, &b->birth);
}

/* How births tell those that owners hold from the others. */
struct borders {
    size_t owners;
    uint32_t farthest_held;
    uint32_t nearest_own;
};

/* Puts the nearest `many` first; either side stays in the order of births. */
static bool put_nearest_first(struct bl_judge *judge, size_t first, size_t count, size_t many,
                              const bool *is_owner, size_t owner_count, struct borders *ret_borders)
{
    struct bl_history_object *objects = &judge->histories->objects[first];
    size_t birth_count;
    uint32_t *births = bl_nearness_births(judge, is_owner, owner_count, &birth_count);
    struct near *all = malloc((count + 1) * sizeof(*all));
    bool could = births && all;
    for (size_t i = 0; could && i < count; i++)
        all[i] =
            (struct near){objects[i], bl_nearness_distance(births, birth_count, objects[i].birth)};
    if (could) {
        qsort(all, count, sizeof(*all), compare_nearness);
        *ret_borders = (struct borders){birth_count, many > 0 ? all[many - 1].distance : 0,
                                        all[many].distance};
        for (size_t i = 0; i < count; i++)
            objects[i] = all[i].object;
        qsort(objects, many, sizeof(*objects), compare_births);
        qsort(objects + many, count - many, sizeof(*objects), compare_births);
    }
    free(births);
    free(all);
    return could;
}

/* A leaked owner may hold more than any sibling that ended did: an error path that forgets it can
 * be the one that attaches more. Then there are as many more for each, or for some of them; and
 * they were born near to it, unless all are clearly farther away than those that are held for sure,
 * by more births than what is made together takes. */
static bool may_be_held(struct borders borders, size_t left)
{
    if (borders.owners == 0 || (left > borders.owners && left % borders.owners != 0))
        return false;
    size_t each = (left + borders.owners - 1) / borders.owners;
    return borders.nearest_own <= APART * (borders.farthest_held + each);
}

void bl_splitting_note(struct bl_judge *judge, uint32_t part, const bool *is_owner, size_t count)
{
    struct bl_decision *own = &judge->decisions[part];
    struct borders borders = {.farthest_held = 1, .nearest_own = UINT32_MAX};
    uint32_t *births = bl_nearness_births(judge, is_owner, count, &borders.owners);
    for (size_t i = 0; births && i < own->object_count; i++) {
        uint32_t distance = bl_nearness_distance(
            births, borders.owners, judge->histories->objects[own->first_object + i].birth);
        if (distance < borders.nearest_own)
            borders.nearest_own = distance;
    }
    own->may_be_held = births && may_be_held(borders, own->object_count);
    free(births);
}

bool bl_splitting_is_only_one(const struct bl_judge *judge, uint32_t part)
{
    const struct bl_decision *decision = &judge->decisions[part];
    for (size_t i = 0; i < judge->decision_count; i++)
        if (i != part && judge->decisions[i].pattern == decision->pattern &&
            judge->decisions[i].first_object < decision->first_object + decision->object_count &&
            decision->first_object <
                judge->decisions[i].first_object + judge->decisions[i].object_count)
            return false;
    return true;
}

bool bl_splitting_keep(struct bl_judge *judge, uint32_t part, size_t many, const bool *is_owner,
                       size_t count)
{
    struct bl_decision *held = &judge->decisions[part];
    struct borders borders;
    if (many == 0 || many >= held->object_count || !bl_splitting_is_only_one(judge, part) ||
        !put_nearest_first(judge, held->first_object, held->object_count, many, is_owner, count,
                           &borders))
        return false;
    struct bl_decision *own = bl_judge_add(judge, *held);
    if (!own)
        return false;
    held = &judge->decisions[part];
    own->first_object += many;
    own->object_count -= many;
    own->held_beside = many;
    own->may_be_held = may_be_held(borders, own->object_count);
    own->owner = BL_JUDGE_NONE;
    held->object_count = many;
    return true;
}
