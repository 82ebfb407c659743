/*
 * What holds blocks and is in no other place that is looked at: blocks from before tracking began,
 * and the arguments of threads that are being made.
 *
 * Owns a table of the first BL_EARLY_MAX of them. Threads: any; noted before there are threads,
 * dropped by any. Signal context: safe. Errors: what does not fit is counted.
 */
#ifndef BL_EARLY_H
#define BL_EARLY_H

#include "compiler.h"

#define BL_EARLY_MAX 2048u

extern uint32_t bl_early_count; /* of notes; more than BL_EARLY_MAX: some are not kept */

void bl_early_note(uint64_t address, uint64_t bytes);
/* It is freed. An address that was never noted is passed over. */
void bl_early_drop(uint64_t address);
void bl_early_each(void (*visit)(void *context, uint64_t address, uint64_t bytes), void *context);

/* What a thread that is being made is to do: in our memory alone until it begins, so it is a root.
 */
struct bl_start {
    void *(*routine)(void *);
    void *argument;
    uint32_t test_name;
    bool mask_stripped;
    bool is_taken; /* atomic */
};
/* NULL: there is no memory. */
struct bl_start *bl_early_take_start(void);
void bl_early_give_start(struct bl_start *start);
/* Calls visit for the argument of each. */
void bl_early_each_start(void (*visit)(void *context, uint64_t argument), void *context);

#endif
