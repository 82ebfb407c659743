/*
 * Which buffers are lost, and what holds the others, as the latest run of reach found it.
 *
 * A run counts only in the picture that it was made with: its snapshot, or the ledger of a process
 * that ended with it. In later ones it is stale, as pointers have changed since, and all is
 * unknown.
 *
 * A buffer that was born after the run, or took the record of another one since, is unknown, as is
 * everything where the run failed, where it could not see all blocks, or where there was none: a
 * run that failed is never "0 lost". A reference-counted buffer whose handle lies in a heap block
 * has that block's reach.
 *
 * Owns what it allocates; borrows the reader, which must live longer. Every number that comes from
 * the file is checked: paths end.
 */
#ifndef BL_REACH_H
#define BL_REACH_H

#include "error.h"
#include "holdings.h"
#include "reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bl_reach_state {
    BL_REACH_UNKNOWN,
    BL_REACH_HELD,
    BL_REACH_LOST,
};

struct bl_reach_of {
    enum bl_reach_state state;
    bool interior_only; /* held, but only by pointers into its middle */
    uint32_t leader;    /* of a lost one: the live record it is lost with; itself when it leads */
};

struct bl_reaches;

/* Never fails for want of results: then everything is unknown. -1 without memory. */
int bl_reaches_create(struct bl_reaches **ret_reaches, const struct bl_reader *reader,
                      struct bl_error *error);
void bl_reaches_destroy(struct bl_reaches *reaches);

/* Did a run end well? Else `why`, if it is not NULL, is filled with a sentence on why not; "" when
 * none was asked for. */
bool bl_reaches_known(const struct bl_reaches *reaches, char *why, size_t size);
/* Was there a run that ended well, but in an earlier picture than this one? */
bool bl_reaches_stale(const struct bl_reaches *reaches);
/* The run, NULL when there was none. */
const struct bl_reach_run *bl_reaches_run(const struct bl_reaches *reaches);

/* By the number of the live record (bl_reader_live_numbers). */
struct bl_reach_of bl_reach_of(const struct bl_reaches *reaches, uint32_t live_number);

/* The live record whose block an address lies in; 0: none. */
uint32_t bl_reach_find(const struct bl_reaches *reaches, uint64_t address);
/* The record itself; NULL when the number is not that of a live buffer. */
const struct bl_live *bl_reach_live(const struct bl_reaches *reaches, uint32_t live_number);

/* Buffers lost with a leader, and their bytes, itself not counted. */
struct bl_reach_followers {
    uint64_t count;
    uint64_t bytes;
};
struct bl_reach_followers bl_reach_followers(const struct bl_reaches *reaches, uint32_t leader);

/* Of a group of buffers. */
struct bl_reach_sums {
    uint64_t lost;
    uint64_t lost_bytes;
    uint64_t indirect; /* of the lost: with a leader */
    uint64_t held;
    uint64_t interior; /* of the held */
    uint64_t unknown;
    uint64_t collected;    /* of the lost: by a virtual machine's garbage collector */
    uint64_t reachable;    /* of the held: by its objects */
    uint32_t lost_example; /* live record numbers; 0: none */
    uint32_t holdings;     /* of the held, a list by holder; 0: none */
};

/* reaches may be NULL: unknown. */
void bl_reach_count(const struct bl_reaches *reaches, uint32_t live_number, uint64_t bytes,
                    struct bl_reach_sums *sums);
/* The same of a reference-counted buffer that an object of a virtual machine stands for; false: it
 * is none, or was not looked for. */
bool bl_reach_count_object(const struct bl_object *object, uint64_t bytes,
                           struct bl_reach_sums *sums);
void bl_reach_add(const struct bl_reaches *reaches, struct bl_reach_sums *sums,
                  const struct bl_reach_sums *more);
/* The held ones of a group by their holders, in no order; see holders.h. */
const struct bl_holding *bl_reach_holdings(const struct bl_reaches *reaches,
                                           const struct bl_reach_sums *sums);
const struct bl_reach_root *bl_reach_root_of(const struct bl_reaches *reaches, uint32_t number);
/* Lost when any is lost; held only when all are. */
enum bl_reach_state bl_reach_state_of(const struct bl_reach_sums *sums);

/* One holder on the way from a buffer to what keeps it: a block, or at the end a root. */
struct bl_reach_step {
    uint32_t block;                   /* live record number; 0: a root */
    const struct bl_reach_root *root; /* NULL: a block */
    uint64_t slot;                    /* in the block */
    uint64_t inside;                  /* where in the one before it points */
};

/* From the nearest holder outward. Returns the length of the whole path, 0 for a buffer that
 * nothing holds; of longer ones than `max` the first max/2 and the last are stored. A path that
 * does not end in a root is that of a lost buffer to its leader. */
size_t bl_reach_path(const struct bl_reaches *reaches, uint32_t live_number,
                     struct bl_reach_step *out, size_t max);

const char *bl_reach_state_name(enum bl_reach_state state); /* "lost", "held", "unknown" */
const char *bl_reach_kind_name(uint32_t kind);              /* of a root: "global", "stack", … */

#endif
