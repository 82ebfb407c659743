/*
 * What renderers of text write with: a stream, what it can show, and lines that fit it.
 */
#ifndef BL_PEN_H
#define BL_PEN_H

#include "term.h"
#include "view.h"

#include <stddef.h>
#include <stdio.h>

struct bl_pen {
    FILE *out;
    struct bl_term term;
    const struct bl_view *view;
    size_t most_lines; /* of a stack; 0: all */
};

static inline struct bl_pen bl_pen_of(FILE *out, const struct bl_view *view)
{
    return (struct bl_pen){.out = out, .term = bl_term_of(out), .view = view};
}

static inline const char *bl_pen_style(const struct bl_pen *pen, enum bl_style which)
{
    return bl_term_style(&pen->term, which);
}

/* Text and blanks up to a width; the blanks first. */
void bl_pen_pad(FILE *out, const char *text, size_t width);
void bl_pen_pad_left(FILE *out, const char *text, size_t width);

/* Breaks text at blanks to fit, each new line indented. `column`: how much of the line is written
 * already. */
void bl_pen_wrap(const struct bl_pen *pen, const char *text, size_t column, size_t indent);

/* A line that is broken before a " · " where it does not fit: what is written to its pen comes out
 * at the end. */
struct bl_pen_line {
    struct bl_pen pen;
    const struct bl_pen *to;
    char *text;
    size_t size;
};

void bl_pen_begin(struct bl_pen_line *line, const struct bl_pen *pen);
void bl_pen_end(struct bl_pen_line *line);

#endif
