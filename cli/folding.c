#include "folding.h"

#include "callers.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

#define INNERMOST 3 /* never folded where the innermost is a framework's */
#define RUN_LEAST 3 /* fewer take no more room than the line about them */
#define NAMES_MAX 3

/* Is it a framework's, by the patterns of any class? */
static bool is_library(const struct bl_view *view, uint32_t frame)
{
    const struct bl_frame *record = bl_reader_frame(view->reader, frame);
    char patterns[1024];
    if (!record || !(record->module & BL_FRAME_MANAGED))
        return false;
    const char *package = bl_symbols_module(view->symbols, record->module & BL_FRAME_MODULE_MASK);
    for (size_t i = 0; i < view->model->class_count; i++) {
        const struct bl_class *class =
            bl_reader_class(view->reader, view->model->classes[i].number);
        if (class &&
            bl_reader_name_text(view->reader, class->own_modules, patterns, sizeof(patterns)) &&
            bl_callers_matches(patterns, package))
            return true;
    }
    return false;
}

size_t bl_folding_run(const struct bl_view *view, const uint32_t *frames, size_t count, size_t at)
{
    size_t end = at;
    if (view->show_full || (at < INNERMOST && is_library(view, frames[0])))
        return 0;
    while (end < count && is_library(view, frames[end]))
        end++;
    return end - at >= RUN_LEAST ? end - at : 0;
}

/* The first two parts of a package's name: io.netty.channel.epoll is io.netty's. */
static size_t family_length(const char *package)
{
    const char *dot = strchr(package, '.');
    const char *second = dot ? strchr(dot + 1, '.') : NULL;
    return second ? (size_t)(second - package) : strlen(package);
}

void bl_folding_describe(const struct bl_view *view, const uint32_t *frames, size_t count,
                         char *out, size_t size)
{
    const char *names[NAMES_MAX];
    size_t name_count = 0;
    char number[BL_TEXT_NUMBER];
    int used = snprintf(out, size, "%s frames of", bl_text_count(number, count));
    for (size_t i = 0; i < count && name_count < NAMES_MAX; i++) {
        const struct bl_frame *record = bl_reader_frame(view->reader, frames[i]);
        const char *package =
            bl_symbols_module(view->symbols, record ? record->module & BL_FRAME_MODULE_MASK : 0);
        size_t length = family_length(package);
        bool is_known = false;
        for (size_t k = 0; k < name_count; k++)
            is_known |= family_length(names[k]) == length && memcmp(names[k], package, length) == 0;
        if (is_known || used < 0 || (size_t)used >= size)
            continue;
        names[name_count++] = package;
        used += snprintf(out + used, size - (size_t)used, "%s %.*s", name_count > 1 ? "," : "",
                         (int)length, package);
    }
}
