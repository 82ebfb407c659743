/*
 * How the buffers of a group came: again and again as the work went on, all at about one moment, or
 * ever fewer.
 *
 * Asked of what nothing was ever released of. With no sibling to compare with, only repetition
 * tells a leak from what a program sets up for itself, such as the pools of its threads, and from a
 * cache that fills. Best known is that where the site was followed in time (growth.h). Else the
 * clock is the work of others: the births of those that ended (activity.h).
 */
#include "activity.h"
#include "judge.h"

#include <math.h>
#include <stdlib.h>

#define MOMENTS      16u             /* of a group's births stand for all */
#define MANY         16u             /* fewer may be chance */
#define SET_UP_NS    BL_JUDGE_SECOND /* a process that began so long ago may not be set up yet */
#define MOMENT_SHARE 0.05            /* of the work */
#define SLOT_NS      100000000ull
#define OF_A_THREAD  2u   /* made with it */
#define SLOTS        8u   /* different ones among the moments are repetition */
#define FILLING_Z    2.33 /* one in a hundred leaks would slow down as much by chance */
#define WORK_ERROR   0.05 /* of all work; when it was done is known from means and extremes alone */

/* ---- followed in time ---- */

static uint32_t site_of(const struct bl_judge *judge, const struct bl_decision *decision)
{
    const struct bl_item *birth = bl_decision_birth(judge, decision);
    uint32_t number =
        birth ? bl_callers_find(judge->callers, bl_decision_class(judge, decision), birth->stack)
              : UINT32_MAX;
    return number == UINT32_MAX ? 0 : bl_callers_site(judge->callers, number);
}

const struct bl_growth *bl_course_growth(const struct bl_judge *judge, size_t first, size_t end)
{
    const struct bl_growth *found = NULL;
    uint32_t class_number = bl_decision_class(judge, &judge->decisions[first]);
    if (!judge->growth || judge->growth->site_count == 0)
        return NULL;
    uint32_t site = site_of(judge, &judge->decisions[first]);
    for (size_t i = first + 1; i < end; i++)
        if (site_of(judge, &judge->decisions[i]) != site)
            return NULL;
    for (size_t i = 0; i < judge->growth->site_count; i++) {
        const struct bl_growth *one = &judge->growth->sites[i];
        if (judge->growth_chains[i] == site && one->line->class_number == class_number &&
            (!found || one->line->count > found->line->count))
            found = one;
    }
    return found;
}

bool bl_course_is_growing(const struct bl_growth *growth, struct bl_span span)
{
    if (!growth || growth->found.trend != BL_TREND_GROWING)
        return false;
    uint64_t judged_ns = growth->found.to_ns - growth->found.from_ns;
    double grown = growth->found.count_per_s * (double)judged_ns / 1e9;
    return span.youngest_birth_ns >= growth->found.from_ns + judged_ns / 2 &&
           2 * (double)span.count >= grown;
}

/* ---- by the work of others ---- */

static int compare_times(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* The births of a group from a moment on, in order; NULL without memory. */
static uint64_t *collect_births(const struct bl_judge *judge, size_t first, size_t end,
                                uint64_t from_ns, size_t *ret_count)
{
    uint64_t *births = calloc(bl_grouping_span(judge, first, end).count + 1, sizeof(*births));
    size_t count = 0;
    for (size_t i = first; births && i < end; i++) {
        const struct bl_decision *decision = &judge->decisions[i];
        for (size_t k = 0; k < decision->object_count; k++) {
            uint64_t birth_ns = judge->histories->objects[decision->first_object + k].birth_ns;
            if (birth_ns >= from_ns)
                births[count++] = birth_ns;
        }
    }
    if (count > 1)
        qsort(births, count, sizeof(*births), compare_times);
    *ret_count = count;
    return births;
}

struct course {
    uint64_t at_ns[MOMENTS]; /* evenly chosen births, in order */
    double work[MOMENTS];    /* what others had done by then; all 0 when that was not much */
    double count;            /* births */
};

static void measure(const struct bl_judge *judge, const struct bl_decision *decision,
                    struct course *course)
{
    uint64_t start_ns = bl_reader_header(judge->reader)->start_ns;
    struct bl_circle circle = {
        .is_of_class = true, .class_number = bl_decision_class(judge, decision), .least = HUGE_VAL};
    for (unsigned wider = 0; wider < 2; wider++) {
        circle.is_of_class = wider == 0;
        for (size_t i = 0; i < MOMENTS; i++)
            course->work[i] = bl_activity_at(judge->histories, judge->callers, &circle, start_ns,
                                             course->at_ns[i])
                                  .completed_before;
        if (course->work[MOMENTS - 1] - course->work[0] >= course->count)
            return;
    }
    for (size_t i = 0; i < MOMENTS; i++)
        course->work[i] = 0;
}

/* By the clock of others' work between the first and the last of them, births spread evenly are in
 * the middle on average, as exactly as their number, that clock and the ticks of the real one can
 * tell: in a run of some ticks nothing is seen to slow down. */
static bool is_filling(const struct course *course)
{
    double first = course->work[0];
    double span = course->work[MOMENTS - 1] - first;
    double span_ns = (double)(course->at_ns[MOMENTS - 1] - course->at_ns[0]);
    double by_chance = FILLING_Z / sqrt(12 * course->count);
    double by_ticks = (double)BL_JUDGE_TICK_NS / fmax(span_ns, 1);
    double sum = 0;
    for (size_t i = 0; i < MOMENTS; i++)
        sum += (course->work[i] - first) / span;
    return 0.5 - sum / MOMENTS > by_chance + by_ticks + WORK_ERROR;
}

static bool is_spread_in_time(const struct course *course)
{
    unsigned slots = 1;
    for (size_t i = 1; i < MOMENTS; i++)
        slots += course->at_ns[i] / SLOT_NS != course->at_ns[i - 1] / SLOT_NS;
    return slots >= SLOTS;
}

bool bl_course_is_moment(const struct bl_judge *judge, uint64_t from_ns, uint64_t to_ns)
{
    uint64_t start_ns = bl_reader_header(judge->reader)->start_ns;
    const struct bl_circle all = {.least = HUGE_VAL};
    if (to_ns <= from_ns + BL_JUDGE_TICK_NS)
        return true;
    struct bl_work from = bl_activity_at(judge->histories, judge->callers, &all, start_ns, from_ns);
    struct bl_work to = bl_activity_at(judge->histories, judge->callers, &all, start_ns, to_ns);
    return to.completed >= MANY &&
           to.completed_before - from.completed_before <= MOMENT_SHARE * to.completed;
}

/* Threads that began about when these were made, and go on. */
static size_t count_threads(const struct bl_judge *judge, uint64_t first_ns, uint64_t last_ns)
{
    size_t count = 0;
    for (uint32_t i = 1; i < bl_reader_count(judge->reader, BL_SECTION_THREADS); i++) {
        const struct bl_thread *thread = bl_reader_thread(judge->reader, i);
        count += thread && !(thread->flags & BL_THREAD_ENDED) &&
                 thread->start_ns + SLOT_NS >= first_ns && thread->start_ns <= last_ns + SLOT_NS;
    }
    return count;
}

enum bl_ground bl_course_of(const struct bl_judge *judge, size_t first, size_t end)
{
    uint64_t start_ns = bl_reader_header(judge->reader)->start_ns;
    struct course course = {.count = 0};
    size_t count;
    uint64_t *births =
        collect_births(judge, first, end, judge->is_final ? 0 : start_ns + SET_UP_NS, &count);
    enum bl_ground few = judge->is_final ? BL_GROUND_ACCUSED : BL_GROUND_SET_UP;
    if (!births || count < MANY) {
        free(births);
        return few;
    }
    /* what a thread is given when it begins, it has as long as it lives */
    if (!judge->is_final &&
        count <= OF_A_THREAD * count_threads(judge, births[0], births[count - 1])) {
        free(births);
        return few;
    }
    course.count = (double)count;
    for (size_t i = 0; i < MOMENTS; i++)
        course.at_ns[i] = births[i * (count - 1) / (MOMENTS - 1)];
    free(births);
    measure(judge, &judge->decisions[first], &course);
    if (course.work[MOMENTS - 1] > course.work[0])
        return is_filling(&course) ? BL_GROUND_FILLING : BL_GROUND_ACCUSED;
    return is_spread_in_time(&course) ? BL_GROUND_ACCUSED : few;
}
