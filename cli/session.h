/*
 * One command run tracked, with everything that it starts, until all of it has ended.
 *
 * The command is started with the shim preloaded; its orphans become our children, signals that ask
 * for something are passed on, and what happens to the ledgers is handed to the caller as it
 * happens. Processes that go without the shim are named on stderr, with the reason.
 *
 * Owns the command's process, the inotify watch, the signal mask of the caller from open to close.
 * Not for threads.
 */
#ifndef BL_SESSION_H
#define BL_SESSION_H

#include "error.h"
#include "run_env.h"
#include "run_tree.h"
#include "target.h"
#include "watch.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Called between waits; the target is valid during the call. */
struct bl_session_handlers {
    void (*snapshot)(void *context, struct bl_target *target); /* NULL: of no interest */
    void (*end)(void *context, struct bl_target *target);      /* also of one that called exec */
};

/* A process below us that goes without the shim, or may: the first look can come between its exec
 * and its loader. */
struct bl_suspect {
    pid_t pid;
    uint64_t start_ticks;
    char comm[64];
    const char *why;
    bool was_said;
    bool is_fine;
};

struct bl_session {
    /* the caller's */
    struct bl_run_env env;
    char **command;
    const struct bl_session_handlers *handlers;
    void *context;
    bool owns_directory; /* every ledger in it is one of this session */
    bool is_quiet;       /* does not say what is tracked, nor what outlives the command */
    uint64_t linger_ms;  /* how long what outlives the command is waited for; 0: until it ends. Not
                            once we are asked to end ourselves, unless it is 0 */

    /* for the caller to look at */
    pid_t child;
    char child_name[64];
    int child_status;
    size_t left; /* tracked processes that were not waited for any longer */
    struct bl_run_tree tree;
    struct bl_suspect *suspects;
    size_t suspect_count;

    bool child_ended;
    bool is_end_said;
    bool is_interrupted; /* asked to end: INT, TERM, HUP or QUIT came */
    sigset_t old_mask;
    int signal_fd;
    bool is_announced;
    struct bl_watch *watch;
};

/* Finds the shim, and the directory unless env names one. On failure, too, bl_session_close is due.
 */
int bl_session_open(struct bl_session *session, struct bl_error *error);
void bl_session_close(struct bl_session *session);

/* Starts the command and follows it to its end; may be called again. 0, or the exit code for a
 * command that could not be started. */
int bl_session_run(struct bl_session *session, struct bl_error *error);

/* Waits for what outlived the command, again for linger_ms. */
void bl_session_await(struct bl_session *session);

/* Asks what outlived the command to end, by SIGTERM. */
void bl_session_stop(const struct bl_session *session);

/* Calls `visit` for each tracked process that runs. */
void bl_session_each_running(struct bl_session *session,
                             void (*visit)(void *context, struct bl_target *target));

/* Did anything leave a ledger? */
bool bl_session_was_tracked(const struct bl_session *session);

/* Is there a ledger of this process that began later? What it became by exec is tracked then. */
bool bl_session_has_successor(const struct bl_session *session, uint32_t pid, uint64_t start_ns);

/* The command's own: its status, or 128 + its signal. */
int bl_session_code(const struct bl_session *session);

#endif
