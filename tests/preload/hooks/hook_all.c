/*
 * A preload library that hooks the functions it is told to and counts their calls.
 *
 * HOOK_ALL_LIST: a file with a line "object function" for each, "-" for the executable.
 * HOOK_ALL_MODE: pre or post. HOOK_ALL_OUT: at exit gets a line "object function count" for each
 * hooked, "object function refused cause" for the others. Objects that arrive later are hooked when
 * they do.
 */
#include "hook_entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCTIONS_MAX 16384

struct function {
    char object[64];
    char name[120];
    const char *refused;
    uint64_t address;
    uint64_t calls; /* atomic */
};

static struct function functions[FUNCTIONS_MAX];
static unsigned function_count;
static bool post;
static char out_path[512];

static void count(void *context, const struct bl_hook_call *call)
{
    struct function *f = context;
    (void)call;
    bl_add_relaxed(&f->calls, 1);
}

static void read_list(const char *path)
{
    FILE *list = fopen(path, "re");
    if (!list)
        return;
    while (function_count < FUNCTIONS_MAX) {
        struct function *f = &functions[function_count];
        if (fscanf(list, "%63s %119s", f->object, f->name) != 2)
            break;
        function_count++;
    }
    fclose(list);
}

static bool is_hooked(uint64_t address, const struct function *but)
{
    for (const struct function *f = functions; f < functions + function_count; f++) {
        if (f != but && f->address == address && !f->refused)
            return true;
    }
    return false;
}

static void install(struct function *f)
{
    const struct bl_hook_spec spec = {
        .pre = post ? NULL : count, .post = post ? count : NULL, .context = f, .stack_words = 8};
    const char *object = strcmp(f->object, "-") == 0 ? "" : f->object;
    size_t size = 0;
    uint64_t address = bl_hook_entry_find(object, f->name, &size);
    if (!address || f->address == address)
        return;
    f->address = address;
    f->refused = NULL;
    if (bl_hook_entry_install(address, size, &spec, &f->refused) == 0)
        f->refused = NULL;
    else if (strcmp(f->refused, "hooked already") == 0 && is_hooked(address, f))
        f->refused = "alias";
}

static void install_all(void)
{
    for (unsigned i = 0; i < function_count; i++)
        install(&functions[i]);
}

static void write_counts(void)
{
    FILE *out = fopen(out_path, "we");
    if (!out)
        return;
    for (const struct function *f = functions; f < functions + function_count; f++) {
        if (!f->address)
            fprintf(out, "%s %s refused absent\n", f->object, f->name);
        else if (f->refused)
            fprintf(out, "%s %s refused %s\n", f->object, f->name, f->refused);
        else
            fprintf(out, "%s %s %lu\n", f->object, f->name, (unsigned long)f->calls);
    }
    fclose(out);
}

__attribute__((constructor)) static void begin(void)
{
    const char *list = getenv("HOOK_ALL_LIST");
    const char *mode = getenv("HOOK_ALL_MODE");
    const char *out = getenv("HOOK_ALL_OUT");
    const char *why = "";
    if (!list || !mode || !out)
        return;
    snprintf(out_path, sizeof out_path, "%s", out);
    post = strcmp(mode, "post") == 0;
    read_list(list);
    if (bl_hook_entry_init(&why) != 0 || bl_hook_entry_watch(install_all, &why) != 0) {
        fprintf(stderr, "hook_all: %s\n", why);
        _exit(99);
    }
    install_all();
}

__attribute__((destructor)) static void end(void)
{
    if (out_path[0])
        write_counts();
}
