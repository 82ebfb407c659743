#include "ledgers.h"

#include "ledger_format.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void bl_ledgers_deinit(struct bl_ledger_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->files[i].path);
    free(list->files);
    *list = (struct bl_ledger_list){0};
}

/* The digits between the last two dots of name[0..*end); moves *end to the left one. */
static bool take_number(const char *name, size_t *end, uint64_t max, uint64_t *ret_value)
{
    size_t start = *end;
    while (start > 0 && name[start - 1] != '.')
        start--;
    char digits[24];
    size_t length = *end - start;
    if (start == 0 || length == 0 || length >= sizeof(digits))
        return false;
    memcpy(digits, name + start, length);
    digits[length] = '\0';
    *end = start - 1;
    return bl_text_parse_number(digits, max, ret_value);
}

bool bl_ledgers_parse_name(const char *name, uint32_t *ret_pid, uint64_t *ret_start_us,
                           uint32_t *ret_snapshot)
{
    const char *suffix = strstr(name, BL_LEDGER_SUFFIX);
    if (!suffix)
        return false;
    const char *rest = suffix + strlen(BL_LEDGER_SUFFIX);
    uint64_t snapshot = 0;
    if (*rest &&
        (*rest != '.' || !bl_text_parse_number(rest + 1, UINT32_MAX, &snapshot) || snapshot == 0))
        return false;
    size_t end = (size_t)(suffix - name);
    uint64_t start;
    uint64_t pid;
    if (!take_number(name, &end, UINT64_MAX, &start) || !take_number(name, &end, INT32_MAX, &pid))
        return false;
    *ret_pid = (uint32_t)pid;
    *ret_start_us = start;
    *ret_snapshot = (uint32_t)snapshot;
    return true;
}

int bl_ledgers_directory(char *out, size_t size, struct bl_error *error)
{
    const char *given = getenv("BUFLEAK_DIR");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int length;
    if (given && *given)
        length = snprintf(out, size, "%s", given);
    else if (runtime && *runtime)
        length = snprintf(out, size, "%s/bufleak", runtime);
    else
        length = snprintf(out, size, "/tmp/bufleak-%u", (unsigned)geteuid());
    if ((size_t)length >= size)
        return bl_error_set(error, "the ledger directory's name is too long: %s", out);
    return 0;
}

int bl_ledgers_open_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0) {
        int code = errno;
        bool is_link = lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
        return is_link ? -ELOOP : -code;
    }
    int outcome = 0;
    if (fstat(fd, &status) < 0)
        outcome = -errno;
    else if (geteuid() != 0 && status.st_uid != geteuid())
        outcome = -EPERM;
    if (outcome < 0) {
        close(fd);
        return outcome;
    }
    return fd;
}

static int add(struct bl_ledger_list *list, const char *directory, int fd, const char *name)
{
    struct bl_ledger_file file = {0};
    struct stat status;
    if (!bl_ledgers_parse_name(name, &file.pid, &file.start_us, &file.snapshot))
        return 0;
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode))
        return 0;
    file.size = status.st_size;
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        struct bl_ledger_file *grown = realloc(list->files, room * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        list->files = grown;
        list->room = room;
    }
    if (asprintf(&file.path, "%s/%s", directory, name) < 0)
        return -ENOMEM;
    list->files[list->count++] = file;
    return 0;
}

/* A child of a program that changed its user can change its user again. */
#define SPOOL_LEVELS 4

static int scan_level(struct bl_ledger_list *list, const char *path, int levels)
{
    int fd = bl_ledgers_open_directory(path);
    if (fd < 0)
        return fd;
    DIR *directory = fdopendir(fd);
    if (!directory) {
        close(fd);
        return -ENOMEM;
    }
    struct dirent *entry;
    int outcome = 0;
    while (outcome == 0 && (entry = readdir(directory))) {
        size_t length = strlen(entry->d_name);
        size_t suffix = strlen(BL_SPOOL_SUFFIX);
        bool is_spool =
            length > suffix && strcmp(entry->d_name + length - suffix, BL_SPOOL_SUFFIX) == 0;
        char inner[PATH_MAX];
        if (!is_spool)
            outcome = add(list, path, fd, entry->d_name);
        else if (levels > 0 &&
                 (size_t)snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) <
                     sizeof(inner) &&
                 scan_level(list, inner, levels - 1) == -ENOMEM)
            outcome = -ENOMEM;
    }
    closedir(directory);
    return outcome;
}

int bl_ledgers_scan(struct bl_ledger_list *list, const char *directory, struct bl_error *error)
{
    int outcome = scan_level(list, directory, SPOOL_LEVELS);
    if (outcome == 0 || outcome == -ENOENT)
        return 0;
    if (outcome == -EPERM)
        return bl_error_set(error,
                            "%s belongs to another user: run bufleak as that user or as root, or "
                            "set BUFLEAK_DIR",
                            directory);
    if (outcome == -ELOOP)
        return bl_error_set(error, "%s is a symbolic link, which bufleak does not follow",
                            directory);
    return bl_error_set(error, "cannot list the ledgers in %s: %s", directory, strerror(-outcome));
}

static int compare_files(const void *left, const void *right)
{
    const struct bl_ledger_file *a = left;
    const struct bl_ledger_file *b = right;
    if (a->start_us != b->start_us)
        return a->start_us > b->start_us ? -1 : 1;
    if (a->pid != b->pid)
        return a->pid > b->pid ? -1 : 1;
    return a->snapshot < b->snapshot ? -1 : a->snapshot > b->snapshot;
}

void bl_ledgers_sort(struct bl_ledger_list *list)
{
    if (list->count)
        qsort(list->files, list->count, sizeof(*list->files), compare_files);
}

int bl_ledgers_open(const char *path, bool write)
{
    /* O_NONBLOCK: a FIFO planted under a ledger's name must not hang us */
    int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* The directory that holds the spool of a ledger: the ledger's own, or the one above the spools
 * that the ledger itself is in. */
static bool home_of(const char *ledger_path, char *out, size_t size)
{
    const char *slash = strrchr(ledger_path, '/');
    size_t length = slash ? (size_t)(slash - ledger_path) : 0;
    if (!slash)
        return (size_t)snprintf(out, size, ".") < size;
    if (length == 0)
        length = 1;
    if (length >= size)
        return false;
    memcpy(out, ledger_path, length);
    out[length] = '\0';
    size_t suffix = strlen(BL_SPOOL_SUFFIX);
    char *inner;
    while ((inner = strrchr(out, '/')) && inner > out && strlen(inner) > suffix &&
           strcmp(inner + strlen(inner) - suffix, BL_SPOOL_SUFFIX) == 0)
        *inner = '\0';
    return true;
}

uint32_t bl_ledgers_find_snapshot(const char *ledger_path, uint32_t wanted, char **ret_path)
{
    char home[PATH_MAX];
    const char *slash = strrchr(ledger_path, '/');
    uint32_t pid;
    uint32_t own_number;
    uint64_t start;
    if (!bl_ledgers_parse_name(slash ? slash + 1 : ledger_path, &pid, &start, &own_number) ||
        !home_of(ledger_path, home, sizeof(home)))
        return 0;
    struct bl_ledger_list list = {0};
    scan_level(&list, home, SPOOL_LEVELS);
    const struct bl_ledger_file *best = NULL;
    for (size_t i = 0; i < list.count; i++) {
        const struct bl_ledger_file *file = &list.files[i];
        if (file->pid == pid && file->start_us == start && file->snapshot > 0 &&
            (wanted == 0 || file->snapshot == wanted) && (!best || file->snapshot > best->snapshot))
            best = file;
    }
    uint32_t number = 0;
    if (best && (*ret_path = strdup(best->path)))
        number = best->snapshot;
    bl_ledgers_deinit(&list);
    return number;
}

/* The directory part of a path; false when it has none or does not fit. */
static bool directory_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (!slash || length == 0 || length >= size)
        return false;
    memcpy(out, path, length);
    out[length] = '\0';
    return true;
}

static bool is_spool(const char *directory)
{
    size_t length = strlen(directory);
    size_t suffix = strlen(BL_SPOOL_SUFFIX);
    return length > suffix && strcmp(directory + length - suffix, BL_SPOOL_SUFFIX) == 0;
}

/* NAME.part and NAME.N.part, left by a process that was killed while it wrote them. */
static void remove_parts(int fd, const char *name, uint64_t *bytes)
{
    DIR *directory = fdopendir(dup(fd));
    struct dirent *entry;
    size_t length = strlen(name);
    while (directory && (entry = readdir(directory))) {
        size_t entry_length = strlen(entry->d_name);
        struct stat status;
        bool is_part = strncmp(entry->d_name, name, length) == 0 && entry->d_name[length] == '.' &&
                       entry_length > 5 && strcmp(entry->d_name + entry_length - 5, ".part") == 0;
        if (is_part && fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            unlinkat(fd, entry->d_name, 0) == 0)
            *bytes += (uint64_t)status.st_size;
    }
    if (directory)
        closedir(directory);
}

int bl_ledgers_remove(const char *path, uint64_t *bytes)
{
    char directory[PATH_MAX];
    struct stat status;
    if (!directory_of(path, directory, sizeof(directory)))
        return -EINVAL;
    int fd = bl_ledgers_open_directory(directory);
    if (fd < 0)
        return fd;
    const char *name = strrchr(path, '/') + 1;
    int outcome = 0;
    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(fd, name, 0) < 0)
        outcome = -errno;
    else
        *bytes += (uint64_t)status.st_size;
    remove_parts(fd, name, bytes);
    close(fd);
    return outcome;
}

void bl_ledgers_remove_spool(const char *path)
{
    char directory[PATH_MAX];
    /* rmdir takes only an empty one */
    if (directory_of(path, directory, sizeof(directory)) && is_spool(directory))
        rmdir(directory);
}

static bool is_unborn(const char *name)
{
    char tid[16];
    char path[32];
    size_t length = strlen(name);
    if (length < 5 || strncmp(name, "fork.", 5) != 0 || strcmp(name + length - 5, ".part") != 0)
        return false;
    size_t digits = strspn(name + 5, "0123456789");
    if (digits == 0 || digits >= sizeof(tid) || name[5 + digits] != '.')
        return false;
    memcpy(tid, name + 5, digits);
    tid[digits] = '\0';
    snprintf(path, sizeof(path), "/proc/%s", tid);
    return access(path, F_OK) < 0 && errno == ENOENT;
}

size_t bl_ledgers_remove_unborn(const char *directory, uint64_t *bytes)
{
    int fd = bl_ledgers_open_directory(directory);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    struct stat status;
    size_t count = 0;
    while (entries && (entry = readdir(entries))) {
        /* a child may still be about to give it its name: that takes no second */
        if (!is_unborn(entry->d_name) ||
            fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            time(NULL) - status.st_mtime < 60 || unlinkat(fd, entry->d_name, 0) < 0)
            continue;
        *bytes += (uint64_t)status.st_size;
        count++;
    }
    if (entries)
        closedir(entries);
    else if (fd >= 0)
        close(fd);
    return count;
}
