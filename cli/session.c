#include "session.h"

#include "ledgers.h"
#include "proc.h"
#include "reader.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS          1000 /* between looks at the process tree */
#define LOOK_EARLY_MS    100  /* the first, to say soon that something is not tracked */
#define LOOK_SOON_MS     50   /* once the program itself is gone, and something happened */
#define LOOKS_TO_BE_SURE 4

static bool is_ours(const struct bl_session *session, const struct bl_run_process *process)
{
    return session->owns_directory || process->is_member;
}

static bool is_member(struct bl_session *session, struct bl_run_process *process)
{
    return session->owns_directory || bl_run_tree_is_member(&session->tree, process);
}

/* Every signal that asks somebody to do something is passed on; faults and job control stay ours.
 * So does that nobody reads what we write, which is an error of the write: it must not end us in
 * the middle. */
static int catch_signals(struct bl_session *session, struct bl_error *error)
{
    static const int kept[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGABRT,
                               SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGSYS};
    sigset_t mask;
    sigfillset(&mask);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        sigdelset(&mask, kept[i]);
    sigprocmask(SIG_BLOCK, &mask, &session->old_mask);
    session->signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (session->signal_fd < 0)
        return bl_error_set(error, "cannot wait for signals: %s", strerror(errno));
    return 0;
}

_Noreturn static void become_program(const struct bl_session *session, int report_fd)
{
    int code = ENOMEM;
    if (bl_run_env_apply(&session->env) == 0) {
        sigprocmask(SIG_SETMASK, &session->old_mask, NULL);
        execvp(session->command[0], session->command);
        code = errno;
    }
    if (write(report_fd, &code, sizeof(code)) < 0)
        _exit(BL_CODE_NOT_EXECUTABLE);
    _exit(BL_CODE_NOT_EXECUTABLE);
}

/* 0, or the exit code for a program that could not be started. */
static int start_program(struct bl_session *session, struct bl_error *error)
{
    int ends[2];
    int code = 0;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        bl_error_set(error, "cannot start %s: %s", session->command[0], strerror(errno));
        return BL_CODE_FAILED;
    }
    session->child = fork();
    if (session->child == 0)
        become_program(session, ends[1]);
    close(ends[1]);
    if (session->child < 0)
        code = errno;
    else if (read(ends[0], &code, sizeof(code)) != (ssize_t)sizeof(code))
        code = 0;
    close(ends[0]);
    if (code == 0)
        return 0;
    if (session->child > 0)
        waitpid(session->child, NULL, 0);
    bl_error_set(error, "cannot execute %s: %s", session->command[0], strerror(code));
    return code == ENOENT ? BL_CODE_NOT_FOUND : BL_CODE_NOT_EXECUTABLE;
}

/* What the program is told for one key of BUFLEAK_OPTIONS; `otherwise` when nothing. */
static const char *shim_option(const struct bl_session *session, const char *key,
                               const char *otherwise, char *out, size_t size)
{
    const char *found = otherwise;
    size_t key_length = strlen(key);
    for (const char *item = session->env.options; *item;) {
        size_t length = strcspn(item, ":");
        if (length > key_length && length - key_length <= size && item[key_length] == '=' &&
            strncmp(item, key, key_length) == 0) {
            memcpy(out, item + key_length + 1, length - key_length - 1);
            out[length - key_length - 1] = '\0';
            found = out;
        }
        item += length + (item[length] == ':');
    }
    return found;
}

static void announce(struct bl_session *session)
{
    char name[64];
    const char *signal = shim_option(session, "signal", "USR1", name, sizeof(name));
    struct bl_proc process;
    if (session->is_announced || session->is_quiet)
        return;
    session->is_announced = true;
    if (bl_proc_read(session->child, &process) == 0)
        memcpy(session->child_name, process.comm, sizeof(session->child_name));
    if (strcmp(signal, "none") == 0)
        bl_say("tracking %s[%d]; bufleak dump %d for a report", session->child_name,
               (int)session->child, (int)session->child);
    else
        bl_say("tracking %s[%d]; kill -%s %d or bufleak dump %d for a report", session->child_name,
               (int)session->child, strncasecmp(signal, "SIG", 3) == 0 ? signal + 3 : signal,
               (int)session->child, (int)session->child);
}

/* Marked as replaced by exec, and not yet replaced, or never, because the file was not there: until
 * then it has its ledger mapped. */
static bool is_about_to_exec(struct bl_target *target)
{
    struct bl_header header = target->header;
    const char *slash = strrchr(target->path, '/');
    struct stat status;
    if (header.state != BL_STATE_EXECED || fstat(target->fd, &status) < 0)
        return false;
    header.state = BL_STATE_RUNNING;
    return bl_proc_find_writer(&header, &target->process) &&
           bl_proc_maps_file(target->process.pid, status.st_ino, slash ? slash + 1 : target->path);
}

/* A ledger that is being made has no header yet: only a finished file is worth a word. */
static bool open_target(struct bl_target *target, const char *path, bool is_finished)
{
    struct bl_error error = {""};
    *target = (struct bl_target){.fd = bl_ledgers_open(path, false)};
    if (target->fd < 0)
        return false;
    target->path = strdup(path);
    if (!target->path || bl_reader_read_header(target->fd, path, &target->header, &error) < 0) {
        if (*error.text && is_finished)
            bl_say("%s", error.text);
        bl_target_deinit(target);
        return false;
    }
    target->is_running =
        bl_proc_find_writer(&target->header, &target->process) || is_about_to_exec(target);
    /* it may have gone on, and ended, since its header was read */
    if (!target->is_running)
        bl_reader_read_header(target->fd, path, &target->header, &error);
    return true;
}

static void report_snapshot(struct bl_session *session, struct bl_run_process *process,
                            const struct bl_ledger_file *file)
{
    struct bl_target target;
    if (!session->handlers->snapshot || file->snapshot <= process->snapshots_done ||
        !is_member(session, process))
        return;
    process->snapshots_done = file->snapshot;
    if (!open_target(&target, file->path, true))
        return;
    session->handlers->snapshot(session->context, &target);
    bl_target_deinit(&target);
}

/* Hands on a process once it has ended; a program replaced by exec goes on under another ledger. */
static void report_end(struct bl_session *session, struct bl_run_process *process, bool is_last)
{
    struct bl_target target;
    if (process->is_done || !process->path || !is_member(session, process) ||
        !open_target(&target, process->path, is_last))
        return;
    if (!target.is_running) {
        process->is_done = true;
        session->handlers->end(session->context, &target);
    }
    bl_target_deinit(&target);
}

static void take_events(struct bl_session *session)
{
    struct bl_watch_event event;
    while (bl_watch_next(session->watch, &event)) {
        struct bl_run_process *process = bl_run_tree_take(&session->tree, &event.file);
        switch (process ? event.kind : BL_WATCH_LEDGER) {
        case BL_WATCH_LEDGER:
            if (process && is_member(session, process))
                announce(session);
            break;
        case BL_WATCH_CLOSED:
            report_end(session, process, false);
            break;
        case BL_WATCH_SNAPSHOT:
            report_snapshot(session, process, &event.file);
            break;
        }
        free(event.file.path);
    }
}

/* Everything that ended without an event. */
static void sweep(struct bl_session *session)
{
    struct bl_ledger_list list = {0};
    struct bl_error ignored;
    uint64_t since = session->tree.count > 0 ? session->tree.processes[0].start_us : UINT64_MAX;
    take_events(session);
    bl_ledgers_scan(&list, session->env.directory, &ignored);
    for (size_t i = 0; i < list.count; i++)
        if (list.files[i].snapshot == 0 && list.files[i].start_us >= since)
            bl_run_tree_take(&session->tree, &list.files[i]);
    bl_ledgers_deinit(&list);
    for (size_t i = 0; i < session->tree.count; i++)
        report_end(session, &session->tree.processes[i], true);
}

static struct bl_suspect *find_suspect(struct bl_session *session, const struct bl_proc *process)
{
    for (size_t i = 0; i < session->suspect_count; i++)
        if (session->suspects[i].pid == process->pid &&
            session->suspects[i].start_ticks == process->start_ticks)
            return &session->suspects[i];
    struct bl_suspect *grown =
        realloc(session->suspects, (session->suspect_count + 1) * sizeof(*grown));
    if (!grown)
        return NULL;
    session->suspects = grown;
    grown[session->suspect_count] =
        (struct bl_suspect){.pid = process->pid, .start_ticks = process->start_ticks};
    return &grown[session->suspect_count++];
}

/* Why a process goes without the shim; NULL when it does not, or nothing can be said. One that we
 * may not look at although it is below us runs with other credentials than ours. */
static const char *why_untracked(const struct bl_session *session, pid_t pid,
                                 enum bl_proc_preload state)
{
    if (state != BL_PROC_UNREADABLE)
        return bl_proc_preload_text(state);
    for (size_t i = 0; i < session->tree.count; i++)
        if (is_ours(session, &session->tree.processes[i]) &&
            session->tree.processes[i].pid == (uint32_t)pid && !session->tree.processes[i].is_done)
            return NULL;
    return "it runs with other credentials (setuid or file capabilities): the kernel dropped "
           "LD_PRELOAD (AT_SECURE)";
}

static void look_at(struct bl_session *session, pid_t pid)
{
    struct bl_proc process;
    if (bl_proc_read(pid, &process) < 0)
        return;
    struct bl_suspect *suspect = find_suspect(session, &process);
    /* the same process under another name has called exec since */
    if (!suspect || (suspect->is_fine && strcmp(suspect->comm, process.comm) == 0) ||
        suspect->was_said)
        return;
    memcpy(suspect->comm, process.comm, sizeof(suspect->comm));
    enum bl_proc_preload state = bl_proc_preload_state(pid);
    const char *why = why_untracked(session, pid, state);
    bool is_sure = state == BL_PROC_STATIC || state == BL_PROC_AT_SECURE || suspect->why == why;
    suspect->why = why;
    suspect->is_fine = state == BL_PROC_MAPPED;
    if (!why || !is_sure)
        return;
    suspect->was_said = true;
    bl_say("%s[%d] is not tracked: %s", process.comm, (int)pid, why);
}

static void say_shared_signal(const struct bl_session *session, struct bl_run_process *process)
{
    struct bl_target target;
    struct bl_reader *reader = NULL;
    struct bl_error ignored;
    if (process->is_signal_said || process->is_done || !is_ours(session, process) ||
        !process->path || !open_target(&target, process->path, false))
        return;
    if (target.is_running &&
        bl_reader_create(&reader, target.fd, target.path, BL_READER_SUMMARY, &ignored) == 0) {
        for (uint32_t i = 0; i < bl_reader_count(reader, BL_SECTION_HOOKS); i++) {
            const struct bl_hook *hook = bl_reader_hook(reader, i);
            char function[64];
            char why[256];
            if (!hook || !bl_reader_name_text(reader, hook->why_name, why, sizeof(why)) ||
                !bl_reader_name_text(reader, hook->function_name, function, sizeof(function)) ||
                strncmp(function, "signal:", 7) != 0)
                continue;
            process->is_signal_said = true;
            bl_say("%s[%d]: SIG%s: %s", target.process.comm, (int)target.process.pid, function + 7,
                   why);
        }
        bl_reader_destroy(reader);
    }
    bl_target_deinit(&target);
}

struct around {
    size_t tracked;
    size_t alive;
};

/* Looks at everything below us. */
static struct around look_around(struct bl_session *session)
{
    pid_t *pids = NULL;
    struct around around = {.alive = bl_proc_descendants(getpid(), &pids)};
    for (size_t i = 0; i < around.alive; i++) {
        look_at(session, pids[i]);
        around.tracked += bl_proc_has_shim(pids[i]);
    }
    free(pids);
    for (size_t i = 0; i < session->tree.count; i++)
        say_shared_signal(session, &session->tree.processes[i]);
    return around;
}

static void reap(struct bl_session *session)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != session->child)
            continue;
        session->child_ended = true;
        session->child_status = status;
    }
}

/* To the program; once it is gone, to the orphans it left with us. */
static void forward(const struct bl_session *session, const struct signalfd_siginfo *info)
{
    /* what a terminal sends, it sends to the program too */
    bool from_terminal = info->ssi_code == SI_KERNEL;
    if (!session->child_ended) {
        if (!from_terminal)
            kill(session->child, (int)info->ssi_signo);
        return;
    }
    pid_t *pids = NULL;
    size_t count = bl_proc_descendants(getpid(), &pids);
    for (size_t i = 0; i < count; i++) {
        struct bl_proc process;
        if (bl_proc_read(pids[i], &process) == 0 && process.ppid == getpid())
            kill(pids[i], (int)info->ssi_signo);
    }
    free(pids);
}

static void take_signals(struct bl_session *session)
{
    struct signalfd_siginfo info;
    while (read(session->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        /* first, because a signal for a program that is gone is for what it left */
        reap(session);
        bool is_own = info.ssi_signo == SIGPIPE && info.ssi_pid == (uint32_t)getpid();
        if (info.ssi_signo != SIGCHLD && !is_own)
            forward(session, &info);
        session->is_interrupted |= info.ssi_signo == SIGINT || info.ssi_signo == SIGTERM ||
                                   info.ssi_signo == SIGHUP || info.ssi_signo == SIGQUIT;
    }
}

static void say_child_end(struct bl_session *session, size_t tracked)
{
    char signal[BL_TEXT_NUMBER];
    bool was_said = session->is_end_said;
    session->is_end_said = true;
    if (was_said)
        return;
    if (WIFSIGNALED(session->child_status))
        bl_say("%s[%d] was killed by %s", session->child_name, (int)session->child,
               bl_text_signal(signal, WTERMSIG(session->child_status)));
    if (tracked > 0 && !session->is_quiet)
        bl_say("%s[%d] has ended; %zu process%s it left %s still tracked", session->child_name,
               (int)session->child, tracked, tracked == 1 ? "" : "es", tracked == 1 ? "is" : "are");
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Sleeps until something happens or it is time to look around. */
static bool await_event(const struct bl_session *session, uint64_t look_ms)
{
    struct pollfd fds[] = {{.fd = session->signal_fd, .events = POLLIN},
                           {.fd = bl_watch_fd(session->watch), .events = POLLIN}};
    uint64_t now = now_ms();
    return poll(fds, 2, look_ms > now ? (int)(look_ms - now) : 0) > 0;
}

/* Until the program and every tracked process it left have ended. */
static void follow(struct bl_session *session)
{
    char value[8];
    bool is_followed = strcmp(shim_option(session, "follow", "1", value, sizeof(value)), "0") != 0;
    bool end_was_said = false;
    int doubts = 0;
    uint64_t until_ms = UINT64_MAX;
    uint64_t look_ms = now_ms() + LOOK_EARLY_MS;
    for (;;) {
        bool something = await_event(session, look_ms);
        take_signals(session);
        take_events(session);
        uint64_t now = now_ms();
        if (session->is_interrupted && session->linger_ms > 0 && session->child_ended)
            look_ms = until_ms = now;
        if (session->child_ended && (something || !end_was_said) && look_ms > now + LOOK_SOON_MS)
            look_ms = end_was_said ? now + LOOK_SOON_MS : now;
        if (now < look_ms)
            continue;
        struct around around = look_around(session);
        look_ms = now_ms() + LOOK_MS;
        if (!session->child_ended)
            continue;
        if (!end_was_said) {
            say_child_end(session, is_followed ? around.tracked : 0);
            if (session->linger_ms > 0 && !session->is_interrupted)
                until_ms = now + session->linger_ms;
        }
        end_was_said = true;
        session->left = around.tracked;
        if (around.alive == 0 || !is_followed || now >= until_ms)
            return;
        if (look_ms > until_ms)
            look_ms = until_ms;
        /* between exec and its loader a process is without the shim */
        doubts = around.tracked > 0 ? 0 : doubts + 1;
        if (doubts > LOOKS_TO_BE_SURE)
            return;
        if (doubts > 0)
            look_ms = now_ms() + LOOK_SOON_MS;
    }
}

void bl_session_await(struct bl_session *session)
{
    session->is_interrupted = false; /* of then; again, it ends this too */
    follow(session);
    sweep(session);
}

void bl_session_stop(const struct bl_session *session)
{
    pid_t *pids = NULL;
    size_t count = bl_proc_descendants(getpid(), &pids);
    for (size_t i = 0; i < count; i++)
        if (pids[i] != session->child || session->child_ended)
            kill(pids[i], SIGTERM);
    free(pids);
}

void bl_session_each_running(struct bl_session *session,
                             void (*visit)(void *context, struct bl_target *target))
{
    for (size_t i = 0; i < session->tree.count; i++) {
        struct bl_run_process *process = &session->tree.processes[i];
        struct bl_target target;
        if (process->is_done || !process->path || !is_member(session, process) ||
            !open_target(&target, process->path, false))
            continue;
        if (target.is_running)
            visit(session->context, &target);
        bl_target_deinit(&target);
    }
}

bool bl_session_was_tracked(const struct bl_session *session)
{
    for (size_t i = 0; i < session->tree.count; i++)
        if (is_ours(session, &session->tree.processes[i]))
            return true;
    return false;
}

int bl_session_code(const struct bl_session *session)
{
    return WIFSIGNALED(session->child_status) ? 128 + WTERMSIG(session->child_status)
                                              : WEXITSTATUS(session->child_status);
}

int bl_session_open(struct bl_session *session, struct bl_error *error)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t since_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
    session->signal_fd = -1;
    if (bl_run_env_find_shim(&session->env, error) < 0 ||
        (!*session->env.directory && bl_run_env_find_directory(&session->env, error) < 0) ||
        bl_watch_create(&session->watch, session->env.directory, since_us, error) < 0 ||
        catch_signals(session, error) < 0)
        return -1;
    /* daemons and other orphans of the program stay below us */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return 0;
}

void bl_session_close(struct bl_session *session)
{
    if (session->signal_fd >= 0) {
        sigset_t unread;
        const struct timespec at_once = {0};
        sigemptyset(&unread);
        sigaddset(&unread, SIGPIPE);
        while (sigtimedwait(&unread, NULL, &at_once) == SIGPIPE)
            ;
        close(session->signal_fd);
        sigprocmask(SIG_SETMASK, &session->old_mask, NULL);
    }
    bl_watch_destroy(session->watch);
    bl_run_tree_deinit(&session->tree);
    free(session->suspects);
    session->suspects = NULL;
    session->signal_fd = -1;
    session->watch = NULL;
}

bool bl_session_has_successor(const struct bl_session *session, uint32_t pid, uint64_t start_ns)
{
    for (size_t i = 0; i < session->tree.count; i++)
        if (session->tree.processes[i].pid == pid &&
            session->tree.processes[i].start_us > start_ns / 1000 + 1)
            return true;
    return false;
}

int bl_session_run(struct bl_session *session, struct bl_error *error)
{
    const char *slash = strrchr(session->command[0], '/');
    snprintf(session->child_name, sizeof(session->child_name), "%s",
             slash ? slash + 1 : session->command[0]);
    session->child_ended = false;
    session->is_end_said = false;
    int code = start_program(session, error);
    if (code != 0)
        return code;
    bl_session_await(session);
    return 0;
}
