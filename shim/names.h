/*
 * The name pool: texts that records refer to by offset. Append-only, not deduplicated: callers name
 * a thing once. Threads: any, BL_RANK_NAMES inside. Needs the guard. Errors: 0 (no name), counted.
 */
#ifndef BL_NAMES_H
#define BL_NAMES_H

#include "compiler.h"

uint32_t bl_names_add(const char *text, size_t length);
uint32_t bl_names_add_str(const char *text);

/* It lives as long as the ledger. NULL: 0 names nothing. Signal context: safe. */
const char *bl_names_text(uint32_t name);
bool bl_names_equal(uint32_t name, const char *text);

void bl_names_lock(void);
void bl_names_unlock(void);
void bl_names_reset_lock(void);

#endif
