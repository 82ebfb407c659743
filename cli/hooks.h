/*
 * Hooks as people read about them: how a function is watched, and what is therefore not seen.
 */
#ifndef BL_HOOKS_H
#define BL_HOOKS_H

#include "reader.h"

#include <stdbool.h>
#include <stdint.h>

struct bl_hook_row {
    char function[256];
    char module[1024];  /* "": the executable, or unknown */
    char why[512];      /* why it is not hooked, or not better; "" */
    const char *method; /* "entry" */
    const char *unseen; /* what is not seen of its calls; "": nothing */
    uint32_t class_number;
    bool is_none;
    bool is_import;
    bool is_lasting; /* no hook: what is made inside the function stays */
};

/* Hooks come in the order of the ledger; then each class whose count field is not used. */
uint32_t bl_hooks_count(const struct bl_reader *reader);
/* False where there is none by this number. */
bool bl_hooks_read(const struct bl_reader *reader, uint32_t number, struct bl_hook_row *row);

#endif
