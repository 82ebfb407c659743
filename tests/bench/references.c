/*
 * The program that `scripts/bench references` measures: references taken and given back some 25
 * frames deep.
 *
 *   references bytes|object|buffer hold|life LIVE ROUNDS
 *
 * hold: a round retains one of LIVE buffers and releases it again, 2 events. life: a round makes a
 * buffer in the place of one of LIVE, retains it and releases it twice, 4 events. The chain is
 * real: nothing is inlined, every frame has another size and there are no frame pointers. Prints
 * one line of JSON: CPU time of the process over the timed rounds alone.
 */
#include <gst/gst.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

struct kind {
    const char *name;
    void *(*make)(void);
    void (*retain)(void *buffer);
    void (*release)(void *buffer);
};

struct lane {
    const struct kind *kind;
    void **live;
    size_t count;
    uint64_t random; /* xorshift state */
    uint64_t work;   /* so that a frame has something to do after its call */
    bool lives;      /* life, not hold */
};

static NOINLINE void *make_bytes(void)
{
    return g_bytes_new_static("body", 4);
}

static NOINLINE void retain_bytes(void *buffer)
{
    g_bytes_ref(buffer);
}

static NOINLINE void release_bytes(void *buffer)
{
    g_bytes_unref(buffer);
}

static NOINLINE void *make_object(void)
{
    return g_object_new(G_TYPE_OBJECT, NULL);
}

static NOINLINE void retain_object(void *buffer)
{
    g_object_ref(buffer);
}

static NOINLINE void release_object(void *buffer)
{
    g_object_unref(buffer);
}

static NOINLINE void *make_buffer(void)
{
    return gst_buffer_new();
}

static NOINLINE void retain_buffer(void *buffer)
{
    gst_mini_object_ref(buffer);
}

static NOINLINE void release_buffer(void *buffer)
{
    gst_mini_object_unref(buffer);
}

static const struct kind kinds[] = {
    {"bytes", make_bytes, retain_bytes, release_bytes},
    {"object", make_object, retain_object, release_object},
    {"buffer", make_buffer, retain_buffer, release_buffer},
};

static NOINLINE void level_0(struct lane *lane)
{
    const struct kind *kind = lane->kind;
    void **place = &lane->live[lane->random % lane->count];
    void *buffer = lane->lives ? kind->make() : *place;
    kind->retain(buffer);
    lane->work++;
    kind->release(buffer);
    lane->work++;
    if (lane->lives) {
        kind->release(*place);
        *place = buffer;
    }
}

/* One frame of the chain. The pad gives each its own size and, with its address taken, keeps the
 * call from becoming a jump. */
#define LEVEL(n, next_level)                                                                       \
    static NOINLINE void level_##n(struct lane *lane)                                              \
    {                                                                                              \
        char pad[16 + 16 * ((n)*5 % 7)];                                                           \
        __asm__ volatile("" : : "r"(pad) : "memory");                                              \
        next_level(lane);                                                                          \
        __asm__ volatile("" : : "r"(pad) : "memory");                                              \
        lane->work += (n);                                                                         \
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

static NOINLINE void step(struct lane *lane)
{
    lane->random ^= lane->random << 13;
    lane->random ^= lane->random >> 7;
    lane->random ^= lane->random << 17;
    level_19(lane);
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct kind *kind = argc == 5 ? find_kind(argv[1]) : NULL;
    if (kind == NULL) {
        fprintf(stderr, "usage: references bytes|object|buffer hold|life LIVE ROUNDS\n");
        return 2;
    }
    struct lane lane = {.kind = kind,
                        .count = strtoul(argv[3], NULL, 10),
                        .random = 0x9e3779b97f4a7c15u,
                        .lives = strcmp(argv[2], "life") == 0};
    uint64_t rounds = strtoull(argv[4], NULL, 10);
    gst_init(NULL, NULL);
    lane.live = calloc(lane.count, sizeof lane.live[0]);
    if (lane.count == 0 || lane.live == NULL)
        return 2;
    for (size_t i = 0; i < lane.count; i++)
        lane.live[i] = kind->make();
    uint64_t start = cpu_ns();
    for (uint64_t i = 0; i < rounds; i++)
        step(&lane);
    uint64_t taken = cpu_ns() - start;
    for (size_t i = 0; i < lane.count; i++)
        kind->release(lane.live[i]);
    unsigned long long per_round = lane.lives ? 4 : 2;
    printf("{\"cpu_ns\": %llu, \"events\": %llu}\n", (unsigned long long)taken, rounds * per_round);
    free(lane.live);
    return 0;
}
