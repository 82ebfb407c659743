/*
 * Processes, threads and users: what the shim must see to keep each process's ledger right.
 * Façades over process.h and threads.h.
 */
#include "early.h"
#include "process.h"
#include "real.h"
#include "threads.h"
#include "track.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define READY() ((void)bl_real_ready())

/* ---- fork ---- */

BL_EXPORT pid_t fork(void)
{
    READY();
    pid_t pid = bl_real.fork();
    if (pid == 0)
        bl_process_after_fork_in_child();
    return pid;
}

/* Runs no handlers: the child finds out at its first event. */
BL_EXPORT pid_t _Fork(void)
{
    READY();
    return bl_real._Fork();
}

/* The parent ends inside libc, by an _exit we cannot see: say so before. It hands all it has to its
 * child, and has lost nothing. */
BL_EXPORT int daemon(int nochdir, int noclose)
{
    READY();
    bl_process_mark_left();
    int result = bl_real.daemon(nochdir, noclose);
    int saved = errno;
    if (result < 0 || !bl_process_is_self())
        bl_process_unmark_exit();
    bl_process_after_fork_in_child();
    errno = saved;
    return result;
}

/* ---- end ---- */

BL_EXPORT void _exit(int status)
{
    READY();
    bl_process_mark_exit(BL_EXIT_UNDERSCORE, status);
    bl_real._exit(status);
    __builtin_unreachable();
}

BL_EXPORT void _Exit(int status)
{
    READY();
    bl_process_mark_exit(BL_EXIT_UNDERSCORE, status);
    bl_real._Exit(status);
    __builtin_unreachable();
}

BL_EXPORT void quick_exit(int status)
{
    READY();
    bl_process_mark_exit(BL_EXIT_QUICK, status);
    bl_real.quick_exit(status);
    __builtin_unreachable();
}

BL_EXPORT void abort(void)
{
    READY();
    bl_process_mark_exit(BL_EXIT_ABORT, 0);
    bl_real.abort();
    __builtin_unreachable();
}

/* ---- user ---- */

/* libc makes every thread change its ids, and aborts when they do not all end the same.
 * Capabilities and KEEPCAPS are a thread's own: ours may not have what the caller has. So there is
 * no helper meanwhile, and the next one starts as a copy of the caller. */
#define WITHOUT_HELPER(call)                                                                       \
    do {                                                                                           \
        READY();                                                                                   \
        bool paused = bl_process_pause_helper();                                                   \
        int result = (call);                                                                       \
        if (paused)                                                                                \
            bl_process_resume_helper();                                                            \
        return result;                                                                             \
    } while (0)

BL_EXPORT int setuid(uid_t uid)
{
    bl_process_change_user(uid);
    WITHOUT_HELPER(bl_real.setuid(uid));
}

BL_EXPORT int seteuid(uid_t uid)
{
    bl_process_change_user(uid);
    WITHOUT_HELPER(bl_real.seteuid(uid));
}

BL_EXPORT int setreuid(uid_t real, uid_t effective)
{
    bl_process_change_user(effective);
    WITHOUT_HELPER(bl_real.setreuid(real, effective));
}

BL_EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    bl_process_change_user(effective);
    WITHOUT_HELPER(bl_real.setresuid(real, effective, saved));
}

BL_EXPORT int setgid(gid_t gid)
{
    WITHOUT_HELPER(bl_real.setgid(gid));
}

BL_EXPORT int setegid(gid_t gid)
{
    WITHOUT_HELPER(bl_real.setegid(gid));
}

BL_EXPORT int setregid(gid_t real, gid_t effective)
{
    WITHOUT_HELPER(bl_real.setregid(real, effective));
}

BL_EXPORT int setresgid(gid_t real, gid_t effective, gid_t saved)
{
    WITHOUT_HELPER(bl_real.setresgid(real, effective, saved));
}

BL_EXPORT int setgroups(size_t count, const gid_t *groups)
{
    WITHOUT_HELPER(bl_real.setgroups(count, groups));
}

BL_EXPORT int initgroups(const char *user, gid_t group)
{
    WITHOUT_HELPER(bl_real.initgroups(user, group));
}

/* ---- namespaces: the kernel refuses some to a process of two threads ---- */

/* After a change of the process namespace no thread can be made any more: there the helper goes on,
 * unless it would be in the way or keep descriptors open. */
static bool pause_for(int flags)
{
    if ((flags & CLONE_NEWPID) && !(flags & (CLONE_NEWUSER | CLONE_FILES | CLONE_VM)))
        return false;
    return bl_process_pause_helper();
}

BL_EXPORT int unshare(int flags)
{
    READY();
    bool paused = pause_for(flags);
    int result = bl_real.unshare(flags);
    if (paused)
        bl_process_resume_helper();
    return result;
}

BL_EXPORT int setns(int fd, int type)
{
    READY();
    bool paused = pause_for(type);
    int result = bl_real.setns(fd, type);
    if (paused)
        bl_process_resume_helper();
    return result;
}

/* ---- threads ---- */

static void *thread_main(void *p)
{
    struct bl_start start = *(struct bl_start *)p;
    bl_guard_enter_internal();
    bl_early_give_start(p);
    bl_guard_leave_internal();
    bl_tls.mask_stripped = start.mask_stripped;
    bl_threads_enter(start.test_name);
    return start.routine(start.argument);
}

BL_EXPORT int pthread_create(pthread_t *ret_thread, const pthread_attr_t *attr,
                             void *(*routine)(void *), void *argument)
{
    READY();
    struct bl_start *start = NULL;
    if (bl_track_begun && bl_load_relaxed(bl_track_state) != BL_TRACK_OFF) {
        bl_guard_enter_internal();
        start = bl_early_take_start();
        bl_guard_leave_internal();
    }
    if (!start)
        return bl_real.pthread_create(ret_thread, attr, routine, argument);
    start->routine = routine;
    start->argument = argument;
    start->test_name = bl_threads_test();
    start->mask_stripped = bl_tls.mask_stripped;
    int error = bl_real.pthread_create(ret_thread, attr, thread_main, start);
    if (error) {
        bl_guard_enter_internal();
        bl_early_give_start(start);
        bl_guard_leave_internal();
    }
    return error;
}

/* ---- start ---- */

__attribute__((constructor)) static void start(void)
{
    bl_process_start();
}
