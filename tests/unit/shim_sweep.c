/* A long life in short: ever new stacks through a table that stays bounded, while every record goes
 * on to name the stack it was made with. BL_TEST_LONG=1: a thousand million operations. */
#include "shim_start.h"

#include "conf.h"
#include "frees.h"
#include "references.h"
#include "sites.h"
#include "stacks.h"
#include "sweep.h"
#include "thread_numbers.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACKS    (1u << 20) /* distinct ones */
#define WINDOW    512u       /* of which so many are passed at a time */
#define DEPTH     6u
#define SLOTS     4096u /* buffers that may live */
#define SWEEP_MIN 20000u
#define SECOND    1000000000ull

static int widget;
static uint64_t base_offset;
static uint32_t base_module;

/* An address of this program for frame i of stack s: what it is tells i and some bits of s. */
static uint64_t place(uint32_t s, uint32_t i)
{
    const uint32_t at[DEPTH] = {s & 32767,      32768 + (s >> 5), 2 + (s >> 10),
                                16 + (s >> 15), 3 + (s >> 17),    1};
    return at[i];
}

static uint64_t pc_of(uint32_t s, uint32_t i)
{
    return (uint64_t)(uintptr_t)&place + place(s, i);
}

/* As capture does: the epoch is part of the hash. */
static struct bl_walk make_walk(struct bl_thread_state *t, uint32_t s)
{
    struct bl_walk w = {.fresh = DEPTH};
    uint64_t h = 0x9e3779b97f4a7c15u * (1 + bl_load_relaxed(&bl_modules_epoch));
    for (uint32_t i = DEPTH; i-- > 0;) {
        uint64_t pc = pc_of(s, i);
        t->scratch[i] = (struct bl_scratch_frame){.pc = pc};
        h = (h ^ pc) * 0xff51afd7ed558ccdu;
        h ^= h >> 31;
    }
    w.hash = h;
    return w;
}

static uint32_t intern(uint32_t s)
{
    struct bl_thread_state *t = bl_threads_current();
    struct bl_walk w = make_walk(t, s);
    return bl_stacks_intern(t, &w, BL_DEPTH_MAX);
}

/* Which stack a number stands for, from the trie alone. UINT32_MAX: for none that was ever passed.
 */
static uint32_t stack_of(uint32_t number)
{
    uint64_t at[DEPTH];
    uint32_t n = number;
    for (uint32_t i = 0; i < DEPTH; i++) {
        if (n == 0 || n >= bl_header->published[BL_SECTION_FRAMES])
            return UINT32_MAX;
        const struct bl_frame *f = bl_ledger_at(BL_SECTION_FRAMES, n);
        if ((f->module & BL_FRAME_MODULE_MASK) != base_module || f->parent >= n)
            return UINT32_MAX;
        at[i] = f->offset - base_offset;
        n = f->parent;
    }
    uint32_t s = (uint32_t)((at[1] - 32768) << 5 | (at[0] & 31));
    for (uint32_t i = 0; i < DEPTH; i++) {
        if (at[i] != place(s, i))
            return UINT32_MAX;
    }
    return n == 0 ? s : UINT32_MAX;
}

static void start(void)
{
    start_core();
    bl_refs_reset();
    widget = bl_live_add_class("widget");
    bl_refs_set_policy((uint8_t)widget, (struct bl_ref_policy){.zero_is_end = true});
    struct bl_location where = bl_modules_locate((uint64_t)(uintptr_t)&place);
    base_module = where.module;
    base_offset = where.offset;
    bl_stacks_set_sweep_min(SWEEP_MIN);
    bl_guard_enter();
}

/* ---- what lives ---- */

struct slot {
    uint32_t s;
    bool alive;
};

struct life {
    struct slot slots[SLOTS];
    uint64_t first; /* address of the first */
    uint64_t random;
    uint64_t work;
    uint64_t ops;
};

static uint64_t address_of(const struct life *life, uint32_t i)
{
    return life->first + i * 64ull;
}

static void be_born(struct life *life, uint32_t i, uint32_t s)
{
    struct bl_thread_state *t = bl_threads_current();
    struct bl_walk w = make_walk(t, s);
    struct bl_buffer b = {.address = address_of(life, i), .size_bytes = 100, .birth_ns = life->ops};
    b.stack = bl_stacks_intern_birth(t, &w, BL_DEPTH_MAX, &b.watched);
    bl_live_insert(&b);
    life->slots[i] = (struct slot){.s = s, .alive = true};
}

static void end(struct life *life, uint32_t i, uint32_t s)
{
    struct bl_buffer b;
    if (bl_live_end(address_of(life, i), &b) & BL_REMOVED_WATCHED)
        bl_frees_add(&b, intern(s), BL_OP_END, life->ops);
    life->slots[i].alive = false;
}

/* A counted buffer: born, taken twice, given back; some only when their place is wanted again. */
static void count_references(struct life *life, uint32_t s)
{
    uint64_t handle = life->first + SLOTS * 64ull + life->ops % 1024 * 64;
    struct bl_ref_event e = {.handle = handle,
                             .time_ns = life->ops,
                             .stack = intern(s),
                             .thread = 1,
                             .delta = 1,
                             .class_number = (uint8_t)widget};
    if (bl_refs_known(handle, (uint8_t)widget)) {
        e.delta = -1;
        bl_refs_release(&e);
        return;
    }
    bl_refs_birth(&e, &(struct bl_ref_birth){.size = 10});
    e.stack = intern(s ^ 1);
    bl_refs_retain(&e);
    e.delta = -1;
    e.stack = intern(s ^ 2);
    bl_refs_release(&e);
    if (next_random(&life->random) % 512 != 0)
        bl_refs_release(&e);
}

/* The window moves on by one stack in so many operations. */
static void operate(struct life *life, uint64_t stay)
{
    uint64_t random = next_random(&life->random);
    uint32_t s = (uint32_t)((life->ops / stay + random % WINDOW) % STACKS);
    uint32_t i = (uint32_t)(random >> 20) % SLOTS;
    /* one in 64 stays much longer */
    if (!life->slots[i].alive)
        be_born(life, i, s);
    else if (i % 64 != 0 || random >> 40 & 1)
        end(life, i, s);
    if (life->ops % 16 == 0)
        count_references(life, s);
    life->ops++;
}

static void check_live(const struct life *life)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct bl_buffer b;
        bool found = bl_live_find(address_of(life, i), &b);
        if (found != life->slots[i].alive)
            ck_abort_msg("buffer %u is %srecorded", i, found ? "" : "not ");
        if (found && stack_of(b.stack) != life->slots[i].s)
            ck_abort_msg("buffer %u has another stack", i);
    }
}

static void check_number(uint32_t number, const char *of)
{
    if (stack_of(number) == UINT32_MAX)
        ck_abort_msg("%s names frame %u, which is none of its stack", of, number);
}

static void check_records(void)
{
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_FREE_PATHS]; n++) {
        const struct bl_free_path *p = bl_ledger_at(BL_SECTION_FREE_PATHS, n);
        if (p->count) {
            check_number(p->alloc_stack, "a free path");
            check_number(p->free_stack, "a free path");
        }
    }
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_LIFECYCLES]; n++) {
        const struct bl_lifecycle *c = bl_ledger_at(BL_SECTION_LIFECYCLES, n);
        if (c->count == 0)
            continue;
        check_number(c->alloc_stack, "a lifecycle");
        for (uint32_t e = c->events; e;) {
            const struct bl_event *event = bl_ledger_at(BL_SECTION_EVENTS, e);
            check_number(event->stack, "a lifecycle's event");
            e = event->next;
        }
    }
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_OBJECTS]; n++) {
        const struct bl_object *o = bl_ledger_at(BL_SECTION_OBJECTS, n);
        if (o->word & BL_LIVE_BIT)
            check_number(o->stack, "an object");
    }
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_SERIES]; n++) {
        const struct bl_series *series = bl_ledger_at(BL_SECTION_SERIES, n);
        if (series->kind == BL_SERIES_SITE)
            check_number(series->stack, "a site");
    }
}

static uint32_t count_used(enum bl_section s)
{
    uint32_t count = 0;
    for (uint32_t n = 1; n < bl_header->published[s]; n++) {
        const void *at = bl_ledger_at(s, n);
        if (s == BL_SECTION_LIFECYCLES)
            count += ((const struct bl_lifecycle *)at)->count > 0;
        else if (s == BL_SECTION_FREE_PATHS)
            count += ((const struct bl_free_path *)at)->count > 0;
        else if (((const struct bl_series *)at)->kind == BL_SERIES_SITE)
            count += ((const struct bl_series *)at)->until_ns == 0;
    }
    return count;
}

/* Each table is full, has let go of what is least, and has said so. */
static void check_tables(void)
{
    ck_assert_uint_eq(count_used(BL_SECTION_LIFECYCLES), (1u << 14) - 1);
    ck_assert_uint_gt(loss(BL_LOSS_lifecycles_dropped), 4096);
    ck_assert_uint_eq(count_used(BL_SECTION_FREE_PATHS), BL_FREES_MAX - 1);
    ck_assert_uint_gt(loss(BL_LOSS_free_paths_dropped), 4096);
    ck_assert_uint_le(count_used(BL_SECTION_SERIES), BL_SITES_FOLLOWED);
    ck_assert_uint_gt(count_used(BL_SECTION_SERIES), BL_SITES_FOLLOWED / 2);
    ck_assert_uint_le(bl_header->published[BL_SECTION_SERIES], BL_SERIES_MAX);
    ck_assert_uint_le(bl_header->published[BL_SECTION_SAMPLES], BL_SAMPLE_BLOCKS_MAX);
    printf("# lifecycles, paths of frees, sites dropped: %llu, %llu, %llu\n",
           (unsigned long long)loss(BL_LOSS_lifecycles_dropped),
           (unsigned long long)loss(BL_LOSS_free_paths_dropped),
           (unsigned long long)loss(BL_LOSS_sites_dropped));
}

static struct life *make_life(uint64_t number)
{
    struct life *life = calloc(1, sizeof *life);
    ck_assert_ptr_nonnull(life);
    life->first = 0x100000000ull * number;
    life->random = life->work = 88172645463325252ull * number;
    return life;
}

START_TEST(memory_stays_bounded_through_a_million_stacks)
{
    if (is_left_to_other_builds())
        return;
    start();
    struct life *life = make_life(1);
    uint64_t ops = is_long() ? 1000000000ull : 4000000ull;
    uint64_t stay = ops / STACKS / 2 + 1; /* each comes to its turn, in the long form twice */
    uint64_t now_ns = SECOND;
    uint64_t settled_length = 0;
    uint64_t settled_mapped = 0;
    while (life->ops < ops) {
        operate(life, stay);
        if (life->ops % 4096 != 0)
            continue;
        now_ns += SECOND;
        bl_sweep_turn(now_ns);
        bl_sites_turn(now_ns, SECOND);
        if (life->ops % (ops / 16) < 4096) {
            check_live(life);
            check_records();
        }
        if (!settled_length && life->ops > ops / 4) {
            settled_length = bl_ledger_length();
            settled_mapped = bl_arena_mapped_bytes();
        }
    }
    check_live(life);
    check_records();
    check_tables();
    ck_assert_uint_gt(bl_header->frame_sweeps, 4);
    ck_assert_uint_gt(bl_header->frames_reclaimed, ops / stay / 2);
    uint64_t frames = bl_header->published[BL_SECTION_FRAMES];
    printf(
        "# %llu operations, %llu frames in the table, %u sweeps, %llu reclaimed, ledger %llu KiB, "
        "private %llu KiB\n",
        (unsigned long long)ops, (unsigned long long)frames, bl_header->frame_sweeps,
        (unsigned long long)bl_header->frames_reclaimed,
        (unsigned long long)bl_ledger_length() / 1024,
        (unsigned long long)bl_arena_mapped_bytes() / 1024);
    ck_assert_uint_lt(frames, 800000);
    ck_assert_uint_le(bl_ledger_length(), settled_length + settled_length / 2);
    ck_assert_uint_le(bl_arena_mapped_bytes(), settled_mapped + settled_mapped / 2);
    ck_assert_uint_eq(loss(BL_LOSS_stacks_dropped), 0);
    free(life);
}
END_TEST

static uint32_t dropped;

/* As a child of a fork that came between two frames. */
static void fork_in_the_middle(uint32_t frame)
{
    bl_sites_forget(frame);
    if (++dropped != SWEEP_MIN / 2)
        return;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        bl_stacks_reset_lock();
        bool is_all_there = bl_stacks_set_aside() == SWEEP_MIN / 2;
        bl_stacks_reuse();
        _exit(is_all_there && bl_stacks_set_aside() == 0 ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

START_TEST(a_fork_in_the_middle_has_all_that_was_set_aside)
{
    start();
    for (uint32_t s = 0; s < SWEEP_MIN; s++)
        ck_assert_uint_ne(intern(s), 0);
    ck_assert(bl_stacks_sweep_begin());
    dropped = 0;
    uint32_t count = bl_stacks_sweep(fork_in_the_middle);
    ck_assert_uint_gt(dropped, SWEEP_MIN / 2);
    ck_assert_uint_eq(bl_stacks_set_aside(), count);
}
END_TEST

START_TEST(a_number_is_not_given_out_again_at_once)
{
    start();
    for (uint32_t s = 0; s < SWEEP_MIN; s++)
        ck_assert_uint_ne(intern(s), 0);
    uint64_t before = bl_header->published[BL_SECTION_FRAMES];
    bl_sweep_turn(SECOND);
    uint32_t passed = intern(5); /* after the beginning */
    bl_sweep_turn(SECOND + BL_SWEEP_WATCH_NS);
    ck_assert_uint_eq(bl_header->frame_sweeps, 1);
    ck_assert_uint_gt(bl_stacks_set_aside(), SWEEP_MIN);
    ck_assert_uint_eq(stack_of(passed), 5);
    ck_assert_uint_eq(intern(5), passed);
    intern(STACKS - 1);
    ck_assert_uint_gt(bl_header->published[BL_SECTION_FRAMES], before);
    bl_sweep_turn(SECOND + BL_SWEEP_WATCH_NS + 1);
    ck_assert_uint_eq(bl_header->frame_reuse, 0);
    bl_sweep_turn(SECOND + BL_SWEEP_WATCH_NS + BL_SWEEP_REST_NS);
    ck_assert_uint_eq(bl_header->frame_reuse, 1);
    before = bl_header->published[BL_SECTION_FRAMES];
    uint32_t number = intern(SWEEP_MIN / 2);
    ck_assert_uint_eq(stack_of(number), SWEEP_MIN / 2);
    ck_assert_uint_lt(number, before);
}
END_TEST

START_TEST(a_stack_in_the_hands_of_realloc_is_kept)
{
    start();
    uint32_t held = intern(STACKS - 7);
    bl_tls.moved_stack = held;
    for (uint32_t s = 0; s < SWEEP_MIN; s++)
        intern(s);
    bl_sweep_turn(SECOND);
    bl_sweep_turn(SECOND + BL_SWEEP_WATCH_NS);
    bl_sweep_turn(SECOND + BL_SWEEP_WATCH_NS + BL_SWEEP_REST_NS);
    for (uint32_t s = 0; s < SWEEP_MIN; s++)
        intern(s + SWEEP_MIN);
    ck_assert_uint_eq(bl_header->frame_reuse, 1);
    ck_assert_uint_eq(stack_of(held), STACKS - 7);
}
END_TEST

START_TEST(a_full_table_of_stacks_is_as_small_as_what_is_used)
{
    start();
    struct life *life = make_life(1);
    for (uint32_t i = 0; i < SLOTS; i++)
        be_born(life, i, i * 37);
    for (uint32_t s = 0; s < 8 * SWEEP_MIN; s++) {
        intern(s);
        if (s % 1024 == 0)
            bl_sweep_turn(s * SECOND);
    }
    check_live(life);
    ck_assert_uint_lt(bl_header->published[BL_SECTION_FRAMES], 4 * SWEEP_MIN);
    free(life);
}
END_TEST

/* ---- threads ---- */

#define REMEMBERED                                                                                 \
    16u /* of so many threads one leaves a buffer, and one a buffer with references */

/* A thread with a name of its own, which it leaves with what it leaves. */
static void *pass_by(void *argument)
{
    uint64_t turn = (uintptr_t)argument;
    char name[16];
    snprintf(name, sizeof name, "%llu", (unsigned long long)turn);
    prctl(PR_SET_NAME, name);
    bl_threads_enter(0);
    bl_guard_enter();
    uint32_t number = bl_threads_current()->number;
    struct bl_buffer b = {.address = 64 * turn, .size_bytes = 8, .thread = number};
    struct bl_ref_event e = {.handle = 64 * turn,
                             .time_ns = turn,
                             .thread = number,
                             .delta = 1,
                             .class_number = (uint8_t)widget};
    if (turn % REMEMBERED == 1)
        bl_live_insert(&b);
    if (turn % REMEMBERED == 2) {
        bl_refs_birth(&e, &(struct bl_ref_birth){.size = 10});
        bl_refs_retain(&e);
    }
    bl_guard_leave();
    return NULL;
}

static void check_name(uint32_t thread, uint64_t wanted)
{
    const struct bl_thread *record = bl_ledger_at(BL_SECTION_THREADS, thread);
    char name[16];
    snprintf(name, sizeof name, "%llu", (unsigned long long)wanted);
    ck_assert_str_eq(record->name, name);
}

START_TEST(threads_that_nobody_names_make_room_for_others)
{
    enum { THREADS = 20000, LEAST = 512 };
    uint64_t now_ns = SECOND;
    start();
    bl_thread_numbers_set_min(LEAST);
    for (uintptr_t turn = 1; turn <= THREADS; turn++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, pass_by, (void *)turn), 0);
        pthread_join(thread, NULL);
        if (turn % 64 == 0)
            bl_sweep_turn(now_ns += SECOND);
    }
    /* two in REMEMBERED are named by a record */
    ck_assert_uint_lt(bl_header->published[BL_SECTION_THREADS], THREADS / REMEMBERED * 4 + 1024);
    ck_assert_uint_eq(loss(BL_LOSS_threads_dropped), 0);
    for (uint64_t turn = 1; turn <= THREADS; turn += REMEMBERED) {
        struct bl_buffer b;
        ck_assert(bl_live_find(64 * turn, &b));
        check_name(b.thread, turn);
    }
    uint32_t objects = 0;
    for (uint32_t n = 1; n < bl_header->published[BL_SECTION_OBJECTS]; n++) {
        const struct bl_object *o = bl_ledger_at(BL_SECTION_OBJECTS, n);
        const struct bl_event *event = bl_ledger_at(BL_SECTION_EVENTS, o->events);
        if (!(o->word & BL_LIVE_BIT))
            continue;
        check_name(o->thread, o->birth_ns);
        check_name(event->thread, o->birth_ns);
        objects++;
    }
    ck_assert_uint_eq(objects, THREADS / REMEMBERED);
}
END_TEST

static uint32_t enough;

static void *live_on(void *argument)
{
    struct life *life = argument;
    bl_threads_enter(0);
    while (!bl_load_relaxed(&enough)) {
        bl_guard_enter();
        operate(life, 1);
        bl_guard_leave();
        for (unsigned i = 0; i < 16; i++) /* what a program does with its buffers */
            next_random(&life->work);
        if (life->ops % 64 == 0) /* or a busy machine stops it inside, and there is no grace */
            bl_sys3(SYS_sched_yield, 0, 0, 0);
    }
    return NULL;
}

START_TEST(threads_never_find_a_number_that_was_swept)
{
    start();
    enum { THREADS = 4 };
    struct life *lives[THREADS];
    pthread_t threads[THREADS];
    uint64_t now_ns = SECOND;
    bl_stacks_set_sweep_min(2000);
    for (unsigned i = 0; i < THREADS; i++) {
        lives[i] = make_life(i + 1);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, live_on, lives[i]), 0);
    }
    while (bl_header->frame_reuse < scaled(3)) {
        now_ns += SECOND;
        bl_sweep_turn(now_ns);
        bl_sys3(SYS_sched_yield, 0, 0, 0);
    }
    bl_store_relaxed(&enough, 1);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        check_live(lives[i]);
        free(lives[i]);
    }
    check_records();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {memory_stays_bounded_through_a_million_stacks,
                                  a_number_is_not_given_out_again_at_once,
                                  a_fork_in_the_middle_has_all_that_was_set_aside,
                                  a_stack_in_the_hands_of_realloc_is_kept,
                                  a_full_table_of_stacks_is_as_small_as_what_is_used,
                                  threads_that_nobody_names_make_room_for_others,
                                  threads_never_find_a_number_that_was_swept};
    Suite *suite = suite_create("sweep");
    for (size_t i = 0; i < BL_ARRAY_LENGTH(tests); i++) {
        TCase *one = tcase_create(tests[i]->name);
        tcase_set_timeout(one, is_long() ? 20000 : 240);
        tcase_add_test(one, tests[i]);
        suite_add_tcase(suite, one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
