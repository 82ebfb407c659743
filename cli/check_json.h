/* What the renderers of JSON documents share. */
#ifndef BL_CHECK_JSON_H
#define BL_CHECK_JSON_H

#include "error.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

json_t *bl_check_json_number(uint64_t value);
json_t *bl_check_json_text(const char *text); /* NULL is null */
json_t *bl_check_json_line(int line);         /* 0 is null */

/* Writes and gives up `root`, which may be NULL for want of memory. */
int bl_check_json_write(FILE *out, json_t *root, struct bl_error *error);

#endif
