/*
 * Hooks as people read about them: how a function is watched, and what is therefore not seen.
 */
#ifndef BL_HOOKS_H
#define BL_HOOKS_H

#include "reader.h"

#include <jansson.h>
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
    bool is_profile; /* no function: a profile file, `module`, of which something was left out */
    bool is_wanted;  /* no function: a class, `function`, that the profile file `module` names */
    uint32_t line;   /* of its first mistake; 0: the file as a whole */
    uint32_t column;
    uint32_t mistakes;
};

/* Hooks come in the order of the ledger; then each class whose count field is not used. */
uint32_t bl_hooks_count(const struct bl_reader *reader);
/* False where there is none by this number. */
bool bl_hooks_read(const struct bl_reader *reader, uint32_t number, struct bl_hook_row *row);
/* The program's calls of malloc go to one of its own, which comes before the shim's. */
bool bl_hooks_has_other_malloc(const struct bl_reader *reader);
/* Has a library put functions of its own in the place of malloc's, so that frees were not seen? */
bool bl_hooks_has_replaced_malloc(const struct bl_reader *reader);
/* Of a row that is_wanted: nothing is tracked of it, and this is why: in a sentence of which the
 * class is the subject. NULL: it is tracked. */
const char *bl_hooks_why_missing(const struct bl_reader *reader, const struct bl_hook_row *row,
                                 char *out, size_t size);
/* Of all those, as JSON: an array, empty if all are tracked. NULL: no memory. */
json_t *bl_hooks_make_missing(const struct bl_reader *reader);
/* Of a row that is_profile: what is wrong, in a sentence without the file's name. */
void bl_hooks_say_mistakes(const struct bl_hook_row *row, char *out, size_t size);
/* Of all those rows, as JSON: an array, empty if nothing is wrong. NULL: no memory. */
json_t *bl_hooks_make_mistakes(const struct bl_reader *reader);

#endif
