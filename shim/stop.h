/*
 * Stopping the program's threads for a moment, by a signal, never by ptrace.
 *
 * The handler notes where its frame is (all registers lie above it) and waits until it is let go.
 * A system call that the signal broke off is started again by the kernel, as if nothing had been:
 * where the kernel would not do so by itself, the handler sets the program counter back on it.
 * Threads that do not answer are looked up in /proc: one that waits in the kernel cannot change
 * its memory before it has run our handler, and is counted as degraded, because its registers are
 * not seen; one that runs and cannot be stopped makes the whole attempt fail.
 *
 * The signal is chosen at the start, and its handler set when it is first needed. From then on the
 * application's own action for it is kept here, shown by sigaction and called for signals that are
 * not ours. Masks that block everything leave ours open (bl_stop_strip); the application sees what
 * it set.
 *
 * Owns the table of threads. One attempt at a time, the caller sees to that. Threads may be stopped
 * anywhere, also with locks of the shim held: the caller takes those that it needs before.
 * Signal context: the handler. Allocates nothing but the table. Errors: -errno.
 */
#ifndef BL_STOP_H
#define BL_STOP_H

#include "compiler.h"
#include "guard.h"

#include <signal.h>

enum bl_stop_state {
    BL_STOP_FREE = 0,
    BL_STOP_SENT = 1,
    BL_STOP_STOPPED = 2,
    BL_STOP_DEGRADED = 3, /* in the kernel: sp is exact, other registers are unknown */
    BL_STOP_GONE = 4,
    BL_STOP_ANSWERING = 5,
};

struct bl_stop_thread {
    uint64_t word; /* atomic: the attempt, and in the lower half enum bl_stop_state in that */
    uint32_t tid;
    uint32_t owed;      /* atomic: signals of ours that it has not taken yet */
    uint64_t frame;     /* of the signal: registers from here on, and the stack that was in use */
    uint64_t frame_end; /* of the registers */
    uint64_t sp;        /* where it was interrupted */
    uint64_t pc;
    uint64_t rbp;
    uint64_t alt_start; /* alternate signal stack */
    uint64_t alt_end;
    const struct bl_tls *tls; /* NULL: unknown */
    /* the last system call it was seen in when asked, from /proc: number, three arguments, pc */
    uint64_t call[5];
    bool has_call; /* atomic */
    uint32_t next; /* of those in use, + 1 */
};

BL_INLINE enum bl_stop_state bl_stop_state(const struct bl_stop_thread *t)
{
    return (enum bl_stop_state)(uint32_t)bl_load_acquire(&t->word);
}

#define BL_STOP_THREADS    32768u
#define BL_STOP_EVERYTHING 40 /* a mask of that many signals is meant to block all of them */

struct bl_stop {
    struct bl_stop_thread *table; /* by a hash of the tid */
    uint32_t first;               /* of those in use, + 1 */
    uint32_t count;               /* asked */
    uint32_t stopped;
    uint32_t degraded;
};

extern int bl_stop_signal; /* 0: none */
BL_INLINE bool bl_stop_is_ours(int number)
{
    return BL_UNLIKELY(number == bl_stop_signal && number != 0);
}

bool bl_stop_is_installed(void);
/* number: of a real-time signal; 0: never stop anybody. */
void bl_stop_init(int number);
/* Stops all threads but the caller and `exempt`. On an error all run, and *ret_why says why. */
int bl_stop_all(uint32_t exempt, struct bl_stop *ret_stop, const char **ret_why);
/* Lets them go on. */
void bl_stop_resume(void);
/* In a forked child: there are no other threads. */
void bl_stop_after_fork(void);
/* The table's pages, which are not the program's. */
void bl_stop_table(uint64_t *ret_start, uint64_t *ret_end);

/* sigaction for our signal. 0 or -1 and errno. */
int bl_stop_action(const struct sigaction *action, struct sigaction *ret_old);
/* The mask that the kernel is to be given in place of `set`: a copy in *room without our signal if
 * it is one of those that block everything, else `set` itself. */
const sigset_t *bl_stop_strip(const sigset_t *set, sigset_t *room);

#endif
