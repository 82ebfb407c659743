/*
 * Programs that replace or join the process: marked in the ledger, followed (environment.h), and
 * those that the shim cannot follow noted by name (program.h).
 * All of this also runs in vfork children: stack memory only.
 */
#include "environment.h"
#include "names.h"
#include "process.h"
#include "program.h"
#include "real.h"
#include "signals.h"
#include "sigsafe.h"
#include "threads.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

#define READY() ((void)bl_real_ready())

/* Declares `name`: envp, or a completed copy of it on this function's stack. */
#define FOLLOWED(name, envp)                                                                       \
    char *const *name = (envp);                                                                    \
    const char *name##_test = bl_names_text(bl_threads_test());                                    \
    size_t name##_size = bl_environment_size(name, name##_test);                                   \
    char name##_text[BL_ENVIRONMENT_TEXT];                                                         \
    if (name##_size > 0) {                                                                         \
        char **full = __builtin_alloca(name##_size * sizeof *full);                                \
        bl_environment_fill(name, name##_test, full, name##_text);                                 \
        name = full;                                                                               \
    }

static void about_to(struct bl_program *program)
{
    bl_program_note(program, bl_sys_getpid());
    bl_process_mark_exec();
}

static int failed(struct bl_program *program, int result)
{
    bl_program_forget(program);
    bl_process_unmark_exec();
    return result;
}

/* The file that a descriptor is of, by the name it has in /proc. */
static void look_at_descriptor(struct bl_program *program, int fd)
{
    char link[32];
    char path[256];
    struct bl_text t;
    bl_text_init(&t, link, sizeof link);
    bl_text_str(&t, "/proc/self/fd/");
    bl_text_u64(&t, fd < 0 ? UINT32_MAX : (uint64_t)fd);
    bl_program_look_at(program, AT_FDCWD, link, 0);
    long length = bl_sys4(SYS_readlinkat, AT_FDCWD, (long)link, (long)path, sizeof path - 1);
    if (length > 0 && program->reason != BL_EXEC_TRACKED) {
        path[length] = '\0';
        bl_program_name(program, path);
    }
}

BL_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    struct bl_program program;
    bl_program_look_at(&program, AT_FDCWD, path, 0);
    about_to(&program);
    return failed(&program, bl_real.execve(path, argv, env));
}

BL_EXPORT int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

BL_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    struct bl_program program;
    bl_program_look_up(&program, file);
    about_to(&program);
    return failed(&program, bl_real.execvpe(file, argv, env));
}

BL_EXPORT int execvp(const char *file, char *const argv[])
{
    return execvpe(file, argv, environ);
}

BL_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    struct bl_program program;
    look_at_descriptor(&program, fd);
    about_to(&program);
    return failed(&program, bl_real.fexecve(fd, argv, env));
}

BL_EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
    READY();
    FOLLOWED(env, envp);
    struct bl_program program;
    if (flags & AT_EMPTY_PATH && !*path)
        look_at_descriptor(&program, fd);
    else
        bl_program_look_at(&program, fd, path, 0);
    about_to(&program);
    return failed(&program, bl_real.execveat(fd, path, argv, env, flags));
}

static int spawned(struct bl_program *program, const pid_t *pid, int error)
{
    if (error == 0)
        bl_program_note(program, (uint32_t)*pid);
    return error;
}

BL_EXPORT int posix_spawn(pid_t *ret_pid, const char *path,
                          const posix_spawn_file_actions_t *actions,
                          const posix_spawnattr_t *attributes, char *const argv[],
                          char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    struct bl_program program;
    pid_t pid = 0;
    bl_program_look_at(&program, AT_FDCWD, path, 0);
    bl_signals_before_exec(); /* the child inherits what the kernel knows now */
    int error = bl_real.posix_spawn(ret_pid ? ret_pid : &pid, path, actions, attributes, argv, env);
    bl_signals_after_exec();
    return spawned(&program, ret_pid ? ret_pid : &pid, error);
}

BL_EXPORT int posix_spawnp(pid_t *ret_pid, const char *file,
                           const posix_spawn_file_actions_t *actions,
                           const posix_spawnattr_t *attributes, char *const argv[],
                           char *const envp[])
{
    READY();
    FOLLOWED(env, envp);
    struct bl_program program;
    pid_t pid = 0;
    bl_program_look_up(&program, file);
    bl_signals_before_exec();
    int error =
        bl_real.posix_spawnp(ret_pid ? ret_pid : &pid, file, actions, attributes, argv, env);
    bl_signals_after_exec();
    return spawned(&program, ret_pid ? ret_pid : &pid, error);
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
