#include "hook_elf.h"
#include "arena.h"
#include "sigsafe.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define VERSION_HIDDEN 0x8000u
/* What gcc, clang, ld and lld write: the only encodings of a table that can be searched. */
#define EH_VERSION       1
#define EH_COUNT_UDATA4  0x03
#define EH_TABLE_DATAREL 0x3b

static const void *memory_at(uint64_t address)
{
    return (const void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
}

static const ElfW(Phdr) * find_header(const struct bl_hook_object *o, uint32_t type)
{
    for (unsigned i = 0; i < o->header_count; i++) {
        if (o->headers[i].p_type == type)
            return &o->headers[i];
    }
    return NULL;
}

static struct bl_hook_object object_of(const struct dl_phdr_info *info)
{
    return (struct bl_hook_object){.bias = info->dlpi_addr,
                                   .name = info->dlpi_name,
                                   .headers = info->dlpi_phdr,
                                   .header_count = info->dlpi_phnum};
}

/* ---- which objects there are ---- */

struct look {
    struct bl_hook_objects *objects;
    uint32_t count;
    bool any_new;
};

static bool is_listed(const struct bl_hook_objects *all, const struct bl_hook_object *o)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->list[i].bias == o->bias && all->list[i].headers == o->headers)
            return true;
    }
    return false;
}

static int take_object(struct dl_phdr_info *info, size_t size, void *context)
{
    struct look *l = context;
    (void)size;
    if (l->count == BL_HOOK_OBJECTS_MAX)
        return 1;
    struct bl_hook_object *o = &l->objects->spare[l->count++];
    *o = object_of(info);
    o->is_new = !is_listed(l->objects, o);
    l->any_new |= o->is_new;
    return 0;
}

bool bl_hook_elf_look(struct bl_hook_objects *objects)
{
    const size_t bytes = BL_HOOK_OBJECTS_MAX * sizeof *objects->list;
    struct look l = {.objects = objects};
    if (!objects->spare)
        objects->spare = bl_arena_map(bytes);
    if (!objects->spare)
        return false;
    dl_iterate_phdr(take_object, &l);
    struct bl_hook_object *former = objects->list;
    objects->list = objects->spare;
    objects->spare = former;
    objects->count = l.count;
    return l.any_new;
}

/* ---- where code ends ---- */

struct eh_header {
    uint8_t version;
    uint8_t pointer_encoding;
    uint8_t count_encoding;
    uint8_t table_encoding;
    int32_t frames;
    uint32_t count;
    struct {
        int32_t start; /* relative to this header */
        int32_t frame;
    } table[];
};

/* Start of the first function of the table at or behind address; UINT64_MAX = none. */
static uint64_t next_start(uint64_t base, const struct eh_header *h, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = h->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (base + (uint64_t)(int64_t)h->table[middle].start < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < h->count ? base + (uint64_t)(int64_t)h->table[low].start : UINT64_MAX;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* start, end: of the segment. */
static struct bl_hook_extent extent_of(const struct bl_hook_object *o, uint64_t address,
                                       uint64_t start, uint64_t end)
{
    struct bl_hook_extent e = {.before = address, .limit = end, .behind = end};
    const ElfW(Phdr) *ph = find_header(o, PT_GNU_EH_FRAME);
    if (!ph || ph->p_memsz < sizeof(struct eh_header))
        return e;
    uint64_t base = o->bias + ph->p_vaddr;
    const struct eh_header *h = memory_at(base);
    if (h->version != EH_VERSION || h->count_encoding != EH_COUNT_UDATA4 ||
        h->table_encoding != EH_TABLE_DATAREL)
        return e;
    uint64_t window =
        address - start < BL_HOOK_NEIGHBOURHOOD ? start : address - BL_HOOK_NEIGHBOURHOOD;
    e.before = least(next_start(base, h, window), address);
    e.limit = least(next_start(base, h, address + 1), end);
    e.behind = least(e.limit + BL_HOOK_NEIGHBOURHOOD, end);
    return e;
}

struct place {
    uint64_t address;
    struct bl_hook_extent extent;
};

static int find_extent(struct dl_phdr_info *info, size_t size, void *place)
{
    (void)size;
    struct place *p = place;
    const struct bl_hook_object o = object_of(info);
    for (unsigned i = 0; i < o.header_count; i++) {
        const ElfW(Phdr) *ph = &o.headers[i];
        uint64_t start = o.bias + ph->p_vaddr;
        if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || p->address < start ||
            p->address - start >= ph->p_filesz)
            continue;
        p->extent = extent_of(&o, p->address, start, start + ph->p_filesz);
        return 1;
    }
    return 0;
}

bool bl_hook_elf_extent(uint64_t address, struct bl_hook_extent *ret_extent)
{
    struct place p = {.address = address};
    if (!dl_iterate_phdr(find_extent, &p))
        return false;
    *ret_extent = p.extent;
    return true;
}

/* ---- .dynsym ---- */

/* The loader turns offsets into addresses where the section can be written, and only there. */
static const void *dynamic_pointer(const struct bl_hook_object *o, uint64_t value)
{
    return memory_at(value < o->bias ? value + o->bias : value);
}

bool bl_hook_elf_dynamic(const struct bl_hook_object *o, struct bl_hook_dynamic *ret_dynamic)
{
    const ElfW(Phdr) *ph = find_header(o, PT_DYNAMIC);
    struct bl_hook_dynamic d = {0};
    if (!ph)
        return false;
    for (const ElfW(Dyn) *e = memory_at(o->bias + ph->p_vaddr); e->d_tag != DT_NULL; e++) {
        const void *at = dynamic_pointer(o, e->d_un.d_ptr);
        if (e->d_tag == DT_SYMTAB)
            d.symbols = at;
        else if (e->d_tag == DT_STRTAB)
            d.strings = at;
        else if (e->d_tag == DT_GNU_HASH)
            d.gnu_hash = at;
        else if (e->d_tag == DT_HASH)
            d.hash = at;
        else if (e->d_tag == DT_VERSYM)
            d.versions = at;
        else if (e->d_tag == DT_RELA)
            d.relocations = at;
        else if (e->d_tag == DT_RELASZ)
            d.relocation_bytes = e->d_un.d_val;
        else if (e->d_tag == DT_JMPREL)
            d.jumps = at;
        else if (e->d_tag == DT_PLTRELSZ)
            d.jump_bytes = e->d_un.d_val;
    }
    *ret_dynamic = d;
    return d.symbols && d.strings;
}

static bool is_function(const ElfW(Sym) * s)
{
    unsigned type = ELF64_ST_TYPE(s->st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && s->st_shndx != SHN_UNDEF && s->st_value;
}

static bool is_variable(const ElfW(Sym) * s)
{
    return ELF64_ST_TYPE(s->st_info) == STT_OBJECT && s->st_shndx != SHN_UNDEF && s->st_value;
}

typedef bool is_wanted(const ElfW(Sym) *);

/* Of several versions of a symbol, the one that a new program links to. */
static bool matches(const struct bl_hook_dynamic *d, uint32_t n, const char *name,
                    is_wanted *wanted)
{
    return wanted(&d->symbols[n]) && !(d->versions && d->versions[n] & VERSION_HIDDEN) &&
           strcmp(d->strings + d->symbols[n].st_name, name) == 0;
}

static const ElfW(Sym) *
    search_gnu_hash(const struct bl_hook_dynamic *d, const char *name, is_wanted *wanted)
{
    uint32_t hash = 5381;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (uint8_t)*c;
    uint32_t bucket_count = d->gnu_hash[0];
    uint32_t first = d->gnu_hash[1];
    const uint32_t *buckets = d->gnu_hash + 4 + (size_t)d->gnu_hash[2] * 2;
    const uint32_t *chain = buckets + bucket_count;
    uint32_t n = bucket_count ? buckets[hash % bucket_count] : 0;
    if (n < first)
        return NULL;
    for (;; n++) {
        uint32_t entry = chain[n - first];
        if ((entry | 1u) == (hash | 1u) && matches(d, n, name, wanted))
            return &d->symbols[n];
        if (entry & 1u)
            return NULL;
    }
}

static const ElfW(Sym) *
    search_dynamic(const struct bl_hook_dynamic *d, const char *name, is_wanted *wanted)
{
    if (d->gnu_hash)
        return search_gnu_hash(d, name, wanted);
    for (uint32_t n = 0; d->hash && n < d->hash[1]; n++) {
        if (matches(d, n, name, wanted))
            return &d->symbols[n];
    }
    return NULL;
}

/* ---- .symtab ---- */

struct file {
    const uint8_t *bytes;
    uint64_t size;
};

static bool map_file(const char *path, struct file *ret_file)
{
    long fd = bl_sys4(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct stat st = {0};
    void *pages = NULL;
    if (bl_sys3(SYS_fstat, fd, (long)&st, 0) == 0 && st.st_size >= (off_t)sizeof(ElfW(Ehdr)))
        pages = bl_sys_map((size_t)st.st_size, PROT_READ, MAP_PRIVATE, (int)fd, 0);
    bl_sys_close((int)fd);
    if (pages)
        *ret_file = (struct file){pages, (uint64_t)st.st_size};
    return pages != NULL;
}

static const void *file_range(const struct file *f, uint64_t offset, uint64_t size)
{
    return offset <= f->size && size <= f->size - offset ? f->bytes + offset : NULL;
}

/* The file may have been replaced since: program headers and notes (build-id) must be the same. */
static bool is_loaded_file(const struct file *f, const struct bl_hook_object *o)
{
    const ElfW(Ehdr) *e = (const void *)f->bytes;
    uint64_t bytes = o->header_count * sizeof(ElfW(Phdr));
    const void *headers = file_range(f, e->e_phoff, bytes);
    if (memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 || e->e_phnum != o->header_count || !headers ||
        memcmp(headers, o->headers, bytes) != 0)
        return false;
    for (unsigned i = 0; i < o->header_count; i++) {
        const ElfW(Phdr) *ph = &o->headers[i];
        const void *note = file_range(f, ph->p_offset, ph->p_filesz);
        if (ph->p_type == PT_NOTE &&
            (!note || memcmp(note, memory_at(o->bias + ph->p_vaddr), ph->p_filesz) != 0))
            return false;
    }
    return true;
}

static bool search_table(const struct file *f, const ElfW(Shdr) * table, const ElfW(Shdr) * text,
                         const char *name, ElfW(Sym) * ret_symbol)
{
    const char *strings = file_range(f, text->sh_offset, text->sh_size);
    const ElfW(Sym) *symbols = file_range(f, table->sh_offset, table->sh_size);
    size_t bytes = strlen(name) + 1;
    if (!strings || !symbols || table->sh_offset % _Alignof(ElfW(Sym)))
        return false;
    for (size_t n = 0; n < table->sh_size / sizeof *symbols; n++) {
        uint64_t at = symbols[n].st_name;
        if (!is_function(&symbols[n]) || at >= text->sh_size || text->sh_size - at < bytes ||
            memcmp(strings + at, name, bytes) != 0)
            continue;
        *ret_symbol = symbols[n];
        return true;
    }
    return false;
}

static bool search_sections(const struct file *f, const char *name, ElfW(Sym) * ret_symbol)
{
    const ElfW(Ehdr) *e = (const void *)f->bytes;
    const ElfW(Shdr) *sections =
        file_range(f, e->e_shoff, (uint64_t)e->e_shnum * sizeof(ElfW(Shdr)));
    if (!sections || e->e_shoff % _Alignof(ElfW(Shdr)) || e->e_shentsize != sizeof *sections)
        return false;
    for (unsigned i = 0; i < e->e_shnum; i++) {
        if (sections[i].sh_type == SHT_SYMTAB && sections[i].sh_link < e->e_shnum &&
            search_table(f, &sections[i], &sections[sections[i].sh_link], name, ret_symbol))
            return true;
    }
    return false;
}

static bool search_file(const struct bl_hook_object *o, const char *name, ElfW(Sym) * ret_symbol)
{
    struct file f;
    if (!map_file(o->name[0] ? o->name : "/proc/self/exe", &f))
        return false;
    bool found = is_loaded_file(&f, o) && search_sections(&f, name, ret_symbol);
    bl_sys_unmap((void *)(uintptr_t)f.bytes, f.size); // NOLINT(performance-no-int-to-ptr)
    return found;
}

/* ---- from name to address ---- */

/* A resolver may use what relocation has yet to fill in. A relative relocation that has its value
 * shows that it has happened; one that has not may be data that was written since. */
static bool is_relocated(const struct bl_hook_object *o, const struct bl_hook_dynamic *d)
{
    bool any = false;
    for (uint64_t n = 0; n < d->relocation_bytes / sizeof(ElfW(Rela)); n++) {
        const ElfW(Rela) *r = &d->relocations[n];
        if (ELF64_R_TYPE(r->r_info) != R_X86_64_RELATIVE)
            continue;
        any = true;
        uint64_t value;
        memcpy(&value, memory_at(o->bias + r->r_offset), sizeof value);
        if (value == o->bias + (uint64_t)r->r_addend)
            return true;
    }
    return !any;
}

static uint64_t resolve(const struct bl_hook_object *o, const struct bl_hook_dynamic *d,
                        const ElfW(Sym) * s, size_t *ret_size)
{
    uint64_t address = o->bias + s->st_value;
    if (ELF64_ST_TYPE(s->st_info) != STT_GNU_IFUNC) {
        *ret_size = s->st_size;
        return address;
    }
    if (!is_relocated(o, d))
        return 0;
    uint64_t (*resolver)(void);
    memcpy(&resolver, &address, sizeof resolver);
    *ret_size = 0;
    return resolver();
}

struct wanted {
    const char *path;
    const char *name;
    uint64_t address;
    size_t size;
};

static bool is_named(const struct bl_hook_object *o, const char *path)
{
    if (!path || strcmp(o->name, path) == 0)
        return true;
    const char *slash = strrchr(o->name, '/');
    return slash && !strchr(path, '/') && strcmp(slash + 1, path) == 0;
}

static int find_symbol(struct dl_phdr_info *info, size_t size, void *wanted)
{
    (void)size;
    struct wanted *w = wanted;
    const struct bl_hook_object o = object_of(info);
    struct bl_hook_dynamic d = {0};
    ElfW(Sym) local;
    if (!is_named(&o, w->path))
        return 0;
    bool dynamic = bl_hook_elf_dynamic(&o, &d);
    const ElfW(Sym) *s = dynamic ? search_dynamic(&d, w->name, is_function) : NULL;
    /* Among all objects, only an exported function is meant. */
    if (!s && w->path && search_file(&o, w->name, &local))
        s = &local;
    if (s)
        w->address = resolve(&o, &d, s, &w->size);
    return w->address != 0;
}

uint64_t bl_hook_elf_find(const char *path, const char *name, size_t *ret_size)
{
    struct wanted w = {.path = path, .name = name};
    dl_iterate_phdr(find_symbol, &w);
    if (w.address)
        *ret_size = w.size;
    return w.address;
}

static int find_variable(struct dl_phdr_info *info, size_t size, void *wanted)
{
    (void)size;
    struct wanted *w = wanted;
    const struct bl_hook_object o = object_of(info);
    struct bl_hook_dynamic d = {0};
    const ElfW(Sym) *s =
        bl_hook_elf_dynamic(&o, &d) ? search_dynamic(&d, w->name, is_variable) : NULL;
    if (!s)
        return 0;
    w->address = o.bias + s->st_value;
    w->size = s->st_size;
    return 1;
}

static int count_definition(struct dl_phdr_info *info, size_t size, void *wanted)
{
    (void)size;
    struct wanted *w = wanted;
    const struct bl_hook_object o = object_of(info);
    struct bl_hook_dynamic d = {0};
    w->size += bl_hook_elf_dynamic(&o, &d) && search_dynamic(&d, w->name, is_function) != NULL;
    return 0;
}

unsigned bl_hook_elf_count(const char *name)
{
    struct wanted w = {.name = name};
    dl_iterate_phdr(count_definition, &w);
    return (unsigned)w.size;
}

uint64_t bl_hook_elf_find_variable(const char *name, size_t *ret_size)
{
    struct wanted w = {.name = name};
    dl_iterate_phdr(find_variable, &w);
    if (w.address)
        *ret_size = w.size;
    return w.address;
}
