/*
 * Programs that replace or join the process: marked in the ledger, and followed (environment.h).
 * All of this also runs in vfork children: stack memory only.
 */
#include "environment.h"
#include "process.h"
#include "real.h"
#include "signals.h"

#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

#define READY() ((void)bl_real_ready())

/* Declares `name`: envp, or a completed copy of it on this function's stack. */
#define FOLLOWED(name, envp)                                                                       \
    char *const *name = (envp);                                                                    \
    size_t name##_size = bl_environment_size(name);                                                \
    char name##_text[BL_ENVIRONMENT_TEXT];                                                         \
    if (name##_size > 0) {                                                                         \
        char **full = __builtin_alloca(name##_size * sizeof *full);                                \
        bl_environment_fill(name, full, name##_text);                                              \
        name = full;                                                                               \
    }

static int failed(int result)
{
    bl_process_unmark_exec();
    return result;
}

BL_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    bl_process_mark_exec();
    return failed(bl_real.execve(path, argv, env));
}

BL_EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

BL_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    bl_process_mark_exec();
    return failed(bl_real.execvpe(file, argv, env));
}

BL_EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

BL_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    bl_process_mark_exec();
    return failed(bl_real.fexecve(fd, argv, env));
}

BL_EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
    READY();
    FOLLOWED(env, envp);
    bl_process_mark_exec();
    return failed(bl_real.execveat(fd, path, argv, env, flags));
}

BL_EXPORT int posix_spawn(pid_t *ret_pid, const char *path,
                          const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attributes, char *const argv[],
                          char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    bl_signals_before_exec(); /* the child inherits what the kernel knows now */
    int error = bl_real.posix_spawn(ret_pid, path, actions, attributes, argv, env);
    bl_signals_after_exec();
    return error;
}

BL_EXPORT int posix_spawnp(pid_t *ret_pid, const char *file,
                           const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attributes, char *const argv[],
                           char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    bl_signals_before_exec();
    int error = bl_real.posix_spawnp(ret_pid, file, actions, attributes, argv, env);
    bl_signals_after_exec();
    return error;
}

/* The list forms: the arguments become a vector on the stack, as in libc. */
static size_t count_arguments(va_list *rest)
{
    size_t n = 1;
    while (va_arg(*rest, char *))
        n++;
    return n;
}

#define COLLECT(first)                                                                             \
    va_list rest;                                                                                  \
    va_start(rest, first);                                                                         \
    size_t count = count_arguments(&rest);                                                         \
    va_end(rest);                                                                                  \
    char **argv = __builtin_alloca((count + 1) * sizeof *argv);                                    \
    va_start(rest, first);                                                                         \
    argv[0] = (char *)(uintptr_t)(first);                                                          \
    for (size_t i = 1; i <= count; i++)                                                            \
    argv[i] = va_arg(rest, char *)

BL_EXPORT int execl(const char *path, const char *first, ...)
{
    COLLECT(first);
    va_end(rest);
    return execv(path, argv);
}

BL_EXPORT int execlp(const char *file, const char *first, ...)
{
    COLLECT(first);
    va_end(rest);
    return execvp(file, argv);
}

BL_EXPORT int execle(const char *path, const char *first, ...)
{
    COLLECT(first);
    char *const *envp = va_arg(rest, char *const *);
    va_end(rest);
    return execve(path, argv, envp);
}
