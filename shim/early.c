#include "early.h"
#include "arena.h"

uint32_t bl_early_count;

static struct {
    uint64_t address; /* atomic; 0 = none, or none any more */
    uint64_t bytes;
} blocks[BL_EARLY_MAX];

void bl_early_note(uint64_t address, uint64_t bytes)
{
    uint32_t n = bl_add_relaxed(&bl_early_count, 1);
    if (n >= BL_EARLY_MAX)
        return;
    blocks[n].bytes = bytes;
    bl_store_release(&blocks[n].address, address);
}

static uint32_t kept(void)
{
    uint32_t n = bl_load_relaxed(&bl_early_count);
    return n < BL_EARLY_MAX ? n : BL_EARLY_MAX;
}

void bl_early_drop(uint64_t address)
{
    for (uint32_t i = 0; i < kept(); i++) {
        uint64_t seen = address;
        if (bl_load_relaxed(&blocks[i].address) == address &&
            __atomic_compare_exchange_n(&blocks[i].address, &seen, 0, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return;
    }
}

void bl_early_each(void (*visit)(void *context, uint64_t address, uint64_t bytes), void *context)
{
    for (uint32_t i = 0; i < kept(); i++) {
        uint64_t address = bl_load_acquire(&blocks[i].address);
        if (address)
            visit(context, address, blocks[i].bytes);
    }
}

/* Pages of starts, which are never given back. */
#define STARTS_PER_PAGE (4064u / sizeof(struct bl_start))
struct start_page {
    struct start_page *next; /* never changes */
    struct bl_start starts[STARTS_PER_PAGE];
};
static struct start_page first_page;
static struct start_page *pages = &first_page; /* atomic */

static bool take(struct bl_start *start)
{
    return !bl_load_relaxed(&start->is_taken) &&
           !__atomic_exchange_n(&start->is_taken, true, __ATOMIC_ACQUIRE);
}

static struct bl_start *add_page(void)
{
    struct start_page *page = bl_arena_map(sizeof *page);
    if (!page)
        return NULL;
    page->starts[0].is_taken = true;
    page->next = bl_load_acquire(&pages);
    while (!__atomic_compare_exchange_n(&pages, &page->next, page, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
        ;
    return &page->starts[0];
}

struct bl_start *bl_early_take_start(void)
{
    for (struct start_page *p = bl_load_acquire(&pages); p; p = p->next) {
        for (unsigned i = 0; i < STARTS_PER_PAGE; i++) {
            if (take(&p->starts[i]))
                return &p->starts[i];
        }
    }
    return add_page();
}

void bl_early_give_start(struct bl_start *start)
{
    start->argument = NULL;
    bl_store_release(&start->is_taken, false);
}

void bl_early_each_start(void (*visit)(void *context, uint64_t argument), void *context)
{
    for (struct start_page *p = bl_load_acquire(&pages); p; p = p->next) {
        for (unsigned i = 0; i < STARTS_PER_PAGE; i++) {
            if (p->starts[i].argument)
                visit(context, (uint64_t)(uintptr_t)p->starts[i].argument);
        }
    }
}
