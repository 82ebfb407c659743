#include "hooks.h"

#include <stdio.h>
#include <string.h>

uint32_t bl_hooks_count(const struct bl_reader *reader)
{
    return bl_reader_count(reader, BL_SECTION_HOOKS) + bl_reader_count(reader, BL_SECTION_CLASSES);
}

static const char *unseen_of(const struct bl_hook *hook)
{
    switch (hook->method) {
    case BL_HOOK_NONE:
        return "all of its calls";
    case BL_HOOK_IMPORT:
        return "calls inside its own library and through pointers";
    default:
        return "";
    }
}

static bool read_hook(const struct bl_reader *reader, uint32_t number, struct bl_hook_row *row)
{
    static const char *const methods[] = {"none",   "symbol",   "entry",
                                          "import", "bytecode", "lasting"};
    const struct bl_hook *hook = bl_reader_hook(reader, number);
    if (!hook)
        return false;
    row->class_number = hook->class_number;
    row->method = methods[hook->method <= BL_HOOK_LASTING ? hook->method : 0];
    row->unseen = unseen_of(hook);
    row->is_none = hook->method == BL_HOOK_NONE;
    row->is_import = hook->method == BL_HOOK_IMPORT;
    row->is_lasting = hook->method == BL_HOOK_LASTING;
    bl_reader_name_text(reader, hook->module_name, row->module, sizeof(row->module));
    bl_reader_name_text(reader, hook->why_name, row->why, sizeof(row->why));
    return bl_reader_name_text(reader, hook->function_name, row->function, sizeof(row->function));
}

static bool read_field(const struct bl_reader *reader, uint32_t number, struct bl_hook_row *row)
{
    const struct bl_class *class = bl_reader_class(reader, number);
    if (!class || !(class->flags & BL_CLASS_FIELD_DROPPED))
        return false;
    *row = (struct bl_hook_row){.method = "none",
                                .unseen = "the buffers' own counts",
                                .class_number = number,
                                .is_none = true};
    snprintf(row->function, sizeof(row->function), "count");
    snprintf(row->why, sizeof(row->why),
             "the first birth showed another number there: this is another version of the library");
    return true;
}

bool bl_hooks_read(const struct bl_reader *reader, uint32_t number, struct bl_hook_row *row)
{
    uint32_t hooks = bl_reader_count(reader, BL_SECTION_HOOKS);
    return number < hooks ? read_hook(reader, number, row)
                          : read_field(reader, number - hooks, row);
}
