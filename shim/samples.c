#include "samples.h"
#include "ledger.h"
#include "losses.h"
#include "sample_code.h"

#include <string.h>

/* Blocks of one series at one level, oldest to newest by next_of. What says where to write is kept
 * here as well: the file may be changed by others. */
struct ring {
    uint32_t oldest; /* 0 = none */
    uint32_t newest;
    uint32_t blocks;
    uint32_t used;  /* bytes of code in the newest */
    uint32_t count; /* samples there */
    uint64_t base_ns;
    uint64_t unit_ns;
    struct bl_coarse_sample last[2]; /* the latest there, and the one before */
};

/* What has been seen since the latest sample of a coarse level. */
struct span {
    uint64_t min_bytes;
    uint64_t max_bytes;
    uint32_t parts;
};

struct series {
    struct ring rings[BL_LEVELS];
    struct span spans[BL_LEVELS]; /* that of level 0 is not used */
    uint64_t until_ns;
    float worth;   /* of a site, among sites */
    bool followed; /* its record is in use and not given up */
    bool is_site;
};

static const uint64_t turns_max[BL_LEVELS] = BL_SERIES_TURNS;
static const uint16_t blocks_max[BL_LEVELS] = BL_SERIES_BLOCKS;
static const uint16_t blocks_kept[BL_LEVELS] = BL_SITE_BLOCKS_KEPT;

static struct series all[BL_SERIES_MAX];
static uint32_t next_of[BL_SAMPLE_BLOCKS_MAX];
static uint32_t series_used = 1; /* neither series nor block 0 is ever used */
static uint32_t blocks_used = 1;
static uint32_t free_block;
static uint64_t serial;

BL_INLINE struct bl_series *record_of(uint32_t series)
{
    return bl_ledger_at(BL_SECTION_SERIES, series);
}

BL_INLINE struct bl_samples *block_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_SAMPLES, n);
}

/* ---- blocks ---- */

static uint32_t take_oldest(struct ring *ring)
{
    uint32_t n = ring->oldest;
    if (!n)
        return 0;
    ring->oldest = next_of[n];
    ring->blocks--;
    if (!ring->oldest)
        ring->newest = 0;
    bl_store_release(&block_at(n)->head, 0);
    return n;
}

/* Of the sites that have more at this level than each keeps, the least. */
static struct ring *least_site(uint32_t level)
{
    const struct series *least = NULL;
    for (uint32_t s = 1; s < series_used; s++) {
        if (all[s].is_site && all[s].rings[level].blocks > blocks_kept[level] &&
            (!least || all[s].worth < least->worth))
            least = &all[s];
    }
    return least ? (struct ring *)&least->rings[level] : NULL;
}

static struct ring *given_up(void)
{
    for (uint32_t s = 1; s < series_used; s++) {
        if (!all[s].followed && all[s].rings[0].blocks > 0)
            return &all[s].rings[0];
    }
    return NULL;
}

static struct ring *with_most(void)
{
    struct ring *most = NULL;
    for (uint32_t s = 1; s < series_used; s++) {
        struct ring *fine = &all[s].rings[0];
        if (fine->blocks > 1 && (!most || fine->blocks > most->blocks))
            most = fine;
    }
    return most;
}

/* Whose block hurts least: a fine one of what was given up, one of the least site that has more
 * than each keeps, at last a fine one of the series that has most. */
static uint32_t steal(void)
{
    struct ring *ring = given_up();
    for (uint32_t level = 0; !ring && level < BL_LEVELS; level++)
        ring = least_site(level);
    if (!ring)
        ring = with_most();
    return ring ? take_oldest(ring) : 0;
}

static uint32_t take_block(void)
{
    uint32_t n = free_block;
    if (n) {
        free_block = next_of[n];
    } else if (blocks_used < BL_SAMPLE_BLOCKS_MAX &&
               bl_ledger_ensure(BL_SECTION_SAMPLES, blocks_used + 1) == 0) {
        n = blocks_used++;
        bl_ledger_publish(BL_SECTION_SAMPLES, blocks_used);
    } else {
        n = steal();
    }
    return n;
}

/* Is all of the oldest block older than the level reaches? The next one says, which begins later.
 */
static bool is_outlived(const struct ring *ring, uint32_t level, uint64_t now_ns,
                        uint64_t interval_ns)
{
    if (ring->blocks < 2)
        return false;
    uint64_t begin_ns = bl_load_relaxed(&block_at(next_of[ring->oldest])->base_ns);
    return begin_ns < now_ns && (now_ns - begin_ns) / interval_ns > turns_max[level];
}

static uint32_t next_block(struct ring *ring, uint32_t level, uint64_t now_ns, uint64_t interval_ns)
{
    if (ring->blocks >= blocks_max[level] || is_outlived(ring, level, now_ns, interval_ns))
        return take_oldest(ring);
    return take_block();
}

static bool begin_block(uint32_t series, uint32_t level, uint64_t now_ns, uint64_t interval_ns)
{
    struct ring *ring = &all[series].rings[level];
    uint32_t n = next_block(ring, level, now_ns, interval_ns);
    if (!n)
        return false;
    struct bl_samples *block = block_at(n);
    bl_store_relaxed(&block->head, 0);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* before the fields change their meaning */
    ring->base_ns = now_ns;
    ring->unit_ns = interval_ns / BL_SAMPLE_STEP + 1;
    for (uint32_t l = 0; l < level; l++)
        ring->unit_ns *= BL_SAMPLES_PER_LEVEL;
    ring->used = 0;
    ring->count = 0;
    memset(ring->last, 0, sizeof ring->last);
    block->serial = ++serial;
    block->base_ns = ring->base_ns;
    block->unit_ns = ring->unit_ns;
    block->series = series;
    block->level = level;
    next_of[n] = 0;
    if (ring->newest)
        next_of[ring->newest] = n;
    else
        ring->oldest = n;
    ring->newest = n;
    ring->blocks++;
    return true;
}

/* ---- samples ---- */

static bool is_same(const struct bl_coarse_sample *a, const struct bl_coarse_sample *b)
{
    return a->last.bytes == b->last.bytes && a->last.total == b->last.total &&
           a->last.count == b->last.count && a->min_bytes == b->min_bytes &&
           a->max_bytes == b->max_bytes;
}

static void publish(struct ring *ring)
{
    bl_store_release(&block_at(ring->newest)->head,
                     (uint64_t)ring->last[0].last.after << 32 | ring->used);
}

/* While nothing changes the later of two equal samples moves on. */
static bool extend(struct ring *ring, const struct bl_coarse_sample *c)
{
    if (ring->count < 2 || !is_same(&ring->last[0], c) || !is_same(&ring->last[1], c))
        return false;
    ring->last[0].last.after = c->last.after;
    publish(ring);
    return true;
}

static bool fit(struct ring *ring, uint32_t level, const struct bl_coarse_sample *c)
{
    uint8_t code[BL_SAMPLE_CODE_MAX];
    uint32_t step = ring->last[0].last.after - ring->last[1].last.after;
    uint32_t length = bl_sample_encode(code, level, ring->count, step, &ring->last[0].last, c);
    if (length > BL_SAMPLES_CODE - ring->used)
        return false;
    memcpy(block_at(ring->newest)->code + ring->used, code, length);
    ring->used += length;
    ring->count++;
    ring->last[1] = ring->last[0];
    ring->last[0] = *c;
    publish(ring);
    return true;
}

static void append(uint32_t series, uint32_t level, struct bl_coarse_sample *c, uint64_t now_ns,
                   uint64_t interval_ns)
{
    struct ring *ring = &all[series].rings[level];
    uint64_t after = ring->newest ? (now_ns - ring->base_ns) / ring->unit_ns : UINT64_MAX;
    if (after < UINT32_MAX) {
        c->last.after = (uint32_t)after;
        if (extend(ring, c) || fit(ring, level, c))
            return;
    }
    c->last.after = 0;
    if (begin_block(series, level, now_ns, interval_ns))
        fit(ring, level, c);
    else
        bl_losses_add(BL_LOSS_samples_dropped, 1);
}

/* One more sample of the level below: enough of them make one here. */
static void rise(uint32_t series, uint32_t level, const struct bl_coarse_sample *c, uint64_t now_ns,
                 uint64_t interval_ns)
{
    if (level == BL_LEVELS)
        return;
    struct span *span = &all[series].spans[level];
    if (span->parts == 0 || c->min_bytes < span->min_bytes)
        span->min_bytes = c->min_bytes;
    if (span->parts == 0 || c->max_bytes > span->max_bytes)
        span->max_bytes = c->max_bytes;
    if (++span->parts < BL_SAMPLES_PER_LEVEL)
        return;
    struct bl_coarse_sample whole = {
        .last = c->last, .min_bytes = span->min_bytes, .max_bytes = span->max_bytes};
    span->parts = 0;
    append(series, level, &whole, now_ns, interval_ns);
    rise(series, level + 1, &whole, now_ns, interval_ns);
}

void bl_samples_add(uint32_t series, const struct bl_reading *reading, uint64_t now_ns,
                    uint64_t interval_ns)
{
    struct bl_series *record = record_of(series);
    struct bl_coarse_sample c = {
        .last = {.bytes = reading->bytes,
                 .total = reading->total,
                 .count = (uint32_t)(reading->count < UINT32_MAX ? reading->count : UINT32_MAX)},
        .min_bytes = reading->bytes,
        .max_bytes = reading->bytes};
    if (reading->bytes > record->peak_bytes) {
        bl_store_relaxed(&record->peak_ns, now_ns);
        bl_store_relaxed(&record->peak_bytes, reading->bytes);
    }
    append(series, 0, &c, now_ns, interval_ns);
    rise(series, 1, &c, now_ns, interval_ns);
}

/* ---- series ---- */

static void drop_blocks(uint32_t series)
{
    for (uint32_t level = 0; level < BL_LEVELS; level++) {
        uint32_t n;
        while ((n = take_oldest(&all[series].rings[level])) != 0) {
            next_of[n] = free_block;
            free_block = n;
        }
    }
}

/* A record never used, else the one that was given up first. */
static uint32_t take_series(void)
{
    if (series_used < BL_SERIES_MAX && bl_ledger_ensure(BL_SECTION_SERIES, series_used + 1) == 0) {
        memset(record_of(series_used), 0, sizeof(struct bl_series));
        bl_ledger_publish(BL_SECTION_SERIES, series_used + 1);
        return series_used++;
    }
    uint32_t first = 0;
    for (uint32_t s = 1; s < series_used; s++) {
        if (!all[s].followed && (!first || all[s].until_ns < all[first].until_ns))
            first = s;
    }
    if (first) {
        drop_blocks(first);
        bl_store_release(&record_of(first)->kind, BL_SERIES_UNUSED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
    }
    return first;
}

uint32_t bl_samples_open(enum bl_series_kind kind, uint32_t class_number, uint32_t stack,
                         uint32_t site, uint64_t now_ns)
{
    uint32_t n = take_series();
    if (!n)
        return 0;
    struct bl_series *record = record_of(n);
    record->class_number = class_number;
    record->stack = stack;
    record->site = site;
    record->since_ns = now_ns;
    record->until_ns = 0;
    record->peak_bytes = 0;
    record->peak_ns = now_ns;
    bl_store_release(&record->kind, (uint32_t)kind);
    all[n] = (struct series){.followed = true, .is_site = kind == BL_SERIES_SITE};
    return n;
}

void bl_samples_set_worth(uint32_t series, float worth)
{
    all[series].worth = worth;
}

void bl_samples_close(uint32_t series, uint64_t now_ns)
{
    bl_store_release(&record_of(series)->until_ns, now_ns);
    all[series].until_ns = now_ns;
    all[series].followed = false;
}

void bl_samples_reset(void)
{
    memset(all, 0, series_used * sizeof all[0]);
    series_used = 1;
    blocks_used = 1;
    free_block = 0;
    serial = 0;
}
