#include "control.h"

#include "ledgers.h"
#include "reader.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COPY_BYTES (1u << 20)
#define LOOK_NS                                                                                    \
    200000000ull /* how often a waiting dump looks whether the process is still there              \
                  */

static void (*at_bus_error)(void);

void bl_control_at_bus_error(void (*cleanup)(void))
{
    at_bus_error = cleanup;
}

/* The header page is shared memory in a file that is not ours: who shortens it sends us SIGBUS. */
static void on_bus_error(int signal)
{
    static const char text[] = "bufleak: the ledger was cut short while it was in use\n";
    (void)signal;
    if (at_bus_error)
        at_bus_error();
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(BL_CODE_FAILED);
    _exit(BL_CODE_FAILED);
}

static struct bl_header *map_header(const struct bl_target *target, struct bl_error *error)
{
    int fd = target->is_memfd ? open(target->path, O_RDWR | O_CLOEXEC)
                              : bl_ledgers_open(target->path, true);
    if (target->is_memfd && fd < 0)
        fd = -errno;
    if (fd < 0) {
        bl_error_set(error, "cannot ask process %d through %s: %s", (int)target->process.pid,
                     target->path, strerror(-fd));
        return NULL;
    }
    signal(SIGBUS, on_bus_error);
    void *page = mmap(NULL, BL_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int code = errno;
    close(fd);
    if (page == MAP_FAILED) {
        bl_error_set(error, "cannot map %s: %s", target->path, strerror(code));
        return NULL;
    }
    return page;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void wait_for_change(uint32_t *word, uint32_t seen, uint64_t limit_ns)
{
    struct timespec limit = {.tv_sec = (time_t)(limit_ns / 1000000000u),
                             .tv_nsec = (long)(limit_ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0);
}

static bool is_stopped(const struct bl_target *target)
{
    struct bl_proc process;
    return bl_proc_read(target->process.pid, &process) == 0 &&
           (process.state == 'T' || process.state == 't');
}

static bool has_ended(const struct bl_target *target)
{
    struct bl_proc process;
    return !bl_proc_find_writer(&target->header, &process);
}

/* Waits until `served` has reached `ticket`. 0, 1 when the time is over, -1 with a message. */
static int await(struct bl_header *header, uint32_t *served, const struct bl_target *target,
                 uint32_t ticket, uint64_t timeout_ns, struct bl_error *error)
{
    uint64_t deadline = now_ns() + timeout_ns;
    for (;;) {
        uint32_t seen = __atomic_load_n(served, __ATOMIC_ACQUIRE);
        if ((int32_t)(seen - ticket) >= 0)
            return 0;
        uint64_t now = now_ns();
        if (now >= deadline)
            return 1;
        uint64_t left = deadline - now;
        wait_for_change(served, seen, left < LOOK_NS ? left : LOOK_NS);
        if (__atomic_load_n(&header->state, __ATOMIC_ACQUIRE) != BL_STATE_RUNNING ||
            has_ended(target))
            return bl_error_set(error,
                                "process %d ended before it could answer; `bufleak report %s` "
                                "shows how it ended",
                                (int)target->process.pid, target->path);
    }
}

/* The file that the process wrote: beside the ledger, or in its spool after it changed its user. */
static int find_written(const struct bl_header *header, const struct bl_target *target,
                        char **ret_path, struct bl_error *error)
{
    int code = __atomic_load_n(&header->snapshot_error, __ATOMIC_ACQUIRE);
    uint32_t number = __atomic_load_n(&header->snapshots, __ATOMIC_ACQUIRE);
    if (code != 0)
        return bl_error_set(error, "process %d could not write its snapshot: %s",
                            (int)target->process.pid, strerror(code < 0 ? -code : code));
    if (bl_ledgers_find_snapshot(target->path, number, ret_path) == 0)
        return bl_error_set(error,
                            "process %d says it wrote snapshot %u of %s, but there is no such file",
                            (int)target->process.pid, number, target->path);
    return 0;
}

static void wake_helper(struct bl_header *header)
{
    __atomic_add_fetch(&header->wake, 1, __ATOMIC_ACQ_REL);
    wake(&header->wake);
}

int bl_control_request(const struct bl_target *target, uint32_t flags, uint64_t timeout_ns,
                       char **ret_path, struct bl_error *error)
{
    if (target->is_memfd || (target->header.flags & BL_FLAG_NO_HELPER) || is_stopped(target))
        return BL_CONTROL_NO_ANSWER;
    struct bl_header *header = map_header(target, error);
    if (!header)
        return -1;
    __atomic_fetch_or(&header->dump_flags, flags, __ATOMIC_ACQ_REL);
    uint32_t ticket = __atomic_add_fetch(&header->dump_requests, 1, __ATOMIC_ACQ_REL);
    wake_helper(header);
    int outcome = await(header, &header->dump_served, target, ticket, timeout_ns, error);
    if (outcome == 0)
        outcome = find_written(header, target, ret_path, error);
    munmap(header, BL_PAGE);
    return outcome;
}

bool bl_control_is_mark_name(const char *name)
{
    char printable[4 * BL_MARK_NAME];
    uint64_t number;
    size_t length = strlen(name);
    if (length == 0 || length >= BL_MARK_NAME || strchr(name, '@') || name[0] == '#' ||
        bl_text_parse_number(name, UINT64_MAX, &number))
        return false;
    bl_text_printable(printable, sizeof(printable), name, length);
    return strcmp(printable, name) == 0;
}

static bool is_gone(pid_t pid)
{
    struct bl_proc process;
    return bl_proc_read(pid, &process) < 0 || process.state == 'Z' || process.state == 'X';
}

/* There is one box for a name: who holds it is in mark_owner. Whoever died with it has lost it. */
static bool take_box(struct bl_header *header, uint64_t timeout_ns)
{
    uint64_t deadline = now_ns() + timeout_ns;
    for (;;) {
        uint32_t owner = 0;
        if (__atomic_compare_exchange_n(&header->mark_owner, &owner, (uint32_t)getpid(), false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return true;
        if (is_gone((pid_t)owner) &&
            __atomic_compare_exchange_n(&header->mark_owner, &owner, (uint32_t)getpid(), false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return true;
        uint64_t now = now_ns();
        if (now >= deadline)
            return false;
        wait_for_change(&header->mark_owner, owner,
                        deadline - now < LOOK_NS ? deadline - now : LOOK_NS);
    }
}

static void give_box_back(struct bl_header *header)
{
    uint32_t own = (uint32_t)getpid();
    __atomic_compare_exchange_n(&header->mark_owner, &own, 0, false, __ATOMIC_ACQ_REL,
                                __ATOMIC_ACQUIRE);
    wake(&header->mark_owner);
}

/* Births are stamped by a clock that stands still for some milliseconds at a time. Once it has
 * passed this moment, whatever is born is born after it for everybody to see. */
static void let_clock_tick(void)
{
    uint64_t now = now_ns();
    struct timespec coarse;
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        clock_gettime(CLOCK_MONOTONIC_COARSE, &coarse);
    } while ((uint64_t)coarse.tv_sec * 1000000000u + (uint64_t)coarse.tv_nsec <= now);
}

int bl_control_mark(const struct bl_target *target, const char *name, uint64_t timeout_ns,
                    struct bl_error *error)
{
    if ((target->header.flags & BL_FLAG_NO_HELPER) || is_stopped(target))
        return BL_CONTROL_NO_ANSWER;
    struct bl_header *header = map_header(target, error);
    if (!header)
        return -1;
    int outcome = BL_CONTROL_NO_ANSWER;
    if (take_box(header, timeout_ns)) {
        memset(header->mark_name, 0, sizeof(header->mark_name));
        memcpy(header->mark_name, name, strnlen(name, sizeof(header->mark_name) - 1));
        uint32_t ticket = __atomic_add_fetch(&header->mark_requests, 1, __ATOMIC_ACQ_REL);
        wake_helper(header);
        outcome = await(header, &header->mark_served, target, ticket, timeout_ns, error);
        int code = __atomic_load_n(&header->mark_error, __ATOMIC_ACQUIRE);
        if (outcome == 0 && code != 0)
            outcome = bl_error_set(error, "process %d could not set the mark: %s",
                                   (int)target->process.pid, strerror(code < 0 ? -code : code));
        give_box_back(header);
        if (outcome == 0)
            let_clock_tick();
    }
    munmap(header, BL_PAGE);
    return outcome;
}

static int copy_range(int from, int to, uint64_t offset, uint64_t length)
{
    char *buffer = malloc(COPY_BYTES);
    int outcome = buffer ? 0 : -ENOMEM;
    while (outcome == 0 && length > 0) {
        size_t step = length < COPY_BYTES ? (size_t)length : COPY_BYTES;
        ssize_t got = pread(from, buffer, step, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            outcome = got < 0 ? -errno : -EIO;
            break;
        }
        for (ssize_t at = 0; at < got && outcome == 0;) {
            ssize_t put = pwrite(to, buffer + at, (size_t)(got - at), (off_t)offset + at);
            if (put < 0 && errno != EINTR)
                outcome = -errno;
            at += put > 0 ? put : 0;
        }
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    free(buffer);
    return outcome;
}

/* Live buffers refer to stacks and names that may be newer than what was copied before them: copy
 * the append-only extents a second time. */
static int copy_referenced(int from, int to, const struct bl_extent *extents, uint32_t count,
                           uint64_t size)
{
    int outcome = 0;
    for (uint32_t i = 0; i < count && i < BL_EXTENTS_MAX && outcome == 0; i++) {
        uint64_t length = (uint64_t)extents[i].pages * BL_PAGE;
        bool inside = extents[i].offset <= size && length <= size - extents[i].offset;
        if (extents[i].section != BL_SECTION_LIVE && !(extents[i].flags & BL_EXTENT_PRIVATE) &&
            inside)
            outcome = copy_range(from, to, extents[i].offset, length);
    }
    return outcome;
}

/* Everything, growth included, then the header last, so that what it publishes is in the copy. */
static int copy_file(int from, int to, struct bl_header *ret_header)
{
    uint64_t copied = 0;
    for (int round = 0; round < 8; round++) {
        struct stat status;
        if (fstat(from, &status) < 0)
            return -errno;
        uint64_t size = (uint64_t)status.st_size;
        if (round > 0 && size <= copied)
            return 0;
        int outcome = copy_range(from, to, copied, size - copied);
        if (outcome < 0)
            return outcome;
        copied = size;
        struct bl_extent extents[BL_EXTENTS_MAX];
        if (pread(from, ret_header, sizeof(*ret_header), 0) != (ssize_t)sizeof(*ret_header) ||
            pread(from, extents, sizeof(extents), BL_EXTENTS_OFFSET) != (ssize_t)sizeof(extents))
            return -EIO;
        outcome = copy_referenced(from, to, extents, ret_header->extents_used, copied);
        if (outcome < 0)
            return outcome;
        if (pwrite(to, extents, sizeof(extents), BL_EXTENTS_OFFSET) != (ssize_t)sizeof(extents))
            return -errno;
    }
    return 0; /* a file that grows all the time: the extents beyond are refused by the reader */
}

/* Where the copy goes: beside the ledger; for one in memory, into our own ledger directory under
 * the name it would have had. */
static int name_base(const struct bl_target *target, char *out, size_t size, struct bl_error *error)
{
    int length;
    if (!target->is_memfd) {
        length = snprintf(out, size, "%s", target->path);
    } else {
        const struct bl_header *header = &target->header;
        char directory[PATH_MAX];
        if (bl_ledgers_directory(directory, sizeof(directory), error) < 0)
            return -1;
        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
            return bl_error_set(error, "cannot create %s: %s", directory, strerror(errno));
        int fd = bl_ledgers_open_directory(directory);
        if (fd < 0)
            return bl_error_set(error, "cannot use %s: %s", directory, strerror(-fd));
        close(fd);
        char name[sizeof(header->comm) + 1] = "";
        for (size_t i = 0; i < sizeof(header->comm) && header->comm[i]; i++) {
            bool plain = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-",
                                header->comm[i]) != NULL;
            name[i] = plain ? header->comm[i] : '_';
        }
        length = snprintf(out, size, "%s/%s.%u.%llu" BL_LEDGER_SUFFIX, directory, name, header->pid,
                          (unsigned long long)header->start_realtime_ns / 1000);
    }
    if (length < 0 || (size_t)length >= size)
        return bl_error_set(error, "the name of the snapshot would be too long");
    return 0;
}

static int finish_copy(const struct bl_target *target, int to, const char *part, const char *base,
                       struct bl_header *header, char **ret_path)
{
    struct stat owner;
    /* the file is as private as the ledger, and its owner's */
    if (fstat(target->fd, &owner) == 0 && geteuid() == 0 && fchown(to, owner.st_uid, owner.st_gid))
        return -errno;
    for (uint32_t number = header->snapshots + 1;; number++) {
        char *path;
        header->snapshot_number = number;
        header->snapshot_reason = BL_REASON_DUMP;
        header->snapshot_ns = now_ns();
        header->flags |= BL_FLAG_INEXACT;
        if (pwrite(to, header, sizeof(*header), 0) != (ssize_t)sizeof(*header))
            return -errno;
        if (asprintf(&path, "%s.%u", base, number) < 0)
            return -ENOMEM;
        if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) == 0) {
            *ret_path = path;
            return 0;
        }
        int code = errno;
        free(path);
        if (code != EEXIST)
            return -code;
    }
}

/* Takes the number from the process, so that its own next snapshot does not replace this one. */
static void claim_number(const struct bl_target *target, uint32_t number)
{
    struct bl_error ignored;
    struct bl_header *header = map_header(target, &ignored);
    if (!header)
        return;
    uint32_t seen = __atomic_load_n(&header->snapshots, __ATOMIC_ACQUIRE);
    while ((int32_t)(number - seen) > 0 &&
           !__atomic_compare_exchange_n(&header->snapshots, &seen, number, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
        continue;
    munmap(header, BL_PAGE);
}

int bl_control_copy(const struct bl_target *target, char **ret_path, struct bl_error *error)
{
    char base[PATH_MAX];
    char part[PATH_MAX + 32];
    struct bl_header header = {0};
    if (name_base(target, base, sizeof(base), error) < 0)
        return -1;
    snprintf(part, sizeof(part), "%s.%d.part", base, (int)getpid());
    int to = open(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return bl_error_set(error, "cannot create %s: %s", part, strerror(errno));
    int outcome = copy_file(target->fd, to, &header);
    if (outcome == 0)
        outcome = finish_copy(target, to, part, base, &header, ret_path);
    close(to);
    if (outcome < 0) {
        unlink(part);
        return bl_error_set(error, "cannot copy %s to %s: %s", target->path, part,
                            strerror(-outcome));
    }
    claim_number(target, header.snapshot_number);
    return 0;
}
