#include "commands.h"

#include "args.h"
#include "render_top.h"
#include "target.h"
#include "text.h"
#include "top_look.h"
#include "top_ui.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define INTERVAL_NS 1000000000ull
#define WINDOW_NS   600000000000ull
#define ONCE_TEXT   20 /* places */
#define ONCE_JSON   1000

static const char help[] =
    "Usage: bufleak top [OPTIONS] [PID|LEDGER|SNAPSHOT]\n"
    "Shows the classes and places of unreleased buffers of a process as they change, with their\n"
    "verdicts. It only reads the ledger: the process is not slowed, and may have been killed.\n"
    "Without a target: the newest ledger. The key h tells the keys.\n"
    "\n"
    "  --once                print one frame and end; no terminal is needed\n"
    "  --format text|json    with --once: how to write it (default text)\n"
    "  --top N               with --once: the first N places (default 20, JSON 1000; 0 = all)\n"
    "  --sort KEY            bytes (default), count, rate, verdict or name\n"
    "  --filter TEXT         only places with this in class, function, file or verdict\n"
    "  --class NAME          only this class of buffers\n"
    "  --own PATTERN         modules that are yours: the site is your innermost frame\n"
    "  --interval AGE        how often to look (default 1s)\n"
    "  --window AGE          how much time is shown (default 10m; 0 = all there is)\n"
    "  --help                this text\n";

static const struct option long_options[] = {{"help", no_argument, NULL, BL_ARGS_HELP},
                                             {"once", no_argument, NULL, BL_ARGS_OWN},
                                             {"format", required_argument, NULL, BL_ARGS_OWN + 1},
                                             {"top", required_argument, NULL, BL_ARGS_OWN + 2},
                                             {"sort", required_argument, NULL, BL_ARGS_OWN + 3},
                                             {"filter", required_argument, NULL, BL_ARGS_OWN + 4},
                                             {"class", required_argument, NULL, BL_ARGS_OWN + 5},
                                             {"own", required_argument, NULL, BL_ARGS_OWN + 6},
                                             {"interval", required_argument, NULL, BL_ARGS_OWN + 7},
                                             {"window", required_argument, NULL, BL_ARGS_OWN + 8},
                                             {NULL, 0, NULL, 0}};

struct request {
    const char *argument;
    bool wants_help;
    bool is_once;
    bool is_json;
    bool has_format;
    bool has_top;
    size_t top;
    enum bl_top_sort sort;
    const char *filter;
    struct bl_model_options model;
    uint64_t interval_ns;
    uint64_t window_ns;
};

static int take_sort(struct request *request, const char *value, struct bl_error *error)
{
    for (int i = 0; i < BL_TOP_SORTS; i++) {
        if (strcmp(value, bl_top_sort_name((enum bl_top_sort)i)) != 0)
            continue;
        request->sort = (enum bl_top_sort)i;
        return 0;
    }
    return bl_args_bad_value(error, "--sort", value, "bytes, count, rate, verdict or name");
}

static int take_format(struct request *request, const char *value, struct bl_error *error)
{
    request->has_format = true;
    request->is_json = strcmp(value, "json") == 0;
    if (!request->is_json && strcmp(value, "text") != 0)
        return bl_args_bad_value(error, "--format", value, "text or json");
    return 0;
}

static int take_top(struct request *request, const char *value, struct bl_error *error)
{
    uint64_t number;
    if (!bl_text_parse_number(value, UINT32_MAX, &number))
        return bl_args_bad_value(error, "--top", value, "a number, 0 for all");
    request->top = (size_t)number;
    request->has_top = true;
    return 0;
}

static int take_own(struct request *request, const char *value, struct bl_error *error)
{
    if (request->model.own_count == BL_MODEL_OWN_MAX)
        return bl_error_set(error, "--own may be given %d times at most", BL_MODEL_OWN_MAX);
    request->model.own[request->model.own_count++] = value;
    return 0;
}

static int take_interval(struct request *request, const char *value, struct bl_error *error)
{
    if (!bl_text_parse_age(value, &request->interval_ns) || request->interval_ns < 50000000u)
        return bl_args_bad_value(error, "--interval", value, "an age of 50ms or more: 1s, 10s");
    return 0;
}

static int take_option(struct request *request, int code, struct bl_error *error)
{
    switch (code - BL_ARGS_OWN) {
    case 0:
        request->is_once = true;
        return 0;
    case 1:
        return take_format(request, optarg, error);
    case 2:
        return take_top(request, optarg, error);
    case 3:
        return take_sort(request, optarg, error);
    case 4:
        request->filter = optarg;
        return 0;
    case 5:
        request->model.class_name = optarg;
        return 0;
    case 6:
        return take_own(request, optarg, error);
    case 7:
        return take_interval(request, optarg, error);
    default:
        if (bl_text_parse_age(optarg, &request->window_ns))
            return 0;
        return bl_args_bad_value(error, "--window", optarg, "an age such as 10m, 1h, 1d, or 0");
    }
}

static int parse(struct request *request, int argc, char **argv, struct bl_error *error)
{
    int code;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (code == '?' || code == ':')
            return bl_args_refuse(error, code, argv, "top");
        if (code == BL_ARGS_HELP)
            request->wants_help = true;
        else if (take_option(request, code, error) < 0)
            return BL_CODE_USAGE;
    }
    if (argc - optind > 1) {
        bl_error_set(error, "top takes one target, not %d; see `bufleak top --help`",
                     argc - optind);
        return BL_CODE_USAGE;
    }
    if (!request->is_once && (request->has_format || request->has_top)) {
        bl_error_set(error, "--format and --top go with --once; see `bufleak top --help`");
        return BL_CODE_USAGE;
    }
    request->argument = optind < argc ? argv[optind] : NULL;
    return 0;
}

static int print_once(const struct request *request, const struct bl_target *target,
                      struct bl_error *error)
{
    struct bl_top_looker *looker = NULL;
    struct bl_top_frame *frame = NULL;
    struct bl_top_wish wish = {.window_ns = request->window_ns};
    struct bl_term term = bl_term_of(stdout);
    struct bl_top_ui ui = {.sort = request->sort,
                           .is_once = true,
                           .is_ascii = bl_top_ui_is_ascii(),
                           .top = request->is_json ? ONCE_JSON : ONCE_TEXT};
    if (request->has_top)
        ui.top = request->top;
    if (request->filter)
        snprintf(ui.filter, sizeof(ui.filter), "%s", request->filter);
    int outcome = bl_top_looker_create(&looker, target, &request->model, error);
    if (outcome == 0)
        outcome = bl_top_look(looker, BL_TOP_FULL, &wish, &frame, error);
    if (outcome == 0 && request->is_json) {
        outcome = bl_render_top_json(stdout, frame, &ui, error);
    } else if (outcome == 0) {
        struct bl_canvas *canvas = bl_canvas_create(term.width, 0);
        if (canvas) {
            bl_top_layout(canvas, frame, &ui);
            bl_canvas_write(canvas, stdout, &term);
        }
        bl_canvas_destroy(canvas);
    }
    bl_top_frame_destroy(frame);
    bl_top_looker_destroy(looker);
    return outcome < 0 ? BL_CODE_FAILED : BL_CODE_FINE;
}

static int watch(const struct request *request, struct bl_target *target, struct bl_error *error)
{
    struct bl_top_run run = {.target = target,
                             .model = &request->model,
                             .interval_ns = request->interval_ns,
                             .window_ns = request->window_ns,
                             .sort = request->sort,
                             .filter = request->filter};
    int outcome = bl_top_ui_run(&run, error);
    if (outcome > 0) {
        /* as whoever sent it expects */
        signal(outcome, SIG_DFL);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, outcome);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        raise(outcome);
    }
    return outcome < 0 ? BL_CODE_FAILED : BL_CODE_FINE;
}

int bl_cmd_top(int argc, char **argv, struct bl_error *error)
{
    /* for the thread that a quick end leaves behind */
    static struct request request = {.interval_ns = INTERVAL_NS, .window_ns = WINDOW_NS};
    static struct bl_target target;
    int code = parse(&request, argc, argv, error);
    if (code != 0)
        return code;
    if (request.wants_help) {
        fputs(help, stdout);
        return BL_CODE_FINE;
    }
    struct bl_target_choice choice = {.argument = request.argument, .ledger_only = true};
    if (bl_target_open(&choice, &target, error) < 0)
        return BL_CODE_FAILED;
    if (!choice.argument)
        bl_say("reading %s", target.path);
    if (!request.is_once)
        return watch(&request, &target, error);
    code = print_once(&request, &target, error);
    bl_target_deinit(&target);
    return code;
}
