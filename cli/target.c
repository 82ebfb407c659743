#include "target.h"

#include "ledgers.h"
#include "reader.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void bl_target_deinit(struct bl_target *target)
{
    free(target->path);
    if (target->fd >= 0)
        close(target->fd);
    *target = (struct bl_target){.fd = -1};
}

/* Takes the file at `path`; `fd` may be open already. */
static int take(struct bl_target *target, const char *path, int fd, struct bl_error *error)
{
    if (bl_reader_read_header(fd, path, &target->header, error) < 0) {
        close(fd);
        return -1;
    }
    target->path = strdup(path);
    if (!target->path) {
        close(fd);
        return bl_error_set(error, "not enough memory");
    }
    target->fd = fd;
    target->is_running = bl_proc_find_writer(&target->header, &target->process);
    return 0;
}

static int open_failed(const char *path, int code, struct bl_error *error)
{
    if (code == EACCES)
        return bl_error_set(error,
                            "cannot open %s: it belongs to another user; run bufleak as "
                            "that user or as root",
                            path);
    if (code == ELOOP)
        return bl_error_set(error,
                            "%s is a symbolic link, which bufleak does not follow in a "
                            "ledger directory",
                            path);
    if (code == ENOENT && !strchr(path, '/'))
        return bl_error_set(error, "there is no file %s: give a PID, a ledger or a snapshot", path);
    return bl_error_set(error, "cannot open %s: %s", path, strerror(code));
}

static int take_listed(struct bl_target *target, const char *path, struct bl_error *error)
{
    int fd = bl_ledgers_open(path, false);
    if (fd < 0)
        return open_failed(path, -fd, error);
    return take(target, path, fd, error);
}

static int take_path(struct bl_target *target, const char *path, struct bl_error *error)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return open_failed(path, errno, error);
    return take(target, path, fd, error);
}

/* Directories in which the ledgers of a process may be: our own, those its own environment and user
 * lead to, and the latter as seen from its root. */
struct places {
    char directory[8][PATH_MAX];
    size_t count;
};

__attribute__((format(printf, 2, 3))) static void add_place(struct places *places,
                                                            const char *format, ...)
{
    char path[PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is the line above
    int length = vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    if (length <= 0 || (size_t)length >= sizeof(path))
        return;
    for (size_t i = 0; i < places->count; i++)
        if (strcmp(places->directory[i], path) == 0)
            return;
    if (places->count < sizeof(places->directory) / sizeof(places->directory[0]))
        memcpy(places->directory[places->count++], path, sizeof(path));
}

static int find_places(struct places *places, const struct bl_proc *process, struct bl_error *error)
{
    char own[PATH_MAX];
    if (bl_ledgers_directory(own, sizeof(own), error) < 0)
        return -1;
    add_place(places, "%s", own);
    if (!process)
        return 0;
    int pid = (int)process->pid;
    char *given = bl_proc_environ(process->pid, "BUFLEAK_DIR");
    char *runtime = bl_proc_environ(process->pid, "XDG_RUNTIME_DIR");
    if (given && *given == '/')
        add_place(places, "%s", given);
    if (runtime && *runtime == '/')
        add_place(places, "%s/bufleak", runtime);
    add_place(places, "/tmp/bufleak-%u", (unsigned)process->uid);
    add_place(places, "/tmp/bufleak-%u", (unsigned)geteuid());
    if (given && *given)
        add_place(places, *given == '/' ? "/proc/%d/root%s" : "/proc/%d/cwd/%s", pid, given);
    add_place(places, "/proc/%d/root/tmp/bufleak-%u", pid, (unsigned)process->uid);
    free(given);
    free(runtime);
    return 0;
}

static bool has_number(const struct bl_proc *process, pid_t pid, uint32_t number)
{
    if (number == (uint32_t)pid)
        return true;
    for (int i = 0; process && i < process->ns_pid_count; i++)
        if (number == (uint32_t)process->ns_pids[i])
            return true;
    return false;
}

/* A process that could use no directory keeps its ledger in a memfd. */
static int take_memfd(struct bl_target *target, pid_t pid, struct bl_error *error)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    struct dirent *entry;
    int outcome = -1;
    while (directory && outcome < 0 && (entry = readdir(directory))) {
        char link[PATH_MAX];
        char text[PATH_MAX];
        snprintf(link, sizeof(link), "/proc/%d/fd/%s", (int)pid, entry->d_name);
        ssize_t length = readlink(link, text, sizeof(text) - 1);
        if (length <= 0)
            continue;
        text[length] = '\0';
        if (strncmp(text, "/memfd:" BL_MEMFD_NAME, strlen("/memfd:" BL_MEMFD_NAME)) != 0)
            continue;
        int fd = open(link, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || take(target, link, fd, error) < 0)
            continue;
        /* after a fork the child still holds its parent's */
        if (target->is_running && target->process.pid == pid) {
            target->is_memfd = true;
            outcome = 0;
        } else {
            bl_target_deinit(target);
        }
    }
    if (directory)
        closedir(directory);
    return outcome;
}

static int explain_untracked(const struct bl_proc *process, const char *older,
                             struct bl_error *error)
{
    enum bl_proc_preload preload = bl_proc_preload_state(process->pid);
    const char *why = bl_proc_preload_text(preload);
    int pid = (int)process->pid;
    if (geteuid() != 0 && process->uid != geteuid())
        return bl_error_set(error,
                            "process %d (%s) belongs to another user (uid %u): run bufleak as that "
                            "user or as root",
                            pid, process->comm, (unsigned)process->uid);
    if (why)
        return bl_error_set(error, "process %d (%s) is not tracked: %s", pid, process->comm, why);
    if (preload == BL_PROC_MAPPED)
        return bl_error_set(error,
                            "process %d (%s) has the shim loaded, but no ledger of it was found: "
                            "set BUFLEAK_DIR to the directory it was started with",
                            pid, process->comm);
    return bl_error_set(
        error, "process %d (%s) is not tracked: start it with `bufleak run -- %s …`%s%s%s", pid,
        process->comm, process->comm, older ? " (an earlier process of that number left " : "",
        older ? older : "", older ? ")" : "");
}

/* Which of two headers of processes with the same number is the better answer: a program that was
 * replaced by exec only when there is nothing else, then the later one. */
static bool is_better(const struct bl_header *header, const struct bl_header *best)
{
    bool replaced = header->state == BL_STATE_EXECED;
    bool best_replaced = best->state == BL_STATE_EXECED;
    if (replaced != best_replaced)
        return best_replaced;
    return header->start_realtime_ns > best->start_realtime_ns;
}

/* The best ledger of a PID among `list`: of the process itself while it runs, else the newest. Why
 * one could not be read is in ret_unread. */
static int pick(const struct bl_ledger_list *list, const struct bl_proc *process, pid_t pid,
                struct bl_target *target, char **ret_older, struct bl_error *ret_unread)
{
    struct bl_target best = {.fd = -1};
    for (size_t i = 0; i < list->count; i++) {
        struct bl_target candidate = {.fd = -1};
        if (list->files[i].snapshot > 0 || !has_number(process, pid, list->files[i].pid) ||
            take_listed(&candidate, list->files[i].path, ret_unread) < 0)
            continue;
        bool is_this_process = candidate.is_running && candidate.process.pid == pid;
        if (process && !is_this_process && candidate.path) {
            free(*ret_older);
            *ret_older = strdup(candidate.path);
        }
        if ((process && !is_this_process) ||
            (best.path && !is_better(&candidate.header, &best.header))) {
            bl_target_deinit(&candidate);
            continue;
        }
        bl_target_deinit(&best);
        best = candidate;
    }
    if (!best.path)
        return -1;
    *target = best;
    return 0;
}

static int take_pid(struct bl_target *target, pid_t pid, struct bl_error *error)
{
    struct bl_proc proc;
    bool is_there = bl_proc_read(pid, &proc) == 0 && proc.state != 'Z' && proc.state != 'X';
    const struct bl_proc *process = is_there ? &proc : NULL;
    struct places places = {.count = 0};
    if (find_places(&places, process, error) < 0)
        return -1;
    struct bl_ledger_list list = {0};
    struct bl_error refused = {""};
    for (size_t i = 0; i < places.count; i++) {
        struct bl_error ignored;
        bl_ledgers_scan(&list, places.directory[i], i == 0 ? &refused : &ignored);
    }
    char *older = NULL;
    struct bl_error unread = {""};
    int outcome = pick(&list, process, pid, target, &older, &unread);
    if (outcome < 0 && process)
        outcome = take_memfd(target, pid, error);
    if (outcome < 0 && process)
        explain_untracked(process, older, error);
    else if (outcome < 0 && *refused.text)
        *error = refused;
    else if (outcome < 0 && *unread.text)
        *error = unread;
    else if (outcome < 0)
        bl_error_set(error,
                     "there is no process %d and no ledger of it in %s; `bufleak ps` lists "
                     "what there is",
                     (int)pid, places.directory[0]);
    free(older);
    bl_ledgers_deinit(&list);
    return outcome;
}

static int take_newest(struct bl_target *target, struct bl_error *error)
{
    char directory[PATH_MAX];
    struct bl_ledger_list list = {0};
    if (bl_ledgers_directory(directory, sizeof(directory), error) < 0 ||
        bl_ledgers_scan(&list, directory, error) < 0) {
        bl_ledgers_deinit(&list);
        return -1;
    }
    bl_ledgers_sort(&list);
    int outcome = -1;
    struct bl_error first = {""};
    for (size_t i = 0; i < list.count && outcome < 0; i++) {
        if (list.files[i].snapshot > 0)
            continue;
        outcome = take_listed(target, list.files[i].path, *first.text ? error : &first);
        if (outcome == 0 && target->header.state == BL_STATE_EXECED) {
            bl_target_deinit(target);
            outcome = -1;
        }
    }
    bl_ledgers_deinit(&list);
    if (outcome == 0)
        return 0;
    if (*first.text) {
        *error = first;
        return -1;
    }
    return bl_error_set(error,
                        "there is no ledger in %s: start a program with `bufleak run -- "
                        "PROGRAM`, or name a ledger",
                        directory);
}

/* Replaces the ledger by its snapshot where that is what the user wants to see. */
static int prefer_snapshot(struct bl_target *target, const struct bl_target_choice *choice,
                           struct bl_error *error)
{
    char *path = NULL;
    if (choice->ledger_only || target->is_memfd || target->header.snapshot_number > 0 ||
        (choice->snapshot == 0 && !target->is_running))
        return 0;
    uint32_t found = bl_ledgers_find_snapshot(target->path, choice->snapshot, &path);
    if (found == 0 && choice->snapshot > 0)
        return bl_error_set(error, "%s has no snapshot %u", target->path, choice->snapshot);
    if (found == 0)
        return 0;
    struct bl_target snapshot = {.fd = -1};
    int outcome = take_listed(&snapshot, path, error);
    free(path);
    if (outcome < 0)
        return -1;
    snapshot.is_running = target->is_running;
    snapshot.process = target->process;
    bl_target_deinit(target);
    *target = snapshot;
    return 0;
}

/* "4242@1": its snapshot 1. Marks are for comparing only. */
static int take_moment(const struct bl_target_choice *choice, const char *at,
                       struct bl_target *ret_target, struct bl_error *error)
{
    char argument[PATH_MAX];
    uint64_t number;
    size_t length = (size_t)(at - choice->argument);
    struct bl_target_choice whole = {.argument = length > 0 ? argument : NULL};
    if (length >= sizeof(argument))
        return bl_error_set(error, "%s: this is longer than any path", choice->argument);
    memcpy(argument, choice->argument, length);
    argument[length] = '\0';
    if (!bl_text_parse_number(at + 1, UINT32_MAX, &number) || number == 0)
        return bl_error_set(error,
                            "%s: after @ goes the number of a snapshot here; a mark is compared "
                            "with: bufleak diff %s %s",
                            choice->argument, choice->argument, length > 0 ? argument : "PID");
    whole.snapshot = (uint32_t)number;
    return bl_target_open(&whole, ret_target, error);
}

int bl_target_open(const struct bl_target_choice *choice, struct bl_target *ret_target,
                   struct bl_error *error)
{
    struct bl_target target = {.fd = -1};
    const char *at = choice->argument ? strrchr(choice->argument, '@') : NULL;
    if (at && choice->snapshot == 0 && access(choice->argument, F_OK) != 0)
        return take_moment(choice, at, ret_target, error);
    uint64_t pid;
    int outcome;
    bool is_path = false;
    if (!choice->argument) {
        outcome = take_newest(&target, error);
    } else if (bl_text_parse_number(choice->argument, INT32_MAX, &pid) && pid > 0) {
        outcome = take_pid(&target, (pid_t)pid, error);
    } else {
        outcome = take_path(&target, choice->argument, error);
        is_path = true;
    }
    if (outcome < 0)
        return -1;
    if ((!is_path || choice->snapshot > 0) && prefer_snapshot(&target, choice, error) < 0) {
        bl_target_deinit(&target);
        return -1;
    }
    target.was_searched = !is_path;
    *ret_target = target;
    return 0;
}
