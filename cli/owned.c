/*
 * Owned buffers: what was allocated in a pool, or is part of a bigger buffer, and ends with it.
 *
 * As long as its owner lives such a buffer may be left to it. It is judged by itself only where the
 * evidence says that it should have been released: siblings were, and none was left to its owner;
 * or nothing like it has ended yet, and they pile up in few owners. What is left to an owner that
 * is leaked itself is a part of it.
 */
#include "judge.h"

#include <stdlib.h>

#define PILE     8u  /* as many for each owner are no parts of it any more */
#define OWN_MOST 16u /* references of one buffer that an owner in peace may have */

static int compare_numbers(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* 0 without memory. */
static size_t count_owners(const struct bl_judge *judge, const struct bl_pattern *live)
{
    uint32_t *owners = calloc(live->object_count + 1, sizeof(*owners));
    size_t count = 0;
    if (!owners)
        return 0;
    for (size_t i = 0; i < live->object_count; i++)
        owners[i] = judge->histories->objects[live->first_object + i].owner;
    if (live->object_count > 1)
        qsort(owners, live->object_count, sizeof(*owners), compare_numbers);
    for (size_t i = 0; i < live->object_count; i++)
        count += i == 0 || owners[i] != owners[i - 1];
    free(owners);
    return count;
}

bool bl_owned_is_left(const struct bl_judge *judge, const struct bl_pattern *live,
                      bool has_siblings)
{
    const struct bl_class *class = bl_reader_class(judge->reader, live->class_number);
    const struct bl_item *birth = bl_pattern_birth(judge->histories, live);
    if (!class || !(class->flags & BL_CLASS_RELEASED) || !birth)
        return true;
    if (bl_compare_left_to_owners(judge->compare, live->class_number,
                                  bl_callers_site(judge->callers, birth->callers)))
        return true;
    return !has_siblings && live->object_count < PILE * count_owners(judge, live);
}

/* ---- parts of leaked owners ---- */

struct map {
    uint32_t *objects;   /* number of a tracked object to its place in the histories, + 1 */
    uint32_t *decisions; /* place in the histories to the decision about it, + 1 */
    uint32_t last;       /* number */
};

static bool fill_map(const struct bl_judge *judge, struct map *map)
{
    const struct bl_histories *all = judge->histories;
    size_t count;
    const struct bl_tracked *tracked = bl_reader_objects(judge->reader, &count);
    map->last = count > 0 ? tracked[count - 1].number : 0;
    map->objects = calloc((size_t)map->last + 1, sizeof(*map->objects));
    map->decisions = calloc(all->object_count + 1, sizeof(*map->decisions));
    if (!map->objects || !map->decisions)
        return false;
    for (size_t i = 0; i < all->object_count; i++)
        map->objects[tracked[all->objects[i].index].number] = (uint32_t)i + 1;
    for (size_t i = judge->decision_count; i-- > 0;)
        for (size_t k = 0; k < judge->decisions[i].object_count; k++)
            map->decisions[judge->decisions[i].first_object + k] = (uint32_t)i + 1;
    return true;
}

/* The decision about the owners of all its objects; BL_JUDGE_NONE: there is not one. */
static uint32_t find_owner(const struct bl_judge *judge, const struct map *map, uint32_t part)
{
    const struct bl_decision *decision = &judge->decisions[part];
    uint32_t found = 0;
    for (size_t i = 0; i < decision->object_count; i++) {
        uint32_t owner = judge->histories->objects[decision->first_object + i].owner;
        uint32_t place = owner <= map->last ? map->objects[owner] : 0;
        uint32_t its = place ? map->decisions[place - 1] : 0;
        if (its == 0 || its == part + 1 || (found != 0 && its != found))
            return BL_JUDGE_NONE;
        found = its;
    }
    return found ? found - 1 : BL_JUDGE_NONE;
}

/* Owners of owners: up to the outermost that is accused. The file may say anything, a circle too.
 */
static uint32_t find_leaked(const struct bl_judge *judge, const uint32_t *owners, uint32_t part)
{
    uint32_t leaked = BL_JUDGE_NONE;
    size_t steps = 0;
    for (uint32_t at = owners[part]; at != BL_JUDGE_NONE; at = owners[at]) {
        if (at == part || steps++ == judge->decision_count)
            return BL_JUDGE_NONE;
        if (bl_decision_is_accused(&judge->decisions[at]))
            leaked = at;
    }
    return leaked;
}

void bl_owned_find(struct bl_judge *judge)
{
    struct map map = {NULL, NULL, 0};
    uint32_t *owners = calloc(judge->decision_count + 1, sizeof(*owners));
    if (owners && fill_map(judge, &map)) {
        for (uint32_t i = 0; i < judge->decision_count; i++)
            owners[i] = judge->histories->live[judge->decisions[i].pattern].is_owned
                            ? find_owner(judge, &map, i)
                            : BL_JUDGE_NONE;
        for (uint32_t i = 0; i < judge->decision_count; i++)
            if (judge->decisions[i].owner == BL_JUDGE_NONE) {
                judge->decisions[i].owner = find_leaked(judge, owners, i);
                judge->decisions[i].is_owner_seen = judge->decisions[i].owner != BL_JUDGE_NONE;
            }
    }
    free(owners);
    free(map.objects);
    free(map.decisions);
}

static bool is_still_accused(const struct bl_judge *judge, size_t count,
                             const struct bl_decision *owner)
{
    for (size_t i = 0; i < count; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        if (decision->pattern == owner->pattern && decision->item == owner->item &&
            decision->first_object == owner->first_object)
            return bl_decision_is_accused(decision);
    }
    return false;
}

/* Would each of the owners have many references of one and the same buffer? Owners that are alive
 * have one or a few each; such an amount was taken again and again. */
static bool is_beyond_owners(const struct bl_judge *judge, const struct bl_decision *part,
                             const struct bl_decision *owner)
{
    return bl_decision_is_accused(part) &&
           bl_decision_kept(judge, part) > OWN_MOST * owner->object_count;
}

size_t bl_owned_restore(struct bl_judge *judge, struct bl_decision *parts,
                        struct bl_decision *owners, size_t count)
{
    size_t kept = 0;
    size_t known = judge->decision_count;
    for (size_t i = 0; i < count; i++) {
        bool is_own = parts[i].is_owner_seen || is_beyond_owners(judge, &parts[i], &owners[i]);
        if (!is_own || is_still_accused(judge, known, &owners[i])) {
            parts[kept] = parts[i];
            owners[kept++] = owners[i];
        } else {
            parts[i].owner = BL_JUDGE_NONE;
            parts[i].is_beyond_owner = !parts[i].is_owner_seen;
            judge->decisions[judge->decision_count++] = parts[i]; /* where it was taken from */
        }
    }
    return kept;
}
