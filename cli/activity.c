#include "activity.h"

#include "order.h"

#include <math.h>

static bool is_in(const struct bl_histories *histories, const struct bl_callers *callers,
                  const struct bl_circle *circle, const struct bl_pattern *pattern)
{
    const struct bl_item *birth = bl_pattern_birth(histories, pattern);
    if (circle->is_of_class && pattern->class_number != circle->class_number)
        return false;
    return !circle->is_of_path ||
           (birth && bl_callers_whole(callers, birth->callers) == circle->path);
}

/* How many of a completed pattern had been born. */
static double born_by(const struct bl_pattern *pattern, uint64_t start_ns, uint64_t moment_ns)
{
    struct bl_lifetimes lifetimes = bl_lifetimes_of(pattern->lifecycle, start_ns);
    return (double)pattern->count * (1 - bl_lifetimes_born_after(&lifetimes, moment_ns));
}

/* Of the objects of a live pattern, those born by a moment. */
static size_t count_births(const struct bl_histories *histories, const struct bl_pattern *pattern,
                           uint64_t moment_ns)
{
    const uint64_t *births = histories->births + pattern->first_object;
    size_t low = 0;
    size_t high = pattern->object_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (births[middle] <= moment_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct bl_work bl_activity_at(const struct bl_histories *histories,
                              const struct bl_callers *callers, const struct bl_circle *circle,
                              uint64_t start_ns, uint64_t moment_ns)
{
    struct bl_work work = {0};
    for (size_t i = 0; i < histories->completed_count; i++) {
        const struct bl_pattern *pattern = &histories->completed[i];
        if (!is_in(histories, callers, circle, pattern))
            continue;
        double born = born_by(pattern, start_ns, moment_ns);
        work.before += born;
        work.completed_before += born;
        work.after += (double)pattern->count - born;
        work.completed += (double)pattern->count;
    }
    for (size_t i = 0; i < histories->live_count && work.completed >= circle->least; i++) {
        const struct bl_pattern *pattern = &histories->live[i];
        if (pattern->doubt == BL_DOUBT_GHOST || !is_in(histories, callers, circle, pattern))
            continue;
        size_t before = count_births(histories, pattern, moment_ns);
        work.before += (double)before;
        work.after += (double)(pattern->object_count - before);
    }
    return work;
}

static struct bl_order order_of(const struct bl_histories *histories,
                                const struct bl_callers *callers, const struct bl_circle *circle)
{
    struct bl_order order = {.count = 0};
    for (size_t i = 0; i < histories->completed_count; i++)
        if (is_in(histories, callers, circle, &histories->completed[i]))
            bl_order_add(&order, histories->completed[i].lifecycle);
    return order;
}

static double share_of_lag(const struct bl_order *order, double lag)
{
    double span = (double)order->span + 1;
    return lag < span ? 1 - lag / span : 0;
}

double bl_activity_share_by(const struct bl_histories *histories, const struct bl_callers *callers,
                            const struct bl_circle *circle, uint64_t birth_ns, uint32_t birth)
{
    struct bl_order order = order_of(histories, callers, circle);
    return share_of_lag(&order, bl_order_lag(&order, birth_ns, birth));
}

double bl_activity_share_until(const struct bl_histories *histories,
                               const struct bl_callers *callers, const struct bl_circle *circle,
                               uint64_t moment_ns)
{
    struct bl_order order = order_of(histories, callers, circle);
    double lag = (double)order.span + 1;
    if (order.count == 0 || order.newest_ns <= moment_ns)
        return 1;
    for (size_t i = 0; i < histories->object_count; i++) {
        const struct bl_history_object *object = &histories->objects[i];
        if (object->birth_ns <= moment_ns)
            lag = fmin(lag, bl_order_lag(&order, object->birth_ns, object->birth));
    }
    return share_of_lag(&order, lag);
}
