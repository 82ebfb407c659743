/*
 * Unreleased buffers as folded stacks, the text that flamegraph.pl, inferno and speedscope read: a
 * line for each stack, outermost frame first, frames joined by ';', a blank and a number.
 *
 * Its readers cut a line at every ';' and take what follows the last blank for the number, and
 * there is no way to escape either: a ';' within a name is written as ':', as stackcollapse-perf.pl
 * does. Lines do not end within a name, as names are printable (symbols.h). The class is the
 * outermost frame: classes can be layers of the same memory and do not add up.
 */
#include "view.h"

#include <stdlib.h>
#include <string.h>

struct line {
    char *text;
    uint64_t number;
};

static void write_name(FILE *out, const char *name)
{
    for (; *name; name++)
        fputc(*name == ';' ? ':' : *name, out);
}

static void write_frame(FILE *out, const struct bl_symbol *symbol)
{
    fputc(';', out);
    write_name(out, symbol->function ? symbol->function : symbol->module);
    if (!symbol->function)
        fprintf(out, "+0x%llx", (unsigned long long)symbol->offset);
}

static void write_stack(FILE *out, const struct bl_view *view, const struct bl_group *group)
{
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    size_t count = bl_model_stack(view->reader, group->stack, frames, BL_MODEL_FRAMES_MAX);
    const char *missing = bl_view_missing_root(view, frames, count);
    write_name(out, bl_model_class_name(view->model, group->class_number));
    if (missing)
        fprintf(out, ";%s", missing);
    while (count-- > 0) {
        size_t inlined = 0;
        const struct bl_symbol *symbols = bl_symbols_frame(view->symbols, frames[count], &inlined);
        while (symbols && inlined-- > 0)
            write_frame(out, &symbols[inlined]);
    }
}

static int make_line(const struct bl_view *view, const struct bl_group *group, struct line *line)
{
    size_t length;
    FILE *out = open_memstream(&line->text, &length);
    if (!out)
        return -1;
    write_stack(out, view, group);
    return fclose(out) == 0 ? 0 : -1;
}

static int compare_lines(const void *left, const void *right)
{
    const struct line *a = left;
    const struct line *b = right;
    return strcmp(a->text, b->text);
}

/* Stacks that differ only within their functions are one. */
static void write_lines(FILE *out, struct line *lines, size_t count)
{
    uint64_t sum = 0;
    if (count > 0)
        qsort(lines, count, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < count; i++) {
        sum += lines[i].number;
        if (i + 1 < count && strcmp(lines[i].text, lines[i + 1].text) == 0)
            continue;
        fprintf(out, "%s %llu\n", lines[i].text, (unsigned long long)sum);
        sum = 0;
    }
}

int bl_render_folded(FILE *out, const struct bl_view *view, bool counts_buffers,
                     uint64_t *ret_left_out, struct bl_error *error)
{
    const struct bl_model *model = view->model;
    struct line *lines = calloc(model->shown + 1, sizeof(*lines));
    size_t count = 0;
    *ret_left_out = 0;
    int outcome = lines ? 0 : -1;
    for (size_t i = 0; outcome == 0 && i < model->shown; i++) {
        const struct bl_group *group = &model->groups[i];
        lines[count].number = counts_buffers ? group->count : group->bytes;
        if (lines[count].number == 0)
            *ret_left_out += group->count;
        else
            outcome = make_line(view, group, &lines[count++]);
    }
    if (outcome == 0)
        write_lines(out, lines, count);
    for (size_t i = 0; i < count; i++)
        free(lines[i].text);
    free(lines);
    return outcome < 0 ? bl_error_set(error, "not enough memory to write the stacks") : 0;
}
