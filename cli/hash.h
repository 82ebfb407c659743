/* uthash as the command line uses it. FNV-1a; uthash's own switch falls through without saying so,
 * which clang reports in our files. */
#ifndef BL_HASH_H
#define BL_HASH_H

#define HASH_FUNCTION(key, length, hash)                                                           \
    do {                                                                                           \
        const unsigned char *hash_at = (const unsigned char *)(key);                               \
        (hash) = 2166136261u;                                                                      \
        for (size_t hash_i = 0; hash_i < (length); hash_i++)                                       \
            (hash) = ((hash) ^ hash_at[hash_i]) * 16777619u;                                       \
    } while (0)
#include <uthash.h>

#endif
