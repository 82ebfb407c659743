#include "real.h"
#include "ledger.h"
#include "names.h"
#include "sigsafe.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#define BOOT_REGIONS      64u
#define BOOT_REGION_BYTES (1u << 20)

struct boot_header {
    size_t size;
    size_t padding; /* keeps blocks 16-byte aligned */
};

struct bl_real bl_real;
bool bl_real_known;
uintptr_t bl_boot_low;
uintptr_t bl_boot_high;

static uint32_t resolving;
static bool has_other_malloc;
static struct {
    uintptr_t start;
    uintptr_t end;
} boot_regions[BOOT_REGIONS];
static uint32_t boot_region_count;
static uintptr_t boot_at;
static uintptr_t boot_end;

/* The program, or a library that is preloaded before this one, has a malloc that comes first: every
 * call goes there. An address that a program keeps of a malloc it only uses is none. */
static bool finds_other_malloc(void)
{
    struct dl_find_object own;
    struct dl_find_object other;
    const ElfW(Sym) *symbol = NULL;
    Dl_info info;
    void *first = dlsym(RTLD_DEFAULT, "malloc");
    return first && _dl_find_object((void *)&bl_real, &own) == 0 &&
           _dl_find_object(first, &other) == 0 && own.dlfo_link_map != other.dlfo_link_map &&
           dladdr1(first, &info, (void **)&symbol, RTLD_DL_SYMENT) && symbol &&
           symbol->st_shndx != SHN_UNDEF;
}

bool bl_real_resolve(void)
{
    if (__atomic_exchange_n(&resolving, 1, __ATOMIC_ACQ_REL))
        return bl_load_acquire(&bl_real_known);
#define X(kind, name, type, params) *(void **)(void *)&bl_real.name = dlsym(RTLD_NEXT, #name);
#include "hooks.def"
#undef X
    has_other_malloc = finds_other_malloc();
    bl_store_release(&bl_real_known, true);
    return true;
}

void *bl_real_find_late(const char *name)
{
    static const char *const libraries[] = {"libstdc++.so.6", "libc++abi.so.1", "libc++.so.1"};
    void *symbol = dlsym(RTLD_NEXT, name);
    for (size_t i = 0; !symbol && i < BL_ARRAY_LENGTH(libraries); i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        if (library)
            symbol = dlsym(library, name);
    }
    return symbol;
}

static bool boot_grow(size_t bytes)
{
    if (boot_region_count == BOOT_REGIONS)
        return false;
    if (bytes < BOOT_REGION_BYTES)
        bytes = BOOT_REGION_BYTES;
    bytes = (bytes + 4095u) & ~(size_t)4095u;
    void *region = bl_sys_map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!region)
        return false;
    boot_at = (uintptr_t)region;
    boot_end = boot_at + bytes;
    boot_regions[boot_region_count].start = boot_at;
    boot_regions[boot_region_count++].end = boot_end;
    if (!bl_boot_high || boot_at < bl_boot_low)
        bl_boot_low = boot_at;
    if (boot_end > bl_boot_high)
        bl_boot_high = boot_end;
    return true;
}

void *bl_boot_alloc(size_t alignment, size_t size)
{
    if (alignment < 16)
        alignment = 16;
    size_t worst = size + sizeof(struct boot_header) + alignment;
    if (worst < size || (boot_end - boot_at < worst && !boot_grow(worst)))
        return NULL;
    uintptr_t at = (boot_at + sizeof(struct boot_header) + alignment - 1) & ~(alignment - 1);
    struct boot_header *header = (struct boot_header *)at - 1; // NOLINT(performance-no-int-to-ptr)
    header->size = size;
    boot_at = at + size;
    return header + 1;
}

bool bl_boot_owns_exactly(const void *p)
{
    for (uint32_t i = 0; i < boot_region_count; i++) {
        if ((uintptr_t)p >= boot_regions[i].start && (uintptr_t)p < boot_regions[i].end)
            return true;
    }
    return false;
}

size_t bl_boot_size(const void *p)
{
    return ((const struct boot_header *)p - 1)->size;
}

/* A function that is in no library yet is ours as well, should one bring it. */
static void record_hook(const char *function, void *real)
{
    uint64_t n = bl_header->published[BL_SECTION_HOOKS];
    if (bl_ledger_ensure(BL_SECTION_HOOKS, (uint32_t)n + 1) != 0)
        return;
    struct bl_hook *hook = bl_ledger_at(BL_SECTION_HOOKS, (uint32_t)n);
    memset(hook, 0, sizeof *hook);
    hook->function_name = bl_names_add_str(function);
    hook->method = BL_HOOK_SYMBOL;
    struct dl_find_object object; /* dladdr would look for the symbol, from the first to the last */
    if (real && _dl_find_object(real, &object) == 0) {
        const char *path = object.dlfo_link_map->l_name;
        hook->module_name = *path ? bl_names_add_str(path) : bl_header->exe_name;
    }
    if (has_other_malloc && strcmp(function, "malloc") == 0)
        hook->why_name = bl_names_add_str(BL_WHY_OTHER_MALLOC);
    bl_ledger_publish(BL_SECTION_HOOKS, n + 1);
}

void bl_real_record_hooks(void)
{
#define HOOK_HEAP(name) record_hook(#name, *(void **)(void *)&bl_real.name);
#define HOOK_MMAP(name)
#define HOOK_PROC(name)
#define X(kind, name, type, params) HOOK_##kind(name)
#include "hooks.def"
#undef X
}
