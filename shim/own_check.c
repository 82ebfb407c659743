#include "own_check.h"
#include "ref_index.h"
#include "sigsafe.h"

#include <fcntl.h>

static bool read_count(int memory, const struct bl_own_field *field, uint64_t handle,
                       int32_t *ret_count)
{
    union {
        uint8_t u8;
        uint16_t u16;
        int32_t i32;
        int64_t i64;
    } value = {.i64 = 0};
    long got = bl_sys4(SYS_pread64, memory, (long)&value, field->width,
                       (long)(handle + (uint64_t)field->offset));
    if (got != field->width)
        return false;
    *ret_count = field->width == 1   ? value.u8
                 : field->width == 2 ? value.u16
                 : field->width == 4 ? value.i32
                                     : (int32_t)value.i64;
    return true;
}

/* NULL: the record is no live object whose own count is known and should be that seen. */
static const struct bl_own_field *field_of(const struct bl_object *o, uint64_t word)
{
    const struct bl_ref_policy *policy =
        bl_ref_policy_of((uint8_t)(word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK));
    bool counts = (word & BL_LIVE_BIT) && !(bl_load_relaxed(&o->flags) & BL_OBJECT_GHOST) &&
                  !policy->inlined && policy->field.width > 0;
    return counts ? &policy->field : NULL;
}

/* The counts differ, at a glance: with the lock held they may not. */
static void look_closely(int memory, uint32_t record, uint64_t word)
{
    struct bl_object *o = bl_ref_object_at(record);
    uint8_t class_number = (uint8_t)(word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
    struct bl_ref_spot at = bl_ref_spot_of(o->address, class_number);
    int32_t own;
    bl_lock_take(&at.shard->lock);
    const struct bl_ref_entry *entry = bl_ref_find_any_locked(&at);
    while (entry && entry->record != record)
        entry = entry->more;
    if (entry && o->word == word) {
        struct bl_flight_sums flights = bl_own_in_flight(class_number, at.handle);
        if (read_count(memory, field_of(o, word), at.handle, &own))
            bl_own_note(o, own, flights);
    }
    bl_lock_give(&at.shard->lock);
}

void bl_own_check_all(void)
{
    int memory =
        (int)bl_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/mem", O_RDONLY | O_CLOEXEC, 0);
    if (memory < 0)
        return;
    memory = bl_sys_move_high(memory);
    uint64_t count = bl_load_acquire(&bl_header->published[BL_SECTION_OBJECTS]);
    for (uint32_t n = 1; n < count; n++) {
        const struct bl_object *o = bl_ref_object_at(n);
        uint64_t word = bl_load_acquire(&o->word);
        const struct bl_own_field *field = field_of(o, word);
        int32_t own;
        if (!field || !read_count(memory, field, o->address, &own))
            continue;
        if (own != bl_load_relaxed(&o->refs) || own != bl_load_relaxed(&o->field))
            look_closely(memory, n, word);
    }
    bl_sys_close(memory);
}
