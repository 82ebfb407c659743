/*
 * The program that scripts/bench measures: malloc+free pairs some 25 frames deep.
 *
 * Each thread keeps its share of the live blocks in slots. A pair goes down a chain of distinct
 * functions, frees the block of one slot and puts a new one there, allocated by one of four leaf
 * functions. The chain is real: nothing is inlined, every frame has another size and there are no
 * frame pointers, because that is what a tracker meets in a gateway.
 *
 * Prints one line of JSON: CPU time of the whole process (all threads) over the timed pairs alone,
 * taken by the process itself so that neither its start nor another process of the tool counts,
 * and the memory it holds while all blocks live.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#if defined __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif
#define MAX_THREADS 64
#define MAX_FRAMES  128

struct lane {
    void **slots;
    size_t live;
    size_t next;      /* the slot of this pair */
    uint64_t random;  /* xorshift state */
    uint64_t pairs;   /* to do */
    uint64_t work;    /* so that a frame has something to do after its call */
    int frames;       /* depth of a leaf, taken once */
    bool take_frames; /* the next leaf notes its depth */
    bool in_order;    /* slots in a ring instead of at random */
};

static struct {
    size_t threads;
    size_t live;
    uint64_t pairs;
    bool ring;
} options = {1, 1000, 1000000, false};

static pthread_barrier_t gate;

static void note_frames(struct lane *lane)
{
    void *frames[MAX_FRAMES];
    lane->take_frames = false;
    lane->frames = backtrace(frames, MAX_FRAMES);
}

#define LEAF(name, size)                                                                           \
    static NOINLINE void *name(struct lane *lane)                                                  \
    {                                                                                              \
        char *block = malloc(size);                                                                \
        if (block == NULL)                                                                         \
            abort();                                                                               \
        block[0] = 1;                                                                              \
        lane->work += (size);                                                                      \
        if (lane->take_frames)                                                                     \
            note_frames(lane);                                                                     \
        return block;                                                                              \
    }

LEAF(leaf_header, 24)
LEAF(leaf_name, 72)
LEAF(leaf_request, 200)
LEAF(leaf_body, 520)

static void *(*const leaves[])(struct lane *) = {leaf_header, leaf_name, leaf_request, leaf_body};

static NOINLINE void drop(struct lane *lane)
{
    free(lane->slots[lane->next]);
    lane->slots[lane->next] = NULL;
    lane->work++;
}

static NOINLINE void *level_0(struct lane *lane)
{
    drop(lane);
    void *block = leaves[lane->random >> 62](lane);
    lane->work++;
    return block;
}

/* One frame of the chain. The pad gives each its own size and, with its address taken, keeps the
 * call from becoming a jump. */
#define LEVEL(n, next_level)                                                                       \
    static NOINLINE void *level_##n(struct lane *lane)                                             \
    {                                                                                              \
        char pad[16 + 16 * ((n)*5 % 7)];                                                           \
        __asm__ volatile("" : : "r"(pad) : "memory");                                              \
        void *block = next_level(lane);                                                            \
        __asm__ volatile("" : : "r"(pad) : "memory");                                              \
        lane->work += (n);                                                                         \
        return block;                                                                              \
    }

LEVEL(1, level_0)
LEVEL(2, level_1)
LEVEL(3, level_2)
LEVEL(4, level_3)
LEVEL(5, level_4)
LEVEL(6, level_5)
LEVEL(7, level_6)
LEVEL(8, level_7)
LEVEL(9, level_8)
LEVEL(10, level_9)
LEVEL(11, level_10)
LEVEL(12, level_11)
LEVEL(13, level_12)
LEVEL(14, level_13)
LEVEL(15, level_14)
LEVEL(16, level_15)
LEVEL(17, level_16)
LEVEL(18, level_17)
LEVEL(19, level_18)

static void step(struct lane *lane)
{
    lane->random ^= lane->random << 13;
    lane->random ^= lane->random >> 7;
    lane->random ^= lane->random << 17;
    if (!lane->in_order)
        lane->next = (size_t)(lane->random % lane->live);
    else if (++lane->next == lane->live)
        lane->next = 0;
    lane->slots[lane->next] = level_19(lane);
}

static void fill(struct lane *lane)
{
    bool in_order = lane->in_order;
    lane->in_order = true;
    lane->take_frames = true;
    for (size_t i = 0; i < lane->live; i++)
        step(lane);
    lane->in_order = in_order;
}

/* The gates: all blocks live, go, done. */
static void *run_lane(void *argument)
{
    struct lane *lane = argument;
    fill(lane);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    for (uint64_t i = 0; i < lane->pairs; i++)
        step(lane);
    pthread_barrier_wait(&gate);
    return NULL;
}

static uint64_t cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    uint64_t us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
                  (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return us * 1000u;
}

static uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* KiB of a line like "Anonymous:    1234 kB", -1 where there is none. */
static long rollup_kib(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line == NULL ? -1 : strtol(line + strlen(name), NULL, 10);
}

/* As text, without stdio buffers or the heap: what is measured must not change by measuring. */
static void read_rollup(char *text, size_t size)
{
    text[0] = '\0';
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    size_t used = 0;
    ssize_t got = 1;
    while (used < size - 1 && (got = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(fd);
}

static void usage_error(const char *what)
{
    fprintf(stderr, "pairs: %s\nusage: pairs THREADS LIVE PAIRS ring|random\n", what);
    exit(2);
}

static uint64_t parse_number(const char *text, uint64_t highest)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || value == 0 || value > highest)
        usage_error(text);
    return value;
}

static void parse_options(int argc, char **argv)
{
    if (argc != 5)
        usage_error("four arguments are wanted");
    options.threads = (size_t)parse_number(argv[1], MAX_THREADS);
    options.live = (size_t)parse_number(argv[2], 1u << 30);
    options.pairs = parse_number(argv[3], 1ull << 40);
    options.ring = strcmp(argv[4], "ring") == 0;
    if (!options.ring && strcmp(argv[4], "random") != 0)
        usage_error(argv[4]);
    if (options.live < options.threads)
        usage_error("fewer live blocks than threads");
}

static void init_lane(struct lane *lane, size_t number)
{
    lane->live = options.live / options.threads;
    lane->pairs = options.pairs / options.threads;
    lane->random = 0x9e3779b97f4a7c15u * (number + 1);
    lane->in_order = options.ring;
    lane->slots = calloc(lane->live, sizeof lane->slots[0]);
    if (lane->slots == NULL)
        abort();
}

static char rollup[8192];

struct times {
    uint64_t cpu_ns;
    uint64_t wall_ns;
};

static struct times times_now(void)
{
    struct times now = {cpu_ns(), wall_ns()};
    return now;
}

static struct times times_since(struct times start)
{
    struct times now = times_now();
    now.cpu_ns -= start.cpu_ns;
    now.wall_ns -= start.wall_ns;
    return now;
}

/* In the main thread and without any other: a tracker that starts a thread of its own takes
 * glibc's shortcuts for single-threaded processes away, and that is part of its cost. */
static struct times run_alone(struct lane *lane)
{
    fill(lane);
    read_rollup(rollup, sizeof rollup);
    struct times start = times_now();
    for (uint64_t i = 0; i < lane->pairs; i++)
        step(lane);
    return times_since(start);
}

static struct times run_threads(struct lane *lanes)
{
    pthread_t threads[MAX_THREADS];
    pthread_barrier_init(&gate, NULL, (unsigned)options.threads + 1);
    for (size_t i = 0; i < options.threads; i++) {
        if (pthread_create(&threads[i], NULL, run_lane, &lanes[i]) != 0)
            abort();
    }
    pthread_barrier_wait(&gate);
    read_rollup(rollup, sizeof rollup);
    struct times start = times_now();
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    struct times taken = times_since(start);
    for (size_t i = 0; i < options.threads; i++)
        pthread_join(threads[i], NULL);
    return taken;
}

int main(int argc, char **argv)
{
    static struct lane lanes[MAX_THREADS];

    parse_options(argc, argv);
    for (size_t i = 0; i < options.threads; i++)
        init_lane(&lanes[i], i);
    struct times taken = options.threads == 1 ? run_alone(&lanes[0]) : run_threads(lanes);
    uint64_t pairs = lanes[0].pairs * options.threads;
    printf("{\"cpu_ns\": %llu, \"wall_ns\": %llu, \"pairs\": %llu, \"frames\": %d, "
           "\"live\": %zu, \"rss_kib\": %ld, \"anonymous_kib\": %ld}\n",
           (unsigned long long)taken.cpu_ns, (unsigned long long)taken.wall_ns,
           (unsigned long long)pairs, lanes[0].frames, lanes[0].live * options.threads,
           rollup_kib(rollup, "Rss:"), rollup_kib(rollup, "Anonymous:"));
    return 0;
}
