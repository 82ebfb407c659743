#include "dir.h"
#include "sigsafe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static struct bl_own_fd dir = BL_OWN_FD_NONE;
static bool in_spool;
static bool is_second;
static char dir_path[BL_DIR_PATH_MAX];

const char *bl_dir_path(void)
{
    return dir_path;
}

bool bl_dir_is_there(void)
{
    return dir.fd != BL_FD_NONE;
}

bool bl_dir_is_second(void)
{
    return is_second;
}

bool bl_dir_owns_fd(int fd)
{
    return bl_own_fd_is(&dir, fd);
}

/* 0 if the open directory is ours alone. */
static int check_private(int fd, const char **ret_why)
{
    struct stat st = {0};
    long r = bl_sys4(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH);
    if (r < 0)
        return (int)r;
    if (st.st_uid != (uid_t)bl_sys3(SYS_geteuid, 0, 0, 0)) {
        *ret_why = "it belongs to another user, and it must be yours";
        return -EPERM;
    }
    *ret_why = "others may write to it, make it yours alone (chmod 700)";
    return (st.st_mode & (S_IWGRP | S_IWOTH)) ? -EACCES : 0;
}

static const char *explain(int error)
{
    switch (-error) {
    case ENOENT:
        return "the directory that it would be in does not exist, make that first";
    case ENOTDIR:
        return "it is no directory, or is reached through something that is none; a symbolic link "
               "is not followed";
    case EACCES:
        return "you have no permission to make or to open it";
    case EROFS:
        return "it does not exist, and its file system is read-only";
    case ENOSPC:
    case EDQUOT:
        return "there is no space to make it";
    default:
        return NULL;
    }
}

static int use_directory(const char *path, const char **ret_why)
{
    long r = bl_sys4(SYS_mkdirat, AT_FDCWD, (long)path, 0700, 0);
    *ret_why = explain((int)r);
    if (r < 0 && r != -EEXIST && r != -EROFS && r != -EACCES)
        return (int)r;
    int fd = (int)bl_sys4(SYS_openat, AT_FDCWD, (long)path,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0 && (r == -EEXIST || r >= 0)) {
        *ret_why = explain(fd);
        return fd;
    }
    if (fd < 0)
        return (int)r;
    int error = check_private(fd, ret_why);
    if (error) {
        bl_sys_close(fd);
        return error;
    }
    bl_own_fd_keep(&dir, bl_sys_move_high(fd));
    struct bl_text t;
    bl_text_init(&t, dir_path, sizeof dir_path);
    char cwd[BL_DIR_PATH_MAX];
    if (path[0] != '/' && bl_sys3(SYS_getcwd, (long)cwd, sizeof cwd, 0) > 0) {
        bl_text_str(&t, cwd);
        bl_text_str(&t, "/");
    }
    bl_text_str(&t, path);
    return 0;
}

int bl_dir_init(const char *bufleak_dir, const char *xdg_runtime_dir,
                struct bl_dir_fault *ret_fault)
{
    static char first[BL_DIR_PATH_MAX];
    const char *unused;
    char fallback[64];
    struct bl_text t;
    bl_text_init(&t, fallback, sizeof fallback);
    bl_text_str(&t, "/tmp/bufleak-");
    bl_text_u64(&t, (uint64_t)bl_sys3(SYS_geteuid, 0, 0, 0));

    bl_text_init(&t, first, sizeof first);
    if (bufleak_dir && *bufleak_dir) {
        bl_text_str(&t, bufleak_dir);
    } else if (xdg_runtime_dir && *xdg_runtime_dir) {
        bl_text_str(&t, xdg_runtime_dir);
        bl_text_str(&t, "/bufleak");
    } else {
        bl_text_str(&t, fallback);
    }
    *ret_fault = (struct bl_dir_fault){.tried = first};
    int error = use_directory(first, &ret_fault->why);
    ret_fault->error = -error;
    is_second = error && strcmp(first, fallback) != 0 && use_directory(fallback, &unused) == 0;
    return is_second ? 1 : error;
}

/* The descriptor, opened anew if it was closed behind our back, or is not kept open. */
int bl_dir_borrow(void)
{
    if (dir.fd == BL_FD_NONE || bl_own_fd_valid(&dir))
        return dir.fd;
    int fd = (int)bl_sys4(SYS_openat, AT_FDCWD, (long)dir_path,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (!bl_own_fd_refers(&dir, fd)) {
        bl_sys_close(fd);
        return -1;
    }
    if (bl_sys_few_descriptors)
        return fd;
    dir.fd = bl_sys_move_high(fd);
    return dir.fd;
}

void bl_dir_return(int fd)
{
    if (fd >= 0 && bl_sys_few_descriptors)
        bl_sys_close(fd);
}

static int open_file(const char *name, int flags)
{
    int at = bl_dir_borrow();
    if (at < 0)
        return -ENOENT;
    int fd =
        (int)bl_sys4(SYS_openat, at, (long)name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    bl_dir_return(at);
    return fd < 0 ? fd : bl_sys_move_high(fd);
}

int bl_dir_create_file(const char *name)
{
    return open_file(name, O_CREAT | O_EXCL);
}

int bl_dir_open_file(const char *name)
{
    return open_file(name, 0);
}

static bool find_in(const char *entries, long length, const char *part,
                    bool (*accepts)(void *context, const char *name), void *context)
{
    for (long at = 0; at < length;) {
        struct {
            uint64_t ino;
            int64_t off;
            uint16_t length;
            uint8_t type;
            char name[];
        } const *entry = (const void *)(entries + at);
        if (strstr(entry->name, part) && (!accepts || accepts(context, entry->name)))
            return true;
        at += entry->length;
    }
    return false;
}

bool bl_dir_find(uint32_t pid, bool (*accepts)(void *context, const char *name), void *context)
{
    char buffer[4096] BL_ALIGNED(8) = {0};
    char part[32];
    struct bl_text t;
    bl_text_init(&t, part, sizeof part);
    bl_text_str(&t, ".");
    bl_text_u64(&t, pid);
    bl_text_str(&t, ".");
    int at = bl_dir_borrow();
    long fd = bl_sys4(SYS_openat, at, (long)".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    bl_dir_return(at);
    bool found = false;
    long n = 0;
    while (fd >= 0 && !found && (n = bl_sys3(SYS_getdents64, fd, (long)buffer, sizeof buffer)) > 0)
        found = find_in(buffer, n, part, accepts, context);
    if (fd >= 0)
        bl_sys_close((int)fd);
    return found;
}

int bl_dir_rename(const char *from, const char *to)
{
    int at = bl_dir_borrow();
    int error = (int)bl_sys4(SYS_renameat, at, (long)from, at, (long)to);
    bl_dir_return(at);
    return error;
}

void bl_dir_unlink(const char *name)
{
    int at = bl_dir_borrow();
    bl_sys3(SYS_unlinkat, at, (long)name, 0);
    bl_dir_return(at);
}

static int change_user(int at, const char *spool_name, uint32_t uid, uint32_t gid)
{
    if (in_spool) /* not the first change: programs go back and forth for each request */
        return (int)bl_sys3(SYS_fchown, at, (long)uid, (long)gid);
    long r = bl_sys3(SYS_mkdirat, at, (long)spool_name, 0700);
    if (r < 0 && r != -EEXIST)
        return (int)r;
    int fd = (int)bl_sys4(SYS_openat, at, (long)spool_name,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    r = bl_sys3(SYS_fchown, fd, (long)uid, (long)gid);
    if (r < 0) {
        bl_sys_close(fd);
        return (int)r;
    }
    bl_own_fd_close(&dir);
    bl_own_fd_keep(&dir, bl_sys_move_high(fd));
    in_spool = true;
    struct bl_text t = {dir_path, dir_path + strlen(dir_path), dir_path + sizeof dir_path - 1};
    bl_text_str(&t, "/");
    bl_text_str(&t, spool_name);
    return 0;
}

int bl_dir_change_user(const char *spool_name, uint32_t uid, uint32_t gid)
{
    int at = bl_dir_borrow();
    if (at < 0)
        return -ENOENT;
    int error = change_user(at, spool_name, uid, gid);
    bl_dir_return(at);
    return error;
}

void bl_dir_vacate_fd(int fd)
{
    bl_own_fd_vacate(&dir, fd);
}
