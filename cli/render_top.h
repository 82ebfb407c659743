/*
 * The live view, laid out: what of a frame is shown where, for a terminal of any size.
 */
#ifndef BL_RENDER_TOP_H
#define BL_RENDER_TOP_H

#include "canvas.h"
#include "error.h"
#include "top_look.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum bl_top_mode {
    BL_TOP_LIST,
    BL_TOP_DETAIL,
    BL_TOP_HELP,
};

enum bl_top_sort {
    BL_TOP_BY_BYTES,
    BL_TOP_BY_COUNT,
    BL_TOP_BY_RATE,
    BL_TOP_BY_VERDICT,
    BL_TOP_BY_NAME,
    BL_TOP_SORTS,
};

const char *bl_top_sort_name(enum bl_top_sort sort);

/* What the user has chosen. */
struct bl_top_ui {
    enum bl_top_mode mode;
    enum bl_top_sort sort;
    char filter[64]; /* only rows with this in their class, place or verdict */
    bool is_paused;
    bool is_ascii; /* the terminal shows nothing else */
    bool is_once;  /* a frame for a file: all rows asked for, no keys */
    size_t top;    /* sites of such a frame; 0: all */
    bool has_picked;
    struct bl_top_key picked;
    size_t first;        /* site at the top of the list */
    size_t detail_first; /* line at the top of the stack */
    char status[256];    /* what the latest key did; "" */
    const char *prompt;  /* while something is typed; NULL: nothing is */
    const char *input;
};

/* The rows that are shown, classes first, in order; the caller frees the array. NULL without
 * memory. */
const struct bl_top_row **bl_top_list(const struct bl_top_frame *frame, const struct bl_top_ui *ui,
                                      size_t *ret_class_count, size_t *ret_count);

/* Rows of sites that a screen of this height has. */
size_t bl_top_site_rows(const struct bl_top_frame *frame, size_t height);

/* Scrolls in `ui` so that what is picked is on the screen. */
void bl_top_layout(struct bl_canvas *canvas, const struct bl_top_frame *frame,
                   struct bl_top_ui *ui);

/* Fails only without memory. */
int bl_render_top_json(FILE *out, const struct bl_top_frame *frame, const struct bl_top_ui *ui,
                       struct bl_error *error);

#endif
