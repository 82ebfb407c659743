/*
 * Folding: in stacks of a managed program the frames of its frameworks are many and say little. A
 * run of them is told in one line.
 *
 * Owns nothing. The innermost frames stay as they are: where a stack has nothing but frameworks,
 * they are what there is.
 */
#ifndef BL_FOLDING_H
#define BL_FOLDING_H

#include "view.h"

/* How many frames from frames[at] on are to be told in one line; 0: frames[at] is shown. */
size_t bl_folding_run(const struct bl_view *view, const uint32_t *frames, size_t count, size_t at);

/* "26 frames of io.netty, reactor.core" */
void bl_folding_describe(const struct bl_view *view, const uint32_t *frames, size_t count,
                         char *out, size_t size);

#endif
