/*
 * The ledger directory: found, made, checked, and files in it.
 *
 * Owns one directory descriptor, kept open so that chroot, chdir and a later loss of the path do
 * not matter, unless descriptors are few. Private: 0700, owned by the effective user, no symlink as
 * its last component. Threads: bl_dir_init in the constructor; the rest under the helper's or the
 * fork's serialization. Signal context: bl_dir_create_file and below are async-signal-safe. Errors:
 * -errno.
 */
#ifndef BL_DIR_H
#define BL_DIR_H

#include "compiler.h"

#define BL_DIR_PATH_MAX 512u
#define BL_DIR_NAME_MAX 128u

/* The first choice, and what was wrong with it. */
struct bl_dir_fault {
    const char *tried; /* its path */
    const char *why;   /* a sentence for people, with what to do; NULL: only `error` says it */
    int error;         /* 0: none */
};

/* Tries $BUFLEAK_DIR or the default of the user; where that cannot be used, the user's directory
 * under /tmp. Returns 0 (bl_dir_path tells which) or -errno of the first choice, when none can be
 * used. 1 means the second choice was taken. */
int bl_dir_init(const char *bufleak_dir, const char *xdg_runtime_dir,
                struct bl_dir_fault *ret_fault);
/* It is the second choice, which others do not look into. */
bool bl_dir_is_second(void);
/* Path as messages should give it; empty if there is no directory. */
const char *bl_dir_path(void);
bool bl_dir_is_there(void);
/* A descriptor of it for a moment, -1 if there is none; to be given back. */
int bl_dir_borrow(void);
void bl_dir_return(int fd);
bool bl_dir_owns_fd(int fd);

/* Creates a file (0600, O_EXCL, close-on-exec, high descriptor). Returns the descriptor or -errno.
 */
int bl_dir_create_file(const char *name);
/* Opens one that is there. */
int bl_dir_open_file(const char *name);
/* Looks for a ledger of process pid that accepts accepts, by its name; NULL: any. */
bool bl_dir_find(uint32_t pid, bool (*accepts)(void *context, const char *name), void *context);
int bl_dir_rename(const char *from, const char *to);
void bl_dir_unlink(const char *name);

/* The process is about to become uid:gid and would lose the right to create files: make a spool
 * directory that the new user owns, inside the present one, and use it from now on. */
int bl_dir_change_user(const char *spool_name, uint32_t uid, uint32_t gid);
/* Moves the directory's descriptor off `fd`, which the application is about to replace. */
void bl_dir_vacate_fd(int fd);

#endif
