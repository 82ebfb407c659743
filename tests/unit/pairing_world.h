/*
 * A made-up process for tests of verdicts: what its gateway did to buffers is written down with the
 * macros below, then judged, and the findings are looked up. Everything aborts the test when it
 * fails.
 */
#ifndef PAIRING_WORLD_H
#define PAIRING_WORLD_H

#include "ledger_synth.h"
#include "pairing.h"
#include "reach.h"

#define SECOND 1000000000ull
#define MILLI  1000000ull
#define START  (1 * SECOND)
#define END    (752 * SECOND)

/* A gateway whose filters keep buffers of a library: gw calls libbuf. */
struct world {
    struct synth *synth;
    uint32_t class;
    uint32_t gw;
    uint32_t library;
    uint32_t main_frame;
    uint32_t loop;
    uint32_t main_thread;
    uint32_t worker;
    struct bl_reader *reader;
    struct bl_model *model;
    struct bl_reaches *reaches;
    struct bl_pairing *pairing;
    struct bl_series_set *series;
    struct bl_growth_set *growth;
    struct bl_model_options options;
    bool is_killed; /* the process was, in the middle of its work */
};

extern struct bl_error error;

#define ALLOC(where)                                                                               \
    {                                                                                              \
        .op = BL_OP_ALLOC, .stack = (where), .delta = 1                                            \
    }
#define RETAIN(where)                                                                              \
    {                                                                                              \
        .op = BL_OP_RETAIN, .stack = (where), .delta = 1                                           \
    }
#define RELEASE(where)                                                                             \
    {                                                                                              \
        .op = BL_OP_RELEASE, .stack = (where), .delta = -1                                         \
    }
#define LAST(where)                                                                                \
    {                                                                                              \
        .op = BL_OP_END, .stack = (where), .delta = -1                                             \
    }
#define OVER(where)                                                                                \
    {                                                                                              \
        .op = BL_OP_OVER_RELEASE, .stack = (where), .delta = -1                                    \
    }

#define WITH_OWNER(where)                                                                          \
    {                                                                                              \
        .op = BL_OP_OWNER_END, .stack = (where), .delta = 0                                        \
    }

#define OPS(...)                                                                                   \
    (const struct synth_op[]){__VA_ARGS__},                                                        \
        sizeof((const struct synth_op[]){__VA_ARGS__}) / sizeof(struct synth_op)

struct world *make_world(void);
void finish(struct world *w);

/* The process is running, and this is how it was at END. */
void make_live(struct world *w);

/* A call at an offset of the gateway, from a caller. */
uint32_t at(struct world *w, uint32_t caller, uint64_t offset);
uint32_t inside(struct world *w, uint32_t caller, uint64_t offset);

/* `count` unreleased buffers of 1,000 bytes, born evenly over [from, to], a millisecond apart from
 * operation to operation. */
void live_in(struct world *w, uint32_t class_number, uint64_t count, uint64_t from, uint64_t to,
             const struct synth_op *ops, size_t op_count);
void live(struct world *w, uint64_t count, uint64_t from, uint64_t to, const struct synth_op *ops,
          size_t op_count);

/* `count` buffers that ended well, the last of them when the run did. */
void done(struct world *w, uint64_t count, uint64_t lifetime_ns, const struct synth_op *ops,
          size_t op_count);
void judge(struct world *w);
uint64_t offset_of(const struct world *w, uint32_t frame);

/* The memory of the site of a birth in time: one sample a second, from START to END; `live` says
 * how many buffers there were at a second, of 1,000 bytes each. */
void follow(struct world *w, uint32_t birth, uint32_t (*live_at)(uint32_t second));
uint32_t filled_by_half(uint32_t second);
uint32_t ever_more(uint32_t second);

/* One that ended well as others did, with its own ends and lifetimes. */
void done_between(struct world *w, uint64_t count, uint64_t shortest_ns, uint64_t longest_ns,
                  uint64_t first_end_ns, uint64_t last_end_ns, const struct synth_op *ops,
                  size_t op_count);

/* The group that is blamed (or, unreleased, was born) at an offset. */
const struct bl_group *find(const struct world *w, enum bl_verdict verdict, uint64_t offset);
size_t accusations(const struct world *w);
const struct bl_group *only(const struct world *w, enum bl_verdict verdict, uint64_t offset);

/* Everything is merely unreleased, for this reason. */
const struct bl_group *left_alone(const struct world *w, enum bl_ground ground);

#endif
