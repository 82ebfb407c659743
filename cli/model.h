/*
 * What a report says, in numbers: classes with their sums and live buffers put into groups. Buffers
 * of reference-counted classes are put into groups here only when something else than their place
 * in the code is asked for: by site they are judged (pairing.h).
 *
 * One pass over the live buffers adds them up per (class, stack, group key); everything after that
 * works on the few distinct sums, so a million buffers cost one hash lookup each. No symbol is
 * looked up here except through the caller's `keep_stack`.
 *
 * Owns what it allocates; borrows the reader, which must live longer.
 */
#ifndef BL_MODEL_H
#define BL_MODEL_H

#include "error.h"
#include "proc.h"
#include "reach.h"
#include "reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_MODEL_FRAMES_MAX 1024 /* of one stack; a hostile file can chain millions */
#define BL_MODEL_OWN_MAX    16

enum bl_group_by {
    BL_GROUP_SITE, /* the caller's innermost own frame */
    BL_GROUP_STACK,
    BL_GROUP_MODULE,
    BL_GROUP_SIZE,
    BL_GROUP_THREAD,
    BL_GROUP_AGE,
};

/* What makes a process's past tense: decided from the header and the kernel. */
enum bl_process_state {
    BL_PROCESS_RUNNING,
    BL_PROCESS_EXITED,
    BL_PROCESS_KILLED,
    BL_PROCESS_REPLACED, /* by another program, with exec */
};

enum bl_process_state bl_model_state_of(const struct bl_header *header, bool is_running);

struct bl_model_options {
    enum bl_group_by group_by;
    const char *class_name; /* NULL: all */
    uint64_t min_age_ns;
    uint64_t min_bytes;                /* of a group */
    size_t top;                        /* 0: all */
    const char *own[BL_MODEL_OWN_MAX]; /* patterns for the modules that are the user's own */
    size_t own_count;
    /* Only stacks for which this answers true; NULL: all. */
    bool (*keep_stack)(void *context, uint32_t stack);
    void *keep_context;
    const struct bl_reaches *reaches; /* NULL: what holds the buffers is unknown */
};

struct bl_class_sums {
    char name[64];
    uint32_t number;
    uint64_t live_count;
    uint64_t live_bytes;
    uint64_t peak_bytes;
    uint64_t allocs;
    uint64_t retains;
    uint64_t releases; /* operations; buffers that ended where there are no others */
    uint64_t ended;    /* buffers */
    uint64_t over_releases;
    uint64_t recorded; /* of a sampled class, what its live estimates stand on; else 0 */
    uint64_t recorded_bytes;
};

struct bl_group {
    uint32_t class_number;
    uint32_t stack; /* of most of its bytes */
    uint32_t site;  /* frame number in that stack: the caller's innermost own frame; 0: none */
    uint64_t stack_count;
    uint64_t count; /* estimated when the ledger is sampled */
    uint64_t bytes;
    uint64_t recorded; /* records behind these numbers */
    uint64_t recorded_bytes;
    bool is_least;      /* of a moment that is past: it may have been more */
    uint64_t inherited; /* of count: born in the parent, before the fork */
    uint64_t inherited_bytes;
    uint64_t oldest_ns; /* ages */
    uint64_t youngest_ns;
    uint64_t key;  /* size in bytes, thread number, module number, or index of the age range */
    uint32_t rank; /* of its verdict, worst is 0; BL_MODEL_RANK_PLAIN without one */
    const struct bl_finding *finding;   /* see verdict.h; NULL: not judged */
    const struct bl_siblings *siblings; /* see siblings.h; NULL: none was seen to end */
    struct bl_reach_sums reach;         /* of its records */
    const struct bl_growth *growth;     /* of its site, see growth.h; NULL: not followed */
};

/* Below are the verdicts on histories. */
#define BL_MODEL_RANK_GROWING 4
#define BL_MODEL_RANK_PLAIN   5 /* "unreleased" */
#define BL_MODEL_RANK_STEADY  6

struct bl_model {
    const struct bl_reader *reader;
    enum bl_group_by group_by;
    enum bl_process_state state;
    bool is_sampled; /* numbers are estimates */
    uint64_t now_ns; /* the moment the numbers stand for */
    uint64_t uptime_ns;
    struct bl_class_sums classes[BL_CLASSES_MAX];
    size_t class_count;
    struct bl_group
        *groups; /* worst first, what was inherited last; only the first `shown` are asked for */
    size_t group_count;
    size_t shown;
    uint64_t buffers_unreadable; /* alive, but recorded in the target's private memory */
    /* of the heap of a killed process: counted and not in the file, or the other way round; the
     * file then is not whole */
    uint64_t buffers_missing;
    uint64_t buffers_uncounted;
};

/* `is_running`: the kernel still has the process that wrote the ledger. */
int bl_model_create(struct bl_model **ret_model, const struct bl_reader *reader, bool is_running,
                    const struct bl_model_options *options, struct bl_error *error);
void bl_model_destroy(struct bl_model *model);

/* Adds groups that were judged elsewhere, worst first as all others. */
int bl_model_add_groups(struct bl_model *model, const struct bl_group *groups, size_t count,
                        const struct bl_model_options *options, struct bl_error *error);

/* Of a sampled ledger, what a class's recorded live blocks stand for. */
void bl_model_estimate(const struct bl_reader *reader, uint32_t class_number, double *ret_count,
                       double *ret_bytes);

/* After ranks have changed. */
void bl_model_sort(struct bl_model *model);

/* The class's name, "?" when the file does not say. */
const char *bl_model_class_name(const struct bl_model *model, uint32_t class_number);

/* Frame numbers of a stack, innermost first, without the shim's own; returns how many were stored,
 * at most `max`. */
size_t bl_model_stack(const struct bl_reader *reader, uint32_t stack, uint32_t *out, size_t max);
/* How many frames a stack has inside one of its frames; -1: the frame is none of it. */
int bl_model_frames_inside(const struct bl_reader *reader, uint32_t stack, uint32_t frame);

/* The first thread of a forked child; buffers recorded under lower numbers are its parent's. Birth
 * times cannot tell exactly: their clock ticks a few milliseconds apart. 0 when there is none. */
uint32_t bl_model_first_own_thread(const struct bl_reader *reader);

/* Was the buffer born in the parent, before the fork that made this process? */
bool bl_model_is_inherited(const struct bl_header *header, uint32_t first_own_thread,
                           const struct bl_live *record);

/* Is this a module whose code allocates for others: C and C++ libraries, allocators, the loader? */
bool bl_model_is_runtime(const char *module_path);

/* The lowest module number with the same path and build-id within reach; the number itself when it
 * is the first. */
uint32_t bl_model_first_same_module(const struct bl_reader *reader, uint32_t number);

/* "1s-10s", "1d and more" for the key of an age group. */
const char *bl_model_age_range(uint64_t key);

#endif
