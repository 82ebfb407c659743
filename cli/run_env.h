/*
 * The environment `run` gives a program: the shim in LD_PRELOAD before whatever the user has there,
 * the ledger directory, and the options, merged with those of the environment.
 */
#ifndef BL_RUN_ENV_H
#define BL_RUN_ENV_H

#include "error.h"

#include <limits.h>
#include <stdbool.h>

struct bl_run_env {
    char shim[PATH_MAX];
    char directory[PATH_MAX]; /* absolute */
    char options[4096];       /* BUFLEAK_OPTIONS of the program */
};

/* Adds or replaces one option; a later one wins. */
int bl_run_env_set_option(struct bl_run_env *env, const char *key, const char *value,
                          struct bl_error *error);
bool bl_run_env_has_option(const struct bl_run_env *env, const char *key);

/* Finds libbufleak.so: $BUFLEAK_SHIM, else beside this program, as built or as installed. */
int bl_run_env_find_shim(struct bl_run_env *env, struct bl_error *error);

/* Chooses the ledger directory and makes it when it is not there. */
int bl_run_env_find_directory(struct bl_run_env *env, struct bl_error *error);

/* Puts all of it into this process's environment; in the child, before exec. */
int bl_run_env_apply(const struct bl_run_env *env);

#endif
