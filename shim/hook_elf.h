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

/* The end of what can belong to the code at address: the next function that the unwind table
 * knows, or the end of its segment. False: no object has code there. */
bool bl_hook_elf_limit(uint64_t address, uint64_t *ret_limit);
/* As bl_hook_entry_find. */
uint64_t bl_hook_elf_find(const char *path, const char *name, size_t *ret_size);

#endif
