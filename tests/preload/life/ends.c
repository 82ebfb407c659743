/* Ends in the way it is told: ends WAY. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *volatile leak;
static jmp_buf after_abort;

static void on_exit_allocate(void)
{
    free(malloc(100));
    puts("atexit");
}

static void *exit_there(void *unused)
{
    (void)unused;
    exit(24);
}

static void *outlive_main(void *unused)
{
    (void)unused;
    usleep(1000);
    exit(25);
}

static void survive(int number)
{
    (void)number;
    longjmp(after_abort, 1);
}

static void die_by(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

static void end_in_a_thread(void *(*routine)(void *))
{
    pthread_t thread;
    pthread_create(&thread, NULL, routine, NULL);
    if (routine == outlive_main)
        pthread_exit(NULL);
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    leak = malloc(4001);
    atexit(on_exit_allocate);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(way, "return") == 0)
        return 21;
    if (strcmp(way, "exit") == 0)
        exit(22);
    if (strcmp(way, "big_status") == 0)
        exit(0x1234);
    if (strcmp(way, "_exit") == 0)
        _exit(23);
    if (strcmp(way, "_Exit") == 0)
        _Exit(26);
    if (strcmp(way, "quick_exit") == 0)
        quick_exit(27);
    if (strcmp(way, "thread") == 0)
        end_in_a_thread(exit_there);
    if (strcmp(way, "thread_after_main") == 0)
        end_in_a_thread(outlive_main);
    if (strcmp(way, "abort") == 0)
        abort();
    if (strcmp(way, "abort_survived") == 0) {
        signal(SIGABRT, survive);
        if (setjmp(after_abort) == 0)
            abort();
        puts("survived");
        fflush(stdout);
        getchar();
        return 28;
    }
    if (strcmp(way, "term") == 0)
        die_by(SIGTERM);
    if (strcmp(way, "int") == 0)
        die_by(SIGINT);
    if (strcmp(way, "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(way, "usr2") == 0)
        die_by(SIGUSR2);
    if (strcmp(way, "segv") == 0)
        *(volatile char *)(way[0] == 's' ? NULL : (char *)argv[0]) = 1;
    if (strcmp(way, "double_free") == 0) {
        void *volatile p = malloc(100);
        void *volatile q = p;
        free(p);
        free(q);
    }
    return 99;
}
