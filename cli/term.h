/* What the stream we write to can show. Colour only on a terminal and without NO_COLOR. A width
 * that COLUMNS gives holds for pipes and files as well. */
#ifndef BL_TERM_H
#define BL_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct bl_term {
    size_t width; /* columns; 0 = no limit */
    bool has_colour;
};

struct bl_term bl_term_of(FILE *stream);

enum bl_style {
    BL_STYLE_PLAIN,
    BL_STYLE_BOLD,
    BL_STYLE_DIM,
    BL_STYLE_BAD,
};

/* The escape sequence, "" without colour. BL_STYLE_PLAIN ends the others. */
const char *bl_term_style(const struct bl_term *term, enum bl_style style);

#endif
