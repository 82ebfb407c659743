/*
 * A program that does what its standard input says and answers every line with "ok", so that tests
 * know what has happened without waiting for time to pass.
 */
#include <bufleak.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT_MAX 100000

static void *kept[KEPT_MAX];
static unsigned kept_count;

static __attribute__((noinline)) void leak_blocks(unsigned count, unsigned size)
{
    for (unsigned i = 0; i < count && kept_count < KEPT_MAX; i++) {
        void *block = malloc(size);
        memset(block, 1, size);
        kept[kept_count++] = block;
    }
}

static __attribute__((noinline)) void leak_strings(unsigned count)
{
    for (unsigned i = 0; i < count && kept_count < KEPT_MAX; i++)
        kept[kept_count++] = strdup("a string of twenty-six ch");
}

static void free_blocks(void)
{
    while (kept_count > 0)
        free(kept[--kept_count]);
}

static void on_signal(int number)
{
    (void)number;
    if (write(STDOUT_FILENO, "signal\n", 7) < 0)
        _exit(9);
}

/* A child that leaks and ends; with `wait` before the parent goes on. */
static void fork_child(unsigned count, unsigned size)
{
    pid_t child = fork();
    if (child == 0) {
        leak_blocks(count, size);
        exit(5);
    }
    waitpid(child, NULL, 0);
}

/* As daemon(3) does: the parent is gone at once, the child lives on with our standard input. */
static void become_daemon(void)
{
    if (fork() > 0)
        _exit(0);
    setsid();
    printf("daemon %d\n", (int)getpid());
}

static void set_mark(const char *name)
{
    char text[64];
    snprintf(text, sizeof(text), "%.*s", (int)strcspn(name, "\n"), name);
    bufleak_mark(text);
}

static void obey(const char *line)
{
    unsigned count = 0;
    unsigned size = 0;
    char path[4096];
    int code;
    if (sscanf(line, "leak %u %u", &count, &size) == 2)
        leak_blocks(count, size);
    else if (strncmp(line, "mark ", 5) == 0)
        set_mark(line + 5);
    else if (sscanf(line, "strings %u", &count) == 1)
        leak_strings(count);
    else if (strncmp(line, "free", 4) == 0)
        free_blocks();
    else if (sscanf(line, "fork %u %u", &count, &size) == 2)
        fork_child(count, size);
    else if (strncmp(line, "handle", 6) == 0)
        signal(SIGUSR1, on_signal);
    else if (strncmp(line, "daemon", 6) == 0)
        become_daemon();
    else if (sscanf(line, "exec %4095s", path) == 1)
        execl(path, path, (char *)NULL);
    else if (sscanf(line, "exit %d", &code) == 1)
        exit(code);
}

int main(void)
{
    char line[8192];
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready %d\n", (int)getpid());
    while (fgets(line, sizeof(line), stdin)) {
        obey(line);
        puts("ok");
    }
    return 0;
}
