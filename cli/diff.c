#include "diff.h"

#include "fixed.h"
#include "growth.h"
#include "hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct bl_diff_row row;
    const struct bl_named *named; /* the first group of that name */
    bool is_merged;               /* into another */
    uint32_t *key;
    UT_hash_handle hh;
};

struct builder {
    struct bl_diff *diff;
    const struct bl_diff_options *options;
    struct bl_error *error;
    struct bl_naming naming;
    struct entry *entries;
};

static int out_of_memory(const struct builder *builder)
{
    return bl_error_set(builder->error, "not enough memory for the comparison");
}

static bool is_same_process(const struct bl_header *a, const struct bl_header *b)
{
    return a->pid == b->pid && a->start_realtime_ns == b->start_realtime_ns &&
           memcmp(a->boot_id, b->boot_id, sizeof(a->boot_id)) == 0;
}

static void place_in_time(struct bl_diff *diff)
{
    uint64_t a = diff->sides[0].model->now_ns;
    uint64_t b = diff->sides[1].model->now_ns;
    diff->is_same_process = is_same_process(bl_reader_header(diff->sides[0].reader),
                                            bl_reader_header(diff->sides[1].reader));
    diff->is_backwards = diff->is_same_process && b < a;
    diff->elapsed_ns = !diff->is_same_process ? 0 : b < a ? a - b : b - a;
    diff->has_rate = !diff->is_same_process || diff->elapsed_ns > 0;
}

static int64_t change_of(uint64_t before, uint64_t after)
{
    return (int64_t)(after - before);
}

static double per_second(double bytes, uint64_t ns)
{
    return ns > 0 ? bytes / ((double)ns / 1e9) : 0;
}

/* ---- requests ---- */

/* What counts the returns of a function in a side's ledger. */
static const struct bl_boundary *find_boundary(const struct bl_diff_side *side, const char *name,
                                               uint32_t *ret_number)
{
    uint32_t count = bl_reader_count(side->reader, BL_SECTION_BOUNDARIES);
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_boundary *boundary = bl_reader_boundary(side->reader, i);
        char function[sizeof(side->growth->request_name)];
        if (!boundary)
            continue;
        bl_reader_name_text(side->reader, boundary->function_name, function, sizeof(function));
        *ret_number = i;
        if (strcmp(function, name) == 0)
            return boundary;
    }
    return NULL;
}

static bool count_requests(const struct bl_diff_side *side, const char *name, uint64_t *ret_count)
{
    uint32_t number = 0;
    const struct bl_boundary *boundary = find_boundary(side, name, &number);
    if (!boundary || (side->mark && side->mark->boundary != number + 1))
        return false;
    *ret_count = side->mark ? side->mark->completed : boundary->completed;
    return true;
}

static uint64_t requests_between(const struct bl_diff *diff)
{
    uint64_t a = diff->requests[0];
    uint64_t b = diff->requests[1];
    return a < b ? b - a : a - b;
}

static void find_requests(struct bl_diff *diff)
{
    const struct bl_growth_set *growth = diff->sides[1].growth;
    if (!growth || !growth->requests)
        return;
    for (int side = 0; side < 2; side++)
        if (!count_requests(&diff->sides[side], growth->request_name, &diff->requests[side]))
            return;
    diff->request_name = growth->request_name;
    diff->has_requests = diff->is_same_process ? requests_between(diff) > 0
                                               : diff->requests[0] > 0 && diff->requests[1] > 0;
}

static void finish_requests(const struct bl_diff *diff, struct bl_diff_row *row)
{
    if (!diff->has_requests)
        return;
    if (diff->is_same_process) {
        row->bytes_per_request = (double)row->bytes_change / (double)requests_between(diff);
        row->count_per_request = (double)row->count_change / (double)requests_between(diff);
        return;
    }
    for (int side = 0; side < 2; side++)
        row->part[side].bytes_per_request =
            (double)row->part[side].bytes / (double)diff->requests[side];
}

/* ---- classes ---- */

static bool is_wanted(const struct builder *builder, const char *class_name)
{
    return !builder->options->class_name || strcmp(builder->options->class_name, class_name) == 0;
}

static void add_class(struct builder *builder, int side, const struct bl_class_sums *sums)
{
    struct bl_diff *diff = builder->diff;
    size_t at = 0;
    while (at < diff->class_count && strcmp(diff->classes[at].name, sums->name) != 0)
        at++;
    if (at == diff->class_count)
        memcpy(diff->classes[diff->class_count++].name, sums->name, sizeof(sums->name));
    diff->classes[at].sums[side] = sums;
}

static int compare_classes(struct builder *builder)
{
    struct bl_diff *diff = builder->diff;
    diff->classes = calloc(2ul * BL_CLASSES_MAX, sizeof(*diff->classes));
    if (!diff->classes)
        return out_of_memory(builder);
    for (int side = 0; side < 2; side++) {
        const struct bl_model *model = diff->sides[side].model;
        for (size_t i = 0; i < model->class_count; i++)
            if (is_wanted(builder, model->classes[i].name))
                add_class(builder, side, &model->classes[i]);
    }
    for (size_t i = 0; i < diff->class_count; i++) {
        struct bl_diff_class *class = &diff->classes[i];
        static const struct bl_class_sums none;
        const struct bl_class_sums *a = class->sums[0] ? class->sums[0] : &none;
        const struct bl_class_sums *b = class->sums[1] ? class->sums[1] : &none;
        class->count_change = change_of(a->live_count, b->live_count);
        class->bytes_change = change_of(a->live_bytes, b->live_bytes);
        for (int side = 0; side < 2; side++)
            class->bytes_per_s[side] =
                diff->is_same_process ? per_second((double)class->bytes_change, diff->elapsed_ns)
                                      : per_second((double)(side ? b : a)->live_bytes,
                                                   diff->sides[side].model->uptime_ns);
    }
    if (diff->class_count == 0 && builder->options->class_name)
        return bl_error_set(builder->error, "neither ledger has a class %s",
                            builder->options->class_name);
    return 0;
}

/* ---- rows ---- */

#define KEY_HEAD 4 /* numbers before the ids */

static size_t write_key(const struct builder *builder, const struct bl_named *named,
                        bool is_accused, uint32_t *out)
{
    out[0] = named->class_id;
    out[1] = named->kind;
    out[2] = is_accused;
    out[3] = named->used;
    memcpy(out + KEY_HEAD, builder->naming.ids + named->first, named->used * sizeof(*out));
    return (KEY_HEAD + named->used) * sizeof(*out);
}

static struct entry *find_entry(const struct builder *builder, const struct bl_named *named,
                                bool is_accused)
{
    uint32_t key[KEY_HEAD + BL_ORIGIN_DEPTH] = {0};
    struct entry *entry;
    size_t length = write_key(builder, named, is_accused, key);
    HASH_FIND(hh, builder->entries, key, length, entry);
    return entry;
}

static enum bl_origin_kind kind_of(const struct builder *builder, const struct bl_named *named)
{
    enum bl_group_by group_by = builder->diff->sides[0].model->group_by;
    bool is_place = group_by == BL_GROUP_SITE || group_by == BL_GROUP_STACK;
    return is_place ? bl_naming_kind(&builder->naming, named) : BL_ORIGIN_FUNCTION;
}

static struct entry *make_entry(struct builder *builder, const struct bl_named *named)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    uint32_t *key = calloc(KEY_HEAD + (size_t)named->used, sizeof(*key));
    if (!entry || !key) {
        free(entry);
        free(key);
        return NULL;
    }
    size_t length = write_key(builder, named, named->is_accused, key);
    entry->key = key;
    entry->named = named;
    entry->row.matched_by = kind_of(builder, named);
    entry->row.class_name = named->class_name;
    for (int side = 0; side < 2; side++)
        entry->row.part[side].rank = BL_MODEL_RANK_STEADY;
    HASH_ADD_KEYPTR(hh, builder->entries, entry->key, length, entry);
    return entry;
}

static void add_part(struct bl_diff_part *part, const struct bl_diff_part *more)
{
    if (!part->group || (more->group && more->group->bytes > part->group->bytes))
        part->group = more->group;
    part->groups += more->groups;
    part->count += more->count;
    part->bytes += more->bytes;
    part->is_least |= more->is_least;
    if (more->rank < part->rank)
        part->rank = more->rank;
}

static int make_entries(struct builder *builder)
{
    for (size_t i = 0; i < builder->naming.count; i++) {
        const struct bl_named *named = &builder->naming.groups[i];
        struct entry *entry = find_entry(builder, named, named->is_accused);
        if (!entry)
            entry = make_entry(builder, named);
        if (!entry)
            return out_of_memory(builder);
        struct bl_diff_part part = {.group = named->group,
                                    .groups = 1,
                                    .count = named->group->count,
                                    .bytes = named->group->bytes,
                                    .is_least = named->group->is_least,
                                    .rank = named->group->rank};
        add_part(&entry->row.part[named->side], &part);
    }
    return 0;
}

static bool is_one_sided(const struct entry *entry, int side)
{
    return !entry->is_merged && entry->named->is_accused && entry->row.part[side].group &&
           !entry->row.part[!side].group;
}

/* Does a verdict that holds for all callers of a place include one for some of them? */
static bool includes(const struct builder *builder, const struct bl_named *wide,
                     const struct bl_named *narrow)
{
    return wide->class_id == narrow->class_id && wide->kind == narrow->kind && wide->is_wide &&
           wide->reach < narrow->reach &&
           bl_naming_common(&builder->naming, wide, narrow) >= wide->reach;
}

/* Where callers leak in one process and all of them do in the other, it is one row. */
static void join_wider(struct builder *builder)
{
    struct entry *wide;
    struct entry *next_wide;
    struct entry *narrow;
    struct entry *next;
    HASH_ITER (hh, builder->entries, wide, next_wide) {
        int side = wide->named->side;
        if (!is_one_sided(wide, side))
            continue;
        HASH_ITER (hh, builder->entries, narrow, next) {
            if (!is_one_sided(narrow, !side) || !includes(builder, wide->named, narrow->named))
                continue;
            add_part(&wide->row.part[!side], &narrow->row.part[!side]);
            narrow->is_merged = true;
        }
    }
}

/* A place that is accused on one side only and was merely unreleased on the other is one row. */
static void join_complements(struct builder *builder)
{
    struct entry *entry;
    struct entry *next;
    HASH_ITER (hh, builder->entries, entry, next) {
        int absent = entry->row.part[0].group ? 1 : 0;
        if (!is_one_sided(entry, !absent))
            continue;
        struct entry *other = find_entry(builder, entry->named, false);
        if (!other || !other->row.part[absent].group || other->row.part[!absent].group)
            continue;
        add_part(&entry->row.part[absent], &other->row.part[absent]);
        other->is_merged = true;
    }
}

/* ---- verdicts that B no longer has ---- */

static bool has_lost_verdict(const struct bl_diff_row *row)
{
    return row->part[0].rank < BL_MODEL_RANK_PLAIN && row->part[1].rank >= BL_MODEL_RANK_PLAIN;
}

/* In one process, what has more buffers since is not repaired, and what is earlier came before. */
static bool may_be_fixed(const struct bl_diff *diff, const struct bl_diff_row *row)
{
    return !diff->is_same_process || (!diff->is_backwards && row->count_change <= 0);
}

/* Is what grew in A known not to grow in B? */
static const struct bl_growth *known_trend(const struct bl_diff_row *row)
{
    const struct bl_group *group = row->part[1].group;
    const struct bl_growth *growth = group ? group->growth : NULL;
    bool is_known = growth && growth->line && growth->found.trend != BL_TREND_UNKNOWN &&
                    growth->found.trend != BL_TREND_GROWING;
    return is_known && row->part[0].rank == BL_MODEL_RANK_GROWING ? growth : NULL;
}

static void judge_luck(const struct bl_diff *diff, struct bl_diff_row *row)
{
    double leaked = (double)row->part[0].count;
    double passed = (double)row->passed[0] * (row->is_sample ? BL_FIXED_SAMPLE_MAX : 1);
    double rate = leaked > 0 ? leaked / (leaked + passed) : 0;
    /* of one process: since A */
    if (diff->is_same_process)
        row->passed[1] = row->passed[1] > row->passed[0] ? row->passed[1] - row->passed[0] : 0;
    row->luck = row->passed[1] > 0 ? pow(1 - rate, (double)row->passed[1]) : 1;
    if (!may_be_fixed(diff, row))
        row->luck = 1;
    else
        row->trend = known_trend(row);
    if (row->trend)
        row->luck = 0;
}

/* "The same way" is the blamed place, its caller, and what more of them the verdict was drawn from.
 */
static size_t way_length(const struct bl_named *named)
{
    size_t length = named->reach < 2 ? 2 : named->reach;
    return length < named->count ? length : named->count;
}

static int count_passages(struct builder *builder)
{
    size_t count = 0;
    struct entry *entry;
    struct entry *next;
    struct bl_passage *passages = calloc(HASH_COUNT(builder->entries) + 1, sizeof(*passages));
    if (!passages)
        return out_of_memory(builder);
    HASH_ITER (hh, builder->entries, entry, next) {
        const struct bl_named *named = entry->named;
        if (!entry->is_merged && has_lost_verdict(&entry->row))
            passages[count++] = (struct bl_passage){.class_name = named->class_id,
                                                    .kind = named->kind,
                                                    .names = builder->naming.ids + named->first,
                                                    .name_count = way_length(named)};
    }
    int outcome = 0;
    for (int side = 0; side < 2 && outcome == 0; side++) {
        const struct bl_diff_side *one = &builder->diff->sides[side];
        for (size_t i = 0; i < count; i++)
            passages[i].passed = 0;
        outcome = bl_fixed_count(passages, count, builder->naming.origins, side, one->reader,
                                 one->model, builder->options->model,
                                 builder->naming.class_ids[side], builder->error);
        size_t at = 0;
        HASH_ITER (hh, builder->entries, entry, next)
            if (outcome == 0 && !entry->is_merged && has_lost_verdict(&entry->row)) {
                entry->row.is_sample |= passages[at].is_sample;
                entry->row.passed[side] = passages[at++].passed;
            }
    }
    free(passages);
    return outcome;
}

/* ---- what became of a row ---- */

static enum bl_change classify(const struct bl_diff_row *row)
{
    if (row->was_accused && row->luck < BL_DIFF_LUCK)
        return BL_CHANGE_FIXED;
    if (!row->part[0].group)
        return BL_CHANGE_NEW;
    if (!row->part[1].group)
        return BL_CHANGE_GONE;
    if (row->bytes_change == 0 && row->count_change == 0)
        return BL_CHANGE_UNCHANGED;
    if (row->bytes_change != 0)
        return row->bytes_change > 0 ? BL_CHANGE_GROWN : BL_CHANGE_SHRUNK;
    return row->count_change > 0 ? BL_CHANGE_GROWN : BL_CHANGE_SHRUNK;
}

static void finish_row(const struct bl_diff *diff, struct bl_diff_row *row)
{
    row->count_change = change_of(row->part[0].count, row->part[1].count);
    row->bytes_change = change_of(row->part[0].bytes, row->part[1].bytes);
    row->bytes_per_s =
        diff->is_same_process ? per_second((double)row->bytes_change, diff->elapsed_ns) : 0;
    for (int side = 0; side < 2 && !diff->is_same_process; side++)
        row->part[side].bytes_per_s =
            per_second((double)row->part[side].bytes, diff->sides[side].model->uptime_ns);
    finish_requests(diff, row);
    row->was_accused = has_lost_verdict(row);
    if (row->was_accused)
        judge_luck(diff, row);
    row->change = classify(row);
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? (uint64_t)-value : (uint64_t)value;
}

/* With a verdict on either side. */
static bool is_accused(const struct bl_diff_row *row)
{
    return row->part[0].rank < BL_MODEL_RANK_PLAIN || row->part[1].rank < BL_MODEL_RANK_PLAIN;
}

static int compare_rows(const void *left, const void *right)
{
    const struct bl_diff_row *a = left;
    const struct bl_diff_row *b = right;
    if (is_accused(a) != is_accused(b))
        return is_accused(a) ? -1 : 1;
    if (a->change != b->change)
        return a->change < b->change ? -1 : 1;
    if (a->bytes_change != b->bytes_change)
        return magnitude(a->bytes_change) > magnitude(b->bytes_change) ? -1 : 1;
    if (a->count_change != b->count_change)
        return magnitude(a->count_change) > magnitude(b->count_change) ? -1 : 1;
    uint64_t a_bytes = a->part[0].bytes + a->part[1].bytes;
    uint64_t b_bytes = b->part[0].bytes + b->part[1].bytes;
    if (a_bytes != b_bytes)
        return a_bytes > b_bytes ? -1 : 1;
    const struct bl_group *a_group = a->part[1].group ? a->part[1].group : a->part[0].group;
    const struct bl_group *b_group = b->part[1].group ? b->part[1].group : b->part[0].group;
    return a_group->stack < b_group->stack ? -1 : a_group->stack > b_group->stack;
}

static bool is_below(const struct builder *builder, const struct bl_diff_row *row)
{
    return magnitude(row->bytes_change) < builder->options->min_bytes;
}

static int make_rows(struct builder *builder)
{
    struct bl_diff *diff = builder->diff;
    struct entry *entry;
    struct entry *next;
    diff->rows = calloc(HASH_COUNT(builder->entries) + 1, sizeof(*diff->rows));
    if (!diff->rows)
        return out_of_memory(builder);
    HASH_ITER (hh, builder->entries, entry, next) {
        if (entry->is_merged)
            continue;
        finish_row(diff, &entry->row);
        if (is_below(builder, &entry->row)) {
            diff->below++;
            continue;
        }
        struct bl_diff_total *total = &diff->totals[entry->row.change];
        total->rows++;
        total->count_change += entry->row.count_change;
        total->bytes_change += entry->row.bytes_change;
        diff->unmatched += entry->row.matched_by == BL_ORIGIN_UNNAMED;
        diff->rows[diff->row_count++] = entry->row;
    }
    if (diff->row_count > 1)
        qsort(diff->rows, diff->row_count, sizeof(*diff->rows), compare_rows);
    size_t top = builder->options->top;
    diff->shown = top > 0 && top < diff->row_count ? top : diff->row_count;
    return 0;
}

static int build(struct builder *builder)
{
    struct bl_diff *diff = builder->diff;
    place_in_time(diff);
    find_requests(diff);
    if (compare_classes(builder) < 0 ||
        bl_naming_init(&builder->naming, diff->sides, diff->is_same_process,
                       builder->options->class_name, builder->error) < 0 ||
        make_entries(builder) < 0)
        return -1;
    join_wider(builder);
    join_complements(builder);
    return count_passages(builder) < 0 ? -1 : make_rows(builder);
}

static void deinit(struct builder *builder)
{
    struct entry *entry;
    struct entry *next;
    HASH_ITER (hh, builder->entries, entry, next) {
        HASH_DEL(builder->entries, entry); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free(entry->key);
        free(entry);
    }
    bl_naming_deinit(&builder->naming);
}

int bl_diff_create(struct bl_diff **ret_diff, const struct bl_diff_side sides[2],
                   const struct bl_diff_options *options, struct bl_error *error)
{
    struct bl_diff *diff = calloc(1, sizeof(*diff));
    if (!diff)
        return bl_error_set(error, "not enough memory for the comparison");
    struct builder builder = {.diff = diff, .options = options, .error = error};
    diff->sides[0] = sides[0];
    diff->sides[1] = sides[1];
    int outcome = build(&builder);
    deinit(&builder);
    if (outcome < 0)
        bl_diff_destroy(diff);
    else
        *ret_diff = diff;
    return outcome;
}

void bl_diff_destroy(struct bl_diff *diff)
{
    if (!diff)
        return;
    free(diff->classes);
    free(diff->rows);
    free(diff);
}

const char *bl_diff_change_name(enum bl_change change)
{
    static const char *const names[BL_CHANGE_COUNT] = {"new",    "grown", "fixed",
                                                       "shrunk", "gone",  "unchanged"};
    return names[change < BL_CHANGE_COUNT ? change : BL_CHANGE_UNCHANGED];
}
