/*
 * Places for generated code near a function, and writing code that is mapped for execution.
 *
 * Pools are anonymous R-X mappings that are never writable: a process that denies itself pages
 * both writable and executable (PR_SET_MDWE, seccomp filters) would otherwise be refused them, or
 * lose its text on the way back to R-X. Code is written through /proc/self/mem, opened for each
 * write, because a descriptor kept over a fork writes to the parent; where it cannot be opened (no
 * /proc, dumpable 0 after setuid) by mprotect to RWX and back.
 *
 * Owns: the pools, never freed. Threads: one at a time (hook_entry.h). Signal context: no.
 * Allocates nothing. Errors: as each says.
 */
#ifndef BL_HOOK_CODE_H
#define BL_HOOK_CODE_H

#include "compiler.h"

/* Room for code from which a 32-bit displacement reaches address and its surroundings; 0 if there
 * is none. 16-byte aligned. */
uint64_t bl_hook_code_reserve(uint64_t address, size_t bytes);
/* Between them the kernel's file of this memory stays open, instead of for each write. Only while
 * no other thread could close it and open another in its place: at the start. */
void bl_hook_code_begin(void);
void bl_hook_code_end(void);
/* Returns 0 or -errno. */
int bl_hook_code_write(uint64_t at, const void *code, size_t length);

#endif
