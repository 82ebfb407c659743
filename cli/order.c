#include "order.h"

#include <math.h>

#define DISTANT_NS  10000000000ull /* births that far apart are told apart by the clock alone */
#define TERMS_MOST  1000u
#define OVERLAPPING 0.75
#define FLAWS       1000u /* one in so many */
#define STEADY_MOST 4.0

/* Positive: the first is younger. Numbers of births that are far from each other may have gone
 * round meanwhile; of near ones they are the order, for the clock has ticks. */
static int64_t distance(uint64_t a_ns, uint32_t a, uint64_t b_ns, uint32_t b)
{
    if (a_ns > b_ns + DISTANT_NS)
        return (int64_t)(uint32_t)(a - b);
    if (b_ns > a_ns + DISTANT_NS)
        return -(int64_t)(uint32_t)(b - a);
    return (int32_t)(a - b);
}

void bl_order_add(struct bl_order *order, const struct bl_lifecycle *lifecycle)
{
    if (order->count == 0 ||
        distance(lifecycle->newest_ns, lifecycle->newest, order->newest_ns, order->newest) > 0) {
        order->newest_ns = lifecycle->newest_ns;
        order->newest = lifecycle->newest;
    }
    if (order->count == 0 || lifecycle->lived_least < order->lived_least)
        order->lived_least = lifecycle->lived_least;
    order->count += lifecycle->count;
    order->outlasted += lifecycle->outlasted;
    order->lived += lifecycle->lived;
    if (lifecycle->span > order->span)
        order->span = lifecycle->span;
    if (lifecycle->lag_most > order->lag_most)
        order->lag_most = lifecycle->lag_most;
    for (unsigned i = 0; i < BL_LAG_BUCKETS; i++)
        order->lags[i] += lifecycle->lags[i];
}

uint32_t bl_order_lag(const struct bl_order *order, uint64_t birth_ns, uint32_t birth)
{
    int64_t lag = distance(order->newest_ns, order->newest, birth_ns, birth);
    return order->count > 0 && lag > 0 ? (uint32_t)lag : 0;
}

uint32_t bl_order_lead(const struct bl_order *order, uint64_t birth_ns, uint32_t birth)
{
    int64_t lead = distance(birth_ns, birth, order->newest_ns, order->newest);
    return order->count > 0 && lead > 0 ? (uint32_t)lead : 0;
}

bool bl_order_is_overlapping(const struct bl_order *order)
{
    return (double)order->outlasted > OVERLAPPING * (double)order->count;
}

/* Of the first that ends it is not known. */
bool bl_order_is_steady(const struct bl_order *order, uint64_t left)
{
    double longest = (double)order->count * STEADY_MOST * (double)order->lived_least;
    return order->outlasted + 1 + left + order->count / FLAWS >= order->count &&
           (double)order->lived <= longest;
}

double bl_order_mean_life(const struct bl_order *order)
{
    return order->count > 0 ? (double)order->lived / (double)order->count : 0;
}

double bl_order_at_once(const struct bl_order *order)
{
    return (double)order->lived / (double)(order->span + 1);
}

/* The mean of what is above a limit, of lags spread evenly from low to high. */
static double mean_above(double low, double high, double limit)
{
    if (limit <= low)
        return (low + high) / 2 - limit;
    if (limit >= high)
        return 0;
    return (high - limit) * (high - limit) / (2 * (high - low));
}

/* Each that was overtaken had such a lag for as many births as its own lag is above the limit: over
 * all births that is how many had it at once. There may be one that lags twice as far as any did.
 */
double bl_order_in_use(const struct bl_order *order, uint32_t lag)
{
    double most = (double)order->lag_most + 1;
    double sum = mean_above(2 * most, 2 * most, lag);
    for (unsigned i = 1; i < BL_LAG_BUCKETS; i++) {
        double low = (double)(1ull << 2 * (i - 1));
        double high = i + 1 < BL_LAG_BUCKETS ? low * 4 : most;
        high = high < most ? high : most;
        sum += (double)order->lags[i] * mean_above(low < high ? low : high, high, lag);
    }
    return sum / (double)(order->span + 1);
}

/* Poisson's. */
double bl_order_chance(uint64_t count, double expected)
{
    double term = exp(-expected);
    double below = 0;
    if ((double)count > expected && count > TERMS_MOST)
        return 0;
    if ((double)count <= expected)
        return 1;
    for (uint64_t i = 0; i < count; i++) {
        below += term;
        term *= expected / (double)(i + 1);
    }
    return below < 1 ? 1 - below : 0;
}
