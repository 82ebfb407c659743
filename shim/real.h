/*
 * The next definitions of everything the shim exports, and memory for the time before they are
 * known.
 *
 * RTLD_NEXT, never __libc_malloc: in a process with jemalloc the pair malloc/free must stay one
 * allocator's. dlsym itself allocates (its error text): such a call, and any other before the
 * pointers are there, is served from boot memory, in any number and size, which is never returned.
 * Threads: resolution happens on the first call, before threads. Signal context: no.
 */
#ifndef BL_REAL_H
#define BL_REAL_H

#include "compiler.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/types.h>

struct bl_real {
#define X(kind, name, type, params) type(*name) params;
#include "hooks.def"
#undef X
};

extern struct bl_real bl_real;
extern bool bl_real_known; /* all pointers are final (some may be NULL: not in this process) */

/* Resolves. Returns false when called from inside itself: use boot memory. */
bool bl_real_resolve(void);
BL_INLINE bool bl_real_ready(void)
{
    return BL_LIKELY(bl_real_known) || bl_real_resolve();
}

/* Finds a C++ operator that was not there at the start: its library was loaded later, perhaps
 * locally. NULL: nowhere. */
void *bl_real_find_late(const char *name);

extern uintptr_t bl_boot_low;
extern uintptr_t bl_boot_high;
/* Zeroed. alignment: a power of two. NULL: no memory. */
void *bl_boot_alloc(size_t alignment, size_t size);
BL_INLINE bool bl_boot_owns(const void *p)
{
    return BL_UNLIKELY((uintptr_t)p - bl_boot_low < bl_boot_high - bl_boot_low);
}
/* Also true for addresses between boot regions: ask again with this where it matters. */
bool bl_boot_owns_exactly(const void *p);
size_t bl_boot_size(const void *p);

/* Tells the ledger how each function is intercepted. */
void bl_real_record_hooks(void);

#endif
