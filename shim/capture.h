/*
 * Exact stacks without frame pointers, for a few tens of nanoseconds.
 *
 * A thread's consecutive allocations share all but a few of their frames. So each thread keeps the
 * frames of its latest stack, and an event (a) verifies from the outermost inward, for each kept
 * frame, that the slot its call pushed still holds its return address, then (b) walks from the
 * innermost frame outward only until it meets a verified frame. This is exact, not a guess:
 * unwinding is a function of (pc, rsp, rbp) and of the stack slots it reads; equal state and equal
 * slots give equal results. rbp is compared, and its save slots verified, where an outer frame
 * depends on it.
 *
 * Every stack carries a rolling hash h(k) = mix(h(k-1), pc(k)), outermost first, so the hash of the
 * whole costs the new frames only. Frames the rules of cfi.h cannot express go to libunwind; a walk
 * through a signal frame, on an alternate stack or in a coroutine is done in full and kept out of
 * the thread's array.
 *
 * Owns nothing; uses the calling thread's state. Threads: own state only. Takes no lock, allocates
 * nothing. Needs the guard. Signal context: safe; a handler that interrupts a walk does not get
 * here (guard). Errors: none; a stack that could not be walked to its root says so in flags.
 */
#ifndef BL_CAPTURE_H
#define BL_CAPTURE_H

#include "compiler.h"
#include "threads.h"

/* The caller of an interposed function: where it continues, and its registers there. */
struct bl_origin {
    uint64_t pc;
    uint64_t sp;
    uint64_t rbp;
};

/* In the interposed function itself, compiled with a frame pointer. */
#define BL_ORIGIN_HERE()                                                                           \
    ((struct bl_origin){.pc = (uint64_t)(uintptr_t)__builtin_return_address(0),                    \
                        .sp = (uint64_t)(uintptr_t)__builtin_frame_address(0) + 16,                \
                        .rbp = *(const uint64_t *)__builtin_frame_address(0)})

/* The same, later, from that function's frame address. */
BL_INLINE struct bl_origin bl_origin_at(const void *frame)
{
    const uint64_t *saved = frame;
    return (struct bl_origin){
        .pc = saved[1], .sp = (uint64_t)(uintptr_t)frame + 16, .rbp = saved[0]};
}

#define BL_WALK_UNROOTED 0x1u /* ended in code without unwind information */
#define BL_WALK_DEEP     0x2u /* more frames than were walked */
#define BL_WALK_FALLBACK 0x4u /* taken by libunwind */

/* The stack: frames[0 .. known) of the thread's array, outermost, then scratch[fresh-1 .. 0]. When
 * the walk was committed to the array, scratch still holds the innermost `fresh` frames. */
struct bl_walk {
    uint64_t hash;
    uint32_t known;
    uint32_t fresh;
    uint32_t flags;
};

/* depth: how many innermost frames will be recorded (walking stops there in runaway recursion). */
void bl_capture_walk(struct bl_thread_state *t, const struct bl_origin *o, uint32_t depth,
                     struct bl_walk *ret_walk);
enum bl_step {
    BL_STEP_ON,
    BL_STEP_ROOT, /* there is no caller */
    BL_STEP_LOST, /* no unwind information, or a signal's frame */
};
/* Moves to the caller's caller by unwind tables. high: end of the stack. */
enum bl_step bl_capture_step(struct bl_origin *at, uint64_t high);
/* Frame i of the walk, 0 = innermost. exact: an address where a signal struck, not a return. */
uint64_t bl_capture_pc(const struct bl_thread_state *t, const struct bl_walk *w, uint32_t i,
                       bool *ret_exact);

/* libunwind's unw_backtrace and unw_flush_cache, NULL when it is not there. */
void bl_capture_set_fallback(int (*backtrace)(void **, int), void (*flush)(void));
void bl_capture_flush(void);
/* libunwind tests addresses by writing them to a pipe of its own, which would take the
 * application's next two descriptor numbers. Its calls of pipe2 land in ours, which moves the pipe
 * out of the way and names it here. An application that wants one of the numbers gets it: libunwind
 * is given up. */
void bl_capture_set_pipe(const int fds[2]);
bool bl_capture_owns_fd(int fd);
void bl_capture_vacate_fd(int fd);

#endif
