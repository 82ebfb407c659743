#include "series.h"
#include "counters.h"
#include "ledger.h"
#include "samples.h"
#include "sites.h"
#include "usage.h"

#include <string.h>

#define USAGE_EVERY_NS 100000000u /* the kernel sums it up over processors: not for every turn */

static uint32_t process_series[BL_SERIES_CGROUP + 1];
static uint32_t class_series[BL_CLASSES_MAX];
static uint32_t boundary_series[BL_BOUNDARIES_MAX];
static uint32_t direct_series[BL_DIRECT_MAX];
static struct bl_usage usage;
static uint64_t usage_ns;

struct turn {
    uint64_t now_ns;
    uint64_t interval_ns;
};

/* The series is opened with its first reading. */
static void add(uint32_t *series, enum bl_series_kind kind, uint32_t number,
                const struct bl_reading *reading, const struct turn *t)
{
    if (!*series) {
        bool is_class = kind == BL_SERIES_CLASS;
        *series = bl_samples_open(kind, is_class ? number : 0, is_class ? 0 : number, 0, t->now_ns);
    }
    if (*series)
        bl_samples_add(*series, reading, t->now_ns, t->interval_ns);
}

static void add_process(enum bl_series_kind kind, uint64_t bytes, const struct turn *t)
{
    struct bl_reading r = {.bytes = bytes};
    if (bytes)
        add(&process_series[kind], kind, 0, &r, t);
}

static void sample_process(const struct turn *t)
{
    if (usage_ns == 0 || t->now_ns - usage_ns >= USAGE_EVERY_NS) {
        bl_usage_read(&usage);
        usage_ns = t->now_ns;
        bl_store_relaxed(&bl_header->rss_bytes, usage.rss_bytes);
        bl_store_relaxed(&bl_header->address_space_bytes, usage.address_space_bytes);
        bl_store_relaxed(&bl_header->cgroup_bytes, usage.cgroup_bytes);
        bl_store_relaxed(&bl_header->cgroup_limit_bytes, usage.cgroup_limit_bytes);
        bl_store_relaxed(&bl_header->address_space_limit_bytes, usage.address_space_limit_bytes);
    }
    add_process(BL_SERIES_RSS, usage.rss_bytes, t);
    add_process(BL_SERIES_CGROUP, usage.cgroup_bytes, t);
    if (usage.address_space_limit_bytes)
        add_process(BL_SERIES_ADDRESS_SPACE, usage.address_space_bytes, t);
}

static void sample_classes(const struct turn *t)
{
    uint64_t classes = bl_load_acquire(&bl_header->published[BL_SECTION_CLASSES]);
    for (uint32_t n = 0; n < classes && n < BL_CLASSES_MAX; n++) {
        struct bl_live_sums sums = bl_counters_sum(n);
        struct bl_reading r = {.bytes = sums.bytes, .total = sums.allocs, .count = sums.count};
        if (sums.allocs)
            add(&class_series[n], BL_SERIES_CLASS, n, &r, t);
    }
}

static void sample_boundaries(const struct turn *t)
{
    uint64_t boundaries = bl_load_acquire(&bl_header->published[BL_SECTION_BOUNDARIES]);
    for (uint32_t n = 0; n < boundaries && n < BL_BOUNDARIES_MAX; n++) {
        const struct bl_boundary *b = bl_ledger_at(BL_SECTION_BOUNDARIES, n);
        struct bl_reading r = {.total = bl_load_relaxed(&b->completed)};
        add(&boundary_series[n], BL_SERIES_BOUNDARY, n, &r, t);
    }
}

static void sample_direct(const struct turn *t)
{
    for (uint32_t n = 0; n < BL_DIRECT_MAX; n++) {
        const struct bl_direct *d = &bl_header->direct[n];
        uint32_t kind = bl_load_acquire(&d->kind);
        struct bl_reading r = {.bytes = bl_load_relaxed(&d->bytes)};
        if (kind == BL_DIRECT_NETTY || kind == BL_DIRECT_JDK)
            add(&direct_series[n], BL_SERIES_DIRECT, n, &r, t);
    }
}

void bl_series_turn(uint64_t now_ns, uint64_t interval_ns)
{
    struct turn t = {now_ns, interval_ns};
    sample_process(&t);
    sample_classes(&t);
    sample_boundaries(&t);
    sample_direct(&t);
    bl_sites_turn(now_ns, interval_ns);
    bl_store_relaxed(&bl_header->sampled_ns, now_ns);
}

void bl_series_reset(void)
{
    memset(process_series, 0, sizeof process_series);
    memset(class_series, 0, sizeof class_series);
    memset(boundary_series, 0, sizeof boundary_series);
    memset(direct_series, 0, sizeof direct_series);
    memset(&usage, 0, sizeof usage);
    usage_ns = 0;
    bl_sites_reset();
    bl_samples_reset();
}
