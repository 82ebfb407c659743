/*
 * Which buffers of a class are held and which are lost, as somebody finds who knows what holds
 * their handles: begin, hold for each that is found, end.
 *
 * The marks are in the objects' flags and stay until the next run or the buffer's end. A buffer
 * that was born after the search began has none.
 *
 * Threads: any, one run at a time; BL_RANK_REFS inside. Needs the guard. Errors: none.
 */
#ifndef BL_REF_REACH_H
#define BL_REF_REACH_H

#include "compiler.h"

struct bl_ref_reach {
    uint32_t held;
    uint32_t lost;
};

/* When the youngest of the class that is unreleased was born; 0: none is. */
uint64_t bl_ref_reach_youngest(uint8_t class_number);
void bl_ref_reach_begin(uint8_t class_number);
void bl_ref_reach_hold(uint64_t handle, uint8_t class_number);
/* All others that were born before are lost. */
struct bl_ref_reach bl_ref_reach_end(uint8_t class_number, uint64_t before_ns);

#endif
