#include "reader.h"

#include "reader_file.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_MAX 5 /* at a whole that agrees */

int bl_reader_read_header(int fd, const char *path, struct bl_header *ret_header,
                          struct bl_error *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return bl_error_set(error, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return bl_error_set(error, "%s is not a file: give a PID, a ledger or a snapshot", path);
    struct bl_header header = {0};
    struct bl_source source = {.fd = fd, .path = path, .error = error};
    size_t length = status.st_size < BL_PAGE ? (size_t)status.st_size : BL_PAGE;
    if (length == 0)
        return bl_error_set(error, "%s is empty: no ledger was written to it", path);
    if (bl_reader_read(&source, &header, length, 0) < 0)
        return -1;
    if (length < BL_PAGE && memcmp(header.magic, BL_MAGIC, sizeof(header.magic)) == 0)
        return bl_error_set(error, "%s is truncated: it ends inside the header", path);
    if (bl_reader_check_header(&header, path, error) < 0)
        return -1;
    *ret_header = header;
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
static bool reread_whole(struct bl_source *source, uint64_t offset, struct bl_live *ret_record)
{
    struct bl_live first;
    for (int attempt = 0; attempt < 8; attempt++) {
        if (bl_reader_read(source, &first, sizeof(first), offset) < 0 ||
            bl_reader_read(source, ret_record, sizeof(*ret_record), offset) < 0)
            return false;
        if (memcmp(&first, ret_record, sizeof(first)) == 0)
            return true;
    }
    return false;
}

/* Two copies of the same records, taken one after the other: a record that is the same in both and
 * live was whole in both, whichever way the kernel copied. */
static int scan_chunk(struct bl_source *source, struct bl_reader *reader, struct bl_live *copies,
                      size_t count, uint64_t offset, uint32_t number)
{
    struct bl_live *again = copies + BL_READER_CHUNK / sizeof(struct bl_live);
    if (bl_reader_read(source, copies, count * sizeof(*copies), offset) < 0)
        return -1;
    bool still = source->header.snapshot_number != 0;
    if (!still && bl_reader_read(source, again, count * sizeof(*again), offset) < 0)
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

static int load_live(struct bl_source *source, struct bl_reader *reader)
{
    struct bl_reader_section *section = &reader->sections[BL_SECTION_LIVE];
    if (bl_reader_plan(source, reader, BL_SECTION_LIVE) < 0)
        return -1;
    const size_t per_chunk = BL_READER_CHUNK / sizeof(struct bl_live);
    struct bl_live *copies = malloc(2ul * BL_READER_CHUNK);
    if (!copies)
        return bl_error_set(source->error, "not enough memory to read %s", source->path);
    int outcome = 0;
    for (size_t i = 0; i < section->part_count && outcome == 0; i++) {
        const struct bl_reader_part *part = &section->parts[i];
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

static int scan_objects(struct bl_source *source, struct bl_reader *reader, take_objects *take)
{
    const struct bl_reader_section *section = &reader->sections[BL_SECTION_OBJECTS];
    const size_t per_chunk = BL_READER_CHUNK / sizeof(struct bl_object);
    struct bl_object *copies = malloc(2ul * BL_READER_CHUNK);
    if (!copies)
        return bl_error_set(source->error, "not enough memory to read %s", source->path);
    bool is_still = source->header.snapshot_number != 0;
    struct bl_object *again = is_still ? copies : copies + per_chunk;
    int outcome = 0;
    for (size_t i = 0; i < section->part_count && outcome == 0; i++) {
        const struct bl_reader_part *part = &section->parts[i];
        /* record 0 is never used */
        for (uint64_t at = i == 0; !part->is_private && outcome == 0 && at < part->count;) {
            uint64_t left = part->count - at;
            size_t count = left < per_chunk ? (size_t)left : per_chunk;
            uint64_t from = part->offset + at * sizeof(*copies);
            outcome = bl_reader_read(source, copies, count * sizeof(*copies), from);
            if (outcome == 0 && !is_still)
                outcome = bl_reader_read(source, again, count * sizeof(*again), from);
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
static int recheck_lifecycles(struct bl_source *source, struct bl_reader *reader)
{
    const struct bl_reader_section *section = &reader->sections[BL_SECTION_LIFECYCLES];
    for (size_t i = 0; i < section->part_count; i++) {
        const struct bl_reader_part *part = &section->parts[i];
        struct bl_lifecycle *now = part->data ? calloc(part->count + 1, sizeof(*now)) : NULL;
        struct bl_lifecycle *then = (struct bl_lifecycle *)(void *)part->data;
        if (!part->data)
            continue;
        if (!now)
            return bl_error_set(source->error, "not enough memory to read %s", source->path);
        int outcome = bl_reader_read(source, now, part->count * sizeof(*now), part->offset);
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
static int load_histories(struct bl_source *source, struct bl_reader *reader)
{
    if (bl_reader_plan(source, reader, BL_SECTION_OBJECTS) < 0 ||
        scan_objects(source, reader, keep_objects) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_LIFECYCLES) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_EVENTS) < 0)
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

static int recheck_series(struct bl_source *source, struct bl_reader *reader, enum bl_section which)
{
    const struct bl_reader_section *section = &reader->sections[which];
    uint8_t *now = calloc(1, BL_READER_CHUNK);
    int outcome = 0;
    if (!now)
        return bl_error_set(source->error, "not enough memory to read %s", source->path);
    for (size_t i = 0; i < section->part_count && outcome == 0; i++) {
        const struct bl_reader_part *part = &section->parts[i];
        const uint64_t per_chunk = BL_READER_CHUNK / bl_reader_record_sizes[which];
        for (uint64_t at = 0; part->data && at < part->count && outcome == 0; at += per_chunk) {
            uint64_t left = part->count - at;
            uint64_t count = left < per_chunk ? left : per_chunk;
            uint8_t *then = part->data + at * bl_reader_record_sizes[which];
            outcome = bl_reader_read(source, now, count * bl_reader_record_sizes[which],
                                     part->offset + at * bl_reader_record_sizes[which]);
            for (uint64_t n = 0; outcome == 0 && n < count; n++) {
                void *old = then + n * bl_reader_record_sizes[which];
                void *new = now + n *bl_reader_record_sizes[which];
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

static int load_series(struct bl_source *source, struct bl_reader *reader)
{
    if (bl_reader_load(source, reader, BL_SECTION_SAMPLES) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_SERIES) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_MARKS) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_BOUNDARIES) < 0)
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
    return bl_reader_record(reader, BL_SECTION_REACH_RUN, 0);
}

/* A run that began or ended meanwhile makes its results those of neither. */
static int load_reach(struct bl_source *source, struct bl_reader *reader)
{
    if (bl_reader_load(source, reader, BL_SECTION_REACH_RUN) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_REACH) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_REACH_ROOTS) < 0)
        return -1;
    const struct bl_reach_run *run = latest_run(reader);
    struct bl_reach_run now;
    if (!run || source->header.snapshot_number != 0)
        return 0;
    if (bl_reader_read(source, &now, sizeof(now),
                       reader->sections[BL_SECTION_REACH_RUN].parts[0].offset) < 0)
        return -1;
    reader->reach_moved = memcmp(run, &now, sizeof(now)) != 0;
    return 0;
}

static int load_all(struct bl_source *source, struct bl_reader *reader, enum bl_reader_scope scope)
{
    static const enum bl_section after_live[] = {BL_SECTION_FREE_PATHS, BL_SECTION_ASSEMBLIES,
                                                 BL_SECTION_FRAMES, BL_SECTION_MODULES};
    if (scope == BL_READER_ALL &&
        (load_live(source, reader) < 0 || load_histories(source, reader) < 0 ||
         load_reach(source, reader) < 0))
        return -1;
    if (scope != BL_READER_SUMMARY && load_series(source, reader) < 0)
        return -1;
    if (bl_reader_load(source, reader, BL_SECTION_COUNTERS) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_CLASSES) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_HOOKS) < 0 ||
        bl_reader_load(source, reader, BL_SECTION_THREADS) < 0)
        return -1;
    for (size_t i = 0; scope != BL_READER_SUMMARY && i < sizeof(after_live) / sizeof(*after_live);
         i++)
        if (bl_reader_load(source, reader, after_live[i]) < 0)
            return -1;
    if (bl_reader_load(source, reader, BL_SECTION_NAMES) < 0)
        return -1;
    if (bl_reader_check(source, reader, scope == BL_READER_ALL) < 0)
        return -1;
    reader->header = source->header;
    return 0;
}

/* ret_reused: frames got another meaning meanwhile. */
static int create_once(struct bl_reader **ret_reader, int fd, const char *path,
                       enum bl_reader_scope scope, bool *ret_reused, struct bl_error *error)
{
    struct bl_header header = {0};
    if (bl_reader_read_header(fd, path, &header, error) < 0)
        return -1;
    struct bl_reader *reader = calloc(1, sizeof(*reader));
    struct bl_source *source = calloc(1, sizeof(*source));
    int outcome = -1;
    if (!reader || !source) {
        bl_error_set(error, "not enough memory to read %s", path);
    } else {
        source->fd = fd;
        source->path = path;
        source->error = error;
        source->header = header;
        outcome = load_all(source, reader, scope);
        reader->lost_bytes = outcome == 0 ? bl_reader_count_lost(source) : 0;
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
    return number && !reader->reach_moved ? bl_reader_record(reader, BL_SECTION_REACH, number)
                                          : NULL;
}

const struct bl_reach_root *bl_reader_reach_root(const struct bl_reader *reader, uint32_t number)
{
    return number ? bl_reader_record(reader, BL_SECTION_REACH_ROOTS, number) : NULL;
}

const struct bl_tracked *bl_reader_objects(const struct bl_reader *reader, size_t *ret_count)
{
    *ret_count = reader->object_count;
    return reader->objects;
}

const struct bl_lifecycle *bl_reader_lifecycle(const struct bl_reader *reader, uint32_t number)
{
    const struct bl_lifecycle *life =
        number ? bl_reader_record(reader, BL_SECTION_LIFECYCLES, number) : NULL;
    return life && life->count > 0 ? life : NULL;
}

const struct bl_free_path *bl_reader_free_path(const struct bl_reader *reader, uint32_t number)
{
    const struct bl_free_path *path =
        number ? bl_reader_record(reader, BL_SECTION_FREE_PATHS, number) : NULL;
    return path && path->count > 0 ? path : NULL;
}

const struct bl_assembly *bl_reader_assembly(const struct bl_reader *reader, uint32_t number)
{
    const struct bl_assembly *assembly =
        number ? bl_reader_record(reader, BL_SECTION_ASSEMBLIES, number) : NULL;
    return assembly && assembly->stack < reader->sections[BL_SECTION_FRAMES].count ? assembly
                                                                                   : NULL;
}

size_t bl_reader_history(const struct bl_reader *reader, uint32_t newest, uint32_t count,
                         struct bl_event *out, size_t max)
{
    size_t length = 0;
    uint32_t number = newest;
    while (number != 0 && length < count && length < max) {
        const struct bl_event *event = bl_reader_record(reader, BL_SECTION_EVENTS, number);
        if (!event)
            break;
        out[length++] = *event;
        number = event->next;
    }
    return length;
}

const struct bl_frame *bl_reader_frame(const struct bl_reader *reader, uint32_t number)
{
    return number ? bl_reader_record(reader, BL_SECTION_FRAMES, number) : NULL;
}

const struct bl_module *bl_reader_module(const struct bl_reader *reader, uint32_t number)
{
    return number ? bl_reader_record(reader, BL_SECTION_MODULES, number) : NULL;
}

const struct bl_thread *bl_reader_thread(const struct bl_reader *reader, uint32_t number)
{
    return number ? bl_reader_record(reader, BL_SECTION_THREADS, number) : NULL;
}

const struct bl_class *bl_reader_class(const struct bl_reader *reader, uint32_t number)
{
    return bl_reader_record(reader, BL_SECTION_CLASSES, number);
}

const struct bl_hook *bl_reader_hook(const struct bl_reader *reader, uint32_t number)
{
    return bl_reader_record(reader, BL_SECTION_HOOKS, number);
}

const struct bl_series *bl_reader_series(const struct bl_reader *reader, uint32_t number)
{
    return number ? bl_reader_record(reader, BL_SECTION_SERIES, number) : NULL;
}

const struct bl_samples *bl_reader_samples(const struct bl_reader *reader, uint32_t number)
{
    return number ? bl_reader_record(reader, BL_SECTION_SAMPLES, number) : NULL;
}

const struct bl_mark *bl_reader_mark(const struct bl_reader *reader, uint32_t number)
{
    return bl_reader_record(reader, BL_SECTION_MARKS, number);
}

const struct bl_boundary *bl_reader_boundary(const struct bl_reader *reader, uint32_t number)
{
    return bl_reader_record(reader, BL_SECTION_BOUNDARIES, number);
}

struct bl_counter bl_reader_counter(const struct bl_reader *reader, uint32_t class_number)
{
    struct bl_counter sum = {0};
    const struct bl_counters *counters =
        bl_reader_record(reader, BL_SECTION_COUNTERS, class_number);
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
    const struct bl_reader_section *names = &reader->sections[BL_SECTION_NAMES];
    for (size_t i = 0; offset != 0 && i < names->part_count; i++) {
        const struct bl_reader_part *part = &names->parts[i];
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
