/*
 * A screenful of text: pieces put at rows and columns, for whoever shows it.
 *
 * What lays out a screen knows nothing of terminals, so that the same frame goes to a terminal, to
 * a file and to a test. Text is valid UTF-8 of one column a character; what does not fit into its
 * row is cut.
 */
#ifndef BL_CANVAS_H
#define BL_CANVAS_H

#include "term.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct bl_canvas;

struct bl_canvas_piece {
    size_t row;
    size_t column;
    enum bl_style style;
    char *text;
};

/* width 0: no limit. A row beyond the height is not kept; height 0: no limit. NULL without memory.
 */
struct bl_canvas *bl_canvas_create(size_t width, size_t height);
void bl_canvas_destroy(struct bl_canvas *canvas);

size_t bl_canvas_width(const struct bl_canvas *canvas);
size_t bl_canvas_height(const struct bl_canvas *canvas);

/* Puts text at a place; returns the column after it. Pieces are put row by
 * row, from left to right. */
size_t bl_canvas_put(struct bl_canvas *canvas, size_t row, size_t column, enum bl_style style,
                     const char *text);
/* So that it ends before `end`. */
void bl_canvas_put_right(struct bl_canvas *canvas, size_t row, size_t end, enum bl_style style,
                         const char *text);
/* The row the user has picked; it is shown reversed. */
void bl_canvas_pick(struct bl_canvas *canvas, size_t row);

/* From now on every character is ASCII: an ellipsis is '~', anything else that is not '?'. */
void bl_canvas_keep_ascii(struct bl_canvas *canvas);
/* Takes away what was put in this row and in those below it. */
void bl_canvas_cut(struct bl_canvas *canvas, size_t row);

/* In the order they were put. */
const struct bl_canvas_piece *bl_canvas_pieces(const struct bl_canvas *canvas, size_t *ret_count);
bool bl_canvas_is_picked(const struct bl_canvas *canvas, size_t row);

/* Writes it as lines, without blanks at their ends. */
void bl_canvas_write(const struct bl_canvas *canvas, FILE *out, const struct bl_term *term);

#endif
