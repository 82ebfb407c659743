#include "java_lookup.h"
#include "guard.h"
#include "hook_entry.h"
#include "hook_list.h"
#include "real.h"

#include <dlfcn.h>
#include <string.h>

#define LOOKUP     "JVM_FindLibraryEntry" /* void *(void *library, const char *name) */
#define CLASS_HEAP 0u
#define NOTE       LOOKUP ", for malloc by java.lang.foreign"

#define LISTED_HEAP(name) {#name, (void **)(void *)&bl_real.name},
#define LISTED_MMAP(name)
#define LISTED_PROC(name)

static const struct listed {
    const char *name;
    void **real;
} functions[] = {
#define X(kind, name, type, params) LISTED_##kind(name)
#include "hooks.def"
#undef X
};

/* 0: it is none of the allocator's functions that ours stand in front of. */
static uint64_t find_ours(const char *name, uint64_t found)
{
    for (size_t i = 0; i < BL_ARRAY_LENGTH(functions); i++) {
        if (strcmp(functions[i].name, name) != 0)
            continue;
        bool is_next = (uint64_t)(uintptr_t)*functions[i].real == found;
        return is_next ? (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, name) : 0;
    }
    return 0;
}

static void after_lookup(void *context, const struct bl_hook_call *call)
{
    const char *name = (const char *)(uintptr_t)call->args[1]; // NOLINT(performance-no-int-to-ptr)
    (void)context;
    if (!call->result || !name || !bl_real_ready())
        return;
    bl_guard_enter_internal();
    uint64_t ours = find_ours(name, call->result);
    bl_guard_leave_internal();
    if (ours)
        bl_hook_call_return(call, ours);
}

void bl_java_lookup_arm(const char *libjvm, const char *no_hooks_why)
{
    static const struct bl_hook_spec spec = {.post = after_lookup};
    const char *why = no_hooks_why;
    size_t size = 0;
    uint64_t lookup = bl_hook_entry_find(libjvm, LOOKUP, &size);
    if (!why && !lookup)
        why = "the library has no function of this name";
    if (!why && bl_hook_entry_install(lookup, size, &spec, &why) == 0)
        why = NULL;
    bl_hook_list_add(&(struct bl_hook_note){.function = NOTE,
                                            .class_number = CLASS_HEAP,
                                            .method = why ? BL_HOOK_NONE : BL_HOOK_ENTRY,
                                            .why = why,
                                            .module = libjvm});
}
