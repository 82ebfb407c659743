/*
 * A report as one page that needs nothing else: no file, no network, no script.
 *
 * Its words are those of the report that people read on a terminal, group by group, so that the two
 * cannot come to say different things. All that comes from a ledger is written by bl_html_text: its
 * names are anybody's.
 */
#include "render_parts.h"

#include "html_flame.h"
#include "html_page.h"
#include "pen.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define CHART_POINTS 200
#define CHART_WIDTH  220.0
#define CHART_HEIGHT 28.0
#define OPEN_MAX     3 /* groups that are unfolded at first */

struct page {
    FILE *out;
    const struct bl_view *view;
    const struct bl_view *stacks;
};

static void write_text(FILE *out, const char *text)
{
    bl_html_text(out, text, strlen(text));
}

/* What a renderer of text writes, as one string; NULL without memory. */
struct words {
    struct bl_pen pen;
    char *text;
    size_t size;
};

static bool begin_words(struct words *words, const struct bl_view *view)
{
    *words = (struct words){.pen.view = view};
    words->pen.out = open_memstream(&words->text, &words->size);
    return words->pen.out != NULL;
}

static char *end_words(struct words *words)
{
    if (fclose(words->pen.out) == 0)
        return words->text;
    free(words->text);
    return NULL;
}

static int write_title(const struct page *page)
{
    const struct bl_view *view = page->view;
    char age[BL_TEXT_NUMBER];
    char moment[128];
    bl_view_moment(moment, sizeof(moment), view->header, view->model->state);
    fprintf(page->out, "bufleak %s · ", BL_VERSION);
    write_text(page->out, view->comm);
    fprintf(page->out, "[%d] · %s %s · ", (int)view->pid,
            view->model->state == BL_PROCESS_RUNNING ? "up" : "ran",
            bl_text_age(age, view->model->uptime_ns));
    write_text(page->out, moment);
    return 0;
}

static uint64_t most_bytes(const struct bl_point *points, size_t count)
{
    uint64_t most = 1;
    for (size_t i = 0; i < count; i++)
        most = points[i].bytes > most ? points[i].bytes : most;
    return most;
}

/* Bytes in time, from nothing up to the most there were. */
static void write_chart(FILE *out, const struct bl_line *line)
{
    struct bl_point points[CHART_POINTS];
    size_t count = line ? bl_line_thin(line, 0, points, CHART_POINTS) : 0;
    if (count < 2 || points[count - 1].t_ns <= points[0].t_ns)
        return;
    double span = (double)(points[count - 1].t_ns - points[0].t_ns);
    double most = (double)most_bytes(points, count);
    fprintf(out,
            "<svg width=\"%.0f\" height=\"%.0f\" viewBox=\"0 -1 %.0f %.0f\"><polyline points=\"",
            CHART_WIDTH, CHART_HEIGHT, CHART_WIDTH, CHART_HEIGHT + 2);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%.1f,%.1f ", CHART_WIDTH * (double)(points[i].t_ns - points[0].t_ns) / span,
                CHART_HEIGHT * (1 - (double)points[i].bytes / most));
    fputs("\"/></svg>", out);
}

static void write_class(const struct page *page, const struct bl_class_sums *sums)
{
    const struct bl_growth *growth =
        page->view->growth ? &page->view->growth->classes[sums->number] : NULL;
    char number[BL_TEXT_NUMBER];
    char text[128] = "-";
    if (growth)
        bl_growth_text(growth, text, sizeof(text));
    fputs("<tr><td>", page->out);
    write_text(page->out, sums->name);
    fprintf(page->out, "</td><td>%s</td>", bl_text_count(number, sums->live_count));
    fprintf(page->out, "<td>%s</td><td class=\"growth\">", bl_text_bytes(number, sums->live_bytes));
    write_text(page->out, text);
    fputs("</td><td>", page->out);
    write_chart(page->out, growth ? growth->line : NULL);
    fprintf(page->out, "</td><td>%s</td>", bl_text_count(number, sums->allocs));
    fprintf(page->out, "<td>%s</td></tr>\n", bl_text_count(number, sums->ended));
}

/* The built-in profiles bring classes that most programs never use. */
static int write_classes(const struct page *page)
{
    const struct bl_model *model = page->view->model;
    for (size_t i = 0; i < model->class_count; i++)
        if (i == 0 || model->classes[i].allocs > 0)
            write_class(page, &model->classes[i]);
    return 0;
}

/* Lines of text as they are; nothing for none. */
static int write_lines(const struct page *page, char *text)
{
    if (!text)
        return -1;
    const char *first = text + strspn(text, "\n");
    if (*first) {
        fputs("<pre>", page->out);
        write_text(page->out, first);
        fputs("</pre>\n", page->out);
    }
    free(text);
    return 0;
}

static int write_notes(const struct page *page)
{
    struct words words;
    if (!begin_words(&words, page->view))
        return -1;
    bl_render_text_notes(&words.pen);
    return write_lines(page, end_words(&words));
}

/* Its first line is what is seen of it while it is folded. */
static int write_group(const struct page *page, size_t index)
{
    struct words words;
    if (!begin_words(&words, page->view))
        return -1;
    bl_render_text_group(&words.pen, index);
    char *text = end_words(&words);
    if (!text)
        return -1;
    const char *title = text + strspn(text, "\n");
    size_t length = strcspn(title, "\n");
    fprintf(page->out, "<details%s><summary>", index < OPEN_MAX ? " open" : "");
    bl_html_text(page->out, title, length);
    fputs("</summary><pre>", page->out);
    write_text(page->out, title + length + strspn(title + length, "\n"));
    fputs("</pre></details>\n", page->out);
    free(text);
    return 0;
}

static int write_groups(const struct page *page)
{
    const struct bl_model *model = page->view->model;
    struct words words;
    int outcome = 0;
    for (size_t i = 0; outcome == 0 && i < model->shown; i++)
        outcome = write_group(page, i);
    if (outcome < 0 || !begin_words(&words, page->view))
        return -1;
    bl_render_text_others(&words.pen, model->shown);
    return write_lines(page, end_words(&words));
}

static int write_flame(const struct page *page)
{
    char *text = NULL;
    size_t size;
    uint64_t left_out;
    struct bl_error ignored;
    FILE *lines = open_memstream(&text, &size);
    int outcome = lines ? bl_render_folded(lines, page->stacks, false, &left_out, &ignored) : -1;
    if (lines && fclose(lines) != 0)
        outcome = -1;
    if (outcome == 0)
        outcome = bl_html_flame(page->out, text);
    free(text);
    return outcome;
}

static int write_part(const struct page *page, const char *name, size_t length)
{
    static const struct {
        const char *name;
        int (*write)(const struct page *page);
    } parts[] = {{"title", write_title},
                 {"classes", write_classes},
                 {"notes", write_notes},
                 {"groups", write_groups},
                 {"flame", write_flame}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strlen(parts[i].name) == length && strncmp(parts[i].name, name, length) == 0)
            return parts[i].write(page);
    return 0;
}

int bl_render_html(FILE *out, const struct bl_view *view, const struct bl_view *stacks,
                   struct bl_error *error)
{
    static const char begin[] = "<!--@";
    static const char end[] = "-->";
    const struct page page = {.out = out, .view = view, .stacks = stacks};
    const char *rest = bl_html_page;
    const char *mark;
    int outcome = 0;
    while (outcome == 0 && (mark = strstr(rest, begin))) {
        const char *name = mark + strlen(begin);
        size_t length = strcspn(name, "-");
        fwrite(rest, 1, (size_t)(mark - rest), out);
        outcome = write_part(&page, name, length);
        rest = name + length + strlen(end);
    }
    fputs(rest, out);
    return outcome < 0 ? bl_error_set(error, "not enough memory to write the page") : 0;
}
