/*
 * A program whose memory takes one shape over time. A turn stands for a second of a server's life
 * and takes one interval of the helper thread (TURN_US), so that hours pass in seconds. Nothing
 * else is scaled: the blocks are real, and whoever looks at the process sees no script.
 *
 * A turn begins at a random moment of its time, as a server's work does: one in step with the
 * helper would be seen at the same point of each turn.
 *
 *   growth_shapes SHAPE TURNS TURN_US SEED       plays it and exits with everything still held
 *   growth_shapes                                lists the shapes: name, trend of the heap, turns
 *                                                that it takes to show, and SITE=TREND ...
 *
 * Exits with 75 where it could not keep its time. What it needs for itself is static: its heap is
 * that of the shape.
 */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KIB       1024.0
#define MIB       1048576.0
#define SLOTS_MAX 65536

struct run {
    uint64_t random;
    size_t turns;
    size_t turn;
    double t; /* turn / turns */
    double noise;
    double level;
};

/* ---- chance ---- */

static double uniform(struct run *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (double)(r->random >> 11) / 9007199254740992.0;
}

static double normal(struct run *r)
{
    double u = uniform(r);
    return sqrt(-2 * log(u > 0 ? u : 1e-300)) * cos(6.283185307179586 * uniform(r));
}

/* What lives of traffic in flight: from turn to turn it keeps a part of how far it was off. */
static double traffic(struct run *r, double keep, double mean, double spread)
{
    if (r->noise == 0)
        r->noise = mean;
    r->noise = mean + keep * (r->noise - mean) + sqrt(1 - keep * keep) * spread * normal(r);
    return fmax(r->noise, 0);
}

/* ---- sites: each function is a place of its own that allocates ---- */

#define SITE(name)                                                                                 \
    __attribute__((noinline)) static void *name(size_t size)                                       \
    {                                                                                              \
        void *block = malloc(size);                                                                \
        if (!block)                                                                                \
            abort();                                                                               \
        memset(block, 1, size < 64 ? size : 64);                                                   \
        return block;                                                                              \
    }

SITE(forget_body)
SITE(read_body)
SITE(add_entry)
SITE(build_batch)
SITE(load_table)

typedef void *site_fn(size_t size);

/* Blocks that are held, the newest given back first unless an index is said. */
struct store {
    size_t count;
    void *blocks[SLOTS_MAX];
};

static struct store bodies;
static struct store entries;
static struct store batch;
static struct store forgotten;

static void put(struct store *store, site_fn *site, size_t size)
{
    if (store->count == SLOTS_MAX)
        abort();
    store->blocks[store->count++] = site(size);
}

static void drop(struct store *store, size_t at)
{
    free(store->blocks[at]);
    store->blocks[at] = store->blocks[--store->count];
}

/* Holds `bytes` in blocks of one size. */
static void hold(struct store *store, site_fn *site, size_t size, double bytes)
{
    size_t wanted = bytes > 0 ? (size_t)(bytes / (double)size + 0.5) : 0;
    while (store->count < wanted)
        put(store, site, size);
    while (store->count > wanted)
        drop(store, store->count - 1);
}

static void in_flight(double bytes)
{
    hold(&bodies, read_body, 4096, bytes);
}

/* Requests that come and go within the turn. */
static void serve(size_t requests)
{
    for (size_t i = 0; i < requests; i++)
        free(read_body(2048));
}

static void leak(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++)
        put(&forgotten, forget_body, size);
}

/* So many on average. */
static size_t some(struct run *r, double mean)
{
    double whole = floor(mean);
    return (size_t)whole + (uniform(r) < mean - whole);
}

static double by_day(const struct run *r, double days)
{
    return 1 + 0.95 * sin(6.283185307179586 * (r->t * days - 0.25)); /* begins at night */
}

/* ---- leaks ---- */

static void linear_leak(struct run *r)
{
    (void)r;
    serve(20);
    leak(2, 1024);
}

static void leak_under_noise(struct run *r)
{
    serve(20);
    leak(2, 1024);
    in_flight(traffic(r, 0.5, 4 * MIB, 2048.0 * (double)r->turns / 20));
}

static void leak_by_day(struct run *r)
{
    double load = by_day(r, 3);
    serve((size_t)(40 * load));
    leak(some(r, 4 * load), 512);
    in_flight(400 * KIB * load);
}

static void leak_by_many_days(struct run *r)
{
    double load = by_day(r, 8);
    serve((size_t)(40 * load));
    leak(some(r, 4 * load), 512);
    in_flight(MIB * load + traffic(r, 0.2, 100 * KIB, 10 * KIB));
}

static void leak_under_sawtooth(struct run *r)
{
    size_t period = r->turns / 15;
    leak(3, 1024);
    hold(&batch, build_batch, 8192, (double)(r->turn % period) / (double)period * 10 * MIB);
}

static void leak_under_irregular_sawtooth(struct run *r)
{
    leak(6, 1024);
    r->level += 200 * KIB * uniform(r);
    if (uniform(r) < 60.0 / (double)r->turns)
        r->level = 0;
    hold(&batch, build_batch, 8192, r->level);
}

static void leak_that_began_late(struct run *r)
{
    serve(20);
    if (r->t > 0.85)
        leak(8, 1024);
    in_flight(2 * MIB + traffic(r, 0.5, 100 * KIB, 20 * KIB));
}

static void leak_accelerates(struct run *r)
{
    serve(20);
    hold(&forgotten, forget_body, 1024, 3 * MIB * (exp(3 * r->t) - 1) / 19);
}

static void leak_one_in_many(struct run *r)
{
    serve(200);
    leak(some(r, 0.2), 4096);
}

/* 1 KiB a minute in a process that holds 1 GiB. */
static void slow_leak_in_a_gigabyte(struct run *r)
{
    if (r->turn == 0)
        hold(&entries, load_table, 1 << 20, 1024 * MIB);
    serve(20);
    in_flight(traffic(r, 0.5, 8 * MIB, MIB));
    if (r->turn % 60 == 30)
        leak(1, 1024);
}

static void leak_in_steps(struct run *r)
{
    size_t step = r->turn * 12 / r->turns;
    serve(20);
    hold(&forgotten, forget_body, 4096, MIB * (double)step);
    in_flight(traffic(r, 0.4, 50 * KIB, 10 * KIB));
}

static void leak_in_bursts(struct run *r)
{
    serve(20);
    if (uniform(r) < 0.08)
        leak((size_t)(50 * uniform(r)), 4096);
    in_flight(traffic(r, 0.6, 300 * KIB, 60 * KIB));
}

/* Least recently used go first. Keys as they come: some often, most seldom. */
static void lru(struct run *r, size_t bound, size_t requests)
{
    static size_t oldest;
    for (size_t i = 0; i < requests; i++) {
        if (entries.count < bound) {
            put(&entries, add_entry, 512 + (size_t)(1024 * uniform(r)));
        } else {
            free(entries.blocks[oldest]);
            entries.blocks[oldest] = add_entry(512 + (size_t)(1024 * uniform(r)));
            oldest = (oldest + 1) % bound;
        }
    }
}

static void leak_beside_a_full_cache(struct run *r)
{
    lru(r, 2000, 40);
    leak(2, 1024);
}

/* One buffer that is made larger, again and again. */
static void log_that_is_kept(struct run *r)
{
    static char *text;
    serve(20);
    text = realloc(text, 4096 + r->turn * 2048);
    if (!text)
        abort();
}

/* ---- more and more slowly ---- */

/* A cache without a bound, of keys drawn from a finite number. */
static void cache_of_finite_keys(struct run *r)
{
    static bool seen[4096];
    for (size_t i = 0; i < 4096 * 3 / r->turns + 1; i++) {
        size_t key = (size_t)(uniform(r) * 4096);
        if (!seen[key])
            put(&entries, add_entry, 2048);
        seen[key] = true;
        serve(1);
    }
}

static void log_growth(struct run *r)
{
    serve(20);
    hold(&entries, add_entry, 1024, MIB + 2 * MIB * log(1 + 1000 * r->t));
}

static void square_root_growth(struct run *r)
{
    serve(20);
    hold(&entries, add_entry, 1024, MIB + 20 * MIB * pow(r->t, 0.4));
}

/* ---- steady ---- */

static void lru_cache_that_filled(struct run *r)
{
    lru(r, (size_t)((double)r->turns * 40 * 0.3), 40);
}

static void lru_cache_that_filled_late(struct run *r)
{
    lru(r, (size_t)((double)r->turns * 40 * 0.6), 40);
}

static void cache_filled_exponentially(struct run *r)
{
    serve(20);
    hold(&entries, add_entry, 2048, 20 * MIB * (1 - exp(-12 * r->t)));
    in_flight(traffic(r, 0.5, 100 * KIB, 20 * KIB));
}

static void filled_then_idle(struct run *r)
{
    if (r->t < 0.25)
        put(&entries, add_entry, 4096);
}

static void warm_up_then_flat(struct run *r)
{
    serve(10);
    hold(&entries, load_table, 16384, 40 * MIB * fmin(1, r->t * 10));
    in_flight(traffic(r, 0.5, MIB, 100 * KIB));
}

static void constant(struct run *r)
{
    if (r->turn == 0)
        hold(&entries, load_table, 1024, 123 * KIB);
}

static void white_noise(struct run *r)
{
    serve(20);
    in_flight(fmax(0, 8 * MIB + MIB * normal(r)));
}

static void heavy_noise(struct run *r)
{
    serve(20);
    in_flight(fabs(6 * MIB + 3 * MIB * normal(r)));
}

static void slow_noise(struct run *r)
{
    serve(20);
    in_flight(traffic(r, 0.9, 8 * MIB, MIB));
}

static void requests_in_flight(struct run *r)
{
    size_t count = 0;
    for (int i = 0; i < 64; i++)
        count += uniform(r) < 0.3;
    serve(50);
    hold(&bodies, read_body, 16384, (double)count * 16384);
}

static void spikes(struct run *r)
{
    serve(20);
    double spike = uniform(r) < 0.02 ? 20 * MIB * uniform(r) : 0;
    in_flight(fmax(0, 6 * MIB + 100 * KIB * normal(r) + spike));
}

static void one_excursion(struct run *r)
{
    serve(20);
    hold(&batch, build_batch, 8192, 20 * MIB * fmax(0, 1 - fabs(r->t - 0.5) * 10));
    in_flight(4 * MIB + traffic(r, 0.5, 100 * KIB, 30 * KIB));
}

static void step_up(struct run *r)
{
    serve(20);
    hold(&entries, load_table, 16384, (r->t < 0.35 ? 10 : 30) * MIB);
    in_flight(traffic(r, 0.5, MIB, 100 * KIB));
}

static void steps_up_and_down(struct run *r)
{
    static const double levels[] = {10, 30, 20, 40, 15, 25, 25, 25};
    serve(20);
    hold(&entries, load_table, 16384, levels[(size_t)(r->t * 7.99)] * MIB);
    in_flight(traffic(r, 0.5, MIB, 100 * KIB));
}

/* A table that is made twice as large when it is full. */
static void pool_that_doubled(struct run *r)
{
    static char *table;
    static size_t size = 1 << 16;
    static const double ends[] = {0.02, 0.05, 0.11, 0.22, 0.43};
    serve(20);
    size_t wanted = 1 << 16;
    for (size_t i = 0; i < 5; i++)
        wanted *= r->t > ends[i] ? 2 : 1;
    if (table && wanted == size)
        return;
    size = wanted;
    table = realloc(table, size);
    if (!table)
        abort();
}

/* Sizes from 16 bytes to 16 KiB, lives of all lengths: holes everywhere. */
static void fragmenting(struct run *r)
{
    for (size_t i = 0; i < (r->turn == 0 ? 4000 : 100); i++) {
        if (bodies.count >= 1000 || (bodies.count > 0 && uniform(r) < 0.1))
            drop(&bodies, (size_t)(uniform(r) * (double)bodies.count));
        put(&bodies, read_body, (size_t)(16 * pow(1024, uniform(r))));
    }
}

struct cache_of_thread {
    pthread_t thread;
    struct run run;
    void *blocks[64];
};

static void *fill_cache(void *argument)
{
    struct cache_of_thread *cache = argument;
    for (size_t i = 0; i < 64; i++)
        cache->blocks[i] = cache->blocks[i] ? cache->blocks[i] : add_entry(1024);
    return NULL;
}

/* Threads that come one after the other until their number is reached, each with a cache. */
static void caches_of_threads(struct run *r)
{
    static struct cache_of_thread caches[16];
    size_t at = r->turn * 80 / r->turns;
    serve(20);
    if (r->turn % (r->turns / 80 ? r->turns / 80 : 1) == 0) {
        struct cache_of_thread *cache = &caches[at % 16];
        if (pthread_create(&cache->thread, NULL, fill_cache, cache) != 0)
            abort();
        pthread_join(cache->thread, NULL);
    }
}

static void drained(struct run *r)
{
    serve(10);
    hold(&entries, load_table, 8192, 2 * MIB + 20 * MIB * fmax(0, 1 - 5 * r->t));
    in_flight(traffic(r, 0.4, 300 * KIB, 60 * KIB));
}

/* ---- up and down ---- */

static void sawtooth(struct run *r)
{
    size_t period = r->turns / 12;
    hold(&batch, build_batch, 8192, (double)(r->turn % period) / (double)period * 10 * MIB);
    in_flight(traffic(r, 0.3, 200 * KIB, 20 * KIB));
}

static void quick_sawtooth(struct run *r)
{
    hold(&batch, build_batch, 8192, (double)(r->turn % 17) / 17 * 10 * MIB);
}

static void irregular_sawtooth(struct run *r)
{
    r->level += 200 * KIB * uniform(r);
    if (r->level > 12 * MIB || uniform(r) < 10.0 / (double)r->turns)
        r->level = 8192; /* so that the place has something at the end */
    hold(&batch, build_batch, 8192, r->level);
}

static void day_and_night(struct run *r)
{
    double load = by_day(r, 6);
    serve((size_t)(50 * load));
    in_flight(5 * MIB * load + traffic(r, 0.2, 200 * KIB, 30 * KIB));
}

/* ---- down ---- */

static void draining(struct run *r)
{
    serve(10);
    hold(&entries, load_table, 8192, 2 * MIB + 40 * MIB * (1 - r->t));
    in_flight(traffic(r, 0.4, 300 * KIB, 60 * KIB));
}

static void decaying(struct run *r)
{
    serve(10);
    hold(&entries, load_table, 4096, 2 * MIB + 40 * MIB * exp(-2 * r->t));
}

/* ---- the script ---- */

#define LATE_MAX  20 /* one in so many of all turns: later than that it is another shape */
#define EXIT_LATE 75

struct shape {
    const char *name;
    void (*turn)(struct run *r);
    const char *trend;
    size_t turns;
    const char *sites;
};

static const struct shape shapes[] = {
    {"linear_leak", linear_leak, "growing", 300, "forget_body=growing"},
    {"leak_under_noise", leak_under_noise, "growing", 400, "forget_body=growing"},
    {"leak_by_day", leak_by_day, "growing", 500, "forget_body=growing"},
    {"leak_by_many_days", leak_by_many_days, "growing", 500,
     "forget_body=growing read_body=sawtooth"},
    {"leak_under_sawtooth", leak_under_sawtooth, "growing", 500,
     "forget_body=growing build_batch=sawtooth"},
    {"leak_under_irregular_sawtooth", leak_under_irregular_sawtooth, "growing", 1000,
     "forget_body=growing"},
    {"leak_that_began_late", leak_that_began_late, "growing", 1000, "forget_body=growing"},
    {"leak_accelerates", leak_accelerates, "growing", 300, "forget_body=growing"},
    {"leak_one_in_many", leak_one_in_many, "growing", 400, "forget_body=growing"},
    {"slow_leak_in_a_gigabyte", slow_leak_in_a_gigabyte, "growing", 1200,
     "forget_body=growing load_table=steady"},
    {"leak_in_steps", leak_in_steps, "growing", 400, "forget_body=growing"},
    {"leak_in_bursts", leak_in_bursts, "growing", 600, "forget_body=growing"},
    {"leak_beside_a_full_cache", leak_beside_a_full_cache, "growing", 500,
     "forget_body=growing add_entry=steady"},
    {"log_that_is_kept", log_that_is_kept, "growing", 300, "log_that_is_kept=growing"},
    {"cache_of_finite_keys", cache_of_finite_keys, "saturating", 400, "add_entry=saturating"},
    {"log_growth", log_growth, "saturating", 400, "add_entry=saturating"},
    {"square_root_growth", square_root_growth, "saturating", 400, "add_entry=saturating"},
    {"lru_cache_that_filled", lru_cache_that_filled, "steady", 300, "add_entry=steady"},
    {"lru_cache_that_filled_late", lru_cache_that_filled_late, "steady", 400, "add_entry=steady"},
    {"cache_filled_exponentially", cache_filled_exponentially, "steady", 400, "add_entry=steady"},
    {"filled_then_idle", filled_then_idle, "steady", 300, "add_entry=steady"},
    {"warm_up_then_flat", warm_up_then_flat, "steady", 300, "load_table=steady"},
    {"constant", constant, "steady", 200, "load_table=steady"},
    {"white_noise", white_noise, "steady", 300, "read_body=steady"},
    {"heavy_noise", heavy_noise, "steady", 300, "read_body=steady"},
    {"slow_noise", slow_noise, "steady sawtooth", 400, ""},
    {"requests_in_flight", requests_in_flight, "steady", 300, ""},
    {"spikes", spikes, "steady", 300, ""},
    {"one_excursion", one_excursion, "steady", 400, ""},
    {"step_up", step_up, "steady", 300, "load_table=steady"},
    {"steps_up_and_down", steps_up_and_down, "steady", 400, "load_table=steady"},
    {"pool_that_doubled", pool_that_doubled, "steady", 400, "pool_that_doubled=steady"},
    {"fragmenting", fragmenting, "steady", 300, ""},
    {"caches_of_threads", caches_of_threads, "steady", 400, "add_entry=steady"},
    {"drained", drained, "steady", 400, ""},
    {"sawtooth", sawtooth, "sawtooth", 500, "build_batch=sawtooth"},
    {"quick_sawtooth", quick_sawtooth, "sawtooth", 400, "build_batch=sawtooth"},
    {"irregular_sawtooth", irregular_sawtooth, "sawtooth", 1000, "build_batch=sawtooth"},
    {"day_and_night", day_and_night, "sawtooth", 500, ""},
    {"draining", draining, "shrinking", 300, "load_table=shrinking"},
    {"decaying", decaying, "shrinking", 400, "load_table=shrinking"},
    {"too_short", linear_leak, "unknown", 15, ""},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* False: the machine was too busy for the script. */
static bool play(const struct shape *shape, struct run *run, uint64_t turn_ns)
{
    struct timespec due;
    uint64_t start_ns = now_ns();
    uint64_t latest_ns = 0;
    uint64_t late_ns = 0; /* in sum: each turn may be late by a little, and then none is in time */
    for (; run->turn < run->turns; run->turn++) {
        double at = (double)run->turn + 1 + uniform(run);
        run->t = (double)run->turn / (double)run->turns;
        shape->turn(run);
        uint64_t due_ns = start_ns + (uint64_t)((double)turn_ns * at);
        due.tv_sec = (time_t)(due_ns / 1000000000u);
        due.tv_nsec = (long)(due_ns % 1000000000u);
        uint64_t done_ns = now_ns();
        if (done_ns > due_ns && done_ns - due_ns > latest_ns)
            latest_ns = done_ns - due_ns;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        done_ns = now_ns();
        late_ns += done_ns > due_ns ? done_ns - due_ns : 0;
    }
    return latest_ns * LATE_MAX < turn_ns * run->turns && late_ns * 2 < turn_ns * run->turns;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 1 && i < SHAPES; i++)
        printf("%s|%s|%zu|%s\n", shapes[i].name, shapes[i].trend, shapes[i].turns, shapes[i].sites);
    for (size_t i = 0; argc == 5 && i < SHAPES; i++) {
        if (strcmp(argv[1], shapes[i].name) != 0)
            continue;
        struct run run = {.turns = strtoul(argv[2], NULL, 10),
                          .random = strtoull(argv[4], NULL, 10) * 0x9e3779b97f4a7c15ull + 1};
        return play(&shapes[i], &run, strtoull(argv[3], NULL, 10) * 1000) ? 0 : EXIT_LATE;
    }
    return argc == 1 ? 0 : 2;
}
