#include "lasting.h"

#include <stdlib.h>
#include <string.h>

#define RANGES_MAX 256u

/* The code of a lasting function in one module. */
struct range {
    uint32_t module;
    uint64_t start;
    uint64_t end;
    uint32_t class_number;
    bool births_only;
};

struct bl_lasting {
    const struct bl_reader *reader;
    struct range ranges[RANGES_MAX];
    size_t count;
};

/* The library may have been loaded more than once. */
static void add_ranges(struct bl_lasting *lasting, const struct bl_hook *hook)
{
    size_t length;
    size_t its_length;
    const char *path = bl_reader_name(lasting->reader, hook->module_name, &length);
    uint32_t modules = bl_reader_count(lasting->reader, BL_SECTION_MODULES);
    for (uint32_t i = 1; path && i < modules && lasting->count < RANGES_MAX; i++) {
        const struct bl_module *module = bl_reader_module(lasting->reader, i);
        const char *its =
            module ? bl_reader_name(lasting->reader, module->path_name, &its_length) : NULL;
        if (its && its_length == length && memcmp(its, path, length) == 0)
            lasting->ranges[lasting->count++] =
                (struct range){.module = i,
                               .start = hook->code_start,
                               .end = (uint64_t)hook->code_start + hook->code_bytes,
                               .class_number = hook->class_number,
                               .births_only = (hook->flags & BL_LASTING_BIRTHS) != 0};
    }
}

int bl_lasting_create(struct bl_lasting **ret_lasting, const struct bl_reader *reader,
                      struct bl_error *error)
{
    struct bl_lasting *lasting = calloc(1, sizeof(*lasting));
    if (!lasting)
        return bl_error_set(error, "not enough memory for the verdict");
    lasting->reader = reader;
    for (uint32_t i = 0; i < bl_reader_count(reader, BL_SECTION_HOOKS); i++) {
        const struct bl_hook *hook = bl_reader_hook(reader, i);
        if (hook && hook->method == BL_HOOK_LASTING)
            add_ranges(lasting, hook);
    }
    *ret_lasting = lasting;
    return 0;
}

void bl_lasting_destroy(struct bl_lasting *lasting)
{
    free(lasting);
}

uint32_t bl_lasting_covers(const struct bl_lasting *lasting, uint32_t stack, bool is_birth)
{
    if (lasting->count == 0)
        return 0;
    while (stack) {
        const struct bl_frame *frame = bl_reader_frame(lasting->reader, stack);
        if (!frame)
            return 0;
        for (size_t i = 0; i < lasting->count; i++) {
            const struct range *range = &lasting->ranges[i];
            /* a return address is behind its call */
            if ((is_birth || !range->births_only) && frame->offset > range->start &&
                frame->offset <= range->end &&
                (frame->module & BL_FRAME_MODULE_MASK) == range->module)
                return range->class_number + 1;
        }
        stack = frame->parent;
    }
    return 0;
}
