/*
 * The snapshot signal, shared with an application that may handle it too.
 *
 * The shim's handler is the one the kernel knows; the application's action for that signal is kept
 * here, shown to it by sigaction and called after ours, with its flags and mask. The handler only
 * counts the request and wakes the helper thread. Where every thread blocks the signal, the helper
 * finds it pending (bl_signals_collect). Where the application takes it by sigwait or signalfd, it
 * is left to the application. Threads: any. Signal context: the handler; the rest as sigaction.
 * Allocates nothing.
 */
#ifndef BL_SIGNALS_H
#define BL_SIGNALS_H

#include "compiler.h"

#include <signal.h>

/* Installs the handler. number 0: nothing is ever done. */
void bl_signals_init(int number);
BL_INLINE bool bl_signals_is_ours(int number);
extern int bl_signals_number;
BL_INLINE bool bl_signals_is_ours(int number)
{
    return BL_UNLIKELY(number == bl_signals_number && number != 0);
}

/* sigaction for our signal, as the application sees it. Either may be NULL. 0 or -1 and errno. */
int bl_signals_action(const struct sigaction *action, struct sigaction *ret_old);
/* The application waits for signals in `set` by itself. */
void bl_signals_note_wait(const sigset_t *set);
/* The helper's turn: takes a signal that is pending because nobody can receive it. Returns true
 * when there was one to answer. */
bool bl_signals_collect(void);
/* In a forked child: pending signals are not inherited. */
void bl_signals_after_fork(void);
/* An exec inherits SIG_IGN but not handlers: show the kernel what the application wanted. */
void bl_signals_before_exec(void);
/* It failed, or another process did it (posix_spawn). errno is kept. */
void bl_signals_after_exec(void);

#endif
