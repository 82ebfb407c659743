/*
 * How a frame called what is inside it.
 *
 * A callback that ends with a call of a release jumps there when it is optimized, and leaves no
 * frame: the release then seems to be made by whoever called the callback. The return address does
 * not tell, but the instruction before it does: a call through a pointer went to the release
 * itself, or to such a callback, which is another matter than a library's own release.
 *
 * x86-64 only. Threads: as symbols.h.
 */
#ifndef BL_CALLED_H
#define BL_CALLED_H

#include "symbols.h"

#define BL_CALLED_BYTES 7u /* the longest call */

/* The bytes before a return address: do they end with a call through a pointer, and can be nothing
 * else? A call through a slot of the module's own (as of an imported function) is none. */
bool bl_called_is_by_pointer(const uint8_t code[BL_CALLED_BYTES]);

/* Of the innermost frame of a stack at which something was done to a buffer of the class. False
 * also where its file is not there, and of what the program tells itself (bufleak.h), whose
 * functions are no others than its own. */
bool bl_called_by_pointer(struct bl_symbols *symbols, const struct bl_reader *reader,
                          uint32_t class_number, uint32_t stack);

#endif
