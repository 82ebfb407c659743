#include "process.h"
#include "annotate.h"
#include "arena.h"
#include "cfi.h"
#include "clock.h"
#include "counters.h"
#include "dir.h"
#include "environment.h"
#include "frees.h"
#include "helper.h"
#include "jvm/java_assembly.h"
#include "jvm/java_visit.h"
#include "hook_list.h"
#include "ledger.h"
#include "limit.h"
#include "losses.h"
#include "marks.h"
#include "modules.h"
#include "names.h"
#include "own_check.h"
#include "profile_files.h"
#include "profile_hooks.h"
#include "reach.h"
#include "real.h"
#include "references.h"
#include "regions.h"
#include "requests.h"
#include "say.h"
#include "series.h"
#include "sweep.h"
#include "sigsafe.h"
#include "signals.h"
#include "snapshot.h"
#include "stacks.h"
#include "stop.h"
#include "track.h"
#include "usage.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NAME_TRIES      16
#define BAD_OPTIONS_MAX 16u

static char file_base[BL_DIR_NAME_MAX]; /* NAME.PID.START.ledger, also when there is no file */
static char
    ledger_dir[BL_DIR_PATH_MAX]; /* where the file is: the directory may be another by now */
static char spool_name[BL_DIR_NAME_MAX];
static uint32_t *state_page; /* wiped by the kernel in a child of fork */
static uint32_t fallback_state;
static bool fork_ready; /* between prepare and child: all locks are held */

/* ---- identity ---- */

static void read_comm(char comm[16])
{
    memset(comm, 0, 16);
    long n = bl_sys_read_file("/proc/self/comm", comm, 16);
    if (n <= 0)
        bl_sys3(SYS_prctl, PR_GET_NAME, (long)comm, 0);
    comm[15] = '\0';
    char *newline = strchr(comm, '\n');
    if (newline)
        *newline = '\0';
}

static uint64_t read_start_ticks(uint32_t pid)
{
    char path[32];
    char stat[1024];
    struct bl_text t;
    bl_text_init(&t, path, sizeof path);
    bl_text_str(&t, "/proc/");
    bl_text_u64(&t, pid);
    bl_text_str(&t, "/stat");
    if (bl_sys_read_file(path, stat, sizeof stat) <= 0)
        return 0;
    const char *at = strrchr(stat, ')'); /* comm may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    uint64_t ticks = 0;
    if (at) {
        at++;
        bl_parse_u64(&at, &ticks);
    }
    return ticks;
}

static uint64_t read_pid_namespace(void)
{
    char link[64] = {0};
    uint64_t inode = 0;
    bl_sys4(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/ns/pid", (long)link, sizeof link - 1);
    const char *at = strchr(link, '[');
    if (at) {
        at++;
        bl_parse_u64(&at, &inode);
    }
    return inode;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void read_boot_id(uint8_t id[16])
{
    char text[64];
    size_t nibble = 0;
    memset(id, 0, 16);
    if (bl_sys_read_file("/proc/sys/kernel/random/boot_id", text, sizeof text) <= 0)
        return;
    for (const char *at = text; *at && nibble < 32; at++) {
        int digit = hex_digit(*at);
        if (digit >= 0) {
            id[nibble / 2] = (uint8_t)(id[nibble / 2] << 4 | digit);
            nibble++;
        }
    }
}

/* What is different in every process, also in a forked child. */
static void fill_identity(struct bl_header *h)
{
    h->pid = bl_sys_getpid();
    h->ppid = (uint32_t)bl_sys3(SYS_getppid, 0, 0, 0);
    h->uid = (uint32_t)bl_sys3(SYS_geteuid, 0, 0, 0);
    h->proc_start_ticks = read_start_ticks(h->pid);
    h->pid_namespace = read_pid_namespace();
    h->start_realtime_ns = bl_clock_read(CLOCK_REALTIME);
    h->start_ns = bl_clock_read(CLOCK_MONOTONIC);
    bl_clock_floor_ns = h->start_ns;
    h->state = BL_STATE_RUNNING;
    h->exit_kind = BL_EXIT_NONE;
    h->exit_status = 0;
    h->end_ns = 0;
    h->dump_requests = 0;
    h->dump_served = 0;
    h->signal_requests = 0;
    h->signal_served = 0;
    h->dump_flags = 0;
    h->snapshots = 0;
    h->snapshot_error = 0;
    h->limit_snapshots = 0;
    h->limit_reached_ns = 0;
    h->limit_refused = 0;
    h->limit_stack = 0;
    h->limit_refused_bytes = 0;
    h->limit_first_bytes = 0;
    h->sampled_ns = 0;
    h->round_ns = 0;
    h->mark_owner = 0;
    h->mark_requests = 0;
    h->mark_served = 0;
    h->mark_error = 0;
    memset(h->execs, 0, sizeof h->execs);
    read_comm(h->comm);
}

static void fill_options(struct bl_header *h, const struct bl_conf *conf)
{
    memcpy(h->magic, BL_MAGIC, sizeof h->magic);
    h->version = BL_VERSION_FORMAT;
    h->header_size = sizeof *h;
    strncpy(h->tool_version, BL_VERSION, sizeof h->tool_version - 1);
    h->depth_frames = conf->depth_frames;
    h->sample_bytes = conf->sample_bytes;
    h->interval_ns = conf->interval_ns;
    h->signal = conf->signal;
    h->limit_bytes = conf->limit_bytes;
    h->limit_action = conf->limit_fails ? BL_LIMIT_FAIL : BL_LIMIT_REPORT;
    h->flags = (conf->quiet ? BL_FLAG_QUIET : 0u) | (conf->at_exit ? BL_FLAG_AT_EXIT : 0u) |
               (conf->follow ? BL_FLAG_FOLLOW : 0u) | (conf->mmap ? BL_FLAG_MMAP : 0u);
    read_boot_id(h->boot_id);
}

static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+';
}

static void make_file_base(const struct bl_header *h, uint32_t attempt)
{
    struct bl_text t;
    bl_text_init(&t, file_base, sizeof file_base);
    for (const char *c = h->comm; *c; c++)
        bl_text_bytes(&t, is_name_char(*c) ? c : "_", 1);
    bl_text_str(&t, ".");
    bl_text_u64(&t, h->pid);
    bl_text_str(&t, ".");
    bl_text_u64(&t, h->start_realtime_ns / 1000 + attempt);
    struct bl_text s;
    bl_text_init(&s, spool_name, sizeof spool_name);
    bl_text_u64(&s, h->pid);
    bl_text_str(&s, ".");
    bl_text_u64(&s, h->start_realtime_ns / 1000 + attempt);
    bl_text_str(&s, BL_SPOOL_SUFFIX);
    bl_text_str(&t, BL_LEDGER_SUFFIX);
}

static void remember_directory(void)
{
    struct bl_text t;
    bl_text_init(&t, ledger_dir, sizeof ledger_dir);
    bl_text_str(&t, bl_dir_path());
}

static void fill_names(void)
{
    char buffer[4096];
    long n = bl_sys4(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)buffer, sizeof buffer);
    if (n > 0)
        bl_header->exe_name = bl_names_add(buffer, (size_t)n);
    n = bl_sys_read_file("/proc/self/cmdline", buffer, sizeof buffer);
    if (n > 0)
        bl_header->cmdline_name = bl_names_add(buffer, (size_t)n);
    const char *options = getenv("BUFLEAK_OPTIONS");
    if (options)
        bl_header->options_name = bl_names_add_str(options);
    /* what a runner of tests says of the process; pytest does without being asked */
    const char *test = getenv("BUFLEAK_TEST");
    if (!test)
        test = getenv("PYTEST_CURRENT_TEST");
    if (test)
        bl_header->test_name = bl_names_add_str(test);
}

/* ---- messages ---- */

static void say_prefix(struct bl_text *t, char *buffer, size_t size)
{
    bl_say_begin(t, buffer, size, bl_header->comm,
                 bl_header->pid ? bl_header->pid : bl_sys_getpid());
}

static struct {
    const char *what; /* in the environment */
    size_t length;
    const char *accepted;
} bad_options[BAD_OPTIONS_MAX];
static uint32_t bad_option_count;

static void note_bad_option(void *context, const char *what, size_t length, const char *accepted)
{
    (void)context;
    if (bad_option_count == BAD_OPTIONS_MAX)
        return;
    bad_options[bad_option_count].what = what;
    bad_options[bad_option_count].length = length;
    bad_options[bad_option_count++].accepted = accepted;
}

static void write_bad_options(void)
{
    for (uint32_t i = 0; i < bad_option_count; i++) {
        char buffer[512];
        struct bl_text t;
        size_t length = bad_options[i].length;
        bl_text_init(&t, buffer, sizeof buffer);
        bl_text_str(&t, "bufleak: BUFLEAK_OPTIONS: '");
        bl_text_bytes(&t, bad_options[i].what, length < 100 ? length : 100);
        bl_text_str(&t, "' is not understood, the default is used; accepted: ");
        bl_text_str(&t, bad_options[i].accepted);
        bl_say_always(&t);
    }
}

static void say_directory(bool uses_other, const struct bl_dir_fault *fault)
{
    char buffer[3 * BL_DIR_PATH_MAX];
    struct bl_text t;
    const char *name = strerrorname_np(fault->error);
    say_prefix(&t, buffer, sizeof buffer);
    bl_text_str(&t, "the ledger directory ");
    bl_text_str(&t, fault->tried);
    bl_text_str(&t, " cannot be used (");
    bl_text_str(&t, name ? name : "error");
    bl_text_str(&t, ")");
    if (fault->why) {
        bl_text_str(&t, ": ");
        bl_text_str(&t, fault->why);
    }
    if (uses_other) {
        bl_text_str(&t, "; using ");
        bl_text_str(&t, bl_dir_path());
    } else {
        bl_text_str(&t, "; the ledger is kept in memory and ends with the process, set BUFLEAK_DIR "
                        "to another directory");
    }
    bl_say(&t);
}

static void say_no_file(void)
{
    char buffer[BL_DIR_PATH_MAX + 256];
    struct bl_text t;
    say_prefix(&t, buffer, sizeof buffer);
    bl_text_str(&t, "no file could be made in ");
    bl_text_str(&t, bl_dir_path());
    bl_text_str(&t, ", is it full or read-only? The ledger is kept in memory and ends with the "
                    "process; set BUFLEAK_DIR to another directory");
    bl_say(&t);
}

struct told {
    uint64_t hash;        /* of what there is to say */
    size_t at;            /* where in the header it is noted */
    uint64_t start_ticks; /* of the process that may have said it */
};

static bool tells_as_much(void *context, const char *name)
{
    const struct told *told = context;
    struct bl_header other = {.version = 0};
    int fd = bl_dir_open_file(name);
    if (fd < 0)
        return false;
    long n = bl_sys4(SYS_pread64, fd, (long)&other, sizeof other, 0);
    bl_sys_close(fd);
    uint64_t hash;
    memcpy(&hash, (const unsigned char *)&other + told->at, sizeof hash);
    return n == (long)sizeof other && memcmp(other.magic, BL_MAGIC, sizeof other.magic) == 0 &&
           hash == told->hash && other.proc_start_ticks == told->start_ticks;
}

/* By the parent, or by this process before it executed the program. */
static bool is_told(uint64_t hash, size_t at)
{
    const uint32_t pids[] = {bl_header->pid, bl_header->ppid};
    for (size_t i = 0; i < BL_ARRAY_LENGTH(pids); i++) {
        struct told told = {.hash = hash, .at = at, .start_ticks = read_start_ticks(pids[i])};
        if (told.start_ticks && bl_dir_find(pids[i], tells_as_much, &told))
            return true;
    }
    return false;
}

static uint64_t hash_bad_options(void)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < bad_option_count; i++) {
        for (size_t k = 0; k < bad_options[i].length; k++)
            hash = (hash ^ (unsigned char)bad_options[i].what[k]) * 1099511628211u + 1;
    }
    return hash;
}

/* Once in a tree of processes, also when quiet. */
static void say_bad_options(void)
{
    uint64_t hash = hash_bad_options();
    if (hash != 0 && !is_told(hash, offsetof(struct bl_header, options_broken)))
        write_bad_options();
    bl_header->options_broken = hash;
}

/* Once in a tree of processes. */
static void say_profiles(void)
{
    uint64_t hash = bl_profile_files_hash();
    if (hash != 0 && !is_told(hash, offsetof(struct bl_header, profiles_broken)))
        bl_profile_files_say();
    bl_header->profiles_broken = hash;
}

static void say_end(void)
{
    char buffer[2 * BL_DIR_PATH_MAX + 512];
    struct bl_text t;
    uint32_t flags = bl_header->flags;
    if (!(flags & BL_FLAG_AT_EXIT) || (flags & (BL_FLAG_FORKED | BL_FLAG_QUIET)) ||
        !*bl_ledger_name() || bl_dir_find(bl_header->ppid, NULL, NULL))
        return; /* the tree has a head that speaks for it */
    say_prefix(&t, buffer, sizeof buffer);
    bl_text_str(&t, "ended; its ledger is ");
    bl_text_str(&t, ledger_dir);
    bl_text_str(&t, "/");
    bl_text_str(&t, bl_ledger_name());
    bl_text_str(&t, "; read it with: bufleak report ");
    if (bl_dir_is_second()) { /* where a PID is not looked for */
        bl_text_str(&t, ledger_dir);
        bl_text_str(&t, "/");
        bl_text_str(&t, bl_ledger_name());
    } else {
        bl_text_u64(&t, bl_header->pid);
    }
    bl_say(&t);
}

/* Whoever sent the signal looks for a snapshot, which the helper thread has no time for any more.
 */
static void say_unanswered(void)
{
    char buffer[2 * BL_DIR_PATH_MAX + 512];
    struct bl_text t;
    say_prefix(&t, buffer, sizeof buffer);
    bl_text_str(&t, "ended while a snapshot was asked for; see how it ended with: bufleak report ");
    if (bl_dir_is_second()) { /* where a PID is not looked for */
        bl_text_str(&t, ledger_dir);
        bl_text_str(&t, "/");
        bl_text_str(&t, bl_ledger_name());
    } else {
        bl_text_u64(&t, bl_header->pid);
    }
    bl_say(&t);
}

/* ---- end ---- */

bool bl_process_is_self(void)
{
    return bl_header->pid == bl_sys_getpid();
}

bool bl_process_is_vfork_child(void)
{
    return bl_load_relaxed(bl_track_state) == BL_TRACK_ON && !bl_process_is_self();
}

/* Not from a signal handler that interrupted the shim itself, where a lock may be held. */
static void check_counts(void)
{
    if (bl_tls.guard)
        return;
    int saved = errno;
    bl_guard_enter();
    bl_own_check_all();
    bl_guard_leave();
    errno = saved;
}

/* What the program's calls have left below on the stack would still stand where our own frames have
 * room that they do not use, or not yet, and be taken for pointers that it has. */
#define WIPED_BYTES 1024u
BL_NOINLINE static void wipe_stack_below(void)
{
    unsigned char below[WIPED_BYTES];
    memset(below, 0, sizeof below);
    __asm__ volatile("" : : "r"(below) : "memory");
}

/* Where the program calls from must be above on the stack, and unchanged in registers. */
BL_NOINLINE static void find_reach(void)
{
    if (bl_tls.guard || bl_load_relaxed(bl_track_state) != BL_TRACK_ON)
        return;
    int saved = errno;
    bl_guard_enter_internal();
    wipe_stack_below(); /* check_counts looked at buffers there */
    bl_reach_at_exit();
    bl_guard_leave_internal();
    errno = saved;
}

BL_NOINLINE static void mark_exit(enum bl_exit_kind kind, int status, bool reaches)
{
    if (bl_load_relaxed(bl_track_state) == BL_TRACK_OFF || !bl_process_is_self())
        return;
    bool first = bl_load_relaxed(&bl_header->state) != BL_STATE_EXITED;
    bool is_asked =
        bl_load_acquire(&bl_header->signal_requests) != bl_load_acquire(&bl_header->signal_served);
    if (first)
        check_counts();
    if (first && reaches && bl_track_conf.reach_at_exit)
        find_reach();
    bl_header->exit_kind = (uint32_t)kind;
    bl_header->exit_status = status & 0xff;
    bl_header->end_ns = bl_clock_read(CLOCK_MONOTONIC);
    bl_store_release(&bl_header->state, BL_STATE_EXITED);
    bl_snapshot_abandon();
    if (first && is_asked)
        say_unanswered();
    if (first)
        say_end();
}

void bl_process_mark_exit(enum bl_exit_kind kind, int status)
{
    wipe_stack_below();
    mark_exit(kind, status, kind != BL_EXIT_ABORT);
}

void bl_process_mark_left(void)
{
    mark_exit(BL_EXIT_UNDERSCORE, 0, false);
}

void bl_process_unmark_exit(void)
{
    if (bl_process_is_self())
        bl_store_release(&bl_header->state, BL_STATE_RUNNING);
}

static void on_exit_status(int status, void *unused)
{
    (void)unused;
    bl_process_mark_exit(BL_EXIT_EXIT, status);
}

void bl_process_mark_exec(void)
{
    if (bl_load_relaxed(bl_track_state) == BL_TRACK_OFF)
        return;
    bl_signals_before_exec(); /* in a vfork child too: its actions are its own */
    if (!bl_process_is_self())
        return;
    bl_header->end_ns = bl_clock_read(CLOCK_MONOTONIC);
    bl_store_release(&bl_header->state, BL_STATE_EXECED);
}

void bl_process_unmark_exec(void)
{
    if (bl_load_relaxed(bl_track_state) == BL_TRACK_OFF)
        return;
    bl_signals_after_exec();
    if (bl_process_is_self() && bl_load_relaxed(&bl_header->state) == BL_STATE_EXECED)
        bl_store_release(&bl_header->state, BL_STATE_RUNNING);
}

/* ---- user ---- */

void bl_process_change_user(uid_t uid)
{
    if (uid == (uid_t)-1 || uid == 0 || bl_sys3(SYS_geteuid, 0, 0, 0) != 0 || !bl_process_is_self())
        return;
    uint32_t gid = (uint32_t)bl_sys3(SYS_getegid, 0, 0, 0);
    bl_guard_enter_internal();
    bl_ledger_lock();
    bl_dir_change_user(spool_name, uid, gid);
    bl_ledger_unlock();
    bl_guard_leave_internal();
}

/* ---- fork ---- */

static void before_fork(void)
{
    bl_guard_enter();
    uint32_t state = bl_load_relaxed(bl_track_state);
    if (state == BL_TRACK_FORKED || state == BL_TRACK_HELPER)
        bl_track_attend(); /* a child that forks before its first event */
    fork_ready = bl_load_relaxed(bl_track_state) == BL_TRACK_ON;
    if (!fork_ready)
        return;
    bl_annotate_lock();
    bl_hook_list_lock();
    bl_refs_lock();
    bl_frees_lock();
    bl_live_lock();
    bl_regions_lock();
    bl_stacks_lock();
    bl_modules_lock();
    bl_threads_lock();
    bl_names_lock();
    bl_ledger_lock();
    bl_arena_lock();
    bl_ledger_fork_prepare();
}

static void after_fork_in_parent(void)
{
    if (fork_ready) {
        bl_ledger_fork_parent();
        bl_arena_unlock();
        bl_ledger_unlock();
        bl_names_unlock();
        bl_threads_unlock();
        bl_modules_unlock();
        bl_stacks_unlock();
        bl_regions_unlock();
        bl_live_unlock();
        bl_frees_unlock();
        bl_refs_unlock();
        bl_hook_list_unlock();
        bl_annotate_unlock();
    }
    bl_guard_leave();
}

static void reset_locks(void)
{
    bl_annotate_reset_lock();
    bl_hook_list_reset_lock();
    bl_refs_reset_lock();
    bl_frees_reset_lock();
    bl_live_reset_lock();
    bl_regions_reset_lock();
    bl_stacks_reset_lock();
    bl_modules_reset_lock();
    bl_names_reset_lock();
    bl_ledger_reset_lock();
    bl_arena_reset_lock();
}

static void fill_child(uint32_t parent)
{
    struct bl_header *h = bl_header;
    h->parent_pid = parent;
    h->forked_ns = h->start_ns;
    h->flags = (h->flags & ~BL_FLAG_NO_HELPER) | BL_FLAG_FORKED;
    memset(h->losses, 0, sizeof h->losses);
    memset(h->direct, 0, sizeof h->direct);
    h->direct_limit_bytes = 0;
}

/* What other threads had asked for at the fork is nobody's. */
static void restart_limit(void)
{
    uint64_t used = 0;
    if (!bl_limit_on)
        return;
    for (uint32_t n = 0; n < bl_header->published[BL_SECTION_CLASSES]; n++) {
        if (bl_live_is_limited((uint8_t)n))
            used += bl_counters_sum(n).bytes;
    }
    bl_limit_restart(used);
}

/* Only system calls here: other libraries' locks may still be those of threads that are no more. */
static void after_fork_in_child(void)
{
    bl_store_relaxed(state_page, fork_ready ? BL_TRACK_HELPER : BL_TRACK_OFF);
    if (fork_ready) {
        uint32_t parent = bl_header->pid;
        struct bl_header child = *bl_header;
        bl_snapshot_after_fork();
        bl_helper_after_fork();
        bl_java_visit_after_fork();
        bl_signals_after_fork();
        bl_series_reset();
        bl_sweep_reset();
        bl_marks_reset();
        bl_reach_after_fork();
        bl_usage_after_fork();
        fill_identity(&child);
        make_file_base(&child, 0);
        remember_directory();
        reset_locks();
        if (bl_ledger_fork_child(file_base) == 0) {
            fill_identity(bl_header);
            fill_child(parent);
            bl_threads_after_fork(bl_threads_test());
            bl_live_rebase_counters();
            restart_limit();
            bl_requests_after_fork();
        } else {
            bl_store_relaxed(state_page, BL_TRACK_OFF);
        }
    }
    bl_guard_leave();
}

void bl_process_after_fork_in_child(void)
{
    uint32_t expected = BL_TRACK_HELPER;
    if (__atomic_compare_exchange_n(bl_track_state, &expected, BL_TRACK_ON, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        bl_helper_start(file_base, bl_track_conf.interval_ns);
}

/* A child of a fork that libc did not make: nothing of the parent's tables can be trusted to be
 * whole. */
static void start_after_unseen_fork(void)
{
    struct bl_header fresh = *bl_header;
    struct bl_text t;
    char test[BL_ENVIRONMENT_TEST];
    bl_text_init(&t, test, sizeof test);
    const char *known_test = bl_names_text(bl_threads_test());
    if (known_test)
        bl_text_str(&t, known_test);
    bl_store_relaxed(state_page, BL_TRACK_OFF);
    reset_locks();
    bl_snapshot_after_fork();
    bl_helper_after_fork();
    bl_java_visit_after_fork();
    bl_signals_after_fork();
    bl_series_reset();
    bl_sweep_reset();
    bl_marks_reset();
    bl_reach_after_fork();
    bl_usage_after_fork();
    bl_ledger_forget();
    bl_refs_reset();
    bl_frees_reset();
    bl_java_assembly_reset();
    bl_live_reset();
    bl_limit_restart(0);
    bl_regions_reset();
    bl_stacks_reset();
    bl_modules_reset();
    fill_options(bl_header, &bl_track_conf);
    fill_identity(bl_header);
    bl_header->parent_pid = fresh.pid;
    bl_header->forked_ns = bl_header->start_ns;
    bl_clock_floor_ns = bl_header->start_ns;
    bl_header->flags |= BL_FLAG_FORKED;
    make_file_base(bl_header, 0);
    remember_directory();
    if (bl_ledger_create(file_base, bl_dir_is_there()) != 0)
        return;
    bl_losses_add(BL_LOSS_forks_unseen, 1);
    fill_names();
    bl_live_add_class("heap");
    if (bl_track_conf.mmap)
        bl_live_add_class("mmap");
    bl_hook_list_repeat();
    bl_threads_after_fork(*test ? bl_names_add_str(test) : 0);
    bl_store_relaxed(state_page, BL_TRACK_HELPER);
}

static void attend(void)
{
    if (bl_load_relaxed(bl_track_state) == BL_TRACK_FORKED)
        start_after_unseen_fork();
    bl_process_after_fork_in_child();
}

/* ---- helper ---- */

bool bl_process_pause_helper(void)
{
    if (!bl_helper_runs() || !bl_process_is_self())
        return false;
    bl_helper_stop();
    return true;
}

void bl_process_resume_helper(void)
{
    bl_helper_start(file_base, bl_track_conf.interval_ns);
}

/* ---- start ---- */

static void make_state_page(void)
{
    state_page = bl_sys_map(BL_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!state_page)
        state_page = &fallback_state;
    else
        bl_sys3(SYS_madvise, (long)state_page, BL_PAGE, MADV_WIPEONFORK);
    bl_store_relaxed(state_page, BL_TRACK_OFF);
    bl_track_state = state_page;
}

static int create_ledger(void)
{
    struct bl_dir_fault fault;
    int error = bl_dir_init(getenv("BUFLEAK_DIR"), getenv("XDG_RUNTIME_DIR"), &fault);
    fill_options(bl_header, &bl_track_conf);
    fill_identity(bl_header);
    if (error)
        say_directory(error == 1, &fault);
    say_bad_options();
    for (uint32_t attempt = 0;; attempt++) {
        make_file_base(bl_header, attempt);
        if (attempt == NAME_TRIES || !bl_dir_is_there())
            break;
        int fd = bl_dir_open_file(file_base); /* is the name free? */
        if (fd < 0)
            break;
        bl_sys_close(fd);
    }
    remember_directory();
    error = bl_ledger_create(file_base, bl_dir_is_there());
    if (!error && bl_dir_is_there() && !*bl_ledger_name())
        say_no_file();
    return error;
}

static void (*libunwind_flush)(void *, uint64_t, uint64_t);
static void **libunwind_space;

static void flush_libunwind(void)
{
    if (libunwind_flush && libunwind_space)
        libunwind_flush(*libunwind_space, 0, 0);
}

/* More than any version's context and cursor take. */
#define UNWIND_STATE_BYTES 4096u

/* Its tables and its pipe are made now, not in the first malloc that needs it. A walk would also
 * fill its caches: 64 pages, which few processes ever use. */
static void prime_libunwind(void *library)
{
    static unsigned char context[UNWIND_STATE_BYTES] BL_ALIGNED(64);
    static unsigned char cursor[UNWIND_STATE_BYTES] BL_ALIGNED(64);
    int (*get_context)(void *) = NULL;
    int (*init)(void *, void *) = NULL;
    *(void **)(void *)&get_context = dlsym(library, "_Ux86_64_getcontext");
    *(void **)(void *)&init = dlsym(library, "_ULx86_64_init_local");
    if (get_context && init && get_context(context) == 0)
        init(cursor, context);
}

/* libunwind stays out of the target's sight: linked, it would interpose backtrace and _Unwind_*. */
static void open_libunwind(void)
{
    void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    int (*backtrace)(void **, int) = NULL;
    *(void **)(void *)&backtrace = dlsym(library, "unw_backtrace");
    *(void **)(void *)&libunwind_flush = dlsym(library, "_Ux86_64_flush_cache");
    libunwind_space = dlsym(library, "_ULx86_64_local_addr_space");
    prime_libunwind(library);
    bl_capture_set_fallback(backtrace, flush_libunwind);
}

static void prime_capture(void)
{
    struct bl_thread_state *t = bl_threads_current();
    struct bl_origin here = BL_ORIGIN_HERE();
    struct bl_walk walk;
    if (!t)
        return;
    bl_cfi_init();
    bl_capture_walk(t, &here, bl_track_conf.depth_frames, &walk);
}

/* follow=0: children must not be tracked, so they must not be preloaded. */
static void stop_following(void)
{
    const char *preload = getenv("LD_PRELOAD");
    char kept[4096];
    struct bl_text t;
    if (!preload)
        return;
    bl_text_init(&t, kept, sizeof kept);
    while (*preload) {
        size_t length = strcspn(preload, ": ");
        if (length > 0 && !memmem(preload, length, "libbufleak", 10)) {
            if (t.at > t.start)
                bl_text_str(&t, ":");
            bl_text_bytes(&t, preload, length);
        }
        preload += length + (preload[length] != '\0');
    }
    if (t.at > t.start)
        setenv("LD_PRELOAD", kept, 1);
    else
        unsetenv("LD_PRELOAD");
}

static bool start_recording(void)
{
    bl_arena_set_fault(bl_track_conf.fault_arena);
    if (create_ledger() != 0)
        return false;
    int heap = bl_live_add_class("heap");
    int mapped = bl_track_conf.mmap ? bl_live_add_class("mmap") : (int)BL_CLASS_MMAP;
    if (heap != (int)BL_CLASS_HEAP || mapped != (int)BL_CLASS_MMAP)
        return false;
    fill_names();
    bl_threads_init();
    bl_modules_init();
    bl_real_record_hooks();
    if (!bl_sys_few_descriptors) /* it keeps a pipe */
        open_libunwind();
    prime_capture();
    bl_requests_init(bl_track_conf.per, bl_track_conf.per_length);
    bl_profile_hooks_start(bl_track_conf.profiles, bl_track_conf.profiles_length);
    say_profiles();
    return true;
}

void bl_process_start(void)
{
    int saved = errno;
    bl_guard_enter_internal();
    bl_real_resolve();
    make_state_page();
    bl_conf_defaults(&bl_track_conf);
    bl_sys_count_descriptors();
    bl_say_init(false);
    bl_conf_parse(&bl_track_conf, getenv("BUFLEAK_OPTIONS"), note_bad_option, NULL);
    bl_say_init(bl_track_conf.quiet);
    bl_limit_init(bl_track_conf.limit_bytes,
                  bl_track_conf.limit_fails ? BL_LIMIT_FAIL : BL_LIMIT_REPORT,
                  bl_track_conf.sample_bytes);
    bl_environment_init(bl_track_conf.follow);
    if (!bl_track_conf.follow)
        stop_following();
    bool ok = start_recording();
    if (ok) {
        bl_track_attend = attend;
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
        on_exit(on_exit_status, NULL);
        bl_signals_init(bl_track_conf.signal);
        bl_stop_init(bl_track_conf.reach_signal == bl_signals_number ? 0
                                                                     : bl_track_conf.reach_signal);
        if (!bl_sys_few_descriptors)
            bl_usage_open();
        bl_helper_start(file_base, bl_track_conf.interval_ns);
    }
    bl_guard_leave_internal();
    if (ok) {
        bl_track_begun = true;
        bl_store_relaxed(bl_track_state, BL_TRACK_ON);
    }
    errno = saved;
}
