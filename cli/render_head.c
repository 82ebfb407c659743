/*
 * The head of a report: what process, the table of classes, what is missing from the numbers,
 * hooks.
 */
#include "pen.h"
#include "render_parts.h"

#include "execs.h"
#include "hooks.h"
#include "text.h"

#include <stdarg.h>
#include <string.h>

static const char *const loss_texts[] = {
#define LOSS_TEXT(name, text) (text),
    BL_LOSSES(LOSS_TEXT)
#undef LOSS_TEXT
};

static void write_title(const struct bl_pen *to)
{
    struct bl_pen_line line;
    bl_pen_begin(&line, to);
    const struct bl_pen *pen = &line.pen;
    const struct bl_view *view = pen->view;
    char age[BL_TEXT_NUMBER];
    char moment[128];
    bool is_running = view->model->state == BL_PROCESS_RUNNING;
    bl_view_moment(moment, sizeof(moment), view->header, view->model->state);
    fprintf(pen->out, "bufleak %s · %s%s[%d]%s · %s %s · %s\n", BL_VERSION,
            bl_pen_style(pen, BL_STYLE_BOLD), view->comm, (int)view->pid,
            bl_pen_style(pen, BL_STYLE_PLAIN), is_running ? "up" : "ran",
            bl_text_age(age, view->model->uptime_ns), moment);
    bl_pen_end(&line);
}

/* Estimates are marked: nobody should compare them with exact counts. */
static void write_sampling(const struct bl_pen *pen)
{
    char size[BL_TEXT_NUMBER];
    if (pen->view->model->is_sampled)
        fprintf(pen->out,
                "estimates: of the heap, one block per %s on average was recorded (sample=%llu)\n",
                bl_text_bytes(size, pen->view->header->sample_bytes),
                (unsigned long long)pen->view->header->sample_bytes);
}

/* The built-in profiles bring classes that most programs never use. */
static bool is_used(const struct bl_class_sums *sums)
{
    return sums->number == 0 || sums->allocs > 0 || sums->live_count > 0 || sums->retains > 0 ||
           sums->releases > 0 || sums->over_releases > 0;
}

static const struct bl_growth *growth_of(const struct bl_view *view, uint32_t class_number)
{
    return view->growth ? &view->growth->classes[class_number] : NULL;
}

/* Widths of the table's columns; 0: there is no room for it. */
struct columns {
    size_t name;
    size_t growth;
    bool has_history;
};

#define NUMBERS_WIDTH 24 /* live and bytes */
#define HISTORY_WIDTH 27

static struct columns measure_columns(const struct bl_pen *pen)
{
    const struct bl_model *model = pen->view->model;
    struct columns columns = {.name = 12, .growth = 6, .has_history = true};
    for (size_t i = 0; i < model->class_count; i++) {
        char text[128];
        if (!is_used(&model->classes[i]))
            continue;
        bl_growth_text(growth_of(pen->view, model->classes[i].number), text, sizeof(text));
        size_t growth = bl_text_width(text);
        size_t name = bl_text_width(model->classes[i].name);
        columns.growth = growth > columns.growth ? growth : columns.growth;
        columns.name = name > columns.name ? name : columns.name;
    }
    size_t used = columns.name + NUMBERS_WIDTH;
    if (pen->term.width > 0) {
        columns.has_history = pen->term.width >= used + 3 + columns.growth + HISTORY_WIDTH;
        columns.growth = pen->term.width >= used + 3 + columns.growth ? columns.growth : 0;
    }
    return columns;
}

static void write_classes(const struct bl_pen *pen)
{
    const struct bl_model *model = pen->view->model;
    struct columns columns = measure_columns(pen);
    fprintf(pen->out, "\n%s", bl_pen_style(pen, BL_STYLE_DIM));
    bl_pen_pad(pen->out, "class", columns.name);
    fprintf(pen->out, " %11s %11s%s", "live", "bytes", columns.growth ? "   " : "");
    bl_pen_pad(pen->out, columns.growth ? "growth" : "", columns.has_history ? columns.growth : 0);
    fprintf(pen->out, "%s%s\n", columns.has_history ? "         allocs     released" : "",
            bl_pen_style(pen, BL_STYLE_PLAIN));
    for (size_t i = 0; i < model->class_count; i++) {
        const struct bl_class_sums *sums = &model->classes[i];
        char number[BL_TEXT_NUMBER];
        char growth[128];
        if (!is_used(sums))
            continue;
        bl_pen_pad(pen->out, sums->name, columns.name);
        fprintf(pen->out, " ");
        bl_pen_pad_left(pen->out, bl_text_count(number, sums->live_count), 11);
        fprintf(pen->out, " ");
        bl_pen_pad_left(pen->out, bl_text_bytes(number, sums->live_bytes), 11);
        bl_growth_text(growth_of(pen->view, sums->number), growth, sizeof(growth));
        fprintf(pen->out, "%s", columns.growth ? "   " : "");
        bl_pen_pad(pen->out, columns.growth ? growth : "",
                   columns.has_history ? columns.growth : 0);
        if (columns.has_history) {
            fprintf(pen->out, " ");
            bl_pen_pad_left(pen->out, bl_text_count(number, sums->allocs), 14);
            fprintf(pen->out, " ");
            bl_pen_pad_left(pen->out, bl_text_count(number, sums->ended), 12);
        }
        fprintf(pen->out, "\n");
    }
    if (model->class_count == 0)
        fprintf(pen->out, "%s\n",
                bl_reader_lost_bytes(pen->view->reader) > 0 ? "(no class is left in the file)"
                                                            : "(the ledger has no class yet)");
}

__attribute__((format(printf, 2, 3))) static void write_warning(const struct bl_pen *pen,
                                                                const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is the line above
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(pen->out, "  %s", bl_pen_style(pen, BL_STYLE_BAD));
    bl_pen_wrap(pen, text, 2, 4);
    fprintf(pen->out, "%s\n", bl_pen_style(pen, BL_STYLE_PLAIN));
}

static void write_loss(const struct bl_pen *pen, const char *number, const char *text,
                       uint64_t count)
{
    char said[256];
    bl_text_plural(said, sizeof(said), text, count);
    write_warning(pen, "%s %s", number, said);
}

/* Stacks of Java threads are recognised, not walked: how sure is that? */
static void write_java(const struct bl_pen *pen, const struct bl_java_counts *java)
{
    char checked[BL_TEXT_NUMBER];
    char wrong[BL_TEXT_NUMBER];
    if (java->walks > 0)
        write_warning(pen, "%s recognised Java stack%s checked, %s of them %s wrong",
                      bl_text_count(checked, java->checked), java->checked == 1 ? " was" : "s were",
                      bl_text_count(wrong, java->wrong), java->wrong == 1 ? "was" : "were");
}

/* How the table of stacks stays bounded, where it had to. */
static void write_sweeps(const struct bl_pen *pen)
{
    const struct bl_header *header = pen->view->header;
    char text[256];
    char frames[BL_TEXT_NUMBER];
    char sweeps[BL_TEXT_NUMBER];
    if (header->frame_sweeps == 0)
        return;
    snprintf(
        text, sizeof(text),
        "no loss: %s frame%s of stacks that nothing refers to any more freed, in %s sweep%s of "
        "their table",
        bl_text_count(frames, header->frames_reclaimed), header->frames_reclaimed == 1 ? "" : "s",
        bl_text_count(sweeps, header->frame_sweeps), header->frame_sweeps == 1 ? "" : "s");
    fprintf(pen->out, "  ");
    bl_pen_wrap(pen, text, 2, 4);
    fputc('\n', pen->out);
}

/* Was a snapshot asked for that the process did not live to see? A snapshot's own copy of the
 * requests is of the moment before it was answered. */
static bool is_request_lost(const struct bl_view *view)
{
    const struct bl_header *header = view->header;
    return header->snapshot_number == 0 && view->model->state != BL_PROCESS_RUNNING &&
           (header->signal_requests != header->signal_served ||
            header->dump_requests != header->dump_served);
}

/* What the numbers above do not contain, before anybody draws conclusions from them. */
static void write_losses(const struct bl_pen *pen)
{
    const struct bl_view *view = pen->view;
    char number[BL_TEXT_NUMBER];
    uint64_t damage = bl_reader_damage(view->reader);
    uint64_t lost = bl_reader_lost_bytes(view->reader);
    uint64_t any = damage | lost | view->model->buffers_unreadable | view->model->buffers_missing |
                   view->model->buffers_uncounted | view->header->java.walks;
    for (unsigned i = 0; i < BL_LOSSES_MAX; i++)
        any |= view->header->losses[i];
    any |= view->header->frame_sweeps;
    any |= is_request_lost(view);
    if (any == 0 && !(view->header->flags & BL_FLAG_INEXACT))
        return;
    fprintf(pen->out, "\nlosses and limits:\n");
    for (unsigned i = 0; i < BL_LOSSES_MAX; i++) {
        uint64_t count = view->header->losses[i];
        if (count == 0)
            continue;
        bl_text_count(number, count);
        if (i < BL_LOSS_COUNT)
            write_loss(pen, number, loss_texts[i], count);
        else
            write_warning(pen, "%s of a cause this version does not know (number %u)", number, i);
    }
    write_java(pen, &view->header->java);
    if (view->model->buffers_unreadable > 0)
        write_warning(pen,
                      "%s %s of the live table in the program's private memory cannot be listed",
                      bl_text_count(number, view->model->buffers_unreadable),
                      view->model->buffers_unreadable == 1 ? "entry" : "entries");
    if (lost > 0)
        write_warning(pen, "the file is not whole: at least %s of it are missing",
                      bl_text_bytes(number, lost));
    if (view->model->buffers_missing > 0)
        write_warning(pen,
                      "%s of the heap's live blocks %s counted and not in the file: not all of it "
                      "was written to the disk, or it is damaged",
                      bl_text_count(number, view->model->buffers_missing),
                      view->model->buffers_missing == 1 ? "is" : "are");
    if (view->model->buffers_uncounted > 0)
        write_warning(pen,
                      "%s of the heap's live blocks %s in the file and not counted: not all of it "
                      "was written to the disk, or it is damaged",
                      bl_text_count(number, view->model->buffers_uncounted),
                      view->model->buffers_uncounted == 1 ? "is" : "are");
    if (view->header->flags & BL_FLAG_INEXACT)
        write_warning(pen, "copied while the program ran on: single buffers may be missing or "
                           "already released");
    if (is_request_lost(view))
        write_warning(pen,
                      "the process ended while a snapshot was asked for, which may be missing: "
                      "this is how it ended");
    write_sweeps(pen);
    if (damage > 0)
        write_warning(pen, "the file is damaged: %s reference%s in it point%s nowhere",
                      bl_text_count(number, damage), damage == 1 ? "" : "s",
                      damage == 1 ? "s" : "");
}

/* Worth a line without being asked for: what is not seen, seen in part, or shared with the
 * program's own signal handler or allocator. A function that this program simply does not have is
 * neither. */
static bool matters(const struct bl_hook_row *hook)
{
    return hook->is_none || (hook->is_import && *hook->why) ||
           (strncmp(hook->function, "signal:", 7) == 0 && *hook->why) ||
           strcmp(hook->why, BL_WHY_OTHER_MALLOC) == 0;
}

static bool say_profile(const struct bl_reader *reader, const struct bl_hook_row *hook, char *text,
                        size_t size)
{
    char why[640]; /* a name is of 63 bytes */
    if (hook->is_profile)
        bl_hooks_say_mistakes(hook, text, size);
    else if (hook->is_wanted && bl_hooks_why_missing(reader, hook, why, sizeof(why)))
        snprintf(text, size, "class %.63s %s", hook->function, why);
    else
        return false;
    return true;
}

/* Of the profile files what was not understood or not there: less is recorded than was asked for.
 */
static bool write_profiles(const struct bl_pen *pen)
{
    bool any = false;
    uint32_t count = bl_hooks_count(pen->view->reader);
    for (uint32_t i = 0; i < count; i++) {
        struct bl_hook_row hook;
        char text[1024];
        if (!bl_hooks_read(pen->view->reader, i, &hook) ||
            !say_profile(pen->view->reader, &hook, text, sizeof(text)))
            continue;
        fprintf(pen->out, "%s  profile %s:", any ? "" : "\nhooks:\n", hook.module);
        bl_pen_wrap(pen, text, 11 + bl_text_width(hook.module), 6);
        fputc('\n', pen->out);
        any = true;
    }
    return any;
}

static void write_hooks(const struct bl_pen *pen)
{
    const struct bl_view *view = pen->view;
    bool has_title = write_profiles(pen);
    uint32_t count = bl_hooks_count(view->reader);
    for (uint32_t i = 0; i < count; i++) {
        struct bl_hook_row hook;
        if (!bl_hooks_read(view->reader, i, &hook) || hook.is_lasting || hook.is_profile ||
            hook.is_wanted || (!view->show_hooks && !matters(&hook)))
            continue;
        if (!has_title)
            fprintf(pen->out, "\nhooks:\n");
        has_title = true;
        const char *class = bl_model_class_name(view->model, hook.class_number);
        fprintf(pen->out, "  ");
        bl_pen_pad(pen->out, hook.function, 28);
        fprintf(pen->out, " %-8s %s%s", hook.method, class, *hook.why ? " " : "");
        bl_pen_wrap(pen, hook.why, 41 + bl_text_width(class), 6);
        fprintf(pen->out, "\n");
    }
}

/* Programs that it started and whose memory no report tells of. */
static void write_execs(const struct bl_pen *pen)
{
    bool has_title = false;
    for (uint32_t i = 0; i < BL_EXECS_MAX; i++) {
        struct bl_exec_row row;
        char text[sizeof(row.path) + 256];
        if (!bl_execs_read(pen->view->header, i, &row))
            continue;
        fputs(has_title ? "" : "\nnot tracked:\n", pen->out);
        has_title = true;
        snprintf(text, sizeof(text), "%s %s", row.path, row.why);
        if (row.count > 1)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), ", %u times", row.count);
        fprintf(pen->out, "  %s%s[%u]:", bl_pen_style(pen, BL_STYLE_BAD), row.comm, row.pid);
        bl_pen_wrap(pen, text, bl_text_width(row.comm) + 13, 4);
        fprintf(pen->out, "%s\n", bl_pen_style(pen, BL_STYLE_PLAIN));
    }
}

static void write_notes(const struct bl_pen *pen)
{
    bl_render_text_outlook(pen->out, pen->view);
    bl_render_text_marks(pen->out, pen->view);
    bl_render_text_reach(pen);
    write_losses(pen);
    write_hooks(pen);
    write_execs(pen);
}

void bl_render_text_head(const struct bl_pen *pen)
{
    write_title(pen);
    write_sampling(pen);
    write_classes(pen);
    write_notes(pen);
}

void bl_render_text_notes(const struct bl_pen *pen)
{
    write_sampling(pen);
    write_notes(pen);
}

void bl_render_text_title(FILE *out, const struct bl_view *view)
{
    struct bl_pen pen = bl_pen_of(out, view);
    write_title(&pen);
}
