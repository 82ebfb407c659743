#include "watch.h"

#include "ledger_format.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR | IN_DONT_FOLLOW)

struct directory {
    int descriptor;
    char *path;
};

struct queued {
    struct bl_watch_event event;
    struct queued *next;
};

struct bl_watch {
    int fd;
    uint64_t since_us;
    struct directory *directories;
    size_t directory_count;
    struct queued *first;
    struct queued **last;
};

/* Without memory an event is dropped: the final sweep of the caller finds the file all the same. */
static void queue(struct bl_watch *watch, enum bl_watch_kind kind, const char *directory,
                  const char *name)
{
    struct bl_watch_event event = {.kind = kind};
    if (!bl_ledgers_parse_name(name, &event.file.pid, &event.file.start_us, &event.file.snapshot) ||
        event.file.start_us < watch->since_us)
        return;
    if ((kind == BL_WATCH_SNAPSHOT) != (event.file.snapshot > 0))
        return;
    struct queued *item = calloc(1, sizeof(*item));
    if (!item || asprintf(&event.file.path, "%s/%s", directory, name) < 0) {
        free(item);
        return;
    }
    item->event = event;
    *watch->last = item;
    watch->last = &item->next;
}

static void queue_existing(struct bl_watch *watch, const char *path)
{
    struct bl_ledger_list list = {0};
    struct bl_error ignored;
    bl_ledgers_scan(&list, path, &ignored);
    for (size_t i = 0; i < list.count; i++) {
        char *slash = strrchr(list.files[i].path, '/');
        *slash = '\0';
        queue(watch, list.files[i].snapshot > 0 ? BL_WATCH_SNAPSHOT : BL_WATCH_LEDGER,
              list.files[i].path, slash + 1);
    }
    bl_ledgers_deinit(&list);
}

static int add_directory(struct bl_watch *watch, const char *path)
{
    int descriptor = inotify_add_watch(watch->fd, path, EVENTS);
    if (descriptor < 0)
        return -errno;
    for (size_t i = 0; i < watch->directory_count; i++)
        if (watch->directories[i].descriptor == descriptor)
            return 0;
    struct directory *grown =
        realloc(watch->directories, (watch->directory_count + 1) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    watch->directories = grown;
    grown[watch->directory_count] = (struct directory){descriptor, strdup(path)};
    if (!grown[watch->directory_count].path)
        return -ENOMEM;
    watch->directory_count++;
    return 0;
}

int bl_watch_create(struct bl_watch **ret_watch, const char *directory, uint64_t since_us,
                    struct bl_error *error)
{
    struct bl_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return bl_error_set(error, "not enough memory");
    watch->last = &watch->first;
    watch->since_us = since_us;
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int outcome = watch->fd < 0 ? -errno : add_directory(watch, directory);
    if (outcome < 0) {
        bl_watch_destroy(watch);
        return bl_error_set(error, "cannot watch %s for snapshots: %s", directory,
                            strerror(-outcome));
    }
    *ret_watch = watch;
    return 0;
}

void bl_watch_destroy(struct bl_watch *watch)
{
    if (!watch)
        return;
    struct bl_watch_event event;
    while (watch->first) {
        struct queued *item = watch->first;
        watch->first = item->next;
        event = item->event;
        free(event.file.path);
        free(item);
    }
    for (size_t i = 0; i < watch->directory_count; i++)
        free(watch->directories[i].path);
    free(watch->directories);
    if (watch->fd >= 0)
        close(watch->fd);
    free(watch);
}

int bl_watch_fd(const struct bl_watch *watch)
{
    return watch->fd;
}

static const char *path_of(const struct bl_watch *watch, int descriptor)
{
    for (size_t i = 0; i < watch->directory_count; i++)
        if (watch->directories[i].descriptor == descriptor)
            return watch->directories[i].path;
    return NULL;
}

/* What was made in a new spool before we watched it is queued from a scan. */
static void take_directory(struct bl_watch *watch, const char *parent, const char *name)
{
    char path[PATH_MAX];
    size_t length = strlen(name);
    size_t suffix = strlen(BL_SPOOL_SUFFIX);
    if (length <= suffix || strcmp(name + length - suffix, BL_SPOOL_SUFFIX) != 0 ||
        (size_t)snprintf(path, sizeof(path), "%s/%s", parent, name) >= sizeof(path))
        return;
    if (add_directory(watch, path) == 0)
        queue_existing(watch, path);
}

static void take(struct bl_watch *watch, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        if (watch->directory_count > 0)
            queue_existing(watch, watch->directories[0].path);
        return;
    }
    const char *directory = path_of(watch, event->wd);
    if (!directory || event->len == 0)
        return;
    if (event->mask & IN_ISDIR) {
        take_directory(watch, directory, event->name);
    } else if (event->mask & IN_CLOSE_WRITE) {
        queue(watch, BL_WATCH_CLOSED, directory, event->name);
    } else {
        /* the one that the name is not of is left out; a forked child's ledger is renamed, too */
        queue(watch, BL_WATCH_LEDGER, directory, event->name);
        queue(watch, BL_WATCH_SNAPSHOT, directory, event->name);
    }
}

static void read_events(struct bl_watch *watch)
{
    _Alignas(struct inotify_event) char buffer[16384];
    ssize_t length;
    while ((length = read(watch->fd, buffer, sizeof(buffer))) > 0)
        for (char *at = buffer; at < buffer + length;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)at;
            take(watch, event);
            at += sizeof(*event) + event->len;
        }
}

bool bl_watch_next(struct bl_watch *watch, struct bl_watch_event *ret_event)
{
    if (!watch->first)
        read_events(watch);
    struct queued *item = watch->first;
    if (!item)
        return false;
    watch->first = item->next;
    if (!watch->first)
        watch->last = &watch->first;
    *ret_event = item->event;
    free(item);
    return true;
}
