/*
 * Which unreleased buffers nobody has any more: neither a thread in its hands nor a ring, a cache
 * or a queue. No one can release them, however young they are.
 *
 * The garbage collector of a virtual machine took some; of the others a run of reach, where one was
 * asked for and ended well, found no pointer left. What is lost with another one is part of it and
 * left to what is said of that, unless both were made at the same place: a link that was left in a
 * buffer when it was taken out of a list holds the next.
 *
 * Reach takes anything for a pointer. Who uses a buffer has its handle: where that is the start of
 * a block, and all pointers that were found go into the middle, they are hardly anybody's.
 */
#include "judge.h"
#include "reach.h"

#include <stdlib.h>

/* Marks those that lead what is lost, and notes whose block they are: index + 1. */
static void mark_leaders(const struct bl_judge *judge, const struct bl_tracked *tracked,
                         uint32_t *blocks, uint32_t *owners)
{
    const struct bl_reaches *reaches = judge->options->reaches;
    for (size_t i = 0; i < judge->histories->object_count; i++) {
        struct bl_history_object *object = &judge->histories->objects[i];
        const struct bl_object *record = &tracked[object->index].object;
        object->is_gone = record->flags & BL_OBJECT_LOST;
        if (!blocks || record->flags & (BL_OBJECT_LOST | BL_OBJECT_REACHED))
            continue;
        uint32_t block = bl_reach_find(reaches, record->address);
        struct bl_reach_of reach = bl_reach_of(reaches, block);
        object->is_barely_held = reach.state == BL_REACH_HELD && reach.interior_only &&
                                 bl_reach_live(reaches, block)->address == record->address;
        if (block == 0 || reach.state != BL_REACH_LOST)
            continue;
        blocks[i] = block;
        object->is_gone = reach.leader == block;
        if (object->is_gone)
            owners[block] = (uint32_t)i + 1;
    }
}

static bool are_made_alike(const struct bl_judge *judge, const struct bl_history_object *left,
                           const struct bl_history_object *right)
{
    const struct bl_pattern *a = &judge->histories->live[left->pattern];
    const struct bl_pattern *b = &judge->histories->live[right->pattern];
    const struct bl_item *a_birth = bl_pattern_birth(judge->histories, a);
    const struct bl_item *b_birth = bl_pattern_birth(judge->histories, b);
    return a_birth && b_birth && a->class_number == b->class_number && a_birth->stack != 0 &&
           a_birth->site == b_birth->site;
}

static void mark_followers(const struct bl_judge *judge, const uint32_t *blocks,
                           const uint32_t *owners)
{
    struct bl_history_object *objects = judge->histories->objects;
    for (size_t i = 0; i < judge->histories->object_count; i++) {
        if (blocks[i] == 0 || objects[i].is_gone)
            continue;
        uint32_t owner = owners[bl_reach_of(judge->options->reaches, blocks[i]).leader];
        objects[i].is_gone = owner && are_made_alike(judge, &objects[i], &objects[owner - 1]);
    }
}

int bl_gone_mark(struct bl_judge *judge)
{
    size_t count;
    const struct bl_tracked *tracked = bl_reader_objects(judge->reader, &count);
    const struct bl_reaches *reaches = judge->options->reaches;
    if (!reaches || !bl_reaches_known(reaches, NULL, 0)) {
        mark_leaders(judge, tracked, NULL, NULL);
        return 0;
    }
    uint32_t *blocks = calloc(judge->histories->object_count + 1, sizeof(*blocks));
    uint32_t *owners =
        calloc(bl_reader_count(judge->reader, BL_SECTION_LIVE) + 1u, sizeof(*owners));
    int outcome = blocks && owners ? 0 : bl_judge_out_of_memory(judge);
    if (outcome == 0) {
        mark_leaders(judge, tracked, blocks, owners);
        mark_followers(judge, blocks, owners);
    }
    free(blocks);
    free(owners);
    return outcome;
}
