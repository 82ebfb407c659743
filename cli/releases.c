#include "releases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ANY_INNER UINT32_MAX
#define ANYWHERE  UINT32_MAX /* a stack that is none */

/* Buffers born at a site, by one way through the library or any, and released at a stack. */
struct release {
    uint32_t stack; /* 0: unused slot */
    uint32_t class_number;
    uint32_t birth_site;
    uint32_t inner;
};

/* An answer, kept at a place that the latest question has. */
struct answer {
    uint32_t stack; /* 0: none */
    struct bl_kind kind;
    bool inside;
    uint64_t count;
};

/* The same of bl_releases_are_by_owners. */
struct opinion {
    uint32_t stack; /* 0: none */
    uint32_t part_class;
    uint32_t owner_class;
    bool is_possible;
};

#define ANSWERS (1u << 12)

#define ORPHANS      16u  /* born after the last of their owners ended: by the one that ends now */
#define ORPHAN_SHARE 0.25 /* or as their births are known, by how long so many lived */

struct bl_releases {
    const struct bl_histories *histories;
    const struct bl_reader *reader;
    const struct bl_callers *callers;
    struct release *slots; /* open addressing */
    size_t room;           /* a power of two */
    uint8_t *is_release;   /* by stack */
    struct answer answers[ANSWERS];
    struct opinion opinions[ANSWERS];
};

static uint64_t hash(uint32_t stack, uint32_t class_number, uint32_t birth_site)
{
    uint64_t value = (uint64_t)stack << 32 | (birth_site ^ class_number << 24);
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    return value ^ value >> 32;
}

/* The slot of a release, or the free one where it belongs. */
static struct release *find_slot(const struct bl_releases *releases, struct release one)
{
    for (uint64_t at = hash(one.stack, one.class_number, one.birth_site + one.inner);; at++) {
        struct release *slot = &releases->slots[at & (releases->room - 1)];
        if (slot->stack == 0 ||
            (slot->stack == one.stack && slot->class_number == one.class_number &&
             slot->birth_site == one.birth_site && slot->inner == one.inner))
            return slot;
    }
}

static void put(const struct bl_releases *releases, struct bl_kind kind, uint32_t stack,
                uint32_t inner)
{
    struct release one = {stack, kind.class_number, kind.site, inner};
    *find_slot(releases, one) = one;
}

static bool is_seen_release(const struct bl_item *item)
{
    return item->kind == BL_ITEM_RELEASE && item->stack != 0;
}

static void enter(struct bl_releases *releases)
{
    const struct bl_histories *all = releases->histories;
    for (size_t i = 0; i < all->completed_count; i++) {
        const struct bl_pattern *pattern = &all->completed[i];
        const struct bl_item *items = bl_pattern_items(all, pattern);
        struct bl_kind kind =
            bl_releases_kind(releases, pattern->class_number, bl_pattern_birth(all, pattern));
        if (pattern->is_owned)
            continue;
        put(releases, kind, ANYWHERE, kind.inner);
        for (uint32_t k = 0; k < pattern->item_count; k++) {
            if (!is_seen_release(&items[k]))
                continue;
            put(releases, kind, items[k].stack, kind.inner);
            put(releases, kind, items[k].stack, ANY_INNER);
            releases->is_release[items[k].stack] = 1;
        }
    }
}

/* Slots that they take. */
static size_t count_releases(const struct bl_histories *all)
{
    size_t count = all->completed_count;
    for (size_t i = 0; i < all->completed_count; i++) {
        const struct bl_item *items = bl_pattern_items(all, &all->completed[i]);
        for (uint32_t k = 0; k < all->completed[i].item_count; k++)
            count += is_seen_release(&items[k]) ? 2 : 0;
    }
    return count;
}

struct bl_kind bl_releases_kind(const struct bl_releases *releases, uint32_t class_number,
                                const struct bl_item *birth)
{
    struct bl_kind kind = {.class_number = class_number};
    if (birth) {
        kind.site = birth->site;
        kind.inner = bl_callers_inner(releases->callers, birth->callers);
    }
    return kind;
}

struct bl_releases *bl_releases_create(const struct bl_histories *histories,
                                       const struct bl_reader *reader,
                                       const struct bl_callers *callers)
{
    struct bl_releases *releases = calloc(1, sizeof(*releases));
    if (!releases)
        return NULL;
    releases->histories = histories;
    releases->reader = reader;
    releases->callers = callers;
    releases->room = 64;
    while (releases->room < 2 * count_releases(histories))
        releases->room *= 2;
    releases->slots = calloc(releases->room, sizeof(*releases->slots));
    releases->is_release = calloc(bl_reader_count(reader, BL_SECTION_FRAMES) + 1ul, 1);
    if (!releases->slots || !releases->is_release) {
        bl_releases_destroy(releases);
        return NULL;
    }
    enter(releases);
    return releases;
}

void bl_releases_destroy(struct bl_releases *releases)
{
    if (!releases)
        return;
    free(releases->slots);
    free(releases->is_release);
    free(releases);
}

static uint32_t caller_of(const struct bl_releases *releases, uint32_t stack)
{
    const struct bl_frame *frame = bl_reader_frame(releases->reader, stack);
    return frame ? frame->parent : 0;
}

size_t bl_releases_enclosing(const struct bl_releases *releases, uint32_t stack, uint32_t *out,
                             size_t max)
{
    size_t count = 0;
    for (size_t depth = 0; stack && count < max && depth < BL_MODEL_FRAMES_MAX; depth++) {
        stack = caller_of(releases, stack);
        if (releases->is_release[stack])
            out[count++] = stack;
    }
    return count;
}

bool bl_releases_know(const struct bl_releases *releases, struct bl_kind kind)
{
    struct release one = {ANYWHERE, kind.class_number, kind.site, kind.inner};
    return find_slot(releases, one)->stack != 0;
}

bool bl_releases_has(const struct bl_releases *releases, uint32_t stack, struct bl_kind kind)
{
    struct release one = {stack, kind.class_number, kind.site,
                          bl_releases_know(releases, kind) ? kind.inner : ANY_INNER};
    return find_slot(releases, one)->stack != 0;
}

static bool is_within(const struct bl_releases *releases, uint32_t stack, uint32_t caller)
{
    for (size_t depth = 0; stack && stack != caller && depth < BL_MODEL_FRAMES_MAX; depth++)
        stack = caller_of(releases, stack);
    return stack == caller;
}

static bool is_of_kind(const struct bl_releases *releases, const struct bl_pattern *pattern,
                       struct bl_kind kind)
{
    if (pattern->class_number != kind.class_number)
        return false;
    struct bl_kind its = bl_releases_kind(releases, pattern->class_number,
                                          bl_pattern_birth(releases->histories, pattern));
    return kind.is_any || (its.site == kind.site && its.inner == kind.inner);
}

static uint64_t count_of(const struct bl_releases *releases, const struct bl_pattern *patterns,
                         size_t pattern_count, const struct answer *asked)
{
    uint64_t count = 0;
    for (size_t i = 0; i < pattern_count; i++) {
        const struct bl_pattern *pattern = &patterns[i];
        const struct bl_item *items = bl_pattern_items(releases->histories, pattern);
        if (!is_of_kind(releases, pattern, asked->kind) ||
            (pattern->is_owned && pattern->lifecycle) || pattern->is_unseen)
            continue;
        for (uint32_t k = 0; k < pattern->item_count; k++)
            if (is_seen_release(&items[k]) &&
                (items[k].stack == asked->stack ||
                 (asked->inside && is_within(releases, items[k].stack, asked->stack))))
                count += items[k].units * pattern->count;
    }
    return count;
}

bool bl_kind_is_same(struct bl_kind a, struct bl_kind b)
{
    return a.class_number == b.class_number && a.is_any == b.is_any &&
           (a.is_any || (a.site == b.site && a.inner == b.inner));
}

uint64_t bl_releases_count(struct bl_releases *releases, struct bl_kind kind, uint32_t stack,
                           bool inside)
{
    uint32_t its = kind.is_any ? 0 : kind.site * 31 + kind.inner;
    struct answer *known =
        &releases->answers[hash(stack, kind.class_number, its * 2 + inside) & (ANSWERS - 1)];
    if (known->stack != stack || !bl_kind_is_same(known->kind, kind) || known->inside != inside) {
        const struct bl_histories *all = releases->histories;
        *known = (struct answer){.stack = stack, .kind = kind, .inside = inside};
        known->count = count_of(releases, all->completed, all->completed_count, known) +
                       count_of(releases, all->live, all->live_count, known);
    }
    return known->count;
}

/* The references of one pattern that were given back at a stack, or below it. */
static uint64_t units_at(const struct bl_releases *releases, const struct bl_pattern *pattern,
                         uint32_t stack, bool inside)
{
    const struct bl_item *items = bl_pattern_items(releases->histories, pattern);
    uint64_t units = 0;
    for (uint32_t k = 0; k < pattern->item_count; k++)
        if (is_seen_release(&items[k]) &&
            (items[k].stack == stack || (inside && is_within(releases, items[k].stack, stack))))
            units += items[k].units;
    return units;
}

/* What was given back, and when the latest of those that did so ended; a live one may have done so
 * by its latest event. */
static uint64_t find_owners(const struct bl_releases *releases, uint32_t owner_class,
                            uint32_t stack, uint64_t *ret_last_ns)
{
    const struct bl_histories *all = releases->histories;
    uint64_t units = 0;
    *ret_last_ns = 0;
    for (size_t i = 0; i < all->completed_count + all->live_count; i++) {
        const struct bl_pattern *pattern =
            i < all->completed_count ? &all->completed[i] : &all->live[i - all->completed_count];
        uint64_t its = pattern->class_number == owner_class
                           ? units_at(releases, pattern, stack, false) * pattern->count
                           : 0;
        units += its;
        if (its > 0 && pattern->latest_ns > *ret_last_ns)
            *ret_last_ns = pattern->latest_ns;
    }
    return units;
}

static bool are_by_owners(const struct bl_releases *releases, uint32_t part_class,
                          uint32_t owner_class, uint32_t stack)
{
    const struct bl_histories *all = releases->histories;
    uint64_t last_ns;
    double owners = (double)find_owners(releases, owner_class, stack, &last_ns);
    double units = 0;
    double buffers = 0;
    double lived = 0;
    double orphans = 0;
    for (size_t i = 0; i < all->completed_count; i++) {
        const struct bl_pattern *pattern = &all->completed[i];
        uint64_t its = pattern->class_number == part_class && !pattern->is_owned
                           ? units_at(releases, pattern, stack, true)
                           : 0;
        if (its == 0)
            continue;
        struct bl_lifetimes lifetimes = bl_lifetimes_of(pattern->lifecycle, pattern->latest_ns);
        units += (double)(its * pattern->count);
        buffers += (double)pattern->count;
        lived += (double)pattern->lifecycle->lived;
        orphans += (double)pattern->count * bl_lifetimes_born_after(&lifetimes, last_ns);
    }
    /* of n that live at once the births of n - 1 are in the life of one, of half as many in that of
     * each, on average */
    double at_once = units / fmax(buffers, 1) * (2 * lived / fmax(buffers, 1) + 1);
    double parts = part_class == owner_class ? units - owners : units;
    return parts <= owners * at_once && orphans <= fmax(ORPHANS, ORPHAN_SHARE * buffers);
}

bool bl_releases_are_by_owners(struct bl_releases *releases, uint32_t part_class,
                               uint32_t owner_class, uint32_t stack)
{
    struct opinion *known =
        &releases->opinions[hash(stack, part_class, owner_class) & (ANSWERS - 1)];
    if (known->stack != stack || known->part_class != part_class ||
        known->owner_class != owner_class)
        *known = (struct opinion){stack, part_class, owner_class,
                                  are_by_owners(releases, part_class, owner_class, stack)};
    return known->is_possible;
}
