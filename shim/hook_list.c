#include "hook_list.h"
#include "arena.h"
#include "ledger.h"
#include "live.h"
#include "lock.h"
#include "losses.h"
#include "names.h"

#include <string.h>

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_HOOKS */

/* What was listed, in that order. */
struct kept {
    struct kept *next;
    bool is_class;
    const char
        *texts[3]; /* of a class: name, own modules, profile; of a hook: function, why, module */
    uint32_t class_number;
    uint32_t method; /* of a hook */
    uint32_t code_start;
    uint32_t code_bytes;
    uint32_t flags;
};

static struct kept *first; /* (lock) to write */
static struct kept **last = &first;
static struct kept *classes[BL_CLASSES_MAX];

/* The texts may end with the caller. NULL: no memory. */
static struct kept *keep(const struct kept *one)
{
    size_t bytes = sizeof *one;
    for (size_t i = 0; i < BL_ARRAY_LENGTH(one->texts); i++)
        bytes += one->texts[i] ? strlen(one->texts[i]) + 1 : 0;
    struct kept *k = bl_arena_alloc(bytes);
    if (!k)
        return NULL;
    *k = *one;
    char *at = (char *)(k + 1);
    for (size_t i = 0; i < BL_ARRAY_LENGTH(k->texts); i++) {
        size_t length = k->texts[i] ? strlen(k->texts[i]) + 1 : 0;
        if (length > 0)
            k->texts[i] = memcpy(at, k->texts[i], length);
        at += length;
    }
    *last = k;
    last = &k->next;
    return k;
}

static void write_hook(const struct kept *k)
{
    uint64_t n = bl_header->published[BL_SECTION_HOOKS];
    if (bl_ledger_ensure(BL_SECTION_HOOKS, (uint32_t)n + 1) != 0)
        return;
    struct bl_hook *hook = bl_ledger_at(BL_SECTION_HOOKS, (uint32_t)n);
    memset(hook, 0, sizeof *hook);
    hook->function_name = bl_names_add_str(k->texts[0]);
    hook->class_number = k->class_number;
    hook->method = k->method;
    hook->why_name = k->texts[1] ? bl_names_add_str(k->texts[1]) : 0;
    hook->module_name = bl_names_add_str(k->texts[2]);
    hook->code_start = k->code_start;
    hook->code_bytes = k->code_bytes;
    hook->flags = k->flags;
    bl_ledger_publish(BL_SECTION_HOOKS, n + 1);
    if (k->method == BL_HOOK_NONE)
        bl_losses_add(BL_LOSS_hooks_refused, 1);
    if (k->method == BL_HOOK_PROFILE)
        bl_losses_add(BL_LOSS_profiles_broken, 1);
}

static int write_class(const struct kept *k)
{
    int number = bl_live_add_class(k->texts[0]);
    if (number < 0)
        return number;
    struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, (uint32_t)number);
    class->own_modules = bl_names_add_str(k->texts[1]);
    class->profile_name = bl_names_add_str(k->texts[2]);
    __atomic_fetch_or(&class->flags, k->flags, __ATOMIC_RELAXED);
    return number;
}

void bl_hook_list_add(const struct bl_hook_note *note)
{
    const struct kept k = {.texts = {note->function, note->why, note->module},
                           .class_number = note->class_number,
                           .method = note->method,
                           .code_start = note->code_start,
                           .code_bytes = note->code_bytes,
                           .flags = note->flags};
    bl_lock_take(&lock);
    write_hook(&k);
    keep(&k);
    bl_lock_give(&lock);
}

static int add_class(const struct kept *k)
{
    bl_lock_take(&lock);
    int number = write_class(k);
    if (number >= 0)
        classes[number] = keep(k);
    bl_lock_give(&lock);
    return number;
}

int bl_hook_list_add_class(const char *name, const char *own_modules, const char *profile)
{
    return add_class(&(struct kept){
        .is_class = true, .texts = {name, own_modules, profile}, .flags = BL_CLASS_REFCOUNTED});
}

int bl_hook_list_add_hidden_class(const char *name)
{
    return add_class(
        &(struct kept){.is_class = true, .texts = {name, "", ""}, .flags = BL_CLASS_HIDDEN});
}

int bl_hook_list_add_block_class(const char *name, const char *own_modules, const char *profile)
{
    return add_class(&(struct kept){.is_class = true, .texts = {name, own_modules, profile}});
}

void bl_hook_list_set_own(uint8_t class_number, const char *own_modules)
{
    struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, class_number);
    size_t bytes = strlen(own_modules) + 1;
    char *copy = bl_arena_alloc(bytes);
    bl_lock_take(&lock);
    bl_store_release(&class->own_modules, bl_names_add_str(own_modules));
    if (copy && classes[class_number])
        classes[class_number]->texts[1] = memcpy(copy, own_modules, bytes);
    bl_lock_give(&lock);
}

void bl_hook_list_set_flags(uint8_t class_number, uint32_t flags)
{
    struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, class_number);
    struct kept *k = classes[class_number];
    __atomic_fetch_or(&class->flags, flags, __ATOMIC_RELAXED);
    if (k)
        __atomic_fetch_or(&k->flags, flags, __ATOMIC_RELAXED);
}

void bl_hook_list_repeat(void)
{
    for (const struct kept *k = first; k; k = k->next) {
        if (k->is_class)
            write_class(k);
        else
            write_hook(k);
    }
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
