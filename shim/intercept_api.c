/*
 * The functions of bufleak.h, as programs find them. Façades, compiled with frame pointers:
 * BL_ORIGIN_HERE reads the caller from the frame.
 */
#include "annotate.h"

BL_EXPORT int bufleak_shim_present(void);
BL_EXPORT int bufleak_shim_present(void)
{
    return bl_annotate_is_recorded();
}

BL_EXPORT void bufleak_shim_mark(const char *name);
BL_EXPORT void bufleak_shim_mark(const char *name)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    bl_annotate_mark(name, &o);
}

BL_EXPORT void bufleak_shim_test(const char *name);
BL_EXPORT void bufleak_shim_test(const char *name)
{
    bl_annotate_test(name);
}

BL_EXPORT void bufleak_shim_checkpoint(const char *name, struct bufleak_moment *moment);
BL_EXPORT void bufleak_shim_checkpoint(const char *name, struct bufleak_moment *moment)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    bl_annotate_checkpoint(name, &o, moment);
}

BL_EXPORT ptrdiff_t bufleak_shim_growth(const struct bufleak_moment *since);
BL_EXPORT ptrdiff_t bufleak_shim_growth(const struct bufleak_moment *since)
{
    return bl_annotate_growth(since);
}

BL_EXPORT int bufleak_shim_assert(const struct bufleak_moment *since, size_t allowed);
BL_EXPORT int bufleak_shim_assert(const struct bufleak_moment *since, size_t allowed)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    return bl_annotate_assert(since, allowed, &o);
}

BL_EXPORT void bufleak_shim_ignore(uintptr_t buffer);
BL_EXPORT void bufleak_shim_ignore(uintptr_t buffer)
{
    bl_annotate_ignore(buffer);
}

BL_EXPORT void bufleak_shim_scope(int change);
BL_EXPORT void bufleak_shim_scope(int change)
{
    bl_annotate_scope(change);
}

BL_EXPORT void bufleak_shim_pool_block(uintptr_t block);
BL_EXPORT void bufleak_shim_pool_block(uintptr_t block)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    bl_annotate_block(block, &o);
}

BL_EXPORT void bufleak_shim_pool_drop(uintptr_t block);
BL_EXPORT void bufleak_shim_pool_drop(uintptr_t block)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    bl_annotate_drop(block, &o);
}

BL_EXPORT void bufleak_shim_pool_alloc(const char *pool, uintptr_t block, uintptr_t object,
                                       size_t size);
BL_EXPORT void bufleak_shim_pool_alloc(const char *pool, uintptr_t block, uintptr_t object,
                                       size_t size)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    bl_annotate_alloc(pool, block, object, size, &o);
}

BL_EXPORT void bufleak_shim_pool_retain(const char *pool, uintptr_t object);
BL_EXPORT void bufleak_shim_pool_retain(const char *pool, uintptr_t object)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    bl_annotate_op(BL_ANNOTATE_RETAIN, pool, object, &o);
}

BL_EXPORT void bufleak_shim_pool_release(const char *pool, uintptr_t object);
BL_EXPORT void bufleak_shim_pool_release(const char *pool, uintptr_t object)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    bl_annotate_op(BL_ANNOTATE_RELEASE, pool, object, &o);
}

BL_EXPORT void bufleak_shim_pool_free(const char *pool, uintptr_t object);
BL_EXPORT void bufleak_shim_pool_free(const char *pool, uintptr_t object)
{
    struct bl_origin o = BL_ORIGIN_HERE();
    bl_annotate_op(BL_ANNOTATE_FREE, pool, object, &o);
}
