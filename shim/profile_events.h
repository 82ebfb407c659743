/*
 * What a call of a profiled function means: from the registers at its hook to the operation on a
 * buffer (references.h).
 *
 * Most functions are looked at once, before or after the call. Some are followed from beginning to
 * end, because their effect shows at the end, or because they release what a buffer owns by calls
 * that are seen themselves: these are under way (guard.h) in between, and found to have been left
 * when the stack pointer is back above them, also by longjmp or an exception.
 *
 * Owns nothing: what is watched belongs to profile_hooks.c and is never freed. Threads: any.
 * Signal context: as track.h. Errors: none; losses are counted.
 */
#ifndef BL_PROFILE_EVENTS_H
#define BL_PROFILE_EVENTS_H

#include "hook_entry.h"
#include "profile.h"

/* A kind of a class, told by a value or by a variable's. */
struct bl_watched_kind {
    uint8_t class_number;
    bool is_variable;
    uint8_t width;        /* of the variable, 1 to 8 bytes */
    const void *variable; /* NULL: there is none, and no buffer of this kind */
    uint64_t value;
};

/* A class that is in the ledger. */
struct bl_watched_class {
    uint8_t number;
    struct bl_place field;
    uint32_t kind_count;
    struct bl_watched_kind kinds[BL_PROFILE_KINDS_MAX];
};

struct bl_watched {
    struct bl_profile_function f;
    const struct bl_watched_class *class;
};

/* How the function is to be hooked. watched must live as long as the process. */
struct bl_hook_spec bl_profile_events_spec(struct bl_watched *watched);

#endif
