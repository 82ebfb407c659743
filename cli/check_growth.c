#include "check_growth.h"

#include "hash.h"
#include "leaks.h"
#include "model.h"

#include <stdlib.h>
#include <string.h>

#define TICK_NS 8000000u /* births are told apart by twice a clock tick */

struct site_key {
    uint32_t class_number;
    uint32_t module;
    uint64_t offset;
};

struct site {
    struct site_key key;
    uint64_t counts[BL_GROWTH_PARTS];
    struct bl_growing_site site;
    UT_hash_handle hh;
};

struct bl_check_growth {
    const struct bl_reader *reader;
    const struct bl_reaches *reaches;
    uint64_t borders[BL_GROWTH_PARTS + 1]; /* of the parts */
    size_t part_count;
    uint64_t iterations;       /* all */
    uint64_t iterations_given; /* in the parts together */
    struct site *sites;
    struct bl_growing_site *found;
};

/* The name that most marks have; NULL: none is there twice. */
static const char *choose_name(const struct bl_reader *reader)
{
    const char *chosen = NULL;
    size_t most = 1;
    uint32_t count = bl_reader_count(reader, BL_SECTION_MARKS);
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_mark *mark = bl_reader_mark(reader, i);
        size_t same = 0;
        for (uint32_t k = i; mark && mark->serial && k < count; k++) {
            const struct bl_mark *other = bl_reader_mark(reader, k);
            same += other && other->serial && strncmp(mark->name, other->name, BL_MARK_NAME) == 0;
        }
        if (same > most) {
            most = same;
            chosen = mark->name;
        }
    }
    return chosen;
}

static int compare_times(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return *a < *b ? -1 : *a > *b;
}

/* Ascending times of the marks. */
static size_t read_times(const struct bl_reader *reader, const char *name,
                         uint64_t times[BL_MARKS_MAX])
{
    size_t count = 0;
    uint32_t marks = bl_reader_count(reader, BL_SECTION_MARKS);
    for (uint32_t i = 0; i < marks && count < BL_MARKS_MAX; i++) {
        const struct bl_mark *mark = bl_reader_mark(reader, i);
        if (mark && mark->serial && strncmp(mark->name, name, BL_MARK_NAME) == 0)
            times[count++] = mark->time_ns;
    }
    if (count > 1)
        qsort(times, count, sizeof(*times), compare_times);
    return count;
}

/* Equal parts of the iterations after the first quarter, as many as are long enough. */
static bool cut(struct bl_check_growth *growth, const uint64_t *times, size_t count)
{
    size_t first = (count - 1 + 3) / 4;
    size_t left = count - 1 - first;
    for (size_t parts = BL_GROWTH_PARTS; parts >= BL_GROWTH_PARTS_MIN; parts--) {
        size_t each = left / parts;
        size_t skip = left - each * parts;
        bool is_long = each > 0;
        for (size_t i = 0; is_long && i <= parts; i++) {
            growth->borders[i] = times[first + skip + i * each];
            is_long = i == 0 || growth->borders[i] - growth->borders[i - 1] >= TICK_NS;
        }
        if (!is_long)
            continue;
        growth->part_count = parts;
        growth->iterations_given = each * parts;
        growth->iterations = count - 1;
        return true;
    }
    return false;
}

struct bl_check_growth *bl_check_growth_create(const struct bl_reader *reader,
                                               const struct bl_reaches *reaches, const char *name)
{
    uint64_t times[BL_MARKS_MAX];
    const char *chosen = name ? name : choose_name(reader);
    size_t count = chosen ? read_times(reader, chosen, times) : 0;
    struct bl_check_growth cutting = {.reader = reader, .reaches = reaches};
    if (count < BL_GROWTH_PARTS_MIN + 2 || !cut(&cutting, times, count))
        return NULL;
    struct bl_check_growth *growth = bl_leaks_memory(NULL, sizeof(*growth));
    *growth = cutting;
    return growth;
}

void bl_check_growth_destroy(struct bl_check_growth *growth)
{
    struct site *site;
    struct site *next;
    HASH_ITER (hh, growth->sites, site, next) {
        HASH_DEL(growth->sites, site); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free(site);
    }
    free(growth->found);
    free(growth);
}

uint64_t bl_check_growth_iterations(const struct bl_check_growth *growth)
{
    return growth->iterations;
}

/* The innermost frame that is in no runtime library. */
static const struct bl_frame *site_of(const struct bl_reader *reader, uint32_t stack)
{
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    const struct bl_frame *innermost = NULL;
    size_t count = bl_model_stack(reader, stack, frames, BL_MODEL_FRAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct bl_frame *frame = bl_reader_frame(reader, frames[i]);
        const struct bl_module *module =
            frame ? bl_reader_module(reader, frame->module & BL_FRAME_MODULE_MASK) : NULL;
        char path[4096] = "";
        if (!innermost)
            innermost = frame;
        if (!module || !bl_reader_name_text(reader, module->path_name, path, sizeof(path)) ||
            bl_model_is_runtime(path))
            continue;
        return frame;
    }
    return innermost;
}

void bl_check_growth_feed(struct bl_check_growth *growth, uint64_t word, uint32_t stack,
                          uint64_t birth_ns, uint32_t example)
{
    size_t part = 0;
    struct site *site;
    const struct bl_frame *frame = site_of(growth->reader, stack);
    if (!frame || birth_ns < growth->borders[0] || birth_ns >= growth->borders[growth->part_count])
        return;
    while (birth_ns >= growth->borders[part + 1])
        part++;
    struct site_key key;
    memset(&key, 0, sizeof(key));
    key.class_number = (uint32_t)(word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
    key.module = frame->module & BL_FRAME_MODULE_MASK;
    key.offset = frame->offset;
    HASH_FIND(hh, growth->sites, &key, sizeof(key), site);
    if (!site) {
        site = bl_leaks_memory(NULL, sizeof(*site));
        *site = (struct site){.key = key, .site.class_number = key.class_number};
        HASH_ADD(hh, growth->sites, key, sizeof(key), site);
    }
    site->counts[part]++;
    site->site.stack = stack;
    site->site.example = example;
    site->site.count++;
    site->site.bytes += word >> BL_LIVE_SIZE_SHIFT;
    bl_reach_count(growth->reaches, example, word >> BL_LIVE_SIZE_SHIFT, &site->site.reach);
}

/* About the same in every part. */
static bool is_even(const struct bl_check_growth *growth, const struct site *site)
{
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;
    for (size_t i = 0; i < growth->part_count; i++) {
        least = site->counts[i] < least ? site->counts[i] : least;
        most = site->counts[i] > most ? site->counts[i] : most;
    }
    bool is_much = growth->part_count > 4 || site->site.count >= growth->iterations_given;
    return least > 0 && least * 2 >= most && is_much;
}

const struct bl_growing_site *bl_check_growth_find(struct bl_check_growth *growth,
                                                   size_t *ret_count)
{
    struct site *site;
    struct site *next;
    size_t count = 0;
    growth->found = bl_leaks_memory(NULL, (HASH_COUNT(growth->sites) + 1) * sizeof(*growth->found));
    HASH_ITER (hh, growth->sites, site, next) {
        if (!is_even(growth, site))
            continue;
        site->site.count_per_iteration =
            (double)site->site.count / (double)growth->iterations_given;
        site->site.bytes_per_iteration =
            (double)site->site.bytes / (double)growth->iterations_given;
        growth->found[count++] = site->site;
    }
    *ret_count = count;
    return growth->found;
}
