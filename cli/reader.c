#include "reader.h"

#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_MAX   5 /* at a whole that agrees */
#define CHUNK_BYTES (1u << 20)
#define FREES_MAX   (1ull << 40) /* of one path: sums of them cannot overflow */
#define MODULES_MAX (1u << 18)   /* far more than a process loads in its life */

/* One extent's share of a section. */
struct part {
    uint64_t first;
    uint64_t count;
    uint64_t offset; /* in the file */
    bool is_private; /* in the target's memory instead */
    uint8_t *data;   /* NULL: private */
};

struct section {
    struct part *parts;
    size_t part_count;
    uint64_t count; /* published, and within the extents */
    uint64_t private_count;
};

struct bl_reader {
    struct bl_header header;
    struct section sections[BL_SECTION_COUNT];
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
struct source {
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

static const uint32_t record_sizes[BL_SECTION_COUNT] = {
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

static int read_exactly(struct source *source, void *out, uint64_t length, uint64_t offset)
{
    uint8_t *to = out;
    while (length > 0) {
        size_t step = length < CHUNK_BYTES ? (size_t)length : CHUNK_BYTES;
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
static int read_present(struct source *source, void *out, uint64_t length, uint64_t offset)
{
    uint64_t present = source->size > offset ? source->size - offset : 0;
    if (present > length)
        present = length;
    memset((uint8_t *)out + present, 0, length - present);
    return present > 0 ? read_exactly(source, out, present, offset) : 0;
}

static int check_header(const struct bl_header *header, const char *path, struct bl_error *error)
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

int bl_reader_read_header(int fd, const char *path, struct bl_header *ret_header,
                          struct bl_error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return bl_error_set(error, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return bl_error_set(error, "%s is not a file: give a PID, a ledger or a snapshot", path);
    struct bl_header header = {0};
    struct source source = {.fd = fd, .path = path, .error = error};
    size_t length = status.st_size < BL_PAGE ? (size_t)status.st_size : BL_PAGE;
    if (length == 0)
        return bl_error_set(error, "%s is empty: no ledger was written to it", path);
    if (read_exactly(&source, &header, length, 0) < 0)
        return -1;
    if (length < BL_PAGE && memcmp(header.magic, BL_MAGIC, sizeof(header.magic)) == 0)
        return bl_error_set(error, "%s is truncated: it ends inside the header", path);
    if (check_header(&header, path, error) < 0)
        return -1;
    *ret_header = header;
    return 0;
}

/* A fresh look at the header, the directory and the size, in the order that makes every published
 * extent lie inside the file. */
static int refresh(struct source *source)
{
    if (read_exactly(source, &source->header, sizeof(source->header), 0) < 0)
        return -1;
    if (check_header(&source->header, source->path, source->error) < 0)
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
static uint64_t present_bytes(const struct source *source, const struct bl_extent *extent)
{
    uint64_t length = (uint64_t)extent->pages * BL_PAGE;
    if (extent->flags & BL_EXTENT_PRIVATE || extent->offset % BL_PAGE != 0 ||
        extent->offset < BL_EXTENTS_END || extent->offset >= source->size)
        return 0;
    return length <= source->size - extent->offset ? length : source->size - extent->offset;
}

static int check_extent(struct source *source, uint32_t number)
{
    source->bytes_planned += present_bytes(source, &source->extents[number]);
    if (source->bytes_planned > source->size)
        return bl_error_set(source->error, "%s is damaged: its extents hold more than the file",
                            source->path);
    return 0;
}

/* How many records of a section an extent holds. After one that is not whole the section has no
 * more: what was published later is lost with it. */
static uint64_t records_in(const struct source *source, const struct bl_extent *extent,
                           enum bl_section section, bool *ret_whole)
{
    uint64_t length = (uint64_t)extent->pages * BL_PAGE;
    uint64_t present = extent->flags & BL_EXTENT_PRIVATE ? length : present_bytes(source, extent);
    *ret_whole = present == length;
    return present / record_sizes[section];
}

/* How many records of a section its extents hold. */
static int measure(struct source *source, enum bl_section section, uint64_t *ret_capacity,
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
static int settle(struct source *source, enum bl_section section, uint64_t *ret_count,
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

/* Lays the published records out over the extents; data is still to be read. */
static int plan(struct source *source, enum bl_section which, struct section *section,
                uint64_t *damage)
{
    size_t parts;
    if (settle(source, which, &section->count, &parts, damage) < 0)
        return -1;
    section->parts = calloc(parts + 1, sizeof(struct part));
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
        struct part *part = &section->parts[section->part_count++];
        *part = (struct part){.first = first,
                              .count = left < room ? left : room,
                              .offset = extent->offset,
                              .is_private = extent->flags & BL_EXTENT_PRIVATE};
        if (part->is_private)
            section->private_count += part->count;
        first += part->count;
    }
    return 0;
}

static int load(struct source *source, struct bl_reader *reader, enum bl_section which)
{
    const uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct section *section = &reader->sections[which];
    if (plan(source, which, section, &reader->damage) < 0)
        return -1;
    for (size_t i = 0; i < section->part_count; i++) {
        struct part *part = &section->parts[i];
        uint64_t length = part->count * record_sizes[which];
        if (part->is_private || length == 0)
            continue;
        source->bytes_loaded += length;
        part->data = source->bytes_loaded <= memory ? malloc(length) : NULL;
        if (!part->data)
            return bl_error_set(source->error, "not enough memory to read %s (%llu bytes)",
                                source->path, (unsigned long long)length);
        if (read_exactly(source, part->data, length, part->offset) < 0)
            return -1;
    }
    return 0;
}

static int grow_live(struct bl_reader *reader)
{
    size_t room = reader->live_room ? reader->live_room * 2 : 4096;
    struct bl_live *grown = realloc(reader->live, room * sizeof(*grown));
    if (!grown)
        return -1;
    reader->live = grown;
    uint32_t *numbers = realloc(reader->live_numbers, room * sizeof(*numbers));
    if (!numbers)
        return -1;
    reader->live_numbers = numbers;
    reader->live_room = room;
    return 0;
}

static int keep_live(struct bl_reader *reader, const struct bl_live *record, uint32_t number)
{
    if (reader->live_count == reader->live_room && grow_live(reader) < 0)
        return -1;
    reader->live_numbers[reader->live_count] = number;
    reader->live[reader->live_count++] = *record;
    return 0;
}

/* A record that changed between the two copies is being born or ending: look again at it alone, and
 * leave it out when it does not stand still. */
static bool reread_whole(struct source *source, uint64_t offset, struct bl_live *ret_record)
{
    struct bl_live first;
    for (int attempt = 0; attempt < 8; attempt++) {
        if (read_exactly(source, &first, sizeof(first), offset) < 0 ||
            read_exactly(source, ret_record, sizeof(*ret_record), offset) < 0)
            return false;
        if (memcmp(&first, ret_record, sizeof(first)) == 0)
            return true;
    }
    return false;
}

/* Two copies of the same records, taken one after the other: a record that is the same in both and
 * live was whole in both, whichever way the kernel copied. */
static int scan_chunk(struct source *source, struct bl_reader *reader, struct bl_live *copies,
                      size_t count, uint64_t offset, uint32_t number)
{
    struct bl_live *again = copies + CHUNK_BYTES / sizeof(struct bl_live);
    if (read_exactly(source, copies, count * sizeof(*copies), offset) < 0)
        return -1;
    bool still = source->header.snapshot_number != 0;
    if (!still && read_exactly(source, again, count * sizeof(*again), offset) < 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct bl_live record = copies[i];
        if (!still && memcmp(&copies[i], &again[i], sizeof(record)) != 0 &&
            !reread_whole(source, offset + i * sizeof(record), &record))
            continue;
        if ((record.word & (BL_LIVE_BIT | BL_LIVE_IGNORED)) == BL_LIVE_BIT &&
            keep_live(reader, &record, number + (uint32_t)i) < 0)
            return bl_error_set(source->error, "not enough memory to read %s", source->path);
    }
    return 0;
}

static int load_live(struct source *source, struct bl_reader *reader)
{
    struct section *section = &reader->sections[BL_SECTION_LIVE];
    if (plan(source, BL_SECTION_LIVE, section, &reader->damage) < 0)
        return -1;
    const size_t per_chunk = CHUNK_BYTES / sizeof(struct bl_live);
    struct bl_live *copies = malloc(2ul * CHUNK_BYTES);
    if (!copies)
        return bl_error_set(source->error, "not enough memory to read %s", source->path);
    int outcome = 0;
    for (size_t i = 0; i < section->part_count && outcome == 0; i++) {
        const struct part *part = &section->parts[i];
        /* record 0 is never used */
        uint64_t at = i == 0 ? 1 : 0;
        while (!part->is_private && outcome == 0 && at < part->count) {
            uint64_t left = part->count - at;
            size_t count = left < per_chunk ? (size_t)left : per_chunk;
            outcome = scan_chunk(source, reader, copies, count, part->offset + at * sizeof(*copies),
                                 (uint32_t)(part->first + at));
            at += count;
        }
    }
    free(copies);
    return outcome;
}

static void *record_at(const struct bl_reader *reader, enum bl_section which, uint32_t number)
{
    const struct section *section = &reader->sections[which];
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
    const struct part *part = &section->parts[low];
    if (!part->data || number - part->first >= part->count)
        return NULL;
    return part->data + (number - part->first) * record_sizes[which];
}

/* What of an object does not change while it lives. */
#define IDENTITY_BYTES offsetof(struct bl_object, refs)

static int keep_object(struct bl_reader *reader, const struct bl_object *first,
                       const struct bl_object *second, uint32_t number)
{
    if ((second->word & (BL_LIVE_BIT | BL_LIVE_IGNORED)) != BL_LIVE_BIT ||
        memcmp(first, second, IDENTITY_BYTES) != 0)
        return 0;
    if (reader->object_count == reader->object_room) {
        size_t room = reader->object_room ? reader->object_room * 2 : 4096;
        struct bl_tracked *grown = realloc(reader->objects, room * sizeof(*grown));
        if (!grown)
            return -1;
        reader->objects = grown;
        reader->object_room = room;
    }
    reader->objects[reader->object_count++] =
        (struct bl_tracked){.object = *second,
                            .number = number,
                            .is_moving = memcmp(first, second, sizeof(*first)) != 0};
    return 0;
}

/* Called with two copies of the same records, taken one after the other. */
typedef int take_objects(struct bl_reader *reader, const struct bl_object *first,
                         const struct bl_object *second, size_t count, uint32_t number);

static int keep_objects(struct bl_reader *reader, const struct bl_object *first,
                        const struct bl_object *second, size_t count, uint32_t number)
{
    for (size_t i = 0; i < count; i++)
        if (keep_object(reader, &first[i], &second[i], number + (uint32_t)i) < 0)
            return -1;
    return 0;
}

/* After the events were read: what ended since is dropped, what got a new event has none that can
 * be trusted. */
static int recheck_objects(struct bl_reader *reader, const struct bl_object *first,
                           const struct bl_object *second, size_t count, uint32_t number)
{
    size_t low = 0;
    size_t high = reader->object_count;
    (void)first;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (reader->objects[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < reader->object_count && reader->objects[low].number < number + count; low++) {
        struct bl_tracked *tracked = &reader->objects[low];
        const struct bl_object *now = &second[tracked->number - number];
        if (memcmp(&tracked->object, now, IDENTITY_BYTES) != 0)
            tracked->object.word = 0;
        else if (memcmp(&tracked->object, now, sizeof(*now)) != 0)
            tracked->is_moving = true;
    }
    return 0;
}

static int scan_objects(struct source *source, struct bl_reader *reader, take_objects *take)
{
    const struct section *section = &reader->sections[BL_SECTION_OBJECTS];
    const size_t per_chunk = CHUNK_BYTES / sizeof(struct bl_object);
    struct bl_object *copies = malloc(2ul * CHUNK_BYTES);
    if (!copies)
        return bl_error_set(source->error, "not enough memory to read %s", source->path);
    bool is_still = source->header.snapshot_number != 0;
    struct bl_object *again = is_still ? copies : copies + per_chunk;
    int outcome = 0;
    for (size_t i = 0; i < section->part_count && outcome == 0; i++) {
        const struct part *part = &section->parts[i];
        /* record 0 is never used */
        for (uint64_t at = i == 0; !part->is_private && outcome == 0 && at < part->count;) {
            uint64_t left = part->count - at;
            size_t count = left < per_chunk ? (size_t)left : per_chunk;
            uint64_t from = part->offset + at * sizeof(*copies);
            outcome = read_exactly(source, copies, count * sizeof(*copies), from);
            if (outcome == 0 && !is_still)
                outcome = read_exactly(source, again, count * sizeof(*again), from);
            if (outcome == 0 &&
                take(reader, copies, again, count, (uint32_t)(part->first + at)) < 0)
                outcome = bl_error_set(source->error, "not enough memory to read %s", source->path);
            at += count;
        }
    }
    free(copies);
    return outcome;
}

/* An exemplar whose lifecycle was replaced while the events were read has somebody else's events.
 */
static int recheck_lifecycles(struct source *source, struct bl_reader *reader)
{
    const struct section *section = &reader->sections[BL_SECTION_LIFECYCLES];
    for (size_t i = 0; i < section->part_count; i++) {
        const struct part *part = &section->parts[i];
        struct bl_lifecycle *now = part->data ? calloc(part->count + 1, sizeof(*now)) : NULL;
        struct bl_lifecycle *then = (struct bl_lifecycle *)(void *)part->data;
        if (!part->data)
            continue;
        if (!now)
            return bl_error_set(source->error, "not enough memory to read %s", source->path);
        int outcome = read_exactly(source, now, part->count * sizeof(*now), part->offset);
        for (uint64_t n = 0; outcome == 0 && n < part->count; n++)
            if (now[n].hash != then[n].hash || now[n].events != then[n].events ||
                now[n].event_count != then[n].event_count)
                then[n].count = 0;
        free(now);
        if (outcome < 0)
            return -1;
    }
    return 0;
}

static void drop_ended_objects(struct bl_reader *reader)
{
    size_t kept = 0;
    for (size_t i = 0; i < reader->object_count; i++)
        if (reader->objects[i].object.word & BL_LIVE_BIT)
            reader->objects[kept++] = reader->objects[i];
    reader->object_count = kept;
}

/* Objects and lifecycles, then the events they refer to, then a second look at whether they still
 * refer to the same: events are used again as soon as their buffer has ended. */
static int load_histories(struct source *source, struct bl_reader *reader)
{
    if (plan(source, BL_SECTION_OBJECTS, &reader->sections[BL_SECTION_OBJECTS], &reader->damage) <
            0 ||
        scan_objects(source, reader, keep_objects) < 0 ||
        load(source, reader, BL_SECTION_LIFECYCLES) < 0 ||
        load(source, reader, BL_SECTION_EVENTS) < 0)
        return -1;
    if (source->header.snapshot_number != 0)
        return 0;
    if (scan_objects(source, reader, recheck_objects) < 0 || recheck_lifecycles(source, reader) < 0)
        return -1;
    drop_ended_objects(reader);
    return 0;
}

/* A block that was given to another series, and a mark that was written over, while they were read
 * are neither the one nor the other. */
static void recheck_block(struct bl_samples *then, const struct bl_samples *now)
{
    if (now->serial != then->serial || (uint32_t)now->head < (uint32_t)then->head)
        then->head = 0;
}

static void recheck_mark(struct bl_mark *then, const struct bl_mark *now)
{
    if (now->serial != then->serial)
        then->serial = 0;
}

static int recheck_series(struct source *source, struct bl_reader *reader, enum bl_section which)
{
    const struct section *section = &reader->sections[which];
    uint8_t *now = calloc(1, CHUNK_BYTES);
    int outcome = 0;
    if (!now)
        return bl_error_set(source->error, "not enough memory to read %s", source->path);
    for (size_t i = 0; i < section->part_count && outcome == 0; i++) {
        const struct part *part = &section->parts[i];
        const uint64_t per_chunk = CHUNK_BYTES / record_sizes[which];
        for (uint64_t at = 0; part->data && at < part->count && outcome == 0; at += per_chunk) {
            uint64_t left = part->count - at;
            uint64_t count = left < per_chunk ? left : per_chunk;
            uint8_t *then = part->data + at * record_sizes[which];
            outcome = read_exactly(source, now, count * record_sizes[which],
                                   part->offset + at * record_sizes[which]);
            for (uint64_t n = 0; outcome == 0 && n < count; n++) {
                void *old = then + n * record_sizes[which];
                void *new = now + n *record_sizes[which];
                if (which == BL_SECTION_SAMPLES)
                    recheck_block(old, new);
                else
                    recheck_mark(old, new);
            }
        }
    }
    free(now);
    return outcome;
}

static int load_series(struct source *source, struct bl_reader *reader)
{
    if (load(source, reader, BL_SECTION_SAMPLES) < 0 ||
        load(source, reader, BL_SECTION_SERIES) < 0 || load(source, reader, BL_SECTION_MARKS) < 0 ||
        load(source, reader, BL_SECTION_BOUNDARIES) < 0)
        return -1;
    if (source->header.snapshot_number != 0)
        return 0;
    return recheck_series(source, reader, BL_SECTION_SAMPLES) < 0 ||
                   recheck_series(source, reader, BL_SECTION_MARKS) < 0
               ? -1
               : 0;
}

static const struct bl_reach_run *latest_run(const struct bl_reader *reader)
{
    return record_at(reader, BL_SECTION_REACH_RUN, 0);
}

/* A run that began or ended meanwhile makes its results those of neither. */
static int load_reach(struct source *source, struct bl_reader *reader)
{
    if (load(source, reader, BL_SECTION_REACH_RUN) < 0 ||
        load(source, reader, BL_SECTION_REACH) < 0 ||
        load(source, reader, BL_SECTION_REACH_ROOTS) < 0)
        return -1;
    const struct bl_reach_run *run = latest_run(reader);
    struct bl_reach_run now;
    if (!run || source->header.snapshot_number != 0)
        return 0;
    if (read_exactly(source, &now, sizeof(now),
                     reader->sections[BL_SECTION_REACH_RUN].parts[0].offset) < 0)
        return -1;
    reader->reach_moved = memcmp(run, &now, sizeof(now)) != 0;
    return 0;
}

static void check_root(struct bl_reader *reader, struct bl_reach_root *root)
{
    if (root->module >= reader->sections[BL_SECTION_MODULES].count && root->module != 0) {
        root->module = 0;
        reader->damage++;
    }
    if (root->thread >= reader->sections[BL_SECTION_THREADS].count && root->thread != 0) {
        root->thread = 0;
        reader->damage++;
    }
}

static void check_roots(struct bl_reader *reader)
{
    const struct section *section = &reader->sections[BL_SECTION_REACH_ROOTS];
    for (size_t i = 0; i < section->part_count; i++) {
        struct bl_reach_root *root = (struct bl_reach_root *)(void *)section->parts[i].data;
        for (uint64_t n = 0; root && n < section->parts[i].count; n++)
            check_root(reader, &root[n]);
    }
}

/* Makes every reference in a frame one that can be followed. */
static void check_frames(struct bl_reader *reader)
{
    const struct section *frames = &reader->sections[BL_SECTION_FRAMES];
    uint64_t module_count = reader->sections[BL_SECTION_MODULES].count;
    for (size_t i = 0; i < frames->part_count; i++) {
        const struct part *part = &frames->parts[i];
        struct bl_frame *frame = (struct bl_frame *)(void *)part->data;
        for (uint64_t n = 0; frame && n < part->count; n++) {
            uint64_t number = part->first + n;
            if (frame[n].parent >= number && frame[n].parent != 0) {
                frame[n].parent = 0;
                reader->damage++;
            }
            uint32_t module = frame[n].module & BL_FRAME_MODULE_MASK;
            if (module >= module_count && module != 0) {
                frame[n].module &= ~BL_FRAME_MODULE_MASK;
                reader->damage++;
            }
        }
    }
}

static void check_live(struct bl_reader *reader)
{
    size_t kept = 0;
    for (size_t i = 0; i < reader->live_count; i++) {
        struct bl_live record = reader->live[i];
        uint64_t class_number = record.word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK;
        if (class_number >= reader->sections[BL_SECTION_CLASSES].count) {
            reader->damage++;
            continue;
        }
        if (record.stack >= reader->sections[BL_SECTION_FRAMES].count && record.stack != 0) {
            record.stack = 0;
            reader->damage++;
        }
        if (record.thread >= reader->sections[BL_SECTION_THREADS].count && record.thread != 0) {
            record.thread = 0;
            reader->damage++;
        }
        reader->live_numbers[kept] = reader->live_numbers[i];
        reader->live[kept++] = record;
    }
    reader->live_count = kept;
}

static void check_event(struct bl_reader *reader, struct bl_event *event)
{
    if (event->stack >= reader->sections[BL_SECTION_FRAMES].count && event->stack != 0) {
        event->stack = 0;
        reader->damage++;
    }
    if (event->thread >= reader->sections[BL_SECTION_THREADS].count && event->thread != 0) {
        event->thread = 0;
        reader->damage++;
    }
    if (event->folded == 0)
        event->folded = 1;
}

/* Walks a list once and cuts it before an event that is in a list already: lists cannot cycle. */
static uint32_t check_list(struct bl_reader *reader, uint8_t *seen, uint32_t newest, uint32_t count)
{
    uint32_t number = newest;
    uint32_t length = 0;
    while (number != 0 && length < count) {
        struct bl_event *event = record_at(reader, BL_SECTION_EVENTS, number);
        if (event && seen[number])
            event = NULL;
        if (!event) {
            reader->damage++;
            break;
        }
        seen[number] = 1;
        check_event(reader, event);
        length++;
        number = event->next;
    }
    return length;
}

static bool has_class(struct bl_reader *reader, uint64_t class_number)
{
    if (class_number < reader->sections[BL_SECTION_CLASSES].count)
        return true;
    reader->damage++;
    return false;
}

static void check_objects(struct bl_reader *reader, uint8_t *seen)
{
    size_t kept = 0;
    for (size_t i = 0; i < reader->object_count; i++) {
        struct bl_tracked tracked = reader->objects[i];
        struct bl_object *object = &tracked.object;
        if (!has_class(reader, object->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK))
            continue;
        if (object->stack >= reader->sections[BL_SECTION_FRAMES].count && object->stack != 0) {
            object->stack = 0;
            reader->damage++;
        }
        if (object->thread >= reader->sections[BL_SECTION_THREADS].count && object->thread != 0) {
            object->thread = 0;
            reader->damage++;
        }
        object->event_count = tracked.is_moving ? 0
                                                : (uint8_t)check_list(reader, seen, object->events,
                                                                      object->event_count);
        reader->objects[kept++] = tracked;
    }
    reader->object_count = kept;
}

static void check_lifecycles(struct bl_reader *reader, uint8_t *seen)
{
    const struct section *section = &reader->sections[BL_SECTION_LIFECYCLES];
    for (size_t i = 0; i < section->part_count; i++) {
        struct bl_lifecycle *life = (struct bl_lifecycle *)(void *)section->parts[i].data;
        for (uint64_t n = 0; life && n < section->parts[i].count; n++, life++) {
            if (life->count == 0)
                continue;
            if (life->alloc_stack >= reader->sections[BL_SECTION_FRAMES].count &&
                life->alloc_stack != 0) {
                life->alloc_stack = 0;
                reader->damage++;
            }
            if (!has_class(reader, life->class_number))
                life->count = 0;
            else
                life->event_count = check_list(reader, seen, life->events, life->event_count);
        }
    }
}

/* A record that was given to another path while it was copied is as good as unused. */
static void check_free_paths(struct bl_reader *reader)
{
    const struct section *section = &reader->sections[BL_SECTION_FREE_PATHS];
    uint64_t frames = reader->sections[BL_SECTION_FRAMES].count;
    for (size_t i = 0; i < section->part_count; i++) {
        struct bl_free_path *path = (struct bl_free_path *)(void *)section->parts[i].data;
        for (uint64_t n = 0; path && n < section->parts[i].count; n++, path++) {
            if (path->count == 0)
                continue;
            if (path->check != bl_free_path_check(path->alloc_stack, path->free_stack)) {
                path->count = 0;
            } else if (path->alloc_stack >= frames || path->free_stack >= frames) {
                path->count = 0;
                reader->damage++;
            } else if (path->count > FREES_MAX) {
                path->count = FREES_MAX;
            }
        }
    }
}

static int check_histories(struct source *source, struct bl_reader *reader)
{
    uint8_t *seen = calloc(reader->sections[BL_SECTION_EVENTS].count + 1, 1);
    if (!seen)
        return bl_error_set(source->error, "not enough memory to read %s", source->path);
    check_lifecycles(reader, seen);
    check_objects(reader, seen);
    free(seen);
    return 0;
}

/* A number of records that cannot be right, and for each of which memory is taken later. */
static void cut(struct bl_reader *reader, enum bl_section which, uint32_t most)
{
    if (reader->sections[which].count <= most)
        return;
    reader->sections[which].count = most;
    reader->damage++;
}

/* A class without a name: the page with the names was lost. */
static void check_classes(struct bl_reader *reader)
{
    for (uint32_t n = 0; n < reader->sections[BL_SECTION_CLASSES].count; n++) {
        const struct bl_class *class = bl_reader_class(reader, n);
        size_t length = 0;
        if (class && reader->sections[BL_SECTION_NAMES].private_count == 0 &&
            (!bl_reader_name(reader, class->name, &length) || length == 0))
            reader->damage++;
    }
}

static int load_all(struct source *source, struct bl_reader *reader, enum bl_reader_scope scope)
{
    static const enum bl_section after_live[] = {BL_SECTION_FREE_PATHS, BL_SECTION_ASSEMBLIES,
                                                 BL_SECTION_FRAMES, BL_SECTION_MODULES};
    if (scope == BL_READER_ALL &&
        (load_live(source, reader) < 0 || load_histories(source, reader) < 0 ||
         load_reach(source, reader) < 0))
        return -1;
    if (scope != BL_READER_SUMMARY && load_series(source, reader) < 0)
        return -1;
    if (load(source, reader, BL_SECTION_COUNTERS) < 0 ||
        load(source, reader, BL_SECTION_CLASSES) < 0 ||
        load(source, reader, BL_SECTION_HOOKS) < 0 || load(source, reader, BL_SECTION_THREADS) < 0)
        return -1;
    for (size_t i = 0; scope != BL_READER_SUMMARY && i < sizeof(after_live) / sizeof(*after_live);
         i++)
        if (load(source, reader, after_live[i]) < 0)
            return -1;
    if (load(source, reader, BL_SECTION_NAMES) < 0)
        return -1;
    cut(reader, BL_SECTION_CLASSES, BL_CLASSES_MAX);
    cut(reader, BL_SECTION_MODULES, MODULES_MAX);
    check_classes(reader);
    check_frames(reader);
    check_live(reader);
    check_free_paths(reader);
    check_roots(reader);
    if (scope == BL_READER_ALL && check_histories(source, reader) < 0)
        return -1;
    reader->header = source->header;
    return 0;
}

/* What the directory says the file has, and it has not. An entry that was lost says nothing: one
 * page at least. */
static uint64_t count_lost(const struct source *source)
{
    uint64_t lost = (uint64_t)(source->header.extents_used - source->extent_count) * BL_PAGE;
    for (uint32_t i = 0; i < source->extent_count; i++) {
        const struct bl_extent *extent = &source->extents[i];
        if (!(extent->flags & BL_EXTENT_PRIVATE))
            lost += (uint64_t)extent->pages * BL_PAGE - present_bytes(source, extent);
    }
    return lost;
}

/* ret_reused: frames got another meaning meanwhile. */
static int create_once(struct bl_reader **ret_reader, int fd, const char *path,
                       enum bl_reader_scope scope, bool *ret_reused, struct bl_error *error)
{
    struct bl_header header = {0};
    if (bl_reader_read_header(fd, path, &header, error) < 0)
        return -1;
    struct bl_reader *reader = calloc(1, sizeof(*reader));
    struct source *source = calloc(1, sizeof(*source));
    int outcome = -1;
    if (!reader || !source) {
        bl_error_set(error, "not enough memory to read %s", path);
    } else {
        source->fd = fd;
        source->path = path;
        source->error = error;
        source->header = header;
        outcome = load_all(source, reader, scope);
        reader->lost_bytes = outcome == 0 ? count_lost(source) : 0;
        *ret_reused = scope != BL_READER_SUMMARY && header.snapshot_number == 0 &&
                      source->header.frame_reuse != header.frame_reuse;
    }
    free(source);
    if (outcome < 0)
        bl_reader_destroy(reader);
    else
        *ret_reader = reader;
    return outcome;
}

/* A running process that runs through ever new stacks gives frames another meaning every few
 * seconds; reading takes less. */
int bl_reader_create(struct bl_reader **ret_reader, int fd, const char *path,
                     enum bl_reader_scope scope, struct bl_error *error)
{
    bool reused = false;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        if (create_once(ret_reader, fd, path, scope, &reused, error) < 0)
            return -1;
        if (!reused)
            return 0;
        if (tries + 1 < TRIES_MAX)
            bl_reader_destroy(*ret_reader);
    }
    (*ret_reader)->damage++;
    return 0;
}

void bl_reader_destroy(struct bl_reader *reader)
{
    if (!reader)
        return;
    for (int s = 0; s < BL_SECTION_COUNT; s++) {
        for (size_t i = 0; i < reader->sections[s].part_count; i++)
            free(reader->sections[s].parts[i].data);
        free(reader->sections[s].parts);
    }
    free(reader->live);
    free(reader->live_numbers);
    free(reader->objects);
    free(reader);
}

const struct bl_header *bl_reader_header(const struct bl_reader *reader)
{
    return &reader->header;
}

uint32_t bl_reader_count(const struct bl_reader *reader, enum bl_section section)
{
    return (uint32_t)reader->sections[section].count;
}

uint64_t bl_reader_private_records(const struct bl_reader *reader, enum bl_section section)
{
    return reader->sections[section].private_count;
}

uint64_t bl_reader_damage(const struct bl_reader *reader)
{
    return reader->damage;
}

uint64_t bl_reader_lost_bytes(const struct bl_reader *reader)
{
    return reader->lost_bytes;
}

const struct bl_live *bl_reader_live(const struct bl_reader *reader, size_t *ret_count)
{
    *ret_count = reader->live_count;
    return reader->live;
}

const uint32_t *bl_reader_live_numbers(const struct bl_reader *reader)
{
    return reader->live_numbers;
}

const struct bl_reach_run *bl_reader_reach_run(const struct bl_reader *reader)
{
    return reader->reach_moved ? NULL : latest_run(reader);
}

const struct bl_reach *bl_reader_reach(const struct bl_reader *reader, uint32_t number)
{
    return number && !reader->reach_moved ? record_at(reader, BL_SECTION_REACH, number) : NULL;
}

const struct bl_reach_root *bl_reader_reach_root(const struct bl_reader *reader, uint32_t number)
{
    return number ? record_at(reader, BL_SECTION_REACH_ROOTS, number) : NULL;
}

const struct bl_tracked *bl_reader_objects(const struct bl_reader *reader, size_t *ret_count)
{
    *ret_count = reader->object_count;
    return reader->objects;
}

const struct bl_lifecycle *bl_reader_lifecycle(const struct bl_reader *reader, uint32_t number)
{
    const struct bl_lifecycle *life =
        number ? record_at(reader, BL_SECTION_LIFECYCLES, number) : NULL;
    return life && life->count > 0 ? life : NULL;
}

const struct bl_free_path *bl_reader_free_path(const struct bl_reader *reader, uint32_t number)
{
    const struct bl_free_path *path =
        number ? record_at(reader, BL_SECTION_FREE_PATHS, number) : NULL;
    return path && path->count > 0 ? path : NULL;
}

const struct bl_assembly *bl_reader_assembly(const struct bl_reader *reader, uint32_t number)
{
    const struct bl_assembly *assembly =
        number ? record_at(reader, BL_SECTION_ASSEMBLIES, number) : NULL;
    return assembly && assembly->stack < reader->sections[BL_SECTION_FRAMES].count ? assembly
                                                                                   : NULL;
}

size_t bl_reader_history(const struct bl_reader *reader, uint32_t newest, uint32_t count,
                         struct bl_event *out, size_t max)
{
    size_t length = 0;
    uint32_t number = newest;
    while (number != 0 && length < count && length < max) {
        const struct bl_event *event = record_at(reader, BL_SECTION_EVENTS, number);
        if (!event)
            break;
        out[length++] = *event;
        number = event->next;
    }
    return length;
}

const struct bl_frame *bl_reader_frame(const struct bl_reader *reader, uint32_t number)
{
    return number ? record_at(reader, BL_SECTION_FRAMES, number) : NULL;
}

const struct bl_module *bl_reader_module(const struct bl_reader *reader, uint32_t number)
{
    return number ? record_at(reader, BL_SECTION_MODULES, number) : NULL;
}

const struct bl_thread *bl_reader_thread(const struct bl_reader *reader, uint32_t number)
{
    return number ? record_at(reader, BL_SECTION_THREADS, number) : NULL;
}

const struct bl_class *bl_reader_class(const struct bl_reader *reader, uint32_t number)
{
    return record_at(reader, BL_SECTION_CLASSES, number);
}

const struct bl_hook *bl_reader_hook(const struct bl_reader *reader, uint32_t number)
{
    return record_at(reader, BL_SECTION_HOOKS, number);
}

const struct bl_series *bl_reader_series(const struct bl_reader *reader, uint32_t number)
{
    return number ? record_at(reader, BL_SECTION_SERIES, number) : NULL;
}

const struct bl_samples *bl_reader_samples(const struct bl_reader *reader, uint32_t number)
{
    return number ? record_at(reader, BL_SECTION_SAMPLES, number) : NULL;
}

const struct bl_mark *bl_reader_mark(const struct bl_reader *reader, uint32_t number)
{
    return record_at(reader, BL_SECTION_MARKS, number);
}

const struct bl_boundary *bl_reader_boundary(const struct bl_reader *reader, uint32_t number)
{
    return record_at(reader, BL_SECTION_BOUNDARIES, number);
}

struct bl_counter bl_reader_counter(const struct bl_reader *reader, uint32_t class_number)
{
    struct bl_counter sum = {0};
    const struct bl_counters *counters = record_at(reader, BL_SECTION_COUNTERS, class_number);
    for (size_t i = 0; counters && i < BL_SHARDS; i++) {
        const struct bl_counter *shard = &counters->shard[i];
        sum.allocs += shard->allocs;
        sum.alloc_bytes += shard->alloc_bytes;
        sum.frees += shard->frees;
        sum.free_bytes += shard->free_bytes;
        sum.retains += shard->retains;
        sum.releases += shard->releases;
        sum.over_releases += shard->over_releases;
    }
    return sum;
}

const char *bl_reader_name(const struct bl_reader *reader, uint32_t offset, size_t *ret_length)
{
    const struct section *names = &reader->sections[BL_SECTION_NAMES];
    for (size_t i = 0; offset != 0 && i < names->part_count; i++) {
        const struct part *part = &names->parts[i];
        if (offset < part->first || offset - part->first >= part->count)
            continue;
        uint64_t at = offset - part->first;
        uint64_t left = part->count - at;
        struct bl_name name;
        if (!part->data || left < sizeof(name))
            return NULL;
        memcpy(&name, part->data + at, sizeof(name));
        if (name.length > left - sizeof(name))
            return NULL;
        *ret_length = name.length;
        return (const char *)part->data + at + sizeof(name);
    }
    return NULL;
}

bool bl_reader_name_text(const struct bl_reader *reader, uint32_t offset, char *out, size_t size)
{
    size_t length;
    const char *raw = bl_reader_name(reader, offset, &length);
    bl_text_printable(out, size, raw ? raw : "", raw ? length : 0);
    return raw != NULL;
}
