#include "moment.h"

#include "callers.h"
#include "hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The clock that births are stamped with may be behind by as much (CLOCK_MONOTONIC_COARSE, HZ=100).
 */
#define TICK_NS 10000000u

struct amount {
    uint64_t count;
    uint64_t bytes;
};

struct site {
    uint32_t chain; /* of its innermost frame, from callers.h: class and place */
    struct bl_group group;
    struct amount sure;    /* lives still and was certainly born by then */
    struct amount unsure;  /* lives still and was born within a tick of it, before or after */
    struct amount sampled; /* more than those: what the sample before the moment had */
    uint64_t oldest_birth_ns;
    uint64_t youngest_birth_ns;
    UT_hash_handle hh;
};

struct builder {
    struct bl_model *model;
    const struct bl_reader *reader;
    const struct bl_model_options *options;
    struct bl_callers *callers;
    uint64_t t_ns;
    bool is_past; /* what was born since does not count */
    struct site *sites;
    uint8_t *wanted; /* by number of callers: 0 not asked, 1 yes, 2 no */
    size_t wanted_count;
};

/* keep_stack may look up symbols: each distinct stack is asked for once. -1 without memory. */
static int is_wanted(struct builder *builder, uint32_t number, uint32_t stack)
{
    if (!builder->options->keep_stack)
        return 1;
    if (number >= builder->wanted_count) {
        size_t count = ((size_t)number + 1) * 2;
        uint8_t *grown = realloc(builder->wanted, count);
        if (!grown)
            return -1;
        memset(grown + builder->wanted_count, 0, count - builder->wanted_count);
        builder->wanted = grown;
        builder->wanted_count = count;
    }
    uint8_t *answer = &builder->wanted[number];
    if (*answer == 0)
        *answer = builder->options->keep_stack(builder->options->keep_context, stack) ? 1 : 2;
    return *answer == 1;
}

/* The site of a stack, made when it is new; NULL without memory. */
static struct site *find_site(struct builder *builder, uint32_t class_number, uint32_t stack,
                              uint32_t number)
{
    uint32_t chain = bl_callers_site(builder->callers, number);
    struct site *site;
    size_t depth;
    HASH_FIND(hh, builder->sites, &chain, sizeof(chain), site);
    if (site)
        return site;
    site = calloc(1, sizeof(*site));
    if (!site)
        return NULL;
    site->chain = chain;
    site->oldest_birth_ns = UINT64_MAX;
    site->group =
        (struct bl_group){.class_number = class_number,
                          .stack = stack,
                          .site = bl_callers_frames(builder->callers, number, &depth)->frame,
                          .stack_count = 1,
                          .rank = BL_MODEL_RANK_PLAIN,
                          .is_least = true};
    HASH_ADD(hh, builder->sites, chain, sizeof(chain), site);
    return site;
}

static int add_survivor(struct builder *builder, uint64_t word, uint32_t stack, uint64_t birth_ns)
{
    uint32_t class_number = (uint32_t)(word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
    uint64_t age_ns = builder->t_ns > birth_ns ? builder->t_ns - birth_ns : 0;
    if ((builder->is_past && birth_ns > builder->t_ns) || word & BL_LIVE_IGNORED ||
        age_ns < builder->options->min_age_ns)
        return 0;
    uint32_t number = bl_callers_find(builder->callers, class_number, stack);
    int wanted = number == UINT32_MAX ? -1 : is_wanted(builder, number, stack);
    if (wanted <= 0)
        return wanted;
    struct site *site = find_site(builder, class_number, stack, number);
    if (!site)
        return -1;
    bool is_sure = !builder->is_past || builder->t_ns - birth_ns >= TICK_NS;
    struct amount *amount = is_sure ? &site->sure : &site->unsure;
    amount->count++;
    amount->bytes += word >> BL_LIVE_SIZE_SHIFT;
    site->group.recorded++;
    if (birth_ns < site->oldest_birth_ns)
        site->oldest_birth_ns = birth_ns;
    if (birth_ns > site->youngest_birth_ns)
        site->youngest_birth_ns = birth_ns;
    return 0;
}

static int add_survivors(struct builder *builder)
{
    size_t count;
    const struct bl_live *live = bl_reader_live(builder->reader, &count);
    for (size_t i = 0; i < count; i++)
        if (add_survivor(builder, live[i].word, live[i].stack, live[i].birth_ns) < 0)
            return -1;
    const struct bl_tracked *tracked = bl_reader_objects(builder->reader, &count);
    for (size_t i = 0; i < count; i++) {
        const struct bl_object *object = &tracked[i].object;
        if (!(object->flags & BL_OBJECT_GHOST) &&
            add_survivor(builder, object->word, object->stack, object->birth_ns) < 0)
            return -1;
    }
    return 0;
}

static uint64_t more_than(uint64_t value, uint64_t other)
{
    return value > other ? value - other : 0;
}

/* What was sampled there at the moment, where that is more than what survived. */
static int add_line(struct builder *builder, const struct bl_line *line)
{
    const struct bl_point *point = bl_line_at(line, builder->t_ns);
    bool was_followed = point && (line->until_ns == 0 || line->until_ns > builder->t_ns);
    /* samples know no ages, and nothing of the modules that the user calls his own */
    if (line->kind != BL_SERIES_SITE || !was_followed || builder->options->min_age_ns > 0 ||
        builder->options->own_count > 0)
        return 0;
    uint32_t number = bl_callers_find(builder->callers, line->class_number, line->stack);
    int wanted = number == UINT32_MAX ? -1 : is_wanted(builder, number, line->stack);
    if (wanted <= 0)
        return wanted;
    struct site *site = find_site(builder, line->class_number, line->stack, number);
    if (!site)
        return -1;
    site->group.is_least = false;
    site->sampled.count = more_than(point->count, site->sure.count + site->unsure.count);
    site->sampled.bytes = more_than(point->bytes, site->sure.bytes + site->unsure.bytes);
    return 0;
}

static int add_lines(struct builder *builder, const struct bl_series_set *set)
{
    for (size_t i = 0; i < set->line_count; i++)
        if (add_line(builder, &set->lines[i]) < 0)
            return -1;
    return 0;
}

/* ---- what the class had in all ---- */

/* A part of what the sites of a class have, by how well it is known. */
static struct amount *part_of(struct site *site, int part)
{
    return part == 0 ? &site->sampled : part == 1 ? &site->unsure : &site->sure;
}

/* Takes away the same share of every site; `over` is what they have too much in all. */
static uint64_t share_of(uint64_t *left, uint64_t *over, uint64_t value)
{
    uint64_t taken = 0;
    if (*left > 0)
        taken = *over >= *left ? value : (uint64_t)((double)*over * (double)value / (double)*left);
    *left -= value;
    *over -= taken;
    return taken;
}

static uint64_t reduce(struct builder *builder, uint32_t class_number, int part, bool is_bytes,
                       uint64_t over)
{
    struct site *site;
    struct site *next;
    uint64_t left = 0;
    for (int pass = 0; pass < 2; pass++) {
        HASH_ITER (hh, builder->sites, site, next) {
            struct amount *amount = part_of(site, part);
            uint64_t *value = is_bytes ? &amount->bytes : &amount->count;
            if (site->group.class_number != class_number)
                continue;
            if (pass == 0)
                left += *value;
            else
                *value -= share_of(&left, &over, *value);
        }
    }
    return over;
}

static void reduce_to(struct builder *builder, uint32_t class_number, bool is_bytes, uint64_t all,
                      uint64_t most)
{
    uint64_t over = more_than(all, most);
    for (int part = 0; part < 3 && over > 0; part++)
        over = reduce(builder, class_number, part, is_bytes, over);
}

/* A place cannot have had more than its class had, which is known exactly: what is too much goes,
 * first of what only an older sample says, then of what was born within a tick of the moment, last
 * of what has changed its size since. */
static void fit_classes(struct builder *builder, const struct bl_mark *mark)
{
    static const struct bl_mark_class none;
    struct amount all[BL_CLASSES_MAX] = {{0, 0}};
    struct site *site;
    struct site *next;
    HASH_ITER (hh, builder->sites, site, next)
        for (int part = 0; part < 3 && site->group.class_number < BL_CLASSES_MAX; part++) {
            all[site->group.class_number].count += part_of(site, part)->count;
            all[site->group.class_number].bytes += part_of(site, part)->bytes;
        }
    for (uint32_t n = 0; n < BL_CLASSES_MAX; n++) {
        const struct bl_mark_class *then = n < mark->class_count ? &mark->classes[n] : &none;
        reduce_to(builder, n, false, all[n].count, then->live_count);
        reduce_to(builder, n, true, all[n].bytes, then->live_bytes);
    }
}

static uint64_t age_at(const struct builder *builder, uint64_t birth_ns)
{
    return builder->t_ns > birth_ns ? builder->t_ns - birth_ns : 0;
}

/* The sites with anything alive become the model's groups. */
static int take_groups(struct builder *builder)
{
    struct bl_model *model = builder->model;
    struct site *site;
    struct site *next;
    struct bl_group *groups = calloc(HASH_COUNT(builder->sites) + 1, sizeof(*groups));
    size_t count = 0;
    if (!groups)
        return -1;
    HASH_ITER (hh, builder->sites, site, next) {
        site->group.count = site->sure.count + site->unsure.count + site->sampled.count;
        site->group.bytes = site->sure.bytes + site->unsure.bytes + site->sampled.bytes;
        if (site->group.count == 0)
            continue;
        groups[count] = site->group;
        groups[count].is_least = site->group.is_least && builder->is_past;
        groups[count].oldest_ns =
            site->group.recorded > 0 ? age_at(builder, site->oldest_birth_ns) : 0;
        groups[count].youngest_ns = age_at(builder, site->youngest_birth_ns);
        count++;
    }
    free(model->groups);
    model->groups = groups;
    model->group_count = count;
    model->shown = count;
    return 0;
}

static void take_classes(struct bl_model *model, const struct bl_mark *mark)
{
    for (size_t i = 0; i < model->class_count; i++) {
        struct bl_class_sums *sums = &model->classes[i];
        static const struct bl_mark_class none;
        const struct bl_mark_class *then =
            sums->number < mark->class_count ? &mark->classes[sums->number] : &none;
        sums->live_count = then->live_count;
        sums->live_bytes = then->live_bytes;
        sums->allocs = then->allocs;
        sums->ended = then->ended;
        sums->releases = then->ended;
    }
}

static void deinit(struct builder *builder)
{
    struct site *site;
    struct site *next;
    HASH_ITER (hh, builder->sites, site, next) {
        HASH_DEL(builder->sites, site); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free(site);
    }
    free(builder->wanted);
    bl_callers_destroy(builder->callers);
}

int bl_moment_apply(struct bl_model *model, const struct bl_reader *reader,
                    const struct bl_series_set *set, const struct bl_mark *mark,
                    const struct bl_model_options *options, struct bl_error *error)
{
    struct builder builder = {.model = model,
                              .reader = reader,
                              .options = options,
                              .t_ns = mark ? mark->time_ns : model->now_ns,
                              .is_past = mark != NULL};
    if (mark && model->is_sampled)
        return bl_error_set(error,
                            "what process %u held at a mark is not known, as only a part of "
                            "the heap is recorded (sample=): compare snapshots",
                            bl_reader_header(reader)->pid);
    if (bl_callers_create(&builder.callers, reader, NULL, options, error) < 0)
        return -1;
    int outcome = add_survivors(&builder);
    if (outcome == 0 && mark)
        outcome = add_lines(&builder, set);
    if (outcome == 0 && mark)
        fit_classes(&builder, mark);
    if (outcome == 0)
        outcome = take_groups(&builder);
    deinit(&builder);
    if (outcome < 0)
        return bl_error_set(error, "not enough memory for the groups");
    if (mark) {
        take_classes(model, mark);
        model->uptime_ns -= model->now_ns > mark->time_ns ? model->now_ns - mark->time_ns : 0;
        model->now_ns = mark->time_ns;
    }
    return 0;
}
