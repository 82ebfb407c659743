#include "naming.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct builder {
    struct bl_naming *naming;
    const struct bl_diff_side *sides;
    bool is_same_process;
    const char *only_class;
};

static void name_classes(const struct builder *builder)
{
    struct bl_naming *naming = builder->naming;
    for (int side = 0; side < 2; side++) {
        const struct bl_model *model = builder->sides[side].model;
        uint32_t unknown = bl_origins_text(naming->origins, "class", "?");
        for (size_t i = 0; i < BL_CLASSES_MAX; i++)
            naming->class_ids[side][i] = unknown;
        for (size_t i = 0; i < model->class_count; i++)
            naming->class_ids[side][model->classes[i].number % BL_CLASSES_MAX] =
                bl_origins_text(naming->origins, "class", model->classes[i].name);
    }
}

static bool add_id(struct bl_naming *naming, uint32_t id)
{
    if (id == UINT32_MAX)
        return false;
    if (naming->id_count == naming->id_room) {
        size_t room = naming->id_room ? naming->id_room * 2 : 1024;
        uint32_t *grown = realloc(naming->ids, room * sizeof(*grown));
        if (!grown)
            return false;
        naming->ids = grown;
        naming->id_room = room;
    }
    naming->ids[naming->id_count++] = id;
    return true;
}

static bool add_chain(const struct builder *builder, int side, uint32_t frame, int max)
{
    uint32_t chain[BL_ORIGIN_DEPTH];
    int count = bl_origins_chain(builder->naming->origins, side, frame, chain, max);
    bool has_room = count >= 0;
    for (int i = 0; i < count && has_room; i++)
        has_room = add_id(builder->naming, chain[i]);
    return has_room;
}

/* A thread's number means something within one process only. */
static uint32_t name_thread(const struct builder *builder, int side, uint64_t number)
{
    const struct bl_thread *thread =
        bl_reader_thread(builder->sides[side].reader, (uint32_t)number);
    char name[64] = "unknown";
    if (thread && builder->is_same_process)
        snprintf(name, sizeof(name), "%u", thread->tid);
    else if (thread)
        snprintf(name, sizeof(name), "%.16s", thread->name);
    return bl_origins_text(builder->naming->origins, "thread", name);
}

static bool add_ids(const struct builder *builder, int side, const struct bl_group *group)
{
    struct bl_naming *naming = builder->naming;
    switch (builder->sides[side].model->group_by) {
    case BL_GROUP_SITE:
        return add_chain(builder, side, group->site, group->finding ? BL_ORIGIN_DEPTH : 1);
    case BL_GROUP_STACK:
        return add_chain(builder, side, group->stack, BL_ORIGIN_DEPTH);
    case BL_GROUP_MODULE:
        return add_id(naming, bl_origins_module(naming->origins, side, (uint32_t)group->key));
    case BL_GROUP_THREAD:
        return add_id(naming, name_thread(builder, side, group->key));
    case BL_GROUP_SIZE:
    case BL_GROUP_AGE:
        break;
    }
    return add_id(naming, (uint32_t)group->key & INT32_MAX) &&
           add_id(naming, (uint32_t)(group->key >> 31) & INT32_MAX);
}

/* What a verdict says of a group. */
static int add_verdict(const struct builder *builder, struct bl_named *named,
                       const struct bl_finding *finding)
{
    named->is_judged = true;
    named->is_wide = finding->blame_stacks > 1;
    if (finding->verdict == BL_VERDICT_UNRELEASED)
        return 0;
    int reach = bl_origins_reach(builder->naming->origins, named->side, finding->blame_frame,
                                 finding->chain_frame);
    named->kind = finding->blame_kind;
    named->reach = reach > 0 ? (uint32_t)reach : 1;
    return reach < 0 ? -1 : 0;
}

static int name_group(const struct builder *builder, int side, const struct bl_group *group)
{
    struct bl_naming *naming = builder->naming;
    struct bl_named *named = &naming->groups[naming->count];
    *named = (struct bl_named){
        .group = group,
        .side = side,
        .class_id = naming->class_ids[side][group->class_number % BL_CLASSES_MAX],
        .class_name = bl_model_class_name(builder->sides[side].model, group->class_number),
        .kind = BL_ITEM_ALLOC,
        .is_accused = group->rank < BL_MODEL_RANK_PLAIN,
        .first = (uint32_t)naming->id_count,
        .reach = 1,
    };
    if (builder->only_class && strcmp(builder->only_class, named->class_name) != 0)
        return 0;
    if (!add_ids(builder, side, group) ||
        (group->finding && add_verdict(builder, named, group->finding) < 0))
        return -1;
    named->count = (uint32_t)naming->id_count - named->first;
    named->used = named->count;
    naming->count++;
    return 0;
}

uint32_t bl_naming_common(const struct bl_naming *naming, const struct bl_named *a,
                          const struct bl_named *b)
{
    const uint32_t *left = naming->ids + a->first;
    const uint32_t *right = naming->ids + b->first;
    uint32_t length = a->count < b->count ? a->count : b->count;
    uint32_t at = 0;
    while (at < length && left[at] == right[at])
        at++;
    return at;
}

/* By class, what is blamed and site; then by side, accused or not, and callers. */
static int compare_named(const void *left, const void *right, void *context)
{
    const struct bl_naming *naming = context;
    const struct bl_named *a = left;
    const struct bl_named *b = right;
    const uint64_t keys[][2] = {
        {a->is_judged, b->is_judged},
        {a->class_id, b->class_id},
        {a->kind, b->kind},
        {naming->ids[a->first], naming->ids[b->first]},
        {(uint64_t)a->side, (uint64_t)b->side},
        {a->is_accused, b->is_accused},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    uint32_t at = bl_naming_common(naming, a, b);
    if (at < a->count && at < b->count)
        return naming->ids[a->first + at] < naming->ids[b->first + at] ? -1 : 1;
    return a->count < b->count ? -1 : a->count > b->count;
}

static bool is_same_place(const struct bl_naming *naming, const struct bl_named *a,
                          const struct bl_named *b)
{
    return a->class_id == b->class_id && a->kind == b->kind && a->is_judged == b->is_judged &&
           naming->ids[a->first] == naming->ids[b->first];
}

/* Two neighbours of one side that differ only further out need that many ids, and what a verdict
 * was drawn from belongs to its name. */
static void choose_depths(struct bl_naming *naming)
{
    struct bl_named *groups = naming->groups;
    if (naming->count > 1)
        qsort_r(groups, naming->count, sizeof(*groups), compare_named, naming);
    for (size_t first = 0; first < naming->count;) {
        size_t end = first + 1;
        uint32_t depth = groups[first].reach;
        for (; end < naming->count && is_same_place(naming, &groups[first], &groups[end]); end++) {
            const struct bl_named *a = &groups[end - 1];
            const struct bl_named *b = &groups[end];
            uint32_t common = bl_naming_common(naming, a, b);
            if (b->reach > depth)
                depth = b->reach;
            if (a->side == b->side && a->is_accused == b->is_accused &&
                (common < a->count || common < b->count) && common + 1 > depth)
                depth = common + 1;
        }
        for (size_t i = first; i < end && groups[first].is_judged; i++)
            groups[i].used = groups[i].count < depth ? groups[i].count : depth;
        first = end;
    }
}

static int name_all(const struct builder *builder)
{
    const struct bl_diff_side *sides = builder->sides;
    size_t most = sides[0].model->group_count + sides[1].model->group_count;
    builder->naming->groups = calloc(most + 1, sizeof(*builder->naming->groups));
    if (!builder->naming->groups)
        return -1;
    name_classes(builder);
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < sides[side].model->group_count; i++)
            if (name_group(builder, side, &sides[side].model->groups[i]) < 0)
                return -1;
    choose_depths(builder->naming);
    return 0;
}

int bl_naming_init(struct bl_naming *naming, const struct bl_diff_side sides[2],
                   bool is_same_process, const char *class_name, struct bl_error *error)
{
    struct bl_origin_side origin_sides[2];
    struct builder builder = {.naming = naming,
                              .sides = sides,
                              .is_same_process = is_same_process,
                              .only_class = class_name};
    *naming = (struct bl_naming){.origins = NULL};
    for (int side = 0; side < 2; side++)
        origin_sides[side] =
            (struct bl_origin_side){.reader = sides[side].reader, .symbols = sides[side].symbols};
    if (bl_origins_create(&naming->origins, origin_sides, error) < 0)
        return -1;
    return name_all(&builder) < 0 ? bl_error_set(error, "not enough memory for the comparison") : 0;
}

void bl_naming_deinit(struct bl_naming *naming)
{
    bl_origins_destroy(naming->origins);
    free(naming->groups);
    free(naming->ids);
    *naming = (struct bl_naming){.origins = NULL};
}

enum bl_origin_kind bl_naming_kind(const struct bl_naming *naming, const struct bl_named *named)
{
    enum bl_origin_kind kind = BL_ORIGIN_OFFSET;
    for (uint32_t i = 0; i < named->used; i++) {
        enum bl_origin_kind one = bl_origins_kind(naming->origins, naming->ids[named->first + i]);
        if (one > kind)
            kind = one;
    }
    return kind;
}
