/* A flame graph of folded stacks as elements of a page, without a script. */
#ifndef BL_HTML_FLAME_H
#define BL_HTML_FLAME_H

#include <stdio.h>

/* Text as it is to be read, in an element or in a quoted attribute. */
void bl_html_text(FILE *out, const char *text, size_t length);

/* `stacks`: as bl_render_folded writes them, with bytes; it is cut to pieces. Returns -1 without
 * memory. */
int bl_html_flame(FILE *out, char *stacks);

#endif
