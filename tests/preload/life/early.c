/*
 * A library whose constructor runs before the shim's and allocates from 1 byte to 64 MiB; the
 * program that it is preloaded into frees or resizes them by way of `early_give_back`. Built with
 * -DINSIDE_DLSYM it allocates while the shim looks for malloc: dlsym is this one.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 400

static struct {
    unsigned char *at;
    size_t size;
} blocks[COUNT];
static unsigned used;

static void take(size_t size)
{
    if (used == COUNT)
        return;
    unsigned char *p = NULL;
    switch (used % 4) {
    case 0:
        p = malloc(size);
        break;
    case 1:
        p = calloc(1, size);
        break;
    case 2:
        p = realloc(malloc(1), size);
        break;
    default:
        if (posix_memalign((void **)(void *)&p, 4096, size) != 0 || (uintptr_t)p % 4096)
            abort();
        break;
    }
    if (!p)
        abort();
    for (size_t i = 0; used % 4 == 1 && i < size && i < 4096; i++) {
        if (p[i])
            abort();
    }
    memset(p, (int)(used & 0xff), size < 4096 ? size : 4096);
    p[size - 1] = (unsigned char)used;
    blocks[used].at = p;
    blocks[used++].size = size;
}

static void take_many(void)
{
    for (size_t size = 1; size <= 64u << 20; size *= 2)
        take(size);
    for (unsigned i = 0; i < 300; i++)
        take(1 + i * 37 % 5000);
}

int early_give_back(void);
int early_give_back(void)
{
    for (unsigned i = 0; i < used; i++) {
        unsigned char *p = blocks[i].at;
        size_t size = blocks[i].size;
        if (p[size - 1] != (unsigned char)i || (size > 1 && p[0] != (i & 0xff)))
            return -1;
        if (i % 3 == 0) {
            p = realloc(p, size + 1000);
            if (!p || (size > 1 && p[0] != (i & 0xff)) || p[size - 1] != (unsigned char)i)
                return -2;
        }
        free(p);
    }
    return (int)used;
}

#ifdef INSIDE_DLSYM
void *dlsym(void *restrict handle, const char *restrict name);
void *dlsym(void *restrict handle, const char *restrict name)
{
    static void *(*real)(void *, const char *);
    static int turns;
    if (!real)
        real = (void *(*)(void *, const char *))(uintptr_t)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
    if (turns++ == 0)
        take_many();
    return real(handle, name); /* a jump: RTLD_NEXT goes by the caller */
}
#else
__attribute__((constructor)) static void start(void)
{
    take_many();
}
#endif
