#include "symbol_index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NOT_IN_MEMORY ((GElf_Word)-1) /* the section, as libdwfl tells it */

struct item {
    uint64_t start;
    uint64_t end;
    uint64_t reach;   /* the farthest end of this and all before it */
    int32_t number;   /* in the module's table */
    uint16_t binding; /* the stronger the more */
    bool is_global;
};

struct bl_symbol_index {
    size_t count;
    struct item items[];
};

/* Of those at one address the last one is to be taken. */
static int compare(const void *left, const void *right)
{
    const struct item *a = left;
    const struct item *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->binding != b->binding)
        return a->binding < b->binding ? -1 : 1;
    if (a->end != b->end)
        return a->end > b->end ? -1 : 1;
    return a->number > b->number ? -1 : a->number < b->number;
}

static uint16_t strength_of(const GElf_Sym *symbol)
{
    switch (GELF_ST_BIND(symbol->st_info)) {
    case STB_GLOBAL:
        return 3;
    case STB_WEAK:
        return 2;
    case STB_LOCAL:
        return 1;
    default:
        return 0;
    }
}

static bool is_wanted(const char *name, const GElf_Sym *symbol)
{
    int type = GELF_ST_TYPE(symbol->st_info);
    return name && *name && symbol->st_shndx != SHN_UNDEF && symbol->st_size > 0 &&
           type != STT_SECTION && type != STT_FILE && type != STT_TLS;
}

struct bl_symbol_index *bl_symbol_index_create(Dwfl_Module *file)
{
    int total = dwfl_module_getsymtab(file);
    int first_global = dwfl_module_getsymtab_first_global(file);
    struct bl_symbol_index *index =
        total > 0 ? malloc(sizeof(*index) + (size_t)total * sizeof(index->items[0])) : NULL;
    if (!index)
        return NULL;
    index->count = 0;
    for (int i = 1; i < total; i++) {
        GElf_Sym symbol;
        GElf_Addr start;
        GElf_Word section = 0;
        const char *name = dwfl_module_getsym_info(file, i, &symbol, &start, &section, NULL, NULL);
        if (section != NOT_IN_MEMORY && is_wanted(name, &symbol) && start + symbol.st_size > start)
            index->items[index->count++] = (struct item){.start = start,
                                                         .end = start + symbol.st_size,
                                                         .number = i,
                                                         .binding = strength_of(&symbol),
                                                         .is_global = i >= first_global};
    }
    qsort(index->items, index->count, sizeof(index->items[0]), compare);
    uint64_t reach = 0;
    for (size_t i = 0; i < index->count; i++) {
        reach = index->items[i].end > reach ? index->items[i].end : reach;
        index->items[i].reach = reach;
    }
    return index;
}

void bl_symbol_index_destroy(struct bl_symbol_index *index)
{
    free(index);
}

/* The number of those that begin at the address or before it. */
static size_t position_of(const struct bl_symbol_index *index, uint64_t address)
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->items[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct item *find(const struct bl_symbol_index *index, uint64_t address)
{
    const struct item *local = NULL;
    for (size_t i = position_of(index, address); i > 0; i--) {
        const struct item *item = &index->items[i - 1];
        if (item->reach <= address)
            break;
        if (item->end <= address)
            continue;
        if (item->is_global)
            return item;
        local = local ? local : item;
    }
    return local;
}

const char *bl_symbol_index_find(const struct bl_symbol_index *index, Dwfl_Module *file,
                                 GElf_Addr address, GElf_Off *ret_inside, GElf_Sym *ret_symbol)
{
    const struct item *item = index ? find(index, address) : NULL;
    GElf_Addr start;
    if (!item)
        return dwfl_module_addrinfo(file, address, ret_inside, ret_symbol, NULL, NULL, NULL);
    *ret_inside = address - item->start;
    return dwfl_module_getsym_info(file, item->number, ret_symbol, &start, NULL, NULL, NULL);
}

/* The better of two names for one function: what is not reserved, then what has more of the inner
 * one. */
static bool is_better(const char *name, const char *best)
{
    if (!*best || bl_symbol_index_is_reserved(name) != bl_symbol_index_is_reserved(best))
        return !*best || !bl_symbol_index_is_reserved(name);
    return strlen(name) > strlen(best);
}

/* Without its version, if it is exported. */
static bool read_exported(Dwfl_Module *file, int number, char *out, size_t size)
{
    GElf_Sym symbol;
    GElf_Addr start;
    const char *name = dwfl_module_getsym_info(file, number, &symbol, &start, NULL, NULL, NULL);
    int binding = GELF_ST_BIND(symbol.st_info);
    size_t length = name ? strcspn(name, "@") : 0;
    if (length == 0 || length >= size || (binding != STB_GLOBAL && binding != STB_WEAK) ||
        GELF_ST_VISIBILITY(symbol.st_other) != STV_DEFAULT)
        return false;
    memcpy(out, name, length);
    out[length] = '\0';
    return true;
}

const char *bl_symbol_index_public(const struct bl_symbol_index *index, Dwfl_Module *file,
                                   GElf_Addr address, const char *inner, char *out, size_t size)
{
    char name[256];
    *out = '\0';
    if (!index || !bl_symbol_index_is_reserved(inner))
        return NULL;
    for (size_t i = position_of(index, address); i > 0 && index->items[i - 1].start == address; i--)
        if (read_exported(file, index->items[i - 1].number, name, sizeof(name)) &&
            strlen(name) < size && strstr(inner, name) && is_better(name, out))
            memcpy(out, name, strlen(name) + 1);
    return *out && strcmp(out, inner) != 0 ? out : NULL;
}
