/*
 * Descriptors: the shim's own survive the application's close, closefrom and close_range, and make
 * room when it wants their numbers. To the application they are not open.
 */
#include "capture.h"
#include "dir.h"
#include "ledger.h"
#include "process.h"
#include "real.h"
#include "say.h"
#include "sigsafe.h"
#include "snapshot.h"
#include "track.h"
#include "usage.h"

#include <errno.h>
#include <unistd.h>

static bool is_ours(int fd)
{
    return fd > 2 && (bl_ledger_owns_fd(fd) || bl_dir_owns_fd(fd) || bl_say_owns_fd(fd) ||
                      bl_snapshot_owns_fd(fd) || bl_capture_owns_fd(fd) || bl_usage_owns_fd(fd));
}

BL_EXPORT int close(int fd)
{
    if (BL_UNLIKELY(is_ours(fd)) && !bl_tls.guard) {
        errno = EBADF;
        return -1;
    }
    if (!bl_real_ready())
        return bl_sys_close(fd);
    return bl_real.close(fd);
}

static int close_one_range(unsigned first, unsigned last, int flags)
{
    if (first > last)
        return 0;
    if (bl_real.close_range)
        return bl_real.close_range(first, last, flags);
    errno = ENOSYS;
    return -1;
}

BL_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    unsigned at = first;
    if (!bl_real_ready() || first > last)
        return bl_real_known ? bl_real.close_range(first, last, flags) : 0;
    /* CLOSE_RANGE_CLOEXEC (4) does no harm to ours, they have it */
    for (unsigned fd = first; !(flags & 4) && fd <= last && fd < 1024; fd++) {
        if (!is_ours((int)fd))
            continue;
        int result = fd > at ? close_one_range(at, fd - 1, flags) : 0;
        if (result != 0)
            return result;
        at = fd + 1;
    }
    return close_one_range(at, last, flags);
}

BL_EXPORT void closefrom(int first)
{
    if (close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0) != 0 && bl_real.closefrom)
        bl_real.closefrom(first);
}

static bool make_room(int from, int to)
{
    if (BL_UNLIKELY(is_ours(from)) && !bl_tls.guard) {
        errno = EBADF;
        return false;
    }
    if (BL_UNLIKELY(is_ours(to)) && from != to && !bl_process_is_vfork_child()) {
        bl_guard_enter_internal();
        bl_ledger_vacate_fd(to);
        bl_dir_vacate_fd(to);
        bl_say_vacate_fd(to);
        bl_capture_vacate_fd(to);
        bl_usage_vacate_fd(to);
        bl_guard_leave_internal();
    }
    return true;
}

BL_EXPORT int pipe2(int fds[2], int flags)
{
    if (!bl_real_ready())
        return -1;
    int result = bl_real.pipe2(fds, flags);
    if (BL_UNLIKELY(bl_tls.guard) && result == 0) {
        fds[0] = bl_sys_move_high(fds[0]);
        fds[1] = bl_sys_move_high(fds[1]);
        bl_capture_set_pipe(fds);
    }
    return result;
}

BL_EXPORT int dup2(int from, int to)
{
    if (!bl_real_ready() || !make_room(from, to))
        return -1;
    return bl_real.dup2(from, to);
}

BL_EXPORT int dup3(int from, int to, int flags)
{
    if (!bl_real_ready() || !make_room(from, to))
        return -1;
    return bl_real.dup3(from, to, flags);
}
