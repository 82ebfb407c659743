#include "holdings.h"

#include "hash.h"

#include <stdlib.h>
#include <string.h>

struct key {
    uint64_t outer;
    uint32_t root;
    uint32_t list;
};

struct sum {
    struct bl_holding holding;
    struct key key;
    UT_hash_handle hh;
};

struct bl_holdings {
    struct sum *sums;
    struct sum **latest; /* by list: the newest sum, which leads to the others */
    uint32_t list_count; /* lists count from 1 */
    uint32_t room;
};

struct bl_holdings *bl_holdings_create(void)
{
    return calloc(1, sizeof(struct bl_holdings));
}

void bl_holdings_destroy(struct bl_holdings *holdings)
{
    struct sum *sum;
    struct sum *next;
    if (!holdings)
        return;
    HASH_ITER (hh, holdings->sums, sum, next) {
        HASH_DEL(holdings->sums, sum); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free(sum);
    }
    free(holdings->latest);
    free(holdings);
}

static bool make_list(struct bl_holdings *holdings, uint32_t *list)
{
    if (*list)
        return true;
    if (holdings->list_count + 1 >= holdings->room) {
        uint32_t room = holdings->room ? 2 * holdings->room : 64;
        struct sum **latest = realloc(holdings->latest, room * sizeof(struct sum *));
        if (!latest)
            return false;
        holdings->latest = latest;
        holdings->room = room;
    }
    *list = ++holdings->list_count;
    holdings->latest[*list] = NULL;
    return true;
}

bool bl_holding_shows_better(const struct bl_holding *a, const struct bl_holding *b)
{
    if (a->is_example_interior != b->is_example_interior)
        return b->is_example_interior;
    if (a->example_depth != b->example_depth)
        return a->example_depth < b->example_depth;
    return a->example < b->example;
}

static void add_to(struct bl_holding *sum, const struct bl_holding *more)
{
    if (bl_holding_shows_better(more, sum)) {
        sum->example = more->example;
        sum->example_depth = more->example_depth;
        sum->is_example_interior = more->is_example_interior;
    }
    sum->count += more->count;
    sum->bytes += more->bytes;
}

void bl_holdings_add(struct bl_holdings *holdings, uint32_t *list, const struct bl_holding *more)
{
    struct key key;
    struct sum *sum;
    if (!make_list(holdings, list))
        return;
    memset(&key, 0, sizeof(key));
    key.outer = more->outer;
    key.root = more->root;
    key.list = *list;
    HASH_FIND(hh, holdings->sums, &key, sizeof(key), sum);
    if (sum) {
        add_to(&sum->holding, more);
        return;
    }
    sum = calloc(1, sizeof(*sum));
    if (!sum)
        return;
    sum->key = key;
    sum->holding = *more;
    sum->holding.next = holdings->latest[*list] ? &holdings->latest[*list]->holding : NULL;
    holdings->latest[*list] = sum;
    HASH_ADD(hh, holdings->sums, key, sizeof(key), sum);
}

const struct bl_holding *bl_holdings_first(const struct bl_holdings *holdings, uint32_t list)
{
    if (!holdings || list == 0 || list > holdings->list_count || !holdings->latest[list])
        return NULL;
    return &holdings->latest[list]->holding;
}

void bl_holdings_merge(struct bl_holdings *holdings, uint32_t *list, uint32_t from)
{
    for (const struct bl_holding *h = bl_holdings_first(holdings, from); h; h = h->next)
        bl_holdings_add(holdings, list, h);
}
