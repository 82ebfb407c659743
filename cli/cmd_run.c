#include "commands.h"

#include "args.h"
#include "execs.h"
#include "profile_file.h"
#include "reader.h"
#include "report.h"
#include "run_options.h"
#include "session.h"
#include "text.h"
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    "  --limit SIZE          make a snapshot by itself when the heap has so many live bytes\n"
    "  --limit-action ACTION report (default), or fail: let allocations beyond it fail\n"
    "  --per FUNCTION        count its returns as requests, to tell growth per request\n"
    "  --mmap                track mmap'd regions as well\n"
    "  --no-follow           do not track children\n"
    "  --no-at-exit          do nothing at exit\n"
    "  --profiles LIST       profiles of buffer classes, by name or path (default auto)\n"
    "  --no-quiet            let the tracked program announce its snapshots on "
    "stderr\n" BL_REPORT_FORMAT_HELP BL_REPORT_HELP "  --help                this text\n"
    "\n"
    "BUFLEAK_OPTIONS of the environment is kept where no option replaces it.\n";

#define OWN_OUTPUT      BL_ARGS_OWN
#define OWN_EXIT_REPORT (BL_ARGS_OWN + 1)

static const struct option long_options[] = {
    {"help", no_argument, NULL, BL_ARGS_HELP},
    {"output", required_argument, NULL, OWN_OUTPUT},
    {"exit-report", required_argument, NULL, OWN_EXIT_REPORT},
    BL_RUN_LONG_OPTIONS,
    BL_REPORT_LONG_OPTIONS,
    {NULL, 0, NULL, 0}};

enum exit_report { EXIT_REPORT_AUTO, EXIT_REPORT_FULL, EXIT_REPORT_SUMMARY, EXIT_REPORT_NONE };

/* A child of the program with less than this unreleased at its end gets one line. */
#define DULL_BYTES   (64u << 10)
#define DULL_BUFFERS 100u

/* A program that its parent, or what it was before, noted as one that goes without the shim. */
struct noted {
    struct bl_exec_row row;
    uint64_t start_ns; /* of who noted it */
};

struct run {
    struct bl_session session;
    struct bl_report_options report;
    enum exit_report exit_report;
    const char *output_path;
    bool wants_help;
    FILE *output;
    struct noted *noted;
    size_t noted_count;
};

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
    if (code == BL_REPORT_PER) /* to be counted; the reports then tell it without being asked */
        code = BL_RUN_OPTIONS_PER;
    if (code >= BL_ARGS_SHIM && code < BL_ARGS_SHIM_END)
        return bl_run_options_take(&run->session.env, code, argc, argv, error);
    return bl_report_take_option(&run->report, code, optarg, error) < 0 ? BL_CODE_USAGE : 0;
}

static int parse(struct run *run, int argc, char **argv, struct bl_error *error)
{
    int code;
    bl_run_options_inherit(&run->session.env);
    while ((code = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
        int outcome = take_option(run, code, argc, argv, error);
        if (outcome != 0)
            return outcome;
    }
    run->session.command = argv + optind;
    if (optind == argc && !run->wants_help) {
        bl_error_set(error, "run needs a program to start; see `bufleak run --help`");
        return BL_CODE_USAGE;
    }
    bl_profile_file_make_absolute(run->session.env.options, sizeof(run->session.env.options));
    /* the report is printed here; the program need not say where to find it */
    if (bl_run_env_has_option(&run->session.env, "quiet") || run->wants_help)
        return 0;
    bl_profile_file_warn(run->session.env.options);
    return bl_run_env_set_option(&run->session.env, "quiet", "1", error) < 0 ? BL_CODE_USAGE : 0;
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

static void on_snapshot(void *context, struct bl_target *target)
{
    write_report(context, target, false);
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

/* A shell's child that became a static program has no report of its own to tell it. */
static void note_execs(struct run *run, const struct bl_header *header)
{
    struct bl_exec_row row;
    for (uint32_t i = 0; i < BL_EXECS_MAX; i++) {
        if (!bl_execs_read(header, i, &row))
            continue;
        struct noted *grown = realloc(run->noted, (run->noted_count + 1) * sizeof(*grown));
        if (!grown)
            return;
        run->noted = grown;
        run->noted[run->noted_count++] = (struct noted){row, header->start_realtime_ns};
    }
}

static void on_end(void *context, struct bl_target *target)
{
    struct run *run = context;
    uint64_t count;
    uint64_t bytes;
    note_execs(run, &target->header);
    bool is_child = target->header.pid != (uint32_t)run->session.child;
    if (run->exit_report == EXIT_REPORT_NONE || target->header.state == BL_STATE_EXECED)
        return;
    if (run->exit_report == EXIT_REPORT_AUTO && is_child && !run->report.is_json &&
        count_own(target, &count, &bytes) && count < DULL_BUFFERS && bytes < DULL_BYTES)
        write_line(run, target, count, bytes);
    else
        write_report(run, target, run->exit_report == EXIT_REPORT_SUMMARY);
}

static const struct bl_session_handlers handlers = {on_snapshot, on_end};

static bool was_said(const struct bl_session *session, const struct bl_exec_row *row)
{
    for (size_t i = 0; i < session->suspect_count; i++)
        if (session->suspects[i].was_said && session->suspects[i].pid == (pid_t)row->pid)
            return true;
    return false;
}

static void say_untracked(const struct run *run)
{
    const struct bl_session *session = &run->session;
    if (!bl_session_was_tracked(session))
        bl_say("%s[%d] was not tracked: it left no ledger in %s", session->child_name,
               (int)session->child, session->env.directory);
    for (size_t i = 0; i < session->suspect_count; i++)
        if (session->suspects[i].was_said)
            bl_say("not in these reports: %s[%d]: %s", session->suspects[i].comm,
                   (int)session->suspects[i].pid, session->suspects[i].why);
    for (size_t i = 0; i < run->noted_count; i++) {
        const struct bl_exec_row *row = &run->noted[i].row;
        char times[BL_TEXT_NUMBER + 16] = "";
        if (row->count > 1)
            snprintf(times, sizeof(times), ", %u times", row->count);
        if (!was_said(session, row) &&
            !bl_session_has_successor(session, row->pid, run->noted[i].start_ns))
            bl_say("not in these reports: %s[%u]: %s %s%s", row->comm, row->pid, row->path,
                   row->why, times);
    }
}

static int run_program(struct run *run, struct bl_error *error)
{
    struct bl_session *session = &run->session;
    session->handlers = &handlers;
    session->context = run;
    if (open_output(run, error) < 0 || bl_session_open(session, error) < 0)
        return BL_CODE_FAILED;
    int code = bl_session_run(session, error);
    if (code != 0)
        return code;
    say_untracked(run);
    return bl_session_code(session);
}

int bl_cmd_run(int argc, char **argv, struct bl_error *error)
{
    struct run run = {.session.signal_fd = -1};
    int code = parse(&run, argc, argv, error);
    if (code == 0 && run.wants_help)
        fputs(help, stdout);
    else if (code == 0)
        code = run_program(&run, error);
    if (run.output)
        fclose(run.output);
    bl_session_close(&run.session);
    free(run.noted);
    return code;
}
