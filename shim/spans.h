/*
 * Sets of address ranges: what is to be left out of what.
 *
 * Owns one array in pages of its own that are never given back, see trace.h. Threads: one. Signal
 * context: async-signal-safe. Errors: a set that cannot grow is marked `failed`.
 */
#ifndef BL_SPANS_H
#define BL_SPANS_H

#include "compiler.h"

struct bl_span {
    uint64_t start;
    uint64_t end;
};

struct bl_spans {
    struct bl_span *list;
    uint32_t count;
    uint32_t room;
    bool failed;
};

/* Ranges that are empty are passed over; one that continues the last is put together with it. */
void bl_spans_add(struct bl_spans *spans, uint64_t start, uint64_t end);
/* Sorts and merges. */
void bl_spans_settle(struct bl_spans *spans);
/* The first of a settled set that ends after an address; count: none. */
uint32_t bl_spans_after(const struct bl_spans *spans, uint64_t address);
bool bl_spans_cover(const struct bl_spans *spans, uint64_t start, uint64_t end);
/* Calls visit for each part of [start, end) that is in none of them. */
void bl_spans_outside(const struct bl_spans *spans, uint64_t start, uint64_t end,
                      void (*visit)(void *context, uint64_t start, uint64_t end), void *context);

#endif
