/*
 * Memory in time, as the ledger has it: a line of points for each thing that was followed, and the
 * marks.
 *
 * A line is put together from the fine samples and, before those begin, from the coarser ones, in
 * time order, each moment once. Everything in the file is untrusted: what is out of range, out of
 * order or refers to nothing is left out and counted in `damage`.
 *
 * Owns what it allocates; borrows the reader, which must live longer.
 */
#ifndef BL_SERIES_H
#define BL_SERIES_H

#include "error.h"
#include "reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_point {
    uint64_t t_ns;    /* CLOCK_MONOTONIC of the target's machine */
    uint64_t span_ns; /* 0: a moment; else min and max are of the span that ends at t_ns */
    uint64_t bytes;   /* at t_ns */
    uint64_t min_bytes;
    uint64_t max_bytes;
    uint64_t count; /* live buffers at t_ns; of a class or site */
    uint64_t total; /* allocs, births seen or requests so far: only rises */
};

struct bl_line {
    enum bl_series_kind kind;
    uint32_t number; /* of its record in SERIES */
    uint32_t class_number;
    uint32_t stack;                     /* of a site: one of the stacks that pass it; else 0 */
    uint32_t site;                      /* of a site: frame number */
    const struct bl_boundary *boundary; /* of a boundary; else NULL */
    uint32_t direct;                    /* of a counter of direct memory: its number */
    uint64_t since_ns;
    uint64_t until_ns; /* another site is followed in its place since; 0: still followed */
    uint64_t peak_bytes;
    uint64_t peak_ns;
    struct bl_point *points; /* oldest first */
    size_t count;
};

struct bl_series_set {
    struct bl_line *lines; /* in the order of their records; none is empty */
    size_t line_count;
    const struct bl_mark **marks; /* oldest first; those that were overwritten are gone */
    size_t mark_count;
    uint64_t damage;
};

int bl_series_create(struct bl_series_set **ret_set, const struct bl_reader *reader,
                     struct bl_error *error);
void bl_series_destroy(struct bl_series_set *set);

/* NULL when it was not followed. class_number is for classes only, else 0. */
const struct bl_line *bl_series_find(const struct bl_series_set *set, enum bl_series_kind kind,
                                     uint32_t class_number);

/* Of a counter in bl_header.direct; NULL: not followed. */
const struct bl_line *bl_series_find_direct(const struct bl_series_set *set, uint32_t number);

/* The latest mark of that name, or with "#3" the third that was made; NULL: none. */
const struct bl_mark *bl_series_find_mark(const struct bl_series_set *set, const char *name);

#define BL_SERIES_MARK_TEXT (4 * BL_MARK_NAME + 16)
/* What finds the mark at that place in set->marks: its name, or where that would find another or
 * nothing, its number and then the name, as in: #3 "7". */
void bl_series_mark_text(const struct bl_series_set *set, size_t at, char *out, size_t size);

/* The latest point at or before t_ns; NULL: the line begins later. */
const struct bl_point *bl_line_at(const struct bl_line *line, uint64_t t_ns);

/* At most `max` points of about equal spans that stand for the line from `from_ns` on, extremes
 * kept; returns how many were stored. For charts and JSON. */
size_t bl_line_thin(const struct bl_line *line, uint64_t from_ns, struct bl_point *out, size_t max);

#endif
