/*
 * Leaks that are not to fail a check, by rule.
 *
 * Two formats, also mixed in one file:
 *
 *   leak:PATTERN                as LeakSanitizer reads it: any frame's function, source file or
 *                               module that has PATTERN in it; * stands for anything, ^ and $ for
 *                               the ends; a line that begins with # is a comment
 *   leak[QUALIFIERS]:PATTERN    and only where all hold, separated by commas: class=, verdict=,
 *                               reach=, process= (patterns), max-count=N, max-bytes=SIZE (a leak
 *                               of which more matches is not suppressed), within= (a pattern for
 *                               modules: of all frames from the allocation to the one with PATTERN)
 *   { … }                       valgrind's, for leaks (Memcheck:Leak): fun:, obj:, src:, ..., with
 *                               * and ?, from the allocation outward; match-leak-kinds: definite
 * and indirect are lost blocks, possible those lost or unknown, reachable held ones. Those for
 * other tools and errors are passed over.
 *
 * Each stack of a leak is asked about for itself: what has another stack stays a leak.
 *
 * Owns what it allocates.
 */
#ifndef BL_SUPPRESS_H
#define BL_SUPPRESS_H

#include "error.h"
#include "leaks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct bl_suppression {
    char *text; /* as it is told: the line, or valgrind's name */
    char *file; /* "built in" */
    size_t line;
    bool is_builtin;
    uint64_t used; /* stacks of leaks that it suppressed */
    struct bl_suppress_rule *rule;
};

struct bl_suppressions;

int bl_suppressions_create(struct bl_suppressions **ret_suppressions, struct bl_error *error);
void bl_suppressions_destroy(struct bl_suppressions *suppressions);

/* Fails with "FILE:LINE:COLUMN: what is wrong". */
int bl_suppressions_read(struct bl_suppressions *suppressions, const char *path,
                         struct bl_error *error);
/* The same of text in memory, under this name. */
int bl_suppressions_parse(struct bl_suppressions *suppressions, const char *name, const char *text,
                          bool is_builtin, struct bl_error *error);
/* The same of what a program brings itself: for leaks of processes of this name only, and not told
 * when unused. */
int bl_suppressions_parse_of(struct bl_suppressions *suppressions, const char *name,
                             const char *text, const char *comm, struct bl_error *error);
/* What libc, the loader and well-known libraries leave on purpose, with reasons. */
int bl_suppressions_add_builtin(struct bl_suppressions *suppressions, struct bl_error *error);

/* The first that applies to one stack of a leak, before they are joined; NULL for none. Counts as
 * used. */
const struct bl_suppression *bl_suppressions_find(struct bl_suppressions *suppressions,
                                                  const struct bl_leaks *leaks,
                                                  const struct bl_leak *leak);

size_t bl_suppressions_count(const struct bl_suppressions *suppressions);
const struct bl_suppression *bl_suppressions_at(const struct bl_suppressions *suppressions,
                                                size_t index);

/* A suppression for this leak, and if that can be for no other one, as text that can be read again.
 */
void bl_suppressions_write(FILE *out, const struct bl_leaks *leaks, const struct bl_leak *leak);

/* * for anything, ? for one byte; the whole text. */
bool bl_suppress_glob(const char *pattern, const char *text);

#endif
