/*
 * Profile files that the options name: read at the start, and what is wrong with them.
 *
 * A mistake never stops the target: what has one is left out and told, in the ledger's hooks and in
 * one line a file on stderr.
 *
 * Owns: the texts and what was found, in the arena, for good. Threads: in the constructor, before
 * there are others. Signal context: no. Errors: as told.
 */
#ifndef BL_PROFILE_FILES_H
#define BL_PROFILE_FILES_H

#include "compiler.h"

struct bl_profile_text {
    const char *name; /* the path */
    const char *text;
    size_t length;
};

/* Reads the file of that path (length bytes). False: there is nothing in it to apply. */
bool bl_profile_files_read(const char *path, size_t length, struct bl_profile_text *ret_text);
/* There is no room for one more profile. */
void bl_profile_files_refuse(const char *name);
/* Of all that is wrong; 0 = nothing. */
uint64_t bl_profile_files_hash(void);
void bl_profile_files_say(void);

#endif
