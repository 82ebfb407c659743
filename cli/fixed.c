#include "fixed.h"

#include "callers.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct counter {
    struct bl_passage *passages;
    size_t count;
    struct bl_origins *origins;
    int side;
    struct bl_callers *callers;
    const uint32_t *class_names;
    bool *has_passed; /* by passage, of the pattern at hand */
};

static bool is_wanted(const struct counter *counter, uint32_t class_name)
{
    for (size_t i = 0; i < counter->count; i++)
        if (counter->passages[i].class_name == class_name)
            return true;
    return false;
}

/* An over-release is looked for among the releases that were right. */
static bool is_kind(const struct bl_passage *passage, const struct bl_item *item)
{
    enum bl_item_kind kind =
        passage->kind == BL_ITEM_OVER_RELEASE ? BL_ITEM_RELEASE : passage->kind;
    return item->kind == kind;
}

static bool begins_with(const uint32_t *chain, size_t length, const struct bl_passage *passage)
{
    return passage->name_count <= length &&
           memcmp(chain, passage->names, passage->name_count * sizeof(*chain)) == 0;
}

/* A buffer that passed a place by several of its items passed it once. */
static int count_pattern(const struct counter *counter, const struct bl_histories *histories,
                         const struct bl_pattern *pattern)
{
    const struct bl_item *items = bl_pattern_items(histories, pattern);
    uint32_t class_name = counter->class_names[pattern->class_number % BL_CLASSES_MAX];
    uint32_t chain[BL_ORIGIN_DEPTH];
    if (!is_wanted(counter, class_name))
        return 0;
    memset(counter->has_passed, 0, counter->count * sizeof(*counter->has_passed));
    for (uint32_t i = 0; i < pattern->item_count; i++) {
        size_t depth;
        uint32_t site = bl_callers_frames(counter->callers, items[i].callers, &depth)->frame;
        int length =
            bl_origins_chain(counter->origins, counter->side, site, chain, BL_ORIGIN_DEPTH);
        if (length < 0)
            return -1;
        for (size_t k = 0; k < counter->count; k++)
            counter->has_passed[k] |= counter->passages[k].class_name == class_name &&
                                      is_kind(&counter->passages[k], &items[i]) &&
                                      begins_with(chain, (size_t)length, &counter->passages[k]);
    }
    for (size_t k = 0; k < counter->count; k++)
        counter->passages[k].passed += counter->has_passed[k] ? pattern->count : 0;
    return 0;
}

#define HEAP 0u /* class number: the only class of which the ends are sampled */

static int count_free_path(const struct counter *counter, const struct bl_free_path *path)
{
    uint32_t class_name = counter->class_names[HEAP];
    uint32_t chain[BL_ORIGIN_DEPTH];
    if (!path || path->count == 0 || !is_wanted(counter, class_name))
        return 0;
    uint32_t number = bl_callers_find(counter->callers, HEAP, path->alloc_stack);
    if (number == UINT32_MAX)
        return -1;
    size_t depth;
    uint32_t site = bl_callers_frames(counter->callers, number, &depth)->frame;
    int length = bl_origins_chain(counter->origins, counter->side, site, chain, BL_ORIGIN_DEPTH);
    if (length < 0)
        return -1;
    for (size_t k = 0; k < counter->count; k++) {
        struct bl_passage *passage = &counter->passages[k];
        if (passage->class_name != class_name || passage->kind != BL_ITEM_ALLOC ||
            !begins_with(chain, (size_t)length, passage))
            continue;
        passage->passed += path->count;
        passage->is_sample = true;
    }
    return 0;
}

static int count_free_paths(const struct counter *counter, const struct bl_reader *reader)
{
    uint32_t count = bl_reader_count(reader, BL_SECTION_FREE_PATHS);
    for (uint32_t i = 1; i < count; i++)
        if (count_free_path(counter, bl_reader_free_path(reader, i)) < 0)
            return -1;
    return 0;
}

static int count_all(struct counter *counter, const struct bl_histories *histories,
                     struct bl_error *error)
{
    counter->has_passed = calloc(counter->count, sizeof(*counter->has_passed));
    int outcome = counter->has_passed ? 0 : -1;
    for (size_t i = 0; outcome == 0 && i < histories->completed_count; i++)
        outcome = count_pattern(counter, histories, &histories->completed[i]);
    free(counter->has_passed);
    return outcome < 0 ? bl_error_set(error, "not enough memory for the lifecycles") : 0;
}

int bl_fixed_count(struct bl_passage *passages, size_t count, struct bl_origins *origins, int side,
                   const struct bl_reader *reader, const struct bl_model *model,
                   const struct bl_model_options *options, const uint32_t *class_names,
                   struct bl_error *error)
{
    struct bl_histories *histories = NULL;
    struct counter counter = {.passages = passages,
                              .count = count,
                              .origins = origins,
                              .side = side,
                              .class_names = class_names};
    if (count == 0)
        return 0;
    int outcome = bl_callers_create(&counter.callers, reader, NULL, options, error);
    if (outcome == 0)
        outcome = bl_histories_create(&histories, reader, counter.callers, model->now_ns, 0, error);
    if (outcome == 0)
        outcome = count_all(&counter, histories, error);
    if (outcome == 0 && count_free_paths(&counter, reader) < 0)
        outcome = bl_error_set(error, "not enough memory for the stacks");
    bl_histories_destroy(histories);
    bl_callers_destroy(counter.callers);
    return outcome;
}
