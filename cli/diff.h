/*
 * What is different between two moments: of one process, or of two that ran the same program, also
 * in another build.
 *
 * Groups of unreleased buffers are matched by name (naming.h); what has one name on one side is
 * added up.
 *
 * A verdict of A that B does not have any more is "fixed" only when B went the same way often
 * enough: with k of n leaked in A, the chance that n' buffers in B all came through by luck is
 * (1 - k/n)^n', and has to be below BL_DIFF_LUCK. The same way is the blamed place, its caller, and
 * as many more of them as the verdict was drawn from. Of heap blocks, of which only a sample is
 * seen to end, n is taken to be as large and n' as small as it can be. What was growing is fixed as
 * well where its line in B is long enough to tell that it does not. In one process nothing is fixed
 * that has more buffers at the later moment.
 *
 * Owns what it allocates; borrows both sides, which must live longer.
 */
#ifndef BL_DIFF_H
#define BL_DIFF_H

#include "error.h"
#include "growth.h"
#include "model.h"
#include "naming.h"
#include "verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_DIFF_LUCK 0.05

/* In the order of a report: worst first. */
enum bl_change {
    BL_CHANGE_NEW,
    BL_CHANGE_GROWN,
    BL_CHANGE_FIXED,
    BL_CHANGE_SHRUNK,
    BL_CHANGE_GONE,
    BL_CHANGE_UNCHANGED,
    BL_CHANGE_COUNT,
};

struct bl_diff_part {
    const struct bl_group *group; /* the heaviest of them; NULL: there is none */
    uint64_t groups;
    uint64_t count;
    uint64_t bytes;
    bool is_least;            /* it may have been more, see moment.h */
    uint32_t rank;            /* the worst of them, as in bl_group */
    double bytes_per_s;       /* of its whole run; of two processes only */
    double bytes_per_request; /* the same */
};

struct bl_diff_row {
    enum bl_change change;
    enum bl_origin_kind matched_by;
    const char *class_name;
    struct bl_diff_part part[2];
    int64_t count_change;
    int64_t bytes_change;
    double bytes_per_s; /* the change over the time between, whichever is earlier; of one process
                         * only */
    double bytes_per_request; /* the same over the requests between */
    double count_per_request;
    /* where B has A's verdict no longer: buffers released that passed the blamed place */
    bool was_accused;
    uint64_t passed[2];
    bool is_sample; /* of heap blocks, that is of a sample of them */
    double luck; /* the chance that all in B came through with the old fault; 0 also where B's own
                  * line in time does not grow any more, which `trend` says */
    const struct bl_growth *trend; /* NULL: not known */
};

struct bl_diff_class {
    const struct bl_class_sums *sums[2]; /* NULL: that side does not know the class */
    char name[64];
    int64_t count_change;
    int64_t bytes_change;
    double bytes_per_s[2]; /* as in a row; of one process both are the change */
};

struct bl_diff_total {
    uint64_t rows;
    int64_t count_change;
    int64_t bytes_change;
};

struct bl_diff {
    struct bl_diff_side sides[2];
    bool is_same_process;
    bool is_backwards; /* B is the earlier moment of the two */
    bool has_rate;     /* some time has passed */
    uint64_t elapsed_ns;
    /* of one process some were completed between, of two some in each; of one function */
    bool has_requests;
    uint64_t requests[2]; /* completed until that moment */
    const char *request_name;
    struct bl_diff_class *classes;
    size_t class_count;
    struct bl_diff_row *rows; /* by change, then the largest; only `shown` are asked for */
    size_t row_count;
    size_t shown;
    struct bl_diff_total totals[BL_CHANGE_COUNT];
    uint64_t below;     /* rows left out: they changed by less than min_bytes */
    uint64_t unmatched; /* rows of one side without a name: no other build has them */
};

struct bl_diff_options {
    const char *class_name;               /* NULL: all */
    uint64_t min_bytes;                   /* of a row's change */
    size_t top;                           /* 0: all */
    const struct bl_model_options *model; /* the sides were made with; for their callers */
};

int bl_diff_create(struct bl_diff **ret_diff, const struct bl_diff_side sides[2],
                   const struct bl_diff_options *options, struct bl_error *error);
void bl_diff_destroy(struct bl_diff *diff);

/* "new", "grown", "fixed" …, as in the JSON. */
const char *bl_diff_change_name(enum bl_change change);

#endif
