/*
 * Does to its process what its argument says, then waits for a line on stdin and ends: life WHAT.
 * Blocks of 4001 bytes are what the tests count.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

extern char **environ;

static void *volatile kept;

static __attribute__((noinline)) void leak(unsigned count)
{
    while (count-- > 0)
        kept = malloc(4001);
}

static void say(const char *what, long value)
{
    printf("%s %ld\n", what, value);
    fflush(stdout);
}

/* What the driver awaits before it looks. */
static void pause_here(void)
{
    puts("waiting");
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin))
        continue;
}

static void reap(pid_t pid)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid)
        say("waitpid failed", errno);
    say("child", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

/* ---- children ---- */

static void do_fork(void)
{
    leak(2);
    pid_t pid = fork();
    if (pid == 0) {
        leak(3);
        exit(31);
    }
    leak(5);
    reap(pid);
}

static int stop;

static void *allocate(void *unused)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
        free(malloc(50));
    return unused;
}

static void *fork_there(void *unused)
{
    for (unsigned i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            leak(3);
            exit(31);
        }
        reap(pid);
    }
    return unused;
}

static void do_fork_from_thread(void)
{
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, allocate, NULL);
    pthread_create(&threads[1], NULL, allocate, NULL);
    pthread_create(&threads[2], NULL, fork_there, NULL);
    pthread_join(threads[2], NULL);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
}

static void do_fork_tree(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        leak(1);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            leak(1);
            exit(33);
        }
        reap(grandchild);
        exit(32);
    }
    reap(pid);
}

static void raw_child(pid_t pid)
{
    if (pid == 0) {
        leak(10);
        _exit(34);
    }
    reap(pid);
}

static void do_raw_fork(void)
{
    leak(2);
    raw_child((pid_t)syscall(SYS_fork));
}

static void do_raw_clone(void)
{
    leak(2);
    raw_child((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static void do_raw_fork_underscore(void)
{
    leak(2);
    raw_child(_Fork());
}

/* The ledger directory is gone by the time the child wants its own. */
static void do_raw_fork_homeless(void)
{
    pause_here();
    do_raw_fork();
}

static void do_raw_fork_then_fork(void)
{
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            leak(4);
            exit(35);
        }
        reap(grandchild);
        _exit(34);
    }
    reap(pid);
}

static void do_raw_fork_silent(void)
{
    pid_t pid = (pid_t)syscall(SYS_fork);
    if (pid == 0)
        _exit(36);
    reap(pid);
}

static void do_vfork_exec(void)
{
    leak(1);
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(99);
    }
    reap(pid);
}

static void do_vfork_exec_fails(void)
{
    leak(1);
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/nonexistent", "none", (char *)NULL);
        _exit(errno == ENOENT ? 37 : 99);
    }
    reap(pid);
}

static void do_posix_spawn(void)
{
    char shell[] = "sh", option[] = "-c", command[] = "exit 38";
    char *arguments[] = {shell, option, command, NULL};
    pid_t pid;
    leak(1);
    say("spawn", posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ));
    reap(pid);
    say("spawn", posix_spawnp(&pid, "nonexistent-program", NULL, NULL, arguments, environ));
}

static void do_system(void)
{
    leak(1);
    say("system", system("exit 39"));
}

static void do_popen(void)
{
    char line[64] = "";
    FILE *f = popen("echo from the child", "r");
    leak(1);
    if (f && fgets(line, sizeof line, f))
        fputs(line, stdout);
    say("pclose", pclose(f));
}

static void do_daemon(void)
{
    leak(2);
    if (daemon(1, 1) != 0)
        say("daemon", errno);
    leak(3);
    say("pid", getpid());
}

static void do_exec(void)
{
    leak(1);
    execl("/bin/cat", "cat", (char *)NULL);
}

static void do_exec_fails(void)
{
    char none[] = "none";
    char *arguments[] = {none, NULL};
    leak(1);
    say("execv", execv("/nonexistent", arguments));
    say("errno", errno);
    say("execvp", execvp("nonexistent-program", arguments));
    say("errno", errno);
    say("execve", execve("/etc/passwd", arguments, environ));
    say("errno", errno);
    leak(1);
}

/* ---- user and root ---- */

static void do_setuid(void)
{
    leak(1);
    say("setgid", setgid(65534));
    say("setuid", setuid(65534));
    leak(1);
}

static void do_setresuid(void)
{
    leak(1);
    say("setresuid", setresuid(65534, 65534, 65534));
    leak(1);
}

static void do_seteuid_again(void)
{
    leak(1);
    for (unsigned i = 0; i < 200; i++) {
        if (seteuid(i & 1 ? 65534 : 65533) != 0 || seteuid(0) != 0)
            say("seteuid", errno);
    }
    say("seteuid", seteuid(65534));
    leak(1);
}

static void do_chroot(void)
{
    leak(1);
    say("chroot", chroot("/var/empty") == 0 || chroot("/mnt") == 0 ? 0 : errno);
    say("chdir", chdir("/"));
    leak(1);
}

static void do_unshare(int flags, const char *name)
{
    leak(1);
    errno = 0;
    say(name, unshare(flags));
    say("errno", errno);
    leak(1);
}

/* ---- descriptors ---- */

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void do_closefrom(void)
{
    int own = open("/dev/null", O_RDONLY);
    closefrom(3);
    say("own", is_open(own));
    leak(1);
}

static void do_close_range(void)
{
    int own = open("/dev/null", O_RDONLY);
    say("close_range", close_range(3, ~0u, 0));
    say("own", is_open(own));
    say("close_range", close_range(3, ~0u, CLOSE_RANGE_UNSHARE));
    errno = 0;
    say("backwards", close_range(10, 3, 0));
    say("errno", errno);
    leak(1);
}

static void do_close_each(void)
{
    long closed = 0;
    int own = open("/dev/null", O_RDONLY);
    for (int fd = 3; fd < 5000; fd++)
        closed += close(fd) == 0;
    say("closed", closed);
    say("own", is_open(own));
    leak(1);
}

/* The descriptors that are open in this process, by the kernel's word. */
static unsigned list_descriptors(int *fds, unsigned room)
{
    unsigned count = 0;
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        int fd = atoi(e->d_name);
        if (fd > 2 && fd != dirfd(d) && count < room)
            fds[count++] = fd;
    }
    closedir(d);
    return count;
}

static void do_dup2_onto(void)
{
    int fds[64];
    unsigned count = list_descriptors(fds, 64);
    int own = open("/dev/zero", O_RDONLY);
    long bad = 0;
    for (unsigned i = 0; i < count; i++) {
        char byte = 1;
        bad += dup2(own, fds[i]) != fds[i];
        bad += read(fds[i], &byte, 1) != 1 || byte != 0;
    }
    for (unsigned i = 0; i < count; i++)
        bad += close(fds[i]) != 0;
    say("bad", bad);
    leak(3000);
}

/* Closed behind the shim's back: the numbers are the application's from then on. */
static void do_closed_by_system_call(void)
{
    int fds[64];
    unsigned count = list_descriptors(fds, 64);
    long bad = 0;
    for (unsigned i = 0; i < count; i++)
        syscall(SYS_close, fds[i]);
    int file = memfd_create("application", 0);
    for (unsigned i = 0; i < count; i++)
        syscall(SYS_dup2, file, fds[i]);
    leak(5000);
    bad += lseek(file, 0, SEEK_END) != 0;
    for (unsigned i = 0; i < count; i++) {
        bad += close(fds[i]) != 0;
        bad += is_open(fds[i]);
    }
    say("bad", bad);
}

/* A vfork child shares this memory, but not these descriptors and signal actions. */
static void do_vfork_child_rearranges(void)
{
    int fds[64];
    unsigned count = list_descriptors(fds, 64);
    pid_t pid = vfork();
    if (pid == 0) {
        signal(SIGUSR1, SIG_DFL);
        for (unsigned i = 0; i < count; i++)
            dup2(0, fds[i]);
        closefrom(3);
        execl("/bin/true", "true", (char *)NULL);
        _exit(99);
    }
    reap(pid);
    leak(5000);
}

/* ---- errno ---- */

static void check_errno(const char *name, long *bad)
{
    if (errno != 4711) {
        printf("%s set errno to %d\n", name, errno);
        ++*bad;
    }
    errno = 4711;
}

static void do_errno(void)
{
    long bad = 0;
    errno = 4711;
    void *p = malloc(100);
    check_errno("malloc", &bad);
    p = realloc(p, 100000);
    check_errno("realloc", &bad);
    free(p);
    check_errno("free", &bad);
    p = calloc(3, 5);
    check_errno("calloc", &bad);
    p = reallocarray(p, 100, 100);
    check_errno("reallocarray", &bad);
    free(p);
    free(NULL);
    check_errno("free", &bad);
    p = aligned_alloc(64, 128);
    check_errno("aligned_alloc", &bad);
    free(p);
    bad += posix_memalign(&p, 4096, 100) != 0;
    check_errno("posix_memalign", &bad);
    free(p);
    p = malloc(100u << 20);
    check_errno("malloc of 100 MiB", &bad);
    free(p);
    check_errno("free of 100 MiB", &bad);
    for (unsigned i = 0; i < 30000; i++)
        kept = malloc(4001);
    check_errno("30,000 mallocs", &bad);
    struct sigaction old;
    sigaction(SIGUSR1, NULL, &old);
    check_errno("sigaction", &bad);
    signal(SIGUSR1, SIG_DFL);
    check_errno("signal", &bad);
    p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check_errno("mmap", &bad);
    munmap(p, 4096);
    check_errno("munmap", &bad);
    pthread_t thread;
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_create(&thread, NULL, allocate, NULL);
    check_errno("pthread_create", &bad);
    pthread_join(thread, NULL);
    int fd = dup(1);
    dup2(1, fd);
    check_errno("dup2", &bad);
    close(fd);
    check_errno("close", &bad);
    pid_t pid = fork();
    check_errno("fork", &bad);
    if (pid == 0)
        _exit(0);
    reap(pid);
    volatile size_t huge = SIZE_MAX / 2;
    errno = 0;
    p = malloc(huge);
    say("malloc fails", p == NULL && errno == ENOMEM);
    errno = 0;
    kept = realloc(kept, huge) ? kept : kept;
    say("realloc fails", errno == ENOMEM);
    errno = 0;
    p = calloc(huge, huge);
    say("calloc fails", p == NULL && errno == ENOMEM);
    errno = 0;
    p = reallocarray(NULL, huge, huge);
    say("reallocarray fails", p == NULL && errno == ENOMEM);
    errno = 0;
    say("close fails", close(-1) == -1 && errno == EBADF);
    errno = 0;
    say("dup2 fails", dup2(-1, 5) == -1 && errno == EBADF);
    errno = 0;
    say("sigaction fails", sigaction(SIGKILL, &old, NULL) == -1 && errno == EINVAL);
    say("bad", bad);
}

/* ---- the list ---- */

static void do_unshare_user(void)
{
    do_unshare(CLONE_NEWUSER, "unshare user");
}

static void do_unshare_pid(void)
{
    do_unshare(CLONE_NEWUSER | CLONE_NEWPID, "unshare user and pid");
    pid_t pid = fork();
    if (pid == 0) {
        leak(3);
        say("pid inside", getpid());
        exit(40);
    }
    reap(pid);
}

static void do_unshare_pid_only(void)
{
    do_unshare(CLONE_NEWPID | CLONE_NEWNS, "unshare pid");
}

static void do_unshare_all(void)
{
    do_unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_FS | CLONE_FILES,
               "unshare the rest");
}

static void do_nothing(void)
{
    leak(1);
}

#define X(name)                                                                                    \
    {                                                                                              \
#name, do_##name                                                                           \
    }
static const struct {
    const char *name;
    void (*run)(void);
} actions[] = {
    X(nothing),
    X(fork),
    X(fork_from_thread),
    X(fork_tree),
    X(raw_fork),
    X(raw_clone),
    X(raw_fork_underscore),
    X(raw_fork_homeless),
    X(raw_fork_then_fork),
    X(raw_fork_silent),
    X(vfork_exec),
    X(vfork_exec_fails),
    X(posix_spawn),
    X(system),
    X(popen),
    X(daemon),
    X(exec),
    X(exec_fails),
    X(setuid),
    X(setresuid),
    X(seteuid_again),
    X(chroot),
    X(closefrom),
    X(close_range),
    X(close_each),
    X(dup2_onto),
    X(closed_by_system_call),
    X(vfork_child_rearranges),
    X(errno),
    X(unshare_user),
    X(unshare_pid),
    X(unshare_pid_only),
    X(unshare_all),
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(argv[1], actions[i].name) == 0) {
            actions[i].run();
            pause_here();
            return 20;
        }
    }
    return 2;
}
