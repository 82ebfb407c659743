#include "program.h"
#include "ledger.h"
#include "losses.h"
#include "sigsafe.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define SCRIPT_LINE  256 /* as much as the kernel reads of one */
#define SCRIPTS_MAX  5   /* interpreters of interpreters */
#define HEADERS_ONCE 16
#define HEADERS_MAX  512

static long stat_at(int directory, const char *path, int flags, struct stat *ret_stat)
{
    return bl_sys4(SYS_newfstatat, directory, (long)path, (long)ret_stat, flags);
}

/* Never one that could block, or mean something by being opened. */
static int open_program(int directory, const char *path)
{
    return (int)bl_sys4(SYS_openat, directory, (long)path,
                        O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
}

static long read_at(int fd, void *to, size_t size, uint64_t offset)
{
    return bl_sys4(SYS_pread64, fd, (long)to, (long)size, (long)offset);
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The end of a path says more than its beginning. */
static void keep_path(struct bl_program *program, const char *path)
{
    size_t length = strlen(path);
    size_t room = sizeof program->path - 1;
    memset(program->path, 0, sizeof program->path);
    memcpy(program->path, length > room ? path + length - room : path,
           length > room ? room : length);
}

static void keep_comm(struct bl_program *program, const char *path)
{
    const char *base = base_of(path);
    memset(program->comm, 0, sizeof program->comm);
    memcpy(program->comm, base, strnlen(base, sizeof program->comm - 1));
}

/* ---- the kernel's AT_SECURE ---- */

/* Are the bits of the file without meaning? */
static bool ignores_privileges(int fd)
{
    struct statfs mount = {0};
    return bl_sys6(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0, 0) == 1 ||
           (fd >= 0 && bl_sys3(SYS_fstatfs, fd, (long)&mount, 0) == 0 && mount.f_flags & MS_NOSUID);
}

/* The kernel compares what the program's effective ids will be with the real ones of now; a user
 * other than root may also gain capabilities by the file. */
static bool is_secure(int fd, const struct stat *status)
{
    uid_t user = (uid_t)bl_sys3(SYS_getuid, 0, 0, 0);
    bool sets_user = status->st_mode & S_ISUID;
    bool sets_group = (status->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    bool has_capabilities =
        user != 0 && fd >= 0 && bl_sys4(SYS_fgetxattr, fd, (long)"security.capability", 0, 0) > 0;
    if ((sets_user || sets_group || has_capabilities) && ignores_privileges(fd))
        sets_user = sets_group = has_capabilities = false;
    uid_t user_then = sets_user ? status->st_uid : (uid_t)bl_sys3(SYS_geteuid, 0, 0, 0);
    gid_t group_then = sets_group ? status->st_gid : (gid_t)bl_sys3(SYS_getegid, 0, 0, 0);
    return has_capabilities || user_then != user ||
           group_then != (gid_t)bl_sys3(SYS_getgid, 0, 0, 0);
}

/* ---- the file ---- */

/* Does any program header ask for a loader? Also when that cannot be told. */
static bool has_loader(int fd, const Elf64_Ehdr *elf)
{
    Elf64_Phdr headers[HEADERS_ONCE] = {0};
    if (elf->e_phentsize != sizeof headers[0] || elf->e_phnum > HEADERS_MAX)
        return true;
    for (unsigned done = 0; done < elf->e_phnum; done += HEADERS_ONCE) {
        unsigned count = elf->e_phnum - done < HEADERS_ONCE ? elf->e_phnum - done : HEADERS_ONCE;
        long size = (long)(count * sizeof headers[0]);
        if (read_at(fd, headers, (size_t)size, elf->e_phoff + done * sizeof headers[0]) != size)
            return true;
        for (unsigned i = 0; i < count; i++)
            if (headers[i].p_type == PT_INTERP)
                return true;
    }
    return false;
}

/* Run as a program, the loader obeys LD_PRELOAD like for one that names it. */
static bool is_loader(const char *path)
{
    const char *base = base_of(path);
    return strncmp(base, "ld-", 3) == 0 || strncmp(base, "ld.so", 5) == 0;
}

static enum bl_exec_reason judge(int fd, const char *path, const struct stat *status,
                                 const Elf64_Ehdr *elf)
{
    if (elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != EM_X86_64)
        return BL_EXEC_CLASS;
    if (!is_loader(path) && !has_loader(fd, elf))
        return BL_EXEC_STATIC;
    return is_secure(fd, status) ? BL_EXEC_SECURE : BL_EXEC_TRACKED;
}

/* The path after "#!"; false for none. */
static bool find_interpreter(const char *line, char path[SCRIPT_LINE + 1])
{
    const char *at = line + 2;
    if (line[0] != '#' || line[1] != '!')
        return false;
    at += strspn(at, " \t");
    size_t length = strcspn(at, " \t\r\n");
    memcpy(path, at, length);
    path[length] = '\0';
    return length > 0;
}

/* One file; true where it is a script, with the path of what runs it. */
static bool look_at_file(struct bl_program *program, int fd, const struct stat *status,
                         char interpreter[SCRIPT_LINE + 1])
{
    union {
        Elf64_Ehdr elf;
        char line[SCRIPT_LINE + 1];
    } start;
    long length = read_at(fd, &start, SCRIPT_LINE, 0);
    start.line[length > 0 ? length : 0] = '\0';
    if (length < (long)sizeof start.elf || memcmp(start.line, ELFMAG, SELFMAG) != 0)
        return find_interpreter(start.line, interpreter);
    program->reason = judge(fd, program->path, status, &start.elf);
    return false;
}

void bl_program_look_at(struct bl_program *program, int directory, const char *path, int flags)
{
    char interpreter[SCRIPT_LINE + 1];
    struct stat status = {0};
    bool is_script = true;
    *program = (struct bl_program){.reason = BL_EXEC_TRACKED};
    for (int depth = 0; is_script && depth < SCRIPTS_MAX; depth++) {
        /* first, as nobody else says whether the path can be read at all */
        if (stat_at(directory, path, flags, &status) < 0 || !S_ISREG(status.st_mode) ||
            !(status.st_mode & 0111))
            return;
        if (depth == 0)
            keep_comm(program, path);
        keep_path(program, path);
        int fd = open_program(directory, path);
        /* of one that may be executed but not read the bits are known */
        if (fd < 0 && is_secure(-1, &status))
            program->reason = BL_EXEC_SECURE;
        is_script = fd >= 0 && look_at_file(program, fd, &status, interpreter);
        if (fd >= 0)
            bl_sys_close(fd);
        directory = AT_FDCWD;
        flags = 0;
        path = interpreter;
    }
}

void bl_program_look_up(struct bl_program *program, const char *file)
{
    char path[PATH_MAX];
    size_t length = file ? strlen(file) : 0;
    const char *places = getenv("PATH");
    *program = (struct bl_program){.reason = BL_EXEC_TRACKED};
    if (length == 0 || length > NAME_MAX || strchr(file, '/')) {
        bl_program_look_at(program, AT_FDCWD, file, 0);
        return;
    }
    if (!places)
        places = "/bin:/usr/bin";
    for (const char *at = places;; at++) {
        struct stat status = {0};
        struct bl_text t;
        size_t part = strcspn(at, ":");
        bl_text_init(&t, path, sizeof path);
        bl_text_bytes(&t, at, part);
        bl_text_str(&t, part > 0 ? "/" : "");
        bl_text_str(&t, file);
        if (part + length + 2 < sizeof path && stat_at(AT_FDCWD, path, 0, &status) == 0 &&
            S_ISREG(status.st_mode) && bl_sys3(SYS_faccessat, AT_FDCWD, (long)path, 1) == 0) {
            bl_program_look_at(program, AT_FDCWD, path, 0);
            return;
        }
        at += part;
        if (!*at)
            return;
    }
}

void bl_program_name(struct bl_program *program, const char *path)
{
    keep_comm(program, path);
    keep_path(program, path);
}

/* ---- the note ---- */

static bool is_same(const struct bl_exec *exec, const struct bl_program *program)
{
    return bl_load_acquire(&exec->reason) == (uint32_t)program->reason &&
           memcmp(exec->comm, program->comm, sizeof exec->comm) == 0 &&
           memcmp(exec->path, program->path, sizeof exec->path) == 0;
}

/* The slot of this program, made when it is new. Two that note one program at the same time may
 * make two. */
static struct bl_exec *find_slot(const struct bl_program *program, uint32_t pid)
{
    for (size_t i = 0; i < BL_EXECS_MAX; i++) {
        struct bl_exec *exec = &bl_header->execs[i];
        uint32_t free_claim = 0;
        if (is_same(exec, program))
            return exec;
        if (!__atomic_compare_exchange_n(&exec->claim, &free_claim, 1, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        exec->pid = pid;
        memcpy(exec->comm, program->comm, sizeof exec->comm);
        memcpy(exec->path, program->path, sizeof exec->path);
        bl_store_release(&exec->reason, (uint32_t)program->reason);
        return exec;
    }
    return NULL;
}

void bl_program_note(struct bl_program *program, uint32_t pid)
{
    if (program->reason == BL_EXEC_TRACKED)
        return;
    program->noted = find_slot(program, pid);
    if (program->noted)
        bl_add_relaxed(&program->noted->count, 1);
    else
        bl_losses_add(BL_LOSS_execs_dropped, 1);
}

void bl_program_forget(struct bl_program *program)
{
    if (program->noted)
        bl_add_relaxed(&program->noted->count, (uint32_t)-1);
    program->noted = NULL;
}
