/*
 * One report of one target: reader, model, symbols and a renderer put together, and the options
 * that `report` and `run` share.
 */
#ifndef BL_REPORT_H
#define BL_REPORT_H

#include "args.h"
#include "error.h"
#include "inspect.h"
#include "model.h"
#include "target.h"

#include <stdbool.h>
#include <stdio.h>

/* Instead of a report: the unreleased buffers of each stack, for programs that draw them. */
enum bl_report_stacks { BL_REPORT_NO_STACKS, BL_REPORT_FOLDED, BL_REPORT_PPROF };

struct bl_report_options {
    struct bl_model_options model;
    const char *match; /* NULL: all stacks */
    bool is_json;
    bool is_html;
    enum bl_report_stacks stacks; /* then the model's group_by is BL_GROUP_STACK */
    bool counts_buffers;          /* folded: not their bytes */
    bool show_hooks;
    bool summary_only;
    bool has_top; /* model.top was given */
    bool show_all;
    bool show_full;
    bool has_buffer;
    uint64_t buffer; /* address: only the history of this one */
    bool show_tree;  /* only the balance tree */
    const char *per; /* the function that ends a request; NULL: the one that is counted */
    const char *symbol_paths[BL_SYMBOLS_PATHS_MAX];
    size_t symbol_path_count;
};

/* getopt_long entries; codes start at BL_ARGS_REPORT. First those that say what is looked at, which
 * other commands have as well. */
#define BL_REPORT_SELECT_OPTIONS                                                                   \
    {"format", required_argument, NULL, BL_ARGS_REPORT},                                           \
        {"group", required_argument, NULL, BL_ARGS_REPORT + 1},                                    \
        {"class", required_argument, NULL, BL_ARGS_REPORT + 2},                                    \
        {"min-age", required_argument, NULL, BL_ARGS_REPORT + 3},                                  \
        {"min-bytes", required_argument, NULL, BL_ARGS_REPORT + 4},                                \
        {"match", required_argument, NULL, BL_ARGS_REPORT + 5},                                    \
        {"top", required_argument, NULL, BL_ARGS_REPORT + 6},                                      \
        {"own", required_argument, NULL, BL_ARGS_REPORT + 7},                                      \
        {"all", no_argument, NULL, BL_ARGS_REPORT + 11},                                           \
    {                                                                                              \
        "symbols", required_argument, NULL, BL_ARGS_REPORT + 12                                    \
    }

#define BL_REPORT_PER (BL_ARGS_REPORT + 13) /* run has another meaning for it */

#define BL_REPORT_LONG_OPTIONS                                                                     \
    BL_REPORT_SELECT_OPTIONS, {"hooks", no_argument, NULL, BL_ARGS_REPORT + 8},                    \
        {"buffer", required_argument, NULL, BL_ARGS_REPORT + 9},                                   \
        {"per", required_argument, NULL, BL_REPORT_PER},                                           \
        {"tree", no_argument, NULL, BL_ARGS_REPORT + 10},                                          \
    {                                                                                              \
        "full", no_argument, NULL, BL_ARGS_REPORT + 14                                             \
    }

#define BL_REPORT_FORMAT_HELP "  --format text|json    how to write the report (default text)\n"
#define BL_REPORT_HELP                                                                             \
    "  --group BY            site (default), stack, module, size, thread or age\n"                 \
    "  --class NAME          only this class of buffers\n"                                         \
    "  --min-age AGE         only buffers at least this old: 250ms, 10s, 5m, 2h, 7d\n"             \
    "  --min-bytes SIZE      only groups with at least this much: 512, 64K, 1M\n"                  \
    "  --match REGEX         only stacks with a function, file or module that matches\n"           \
    "  --top N               the N largest groups (default 20, JSON 1000; 0 = all)\n"              \
    "  --all                 stacks also of groups without a verdict, where others have one\n"     \
    "  --full                every frame of Java stacks, also the frameworks'\n"                   \
    "  --own PATTERN         modules that are yours: the site is your innermost frame\n"           \
    "  --symbols PATH        look for programs and libraries here too: a file or a directory\n"    \
    "  --hooks               list every intercepted function\n"                                    \
    "  --buffer ADDR         only this buffer: its whole history\n"                                \
    "  --tree                references taken and given back per call path\n"

/* Takes one option of the table above; other codes are not for it. Returns 0, or -1 with a message
 * for a value that is not accepted. */
int bl_report_take_option(struct bl_report_options *options, int code, const char *value,
                          struct bl_error *error);

/* Takes a --format that only a report has; false: it is not one of those. */
bool bl_report_take_own_format(struct bl_report_options *options, const char *format);

/* What bl_inspect is to be told; `judges` is for the caller to set. */
struct bl_inspect_options bl_report_inspect_options(const struct bl_report_options *options);

/* Reads the target and writes its report to `out`. */
int bl_report_write(FILE *out, const struct bl_target *target,
                    const struct bl_report_options *options, struct bl_error *error);

#endif
