#include "commands.h"

#include "report.h"
#include "text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: bufleak report [OPTIONS] [PID|LEDGER|SNAPSHOT]\n"
    "Shows which buffers are unreleased, and where they were allocated.\n"
    "\n"
    "A PID shows the latest snapshot of that process, or its live ledger when there is none;\n"
    "a process that has ended is shown as it ended. Without a target: the newest ledger.\n"
    "\n"
    "  --live                the process as it is now, also when there are snapshots\n"
    "  --snapshot N          that snapshot\n"
    "  --per FUNCTION        growth for each call of it (started with "
    "per=FUNCTION)\n"
    "  --format FORMAT       text (default), json, html (a page), or the unreleased bytes of\n"
    "                        each stack: folded (a line each, for flame graphs) or pprof\n"
    "  --weight WHAT         bytes (default) or count: the number on a folded line\n" BL_REPORT_HELP
    "  --help                this text\n";

static const struct option long_options[] = {{"help", no_argument, NULL, BL_ARGS_HELP},
                                             {"live", no_argument, NULL, BL_ARGS_OWN},
                                             {"snapshot", required_argument, NULL, BL_ARGS_OWN + 1},
                                             {"weight", required_argument, NULL, BL_ARGS_OWN + 2},
                                             BL_REPORT_LONG_OPTIONS,
                                             {NULL, 0, NULL, 0}};

struct request {
    struct bl_target_choice choice;
    struct bl_report_options report;
    bool has_weight;
    bool has_group;
    bool wants_help;
};

#define FORMAT BL_ARGS_REPORT
#define GROUP  (BL_ARGS_REPORT + 1)

static int take_format(struct request *request, struct bl_error *error)
{
    if (bl_report_take_own_format(&request->report, optarg) ||
        bl_report_take_option(&request->report, FORMAT, optarg, error) == 0)
        return 0;
    bl_args_bad_value(error, "--format", optarg, "text, json, html, folded or pprof");
    return BL_CODE_USAGE;
}

static int take_weight(struct request *request, struct bl_error *error)
{
    request->has_weight = true;
    request->report.counts_buffers = strcmp(optarg, "count") == 0;
    if (request->report.counts_buffers || strcmp(optarg, "bytes") == 0)
        return 0;
    bl_args_bad_value(error, "--weight", optarg, "bytes or count");
    return BL_CODE_USAGE;
}

static int take_option(struct request *request, int code, char **argv, struct bl_error *error)
{
    uint64_t number;
    switch (code) {
    case '?':
    case ':':
        return bl_args_refuse(error, code, argv, "report");
    case BL_ARGS_HELP:
        request->wants_help = true;
        return 0;
    case BL_ARGS_OWN:
        request->choice.ledger_only = true;
        return 0;
    case BL_ARGS_OWN + 1:
        if (bl_text_parse_number(optarg, UINT32_MAX, &number) && number > 0) {
            request->choice.snapshot = (uint32_t)number;
            return 0;
        }
        bl_args_bad_value(error, "--snapshot", optarg, "a number from 1");
        return BL_CODE_USAGE;
    case BL_ARGS_OWN + 2:
        return take_weight(request, error);
    case FORMAT:
        return take_format(request, error);
    default:
        request->has_group = request->has_group || code == GROUP;
        if (bl_report_take_option(&request->report, code, optarg, error) < 0)
            return BL_CODE_USAGE;
        return 0;
    }
}

static const char *format_name(const struct bl_report_options *report)
{
    return report->is_html                      ? "html"
           : report->stacks == BL_REPORT_PPROF  ? "pprof"
           : report->stacks == BL_REPORT_FOLDED ? "folded"
                                                : NULL;
}

/* The option that asks for something else than this format is; NULL: none does. */
static const char *find_unfit(const struct request *request)
{
    const struct bl_report_options *report = &request->report;
    if (report->has_buffer || report->show_tree)
        return report->has_buffer ? "--buffer" : "--tree";
    if (report->is_html) /* a whole report */
        return NULL;
    return request->has_group   ? "--group"
           : report->show_hooks ? "--hooks"
           : report->per        ? "--per"
                                : NULL;
}

/* Stacks for other programs are neither grouped nor shown beside anything else. */
static int settle_format(struct request *request, struct bl_error *error)
{
    struct bl_report_options *report = &request->report;
    const char *format = format_name(report);
    if (request->has_weight && report->stacks != BL_REPORT_FOLDED)
        return bl_error_set(error, "--weight goes with --format folded only");
    if (!format)
        return 0;
    const char *unfit = find_unfit(request);
    if (unfit)
        return bl_error_set(error, "%s does not go with --format %s", unfit, format);
    if (report->stacks == BL_REPORT_PPROF && isatty(STDOUT_FILENO))
        return bl_error_set(error, "a compressed profile is not for a terminal: give it a file, as "
                                   "in `bufleak report --format pprof > leaks.pb.gz`");
    if (report->stacks)
        report->model.group_by = BL_GROUP_STACK;
    return 0;
}

static int parse(struct request *request, int argc, char **argv, struct bl_error *error)
{
    int code;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        int outcome = take_option(request, code, argv, error);
        if (outcome != 0)
            return outcome;
    }
    if (argc - optind > 1) {
        bl_error_set(error, "report takes one target, not %d; see `bufleak report --help`",
                     argc - optind);
        return BL_CODE_USAGE;
    }
    if (request->choice.ledger_only && request->choice.snapshot > 0) {
        bl_error_set(error, "--live and --snapshot exclude each other");
        return BL_CODE_USAGE;
    }
    if (settle_format(request, error) < 0)
        return BL_CODE_USAGE;
    request->choice.argument = optind < argc ? argv[optind] : NULL;
    return 0;
}

int bl_cmd_report(int argc, char **argv, struct bl_error *error)
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
    int outcome = bl_report_write(stdout, &target, &request.report, error);
    bl_target_deinit(&target);
    return outcome < 0 ? BL_CODE_FAILED : BL_CODE_FINE;
}
