/*
 * Starts a program in one of the ways that there are, waits for it, and exits with 0.
 *
 *   check_starter WAY PROGRAM [TIMES]
 *
 * WAY: fork, vfork, spawn, spawnp, execvp, execveat, fexecve, system; missing-often is fork after
 * so many execs that failed that somebody who looks finds one of them under way.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *arguments[] = {NULL, NULL};

static void become(const char *way, const char *program)
{
    if (strcmp(way, "execvp") == 0)
        execvp(program, arguments);
    else if (strcmp(way, "execveat") == 0)
        execveat(AT_FDCWD, program, arguments, environ, 0);
    else if (strcmp(way, "fexecve") == 0)
        fexecve(open(program, O_RDONLY | O_CLOEXEC), arguments, environ);
    else
        execve(program, arguments, environ);
}

static void start(const char *way, const char *program)
{
    pid_t pid = -1;
    if (strcmp(way, "system") == 0) {
        if (system(program) != 0)
            exit(2);
        return;
    }
    if (strcmp(way, "spawn") == 0) {
        if (posix_spawn(NULL, program, NULL, NULL, arguments, environ) != 0)
            exit(3);
    } else if (strcmp(way, "spawnp") == 0) {
        if (posix_spawnp(&pid, program, NULL, NULL, arguments, environ) != 0)
            exit(4);
    } else if (strcmp(way, "vfork") == 0) {
        pid = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): it is what is tested
        if (pid == 0) {
            execve(program, arguments, environ);
            _exit(5);
        }
    } else {
        pid = fork();
        if (pid == 0) {
            become(way, program);
            _exit(6);
        }
    }
    int status = 0;
    if (wait(&status) < 0 || status != 0)
        exit(7);
}

int main(int argc, char **argv)
{
    if (argc < 3 || !argv[2])
        return 99;
    long times = argc > 3 ? strtol(argv[3], NULL, 10) : 1;
    arguments[0] = argv[2];
    for (int i = 0; i < 20000 && strcmp(argv[1], "missing-often") == 0; i++)
        execve("/nonexistent/program", arguments, environ);
    for (long i = 0; i < times; i++)
        start(argv[1], argv[2]);
    return 0;
}
