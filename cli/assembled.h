/*
 * Who assembled the reactive chain that a stack was seen in, by the chain's own words.
 *
 * The shim asked some of the events at each stack (BL_SECTION_ASSEMBLIES); a place has the answers
 * of all stacks that lead through it. Owns nothing.
 */
#ifndef BL_ASSEMBLED_H
#define BL_ASSEMBLED_H

#include "reader.h"

#define BL_ASSEMBLED_MAX 4

struct bl_assembled {
    uint32_t name;     /* in NAMES */
    bool is_of_source; /* it is said of the operator before the one in which the event happened */
    uint64_t count;    /* events that gave this answer */
};

/* The answers for a frame of a stack, that is for the operator that called it or is it, with all
 * that called that, most frequent first; any_caller: for its place in the code, whoever called it.
 * Returns how many were stored. ret_all: how many events were asked in all, ret_others: how many
 * different answers are left out.
 */
size_t bl_assembled_find(const struct bl_reader *reader, uint32_t frame, bool any_caller,
                         struct bl_assembled out[BL_ASSEMBLED_MAX], uint64_t *ret_all,
                         size_t *ret_others);

/* "assembled at", or "assembled behind" of what the operator before it says. */
const char *bl_assembled_label(const struct bl_assembled *assembled);

/* "Flux.map, app.Main.chain(Main.java:12)", or `checkpoint("name")`: printable, cut to fit. */
void bl_assembled_text(const struct bl_reader *reader, const struct bl_assembled *assembled,
                       char *out, size_t size);

#endif
