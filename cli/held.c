#include "held.h"

#include <stdlib.h>

#define HELD_OF       16u /* of so many held buffers one may be held by what is not accused */
#define ENCLOSING_MAX 16u /* releases around one, of completed buffers */

/* A buffer by the lower half of its handle, and the decision about it. */
struct handle {
    uint32_t half;
    uint32_t decision;
};

static int compare_handles(const void *left, const void *right)
{
    const struct handle *a = left;
    const struct handle *b = right;
    if (a->half != b->half)
        return a->half < b->half ? -1 : 1;
    return a->decision < b->decision ? -1 : a->decision > b->decision;
}

static const struct bl_object *object_of(const struct bl_judge *judge,
                                         const struct bl_decision *decision, size_t i)
{
    size_t count;
    const struct bl_tracked *all = bl_reader_objects(judge->reader, &count);
    return &all[judge->histories->objects[decision->first_object + i].index].object;
}

/* Of accused decisions only: what a buffer in use holds is in use. Sorted. */
static struct handle *collect_handles(const struct bl_judge *judge, size_t decisions,
                                      size_t *ret_count)
{
    size_t room = 1;
    for (size_t i = 0; i < decisions; i++)
        room += judge->decisions[i].object_count;
    struct handle *handles = malloc(room * sizeof(*handles));
    size_t count = 0;
    for (uint32_t i = 0; handles && i < decisions; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        size_t objects = bl_decision_is_accused(decision) ? decision->object_count : 0;
        for (size_t k = 0; k < objects; k++)
            handles[count++] = (struct handle){(uint32_t)object_of(judge, decision, k)->address, i};
    }
    if (count > 1)
        qsort(handles, count, sizeof(*handles), compare_handles);
    *ret_count = count;
    return handles;
}

/* BL_JUDGE_NONE: nothing accused has that handle. */
static uint32_t find_handle(const struct handle *handles, size_t count, uint32_t half)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (handles[middle].half < half)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && handles[low].half == half ? handles[low].decision : BL_JUDGE_NONE;
}

/* A decision about what holds the part's buffers, if nearly each of them is held by an accused one;
 * the holders of a few may be in use yet, or have just been released. */
static uint32_t find_holder(const struct bl_judge *judge, uint32_t part,
                            const struct handle *handles, size_t count)
{
    uint32_t found = BL_JUDGE_NONE;
    const struct bl_decision *decision = &judge->decisions[part];
    size_t others = 0;
    for (size_t i = 0; i < decision->object_count; i++) {
        const struct bl_object *object = object_of(judge, decision, i);
        uint32_t holder = object->flags & BL_OBJECT_HOLDER
                              ? find_handle(handles, count, (uint32_t)object->field)
                              : BL_JUDGE_NONE;
        if (holder == part)
            return BL_JUDGE_NONE;
        if (holder == BL_JUDGE_NONE)
            others++;
        else
            found = holder;
    }
    return others * HELD_OF <= decision->object_count ? found : BL_JUDGE_NONE;
}

/* Is it the only reference that its objects lack? Then it is the holder's. */
static bool is_last_reference(const struct bl_judge *judge, uint32_t part)
{
    const struct bl_decision *decision = &judge->decisions[part];
    for (size_t i = 0; i < judge->decision_count; i++)
        if (i != part && judge->decisions[i].pattern == decision->pattern &&
            judge->decisions[i].first_object == decision->first_object &&
            bl_decision_is_accused(&judge->decisions[i]))
            return false;
    return decision->units == 1;
}

/* Was a release made inside one of the owner's siblings? */
static bool is_made_by_owners(const struct bl_judge *judge, const struct bl_releases *releases,
                              uint32_t release, const struct bl_decision *owner)
{
    const struct bl_item *birth = bl_decision_birth(judge, owner);
    uint32_t stacks[ENCLOSING_MAX];
    if (release == BL_JUDGE_NONE || !birth)
        return false;
    size_t count = bl_releases_enclosing(releases, judge->histories->items[release].stack, stacks,
                                         ENCLOSING_MAX);
    for (size_t i = 0; i < count; i++)
        if (bl_releases_has(releases, stacks[i], bl_decision_class(judge, owner), birth->site))
            return true;
    return false;
}

/* A holder has one reference of what it holds. Did the user of the library take the one that is
 * missing himself, and is it not what siblings of the holder gave back? Then it was forgotten by
 * itself, whatever else was. */
static bool is_users_own(const struct bl_judge *judge, const struct bl_releases *releases,
                         uint32_t part, uint32_t holder)
{
    const struct bl_decision *decision = &judge->decisions[part];
    const struct bl_item *item = &judge->histories->items[decision->item];
    return releases && item->kind == BL_ITEM_RETAIN &&
           bl_callers_entry(judge->callers, item->callers) == 0 &&
           !is_last_reference(judge, part) &&
           !is_made_by_owners(judge, releases, decision->expected, &judge->decisions[holder]);
}

void bl_held_find(struct bl_judge *judge, const struct bl_releases *releases, size_t decisions)
{
    size_t count;
    struct handle *handles = collect_handles(judge, decisions, &count);
    for (uint32_t i = 0; handles && i < decisions; i++) {
        uint32_t holder = bl_decision_is_accused(&judge->decisions[i])
                              ? find_holder(judge, i, handles, count)
                              : BL_JUDGE_NONE;
        if (holder != BL_JUDGE_NONE && !bl_decision_is_owned_by(judge, holder, i) &&
            !is_users_own(judge, releases, i, holder))
            judge->decisions[i].owner = holder;
    }
    free(handles);
}
