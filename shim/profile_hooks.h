/*
 * Profiles at work: the functions they name are hooked, and each call becomes an event of
 * references.h.
 *
 * profiles=auto applies a built-in profile when its library is present, now or when it arrives
 * later. A library that is unloaded and loaded again is hooked again.
 *
 * Owns: one context per hooked function, in the arena, for good. Threads: start in the
 * constructor; late libraries under the loader's own serialization. Signal context: no. Errors:
 * told in the ledger's hooks; those of profile files by profile_files.h too.
 */
#ifndef BL_PROFILE_HOOKS_H
#define BL_PROFILE_HOOKS_H

#include "compiler.h"

/* list: as in struct bl_conf. */
void bl_profile_hooks_start(const char *list, size_t length);

#endif
