/*
 * The order of births and ends, which tells what is in use from what was left behind.
 *
 * No clock is asked: a fast program does all it does within a few of its ticks, and after a burst
 * of work all that it still uses grows old. Births are numbered through the process. A buffer is
 * overtaken when a sibling that was born later has ended before it; its lag is by how many births
 * that sibling was the younger. What is in a ring or a queue is never overtaken, what any other
 * cache holds is not by more than others were that have been released. From their lags follows, as
 * from the times that customers spend in a shop, how many of those in use have at any moment a lag
 * above some limit; more of them are left behind.
 *
 * Pure functions of their arguments.
 */
#ifndef BL_ORDER_H
#define BL_ORDER_H

#include "ledger_format.h"

#include <stdbool.h>
#include <stdint.h>

/* Of completed siblings, taken together. All 0: there is none yet. */
struct bl_order {
    uint64_t count;
    uint64_t outlasted; /* of them, another one that was born where they were */
    uint64_t span;      /* births of the process from the first of them to the youngest */
    uint64_t lived;     /* sum of the births that each lived through */
    uint32_t lived_least;
    uint64_t newest_ns; /* the youngest of them */
    uint32_t newest;
    uint32_t lag_most;
    uint64_t lags[BL_LAG_BUCKETS]; /* as in bl_lifecycle */
};

void bl_order_add(struct bl_order *order, const struct bl_lifecycle *lifecycle);

/* By how many births the youngest of them is younger than another buffer; 0: it is not. */
uint32_t bl_order_lag(const struct bl_order *order, uint64_t birth_ns, uint32_t birth);

/* How many births there were from the youngest of them to a buffer; 0: it is older. */
uint32_t bl_order_lead(const struct bl_order *order, uint64_t birth_ns, uint32_t birth);

/* Do most of them outlast others, as what is in a container does, and not one request after
 * another? */
bool bl_order_is_overlapping(const struct bl_order *order);
/* Do all, for about the same time, so that there is one at any moment, and no more at others? When
 * some were left behind others seem not to. */
bool bl_order_is_steady(const struct bl_order *order, uint64_t left);

/* How many births of the process each lived through, and how many were in use at once, on average.
 */
double bl_order_mean_life(const struct bl_order *order);
double bl_order_at_once(const struct bl_order *order);

/* How many siblings in use have a lag of at least so much, at any moment. */
double bl_order_in_use(const struct bl_order *order, uint32_t lag);

/* The chance that as many or more come together where so many are expected. */
double bl_order_chance(uint64_t count, double expected);

#endif
