/*
 * From what the user typed (a PID, a ledger, a snapshot, nothing) to one open file.
 *
 * A PID means the latest snapshot of the running process when there is one, else its live ledger;
 * a process that has ended is shown as it ended. A path means that file. Nothing means the newest
 * of this user's ledgers. After a PID or a path, @n means its snapshot n.
 */
#ifndef BL_TARGET_H
#define BL_TARGET_H

#include "error.h"
#include "ledger_format.h"
#include "proc.h"

#include <stdbool.h>

struct bl_target_choice {
    const char *argument; /* NULL: the newest */
    bool ledger_only;     /* never a snapshot instead of the ledger */
    uint32_t snapshot;    /* that snapshot; 0: see above */
};

struct bl_target {
    char *path;
    int fd; /* open for reading */
    struct bl_header header;
    bool was_searched; /* the user named no file: say which one was taken */
    bool is_memfd;     /* kept in memory by a process that has no directory */
    bool is_running;   /* and `process` is valid */
    struct bl_proc process;
};

/* Fills ret_target on success only; the caller then owns it. */
int bl_target_open(const struct bl_target_choice *choice, struct bl_target *ret_target,
                   struct bl_error *error);
void bl_target_deinit(struct bl_target *target);

#endif
