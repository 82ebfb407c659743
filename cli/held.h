/*
 * Cascades where the ledger says which buffer holds which: a slice, and what it is a slice of.
 */
#ifndef BL_HELD_H
#define BL_HELD_H

#include "judge.h"
#include "releases.h"

#include <stddef.h>

/* Names the owner of those of the first `decisions` whose objects accused ones hold. releases:
 * NULL, and what users took themselves is not told from what holders have. None without memory. */
void bl_held_find(struct bl_judge *judge, const struct bl_releases *releases, size_t decisions);

#endif
