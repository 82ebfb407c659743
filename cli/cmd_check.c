#include "commands.h"

#include "check_request.h"
#include "control.h"
#include "ledgers.h"
#include "profile_file.h"
#include "symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MARK_NAME     "bufleak-iteration"
#define MARK_LIMIT_NS 2000000000u
#define WAIT_MS       10000

/* suppressions= of LSAN_OPTIONS, which teams that use LeakSanitizer have set already. Items are
 * separated by colons, commas or blanks; a value may be in quotes. */
static int read_sanitizers(struct bl_check *check, struct bl_error *error)
{
    static const char key[] = "suppressions=";
    static const char between[] = ":, \t\r\n";
    const char *options = getenv("LSAN_OPTIONS");
    char path[PATH_MAX];
    for (const char *at = options ? options : ""; *at;) {
        at += strspn(at, between);
        bool is_ours = strncmp(at, key, sizeof(key) - 1) == 0;
        const char *value = at + strcspn(at, "=:, \t\r\n");
        value += *value == '=';
        const char quote[] = {*value == '\'' || *value == '"' ? *value : '\0', '\0'};
        const char *start = value + (*quote != '\0');
        size_t length = strcspn(start, *quote ? quote : between);
        at = start + length + (*quote && start[length]);
        if (!is_ours || length == 0 || length >= sizeof(path))
            continue;
        memcpy(path, start, length);
        path[length] = '\0';
        if (bl_suppressions_read(check->suppressions, path, error) < 0)
            return -1;
    }
    return 0;
}

/* The file, or where it would be made. */
static bool may_write(const char *path)
{
    char copy[PATH_MAX];
    if (access(path, F_OK) == 0 || snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
        return access(path, W_OK) == 0;
    char *slash = strrchr(copy, '/');
    if (slash)
        slash[slash == copy] = '\0';
    return access(slash ? copy : ".", W_OK) == 0;
}

static int look_at_outputs(const struct bl_check_request *request, struct bl_error *error)
{
    const struct bl_check *check = &request->check;
    const char *const paths[] = {
        request->output_path,   request->json_path,
        request->junit_path,    request->sarif_path,
        request->markdown_path, request->gitlab_path,
        request->generate_path, check->updates_baseline ? check->baseline_path : NULL};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (paths[i] && !may_write(paths[i]))
            return bl_error_set(error, "cannot write %s: %s", paths[i], strerror(errno));
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        for (size_t k = 0; k < i && paths[i]; k++)
            if (paths[k] && strcmp(paths[i], paths[k]) == 0 && strncmp(paths[i], "/dev/", 5) != 0)
                return bl_error_set(error, "%s is to be written twice: give each file its own name",
                                    paths[i]);
    return 0;
}

/* Before anything is run, so that a mistake in a file does not cost the run. */
static int read_files(struct bl_check_request *request, struct bl_error *error)
{
    struct bl_check *check = &request->check;
    if (look_at_outputs(request, error) < 0 ||
        bl_profile_file_check(request->session.env.options, error) < 0)
        return -1;
    if (bl_leaks_create(&check->leaks, error) < 0 ||
        bl_suppressions_create(&check->suppressions, error) < 0)
        return -1;
    for (size_t i = 0; i < request->suppression_count; i++)
        if (bl_suppressions_read(check->suppressions, request->suppression_paths[i], error) < 0)
            return -1;
    if (read_sanitizers(check, error) < 0)
        return -1;
    if (!check->no_builtin && bl_suppressions_add_builtin(check->suppressions, error) < 0)
        return -1;
    if (check->baseline_path)
        return bl_baseline_read(&check->baseline, check->baseline_path, check->updates_baseline,
                                error);
    return 0;
}

/* ---- the run ---- */

static int make_directory(struct bl_check_request *request, struct bl_error *error)
{
    const char *temporary = getenv("TMPDIR");
    char *path = request->session.env.directory;
    snprintf(path, sizeof(request->session.env.directory), "%s/bufleak-check-XXXXXX",
             temporary && *temporary == '/' ? temporary : "/tmp");
    if (mkdtemp(path))
        return 0;
    int code = errno;
    bl_error_set(error, "cannot make the directory %s for the ledgers: %s; set TMPDIR", path,
                 strerror(code));
    *path = '\0';
    return -1;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_directory(const struct bl_check_request *request)
{
    const char *path = request->session.env.directory;
    if (!*path)
        return;
    if (request->keeps)
        bl_say("the ledgers are in %s", path);
    else
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A process that ended: judged at once, so that its ledger need not be kept. */
static void on_end(void *context, struct bl_target *target)
{
    struct bl_check_request *request = context;
    uint64_t freed = 0;
    bl_check_look_at_space(request);
    bl_check_take_notes(request, &target->header);
    request->collect.test = bl_check_find_test(request, target);
    if (target->header.state == BL_STATE_EXECED)
        bl_check_note_replaced(request, &target->header);
    else
        bl_check_collect(&request->check, target, &request->collect);
    if (!request->keeps)
        bl_ledgers_remove(target->path, &freed);
}

static void on_running(void *context, struct bl_target *target)
{
    struct bl_check_request *request = context;
    struct bl_collect_options options = request->collect;
    options.still_runs = true;
    options.test = bl_check_find_test(request, target);
    bl_check_take_notes(request, &target->header);
    bl_check_collect(&request->check, target, &options);
}

static void set_mark(void *context, struct bl_target *target)
{
    struct bl_error ignored;
    (void)context;
    bl_control_mark(target, MARK_NAME, MARK_LIMIT_NS, &ignored);
}

static const struct bl_session_handlers handlers = {NULL, on_end};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* 0, or the exit code when the command could not be started. */
static int run_command(struct bl_check_request *request, struct bl_error *error)
{
    struct bl_session *session = &request->session;
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    bool is_ending = false;
    request->check.start_ns = now_ns(CLOCK_REALTIME);
    /* as GLib does by itself under valgrind: what its own allocator has freed still holds others,
     * and a slab is one block */
    setenv("G_SLICE", "always-malloc", 0);
    if (make_directory(request, error) < 0 || bl_session_open(session, error) < 0)
        return BL_CODE_FAILED;
    for (uint64_t i = 1; i <= request->repeat; i++) {
        session->linger_ms = i < request->repeat ? 1 : request->wait_ms;
        request->check.runs = i;
        int code = bl_session_run(session, error);
        if (code != 0)
            return code;
        request->check.command_code = bl_session_code(session);
        is_ending = session->is_interrupted;
        if (request->check.command_code != 0 || is_ending)
            break;
        if (request->repeat > 1)
            bl_session_each_running(session, set_mark);
    }
    /* who ends the check wants nothing of it to run on */
    if (is_ending || (session->left > 0 && request->stops)) {
        bl_session_stop(session);
        session->linger_ms = request->wait_ms;
        bl_session_await(session);
    }
    bl_session_each_running(session, on_running);
    request->check.duration_ns = now_ns(CLOCK_MONOTONIC) - start;
    return 0;
}

/* ---- the outcome ---- */

typedef int writer(FILE *out, const struct bl_check *check, struct bl_error *error);

static int write_file(const char *path, bool appends, writer *write, const struct bl_check *check,
                      struct bl_error *error)
{
    FILE *file = fopen(path, appends ? "ae" : "we");
    if (!file)
        return bl_error_set(error, "cannot write %s: %s", path, strerror(errno));
    int outcome = write(file, check, error);
    bool is_bad = ferror(file);
    if ((fclose(file) != 0 || is_bad) && outcome == 0)
        return bl_error_set(error, "cannot write %s: %s", path, strerror(errno));
    return outcome;
}

static int write_files(const struct bl_check_request *request, struct bl_error *error)
{
    const struct bl_check *check = &request->check;
    const char *summary = getenv("GITHUB_STEP_SUMMARY");
    const struct {
        const char *path;
        writer *write;
        bool appends;
    } files[] = {
        {request->json_path, bl_check_write_json, false},
        {request->junit_path, bl_check_write_junit, false},
        {request->sarif_path, bl_check_write_sarif, false},
        {request->markdown_path, bl_check_write_markdown, false},
        {request->markdown_path ? NULL : summary, bl_check_write_markdown, true},
        {request->gitlab_path, bl_check_write_gitlab, false},
        {request->generates ? request->generate_path : NULL, bl_check_write_suppressions, false},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (files[i].path && *files[i].path &&
            write_file(files[i].path, files[i].appends, files[i].write, check, error) < 0)
            return -1;
    if (request->is_github && bl_check_write_github(stdout, check, error) < 0)
        return -1;
    return fflush(stdout) == 0 ? 0 : bl_error_set(error, "cannot write the annotations");
}

/* The text comes last, on stderr: its last line is what people look for. */
static int write_report(const struct bl_check_request *request, struct bl_error *error)
{
    writer *write = request->is_json ? bl_check_write_json : bl_check_write_text;
    bool is_file = request->output_path != NULL;
    FILE *out = is_file ? fopen(request->output_path, "we")
                        : fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10), "w");
    if (!out)
        return bl_error_set(error, "cannot write to %s: %s",
                            is_file ? request->output_path : "stderr", strerror(errno));
    int outcome = 0;
    if (request->generates && !request->generate_path)
        outcome = bl_check_write_suppressions(out, &request->check, error);
    if (outcome == 0)
        outcome = write(out, &request->check, error);
    if (fclose(out) != 0 && outcome == 0)
        outcome = bl_error_set(error, "cannot write the report: %s", strerror(errno));
    return outcome;
}

/* Of what was not checked, or ended early, it would say that old leaks are gone. */
static int update_baseline(const struct bl_check_request *request, struct bl_error *error)
{
    const struct bl_check *check = &request->check;
    if (!check->updates_baseline)
        return 0;
    if (!check->is_baseline_due) {
        bl_say("the baseline %s was left as it is: %s", check->baseline_path,
               check->command_code != 0 ? "the command failed" : "not everything was checked");
        return 0;
    }
    if (bl_baseline_write(check->baseline_path, check->leaks, error) < 0)
        return -1;
    bl_say("the baseline was written to %s", check->baseline_path);
    return 0;
}

static int conclude(struct bl_check_request *request, struct bl_error *error)
{
    struct bl_check *check = &request->check;
    bl_check_look_at_space(request);
    bl_check_find_untracked(request);
    bl_check_decide(check);
    /* what was found is told all the same */
    struct bl_error ignored;
    bool is_written = update_baseline(request, error) == 0;
    is_written &= write_files(request, is_written ? error : &ignored) == 0;
    if (write_report(request, is_written ? error : &ignored) < 0 || !is_written)
        return BL_CODE_FAILED;
    return bl_check_code(check, request->leaks_code);
}

static void see_environment(struct bl_check_request *request)
{
    const char *github = getenv("GITHUB_ACTIONS");
    const char *gitlab = getenv("GITLAB_CI");
    request->is_github |= github && strcmp(github, "true") == 0;
    if (!request->gitlab_path && gitlab && *gitlab)
        request->gitlab_path = "gl-code-quality-report.json";
}

int bl_cmd_check(int argc, char **argv, struct bl_error *error)
{
    struct bl_check_request request = {.session.signal_fd = -1,
                                       .leaks_code = BL_CHECK_LEAKS_CODE,
                                       .repeat = 1,
                                       .wait_ms = WAIT_MS};
    request.session.handlers = &handlers;
    request.session.context = &request;
    request.session.owns_directory = true;
    request.session.is_quiet = true;
    int code = bl_check_options_parse(&request, argc, argv, error);
    if (code == 0 && request.wants_help) {
        fputs(bl_check_help, stdout);
        return 0;
    }
    request.collect.store = bl_symbols_store_create();
    if (code == 0 && read_files(&request, error) < 0)
        code = BL_CODE_FAILED;
    see_environment(&request);
    bool is_run = code == 0;
    if (is_run)
        code = run_command(&request, error);
    if (is_run && code == 0)
        code = conclude(&request, error);
    /* before signals are let through again: one that waits ends us */
    if (is_run)
        remove_directory(&request);
    bl_session_close(&request.session);
    free(request.replaced);
    free(request.noted);
    bl_check_forget_tests(&request);
    free(request.check.untracked);
    free(request.check.unseen);
    free(request.check.wanted);
    free(request.check.programs);
    free(request.check.classes);
    bl_baseline_deinit(&request.check.baseline);
    bl_suppressions_destroy(request.check.suppressions);
    bl_leaks_destroy(request.check.leaks);
    bl_symbols_store_destroy(request.collect.store);
    return code;
}
