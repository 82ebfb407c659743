/* Preloaded before the shim: there is no decoder of instructions, so that no entry can be hooked.
 */
#include <dlfcn.h>
#include <string.h>

void *dlopen(const char *name, int flags)
{
    static void *(*next)(const char *, int);
    if (!next)
        *(void **)(void *)&next = dlsym(RTLD_NEXT, "dlopen");
    if (name && strncmp(name, "libZydis.so", 11) == 0)
        return NULL;
    return next(name, flags);
}
