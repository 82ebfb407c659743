#include "java_code.h"
#include "arena.h"
#include "lock.h"

#include <string.h>

#define FIRST_ROOM 4096u

struct range {
    uint64_t start;
    uint32_t size;
    enum bl_java_code kind;
};

uint64_t bl_java_interpreter_start;
uint64_t bl_java_interpreter_end;

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_JAVA */
static struct range *ranges;               /* (lock) sorted, disjoint */
static uint32_t count;                     /* (lock) */
static uint32_t room;                      /* (lock) */

/* Index of the first range that ends behind pc. */
static uint32_t position_locked(uint64_t pc)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ranges[middle].start + ranges[middle].size <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remove_locked(uint32_t first, uint32_t end)
{
    memmove(&ranges[first], &ranges[end], (count - end) * sizeof *ranges);
    count -= end - first;
}

static bool grow_locked(void)
{
    uint32_t wanted = room ? room * 2 : FIRST_ROOM;
    struct range *grown = bl_arena_map(wanted * sizeof *grown);
    if (!grown)
        return false;
    if (room > 0) {
        memcpy(grown, ranges, count * sizeof *grown);
        bl_arena_unmap(ranges, room * sizeof *ranges);
    }
    ranges = grown;
    room = wanted;
    return true;
}

void bl_java_code_add(uint64_t start, uint64_t size, enum bl_java_code kind)
{
    if (size == 0 || size > UINT32_MAX)
        return;
    bl_lock_take(&lock);
    uint32_t first = position_locked(start);
    uint32_t end = first;
    while (end < count && ranges[end].start < start + size)
        end++; /* what was there before is gone, whether we have been told or not */
    remove_locked(first, end);
    if (count < room || grow_locked()) {
        memmove(&ranges[first + 1], &ranges[first], (count - first) * sizeof *ranges);
        ranges[first] = (struct range){start, (uint32_t)size, kind};
        count++;
    }
    bl_lock_give(&lock);
    if (kind == BL_JAVA_CODE_INTERPRETER) {
        bl_store_relaxed(&bl_java_interpreter_end, 0);
        bl_store_relaxed(&bl_java_interpreter_start, start);
        bl_store_relaxed(&bl_java_interpreter_end, start + size);
    }
}

void bl_java_code_remove(uint64_t start)
{
    bl_lock_take(&lock);
    uint32_t at = position_locked(start);
    if (at < count && ranges[at].start == start)
        remove_locked(at, at + 1);
    bl_lock_give(&lock);
}

enum bl_java_code bl_java_code_of(uint64_t pc)
{
    enum bl_java_code kind = BL_JAVA_CODE_NONE;
    bl_lock_take(&lock);
    uint32_t at = position_locked(pc);
    if (at < count && ranges[at].start <= pc)
        kind = ranges[at].kind;
    bl_lock_give(&lock);
    return kind;
}
