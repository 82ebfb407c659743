#include "java_visit.h"
#include "clock.h"
#include "counters.h"
#include "guard.h"
#include "java_direct.h"
#include "java_pools.h"
#include "java_reach.h"
#include "ledger.h"
#include "real.h"
#include "sigsafe.h"
#include "track.h"

#define LEAST_PAUSE_NS 100000000u
#define LIMIT_PAUSE_NS 5000000000u /* between two snapshots for errors */
#define CLOSE_WAIT_NS  5000000000u
#define LAST_WAIT_NS   2000000000u
#define IDLE_PAUSE_NS  10000000000u /* while only what is not followed may have changed */
#define STACK_BYTES    (1u << 20)   /* Java code runs on it, and the machine keeps 100 KB clear */
#define FOLLOWED_MAX   4u
#define VISITOR_NAME   "bufleak"

enum state { SHUT, OPEN, UNDER_WAY };

static JavaVM *machine;
static jvmtiEnv *vm;
static uint32_t state;        /* atomic, futex: enum state */
static uint32_t wanted;       /* atomic */
static uint32_t limit_wanted; /* atomic */
static uint32_t reach_wanted; /* atomic */
static uint32_t is_last;      /* atomic: it can wait for the youngest buffers */
static uint32_t has_reach;    /* atomic; release: reach_class is set */
static uint8_t reach_class;
static uint64_t visited_ns; /* the helper's, as all below */
static uint64_t limit_ns;
static uint8_t followed[FOLLOWED_MAX]; /* classes */
static uint32_t followed_count;        /* atomic; release */
static uint64_t seen;                  /* births and ends in those, at the latest visit */

/* ---- a visit ---- */

static void look(JNIEnv *env)
{
    bl_java_direct_name(vm, env);
    bl_java_pools_read(vm, env);
    if (!__atomic_exchange_n(&reach_wanted, 0, __ATOMIC_RELAXED))
        return;
    if (bl_load_relaxed(&is_last))
        bl_java_reach_wait(reach_class);
    bl_java_reach_find(vm, env, reach_class);
}

static void *visitor_main(void *unused)
{
    JNIEnv *env = NULL;
    char name[] = VISITOR_NAME;
    JavaVMAttachArgs args = {.version = JNI_VERSION_1_6, .name = name};
    (void)unused;
    bl_tls.internal = 1; /* for good: what this thread does is not the target's */
    bl_guard_enter();
    if ((*machine)->AttachCurrentThreadAsDaemon(machine, (void **)&env, &args) == JNI_OK) {
        look(env);
        (*machine)->DetachCurrentThread(machine);
    }
    bl_store_release(&state, OPEN);
    bl_sys_futex_wake(&state);
    return NULL;
}

static bool begin(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    uint32_t expected = OPEN;
    if (!__atomic_compare_exchange_n(&state, &expected, UNDER_WAY, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool made = bl_real.pthread_create(&thread, &attr, visitor_main, NULL) == 0;
    pthread_attr_destroy(&attr);
    if (!made)
        bl_store_release(&state, OPEN);
    return made;
}

/* True: none is under way. */
static bool wait_for_end(uint64_t wait_ns)
{
    uint64_t end_ns = bl_clock_read(CLOCK_MONOTONIC) + wait_ns;
    uint64_t now_ns;
    while (bl_load_acquire(&state) == UNDER_WAY &&
           (now_ns = bl_clock_read(CLOCK_MONOTONIC)) < end_ns) {
        struct timespec left = {.tv_sec = (time_t)((end_ns - now_ns) / 1000000000u),
                                .tv_nsec = (long)((end_ns - now_ns) % 1000000000u)};
        bl_sys_futex_wait(&state, UNDER_WAY, &left);
    }
    return bl_load_acquire(&state) != UNDER_WAY;
}

static uint64_t operations(void)
{
    uint64_t sum = 0;
    uint32_t n = bl_load_acquire(&followed_count);
    for (uint32_t i = 0; i < n; i++) {
        struct bl_live_sums s = bl_counters_sum(followed[i]);
        sum += s.allocs + s.frees;
    }
    return sum;
}

bool bl_java_visit_make(uint64_t wait_ns)
{
    if (bl_load_relaxed(&state) == SHUT)
        return false;
    bl_store_relaxed(&wanted, 0);
    seen = operations();
    begin(); /* or one of before is not through yet */
    bool is_through = wait_for_end(wait_ns);
    visited_ns = bl_clock_read(CLOCK_MONOTONIC);
    return is_through;
}

/* One that is under way already must end first: it may be through with the search. */
bool bl_java_visit_make_reach(uint64_t wait_ns)
{
    if (bl_load_relaxed(&state) == SHUT || !bl_load_acquire(&has_reach))
        return bl_java_visit_make(wait_ns);
    if (!wait_for_end(wait_ns))
        return false;
    bl_store_relaxed(&reach_wanted, 1);
    return bl_java_visit_make(wait_ns);
}

void bl_java_visit_make_last(void)
{
    if (!bl_track_conf.reach_at_exit || !bl_load_acquire(&has_reach) ||
        !bl_java_reach_is_possible(reach_class) || !wait_for_end(LAST_WAIT_NS))
        return;
    bl_store_relaxed(&is_last, 1);
    bl_store_relaxed(&reach_wanted, 1);
    begin();
    wait_for_end(LAST_WAIT_NS);
}

void bl_java_visit_reach_of(uint8_t class_number)
{
    reach_class = class_number;
    bl_store_release(&has_reach, 1);
}

/* ---- who wants one ---- */

void bl_java_visit_follow(uint8_t class_number)
{
    uint32_t n = bl_load_relaxed(&followed_count);
    if (n == FOLLOWED_MAX)
        return;
    followed[n] = class_number;
    bl_store_release(&followed_count, n + 1);
}

void bl_java_visit_want(void)
{
    if (bl_load_relaxed(&wanted) || bl_load_relaxed(&state) == SHUT)
        return;
    bl_store_relaxed(&wanted, 1);
    __atomic_fetch_add(&bl_header->wake, 1, __ATOMIC_RELEASE);
    bl_sys_futex_wake(&bl_header->wake);
}

void bl_java_visit_want_limit(void)
{
    bl_store_relaxed(&limit_wanted, 1);
    bl_java_visit_want();
}

bool bl_java_visit_is_due(uint64_t now_ns, bool is_turn)
{
    if (bl_load_relaxed(&state) == SHUT)
        return false;
    if (is_turn && (now_ns - visited_ns >= IDLE_PAUSE_NS || operations() != seen))
        return true;
    return bl_load_relaxed(&wanted) && now_ns - visited_ns >= LEAST_PAUSE_NS;
}

bool bl_java_visit_is_limit_met(uint64_t now_ns)
{
    bool is_near = bl_java_pools_is_near_limit();
    bool has_failed = bl_load_relaxed(&limit_wanted) != 0;
    if (!is_near && (!has_failed || (limit_ns && now_ns - limit_ns < LIMIT_PAUSE_NS)))
        return false;
    bl_store_relaxed(&limit_wanted, 0);
    limit_ns = now_ns;
    return true;
}

/* ---- the machine's life ---- */

void bl_java_visit_open(JavaVM *the_machine, jvmtiEnv *the_vm)
{
    machine = the_machine;
    vm = the_vm;
    bl_store_release(&state, OPEN);
}

void bl_java_visit_close(void)
{
    uint32_t expected;
    do {
        expected = OPEN;
    } while (wait_for_end(CLOSE_WAIT_NS) &&
             !__atomic_compare_exchange_n(&state, &expected, SHUT, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED) &&
             expected != SHUT);
}

void bl_java_visit_after_fork(void)
{
    bl_store_relaxed(&state, SHUT);
    bl_java_direct_stop();
}
