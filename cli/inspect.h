/*
 * One target, read and judged: what every command that shows a process begins with.
 *
 * Owns reader, symbols, model, verdicts and growth; `view` borrows them, and the target it was made
 * of, which must live longer.
 */
#ifndef BL_INSPECT_H
#define BL_INSPECT_H

#include "balance.h"
#include "error.h"
#include "growth.h"
#include "model.h"
#include "pairing.h"
#include "reach.h"
#include "reader.h"
#include "series.h"
#include "siblings.h"
#include "symbols.h"
#include "target.h"
#include "view.h"

#include <stdbool.h>

struct bl_inspect_options {
    struct bl_model_options model;
    const char *match; /* only stacks with a function, file or module like this; NULL: all */
    bool judges;      /* by site, buffers with a history get verdicts; heap blocks their siblings */
    bool no_siblings; /* where those of heap blocks end is not asked: what costs most */
    bool balances;    /* by call path */
    const char *per;  /* the function that ends a request; NULL: the one that is counted */
    const char *symbol_paths[BL_SYMBOLS_PATHS_MAX];
    size_t symbol_path_count;
    struct bl_symbols_store *store; /* NULL: symbols are not kept */
};

struct bl_inspection {
    struct bl_reader *reader;
    struct bl_symbols *symbols;
    struct bl_reaches *reaches;
    struct bl_model *model;
    struct bl_pairing *pairing; /* NULL: nothing was judged */
    struct bl_siblings *siblings;
    struct bl_balance *balance; /* NULL: not asked for */
    struct bl_series_set *series;
    struct bl_growth_set *growth;
    struct bl_view view;
};

/* Fills ret_inspection on success only; the caller then owns it. */
int bl_inspect(struct bl_inspection *ret_inspection, const struct bl_target *target,
               const struct bl_inspect_options *options, struct bl_error *error);
void bl_inspection_deinit(struct bl_inspection *inspection);

#endif
