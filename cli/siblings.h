/*
 * Where the siblings of unreleased heap blocks ended: of the blocks that were allocated on the same
 * path a sample was followed to its end (struct bl_free_path). Where nothing of the same path was
 * seen to end, those that other callers had allocated at the same place stand in.
 *
 * Counts are of the sample. They compare within one bl_siblings, and do not tell how many blocks
 * there were.
 *
 * Owns what it allocates; borrows reader, symbols and model.
 */
#ifndef BL_SIBLINGS_H
#define BL_SIBLINGS_H

#include "error.h"
#include "model.h"
#include "reader.h"
#include "symbols.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where blocks ended. A library that has no line numbers and was called to free them (g_free,
 * CRYPTO_free) is passed over, a few frames deep: its caller's line is the place. */
struct bl_end_place {
    uint32_t frame;   /* the stack from there on */
    uint32_t through; /* frame of the library's function; 0: none */
    uint64_t count;
    bool is_resize; /* realloc made other blocks of them */
};

#define BL_SIBLINGS_PLACES 4

struct bl_siblings {
    struct bl_end_place places[BL_SIBLINGS_PLACES]; /* most common first */
    size_t place_count;
    size_t places_left_out;
    uint64_t sampled;      /* siblings of which the end was seen, at all places */
    bool of_other_callers; /* they were not born on the same path, but at the same place */
};

/* Gives the shown heap groups of a model by site or stack their siblings, which are good until
 * *ret_siblings is destroyed. Takes `own` from the options. */
int bl_siblings_create(struct bl_siblings **ret_siblings, const struct bl_reader *reader,
                       struct bl_symbols *symbols, struct bl_model *model,
                       const struct bl_model_options *options, struct bl_error *error);
void bl_siblings_destroy(struct bl_siblings *siblings);

#endif
