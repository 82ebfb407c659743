#include "report.h"

#include "callers.h"
#include "inspect.h"
#include "text.h"
#include "view.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOP_TEXT 20
#define TOP_HTML 100
#define TOP_JSON 1000

static int take_group(struct bl_report_options *options, const char *value, struct bl_error *error)
{
    static const char *const names[] = {
        [BL_GROUP_SITE] = "site", [BL_GROUP_STACK] = "stack",   [BL_GROUP_MODULE] = "module",
        [BL_GROUP_SIZE] = "size", [BL_GROUP_THREAD] = "thread", [BL_GROUP_AGE] = "age"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(value, names[i]) != 0)
            continue;
        options->model.group_by = (enum bl_group_by)i;
        return 0;
    }
    return bl_args_bad_value(error, "--group", value, "site, stack, module, size, thread or age");
}

static int take_own(struct bl_report_options *options, const char *value, struct bl_error *error)
{
    if (options->model.own_count == BL_MODEL_OWN_MAX)
        return bl_error_set(error, "--own may be given %d times at most", BL_MODEL_OWN_MAX);
    options->model.own[options->model.own_count++] = value;
    return 0;
}

static int take_symbols(struct bl_report_options *options, const char *value,
                        struct bl_error *error)
{
    if (access(value, R_OK) != 0)
        return bl_error_set(error, "--symbols cannot read %s: %s", value, strerror(errno));
    if (options->symbol_path_count == BL_SYMBOLS_PATHS_MAX)
        return bl_error_set(error, "--symbols may be given %d times at most", BL_SYMBOLS_PATHS_MAX);
    options->symbol_paths[options->symbol_path_count++] = value;
    return 0;
}

static int take_match(struct bl_report_options *options, const char *value, struct bl_error *error)
{
    regex_t regex;
    char why[128];
    int code = regcomp(&regex, value, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        regerror(code, &regex, why, sizeof(why));
        return bl_error_set(error, "--match does not accept \"%s\": %s", value, why);
    }
    regfree(&regex);
    options->match = value;
    return 0;
}

bool bl_report_take_own_format(struct bl_report_options *options, const char *format)
{
    options->is_json = false;
    options->is_html = strcmp(format, "html") == 0;
    options->stacks = strcmp(format, "folded") == 0  ? BL_REPORT_FOLDED
                      : strcmp(format, "pprof") == 0 ? BL_REPORT_PPROF
                                                     : BL_REPORT_NO_STACKS;
    return options->stacks || options->is_html;
}

static int take_format(struct bl_report_options *options, const char *value, struct bl_error *error)
{
    options->is_json = strcmp(value, "json") == 0;
    if (!options->is_json && strcmp(value, "text") != 0)
        return bl_args_bad_value(error, "--format", value, "text or json");
    return 0;
}

static int take_top(struct bl_report_options *options, const char *value, struct bl_error *error)
{
    uint64_t number;
    if (!bl_text_parse_number(value, UINT32_MAX, &number))
        return bl_args_bad_value(error, "--top", value, "a number, 0 for all");
    options->model.top = (size_t)number;
    options->has_top = true;
    return 0;
}

static int take_buffer(struct bl_report_options *options, const char *value, struct bl_error *error)
{
    const char *digits =
        strncmp(value, "0x", 2) == 0 || strncmp(value, "0X", 2) == 0 ? value + 2 : value;
    size_t length = strspn(digits, "0123456789abcdefABCDEF");
    if (length == 0 || length > 16 || digits[length] != '\0')
        return bl_args_bad_value(error, "--buffer", value, "an address such as 0x7f21c0003b40");
    options->buffer = strtoull(digits, NULL, 16);
    options->has_buffer = true;
    return 0;
}

int bl_report_take_option(struct bl_report_options *options, int code, const char *value,
                          struct bl_error *error)
{
    switch (code - BL_ARGS_REPORT) {
    case 0:
        return take_format(options, value, error);
    case 1:
        return take_group(options, value, error);
    case 2:
        options->model.class_name = value;
        return 0;
    case 3:
        if (bl_text_parse_age(value, &options->model.min_age_ns))
            return 0;
        return bl_args_bad_value(error, "--min-age", value,
                                 "an age such as 250ms, 10s, 5m, 2h, 7d");
    case 4:
        if (bl_text_parse_size(value, &options->model.min_bytes))
            return 0;
        return bl_args_bad_value(error, "--min-bytes", value, "a size such as 512, 64K, 1M, 2G");
    case 5:
        return take_match(options, value, error);
    case 6:
        return take_top(options, value, error);
    case 7:
        return take_own(options, value, error);
    case 8:
        options->show_hooks = true;
        return 0;
    case 9:
        return take_buffer(options, value, error);
    case 10:
        options->show_tree = true;
        return 0;
    case 11:
        options->show_all = true;
        return 0;
    case 14:
        options->show_full = true;
        return 0;
    case 12:
        return take_symbols(options, value, error);
    case 13:
        options->per = value;
        return 0;
    default:
        return bl_error_set(error, "option %d is not one of a report", code);
    }
}

static int render_folded(FILE *out, const struct bl_view *view,
                         const struct bl_report_options *options, struct bl_error *error)
{
    char number[BL_TEXT_NUMBER];
    uint64_t left_out;
    if (bl_render_folded(out, view, options->counts_buffers, &left_out, error) < 0)
        return -1;
    if (left_out > 0)
        bl_say("%s buffer%s without a known size left out; --weight count has all",
               bl_text_count(number, left_out), left_out == 1 ? "" : "s");
    return 0;
}

/* The page has all stacks besides, whatever it groups by. */
static int render_html(FILE *out, const struct bl_inspection *inspection,
                       const struct bl_target *target, const struct bl_report_options *options,
                       struct bl_error *error)
{
    struct bl_inspection stacks;
    struct bl_inspect_options inspect_options = bl_report_inspect_options(options);
    inspect_options.model.group_by = BL_GROUP_STACK;
    inspect_options.model.top = 0;
    if (bl_inspect(&stacks, target, &inspect_options, error) < 0)
        return -1;
    int outcome = bl_render_html(out, &inspection->view, &stacks.view, error);
    bl_inspection_deinit(&stacks);
    return outcome;
}

static int render(FILE *out, const struct bl_inspection *inspection, const struct bl_target *target,
                  const struct bl_report_options *options, struct bl_error *error)
{
    const struct bl_view *view = &inspection->view;
    if (options->stacks == BL_REPORT_FOLDED)
        return render_folded(out, view, options, error);
    if (options->stacks == BL_REPORT_PPROF)
        return bl_render_pprof(out, view, error);
    if (options->has_buffer)
        return bl_render_buffer(out, view, options->buffer, options->is_json, error);
    if (options->show_tree)
        return bl_render_tree(out, view, inspection->balance, options->is_json, error);
    if (options->is_html)
        return render_html(out, inspection, target, options, error);
    if (options->is_json)
        return bl_render_json(out, view, error);
    bl_render_text(out, view);
    return 0;
}

struct bl_inspect_options bl_report_inspect_options(const struct bl_report_options *options)
{
    struct bl_inspect_options inspect_options = {
        .model = options->model,
        .match = options->match,
        .per = options->per,
        .symbol_path_count = options->symbol_path_count,
    };
    memcpy(inspect_options.symbol_paths, options->symbol_paths, sizeof(options->symbol_paths));
    if (!options->has_top && !options->stacks)
        inspect_options.model.top = options->is_json   ? TOP_JSON
                                    : options->is_html ? TOP_HTML
                                                       : TOP_TEXT;
    return inspect_options;
}

int bl_report_write(FILE *out, const struct bl_target *target,
                    const struct bl_report_options *options, struct bl_error *error)
{
    struct bl_inspection inspection;
    struct bl_inspect_options inspect_options = bl_report_inspect_options(options);
    inspect_options.judges =
        !options->summary_only && !options->has_buffer && !options->show_tree && !options->stacks;
    inspect_options.balances = options->show_tree && !options->has_buffer;
    if (bl_inspect(&inspection, target, &inspect_options, error) < 0)
        return -1;
    const char *nobodys = bl_callers_unknown_own(inspection.reader, &options->model);
    if (nobodys)
        bl_say("--own %s is like no module of this process", nobodys);
    inspection.view.show_hooks = options->show_hooks;
    inspection.view.summary_only = options->summary_only;
    inspection.view.show_all = options->show_all;
    inspection.view.show_full = options->show_full || options->model.group_by == BL_GROUP_STACK;
    int outcome = render(out, &inspection, target, options, error);
    bl_inspection_deinit(&inspection);
    return outcome;
}
