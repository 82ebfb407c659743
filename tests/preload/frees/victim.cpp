/*
 * Requests whose buffers are freed somewhere else than where they were allocated, and now and then
 * nowhere: victim WAY REQUESTS EVERY, one in EVERY is forgotten.
 *
 * Prints the lines of its own code that a report should name, as JSON. What a request does last
 * stands in front of BARRIER, so that no call becomes a jump: its line would be gone.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define BARRIER asm volatile("" ::: "memory")
#define OUTLINE __attribute__((noinline))

extern "C" {
void *library_take(size_t size);
void library_give(void *p);
}

static int born_line;
static int done_line;
static int fail_line;
static unsigned long requests;
static unsigned long every;
static unsigned long forgotten;
static unsigned long failed;

struct way {
    const char *name;
    void *(*take)();
    void (*done)(void *p);
    void (*fail)(void *p);
};

OUTLINE static void *take_block()
{
    born_line = __LINE__ + 1;
    void *p = malloc(100);
    BARRIER;
    return p;
}

OUTLINE static void give_block(void *p)
{
    done_line = __LINE__ + 1;
    free(p);
    BARRIER;
}

OUTLINE static void fail_block(void *p)
{
    fail_line = __LINE__ + 1;
    free(p);
    BARRIER;
}

OUTLINE static void *take_object()
{
    born_line = __LINE__ + 1;
    long *p = new long[20];
    BARRIER;
    return p;
}

OUTLINE static void give_object(void *p)
{
    done_line = __LINE__ + 1;
    delete[] static_cast<long *>(p);
    BARRIER;
}

OUTLINE static void fail_object(void *p)
{
    fail_line = __LINE__ + 1;
    operator delete(p);
    BARRIER;
}

OUTLINE static void *take_from_library()
{
    born_line = __LINE__ + 1;
    void *p = library_take(100);
    BARRIER;
    return p;
}

OUTLINE static void give_to_library(void *p)
{
    done_line = __LINE__ + 1;
    library_give(p);
    BARRIER;
}

OUTLINE static void fail_with_library(void *p)
{
    fail_line = __LINE__ + 1;
    library_give(p);
    BARRIER;
}

OUTLINE static void grow_and_give(void *p)
{
    done_line = __LINE__ + 1;
    void *grown = realloc(p, 5000);
    BARRIER;
    free(grown);
}

static const struct way ways[] = {
    {"malloc", take_block, give_block, fail_block},
    {"new", take_object, give_object, fail_object},
    {"library", take_from_library, give_to_library, fail_with_library},
    {"realloc", take_block, grow_and_give, fail_block},
    {"thread", take_block, give_block, fail_block},
    {"fork", take_block, give_block, fail_block},
};

static const struct way *way;
static void **taken;

/* Each tenth request fails, and frees its buffer where that is done. */
static void end_request(unsigned long i)
{
    if (i % every == every / 2) {
        forgotten++;
    } else if (i % 10 == 3) {
        failed++;
        way->fail(taken[i]);
    } else {
        way->done(taken[i]);
    }
}

static void *end_all(void *)
{
    for (unsigned long i = 0; i < requests; i++)
        end_request(i);
    return nullptr;
}

static void take_all()
{
    for (unsigned long i = 0; i < requests; i++)
        taken[i] = way->take();
}

static void serve()
{
    for (unsigned long i = 0; i < requests; i++) {
        taken[i] = way->take();
        end_request(i);
    }
}

/* What the one thread, or process, allocates the other frees. */
static void serve_apart(bool in_child)
{
    take_all();
    if (in_child) {
        pid_t child = fork();
        if (child != 0) {
            int status;
            waitpid(child, &status, 0);
            _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
        }
        end_all(nullptr);
        return;
    }
    pthread_t thread;
    pthread_create(&thread, nullptr, end_all, nullptr);
    pthread_join(thread, nullptr);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    for (const struct way &w : ways)
        if (strcmp(w.name, argv[1]) == 0)
            way = &w;
    requests = strtoul(argv[2], nullptr, 10);
    every = strtoul(argv[3], nullptr, 10);
    taken = static_cast<void **>(calloc(requests, sizeof(*taken)));
    if (!way || !taken)
        return 2;
    if (strcmp(way->name, "thread") == 0 || strcmp(way->name, "fork") == 0)
        serve_apart(way->name[0] == 'f');
    else
        serve();
    free(taken);
    printf("{\"forgotten\": %lu, \"failed\": %lu, \"born\": %d, \"done\": %d, \"fail\": %d}\n",
           forgotten, failed, born_line, done_line, fail_line);
    return 0;
}
