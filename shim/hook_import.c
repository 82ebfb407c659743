#include "hook_import.h"
#include "arena.h"
#include "sigsafe.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define BUCKETS   256u
#define PAGE_MASK 4095u
#define CODE_MAX  (64 << 20) /* bytes; more takes too long to look through */

/* A function whose calls are hooked. Never freed. */
struct import {
    struct import *next; /* of its bucket */
    const char *name;
    const void *context;
    uint64_t address;
    struct bl_hook_stub stub;
    bool is_fresh; /* the objects that were there have not been looked through for it */
    bool is_only;  /* no other object exports a function of this name */
};

static struct import *buckets[BUCKETS];
static bool any_fresh;
static bool any_installed;

static uint32_t bucket_of(const char *name)
{
    uint32_t hash = 5381;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (uint8_t)*c;
    return hash & (BUCKETS - 1);
}

static void *memory_at(uint64_t address)
{
    return (void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
}

/* ---- writing ---- */

/* The kernel writes where the process itself must not. */
static bool write_by_file(uint64_t at, const void *bytes, size_t length)
{
    long fd = bl_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/mem", O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return false;
    long written = bl_sys4(SYS_pwrite64, fd, (long)bytes, (long)length, (long)at);
    bl_sys_close((int)fd);
    return written == (long)length;
}

static bool protect(uint64_t at, size_t length, int protection)
{
    uint64_t start = at & ~(uint64_t)PAGE_MASK;
    uint64_t end = (at + length + PAGE_MASK) & ~(uint64_t)PAGE_MASK;
    return bl_sys3(SYS_mprotect, (long)start, (long)(end - start), protection) == 0;
}

static bool is_in_relro(const struct bl_hook_object *o, uint64_t address)
{
    for (unsigned i = 0; i < o->header_count; i++) {
        const ElfW(Phdr) *ph = &o->headers[i];
        uint64_t start = (o->bias + ph->p_vaddr) & ~(uint64_t)PAGE_MASK;
        uint64_t end = (o->bias + ph->p_vaddr + ph->p_memsz) & ~(uint64_t)PAGE_MASK;
        if (ph->p_type == PT_GNU_RELRO && address >= start && address < end)
            return true;
    }
    return false;
}

/* A whole store: other threads may be calling through the slot. */
static void write_slot(const struct bl_hook_object *o, uint64_t slot, uint64_t value)
{
    bool is_sealed = is_in_relro(o, slot);
    if (is_sealed && !protect(slot, sizeof value, PROT_READ | PROT_WRITE)) {
        write_by_file(slot, &value, sizeof value);
        return;
    }
    bl_store_release((uint64_t *)memory_at(slot), value);
    if (is_sealed)
        protect(slot, sizeof value, PROT_READ);
}

static int protection_of(const struct bl_hook_object *o, uint64_t address)
{
    for (unsigned i = 0; i < o->header_count; i++) {
        const ElfW(Phdr) *ph = &o->headers[i];
        uint64_t start = o->bias + ph->p_vaddr;
        if (ph->p_type == PT_LOAD && address - start < ph->p_memsz)
            return (ph->p_flags & PF_R ? PROT_READ : 0) | (ph->p_flags & PF_W ? PROT_WRITE : 0) |
                   (ph->p_flags & PF_X ? PROT_EXEC : 0);
    }
    return PROT_NONE;
}

/* Where pages cannot become executable again, code must not become writable. */
static void write_relocation(const struct bl_hook_object *o, const ElfW(Rela) * at,
                             const ElfW(Rela) * value)
{
    uint64_t address = (uint64_t)(uintptr_t)at;
    int protection = protection_of(o, address);
    if (write_by_file(address, value, sizeof *value) || !(protection & PROT_READ) ||
        protection & PROT_EXEC || !protect(address, sizeof *value, PROT_READ | PROT_WRITE))
        return;
    memcpy(memory_at(address), value, sizeof *value);
    protect(address, sizeof *value, protection);
}

/* ---- who refers to a slot ---- */

/* call and jmp through memory, relative to the next instruction */
static bool is_call(const uint8_t *displacement)
{
    return displacement[-2] == 0xff && (displacement[-1] == 0x15 || displacement[-1] == 0x25);
}

/* Of one segment of code: does anything but calls refer to the slot? A number that looks like it
 * counts as a reference. */
static bool has_other_use(const uint8_t *start, const uint8_t *end, uint64_t slot, bool *ret_any)
{
    if (end - start > CODE_MAX)
        return true;
    for (const uint8_t *p = start + 2; p + 12 <= end; p++) {
        int32_t displacement;
        memcpy(&displacement, p, sizeof displacement);
        uint64_t target = (uint64_t)(uintptr_t)p + (uint64_t)(int64_t)displacement;
        /* an immediate operand may stand behind the displacement: none, 1 or 4 bytes */
        uint64_t behind = slot - target;
        if (behind != 4 && behind != 5 && behind != 8)
            continue;
        if (behind != 4 || !is_call(p))
            return true;
        *ret_any = true;
    }
    return false;
}

static bool is_called_only(const struct bl_hook_object *o, uint64_t slot)
{
    bool any = false;
    for (unsigned i = 0; i < o->header_count; i++) {
        const ElfW(Phdr) *ph = &o->headers[i];
        if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X))
            continue;
        const uint8_t *start = memory_at(o->bias + ph->p_vaddr);
        if (has_other_use(start, start + ph->p_filesz, slot, &any))
            return false;
    }
    return any;
}

/* ---- slots ---- */

struct pass {
    const struct bl_hook_object *object;
    struct bl_hook_dynamic dynamic;
    bool is_relocated;
    bool fresh_only;
};

/* Lazily bound, and not called yet: it leads back into the object's own linkage table. */
static bool is_unbound(const struct bl_hook_object *o, uint64_t value)
{
    return (protection_of(o, value) & PROT_EXEC) != 0;
}

static void change_slot(const struct pass *p, const struct import *import, uint64_t slot)
{
    uint64_t value = bl_load_relaxed((const uint64_t *)memory_at(slot));
    if (value == import->address || (import->is_only && is_unbound(p->object, value)))
        write_slot(p->object, slot, import->stub.entry);
}

static void change_relocation(const struct pass *p, const struct import *import,
                              const ElfW(Rela) * r)
{
    const ElfW(Rela) resolved = {
        .r_offset = r->r_offset,
        .r_info = ELF64_R_INFO(0, R_X86_64_IRELATIVE),
        .r_addend = (int64_t)(import->stub.resolver - p->object->bias),
    };
    if (import->is_only)
        write_relocation(p->object, r, &resolved);
}

static void look_at(const struct pass *p, const ElfW(Rela) * r)
{
    uint64_t type = ELF64_R_TYPE(r->r_info);
    uint64_t slot = p->object->bias + r->r_offset;
    if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) || slot % sizeof(uint64_t))
        return;
    const ElfW(Sym) *symbol = &p->dynamic.symbols[ELF64_R_SYM(r->r_info)];
    const char *name = p->dynamic.strings + symbol->st_name;
    for (const struct import *i = buckets[bucket_of(name)]; i; i = i->next) {
        if ((p->fresh_only && !i->is_fresh) || strcmp(i->name, name) != 0)
            continue;
        if (type == R_X86_64_GLOB_DAT && !is_called_only(p->object, slot))
            return;
        if (p->is_relocated)
            change_slot(p, i, slot);
        else
            change_relocation(p, i, r);
    }
}

static void look_through(struct pass *p)
{
    bool is_own = protection_of(p->object, (uint64_t)(uintptr_t)buckets) != PROT_NONE;
    if (is_own || !bl_hook_elf_dynamic(p->object, &p->dynamic))
        return;
    for (uint64_t n = 0; n < p->dynamic.jump_bytes / sizeof(ElfW(Rela)); n++)
        look_at(p, &p->dynamic.jumps[n]);
    for (uint64_t n = 0; n < p->dynamic.relocation_bytes / sizeof(ElfW(Rela)); n++)
        look_at(p, &p->dynamic.relocations[n]);
}

/* ---- what is hooked ---- */

static struct import *find_installed(const char *name, const void *context)
{
    struct import *i = buckets[bucket_of(name)];
    while (i && (i->context != context || strcmp(i->name, name) != 0))
        i = i->next;
    return i;
}

int bl_hook_import_install(const char *name, uint64_t address, const struct bl_hook_spec *spec,
                           const char **ret_why)
{
    struct import *import = find_installed(name, spec->context);
    struct import **bucket = &buckets[bucket_of(name)];
    bool is_new = import == NULL;
    *ret_why = "it is not exported";
    if (bl_hook_elf_count(name) == 0)
        return -1;
    *ret_why = "no memory";
    if (is_new) {
        import = bl_arena_alloc(sizeof *import);
        if (!import)
            return -1;
        *import = (struct import){.next = *bucket, .name = name, .context = spec->context};
    }
    if (bl_hook_entry_stub(address, spec, &import->stub, ret_why) != 0)
        return -1; /* of a new one, the arena keeps a few bytes */
    import->address = address;
    import->is_fresh = any_fresh = any_installed = true;
    if (is_new)
        *bucket = import;
    return 0;
}

static void count_definitions(void)
{
    for (uint32_t n = 0; n < BUCKETS; n++) {
        for (struct import *i = buckets[n]; i; i = i->next)
            i->is_only = bl_hook_elf_count(i->name) == 1;
    }
}

static void age(void)
{
    for (uint32_t n = 0; n < BUCKETS; n++) {
        for (struct import *i = buckets[n]; i; i = i->next)
            i->is_fresh = false;
    }
    any_fresh = false;
}

void bl_hook_import_update(const struct bl_hook_objects *objects, bool are_relocated)
{
    if (!any_installed) /* what is there now is looked through for the first one when it comes */
        return;
    count_definitions();
    for (uint32_t i = 0; i < objects->count; i++) {
        const struct bl_hook_object *o = &objects->list[i];
        struct pass p = {
            .object = o, .is_relocated = are_relocated || !o->is_new, .fresh_only = !o->is_new};
        if (o->is_new || any_fresh)
            look_through(&p);
    }
    age();
}
