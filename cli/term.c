#include "term.h"

#include "text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct bl_term bl_term_of(FILE *stream)
{
    struct bl_term term = {0};
    const char *no_colour = getenv("NO_COLOR");
    const char *kind = getenv("TERM");
    const char *columns = getenv("COLUMNS");
    int fd = fileno(stream);
    bool is_terminal = fd >= 0 && isatty(fd);
    struct winsize size;
    uint64_t number;
    if (fd >= 0 && columns && bl_text_parse_number(columns, 10000, &number) && number > 0)
        term.width = (size_t)number;
    else if (!is_terminal)
        return term;
    else if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        term.width = size.ws_col;
    else
        term.width = 80;
    if (term.width < 20)
        term.width = 20;
    term.has_colour =
        is_terminal && !(no_colour && *no_colour) && kind && *kind && strcmp(kind, "dumb") != 0;
    return term;
}

const char *bl_term_style(const struct bl_term *term, enum bl_style style)
{
    if (!term->has_colour)
        return "";
    switch (style) {
    case BL_STYLE_BOLD:
        return "\033[1m";
    case BL_STYLE_DIM:
        return "\033[2m";
    case BL_STYLE_BAD:
        return "\033[1;31m";
    case BL_STYLE_PLAIN:
        break;
    }
    return "\033[0m";
}
