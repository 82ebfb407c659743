#include "made.h"

#include <stdlib.h>

/* A birth, by who made it. */
struct born {
    uint32_t thread;
    uint32_t birth;
    uint64_t birth_ns;
    uint32_t site; /* frame */
};

/* Births, sorted. */
struct births {
    struct born *all;
    size_t count;
};

struct bl_made {
    const struct bl_judge *judge;
    uint32_t count;
    uint32_t *callers; /* by stack: `mark` where it is a caller of what the part is blamed on */
    uint32_t mark;
    bool *is_repeated;  /* by decision: another one before it is about the same objects */
    struct births live; /* of all that is left */
};

static int compare_born(const void *left, const void *right)
{
    const struct born *a = left;
    const struct born *b = right;
    if (a->thread != b->thread)
        return a->thread < b->thread ? -1 : 1;
    return a->birth < b->birth ? -1 : a->birth > b->birth;
}

static void sort(struct births *births)
{
    if (births->count > 1)
        qsort(births->all, births->count, sizeof(struct born), compare_born);
}

static struct born born_of(const struct bl_judge *judge, size_t index)
{
    const struct bl_history_object *object = &judge->histories->objects[index];
    const struct bl_item *birth =
        bl_pattern_birth(judge->histories, &judge->histories->live[object->pattern]);
    size_t end;
    return (struct born){.thread =
                             bl_reader_objects(judge->reader, &end)[object->index].object.thread,
                         .birth = object->birth,
                         .birth_ns = object->birth_ns,
                         .site = birth ? bl_judge_site(judge, birth) : 0};
}

static bool collect_live(struct bl_made *made)
{
    const struct bl_judge *judge = made->judge;
    size_t count = judge->histories->object_count;
    made->live.all = calloc(count + 1, sizeof(struct born));
    for (size_t i = 0; made->live.all && i < count; i++)
        made->live.all[made->live.count++] = born_of(judge, i);
    if (made->live.all)
        sort(&made->live);
    return made->live.all != NULL;
}

static bool is_repeated(const struct bl_judge *judge, uint32_t number)
{
    const struct bl_decision *decision = &judge->decisions[number];
    for (uint32_t i = 0; i < number; i++)
        if (judge->decisions[i].pattern == decision->pattern &&
            judge->decisions[i].first_object == decision->first_object &&
            bl_decision_may_be_part(&judge->decisions[i]))
            return true;
    return false;
}

struct bl_made *bl_made_create(const struct bl_judge *judge, uint32_t count)
{
    struct bl_made *made = calloc(1, sizeof(*made));
    if (!made)
        return NULL;
    made->judge = judge;
    made->count = count;
    made->callers =
        calloc(bl_reader_count(judge->reader, BL_SECTION_FRAMES) + 1ul, sizeof(*made->callers));
    made->is_repeated = calloc(count + 1ul, sizeof(*made->is_repeated));
    if (!made->callers || !made->is_repeated || !collect_live(made)) {
        bl_made_destroy(made);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++)
        made->is_repeated[i] = is_repeated(judge, i);
    return made;
}

void bl_made_destroy(struct bl_made *made)
{
    if (!made)
        return;
    free(made->callers);
    free(made->is_repeated);
    free(made->live.all);
    free(made);
}

/* Marks the callers of what a part is blamed on. */
static void mark_callers(struct bl_made *made, uint32_t stack)
{
    made->mark++;
    for (size_t i = 0; stack && i < BL_MODEL_FRAMES_MAX; i++) {
        const struct bl_frame *frame = bl_reader_frame(made->judge->reader, stack);
        stack = frame ? frame->parent : 0;
        made->callers[stack] = made->mark;
    }
}

static size_t depth_of(const struct bl_judge *judge, uint32_t stack)
{
    size_t depth = 0;
    while (stack && depth < BL_MODEL_FRAMES_MAX) {
        const struct bl_frame *frame = bl_reader_frame(judge->reader, stack);
        stack = frame ? frame->parent : 0;
        depth++;
    }
    return depth;
}

/* How deep in the stack the call is that took a reference and that an owner was made in, if that
 * is one of the library; else 0. */
static size_t find_common_call(const struct bl_made *made, const struct bl_item *taken,
                               const struct bl_item *first)
{
    const struct bl_judge *judge = made->judge;
    uint32_t site = bl_judge_site(judge, taken);
    uint32_t stack = first->stack;
    if (site == 0 || site != bl_judge_site(judge, first) ||
        bl_callers_entry(judge->callers, first->callers) == 0)
        return 0;
    for (size_t i = 0; stack && made->callers[stack] != made->mark && i < BL_MODEL_FRAMES_MAX; i++)
        stack = bl_reader_frame(judge->reader, stack)->parent;
    size_t depth = depth_of(judge, stack);
    return depth > depth_of(judge, site) ? depth : 0;
}

/* How a part was taken where its owner was made. */
enum nesting {
    NESTING_INSIDE, /* before the call that makes the owner had returned */
    NESTING_DEEPER, /* in the same call of the library, and deeper in it */
    NESTING_NONE,
};

/* What the user called may do one thing after the other, which hold nothing of each other: where
 * the owner was made deeper in it, a call inside has to be common to them. */
static enum nesting nesting_of(const struct bl_made *made, const struct bl_item *part,
                               const struct bl_item *owner)
{
    const struct bl_callers *callers = made->judge->callers;
    size_t depth;
    if (made->callers[owner->stack] == made->mark)
        return NESTING_INSIDE;
    const struct bl_caller *inner = bl_callers_frames(callers, part->callers, &depth);
    uint32_t site = inner->frame;
    uint32_t inside = inner->inside;
    const struct bl_caller *outer = bl_callers_frames(callers, owner->callers, &depth);
    if (site == 0 || site != outer->frame || outer->inside == 0 || inside == 0)
        return NESTING_NONE;
    bool is_deeper =
        inside > outer->inside && (outer->inside == 1 || find_common_call(made, part, owner) > 0);
    return is_deeper ? NESTING_DEEPER : NESTING_NONE;
}

/* Is a decision about buffers that were born on the same stack as another one's? Those are of one
 * kind, and hold no other of it. */
static bool is_alike(const struct bl_made *made, uint32_t number, uint32_t other)
{
    const struct bl_judge *judge = made->judge;
    const struct bl_decision *a = &judge->decisions[number];
    const struct bl_decision *b = &judge->decisions[other];
    const struct bl_item *birth = bl_decision_birth(judge, a);
    const struct bl_item *its = bl_decision_birth(judge, b);
    return birth && its && birth->stack == its->stack &&
           bl_decision_class(judge, a) == bl_decision_class(judge, b);
}

/* The same, to be counted. */
static bool is_other(const struct bl_made *made, uint32_t number, uint32_t other)
{
    return is_alike(made, number, other) && !made->is_repeated[other] &&
           bl_decision_may_be_part(&made->judge->decisions[other]);
}

static void add_births(const struct bl_judge *judge, const struct bl_decision *decision,
                       struct births *births)
{
    for (size_t i = 0; i < decision->object_count; i++)
        births->all[births->count++] = born_of(judge, decision->first_object + i);
}

/* Those of a decision, or all that were born as they were and are left. False without memory. */
static bool collect(const struct bl_made *made, uint32_t number, bool with_others,
                    struct births *ret_births)
{
    const struct bl_judge *judge = made->judge;
    size_t room = judge->decisions[number].object_count + 1;
    for (uint32_t i = 0; with_others && i < made->count; i++)
        room += is_other(made, number, i) ? judge->decisions[i].object_count : 0;
    *ret_births = (struct births){.all = calloc(room, sizeof(struct born))};
    if (!ret_births->all)
        return false;
    if (!with_others)
        add_births(judge, &judge->decisions[number], ret_births);
    for (uint32_t i = 0; with_others && i < made->count; i++)
        if (is_other(made, number, i))
            add_births(judge, &judge->decisions[i], ret_births);
    sort(ret_births);
    return true;
}

/* How many births of the process there are from one birth of the kind to the next, on average. */
static double births_apart(const struct bl_judge *judge, const struct bl_decision *decision,
                           const struct births *owners)
{
    const struct bl_histories *all = judge->histories;
    const struct bl_item *birth = bl_decision_birth(judge, decision);
    uint32_t oldest = UINT32_MAX;
    uint32_t youngest = 0;
    uint64_t count = owners->count;
    uint64_t span = 0;
    for (size_t i = 0; i < owners->count; i++) {
        oldest = owners->all[i].birth < oldest ? owners->all[i].birth : oldest;
        youngest = owners->all[i].birth > youngest ? owners->all[i].birth : youngest;
    }
    span = youngest > oldest ? youngest - oldest : 0;
    for (size_t i = 0; i < all->completed_count; i++) {
        const struct bl_pattern *pattern = &all->completed[i];
        const struct bl_item *its = bl_pattern_birth(all, pattern);
        if (pattern->class_number != bl_decision_class(judge, decision) || !its ||
            its->stack != birth->stack)
            continue;
        count += pattern->count;
        span = pattern->lifecycle->span > span ? pattern->lifecycle->span : span;
    }
    return (double)(span + 1) / (double)count;
}

static size_t count_threads(const struct births *births)
{
    size_t count = 0;
    for (size_t i = 0; i < births->count; i++)
        count += i == 0 || births->all[i].thread != births->all[i - 1].thread;
    return count;
}

/* Has a thread made nothing elsewhere from the one to the other, as far as what is left tells? Then
 * both may be of one call. */
static bool is_one_call(const struct bl_made *made, const struct born *first,
                        const struct born *last)
{
    const struct born *at =
        bsearch(first, made->live.all, made->live.count, sizeof(struct born), compare_born);
    const struct born *end = made->live.all + made->live.count;
    while (at && at < end && compare_born(at, last) < 0 && at->site == first->site)
        at++;
    return at && at < end && compare_born(at, last) >= 0;
}

/* Has every owner as many of the parts, those that its thread made since the one before, or until
 * the next? */
static bool are_dealt_out(const struct bl_made *made, const struct births *parts,
                          const struct births *owners, bool is_before, double apart)
{
    size_t each = parts->count / owners->count;
    for (size_t i = 0; i < owners->count; i++) {
        const struct born *owner = &owners->all[i];
        for (size_t k = 0; k < each; k++) {
            const struct born *part = &parts->all[i * each + k];
            uint32_t distance = is_before ? owner->birth - part->birth : part->birth - owner->birth;
            if (part->thread != owner->thread || (double)distance > apart)
                return false;
            if (!is_one_call(made, is_before ? part : owner, is_before ? owner : part))
                return false;
        }
    }
    return true;
}

/* One and its parts: without another one there is nothing to measure by but the clock. */
static bool are_of_moment(const struct births *parts, const struct born *owner)
{
    for (size_t i = 0; i < parts->count; i++) {
        uint64_t a = parts->all[i].birth_ns;
        uint64_t b = owner->birth_ns;
        if ((a > b ? a - b : b - a) > BL_JUDGE_TICK_NS)
            return false;
    }
    return true;
}

/* Has each owner its parts, which were born with it? It is born as the call that makes it returns,
 * or as it begins. */
static bool are_born_together(const struct bl_made *made, uint32_t part, uint32_t owner,
                              bool with_others, bool is_inside)
{
    struct births parts = {NULL, 0};
    struct births owners = {NULL, 0};
    bool together = collect(made, part, with_others, &parts) &&
                    collect(made, owner, with_others, &owners) && owners.count > 0 &&
                    parts.count % owners.count == 0;
    if (together && owners.count == 1 && !is_inside) {
        together = are_of_moment(&parts, &owners.all[0]);
    } else if (together) {
        double apart = births_apart(made->judge, &made->judge->decisions[owner], &owners) *
                       (double)count_threads(&owners);
        together = are_dealt_out(made, &parts, &owners, true, apart) ||
                   are_dealt_out(made, &parts, &owners, false, apart);
    }
    free(parts.all);
    free(owners.all);
    return together;
}

/* One that only its unseen birth excuses excuses nobody. */
static bool may_own(const struct bl_made *made, uint32_t number, uint32_t owner)
{
    const struct bl_judge *judge = made->judge;
    return bl_decision_may_own(judge, number, owner) && !is_alike(made, number, owner) &&
           (judge->decisions[owner].ground != BL_GROUND_UNSEEN ||
            bl_decision_is_leaked(judge, owner));
}

static uint32_t find(struct bl_made *made, uint32_t number, enum nesting wanted)
{
    const struct bl_judge *judge = made->judge;
    const struct bl_item *taken = &judge->histories->items[judge->decisions[number].item];
    for (uint32_t j = 0; taken->stack && j < made->count; j++) {
        const struct bl_decision *owner = &judge->decisions[j];
        const struct bl_item *birth = bl_decision_birth(judge, owner);
        bool is_inside = wanted == NESTING_INSIDE;
        if (may_own(made, number, j) && birth->stack != 0 &&
            nesting_of(made, taken, birth) == wanted &&
            (are_born_together(made, number, j, false, is_inside) ||
             are_born_together(made, number, j, true, is_inside)))
            return j;
    }
    return BL_JUDGE_NONE;
}

/* ---- retained by the call that makes the owner ---- */

/* The first thing that was seen of an owner: its birth or, where that was not seen, what the
 * library did then. */
static const struct bl_item *first_seen(const struct bl_judge *judge, uint32_t number)
{
    const struct bl_histories *all = judge->histories;
    const struct bl_pattern *live = &all->live[judge->decisions[number].pattern];
    const struct bl_item *items = bl_pattern_items(all, live);
    const struct bl_item *first = NULL;
    for (uint32_t i = 0; i < live->item_count; i++)
        if (items[i].stack != 0 && (!first || items[i].order < first->order))
            first = &items[i];
    return first;
}

/* Was an owner of its own made for each of the parts, by the same thread, before the next one was
 * made on average? */
static bool are_followed(const struct births *parts, const struct births *owners, double apart)
{
    size_t at = 0;
    for (size_t i = 0; i < parts->count; i++, at++) {
        while (at < owners->count && compare_born(&owners->all[at], &parts->all[i]) < 0)
            at++;
        if (at == owners->count || owners->all[at].thread != parts->all[i].thread ||
            (double)(owners->all[at].birth - parts->all[i].birth) > apart)
            return false;
    }
    return parts->count > 0;
}

/* Has each owner as many of the references to one object, or each part an owner of its own? */
static bool has_each_its_own(const struct bl_made *made, uint32_t number, uint32_t owner)
{
    const struct bl_judge *judge = made->judge;
    const struct bl_decision *part = &judge->decisions[number];
    size_t count = judge->decisions[owner].object_count;
    if (part->object_count == 1 && part->units > 1)
        return count > 1 && part->units % count == 0;
    struct births parts = {NULL, 0};
    struct births owners = {NULL, 0};
    bool has = collect(made, number, false, &parts) && collect(made, owner, true, &owners) &&
               owners.count > 1 &&
               are_followed(&parts, &owners,
                            births_apart(judge, &judge->decisions[owner], &owners) *
                                (double)count_threads(&owners));
    free(parts.all);
    free(owners.all);
    return has;
}

/* A library that retains something in the call that it makes an owner in keeps that in the owner.
 * Of several owners the one that is made deepest in it. */
static uint32_t find_keeper(struct bl_made *made, uint32_t number)
{
    const struct bl_judge *judge = made->judge;
    const struct bl_item *taken = &judge->histories->items[judge->decisions[number].item];
    uint32_t found = BL_JUDGE_NONE;
    size_t deepest = 0;
    if (taken->kind != BL_ITEM_RETAIN || bl_callers_entry(judge->callers, taken->callers) == 0)
        return BL_JUDGE_NONE;
    for (uint32_t j = 0; j < made->count; j++) {
        if (!may_own(made, number, j))
            continue;
        const struct bl_item *first = first_seen(judge, j);
        size_t depth = first ? find_common_call(made, taken, first) : 0;
        if (depth > deepest && has_each_its_own(made, number, j)) {
            deepest = depth;
            found = j;
        }
    }
    return found;
}

struct bl_maker bl_made_find(struct bl_made *made, uint32_t number)
{
    const struct bl_judge *judge = made->judge;
    mark_callers(made, judge->histories->items[judge->decisions[number].item].stack);
    struct bl_maker maker = {.owner = find(made, number, NESTING_INSIDE), .is_inside = true};
    if (maker.owner != BL_JUDGE_NONE)
        return maker;
    maker = (struct bl_maker){.owner = find(made, number, NESTING_DEEPER)};
    if (maker.owner == BL_JUDGE_NONE)
        maker.owner = find_keeper(made, number);
    return maker;
}
