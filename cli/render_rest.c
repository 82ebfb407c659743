/*
 * What is unreleased without a verdict, where other groups have one: there for completeness, a line
 * each, so that it does not compete for attention.
 */
#include "pen.h"
#include "render_parts.h"

#include "text.h"
#include "verdict.h"

#include <stdlib.h>

size_t bl_render_text_verdicts(const struct bl_model *model)
{
    size_t count = 0;
    while (count < model->shown && model->groups[count].rank < BL_MODEL_RANK_PLAIN)
        count++;
    return count > 0 ? count : model->shown;
}

/* The words for a line; findings.c has the sentences. */
static const char *ground_of(const struct bl_group *group)
{
    static const char *const texts[BL_GROUND_COUNT] = {
        [BL_GROUND_IN_USE] = "in use",
        [BL_GROUND_HANDS] = "in a thread's hands at the end",
        [BL_GROUND_CUT_OFF] = "of work that the end cut off",
        [BL_GROUND_YOUNG] = "too young to be judged",
        [BL_GROUND_OLD] = "older than others, but not by much",
        [BL_GROUND_STEADY] = "made early and none since",
        [BL_GROUND_FILLING] = "ever fewer are made",
        [BL_GROUND_SET_UP] = "perhaps set up to stay",
        [BL_GROUND_FEW] = "far older than others, but few",
        [BL_GROUND_ONCE] = "each the only one on its path",
        [BL_GROUND_MIXED] = "which of their references are left is not known",
        [BL_GROUND_MOVING] = "in use",
        [BL_GROUND_OVERFLOW] = "history too long to be kept",
        [BL_GROUND_DRIFTED] = "calls were missed",
        [BL_GROUND_INHERITED] = "from the parent",
        [BL_GROUND_SETTLED] = "kept by a reference that was not seen",
        [BL_GROUND_UNSEEN] = "birth not seen",
        [BL_GROUND_OWNED] = "left to their owners",
        [BL_GROUND_OWNER_UNSEEN] = "owner not seen",
        [BL_GROUND_LASTING] = "made to stay",
        [BL_GROUND_PARTIAL] = "calls go unseen",
        [BL_GROUND_PART] = "held by leaked ones",
    };
    if (group->rank == BL_MODEL_RANK_STEADY)
        return group->finding && group->finding->ground == BL_GROUND_STEADY
                   ? "steady: made early and none since"
                   : "steady";
    if (group->finding && group->finding->is_killed && group->finding->ground == BL_GROUND_IN_USE)
        return "in use or forgotten when the process was killed";
    if (group->finding && group->finding->is_ended && group->finding->ground == BL_GROUND_IN_USE)
        return "in use at the end";
    if (group->finding && group->finding->ground == BL_GROUND_OLD &&
        bl_finding_is_far_behind(group->finding))
        return "left behind, but not for long";
    return group->finding ? texts[group->finding->ground] : NULL;
}

static bool is_inherited(const struct bl_group *group)
{
    return group->inherited > 0 && group->inherited == group->count;
}

/* The innermost frame that does not allocate for others. */
static uint32_t site_of(const struct bl_view *view, uint32_t stack)
{
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    size_t count = bl_model_stack(view->reader, stack, frames, BL_MODEL_FRAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t inlined;
        const struct bl_symbol *symbols = bl_symbols_frame(view->symbols, frames[i], &inlined);
        if (!symbols || !bl_model_is_runtime(symbols->path))
            return frames[i];
    }
    return count > 0 ? frames[0] : 0;
}

static void write_line(FILE *out, const struct bl_view *view, const struct bl_group *group,
                       const char *text)
{
    const char *estimate = view->model->is_sampled ? "~" : "";
    struct bl_term term = bl_term_of(out);
    char fitted[1536];
    char digits[BL_TEXT_NUMBER];
    char count[BL_TEXT_NUMBER + 1];
    char bytes[BL_TEXT_NUMBER];
    bl_text_fit(fitted, sizeof(fitted), text,
                term.width > 0 ? (term.width > 58 ? term.width - 46 : 12) : 0, true);
    snprintf(count, sizeof(count), "%s%s", estimate, bl_text_count(digits, group->count));
    fprintf(out, "     %-16s %9s %11s   %s\n",
            bl_model_class_name(view->model, group->class_number), count,
            bl_text_bytes(bytes, group->bytes), fitted);
}

static void write_group(FILE *out, const struct bl_view *view, const struct bl_group *group)
{
    char place[1280];
    char text[3072];
    char taken[1280] = "";
    const char *ground = ground_of(group);
    bl_render_text_site(view, site_of(view, group->stack), place, sizeof(place));
    if (group->finding && group->finding->suspect_frame &&
        group->finding->suspect_frame != group->finding->alloc_frame)
        bl_render_text_site(view, group->finding->suspect_frame, taken, sizeof(taken));
    snprintf(text, sizeof(text), "%s%s%s%s%s%s", place, group->stack_count > 1 ? " and others" : "",
             *taken ? ", retained at " : "", taken, ground ? ", " : "", ground ? ground : "");
    write_line(out, view, group, text);
}

/* What a forked process has from its parent is nothing that it did: one line for each class. */
static void write_inherited(FILE *out, const struct bl_view *view, size_t first)
{
    const struct bl_model *model = view->model;
    for (size_t k = 0; k < model->class_count; k++) {
        struct bl_group sum = {.class_number = model->classes[k].number};
        for (size_t i = first; i < model->shown; i++) {
            const struct bl_group *group = &model->groups[i];
            if (!is_inherited(group) || group->class_number != sum.class_number)
                continue;
            sum.count += group->count;
            sum.bytes += group->bytes;
        }
        if (sum.count > 0)
            write_line(out, view, &sum, "from the parent, before the fork");
    }
}

void bl_render_text_rest(FILE *out, const struct bl_view *view, size_t first)
{
    const struct bl_model *model = view->model;
    if (first >= model->shown)
        return;
    struct bl_pen pen = bl_pen_of(out, view);
    fprintf(out, "\n");
    bl_pen_wrap(&pen, "unreleased as well, without a verdict (--all shows the stacks):", 0, 0);
    fprintf(out, "\n");
    for (size_t i = first; i < model->shown; i++)
        if (!is_inherited(&model->groups[i]))
            write_group(out, view, &model->groups[i]);
    write_inherited(out, view, first);
}
