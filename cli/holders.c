#include "holders.h"

#include <stdlib.h>
#include <string.h>

/* A sum by root and site, and by what its root is called. */
struct entry {
    const struct bl_holding *holding;
    const struct bl_reach_root *root;
    uint64_t name; /* start of the variable, function or region, or a hash; 0: unnamed */
};

/* Where the last name that was looked up reaches to. */
struct span {
    uint32_t module;
    uint64_t start;
    uint64_t end;
};

static int order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_roots(const void *left, const void *right)
{
    const struct bl_reach_root *a = ((const struct entry *)left)->root;
    const struct bl_reach_root *b = ((const struct entry *)right)->root;
    int by = order(a->kind, b->kind);
    by = by ? by : order(a->module, b->module);
    return by ? by : order(a->offset, b->offset);
}

static int compare_holders(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    int by = order(a->root->kind, b->root->kind);
    by = by ? by : order(a->root->module, b->root->module);
    by = by ? by : order(a->name, b->name);
    by = by ? by : order(a->holding->outer, b->holding->outer);
    return by ? by : order(a->holding->example, b->holding->example);
}

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash | 1u;
}

static uint64_t name_code(struct bl_symbols *symbols, const struct bl_reach_root *root)
{
    size_t count;
    const struct bl_symbol *symbol =
        root->module ? bl_symbols_code(symbols, root->module, root->offset, &count) : NULL;
    if (!symbol)
        return 0;
    const char *function = symbol[count - 1].function;
    return function ? hash_of(function) : root->offset | 1u;
}

static uint64_t name_variable(struct bl_symbols *symbols, const struct bl_reach_root *root,
                              struct span *last)
{
    if (root->module == last->module && root->offset >= last->start && root->offset < last->end)
        return last->start + 1;
    uint64_t size;
    *last = (struct span){.module = root->module};
    if (!bl_symbols_extent(symbols, root->module, root->offset, &last->start, &size))
        return 0;
    last->end = last->start + size;
    return last->start + 1;
}

static uint64_t name_root(struct bl_symbols *symbols, const struct bl_reach_root *root,
                          struct span *last)
{
    switch (root->kind) {
    case BL_ROOT_GLOBAL:
        return name_variable(symbols, root, last);
    case BL_ROOT_STACK:
        return name_code(symbols, root);
    case BL_ROOT_REGION:
        return root->slot - root->offset + 1;
    default:
        return 0;
    }
}

/* Sorted by root, so that what lies in one variable comes together. */
static struct entry *name_all(const struct bl_reaches *reaches, struct bl_symbols *symbols,
                              const struct bl_holding *first, size_t *ret_count)
{
    size_t count = 0;
    struct span last = {0};
    for (const struct bl_holding *h = first; h; h = h->next)
        count++;
    struct entry *entries = calloc(count + 1, sizeof(*entries));
    if (!entries)
        return NULL;
    *ret_count = count;
    count = 0;
    for (const struct bl_holding *h = first; h; h = h->next)
        entries[count++] = (struct entry){.holding = h, .root = bl_reach_root_of(reaches, h->root)};
    qsort(entries, count, sizeof(*entries), compare_roots);
    for (size_t i = 0; i < count; i++)
        entries[i].name = name_root(symbols, entries[i].root, &last);
    qsort(entries, count, sizeof(*entries), compare_holders);
    return entries;
}

static bool is_same_holder(const struct entry *a, const struct entry *b)
{
    return a->root->kind == b->root->kind && a->root->module == b->root->module &&
           a->name == b->name && a->holding->outer == b->holding->outer;
}

/* The one that begins at entries[*at], which is moved behind it. */
static struct bl_holder take_holder(const struct entry *entries, size_t count, size_t *at)
{
    const struct entry *first = &entries[*at];
    struct bl_holding sum = *first->holding;
    struct bl_holder holder = {0};
    for (; *at < count && is_same_holder(first, &entries[*at]); ++*at) {
        const struct entry *entry = &entries[*at];
        if (bl_holding_shows_better(entry->holding, &sum)) {
            sum.example = entry->holding->example;
            sum.example_depth = entry->holding->example_depth;
            sum.is_example_interior = entry->holding->is_example_interior;
        }
        holder.count += entry->holding->count;
        holder.bytes += entry->holding->bytes;
        holder.is_spread |= entry->root->tid != first->root->tid ||
                            (!entry->name && entry->root->kind == BL_ROOT_GLOBAL &&
                             entry->root->offset != first->root->offset);
    }
    holder.example = sum.example;
    return holder;
}

struct bl_holder bl_holders_heaviest(const struct bl_reaches *reaches, struct bl_symbols *symbols,
                                     const struct bl_reach_sums *sums)
{
    struct bl_holder heaviest = {0};
    const struct bl_holding *first = bl_reach_holdings(reaches, sums);
    size_t count = 0;
    size_t holders = 0;
    uint64_t of_bytes = 0;
    struct entry *entries = first ? name_all(reaches, symbols, first, &count) : NULL;
    for (size_t at = 0; entries && at < count; holders++) {
        struct bl_holder holder = take_holder(entries, count, &at);
        of_bytes += holder.bytes;
        if (!heaviest.example || holder.bytes > heaviest.bytes ||
            (holder.bytes == heaviest.bytes && holder.example < heaviest.example))
            heaviest = holder;
    }
    free(entries);
    heaviest.of_bytes = of_bytes;
    heaviest.holders = holders;
    return heaviest;
}
