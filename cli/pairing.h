/*
 * The verdict: what became of the references of each unreleased buffer, in groups, with evidence.
 *
 * Every live history is compared with the lifecycles that ended well. Is it the beginning of one
 * of them, the buffer is in use, or stale when it is far older than they became. Else the
 * comparison shows which acquire has no partner, and buffers that lack the partner of the same
 * acquire are one finding. How much of the acquire's stack it takes to tell the leaking callers
 * from the others is decided by their leak rates (counts.c).
 *
 * Confidence. With k of the n references that were taken at the blamed acquire not given back, and
 * k' of the n' buffers leaked that did not pass it, confidence is (k+1)/(n+2) - (k'+1)/(n'+2), at
 * least 0: the rate with less the rate without, each by Laplace's rule of succession (P. S.
 * Laplace, Essai philosophique sur les probabilites, 1814), so that few cannot make certainty. The
 * difference of rates is the "increase" of B. Liblit et al., Scalable Statistical Bug Isolation,
 * PLDI 2005. Where an expected release is known, which m references were given to, the same is done
 * for its absence, (k+1)/(k+2) - 1/(m+2), and the larger of the two counts: an error path that is
 * taken one time in a thousand is as certain as one that is always taken. It counts 0.95 of that
 * where the same was done by siblings, but called from elsewhere, and two thirds where histories
 * could only be compared by similarity or there was none to compare with. That of a stale buffer is
 * halved, as it may still be released; so is that of the last one made at a place where one ends
 * before the next is made, as what is kept until the next one comes looks the same. That of an
 * over-release is (k+1)/(k+2): that it happened is no guess.
 *
 * Owns what it allocates; borrows reader and model.
 */
#ifndef BL_PAIRING_H
#define BL_PAIRING_H

#include "error.h"
#include "growth.h"
#include "model.h"
#include "reader.h"
#include "symbols.h"
#include "verdict.h"

struct bl_pairing;

/* Judges the live objects and hands the groups to the model, which must outlive the pairing's
 * findings only as long as it is rendered. Takes class_name, min_age_ns, min_bytes, own and
 * keep_stack from the options. growth: of the sites that were followed in time, NULL where there is
 * none. symbols: say which calls were inlined; NULL: as if none was. */
int bl_pairing_create(struct bl_pairing **ret_pairing, const struct bl_reader *reader,
                      struct bl_symbols *symbols, const struct bl_growth_set *growth,
                      struct bl_model *model, const struct bl_model_options *options,
                      struct bl_error *error);
void bl_pairing_destroy(struct bl_pairing *pairing);

/* The finding that a live object is in, by its index in bl_reader_objects; of what a leaked buffer
 * holds that buffer's. NULL: none. */
const struct bl_finding *bl_pairing_finding_of(const struct bl_pairing *pairing, size_t object);
/* Is it there as one of the finding's parts only? */
bool bl_pairing_is_part(const struct bl_pairing *pairing, size_t object);

#endif
