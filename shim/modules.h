/*
 * Which loaded object an address belongs to, remembered for the ledger also after the object is
 * gone.
 *
 * Owns: a table of the objects that appeared in stacks so far, in step with the ledger's MODULES.
 * An object is registered when one of its addresses is first recorded: its code is on a stack, so
 * it cannot be unloaded meanwhile. Unloading is noticed by bl_modules_check_unloads, which bumps
 * the epoch: from then on every cached meaning of an address is taken anew. Threads: any,
 * BL_RANK_MODULES inside; dl* functions are called outside of it. Needs the guard. Signal context:
 * bl_modules_locate is safe under the guard; check_unloads takes the loader's lock and is not.
 * Errors: module 0 (unknown), counted.
 */
#ifndef BL_MODULES_H
#define BL_MODULES_H

#include "compiler.h"
#include "ledger_format.h"

struct bl_location {
    uint32_t module;
    uint64_t offset; /* ELF virtual address; the address itself for module 0 */
};

extern uint32_t bl_modules_epoch; /* relaxed atomic */
/* code of the dynamic loader: who allocates there may be loading a library */
extern uint64_t bl_modules_loader_start;
extern uint64_t bl_modules_loader_end;

/* Registers the executable and the shim. */
void bl_modules_init(void);
struct bl_location bl_modules_locate(uint64_t address);
/* Has any library been unloaded since the last call? Returns true when the epoch changed. */
bool bl_modules_check_unloads(void);

/* Every cached meaning of an address, and every hash of a stack, is taken anew from here on. */
void bl_modules_renew_epoch(void);

/* A module that is no loaded object: a Java package. Returns its number, 0 when it is dropped. */
uint32_t bl_modules_add_managed(const char *name, size_t length);

/* An object that is known from elsewhere: its ranges, bias and build-id. Returns its number, 0 when
 * it is dropped. */
uint32_t bl_modules_note(const struct bl_module *record, const char *path);

void bl_modules_lock(void);
void bl_modules_unlock(void);
void bl_modules_reset_lock(void);
/* In a child whose ledger starts empty. */
void bl_modules_reset(void);

#endif
