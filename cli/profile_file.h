/*
 * Files of profiles, as the command line reads them.
 */
#ifndef BL_PROFILE_FILE_H
#define BL_PROFILE_FILE_H

#include "error.h"

#include <stddef.h>

/* Reads it into out, which has room for BL_PROFILE_FILE_MAX + 1 bytes. */
int bl_profile_file_read(const char *path, char *out, size_t *ret_length, struct bl_error *error);

/* Says what is wrong with the files that BUFLEAK_OPTIONS of this text names, one line each: the
 * program that is started with them is told to be quiet. */
void bl_profile_file_warn(const char *options);

#endif
