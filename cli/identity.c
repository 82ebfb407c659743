#include "identity.h"

#include "plain_name.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX    4096
#define RUN_DIGITS 9u /* a date has eight */

/* Without what a compiler appends to the parts of a function (see also origin.c). */
static size_t length_without_suffix(const char *function)
{
    static const char *const suffixes[] = {".part.", ".isra.",     ".constprop.", ".cold",
                                           ".llvm.", ".lto_priv.", " [clone "};
    size_t length = strlen(function);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        const char *found = strstr(function, suffixes[i]);
        if (found && found > function && (size_t)(found - function) < length)
            length = (size_t)(found - function);
    }
    return length;
}

/* How long is a number at `at` that a run gave a file to have its name for itself? Programs that
 * carry libraries in an archive write them to such files: libfoo6417420445290064693616.so, or a
 * UUID. No version has that many digits in a row. 0: there is none. */
static size_t length_of_run_number(const char *at)
{
    static const char uuid[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    size_t digits = strspn(at, "0123456789");
    size_t same = 0;
    while (uuid[same] && (uuid[same] == '-' ? at[same] == '-' : isxdigit((unsigned char)at[same])))
        same++;
    if (!uuid[same])
        return same;
    return digits >= RUN_DIGITS ? digits : 0;
}

/* "gw", "libfoo.so"; libtool runs "lt-gw" for gw. */
static void name_module(char *out, size_t size, const char *module)
{
    const char *at = strncmp(module, "lt-", 3) == 0 ? module + 3 : module;
    const char *version = strstr(at, ".so.");
    const char *end = version ? version + 3 : at + strlen(at);
    size_t used = 0;
    while (at < end && used + 1 < size) {
        size_t number = length_of_run_number(at);
        out[used++] = number ? '#' : *at;
        at += number ? number : 1;
    }
    out[used] = '\0';
}

struct chain {
    const struct bl_leak_frame *frames[BL_IDENTITY_CHAIN];
    size_t count;
};

static bool is_same_function(const struct bl_leak_frame *a, const struct bl_leak_frame *b)
{
    return a->function && b->function && strcmp(a->function, b->function) == 0;
}

/* Of bufleak_libcheck.h, numbered in the order in which a file adds its fixtures. */
static bool is_adapter(const struct bl_leak_frame *frame)
{
    static const char prefix[] = "bufleak_fixture_";
    return frame->function && strncmp(frame->function, prefix, sizeof(prefix) - 1) == 0;
}

/* Code that is in no file, as a machine's own: its address is another one in each run. */
static bool is_nowhere(const struct bl_leak_frame *frame)
{
    return !frame->function && strcmp(frame->module, "?") == 0;
}

static void push(struct chain *chain, const struct bl_leak_frame *frame)
{
    if (chain->count == BL_IDENTITY_CHAIN || is_adapter(frame) || is_nowhere(frame) ||
        (chain->count > 0 && is_same_function(chain->frames[chain->count - 1], frame)))
        return;
    chain->frames[chain->count++] = frame;
}

/* Nobody calls main but the C library. */
static bool is_outermost(const struct bl_leak_frame *frame)
{
    return frame->function && strcmp(frame->function, "main") == 0;
}

static bool is_start(const struct bl_leak_frame *frame)
{
    return frame->function && strcmp(frame->function, "_start") == 0;
}

/* Own functions after the library function that they called. Those without a name are told by where
 * they are, if there are no others. */
static void choose_own(const struct bl_leak_stack *stack, struct chain *chain, bool needs_name)
{
    const struct bl_leak_frame *called = NULL;
    for (size_t i = 0; i < stack->count; i++) {
        const struct bl_leak_frame *frame = &stack->frames[i];
        if (frame->is_runtime || is_start(frame) ||
            (!frame->function && (needs_name || frame->is_system)))
            continue;
        if (frame->is_system) {
            if (chain->count == 0)
                called = frame;
            continue;
        }
        if (chain->count == 0 && called)
            push(chain, called);
        push(chain, frame);
        if (is_outermost(frame))
            return;
    }
}

static void choose_any(const struct bl_leak_stack *stack, struct chain *chain, bool needs_name)
{
    for (size_t i = 0; i < stack->count; i++) {
        const struct bl_leak_frame *frame = &stack->frames[i];
        if (!frame->is_runtime && (frame->function || !needs_name) && !is_start(frame))
            push(chain, frame);
        if (is_outermost(frame))
            return;
    }
    for (size_t i = 0; i < stack->count && chain->count == 0; i++)
        push(chain, &stack->frames[i]);
}

static bool has_own(const struct bl_leak_stack *stack, bool needs_name)
{
    for (size_t i = 0; i < stack->count; i++) {
        const struct bl_leak_frame *frame = &stack->frames[i];
        if (!frame->is_runtime && !frame->is_system && (frame->function || !needs_name) &&
            !is_start(frame))
            return true;
    }
    return false;
}

static void name_frame(char *out, size_t size, const struct bl_leak_frame *frame)
{
    char module[256];
    if (frame->function) {
        snprintf(out, size, "%.*s", (int)length_without_suffix(frame->function), frame->function);
        return;
    }
    name_module(module, sizeof(module), frame->module);
    snprintf(out, size, "%s+0x%llx", module, (unsigned long long)frame->offset);
}

void bl_identity_hash(const char *key, char out[17])
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *at = key; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
    snprintf(out, 17, "%016llx", (unsigned long long)hash);
}

static const char *kind_name(enum bl_leak_kind kind)
{
    static const char *const names[] = {"left", "over-release", "growing"};
    return names[kind];
}

static void append(char *key, const char *text)
{
    size_t used = strlen(key);
    snprintf(key + used, KEY_MAX - used, "%s", text);
}

void bl_identity_make(struct bl_leaks *leaks, struct bl_leak *leak)
{
    char key[KEY_MAX];
    char name[1024] = "?";
    char id[17];
    struct chain chain = {.count = 0};
    if (has_own(&leak->blame, true))
        choose_own(&leak->blame, &chain, true);
    else if (has_own(&leak->blame, false))
        choose_own(&leak->blame, &chain, false);
    else
        choose_any(&leak->blame, &chain, true);
    if (chain.count == 0)
        choose_any(&leak->blame, &chain, false);
    snprintf(key, sizeof(key), "%s %s %s ", leak->class_name, kind_name(leak->kind),
             bl_leak_op_name(leak->op));
    if (chain.count > 0)
        name_module(name, sizeof(name), chain.frames[0]->module);
    append(key, name);
    append(key, ":");
    leak->functions = bl_leaks_memory(NULL, (chain.count + 1) * sizeof(*leak->functions));
    leak->function_count = chain.count;
    for (size_t i = 0; i < chain.count; i++) {
        name_frame(name, sizeof(name), chain.frames[i]);
        leak->functions[i] = bl_leaks_text(leaks, name);
        if (i < BL_IDENTITY_DEPTH) {
            append(key, i > 0 ? " < " : "");
            append(key, name);
        }
    }
    bl_identity_hash(key, id);
    leak->key = bl_leaks_text(leaks, key);
    leak->id = bl_leaks_text(leaks, id);
}

struct plain_chain {
    char names[BL_IDENTITY_CHAIN][128];
    size_t count;
};

/* As whoever compiled it would have it; all of C++'s own library, where there is nothing else. */
static void make_plain(struct plain_chain *plain, const char *const *functions, size_t count)
{
    plain->count = 0;
    for (size_t i = 0; i < count && plain->count < BL_IDENTITY_CHAIN; i++)
        plain->count +=
            bl_plain_name(plain->names[plain->count], sizeof(plain->names[0]), functions[i]);
    for (size_t i = 0; plain->count == 0 && i < count && i < BL_IDENTITY_CHAIN; i++)
        snprintf(plain->names[i], sizeof(plain->names[0]), "%s", functions[i]);
    if (plain->count == 0)
        plain->count = count < BL_IDENTITY_CHAIN ? count : BL_IDENTITY_CHAIN;
}

/* Are all of `a` in `b`, in their order? */
static bool is_within(const struct plain_chain *a, const struct plain_chain *b)
{
    size_t found = 0;
    for (size_t i = 0; i < b->count && found < a->count; i++)
        found += strcmp(a->names[found], b->names[i]) == 0;
    return found == a->count;
}

bool bl_identity_is_alike(const char *const *a, size_t a_count, const char *const *b,
                          size_t b_count, size_t difference)
{
    struct plain_chain chains[2];
    make_plain(&chains[0], a, a_count);
    make_plain(&chains[1], b, b_count);
    const struct plain_chain *shorter = &chains[chains[0].count >= chains[1].count];
    const struct plain_chain *longer = &chains[chains[0].count < chains[1].count];
    bool may_be = shorter->count > 1 || difference < BL_IDENTITY_DIFFERENCE;
    return may_be && shorter->count > 0 && longer->count - shorter->count == difference &&
           is_within(shorter, longer);
}
