#include "sigsafe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

void *bl_sys_map(size_t length, int prot, int flags, int fd, uint64_t offset)
{
    long r = bl_sys6(SYS_mmap, 0, (long)length, prot, flags, fd, (long)offset);
    return r < 0 && r > -4096 ? NULL : (void *)(uintptr_t)r; // NOLINT(performance-no-int-to-ptr)
}

void bl_sys_unmap(void *address, size_t length)
{
    if (address)
        bl_sys3(SYS_munmap, (long)(uintptr_t)address, (long)length, 0);
}

int bl_sys_close(int fd)
{
    return (int)bl_sys3(SYS_close, fd, 0, 0);
}

long bl_sys_read_file(const char *path, char *buffer, size_t size)
{
    long fd = bl_sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    size_t used = 0;
    long n = 0;
    while (used + 1 < size &&
           (n = bl_sys3(SYS_read, fd, (long)(buffer + used), (long)(size - 1 - used))) > 0)
        used += (size_t)n;
    buffer[used] = '\0';
    bl_sys_close((int)fd);
    return n < 0 ? n : (long)used;
}

bool bl_sys_few_descriptors;

void bl_sys_count_descriptors(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    bl_sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit);
    bl_sys_few_descriptors = limit.rlim_cur < BL_FEW_DESCRIPTORS;
}

int bl_sys_move_high(int fd)
{
    if (bl_sys_few_descriptors)
        return fd;
    struct rlimit limit = {0};
    bl_sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit);
    /* Not at the very top of a huge limit: the kernel sizes a process's table by its highest
     * number. 1024 is where most programs' soft limit, and select's FD_SETSIZE, end. */
    long top = limit.rlim_cur > 1024 ? 1024 : (long)limit.rlim_cur;
    for (long low = top > 48 ? top - 24 : top / 2; low > fd; low /= 2) {
        long moved = bl_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, low);
        if (moved >= 0) {
            bl_sys_close(fd);
            return (int)moved;
        }
    }
    return fd;
}

static bool identify(int fd, struct bl_own_fd *ret_own)
{
    struct stat st;
    if (fd < 0 || bl_sys4(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH) < 0)
        return false;
    *ret_own = (struct bl_own_fd){fd, st.st_dev, st.st_ino};
    return true;
}

void bl_own_fd_set(struct bl_own_fd *own, int fd)
{
    if (!identify(fd, own))
        *own = (struct bl_own_fd)BL_OWN_FD_NONE;
}

void bl_own_fd_keep(struct bl_own_fd *own, int fd)
{
    bl_own_fd_set(own, fd);
    if (!bl_sys_few_descriptors || fd < 0)
        return;
    bl_sys_close(fd);
    if (own->fd >= 0)
        own->fd = BL_FD_ASIDE;
}

bool bl_own_fd_refers(const struct bl_own_fd *own, int fd)
{
    struct bl_own_fd now;
    return identify(fd, &now) && now.device == own->device && now.inode == own->inode;
}

bool bl_own_fd_valid(const struct bl_own_fd *own)
{
    return bl_own_fd_refers(own, own->fd);
}

void bl_own_fd_close(struct bl_own_fd *own)
{
    if (bl_own_fd_valid(own))
        bl_sys_close(own->fd);
    own->fd = -1;
}

void bl_own_fd_vacate(struct bl_own_fd *own, int fd)
{
    if (!bl_own_fd_is(own, fd))
        return;
    long moved = bl_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1);
    own->fd = moved < 0 ? -1 : (int)moved;
}

/* For filesystems without fallocate: every block is written once. */
static int reserve_by_writing(int fd, uint64_t offset, uint64_t length)
{
    static const char zeros[4096];
    for (uint64_t done = 0; done < length; done += sizeof zeros) {
        long n = bl_sys4(SYS_pwrite64, fd, (long)zeros, sizeof zeros, (long)(offset + done));
        if (n < 0)
            return (int)n;
        if (n != (long)sizeof zeros)
            return -ENOSPC;
    }
    return 0;
}

int bl_sys_reserve(int fd, uint64_t offset, uint64_t length)
{
    struct rlimit limit = {0};
    long r = bl_sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, (long)&limit);
    /* Growing past RLIMIT_FSIZE would send the target SIGXFSZ. */
    if (r == 0 && limit.rlim_cur != RLIM_INFINITY && offset + length > limit.rlim_cur)
        return -EFBIG;
    do
        r = bl_sys4(SYS_fallocate, fd, 0, (long)offset, (long)length);
    while (r == -EINTR);
    if (r == -EOPNOTSUPP || r == -ENOSYS)
        return reserve_by_writing(fd, offset, length);
    return (int)r;
}

long bl_sys_futex_wait(uint32_t *word, uint32_t expected, const struct timespec *timeout)
{
    return bl_sys4(SYS_futex, (long)word, FUTEX_WAIT, (long)expected, (long)timeout);
}

void bl_sys_futex_wake(uint32_t *word)
{
    bl_sys3(SYS_futex, (long)word, FUTEX_WAKE, INT32_MAX);
}

uint32_t bl_sys_gettid(void)
{
    return (uint32_t)bl_sys3(SYS_gettid, 0, 0, 0);
}

uint32_t bl_sys_getpid(void)
{
    return (uint32_t)bl_sys3(SYS_getpid, 0, 0, 0);
}

void bl_text_init(struct bl_text *t, char *buffer, size_t size)
{
    t->start = buffer;
    t->at = buffer;
    t->end = buffer + size - 1;
    *buffer = '\0';
}

void bl_text_bytes(struct bl_text *t, const char *s, size_t length)
{
    size_t room = (size_t)(t->end - t->at);
    if (length > room)
        length = room;
    memcpy(t->at, s, length);
    t->at += length;
    *t->at = '\0';
}

void bl_text_str(struct bl_text *t, const char *s)
{
    bl_text_bytes(t, s, strlen(s));
}

void bl_text_u64(struct bl_text *t, uint64_t value)
{
    char digits[20];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    bl_text_bytes(t, digits + i, sizeof digits - i);
}

size_t bl_text_length(const struct bl_text *t)
{
    return (size_t)(t->at - t->start);
}

bool bl_parse_u64(const char **s, uint64_t *ret_value)
{
    const char *p = *s;
    uint64_t value = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    }
    *s = p;
    *ret_value = value;
    return true;
}
