/*
 * The malloc family and the C++ operators, as the target calls them. Façades: call the next
 * definition, tell track.h.
 *
 * Compiled with frame pointers: BL_ORIGIN_HERE reads the caller's pc, sp and rbp from the frame.
 * operator new of libstdc++ calls malloc, which is recorded there; jemalloc's and tcmalloc's do
 * not. Nothing may be left set across the call, it may throw: what the inner call recorded tells
 * the outer one that there is nothing left to do (bl_tls.recorded).
 */
#include "real.h"
#include "track.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096u

static void *boot_calloc(size_t alignment, size_t count, size_t size)
{
    size_t bytes;
    void *p = NULL;
    if (!__builtin_mul_overflow(count, size, &bytes))
        p = bl_boot_alloc(alignment, bytes);
    if (!p)
        errno = ENOMEM;
    return p;
}

BL_INLINE bool is_boot(const void *p)
{
    return bl_boot_owns(p) && bl_boot_owns_exactly(p);
}

/* A block from before the start moves into the real heap. */
static void *boot_realloc(void *old, size_t size)
{
    size_t known = bl_boot_size(old);
    void *p = bl_real_ready() ? bl_real.malloc(size) : bl_boot_alloc(16, size);
    if (p)
        memcpy(p, old, known < size ? known : size);
    return p;
}

BL_INLINE void *born(void *p, size_t size, struct bl_origin o)
{
    if (BL_LIKELY(p != NULL))
        bl_track_alloc(p, size, BL_CLASS_HEAP, &o);
    return p;
}

BL_EXPORT void *malloc(size_t size)
{
    if (!bl_real_ready())
        return boot_calloc(16, 1, size);
    return born(bl_real.malloc(size), size, BL_ORIGIN_HERE());
}

BL_EXPORT void *calloc(size_t count, size_t size)
{
    if (!bl_real_ready())
        return boot_calloc(16, count, size);
    return born(bl_real.calloc(count, size), count * size, BL_ORIGIN_HERE());
}

BL_EXPORT void free(void *p)
{
    if (!p || is_boot(p) || !bl_real_ready())
        return;
    __builtin_prefetch((const char *)p - 16, 1); /* the allocator's header, while we look p up */
    /* operator delete has ended the record already, and calls us with the same address */
    if (BL_LIKELY(bl_tls.detached != p))
        bl_track_free(p, __builtin_frame_address(0));
    bl_tls.detached = NULL;
    bl_real.free(p);
}

BL_INLINE void *reallocate(void *old, size_t size, struct bl_origin o)
{
    struct bl_track_moved moved;
    bl_track_realloc_begin(old, &moved);
    void *p = bl_real.realloc(old, size);
    bl_track_realloc_end(&moved, p, size, &o);
    return p;
}

BL_EXPORT void *realloc(void *old, size_t size)
{
    if (is_boot(old))
        return born(boot_realloc(old, size), size, BL_ORIGIN_HERE());
    if (!bl_real_ready())
        return boot_calloc(16, 1, size);
    if (!old)
        return born(bl_real.realloc(NULL, size), size, BL_ORIGIN_HERE());
    return reallocate(old, size, BL_ORIGIN_HERE());
}

BL_EXPORT void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (is_boot(old))
        return born(boot_realloc(old, bytes), bytes, BL_ORIGIN_HERE());
    if (!bl_real_ready())
        return boot_calloc(16, 1, bytes);
    if (!old)
        return born(bl_real.realloc(NULL, bytes), bytes, BL_ORIGIN_HERE());
    return reallocate(old, bytes, BL_ORIGIN_HERE());
}

BL_EXPORT int posix_memalign(void **ret_p, size_t alignment, size_t size)
{
    if (!bl_real_ready()) {
        *ret_p = bl_boot_alloc(alignment, size);
        return *ret_p ? 0 : ENOMEM;
    }
    int error = bl_real.posix_memalign(ret_p, alignment, size);
    if (error == 0)
        born(*ret_p, size, BL_ORIGIN_HERE());
    return error;
}

BL_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    if (!bl_real_ready())
        return boot_calloc(alignment, 1, size);
    return born(bl_real.aligned_alloc(alignment, size), size, BL_ORIGIN_HERE());
}

BL_EXPORT void *memalign(size_t alignment, size_t size)
{
    if (!bl_real_ready())
        return boot_calloc(alignment, 1, size);
    if (!bl_real.memalign)
        return born(bl_real.aligned_alloc(alignment, size), size, BL_ORIGIN_HERE());
    return born(bl_real.memalign(alignment, size), size, BL_ORIGIN_HERE());
}

BL_EXPORT void *valloc(size_t size)
{
    if (!bl_real_ready())
        return boot_calloc(PAGE, 1, size);
    return born(bl_real.valloc(size), size, BL_ORIGIN_HERE());
}

BL_EXPORT void *pvalloc(size_t size)
{
    size_t rounded = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (!bl_real_ready())
        return boot_calloc(PAGE, 1, rounded);
    return born(bl_real.pvalloc(size), rounded, BL_ORIGIN_HERE());
}

BL_EXPORT size_t malloc_usable_size(void *p)
{
    if (is_boot(p))
        return bl_boot_size(p);
    return p && bl_real_ready() ? bl_real.malloc_usable_size(p) : 0;
}

/* Ends p's record, then has it freed by the given definition; where the C library has none of that
 * name (cfree is gone, the C23 names are to come) by free. */
#define END(p, name, ...)                                                                          \
    do {                                                                                           \
        if (!(p) || is_boot(p) || !bl_real_ready())                                                \
            return;                                                                                \
        bl_track_free(p, __builtin_frame_address(0));                                              \
        if (bl_real.name)                                                                          \
            bl_real.name(__VA_ARGS__);                                                             \
        else                                                                                       \
            bl_real.free(p);                                                                       \
    } while (0)

BL_EXPORT void cfree(void *p);
BL_EXPORT void cfree(void *p)
{
    END(p, cfree, p);
}

BL_EXPORT void free_sized(void *p, size_t size);
BL_EXPORT void free_sized(void *p, size_t size)
{
    END(p, free_sized, p, size);
}

BL_EXPORT void free_aligned_sized(void *p, size_t alignment, size_t size);
BL_EXPORT void free_aligned_sized(void *p, size_t alignment, size_t size)
{
    END(p, free_aligned_sized, p, alignment, size);
}

/* ---- C++ ---- */

/* The definition of an operator whose library came later; a program that has none has no C++
 * runtime at all and gets the C allocator. */
static void *find_operator(void **slot, const char *name)
{
    bl_guard_enter_internal();
    void *found = bl_real_find_late(name);
    bl_guard_leave_internal();
    __atomic_store_n(slot, found, __ATOMIC_RELEASE);
    return found;
}

#define OPERATOR_READY(name)                                                                       \
    (bl_real_ready() &&                                                                            \
     (BL_LIKELY(bl_real.name != NULL) || find_operator((void **)(void *)&bl_real.name, #name)))

BL_INLINE void *made(void *p, size_t size, struct bl_origin o)
{
    if (!p)
        return NULL;
    if (bl_tls.recorded != p)
        bl_track_alloc(p, size, BL_CLASS_HEAP, &o);
    else if (BL_UNLIKELY(bl_tls.recorded_size != size))
        bl_track_resize(p, size); /* libstdc++ rounds up for an alignment, and 0 to 1 */
    bl_tls.recorded_size = size;
    bl_tls.recorded = p; /* new[] calls new */
    return p;
}

#define NEW(name, params, args, size)                                                              \
    BL_EXPORT void *name params;                                                                   \
    BL_EXPORT void *name params                                                                    \
    {                                                                                              \
        bl_tls.recorded = NULL;                                                                    \
        if (!OPERATOR_READY(name))                                                                 \
            return malloc(size);                                                                   \
        return made(bl_real.name args, size, BL_ORIGIN_HERE());                                    \
    }

#define NEW_ALIGNED(name, params, args, size, alignment)                                           \
    BL_EXPORT void *name params;                                                                   \
    BL_EXPORT void *name params                                                                    \
    {                                                                                              \
        bl_tls.recorded = NULL;                                                                    \
        if (!OPERATOR_READY(name))                                                                 \
            return memalign(alignment, size);                                                      \
        return made(bl_real.name args, size, BL_ORIGIN_HERE());                                    \
    }

#define DELETE(name, params, args)                                                                 \
    BL_EXPORT void name params;                                                                    \
    BL_EXPORT void name params                                                                     \
    {                                                                                              \
        if (!p || is_boot(p))                                                                      \
            return;                                                                                \
        if (!OPERATOR_READY(name)) {                                                               \
            free(p);                                                                               \
            return;                                                                                \
        }                                                                                          \
        bl_track_free(p, __builtin_frame_address(0));                                              \
        bl_tls.detached = p;                                                                       \
        bl_real.name args;                                                                         \
        bl_tls.detached = NULL;                                                                    \
    }

NEW(_Znwm, (size_t size), (size), size)
NEW(_Znam, (size_t size), (size), size)
NEW(_ZnwmRKSt9nothrow_t, (size_t size, const void *n), (size, n), size)
NEW(_ZnamRKSt9nothrow_t, (size_t size, const void *n), (size, n), size)
NEW_ALIGNED(_ZnwmSt11align_val_t, (size_t size, size_t a), (size, a), size, a)
NEW_ALIGNED(_ZnamSt11align_val_t, (size_t size, size_t a), (size, a), size, a)
NEW_ALIGNED(_ZnwmSt11align_val_tRKSt9nothrow_t, (size_t size, size_t a, const void *n),
            (size, a, n), size, a)
NEW_ALIGNED(_ZnamSt11align_val_tRKSt9nothrow_t, (size_t size, size_t a, const void *n),
            (size, a, n), size, a)
DELETE(_ZdlPv, (void *p), (p))
DELETE(_ZdaPv, (void *p), (p))
DELETE(_ZdlPvm, (void *p, size_t size), (p, size))
DELETE(_ZdaPvm, (void *p, size_t size), (p, size))
DELETE(_ZdlPvRKSt9nothrow_t, (void *p, const void *n), (p, n))
DELETE(_ZdaPvRKSt9nothrow_t, (void *p, const void *n), (p, n))
DELETE(_ZdlPvSt11align_val_t, (void *p, size_t a), (p, a))
DELETE(_ZdaPvSt11align_val_t, (void *p, size_t a), (p, a))
DELETE(_ZdlPvmSt11align_val_t, (void *p, size_t size, size_t a), (p, size, a))
DELETE(_ZdaPvmSt11align_val_t, (void *p, size_t size, size_t a), (p, size, a))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t a, const void *n), (p, a, n))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *p, size_t a, const void *n), (p, a, n))
