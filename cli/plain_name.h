/*
 * The name of a function as each compiler and each kind of symbol has it.
 *
 * Debug information names an inlined function "make", a symbol table names the same one
 * "(anonymous namespace)::Local::make()" or "T* Local::make<T>(int) const". Pure functions; nothing
 * is allocated.
 */
#ifndef BL_PLAIN_NAME_H
#define BL_PLAIN_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* "make" of all of these; the name itself where that leaves nothing. False for a function of C++'s
 * own library, which may be inlined or not between two of a program's. */
bool bl_plain_name(char *out, size_t size, const char *name);

#endif
