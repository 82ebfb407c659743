/*
 * Pieces of a report that more than one renderer writes.
 */
#ifndef BL_RENDER_PARTS_H
#define BL_RENDER_PARTS_H

#include "verdict.h"
#include "view.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct bl_holder;
struct bl_pen;

/* All that stands before the groups. */
void bl_render_text_head(const struct bl_pen *pen);
/* What the head has beside the first line and the table of classes. */
void bl_render_text_notes(const struct bl_pen *pen);
/* One group, with its stack. */
void bl_render_text_group(const struct bl_pen *pen, size_t index);
/* What follows the groups that were shown so: the others from number `first` on, a line each, and
 * what is not shown at all. */
void bl_render_text_others(const struct bl_pen *pen, size_t first);
/* A stack from a frame on outward; folds_runtime: ends the line that was begun, with the function
 * of the C library and the like that was called in place of its frames. */
void bl_render_text_frames(const struct bl_pen *pen, uint32_t stack, bool folds_runtime);
/* A line of a group's second half: label, and before, site and after. The label only before the
 * first of its kind. Where it does not fit it is the path that is cut, at its start, and then what
 * comes after goes to the next line. */
void bl_render_text_line(const struct bl_pen *pen, const char *label, const char *before,
                         uint32_t frame, const char *after);
/* Under a stack: what its reactive chain says of itself; nothing where it says nothing. */
void bl_render_text_assembled(const struct bl_pen *pen, const struct bl_group *group);
/* The first line of a report. */
void bl_render_text_title(FILE *out, const struct bl_view *view);
/* All frames of a stack, a line each. */
void bl_render_text_stack(FILE *out, const struct bl_view *view, uint32_t stack);
/* The frames from one on outward, at most `most` lines and how many more there are. */
void bl_render_text_callers(FILE *out, const struct bl_view *view, uint32_t frame, size_t most);
/* Breaks text at blanks to fit the terminal, each new line indented like what stands under a group.
 * `column`: how much of the line is written already. */
void bl_render_text_wrapped(FILE *out, const char *text, size_t column);
/* " · 64 bytes each", " · thread 12 (worker)": what sets a group apart beside its place; "" for
 * groups by place. */
void bl_render_text_key(FILE *out, const struct bl_view *view, const struct bl_group *group);
/* "filter_join" and "filters/cache_body.c:88" of the innermost function at a frame. */
void bl_render_text_place(const struct bl_view *view, uint32_t frame, char *what, size_t what_size,
                          char *where, size_t where_size);
/* The same of any function. */
void bl_render_text_symbol(const struct bl_symbol *symbol, char *what, size_t what_size,
                           char *where, size_t where_size);
/* " from core/http.c:402 (on_request)": the callers that a line of a finding has to name because
 * another line would look the same, as where a smart pointer takes and gives back all there is; ""
 * where the site says enough. */
void bl_render_text_apart(const struct bl_view *view, const struct bl_finding *finding,
                          uint32_t frame, enum bl_item_kind kind, char *out, size_t size);
/* "core/http.c:377 (read_body)" */
void bl_render_text_site(const struct bl_view *view, uint32_t frame, char *out, size_t size);
/* How many of the groups to be shown have a verdict; all of them when none has, as then nothing
 * else competes for attention. */
size_t bl_render_text_verdicts(const struct bl_model *model);
/* The groups to be shown from number `first` on, a line each. */
void bl_render_text_rest(FILE *out, const struct bl_view *view, size_t first);

/* What the growing classes add for each request, when they reach a limit, and that one was reached;
 * nothing where there is nothing to say. */
void bl_render_text_outlook(FILE *out, const struct bl_view *view);
/* The marks that were set; nothing where there are none. */
void bl_render_text_marks(FILE *out, const struct bl_view *view);
/* A line under a group that grows; nothing for others. */
void bl_render_text_growing(FILE *out, const struct bl_growth *growth);

/* "cache.c:12 `g_cache` (global)": what a root is. */
void bl_render_text_root(const struct bl_view *view, const struct bl_reach_root *root, char *out,
                         size_t size);
/* "holds 9 KiB of 12 KiB, the rest is held by 3 others"; "" and false when it is the only one. */
bool bl_render_text_share(const struct bl_view *view, const struct bl_holder *holder, char *out,
                          size_t size);
/* What holds most of a group's buffers, or that they are lost; nothing where it is not known. */
void bl_render_text_held_by(const struct bl_pen *pen, const struct bl_group *group);
/* How many are lost, and what the run could not see; nothing where none was asked for. */
void bl_render_text_reach(const struct bl_pen *pen);

/* The run, and what it counted; NULL without memory. */
json_t *bl_render_json_reach(const struct bl_view *view);
/* Adds a group's "reach", "reach_counts", "held_by" and "held_by_counts". */
void bl_render_json_held_by(json_t *object, const struct bl_view *view,
                            const struct bl_group *group);

/* NULL without memory. */
json_t *bl_render_json_process(const struct bl_view *view);
json_t *bl_render_json_frames(const struct bl_view *view, uint32_t stack);
json_t *bl_render_json_key(const struct bl_view *view, const struct bl_group *group);
json_t *bl_render_json_assembled(const struct bl_view *view, const struct bl_group *group);
json_t *bl_render_json_growth(const struct bl_growth *growth); /* NULL: not followed */
json_t *bl_render_json_place(const struct bl_view *view, uint32_t frame);
json_t *bl_render_json_losses(const struct bl_view *view);
/* "retain": an operation's name. */
const char *bl_render_json_op(uint16_t op);

/* Writes text and then a value, which is given up; for documents that are never in memory as a
 * whole. False when there was no memory for the value, which is NULL then. */
bool bl_render_json_put(FILE *out, const char *before, json_t *value);
/* ,"series": [...] and ,"memory": {...} ,"marks": [...]; false without memory. */
bool bl_render_json_series(FILE *out, const struct bl_view *view);
bool bl_render_json_memory(FILE *out, const struct bl_view *view);

#endif
