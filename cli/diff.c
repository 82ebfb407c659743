#include "diff.h"

#include "fixed.h"
#include "hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a group of one side is called: class, what is blamed, and its place in the code. */
struct draft {
    struct bl_diff_part part; /* its numbers */
    int side;
    uint32_t class_name;
    const char *class_text;
    enum bl_item_kind kind;
    bool is_judged; /* it has a finding */
    bool is_accused;
    bool is_wide;   /* blamed on several stacks */
    uint32_t first; /* in tokens */
    uint32_t count;
    uint32_t reach; /* names that the verdict was drawn from */
    uint32_t used;  /* names that are compared */
};

struct entry {
    struct bl_diff_row row;
    const struct draft *draft; /* of the first group, for its name */
    bool is_merged;            /* into another */
    uint32_t *key;
    UT_hash_handle hh;
};

struct builder {
    struct bl_diff *diff;
    const struct bl_diff_options *options;
    struct bl_error *error;
    struct bl_origins *origins;
    uint32_t class_names[2][BL_CLASSES_MAX];
    struct draft *drafts;
    size_t draft_count;
    uint32_t *tokens;
    size_t token_count;
    size_t token_room;
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

static double change_rate(const struct bl_diff *diff, int64_t bytes)
{
    double rate = per_second((double)bytes, diff->elapsed_ns);
    return diff->is_backwards ? -rate : rate;
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
            class->bytes_per_s[side] = diff->is_same_process
                                           ? change_rate(diff, class->bytes_change)
                                           : per_second((double)(side ? b : a)->live_bytes,
                                                        diff->sides[side].model->uptime_ns);
    }
    if (diff->class_count == 0 && builder->options->class_name)
        return bl_error_set(builder->error, "neither ledger has a class %s",
                            builder->options->class_name);
    return 0;
}

/* ---- drafts: every group by its name ---- */

static int name_classes(struct builder *builder)
{
    for (int side = 0; side < 2; side++) {
        const struct bl_model *model = builder->diff->sides[side].model;
        uint32_t unknown = bl_origins_text(builder->origins, "class", "?");
        for (size_t i = 0; i < BL_CLASSES_MAX; i++)
            builder->class_names[side][i] = unknown;
        for (size_t i = 0; i < model->class_count; i++)
            builder->class_names[side][model->classes[i].number % BL_CLASSES_MAX] =
                bl_origins_text(builder->origins, "class", model->classes[i].name);
    }
    return 0;
}

static bool add_token(struct builder *builder, uint32_t token)
{
    if (token == UINT32_MAX)
        return false;
    if (builder->token_count == builder->token_room) {
        size_t room = builder->token_room ? builder->token_room * 2 : 1024;
        uint32_t *grown = realloc(builder->tokens, room * sizeof(*grown));
        if (!grown)
            return false;
        builder->tokens = grown;
        builder->token_room = room;
    }
    builder->tokens[builder->token_count++] = token;
    return true;
}

static bool add_chain(struct builder *builder, int side, uint32_t frame, int max)
{
    uint32_t chain[BL_ORIGIN_DEPTH];
    int count = bl_origins_chain(builder->origins, side, frame, chain, max);
    bool has_room = count >= 0;
    for (int i = 0; i < count && has_room; i++)
        has_room = add_token(builder, chain[i]);
    return has_room;
}

/* A thread's number means something within one process only. */
static uint32_t name_thread(const struct builder *builder, int side, uint64_t number)
{
    const struct bl_thread *thread =
        bl_reader_thread(builder->diff->sides[side].reader, (uint32_t)number);
    char name[64] = "unknown";
    if (thread && builder->diff->is_same_process)
        snprintf(name, sizeof(name), "%u", thread->tid);
    else if (thread)
        snprintf(name, sizeof(name), "%.16s", thread->name);
    return bl_origins_text(builder->origins, "thread", name);
}

static bool add_tokens(struct builder *builder, int side, const struct bl_group *group)
{
    switch (builder->diff->sides[side].model->group_by) {
    case BL_GROUP_SITE:
        return add_chain(builder, side, group->site, group->finding ? BL_ORIGIN_DEPTH : 1);
    case BL_GROUP_STACK:
        return add_chain(builder, side, group->stack, BL_ORIGIN_DEPTH);
    case BL_GROUP_MODULE:
        return add_token(builder, bl_origins_module(builder->origins, side, (uint32_t)group->key));
    case BL_GROUP_THREAD:
        return add_token(builder, name_thread(builder, side, group->key));
    case BL_GROUP_SIZE:
    case BL_GROUP_AGE:
        break;
    }
    return add_token(builder, (uint32_t)group->key & INT32_MAX) &&
           add_token(builder, (uint32_t)(group->key >> 31) & INT32_MAX);
}

static int draft_group(struct builder *builder, int side, const struct bl_group *group)
{
    const struct bl_finding *finding = group->finding;
    struct draft *draft = &builder->drafts[builder->draft_count];
    *draft = (struct draft){
        .part = {.group = group,
                 .groups = 1,
                 .count = group->count,
                 .bytes = group->bytes,
                 .verdict = finding ? finding->verdict : BL_VERDICT_UNRELEASED},
        .side = side,
        .is_judged = finding != NULL,
        .class_name = builder->class_names[side][group->class_number % BL_CLASSES_MAX],
        .is_accused = finding && finding->verdict != BL_VERDICT_UNRELEASED,
        .first = (uint32_t)builder->token_count,
    };
    draft->class_text = bl_model_class_name(builder->diff->sides[side].model, group->class_number);
    draft->kind = finding && draft->is_accused ? finding->blame_kind : BL_ITEM_ALLOC;
    draft->is_wide = finding && finding->blame_stacks > 1;
    if (!is_wanted(builder, draft->class_text))
        return 0;
    if (!add_tokens(builder, side, group))
        return out_of_memory(builder);
    draft->count = (uint32_t)builder->token_count - draft->first;
    draft->used = draft->count;
    draft->reach = 1;
    if (finding && draft->is_accused) {
        int reach =
            bl_origins_reach(builder->origins, side, finding->blame_frame, finding->chain_frame);
        if (reach < 0)
            return out_of_memory(builder);
        draft->reach = (uint32_t)reach;
    }
    builder->draft_count++;
    return 0;
}

static int draft_groups(struct builder *builder)
{
    const struct bl_diff_side *sides = builder->diff->sides;
    size_t most = sides[0].model->group_count + sides[1].model->group_count;
    builder->drafts = calloc(most + 1, sizeof(*builder->drafts));
    if (!builder->drafts)
        return out_of_memory(builder);
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < sides[side].model->group_count; i++)
            if (draft_group(builder, side, &sides[side].model->groups[i]) < 0)
                return -1;
    return 0;
}

/* ---- how many callers a judged group is known by ---- */

static uint32_t common_prefix(const struct builder *builder, const struct draft *a,
                              const struct draft *b)
{
    const uint32_t *left = builder->tokens + a->first;
    const uint32_t *right = builder->tokens + b->first;
    uint32_t length = a->count < b->count ? a->count : b->count;
    uint32_t at = 0;
    while (at < length && left[at] == right[at])
        at++;
    return at;
}

/* By class, what is blamed and site; then by side, accused or not, and callers. */
static int compare_drafts(const void *left, const void *right, void *context)
{
    const struct builder *builder = context;
    const struct draft *a = left;
    const struct draft *b = right;
    uint32_t a_site = builder->tokens[a->first];
    uint32_t b_site = builder->tokens[b->first];
    const uint64_t keys[][2] = {
        {a->is_judged, b->is_judged},
        {a->class_name, b->class_name},
        {a->kind, b->kind},
        {a_site, b_site},
        {(uint64_t)a->side, (uint64_t)b->side},
        {a->is_accused, b->is_accused},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    uint32_t at = common_prefix(builder, a, b);
    if (at < a->count && at < b->count)
        return builder->tokens[a->first + at] < builder->tokens[b->first + at] ? -1 : 1;
    return a->count < b->count ? -1 : a->count > b->count;
}

static bool is_same_place(const struct builder *builder, const struct draft *a,
                          const struct draft *b)
{
    return a->class_name == b->class_name && a->kind == b->kind && a->is_judged == b->is_judged &&
           builder->tokens[a->first] == builder->tokens[b->first];
}

/* Two neighbours of one side that differ only further out need that many names, and what a verdict
 * was drawn from belongs to its name. */
static void choose_depths(struct builder *builder)
{
    struct draft *drafts = builder->drafts;
    if (builder->draft_count > 1)
        qsort_r(drafts, builder->draft_count, sizeof(*drafts), compare_drafts, builder);
    for (size_t first = 0; first < builder->draft_count;) {
        size_t end = first + 1;
        uint32_t depth = drafts[first].reach;
        for (; end < builder->draft_count && is_same_place(builder, &drafts[first], &drafts[end]);
             end++) {
            const struct draft *a = &drafts[end - 1];
            const struct draft *b = &drafts[end];
            uint32_t common = common_prefix(builder, a, b);
            if (b->reach > depth)
                depth = b->reach;
            if (a->side == b->side && a->is_accused == b->is_accused &&
                (common < a->count || common < b->count) && common + 1 > depth)
                depth = common + 1;
        }
        for (size_t i = first; i < end && drafts[first].is_judged; i++)
            drafts[i].used = drafts[i].count < depth ? drafts[i].count : depth;
        first = end;
    }
}

/* ---- rows ---- */

#define KEY_HEAD 4 /* numbers before the names */

static size_t write_key(const struct builder *builder, const struct draft *draft, bool is_accused,
                        uint32_t *out)
{
    out[0] = draft->class_name;
    out[1] = draft->kind;
    out[2] = is_accused;
    out[3] = draft->used;
    memcpy(out + KEY_HEAD, builder->tokens + draft->first, draft->used * sizeof(*out));
    return (KEY_HEAD + draft->used) * sizeof(*out);
}

static struct entry *find_entry(const struct builder *builder, const struct draft *draft,
                                bool is_accused)
{
    uint32_t key[KEY_HEAD + BL_ORIGIN_DEPTH] = {0};
    struct entry *entry;
    size_t length = write_key(builder, draft, is_accused, key);
    HASH_FIND(hh, builder->entries, key, length, entry);
    return entry;
}

/* The weakest name that was compared says how the row was matched. */
static enum bl_origin_kind kind_of(const struct builder *builder, const struct draft *draft)
{
    enum bl_origin_kind kind = BL_ORIGIN_OFFSET;
    enum bl_group_by group_by = builder->diff->sides[0].model->group_by;
    if (group_by != BL_GROUP_SITE && group_by != BL_GROUP_STACK)
        return BL_ORIGIN_FUNCTION;
    for (uint32_t i = 0; i < draft->used; i++) {
        enum bl_origin_kind one =
            bl_origins_kind(builder->origins, builder->tokens[draft->first + i]);
        if (one > kind)
            kind = one;
    }
    return kind;
}

static struct entry *make_entry(struct builder *builder, const struct draft *draft)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    uint32_t *key = calloc(KEY_HEAD + (size_t)draft->used, sizeof(*key));
    if (!entry || !key) {
        free(entry);
        free(key);
        return NULL;
    }
    size_t length = write_key(builder, draft, draft->is_accused, key);
    entry->key = key;
    entry->draft = draft;
    entry->row.matched_by = kind_of(builder, draft);
    entry->row.class_name = draft->class_text;
    for (int side = 0; side < 2; side++)
        entry->row.part[side].verdict = BL_VERDICT_UNRELEASED;
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
    if (more->verdict < part->verdict)
        part->verdict = more->verdict;
}

static int make_entries(struct builder *builder)
{
    for (size_t i = 0; i < builder->draft_count; i++) {
        const struct draft *draft = &builder->drafts[i];
        struct entry *entry = find_entry(builder, draft, draft->is_accused);
        if (!entry)
            entry = make_entry(builder, draft);
        if (!entry)
            return out_of_memory(builder);
        add_part(&entry->row.part[draft->side], &draft->part);
    }
    return 0;
}

static bool is_one_sided(const struct entry *entry, int side)
{
    return !entry->is_merged && entry->draft->is_accused && entry->row.part[side].group &&
           !entry->row.part[!side].group;
}

/* Does a verdict that holds for all callers of a place include one for some of them? */
static bool includes(const struct builder *builder, const struct draft *wide,
                     const struct draft *narrow)
{
    return wide->class_name == narrow->class_name && wide->kind == narrow->kind && wide->is_wide &&
           wide->reach < narrow->reach && common_prefix(builder, wide, narrow) >= wide->reach;
}

/* Where callers leak in one process and all of them do in the other, it is one row. */
static void join_wider(struct builder *builder)
{
    struct entry *wide;
    struct entry *next_wide;
    struct entry *narrow;
    struct entry *next;
    HASH_ITER (hh, builder->entries, wide, next_wide) {
        int side = wide->draft->side;
        if (!is_one_sided(wide, side))
            continue;
        HASH_ITER (hh, builder->entries, narrow, next) {
            if (!is_one_sided(narrow, !side) || !includes(builder, wide->draft, narrow->draft))
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
        struct entry *other = find_entry(builder, entry->draft, false);
        if (!other || !other->row.part[absent].group || other->row.part[!absent].group)
            continue;
        add_part(&entry->row.part[absent], &other->row.part[absent]);
        other->is_merged = true;
    }
}

/* ---- verdicts that B no longer has ---- */

static bool has_lost_verdict(const struct bl_diff_row *row)
{
    return row->part[0].verdict != BL_VERDICT_UNRELEASED &&
           row->part[1].verdict == BL_VERDICT_UNRELEASED;
}

static void judge_luck(const struct bl_diff *diff, struct bl_diff_row *row)
{
    double leaked = (double)row->part[0].count;
    double rate = leaked > 0 ? leaked / (leaked + (double)row->passed[0]) : 0;
    /* of one process: since A */
    if (diff->is_same_process)
        row->passed[1] = row->passed[1] > row->passed[0] ? row->passed[1] - row->passed[0] : 0;
    row->luck = row->passed[1] > 0 ? pow(1 - rate, (double)row->passed[1]) : 1;
}

/* "The same way" is the blamed place, its caller, and what more of them the verdict was drawn from.
 */
static size_t way_length(const struct draft *draft)
{
    size_t length = draft->reach < 2 ? 2 : draft->reach;
    return length < draft->count ? length : draft->count;
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
        const struct draft *draft = entry->draft;
        if (!entry->is_merged && has_lost_verdict(&entry->row))
            passages[count++] = (struct bl_passage){.class_name = draft->class_name,
                                                    .kind = draft->kind,
                                                    .names = builder->tokens + draft->first,
                                                    .name_count = way_length(draft)};
    }
    int outcome = 0;
    for (int side = 0; side < 2 && outcome == 0; side++) {
        const struct bl_diff_side *one = &builder->diff->sides[side];
        for (size_t i = 0; i < count; i++)
            passages[i].passed = 0;
        outcome =
            bl_fixed_count(passages, count, builder->origins, side, one->reader, one->model,
                           builder->options->model, builder->class_names[side], builder->error);
        size_t at = 0;
        HASH_ITER (hh, builder->entries, entry, next)
            if (outcome == 0 && !entry->is_merged && has_lost_verdict(&entry->row))
                entry->row.passed[side] = passages[at++].passed;
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
    row->bytes_per_s = diff->is_same_process ? change_rate(diff, row->bytes_change) : 0;
    for (int side = 0; side < 2 && !diff->is_same_process; side++)
        row->part[side].bytes_per_s =
            per_second((double)row->part[side].bytes, diff->sides[side].model->uptime_ns);
    row->was_accused = has_lost_verdict(row);
    if (row->was_accused)
        judge_luck(diff, row);
    row->change = classify(row);
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? (uint64_t)-value : (uint64_t)value;
}

/* The worse of the two verdicts; what is accused comes before what is not. */
static enum bl_verdict verdict_of(const struct bl_diff_row *row)
{
    return row->part[0].verdict < row->part[1].verdict ? row->part[0].verdict
                                                       : row->part[1].verdict;
}

static int compare_rows(const void *left, const void *right)
{
    const struct bl_diff_row *a = left;
    const struct bl_diff_row *b = right;
    bool a_accused = verdict_of(a) != BL_VERDICT_UNRELEASED;
    bool b_accused = verdict_of(b) != BL_VERDICT_UNRELEASED;
    if (a_accused != b_accused)
        return a_accused ? -1 : 1;
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
    struct bl_origin_side sides[2];
    for (int side = 0; side < 2; side++)
        sides[side] = (struct bl_origin_side){.reader = builder->diff->sides[side].reader,
                                              .symbols = builder->diff->sides[side].symbols};
    place_in_time(builder->diff);
    if (compare_classes(builder) < 0 ||
        bl_origins_create(&builder->origins, sides, builder->error) < 0 ||
        name_classes(builder) < 0 || draft_groups(builder) < 0)
        return -1;
    choose_depths(builder);
    if (make_entries(builder) < 0)
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
    bl_origins_destroy(builder->origins);
    free(builder->drafts);
    free(builder->tokens);
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
