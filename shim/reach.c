#include "reach.h"
#include "arena.h"
#include "clock.h"
#include "early.h"
#include "frees.h"
#include "ledger.h"
#include "live.h"
#include "losses.h"
#include "modules.h"
#include "names.h"
#include "real.h"
#include "references.h"
#include "roots.h"
#include "stop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define EXIT_SLACK_BYTES (16ull << 20) /* more than the ledger grows by in a moment */

#define CHILD_SECONDS 120 /* of CPU time: it marks for so long at most */
#define TURN_WAITS    20000
#define STOP_TRIES    5
#define SIGSET_BYTES  8u

static uint32_t under_way; /* atomic */
static struct bl_roots_job job;
static struct bl_roots_result *result; /* NULL: none could be had */
static struct bl_reach_run run;
static const char *why;
static long child; /* 0: none */
static uint64_t frozen_ns;
static uint64_t begun_ns;
static uint64_t locked_ns;
static uint32_t helper_tid;
static uint64_t helper_frame;
static bool helper_expected; /* atomic */

static uint64_t now_ns(void)
{
    return bl_clock_read(CLOCK_MONOTONIC);
}

void bl_reach_expect_helper(bool expected)
{
    bl_store_release(&helper_expected, expected);
}

/* It blocks all signals from its first moment on: nobody could wait for it to stop. */
static void await_helper(void)
{
    while (bl_load_acquire(&helper_expected) && !bl_load_acquire(&helper_tid))
        bl_sys3(SYS_sched_yield, 0, 0, 0);
}

void bl_reach_set_helper(uint32_t tid, const void *frame)
{
    helper_frame = (uint64_t)(uintptr_t)frame;
    bl_store_release(&helper_tid, tid);
}

static void fail(const char *reason, int error)
{
    if (why)
        return;
    why = reason;
    run.error = error < 0 ? -error : error;
}

/* ---- the run's record ---- */

static void write_run(enum bl_reach_outcome outcome)
{
    if (bl_ledger_ensure(BL_SECTION_REACH_RUN, 1) != 0)
        return;
    struct bl_reach_run *record = bl_ledger_at(BL_SECTION_REACH_RUN, 0);
    bl_store_release(&record->outcome, BL_REACH_RUNNING);
    run.outcome = BL_REACH_RUNNING;
    run.why_name = why ? bl_names_add_str(why) : 0;
    memcpy(record, &run, sizeof run);
    bl_store_release(&record->outcome, (uint32_t)outcome);
    bl_ledger_publish(BL_SECTION_REACH_RUN, 1);
}

/* Blocks that are not in the table hold others that then look lost. */
static bool is_incomplete(void)
{
    static const enum bl_loss causes[] = {
        BL_LOSS_events_reentrant, BL_LOSS_buffers_no_memory, BL_LOSS_buffers_no_space,
        BL_LOSS_forks_unseen,     BL_LOSS_inherited_dropped,
    };
    uint64_t sum = 0;
    for (size_t i = 0; i < BL_ARRAY_LENGTH(causes); i++)
        sum += bl_load_relaxed(&bl_losses_at[causes[i]]);
    return sum > 0 || bl_arena_unnoted() > 0 || bl_load_relaxed(&bl_early_count) > BL_EARLY_MAX;
}

/* ---- beginning ---- */

static void make_room(void)
{
    uint64_t published = bl_load_acquire(&bl_header->published[BL_SECTION_LIVE]);
    uint64_t count = published + published / 8 + 65536; /* it may grow until the locks are taken */
    if (count > UINT32_MAX - 2)
        count = UINT32_MAX - 2;
    uint64_t bytes = bl_roots_room((uint32_t)count);
    result = bl_sys_map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1, 0);
    if (!result) {
        fail("there is no memory for it", ENOMEM);
        return;
    }
    job.live_count = (uint32_t)count;
    bl_roots_lay_out(result, (uint32_t)count, bytes);
}

bool bl_reach_begin(void)
{
    if (__atomic_exchange_n(&under_way, 1, __ATOMIC_ACQUIRE))
        return false;
    memset(&job, 0, sizeof job);
    memset(&run, 0, sizeof run);
    why = NULL;
    result = NULL;
    child = 0;
    begun_ns = now_ns();
    run.child_status = -1;
    run.method = BL_REACH_BY_CLONE;
    if (bl_header->sample_bytes > 1)
        fail("only a sample of the blocks is recorded (sample=)", 0);
    else
        make_room();
    write_run(BL_REACH_RUNNING);
    await_helper();
    return true;
}

/* ---- the picture ---- */

/* In the child: its descriptors are its own from here on, and none of them is needed. */
static void leave_descriptors(void)
{
    bl_sys3(SYS_close_range, 0, UINT32_MAX, CLOSE_RANGE_UNSHARE);
}

/* If memory gets short, let it be this process that goes. */
static void go_first(void)
{
    long fd =
        bl_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    bl_sys3(SYS_write, fd, (long)"1000", 4);
    bl_sys_close((int)fd);
}

/* Memory of the parent's that cannot be read: no core, which some kernels would end the parent for.
 */
static void on_child_fault(int number)
{
    bl_sys3(SYS_exit_group, number, 0, 0);
}

static void catch_child_faults(void)
{
    uint64_t blocked = ~(1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1));
    struct sigaction on = {.sa_flags = 0};
    sigfillset(&on.sa_mask);
    on.sa_handler = on_child_fault;
    bl_real.sigaction(SIGSEGV, &on, NULL);
    bl_real.sigaction(SIGBUS, &on, NULL);
    bl_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&blocked, 0, SIGSET_BYTES);
}

/* shares: its memory is the parent's, its descriptors, signals and limits are its own. */
BL_NOINLINE static void be_the_child(bool shares)
{
    bl_sys3(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
    leave_descriptors();
    if (shares) {
        catch_child_faults();
    } else {
        bl_losses_detach(); /* the counters are the parent's */
        go_first();
    }
    struct rlimit limit = {CHILD_SECONDS, CHILD_SECONDS};
    bl_sys4(SYS_prlimit64, 0, RLIMIT_CPU, (long)&limit, 0);
    struct rlimit no_core = {1, 1}; /* 1, not 0: a core that goes to a pipe has no other limit */
    bl_sys4(SYS_prlimit64, 0, RLIMIT_CORE, (long)&no_core, 0);
    bl_roots_mark(&job, result);
    bl_sys3(SYS_exit_group, 0, 0, 0);
}

/* All signals are blocked in the child, for good: what the process is sent is not for it. One that
 * shares the memory has the stack too, and the parent comes back when it has ended: no page tables
 * are copied, and no page is for being written to. */
static void clone_process(bool shares)
{
    uint64_t all = ~0ull;
    uint64_t old = 0;
    bl_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&old, SIGSET_BYTES);
    long flags = CLONE_FILES | (shares ? CLONE_VM | CLONE_VFORK : 0);
    child = bl_sys6(SYS_clone, flags, 0, 0, 0, 0, 0);
    if (child == 0)
        be_the_child(shares);
    bl_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, SIGSET_BYTES);
}

static void prepare_job(const unsigned char *copy, uint64_t length)
{
    const struct bl_header *header = (const void *)copy;
    uint64_t published = header->published[BL_SECTION_LIVE];
    if (published < job.live_count)
        job.live_count = (uint32_t)published;
    bl_ledger_chunks_in(copy, BL_SECTION_LIVE, job.live);
    job.own_tid = bl_sys_gettid();
    job.helper_frame = helper_frame;
    job.copy_start = (uint64_t)(uintptr_t)copy;
    job.copy_end = job.copy_start + length;
}

static void stop_threads(void)
{
    const char *reason = NULL;
    int error = -EBUSY;
    /* A thread that libc makes or ends, or that forks, blocks all signals for a moment. */
    for (int i = 0; error == -EBUSY && i < STOP_TRIES; i++) {
        frozen_ns = now_ns();
        error = bl_stop_all(bl_load_acquire(&helper_tid), &job.stop, &reason);
    }
    if (error) {
        fail(reason, error);
        return;
    }
    job.is_stopped = true;
    run.stopped_ns = now_ns();
    run.threads = job.stop.count;
    run.threads_stopped = job.stop.stopped;
    run.threads_degraded = job.stop.degraded;
}

void bl_reach_freeze(const unsigned char *copy, uint64_t length, uint64_t locked_since_ns)
{
    locked_ns = locked_since_ns;
    if (why)
        return;
    prepare_job(copy, length);
    if (is_incomplete())
        run.flags |= BL_REACH_INCOMPLETE;
    stop_threads();
    if (why)
        return;
    clone_process(false);
    if (child < 0)
        fail("no copy of the process could be made", (int)child);
}

/* Nobody else changes anything, and the locks are held: there is nothing to stop, nor to copy. */
static void mark_alone(void)
{
    uint64_t published = bl_load_acquire(&bl_header->published[BL_SECTION_LIVE]);
    if (published < job.live_count)
        job.live_count = (uint32_t)published;
    for (uint32_t i = 0; i < BL_CHUNKS_MAX && i < BL_ARRAY_LENGTH(job.live); i++)
        job.live[i] = bl_load_acquire(&bl_chunks[BL_SECTION_LIVE][i]);
    job.own_tid = bl_sys_gettid();
    job.helper_frame = helper_frame;
    job.is_stopped = true;
    run.stopped_ns = now_ns();
    if (is_incomplete())
        run.flags |= BL_REACH_INCOMPLETE;
    clone_process(true);
}

void bl_reach_thaw(void)
{
    if (job.is_stopped) {
        bl_stop_resume();
        run.pause_ns = now_ns() - frozen_ns;
    }
    run.locked_ns = now_ns() - locked_ns;
}

/* ---- the result ---- */

static void await_child(void)
{
    int status = 0;
    long r;
    do
        r = bl_sys4(SYS_wait4, child, (long)&status, __WALL, 0);
    while (r == -EINTR);
    if (r < 0) {
        fail("the marking child cannot be waited for", (int)r);
        return;
    }
    run.child_status = status;
    if (!bl_load_acquire(&result->is_complete))
        fail("the marking child died", 0);
}

static void take_counts(void)
{
    const struct bl_reach_run *found = &result->run;
    run.flags |= found->flags;
    run.regions = found->regions;
    run.root_bytes = found->root_bytes;
    run.heap_bytes = found->heap_bytes;
    run.blocks = found->blocks;
    run.held = found->held;
    run.interior = found->interior;
    run.leaders = found->leaders;
    run.indirect = found->indirect;
    run.lost_bytes = found->lost_bytes;
}

/* The objects that roots are in, by their numbers in the ledger. */
static void take_modules(uint32_t numbers[BL_IMAGE_OBJECTS])
{
    for (uint32_t n = 1; n < result->root_count; n++) {
        uint32_t object = result->roots[n].module;
        if (!object || object > result->object_count || numbers[object - 1])
            continue;
        const struct bl_object_file *o = &result->objects[object - 1];
        struct bl_module record = {
            .map_start = o->start,
            .map_end = o->end,
            .load_bias = o->bias,
            .build_id_length = o->build_id_length,
        };
        memcpy(record.build_id, o->build_id, sizeof record.build_id);
        numbers[object - 1] = bl_modules_note(&record, result->text + o->path);
    }
}

static int take_roots(void)
{
    static uint32_t numbers[BL_IMAGE_OBJECTS];
    uint32_t last_text = 0;
    uint32_t last_name = 0;
    if (bl_ledger_ensure(BL_SECTION_REACH_ROOTS, result->root_count) != 0)
        return -ENOSPC;
    memset(numbers, 0, sizeof numbers);
    take_modules(numbers);
    for (uint32_t n = 1; n < result->root_count; n++) {
        struct bl_reach_root root = result->roots[n];
        root.module = root.module ? numbers[root.module - 1] : 0;
        if (root.name && root.name != last_text) {
            last_name = bl_names_add_str(result->text + root.name);
            last_text = root.name;
        }
        root.name = root.name ? last_name : 0;
        memcpy(bl_ledger_at(BL_SECTION_REACH_ROOTS, n), &root, sizeof root);
    }
    bl_ledger_publish(BL_SECTION_REACH_ROOTS, result->root_count);
    return 0;
}

static int take_blocks(void)
{
    if (bl_ledger_ensure(BL_SECTION_REACH, job.live_count) != 0)
        return -ENOSPC;
    uint64_t known = bl_header->published[BL_SECTION_REACH];
    uint64_t count = known > job.live_count ? known : job.live_count;
    for (uint32_t n = 0; n < count; n++) {
        struct bl_reach *to = bl_ledger_at(BL_SECTION_REACH, n);
        *to = n < job.live_count ? result->reach[n] : (struct bl_reach){0};
    }
    bl_ledger_publish(BL_SECTION_REACH, count);
    return 0;
}

static void take_result(void)
{
    if (result->error) {
        fail(result->error == -ENOMEM ? "there is no memory for it" : "/proc cannot be read",
             result->error);
        return;
    }
    int error = take_roots();
    if (!error)
        error = take_blocks();
    if (error)
        fail("there is no space for the result", error);
    take_counts();
}

static void end_turn(void)
{
    run.total_ns = now_ns() - begun_ns;
    write_run(why ? BL_REACH_FAILED : BL_REACH_DONE);
    if (result)
        bl_sys_unmap(result, result->bytes);
    result = NULL;
    bl_store_release(&under_way, 0);
}

void bl_reach_finish(void)
{
    if (child > 0)
        await_child();
    if (!why)
        take_result();
    end_turn();
}

/* ---- at the end of the process ---- */

static sigjmp_buf way_out;
static uint32_t marking_tid;
static struct sigaction old_segv;
static struct sigaction old_bus;

/* Memory that went away while it was read: by a thread that libc runs with all signals blocked. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (bl_sys_gettid() == bl_load_relaxed(&marking_tid))
        siglongjmp(way_out, 1);
    bl_real.sigaction(number, number == SIGSEGV ? &old_segv : &old_bus, NULL);
}

static void mark_in_process(void)
{
    struct sigaction on = {.sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&on.sa_mask);
    on.sa_sigaction = on_fault;
    why = NULL;
    run.error = 0;
    run.method = BL_REACH_IN_PROCESS;
    bl_store_relaxed(&marking_tid, bl_sys_gettid());
    bl_real.sigaction(SIGSEGV, &on, &old_segv);
    bl_real.sigaction(SIGBUS, &on, &old_bus);
    if (sigsetjmp(way_out, 1) == 0)
        bl_roots_mark(&job, result);
    else
        fail("memory went away while it was looked at", EFAULT);
    bl_real.sigaction(SIGSEGV, &old_segv, NULL);
    bl_real.sigaction(SIGBUS, &old_bus, NULL);
    bl_store_relaxed(&marking_tid, 0);
}

/* Is there no thread but this one and the helper? Then none will come. */
static bool is_alone(void)
{
    char entries[512] BL_ALIGNED(8);
    uint32_t others = 0;
    long fd = bl_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/task",
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    long length = bl_sys3(SYS_getdents64, fd, (long)entries, sizeof entries);
    bool is_all = length > 0 && bl_sys3(SYS_getdents64, fd, (long)(entries + length),
                                        (long)sizeof entries - length) == 0;
    bl_sys_close((int)fd);
    for (long at = 0; at < length;) {
        const struct {
            uint64_t ino;
            int64_t off;
            uint16_t length;
            uint8_t type;
            char name[];
        } *entry = (const void *)(entries + at);
        const char *digits = entry->name;
        uint64_t tid = 0;
        if (bl_parse_u64(&digits, &tid) && tid != bl_sys_gettid() &&
            tid != bl_load_acquire(&helper_tid))
            others++;
        at += entry->length;
    }
    return is_all && others == 0;
}

static void end_alone(void)
{
    uint64_t since = now_ns();
    bl_refs_lock();
    bl_frees_lock();
    bl_live_lock();
    locked_ns = since;
    if (!why)
        mark_alone();
    if (child < 0)
        mark_in_process();
    bl_live_unlock();
    bl_frees_unlock();
    bl_refs_unlock();
    run.locked_ns = now_ns() - locked_ns;
    bl_reach_finish();
}

/* There is no snapshot at the end: a copy is made to have still ground. The ledger may grow until
 * the locks are taken: the helper thread still enters what it sees. */
static void freeze_for_exit(void)
{
    uint64_t length = bl_ledger_length() + EXIT_SLACK_BYTES;
    unsigned char *copy = bl_sys_map(length, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t since = now_ns();
    bl_refs_lock();
    bl_frees_lock();
    bl_live_lock();
    if (!copy || bl_ledger_copy(copy, length, true) > length)
        fail("there is no memory for it", ENOMEM);
    bl_reach_freeze(copy, length, since);
    bl_live_unlock();
    bl_frees_unlock();
    bl_refs_unlock();
    if (child < 0)
        mark_in_process();
    bl_reach_thaw();
    bl_reach_finish();
    bl_sys_unmap(copy, length);
}

/* Registers that nobody has saved since the program called are still in place here; the others are
 * on the stack above. */
BL_NOINLINE static void note_own_place(void)
{
    uint64_t *r = job.own_registers;
    __asm__ volatile("movq %%rbx, %0" : "=m"(r[0]));
    __asm__ volatile("movq %%r12, %0" : "=m"(r[1]));
    __asm__ volatile("movq %%r13, %0" : "=m"(r[2]));
    __asm__ volatile("movq %%r14, %0" : "=m"(r[3]));
    __asm__ volatile("movq %%r15, %0" : "=m"(r[4]));
    job.own = BL_ORIGIN_HERE();
    r[5] = job.own.rbp;
}

void bl_reach_at_exit(void)
{
    struct timespec pause = {.tv_nsec = 1000000};
    int waits = 0;
    while (!bl_reach_begin() && waits++ < TURN_WAITS)
        bl_sys4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&pause, 0);
    if (waits > TURN_WAITS)
        return;
    run.flags |= BL_REACH_AT_EXIT;
    note_own_place();
    if (is_alone())
        end_alone();
    else
        freeze_for_exit();
}

void bl_reach_cancel(void)
{
    if (!bl_load_relaxed(&under_way))
        return;
    fail("no snapshot could be written", 0);
    end_turn();
}

void bl_reach_after_fork(void)
{
    bl_store_relaxed(&under_way, 0);
    bl_store_relaxed(&helper_tid, 0);
    bl_store_relaxed(&helper_expected, false);
    helper_frame = 0;
    bl_stop_after_fork();
}
