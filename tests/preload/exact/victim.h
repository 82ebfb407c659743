/*
 * What the victims of the exactness tests share: they keep book of what they leave unreleased, by
 * the place in their source that allocated it, and print it as the expectation for the report.
 *
 * Nothing is hard-coded in the checker: line and function come from the compiler at the call.
 * Threads: counters are atomic; a site may be used by any thread. Errors abort the victim.
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

/* One allocation site. bytes_most is 0 where the size is known exactly. */
struct site {
    const char *function;
    int line;
    uint64_t count;
    uint64_t bytes;
    uint64_t bytes_most;
};

/* Marks the allocating call: the place is noted and the call made, on one line of the line table.
 */
#define AT(site, call)                                                                             \
    (__atomic_store_n(&(site)->line, __LINE__, __ATOMIC_RELAXED),                                  \
     __atomic_store_n(&(site)->function, (const char *)__func__, __ATOMIC_RELAXED), (call))

/* Makes the compiler believe that the block is used, so that no allocation is optimized away and
 * the function that allocates cannot end in a jump to malloc. */
static inline void *use(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

static inline void *must(void *block)
{
    if (block == NULL) {
        fprintf(stderr, "victim: an allocation failed\n");
        abort();
    }
    return use(block);
}

/* One block of this site stays unreleased. */
static inline void leak(struct site *site, uint64_t bytes)
{
    __atomic_add_fetch(&site->count, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&site->bytes, bytes, __ATOMIC_RELAXED);
}

/* One block stays unreleased whose size only the C library knows, within bounds. */
static inline void leak_within(struct site *site, uint64_t least, uint64_t most)
{
    leak(site, least);
    __atomic_add_fetch(&site->bytes_most, most, __ATOMIC_RELAXED);
}

static inline const char *base_name(const char *path)
{
    const char *base = path;
    for (const char *at = path; *at != '\0'; at++) {
        if (*at == '/')
            base = at + 1;
    }
    return base;
}

/* Prints one element of the array "sites"; a site that was never reached is not printed. */
static inline void print_site(const struct site *site, const char *file, int *printed)
{
    if (site->function == NULL)
        return;
    printf("%s{\"function\": \"%s\", \"file\": \"%s\", \"line\": %d, \"count\": %llu, "
           "\"bytes\": %llu, \"bytes_most\": %llu}",
           (*printed)++ > 0 ? ", " : "", site->function, base_name(file), site->line,
           (unsigned long long)site->count, (unsigned long long)site->bytes,
           (unsigned long long)(site->bytes_most > 0 ? site->bytes_most : site->bytes));
}

static inline void print_sites(const struct site *sites, size_t count, const char *file)
{
    int printed = 0;
    printf("\"sites\": [");
    for (size_t i = 0; i < count; i++)
        print_site(&sites[i], file, &printed);
    printf("]");
}

#endif
