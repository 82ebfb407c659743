#include "hotspot.h"

#include <dlfcn.h>
#include <string.h>

#define FLAGS_MAX 20000u

/* One line of a table: a type's field, where a static one is, where in the object another is. */
struct field_entry {
    const char *type;
    const char *name;
    uint64_t offset;
    void *address;
};

static struct {
    const char *fields;
    uint64_t field_stride;
    uint64_t field_type;
    uint64_t field_name;
    uint64_t field_offset;
    uint64_t field_address;
    const char *types;
    uint64_t type_stride;
    uint64_t type_name;
    uint64_t type_size;
} tables;

static uint64_t read_word(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static const char *read_text(const char *at)
{
    return (const char *)(uintptr_t)read_word(at); // NOLINT(performance-no-int-to-ptr)
}

bool bl_hotspot_open(const char *libjvm)
{
    const struct {
        const char *name;
        void *place;
    } symbols[] = {
        {"gHotSpotVMStructs", &tables.fields},
        {"gHotSpotVMStructEntryArrayStride", &tables.field_stride},
        {"gHotSpotVMStructEntryTypeNameOffset", &tables.field_type},
        {"gHotSpotVMStructEntryFieldNameOffset", &tables.field_name},
        {"gHotSpotVMStructEntryOffsetOffset", &tables.field_offset},
        {"gHotSpotVMStructEntryAddressOffset", &tables.field_address},
        {"gHotSpotVMTypes", &tables.types},
        {"gHotSpotVMTypeEntryArrayStride", &tables.type_stride},
        {"gHotSpotVMTypeEntryTypeNameOffset", &tables.type_name},
        {"gHotSpotVMTypeEntrySizeOffset", &tables.type_size},
    };
    void *library = dlopen(libjvm, RTLD_LAZY | RTLD_NOLOAD);
    bool complete = library != NULL;
    for (size_t i = 0; complete && i < BL_ARRAY_LENGTH(symbols); i++) {
        const void *symbol = dlsym(library, symbols[i].name);
        complete = symbol != NULL;
        if (complete)
            memcpy(symbols[i].place, symbol, sizeof(uint64_t));
    }
    if (library)
        dlclose(library);
    return complete && tables.fields && tables.types && tables.field_stride && tables.type_stride;
}

static bool find_field(const char *type, const char *name, struct field_entry *ret_entry)
{
    for (const char *at = tables.fields; read_text(at + tables.field_type);
         at += tables.field_stride) {
        const char *field = read_text(at + tables.field_name);
        if (!field || strcmp(read_text(at + tables.field_type), type) != 0 ||
            strcmp(field, name) != 0)
            continue;
        ret_entry->offset = read_word(at + tables.field_offset);
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        ret_entry->address = (void *)(uintptr_t)read_word(at + tables.field_address);
        return true;
    }
    return false;
}

static uint64_t size_of_type(const char *type)
{
    for (const char *at = tables.types; read_text(at + tables.type_name); at += tables.type_stride)
        if (strcmp(read_text(at + tables.type_name), type) == 0)
            return read_word(at + tables.type_size);
    return 0;
}

const volatile bool *bl_hotspot_flag(const char *name)
{
    struct field_entry flags;
    struct field_entry count;
    struct field_entry flag_name;
    struct field_entry flag_address;
    const char *type = "JVMFlag"; /* "Flag" before JDK 10 */
    if (!find_field(type, "flags", &flags))
        type = "Flag";
    uint64_t size = size_of_type(type);
    if (!size || !find_field(type, "flags", &flags) || !find_field(type, "numFlags", &count) ||
        !find_field(type, "_name", &flag_name) || !find_field(type, "_addr", &flag_address))
        return NULL;
    const char *at = read_text(flags.address);
    uint64_t total = read_word(count.address);
    for (uint64_t i = 0; i < total && i < FLAGS_MAX; i++, at += size) {
        const char *known = read_text(at + flag_name.offset);
        if (known && strcmp(known, name) == 0)
            return (const volatile bool *)read_text(at + flag_address.offset);
    }
    return NULL;
}
