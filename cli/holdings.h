/*
 * By whom the buffers of a group are held: sums over those that have their root and the nearest
 * holder from elsewhere in common.
 *
 * A group's sums are a list with a number. Owns what it allocates; without memory a sum is left
 * out. Not for threads.
 */
#ifndef BL_HOLDINGS_H
#define BL_HOLDINGS_H

#include <stdbool.h>
#include <stdint.h>

struct bl_holding {
    uint32_t root;  /* record of REACH_ROOTS */
    uint64_t outer; /* where the nearest holder was allocated, as a hash; 0: the root itself */
    uint64_t count;
    uint64_t bytes;
    /* Live record: of those held by their start, if any is, the nearest to the root; of several the
     * lowest number. */
    uint32_t example;
    uint32_t example_depth;
    bool is_example_interior;
    const struct bl_holding *next; /* of the same list */
};

struct bl_holdings;

struct bl_holdings *bl_holdings_create(void); /* NULL without memory */
void bl_holdings_destroy(struct bl_holdings *holdings);

/* *list is 0 before the first. */
void bl_holdings_add(struct bl_holdings *holdings, uint32_t *list, const struct bl_holding *more);
/* Adds all sums of the list `from` to *list. */
void bl_holdings_merge(struct bl_holdings *holdings, uint32_t *list, uint32_t from);
/* NULL: an empty list. */
const struct bl_holding *bl_holdings_first(const struct bl_holdings *holdings, uint32_t list);

/* Is the example of `a` to be taken rather than that of `b`? */
bool bl_holding_shows_better(const struct bl_holding *a, const struct bl_holding *b);

#endif
