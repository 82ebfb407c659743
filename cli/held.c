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

struct search {
    struct bl_judge *judge;
    const struct bl_releases *releases; /* NULL: not known */
    struct handle *handles;
    size_t handle_count;
    size_t decisions;
    bool *is_visited; /* by decision */
};

/* NULL: nothing accused has that handle. */
static struct handle *find_handle(const struct search *search, uint32_t half)
{
    struct handle *handles = search->handles;
    size_t low = 0;
    size_t high = search->handle_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (handles[middle].half < half)
            low = middle + 1;
        else
            high = middle;
    }
    return low < search->handle_count && handles[low].half == half ? &handles[low] : NULL;
}

/* The accused decision about what holds one of a decision's buffers; BL_JUDGE_NONE: nothing does,
 * or it is not accused. */
static uint32_t holder_of(const struct search *search, uint32_t part, size_t i)
{
    const struct bl_object *object = object_of(search->judge, &search->judge->decisions[part], i);
    const struct handle *handle =
        object->flags & BL_OBJECT_HOLDER ? find_handle(search, (uint32_t)object->field) : NULL;
    return handle ? handle->decision : BL_JUDGE_NONE;
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
    struct bl_kind kind = bl_releases_kind(releases, bl_decision_class(judge, owner), birth);
    for (size_t i = 0; i < count; i++)
        if (bl_releases_has(releases, stacks[i], kind))
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

/* ---- each buffer with its holder ---- */

/* A part's buffers, and the decision that each goes with: its holder's, or BL_JUDGE_NONE. */
struct member {
    struct bl_history_object object;
    uint32_t holder;
    uint32_t place; /* before they were sorted */
};

struct members {
    struct member *all;
    size_t count;
    size_t others;  /* held by nothing that is accused */
    uint32_t most;  /* holder of the most of them; BL_JUDGE_NONE: nobody holds any */
    size_t holders; /* different ones */
};

static int compare_members(const void *left, const void *right)
{
    const struct member *a = left;
    const struct member *b = right;
    if (a->holder != b->holder) /* those that nobody holds come last */
        return a->holder < b->holder ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static size_t end_of_holder(const struct members *members, size_t at)
{
    uint32_t holder = members->all[at].holder;
    while (at < members->count && members->all[at].holder == holder)
        at++;
    return at;
}

static bool may_hold(const struct search *search, uint32_t part, uint32_t holder)
{
    return !bl_decision_is_owned_by(search->judge, holder, part) &&
           !is_users_own(search->judge, search->releases, part, holder);
}

/* Sorted by holder. False: without memory, or one of them is held by another one of them. */
static bool read_members(const struct search *search, uint32_t part, struct members *ret_members)
{
    const struct bl_decision *decision = &search->judge->decisions[part];
    struct members m = {.count = decision->object_count, .most = BL_JUDGE_NONE};
    m.all = calloc(m.count + 1, sizeof(*m.all));
    for (size_t i = 0; m.all && i < m.count; i++) {
        m.all[i] =
            (struct member){.object = search->judge->histories->objects[decision->first_object + i],
                            .holder = holder_of(search, part, i),
                            .place = (uint32_t)i};
        m.others += m.all[i].holder == BL_JUDGE_NONE;
        if (m.all[i].holder == part) {
            free(m.all);
            return false;
        }
    }
    if (m.all && m.count > 1)
        qsort(m.all, m.count, sizeof(*m.all), compare_members);
    *ret_members = m;
    return m.all != NULL;
}

/* Leaves out the holders that do not own them, and tells who holds the most. */
static void weigh_holders(const struct search *search, uint32_t part, struct members *members)
{
    size_t most = 0;
    for (size_t at = 0; at < members->count;) {
        size_t end = end_of_holder(members, at);
        uint32_t holder = members->all[at].holder;
        bool holds = holder != BL_JUDGE_NONE && may_hold(search, part, holder);
        members->holders += holds;
        if (holds && end - at > most) {
            most = end - at;
            members->most = holder;
        }
        for (; at < end; at++)
            members->all[at].place |= holds ? 0 : UINT32_C(1) << 31;
    }
}

/* Where nearly all are held, the holders of the others may be in use yet, or have just been
 * released: they go with the most. */
static void join_others(struct members *members)
{
    bool are_few = members->others * HELD_OF <= members->count;
    for (size_t i = 0; i < members->count; i++) {
        struct member *member = &members->all[i];
        bool is_other = member->holder == BL_JUDGE_NONE;
        bool is_own = member->place >> 31 && !is_other; /* of the user's */
        member->place &= UINT32_MAX >> 1;
        if (is_own)
            member->holder = BL_JUDGE_NONE;
        else if (is_other && are_few)
            member->holder = members->most;
    }
    qsort(members->all, members->count, sizeof(*members->all), compare_members);
}

static void set_decision_of(const struct search *search, const struct bl_decision *decision,
                            uint32_t number)
{
    for (size_t i = 0; i < decision->object_count; i++) {
        uint32_t half = (uint32_t)object_of(search->judge, decision, i)->address;
        struct handle *handle = find_handle(search, half);
        if (handle)
            handle->decision = number;
    }
}

/* The last ones, which are those that nobody holds, if there are any, stay the part's. */
static void divide(const struct search *search, uint32_t part, const struct members *members)
{
    struct bl_judge *judge = search->judge;
    const struct bl_decision whole = judge->decisions[part];
    for (size_t i = 0; i < members->count; i++)
        judge->histories->objects[whole.first_object + i] = members->all[i].object;
    for (size_t at = 0; at < members->count;) {
        size_t end = end_of_holder(members, at);
        struct bl_decision piece = whole;
        piece.first_object = whole.first_object + at;
        piece.object_count = end - at;
        if (members->all[at].holder != BL_JUDGE_NONE)
            piece.owner = members->all[at].holder;
        if (end == members->count) {
            judge->decisions[part] = piece;
        } else {
            if (!bl_judge_add(judge, piece))
                return;
            judge->splits_left--;
            set_decision_of(search, &piece, (uint32_t)judge->decision_count - 1);
        }
        at = end;
    }
}

/* Of buffers with one history some are held by one leaked buffer and some by another, or by none:
 * each goes with its own. Where others say more about the same buffers, or there are too many, they
 * stay together, with who holds the most of them. */
static void find_holders(const struct search *search, uint32_t part)
{
    struct bl_judge *judge = search->judge;
    struct members members;
    if (!read_members(search, part, &members))
        return;
    weigh_holders(search, part, &members);
    if (members.most != BL_JUDGE_NONE) {
        bool are_few = members.others * HELD_OF <= members.count;
        join_others(&members);
        bool is_one = end_of_holder(&members, 0) == members.count;
        if (!is_one && members.holders <= judge->splits_left &&
            bl_splitting_is_only_one(judge, part))
            divide(search, part, &members);
        else if (is_one || are_few)
            judge->decisions[part].owner = members.most;
    }
    free(members.all);
}

/* Holders come first: what they are divided into holds what they held. */
static void visit(const struct search *search, uint32_t part)
{
    if (part >= search->decisions || search->is_visited[part] ||
        !bl_decision_is_accused(&search->judge->decisions[part]))
        return;
    search->is_visited[part] = true;
    size_t count = search->judge->decisions[part].object_count;
    for (size_t i = 0; i < count; i++)
        visit(search, holder_of(search, part, i));
    find_holders(search, part);
}

/* ---- what the ledger would have said ---- */

/* Of every buffer that is held by one that is named by any the ledger would say so: where one is
 * told what it holds, it is told all of that class. */
static void note_names(struct search *search)
{
    for (size_t i = 0; i < search->decisions; i++) {
        struct bl_decision *decision = &search->judge->decisions[i];
        for (size_t k = 0; k < decision->object_count; k++) {
            const struct bl_object *object = object_of(search->judge, decision, k);
            if (!(object->flags & BL_OBJECT_HOLDER))
                continue;
            decision->names_holder = true;
            const struct handle *handle = find_handle(search, (uint32_t)object->field);
            if (handle)
                search->judge->decisions[handle->decision].is_named_holder = true;
        }
    }
}

void bl_held_find(struct bl_judge *judge, const struct bl_releases *releases, size_t decisions)
{
    struct search search = {.judge = judge,
                            .releases = releases,
                            .decisions = decisions,
                            .is_visited = calloc(decisions + 1, sizeof(*search.is_visited))};
    search.handles = collect_handles(judge, decisions, &search.handle_count);
    if (search.handles)
        note_names(&search);
    for (uint32_t i = 0; search.handles && search.is_visited && i < decisions; i++)
        visit(&search, i);
    free(search.handles);
    free(search.is_visited);
}
