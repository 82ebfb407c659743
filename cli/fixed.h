/*
 * How often a process went through a place in the code and came out well: buffers that acquired a
 * reference there and were released, counted from the completed lifecycles; of heap blocks, those
 * of a sample that were freed.
 *
 * Owns nothing.
 */
#ifndef BL_FIXED_H
#define BL_FIXED_H

#include "error.h"
#include "histories.h"
#include "model.h"
#include "origin.h"
#include "reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_passage {
    uint32_t class_name; /* from bl_origins_text */
    enum bl_item_kind kind;
    const uint32_t *names; /* from the place outward */
    size_t name_count;
    uint64_t passed; /* the answer is added here */
    bool is_sample;  /* and is of a sample: each stands for at most BL_FIXED_SAMPLE_MAX */
};

#define BL_FIXED_SAMPLE_MAX 1024u

/* Counts all passages of one side in one pass. `class_names`: of the side's classes, by number. */
int bl_fixed_count(struct bl_passage *passages, size_t count, struct bl_origins *origins, int side,
                   const struct bl_reader *reader, const struct bl_model *model,
                   const struct bl_model_options *options, const uint32_t *class_names,
                   struct bl_error *error);

#endif
