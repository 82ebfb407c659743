#include "samples.h"
#include "ledger.h"
#include "losses.h"

#include <string.h>

#define UNITS_PER_INTERVAL 1024u

/* Blocks of one series at one level, oldest to newest by next_of. What says where to write is kept
 * here as well: the file may be changed by others. */
struct ring {
    uint32_t oldest; /* 0 = none */
    uint32_t newest;
    uint32_t blocks;
    uint32_t used; /* samples in the newest */
    uint64_t base_ns;
    uint64_t unit_ns;
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
    bool followed; /* its record is in use and not given up */
    bool is_site;
};

static const uint16_t blocks_max[2][BL_LEVELS] = BL_SERIES_BLOCKS;

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
    bl_store_release(&block_at(n)->used, 0);
    return n;
}

/* Whose fine block hurts least: any of one that was given up, else of the one with most. */
static uint32_t steal(void)
{
    struct ring *most = NULL;
    for (uint32_t s = 1; s < series_used; s++) {
        struct ring *fine = &all[s].rings[0];
        if (!all[s].followed && fine->blocks > 0)
            return take_oldest(fine);
        if (fine->blocks > 1 && (!most || fine->blocks > most->blocks))
            most = fine;
    }
    return most ? take_oldest(most) : 0;
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

static uint32_t room_of(uint32_t level)
{
    return level == 0 ? BL_SAMPLES_FINE : BL_SAMPLES_COARSE;
}

static bool begin_block(uint32_t series, uint32_t level, uint64_t now_ns, uint64_t interval_ns)
{
    struct ring *ring = &all[series].rings[level];
    bool full = ring->blocks >= blocks_max[all[series].is_site][level];
    uint32_t n = full ? take_oldest(ring) : take_block();
    if (!n)
        return false;
    struct bl_samples *block = block_at(n);
    bl_store_relaxed(&block->used, 0);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* before the fields change their meaning */
    ring->base_ns = now_ns;
    ring->unit_ns = interval_ns / UNITS_PER_INTERVAL + 1;
    for (uint32_t l = 0; l < level; l++)
        ring->unit_ns *= BL_SAMPLES_PER_LEVEL;
    ring->used = 0;
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

static struct bl_sample *sample_in(struct bl_samples *block, uint32_t level, uint32_t n)
{
    return level == 0 ? &block->fine[n] : &block->coarse[n].last;
}

static bool is_same(struct bl_samples *block, uint32_t level, uint32_t n,
                    const struct bl_coarse_sample *c)
{
    const struct bl_sample *s = sample_in(block, level, n);
    if (s->bytes != c->last.bytes || s->total != c->last.total || s->count != c->last.count)
        return false;
    return level == 0 || (block->coarse[n].min_bytes == c->min_bytes &&
                          block->coarse[n].max_bytes == c->max_bytes);
}

/* While nothing changes the later of two equal samples moves on. */
static bool extend(const struct ring *ring, uint32_t level, const struct bl_coarse_sample *c,
                   uint32_t after)
{
    struct bl_samples *block = block_at(ring->newest);
    if (ring->used < 2 || !is_same(block, level, ring->used - 1, c) ||
        !is_same(block, level, ring->used - 2, c))
        return false;
    bl_store_relaxed(&sample_in(block, level, ring->used - 1)->after, after);
    return true;
}

static void append(uint32_t series, uint32_t level, const struct bl_coarse_sample *c,
                   uint64_t now_ns, uint64_t interval_ns)
{
    struct ring *ring = &all[series].rings[level];
    uint64_t after = ring->newest ? (now_ns - ring->base_ns) / ring->unit_ns : UINT64_MAX;
    bool fits = after < UINT32_MAX;
    if (fits && extend(ring, level, c, (uint32_t)after))
        return;
    if (!fits || ring->used >= room_of(level)) {
        after = 0;
        if (!begin_block(series, level, now_ns, interval_ns)) {
            bl_losses_add(BL_LOSS_samples_dropped, 1);
            return;
        }
    }
    struct bl_samples *block = block_at(ring->newest);
    if (level == 0)
        block->fine[ring->used] = c->last;
    else
        block->coarse[ring->used] = *c;
    sample_in(block, level, ring->used)->after = (uint32_t)after;
    ring->used++;
    bl_store_release(&block->used, ring->used);
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
