/*
 * Who holds the most of a group's buffers.
 *
 * Holders are told apart as a reader would name them: by variable, function of the stack frame,
 * mapped region or kind of root, whichever thread it is in, and by the site of the nearest block
 * between, if any. All data of a module that has no symbols there is one holder.
 *
 * Errors: without memory there is none.
 */
#ifndef BL_HOLDERS_H
#define BL_HOLDERS_H

#include "reach.h"
#include "symbols.h"

struct bl_holder {
    uint32_t example; /* live record that it holds; 0: there is no holder */
    uint64_t count;   /* it holds so many */
    uint64_t bytes;
    uint64_t of_bytes; /* all holders together */
    size_t holders;
    bool is_spread; /* over roots of several threads, or several that have no name */
};

/* The one with the most bytes. */
struct bl_holder bl_holders_heaviest(const struct bl_reaches *reaches, struct bl_symbols *symbols,
                                     const struct bl_reach_sums *sums);

#endif
