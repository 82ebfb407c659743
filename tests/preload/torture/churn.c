/*
 * Allocates in four threads and keeps its own book of it in a shared page, so that the book
 * outlives a kill: churn BOOK. Starts at the word `go`, never ends by itself.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 4
#define SLOTS   600

struct account {
    int64_t count;
    int64_t bytes;
    int64_t pending; /* bytes of the largest block of the operation in flight; -1 = none */
    int64_t operations;
    char padding[32];
};

struct book {
    uint32_t go;
    uint32_t ready;
    char padding[56];
    struct account accounts[THREADS];
};

static struct book *book;

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void enter(struct account *a, size_t size)
{
    __atomic_store_n(&a->pending, (int64_t)size, __ATOMIC_SEQ_CST);
}

static void settle(struct account *a, int64_t count, int64_t bytes)
{
    __atomic_store_n(&a->count, a->count + count, __ATOMIC_SEQ_CST);
    __atomic_store_n(&a->bytes, a->bytes + bytes, __ATOMIC_SEQ_CST);
    a->operations++;
    __atomic_store_n(&a->pending, -1, __ATOMIC_SEQ_CST);
}

struct slot {
    void *block;
    size_t size;
};

static __attribute__((noinline)) void take(struct account *a, struct slot *s, size_t size)
{
    enter(a, size);
    s->block = size & 1 ? malloc(size) : calloc(1, size);
    s->size = size;
    settle(a, 1, (int64_t)size);
}

static __attribute__((noinline)) void change(struct account *a, struct slot *s, size_t size)
{
    enter(a, size > s->size ? size : s->size);
    s->block = realloc(s->block, size);
    settle(a, 0, (int64_t)size - (int64_t)s->size);
    s->size = size;
}

static __attribute__((noinline)) void give(struct account *a, struct slot *s)
{
    enter(a, s->size);
    free(s->block);
    s->block = NULL;
    settle(a, -1, -(int64_t)s->size);
}

static void *work(void *number)
{
    static struct slot slots[THREADS][SLOTS];
    uintptr_t n = (uintptr_t)number;
    struct account *a = &book->accounts[n];
    uint64_t seed = n + 1;
    __atomic_add_fetch(&book->ready, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&book->go, __ATOMIC_SEQ_CST))
        sched_yield();
    for (;;) {
        uint64_t random = next_random(&seed);
        struct slot *s = &slots[n][random % SLOTS];
        size_t size = 1 + (random >> 20) % 3000;
        if (!s->block)
            take(a, s, size);
        else if (random >> 60 & 1)
            change(a, s, size);
        else
            give(a, s);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
    if (fd < 0)
        return 2;
    book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (book == MAP_FAILED)
        return 2;
    for (unsigned i = 0; i < THREADS; i++)
        book->accounts[i].pending = -1;
    pthread_t thread;
    for (uintptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&thread, NULL, work, (void *)i))
            return 3;
    }
    while (__atomic_load_n(&book->ready, __ATOMIC_SEQ_CST) < THREADS)
        sched_yield();
    if (write(1, "ready\n", 6) != 6)
        return 4;
    pthread_join(thread, NULL);
    return 0;
}
