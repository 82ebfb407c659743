/*
 * The same thing done on a longer way: one call led straight to a site, another one, from the same
 * place, to the same site through methods in between.
 *
 * What stood at that place was another object then, which hands on to what stands there elsewhere:
 * the operators of a reactive chain do so, the filters of a server, decorators. Who hands on is
 * one more user of the buffer, and what is done at the end of both ways is the same step. Of Java
 * alone is that known: whoever called is on its stacks. Native code may have left by a jump
 * whatever stood in between, and two calls of one helper look like this then.
 */
#ifndef BL_DETOUR_H
#define BL_DETOUR_H

#include "callers.h"

/* Is b's way a's, or such a longer one? Both are numbers from bl_callers_find. */
bool bl_detour_is(const struct bl_callers *callers, uint32_t a, uint32_t b);

#endif
