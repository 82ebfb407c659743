/*
 * What a place in the code is called, so that it is found again in another process.
 *
 * Two processes have other addresses, other pids and perhaps other builds of the same program. A
 * frame in a module that both have with the same build-id is called by build-id and offset, which
 * tells two calls in one function apart. Any other frame is called by module and function, inlined
 * ones each for itself: a rebuild moves lines and offsets and inlines otherwise, and the chain of
 * functions stays. The executable is called "main program" whatever its file is called, and a
 * library loses its version ("libfoo.so.1.2" is libfoo.so), as functions lose the suffixes that the
 * compiler gave their parts (".part.0"). Where there is no name, build-id and offset must do, and
 * such a frame is found in the same build only.
 *
 * Names are interned: equal ids, equal names, on both sides. Owns what it allocates; borrows
 * readers and symbols.
 */
#ifndef BL_ORIGIN_H
#define BL_ORIGIN_H

#include "error.h"
#include "reader.h"
#include "symbols.h"

#include <stddef.h>
#include <stdint.h>

#define BL_ORIGIN_DEPTH 256 /* names of one chain; further callers are not compared */

struct bl_origins;

struct bl_origin_side {
    const struct bl_reader *reader;
    struct bl_symbols *symbols;
};

enum bl_origin_kind {
    BL_ORIGIN_OFFSET,   /* the same build on both sides: the very instruction */
    BL_ORIGIN_FUNCTION, /* module and function */
    BL_ORIGIN_UNNAMED,  /* neither: never equal to anything of the other side */
};

int bl_origins_create(struct bl_origins **ret_origins, const struct bl_origin_side sides[2],
                      struct bl_error *error);
void bl_origins_destroy(struct bl_origins *origins);

/* Names from a frame outward to its callers, innermost first; the shim's own frames have none.
 * Returns how many were stored, at most `max`; -1 without memory. Frame 0 is one name, "no stack".
 */
int bl_origins_chain(struct bl_origins *origins, int side, uint32_t frame, uint32_t *out, int max);

/* How many names of that chain it takes to reach the frame `last`, itself included; all of them
 * when it is not among the frames. */
int bl_origins_reach(struct bl_origins *origins, int side, uint32_t frame, uint32_t last);

/* The name of a module alone; UINT32_MAX without memory. */
uint32_t bl_origins_module(struct bl_origins *origins, int side, uint32_t module);

/* Any other name, of a class or a thread; UINT32_MAX without memory. */
uint32_t bl_origins_text(struct bl_origins *origins, const char *what, const char *text);

enum bl_origin_kind bl_origins_kind(const struct bl_origins *origins, uint32_t name);

#endif
