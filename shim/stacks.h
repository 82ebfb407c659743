/*
 * Interning: a stack becomes a frame number of the ledger's trie, once per distinct stack.
 *
 * A stack is looked up by the 64-bit rolling hash that capture computes: in the thread's memo, in a
 * cache of the process, then in sharded tables of hashes seen, and only a new hash makes the
 * frames be named (modules.h) and entered into the trie. The hash is seeded with the module epoch,
 * so after an unload every stack is named anew; the trie holds each (caller, module, offset) once
 * whatever the hash. Two different stacks share a 64-bit hash with probability n^2/2^65: 3e-8 at a
 * million stacks.
 *
 * Reclaiming. A sweep frees the frames that nothing refers to (sweep.h says how it knows). The
 * index forgets them first; their numbers are given out again only when bl_stacks_reuse says so,
 * and always below a caller that is lower, so that a frame's number stays above its caller's. While
 * bl_stacks_sweeping is set:
 *   - every stack that is interned is marked, all its frames, under the trie's lock;
 *   - whoever copies a stack's number from one record to another marks it (bl_stacks_keep);
 *   - a marked frame's callers are marked, or are being marked by a thread under its guard.
 * An unmarked frame is taken out of the index under the trie's lock, so that none is found and
 * freed at once.
 *
 * Owns: the hash sets and the trie index (stack_index.h), in the arena; three maps of one bit a
 * frame, which take pages only where frames were freed or marked. Threads: any; BL_RANK_STACKS
 * inside. Needs the guard. Signal context: safe under the guard. Errors: stack 0 (none), counted in
 * stacks_dropped.
 */
#ifndef BL_STACKS_H
#define BL_STACKS_H

#include "capture.h"

/* depth: frames recorded at most; what is cut is flagged and counted. */
uint32_t bl_stacks_intern(struct bl_thread_state *t, const struct bl_walk *w, uint32_t depth);
/* The same for the birth of a buffer. ret_watched: it belongs to the sample of its stack's buffers
 * of which the end is recorded (frees.h). */
uint32_t bl_stacks_intern_birth(struct bl_thread_state *t, const struct bl_walk *w, uint32_t depth,
                                bool *ret_watched);
struct bl_stack_frame {
    uint32_t module; /* with BL_FRAME_* */
    uint64_t offset;
};
/* Enters a stack that was taken otherwise, innermost frame first. */
uint32_t bl_stacks_enter(const struct bl_stack_frame *frames, uint32_t count);
/* Distinct stacks are known under new hashes from now on: drop the old ones. */
void bl_stacks_forget_hashes(void);

extern uint32_t bl_stacks_sweeping; /* relaxed atomic */

/* The stack's number is kept in a place that a sweep may have looked at already. */
void bl_stacks_mark(uint32_t stack);
BL_INLINE uint32_t bl_stacks_keep(uint32_t stack)
{
    if (BL_UNLIKELY(bl_load_relaxed(&bl_stacks_sweeping)))
        bl_stacks_mark(stack);
    return stack;
}

/* The helper's, in this order; sweep.h. Due: the frames in use are BL_SWEEP_MIN and twice what the
 * last sweep left. */
#define BL_SWEEP_MIN (1u << 18)
bool bl_stacks_sweep_due(void);
/* False: no memory. From here on stacks that are found are marked, and all are found anew. */
bool bl_stacks_sweep_begin(void);
void bl_stacks_sweep_cancel(void);
/* Frees what is not marked, and calls `freed` for each. Returns how many. */
uint32_t bl_stacks_sweep(void (*freed)(uint32_t frame));
/* Frames that a sweep freed and that are not in use again yet. */
uint32_t bl_stacks_set_aside(void);
/* From now on their numbers are given out. */
void bl_stacks_reuse(void);
/* For tests: as if BL_SWEEP_MIN was this. */
void bl_stacks_set_sweep_min(uint32_t frames);

void bl_stacks_lock(void);
void bl_stacks_unlock(void);
/* In a forked child; a sweep that the parent was at is none of its. */
void bl_stacks_reset_lock(void);
/* In a child whose ledger starts empty. */
void bl_stacks_reset(void);

#endif
