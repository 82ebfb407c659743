/*
 * Memory in time: at each turn of the helper thread, what the process has from the system and what
 * lives of each class and site goes into the ledger's series (samples.h).
 *
 * The application's threads do nothing for it: the counters of the classes are summed over their
 * shards, the sites are added up by looking at the live tables (sites.h). A turn of a program with
 * few live buffers costs 0.1 ms, most of it the kernel's for the process's usage.
 * Threads: the helper only. Needs the guard. Errors: counted.
 */
#ifndef BL_SERIES_H
#define BL_SERIES_H

#include "compiler.h"

void bl_series_turn(uint64_t now_ns, uint64_t interval_ns);
/* In a forked child, whose ledger has no series yet. */
void bl_series_reset(void);

#endif
