/*
 * From the ledger of a process that has ended to its leaks.
 *
 * Reference-counted buffers leaked when they are accused by their history. Heap blocks leaked when
 * nothing leads to them any more; what is lost with another block is told with it, and what makes
 * up a reference-counted buffer with that. What lives on and is held is no leak, unless it grew
 * with each iteration (check_growth).
 */
#ifndef BL_CHECK_COLLECT_H
#define BL_CHECK_COLLECT_H

#include "leakcheck.h"
#include "error.h"
#include "target.h"

/* What a report would be told beside: own modules, where to look for symbols. */
struct bl_collect_options {
    const char *own[16];
    size_t own_count;
    const char *symbol_paths[16];
    size_t symbol_path_count;
    struct bl_symbols_store *store; /* for the processes of one check; NULL: none */
    bool still_runs;                /* it was not waited for */
    const char *test;               /* of a process that was not told one; NULL: none */
};

/* Adds the process, and what it leaked. A ledger that cannot be read is a process that is unknown:
 * never an error of the check itself. */
void bl_check_collect(struct bl_check *check, const struct bl_target *target,
                      const struct bl_collect_options *options);

#endif
