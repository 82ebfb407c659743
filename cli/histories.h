/*
 * Histories: the live objects and the completed lifecycles of a ledger as patterns.
 *
 * A pattern is the multiset of operations that one or many buffers of a class lived through: where
 * references were acquired and where they were given back, how many at each stack, in the order
 * of an exemplar. Live objects with equal multisets share one. Resizes are no part of it, the end
 * of a buffer is the release that it was, also that of its owner.
 *
 * Owns what it allocates; borrows reader and callers.
 */
#ifndef BL_HISTORIES_H
#define BL_HISTORIES_H

#include "callers.h"
#include "error.h"
#include "model.h"
#include "reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_HISTORY_ITEMS 256 /* of one pattern; a longer history is not compared */

enum bl_item_kind {
    BL_ITEM_ALLOC,
    BL_ITEM_RETAIN,
    BL_ITEM_RELEASE, /* also the end and a transfer */
    BL_ITEM_OVER_RELEASE,
};

struct bl_item {
    uint32_t stack;
    uint32_t callers; /* number from bl_callers_find */
    uint32_t whole;   /* bl_callers_whole, bl_callers_site and bl_callers_call of it, at hand */
    uint32_t site;
    uint32_t call;
    enum bl_item_kind kind;
    uint32_t order; /* in time, of the exemplar */
    uint64_t units; /* references */
};

static inline bool bl_item_is_acquire(const struct bl_item *item)
{
    return item->kind == BL_ITEM_ALLOC || item->kind == BL_ITEM_RETAIN;
}

enum bl_doubt {
    BL_DOUBT_NONE = 0,
    BL_DOUBT_MOVING,    /* changed while it was read: in use */
    BL_DOUBT_OVERFLOW,  /* operations that were not kept */
    BL_DOUBT_DRIFTED,   /* its own count is not the one that was seen: calls were missed */
    BL_DOUBT_INHERITED, /* from the parent of a forked process */
    BL_DOUBT_GHOST,     /* gone: what is left is the record of a release too many */
    BL_DOUBT_SETTLED,   /* no reference that was seen is left */
    BL_DOUBT_OWNER,     /* its owner was not seen: it may have ended with it */
    BL_DOUBT_PARTIAL,   /* calls that end its class may go unseen, and nothing else shows its end */
};

/* Of BL_DOUBT_GHOST: was it gone when it was released again? */
enum bl_ghost {
    BL_GHOST_GONE = 0,
    BL_GHOST_UNKNOWN,  /* nothing could be looked at */
    BL_GHOST_MAY_LIVE, /* it, or another one, may have been there, and calls were missed */
};

struct bl_pattern {
    uint32_t class_number;
    enum bl_doubt doubt; /* live ones; BL_DOUBT_OVERFLOW completed ones too */
    uint32_t first_item; /* items are ordered by kind, stack */
    uint32_t item_count;
    uint64_t count; /* buffers */
    uint64_t bytes;
    uint64_t refs; /* live: references left */
    enum bl_ghost ghost;
    bool is_owned;  /* live: they end with their owners; completed: they did, and not otherwise */
    bool is_unseen; /* completed: in a way that was not seen */
    /* live: its objects, by birth */
    size_t first_object;
    size_t object_count;
    uint64_t latest_ns; /* of all their events; completed: when the latest of them ended */
    /* completed: lifetimes */
    uint64_t longest_ns;
    const struct bl_lifecycle *lifecycle; /* NULL: live */
};

struct bl_history_object {
    uint64_t birth_ns;
    uint32_t birth;     /* its number, see struct bl_object */
    uint64_t latest_ns; /* of its events; 0: there is none but the birth */
    uint64_t bytes;
    uint32_t index;  /* in bl_reader_objects */
    uint32_t owner;  /* number of an object, 0: none */
    uint32_t thread; /* of its latest event */
    uint32_t pattern;
    bool is_in_ring;     /* of a thread that stopped: see left.c */
    bool is_gone;        /* nobody has it any more, nor can release it: see gone.c */
    bool is_barely_held; /* only by pointers into its middle, where none of its users has one */
};

struct bl_histories {
    struct bl_pattern *live;
    size_t live_count;
    struct bl_pattern *completed; /* by class, then most common first */
    size_t completed_count;
    struct bl_item *items; /* never NULL */
    size_t item_count;
    struct bl_history_object *objects;
    size_t object_count;
    /* of the objects, in order within each pattern, whatever becomes of the order of objects */
    uint64_t *births;
};

/* Objects younger than min_age_ns at now_ns are left out. */
int bl_histories_create(struct bl_histories **ret_histories, const struct bl_reader *reader,
                        struct bl_callers *callers, uint64_t now_ns, uint64_t min_age_ns,
                        struct bl_error *error);
void bl_histories_destroy(struct bl_histories *histories);

__attribute__((returns_nonnull)) static inline const struct bl_item *
bl_pattern_items(const struct bl_histories *histories, const struct bl_pattern *pattern)
{
    return histories->items + pattern->first_item;
}

/* The birth; its stack is 0 when it was not seen. NULL only for a pattern that has none. */
const struct bl_item *bl_pattern_birth(const struct bl_histories *histories,
                                       const struct bl_pattern *pattern);

/* Buffers that ended from first_end_ns to last_end_ns, and how long they lived. */
struct bl_lifetimes {
    uint64_t count;
    uint64_t first_end_ns;
    uint64_t last_end_ns;
    double mean_end_ns;
    uint64_t shortest_ns;
    uint64_t longest_ns;
    uint64_t histogram[BL_LIFETIME_BUCKETS]; /* as in bl_lifecycle */
};

struct bl_lifetimes bl_lifetimes_of(const struct bl_lifecycle *lifecycle, uint64_t start_ns);

/* The share that was born after a moment. Ends are taken to be evenly spread before their mean and
 * after it, as many on either side as make it the mean; lifetimes to be so within each bucket of
 * the histogram, and independent of the end. */
double bl_lifetimes_born_after(const struct bl_lifetimes *lifetimes, uint64_t moment_ns);

/* An upper bound of the lifetime of 99 in 100. */
uint64_t bl_lifetimes_p99(const uint64_t histogram[BL_LIFETIME_BUCKETS], uint64_t longest_ns);

#endif
