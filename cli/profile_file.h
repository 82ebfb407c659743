/*
 * Files of profiles, as the command line reads them.
 */
#ifndef BL_PROFILE_FILE_H
#define BL_PROFILE_FILE_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

/* Reads it into out, which has room for BL_PROFILE_FILE_MAX + 1 bytes. */
int bl_profile_file_read(const char *path, char *out, size_t *ret_length, struct bl_error *error);

/* In a text that was parsed without an error: tells of each function that stands in two classes
 * which can be of the same library, at the second place. Returns how many do. Not for two threads
 * at once. */
typedef void bl_profile_shared_fn(void *context, unsigned line, unsigned column, const char *what);
unsigned bl_profile_shared(const char *text, size_t length, bl_profile_shared_fn *on_shared,
                           void *context);

/* In the text of BUFLEAK_OPTIONS, of `size` bytes, makes the paths of profiles absolute, so that
 * they are the same files to processes which change their directory. Leaves it alone where that is
 * not possible: without room, and in a directory whose name has a colon or a comma. */
void bl_profile_file_make_absolute(char *options, size_t size);

/* Of a name in a list of profiles: neither a built-in one's nor a word of its own. */
bool bl_profile_file_is_one(const char *name);

/* Says what is wrong with the files that BUFLEAK_OPTIONS of this text names, one line each: the
 * program that is started with them is told to be quiet. */
void bl_profile_file_warn(const char *options);

/* Fails with "FILE:LINE:COLUMN: what is wrong" of the first mistake in those files, or with why one
 * cannot be read. Not for two threads at once. */
int bl_profile_file_check(const char *options, struct bl_error *error);

#endif
