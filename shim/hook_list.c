#include "hook_list.h"
#include "ledger.h"
#include "live.h"
#include "lock.h"
#include "losses.h"
#include "names.h"

#include <string.h>

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_HOOKS */

static void add_locked(const struct bl_hook_note *note)
{
    uint64_t n = bl_header->published[BL_SECTION_HOOKS];
    if (bl_ledger_ensure(BL_SECTION_HOOKS, (uint32_t)n + 1) != 0)
        return;
    struct bl_hook *hook = bl_ledger_at(BL_SECTION_HOOKS, (uint32_t)n);
    memset(hook, 0, sizeof *hook);
    hook->function_name = bl_names_add_str(note->function);
    hook->class_number = note->class_number;
    hook->method = note->method;
    hook->why_name = note->why ? bl_names_add_str(note->why) : 0;
    hook->module_name = bl_names_add_str(note->module);
    bl_ledger_publish(BL_SECTION_HOOKS, n + 1);
}

void bl_hook_list_add(const struct bl_hook_note *note)
{
    bl_lock_take(&lock);
    add_locked(note);
    bl_lock_give(&lock);
    if (note->method == BL_HOOK_NONE)
        bl_losses_add(BL_LOSS_hooks_refused, 1);
}

int bl_hook_list_add_class(const char *name, const char *own_modules, const char *profile)
{
    bl_lock_take(&lock);
    int number = bl_live_add_class(name);
    if (number >= 0) {
        struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, (uint32_t)number);
        class->flags |= BL_CLASS_REFCOUNTED;
        class->own_modules = bl_names_add_str(own_modules);
        class->profile_name = bl_names_add_str(profile);
    }
    bl_lock_give(&lock);
    return number;
}

void bl_hook_list_lock(void)
{
    bl_lock_take(&lock);
}

void bl_hook_list_unlock(void)
{
    bl_lock_give(&lock);
}

void bl_hook_list_reset_lock(void)
{
    bl_lock_reset(&lock);
}
