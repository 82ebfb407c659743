/*
 * The malloc family and the C++ operators, as the target calls them. Façades: call the next
 * definition, tell track.h.
 *
 * Compiled with frame pointers: BL_ORIGIN_HERE reads the caller's pc, sp and rbp from the frame.
 * operator new of libstdc++ calls malloc, which is recorded there; jemalloc's and tcmalloc's do
 * not. Nothing may be left set across the call, it may throw: what the inner call recorded tells
 * the outer one that there is nothing left to do (bl_tls.recorded).
 */
#include "limit.h"
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

/* What is asked for, and what is recorded of it. An operator new rounds up what it asks for here:
 * then it is what the program asked it for, see want(). */
struct request {
    size_t size;
    uint64_t taken; /* of the limit */
    struct bl_origin o;
};

#define WANT_FRAMES 1024u /* bytes of stack between an operator and us */

BL_COLD static bool admit_limited(struct request *r)
{
    uint64_t distance = (uint64_t)(uintptr_t)bl_tls.wanted_frame - r->o.sp;
    if (bl_tls.wanted_frame && distance < WANT_FRAMES && bl_tls.wanted_size < r->size)
        r->size = bl_tls.wanted_size;
    bl_tls.wanted_frame = NULL;
    if (bl_track_admit(r->size, &r->o, &r->taken))
        return true;
    errno = ENOMEM;
    return false;
}

/* False: it must fail, and errno says so. */
BL_INLINE bool admit(struct request *r)
{
    return BL_LIKELY(!bl_limit_on) || admit_limited(r);
}

BL_INLINE void *born(void *p, const struct request *r)
{
    bool recorded = BL_LIKELY(p != NULL) && bl_track_alloc(p, r->size, BL_CLASS_HEAP, &r->o);
    if (BL_UNLIKELY(bl_limit_on))
        bl_limit_settle(r->taken, recorded ? bl_limit_weight(r->size) : 0);
    return p;
}

#define REQUEST(bytes)                                                                             \
    {                                                                                              \
        .size = (bytes), .o = BL_ORIGIN_HERE()                                                     \
    }

BL_EXPORT void *malloc(size_t size)
{
    struct request r = REQUEST(size);
    if (!bl_real_ready())
        return boot_calloc(16, 1, size);
    return admit(&r) ? born(bl_real.malloc(size), &r) : NULL;
}

BL_EXPORT void *calloc(size_t count, size_t size)
{
    struct request r = REQUEST(count * size);
    if (!bl_real_ready())
        return boot_calloc(16, count, size);
    if (size && count > SIZE_MAX / size)
        return bl_real.calloc(count, size); /* which refuses it */
    return admit(&r) ? born(bl_real.calloc(count, size), &r) : NULL;
}

BL_EXPORT void free(void *p)
{
    if (!p || is_boot(p) || !bl_real_ready())
        return;
    __builtin_prefetch((const char *)p - 16, 1); /* the allocator's header, while we look p up */
    if (BL_LIKELY(bl_tls.detached != p)) {
        bl_track_free(p, __builtin_frame_address(0));
        bl_tls.sought = NULL;
    } else {
        bl_tls.detached = NULL; /* the allocator may hand the address out again */
    }
    bl_real.free(p);
}

/*
 * The ends other than free. A definition may have others of ours do its work: libstdc++'s sized and
 * array forms of delete call plain delete, and that calls free. The outermost ends the record, for
 * when the innermost is through the address may be another thread's block; of what it has ended
 * (detached) the others have nothing to say.
 *
 * A block that it does not find may be known to one of them by another address: a program's own
 * delete may free a block that begins before the object. So an unknown block (sought) is a loss
 * only if nothing else was ended inside.
 */
struct ending {
    void *outer; /* what the caller had detached: it may be in the middle of its own end */
    bool is_told;
};

BL_INLINE struct ending begin_end(void *p, const void *frame)
{
    struct ending e = {.outer = bl_tls.detached, .is_told = bl_tls.detached == p};
    if (!e.is_told) {
        bl_tls.sought = bl_track_end(p, frame) ? NULL : p;
        bl_tls.detached = p;
    }
    return e;
}

BL_INLINE void finish_end(void *p, struct ending e)
{
    if (e.is_told)
        return;
    if (BL_UNLIKELY(bl_tls.sought == p))
        bl_track_end_unknown();
    bl_tls.sought = NULL;
    bl_tls.detached = e.outer;
}

BL_INLINE void *reallocate(void *old, size_t size, struct bl_origin o)
{
    struct bl_track_moved moved;
    void *p = NULL;
    bl_track_realloc_begin(old, size, &moved);
    bool admitted = BL_LIKELY(!bl_limit_on) || bl_track_admit_moved(&moved, size, &o);
    if (admitted)
        p = bl_real.realloc(old, size);
    bl_track_realloc_end(&moved, p, size, &o);
    if (!admitted)
        errno = ENOMEM;
    return p;
}

BL_INLINE void *realloc_of_any(void *old, struct request *r)
{
    if (is_boot(old))
        return admit(r) ? born(boot_realloc(old, r->size), r) : NULL;
    if (!bl_real_ready())
        return boot_calloc(16, 1, r->size);
    if (!old)
        return admit(r) ? born(bl_real.realloc(NULL, r->size), r) : NULL;
    return reallocate(old, r->size, r->o);
}

BL_EXPORT void *realloc(void *old, size_t size)
{
    struct request r = REQUEST(size);
    return realloc_of_any(old, &r);
}

BL_EXPORT void *reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    struct request r = REQUEST(bytes);
    return realloc_of_any(old, &r);
}

static bool is_alignment(size_t alignment)
{
    return alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0;
}

BL_EXPORT int posix_memalign(void **ret_p, size_t alignment, size_t size)
{
    if (!bl_real_ready()) {
        *ret_p = bl_boot_alloc(alignment, size);
        return *ret_p ? 0 : ENOMEM;
    }
    struct request r = REQUEST(size);
    int saved = errno;
    if (!is_alignment(alignment))
        return bl_real.posix_memalign(ret_p, alignment, size); /* which refuses it */
    if (!admit(&r)) {
        errno = saved;
        return ENOMEM;
    }
    int error = bl_real.posix_memalign(ret_p, alignment, size);
    born(error == 0 ? *ret_p : NULL, &r);
    return error;
}

BL_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    if (!bl_real_ready())
        return boot_calloc(alignment, 1, size);
    struct request r = REQUEST(size);
    return admit(&r) ? born(bl_real.aligned_alloc(alignment, size), &r) : NULL;
}

BL_EXPORT void *memalign(size_t alignment, size_t size)
{
    if (!bl_real_ready())
        return boot_calloc(alignment, 1, size);
    struct request r = REQUEST(size);
    if (!admit(&r))
        return NULL;
    if (!bl_real.memalign)
        return born(bl_real.aligned_alloc(alignment, size), &r);
    return born(bl_real.memalign(alignment, size), &r);
}

BL_EXPORT void *valloc(size_t size)
{
    if (!bl_real_ready())
        return boot_calloc(PAGE, 1, size);
    struct request r = REQUEST(size);
    return admit(&r) ? born(bl_real.valloc(size), &r) : NULL;
}

BL_EXPORT void *pvalloc(size_t size)
{
    size_t rounded = (size + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (!bl_real_ready())
        return boot_calloc(PAGE, 1, rounded);
    struct request r = REQUEST(rounded);
    return admit(&r) ? born(bl_real.pvalloc(size), &r) : NULL;
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
        struct ending e = begin_end(p, __builtin_frame_address(0));                                \
        if (bl_real.name)                                                                          \
            bl_real.name(__VA_ARGS__);                                                             \
        else                                                                                       \
            bl_real.free(p);                                                                       \
        finish_end(p, e);                                                                          \
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

/* Does this operator take its memory by our malloc? That is seen at its first block. */
enum source { SOURCE_UNKNOWN, SOURCE_MALLOC, SOURCE_OWN };

struct making {
    struct request r;
    enum source *source;
};

BL_COLD static void note_source(const struct making *m, bool by_malloc)
{
    bl_tls.wanted_frame = NULL;
    if (!bl_tls.guard && bl_load_relaxed(bl_track_state) == BL_TRACK_ON)
        __atomic_store_n(m->source, by_malloc ? SOURCE_MALLOC : SOURCE_OWN, __ATOMIC_RELAXED);
}

#define HEADER_MAX 256u /* bytes that a program's own operator new asks for beside the object */

/* Is p inside the block that was recorded last, which was made for it alone? So it is where a
 * program's own operator new puts something before the object, and new[] is not its own. */
BL_COLD static bool is_inside_recorded(const void *p, size_t size)
{
    uint64_t before = (uint64_t)(uintptr_t)p - (uint64_t)(uintptr_t)bl_tls.recorded;
    return bl_tls.recorded && before <= HEADER_MAX && bl_tls.recorded_size >= before + size &&
           bl_tls.recorded_size - size <= HEADER_MAX;
}

BL_INLINE void *made(void *p, const struct making *m)
{
    const struct request *r = &m->r;
    size_t size = r->size;
    if (!p) {
        if (BL_UNLIKELY(bl_limit_on))
            bl_limit_settle(r->taken, 0);
        return NULL;
    }
    bool by_malloc = bl_tls.recorded == p;
    bool is_inside = !by_malloc && is_inside_recorded(p, size);
    if (BL_UNLIKELY(bl_limit_on))
        note_source(m, by_malloc || is_inside);
    if (BL_UNLIKELY(is_inside))
        return p;
    if (!by_malloc)
        born(p, r);
    else if (BL_UNLIKELY(bl_tls.recorded_size != size))
        bl_track_resize(p, size); /* libstdc++ rounds up for an alignment, and 0 to 1 */
    bl_tls.recorded_size = size;
    bl_tls.recorded = p; /* new[] calls new */
    return p;
}

/* As an operator does that finds no memory: asks the new-handler, which may free some, until there
 * is none to ask. */
BL_COLD static bool admit_with_handler(struct request *r)
{
    void (*(*get_handler)(void))(void);
    *(void **)(void *)&get_handler = bl_real_find_late("_ZSt15get_new_handlerv");
    while (!bl_track_admit(r->size, &r->o, &r->taken)) {
        void (*handler)(void) = get_handler ? get_handler() : NULL;
        if (!handler)
            return false;
        handler();
    }
    return true;
}

/* With a limit. Returns the size to ask the operator for: as it is, or so much that it fails in its
 * own way. What its own call of malloc is to count is left for that to find. */
BL_COLD static size_t want_limited(struct making *m, const void *frame)
{
    if (__atomic_load_n(m->source, __ATOMIC_RELAXED) == SOURCE_OWN)
        return admit_with_handler(&m->r) ? m->r.size : (size_t)PTRDIFF_MAX;
    bl_tls.wanted_frame = frame;
    bl_tls.wanted_size = m->r.size;
    return m->r.size;
}

BL_INLINE size_t want(struct making *m, const void *frame)
{
    return BL_LIKELY(!bl_limit_on) ? m->r.size : want_limited(m, frame);
}

#define NEW_BY(name, otherwise, args, size)                                                        \
    static enum source source;                                                                     \
    struct making m = {.r = REQUEST(size), .source = &source};                                     \
    bl_tls.recorded = NULL;                                                                        \
    if (!OPERATOR_READY(name))                                                                     \
        return otherwise;                                                                          \
    size = want(&m, __builtin_frame_address(0));                                                   \
    return made(bl_real.name args, &m);

#define NEW(name, params, args, size)                                                              \
    BL_EXPORT void *name params;                                                                   \
    BL_EXPORT void *name params                                                                    \
    {                                                                                              \
        NEW_BY(name, malloc(size), args, size)                                                     \
    }

#define NEW_ALIGNED(name, params, args, size, alignment)                                           \
    BL_EXPORT void *name params;                                                                   \
    BL_EXPORT void *name params                                                                    \
    {                                                                                              \
        NEW_BY(name, memalign(alignment, size), args, size)                                        \
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
        struct ending e = begin_end(p, __builtin_frame_address(0));                                \
        bl_real.name args;                                                                         \
        finish_end(p, e);                                                                          \
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
