/*
 * A process at a moment that is past, as far as its ledger still knows it.
 *
 * The classes have the counters that the mark kept. Of what lived at each site the ledger has the
 * samples of the sites that were followed, and the births of all that lives still; the larger of
 * the two is taken. What the samples do not cover is at least that much, and marked so.
 *
 * Births are stamped by a clock of a few milliseconds: what was born within those after the mark
 * may count as born before. But the sites of a class never have more in all than the class, which
 * is exact.
 */
#ifndef BL_MOMENT_H
#define BL_MOMENT_H

#include "error.h"
#include "model.h"
#include "reader.h"
#include "series.h"

/* Gives the model classes, groups by site, and time of the moment: of `mark`, or of the model
 * itself when it is NULL, which makes the groups comparable with those of a mark. The options are
 * those the model was made with. */
int bl_moment_apply(struct bl_model *model, const struct bl_reader *reader,
                    const struct bl_series_set *set, const struct bl_mark *mark,
                    const struct bl_model_options *options, struct bl_error *error);

#endif
