/*
 * Opens a ledger or a snapshot and hands out its records.
 *
 * Everything is copied into private memory with pread while the file is open: the file may grow
 * under us, shrink, or be hostile, and a mapping of a file that shrinks is a SIGBUS. Dependencies
 * are read last (live buffers, then objects, lifecycles and their events, then series, free paths,
 * threads and frames, then modules, then names), each with a fresh look at the header, so that
 * whatever a record of a running target refers to is there.
 *
 * What a caller gets is checked: frame parents are lower than the frame, module, class, thread and
 * frame numbers exist, names lie inside the pool, and no event is in two histories or twice in one,
 * so that walking all histories takes as many steps as there are events. A reference that fails
 * becomes 0 ("unknown") and is counted as damage. Structural faults (no magic, newer version,
 * extents outside the file) make open fail with one line that says so.
 */
#ifndef BL_READER_H
#define BL_READER_H

#include "error.h"
#include "ledger_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_reader;

enum bl_reader_scope {
    BL_READER_SUMMARY, /* classes, counters, hooks and threads only: cheap, for lists */
    BL_READER_SERIES,  /* and memory in time, marks and stacks: all but the buffers */
    BL_READER_ALL,
};

/* Reads only the header page of `fd` and checks that it is one this program understands. */
int bl_reader_read_header(int fd, const char *path, struct bl_header *ret_header,
                          struct bl_error *error);

/* `fd` is borrowed and not used after the call. `path` is for messages. */
int bl_reader_create(struct bl_reader **ret_reader, int fd, const char *path,
                     enum bl_reader_scope scope, struct bl_error *error);
void bl_reader_destroy(struct bl_reader *reader);

const struct bl_header *bl_reader_header(const struct bl_reader *reader);

/* Published and readable records; numbers below this are valid for the accessors below. */
uint32_t bl_reader_count(const struct bl_reader *reader, enum bl_section section);

/* Records that the target keeps in private memory because its file could not grow. */
uint64_t bl_reader_private_records(const struct bl_reader *reader, enum bl_section section);

/* References that pointed nowhere; 0 in an intact file. */
uint64_t bl_reader_damage(const struct bl_reader *reader);

/* Of what the file had, how much is not in it any more: it was cut short, or its directory was
 * lost, as when the power went. The records there, and later ones of the same section, are as if
 * they had not been published. */
uint64_t bl_reader_lost_bytes(const struct bl_reader *reader);

/* The live buffers that were whole when they were read, in no order. Those that the program asked
 * to ignore are not among them. */
const struct bl_live *bl_reader_live(const struct bl_reader *reader, size_t *ret_count);

/* Their record numbers, in the same order. */
const uint32_t *bl_reader_live_numbers(const struct bl_reader *reader);

/* What was found of reach, see cli/reach.h for its meaning. NULL: nothing was asked for, or a run
 * was under way while the file was read. */
const struct bl_reach_run *bl_reader_reach_run(const struct bl_reader *reader);
/* By the number of the live record; not checked: see reach.h. */
const struct bl_reach *bl_reader_reach(const struct bl_reader *reader, uint32_t number);
const struct bl_reach_root *bl_reader_reach_root(const struct bl_reader *reader, uint32_t number);

/* A live buffer of a reference-counted class. */
struct bl_tracked {
    struct bl_object object;
    uint32_t number;
    bool
        is_moving; /* its history changed while it was read: it is in use, and has no events here */
};

/* Those that were whole when they were read, by number, but for those to be ignored. */
const struct bl_tracked *bl_reader_objects(const struct bl_reader *reader, size_t *ret_count);

/* NULL for an unused record. */
const struct bl_lifecycle *bl_reader_lifecycle(const struct bl_reader *reader, uint32_t number);

/* NULL for an unused record, and for one that was changing while it was read. */
const struct bl_free_path *bl_reader_free_path(const struct bl_reader *reader, uint32_t number);
const struct bl_assembly *bl_reader_assembly(const struct bl_reader *reader, uint32_t number);

/* Copies a list of at most `count` events from `newest` on, newest first; returns how many were
 * stored, at most `max`. */
size_t bl_reader_history(const struct bl_reader *reader, uint32_t newest, uint32_t count,
                         struct bl_event *out, size_t max);

/* NULL when the number is unknown or the record is in the target's private memory. */
const struct bl_frame *bl_reader_frame(const struct bl_reader *reader, uint32_t number);
const struct bl_module *bl_reader_module(const struct bl_reader *reader, uint32_t number);
const struct bl_thread *bl_reader_thread(const struct bl_reader *reader, uint32_t number);
const struct bl_class *bl_reader_class(const struct bl_reader *reader, uint32_t number);
const struct bl_hook *bl_reader_hook(const struct bl_reader *reader, uint32_t number);

/* As they are in the file, whole but not checked: see series.h. */
const struct bl_series *bl_reader_series(const struct bl_reader *reader, uint32_t number);
const struct bl_samples *bl_reader_samples(const struct bl_reader *reader, uint32_t number);
const struct bl_mark *bl_reader_mark(const struct bl_reader *reader, uint32_t number);
const struct bl_boundary *bl_reader_boundary(const struct bl_reader *reader, uint32_t number);

/* Sum over the shards of one class; all zero for an unknown class. */
struct bl_counter bl_reader_counter(const struct bl_reader *reader, uint32_t class_number);

/* Raw bytes, not to be printed as they are; NULL when there is no such name. */
const char *bl_reader_name(const struct bl_reader *reader, uint32_t offset, size_t *ret_length);

/* The name made printable and NUL-terminated in `out`; false (and "") when there is none. */
bool bl_reader_name_text(const struct bl_reader *reader, uint32_t offset, char *out, size_t size);

#endif
