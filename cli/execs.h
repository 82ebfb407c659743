/*
 * Programs that a process started, or became, and that the library could not follow: in words.
 *
 * The process notes them in its ledger as it starts them, so they are known however soon they end.
 * Nothing here allocates but the JSON.
 */
#ifndef BL_EXECS_H
#define BL_EXECS_H

#include "ledger_format.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct bl_exec_row {
    char comm[64];   /* printable */
    char path[336];  /* printable: of the program file, or of its end */
    const char *why; /* "is a static program: …"; lives for ever */
    uint32_t pid;    /* of the first, in the process's own name space */
    uint32_t count;
};

/* Number `index` of a ledger's; false: there is none, or this version does not know its reason. */
bool bl_execs_read(const struct bl_header *header, uint32_t index, struct bl_exec_row *ret_row);
/* The same of one that was taken out of its ledger. */
bool bl_execs_describe(const struct bl_exec *exec, struct bl_exec_row *ret_row);

/* [{"comm", "path", "why", "pid", "count"}]; NULL without memory. */
json_t *bl_execs_make_json(const struct bl_header *header);

#endif
