/*
 * Built twice into two libraries of the same size, that take their blocks in functions of other
 * names and other frame sizes: PLUGIN_FUNCTION and PLUGIN_PAD differ, nothing else.
 */
#include "victim.h"

#include <string.h>

extern void plugin_take(struct site *site, unsigned count, size_t size);

static NOINLINE void PLUGIN_FUNCTION(struct site *site, size_t size)
{
    volatile char pad[PLUGIN_PAD];
    pad[PLUGIN_PAD - 1] = (char)size;
    void *block = AT(site, malloc(size));
    must(block);
    leak(site, size + (size_t)(pad[PLUGIN_PAD - 1] - (char)size));
}

void plugin_take(struct site *site, unsigned count, size_t size)
{
    for (unsigned i = 0; i < count; i++)
        PLUGIN_FUNCTION(site, size);
    /* The name lives in this library, which will be gone. */
    site->function = strdup(site->function);
}
