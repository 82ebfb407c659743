/*
 * How many buffers and references came by each place in the code, and how many of them leaked.
 *
 * A place is a chain (callers.h): the site, the site and its caller, and so on. Counted are the
 * completed buffers, with them those of which only what is to stay is left, and those that are
 * accused; what is left in peace for other reasons says nothing either way.
 * References add up along the tree of chains, buffers do not: one can pass a line on two ways.
 *
 * Owns what it allocates; borrows histories and callers.
 */
#ifndef BL_COUNTS_H
#define BL_COUNTS_H

#include "callers.h"
#include "error.h"
#include "histories.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bl_pass {
    BL_PASS_ANY,     /* buffers that acquired a reference here */
    BL_PASS_ACCUSED, /* of those, the accused */
    BL_PASS_BLAMED,  /* of those, the ones blamed on this chain */
    BL_PASSES,
};

/* Of one chain. */
struct bl_count {
    uint64_t buffers[BL_PASSES];
    uint64_t taken; /* references acquired here */
    uint64_t kept;  /* of those, the ones not given back that are blamed on this chain */
    uint32_t parent;
    uint32_t first; /* child; 0: none */
    uint32_t next;  /* sibling; 0: none */
    uint32_t mark;
    bool is_mixed; /* who called makes a difference, here or further out */
};

/* Which acquires are spoken of: those that reach a chain; if `is_inner`, those alone that came
 * there on one way through the library. */
struct bl_scope {
    uint32_t chain;
    uint32_t inner;
    bool is_inner;
};

/* Of one class. */
struct bl_class_count {
    uint64_t completed; /* buffers */
    uint64_t accused;
};

struct bl_blame {
    uint64_t buffers;
    uint64_t units;
};

enum bl_counted {
    BL_COUNTS_ACQUIRES,
    BL_COUNTS_RELEASES, /* read "released" for "acquired" and "too often" for "leaked" */
};

struct bl_counts {
    const struct bl_histories *histories;
    const struct bl_callers *callers;
    struct bl_count *chains; /* by chain id */
    size_t chain_count;
    uint64_t *accused;       /* by live pattern: buffers */
    struct bl_blame *blames; /* by item */
    uint64_t *stacks;        /* references acquired by whole stack, the library's inside included */
    size_t stack_count;
    uint32_t mark;
    enum bl_counted counted;
    struct bl_class_count classes[BL_CLASSES_MAX];
};

int bl_counts_create(struct bl_counts **ret_counts, const struct bl_histories *histories,
                     const struct bl_callers *callers, const struct bl_reader *reader,
                     enum bl_counted counted, struct bl_error *error);
void bl_counts_destroy(struct bl_counts *counts);

/* Buffers of a live pattern did all they had to: what is left of them is to stay. */
void bl_counts_complete(struct bl_counts *counts, const struct bl_pattern *pattern, uint64_t count);
/* Back to the completed ones alone. */
void bl_counts_restart(struct bl_counts *counts);

/* `count` buffers of a live pattern are accused; what each of them is blamed on is added next. */
void bl_counts_accuse(struct bl_counts *counts, const struct bl_pattern *live, uint64_t count);
void bl_counts_blame(struct bl_counts *counts, uint32_t item, uint64_t buffers, uint64_t units);
/* Begins the blames of other buffers: those of one buffer count it once at each chain. */
void bl_counts_next(struct bl_counts *counts);

/* Everything is counted: finds out where it matters who called. */
void bl_counts_finish(struct bl_counts *counts);

/* How many of a stack's frames it takes to tell the leaking callers from the others: the chain
 * nearest to the site among whose callers, however far out, the leak rates differ no more than by
 * chance. No chain that is chosen is a part of another one. */
uint32_t bl_counts_choose(const struct bl_counts *counts, uint32_t item);

/* The scope of a blamed item at its chain. One call of the user's can take references on several
 * ways through the library: to look at something and to hand something out, or of a buffer and of
 * what it is made of. Only the item's own way counts, if some that came on it were released, or if
 * what came on the others was mostly given back inside the call. */
struct bl_scope bl_counts_scope(const struct bl_counts *counts, uint32_t chain, uint32_t item);
bool bl_counts_is_within(const struct bl_counts *counts, const struct bl_scope *scope,
                         const struct bl_item *item);
struct bl_count bl_counts_of(const struct bl_counts *counts, const struct bl_scope *scope);

#endif
