/*
 * Import slots: the pointers through which a function is called from outside of its library, for
 * functions whose entry cannot be rewritten. Calls inside the library that do not go through its
 * own slots are not seen, nor are calls by an address that was looked up (dlsym) or taken.
 *
 * In an object that is relocated the slot itself is changed; behind RELRO its page is made writable
 * for that. In one that has just been mapped the loader is made to fill it: the slot's relocation
 * becomes one of type IRELATIVE, whose resolver returns our stub. So it makes no difference whether
 * the object binds lazily or at once, and its constructors are seen. Stubs and resolvers stand in
 * the shim's own text: no code is written anywhere.
 *
 * A slot of the global offset table is changed only where all code of the object that refers to it
 * calls through it: elsewhere the function's address could be compared or handed out, and would be
 * another one. A slot that has no value yet is changed only if no other object exports a function
 * of that name.
 *
 * Threads: one at a time, as hook_entry.h; others may be calling through slots that are changed.
 * Signal context: no. Allocates in the arena. Errors: as each says.
 */
#ifndef BL_HOOK_IMPORT_H
#define BL_HOOK_IMPORT_H

#include "hook_elf.h"
#include "hook_entry.h"

/* Hooks the calls of the function of this name at address. The slots change with the next update. A
 * second install with the same spec.context is the same function, in a library that was loaded
 * again. -1: there is no stub left, or no memory. */
int bl_hook_import_install(const char *name, uint64_t address, const struct bl_hook_spec *spec,
                           const char **ret_why);
/* Changes the slots of what was installed since the latest update in all objects, and of everything
 * in those that are new. are_relocated: the new ones are, as at the start. */
void bl_hook_import_update(const struct bl_hook_objects *objects, bool are_relocated);

#endif
