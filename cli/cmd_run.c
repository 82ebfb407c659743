#include "commands.h"

#include "args.h"
#include "ledgers.h"
#include "proc.h"
#include "reader.h"
#include "report.h"
#include "run_env.h"
#include "run_tree.h"
#include "text.h"
#include "view.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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

static const char help[] =
    "Usage: bufleak run [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
    "Starts a program tracked, and reports on stderr at every snapshot and at exit.\n"
    "A snapshot is made by `kill -USR1 PID` or `bufleak dump PID`. The exit code is the "
    "program's.\n"
    "\n"
    "  --output FILE         write the reports there\n"
    "  --exit-report KIND    full, summary or none (default: full, but one line for child\n"
    "                        processes that end with little unreleased)\n"
    "  --depth N             frames to record of a stack (default 64)\n"
    "  --signal NAME         the snapshot signal, a name or a number, or none (default USR1)\n"
    "  --sample SIZE         record one heap block per SIZE bytes on average (1 = every block)\n"
    "  --interval AGE        between growth samples (default 1s)\n"
    "  --mmap                track mmap'd regions as well\n"
    "  --no-follow           do not track children\n"
    "  --no-at-exit          do nothing at exit\n"
    "  --profiles LIST       profiles of buffer classes, by name or path (default auto)\n"
    "  --no-quiet            let the tracked program announce its snapshots on "
    "stderr\n" BL_REPORT_HELP "  --help                this text\n"
    "\n"
    "BUFLEAK_OPTIONS of the environment is kept where no option replaces it.\n";

/* How an option of the shim is checked before it is passed on. */
enum option_check { CHECK_NUMBER, CHECK_SIGNAL, CHECK_SIZE, CHECK_AGE, CHECK_NONE };

static const struct {
    const char *key;
    enum option_check check;
    const char *accepted;
} shim_options[] = {
    {"depth", CHECK_NUMBER, "a number from 1 to 512"},
    {"signal", CHECK_SIGNAL, "a signal's name or number, or none"},
    {"sample", CHECK_SIZE, "a size such as 1, 64K, 512K"},
    {"interval", CHECK_AGE, "an age such as 500ms, 1s, 1m"},
    {"profiles", CHECK_NONE, "names and paths"},
};

static const char *const shim_switches[] = {"follow", "at_exit", "quiet", "mmap"};

#define OWN_OUTPUT      BL_ARGS_OWN
#define OWN_EXIT_REPORT (BL_ARGS_OWN + 1)
#define OWN_VALUES      (BL_ARGS_OWN + 10)
#define OWN_SWITCH_ON   (BL_ARGS_OWN + 30)
#define OWN_SWITCH_OFF  (BL_ARGS_OWN + 40)

static const struct option long_options[] = {
    {"help", no_argument, NULL, BL_ARGS_HELP},
    {"output", required_argument, NULL, OWN_OUTPUT},
    {"exit-report", required_argument, NULL, OWN_EXIT_REPORT},
    {"depth", required_argument, NULL, OWN_VALUES},
    {"signal", required_argument, NULL, OWN_VALUES + 1},
    {"sample", required_argument, NULL, OWN_VALUES + 2},
    {"interval", required_argument, NULL, OWN_VALUES + 3},
    {"profiles", required_argument, NULL, OWN_VALUES + 4},
    {"follow", optional_argument, NULL, OWN_SWITCH_ON},
    {"at-exit", optional_argument, NULL, OWN_SWITCH_ON + 1},
    {"quiet", optional_argument, NULL, OWN_SWITCH_ON + 2},
    {"mmap", optional_argument, NULL, OWN_SWITCH_ON + 3},
    {"no-follow", no_argument, NULL, OWN_SWITCH_OFF},
    {"no-at-exit", no_argument, NULL, OWN_SWITCH_OFF + 1},
    {"no-quiet", no_argument, NULL, OWN_SWITCH_OFF + 2},
    {"no-mmap", no_argument, NULL, OWN_SWITCH_OFF + 3},
    BL_REPORT_LONG_OPTIONS,
    {NULL, 0, NULL, 0}};

enum exit_report { EXIT_REPORT_AUTO, EXIT_REPORT_FULL, EXIT_REPORT_SUMMARY, EXIT_REPORT_NONE };

/* A child of the program with less than this unreleased at its end gets one line. */
#define DULL_BYTES   (64u << 10)
#define DULL_BUFFERS 100u

#define LOOK_MS          1000 /* between looks at the process tree */
#define LOOK_EARLY_MS    100  /* the first, to say soon that something is not tracked */
#define LOOK_SOON_MS     50   /* once the program itself is gone, and something happened */
#define LOOKS_TO_BE_SURE 4

/* A process below us that goes without the shim, or may: the first look can come between its exec
 * and its loader. */
struct suspect {
    pid_t pid;
    uint64_t start_ticks;
    char comm[64];
    const char *why;
    bool was_said;
    bool is_fine;
};

struct run {
    struct bl_run_env env;
    struct bl_report_options report;
    enum exit_report exit_report;
    const char *output_path;
    bool wants_help;
    char **command;

    FILE *output;
    sigset_t old_mask;
    int signal_fd;
    pid_t child;
    char child_name[64];
    bool child_ended;
    int child_status;
    bool is_announced;
    struct bl_watch *watch;
    struct bl_run_tree tree;
    struct suspect *suspects;
    size_t suspect_count;
};

static bool is_accepted(enum option_check check, const char *value)
{
    uint64_t number;
    switch (check) {
    case CHECK_NUMBER:
        return bl_text_parse_number(value, 512, &number) && number > 0;
    case CHECK_SIGNAL:
        return bl_text_parse_signal(value) >= 0;
    case CHECK_SIZE:
        return bl_text_parse_size(value, &number) && number > 0;
    case CHECK_AGE:
        return bl_text_parse_age(value, &number) && number > 0;
    case CHECK_NONE:
        break;
    }
    return true;
}

static int take_value(struct run *run, size_t which, const char *value, struct bl_error *error)
{
    if (!is_accepted(shim_options[which].check, value)) {
        char option[32];
        snprintf(option, sizeof(option), "--%s", shim_options[which].key);
        bl_args_bad_value(error, option, value, shim_options[which].accepted);
        return BL_CODE_USAGE;
    }
    if (bl_run_env_set_option(&run->env, shim_options[which].key, value, error) < 0)
        return BL_CODE_USAGE;
    return 0;
}

/* --follow, --follow=0, and "--follow 0", because follow=0 is how the environment spells it. */
static int take_switch(struct run *run, size_t which, int argc, char **argv, struct bl_error *error)
{
    const char *value = optarg ? optarg : "1";
    if (!optarg && optind < argc &&
        (strcmp(argv[optind], "0") == 0 || strcmp(argv[optind], "1") == 0))
        value = argv[optind++];
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0) {
        bl_args_bad_value(error, argv[optind - 1], value, "0 or 1");
        return BL_CODE_USAGE;
    }
    return bl_run_env_set_option(&run->env, shim_switches[which], value, error) < 0 ? BL_CODE_USAGE
                                                                                    : 0;
}

static int take_exit_report(struct run *run, const char *value, struct bl_error *error)
{
    static const char *const names[] = {"", "full", "summary", "none"};
    for (size_t i = 1; i < 4; i++)
        if (strcmp(value, names[i]) == 0) {
            run->exit_report = (enum exit_report)i;
            return 0;
        }
    bl_args_bad_value(error, "--exit-report", value, "full, summary or none");
    return BL_CODE_USAGE;
}

static int take_option(struct run *run, int code, int argc, char **argv, struct bl_error *error)
{
    if (code == '?' || code == ':')
        return bl_args_refuse(error, code, argv, "run");
    if (code == BL_ARGS_HELP) {
        run->wants_help = true;
        return 0;
    }
    if (code == OWN_OUTPUT) {
        run->output_path = optarg;
        return 0;
    }
    if (code == OWN_EXIT_REPORT)
        return take_exit_report(run, optarg, error);
    if (code >= OWN_SWITCH_OFF)
        return bl_run_env_set_option(&run->env, shim_switches[code - OWN_SWITCH_OFF], "0", error) <
                       0
                   ? BL_CODE_USAGE
                   : 0;
    if (code >= OWN_SWITCH_ON)
        return take_switch(run, (size_t)(code - OWN_SWITCH_ON), argc, argv, error);
    if (code >= OWN_VALUES)
        return take_value(run, (size_t)(code - OWN_VALUES), optarg, error);
    return bl_report_take_option(&run->report, code, optarg, error) < 0 ? BL_CODE_USAGE : 0;
}

static int parse(struct run *run, int argc, char **argv, struct bl_error *error)
{
    const char *inherited = getenv("BUFLEAK_OPTIONS");
    int code;
    if (inherited && strlen(inherited) < sizeof(run->env.options))
        memcpy(run->env.options, inherited, strlen(inherited) + 1);
    while ((code = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
        int outcome = take_option(run, code, argc, argv, error);
        if (outcome != 0)
            return outcome;
    }
    run->command = argv + optind;
    if (optind == argc && !run->wants_help) {
        bl_error_set(error, "run needs a program to start; see `bufleak run --help`");
        return BL_CODE_USAGE;
    }
    /* the report is printed here; the program need not say where to find it */
    if (!bl_run_env_has_option(&run->env, "quiet") &&
        bl_run_env_set_option(&run->env, "quiet", "1", error) < 0)
        return BL_CODE_USAGE;
    return 0;
}

static int open_output(struct run *run, struct bl_error *error)
{
    if (run->output_path)
        run->output = fopen(run->output_path, "we");
    else
        run->output = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10), "w");
    if (!run->output)
        return bl_error_set(error, "cannot write to %s: %s",
                            run->output_path ? run->output_path : "stderr", strerror(errno));
    /* whole reports at once, not line by line between the program's own lines */
    setvbuf(run->output, NULL, _IOFBF, 1 << 16);
    return 0;
}

/* Every signal that asks somebody to do something is passed on; faults and job control stay ours.
 */
static int catch_signals(struct run *run, struct bl_error *error)
{
    static const int kept[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGABRT,
                               SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGSYS,  SIGPIPE};
    sigset_t mask;
    sigfillset(&mask);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        sigdelset(&mask, kept[i]);
    sigprocmask(SIG_BLOCK, &mask, &run->old_mask);
    run->signal_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (run->signal_fd < 0)
        return bl_error_set(error, "cannot wait for signals: %s", strerror(errno));
    return 0;
}

_Noreturn static void become_program(const struct run *run, int report_fd)
{
    int code = ENOMEM;
    if (bl_run_env_apply(&run->env) == 0) {
        sigprocmask(SIG_SETMASK, &run->old_mask, NULL);
        execvp(run->command[0], run->command);
        code = errno;
    }
    if (write(report_fd, &code, sizeof(code)) < 0)
        _exit(BL_CODE_NOT_EXECUTABLE);
    _exit(BL_CODE_NOT_EXECUTABLE);
}

/* 0, or the exit code for a program that could not be started. */
static int start_program(struct run *run, struct bl_error *error)
{
    int ends[2];
    int code = 0;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        bl_error_set(error, "cannot start %s: %s", run->command[0], strerror(errno));
        return BL_CODE_FAILED;
    }
    run->child = fork();
    if (run->child == 0)
        become_program(run, ends[1]);
    close(ends[1]);
    if (run->child < 0)
        code = errno;
    else if (read(ends[0], &code, sizeof(code)) != (ssize_t)sizeof(code))
        code = 0;
    close(ends[0]);
    if (code == 0)
        return 0;
    if (run->child > 0)
        waitpid(run->child, NULL, 0);
    bl_error_set(error, "cannot execute %s: %s", run->command[0], strerror(code));
    return code == ENOENT ? BL_CODE_NOT_FOUND : BL_CODE_NOT_EXECUTABLE;
}

/* What the program is told for one key of BUFLEAK_OPTIONS; `otherwise` when nothing. */
static const char *shim_option(const struct run *run, const char *key, const char *otherwise,
                               char *out, size_t size)
{
    const char *found = otherwise;
    size_t key_length = strlen(key);
    for (const char *item = run->env.options; *item;) {
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

static void announce(struct run *run)
{
    char name[64];
    const char *signal = shim_option(run, "signal", "USR1", name, sizeof(name));
    struct bl_proc process;
    if (run->is_announced)
        return;
    run->is_announced = true;
    if (bl_proc_read(run->child, &process) == 0)
        memcpy(run->child_name, process.comm, sizeof(run->child_name));
    if (strcmp(signal, "none") == 0)
        bl_say("tracking %s[%d]; bufleak dump %d for a report", run->child_name, (int)run->child,
               (int)run->child);
    else
        bl_say("tracking %s[%d]; kill -%s %d or bufleak dump %d for a report", run->child_name,
               (int)run->child, strncasecmp(signal, "SIG", 3) == 0 ? signal + 3 : signal,
               (int)run->child, (int)run->child);
}

/* A report that cannot be made is said, and the program runs on. */
static void write_report(struct run *run, struct bl_target *target, bool summary_only)
{
    struct bl_error error = {""};
    struct bl_report_options options = run->report;
    options.summary_only = summary_only;
    if (bl_report_write(run->output, target, &options, &error) < 0)
        bl_say("%s", error.text);
    if (!options.is_json)
        fputc('\n', run->output);
    if (fflush(run->output) != 0)
        bl_say("cannot write the report: %s", strerror(errno));
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
    target->is_running = bl_proc_find_writer(&target->header, &target->process);
    return true;
}

static void report_snapshot(struct run *run, struct bl_run_process *process,
                            const struct bl_ledger_file *file)
{
    struct bl_target target;
    if (file->snapshot <= process->snapshots_done || !bl_run_tree_is_member(&run->tree, process))
        return;
    process->snapshots_done = file->snapshot;
    if (!open_target(&target, file->path, true))
        return;
    write_report(run, &target, false);
    bl_target_deinit(&target);
}

/* What a process allocated itself and did not release; its parent's buffers are its parent's. */
static bool count_own(const struct bl_target *target, uint64_t *ret_count, uint64_t *ret_bytes)
{
    struct bl_reader *reader = NULL;
    struct bl_error ignored;
    size_t count;
    *ret_count = 0;
    *ret_bytes = 0;
    if (bl_reader_create(&reader, target->fd, target->path, BL_READER_ALL, &ignored) < 0)
        return false;
    const struct bl_header *header = bl_reader_header(reader);
    const struct bl_live *live = bl_reader_live(reader, &count);
    uint32_t first_own_thread = bl_model_first_own_thread(reader);
    for (size_t i = 0; i < count; i++) {
        if (bl_model_is_inherited(header, first_own_thread, &live[i]))
            continue;
        ++*ret_count;
        *ret_bytes += live[i].word >> BL_LIVE_SIZE_SHIFT;
    }
    bl_reader_destroy(reader);
    return true;
}

static void write_line(struct run *run, const struct bl_target *target, uint64_t count,
                       uint64_t bytes)
{
    char moment[128];
    char comm[64];
    char number[BL_TEXT_NUMBER];
    char size[BL_TEXT_NUMBER];
    const struct bl_header *header = &target->header;
    bl_text_printable(comm, sizeof(comm), header->comm,
                      strnlen(header->comm, sizeof(header->comm)));
    bl_view_moment(moment, sizeof(moment), header, bl_model_state_of(header, false));
    fprintf(run->output, "bufleak: %s[%u] %s: %s buffer%s, %s unreleased%s%s\n", comm, header->pid,
            moment, bl_text_count(number, count), count == 1 ? "" : "s", bl_text_bytes(size, bytes),
            count ? "; see: bufleak report " : "", count ? target->path : "");
    fflush(run->output);
}

static void report_end_of(struct run *run, const struct bl_target *const_target)
{
    struct bl_target target = *const_target;
    uint64_t count;
    uint64_t bytes;
    bool is_child = target.header.pid != (uint32_t)run->child;
    if (run->exit_report == EXIT_REPORT_NONE)
        return;
    if (run->exit_report == EXIT_REPORT_AUTO && is_child && !run->report.is_json &&
        count_own(&target, &count, &bytes) && count < DULL_BUFFERS && bytes < DULL_BYTES)
        write_line(run, &target, count, bytes);
    else
        write_report(run, &target, run->exit_report == EXIT_REPORT_SUMMARY);
}

/* Reports the end of a process once it has ended; a program replaced by exec goes on under another
 * ledger. */
static void report_end(struct run *run, struct bl_run_process *process, bool is_last)
{
    struct bl_target target;
    if (process->is_done || !process->path || !bl_run_tree_is_member(&run->tree, process) ||
        !open_target(&target, process->path, is_last))
        return;
    if (!target.is_running) {
        process->is_done = true;
        if (target.header.state != BL_STATE_EXECED)
            report_end_of(run, &target);
    }
    bl_target_deinit(&target);
}

static void take_events(struct run *run)
{
    struct bl_watch_event event;
    while (bl_watch_next(run->watch, &event)) {
        struct bl_run_process *process = bl_run_tree_take(&run->tree, &event.file);
        switch (process ? event.kind : BL_WATCH_LEDGER) {
        case BL_WATCH_LEDGER:
            if (process && bl_run_tree_is_member(&run->tree, process))
                announce(run);
            break;
        case BL_WATCH_CLOSED:
            report_end(run, process, false);
            break;
        case BL_WATCH_SNAPSHOT:
            report_snapshot(run, process, &event.file);
            break;
        }
        free(event.file.path);
    }
}

/* Everything that ended without an event. */
static void sweep(struct run *run)
{
    struct bl_ledger_list list = {0};
    struct bl_error ignored;
    uint64_t since = run->tree.count > 0 ? run->tree.processes[0].start_us : UINT64_MAX;
    take_events(run);
    bl_ledgers_scan(&list, run->env.directory, &ignored);
    for (size_t i = 0; i < list.count; i++)
        if (list.files[i].snapshot == 0 && list.files[i].start_us >= since)
            bl_run_tree_take(&run->tree, &list.files[i]);
    bl_ledgers_deinit(&list);
    for (size_t i = 0; i < run->tree.count; i++)
        report_end(run, &run->tree.processes[i], true);
}

static struct suspect *find_suspect(struct run *run, const struct bl_proc *process)
{
    for (size_t i = 0; i < run->suspect_count; i++)
        if (run->suspects[i].pid == process->pid &&
            run->suspects[i].start_ticks == process->start_ticks)
            return &run->suspects[i];
    struct suspect *grown = realloc(run->suspects, (run->suspect_count + 1) * sizeof(*grown));
    if (!grown)
        return NULL;
    run->suspects = grown;
    grown[run->suspect_count] =
        (struct suspect){.pid = process->pid, .start_ticks = process->start_ticks};
    return &grown[run->suspect_count++];
}

/* Why a process goes without the shim; NULL when it does not, or nothing can be said. One that we
 * may not look at although it is below us runs with other credentials than ours. */
static const char *why_untracked(const struct run *run, pid_t pid, enum bl_proc_preload state)
{
    if (state != BL_PROC_UNREADABLE)
        return bl_proc_preload_text(state);
    for (size_t i = 0; i < run->tree.count; i++)
        if (run->tree.processes[i].is_member && run->tree.processes[i].pid == (uint32_t)pid &&
            !run->tree.processes[i].is_done)
            return NULL;
    return "it runs with other credentials (setuid or file capabilities): the kernel dropped "
           "LD_PRELOAD (AT_SECURE)";
}

static void look_at(struct run *run, pid_t pid)
{
    struct bl_proc process;
    if (bl_proc_read(pid, &process) < 0)
        return;
    struct suspect *suspect = find_suspect(run, &process);
    /* the same process under another name has called exec since */
    if (!suspect || (suspect->is_fine && strcmp(suspect->comm, process.comm) == 0) ||
        suspect->was_said)
        return;
    memcpy(suspect->comm, process.comm, sizeof(suspect->comm));
    enum bl_proc_preload state = bl_proc_preload_state(pid);
    const char *why = why_untracked(run, pid, state);
    bool is_sure = state == BL_PROC_STATIC || state == BL_PROC_AT_SECURE || suspect->why == why;
    suspect->why = why;
    suspect->is_fine = state == BL_PROC_MAPPED;
    if (!why || !is_sure)
        return;
    suspect->was_said = true;
    bl_say("%s[%d] is not tracked: %s", process.comm, (int)pid, why);
}

static void say_shared_signal(struct bl_run_process *process)
{
    struct bl_target target;
    struct bl_reader *reader = NULL;
    struct bl_error ignored;
    if (process->is_signal_said || process->is_done || !process->is_member || !process->path ||
        !open_target(&target, process->path, false))
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
static struct around look_around(struct run *run)
{
    pid_t *pids = NULL;
    struct around around = {.alive = bl_proc_descendants(getpid(), &pids)};
    for (size_t i = 0; i < around.alive; i++) {
        look_at(run, pids[i]);
        around.tracked += bl_proc_has_shim(pids[i]);
    }
    free(pids);
    for (size_t i = 0; i < run->tree.count; i++)
        say_shared_signal(&run->tree.processes[i]);
    return around;
}

static void reap(struct run *run)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != run->child)
            continue;
        run->child_ended = true;
        run->child_status = status;
    }
}

/* To the program; once it is gone, to the orphans it left with us. */
static void forward(const struct run *run, const struct signalfd_siginfo *info)
{
    /* what a terminal sends, it sends to the program too */
    bool from_terminal = info->ssi_code == SI_KERNEL;
    if (!run->child_ended) {
        if (!from_terminal)
            kill(run->child, (int)info->ssi_signo);
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

static void take_signals(struct run *run)
{
    struct signalfd_siginfo info;
    while (read(run->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        /* first, because a signal for a program that is gone is for what it left */
        reap(run);
        if (info.ssi_signo != SIGCHLD)
            forward(run, &info);
    }
}

static void say_child_end(const struct run *run, size_t tracked)
{
    char signal[BL_TEXT_NUMBER];
    if (WIFSIGNALED(run->child_status))
        bl_say("%s[%d] was killed by %s", run->child_name, (int)run->child,
               bl_text_signal(signal, WTERMSIG(run->child_status)));
    if (tracked > 0)
        bl_say("%s[%d] has ended; %zu process%s it left %s still tracked", run->child_name,
               (int)run->child, tracked, tracked == 1 ? "" : "es", tracked == 1 ? "is" : "are");
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Sleeps until something happens or it is time to look around. */
static bool await_event(const struct run *run, uint64_t look_ms)
{
    struct pollfd fds[] = {{.fd = run->signal_fd, .events = POLLIN},
                           {.fd = bl_watch_fd(run->watch), .events = POLLIN}};
    uint64_t now = now_ms();
    return poll(fds, 2, look_ms > now ? (int)(look_ms - now) : 0) > 0;
}

/* Until the program and every tracked process it left have ended. */
static void follow(struct run *run)
{
    char value[8];
    bool is_followed = strcmp(shim_option(run, "follow", "1", value, sizeof(value)), "0") != 0;
    bool end_was_said = false;
    int doubts = 0;
    uint64_t look_ms = now_ms() + LOOK_EARLY_MS;
    for (;;) {
        bool something = await_event(run, look_ms);
        take_signals(run);
        take_events(run);
        uint64_t now = now_ms();
        if (run->child_ended && (something || !end_was_said) && look_ms > now + LOOK_SOON_MS)
            look_ms = end_was_said ? now + LOOK_SOON_MS : now;
        if (now < look_ms)
            continue;
        struct around around = look_around(run);
        look_ms = now_ms() + LOOK_MS;
        if (!run->child_ended)
            continue;
        if (!end_was_said)
            say_child_end(run, is_followed ? around.tracked : 0);
        end_was_said = true;
        if (around.alive == 0 || !is_followed)
            return;
        /* between exec and its loader a process is without the shim */
        doubts = around.tracked > 0 ? 0 : doubts + 1;
        if (doubts > LOOKS_TO_BE_SURE)
            return;
        if (doubts > 0)
            look_ms = now_ms() + LOOK_SOON_MS;
    }
}

static void say_untracked(const struct run *run)
{
    bool any = false;
    for (size_t i = 0; i < run->tree.count; i++)
        any |= run->tree.processes[i].is_member;
    if (!any)
        bl_say("%s[%d] was not tracked: it left no ledger in %s", run->child_name, (int)run->child,
               run->env.directory);
    for (size_t i = 0; i < run->suspect_count; i++)
        if (run->suspects[i].was_said)
            bl_say("not in these reports: %s[%d]: %s", run->suspects[i].comm,
                   (int)run->suspects[i].pid, run->suspects[i].why);
}

static int run_program(struct run *run, struct bl_error *error)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t since_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
    const char *slash = strrchr(run->command[0], '/');
    snprintf(run->child_name, sizeof(run->child_name), "%s", slash ? slash + 1 : run->command[0]);
    if (bl_run_env_find_shim(&run->env, error) < 0 ||
        bl_run_env_find_directory(&run->env, error) < 0 || open_output(run, error) < 0 ||
        bl_watch_create(&run->watch, run->env.directory, since_us, error) < 0 ||
        catch_signals(run, error) < 0)
        return BL_CODE_FAILED;
    /* daemons and other orphans of the program stay below us */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int code = start_program(run, error);
    if (code != 0)
        return code;
    follow(run);
    sweep(run);
    say_untracked(run);
    return WIFSIGNALED(run->child_status) ? 128 + WTERMSIG(run->child_status)
                                          : WEXITSTATUS(run->child_status);
}

int bl_cmd_run(int argc, char **argv, struct bl_error *error)
{
    struct run run = {.signal_fd = -1};
    int code = parse(&run, argc, argv, error);
    if (code == 0 && run.wants_help)
        fputs(help, stdout);
    else if (code == 0)
        code = run_program(&run, error);
    if (run.output)
        fclose(run.output);
    if (run.signal_fd >= 0)
        close(run.signal_fd);
    bl_watch_destroy(run.watch);
    bl_run_tree_deinit(&run.tree);
    free(run.suspects);
    return code;
}
