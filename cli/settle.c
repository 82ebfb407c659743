/*
 * What looks guilty as single buffers only: pools, caches, singletons, what a program or a library
 * sets up. Judged is the whole group that is blamed on one acquire.
 */
#include "activity.h"
#include "cut_off.h"
#include "hands.h"
#include "judge.h"

#include <math.h>
#include <string.h>

#define STEADY_CHANCE     0.02 /* that leaks spread over the run all came this early */
#define STEADY_SHARE      0.25 /* of the work, or time, of the run: flat after it */
#define STEADY_SHARE_SEEN 0.5  /* the same where the site's memory was seen to be flat */
#define START_UP_SHARE    0.05
#define WORK_LEAST        20                    /* buffers that ended, to measure by */
#define TIME_LEAST        (BL_JUDGE_SECOND / 2) /* to measure by time instead */
#define SINGLETONS_MANY   16u
#define FLOW_LEAST        3u
#define LATE_SHARE        0.5
#define SET_UP_NS         (10 * BL_JUDGE_TICK_NS) /* a call that loads modules takes its time */
#define FEW               3u
#define USES_LEAST        6u  /* of a pool's buffer, to tell it by them */
#define AMONG_MOST        64u /* decisions of a group that are compared with all others */
#define EVENTS_MAX        64u /* of a buffer's history, that are looked at */
#define DEEP_INSIDE       5u  /* frames of the library between the user's call and the birth */

/* Does the blamed acquire take references again and again, and keep more of them than the one that
 * whoever holds the buffer may have? */
static bool is_flow(const struct bl_judge *judge, const struct bl_decision *decision)
{
    const struct bl_item *item = &judge->histories->items[decision->item];
    return decision->units >= SINGLETONS_MANY ||
           (decision->units >= FLOW_LEAST && decision->units < item->units) ||
           bl_paths_is_flow(judge, decision->pattern, item);
}

/* Are they buffers that references are taken of again and again? How much memory they are says
 * nothing of those. */
static bool are_flows(const struct bl_judge *judge, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (judge->decisions[i].item == BL_JUDGE_NONE || !is_flow(judge, &judge->decisions[i]))
            return false;
    return true;
}

/* Of the references that a buffer was given again and again at the blamed acquire: were more given
 * back elsewhere than are left of it? So they are where a queue is emptied in the end. Which of the
 * buffer's references such a release gave back, only nearness tells, and what is left may as well
 * be what the program took for itself once. */
static bool is_mixed(const struct bl_judge *judge, const struct bl_decision *decision)
{
    const struct bl_pattern *live = &judge->histories->live[decision->pattern];
    const struct bl_item *items = bl_pattern_items(judge->histories, live);
    uint64_t taken = items[decision->item - live->first_item].units;
    uint64_t left[BL_HISTORY_ITEMS];
    const struct bl_pair *pairs;
    uint64_t most = 0;
    if (decision->units >= taken || bl_compare_work(judge->compare) > 2 * BL_JUDGE_WORK)
        return false;
    size_t count = bl_compare_pair(judge->compare, live, bl_paths_ends(judge, decision->pattern),
                                   left, &pairs);
    for (size_t i = 0; i < count; i++) {
        uint64_t given = 0;
        for (size_t k = 0; k < count; k++)
            if (live->first_item + pairs[k].acquire == decision->item &&
                items[pairs[k].release].site == items[pairs[i].release].site)
                given += pairs[k].units;
        most = given > most ? given : most;
    }
    return taken > most && 2 * decision->units <= taken - most;
}

static bool are_mixed(const struct bl_judge *judge, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (!is_mixed(judge, &judge->decisions[i]))
            return false;
    return true;
}

/* When the last reference was taken at the blamed acquire of any of a decision's buffers. What is
 * done with them elsewhere says nothing of those; 0: it is not known. */
static uint64_t find_last_taken(const struct bl_judge *judge, const struct bl_decision *decision)
{
    const struct bl_item *item = &judge->histories->items[decision->item];
    struct bl_event events[EVENTS_MAX];
    uint64_t last_ns = 0;
    size_t all;
    const struct bl_tracked *tracked = bl_reader_objects(judge->reader, &all);
    for (size_t k = 0; k < decision->object_count; k++) {
        size_t index = judge->histories->objects[decision->first_object + k].index;
        const struct bl_object *record = &tracked[index].object;
        size_t count = bl_reader_history(judge->reader, record->events, record->event_count, events,
                                         EVENTS_MAX);
        for (size_t i = 0; i < count; i++)
            if (events[i].stack == item->stack && events[i].delta > 0 &&
                events[i].time_ns > last_ns)
                last_ns = events[i].time_ns;
    }
    return last_ns;
}

/* When the last of a group was born, or taken a reference of that others were taken before; and
 * whether it was such a reference, or may have been. */
static uint64_t find_youngest(const struct bl_judge *judge, size_t first, size_t end,
                              bool *ret_is_taken)
{
    uint64_t youngest_ns = bl_grouping_span(judge, first, end).youngest_birth_ns;
    *ret_is_taken = false;
    for (size_t i = first; i < end; i++) {
        const struct bl_pattern *live = &judge->histories->live[judge->decisions[i].pattern];
        if (!is_flow(judge, &judge->decisions[i]) || live->latest_ns < youngest_ns)
            continue;
        uint64_t taken_ns = find_last_taken(judge, &judge->decisions[i]);
        taken_ns = taken_ns > 0 ? taken_ns : live->latest_ns;
        *ret_is_taken |= taken_ns >= youngest_ns;
        youngest_ns = taken_ns > youngest_ns ? taken_ns : youngest_ns;
    }
    return youngest_ns;
}

static const struct bl_history_object *find_youngest_object(const struct bl_judge *judge,
                                                            size_t first, size_t end)
{
    const struct bl_history_object *youngest = NULL;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        for (size_t k = 0; k < decision->object_count; k++) {
            const struct bl_history_object *object =
                &judge->histories->objects[decision->first_object + k];
            if (!youngest || object->birth_ns > youngest->birth_ns ||
                (object->birth_ns == youngest->birth_ns &&
                 (int32_t)(object->birth - youngest->birth) > 0))
                youngest = object;
        }
    }
    return youngest;
}

/* The same share by the numbers of births, which a burst of work does not deceive. A reference has
 * no number, only a tick of the clock: whatever was born within that may have been there before
 * it, in a short run all there was. */
static double share_of_births(const struct bl_judge *judge, size_t first, size_t end,
                              const struct bl_circle *circle, uint64_t youngest_ns, bool is_taken)
{
    const struct bl_history_object *youngest = find_youngest_object(judge, first, end);
    if (is_taken)
        return bl_activity_share_until(judge->histories, judge->callers, circle, youngest_ns);
    if (!youngest || youngest->birth_ns != youngest_ns)
        return 0;
    return bl_activity_share_by(judge->histories, judge->callers, circle, youngest->birth_ns,
                                youngest->birth);
}

/* Which share of the work was done when the youngest of a group came: of what was born on the same
 * path, if enough ended there, else of the class, else of all. Without any, of the time until the
 * last thing happened that was seen. 1 when there is nothing to measure by, or where that work was
 * over; but where only others of the class were, and by all work it was start-up, they may have
 * been tried out first. How many others of its kind were made is no work by which references of one
 * buffer could have been taken: those are measured by all. */
static double share_at_youngest(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t start_ns = bl_reader_header(judge->reader)->start_ns;
    bool is_taken;
    uint64_t youngest_ns = find_youngest(judge, first, end, &is_taken);
    const struct bl_item *birth = bl_decision_birth(judge, &judge->decisions[first]);
    struct bl_circle circle = {.is_of_class = true,
                               .class_number = bl_decision_class(judge, &judge->decisions[first]),
                               .is_of_path = birth != NULL,
                               .path = birth ? bl_callers_whole(judge->callers, birth->callers) : 0,
                               .least = WORK_LEAST};
    bool is_over = false;
    for (unsigned wider = are_flows(judge, first, end) ? 2 : 0; wider < 3; wider++) {
        circle.is_of_path &= wider == 0;
        circle.is_of_class &= wider < 2;
        struct bl_work work =
            bl_activity_at(judge->histories, judge->callers, &circle, start_ns, youngest_ns);
        if (work.completed < WORK_LEAST)
            continue;
        double by_births = share_of_births(judge, first, end, &circle, youngest_ns, is_taken);
        if (work.after < WORK_LEAST || (is_taken && by_births >= 1)) {
            if (wider != 1)
                return 1;
            is_over = true;
            continue;
        }
        double share = fmax(work.before / (work.before + work.after), by_births);
        return is_over && share > START_UP_SHARE ? 1 : share;
    }
    if (youngest_ns < start_ns || judge->activity_end_ns - start_ns < TIME_LEAST)
        return 1;
    return (double)(youngest_ns + BL_JUDGE_TICK_NS - start_ns) /
           (double)(judge->activity_end_ns - start_ns);
}

/* How far the thread that made the youngest of a group had come in its own life then, if that is
 * over: one that ended soon after could make no more of them. 0: it lives. */
static double share_of_thread(const struct bl_judge *judge, size_t first, size_t end)
{
    const struct bl_history_object *youngest = find_youngest_object(judge, first, end);
    const struct bl_thread *thread =
        youngest ? bl_reader_thread(judge->reader, youngest->thread) : NULL;
    if (!thread || !(thread->flags & BL_THREAD_ENDED) || thread->end_ns <= thread->start_ns ||
        youngest->birth_ns < thread->start_ns)
        return 0;
    return (double)(youngest->birth_ns - thread->start_ns) /
           (double)(thread->end_ns - thread->start_ns);
}

/* Did the group fill up early and stop, while the program went on? Then it is a pool, a cache, or
 * made at start-up. Leaks that are as likely at any time would hardly all have come so early. What
 * was followed in time, and does not grow any more, need not have been that early. */
static bool is_steady(const struct bl_judge *judge, size_t first, size_t end,
                      const struct bl_growth *growth, double *ret_steadiness)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    double share = share_at_youngest(judge, first, end);
    bool is_seen = growth && growth->found.trend == BL_TREND_STEADY;
    double most = is_seen ? STEADY_SHARE_SEEN : STEADY_SHARE;
    if (judge->decisions[first].siblings > 0 && share_of_thread(judge, first, end) > most)
        return false;
    bool is_flow_only = are_flows(judge, first, end);
    uint64_t count = is_flow_only ? judge->decisions[first].units : span.count;
    double chance = pow(share, (double)count);
    *ret_steadiness = count > 1 && chance < STEADY_CHANCE ? 1 - chance : 0;
    if (is_seen && *ret_steadiness > growth->confidence)
        *ret_steadiness = growth->confidence;
    return share <= START_UP_SHARE || (share <= most && chance < STEADY_CHANCE);
}

/* Were all left behind after the release that they lack had been due? What is kept from a pool or
 * in a cache is where siblings were before they were released, however early it came. */
static bool are_passed_by(const struct bl_judge *judge, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (!judge->decisions[i].is_passed_by || !judge->decisions[i].is_left_behind)
            return false;
    return true;
}

static bool is_alone(const struct bl_judge *judge, const struct bl_item *item, uint64_t units)
{
    return judge->counts->stacks[item->stack] <= units;
}

/* Is this the only buffer that was born or retained on its path, the library's inside included? And
 * were all references that it took there kept, and not many? */
static bool is_single(const struct bl_judge *judge, const struct bl_decision *decision)
{
    const struct bl_item *item = &judge->histories->items[decision->item];
    const struct bl_item *birth = bl_decision_birth(judge, decision);
    if (decision->object_count > 1 || is_flow(judge, decision))
        return false;
    return is_alone(judge, item, item->units) || (birth && is_alone(judge, birth, birth->units));
}

/* Were half of them or more the only buffer that came by on its path? A singleton, or what a
 * program makes once per type or file, looks like that and lives for ever. Many of them, still
 * coming late in the run, are no start-up. */
static bool are_singletons(const struct bl_judge *judge, size_t first, size_t end)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    uint64_t single = 0;
    for (size_t i = first; i < end; i++)
        single += is_single(judge, &judge->decisions[i]);
    if (single * 2 < span.count)
        return false;
    return span.count < SINGLETONS_MANY || share_at_youngest(judge, first, end) < LATE_SHARE;
}

/* Was each of them retained and given back again and again since the last of them was made? So a
 * pool is filled and then used; what is forgotten after its use was made among the uses of others.
 */
static bool are_made_before_use(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t youngest_ns = bl_grouping_span(judge, first, end).youngest_birth_ns;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        const struct bl_pattern *live = &judge->histories->live[decision->pattern];
        const struct bl_item *items = bl_pattern_items(judge->histories, live);
        uint64_t given = 0;
        for (uint32_t k = 0; k < live->item_count; k++)
            given += items[k].kind == BL_ITEM_RELEASE ? items[k].units : 0;
        if (given < USES_LEAST)
            return false;
        for (size_t k = 0; k < decision->object_count; k++)
            if (judge->histories->objects[decision->first_object + k].latest_ns <= youngest_ns)
                return false;
    }
    return true;
}

/* Were a few of them made at one moment deep inside the library, by one call of its user, as what
 * it sets up for itself is? Its users cannot release that. */
static bool are_set_up_inside(const struct bl_judge *judge, size_t first, size_t end)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    uint32_t call = 0;
    if (span.count >= SINGLETONS_MANY || span.youngest_birth_ns - span.oldest_birth_ns > SET_UP_NS)
        return false;
    for (size_t i = first; i < end; i++) {
        const struct bl_item *birth = bl_decision_birth(judge, &judge->decisions[i]);
        size_t depth;
        const struct bl_caller *site =
            birth ? bl_callers_frames(judge->callers, birth->callers, &depth) : NULL;
        if (!site || site->inside < DEEP_INSIDE || (call && site->frame != call))
            return false;
        call = site->frame;
        /* nor has any born there ended otherwise, nor was one retained by somebody else */
        if (judge->counts->stacks[birth->stack] > span.count ||
            judge->histories->items[judge->decisions[i].item].kind != BL_ITEM_ALLOC)
            return false;
    }
    return true;
}

void bl_decision_settle(const struct bl_judge *judge, struct bl_decision *decision,
                        enum bl_ground ground)
{
    const struct bl_item *birth = bl_decision_birth(judge, decision);
    decision->verdict = BL_VERDICT_UNRELEASED;
    decision->ground = ground;
    decision->chain = birth ? bl_callers_site(judge->callers, birth->callers) : 0;
}

/* ---- all of it ---- */

/* Of what nothing was ever released of, by the site's memory in time, else by how it came. */
static enum bl_ground course_of(const struct bl_judge *judge, size_t first, size_t end,
                                const struct bl_growth *growth)
{
    enum bl_trend trend = growth ? growth->found.trend : BL_TREND_UNKNOWN;
    if (trend == BL_TREND_STEADY || trend == BL_TREND_SHRINKING || trend == BL_TREND_SAWTOOTH)
        return BL_GROUND_STEADY;
    if (trend == BL_TREND_SATURATING)
        return BL_GROUND_FILLING;
    return bl_course_of(judge, first, end);
}

/* Are they one or two of a running process, done with as no other was, but no older than others
 * that were born there became? Where much happens to each, in many orders, somebody's next is
 * always the first of its kind. */
static bool are_few_and_young(const struct bl_judge *judge, size_t first, size_t end)
{
    struct bl_span span = bl_grouping_span(judge, first, end);
    if (judge->is_final || span.count >= FEW)
        return false;
    for (size_t i = first; i < end; i++) {
        uint64_t longest_ns = judge->decisions[i].sibling_longest_ns;
        uint64_t limit_ns = longest_ns + longest_ns / 2 + BL_JUDGE_TICK_NS;
        if (span.oldest_birth_ns + limit_ns < judge->model->now_ns)
            return false;
    }
    return true;
}

/* Of a group, those that nobody has any more. */
static uint64_t count_gone(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t count = 0;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        for (size_t k = 0; k < decision->object_count; k++)
            count += judge->histories->objects[decision->first_object + k].is_gone;
    }
    return count;
}

/* Is a decision about objects in use, from the same place and before the same release, among which
 * are those of another one? */
static bool is_among(const struct bl_judge *judge, const struct bl_decision *decision,
                     const struct bl_decision *in_use)
{
    const struct bl_item *birth = bl_decision_birth(judge, decision);
    const struct bl_item *its = bl_decision_birth(judge, in_use);
    const struct bl_item *items = judge->histories->items;
    if (in_use->ground != BL_GROUND_IN_USE || in_use->expected == BL_JUDGE_NONE || !birth || !its ||
        birth->site != its->site || in_use->object_count == 0 ||
        bl_decision_class(judge, decision) != bl_decision_class(judge, in_use) ||
        items[decision->expected].site != items[in_use->expected].site)
        return false;
    struct bl_span span = {.oldest_birth_ns = UINT64_MAX};
    for (size_t k = 0; k < in_use->object_count; k++) {
        const struct bl_history_object *object =
            &judge->histories->objects[in_use->first_object + k];
        if (object->birth_ns < span.oldest_birth_ns)
            span.oldest_birth_ns = object->birth_ns;
    }
    for (size_t k = 0; k < decision->object_count; k++)
        if (judge->histories->objects[decision->first_object + k].birth_ns < span.oldest_birth_ns)
            return false;
    return true;
}

/* Do buffers that are accused of something else as well lack a release that is not due yet, as it
 * is not for others of the same age? One that a cache has can have lost a reference besides. */
static bool are_among_those_in_use(const struct bl_judge *judge, size_t first, size_t end)
{
    if (end - first > AMONG_MOST)
        return false;
    for (size_t i = first; i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        bool is_accused = false;
        bool is_in_use = false;
        if (decision->expected == BL_JUDGE_NONE)
            return false;
        for (size_t k = 0; k < judge->decision_count && !(is_accused && is_in_use); k++) {
            const struct bl_decision *other = &judge->decisions[k];
            is_accused |= (k < first || k >= end) && bl_decision_is_accused(other) &&
                          other->pattern == decision->pattern &&
                          other->first_object == decision->first_object;
            is_in_use |= is_among(judge, decision, other);
        }
        if (!is_accused || !is_in_use)
            return false;
    }
    return true;
}

/* Has nothing that was born where they were ever ended? */
static bool are_unmatched(const struct bl_judge *judge, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        if (!judge->decisions[i].is_unmatched)
            return false;
    return true;
}

static enum bl_ground ground_of(struct bl_judge *judge, size_t first, size_t end,
                                double *ret_steadiness)
{
    enum bl_verdict verdict = judge->decisions[first].verdict;
    struct bl_span span = bl_grouping_span(judge, first, end);
    enum bl_ground ground = BL_GROUND_ACCUSED;
    if (verdict == BL_VERDICT_OVER_RELEASE || verdict == BL_VERDICT_UNRELEASED)
        return BL_GROUND_ACCUSED;
    const struct bl_growth *growth = bl_course_growth(judge, first, end);
    if (bl_course_is_growing(growth, span))
        return BL_GROUND_ACCUSED;
    if (are_flows(judge, first, end))
        growth = NULL;
    if (!are_passed_by(judge, first, end) && is_steady(judge, first, end, growth, ret_steadiness))
        return BL_GROUND_STEADY;
    if (verdict == BL_VERDICT_STALE)
        return span.count < FEW ? BL_GROUND_FEW : BL_GROUND_ACCUSED;
    if (are_flows(judge, first, end) && are_mixed(judge, first, end))
        return BL_GROUND_MIXED;
    if (are_singletons(judge, first, end) || are_set_up_inside(judge, first, end))
        return BL_GROUND_ONCE;
    uint64_t gone = count_gone(judge, first, end);
    bool may_be_held = gone == 0; /* one that is gone is a leak, and the others are as it is */
    if (may_be_held && are_few_and_young(judge, first, end))
        return BL_GROUND_YOUNG;
    if (may_be_held &&
        (bl_hands_may_hold(judge, first, end) || are_among_those_in_use(judge, first, end)))
        return BL_GROUND_IN_USE;
    if (may_be_held && bl_hands_hold(judge, first, end))
        return BL_GROUND_HANDS;
    if (may_be_held && bl_cut_off_has(judge, first, end))
        return BL_GROUND_CUT_OFF;
    if (verdict == BL_VERDICT_NEVER_RELEASED && are_made_before_use(judge, first, end))
        return BL_GROUND_STEADY;
    /* nor does a cache or a pool have what is gone, whenever that was made */
    if ((verdict == BL_VERDICT_NEVER_RELEASED || are_unmatched(judge, first, end)) &&
        (gone < span.count || span.count < FEW))
        ground = course_of(judge, first, end, growth);
    if (ground == BL_GROUND_STEADY)
        *ret_steadiness = growth->confidence;
    return ground;
}

void bl_settle_groups(struct bl_judge *judge)
{
    for (size_t i = 0; i < judge->decision_count;) {
        size_t end = bl_grouping_end(judge, i);
        double steadiness = 0;
        enum bl_ground ground = ground_of(judge, i, end, &steadiness);
        for (size_t k = i; k < end && ground != BL_GROUND_ACCUSED; k++) {
            bl_decision_settle(judge, &judge->decisions[k], ground);
            judge->decisions[k].steadiness = ground == BL_GROUND_STEADY ? steadiness : 0;
        }
        i = end;
    }
}
