/* The core from four threads at once. Under ThreadSanitizer this is the proof that it has no data
 * race; without it, that nothing is lost or counted twice. */
#include "shim_start.h"
#include "conf.h"
#include "regions.h"
#include "stacks.h"

#include <pthread.h>

#define THREADS 4u
#define KEYS    20000u

static pthread_barrier_t gate;

struct worker {
    pthread_t thread;
    uint32_t number;
    uint64_t seed;
    uint64_t births;
    uint64_t ends;
    int64_t bytes;
};

static void run_workers(struct worker *workers, void *(*routine)(void *))
{
    pthread_barrier_init(&gate, NULL, THREADS);
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i].number = i;
        workers[i].seed = i + 1;
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, routine, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&gate);
}

static void begin(void)
{
    bl_guard_enter_internal();
    bl_threads_enter(0);
    pthread_barrier_wait(&gate);
}

/* All threads on the same addresses: each end must be seen by exactly one of them. */
static void *churn_live(void *p)
{
    struct worker *w = p;
    begin();
    for (unsigned i = 0; i < scaled(100000); i++) {
        uint64_t random = next_random(&w->seed);
        struct bl_buffer b = {.address = 0x10000 + random % KEYS * 16,
                              .size_bytes = random >> 50,
                              .thread = bl_tls.thread->number};
        if (random >> 40 & 1) {
            bl_live_insert(&b);
            w->births++;
            w->bytes += (int64_t)b.size_bytes;
        } else if (bl_live_remove(b.address, &b)) {
            w->ends++;
            w->bytes -= (int64_t)b.size_bytes;
        }
    }
    return NULL;
}

START_TEST(four_threads_on_one_live_table_lose_and_double_nothing)
{
    static struct worker workers[THREADS];
    struct worker sum = {0};
    uint64_t count;
    uint64_t bytes;
    start_core();
    run_workers(workers, churn_live);
    for (unsigned i = 0; i < THREADS; i++) {
        sum.births += workers[i].births;
        sum.ends += workers[i].ends;
    }
    uint64_t replaced = loss(BL_LOSS_buffers_replaced);
    struct bl_counter c = counters_of(0);
    ck_assert_uint_eq(c.allocs, sum.births);
    ck_assert_uint_eq(c.frees, sum.ends + replaced);
    scan_live(0, &count, &bytes);
    ck_assert_uint_eq(count, c.allocs - c.frees);
    ck_assert_uint_eq(bytes, c.alloc_bytes - c.free_bytes);
}
END_TEST

static void *churn_arena(void *p)
{
    struct worker *w = p;
    struct {
        unsigned char *at;
        size_t size;
    } blocks[64] = {{0}};
    begin();
    for (unsigned i = 0; i < scaled(40000); i++) {
        uint64_t random = next_random(&w->seed);
        size_t k = random % 64;
        if (blocks[k].at && blocks[k].at[blocks[k].size - 1] != w->number)
            ck_abort_msg("a block belongs to two threads");
        bl_arena_free(blocks[k].at, blocks[k].size);
        blocks[k].size = 1 + (random >> 20) % 3000;
        blocks[k].at = bl_arena_alloc(blocks[k].size);
        memset(blocks[k].at, (int)w->number, blocks[k].size);
    }
    return NULL;
}

START_TEST(four_threads_on_one_arena_never_share_a_block)
{
    static struct worker workers[THREADS];
    start_core();
    run_workers(workers, churn_arena);
}
END_TEST

static void *intern_stacks(void *p)
{
    struct worker *w = p;
    begin();
    struct bl_thread_state *t = bl_tls.thread;
    for (unsigned i = 0; i < scaled(20000); i++) {
        uint64_t random = next_random(&w->seed) % 3000; /* the same stacks in every thread */
        struct bl_walk walk = {.hash = (random + 1) * 0x9E3779B97F4A7C15u,
                               .fresh = 1 + (uint32_t)random % 12};
        for (uint32_t k = 0; k < walk.fresh; k++)
            t->scratch[k].pc = (uint64_t)(uintptr_t)&intern_stacks + (random >> k) % 64;
        uint32_t stack = bl_stacks_intern(t, &walk, 64);
        if (!stack || stack >= bl_load_acquire(&bl_header->published[BL_SECTION_FRAMES]))
            ck_abort_msg("stack %u is not published", stack);
        if (i % 2000 == 0)
            bl_stacks_forget_hashes();
    }
    return NULL;
}

START_TEST(four_threads_intern_each_edge_once)
{
    static struct worker workers[THREADS];
    start_core();
    run_workers(workers, intern_stacks);
    uint64_t frames = bl_header->published[BL_SECTION_FRAMES];
    for (uint32_t a = 1; a < frames; a++) {
        const struct bl_frame *x = bl_ledger_at(BL_SECTION_FRAMES, a);
        const struct bl_frame *y = a + 1 < frames ? bl_ledger_at(BL_SECTION_FRAMES, a + 1) : NULL;
        ck_assert(x->parent < a);
        for (uint32_t b = a + 1; y && b < frames && b < a + 200; b++) {
            y = bl_ledger_at(BL_SECTION_FRAMES, b);
            if (x->parent == y->parent && x->module == y->module && x->offset == y->offset)
                ck_abort_msg("frames %u and %u are the same edge", a, b);
        }
    }
    ck_assert_uint_eq(loss(BL_LOSS_stacks_dropped), 0);
}
END_TEST

static void *add_names(void *p)
{
    struct worker *w = p;
    begin();
    for (unsigned i = 0; i < 5000; i++) {
        char text[64];
        int length = snprintf(text, sizeof text, "%u.%u", w->number, i);
        const struct bl_name *name = bl_ledger_at(BL_SECTION_NAMES, bl_names_add_str(text));
        if (name->length != (uint32_t)length || strcmp(name->text, text) != 0)
            ck_abort_msg("name %s became %s", text, name->text);
    }
    return NULL;
}

START_TEST(four_threads_name_things_without_overwriting_each_other)
{
    static struct worker workers[THREADS];
    start_core();
    run_workers(workers, add_names);
    ck_assert_uint_eq(loss(BL_LOSS_names_dropped), 0);
}
END_TEST

/* Each thread maps and unmaps its own pages, as the kernel would have it. */
static void *map_ranges(void *p)
{
    struct worker *w = p;
    begin();
    for (unsigned i = 0; i < scaled(5000); i++) {
        uint64_t random = next_random(&w->seed);
        uint64_t base = 0x7f0000000000u + ((uint64_t)w->number << 32);
        struct bl_buffer b = {.address = base + random % 256 * 4096,
                              .size_bytes = (1 + (random >> 20) % 8) * 4096,
                              .class_number = 1};
        if (random >> 40 & 1)
            bl_regions_add(&b);
        else
            bl_regions_remove(b.address, b.size_bytes);
    }
    bl_regions_remove(0x7f0000000000u + ((uint64_t)w->number << 32), 4096u * 300);
    return NULL;
}

START_TEST(four_threads_map_and_unmap_down_to_nothing)
{
    static struct worker workers[THREADS];
    uint64_t count;
    uint64_t bytes;
    start_core();
    run_workers(workers, map_ranges);
    scan_live(1, &count, &bytes);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

static void *come_and_go(void *p)
{
    bl_guard_enter_internal();
    bl_threads_enter(0);
    *(uint32_t *)p = bl_tls.thread->number;
    return NULL;
}

START_TEST(threads_that_come_and_go_reuse_memory_and_have_numbers_of_their_own)
{
    uint32_t numbers[200];
    start_core();
    uint64_t mapped = 0;
    for (unsigned i = 0; i < 200; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, come_and_go, &numbers[i]), 0);
        pthread_join(thread, NULL);
        if (i == 3)
            mapped = bl_arena_mapped_bytes();
    }
    ck_assert_uint_eq(bl_arena_mapped_bytes(), mapped);
    for (unsigned i = 0; i < 200; i++) {
        const struct bl_thread *t = bl_ledger_at(BL_SECTION_THREADS, numbers[i]);
        ck_assert_uint_ne(numbers[i], 0);
        ck_assert(i == 0 || numbers[i] != numbers[i - 1]);
        ck_assert_uint_eq(bl_load_acquire(&t->flags), BL_THREAD_ENDED);
    }
}
END_TEST

RUN_SUITE("shim threads", four_threads_on_one_live_table_lose_and_double_nothing,
          four_threads_on_one_arena_never_share_a_block, four_threads_intern_each_edge_once,
          four_threads_name_things_without_overwriting_each_other,
          four_threads_map_and_unmap_down_to_nothing,
          threads_that_come_and_go_reuse_memory_and_have_numbers_of_their_own)
