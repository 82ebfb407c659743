#include "pairing.h"

#include "compare.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ull

#define SIBLINGS_MAX   512           /* the most common ones of a birth site are compared with */
#define WORK_MAX       (1ull << 29)  /* items compared, then the rest is not judged */
#define GUESS_MAX      24u           /* an explanation that costs more explains nothing */
#define TICK_NS        10000000ull   /* births are stamped by a clock of a few milliseconds */
#define STALE_NS       (10 * SECOND) /* nothing younger is called stale */
#define NOISE_NS       (20 * 1000000ull) /* lifetimes below this say nothing about those at exit */
#define STEADY_CHANCE  0.02              /* that leaks spread over the run all came this early */
#define STEADY_LEAST   3u                /* buffers, to speak of chance */
#define STEADY_SHARE   0.25 /* of the time that siblings came and went; flat after it */
#define START_UP_SHARE 0.05 /* of the run */
#define FEW            3u   /* buffers: little evidence */

/* One reason to accuse the objects of one pattern, or to leave them in peace. */
struct decision {
    uint32_t pattern;
    size_t first_object;
    size_t object_count;
    enum bl_verdict verdict;
    enum bl_ground ground;
    uint32_t item; /* blamed, or the birth: index in histories->items */
    uint64_t units;
    uint32_t expected; /* the release that siblings have: index in histories->items */
    uint64_t siblings;
    uint64_t sibling_p99_ns;
    uint64_t
        same_path_last_ns; /* when a sibling born on the same path ended last; 0: there is none */
    bool is_exact;
    uint32_t chain; /* of the group */
    uint32_t owner; /* decision whose objects hold these, or NONE */
};

#define NONE UINT32_MAX

struct bl_pairing {
    struct bl_callers *callers;
    struct bl_histories *histories;
    struct bl_compare *compare;
    struct bl_finding *findings;
    size_t finding_count;
};

struct judge {
    struct bl_pairing *pairing;
    struct bl_histories *histories;
    struct bl_callers *callers;
    struct bl_compare *compare;
    const struct bl_reader *reader;
    struct bl_model *model;
    const struct bl_model_options *options;
    struct bl_error *error;
    bool is_final;     /* nothing will be released any more */
    uint64_t guard_ns; /* younger ones without siblings are not judged */
    uint64_t activity_end_ns;
    uint32_t main_thread;

    struct decision *decisions;
    size_t decision_count;
    size_t decision_room;

    /* by chain: buffers of judged patterns that acquired a reference there */
    uint64_t *passed;
    uint64_t *accused; /* of those, the accused */
    uint64_t *blamed;  /* of those, the ones blamed on this chain */
    uint32_t *marks;
    uint32_t mark;
    uint64_t completed_total[BL_CLASSES_MAX];
    uint64_t accused_total[BL_CLASSES_MAX];
    uint32_t *object_groups; /* per history object: accused groups it is in */
    struct bl_group *groups;
    size_t group_count;
};

static int out_of_memory(struct judge *judge)
{
    bl_error_set(judge->error, "not enough memory for the verdict");
    return -1;
}

static struct decision *add_decision(struct judge *judge, struct decision decision)
{
    if (judge->decision_count == judge->decision_room) {
        size_t room = judge->decision_room ? judge->decision_room * 2 : 256;
        struct decision *grown = realloc(judge->decisions, room * sizeof(*grown));
        if (!grown) {
            out_of_memory(judge);
            return NULL;
        }
        judge->decisions = grown;
        judge->decision_room = room;
    }
    judge->decisions[judge->decision_count] = decision;
    return &judge->decisions[judge->decision_count++];
}

/* A decision about some of a pattern's objects, without anybody to blame. */
static int leave_in_peace(struct judge *judge, uint32_t pattern, size_t first, size_t count,
                          enum bl_ground ground)
{
    const struct bl_pattern *live = &judge->histories->live[pattern];
    const struct bl_item *birth = bl_pattern_birth(judge->histories, live);
    if (count == 0)
        return 0;
    struct decision decision = {.pattern = pattern,
                                .first_object = first,
                                .object_count = count,
                                .verdict = BL_VERDICT_UNRELEASED,
                                .ground = ground,
                                .item = birth ? (uint32_t)(birth - judge->histories->items) : NONE,
                                .units = live->refs,
                                .expected = NONE,
                                .owner = NONE};
    return add_decision(judge, decision) ? 0 : -1;
}

/* What the siblings of a pattern say. */
struct study {
    const struct bl_pattern *best; /* NULL: there is none to compare with */
    struct bl_difference difference;
    /* siblings that began as this one did, on the most similar path */
    uint64_t part_count;
    uint32_t part_cost;
    bool is_beginning;
    uint64_t longest_ns;
    uint64_t p99_ns;
    uint64_t same_path_last_ns;
    uint64_t sibling_count;
    bool is_cut; /* too much work */
};

static bool is_better(const struct bl_difference *d, const struct bl_difference *best)
{
    if (d->cost != best->cost)
        return d->cost < best->cost;
    if (d->is_part != best->is_part)
        return d->is_part; /* a release too few says more than a reference too many */
    return false;          /* siblings come most common first */
}

static void note_part(struct study *study, const struct bl_pattern *sibling,
                      const struct bl_difference *d)
{
    if (study->part_count > 0 && d->match_cost > study->part_cost)
        return;
    if (study->part_count == 0 || d->match_cost < study->part_cost) {
        study->part_count = 0;
        study->part_cost = d->match_cost;
        study->is_beginning = false;
        study->longest_ns = 0;
        study->p99_ns = 0;
    }
    study->part_count += sibling->count;
    study->is_beginning |= d->is_beginning;
    if (sibling->longest_ns > study->longest_ns)
        study->longest_ns = sibling->longest_ns;
    if (sibling->p99_ns > study->p99_ns)
        study->p99_ns = sibling->p99_ns;
}

static void study_siblings(struct judge *judge, const struct bl_pattern *live, struct study *study)
{
    const struct bl_histories *all = judge->histories;
    const struct bl_item *birth = bl_pattern_birth(all, live);
    struct bl_difference d;
    size_t count;
    memset(study, 0, sizeof(*study));
    if (!birth)
        return;
    const uint32_t *siblings =
        bl_compare_siblings(judge->compare, live->class_number,
                            bl_callers_site(judge->callers, birth->callers), &count);
    uint32_t path = bl_callers_whole(judge->callers, birth->callers);
    for (size_t i = 0; i < count && i < SIBLINGS_MAX; i++) {
        const struct bl_pattern *sibling = &all->completed[siblings[i]];
        const struct bl_item *other = bl_pattern_birth(all, sibling);
        study->sibling_count += sibling->count;
        if (bl_callers_whole(judge->callers, other->callers) == path &&
            sibling->latest_ns > study->same_path_last_ns)
            study->same_path_last_ns = sibling->latest_ns;
        if (sibling->doubt)
            continue;
        study->is_cut = bl_compare_work(judge->compare) > WORK_MAX;
        if (study->is_cut)
            return;
        bl_compare_patterns(judge->compare, live, sibling, &d);
        if (d.is_part)
            note_part(study, sibling, &d);
        if (!study->best || is_better(&d, &study->difference)) {
            study->best = sibling;
            study->difference = d;
        }
    }
}

/* May the thread that had the object last still have been at work when the process ended? */
static bool is_busy_thread(const struct judge *judge, uint32_t number)
{
    const struct bl_thread *thread = bl_reader_thread(judge->reader, number);
    return thread && number != judge->main_thread && !(thread->flags & BL_THREAD_ENDED);
}

static uint64_t age_of(const struct judge *judge, const struct bl_history_object *object)
{
    return judge->model->now_ns > object->birth_ns ? judge->model->now_ns - object->birth_ns : 0;
}

/* Moves the objects older than limit_ns to the front of a slice; returns how many. At the end of a
 * process those that no thread was busy with are old as well when any is. */
static size_t put_old_first(struct judge *judge, size_t first, size_t count, uint64_t limit_ns,
                            uint64_t busy_limit_ns)
{
    struct bl_history_object *objects = judge->histories->objects + first;
    bool any_old = false;
    size_t old = 0;
    for (size_t i = 0; i < count; i++)
        any_old |= age_of(judge, &objects[i]) > limit_ns;
    for (size_t i = 0; i < count; i++) {
        uint64_t age = age_of(judge, &objects[i]);
        bool is_busy = age <= busy_limit_ns && is_busy_thread(judge, objects[i].thread);
        bool is_old = judge->is_final ? any_old && !is_busy : age > limit_ns;
        if (!is_old)
            continue;
        struct bl_history_object moved = objects[i];
        memmove(&objects[old + 1], &objects[old], (i - old) * sizeof(moved));
        objects[old++] = moved;
    }
    return old;
}

static uint64_t oldest_age(const struct judge *judge, const struct bl_pattern *live)
{
    uint64_t oldest = 0;
    for (size_t i = 0; i < live->object_count; i++) {
        uint64_t age = age_of(judge, &judge->histories->objects[live->first_object + i]);
        if (age > oldest)
            oldest = age;
    }
    return oldest;
}

static int blame(struct judge *judge, struct decision decision, uint32_t item, uint64_t units,
                 uint32_t expected)
{
    const struct bl_pattern *live = &judge->histories->live[decision.pattern];
    decision.item = live->first_item + item;
    decision.units = units < live->refs ? units : live->refs;
    decision.expected = expected;
    return add_decision(judge, decision) ? 0 : -1;
}

/* The live items whose references the siblings give back by a release that is missing here. */
static void find_partners(struct judge *judge, const struct study *study,
                          uint64_t units[BL_HISTORY_ITEMS], uint32_t expected[BL_HISTORY_ITEMS])
{
    const struct bl_difference *d = &study->difference;
    uint64_t missing[BL_HISTORY_ITEMS];
    uint64_t left[BL_HISTORY_ITEMS];
    const struct bl_pair *pairs;
    size_t count = bl_compare_pair(judge->compare, study->best, false, left, &pairs);
    memcpy(missing, d->missing, study->best->item_count * sizeof(missing[0]));
    for (size_t i = 0; i < count; i++) {
        uint32_t mate = d->mate[pairs[i].acquire];
        uint64_t lacking = missing[pairs[i].release];
        uint64_t amount = pairs[i].units < lacking ? pairs[i].units : lacking;
        if (amount == 0 || mate == BL_COMPARE_NONE)
            continue;
        missing[pairs[i].release] -= amount;
        units[mate] += amount;
        expected[mate] = study->best->first_item + pairs[i].release;
    }
    /* what siblings never give back ends with their memory, which has not been freed here */
    const struct bl_item *items = bl_pattern_items(judge->histories, study->best);
    for (uint32_t j = 0; j < study->best->item_count; j++)
        if (bl_item_is_acquire(&items[j]) && left[j] > 0 && d->mate[j] != BL_COMPARE_NONE)
            units[d->mate[j]] += left[j];
}

/* Blames what the best comparison leaves over. Returns 0 without having blamed anything when it
 * explains nothing, 1 when it has, -1 without memory. */
static int blame_difference(struct judge *judge, const struct decision *decision,
                            const struct study *study)
{
    const struct bl_pattern *live = &judge->histories->live[decision->pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint64_t units[BL_HISTORY_ITEMS] = {0};
    uint32_t expected[BL_HISTORY_ITEMS];
    bool is_any = false;
    if (study->difference.guess_cost > GUESS_MAX)
        return 0;
    for (uint32_t i = 0; i < live->item_count; i++)
        expected[i] = NONE;
    find_partners(judge, study, units, expected);
    for (uint32_t i = 0; i < live->item_count; i++)
        if (bl_item_is_acquire(&items[i]))
            units[i] += study->difference.extra[i];
    for (uint32_t i = 0; i < live->item_count; i++) {
        if (units[i] == 0)
            continue;
        is_any = true;
        if (blame(judge, *decision, i, units[i], expected[i]) < 0)
            return -1;
    }
    return is_any;
}

/* Without siblings that explain it: pairs what the history itself has. */
static int blame_open_ends(struct judge *judge, struct decision decision, bool has_siblings)
{
    const struct bl_pattern *live = &judge->histories->live[decision.pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    const struct bl_item *birth = bl_pattern_birth(judge->histories, live);
    const struct bl_pair *pairs;
    uint64_t left[BL_HISTORY_ITEMS];
    bool has_release = false;
    bool is_stale = decision.verdict == BL_VERDICT_STALE;
    enum bl_verdict never = is_stale ? BL_VERDICT_STALE : BL_VERDICT_NEVER_RELEASED;
    enum bl_verdict missing = is_stale ? BL_VERDICT_STALE : BL_VERDICT_MISSING_RELEASE;
    bl_compare_pair(judge->compare, live, true, left, &pairs);
    for (uint32_t i = 0; i < live->item_count; i++)
        has_release |= items[i].kind == BL_ITEM_RELEASE;
    decision.is_exact = !has_release;
    if (!has_release && birth && !has_siblings) {
        /* one thing was forgotten, not each of its references */
        decision.verdict = never;
        return blame(judge, decision, (uint32_t)(birth - items), live->refs, NONE);
    }
    bool is_any = false;
    for (uint32_t i = 0; i < live->item_count; i++) {
        if (!bl_item_is_acquire(&items[i]) || left[i] == 0)
            continue;
        decision.verdict = items[i].kind == BL_ITEM_ALLOC && !has_siblings ? never : missing;
        is_any = true;
        if (blame(judge, decision, i, left[i], NONE) < 0)
            return -1;
    }
    if (is_any)
        return 0;
    return leave_in_peace(judge, decision.pattern, decision.first_object, decision.object_count,
                          BL_GROUND_UNEXPLAINED);
}

static int accuse(struct judge *judge, struct decision decision, const struct study *study)
{
    if (decision.object_count == 0)
        return 0;
    if (study->best) {
        int outcome = blame_difference(judge, &decision, study);
        if (outcome != 0)
            return outcome < 0 ? -1 : 0;
    }
    return blame_open_ends(judge, decision, study->sibling_count > 0);
}

/* The objects began as siblings did that ended well. */
static int judge_beginning(struct judge *judge, struct decision decision, const struct study *study)
{
    uint64_t limit_ns = study->longest_ns + study->longest_ns / 2 + TICK_NS;
    uint64_t busy_ns = limit_ns;
    size_t first = decision.first_object;
    size_t count = decision.object_count;
    if (judge->is_final)
        limit_ns = study->longest_ns >= NOISE_NS ? study->longest_ns : 0;
    size_t old = put_old_first(judge, first, count, limit_ns, busy_ns);
    if (leave_in_peace(judge, decision.pattern, first + old, count - old, BL_GROUND_IN_USE) < 0)
        return -1;
    decision.object_count = old;
    /* on the way that siblings took, only time tells: it may still be released */
    if (!judge->is_final && study->is_beginning && study->part_cost == 0) {
        uint64_t far_ns = 10 * study->p99_ns;
        far_ns = far_ns > STALE_NS ? far_ns : STALE_NS;
        far_ns = far_ns > limit_ns ? far_ns : limit_ns;
        size_t stale = put_old_first(judge, first, old, far_ns, 0);
        if (leave_in_peace(judge, decision.pattern, first + stale, old - stale, BL_GROUND_OLD) < 0)
            return -1;
        decision.object_count = stale;
        decision.verdict = BL_VERDICT_STALE;
    }
    return accuse(judge, decision, study);
}

static enum bl_ground ground_of(enum bl_doubt doubt)
{
    static const enum bl_ground grounds[] = {
        [BL_DOUBT_MOVING] = BL_GROUND_MOVING,   [BL_DOUBT_OVERFLOW] = BL_GROUND_OVERFLOW,
        [BL_DOUBT_DRIFTED] = BL_GROUND_DRIFTED, [BL_DOUBT_INHERITED] = BL_GROUND_INHERITED,
        [BL_DOUBT_SETTLED] = BL_GROUND_SETTLED,
    };
    return grounds[doubt];
}

static int judge_pattern(struct judge *judge, uint32_t number, struct study *study)
{
    const struct bl_pattern *live = &judge->histories->live[number];
    size_t first = live->first_object;
    size_t count = live->object_count;
    if (live->doubt != BL_DOUBT_NONE)
        return leave_in_peace(judge, number, first, count, ground_of(live->doubt));
    study_siblings(judge, live, study);
    if (study->is_cut)
        return leave_in_peace(judge, number, first, count, BL_GROUND_UNEXPLAINED);
    struct decision decision = {.pattern = number,
                                .first_object = first,
                                .object_count = count,
                                .verdict = BL_VERDICT_MISSING_RELEASE,
                                .ground = BL_GROUND_ACCUSED,
                                .siblings = study->part_count,
                                .sibling_p99_ns = study->p99_ns,
                                .same_path_last_ns = study->same_path_last_ns,
                                .is_exact = study->best && study->difference.guess_cost == 0,
                                .owner = NONE};
    if (study->best && study->part_count > 0 && study->part_cost <= study->difference.cost)
        return judge_beginning(judge, decision, study);
    if (!judge->is_final && oldest_age(judge, live) <= judge->guard_ns)
        return leave_in_peace(judge, number, first, count, BL_GROUND_YOUNG);
    return accuse(judge, decision, study);
}

static int wanted_class(const struct judge *judge, uint32_t class_number)
{
    return !judge->options->class_name ||
           strcmp(bl_model_class_name(judge->model, class_number), judge->options->class_name) == 0;
}

static bool has_over_release(const struct judge *judge, const struct bl_pattern *pattern)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
    for (uint32_t i = 0; i < pattern->item_count; i++)
        if (items[i].kind == BL_ITEM_OVER_RELEASE)
            return true;
    return false;
}

static int judge_all(struct judge *judge)
{
    struct study *study = malloc(sizeof(*study));
    int outcome = study ? 0 : out_of_memory(judge);
    for (size_t i = 0; i < judge->histories->live_count && outcome == 0; i++) {
        const struct bl_pattern *live = &judge->histories->live[i];
        if (!has_over_release(judge, live) && wanted_class(judge, live->class_number))
            outcome = judge_pattern(judge, (uint32_t)i, study);
    }
    free(study);
    return outcome;
}

/* ---- cascades ---- */

static bool is_accused(const struct decision *decision)
{
    return decision->verdict != BL_VERDICT_UNRELEASED;
}

static uint32_t class_of(const struct judge *judge, const struct decision *decision)
{
    return judge->histories->live[decision->pattern].class_number;
}

static const struct bl_item *birth_of(const struct judge *judge, const struct decision *decision)
{
    return bl_pattern_birth(judge->histories, &judge->histories->live[decision->pattern]);
}

/* Was the part born inside the call that made the owner? Then the owner's whole stack is the outer
 * end of the part's. */
static bool is_born_inside(const struct judge *judge, const struct bl_item *part,
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

static uint64_t *births_of(const struct judge *judge, const struct decision *decision)
{
    uint64_t *births = calloc(decision->object_count + 1, sizeof(*births));
    for (size_t i = 0; births && i < decision->object_count; i++)
        births[i] = judge->histories->objects[decision->first_object + i].birth_ns;
    if (births && decision->object_count > 1)
        qsort(births, decision->object_count, sizeof(*births), compare_births);
    return births;
}

/* Has every part an owner that was born at the same moment? */
static bool are_born_together(const struct judge *judge, const struct decision *part,
                              const struct decision *owner)
{
    uint64_t *parts = births_of(judge, part);
    uint64_t *owners = births_of(judge, owner);
    size_t at = 0;
    bool together = parts && owners && part->object_count % owner->object_count == 0;
    for (size_t i = 0; together && i < part->object_count; i++) {
        while (at < owner->object_count && owners[at] + TICK_NS < parts[i])
            at++;
        together = at < owner->object_count && owners[at] <= parts[i] + TICK_NS;
    }
    free(parts);
    free(owners);
    return together;
}

/* A leaked owner holds its parts: they are folded under it, when there is no doubt about whose they
 * are, and nothing else is wrong with them than that they were not released. */
static void find_owners(struct judge *judge)
{
    size_t count = judge->decision_count < 2048 ? judge->decision_count : 2048;
    for (size_t i = 0; i < count; i++) {
        struct decision *part = &judge->decisions[i];
        const struct bl_item *born = birth_of(judge, part);
        if (!is_accused(part) || !born || judge->histories->items[part->item].kind != BL_ITEM_ALLOC)
            continue;
        for (size_t j = 0; j < count && part->owner == NONE; j++) {
            const struct decision *owner = &judge->decisions[j];
            if (is_accused(owner) && owner->owner == NONE &&
                class_of(judge, owner) != class_of(judge, part) && birth_of(judge, owner) &&
                is_born_inside(judge, born, birth_of(judge, owner)) &&
                are_born_together(judge, part, owner))
                part->owner = (uint32_t)j;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct decision *part = &judge->decisions[i];
        while (part->owner != NONE && judge->decisions[part->owner].owner != NONE)
            part->owner = judge->decisions[part->owner].owner;
    }
}

/* ---- counts on both sides ---- */

static void count_chains(struct judge *judge, const struct bl_item *item, uint64_t count,
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

static void count_acquires(struct judge *judge, const struct bl_pattern *pattern, uint64_t count,
                           uint64_t *counters)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
    judge->mark++;
    for (uint32_t i = 0; i < pattern->item_count; i++)
        if (bl_item_is_acquire(&items[i]))
            count_chains(judge, &items[i], count, counters);
}

/* Decisions about one pattern follow each other; those that accuse are about the same objects. */
static void count_decisions(struct judge *judge, size_t first, size_t end)
{
    const struct bl_pattern *live = &judge->histories->live[judge->decisions[first].pattern];
    uint64_t most = 0;
    judge->mark++;
    for (size_t i = first; i < end; i++) {
        const struct decision *decision = &judge->decisions[i];
        if (!is_accused(decision))
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
    const struct decision *a = left;
    const struct decision *b = right;
    if (a->pattern != b->pattern)
        return a->pattern < b->pattern ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static void count_all(struct judge *judge)
{
    size_t chains = bl_callers_chain_count(judge->callers);
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
static uint32_t choose_chain(const struct judge *judge, uint32_t item)
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

static void choose_chains(struct judge *judge)
{
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct decision *decision = &judge->decisions[i];
        if (decision->item == NONE)
            decision->chain = 0;
        else if (is_accused(decision))
            decision->chain = choose_chain(judge, decision->item);
        else
            decision->chain =
                bl_callers_site(judge->callers, judge->histories->items[decision->item].callers);
    }
}

/* ---- groups ---- */

static int compare_decisions(const void *left, const void *right)
{
    const struct decision *a = left;
    const struct decision *b = right;
    if (a->verdict != b->verdict)
        return a->verdict < b->verdict ? -1 : 1;
    if (a->ground != b->ground)
        return a->ground < b->ground ? -1 : 1;
    if (a->chain != b->chain)
        return a->chain < b->chain ? -1 : 1;
    return compare_patterns(a, b);
}

static size_t group_end(const struct judge *judge, size_t first)
{
    const struct decision *a = &judge->decisions[first];
    size_t end = first + 1;
    while (end < judge->decision_count && judge->decisions[end].verdict == a->verdict &&
           judge->decisions[end].ground == a->ground && judge->decisions[end].chain == a->chain)
        end++;
    return end;
}

struct span {
    uint64_t count;
    uint64_t oldest_birth_ns;
    uint64_t youngest_birth_ns;
    uint64_t latest_event_ns;
};

static struct span span_of(const struct judge *judge, size_t first, size_t end)
{
    struct span span = {.oldest_birth_ns = UINT64_MAX};
    for (size_t i = first; i < end; i++) {
        const struct decision *decision = &judge->decisions[i];
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
static bool is_steady(const struct judge *judge, size_t first, size_t end)
{
    uint64_t start_ns = bl_reader_header(judge->reader)->start_ns;
    struct span span = span_of(judge, first, end);
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
    return share <= START_UP_SHARE && last_ns - span.youngest_birth_ns >= SECOND;
}

static void settle_steady(struct judge *judge)
{
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = group_end(judge, i);
        enum bl_verdict verdict = judge->decisions[i].verdict;
        bool may_be = verdict == BL_VERDICT_MISSING_RELEASE || verdict == BL_VERDICT_NEVER_RELEASED;
        if (may_be && is_steady(judge, i, end)) {
            for (size_t k = i; k < end; k++) {
                struct decision *decision = &judge->decisions[k];
                const struct bl_item *birth = birth_of(judge, decision);
                decision->verdict = BL_VERDICT_UNRELEASED;
                decision->ground = BL_GROUND_STEADY;
                decision->chain = birth ? bl_callers_site(judge->callers, birth->callers) : 0;
            }
        }
        i = end;
    }
}

static uint32_t site_frame(const struct judge *judge, const struct bl_item *item)
{
    size_t depth;
    return bl_callers_frames(judge->callers, item->callers, &depth)->frame;
}

static void add_reference(struct bl_finding *finding, enum bl_item_kind kind, uint32_t frame,
                          uint64_t count, bool is_blamed)
{
    size_t smallest = 0;
    for (size_t i = 0; i < finding->reference_count; i++) {
        struct bl_reference *known = &finding->references[i];
        if (known->kind == kind && known->frame == frame && known->is_blamed == is_blamed) {
            known->count += count;
            return;
        }
        if (known->count < finding->references[smallest].count)
            smallest = i;
    }
    size_t at = finding->reference_count;
    if (at == BL_FINDING_REFERENCES) {
        if (!is_blamed && finding->references[smallest].count >= count)
            return;
        at = smallest;
    } else {
        finding->reference_count++;
    }
    finding->references[at] =
        (struct bl_reference){.kind = kind, .frame = frame, .count = count, .is_blamed = is_blamed};
}

static int compare_references(const void *left, const void *right)
{
    const struct bl_reference *a = left;
    const struct bl_reference *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->frame < b->frame ? -1 : a->frame > b->frame;
}

/* Distinct stacks of the group's blamed items or births, and the one of most buffers. */
static uint32_t heaviest(const struct judge *judge, size_t first, size_t end, bool of_births,
                         uint64_t *ret_stacks)
{
    uint32_t frame = 0;
    uint64_t most = 0;
    *ret_stacks = 0;
    for (size_t i = first; i < end; i++) {
        const struct decision *decision = &judge->decisions[i];
        const struct bl_item *item = of_births || decision->item == NONE
                                         ? birth_of(judge, decision)
                                         : &judge->histories->items[decision->item];
        uint64_t count = 0;
        bool is_first = true;
        if (!item)
            continue;
        for (size_t k = first; k < end && k < first + 512; k++) {
            const struct decision *other = &judge->decisions[k];
            const struct bl_item *its = of_births || other->item == NONE
                                            ? birth_of(judge, other)
                                            : &judge->histories->items[other->item];
            if (!its || bl_callers_whole(judge->callers, its->callers) !=
                            bl_callers_whole(judge->callers, item->callers))
                continue;
            is_first &= k >= i;
            count += other->object_count;
        }
        *ret_stacks += is_first;
        if (count > most || frame == 0) {
            most = count;
            frame = site_frame(judge, item);
        }
    }
    return frame;
}

/* ---- the release that is expected ---- */

struct tally {
    uint32_t chain;
    uint32_t frame;
    uint64_t count;
};

static bool passes(const struct judge *judge, const struct bl_item *item, uint32_t chain)
{
    size_t depth;
    const struct bl_caller *frames = bl_callers_frames(judge->callers, item->callers, &depth);
    for (size_t i = 0; i < depth; i++)
        if (frames[i].chain == chain)
            return true;
    return false;
}

/* Is the release there in the leaked history as well? Then it is not the one that is missing. */
static bool has_release(const struct judge *judge, const struct bl_pattern *live,
                        const struct bl_item *release)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint32_t whole = bl_callers_whole(judge->callers, release->callers);
    for (uint32_t i = 0; i < live->item_count; i++)
        if (items[i].kind == BL_ITEM_RELEASE && items[i].units >= release->units &&
            bl_callers_whole(judge->callers, items[i].callers) == whole)
            return true;
    return false;
}

#define TALLIES 64

static size_t add_tally(struct tally *tallies, size_t count, struct tally one)
{
    for (size_t i = 0; i < count; i++) {
        if (tallies[i].chain == one.chain) {
            tallies[i].count += one.count;
            return count;
        }
    }
    if (count < TALLIES)
        tallies[count++] = one;
    return count;
}

/* Where the siblings that passed the blamed acquire gave the reference back, most often. */
static void find_expected(struct judge *judge, const struct decision *decision,
                          struct bl_finding *finding)
{
    const struct bl_pattern *live = &judge->histories->live[decision->pattern];
    struct tally tallies[TALLIES];
    uint64_t left[BL_HISTORY_ITEMS];
    size_t count = 0;
    for (size_t i = 0; i < judge->histories->completed_count; i++) {
        const struct bl_pattern *sibling = &judge->histories->completed[i];
        const struct bl_item *items = bl_pattern_items(judge->histories, sibling);
        const struct bl_pair *pairs;
        bool is_candidate = false;
        if (sibling->class_number != live->class_number)
            continue;
        for (uint32_t k = 0; k < sibling->item_count && !is_candidate; k++)
            is_candidate =
                bl_item_is_acquire(&items[k]) && passes(judge, &items[k], decision->chain);
        if (!is_candidate || bl_compare_work(judge->compare) > 2 * WORK_MAX)
            continue;
        size_t made = bl_compare_pair(judge->compare, sibling, false, left, &pairs);
        for (size_t k = 0; k < made; k++) {
            const struct bl_item *release = &items[pairs[k].release];
            if (passes(judge, &items[pairs[k].acquire], decision->chain) &&
                !has_release(judge, live, release))
                count = add_tally(
                    tallies, count,
                    (struct tally){.chain = bl_callers_whole(judge->callers, release->callers),
                                   .frame = site_frame(judge, release),
                                   .count = sibling->count});
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (tallies[i].count <= finding->expected_count)
            continue;
        finding->expected_count = tallies[i].count;
        finding->expected_frame = tallies[i].frame;
    }
}

/* ---- words ---- */

static double rate_of(double leaked, double passed)
{
    return (leaked + 1) / (passed + 2);
}

static double confidence_of(const struct bl_finding *finding, bool is_exact)
{
    double with = rate_of((double)finding->leaked, (double)finding->passed);
    double without = rate_of((double)finding->other_leaked, (double)finding->other_passed);
    double confidence = with - without;
    if (finding->expected_count > 0) {
        double lacking = rate_of((double)finding->leaked, (double)finding->leaked) -
                         rate_of(0, (double)finding->expected_count);
        confidence = lacking > confidence ? lacking : confidence;
    }
    if (!is_exact)
        confidence *= 2.0 / 3;
    if (finding->verdict == BL_VERDICT_STALE)
        confidence /= 2;
    return confidence > 0 ? confidence : 0;
}

static const char *const ground_texts[BL_GROUND_COUNT] = {
    [BL_GROUND_ACCUSED] = "",
    [BL_GROUND_IN_USE] = "in use: so far the same was done with them as with others that were "
                         "released, and they are no older than those became",
    [BL_GROUND_YOUNG] = "too young to be judged: nothing like them has ended yet",
    [BL_GROUND_OLD] = "older than released ones with the same operations became, but not by much",
    [BL_GROUND_STEADY] = "all made early and none since, while the program went on: a pool, a "
                         "cache or start-up; the evidence does not carry more",
    [BL_GROUND_MOVING] = "in use: their references changed while they were read",
    [BL_GROUND_OVERFLOW] = "their histories are too long to be kept whole; the evidence does not "
                           "carry more",
    [BL_GROUND_DRIFTED] = "their own reference count is not the one that was seen: some calls "
                          "were missed; not judged",
    [BL_GROUND_INHERITED] = "from the parent of this process; judged there",
    [BL_GROUND_SETTLED] = "every reference that was seen was given back: one that was not seen "
                          "keeps them",
    [BL_GROUND_UNEXPLAINED] = "the evidence does not carry more",
    [BL_GROUND_PART] = "held by leaked buffers of another class",
};

static void write_evidence(struct bl_finding *finding, const char *class_name)
{
    char a[BL_TEXT_NUMBER];
    char b[BL_TEXT_NUMBER];
    char c[BL_TEXT_NUMBER];
    char d[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    if (finding->verdict == BL_VERDICT_UNRELEASED) {
        snprintf(finding->text, sizeof(finding->text), "%s", ground_texts[finding->ground]);
        return;
    }
    if (finding->verdict == BL_VERDICT_STALE)
        snprintf(finding->text, sizeof(finding->text),
                 "%s of %s that passed here; 99%% of %s that were released lived less than %s",
                 bl_text_count(a, finding->leaked), bl_text_count(b, finding->passed),
                 bl_text_count(c, finding->siblings), bl_text_age(age, finding->sibling_p99_ns));
    else
        snprintf(finding->text, sizeof(finding->text),
                 "%s of %s that passed here leaked; %s of %s that did not",
                 bl_text_count(a, finding->leaked), bl_text_count(b, finding->passed),
                 bl_text_count(c, finding->other_leaked), bl_text_count(d, finding->other_passed));
    if (finding->passed == finding->leaked && finding->other_passed == finding->other_leaked)
        snprintf(finding->note, sizeof(finding->note),
                 "little evidence: no %s buffer has been released yet to compare with", class_name);
    else if (finding->leaked < FEW)
        snprintf(finding->note, sizeof(finding->note), "little evidence: only %s buffer%s",
                 bl_text_count(a, finding->leaked), finding->leaked == 1 ? "" : "s");
}

/* ---- findings ---- */

static void count_evidence(const struct judge *judge, const struct decision *decision,
                           struct bl_finding *finding)
{
    uint32_t class_number = class_of(judge, decision) % BL_CLASSES_MAX;
    uint64_t all = judge->completed_total[class_number] + judge->accused_total[class_number];
    uint32_t chain = decision->chain;
    finding->leaked = judge->blamed[chain];
    finding->passed = judge->passed[chain];
    finding->other_passed = all > finding->passed ? all - finding->passed : 0;
    finding->other_leaked = judge->accused_total[class_number] > judge->accused[chain]
                                ? judge->accused_total[class_number] - judge->accused[chain]
                                : 0;
}

static void collect_references(const struct judge *judge, size_t first, size_t end,
                               struct bl_finding *finding)
{
    for (size_t i = first; i < end; i++) {
        const struct decision *decision = &judge->decisions[i];
        const struct bl_pattern *live = &judge->histories->live[decision->pattern];
        bool is_repeated = i > first && judge->decisions[i - 1].pattern == decision->pattern;
        for (uint32_t k = 0; k < live->item_count; k++) {
            uint32_t number = live->first_item + k;
            const struct bl_item *item = &judge->histories->items[number];
            bool is_blamed = is_accused(decision) && number == decision->item;
            if (is_repeated && !is_blamed)
                continue;
            add_reference(finding, item->kind, site_frame(judge, item),
                          item->units * decision->object_count, is_blamed);
        }
    }
    if (finding->reference_count > 1)
        qsort(finding->references, finding->reference_count, sizeof(finding->references[0]),
              compare_references);
}

/* The buffers of a group, each once. */
static void add_buffers(struct judge *judge, size_t first, size_t end, struct bl_group *group,
                        struct bl_finding *finding)
{
    struct span span = span_of(judge, first, end);
    for (size_t i = first; i < end; i++) {
        const struct decision *decision = &judge->decisions[i];
        uint64_t units = decision->units;
        bool is_repeated = i > first && judge->decisions[i - 1].pattern == decision->pattern;
        for (size_t k = i + 1; k < end && judge->decisions[k].pattern == decision->pattern; k++)
            units += judge->decisions[k].units;
        if (is_repeated)
            continue;
        finding->refs_min = i == first || units < finding->refs_min ? units : finding->refs_min;
        finding->refs_max = units > finding->refs_max ? units : finding->refs_max;
        for (size_t k = 0; k < decision->object_count; k++) {
            size_t index = decision->first_object + k;
            group->bytes += judge->histories->objects[index].bytes;
            group->count++;
            finding->shared += is_accused(decision) && judge->object_groups[index] > 1;
        }
    }
    group->recorded = group->count;
    group->oldest_ns = judge->model->now_ns > span.oldest_birth_ns
                           ? judge->model->now_ns - span.oldest_birth_ns
                           : 0;
    group->youngest_ns = judge->model->now_ns > span.youngest_birth_ns
                             ? judge->model->now_ns - span.youngest_birth_ns
                             : 0;
    if (finding->ground == BL_GROUND_INHERITED) {
        group->inherited = group->count;
        group->inherited_bytes = group->bytes;
    }
}

static bool is_kept(const struct judge *judge, size_t first, size_t end)
{
    const struct bl_model_options *options = judge->options;
    if (!options->keep_stack)
        return true;
    for (size_t i = first; i < end; i++) {
        const struct bl_item *birth = birth_of(judge, &judge->decisions[i]);
        uint32_t item = judge->decisions[i].item;
        if ((birth && options->keep_stack(options->keep_context, birth->stack)) ||
            (item != NONE &&
             options->keep_stack(options->keep_context, judge->histories->items[item].stack)))
            return true;
    }
    return false;
}

static void add_part(struct bl_finding *finding, const struct judge *judge,
                     const struct decision *decision)
{
    uint32_t class_number = class_of(judge, decision);
    struct bl_part *part = NULL;
    for (size_t i = 0; i < finding->part_count; i++)
        if (finding->parts[i].class_number == class_number)
            part = &finding->parts[i];
    if (!part && finding->part_count == BL_FINDING_PARTS)
        return;
    if (!part) {
        part = &finding->parts[finding->part_count++];
        *part = (struct bl_part){.class_number = class_number};
    }
    part->count += decision->object_count;
    for (size_t k = 0; k < decision->object_count; k++)
        part->bytes += judge->histories->objects[decision->first_object + k].bytes;
}

/* What the group's buffers hold. Owners are named by (pattern, item): positions have changed. */
static void add_parts(struct judge *judge, size_t first, size_t end, const struct decision *parts,
                      const struct decision *owners, size_t part_count, struct bl_finding *finding)
{
    for (size_t p = 0; p < part_count; p++)
        for (size_t i = first; i < end; i++)
            if (judge->decisions[i].pattern == owners[p].pattern &&
                judge->decisions[i].item == owners[p].item &&
                judge->decisions[i].verdict == owners[p].verdict)
                add_part(finding, judge, &parts[p]);
}

static void make_finding(struct judge *judge, size_t first, size_t end, struct bl_group *group,
                         struct bl_finding *finding)
{
    const struct decision *decision = &judge->decisions[first];
    bool is_exact = true;
    finding->verdict = decision->verdict;
    finding->ground = decision->ground;
    for (size_t i = first; i < end; i++) {
        const struct decision *one = &judge->decisions[i];
        is_exact &= one->is_exact;
        finding->siblings += one->siblings;
        if (one->sibling_p99_ns > finding->sibling_p99_ns)
            finding->sibling_p99_ns = one->sibling_p99_ns;
    }
    finding->alloc_frame = heaviest(judge, first, end, true, &finding->alloc_stacks);
    finding->blame_frame = finding->alloc_frame;
    finding->blame_stacks = finding->alloc_stacks;
    if (is_accused(decision))
        finding->blame_frame = heaviest(judge, first, end, false, &finding->blame_stacks);
    finding->blame_kind =
        decision->item == NONE ? BL_ITEM_ALLOC : judge->histories->items[decision->item].kind;
    add_buffers(judge, first, end, group, finding);
    collect_references(judge, first, end, finding);
    if (is_accused(decision)) {
        count_evidence(judge, decision, finding);
        find_expected(judge, decision, finding);
        finding->confidence = confidence_of(finding, is_exact);
    }
    group->class_number = class_of(judge, decision);
    write_evidence(finding, bl_model_class_name(judge->model, group->class_number));
    group->stack = finding->blame_frame;
    group->stack_count = finding->blame_stacks;
    group->rank = finding->verdict;
}

static void count_groups_of_objects(struct judge *judge)
{
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = group_end(judge, i);
        for (size_t k = i; k < end && is_accused(&judge->decisions[i]); k++) {
            const struct decision *decision = &judge->decisions[k];
            if (k > i && judge->decisions[k - 1].pattern == decision->pattern)
                continue;
            for (size_t n = 0; n < decision->object_count; n++)
                judge->object_groups[decision->first_object + n]++;
        }
        i = end;
    }
}

/* Takes the parts of leaked owners out of the decisions. Returns how many. */
static size_t take_parts(struct judge *judge, struct decision *parts, struct decision *owners)
{
    size_t kept = 0;
    size_t taken = 0;
    for (size_t i = 0; i < judge->decision_count; i++) {
        struct decision *decision = &judge->decisions[i];
        if (decision->owner == NONE)
            continue;
        parts[taken] = *decision;
        owners[taken++] = judge->decisions[decision->owner];
    }
    for (size_t i = 0; i < judge->decision_count; i++)
        if (judge->decisions[i].owner == NONE)
            judge->decisions[kept++] = judge->decisions[i];
    judge->decision_count = kept;
    return taken;
}

static void sort_decisions(struct judge *judge, int (*order)(const void *, const void *))
{
    if (judge->decision_count > 1)
        qsort(judge->decisions, judge->decision_count, sizeof(*judge->decisions), order);
}

static int make_findings(struct judge *judge)
{
    struct bl_pairing *pairing = judge->pairing;
    struct decision *parts = calloc(judge->decision_count + 1, sizeof(*parts));
    struct decision *owners = calloc(judge->decision_count + 1, sizeof(*owners));
    int outcome = parts && owners ? 0 : out_of_memory(judge);
    size_t part_count = 0;
    if (outcome == 0) {
        find_owners(judge);
        part_count = take_parts(judge, parts, owners);
        sort_decisions(judge, compare_patterns);
        count_all(judge);
        choose_chains(judge);
        sort_decisions(judge, compare_decisions);
        settle_steady(judge);
        sort_decisions(judge, compare_patterns);
        count_all(judge);
        sort_decisions(judge, compare_decisions);
        count_groups_of_objects(judge);
    }
    for (size_t i = 0; outcome == 0 && i < judge->decision_count;) {
        size_t end = group_end(judge, i);
        struct bl_finding *finding = &pairing->findings[pairing->finding_count];
        struct bl_group *group = &judge->groups[judge->group_count];
        memset(finding, 0, sizeof(*finding));
        *group = (struct bl_group){.finding = finding};
        make_finding(judge, i, end, group, finding);
        add_parts(judge, i, end, parts, owners, part_count, finding);
        if (group->bytes >= judge->options->min_bytes && is_kept(judge, i, end)) {
            pairing->finding_count++;
            judge->group_count++;
        }
        i = end;
    }
    free(parts);
    free(owners);
    return outcome;
}

/* ---- over-releases ---- */

static bool same_over_release(const struct bl_group *group, const struct bl_pattern *pattern,
                              uint32_t frame)
{
    return group->finding->verdict == BL_VERDICT_OVER_RELEASE &&
           group->class_number == pattern->class_number && group->finding->blame_frame == frame;
}

static void add_over_release(struct judge *judge, const struct bl_pattern *pattern,
                             const struct bl_item *item)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
    const struct bl_item *birth = bl_pattern_birth(judge->histories, pattern);
    uint32_t frame = site_frame(judge, item);
    struct bl_finding *finding = NULL;
    struct bl_group *group = NULL;
    for (size_t i = 0; i < judge->group_count; i++)
        if (same_over_release(&judge->groups[i], pattern, frame))
            group = &judge->groups[i];
    if (!group) {
        finding = &judge->pairing->findings[judge->pairing->finding_count++];
        memset(finding, 0, sizeof(*finding));
        finding->verdict = BL_VERDICT_OVER_RELEASE;
        finding->blame_kind = BL_ITEM_OVER_RELEASE;
        finding->blame_frame = frame;
        finding->blame_stacks = 1;
        finding->alloc_frame = birth && birth->kind == BL_ITEM_ALLOC ? site_frame(judge, birth) : 0;
        finding->alloc_stacks = finding->alloc_frame ? 1 : 0;
        group = &judge->groups[judge->group_count++];
        *group = (struct bl_group){.class_number = pattern->class_number,
                                   .stack = frame,
                                   .stack_count = 1,
                                   .rank = BL_VERDICT_OVER_RELEASE,
                                   .finding = finding};
    }
    finding = &judge->pairing->findings[group->finding - judge->pairing->findings];
    finding->leaked += pattern->count * item->units;
    finding->passed += pattern->count;
    group->count += pattern->count;
    group->recorded += pattern->count;
    group->bytes += pattern->lifecycle ? 0 : pattern->bytes;
    for (uint32_t i = 0; i < pattern->item_count; i++)
        add_reference(finding, items[i].kind, site_frame(judge, &items[i]),
                      items[i].units * pattern->count, &items[i] == item);
}

static void add_over_releases_of(struct judge *judge, const struct bl_pattern *patterns,
                                 size_t count, size_t room)
{
    for (size_t i = 0; i < count; i++) {
        const struct bl_item *items = bl_pattern_items(judge->histories, &patterns[i]);
        if (!wanted_class(judge, patterns[i].class_number))
            continue;
        for (uint32_t k = 0; k < patterns[i].item_count; k++)
            if (items[k].kind == BL_ITEM_OVER_RELEASE && judge->group_count < room)
                add_over_release(judge, &patterns[i], &items[k]);
    }
}

/* Those that were counted, but whose stacks belong to no history that was kept. */
static void add_counted(struct judge *judge, const struct bl_class_sums *class, size_t room)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < judge->group_count; i++)
        if (judge->groups[i].finding->verdict == BL_VERDICT_OVER_RELEASE &&
            judge->groups[i].class_number == class->number)
            seen += judge->groups[i].finding->leaked;
    if (class->over_releases <= seen || judge->group_count >= room ||
        !wanted_class(judge, class->number))
        return;
    struct bl_finding *finding = &judge->pairing->findings[judge->pairing->finding_count++];
    memset(finding, 0, sizeof(*finding));
    finding->verdict = BL_VERDICT_OVER_RELEASE;
    finding->blame_kind = BL_ITEM_OVER_RELEASE;
    finding->leaked = class->over_releases - seen;
    judge->groups[judge->group_count++] = (struct bl_group){.class_number = class->number,
                                                            .count = finding->leaked,
                                                            .rank = BL_VERDICT_OVER_RELEASE,
                                                            .finding = finding};
    snprintf(finding->note, sizeof(finding->note), "no stack was kept of these");
}

static void add_over_releases(struct judge *judge, size_t room)
{
    size_t first = judge->group_count;
    char number[BL_TEXT_NUMBER];
    add_over_releases_of(judge, judge->histories->live, judge->histories->live_count, room);
    add_over_releases_of(judge, judge->histories->completed, judge->histories->completed_count,
                         room);
    for (size_t i = 0; i < judge->model->class_count; i++)
        add_counted(judge, &judge->model->classes[i], room);
    for (size_t i = first; i < judge->group_count; i++) {
        struct bl_finding *finding =
            &judge->pairing->findings[judge->groups[i].finding - judge->pairing->findings];
        if (finding->reference_count > 1)
            qsort(finding->references, finding->reference_count, sizeof(finding->references[0]),
                  compare_references);
        finding->confidence = rate_of((double)finding->leaked, (double)finding->leaked);
        snprintf(finding->text, sizeof(finding->text), "%s release%s of a buffer that was gone",
                 bl_text_count(number, finding->leaked), finding->leaked == 1 ? "" : "s");
    }
}

/* ---- start ---- */

static uint32_t find_main_thread(const struct bl_reader *reader)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_THREADS);
    for (uint32_t i = count; i-- > 1;) {
        const struct bl_thread *thread = bl_reader_thread(reader, i);
        if (thread && thread->tid == bl_reader_header(reader)->pid)
            return i;
    }
    return 0;
}

static uint64_t latest(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The last thing that was seen of the program. */
static uint64_t find_activity_end(const struct judge *judge)
{
    uint64_t end_ns = 0;
    size_t count;
    const struct bl_live *live = bl_reader_live(judge->reader, &count);
    for (size_t i = 0; i < count; i++)
        end_ns = latest(end_ns, live[i].birth_ns);
    for (size_t i = 0; i < judge->histories->object_count; i++)
        end_ns = latest(end_ns, judge->histories->objects[i].birth_ns);
    for (size_t i = 0; i < judge->histories->live_count; i++)
        end_ns = latest(end_ns, judge->histories->live[i].latest_ns);
    for (size_t i = 0; i < judge->histories->completed_count; i++)
        end_ns = latest(end_ns, judge->histories->completed[i].latest_ns);
    return end_ns;
}

static bool is_final(const struct judge *judge)
{
    const struct bl_header *header = bl_reader_header(judge->reader);
    if (header->snapshot_number > 0)
        return header->snapshot_reason == BL_REASON_EXIT;
    return judge->model->state == BL_PROCESS_EXITED || judge->model->state == BL_PROCESS_REPLACED;
}

static int prepare(struct judge *judge)
{
    struct bl_pairing *pairing = judge->pairing;
    if (bl_callers_create(&pairing->callers, judge->reader, judge->options, judge->error) < 0 ||
        bl_histories_create(&pairing->histories, judge->reader, pairing->callers,
                            judge->model->now_ns, judge->options->min_age_ns, judge->error) < 0 ||
        bl_compare_create(&pairing->compare, pairing->histories, pairing->callers, judge->error) <
            0)
        return -1;
    judge->histories = pairing->histories;
    judge->callers = pairing->callers;
    judge->compare = pairing->compare;
    judge->is_final = is_final(judge);
    judge->guard_ns = judge->model->uptime_ns / 10 < SECOND ? judge->model->uptime_ns / 10 : SECOND;
    judge->activity_end_ns = find_activity_end(judge);
    judge->main_thread = find_main_thread(judge->reader);
    size_t chains = bl_callers_chain_count(judge->callers) + 1u;
    judge->passed = calloc(chains, sizeof(*judge->passed));
    judge->accused = calloc(chains, sizeof(*judge->accused));
    judge->blamed = calloc(chains, sizeof(*judge->blamed));
    judge->marks = calloc(chains, sizeof(*judge->marks));
    judge->object_groups =
        calloc(judge->histories->object_count + 1, sizeof(*judge->object_groups));
    if (!judge->passed || !judge->accused || !judge->blamed || !judge->marks ||
        !judge->object_groups)
        return out_of_memory(judge);
    return 0;
}

static size_t count_over_release_items(const struct bl_histories *histories)
{
    size_t count = 0;
    for (size_t i = 0; i < histories->item_count; i++)
        count += histories->items[i].kind == BL_ITEM_OVER_RELEASE;
    return count;
}

static int judge_everything(struct judge *judge)
{
    if (prepare(judge) < 0 || judge_all(judge) < 0)
        return -1;
    size_t room = judge->decision_count + count_over_release_items(judge->histories) +
                  judge->model->class_count;
    judge->pairing->findings = calloc(room + 1, sizeof(*judge->pairing->findings));
    judge->groups = calloc(room + 1, sizeof(*judge->groups));
    if (!judge->pairing->findings || !judge->groups)
        return out_of_memory(judge);
    if (make_findings(judge) < 0)
        return -1;
    add_over_releases(judge, room);
    return bl_model_add_groups(judge->model, judge->groups, judge->group_count, judge->options,
                               judge->error);
}

int bl_pairing_create(struct bl_pairing **ret_pairing, const struct bl_reader *reader,
                      struct bl_model *model, const struct bl_model_options *options,
                      struct bl_error *error)
{
    struct bl_pairing *pairing = calloc(1, sizeof(*pairing));
    if (!pairing)
        return bl_error_set(error, "not enough memory for the verdict");
    struct judge judge = {
        .pairing = pairing, .reader = reader, .model = model, .options = options, .error = error};
    int outcome = judge_everything(&judge);
    free(judge.decisions);
    free(judge.passed);
    free(judge.accused);
    free(judge.blamed);
    free(judge.marks);
    free(judge.object_groups);
    free(judge.groups);
    if (outcome < 0)
        bl_pairing_destroy(pairing);
    else
        *ret_pairing = pairing;
    return outcome;
}

void bl_pairing_destroy(struct bl_pairing *pairing)
{
    if (!pairing)
        return;
    bl_compare_destroy(pairing->compare);
    bl_histories_destroy(pairing->histories);
    bl_callers_destroy(pairing->callers);
    free(pairing->findings);
    free(pairing);
}

const char *bl_pairing_verdict(enum bl_verdict verdict)
{
    static const char *const names[] = {
        [BL_VERDICT_MISSING_RELEASE] = "missing-release",
        [BL_VERDICT_NEVER_RELEASED] = "never-released",
        [BL_VERDICT_OVER_RELEASE] = "over-release",
        [BL_VERDICT_STALE] = "stale",
        [BL_VERDICT_UNRELEASED] = "unreleased",
    };
    return names[verdict];
}
