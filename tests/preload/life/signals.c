/*
 * Says what an application sees of signal NUMBER in one situation: signals NUMBER WHAT. What it
 * says must not depend on the shim.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

extern char **environ;

static int number;
static const char *self;
static volatile int calls;
static volatile int depth;
static char *alternate;
#define ALTERNATE_BYTES 65536

static void say(const char *what, long value)
{
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

static const char *name_of(void (*handler)(int));

/* Kernel and libc keep a flag of their own there. */
#define LIBC_FLAG 0x04000000

static void show(const char *what, const struct sigaction *a)
{
    printf("%s %s flags %#x mask", what, name_of(a->sa_handler),
           (unsigned)a->sa_flags & ~(unsigned)LIBC_FLAG);
    for (int n = 1; n < 65; n++) {
        if (sigismember(&a->sa_mask, n) == 1)
            printf(" %d", n);
    }
    puts("");
    fflush(stdout);
}

static void show_current(void)
{
    struct sigaction now;
    say("sigaction", sigaction(number, NULL, &now));
    show("now", &now);
}

static void show_blocked(const char *what)
{
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    printf("%s", what);
    for (int n = 1; n < 65; n++) {
        if (sigismember(&set, n) == 1)
            printf(" %d", n);
    }
    puts("");
}

static void plain(int n)
{
    calls++;
    say("handler", n);
    show_blocked("blocked");
}

static void other(int n)
{
    calls++;
    say("other handler", n);
}

static void with_info(int n, siginfo_t *info, void *context)
{
    calls++;
    say("handler", n);
    say("signo", info->si_signo);
    say("code", info->si_code);
    say("from me", info->si_pid == getpid());
    say("value", info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
    say("context", context != NULL);
    char here;
    say("alternate", &here >= alternate && &here < alternate + ALTERNATE_BYTES);
    errno = 4711; /* a handler's errno is its own business */
}

static void nesting(int n)
{
    calls++;
    say("depth", ++depth);
    if (calls % 4 != 0)
        raise(n);
    say("end of depth", depth--);
}

static void raising_other(int n)
{
    say("handler", n);
    raise(SIGWINCH);
    show_blocked("blocked");
    say("end of handler", n);
}

static void quiet(int n)
{
    (void)n;
    calls++;
}

static const char *name_of(void (*handler)(int))
{
    static const struct {
        void (*handler)(int);
        const char *name;
    } names[] = {{SIG_DFL, "default"}, {SIG_IGN, "ignore"},
                 {SIG_ERR, "error"},   {SIG_HOLD, "hold"},
                 {plain, "plain"},     {other, "other"},
                 {nesting, "nesting"}, {raising_other, "raising"},
                 {quiet, "quiet"},     {(void (*)(int))(uintptr_t)with_info, "with_info"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].handler == handler)
            return names[i].name;
    }
    return "unknown";
}

static void set(void (*handler)(int), int flags, int also)
{
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    struct sigaction old;
    sigemptyset(&a.sa_mask);
    if (also)
        sigaddset(&a.sa_mask, also);
    if (flags & SA_SIGINFO)
        a.sa_sigaction = with_info;
    say("sigaction", sigaction(number, &a, &old));
    show("was", &old);
    show_current();
}

static void do_info(void)
{
    union sigval value = {.sival_int = 42};
    set(NULL, SA_SIGINFO, 0);
    say("sigqueue", sigqueue(getpid(), number, value));
    say("kill", kill(getpid(), number));
    say("raise", raise(number));
    say("calls", calls);
}

static void do_flags(void)
{
    set(plain, SA_RESTART, 0);
    raise(number);
    set(other, SA_NODEFER | SA_RESTART, SIGHUP);
    raise(number);
    set(SIG_IGN, 0, 0);
    raise(number);
    set(plain, 0, SIGTERM);
    raise(number);
    set(SIG_DFL, 0, 0);
}

static void do_resethand(void)
{
    set(plain, (int)SA_RESETHAND, 0);
    raise(number);
    show_current();
    set(NULL, (int)(SA_RESETHAND | SA_SIGINFO | SA_NODEFER), 0);
    raise(number);
    show_current();
}

static void do_nodefer(void)
{
    set(nesting, SA_NODEFER, 0);
    raise(number);
    set(nesting, 0, 0);
    depth = 0;
    raise(number);
    say("calls", calls);
}

static void do_mask(void)
{
    struct sigaction a = {.sa_handler = other};
    sigemptyset(&a.sa_mask);
    sigaction(SIGWINCH, &a, NULL);
    set(raising_other, 0, SIGWINCH);
    raise(number);
    set(raising_other, 0, 0);
    raise(number);
}

static void do_alternate(void)
{
    alternate =
        mmap(NULL, ALTERNATE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t s = {.ss_sp = alternate, .ss_size = ALTERNATE_BYTES};
    say("sigaltstack", sigaltstack(&s, NULL));
    set(NULL, SA_SIGINFO | SA_ONSTACK, 0);
    raise(number);
    set(NULL, SA_SIGINFO, 0);
    raise(number);
}

static void do_signal(void)
{
    printf("was %s\n", name_of(signal(number, plain)));
    show_current();
    raise(number);
    printf("was %s\n", name_of(signal(number, other)));
    raise(number);
    raise(number);
    printf("was %s\n", name_of(signal(number, SIG_IGN)));
    raise(number);
    printf("was %s\n", name_of(signal(number, SIG_DFL)));
    show_current();
    say("calls", calls);
}

static void do_sysv(void)
{
    printf("was %s\n", name_of(sysv_signal(number, plain)));
    show_current();
    raise(number);
    show_current();
    extern void (*bsd_signal(int, void (*)(int)))(int);
    printf("was %s\n", name_of(bsd_signal(number, other)));
    show_current();
    raise(number);
}

static void do_sigset(void)
{
    printf("was %s\n", name_of(sigset(number, plain)));
    show_current();
    raise(number);
    printf("was %s\n", name_of(sigset(number, SIG_HOLD)));
    raise(number);
    show_blocked("blocked");
    say("calls", calls);
    printf("was %s\n", name_of(sigset(number, other)));
    say("calls", calls);
    say("sigignore", sigignore(number));
    show_current();
    raise(number);
    say("siginterrupt", siginterrupt(number, 1));
    show_current();
}

/* ---- a read that is interrupted, or is not ---- */

static int pipe_fds[2];
static char reader_call[64];
static int restarts;

static int in_read(void)
{
    char text[16] = "";
    FILE *f = fopen(reader_call, "r");
    if (!f)
        return 0;
    char *got = fgets(text, sizeof text, f);
    fclose(f);
    return got && strncmp(text, "0 ", 2) == 0;
}

static void *interrupt(void *thread)
{
    while (!in_read())
        sched_yield();
    pthread_kill(*(pthread_t *)thread, number);
    while (!calls)
        sched_yield();
    if (restarts) {
        while (!in_read())
            sched_yield();
        if (write(pipe_fds[1], "x", 1) != 1)
            say("write", errno);
    }
    return NULL;
}

static void read_once(int restarting)
{
    pthread_t main_thread = pthread_self();
    pthread_t thread;
    char byte;
    calls = 0;
    restarts = restarting;
    if (pipe(pipe_fds) != 0)
        return;
    snprintf(reader_call, sizeof reader_call, "/proc/self/task/%ld/syscall", syscall(SYS_gettid));
    pthread_create(&thread, NULL, interrupt, &main_thread);
    errno = 0;
    say("read", read(pipe_fds[0], &byte, 1));
    say("errno", errno);
    pthread_join(thread, NULL);
    say("calls", calls);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void do_restart(void)
{
    set(quiet, SA_RESTART, 0);
    read_once(1);
    set(quiet, 0, 0);
    read_once(0);
    signal(number, quiet);
    read_once(1);
    siginterrupt(number, 1);
    read_once(0);
    signal(number, quiet);
    read_once(0);
}

/* ---- signals that are waited for ---- */

static void block(void)
{
    sigset_t wait_set;
    sigemptyset(&wait_set);
    sigaddset(&wait_set, number);
    pthread_sigmask(SIG_BLOCK, &wait_set, NULL);
}

static void do_wait(void)
{
    sigset_t wait_set;
    siginfo_t info;
    int got = 0;
    struct timespec long_time = {20, 0};
    struct timespec no_time = {0, 0};
    sigemptyset(&wait_set);
    sigaddset(&wait_set, number);
    block();
    for (int i = 0; i < 50; i++) {
        kill(getpid(), number);
        /* time for others to take it away */
        nanosleep(&(struct timespec){0, i == 0 ? 60000000 : 3000000}, NULL);
        if (sigwait(&wait_set, &got) != 0 || got != number)
            say("sigwait", got);
    }
    union sigval value = {.sival_int = 7};
    sigqueue(getpid(), number, value);
    say("sigwaitinfo", sigwaitinfo(&wait_set, &info));
    say("value", info.si_value.sival_int);
    kill(getpid(), number);
    say("sigtimedwait", sigtimedwait(&wait_set, &info, &long_time));
    say("sigtimedwait", sigtimedwait(&wait_set, &info, &no_time));
    say("errno", errno);
}

static int wait_and_open(const sigset_t *wait_set)
{
    nanosleep(&(struct timespec){0, 60000000}, NULL);
    return signalfd(-1, wait_set, SFD_CLOEXEC);
}

static void do_signalfd(void)
{
    sigset_t wait_set;
    struct signalfd_siginfo info;
    sigemptyset(&wait_set);
    sigaddset(&wait_set, number);
    block();
    int fd = -1;
    for (int i = 0; i < 50; i++) {
        kill(getpid(), number);
        if (i == 0)
            fd = wait_and_open(&wait_set);
        else
            nanosleep(&(struct timespec){0, 3000000}, NULL);
        if (read(fd, &info, sizeof info) != sizeof info || (int)info.ssi_signo != number)
            say("signalfd", errno);
    }
    say("done", 50);
}

static void do_suspend(void)
{
    sigset_t nothing;
    sigemptyset(&nothing);
    block();
    set(quiet, 0, 0);
    raise(number);
    say("calls", calls);
    say("sigsuspend", sigsuspend(&nothing));
    say("calls", calls);
    struct sigaction old;
    say("sigpending", sigaction(number, NULL, &old));
}

/* ---- what other programs inherit ---- */

static void do_show(void)
{
    show_current();
}

static void run_self(int how)
{
    char *arguments[] = {(char *)(uintptr_t)self, NULL, NULL, NULL};
    char text[16];
    char what[] = "show";
    pid_t pid = 0;
    int status;
    snprintf(text, sizeof text, "%d", number);
    arguments[1] = text;
    arguments[2] = what;
    fflush(stdout);
    if (how == 2) {
        int error = posix_spawn(&pid, self, NULL, NULL, arguments, environ);
        if (error)
            say("posix_spawn", error);
    } else {
        pid = how == 0 ? fork() : vfork();
        if (pid == 0) {
            execve(self, arguments, environ);
            _exit(99);
        }
    }
    waitpid(pid, &status, 0);
    say("status", status);
}

static void do_inherit(void)
{
    for (int how = 0; how < 3; how++) {
        signal(number, SIG_IGN);
        run_self(how);
        signal(number, plain);
        run_self(how);
        signal(number, SIG_DFL);
        run_self(how);
    }
    signal(number, plain);
    raise(number);
}

static void do_bad(void)
{
    struct sigaction a = {.sa_handler = plain};
    errno = 0;
    say("sigaction", sigaction(SIGKILL, &a, NULL));
    say("errno", errno);
    say("sigaction", sigaction(0, &a, NULL));
    say("errno", errno);
    say("sigaction", sigaction(65, &a, NULL));
    say("errno", errno);
    printf("signal %s\n", name_of(signal(SIGSTOP, plain)));
    printf("signal %s\n", name_of(signal(-1, plain)));
    say("errno", errno);
}

/* ---- held for the driver ---- */

static void pause_here(const char *what)
{
    puts(what);
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin))
        continue;
}

static void do_blocked(void)
{
    block();
    pause_here("waiting");
    say("calls", calls);
}

static void do_blocked_handled(void)
{
    sigset_t none;
    set(quiet, 0, 0);
    block();
    pause_here("waiting");
    say("calls", calls);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    say("calls", calls);
}

static void do_handled(void)
{
    set(quiet, SA_RESTART, 0);
    pause_here("waiting");
    say("calls", calls);
}

static void do_idle(void)
{
    pause_here("waiting");
}

static const struct {
    const char *name;
    void (*run)(void);
} situations[] = {
#define X(name)                                                                                    \
    {                                                                                              \
#name, do_##name                                                                           \
    }
    X(info),    X(flags), X(resethand), X(nodefer), X(mask),    X(alternate),
    X(signal),  X(sysv),  X(sigset),    X(restart), X(wait),    X(signalfd),
    X(suspend), X(show),  X(inherit),   X(bad),     X(blocked), X(blocked_handled),
    X(handled), X(idle),
};

int main(int argc, char **argv)
{
    self = argv[0];
    number = argc > 2 ? atoi(argv[1]) : 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 2 && i < sizeof situations / sizeof *situations; i++) {
        if (strcmp(argv[2], situations[i].name) == 0) {
            situations[i].run();
            return 20;
        }
    }
    return 2;
}
