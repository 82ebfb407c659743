/* Captured stacks against glibc's backtrace(), frame by frame, event by event. */
#include "shim_start.h"
#include "capture.h"
#include "conf.h"
#include "shim_shapes.h"
#include "stacks.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#define ORACLE_MAX 6000

static unsigned depth_limit = BL_DEPTH_MAX;
static bool interning;
static uint64_t events;    /* atomic */
static uint64_t fallbacks; /* atomic */

static BL_TLS void *oracle[ORACLE_MAX];

static void check_frames(struct bl_thread_state *t, const struct bl_walk *w, void **pcs, uint32_t n)
{
    uint32_t total = w->known + w->fresh;
    uint32_t compare = n;
    if (w->flags & BL_WALK_DEEP) {
        if (total < depth_limit && total < n)
            ck_abort_msg("deep walk of %u frames, limit %u", total, depth_limit);
        compare = total < n ? total : n;
    } else if (total != n) {
        ck_abort_msg("event %lu: %u frames, backtrace has %u (known %u, fresh %u, flags %u)",
                     (unsigned long)events, total, n, w->known, w->fresh, w->flags);
    }
    for (uint32_t i = 0; i < compare; i++) {
        bool exact;
        uint64_t pc = bl_capture_pc(t, w, i, &exact);
        if (pc != (uint64_t)(uintptr_t)pcs[i])
            ck_abort_msg("event %lu: frame %u of %u is %#lx, backtrace has %p",
                         (unsigned long)events, i, n, (unsigned long)pc, pcs[i]);
    }
}

static void check_trie(uint32_t stack, void **pcs, uint32_t n)
{
    uint32_t expected = n < depth_limit ? n : depth_limit;
    for (uint32_t i = 0; i < expected; i++) {
        const struct bl_frame *f = bl_ledger_at(BL_SECTION_FRAMES, stack);
        struct bl_location where = bl_modules_locate((uint64_t)(uintptr_t)pcs[i]);
        bool last = i == expected - 1;
        if (stack == 0 || (f->module & BL_FRAME_MODULE_MASK) != where.module ||
            f->offset != where.offset)
            ck_abort_msg("frame %u of %u (limit %u) is not in the trie", i, n, depth_limit);
        if (!!(f->module & BL_FRAME_TRUNCATED) != (last && n > depth_limit))
            ck_abort_msg("frame %u of %u (limit %u) has flags %#x", i, n, depth_limit, f->module);
        stack = f->parent;
    }
    if (stack != 0)
        ck_abort_msg("the trie has more than %u frames", expected);
}

/* The event. Its own frame stands for the wrapper's: the caller's frames are compared. */
static BL_NOINLINE void probe(void)
{
    if (bl_tls.guard)
        return; /* a signal handler inside another event */
    bl_guard_enter();
    struct bl_origin here = BL_ORIGIN_HERE();
    struct bl_thread_state *t = bl_threads_current();
    struct bl_walk walk;
    int n = backtrace(oracle, ORACLE_MAX);
    int own = 1; /* this frame; a sanitizer's backtrace has one more */
    while (own < 3 && own < n - 1 && (uint64_t)(uintptr_t)oracle[own] != here.pc)
        own++;
    uint32_t frames = (uint32_t)(n - own);
    bl_capture_walk(t, &here, depth_limit, &walk);
    check_frames(t, &walk, oracle + own, frames);
    if (interning)
        check_trie(bl_stacks_intern(t, &walk, depth_limit), oracle + own, frames);
    __atomic_add_fetch(&fallbacks, !!(walk.flags & BL_WALK_FALLBACK), __ATOMIC_RELAXED);
    __atomic_add_fetch(&events, 1, __ATOMIC_RELAXED);
    bl_guard_leave();
}

static void flush_nothing(void)
{
}

static void start(void)
{
    void *pcs[4];
    start_core();
    bl_guard_leave_internal();
    backtrace(pcs, 4); /* loads libgcc_s now */
    void *libunwind = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    if (libunwind) {
        int (*walk)(void **, int) = NULL;
        *(void **)(void *)&walk = dlsym(libunwind, "unw_backtrace");
        walk(pcs, 4);
        bl_capture_set_fallback(walk, flush_nothing);
    }
}

static void run_plan(uint64_t seed, unsigned depth, long calls)
{
    struct walk_plan p = {.seed = seed, .depth_max = depth, .calls_left = calls, .probe = probe};
    while (p.calls_left > 0)
        shape_descend(&p);
}

START_TEST(random_calls_of_all_shapes_are_seen_exactly)
{
    start();
    for (uint64_t seed = 1; seed <= scaled(12); seed++)
        run_plan(seed, 5 + (unsigned)(seed * 7 % 40), 4000);
    ck_assert_uint_gt(events, 50000);
    ck_assert_uint_eq(fallbacks, 0);
}
END_TEST

START_TEST(stacks_in_the_ledger_are_cut_at_the_limit_and_nowhere_else)
{
    static const unsigned limits[] = {1, 2, 8, 64, 512};
    depth_limit = limits[_i];
    interning = true;
    start();
    for (uint64_t seed = 1; seed <= 4; seed++)
        run_plan(seed + 100, 90, 2500);
    ck_assert_uint_gt(events, 5000);
}
END_TEST

static BL_NOINLINE void recurse(unsigned depth)
{
    if (depth % 500 == 0 || depth < 20)
        probe();
    if (depth > 0)
        recurse(depth - 1);
    if (depth % 500 == 0 || depth < 20)
        probe();
}

START_TEST(deep_recursion_is_seen_exactly_down_and_up_again)
{
    static const unsigned depths[] = {100, 1000, 1023, 1024, 1025, 1100, 5000};
    static const unsigned limits[] = {1, 64, 512};
    depth_limit = limits[_i];
    interning = true;
    start();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < BL_ARRAY_LENGTH(depths); i++) {
            recurse(depths[i]);
            run_plan(i + 1, 20, 100);
        }
    }
    ck_assert_uint_gt(events, 500);
}
END_TEST

static void on_signal(int number)
{
    (void)number;
    probe();
    run_plan(7, 8, 12);
}

static void install(int number, void (*handler)(int), int flags)
{
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&a.sa_mask);
    ck_assert_int_eq(sigaction(number, &a, NULL), 0);
}

static void raise_signal(void)
{
    probe();
    raise(SIGUSR2);
    probe();
}

static void run_raising(uint64_t seed)
{
    struct walk_plan p = {.seed = seed, .depth_max = 15, .calls_left = 150, .probe = raise_signal};
    while (p.calls_left > 0)
        shape_descend(&p);
}

static void use_alternate_stack(void)
{
    stack_t s = {.ss_size = 256 << 10};
    s.ss_sp = mmap(NULL, s.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_int_eq(sigaltstack(&s, NULL), 0);
}

START_TEST(signal_handlers_are_seen_through)
{
    start();
    install(SIGUSR2, on_signal, 0);
    for (uint64_t seed = 1; seed < 10; seed++)
        run_raising(seed);
    ck_assert_uint_gt(events, 10000);
}
END_TEST

START_TEST(signal_handlers_on_an_alternate_stack_are_seen_through)
{
    start();
    use_alternate_stack();
    install(SIGUSR2, on_signal, SA_ONSTACK);
    for (uint64_t seed = 1; seed < 10; seed++)
        run_raising(seed);
    ck_assert_uint_gt(events, 10000);
}
END_TEST

static uint64_t async_events;

static void nothing(void)
{
}

static void on_timer(int number)
{
    (void)number;
    uint64_t before = events;
    probe();
    async_events += events != before;
}

/* The timer strikes at any instruction of the shapes: prologues and epilogues too. */
START_TEST(a_timer_that_strikes_anywhere_is_seen_through)
{
    static const struct itimerval fast = {{0, 200}, {0, 200}};
    static const struct itimerval stop = {{0, 0}, {0, 0}};
    start();
    use_alternate_stack();
    install(SIGALRM, on_timer, _i ? SA_ONSTACK | SA_RESTART : SA_RESTART);
    setitimer(ITIMER_REAL, &fast, NULL);
    for (uint64_t seed = 1; bl_load_relaxed(&async_events) < scaled(3000); seed++) {
        run_plan(seed, 25, 3); /* events of the interrupted code in between */
        struct walk_plan p = {
            .seed = seed, .depth_max = 25, .calls_left = 1000, .probe = nothing, .strict = true};
        while (p.calls_left > 0)
            shape_descend(&p);
    }
    setitimer(ITIMER_REAL, &stop, NULL);
}
END_TEST

#define COROUTINES 6
#define STACK_SIZE (256u << 10)

static ucontext_t scheduler;
static ucontext_t coroutine[COROUTINES];
static int running;

static void yielding_probe(void)
{
    probe();
    swapcontext(&coroutine[running], &scheduler);
    probe();
}

static void coroutine_main(int number)
{
    struct walk_plan p = {
        .seed = (uint64_t)number + 1, .depth_max = 12, .calls_left = 400, .probe = yielding_probe};
    while (p.calls_left > 0)
        shape_descend(&p);
    for (;;)
        swapcontext(&coroutine[number], &scheduler);
}

START_TEST(coroutines_are_seen_through)
{
    start();
    for (int i = 0; i < COROUTINES; i++) {
        getcontext(&coroutine[i]);
        coroutine[i].uc_stack.ss_sp =
            mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        coroutine[i].uc_stack.ss_size = STACK_SIZE;
        makecontext(&coroutine[i], (void (*)(void))(uintptr_t)coroutine_main, 1, i);
    }
    uint64_t seed = 99;
    for (unsigned turn = 0; turn < 4000; turn++) {
        running = (int)(next_random(&seed) % COROUTINES);
        swapcontext(&scheduler, &coroutine[running]);
        if (turn % 3 == 0)
            run_plan(turn + 1, 6, 3);
    }
    ck_assert_uint_gt(events, 8000);
}
END_TEST

static sigjmp_buf landing;
static unsigned until_jump;

static void jumping_probe(void)
{
    probe();
    if (until_jump-- == 0)
        siglongjmp(landing, 1);
}

START_TEST(frames_left_by_longjmp_are_not_taken_for_live_ones)
{
    volatile uint64_t seed = 0;
    start();
    while (seed < 3000) {
        seed++;
        until_jump = (unsigned)(seed * 7 % 41);
        if (sigsetjmp(landing, 0) == 0) {
            struct walk_plan p = {.seed = seed,
                                  .depth_max = 4 + (unsigned)(seed % 30),
                                  .calls_left = 40,
                                  .probe = jumping_probe};
            while (p.calls_left > 0)
                shape_descend(&p);
        }
        probe();
    }
    ck_assert_uint_gt(events, 30000);
}
END_TEST

static void *run_in_thread(void *seed)
{
    bl_threads_enter(0);
    for (uint64_t i = 1; i <= scaled(4); i++)
        run_plan(i * 1000 + (uint64_t)(uintptr_t)seed, 30, 1500);
    return NULL;
}

START_TEST(four_threads_are_seen_exactly)
{
    pthread_t threads[4];
    interning = true;
    start();
    for (uintptr_t i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_in_thread, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_gt(events, 40000);
}
END_TEST

/* A thread that the wrapper of pthread_create did not see has no known bounds. */
static void *run_unannounced(void *seed)
{
    run_plan((uint64_t)(uintptr_t)seed, 25, 3000);
    return NULL;
}

START_TEST(a_thread_of_unknown_bounds_is_seen_exactly)
{
    pthread_t thread;
    start();
    ck_assert_int_eq(pthread_create(&thread, NULL, run_unannounced, (void *)5), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_gt(events, 3000);
}
END_TEST

START_TEST(an_epoch_change_between_events_changes_nothing)
{
    start();
    for (uint64_t seed = 1; seed <= 200; seed++) {
        run_plan(seed, 20, 60);
        __atomic_add_fetch(&bl_modules_epoch, 1, __ATOMIC_RELAXED);
        bl_capture_flush();
    }
    ck_assert_uint_gt(events, 10000);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        random_calls_of_all_shapes_are_seen_exactly,
        signal_handlers_are_seen_through,
        signal_handlers_on_an_alternate_stack_are_seen_through,
        coroutines_are_seen_through,
        frames_left_by_longjmp_are_not_taken_for_live_ones,
        four_threads_are_seen_exactly,
        a_thread_of_unknown_bounds_is_seen_exactly,
        an_epoch_change_between_events_changes_nothing,
    };
    Suite *suite = suite_create("shim capture");
    TCase *all = tcase_create("oracle");
    tcase_set_timeout(all, 60);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(all, tests[i]);
    tcase_add_loop_test(all, stacks_in_the_ledger_are_cut_at_the_limit_and_nowhere_else, 0, 5);
    tcase_add_loop_test(all, deep_recursion_is_seen_exactly_down_and_up_again, 0, 3);
    tcase_add_loop_test(all, a_timer_that_strikes_anywhere_is_seen_through, 0, 2);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
