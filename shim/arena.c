#include "arena.h"
#include "lock.h"
#include "losses.h"

#include <sys/mman.h>

#define REGION_BYTES (256u << 10)
#define CLASS_MIN    5u  /* 32 bytes */
#define CLASS_MAX    17u /* 128 KiB, half a region; larger blocks are mapped by themselves */

struct free_block {
    struct free_block *next;
};

static struct bl_lock lock = BL_LOCK_INIT;           /* BL_RANK_ARENA */
static struct free_block *free_lists[CLASS_MAX + 1]; /* (lock) */
static char *region_at;                              /* (lock) unused rest of the newest region */
static char *region_end;                             /* (lock) */
static uint64_t mapped_bytes;                        /* atomic */
static uint32_t fault_every;                         /* set before threads */
static uint32_t fault_turn;                          /* atomic */

void bl_arena_set_fault(uint32_t every_nth)
{
    fault_every = every_nth;
}

static bool fault_due(void)
{
    return fault_every && __atomic_add_fetch(&fault_turn, 1, __ATOMIC_RELAXED) % fault_every == 0;
}

void *bl_arena_map(size_t size)
{
    void *pages = NULL;
    if (BL_LIKELY(!fault_due()))
        pages = bl_sys_map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!pages) {
        bl_losses_add(BL_LOSS_arena_failures, 1);
        return NULL;
    }
    bl_add_relaxed(&mapped_bytes, size);
    return pages;
}

void bl_arena_unmap(void *pages, size_t size)
{
    if (!pages)
        return;
    bl_sys_unmap(pages, size);
    bl_add_relaxed(&mapped_bytes, -(uint64_t)size);
}

uint64_t bl_arena_mapped_bytes(void)
{
    return bl_load_relaxed(&mapped_bytes);
}

static unsigned class_of(size_t size)
{
    if (size <= 1u << CLASS_MIN)
        return CLASS_MIN;
    return 64u - (unsigned)__builtin_clzll((unsigned long long)size - 1);
}

static void *carve_locked(unsigned class)
{
    size_t bytes = (size_t)1 << class;
    if ((size_t)(region_end - region_at) < bytes) {
        char *region = bl_arena_map(REGION_BYTES);
        if (!region)
            return NULL;
        /* The rest of the old region is given up: at most half of it, once per region. */
        region_at = region;
        region_end = region + REGION_BYTES;
    }
    void *block = region_at;
    region_at += bytes;
    return block;
}

void *bl_arena_alloc(size_t size)
{
    unsigned class = class_of(size);
    if (class > CLASS_MAX)
        return bl_arena_map(size);
    bl_lock_take(&lock);
    void *block = free_lists[class];
    if (block)
        free_lists[class] = free_lists[class]->next;
    else
        block = carve_locked(class);
    bl_lock_give(&lock);
    return block;
}

void bl_arena_free(void *block, size_t size)
{
    if (!block)
        return;
    unsigned class = class_of(size);
    if (class > CLASS_MAX) {
        bl_arena_unmap(block, size);
        return;
    }
    struct free_block *freed = block;
    bl_lock_take(&lock);
    freed->next = free_lists[class];
    free_lists[class] = freed;
    bl_lock_give(&lock);
}

void bl_arena_lock(void)
{
    bl_lock_take(&lock);
}

void bl_arena_unlock(void)
{
    bl_lock_give(&lock);
}

void bl_arena_reset_lock(void)
{
    bl_lock_reset(&lock);
}
