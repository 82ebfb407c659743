#include "top_look.h"

#include "growth.h"
#include "pairing.h"
#include "reader.h"
#include "render_parts.h"
#include "symbols.h"
#include "text.h"
#include "view.h"

#include <stdlib.h>
#include <string.h>

#define PLAIN_MAX  200 /* groups without a verdict that are kept beside those that are followed */
#define STACK_MAX  200 /* lines of a stack */
#define POINTS_MAX 1024
#define CLASS_ONLY UINT32_MAX

/* A group of the latest full look. Frame numbers are good in later readings. */
struct found {
    struct bl_group group;
    struct bl_finding finding;
    bool is_judged;
    bool is_accused;
    struct bl_top_key key;
    struct bl_top_key birth; /* where its buffers were allocated */
};

struct reading {
    struct bl_reader *reader;
    struct bl_series_set *set;
    struct bl_model *model;
    struct bl_growth_set *growth;
    bool is_running;
    struct bl_proc process;
};

struct bl_top_looker {
    const struct bl_target *target;
    struct bl_model_options options;
    struct reading reading;
    struct bl_symbols *symbols;
    struct found *found;
    size_t found_count;
    bool has_all;                            /* no group was left out of `found` */
    uint64_t judged_ns;                      /* 0: not yet */
    struct bl_point classes[BL_CLASSES_MAX]; /* then */
};

/* A frame in the making. */
struct builder {
    struct bl_top_looker *looker;
    const struct bl_top_wish *wish;
    struct bl_top_frame *frame;
    struct bl_view view;
    size_t site_room;
};

void bl_top_frame_destroy(struct bl_top_frame *frame)
{
    if (!frame)
        return;
    if (frame->detail) {
        free(frame->detail->stack);
        free(frame->detail->points);
    }
    free(frame->detail);
    free(frame->classes);
    free(frame->sites);
    free(frame->marks);
    free(frame->path);
    free(frame);
}

bool bl_top_key_equals(const struct bl_top_key *a, const struct bl_top_key *b)
{
    return a->class_number == b->class_number && a->module == b->module && a->offset == b->offset &&
           a->kind == b->kind && a->caller == b->caller;
}

/* ---- reading ---- */

static void close_reading(struct reading *reading)
{
    bl_growth_destroy(reading->growth);
    bl_model_destroy(reading->model);
    bl_series_destroy(reading->set);
    bl_reader_destroy(reading->reader);
    *reading = (struct reading){.reader = NULL};
}

static int read_ledger(struct bl_top_looker *looker, bool is_full, struct reading *ret_reading,
                       struct bl_error *error)
{
    struct reading reading = {.reader = NULL};
    const struct bl_target *target = looker->target;
    enum bl_reader_scope scope = is_full ? BL_READER_ALL : BL_READER_SERIES;
    int outcome = bl_reader_create(&reading.reader, target->fd, target->path, scope, error);
    if (outcome == 0) {
        reading.is_running =
            bl_proc_find_writer(bl_reader_header(reading.reader), &reading.process);
        outcome = bl_series_create(&reading.set, reading.reader, error);
    }
    if (outcome == 0)
        outcome = bl_model_create(&reading.model, reading.reader, reading.is_running,
                                  &looker->options, error);
    if (outcome == 0)
        outcome = bl_growth_create(&reading.growth, reading.reader, reading.set, reading.model,
                                   NULL, error);
    if (outcome == 0 && !looker->symbols) {
        outcome = bl_symbols_create(&looker->symbols, reading.reader,
                                    reading.is_running ? &reading.process : NULL, error);
        if (outcome == 0)
            bl_symbols_be_quiet(looker->symbols);
    } else if (outcome == 0) {
        outcome = bl_symbols_follow(looker->symbols, reading.reader, error);
    }
    if (outcome < 0)
        close_reading(&reading);
    else
        *ret_reading = reading;
    return outcome;
}

static struct bl_top_key key_of(const struct bl_reader *reader, uint32_t class_number,
                                uint32_t frame_number)
{
    const struct bl_frame *frame = bl_reader_frame(reader, frame_number);
    return (struct bl_top_key){.class_number = class_number,
                               .module = frame ? frame->module & BL_FRAME_MODULE_MASK : 0,
                               .offset = frame ? frame->offset : 0,
                               .kind = BL_ITEM_ALLOC};
}

/* The callers that a verdict was drawn from, as one number. */
static uint32_t hash_callers(const struct bl_reader *reader, const struct bl_finding *finding)
{
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    size_t count = bl_model_stack(reader, finding->blame_frame, frames, BL_MODEL_FRAMES_MAX);
    uint64_t hash = 0x9e3779b97f4a7c15ull;
    for (size_t i = 0; i < count; i++) {
        const struct bl_frame *frame = bl_reader_frame(reader, frames[i]);
        hash = (hash ^ (frame ? frame->offset : 0)) * 0xd6e8feb86659fd93ull;
        hash ^= hash >> 32;
        if (frames[i] == finding->chain_frame)
            break;
    }
    return (uint32_t)hash | 1u;
}

static void keep_group(struct bl_top_looker *looker, const struct bl_reader *reader,
                       const struct bl_group *group)
{
    struct found *found = &looker->found[looker->found_count++];
    *found = (struct found){.group = *group, .is_judged = group->finding != NULL};
    found->group.finding = NULL;
    found->group.growth = NULL;
    found->group.siblings = NULL;
    found->key = key_of(reader, group->class_number, group->site);
    found->birth = found->key;
    if (!group->finding)
        return;
    found->finding = *group->finding;
    found->is_accused = group->finding->verdict != BL_VERDICT_UNRELEASED;
    found->birth = key_of(reader, group->class_number, group->finding->alloc_frame);
    found->key.kind = found->is_accused ? group->finding->blame_kind : BL_ITEM_ALLOC;
    found->key.caller = found->is_accused ? hash_callers(reader, group->finding) : 0;
}

/* The model's groups are sorted, verdicts first. */
static int keep_groups(struct bl_top_looker *looker, const struct reading *reading,
                       struct bl_error *error)
{
    const struct bl_model *model = reading->model;
    free(looker->found);
    looker->found_count = 0;
    looker->found = calloc(model->group_count + 1, sizeof(*looker->found));
    if (!looker->found)
        return bl_error_set(error, "not enough memory for the groups");
    size_t plain = 0;
    for (size_t i = 0; i < model->group_count; i++) {
        const struct bl_group *group = &model->groups[i];
        bool is_accused = group->finding && group->finding->verdict != BL_VERDICT_UNRELEASED;
        plain += !is_accused;
        if (is_accused || plain <= PLAIN_MAX)
            keep_group(looker, reading->reader, group);
    }
    looker->has_all = plain <= PLAIN_MAX;
    memset(looker->classes, 0, sizeof(looker->classes));
    for (size_t i = 0; i < model->class_count; i++) {
        const struct bl_class_sums *sums = &model->classes[i];
        looker->classes[sums->number] = (struct bl_point){
            .bytes = sums->live_bytes, .count = sums->live_count, .total = sums->allocs};
    }
    looker->judged_ns = model->now_ns;
    return 0;
}

static int read_and_judge(struct bl_top_looker *looker, bool is_full, struct bl_error *error)
{
    struct reading reading;
    if (read_ledger(looker, is_full, &reading, error) < 0)
        return -1;
    int outcome = 0;
    if (is_full) {
        struct bl_pairing *pairing = NULL;
        outcome = bl_pairing_create(&pairing, reading.reader, looker->symbols, reading.growth,
                                    reading.model, &looker->options, error);
        if (outcome == 0)
            outcome = bl_growth_apply(reading.growth, reading.model, &looker->options, error);
        if (outcome == 0)
            outcome = keep_groups(looker, &reading, error);
        bl_pairing_destroy(pairing);
    }
    if (outcome < 0) {
        close_reading(&reading);
        return -1;
    }
    close_reading(&looker->reading);
    looker->reading = reading;
    return 0;
}

int bl_top_looker_create(struct bl_top_looker **ret_looker, const struct bl_target *target,
                         const struct bl_model_options *options, struct bl_error *error)
{
    struct bl_top_looker *looker = calloc(1, sizeof(*looker));
    if (!looker)
        return bl_error_set(error, "not enough memory");
    looker->target = target;
    looker->options = *options;
    looker->options.group_by = BL_GROUP_SITE;
    looker->options.top = 0;
    *ret_looker = looker;
    return 0;
}

void bl_top_looker_destroy(struct bl_top_looker *looker)
{
    if (!looker)
        return;
    bl_symbols_destroy(looker->symbols);
    close_reading(&looker->reading);
    free(looker->found);
    free(looker);
}

/* ---- rows ---- */

static uint64_t less(uint64_t from, uint64_t taken)
{
    return from > taken ? from - taken : 0;
}

static bool is_wanted(const struct builder *builder, uint32_t class_number)
{
    const char *only = builder->looker->options.class_name;
    return !only || strcmp(bl_model_class_name(builder->view.model, class_number), only) == 0;
}

static void name_row(const struct builder *builder, struct bl_top_row *row, uint32_t frame)
{
    bl_render_text_place(&builder->view, frame, row->what, sizeof(row->what), row->where,
                         sizeof(row->where));
    char *inlined = strstr(row->where, " (inlined)");
    if (inlined)
        *inlined = '\0';
}

static void set_class(const struct builder *builder, struct bl_top_row *row)
{
    snprintf(row->class_name, sizeof(row->class_name), "%s",
             bl_model_class_name(builder->view.model, row->key.class_number));
    row->is_sampled = builder->view.model->is_sampled && strcmp(row->class_name, "heap") == 0;
    row->rank = BL_MODEL_RANK_PLAIN;
}

static uint64_t times(uint64_t value, double weight)
{
    return weight == 1 ? value : (uint64_t)((double)value * weight + 0.5);
}

/* What grows, or is steady, has that for a verdict where its buffers have no other. */
static void set_growth(const struct builder *builder, struct bl_top_row *row,
                       const struct bl_growth *growth)
{
    const struct bl_line *line = growth ? growth->line : NULL;
    row->line = line ? line->number : 0;
    row->byte_weight = line ? growth->byte_weight : 1;
    if (line && times(line->peak_bytes, growth->byte_weight) > row->peak_bytes)
        row->peak_bytes = times(line->peak_bytes, growth->byte_weight);
    bl_top_series_fill(&row->time, growth, builder->frame->now_ns, builder->frame->span_ns);
    if (!line || row->rank != BL_MODEL_RANK_PLAIN)
        return;
    if (growth->found.trend == BL_TREND_GROWING)
        row->rank = BL_MODEL_RANK_GROWING;
    else if (growth->found.trend == BL_TREND_STEADY)
        row->rank = BL_MODEL_RANK_STEADY;
    if (row->rank != BL_MODEL_RANK_PLAIN)
        row->confidence = growth->confidence;
}

static struct bl_top_row *add_site(struct builder *builder)
{
    struct bl_top_frame *frame = builder->frame;
    if (frame->site_count == builder->site_room) {
        size_t room = builder->site_room ? builder->site_room * 2 : 64;
        struct bl_top_row *grown = realloc(frame->sites, room * sizeof(*grown));
        if (!grown)
            return NULL;
        frame->sites = grown;
        builder->site_room = room;
    }
    struct bl_top_row *row = &frame->sites[frame->site_count++];
    memset(row, 0, sizeof(*row));
    return row;
}

static const struct bl_growth *find_growth(const struct builder *builder,
                                           const struct bl_top_key *birth)
{
    const struct reading *reading = &builder->looker->reading;
    for (size_t i = 0; i < reading->growth->site_count; i++) {
        const struct bl_line *line = reading->growth->sites[i].line;
        struct bl_top_key key = key_of(reading->reader, line->class_number, line->site);
        if (bl_top_key_equals(&key, birth))
            return &reading->growth->sites[i];
    }
    return NULL;
}

static const struct bl_point *last_of(const struct bl_line *line)
{
    return line && line->count > 0 ? &line->points[line->count - 1] : NULL;
}

static int add_found(struct builder *builder, const struct found *found)
{
    struct bl_top_row *row = add_site(builder);
    const struct bl_growth *growth = find_growth(builder, &found->birth);
    const struct bl_point *last = growth ? last_of(growth->line) : NULL;
    if (!row)
        return -1;
    row->key = found->key;
    set_class(builder, row);
    row->count = found->group.count;
    row->bytes = found->group.bytes;
    if (last && last->t_ns > builder->looker->judged_ns) { /* some may have been released since */
        row->count = last->count < row->count ? last->count : row->count;
        row->bytes = last->bytes < row->bytes ? last->bytes : row->bytes;
    }
    row->stack = found->group.site;
    if (found->is_accused) {
        row->rank = found->finding.verdict;
        row->confidence = found->finding.confidence;
    }
    name_row(builder, row, found->group.site);
    set_growth(builder, row, growth);
    return 0;
}

static int add_accused(struct builder *builder)
{
    const struct bl_top_looker *looker = builder->looker;
    for (size_t i = 0; i < looker->found_count; i++)
        if (looker->found[i].is_accused && is_wanted(builder, looker->found[i].key.class_number) &&
            add_found(builder, &looker->found[i]) < 0)
            return -1;
    return 0;
}

/* What the latest full look has of buffers allocated at a place. */
struct birth_sums {
    uint64_t accused_count;
    uint64_t accused_bytes;
    uint64_t count;
    uint64_t bytes;
};

static struct birth_sums sum_births(const struct bl_top_looker *looker,
                                    const struct bl_top_key *key)
{
    struct birth_sums sums = {0};
    for (size_t i = 0; i < looker->found_count; i++) {
        const struct found *found = &looker->found[i];
        if (!bl_top_key_equals(&found->birth, key))
            continue;
        *(found->is_accused ? &sums.accused_count : &sums.count) += found->group.count;
        *(found->is_accused ? &sums.accused_bytes : &sums.bytes) += found->group.bytes;
    }
    return sums;
}

/* A site that is followed, without what the verdicts on buffers allocated there have. */
static int add_followed(struct builder *builder, const struct bl_growth *growth)
{
    const struct bl_top_looker *looker = builder->looker;
    const struct bl_line *line = growth->line;
    const struct bl_point *last = last_of(line);
    struct bl_top_key key = key_of(builder->view.reader, line->class_number, line->site);
    if (!last || !is_wanted(builder, line->class_number))
        return 0;
    struct birth_sums sums = sum_births(looker, &key);
    /* the latest of the two is what there is now */
    bool is_newer =
        looker->judged_ns >= last->t_ns && (sums.count > 0 || looker->has_all || last->count == 0);
    uint64_t count = is_newer ? sums.count : less(last->count, sums.accused_count);
    uint64_t bytes = is_newer ? sums.bytes : less(last->bytes, sums.accused_bytes);
    if (count == 0)
        return 0;
    struct bl_top_row *row = add_site(builder);
    if (!row)
        return -1;
    row->key = key;
    set_class(builder, row);
    row->count = count;
    row->bytes = bytes;
    row->stack = line->stack;
    name_row(builder, row, line->site);
    set_growth(builder, row, growth);
    return 0;
}

/* Groups of the latest full look at places that are not followed. */
static int add_rest(struct builder *builder)
{
    const struct bl_top_looker *looker = builder->looker;
    for (size_t i = 0; i < looker->found_count; i++) {
        const struct found *found = &looker->found[i];
        if (found->is_accused || !is_wanted(builder, found->key.class_number) ||
            find_growth(builder, &found->birth))
            continue;
        bool is_there = false; /* a judged class may have several groups of one birth */
        for (size_t k = 0; k < builder->frame->site_count && !is_there; k++) {
            struct bl_top_row *row = &builder->frame->sites[k];
            is_there = bl_top_key_equals(&row->key, &found->key);
            row->count += is_there ? found->group.count : 0;
            row->bytes += is_there ? found->group.bytes : 0;
        }
        if (!is_there && add_found(builder, found) < 0)
            return -1;
    }
    return 0;
}

static int add_sites(struct builder *builder)
{
    const struct bl_growth_set *growth = builder->looker->reading.growth;
    if (add_accused(builder) < 0)
        return -1;
    for (size_t i = 0; i < growth->site_count; i++)
        if (add_followed(builder, &growth->sites[i]) < 0)
            return -1;
    return add_rest(builder);
}

/* When the places of a class were sampled last; 0: none is followed. */
static uint64_t sampled_at(const struct bl_growth_set *growth, uint32_t class_number)
{
    uint64_t t_ns = 0;
    for (size_t i = 0; i < growth->site_count; i++) {
        const struct bl_line *line = growth->sites[i].line;
        const struct bl_point *last = last_of(line);
        if (last && line->class_number == class_number && line->until_ns == 0 && last->t_ns > t_ns)
            t_ns = last->t_ns;
    }
    return t_ns;
}

/* A class as it was when its places were counted, so that a frame is of one moment; NULL: as its
 * counters are. Samples of one turn differ by what their lines round times to. */
static const struct bl_point *class_point(const struct builder *builder, uint32_t class_number)
{
    const struct bl_top_looker *looker = builder->looker;
    const struct bl_growth_set *growth = looker->reading.growth;
    const struct bl_line *line = growth->classes[class_number].line;
    uint64_t t_ns = sampled_at(growth, class_number);
    if (looker->judged_ns > 0 && looker->judged_ns >= t_ns)
        return &looker->classes[class_number];
    return t_ns > 0 && line ? bl_line_at(line, t_ns + builder->view.header->interval_ns / 4) : NULL;
}

static int add_classes(struct builder *builder)
{
    const struct bl_model *model = builder->view.model;
    struct bl_top_frame *frame = builder->frame;
    frame->classes = calloc(model->class_count + 1, sizeof(*frame->classes));
    if (!frame->classes)
        return -1;
    for (size_t i = 0; i < model->class_count; i++) {
        const struct bl_class_sums *sums = &model->classes[i];
        struct bl_top_row *row = &frame->classes[frame->class_count];
        if ((sums->allocs == 0 && sums->live_count == 0) || !is_wanted(builder, sums->number))
            continue;
        frame->class_count++;
        row->key = (struct bl_top_key){.class_number = sums->number, .module = CLASS_ONLY};
        set_class(builder, row);
        row->count = sums->live_count;
        row->bytes = sums->live_bytes;
        row->peak_bytes = sums->peak_bytes;
        row->allocs = sums->allocs;
        const struct bl_point *then = class_point(builder, sums->number);
        if (then && !row->is_sampled) {
            row->count = then->count;
            row->bytes = then->bytes;
            row->allocs = then->total;
        }
        set_growth(builder, row, &builder->looker->reading.growth->classes[sums->number]);
        for (size_t k = 0; k < frame->site_count; k++)
            if (frame->sites[k].key.class_number == sums->number &&
                frame->sites[k].rank < row->rank)
                row->rank = frame->sites[k].rank;
    }
    return 0;
}

static int add_marks(struct builder *builder)
{
    const struct bl_series_set *set = builder->looker->reading.set;
    struct bl_top_frame *frame = builder->frame;
    frame->marks = calloc(set->mark_count + 1, sizeof(*frame->marks));
    if (!frame->marks)
        return -1;
    for (size_t i = set->mark_count; i-- > 0;) {
        const struct bl_mark *mark = set->marks[i];
        struct bl_top_mark *out = &frame->marks[frame->mark_count++];
        bl_text_printable(out->name, sizeof(out->name), mark->name,
                          strnlen(mark->name, sizeof(mark->name)));
        out->ago_ns = less(frame->now_ns, mark->time_ns);
    }
    return 0;
}

/* ---- one row in detail ---- */

static int add_stack(const struct builder *builder, struct bl_top_detail *detail)
{
    uint32_t frames[BL_MODEL_FRAMES_MAX];
    size_t count =
        bl_model_stack(builder->view.reader, detail->row.stack, frames, BL_MODEL_FRAMES_MAX);
    detail->stack = calloc(STACK_MAX, sizeof(*detail->stack));
    if (!detail->stack)
        return -1;
    for (size_t i = 0; i < count; i++) {
        size_t inlined = 0;
        const struct bl_symbol *symbols =
            bl_symbols_frame(builder->view.symbols, frames[i], &inlined);
        for (size_t k = 0; symbols && k < inlined && detail->stack_count < STACK_MAX; k++) {
            struct bl_top_stack_line *line = &detail->stack[detail->stack_count++];
            bl_render_text_symbol(&symbols[k], line->what, sizeof(line->what), line->where,
                                  sizeof(line->where));
        }
    }
    return 0;
}

/* any_caller: the row is of several stacks that end at this frame's place */
static void add_assembled(const struct builder *builder, struct bl_top_detail *detail,
                          uint32_t stack, bool any_caller)
{
    const struct bl_reader *reader = builder->view.reader;
    struct bl_assembled found[BL_ASSEMBLED_MAX];
    detail->assembled_count = bl_assembled_find(reader, stack, any_caller, found, &detail->asked,
                                                &detail->assembled_others);
    for (size_t i = 0; i < detail->assembled_count; i++) {
        struct bl_top_assembled *assembled = &detail->assembled[i];
        assembled->said = found[i];
        bl_assembled_text(reader, &found[i], assembled->text, sizeof(assembled->text));
    }
}

static const struct bl_line *line_of(const struct builder *builder, uint32_t number)
{
    const struct bl_series_set *set = builder->looker->reading.set;
    for (size_t i = 0; number > 0 && i < set->line_count; i++)
        if (set->lines[i].number == number)
            return &set->lines[i];
    return NULL;
}

static void weigh(struct bl_point *point, double weight)
{
    point->bytes = times(point->bytes, weight);
    point->min_bytes = times(point->min_bytes, weight);
    point->max_bytes = times(point->max_bytes, weight);
}

static int add_history(const struct builder *builder, struct bl_top_detail *detail)
{
    const struct bl_line *line = line_of(builder, detail->row.line);
    const struct bl_top_frame *frame = builder->frame;
    detail->points = calloc(POINTS_MAX, sizeof(*detail->points));
    if (!detail->points)
        return -1;
    if (!line)
        return 0;
    detail->point_count =
        bl_line_thin(line, less(frame->now_ns, frame->span_ns), detail->points, POINTS_MAX);
    for (size_t i = 0; i < detail->point_count; i++)
        weigh(&detail->points[i], detail->row.byte_weight);
    detail->followed_ns = less(frame->now_ns, line->since_ns);
    detail->peak_bytes = times(line->peak_bytes, detail->row.byte_weight);
    detail->peak_ago_ns = less(frame->now_ns, line->peak_ns);
    return 0;
}

static const struct bl_top_row *find_row(const struct bl_top_frame *frame,
                                         const struct bl_top_key *key)
{
    for (size_t i = 0; i < frame->class_count; i++)
        if (bl_top_key_equals(&frame->classes[i].key, key))
            return &frame->classes[i];
    for (size_t i = 0; i < frame->site_count; i++)
        if (bl_top_key_equals(&frame->sites[i].key, key))
            return &frame->sites[i];
    return NULL;
}

static int add_detail(struct builder *builder)
{
    const struct bl_top_looker *looker = builder->looker;
    const struct bl_top_row *row = find_row(builder->frame, &builder->wish->detail);
    struct bl_top_detail *detail = calloc(1, sizeof(*detail));
    if (!detail)
        return -1;
    builder->frame->detail = detail;
    detail->row.key = builder->wish->detail;
    if (!row)
        return 0;
    uint32_t stack = row->stack;
    bool any_caller = true;
    detail->is_there = true;
    detail->row = *row;
    for (size_t i = 0; i < looker->found_count; i++) {
        const struct found *found = &looker->found[i];
        if (!found->is_judged || !bl_top_key_equals(&found->key, &row->key))
            continue;
        memcpy(detail->text, found->finding.text, sizeof(detail->text));
        memcpy(detail->note, found->finding.note, sizeof(detail->note));
        stack = found->group.stack;
        any_caller = found->group.stack_count > 1;
        break;
    }
    add_assembled(builder, detail, stack, any_caller);
    return add_stack(builder, detail) < 0 || add_history(builder, detail) < 0 ? -1 : 0;
}

/* ---- the frame ---- */

static bool has_losses(const struct bl_view *view)
{
    const uint64_t *losses = view->header->losses;
    return losses[BL_LOSS_buffers_no_memory] || losses[BL_LOSS_buffers_no_space] ||
           losses[BL_LOSS_objects_dropped] || view->model->buffers_missing ||
           view->model->buffers_uncounted || bl_reader_damage(view->reader) ||
           bl_reader_lost_bytes(view->reader);
}

/* Of all classes and counters that grow, the one that comes to a limit first; negative: none does.
 */
static double soonest_limit(const struct bl_growth_set *growth, const struct bl_top_frame *frame)
{
    double soonest = -1;
    for (size_t i = 0; i < BL_CLASSES_MAX; i++) {
        double one = growth->classes[i].to_limit_s;
        if (growth->classes[i].line && one >= 0 && (soonest < 0 || one < soonest))
            soonest = one;
    }
    for (size_t i = 0; i < frame->direct_count; i++) {
        double one = frame->direct[i].to_limit_s;
        if (one >= 0 && (soonest < 0 || one < soonest))
            soonest = one;
    }
    return soonest;
}

static int add_process(struct builder *builder)
{
    const struct bl_top_looker *looker = builder->looker;
    const struct bl_view *view = &builder->view;
    struct bl_top_frame *frame = builder->frame;
    frame->path = strdup(view->path);
    if (!frame->path)
        return -1;
    memcpy(frame->comm, view->comm, sizeof(frame->comm));
    frame->pid = view->pid;
    frame->state = view->model->state;
    frame->is_live = looker->reading.is_running && view->header->snapshot_number == 0 &&
                     frame->state == BL_PROCESS_RUNNING;
    bl_view_moment(frame->moment, sizeof(frame->moment), view->header, frame->state);
    frame->now_ns = view->model->now_ns;
    frame->uptime_ns = view->model->uptime_ns;
    frame->start_realtime_ns = view->header->start_realtime_ns;
    frame->rss_bytes = view->header->rss_bytes;
    frame->cgroup_bytes = view->header->cgroup_bytes;
    frame->cgroup_limit_bytes = view->header->cgroup_limit_bytes;
    frame->limit_bytes = view->header->limit_bytes;
    frame->direct_count =
        bl_direct_rows(looker->reading.reader, looker->reading.growth, frame->direct);
    frame->to_limit_s = soonest_limit(looker->reading.growth, frame);
    frame->is_sampled = view->model->is_sampled;
    frame->is_incomplete = has_losses(view);
    frame->window_ns = builder->wish->window_ns;
    frame->span_ns = frame->uptime_ns;
    if (frame->window_ns > 0 && frame->window_ns < frame->span_ns)
        frame->span_ns = frame->window_ns;
    frame->judged_ago_ns =
        looker->judged_ns > 0 ? less(frame->now_ns, looker->judged_ns) : UINT64_MAX;
    return 0;
}

static struct bl_view view_of(const struct bl_top_looker *looker)
{
    const struct reading *reading = &looker->reading;
    const struct bl_header *header = bl_reader_header(reading->reader);
    struct bl_view view = {.path = looker->target->path,
                           .header = header,
                           .reader = reading->reader,
                           .model = reading->model,
                           .symbols = looker->symbols,
                           .pid = reading->is_running ? reading->process.pid : (pid_t)header->pid};
    bl_text_printable(view.comm, sizeof(view.comm), header->comm,
                      strnlen(header->comm, sizeof(header->comm)));
    return view;
}

int bl_top_look(struct bl_top_looker *looker, enum bl_top_depth depth,
                const struct bl_top_wish *wish, struct bl_top_frame **ret_frame,
                struct bl_error *error)
{
    bool has_reading = looker->reading.reader != NULL;
    /* a sampled heap is estimated buffer by buffer */
    bool is_full = depth == BL_TOP_FULL || (has_reading && looker->reading.model->is_sampled);
    if ((depth != BL_TOP_AGAIN || !has_reading) && read_and_judge(looker, is_full, error) < 0)
        return -1;
    struct bl_top_frame *frame = calloc(1, sizeof(*frame));
    struct builder builder = {
        .looker = looker, .wish = wish, .frame = frame, .view = view_of(looker)};
    if (!frame || add_process(&builder) < 0 || add_sites(&builder) < 0 ||
        add_classes(&builder) < 0 || add_marks(&builder) < 0 ||
        (wish->has_detail && add_detail(&builder) < 0)) {
        bl_top_frame_destroy(frame);
        return bl_error_set(error, "not enough memory to show the process");
    }
    *ret_frame = frame;
    return 0;
}
