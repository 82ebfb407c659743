/*
 * Everything a renderer needs to show one process, gathered from one target.
 */
#ifndef BL_VIEW_H
#define BL_VIEW_H

#include "growth.h"
#include "model.h"
#include "series.h"
#include "symbols.h"
#include "target.h"
#include "term.h"

#include <stdio.h>

struct bl_view {
    const char *path;
    const struct bl_header *header;
    const struct bl_reader *reader;
    const struct bl_model *model;
    struct bl_symbols *symbols;
    const struct bl_reaches *reaches; /* NULL: not read */
    const struct bl_series_set *series;
    const struct bl_growth_set *growth;
    pid_t pid; /* as seen from here while it runs, else as it saw itself */
    char comm[64];
    bool show_hooks;
    bool summary_only; /* no groups */
    bool show_full;    /* stacks with every frame of the frameworks */
    bool show_all;     /* every group with its stack, also beside verdicts */
};

/* "live", "signal", "dump", "exit" or "limit", as in the JSON. */
const char *bl_view_reason(const struct bl_view *view);

/* "running", "exited" or "killed", as in the JSON. */
const char *bl_view_state(const struct bl_view *view);
const char *bl_view_state_name(enum bl_process_state state);

/* "live", "snapshot 2 (SIGUSR1)", "exited with status 0" … */
void bl_view_moment(char *out, size_t size, const struct bl_header *header,
                    enum bl_process_state state);

/* What stands for the outer frames that a stack lacks, in lists of its frames; NULL: it is whole.
 */
const char *bl_view_missing_root(const struct bl_view *view, const uint32_t *frames, size_t count);

void bl_render_text(FILE *out, const struct bl_view *view);

struct bl_balance;

/* One buffer's whole history. Fails when no unreleased buffer is there. */
int bl_render_buffer(FILE *out, const struct bl_view *view, uint64_t address, bool is_json,
                     struct bl_error *error);

/* Fails only without memory. */
int bl_render_tree(FILE *out, const struct bl_view *view, const struct bl_balance *balance,
                   bool is_json, struct bl_error *error);

/* Fails only without memory. */
int bl_render_json(FILE *out, const struct bl_view *view, struct bl_error *error);

/* Of groups by stack: a line for each, with its bytes or the number of its buffers; buffers of
 * stacks without any are left out. Fails only without memory. */
int bl_render_folded(FILE *out, const struct bl_view *view, bool counts_buffers,
                     uint64_t *ret_left_out, struct bl_error *error);

/* Of groups by stack: a compressed profile. Fails only without memory. */
int bl_render_pprof(FILE *out, const struct bl_view *view, struct bl_error *error);

struct bl_export_options {
    const char *class_name; /* NULL: all */
    uint64_t min_age_ns;    /* of buffers */
};

/* The facts as JSON lines. Fails only without memory. */
int bl_render_export(FILE *out, const struct bl_view *view, const struct bl_export_options *options,
                     struct bl_error *error);

/* A page; `stacks`: the same by stack. Fails only without memory. */
int bl_render_html(FILE *out, const struct bl_view *view, const struct bl_view *stacks,
                   struct bl_error *error);

#endif
