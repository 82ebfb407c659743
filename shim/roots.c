#include "roots.h"
#include "arena.h"
#include "early.h"
#include "ledger.h"
#include "modules.h"
#include "real.h"
#include "sigsafe.h"
#include "spans.h"
#include "threads.h"
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define HEAP_BYTES    (64ull << 20) /* of one of glibc's arenas, and their alignment */
#define CHUNK_ARENA   4u            /* bits of a chunk's size: it is of an arena that is not the */
#define CHUNK_MAPPED  2u            /* main one; it is a mapping of its own */
#define CHUNK_FLAGS   7u
#define RED_ZONE      128u
#define SPARSE_LEAST  (64u << 10) /* regions from here on are looked at page by page */
#define PAGES_AT_ONCE 512u
#define BYTES_AT_ONCE (PAGES_AT_ONCE * (uint64_t)BL_PAGE)
#define PTHREAD_BYTES 4096u /* more than a struct pthread */
#define WALK_MAX      512
/* of class mmap, as track.h has it */
#define BL_REGIONS_CLASS 1u

/* A thread, as far as it is known. */
struct thread {
    uint32_t tid;
    uint32_t number;
    uint64_t low; /* 0: unknown */
    uint64_t high;
    uint64_t frame;     /* its stack is in use from here on */
    uint64_t frame_end; /* registers end here */
    uint64_t sp;
    uint64_t pc;
    uint64_t rbp;
    uint64_t alt_start;
    uint64_t alt_end;
    uint64_t tcb; /* 0: unknown */
    uint64_t entry;
    const struct bl_tls *tls;
};

static struct {
    const struct bl_roots_job *job;
    struct bl_roots_result *result;
    struct bl_image image;
    struct bl_trace trace;
    struct bl_spans apart; /* what is no root */
    struct bl_spans heap;  /* of those: allocator's memory */
    struct thread *threads;
    uint32_t thread_count;
    uint64_t tls_bytes; /* of all objects: at most so much below a thread's control block */
    const struct bl_object_file *libc;
    bool is_glibc; /* its allocator is the one in use */
    long pagemap;
    /* of the piece that is being scanned */
    const struct thread *thread;
    const struct bl_object_file *object;
    const struct bl_region *region;
    enum bl_root_kind kind; /* of what is not found out by its place */
    uint32_t last_path;
    uint32_t last_name;
} now;

static const void *at_address(uint64_t address)
{
    return (const void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
}

static uint64_t address_of(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

static void *room_for(uint64_t bytes)
{
    return bl_sys_map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
}

uint64_t bl_roots_room(uint32_t live_count)
{
    uint64_t per_block = sizeof(struct bl_reach) + sizeof(struct bl_reach_root);
    return sizeof(struct bl_roots_result) + (live_count + 2ull) * per_block + BL_PAGE;
}

void bl_roots_lay_out(struct bl_roots_result *result, uint32_t live_count, uint64_t bytes)
{
    result->bytes = bytes;
    result->reach = (struct bl_reach *)(result + 1);
    result->roots = (struct bl_reach_root *)(result->reach + live_count + 1);
}

/* ---- blocks ---- */

static const struct bl_live *live_at(uint32_t n)
{
    struct bl_chunk_position p = bl_ledger_locate(BL_SECTION_LIVE, n);
    const unsigned char *chunk = now.job->live[p.chunk];
    return chunk ? (const struct bl_live *)(const void *)chunk + p.record : NULL;
}

/* All but mapped regions are blocks of malloc, whatever class they are counted in. */
static bool is_heap_block(const struct bl_live *live)
{
    return live && (live->word & BL_LIVE_BIT) &&
           (!(bl_header->flags & BL_FLAG_MMAP) ||
            (live->word >> BL_LIVE_CLASS_SHIFT & BL_LIVE_CLASS_MASK) != BL_REGIONS_CLASS);
}

static bool is_mapped(uint64_t start, uint64_t end)
{
    static const struct bl_region *last;
    if (!last || start < last->start || start >= last->end)
        last = bl_image_region(&now.image, start);
    while (last && last->readable && end > last->end) { /* a block may lie in several */
        const struct bl_region *next = last + 1;
        if (next == now.image.regions + now.image.region_count || next->start != last->end)
            return false;
        start = next->start;
        last = next;
    }
    return last && last->readable && start >= last->start;
}

static int make_blocks(void)
{
    uint32_t count = 0;
    struct bl_trace_key *keys = room_for((now.job->live_count + 1ull) * sizeof *keys);
    struct bl_trace_key *spare = room_for((now.job->live_count + 1ull) * sizeof *spare);
    if (!keys || !spare)
        return -ENOMEM;
    for (uint32_t n = 1; n < now.job->live_count; n++) {
        const struct bl_live *live = live_at(n);
        if (!is_heap_block(live))
            continue;
        uint64_t size = live->word >> BL_LIVE_SIZE_SHIFT;
        uint64_t end = live->address + (size ? size : 1);
        keys[count++] = (struct bl_trace_key){
            .start = live->address,
            .end = end,
            .number = n,
            .is_unreadable = !is_mapped(live->address, end),
        };
    }
    return bl_trace_init(&now.trace, keys, spare, count);
}

/* ---- what is apart: the allocator ---- */

/* glibc: the break's heap, its other arenas' heaps, and blocks that are mappings of their own. */
static void take_chunk_apart(const struct bl_trace_block *b)
{
    static uint64_t last_heap;
    if (!is_mapped(b->start - 16, b->start))
        return;
    uint64_t size = *(const uint64_t *)at_address(b->start - 8);
    if (size & CHUNK_MAPPED) {
        uint64_t before = *(const uint64_t *)at_address(b->start - 16);
        uint64_t end = b->start - 16 + (size & ~(uint64_t)CHUNK_FLAGS);
        bl_spans_add(&now.heap, (b->start - 16 - before) & ~(uint64_t)(BL_PAGE - 1), end);
    } else if (size & CHUNK_ARENA) {
        uint64_t heap = b->start & ~(HEAP_BYTES - 1);
        if (heap != last_heap)
            bl_spans_add(&now.heap, heap, heap + HEAP_BYTES);
        last_heap = heap;
    }
}

/* Another allocator: every mapping that blocks are in. */
static void take_mapping_apart(const struct bl_trace_block *b)
{
    static const struct bl_region *last;
    if (last && b->start >= last->start && b->start < last->end)
        return;
    last = bl_image_region(&now.image, b->start);
    if (last && !bl_image_object(&now.image, b->start))
        bl_spans_add(&now.heap, last->start, last->end);
}

static void take_heap_apart(void)
{
    uint64_t allocator = address_of((const void *)(uintptr_t)bl_real.malloc);
    now.libc = bl_image_object(&now.image, address_of((const void *)gnu_get_libc_version));
    now.is_glibc = now.libc && bl_image_object(&now.image, allocator) == now.libc;
    for (uint32_t i = 0; i < now.image.region_count; i++) {
        const struct bl_region *r = &now.image.regions[i];
        if (r->path && strcmp(bl_image_path(&now.image, r->path), "[heap]") == 0)
            bl_spans_add(&now.heap, r->start, r->end);
    }
    for (uint32_t i = 0; i < now.trace.count; i++) {
        if (now.is_glibc)
            take_chunk_apart(&now.trace.blocks[i]);
        else
            take_mapping_apart(&now.trace.blocks[i]);
    }
    bl_spans_settle(&now.heap);
    for (uint32_t i = 0; i < now.heap.count; i++)
        bl_spans_add(&now.apart, now.heap.list[i].start, now.heap.list[i].end);
    now.result->run.flags |= now.is_glibc ? 0 : BL_REACH_OTHER_ALLOCATOR;
}

/* ---- what is apart: the shim ---- */

static void add_apart(void *context, uint64_t start, uint64_t end)
{
    (void)context;
    bl_spans_add(&now.apart, start, end);
}

static void take_shim_apart(void)
{
    uint64_t start;
    uint64_t end;
    const struct bl_object_file *own =
        bl_image_object(&now.image, address_of((const void *)(uintptr_t)bl_roots_mark));
    /* a test's program has the shim's core in itself */
    if (own && bl_image_is_named(&now.image, own, "libbufleak"))
        bl_spans_add(&now.apart, own->start, own->end);
    for (uint32_t i = 0; i < now.image.object_count; i++) {
        const struct bl_object_file *o = &now.image.objects[i];
        if (bl_image_is_named(&now.image, o, "libunwind.so.8"))
            bl_spans_add(&now.apart, o->start, o->end);
    }
    bl_arena_each(add_apart, NULL);
    bl_ledger_each_range(add_apart, NULL);
    bl_stop_table(&start, &end);
    bl_spans_add(&now.apart, start, end);
    bl_spans_add(&now.apart, now.job->copy_start, now.job->copy_end);
    bl_spans_add(&now.apart, address_of(now.result), address_of(now.result) + now.result->bytes);
    const struct bl_region *r = bl_image_region(&now.image, now.job->helper_frame);
    if (r)
        bl_spans_add(&now.apart, r->start, now.job->helper_frame);
}

/* ---- threads ---- */

static const struct bl_thread_state *state_of(uint32_t tid)
{
    for (const struct bl_thread_state *t = bl_threads_all(); t; t = t->next) {
        if (t->tid == tid && t->tls)
            return t;
    }
    return NULL;
}

static void find_bounds(struct thread *t)
{
    const struct bl_thread_state *state = state_of(t->tid);
    if (state) {
        t->number = state->number;
        t->low = state->stack_low;
        t->high = state->stack_high;
        t->tcb = state->tcb;
        t->entry = state->entry;
        t->tls = state->tls;
    }
    const struct bl_region *r = bl_image_region(&now.image, t->sp);
    if (r && r->path && strcmp(bl_image_path(&now.image, r->path), "[stack]") == 0) {
        t->low = r->start;
        t->high = r->end;
    }
}

static void add_thread(struct thread t)
{
    find_bounds(&t);
    now.threads[now.thread_count++] = t;
}

static int collect_threads(void)
{
    const struct bl_stop *stop = &now.job->stop;
    now.threads = room_for((stop->count + 2ull) * sizeof *now.threads);
    if (!now.threads)
        return -ENOMEM;
    for (uint32_t i = now.job->is_stopped ? stop->first : 0; i; i = stop->table[i - 1].next) {
        const struct bl_stop_thread *s = &stop->table[i - 1];
        enum bl_stop_state state = bl_stop_state(s);
        if (state == BL_STOP_STOPPED || state == BL_STOP_DEGRADED)
            add_thread((struct thread){.tid = s->tid,
                                       .frame = s->frame,
                                       .frame_end = s->frame_end,
                                       .sp = s->sp,
                                       .pc = s->pc,
                                       .rbp = s->rbp,
                                       .alt_start = s->alt_start,
                                       .alt_end = s->alt_end,
                                       .tls = s->tls});
    }
    if (now.job->own.sp) {
        stack_t alt = {0};
        bl_sys3(SYS_sigaltstack, 0, (long)&alt, 0);
        struct thread own = {.tid = now.job->own_tid,
                             .frame = now.job->own.sp,
                             .frame_end = now.job->own.sp,
                             .sp = now.job->own.sp,
                             .pc = now.job->own.pc - 1,
                             .rbp = now.job->own.rbp,
                             .tls = &bl_tls};
        if (alt.ss_sp && !(alt.ss_flags & SS_DISABLE)) {
            own.alt_start = address_of(alt.ss_sp);
            own.alt_end = own.alt_start + alt.ss_size;
        }
        add_thread(own);
    }
    return 0;
}

static bool is_inside(uint64_t address, uint64_t low, uint64_t high)
{
    return address >= low && address < high;
}

static void take_stack_apart(const struct thread *t)
{
    bool frame_is_here = is_inside(t->frame, t->low, t->high);
    bool sp_is_here = is_inside(t->sp, t->low, t->high);
    if (frame_is_here)
        bl_spans_add(&now.apart, t->low, t->frame);
    else if (sp_is_here && t->sp - t->low > RED_ZONE)
        bl_spans_add(&now.apart, t->low, t->sp - RED_ZONE);
    if (t->tls)
        bl_spans_add(&now.apart, address_of(t->tls), address_of(t->tls) + sizeof bl_tls);
}

/* The stack of a thread that has ended lies in libc's cache: its control block is still there, and
 * nobody uses it. */
static bool is_dead(const struct bl_dead_stack *d)
{
    if (!d->low || !is_mapped(d->tcb, d->tcb + 24))
        return false;
    const uint64_t *tcb = at_address(d->tcb);
    if (tcb[0] != d->tcb || tcb[2] != d->tcb)
        return false;
    for (uint32_t i = 0; i < now.thread_count; i++) {
        const struct thread *t = &now.threads[i];
        if (is_inside(t->sp, d->low, d->high) || is_inside(t->frame, d->low, d->high) ||
            t->tcb == d->tcb)
            return false;
    }
    return true;
}

static void take_threads_apart(void)
{
    for (uint32_t i = 0; i < now.thread_count; i++)
        take_stack_apart(&now.threads[i]);
    for (uint32_t i = 0; i < BL_DEAD_STACKS; i++) {
        const struct bl_dead_stack *d = &bl_dead_stacks[i];
        if (is_dead(d))
            bl_spans_add(&now.apart, d->low, d->high);
    }
    for (uint32_t i = 0; i < now.image.object_count; i++)
        now.tls_bytes += now.image.objects[i].tls_bytes;
}

/* ---- saying what a root is ---- */

static uint32_t copy_name(uint32_t path)
{
    struct bl_roots_result *r = now.result;
    const char *text = bl_image_path(&now.image, path);
    size_t length = path ? strlen(text) : 0;
    if (!length)
        return 0;
    if (path == now.last_path)
        return now.last_name;
    if (r->text_used + length + 2 > BL_ROOTS_TEXT)
        return 0;
    uint32_t at = r->text_used ? r->text_used : 1;
    memcpy(r->text + at, text, length + 1);
    r->text_used = at + (uint32_t)length + 1;
    now.last_path = path;
    now.last_name = at;
    return at;
}

static bool is_thread_local(const struct thread *t, uint64_t slot)
{
    return t->tcb && slot >= t->tcb - now.tls_bytes - 4096 && slot < t->tcb + PTHREAD_BYTES;
}

static const struct thread *thread_local_owner(uint64_t slot)
{
    for (uint32_t i = 0; i < now.thread_count; i++) {
        if (is_thread_local(&now.threads[i], slot))
            return &now.threads[i];
    }
    return NULL;
}

/* Which function's frame a slot is in: from where the thread was interrupted outward. */
static void name_frame(const struct thread *t, struct bl_reach_root *root)
{
    struct bl_origin at = {.pc = t->pc + 1, .sp = t->sp, .rbp = t->rbp};
    if (!t->pc || root->slot < t->sp)
        return;
    for (int depth = 0; depth < WALK_MAX; depth++) {
        uint64_t pc = at.pc;
        if (bl_capture_step(&at, t->high) != BL_STEP_ON && at.sp <= root->slot)
            return;
        if (at.sp <= root->slot)
            continue;
        const struct bl_object_file *o = bl_image_object(&now.image, pc - 1);
        if (o) {
            root->module = (uint32_t)(o - now.image.objects) + 1;
            root->offset = pc - o->bias;
        }
        return;
    }
}

static void describe_of_thread(const struct thread *t, struct bl_reach_root *root)
{
    root->tid = t->tid;
    root->thread = t->number;
    if (root->slot >= t->frame && root->slot < t->frame_end)
        root->kind = BL_ROOT_REGISTER;
    else if (is_inside(root->slot, t->low, t->high) && t->tcb && t->entry &&
             root->slot >= t->entry && is_inside(t->tcb, t->low, t->high))
        root->kind = BL_ROOT_TLS;
    else
        root->kind = BL_ROOT_STACK;
}

static uint64_t age_of(void *context, uint32_t number)
{
    const struct bl_live *live = live_at(number);
    (void)context;
    return live ? live->birth_ns : 0;
}

static void describe(void *context, struct bl_reach_root *root)
{
    const struct bl_object_file *o = now.object;
    const struct thread *t = now.thread;
    (void)context;
    if (now.kind != BL_ROOT_UNKNOWN) {
        root->kind = now.kind;
        root->tid = t ? t->tid : 0;
        root->thread = t ? t->number : 0;
    } else if (t && (!t->high || root->slot < t->high)) {
        describe_of_thread(t, root);
    } else if (o && root->slot < o->end) {
        root->kind = BL_ROOT_GLOBAL;
        root->module = (uint32_t)(o - now.image.objects) + 1;
        root->offset = root->slot - o->bias;
    } else if ((t = thread_local_owner(root->slot)) != NULL) {
        root->kind = BL_ROOT_TLS;
        root->tid = t->tid;
        root->thread = t->number;
    } else {
        root->kind = BL_ROOT_REGION;
        root->offset = now.region ? root->slot - now.region->start : 0;
        root->name = now.region ? copy_name(now.region->path) : 0;
    }
}

/* ---- scanning ---- */

static void scan_pages(uint64_t start, uint64_t end, bool exact_only)
{
    uint64_t entries[PAGES_AT_ONCE] = {0};
    for (uint64_t at = start; at < end;) {
        uint64_t page = at / BL_PAGE;
        uint64_t count = (end + BL_PAGE - 1) / BL_PAGE - page;
        count = count < PAGES_AT_ONCE ? count : PAGES_AT_ONCE;
        long n =
            bl_sys4(SYS_pread64, now.pagemap, (long)entries, (long)(count * 8), (long)(page * 8));
        if (n != (long)(count * 8)) {
            bl_trace_scan(&now.trace, at, end, exact_only);
            return;
        }
        for (uint64_t i = 0; i < count; i++) {
            uint64_t from = i ? (page + i) * BL_PAGE : at;
            uint64_t to = (page + i + 1) * BL_PAGE;
            if (entries[i] >> 62) /* there, or swapped out */
                bl_trace_scan(&now.trace, from, to < end ? to : end, exact_only);
        }
        at = (page + count) * BL_PAGE;
    }
}

/* Shared memory's pages are not in the child's tables, and those beyond the end of its file are
 * nowhere. */
static void scan_shared(uint64_t start, uint64_t end)
{
    unsigned char there[PAGES_AT_ONCE] = {0};
    for (uint64_t at = start & ~(uint64_t)(BL_PAGE - 1); at < end;) {
        uint64_t bytes = end - at < BYTES_AT_ONCE ? end - at : BYTES_AT_ONCE;
        uint64_t count = (bytes + BL_PAGE - 1) / BL_PAGE;
        if (bl_sys3(SYS_mincore, (long)at, (long)bytes, (long)there) != 0)
            return;
        for (uint64_t i = 0; i < count; i++) {
            uint64_t from = at + i * BL_PAGE < start ? start : at + i * BL_PAGE;
            uint64_t to = at + (i + 1) * BL_PAGE < end ? at + (i + 1) * BL_PAGE : end;
            if (there[i] & 1)
                bl_trace_scan(&now.trace, from, to, false);
        }
        at += count * BL_PAGE;
    }
}

static void scan_piece(void *context, uint64_t start, uint64_t end)
{
    const struct bl_region *r = context;
    now.region = r;
    now.object = bl_image_object(&now.image, start);
    now.thread = NULL;
    for (uint32_t i = 0; i < now.thread_count && !now.thread; i++) {
        if (is_inside(start, now.threads[i].low, now.threads[i].high))
            now.thread = &now.threads[i];
    }
    /* the heads of glibc's lists of free chunks point to where blocks end, too */
    bool exact_only = now.is_glibc && now.object && now.object == now.libc;
    if (r->shared)
        scan_shared(start, end);
    else if (now.pagemap >= 0 && end - start >= SPARSE_LEAST)
        scan_pages(start, end, exact_only);
    else
        bl_trace_scan(&now.trace, start, end, exact_only);
}

static bool begins(const char *path, const char *with)
{
    return strncmp(path, with, strlen(with)) == 0;
}

static bool is_root_region(const struct bl_region *r)
{
    const char *path = bl_image_path(&now.image, r->path);
    bool is_anonymous = !r->path || begins(path, "[anon");
    if (!r->readable || begins(path, "[v"))
        return false;
    if (r->shared) /* but no files, which no pointer outlives */
        return r->writable &&
               (is_anonymous || begins(path, "/dev/zero") || begins(path, "/dev/shm/") ||
                begins(path, "/memfd:") || begins(path, "/SYSV"));
    if (begins(path, "/dev/"))
        return r->writable && begins(path, "/dev/zero");
    return r->writable || is_anonymous;
}

/* Data of objects first, so that a path leads to a name where there is one. */
static int rank_of(const struct bl_region *r)
{
    if (bl_image_object(&now.image, r->start))
        return 0;
    for (uint32_t i = 0; i < now.thread_count; i++) {
        if (is_inside(now.threads[i].sp, r->start, r->end))
            return 2;
    }
    return 1;
}

static void scan_regions(int rank)
{
    for (uint32_t i = 0; i < now.image.region_count; i++) {
        const struct bl_region *r = &now.image.regions[i];
        if (!is_root_region(r) || rank_of(r) != rank)
            continue;
        now.result->run.regions++;
        bl_spans_outside(&now.apart, r->start, r->end, scan_piece, (void *)(uintptr_t)r);
    }
}

/* A stack that lies in a heap block, and the alternate ones. */
static void scan_odd_stack(const struct thread *t)
{
    uint64_t end = t->high;
    uint32_t at = bl_spans_after(&now.heap, t->frame);
    bool in_heap = at < now.heap.count && now.heap.list[at].start <= t->frame;
    now.thread = t;
    now.kind = BL_ROOT_UNKNOWN;
    if (is_inside(t->frame, t->alt_start, t->alt_end) && is_mapped(t->frame, t->alt_end))
        bl_trace_scan(&now.trace, t->frame, t->alt_end, false);
    if (in_heap && !is_inside(t->frame, t->low, t->high)) {
        uint32_t block = bl_trace_find(&now.trace, t->frame);
        end = block != BL_TRACE_NONE ? now.trace.blocks[block].end : 0;
    }
    if (in_heap && end > t->frame && is_mapped(t->frame, end))
        bl_trace_scan(&now.trace, t->frame, end, false);
    now.kind = BL_ROOT_KERNEL;
    if (t->alt_start)
        bl_trace_word(&now.trace, t->alt_start, t->alt_start);
}

static void scan_own_registers(void)
{
    now.kind = BL_ROOT_REGISTER;
    now.thread = now.thread_count ? &now.threads[now.thread_count - 1] : NULL;
    for (size_t i = 0; now.job->own.sp && i < BL_ARRAY_LENGTH(now.job->own_registers); i++)
        bl_trace_word(&now.trace, address_of(&now.job->own_registers[i]),
                      now.job->own_registers[i]);
}

/* What realloc has in hand is in no table: the old block while it is copied, and then the new one,
 * whose address is on the thread's stack alone. */
static void scan_moving(const struct thread *t)
{
    const struct bl_tls *tls = t->tls;
    now.thread = t;
    now.kind = BL_ROOT_MOVING;
    if (!tls || !tls->moving)
        return;
    uint64_t start = tls->moving;
    if (is_mapped(start, start + tls->moving_bytes))
        bl_trace_scan(&now.trace, start, start + tls->moving_bytes, false);
    uint64_t top = t->sp + BL_PAGE < t->high ? t->sp + BL_PAGE : t->high;
    for (uint64_t at = (t->frame + 7) & ~7ull; at + 8 <= top && top > t->frame; at += 8) {
        uint64_t word = *(const uint64_t *)at_address(at);
        uint32_t in_heap = bl_spans_after(&now.heap, word);
        if ((word & 15) || in_heap == now.heap.count || now.heap.list[in_heap].start > word ||
            bl_trace_find(&now.trace, word) != BL_TRACE_NONE)
            continue;
        uint64_t bytes = tls->moving_new_bytes;
        if (is_mapped(word, word + bytes))
            bl_trace_scan(&now.trace, word, word + bytes, false);
    }
}

static void scan_early(void *context, uint64_t start, uint64_t bytes)
{
    (void)context;
    if (is_mapped(start, start + bytes))
        bl_trace_scan(&now.trace, start, start + bytes, false);
}

static void scan_start(void *context, uint64_t argument)
{
    (void)context;
    bl_trace_word(&now.trace, argument, argument);
}

static void scan_specials(void)
{
    for (uint32_t i = 0; i < now.thread_count; i++) {
        scan_odd_stack(&now.threads[i]);
        scan_moving(&now.threads[i]);
    }
    scan_own_registers();
    now.thread = NULL;
    now.kind = BL_ROOT_EARLY;
    bl_early_each(scan_early, NULL);
    bl_early_each_start(scan_start, NULL);
    now.kind = BL_ROOT_UNKNOWN;
}

/* What the dynamic loader allocated is its own, and reached through memory that we do not see. */
static void keep_loader_blocks(void)
{
    const struct bl_object_file *linker = bl_image_object(&now.image, address_of(&_r_debug));
    uint64_t modules = bl_header->published[BL_SECTION_MODULES];
    uint64_t frames = bl_header->published[BL_SECTION_FRAMES];
    uint32_t loader = 0;
    for (uint32_t n = 1; n < modules; n++) {
        const struct bl_module *m = bl_ledger_at(BL_SECTION_MODULES, n);
        if (linker && m->map_start == linker->start)
            loader = n;
    }
    for (uint32_t i = 0; loader && i < now.trace.count; i++) {
        const struct bl_live *live = live_at(now.trace.blocks[i].number);
        if (!live || !live->stack || live->stack >= frames)
            continue;
        const struct bl_frame *f = bl_ledger_at(BL_SECTION_FRAMES, live->stack);
        if ((f->module & BL_FRAME_MODULE_MASK) == loader)
            bl_trace_keep(&now.trace, i, BL_ROOT_LOADER);
    }
}

/* ---- the result ---- */

static void count_block(struct bl_reach_run *run, const struct bl_trace_block *b)
{
    run->held += b->grade == BL_REACH_EXACT;
    run->interior += b->grade == BL_REACH_INTERIOR;
    run->leaders += b->grade == BL_REACH_LEADER;
    run->indirect += b->grade == BL_REACH_INDIRECT;
    const struct bl_live *live = live_at(b->number);
    if (live && (b->grade == BL_REACH_LEADER || b->grade == BL_REACH_INDIRECT))
        run->lost_bytes += live->word >> BL_LIVE_SIZE_SHIFT;
}

static void write_result(void)
{
    struct bl_roots_result *r = now.result;
    for (uint32_t i = 0; i < now.trace.count; i++) {
        const struct bl_trace_block *b = &now.trace.blocks[i];
        struct bl_reach *to = &r->reach[b->number];
        *to = (struct bl_reach){
            .check = bl_reach_check(live_at(b->number)),
            .grade = b->grade,
            .is_root = b->is_root,
            .inside = b->inside,
            .slot = b->slot,
        };
        if (b->is_root)
            to->holder = b->holder;
        else if (b->grade != BL_REACH_LEADER)
            to->holder = now.trace.blocks[b->holder].number;
        count_block(&r->run, b);
    }
    r->root_count = now.trace.root_count + 1;
    r->run.blocks = now.trace.count;
    r->run.root_bytes = now.trace.root_bytes;
    r->run.heap_bytes = now.trace.heap_bytes;
    r->object_count = now.image.object_count;
    for (uint32_t i = 0; i < now.image.object_count; i++) {
        r->objects[i] = now.image.objects[i];
        r->objects[i].path = copy_name(now.image.objects[i].path);
    }
}

static const struct thread *thread_of(uint32_t tid)
{
    for (uint32_t i = 0; i < now.thread_count; i++) {
        if (now.threads[i].tid == tid)
            return &now.threads[i];
    }
    return NULL;
}

/* Last, because it goes by what is on the stacks: whatever happens here, the rest is told. */
static void name_frames(void)
{
    for (uint32_t n = 1; n < now.result->root_count; n++) {
        struct bl_reach_root *root = &now.result->roots[n];
        const struct thread *t = root->kind == BL_ROOT_STACK ? thread_of(root->tid) : NULL;
        if (t)
            name_frame(t, root);
    }
}

static int mark(void)
{
    int error = bl_image_read(&now.image);
    if (!error)
        error = make_blocks();
    if (!error)
        error = collect_threads();
    if (error)
        return error;
    take_heap_apart();
    take_shim_apart();
    take_threads_apart();
    if (now.apart.failed || now.heap.failed)
        return -ENOMEM;
    bl_spans_settle(&now.apart);
    now.trace.roots = now.result->roots;
    now.trace.describe = describe;
    now.trace.age = age_of;
    now.pagemap =
        bl_sys4(SYS_openat, AT_FDCWD, (long)"/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
    keep_loader_blocks();
    for (int rank = 0; rank <= 2; rank++)
        scan_regions(rank);
    scan_specials();
    bl_trace_follow(&now.trace);
    bl_trace_lost(&now.trace);
    if (now.pagemap >= 0)
        bl_sys_close((int)now.pagemap);
    write_result();
    return 0;
}

int bl_roots_mark(const struct bl_roots_job *job, struct bl_roots_result *result)
{
    memset(&now, 0, sizeof now);
    now.job = job;
    now.result = result;
    result->error = mark();
    bl_store_release(&result->is_complete, 1);
    if (!result->error)
        name_frames();
    return result->error;
}
