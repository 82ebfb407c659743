/*
 * Suppressions that a program brings with it, as LeakSanitizer's users write them:
 *
 *   const char *__lsan_default_suppressions(void) { return "leak:known\n"; }
 *
 * LeakSanitizer calls the function. Here nothing of the program is run: the literal that it returns
 * is read out of the file, which also works for one that is not exported. One that does more than
 * return a literal is told and not read.
 */
#ifndef BL_DEFAULTS_H
#define BL_DEFAULTS_H

#include "error.h"

#include <stddef.h>

#define BL_DEFAULTS_FUNCTION "__lsan_default_suppressions"
#define BL_DEFAULTS_MAX      (1u << 20) /* bytes of such a text */

/* 1 and the text (the caller's to free), 0 when the program has none, or is no program that can be
 * read, -1 with what is wrong. */
int bl_defaults_read(const char *path, char **ret_text, struct bl_error *error);

#endif
