#include "model.h"

#include "profile.h"
#include "text.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A sum over buffers of one class, stack and group key. */
struct sum {
    uint32_t class_number;
    uint32_t stack;
    uint64_t key;
    double count;
    double bytes;
    double inherited;
    double inherited_bytes;
    uint64_t recorded;
    uint64_t recorded_bytes;
    uint64_t oldest_birth_ns;
    uint64_t youngest_birth_ns;
    struct bl_reach_sums reach;
    uint32_t group; /* while grouping */
};

/* Open addressing over an array that keeps insertion order; slots hold index + 1. */
struct sum_table {
    struct sum *sums;
    size_t count;
    size_t room;
    uint32_t *slots;
    size_t slot_count; /* a power of two */
};

enum module_kind {
    MODULE_PLAIN,   /* somebody's code */
    MODULE_OWN,     /* asked for with --own */
    MODULE_RUNTIME, /* libc and the like: allocates for others */
    MODULE_JAVA,    /* a package of the Java platform's: the same */
    MODULE_FRAME,   /* of a framework that a class calls its own, as Netty */
    MODULE_SHIM,
};

struct builder {
    struct bl_model *model;
    const struct bl_reader *reader;
    const struct bl_model_options *options;
    struct bl_error *error;
    struct sum_table table;
    enum module_kind *module_kinds;
    uint32_t *module_same; /* the first module with this path and build-id */
    uint32_t module_count;
    bool has_own;
};

static const uint64_t age_limits_ns[] = {1000000000ull,   10000000000ull,   60000000000ull,
                                         600000000000ull, 3600000000000ull, 86400000000000ull,
                                         UINT64_MAX};

const char *bl_model_age_range(uint64_t key)
{
    static const char *const names[] = {"under 1s",  "1s to 10s", "10s to 1m",  "1m to 10m",
                                        "10m to 1h", "1h to 1d",  "1d and more"};
    return names[key < 7 ? key : 6];
}

static uint64_t age_index(uint64_t age_ns)
{
    uint64_t index = 0;
    while (age_ns >= age_limits_ns[index] && index < 6)
        index++;
    return index;
}

static uint64_t mix(uint64_t value)
{
    value ^= value >> 31;
    value *= 0x9e3779b97f4a7c15ull;
    return value ^ value >> 29;
}

static uint64_t hash_sum(uint32_t class_number, uint32_t stack, uint64_t key)
{
    return mix(mix((uint64_t)class_number << 32 | stack) + key);
}

static bool grow_slots(struct sum_table *table)
{
    size_t slot_count = table->slot_count ? table->slot_count * 2 : 1024;
    uint32_t *slots = calloc(slot_count, sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i < table->count; i++) {
        const struct sum *sum = &table->sums[i];
        uint64_t at = hash_sum(sum->class_number, sum->stack, sum->key);
        while (slots[at & (slot_count - 1)])
            at++;
        slots[at & (slot_count - 1)] = (uint32_t)i + 1;
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    return true;
}

static bool grow_sums(struct sum_table *table)
{
    size_t room = table->room ? table->room * 2 : 512;
    struct sum *sums = realloc(table->sums, room * sizeof(*sums));
    if (!sums)
        return false;
    table->sums = sums;
    table->room = room;
    return true;
}

/* The sum for a key, made when it is new; NULL without memory. */
static struct sum *find_sum(struct sum_table *table, uint32_t class_number, uint32_t stack,
                            uint64_t key)
{
    if (table->count * 2 >= table->slot_count && !grow_slots(table))
        return NULL;
    uint64_t at = hash_sum(class_number, stack, key);
    uint32_t slot;
    while (table->sums && (slot = table->slots[at & (table->slot_count - 1)])) {
        struct sum *sum = &table->sums[slot - 1];
        if (sum->stack == stack && sum->class_number == class_number && sum->key == key)
            return sum;
        at++;
    }
    if ((table->count == table->room && !grow_sums(table)) || !table->sums)
        return NULL;
    struct sum *sum = &table->sums[table->count++];
    *sum = (struct sum){
        .class_number = class_number, .stack = stack, .key = key, .oldest_birth_ns = UINT64_MAX};
    table->slots[at & (table->slot_count - 1)] = (uint32_t)table->count;
    return sum;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool bl_model_is_runtime(const char *module_path)
{
    return bl_profile_matches(BL_RUNTIME_MODULES, base_name(module_path));
}

static bool is_own(const struct bl_model_options *options, const char *path)
{
    for (size_t i = 0; i < options->own_count; i++)
        if (fnmatch(options->own[i], path, 0) == 0 ||
            fnmatch(options->own[i], base_name(path), 0) == 0)
            return true;
    return false;
}

static bool same_module(const struct bl_reader *reader, const struct bl_module *a,
                        const struct bl_module *b)
{
    size_t a_length = 0;
    size_t b_length = 0;
    const char *a_path = bl_reader_name(reader, a->path_name, &a_length);
    const char *b_path = bl_reader_name(reader, b->path_name, &b_length);
    return a_path && b_path && a_length == b_length && memcmp(a_path, b_path, a_length) == 0 &&
           a->build_id_length == b->build_id_length &&
           memcmp(a->build_id, b->build_id, sizeof(a->build_id)) == 0;
}

/* A library that was closed and opened again has two entries; its sites are the same sites. The
 * scan is bounded: a process with thousands of modules has them under thousands of names. */
uint32_t bl_model_first_same_module(const struct bl_reader *reader, uint32_t number)
{
    const struct bl_module *module = bl_reader_module(reader, number);
    uint32_t start = number > 512 ? number - 512 : 1;
    for (uint32_t i = start; module && i < number; i++) {
        const struct bl_module *other = bl_reader_module(reader, i);
        if (other && same_module(reader, module, other))
            return i;
    }
    return number;
}

/* A package of Java classes, as far as it is nobody's own code. */
static enum module_kind kind_of_package(const struct builder *builder, const char *name)
{
    uint32_t count = bl_reader_count(builder->reader, BL_SECTION_CLASSES);
    if (bl_profile_matches(BL_JAVA_PACKAGES, name))
        return MODULE_JAVA;
    for (uint32_t i = 0; i < count; i++) {
        const struct bl_class *class = bl_reader_class(builder->reader, i);
        char patterns[1024];
        if (class &&
            bl_reader_name_text(builder->reader, class->own_modules, patterns, sizeof(patterns)) &&
            bl_profile_matches(patterns, name))
            return MODULE_FRAME;
    }
    return MODULE_PLAIN;
}

static int sort_modules(struct builder *builder)
{
    uint32_t count = bl_reader_count(builder->reader, BL_SECTION_MODULES);
    builder->module_count = count;
    builder->module_kinds = calloc(count + 1u, sizeof(*builder->module_kinds));
    builder->module_same = calloc(count + 1u, sizeof(*builder->module_same));
    if (!builder->module_kinds || !builder->module_same)
        return bl_error_set(builder->error, "not enough memory for %u modules", count);
    for (uint32_t i = 1; i < count; i++) {
        const struct bl_module *module = bl_reader_module(builder->reader, i);
        char path[4096];
        if (!module)
            continue;
        uint32_t same = bl_model_first_same_module(builder->reader, i);
        builder->module_same[i] = same < i ? builder->module_same[same] : i;
        bl_reader_name_text(builder->reader, module->path_name, path, sizeof(path));
        if (module->flags & BL_MODULE_SHIM)
            builder->module_kinds[i] = MODULE_SHIM;
        else if (is_own(builder->options, path))
            builder->module_kinds[i] = MODULE_OWN;
        else if (module->flags & BL_MODULE_MANAGED)
            builder->module_kinds[i] = kind_of_package(builder, path);
        else if (bl_model_is_runtime(path))
            builder->module_kinds[i] = MODULE_RUNTIME;
    }
    builder->has_own = builder->options->own_count > 0;
    return 0;
}

/* Frame number of the site of a stack: the innermost frame of a module the user called his own,
 * else of one that is no runtime library and no framework, else of a framework, else the innermost
 * there is. */
static uint32_t find_site(const struct builder *builder, uint32_t stack)
{
    uint32_t innermost = 0;
    uint32_t plain = 0;
    uint32_t framework = 0;
    uint32_t number = stack;
    for (int depth = 0; number != 0 && depth < BL_MODEL_FRAMES_MAX; depth++) {
        const struct bl_frame *frame = bl_reader_frame(builder->reader, number);
        if (!frame)
            break;
        enum module_kind kind = builder->module_kinds[frame->module & BL_FRAME_MODULE_MASK];
        if (kind == MODULE_OWN)
            return number;
        if (innermost == 0 && kind != MODULE_SHIM)
            innermost = number;
        if (plain == 0 && kind == MODULE_PLAIN)
            plain = number;
        if (framework == 0 && kind == MODULE_FRAME)
            framework = number;
        if (plain != 0 && !builder->has_own)
            break;
        number = frame->parent;
    }
    if (plain)
        return plain;
    return framework ? framework : innermost;
}

size_t bl_model_stack(const struct bl_reader *reader, uint32_t stack, uint32_t *out, size_t max)
{
    size_t count = 0;
    uint32_t number = stack;
    for (int depth = 0; number != 0 && count < max && depth < BL_MODEL_FRAMES_MAX; depth++) {
        const struct bl_frame *frame = bl_reader_frame(reader, number);
        if (!frame)
            break;
        const struct bl_module *module =
            bl_reader_module(reader, frame->module & BL_FRAME_MODULE_MASK);
        if (!module || !(module->flags & BL_MODULE_SHIM))
            out[count++] = number;
        number = frame->parent;
    }
    return count;
}

int bl_model_frames_inside(const struct bl_reader *reader, uint32_t stack, uint32_t frame)
{
    for (int inside = 0; stack != 0 && frame != 0 && inside < BL_MODEL_FRAMES_MAX; inside++) {
        if (stack == frame)
            return inside;
        const struct bl_frame *one = bl_reader_frame(reader, stack);
        stack = one ? one->parent : 0;
    }
    return -1;
}

/* How many blocks a sampled block of this size stands for. */
static double sample_weight(uint64_t sample_bytes, double size)
{
    if (sample_bytes <= 1)
        return 1;
    double probability = -expm1(-(size > 1 ? size : 1) / (double)sample_bytes);
    return 1 / probability;
}

static bool is_sampled_class(const struct bl_model *model, uint32_t class_number)
{
    return model->is_sampled && strcmp(bl_model_class_name(model, class_number), "heap") == 0;
}

static uint64_t record_key(const struct bl_model *model, const struct bl_live *record)
{
    uint64_t age = model->now_ns > record->birth_ns ? model->now_ns - record->birth_ns : 0;
    switch (model->group_by) {
    case BL_GROUP_SIZE:
        return record->word >> BL_LIVE_SIZE_SHIFT;
    case BL_GROUP_THREAD:
        return record->thread;
    case BL_GROUP_AGE:
        return age_index(age);
    case BL_GROUP_SITE:
    case BL_GROUP_STACK:
    case BL_GROUP_MODULE:
        break;
    }
    return 0;
}

static int wanted_class(const struct builder *builder, uint32_t *ret_number)
{
    const struct bl_model *model = builder->model;
    for (size_t i = 0; i < model->class_count; i++) {
        if (strcmp(model->classes[i].name, builder->options->class_name) != 0)
            continue;
        *ret_number = model->classes[i].number;
        return 0;
    }
    char known[512] = "";
    for (size_t i = 0; i < model->class_count; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", model->classes[i].name);
    }
    return bl_error_set(builder->error, "there is no class %s in this ledger; it has: %s",
                        builder->options->class_name, *known ? known : "none");
}

uint32_t bl_model_first_own_thread(const struct bl_reader *reader)
{
    const struct bl_header *header = bl_reader_header(reader);
    if (!(header->flags & BL_FLAG_FORKED))
        return 0;
    for (uint32_t n = bl_reader_count(reader, BL_SECTION_THREADS); n-- > 1;) {
        const struct bl_thread *thread = bl_reader_thread(reader, n);
        if (thread && !(thread->flags & BL_THREAD_TEST) && thread->tid == header->pid)
            return n;
    }
    return 0;
}

bool bl_model_is_inherited(const struct bl_header *header, uint32_t first_own_thread,
                           const struct bl_live *record)
{
    if (!(header->flags & BL_FLAG_FORKED))
        return false;
    if (first_own_thread > 0 && record->thread > 0)
        return record->thread < first_own_thread;
    return record->birth_ns < header->forked_ns;
}

/* block: the number of the live record that it is or lies in; 0: none. */
static int add_record(struct builder *builder, const struct bl_live *record, uint32_t block,
                      uint32_t first_own_thread, uint32_t only_class)
{
    const struct bl_model *model = builder->model;
    const struct bl_header *header = bl_reader_header(builder->reader);
    uint32_t number = (uint32_t)(record->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
    uint64_t age = model->now_ns > record->birth_ns ? model->now_ns - record->birth_ns : 0;
    if (age < builder->options->min_age_ns || (only_class != UINT32_MAX && number != only_class))
        return 0;
    struct sum *sum = find_sum(&builder->table, number, record->stack, record_key(model, record));
    if (!sum)
        return bl_error_set(builder->error, "not enough memory for the groups");
    double size = (double)(record->word >> BL_LIVE_SIZE_SHIFT);
    double weight = is_sampled_class(model, number) ? sample_weight(header->sample_bytes, size) : 1;
    bool inherited = bl_model_is_inherited(header, first_own_thread, record);
    sum->count += weight;
    sum->bytes += weight * size;
    sum->inherited += inherited ? weight : 0;
    sum->inherited_bytes += inherited ? weight * size : 0;
    sum->recorded++;
    sum->recorded_bytes += record->word >> BL_LIVE_SIZE_SHIFT;
    bl_reach_count(builder->options->reaches, block, record->word >> BL_LIVE_SIZE_SHIFT,
                   &sum->reach);
    if (record->birth_ns < sum->oldest_birth_ns)
        sum->oldest_birth_ns = record->birth_ns;
    if (record->birth_ns > sum->youngest_birth_ns)
        sum->youngest_birth_ns = record->birth_ns;
    return 0;
}

/* An object begins with what a live record is. */
static struct bl_live as_live(const struct bl_object *object)
{
    return (struct bl_live){.word = object->word,
                            .address = object->address,
                            .birth_ns = object->birth_ns,
                            .stack = object->stack,
                            .thread = object->thread};
}

static int add_up(struct builder *builder)
{
    uint32_t first_own_thread = bl_model_first_own_thread(builder->reader);
    uint32_t only_class = UINT32_MAX;
    if (builder->options->class_name && wanted_class(builder, &only_class) < 0)
        return -1;
    size_t count;
    const struct bl_live *live = bl_reader_live(builder->reader, &count);
    const uint32_t *numbers = bl_reader_live_numbers(builder->reader);
    const struct bl_reaches *reaches = builder->options->reaches;
    for (size_t i = 0; i < count; i++)
        if (add_record(builder, &live[i], numbers[i], first_own_thread, only_class) < 0)
            return -1;
    const struct bl_tracked *tracked = bl_reader_objects(builder->reader, &count);
    for (size_t i = 0; i < count && builder->model->group_by != BL_GROUP_SITE; i++) {
        struct bl_live record = as_live(&tracked[i].object);
        if (tracked[i].object.flags & BL_OBJECT_GHOST)
            continue;
        uint32_t block = reaches ? bl_reach_find(reaches, record.address) : 0;
        if (add_record(builder, &record, block, first_own_thread, only_class) < 0)
            return -1;
    }
    return 0;
}

/* What two sums have in common when they belong to the same group. */
static uint64_t group_key(const struct builder *builder, const struct sum *sum, uint32_t *ret_part)
{
    *ret_part = 0;
    if (builder->model->group_by == BL_GROUP_STACK) {
        *ret_part = sum->stack;
        return 0;
    }
    if (builder->model->group_by != BL_GROUP_SITE && builder->model->group_by != BL_GROUP_MODULE)
        return sum->key;
    const struct bl_frame *site = bl_reader_frame(builder->reader, find_site(builder, sum->stack));
    if (!site)
        return 0;
    *ret_part = builder->module_same[site->module & BL_FRAME_MODULE_MASK];
    return builder->model->group_by == BL_GROUP_SITE ? site->offset : *ret_part;
}

static uint64_t whole(double value)
{
    return value < 0 ? 0 : value > 1.8e19 ? UINT64_MAX : (uint64_t)(value + 0.5);
}

static uint64_t age_of(const struct bl_model *model, uint64_t birth_ns)
{
    return model->now_ns > birth_ns ? model->now_ns - birth_ns : 0;
}

/* Merges the sums into groups: a second table whose sums are the groups. */
static int merge(struct builder *builder, struct sum_table *groups, uint64_t *stack_counts[])
{
    struct bl_model *model = builder->model;
    double *heaviest = NULL;
    uint32_t *stacks = NULL;
    int outcome = -1;
    size_t most = builder->table.count + 1;
    *stack_counts = calloc(most, sizeof(**stack_counts));
    heaviest = calloc(most, sizeof(*heaviest));
    stacks = calloc(most, sizeof(*stacks));
    if (!*stack_counts || !heaviest || !stacks)
        goto out;
    for (size_t i = 0; i < builder->table.count; i++) {
        const struct sum *sum = &builder->table.sums[i];
        if (builder->options->keep_stack &&
            !builder->options->keep_stack(builder->options->keep_context, sum->stack))
            continue;
        uint32_t part;
        uint64_t key = group_key(builder, sum, &part);
        struct sum *group = find_sum(groups, sum->class_number, part, key);
        if (!group)
            goto out;
        size_t index = (size_t)(group - groups->sums);
        if ((*stack_counts)[index]++ == 0 || sum->bytes > heaviest[index]) {
            heaviest[index] = sum->bytes;
            stacks[index] = sum->stack;
        }
        group->count += sum->count;
        group->bytes += sum->bytes;
        group->inherited += sum->inherited;
        group->inherited_bytes += sum->inherited_bytes;
        group->recorded += sum->recorded;
        group->recorded_bytes += sum->recorded_bytes;
        bl_reach_add(builder->options->reaches, &group->reach, &sum->reach);
        if (sum->oldest_birth_ns < group->oldest_birth_ns)
            group->oldest_birth_ns = sum->oldest_birth_ns;
        if (sum->youngest_birth_ns > group->youngest_birth_ns)
            group->youngest_birth_ns = sum->youngest_birth_ns;
    }
    /* The table's stack was part of the key; from here on it is the stack to show. */
    for (size_t i = 0; i < groups->count; i++) {
        if (model->group_by == BL_GROUP_MODULE)
            groups->sums[i].key = groups->sums[i].stack;
        groups->sums[i].stack = stacks[i];
    }
    outcome = 0;
out:
    free(heaviest);
    free(stacks);
    if (outcome < 0)
        bl_error_set(builder->error, "not enough memory for the groups");
    return outcome;
}

static int compare_groups(const void *left, const void *right)
{
    const struct bl_group *a = left;
    const struct bl_group *b = right;
    /* what a child got from its parent is the parent's doing */
    uint64_t a_own = a->bytes - a->inherited_bytes;
    uint64_t b_own = b->bytes - b->inherited_bytes;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a_own != b_own)
        return a_own > b_own ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    if (a->oldest_ns != b->oldest_ns)
        return a->oldest_ns > b->oldest_ns ? -1 : 1;
    if (a->class_number != b->class_number)
        return a->class_number < b->class_number ? -1 : 1;
    return a->stack < b->stack ? -1 : a->stack > b->stack;
}

static int make_groups(struct builder *builder)
{
    struct bl_model *model = builder->model;
    struct sum_table groups = {0};
    uint64_t *stack_counts = NULL;
    int outcome = merge(builder, &groups, &stack_counts);
    if (outcome == 0) {
        model->groups = calloc(groups.count + 1, sizeof(*model->groups));
        if (!model->groups)
            outcome = bl_error_set(builder->error, "not enough memory for the groups");
    }
    for (size_t i = 0; outcome == 0 && i < groups.count; i++) {
        const struct sum *sum = &groups.sums[i];
        if (whole(sum->bytes) < builder->options->min_bytes)
            continue;
        model->groups[model->group_count++] = (struct bl_group){
            .class_number = sum->class_number,
            .stack = sum->stack,
            .site = find_site(builder, sum->stack),
            .stack_count = stack_counts[i],
            .count = whole(sum->count),
            .bytes = whole(sum->bytes),
            .recorded = sum->recorded,
            .recorded_bytes = sum->recorded_bytes,
            .reach = sum->reach,
            .inherited = whole(sum->inherited),
            .inherited_bytes = whole(sum->inherited_bytes),
            .oldest_ns = age_of(model, sum->oldest_birth_ns),
            .youngest_ns = age_of(model, sum->youngest_birth_ns),
            .key = sum->key,
            .rank = BL_MODEL_RANK_PLAIN,
        };
    }
    if (outcome == 0 && model->groups && model->group_count > 0)
        qsort(model->groups, model->group_count, sizeof(*model->groups), compare_groups);
    free(stack_counts);
    free(groups.sums);
    free(groups.slots);
    return outcome;
}

static uint64_t difference(uint64_t more, uint64_t less)
{
    /* sums wrap modulo 2^64; a negative one is a counter that was read a moment too late */
    uint64_t value = more - less;
    return value > INT64_MAX ? 0 : value;
}

static void read_classes(struct bl_model *model)
{
    const struct bl_reader *reader = model->reader;
    uint32_t count = bl_reader_count(reader, BL_SECTION_CLASSES);
    for (uint32_t i = 0; i < count && model->class_count < BL_CLASSES_MAX; i++) {
        const struct bl_class *class = bl_reader_class(reader, i);
        struct bl_class_sums *sums = &model->classes[model->class_count];
        struct bl_counter counter = bl_reader_counter(reader, i);
        if (!class || (class->name == 0 && counter.allocs == 0))
            continue;
        if (!bl_reader_name_text(reader, class->name, sums->name, sizeof(sums->name)))
            snprintf(sums->name, sizeof(sums->name), "class-%u", i);
        sums->number = i;
        sums->live_count = difference(counter.allocs, counter.frees);
        sums->live_bytes = difference(counter.alloc_bytes, counter.free_bytes);
        sums->peak_bytes =
            class->peak_bytes > sums->live_bytes ? class->peak_bytes : sums->live_bytes;
        sums->allocs = counter.allocs;
        sums->retains = counter.retains;
        sums->releases = counter.releases > counter.frees ? counter.releases : counter.frees;
        sums->ended = counter.frees;
        sums->over_releases = counter.over_releases;
        model->class_count++;
    }
}

static uint64_t ended_blocks(const struct bl_model *model, uint32_t class_number)
{
    const struct bl_class *class = bl_reader_class(model->reader, class_number);
    return class ? class->ended_blocks : 0;
}

void bl_model_estimate(const struct bl_reader *reader, uint32_t class_number, double *ret_count,
                       double *ret_bytes)
{
    uint64_t sample_bytes = bl_reader_header(reader)->sample_bytes;
    size_t count;
    const struct bl_live *live = bl_reader_live(reader, &count);
    *ret_count = 0;
    *ret_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        double size = (double)(live[i].word >> BL_LIVE_SIZE_SHIFT);
        if ((live[i].word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK) != class_number)
            continue;
        *ret_count += sample_weight(sample_bytes, size);
        *ret_bytes += size * sample_weight(sample_bytes, size);
    }
}

/* A sampled ledger counted sampled blocks only. What lives is estimated block by block, and what
 * has ended was when it did: the mean size of the sampled blocks tells nothing, for large ones are
 * sampled more often. */
static void scale_classes(struct bl_model *model)
{
    uint64_t sample_bytes = bl_reader_header(model->reader)->sample_bytes;
    for (size_t c = 0; c < model->class_count; c++) {
        struct bl_class_sums *sums = &model->classes[c];
        if (!is_sampled_class(model, sums->number) || sums->allocs == 0)
            continue;
        struct bl_counter counter = bl_reader_counter(model->reader, sums->number);
        double mean = (double)counter.alloc_bytes / (double)counter.allocs;
        double weight = sample_weight(sample_bytes, mean);
        double live_count;
        double live_bytes;
        bl_model_estimate(model->reader, sums->number, &live_count, &live_bytes);
        sums->recorded = sums->live_count;
        sums->recorded_bytes = sums->live_bytes;
        double peak_scale = sums->live_bytes > 0 ? live_bytes / (double)sums->live_bytes : weight;
        sums->peak_bytes = whole((double)sums->peak_bytes * peak_scale);
        sums->live_count = whole(live_count);
        sums->live_bytes = whole(live_bytes);
        sums->ended = whole(ldexp((double)ended_blocks(model, sums->number), -BL_BLOCKS_SHIFT));
        sums->releases = sums->ended;
        sums->allocs = sums->live_count + sums->ended;
    }
}

static uint64_t monotonic_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The moment a killed process was last seen alive: nothing in it could note its end. */
static uint64_t last_sign(const struct bl_reader *reader)
{
    const struct bl_header *header = bl_reader_header(reader);
    uint64_t last =
        header->start_ns > header->heartbeat_ns ? header->start_ns : header->heartbeat_ns;
    size_t count;
    const struct bl_live *live = bl_reader_live(reader, &count);
    for (size_t i = 0; i < count; i++)
        if (live[i].birth_ns > last)
            last = live[i].birth_ns;
    const struct bl_tracked *tracked = bl_reader_objects(reader, &count);
    for (size_t i = 0; i < count; i++)
        if (tracked[i].object.birth_ns > last)
            last = tracked[i].object.birth_ns;
    return last;
}

enum bl_process_state bl_model_state_of(const struct bl_header *header, bool is_running)
{
    if (header->state == BL_STATE_EXITED)
        return BL_PROCESS_EXITED;
    if (header->state == BL_STATE_EXECED)
        return BL_PROCESS_REPLACED;
    /* what a snapshot shows was running, whatever became of it since */
    return is_running || header->snapshot_number > 0 ? BL_PROCESS_RUNNING : BL_PROCESS_KILLED;
}

static void place_in_time(struct bl_model *model, bool is_running)
{
    const struct bl_header *header = bl_reader_header(model->reader);
    model->state = bl_model_state_of(header, is_running);
    if (header->snapshot_number > 0 && header->snapshot_ns > 0)
        model->now_ns = header->snapshot_ns;
    else if (model->state == BL_PROCESS_RUNNING)
        model->now_ns = monotonic_now();
    else if (header->end_ns > 0)
        model->now_ns = header->end_ns;
    else
        model->now_ns = last_sign(model->reader);
    model->uptime_ns = difference(model->now_ns, header->start_ns);
}

static void limit(struct bl_model *model, size_t top)
{
    model->shown = top > 0 && top < model->group_count ? top : model->group_count;
}

/* What a killed process was doing is counted and not recorded, or the other way round, by one
 * operation of each thread. More than that was in memory and not on the disk when the power went.
 */
static void count_missing(struct bl_model *model)
{
    const struct bl_header *header = bl_reader_header(model->reader);
    struct bl_counter counter = bl_reader_counter(model->reader, 0);
    uint64_t alive = difference(counter.allocs, counter.frees);
    uint64_t recorded = 0;
    size_t count;
    const struct bl_live *live = bl_reader_live(model->reader, &count);
    if (model->state != BL_PROCESS_KILLED || model->is_sampled || model->buffers_unreadable ||
        header->losses[BL_LOSS_buffers_no_memory] || header->losses[BL_LOSS_buffers_no_space])
        return;
    for (size_t i = 0; i < count; i++)
        recorded += (live[i].word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK) == 0;
    uint64_t doing = bl_reader_count(model->reader, BL_SECTION_THREADS) + 1u;
    model->buffers_missing = alive > recorded + doing ? alive - recorded : 0;
    model->buffers_uncounted = recorded > alive + doing ? recorded - alive : 0;
}

static int build(struct builder *builder, bool is_running)
{
    struct bl_model *model = builder->model;
    model->is_sampled = bl_reader_header(builder->reader)->sample_bytes > 1;
    place_in_time(model, is_running);
    read_classes(model);
    model->buffers_unreadable = bl_reader_private_records(builder->reader, BL_SECTION_LIVE) +
                                bl_reader_private_records(builder->reader, BL_SECTION_OBJECTS);
    count_missing(model);
    if (model->is_sampled)
        scale_classes(model);
    if (sort_modules(builder) < 0 || add_up(builder) < 0 || make_groups(builder) < 0)
        return -1;
    limit(model, builder->options->top);
    return 0;
}

int bl_model_add_groups(struct bl_model *model, const struct bl_group *groups, size_t count,
                        const struct bl_model_options *options, struct bl_error *error)
{
    size_t total = model->group_count + count;
    if (count == 0)
        return 0;
    struct bl_group *grown = realloc(model->groups, total * sizeof(*grown));
    if (!grown)
        return bl_error_set(error, "not enough memory for the groups");
    memcpy(grown + model->group_count, groups, count * sizeof(*groups));
    qsort(grown, total, sizeof(*grown), compare_groups);
    model->groups = grown;
    model->group_count = total;
    limit(model, options->top);
    return 0;
}

void bl_model_sort(struct bl_model *model)
{
    if (model->group_count > 0)
        qsort(model->groups, model->group_count, sizeof(*model->groups), compare_groups);
}

int bl_model_create(struct bl_model **ret_model, const struct bl_reader *reader, bool is_running,
                    const struct bl_model_options *options, struct bl_error *error)
{
    struct bl_model *model = calloc(1, sizeof(*model));
    if (!model)
        return bl_error_set(error, "not enough memory for the report");
    model->reader = reader;
    model->group_by = options->group_by;
    struct builder builder = {.model = model, .reader = reader, .options = options, .error = error};
    int outcome = build(&builder, is_running);
    free(builder.table.sums);
    free(builder.table.slots);
    free(builder.module_kinds);
    free(builder.module_same);
    if (outcome < 0)
        bl_model_destroy(model);
    else
        *ret_model = model;
    return outcome;
}

void bl_model_destroy(struct bl_model *model)
{
    if (!model)
        return;
    free(model->groups);
    free(model);
}

const char *bl_model_class_name(const struct bl_model *model, uint32_t class_number)
{
    for (size_t i = 0; i < model->class_count; i++)
        if (model->classes[i].number == class_number)
            return model->classes[i].name;
    return "?";
}
