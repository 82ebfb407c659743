/*
 * Names of functions and files as people read them: printable, demangled, relative.
 *
 * The results are the caller's to free; NULL without memory.
 */
#ifndef BL_READABLE_H
#define BL_READABLE_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>

char *bl_readable_bytes(const char *raw, size_t length);
/* Of a symbol: without what glibc's internal aliases begin with, and demangled. */
char *bl_readable_name(const char *raw);
/* A path below the directory of the compilation is shown from there, as people know it. */
char *bl_readable_file(Dwarf_Die *unit, const char *raw);

/* Functions of a library's headers that were compiled into their caller are the library's, as are
 * those in its file: people look for their own. Is `file`, NULL or as it was compiled, such one? */
bool bl_readable_is_of_system(const char *file);

#endif
