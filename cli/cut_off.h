/*
 * What the end of the process cut off: see cut_off.c.
 *
 * Owns judge->cut_off; borrows the rest of the judge.
 */
#ifndef BL_CUT_OFF_H
#define BL_CUT_OFF_H

#include <stdbool.h>
#include <stddef.h>

struct bl_judge;
struct bl_cut_off;

/* Is all of a group part of work that the end of the process cut off? Fills judge->cut_off on first
 * need; false without memory. */
bool bl_cut_off_has(struct bl_judge *judge, size_t first, size_t end);
void bl_cut_off_destroy(struct bl_cut_off *cut_off);

#endif
