#include "siblings.h"

#include "callers.h"

#include <stdlib.h>
#include <string.h>

#define LIBRARY_FRAMES 3 /* passed over at most */

/* One free path of one group. */
struct ending {
    uint32_t group; /* index in model->groups */
    bool of_other_callers;
    bool is_resize;
    uint32_t place;         /* equal for equal code */
    uint32_t through_place; /* of the frame called; place when that is the one */
    struct bl_end_place at;
};

struct builder {
    const struct bl_reader *reader;
    struct bl_symbols *symbols;
    struct bl_callers *callers;
    struct bl_model *model;
    uint32_t heap;
    uint8_t *is_live;      /* by stack: a live block has it */
    uint32_t *path_owners; /* by free path: number that its group has in `groups`, 0: none */
    uint32_t *groups;      /* by site or by stack: index + 1 */
    struct ending *endings;
    size_t ending_count;
};

static bool find_heap(struct builder *builder)
{
    for (size_t i = 0; i < builder->model->class_count; i++) {
        if (strcmp(builder->model->classes[i].name, "heap") != 0)
            continue;
        builder->heap = builder->model->classes[i].number;
        return true;
    }
    return false;
}

/* What makes an allocation stack belong to a group: its site, or itself. UINT32_MAX without memory.
 */
static uint32_t owner_of(struct builder *builder, uint32_t stack)
{
    if (builder->model->group_by == BL_GROUP_STACK)
        return stack;
    uint32_t found = bl_callers_find(builder->callers, builder->heap, stack);
    return found == UINT32_MAX ? found : bl_callers_site(builder->callers, found);
}

static bool is_asked(const struct builder *builder, const struct bl_group *group)
{
    return group->class_number == builder->heap && !group->finding && group->stack != 0;
}

/* Fills groups and path_owners. All owners are found first: there may be more than the groups have.
 */
static bool assign(struct builder *builder)
{
    const struct bl_model *model = builder->model;
    uint32_t paths = bl_reader_count(builder->reader, BL_SECTION_FREE_PATHS);
    uint32_t most = bl_reader_count(builder->reader, BL_SECTION_FRAMES);
    uint32_t *owners = calloc(model->shown + 1, sizeof(*owners));
    bool done = owners != NULL;
    for (size_t i = 0; done && i < model->shown; i++)
        if (is_asked(builder, &model->groups[i]))
            done = (owners[i] = owner_of(builder, model->groups[i].stack)) != UINT32_MAX;
    for (uint32_t n = 1; done && n < paths; n++) {
        const struct bl_free_path *path = bl_reader_free_path(builder->reader, n);
        if (path)
            done = (builder->path_owners[n] = owner_of(builder, path->alloc_stack)) != UINT32_MAX;
    }
    if (model->group_by == BL_GROUP_SITE)
        most = bl_callers_chain_count(builder->callers);
    builder->groups = done ? calloc(most + 1ul, sizeof(*builder->groups)) : NULL;
    for (size_t i = model->shown; builder->groups && i-- > 0;)
        if (is_asked(builder, &model->groups[i]))
            builder->groups[owners[i]] = (uint32_t)i + 1;
    free(owners);
    return builder->groups != NULL;
}

static bool has_line(const struct builder *builder, uint32_t frame)
{
    size_t count;
    const struct bl_symbol *symbols = bl_symbols_frame(builder->symbols, frame, &count);
    return symbols && symbols[0].file && symbols[0].line > 0;
}

static bool add_ending(struct builder *builder, const struct bl_free_path *path, uint32_t group)
{
    size_t depth;
    uint32_t found = bl_callers_find(builder->callers, builder->heap, path->free_stack);
    if (found == UINT32_MAX)
        return false;
    const struct bl_caller *frames = bl_callers_frames(builder->callers, found, &depth);
    size_t at = 0;
    while (at < depth && at <= LIBRARY_FRAMES && !has_line(builder, frames[at].frame))
        at++;
    if (at == depth || at > LIBRARY_FRAMES)
        at = 0;
    builder->endings[builder->ending_count++] =
        (struct ending){.group = group,
                        .of_other_callers = !builder->is_live[path->alloc_stack],
                        .is_resize = path->op == BL_OP_RESIZE,
                        .place = frames[at].place,
                        .through_place = frames[0].place,
                        .at = {.frame = frames[at].frame,
                               .through = at > 0 ? frames[0].frame : 0,
                               .count = path->count,
                               .is_resize = path->op == BL_OP_RESIZE}};
    return true;
}

static bool collect(struct builder *builder)
{
    uint32_t paths = bl_reader_count(builder->reader, BL_SECTION_FREE_PATHS);
    for (uint32_t n = 1; n < paths; n++) {
        const struct bl_free_path *path = bl_reader_free_path(builder->reader, n);
        uint32_t group = path ? builder->groups[builder->path_owners[n]] : 0;
        if (group && !add_ending(builder, path, group - 1))
            return false;
    }
    return true;
}

/* Equal ones next to each other, those of the same path before the others. */
static int compare_kind(const struct ending *a, const struct ending *b)
{
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->of_other_callers != b->of_other_callers)
        return a->of_other_callers ? 1 : -1;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    if (a->through_place != b->through_place)
        return a->through_place < b->through_place ? -1 : 1;
    return (int)a->is_resize - (int)b->is_resize;
}

static int compare_endings(const void *left, const void *right)
{
    const struct ending *a = left;
    const struct ending *b = right;
    int order = compare_kind(a, b);
    if (order != 0)
        return order;
    if (a->at.count != b->at.count)
        return a->at.count > b->at.count ? -1 : 1;
    return a->at.frame < b->at.frame ? -1 : a->at.frame > b->at.frame;
}

static int compare_counts(const void *left, const void *right)
{
    const struct ending *a = left;
    const struct ending *b = right;
    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    if (a->of_other_callers != b->of_other_callers)
        return a->of_other_callers ? 1 : -1;
    if (a->at.count != b->at.count)
        return a->at.count > b->at.count ? -1 : 1;
    return a->at.frame < b->at.frame ? -1 : a->at.frame > b->at.frame;
}

/* One ending for each place of a group, most common first. */
static void merge(struct builder *builder)
{
    size_t kept = 0;
    if (builder->ending_count == 0)
        return;
    qsort(builder->endings, builder->ending_count, sizeof(*builder->endings), compare_endings);
    for (size_t i = 1; i < builder->ending_count; i++) {
        if (compare_kind(&builder->endings[kept], &builder->endings[i]) == 0)
            builder->endings[kept].at.count += builder->endings[i].at.count;
        else
            builder->endings[++kept] = builder->endings[i];
    }
    builder->ending_count = kept + 1;
    qsort(builder->endings, builder->ending_count, sizeof(*builder->endings), compare_counts);
}

/* Endings of other callers count only where there are none of the same path. */
static void hand_out(struct builder *builder, struct bl_siblings *siblings)
{
    size_t used = 0;
    const struct bl_siblings *last = NULL;
    uint32_t last_group = UINT32_MAX;
    for (size_t i = 0; i < builder->ending_count; i++) {
        const struct ending *ending = &builder->endings[i];
        struct bl_siblings *to = &siblings[used];
        if (last && last_group == ending->group) {
            to = &siblings[used - 1];
            if (ending->of_other_callers != to->of_other_callers)
                continue;
        } else {
            used++;
            to->of_other_callers = ending->of_other_callers;
            builder->model->groups[ending->group].siblings = to;
            last = to;
            last_group = ending->group;
        }
        to->sampled += ending->at.count;
        if (to->place_count < BL_SIBLINGS_PLACES)
            to->places[to->place_count++] = ending->at;
        else
            to->places_left_out++;
    }
}

static int build(struct builder *builder, struct bl_siblings **ret_siblings,
                 const struct bl_model_options *options, struct bl_error *error)
{
    size_t count;
    const struct bl_live *live = bl_reader_live(builder->reader, &count);
    uint32_t paths = bl_reader_count(builder->reader, BL_SECTION_FREE_PATHS);
    if (bl_callers_create(&builder->callers, builder->reader, NULL, options, error) < 0)
        return -1;
    builder->is_live = calloc(bl_reader_count(builder->reader, BL_SECTION_FRAMES) + 1ul, 1);
    builder->path_owners = calloc(paths + 1ul, sizeof(*builder->path_owners));
    builder->endings = calloc(paths + 1ul, sizeof(*builder->endings));
    *ret_siblings = calloc(builder->model->shown + 1, sizeof(**ret_siblings));
    bool done = builder->is_live && builder->path_owners && builder->endings && *ret_siblings;
    for (size_t i = 0; done && i < count; i++)
        if ((live[i].word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK) == builder->heap)
            builder->is_live[live[i].stack] = 1;
    if (!done || !assign(builder) || !collect(builder))
        return bl_error_set(error, "not enough memory for the siblings");
    merge(builder);
    hand_out(builder, *ret_siblings);
    return 0;
}

int bl_siblings_create(struct bl_siblings **ret_siblings, const struct bl_reader *reader,
                       struct bl_symbols *symbols, struct bl_model *model,
                       const struct bl_model_options *options, struct bl_error *error)
{
    struct builder builder = {.reader = reader, .symbols = symbols, .model = model};
    struct bl_siblings *siblings = NULL;
    bool is_asked_for = model->group_by == BL_GROUP_SITE || model->group_by == BL_GROUP_STACK;
    if (!is_asked_for || bl_reader_count(reader, BL_SECTION_FREE_PATHS) < 2 || !find_heap(&builder))
        return 0;
    int outcome = build(&builder, &siblings, options, error);
    bl_callers_destroy(builder.callers);
    free(builder.is_live);
    free(builder.path_owners);
    free(builder.groups);
    free(builder.endings);
    if (outcome < 0)
        bl_siblings_destroy(siblings);
    else
        *ret_siblings = siblings;
    return outcome;
}

void bl_siblings_destroy(struct bl_siblings *siblings)
{
    free(siblings);
}
