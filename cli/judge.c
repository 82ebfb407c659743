#include "judge.h"

#include <stdlib.h>
#include <string.h>

#define GUESS_MAX      24u /* an explanation that costs more explains nothing */
#define USUAL          16u /* siblings that make a way the usual one */
#define GONE_EACH      19u /* are gone for each that need not be in use either */
#define GONE_EACH_BARE 3u  /* the same for one that is barely held */

struct bl_decision *bl_judge_add(struct bl_judge *judge, struct bl_decision decision)
{
    if (judge->decision_count == judge->decision_room) {
        size_t room = judge->decision_room ? judge->decision_room * 2 : 256;
        struct bl_decision *grown = realloc(judge->decisions, room * sizeof(*grown));
        if (!grown) {
            bl_judge_out_of_memory(judge);
            return NULL;
        }
        judge->decisions = grown;
        judge->decision_room = room;
    }
    judge->decisions[judge->decision_count] = decision;
    return &judge->decisions[judge->decision_count++];
}

/* A decision about some of a pattern's objects, without anybody to blame. */
static int leave_in_peace(struct bl_judge *judge, uint32_t pattern, size_t first, size_t count,
                          enum bl_ground ground)
{
    const struct bl_pattern *live = &judge->histories->live[pattern];
    const struct bl_item *birth = bl_pattern_birth(judge->histories, live);
    if (count == 0)
        return 0;
    struct bl_decision decision = {.pattern = pattern,
                                   .first_object = first,
                                   .object_count = count,
                                   .verdict = BL_VERDICT_UNRELEASED,
                                   .ground = ground,
                                   .item = birth ? (uint32_t)(birth - judge->histories->items)
                                                 : BL_JUDGE_NONE,
                                   .units = live->refs,
                                   .expected = BL_JUDGE_NONE,
                                   .owner = BL_JUDGE_NONE};
    return bl_judge_add(judge, decision) ? 0 : -1;
}

/* May the thread that had the object last still have been at work when the process ended? */
static bool is_busy_thread(const struct bl_judge *judge, uint32_t number)
{
    const struct bl_thread *thread = bl_reader_thread(judge->reader, number);
    return thread && number != judge->main_thread && !(thread->flags & BL_THREAD_ENDED);
}

static uint64_t age_of(const struct bl_judge *judge, const struct bl_history_object *object)
{
    return judge->model->now_ns > object->birth_ns ? judge->model->now_ns - object->birth_ns : 0;
}

/* Since anybody did anything with it. What is touched now and then is in use, however old. */
static uint64_t idle_of(const struct bl_judge *judge, const struct bl_history_object *object)
{
    uint64_t latest_ns =
        object->latest_ns > object->birth_ns ? object->latest_ns : object->birth_ns;
    return judge->model->now_ns > latest_ns ? judge->model->now_ns - latest_ns : 0;
}

/* Moves those of a slice that `is_wanted` to its front, in order; returns how many. */
static size_t put_first(struct bl_judge *judge, size_t first, size_t count,
                        const struct bl_study *study, uint64_t limit,
                        bool (*is_wanted)(const struct bl_judge *, const struct bl_study *,
                                          const struct bl_history_object *, uint64_t))
{
    struct bl_history_object *objects = judge->histories->objects + first;
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_wanted(judge, study, &objects[i], limit))
            continue;
        struct bl_history_object moved = objects[i];
        memmove(&objects[taken + 1], &objects[taken], (i - taken) * sizeof(moved));
        objects[taken++] = moved;
    }
    return taken;
}

static uint64_t limit_of(uint64_t lifetime_ns)
{
    return lifetime_ns + lifetime_ns / 2 + BL_JUDGE_TICK_NS;
}

static bool is_idle(const struct bl_judge *judge, const struct bl_study *study,
                    const struct bl_history_object *object, uint64_t limit_ns)
{
    (void)study;
    return idle_of(judge, object) > limit_ns;
}

static bool is_not_busy(const struct bl_judge *judge, const struct bl_study *study,
                        const struct bl_history_object *object, uint64_t limit_ns)
{
    (void)study;
    return age_of(judge, object) > limit_ns || !is_busy_thread(judge, object->thread);
}

static bool is_old(const struct bl_judge *judge, const struct bl_study *study,
                   const struct bl_history_object *object, uint64_t limit_ns)
{
    (void)study;
    return age_of(judge, object) > limit_ns;
}

static bool is_lagging(const struct bl_judge *judge, const struct bl_study *study,
                       const struct bl_history_object *object, uint64_t lag)
{
    (void)judge;
    return !object->is_in_ring &&
           bl_order_lag(&study->order, object->birth_ns, object->birth) >= lag;
}

static bool is_gone(const struct bl_judge *judge, const struct bl_study *study,
                    const struct bl_history_object *object, uint64_t limit)
{
    (void)judge;
    (void)study;
    (void)limit;
    return object->is_gone;
}

static uint64_t oldest_age(const struct bl_judge *judge, const struct bl_pattern *live)
{
    uint64_t oldest = 0;
    for (size_t i = 0; i < live->object_count; i++) {
        uint64_t age = age_of(judge, &judge->histories->objects[live->first_object + i]);
        if (age > oldest)
            oldest = age;
    }
    return oldest;
}

static bool is_lasting(const struct bl_judge *judge, const struct bl_item *item)
{
    return bl_lasting_covers(judge->lasting, item->stack, item->kind == BL_ITEM_ALLOC) > 0;
}

/* One more than the class of the function that an item is lasting by; 0: it is not. */
static uint32_t lasting_class(const struct bl_judge *judge, const struct bl_item *item)
{
    return bl_lasting_covers(judge->lasting, item->stack, item->kind == BL_ITEM_ALLOC) %
           (BL_CLASSES_MAX + 1);
}

/* References that were taken to stay. What such functions give back is of their own as well. */
static uint64_t lasting_units(const struct bl_judge *judge, const struct bl_pattern *live)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint64_t taken[BL_CLASSES_MAX + 1] = {0};
    uint64_t units = 0;
    for (uint32_t i = 0; i < live->item_count; i++)
        if (bl_item_is_acquire(&items[i]))
            taken[lasting_class(judge, &items[i])] += items[i].units;
    for (uint32_t i = 0; i < live->item_count; i++) {
        uint64_t *left = &taken[lasting_class(judge, &items[i])];
        if (items[i].kind == BL_ITEM_RELEASE)
            *left -= items[i].units < *left ? items[i].units : *left;
    }
    for (size_t i = 1; i <= BL_CLASSES_MAX; i++)
        units += taken[i];
    return units;
}

static int blame(struct bl_judge *judge, struct bl_decision decision, uint32_t item, uint64_t units,
                 uint32_t expected)
{
    const struct bl_pattern *live = &judge->histories->live[decision.pattern];
    const struct bl_item *blamed = &bl_pattern_items(judge->histories, live)[item];
    /* a birth that was not seen can have had any number of references */
    if (blamed->kind == BL_ITEM_ALLOC && blamed->stack == 0) {
        if (leave_in_peace(judge, decision.pattern, decision.first_object, decision.object_count,
                           BL_GROUND_UNSEEN) < 0)
            return -1;
        judge->decisions[judge->decision_count - 1].expected = expected;
        judge->decisions[judge->decision_count - 1].units = units;
        return 0;
    }
    decision.item = live->first_item + item;
    decision.units = units < live->refs ? units : live->refs;
    decision.expected = expected;
    return bl_judge_add(judge, decision) ? 0 : -1;
}

/* What is blamed on each item of a live pattern. */
struct charge {
    uint64_t units[BL_HISTORY_ITEMS];
    uint32_t expected[BL_HISTORY_ITEMS]; /* release that siblings have, or BL_JUDGE_NONE */
    enum bl_rival rival[BL_HISTORY_ITEMS];
};

static void clear_charge(struct charge *charge, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        charge->units[i] = 0;
        charge->expected[i] = BL_JUDGE_NONE;
        charge->rival[i] = BL_RIVAL_NONE;
    }
}

/* The live items whose references the siblings give back by a release that is missing here. */
static void find_partners(struct bl_judge *judge, const struct bl_study *study,
                          struct charge *charge)
{
    const struct bl_difference *d = &study->difference;
    const struct bl_item *items = bl_pattern_items(judge->histories, study->best);
    uint64_t missing[BL_HISTORY_ITEMS];
    uint64_t left[BL_HISTORY_ITEMS];
    const struct bl_pair *pairs;
    size_t count = bl_compare_pair(judge->compare, study->best, BL_ENDS_WELL, left, &pairs);
    memcpy(missing, d->missing, study->best->item_count * sizeof(missing[0]));
    for (size_t i = 0; i < count; i++) {
        uint32_t mate = d->mate[pairs[i].acquire];
        uint64_t lacking = missing[pairs[i].release];
        uint64_t amount = pairs[i].units < lacking ? pairs[i].units : lacking;
        if (amount == 0 || mate == BL_COMPARE_NONE)
            continue;
        missing[pairs[i].release] -= amount;
        charge->units[mate] += amount;
        charge->expected[mate] = study->best->first_item + pairs[i].release;
        charge->rival[mate] = bl_rivals_stronger(
            charge->rival[mate], bl_rivals_of_pair(judge->compare, items, pairs, count, i));
    }
    /* what siblings never give back ends with their memory, which has not been freed here */
    for (uint32_t j = 0; j < study->best->item_count; j++)
        if (bl_item_is_acquire(&items[j]) && left[j] > 0 && d->mate[j] != BL_COMPARE_NONE)
            charge->units[d->mate[j]] += left[j];
}

/* Where most others of its references were given back, for each acquire of a history; else
 * BL_JUDGE_NONE. */
static void find_own_releases(const struct bl_pattern *live, const struct bl_pair *pairs,
                              size_t pair_count, uint32_t expected[BL_HISTORY_ITEMS])
{
    uint64_t most[BL_HISTORY_ITEMS] = {0};
    for (uint32_t i = 0; i < live->item_count; i++)
        expected[i] = BL_JUDGE_NONE;
    for (size_t i = 0; i < pair_count; i++) {
        uint32_t acquire = pairs[i].acquire;
        if (pairs[i].units <= most[acquire])
            continue;
        most[acquire] = pairs[i].units;
        expected[acquire] = live->first_item + pairs[i].release;
    }
}

/* What siblings did not take at all, the buffer itself may have given back at other times. */
static void find_expected_of_extra(struct bl_judge *judge, uint32_t pattern, struct charge *charge)
{
    const struct bl_pattern *live = &judge->histories->live[pattern];
    uint64_t left[BL_HISTORY_ITEMS];
    uint32_t expected[BL_HISTORY_ITEMS];
    const struct bl_pair *pairs;
    size_t count =
        bl_compare_pair(judge->compare, live, bl_paths_ends(judge, pattern), left, &pairs);
    find_own_releases(live, pairs, count, expected);
    for (uint32_t i = 0; i < live->item_count; i++)
        if (charge->expected[i] == BL_JUDGE_NONE)
            charge->expected[i] = expected[i];
}

/* Of what others that are not quite like it show: could it be another acquire, by its own history?
 */
static enum bl_rival rival_of_guess(struct bl_judge *judge, uint32_t pattern, uint32_t blamed)
{
    const struct bl_pattern *live = &judge->histories->live[pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    const struct bl_pair *pairs;
    uint64_t left[BL_HISTORY_ITEMS];
    enum bl_rival rival = BL_RIVAL_NONE;
    size_t count =
        bl_compare_pair(judge->compare, live, bl_paths_ends(judge, pattern), left, &pairs);
    for (uint32_t i = 0; i < live->item_count && left[blamed] == 0; i++)
        if (left[i] > 0 && bl_item_is_acquire(&items[i]) && !is_lasting(judge, &items[i]) &&
            !bl_rivals_is_excused(judge->compare, &items[i], &items[blamed]))
            return BL_RIVAL_ANY;
    for (size_t i = 0; i < count; i++)
        rival =
            bl_rivals_stronger(rival, bl_rivals_of_open(judge->compare, items, &pairs[i], blamed));
    return rival;
}

/* What siblings did not take at all was put down to a release that they did not make either, by how
 * near those are: could that as well have given back what is blamed, and the other one lack its
 * own?
 */
static enum bl_rival rival_of_given(const struct bl_judge *judge, const struct bl_pattern *live,
                                    const struct bl_difference *d, uint32_t blamed)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    enum bl_rival rival = BL_RIVAL_NONE;
    for (uint32_t i = 0; i < live->item_count; i++) {
        struct bl_pair pair = {.acquire = i, .release = d->given[i], .units = d->given_units[i]};
        if (d->given[i] != BL_COMPARE_NONE && !is_lasting(judge, &items[i]))
            rival =
                bl_rivals_stronger(rival, bl_rivals_of_open(judge->compare, items, &pair, blamed));
    }
    return rival;
}

/* Blames what the best comparison leaves over. Returns 0 without having blamed anything when it
 * explains nothing, 1 when it has, -1 without memory. */
static int blame_difference(struct bl_judge *judge, struct bl_decision decision,
                            const struct bl_study *study)
{
    const struct bl_pattern *live = &judge->histories->live[decision.pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    struct charge charge;
    bool is_any = false;
    if (study->difference.guess_cost > GUESS_MAX)
        return 0;
    clear_charge(&charge, live->item_count);
    find_partners(judge, study, &charge);
    for (uint32_t i = 0; i < live->item_count; i++)
        if (bl_item_is_acquire(&items[i]))
            charge.units[i] += study->difference.extra[i];
    find_expected_of_extra(judge, decision.pattern, &charge);
    for (uint32_t i = 0; i < live->item_count; i++) {
        if (charge.units[i] == 0 || is_lasting(judge, &items[i]))
            continue;
        is_any = true;
        decision.rival =
            bl_rivals_stronger(charge.rival[i], rival_of_given(judge, live, &study->difference, i));
        if (decision.is_guessed)
            decision.rival =
                bl_rivals_stronger(decision.rival, rival_of_guess(judge, decision.pattern, i));
        if (blame(judge, decision, i, charge.units[i], charge.expected[i]) < 0)
            return -1;
    }
    return is_any;
}

/* Were references taken at one place again and again, without any release? It is those that add up,
 * and whoever has the buffer need not have forgotten it: nothing else is kept in `left`. */
static bool keep_flows(const struct bl_judge *judge, uint32_t pattern, const struct bl_item *items,
                       uint32_t count, uint64_t *left)
{
    bool is_any = false;
    for (uint32_t i = 0; i < count; i++)
        is_any |= left[i] > 0 && bl_paths_is_flow(judge, pattern, &items[i]);
    for (uint32_t i = 0; i < count && is_any; i++)
        if (!bl_paths_is_flow(judge, pattern, &items[i]))
            left[i] = 0;
    return is_any;
}

/* Without siblings that explain it: pairs what the history itself has. */
static int blame_open_ends(struct bl_judge *judge, struct bl_decision decision, bool has_siblings)
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
    uint32_t expected[BL_HISTORY_ITEMS];
    size_t pair_count =
        bl_compare_pair(judge->compare, live, bl_paths_ends(judge, decision.pattern), left, &pairs);
    for (uint32_t i = 0; i < live->item_count; i++)
        has_release |= items[i].kind == BL_ITEM_RELEASE;
    find_own_releases(live, pairs, pair_count, expected);
    decision.is_open = true;
    decision.likeness = has_release ? BL_LIKENESS_GUESSED : BL_LIKENESS_EQUAL;
    bool is_flow =
        !has_release && keep_flows(judge, decision.pattern, items, live->item_count, left);
    if (!has_release && !is_flow && birth && !has_siblings && !is_lasting(judge, birth)) {
        /* one thing was forgotten, not each of its references */
        decision.verdict = never;
        return blame(judge, decision, (uint32_t)(birth - items), live->refs, BL_JUDGE_NONE);
    }
    bool is_any = false;
    for (uint32_t i = 0; i < live->item_count; i++) {
        if (!bl_item_is_acquire(&items[i]) || left[i] == 0 || is_lasting(judge, &items[i]))
            continue;
        decision.verdict = items[i].kind == BL_ITEM_ALLOC && !has_siblings ? never : missing;
        decision.rival = BL_RIVAL_NONE;
        for (size_t k = 0; k < pair_count; k++)
            decision.rival = bl_rivals_stronger(
                decision.rival, bl_rivals_of_open(judge->compare, items, &pairs[k], i));
        is_any = true;
        if (blame(judge, decision, i, left[i], expected[i]) < 0)
            return -1;
    }
    if (is_any)
        return 0;
    return leave_in_peace(judge, decision.pattern, decision.first_object, decision.object_count,
                          BL_GROUND_UNEXPLAINED);
}

static int accuse(struct bl_judge *judge, struct bl_decision decision, const struct bl_study *study)
{
    if (decision.object_count == 0)
        return 0;
    bool is_guess = study->difference.guess_cost > 0 && bl_paths_is_open(judge, decision.pattern);
    decision.is_led_on = is_guess && study->difference.is_led_on;
    /* others can be alike only by helpers that serve all: then they contradict each other */
    if (study->best &&
        !(is_guess && !decision.is_led_on && bl_paths_is_torn(judge, decision.pattern))) {
        decision.is_guessed = is_guess;
        int outcome = blame_difference(judge, decision, study);
        if (outcome != 0)
            return outcome < 0 ? -1 : 0;
        decision.is_guessed = decision.is_led_on = false;
    }
    return blame_open_ends(judge, decision, study->sibling_count > 0);
}

/* A release that siblings made and these have yet to make. */
static uint32_t find_outstanding(struct bl_judge *judge, uint32_t pattern,
                                 const struct bl_study *study)
{
    const struct bl_pattern *live = &judge->histories->live[pattern];
    struct charge charge;
    clear_charge(&charge, live->item_count);
    if (study->best)
        find_partners(judge, study, &charge);
    for (uint32_t i = 0; i < live->item_count; i++)
        if (charge.expected[i] != BL_JUDGE_NONE)
            return charge.expected[i];
    return BL_JUDGE_NONE;
}

/* Is hardly any of those that are not left behind, from `left` on, held by more than a pointer that
 * nobody uses any more, as such ones lie about, while many others are gone? A garbage collector
 * knows its pointers. */
static bool are_nearly_all_gone(const struct bl_judge *judge, size_t first, size_t count,
                                size_t left)
{
    size_t gone = 0;
    size_t held = 0;
    size_t all;
    const struct bl_tracked *tracked = bl_reader_objects(judge->reader, &all);
    for (size_t i = 0; i < count; i++) {
        const struct bl_history_object *object = &judge->histories->objects[first + i];
        if (tracked[object->index].object.flags & BL_OBJECT_REACHED)
            return false;
        gone += object->is_gone;
        held += i >= left && !object->is_barely_held;
    }
    return judge->is_final && held * GONE_EACH <= gone && (count - left) * GONE_EACH_BARE <= gone;
}

/* Of those that are left behind, as far as their order tells, what is done with now and then, or
 * what a thread has in its hands at the end, is not; what is gone is in any case, and says nothing
 * of the others, unless hardly any is not. */
int64_t bl_judge_find_left(struct bl_judge *judge, size_t first, size_t count,
                           const struct bl_study *study, bool *ret_is_behind)
{
    uint64_t often_ns = limit_of(study->p99_ns);
    uint64_t most_ns = limit_of(study->lifetimes.longest_ns);
    struct bl_left found;
    if (bl_left_find(judge, first, count, study, &found) < 0)
        return -1;
    size_t left = 0;
    *ret_is_behind = found.count > 0;
    if (found.count > 0)
        left = put_first(judge, first, count, study, found.lag, is_lagging);
    bool are_all = bl_left_are_others(study, &found, count - left) &&
                   (left > 0 || !bl_study_is_always_there(study, count));
    if (!judge->is_final)
        left = put_first(judge, first, left, study, often_ns, is_idle);
    if (are_all)
        left += put_first(judge, first + left, count - left, study, most_ns,
                          !judge->is_final                                ? is_idle
                          : bl_left_are_next(study, &found, count - left) ? is_old
                                                                          : is_not_busy);
    left += put_first(judge, first + left, count - left, study, 0, is_gone);
    return (int64_t)(are_nearly_all_gone(judge, first, count, left) ? count : left);
}

/* What is in use is left in peace; returns how many of the decision's objects are not. */
static int64_t leave_the_young(struct bl_judge *judge, struct bl_decision *decision,
                               const struct bl_study *study)
{
    size_t first = decision->first_object;
    size_t count = decision->object_count;
    int64_t old = bl_judge_find_left(judge, first, count, study, &decision->is_left_behind);
    if (old < 0 || leave_in_peace(judge, decision->pattern, first + (size_t)old,
                                  count - (size_t)old, BL_GROUND_IN_USE) < 0)
        return -1;
    if ((size_t)old < count)
        judge->decisions[judge->decision_count - 1].expected =
            find_outstanding(judge, decision->pattern, study);
    return old;
}

static bool is_latest(const struct bl_judge *judge, const struct bl_decision *decision,
                      const struct bl_study *study)
{
    const struct bl_history_object *object = &judge->histories->objects[decision->first_object];
    return decision->object_count == 1 && !bl_order_is_overlapping(&study->order) &&
           bl_order_lag(&study->order, object->birth_ns, object->birth) == 0 && !object->is_gone;
}

/* What was left behind, but is not stale yet. */
static int leave_the_old(struct bl_judge *judge, const struct bl_decision *decision, size_t first,
                         size_t count)
{
    if (leave_in_peace(judge, decision->pattern, first, count, BL_GROUND_OLD) < 0)
        return -1;
    if (count == 0)
        return 0;
    struct bl_decision *old = &judge->decisions[judge->decision_count - 1];
    old->siblings = decision->siblings;
    old->sibling_p99_ns = decision->sibling_p99_ns;
    return 0;
}

/* The objects began as siblings did that ended well. */
static int judge_beginning(struct bl_judge *judge, struct bl_decision decision,
                           const struct bl_study *study)
{
    size_t first = decision.first_object;
    decision.is_passed_by = !study->is_beginning && study->part_count >= USUAL;
    int64_t old = leave_the_young(judge, &decision, study);
    if (old < 0)
        return -1;
    decision.object_count = (size_t)old;
    decision.is_latest = is_latest(judge, &decision, study);
    /* on the way that siblings took, only time tells: it may still be released */
    if (!judge->is_final && study->is_beginning && study->part_cost == 0) {
        decision.object_count = put_first(judge, first, (size_t)old, study, 0, is_gone);
        if (accuse(judge, decision, study) < 0)
            return -1;
        first += decision.object_count;
        old -= (int64_t)decision.object_count;
        decision.first_object = first;
        size_t stale =
            put_first(judge, first, (size_t)old, study, bl_judge_far_ns(study->p99_ns), is_idle);
        if (leave_the_old(judge, &decision, first + stale, (size_t)old - stale) < 0)
            return -1;
        decision.object_count = stale;
        decision.verdict = BL_VERDICT_STALE;
    }
    return accuse(judge, decision, study);
}

static enum bl_ground ground_of(enum bl_doubt doubt)
{
    static const enum bl_ground grounds[] = {
        [BL_DOUBT_MOVING] = BL_GROUND_MOVING,      [BL_DOUBT_OVERFLOW] = BL_GROUND_OVERFLOW,
        [BL_DOUBT_DRIFTED] = BL_GROUND_DRIFTED,    [BL_DOUBT_INHERITED] = BL_GROUND_INHERITED,
        [BL_DOUBT_GHOST] = BL_GROUND_UNEXPLAINED,  [BL_DOUBT_SETTLED] = BL_GROUND_SETTLED,
        [BL_DOUBT_OWNER] = BL_GROUND_OWNER_UNSEEN, [BL_DOUBT_PARTIAL] = BL_GROUND_PARTIAL,
    };
    return grounds[doubt];
}

static enum bl_likeness likeness_of(const struct bl_study *study)
{
    const struct bl_difference *d = &study->difference;
    if (!study->best || d->guess_cost > d->match_cost)
        return BL_LIKENESS_GUESSED;
    return d->match_cost > 0 ? BL_LIKENESS_SITES : BL_LIKENESS_EQUAL;
}

/* Have others like these ended in a way that was not seen, or can they, and none in another? */
static bool are_calls_missed(const struct bl_judge *judge, const struct bl_pattern *live,
                             bool has_siblings)
{
    const struct bl_class *class = bl_reader_class(judge->reader, live->class_number);
    const struct bl_item *birth = bl_pattern_birth(judge->histories, live);
    if (!has_siblings && ((class && class->flags & BL_CLASS_PARTIAL) ||
                          bl_compare_mostly_unseen(judge->compare, live->class_number)))
        return true;
    return birth && bl_compare_ended_unseen(judge->compare, live->class_number,
                                            bl_callers_site(judge->callers, birth->callers));
}

static int judge_pattern(struct bl_judge *judge, uint32_t number, struct bl_study *study)
{
    const struct bl_pattern *live = &judge->histories->live[number];
    size_t first = live->first_object;
    size_t count = live->object_count;
    if (live->doubt != BL_DOUBT_NONE)
        return leave_in_peace(judge, number, first, count, ground_of(live->doubt));
    if (lasting_units(judge, live) >= live->refs)
        return leave_in_peace(judge, number, first, count, BL_GROUND_LASTING);
    bl_study_siblings(judge, live, study);
    if (study->is_cut)
        return leave_in_peace(judge, number, first, count, BL_GROUND_UNEXPLAINED);
    if (are_calls_missed(judge, live, study->sibling_count > 0))
        return leave_in_peace(judge, number, first, count, BL_GROUND_PARTIAL);
    if (live->is_owned && bl_owned_is_left(judge, live, study->sibling_count > 0))
        return leave_in_peace(judge, number, first, count, BL_GROUND_OWNED);
    struct bl_decision decision = {.pattern = number,
                                   .first_object = first,
                                   .object_count = count,
                                   .verdict = BL_VERDICT_MISSING_RELEASE,
                                   .ground = BL_GROUND_ACCUSED,
                                   .siblings = study->part_count,
                                   .sibling_p99_ns = study->p99_ns,
                                   .sibling_longest_ns = study->longest_ns,
                                   .likeness = likeness_of(study),
                                   .is_unmatched = study->sibling_count == 0,
                                   .owner = BL_JUDGE_NONE};
    if (study->best && study->part_count > 0 && study->part_cost <= study->difference.cost)
        return judge_beginning(judge, decision, study);
    if (!judge->is_final && oldest_age(judge, live) <= judge->guard_ns) {
        /* what is gone can be released no more and need not grow older */
        size_t gone = put_first(judge, first, count, study, 0, is_gone);
        decision.object_count = gone;
        if (leave_in_peace(judge, number, first + gone, count - gone, BL_GROUND_YOUNG) < 0)
            return -1;
    }
    return accuse(judge, decision, study);
}

static bool has_over_release(const struct bl_judge *judge, const struct bl_pattern *pattern)
{
    const struct bl_item *items = bl_pattern_items(judge->histories, pattern);
    for (uint32_t i = 0; i < pattern->item_count; i++)
        if (items[i].kind == BL_ITEM_OVER_RELEASE)
            return true;
    return false;
}

static int judge_one(struct bl_judge *judge, uint32_t number, struct bl_study *study)
{
    const struct bl_pattern *live = &judge->histories->live[number];
    if (live->doubt == BL_DOUBT_GHOST || has_over_release(judge, live))
        return 0;
    return judge_pattern(judge, number, study);
}

/* Decides again about the patterns of torn paths. */
static int judge_torn(struct bl_judge *judge, struct bl_study *study)
{
    struct bl_decision *former = judge->decisions;
    size_t count = judge->decision_count;
    size_t at = 0;
    int outcome = 0;
    judge->decisions = NULL;
    judge->decision_count = judge->decision_room = 0;
    for (size_t i = 0; i < judge->histories->live_count && outcome == 0; i++) {
        bool is_torn = bl_paths_is_torn(judge, (uint32_t)i);
        for (; at < count && former[at].pattern == i && outcome == 0; at++)
            if (!is_torn)
                outcome = bl_judge_add(judge, former[at]) ? 0 : -1;
        if (is_torn && outcome == 0)
            outcome = judge_one(judge, (uint32_t)i, study);
    }
    free(former);
    return outcome;
}

int bl_judge_decide(struct bl_judge *judge)
{
    struct bl_study *study = malloc(sizeof(*study));
    int outcome = 0;
    if (!study || bl_paths_learn(judge) < 0) {
        free(study);
        return bl_judge_out_of_memory(judge);
    }
    for (size_t i = 0; i < judge->histories->live_count && outcome == 0; i++)
        outcome = judge_one(judge, (uint32_t)i, study);
    if (outcome == 0 && bl_paths_find_torn(judge))
        outcome = judge_torn(judge, study);
    free(study);
    return outcome;
}
