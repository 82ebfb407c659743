#include "threads.h"
#include "arena.h"
#include "clock.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"
#include "sigsafe.h"
#include "thread_numbers.h"

#include <limits.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define GRACE_LOOKS 64

extern void *__libc_stack_end; // NOLINT(bugprone-reserved-identifier): the dynamic loader's

static struct bl_thread_state *free_states;
static struct bl_thread_state *all_states; /* read without the lock; states are never freed */
struct bl_dead_stack bl_dead_stacks[BL_DEAD_STACKS];
static uint32_t dead_turn; /* (lock) */
static pthread_key_t key;
static bool key_made;

static void read_thread_name(char name[16])
{
    bl_sys3(SYS_prctl, PR_GET_NAME, (long)name, 0);
}

/* When a test begins and ends is compared with the starts of processes, and many are shorter than a
 * tick. */
static uint64_t moment_of(uint32_t test_name)
{
    return test_name ? bl_clock_read(CLOCK_MONOTONIC) : bl_clock_event_ns();
}

static uint32_t record_thread(uint32_t tid, uint32_t flags, uint32_t test_name)
{
    bool is_new;
    bl_lock_take(&bl_thread_lock);
    uint32_t n = bl_thread_numbers_take_locked(&is_new);
    if (n) {
        struct bl_thread *record = bl_ledger_at(BL_SECTION_THREADS, n);
        memset(record, 0, sizeof *record);
        record->tid = tid;
        record->flags = flags;
        record->test_name = test_name;
        bl_header->tests_named += test_name != 0;
        record->start_ns = moment_of(test_name);
        read_thread_name(record->name);
        if (is_new)
            bl_ledger_publish(BL_SECTION_THREADS, n + 1);
    }
    bl_lock_give(&bl_thread_lock);
    if (!n)
        bl_losses_add(BL_LOSS_threads_dropped, 1);
    return n;
}

static struct bl_thread_state *take_state(void)
{
    bl_lock_take(&bl_thread_lock);
    struct bl_thread_state *t = free_states;
    if (t)
        free_states = t->next_free;
    bl_lock_give(&bl_thread_lock);
    if (t)
        return t;
    t = bl_arena_map(sizeof *t);
    if (!t)
        return NULL;
    bl_lock_take(&bl_thread_lock);
    t->next = all_states;
    bl_store_release(&all_states, t);
    bl_lock_give(&bl_thread_lock);
    return t;
}

static struct bl_thread_state *attach(uint64_t low, uint64_t high, uint32_t test_name)
{
    struct bl_thread_state *t = take_state();
    if (!t)
        return NULL;
    t->tid = bl_sys_gettid();
    t->attached++;
    t->stack_low = low;
    t->stack_high = high;
    t->frame_count = 0;
    t->need_count = 0;
    if (t->java_seed != 0) /* where those lead to may be no memory any more */
        memset(t->java_frames, 0, sizeof t->java_frames);
    t->java_frame_count = 0;
    t->deep = false;
    bl_store_release(&t->flight_count, 0);
    t->sample_left = 0;
    t->java_named = false;
    t->random = (uint64_t)t->tid * 0x9E3779B97F4A7C15u ^ bl_clock_event_ns();
    t->test_name = test_name;
    t->number = record_thread(t->tid, 0, test_name);
    t->own_number = t->number;
    t->tcb = (uint64_t)pthread_self();
    t->entry = 0;
    bl_tls.thread = t;
    bl_lock_take(&bl_thread_lock);
    bl_store_release(&t->tls, &bl_tls);
    bl_lock_give(&bl_thread_lock);
    return t;
}

void bl_threads_read_name(const struct bl_thread_state *t)
{
    if (!t->number)
        return;
    struct bl_thread *record = bl_ledger_at(BL_SECTION_THREADS, t->number);
    read_thread_name(record->name);
}

struct bl_thread_state *bl_threads_current_slow(void)
{
    if (bl_tls.exiting)
        return NULL;
    return attach(0, 0, 0);
}

static void end_record(uint32_t number)
{
    if (!number)
        return;
    struct bl_thread *record = bl_ledger_at(BL_SECTION_THREADS, number);
    read_thread_name(record->name);
    record->end_ns = moment_of(record->test_name);
    /* The store releases as it is on x86. ThreadSanitizer holds the thread ended already and cannot
     * follow one that says so. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    bl_store_relaxed(&record->flags, record->flags | BL_THREAD_ENDED);
}

/* A stack that is used again is noted once. */
static void note_dead_locked(const struct bl_thread_state *t)
{
    uint32_t at = dead_turn % BL_DEAD_STACKS;
    if (!t->stack_low || t->tcb < t->stack_low || t->tcb >= t->stack_high)
        return;
    for (uint32_t i = 0; i < BL_DEAD_STACKS; i++) {
        if (bl_dead_stacks[i].low == t->stack_low)
            at = i;
    }
    dead_turn += at == dead_turn % BL_DEAD_STACKS;
    bl_dead_stacks[at] = (struct bl_dead_stack){t->stack_low, t->stack_high, t->tcb};
}

static void detach(struct bl_thread_state *t)
{
    bl_tls.thread = NULL;
    bl_store_relaxed(&t->flight_count, 0); /* the lock releases it */
    bl_lock_take(&bl_thread_lock);
    end_record(t->number);
    if (t->own_number != t->number)
        end_record(t->own_number);
    note_dead_locked(t);
    bl_store_relaxed(&t->tls, NULL);
    t->next_free = free_states;
    free_states = t;
    bl_lock_give(&bl_thread_lock);
}

/* glibc calls a key's destructor again while it sets a new value, up to
 * PTHREAD_DESTRUCTOR_ITERATIONS rounds: hold on until the last, other destructors allocate too. */
static void on_thread_exit(void *value)
{
    uintptr_t round = (uintptr_t)value;
    bl_guard_enter_internal();
    if (round < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(key, (void *)(round + 1)); // NOLINT(performance-no-int-to-ptr)
    } else {
        bl_tls.exiting = true;
        if (bl_tls.thread)
            detach(bl_tls.thread);
    }
    bl_guard_leave_internal();
}

void bl_threads_enter(uint32_t test_name)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;
    bl_guard_enter_internal();
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &size);
        pthread_attr_destroy(&attr);
    }
    struct bl_thread_state *t =
        attach((uint64_t)(uintptr_t)low, (uint64_t)(uintptr_t)low + size, test_name);
    if (t)
        t->entry = (uint64_t)(uintptr_t)__builtin_frame_address(0);
    if (key_made)
        pthread_setspecific(key, (void *)1);
    bl_guard_leave_internal();
}

void bl_threads_init(void)
{
    key_made = pthread_key_create(&key, on_thread_exit) == 0;
    struct rlimit limit = {0};
    bl_sys4(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)&limit);
    uint64_t size = limit.rlim_cur > 1u << 30 ? 1u << 30 : limit.rlim_cur;
    uint64_t high = ((uint64_t)(uintptr_t)__libc_stack_end + 15u) & ~15ull;
    attach(high - size, high, 0);
}

uint32_t bl_threads_test(void)
{
    const struct bl_thread_state *t = bl_tls.thread;
    return t ? t->test_name : 0;
}

void bl_threads_set_test(uint32_t test_name)
{
    struct bl_thread_state *t = bl_threads_current();
    if (!t)
        return;
    if (t->number != t->own_number) {
        bl_lock_take(&bl_thread_lock);
        end_record(t->number);
        bl_lock_give(&bl_thread_lock);
    }
    t->test_name = test_name;
    t->number = t->own_number;
    if (test_name) {
        uint32_t number = record_thread(t->tid, BL_THREAD_TEST, test_name);
        if (number)
            t->number = number;
    }
}

struct bl_thread_state *bl_threads_all(void)
{
    return bl_load_acquire(&all_states);
}

static bool pass_barrier(void)
{
    static bool registered;
    if (!registered)
        registered = bl_sys3(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    return registered && bl_sys3(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* A thread that sets its guard after the barrier sees what was stored before it; one that has set
 * it before is seen here; one that gets its state later takes the lock after us. */
bool bl_threads_grace_begin(void)
{
    if (!pass_barrier())
        return false;
    bl_lock_take(&bl_thread_lock);
    for (struct bl_thread_state *t = all_states; t; t = t->next)
        t->may_be_inside = t->tls && t != bl_tls.thread;
    bl_lock_give(&bl_thread_lock);
    return true;
}

/* A thread that does nothing but allocate is outside for moments only. */
static bool is_outside(const struct bl_tls *tls)
{
    for (int i = 0; i < GRACE_LOOKS; i++) {
        if (bl_load_acquire(&tls->guard) == 0)
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

bool bl_threads_grace_over(void)
{
    bool over = true;
    bl_lock_take(&bl_thread_lock);
    for (struct bl_thread_state *t = all_states; t; t = t->next) {
        if (t->may_be_inside && (!t->tls || is_outside(t->tls)))
            t->may_be_inside = false;
        over = over && !t->may_be_inside;
    }
    bl_lock_give(&bl_thread_lock);
    return over;
}

void bl_threads_see_stacks(void (*see)(uint32_t stack))
{
    bl_lock_take(&bl_thread_lock);
    for (struct bl_thread_state *t = all_states; t; t = t->next) {
        if (!t->tls)
            continue;
        see(bl_load_relaxed(&t->tls->moved_stack));
        for (uint32_t i = 0; i < BL_UNDER_WAY; i++)
            see(bl_load_relaxed(&t->tls->under_way[i].stack));
    }
    bl_lock_give(&bl_thread_lock);
}

void bl_threads_see_numbers(void (*see)(uint32_t number))
{
    bl_lock_take(&bl_thread_lock);
    for (struct bl_thread_state *t = all_states; t; t = t->next) {
        if (t->tls)
            see(bl_load_relaxed(&t->tls->moved_thread));
    }
    bl_lock_give(&bl_thread_lock);
}

void bl_threads_lock(void)
{
    bl_lock_take(&bl_thread_lock);
}

void bl_threads_unlock(void)
{
    bl_lock_give(&bl_thread_lock);
}

void bl_threads_after_fork(uint32_t test_name)
{
    struct bl_thread_state *own = bl_tls.thread;
    free_states = NULL;
    for (struct bl_thread_state *t = all_states; t; t = t->next) {
        if (t != own) {
            if (t->tls)
                note_dead_locked(t);
            t->tls = NULL;
            t->next_free = free_states;
            free_states = t;
        }
    }
    bl_lock_reset(&bl_thread_lock);
    bl_thread_numbers_after_fork();
    if (own) {
        own->tid = bl_sys_gettid();
        own->test_name = test_name;
        own->number = record_thread(own->tid, 0, test_name);
        own->own_number = own->number;
    }
}
