/*
 * Which acquires and releases belong together, as far as it was learned. Both are chain ids of
 * whole stacks of callers, see callers.h.
 */
#ifndef BL_LEARNED_H
#define BL_LEARNED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_learned_pair {
    uint32_t acquire; /* 0: none */
    uint32_t release;
    bool is_sure;
};

/* All 0: nothing was learned. */
struct bl_learned {
    struct bl_learned_pair *pairs; /* open addressing */
    size_t room;
    size_t count;
};

enum bl_learning {
    BL_LEARNED_NOTHING,
    BL_LEARNED_ALIKE, /* as good as any */
    BL_LEARNED_SURE,
};

enum bl_learning bl_learned_find(const struct bl_learned *learned, uint32_t acquire,
                                 uint32_t release);
/* False without memory. */
bool bl_learned_put(struct bl_learned *learned, uint32_t acquire, uint32_t release, bool is_sure);
void bl_learned_deinit(struct bl_learned *learned);

#endif
