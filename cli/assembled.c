#include "assembled.h"

#include "model.h"

#include <stdio.h>
#include <string.h>

#define DISTINCT_MAX 64 /* of one place; the rest is counted */
#define OPERATORS    "reactor.core.publisher"
#define ARROW        " ⇢ at " /* as Reactor writes between an operator and where it was assembled */

static bool is_same_place(const struct bl_frame *a, const struct bl_frame *b)
{
    return a && b && a->offset == b->offset &&
           (a->module & BL_FRAME_MODULE_MASK) == (b->module & BL_FRAME_MODULE_MASK);
}

static bool is_operators(const struct bl_reader *reader, const struct bl_frame *frame)
{
    const struct bl_module *module = bl_reader_module(reader, frame->module & BL_FRAME_MODULE_MASK);
    char package[256];
    return module && bl_reader_name_text(reader, module->path_name, package, sizeof(package)) &&
           strstr(package, OPERATORS);
}

/* Without another operator in between, which is the one that was asked then. any_caller: another
 * frame of the same place will do. */
static bool leads_through(const struct bl_reader *reader, uint32_t stack, uint32_t frame,
                          bool any_caller)
{
    const struct bl_frame *wanted = bl_reader_frame(reader, frame);
    size_t steps = 0;
    while (stack != 0 && stack != frame && steps++ < BL_MODEL_FRAMES_MAX) {
        const struct bl_frame *record = bl_reader_frame(reader, stack);
        if (any_caller && is_same_place(record, wanted))
            return true;
        if (!record || record->parent >= stack || is_operators(reader, record))
            return false;
        stack = record->parent;
    }
    return stack == frame;
}

/* Adds an answer to those that are distinct; false: there is no room. */
static bool add(struct bl_assembled *all, size_t *count, const struct bl_assembly *record)
{
    bool is_of_source = record->relation == BL_ASSEMBLY_OF_SOURCE;
    for (size_t i = 0; i < *count; i++) {
        if (all[i].name == record->name && all[i].is_of_source == is_of_source) {
            all[i].count += record->count;
            return true;
        }
    }
    if (*count == DISTINCT_MAX)
        return false;
    all[(*count)++] = (struct bl_assembled){
        .name = record->name, .is_of_source = is_of_source, .count = record->count};
    return true;
}

size_t bl_assembled_find(const struct bl_reader *reader, uint32_t frame, bool any_caller,
                         struct bl_assembled out[BL_ASSEMBLED_MAX], uint64_t *ret_all,
                         size_t *ret_others)
{
    struct bl_assembled all[DISTINCT_MAX];
    size_t count = 0;
    size_t stored = 0;
    uint32_t records = bl_reader_count(reader, BL_SECTION_ASSEMBLIES);
    *ret_all = 0;
    *ret_others = 0;
    for (uint32_t n = 1; frame && n < records; n++) {
        const struct bl_assembly *record = bl_reader_assembly(reader, n);
        if (!record || !leads_through(reader, record->stack, frame, any_caller))
            continue;
        *ret_all += record->count;
        *ret_others += !add(all, &count, record);
    }
    for (; stored < BL_ASSEMBLED_MAX && stored < count; stored++) {
        size_t best = stored;
        for (size_t i = stored + 1; i < count; i++)
            if (all[i].count > all[best].count)
                best = i;
        out[stored] = all[best];
        all[best] = all[stored];
    }
    *ret_others += count - stored;
    return stored;
}

const char *bl_assembled_label(const struct bl_assembled *assembled)
{
    return assembled->is_of_source ? "assembled behind" : "assembled at";
}

void bl_assembled_text(const struct bl_reader *reader, const struct bl_assembled *assembled,
                       char *out, size_t size)
{
    char *arrow;
    if (!bl_reader_name_text(reader, assembled->name, out, size))
        snprintf(out, size, "?");
    else if ((arrow = strstr(out, ARROW))) {
        memmove(arrow + 2, arrow + strlen(ARROW), strlen(arrow + strlen(ARROW)) + 1);
        arrow[0] = ',';
        arrow[1] = ' ';
    }
}
