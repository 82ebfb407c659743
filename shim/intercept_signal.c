/*
 * Signals: everything that sets or shows an action. For any signal but the snapshot signal these
 * pass through; for that one they act on the application's action in signals.h.
 */
#include "real.h"
#include "signals.h"
#include "stop.h"

#include <errno.h>

/* Of these signals the action's mask lacks the signal of stop.h, which the program put in. */
static uint64_t stripped_actions; /* atomic, a bit for each */

/* A handler that blocks everything must not keep a thread from being stopped. */
static int set_action(int number, const struct sigaction *action, struct sigaction *ret_old)
{
    sigset_t room;
    struct sigaction given;
    uint64_t bit = number > 0 && number <= 64 ? 1ull << (number - 1) : 0;
    uint64_t stripped = bl_load_relaxed(&stripped_actions);
    bool strips = false;
    if (action) {
        given = *action;
        strips = bl_stop_strip(&action->sa_mask, &room) != &action->sa_mask;
        if (strips)
            given.sa_mask = room;
    }
    int result = bl_real.sigaction(number, action ? &given : NULL, ret_old);
    if (result != 0)
        return result;
    if (ret_old && (stripped & bit))
        sigaddset(&ret_old->sa_mask, bl_stop_signal);
    if (action && strips)
        __atomic_fetch_or(&stripped_actions, bit, __ATOMIC_RELAXED);
    else if (action && (stripped & bit))
        __atomic_fetch_and(&stripped_actions, ~bit, __ATOMIC_RELAXED);
    return result;
}

BL_EXPORT int sigaction(int number, const struct sigaction *action, struct sigaction *ret_old)
{
    (void)bl_real_ready();
    if (bl_signals_is_ours(number))
        return bl_signals_action(action, ret_old);
    if (bl_stop_is_ours(number))
        return bl_stop_action(action, ret_old);
    return set_action(number, action, ret_old);
}

/* Both signals of ours are set through what keeps the application's action. */
static bool is_kept(int number)
{
    return bl_signals_is_ours(number) || (bl_stop_is_ours(number) && bl_stop_is_installed());
}

static int act(int number, const struct sigaction *action, struct sigaction *ret_old)
{
    return bl_signals_is_ours(number) ? bl_signals_action(action, ret_old)
                                      : bl_stop_action(action, ret_old);
}

static sighandler_t set_handler(int number, sighandler_t handler, int flags, bool mask_itself)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct sigaction old;
    sigemptyset(&action.sa_mask);
    if (mask_itself)
        sigaddset(&action.sa_mask, number);
    return act(number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

static bool interrupts; /* siginterrupt(signal, 1) was called */

BL_EXPORT sighandler_t signal(int number, sighandler_t handler)
{
    (void)bl_real_ready();
    if (is_kept(number))
        return set_handler(number, handler, interrupts ? 0 : SA_RESTART, true);
    return bl_real.signal(number, handler);
}

BL_EXPORT sighandler_t bsd_signal(int number, sighandler_t handler);
BL_EXPORT sighandler_t bsd_signal(int number, sighandler_t handler)
{
    (void)bl_real_ready();
    if (is_kept(number))
        return set_handler(number, handler, interrupts ? 0 : SA_RESTART, true);
    return bl_real.bsd_signal(number, handler);
}

static sighandler_t set_one_shot(int number, sighandler_t handler,
                                 sighandler_t (*real)(int, sighandler_t))
{
    if (is_kept(number))
        return set_handler(number, handler, (int)SA_RESETHAND | SA_NODEFER, false);
    return real(number, handler);
}

BL_EXPORT sighandler_t sysv_signal(int number, sighandler_t handler)
{
    (void)bl_real_ready();
    return set_one_shot(number, handler, bl_real.sysv_signal);
}

// NOLINTNEXTLINE(bugprone-reserved-identifier): glibc's name
BL_EXPORT sighandler_t __sysv_signal(int number, sighandler_t handler)
{
    (void)bl_real_ready();
    return set_one_shot(number, handler, bl_real.__sysv_signal);
}

/* sigset also unblocks the signal, or only blocks it (SIG_HOLD), and tells if it was blocked. */
BL_EXPORT sighandler_t sigset(int number, sighandler_t handler)
{
    (void)bl_real_ready();
    if (!is_kept(number))
        return bl_real.sigset(number, handler);
    sigset_t set;
    sigset_t old_mask;
    struct sigaction old;
    bool hold = handler == SIG_HOLD;
    sigemptyset(&set);
    sigaddset(&set, number);
    if (act(number, NULL, &old) != 0)
        return SIG_ERR;
    if (!hold && set_handler(number, handler, 0, false) == SIG_ERR)
        return SIG_ERR;
    if (sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, &old_mask) != 0)
        return SIG_ERR;
    return sigismember(&old_mask, number) == 1 ? SIG_HOLD : old.sa_handler;
}

BL_EXPORT int sigignore(int number)
{
    (void)bl_real_ready();
    if (!is_kept(number))
        return bl_real.sigignore(number);
    return set_handler(number, SIG_IGN, 0, false) == SIG_ERR ? -1 : 0;
}

BL_EXPORT int siginterrupt(int number, int interrupt)
{
    (void)bl_real_ready();
    if (!is_kept(number))
        return bl_real.siginterrupt(number, interrupt);
    struct sigaction action;
    if (act(number, NULL, &action) != 0)
        return -1;
    interrupts = interrupt != 0;
    action.sa_flags = interrupt ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
    return act(number, &action, NULL);
}

BL_EXPORT int sigwait(const sigset_t *set, int *ret_number)
{
    (void)bl_real_ready();
    sigset_t room;
    bl_signals_note_wait(set);
    return bl_real.sigwait(bl_stop_strip(set, &room), ret_number);
}

BL_EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *ret_info)
{
    (void)bl_real_ready();
    sigset_t room;
    bl_signals_note_wait(set);
    return bl_real.sigwaitinfo(bl_stop_strip(set, &room), ret_info);
}

BL_EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *ret_info, const struct timespec *timeout)
{
    (void)bl_real_ready();
    sigset_t room;
    bl_signals_note_wait(set);
    return bl_real.sigtimedwait(bl_stop_strip(set, &room), ret_info, timeout);
}

BL_EXPORT int signalfd(int fd, const sigset_t *set, int flags);
BL_EXPORT int signalfd(int fd, const sigset_t *set, int flags)
{
    (void)bl_real_ready();
    sigset_t room;
    bl_signals_note_wait(set);
    return bl_real.signalfd(fd, bl_stop_strip(set, &room), flags);
}
