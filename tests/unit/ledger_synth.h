/*
 * Makes ledgers for tests, without the shim: the second, independent reading of the format.
 *
 * Records are collected in growing arrays and laid out by synth_bytes, each section over as many
 * extents as `extent_pages` asks for, so that tests can also have sections in many pieces. Every
 * function aborts without memory. The header and the finished bytes may be changed at will.
 */
#ifndef LEDGER_SYNTH_H
#define LEDGER_SYNTH_H

#include "ledger_format.h"

#include <stddef.h>
#include <stdint.h>

struct synth {
    struct bl_header header;
    struct {
        uint8_t *data;
        size_t length;
    } sections[BL_SECTION_COUNT];
    uint32_t extent_pages; /* 0 = one extent per section */
};

struct synth *synth_create(void);
void synth_destroy(struct synth *synth);

uint32_t synth_name(struct synth *synth, const char *text, size_t length);
uint32_t synth_module(struct synth *synth, const char *path, const void *build_id,
                      uint32_t build_id_length, uint32_t flags);
uint32_t synth_frame(struct synth *synth, uint32_t parent, uint32_t module, uint64_t offset);
uint32_t synth_thread(struct synth *synth, uint32_t tid, const char *name);
uint32_t synth_class(struct synth *synth, const char *name);
void synth_hook(struct synth *synth, const char *function, uint32_t class_number, uint32_t method,
                const char *why);

/* A function in the module at `path` inside which what is made stays. */
void synth_lasting(struct synth *synth, const char *path, uint32_t start, uint32_t bytes,
                   uint32_t flags);

/* A live buffer, counted as allocated. Returns its record number. */
uint32_t synth_live(struct synth *synth, uint32_t class_number, uint64_t size, uint32_t stack,
                    uint32_t thread, uint64_t birth_ns);
/* Buffers that came and went. */
void synth_ended(struct synth *synth, uint32_t class_number, uint64_t count, uint64_t bytes);

/* Makes it a class whose buffers have histories. */
void synth_refcounted(struct synth *synth, uint32_t class_number, const char *own_modules);

struct synth_op {
    enum bl_op op;
    uint32_t stack;
    int32_t delta;
    uint64_t time_ns;
    uint32_t thread;
    uint32_t folded; /* 0 is 1 */
};

/* A live buffer with its history, oldest operation (the alloc) first, counted in its class.
 * Returns its record number. */
uint32_t synth_object(struct synth *synth, uint32_t class_number, uint64_t size, uint64_t birth_ns,
                      const struct synth_op *ops, size_t count);
/* `count` buffers that lived through these operations for lifetime_ns and ended well. */
uint32_t synth_lifecycle(struct synth *synth, uint32_t class_number, uint64_t count,
                         uint64_t lifetime_ns, uint64_t last_ns, const struct synth_op *ops,
                         size_t op_count);

/* Something followed in time; stack is a site's, which is its innermost frame. */
uint32_t synth_series(struct synth *synth, enum bl_series_kind kind, uint32_t class_number,
                      uint32_t stack, uint64_t since_ns);
/* Appends samples to a series, over as many blocks as they need: bytes, total and count of each as
 * given, `after` in units of unit_ns since base_ns. Of a coarse level, min_bytes and max_bytes are
 * one tenth below and above. */
void synth_samples(struct synth *synth, uint32_t series, uint32_t level, uint64_t base_ns,
                   uint64_t unit_ns, const struct bl_sample *samples, size_t count);
/* The next mark, with the counters of class 0 as they are. Returns its record number. */
uint32_t synth_mark(struct synth *synth, const char *name, enum bl_mark_kind kind,
                    uint64_t time_ns);
/* A request boundary. Returns its record number. */
uint32_t synth_boundary(struct synth *synth, const char *function, uint64_t completed);
/* What the reactive chain of a stack said of itself, `count` times. Returns its record number. */
uint32_t synth_assembly(struct synth *synth, uint32_t stack, const char *text,
                        enum bl_assembly_relation relation, uint32_t count);
/* `count` sampled heap blocks of one allocation stack that ended at another one. */
uint32_t synth_free_path(struct synth *synth, uint32_t alloc_stack, uint32_t free_stack,
                         uint64_t count, enum bl_op op);

/* What holds a live buffer, as a run of reach found it: another one, or a root. All live buffers
 * are there before, and have no reach until then. */
void synth_reach(struct synth *synth, uint32_t live, enum bl_reach_grade grade, uint32_t holder,
                 uint64_t slot);
void synth_reach_root(struct synth *synth, uint32_t live, const struct bl_reach_root *root);
/* The run that found it. */
struct bl_reach_run *synth_reach_run(struct synth *synth, enum bl_reach_outcome outcome,
                                     const char *why);

/* The record itself, to be bent by a test. */
void *synth_record(struct synth *synth, enum bl_section section, uint32_t number);

/* The finished file; freed by the caller. */
uint8_t *synth_bytes(struct synth *synth, size_t *ret_size);
/* Writes it to `path`. */
void synth_write(struct synth *synth, const char *path);
/* An open, unlinked file that holds these bytes. */
int synth_file(const void *bytes, size_t size);

#endif
