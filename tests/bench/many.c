/*
 * Many live buffers by many stacks, and a thread that feels every pause.
 *
 *   many BUFFERS STACKS [LOAD_THREADS [plain]]
 *
 * Allocates, prints "ready PID", and obeys lines on stdin: "gap" prints how long the slowest pair
 * of malloc and free took since the last "gap", in microseconds, and how many there were; "cpu"
 * prints the processor time used so far, in nanoseconds, and the pairs of all load threads; end of
 * input ends it. The feeling thread asks for real-time priority, so that what it feels is not the
 * scheduler; with "plain" it does not. Load threads do pairs without end.
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEVELS      17
#define BEAT_NS     200000
#define THREADS_MAX 64

static bool is_plain;
static uint64_t slowest_ns;
static uint64_t beats;
static uint64_t pairs[THREADS_MAX * 8]; /* a cache line each */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Each path is a stack of its own: bit by bit of `path`, by one of two calls. */
__attribute__((noinline)) static void *allocate(unsigned path, unsigned level)
{
    void *block;
    if (level == 0) {
        block = malloc(100);
        if (block)
            memset(block, 1, 16);
    } else if (path & 1) {
        block = allocate(path >> 1, level - 1);
    } else {
        block = allocate(path >> 1, level - 1);
        __asm__ volatile("" ::: "memory");
    }
    __asm__ volatile("" ::: "memory");
    return block;
}

static void *feel(void *unused)
{
    struct sched_param priority = {.sched_priority = 1};
    (void)unused;
    if (!is_plain)
        pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority); /* else as it is */
    for (;;) {
        struct timespec beat = {.tv_nsec = BEAT_NS};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &beat, NULL);
        uint64_t before = clock_ns(CLOCK_MONOTONIC);
        free(allocate(1, 1));
        uint64_t took = clock_ns(CLOCK_MONOTONIC) - before;
        if (took > __atomic_load_n(&slowest_ns, __ATOMIC_RELAXED))
            __atomic_store_n(&slowest_ns, took, __ATOMIC_RELAXED);
        __atomic_fetch_add(&beats, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *load(void *argument)
{
    uint64_t *count = argument;
    for (unsigned i = 0;; i++) {
        free(allocate(i & 15, 8));
        __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void obey(const char *line)
{
    if (strcmp(line, "gap\n") == 0) {
        uint64_t ns = __atomic_exchange_n(&slowest_ns, 0, __ATOMIC_RELAXED);
        uint64_t count = __atomic_exchange_n(&beats, 0, __ATOMIC_RELAXED);
        printf("%llu %llu\n", (unsigned long long)ns / 1000, (unsigned long long)count);
    } else if (strcmp(line, "cpu\n") == 0) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < THREADS_MAX; i++)
            sum += __atomic_load_n(&pairs[i * 8ul], __ATOMIC_RELAXED);
        printf("%llu %llu\n", (unsigned long long)clock_ns(CLOCK_PROCESS_CPUTIME_ID),
               (unsigned long long)sum);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[64];
    pthread_t thread;
    if (argc < 3)
        return 2;
    unsigned buffers = (unsigned)strtoul(argv[1], NULL, 10);
    unsigned stacks = (unsigned)strtoul(argv[2], NULL, 10);
    unsigned threads = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    is_plain = argc > 4 && strcmp(argv[4], "plain") == 0;
    for (unsigned i = 0; i < buffers; i++)
        if (!allocate(i % stacks, LEVELS)) /* kept by nobody */
            return 1;
    if (threads == 0 && pthread_create(&thread, NULL, feel, NULL) != 0)
        return 1;
    for (unsigned i = 0; i < threads && i < THREADS_MAX; i++)
        if (pthread_create(&thread, NULL, load, &pairs[i * 8ul]) != 0)
            return 1;
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        obey(line);
    return 0;
}
