/*
 * Cascades: a leaked buffer holds others, which are not released because it is not. They are no bug
 * of their own, and are folded under their owner.
 *
 * Where the ledger says which buffer holds which (Netty's composite and derived ones), that is it.
 * Elsewhere nobody tells, and two things show it. Siblings that ended well: the release
 * that is missing happens inside the release of the owner, so the one cannot be without the other.
 * And the birth: what is born inside the call that makes the owner, or by the same call of the
 * library and deeper in it, once for each owner and at the same moment, is a part of it. Either way
 * there must be enough owners for the parts.
 */
#include "judge.h"
#include "releases.h"

#include <stdlib.h>
#include <string.h>

#define DECISIONS_MAX 2048u /* pairs of them are looked at; further ones stay what they are */
#define SLACK         2     /* an owner may hold that many times what siblings held on average */

#define ENCLOSING_MAX 16u /* releases around one, of completed buffers */

struct search {
    struct bl_judge *judge;
    struct bl_releases *releases;
    /* of the part in question */
    uint32_t enclosing[ENCLOSING_MAX]; /* releases around the one that it lacks */
    size_t enclosing_count;
    uint32_t *callers; /* by stack: `mark` where it is a caller of its birth */
    uint32_t mark;
};

/* Takes a part to look for its owners. */
static void begin(struct search *search, const struct bl_decision *part)
{
    const struct bl_judge *judge = search->judge;
    const struct bl_item *born = bl_decision_birth(judge, part);
    uint32_t stack = born ? born->stack : 0;
    search->mark++;
    for (size_t i = 0; stack && i < BL_MODEL_FRAMES_MAX; i++) {
        const struct bl_frame *frame = bl_reader_frame(judge->reader, stack);
        stack = frame ? frame->parent : 0;
        search->callers[stack] = search->mark;
    }
    search->enclosing_count = 0;
    if (part->expected != BL_JUDGE_NONE)
        search->enclosing_count =
            bl_releases_enclosing(search->releases, judge->histories->items[part->expected].stack,
                                  search->enclosing, ENCLOSING_MAX);
}

/* ---- released by the owner's release ---- */

/* A release of the owner's siblings inside which the part's missing release would have happened;
 * 0: there is none. */
static uint32_t find_enclosing(const struct search *search, const struct bl_decision *owner)
{
    uint32_t class_number = bl_decision_class(search->judge, owner);
    uint32_t site = bl_decision_birth(search->judge, owner)->site;
    for (size_t i = 0; i < search->enclosing_count; i++)
        if (bl_releases_has(search->releases, search->enclosing[i], class_number, site))
            return search->enclosing[i];
    return 0;
}

static bool is_released_inside(const struct search *search, const struct bl_decision *part,
                               const struct bl_decision *owner)
{
    const struct bl_judge *judge = search->judge;
    uint32_t stack = find_enclosing(search, owner);
    if (stack == 0)
        return false;
    uint64_t parts =
        bl_releases_count(search->releases, bl_decision_class(judge, part), stack, true);
    uint64_t owners =
        bl_releases_count(search->releases, bl_decision_class(judge, owner), stack, false);
    uint64_t most = owners ? (parts + owners - 1) / owners * SLACK : 0;
    return part->object_count <= owner->object_count * most;
}

/* ---- born by the owner's birth ---- */

/* Was the part born inside the call that made the owner, or by the same call of the library as the
 * owner, and deeper in it? */
static bool is_born_inside(const struct search *search, const struct bl_item *part,
                           const struct bl_item *owner)
{
    const struct bl_judge *judge = search->judge;
    if (owner->stack && search->callers[owner->stack] == search->mark)
        return true;
    size_t depth;
    const struct bl_caller *inner = bl_callers_frames(judge->callers, part->callers, &depth);
    uint32_t site = inner->frame;
    const struct bl_caller *outer = bl_callers_frames(judge->callers, owner->callers, &depth);
    return site && site == outer->frame && outer->inside > 0 && inner->inside > outer->inside;
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

/* ---- held, as the ledger says ---- */

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

/* A decision about what holds the part's buffers, if each of them is held by an accused one. */
static uint32_t find_holder(const struct bl_judge *judge, uint32_t part,
                            const struct handle *handles, size_t count)
{
    uint32_t holder = BL_JUDGE_NONE;
    const struct bl_decision *decision = &judge->decisions[part];
    for (size_t i = 0; i < decision->object_count; i++) {
        const struct bl_object *object = object_of(judge, decision, i);
        holder = object->flags & BL_OBJECT_HOLDER
                     ? find_handle(handles, count, (uint32_t)object->field)
                     : BL_JUDGE_NONE;
        if (holder == BL_JUDGE_NONE || holder == part)
            return BL_JUDGE_NONE;
    }
    return holder;
}

static bool is_owned_by(const struct bl_judge *judge, uint32_t decision, uint32_t owner)
{
    while (decision != BL_JUDGE_NONE && decision != owner)
        decision = judge->decisions[decision].owner;
    return decision == owner;
}

static void find_holders(struct bl_judge *judge, size_t decisions)
{
    size_t count;
    struct handle *handles = collect_handles(judge, decisions, &count);
    for (uint32_t i = 0; handles && i < decisions; i++) {
        uint32_t holder = bl_decision_is_accused(&judge->decisions[i])
                              ? find_holder(judge, i, handles, count)
                              : BL_JUDGE_NONE;
        if (holder != BL_JUDGE_NONE && !is_owned_by(judge, holder, i))
            judge->decisions[i].owner = holder;
    }
    free(handles);
}

/* ---- all of them ---- */

static bool is_part_of(const struct search *search, const struct bl_decision *part,
                       const struct bl_decision *owner)
{
    const struct bl_judge *judge = search->judge;
    const struct bl_item *born = bl_decision_birth(judge, part);
    const struct bl_item *made = bl_decision_birth(judge, owner);
    if (!born || !made || part->pattern == owner->pattern)
        return false;
    if (is_released_inside(search, part, owner))
        return true;
    return judge->histories->items[part->item].kind == BL_ITEM_ALLOC && born->stack &&
           is_born_inside(search, born, made) && are_born_together(judge, part, owner);
}

/* An owner that is itself a part of something else answers for nothing. */
static void resolve(struct bl_judge *judge, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bl_decision *part = &judge->decisions[i];
        while (part->owner != BL_JUDGE_NONE && judge->decisions[part->owner].owner != BL_JUDGE_NONE)
            part->owner = judge->decisions[part->owner].owner;
    }
}

static void find_owner(struct search *search, uint32_t number, size_t count)
{
    struct bl_judge *judge = search->judge;
    struct bl_decision *part = &judge->decisions[number];
    begin(search, part);
    for (uint32_t j = 0; j < count && part->owner == BL_JUDGE_NONE; j++)
        if (bl_decision_is_accused(&judge->decisions[j]) && !is_owned_by(judge, j, number) &&
            is_part_of(search, part, &judge->decisions[j]))
            part->owner = j;
}

void bl_cascade_find(struct bl_judge *judge)
{
    size_t count = judge->decision_count < DECISIONS_MAX ? judge->decision_count : DECISIONS_MAX;
    struct search search = {
        .judge = judge,
        .releases = bl_releases_create(judge->histories, judge->reader),
        .callers = calloc(bl_reader_count(judge->reader, BL_SECTION_FRAMES) + 1ul,
                          sizeof(*search.callers)),
    };
    bool done = search.releases && search.callers;
    find_holders(judge, count);
    for (uint32_t i = 0; done && i < count; i++)
        if (bl_decision_is_accused(&judge->decisions[i]))
            find_owner(&search, i, count);
    bl_releases_destroy(search.releases);
    free(search.callers);
    resolve(judge, count);
}

size_t bl_cascade_take(struct bl_judge *judge, struct bl_decision *parts,
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
