/*
 * uthash as the shim uses it: memory from the arena, no exit when there is none, keys that carry
 * their own hash. Include instead of <uthash.h>, after defining nothing.
 *
 * An add that finds no memory leaves the element out and sets its `oom` member.
 */
#ifndef BL_TABLE_H
#define BL_TABLE_H

#include "arena.h"

#include <string.h>

#define HASH_NONFATAL_OOM        1
#define uthash_malloc(size)      bl_arena_alloc(size)
#define uthash_free(block, size) bl_arena_free((block), (size))
#define uthash_bzero(p, n)       memset((p), 0, (n))
#define uthash_nonfatal_oom(e)   ((e)->oom = true)
/* every key is, or is small enough to be compared as, whole 8-byte words */
#define HASH_KEYCMP(a, b, n)             bl_table_compare((a), (b), (n))
#define HASH_FUNCTION(key, length, hash) ((hash) = bl_table_hash((key), (length)))

/* keys are structs of other types: without this their stores may be moved past the loads here */
typedef uint64_t __attribute__((may_alias)) bl_table_word;

BL_INLINE int bl_table_compare(const void *a, const void *b, size_t bytes)
{
    const bl_table_word *x = a;
    const bl_table_word *y = b;
    for (size_t i = 0; i < bytes / sizeof *x; i++) {
        if (x[i] != y[i])
            return 1;
    }
    return 0;
}

BL_INLINE unsigned bl_table_hash(const void *key, size_t bytes)
{
    const bl_table_word *x = key;
    uint64_t h = 0;
    for (size_t i = 0; i < bytes / sizeof *x; i++) {
        h = (h ^ x[i]) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    return (unsigned)h;
}

#include <uthash.h>

#endif
