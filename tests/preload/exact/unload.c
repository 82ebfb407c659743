/*
 * Loads a library, lets it leave blocks behind, unloads it, and loads another one that comes to
 * the same addresses and does the same. Arguments: the two libraries.
 */
#include "victim.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>

enum { TRIES = 50 };

static struct site sites[2];

static uintptr_t base_of(void *library)
{
    struct link_map *map = NULL;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0)
        return 0;
    return map->l_addr;
}

static void *load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "unload: %s\n", dlerror());
        exit(3);
    }
    return library;
}

/* Outside the two libraries, and one call deep on the way to either: the same caller's frame. */
static NOINLINE void take_from(void *library, struct site *site, unsigned count, size_t size)
{
    void (*plugin_take)(struct site *, unsigned, size_t) =
        (void (*)(struct site *, unsigned, size_t))dlsym(library, "plugin_take");
    if (plugin_take == NULL)
        exit(3);
    plugin_take(site, count, size);
    __asm__ volatile("" : : : "memory");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    bool same_place = false;
    unsigned tries = 0;
    for (; tries < TRIES && !same_place; tries++) {
        void *first = load(argv[1]);
        uintptr_t place = base_of(first);
        take_from(first, &sites[0], 100, 48);
        if (dlclose(first) != 0)
            return 3;
        void *second = load(argv[2]);
        same_place = base_of(second) == place;
        take_from(second, &sites[1], 70, 56);
        if (dlclose(second) != 0)
            return 3;
    }
    printf("{\"same_place\": %s, \"tries\": %u, ", same_place ? "true" : "false", tries);
    print_sites(sites, 2, "plugin.c");
    printf("}\n");
    return 0;
}
