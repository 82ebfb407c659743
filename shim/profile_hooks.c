#include "profile_hooks.h"
#include "arena.h"
#include "clock.h"
#include "hook_entry.h"
#include "hook_list.h"
#include "jvm/agent.h"
#include "ledger.h"
#include "live.h"
#include "losses.h"
#include "profile.h"
#include "references.h"
#include "sigsafe.h"
#include "track.h"

#include <errno.h>
#include <link.h>
#include <string.h>

#define CLASSES_PER_PROFILE BL_PROFILE_CLASSES_MAX
#define PROFILES_MAX        32u
#define FILE_BYTES          (64u << 10)
#define PATH_BYTES          512u

/* A hooked function: what its calls mean. Never freed. */
struct watched {
    struct bl_profile_function f;
    uint8_t class_number;
    bool revives;
    struct bl_place field;
};

/* A class of a profile: parsed each time objects were loaded, applied once. */
struct known_class {
    struct bl_profile_class c;
    char path[PATH_BYTES]; /* of the library; empty: not here yet */
    bool executable;       /* it is the program itself */
    int number;            /* -1: not registered */
};

static struct profile {
    const char *name;
    const char *text;
    size_t length;
    bool applied[CLASSES_PER_PROFILE];
} profiles[PROFILES_MAX];
static uint32_t profile_count;
static const char *no_hooks_why; /* entry hooks cannot be had at all */

/* ---- events ---- */

static uint64_t value_at(const struct bl_place *p, const struct bl_hook_call *call, uint64_t handle)
{
    struct bl_profile_call c = {.args = call->args,
                                .stack_args = call->stack_args,
                                .result = call->result,
                                .handle = handle};
    uint64_t value = 0;
    return bl_profile_value(p, &c, &value) ? value : 0;
}

static int32_t own_count(const struct watched *w, const struct bl_hook_call *call, uint64_t handle)
{
    return (int32_t)value_at(&w->field, call, handle);
}

/* Does this call count? */
static bool applies(const struct watched *w, const struct bl_hook_call *call, uint64_t handle)
{
    int result = (int)call->result;
    unsigned when = w->f.when;
    if ((when & BL_WHEN_ZERO && result != 0) || (when & BL_WHEN_NONZERO && result == 0) ||
        (when & BL_WHEN_NONNEGATIVE && result < 0))
        return false;
    if (when & BL_WHEN_FIELD && own_count(w, call, handle) <= 0)
        return false;
    return !(when & BL_WHEN_NEW) || !bl_refs_known(handle, w->class_number);
}

/* ---- calls that stand for the calls inside them ---- */

static bool gives_back(enum bl_role role)
{
    return role == BL_ROLE_RELEASE || role == BL_ROLE_DESTROY || role == BL_ROLE_STEAL;
}

/* Forgets wrappings whose frames have been left, also by longjmp or an exception. */
static void drop_left(uint64_t sp)
{
    while (bl_tls.wrapping_count > 0 && bl_tls.wrappings[bl_tls.wrapping_count - 1].sp <= sp)
        bl_tls.wrapping_count--;
}

static bool is_inner(const struct watched *w, uint64_t handle, uint64_t sp)
{
    drop_left(sp);
    for (uint32_t i = 0; i < bl_tls.wrapping_count; i++) {
        if (bl_tls.wrappings[i].handle == handle &&
            bl_tls.wrappings[i].gives_back == gives_back(w->f.role))
            return true;
    }
    return false;
}

static void enter_wrapping(const struct watched *w, uint64_t handle, uint64_t sp)
{
    if (!w->f.wraps || bl_tls.wrapping_count == BL_WRAPPINGS)
        return;
    bl_tls.wrappings[bl_tls.wrapping_count++] =
        (struct bl_wrapping){.handle = handle, .sp = sp, .gives_back = gives_back(w->f.role)};
}

static void dispatch(const struct watched *w, struct bl_ref_event *e,
                     const struct bl_hook_call *call)
{
    switch (w->f.role) {
    case BL_ROLE_ALLOC:
        bl_refs_birth(e, &(struct bl_ref_birth){.size = value_at(&w->f.size, call, e->handle)});
        break;
    case BL_ROLE_RETAIN:
        bl_refs_retain(e);
        break;
    case BL_ROLE_RELEASE:
        e->delta = -e->delta;
        bl_refs_release(e);
        break;
    case BL_ROLE_STEAL:
        e->delta = -e->delta;
        bl_refs_release_last(e);
        break;
    case BL_ROLE_DESTROY:
        e->delta = 0;
        bl_refs_end(e);
        break;
    case BL_ROLE_RESIZE:
        bl_refs_resize(e, value_at(&w->f.size, call, e->handle));
        break;
    case BL_ROLE_TRANSFER:
        bl_refs_transfer(e, value_at(&w->f.into, call, e->handle));
        break;
    case BL_ROLE_REPLACE:
    case BL_ROLE_CLEAR:
    case BL_ROLE_COUNT:
    default:
        break; /* refused when the function was to be hooked */
    }
}

static void on_call(void *context, const struct bl_hook_call *call)
{
    const struct watched *w = context;
    uint64_t handle = value_at(&w->f.handle, call, 0);
    int64_t count = (int64_t)value_at(&w->f.count, call, handle);
    if (!handle || count == 0 || !bl_track_enter())
        return;
    int saved = errno;
    if (is_inner(w, handle, call->origin.sp) || !applies(w, call, handle)) {
        errno = saved;
        bl_track_leave();
        return;
    }
    struct bl_ref_event e = {
        .handle = handle,
        .time_ns = bl_clock_event_ns(),
        .stack = bl_track_stack_entered(&call->origin),
        .thread = bl_tls.thread ? bl_tls.thread->number : 0,
        .delta = (int32_t)count,
        .class_number = w->class_number,
        .through = !w->f.pre,
        .sp = call->origin.sp,
    };
    dispatch(w, &e, call);
    enter_wrapping(w, handle, call->origin.sp);
    errno = saved;
    bl_track_leave();
}

/* ---- applying a profile ---- */

struct application {
    struct profile *profile;
    struct known_class classes[CLASSES_PER_PROFILE];
    uint32_t class_count;
};

struct search {
    struct known_class *class;
};

static const char *executable_path(void)
{
    if (!bl_header->exe_name)
        return "";
    const struct bl_name *name = bl_ledger_at(BL_SECTION_NAMES, bl_header->exe_name);
    return name->text;
}

static int look_for_library(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *s = context;
    (void)size;
    bool executable = !info->dlpi_name || !info->dlpi_name[0];
    const char *path = executable ? executable_path() : info->dlpi_name;
    const char *name = strrchr(path, '/');
    struct bl_text t;
    if (!bl_profile_matches(s->class->c.library, name ? name + 1 : path))
        return 0;
    s->class->executable = executable;
    bl_text_init(&t, s->class->path, sizeof s->class->path);
    bl_text_str(&t, path);
    return 1;
}

static void take_class(void *context, const struct bl_profile_class *c)
{
    struct application *a = context;
    if (a->class_count == CLASSES_PER_PROFILE)
        return;
    struct known_class *k = &a->classes[a->class_count];
    k->c = *c;
    k->number = -1;
    k->path[0] = '\0';
    struct search s = {k};
    if (!a->profile->applied[a->class_count])
        dl_iterate_phdr(look_for_library, &s);
    if (k->path[0] && c->bytecode) {
        bl_java_agent_arm(c, k->path, a->profile->name, no_hooks_why);
        a->profile->applied[a->class_count] = true;
    }
    a->class_count++;
}

/* The class enters the ledger with its first function that is there. */
static int register_class(struct application *a, struct known_class *k)
{
    char own[2 * BL_PROFILE_LIST_MAX + 2];
    struct bl_text t;
    if (k->number >= 0)
        return k->number;
    bl_text_init(&t, own, sizeof own);
    bl_text_str(&t, k->c.library);
    bl_text_str(&t, " ");
    bl_text_str(&t, k->c.own);
    k->number = bl_hook_list_add_class(k->c.name, own, a->profile->name);
    if (k->number < 0)
        return k->number;
    struct bl_own_field field = {.offset = k->c.field.n};
    if (k->c.field.where == BL_WHERE_FIELD)
        field.width = k->c.field.width;
    bl_refs_set_policy((uint8_t)k->number,
                       (struct bl_ref_policy){.revives = k->c.revives,
                                              .zero_is_end = k->c.zero_is_end,
                                              .adopts = k->c.adopts,
                                              .recycles = k->c.recycles,
                                              .inlined = k->c.inlined,
                                              .field = field,
                                              .ends_by_free = k->c.ends_by_free});
    a->profile->applied[k - a->classes] = true;
    return k->number;
}

static void record_hook(const struct bl_profile_function *f, const struct known_class *k, bool done,
                        const char *why)
{
    bl_hook_list_add(&(struct bl_hook_note){.function = f->name,
                                            .class_number = (uint32_t)k->number,
                                            .method = done ? BL_HOOK_ENTRY : BL_HOOK_NONE,
                                            .why = why,
                                            .module = k->path});
}

static void take_function(void *context, const struct bl_profile_function *f)
{
    struct application *a = context;
    struct known_class *k = f->class_index < a->class_count ? &a->classes[f->class_index] : NULL;
    size_t size = 0;
    if (!k || !k->path[0])
        return;
    uint64_t address = bl_hook_entry_find(k->executable ? "" : k->path, f->name, &size);
    if (!address && f->optional)
        return;
    if (register_class(a, k) < 0)
        return;
    const char *why = address ? no_hooks_why : "the library has no function of this name";
    if (f->role == BL_ROLE_REPLACE || f->role == BL_ROLE_CLEAR || f->owner.where != BL_WHERE_NONE)
        why = "this version does not follow replaced, cleared or owned buffers";
    struct watched *w = why ? NULL : bl_arena_alloc(sizeof *w);
    if (w) {
        *w = (struct watched){.f = *f,
                              .class_number = (uint8_t)k->number,
                              .revives = k->c.revives,
                              .field = k->c.field};
        struct bl_hook_spec spec = {.pre = f->pre ? on_call : NULL,
                                    .post = f->pre ? NULL : on_call,
                                    .context = w,
                                    .stack_words = f->stack_words};
        if (bl_hook_entry_install(address, size, &spec, &why) == 0)
            why = NULL;
    } else if (!why) {
        why = "no memory";
    }
    record_hook(f, k, w && !why, why);
}

static void ignore_error(void *context, unsigned line, unsigned column, const char *what)
{
    (void)context;
    (void)line;
    (void)column;
    (void)what;
}

static void apply(struct profile *profile)
{
    struct application *a = bl_arena_map(sizeof *a);
    if (!a)
        return;
    a->profile = profile;
    struct bl_profile_sink sink = {.context = a,
                                   .on_class = take_class,
                                   .on_function = take_function,
                                   .on_error = ignore_error};
    bl_profile_parse(profile->text, profile->length, &sink);
    bl_arena_unmap(a, sizeof *a);
}

static void apply_all(void)
{
    bl_guard_enter_internal();
    for (uint32_t i = 0; i < profile_count; i++)
        apply(&profiles[i]);
    bl_guard_leave_internal();
}

/* ---- which profiles ---- */

static void add_profile(const char *name, const char *text, size_t length)
{
    if (profile_count < PROFILES_MAX)
        profiles[profile_count++] = (struct profile){.name = name, .text = text, .length = length};
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
    char *copy = bl_arena_alloc(length + 1);
    char *text = bl_arena_map(FILE_BYTES);
    if (!copy || !text)
        return;
    memcpy(copy, path, length);
    copy[length] = '\0';
    long n = bl_sys_read_file(copy, text, FILE_BYTES);
    if (n > 0)
        add_profile(copy, text, (size_t)n);
    else
        bl_losses_add(BL_LOSS_hooks_refused, 1);
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

void bl_profile_hooks_start(const char *list, size_t length)
{
    choose(list, length);
    if (profile_count == 0)
        return;
    if (bl_hook_entry_init(&no_hooks_why) == 0) {
        const char *why = NULL;
        no_hooks_why = NULL;
        bl_hook_entry_watch(apply_all, &why);
    }
    apply_all();
}
