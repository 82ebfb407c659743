#include "live_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A name that no other call has; nothing stays behind under it. */
static void name_file(char name[64], const char *of)
{
    snprintf(name, 64, "/tmp/reach-live.%d.%s", getpid(), of);
}

int in_write(void)
{
    char page[4096] = {0};
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
        return -1;
    while (write(ends[1], page, sizeof(page)) > 0)
        ;
    fcntl(ends[1], F_SETFL, 0);
    return (int)write(ends[1], page, sizeof(page));
}

/* Nobody accepts, and the queue is full. */
int in_connect(void)
{
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    socklen_t length = sizeof(address.ss_family);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server, (struct sockaddr *)&address, length) < 0 || listen(server, 0) < 0)
        return -1;
    length = sizeof(address);
    getsockname(server, (struct sockaddr *)&address, &length);
    for (int i = 0; i < 8; i++)
        if (connect(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&address,
                    length) < 0)
            return -1;
    return 0;
}

int in_open_of_fifo(void)
{
    char name[64];
    name_file(name, "fifo");
    unlink(name);
    if (mkfifo(name, 0600) < 0)
        return -1;
    int fifo = open(name, O_PATH | O_CLOEXEC);
    char again[64];
    snprintf(again, sizeof(again), "/proc/self/fd/%d", fifo);
    unlink(name);
    return open(again, O_RDONLY | O_CLOEXEC);
}

int in_record_lock(void)
{
    char name[64];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    name_file(name, "lock");
    int a = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int b = open(name, O_RDWR | O_CLOEXEC);
    unlink(name);
    if (fcntl(a, F_OFD_SETLK, &whole) < 0)
        return -1;
    return fcntl(b, F_OFD_SETLKW, &whole);
}

int in_waitid(void)
{
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    int result = waitid(P_PID, (id_t)pid, &info, WEXITED);
    kill(pid, SIGKILL);
    return result;
}

int in_recvmsg(void)
{
    char c;
    int ends[2];
    struct iovec part = {&c, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -1;
    return (int)recvmsg(ends[0], &message, 0);
}

int in_splice(void)
{
    int from[2];
    int to[2];
    if (pipe2(from, O_CLOEXEC) < 0 || pipe2(to, O_CLOEXEC) < 0)
        return -1;
    return (int)splice(from[0], NULL, to[1], NULL, 1, 0);
}

int in_signalfd(void)
{
    struct signalfd_siginfo info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return (int)read(signalfd(-1, &set, SFD_CLOEXEC), &info, sizeof(info));
}

int in_epoll_pwait2(uint64_t wait_ns)
{
    struct timespec t = {.tv_sec = (time_t)(wait_ns / 1000000000u),
                         .tv_nsec = (long)(wait_ns % 1000000000u)};
    struct epoll_event event;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    int result = epoll_pwait2(fd, &event, 1, &t, NULL);
    if (result < 0 && errno == ENOSYS) /* an old kernel */
        result = epoll_wait(fd, &event, 1, (int)(wait_ns / 1000000u));
    close(fd);
    return result;
}
