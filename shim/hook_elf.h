/*
 * Functions in loaded objects: by name, and where their code ends.
 *
 * An object may just have been mapped: neither relocated nor known to the unwinder yet. So this
 * reads its program headers and dynamic section itself and asks the loader only for the list.
 * Names come from .dynsym, through the hash table; then from .symtab of the file, if the file is
 * the one that is loaded.
 *
 * Owns nothing. Threads: any; dl_iterate_phdr takes the loader's lock. Signal context: no.
 * Allocates nothing; maps a file for the time of a search. Errors: false or 0 where there is none.
 */
#ifndef BL_HOOK_ELF_H
#define BL_HOOK_ELF_H

#include "compiler.h"

#define BL_HOOK_NEIGHBOURHOOD 256u

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
/* An exported variable: the one that all objects use, which may be the executable's own copy of a
 * library's. Returns its address, 0 if there is none. */
uint64_t bl_hook_elf_find_variable(const char *name, size_t *ret_size);

#endif
