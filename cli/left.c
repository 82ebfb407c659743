/*
 * What is left behind, and what is in use, of objects that began as siblings did that have ended.
 *
 * Left behind are those that lag farthest, as many as cannot be in use (order.h). What a thread had
 * in a ring or a cache of its own when it ran out of work lags as well, but is about as many as it
 * has in use at any time, and all of about one moment: the last that it left.
 *
 * Of the others it is asked whether they are of the same kind. Where siblings end before the next
 * is born only the last one may be in use; where just some do, as in a pipeline that runs dry now
 * and then, as many of the youngest as were in use at once on average. Else a ring, a cache or a
 * queue has them, unless as many were left behind together before; of which one that is always
 * there says nothing.
 */
#include "judge.h"

#include <math.h>
#include <stdlib.h>

/* Of those that are left behind: the most that may be in use all the same. */
#define IN_USE_SHARE 0.05
#define CHANCE       0.001
#define MOMENT_LIVES 2   /* mean lives */
#define MOMENT_SHARE 0.1 /* of all births */
#define CROWD        1.5 /* times the mean: no more than these are in use at once */
#define PART         0.5 /* of a thread's even share: no fewer are, where it has a ring */
#define PART_RING    1.5 /* times that, where the thread forgot others before */
#define MANY_TIMES   8u  /* times as many ended, for an average to tell of these */
#define RING_LEAST   4u  /* fewer of a thread's may be leaks as well */

struct lagging {
    uint32_t lag;
    uint32_t thread; /* of the latest event; for rings: that made it */
    struct bl_history_object *object;
};

static int compare_lags(const void *left, const void *right)
{
    const struct lagging *a = left;
    const struct lagging *b = right;
    return a->lag > b->lag ? -1 : a->lag < b->lag;
}

static int compare_threads(const void *left, const void *right)
{
    const struct lagging *a = left;
    const struct lagging *b = right;
    if (a->thread != b->thread)
        return a->thread < b->thread ? -1 : 1;
    return compare_lags(left, right);
}

/* Can those that are in use explain hardly any of so many? */
static bool are_too_many(uint64_t count, double in_use)
{
    return in_use <= IN_USE_SHARE * (double)count && bl_order_chance(count, in_use) <= CHANCE;
}

static size_t most_within(const struct lagging *all, size_t count, uint64_t births)
{
    size_t most = 0;
    size_t first = 0;
    for (size_t i = 0; i < count; i++) {
        while (all[first].lag - all[i].lag >= births && first < i)
            first++;
        most = i - first + 1 > most ? i - first + 1 : most;
    }
    return most;
}

/* How many one thread has in use at a time: from its part of an even share to all of them. */
struct crowd {
    double least;
    double most;
    double births; /* that all of them were born within */
};

static struct crowd crowd_of(const struct bl_judge *judge, const struct bl_order *order)
{
    double at_once = bl_order_at_once(order);
    uint32_t threads = bl_reader_count(judge->reader, BL_SECTION_THREADS); /* and none */
    return (struct crowd){
        .least = PART * at_once / (threads > 2 ? threads - 1 : 1),
        .most = CROWD * at_once + 0.5,
        .births =
            fmin(MOMENT_LIVES * bl_order_mean_life(order), MOMENT_SHARE * (double)order->span),
    };
}

static bool is_crowd(const struct crowd *crowd, size_t count)
{
    return (double)count >= crowd->least && (double)count <= crowd->most;
}

/* Has each thread left about what it has in use at any time, from one moment? Sorts by thread. */
static bool are_of_moments(struct lagging *all, size_t count, const struct crowd *crowd)
{
    size_t first = 0;
    if (count > 1)
        qsort(all, count, sizeof(*all), compare_threads);
    for (size_t i = 0; i < count; i++) {
        if (all[first].lag - all[i].lag > crowd->births)
            return false;
        if (i + 1 < count && all[i + 1].thread == all[first].thread)
            continue;
        if (!is_crowd(crowd, i - first + 1))
            return false;
        first = i + 1;
    }
    return true;
}

/* Marks what lies in the rings of threads that stopped before others did, all of whose are left
 * behind: the last that each of them left. Returns how many; sorts by thread. */
static size_t mark_rings(const struct bl_judge *judge, struct lagging *all, size_t count,
                         const struct crowd *crowd, uint32_t lag)
{
    size_t marked = 0;
    size_t end;
    for (size_t i = 0; i < count; i++)
        all[i].thread = bl_reader_objects(judge->reader, &end)[all[i].object->index].object.thread;
    if (count > 1)
        qsort(all, count, sizeof(*all), compare_threads);
    for (size_t first = 0; first < count; first = end) {
        for (end = first; end < count && all[end].thread == all[first].thread;)
            end++;
        size_t tail = end - 1;
        while (tail > first && all[tail - 1].lag - all[end - 1].lag <= crowd->births)
            tail--;
        bool is_ring = end - first < count && all[end - 1].lag >= lag && end - tail >= RING_LEAST &&
                       is_crowd(crowd, end - tail) &&
                       (double)(end - tail) >= PART_RING * crowd->least;
        for (size_t i = tail; i < end && is_ring; i++)
            all[i].object->is_in_ring = true;
        marked += is_ring ? end - tail : 0;
    }
    return marked;
}

static void find(const struct bl_judge *judge, struct lagging *all, size_t count,
                 const struct bl_study *study, uint32_t lead, struct bl_left *left)
{
    const struct bl_order *order = &study->order;
    struct crowd crowd = crowd_of(judge, order);
    for (size_t i = count; i > 0 && left->count == 0; i--)
        if (all[i - 1].lag > 0 && are_too_many(i, bl_order_in_use(order, all[i - 1].lag)))
            *left = (struct bl_left){.lag = all[i - 1].lag, .count = i};
    left->together = most_within(all, left->count, (uint64_t)all[left->count].lag + lead);
    if (left->count == 0 || !bl_order_is_overlapping(order))
        return;
    if (are_of_moments(all, left->count, &crowd)) {
        *left = (struct bl_left){.count = 0};
        return;
    }
    left->count -= mark_rings(judge, all, count, &crowd, left->lag);
    if (!are_too_many(left->count, bl_order_in_use(order, left->lag)))
        *left = (struct bl_left){.count = 0};
}

int bl_left_find(const struct bl_judge *judge, size_t first, size_t count,
                 const struct bl_study *study, struct bl_left *ret_left)
{
    struct lagging *all = calloc(count + 1, sizeof(*all));
    uint32_t lead = 0;
    *ret_left = (struct bl_left){.count = 0};
    if (!all)
        return bl_error_set(judge->error, "not enough memory for the verdict");
    for (size_t i = 0; i < count; i++) {
        struct bl_history_object *object = &judge->histories->objects[first + i];
        uint32_t its = bl_order_lead(&study->order, object->birth_ns, object->birth);
        lead = its > lead ? its : lead;
        all[i] = (struct lagging){bl_order_lag(&study->order, object->birth_ns, object->birth),
                                  object->thread, object};
    }
    if (count > 1)
        qsort(all, count, sizeof(*all), compare_lags);
    find(judge, all, count, study, lead, ret_left);
    for (size_t i = 0; i < count; i++)
        ret_left->lagging += all[i].lag > 0;
    free(all);
    return 0;
}

bool bl_left_are_next(const struct bl_study *study, const struct bl_left *left, size_t others)
{
    return !bl_order_is_overlapping(&study->order) && left->lagging == 0 &&
           study->order.count >= (uint64_t)MANY_TIMES * others &&
           (double)others <= bl_order_at_once(&study->order);
}

bool bl_left_are_others(const struct bl_study *study, const struct bl_left *left, size_t others)
{
    if (!bl_order_is_overlapping(&study->order))
        return true;
    if (others == 1 && bl_order_is_steady(&study->order, left->count))
        return false;
    return left->together >= others;
}
