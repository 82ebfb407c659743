/*
 * Pieces of a report that more than one renderer writes.
 */
#ifndef BL_RENDER_PARTS_H
#define BL_RENDER_PARTS_H

#include "view.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* The first line of a report. */
void bl_render_text_title(FILE *out, const struct bl_view *view);
/* All frames of a stack, a line each. */
void bl_render_text_stack(FILE *out, const struct bl_view *view, uint32_t stack);
/* "filter_join" and "filters/cache_body.c:88" of the innermost function at a frame. */
void bl_render_text_place(const struct bl_view *view, uint32_t frame, char *what, size_t what_size,
                          char *where, size_t where_size);
/* "core/http.c:377 (read_body)" */
void bl_render_text_site(const struct bl_view *view, uint32_t frame, char *out, size_t size);
/* How many of the groups to be shown have a verdict; all of them when none has, as then nothing
 * else competes for attention. */
size_t bl_render_text_verdicts(const struct bl_model *model);
/* The groups to be shown from number `first` on, a line each. */
void bl_render_text_rest(FILE *out, const struct bl_view *view, size_t first);

/* NULL without memory. */
json_t *bl_render_json_process(const struct bl_view *view);
json_t *bl_render_json_frames(const struct bl_view *view, uint32_t stack);
json_t *bl_render_json_place(const struct bl_view *view, uint32_t frame);

#endif
