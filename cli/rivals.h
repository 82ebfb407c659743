/*
 * Rivals: where more than one acquire of a buffer can be the one that lacks its release.
 *
 * Which release gives back which reference nobody tells; where neither what ended well nor the
 * callers show it, programmers' habits decide: who takes last mostly gives back first, who makes a
 * buffer gives his own reference back himself, and last of all. A verdict says so.
 */
#ifndef BL_RIVALS_H
#define BL_RIVALS_H

#include "compare.h"
#include "verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bl_rival bl_rivals_stronger(enum bl_rival a, enum bl_rival b);

/* Could the reference that was taken by pairs[which] as well have been given back by the release of
 * another one, and that by its? `items` are the pattern's. */
enum bl_rival bl_rivals_of_pair(const struct bl_compare *compare, const struct bl_item *items,
                                const struct bl_pair *pairs, size_t count, size_t which);

/* Have more of the callers of one acquire seen its buffers end well than of the one that is blamed?
 */
bool bl_rivals_is_excused(const struct bl_compare *compare, const struct bl_item *one,
                          const struct bl_item *blamed);

/* Of an open history, in which `open` lacks a release: could it as well have been given back by the
 * release of a pair, and the acquire of that pair lack its own? */
enum bl_rival bl_rivals_of_open(const struct bl_compare *compare, const struct bl_item *items,
                                const struct bl_pair *pair, uint32_t open);

#endif
