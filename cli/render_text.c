/*
 * A report as text: its head, then a block for each group, the verdict first.
 */
#include "pen.h"
#include "render_parts.h"

#include "assembled.h"
#include "called.h"
#include "siblings.h"
#include "text.h"
#include "verdict.h"

#include <stdlib.h>
#include <string.h>

static void write_key(const struct bl_pen *pen, const struct bl_group *group)
{
    char number[BL_TEXT_NUMBER];
    char name[64] = "";
    const struct bl_thread *thread;
    switch (pen->view->model->group_by) {
    case BL_GROUP_SIZE:
        fprintf(pen->out, " · %s byte%s each", bl_text_count(number, group->key),
                group->key == 1 ? "" : "s");
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

/* Where sampled siblings of plain buffers ended. */
static void write_siblings(const struct bl_pen *pen, const struct bl_siblings *siblings)
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
        bl_render_text_line(pen, i == 0 ? "siblings" : "",
                            place->is_resize ? "resized at " : "freed at ", place->frame, after);
    }
    if (siblings->places_left_out > 0)
        fprintf(pen->out, "     %-22s and at %zu more place%s\n", "", siblings->places_left_out,
                siblings->places_left_out == 1 ? "" : "s");
}

static void write_group_title(const struct bl_pen *to, size_t index)
{
    struct bl_pen_line line;
    bl_pen_begin(&line, to);
    const struct bl_pen *pen = &line.pen;
    const struct bl_model *model = pen->view->model;
    const struct bl_group *group = &model->groups[index];
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    char oldest[BL_TEXT_NUMBER];
    char youngest[BL_TEXT_NUMBER];
    fprintf(pen->out, "\n%s%zu. %s · %s%s", bl_pen_style(pen, BL_STYLE_BOLD), index + 1,
            bl_growth_verdict(group), bl_model_class_name(model, group->class_number),
            bl_pen_style(pen, BL_STYLE_PLAIN));
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
    bl_pen_end(&line);
}

void bl_render_text_assembled(const struct bl_pen *pen, const struct bl_group *group)
{
    struct bl_assembled assembled[BL_ASSEMBLED_MAX];
    char text[512];
    char fitted[512];
    char asked[2 * BL_TEXT_NUMBER + 32] = "";
    char number[BL_TEXT_NUMBER];
    char sum[BL_TEXT_NUMBER];
    uint64_t all;
    size_t others;
    size_t count = bl_assembled_find(pen->view->reader, group->stack, group->stack_count > 1,
                                     assembled, &all, &others);
    for (size_t i = 0; i < count; i++) {
        const char *label = bl_assembled_label(&assembled[i]);
        bool is_same = i > 0 && assembled[i].is_of_source == assembled[i - 1].is_of_source;
        bl_assembled_text(pen->view->reader, &assembled[i], text, sizeof(text));
        snprintf(asked, sizeof(asked), " (%s of %s events asked)",
                 bl_text_count(number, assembled[i].count), bl_text_count(sum, all));
        size_t used = 5 + 22 + 1 + strlen(asked);
        size_t room = pen->term.width > used ? pen->term.width - used : pen->term.width;
        bl_text_fit(fitted, sizeof(fitted), text, room > 0 ? room : sizeof(fitted), false);
        fprintf(pen->out, "     %-22s %s%s%s%s\n", is_same ? "" : label, fitted,
                bl_pen_style(pen, BL_STYLE_DIM), asked, bl_pen_style(pen, BL_STYLE_PLAIN));
    }
    if (others > 0)
        fprintf(pen->out, "     %-22s and %zu more\n", "", others);
}

#define DIRECT_CLASS "java-direct"

static void write_group(const struct bl_pen *pen, size_t index)
{
    const struct bl_group *group = &pen->view->model->groups[index];
    char count[BL_TEXT_NUMBER];
    write_group_title(pen, index);
    bool is_direct =
        strcmp(bl_model_class_name(pen->view->model, group->class_number), DIRECT_CLASS) == 0;
    if (is_direct) /* a pool's memory is nobody's in particular */
        fprintf(pen->out, "\n     who made it grow, not who keeps what is in it (the buffers in it "
                          "are told apart from it)");
    fprintf(pen->out, "\n     allocated at%s",
            group->stack_count > 1 ? " (the heaviest of several stacks)" : "");
    bl_render_text_frames(pen, group->stack, true);
    if (group->stack_count > 1)
        fprintf(pen->out, "     %sand through %s more stack%s (--group stack shows each)%s\n",
                bl_pen_style(pen, BL_STYLE_DIM), bl_text_count(count, group->stack_count - 1),
                group->stack_count == 2 ? "" : "s", bl_pen_style(pen, BL_STYLE_PLAIN));
    bl_render_text_assembled(pen, group);
    bl_render_text_growing(pen->out, group->growth);
    bl_render_text_held_by(pen, group);
    if (group->siblings)
        write_siblings(pen, group->siblings);
}

#define REFERENCES_SHOWN 6
#define APART_MAX        1024
#define SITE_MAX         1280

/* A place as the report shows it: the references of all whose stacks differ only farther out. */
struct shown_reference {
    enum bl_item_kind kind;
    uint32_t frame;
    uint64_t count;
    char apart[APART_MAX];
};

static bool look_alike(const struct bl_pen *pen, const struct shown_reference *a,
                       const struct shown_reference *b)
{
    char one[SITE_MAX];
    char other[SITE_MAX];
    if (a->kind != b->kind || strcmp(a->apart, b->apart) != 0)
        return false;
    bl_render_text_site(pen->view, a->frame, one, sizeof(one));
    bl_render_text_site(pen->view, b->frame, other, sizeof(other));
    return strcmp(one, other) == 0;
}

/* The one that was put behind `count` others is added to the one that looks like it, if any does,
 * which may be more frequent than those before it then. Returns how many there are. */
static size_t show_reference(const struct bl_pen *pen, struct shown_reference *all, size_t count)
{
    size_t at = 0;
    while (at < count && !look_alike(pen, &all[at], &all[count]))
        at++;
    if (at == count)
        return count + 1;
    all[at].count += all[count].count;
    for (; at > 0 && all[at - 1].count < all[at].count; at--) {
        struct shown_reference less = all[at - 1];
        all[at - 1] = all[at];
        all[at] = less;
    }
    return count;
}

static void write_references(const struct bl_pen *pen, const struct bl_finding *finding)
{
    struct shown_reference all[BL_FINDING_REFERENCES];
    const char *label = "other references";
    size_t count = 0;
    for (size_t i = 0; i < finding->reference_count; i++) {
        const struct bl_reference *reference = &finding->references[i];
        if (reference->is_blamed || reference->kind == BL_ITEM_ALLOC)
            continue;
        all[count].kind = reference->kind;
        all[count].frame = reference->frame;
        all[count].count = reference->count;
        bl_render_text_apart(pen->view, finding, reference->frame, reference->kind,
                             all[count].apart, APART_MAX);
        count = show_reference(pen, all, count);
    }
    for (size_t i = 0; i < count && i < REFERENCES_SHOWN; i++) {
        char number[BL_TEXT_NUMBER];
        char after[APART_MAX + BL_TEXT_NUMBER + 16];
        snprintf(after, sizeof(after), "%s, %s time%s", all[i].apart,
                 bl_text_count(number, all[i].count), all[i].count == 1 ? "" : "s");
        bl_render_text_line(pen, label,
                            all[i].kind == BL_ITEM_RETAIN ? "retained at " : "released at ",
                            all[i].frame, after);
        label = "";
    }
    if (count > REFERENCES_SHOWN)
        fprintf(pen->out, "     %-22s and at %zu more place%s\n", "", count - REFERENCES_SHOWN,
                count - REFERENCES_SHOWN == 1 ? "" : "s");
}

static const char *blame_text(const struct bl_finding *finding)
{
    bool is_alloc = finding->blame_kind == BL_ITEM_ALLOC;
    switch (finding->verdict) {
    case BL_VERDICT_MISSING_RELEASE:
        if (finding->is_uncounted)
            return "allocated here, and a reference to it never given back";
        return is_alloc ? "allocated here and this reference never given back"
                        : "retained here and never given back";
    case BL_VERDICT_NEVER_RELEASED:
        return "allocated here, and no release was seen";
    case BL_VERDICT_OVER_RELEASE:
        return finding->is_doubted ? "released here, although no reference was left that was seen"
                                   : "released here, although the buffer was gone";
    case BL_VERDICT_STALE:
        return is_alloc ? "allocated here and held far longer than its siblings"
                        : "retained here and held far longer than by its siblings";
    case BL_VERDICT_UNRELEASED:
        break;
    }
    return "allocated at";
}

/* The place is where the callback was called from, or further out; its own frame may be gone. */
static void write_pointer_call(const struct bl_pen *pen, const struct bl_group *group)
{
    const struct bl_finding *finding = group->finding;
    const struct bl_view *view = pen->view;
    size_t count;
    if (!bl_called_by_pointer(view->symbols, view->reader, group->class_number,
                              finding->expected_stack))
        return;
    const struct bl_symbol *symbol =
        bl_symbols_frame(view->symbols, finding->expected_stack, &count);
    char text[512];
    if (symbol && symbol[count - 1].function)
        snprintf(text, sizeof(text), "%s (%s)", symbol[count - 1].function, symbol->module);
    else
        snprintf(text, sizeof(text), "%s", symbol ? symbol->module : "?");
    fprintf(pen->out, "     %-22s through a pointer that", "");
    size_t length = strlen(text);
    snprintf(text + length, sizeof(text) - length,
             " called: to the release itself, or to a callback that ends by jumping to it");
    bl_pen_wrap(pen, text, 48, 30);
    fputc('\n', pen->out);
}

static void write_expected(const struct bl_pen *pen, const struct bl_group *group)
{
    const struct bl_finding *finding = group->finding;
    char count[BL_TEXT_NUMBER];
    char after[APART_MAX + BL_TEXT_NUMBER + 64];
    bl_render_text_apart(pen->view, finding, finding->expected_frame, BL_ITEM_RELEASE, after,
                         APART_MAX);
    size_t used = strlen(after);
    bl_text_count(count, finding->expected_count);
    if (finding->is_expected_of_itself)
        snprintf(after + used, sizeof(after) - used, ", where %s of %s references %s given back",
                 count, finding->leaked == 1 ? "its" : "their",
                 finding->expected_count == 1 ? "was" : "were");
    else
        snprintf(after + used, sizeof(after) - used, ", where %s sibling%s gave it back", count,
                 finding->expected_count == 1 ? "" : "s");
    bl_render_text_line(pen, "expected release", "", finding->expected_frame, after);
    write_pointer_call(pen, group);
}

/* Where siblings ended, of which it is not known whether they gave back there what is missing. */
static void write_ended(const struct bl_pen *pen, const struct bl_finding *finding)
{
    char count[BL_TEXT_NUMBER];
    char after[APART_MAX + BL_TEXT_NUMBER + 64];
    bl_render_text_apart(pen->view, finding, finding->ended_frame, BL_ITEM_RELEASE, after,
                         APART_MAX);
    size_t used = strlen(after);
    snprintf(after + used, sizeof(after) - used, ", where the last reference to %s was given back",
             bl_text_count(count, finding->ended_count));
    bl_render_text_line(pen, "siblings ended", "", finding->ended_frame, after);
}

static void write_more(const struct bl_pen *pen, const struct bl_group *group)
{
    const struct bl_finding *finding = group->finding;
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    char after[BL_TEXT_NUMBER + 64] = "";
    bool is_blamed_at_alloc = finding->blame_kind == BL_ITEM_ALLOC;
    if (finding->alloc_stacks > 1)
        snprintf(after, sizeof(after), ", and through %s more stack%s",
                 bl_text_count(count, finding->alloc_stacks - 1),
                 finding->alloc_stacks == 2 ? "" : "s");
    if (!is_blamed_at_alloc && finding->alloc_frame)
        bl_render_text_line(pen, "allocated at", "", finding->alloc_frame, after);
    write_references(pen, finding);
    if (finding->oldest_address)
        fprintf(pen->out, "     %-22s 0x%llx (--buffer shows its history)\n", "the oldest is at",
                (unsigned long long)finding->oldest_address);
    if (finding->expected_frame)
        write_expected(pen, group);
    if (finding->ended_frame)
        write_ended(pen, finding);
    for (size_t i = 0; i < finding->part_count; i++)
        fprintf(pen->out, "     %-22s %s %s, %s\n", i ? "" : "and what they hold",
                bl_text_count(count, finding->parts[i].count),
                bl_model_class_name(pen->view->model, finding->parts[i].class_number),
                bl_text_bytes(bytes, finding->parts[i].bytes));
    if (finding->other_parts.count > 0)
        fprintf(pen->out, "     %-22s %s of %u more class%s, %s\n", "",
                bl_text_count(count, finding->other_parts.count), bl_finding_other_classes(finding),
                bl_finding_other_classes(finding) == 1 ? "" : "es",
                bl_text_bytes(bytes, finding->other_parts.bytes));
    if (finding->shared > 0)
        fprintf(pen->out,
                "     %-22s %s of these lack%s another release as well and %s shown there too\n",
                "more than one", bl_text_count(count, finding->shared),
                finding->shared == 1 ? "s" : "", finding->shared == 1 ? "is" : "are");
    if (*finding->note) {
        fprintf(pen->out, "     ");
        bl_pen_wrap(pen, finding->note, 5, 5);
        fprintf(pen->out, "\n");
    }
}

static void write_finding_title(const struct bl_pen *to, size_t index)
{
    struct bl_pen_line line;
    bl_pen_begin(&line, to);
    const struct bl_pen *pen = &line.pen;
    const struct bl_group *group = &pen->view->model->groups[index];
    const struct bl_finding *finding = group->finding;
    static const char *const names[] = {"missing release", "never released", "over-release",
                                        "stale",           "growing",        "unreleased",
                                        "steady"};
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    char age[BL_TEXT_NUMBER];
    fprintf(pen->out, "\n%s%zu. %s · %s%s · %s buffer%s", bl_pen_style(pen, BL_STYLE_BOLD),
            index + 1,
            names[group->rank <= BL_MODEL_RANK_STEADY ? group->rank : BL_MODEL_RANK_PLAIN],
            bl_model_class_name(pen->view->model, group->class_number),
            bl_pen_style(pen, BL_STYLE_PLAIN), bl_text_count(count, group->count),
            group->count == 1 ? "" : "s");
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
    bl_pen_end(&line);
}

static void write_finding(const struct bl_pen *pen, size_t index)
{
    const struct bl_group *group = &pen->view->model->groups[index];
    const struct bl_finding *finding = group->finding;
    bool is_judged = finding->verdict != BL_VERDICT_UNRELEASED;
    char count[BL_TEXT_NUMBER];
    write_finding_title(pen, index);
    fprintf(pen->out, "\n     ");
    if (is_judged) {
        char line[768];
        snprintf(line, sizeof(line), "%s (%s):", blame_text(finding), finding->text);
        bl_pen_wrap(pen, line, 5, 5);
    } else {
        bl_pen_wrap(pen, finding->text, 5, 5);
        fprintf(pen->out, "\n     %s", blame_text(finding));
    }
    if (is_judged && !finding->blame_frame)
        fprintf(pen->out, "\n");
    else
        bl_render_text_frames(pen, group->stack, true);
    if (group->stack_count > 1)
        fprintf(pen->out, "     %sand through %s more stack%s (--group stack shows each)%s\n",
                bl_pen_style(pen, BL_STYLE_DIM), bl_text_count(count, group->stack_count - 1),
                group->stack_count == 2 ? "" : "s", bl_pen_style(pen, BL_STYLE_PLAIN));
    bl_render_text_assembled(pen, group);
    bl_render_text_growing(pen->out, group->growth);
    if (is_judged) {
        write_more(pen, group);
    } else if (finding->suspect_frame) {
        if (finding->suspect_frame != finding->alloc_frame)
            bl_render_text_line(pen, "not given back", "retained at ", finding->suspect_frame, "");
        write_references(pen, finding);
    }
    bl_render_text_held_by(pen, group);
}

void bl_render_text_group(const struct bl_pen *pen, size_t index)
{
    if (pen->view->model->groups[index].finding)
        write_finding(pen, index);
    else
        write_group(pen, index);
}

void bl_render_text_others(const struct bl_pen *pen, size_t first)
{
    const struct bl_model *model = pen->view->model;
    char count[BL_TEXT_NUMBER];
    char bytes[BL_TEXT_NUMBER];
    bl_render_text_rest(pen->out, pen->view, first);
    if (model->group_count == 0)
        fprintf(pen->out, "\nno unreleased buffers to show%s\n",
                bl_reader_lost_bytes(pen->view->reader) > 0 ? " in what is left of the file" : "");
    uint64_t rest = 0;
    for (size_t i = model->shown; i < model->group_count; i++)
        rest += model->groups[i].bytes;
    if (model->shown < model->group_count)
        fprintf(pen->out, "\n%s%s more group%s with %s (--top 0 shows all)%s\n",
                bl_pen_style(pen, BL_STYLE_DIM),
                bl_text_count(count, model->group_count - model->shown),
                model->group_count - model->shown == 1 ? "" : "s", bl_text_bytes(bytes, rest),
                bl_pen_style(pen, BL_STYLE_PLAIN));
    const char *path;
    for (size_t n = 0; (path = bl_symbols_mismatch(pen->view->symbols, n)); n++)
        fprintf(pen->out,
                "\nno names from %s: the file is not the one the program loaded "
                "(build-id differs)\n",
                path);
}

static void write_groups(const struct bl_pen *pen)
{
    const struct bl_model *model = pen->view->model;
    size_t full = pen->view->show_all ? model->shown : bl_render_text_verdicts(model);
    for (size_t i = 0; i < full; i++)
        bl_render_text_group(pen, i);
    bl_render_text_others(pen, full);
}

void bl_render_text(FILE *out, const struct bl_view *view)
{
    struct bl_pen pen = bl_pen_of(out, view);
    bl_render_text_head(&pen);
    if (!view->summary_only)
        write_groups(&pen);
    fflush(out);
}

void bl_render_text_wrapped(FILE *out, const char *text, size_t column)
{
    struct bl_pen pen = bl_pen_of(out, NULL);
    bl_pen_wrap(&pen, text, column, 5);
}

void bl_render_text_key(FILE *out, const struct bl_view *view, const struct bl_group *group)
{
    struct bl_pen pen = bl_pen_of(out, view);
    write_key(&pen, group);
}
