#include "reader_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const uint32_t bl_reader_record_sizes[BL_SECTION_COUNT] = {
    [BL_SECTION_NAMES] = 1,
    [BL_SECTION_MODULES] = sizeof(struct bl_module),
    [BL_SECTION_FRAMES] = sizeof(struct bl_frame),
    [BL_SECTION_THREADS] = sizeof(struct bl_thread),
    [BL_SECTION_CLASSES] = sizeof(struct bl_class),
    [BL_SECTION_COUNTERS] = sizeof(struct bl_counters),
    [BL_SECTION_LIVE] = sizeof(struct bl_live),
    [BL_SECTION_HOOKS] = sizeof(struct bl_hook),
    [BL_SECTION_OBJECTS] = sizeof(struct bl_object),
    [BL_SECTION_EVENTS] = sizeof(struct bl_event),
    [BL_SECTION_LIFECYCLES] = sizeof(struct bl_lifecycle),
    [BL_SECTION_SERIES] = sizeof(struct bl_series),
    [BL_SECTION_SAMPLES] = sizeof(struct bl_samples),
    [BL_SECTION_MARKS] = sizeof(struct bl_mark),
    [BL_SECTION_BOUNDARIES] = sizeof(struct bl_boundary),
    [BL_SECTION_FREE_PATHS] = sizeof(struct bl_free_path),
    [BL_SECTION_REACH] = sizeof(struct bl_reach),
    [BL_SECTION_REACH_ROOTS] = sizeof(struct bl_reach_root),
    [BL_SECTION_REACH_RUN] = sizeof(struct bl_reach_run),
    [BL_SECTION_ASSEMBLIES] = sizeof(struct bl_assembly),
};

int bl_reader_read(struct bl_source *source, void *out, uint64_t length, uint64_t offset)
{
    uint8_t *to = out;
    while (length > 0) {
        size_t step = length < BL_READER_CHUNK ? (size_t)length : BL_READER_CHUNK;
        ssize_t got = pread(source->fd, to, step, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return bl_error_set(source->error, "cannot read %s: %s", source->path, strerror(errno));
        if (got == 0)
            return bl_error_set(source->error, "%s is truncated: it ends at byte %llu",
                                source->path, (unsigned long long)offset);
        to += got;
        offset += (uint64_t)got;
        length -= (uint64_t)got;
    }
    return 0;
}

/* The same of what may lie beyond the end of a file that was cut: zeros. */
static int read_present(struct bl_source *source, void *out, uint64_t length, uint64_t offset)
{
    uint64_t present = source->size > offset ? source->size - offset : 0;
    if (present > length)
        present = length;
    memset((uint8_t *)out + present, 0, length - present);
    return present > 0 ? bl_reader_read(source, out, present, offset) : 0;
}

int bl_reader_check_header(const struct bl_header *header, const char *path, struct bl_error *error)
{
    if (memcmp(header->magic, BL_MAGIC, sizeof(header->magic)) != 0)
        return bl_error_set(error, "%s is not a bufleak ledger", path);
    if (header->version > BL_VERSION_FORMAT)
        return bl_error_set(error,
                            "%s was written by a newer bufleak (ledger format %u, this program "
                            "reads %u): upgrade bufleak to read it",
                            path, header->version, BL_VERSION_FORMAT);
    if (header->version == 0)
        return bl_error_set(error, "%s is damaged: its format version is 0", path);
    if (header->version < BL_VERSION_FORMAT)
        return bl_error_set(error,
                            "%s was written by an older bufleak (ledger format %u, this program "
                            "reads %u): read it with that one",
                            path, header->version, BL_VERSION_FORMAT);
    if (header->incompatible_flags & ~BL_INCOMPAT_KNOWN)
        return bl_error_set(error,
                            "%s uses a ledger feature this program does not know (flags 0x%x): "
                            "upgrade bufleak to read it",
                            path, header->incompatible_flags);
    if (header->header_size != sizeof(struct bl_header))
        return bl_error_set(error, "%s is damaged: its header says it has %u bytes, not %zu", path,
                            header->header_size, sizeof(struct bl_header));
    return 0;
}

/* A fresh look at the header, the directory and the size, in the order that makes every published
 * extent lie inside the file. */
static int refresh(struct bl_source *source)
{
    if (bl_reader_read(source, &source->header, sizeof(source->header), 0) < 0)
        return -1;
    if (bl_reader_check_header(&source->header, source->path, source->error) < 0)
        return -1;
    source->extent_count = source->header.extents_used;
    if (source->extent_count > BL_EXTENTS_MAX)
        return bl_error_set(source->error,
                            "%s is damaged: it says it has %u extents, %u is the most",
                            source->path, source->extent_count, BL_EXTENTS_MAX);
    struct stat status;
    if (fstat(source->fd, &status) < 0)
        return bl_error_set(source->error, "cannot read %s: %s", source->path, strerror(errno));
    source->size = (uint64_t)status.st_size;
    uint64_t length = source->extent_count * (uint64_t)sizeof(struct bl_extent);
    if (read_present(source, source->extents, length, BL_EXTENTS_OFFSET) < 0)
        return -1;
    if (fstat(source->fd, &status) < 0)
        return bl_error_set(source->error, "cannot read %s: %s", source->path, strerror(errno));
    source->size = (uint64_t)status.st_size;
    for (uint32_t i = 0; i < source->extent_count; i++)
        if (source->extents[i].pages == 0)
            source->extent_count = i;
    return 0;
}

/* How much of an extent the file has: after the power went it may end early, or have zeros where
 * its directory was. */
static uint64_t present_bytes(const struct bl_source *source, const struct bl_extent *extent)
{
    uint64_t length = (uint64_t)extent->pages * BL_PAGE;
    if (extent->flags & BL_EXTENT_PRIVATE || extent->offset % BL_PAGE != 0 ||
        extent->offset < BL_EXTENTS_END || extent->offset >= source->size)
        return 0;
    return length <= source->size - extent->offset ? length : source->size - extent->offset;
}

static int check_extent(struct bl_source *source, uint32_t number)
{
    source->bytes_planned += present_bytes(source, &source->extents[number]);
    if (source->bytes_planned > source->size)
        return bl_error_set(source->error, "%s is damaged: its extents hold more than the file",
                            source->path);
    return 0;
}

/* How many records of a section an extent holds. After one that is not whole the section has no
 * more: what was published later is lost with it. */
static uint64_t records_in(const struct bl_source *source, const struct bl_extent *extent,
                           enum bl_section section, bool *ret_whole)
{
    uint64_t length = (uint64_t)extent->pages * BL_PAGE;
    uint64_t present = extent->flags & BL_EXTENT_PRIVATE ? length : present_bytes(source, extent);
    *ret_whole = present == length;
    return present / bl_reader_record_sizes[section];
}

/* How many records of a section its extents hold. */
static int measure(struct bl_source *source, enum bl_section section, uint64_t *ret_capacity,
                   size_t *ret_parts, bool *ret_whole)
{
    uint64_t capacity = 0;
    size_t parts = 0;
    *ret_whole = source->extent_count == source->header.extents_used;
    for (uint32_t i = 0; i < source->extent_count; i++) {
        bool is_whole;
        if (source->extents[i].section != (uint16_t)section)
            continue;
        if (check_extent(source, i) < 0)
            return -1;
        capacity += records_in(source, &source->extents[i], section, &is_whole);
        parts++;
        *ret_whole = *ret_whole && is_whole;
        if (!is_whole)
            break;
    }
    *ret_capacity = capacity;
    *ret_parts = parts;
    return 0;
}

/* The header is copied while the target writes to it: a count may be newer than the directory that
 * was copied just before it, so look again before calling it damage. */
static int settle(struct bl_source *source, enum bl_section section, uint64_t *ret_count,
                  size_t *ret_parts, uint64_t *damage)
{
    uint64_t planned_before = source->bytes_planned;
    for (int attempt = 0;; attempt++) {
        uint64_t capacity;
        bool is_whole;
        source->bytes_planned = planned_before;
        if (refresh(source) < 0 || measure(source, section, &capacity, ret_parts, &is_whole) < 0)
            return -1;
        uint64_t published = source->header.published[section];
        if (published <= capacity && published < UINT32_MAX) {
            *ret_count = published;
            return 0;
        }
        if (attempt == 3 || !is_whole) {
            *ret_count = capacity < UINT32_MAX ? capacity : UINT32_MAX - 1;
            *damage += is_whole;
            return 0;
        }
    }
}

int bl_reader_plan(struct bl_source *source, struct bl_reader *reader, enum bl_section which)
{
    struct bl_reader_section *section = &reader->sections[which];
    size_t parts;
    if (settle(source, which, &section->count, &parts, &reader->damage) < 0)
        return -1;
    section->parts = calloc(parts + 1, sizeof(struct bl_reader_part));
    if (!section->parts)
        return bl_error_set(source->error, "not enough memory to read %s", source->path);
    uint64_t first = 0;
    for (uint32_t i = 0; i < source->extent_count && section->part_count < parts; i++) {
        const struct bl_extent *extent = &source->extents[i];
        bool is_whole;
        if (extent->section != (uint16_t)which)
            continue;
        uint64_t room = records_in(source, extent, which, &is_whole);
        uint64_t left = section->count - first;
        struct bl_reader_part *part = &section->parts[section->part_count++];
        *part = (struct bl_reader_part){.first = first,
                                        .count = left < room ? left : room,
                                        .offset = extent->offset,
                                        .is_private = extent->flags & BL_EXTENT_PRIVATE};
        if (part->is_private)
            section->private_count += part->count;
        first += part->count;
    }
    return 0;
}

int bl_reader_load(struct bl_source *source, struct bl_reader *reader, enum bl_section which)
{
    const uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct bl_reader_section *section = &reader->sections[which];
    if (bl_reader_plan(source, reader, which) < 0)
        return -1;
    for (size_t i = 0; i < section->part_count; i++) {
        struct bl_reader_part *part = &section->parts[i];
        uint64_t length = part->count * bl_reader_record_sizes[which];
        if (part->is_private || length == 0)
            continue;
        source->bytes_loaded += length;
        part->data = source->bytes_loaded <= memory ? malloc(length) : NULL;
        if (!part->data)
            return bl_error_set(source->error, "not enough memory to read %s (%llu bytes)",
                                source->path, (unsigned long long)length);
        if (bl_reader_read(source, part->data, length, part->offset) < 0)
            return -1;
    }
    return 0;
}

/* An entry of the directory that was lost says nothing: one page at least. */
uint64_t bl_reader_count_lost(const struct bl_source *source)
{
    uint64_t lost = (uint64_t)(source->header.extents_used - source->extent_count) * BL_PAGE;
    for (uint32_t i = 0; i < source->extent_count; i++) {
        const struct bl_extent *extent = &source->extents[i];
        if (!(extent->flags & BL_EXTENT_PRIVATE))
            lost += (uint64_t)extent->pages * BL_PAGE - present_bytes(source, extent);
    }
    return lost;
}

void *bl_reader_record(const struct bl_reader *reader, enum bl_section which, uint32_t number)
{
    const struct bl_reader_section *section = &reader->sections[which];
    if (number >= section->count)
        return NULL;
    size_t low = 0;
    size_t high = section->part_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (section->parts[middle].first <= number)
            low = middle;
        else
            high = middle;
    }
    const struct bl_reader_part *part = &section->parts[low];
    if (!part->data || number - part->first >= part->count)
        return NULL;
    return part->data + (number - part->first) * bl_reader_record_sizes[which];
}
