/*
 * Unreleased buffers as a profile that pprof reads, a sample for each stack; see pprof.proto.
 *
 * A sample has what is unreleased now and nothing of what was released: how much was allocated on a
 * stack in all is not in a ledger. Addresses are those of the process, and of calls: where a frame
 * is a return address, one less, as pprof expects. A frame without a function has no line, so that
 * pprof can still look for one by the mapping's file or build-id. The messages are made as
 * protobuf-c would have read them, each a block of its own, and given up by its own means.
 */
#include "hash.h"
#include "text.h"
#include "view.h"

#include <assert.h>
#include <pprof.pb-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct string {
    int64_t number;
    UT_hash_handle hh;
    char text[];
};

enum kind { MAPPING = 1, LOCATION, PLACEHOLDER, FUNCTION };

/* What has an id already: a mapping by its module, a location by module with flags and offset, one
 * that only has a name by that, a function by name and file. */
struct known {
    struct key {
        uint64_t kind;
        uint64_t a;
        uint64_t b;
    } key;
    uint64_t id;
    UT_hash_handle hh;
};

struct maker {
    const struct bl_view *view;
    Pprof__Profile *profile;
    struct string *strings;
    struct known *known;
    bool has_failed; /* no memory: what is made from then on is not whole, and not written */
};

/* All lists are of pointers or of numbers as large. */
static_assert(sizeof(void *) == sizeof(uint64_t), "one size of items");

/* Memory for one item more, which is made twice as much at each power of two. */
static void *room(struct maker *maker, void *items, size_t count)
{
    if ((count & (count - 1)) != 0)
        return items;
    void *grown = reallocarray(items, count > 0 ? 2 * count : 1, sizeof(uint64_t));
    maker->has_failed = maker->has_failed || !grown;
    return grown;
}

#define ADD(maker, owner, list, item)                                                              \
    do {                                                                                           \
        void *add_room = room((maker), (owner)->list, (owner)->n_##list);                          \
        if (add_room) {                                                                            \
            (owner)->list = add_room;                                                              \
            (owner)->list[(owner)->n_##list++] = (item);                                           \
        }                                                                                          \
    } while (0)

/* NULL without memory. */
static void *new_message(struct maker *maker, const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *message = calloc(1, descriptor->sizeof_message);
    if (message)
        protobuf_c_message_init(descriptor, message);
    else
        maker->has_failed = true;
    return message;
}

/* Its number in the table of strings. */
static int64_t string_number(struct maker *maker, const char *text)
{
    struct string *string;
    size_t length = strlen(text);
    HASH_FIND(hh, maker->strings, text, length, string);
    if (string)
        return string->number;
    Pprof__Profile *profile = maker->profile;
    char **table = room(maker, profile->string_table, profile->n_string_table);
    if (table)
        profile->string_table = table;
    string = malloc(sizeof(*string) + length + 1);
    char *copy = strdup(text);
    if (!table || !string || !copy) {
        maker->has_failed = true;
        free(string);
        free(copy);
        return 0;
    }
    memcpy(string->text, text, length + 1);
    string->number = (int64_t)profile->n_string_table;
    table[profile->n_string_table++] = copy;
    HASH_ADD_KEYPTR(hh, maker->strings, string->text, length, string);
    return string->number;
}

static struct key key_of(enum kind kind, uint64_t a, uint64_t b)
{
    struct key key;
    memset(&key, 0, sizeof(key));
    key.kind = kind;
    key.a = a;
    key.b = b;
    return key;
}

static uint64_t known_id(const struct maker *maker, const struct key *key)
{
    struct known *known;
    HASH_FIND(hh, maker->known, key, sizeof(*key), known);
    return known ? known->id : 0;
}

static void remember(struct maker *maker, struct key key, uint64_t id)
{
    struct known *known = malloc(sizeof(*known));
    if (!known) {
        maker->has_failed = true;
        return;
    }
    *known = (struct known){.key = key, .id = id};
    HASH_ADD(hh, maker->known, key, sizeof(key), known);
}

static int64_t build_id_number(struct maker *maker, const struct bl_module *module)
{
    char text[2 * BL_BUILD_ID_MAX + 1] = "";
    for (uint32_t i = 0; i < module->build_id_length && i < BL_BUILD_ID_MAX; i++)
        snprintf(text + (size_t)i * 2, 3, "%02x", module->build_id[i]);
    return string_number(maker, text);
}

/* 0: the module has no file. */
static uint64_t mapping_id(struct maker *maker, uint32_t number)
{
    const struct bl_reader *reader = maker->view->reader;
    const struct bl_module *module = number ? bl_reader_module(reader, number) : NULL;
    struct key key = key_of(MAPPING, number, 0);
    uint64_t id = known_id(maker, &key);
    char path[4096];
    if (id > 0 || !module || module->flags & BL_MODULE_MANAGED)
        return id;
    Pprof__Mapping *mapping = new_message(maker, &pprof__mapping__descriptor);
    if (!mapping)
        return 0;
    bl_reader_name_text(reader, module->path_name, path, sizeof(path));
    mapping->id = id = maker->profile->n_mapping + 1;
    mapping->memory_start = module->map_start;
    mapping->memory_limit = module->map_end;
    mapping->filename = string_number(maker, path);
    mapping->build_id = build_id_number(maker, module);
    ADD(maker, maker->profile, mapping, mapping);
    remember(maker, key, id);
    return id;
}

static uint64_t function_id(struct maker *maker, const char *name, const char *file)
{
    struct key key = key_of(FUNCTION, (uint64_t)string_number(maker, name),
                            (uint64_t)string_number(maker, file ? file : ""));
    uint64_t id = known_id(maker, &key);
    if (id > 0)
        return id;
    Pprof__Function *function = new_message(maker, &pprof__function__descriptor);
    if (!function)
        return 0;
    function->id = id = maker->profile->n_function + 1;
    function->name = function->system_name = (int64_t)key.a;
    function->filename = (int64_t)key.b;
    ADD(maker, maker->profile, function, function);
    remember(maker, key, id);
    return id;
}

static void add_line(struct maker *maker, Pprof__Location *location, const char *function,
                     const char *file, int number)
{
    Pprof__Line *line = new_message(maker, &pprof__line__descriptor);
    if (!line)
        return;
    line->function_id = function_id(maker, function, file);
    line->line = number;
    ADD(maker, location, line, line);
}

/* What pprof is not to look for in the mapping's file, as it is known. */
static void note_symbol(const struct maker *maker, const Pprof__Location *location,
                        const struct bl_symbol *symbol)
{
    if (location->mapping_id == 0 || location->mapping_id > maker->profile->n_mapping)
        return;
    Pprof__Mapping *mapping = maker->profile->mapping[location->mapping_id - 1];
    mapping->has_functions = true;
    mapping->has_filenames = mapping->has_filenames || symbol->file;
    mapping->has_line_numbers = mapping->has_line_numbers || symbol->line > 0;
    mapping->has_inline_frames = mapping->has_inline_frames || symbol->inlined;
}

static void add_lines(struct maker *maker, Pprof__Location *location, uint32_t frame)
{
    size_t count = 0;
    const struct bl_symbol *symbols = bl_symbols_frame(maker->view->symbols, frame, &count);
    for (size_t i = 0; symbols && i < count; i++) {
        if (!symbols[i].function)
            continue;
        add_line(maker, location, symbols[i].function, symbols[i].file, symbols[i].line);
        note_symbol(maker, location, &symbols[i]);
    }
}

/* The id of a new location. */
static uint64_t add_location(struct maker *maker, Pprof__Location *location, struct key key)
{
    location->id = maker->profile->n_location + 1;
    ADD(maker, maker->profile, location, location);
    remember(maker, key, location->id);
    return location->id;
}

static uint64_t location_id(struct maker *maker, uint32_t number)
{
    const struct bl_frame *frame = bl_reader_frame(maker->view->reader, number);
    uint32_t flags = BL_FRAME_MODULE_MASK | BL_FRAME_EXACT | BL_FRAME_MANAGED;
    struct key key = key_of(LOCATION, frame ? frame->module & flags : 0, frame ? frame->offset : 0);
    uint64_t id = known_id(maker, &key);
    if (id > 0)
        return id;
    Pprof__Location *location = new_message(maker, &pprof__location__descriptor);
    if (!location)
        return 0;
    uint32_t module_number = (uint32_t)key.a & BL_FRAME_MODULE_MASK;
    const struct bl_module *module = bl_reader_module(maker->view->reader, module_number);
    if (!(key.a & BL_FRAME_MANAGED)) {
        location->mapping_id = mapping_id(maker, module_number);
        location->address = key.b + (location->mapping_id && module ? module->load_bias : 0) -
                            (key.a & BL_FRAME_EXACT ? 0 : 1);
    }
    add_lines(maker, location, number);
    return add_location(maker, location, key);
}

/* A location that is no place in a program. */
static uint64_t placeholder_id(struct maker *maker, const char *name)
{
    struct key key = key_of(PLACEHOLDER, (uint64_t)string_number(maker, name), 0);
    uint64_t id = known_id(maker, &key);
    if (id > 0)
        return id;
    Pprof__Location *location = new_message(maker, &pprof__location__descriptor);
    if (!location)
        return 0;
    add_line(maker, location, name, NULL, 0);
    return add_location(maker, location, key);
}

static void add_label(struct maker *maker, Pprof__Sample *sample, const char *name,
                      const char *value)
{
    Pprof__Label *label = new_message(maker, &pprof__label__descriptor);
    if (!label)
        return;
    label->key = string_number(maker, name);
    label->str = string_number(maker, value);
    ADD(maker, sample, label, label);
}

static int64_t whole(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static void add_sample(struct maker *maker, const struct bl_group *group)
{
    const struct bl_view *view = maker->view;
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    size_t count = bl_model_stack(view->reader, group->stack, frames, BL_MODEL_FRAMES_MAX);
    const char *missing = bl_view_missing_root(view, frames, count);
    Pprof__Sample *sample = new_message(maker, &pprof__sample__descriptor);
    if (!sample)
        return;
    for (size_t i = 0; i < count; i++)
        ADD(maker, sample, location_id, location_id(maker, frames[i]));
    if (missing)
        ADD(maker, sample, location_id, placeholder_id(maker, missing));
    ADD(maker, sample, value, whole(group->count));
    ADD(maker, sample, value, whole(group->bytes));
    add_label(maker, sample, "class", bl_model_class_name(view->model, group->class_number));
    ADD(maker, maker->profile, sample, sample);
}

static Pprof__ValueType *new_type(struct maker *maker, const char *name, const char *unit)
{
    Pprof__ValueType *type = new_message(maker, &pprof__value_type__descriptor);
    if (type) {
        type->type = string_number(maker, name);
        type->unit = string_number(maker, unit);
    }
    return type;
}

static void add_comments(struct maker *maker)
{
    const struct bl_view *view = maker->view;
    char moment[128];
    char text[512];
    bl_view_moment(moment, sizeof(moment), view->header, view->model->state);
    snprintf(text, sizeof(text), "bufleak " BL_VERSION ": unreleased buffers of %s[%d], %s",
             view->comm, (int)view->pid, moment);
    ADD(maker, maker->profile, comment, string_number(maker, text));
    if (view->model->is_sampled)
        ADD(maker, maker->profile, comment,
            string_number(maker, "the heap is estimated from a sample of its blocks"));
}

static void add_head(struct maker *maker)
{
    const struct bl_view *view = maker->view;
    Pprof__Profile *profile = maker->profile;
    string_number(maker, "");
    ADD(maker, profile, sample_type, new_type(maker, "objects", "count"));
    ADD(maker, profile, sample_type, new_type(maker, "space", "bytes"));
    profile->default_sample_type = string_number(maker, "space");
    profile->time_nanos = whole(view->header->start_realtime_ns + view->model->uptime_ns);
    profile->duration_nanos = whole(view->model->uptime_ns);
    if (view->model->is_sampled) {
        profile->period_type = new_type(maker, "space", "bytes");
        profile->period = whole(view->header->sample_bytes);
    }
    add_comments(maker);
}

/* pprof takes the first mapping for the program. */
static void add_program(struct maker *maker)
{
    uint32_t count = bl_reader_count(maker->view->reader, BL_SECTION_MODULES);
    for (uint32_t i = 1; i < count; i++) {
        const struct bl_module *module = bl_reader_module(maker->view->reader, i);
        if (module && module->flags & BL_MODULE_MAIN)
            mapping_id(maker, i);
    }
}

static bool write_compressed(FILE *out, uint8_t *data, size_t size)
{
    uint8_t packed[1 << 16];
    z_stream stream = {.next_in = data};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16 /* as gzip */, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    int state = Z_OK;
    while (state == Z_OK) {
        uInt given = (uInt)(size < 1u << 30 ? size : 1u << 30);
        if (stream.avail_in == 0) {
            stream.avail_in = given;
            size -= given;
        }
        stream.next_out = packed;
        stream.avail_out = sizeof(packed);
        state = deflate(&stream, size == 0 ? Z_FINISH : Z_NO_FLUSH);
        fwrite(packed, 1, sizeof(packed) - stream.avail_out, out);
    }
    deflateEnd(&stream);
    return state == Z_STREAM_END;
}

static bool write_profile(FILE *out, const Pprof__Profile *profile)
{
    size_t size = pprof__profile__get_packed_size(profile);
    uint8_t *data = malloc(size);
    bool done = data && write_compressed(out, data, pprof__profile__pack(profile, data));
    free(data);
    return done;
}

static void forget(struct maker *maker)
{
    struct string *string = maker->strings;
    struct known *known = maker->known;
    HASH_CLEAR(hh, maker->strings);
    HASH_CLEAR(hh, maker->known);
    while (string) {
        struct string *next = string->hh.next;
        free(string);
        string = next;
    }
    while (known) {
        struct known *next = known->hh.next;
        free(known);
        known = next;
    }
    if (maker->profile)
        pprof__profile__free_unpacked(maker->profile, NULL);
}

int bl_render_pprof(FILE *out, const struct bl_view *view, struct bl_error *error)
{
    struct maker maker = {.view = view};
    maker.profile = new_message(&maker, &pprof__profile__descriptor);
    if (maker.profile) {
        add_head(&maker);
        add_program(&maker);
    }
    for (size_t i = 0; !maker.has_failed && i < view->model->shown; i++)
        add_sample(&maker, &view->model->groups[i]);
    bool done = !maker.has_failed && write_profile(out, maker.profile);
    forget(&maker);
    return done ? 0 : bl_error_set(error, "not enough memory to write the profile");
}
