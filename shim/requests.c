#include "requests.h"
#include "arena.h"
#include "boundaries.h"
#include "hook_entry.h"
#include "hook_import.h"
#include "hook_list.h"
#include "ledger.h"
#include "sigsafe.h"

#include <string.h>

#define STACK_WORDS 8u

/* A function that was met in an object. An object that is unloaded and comes back finds it again.
 */
struct met {
    struct met *next;
    uint32_t boundary;
    char *function;
    char *path;
};

static struct met *all; /* under the loader's own serialization */
static char asked[BL_PROFILE_NAME_MAX];

void bl_requests_init(const char *per, size_t length)
{
    struct bl_text t;
    bl_text_init(&t, asked, sizeof asked);
    if (per)
        bl_text_bytes(&t, per, length);
}

bool bl_requests_wanted(void)
{
    return asked[0] != '\0';
}

static void on_return(void *context, const struct bl_hook_call *call)
{
    const struct met *m = context;
    (void)call;
    bl_boundaries_count(m->boundary);
}

static const char *path_of(const struct bl_hook_object *o)
{
    if (o->name && o->name[0])
        return o->name;
    if (!bl_header->exe_name)
        return "";
    const struct bl_name *name = bl_ledger_at(BL_SECTION_NAMES, bl_header->exe_name);
    return name->text;
}

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static struct met *find(const char *function, const char *path)
{
    struct met *m = all;
    while (m && !(strcmp(m->function, function) == 0 && strcmp(m->path, path) == 0))
        m = m->next;
    return m;
}

static struct met *add(const char *function, const char *path)
{
    size_t function_bytes = strlen(function) + 1;
    size_t path_bytes = strlen(path) + 1;
    struct met *m = bl_arena_alloc(sizeof *m + function_bytes + path_bytes);
    if (!m)
        return NULL;
    m->function = memcpy(m + 1, function, function_bytes);
    m->path = memcpy(m->function + function_bytes, path, path_bytes);
    m->boundary = bl_boundaries_add(function, file_of(path));
    m->next = all;
    all = m;
    return m;
}

static enum bl_hook_method hook(struct met *m, uint64_t address, size_t size,
                                const char *no_hooks_why, struct bl_text *why)
{
    struct bl_hook_spec spec = {.post = on_return, .context = m, .stack_words = STACK_WORDS};
    const char *why_not = no_hooks_why;
    if (!why_not && bl_hook_entry_install(address, size, &spec, &why_not) == 0)
        return BL_HOOK_ENTRY;
    bl_text_str(why, why_not);
    if (bl_hook_entry_is_hooked(address)) /* by a class */
        return BL_HOOK_NONE;
    const char *entry_why = why_not;
    if (bl_hook_import_install(m->function, address, &spec, &why_not) == 0)
        return BL_HOOK_IMPORT;
    if (why_not != entry_why) {
        bl_text_str(why, ", and ");
        bl_text_str(why, why_not);
    }
    return BL_HOOK_NONE;
}

/* True: the object has it. */
static bool take(const char *function, const struct bl_hook_object *o, uint32_t flags,
                 const char *no_hooks_why)
{
    size_t size = 0;
    char text[160];
    struct bl_text why;
    uint64_t address = bl_hook_entry_find(o->name ? o->name : "", function, &size);
    struct met *known = address ? find(function, path_of(o)) : NULL;
    struct met *m = known || !address ? known : add(function, path_of(o));
    if (!m)
        return false;
    if (m->boundary != BL_BOUNDARY_NONE)
        bl_boundaries_mark(m->boundary, flags);
    if (known && bl_hook_entry_is_hooked(address))
        return true;
    bl_text_init(&why, text, sizeof text);
    enum bl_hook_method method = hook(m, address, size, no_hooks_why, &why);
    if (!known)
        bl_hook_list_add(&(struct bl_hook_note){.function = function,
                                                .class_number = 0,
                                                .method = method,
                                                .why = method == BL_HOOK_ENTRY ? NULL : text,
                                                .module = path_of(o)});
    return true;
}

void bl_requests_take(const struct bl_profile_request *request,
                      const struct bl_hook_objects *objects, const char *no_hooks_why)
{
    for (uint32_t i = 0; i < objects->count; i++) {
        const struct bl_hook_object *o = &objects->list[i];
        if (o->is_new && bl_profile_matches(request->library, file_of(path_of(o))))
            take(request->function, o, 0, no_hooks_why);
    }
}

/* The first that has it: later ones may only call it. */
void bl_requests_take_asked(const struct bl_hook_objects *objects, const char *no_hooks_why)
{
    static bool found;
    for (uint32_t i = 0; i < objects->count && asked[0] && !found; i++) {
        const struct bl_hook_object *o = &objects->list[i];
        if (o->is_new)
            found = take(asked, o, BL_BOUNDARY_ASKED, no_hooks_why);
    }
}

void bl_requests_after_fork(void)
{
    for (const struct met *m = all; m; m = m->next) {
        if (m->boundary != BL_BOUNDARY_NONE)
            bl_boundaries_restart(m->boundary);
    }
}
