/* What bl_diff found, for people and for programs. `views` show A and B. */
#ifndef BL_RENDER_DIFF_H
#define BL_RENDER_DIFF_H

#include "diff.h"
#include "error.h"
#include "view.h"

#include <stdio.h>

struct bl_diff_view {
    const struct bl_diff *diff;
    struct bl_view sides[2];
    const char *marks[2]; /* the mark that is meant, printable; NULL: none */
};

void bl_render_diff_text(FILE *out, const struct bl_diff_view *view);

/* Fails only without memory. */
int bl_render_diff_json(FILE *out, const struct bl_diff_view *view, struct bl_error *error);

#endif
