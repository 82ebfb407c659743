/*
 * System calls and text without libc.
 *
 * Why: the shim runs inside malloc, inside signal handlers and between fork and exec. It must not
 * touch errno, must not meet the target's own interposers of open or close, nor its own.
 * Threads: any. Signal context: everything here is async-signal-safe. Allocates nothing.
 * Errors: bl_sys_* return the kernel's value, -errno on error.
 */
#ifndef BL_SIGSAFE_H
#define BL_SIGSAFE_H

#include "compiler.h"

#include <sys/syscall.h>
#include <time.h>

BL_INLINE long bl_sys6(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

BL_INLINE long bl_sys4(long number, long a, long b, long c, long d)
{
    return bl_sys6(number, a, b, c, d, 0, 0);
}

BL_INLINE long bl_sys3(long number, long a, long b, long c)
{
    return bl_sys6(number, a, b, c, 0, 0, 0);
}

/* Maps pages; NULL when refused. prot and flags as mmap(2). */
void *bl_sys_map(size_t length, int prot, int flags, int fd, uint64_t offset);
void bl_sys_unmap(void *address, size_t length);
int bl_sys_close(int fd);
/* Reads a whole small file (from /proc) into buffer, NUL-terminated. Returns its length or -errno.
 */
long bl_sys_read_file(const char *path, char *buffer, size_t size);
/* Few numbers (RLIMIT_NOFILE) leave none to spare: then nothing is kept open, what is needed is
 * opened anew each time, and the helper thread has numbers of its own. */
#define BL_FEW_DESCRIPTORS 256u
extern bool bl_sys_few_descriptors;
void bl_sys_count_descriptors(void);
/* Duplicates fd to a number out of the application's way, close-on-exec, and closes fd.
 * Returns the new number, or fd itself where that was not possible. */
int bl_sys_move_high(int fd);
/* A descriptor of the shim's own, and the file it stands for: the application may have closed the
 * number by a system call that we do not see, and use it for something else by now. */
struct bl_own_fd {
    int fd; /* BL_FD_NONE, or BL_FD_ASIDE: closed, to be opened anew when it is needed */
    uint64_t device;
    uint64_t inode;
};
#define BL_FD_NONE  -1
#define BL_FD_ASIDE -2
#define BL_OWN_FD_NONE                                                                             \
    {                                                                                              \
        -1, 0, 0                                                                                   \
    }
void bl_own_fd_set(struct bl_own_fd *own, int fd);
/* The same, and keeps it open only where descriptors are not few. */
void bl_own_fd_keep(struct bl_own_fd *own, int fd);
/* Does it still stand for its file? */
bool bl_own_fd_valid(const struct bl_own_fd *own);
bool bl_own_fd_refers(const struct bl_own_fd *own, int fd);
BL_INLINE bool bl_own_fd_is(const struct bl_own_fd *own, int fd)
{
    return BL_UNLIKELY(fd == bl_load_relaxed(&own->fd)) && bl_own_fd_valid(own);
}
void bl_own_fd_close(struct bl_own_fd *own);
/* Moves it off `fd`, which the application is about to replace. */
void bl_own_fd_vacate(struct bl_own_fd *own, int fd);
/* Reserves disk space for [offset, offset+length): 0, or -errno (never SIGXFSZ). */
int bl_sys_reserve(int fd, uint64_t offset, uint64_t length);
/* Shared futex (works on a file mapping, between processes). timeout NULL = for ever. */
long bl_sys_futex_wait(uint32_t *word, uint32_t expected, const struct timespec *timeout);
void bl_sys_futex_wake(uint32_t *word);
uint32_t bl_sys_gettid(void);
uint32_t bl_sys_getpid(void);

/* A text under construction in a fixed buffer; what does not fit is cut, always NUL-terminated. */
struct bl_text {
    char *start;
    char *at;
    char *end; /* last byte, kept for the NUL */
};

void bl_text_init(struct bl_text *t, char *buffer, size_t size);
void bl_text_str(struct bl_text *t, const char *s);
void bl_text_bytes(struct bl_text *t, const char *s, size_t length);
void bl_text_u64(struct bl_text *t, uint64_t value);
size_t bl_text_length(const struct bl_text *t);

/* Parses decimal digits at *s and advances it; false if there are none or the value overflows. */
bool bl_parse_u64(const char **s, uint64_t *ret_value);

#endif
