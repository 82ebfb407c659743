/*
 * The two tables that stacks are found by: which frame a caller's frame and an address lead to, and
 * which stack a hash stands for.
 *
 * Open addressing, linear probing; the edges themselves lie side by side by their frames' numbers.
 * Most processes live for some milliseconds and know some hundred stacks, and what they pay for is
 * pages touched first, not steps. A table doubles at three quarters; without memory it is filled
 * up, then refuses.
 * Owns: its slots, in the arena. Threads: the caller locks. Needs the guard. Signal context: safe
 * under the guard.
 */
#ifndef BL_STACK_INDEX_H
#define BL_STACK_INDEX_H

#include "compiler.h"

#define BL_EDGE_FRAMES_MAX   (1u << 26)
#define BL_EDGE_CHUNK_FRAMES 1024u

struct bl_edge {
    uint32_t parent;
    uint32_t module; /* with BL_FRAME_* */
    uint64_t offset;
};

struct bl_edges {
    struct bl_edge *chunks[BL_EDGE_FRAMES_MAX / BL_EDGE_CHUNK_FRAMES]; /* by frame */
    uint32_t *slots; /* bits 0-25 frame, 0 free; 26-31 of the hash. NULL: none yet */
    uint32_t size;   /* a power of two, or 0 */
    uint32_t count;
};

/* The frame that parent, module and offset lead to; 0: none. */
uint32_t bl_edges_find(const struct bl_edges *edges, const struct bl_edge *edge);
/* One that is not in it, to a frame that none leads to. False: no memory. */
bool bl_edges_add(struct bl_edges *edges, const struct bl_edge *edge, uint32_t frame);
/* The one to the frame. False: there is none. */
bool bl_edges_remove(struct bl_edges *edges, uint32_t frame);
/* Starts anew; what there was is given up. */
void bl_edges_forget(struct bl_edges *edges);

struct bl_seen {
    uint64_t hash;
    uint32_t stack; /* 0: the slot is free */
};

struct bl_seen_set {
    struct bl_seen *slots;
    uint32_t size;
    uint32_t count;
};

/* 0: none. */
uint32_t bl_seen_find(const struct bl_seen_set *set, uint64_t hash);
/* Without memory it is left out. */
void bl_seen_add(struct bl_seen_set *set, uint64_t hash, uint32_t stack);
void bl_seen_clear(struct bl_seen_set *set);

#endif
