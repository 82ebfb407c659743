#include "learned.h"

#include <stdlib.h>

static uint64_t hash(uint32_t acquire, uint32_t release)
{
    uint64_t value = (uint64_t)acquire << 32 | release;
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ull;
    return value ^ value >> 32;
}

/* The slot of a pair, or the empty one where it would be; the table has room. */
static struct bl_learned_pair *find_slot(const struct bl_learned *learned, uint32_t acquire,
                                         uint32_t release)
{
    for (uint64_t at = hash(acquire, release);; at++) {
        struct bl_learned_pair *slot = &learned->pairs[at & (learned->room - 1)];
        if (slot->acquire == 0 || (slot->acquire == acquire && slot->release == release))
            return slot;
    }
}

enum bl_learning bl_learned_find(const struct bl_learned *learned, uint32_t acquire,
                                 uint32_t release)
{
    if (learned->room == 0)
        return BL_LEARNED_NOTHING;
    const struct bl_learned_pair *slot = find_slot(learned, acquire, release);
    if (slot->acquire == 0)
        return BL_LEARNED_NOTHING;
    return slot->is_sure ? BL_LEARNED_SURE : BL_LEARNED_ALIKE;
}

static bool make_room(struct bl_learned *learned)
{
    struct bl_learned grown = {.room = learned->room ? learned->room * 2 : 256,
                               .count = learned->count};
    if (learned->count * 2 < learned->room)
        return true;
    grown.pairs = calloc(grown.room, sizeof(*grown.pairs));
    if (!grown.pairs)
        return false;
    for (size_t i = 0; i < learned->room; i++)
        if (learned->pairs[i].acquire != 0)
            *find_slot(&grown, learned->pairs[i].acquire, learned->pairs[i].release) =
                learned->pairs[i];
    free(learned->pairs);
    *learned = grown;
    return true;
}

bool bl_learned_put(struct bl_learned *learned, uint32_t acquire, uint32_t release, bool is_sure)
{
    if (!make_room(learned))
        return false;
    struct bl_learned_pair *slot = find_slot(learned, acquire, release);
    learned->count += slot->acquire == 0;
    *slot = (struct bl_learned_pair){acquire, release, slot->is_sure || is_sure};
    return true;
}

void bl_learned_deinit(struct bl_learned *learned)
{
    free(learned->pairs);
}
