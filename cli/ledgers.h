/*
 * The files in a ledger directory, found by name. Nothing here trusts what is inside them.
 *
 * A directory is used only when the user owns it or the reader is root; neither the directory nor
 * a file in it may be a symbolic link. Spool directories (PID.START.spool) of programs that changed
 * their user are looked into as well.
 */
#ifndef BL_LEDGERS_H
#define BL_LEDGERS_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bl_ledger_file {
    char *path;
    uint64_t start_us;
    off_t size;
    uint32_t pid;      /* as the process sees itself */
    uint32_t snapshot; /* 0 = the ledger itself */
};

struct bl_ledger_list {
    struct bl_ledger_file *files;
    size_t count;
    size_t room;
};

void bl_ledgers_deinit(struct bl_ledger_list *list);

/* Splits NAME.PID.START.ledger[.N]; false for any other name. */
bool bl_ledgers_parse_name(const char *name, uint32_t *ret_pid, uint64_t *ret_start_us,
                           uint32_t *ret_snapshot);

/* Where this user's ledgers are: $BUFLEAK_DIR, else $XDG_RUNTIME_DIR/bufleak, else
 * /tmp/bufleak-UID. Fails when $BUFLEAK_DIR is too long for a path. */
int bl_ledgers_directory(char *out, size_t size, struct bl_error *error);

/* Opens a directory for use under the rules above: a descriptor, or -errno. */
int bl_ledgers_open_directory(const char *path);

/* Adds what a directory holds. A missing directory holds nothing; one that must not be used or
 * cannot be read is an error. */
int bl_ledgers_scan(struct bl_ledger_list *list, const char *directory, struct bl_error *error);

/* Newest program first; a ledger before its snapshots, these by number. */
void bl_ledgers_sort(struct bl_ledger_list *list);

/* Opens a listed file without following links: a descriptor, or -errno. `write` is for the control
 * words of the header. */
int bl_ledgers_open(const char *path, bool write);

/* The highest snapshot of a ledger beside it or in its spool directory; 0 when there is none.
 * With `wanted` > 0 only that one. ret_path is allocated. */
uint32_t bl_ledgers_find_snapshot(const char *ledger_path, uint32_t wanted, char **ret_path);

/* Deletes a listed file and what was left half-written of it or its snapshots; the directory must
 * be our own or that of a spool in it. Adds to *bytes. Returns 0 or -errno. */
int bl_ledgers_remove(const char *path, uint64_t *bytes);

/* Deletes ledgers that were being made for a child when its parent was killed in the middle of fork
 * (fork.TID.N.part), once that thread is gone. Returns how many; adds to *bytes. */
size_t bl_ledgers_remove_unborn(const char *directory, uint64_t *bytes);

/* Deletes the spool directory a file was in, if it is one and empty now. */
void bl_ledgers_remove_spool(const char *path);

#endif
