/*
 * What the files of the reader share: the file while it is open (reader_file.c), the sections that
 * were read of it, and the checks that make their references safe to follow (reader_check.c).
 */
#ifndef BL_READER_FILE_H
#define BL_READER_FILE_H

#include "error.h"
#include "ledger_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_tracked;

/* One extent's share of a section. */
struct bl_reader_part {
    uint64_t first;
    uint64_t count;
    uint64_t offset; /* in the file */
    bool is_private; /* in the target's memory instead */
    uint8_t *data;   /* NULL: private */
};

struct bl_reader_section {
    struct bl_reader_part *parts;
    size_t part_count;
    uint64_t count; /* published, and within the extents */
    uint64_t private_count;
};

struct bl_reader {
    struct bl_header header;
    struct bl_reader_section sections[BL_SECTION_COUNT];
    struct bl_live *live;
    uint32_t *live_numbers;
    size_t live_count;
    size_t live_room;
    bool reach_moved; /* a run began or ended while its results were read */
    struct bl_tracked *objects;
    size_t object_count;
    size_t object_room;
    uint64_t damage;
    uint64_t lost_bytes;
};

/* What is needed while the file is open. */
struct bl_source {
    int fd;
    const char *path;
    struct bl_error *error;
    uint64_t size;
    struct bl_header header;
    struct bl_extent extents[BL_EXTENTS_MAX];
    uint32_t extent_count;  /* up to the first that was lost */
    uint64_t bytes_planned; /* over all sections, at most the file's size: bounds overlaps */
    uint64_t bytes_loaded;  /* at most the machine's memory: a sparse file can claim anything */
};

#define BL_READER_CHUNK (1u << 20) /* bytes that are read at once */

/* Bytes of a record, by section. */
extern const uint32_t bl_reader_record_sizes[BL_SECTION_COUNT];

/* All of the bytes or an error. The file may be shorter by now. */
int bl_reader_read(struct bl_source *source, void *out, uint64_t length, uint64_t offset);

/* That this program understands the file. */
int bl_reader_check_header(const struct bl_header *header, const char *path,
                           struct bl_error *error);

/* Lays the published records of a section out over the extents; data is still to be read. */
int bl_reader_plan(struct bl_source *source, struct bl_reader *reader, enum bl_section which);
/* And reads them. */
int bl_reader_load(struct bl_source *source, struct bl_reader *reader, enum bl_section which);

/* What the directory says the file has, and it has not, in bytes. */
uint64_t bl_reader_count_lost(const struct bl_source *source);

/* NULL when it was not read. */
void *bl_reader_record(const struct bl_reader *reader, enum bl_section which, uint32_t number);

/* Makes what was loaded safe to follow, or 0, and counts the damage; with the histories (objects,
 * lifecycles and their events) when they were loaded as well. */
int bl_reader_check(struct bl_source *source, struct bl_reader *reader, bool has_histories);

#endif
