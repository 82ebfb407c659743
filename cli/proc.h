/*
 * What /proc says about a process: whether it is there, whose it is, and whether the shim is in it.
 *
 * Every answer can be out of date the moment it is given; start times tell a process from a later
 * one with the same number. Strings returned by these functions are the caller's to free.
 */
#ifndef BL_PROC_H
#define BL_PROC_H

#include "ledger_format.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BL_PROC_NS_DEPTH 32

struct bl_proc {
    pid_t pid;
    pid_t ppid;
    char state; /* as in /proc/PID/stat: R S D T t Z X … */
    char comm[64];
    uint64_t start_ticks;
    uid_t uid;                       /* effective */
    uint64_t pid_namespace;          /* 0 when it cannot be read */
    pid_t ns_pids[BL_PROC_NS_DEPTH]; /* its number in each namespace, ours first */
    int ns_pid_count;
};

/* 0, or -ESRCH when there is no such process. */
int bl_proc_read(pid_t pid, struct bl_proc *ret_proc);

/* How the process is tracked, as far as its address space and program file show. */
enum bl_proc_preload {
    BL_PROC_NO_PRELOAD, /* its environment does not name libbufleak */
    BL_PROC_MAPPED,     /* the shim is in it */
    BL_PROC_AT_SECURE,  /* the kernel asked the loader to ignore LD_PRELOAD */
    BL_PROC_STATIC,     /* a static executable has no loader that could obey */
    BL_PROC_NOT_MAPPED, /* named in the environment, absent, and neither of the above */
    BL_PROC_UNREADABLE, /* not ours to look at */
};
enum bl_proc_preload bl_proc_preload_state(pid_t pid);

/* The words for a report about BL_PROC_AT_SECURE and the two after it; NULL otherwise. */
const char *bl_proc_preload_text(enum bl_proc_preload state);

/* Is the shim mapped into the process? False also for one that is not ours to look at. */
bool bl_proc_has_shim(pid_t pid);

/* Living processes below `root`, without it, in an allocated array. */
size_t bl_proc_descendants(pid_t root, pid_t **ret_pids);

/* Is `pid` a descendant of `root`, or root itself? */
bool bl_proc_is_below(pid_t pid, pid_t root);

/* Value of a variable in the environment the process was started with; NULL when unset. */
char *bl_proc_environ(pid_t pid, const char *name);

/* The kernel's boot id; false when unknown. */
bool bl_proc_boot_id(uint8_t ret_id[16]);

/* Is the process that wrote this ledger still there, and under which number here? A ledger of
 * another boot, of an ended or replaced program answers false. */
bool bl_proc_find_writer(const struct bl_header *header, struct bl_proc *ret_proc);

/* May the writer be running where we cannot see it? From inside a PID namespace, processes outside
 * it are invisible, and their ledgers must not be taken for those of dead ones. */
bool bl_proc_may_be_hidden(const struct bl_header *header);

/* Was the ledger written since this machine started? Its monotonic times are comparable then. */
bool bl_proc_is_this_boot(const struct bl_header *header);

/* Does the process have this file mapped? False also when it is not ours to look at. */
bool bl_proc_maps_file(pid_t pid, ino_t inode, const char *name);

/* Calls `visit` for every process until it returns false. */
void bl_proc_each(bool (*visit)(pid_t pid, void *context), void *context);

#endif
