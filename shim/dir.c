#include "dir.h"
#include "sigsafe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int dir_fd = -1;
static char dir_path[BL_DIR_PATH_MAX];

const char *bl_dir_path(void)
{
    return dir_path;
}

int bl_dir_fd(void)
{
    return dir_fd;
}

bool bl_dir_owns_fd(int fd)
{
    return fd == dir_fd;
}

/* 0 if the open directory is ours alone. */
static int check_private(int fd)
{
    struct stat st = {0};
    long r = bl_sys4(SYS_newfstatat, fd, (long)"", (long)&st, AT_EMPTY_PATH);
    if (r < 0)
        return (int)r;
    if (st.st_uid != (uid_t)bl_sys3(SYS_geteuid, 0, 0, 0))
        return -EPERM;
    return (st.st_mode & (S_IWGRP | S_IWOTH)) ? -EACCES : 0;
}

static int use_directory(const char *path)
{
    long r = bl_sys4(SYS_mkdirat, AT_FDCWD, (long)path, 0700, 0);
    if (r < 0 && r != -EEXIST && r != -EROFS && r != -EACCES)
        return (int)r;
    int fd = (int)bl_sys4(SYS_openat, AT_FDCWD, (long)path,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return r < 0 && r != -EEXIST ? (int)r : fd;
    int error = check_private(fd);
    if (error) {
        bl_sys_close(fd);
        return error;
    }
    dir_fd = bl_sys_move_high(fd);
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

int bl_dir_init(const char *bufleak_dir, const char *xdg_runtime_dir, const char **ret_tried)
{
    static char first[BL_DIR_PATH_MAX];
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
    *ret_tried = first;
    int error = use_directory(first);
    if (error && strcmp(first, fallback) != 0 && use_directory(fallback) == 0)
        return 1;
    return error;
}

int bl_dir_create_file(const char *name)
{
    if (dir_fd < 0)
        return -ENOENT;
    int fd = (int)bl_sys4(SYS_openat, dir_fd, (long)name,
                          O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? fd : bl_sys_move_high(fd);
}

int bl_dir_rename(const char *from, const char *to)
{
    return (int)bl_sys4(SYS_renameat, dir_fd, (long)from, dir_fd, (long)to);
}

void bl_dir_unlink(const char *name)
{
    bl_sys3(SYS_unlinkat, dir_fd, (long)name, 0);
}

int bl_dir_change_user(const char *spool_name, uint32_t uid, uint32_t gid)
{
    if (dir_fd < 0)
        return -ENOENT;
    long r = bl_sys3(SYS_mkdirat, dir_fd, (long)spool_name, 0700);
    if (r < 0 && r != -EEXIST)
        return (int)r;
    int fd = (int)bl_sys4(SYS_openat, dir_fd, (long)spool_name,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    r = bl_sys3(SYS_fchown, fd, (long)uid, (long)gid);
    if (r < 0) {
        bl_sys_close(fd);
        return (int)r;
    }
    bl_sys_close(dir_fd);
    dir_fd = bl_sys_move_high(fd);
    struct bl_text t = {dir_path, dir_path + strlen(dir_path), dir_path + sizeof dir_path - 1};
    bl_text_str(&t, "/");
    bl_text_str(&t, spool_name);
    return 0;
}

void bl_dir_vacate_fd(int fd)
{
    if (fd != dir_fd)
        return;
    long moved = bl_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1);
    dir_fd = (int)(moved < 0 ? -1 : moved);
}
