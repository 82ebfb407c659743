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

/* Its answer to unlucky chains is to stop growing for good; a table of ours grows on. */
#define uthash_noexpand_fyi(table) ((table)->noexpand = 0)

/* memcpy, because the key is a struct of other types to the compiler */
BL_INLINE uint64_t bl_table_word(const void *key, size_t i)
{
    uint64_t word;
    memcpy(&word, (const char *)key + i * sizeof word, sizeof word);
    return word;
}

BL_INLINE int bl_table_compare(const void *a, const void *b, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        if (bl_table_word(a, i) != bl_table_word(b, i))
            return 1;
    }
    return 0;
}

BL_INLINE unsigned bl_table_hash(const void *key, size_t bytes)
{
    uint64_t h = 0;
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        h = (h ^ bl_table_word(key, i)) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    return (unsigned)h;
}

#include <uthash.h>

#endif
