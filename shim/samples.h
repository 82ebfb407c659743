/*
 * Where samples of memory in time are kept: the blocks of SAMPLES, a ring of them for each series
 * and level, and the records of SERIES. The layout and what a reader may rely on are in
 * ledger_format.h.
 *
 * Owns: SERIES and SAMPLES of the ledger, and in static memory the order of each ring (4 bytes a
 * block) and its latest samples. At most BL_SAMPLE_BLOCKS_MAX blocks: when they are used up, a
 * series that needs one takes the oldest fine block of a series that was given up; else the oldest,
 * fine before coarse, of the least site that has more than BL_SITE_BLOCKS_KEPT of such; else a fine
 * one of the series that has most.
 * Threads: the helper only; it also copies snapshots. Needs the guard. Allocates pages of the
 * ledger. Errors: what cannot be kept is counted in samples_dropped.
 */
#ifndef BL_SAMPLES_H
#define BL_SAMPLES_H

#include "compiler.h"
#include "ledger_format.h"

struct bl_reading {
    uint64_t bytes;
    uint64_t total;
    uint64_t count;
};

/* Begins a series. stack and site as in bl_series. Returns its number, 0: no room. */
uint32_t bl_samples_open(enum bl_series_kind kind, uint32_t class_number, uint32_t stack,
                         uint32_t site, uint64_t now_ns);
/* Of a site: how much it is to be preferred to others when there is not room for all. */
void bl_samples_set_worth(uint32_t series, float worth);
/* Ends it: its samples stay until their blocks or its record are needed. */
void bl_samples_close(uint32_t series, uint64_t now_ns);
/* Adds what was read at now_ns, to all levels that are due. */
void bl_samples_add(uint32_t series, const struct bl_reading *reading, uint64_t now_ns,
                    uint64_t interval_ns);

/* In a forked child, whose ledger has no samples. */
void bl_samples_reset(void);

#endif
