#include "origin.h"

#include "hash.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct module {
    char *name;        /* printable, without version */
    char *build;       /* build-id in hexadecimal, else the path */
    bool is_on_both;   /* with the same build-id */
    bool has_build_id; /* so that offsets mean the same wherever it is met */
};

struct name {
    uint32_t id;
    enum bl_origin_kind kind;
    UT_hash_handle hh;
    char text[];
};

struct bl_origins {
    struct bl_origin_side sides[2];
    struct module *modules[2];
    uint32_t module_counts[2];
    struct name *by_text;
    struct name **by_id;
    uint32_t count;
    uint32_t room;
};

static int out_of_memory(struct bl_error *error)
{
    return bl_error_set(error, "not enough memory for the names of places");
}

/* libfoo.so.1.2.3, libfoo.so.1 and libfoo.so are one library. */
static char *name_of(const struct bl_module *record, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash && slash[1] ? slash + 1 : path;
    const char *version = strstr(base, ".so.");
    if (record && record->flags & BL_MODULE_MAIN)
        return strdup("main program");
    return version ? strndup(base, (size_t)(version - base) + 3) : strdup(base);
}

static char *build_of(const struct bl_module *record, const char *path)
{
    char hex[BL_BUILD_ID_MAX * 2 + 1] = "";
    for (uint32_t i = 0; record && i < record->build_id_length && i < BL_BUILD_ID_MAX; i++)
        snprintf(hex + (size_t)i * 2, 3, "%02x", record->build_id[i]);
    return strdup(*hex ? hex : path);
}

static int read_modules(struct bl_origins *origins, int side, struct bl_error *error)
{
    const struct bl_reader *reader = origins->sides[side].reader;
    uint32_t count = bl_reader_count(reader, BL_SECTION_MODULES);
    origins->module_counts[side] = count ? count : 1;
    origins->modules[side] = calloc(origins->module_counts[side], sizeof(struct module));
    for (uint32_t i = 0; origins->modules[side] && i < origins->module_counts[side]; i++) {
        struct module *module = &origins->modules[side][i];
        const struct bl_module *record = bl_reader_module(reader, i);
        char path[4096] = "?";
        if (record)
            bl_reader_name_text(reader, record->path_name, path, sizeof(path));
        module->name = name_of(record, path);
        module->build = build_of(record, path);
        module->has_build_id = record && record->build_id_length > 0;
        if (!module->name || !module->build)
            return out_of_memory(error);
    }
    return origins->modules[side] ? 0 : out_of_memory(error);
}

static struct name *find_name(struct bl_origins *origins, const char *text)
{
    struct name *name;
    HASH_FIND_STR(origins->by_text, text, name);
    return name;
}

/* UINT32_MAX without memory. */
static uint32_t intern(struct bl_origins *origins, const char *text, enum bl_origin_kind kind)
{
    struct name *name = find_name(origins, text);
    size_t length = strlen(text);
    if (name)
        return name->id;
    if (origins->count == origins->room) {
        uint32_t room = origins->room ? origins->room * 2 : 256;
        struct name **grown = realloc(origins->by_id, room * sizeof(struct name *));
        if (!grown)
            return UINT32_MAX;
        origins->by_id = grown;
        origins->room = room;
    }
    name = malloc(sizeof(*name) + length + 1);
    if (!name)
        return UINT32_MAX;
    memcpy(name->text, text, length + 1);
    name->id = origins->count;
    name->kind = kind;
    origins->by_id[origins->count++] = name;
    HASH_ADD_KEYPTR(hh, origins->by_text, name->text, length, name);
    return name->id;
}

/* Builds of one side are interned, those of the other looked for, and the other way round. */
static int find_shared_builds(struct bl_origins *origins, struct bl_error *error)
{
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 1; i < origins->module_counts[side]; i++) {
            const struct module *module = &origins->modules[side][i];
            char text[4200];
            snprintf(text, sizeof(text), "build %d %s", side, module->build);
            if (module->has_build_id && intern(origins, text, BL_ORIGIN_UNNAMED) == UINT32_MAX)
                return out_of_memory(error);
        }
    }
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 1; i < origins->module_counts[side]; i++) {
            struct module *module = &origins->modules[side][i];
            char text[4200];
            snprintf(text, sizeof(text), "build %d %s", !side, module->build);
            module->is_on_both = module->has_build_id && find_name(origins, text);
        }
    }
    return 0;
}

int bl_origins_create(struct bl_origins **ret_origins, const struct bl_origin_side sides[2],
                      struct bl_error *error)
{
    struct bl_origins *origins = calloc(1, sizeof(*origins));
    if (!origins)
        return out_of_memory(error);
    origins->sides[0] = sides[0];
    origins->sides[1] = sides[1];
    if (read_modules(origins, 0, error) < 0 || read_modules(origins, 1, error) < 0 ||
        find_shared_builds(origins, error) < 0) {
        bl_origins_destroy(origins);
        return -1;
    }
    *ret_origins = origins;
    return 0;
}

void bl_origins_destroy(struct bl_origins *origins)
{
    if (!origins)
        return;
    for (int side = 0; side < 2; side++) {
        for (uint32_t i = 0; origins->modules[side] && i < origins->module_counts[side]; i++) {
            free(origins->modules[side][i].name);
            free(origins->modules[side][i].build);
        }
        free(origins->modules[side]);
    }
    HASH_CLEAR(hh, origins->by_text);
    for (uint32_t i = 0; i < origins->count; i++)
        free(origins->by_id[i]);
    free(origins->by_id);
    free(origins);
}

/* Without ".part.0", ".isra.0", ".constprop.0", ".cold" and what else a compiler appends. A C++
 * name has its dots inside brackets, and none of these words after them. */
static size_t length_without_suffix(const char *function)
{
    static const char *const suffixes[] = {".part.", ".isra.",     ".constprop.", ".cold",
                                           ".llvm.", ".lto_priv.", " [clone "};
    size_t length = strlen(function);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        const char *found = strstr(function, suffixes[i]);
        if (found && found > function && (size_t)(found - function) < length)
            length = (size_t)(found - function);
    }
    return length;
}

static uint32_t name_offset(struct bl_origins *origins, const struct module *module,
                            uint64_t offset)
{
    char text[4200];
    snprintf(text, sizeof(text), "at %s+0x%llx", module->build, (unsigned long long)offset);
    return intern(origins, text, module->is_on_both ? BL_ORIGIN_OFFSET : BL_ORIGIN_UNNAMED);
}

static uint32_t name_symbol(struct bl_origins *origins, const struct module *module,
                            const struct bl_symbol *symbol)
{
    char text[8192];
    if (!symbol->function)
        return name_offset(origins, module, symbol->offset);
    snprintf(text, sizeof(text), "in %s %.*s", module->name,
             (int)length_without_suffix(symbol->function), symbol->function);
    return intern(origins, text, BL_ORIGIN_FUNCTION);
}

static int add_frame(struct bl_origins *origins, int side, uint32_t number, uint32_t *out, int max)
{
    const struct bl_origin_side *from = &origins->sides[side];
    const struct bl_frame *frame = bl_reader_frame(from->reader, number);
    uint32_t index = frame ? frame->module & BL_FRAME_MODULE_MASK : 0;
    const struct module *module =
        &origins->modules[side][index < origins->module_counts[side] ? index : 0];
    size_t inlined = 0;
    if (!frame)
        return 0;
    if (module->is_on_both) {
        *out = name_offset(origins, module, frame->offset);
        return *out == UINT32_MAX ? -1 : 1;
    }
    const struct bl_symbol *symbols = bl_symbols_frame(from->symbols, number, &inlined);
    if (!symbols)
        return -1;
    int count = 0;
    for (size_t i = 0; i < inlined && count < max; i++) {
        out[count] = name_symbol(origins, module, &symbols[i]);
        if (out[count++] == UINT32_MAX)
            return -1;
    }
    return count;
}

/* Names of the frames from `frame` on, up to and including `last` if it is among them. */
static int add_chain(struct bl_origins *origins, int side, uint32_t frame, uint32_t last,
                     uint32_t *out, int max)
{
    uint32_t frames[BL_ORIGIN_DEPTH];
    size_t count = bl_model_stack(origins->sides[side].reader, frame, frames, BL_ORIGIN_DEPTH);
    int used = 0;
    for (size_t i = 0; i < count && used < max; i++) {
        int added = add_frame(origins, side, frames[i], out + used, max - used);
        if (added < 0)
            return -1;
        used += added;
        if (frames[i] == last)
            break;
    }
    if (used == 0) {
        *out = intern(origins, "no stack", BL_ORIGIN_FUNCTION);
        used = *out == UINT32_MAX ? -1 : 1;
    }
    return used;
}

int bl_origins_chain(struct bl_origins *origins, int side, uint32_t frame, uint32_t *out, int max)
{
    return add_chain(origins, side, frame, 0, out, max);
}

int bl_origins_reach(struct bl_origins *origins, int side, uint32_t frame, uint32_t last)
{
    uint32_t names[BL_ORIGIN_DEPTH];
    return add_chain(origins, side, frame, last, names, BL_ORIGIN_DEPTH);
}

uint32_t bl_origins_text(struct bl_origins *origins, const char *what, const char *text)
{
    char name[4200];
    snprintf(name, sizeof(name), "%s %s", what, text);
    return intern(origins, name, BL_ORIGIN_FUNCTION);
}

uint32_t bl_origins_module(struct bl_origins *origins, int side, uint32_t module)
{
    uint32_t index = module < origins->module_counts[side] ? module : 0;
    return bl_origins_text(origins, "module", origins->modules[side][index].name);
}

enum bl_origin_kind bl_origins_kind(const struct bl_origins *origins, uint32_t name)
{
    return name < origins->count ? origins->by_id[name]->kind : BL_ORIGIN_UNNAMED;
}
