/*
 * What check runs: does what its arguments say, in their order, and exits with 0.
 *
 *   lose N SIZE      N blocks that nothing leads to any more
 *   tree N           N lost blocks that each lead to two more
 *   keep N SIZE      N blocks that a list holds
 *   other N SIZE     as lose, elsewhere
 *   loop N SIZE MS   N iterations of MS milliseconds, each with a mark and a block that is kept
 *   cache N SIZE MS  the same with a cache that is full after the first ones
 *   test NAME        what follows belongs to this test; "-" to none
 *   threads          the tests left and right at the same time; right loses two blocks
 *   ignore N SIZE    N lost blocks that the program says are none
 *   fork             the rest in a child, which is waited for
 *   daemon FIFO      the rest in a child that nobody waits for: once FIFO is opened by a reader,
 * and SIGTERM came await FIFO       until a signal ends it; FIFO is opened for writing first.
 * SIGHUP lets it go on once FILE        what follows only if FILE is not there; it is made exit
 * CODE, raise SIGNAL
 */
#include "bufleak.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define APART __attribute__((noinline))

struct item {
    struct item *left;
    struct item *right;
};

struct item *volatile kept;
static char *volatile cache[4];

APART static struct item *make_block(size_t size)
{
    struct item *item = malloc(size > sizeof(*item) ? size : sizeof(*item));
    memset(item, 0, sizeof(*item));
    return item;
}

/* No copy of the pointers is left on the stack. */
APART static void wipe_stack(void)
{
    volatile char stale[16384];
    memset((char *)stale, 0, sizeof(stale));
}

#ifdef SHIFTED
/* A change elsewhere: lines and offsets are others. */
APART int unrelated(int number);
APART int unrelated(int number)
{
    return number * 3 + 1;
}

#endif

// NOLINTBEGIN(clang-analyzer-unix.Malloc): what they lose is what is looked for
APART static void lose_blocks(long count, size_t size)
{
#ifdef FIXED
    for (long i = 0; i < count; i++)
        free(make_block(size));
#else
    for (long i = 0; i < count; i++) {
        struct item *volatile item = make_block(size);
        item->left = NULL;
    }
#endif
}

#ifdef ANOTHER
APART static void lose_another(void)
{
    struct item *volatile item = make_block(77);
    item->left = NULL;
}
#endif

APART static void lose_other(long count, size_t size)
{
    for (long i = 0; i < count; i++) {
        struct item *volatile item = make_block(size);
        item->right = NULL;
    }
}

APART static void lose_trees(long count)
{
    for (long i = 0; i < count; i++) {
        struct item *volatile item = make_block(64);
        item->left = make_block(32);
        item->right = make_block(32);
    }
}

APART static void ignore_blocks(long count, size_t size)
{
    for (long i = 0; i < count; i++) {
        struct item *volatile item = make_block(size);
        bufleak_ignore(item);
        item->left = NULL;
    }
}
// NOLINTEND(clang-analyzer-unix.Malloc)

APART static void keep_block(size_t size)
{
    struct item *item = make_block(size);
    item->left = kept;
    kept = item;
}

static void pass(long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void run_loop(long count, size_t size, long milliseconds, int is_leaking)
{
    for (long i = 0; i < count; i++) {
        bufleak_mark("iteration");
        if (is_leaking)
            keep_block(size);
        else if (i < 4)
            cache[i] = malloc(size);
        pass(milliseconds);
    }
    bufleak_mark("iteration");
}

static pthread_barrier_t barrier;

static void *run_test(void *name)
{
    bufleak_test_begin(name);
    for (int i = 0; i < 2; i++) {
        pthread_barrier_wait(&barrier);
        if (strcmp(name, "right") == 0)
            lose_blocks(1, 100);
        else
            free(make_block(100));
    }
    wipe_stack();
    bufleak_test_end();
    return NULL;
}

static void run_tests(void)
{
    static char names[2][8] = {"left", "right"};
    pthread_t threads[2];
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run_test, names[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void let_go(int signal_number)
{
    (void)signal_number;
}

/* The handler's signal is let through only by sigsuspend, so that it cannot come too early. */
static void await_signal(const char *fifo, int number)
{
    sigset_t mask;
    sigset_t old;
    struct sigaction action = {.sa_handler = let_go};
    sigemptyset(&mask);
    sigaddset(&mask, number);
    sigprocmask(SIG_BLOCK, &mask, &old);
    sigaction(number, &action, NULL);
    close(open(fifo, O_WRONLY));
    sigdelset(&old, number);
    sigsuspend(&old);
}

static void continue_as_daemon(const char *fifo)
{
    pid_t parent = getpid();
    if (fork() != 0)
        exit(0);
    while (getppid() == parent) /* until it is an orphan */
        pass(1);
    await_signal(fifo, SIGTERM);
}

static void continue_in_child(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        return;
    waitpid(pid, &status, 0);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static long number(char **argument)
{
    return *argument ? strtol(*argument, NULL, 10) : 0;
}

/* How many arguments it took. */
static int obey(char **a)
{
    if (strcmp(*a, "lose") == 0)
        return lose_blocks(number(a + 1), (size_t)number(a + 2)), 3;
    if (strcmp(*a, "other") == 0)
        return lose_other(number(a + 1), (size_t)number(a + 2)), 3;
    if (strcmp(*a, "tree") == 0)
        return lose_trees(number(a + 1)), 2;
    if (strcmp(*a, "keep") == 0) {
        for (long i = 0; i < number(a + 1); i++)
            keep_block((size_t)number(a + 2));
        return 3;
    }
    if (strcmp(*a, "loop") == 0 || strcmp(*a, "cache") == 0)
        return run_loop(number(a + 1), (size_t)number(a + 2), number(a + 3), **a == 'l'), 4;
    if (strcmp(*a, "test") == 0)
        return bufleak_test_begin(strcmp(a[1], "-") == 0 ? NULL : a[1]), 2;
    if (strcmp(*a, "threads") == 0)
        return run_tests(), 1;
    if (strcmp(*a, "ignore") == 0)
        return ignore_blocks(number(a + 1), (size_t)number(a + 2)), 3;
    if (strcmp(*a, "daemon") == 0)
        return continue_as_daemon(a[1]), 2;
    if (strcmp(*a, "await") == 0)
        return await_signal(a[1], SIGHUP), 2;
    if (strcmp(*a, "once") == 0) {
        if (open(a[1], O_CREAT | O_EXCL | O_WRONLY, 0600) < 0)
            exit(0);
        return 2;
    }
    if (strcmp(*a, "fork") == 0)
        return continue_in_child(), 1;
    if (strcmp(*a, "raise") == 0)
        raise((int)number(a + 1));
    exit(strcmp(*a, "exit") == 0 ? (int)number(a + 1) : 99);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc;)
        i += obey(argv + i);
#ifdef ANOTHER
    lose_another();
#endif
    wipe_stack();
    return 0;
}
