/*
 * What a live view shows of a process at one moment, and how it is looked up again and again.
 *
 * There are two kinds of looks. A light one reads the counters, what is followed in time, and
 * stacks; a full one reads every buffer as well, groups what is not followed and judges. What a
 * full look found is shown with the light ones that follow it. Both only read the ledger's file.
 *
 * A row is a class; a verdict (the buffers that are blamed at one place); or a site, with what no
 * verdict took away from it. How a row was in time is told by the series of its class, or of the
 * site that its buffers were allocated at.
 *
 * A looker keeps what is the same from look to look (symbols, verdicts); a frame owns all that is
 * in it and outlives its looker. One thread at a time uses a looker.
 */
#ifndef BL_TOP_LOOK_H
#define BL_TOP_LOOK_H

#include "assembled.h"
#include "direct.h"
#include "error.h"
#include "model.h"
#include "series.h"
#include "target.h"
#include "top_series.h"
#include "verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_TOP_NAME 64

/* Says which row is which from frame to frame; no two rows of a frame are equal in all. */
struct bl_top_key {
    uint32_t class_number;
    uint32_t module; /* of the site; UINT32_MAX: of a class */
    uint64_t offset;
    uint32_t kind;   /* enum bl_item_kind that is blamed */
    uint32_t caller; /* of a verdict: hash of the callers that it was drawn from; 0 else */
};

struct bl_top_row {
    struct bl_top_key key;
    char class_name[BL_TOP_NAME];
    uint64_t count;
    uint64_t bytes;
    uint64_t peak_bytes;
    uint64_t allocs; /* of a class */
    bool is_sampled; /* an estimate */
    struct bl_top_time time;
    uint32_t rank; /* of its verdict, as in bl_group */
    double confidence;
    char what[256];     /* function, or module and offset */
    char where[256];    /* file and line */
    uint32_t stack;     /* frame number to show from; 0: none */
    uint32_t line;      /* number of its series; 0: not followed */
    double byte_weight; /* of its points, see growth.h */
};

struct bl_top_mark {
    char name[4 * BL_MARK_NAME];
    uint64_t ago_ns;
};

struct bl_top_stack_line {
    char what[256];
    char where[256];
};

/* What the reactive chain of a place says of itself. */
struct bl_top_assembled {
    struct bl_assembled said;
    char text[320];
};

/* Of one row, all there is. */
struct bl_top_detail {
    struct bl_top_row row;
    bool is_there;  /* still, or again */
    char text[320]; /* the verdict's evidence */
    char note[192];
    struct bl_top_stack_line *stack;
    size_t stack_count;
    struct bl_top_assembled assembled[BL_ASSEMBLED_MAX]; /* most frequent first */
    size_t assembled_count;
    size_t assembled_others; /* left out */
    uint64_t asked;          /* events that were asked for it */
    struct bl_point *points; /* of the window */
    size_t point_count;
    uint64_t followed_ns; /* for how long */
    uint64_t peak_bytes;
    uint64_t peak_ago_ns;
};

struct bl_top_frame {
    /* the process */
    char comm[BL_TOP_NAME];
    pid_t pid;
    enum bl_process_state state;
    bool is_live; /* it changes: running, and no snapshot */
    char moment[128];
    uint64_t now_ns;
    uint64_t uptime_ns;
    uint64_t start_realtime_ns;
    char *path;
    uint64_t rss_bytes; /* 0: not known, as the others */
    uint64_t cgroup_bytes;
    uint64_t cgroup_limit_bytes;
    uint64_t limit_bytes;
    struct bl_direct_row direct[BL_DIRECT_MAX]; /* their growth is not valid here */
    size_t direct_count;
    double to_limit_s; /* the soonest of its limits, at the present rate; negative: none */
    bool is_sampled;
    bool is_incomplete; /* losses: `report` tells which */

    uint64_t window_ns;     /* that sparks and points are of; 0: all there is */
    uint64_t span_ns;       /* how much of it there is */
    uint64_t judged_ago_ns; /* UINT64_MAX: not yet */
    struct bl_top_row *classes;
    size_t class_count;
    struct bl_top_row *sites; /* verdicts too */
    size_t site_count;
    struct bl_top_mark *marks; /* newest first */
    size_t mark_count;
    struct bl_top_detail *detail; /* NULL: not asked for */
};

void bl_top_frame_destroy(struct bl_top_frame *frame);

/* Is it the same row? */
bool bl_top_key_equals(const struct bl_top_key *a, const struct bl_top_key *b);

struct bl_top_wish {
    uint64_t window_ns;
    bool has_detail;
    struct bl_top_key detail;
};

struct bl_top_looker;

/* Borrows the target. */
int bl_top_looker_create(struct bl_top_looker **ret_looker, const struct bl_target *target,
                         const struct bl_model_options *options, struct bl_error *error);
void bl_top_looker_destroy(struct bl_top_looker *looker);

enum bl_top_depth {
    BL_TOP_AGAIN, /* the latest reading, as another wish wants it */
    BL_TOP_LIGHT,
    BL_TOP_FULL,
};

int bl_top_look(struct bl_top_looker *looker, enum bl_top_depth depth,
                const struct bl_top_wish *wish, struct bl_top_frame **ret_frame,
                struct bl_error *error);

#endif
