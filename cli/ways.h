/*
 * Which references are the caller's own, and which the library's.
 *
 * A caller takes a reference by calling the retain itself and gives it back by calling the release
 * itself; what the library takes for itself it gives back inside some other call. That is a habit
 * and no law: a caller may hand his reference to a list, and who made a buffer deep inside one
 * library gives it back himself. So it is asked of the lifecycles that ended well: have of all
 * buffers that were made by the same call as many more been released directly than were retained
 * directly, always none or always one, although some were retained directly more often than
 * others? Then that one, or none, is the birth's, and what is done directly is of one kind. That it
 * is none is believed only where some were not retained directly at all.
 *
 * A release that the library calls through a pointer may be a callback of the caller's (callers.h).
 * If the numbers do not come out without it, it is tried which of the places where that happens
 * would have to call back, so that they do; if there is one answer, it is believed.
 *
 * Owns what it allocates.
 */
#ifndef BL_WAYS_H
#define BL_WAYS_H

#include "callers.h"
#include "histories.h"

#include <stdbool.h>
#include <stdint.h>

struct bl_ways;

/* NULL without memory. */
struct bl_ways *bl_ways_create(const struct bl_histories *histories,
                               const struct bl_callers *callers);
void bl_ways_destroy(struct bl_ways *ways);

/* Of two items of one pattern: is one the caller's, and the other the library's? */
bool bl_ways_are_unlike(const struct bl_ways *ways, const struct bl_item *a,
                        const struct bl_item *b);

/* May a release that the library called through a pointer be the caller's? False where it is known
 * to be the library's, and of any other release. */
bool bl_ways_may_call_back(const struct bl_ways *ways, const struct bl_item *release);

#endif
