/*
 * The verdict: what became of the references of each unreleased buffer, in groups, with evidence.
 *
 * Every live history is compared with the lifecycles that ended well. Is it the beginning of one
 * of them, the buffer is in use, or stale when it is far older than they became. Else the
 * comparison shows which acquire has no partner, and buffers that lack the partner of the same
 * acquire are one finding. How much of the acquire's stack it takes to tell the leaking callers
 * from the others is decided by their leak rates.
 *
 * Confidence. With k of the n buffers that passed the blamed acquire leaked, and k' of the n' that
 * did not pass it, confidence is (k+1)/(n+2) - (k'+1)/(n'+2), at least 0: the rate with less the
 * rate without, each by Laplace's rule of succession (P. S. Laplace, Essai philosophique sur les
 * probabilites, 1814), so that few buffers cannot make certainty. The difference of rates is the
 * "increase" of B. Liblit et al., Scalable Statistical Bug Isolation, PLDI 2005. Where an expected
 * release is known from siblings the same is done for its absence, and the larger of the two
 * counts; it is cut by a third when the comparison was not exact. That of a stale buffer is halved.
 *
 * Owns what it allocates; borrows reader and model.
 */
#ifndef BL_PAIRING_H
#define BL_PAIRING_H

#include "callers.h"
#include "error.h"
#include "histories.h"
#include "model.h"
#include "reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Worst first. */
enum bl_verdict {
    BL_VERDICT_MISSING_RELEASE,
    BL_VERDICT_NEVER_RELEASED,
    BL_VERDICT_OVER_RELEASE,
    BL_VERDICT_STALE,
    BL_VERDICT_UNRELEASED, /* the evidence does not carry more */
};

/* Why a buffer is only called unreleased. */
enum bl_ground {
    BL_GROUND_ACCUSED, /* it is called more */
    BL_GROUND_IN_USE,
    BL_GROUND_YOUNG,
    BL_GROUND_OLD, /* older than siblings became, but not by much */
    BL_GROUND_STEADY,
    BL_GROUND_MOVING,
    BL_GROUND_OVERFLOW,
    BL_GROUND_DRIFTED,
    BL_GROUND_INHERITED,
    BL_GROUND_SETTLED,
    BL_GROUND_UNEXPLAINED,
    BL_GROUND_PART,
    BL_GROUND_COUNT,
};

struct bl_reference {
    enum bl_item_kind kind;
    uint32_t frame; /* the site: the stack from there on */
    uint64_t count; /* references, of all buffers of the finding */
    bool is_blamed;
};

#define BL_FINDING_REFERENCES 16
#define BL_FINDING_PARTS      4

/* Buffers of another class that a leaked one holds, and that go with it. */
struct bl_part {
    uint32_t class_number;
    uint64_t count;
    uint64_t bytes;
};

struct bl_finding {
    enum bl_verdict verdict;
    enum bl_ground ground;
    double confidence;
    enum bl_item_kind blame_kind;
    uint32_t blame_frame; /* the site of most of its buffers; 0: unknown */
    uint64_t blame_stacks;
    uint32_t alloc_frame;
    uint64_t alloc_stacks;
    uint64_t refs_min; /* references of a buffer that are not given back */
    uint64_t refs_max;
    /* what passed the blamed acquire, and what did not */
    uint64_t leaked;
    uint64_t passed;
    uint64_t other_leaked;
    uint64_t other_passed;
    uint64_t siblings; /* completed ones that the verdict was drawn from */
    uint64_t sibling_p99_ns;
    uint64_t shared; /* buffers that are in another finding as well: two references are missing */
    uint32_t expected_frame; /* where siblings give the reference back; 0: unknown */
    uint64_t expected_count;
    struct bl_reference references[BL_FINDING_REFERENCES];
    size_t reference_count;
    struct bl_part parts[BL_FINDING_PARTS];
    size_t part_count;
    char text[320]; /* the evidence in words */
    char note[192]; /* what limits it; "" */
};

struct bl_pairing;

/* Judges the live objects and hands the groups to the model, which must outlive the pairing's
 * findings only as long as it is rendered. Takes class_name, min_age_ns, min_bytes, own and
 * keep_stack from the options. */
int bl_pairing_create(struct bl_pairing **ret_pairing, const struct bl_reader *reader,
                      struct bl_model *model, const struct bl_model_options *options,
                      struct bl_error *error);
void bl_pairing_destroy(struct bl_pairing *pairing);

/* "missing-release", as in the JSON. */
const char *bl_pairing_verdict(enum bl_verdict verdict);

#endif
