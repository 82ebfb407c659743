/*
 * Functions in loaded objects: by name, and where their code ends.
 *
 * An object may just have been mapped: neither relocated nor known to the unwinder yet. So this
 * reads its program headers and dynamic section itself and asks the loader only for the list.
 * Names come from .dynsym, through the hash table; then from .symtab of the file, if the file is
 * the one that is loaded.
 *
 * Owns the two lists of struct bl_hook_objects. Threads: any; dl_iterate_phdr takes the loader's
 * lock. Signal context: no. Maps a file for the time of a search. Errors: false or 0 where there is
 * none.
 */
#ifndef BL_HOOK_ELF_H
#define BL_HOOK_ELF_H

#include "compiler.h"

#include <link.h>

#define BL_HOOK_NEIGHBOURHOOD 256u
#define BL_HOOK_OBJECTS_MAX   4096u

struct bl_hook_object {
    uint64_t bias;
    const char *name; /* the loader's; "" is the executable's */
    const ElfW(Phdr) * headers;
    unsigned header_count;
    bool is_new; /* it was not there at the look before */
};

/* What was loaded at the latest look. Zero at first. The names are good as long as the objects are.
 */
struct bl_hook_objects {
    struct bl_hook_object *list;
    uint32_t count;
    struct bl_hook_object *spare;
};

/* Looks again. False: nothing has come. An object that was unloaded and has come back is new if
 * there was a look in between. */
bool bl_hook_elf_look(struct bl_hook_objects *objects);

/* What an object's dynamic section says, as far as it is used here. */
struct bl_hook_dynamic {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *hash;
    const uint16_t *versions;
    const ElfW(Rela) * relocations;
    uint64_t relocation_bytes;
    const ElfW(Rela) * jumps; /* relocations of the procedure linkage table */
    uint64_t jump_bytes;
};

/* False: it has none. */
bool bl_hook_elf_dynamic(const struct bl_hook_object *object, struct bl_hook_dynamic *ret_dynamic);

/* Where code is that may belong to the function at an address, and the code around it. */
struct bl_hook_extent {
    uint64_t before; /* start of a function in the neighbourhood before; address if there is none */
    uint64_t limit;  /* start of the function behind, or the end of the segment */
    uint64_t behind; /* end of the neighbourhood behind limit */
};

/* By the unwind table. False: no object has code at address. */
bool bl_hook_elf_extent(uint64_t address, struct bl_hook_extent *ret_extent);
/* As bl_hook_entry_find. */
uint64_t bl_hook_elf_find(const char *path, const char *name, size_t *ret_size);
/* How many objects export a function of this name. */
unsigned bl_hook_elf_count(const char *name);
/* An exported variable: the one that all objects use, which may be the executable's own copy of a
 * library's. Returns its address, 0 if there is none. */
uint64_t bl_hook_elf_find_variable(const char *name, size_t *ret_size);

#endif
