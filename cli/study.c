#include "judge.h"

#include <string.h>

#define SIBLINGS_MAX 512  /* the most common ones of a birth site are compared with */
#define FEW_SHARE    20   /* see choose_order */
#define ALWAYS       0.98 /* of the time: one is always there */
#define ALWAYS_TICKS 20   /* of the clock; in less time it does not tell */

static bool is_better(const struct bl_difference *d, const struct bl_difference *best)
{
    if (d->cost != best->cost)
        return d->cost < best->cost;
    if (d->is_part != best->is_part)
        return d->is_part; /* a release too few says more than a reference too many */
    /* what one call makes inside the library may be of several kinds; siblings come most common
     * first */
    return d->other_ways < best->other_ways;
}

/* Forgets the siblings on less similar paths. */
static void restart_parts(struct bl_study *study, uint32_t cost)
{
    study->part_count = 0;
    study->part_cost = cost;
    study->is_beginning = false;
    study->lived_ns = 0;
    study->order = (struct bl_order){.count = 0};
    study->lifetimes = (struct bl_lifetimes){.shortest_ns = UINT64_MAX, .first_end_ns = UINT64_MAX};
}

/* A path that few took, as the first requests of a virtual machine do, hardly tells an order: then
 * all that were born at the site and ended the same way do. */
static void choose_order(struct bl_study *study, const struct bl_order *at_site)
{
    if (study->order.count * FEW_SHARE < at_site->count)
        study->order = *at_site;
}

static void note_part(struct bl_study *study, const struct bl_pattern *sibling,
                      const struct bl_difference *d, struct bl_order *at_site)
{
    struct bl_lifetimes *all = &study->lifetimes;
    struct bl_lifetimes its = bl_lifetimes_of(sibling->lifecycle, sibling->latest_ns);
    bl_order_add(at_site, sibling->lifecycle);
    if (study->part_count > 0 && d->match_cost > study->part_cost)
        return;
    if (study->part_count == 0 || d->match_cost < study->part_cost)
        restart_parts(study, d->match_cost);
    study->part_count += sibling->count;
    study->lived_ns += sibling->lifecycle->total_ns;
    bl_order_add(&study->order, sibling->lifecycle);
    all->count += its.count;
    all->mean_end_ns +=
        (its.mean_end_ns - all->mean_end_ns) * (double)its.count / (double)all->count;
    study->is_beginning |= d->is_beginning;
    if (its.shortest_ns < all->shortest_ns)
        all->shortest_ns = its.shortest_ns;
    if (its.longest_ns > all->longest_ns)
        all->longest_ns = its.longest_ns;
    if (its.first_end_ns < all->first_end_ns)
        all->first_end_ns = its.first_end_ns;
    if (its.last_end_ns > all->last_end_ns)
        all->last_end_ns = its.last_end_ns;
    for (unsigned i = 0; i < BL_LIFETIME_BUCKETS; i++)
        all->histogram[i] += its.histogram[i];
}

/* All but the first that ended lived between its end and the last one. */
bool bl_study_is_always_there(const struct bl_study *study, size_t many)
{
    const struct bl_lifetimes *all = &study->lifetimes;
    uint64_t span_ns = all->last_end_ns - all->first_end_ns;
    if (all->count < 2 || all->last_end_ns < all->first_end_ns ||
        span_ns < ALWAYS_TICKS * BL_JUDGE_TICK_NS)
        return false;
    double lived_ns = (double)study->lived_ns * (double)(all->count - 1) / (double)all->count;
    return lived_ns >= ALWAYS * (double)many * (double)span_ns;
}

void bl_study_siblings(struct bl_judge *judge, const struct bl_pattern *live,
                       struct bl_study *study)
{
    const struct bl_histories *all = judge->histories;
    const struct bl_item *birth = bl_pattern_birth(all, live);
    struct bl_order at_site = {.count = 0};
    struct bl_difference d;
    size_t count;
    memset(study, 0, sizeof(*study));
    if (!birth)
        return;
    const uint32_t *siblings =
        bl_compare_siblings(judge->compare, live->class_number, birth->site, &count);
    for (size_t i = 0; i < count && i < SIBLINGS_MAX; i++) {
        const struct bl_pattern *sibling = &all->completed[siblings[i]];
        if (!bl_pattern_birth(all, sibling))
            continue;
        study->sibling_count += sibling->count;
        if (sibling->longest_ns > study->longest_ns)
            study->longest_ns = sibling->longest_ns;
        if (sibling->doubt)
            continue;
        study->is_cut = bl_compare_work(judge->compare) > BL_JUDGE_WORK;
        if (study->is_cut)
            return;
        bl_compare_patterns(judge->compare, live, sibling,
                            study->best ? study->difference.cost : UINT32_MAX, &d);
        if (d.is_part)
            note_part(study, sibling, &d, &at_site);
        if (!study->best || is_better(&d, &study->difference)) {
            study->best = sibling;
            study->difference = d;
        }
    }
    choose_order(study, &at_site);
    study->p99_ns = bl_lifetimes_p99(study->lifetimes.histogram, study->lifetimes.longest_ns);
}
