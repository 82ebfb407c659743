#include "check_request.h"

#include "args.h"
#include "profile_file.h"
#include "run_options.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char bl_check_help[] =
    "Usage: bufleak check [OPTIONS] [--] COMMAND [ARGUMENTS]\n"
    "Runs a command with everything it starts, and fails when something leaked.\n"
    "\n"
    "  --error-exitcode N      the exit code for leaks (default 23)\n"
    "  --processes PATTERN     only processes of this name (* and ?; may be repeated)\n"
    "  --ignore-process PATTERN\n"
    "                          not these; shells, compilers and make are left out anyway\n"
    "  --suppressions FILE     leaks not to fail for: LeakSanitizer's format, valgrind's, or both\n"
    "  --no-builtin            without the suppressions for GLib, GStreamer and Java\n"
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

static int take_judging(struct bl_check_request *request, int code, struct bl_error *error)
{
    struct bl_check *check = &request->check;
    switch (code) {
    case OWN_PROCESSES:
        return add_pattern(&check->processes, optarg, error);
    case OWN_IGNORE:
        return add_pattern(&check->ignored, optarg, error);
    case OWN_SUPPRESSIONS:
        if (request->suppression_count == BL_CHECK_SUPPRESSIONS)
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
        check->has_tolerance = true;
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

static int take_root(struct bl_check_request *request, const char *value, struct bl_error *error)
{
    if (!realpath(value, request->root)) {
        bl_error_set(error, "--source-root %s: %s", value, strerror(errno));
        return BL_CODE_USAGE;
    }
    request->check.source_root = request->root;
    return 0;
}

static int take_symbols(struct bl_check_request *request, int code, struct bl_error *error)
{
    bool is_own = code == OWN_OWN;
    size_t *count = is_own ? &request->collect.own_count : &request->collect.symbol_path_count;
    if (*count == 16)
        return bad(error, is_own ? "--own" : "--symbols", optarg, "it 16 times at most");
    (is_own ? request->collect.own : request->collect.symbol_paths)[(*count)++] = optarg;
    return 0;
}

static int take_output(struct bl_check_request *request, int code, struct bl_error *error)
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

static int take_running(struct bl_check_request *request, int code, struct bl_error *error)
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

static int refuse_empty(int code, struct bl_error *error)
{
    for (const struct option *option = long_options; option->name; option++)
        if (option->val == code)
            bl_error_set(error, "--%s needs a value that is not empty", option->name);
    return BL_CODE_USAGE;
}

static int take_option(struct bl_check_request *request, int code, int argc, char **argv,
                       struct bl_error *error)
{
    if (code == '?' || code == ':')
        return bl_args_refuse(error, code, argv, "check");
    if (bl_args_is_empty())
        return refuse_empty(code, error);
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
    bl_profile_file_make_absolute(env->options, sizeof(env->options));
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (!bl_run_env_has_option(env, options[i][0]) &&
            bl_run_env_set_option(env, options[i][0], options[i][1], error) < 0)
            return BL_CODE_USAGE;
    return 0;
}

int bl_check_options_parse(struct bl_check_request *request, int argc, char **argv,
                           struct bl_error *error)
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
    if (request->check.has_tolerance && !request->check.baseline_path) {
        bl_error_set(error, "--tolerance needs --baseline FILE");
        return BL_CODE_USAGE;
    }
    return complete_options(&request->session.env, error);
}
