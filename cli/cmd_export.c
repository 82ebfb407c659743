#include "commands.h"

#include "args.h"
#include "inspect.h"
#include "report.h"
#include "target.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: bufleak export [OPTIONS] [PID|LEDGER|SNAPSHOT]\n"
    "Writes the facts of a ledger, a JSON object on each line, for other programs: the process,\n"
    "classes, stacks, each unreleased buffer with its operations, how those that ended lived, and\n"
    "what was lost. Nothing is judged; `bufleak report --format json` has verdicts.\n"
    "\n"
    "  --format jsonl        JSON lines, which is all there is\n"
    "  --live                the process as it is now, also when there are snapshots\n"
    "  --snapshot N          that snapshot\n"
    "  --class NAME          only this class of buffers\n"
    "  --min-age AGE         only buffers at least this old: 250ms, 10s, 5m, 2h, 7d\n"
    "  --symbols PATH        look for programs and libraries here too: a file or a directory\n"
    "  --help                this text\n";

#define FORMAT   BL_ARGS_OWN
#define LIVE     (BL_ARGS_OWN + 1)
#define SNAPSHOT (BL_ARGS_OWN + 2)

/* Those of a report have its codes. */
static const struct option long_options[] = {
    {"help", no_argument, NULL, BL_ARGS_HELP},
    {"format", required_argument, NULL, FORMAT},
    {"live", no_argument, NULL, LIVE},
    {"snapshot", required_argument, NULL, SNAPSHOT},
    {"class", required_argument, NULL, BL_ARGS_REPORT + 2},
    {"min-age", required_argument, NULL, BL_ARGS_REPORT + 3},
    {"symbols", required_argument, NULL, BL_ARGS_REPORT + 12},
    {NULL, 0, NULL, 0}};

struct request {
    struct bl_target_choice choice;
    struct bl_report_options report;
    bool wants_help;
};

static int take_snapshot(struct request *request, struct bl_error *error)
{
    uint64_t number;
    if (!bl_text_parse_number(optarg, UINT32_MAX, &number) || number == 0)
        return bl_args_bad_value(error, "--snapshot", optarg, "a number from 1");
    request->choice.snapshot = (uint32_t)number;
    return 0;
}

static int take_option(struct request *request, int code, struct bl_error *error)
{
    switch (code) {
    case BL_ARGS_HELP:
        request->wants_help = true;
        return 0;
    case FORMAT:
        return strcmp(optarg, "jsonl") == 0
                   ? 0
                   : bl_args_bad_value(error, "--format", optarg,
                                       "jsonl; `bufleak report` writes the others");
    case LIVE:
        request->choice.ledger_only = true;
        return 0;
    case SNAPSHOT:
        return take_snapshot(request, error);
    default:
        return bl_report_take_option(&request->report, code, optarg, error);
    }
}

static int parse(struct request *request, int argc, char **argv, struct bl_error *error)
{
    int code;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (code == '?' || code == ':')
            return bl_args_refuse(error, code, argv, "export");
        if (take_option(request, code, error) < 0)
            return BL_CODE_USAGE;
    }
    if (argc - optind > 1) {
        bl_error_set(error, "export takes one target, not %d; see `bufleak export --help`",
                     argc - optind);
        return BL_CODE_USAGE;
    }
    if (request->choice.ledger_only && request->choice.snapshot > 0) {
        bl_error_set(error, "--live and --snapshot exclude each other");
        return BL_CODE_USAGE;
    }
    request->choice.argument = optind < argc ? argv[optind] : NULL;
    return 0;
}

static int export(const struct bl_target *target, const struct bl_report_options *report,
                  struct bl_error *error)
{
    struct bl_inspection inspection;
    struct bl_inspect_options options = bl_report_inspect_options(report);
    const struct bl_export_options chosen = {.class_name = report->model.class_name,
                                             .min_age_ns = report->model.min_age_ns};
    if (bl_inspect(&inspection, target, &options, error) < 0)
        return -1;
    int outcome = bl_render_export(stdout, &inspection.view, &chosen, error);
    bl_inspection_deinit(&inspection);
    return outcome;
}

int bl_cmd_export(int argc, char **argv, struct bl_error *error)
{
    struct request request = {0};
    int code = parse(&request, argc, argv, error);
    if (code != 0)
        return code;
    if (request.wants_help) {
        fputs(help, stdout);
        return BL_CODE_FINE;
    }
    struct bl_target target;
    if (bl_target_open(&request.choice, &target, error) < 0)
        return BL_CODE_FAILED;
    if (target.was_searched)
        bl_say("reading %s", target.path);
    int outcome = export(&target, &request.report, error);
    bl_target_deinit(&target);
    return outcome < 0 ? BL_CODE_FAILED : BL_CODE_FINE;
}
