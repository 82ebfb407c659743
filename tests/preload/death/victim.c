/* Four threads allocate until the process dies: of its limit, of a crash, or of a signal. One of
 * them forgets what it takes. What it has forgotten is in a file that outlives it, as is the time.
 *
 * death TRUTH-FILE WAY MILLISECONDS BYTES: about so many bytes are forgotten in that time. WAY:
 * limit (until malloc fails, then a crash; or the kernel's killer comes before) or segv (a crash at
 * the end of the time). */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 1024u
#define SLOTS 64u

struct truth {
    _Atomic uint64_t forgotten; /* blocks */
    _Atomic uint64_t now_ns;    /* of the latest */
    _Atomic uint64_t failed;    /* malloc returned NULL */
};

static struct truth *truth;
static unsigned milliseconds;
static uint64_t bytes;
static int crashes;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void crash(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1; // NOLINT(clang-analyzer-core.NullDereference): that is the point
}

static void *use(void *p, size_t size)
{
    if (!p) {
        truth->failed = 1;
        crash();
    }
    return memset(p, 1, size);
}

static __attribute__((noinline)) void forget(void)
{
    void *volatile p = use(malloc(BLOCK), BLOCK);
    (void)p;
}

/* Evenly, a little at a time. */
static void *forgetter(void *unused)
{
    uint64_t start = now_ns();
    uint64_t span = (uint64_t)milliseconds * 1000000u;
    for (uint64_t now = start; !crashes || now - start < span; now = now_ns()) {
        uint64_t due = (now - start) / 1000 * (bytes / BLOCK) / (span / 1000);
        while (truth->forgotten < due) {
            forget();
            truth->forgotten++;
            truth->now_ns = now_ns();
        }
        struct timespec pause = {.tv_nsec = 500000};
        nanosleep(&pause, NULL);
    }
    crash();
    return unused;
}

static void *churner(void *seed)
{
    uint64_t state = (uint64_t)(uintptr_t)seed;
    void *slots[SLOTS] = {NULL};
    for (;;) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        unsigned slot = state >> 33 & (SLOTS - 1);
        free(slots[slot]);
        size_t size = 1 + (state >> 40) % 4000;
        slots[slot] = use(malloc(size), size);
        if ((state >> 52) % 64 == 0) {
            struct timespec pause = {.tv_nsec = 200000};
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, 4096) != 0)
        return 2;
    truth = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (truth == MAP_FAILED)
        return 2;
    crashes = strcmp(argv[2], "segv") == 0;
    milliseconds = (unsigned)strtoul(argv[3], NULL, 10);
    bytes = strtoull(argv[4], NULL, 10);
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++) {
        void *seed = (void *)(i * 7919 + 1); // NOLINT(performance-no-int-to-ptr)
        if (pthread_create(&threads[i], NULL, i ? churner : forgetter, seed) != 0)
            return 2;
    }
    pthread_join(threads[0], NULL);
    return 0;
}
