#include "render_parts.h"

#include <string.h>

#define LEVELS_MAX 4 /* callers that are told; those that part further out look the same */
#define TEXT_MAX   640

/* The place of the function that is so many out from a frame, inlined ones counted; "" where there
 * is none. */
static void write_level(const struct bl_view *view, uint32_t stack, size_t level,
                        char out[TEXT_MAX])
{
    uint32_t frames[LEVELS_MAX + 1];
    size_t count = bl_model_stack(view->reader, stack, frames, LEVELS_MAX + 1);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t inlined = 0;
        const struct bl_symbol *symbols = bl_symbols_frame(view->symbols, frames[i], &inlined);
        if (symbols && level < inlined) {
            char what[256];
            char where[320];
            bl_render_text_symbol(&symbols[level], what, sizeof(what), where, sizeof(where));
            char *mark = strstr(where, " (inlined)");
            if (mark)
                *mark = '\0';
            if (*where)
                snprintf(out, TEXT_MAX, "%s (%s)", where, what);
            else
                snprintf(out, TEXT_MAX, "%s", what);
            return;
        }
        level -= inlined;
    }
}

/* How many callers it takes to tell two frames from each other; 0: they look different by
 * themselves, or the same however far out. */
static size_t find_parting(const struct bl_view *view, uint32_t a, uint32_t b)
{
    for (size_t level = 0; a != b && level <= LEVELS_MAX; level++) {
        char one[TEXT_MAX];
        char other[TEXT_MAX];
        write_level(view, a, level, one);
        write_level(view, b, level, other);
        if (strcmp(one, other) != 0)
            return level;
    }
    return 0;
}

void bl_render_text_apart(const struct bl_view *view, const struct bl_finding *finding,
                          uint32_t frame, enum bl_item_kind kind, char *out, size_t size)
{
    uint32_t last = finding->expected_frame ? finding->expected_frame : finding->ended_frame;
    bool is_expected = kind == BL_ITEM_RELEASE && frame == last;
    size_t levels = is_expected && finding->is_expected_of_helper ? 1 : 0;
    size_t used = 0;
    for (size_t i = 0; i <= finding->reference_count; i++) {
        bool is_last = i == finding->reference_count;
        uint32_t other = is_last ? last : finding->references[i].frame;
        enum bl_item_kind its = is_last ? BL_ITEM_RELEASE : finding->references[i].kind;
        size_t more = other && its == kind ? find_parting(view, frame, other) : 0;
        levels = more > levels ? more : levels;
    }
    out[0] = '\0';
    for (size_t level = 1; level <= levels && used < size; level++) {
        char text[TEXT_MAX];
        write_level(view, frame, level, text);
        if (*text)
            used += (size_t)snprintf(out + used, size - used, " from %s", text);
    }
}
