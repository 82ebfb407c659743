#include "sites.h"
#include "arena.h"
#include "clock.h"
#include "ledger.h"
#include "losses.h"
#include "profile.h"
#include "samples.h"
#include "sigsafe.h"

#include <string.h>
#include <sys/mman.h>

#define SITES_MAX          16384u
#define SLOTS              (2 * SITES_MAX)
#define NO_SITE            0xffffu /* the table of sites was full */
#define FRAMES_PER_CHUNK   (1ul << 16)
#define CHUNKS             (1u << 16)
#define MODULES_MAX        8192u
#define RECORDS_PER_SECOND 262144ull
#define RECORDS_MIN        4096u
#define ROUND_TURNS        60u
#define RESOLVE_COST       4u /* records that finding a stack's site counts as */
#define FOLLOW_PER_ROUND   32u
#define FOLLOWED_FOR_HIGHS (BL_SITES_FOLLOWED / 4)
#define HIGHS_MIN          12.0f
#define HOLD_ROUNDS        64u
#define WALK_MAX           1024u

/* What one look over the live tables finds of a site. */
struct tally {
    uint64_t bytes;
    uint64_t count;
    uint64_t births;
};

struct site {
    uint64_t offset; /* with module and class: the key */
    uint32_t module;
    uint32_t class_number;
    uint32_t stack;    /* the first that was seen */
    uint32_t frame;    /* the site in it */
    struct tally next; /* of the round under way */
    uint64_t bytes;    /* of the last whole round */
    uint64_t count;    /* the same */
    uint64_t peak_bytes;
    uint64_t births;
    float speed;     /* bytes per round, smoothed over 16 */
    float highs;     /* new peaks, forgotten over 4,096 rounds */
    uint32_t series; /* 0 = not followed */
    uint32_t rounds; /* followed for */
    bool for_highs;
};

/* In a mapping that is empty in a forked child. */
static struct memory {
    uint32_t used; /* sites[1 .. used] */
    uint16_t slots[SLOTS];
    struct site sites[SITES_MAX];
} * memory;

/* Site of a stack, by frame number; 0 = not looked for yet. */
static uint16_t *chunks[CHUNKS];

enum module_kind { MODULE_UNKNOWN, MODULE_PLAIN, MODULE_SKIPPED };
static uint8_t module_kinds[MODULES_MAX];

static struct {
    bool under_way;
    enum bl_section section;
    uint32_t record;
    uint64_t began_ns;
    uint64_t before_ns; /* when the round before began */
} look;

static uint32_t followed;
static uint32_t followed_for_highs;
static uint32_t empty; /* sites that a sweep would free */

/* ---- memory ---- */

static void *map_wiped(size_t size)
{
    void *pages = bl_arena_map(size);
    if (pages && bl_sys3(SYS_madvise, (long)pages, (long)size, MADV_WIPEONFORK) < 0) {
        bl_arena_unmap(pages, size); /* before Linux 4.14: no sites */
        pages = NULL;
    }
    return pages;
}

static uint16_t *site_slot(uint32_t stack)
{
    uint16_t **chunk = &chunks[stack / FRAMES_PER_CHUNK];
    if (BL_UNLIKELY(!*chunk))
        *chunk = map_wiped(FRAMES_PER_CHUNK * sizeof **chunk);
    return *chunk ? &(*chunk)[stack % FRAMES_PER_CHUNK] : NULL;
}

/* ---- from stack to site ---- */

/* NULL for a number that no frame has: the file may have been written to by others. */
static const struct bl_frame *frame_at(uint32_t n)
{
    struct bl_chunk_position p = bl_ledger_locate(BL_SECTION_FRAMES, n);
    if (p.chunk >= BL_CHUNKS_MAX || !bl_load_acquire(&bl_chunks[BL_SECTION_FRAMES][p.chunk]))
        return NULL;
    return bl_ledger_at(BL_SECTION_FRAMES, n);
}

static const char *text_of(uint32_t name)
{
    if (!name || name >= bl_header->published[BL_SECTION_NAMES])
        return "";
    const struct bl_name *n = bl_ledger_at(BL_SECTION_NAMES, name);
    return n->text;
}

static const char *file_name_of(uint32_t module)
{
    const struct bl_module *m = bl_ledger_at(BL_SECTION_MODULES, module);
    const char *path = text_of(m->path_name);
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_runtime(uint32_t module)
{
    if (module_kinds[module] == MODULE_UNKNOWN) {
        const struct bl_module *m = bl_ledger_at(BL_SECTION_MODULES, module);
        bool skipped = m->flags & (BL_MODULE_SHIM | BL_MODULE_VDSO) ||
                       bl_profile_matches(BL_RUNTIME_MODULES, file_name_of(module));
        module_kinds[module] = skipped ? MODULE_SKIPPED : MODULE_PLAIN;
    }
    return module_kinds[module] == MODULE_SKIPPED;
}

static bool is_callers(uint32_t module, const char *own_modules)
{
    if (module == 0 || module >= MODULES_MAX || module >= bl_header->published[BL_SECTION_MODULES])
        return true;
    return !is_runtime(module) &&
           !(*own_modules && bl_profile_matches(own_modules, file_name_of(module)));
}

/* Of a stack of Java methods without the caller's own code, as reports have it: of counted buffers
 * the innermost frame of another package than the first, of blocks the innermost that is not the
 * platform's. 0: there is none. */
static uint32_t framework_frame(uint32_t stack, bool is_counted)
{
    const struct bl_frame *f = frame_at(stack);
    uint32_t package = f ? f->module & BL_FRAME_MODULE_MASK : 0;
    uint32_t n = stack;
    for (uint32_t depth = 0; n && depth < WALK_MAX; depth++) {
        f = frame_at(n);
        if (!f || f->parent >= n || !(f->module & BL_FRAME_MANAGED))
            break;
        uint32_t module = f->module & BL_FRAME_MODULE_MASK;
        if (is_counted ? module != package
                       : !bl_profile_matches(BL_JAVA_PACKAGES, file_name_of(module)))
            return n;
        n = f->parent;
    }
    return 0;
}

/* The innermost frame of the caller's own code, else what stands for it. */
static uint32_t site_frame(uint32_t stack, uint32_t class_number)
{
    const struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, class_number);
    const char *own_modules = text_of(class->own_modules);
    uint32_t n = stack;
    for (uint32_t depth = 0; n && depth < WALK_MAX; depth++) {
        const struct bl_frame *f = frame_at(n);
        if (!f || f->parent >= n)
            break;
        if (is_callers(f->module & BL_FRAME_MODULE_MASK, own_modules))
            return n;
        n = f->parent;
    }
    n = framework_frame(stack, class->flags & BL_CLASS_REFCOUNTED);
    return n ? n : stack;
}

static uint32_t hash_of(const struct site *key)
{
    uint64_t h = (key->offset ^ (uint64_t)key->module << 40 ^ (uint64_t)key->class_number << 56) *
                 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 40);
}

/* The number of the site with this key, made when it is new; NO_SITE: no room. */
static uint16_t find_site(const struct site *key)
{
    uint32_t at = hash_of(key);
    uint16_t n;
    for (; (n = memory->slots[at % SLOTS]) != 0; at++) {
        const struct site *s = &memory->sites[n];
        if (s->offset == key->offset && s->module == key->module &&
            s->class_number == key->class_number)
            return n;
    }
    if (memory->used + 1 >= SITES_MAX) {
        bl_losses_add(BL_LOSS_sites_dropped, 1);
        return NO_SITE;
    }
    n = (uint16_t)++memory->used;
    memory->sites[n] = *key;
    memory->slots[at % SLOTS] = n;
    return n;
}

BL_NOINLINE static uint16_t resolve(uint32_t stack, uint32_t class_number)
{
    uint32_t n = site_frame(stack, class_number);
    const struct bl_frame *f = frame_at(n);
    struct site key = {.offset = f ? f->offset : 0,
                       .module = f ? f->module & BL_FRAME_MODULE_MASK : 0,
                       .class_number = class_number,
                       .stack = stack,
                       .frame = n};
    return find_site(&key);
}

/* ---- a look over the live tables ---- */

/* Adds one live buffer to its site. Returns what it cost, in records. */
BL_INLINE uint32_t count_in(uint64_t word, uint32_t stack, uint64_t birth_ns)
{
    uint32_t class_number = (uint32_t)(word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK);
    uint16_t *slot = site_slot(stack);
    uint32_t cost = 1;
    if (BL_UNLIKELY(!slot || class_number >= BL_CLASSES_MAX))
        return cost;
    if (BL_UNLIKELY(*slot == 0)) {
        *slot = resolve(stack, class_number);
        cost = RESOLVE_COST;
    }
    uint16_t n = *slot;
    if (n == NO_SITE)
        return cost;
    if (BL_UNLIKELY(memory->sites[n].class_number != class_number))
        n = resolve(stack, class_number); /* two classes allocate at one place */
    if (n == NO_SITE)
        return cost;
    struct tally *t = &memory->sites[n].next;
    t->bytes += word >> BL_LIVE_SIZE_SHIFT;
    t->count++;
    t->births += birth_ns >= look.before_ns && birth_ns < look.began_ns;
    return cost;
}

/* Both kinds of records begin alike. */
static_assert(offsetof(struct bl_object, birth_ns) == offsetof(struct bl_live, birth_ns) &&
                  offsetof(struct bl_object, stack) == offsetof(struct bl_live, stack),
              "a live buffer's record begins the same in both tables");

static uint32_t look_at(const unsigned char *at)
{
    const struct bl_live *r = (const void *)at;
    __builtin_prefetch(at + 512, 0, 0);
    uint64_t word = bl_load_acquire(&r->word);
    if (!(word & BL_LIVE_BIT) || word & BL_LIVE_IGNORED)
        return 1;
    uint32_t stack = bl_load_relaxed(&r->stack);
    uint64_t birth_ns = bl_load_relaxed(&r->birth_ns);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (bl_load_relaxed(&r->word) != word)
        return 1; /* it has just ended */
    if (look.section == BL_SECTION_OBJECTS &&
        ((const struct bl_object *)(const void *)at)->flags & BL_OBJECT_GHOST)
        return 1;
    return count_in(word, stack, birth_ns);
}

static uint32_t chunk_records(enum bl_section s, uint32_t chunk)
{
    const struct bl_geometry g = bl_geometry[s];
    uint32_t log2 = chunk == 0 ? g.first : g.first + chunk - 1u;
    return 1u << (log2 < g.last ? log2 : g.last);
}

#define DEADLINE_EVERY 256u /* records */

/* Looks at records of one section until the budget is used up, or the time: where memory is short
 * each page may be one to wait for, and the counters' next turn is not to be late. True: the
 * section is through. */
static bool look_through(uint64_t *budget, uint64_t deadline_ns)
{
    uint64_t published = bl_load_acquire(&bl_header->published[look.section]);
    uint32_t bytes = bl_geometry[look.section].record_bytes;
    while (look.record<published && * budget> 0) {
        struct bl_chunk_position p = bl_ledger_locate(look.section, look.record);
        const unsigned char *chunk =
            p.chunk < BL_CHUNKS_MAX ? bl_load_acquire(&bl_chunks[look.section][p.chunk]) : NULL;
        if (!chunk)
            return true;
        uint32_t end = chunk_records(look.section, p.chunk);
        for (; p.record < end && look.record<published && * budget> 0; p.record++) {
            uint32_t cost = look_at(chunk + (size_t)p.record * bytes);
            *budget -= cost < *budget ? cost : *budget;
            look.record++;
            if (BL_UNLIKELY(look.record % DEADLINE_EVERY == 0) &&
                bl_clock_read(CLOCK_MONOTONIC) > deadline_ns)
                *budget = 0;
        }
    }
    return look.record >= published;
}

static uint64_t turn_budget(uint64_t interval_ns)
{
    uint64_t all = bl_load_relaxed(&bl_header->published[BL_SECTION_LIVE]) +
                   bl_load_relaxed(&bl_header->published[BL_SECTION_OBJECTS]);
    uint64_t budget = interval_ns / 1000 * RECORDS_PER_SECOND / 1000000;
    if (budget > 8 * RECORDS_PER_SECOND)
        budget = 8 * RECORDS_PER_SECOND;
    if (budget < RECORDS_MIN)
        budget = RECORDS_MIN;
    return budget > all / ROUND_TURNS ? budget : all / ROUND_TURNS;
}

/* ---- whom to follow ---- */

static float worth(const struct site *s)
{
    return (float)s->bytes + (s->speed > 0 ? 64.0f * s->speed : 0.0f);
}

static float worth_for(const struct site *s, bool for_highs)
{
    if (!for_highs)
        return worth(s);
    return s->highs >= HIGHS_MIN ? s->highs : 0.0f;
}

static struct site *best_stranger(bool for_highs)
{
    struct site *best = NULL;
    for (uint32_t n = 1; n <= memory->used; n++) {
        struct site *s = &memory->sites[n];
        if (!s->series && worth_for(s, for_highs) > (best ? worth_for(best, for_highs) : 0.0f))
            best = s;
    }
    return best;
}

static struct site *least_followed(bool for_highs)
{
    struct site *least = NULL;
    for (uint32_t n = 1; n <= memory->used; n++) {
        struct site *s = &memory->sites[n];
        if (s->series && s->for_highs == for_highs && s->rounds >= HOLD_ROUNDS &&
            (!least || worth_for(s, for_highs) < worth_for(least, for_highs)))
            least = s;
    }
    return least;
}

static void add_sample(const struct site *s, uint64_t now_ns, uint64_t interval_ns)
{
    struct bl_reading r = {.bytes = s->bytes, .total = s->births, .count = s->count};
    bl_samples_set_worth(s->series, worth(s));
    bl_samples_add(s->series, &r, now_ns, interval_ns);
}

/* Begins with what the round that has just ended found. */
static bool follow(struct site *s, bool for_highs, uint64_t now_ns, uint64_t interval_ns)
{
    s->series = bl_samples_open(BL_SERIES_SITE, s->class_number, s->stack, s->frame, now_ns);
    if (!s->series)
        return false;
    s->for_highs = for_highs;
    s->rounds = 0;
    s->births = 0;
    followed++;
    followed_for_highs += for_highs;
    add_sample(s, now_ns, interval_ns);
    return true;
}

static void leave(struct site *s, uint64_t now_ns)
{
    bl_samples_close(s->series, now_ns);
    followed--;
    followed_for_highs -= s->for_highs;
    s->series = 0;
}

static bool has_place(bool for_highs)
{
    uint32_t others = followed - followed_for_highs;
    return for_highs ? followed_for_highs < FOLLOWED_FOR_HIGHS
                     : others < BL_SITES_FOLLOWED - FOLLOWED_FOR_HIGHS;
}

static void choose(bool for_highs, uint64_t now_ns, uint64_t interval_ns)
{
    for (uint32_t i = 0; i < FOLLOW_PER_ROUND; i++) {
        struct site *best = best_stranger(for_highs);
        if (!best)
            return;
        if (!has_place(for_highs)) {
            struct site *least = least_followed(for_highs);
            if (!least || worth_for(best, for_highs) <= 2 * worth_for(least, for_highs))
                return;
            leave(least, now_ns);
        }
        if (!follow(best, for_highs, now_ns, interval_ns))
            return;
    }
}

/* ---- the end of a round ---- */

static void settle(struct site *s, uint64_t now_ns, uint64_t interval_ns)
{
    float change = (float)s->next.bytes - (float)s->bytes;
    s->speed += (change - s->speed) / 16.0f;
    s->highs -= s->highs / 4096.0f;
    if (s->next.bytes > s->peak_bytes) {
        s->highs += s->peak_bytes > 0;
        s->peak_bytes = s->next.bytes;
    }
    s->bytes = s->next.bytes;
    s->count = s->next.count;
    s->births += s->next.births;
    s->rounds += s->rounds < UINT32_MAX;
    if (s->series)
        add_sample(s, now_ns, interval_ns);
    empty += s->bytes == 0 && !s->series;
    s->next = (struct tally){0};
}

/* The table is nearly full: what has nothing alive and is not followed goes. Stacks find their
 * sites anew. */
static void sweep(void)
{
    uint32_t kept = 0;
    memset(memory->slots, 0, sizeof memory->slots);
    for (uint32_t n = 1; n <= memory->used; n++) {
        struct site s = memory->sites[n];
        if (s.bytes == 0 && !s.series)
            continue;
        memory->sites[++kept] = s;
        uint32_t at = hash_of(&s);
        while (memory->slots[at % SLOTS])
            at++;
        memory->slots[at % SLOTS] = (uint16_t)kept;
    }
    memory->used = kept;
    empty = 0;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        if (chunks[i])
            bl_sys3(SYS_madvise, (long)chunks[i], FRAMES_PER_CHUNK * sizeof *chunks[i],
                    MADV_DONTNEED);
    }
}

static void end_round(uint64_t now_ns, uint64_t interval_ns)
{
    empty = 0;
    for (uint32_t n = 1; n <= memory->used; n++)
        settle(&memory->sites[n], now_ns, interval_ns);
    choose(false, now_ns, interval_ns);
    choose(true, now_ns, interval_ns);
    if (memory->used > SITES_MAX / 8 * 7 && empty > SITES_MAX / 16)
        sweep();
    bl_store_relaxed(&bl_header->round_ns, now_ns - look.began_ns);
    look.before_ns = look.began_ns;
    look.under_way = false;
}

void bl_sites_turn(uint64_t now_ns, uint64_t interval_ns)
{
    uint64_t budget = turn_budget(interval_ns);
    uint64_t deadline_ns = bl_clock_read(CLOCK_MONOTONIC) + interval_ns / 2;
    if (!memory)
        memory = map_wiped(sizeof *memory);
    if (!memory)
        return;
    if (!look.under_way) {
        look.under_way = true;
        look.section = BL_SECTION_LIVE;
        look.record = 1;
        look.began_ns = now_ns;
    }
    if (look.section == BL_SECTION_LIVE && look_through(&budget, deadline_ns)) {
        look.section = BL_SECTION_OBJECTS;
        look.record = 1;
    }
    if (look.section == BL_SECTION_OBJECTS && look_through(&budget, deadline_ns))
        end_round(now_ns, interval_ns);
}

void bl_sites_see_stacks(void (*see)(uint32_t stack))
{
    for (uint32_t n = 1; memory && n <= memory->used; n++)
        see(memory->sites[n].stack);
}

void bl_sites_forget(uint32_t frame)
{
    uint16_t *chunk = chunks[frame / FRAMES_PER_CHUNK];
    if (chunk)
        chunk[frame % FRAMES_PER_CHUNK] = 0;
}

void bl_sites_reset(void)
{
    memset(&look, 0, sizeof look);
    memset(module_kinds, 0, sizeof module_kinds);
    followed = 0;
    followed_for_highs = 0;
}
