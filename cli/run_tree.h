/*
 * The ledgers of one run: which of those in the directory belong to processes below us.
 *
 * Membership is seen in /proc while a process lives (we adopt its orphans, so everything it starts
 * stays below us), and else follows from the parents that the ledgers name.
 */
#ifndef BL_RUN_TREE_H
#define BL_RUN_TREE_H

#include "ledgers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bl_run_process {
    char *path; /* of the ledger; NULL until it was seen */
    uint64_t start_us;
    uint32_t pid;
    uint32_t parents[2]; /* from the header: parent, and the process it was forked from */
    bool knows_parents;
    bool is_member;
    bool is_done;        /* its end was reported */
    bool is_signal_said; /* that it takes the snapshot signal itself */
    uint32_t snapshots_done;
};

struct bl_run_tree {
    struct bl_run_process *processes;
    size_t count;
    size_t room;
};

void bl_run_tree_deinit(struct bl_run_tree *tree);

/* The process a file belongs to, added when it is new; NULL without memory. Valid until the next
 * call. */
struct bl_run_process *bl_run_tree_take(struct bl_run_tree *tree,
                                        const struct bl_ledger_file *file);

/* Does it belong to this run? Looks again at what is not yet known. */
bool bl_run_tree_is_member(struct bl_run_tree *tree, struct bl_run_process *process);

#endif
