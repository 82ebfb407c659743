#include "reader.h"
#include "reader_file.h"

#include <stdlib.h>

#define FREES_MAX   (1ull << 40) /* of one path: sums of them cannot overflow */
#define MODULES_MAX (1u << 18)   /* far more than a process loads in its life */

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
    const struct bl_reader_section *section = &reader->sections[BL_SECTION_REACH_ROOTS];
    for (size_t i = 0; i < section->part_count; i++) {
        struct bl_reach_root *root = (struct bl_reach_root *)(void *)section->parts[i].data;
        for (uint64_t n = 0; root && n < section->parts[i].count; n++)
            check_root(reader, &root[n]);
    }
}

/* Makes every reference in a frame one that can be followed. */
static void check_frames(struct bl_reader *reader)
{
    const struct bl_reader_section *frames = &reader->sections[BL_SECTION_FRAMES];
    uint64_t module_count = reader->sections[BL_SECTION_MODULES].count;
    for (size_t i = 0; i < frames->part_count; i++) {
        const struct bl_reader_part *part = &frames->parts[i];
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
        struct bl_event *event = bl_reader_record(reader, BL_SECTION_EVENTS, number);
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
    const struct bl_reader_section *section = &reader->sections[BL_SECTION_LIFECYCLES];
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
    const struct bl_reader_section *section = &reader->sections[BL_SECTION_FREE_PATHS];
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

static int check_histories(struct bl_source *source, struct bl_reader *reader)
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

int bl_reader_check(struct bl_source *source, struct bl_reader *reader, bool has_histories)
{
    cut(reader, BL_SECTION_CLASSES, BL_CLASSES_MAX);
    cut(reader, BL_SECTION_MODULES, MODULES_MAX);
    check_classes(reader);
    check_frames(reader);
    check_live(reader);
    check_free_paths(reader);
    check_roots(reader);
    return has_histories ? check_histories(source, reader) : 0;
}
