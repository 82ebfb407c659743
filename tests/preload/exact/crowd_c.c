/* Ten thousand blocks left among a million, by the C functions. See crowd.h. */
#include "crowd.h"

#include <malloc.h>
#include <string.h>

enum kind {
    KIND_MALLOC = 1,
    KIND_CALLOC,
    KIND_REALLOC_NULL,
    KIND_REALLOC_CHAIN,
    KIND_REALLOCARRAY,
    KIND_POSIX_MEMALIGN,
    KIND_ALIGNED_ALLOC,
    KIND_MEMALIGN,
    KIND_STRDUP,
    KINDS = KIND_STRDUP,
    /* places that allocate and never leave anything unreleased */
    BORN_IN_CHAIN,
    SITES,
};

static struct site sites[SITES];

static NOINLINE void *by_malloc(size_t size)
{
    void *block = AT(&sites[KIND_MALLOC], malloc(size));
    return must(block);
}

static NOINLINE void *by_calloc(size_t size)
{
    void *block = AT(&sites[KIND_CALLOC], calloc(1, size));
    return must(block);
}

static NOINLINE void *by_realloc_null(size_t size)
{
    void *block = AT(&sites[KIND_REALLOC_NULL], realloc(NULL, size));
    return must(block);
}

/* Grows, so that it moves, then shrinks in place: the last one is the block's site. */
static NOINLINE void *by_realloc_chain(size_t size)
{
    void *block = AT(&sites[BORN_IN_CHAIN], malloc(8));
    block = realloc(must(block), 4 * size);
    block = realloc(must(block), 2 * size);
    block = AT(&sites[KIND_REALLOC_CHAIN], realloc(must(block), size));
    return must(block);
}

static NOINLINE void *by_reallocarray(size_t size)
{
    void *block = AT(&sites[KIND_REALLOCARRAY], reallocarray(NULL, size, 1));
    return must(block);
}

static NOINLINE void *by_posix_memalign(size_t size)
{
    void *block = NULL;
    int error = AT(&sites[KIND_POSIX_MEMALIGN], posix_memalign(&block, 64, size));
    return error == 0 ? must(block) : must(NULL);
}

static NOINLINE void *by_aligned_alloc(size_t size)
{
    void *block = AT(&sites[KIND_ALIGNED_ALLOC], aligned_alloc(128, size));
    return must(block);
}

static NOINLINE void *by_memalign(size_t size)
{
    void *block = AT(&sites[KIND_MEMALIGN], memalign(4096, size));
    return must(block);
}

static NOINLINE void *by_strdup(size_t size)
{
    char text[1024];
    memset(text, 'x', size - 1);
    text[size - 1] = '\0';
    void *block = AT(&sites[KIND_STRDUP], strdup(text));
    return must(block);
}

static struct block *make_block(unsigned kind, size_t size)
{
    static void *(*const makers[])(size_t) = {
        NULL,
        by_malloc,
        by_calloc,
        by_realloc_null,
        by_realloc_chain,
        by_reallocarray,
        by_posix_memalign,
        by_aligned_alloc,
        by_memalign,
        by_strdup,
    };
    struct block *block = makers[kind](size);
    block->kind = (unsigned char)kind;
    return block;
}

/* Every other block goes through another realloc first, in whichever thread ends it. */
static void end_block(struct block *block)
{
    static unsigned turn;
    if (__atomic_add_fetch(&turn, 1, __ATOMIC_RELAXED) % 2 == 0)
        block = must(realloc(block, 600));
    free(block);
}

static void note_leak(unsigned kind, size_t size)
{
    leak(&sites[kind], size);
}

int main(void)
{
    run_crowd(KINDS);
    print_crowd(sites, SITES, __FILE__);
    return 0;
}
