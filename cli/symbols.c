#include "symbols.h"

#include "hash.h"
#include "inlines.h"
#include "readable.h"
#include "symbol_index.h"
#include "text.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SCOPES_MAX (BL_INLINES_MAX + 1)

#define STORE_MAX 96 /* modules; those that nobody uses go, the longest unused first */

struct unit_range {
    Dwarf_Addr start;
    Dwarf_Addr end;
    Dwarf_Off unit;
};

struct module {
    char *path; /* printable */
    const char *name;
    char *build_id; /* in hexadecimal */
    bool was_opened;
    bool is_mismatch;
    Dwfl *dwfl;
    Dwfl_Module *file;
    GElf_Addr bias; /* address in dwfl = ELF address + bias */
    bool has_index;
    struct bl_symbol_index *index;
    bool has_ranges;
    struct unit_range *ranges;
    size_t range_count;
    struct entry *entries; /* looked up in it */
    struct bl_inlines *inlines;
    bool is_stored;      /* in a store, which owns it */
    uint64_t used;       /* the store's turn that it was last used in */
    struct module *next; /* in the store */
};

struct bl_symbols_store {
    struct module *first;
    size_t count;
    uint64_t turn;
};

/* Frames of many stacks share few places; the exact flag decides which instruction is meant. */
struct place {
    uint64_t offset;
    uint32_t module;
    uint16_t is_exact;
    uint16_t is_managed;
};

struct entry {
    struct place place;
    size_t count;
    struct bl_symbol *symbols;
    UT_hash_handle hh;
};

struct bl_symbols {
    const struct bl_reader *reader;
    pid_t process;
    struct module **modules;
    uint32_t module_count;
    struct bl_symbols_store *store; /* NULL: none */
    struct timespec started;
    bool was_announced;
    bool is_quiet;
    const char *paths[BL_SYMBOLS_PATHS_MAX];
    size_t path_count;
};

/* The callbacks of every module; dwfl keeps a pointer to them. find_debuginfo looks beside the
 * file, under /usr/lib/debug, and asks debuginfod where the user configured one. */
static char *debuginfo_path;
static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_build_id_find_elf,
    .find_debuginfo = dwfl_standard_find_debuginfo,
    .section_address = dwfl_offline_section_address,
    .debuginfo_path = &debuginfo_path,
};

static int name_module(struct module *module, const struct bl_reader *reader,
                       const struct bl_module *record)
{
    char path[PATH_MAX] = "";
    char build_id[BL_BUILD_ID_MAX * 2 + 1] = "";
    if (record)
        bl_reader_name_text(reader, record->path_name, path, sizeof(path));
    for (uint32_t i = 0; record && i < record->build_id_length && i < BL_BUILD_ID_MAX; i++)
        snprintf(build_id + (size_t)i * 2, 3, "%02x", record->build_id[i]);
    module->path = strdup(*path ? path : "?");
    module->build_id = strdup(build_id);
    if (!module->path || !module->build_id)
        return -1;
    const char *slash = strrchr(module->path, '/');
    module->name = slash && slash[1] ? slash + 1 : module->path;
    return 0;
}

int bl_symbols_follow(struct bl_symbols *symbols, const struct bl_reader *reader,
                      struct bl_error *error)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_MODULES);
    count = count > 0 ? count : 1;
    symbols->reader = reader;
    if (count <= symbols->module_count)
        return 0;
    // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it has
    struct module **grown = realloc(symbols->modules, count * sizeof(*grown));
    if (!grown)
        return bl_error_set(error, "not enough memory for symbols");
    symbols->modules = grown;
    for (uint32_t i = symbols->module_count; i < count; i++) {
        grown[i] = calloc(1, sizeof(**grown));
        if (!grown[i])
            return bl_error_set(error, "not enough memory for symbols");
        symbols->module_count = i + 1;
        if (name_module(grown[i], reader, bl_reader_module(reader, i)) < 0)
            return bl_error_set(error, "not enough memory for symbols");
    }
    return 0;
}

int bl_symbols_create(struct bl_symbols **ret_symbols, const struct bl_reader *reader,
                      const struct bl_proc *process, struct bl_error *error)
{
    struct bl_symbols *symbols = calloc(1, sizeof(*symbols));
    if (!symbols)
        return bl_error_set(error, "not enough memory for symbols");
    symbols->process = process ? process->pid : 0;
    clock_gettime(CLOCK_MONOTONIC, &symbols->started);
    if (bl_symbols_follow(symbols, reader, error) < 0) {
        bl_symbols_destroy(symbols);
        return -1;
    }
    *ret_symbols = symbols;
    return 0;
}

void bl_symbols_be_quiet(struct bl_symbols *symbols)
{
    symbols->is_quiet = true;
}

bool bl_symbols_look_in(struct bl_symbols *symbols, const char *path)
{
    if (symbols->path_count == BL_SYMBOLS_PATHS_MAX)
        return false;
    symbols->paths[symbols->path_count++] = path;
    return true;
}

static void free_symbols(struct bl_symbol *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++) {
        free((char *)(uintptr_t)list[i].function);
        free((char *)(uintptr_t)list[i].file);
    }
    free(list);
}

static void free_module(struct module *module)
{
    struct entry *entry;
    struct entry *next;
    HASH_ITER (hh, module->entries, entry, next) {
        HASH_DEL(module->entries, entry); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free_symbols(entry->symbols, entry->count);
        free(entry);
    }
    free(module->path);
    free(module->build_id);
    free(module->ranges);
    bl_inlines_destroy(module->inlines);
    bl_symbol_index_destroy(module->index);
    if (module->dwfl)
        dwfl_end(module->dwfl);
    free(module);
}

/* ---- what one hands on to the next ---- */

struct bl_symbols_store *bl_symbols_store_create(void)
{
    return calloc(1, sizeof(struct bl_symbols_store));
}

static void drop_stored(struct bl_symbols_store *store, struct module **at)
{
    struct module *module = *at;
    *at = module->next;
    store->count--;
    free_module(module);
}

/* Takes out those whose file was not found, as it may be there for the next, and then those that
 * were not used for longest while there are too many. */
static void trim_store(struct bl_symbols_store *store)
{
    for (struct module **at = &store->first; *at;) {
        if ((*at)->was_opened && !(*at)->file)
            drop_stored(store, at);
        else
            at = &(*at)->next;
    }
    while (store->first && store->count > STORE_MAX) {
        struct module **oldest = &store->first;
        for (struct module **at = &store->first; *at; at = &(*at)->next)
            if ((*at)->used < (*oldest)->used)
                oldest = at;
        drop_stored(store, oldest);
    }
}

size_t bl_symbols_store_count(const struct bl_symbols_store *store)
{
    return store->count;
}

void bl_symbols_store_destroy(struct bl_symbols_store *store)
{
    for (struct module *module = store ? store->first : NULL; module;) {
        struct module *next = module->next;
        free_module(module);
        module = next;
    }
    free(store);
}

/* The build-id says that it is the same file, wherever the process had it from. */
static struct module *find_stored(const struct bl_symbols_store *store, const struct module *module)
{
    struct module *found = store->first;
    while (found && (strcmp(found->build_id, module->build_id) != 0 ||
                     strcmp(found->path, module->path) != 0))
        found = found->next;
    return found;
}

void bl_symbols_share(struct bl_symbols *symbols, struct bl_symbols_store *store)
{
    symbols->store = store;
    store->turn++;
    for (uint32_t i = 0; i < symbols->module_count; i++) {
        struct module *module = symbols->modules[i];
        if (!*module->build_id)
            continue;
        struct module *stored = find_stored(store, module);
        if (stored) {
            free_module(module);
            symbols->modules[i] = stored;
        } else {
            module->is_stored = true;
            module->next = store->first;
            store->first = module;
            store->count++;
        }
        symbols->modules[i]->used = store->turn;
    }
}

void bl_symbols_destroy(struct bl_symbols *symbols)
{
    if (!symbols)
        return;
    for (uint32_t i = 0; symbols->modules && i < symbols->module_count; i++)
        if (!symbols->modules[i]->is_stored)
            free_module(symbols->modules[i]);
    if (symbols->store)
        trim_store(symbols->store);
    free(symbols->modules);
    free(symbols);
}

/* Debug information of large programs takes its time; say what is going on after a second. */
static void announce(struct bl_symbols *symbols, const struct module *module)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double elapsed = (double)(now.tv_sec - symbols->started.tv_sec) +
                     (double)(now.tv_nsec - symbols->started.tv_nsec) / 1e9;
    if (elapsed < 1 || symbols->is_quiet || !isatty(STDERR_FILENO))
        return;
    symbols->was_announced = true;
    bl_say("reading the symbols of %s", module->name);
}

static int open_regular(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool has_build_id(Dwfl_Module *file, const struct bl_module *record)
{
    const unsigned char *bits;
    GElf_Addr address;
    int length = dwfl_module_build_id(file, &bits, &address);
    if (record->build_id_length == 0)
        return true;
    return length > 0 && (uint32_t)length == record->build_id_length &&
           record->build_id_length <= BL_BUILD_ID_MAX &&
           memcmp(bits, record->build_id, record->build_id_length) == 0;
}

/* Takes `path` when it is the very file the process had. */
static bool try_file(struct module *module, const struct bl_module *record, const char *path)
{
    int fd = open_regular(path);
    if (fd < 0)
        return false;
    Dwfl *dwfl = dwfl_begin(&callbacks);
    Dwfl_Module *file = NULL;
    GElf_Addr bias = 0;
    if (dwfl) {
        dwfl_report_begin(dwfl);
        file = dwfl_report_offline(dwfl, path, path, fd);
        dwfl_report_end(dwfl, NULL, NULL);
    }
    if (!file)
        close(fd);
    if (file && dwfl_module_getelf(file, &bias) && has_build_id(file, record)) {
        module->dwfl = dwfl;
        module->file = file;
        module->bias = bias;
        return true;
    }
    module->is_mismatch |= file != NULL;
    if (dwfl)
        dwfl_end(dwfl);
    return false;
}

/* The file is gone or another one is in its place: ask for it by its build-id. */
static void try_build_id(struct module *module, const struct bl_module *record)
{
    if (record->build_id_length == 0 || record->build_id_length > BL_BUILD_ID_MAX ||
        record->map_end <= record->load_bias || record->map_start < record->load_bias)
        return;
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (!dwfl)
        return;
    dwfl_report_begin(dwfl);
    Dwfl_Module *file = dwfl_report_module(dwfl, module->name, record->map_start, record->map_end);
    if (file)
        dwfl_module_report_build_id(file, record->build_id, record->build_id_length, 0);
    dwfl_report_end(dwfl, NULL, NULL);
    GElf_Addr bias = 0;
    if (file && dwfl_module_getelf(file, &bias)) {
        module->dwfl = dwfl;
        module->file = file;
        module->bias = bias;
        module->is_mismatch = false;
    } else {
        dwfl_end(dwfl);
    }
}

/* A file that the user named has the name of the module or its build-id, a directory has it under
 * its path or its name. */
static bool try_given(struct bl_symbols *symbols, struct module *module,
                      const struct bl_module *record, const char *path)
{
    const char *slash = strrchr(path, '/');
    char inside[2 * PATH_MAX];
    bool found = false;
    for (size_t i = 0; i < symbols->path_count && !found; i++) {
        const char *given = symbols->paths[i];
        const char *given_slash = strrchr(given, '/');
        bool has_name =
            strcmp(given_slash ? given_slash + 1 : given, slash ? slash + 1 : path) == 0;
        found = (has_name || record->build_id_length > 0) && try_file(module, record, given);
        snprintf(inside, sizeof(inside), "%s%s", given, path);
        found = found || try_file(module, record, inside);
        snprintf(inside, sizeof(inside), "%s%s", given, slash ? slash : "");
        found = found || (slash && try_file(module, record, inside));
    }
    module->is_mismatch = false; /* files of other modules are no reason to complain */
    return found;
}

static void open_module(struct bl_symbols *symbols, uint32_t number)
{
    struct module *module = symbols->modules[number];
    const struct bl_module *record = bl_reader_module(symbols->reader, number);
    size_t length = 0;
    const char *raw = record ? bl_reader_name(symbols->reader, record->path_name, &length) : NULL;
    char path[PATH_MAX];
    char inside[PATH_MAX + 32];
    module->was_opened = true;
    if (!raw || length == 0 || length >= sizeof(path) || raw[0] != '/')
        return;
    memcpy(path, raw, length);
    path[length] = '\0';
    announce(symbols, module);
    /* first, as what the process ran may have been stripped of its names */
    if (try_given(symbols, module, record, path))
        return;
    if (try_file(module, record, path))
        return;
    if (symbols->process > 0) {
        snprintf(inside, sizeof(inside), "/proc/%d/root%s", (int)symbols->process, path);
        if (try_file(module, record, inside))
            return;
    }
    try_build_id(module, record);
}

static int compare_ranges(const void *left, const void *right)
{
    const struct unit_range *a = left;
    const struct unit_range *b = right;
    return a->start < b->start ? -1 : a->start > b->start;
}

static bool add_range(struct module *module, size_t *room, struct unit_range range)
{
    if (module->range_count == *room) {
        *room = *room ? *room * 2 : 64;
        struct unit_range *grown = realloc(module->ranges, *room * sizeof(*grown));
        if (!grown)
            return false;
        module->ranges = grown;
    }
    module->ranges[module->range_count++] = range;
    return true;
}

/* clang writes no .debug_aranges: collect the units' ranges ourselves, once. */
static void collect_ranges(struct module *module, Dwarf *dwarf)
{
    size_t room = 0;
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;
    module->has_ranges = true;
    while (dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) == 0) {
        Dwarf_Addr base;
        struct unit_range range = {.unit = dwarf_dieoffset(&die)};
        ptrdiff_t at = 0;
        while ((at = dwarf_ranges(&die, at, &base, &range.start, &range.end)) > 0)
            if (range.end > range.start && !add_range(module, &room, range))
                return;
    }
    if (module->range_count > 0)
        qsort(module->ranges, module->range_count, sizeof(*module->ranges), compare_ranges);
}

/* libdwfl takes code that no unit covers, as that of the C runtime's start, for the unit's before
 * it.
 */
static Dwarf_Die *find_unit(struct module *module, Dwarf_Addr address, Dwarf_Addr *ret_bias,
                            Dwarf_Die *storage)
{
    Dwarf_Die *unit = dwfl_module_addrdie(module->file, address, ret_bias);
    if (unit && dwarf_haspc(unit, address - *ret_bias) > 0)
        return unit;
    Dwarf *dwarf = dwfl_module_getdwarf(module->file, ret_bias);
    if (!dwarf)
        return NULL;
    if (!module->has_ranges)
        collect_ranges(module, dwarf);
    address -= *ret_bias;
    size_t low = 0;
    size_t high = module->range_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (module->ranges[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address >= module->ranges[low - 1].end)
        return NULL;
    return dwarf_offdie(dwarf, module->ranges[low - 1].unit, storage);
}

static const char *die_name(Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    const char *name =
        dwarf_formstring(dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute));
    if (!name)
        name = dwarf_formstring(dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute));
    return name ? name : dwarf_diename(die);
}

static void place_of_call(Dwarf_Die *unit, Dwarf_Die *inlined, struct bl_symbol *caller)
{
    Dwarf_Attribute attribute;
    Dwarf_Word file;
    Dwarf_Word line;
    Dwarf_Files *files;
    size_t count;
    if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) != 0 ||
        dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) != 0 ||
        dwarf_getsrcfiles(unit, &files, &count) != 0 || file >= count)
        return;
    const char *name = dwarf_filesrc(files, file, NULL, NULL);
    if (name)
        caller->file = bl_readable_file(unit, name);
    caller->line = line <= INT_MAX ? (int)line : 0;
}

static bool is_function(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);
    return tag == DW_TAG_inlined_subroutine || tag == DW_TAG_subprogram ||
           tag == DW_TAG_entry_point;
}

/* The chain of functions at an address, innermost first: each inlined one into the next. libdw goes
 * through the whole unit for this: for functions inside others only, which inlines.h does not know.
 */
static size_t search_functions(Dwarf_Die *unit, Dwarf_Addr address, Dwarf_Die *out, size_t max)
{
    Dwarf_Die *scopes = NULL;
    Dwarf_Die *inner = NULL;
    int count = dwarf_getscopes(unit, address, &scopes);
    for (int i = 0; i < count && !inner; i++)
        if (is_function(&scopes[i]))
            inner = &scopes[i];
    /* Scopes by address go on through the abstract origin of an inlined function; scopes by
     * containment are the callers it was inlined into. */
    Dwarf_Die *around = NULL;
    int around_count = inner ? dwarf_getscopes_die(inner, &around) : 0;
    size_t found = 0;
    for (int i = 0; i < around_count && found < max; i++)
        if (is_function(&around[i])) {
            out[found++] = around[i];
            if (dwarf_tag(&around[i]) != DW_TAG_inlined_subroutine)
                break;
        }
    free(around);
    free(scopes);
    return found;
}

static size_t find_functions(struct module *module, Dwarf_Die *unit, Dwarf_Addr address,
                             Dwarf_Die out[SCOPES_MAX])
{
    if (!module->inlines)
        module->inlines = bl_inlines_create();
    size_t found = module->inlines ? bl_inlines_functions(module->inlines, unit, address, out) : 0;
    return found > 0 ? found : search_functions(unit, address, out, SCOPES_MAX);
}

static const char *raw_symbol(struct module *module, Dwarf_Addr address, GElf_Off *ret_inside,
                              GElf_Sym *ret_symbol)
{
    if (!module->has_index)
        module->index = bl_symbol_index_create(module->file);
    module->has_index = true;
    return bl_symbol_index_find(module->index, module->file, address, ret_inside, ret_symbol);
}

/* The name to be shown of a function that begins at an address: its own, if users have no other. */
static char *name_to_show(struct module *module, Dwarf_Addr start, const char *name)
{
    char room[256];
    if (!bl_symbol_index_is_reserved(name))
        return bl_readable_name(name);
    if (!module->has_index)
        module->index = bl_symbol_index_create(module->file);
    module->has_index = true;
    const char *shown =
        bl_symbol_index_public(module->index, module->file, start, name, room, sizeof(room));
    return bl_readable_name(shown ? shown : name);
}

/* Name of the ELF symbol that covers an address; NULL when none does. */
static char *elf_symbol(struct module *module, Dwarf_Addr address)
{
    GElf_Off offset;
    GElf_Sym symbol;
    const char *name = raw_symbol(module, address, &offset, &symbol);
    bool covers = name && *name && (symbol.st_size == 0 || offset < symbol.st_size);
    return covers ? name_to_show(module, address - offset, name) : NULL;
}

/* Of a function in several pieces the first is where it begins; the compiler names no other place.
 */
static bool find_start(Dwarf_Die *function, Dwarf_Addr *ret_start)
{
    Dwarf_Addr base;
    Dwarf_Addr end;
    return dwarf_entrypc(function, ret_start) == 0 ||
           dwarf_ranges(function, 0, &base, ret_start, &end) > 0;
}

static char *function_name(struct module *module, Dwarf_Addr bias, Dwarf_Die *function,
                           bool is_inlined)
{
    Dwarf_Addr start;
    const char *name = die_name(function);
    if (!name)
        return NULL;
    return !is_inlined && find_start(function, &start) ? name_to_show(module, start + bias, name)
                                                       : bl_readable_name(name);
}

static void fill_from_dwarf(struct module *module, Dwarf_Addr address, struct entry *entry)
{
    Dwarf_Die storage;
    Dwarf_Addr bias = 0;
    Dwarf_Die functions[SCOPES_MAX];
    Dwarf_Die *unit = find_unit(module, address, &bias, &storage);
    if (!unit)
        return;
    Dwarf_Line *line = dwarf_getsrc_die(unit, address - bias);
    const char *file = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
    if (file) {
        entry->symbols[0].file = bl_readable_file(unit, file);
        dwarf_lineno(line, &entry->symbols[0].line);
    }
    size_t count = find_functions(module, unit, address - bias, functions);
    struct bl_symbol *grown =
        count > 1 ? realloc(entry->symbols, count * sizeof(*grown)) : entry->symbols;
    if (!grown || count == 0)
        return;
    entry->symbols = grown;
    for (size_t i = 1; i < count; i++)
        grown[i] = (struct bl_symbol){.module = grown[0].module,
                                      .path = grown[0].path,
                                      .build_id = grown[0].build_id,
                                      .offset = grown[0].offset};
    entry->count = count;
    for (size_t i = 0; i < count; i++) {
        grown[i].inlined = i + 1 < count;
        grown[i].function = function_name(module, bias, &functions[i], grown[i].inlined);
        if (i + 1 < count)
            place_of_call(unit, &functions[i], &grown[i + 1]);
    }
}

/* A Java method: the ledger has its name itself. */
static void fill_managed(struct bl_symbols *symbols, const struct place *place,
                         struct bl_symbol *symbol)
{
    size_t length = 0;
    const char *name = bl_reader_name(symbols->reader, (uint32_t)place->offset, &length);
    const char *end = name ? memchr(name, '\0', length) : NULL;
    symbol->offset = 0;
    symbol->is_managed = true;
    if (!name || length == 0)
        return;
    symbol->function = bl_readable_bytes(name, end ? (size_t)(end - name) : length);
    if (end && end + 1 < name + length)
        symbol->file = bl_readable_bytes(end + 1, (size_t)(name + length - end - 1));
    uint32_t at = (uint32_t)(place->offset >> 32);
    symbol->is_bytecode = at & BL_FRAME_BYTECODE;
    if (symbol->is_bytecode)
        symbol->offset = at & ~BL_FRAME_BYTECODE;
    else
        symbol->line = (int)(at & INT_MAX);
}

static void drop_system_headers(struct entry *entry)
{
    size_t first = 0;
    while (first + 1 < entry->count && entry->symbols[first].inlined &&
           bl_readable_is_of_system(entry->symbols[first].file))
        first++;
    entry->count -= first;
    memmove(entry->symbols, entry->symbols + first, entry->count * sizeof(*entry->symbols));
}

static struct entry *look_up(struct bl_symbols *symbols, struct place place)
{
    struct module *module = symbols->modules[place.module];
    struct entry *entry = calloc(1, sizeof(*entry));
    struct bl_symbol *first = calloc(1, sizeof(*first));
    if (!entry || !first) {
        free(entry);
        free(first);
        return NULL;
    }
    *first = (struct bl_symbol){.module = module->name,
                                .path = module->path,
                                .build_id = module->build_id,
                                .offset = place.offset};
    *entry = (struct entry){.place = place, .count = 1, .symbols = first};
    if (place.is_managed)
        fill_managed(symbols, &place, first);
    if (place.module == 0 || place.is_managed)
        return entry;
    if (!module->was_opened)
        open_module(symbols, place.module);
    if (!module->file)
        return entry;
    /* a return address may already belong to the next line or function */
    Dwarf_Addr address = place.offset + module->bias - (place.is_exact ? 0 : 1);
    fill_from_dwarf(module, address, entry);
    struct bl_symbol *outermost = &entry->symbols[entry->count - 1];
    if (!outermost->function)
        outermost->function = elf_symbol(module, address);
    drop_system_headers(entry);
    return entry;
}

static const struct bl_symbol *symbols_at(struct bl_symbols *symbols, const struct place *place,
                                          size_t *ret_count)
{
    /* names of Java methods are numbers of this ledger */
    struct module *module = symbols->modules[place->is_managed ? 0 : place->module];
    struct place key = *place;
    struct entry *entry;
    if (module->is_stored)
        key.module = 0; /* it has another number in each ledger */
    HASH_FIND(hh, module->entries, &key, sizeof(key), entry);
    if (!entry) {
        entry = look_up(symbols, *place);
        if (!entry)
            return NULL;
        entry->place = key;
        HASH_ADD(hh, module->entries, place, sizeof(entry->place), entry);
    }
    *ret_count = entry->count;
    return entry->symbols;
}

const struct bl_symbol *bl_symbols_code(struct bl_symbols *symbols, uint32_t module,
                                        uint64_t offset, size_t *ret_count)
{
    struct place place;
    memset(&place, 0, sizeof(place));
    place.offset = offset;
    place.module = module < symbols->module_count ? module : 0;
    return symbols_at(symbols, &place, ret_count);
}

/* Where the variable at an address is declared: one of a unit's own, or local to a function. */
static bool declares(Dwarf_Die *die, Dwarf_Addr address)
{
    Dwarf_Attribute attribute;
    Dwarf_Op *ops;
    size_t count;
    return dwarf_tag(die) == DW_TAG_variable &&
           dwarf_getlocation(dwarf_attr(die, DW_AT_location, &attribute), &ops, &count) == 0 &&
           count == 1 && ops[0].atom == DW_OP_addr && ops[0].number == address;
}

#define SEARCH_DEPTH 8

static bool find_declaration(Dwarf_Die *parent, Dwarf_Addr address, int depth, Dwarf_Die *ret_die)
{
    Dwarf_Die die;
    if (depth == SEARCH_DEPTH || dwarf_child(parent, &die) != 0)
        return false;
    do {
        int tag = dwarf_tag(&die);
        if (declares(&die, address)) {
            *ret_die = die;
            return true;
        }
        if ((tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block || tag == DW_TAG_namespace) &&
            find_declaration(&die, address, depth + 1, ret_die))
            return true;
    } while (dwarf_siblingof(&die, &die) == 0);
    return false;
}

static void place_variable(struct module *module, Dwarf_Addr address, struct bl_variable *variable)
{
    Dwarf_Addr bias;
    Dwarf *dwarf = dwfl_module_getdwarf(module->file, &bias);
    Dwarf_CU *cu = NULL;
    Dwarf_Die unit;
    Dwarf_Die die;
    while (dwarf && dwarf_get_units(dwarf, cu, &cu, NULL, NULL, &unit, NULL) == 0) {
        if (!find_declaration(&unit, address - bias, 0, &die))
            continue;
        Dwarf_Die origin;
        Dwarf_Attribute attribute;
        if (dwarf_hasattr(&die, DW_AT_specification) &&
            dwarf_formref_die(dwarf_attr(&die, DW_AT_specification, &attribute), &origin))
            die = origin;
        const char *file = dwarf_decl_file(&die);
        char *readable = file ? bl_readable_file(&unit, file) : NULL;
        if (readable)
            snprintf(variable->file, sizeof(variable->file), "%s", readable);
        free(readable);
        if (dwarf_decl_line(&die, &variable->line) != 0)
            variable->line = 0;
        return;
    }
}

/* The symbol's raw name; NULL when none covers the address. */
static const char *find_symbol(struct bl_symbols *symbols, uint32_t number, uint64_t offset,
                               GElf_Sym *ret_symbol, GElf_Off *ret_inside)
{
    if (number == 0 || number >= symbols->module_count)
        return NULL;
    struct module *module = symbols->modules[number];
    if (!module->was_opened)
        open_module(symbols, number);
    if (!module->file)
        return NULL;
    const char *raw = raw_symbol(module, offset + module->bias, ret_inside, ret_symbol);
    return raw && *raw && *ret_inside < ret_symbol->st_size ? raw : NULL;
}

bool bl_symbols_extent(struct bl_symbols *symbols, uint32_t number, uint64_t offset,
                       uint64_t *ret_start, uint64_t *ret_size)
{
    GElf_Off inside;
    GElf_Sym symbol;
    if (!find_symbol(symbols, number, offset, &symbol, &inside))
        return false;
    *ret_start = offset - inside;
    *ret_size = symbol.st_size;
    return true;
}

bool bl_symbols_bytes(struct bl_symbols *symbols, uint32_t number, uint64_t offset, uint8_t *out,
                      size_t size)
{
    GElf_Addr bias;
    size_t count = 0;
    if (number == 0 || number >= symbols->module_count)
        return false;
    if (!symbols->modules[number]->was_opened)
        open_module(symbols, number);
    Dwfl_Module *file = symbols->modules[number]->file;
    Elf *elf = file ? dwfl_module_getelf(file, &bias) : NULL;
    if (!elf || elf_getphdrnum(elf, &count) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr part;
        if (!gelf_getphdr(elf, (int)i, &part) || part.p_type != PT_LOAD || offset < part.p_vaddr ||
            offset - part.p_vaddr >= part.p_filesz ||
            part.p_filesz - (offset - part.p_vaddr) < size)
            continue;
        const Elf_Data *data = elf_getdata_rawchunk(
            elf, (int64_t)(part.p_offset + (offset - part.p_vaddr)), size, ELF_T_BYTE);
        if (!data || data->d_size < size)
            return false;
        memcpy(out, data->d_buf, size);
        return true;
    }
    return false;
}

bool bl_symbols_variable(struct bl_symbols *symbols, uint32_t number, uint64_t offset,
                         struct bl_variable *ret_variable)
{
    GElf_Off inside;
    GElf_Sym symbol;
    *ret_variable = (struct bl_variable){.line = 0};
    const char *raw = find_symbol(symbols, number, offset, &symbol, &inside);
    if (!raw)
        return false;
    char *name = bl_readable_name(raw);
    snprintf(ret_variable->name, sizeof(ret_variable->name), "%s", name ? name : "");
    free(name);
    ret_variable->inside = inside;
    struct module *module = symbols->modules[number];
    place_variable(module, offset + module->bias - inside, ret_variable);
    return *ret_variable->name != '\0';
}

const struct bl_symbol *bl_symbols_frame(struct bl_symbols *symbols, uint32_t number,
                                         size_t *ret_count)
{
    const struct bl_frame *frame = bl_reader_frame(symbols->reader, number);
    struct place place;
    memset(&place, 0, sizeof(place));
    if (frame) {
        uint32_t module = frame->module & BL_FRAME_MODULE_MASK;
        place.offset = frame->offset;
        place.module = module < symbols->module_count ? module : 0;
        place.is_exact = (frame->module & BL_FRAME_EXACT) != 0;
        place.is_managed = (frame->module & BL_FRAME_MANAGED) != 0;
    }
    return symbols_at(symbols, &place, ret_count);
}

const uint64_t *bl_symbols_inlined(struct bl_symbols *symbols, uint32_t number, size_t *ret_count)
{
    const struct bl_frame *frame = bl_reader_frame(symbols->reader, number);
    uint32_t index = frame ? frame->module & BL_FRAME_MODULE_MASK : 0;
    Dwarf_Die storage;
    Dwarf_Addr bias = 0;
    *ret_count = 0;
    if (index == 0 || index >= symbols->module_count || frame->module & BL_FRAME_MANAGED)
        return NULL;
    struct module *module = symbols->modules[index];
    if (!module->was_opened)
        open_module(symbols, index);
    if (!module->file)
        return NULL;
    if (!module->inlines)
        module->inlines = bl_inlines_create();
    Dwarf_Addr address = frame->offset + module->bias - (frame->module & BL_FRAME_EXACT ? 0 : 1);
    Dwarf_Die *unit = module->inlines ? find_unit(module, address, &bias, &storage) : NULL;
    return unit ? bl_inlines_find(module->inlines, unit, address - bias, ret_count) : NULL;
}

const char *bl_symbols_module(struct bl_symbols *symbols, uint32_t module)
{
    return symbols->modules[module < symbols->module_count ? module : 0]->name;
}

const char *bl_symbols_mismatch(const struct bl_symbols *symbols, size_t n)
{
    for (uint32_t i = 0; i < symbols->module_count; i++)
        if (symbols->modules[i]->is_mismatch && n-- == 0)
            return symbols->modules[i]->path;
    return NULL;
}
