/*
 * Every function of the malloc family: each makes some blocks that stay and some that are released
 * by each function that releases. Results and errno are checked here, the book by the checker.
 */
#include "victim.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum {
    BY_MALLOC,
    BY_MALLOC_ZERO,
    BY_CALLOC,
    BY_REALLOC_NULL,
    BY_REALLOC_MOVED,
    BEFORE_REALLOC_MOVED,
    BY_REALLOC_IN_PLACE,
    BEFORE_REALLOC_IN_PLACE,
    BEFORE_REALLOC_FAILED,
    BY_REALLOC_FAILED,
    BEFORE_REALLOC_ZERO,
    BY_REALLOC_ZERO,
    BY_REALLOCARRAY,
    BY_REALLOCARRAY_GROWN,
    BEFORE_REALLOCARRAY_OVERFLOW,
    BY_POSIX_MEMALIGN,
    BY_ALIGNED_ALLOC,
    BY_MEMALIGN,
    BY_VALLOC,
    BY_PVALLOC,
    BY_STRDUP,
    BY_STRNDUP,
    BY_ASPRINTF,
    BY_GETLINE,
    FOR_FREE,
    FOR_CFREE,
    FOR_FREE_SIZED,
    FOR_FREE_ALIGNED_SIZED,
    BY_FAILING,
    SITES,
};

static struct site sites[SITES];

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "family: line %d: not so: %s (errno %d)\n", __LINE__, #condition,      \
                    errno);                                                                        \
            exit(3);                                                                               \
        }                                                                                          \
    } while (0)

/* More than any address space has, in a way that the compiler does not see through. */
static size_t too_much(void)
{
    size_t size = PTRDIFF_MAX;
    __asm__ volatile("" : "+r"(size));
    return size;
}

static NOINLINE void take_malloc(void)
{
    for (size_t i = 1; i <= 7; i++) {
        void *block = AT(&sites[BY_MALLOC], malloc(100 * i));
        use(must(block));
        leak(&sites[BY_MALLOC], 100 * i);
    }
    for (int i = 0; i < 3; i++) {
        void *block = AT(&sites[BY_MALLOC_ZERO], malloc(0));
        use(must(block));
        leak(&sites[BY_MALLOC_ZERO], 0);
    }
}

static NOINLINE void take_calloc(void)
{
    for (size_t i = 1; i <= 11; i++) {
        char *block = AT(&sites[BY_CALLOC], calloc(i, 24));
        use(must(block));
        leak(&sites[BY_CALLOC], i * 24);
        CHECK(block[0] == 0 && block[i * 24 - 1] == 0);
    }
}

static NOINLINE void take_realloc_null(void)
{
    for (int i = 0; i < 5; i++) {
        void *block = AT(&sites[BY_REALLOC_NULL], realloc(NULL, 333));
        use(must(block));
        leak(&sites[BY_REALLOC_NULL], 333);
    }
}

/* From the heap to a mapping of its own: cannot stay where it is. */
static NOINLINE void take_realloc_moved(void)
{
    for (int i = 0; i < 3; i++) {
        char *block = AT(&sites[BEFORE_REALLOC_MOVED], malloc(1000));
        must(block);
        memset(block, 'm', 1000);
        uintptr_t before = (uintptr_t)block;
        block = AT(&sites[BY_REALLOC_MOVED], realloc(block, 1 << 20));
        use(must(block));
        leak(&sites[BY_REALLOC_MOVED], 1 << 20);
        CHECK((uintptr_t)block != before);
        CHECK(block[0] == 'm' && block[999] == 'm');
    }
}

static NOINLINE void take_realloc_in_place(void)
{
    for (int i = 0; i < 3; i++) {
        char *block = AT(&sites[BEFORE_REALLOC_IN_PLACE], malloc(1000));
        must(block);
        block = AT(&sites[BY_REALLOC_IN_PLACE], realloc(block, 990));
        use(must(block));
        leak(&sites[BY_REALLOC_IN_PLACE], 990);
    }
}

/* The block stays what it was, where it was, and keeps the place that made it. */
static NOINLINE void take_realloc_failed(void)
{
    for (int i = 0; i < 3; i++) {
        char *block = AT(&sites[BEFORE_REALLOC_FAILED], malloc(444));
        must(block);
        leak(&sites[BEFORE_REALLOC_FAILED], 444);
        block[443] = 'f';
        errno = 0;
        void *moved = AT(&sites[BY_REALLOC_FAILED], realloc(block, too_much()));
        CHECK(moved == NULL && errno == ENOMEM);
        CHECK(block[443] == 'f');
    }
}

/* In glibc this is a free. */
static NOINLINE void take_realloc_zero(void)
{
    for (int i = 0; i < 3; i++) {
        void *block = AT(&sites[BEFORE_REALLOC_ZERO], malloc(555));
        must(block);
        block = AT(&sites[BY_REALLOC_ZERO], realloc(block, 0));
        CHECK(block == NULL);
    }
}

static NOINLINE void take_reallocarray(void)
{
    for (int i = 0; i < 5; i++) {
        void *block = AT(&sites[BY_REALLOCARRAY], reallocarray(NULL, 7, 11));
        use(must(block));
        leak(&sites[BY_REALLOCARRAY], 77);
    }
    for (int i = 0; i < 5; i++) {
        void *block = malloc(16);
        must(block);
        block = AT(&sites[BY_REALLOCARRAY_GROWN], reallocarray(block, 70, 11));
        use(must(block));
        leak(&sites[BY_REALLOCARRAY_GROWN], 770);
    }
    void *block = AT(&sites[BEFORE_REALLOCARRAY_OVERFLOW], malloc(66));
    must(block);
    leak(&sites[BEFORE_REALLOCARRAY_OVERFLOW], 66);
    errno = 0;
    CHECK(reallocarray(block, too_much(), 3) == NULL && errno == ENOMEM);
}

static NOINLINE void take_aligned(void)
{
    for (size_t i = 1; i <= 5; i++) {
        void *block = NULL;
        int error = AT(&sites[BY_POSIX_MEMALIGN], posix_memalign(&block, 512, 100 * i));
        CHECK(error == 0 && (uintptr_t)use(block) % 512 == 0);
        leak(&sites[BY_POSIX_MEMALIGN], 100 * i);
        block = AT(&sites[BY_ALIGNED_ALLOC], aligned_alloc(1024, 1024 * i));
        CHECK((uintptr_t)must(block) % 1024 == 0);
        leak(&sites[BY_ALIGNED_ALLOC], 1024 * i);
        block = AT(&sites[BY_MEMALIGN], memalign(2048, 10 * i));
        CHECK((uintptr_t)must(block) % 2048 == 0);
        leak(&sites[BY_MEMALIGN], 10 * i);
    }
}

/* pvalloc rounds up to whole pages, so it is given whole pages. */
static NOINLINE void take_pages(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 3; i++) {
        void *block = AT(&sites[BY_VALLOC], valloc(99));
        CHECK((uintptr_t)must(block) % page == 0);
        leak(&sites[BY_VALLOC], 99);
        block = AT(&sites[BY_PVALLOC], pvalloc(2 * page));
        CHECK((uintptr_t)must(block) % page == 0);
        leak(&sites[BY_PVALLOC], 2 * page);
    }
}

static NOINLINE void take_strings(void)
{
    static const char text[] = "one buffer in a thousand is never given back";
    for (int i = 0; i < 9; i++) {
        char *copy = AT(&sites[BY_STRDUP], strdup(text));
        use(must(copy));
        leak(&sites[BY_STRDUP], sizeof text);
        copy = AT(&sites[BY_STRNDUP], strndup(text, 10));
        use(must(copy));
        leak(&sites[BY_STRNDUP], 11);
        char *made = NULL;
        int length = AT(&sites[BY_ASPRINTF], asprintf(&made, "%s: %d", text, i));
        CHECK(length == (int)strlen(use(made)));
        leak_within(&sites[BY_ASPRINTF], (uint64_t)length + 1, 2 * (uint64_t)length + 200);
    }
}

/* getline says itself how large the block is that it made. */
static NOINLINE void take_getline(void)
{
    FILE *file = tmpfile();
    CHECK(file != NULL);
    for (int i = 0; i < 300; i++)
        CHECK(fputc('a' + i % 26, file) != EOF);
    rewind(file);
    char *line = NULL;
    size_t size = 0;
    ssize_t length = AT(&sites[BY_GETLINE], getline(&line, &size, file));
    CHECK(length == 300 && use(line) != NULL);
    leak(&sites[BY_GETLINE], size);
    CHECK(fclose(file) == 0);
}

/* Every way to release, all blocks gone; free must not change errno. */
static NOINLINE void release_all_ways(void (*cfree_)(void *), void (*sized)(void *, size_t),
                                      void (*aligned_sized)(void *, size_t, size_t))
{
    for (int i = 0; i < 50; i++) {
        void *block = AT(&sites[FOR_FREE], malloc(60));
        errno = EAGAIN;
        free(must(block));
        CHECK(errno == EAGAIN);
        block = AT(&sites[FOR_CFREE], malloc(61));
        cfree_(must(block));
        block = AT(&sites[FOR_FREE_SIZED], malloc(62));
        sized(must(block), 62);
        block = AT(&sites[FOR_FREE_ALIGNED_SIZED], aligned_alloc(64, 128));
        aligned_sized(must(block), 64, 128);
    }
    errno = EAGAIN;
    free(NULL);
    CHECK(errno == EAGAIN);
}

static NOINLINE void fail_all_ways(void)
{
    void *block = &block;
    errno = 0;
    CHECK(AT(&sites[BY_FAILING], malloc(too_much())) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc(too_much(), 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(aligned_alloc(64, too_much()) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(memalign(64, too_much()) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(valloc(too_much()) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(pvalloc(too_much()) == NULL && errno == ENOMEM);
    CHECK(posix_memalign(&block, 3, 10) == EINVAL && block == &block);
    CHECK(posix_memalign(&block, 64, too_much()) == ENOMEM && block == &block);
}

static void free_sized_here(void *block, size_t size)
{
    (void)size;
    free(block);
}

static void free_aligned_sized_here(void *block, size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    free(block);
}

int main(void)
{
    void (*cfree_)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
    void (*sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    void (*aligned_sized)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");

    take_malloc();
    take_calloc();
    take_realloc_null();
    take_realloc_moved();
    take_realloc_in_place();
    take_realloc_failed();
    take_realloc_zero();
    take_reallocarray();
    take_aligned();
    take_pages();
    take_strings();
    take_getline();
    release_all_ways(cfree_ != NULL ? cfree_ : free, sized != NULL ? sized : free_sized_here,
                     aligned_sized != NULL ? aligned_sized : free_aligned_sized_here);
    fail_all_ways();

    printf("{\"found\": {\"cfree\": %s, \"free_sized\": %s, \"free_aligned_sized\": %s}, ",
           cfree_ != NULL ? "true" : "false", sized != NULL ? "true" : "false",
           aligned_sized != NULL ? "true" : "false");
    print_sites(sites, SITES, __FILE__);
    printf("}\n");
    return 0;
}
