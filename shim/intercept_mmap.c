/*
 * Class mmap: the target's own calls of mmap and friends (those inside libc are not seen). Off
 * unless asked for; then each call is told to regions.h.
 */
/* With it, glibc's headers make mmap another name for mmap64; here both are defined. */
#undef _FILE_OFFSET_BITS

#include "clock.h"
#include "real.h"
#include "regions.h"
#include "sigsafe.h"
#include "track.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/mman.h>

static bool wanted(void)
{
    return bl_track_conf.mmap && !bl_tls.guard && bl_load_relaxed(bl_track_state) != BL_TRACK_OFF;
}

static void mapped(void *p, size_t length, const struct bl_origin *o)
{
    if (p == MAP_FAILED || !wanted() || !bl_track_enter())
        return;
    int saved = errno;
    struct bl_buffer b = {
        .address = (uint64_t)(uintptr_t)p,
        .size_bytes = length,
        .birth_ns = bl_clock_event_ns(),
        .stack = bl_track_stack_entered(o),
        .thread = bl_tls.thread ? bl_tls.thread->number : 0,
        .class_number = BL_CLASS_MMAP,
    };
    bl_regions_add(&b);
    bl_track_leave();
    errno = saved;
}

static void unmapped(void *p, size_t length)
{
    bl_guard_enter();
    bl_regions_remove((uint64_t)(uintptr_t)p, length);
    bl_guard_leave();
}

/* Before the pointers are known: the system call itself. */
static void *map_directly(void *p, size_t length, int prot, int flags, int fd, off_t offset)
{
    long r = bl_sys6(SYS_mmap, (long)(uintptr_t)p, (long)length, prot, flags, fd, offset);
    if (r < 0 && r > -4096) {
        errno = (int)-r;
        return MAP_FAILED;
    }
    return (void *)(uintptr_t)r; // NOLINT(performance-no-int-to-ptr)
}

BL_EXPORT void *mmap(void *p, size_t length, int prot, int flags, int fd, off_t offset)
{
    if (BL_UNLIKELY(!bl_real_known))
        return map_directly(p, length, prot, flags, fd, offset);
    void *result = bl_real.mmap(p, length, prot, flags, fd, offset);
    struct bl_origin o = BL_ORIGIN_HERE();
    mapped(result, length, &o);
    return result;
}

BL_EXPORT void *mmap64(void *p, size_t length, int prot, int flags, int fd, off_t offset)
{
    if (BL_UNLIKELY(!bl_real_known))
        return map_directly(p, length, prot, flags, fd, offset);
    void *result = bl_real.mmap64(p, length, prot, flags, fd, offset);
    struct bl_origin o = BL_ORIGIN_HERE();
    mapped(result, length, &o);
    return result;
}

BL_EXPORT int munmap(void *p, size_t length)
{
    if (BL_UNLIKELY(!bl_real_known)) {
        bl_sys_unmap(p, length);
        return 0;
    }
    /* before the call: the addresses can be mapped again by another thread at once */
    if (wanted() && length > 0 && ((uintptr_t)p & 4095) == 0)
        unmapped(p, length);
    return bl_real.munmap(p, length);
}

BL_EXPORT void *mremap(void *old, size_t old_length, size_t length, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    void *target = flags & MREMAP_FIXED ? va_arg(rest, void *) : NULL;
    va_end(rest);
    if (!bl_real_ready()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *result = bl_real.mremap(old, old_length, length, flags, target);
    struct bl_origin o = BL_ORIGIN_HERE();
    if (result != MAP_FAILED && wanted()) {
        int saved = errno;
        if (result != old || length < old_length)
            unmapped(old, old_length);
        errno = saved;
    }
    mapped(result, length, &o);
    return result;
}
