/*
 * Where buffers were released: which of their releases happened inside which.
 *
 * Made once for the cascades, which ask for every pair of decisions.
 * Owns what it allocates; borrows histories, reader and callers.
 */
#ifndef BL_RELEASES_H
#define BL_RELEASES_H

#include "histories.h"
#include "reader.h"

#include <stdbool.h>
#include <stdint.h>

struct bl_releases;

/* What is made alike: at one site, by one way through the library. A call that parses a text makes
 * lists and what is in them, all at one site. */
struct bl_kind {
    uint32_t class_number;
    uint32_t site; /* of the birth */
    uint32_t inner;
    bool is_any; /* all of the class */
};

bool bl_kind_is_same(struct bl_kind a, struct bl_kind b);

/* NULL without memory. */
struct bl_releases *bl_releases_create(const struct bl_histories *histories,
                                       const struct bl_reader *reader,
                                       const struct bl_callers *callers);
void bl_releases_destroy(struct bl_releases *releases);

/* The stacks inside which `stack` lies and at which completed buffers were released, innermost
 * first; returns how many were stored. */
size_t bl_releases_enclosing(const struct bl_releases *releases, uint32_t stack, uint32_t *out,
                             size_t max);

struct bl_kind bl_releases_kind(const struct bl_releases *releases, uint32_t class_number,
                                const struct bl_item *birth);
/* Have buffers of the kind ended well? */
bool bl_releases_know(const struct bl_releases *releases, struct bl_kind kind);

/* Were completed buffers like it released at the stack: those of its kind or, where none has ended,
 * those that were born at its site? */
bool bl_releases_has(const struct bl_releases *releases, uint32_t stack, struct bl_kind kind);

/* How many references to buffers of a kind, completed or live, were given back at a stack or, with
 * `inside`, there and below it. What ended with an owner was not. */
uint64_t bl_releases_count(struct bl_releases *releases, struct bl_kind kind, uint32_t stack,
                           bool inside);

/* Can buffers of a class have been given back there, and below, by the releases of their owners, of
 * another class? As many as each owner would have given back must have lived at once, and few can
 * have been born after the last of the owners ended. */
bool bl_releases_are_by_owners(struct bl_releases *releases, uint32_t part_class,
                               uint32_t owner_class, uint32_t stack);

#endif
