/*
 * The calls that the compiler put into their callers, by the code of one module.
 *
 * At an address several functions can be running, of which only the outermost has a frame of its
 * own. What says so is the debug information; without it there are none. Each such call has a
 * number: equal numbers, the same call at the same place of the same function. Calls into functions
 * of the system's headers do not count where they are the innermost: those are the library's, as
 * are those in its file.
 *
 * libdw would go through all of a compilation unit for every address, and libraries of templates
 * have large ones: the functions of a unit are sorted once, and what was asked for is kept. The
 * debug information must stay open as long as this is used. One thread.
 */
#ifndef BL_INLINES_H
#define BL_INLINES_H

#include <elfutils/libdw.h>
#include <stddef.h>
#include <stdint.h>

#define BL_INLINES_MAX 64 /* at one address; further ones are left out */

struct bl_inlines;

struct bl_inlines *bl_inlines_create(void);          /* NULL without memory */
void bl_inlines_destroy(struct bl_inlines *inlines); /* NULL ok */

/* The numbers of the calls around an address of a unit's code, innermost first; their count is in
 * ret_count. Never NULL where that is not 0; 0 without memory. */
const uint64_t *bl_inlines_find(struct bl_inlines *inlines, Dwarf_Die *unit, Dwarf_Addr address,
                                size_t *ret_count);
/* The functions at an address, innermost first, each put into the next by the compiler; at most
 * BL_INLINES_MAX + 1. 0: none is known. */
size_t bl_inlines_functions(struct bl_inlines *inlines, Dwarf_Die *unit, Dwarf_Addr address,
                            Dwarf_Die out[BL_INLINES_MAX + 1]);

#endif
