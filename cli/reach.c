#include "reach.h"

#include "profile.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX 512 /* of a stack; a damaged one ends */

struct place {
    uint64_t address;
    uint32_t index; /* in the reader's live buffers */
};

/* From a held buffer outward. */
struct way {
    uint32_t root;  /* record of REACH_ROOTS; 0: it does not come to one */
    uint32_t depth; /* holders between */
    uint64_t outer; /* site of the nearest holder that was allocated elsewhere; 0: the root */
};

struct bl_reaches {
    const struct bl_reader *reader;
    const struct bl_reach_run *run;
    const struct bl_live *live;
    const uint32_t *numbers;
    size_t live_count;
    uint32_t number_count;
    uint32_t *indexes;                    /* of live buffers by number, + 1; 0: none */
    uint32_t *leaders;                    /* by number; 0: not lost */
    struct bl_reach_followers *followers; /* by number */
    struct place *places;                 /* by address */
    struct way *ways;                     /* by number */
    uint64_t *sites;                      /* by stack; 0: not known yet */
    uint32_t stack_count;
    struct bl_holdings *holdings;
    bool is_known;
    bool is_stale;
};

static const struct bl_reach *valid_reach(const struct bl_reaches *reaches, uint32_t number)
{
    const struct bl_live *live = bl_reach_live(reaches, number);
    const struct bl_reach *reach = live ? bl_reader_reach(reaches->reader, number) : NULL;
    return reach && reach->check == bl_reach_check(live) ? reach : NULL;
}

static bool is_lost(const struct bl_reach *reach)
{
    return reach && (reach->grade == BL_REACH_LEADER || reach->grade == BL_REACH_INDIRECT);
}

#define WALKING UINT32_MAX

/* The lost block that holds this one; 0: none that is known. */
static uint32_t lost_holder(const struct bl_reaches *reaches, uint32_t number)
{
    const struct bl_reach *reach = valid_reach(reaches, number);
    if (!reach || reach->grade == BL_REACH_LEADER || reach->is_root)
        return 0;
    return is_lost(valid_reach(reaches, reach->holder)) ? reach->holder : 0;
}

/* Follows holders to the one that leads, and notes it for all on the way. A holder that has ended
 * since leaves what it held to lead; in a cycle, which no run writes, somebody has to. */
static void find_leader(struct bl_reaches *reaches, uint32_t number)
{
    uint32_t at = number;
    while (reaches->leaders[at] == 0) {
        uint32_t holder = lost_holder(reaches, at);
        reaches->leaders[at] = WALKING;
        if (!holder)
            break;
        at = holder;
    }
    uint32_t leader = reaches->leaders[at] == WALKING ? at : reaches->leaders[at];
    for (at = number; at && reaches->leaders[at] == WALKING; at = lost_holder(reaches, at))
        reaches->leaders[at] = leader;
}

static void find_leaders(struct bl_reaches *reaches)
{
    for (size_t i = 0; i < reaches->live_count; i++) {
        uint32_t number = reaches->numbers[i];
        if (is_lost(valid_reach(reaches, number)) && !reaches->leaders[number])
            find_leader(reaches, number);
    }
    for (size_t i = 0; i < reaches->live_count; i++) {
        uint32_t leader = reaches->leaders[reaches->numbers[i]];
        if (leader == 0 || leader == reaches->numbers[i])
            continue;
        reaches->followers[leader].count++;
        reaches->followers[leader].bytes += reaches->live[i].word >> BL_LIVE_SIZE_SHIFT;
    }
}

/* ---- ways ---- */

static bool is_runtime(const struct bl_reader *reader, const struct bl_module *module)
{
    char path[4096];
    if (!module || !bl_reader_name_text(reader, module->path_name, path, sizeof(path)))
        return false;
    const char *slash = strrchr(path, '/');
    return module->flags & BL_MODULE_SHIM ||
           bl_profile_matches(BL_RUNTIME_MODULES, slash ? slash + 1 : path);
}

/* The code that allocated, whoever called it: the innermost frame of no runtime library. */
static uint64_t find_site(const struct bl_reader *reader, uint32_t stack)
{
    const struct bl_frame *site = NULL;
    uint32_t number = stack;
    for (int depth = 0; number && depth < FRAMES_MAX; depth++) {
        const struct bl_frame *frame = bl_reader_frame(reader, number);
        if (!frame)
            break;
        uint32_t module = frame->module & BL_FRAME_MODULE_MASK;
        bool is_found = !is_runtime(reader, bl_reader_module(reader, module));
        if (!site || is_found)
            site = frame;
        if (is_found)
            break;
        number = frame->parent;
    }
    if (!site)
        return 1;
    uint64_t module = site->module & BL_FRAME_MODULE_MASK;
    return (site->offset ^ module << 48 ^ module >> 16) * 0x9e3779b97f4a7c15u | 1u;
}

static uint64_t site_of(struct bl_reaches *reaches, uint32_t number)
{
    const struct bl_live *live = bl_reach_live(reaches, number);
    if (!live || live->stack >= reaches->stack_count)
        return 1;
    if (reaches->sites[live->stack] == 0)
        reaches->sites[live->stack] = find_site(reaches->reader, live->stack);
    return reaches->sites[live->stack];
}

static bool is_held(const struct bl_reach *reach)
{
    return reach && (reach->grade == BL_REACH_EXACT || reach->grade == BL_REACH_INTERIOR);
}

/* From the way of its holder, which is known; 0 and 0 in a cycle, which no run writes. */
static struct way way_from(struct bl_reaches *reaches, uint32_t number)
{
    const struct bl_reach *reach = valid_reach(reaches, number);
    if (!is_held(reach))
        return (struct way){0};
    if (reach->is_root)
        return (struct way){
            .root = bl_reader_reach_root(reaches->reader, reach->holder) ? reach->holder : 0};
    if (!bl_reach_live(reaches, reach->holder))
        return (struct way){0};
    struct way way = reaches->ways[reach->holder];
    uint64_t site = site_of(reaches, reach->holder);
    if (site != site_of(reaches, number))
        way.outer = site;
    way.depth++;
    return way;
}

/* Lists are long, and of most only one end is known: each holder is asked once. */
static int find_ways(struct bl_reaches *reaches)
{
    uint32_t *chain = calloc(reaches->live_count + 1, sizeof(*chain));
    bool *is_seen = calloc(reaches->number_count + 1u, sizeof(*is_seen));
    for (size_t i = 0; chain && is_seen && i < reaches->live_count; i++) {
        size_t length = 0;
        uint32_t at = reaches->numbers[i];
        while (!is_seen[at]) {
            const struct bl_reach *reach = valid_reach(reaches, at);
            is_seen[at] = true;
            chain[length++] = at;
            if (!is_held(reach) || reach->is_root || !bl_reach_live(reaches, reach->holder))
                break;
            at = reach->holder;
        }
        while (length-- > 0)
            reaches->ways[chain[length]] = way_from(reaches, chain[length]);
    }
    int outcome = chain && is_seen ? 0 : -1;
    free(chain);
    free(is_seen);
    return outcome;
}

static int compare_places(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;
    if (a->address != b->address)
        return a->address < b->address ? -1 : 1;
    return 0;
}

static int index_live(struct bl_reaches *reaches)
{
    reaches->live = bl_reader_live(reaches->reader, &reaches->live_count);
    reaches->numbers = bl_reader_live_numbers(reaches->reader);
    reaches->number_count = bl_reader_count(reaches->reader, BL_SECTION_LIVE);
    size_t room = reaches->number_count + 1u;
    reaches->indexes = calloc(room, sizeof(*reaches->indexes));
    reaches->leaders = calloc(room, sizeof(*reaches->leaders));
    reaches->followers = calloc(room, sizeof(*reaches->followers));
    reaches->places = calloc(reaches->live_count + 1, sizeof(*reaches->places));
    reaches->stack_count = bl_reader_count(reaches->reader, BL_SECTION_FRAMES);
    reaches->ways = calloc(room, sizeof(*reaches->ways));
    reaches->sites = calloc(reaches->stack_count + 1u, sizeof(*reaches->sites));
    reaches->holdings = bl_holdings_create();
    if (!reaches->indexes || !reaches->leaders || !reaches->followers || !reaches->places ||
        !reaches->ways || !reaches->sites || !reaches->holdings)
        return -1;
    for (size_t i = 0; i < reaches->live_count; i++) {
        reaches->indexes[reaches->numbers[i]] = (uint32_t)i + 1;
        reaches->places[i] = (struct place){reaches->live[i].address, (uint32_t)i};
    }
    qsort(reaches->places, reaches->live_count, sizeof(*reaches->places), compare_places);
    return 0;
}

/* Pointers change from one moment to the next: a run says nothing of later pictures. */
static bool is_of_another_picture(const struct bl_reaches *reaches)
{
    const struct bl_header *header = bl_reader_header(reaches->reader);
    const struct bl_reach_run *run = reaches->run;
    if (header->snapshot_number > 0)
        return run->stopped_ns < header->snapshot_ns;
    return !(run->flags & BL_REACH_AT_EXIT);
}

/* Something looks lost, and a thread may have it in a register that was not seen. */
static bool is_in_doubt(const struct bl_reach_run *run)
{
    return run->threads_degraded > 0 && run->leaders + run->indirect > 0;
}

int bl_reaches_create(struct bl_reaches **ret_reaches, const struct bl_reader *reader,
                      struct bl_error *error)
{
    struct bl_reaches *reaches = calloc(1, sizeof(*reaches));
    if (!reaches)
        return bl_error_set(error, "not enough memory for what holds the buffers");
    reaches->reader = reader;
    reaches->run = bl_reader_reach_run(reader);
    bool is_whole = reaches->run && reaches->run->outcome == BL_REACH_DONE &&
                    !(reaches->run->flags & BL_REACH_INCOMPLETE) && !is_in_doubt(reaches->run);
    reaches->is_stale = is_whole && is_of_another_picture(reaches);
    reaches->is_known = is_whole && !reaches->is_stale;
    if (reaches->is_known && (index_live(reaches) < 0 || find_ways(reaches) < 0)) {
        bl_reaches_destroy(reaches);
        return bl_error_set(error, "not enough memory for what holds the buffers");
    }
    if (reaches->is_known)
        find_leaders(reaches);
    *ret_reaches = reaches;
    return 0;
}

void bl_reaches_destroy(struct bl_reaches *reaches)
{
    if (!reaches)
        return;
    free(reaches->indexes);
    free(reaches->leaders);
    free(reaches->followers);
    free(reaches->places);
    free(reaches->ways);
    free(reaches->sites);
    bl_holdings_destroy(reaches->holdings);
    free(reaches);
}

bool bl_reaches_known(const struct bl_reaches *reaches, char *why, size_t size)
{
    const struct bl_reach_run *run = reaches->run;
    if (!why)
        return reaches->is_known;
    char reason[256];
    *why = '\0';
    if (reaches->is_known || !run || run->outcome == BL_REACH_NOT_RUN)
        return reaches->is_known;
    bl_reader_name_text(reaches->reader, run->why_name, reason, sizeof(reason));
    if (run->outcome == BL_REACH_RUNNING)
        snprintf(why, size, "it was not found out to the end");
    else if (reaches->is_stale)
        snprintf(why, size, "the answer of an earlier dump is not that of this moment");
    else if (run->outcome == BL_REACH_DONE && !(run->flags & BL_REACH_INCOMPLETE))
        snprintf(why, size,
                 "%u thread%s could not be stopped, and may hold in registers what looks lost",
                 run->threads_degraded, run->threads_degraded == 1 ? "" : "s");
    else if (run->outcome == BL_REACH_DONE)
        snprintf(why, size, "some blocks are not recorded, and what they hold is not known");
    else
        snprintf(why, size, "%s", *reason ? reason : "it could not be found out");
    return false;
}

bool bl_reaches_stale(const struct bl_reaches *reaches)
{
    return reaches->is_stale;
}

const struct bl_reach_run *bl_reaches_run(const struct bl_reaches *reaches)
{
    return reaches->run && reaches->run->outcome != BL_REACH_NOT_RUN ? reaches->run : NULL;
}

const struct bl_live *bl_reach_live(const struct bl_reaches *reaches, uint32_t live_number)
{
    if (!reaches->is_known || live_number >= reaches->number_count ||
        reaches->indexes[live_number] == 0)
        return NULL;
    return &reaches->live[reaches->indexes[live_number] - 1];
}

struct bl_reach_of bl_reach_of(const struct bl_reaches *reaches, uint32_t live_number)
{
    struct bl_reach_of of = {.state = BL_REACH_UNKNOWN};
    const struct bl_reach *reach = valid_reach(reaches, live_number);
    if (!reach)
        return of;
    if (is_lost(reach)) {
        of.state = BL_REACH_LOST;
        of.leader = reaches->leaders[live_number];
    } else if (reach->grade == BL_REACH_EXACT || reach->grade == BL_REACH_INTERIOR) {
        of.state = BL_REACH_HELD;
        of.interior_only = reach->grade == BL_REACH_INTERIOR;
    }
    return of;
}

uint32_t bl_reach_find(const struct bl_reaches *reaches, uint64_t address)
{
    size_t low = 0;
    size_t high = reaches->is_known ? reaches->live_count : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (reaches->places[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return 0;
    const struct bl_live *live = &reaches->live[reaches->places[low - 1].index];
    uint64_t size = live->word >> BL_LIVE_SIZE_SHIFT;
    if (address - live->address >= (size ? size : 1))
        return 0;
    return reaches->numbers[reaches->places[low - 1].index];
}

static void count_holding(const struct bl_reaches *reaches, uint32_t number, uint64_t bytes,
                          bool interior_only, struct bl_reach_sums *sums)
{
    const struct way *way = &reaches->ways[number];
    const struct bl_holding one = {.root = way->root,
                                   .outer = way->outer,
                                   .count = 1,
                                   .bytes = bytes,
                                   .example = number,
                                   .example_depth = way->depth,
                                   .is_example_interior = interior_only};
    if (way->root)
        bl_holdings_add(reaches->holdings, &sums->holdings, &one);
}

void bl_reach_count(const struct bl_reaches *reaches, uint32_t live_number, uint64_t bytes,
                    struct bl_reach_sums *sums)
{
    struct bl_reach_of of = {.state = BL_REACH_UNKNOWN};
    if (reaches)
        of = bl_reach_of(reaches, live_number);
    if (of.state == BL_REACH_UNKNOWN) {
        sums->unknown++;
    } else if (of.state == BL_REACH_HELD) {
        sums->held++;
        sums->interior += of.interior_only;
        count_holding(reaches, live_number, bytes, of.interior_only, sums);
    } else {
        sums->lost++;
        sums->lost_bytes += bytes;
        sums->indirect += of.leader != live_number;
        if (!sums->lost_example)
            sums->lost_example = live_number;
    }
}

bool bl_reach_count_object(const struct bl_object *object, uint64_t bytes,
                           struct bl_reach_sums *sums)
{
    if (object->flags & BL_OBJECT_LOST) {
        sums->lost++;
        sums->lost_bytes += bytes;
        sums->collected++;
    } else if (object->flags & BL_OBJECT_REACHED) {
        sums->held++;
        sums->reachable++;
    }
    return object->flags & (BL_OBJECT_LOST | BL_OBJECT_REACHED);
}

void bl_reach_add(const struct bl_reaches *reaches, struct bl_reach_sums *sums,
                  const struct bl_reach_sums *more)
{
    if (reaches && more->holdings)
        bl_holdings_merge(reaches->holdings, &sums->holdings, more->holdings);
    if (!sums->lost_example)
        sums->lost_example = more->lost_example;
    sums->lost += more->lost;
    sums->lost_bytes += more->lost_bytes;
    sums->indirect += more->indirect;
    sums->held += more->held;
    sums->interior += more->interior;
    sums->unknown += more->unknown;
    sums->collected += more->collected;
    sums->reachable += more->reachable;
}

const struct bl_reach_root *bl_reach_root_of(const struct bl_reaches *reaches, uint32_t number)
{
    return bl_reader_reach_root(reaches->reader, number);
}

const struct bl_holding *bl_reach_holdings(const struct bl_reaches *reaches,
                                           const struct bl_reach_sums *sums)
{
    return reaches ? bl_holdings_first(reaches->holdings, sums->holdings) : NULL;
}

enum bl_reach_state bl_reach_state_of(const struct bl_reach_sums *sums)
{
    if (sums->lost > 0)
        return BL_REACH_LOST;
    return sums->held > 0 && sums->unknown == 0 ? BL_REACH_HELD : BL_REACH_UNKNOWN;
}

struct bl_reach_followers bl_reach_followers(const struct bl_reaches *reaches, uint32_t leader)
{
    if (!reaches->is_known || leader >= reaches->number_count)
        return (struct bl_reach_followers){0};
    return reaches->followers[leader];
}

/* Fills in the holder of a buffer. Returns its number, 0 when it is a root; false: nothing does. */
static bool step_from(const struct bl_reaches *reaches, uint32_t number,
                      struct bl_reach_step *ret_step)
{
    const struct bl_reach *reach = valid_reach(reaches, number);
    if (!reach || reach->grade == BL_REACH_NONE || reach->grade == BL_REACH_LEADER)
        return false;
    *ret_step = (struct bl_reach_step){.slot = reach->slot, .inside = reach->inside};
    if (reach->is_root) {
        ret_step->root = bl_reader_reach_root(reaches->reader, reach->holder);
        return ret_step->root != NULL;
    }
    ret_step->block = reach->holder;
    return bl_reach_live(reaches, reach->holder) != NULL;
}

size_t bl_reach_path(const struct bl_reaches *reaches, uint32_t live_number,
                     struct bl_reach_step *out, size_t max)
{
    struct bl_reach_step step;
    size_t length = 0;
    uint32_t number = live_number;
    while (length < reaches->number_count && step_from(reaches, number, &step)) {
        length++;
        number = step.block;
        if (step.root)
            break;
    }
    size_t first = length > max ? max / 2 : length;
    size_t last = length > max ? max - first : 0;
    number = live_number;
    for (size_t i = 0; i < length && step_from(reaches, number, &step); i++) {
        if (i < first)
            out[i] = step;
        else if (i >= length - last)
            out[first + i - (length - last)] = step;
        number = step.block;
    }
    return length;
}

const char *bl_reach_state_name(enum bl_reach_state state)
{
    static const char *const names[] = {
        [BL_REACH_UNKNOWN] = "unknown", [BL_REACH_HELD] = "held", [BL_REACH_LOST] = "lost"};
    return names[state];
}

const char *bl_reach_kind_name(uint32_t kind)
{
    static const char *const names[] = {
        [BL_ROOT_UNKNOWN] = "unknown",   [BL_ROOT_GLOBAL] = "global",
        [BL_ROOT_STACK] = "stack",       [BL_ROOT_REGISTER] = "register",
        [BL_ROOT_TLS] = "thread-local",  [BL_ROOT_REGION] = "mapped region",
        [BL_ROOT_LOADER] = "the loader", [BL_ROOT_MOVING] = "being reallocated",
        [BL_ROOT_EARLY] = "early block", [BL_ROOT_KERNEL] = "the kernel",
    };
    return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "unknown";
}
