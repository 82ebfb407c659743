/*
 * Functions of many frame shapes that call each other at random, down to a probe. One source,
 * compiled several times with other options, so that one stack mixes them all.
 */
#ifndef BL_TEST_SHIM_SHAPES_H
#define BL_TEST_SHIM_SHAPES_H

#include <stdbool.h>
#include <stdint.h>

struct walk_plan {
    uint64_t seed;
    unsigned depth;
    unsigned depth_max;
    long calls_left;
    void (*probe)(void);
    /* No realigned frames: gcc's rules for their epilogues are wrong between the last pops, and
     * libgcc itself goes astray when a signal strikes there. */
    bool strict;
};

typedef void shape_fn(struct walk_plan *);

#define SHAPES_EACH    14
#define SHAPES_ALIGNED 2 /* the last ones */
#define REALIGNED_SETS 1 /* the first one */

extern shape_fn *const *const shape_sets[];
extern const unsigned shape_set_count;

static inline uint64_t shape_random(struct walk_plan *p)
{
    p->seed ^= p->seed << 13;
    p->seed ^= p->seed >> 7;
    p->seed ^= p->seed << 17;
    return p->seed;
}

/* Calls one function of any set, unless the plan is used up. */
static inline void shape_descend(struct walk_plan *p)
{
    if (p->depth >= p->depth_max || p->calls_left <= 0)
        return;
    p->calls_left--;
    p->depth++;
    uint64_t r = shape_random(p);
    unsigned first = p->strict ? REALIGNED_SETS : 0;
    unsigned shapes = p->strict ? SHAPES_EACH - SHAPES_ALIGNED : SHAPES_EACH;
    shape_sets[first + (r >> 20) % (shape_set_count - first)][r % shapes](p);
    p->depth--;
}

#endif
