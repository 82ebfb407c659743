#include "boundaries.h"
#include "lock.h"
#include "names.h"

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_HOOKS */

uint32_t bl_boundaries_add(const char *function, const char *module)
{
    uint32_t number = BL_BOUNDARY_NONE;
    bl_lock_take(&lock);
    uint32_t n = (uint32_t)bl_header->published[BL_SECTION_BOUNDARIES];
    if (n < BL_BOUNDARIES_MAX && bl_ledger_ensure(BL_SECTION_BOUNDARIES, n + 1) == 0) {
        struct bl_boundary *b = bl_ledger_at(BL_SECTION_BOUNDARIES, n);
        *b = (struct bl_boundary){.function_name = bl_names_add_str(function),
                                  .module_name = bl_names_add_str(module)};
        bl_ledger_publish(BL_SECTION_BOUNDARIES, n + 1);
        number = n;
    }
    bl_lock_give(&lock);
    return number;
}

void bl_boundaries_mark(uint32_t number, uint32_t flags)
{
    if (number < bl_load_relaxed(&bl_header->published[BL_SECTION_BOUNDARIES])) {
        struct bl_boundary *b = bl_ledger_at(BL_SECTION_BOUNDARIES, number);
        __atomic_fetch_or(&b->flags, flags, __ATOMIC_RELAXED);
    }
}

void bl_boundaries_restart(uint32_t number)
{
    if (number < bl_load_relaxed(&bl_header->published[BL_SECTION_BOUNDARIES])) {
        struct bl_boundary *b = bl_ledger_at(BL_SECTION_BOUNDARIES, number);
        bl_store_relaxed(&b->completed, 0);
    }
}
