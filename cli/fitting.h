/*
 * Which release gives back which acquire of one history, so that as much as possible balances.
 *
 * The likeliest pairs are made first. In an open history that may leave a choice which the numbers
 * decide: the explanation with the fewest acquires out of balance is the likeliest, then the one
 * in which each acquire is given back in the fewest ways (by the caller himself, or by the library
 * for him) and at the fewest places. Where things were done again and again, an acquire that was
 * done exactly as often as a release, or as a few of them together, is not the one that lacks some.
 *
 * Owns nothing and keeps nothing.
 */
#ifndef BL_FITTING_H
#define BL_FITTING_H

#include "histories.h"

#include <stddef.h>
#include <stdint.h>

struct bl_pair {
    uint32_t acquire; /* item; */
    uint32_t release;
    uint64_t units;
};

struct bl_fitting {
    const struct bl_item *items; /* of one pattern */
    uint32_t item_count;
    const struct bl_pair
        *wanted; /* possible pairs, the likeliest first; their units mean nothing */
    size_t wanted_count;
    /* by item: */
    const uint8_t *is_known;      /* other evidence shows what it belongs to */
    const uint8_t *is_by_library; /* the library did it in some call of its user's */
};

/* Makes the pairs of a history that ended well, or of an open one, and returns their number; there
 * is room for wanted_count and BL_HISTORY_ITEMS more. left[item] are the units that found no
 * partner. `work` grows by the pairs that were looked at. */
size_t bl_fitting_pairs(const struct bl_fitting *fitting, bool is_open,
                        uint64_t left[BL_HISTORY_ITEMS], struct bl_pair *pairs, uint64_t *work);

#endif
