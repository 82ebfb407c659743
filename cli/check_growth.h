/*
 * What grows with each iteration of a process, whether it is still held or not.
 *
 * Iterations are told apart by marks of one name: by the program (bufleak_mark), or by check
 * itself. A buffer that lives at the end was born in one of them. Where a leak adds to each, a
 * cache that filled has its buffers in the first ones, and what is in use in the last: so the first
 * quarter is left out as warming up, the rest is cut into as many equal parts as births can be told
 * apart by (their clock ticks a few milliseconds apart), and a site leaks when every part has
 * about as many of its buffers as any other. With less than BL_GROWTH_PARTS_MIN parts nothing is
 * said.
 *
 * Owns what it allocates; borrows the reader and reaches, which may be NULL.
 */
#ifndef BL_CHECK_GROWTH_H
#define BL_CHECK_GROWTH_H

#include "reach.h"

#include <stddef.h>
#include <stdint.h>

#define BL_GROWTH_PARTS_MIN 3
#define BL_GROWTH_PARTS     8

/* Of one class, born at one place. */
struct bl_growing_site {
    uint32_t class_number;
    uint32_t stack;   /* of the latest */
    uint32_t example; /* live record of the latest; 0: none */
    struct bl_reach_sums reach;
    uint64_t count; /* born after the warming up */
    uint64_t bytes;
    double count_per_iteration;
    double bytes_per_iteration;
};

struct bl_check_growth;

/* NULL when there are not enough iterations to say anything. */
struct bl_check_growth *bl_check_growth_create(const struct bl_reader *reader,
                                               const struct bl_reaches *reaches, const char *name);
void bl_check_growth_destroy(struct bl_check_growth *growth);

uint64_t bl_check_growth_iterations(const struct bl_check_growth *growth);

/* A buffer that lives. */
void bl_check_growth_feed(struct bl_check_growth *growth, uint64_t word, uint32_t stack,
                          uint64_t birth_ns, uint32_t example);

/* Sites that grow; valid until the growth is destroyed. */
const struct bl_growing_site *bl_check_growth_find(struct bl_check_growth *growth,
                                                   size_t *ret_count);

#endif
