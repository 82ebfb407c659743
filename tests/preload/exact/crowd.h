/*
 * The crowd: a million blocks by four threads, of which ten thousand are left unreleased.
 *
 * Every hundredth block of a thread stays; of the others a third is freed at once, a third after
 * the thread made sixteen others, and a third by whichever thread next comes past the mailbox it
 * was put in. The language-specific part is how blocks are made and ended: make_block and
 * end_block, by kind, from two different callers.
 */
#ifndef CROWD_H
#define CROWD_H

#include <pthread.h>

#include "victim.h"

#define CROWD_THREADS   4
#define CROWD_BLOCKS    250000u /* of each thread */
#define CROWD_EVERY     100u    /* one of so many stays */
#define CROWD_MAILBOXES 61u
#define CROWD_DELAY     16u

/* First bytes of every block. A kind is never 0, so that a string can hold it. */
struct block {
    unsigned char kind;
};

/* Given by the victim. make_block notes the site, not the leak. */
static struct block *make_block(unsigned kind, size_t size);
static void end_block(struct block *block);
static void note_leak(unsigned kind, size_t size);

struct path {
    const char *function;
    uint64_t count;
    uint64_t bytes;
};

static struct path paths[2];
static struct block *mailboxes[CROWD_MAILBOXES];
static unsigned crowd_kinds;

static NOINLINE struct block *path_left(unsigned kind, size_t size)
{
    __atomic_store_n(&paths[1].function, (const char *)__func__, __ATOMIC_RELAXED);
    struct block *block = make_block(kind, size);
    return (struct block *)use(block);
}

static NOINLINE struct block *path_right(unsigned kind, size_t size)
{
    __atomic_store_n(&paths[0].function, (const char *)__func__, __ATOMIC_RELAXED);
    struct block *block = make_block(kind, size);
    return (struct block *)use(block);
}

/* Changes from one block that stays to the next. */
static unsigned path_of(unsigned number)
{
    return number / CROWD_EVERY % 2;
}

static size_t size_of(unsigned thread, unsigned number)
{
    return 32 + (number * 7919u + thread * 104729u) % 480;
}

/* The mailbox's old content is some thread's block, freed here. */
static void hand_over(struct block *block, unsigned number)
{
    struct block *old =
        __atomic_exchange_n(&mailboxes[number % CROWD_MAILBOXES], block, __ATOMIC_ACQ_REL);
    if (old != NULL)
        end_block(old);
}

static void keep_for_ever(unsigned kind, unsigned number, size_t size)
{
    note_leak(kind, size);
    __atomic_add_fetch(&paths[path_of(number)].count, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&paths[path_of(number)].bytes, size, __ATOMIC_RELAXED);
}

static void *run_crowd_thread(void *argument)
{
    unsigned thread = (unsigned)(uintptr_t)argument;
    struct block *delayed[CROWD_DELAY] = {NULL};

    for (unsigned number = 0; number < CROWD_BLOCKS; number++) {
        unsigned kind = 1 + number % crowd_kinds;
        size_t size = size_of(thread, number);
        struct block *block = path_of(number) ? path_left(kind, size) : path_right(kind, size);
        struct block **slot = &delayed[number % CROWD_DELAY];
        if (number % CROWD_EVERY == 37) {
            keep_for_ever(kind, number, size);
        } else if (number % 3 == 0) {
            end_block(block);
        } else if (number % 3 == 1) {
            if (*slot != NULL)
                end_block(*slot);
            *slot = block;
        } else {
            hand_over(block, number);
        }
    }
    for (unsigned i = 0; i < CROWD_DELAY; i++) {
        if (delayed[i] != NULL)
            end_block(delayed[i]);
    }
    return NULL;
}

static void run_crowd(unsigned kinds)
{
    pthread_t threads[CROWD_THREADS];
    crowd_kinds = kinds;
    for (uintptr_t i = 0; i < CROWD_THREADS; i++) {
        if (pthread_create(&threads[i], NULL, run_crowd_thread, (void *)i) != 0)
            abort();
    }
    for (unsigned i = 0; i < CROWD_THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < CROWD_MAILBOXES; i++)
        hand_over(NULL, i);
}

static void print_crowd(const struct site *sites, size_t count, const char *file)
{
    printf("{\"allocs\": %u, ", CROWD_THREADS * CROWD_BLOCKS);
    print_sites(sites, count, file);
    printf(", \"paths\": [");
    for (int i = 0; i < 2; i++)
        printf("%s{\"function\": \"%s\", \"count\": %llu, \"bytes\": %llu}", i > 0 ? ", " : "",
               paths[i].function, (unsigned long long)paths[i].count,
               (unsigned long long)paths[i].bytes);
    printf("]}\n");
}

#endif
