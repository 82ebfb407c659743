#include "leaks.h"

#include "hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    UT_hash_handle hh;
    char text[];
};

/* Which entry it is: until they are joined a stack of a leak, then what a suppression has of it. */
struct part {
    uint64_t key; /* the address of leak.key, which is interned */
    uint64_t which;
};

struct entry {
    struct bl_leak leak;
    struct part part;
    UT_hash_handle hh;     /* by part */
    UT_hash_handle hh_key; /* by leak.key: the first of it */
};

struct bl_leaks {
    struct text *texts;
    struct entry *by_part;
    struct entry *by_key; /* until they are joined */
    struct entry **entries;
    size_t count;
    struct bl_leak_process *processes;
    size_t process_count;
};

void *bl_leaks_memory(void *old, size_t size)
{
    void *memory = realloc(old, size > 0 ? size : 1);
    if (memory)
        return memory;
    bl_say("not enough memory for the leaks");
    exit(BL_CODE_FAILED);
}

/* An array that grows by doubling has room for one more. */
static void *make_room(void *array, size_t count, size_t size)
{
    if (count > 0 && (count & (count - 1)) != 0)
        return array;
    return bl_leaks_memory(array, (count > 0 ? count * 2 : 1) * size);
}

int bl_leaks_create(struct bl_leaks **ret_leaks, struct bl_error *error)
{
    *ret_leaks = calloc(1, sizeof(**ret_leaks));
    return *ret_leaks ? 0 : bl_error_set(error, "not enough memory for the leaks");
}

static void free_leak(struct bl_leak *leak)
{
    free(leak->blame.frames);
    free(leak->alloc.frames);
    free(leak->expected.frames);
    free(leak->functions);
    free(leak->shares);
}

void bl_leaks_destroy(struct bl_leaks *leaks)
{
    struct text *text;
    struct text *next;
    if (!leaks)
        return;
    HASH_CLEAR(hh, leaks->by_part);
    HASH_CLEAR(hh_key, leaks->by_key);
    for (size_t i = 0; i < leaks->count; i++) {
        free_leak(&leaks->entries[i]->leak);
        free(leaks->entries[i]);
    }
    HASH_ITER (hh, leaks->texts, text, next) {
        HASH_DEL(leaks->texts, text); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free(text);
    }
    free(leaks->entries);
    free(leaks->processes);
    free(leaks);
}

const char *bl_leaks_text(struct bl_leaks *leaks, const char *text)
{
    struct text *known;
    if (!text)
        return NULL;
    HASH_FIND_STR(leaks->texts, text, known);
    if (!known) {
        size_t length = strlen(text);
        known = bl_leaks_memory(NULL, sizeof(*known) + length + 1);
        memcpy(known->text, text, length + 1);
        HASH_ADD_KEYPTR(hh, leaks->texts, known->text, length, known);
    }
    return known->text;
}

void bl_leaks_add_share(struct bl_leak *leak, const struct bl_leak_share *share)
{
    leak->count += share->count;
    leak->bytes += share->bytes;
    for (size_t i = 0; i < leak->share_count; i++) {
        struct bl_leak_share *known = &leak->shares[i];
        if (known->process == share->process && known->test == share->test) {
            known->count += share->count;
            known->bytes += share->bytes;
            return;
        }
    }
    leak->shares = make_room(leak->shares, leak->share_count, sizeof(*leak->shares));
    leak->shares[leak->share_count++] = *share;
}

void bl_leaks_count_runs(const struct bl_leaks *leaks, struct bl_leak *leak, uint64_t runs)
{
    leak->runs_seen = leak->run_count = leak->run_bytes = 0;
    leak->run_least = UINT64_MAX;
    for (uint64_t run = 1; run <= runs; run++) {
        uint64_t count = 0;
        uint64_t bytes = 0;
        for (size_t i = 0; i < leak->share_count; i++) {
            const struct bl_leak_share *share = &leak->shares[i];
            bool is_of_run = leaks->processes[share->process].run == run;
            count += is_of_run ? share->count : 0;
            bytes += is_of_run ? share->bytes : 0;
        }
        if (count == 0)
            continue;
        leak->runs_seen++;
        leak->run_least = count < leak->run_least ? count : leak->run_least;
        leak->run_count = count > leak->run_count ? count : leak->run_count;
        leak->run_bytes = bytes > leak->run_bytes ? bytes : leak->run_bytes;
    }
}

static bool is_same_stack(const struct bl_leak_stack *a, const struct bl_leak_stack *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->frames[i].offset != b->frames[i].offset ||
            strcmp(a->frames[i].path ? a->frames[i].path : "",
                   b->frames[i].path ? b->frames[i].path : "") != 0)
            return false;
    return true;
}

static bool passes(const struct bl_leak_stack *stack, const char *function)
{
    for (size_t i = 0; i < stack->count; i++)
        if (stack->frames[i].function == function)
            return true;
    return false;
}

/* What is worse of two that are the same. */
static void merge(struct bl_leak *known, const struct bl_leak *leak)
{
    if (!is_same_stack(&known->blame, &leak->blame)) {
        known->has_more_stacks = true;
        for (size_t i = 0; i < known->blame.count; i++)
            known->blame.frames[i].is_apart |=
                !passes(&leak->blame, known->blame.frames[i].function);
    }
    known->has_more_stacks |= leak->has_more_stacks;
    known->lost_count += leak->lost_count;
    known->held_count += leak->held_count;
    known->indirect_count += leak->indirect_count;
    known->indirect_bytes += leak->indirect_bytes;
    known->count_per_iteration += leak->count_per_iteration;
    known->bytes_per_iteration += leak->bytes_per_iteration;
    if (leak->confidence > known->confidence)
        known->confidence = leak->confidence;
    if (leak->refs > known->refs)
        known->refs = leak->refs;
    if (leak->reach == BL_LEAK_LOST || known->reach == BL_LEAK_UNKNOWN)
        known->reach = leak->reach;
    if (leak->fate < known->fate)
        known->fate = leak->fate;
    if (!known->held_by)
        known->held_by = leak->held_by;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t mix_stack(uint64_t hash, const struct bl_leak_stack *stack)
{
    hash = mix(hash, stack->count);
    for (size_t i = 0; i < stack->count; i++) {
        hash = mix(hash, stack->frames[i].offset);
        hash = mix(hash, (uintptr_t)stack->frames[i].path);
        hash = mix(hash, (uintptr_t)stack->frames[i].function);
    }
    return hash;
}

/* All that a suppression may ask of it. */
static uint64_t hash_part(const struct bl_leaks *leaks, const struct bl_leak *leak,
                          const struct bl_leak_share *share)
{
    uint64_t hash = mix_stack(mix_stack(1, &leak->blame), &leak->alloc);
    hash = mix(hash, (uintptr_t)leak->verdict);
    hash = mix(hash, (uint64_t)leak->reach);
    return mix(hash, (uintptr_t)leaks->processes[share->process].comm);
}

static struct entry *find_part(const struct bl_leaks *leaks, const struct part *part)
{
    struct entry *entry;
    HASH_FIND(hh, leaks->by_part, part, sizeof(*part), entry);
    return entry;
}

static void chain(struct bl_leaks *leaks, struct entry *entry)
{
    struct entry *first;
    HASH_FIND(hh_key, leaks->by_key, entry->leak.key, strlen(entry->leak.key), first);
    if (first) {
        entry->leak.more = first->leak.more;
        first->leak.more = &entry->leak;
    } else {
        HASH_ADD_KEYPTR(hh_key, leaks->by_key, entry->leak.key, strlen(entry->leak.key), entry);
    }
}

const struct bl_leak *bl_leaks_first(const struct bl_leaks *leaks, const char *key)
{
    struct entry *first;
    HASH_FIND(hh_key, leaks->by_key, key, strlen(key), first);
    return first ? &first->leak : NULL;
}

void bl_leaks_join(struct bl_leaks *leaks)
{
    size_t kept = 0;
    HASH_CLEAR(hh, leaks->by_part);
    HASH_CLEAR(hh_key, leaks->by_key);
    for (size_t i = 0; i < leaks->count; i++) {
        struct entry *entry = leaks->entries[i];
        entry->part.which = (uintptr_t)entry->leak.suppressed_by;
        entry->leak.more = NULL;
        struct entry *known = find_part(leaks, &entry->part);
        if (!known) {
            HASH_ADD(hh, leaks->by_part, part, sizeof(entry->part), entry);
            leaks->entries[kept++] = entry;
            continue;
        }
        merge(&known->leak, &entry->leak);
        for (size_t k = 0; k < entry->leak.share_count; k++)
            bl_leaks_add_share(&known->leak, &entry->leak.shares[k]);
        free_leak(&entry->leak);
        free(entry);
    }
    leaks->count = kept;
}

struct bl_leak *bl_leaks_add(struct bl_leaks *leaks, struct bl_leak *leak,
                             const struct bl_leak_share *share)
{
    struct part part;
    memset(&part, 0, sizeof(part));
    part.key = (uintptr_t)leak->key;
    part.which = hash_part(leaks, leak, share);
    struct entry *entry = find_part(leaks, &part);
    if (entry) {
        merge(&entry->leak, leak);
        free_leak(leak);
    } else {
        entry = bl_leaks_memory(NULL, sizeof(*entry));
        entry->leak = *leak;
        entry->part = part;
        leaks->entries = make_room(leaks->entries, leaks->count, sizeof(struct entry *));
        leaks->entries[leaks->count++] = entry;
        HASH_ADD(hh, leaks->by_part, part, sizeof(entry->part), entry);
        chain(leaks, entry);
    }
    bl_leaks_add_share(&entry->leak, share);
    return &entry->leak;
}

size_t bl_leaks_add_process(struct bl_leaks *leaks, const struct bl_leak_process *process)
{
    leaks->processes = make_room(leaks->processes, leaks->process_count, sizeof(*leaks->processes));
    leaks->processes[leaks->process_count] = *process;
    return leaks->process_count++;
}

struct bl_leak_process *bl_leaks_process(const struct bl_leaks *leaks, size_t index)
{
    return &leaks->processes[index];
}

size_t bl_leaks_process_count(const struct bl_leaks *leaks)
{
    return leaks->process_count;
}

size_t bl_leaks_count(const struct bl_leaks *leaks)
{
    return leaks->count;
}

struct bl_leak *bl_leaks_at(const struct bl_leaks *leaks, size_t index)
{
    return &leaks->entries[index]->leak;
}

static int compare(const void *left, const void *right)
{
    const struct bl_leak *a = &(*(struct entry *const *)left)->leak;
    const struct bl_leak *b = &(*(struct entry *const *)right)->leak;
    if (a->fate != b->fate)
        return a->fate < b->fate ? -1 : 1;
    uint64_t a_bytes = a->bytes + a->indirect_bytes;
    uint64_t b_bytes = b->bytes + b->indirect_bytes;
    if (a_bytes != b_bytes)
        return a_bytes > b_bytes ? -1 : 1;
    int order = strcmp(a->key, b->key);
    /* rules are in one array, in the order in which they were read */
    if (order == 0 && a->suppressed_by && b->suppressed_by)
        order = a->suppressed_by < b->suppressed_by ? -1 : a->suppressed_by > b->suppressed_by;
    return order;
}

void bl_leaks_sort(struct bl_leaks *leaks)
{
    if (leaks->count > 1)
        qsort(leaks->entries, leaks->count, sizeof(struct entry *), compare);
}

const char *bl_leak_reach_name(enum bl_leak_reach reach)
{
    static const char *const names[] = {"unknown", "lost", "held"};
    return names[reach];
}

const char *bl_leak_op_name(enum bl_leak_op op)
{
    static const char *const names[] = {"alloc", "retain", "release"};
    return names[op];
}

const char *bl_leak_baseline_name(enum bl_leak_baseline baseline)
{
    static const char *const names[] = {NULL, "new", "unchanged", "grown"};
    return names[baseline];
}

const char *bl_leak_fate_name(enum bl_leak_fate fate)
{
    static const char *const names[] = {"fails", "allowed", "known", "suppressed", "noted"};
    return names[fate];
}

const struct bl_leak_frame *bl_leak_place(const struct bl_leak *leak)
{
    const struct bl_leak_frame *named = NULL;
    for (size_t i = 0; i < leak->blame.count; i++) {
        const struct bl_leak_frame *frame = &leak->blame.frames[i];
        if (frame->is_runtime || !frame->function)
            continue;
        if (!frame->is_system)
            return frame;
        if (!named)
            named = frame;
    }
    return named ? named : leak->blame.count > 0 ? leak->blame.frames : NULL;
}
