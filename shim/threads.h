/*
 * What the shim keeps for each thread of the target: its number in the ledger, the bounds of its
 * stack, and the frames of its latest stack (capture.h).
 *
 * Owns: the states, in private memory, pooled and reused; the target's TLS holds one pointer.
 * Threads: a state belongs to its thread; the pool takes BL_RANK_THREADS inside. Needs the guard.
 * Signal context: safe under the guard. Errors: NULL, when there is no memory.
 *
 * Bounds come from pthread_getattr_np in the thread's first function, never lazily: inside malloc
 * the thread may hold its own pthread lock (the JVM does) and the call would wait for itself.
 */
#ifndef BL_THREADS_H
#define BL_THREADS_H

#include "clock.h"
#include "compiler.h"
#include "guard.h"

#define BL_FRAMES_MAX  1024u
#define BL_MEMO_SIZE   1024u
#define BL_FLIGHTS     16u
#define BL_NOTED       128u
#define BL_FOUND       128u
#define BL_LIVED       128u
#define BL_WALKED      16u
#define BL_JAVA_FRAMES 256u
#define BL_JAVA_MEMO   512u
#define BL_SPARES      64u

/* Invariant: frames[0 .. frame_count) are outermost first, sp strictly falling. Frame k continues
 * at pc with stack pointer sp; the call that left it pushed pc at sp - 8. */
struct bl_walk_frame {
    uint64_t sp;
    uint64_t pc;
};

struct bl_walk_detail {
    uint64_t hash;     /* of frames 0 .. k, see stacks.h */
    uint64_t rbp;      /* value of rbp in frame k */
    uint64_t rbp_slot; /* where it was loaded from; 0 = a callee had it in the register */
    bool demands_rbp;  /* unwinding frame k, or further out, uses rbp */
    uint32_t trie;     /* frames 0 .. k in the trie of stacks; 0: not entered, or not known */
};

struct bl_scratch_frame {
    uint64_t sp;
    uint64_t pc; /* exact addresses are kept as pc + 1, so that pc - 1 is inside the function */
    uint64_t rbp;
    uint64_t rbp_slot;
    bool uses_rbp;
    bool passes_rbp;
    bool exact;
};

struct bl_memo {
    uint64_t hash;
    uint32_t stack;
    uint16_t births_left; /* until the next one whose end is recorded; see stacks.c */
    uint16_t watched;     /* how many were, about */
};

/* An operation on references that was noted before it was done, see flights.h. */
struct bl_flight {
    uint64_t key; /* of the object */
    uint64_t sp;  /* of the function's caller: the function has returned when sp is back there */
    int32_t delta;
};

/* Where an operation of this thread was found in a long history, see history.c. */
struct bl_noted {
    const void *object;
    uint32_t serial;
    uint32_t lists; /* 0: unused */
    uint32_t stack;
    uint32_t event;
    int32_t delta;
    uint16_t op;
};

/* Which operations the history of an object has at most, see history.c. */
struct bl_walked {
    const void *object;
    uint32_t serial;
    uint32_t lists;
    uint32_t newest; /* event, when it was looked at */
    uint64_t bits[2];
};

/* The record of a lifecycle that a buffer of this thread's ended with, see history.c. */
struct bl_lived {
    uint64_t hash;
    uint32_t record; /* 0: unused */
};

/* Where the index of references last led this thread, see ref_index.h. */
struct bl_found {
    uint64_t handle;
    uint32_t record;      /* 0: unused */
    uint8_t asked_class;  /* of the function called */
    uint8_t class_number; /* of the buffer */
};

/* The chain of frame pointers that led to the thread's latest Java stack, outermost first; see
 * jvm/java_stack.c. */
struct bl_java_frame {
    bl_pair held; /* what is there: the frame pointer that the frame's caller had, and where it
                     goes on */
    const uint64_t *at; /* the frame */
    uint64_t hash;      /* of this and all before */
};
/* Of one that returns into the interpreter: what its caller executes. */
struct bl_java_interpreted {
    uint32_t frame;
    const uint64_t *base; /* of the caller's frame */
    uint64_t method;
    uint64_t position;
    uint64_t variables;
};
#define BL_JAVA_FORESEEN 11u
/* A chain that the thread met, and what followed it the last time: threads do the same over and
 * over. A hint, whatever it says. */
struct bl_java_known {
    uint64_t hash; /* of the chain */
    uint32_t value;
    uint32_t next;                 /* place of what was met after it */
    uint16_t standing;             /* so many of its frames, outermost first, stood then */
    uint16_t fresh;                /* so many others came; 0: unknown */
    uint32_t at[BL_JAVA_FORESEEN]; /* where, outermost first: words from the stack's high end */
} BL_ALIGNED(64);

struct bl_java_passing; /* jvm/java_assembly.c */

/* Records of a slab that a thread may take without a lock, see slab.h. */
struct bl_spares {
    uint32_t epoch; /* of the slab */
    uint32_t count;
    uint32_t records[BL_SPARES];
};
enum bl_spares_of { BL_SPARES_OBJECTS, BL_SPARES_EVENTS, BL_SPARES_KINDS };

struct bl_thread_state {
    uint32_t number;     /* in the ledger; 0 = not recorded */
    uint32_t own_number; /* the thread's first; number is another one in a test */
    uint32_t test_name;  /* in the ledger's names; 0 = none */
    uint32_t tid;
    uint64_t stack_low; /* 0 = bounds unknown: every stack is walked in full */
    uint64_t stack_high;
    const struct bl_tls *tls; /* NULL: the state is of no thread */
    uint64_t tcb;             /* the thread's control block: where libc keeps it */
    uint64_t entry;           /* its stack, but for what it began with, is below */
    uint32_t epoch;           /* of the loaded modules that frames[] was taken under */
    uint32_t frame_count;
    uint32_t need_count;
    bool deep; /* the stack was deeper than BL_FRAMES_MAX: only the innermost frames are walked */
    uint64_t event_ns;   /* of its latest, see bl_threads_event_ns */
    int64_t sample_left; /* bytes until the next sampled block */
    uint64_t random;
    uint32_t java_serial; /* jvm/: the next of the numbers set aside for this thread */
    uint32_t java_serials_left;
    uint32_t java_hits; /* stacks recognised since the last check */
    uint32_t attached;  /* counts the threads that the state was of */
    uint64_t java_held; /* by the buffer that is about to be born as java_holder is */
    uint64_t java_holder;
    uint32_t java_apart; /* stacks between two checks; 0: none was made yet */
    bool java_named;
    struct bl_java_passing *java_passing; /* NULL: nothing was ever asked of the thread */
    uint64_t java_epochs;                 /* that java_frames are of */
    uint64_t java_seed;                   /* of the hashes in java_frames; 0: none yet */
    uint32_t java_frame_count;
    uint32_t java_interpreted_count;
    uint32_t java_met;  /* place of what was met last, in java_known */
    bool may_be_inside; /* (threads lock) not yet seen outside the shim in this grace period */
    struct bl_thread_state *next_free; /* (threads lock) */
    struct bl_thread_state *next;      /* all states; never changes */
    struct bl_spares spares[BL_SPARES_KINDS];
    uint32_t flight_count;
    struct bl_flight flights[BL_FLIGHTS]; /* outermost first; written by the thread, read by all */
    struct bl_walk_frame frames[BL_FRAMES_MAX];
    struct bl_walk_detail details[BL_FRAMES_MAX];
    uint16_t need[BL_FRAMES_MAX]; /* the frames that demand rbp and loaded it from a slot */
    struct bl_scratch_frame scratch[BL_FRAMES_MAX];
    struct bl_memo memo[BL_MEMO_SIZE];
    struct bl_noted noted[BL_NOTED];
    struct bl_found found[BL_FOUND];
    struct bl_lived lived[BL_LIVED];
    struct bl_walked walked[BL_WALKED];
    struct bl_java_frame java_frames[BL_JAVA_FRAMES];
    struct bl_java_interpreted java_interpreted[BL_JAVA_FRAMES]; /* in the order of java_frames */
    struct bl_java_known java_known[BL_JAVA_MEMO];
};

/* Stacks of threads that have ended, which libc may have kept for others to come. */
#define BL_DEAD_STACKS 1024u
struct bl_dead_stack {
    uint64_t low; /* 0: none */
    uint64_t high;
    uint64_t tcb;
};
extern struct bl_dead_stack bl_dead_stacks[BL_DEAD_STACKS]; /* (threads lock) */

/* Once, in the constructor, on the main thread. */
void bl_threads_init(void);
/* First thing in a new thread: bounds are learnt here. test_name: of the thread that made it. Calls
 * libc. */
void bl_threads_enter(uint32_t test_name);
/* What the calling thread allocates from now on belongs to this test, a name of the ledger; 0: to
 * none. Threads that it makes inherit it, as do forked children. */
void bl_threads_set_test(uint32_t test_name);
/* Signal context: safe, also in a vfork child. */
uint32_t bl_threads_test(void);
/* Takes the calling thread's name as it is now into the ledger. */
void bl_threads_read_name(const struct bl_thread_state *t);
/* The state of the calling thread, made on first use. NULL: no memory, or the thread is ending. */
struct bl_thread_state *bl_threads_current_slow(void);
BL_INLINE struct bl_thread_state *bl_threads_current(void)
{
    struct bl_thread_state *t = bl_tls.thread;
    return BL_LIKELY(t != NULL) ? t : bl_threads_current_slow();
}

/* The time of an event of a reference. Those of a thread are in order, also within one tick of the
 * clock: a nanosecond apart then, less than any of them takes, so that none is in the future. */
BL_INLINE uint64_t bl_threads_event_ns(void)
{
    struct bl_thread_state *t = bl_tls.thread;
    uint64_t now_ns = bl_clock_event_ns();
    if (BL_UNLIKELY(!t))
        return now_ns;
    t->event_ns = now_ns > t->event_ns ? now_ns : t->event_ns + 1;
    return t->event_ns;
}

/* The first of all states that were ever in use, for a look at them from any thread. */
struct bl_thread_state *bl_threads_all(void);

/* A grace period: every thread has been outside the shim since it began, be it for a moment.
 * Whatever a thread did under its guard before is done and seen; what it does now it does with all
 * that was stored before. It costs the threads nothing: the kernel makes them all pass a barrier,
 * then their guards are looked at. By the helper, one at a time. False: the kernel knows no such
 * barrier. */
bool bl_threads_grace_begin(void);
/* Looks once. */
bool bl_threads_grace_over(void);
/* Calls `see` for each stack that a thread keeps for a call it is in. */
void bl_threads_see_stacks(void (*see)(uint32_t stack));
/* The same of numbers of threads: who made the block that realloc has in hand. */
void bl_threads_see_numbers(void (*see)(uint32_t number));

void bl_threads_lock(void);
void bl_threads_unlock(void);
/* In a forked child: only the calling thread is left; it is a new one in the ledger. Sets the lock
 * free. */
void bl_threads_after_fork(uint32_t test_name);

#endif
