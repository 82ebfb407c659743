#include "stop.h"
#include "clock.h"
#include "real.h"
#include "sigsafe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define LIMIT_NS       200000000u /* for all to answer */
#define LOOK_NS        2000000    /* between looks at who has ended meanwhile */
#define ROUNDS_MAX     64
#define BL_PAGE        4096u
#define SLOTS_USED_MAX (BL_STOP_THREADS / 2)
#define SIGSET_BYTES   8u
#define CODE_BEFORE    7 /* b8 imm32 0f 05: mov $number, %eax; syscall */
#define SYSCALL_BYTES  2

int bl_stop_signal;

static struct bl_stop_thread *table;
static uint32_t epoch;    /* atomic, futex: counts attempts and ends of them; odd: under way */
static uint32_t answered; /* atomic, futex */
static uint32_t slots_used;
static bool installed;
/* the application's action, as in signals.c */
static struct sigaction shadow;

static uint64_t word_of(uint32_t attempt, enum bl_stop_state state)
{
    return (uint64_t)attempt << 32 | state;
}

/* ---- the handler ---- */

static struct bl_stop_thread *slot_of(uint32_t tid, bool make)
{
    for (uint32_t i = 0, at = tid; i < BL_STOP_THREADS; i++, at++) {
        struct bl_stop_thread *t = &table[at & (BL_STOP_THREADS - 1)];
        uint32_t seen = bl_load_acquire(&t->tid);
        if (seen == tid)
            return t;
        if (seen == 0) {
            if (!make)
                return NULL;
            slots_used++;
            bl_store_release(&t->tid, tid);
            return t;
        }
    }
    return NULL;
}

/* The call that the signal broke off, and that nobody but us wanted broken off: once more. */
static void restart_call(const struct bl_stop_thread *t, greg_t *regs)
{
    if (regs[REG_RAX] != -EINTR)
        return;
    const uint8_t *pc = (const uint8_t *)regs[REG_RIP]; // NOLINT(performance-no-int-to-ptr)
    bool has_code = ((uint64_t)regs[REG_RIP] & (BL_PAGE - 1)) >= CODE_BEFORE;
    uint64_t number;
    if (!has_code)
        return;
    if (bl_load_acquire(&t->has_call) && t->call[4] == (uint64_t)regs[REG_RIP] &&
        t->call[1] == (uint64_t)regs[REG_RDI] && t->call[2] == (uint64_t)regs[REG_RSI] &&
        t->call[3] == (uint64_t)regs[REG_RDX]) {
        number = t->call[0];
    } else if (pc[-SYSCALL_BYTES] == 0x0f && pc[-1] == 0x05 && pc[-CODE_BEFORE] == 0xb8) {
        uint32_t immediate;
        memcpy(&immediate, pc - CODE_BEFORE + 1, sizeof immediate);
        number = immediate;
    } else {
        return;
    }
    if (pc[-SYSCALL_BYTES] != 0x0f || pc[-1] != 0x05)
        return;
    regs[REG_RAX] = (greg_t)number;
    regs[REG_RIP] -= SYSCALL_BYTES;
}

static void note_frame(struct bl_stop_thread *t, const ucontext_t *uc)
{
    const greg_t *regs = uc->uc_mcontext.gregs;
    uint64_t alt = (uint64_t)(uintptr_t)uc->uc_stack.ss_sp;
    uint64_t fp = (uint64_t)(uintptr_t)uc->uc_mcontext.fpregs;
    t->frame = (uint64_t)(uintptr_t)uc;
    t->sp = (uint64_t)regs[REG_RSP];
    t->pc = (uint64_t)regs[REG_RIP];
    t->rbp = (uint64_t)regs[REG_RBP];
    t->frame_end = t->frame < t->sp && t->sp - t->frame < 65536 ? t->sp - 128
                   : fp > t->frame                              ? fp + 4096
                                                                : t->frame + sizeof *uc;
    bool has_alt = alt && !(uc->uc_stack.ss_flags & SS_DISABLE);
    t->alt_start = has_alt ? alt : 0;
    t->alt_end = has_alt ? alt + uc->uc_stack.ss_size : 0;
    t->tls = &bl_tls;
}

static void wait_for_end(uint32_t of)
{
    while (bl_load_acquire(&epoch) == of)
        bl_sys4(SYS_futex, (long)&epoch, FUTEX_WAIT_PRIVATE, of, 0);
}

static bool advance(struct bl_stop_thread *t, uint32_t of, enum bl_stop_state from,
                    enum bl_stop_state to)
{
    uint64_t expected = word_of(of, from);
    return __atomic_compare_exchange_n(&t->word, &expected, word_of(of, to), false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* of: the attempt that is answered. It may be over before that is done; if it has gone on without
 * an answer, counted as degraded, the thread is to stand still from here on all the same. */
static void park(struct bl_stop_thread *t, uint32_t of, const ucontext_t *uc)
{
    if (advance(t, of, BL_STOP_SENT, BL_STOP_ANSWERING)) {
        note_frame(t, uc);
        if (advance(t, of, BL_STOP_ANSWERING, BL_STOP_STOPPED)) {
            __atomic_fetch_add(&answered, 1, __ATOMIC_RELEASE);
            bl_sys4(SYS_futex, (long)&answered, FUTEX_WAKE_PRIVATE, 1, 0);
        }
    }
    wait_for_end(of);
}

static void forward(int number, siginfo_t *info, void *context)
{
    struct sigaction a = shadow;
    if (a.sa_handler == SIG_DFL || a.sa_handler == SIG_IGN)
        return;
    if (a.sa_flags & SA_SIGINFO)
        a.sa_sigaction(number, info, context);
    else
        a.sa_handler(number);
}

/* A signal that we have sent, and not the program itself. */
static bool take_owed(struct bl_stop_thread *t)
{
    if (!t || bl_load_acquire(&t->owed) == 0)
        return false;
    __atomic_fetch_sub(&t->owed, 1, __ATOMIC_ACQ_REL);
    return true;
}

static void on_stop(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct bl_stop_thread *t = table ? slot_of(bl_sys_gettid(), false) : NULL;
    if (info->si_code != SI_TKILL || (uint32_t)info->si_pid != bl_sys_getpid() || !take_owed(t)) {
        forward(number, info, context);
        return;
    }
    uint32_t of = bl_load_acquire(&epoch);
    uint64_t word = bl_load_acquire(&t->word);
    bool asked = word == word_of(of, BL_STOP_SENT) || word == word_of(of, BL_STOP_DEGRADED);
    restart_call(t, uc->uc_mcontext.gregs);
    if (asked)
        park(t, of, uc);
}

static int install(void)
{
    struct sigaction own = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigaction old;
    sigfillset(&own.sa_mask);
    own.sa_sigaction = on_stop;
    if (installed)
        return 0;
    if (bl_real.sigaction(bl_stop_signal, NULL, &old) != 0)
        return -EINVAL;
    shadow = old;
    if (bl_real.sigaction(bl_stop_signal, &own, NULL) != 0)
        return -EINVAL;
    installed = true;
    return 0;
}

bool bl_stop_is_installed(void)
{
    return installed;
}

/* ---- asking ---- */

static void thread_path(struct bl_text *text, char *buffer, size_t size, uint32_t tid,
                        const char *file)
{
    bl_text_init(text, buffer, size);
    bl_text_str(text, "/proc/self/task/");
    bl_text_u64(text, tid);
    bl_text_str(text, file);
}

static bool parse_hex(const char **at, uint64_t *ret_value)
{
    uint64_t value = 0;
    while (**at == ' ')
        ++*at;
    if ((*at)[0] != '0' || (*at)[1] != 'x')
        return false;
    for (*at += 2;; ++*at) {
        char c = **at;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            break;
    }
    *ret_value = value;
    return true;
}

/* "running", or the call's number, six arguments, sp and pc; -1 for the number where the thread
 * waits for something else than the end of a call. False: it runs, or cannot be looked at. */
static bool read_call(uint32_t tid, uint64_t ret_fields[9])
{
    char path[64];
    char line[256];
    struct bl_text text;
    thread_path(&text, path, sizeof path, tid, "/syscall");
    if (bl_sys_read_file(path, line, sizeof line) <= 0)
        return false;
    const char *at = line;
    bool waits = line[0] == '-';
    uint64_t number = 0;
    if (waits) {
        at += 2;
        for (int i = 0; i < 7; i++)
            ret_fields[i] = UINT64_MAX;
        return parse_hex(&at, &ret_fields[7]) && parse_hex(&at, &ret_fields[8]);
    }
    if (!bl_parse_u64(&at, &number))
        return false;
    ret_fields[0] = number;
    for (int i = 1; i < 9; i++) {
        if (!parse_hex(&at, &ret_fields[i]))
            return false;
    }
    return true;
}

/* It has ended; another one may get its number. */
static void leave(struct bl_stop_thread *t)
{
    bl_store_release(&t->owed, 0);
    bl_store_release(&t->word, word_of((uint32_t)(bl_load_acquire(&t->word) >> 32), BL_STOP_GONE));
}

/* 0 or -errno. */
static int ask(struct bl_stop *stop, uint32_t tid, uint32_t of)
{
    struct bl_stop_thread *t = slot_of(tid, true);
    uint64_t f[9];
    if (!t)
        return -E2BIG;
    if (bl_load_acquire(&t->word) >> 32 == of)
        return 0;
    /* What was seen last is kept: the call is perhaps begun again, or made in a loop. */
    if (read_call(tid, f) && f[0] != UINT64_MAX) {
        bl_store_release(&t->has_call,
                         false); /* an earlier attempt's signal may be in its handler */
        memcpy(t->call, f, 4 * sizeof f[0]);
        t->call[4] = f[8];
        bl_store_release(&t->has_call, true);
    }
    t->tls = NULL;
    t->next = stop->first;
    stop->first = (uint32_t)(t - table) + 1;
    stop->count++;
    bl_store_release(&t->word, word_of(of, BL_STOP_SENT));
    __atomic_fetch_add(&t->owed, 1, __ATOMIC_ACQ_REL);
    long error = bl_sys3(SYS_tgkill, bl_sys_getpid(), tid, bl_stop_signal);
    if (error < 0)
        __atomic_fetch_sub(&t->owed, 1, __ATOMIC_ACQ_REL);
    if (error == -ESRCH)
        leave(t);
    return error == -ESRCH ? 0 : (int)error;
}

/* Asks every thread that was not asked yet. Returns how many those were, or -errno. */
static int ask_all(struct bl_stop *stop, int fd, uint32_t exempt, uint32_t of)
{
    char buffer[4096] BL_ALIGNED(8) = {0};
    uint32_t own = bl_sys_gettid();
    uint32_t before = stop->count;
    long n;
    bl_sys3(SYS_lseek, fd, 0, SEEK_SET);
    while ((n = bl_sys3(SYS_getdents64, fd, (long)buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < n;) {
            const struct {
                uint64_t ino;
                int64_t off;
                uint16_t length;
                uint8_t type;
                char name[];
            } *entry = (const void *)(buffer + at);
            const char *digits = entry->name;
            uint64_t tid = 0;
            at += entry->length;
            if (!bl_parse_u64(&digits, &tid) || tid == own || tid == exempt)
                continue;
            int error = ask(stop, (uint32_t)tid, of);
            if (error)
                return error;
        }
    }
    return n < 0 ? (int)n : (int)(stop->count - before);
}

static bool is_unanswered(struct bl_stop_thread *t)
{
    enum bl_stop_state state = bl_stop_state(t);
    return state == BL_STOP_SENT || state == BL_STOP_ANSWERING;
}

/* A first thread that has ended stays until the others have; it has no stack. */
static bool is_zombie(uint32_t tid)
{
    uint64_t f[9];
    return read_call(tid, f) && f[7] == 0;
}

static uint32_t waiting(struct bl_stop *stop)
{
    uint32_t pid = bl_sys_getpid();
    uint32_t left = 0;
    for (uint32_t i = stop->first; i; i = table[i - 1].next) {
        struct bl_stop_thread *t = &table[i - 1];
        if (!is_unanswered(t))
            continue;
        if (bl_sys3(SYS_tgkill, pid, t->tid, 0) == -ESRCH || is_zombie(t->tid))
            leave(t);
        else
            left++;
    }
    return left;
}

/* True: all have answered, or are gone. */
static bool await_answers(struct bl_stop *stop, uint64_t deadline_ns)
{
    for (;;) {
        uint32_t seen = bl_load_acquire(&answered);
        uint32_t done = 0;
        for (uint32_t i = stop->first; i; i = table[i - 1].next)
            done += !is_unanswered(&table[i - 1]);
        if (done == stop->count || waiting(stop) == 0)
            return true;
        if (bl_clock_read(CLOCK_MONOTONIC) >= deadline_ns)
            return false;
        struct timespec look = {.tv_nsec = LOOK_NS};
        bl_sys4(SYS_futex, (long)&answered, FUTEX_WAIT_PRIVATE, seen, (long)&look);
    }
}

/* It has not answered: may the picture be taken without it? */
static bool give_up_on(struct bl_stop_thread *t, uint32_t of)
{
    uint64_t f[9];
    bool waits = read_call(t->tid, f);
    if (!waits)
        return bl_stop_state(t) != BL_STOP_SENT;
    if (!advance(t, of, BL_STOP_SENT, BL_STOP_DEGRADED))
        return true;
    t->sp = f[7];
    t->pc = f[8];
    t->frame = t->sp;
    t->frame_end = t->sp;
    t->alt_start = t->alt_end = 0;
    return true;
}

static const char *settle(struct bl_stop *stop, uint32_t of)
{
    for (uint32_t i = stop->first; i; i = table[i - 1].next) {
        struct bl_stop_thread *t = &table[i - 1];
        if (bl_stop_state(t) == BL_STOP_SENT && !give_up_on(t, of))
            return "a thread that blocks all signals cannot be stopped";
        while (bl_stop_state(t) == BL_STOP_ANSWERING)
            bl_sys3(SYS_sched_yield, 0, 0, 0);
        stop->stopped += bl_stop_state(t) == BL_STOP_STOPPED;
        stop->degraded += bl_stop_state(t) == BL_STOP_DEGRADED;
    }
    return NULL;
}

static const char *stop_threads(struct bl_stop *stop, int fd, uint32_t exempt, uint32_t of,
                                int *ret_error)
{
    uint64_t deadline_ns = bl_clock_read(CLOCK_MONOTONIC) + LIMIT_NS;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        int fresh = ask_all(stop, fd, exempt, of);
        if (fresh < 0) {
            *ret_error = fresh;
            return fresh == -E2BIG    ? "there are too many threads"
                   : fresh == -EAGAIN ? "no signal can be queued for its threads (ulimit -i)"
                                      : "its threads cannot be listed";
        }
        if (fresh == 0)
            break;
        if (!await_answers(stop, deadline_ns) && bl_clock_read(CLOCK_MONOTONIC) >= deadline_ns &&
            round > 0)
            break;
    }
    *ret_error = -EBUSY;
    return settle(stop, of);
}

/* Threads come and go. One that is late with an answer, to an attempt long over, would have to have
 * been in the middle of it since. */
static void clean_table(void)
{
    if (slots_used > SLOTS_USED_MAX) {
        memset(table, 0, BL_STOP_THREADS * sizeof *table);
        slots_used = 0;
    }
}

int bl_stop_all(uint32_t exempt, struct bl_stop *ret_stop, const char **ret_why)
{
    struct bl_stop stop = {.table = table};
    int error = bl_stop_signal ? install() : -ENOTSUP;
    *ret_why = "no signal can be used to stop its threads";
    if (error)
        return error;
    if (!table)
        table = bl_sys_map(BL_STOP_THREADS * sizeof *table, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *ret_why = "there is no memory for it";
    if (!table)
        return -ENOMEM;
    long fd = bl_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/task",
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    *ret_why = "/proc cannot be read";
    if (fd < 0)
        return (int)fd;
    clean_table();
    stop.table = table;
    uint32_t of = __atomic_add_fetch(&epoch, 1, __ATOMIC_ACQ_REL);
    const char *why = stop_threads(&stop, (int)fd, exempt, of, &error);
    bl_sys_close((int)fd);
    *ret_why = why;
    if (why) {
        bl_stop_resume();
        return error;
    }
    *ret_stop = stop;
    return 0;
}

void bl_stop_resume(void)
{
    if (!(bl_load_acquire(&epoch) & 1))
        return;
    __atomic_add_fetch(&epoch, 1, __ATOMIC_ACQ_REL);
    bl_sys4(SYS_futex, (long)&epoch, FUTEX_WAKE_PRIVATE, INT_MAX, 0);
}

void bl_stop_after_fork(void)
{
    if (table)
        memset(table, 0, BL_STOP_THREADS * sizeof *table);
    if (epoch & 1)
        epoch++;
}

void bl_stop_table(uint64_t *ret_start, uint64_t *ret_end)
{
    *ret_start = (uint64_t)(uintptr_t)table;
    *ret_end = table ? *ret_start + BL_STOP_THREADS * sizeof *table : *ret_start;
}

/* ---- what the application sees ---- */

void bl_stop_init(int number)
{
    bl_stop_signal = number;
}

int bl_stop_action(const struct sigaction *action, struct sigaction *ret_old)
{
    struct sigaction old = shadow;
    if (!installed)
        return bl_real.sigaction(bl_stop_signal, action, ret_old);
    if (action)
        shadow = *action;
    if (ret_old)
        *ret_old = old;
    return 0;
}

const sigset_t *bl_stop_strip(const sigset_t *set, sigset_t *room)
{
    uint64_t bits;
    if (!set || !bl_stop_signal)
        return set;
    memcpy(&bits, set, sizeof bits); /* may fault, as it would in the call itself */
    uint64_t own = 1ull << (bl_stop_signal - 1);
    if (!(bits & own) || __builtin_popcountll(bits) < BL_STOP_EVERYTHING)
        return set;
    bits &= ~own;
    memset(room, 0, sizeof *room);
    memcpy(room, &bits, sizeof bits);
    return room;
}
