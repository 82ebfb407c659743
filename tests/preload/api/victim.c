/* A program that uses bufleak.h, in C and in C++, with and without the shim. What it expects of the
 * answers depends on whether it is recorded. It prints "done" when all were as they should be. */
#include "bufleak.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: not %s\n", __LINE__, #condition);                            \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static void *volatile kept[4096];
static unsigned kept_count;

static void *keep(size_t size)
{
    void *p = malloc(size);
    kept[kept_count++] = p;
    return p;
}

/* ---- marks, checkpoints, assertions ---- */

static void marks(void)
{
    bufleak_mark("warm");
    for (int i = 0; i < 100; i++)
        keep(1000);
    bufleak_mark("loaded");
    errno = 77;
    bufleak_mark(NULL);
    bufleak_mark("a name that is much longer than the forty-seven bytes that are kept of it");
    CHECK(errno == 77);
}

static void growth(void)
{
    struct bufleak_moment before = bufleak_checkpoint("before");
    void *p = keep(300);
    ptrdiff_t grown = bufleak_growth(&before);
    int one_less = bufleak_assert_no_growth(&before, 299);
    CHECK(grown == (bufleak_present() ? 300 : 0));
    CHECK(one_less == !bufleak_present());
    CHECK(bufleak_assert_no_growth(&before, 300));
    free(p);
    CHECK(bufleak_assert_no_growth(&before, 0));
    CHECK(bufleak_growth(&before) == 0);
}

/* ---- ignoring ---- */

static void ignore(void)
{
    struct bufleak_moment before = bufleak_checkpoint("before");
    bufleak_ignore(keep(1000));
    bufleak_ignore_begin();
    keep(2000);
    bufleak_ignore_begin();
    kept[kept_count++] = realloc(keep(10), 3000); /* the old address is not looked at again */
    bufleak_ignore_end();
    void *given_back = malloc(5000);
    bufleak_ignore_end();
    free(given_back);
    kept[0] = realloc(kept[0], 1500);
    CHECK(bufleak_growth(&before) == 0);
    keep(7);
    bufleak_ignore_end(); /* one too many */
    keep(8);
    CHECK(bufleak_growth(&before) == (bufleak_present() ? 15 : 0));
    bufleak_ignore(&before); /* nothing that is known */
    bufleak_ignore(NULL);
}

/* ---- an allocator of one's own ---- */

#define CHUNK_OBJECTS 64
#define OBJECT_BYTES  100

struct object {
    struct object *next;
    int references;
    char bytes[OBJECT_BYTES - 12];
};

static struct object *free_list;
static struct object *chunk;
static struct object *last_chunk;

static struct object *object_new(void)
{
    if (!free_list) {
        chunk = (struct object *)malloc(CHUNK_OBJECTS * sizeof(struct object));
        bufleak_pool_block(chunk);
        for (int i = 0; i < CHUNK_OBJECTS; i++) {
            chunk[i].next = free_list;
            free_list = &chunk[i];
        }
        last_chunk = chunk;
    }
    struct object *o = free_list;
    free_list = o->next;
    o->references = 1;
    bufleak_pool_alloc("object", last_chunk, o, OBJECT_BYTES);
    return o;
}

static void object_retain(struct object *o)
{
    o->references++;
    bufleak_pool_retain("object", o);
}

static void object_release(struct object *o)
{
    bufleak_pool_release("object", o);
    if (--o->references == 0) {
        bufleak_pool_free("object", o);
        o->next = free_list;
        free_list = o;
    }
}

static __attribute__((noinline)) void handle(int forgets)
{
    struct object *o = object_new();
    object_retain(o);
    if (!forgets)
        object_release(o);
    object_release(o);
}

static void pool(void)
{
    for (int i = 0; i < 1000; i++)
        handle(i % 100 == 99);
}

/* The chunk is freed with objects in it, as arenas are; and one that is no heap block. */
static void arena(void)
{
    static struct object region[4];
    struct object *c = (struct object *)malloc(4 * sizeof(struct object));
    bufleak_pool_block(c);
    bufleak_pool_block(region);
    for (int i = 0; i < 4; i++) {
        bufleak_pool_alloc("arena", c, &c[i], sizeof(struct object));
        bufleak_pool_alloc("arena", region, &region[i], sizeof(struct object));
    }
    struct bufleak_moment full = bufleak_checkpoint("full");
    free(c);
    bufleak_pool_drop(region);
    ptrdiff_t grown = bufleak_growth(&full);
    CHECK(grown == (bufleak_present() ? -8 * (int)sizeof(struct object) : 0));
    struct object *d = (struct object *)malloc(4 * sizeof(struct object));
    bufleak_pool_block(d);
    bufleak_pool_alloc("arena", d, d, 50);
    bufleak_pool_drop(d);
    bufleak_pool_alloc("arena", d, d + 1, 60);
    kept[kept_count++] = d;
    bufleak_pool_free("arena", d + 1);
    bufleak_pool_free("arena", d + 1);
}

/* ---- where it is called from ---- */

static void plugin(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(library);
    int (*work)(void);
    *(void **)(void *)&work = dlsym(library, "plugin_work");
    CHECK(work && work() == bufleak_present());
}

static void in_child(void)
{
    bufleak_mark("parent");
    struct bufleak_moment before = bufleak_checkpoint("before");
    keep(100);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bufleak_mark("child");
        keep(23);
        int recorded = bufleak_present();
        bufleak_pool_alloc("of-child", NULL, &before, 5);
        CHECK(bufleak_growth(&before) == (recorded ? 128 : 0));
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static volatile sig_atomic_t handled;
static volatile sig_atomic_t enough;

static void on_signal(int number)
{
    (void)number;
    int saved = errno;
    bufleak_mark("signal");
    errno = saved;
    handled = handled + 1;
}

static void *send_signals(void *target)
{
    pthread_t thread = *(pthread_t *)target;
    for (int i = 0; i < 2000; i++) {
        int seen = handled;
        pthread_kill(thread, SIGUSR2);
        while (handled == seen)
            ;
    }
    enough = 1;
    return NULL;
}

static void signals(void)
{
    pthread_t self = pthread_self();
    pthread_t sender;
    signal(SIGUSR2, on_signal);
    CHECK(pthread_create(&sender, NULL, send_signals, &self) == 0);
    while (!enough)
        free(malloc(64));
    pthread_join(sender, NULL);
    printf("handled %d\n", (int)handled);
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    if (strcmp(way, "marks") == 0)
        marks();
    else if (strcmp(way, "growth") == 0)
        growth();
    else if (strcmp(way, "ignore") == 0)
        ignore();
    else if (strcmp(way, "pool") == 0)
        pool();
    else if (strcmp(way, "arena") == 0)
        arena();
    else if (strcmp(way, "plugin") == 0)
        plugin(argv[2]);
    else if (strcmp(way, "fork") == 0)
        in_child();
    else if (strcmp(way, "signals") == 0)
        signals();
    else
        return 2;
    printf("present %d\ndone\n", bufleak_present());
    return 0;
}
