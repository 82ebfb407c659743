/*
 * What happens in a ledger directory and its spools, as it happens, by inotify.
 *
 * Files of programs that started before `since_us` are left out. The same snapshot or ledger can be
 * reported twice (when a spool appears, or after the kernel dropped events); the caller remembers
 * what it has dealt with.
 */
#ifndef BL_WATCH_H
#define BL_WATCH_H

#include "error.h"
#include "ledgers.h"

enum bl_watch_kind {
    BL_WATCH_LEDGER,   /* made: its program started */
    BL_WATCH_CLOSED,   /* no longer open in its program: it ended, or replaced itself */
    BL_WATCH_SNAPSHOT, /* complete */
};

struct bl_watch_event {
    enum bl_watch_kind kind;
    struct bl_ledger_file file; /* path is the caller's to free */
};

struct bl_watch;

int bl_watch_create(struct bl_watch **ret_watch, const char *directory, uint64_t since_us,
                    struct bl_error *error);
void bl_watch_destroy(struct bl_watch *watch);

/* To poll for. */
int bl_watch_fd(const struct bl_watch *watch);

/* The next event; false when there is none now. */
bool bl_watch_next(struct bl_watch *watch, struct bl_watch_event *ret_event);

#endif
