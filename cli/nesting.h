/*
 * Which Java method the source of another one stands in.
 *
 * A lambda is compiled into a method of its own, and mostly runs when the one that it stands in has
 * returned: later, on another thread, called by a framework. No stack shows then that the two
 * belong together, but its name does: compilers put the method's into it (javac "lambda$m$0",
 * Kotlin "m$lambda$0", Scala "$anonfun$m$1"). Of a lambda within a lambda it is the method around
 * both.
 *
 * Owns what it allocates.
 */
#ifndef BL_NESTING_H
#define BL_NESTING_H

#include <stddef.h>
#include <stdint.h>

struct bl_nesting;

/* Equal numbers, equal methods; 0: not known. */
struct bl_nest {
    uint32_t method;
    uint32_t around; /* the one that its source stands in; itself if it is no lambda */
};

/* NULL without memory. */
struct bl_nesting *bl_nesting_create(void);
void bl_nesting_destroy(struct bl_nesting *nesting);

/* Of a method by its full name, "package.Class.method". Without memory nothing is known. */
struct bl_nest bl_nesting_find(struct bl_nesting *nesting, const char *name, size_t length);

#endif
