#include "commands.h"

#include "args.h"
#include "leakcheck.h"
#include "check_collect.h"
#include "control.h"
#include "execs.h"
#include "ledgers.h"
#include "profile_file.h"
#include "run_options.h"
#include "session.h"
#include "symbols.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "Usage: bufleak check [OPTIONS] [--] COMMAND [ARGUMENTS]\n"
    "Runs a command with everything it starts, and fails when something leaked.\n"
    "\n"
    "  --error-exitcode N      the exit code for leaks (default 23)\n"
    "  --processes PATTERN     only processes of this name (* and ?; may be repeated)\n"
    "  --ignore-process PATTERN\n"
    "                          not these; shells, compilers and make are left out anyway\n"
    "  --suppressions FILE     leaks not to fail for: LeakSanitizer's format, valgrind's, or both\n"
    "  --no-builtin            without the suppressions for libc, the loader, GLib, OpenSSL\n"
    "  --show-suppressed       tell what was suppressed, known or allowed, and who was left out, "
    "too\n"
    "  --gen-suppressions[=FILE]\n"
    "                          write suppressions for what fails\n"
    "  --baseline FILE         leaks that are known: only new and grown ones fail\n"
    "  --update-baseline       write what leaks now to the baseline, and pass\n"
    "  --tolerance N|N%        so much more than in the baseline is no growth (default 0)\n"
    "  --allow [CLASS:]LIMITS  what may leak: count=N,bytes=SIZE,growth=SIZE, of a class or in "
    "all\n"
    "  --allow-unknown         processes whose end could not be looked at are no error\n"
    "  --allow-untracked       processes that ran without the shim (static, set-user-ID) are no "
    "error\n"
    "  --held                  reference-counted buffers that are never released, but still held,\n"
    "                          are leaks too; heap blocks that are held never are\n"
    "  --repeat N              run the command N times (to 511): a leak is told with the runs "
    "that\n"
    "                          left it, limits and the baseline hold for the worst run; what "
    "grows\n"
    "                          from run to run in a process that lives on leaks\n"
    "  --iterations NAME       marks of this name tell iterations apart (default: the commonest);\n"
    "                          the latest 512 of a process count, and three stretches of them "
    "must\n"
    "                          take 8 ms or more each\n"
    "  --wait AGE              how long to wait for what outlives the command (default 10s)\n"
    "  --stop                  then end it by SIGTERM, and judge it\n"
    "  --keep                  keep the ledgers, and say where they are\n"
    "  --format text|json      what is written on stderr (default text)\n"
    "  --output FILE           write that there\n"
    "  --json, --junit, --sarif, --markdown, --gitlab FILE\n"
    "                          write that, too; for JUnit, SARIF 2.1.0, GitLab's code quality\n"
    "  --github                annotations for GitHub (by itself where GITHUB_ACTIONS is set)\n"
    "  --source-root DIR       files are told relative to it (default: the current directory)\n"
    "  --own PATTERN           modules that are yours\n"
    "  --symbols PATH          look for programs and libraries here too\n"
    "  --depth N, --profiles LIST, --sample SIZE, --mmap …\n"
    "                          as for bufleak run\n"
    "  --help                  this text\n"
    "\n"
    "Exit codes: the command's own when it failed, 23 leaks, 1 nothing or not all could be "
    "checked,\n"
    "2 wrong usage, 126/127 the command could not be executed or found, 128+N it died by signal "
    "N.\n";

enum own {
    OWN_CODE = BL_ARGS_OWN,
    OWN_PROCESSES,
    OWN_IGNORE,
    OWN_SUPPRESSIONS,
    OWN_NO_BUILTIN,
    OWN_SHOW,
    OWN_GENERATE,
    OWN_BASELINE,
    OWN_UPDATE,
    OWN_TOLERANCE,
    OWN_ALLOW,
    OWN_ALLOW_UNKNOWN,
    OWN_ALLOW_UNTRACKED,
    OWN_HELD,
    OWN_REPEAT,
    OWN_ITERATIONS,
    OWN_WAIT,
    OWN_STOP,
    OWN_KEEP,
    OWN_FORMAT,
    OWN_OUTPUT,
    OWN_JSON,
    OWN_JUNIT,
    OWN_SARIF,
    OWN_MARKDOWN,
    OWN_GITLAB,
    OWN_GITHUB,
    OWN_ROOT,
    OWN_OWN,
    OWN_SYMBOLS,
};

static const struct option long_options[] = {
    {"help", no_argument, NULL, BL_ARGS_HELP},
    {"error-exitcode", required_argument, NULL, OWN_CODE},
    {"processes", required_argument, NULL, OWN_PROCESSES},
    {"ignore-process", required_argument, NULL, OWN_IGNORE},
    {"suppressions", required_argument, NULL, OWN_SUPPRESSIONS},
    {"no-builtin", no_argument, NULL, OWN_NO_BUILTIN},
    {"show-suppressed", no_argument, NULL, OWN_SHOW},
    {"gen-suppressions", optional_argument, NULL, OWN_GENERATE},
    {"baseline", required_argument, NULL, OWN_BASELINE},
    {"update-baseline", no_argument, NULL, OWN_UPDATE},
    {"tolerance", required_argument, NULL, OWN_TOLERANCE},
    {"allow", required_argument, NULL, OWN_ALLOW},
    {"allow-unknown", no_argument, NULL, OWN_ALLOW_UNKNOWN},
    {"allow-untracked", no_argument, NULL, OWN_ALLOW_UNTRACKED},
    {"held", no_argument, NULL, OWN_HELD},
    {"repeat", required_argument, NULL, OWN_REPEAT},
    {"iterations", required_argument, NULL, OWN_ITERATIONS},
    {"wait", required_argument, NULL, OWN_WAIT},
    {"stop", no_argument, NULL, OWN_STOP},
    {"keep", no_argument, NULL, OWN_KEEP},
    {"format", required_argument, NULL, OWN_FORMAT},
    {"output", required_argument, NULL, OWN_OUTPUT},
    {"json", required_argument, NULL, OWN_JSON},
    {"junit", required_argument, NULL, OWN_JUNIT},
    {"sarif", required_argument, NULL, OWN_SARIF},
    {"markdown", required_argument, NULL, OWN_MARKDOWN},
    {"gitlab", required_argument, NULL, OWN_GITLAB},
    {"github", no_argument, NULL, OWN_GITHUB},
    {"source-root", required_argument, NULL, OWN_ROOT},
    {"own", required_argument, NULL, OWN_OWN},
    {"symbols", required_argument, NULL, OWN_SYMBOLS},
    BL_RUN_LONG_OPTIONS,
    {NULL, 0, NULL, 0}};

#define MARK_NAME     "bufleak-iteration"
#define MARK_LIMIT_NS 2000000000u
#define WAIT_MS       10000
#define SUPPRESSIONS  32

/* A program that became another one, which should have a ledger of its own. */
struct replaced {
    uint32_t pid;
    uint64_t start_ns;
    char comm[64];
};

/* A program that its parent, or what it was before, noted as one that goes without the shim. */
struct noted {
    struct bl_exec exec;
    uint64_t start_ns; /* of who noted it */
};

struct request {
    struct bl_session session;
    struct bl_check check;
    struct bl_collect_options collect;
    int leaks_code;
    uint64_t repeat;
    uint64_t wait_ms;
    const char *suppression_paths[SUPPRESSIONS];
    size_t suppression_count;
    bool generates;
    const char *generate_path; /* NULL: with the text */
    bool is_json;
    bool stops;
    bool keeps;
    bool wants_help;
    bool is_github;
    const char *output_path;
    const char *json_path;
    const char *junit_path;
    const char *sarif_path;
    const char *markdown_path;
    const char *gitlab_path;
    char root[PATH_MAX];
    struct replaced *replaced;
    size_t replaced_count;
    struct noted *noted;
    size_t noted_count;
};

/* ---- options ---- */

static int bad(struct bl_error *error, const char *option, const char *value, const char *accepted)
{
    bl_args_bad_value(error, option, value, accepted);
    return BL_CODE_USAGE;
}

static int add_pattern(struct bl_patterns *patterns, const char *pattern, struct bl_error *error)
{
    if (patterns->count == BL_CHECK_PATTERNS) {
        bl_error_set(error, "patterns of processes may be given %d times at most",
                     BL_CHECK_PATTERNS);
        return BL_CODE_USAGE;
    }
    patterns->list[patterns->count++] = pattern;
    return 0;
}

static int take_tolerance(struct bl_tolerance *tolerance, const char *value, struct bl_error *error)
{
    char digits[32];
    uint64_t number;
    size_t length = strlen(value);
    bool is_share = length > 0 && value[length - 1] == '%';
    if (length - is_share >= sizeof(digits))
        return bad(error, "--tolerance", value, "a number of buffers, or a share such as 10%");
    memcpy(digits, value, length - is_share);
    digits[length - is_share] = '\0';
    if (!bl_text_parse_number(digits, 1000000000, &number))
        return bad(error, "--tolerance", value, "a number of buffers, or a share such as 10%");
    if (is_share)
        tolerance->share = (double)number / 100;
    else
        tolerance->count = number;
    return 0;
}

static int take_number(const char *option, const char *value, uint64_t least, uint64_t most,
                       uint64_t *out, struct bl_error *error)
{
    char accepted[64];
    snprintf(accepted, sizeof(accepted), "a number from %llu to %llu", (unsigned long long)least,
             (unsigned long long)most);
    return bl_text_parse_number(value, most, out) && *out >= least
               ? 0
               : bad(error, option, value, accepted);
}

static int take_judging(struct request *request, int code, struct bl_error *error)
{
    struct bl_check *check = &request->check;
    switch (code) {
    case OWN_PROCESSES:
        return add_pattern(&check->processes, optarg, error);
    case OWN_IGNORE:
        return add_pattern(&check->ignored, optarg, error);
    case OWN_SUPPRESSIONS:
        if (request->suppression_count == SUPPRESSIONS)
            return bad(error, "--suppressions", optarg, "it 32 times at most");
        request->suppression_paths[request->suppression_count++] = optarg;
        return 0;
    case OWN_NO_BUILTIN:
        check->no_builtin = true;
        return 0;
    case OWN_SHOW:
        check->shows_suppressed = true;
        return 0;
    case OWN_BASELINE:
        check->baseline_path = optarg;
        return 0;
    case OWN_UPDATE:
        check->updates_baseline = true;
        return 0;
    case OWN_TOLERANCE:
        return take_tolerance(&check->tolerance, optarg, error);
    case OWN_ALLOW:
        return bl_check_take_allowance(check, optarg, error) < 0 ? BL_CODE_USAGE : 0;
    case OWN_ALLOW_UNKNOWN:
        check->allows_unknown = true;
        return 0;
    case OWN_ALLOW_UNTRACKED:
        check->allows_untracked = true;
        return 0;
    case OWN_HELD:
        check->counts_held = true;
        return 0;
    case OWN_ITERATIONS:
        check->iteration_name = optarg;
        return 0;
    default:
        return -1;
    }
}

static int take_root(struct request *request, const char *value, struct bl_error *error)
{
    if (!realpath(value, request->root)) {
        bl_error_set(error, "--source-root %s: %s", value, strerror(errno));
        return BL_CODE_USAGE;
    }
    request->check.source_root = request->root;
    return 0;
}

static int take_symbols(struct request *request, int code, struct bl_error *error)
{
    bool is_own = code == OWN_OWN;
    size_t *count = is_own ? &request->collect.own_count : &request->collect.symbol_path_count;
    if (*count == 16)
        return bad(error, is_own ? "--own" : "--symbols", optarg, "it 16 times at most");
    (is_own ? request->collect.own : request->collect.symbol_paths)[(*count)++] = optarg;
    return 0;
}

static int take_output(struct request *request, int code, struct bl_error *error)
{
    const char **const paths[] = {&request->output_path,   &request->json_path,
                                  &request->junit_path,    &request->sarif_path,
                                  &request->markdown_path, &request->gitlab_path};
    if (code >= OWN_OUTPUT && code <= OWN_GITLAB) {
        *paths[code - OWN_OUTPUT] = optarg;
        return 0;
    }
    switch (code) {
    case OWN_GENERATE:
        request->generates = true;
        request->generate_path = optarg;
        return 0;
    case OWN_GITHUB:
        request->is_github = true;
        return 0;
    case OWN_FORMAT:
        request->is_json = strcmp(optarg, "json") == 0;
        return request->is_json || strcmp(optarg, "text") == 0
                   ? 0
                   : bad(error, "--format", optarg, "text or json");
    case OWN_ROOT:
        return take_root(request, optarg, error);
    case OWN_OWN:
    case OWN_SYMBOLS:
        return take_symbols(request, code, error);
    default:
        return -1;
    }
}

static int take_running(struct request *request, int code, struct bl_error *error)
{
    uint64_t number;
    int outcome = 0;
    switch (code) {
    case BL_ARGS_HELP:
        request->wants_help = true;
        return 0;
    case OWN_CODE:
        outcome = take_number("--error-exitcode", optarg, 0, 255, &number, error);
        if (outcome == 0)
            request->leaks_code = (int)number;
        return outcome;
    case OWN_REPEAT:
        return take_number("--repeat", optarg, 1, 511, &request->repeat, error);
    case OWN_WAIT:
        if (!bl_text_parse_age(optarg, &number))
            return bad(error, "--wait", optarg, "an age such as 500ms, 10s, 5m");
        request->wait_ms = number / 1000000u + 1;
        return 0;
    case OWN_STOP:
        request->stops = true;
        return 0;
    case OWN_KEEP:
        request->keeps = true;
        return 0;
    default:
        return -1;
    }
}

static int take_option(struct request *request, int code, int argc, char **argv,
                       struct bl_error *error)
{
    if (code == '?' || code == ':')
        return bl_args_refuse(error, code, argv, "check");
    if (code >= BL_ARGS_SHIM && code < BL_ARGS_SHIM_END)
        return bl_run_options_take(&request->session.env, code, argc, argv, error);
    int outcome = take_running(request, code, error);
    if (outcome < 0)
        outcome = take_judging(request, code, error);
    if (outcome < 0)
        outcome = take_output(request, code, error);
    return outcome;
}

/* What a check tells the shim where the user did not. */
static int complete_options(struct bl_run_env *env, struct bl_error *error)
{
    static const char *const options[][2] = {{"quiet", "1"}, {"signal", "none"}, {"reach", "exit"}};
    if (!bl_run_env_has_option(env, "quiet"))
        bl_profile_file_warn(env->options);
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (!bl_run_env_has_option(env, options[i][0]) &&
            bl_run_env_set_option(env, options[i][0], options[i][1], error) < 0)
            return BL_CODE_USAGE;
    return 0;
}

static int parse(struct request *request, int argc, char **argv, struct bl_error *error)
{
    int code;
    bl_run_options_inherit(&request->session.env);
    while ((code = getopt_long(argc, argv, "+:", long_options, NULL)) != -1) {
        int outcome = take_option(request, code, argc, argv, error);
        if (outcome != 0)
            return outcome;
    }
    if (request->wants_help)
        return 0;
    request->check.command = request->session.command = argv + optind;
    if (optind == argc) {
        bl_error_set(error, "check needs a command to run; see `bufleak check --help`");
        return BL_CODE_USAGE;
    }
    if (request->check.updates_baseline && !request->check.baseline_path) {
        bl_error_set(error, "--update-baseline needs --baseline FILE");
        return BL_CODE_USAGE;
    }
    return complete_options(&request->session.env, error);
}

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

static int look_at_outputs(const struct request *request, struct bl_error *error)
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
    return 0;
}

/* Before anything is run, so that a mistake in a file does not cost the run. */
static int read_files(struct request *request, struct bl_error *error)
{
    struct bl_check *check = &request->check;
    if (look_at_outputs(request, error) < 0)
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

static int make_directory(struct request *request, struct bl_error *error)
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

static void remove_directory(const struct request *request)
{
    const char *path = request->session.env.directory;
    if (!*path)
        return;
    if (request->keeps)
        bl_say("the ledgers are in %s", path);
    else
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void note_replaced(struct request *request, const struct bl_header *header)
{
    request->replaced = bl_leaks_memory(request->replaced,
                                        (request->replaced_count + 1) * sizeof(*request->replaced));
    struct replaced *replaced = &request->replaced[request->replaced_count++];
    *replaced = (struct replaced){.pid = header->pid, .start_ns = header->start_realtime_ns};
    bl_text_printable(replaced->comm, sizeof(replaced->comm), header->comm,
                      strnlen(header->comm, sizeof(header->comm)));
}

static void take_notes(struct request *request, const struct bl_header *header)
{
    for (size_t i = 0; i < BL_EXECS_MAX; i++) {
        const struct bl_exec *exec = &header->execs[i];
        if (exec->reason == BL_EXEC_TRACKED || exec->count == 0)
            continue;
        request->noted =
            bl_leaks_memory(request->noted, (request->noted_count + 1) * sizeof(*request->noted));
        request->noted[request->noted_count++] =
            (struct noted){.exec = *exec, .start_ns = header->start_realtime_ns};
    }
}

/* A process that ended: judged at once, so that its ledger need not be kept. */
static void on_end(void *context, struct bl_target *target)
{
    struct request *request = context;
    uint64_t freed = 0;
    take_notes(request, &target->header);
    if (target->header.state == BL_STATE_EXECED)
        note_replaced(request, &target->header);
    else
        bl_check_collect(&request->check, target, &request->collect);
    if (!request->keeps)
        bl_ledgers_remove(target->path, &freed);
}

static void on_running(void *context, struct bl_target *target)
{
    struct request *request = context;
    struct bl_collect_options options = request->collect;
    options.still_runs = true;
    take_notes(request, &target->header);
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
static int run_command(struct request *request, struct bl_error *error)
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

/* ---- what went without the shim ---- */

static void add_untracked(struct bl_check *check, const struct bl_untracked *untracked,
                          const char *exe)
{
    char left_out[512];
    if (bl_check_leaves_out(check, untracked->comm, exe, left_out, sizeof(left_out)))
        return;
    check->untracked =
        bl_leaks_memory(check->untracked, (check->untracked_count + 1) * sizeof(*check->untracked));
    check->untracked[check->untracked_count++] = *untracked;
}

static void add_unseen(struct bl_check *check, pid_t pid, const char *comm, const char *why)
{
    struct bl_untracked untracked = {.pid = pid, .count = 1, .why = why};
    snprintf(untracked.comm, sizeof(untracked.comm), "%s", comm);
    add_untracked(check, &untracked, comm);
}

static bool is_suspect(const struct bl_session *session, uint32_t pid)
{
    for (size_t i = 0; i < session->suspect_count; i++)
        if (session->suspects[i].pid == (pid_t)pid && session->suspects[i].was_said)
            return true;
    return false;
}

static void add_noted(struct request *request, const struct noted *noted)
{
    struct bl_exec_row row;
    char why[sizeof(row.path) + 160];
    if (!bl_execs_describe(&noted->exec, &row) ||
        bl_session_has_successor(&request->session, noted->exec.pid, noted->start_ns))
        return;
    struct bl_untracked untracked = {.pid = (pid_t)row.pid, .count = row.count};
    snprintf(untracked.comm, sizeof(untracked.comm), "%s", row.comm);
    snprintf(why, sizeof(why), "%s %s", row.path, row.why);
    untracked.why = bl_leaks_text(request->check.leaks, why);
    add_untracked(&request->check, &untracked, row.path);
}

/* Was it told by who started it? Then the kernel's numbers and names are the same. */
static bool is_noted(const struct request *request, uint32_t pid, const char *comm)
{
    for (size_t i = 0; i < request->noted_count; i++) {
        const struct bl_exec *exec = &request->noted[i].exec;
        if (exec->pid == pid || strncmp(exec->comm, comm, sizeof(exec->comm)) == 0)
            return true;
    }
    return false;
}

static void find_untracked(struct request *request)
{
    struct bl_session *session = &request->session;
    struct bl_check *check = &request->check;
    for (size_t i = 0; i < request->noted_count; i++)
        add_noted(request, &request->noted[i]);
    for (size_t i = 0; i < session->suspect_count; i++) {
        const struct bl_suspect *suspect = &session->suspects[i];
        if (suspect->was_said && !is_noted(request, (uint32_t)suspect->pid, suspect->comm))
            add_unseen(check, suspect->pid, suspect->comm, suspect->why);
    }
    for (size_t i = 0; i < request->replaced_count; i++) {
        const struct replaced *replaced = &request->replaced[i];
        if (!bl_session_has_successor(session, replaced->pid, replaced->start_ns) &&
            !is_suspect(session, replaced->pid) && !is_noted(request, replaced->pid, ""))
            add_unseen(check, (pid_t)replaced->pid, "(after exec)",
                       "what it became by exec left no ledger: static, set-user-ID, or without "
                       "LD_PRELOAD");
    }
    if (!bl_session_was_tracked(session) && check->untracked_count == 0)
        add_unseen(check, session->child, session->child_name,
                   "it left no ledger: static, set-user-ID, or its LD_PRELOAD was dropped");
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

static int write_files(const struct request *request, struct bl_error *error)
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
static int write_report(const struct request *request, struct bl_error *error)
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

static int conclude(struct request *request, struct bl_error *error)
{
    struct bl_check *check = &request->check;
    find_untracked(request);
    bl_check_decide(check);
    if (check->updates_baseline && bl_baseline_write(check->baseline_path, check->leaks, error) < 0)
        return BL_CODE_FAILED;
    if (check->updates_baseline)
        bl_say("the baseline was written to %s", check->baseline_path);
    /* what was found is told all the same */
    struct bl_error ignored;
    bool is_written = write_files(request, error) == 0;
    if (write_report(request, is_written ? error : &ignored) < 0 || !is_written)
        return BL_CODE_FAILED;
    return bl_check_code(check, request->leaks_code);
}

static void see_environment(struct request *request)
{
    const char *github = getenv("GITHUB_ACTIONS");
    const char *gitlab = getenv("GITLAB_CI");
    request->is_github |= github && strcmp(github, "true") == 0;
    if (!request->gitlab_path && gitlab && *gitlab)
        request->gitlab_path = "gl-code-quality-report.json";
}

int bl_cmd_check(int argc, char **argv, struct bl_error *error)
{
    struct request request = {.session.signal_fd = -1,
                              .leaks_code = BL_CHECK_LEAKS_CODE,
                              .repeat = 1,
                              .wait_ms = WAIT_MS};
    request.session.handlers = &handlers;
    request.session.context = &request;
    request.session.owns_directory = true;
    request.session.is_quiet = true;
    int code = parse(&request, argc, argv, error);
    if (code == 0 && request.wants_help) {
        fputs(help, stdout);
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
    free(request.check.untracked);
    free(request.check.programs);
    bl_baseline_deinit(&request.check.baseline);
    bl_suppressions_destroy(request.check.suppressions);
    bl_leaks_destroy(request.check.leaks);
    bl_symbols_store_destroy(request.collect.store);
    return code;
}
