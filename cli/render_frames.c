/*
 * Stacks and places, as lines of text.
 */
#include "folding.h"
#include "pen.h"
#include "render_parts.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

#define INDENT 7

/* Left and right column of a frame's line. */
struct frame_line {
    char what[512];
    char where[640];
};

/* Of a Java method without a line: native methods have none, and some class files none at all. */
static void name_managed(const struct bl_symbol *symbol, char *out, size_t size)
{
    const char *file = symbol->file ? symbol->file : "";
    if (symbol->line > 0)
        snprintf(out, size, "line %d", symbol->line);
    else if (symbol->is_bytecode)
        snprintf(out, size, "%s%sbytecode %llu", file, *file ? ", " : "",
                 (unsigned long long)symbol->offset);
    else
        snprintf(out, size, "%s", file);
}

static void describe(const struct bl_symbol *symbol, struct frame_line *line)
{
    unsigned long long offset = symbol->offset;
    if (!symbol->function)
        snprintf(line->what, sizeof(line->what), "%s+0x%llx", symbol->module, offset);
    else
        snprintf(line->what, sizeof(line->what), "%s", symbol->function);
    if (symbol->file && symbol->line > 0)
        snprintf(line->where, sizeof(line->where), "%s:%d%s", symbol->file, symbol->line,
                 symbol->inlined ? " (inlined)" : "");
    else if (symbol->is_managed)
        name_managed(symbol, line->where, sizeof(line->where));
    else if (symbol->function)
        snprintf(line->where, sizeof(line->where), "%s+0x%llx%s", symbol->module, offset,
                 symbol->inlined ? " (inlined)" : "");
    else if (*symbol->build_id)
        snprintf(line->where, sizeof(line->where), "build-id %s", symbol->build_id);
    else
        line->where[0] = '\0';
}

static void write_frame(const struct bl_pen *pen, const struct bl_symbol *symbol, size_t what_width)
{
    struct frame_line line;
    char what[512];
    char where[640];
    describe(symbol, &line);
    size_t limit = pen->term.width;
    if (limit > 0 && bl_text_width(line.where) + what_width + INDENT + 2 > limit) {
        size_t room = limit > INDENT + 12 ? limit - INDENT - 2 : 10;
        what_width = what_width < room / 2 ? what_width : room / 2;
        bl_text_fit(where, sizeof(where), line.where, room - what_width, true);
    } else {
        snprintf(where, sizeof(where), "%s", line.where);
    }
    bl_text_fit(what, sizeof(what), line.what, what_width, false);
    fprintf(pen->out, "%*s", INDENT, "");
    if (*where) {
        bl_pen_pad(pen->out, what, what_width);
        fprintf(pen->out, "  %s%s%s\n", bl_pen_style(pen, BL_STYLE_DIM), where,
                bl_pen_style(pen, BL_STYLE_PLAIN));
    } else {
        fprintf(pen->out, "%s\n", what);
    }
}

static size_t widest_function(const struct bl_pen *pen, const uint32_t *frames, size_t count)
{
    size_t widest = 12;
    for (size_t i = 0; i < count; i++) {
        size_t inlined;
        const struct bl_symbol *symbols = bl_symbols_frame(pen->view->symbols, frames[i], &inlined);
        for (size_t k = 0; symbols && k < inlined; k++) {
            struct frame_line line;
            describe(&symbols[k], &line);
            size_t width = bl_text_width(line.what);
            if (width > widest)
                widest = width;
        }
    }
    size_t most = pen->term.width ? pen->term.width / 2 : 60;
    return widest < most ? widest : most;
}

/* The frames of libc and the like that a stack begins with are only named by the function that was
 * called: people look for their own frame first, and how many it called itself before it came to
 * malloc tells them nothing. Grouped by stack, all frames are shown. Returns how many were left
 * out. */
static size_t write_runtime(const struct bl_pen *pen, const uint32_t *frames, size_t count)
{
    const struct bl_symbol *called = NULL;
    size_t taken = 0;
    for (; taken < count && pen->view->model->group_by != BL_GROUP_STACK; taken++) {
        size_t inlined;
        const struct bl_symbol *symbols =
            bl_symbols_frame(pen->view->symbols, frames[taken], &inlined);
        if (!symbols || !bl_model_is_runtime(symbols->path))
            break;
        called = &symbols[inlined - 1];
    }
    if (!called || taken == count)
        return 0;
    if (called->function)
        fprintf(pen->out, ", through %s (%s)", called->function, called->module);
    else
        fprintf(pen->out, ", through %s+0x%llx", called->module,
                (unsigned long long)called->offset);
    return taken;
}

static void write_folded(const struct bl_pen *pen, const uint32_t *frames, size_t count)
{
    char text[256];
    bl_folding_describe(pen->view, frames, count, text, sizeof(text));
    fprintf(pen->out, "%*s%s… %s%s\n", INDENT, "", bl_pen_style(pen, BL_STYLE_DIM), text,
            bl_pen_style(pen, BL_STYLE_PLAIN));
}

void bl_render_text_frames(const struct bl_pen *pen, uint32_t stack, bool folds_runtime)
{
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    size_t count = bl_model_stack(pen->view->reader, stack, frames, BL_MODEL_FRAMES_MAX);
    size_t first = folds_runtime ? write_runtime(pen, frames, count) : 0;
    size_t shown = count - first;
    if (pen->most_lines > 0 && pen->most_lines < shown)
        shown = pen->most_lines;
    size_t what_width = widest_function(pen, frames + first, shown);
    if (folds_runtime)
        fprintf(pen->out, "\n");
    size_t lines = 0;
    for (size_t i = first; i < count; i++) {
        size_t inlined;
        if (pen->most_lines > 0 && lines >= pen->most_lines) {
            fprintf(pen->out, "%*s… %zu more caller%s\n", INDENT, "", count - i,
                    count - i == 1 ? "" : "s");
            return;
        }
        size_t folded = bl_folding_run(pen->view, frames + first, count - first, i - first);
        if (folded > 0) {
            write_folded(pen, frames + i, folded);
            i += folded - 1;
            lines++;
            continue;
        }
        const struct bl_symbol *symbols = bl_symbols_frame(pen->view->symbols, frames[i], &inlined);
        for (size_t k = 0; symbols && k < inlined; k++, lines++)
            write_frame(pen, &symbols[k], what_width);
    }
    const struct bl_frame *last =
        count > 0 ? bl_reader_frame(pen->view->reader, frames[count - 1]) : NULL;
    if (!last)
        fprintf(pen->out, "%*s(no stack was recorded)\n", INDENT, "");
    else if (last->module & BL_FRAME_TRUNCATED)
        fprintf(pen->out, "%*s… deeper callers were cut at %u frame%s (depth)\n", INDENT, "",
                pen->view->header->depth_frames, pen->view->header->depth_frames == 1 ? "" : "s");
    else if (last->module & BL_FRAME_UNROOTED)
        fprintf(pen->out, "%*s… no unwind information beyond this frame\n", INDENT, "");
}

#define LABEL_WIDTH 22
#define PLACE_LEAST 20 /* of a path and a function that were cut to fit */

/* A line of a finding's second half; the label only before the first of its kind. Where it does not
 * fit it is the path that is cut, at its start, and then what comes after goes to the next line. */
void bl_render_text_line(const struct bl_pen *pen, const char *label, const char *before,
                         uint32_t frame, const char *after)
{
    char place[1280];
    char fitted[1280];
    size_t limit = pen->term.width;
    size_t used = 5 + LABEL_WIDTH + 1 + bl_text_width(before);
    bool is_broken = limit > 0 && used + PLACE_LEAST + bl_text_width(after) > limit;
    size_t room = limit > used ? limit - used : 0;
    bl_render_text_site(pen->view, frame, place, sizeof(place));
    if (!is_broken && room > 0)
        room -= bl_text_width(after);
    if (limit > 0 && room < PLACE_LEAST)
        room = PLACE_LEAST;
    bl_text_fit(fitted, sizeof(fitted), place, room, true);
    fprintf(pen->out, "     %-*s %s%s%s\n", LABEL_WIDTH, label, before, fitted,
            is_broken ? "" : after);
    after += strspn(after, ", ");
    if (is_broken && *after)
        fprintf(pen->out, "     %-*s   %s\n", LABEL_WIDTH, "", after);
}

void bl_render_text_stack(FILE *out, const struct bl_view *view, uint32_t stack)
{
    struct bl_pen pen = bl_pen_of(out, view);
    bl_render_text_frames(&pen, stack, false);
}

void bl_render_text_callers(FILE *out, const struct bl_view *view, uint32_t frame, size_t most)
{
    struct bl_pen pen = {.out = out, .term = bl_term_of(out), .view = view, .most_lines = most};
    bl_render_text_frames(&pen, frame, false);
}

void bl_render_text_symbol(const struct bl_symbol *symbol, char *what, size_t what_size,
                           char *where, size_t where_size)
{
    struct frame_line line;
    describe(symbol, &line);
    snprintf(what, what_size, "%s", line.what);
    snprintf(where, where_size, "%s", line.where);
}

void bl_render_text_place(const struct bl_view *view, uint32_t frame, char *what, size_t what_size,
                          char *where, size_t where_size)
{
    struct frame_line line = {"(no stack was recorded)", ""};
    size_t inlined;
    const struct bl_symbol *symbol =
        frame ? bl_symbols_frame(view->symbols, frame, &inlined) : NULL;
    if (symbol)
        describe(symbol, &line);
    snprintf(what, what_size, "%s", line.what);
    snprintf(where, where_size, "%s", line.where);
}

void bl_render_text_site(const struct bl_view *view, uint32_t frame, char *out, size_t size)
{
    size_t inlined;
    char where[640] = "";
    const struct bl_symbol *symbol =
        frame ? bl_symbols_frame(view->symbols, frame, &inlined) : NULL;
    if (symbol && symbol->is_managed)
        name_managed(symbol, where, sizeof(where));
    if (!symbol)
        snprintf(out, size, "(no stack was recorded)");
    else if (symbol->file && symbol->line > 0)
        snprintf(out, size, "%s:%d%s%s%s", symbol->file, symbol->line, symbol->function ? " (" : "",
                 symbol->function ? symbol->function : "", symbol->function ? ")" : "");
    else if (*where)
        snprintf(out, size, "%s (%s)", where, symbol->function ? symbol->function : "?");
    else if (symbol->is_managed)
        snprintf(out, size, "%s", symbol->function ? symbol->function : "?");
    else
        snprintf(out, size, "%s+0x%llx%s%s%s", symbol->module, (unsigned long long)symbol->offset,
                 symbol->function ? " (" : "", symbol->function ? symbol->function : "",
                 symbol->function ? ")" : "");
}
