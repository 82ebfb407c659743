#include "render_parts.h"

#include "folding.h"
#include "siblings.h"
#include "text.h"
#include "verdict.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define INDENT 7

static const char *const loss_texts[] = {
#define LOSS_TEXT(name, text) text,
    BL_LOSSES(LOSS_TEXT)
#undef LOSS_TEXT
};

struct pen {
    FILE *out;
    struct bl_term term;
    const struct bl_view *view;
    size_t most_lines; /* of a stack; 0: all */
};

static const char *style(const struct pen *pen, enum bl_style which)
{
    return bl_term_style(&pen->term, which);
}

static void pad(FILE *out, const char *text, size_t width)
{
    size_t used = bl_text_width(text);
    fprintf(out, "%s%*s", text, (int)(width > used ? width - used : 0), "");
}

static void pad_left(FILE *out, const char *text, size_t width)
{
    size_t used = bl_text_width(text);
    fprintf(out, "%*s%s", (int)(width > used ? width - used : 0), "", text);
}

static void write_title(const struct pen *pen)
{
    const struct bl_view *view = pen->view;
    char age[BL_TEXT_NUMBER];
    char moment[128];
    bool is_running = view->model->state == BL_PROCESS_RUNNING;
    bl_view_moment(moment, sizeof(moment), view->header, view->model->state);
    fprintf(pen->out, "bufleak %s · %s%s[%d]%s · %s %s · %s\n", BL_VERSION,
            style(pen, BL_STYLE_BOLD), view->comm, (int)view->pid, style(pen, BL_STYLE_PLAIN),
            is_running ? "up" : "ran", bl_text_age(age, view->model->uptime_ns), moment);
}

/* Estimates are marked: nobody should compare them with exact counts. */
static void write_sampling(const struct pen *pen)
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

static struct columns measure_columns(const struct pen *pen)
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

static void write_classes(const struct pen *pen)
{
    const struct bl_model *model = pen->view->model;
    struct columns columns = measure_columns(pen);
    fprintf(pen->out, "\n%s", style(pen, BL_STYLE_DIM));
    pad(pen->out, "class", columns.name);
    fprintf(pen->out, " %11s %11s%s", "live", "bytes", columns.growth ? "   " : "");
    pad(pen->out, columns.growth ? "growth" : "", columns.has_history ? columns.growth : 0);
    fprintf(pen->out, "%s%s\n", columns.has_history ? "         allocs     released" : "",
            style(pen, BL_STYLE_PLAIN));
    for (size_t i = 0; i < model->class_count; i++) {
        const struct bl_class_sums *sums = &model->classes[i];
        char number[BL_TEXT_NUMBER];
        char growth[128];
        if (!is_used(sums))
            continue;
        pad(pen->out, sums->name, columns.name);
        fprintf(pen->out, " ");
        pad_left(pen->out, bl_text_count(number, sums->live_count), 11);
        fprintf(pen->out, " ");
        pad_left(pen->out, bl_text_bytes(number, sums->live_bytes), 11);
        bl_growth_text(growth_of(pen->view, sums->number), growth, sizeof(growth));
        fprintf(pen->out, "%s", columns.growth ? "   " : "");
        pad(pen->out, columns.growth ? growth : "", columns.has_history ? columns.growth : 0);
        if (columns.has_history) {
            fprintf(pen->out, " ");
            pad_left(pen->out, bl_text_count(number, sums->allocs), 14);
            fprintf(pen->out, " ");
            pad_left(pen->out, bl_text_count(number, sums->ended), 12);
        }
        fprintf(pen->out, "\n");
    }
    if (model->class_count == 0)
        fprintf(pen->out, "(the ledger has no class yet)\n");
}

__attribute__((format(printf, 2, 3))) static void write_warning(const struct pen *pen,
                                                                const char *format, ...)
{
    va_list arguments;
    fprintf(pen->out, "  %s", style(pen, BL_STYLE_BAD));
    va_start(arguments, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is the line above
    vfprintf(pen->out, format, arguments);
    fprintf(pen->out, "%s\n", style(pen, BL_STYLE_PLAIN));
    va_end(arguments);
}

/* Stacks of Java threads are recognised, not walked: how sure is that? */
static void write_java(const struct pen *pen, const struct bl_java_counts *java)
{
    char checked[BL_TEXT_NUMBER];
    char wrong[BL_TEXT_NUMBER];
    if (java->walks > 0)
        write_warning(pen, "%s recognised Java stacks were checked, %s of them %s wrong",
                      bl_text_count(checked, java->checked), bl_text_count(wrong, java->wrong),
                      java->wrong == 1 ? "was" : "were");
}

/* What the numbers above do not contain, before anybody draws conclusions from them. */
static void write_losses(const struct pen *pen)
{
    const struct bl_view *view = pen->view;
    char number[BL_TEXT_NUMBER];
    uint64_t damage = bl_reader_damage(view->reader);
    uint64_t any = damage | view->model->buffers_unreadable | view->header->java.walks;
    for (unsigned i = 0; i < BL_LOSSES_MAX; i++)
        any |= view->header->losses[i];
    if (any == 0 && !(view->header->flags & BL_FLAG_INEXACT))
        return;
    fprintf(pen->out, "\nlosses and limits:\n");
    for (unsigned i = 0; i < BL_LOSSES_MAX; i++) {
        uint64_t count = view->header->losses[i];
        if (count == 0)
            continue;
        bl_text_count(number, count);
        if (i < BL_LOSS_COUNT)
            write_warning(pen, "%s %s", number, loss_texts[i]);
        else
            write_warning(pen, "%s of a cause this version does not know (number %u)", number, i);
    }
    write_java(pen, &view->header->java);
    if (view->model->buffers_unreadable > 0)
        write_warning(pen,
                      "%s entries of the live table are in the program's private memory and "
                      "cannot be listed",
                      bl_text_count(number, view->model->buffers_unreadable));
    if (view->header->flags & BL_FLAG_INEXACT)
        write_warning(pen, "copied while the program ran on: single buffers may be missing or "
                           "already released");
    if (damage > 0)
        write_warning(pen, "the file is damaged: %s references in it point nowhere",
                      bl_text_count(number, damage));
}

static const char *method_name(uint32_t method)
{
    static const char *const names[] = {"none", "symbol", "entry", "import", "bytecode"};
    return names[method <= BL_HOOK_BYTECODE ? method : 0];
}

/* Worth a line without being asked for: what is not seen, seen in part, or shared with the
 * program's own signal handler. A function that this program simply does not have is neither. */
static bool matters(const struct bl_hook *hook, const char *function, const char *why)
{
    return hook->method == BL_HOOK_NONE || (hook->method == BL_HOOK_IMPORT && *why) ||
           (strncmp(function, "signal:", 7) == 0 && *why);
}

static void write_hooks(const struct pen *pen)
{
    const struct bl_view *view = pen->view;
    bool has_title = false;
    uint32_t count = bl_reader_count(view->reader, BL_SECTION_HOOKS);
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_hook *hook = bl_reader_hook(view->reader, i);
        char function[256];
        char why[512];
        if (!hook || hook->method == BL_HOOK_LASTING ||
            !bl_reader_name_text(view->reader, hook->function_name, function, sizeof(function)))
            continue;
        bl_reader_name_text(view->reader, hook->why_name, why, sizeof(why));
        if (!view->show_hooks && !matters(hook, function, why))
            continue;
        if (!has_title)
            fprintf(pen->out, "\nhooks:\n");
        has_title = true;
        fprintf(pen->out, "  ");
        pad(pen->out, function, 28);
        fprintf(pen->out, " %-8s %s%s%s\n", method_name(hook->method),
                bl_model_class_name(view->model, hook->class_number), *why ? "  " : "", why);
    }
}

/* Left and right column of a frame's line. */
struct frame_line {
    char what[512];
    char where[640];
};

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
    else if (symbol->function)
        snprintf(line->where, sizeof(line->where), "%s+0x%llx%s", symbol->module, offset,
                 symbol->inlined ? " (inlined)" : "");
    else if (*symbol->build_id)
        snprintf(line->where, sizeof(line->where), "build-id %s", symbol->build_id);
    else
        line->where[0] = '\0';
}

static void write_frame(const struct pen *pen, const struct bl_symbol *symbol, size_t what_width)
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
        pad(pen->out, what, what_width);
        fprintf(pen->out, "  %s%s%s\n", style(pen, BL_STYLE_DIM), where,
                style(pen, BL_STYLE_PLAIN));
    } else {
        fprintf(pen->out, "%s\n", what);
    }
}

static size_t widest_function(const struct pen *pen, const uint32_t *frames, size_t count)
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
 * called: people look for their own frame first. Grouped by stack, all frames are shown. Returns
 * how many were left out. */
static size_t write_runtime(const struct pen *pen, const uint32_t *frames, size_t count)
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
    if (taken > 1)
        fprintf(pen->out, " and %zu more", taken - 1);
    return taken;
}

static void write_folded(const struct pen *pen, const uint32_t *frames, size_t count)
{
    char text[256];
    bl_folding_describe(pen->view, frames, count, text, sizeof(text));
    fprintf(pen->out, "%*s%s… %s%s\n", INDENT, "", style(pen, BL_STYLE_DIM), text,
            style(pen, BL_STYLE_PLAIN));
}

static void write_frames(const struct pen *pen, uint32_t stack, bool folds_runtime)
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
        fprintf(pen->out, "%*s… deeper callers were cut at %u frames (depth)\n", INDENT, "",
                pen->view->header->depth_frames);
    else if (last->module & BL_FRAME_UNROOTED)
        fprintf(pen->out, "%*s… no unwind information beyond this frame\n", INDENT, "");
}

/* Ends the line that was begun. */
static void write_stack(const struct pen *pen, uint32_t stack)
{
    write_frames(pen, stack, true);
}

static void write_key(const struct pen *pen, const struct bl_group *group)
{
    char number[BL_TEXT_NUMBER];
    char name[64] = "";
    const struct bl_thread *thread;
    switch (pen->view->model->group_by) {
    case BL_GROUP_SIZE:
        fprintf(pen->out, " · %s bytes each", bl_text_count(number, group->key));
        break;
    case BL_GROUP_AGE:
        fprintf(pen->out, " · %s old", bl_model_age_range(group->key));
        break;
    case BL_GROUP_MODULE:
        fprintf(pen->out, " · %s", bl_symbols_module(pen->view->symbols, (uint32_t)group->key));
        break;
    case BL_GROUP_THREAD:
        thread = bl_reader_thread(pen->view->reader, (uint32_t)group->key);
        if (thread)
            bl_text_printable(name, sizeof(name), thread->name,
                              strnlen(thread->name, sizeof(thread->name)));
        fprintf(pen->out, thread ? " · thread %u%s%s%s" : " · thread unknown",
                thread ? thread->tid : 0, *name ? " (" : "", name, *name ? ")" : "");
        break;
    case BL_GROUP_SITE:
    case BL_GROUP_STACK:
        break;
    }
}

/* A line of a finding's second half; the label only before the first of its kind. */
static void write_place(const struct pen *pen, const char *label, const char *before,
                        uint32_t frame, const char *after)
{
    char place[1280];
    char line[1536];
    bl_render_text_site(pen->view, frame, place, sizeof(place));
    snprintf(line, sizeof(line), "%s%s%s", before, place, after);
    size_t room = pen->term.width > 30 ? pen->term.width - 28 : 0;
    bl_text_fit(place, sizeof(place), line, room, false);
    fprintf(pen->out, "     %-22s %s\n", label, place);
}

/* Where sampled siblings of plain buffers ended. */
static void write_siblings(const struct pen *pen, const struct bl_siblings *siblings)
{
    char number[BL_TEXT_NUMBER];
    char all[BL_TEXT_NUMBER];
    bl_text_count(all, siblings->sampled);
    for (size_t i = 0; i < siblings->place_count; i++) {
        const struct bl_end_place *place = &siblings->places[i];
        char after[640];
        size_t count = 0;
        const struct bl_symbol *called =
            place->through ? bl_symbols_frame(pen->view->symbols, place->through, &count) : NULL;
        const char *name = called ? called[count - 1].function : NULL;
        snprintf(after, sizeof(after), "%s%s, %s of %s sampled%s", called ? " through " : "",
                 name     ? name
                 : called ? called->module
                          : "",
                 bl_text_count(number, place->count), all,
                 siblings->of_other_callers ? " from other callers" : "");
        write_place(pen, i == 0 ? "siblings" : "", place->is_resize ? "resized at " : "freed at ",
                    place->frame, after);
    }
    if (siblings->places_left_out > 0)
        fprintf(pen->out, "     %-22s and at %zu more place%s\n", "", siblings->places_left_out,
                siblings->places_left_out == 1 ? "" : "s");
}

static void write_group(const struct pen *pen, size_t index)
{
    const struct bl_model *model = pen->view->model;
    const struct bl_group *group = &model->groups[index];
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    char oldest[BL_TEXT_NUMBER];
    char youngest[BL_TEXT_NUMBER];
    fprintf(pen->out, "\n%s%zu. %s · %s%s", style(pen, BL_STYLE_BOLD), index + 1,
            bl_growth_verdict(group), bl_model_class_name(model, group->class_number),
            style(pen, BL_STYLE_PLAIN));
    write_key(pen, group);
    fprintf(pen->out, " · %s%s buffer%s, %s%s", model->is_sampled ? "~" : "",
            bl_text_count(count, group->count), group->count == 1 ? "" : "s",
            model->is_sampled ? "~" : "", bl_text_bytes(bytes, group->bytes));
    if (group->recorded == 1)
        fprintf(pen->out, " · %s old", bl_text_age(oldest, group->oldest_ns));
    else
        fprintf(pen->out, " · oldest %s · youngest %s", bl_text_age(oldest, group->oldest_ns),
                bl_text_age(youngest, group->youngest_ns));
    if (group->inherited > 0)
        fprintf(pen->out, " · %s inherited at fork", bl_text_count(count, group->inherited));
    fprintf(pen->out, "\n     allocated at%s",
            group->stack_count > 1 ? " (the heaviest of several stacks)" : "");
    write_stack(pen, group->stack);
    if (group->stack_count > 1)
        fprintf(pen->out, "     %sand through %s more stack%s (--group stack shows each)%s\n",
                style(pen, BL_STYLE_DIM), bl_text_count(count, group->stack_count - 1),
                group->stack_count == 2 ? "" : "s", style(pen, BL_STYLE_PLAIN));
    bl_render_text_growing(pen->out, group->growth);
    if (group->siblings)
        write_siblings(pen, group->siblings);
}

#define REFERENCES_SHOWN 6

static void write_references(const struct pen *pen, const struct bl_finding *finding)
{
    const char *label = "other references";
    size_t shown = 0;
    size_t left = 0;
    for (size_t i = 0; i < finding->reference_count; i++) {
        const struct bl_reference *reference = &finding->references[i];
        char number[BL_TEXT_NUMBER];
        char after[BL_TEXT_NUMBER + 16];
        if (reference->is_blamed || reference->kind == BL_ITEM_ALLOC)
            continue;
        if (shown == REFERENCES_SHOWN) {
            left++;
            continue;
        }
        snprintf(after, sizeof(after), ", %s time%s", bl_text_count(number, reference->count),
                 reference->count == 1 ? "" : "s");
        write_place(pen, label, reference->kind == BL_ITEM_RETAIN ? "retained at " : "released at ",
                    reference->frame, after);
        label = "";
        shown++;
    }
    if (left > 0)
        fprintf(pen->out, "     %-22s and at %zu more place%s\n", "", left, left == 1 ? "" : "s");
}

/* Breaks text at blanks to fit the terminal, each line indented. `column`: already written. */
static void write_wrapped(const struct pen *pen, const char *text, size_t column)
{
    size_t limit = pen->term.width;
    while (*text) {
        size_t length = strcspn(text, " ");
        char word[512];
        snprintf(word, sizeof(word), "%.*s", (int)length, text);
        size_t width = bl_text_width(word);
        if (limit > 0 && column > 5 && column + 1 + width > limit) {
            fprintf(pen->out, "\n     ");
            column = 5;
        } else if (column > 5) {
            fputc(' ', pen->out);
            column++;
        }
        fputs(word, pen->out);
        column += width;
        text += length;
        text += strspn(text, " ");
    }
}

static const char *blame_text(const struct bl_finding *finding)
{
    bool is_alloc = finding->blame_kind == BL_ITEM_ALLOC;
    switch (finding->verdict) {
    case BL_VERDICT_MISSING_RELEASE:
        return is_alloc ? "allocated here and this reference never given back"
                        : "retained here and never given back";
    case BL_VERDICT_NEVER_RELEASED:
        return "allocated here, and no release was seen";
    case BL_VERDICT_OVER_RELEASE:
        return "released here, although the buffer was gone";
    case BL_VERDICT_STALE:
        return is_alloc ? "allocated here and held far longer than its siblings"
                        : "retained here and held far longer than by its siblings";
    case BL_VERDICT_UNRELEASED:
        break;
    }
    return "allocated at";
}

static void write_more(const struct pen *pen, const struct bl_finding *finding)
{
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    char after[BL_TEXT_NUMBER + 64] = "";
    bool is_blamed_at_alloc = finding->blame_kind == BL_ITEM_ALLOC;
    if (finding->alloc_stacks > 1)
        snprintf(after, sizeof(after), ", and through %s more stack%s",
                 bl_text_count(count, finding->alloc_stacks - 1),
                 finding->alloc_stacks == 2 ? "" : "s");
    if (!is_blamed_at_alloc && finding->alloc_frame)
        write_place(pen, "allocated at", "", finding->alloc_frame, after);
    write_references(pen, finding);
    if (finding->expected_frame) {
        bl_text_count(count, finding->expected_count);
        if (finding->is_expected_of_itself)
            snprintf(after, sizeof(after), ", where %s of its references were given back", count);
        else
            snprintf(after, sizeof(after), ", where %s sibling%s gave it back", count,
                     finding->expected_count == 1 ? "" : "s");
        write_place(pen, "expected release", "", finding->expected_frame, after);
    }
    for (size_t i = 0; i < finding->part_count; i++)
        fprintf(pen->out, "     %-22s %s %s, %s\n", i ? "" : "and what they hold",
                bl_text_count(count, finding->parts[i].count),
                bl_model_class_name(pen->view->model, finding->parts[i].class_number),
                bl_text_bytes(bytes, finding->parts[i].bytes));
    if (finding->shared > 0)
        fprintf(pen->out,
                "     %-22s %s of these lack another release as well and are shown there "
                "too\n",
                "more than one", bl_text_count(count, finding->shared));
    if (*finding->note) {
        fprintf(pen->out, "     ");
        write_wrapped(pen, finding->note, 5);
        fprintf(pen->out, "\n");
    }
}

static void write_finding(const struct pen *pen, size_t index)
{
    const struct bl_group *group = &pen->view->model->groups[index];
    const struct bl_finding *finding = group->finding;
    static const char *const names[] = {"missing release", "never released", "over-release",
                                        "stale", "unreleased"};
    bool is_judged = finding->verdict != BL_VERDICT_UNRELEASED;
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    fprintf(pen->out, "\n%s%zu. %s · %s%s · %s buffer%s", style(pen, BL_STYLE_BOLD), index + 1,
            group->rank == BL_MODEL_RANK_GROWING ? "growing" : names[finding->verdict],
            bl_model_class_name(pen->view->model, group->class_number), style(pen, BL_STYLE_PLAIN),
            bl_text_count(count, group->count), group->count == 1 ? "" : "s");
    if (group->bytes > 0 || finding->verdict != BL_VERDICT_OVER_RELEASE)
        fprintf(pen->out, ", %s", bl_text_bytes(bytes, group->bytes));
    if (finding->refs_max > 0)
        fprintf(pen->out, " · %s%s reference%s each",
                finding->refs_min < finding->refs_max ? "up to " : "",
                bl_text_count(count, finding->refs_max), finding->refs_max == 1 ? "" : "s");
    if (group->oldest_ns > 0)
        fprintf(pen->out, " · oldest %s", bl_text_age(age, group->oldest_ns));
    if (group->inherited > 0)
        fprintf(pen->out, " · inherited at fork");
    fprintf(pen->out, "\n     ");
    if (is_judged) {
        char line[512];
        snprintf(line, sizeof(line), "%s (%s):", blame_text(finding), finding->text);
        write_wrapped(pen, line, 5);
    } else {
        write_wrapped(pen, finding->text, 5);
        fprintf(pen->out, "\n     %s", blame_text(finding));
    }
    if (is_judged && !finding->blame_frame)
        fprintf(pen->out, "\n");
    else
        write_stack(pen, group->stack);
    if (group->stack_count > 1)
        fprintf(pen->out, "     %sand through %s more stack%s (--group stack shows each)%s\n",
                style(pen, BL_STYLE_DIM), bl_text_count(count, group->stack_count - 1),
                group->stack_count == 2 ? "" : "s", style(pen, BL_STYLE_PLAIN));
    bl_render_text_growing(pen->out, group->growth);
    if (is_judged)
        write_more(pen, finding);
    else if (finding->ground == BL_GROUND_STEADY || finding->ground == BL_GROUND_ONCE)
        write_references(pen, finding);
}

static void write_groups(const struct pen *pen)
{
    const struct bl_model *model = pen->view->model;
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    size_t full = model->shown;
    if (!pen->view->show_all)
        full = bl_render_text_verdicts(model);
    for (size_t i = 0; i < full; i++) {
        if (model->groups[i].finding)
            write_finding(pen, i);
        else
            write_group(pen, i);
    }
    bl_render_text_rest(pen->out, pen->view, full);
    if (model->group_count == 0)
        fprintf(pen->out, "\nno unreleased buffers to show\n");
    uint64_t rest = 0;
    for (size_t i = model->shown; i < model->group_count; i++)
        rest += model->groups[i].bytes;
    if (model->shown < model->group_count)
        fprintf(pen->out, "\n%s%s more group%s with %s (--top 0 shows all)%s\n",
                style(pen, BL_STYLE_DIM), bl_text_count(count, model->group_count - model->shown),
                model->group_count - model->shown == 1 ? "" : "s", bl_text_bytes(bytes, rest),
                style(pen, BL_STYLE_PLAIN));
    const char *path;
    for (size_t n = 0; (path = bl_symbols_mismatch(pen->view->symbols, n)); n++)
        fprintf(pen->out,
                "\nno names from %s: the file is not the one the program loaded "
                "(build-id differs)\n",
                path);
}

void bl_render_text(FILE *out, const struct bl_view *view)
{
    struct pen pen = {.out = out, .term = bl_term_of(out), .view = view};
    write_title(&pen);
    write_sampling(&pen);
    write_classes(&pen);
    bl_render_text_outlook(out, view);
    bl_render_text_marks(out, view);
    write_losses(&pen);
    write_hooks(&pen);
    if (!view->summary_only)
        write_groups(&pen);
    fflush(out);
}

void bl_render_text_title(FILE *out, const struct bl_view *view)
{
    struct pen pen = {.out = out, .term = bl_term_of(out), .view = view};
    write_title(&pen);
}

void bl_render_text_stack(FILE *out, const struct bl_view *view, uint32_t stack)
{
    struct pen pen = {.out = out, .term = bl_term_of(out), .view = view};
    write_frames(&pen, stack, false);
}

void bl_render_text_callers(FILE *out, const struct bl_view *view, uint32_t frame, size_t most)
{
    struct pen pen = {.out = out, .term = bl_term_of(out), .view = view, .most_lines = most};
    write_frames(&pen, frame, false);
}

void bl_render_text_wrapped(FILE *out, const char *text, size_t column)
{
    struct pen pen = {.out = out, .term = bl_term_of(out)};
    write_wrapped(&pen, text, column);
}

void bl_render_text_key(FILE *out, const struct bl_view *view, const struct bl_group *group)
{
    struct pen pen = {.out = out, .term = bl_term_of(out), .view = view};
    write_key(&pen, group);
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
    const struct bl_symbol *symbol =
        frame ? bl_symbols_frame(view->symbols, frame, &inlined) : NULL;
    if (!symbol)
        snprintf(out, size, "(no stack was recorded)");
    else if (symbol->file && symbol->line > 0)
        snprintf(out, size, "%s:%d%s%s%s", symbol->file, symbol->line, symbol->function ? " (" : "",
                 symbol->function ? symbol->function : "", symbol->function ? ")" : "");
    else
        snprintf(out, size, "%s+0x%llx%s%s%s", symbol->module, (unsigned long long)symbol->offset,
                 symbol->function ? " (" : "", symbol->function ? symbol->function : "",
                 symbol->function ? ")" : "");
}
