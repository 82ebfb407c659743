/*
 * How two histories differ, and which release gives back which reference.
 *
 * A history that ended well is compared with one that did not: what both have is set against each
 * other, first by whole stacks, then by the caller's frames, then by the site. What is left is
 * explained as cheaply as possible: a reference taken and given back on one side only, or the same
 * thing done at another place. What then remains are the references too many and the releases too
 * few.
 *
 * Which release belongs to which acquire nobody tells us. It is learned from the lifecycles where
 * they leave no choice (one acquire, one release; two lifecycles that differ by just one pair; what
 * all that came on one path did equally often, see paths.c).
 * Else those belong together that are in the same part of the program: the two whose common caller
 * is the innermost. Of those equally near, what the caller did himself and what the library did
 * does not belong together, if what ended well shows so (ways.h); what the library does for its
 * caller (it calls back, a container frees what it holds) comes last, and the alloc goes first: who
 * makes a buffer and hands it to others, which take references of their own, gives back his where
 * he made it. In an open history numbers come before that: who balances exactly lacks nothing
 * (fitting.h).
 *
 * Owns what it allocates; borrows histories and callers.
 */
#ifndef BL_COMPARE_H
#define BL_COMPARE_H

#include "callers.h"
#include "error.h"
#include "fitting.h"
#include "histories.h"

#include <stdbool.h>
#include <stdint.h>

struct bl_compare;

int bl_compare_create(struct bl_compare **ret_compare, const struct bl_histories *histories,
                      const struct bl_callers *callers, struct bl_error *error);
void bl_compare_destroy(struct bl_compare *compare);

/* Completed patterns of a class that were born at the same site, most common first, as indices into
 * histories->completed. */
const uint32_t *bl_compare_siblings(const struct bl_compare *compare, uint32_t class_number,
                                    uint32_t birth_site, size_t *ret_count);

/* Have buffers of the class that were born at this site ended with their owners, and not otherwise?
 * Those are no siblings: what was left to an owner tells nothing about releases. */
bool bl_compare_left_to_owners(const struct bl_compare *compare, uint32_t class_number,
                               uint32_t birth_site);
/* The same of those that ended in a way that was not seen. */
bool bl_compare_ended_unseen(const struct bl_compare *compare, uint32_t class_number,
                             uint32_t birth_site);

/* Have more buffers of the class ended in a way that was not seen than were seen released? */
bool bl_compare_mostly_unseen(const struct bl_compare *compare, uint32_t class_number);

/* Has anything that was acquired at a site ended well? */
bool bl_compare_has_ended(const struct bl_compare *compare, uint32_t site);

#define BL_COMPARE_NONE UINT32_MAX

struct bl_difference {
    uint64_t extra[BL_HISTORY_ITEMS];   /* by item of the live one: units only it has */
    uint64_t missing[BL_HISTORY_ITEMS]; /* by item of the completed one: units only it has */
    uint32_t mate[BL_HISTORY_ITEMS];    /* completed item to live item, or BL_COMPARE_NONE */
    /* live acquire to live release: what was explained by each other on that side, with most units;
     * BL_COMPARE_NONE */
    uint32_t given[BL_HISTORY_ITEMS];
    uint64_t given_units[BL_HISTORY_ITEMS];
    uint32_t match_cost; /* of things done at the same site, but called from elsewhere */
    uint32_t guess_cost; /* of what was not equal and had to be explained; includes match_cost */
    uint32_t cost;       /* of the whole explanation, with what is left over; 0: equal */
    uint32_t other_ways; /* of what was set against each other, how much was done on another way
                          * through the library, or called from elsewhere */
    bool is_part;        /* the live one did nothing that the completed one did not */
    bool is_led_on;      /* the live one did all that the completed one did, on the same way or a
                          * longer one from the same place (detour.h), but for the birth;
                          * beside that it took references, and gave none back */
    bool is_beginning;   /* is_part, and all that is missing came later */
};

/* One whose cost is above the limit need not be worked out to its end: then of ret_difference only
 * match_cost, other_ways, is_part, is_led_on and is_beginning hold, and that cost is above the
 * limit. */
void bl_compare_patterns(struct bl_compare *compare, const struct bl_pattern *live,
                         const struct bl_pattern *completed, uint32_t limit,
                         struct bl_difference *ret_difference);

enum bl_ends {
    BL_ENDS_WELL,
    /* releases are missing, and which of the acquires they would belong to is the question; of two
     * that fit equally well the one goes first whose place has ended well elsewhere */
    BL_ENDS_OPEN,
    BL_ENDS_KEPT, /* the same, and what the birth gave is among those that were not given back */
};

/* Pairs acquires and releases of one pattern. Returns the number of pairs; they are good until the
 * next call. left[item] are the units that found no partner. */
size_t bl_compare_pair(struct bl_compare *compare, const struct bl_pattern *pattern,
                       enum bl_ends ends, uint64_t left[BL_HISTORY_ITEMS],
                       const struct bl_pair **ret_pairs);

/* What other evidence shows: this release gives back what was acquired there, or, if that is not
 * sure, it is as good as any. False without memory. */
bool bl_compare_learn(struct bl_compare *compare, const struct bl_item *acquire,
                      const struct bl_item *release, bool is_sure);

/* How far an acquire and a release are apart in the program, for comparison. */
uint32_t bl_compare_apart(const struct bl_compare *compare, const struct bl_item *acquire,
                          const struct bl_item *release);

/* Where the callers of two things part. */
struct bl_fork bl_compare_fork(const struct bl_compare *compare, const struct bl_item *a,
                               const struct bl_item *b);

/* Is it known for certain that this release gives back what was acquired there? */
bool bl_compare_is_learned(const struct bl_compare *compare, const struct bl_item *acquire,
                           const struct bl_item *release);

/* May a release that the library called through a pointer be the caller's, for all that is known?
 */
bool bl_compare_may_call_back(const struct bl_compare *compare, const struct bl_item *release);

/* Is it done at a place of the program that serves several others? */
bool bl_compare_is_helper(const struct bl_compare *compare, const struct bl_item *item);

/* How many of an acquire's innermost callers did the same for what ended well. */
size_t bl_compare_frames_that_ended(const struct bl_compare *compare,
                                    const struct bl_item *acquire);

/* Work done so far, in items compared: a hostile file must not take for ever. */
uint64_t bl_compare_work(const struct bl_compare *compare);

#endif
