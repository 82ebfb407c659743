#include "hooks.h"

#include <inttypes.h>
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
    static const char *const methods[] = {"none",     "symbol",  "entry",   "import",
                                          "bytecode", "lasting", "profile", "wanted"};
    const struct bl_hook *hook = bl_reader_hook(reader, number);
    if (!hook)
        return false;
    row->class_number = hook->class_number;
    row->method = methods[hook->method <= BL_HOOK_WANTED ? hook->method : 0];
    row->unseen = unseen_of(hook);
    row->is_none = hook->method == BL_HOOK_NONE;
    row->is_import = hook->method == BL_HOOK_IMPORT;
    row->is_lasting = hook->method == BL_HOOK_LASTING;
    row->is_profile = hook->method == BL_HOOK_PROFILE;
    row->is_wanted = hook->method == BL_HOOK_WANTED;
    row->line = hook->code_start;
    row->column = hook->code_bytes;
    row->mistakes = hook->flags;
    bl_reader_name_text(reader, hook->module_name, row->module, sizeof(row->module));
    bl_reader_name_text(reader, hook->why_name, row->why, sizeof(row->why));
    return bl_reader_name_text(reader, hook->function_name, row->function, sizeof(row->function));
}

static bool has_why(const struct bl_reader *reader, const char *why)
{
    struct bl_hook_row row;
    uint32_t count = bl_reader_count(reader, BL_SECTION_HOOKS);
    for (uint32_t i = 0; i < count; i++)
        if (read_hook(reader, i, &row) && strcmp(row.why, why) == 0)
            return true;
    return false;
}

bool bl_hooks_has_other_malloc(const struct bl_reader *reader)
{
    return has_why(reader, BL_WHY_OTHER_MALLOC);
}

bool bl_hooks_has_replaced_malloc(const struct bl_reader *reader)
{
    return has_why(reader, BL_WHY_REPLACED_MALLOC);
}

static bool read_lack(uint32_t number, struct bl_hook_row *row)
{
    *row =
        (struct bl_hook_row){.method = "none",
                             .unseen = "where some references were taken that were seen given back",
                             .class_number = number,
                             .is_none = true};
    snprintf(row->function, sizeof(row->function), "(not in the profile)");
    snprintf(
        row->why, sizeof(row->why),
        "it may lack a function that retains or allocates: buffers that had no reference left, as "
        "far as seen, lived and were released again");
    return true;
}

/* What the classes tell of themselves. */
static bool read_class(const struct bl_reader *reader, uint32_t number, struct bl_hook_row *row)
{
    const struct bl_class *class = bl_reader_class(reader, number);
    if (class && class->flags & BL_CLASS_LACKS)
        return read_lack(number, row);
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
                          : read_class(reader, number - hooks, row);
}

void bl_hooks_say_mistakes(const struct bl_hook_row *row, char *out, size_t size)
{
    char place[64] = "";
    char more[64] = "";
    if (row->line > 0)
        snprintf(place, sizeof(place), "line %" PRIu32 ", column %" PRIu32 ": ", row->line,
                 row->column);
    if (row->mistakes > 1)
        snprintf(more, sizeof(more), ", and %" PRIu32 " more mistake%s", row->mistakes - 1,
                 row->mistakes == 2 ? "" : "s");
    snprintf(out, size, "%s%s%s", place, row->why, more);
}

static json_t *make_mistake(const struct bl_hook_row *row)
{
    json_t *line = row->line > 0 ? json_integer(row->line) : json_null();
    json_t *column = row->line > 0 ? json_integer(row->column) : json_null();
    return json_pack("{s:s, s:o, s:o, s:s, s:I}", "file", row->module, "line", line, "column",
                     column, "why", row->why, "mistakes", (json_int_t)row->mistakes);
}

json_t *bl_hooks_make_mistakes(const struct bl_reader *reader)
{
    json_t *all = json_array();
    struct bl_hook_row row;
    uint32_t count = bl_hooks_count(reader);
    for (uint32_t i = 0; i < count; i++)
        if (bl_hooks_read(reader, i, &row) && row.is_profile)
            json_array_append_new(all, make_mistake(&row));
    return all;
}

/* ---- classes that somebody asked for ---- */

static bool is_name(const struct bl_reader *reader, uint32_t number, const char *text)
{
    char name[1024];
    return bl_reader_name_text(reader, number, name, sizeof(name)) && strcmp(name, text) == 0;
}

/* The class of the ledger. 0, the heap's: it has not entered. */
static uint32_t class_of(const struct bl_reader *reader, const struct bl_hook_row *wanted)
{
    for (uint32_t n = 1; n < bl_reader_count(reader, BL_SECTION_CLASSES); n++) {
        const struct bl_class *class = bl_reader_class(reader, n);
        if (class && is_name(reader, class->profile_name, wanted->module) &&
            is_name(reader, class->name, wanted->function))
            return n;
    }
    return 0;
}

/* Has the function of the hook one in another class? Then that sees its calls. */
static bool is_seen_elsewhere(const struct bl_reader *reader, const struct bl_hook *hook)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_HOOKS);
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_hook *other = bl_reader_hook(reader, i);
        if (other && other->function_name == hook->function_name &&
            other->module_name == hook->module_name && other->method != BL_HOOK_NONE &&
            other->method <= BL_HOOK_BYTECODE)
            return true;
    }
    return false;
}

static bool has_hook(const struct bl_reader *reader, uint32_t class_number)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_HOOKS);
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_hook *hook = bl_reader_hook(reader, i);
        if (hook && hook->class_number == class_number && hook->method <= BL_HOOK_BYTECODE &&
            (hook->method != BL_HOOK_NONE || is_seen_elsewhere(reader, hook)))
            return true;
    }
    return false;
}

const char *bl_hooks_why_missing(const struct bl_reader *reader, const struct bl_hook_row *row,
                                 char *out, size_t size)
{
    uint32_t class_number = class_of(reader, row);
    if (class_number && has_hook(reader, class_number))
        return NULL;
    if (class_number)
        snprintf(out, size, "is not tracked: none of its functions could be hooked");
    else
        snprintf(out, size, "is not tracked: no %s with a function of it was loaded", row->why);
    return out;
}

json_t *bl_hooks_make_missing(const struct bl_reader *reader)
{
    json_t *all = json_array();
    struct bl_hook_row row;
    char why[640];
    uint32_t count = bl_hooks_count(reader);
    for (uint32_t i = 0; i < count; i++)
        if (bl_hooks_read(reader, i, &row) && row.is_wanted &&
            bl_hooks_why_missing(reader, &row, why, sizeof(why)))
            json_array_append_new(all,
                                  json_pack("{s:s, s:s, s:s, s:s}", "profile", row.module, "class",
                                            row.function, "library", row.why, "why", why));
    return all;
}
