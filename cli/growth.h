/*
 * Growth: what memory in time means for each class and site of a process, and how long it can go
 * on.
 *
 * A class of which a followed site grows is growing, also where the coming and going of others
 * hides it; its rate is then that of these sites, and its step theirs. The step is what a buffer
 * more adds (the sizes of what stayed); growth per request is by the requests that a profile or
 * `per=` counts. Time to a limit is what is left of it by the rate; of several the soonest.
 *
 * Of the sites that were followed, those of the model's groups are found by the caller's own frame;
 * with --own, that is not the frame they were followed by, and groups have no growth.
 *
 * Owns what it allocates; borrows reader and series, which must live longer.
 */
#ifndef BL_GROWTH_H
#define BL_GROWTH_H

#include "error.h"
#include "model.h"
#include "reader.h"
#include "series.h"
#include "trend.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of fewer that ended in the time looked at, growth per request is not told. */
#define BL_GROWTH_REQUESTS_MIN 5u

enum bl_growth_limit {
    BL_GROWTH_NO_LIMIT,
    BL_GROWTH_LIMIT_OPTION, /* limit= */
    BL_GROWTH_LIMIT_CGROUP,
    BL_GROWTH_LIMIT_ADDRESS_SPACE, /* RLIMIT_AS */
    BL_GROWTH_LIMIT_DIRECT,        /* a JVM's, of direct buffers */
};

struct bl_growth {
    const struct bl_line *line; /* NULL: not followed */
    struct bl_trend_finding found;
    bool is_of_sites;     /* rate and step are those of the class's growing sites */
    uint64_t step_bytes;  /* for each buffer more; 0: none */
    bool is_step_exact;   /* else about so much */
    bool has_per_request; /* the next two are known */
    double bytes_per_request;
    double count_per_request;
    double to_limit_s; /* negative: none, or not growing */
    enum bl_growth_limit limit;
    /* what a byte and a buffer of its line stand for: 1, more of a sampled class or site, the
     * points of which are what was recorded */
    double byte_weight;
    double count_weight;
    double confidence; /* of growing, r / (r + 4) for r separate rises that were never given back;
                        * of steady, t / (t + 24) for t turns */
};

struct bl_growth_set {
    struct bl_growth classes[BL_CLASSES_MAX]; /* by class number */
    struct bl_growth rss;
    struct bl_growth cgroup;
    struct bl_growth address_space;         /* followed under RLIMIT_AS only */
    struct bl_growth direct[BL_DIRECT_MAX]; /* by number; see direct.h */
    struct bl_growth *sites;                /* of the lines of sites that were not given up */
    size_t site_count;
    const struct bl_line *requests; /* NULL: none were counted */
    char request_name[128];         /* the function that ends one */
};

/* per: the function that ends a request; NULL: that which ended most, if any is counted. Fails
 * where it is not counted. */
int bl_growth_create(struct bl_growth_set **ret_set, const struct bl_reader *reader,
                     const struct bl_series_set *series, const struct bl_model *model,
                     const char *per, struct bl_error *error);
void bl_growth_destroy(struct bl_growth_set *set);

/* Gives the groups of a model by site their growth, and those without a verdict a rank by it. */
int bl_growth_apply(struct bl_growth_set *set, struct bl_model *model,
                    const struct bl_model_options *options, struct bl_error *error);

/* "+96.3/min, +1,024 B each", "steady", … ; "-" for what is not known. */
void bl_growth_text(const struct bl_growth *growth, char *out, size_t size);

/* "cgroup", as in the JSON; NULL for none. */
const char *bl_growth_limit_name(enum bl_growth_limit limit);

/* "growing", "steady", "missing-release", …: the verdict on a group, as in the JSON. */
const char *bl_growth_verdict(const struct bl_group *group);
/* The same by rank. */
const char *bl_growth_rank_name(uint32_t rank);

#endif
