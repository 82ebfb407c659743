/*
 * What makes two leaks the same one, today and in tomorrow's build.
 *
 * The key is text:
 *
 *     CLASS KIND OP MODULE:FUNCTION < FUNCTION < FUNCTION …
 *
 * KIND is left, over-release or growing. The exact verdict is not in it: missing-release and
 * never-released differ in how many siblings happened to end well in this run. OP says what is
 * blamed (alloc, retain, release). MODULE is the file's base name without its version. The
 * functions are those of the user's own code, innermost first, BL_IDENTITY_DEPTH at most: enough to
 * tell the callers of an xmalloc apart, too few for a new test main to make an old leak new. Before
 * them stands the library function that the own code called, if that is how it got the buffer.
 *
 * Own code is what is neither runtime (libc, libstdc++, allocators), nor the class's own library,
 * nor a library in the system's directories; where all is of the system, all of it counts.
 * Addresses, offsets, lines, files and directories are not in the key, nor are the suffixes that
 * compilers give to parts of functions, nor repeated recursion. With debug information inlined
 * functions are frames like others, so that the key is what the source says whoever compiled it.
 *
 * Without debug information an inlined function leaves no trace, and a tail call never does. So the
 * baseline also holds further callers, and a leak that is not in it by key is still known when
 * bl_identity_is_alike says so: one chain has all functions of the other in their order, by the
 * plain names that every compiler gives them, and few are missing.
 */
#ifndef BL_IDENTITY_H
#define BL_IDENTITY_H

#include "leaks.h"

#define BL_IDENTITY_DEPTH 5
#define BL_IDENTITY_CHAIN 16

/* Fills key, id and functions of a leak that has the rest. */
void bl_identity_make(struct bl_leaks *leaks, struct bl_leak *leak);

/* 64 bits of a key in hexadecimal. */
void bl_identity_hash(const char *key, char out[17]);

/* So many functions may be missing in one of two chains of one path; one less where a single
 * function is left. */
#define BL_IDENTITY_DIFFERENCE 3u

/* Can two chains be one path, compiled in two ways, with so many more functions in one? */
bool bl_identity_is_alike(const char *const *a, size_t a_count, const char *const *b,
                          size_t b_count, size_t difference);

#endif
