#include "rest.h"

static void add(struct bl_rest *rest, const struct bl_item *item, uint32_t number, uint64_t units)
{
    if (bl_item_is_acquire(item))
        rest->acquired += units;
    if (item->kind != BL_ITEM_RELEASE || units == 0 || rest->count == BL_HISTORY_ITEMS)
        return;
    rest->releases[rest->count++] = number;
    rest->released += units;
}

/* Items of either are in order. */
bool bl_rest_of(const struct bl_histories *all, const struct bl_pattern *live,
                const struct bl_pattern *completed, struct bl_rest *ret_rest)
{
    const struct bl_item *has = bl_pattern_items(all, live);
    const struct bl_item *had = bl_pattern_items(all, completed);
    uint32_t at = 0;
    ret_rest->count = 0;
    ret_rest->acquired = ret_rest->released = 0;
    for (uint32_t i = 0; i < completed->item_count; i++) {
        bool is_both =
            at < live->item_count && has[at].kind == had[i].kind && has[at].stack == had[i].stack;
        uint64_t both = is_both ? has[at].units : 0;
        if (both > had[i].units)
            return false;
        add(ret_rest, &had[i], completed->first_item + i, had[i].units - both);
        at += is_both;
    }
    return at == live->item_count;
}
