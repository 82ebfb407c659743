#include "profile_hooks.h"
#include "arena.h"
#include "hook_code.h"
#include "hook_entry.h"
#include "hook_import.h"
#include "hook_list.h"
#include "jvm/agent.h"
#include "ledger.h"
#include "losses.h"
#include "profile_events.h"
#include "profile_files.h"
#include "references.h"
#include "requests.h"
#include "sigsafe.h"

#include <link.h>
#include <string.h>

#define CLASSES_PER_PROFILE BL_PROFILE_CLASSES_MAX
#define PROFILES_MAX        32u
#define MATCHES_MAX         4u /* objects that hold one class's functions and came at once */

/* A function of a class, hooked or refused, in one object. Never freed: a library that is unloaded
 * and comes back finds it again. */
struct applied {
    struct bl_watched watched;
    struct applied *next; /* of the class */
    char *path;           /* of the object; NULL: not listed yet */
};

/* A class of a profile that is in the ledger. Never freed. */
struct registered {
    struct bl_watched_class class;
    const char *kind_variable; /* NULL: it is no kind that is told by one */
    struct applied *functions;
};

static struct profile {
    const char *name;
    const char *text;
    size_t length;
    struct registered *classes[CLASSES_PER_PROFILE]; /* NULL: not in the ledger */
    bool armed[CLASSES_PER_PROFILE];                 /* left to the Java agent */
} profiles[PROFILES_MAX];
static uint32_t profile_count;
static const char *no_hooks_why; /* entry hooks cannot be had at all */

static struct bl_hook_objects objects;

/* ---- classes ---- */

static char *copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = bl_arena_alloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

/* One look at a profile: what it says about the objects that are new. */
struct application {
    struct profile *profile;
    uint32_t class_count;
    struct bl_profile_class classes[CLASSES_PER_PROFILE];
    const struct bl_hook_object *matches[CLASSES_PER_PROFILE][MATCHES_MAX]; /* NULL ends them */
};

static const char *path_of(const struct bl_hook_object *o)
{
    if (o->name && o->name[0])
        return o->name;
    if (!bl_header->exe_name)
        return "";
    const struct bl_name *name = bl_ledger_at(BL_SECTION_NAMES, bl_header->exe_name);
    return name->text;
}

static const char *file_name_of(const struct bl_hook_object *o)
{
    const char *path = path_of(o);
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void set_policy(uint8_t number, const struct bl_profile_class *c, uint8_t kind_of)
{
    struct bl_own_field field = {.offset = c->field.n};
    if (c->field.where == BL_WHERE_FIELD)
        field.width = c->field.width;
    bl_refs_set_policy(number, (struct bl_ref_policy){.revives = c->revives,
                                                      .zero_is_end = c->zero_is_end,
                                                      .adopts = c->adopts,
                                                      .recycles = c->recycles,
                                                      .inlined = c->inlined,
                                                      .field = field,
                                                      .ends_by_free = c->ends_by_free,
                                                      .kind_of = kind_of});
}

static int list_class(const struct bl_profile_class *c, const char *profile)
{
    char own[2 * BL_PROFILE_LIST_MAX + 2];
    struct bl_text t;
    bl_text_init(&t, own, sizeof own);
    bl_text_str(&t, c->library);
    bl_text_str(&t, " ");
    bl_text_str(&t, c->own);
    return bl_hook_list_add_class(c->name, own, profile);
}

static struct registered *register_one(struct application *a, uint32_t index, uint8_t kind_of)
{
    const struct bl_profile_class *c = &a->classes[index];
    struct registered *r = bl_arena_alloc(sizeof *r);
    int number = r ? list_class(c, a->profile->name) : -1;
    if (number < 0) {
        bl_arena_free(r, sizeof *r);
        return NULL;
    }
    *r = (struct registered){.class = {.number = (uint8_t)number, .field = c->field}};
    if (c->kind_of != BL_PROFILE_NO_CLASS && c->kind_variable[0])
        r->kind_variable = copy_text(c->kind_variable);
    set_policy(r->class.number, c, kind_of);
    if (c->inlined)
        bl_hook_list_set_flags(r->class.number, BL_CLASS_INLINED);
    a->profile->classes[index] = r;
    return r;
}

static struct applied *add_function(struct registered *r, const struct bl_profile_function *f)
{
    struct applied *a = bl_arena_alloc(sizeof *a);
    if (!a)
        return NULL;
    *a = (struct applied){.watched = {.f = *f, .class = &r->class}, .next = r->functions};
    r->functions = a;
    return a;
}

/* The function as it was met in this object before, or a new one, without a path. */
static struct applied *find_applied(struct registered *r, const struct bl_profile_function *f,
                                    const char *path)
{
    for (struct applied *a = r->functions; a; a = a->next) {
        if (a->watched.f.role == f->role && strcmp(a->watched.f.name, f->name) == 0 && a->path &&
            strcmp(a->path, path) == 0)
            return a;
    }
    return add_function(r, f);
}

static void list_function(const struct registered *r, const struct applied *a,
                          enum bl_hook_method method, const char *why)
{
    bl_hook_list_add(&(struct bl_hook_note){.function = a->watched.f.name,
                                            .class_number = r->class.number,
                                            .method = method,
                                            .why = why,
                                            .module = a->path});
}

static void refuse_variable(struct registered *r, const char *path)
{
    struct bl_profile_function f = {.role = BL_ROLE_ALLOC};
    struct bl_text t;
    bl_text_init(&t, f.name, sizeof f.name);
    bl_text_str(&t, r->kind_variable);
    struct applied *a = find_applied(r, &f, path);
    if (!a || a->path || (a->path = copy_text(path)) == NULL)
        return;
    list_function(
        r, a, BL_HOOK_NONE,
        "the library has no such variable: buffers of this kind are counted as its class");
}

/* Where the variables are now. The library may have been unloaded and loaded elsewhere. */
static void find_variables(struct application *a, uint32_t index, struct registered *base)
{
    for (uint32_t i = 0; i < base->class.kind_count; i++) {
        struct registered *r = a->profile->classes[index + 1 + i];
        struct bl_watched_kind *kind = &base->class.kinds[i];
        size_t size = 0;
        if (!r->kind_variable)
            continue;
        uint64_t address = bl_hook_elf_find_variable(r->kind_variable, &size);
        if (size > sizeof kind->value)
            address = 0;
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        bl_store_relaxed(&kind->variable, (const void *)(uintptr_t)address);
        kind->width = (uint8_t)size;
        if (!address)
            refuse_variable(r, path_of(a->matches[index][0]));
    }
}

/* The class enters the ledger with its first function that is there, and its kinds, which follow it
 * in the profile, with it. NULL: there is no room. */
static struct registered *register_class(struct application *a, uint32_t index)
{
    struct registered *base = a->profile->classes[index];
    if (base)
        return base;
    base = register_one(a, index, 0);
    for (uint32_t i = index + 1; base && i < a->class_count && a->classes[i].kind_of == index;
         i++) {
        const struct registered *r = register_one(a, i, base->class.number);
        if (!r)
            break;
        base->class.kinds[base->class.kind_count++] =
            (struct bl_watched_kind){.class_number = r->class.number,
                                     .is_variable = a->classes[i].kind_variable[0] != '\0',
                                     .value = a->classes[i].kind_value};
    }
    return base;
}

static void take_class(void *context, const struct bl_profile_class *c)
{
    struct application *a = context;
    if (a->class_count == CLASSES_PER_PROFILE)
        return;
    const struct bl_hook_object **matches = a->matches[a->class_count];
    uint32_t count = 0;
    a->classes[a->class_count++] = *c;
    for (uint32_t i = 0; i < objects.count && count < MATCHES_MAX; i++) {
        if (objects.list[i].is_new &&
            bl_profile_matches(c->library, file_name_of(&objects.list[i])))
            matches[count++] = &objects.list[i];
    }
    if (count < MATCHES_MAX)
        matches[count] = NULL;
    if (count > 0 && c->bytecode && !a->profile->armed[a->class_count - 1]) {
        bl_java_agent_arm(c, path_of(matches[0]), a->profile->name, no_hooks_why);
        a->profile->armed[a->class_count - 1] = true;
    }
}

/* ---- functions ---- */

static bool ends_buffers(enum bl_role role)
{
    return role == BL_ROLE_RELEASE || role == BL_ROLE_DESTROY || role == BL_ROLE_STEAL ||
           role == BL_ROLE_TRANSFER;
}

static void set_flags_of(uint8_t class_number, uint32_t flags)
{
    bl_hook_list_set_flags(class_number, flags);
    if (flags & BL_CLASS_PARTIAL)
        bl_refs_set_partial(class_number);
}

/* Nothing is hooked: the reader looks for the function in stacks. It may be in any of the class's
 * own modules. */
static void take_lasting(struct application *a, const struct bl_profile_function *f)
{
    const struct bl_profile_class *c = &a->classes[f->class_index];
    struct registered *r = a->profile->classes[f->class_index];
    for (uint32_t i = 0; r && i < objects.count; i++) {
        const struct bl_hook_object *o = &objects.list[i];
        const char *name = file_name_of(o);
        size_t size = 0;
        if (!o->is_new ||
            !(bl_profile_matches(c->library, name) || bl_profile_matches(c->own, name)))
            continue;
        uint64_t address = bl_hook_entry_find(o->name ? o->name : "", f->name, &size);
        struct applied *known = address ? find_applied(r, f, path_of(o)) : NULL;
        if (!known || known->path || (known->path = copy_text(path_of(o))) == NULL)
            continue;
        bl_hook_list_add(&(struct bl_hook_note){.function = f->name,
                                                .class_number = r->class.number,
                                                .method = BL_HOOK_LASTING,
                                                .module = path_of(o),
                                                .code_start = (uint32_t)(address - o->bias),
                                                .code_bytes = (uint32_t)size,
                                                .flags = f->births ? BL_LASTING_BIRTHS : 0u});
    }
}

/* What a function that was hooked this way means for its class. */
static void set_flags(const struct registered *r, enum bl_role role, enum bl_hook_method method)
{
    uint32_t flags = method != BL_HOOK_NONE && ends_buffers(role) ? BL_CLASS_RELEASED : 0;
    if (method != BL_HOOK_ENTRY && role != BL_ROLE_ALLOC && role != BL_ROLE_RESIZE)
        flags |= BL_CLASS_PARTIAL;
    if (flags == 0)
        return;
    set_flags_of(r->class.number, flags);
    for (uint32_t i = 0; i < r->class.kind_count; i++)
        set_flags_of(r->class.kinds[i].class_number, flags);
}

/* Where its entry cannot be rewritten, for the reason in *why, which is then said of the import
 * slots. Why those cannot be had either is added to it. */
static enum bl_hook_method hook_imports(struct applied *a, uint64_t address, struct bl_text *why)
{
    struct bl_hook_spec spec = bl_profile_events_spec(&a->watched);
    const char *why_not = NULL;
    if (bl_hook_import_install(a->watched.f.name, address, &spec, &why_not) == 0)
        return BL_HOOK_IMPORT;
    bl_text_str(why, ", and ");
    bl_text_str(why, why_not);
    return BL_HOOK_NONE;
}

static enum bl_hook_method hook_function(struct applied *a, uint64_t address, size_t size,
                                         struct bl_text *why)
{
    struct bl_hook_spec spec = bl_profile_events_spec(&a->watched);
    const char *why_not = no_hooks_why;
    if (!why_not && bl_hook_entry_install(address, size, &spec, &why_not) == 0)
        return BL_HOOK_ENTRY;
    bl_text_str(why, why_not);
    if (bl_hook_entry_is_hooked(address)) /* by another class: it would be seen twice */
        return BL_HOOK_NONE;
    return hook_imports(a, address, why);
}

static void hook(struct registered *r, const struct bl_profile_function *f,
                 const struct bl_hook_object *o, uint64_t address, size_t size)
{
    struct applied *a = find_applied(r, f, path_of(o));
    bool is_new = a && !a->path;
    char text[160];
    struct bl_text why;
    enum bl_hook_method method = BL_HOOK_NONE;
    if (!a || (is_new && (a->path = copy_text(path_of(o))) == NULL)) {
        bl_losses_add(BL_LOSS_hooks_refused, 1);
        return;
    }
    bl_text_init(&why, text, sizeof text);
    if (address)
        method = hook_function(a, address, size, &why);
    else
        bl_text_str(&why, "the library has no function of this name");
    if (is_new)
        list_function(r, a, method, method == BL_HOOK_ENTRY ? NULL : text);
    set_flags(r, f->role, method);
}

static void take_function(void *context, const struct bl_profile_function *f)
{
    struct application *a = context;
    if (f->class_index >= a->class_count)
        return;
    if (f->role == BL_ROLE_LASTING) {
        take_lasting(a, f);
        return;
    }
    const struct bl_hook_object **matches = a->matches[f->class_index];
    for (uint32_t i = 0; i < MATCHES_MAX && matches[i]; i++) {
        size_t size = 0;
        const struct bl_hook_object *o = matches[i];
        uint64_t address = bl_hook_entry_find(o->name ? o->name : "", f->name, &size);
        if (!address && f->optional)
            continue;
        struct registered *r = register_class(a, f->class_index);
        if (r && f->kind.where != BL_WHERE_NONE)
            find_variables(a, f->class_index, r);
        if (r)
            hook(r, f, o, address, size);
        else
            bl_losses_add(BL_LOSS_hooks_refused, 1);
    }
}

static void take_request(void *context, const struct bl_profile_request *r)
{
    (void)context;
    bl_requests_take(r, &objects, no_hooks_why);
}

static bool has_come(void *context, const char *pattern, size_t length)
{
    (void)context;
    for (uint32_t i = 0; i < objects.count; i++) {
        if (objects.list[i].is_new &&
            bl_profile_matches_one(pattern, length, file_name_of(&objects.list[i])))
            return true;
    }
    return false;
}

/* Mistakes were told when the file was read. */
static void apply(struct profile *profile, struct application *a)
{
    struct bl_profile_sink sink = {.context = a,
                                   .on_class = take_class,
                                   .on_function = take_function,
                                   .on_request = take_request};
    if (!bl_profile_names(profile->text, profile->length, has_come, NULL))
        return;
    a->profile = profile;
    a->class_count = 0;
    bl_profile_parse(profile->text, profile->length, &sink);
}

static void look_around(bool at_start)
{
    bl_guard_enter_internal();
    bool any_new = bl_hook_elf_look(&objects);
    struct application *a = any_new ? bl_arena_map(sizeof *a) : NULL;
    for (uint32_t i = 0; i < profile_count && a; i++)
        apply(&profiles[i], a);
    if (any_new)
        bl_requests_take_asked(&objects, no_hooks_why);
    if (a)
        bl_arena_unmap(a, sizeof *a);
    if (any_new)
        bl_hook_import_update(&objects, at_start);
    bl_guard_leave_internal();
}

static void on_change(void)
{
    look_around(false);
}

/* ---- which profiles ---- */

static void add_profile(const char *name, const char *text, size_t length)
{
    for (uint32_t i = 0; i < profile_count; i++)
        if (profiles[i].text == text) /* a built-in one that is named twice, or beside auto */
            return;
    if (profile_count < PROFILES_MAX)
        profiles[profile_count++] = (struct profile){.name = name, .text = text, .length = length};
    else
        bl_profile_files_refuse(name);
}

static bool add_builtin(const char *name, size_t length)
{
    for (const struct bl_profile_builtin *b = bl_profile_builtins; b->name; b++) {
        if (!name || (strlen(b->name) == length && memcmp(b->name, name, length) == 0))
            add_profile(b->name, b->text, strlen(b->text));
        if (name && strlen(b->name) == length && memcmp(b->name, name, length) == 0)
            return true;
    }
    return false;
}

static void add_file(const char *path, size_t length)
{
    struct bl_profile_text t;
    if (bl_profile_files_read(path, length, &t))
        add_profile(t.name, t.text, t.length);
}

static void choose(const char *list, size_t length)
{
    if (!list)
        add_builtin(NULL, 0);
    while (list && length > 0) {
        const char *comma = memchr(list, ',', length);
        size_t part = comma ? (size_t)(comma - list) : length;
        if (part == 4 && memcmp(list, "auto", 4) == 0)
            add_builtin(NULL, 0);
        else if (!(part == 4 && memcmp(list, "none", 4) == 0) && !add_builtin(list, part))
            add_file(list, part);
        list += part + (comma != NULL);
        length -= part + (comma != NULL);
    }
}

/* Libraries that arrive later are seen by a hook of the loader's own function, also where there is
 * no decoder and their import slots are all that can be hooked. */
static void watch(void)
{
    const char *why = NULL;
    if (bl_hook_entry_watch(on_change, &why) == 0)
        return;
    bl_hook_list_add(&(struct bl_hook_note){
        .function = "dlopen", .class_number = 0, .method = BL_HOOK_NONE, .why = why, .module = ""});
}

void bl_profile_hooks_start(const char *list, size_t length)
{
    choose(list, length);
    if (profile_count == 0 && !bl_requests_wanted())
        return;
    if (bl_hook_entry_init(&no_hooks_why) == 0)
        no_hooks_why = NULL;
    bl_hook_code_begin();
    watch();
    look_around(true);
    bl_hook_code_end();
}
