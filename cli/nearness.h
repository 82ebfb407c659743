/*
 * How near buffers were born to others. Births are numbered through the process, and who makes an
 * owner makes what it is to hold at about the same time.
 *
 * Pure functions of their arguments.
 */
#ifndef BL_NEARNESS_H
#define BL_NEARNESS_H

#include "judge.h"

/* Sorted births of the objects of those of the first `count` decisions that are chosen; NULL
 * without memory. */
uint32_t *bl_nearness_births(const struct bl_judge *judge, const bool *is_chosen, size_t count,
                             size_t *ret_births);

/* Births from one to the nearest of sorted ones; UINT32_MAX: there is none. */
uint32_t bl_nearness_distance(const uint32_t *births, size_t count, uint32_t birth);

/* Of some decisions the one that most of the part's objects were born nearest to. Of those equally
 * near the first. BL_JUDGE_NONE without memory. */
uint32_t bl_nearness_choose(const struct bl_judge *judge, const struct bl_decision *part,
                            const uint32_t *numbers, size_t count);

#endif
