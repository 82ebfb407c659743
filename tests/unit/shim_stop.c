/*
 * The stop handshake, in every order in which its threads can run.
 *
 * stop.c is part of this file, and the kernel below it is played: threads are coroutines, and at
 * each atomic access and each system call another one may go on. All orders are tried that need up
 * to SWITCHES switches away from a thread that could have gone on itself (BL_TEST_LONG=1: one
 * more), and a few thousand by chance with any number of them. What must hold in each: between
 * bl_stop_all and bl_stop_resume no thread does anything, unless it blocks the signal and was
 * counted as degraded; no call of a thread's returns early; signals that the program sends itself
 * arrive, each once; nobody waits for ever. One processor after the other sees what is written:
 * orders that only weak memory allows are not among them.
 */
#include "clock.h"
#include "real.h"
#include "sigsafe.h"

#include <check.h>
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define SWITCHES      2
#define BY_CHANCE     2000
#define STACK_BYTES   65536
#define THREADS       6
#define POINTS_MAX    20000 /* in one run: more is no end */
#define FIRST_TID     11    /* the asking thread's; those of the others follow */
#define PID           FIRST_TID
#define SIGNAL        61
#define CALL          7          /* poll */
#define TIMEOUT_NS    200000001u /* more than the handshake allows itself */
#define CODE_AT       100
#define CODE_IS_PLAIN 200 /* without the number before the call */

enum wait { AWAKE, IN_FUTEX, IN_CALL, YIELDING };
enum call {
    CALL_UNTIL_RELEASED,   /* and until then a signal may break it off */
    CALL_UNTIL_SENT,       /* the program's own signal, which is to break it off */
    CALL_FOR_A_WHILE,      /* the same, and it may end at any time */
    CALL_NOT_TO_BE_BROKEN, /* it may end at any time, and no signal gets through before */
};

struct thread {
    ucontext_t context;
    char *stack;
    void (*body)(struct thread *self);
    const uint32_t *word; /* IN_FUTEX */
    enum wait wait;
    enum call call;
    uint32_t tid;
    unsigned code;   /* CODE_*: of its call */
    unsigned queued; /* our signals */
    bool exists;
    bool is_timed; /* IN_FUTEX: it may also wait in vain */
    bool is_woken;
    bool blocks; /* our signal */
};

static struct thread threads[THREADS];
static struct thread *current;
static ucontext_t judge;
static const char *failure;
static bool is_released; /* what CALL_UNTIL_RELEASED waits for */
static bool are_still;   /* between stop and resume */
static bool is_queue_full;
static bool is_list_read;
static uint64_t now_ns;
static unsigned answers; /* attempts that came to be */
static unsigned degraded;
static unsigned own_sent;
static unsigned own_taken;
static unsigned char code[512] = {
    [CODE_AT - 7] = 0xb8, CALL, 0, 0, 0, 0x0f, 0x05, [CODE_IS_PLAIN - 2] = 0x0f, 0x05,
};

/* ---- the order ---- */

static struct {
    unsigned char taken[POINTS_MAX];
    unsigned char options[POINTS_MAX];
    unsigned count;
    unsigned known; /* choices that are to be made as before */
    int switches;
    bool by_chance;
    uint64_t seed;
} order;

static void found_wrong(const char *text)
{
    if (!failure)
        failure = text;
    setcontext(&judge);
}

static bool can_take(const struct thread *t)
{
    return t->queued > 0 && !t->blocks;
}

static bool can_run(const struct thread *t)
{
    if (!t->exists)
        return false;
    switch (t->wait) {
    case IN_FUTEX:
        return t->is_woken || t->is_timed;
    case IN_CALL:
        return can_take(t) || (t->call == CALL_UNTIL_RELEASED ? is_released
                               : t->call == CALL_UNTIL_SENT   ? own_sent > 0
                                                              : true);
    case AWAKE:
    case YIELDING:
        break;
    }
    return true;
}

static unsigned choose(unsigned options)
{
    unsigned taken = 0;
    if (options == 1)
        return 0;
    if (order.count == POINTS_MAX)
        found_wrong("it comes to no end");
    if (order.by_chance) {
        order.seed = order.seed * 6364136223846793005u + 1442695040888963407u;
        /* mostly on, so that each gets somewhere */
        unsigned random = (unsigned)(order.seed >> 33);
        taken = random % 4 ? 0 : random / 4 % options;
    } else if (order.count < order.known) {
        taken = order.taken[order.count];
    }
    order.taken[order.count] = (unsigned char)taken;
    order.options[order.count] = (unsigned char)options;
    order.count++;
    return taken;
}

static void switch_to(struct thread *t)
{
    struct thread *from = current;
    if (t == from)
        return;
    current = t;
    swapcontext(&from->context, &t->context);
}

/* Waits in vain, where others could go on. */
static bool is_early(const struct thread *t)
{
    return t->wait == IN_FUTEX && !t->is_woken;
}

/* Whoever goes on; a thread that yields, where nobody else can. */
static void point(void)
{
    struct thread *options[THREADS];
    unsigned count = 0;
    bool goes_on = current->exists && current->wait == AWAKE;
    bool is_free = order.switches > 0 || order.by_chance;
    if (goes_on)
        options[count++] = current;
    for (unsigned i = 0; i < THREADS && (!goes_on || is_free); i++) {
        struct thread *t = &threads[i];
        if (can_run(t) && !is_early(t) && !(t == current && (goes_on || t->wait == YIELDING)))
            options[count++] = t;
    }
    for (unsigned i = 0; i < THREADS; i++)
        if (can_run(&threads[i]) && is_early(&threads[i]) && (count == 0 || is_free))
            options[count++] = &threads[i];
    if (count == 0 && current->exists && current->wait == YIELDING)
        options[count++] = current;
    if (count == 0)
        setcontext(&judge); /* the end, or everybody waits */
    unsigned taken = choose(count);
    if (taken > 0 && (goes_on || is_early(options[taken])))
        order.switches--;
    switch_to(options[taken]);
}

/* Sets the next order; false: there is none. */
static bool next_order(void)
{
    while (order.count > 0) {
        unsigned at = order.count - 1;
        if (order.taken[at] + 1u < order.options[at]) {
            order.taken[at]++;
            order.known = order.count;
            return true;
        }
        order.count--;
    }
    return false;
}

/* ---- the kernel ---- */

static struct thread *thread_of(long tid)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (threads[i].exists && threads[i].tid == (uint32_t)tid)
            return &threads[i];
    return NULL;
}

static long model_wait(uint32_t *word, uint32_t expected, bool is_timed)
{
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != expected)
        return -EAGAIN;
    current->word = word;
    current->is_timed = is_timed;
    current->is_woken = false;
    current->wait = IN_FUTEX;
    point();
    current->wait = AWAKE;
    if (current->is_woken)
        return 0;
    now_ns += TIMEOUT_NS;
    return -ETIMEDOUT;
}

static long model_wake(const uint32_t *word, long count)
{
    for (unsigned i = 0; i < THREADS && count > 0; i++) {
        struct thread *t = &threads[i];
        if (t->exists && t->wait == IN_FUTEX && t->word == word && !t->is_woken) {
            t->is_woken = true;
            count--;
        }
    }
    return 0;
}

static long model_kill(long tid, long number)
{
    struct thread *t = thread_of(tid);
    if (!t)
        return -ESRCH;
    if (number && is_queue_full)
        return -EAGAIN;
    t->queued += number != 0;
    return 0;
}

static long model_list(char *buffer)
{
    long at = 0;
    if (is_list_read)
        return 0;
    is_list_read = true;
    for (unsigned i = 0; i < THREADS; i++) {
        if (!threads[i].exists)
            continue;
        uint16_t length = 32;
        memcpy(buffer + at + 16, &length, sizeof(length));
        snprintf(buffer + at + 19, 13, "%u", threads[i].tid);
        at += length;
    }
    return at;
}

static long model_sys4(long call, long a, long b, long c, long d)
{
    point();
    switch (call) {
    case SYS_futex:
        if (b == FUTEX_WAIT_PRIVATE)
            return model_wait((uint32_t *)a, (uint32_t)c,
                              d != 0);       // NOLINT(performance-no-int-to-ptr)
        return model_wake((uint32_t *)a, c); // NOLINT(performance-no-int-to-ptr)
    case SYS_openat:
        return 3;
    default:
        found_wrong("a call that is not played");
        return -ENOSYS;
    }
}

static long model_sys3(long call, long a, long b, long c)
{
    point();
    switch (call) {
    case SYS_tgkill:
        return a == PID ? model_kill(b, c) : -ESRCH;
    case SYS_getdents64:
        return model_list((char *)b); // NOLINT(performance-no-int-to-ptr)
    case SYS_lseek:
        is_list_read = false;
        return 0;
    case SYS_sched_yield:
        current->wait = YIELDING;
        point();
        current->wait = AWAKE;
        return 0;
    default:
        found_wrong("a call that is not played");
        return -ENOSYS;
    }
}

/* /proc/self/task/TID/syscall */
static long model_read(const char *path, char *buffer, size_t size)
{
    struct thread *t = thread_of(strtol(path + strlen("/proc/self/task/"), NULL, 10));
    point();
    if (!t || !t->exists)
        return -ENOENT;
    if (t->wait == IN_CALL)
        return snprintf(buffer, size, "%d 0x1 0x2 0x3 0x4 0x5 0x6 0x7000 0x%lx\n", CALL,
                        (unsigned long)(uintptr_t)(code + t->code));
    return snprintf(buffer, size, "running\n");
}

static uint64_t model_now(clockid_t clock)
{
    (void)clock;
    return now_ns;
}

static uint32_t model_tid(void)
{
    return current->tid;
}

static uint32_t model_pid(void)
{
    return PID;
}

static int model_close(int fd)
{
    return fd;
}

static void on_own(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    own_taken++;
}

static int model_action(int number, const struct sigaction *action, struct sigaction *ret_old)
{
    (void)number;
    (void)action;
    if (ret_old)
        *ret_old = (struct sigaction){.sa_sigaction = on_own, .sa_flags = SA_SIGINFO};
    return 0;
}

static void *model_map(size_t length, int prot, int flags, int fd, uint64_t offset)
{
    (void)prot;
    (void)flags;
    (void)fd;
    (void)offset;
    return calloc(1, length);
}

static const struct {
    int (*sigaction)(int number, const struct sigaction *action, struct sigaction *ret_old);
} model_real = {model_action};

#undef bl_load_acquire
#undef bl_store_release
#define bl_load_acquire(p)               (point(), __atomic_load_n((p), __ATOMIC_ACQUIRE))
#define bl_store_release(p, v)           (point(), __atomic_store_n((p), (v), __ATOMIC_RELEASE))
#define __atomic_fetch_add(p, v, o)      (point(), __atomic_fetch_add((p), (v), (o)))
#define __atomic_fetch_sub(p, v, o)      (point(), __atomic_fetch_sub((p), (v), (o)))
#define __atomic_add_fetch(p, v, o)      (point(), __atomic_add_fetch((p), (v), (o)))
#define __atomic_compare_exchange_n(...) (point(), __atomic_compare_exchange_n(__VA_ARGS__))
#define bl_real                          model_real
#define bl_sys3                          model_sys3
#define bl_sys4                          model_sys4
#define bl_sys_close                     model_close
#define bl_sys_read_file                 model_read
#define bl_sys_gettid                    model_tid
#define bl_sys_getpid                    model_pid
#define bl_sys_map                       model_map
#define bl_clock_read                    model_now
#include "stop.c" // NOLINT(bugprone-suspicious-include)

/* ---- what the threads do ---- */

/* Runs the handler for each signal that waits. regs: of what was interrupted. */
static void take_signals(struct thread *self, const gregset_t regs, gregset_t ret_regs)
{
    ucontext_t uc;
    siginfo_t info;
    memset(&uc, 0, sizeof(uc));
    memset(&info, 0, sizeof(info));
    memcpy(uc.uc_mcontext.gregs, regs, sizeof(gregset_t));
    info.si_code = SI_TKILL;
    info.si_pid = PID;
    while (can_take(self)) {
        self->queued--;
        self->blocks = true;
        on_stop(SIGNAL, &info, &uc);
        self->blocks = false;
    }
    memcpy(ret_regs, uc.uc_mcontext.gregs, sizeof(gregset_t));
}

/* Something that can be seen in memory. */
static void work(struct thread *self)
{
    static const gregset_t none;
    gregset_t after;
    point();
    take_signals(self, none, after);
    if (are_still && !self->blocks)
        found_wrong("a thread runs although all stand still");
}

static void call(struct thread *self, enum call kind, unsigned at)
{
    gregset_t regs = {0};
    gregset_t after;
    self->call = kind;
    self->code = at;
    for (;;) {
        point();
        self->wait = IN_CALL;
        point();
        self->wait = AWAKE;
        if (kind == CALL_NOT_TO_BE_BROKEN || !can_take(self))
            break;
        regs[REG_RAX] = -EINTR;
        regs[REG_RDI] = 1;
        regs[REG_RSI] = 2;
        regs[REG_RDX] = 3;
        regs[REG_RIP] = (greg_t)(uintptr_t)(code + at);
        unsigned taken = own_taken;
        take_signals(self, regs, after);
        if (own_taken != taken)
            break;
        if (after[REG_RAX] != CALL || after[REG_RIP] != regs[REG_RIP] - 2)
            found_wrong("a call has returned early");
    }
    work(self);
}

/* libc ends a thread with all signals blocked. */
static void end(struct thread *self)
{
    self->blocks = true;
    point();
    self->exists = false;
    point();
}

static void begin(void)
{
    current->body(current);
    end(current);
}

/* libc makes a thread with all signals blocked, in both. */
static void make_thread(struct thread *self, unsigned index, void (*body)(struct thread *))
{
    bool blocks = self->blocks;
    struct thread *t = &threads[index];
    self->blocks = true;
    point();
    t->body = body;
    t->tid = FIRST_TID + index;
    t->blocks = true;
    t->exists = true;
    point();
    self->blocks = blocks;
}

static void stop_once(void)
{
    struct bl_stop stop = {0};
    const char *why = NULL;
    int error = -EBUSY;
    for (int i = 0; error == -EBUSY && i < 5; i++)
        error = bl_stop_all(0, &stop, &why);
    if (error)
        return;
    answers++;
    degraded += stop.degraded;
    for (unsigned i = 1; i < THREADS; i++) {
        enum bl_stop_state state = (enum bl_stop_state)(uint32_t)table[threads[i].tid].word;
        if (threads[i].exists && state != BL_STOP_STOPPED && state != BL_STOP_DEGRADED)
            found_wrong("a thread was forgotten");
    }
    are_still = true;
    for (int i = 0; i < 3; i++)
        point();
    are_still = false;
    bl_stop_resume();
}

static void stopper(struct thread *self)
{
    (void)self;
    stop_once();
    is_released = true;
}

/* Once the others are in their calls. */
static void late_stopper(struct thread *self)
{
    while (threads[1].wait != IN_CALL)
        model_sys3(SYS_sched_yield, 0, 0, 0);
    stopper(self);
}

static void twice_stopper(struct thread *self)
{
    (void)self;
    stop_once();
    stop_once();
    is_released = true;
}

static void worker(struct thread *self)
{
    self->blocks = false;
    work(self);
    work(self);
    work(self);
}

static void caller(struct thread *self)
{
    call(self, CALL_UNTIL_RELEASED, CODE_AT);
}

/* Its call tells no number: one that is only just begun cannot be begun again. */
static void plain_caller(struct thread *self)
{
    call(self, CALL_UNTIL_RELEASED, CODE_IS_PLAIN);
}

static void brief_caller(struct thread *self)
{
    work(self);
    call(self, CALL_FOR_A_WHILE, CODE_AT);
    work(self);
}

static void deep_caller(struct thread *self)
{
    call(self, CALL_NOT_TO_BE_BROKEN, CODE_AT);
    work(self);
}

static void deaf_caller(struct thread *self)
{
    self->blocks = true;
    call(self, CALL_FOR_A_WHILE, CODE_AT);
    self->blocks = false;
    work(self);
}

static void deaf_worker(struct thread *self)
{
    self->blocks = true;
    work(self);
    work(self);
    self->blocks = false;
    work(self);
}

static void maker(struct thread *self)
{
    work(self);
    make_thread(self, 4, worker);
    work(self);
}

static void sender(struct thread *self)
{
    work(self);
    own_sent += model_sys3(SYS_tgkill, PID, FIRST_TID + 1, SIGNAL) == 0;
    work(self);
}

static void receiver(struct thread *self)
{
    call(self, CALL_UNTIL_SENT, CODE_AT);
}

/* ---- runs ---- */

static void start(unsigned index, void (*body)(struct thread *))
{
    threads[index].body = body;
    threads[index].tid = FIRST_TID + index;
    threads[index].exists = true;
}

static void reset(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        struct thread *t = &threads[i];
        char *stack = t->stack ? t->stack : malloc(STACK_BYTES);
        memset(t, 0, sizeof(*t));
        t->stack = stack;
        getcontext(&t->context);
        t->context.uc_stack.ss_sp = stack;
        t->context.uc_stack.ss_size = STACK_BYTES;
        makecontext(&t->context, begin, 0);
    }
    if (table)
        memset(table, 0, (FIRST_TID + THREADS) * sizeof(*table));
    epoch = answered = slots_used = 0;
    is_released = are_still = false;
    own_sent = own_taken = 0;
    now_ns = 1;
    order.count = 0;
}

static void check_end(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        if (threads[i].exists && !failure)
            failure = "a thread waits for ever";
    }
    if (own_sent != own_taken && !failure)
        failure = "a signal of the program's own was lost or made up";
}

static void run(void (*const *bodies)(struct thread *))
{
    static volatile bool has_begun;
    reset();
    for (unsigned i = 0; bodies[i]; i++)
        start(i, bodies[i]);
    has_begun = false;
    getcontext(&judge); /* comes back here at the end */
    if (!has_begun) {
        has_begun = true;
        current = &threads[0];
        setcontext(&current->context);
    }
    check_end();
}

static void tell(const char *what, unsigned number)
{
    char text[512];
    int at = snprintf(text, sizeof(text), "%s, order %u:", what, number);
    for (unsigned i = 0; i < order.count && at < (int)sizeof(text) - 4; i++)
        at += snprintf(text + at, sizeof(text) - (size_t)at, " %u", order.taken[i]);
    ck_abort_msg("%s", text);
}

/* All orders. Tells how many came to an answer, and how many threads they called degraded. */
static void explore(void (*const *bodies)(struct thread *), int fewer)
{
    const char *is_long = getenv("BL_TEST_LONG");
    int switches = SWITCHES + (is_long && strcmp(is_long, "1") == 0) - fewer;
    unsigned runs = 0;
    answers = degraded = 0;
    failure = NULL;
    memset(&order, 0, sizeof(order));
    do {
        order.switches = switches;
        run(bodies);
        runs++;
        if (failure)
            tell(failure, runs);
    } while (next_order());
    order.by_chance = true;
    for (unsigned i = 0; i < BY_CHANCE; i++) {
        order.seed = i;
        run(bodies);
        if (failure)
            tell(failure, i);
    }
    printf("# %u orders with %d switches, and %u: %u answers, %u threads degraded\n", runs,
           switches, BY_CHANCE, answers, degraded);
}

#define EXPLORE(fewer, ...) explore((void (*const[])(struct thread *)){__VA_ARGS__, NULL}, fewer)

START_TEST(threads_that_run_stand_still)
{
    EXPLORE(0, stopper, worker, worker);
    ck_assert_uint_gt(answers, 0);
    ck_assert_uint_eq(degraded, 0);
}
END_TEST

START_TEST(calls_that_wait_are_begun_again)
{
    EXPLORE(0, stopper, brief_caller);
    EXPLORE(1, stopper, caller, brief_caller);
    ck_assert_uint_gt(answers, 0);
}
END_TEST

START_TEST(calls_that_do_not_tell_their_number_are_begun_again)
{
    EXPLORE(0, late_stopper, plain_caller);
    ck_assert_uint_gt(answers, 0);
}
END_TEST

START_TEST(threads_that_come_and_go_stand_still)
{
    EXPLORE(0, stopper, maker, worker);
    ck_assert_uint_gt(answers, 0);
}
END_TEST

START_TEST(a_thread_deep_in_the_kernel_stands_still_when_it_comes_back)
{
    EXPLORE(0, stopper, deep_caller, worker);
    ck_assert_uint_gt(degraded, 0);
}
END_TEST

START_TEST(a_thread_that_blocks_the_signal_is_degraded_or_refused)
{
    EXPLORE(0, stopper, deaf_caller);
    ck_assert_uint_gt(degraded, 0);
    EXPLORE(0, stopper, deaf_worker);
}
END_TEST

START_TEST(a_late_signal_does_not_disturb_the_next_attempt)
{
    EXPLORE(1, twice_stopper, deaf_caller, worker);
    ck_assert_uint_gt(answers, 0);
    EXPLORE(1, twice_stopper, deep_caller, worker);
}
END_TEST

START_TEST(the_program_gets_its_own_signals)
{
    EXPLORE(1, stopper, receiver, sender);
    ck_assert_uint_gt(answers, 0);
}
END_TEST

START_TEST(where_no_signal_can_be_queued_nothing_is_answered)
{
    is_queue_full = true;
    EXPLORE(0, stopper, brief_caller, caller);
    ck_assert_uint_eq(answers, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stop");
    TCase *orders = tcase_create("every order");
    tcase_set_timeout(orders, 280);
    bl_stop_signal = SIGNAL;
    tcase_add_test(orders, threads_that_run_stand_still);
    tcase_add_test(orders, calls_that_wait_are_begun_again);
    tcase_add_test(orders, calls_that_do_not_tell_their_number_are_begun_again);
    tcase_add_test(orders, threads_that_come_and_go_stand_still);
    tcase_add_test(orders, a_thread_deep_in_the_kernel_stands_still_when_it_comes_back);
    tcase_add_test(orders, a_thread_that_blocks_the_signal_is_degraded_or_refused);
    tcase_add_test(orders, a_late_signal_does_not_disturb_the_next_attempt);
    tcase_add_test(orders, the_program_gets_its_own_signals);
    tcase_add_test(orders, where_no_signal_can_be_queued_nothing_is_answered);
    suite_add_tcase(suite, orders);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
