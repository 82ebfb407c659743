#include "check_collect.h"

#include "assembled.h"
#include "check_growth.h"
#include "defaults.h"
#include "hash.h"
#include "holders.h"
#include "hooks.h"
#include "identity.h"
#include "inspect.h"
#include "profile_file.h"
#include "reach.h"
#include "render_parts.h"
#include "script.h"
#include "text.h"
#include "verdict.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Lost blocks of one stack and one thread's test. */
struct heap_key {
    uint32_t class_number;
    uint32_t stack;
    uint32_t test; /* name */
    uint32_t padding;
};

struct heap_sum {
    struct heap_key key;
    uint64_t count;
    uint64_t bytes;
    uint64_t followers;
    uint64_t follower_bytes;
    UT_hash_handle hh;
};

struct collect {
    struct bl_check *check;
    const struct bl_inspection *inspection;
    const struct bl_reader *reader;
    const struct bl_reaches *reaches;
    size_t process;
    uint32_t first_own_thread;
    struct heap_sum *sums;
    /* by live record number: index + 1 of the first counted buffer in the block, of an accused one
     */
    uint32_t *object_of;
    uint32_t *accused_in;
    uint32_t block_count;
};

static const struct bl_leak_process *process_of(const struct collect *collect)
{
    return bl_leaks_process(collect->check->leaks, collect->process);
}

/* The test that a thread was in; that of the process where the thread has none. */
static const char *test_of(const struct collect *collect, uint32_t thread)
{
    const struct bl_thread *record = bl_reader_thread(collect->reader, thread);
    char name[512];
    if (record && record->test_name &&
        bl_reader_name_text(collect->reader, record->test_name, name, sizeof(name)))
        return bl_leaks_text(collect->check->leaks, name);
    return process_of(collect)->test;
}

static uint32_t test_name_of(const struct collect *collect, uint32_t thread)
{
    const struct bl_thread *record = bl_reader_thread(collect->reader, thread);
    return record ? record->test_name : 0;
}

/* Libraries that the system brings; the program itself is the user's wherever it lies. */
static bool is_system(const struct collect *collect, const struct bl_symbol *symbol)
{
    static const char *const places[] = {"/usr/lib/", "/lib/", "/usr/lib64/", "/lib64/",
                                         "/usr/libexec/"};
    const struct bl_header *header = bl_reader_header(collect->reader);
    char exe[4096];
    if (bl_reader_name_text(collect->reader, header->exe_name, exe, sizeof(exe)) &&
        strcmp(exe, symbol->path) == 0)
        return false;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (strncmp(symbol->path, places[i], strlen(places[i])) == 0)
            return true;
    return false;
}

static struct bl_leak_frame make_frame(const struct collect *collect,
                                       const struct bl_symbol *symbol)
{
    struct bl_leaks *leaks = collect->check->leaks;
    return (struct bl_leak_frame){.function = bl_leaks_text(leaks, symbol->function),
                                  .file = bl_leaks_text(leaks, symbol->file),
                                  .module = bl_leaks_text(leaks, symbol->module),
                                  .path = bl_leaks_text(leaks, symbol->path),
                                  .offset = symbol->offset,
                                  .line = symbol->line,
                                  .is_inlined = symbol->inlined,
                                  .is_managed = symbol->is_managed,
                                  .is_bytecode = symbol->is_bytecode,
                                  .is_runtime = bl_model_is_runtime(symbol->path),
                                  .is_system = is_system(collect, symbol)};
}

static struct bl_leak_stack make_stack(const struct collect *collect, uint32_t stack)
{
    uint32_t numbers[BL_MODEL_FRAMES_MAX];
    struct bl_leak_stack made = {.frames = NULL};
    size_t count = stack ? bl_model_stack(collect->reader, stack, numbers, BL_MODEL_FRAMES_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        size_t inlined = 0;
        const struct bl_symbol *symbols =
            bl_symbols_frame(collect->inspection->symbols, numbers[i], &inlined);
        if (!symbols)
            continue;
        made.frames = bl_leaks_memory(made.frames, (made.count + inlined) * sizeof(*made.frames));
        for (size_t k = 0; k < inlined; k++)
            made.frames[made.count++] = make_frame(collect, &symbols[k]);
    }
    return made;
}

/* What holds the most of them, in a few words. */
static const char *held_by(const struct collect *collect, const struct bl_reach_sums *sums)
{
    struct bl_reach_step steps[8];
    char root[512] = "";
    char share[192];
    char through[64] = "";
    char text[800];
    struct bl_holder holder =
        bl_holders_heaviest(collect->reaches, collect->inspection->symbols, sums);
    size_t length = holder.example ? bl_reach_path(collect->reaches, holder.example, steps, 8) : 0;
    size_t stored = length < 8 ? length : 8;
    if (stored == 0 || !steps[stored - 1].root)
        return NULL;
    bl_render_text_root(&collect->inspection->view, steps[stored - 1].root, root, sizeof(root));
    if (length > 1)
        snprintf(through, sizeof(through), ", through %zu block%s", length - 1,
                 length == 2 ? "" : "s");
    bool shares = bl_render_text_share(&collect->inspection->view, &holder, share, sizeof(share));
    snprintf(text, sizeof(text), "%s%s%s%s%s", root, through, shares ? " (" : "",
             shares ? share : "", shares ? ")" : "");
    return bl_leaks_text(collect->check->leaks, text);
}

static enum bl_leak_reach reach_of(const struct collect *collect, uint32_t live_number)
{
    switch (bl_reach_of(collect->reaches, live_number).state) {
    case BL_REACH_LOST:
        return BL_LEAK_LOST;
    case BL_REACH_HELD:
        return BL_LEAK_HELD;
    case BL_REACH_UNKNOWN:
        break;
    }
    return BL_LEAK_UNKNOWN;
}

static uint32_t *make_numbers(size_t count)
{
    uint32_t *numbers = bl_leaks_memory(NULL, count * sizeof(*numbers));
    memset(numbers, 0, count * sizeof(*numbers));
    return numbers;
}

static bool is_leak(enum bl_verdict verdict)
{
    return verdict != BL_VERDICT_UNRELEASED;
}

/* Which heap blocks are the memory of counted buffers. */
static void place_objects(struct collect *collect)
{
    size_t count;
    const struct bl_tracked *objects = bl_reader_objects(collect->reader, &count);
    collect->block_count = bl_reader_count(collect->reader, BL_SECTION_LIVE);
    collect->object_of = make_numbers(collect->block_count + 1u);
    collect->accused_in = make_numbers(collect->block_count + 1u);
    for (size_t i = 0; i < count; i++) {
        uint32_t block = bl_reach_find(collect->reaches, objects[i].object.address);
        if (block == 0 || block >= collect->block_count)
            continue;
        const struct bl_finding *finding = bl_pairing_finding_of(collect->inspection->pairing, i);
        uint32_t known = collect->object_of[block];
        if (known == 0 || objects[known - 1].object.address > objects[i].object.address)
            collect->object_of[block] = (uint32_t)i + 1;
        if (objects[i].object.word & BL_LIVE_IGNORED || (finding && is_leak(finding->verdict)))
            collect->accused_in[block] = (uint32_t)i + 1;
    }
}

static struct bl_leak *add_leak(struct bl_leaks *leaks, struct bl_leak *leak,
                                const struct bl_leak_share *share)
{
    bl_identity_make(leaks, leak);
    return bl_leaks_add(leaks, leak, share);
}

/* ---- counted buffers ---- */

/* What is held, and where others speak against the accusation more than for it, may belong there:
 * as what a table keeps that was filled once, and of which some was taken out again. */
#define HELD_CONFIDENCE 0.5

/* A cache that is never emptied at exit looks like one that never releases: what is held, and of
 * which no sibling shows that it should not be, is only told. */
static enum bl_leak_fate fate_of(const struct collect *collect, const struct bl_finding *finding,
                                 enum bl_leak_reach reach)
{
    if (finding->is_doubted)
        return BL_LEAK_NOTED;
    bool is_certain = (finding->verdict == BL_VERDICT_MISSING_RELEASE &&
                       finding->confidence >= HELD_CONFIDENCE) ||
                      finding->verdict == BL_VERDICT_OVER_RELEASE;
    return is_certain || reach != BL_LEAK_HELD || collect->check->counts_held ? BL_LEAK_FAILS
                                                                              : BL_LEAK_NOTED;
}

static enum bl_leak_op op_of(enum bl_item_kind kind)
{
    switch (kind) {
    case BL_ITEM_ALLOC:
        return BL_LEAK_ALLOC;
    case BL_ITEM_RETAIN:
        return BL_LEAK_RETAIN;
    case BL_ITEM_RELEASE:
    case BL_ITEM_OVER_RELEASE:
        break;
    }
    return BL_LEAK_RELEASE;
}

struct gathered {
    enum bl_leak_reach reach;
    uint64_t lost;
    uint64_t held;
    struct bl_leak_share *shares;
    size_t share_count;
};

static void share_out(struct gathered *gathered, const struct collect *collect, uint32_t thread,
                      uint64_t bytes)
{
    const char *test = test_of(collect, thread);
    for (size_t i = 0; i < gathered->share_count; i++) {
        if (gathered->shares[i].test != test)
            continue;
        gathered->shares[i].count++;
        gathered->shares[i].bytes += bytes;
        return;
    }
    gathered->shares =
        bl_leaks_memory(gathered->shares, (gathered->share_count + 1) * sizeof(*gathered->shares));
    gathered->shares[gathered->share_count++] = (struct bl_leak_share){
        .process = collect->process, .test = test, .count = 1, .bytes = bytes};
}

/* Lost when any is; held when all that are known are. What they hold is counted as parts. */
static void gather(const struct collect *collect, const struct bl_finding *finding,
                   struct gathered *gathered)
{
    size_t count;
    const struct bl_tracked *objects = bl_reader_objects(collect->reader, &count);
    *gathered = (struct gathered){.reach = BL_LEAK_UNKNOWN};
    for (size_t i = 0; i < count; i++) {
        if (bl_pairing_finding_of(collect->inspection->pairing, i) != finding ||
            bl_pairing_is_part(collect->inspection->pairing, i))
            continue;
        uint32_t block = bl_reach_find(collect->reaches, objects[i].object.address);
        enum bl_leak_reach reach = block ? reach_of(collect, block) : BL_LEAK_UNKNOWN;
        if (reach == BL_LEAK_LOST || gathered->reach == BL_LEAK_UNKNOWN)
            gathered->reach = reach;
        gathered->lost += reach == BL_LEAK_LOST;
        gathered->held += reach == BL_LEAK_HELD;
        share_out(gathered, collect, objects[i].object.thread,
                  objects[i].object.word >> BL_LIVE_SIZE_SHIFT);
    }
}

static void tell_assembly(const struct collect *collect, const struct bl_group *group,
                          struct bl_leak *leak)
{
    static_assert(BL_ASSEMBLED_MAX <= BL_LEAK_ASSEMBLED_MAX, "all are told");
    struct bl_assembled assembled[BL_ASSEMBLED_MAX];
    char text[512];
    uint64_t all;
    leak->assembled_count = bl_assembled_find(collect->reader, group->stack, group->stack_count > 1,
                                              assembled, &all, &leak->assembled_others);
    for (size_t i = 0; i < leak->assembled_count; i++) {
        bl_assembled_text(collect->reader, &assembled[i], text, sizeof(text));
        leak->assembled[i] =
            (struct bl_leak_assembled){.text = bl_leaks_text(collect->check->leaks, text),
                                       .events = assembled[i].count,
                                       .is_of_source = assembled[i].is_of_source};
    }
}

static void add_finding(struct collect *collect, const struct bl_group *group)
{
    const struct bl_finding *finding = group->finding;
    struct bl_leaks *leaks = collect->check->leaks;
    struct gathered gathered;
    gather(collect, finding, &gathered);
    struct bl_leak leak = {
        .class_name = bl_leaks_text(
            leaks, bl_model_class_name(collect->inspection->model, group->class_number)),
        .verdict = bl_leaks_text(leaks, bl_verdict_name(finding->verdict)),
        .kind = finding->verdict == BL_VERDICT_OVER_RELEASE ? BL_LEAK_OVER_RELEASE : BL_LEAK_LEFT,
        .op = op_of(finding->blame_kind),
        .reach = gathered.reach,
        .lost_count = gathered.lost,
        .held_count = gathered.held,
        .held_by = gathered.held > 0 ? held_by(collect, &group->reach) : NULL,
        .confidence = finding->confidence,
        .refs = finding->refs_max,
        .blame = make_stack(collect, finding->blame_frame),
        .alloc = make_stack(collect, finding->alloc_frame),
        .expected = make_stack(collect, finding->expected_frame),
        .text = *finding->text ? bl_leaks_text(leaks, finding->text) : NULL,
        .fate = fate_of(collect, finding, gathered.reach),
    };
    tell_assembly(collect, group, &leak);
    for (size_t i = 0; i < finding->part_count; i++) {
        leak.indirect_count += finding->parts[i].count;
        leak.indirect_bytes += finding->parts[i].bytes;
    }
    leak.indirect_count += finding->other_parts.count;
    leak.indirect_bytes += finding->other_parts.bytes;
    /* the group's own numbers, in the proportions of its tests */
    struct bl_leak_share share = {.process = collect->process,
                                  .test = gathered.share_count == 1 ? gathered.shares[0].test
                                                                    : process_of(collect)->test,
                                  .count = group->count,
                                  .bytes = group->bytes};
    bool is_whole = gathered.share_count < 2;
    if (!is_whole)
        share = gathered.shares[0];
    bl_leaks_process(leaks, collect->process)->leak_count +=
        leak.fate == BL_LEAK_FAILS ? group->count : 0;
    struct bl_leak *added = add_leak(leaks, &leak, &share);
    for (size_t i = 1; !is_whole && i < gathered.share_count; i++)
        bl_leaks_add_share(added, &gathered.shares[i]);
    free(gathered.shares);
}

static void add_findings(struct collect *collect)
{
    const struct bl_model *model = collect->inspection->model;
    for (size_t i = 0; i < model->group_count; i++) {
        const struct bl_group *group = &model->groups[i];
        if (group->finding && is_leak(group->finding->verdict) &&
            group->finding->ground != BL_GROUND_INHERITED && group->count > group->inherited)
            add_finding(collect, group);
    }
}

/* ---- heap blocks ---- */

static void add_sum(struct collect *collect, struct heap_key key, uint64_t bytes,
                    struct bl_reach_followers followers)
{
    struct heap_sum *sum;
    HASH_FIND(hh, collect->sums, &key, sizeof(key), sum);
    if (!sum) {
        sum = bl_leaks_memory(NULL, sizeof(*sum));
        *sum = (struct heap_sum){.key = key};
        HASH_ADD(hh, collect->sums, key, sizeof(key), sum);
    }
    sum->count++;
    sum->bytes += bytes;
    sum->followers += followers.count;
    sum->follower_bytes += followers.bytes;
}

/* A lost block that is a counted buffer's memory is told by that buffer's name. False: the buffer
 * is accused already. */
static bool find_key(const struct collect *collect, uint32_t number, const struct bl_live *live,
                     struct heap_key *ret_key, uint64_t *ret_bytes)
{
    *ret_key =
        (struct heap_key){.class_number = live->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK,
                          .stack = live->stack,
                          .test = test_name_of(collect, live->thread)};
    *ret_bytes = live->word >> BL_LIVE_SIZE_SHIFT;
    if (number < collect->block_count && collect->object_of[number] > 0) {
        size_t count;
        size_t index = collect->object_of[number] - 1;
        const struct bl_object *object = &bl_reader_objects(collect->reader, &count)[index].object;
        if (collect->accused_in[number] > 0)
            return false;
        ret_key->class_number = object->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK;
        ret_key->stack = object->stack;
        *ret_bytes = object->word >> BL_LIVE_SIZE_SHIFT;
    }
    return true;
}

static void add_lost(struct collect *collect, uint32_t number, const struct bl_live *live)
{
    struct heap_key key;
    uint64_t bytes;
    if (find_key(collect, number, live, &key, &bytes))
        add_sum(collect, key, bytes, bl_reach_followers(collect->reaches, number));
}

/* What is accused itself is not told once more as lost with the block that leads to it. */
static void leave_out_accused(const struct collect *collect, uint32_t number, uint32_t leader,
                              uint64_t bytes)
{
    const struct bl_live *live = bl_reach_live(collect->reaches, leader);
    struct heap_sum *sum = NULL;
    struct heap_key key;
    uint64_t its_bytes;
    if (number >= collect->block_count || collect->accused_in[number] == 0 || !live ||
        !find_key(collect, leader, live, &key, &its_bytes))
        return;
    HASH_FIND(hh, collect->sums, &key, sizeof(key), sum);
    if (!sum || sum->followers == 0)
        return;
    sum->followers--;
    sum->follower_bytes -= bytes < sum->follower_bytes ? bytes : sum->follower_bytes;
}

static bool is_heap(const struct collect *collect, const struct bl_live *live)
{
    uint32_t number = live->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK;
    return strcmp(bl_model_class_name(collect->inspection->model, number), "heap") == 0;
}

static bool is_own(const struct collect *collect, const struct bl_live *live)
{
    return !(live->word & BL_LIVE_IGNORED) && is_heap(collect, live) &&
           !bl_model_is_inherited(bl_reader_header(collect->reader), collect->first_own_thread,
                                  live);
}

static void sum_heap(struct collect *collect)
{
    struct bl_leak_process *process = bl_leaks_process(collect->check->leaks, collect->process);
    const uint32_t *numbers = bl_reader_live_numbers(collect->reader);
    size_t count;
    const struct bl_live *live = bl_reader_live(collect->reader, &count);
    for (size_t i = 0; i < count; i++) {
        if (!is_own(collect, &live[i]))
            continue;
        struct bl_reach_of reach = bl_reach_of(collect->reaches, numbers[i]);
        if (reach.state == BL_REACH_LOST && reach.leader == numbers[i])
            add_lost(collect, numbers[i], &live[i]);
        process->unknown_count += reach.state == BL_REACH_UNKNOWN;
        process->unknown_bytes +=
            reach.state == BL_REACH_UNKNOWN ? live[i].word >> BL_LIVE_SIZE_SHIFT : 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct bl_reach_of reach = bl_reach_of(collect->reaches, numbers[i]);
        if (reach.state == BL_REACH_LOST && reach.leader != numbers[i])
            leave_out_accused(collect, numbers[i], reach.leader,
                              live[i].word >> BL_LIVE_SIZE_SHIFT);
    }
}

static void add_heap_leak(struct collect *collect, const struct heap_sum *sum)
{
    struct bl_leaks *leaks = collect->check->leaks;
    char test[512];
    const char *name = process_of(collect)->test;
    if (sum->key.test && bl_reader_name_text(collect->reader, sum->key.test, test, sizeof(test)))
        name = bl_leaks_text(leaks, test);
    struct bl_leak leak = {
        .class_name = bl_leaks_text(
            leaks, bl_model_class_name(collect->inspection->model, sum->key.class_number)),
        .verdict = "unreleased",
        .kind = BL_LEAK_LEFT,
        .op = BL_LEAK_ALLOC,
        .reach = BL_LEAK_LOST,
        .lost_count = sum->count,
        .confidence = 1,
        .indirect_count = sum->followers,
        .indirect_bytes = sum->follower_bytes,
        .blame = make_stack(collect, sum->key.stack),
        .fate = BL_LEAK_FAILS,
    };
    struct bl_leak_share share = {
        .process = collect->process, .test = name, .count = sum->count, .bytes = sum->bytes};
    bl_leaks_process(leaks, collect->process)->leak_count += sum->count;
    add_leak(leaks, &leak, &share);
}

static void add_heap(struct collect *collect)
{
    struct heap_sum *sum;
    struct heap_sum *next;
    sum_heap(collect);
    HASH_ITER (hh, collect->sums, sum, next) {
        add_heap_leak(collect, sum);
        HASH_DEL(collect->sums, sum); // NOLINT(clang-analyzer-unix.Malloc): the next is known
        free(sum);
    }
}

/* ---- growth with each iteration ---- */

/* Held blocks, and counted buffers that nobody accuses. */
static void feed_growth(const struct collect *collect, struct bl_check_growth *growth)
{
    size_t count;
    const uint32_t *numbers = bl_reader_live_numbers(collect->reader);
    const struct bl_live *live = bl_reader_live(collect->reader, &count);
    for (size_t i = 0; i < count; i++)
        if (is_own(collect, &live[i]) && reach_of(collect, numbers[i]) != BL_LEAK_LOST &&
            !(numbers[i] < collect->block_count && collect->object_of[numbers[i]] > 0))
            bl_check_growth_feed(growth, live[i].word, live[i].stack, live[i].birth_ns, numbers[i]);
    const struct bl_tracked *objects = bl_reader_objects(collect->reader, &count);
    for (size_t i = 0; i < count; i++) {
        const struct bl_object *object = &objects[i].object;
        const struct bl_finding *finding = bl_pairing_finding_of(collect->inspection->pairing, i);
        if (!(object->word & BL_LIVE_IGNORED) && !(finding && is_leak(finding->verdict)))
            bl_check_growth_feed(growth, object->word, object->stack, object->birth_ns,
                                 bl_reach_find(collect->reaches, object->address));
    }
}

static void add_growing_site(struct collect *collect, const struct bl_growing_site *site,
                             uint64_t iterations)
{
    struct bl_leaks *leaks = collect->check->leaks;
    char text[160];
    snprintf(text, sizeof(text), "in each of %llu iterations some more were kept, %.4g on average",
             (unsigned long long)iterations, site->count_per_iteration);
    enum bl_leak_reach reach = site->example ? reach_of(collect, site->example) : BL_LEAK_UNKNOWN;
    struct bl_leak leak = {
        .class_name = bl_leaks_text(
            leaks, bl_model_class_name(collect->inspection->model, site->class_number)),
        .verdict = "growing",
        .kind = BL_LEAK_GROWING,
        .op = BL_LEAK_ALLOC,
        .reach = reach,
        .confidence = 1,
        .count_per_iteration = site->count_per_iteration,
        .bytes_per_iteration = site->bytes_per_iteration,
        .blame = make_stack(collect, site->stack),
        .text = bl_leaks_text(leaks, text),
        .held_by = reach == BL_LEAK_HELD ? held_by(collect, &site->reach) : NULL,
        .fate = BL_LEAK_FAILS,
    };
    struct bl_leak_share share = {.process = collect->process,
                                  .test = process_of(collect)->test,
                                  .count = site->count,
                                  .bytes = site->bytes};
    bl_leaks_process(leaks, collect->process)->leak_count += site->count;
    add_leak(leaks, &leak, &share);
}

static void add_growing(struct collect *collect)
{
    struct bl_check_growth *growth =
        bl_check_growth_create(collect->reader, collect->reaches, collect->check->iteration_name);
    size_t count;
    if (!growth)
        return;
    feed_growth(collect, growth);
    const struct bl_growing_site *sites = bl_check_growth_find(growth, &count);
    uint64_t iterations = bl_check_growth_iterations(growth);
    if (iterations > collect->check->iterations)
        collect->check->iterations = iterations;
    for (size_t i = 0; i < count; i++)
        add_growing_site(collect, &sites[i], iterations);
    bl_check_growth_destroy(growth);
}

/* ---- the process ---- */

/* It may have allocated much, none of which came by. */
static bool is_heap_unseen(const struct collect *collect)
{
    return bl_reader_counter(collect->reader, 0).allocs == 0 &&
           bl_hooks_has_other_malloc(collect->reader);
}

static void explain_unknown(struct collect *collect)
{
    struct bl_leak_process *process = bl_leaks_process(collect->check->leaks, collect->process);
    char why[512];
    bool runs_on = process->end == BL_PROCESS_END_RUNS_ON;
    if (is_heap_unseen(collect)) {
        process->is_unknown = true;
        process->why_not = "its allocator is linked into it (or preloaded before the shim), and "
                           "nothing of its heap was seen";
        return;
    }
    if (bl_hooks_has_replaced_malloc(collect->reader)) {
        process->is_unknown = true;
        process->why_not = "a library in it has put functions of its own in the place of malloc's, "
                           "as profilers of native memory do: what was freed there was not seen";
        return;
    }
    process->is_partial = bl_hooks_has_other_malloc(collect->reader);
    if (process->is_partial)
        process->why_not = "an allocator is linked into it (or preloaded before the shim): only "
                           "what that passes on was seen";
    if (process->unknown_count == 0 && !runs_on)
        return;
    process->is_unknown = true;
    if (runs_on) {
        process->why_not = "it runs on: --wait waits longer for it, --stop ends it";
        return;
    }
    if (process->end == BL_PROCESS_END_SIGNAL) {
        process->why_not = process->has_aborted
                               ? "it aborted, and its end could not be looked at"
                               : "it was killed before its end could be looked at, or "
                                 "ended by a bare system call";
        return;
    }
    if (bl_reaches_known(collect->reaches, why, sizeof(why))) {
        /* born while or after it was looked at: by the last handlers of its exit */
        process->is_unknown = false;
        return;
    }
    process->why_not = *why ? bl_leaks_text(collect->check->leaks, why)
                            : "its end was not looked at (at_exit=0, or its exit went unseen)";
}

/* Once for each program, under the name that its processes have. */
static void take_defaults(struct bl_check *check, const char *exe, const char *comm)
{
    char name[4200];
    char *text = NULL;
    struct bl_error error = {""};
    snprintf(name, sizeof(name), "%s of %s (%s)", BL_DEFAULTS_FUNCTION, exe, comm);
    for (size_t i = 0; i < check->program_count; i++)
        if (strcmp(check->programs[i], name) == 0)
            return;
    check->programs =
        bl_leaks_memory(check->programs, (check->program_count + 1) * sizeof(*check->programs));
    check->programs[check->program_count++] = bl_leaks_text(check->leaks, name);
    int outcome = bl_defaults_read(exe, &text, &error);
    if (outcome > 0)
        outcome = bl_suppressions_parse_of(check->suppressions, name, text, comm, &error);
    if (outcome < 0)
        bl_say("%s", error.text);
    free(text);
}

static void note_classes(const struct collect *collect)
{
    struct bl_check *check = collect->check;
    uint32_t count = bl_reader_count(collect->reader, BL_SECTION_CLASSES);
    for (uint32_t n = 0; n < count; n++) {
        const char *name =
            bl_leaks_text(check->leaks, bl_model_class_name(collect->inspection->model, n));
        bool is_known = false;
        for (size_t i = 0; i < check->class_count && !is_known; i++)
            is_known = check->classes[i] == name;
        if (is_known)
            continue;
        check->classes =
            bl_leaks_memory(check->classes, (check->class_count + 1) * sizeof(*check->classes));
        check->classes[check->class_count++] = name;
    }
}

/* Of the built-in profiles a version of a library may lack some, and nobody misspelt them. */
static void note_unseen(const struct collect *collect)
{
    struct bl_check *check = collect->check;
    struct bl_hook_row hook;
    char profile[4096];
    uint32_t count = bl_hooks_count(collect->reader);
    for (uint32_t n = 0; n < count; n++) {
        if (!bl_hooks_read(collect->reader, n, &hook) || !hook.is_none)
            continue;
        const struct bl_class *class = bl_reader_class(collect->reader, hook.class_number);
        if (!class || class->profile_name == 0 ||
            !bl_reader_name_text(collect->reader, class->profile_name, profile, sizeof(profile)) ||
            !bl_profile_file_is_one(profile))
            continue;
        const struct bl_unseen unseen = {
            .profile = bl_leaks_text(check->leaks, profile),
            .class_name = bl_leaks_text(
                check->leaks, bl_model_class_name(collect->inspection->model, hook.class_number)),
            .function = bl_leaks_text(check->leaks, hook.function),
            .why = bl_leaks_text(check->leaks, *hook.why ? hook.why : "it could not be hooked")};
        bool is_known = false;
        for (size_t i = 0; i < check->unseen_count && !is_known; i++)
            is_known = memcmp(&check->unseen[i], &unseen, sizeof(unseen)) == 0;
        if (is_known)
            continue;
        check->unseen =
            bl_leaks_memory(check->unseen, (check->unseen_count + 1) * sizeof(*check->unseen));
        check->unseen[check->unseen_count++] = unseen;
    }
}

static struct bl_wanted *wanted_of(struct bl_check *check, const struct bl_hook_row *hook)
{
    const char *profile = bl_leaks_text(check->leaks, hook->module);
    const char *class_name = bl_leaks_text(check->leaks, hook->function);
    for (size_t i = 0; i < check->wanted_count; i++)
        if (check->wanted[i].profile == profile && check->wanted[i].class_name == class_name)
            return &check->wanted[i];
    check->wanted =
        bl_leaks_memory(check->wanted, (check->wanted_count + 1) * sizeof(*check->wanted));
    struct bl_wanted *wanted = &check->wanted[check->wanted_count++];
    *wanted = (struct bl_wanted){.profile = profile, .class_name = class_name};
    return wanted;
}

/* A library need not be in each process of a test, but in one. */
static void note_wanted(const struct collect *collect)
{
    struct bl_check *check = collect->check;
    struct bl_hook_row hook;
    char why[640];
    for (uint32_t n = 0; n < bl_hooks_count(collect->reader); n++) {
        if (!bl_hooks_read(collect->reader, n, &hook) || !hook.is_wanted)
            continue;
        struct bl_wanted *wanted = wanted_of(check, &hook);
        if (!bl_hooks_why_missing(collect->reader, &hook, why, sizeof(why)))
            wanted->was_tracked = true;
        else if (!wanted->why)
            wanted->why = bl_leaks_text(check->leaks, why);
    }
}

static int judge(struct collect *collect, const struct bl_target *target,
                 const struct bl_collect_options *options, struct bl_error *error)
{
    struct bl_inspect_options inspect_options = {
        .judges = true, .no_siblings = true, .store = options->store};
    struct bl_inspection inspection;
    inspect_options.model.own_count = options->own_count;
    memcpy(inspect_options.model.own, options->own, sizeof(options->own));
    inspect_options.symbol_path_count = options->symbol_path_count;
    memcpy(inspect_options.symbol_paths, options->symbol_paths, sizeof(options->symbol_paths));
    if (bl_inspect(&inspection, target, &inspect_options, error) < 0)
        return -1;
    bl_symbols_be_quiet(inspection.symbols);
    collect->inspection = &inspection;
    collect->reader = inspection.reader;
    collect->first_own_thread = bl_model_first_own_thread(inspection.reader);
    collect->reaches = inspection.reaches;
    note_classes(collect);
    note_unseen(collect);
    note_wanted(collect);
    place_objects(collect);
    add_findings(collect);
    if (!bl_hooks_has_replaced_malloc(collect->reader))
        add_heap(collect);
    add_growing(collect);
    explain_unknown(collect);
    bl_leaks_process(collect->check->leaks, collect->process)->is_judged = true;
    free(collect->object_of);
    free(collect->accused_in);
    bl_inspection_deinit(&inspection);
    collect->inspection = NULL;
    return 0;
}

struct names {
    char comm[64];
    char exe[4096];
    char script[256];
};

/* Names of the ledger, for a process that may not even be judged. */
static void describe(const struct bl_target *target, struct bl_leaks *leaks,
                     struct bl_leak_process *process, struct names *names)
{
    struct bl_reader *reader = NULL;
    struct bl_error ignored;
    char text[1024] = "";
    size_t length = 0;
    if (bl_reader_create(&reader, target->fd, target->path, BL_READER_SUMMARY, &ignored) < 0)
        return;
    bl_reader_name_text(reader, target->header.exe_name, names->exe, sizeof(names->exe));
    const char *raw = bl_reader_name(reader, target->header.cmdline_name, &length);
    if (raw) {
        char line[1024];
        bl_script_name(names->script, sizeof(names->script), names->exe, raw, length);
        length = length < sizeof(line) ? length : sizeof(line);
        for (size_t i = 0; i < length; i++)
            line[i] = raw[i] ? raw[i] : ' ';
        while (length > 0 && line[length - 1] == ' ')
            length--;
        bl_text_printable(text, sizeof(text), line, length);
    }
    process->command = bl_leaks_text(leaks, text);
    if (bl_reader_name_text(reader, target->header.test_name, text, sizeof(text)) && *text)
        process->test = bl_leaks_text(leaks, text);
    bl_reader_destroy(reader);
}

static void describe_end(const struct bl_header *header, bool still_runs,
                         struct bl_leak_process *process)
{
    process->start_ns = header->start_realtime_ns;
    process->end = BL_PROCESS_END_SIGNAL;
    if (still_runs)
        process->end = BL_PROCESS_END_RUNS_ON;
    else if (header->state == BL_STATE_EXITED && header->exit_kind == BL_EXIT_ABORT)
        process->has_aborted = true;
    else if (header->state == BL_STATE_EXITED)
        process->end = BL_PROCESS_END_EXIT;
    process->status = header->exit_status;
    if (header->end_ns > header->start_ns)
        process->duration_ns = header->end_ns - header->start_ns;
    else if (header->heartbeat_ns > header->start_ns)
        process->duration_ns = header->heartbeat_ns - header->start_ns;
}

void bl_check_collect(struct bl_check *check, const struct bl_target *target,
                      const struct bl_collect_options *options)
{
    struct bl_leak_process process = {.pid = target->header.pid, .run = check->runs};
    struct collect collect = {.check = check};
    struct bl_error error = {""};
    struct names names = {.comm = ""};
    char left_out[512];
    bl_text_printable(names.comm, sizeof(names.comm), target->header.comm,
                      strnlen(target->header.comm, sizeof(target->header.comm)));
    process.comm = bl_leaks_text(check->leaks, names.comm);
    process.command = process.comm;
    process.test = options->test;
    describe(target, check->leaks, &process, &names);
    describe_end(&target->header, options->still_runs, &process);
    const struct bl_check_names all = {names.comm, names.exe, names.script};
    process.is_ignored = bl_check_leaves_out(check, &all, left_out, sizeof(left_out));
    if (process.is_ignored)
        process.why_not = bl_leaks_text(check->leaks, left_out);
    collect.process = bl_leaks_add_process(check->leaks, &process);
    if (!process.is_ignored && *names.exe)
        take_defaults(check, names.exe, names.comm);
    if (process.is_ignored || judge(&collect, target, options, &error) == 0)
        return;
    struct bl_leak_process *failed = bl_leaks_process(check->leaks, collect.process);
    failed->is_unknown = true;
    failed->why_not = bl_leaks_text(check->leaks, error.text);
}
