/*
 * Leaves a known book behind while another allocator than glibc's serves the program, and says by
 * that allocator's own word whether it did.
 */
#include "victim.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

enum { BY_MALLOC, BY_CALLOC, BY_ALIGNED, BY_REALLOC, FREED, SITES };

static struct site sites[SITES];

/* Bytes that this thread (jemalloc) or process (tcmalloc) ever took or has, by the allocator. */
static size_t jemalloc_bytes(void)
{
    int (*mallctl)(const char *, void *, size_t *, void *, size_t) =
        (int (*)(const char *, void *, size_t *, void *, size_t))dlsym(RTLD_DEFAULT, "mallctl");
    uint64_t bytes = 0;
    size_t size = sizeof bytes;
    if (mallctl == NULL || mallctl("thread.allocated", &bytes, &size, NULL, 0) != 0)
        return 0;
    return (size_t)bytes;
}

static size_t tcmalloc_bytes(void)
{
    int (*property)(const char *, size_t *) =
        (int (*)(const char *, size_t *))dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
    size_t bytes = 0;
    if (property == NULL || !property("generic.current_allocated_bytes", &bytes))
        return 0;
    return bytes;
}

static bool is_mimalloc(const void *block)
{
    bool (*in_region)(const void *) =
        (bool (*)(const void *))dlsym(RTLD_DEFAULT, "mi_is_in_heap_region");
    return in_region != NULL && in_region(block);
}

static NOINLINE const char *serving_allocator(void)
{
    size_t je = jemalloc_bytes();
    size_t tc = tcmalloc_bytes();
    void *block = must(malloc(300000));
    const char *name = "glibc";
    if (is_mimalloc(block))
        name = "mimalloc";
    else if (jemalloc_bytes() >= je + 300000)
        name = "jemalloc";
    else if (tcmalloc_bytes() >= tc + 300000)
        name = "tcmalloc";
    free(block);
    return name;
}

static NOINLINE void take(void)
{
    for (size_t i = 1; i <= 500; i++) {
        void *block = AT(&sites[BY_MALLOC], malloc(i));
        must(block);
        leak(&sites[BY_MALLOC], i);
        block = AT(&sites[BY_CALLOC], calloc(3, i));
        must(block);
        leak(&sites[BY_CALLOC], 3 * i);
        block = NULL;
        if (AT(&sites[BY_ALIGNED], posix_memalign(&block, 256, i)) != 0)
            abort();
        must(block);
        leak(&sites[BY_ALIGNED], i);
        block = realloc(must(malloc(8)), 64);
        block = AT(&sites[BY_REALLOC], realloc(must(block), 100 * i));
        must(block);
        leak(&sites[BY_REALLOC], 100 * i);
    }
}

/* Small sizes in numbers: allocators that hand out 8-byte blocks put two into 16 bytes. */
static NOINLINE void churn(void)
{
    enum { BLOCKS = 20000 };
    static void *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = AT(&sites[FREED], malloc(i % 24));
        must(blocks[i]);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i * 7919 % BLOCKS]);
}

int main(void)
{
    const char *name = serving_allocator();
    take();
    churn();
    printf("{\"allocator\": \"%s\", ", name);
    print_sites(sites, SITES, __FILE__);
    printf("}\n");
    return 0;
}
