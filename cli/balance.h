/*
 * The balance tree: per call path, outermost caller first, how many references the unreleased
 * buffers acquired and gave back there. A branch that gave back what it took is balanced; what is
 * left leads to the missing release.
 *
 * Owns what it allocates; borrows the reader.
 */
#ifndef BL_BALANCE_H
#define BL_BALANCE_H

#include "error.h"
#include "model.h"
#include "reader.h"

#include <stddef.h>
#include <stdint.h>

struct bl_balance_node {
    uint32_t frame; /* frame number; 0: the root, or no stack */
    uint32_t first; /* child; 0: none. Children with most left first */
    uint32_t next;  /* sibling; 0: none */
    uint32_t place;
    uint32_t parent;
    uint64_t acquired; /* here and below */
    uint64_t released;
};

struct bl_balance {
    struct bl_balance_node *nodes; /* number 0 is the root */
    size_t count;
    uint64_t buffers;
};

/* Takes class_name, min_age_ns, own and keep_stack from the options: a buffer is wanted if one of
 * its stacks is. */
int bl_balance_create(struct bl_balance **ret_balance, const struct bl_reader *reader,
                      const struct bl_model *model, const struct bl_model_options *options,
                      struct bl_error *error);
void bl_balance_destroy(struct bl_balance *balance);

#endif
