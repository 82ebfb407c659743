/*
 * Asks for snapshots as ledger_format.h tells any other process to: poke LEDGER COUNT. Prints how
 * many were answered and the longest wait.
 */
#include "ledger_format.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int dump(struct bl_header *h)
{
    uint32_t wanted = __atomic_add_fetch(&h->dump_requests, 1, __ATOMIC_RELEASE);
    __atomic_add_fetch(&h->wake, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &h->wake, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
    double end = now_ms() + 20000;
    for (;;) {
        uint32_t served = __atomic_load_n(&h->dump_served, __ATOMIC_ACQUIRE);
        struct timespec second = {1, 0};
        if (served == wanted)
            return __atomic_load_n(&h->snapshot_error, __ATOMIC_ACQUIRE) ? -1 : 0;
        if (now_ms() > end)
            return -1;
        syscall(SYS_futex, &h->dump_served, FUTEX_WAIT, served, &second, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    int fd = argc == 3 ? open(argv[1], O_RDWR) : -1;
    if (fd < 0)
        return 2;
    struct bl_header *h = mmap(NULL, sizeof *h, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (h == MAP_FAILED)
        return 2;
    int good = 0;
    double longest = 0;
    for (int i = 0; i < atoi(argv[2]); i++) {
        double start = now_ms();
        good += dump(h) == 0;
        double took = now_ms() - start;
        longest = took > longest ? took : longest;
    }
    printf("%d %.0f\n", good, longest);
    return 0;
}
