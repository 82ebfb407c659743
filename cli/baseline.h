/*
 * Leaks that are known: a JSON file, sorted, a leak a paragraph, so that it diffs and merges well.
 *
 *   {"schema": 1, "tool": "bufleak", "leaks": [
 *     {"id": "16 digits", "class": "heap", "kind": "left", "blamed": "alloc", "verdict": …,
 *      "count": 3, "bytes": 96, "module": "gw", "functions": ["parse", "main"]}, …]}
 *
 * Only id, count, bytes, and the rest of the identity (class, kind, blamed, functions) are read
 * back. What two branches both added is there twice after a merge, and taken once, the larger.
 */
#ifndef BL_BASELINE_H
#define BL_BASELINE_H

#include "error.h"
#include "leaks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_baseline_entry {
    char id[17];
    char *class_name;
    char *kind;
    char *blamed;
    char *verdict;
    char *module;
    char **functions;
    size_t function_count;
    uint64_t count;
    uint64_t bytes;
    struct bl_leak *leak; /* that was found to be it; NULL: it is gone */
    bool is_alike;        /* by a similar path */
};

struct bl_baseline {
    struct bl_baseline_entry *entries; /* by id */
    size_t count;
};

/* How much more than in the baseline is no growth. */
struct bl_tolerance {
    double share;   /* of what is known */
    uint64_t count; /* buffers */
};

/* A missing file is an empty baseline when `may_be_missing`. Fails with FILE:LINE:COLUMN for what
 * is not JSON. */
int bl_baseline_read(struct bl_baseline *baseline, const char *path, bool may_be_missing,
                     struct bl_error *error);
/* The same of text in memory, which need not end with NUL. */
int bl_baseline_parse(struct bl_baseline *baseline, const char *name, const char *text, size_t size,
                      struct bl_error *error);
void bl_baseline_deinit(struct bl_baseline *baseline);

/* Says of each leak that is not suppressed whether it is new, unchanged or grown, and what of the
 * baseline is gone. */
void bl_baseline_compare(struct bl_baseline *baseline, const struct bl_leaks *leaks,
                         const struct bl_tolerance *tolerance);

/* Writes what there is now, as the file's new content, whole or not at all. */
int bl_baseline_write(const char *path, const struct bl_leaks *leaks, struct bl_error *error);

#endif
