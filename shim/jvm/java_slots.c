#include "java_slots.h"
#include "arena.h"
#include "hook_elf.h"
#include "hook_list.h"
#include "sigsafe.h"

#include <dlfcn.h>
#include <string.h>

#define CLASS_HEAP  0u
#define SLOTS_MAX   8u
#define TITLE_BYTES 128u

static struct slot {
    const char *name;
    const uint64_t *at;
    const void *wanted; /* what the whole process sees under that name */
} slots[SLOTS_MAX];
static uint32_t
    slot_count; /* release: those below are written. The helper thread may look already */
static uint32_t is_listed; /* atomic */

static void add_slot(const char *name, uint64_t at)
{
    uint32_t count = bl_load_relaxed(&slot_count);
    if (count == SLOTS_MAX)
        return;
    slots[count] = (struct slot){.name = name,
                                 // NOLINTNEXTLINE(performance-no-int-to-ptr)
                                 .at = (const uint64_t *)(uintptr_t)at,
                                 .wanted = dlsym(RTLD_DEFAULT, name)};
    bl_store_release(&slot_count, count + 1);
}

static void note_slots(const struct bl_hook_object *object, const struct bl_hook_dynamic *dynamic,
                       const ElfW(Rela) * relocations, uint64_t bytes)
{
    static const char *const names[] = {"malloc", "free"};
    for (uint64_t n = 0; n < bytes / sizeof *relocations; n++) {
        const ElfW(Rela) *r = &relocations[n];
        uint64_t type = ELF64_R_TYPE(r->r_info);
        uint64_t slot = object->bias + r->r_offset;
        if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) || slot % sizeof(uint64_t))
            continue;
        const char *name = dynamic->strings + dynamic->symbols[ELF64_R_SYM(r->r_info)].st_name;
        for (size_t i = 0; i < BL_ARRAY_LENGTH(names); i++)
            if (strcmp(name, names[i]) == 0)
                add_slot(names[i], slot);
    }
}

void bl_java_slots_arm(const char *libjvm)
{
    struct bl_hook_objects objects = {0};
    bl_hook_elf_look(&objects);
    for (uint32_t i = 0; i < objects.count; i++) {
        struct bl_hook_dynamic dynamic;
        const struct bl_hook_object *object = &objects.list[i];
        if (strcmp(object->name, libjvm) != 0 || !bl_hook_elf_dynamic(object, &dynamic))
            continue;
        note_slots(object, &dynamic, dynamic.jumps, dynamic.jump_bytes);
        note_slots(object, &dynamic, dynamic.relocations, dynamic.relocation_bytes);
    }
    if (objects.list)
        bl_arena_unmap(objects.list, BL_HOOK_OBJECTS_MAX * sizeof *objects.list);
}

/* Whose function is in a slot: NULL, it is the process's, or still libjvm's own way to it. */
static const struct link_map *stranger_in(const struct slot *slot)
{
    struct dl_find_object found;
    struct dl_find_object machine;
    uint64_t value = bl_load_relaxed(slot->at);
    void *code = (void *)(uintptr_t)value; // NOLINT(performance-no-int-to-ptr)
    if (code == slot->wanted || _dl_find_object(code, &found) != 0 ||
        _dl_find_object((void *)(uintptr_t)slot->at, &machine) != 0 ||
        found.dlfo_link_map == machine.dlfo_link_map)
        return NULL;
    return found.dlfo_link_map;
}

static void list(const char *name, const struct link_map *stranger)
{
    char title[TITLE_BYTES];
    struct bl_text t;
    const char *file = strrchr(stranger->l_name, '/');
    bl_text_init(&t, title, sizeof title);
    bl_text_str(&t, name);
    bl_text_str(&t, " (");
    bl_text_str(&t, file ? file + 1 : stranger->l_name);
    bl_text_str(&t, ")");
    bl_hook_list_add(&(struct bl_hook_note){.function = title,
                                            .class_number = CLASS_HEAP,
                                            .method = BL_HOOK_NONE,
                                            .why = BL_WHY_REPLACED_MALLOC,
                                            .module = stranger->l_name});
}

void bl_java_slots_look(void)
{
    uint32_t count = bl_load_acquire(&slot_count);
    for (uint32_t i = 0; i < count && !bl_load_relaxed(&is_listed); i++) {
        const struct link_map *stranger = stranger_in(&slots[i]);
        if (stranger && !__atomic_exchange_n(&is_listed, 1, __ATOMIC_RELAXED))
            list(slots[i].name, stranger);
    }
}
