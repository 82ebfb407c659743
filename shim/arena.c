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
/* What is mapped, so that it can be told from the program's memory. A slot is taken and given back
 * without a lock: `start` is 0, or 1 while it is filled in, or the range's. */
#define NOTES_FIRST 1024u
#define NOTES_MAX   65536u
struct note {
    uint64_t start; /* atomic */
    uint64_t length;
};
static struct note first_notes[NOTES_FIRST];
static struct note *more_notes; /* atomic; made when the first are taken */
static uint32_t notes_high;     /* atomic: slots from here on were never taken */
static uint32_t notes_hint;     /* atomic: about where a slot was given back last */
static uint32_t unnoted;        /* atomic */
static uint64_t mapped_bytes;   /* atomic */
static uint32_t fault_every;    /* set before threads */
static uint32_t fault_turn;     /* atomic */

void bl_arena_set_fault(uint32_t every_nth)
{
    fault_every = every_nth;
}

static bool fault_due(void)
{
    return fault_every && __atomic_add_fetch(&fault_turn, 1, __ATOMIC_RELAXED) % fault_every == 0;
}

static struct note *make_more_notes(void)
{
    struct note *seen = NULL;
    size_t bytes = (NOTES_MAX - NOTES_FIRST) * sizeof *seen;
    struct note *made = bl_sys_map(bytes, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made && !__atomic_compare_exchange_n(&more_notes, &seen, made, false, __ATOMIC_ACQ_REL,
                                             __ATOMIC_ACQUIRE)) {
        bl_sys_unmap(made, bytes);
        return seen;
    }
    return made;
}

/* NULL: there is no memory for so many. */
static struct note *note_at(uint32_t i)
{
    if (i < NOTES_FIRST)
        return &first_notes[i];
    struct note *more = bl_load_acquire(&more_notes);
    if (!more)
        more = make_more_notes();
    return more ? &more[i - NOTES_FIRST] : NULL;
}

static bool take_note(uint32_t i, uint64_t start, size_t length)
{
    uint64_t none = 0;
    struct note *note = note_at(i);
    if (!note || bl_load_relaxed(&note->start) != 0 ||
        !__atomic_compare_exchange_n(&note->start, &none, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    note->length = length;
    bl_store_release(&note->start, start);
    return true;
}

static void note_mapping(const void *pages, size_t length)
{
    uint64_t start = (uint64_t)(uintptr_t)pages;
    uint32_t hint = bl_load_relaxed(&notes_hint);
    if (hint < bl_load_relaxed(&notes_high) && take_note(hint, start, length))
        return;
    for (;;) {
        uint32_t i = bl_add_relaxed(&notes_high, 1);
        if (i >= NOTES_MAX)
            break;
        if (take_note(i, start, length))
            return;
    }
    bl_store_relaxed(&notes_high, NOTES_MAX);
    for (uint32_t i = 0; i < NOTES_MAX; i++) {
        if (take_note(i, start, length))
            return;
    }
    bl_add_relaxed(&unnoted, 1);
}

static uint32_t notes_count(void)
{
    uint32_t high = bl_load_relaxed(&notes_high);
    return high < NOTES_MAX ? high : NOTES_MAX;
}

static void drop_note(const void *pages)
{
    uint64_t start = (uint64_t)(uintptr_t)pages;
    for (uint32_t i = notes_count(); i-- > 0;) {
        struct note *note = note_at(i);
        if (note && bl_load_relaxed(&note->start) == start) {
            bl_store_relaxed(&notes_hint, i);
            bl_store_release(&note->start, 0);
            return;
        }
    }
}

void bl_arena_each(void (*visit)(void *context, uint64_t start, uint64_t end), void *context)
{
    uint64_t more = (uint64_t)(uintptr_t)bl_load_acquire(&more_notes);
    if (more)
        visit(context, more, more + (NOTES_MAX - NOTES_FIRST) * sizeof(struct note));
    for (uint32_t i = 0; i < notes_count(); i++) {
        const struct note *note = note_at(i);
        uint64_t start = note ? bl_load_acquire(&note->start) : 0;
        if (start > 1)
            visit(context, start, start + note->length);
    }
}

uint32_t bl_arena_unnoted(void)
{
    return bl_load_relaxed(&unnoted);
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
    note_mapping(pages, size);
    return pages;
}

void bl_arena_unmap(void *pages, size_t size)
{
    if (!pages)
        return;
    drop_note(pages);
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
