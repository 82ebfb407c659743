/*
 * Class mmap: which address ranges the target has mapped, so that munmap of a part, or mmap over an
 * old mapping, ends or trims the right buffers.
 *
 * Owns: a sorted array of disjoint [start, end) ranges in private memory, each a buffer of class
 * mmap in the live table under its start address. Threads: any, BL_RANK_REGIONS outside
 * BL_RANK_LIVE is never held together: ranges are changed under the own lock, the live table after
 * it. Needs the guard. Errors: a range that cannot be kept is counted in buffers_no_memory.
 */
#ifndef BL_REGIONS_H
#define BL_REGIONS_H

#include "live.h"

/* Records [start, start+length), replacing whatever was recorded there. */
void bl_regions_add(const struct bl_buffer *buffer);
/* [start, start+length) is gone: buffers in it end, those that reach into it are trimmed. */
void bl_regions_remove(uint64_t start, uint64_t length);

void bl_regions_lock(void);
void bl_regions_unlock(void);
void bl_regions_reset_lock(void);
void bl_regions_reset(void);

#endif
