/*
 * Per-thread state that must be reachable in one instruction, and the guard against re-entry.
 *
 * guard counts how deep this thread is inside the shim. While it is non-zero (a lock may be held, a
 * stack is being walked) every interposed function of this thread passes straight through; the
 * events of a signal handler that lands there are counted as events_reentrant. `internal` marks the
 * shim's own calls into libc (dlopen, pthread_create): what those allocate is not the target's.
 * Threads: own thread only; the helper looks whether guard is 0 (threads.h). Signal context: a
 * handler sees and restores a consistent count.
 */
#ifndef BL_GUARD_H
#define BL_GUARD_H

#include "compiler.h"

struct bl_thread_state;

/* A hooked call that is under way: see profile_events.h. */
struct bl_under_way {
    uint64_t handle;
    uint64_t sp; /* of its caller: what is at or below the current one has been left */
    const void *function;
    uint32_t record; /* what it began with, 0: nothing; see references.h */
    uint32_t serial;
    uint32_t stack;
    int32_t delta;
    uint8_t class_number;
    bool wraps; /* it stands for the calls inside it */
    bool gives_back;
    bool released; /* a release of its handle was seen inside it */
};
#define BL_UNDER_WAY 8u

/* Operations on a handle that is not known, yet perhaps: see references.c. */
struct bl_unborn {
    uint64_t handle; /* 0: none */
    uint64_t sp;     /* of the caller of the latest */
    uint32_t count;
};
#define BL_UNBORN 4u

struct bl_tls {
    uint32_t guard;
    uint32_t internal;
    struct bl_thread_state *thread; /* threads.h; NULL before the first event and at thread exit */
    void *recorded;                 /* address the latest alloc event of this thread recorded */
    size_t recorded_size;
    const void *wanted_frame; /* of an operator new that is about to call malloc; NULL: none */
    size_t wanted_size;       /* what it was asked for; see intercept_heap.c */
    uint32_t ignoring;        /* how deep in scopes whose births are to be ignored (annotate.h) */
    void *detached;           /* what an outer wrapper (delete) has ended: nothing more to note */
    void *sought;             /* and had no record; NULL: it had, or another was ended since */
    uint32_t moved_stack;     /* of the block that realloc has in hand; see sweep.h */
    uint32_t moved_thread;    /* who made it */
    uint32_t under_way_count;
    struct bl_under_way under_way[BL_UNDER_WAY]; /* outermost first */
    uint64_t beyond_sp;                          /* of the outermost call for which there was no
                                                    room among them; 0: none is under way */
    uint32_t unborn_at;                          /* the next to be overwritten */
    struct bl_unborn unborn[BL_UNBORN];
    /* A block that realloc has taken out of the table and not yet put back, 0: none. Written by the
     * thread, read while it is stopped. */
    uint64_t moving;
    uint64_t moving_bytes;
    uint64_t moving_new_bytes;
    bool limit_crossed; /* it waits for a snapshot as soon as it holds no lock; see limit.h */
    bool mask_stripped; /* it blocks all signals, but for the one of stop.h */
    bool exiting;       /* the thread's destructors have run: no new state for it */
};

extern BL_TLS struct bl_tls bl_tls;

/* Stores that another thread may look at, see bl_threads_grace_begin. A store of x86 releases what
 * came before it as it is; the fences are for the compiler. */
BL_INLINE void bl_guard_enter(void)
{
    bl_store_relaxed(&bl_tls.guard, bl_tls.guard + 1);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

BL_INLINE void bl_guard_leave(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    bl_store_relaxed(&bl_tls.guard, bl_tls.guard - 1);
}

BL_INLINE void bl_guard_enter_internal(void)
{
    bl_tls.internal++;
    bl_guard_enter();
}

BL_INLINE void bl_guard_leave_internal(void)
{
    bl_guard_leave();
    bl_tls.internal--;
}

#endif
