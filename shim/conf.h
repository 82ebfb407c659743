/*
 * BUFLEAK_OPTIONS: colon-separated key=value.
 *
 * Owns nothing: the result is the caller's. Called once from the constructor, before any thread.
 * Allocates nothing. Errors: each unknown key or bad value is reported through the callback and the
 * default kept; parsing goes on.
 */
#ifndef BL_CONF_H
#define BL_CONF_H

#include "compiler.h"

#define BL_DEPTH_MAX     512u
#define BL_DEPTH_DEFAULT 64u

struct bl_conf {
    uint32_t depth_frames;
    uint64_t sample_bytes; /* 1 = every buffer; else mean bytes between recorded blocks */
    uint64_t interval_ns;
    int signal; /* 0 = none */
    bool follow;
    bool at_exit;
    bool quiet;
    bool mmap;
    bool reach_at_exit;
    int reach_signal;     /* a real-time signal that threads may be stopped by, 0 = none */
    const char *profiles; /* names and paths, comma-separated; NULL = auto. In the options' text */
    size_t profiles_length;
    const char *per; /* the function whose return completes a request; NULL = none. As profiles */
    size_t per_length;
    uint64_t limit_bytes; /* 0 = none */
    bool limit_fails;
    uint64_t java_blocks; /* the smallest block taken below Java code whose Java stack is taken */
    uint32_t java_check;  /* of the recognised Java stacks at least one in so many is compared */
    uint32_t fault_arena; /* for tests: every n-th mapping of private memory fails; 0 = none */
};

/* what: the offending "key=value" (length bytes); accepted: what would have been understood. */
typedef void bl_conf_error_fn(void *context, const char *what, size_t length, const char *accepted);

void bl_conf_defaults(struct bl_conf *conf);
/* options may be NULL. Returns the number of errors reported. */
int bl_conf_parse(struct bl_conf *conf, const char *options, bl_conf_error_fn *error,
                  void *context);

#endif
