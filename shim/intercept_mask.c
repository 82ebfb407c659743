/*
 * Signal masks. A mask that blocks everything is given to the kernel without the signal of stop.h;
 * who reads the mask back sees what was set. Façades: all others pass through as they are.
 */
#include "guard.h"
#include "real.h"
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define READY() ((void)bl_real_ready())

/* Nearly all signals are blocked: so is ours, for all that the program knows. */
static void show(sigset_t *old, bool was_stripped)
{
    uint64_t bits;
    memcpy(&bits, old, sizeof bits);
    if (was_stripped && __builtin_popcountll(bits) >= BL_STOP_EVERYTHING - 1) {
        bits |= 1ull << (bl_stop_signal - 1);
        memcpy(old, &bits, sizeof bits);
    }
}

static void note(int how, const sigset_t *set, const sigset_t *given)
{
    if (given != set)
        bl_tls.mask_stripped = true;
    else if (how == SIG_SETMASK || (how == SIG_UNBLOCK && sigismember(set, bl_stop_signal) == 1))
        bl_tls.mask_stripped = false;
}

static int change(int (*real)(int, const sigset_t *, sigset_t *), int how, const sigset_t *set,
                  sigset_t *ret_old)
{
    sigset_t room;
    bool was_stripped = bl_tls.mask_stripped;
    const sigset_t *given = how == SIG_UNBLOCK ? set : bl_stop_strip(set, &room);
    int result = real(how, given, ret_old);
    if (result != 0 || !bl_stop_signal)
        return result;
    if (ret_old)
        show(ret_old, was_stripped);
    if (set)
        note(how, set, given);
    return result;
}

BL_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
    READY();
    return change(bl_real.pthread_sigmask, how, set, ret_old);
}

BL_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *ret_old)
{
    READY();
    return change(bl_real.sigprocmask, how, set, ret_old);
}

BL_EXPORT int sigsuspend(const sigset_t *set)
{
    READY();
    sigset_t room;
    return bl_real.sigsuspend(bl_stop_strip(set, &room));
}

BL_EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                    const sigset_t *set)
{
    READY();
    sigset_t room;
    return bl_real.ppoll(fds, count, timeout, bl_stop_strip(set, &room));
}

// NOLINTNEXTLINE(bugprone-reserved-identifier): glibc's name
BL_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                          const sigset_t *set, size_t room_of_fds);
// NOLINTNEXTLINE(bugprone-reserved-identifier)
BL_EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                          const sigset_t *set, size_t room_of_fds)
{
    READY();
    sigset_t room;
    return bl_real.__ppoll_chk(fds, count, timeout, bl_stop_strip(set, &room), room_of_fds);
}

BL_EXPORT int pselect(int count, fd_set *reads, fd_set *writes, fd_set *others,
                      const struct timespec *timeout, const sigset_t *set)
{
    READY();
    sigset_t room;
    return bl_real.pselect(count, reads, writes, others, timeout, bl_stop_strip(set, &room));
}

BL_EXPORT int epoll_pwait(int fd, struct epoll_event *events, int count, int timeout,
                          const sigset_t *set)
{
    READY();
    sigset_t room;
    return bl_real.epoll_pwait(fd, events, count, timeout, bl_stop_strip(set, &room));
}

BL_EXPORT int epoll_pwait2(int fd, struct epoll_event *events, int count,
                           const struct timespec *timeout, const sigset_t *set)
{
    READY();
    sigset_t room;
    if (!bl_real.epoll_pwait2) {
        errno = ENOSYS;
        return -1;
    }
    return bl_real.epoll_pwait2(fd, events, count, timeout, bl_stop_strip(set, &room));
}
