#include "stack_index.h"
#include "arena.h"

#include <string.h>

#define FIRST_EDGES 512u
#define FIRST_SEEN  32u
#define FRAME_BITS  26u
#define FRAME_MASK  (BL_EDGE_FRAMES_MAX - 1)
/* From here on the arena maps, and what is mapped is zero. */
#define MAPPED_BYTES (256u << 10)

static void *make_slots(uint32_t size, size_t slot_bytes)
{
    size_t bytes = size * slot_bytes;
    if (bytes >= MAPPED_BYTES)
        return bl_arena_map(bytes);
    void *slots = bl_arena_alloc(bytes);
    if (slots)
        memset(slots, 0, bytes);
    return slots;
}

static void free_slots(void *slots, uint32_t size, size_t slot_bytes)
{
    size_t bytes = size * slot_bytes;
    if (bytes >= MAPPED_BYTES)
        bl_arena_unmap(slots, bytes);
    else
        bl_arena_free(slots, bytes);
}

static bool is_crowded(uint32_t count, uint32_t size)
{
    return count >= size - size / 4;
}

/* One slot stays free: that is where a search ends. */
static bool has_room(uint32_t count, uint32_t size)
{
    return count + 1 < size;
}

/* ---- edges ---- */

static uint64_t hash_of(const struct bl_edge *e)
{
    uint64_t h = ((uint64_t)e->parent << 32 | e->module) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32 ^ e->offset) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

/* What of the hash stands beside the frame: most others are told apart without a look at them. */
static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) & ~FRAME_MASK;
}

static struct bl_edge *edge_of(const struct bl_edges *edges, uint32_t frame)
{
    return &edges->chunks[frame / BL_EDGE_CHUNK_FRAMES][frame % BL_EDGE_CHUNK_FRAMES];
}

static bool is_same(const struct bl_edge *a, const struct bl_edge *b)
{
    return a->parent == b->parent && a->module == b->module && a->offset == b->offset;
}

static uint32_t next_free(const struct bl_edges *edges, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (edges->size - 1);
    while (edges->slots[i])
        i = (i + 1) & (edges->size - 1);
    return i;
}

static bool grow_edges(struct bl_edges *edges)
{
    uint32_t *former = edges->slots;
    uint32_t former_size = edges->size;
    uint32_t size = former_size ? former_size * 2 : FIRST_EDGES;
    uint32_t *slots = size <= 2 * BL_EDGE_FRAMES_MAX ? make_slots(size, sizeof *slots) : NULL;
    if (!slots)
        return false;
    edges->slots = slots;
    edges->size = size;
    for (uint32_t i = 0; i < former_size; i++) {
        uint32_t frame = former[i] & FRAME_MASK;
        if (frame)
            slots[next_free(edges, hash_of(edge_of(edges, frame)))] = former[i];
    }
    free_slots(former, former_size, sizeof *former);
    return true;
}

static bool has_chunk(struct bl_edges *edges, uint32_t frame)
{
    struct bl_edge **chunk = &edges->chunks[frame / BL_EDGE_CHUNK_FRAMES];
    if (!*chunk)
        *chunk = bl_arena_alloc(BL_EDGE_CHUNK_FRAMES * sizeof **chunk);
    return *chunk != NULL;
}

uint32_t bl_edges_find(const struct bl_edges *edges, const struct bl_edge *edge)
{
    uint64_t hash = hash_of(edge);
    uint32_t i = (uint32_t)hash & (edges->size - 1);
    if (!edges->size)
        return 0;
    for (; edges->slots[i]; i = (i + 1) & (edges->size - 1)) {
        uint32_t frame = edges->slots[i] & FRAME_MASK;
        if ((edges->slots[i] & ~FRAME_MASK) == tag_of(hash) && is_same(edge_of(edges, frame), edge))
            return frame;
    }
    return 0;
}

bool bl_edges_add(struct bl_edges *edges, const struct bl_edge *edge, uint32_t frame)
{
    uint64_t hash = hash_of(edge);
    if (frame >= BL_EDGE_FRAMES_MAX || !has_chunk(edges, frame))
        return false;
    if (is_crowded(edges->count, edges->size) && !grow_edges(edges) &&
        !has_room(edges->count, edges->size))
        return false;
    *edge_of(edges, frame) = *edge;
    edges->slots[next_free(edges, hash)] = tag_of(hash) | frame;
    edges->count++;
    return true;
}

/* Whatever was pushed past the slot moves up, so that no search ends too early. */
static void close_gap(struct bl_edges *edges, uint32_t gap)
{
    uint32_t mask = edges->size - 1;
    for (uint32_t i = (gap + 1) & mask; edges->slots[i]; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)hash_of(edge_of(edges, edges->slots[i] & FRAME_MASK)) & mask;
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        edges->slots[gap] = edges->slots[i];
        gap = i;
    }
    edges->slots[gap] = 0;
}

bool bl_edges_remove(struct bl_edges *edges, uint32_t frame)
{
    if (!frame || frame >= BL_EDGE_FRAMES_MAX || !edges->size ||
        !edges->chunks[frame / BL_EDGE_CHUNK_FRAMES])
        return false;
    uint32_t i = (uint32_t)hash_of(edge_of(edges, frame)) & (edges->size - 1);
    while (edges->slots[i] && (edges->slots[i] & FRAME_MASK) != frame)
        i = (i + 1) & (edges->size - 1);
    if (!edges->slots[i])
        return false;
    close_gap(edges, i);
    edges->count--;
    return true;
}

void bl_edges_forget(struct bl_edges *edges)
{
    memset(edges, 0, sizeof *edges);
}

/* ---- hashes seen ---- */

static struct bl_seen *seen_slot(const struct bl_seen_set *set, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (set->size - 1);
    while (set->slots[i].stack && set->slots[i].hash != hash)
        i = (i + 1) & (set->size - 1);
    return &set->slots[i];
}

static bool grow_seen(struct bl_seen_set *set)
{
    struct bl_seen_set larger = {.size = set->size ? set->size * 2 : FIRST_SEEN,
                                 .count = set->count};
    larger.slots = make_slots(larger.size, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (uint32_t i = 0; i < set->size; i++) {
        if (set->slots[i].stack)
            *seen_slot(&larger, set->slots[i].hash) = set->slots[i];
    }
    free_slots(set->slots, set->size, sizeof *set->slots);
    *set = larger;
    return true;
}

uint32_t bl_seen_find(const struct bl_seen_set *set, uint64_t hash)
{
    return set->size ? seen_slot(set, hash)->stack : 0;
}

void bl_seen_add(struct bl_seen_set *set, uint64_t hash, uint32_t stack)
{
    if (is_crowded(set->count, set->size) && !grow_seen(set) && !has_room(set->count, set->size))
        return;
    struct bl_seen *slot = seen_slot(set, hash);
    if (slot->stack)
        return;
    *slot = (struct bl_seen){.hash = hash, .stack = stack};
    set->count++;
}

void bl_seen_clear(struct bl_seen_set *set)
{
    free_slots(set->slots, set->size, sizeof *set->slots);
    *set = (struct bl_seen_set){.slots = NULL};
}
