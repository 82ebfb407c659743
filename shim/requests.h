/*
 * Functions whose return completes a request: those that profiles name, and the one that the user
 * names with per=. They are hooked like the functions of a class, and their returns counted
 * (boundaries.h).
 *
 * Owns: what it has hooked, in the arena, for good. Threads: as profile_hooks.h. Signal context:
 * counting. Errors: told in the ledger's hooks.
 */
#ifndef BL_REQUESTS_H
#define BL_REQUESTS_H

#include "hook_elf.h"
#include "profile.h"

/* per: the function that the user names, as long as the process lives; NULL: none. */
void bl_requests_init(const char *per, size_t length);
bool bl_requests_wanted(void);
/* Looks for a profile's function in the objects that are new. no_hooks_why: NULL, or why there are
 * no entry hooks. */
void bl_requests_take(const struct bl_profile_request *request,
                      const struct bl_hook_objects *objects, const char *no_hooks_why);
/* The same for the user's. */
void bl_requests_take_asked(const struct bl_hook_objects *objects, const char *no_hooks_why);

/* In a forked child. */
void bl_requests_after_fork(void);

#endif
