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

#define BL_CHOICE_MAX 64u

/* Decisions that one is to be chosen of, the most numerous first; of more than there is room for
 * the first. */
struct bl_choice {
    uint32_t numbers[BL_CHOICE_MAX];
    size_t count;
    uint64_t most;
};

void bl_choice_add(struct bl_choice *choice, uint32_t number, uint64_t many);

/* The one that most of the part's objects were born nearest to, the first of those equally near.
 * BL_JUDGE_NONE without memory. */
uint32_t bl_choice_nearest(const struct bl_judge *judge, const struct bl_decision *part,
                           const struct bl_choice *choice);

/* Are nearly all of the part's objects born so near to one of the chosen decisions' that it is no
 * chance? */
bool bl_nearness_is_no_chance(const struct bl_judge *judge, const struct bl_decision *part,
                              const bool *is_chosen, size_t count);

#endif
