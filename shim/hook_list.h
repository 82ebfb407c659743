/*
 * The ledger's list of classes and hooks, where it grows while the program runs: when a library
 * arrives (under the loader's lock) or a Java class loads (under none).
 *
 * Owns: a copy of what was listed, in the arena, for good; so callers add a thing once. Threads:
 * any, BL_RANK_HOOKS inside. Needs the guard. Errors: -errno, or nothing is listed.
 */
#ifndef BL_HOOK_LIST_H
#define BL_HOOK_LIST_H

#include "compiler.h"
#include "ledger_format.h"

struct bl_hook_note {
    const char *function;
    uint32_t class_number;
    enum bl_hook_method method;
    const char *why; /* NULL: nothing to say */
    const char *module;
    /* of BL_HOOK_LASTING and, with other meanings, BL_HOOK_PROFILE: as in struct bl_hook */
    uint32_t code_start;
    uint32_t code_bytes;
    uint32_t flags;
};

/* Counts it in hooks_refused as well if it is not hooked, in profiles_broken if it is a profile. */
void bl_hook_list_add(const struct bl_hook_note *note);
/* A reference-counted class. Returns its number or -errno. */
int bl_hook_list_add_class(const char *name, const char *own_modules, const char *profile);
/* One of heap blocks that are to be told from the others. */
int bl_hook_list_add_hidden_class(const char *name);
/* One whose buffers are blocks of the heap, in LIVE. */
int bl_hook_list_add_block_class(const char *name, const char *own_modules, const char *profile);
/* BL_CLASS_*, added to those it has. Safe on the event path. */
void bl_hook_list_set_flags(uint8_t class_number, uint32_t flags);
/* Its list of own modules, when more are known. Keeps a copy for good: for the few times that
 * happens. */
void bl_hook_list_set_own(uint8_t class_number, const char *own_modules);
/* All of it again, in a child whose ledger starts empty. Single-threaded. */
void bl_hook_list_repeat(void);

void bl_hook_list_lock(void);
void bl_hook_list_unlock(void);
void bl_hook_list_reset_lock(void);

#endif
