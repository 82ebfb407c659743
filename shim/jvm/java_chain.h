/*
 * The chain of frame pointers that leads to a Java stack, as a number.
 *
 * It is the chain of return addresses, with the method, the bytecode position and the variables of
 * each frame that is interpreted, and of what the process had loaded: two stacks with the same
 * number are taken for the same (64 bits). A thread keeps its latest chain, frame by frame, and
 * looks only at what the frames hold; what they hold is looked at in full each time.
 *
 * Owns: the chains, in the threads' states. Threads: Java's own, on their own stack, whose bounds
 * are known. Needs the guard. Errors: none.
 */
#ifndef BL_JAVA_CHAIN_H
#define BL_JAVA_CHAIN_H

#include "threads.h"
#include "track.h"

#define BL_JAVA_NATIVE_FRAMES 96u /* of the VM and others, between Java's */

/* frame: __builtin_frame_address(0) of the native method. Never 0, but by chance. */
uint64_t bl_java_chain_hash(struct bl_thread_state *t, const uint64_t *frame);
/* From here on all chains have other numbers. Any thread. */
void bl_java_chain_forget(void);

/* frame[0] is the caller's frame, frame[1] where it goes on. */
BL_INLINE const uint64_t *bl_java_chain_outer(const struct bl_thread_state *t,
                                              const uint64_t *frame)
{
    uint64_t outer = frame[0];
    if (outer <= (uint64_t)(uintptr_t)frame || outer > t->stack_high - 16 || outer % 8 != 0)
        return NULL;
    return (const uint64_t *)(uintptr_t)outer; // NOLINT(performance-no-int-to-ptr)
}

/* Frames that a walk of a chain goes, at most. */
BL_INLINE uint32_t bl_java_chain_limit(void)
{
    return bl_track_conf.depth_frames + BL_JAVA_NATIVE_FRAMES;
}

BL_INLINE uint64_t bl_java_chain_mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

#endif
