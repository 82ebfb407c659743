#include "ref_reach.h"
#include "ref_index.h"

#define MARKS (BL_OBJECT_REACHED | BL_OBJECT_LOST)

static void mark_locked(struct bl_object *o, uint32_t marks)
{
    bl_store_relaxed(&o->flags, (uint16_t)((o->flags & ~MARKS) | marks));
}

static bool is_of(const struct bl_object *o, uint8_t class_number)
{
    uint64_t word = bl_load_acquire(&o->word);
    return word & BL_LIVE_BIT &&
           (uint8_t)(word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK) == class_number &&
           !(bl_load_relaxed(&o->flags) & BL_OBJECT_GHOST);
}

/* The buffer of a record, with its lock held: NULL, and not held, if it is none of the class's. */
static struct bl_object *take(uint32_t record, uint8_t class_number, struct bl_ref_spot *ret_at)
{
    struct bl_object *o = bl_ref_object_at(record);
    if (!is_of(o, class_number))
        return NULL;
    uint64_t handle = bl_load_relaxed(&o->address);
    *ret_at = bl_ref_spot_of(handle, class_number);
    bl_lock_take(&ret_at->shard->lock);
    if (is_of(o, class_number) && o->address == handle)
        return o;
    bl_lock_give(&ret_at->shard->lock);
    return NULL;
}

uint64_t bl_ref_reach_youngest(uint8_t class_number)
{
    uint64_t youngest_ns = 0;
    uint64_t count = bl_load_acquire(&bl_header->published[BL_SECTION_OBJECTS]);
    for (uint32_t n = 1; n < count; n++) {
        struct bl_ref_spot at;
        struct bl_object *o = take(n, class_number, &at);
        if (!o)
            continue;
        youngest_ns = o->birth_ns > youngest_ns ? o->birth_ns : youngest_ns;
        bl_lock_give(&at.shard->lock);
    }
    return youngest_ns;
}

void bl_ref_reach_begin(uint8_t class_number)
{
    uint64_t count = bl_load_acquire(&bl_header->published[BL_SECTION_OBJECTS]);
    for (uint32_t n = 1; n < count; n++) {
        struct bl_ref_spot at;
        struct bl_object *o = take(n, class_number, &at);
        if (!o)
            continue;
        mark_locked(o, 0);
        bl_lock_give(&at.shard->lock);
    }
}

void bl_ref_reach_hold(uint64_t handle, uint8_t class_number)
{
    struct bl_ref_spot at = bl_ref_spot_of(handle, class_number);
    bl_lock_take(&at.shard->lock);
    uint32_t record = bl_ref_find_record_locked(&at);
    if (record)
        mark_locked(bl_ref_object_at(record), BL_OBJECT_REACHED);
    bl_lock_give(&at.shard->lock);
}

struct bl_ref_reach bl_ref_reach_end(uint8_t class_number, uint64_t before_ns)
{
    struct bl_ref_reach found = {0};
    uint64_t count = bl_load_acquire(&bl_header->published[BL_SECTION_OBJECTS]);
    for (uint32_t n = 1; n < count; n++) {
        struct bl_ref_spot at;
        struct bl_object *o = take(n, class_number, &at);
        if (!o)
            continue;
        if (o->flags & BL_OBJECT_REACHED) {
            found.held++;
        } else if (o->birth_ns < before_ns) {
            mark_locked(o, BL_OBJECT_LOST);
            found.lost++;
        }
        bl_lock_give(&at.shard->lock);
    }
    return found;
}
