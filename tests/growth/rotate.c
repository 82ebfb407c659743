/*
 * Passes through ever new stacks, as a server that runs for long, and keeps a few buffers. Which
 * way led to a buffer is in its size, so that the ledger's word for its stack can be checked.
 *
 * Prints "ready PID"; each line "pass FROM COUNT" on stdin takes and frees a buffer by each of
 * COUNT ways and keeps every KEEP_EACH-th; answers "ok". Two threads share the work. "forks FROM
 * COUNT" does the same while children are forked, which go a few ways of their own and end;
 * "become" makes a child that obeys from then on, and says which it is.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BITS      20u
#define KEEP_EACH 1999u
#define FORKS     6u /* of one order */

struct part {
    uint32_t from;
    uint32_t count;
};

static void *take(uint32_t way, uint32_t bits, size_t size);

#define STEP(name)                                                                                 \
    __attribute__((noinline)) static void *name(uint32_t way, uint32_t bits, size_t size)          \
    {                                                                                              \
        void *block = take(way, bits, size);                                                       \
        __asm__ volatile("" : "+r"(block));                                                        \
        return block;                                                                              \
    }

STEP(turn_left)
STEP(turn_right)

/* The lowest bit first: it is the outermost turn. */
__attribute__((noinline)) static void *take(uint32_t way, uint32_t bits, size_t size)
{
    void *block;
    if (bits == 0)
        block = malloc(size);
    else if (way & 1)
        block = turn_right(way >> 1, bits - 1, size);
    else
        block = turn_left(way >> 1, bits - 1, size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static void *pass(void *argument)
{
    const struct part *part = argument;
    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t way = (part->from + i) & ((1u << BITS) - 1);
        void *block = take(way, BITS, way + 1);
        if (i % KEEP_EACH != 0)
            free(block);
    }
    return NULL;
}

static void fork_one(uint32_t from)
{
    struct part part = {from, KEEP_EACH + 1};
    pid_t child = fork();
    if (child == 0) {
        pass(&part);
        exit(0);
    }
    waitpid(child, NULL, 0);
}

static void pass_and_fork(const struct part *part)
{
    for (uint32_t i = 0; i < FORKS; i++) {
        struct part some = {part->from + part->count / FORKS * i, part->count / FORKS};
        pass(&some);
        fork_one(~some.from);
    }
}

/* The child goes on; the parent ends with it, as it did. */
static void become_child(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        printf("child %d\n", (int)getpid());
        return;
    }
    waitpid(child, &status, 0);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static int obey(const char *line)
{
    unsigned from;
    unsigned count;
    pthread_t thread;
    char order[16];
    if (sscanf(line, "%15s %u %u", order, &from, &count) != 3)
        return 2;
    struct part halves[2] = {{from, count / 2}, {from + count / 2, count / 2}};
    if (pthread_create(&thread, NULL, pass, &halves[0]) != 0)
        return 1;
    if (strcmp(order, "forks") == 0)
        pass_and_fork(&halves[1]);
    else
        pass(&halves[1]);
    pthread_join(thread, NULL);
    return 0;
}

int main(void)
{
    char line[64];
    printf("ready %d\n", (int)getpid());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int code = strcmp(line, "become\n") == 0 ? (become_child(), 0) : obey(line);
        if (code != 0)
            return code;
        puts("ok");
        fflush(stdout);
    }
    return 0;
}
