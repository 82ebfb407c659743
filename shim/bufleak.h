/*
 * bufleak.h: what a program can tell bufleak, and ask of it.
 *
 * Everything here does nothing, and costs a test of one word, unless the program runs under
 * bufleak (LD_PRELOAD=libbufleak.so, or bufleak run). There is nothing to link: the functions are
 * weak symbols that the preloaded library brings, found wherever they are used, in the program, in
 * its libraries, in plugins that are loaded later. C99 and C++98, gcc and clang.
 * -DBUFLEAK_DISABLE compiles all of it away.
 *
 * None of them fails, aborts, prints to stdout, changes errno or allocates memory of the program.
 * They may be called from any thread, in forked children, and from signal handlers. What cannot be
 * done (a signal arrived inside the library itself; it has not begun yet; its tables are full) is
 * counted in the report, as a loss, and left. Where nothing is recorded, questions are answered as
 * if nothing had been found.
 */
#ifndef BUFLEAK_H
#define BUFLEAK_H

#include <stddef.h>

/* Warnings about its style are not the program's to answer. */
#pragma GCC system_header

#ifdef __cplusplus
extern "C" {
#endif

/* How a function of the library is found. Not by the address of a weak function: in a program that
 * is not position-independent the linker makes that 0 for good. A load from the global offset table
 * is left to the dynamic linker everywhere. */
#if defined(BUFLEAK_DISABLE)
#define BUFLEAK_FIND_(function, name) ((function) = NULL)
#elif defined(__x86_64__)
#define BUFLEAK_FIND_(function, name)                                                              \
    __asm__(".weak " #name "\n\tmovq " #name "@GOTPCREL(%%rip), %0" : "=r"(function))
#else
#define BUFLEAK_FIND_(function, name) ((function) = (name))
#endif

/* Always: so the stack begins with the function that calls it. */
#define BUFLEAK_INLINE_ static __inline__ __attribute__((__always_inline__, __unused__))

/* Buffers are named by their addresses, and not looked into. */
#define BUFLEAK_ADDRESS_ __UINTPTR_TYPE__
#if defined(__clang__) || __GNUC__ < 11
#define BUFLEAK_UNTOUCHED_(n)
#else
#define BUFLEAK_UNTOUCHED_(n) __attribute__((__access__(__none__, n)))
#endif

#define BUFLEAK_NAME_BYTES_ 48 /* with the NUL; longer names are cut */

/* A moment, as bufleak_checkpoint made it. A value: it needs no end. */
struct bufleak_moment {
    unsigned long long serial; /* of its mark; 0: none was made */
    unsigned long long live_bytes;
    char name[BUFLEAK_NAME_BYTES_];
};

#if !defined(BUFLEAK_DISABLE) && !defined(__x86_64__)
#define BUFLEAK_WEAK_ __attribute__((weak))
extern BUFLEAK_WEAK_ int bufleak_shim_present(void);
extern BUFLEAK_WEAK_ void bufleak_shim_mark(const char *name);
extern BUFLEAK_WEAK_ void bufleak_shim_test(const char *name);
extern BUFLEAK_WEAK_ void bufleak_shim_checkpoint(const char *name, struct bufleak_moment *moment);
extern BUFLEAK_WEAK_ ptrdiff_t bufleak_shim_growth(const struct bufleak_moment *since);
extern BUFLEAK_WEAK_ int bufleak_shim_assert(const struct bufleak_moment *since, size_t allowed);
extern BUFLEAK_WEAK_ void bufleak_shim_ignore(BUFLEAK_ADDRESS_ buffer);
extern BUFLEAK_WEAK_ void bufleak_shim_scope(int change);
extern BUFLEAK_WEAK_ void bufleak_shim_pool_block(BUFLEAK_ADDRESS_ block);
extern BUFLEAK_WEAK_ void bufleak_shim_pool_drop(BUFLEAK_ADDRESS_ block);
extern BUFLEAK_WEAK_ void bufleak_shim_pool_alloc(const char *pool, BUFLEAK_ADDRESS_ block,
                                                  BUFLEAK_ADDRESS_ object, size_t size);
extern BUFLEAK_WEAK_ void bufleak_shim_pool_retain(const char *pool, BUFLEAK_ADDRESS_ object);
extern BUFLEAK_WEAK_ void bufleak_shim_pool_release(const char *pool, BUFLEAK_ADDRESS_ object);
extern BUFLEAK_WEAK_ void bufleak_shim_pool_free(const char *pool, BUFLEAK_ADDRESS_ object);
#endif

/* Is this process being recorded? */
BUFLEAK_INLINE_ int bufleak_present(void)
{
    int (*present)(void) = NULL;
    BUFLEAK_FIND_(present, bufleak_shim_present);
    return present ? present() : 0;
}

/* ---- moments ---- */

/* Keeps the moment and the counters of all classes under a name: `bufleak diff PID@NAME PID` tells
 * what has changed since. Costs less than a microsecond; the latest 512 are kept. Any name will do;
 * one that is empty, a number, begins with # or cannot be printed is found by the mark's number
 * only, which reports show: PID@#3. */
BUFLEAK_INLINE_ void bufleak_mark(const char *name)
{
    void (*mark)(const char *) = NULL;
    BUFLEAK_FIND_(mark, bufleak_shim_mark);
    if (mark)
        mark(name);
}

/* What this thread, threads that it makes, processes that it forks and programs that it starts
 * allocate from now on belongs to a test of this name: `bufleak check` tells by name which tests
 * leaked, also where many run in one process at the same time. Adapters for test frameworks are
 * beside this header. */
static __inline__ void bufleak_test_begin(const char *name)
{
    void (*test)(const char *) = NULL;
    BUFLEAK_FIND_(test, bufleak_shim_test);
    if (test)
        test(name);
}

static __inline__ void bufleak_test_end(void)
{
    void (*test)(const char *) = NULL;
    BUFLEAK_FIND_(test, bufleak_shim_test);
    if (test)
        test(NULL);
}

/* A mark, and what bufleak_growth and bufleak_assert_no_growth count from. */
BUFLEAK_INLINE_ struct bufleak_moment bufleak_checkpoint(const char *name)
{
    struct bufleak_moment moment = {0, 0, {0}};
    void (*checkpoint)(const char *, struct bufleak_moment *) = NULL;
    BUFLEAK_FIND_(checkpoint, bufleak_shim_checkpoint);
    if (checkpoint)
        checkpoint(name, &moment);
    return moment;
}

/* Bytes that live now, of all threads, beyond those that lived then; negative: less. Counted are
 * the heap and the pools below, not what is ignored, and with sample= only what is recorded. */
BUFLEAK_INLINE_ ptrdiff_t bufleak_growth(const struct bufleak_moment *since)
{
    ptrdiff_t (*growth)(const struct bufleak_moment *) = NULL;
    BUFLEAK_FIND_(growth, bufleak_shim_growth);
    return growth ? growth(since) : 0;
}

/* 1: not more than `allowed` bytes have been added since. 0: more; then that is said in one line on
 * stderr (quiet=1: not), and a mark tells the report by how much and where it was asked. What
 * follows is the program's to decide: assert(bufleak_assert_no_growth(&before, 0)). */
BUFLEAK_INLINE_ int bufleak_assert_no_growth(const struct bufleak_moment *since, size_t allowed)
{
    int (*holds)(const struct bufleak_moment *, size_t) = NULL;
    BUFLEAK_FIND_(holds, bufleak_shim_assert);
    return holds ? holds(since, allowed) : 1;
}

/* ---- what is not to be reported ---- */

/* This live buffer is meant to stay: a heap block by its address, or a reference-counted buffer by
 * its handle. It is in no report and no comparison; the class `ignored` counts the heap blocks. */
BUFLEAK_INLINE_ BUFLEAK_UNTOUCHED_(1) void bufleak_ignore(const void *buffer)
{
    void (*ignore)(BUFLEAK_ADDRESS_) = NULL;
    BUFLEAK_FIND_(ignore, bufleak_shim_ignore);
    if (ignore)
        ignore((BUFLEAK_ADDRESS_)buffer);
}

/* The same for all that this thread allocates until the matching end. They nest. */
BUFLEAK_INLINE_ void bufleak_ignore_begin(void)
{
    void (*scope)(int) = NULL;
    BUFLEAK_FIND_(scope, bufleak_shim_scope);
    if (scope)
        scope(1);
}

BUFLEAK_INLINE_ void bufleak_ignore_end(void)
{
    void (*scope)(int) = NULL;
    BUFLEAK_FIND_(scope, bufleak_shim_scope);
    if (scope)
        scope(-1);
}

/* ---- allocators of one's own ----
 *
 * Objects that an allocator carves out of larger blocks are buffers of a class of their own, named
 * `pool`, with stacks, histories and verdicts like those of any library. Their handles are their
 * addresses. The stack is that of the caller, so call these in the function that gives objects
 * out. */

/* The heap block, or region, at this address is carved into objects: it leaves the class of heap
 * blocks, since its bytes are its objects', and is counted in the class `pool-blocks`. When it is
 * freed, the objects in it end with it. Not to be given to realloc. */
BUFLEAK_INLINE_ BUFLEAK_UNTOUCHED_(1) void bufleak_pool_block(const void *block)
{
    void (*announce)(BUFLEAK_ADDRESS_) = NULL;
    BUFLEAK_FIND_(announce, bufleak_shim_pool_block);
    if (announce)
        announce((BUFLEAK_ADDRESS_)block);
}

/* All objects in this block end now, and it stays; or it is no heap block, and is given back. */
BUFLEAK_INLINE_ BUFLEAK_UNTOUCHED_(1) void bufleak_pool_drop(const void *block)
{
    void (*drop)(BUFLEAK_ADDRESS_) = NULL;
    BUFLEAK_FIND_(drop, bufleak_shim_pool_drop);
    if (drop)
        drop((BUFLEAK_ADDRESS_)block);
}

/* An object is given out, with one reference. block: what it was carved out of, announced by
 * bufleak_pool_block; NULL: unknown, then only bufleak_pool_free ends it. */
BUFLEAK_INLINE_ BUFLEAK_UNTOUCHED_(2)
    BUFLEAK_UNTOUCHED_(3) void bufleak_pool_alloc(const char *pool, const void *block,
                                                  const void *object, size_t size)
{
    void (*alloc)(const char *, BUFLEAK_ADDRESS_, BUFLEAK_ADDRESS_, size_t) = NULL;
    BUFLEAK_FIND_(alloc, bufleak_shim_pool_alloc);
    if (alloc)
        alloc(pool, (BUFLEAK_ADDRESS_)block, (BUFLEAK_ADDRESS_)object, size);
}

/* A reference more. */
BUFLEAK_INLINE_ BUFLEAK_UNTOUCHED_(2) void bufleak_pool_retain(const char *pool, const void *object)
{
    void (*retain)(const char *, BUFLEAK_ADDRESS_) = NULL;
    BUFLEAK_FIND_(retain, bufleak_shim_pool_retain);
    if (retain)
        retain(pool, (BUFLEAK_ADDRESS_)object);
}

/* A reference less. The last one does not end it: bufleak_pool_free does. */
BUFLEAK_INLINE_ BUFLEAK_UNTOUCHED_(2) void bufleak_pool_release(const char *pool,
                                                                const void *object)
{
    void (*release)(const char *, BUFLEAK_ADDRESS_) = NULL;
    BUFLEAK_FIND_(release, bufleak_shim_pool_release);
    if (release)
        release(pool, (BUFLEAK_ADDRESS_)object);
}

/* It is taken back, whatever its count. Once more for one that has been taken back: that is
 * reported as a release too many. Call it before another thread can be given the object. */
BUFLEAK_INLINE_ BUFLEAK_UNTOUCHED_(2) void bufleak_pool_free(const char *pool, const void *object)
{
    void (*take_back)(const char *, BUFLEAK_ADDRESS_) = NULL;
    BUFLEAK_FIND_(take_back, bufleak_shim_pool_free);
    if (take_back)
        take_back(pool, (BUFLEAK_ADDRESS_)object);
}

#ifdef __cplusplus
} /* extern "C" */

namespace bufleak
{
/* Ignores what its thread allocates while it lives. */
class ignore_scope
{
  public:
    ignore_scope()
    {
        bufleak_ignore_begin();
    }
    ~ignore_scope()
    {
        bufleak_ignore_end();
    }

  private:
    ignore_scope(const ignore_scope &);
    ignore_scope &operator=(const ignore_scope &);
};
} // namespace bufleak
#endif

#endif
