#include "pen.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

void bl_pen_pad(FILE *out, const char *text, size_t width)
{
    size_t used = bl_text_width(text);
    fprintf(out, "%s%*s", text, (int)(width > used ? width - used : 0), "");
}

void bl_pen_pad_left(FILE *out, const char *text, size_t width)
{
    size_t used = bl_text_width(text);
    fprintf(out, "%*s%s", (int)(width > used ? width - used : 0), "", text);
}

void bl_pen_begin(struct bl_pen_line *line, const struct bl_pen *pen)
{
    *line = (struct bl_pen_line){.pen = *pen, .to = pen};
    line->pen.out = open_memstream(&line->text, &line->size);
    if (!line->pen.out)
        line->pen.out = pen->out; /* without memory it is not broken */
}

/* Columns up to the end, without the sequences that set a style. */
static size_t width_of(const char *text, size_t length)
{
    size_t width = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\033')
            i += strcspn(text + i, "m");
        else
            width += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return width;
}

void bl_pen_end(struct bl_pen_line *line)
{
    static const char separator[] = " · ";
    size_t column = 0;
    if (line->pen.out == line->to->out)
        return;
    fclose(line->pen.out);
    for (const char *part = line->text; *part;) {
        const char *end = strstr(part + 1, separator);
        size_t length = end ? (size_t)(end - part) : strlen(part);
        size_t width = width_of(part, length);
        size_t limit = line->to->term.width;
        if (limit > 0 && column > 5 && column + width > limit) {
            fprintf(line->to->out, "\n    ");
            column = 4;
        }
        fprintf(line->to->out, "%.*s", (int)length, part);
        column += width;
        part += length;
    }
    free(line->text);
}

void bl_pen_wrap(const struct bl_pen *pen, const char *text, size_t column, size_t indent)
{
    size_t limit = pen->term.width;
    bool needs_blank = column > indent;
    while (*text) {
        size_t length = strcspn(text, " ");
        char word[512];
        snprintf(word, sizeof(word), "%.*s", (int)length, text);
        size_t width = bl_text_width(word);
        if (limit > 0 && needs_blank && column + 1 + width > limit) {
            fprintf(pen->out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (needs_blank) {
            fputc(' ', pen->out);
            column++;
        }
        needs_blank = true;
        fputs(word, pen->out);
        column += width;
        text += length;
        text += strspn(text, " ");
    }
}
