#include "sweep.h"
#include "frees.h"
#include "history.h"
#include "jvm/java_direct.h"
#include "ledger.h"
#include "ref_index.h"
#include "sigsafe.h"
#include "sites.h"
#include "stacks.h"
#include "thread_numbers.h"
#include "threads.h"

#include <string.h>
#include <time.h>

#define LOOKS        20 /* at the threads' guards in one turn */
#define LOOK_WAIT_NS 100000

/* What is swept: numbers of records that nothing may refer to any more. */
struct kind {
    bool (*is_due)(void);
    bool (*begin)(void);
    void (*cancel)(void);
    void (*mark_all)(void);
    void (*sweep)(void);
    uint32_t (*set_aside)(void);
    void (*reuse)(void);
    uint64_t watch_ns;
    uint64_t swept_ns;
};

enum phase {
    RESTING,
    BEGUN,  /* what is passed is marked; until every thread has been outside */
    MARKED, /* until they have been once more */
};

static enum phase phase;
static struct kind *under_way; /* but for RESTING */
static uint64_t begun_ns;

/* ---- marking ---- */

static void see_records(enum bl_section s, void (*see)(const void *record))
{
    uint64_t count = bl_load_acquire(&bl_header->published[s]);
    for (uint32_t n = 0; n < count; n++) {
        struct bl_chunk_position p = bl_ledger_locate(s, n);
        const unsigned char *chunk =
            p.chunk < BL_CHUNKS_MAX ? bl_load_acquire(&bl_chunks[s][p.chunk]) : NULL;
        if (!chunk)
            return;
        see(chunk + (size_t)p.record * bl_geometry[s].record_bytes);
    }
}

/* ---- stacks ---- */

static void see_live(const void *at)
{
    const struct bl_live *r = at;
    if (bl_load_acquire(&r->word) & BL_LIVE_BIT)
        bl_stacks_mark(bl_load_relaxed(&r->stack));
}

/* Ghosts too: reports tell of them. */
static void see_object(const void *at)
{
    const struct bl_object *o = at;
    if (bl_load_acquire(&o->word) & BL_LIVE_BIT)
        bl_stacks_mark(bl_load_relaxed(&o->stack));
}

/* A free one has none. */
static void see_event(const void *at)
{
    const struct bl_event *e = at;
    bl_stacks_mark(bl_load_relaxed(&e->stack));
}

static void see_lifecycle(const void *at)
{
    const struct bl_lifecycle *c = at;
    if (bl_load_acquire(&c->count))
        bl_stacks_mark(bl_load_relaxed(&c->alloc_stack));
}

static void see_free_path(const void *at)
{
    const struct bl_free_path *p = at;
    bl_stacks_mark(bl_load_relaxed(&p->alloc_stack));
    bl_stacks_mark(bl_load_relaxed(&p->free_stack));
}

static void see_series(const void *at)
{
    const struct bl_series *s = at;
    if (s->kind == BL_SERIES_SITE)
        bl_stacks_mark(s->stack);
}

static void see_mark(const void *at)
{
    const struct bl_mark *m = at;
    bl_stacks_mark(bl_load_relaxed(&m->stack));
}

static void see_assembly(const void *at)
{
    const struct bl_assembly *a = at;
    bl_stacks_mark(a->stack);
}

static void see_tombstone(const struct bl_ref_tombstone *t)
{
    bl_stacks_mark(t->birth_stack);
    bl_stacks_mark(t->end_stack);
}

static void mark_stacks(void)
{
    bl_threads_see_stacks(bl_stacks_mark);
    bl_ref_see_tombstones(see_tombstone);
    bl_sites_see_stacks(bl_stacks_mark);
    bl_java_direct_see_stacks(bl_stacks_mark);
    bl_stacks_mark(bl_load_relaxed(&bl_header->limit_stack));
    see_records(BL_SECTION_LIVE, see_live);
    see_records(BL_SECTION_OBJECTS, see_object);
    see_records(BL_SECTION_EVENTS, see_event);
    bl_history_lock();
    see_records(BL_SECTION_LIFECYCLES, see_lifecycle);
    bl_history_unlock();
    bl_frees_lock();
    see_records(BL_SECTION_FREE_PATHS, see_free_path);
    bl_frees_unlock();
    see_records(BL_SECTION_SERIES, see_series);
    see_records(BL_SECTION_MARKS, see_mark);
    see_records(BL_SECTION_ASSEMBLIES, see_assembly);
}

static void sweep_stacks(void)
{
    bl_stacks_sweep(bl_sites_forget);
}

/* ---- threads ---- */

static void see_maker(const void *at)
{
    const struct bl_live *r = at;
    if (bl_load_acquire(&r->word) & BL_LIVE_BIT)
        bl_thread_numbers_mark(bl_load_relaxed(&r->thread));
}

static void see_object_maker(const void *at)
{
    const struct bl_object *o = at;
    if (bl_load_acquire(&o->word) & BL_LIVE_BIT)
        bl_thread_numbers_mark(bl_load_relaxed(&o->thread));
}

static void see_event_thread(const void *at)
{
    const struct bl_event *e = at;
    bl_thread_numbers_mark(bl_load_relaxed(&e->thread));
}

static void see_mark_thread(const void *at)
{
    const struct bl_mark *m = at;
    bl_thread_numbers_mark(bl_load_relaxed(&m->thread));
}

static void see_root_thread(const void *at)
{
    const struct bl_reach_root *r = at;
    bl_thread_numbers_mark(bl_load_relaxed(&r->thread));
}

static void see_tombstone_thread(const struct bl_ref_tombstone *t)
{
    bl_thread_numbers_mark(t->end_thread);
}

static void mark_threads(void)
{
    bl_threads_see_numbers(bl_thread_numbers_mark);
    bl_ref_see_tombstones(see_tombstone_thread);
    see_records(BL_SECTION_LIVE, see_maker);
    see_records(BL_SECTION_OBJECTS, see_object_maker);
    see_records(BL_SECTION_EVENTS, see_event_thread);
    see_records(BL_SECTION_MARKS, see_mark_thread);
    see_records(BL_SECTION_REACH_ROOTS, see_root_thread);
}

/* ---- phases ---- */

static struct kind kinds[] = {
    {bl_stacks_sweep_due, bl_stacks_sweep_begin, bl_stacks_sweep_cancel, mark_stacks, sweep_stacks,
     bl_stacks_set_aside, bl_stacks_reuse, BL_SWEEP_WATCH_NS, 0},
    {bl_thread_numbers_due, bl_thread_numbers_begin, bl_thread_numbers_cancel, mark_threads,
     bl_thread_numbers_sweep, bl_thread_numbers_set_aside, bl_thread_numbers_reuse, 0, 0},
};

static bool wait_for_grace(void)
{
    struct timespec wait = {.tv_nsec = LOOK_WAIT_NS};
    for (int i = 0; i < LOOKS; i++) {
        if (bl_threads_grace_over())
            return true;
        bl_sys4(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, (long)&wait, 0);
    }
    return false;
}

static bool begin(const struct kind *kind)
{
    if (kind->set_aside() > 0 || !kind->is_due() || !kind->begin())
        return false;
    if (bl_threads_grace_begin())
        return true;
    kind->cancel();
    return false;
}

static void rest(uint64_t now_ns)
{
    for (size_t i = 0; i < BL_ARRAY_LENGTH(kinds); i++) {
        if (kinds[i].set_aside() > 0 && now_ns - kinds[i].swept_ns >= BL_SWEEP_REST_NS)
            kinds[i].reuse();
    }
    for (size_t i = 0; i < BL_ARRAY_LENGTH(kinds) && phase == RESTING; i++) {
        if (!begin(&kinds[i]))
            continue;
        under_way = &kinds[i];
        begun_ns = now_ns;
        phase = BEGUN;
    }
}

void bl_sweep_turn(uint64_t now_ns)
{
    if (phase == RESTING)
        rest(now_ns);
    if (phase == BEGUN && now_ns - begun_ns >= under_way->watch_ns && wait_for_grace()) {
        under_way->mark_all();
        phase = bl_threads_grace_begin() ? MARKED : RESTING;
        if (phase == RESTING)
            under_way->cancel();
    }
    if (phase == MARKED && wait_for_grace()) {
        under_way->sweep();
        under_way->swept_ns = now_ns;
        phase = RESTING;
    }
}

void bl_sweep_reset(void)
{
    phase = RESTING;
}
