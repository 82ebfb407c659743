/*
 * How much memory the process has from the system, and how much it may have: /proc/self/statm, the
 * memory controller of its cgroup (version 2 or 1), RLIMIT_AS.
 *
 * Of the cgroups from the process's own up to the root, the one with the least limit is what kills
 * it: its usage and limit are read. Where none has a limit, the usage is that of its own.
 * Owns: a descriptor of each file, out of the application's way: opened each time, they would take
 * numbers that the application is about to be given. So the files are found once, at the start and
 * in a forked child, while no other thread runs, and can be read after a chroot. Where descriptors
 * are few the helper thread opens them, among its own. Threads: open in
 * the constructor or a fork's child; read by the helper; a lock of no rank against vacate.
 * Allocates nothing. Errors: what cannot be read is 0.
 */
#ifndef BL_USAGE_H
#define BL_USAGE_H

#include "compiler.h"

struct bl_usage {
    uint64_t rss_bytes;
    uint64_t address_space_bytes;
    uint64_t address_space_limit_bytes; /* 0 = none */
    uint64_t cgroup_bytes;
    uint64_t cgroup_limit_bytes; /* 0 = none; as it was when the files were found */
};

/* Finds the files. */
void bl_usage_open(void);
/* Takes the child's own instead of the parent's; its cgroup is the same. */
void bl_usage_after_fork(void);
void bl_usage_read(struct bl_usage *ret_usage);
/* /proc/PID/task/PID/stat, NUL-terminated. Returns its length, 0 or less where it is not there. */
long bl_usage_read_leader(char *buffer, size_t size);
bool bl_usage_owns_fd(int fd);
void bl_usage_vacate_fd(int fd);

#endif
