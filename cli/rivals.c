#include "rivals.h"

/* What else tells them apart is a habit of programmers, and no evidence. */
static uint32_t callers_apart(const struct bl_compare *compare, const struct bl_item *acquire,
                              const struct bl_item *release)
{
    return bl_compare_apart(compare, acquire, release) >> 16;
}

enum bl_rival bl_rivals_stronger(enum bl_rival a, enum bl_rival b)
{
    return a > b ? a : b;
}

/* What came later, from elsewhere, may give back what either of two took: nothing ties it to one
 * of them. Is that so of a release, and does the other one's tell little as well? One that is made
 * deeper in the calls than its acquire lies behind some call that was given the buffer: the caller
 * may have handed on a reference that he was given, and kept the one that he took. */
static bool are_untied(const struct bl_compare *compare, const struct bl_item *a,
                       const struct bl_item *r, const struct bl_item *b, const struct bl_item *s)
{
    struct bl_fork ar = bl_compare_fork(compare, a, r);
    struct bl_fork br = bl_compare_fork(compare, b, r);
    struct bl_fork bs = bl_compare_fork(compare, b, s);
    return ar.shared == br.shared && ar.shared < bl_compare_fork(compare, a, b).shared &&
           bs.b_frames > bs.a_frames;
}

/* Would it be as likely by structure if each of two acquires were given back by the other's
 * release? That who makes a buffer gives it back himself and last is a better habit than others,
 * where it is kept. */
static enum bl_rival exchange(const struct bl_compare *compare, const struct bl_item *items,
                              const struct bl_pair *one, const struct bl_pair *other)
{
    const struct bl_item *a = &items[one->acquire];
    const struct bl_item *b = &items[other->acquire];
    const struct bl_item *r = &items[one->release];
    const struct bl_item *s = &items[other->release];
    if (bl_compare_is_learned(compare, a, r) || bl_compare_is_learned(compare, b, s) ||
        r->order < b->order || s->order < a->order ||
        (callers_apart(compare, a, s) + callers_apart(compare, b, r) >
             callers_apart(compare, a, r) + callers_apart(compare, b, s) &&
         !are_untied(compare, a, r, b, s)))
        return BL_RIVAL_NONE;
    bool is_habit = b->kind == BL_ITEM_ALLOC && r->site != s->site;
    return is_habit ? BL_RIVAL_BIRTH : BL_RIVAL_ANY;
}

enum bl_rival bl_rivals_of_pair(const struct bl_compare *compare, const struct bl_item *items,
                                const struct bl_pair *pairs, size_t count, size_t which)
{
    const struct bl_pair *one = &pairs[which];
    enum bl_rival rival = BL_RIVAL_NONE;
    for (size_t i = 0; i < count; i++)
        if (pairs[i].acquire != one->acquire && pairs[i].release != one->release)
            rival = bl_rivals_stronger(rival, exchange(compare, items, one, &pairs[i]));
    return rival;
}

bool bl_rivals_is_excused(const struct bl_compare *compare, const struct bl_item *one,
                          const struct bl_item *blamed)
{
    return bl_compare_frames_that_ended(compare, one) >
           bl_compare_frames_that_ended(compare, blamed) + 1;
}

enum bl_rival bl_rivals_of_open(const struct bl_compare *compare, const struct bl_item *items,
                                const struct bl_pair *pair, uint32_t open)
{
    const struct bl_item *a = &items[open];
    const struct bl_item *b = &items[pair->acquire];
    const struct bl_item *s = &items[pair->release];
    if (a == b || pair->units != s->units || a->units < s->units || s->order < a->order ||
        bl_compare_is_learned(compare, b, s) || bl_rivals_is_excused(compare, b, a) ||
        callers_apart(compare, a, s) > callers_apart(compare, b, s))
        return BL_RIVAL_NONE;
    if (bl_compare_is_helper(compare, a) || bl_compare_is_helper(compare, b))
        return BL_RIVAL_ANY;
    return b->kind == BL_ITEM_ALLOC ? BL_RIVAL_BIRTH : BL_RIVAL_ANY;
}
