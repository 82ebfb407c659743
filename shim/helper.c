#include "helper.h"
#include "clock.h"
#include "dir.h"
#include "guard.h"
#include "jvm/java_slots.h"
#include "jvm/java_visit.h"
#include "ledger.h"
#include "limit.h"
#include "losses.h"
#include "marks.h"
#include "own_check.h"
#include "reach.h"
#include "real.h"
#include "say.h"
#include "series.h"
#include "signals.h"
#include "snapshot.h"
#include "sweep.h"
#include "usage.h"

#include <errno.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/prctl.h>

#define VISIT_WAIT_NS  1000000000u  /* how long a turn or a snapshot waits for the Java machine */
#define REACH_WAIT_NS  30000000000u /* for a collection and a walk over the whole heap */
#define SAY_EVERY_NS   1000000000u
#define ALONE_EVERY_NS 1000000000u /* how long a process may outlive its last thread */

static pthread_t thread;
static bool runs;
static uint32_t tid;      /* atomic; 0 until the thread has begun */
static uint32_t stopping; /* atomic */
static const char *ledger_base;
static uint64_t beat_ns;
static uint64_t said_ns;

/* Told even where others have just been: it comes but now and then. */
static void say_limit(struct bl_text *t)
{
    bl_text_str(t, "limit of ");
    bl_text_u64(t, bl_header->limit_bytes);
    bl_text_str(t, " bytes reached: ");
}

static void say_snapshot(int error, enum bl_reason reason, uint32_t number)
{
    char buffer[2 * BL_DIR_PATH_MAX + 512];
    struct bl_text t;
    uint64_t now = bl_clock_read(CLOCK_MONOTONIC);
    if (said_ns && now - said_ns < SAY_EVERY_NS && reason != BL_REASON_LIMIT)
        return;
    said_ns = now;
    bl_say_begin(&t, buffer, sizeof buffer, bl_header->comm, bl_header->pid);
    if (reason == BL_REASON_LIMIT)
        say_limit(&t);
    if (error) {
        bl_text_str(&t, "snapshot not written to ");
        bl_text_str(&t, *bl_dir_path() ? bl_dir_path() : "a ledger directory");
        bl_text_str(&t, ": ");
        const char *why = strerrorname_np(-error);
        bl_text_str(&t, why ? why : "error");
        bl_text_str(&t, "; the live ledger can be read: bufleak report --live ");
    } else {
        bl_text_str(&t, "snapshot ");
        bl_text_u64(&t, number);
        bl_text_str(&t, " in ");
        bl_text_str(&t, bl_dir_path());
        bl_text_str(&t, "/");
        bl_text_str(&t, ledger_base);
        bl_text_str(&t, ".");
        bl_text_u64(&t, number);
        bl_text_str(&t, "; read it with: bufleak report ");
    }
    bool is_elsewhere = !error && bl_dir_is_second(); /* where a PID is not looked for */
    if (is_elsewhere) {
        bl_text_str(&t, bl_dir_path());
        bl_text_str(&t, "/");
        bl_text_str(&t, ledger_base);
        bl_text_str(&t, ".");
        bl_text_u64(&t, number);
    } else {
        bl_text_u64(&t, bl_header->pid);
    }
    bl_say(&t);
}

/* The machine's own code must not run among other descriptors than the program's. */
static void ask_java(uint32_t flags)
{
    if (bl_sys_few_descriptors)
        return;
    if (flags & BL_DUMP_REACH_JAVA)
        bl_java_visit_make_reach(REACH_WAIT_NS);
    else
        bl_java_visit_make(VISIT_WAIT_NS);
}

/* flags: BL_DUMP_* */
static bool make_snapshot(enum bl_reason reason, uint32_t flags)
{
    uint32_t number = bl_header->snapshots + 1;
    bl_java_slots_look();
    ask_java(flags);
    bl_own_check_all();
    int error = bl_snapshot_write(ledger_base, reason, number, flags);
    if (!error)
        bl_store_release(&bl_header->snapshots, number);
    bl_store_release(&bl_header->snapshot_error, -error);
    say_snapshot(error, reason, number);
    return error == 0;
}

/* All requests that came before are answered by one snapshot. */
static void answer_requests(void)
{
    uint32_t dumps = bl_load_acquire(&bl_header->dump_requests);
    uint32_t signals = bl_load_acquire(&bl_header->signal_requests);
    bool dump = dumps != bl_header->dump_served;
    bool signal = signals != bl_header->signal_served;
    uint32_t flags = dump ? __atomic_exchange_n(&bl_header->dump_flags, 0, __ATOMIC_ACQ_REL) : 0;
    if (dump || signal)
        make_snapshot(dump ? BL_REASON_DUMP : BL_REASON_SIGNAL, flags);
    bl_store_release(&bl_header->signal_served, signals);
    if (dump) {
        bl_store_release(&bl_header->dump_served, dumps);
        bl_sys_futex_wake(&bl_header->dump_served);
    }
}

/* What a Java program says of its direct memory; near the limit of that, a snapshot. */
static void visit_java(uint64_t now_ns, bool is_turn)
{
    if (is_turn)
        bl_java_slots_look();
    if (bl_sys_few_descriptors || !bl_java_visit_is_due(now_ns, is_turn))
        return;
    bl_java_visit_make(VISIT_WAIT_NS);
    if (bl_java_visit_is_limit_met(now_ns))
        make_snapshot(BL_REASON_LIMIT, 0);
}

static uint64_t read_field(const char *stat, int number)
{
    const char *at = strrchr(stat, ')'); /* field 2 ends here, comm may hold anything */
    uint64_t value = 0;
    for (int field = 2; at && field < number; field++)
        at = strchr(at + 1, ' ');
    if (at) {
        at++;
        bl_parse_u64(&at, &value);
    }
    return value;
}

/* Has every thread of the program ended, the first by pthread_exit or the system call? Then the
 * process is to end as it would without us: by our return, which lets libc call exit after a
 * pthread_exit, or with the status the first thread left. Its zombie still counts as a thread. */
static bool is_alone(void)
{
    char stat[1024];
    if (bl_usage_read_leader(stat, sizeof stat) <= 0)
        return false;
    const char *comm_end = strrchr(stat, ')');
    if (!comm_end || comm_end[1] != ' ' || comm_end[2] != 'Z' || read_field(stat, 20) > 2)
        return false;
    long status = (long)(read_field(stat, 52) >> 8 & 0xff);
    if (status)
        bl_sys3(SYS_exit, status, 0, 0);
    return true;
}

/* Until the next turn is due, but not so long that the last thread's end goes unnoticed. */
static void wait_for_work(uint32_t seen, uint64_t now_ns, uint64_t due_ns)
{
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    if (wait_ns > ALONE_EVERY_NS)
        wait_ns = ALONE_EVERY_NS;
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                               .tv_nsec = (long)(wait_ns % 1000000000u)};
    if (!bl_load_acquire(&stopping))
        bl_sys_futex_wait(&bl_header->wake, seen, &timeout);
}

/* What it opens then takes no number of the program's, and what the program closes is not held open
 * here. Where the kernel knows no such thing it opens in passing only what it cannot do without. */
static void take_own_descriptors(void)
{
    if (bl_sys3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) == 0)
        bl_usage_open();
}

static void *helper_main(void *unused)
{
    uint64_t due_ns = 0;
    (void)unused;
    bl_tls.internal = 1; /* for good: what this thread does is not the target's */
    bl_guard_enter();
    bl_sys3(SYS_prctl, PR_SET_NAME, (long)"bufleak", 0);
    if (bl_sys_few_descriptors)
        take_own_descriptors();
    bl_store_release(&tid, bl_sys_gettid());
    bl_reach_set_helper(bl_sys_gettid(), __builtin_frame_address(0));
    while (!bl_load_acquire(&stopping) && !is_alone()) {
        uint32_t seen = bl_load_acquire(&bl_header->wake);
        if (bl_signals_collect())
            make_snapshot(BL_REASON_SIGNAL, 0);
        if (bl_limit_is_due())
            bl_limit_done(make_snapshot(BL_REASON_LIMIT, 0));
        answer_requests();
        bl_marks_answer();
        uint64_t now_ns = bl_clock_read(CLOCK_MONOTONIC);
        bl_store_relaxed(&bl_header->heartbeat_ns, now_ns);
        bl_sweep_turn(now_ns);
        visit_java(now_ns, now_ns >= due_ns);
        if (now_ns >= due_ns) {
            bl_series_turn(now_ns, beat_ns);
            due_ns = due_ns + beat_ns > now_ns ? due_ns + beat_ns : now_ns + beat_ns;
            now_ns = bl_clock_read(CLOCK_MONOTONIC);
        }
        wait_for_work(seen, now_ns, due_ns);
    }
    return NULL;
}

static int create_thread(void)
{
    /* Static TLS of the target's libraries lies on every thread's stack: a small one may not do. */
    static const size_t sizes[] = {192u << 10, 1u << 20, 0};
    int error = EAGAIN;
    for (size_t i = 0; error && i < BL_ARRAY_LENGTH(sizes); i++) {
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        if (sizes[i])
            pthread_attr_setstacksize(&attr, sizes[i]);
        error = bl_real.pthread_create(&thread, &attr, helper_main, NULL);
        pthread_attr_destroy(&attr);
    }
    return error;
}

void bl_helper_start(const char *base, uint64_t interval_ns)
{
    if (runs)
        return;
    int saved = errno;
    ledger_base = base;
    beat_ns = interval_ns;
    bl_guard_enter_internal();
    /* All signals but 32 and 33, which glibc needs in every thread to cancel and to change users.
     */
    uint64_t all = ~(3ull << 31);
    uint64_t old = 0;
    bl_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&old, sizeof all);
    bl_store_relaxed(&stopping, 0);
    bl_store_relaxed(&tid, 0);
    bl_reach_set_helper(0, NULL);
    bl_reach_expect_helper(true);
    runs = create_thread() == 0;
    if (!runs)
        bl_reach_expect_helper(false);
    bl_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, sizeof old);
    if (runs) {
        __atomic_fetch_and(&bl_header->flags, ~BL_FLAG_NO_HELPER, __ATOMIC_RELAXED);
    } else {
        bl_losses_add(BL_LOSS_helper_missing, 1);
        __atomic_fetch_or(&bl_header->flags, BL_FLAG_NO_HELPER, __ATOMIC_RELAXED);
    }
    bl_guard_leave_internal();
    errno = saved;
}

void bl_helper_stop(void)
{
    if (!runs)
        return;
    int saved = errno;
    bl_guard_enter_internal();
    bl_store_release(&stopping, 1);
    __atomic_fetch_add(&bl_header->wake, 1, __ATOMIC_RELEASE);
    bl_sys_futex_wake(&bl_header->wake);
    pthread_join(thread, NULL);
    uint32_t pid = bl_sys_getpid();
    while (bl_sys3(SYS_tgkill, pid, bl_load_acquire(&tid), 0) == 0)
        bl_sys3(SYS_sched_yield, 0, 0, 0);
    bl_reach_expect_helper(false);
    bl_reach_set_helper(0, NULL);
    runs = false;
    bl_guard_leave_internal();
    errno = saved;
}

bool bl_helper_runs(void)
{
    return runs;
}

void bl_helper_after_fork(void)
{
    runs = false;
}
