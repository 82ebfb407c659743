/* Command lines: what getopt_long could not take, said in one line. */
#ifndef BL_ARGS_H
#define BL_ARGS_H

#include "error.h"

#include <stdbool.h>

#include <getopt.h>

#define BL_ARGS_HELP   1000
#define BL_ARGS_REPORT 1100
#define BL_ARGS_OWN    1200 /* a command's own options */

#define BL_ARGS_SHIM     1400 /* run_options.h */
#define BL_ARGS_SHIM_ON  1430
#define BL_ARGS_SHIM_OFF 1460
#define BL_ARGS_SHIM_END 1490

/* For '?' and ':' from getopt_long with opterr = 0 and a leading ':'. Returns BL_CODE_USAGE. */
int bl_args_refuse(struct bl_error *error, int code, char **argv, const char *command);

/* A value that is not accepted. Returns -1. */
int bl_args_bad_value(struct bl_error *error, const char *option, const char *value,
                      const char *accepted);

/* Does the option that was read last have a value, and is it empty? As of a variable not set. */
bool bl_args_is_empty(void);

#endif
