/*
 * The options of the shim as flags of the commands that start programs: `--depth 64` is depth=64 in
 * BUFLEAK_OPTIONS. Values are checked here, so that a mistake is the command's and not a line on
 * the program's stderr.
 */
#ifndef BL_RUN_OPTIONS_H
#define BL_RUN_OPTIONS_H

#include "args.h"
#include "error.h"
#include "run_env.h"

#define BL_RUN_OPTIONS_PER (BL_ARGS_SHIM + 7) /* `per` of BUFLEAK_OPTIONS, without an entry */

/* getopt_long entries; their codes are from BL_ARGS_SHIM on and below BL_ARGS_SHIM_END. */
#define BL_RUN_LONG_OPTIONS                                                                        \
    {"depth", required_argument, NULL, BL_ARGS_SHIM},                                              \
        {"signal", required_argument, NULL, BL_ARGS_SHIM + 1},                                     \
        {"sample", required_argument, NULL, BL_ARGS_SHIM + 2},                                     \
        {"interval", required_argument, NULL, BL_ARGS_SHIM + 3},                                   \
        {"profiles", required_argument, NULL, BL_ARGS_SHIM + 4},                                   \
        {"limit", required_argument, NULL, BL_ARGS_SHIM + 5},                                      \
        {"limit-action", required_argument, NULL, BL_ARGS_SHIM + 6},                               \
        {"follow", optional_argument, NULL, BL_ARGS_SHIM_ON},                                      \
        {"at-exit", optional_argument, NULL, BL_ARGS_SHIM_ON + 1},                                 \
        {"quiet", optional_argument, NULL, BL_ARGS_SHIM_ON + 2},                                   \
        {"mmap", optional_argument, NULL, BL_ARGS_SHIM_ON + 3},                                    \
        {"no-follow", no_argument, NULL, BL_ARGS_SHIM_OFF},                                        \
        {"no-at-exit", no_argument, NULL, BL_ARGS_SHIM_OFF + 1},                                   \
        {"no-quiet", no_argument, NULL, BL_ARGS_SHIM_OFF + 2},                                     \
    {                                                                                              \
        "no-mmap", no_argument, NULL, BL_ARGS_SHIM_OFF + 3                                         \
    }

/* Takes one option of the table above; a switch may have its value as the next argument. Returns 0,
 * or BL_CODE_USAGE with a message. */
int bl_run_options_take(struct bl_run_env *env, int code, int argc, char **argv,
                        struct bl_error *error);

/* Begins with what BUFLEAK_OPTIONS of the environment says. */
void bl_run_options_inherit(struct bl_run_env *env);

#endif
