/*
 * limit=: how much of class heap may live until a snapshot is made by itself, and until, with
 * limit_action=fail, allocations fail as the system's would.
 *
 * Bytes are taken before the allocator is asked and given back when the record of the block ends,
 * all in one word: what is taken never exceeds the limit, whatever threads do at the same time, and
 * nothing is refused that would have fitted. Blocks that are not recorded are not counted; nor are
 * the shim's own. Those that the program asked to ignore, or carves up, are.
 *
 * With sample= the bytes that live are not known, only estimated from those of the sample: then the
 * limit is compared with the estimate, and is as exact as that.
 *
 * Where nothing is to fail, one word for all threads would cost more than it is worth: the sums
 * that the counters settle now and then are looked at instead, which are at most 1 % late
 * (counters.h).
 *
 * The thread that meets the limit wakes the helper, and gives it the processor: it waits for the
 * snapshot's moment, and so do the others when their sums are settled meanwhile. On a busy machine
 * the program would else be far beyond the limit before the helper's turn comes.
 *
 * Owns: the word. Threads: any, no lock. Signal context: safe. Allocates nothing. Without a limit
 * nothing here is called, but for a look at bl_limit_on. Errors: none.
 */
#ifndef BL_LIMIT_H
#define BL_LIMIT_H

#include "compiler.h"
#include "ledger_format.h"

extern bool bl_limit_on;              /* bytes are counted here */
extern uint64_t bl_limit_sample_mean; /* bytes between samples; 1: every block is recorded */

/* Once, in the constructor. bytes 0: there is none. */
void bl_limit_init(uint64_t bytes, enum bl_limit_action action, uint64_t sample_bytes);
/* In a forked child, and where the ledger starts empty. used: what lives. */
void bl_limit_restart(uint64_t used);

/* May so many bytes more live? They are taken, as far as ret_taken says. False: they may not. */
bool bl_limit_take(uint64_t bytes, uint64_t *ret_taken);
/* What a recorded block of that size stands for. */
uint64_t bl_limit_weight(uint64_t size);
/* The same in blocks, in 1/2^BL_BLOCKS_SHIFT: 1 / (1 - e^(-size/mean)), the inverse of the chance
 * that a point of a Poisson process falls into it (Horvitz and Thompson, JASA 47, 1952; so does
 * gperftools' heap profile, as its pprof unsamples it). It depends on the size of each block: the
 * mean size of those recorded will not do, for the large ones are recorded more often. */
uint64_t bl_limit_blocks(uint64_t size);
/* Of what was taken, or of what a record that ended stood for, only so much is used in the end: the
 * rest is given back. More may be used as well, if it was sampled, or its size became known late.
 */
void bl_limit_settle(uint64_t taken, uint64_t used);

/* The counters of class heap have come to this sum. */
void bl_limit_look_settled(uint64_t settled);

/* Notes an allocation that was refused. True: it is the first, and its stack is to be noted. */
bool bl_limit_note_refused(uint64_t bytes);
/* And the snapshot is due, unless it has been made at the limit itself. */
void bl_limit_note_stack(uint32_t stack);
/* Waits, but not for long, until the snapshot that is due has been made. Without the guard. */
void bl_limit_await(void);
/* For a thread with bl_tls.limit_crossed, which has just allocated: waits until the moment that the
 * snapshot stands for, at most 100 ms after the limit was met. Without the guard. */
void bl_limit_pause(void);

/* The helper's: is a snapshot due? And it has been made, or could not be. */
bool bl_limit_is_due(void);
/* What the snapshot will show has been copied. */
void bl_limit_note_taken(void);
void bl_limit_done(bool made);

#endif
