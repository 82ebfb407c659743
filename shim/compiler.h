/* What every shim file needs of the compiler. No state, no calls. */
#ifndef BL_COMPILER_H
#define BL_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__) || !defined(__LP64__)
#error "bufleak's shim knows x86-64 only"
#endif

#define BL_LIKELY(x)   __builtin_expect(!!(x), 1)
#define BL_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define BL_EXPORT      __attribute__((visibility("default")))
#define BL_COLD        __attribute__((cold, noinline))
#define BL_NOINLINE    __attribute__((noinline))
#define BL_INLINE      static inline __attribute__((always_inline))
#define BL_ALIGNED(n)  __attribute__((aligned(n)))

/* A library that replaces malloc must never let the dynamic loader allocate its TLS lazily. */
#define BL_TLS _Thread_local __attribute__((tls_model("initial-exec")))

#define BL_ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* Two words that are read, compared and kept as one; they need not begin at a multiple of 16. */
typedef uint64_t bl_pair __attribute__((vector_size(16)));
typedef uint64_t bl_pair_there __attribute__((vector_size(16), aligned(8), may_alias));

#define bl_load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define bl_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define bl_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define bl_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define bl_add_relaxed(p, v)   __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)

#endif
