/*
 * What a history that ended well has beyond one that did not.
 *
 * Pure functions of their arguments.
 */
#ifndef BL_REST_H
#define BL_REST_H

#include "histories.h"

struct bl_rest {
    uint32_t releases[BL_HISTORY_ITEMS]; /* indices in histories->items */
    size_t count;
    uint64_t acquired; /* references */
    uint64_t released;
};

/* False where it has not all that the live one has. */
bool bl_rest_of(const struct bl_histories *all, const struct bl_pattern *live,
                const struct bl_pattern *completed, struct bl_rest *ret_rest);

#endif
