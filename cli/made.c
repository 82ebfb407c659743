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

/* Was the reference taken inside the call that made the owner, or by the same call of the library,
 * and deeper in it? */
static bool is_taken_inside(const struct bl_made *made, const struct bl_item *part,
                            const struct bl_item *owner, bool *ret_is_inside)
{
    const struct bl_callers *callers = made->judge->callers;
    size_t depth;
    *ret_is_inside = made->callers[owner->stack] == made->mark;
    if (*ret_is_inside)
        return true;
    const struct bl_caller *inner = bl_callers_frames(callers, part->callers, &depth);
    uint32_t site = inner->frame;
    const struct bl_caller *outer = bl_callers_frames(callers, owner->callers, &depth);
    return site && site == outer->frame && outer->inside > 0 && inner->inside > outer->inside;
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
            if (part->thread != owner->thread || (double)distance > apart ||
                !is_one_call(made, is_before ? part : owner, is_before ? owner : part))
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

static uint32_t find(struct bl_made *made, uint32_t number, bool is_wanted_inside)
{
    const struct bl_judge *judge = made->judge;
    const struct bl_item *taken = &judge->histories->items[judge->decisions[number].item];
    for (uint32_t j = 0; taken->stack && j < made->count; j++) {
        const struct bl_item *birth = bl_decision_birth(judge, &judge->decisions[j]);
        bool is_inside;
        if (bl_decision_may_own(judge, number, j) && birth->stack != 0 &&
            !is_alike(made, number, j) && is_taken_inside(made, taken, birth, &is_inside) &&
            is_inside == is_wanted_inside &&
            (are_born_together(made, number, j, false, is_inside) ||
             are_born_together(made, number, j, true, is_inside)))
            return j;
    }
    return BL_JUDGE_NONE;
}

uint32_t bl_made_find(struct bl_made *made, uint32_t number, bool *ret_is_inside)
{
    const struct bl_judge *judge = made->judge;
    mark_callers(made, judge->histories->items[judge->decisions[number].item].stack);
    uint32_t found = find(made, number, true);
    *ret_is_inside = found != BL_JUDGE_NONE;
    return *ret_is_inside ? found : find(made, number, false);
}
