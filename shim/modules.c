#include "modules.h"
#include "clock.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"
#include "names.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

#define MODULES_MAX 8192u
#define PATH_BYTES  1024u

struct module {
    uint64_t start;
    uint64_t end;
    uint64_t bias;
    const void *link_map;
    uint32_t number;
    bool gone;
};

struct found {
    struct bl_module record;
    const void *link_map;
    char path[PATH_BYTES];
};

uint32_t bl_modules_epoch;
uint64_t bl_modules_loader_start;
uint64_t bl_modules_loader_end;

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_MODULES */
static struct module modules[MODULES_MAX]; /* (lock) */
static uint32_t module_count;              /* (lock) */
static unsigned long long unloads_seen;    /* atomic */
static char exe_path[PATH_BYTES];

static const struct module *search_locked(uint64_t address)
{
    for (uint32_t i = 0; i < module_count; i++) {
        if (address >= modules[i].start && address < modules[i].end && !modules[i].gone)
            return &modules[i];
    }
    return NULL;
}

static void copy_build_id(struct bl_module *record, const uint8_t *note, const uint8_t *end)
{
    while ((size_t)(end - note) >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *n = (const void *)note;
        const uint8_t *name = note + sizeof *n;
        const uint8_t *text = name + ((n->n_namesz + 3u) & ~3u);
        if (text > end || n->n_descsz > (size_t)(end - text))
            return;
        if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
            record->build_id_length = n->n_descsz < BL_BUILD_ID_MAX ? n->n_descsz : BL_BUILD_ID_MAX;
            memcpy(record->build_id, text, record->build_id_length);
            return;
        }
        note = text + ((n->n_descsz + 3u) & ~3u);
    }
}

/* The ELF header and the program headers are in the first page of the mapping, for every linker. */
static void read_build_id(struct bl_module *record)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    const ElfW(Ehdr) *elf = (const void *)(uintptr_t)record->map_start;
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 ||
        elf->e_phoff + (uint64_t)elf->e_phnum * sizeof(ElfW(Phdr)) > BL_PAGE)
        return;
    const ElfW(Phdr) *ph = (const void *)((const char *)elf + elf->e_phoff);
    for (unsigned i = 0; i < elf->e_phnum && !record->build_id_length; i++) {
        uint64_t start = record->load_bias + ph[i].p_vaddr;
        if (ph[i].p_type != PT_NOTE || start < record->map_start ||
            start + ph[i].p_memsz > record->map_end)
            continue;
        const uint8_t *note = (const void *)(uintptr_t)start; // NOLINT(performance-no-int-to-ptr)
        copy_build_id(record, note, note + ph[i].p_memsz);
    }
}

static void set_path(struct found *f, const char *name)
{
    struct bl_text t;
    bl_text_init(&t, f->path, sizeof f->path);
    if (name[0] && name[0] != '/' && strchr(name, '/') &&
        bl_sys3(SYS_getcwd, (long)f->path, sizeof f->path - 1, 0) > 0) {
        t.at = f->path + strlen(f->path);
        bl_text_str(&t, "/");
    }
    bl_text_str(&t, name[0] ? name : exe_path);
}

/* What the loader knows of the object at address. False: no object is there. */
static bool find_object(uint64_t address, struct found *ret_found)
{
    struct dl_find_object object;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    if (_dl_find_object((void *)(uintptr_t)address, &object) != 0)
        return false;
    const struct link_map *map = object.dlfo_link_map;
    struct bl_module *r = &ret_found->record;
    memset(r, 0, sizeof *r);
    ret_found->link_map = map;
    r->map_start = (uint64_t)(uintptr_t)object.dlfo_map_start;
    r->map_end = (uint64_t)(uintptr_t)object.dlfo_map_end;
    r->load_bias = map->l_addr;
    r->first_seen_ns = bl_clock_event_ns();
    r->generation = bl_load_relaxed(&bl_modules_epoch);
    uint64_t own = (uint64_t)(uintptr_t)&bl_modules_locate;
    if (!map->l_name[0])
        r->flags |= BL_MODULE_MAIN;
    if (own >= r->map_start && own < r->map_end)
        r->flags |= BL_MODULE_SHIM;
    if (strncmp(map->l_name, "linux-vdso", 10) == 0)
        r->flags |= BL_MODULE_VDSO;
    set_path(ret_found, map->l_name);
    read_build_id(r);
    return true;
}

/* A library that was unloaded and is back at its old place is the same module. */
static bool same_module(const struct bl_module *a, const struct found *b)
{
    if (a->map_start != b->record.map_start || a->map_end != b->record.map_end ||
        a->build_id_length != b->record.build_id_length ||
        memcmp(a->build_id, b->record.build_id, a->build_id_length) != 0)
        return false;
    if (!a->path_name)
        return false;
    const struct bl_name *name = bl_ledger_at(BL_SECTION_NAMES, a->path_name);
    return strcmp(name->text, b->path) == 0;
}

static struct module *revive_locked(const struct found *f)
{
    for (uint32_t i = 0; i < module_count; i++) {
        struct bl_module *record = bl_ledger_at(BL_SECTION_MODULES, modules[i].number);
        if (same_module(record, f)) {
            modules[i].gone = false;
            modules[i].link_map = f->link_map;
            bl_store_relaxed(&record->unloaded_ns, 0);
            return &modules[i];
        }
    }
    return NULL;
}

static struct module *register_locked(struct found *f)
{
    struct module *m = revive_locked(f);
    if (m)
        return m;
    uint64_t used = bl_header->published[BL_SECTION_MODULES];
    uint32_t n = used == 0 ? 1u : (uint32_t)used;
    if (module_count >= MODULES_MAX || bl_ledger_ensure(BL_SECTION_MODULES, n + 1) != 0)
        return NULL;
    f->record.path_name = bl_names_add_str(f->path);
    memcpy(bl_ledger_at(BL_SECTION_MODULES, n), &f->record, sizeof f->record);
    bl_ledger_publish(BL_SECTION_MODULES, n + 1);
    m = &modules[module_count++];
    *m = (struct module){.start = f->record.map_start,
                         .end = f->record.map_end,
                         .bias = f->record.load_bias,
                         .link_map = f->link_map,
                         .number = n};
    return m;
}

static struct bl_location location_in(const struct module *m, uint64_t address)
{
    if (!m)
        return (struct bl_location){0, address};
    return (struct bl_location){m->number, address - m->bias};
}

struct bl_location bl_modules_locate(uint64_t address)
{
    bl_lock_take(&lock);
    const struct module *m = search_locked(address);
    struct bl_location where = location_in(m, address);
    bl_lock_give(&lock);
    struct found f;
    if (m || !find_object(address, &f))
        return where;
    bl_lock_take(&lock);
    m = search_locked(address); /* another thread may have been faster */
    if (!m)
        m = register_locked(&f);
    where = location_in(m, address);
    bl_lock_give(&lock);
    if (!m)
        bl_losses_add(BL_LOSS_modules_dropped, 1);
    return where;
}

uint32_t bl_modules_add_managed(const char *name, size_t length)
{
    bl_lock_take(&lock);
    uint64_t used = bl_header->published[BL_SECTION_MODULES];
    uint32_t n = used == 0 ? 1u : (uint32_t)used;
    bool ok = n < MODULES_MAX && bl_ledger_ensure(BL_SECTION_MODULES, n + 1) == 0;
    if (ok) {
        struct bl_module *record = bl_ledger_at(BL_SECTION_MODULES, n);
        *record = (struct bl_module){.path_name = bl_names_add(name, length),
                                     .flags = BL_MODULE_MANAGED,
                                     .first_seen_ns = bl_clock_event_ns()};
        bl_ledger_publish(BL_SECTION_MODULES, n + 1);
    }
    bl_lock_give(&lock);
    if (!ok)
        bl_losses_add(BL_LOSS_modules_dropped, 1);
    return ok ? n : 0;
}

uint32_t bl_modules_note(const struct bl_module *record, const char *path)
{
    struct found f = {.record = *record};
    struct bl_text t;
    bl_text_init(&t, f.path, sizeof f.path);
    bl_text_str(&t, path);
    f.record.first_seen_ns = bl_clock_event_ns();
    f.record.generation = bl_load_relaxed(&bl_modules_epoch);
    bl_lock_take(&lock);
    const struct module *m = search_locked(record->map_start);
    if (!m || m->start != record->map_start)
        m = register_locked(&f);
    uint32_t number = m ? m->number : 0;
    bl_lock_give(&lock);
    if (!number)
        bl_losses_add(BL_LOSS_modules_dropped, 1);
    return number;
}

static int read_unloads(struct dl_phdr_info *info, size_t size, void *ret_subs)
{
    (void)size;
    *(unsigned long long *)ret_subs = info->dlpi_subs;
    return 1;
}

static void mark_gone(uint32_t i, uint64_t start, const void *link_map)
{
    struct dl_find_object object;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    bool there = _dl_find_object((void *)(uintptr_t)start, &object) == 0 &&
                 (uint64_t)(uintptr_t)object.dlfo_map_start == start &&
                 object.dlfo_link_map == link_map;
    struct found f;
    bool found = there && find_object(start, &f);
    bl_lock_take(&lock);
    struct bl_module *record = bl_ledger_at(BL_SECTION_MODULES, modules[i].number);
    if (!found || !same_module(record, &f)) {
        modules[i].gone = true;
        bl_store_relaxed(&record->unloaded_ns, bl_clock_event_ns());
    }
    bl_lock_give(&lock);
}

bool bl_modules_check_unloads(void)
{
    unsigned long long subs = 0;
    dl_iterate_phdr(read_unloads, &subs);
    if (__atomic_exchange_n(&unloads_seen, subs, __ATOMIC_RELAXED) == subs)
        return false;
    for (uint32_t i = 0; i < bl_load_relaxed(&module_count); i++) {
        if (!modules[i].gone)
            mark_gone(i, modules[i].start, modules[i].link_map);
    }
    bl_add_relaxed(&bl_modules_epoch, 1);
    return true;
}

void bl_modules_renew_epoch(void)
{
    __atomic_fetch_add(&bl_modules_epoch, 1, __ATOMIC_SEQ_CST);
}

void bl_modules_init(void)
{
    long n = bl_sys4(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)exe_path,
                     sizeof exe_path - 1);
    if (n < 0)
        exe_path[0] = '\0';
    bl_modules_locate((uint64_t)(uintptr_t)&bl_modules_init);
    struct dl_find_object object;
    if (_dl_find_object((void *)&_dl_find_object, &object) == 0) {
        bl_modules_loader_start = (uint64_t)(uintptr_t)object.dlfo_map_start;
        bl_modules_loader_end = (uint64_t)(uintptr_t)object.dlfo_map_end;
    }
    bl_modules_check_unloads();
}

void bl_modules_lock(void)
{
    bl_lock_take(&lock);
}

void bl_modules_unlock(void)
{
    bl_lock_give(&lock);
}

void bl_modules_reset_lock(void)
{
    bl_lock_reset(&lock);
}

void bl_modules_reset(void)
{
    module_count = 0;
    bl_add_relaxed(&bl_modules_epoch, 1);
}
