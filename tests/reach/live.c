/*
 * A program that goes on while it is asked: live MODE. It says "ready" and lives until its stdin
 * ends; what went wrong in it is on stdout, a line each, and makes it end with 1.
 */
#include "live_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_NS    3000000000ull /* what calls with a timeout are asked to wait */
#define NODES      64
#define NODE_BYTES 200
#define CHURN_NICE 10

static atomic_int failures;
static atomic_bool stopping;
static pthread_mutex_t say_lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&say_lock);
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&say_lock);
    va_end(arguments);
    atomic_fetch_add(&failures, 1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct timespec span(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

static struct timespec deadline(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_sec += (time_t)(WAIT_NS / 1000000000u);
    return t;
}

/* ---- calls that block ---- */

static int never[2];   /* a pipe that nobody writes to */
static int sockets[2]; /* and a pair of sockets */
static int timed[2];   /* with a timeout for receiving */
static pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER;

static int in_poll(void)
{
    struct pollfd p = {.fd = never[0], .events = POLLIN};
    return poll(&p, 1, 3000);
}
static int in_ppoll(void)
{
    struct timespec t = span(WAIT_NS);
    return ppoll(NULL, 0, &t, NULL);
}
static int in_select(void)
{
    struct timeval t = {.tv_sec = 3};
    return select(0, NULL, NULL, NULL, &t);
}
static int in_pselect(void)
{
    struct timespec t = span(WAIT_NS);
    return pselect(0, NULL, NULL, NULL, &t, NULL);
}

static int in_epoll(void)
{
    struct epoll_event e;
    int fd = epoll_create1(0);
    int result = epoll_wait(fd, &e, 1, 3000);
    close(fd);
    return result;
}

static int in_raw_epoll(void)
{
    struct epoll_event e;
    int fd = epoll_create1(0);
    int result = (int)syscall(SYS_epoll_wait, fd, &e, 1, 3000);
    close(fd);
    return result;
}

static int in_nanosleep(void)
{
    struct timespec t = span(WAIT_NS);
    return nanosleep(&t, NULL);
}
static int in_clock_nanosleep(void)
{
    struct timespec t = span(WAIT_NS);
    return clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}
static int in_clock_nanosleep_until(void)
{
    struct timespec t = deadline(CLOCK_MONOTONIC);
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static int in_usleep(void)
{
    return usleep(3000000);
}
static int in_sleep(void)
{
    return (int)sleep(3);
}
static int in_pause(void)
{
    return pause();
}

static int in_sigsuspend(void)
{
    sigset_t none;
    sigemptyset(&none);
    return sigsuspend(&none);
}

static int in_sigtimedwait(void)
{
    sigset_t set;
    struct timespec t = span(WAIT_NS);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return sigtimedwait(&set, NULL, &t) < 0 && errno == EAGAIN ? 0 : -1;
}

static int in_sigwait(void)
{
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return sigwait(&set, &number);
}

static int in_sem_timedwait(void)
{
    sem_t sem;
    struct timespec t = deadline(CLOCK_REALTIME);
    sem_init(&sem, 0, 0);
    return sem_timedwait(&sem, &t) < 0 && errno == ETIMEDOUT ? 0 : -1;
}

static int in_sem_wait(void)
{
    sem_t sem;
    sem_init(&sem, 0, 0);
    return sem_wait(&sem);
}

static int in_timed_futex(void)
{
    static uint32_t word;
    struct timespec t = span(WAIT_NS);
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t) < 0 && errno == ETIMEDOUT ? 0 : -1;
}

static int in_futex(void)
{
    static uint32_t word;
    return (int)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL);
}

static int in_mutex(void)
{
    return pthread_mutex_lock(&taken);
}

static int in_cond_timedwait(void)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct timespec t = deadline(CLOCK_REALTIME);
    pthread_mutex_lock(&mutex);
    return pthread_cond_timedwait(&cond, &mutex, &t) == ETIMEDOUT ? 0 : -1;
}

static int in_read(void)
{
    char c;
    return (int)read(never[0], &c, 1);
}
static int in_recv(void)
{
    char c;
    return (int)recv(sockets[0], &c, 1, 0);
}
static int in_timed_recv(void)
{
    char c;
    return recv(timed[0], &c, 1, 0) < 0 && errno == EAGAIN ? 0 : -1;
}

static int in_accept(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr own = {.sa_family = AF_UNIX};
    if (bind(fd, &own, sizeof(own.sa_family)) < 0 || listen(fd, 1) < 0)
        return -1;
    return accept(fd, NULL, NULL);
}

static int in_eventfd(void)
{
    uint64_t n;
    return (int)read(eventfd(0, 0), &n, sizeof(n));
}

static int in_timerfd(void)
{
    uint64_t n;
    return (int)read(timerfd_create(CLOCK_MONOTONIC, 0), &n, sizeof(n));
}

static int in_inotify(void)
{
    char b[256];
    return (int)read(inotify_init1(0), b, sizeof(b));
}

static int in_flock(void)
{
    char name[64];
    snprintf(name, sizeof(name), "/tmp/reach-live.%d", getpid());
    int a = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int b = open(name, O_RDWR | O_CLOEXEC);
    unlink(name);
    flock(a, LOCK_EX);
    return flock(b, LOCK_EX);
}

static int in_waitpid(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    int result = waitpid(pid, NULL, 0);
    kill(pid, SIGKILL);
    return result;
}

static atomic_int left_queue = -1; /* outlives the process, and removing it would end the wait */

static int in_msgrcv(void)
{
    struct {
        long type;
        char text[8];
    } message;
    int queue = msgget(IPC_PRIVATE, 0600);
    atomic_store(&left_queue, queue);
    return (int)msgrcv(queue, &message, sizeof(message.text), 0, 0);
}

static int in_semtimedop(void)
{
    struct sembuf op = {.sem_op = -1};
    struct timespec t = span(WAIT_NS);
    int set = semget(IPC_PRIVATE, 1, 0600);
    int result = semtimedop(set, &op, 1, &t) < 0 && errno == EAGAIN ? 0 : -1;
    semctl(set, 0, IPC_RMID);
    return result;
}

static int in_io_getevents(void)
{
    unsigned long context = 0;
    struct timespec t = span(WAIT_NS);
    char event[32];
    if (syscall(SYS_io_setup, 1, &context) < 0)
        return (int)usleep(3000000);
    return (int)syscall(SYS_io_getevents, context, 1L, 1L, event, &t);
}

static int in_mq_timedreceive(void)
{
    char name[64];
    char text[8192];
    struct timespec t = deadline(CLOCK_REALTIME);
    snprintf(name, sizeof(name), "/reach-live.%d", getpid());
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
    if (queue == (mqd_t)-1)
        return usleep(3000000);
    mq_unlink(name);
    return mq_timedreceive(queue, text, sizeof(text), NULL, &t) < 0 && errno == ETIMEDOUT ? 0 : -1;
}

static int in_timed_epoll(void)
{
    return in_epoll_pwait2(WAIT_NS);
}

static const struct blocking {
    const char *name;
    int (*call)(void);
    bool is_timed; /* 0 after WAIT_NS, and not before; the others never return */
} blocking[] = {
    {"poll", in_poll, true},
    {"ppoll", in_ppoll, true},
    {"select", in_select, true},
    {"pselect", in_pselect, true},
    {"epoll_wait", in_epoll, true},
    {"epoll_wait, raw", in_raw_epoll, true},
    {"nanosleep", in_nanosleep, true},
    {"clock_nanosleep", in_clock_nanosleep, true},
    {"clock_nanosleep, absolute", in_clock_nanosleep_until, true},
    {"usleep", in_usleep, true},
    {"sleep", in_sleep, true},
    {"pause", in_pause, false},
    {"sigsuspend", in_sigsuspend, false},
    {"sigtimedwait", in_sigtimedwait, true},
    {"sigwait", in_sigwait, false},
    {"sem_timedwait", in_sem_timedwait, true},
    {"sem_wait", in_sem_wait, false},
    {"futex, timed", in_timed_futex, true},
    {"futex", in_futex, false},
    {"mutex", in_mutex, false},
    {"cond_timedwait", in_cond_timedwait, true},
    {"read of a pipe", in_read, false},
    {"recv", in_recv, false},
    {"recv, SO_RCVTIMEO", in_timed_recv, true},
    {"accept", in_accept, false},
    {"read of an eventfd", in_eventfd, false},
    {"read of a timerfd", in_timerfd, false},
    {"read of an inotify", in_inotify, false},
    {"flock", in_flock, false},
    {"waitpid", in_waitpid, false},
    {"msgrcv", in_msgrcv, false},
    {"semtimedop", in_semtimedop, true},
    {"io_getevents", in_io_getevents, true},
    {"mq_timedreceive", in_mq_timedreceive, true},
    {"epoll_pwait2", in_timed_epoll, true},
    {"write to a full pipe", in_write, false},
    {"connect", in_connect, false},
    {"open of a fifo", in_open_of_fifo, false},
    {"fcntl, a lock", in_record_lock, false},
    {"waitid", in_waitid, false},
    {"recvmsg", in_recvmsg, false},
    {"splice", in_splice, false},
    {"read of a signalfd", in_signalfd, false},
};

static atomic_int timed_done;

static void *block(void *p)
{
    const struct blocking *b = p;
    uint64_t since = now_ns();
    int result = b->call();
    int code = errno;
    uint64_t took = now_ns() - since;
    if (!b->is_timed) {
        if (!atomic_load(&stopping))
            fail("%s returned %d (errno %d) after %llu ms", b->name, result, code,
                 (unsigned long long)took / 1000000);
        return NULL;
    }
    if (result != 0 || took < WAIT_NS - 5000000)
        fail("%s returned %d (errno %d) after %llu ms", b->name, result, code,
             (unsigned long long)took / 1000000);
    atomic_fetch_add(&timed_done, 1);
    return NULL;
}

static void on_child(int number)
{
    (void)number;
    fail("SIGCHLD");
}

static void *wait_for_anybody(void *unused)
{
    while (!atomic_load(&stopping)) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid > 0)
            fail("waitpid found %d", pid);
        usleep(500);
    }
    return unused;
}

static void start(void *(*routine)(void *), const void *argument)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, routine, (void *)(uintptr_t)argument) != 0)
        abort();
    pthread_attr_destroy(&attr);
}

static void start_blocking(void)
{
    struct timeval limit = {.tv_sec = 3};
    struct sigaction action = {.sa_handler = on_child};
    sigaction(SIGCHLD, &action, NULL);
    if (pipe(never) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, timed) < 0)
        abort();
    setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    pthread_mutex_lock(&taken);
    start(wait_for_anybody, NULL);
    for (size_t i = 0; i < sizeof(blocking) / sizeof(blocking[0]); i++)
        start(block, &blocking[i]);
}

static int count_timed(void)
{
    int count = 0;
    for (size_t i = 0; i < sizeof(blocking) / sizeof(blocking[0]); i++)
        count += blocking[i].is_timed;
    return count;
}

/* ---- churn: everything is held, all the time ---- */

struct chain {
    struct chain *next;
    char text[NODE_BYTES];
};

// NOLINTBEGIN(clang-analyzer-*): memory is held in ways that only the tests know
static void *keep_chain(void *unused)
{
    struct chain *volatile first = NULL;
    unsigned long turn = 0;
    while (!atomic_load(&stopping)) {
        struct chain *c = malloc(sizeof(*c));
        if (!c)
            abort();
        c->next = first;
        first = c;
        if (++turn % NODES)
            continue;
        while (first) {
            struct chain *next = first->next;
            free(first);
            first = next;
        }
    }
    return unused;
}

static void *keep_array(void *unused)
{
    while (!atomic_load(&stopping)) {
        void **array = NULL;
        for (size_t n = 1; n <= 300; n++) {
            void **grown = realloc(array, n * sizeof(*array));
            if (!grown)
                abort();
            array = grown;
            array[n - 1] = malloc(24);
        }
        for (size_t n = 0; n < 300; n++)
            free(array[n]);
        free(array);
    }
    return unused;
}

static void *short_life(void *argument)
{
    void **mine = argument;
    free(mine[1]);
    free(mine);
    return NULL;
}

static void *spawn(void *unused)
{
    while (!atomic_load(&stopping)) {
        pthread_t thread;
        void **argument = malloc(4 * sizeof(*argument));
        if (!argument)
            abort();
        argument[1] = malloc(100);
        if (pthread_create(&thread, NULL, short_life, argument) == 0)
            pthread_join(thread, NULL);
        else
            short_life(argument);
    }
    return unused;
}

static void *open_library(void *unused)
{
    while (!atomic_load(&stopping)) {
        void *library = dlopen(getenv("REACH_PLUGIN"), RTLD_NOW);
        if (!library)
            abort();
        dlclose(library);
    }
    return unused;
}

static void *look_for_events(void *unused)
{
    while (!atomic_load(&stopping)) {
        if (poll(NULL, 0, 20) < 0)
            fail("poll: errno %d", errno);
    }
    return unused;
}

static void *fork_often(void *unused)
{
    while (!atomic_load(&stopping)) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        if (pid > 0)
            waitpid(pid, NULL, 0);
        usleep(5000);
    }
    return unused;
}

static volatile sig_atomic_t ticks;

static void on_tick(int number)
{
    (void)number;
    ticks++;
}

static void start_churn(void)
{
    static void *(*const routines[])(void *) = {keep_chain,   keep_array, keep_array,     spawn,
                                                open_library, fork_often, look_for_events};
    for (size_t i = 0; i < sizeof(routines) / sizeof(routines[0]); i++)
        start(routines[i], NULL);
}

/* The same behind whoever asks, so that asking often is not waiting for a processor. Threads have
 * the priority of the one that makes them. */
static void start_churn_behind(void)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), CHURN_NICE);
    start_churn();
}

/* Signals of the program's own, often, into whatever it does. */
static void start_storm(void)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval often = {{.tv_usec = 997}, {.tv_usec = 997}};
    static void *(*const routines[])(void *) = {keep_chain, keep_array, spawn, open_library,
                                                fork_often};
    sigfillset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    for (size_t i = 0; i < sizeof(routines) / sizeof(routines[0]); i++)
        start(routines[i], NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* ---- threads that cannot be stopped ---- */

static void *run_deaf(void *unused)
{
    uint64_t all = ~0ull;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
    while (!atomic_load(&stopping))
        __asm__ volatile("pause");
    return unused;
}

static void start_deaf(void)
{
    start(run_deaf, NULL);
}

/* ---- a named signal of the program's own ---- */

static atomic_int own_signals;

static void on_own(int number)
{
    (void)number;
    atomic_fetch_add(&own_signals, 1);
}

/* The program may use the very signal: it sees what it set, and gets what it is sent. */
static void start_own_signal(void)
{
    struct sigaction action = {.sa_handler = on_own};
    struct sigaction old;
    sigaction(SIGRTMAX - 3, &action, NULL);
    if (sigaction(SIGRTMAX - 3, NULL, &old) != 0 || old.sa_handler != on_own)
        fail("the action is not what was set");
}

static void end_own_signal(void)
{
    struct sigaction old;
    if (sigaction(SIGRTMAX - 3, NULL, &old) != 0 || old.sa_handler != on_own)
        fail("the action is not what was set");
    raise(SIGRTMAX - 3);
    kill(getpid(), SIGRTMAX - 3);
    for (int i = 0; i < 1000 && atomic_load(&own_signals) < 2; i++)
        usleep(1000);
    if (atomic_load(&own_signals) != 2)
        fail("%d signals of 2", atomic_load(&own_signals));
    sigset_t all;
    sigset_t seen;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &seen);
    for (int n = 1; n < 65; n++)
        if (n != SIGKILL && n != SIGSTOP && n != 32 && n != 33 && sigismember(&seen, n) != 1)
            fail("signal %d is not in the mask that was set", n);
}

/* ---- a heap of a size ---- */

static struct chain *volatile heap_first;
static char *volatile ballast;

static _Atomic uint64_t longest_ns; /* that an allocation and its free took, since it was asked */

static void note_longest(uint64_t took_ns)
{
    uint64_t known = atomic_load(&longest_ns);
    while (took_ns > known && !atomic_compare_exchange_weak(&longest_ns, &known, took_ns))
        ;
}

static void *use_heap(void *unused)
{
    unsigned long turn = 0;
    while (!atomic_load(&stopping)) {
        uint64_t since = now_ns();
        void *p = malloc(64 + turn++ % 64);
        free(p);
        note_longest(now_ns() - since);
    }
    return unused;
}

static void *use_ballast(void *bytes)
{
    size_t size = (size_t)(uintptr_t)bytes;
    while (!atomic_load(&stopping))
        for (size_t at = 0; at < size && !atomic_load(&stopping); at += 4096 * 64)
            ballast[at]++;
    return NULL;
}

/* LeakSanitizer's own check, so many times, and how long it took. */
static void check_by_lsan(int rounds)
{
    int (*check)(void) = NULL;
    *(void **)(void *)&check = dlsym(RTLD_DEFAULT, "__lsan_do_recoverable_leak_check");
    if (!check)
        _exit(3);
    for (int i = 0; i < rounds; i++) {
        uint64_t since = now_ns();
        check();
        printf("check %llu\n", (unsigned long long)(now_ns() - since));
    }
    fflush(stdout);
    _exit(0);
}

static void start_heap(void)
{
    long blocks = atol(getenv("REACH_BLOCKS"));
    const char *ballast_mib = getenv("REACH_BALLAST");
    size_t bytes = ballast_mib ? (size_t)atol(ballast_mib) << 20 : 0;
    for (long i = 0; i < blocks; i++) {
        void **block = malloc(100);
        if (!block)
            abort();
        block[0] = heap_first;
        block[1] = NULL;
        heap_first = (void *)block;
    }
    if (bytes) {
        ballast = malloc(bytes);
        if (!ballast)
            abort();
        memset(ballast, 1, bytes);
        start(use_ballast, (void *)bytes);
    }
    for (int i = 0; i < 3; i++)
        start(use_heap, NULL);
    if (getenv("REACH_LSAN"))
        check_by_lsan(atoi(getenv("REACH_LSAN")));
}

/* ---- three blocks lost, five held ---- */

static void *volatile five[5];
static void *volatile first_of_run;

static __attribute__((noinline)) void plant(void)
{
    struct chain *volatile first = NULL;
    for (int i = 0; i < 3; i++) {
        struct chain *c = malloc(sizeof(*c));
        if (!c)
            abort();
        c->next = first;
        first = c;
    }
    for (int i = 0; i < 5; i++)
        five[i] = malloc(40);
}

/* Other allocators than libc's note where a run of blocks of one size begins, in mappings of their
 * own: what is there looks held. */
static void *plant_behind_another(void *unused)
{
    first_of_run = calloc(1, sizeof(struct chain)); /* no stale link to the next block */
    plant();
    return unused;
}

static void *read_forever(void *unused)
{
    char c;
    if (read(never[0], &c, 1) != 0 && !atomic_load(&stopping))
        fail("read returned early");
    return unused;
}

static void on_any_child(int number)
{
    (void)number;
    atomic_fetch_add(&failures, 1);
}

/* By a thread that is gone, so that nothing of it is left on a stack. */
static void start_planted(void)
{
    struct sigaction action = {.sa_handler = on_any_child};
    pthread_t thread;
    sigaction(SIGCHLD, &action, NULL);
    if (pthread_create(&thread, NULL, plant_behind_another, NULL) != 0 ||
        pthread_join(thread, NULL) != 0 || pipe(never) < 0)
        abort();
    start(read_forever, NULL);
    start(read_forever, NULL);
    start(use_heap, NULL);
    start(wait_for_anybody, NULL);
    if (getenv("REACH_BLOCKS"))
        start_heap();
}

static void nothing(void)
{
}

static const struct mode {
    const char *name;
    void (*start)(void);
    void (*end)(void);
} modes[] = {
    {"blocking", start_blocking, nothing},
    {"churn", start_churn, nothing},
    {"churn-behind", start_churn_behind, nothing},
    {"storm", start_storm, nothing},
    {"deaf", start_deaf, nothing},
    {"own-signal", start_own_signal, end_own_signal},
    {"heap", start_heap, nothing},
    {"planted", start_planted, nothing},
};

int main(int argc, char **argv)
{
    char line[64];
    const struct mode *mode = NULL;
    for (size_t i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(modes[i].name, argv[1]) == 0)
            mode = &modes[i];
    if (!mode)
        return 2;
    const char *user = getenv("REACH_USER");
    if (user && (setgid((gid_t)atoi(user)) != 0 || setuid((uid_t)atoi(user)) != 0))
        return 3;
    mode->start();
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (strcmp(line, "longest\n") == 0)
            printf("%llu\n", (unsigned long long)atomic_exchange(&longest_ns, 0));
        fflush(stdout);
    }
    if (mode->start == start_blocking)
        for (int i = 0; i < 200 && atomic_load(&timed_done) < count_timed(); i++)
            usleep(100000);
    if (mode->start == start_blocking && atomic_load(&timed_done) < count_timed())
        fail("%d of %d timed calls have returned", atomic_load(&timed_done), count_timed());
    mode->end();
    atomic_store(&stopping, true);
    if (atomic_load(&left_queue) != -1)
        msgctl(atomic_load(&left_queue), IPC_RMID, NULL);
    return atomic_load(&failures) > 0;
}
// NOLINTEND(clang-analyzer-*)
