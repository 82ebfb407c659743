/*
 * Interning: a stack becomes a frame number of the ledger's trie, once per distinct stack.
 *
 * A stack is looked up by the 64-bit rolling hash that capture computes: in the thread's memo, in a
 * cache of the process, then in a sharded uthash of hashes seen, and only a new hash makes the
 * frames be named (modules.h) and entered into the trie. The hash is seeded with the module epoch,
 * so after an unload every stack is named anew; the trie holds each (caller, module, offset) once
 * whatever the hash. Two different stacks share a 64-bit hash with probability n^2/2^65: 3e-8 at a
 * million stacks.
 *
 * Owns: the hash set and the trie index, in the arena. Threads: any; BL_RANK_STACKS inside. Needs
 * the guard. Signal context: safe under the guard. Errors: stack 0 (none), counted in
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

void bl_stacks_lock(void);
void bl_stacks_unlock(void);
void bl_stacks_reset_lock(void);
/* In a child whose ledger starts empty. */
void bl_stacks_reset(void);

#endif
