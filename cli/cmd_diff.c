#include "commands.h"

#include "args.h"
#include "diff.h"
#include "inspect.h"
#include "moment.h"
#include "render_diff.h"
#include "report.h"
#include "series.h"
#include "target.h"
#include "text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: bufleak diff [OPTIONS] A B\n"
    "Shows what changed from A to B: which groups of unreleased buffers are new, have grown,\n"
    "shrunk or gone, and which verdicts are fixed.\n"
    "\n"
    "A and B are each a PID (that process now), a ledger, a snapshot, or one of these with the\n"
    "moment in it that is meant: PID@2 is its snapshot 2, PID@NAME its latest mark of that name,\n"
    "PID@#3 its third mark. They may be one process at two moments or two processes, also of\n"
    "different builds: places are matched by name, not by address.\n"
    "\n"
    "  --format text|json    how to write the comparison (default text)\n"
    "  --group BY            site (default), stack, module, size, thread or age\n"
    "  --class NAME          only this class of buffers\n"
    "  --min-age AGE         only buffers at least this old: 250ms, 10s, 5m, 2h, 7d\n"
    "  --min-bytes SIZE      only groups that changed by at least this much: 512, 64K, 1M\n"
    "  --match REGEX         only stacks with a function, file or module that matches\n"
    "  --top N               the N largest changes (default 20, JSON 1000; 0 = all)\n"
    "  --all                 stacks also of groups without a verdict, where others have one\n"
    "  --own PATTERN         modules that are yours: the site is your innermost frame\n"
    "  --per FUNCTION        growth per call of it, which must have been counted\n"
    "  --symbols PATH        look for programs and libraries here too: a file or a directory\n"
    "  --help                this text\n";

static const struct option long_options[] = {{"help", no_argument, NULL, BL_ARGS_HELP},
                                             BL_REPORT_SELECT_OPTIONS,
                                             {"per", required_argument, NULL, BL_REPORT_PER},
                                             {NULL, 0, NULL, 0}};

struct request {
    const char *arguments[2];
    struct bl_report_options report;
    bool wants_help;
};

static int parse(struct request *request, int argc, char **argv, struct bl_error *error)
{
    int code;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (code == '?' || code == ':')
            return bl_args_refuse(error, code, argv, "diff");
        if (code == BL_ARGS_HELP)
            request->wants_help = true;
        else if (bl_report_take_option(&request->report, code, optarg, error) < 0)
            return BL_CODE_USAGE;
    }
    if (argc - optind != 2 && !request->wants_help) {
        bl_error_set(error, "diff compares two targets, not %d; see `bufleak diff --help`",
                     argc - optind);
        return BL_CODE_USAGE;
    }
    for (int i = 0; i < 2 && !request->wants_help; i++)
        request->arguments[i] = argv[optind + i];
    return 0;
}

/* One of the two, from what the user typed to what is known. */
struct side {
    char argument[PATH_MAX + BL_MARK_NAME]; /* without the moment */
    struct bl_target_choice choice;
    const char *mark; /* NULL: none */
    char mark_text[4 * BL_MARK_NAME];
    const struct bl_mark *moment; /* what `mark` was found to be; of the inspection */
    struct bl_target target;
    struct bl_inspection inspection;
    bool is_open;
    bool is_inspected;
};

/* Where the moment begins: after the first @ that follows a PID, a file or nothing, else after the
 * last, as a program may give its marks any name; NULL: all of it is the name of a file, or there
 * is none. */
static const char *find_moment(const char *argument)
{
    char target[PATH_MAX];
    if (access(argument, F_OK) == 0)
        return NULL;
    for (const char *at = strchr(argument, '@'); at; at = strchr(at + 1, '@')) {
        size_t length = (size_t)(at - argument);
        if (strspn(argument, "0123456789") == length)
            return at;
        if (length >= sizeof(target))
            break;
        memcpy(target, argument, length);
        target[length] = '\0';
        if (access(target, F_OK) == 0)
            return at;
    }
    return strrchr(argument, '@');
}

/* "4242@2", "4242@warm", "4242@#3". */
static int split_moment(struct side *side, const char *argument, struct bl_error *error)
{
    const char *at = find_moment(argument);
    uint64_t number;
    if (strlen(argument) >= sizeof(side->argument))
        return bl_error_set(error, "%s: this is longer than any path", argument);
    memcpy(side->argument, argument, strlen(argument) + 1);
    side->choice = (struct bl_target_choice){.argument = side->argument, .ledger_only = true};
    if (!at)
        return 0;
    side->argument[at - argument] = '\0';
    if (at == argument)
        side->choice.argument = NULL;
    if (bl_text_parse_number(at + 1, UINT32_MAX, &number) && number > 0) {
        side->choice.ledger_only = false;
        side->choice.snapshot = (uint32_t)number;
        return 0;
    }
    side->mark = side->argument + (at - argument) + 1;
    bl_text_printable(side->mark_text, sizeof(side->mark_text), side->mark, strlen(side->mark));
    if (*side->mark == '\0')
        return bl_error_set(
            error, "%s: after @ goes the number of a snapshot or the name of a mark", argument);
    return 0;
}

/* A program may have given a mark a number for a name, which after @ is a snapshot's. */
static void point_to_mark(const struct side *side, struct bl_error *error)
{
    struct bl_target_choice choice = {.argument = side->choice.argument, .ledger_only = true};
    struct bl_target target;
    struct bl_error ignored;
    struct bl_reader *reader = NULL;
    struct bl_series_set *set = NULL;
    char name[16];
    if (side->choice.snapshot == 0 || bl_target_open(&choice, &target, &ignored) < 0)
        return;
    snprintf(name, sizeof(name), "%u", side->choice.snapshot);
    if (bl_reader_create(&reader, target.fd, target.path, BL_READER_SERIES, &ignored) == 0 &&
        bl_series_create(&set, reader, &ignored) == 0) {
        const struct bl_mark *mark = bl_series_find_mark(set, name);
        size_t used = strlen(error->text);
        if (mark && used < sizeof(error->text))
            snprintf(error->text + used, sizeof(error->text) - used, "; its mark \"%s\" is @#%llu",
                     name, (unsigned long long)mark->serial);
    }
    bl_series_destroy(set);
    bl_reader_destroy(reader);
    bl_target_deinit(&target);
}

static int open_side(struct side *side, const char *argument, struct bl_error *error)
{
    if (split_moment(side, argument, error) < 0)
        return -1;
    if (bl_target_open(&side->choice, &side->target, error) < 0) {
        point_to_mark(side, error);
        return -1;
    }
    side->is_open = true;
    if (!side->choice.argument)
        bl_say("reading %s", side->target.path);
    return 0;
}

/* Has a later one the same name? */
static bool is_repeated(const struct bl_series_set *set, size_t i)
{
    for (size_t later = i + 1; later < set->mark_count; later++)
        if (strcmp(set->marks[later]->name, set->marks[i]->name) == 0)
            return true;
    return false;
}

static int refuse_mark(const struct side *side, const struct bl_series_set *set,
                       struct bl_error *error)
{
    char known[512] = "";
    size_t used = 0;
    size_t left = 0;
    for (size_t i = set ? set->mark_count : 0; i-- > 0;) {
        char address[BL_SERIES_MARK_TEXT];
        if (is_repeated(set, i))
            continue;
        bl_series_mark_text(set, i, address, sizeof(address));
        if (used + strlen(address) + sizeof(", ") > sizeof(known))
            left++;
        else
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
                                     address);
    }
    if (left > 0)
        return bl_error_set(error, "process %u has no mark %s; it has: %s and %zu more",
                            side->target.header.pid, side->mark_text, known, left);
    return bl_error_set(error, "process %u has no mark %s; it has: %s", side->target.header.pid,
                        side->mark_text, *known ? known : "none");
}

/* Puts a side back, or both on the same footing: at a mark nothing is judged. */
static int go_to_moment(struct side *side, const struct bl_model_options *options,
                        struct bl_error *error)
{
    struct bl_inspection *inspection = &side->inspection;
    const struct bl_mark *mark = NULL;
    if (side->mark) {
        mark = inspection->series ? bl_series_find_mark(inspection->series, side->mark) : NULL;
        if (!mark)
            return refuse_mark(side, inspection->series, error);
        if (*mark->name) /* also where it was found by its number */
            bl_text_printable(side->mark_text, sizeof(side->mark_text), mark->name,
                              strlen(mark->name));
    }
    side->moment = mark;
    return bl_moment_apply(inspection->model, inspection->reader, inspection->series, mark, options,
                           error);
}

static int inspect_sides(struct side sides[2], const struct request *request,
                         struct bl_inspect_options *inspect, struct bl_error *error)
{
    bool has_mark = sides[0].mark || sides[1].mark;
    if (has_mark && request->report.model.group_by != BL_GROUP_SITE)
        return bl_error_set(error, "at a mark only sites are known: leave --group away");
    inspect->judges = !has_mark;
    for (int i = 0; i < 2; i++) {
        if (bl_inspect(&sides[i].inspection, &sides[i].target, inspect, error) < 0)
            return -1;
        sides[i].is_inspected = true;
        if (has_mark && go_to_moment(&sides[i], &inspect->model, error) < 0)
            return -1;
    }
    return 0;
}

static void close_side(struct side *side)
{
    if (side->is_inspected)
        bl_inspection_deinit(&side->inspection);
    if (side->is_open)
        bl_target_deinit(&side->target);
}

static int compare(const struct request *request, const struct side sides[2],
                   const struct bl_inspect_options *inspect, struct bl_error *error)
{
    struct bl_diff *diff = NULL;
    struct bl_diff_options options = {
        .class_name = request->report.model.class_name,
        .min_bytes = request->report.model.min_bytes,
        .top = bl_report_inspect_options(&request->report).model.top,
        .model = &inspect->model,
    };
    struct bl_diff_side parts[2];
    struct bl_diff_view view = {.diff = NULL};
    for (int i = 0; i < 2; i++) {
        const struct bl_inspection *inspection = &sides[i].inspection;
        parts[i] = (struct bl_diff_side){.reader = inspection->reader,
                                         .model = inspection->model,
                                         .symbols = inspection->symbols,
                                         .growth = inspection->growth,
                                         .mark = sides[i].moment};
        view.sides[i] = inspection->view;
        view.sides[i].show_all = request->report.show_all;
        view.marks[i] = sides[i].mark ? sides[i].mark_text : NULL;
    }
    if (bl_diff_create(&diff, parts, &options, error) < 0)
        return -1;
    view.diff = diff;
    int outcome = 0;
    if (request->report.is_json)
        outcome = bl_render_diff_json(stdout, &view, error);
    else
        bl_render_diff_text(stdout, &view);
    bl_diff_destroy(diff);
    return outcome;
}

int bl_cmd_diff(int argc, char **argv, struct bl_error *error)
{
    struct request request = {.arguments = {"", ""}};
    struct side sides[2] = {{.mark = NULL}, {.mark = NULL}};
    int code = parse(&request, argc, argv, error);
    if (code != 0)
        return code;
    if (request.wants_help) {
        fputs(help, stdout);
        return BL_CODE_FINE;
    }
    /* class and size are asked of the comparison: one side may lack what the other has */
    struct bl_inspect_options inspect = bl_report_inspect_options(&request.report);
    inspect.model.class_name = NULL;
    inspect.model.min_bytes = 0;
    inspect.model.top = 0;
    int outcome = open_side(&sides[0], request.arguments[0], error);
    if (outcome == 0)
        outcome = open_side(&sides[1], request.arguments[1], error);
    if (outcome == 0)
        outcome = inspect_sides(sides, &request, &inspect, error);
    if (outcome == 0)
        outcome = compare(&request, sides, &inspect, error);
    close_side(&sides[0]);
    close_side(&sides[1]);
    return outcome < 0 ? BL_CODE_FAILED : BL_CODE_FINE;
}
