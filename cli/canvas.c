#include "canvas.h"

#include "text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bl_canvas {
    size_t width;
    size_t height;
    size_t picked; /* SIZE_MAX: none */
    struct bl_canvas_piece *pieces;
    size_t count;
    size_t room;
    bool is_ascii;
};

struct bl_canvas *bl_canvas_create(size_t width, size_t height)
{
    struct bl_canvas *canvas = calloc(1, sizeof(*canvas));
    if (!canvas)
        return NULL;
    canvas->width = width;
    canvas->height = height;
    canvas->picked = SIZE_MAX;
    return canvas;
}

void bl_canvas_destroy(struct bl_canvas *canvas)
{
    if (!canvas)
        return;
    for (size_t i = 0; i < canvas->count; i++)
        free(canvas->pieces[i].text);
    free(canvas->pieces);
    free(canvas);
}

size_t bl_canvas_width(const struct bl_canvas *canvas)
{
    return canvas->width;
}

size_t bl_canvas_height(const struct bl_canvas *canvas)
{
    return canvas->height;
}

static bool has_room(struct bl_canvas *canvas)
{
    if (canvas->count < canvas->room)
        return true;
    size_t room = canvas->room ? canvas->room * 2 : 128;
    struct bl_canvas_piece *grown = realloc(canvas->pieces, room * sizeof(*grown));
    if (!grown)
        return false;
    canvas->pieces = grown;
    canvas->room = room;
    return true;
}

/* In place: what is put for a character is no longer than it. */
static void make_ascii(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        unsigned char first = (unsigned char)*from;
        *to++ = first < 0x80 ? *from : strncmp(from, "…", strlen("…")) == 0 ? '~' : '?';
        from++;
        while (((unsigned char)*from & 0xc0) == 0x80)
            from++;
    }
    *to = '\0';
}

size_t bl_canvas_put(struct bl_canvas *canvas, size_t row, size_t column, enum bl_style style,
                     const char *text)
{
    size_t end = column + bl_text_width(text);
    bool is_outside = (canvas->height > 0 && row >= canvas->height) ||
                      (canvas->width > 0 && column >= canvas->width);
    if (*text == '\0' || is_outside || !has_room(canvas))
        return end;
    size_t size = strlen(text) + 4; /* an ellipsis may be longer than what it stands for */
    char *copy = malloc(size);
    if (!copy)
        return end;
    bl_text_fit(copy, size, text, canvas->width > 0 ? canvas->width - column : 0, false);
    if (canvas->is_ascii)
        make_ascii(copy);
    canvas->pieces[canvas->count++] =
        (struct bl_canvas_piece){.row = row, .column = column, .style = style, .text = copy};
    return end;
}

void bl_canvas_put_right(struct bl_canvas *canvas, size_t row, size_t end, enum bl_style style,
                         const char *text)
{
    size_t width = bl_text_width(text);
    bl_canvas_put(canvas, row, width < end ? end - width : 0, style, text);
}

void bl_canvas_pick(struct bl_canvas *canvas, size_t row)
{
    canvas->picked = row;
}

void bl_canvas_keep_ascii(struct bl_canvas *canvas)
{
    canvas->is_ascii = true;
}

void bl_canvas_cut(struct bl_canvas *canvas, size_t row)
{
    size_t kept = 0;
    for (size_t i = 0; i < canvas->count; i++) {
        if (canvas->pieces[i].row < row)
            canvas->pieces[kept++] = canvas->pieces[i];
        else
            free(canvas->pieces[i].text);
    }
    canvas->count = kept;
    if (canvas->picked != SIZE_MAX && canvas->picked >= row)
        canvas->picked = SIZE_MAX;
}

const struct bl_canvas_piece *bl_canvas_pieces(const struct bl_canvas *canvas, size_t *ret_count)
{
    *ret_count = canvas->count;
    return canvas->pieces;
}

bool bl_canvas_is_picked(const struct bl_canvas *canvas, size_t row)
{
    return canvas->picked == row;
}

static size_t write_row(const struct bl_canvas *canvas, FILE *out, const struct bl_term *term,
                        size_t first, size_t row)
{
    size_t column = 0;
    size_t at = first;
    for (; at < canvas->count && canvas->pieces[at].row <= row; at++) {
        const struct bl_canvas_piece *piece = &canvas->pieces[at];
        bool is_styled = piece->style != BL_STYLE_PLAIN;
        size_t blanks = piece->column > column ? piece->column - column : 0;
        fprintf(out, "%*s%s%s%s", (int)blanks, "",
                is_styled ? bl_term_style(term, piece->style) : "", piece->text,
                is_styled ? bl_term_style(term, BL_STYLE_PLAIN) : "");
        column += blanks + bl_text_width(piece->text);
    }
    fputc('\n', out);
    return at;
}

void bl_canvas_write(const struct bl_canvas *canvas, FILE *out, const struct bl_term *term)
{
    size_t row = 0;
    for (size_t at = 0; at < canvas->count; row++)
        at = write_row(canvas, out, term, at, row);
}
