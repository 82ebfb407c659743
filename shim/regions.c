#include "regions.h"
#include "arena.h"
#include "lock.h"
#include "losses.h"
#include "stacks.h"
#include "thread_numbers.h"

#include <string.h>

struct range {
    uint64_t start;
    uint64_t end;
};

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_REGIONS: all below */
static struct range *ranges;
static uint32_t count;
static uint32_t capacity;

/* First range that ends after address. */
static uint32_t search_locked(uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ranges[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool reserve_locked(void)
{
    if (count < capacity)
        return true;
    uint32_t wanted = capacity ? capacity * 2 : 512;
    struct range *more = bl_arena_alloc(wanted * sizeof *more);
    if (!more)
        return false;
    if (count)
        memcpy(more, ranges, count * sizeof *more);
    bl_arena_free(ranges, capacity * sizeof *ranges);
    ranges = more;
    capacity = wanted;
    return true;
}

static bool insert_locked(uint64_t start, uint64_t end)
{
    if (!reserve_locked())
        return false;
    uint32_t i = search_locked(start);
    memmove(&ranges[i + 1], &ranges[i], (count - i) * sizeof *ranges);
    ranges[i] = (struct range){start, end};
    count++;
    return true;
}

/* Takes out the first range that overlaps [start, end). */
static bool take_locked(uint64_t start, uint64_t end, struct range *ret_range)
{
    uint32_t i = search_locked(start);
    if (i == count || ranges[i].start >= end)
        return false;
    *ret_range = ranges[i];
    memmove(&ranges[i], &ranges[i + 1], (count - i - 1) * sizeof *ranges);
    count--;
    return true;
}

static void add_part(const struct bl_buffer *whole, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    struct bl_buffer part = *whole;
    part.address = start;
    part.size_bytes = end - start;
    bl_lock_take(&lock);
    bool ok = insert_locked(start, end);
    bl_lock_give(&lock);
    bl_stacks_keep(part.stack);
    bl_thread_numbers_keep(part.thread);
    if (ok)
        bl_live_insert(&part);
    else
        bl_losses_add(BL_LOSS_buffers_no_memory, 1);
}

void bl_regions_remove(uint64_t start, uint64_t length)
{
    uint64_t end = start + ((length + 4095) & ~4095ull);
    for (;;) {
        struct range r;
        struct bl_buffer buffer;
        bl_lock_take(&lock);
        bool found = take_locked(start, end, &r);
        bl_lock_give(&lock);
        if (!found)
            return;
        if (!bl_live_remove(r.start, &buffer))
            continue;
        add_part(&buffer, r.start, r.start < start ? start : r.start);
        add_part(&buffer, r.end > end ? end : r.end, r.end);
    }
}

void bl_regions_add(const struct bl_buffer *buffer)
{
    uint64_t end = buffer->address + ((buffer->size_bytes + 4095) & ~4095ull);
    bl_regions_remove(buffer->address, buffer->size_bytes);
    struct bl_buffer b = *buffer;
    add_part(&b, buffer->address, end);
}

void bl_regions_lock(void)
{
    bl_lock_take(&lock);
}

void bl_regions_unlock(void)
{
    bl_lock_give(&lock);
}

void bl_regions_reset_lock(void)
{
    bl_lock_reset(&lock);
}

void bl_regions_reset(void)
{
    count = 0;
}
