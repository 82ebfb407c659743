#include "signals.h"
#include "ledger.h"
#include "losses.h"
#include "names.h"
#include "real.h"
#include "sigsafe.h"
#include "track.h"

#include <errno.h>
#include <string.h>

#define SIGSET_BYTES 8u /* the kernel's sigset */

int bl_signals_number;

/* The application's action. Writers fill the other slot and switch: the handler may interrupt them.
 */
static struct sigaction shadow[2];
static uint32_t shadow_index; /* atomic */
static struct bl_lock_word {
    uint32_t word;
} writer;
static bool application_waits;
static uint32_t forwarded; /* atomic: signals the helper has put back, already answered */
/* The one the helper has taken because nobody received it: the application's, if it waits yet. */
static siginfo_t taken;
static uint32_t taken_state; /* atomic: enum below */
enum { TAKEN_NONE, TAKEN_WRITING, TAKEN_KEPT };
static uint32_t hook_number;
static uint32_t shared_name;

static const struct sigaction *current(void)
{
    return &shadow[bl_load_acquire(&shadow_index) & 1];
}

static bool has_function(const struct sigaction *a)
{
    return a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN; /* with SA_SIGINFO or without */
}

static uint64_t kernel_bit(int number)
{
    return 1ull << (number - 1);
}

static void request(void)
{
    if (bl_header->pid != bl_sys_getpid())
        return; /* a vfork child, or one whose fork was not seen: the ledger is its parent's */
    bl_add_relaxed(&bl_header->signal_requests, 1);
    __atomic_fetch_add(&bl_header->wake, 1, __ATOMIC_RELEASE);
    bl_sys_futex_wake(&bl_header->wake);
}

static bool take_forwarded(void)
{
    uint32_t n = bl_load_relaxed(&forwarded);
    while (n > 0) {
        if (__atomic_compare_exchange_n(&forwarded, &n, n - 1, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return true;
    }
    return false;
}

static void set_shadow(const struct sigaction *a)
{
    uint32_t index = bl_load_relaxed(&shadow_index);
    shadow[(index + 1) & 1] = *a;
    bl_store_release(&shadow_index, index + 1);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    if (!take_forwarded())
        request();
    errno = saved;
    struct sigaction a = *current();
    if (!has_function(&a))
        return;
    if ((int)a.sa_flags & (int)SA_RESETHAND) {
        struct sigaction reset = a; /* the kernel keeps flags and mask too */
        reset.sa_handler = SIG_DFL;
        set_shadow(&reset);
    }
    if (a.sa_flags & SA_SIGINFO)
        a.sa_sigaction(number, info, context);
    else
        a.sa_handler(number);
}

/* What the kernel is told: our handler, with the application's flags and mask where it has one. */
static int install(const struct sigaction *a)
{
    struct sigaction own = {.sa_flags = SA_RESTART};
    sigemptyset(&own.sa_mask);
    if (has_function(a)) {
        own.sa_flags = a->sa_flags & ~(int)SA_RESETHAND;
        own.sa_mask = a->sa_mask;
    }
    own.sa_flags |= SA_SIGINFO;
    own.sa_sigaction = on_signal;
    return bl_real.sigaction(bl_signals_number, &own, NULL);
}

/* Blocks our signal in this thread and other writers. Returns the mask to restore. */
static uint64_t lock_writer(void)
{
    uint64_t block = kernel_bit(bl_signals_number);
    uint64_t old = 0;
    bl_sys4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&block, (long)&old, SIGSET_BYTES);
    while (__atomic_exchange_n(&writer.word, 1, __ATOMIC_ACQUIRE))
        bl_sys3(SYS_sched_yield, 0, 0, 0);
    return old;
}

static void unlock_writer(uint64_t mask)
{
    bl_store_release(&writer.word, 0);
    bl_sys4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, SIGSET_BYTES);
}

static void tell_hook(const struct sigaction *a)
{
    if (!hook_number)
        return;
    struct bl_hook *hook = bl_ledger_at(BL_SECTION_HOOKS, hook_number);
    bl_store_relaxed(&hook->why_name, has_function(a) ? shared_name : 0);
}

/* In a vfork child: the memory is the parent's, the kernel's actions are its own. */
static int act_in_vfork_child(const struct sigaction *action, struct sigaction *ret_old)
{
    struct sigaction old = *current();
    int result = action ? bl_real.sigaction(bl_signals_number, action, NULL) : 0;
    if (result == 0 && ret_old)
        *ret_old = old;
    return result;
}

int bl_signals_action(const struct sigaction *action, struct sigaction *ret_old)
{
    if (bl_load_relaxed(bl_track_state) == BL_TRACK_ON && bl_header->pid != bl_sys_getpid())
        return act_in_vfork_child(action, ret_old);
    struct sigaction wanted = {0};
    int result = 0;
    if (action)
        wanted = *action; /* may fault or alias ret_old: before anything changes */
    uint64_t mask = lock_writer();
    struct sigaction old = *current();
    if (action) {
        /* The shadow first: a signal in between finds the new function, as with the kernel's. */
        set_shadow(&wanted);
        result = install(&wanted);
        if (result != 0)
            set_shadow(&old);
        else
            tell_hook(&wanted);
    }
    unlock_writer(mask);
    if (result == 0 && ret_old)
        *ret_old = old;
    return result;
}

static void queue(uint32_t pid, siginfo_t *info)
{
    /* only a sender itself may say SI_USER, which is si_code 0 */
    if (bl_sys3(SYS_rt_sigqueueinfo, pid, bl_signals_number, (long)info) < 0) {
        info->si_code = SI_QUEUE;
        bl_sys3(SYS_rt_sigqueueinfo, pid, bl_signals_number, (long)info);
    }
}

static void give_back(void)
{
    uint32_t kept = TAKEN_KEPT;
    if (__atomic_compare_exchange_n(&taken_state, &kept, TAKEN_WRITING, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
        siginfo_t info = taken;
        bl_store_release(&taken_state, TAKEN_NONE);
        queue(bl_sys_getpid(), &info);
    }
}

static void keep(const siginfo_t *info)
{
    if (__atomic_exchange_n(&taken_state, TAKEN_WRITING, __ATOMIC_ACQUIRE) != TAKEN_WRITING) {
        taken = *info;
        bl_store_release(&taken_state, TAKEN_KEPT);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (bl_load_relaxed(&application_waits)) /* since just now */
        give_back();
}

void bl_signals_note_wait(const sigset_t *set)
{
    if (!set || !bl_signals_number || sigismember(set, bl_signals_number) != 1)
        return;
    bl_store_relaxed(&application_waits, true);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    give_back();
}

static bool is_pending(void)
{
    uint64_t pending = 0;
    bl_sys3(SYS_rt_sigpending, (long)&pending, SIGSET_BYTES, 0);
    return pending & kernel_bit(bl_signals_number);
}

bool bl_signals_collect(void)
{
    static bool pending_before;
    if (!bl_signals_number || bl_load_relaxed(&application_waits))
        return false;
    bool pending = is_pending();
    bool ripe = pending && pending_before; /* not just blocked for a moment */
    pending_before = pending && !ripe;
    if (!ripe)
        return false;
    uint64_t set = kernel_bit(bl_signals_number);
    struct timespec now = {0};
    siginfo_t info;
    if (bl_sys4(SYS_rt_sigtimedwait, (long)&set, (long)&info, (long)&now, SIGSET_BYTES) < 0)
        return false;
    if (has_function(current())) {
        /* The application may unblock it one day: it waits on the main thread from now on. */
        uint32_t pid = bl_sys_getpid();
        bl_add_relaxed(&forwarded, 1);
        if (info.si_code >= 0)
            info.si_code = SI_QUEUE; /* only a sender itself may say SI_USER to another thread */
        if (bl_sys4(SYS_rt_tgsigqueueinfo, pid, pid, bl_signals_number, (long)&info) < 0)
            take_forwarded();
    } else {
        keep(&info);
    }
    return true;
}

void bl_signals_after_fork(void)
{
    bl_store_relaxed(&forwarded, 0);
    bl_store_relaxed(&taken_state, TAKEN_NONE);
}

void bl_signals_before_exec(void)
{
    if (bl_signals_number && current()->sa_handler == SIG_IGN)
        bl_real.sigaction(bl_signals_number, current(), NULL);
}

void bl_signals_after_exec(void)
{
    int saved = errno;
    if (bl_signals_number)
        install(current());
    errno = saved;
}

static void record_hook(void)
{
    uint64_t n = bl_header->published[BL_SECTION_HOOKS];
    char name[32];
    struct bl_text t;
    const char *abbreviation = sigabbrev_np(bl_signals_number);
    if (bl_ledger_ensure(BL_SECTION_HOOKS, (uint32_t)n + 1) != 0)
        return;
    bl_text_init(&t, name, sizeof name);
    bl_text_str(&t, "signal:");
    if (abbreviation)
        bl_text_str(&t, abbreviation);
    else
        bl_text_u64(&t, (uint64_t)bl_signals_number);
    struct bl_hook *hook = bl_ledger_at(BL_SECTION_HOOKS, (uint32_t)n);
    memset(hook, 0, sizeof *hook);
    hook->function_name = bl_names_add_str(name);
    hook->method = BL_HOOK_SYMBOL;
    shared_name = bl_names_add_str("the application handles this signal too: both happen");
    hook_number = (uint32_t)n;
    bl_ledger_publish(BL_SECTION_HOOKS, n + 1);
}

void bl_signals_init(int number)
{
    struct sigaction inherited;
    if (!number)
        return;
    if (bl_real.sigaction(number, NULL, &inherited) != 0) {
        bl_losses_add(BL_LOSS_signals_not_taken, 1);
        return;
    }
    bl_signals_number = number;
    set_shadow(&inherited);
    record_hook();
    tell_hook(&inherited);
    if (install(&inherited) != 0) {
        bl_signals_number = 0;
        bl_losses_add(BL_LOSS_signals_not_taken, 1);
    }
}
