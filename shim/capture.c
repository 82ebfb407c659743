#include "capture.h"
#include "cfi.h"
#include "conf.h"
#include "modules.h"
#include "sigsafe.h"

#include <assert.h>
#include <ucontext.h>

/* Frames that are new to an event but too few to be worth losing deeper kept ones for: a malloc at
 * depth 20 and its free at depth 3 alternate. */
#define KEEP_DEEPER_BELOW 6u
/* Away from the thread's own stack there is no bound to check against but plausibility. */
#define FRAME_BYTES_MAX (1u << 20)
/* What a signal leaves alone below the stack pointer of the code it strikes. */
#define RED_ZONE 128u

/* scratch frames given over to libunwind's addresses */
#define RAW_FRAMES 128u
static_assert(RAW_FRAMES * sizeof(struct bl_scratch_frame) >=
                      (BL_DEPTH_MAX + 16) * sizeof(void *) &&
                  BL_FRAMES_MAX - RAW_FRAMES >= BL_DEPTH_MAX,
              "addresses and frames do not meet");

static int (*fallback_backtrace)(void **, int);
static void (*fallback_flush)(void);
static struct bl_own_fd pipe_fds[2] = {BL_OWN_FD_NONE, BL_OWN_FD_NONE};
static bool has_pipe;

struct cursor {
    uint64_t sp;
    uint64_t pc;
    uint64_t rbp;
    uint64_t rbp_slot;
    bool exact;
};

enum step { STEP_ON, STEP_ROOT, STEP_UNROOTED, STEP_HARD, STEP_SIGNAL };

void bl_capture_set_fallback(int (*backtrace)(void **, int), void (*flush)(void))
{
    fallback_backtrace = backtrace;
    fallback_flush = flush;
}

void bl_capture_set_pipe(const int fds[2])
{
    bl_own_fd_set(&pipe_fds[0], fds[0]);
    bl_own_fd_set(&pipe_fds[1], fds[1]);
    has_pipe = true;
}

bool bl_capture_owns_fd(int fd)
{
    return bl_own_fd_is(&pipe_fds[0], fd) || bl_own_fd_is(&pipe_fds[1], fd);
}

static void give_up_fallback(void)
{
    fallback_backtrace = NULL;
    fallback_flush = NULL;
    pipe_fds[0].fd = -1;
    pipe_fds[1].fd = -1;
}

void bl_capture_vacate_fd(int fd)
{
    if (bl_capture_owns_fd(fd))
        give_up_fallback();
}

void bl_capture_flush(void)
{
    bl_cfi_flush();
    if (fallback_flush)
        fallback_flush();
}

#ifdef __SANITIZE_ADDRESS__ /* a slot of a frame that is gone may be another one's red zone now */
__attribute__((noinline, no_sanitize_address)) static uint64_t load(uint64_t address)
#else
BL_INLINE uint64_t load(uint64_t address)
#endif
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    return *(const volatile uint64_t *)(uintptr_t)address;
}

/* murmur-style finalisation per step: every bit of pc and h reaches every bit of the result */
BL_INLINE uint64_t mix(uint64_t h, uint64_t pc)
{
    h = (h ^ pc) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

BL_INLINE uint64_t seed(const struct bl_thread_state *t, uint32_t flags)
{
    return mix(0x62756c65616b0000u + t->epoch, flags);
}

static void step_signal(struct cursor *c)
{
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    const ucontext_t *u = (const ucontext_t *)(uintptr_t)c->sp;
    c->pc = (uint64_t)u->uc_mcontext.gregs[REG_RIP] + 1;
    c->sp = (uint64_t)u->uc_mcontext.gregs[REG_RSP];
    c->rbp = (uint64_t)u->uc_mcontext.gregs[REG_RBP];
    c->rbp_slot = 0;
    c->exact = true;
}

/* Moves c to its caller. f receives how the frame at c treats rbp. high: end of the stack. */
BL_INLINE enum step step_out(struct cursor *c, struct bl_scratch_frame *f, uint64_t high)
{
    bl_cfi_rule rule = bl_cfi_lookup(c->pc);
    uint64_t cfa;
    uint64_t slot;
    bool saved = bl_cfi_rbp_slot(rule) != 0;
    switch (bl_cfi_type_of(rule)) {
    case BL_CFI_RSP:
        cfa = c->sp + (uint64_t)bl_cfi_cfa(rule);
        slot = cfa;
        break;
    case BL_CFI_RBP:
        cfa = c->rbp + (uint64_t)bl_cfi_cfa(rule);
        slot = cfa;
        f->uses_rbp = true;
        break;
    case BL_CFI_REALIGN:
        f->uses_rbp = true;
        saved = true; /* at offset 0 as a rule */
        slot = c->rbp;
        if (slot + (uint64_t)bl_cfi_cfa(rule) - c->sp >= high - c->sp)
            return STEP_UNROOTED;
        cfa = load(slot + (uint64_t)bl_cfi_cfa(rule));
        break;
    case BL_CFI_END:
        return STEP_ROOT;
    case BL_CFI_SIGNAL:
        step_signal(c);
        return STEP_SIGNAL;
    case BL_CFI_NONE:
        return STEP_UNROOTED;
    case BL_CFI_UNSET:
    case BL_CFI_HARD:
    default:
        return STEP_HARD;
    }
    if (BL_UNLIKELY(cfa <= c->sp || cfa > high || (cfa & 7)))
        return STEP_UNROOTED;
    if (saved) {
        slot += (uint64_t)bl_cfi_rbp_slot(rule);
        /* an epilogue has popped rbp, which its rule does not say: it still lies in the red zone */
        uint64_t low = f->exact ? c->sp - RED_ZONE : c->sp;
        if (BL_UNLIKELY(slot < low || slot >= cfa))
            return STEP_UNROOTED;
        c->rbp = load(slot);
        c->rbp_slot = slot;
    } else {
        c->rbp_slot = 0;
        f->passes_rbp = true;
    }
    c->sp = cfa;
    c->pc = load(cfa - 8);
    return c->pc ? STEP_ON : STEP_ROOT;
}

BL_INLINE void note_frame(struct bl_scratch_frame *f, const struct cursor *c)
{
    f->sp = c->sp;
    f->pc = c->pc;
    f->rbp = c->rbp;
    f->rbp_slot = c->rbp_slot;
    f->uses_rbp = false;
    f->passes_rbp = false;
    f->exact = c->exact;
}

BL_INLINE uint64_t moved(const struct bl_walk_frame *f)
{
    return load(f->sp - 8) ^ f->pc;
}

/* How many of the kept frames still stand: their calls' return addresses are in place. Four at a
 * time, because most do. */
BL_INLINE uint32_t verify_kept(const struct bl_thread_state *t, uint64_t sp)
{
    const struct bl_walk_frame *f = t->frames;
    const struct bl_walk_frame *end = f + t->frame_count;
    while (end - f >= 4 && f[3].sp >= sp &&
           (moved(&f[0]) | moved(&f[1]) | moved(&f[2]) | moved(&f[3])) == 0)
        f += 4;
    while (f < end && f->sp >= sp && moved(f) == 0)
        f++;
    uint32_t valid = (uint32_t)(f - t->frames);
    for (uint32_t i = 0; i < t->need_count && t->need[i] < valid; i++) {
        const struct bl_walk_detail *d = &t->details[t->need[i]];
        if (d->rbp_slot < sp || load(d->rbp_slot) != d->rbp)
            valid = t->need[i] + 1u;
    }
    return valid;
}

BL_INLINE uint64_t hash_fresh(const struct bl_thread_state *t, uint64_t h, uint32_t fresh)
{
    for (uint32_t i = fresh; i-- > 0;)
        h = mix(h, t->scratch[i].pc + t->scratch[i].exact);
    return h;
}

/* Makes the fresh frames the innermost kept ones. Returns the hash of the whole. */
BL_INLINE uint64_t commit(struct bl_thread_state *t, uint32_t known, uint32_t fresh, uint64_t h)
{
    bool demanded = known > 0 && t->details[known - 1].demands_rbp;
    while (t->need_count > 0 && t->need[t->need_count - 1] >= known)
        t->need_count--;
    for (uint32_t i = fresh, k = known; i-- > 0; k++) {
        const struct bl_scratch_frame *f = &t->scratch[i];
        h = mix(h, f->pc);
        demanded = f->uses_rbp || (f->passes_rbp && demanded);
        t->frames[k] = (struct bl_walk_frame){f->sp, f->pc};
        t->details[k] = (struct bl_walk_detail){h, f->rbp, f->rbp_slot, demanded, 0};
        if (demanded && f->rbp_slot)
            t->need[t->need_count++] = (uint16_t)k;
    }
    t->frame_count = known + fresh;
    return h;
}

/* libunwind walks from here: the frames before o->pc are the shim's own. */
BL_COLD static void walk_by_libunwind(struct bl_thread_state *t, const struct bl_origin *o,
                                      uint32_t depth, struct bl_walk *w)
{
    /* the far end of scratch, out of reach of depth <= BL_DEPTH_MAX: small stacks must not carry it
     */
    void **pcs = (void **)(void *)&t->scratch[BL_FRAMES_MAX - RAW_FRAMES];
    /* else it would write its test bytes into a file of the application */
    if (has_pipe && !(bl_own_fd_valid(&pipe_fds[0]) && bl_own_fd_valid(&pipe_fds[1])))
        give_up_fallback();
    int n = fallback_backtrace ? fallback_backtrace(pcs, (int)depth + 16) : 0;
    int first = 0;
    while (first < n && (uint64_t)(uintptr_t)pcs[first] != o->pc)
        first++;
    w->known = 0;
    w->fresh = 0;
    w->flags = BL_WALK_FALLBACK;
    if (first >= n) { /* not even the caller is in it */
        w->flags |= BL_WALK_UNROOTED;
        t->scratch[w->fresh++] = (struct bl_scratch_frame){.pc = o->pc};
    }
    for (int i = first; i < n && w->fresh < depth; i++)
        t->scratch[w->fresh++] = (struct bl_scratch_frame){.pc = (uint64_t)(uintptr_t)pcs[i]};
    if (n - first > (int)depth || n == (int)depth + 16)
        w->flags |= BL_WALK_DEEP;
    w->hash = hash_fresh(t, seed(t, w->flags), w->fresh);
}

/* A walk in full, from c, with `fresh` frames already in scratch; kept out of the array. */
BL_NOINLINE static void walk_plain(struct bl_thread_state *t, const struct bl_origin *o,
                                   struct cursor c, uint32_t fresh, uint32_t depth,
                                   struct bl_walk *w)
{
    uint32_t limit = t->deep && depth < BL_FRAMES_MAX ? depth : BL_FRAMES_MAX;
    enum step step = STEP_ON;
    while (step == STEP_ON || step == STEP_SIGNAL) {
        if (fresh >= limit)
            break;
        struct bl_scratch_frame *f = &t->scratch[fresh++];
        note_frame(f, &c);
        c.exact = false;
        bool own = c.sp >= t->stack_low && c.sp < t->stack_high;
        step = step_out(&c, f, own ? t->stack_high : c.sp + FRAME_BYTES_MAX);
    }
    if (step == STEP_HARD) {
        walk_by_libunwind(t, o, depth, w);
        return;
    }
    w->known = 0;
    w->fresh = fresh;
    w->flags = step == STEP_UNROOTED ? BL_WALK_UNROOTED : 0;
    if (step == STEP_ON || step == STEP_SIGNAL) {
        w->flags = BL_WALK_DEEP;
        w->fresh = fresh < depth ? fresh : depth;
    }
    w->hash = hash_fresh(t, seed(t, w->flags), w->fresh);
}

/* The stack has more frames than can be kept: only the innermost count, until it has not. */
BL_NOINLINE static void walk_deep(struct bl_thread_state *t, const struct bl_origin *o,
                                  uint32_t depth, struct bl_walk *w)
{
    struct cursor c = {.sp = o->sp, .pc = o->pc, .rbp = o->rbp};
    walk_plain(t, o, c, 0, depth, w);
    t->deep = (w->flags & BL_WALK_DEEP) != 0;
    t->frame_count = 0;
    t->need_count = 0;
}

enum bl_step bl_capture_step(struct bl_origin *at, uint64_t high)
{
    struct cursor c = {.sp = at->sp, .pc = at->pc, .rbp = at->rbp};
    struct bl_scratch_frame f;
    note_frame(&f, &c);
    enum step step = step_out(&c, &f, high);
    *at = (struct bl_origin){.pc = c.pc, .sp = c.sp, .rbp = c.rbp};
    if (step == STEP_ON)
        return BL_STEP_ON;
    return step == STEP_ROOT ? BL_STEP_ROOT : BL_STEP_LOST;
}

static void finish(struct bl_thread_state *t, uint32_t known, uint32_t fresh, uint32_t flags,
                   struct bl_walk *w)
{
    uint64_t h = known ? t->details[known - 1].hash : seed(t, flags);
    uint32_t lost = t->frame_count - known;
    bool keep =
        (fresh < KEEP_DEEPER_BELOW && lost > fresh) || flags || known + fresh > BL_FRAMES_MAX;
    w->known = known;
    w->fresh = fresh;
    w->flags = flags;
    w->hash = keep ? hash_fresh(t, h, fresh) : commit(t, known, fresh, h);
}

void bl_capture_walk(struct bl_thread_state *t, const struct bl_origin *o, uint32_t depth,
                     struct bl_walk *ret_walk)
{
    uint32_t epoch = bl_load_relaxed(&bl_modules_epoch);
    if (BL_UNLIKELY(t->epoch != epoch)) {
        t->epoch = epoch;
        t->frame_count = 0;
        t->need_count = 0;
    }
    struct cursor c = {.sp = o->sp, .pc = o->pc, .rbp = o->rbp};
    if (BL_UNLIKELY(o->sp < t->stack_low || o->sp >= t->stack_high)) {
        walk_plain(t, o, c, 0, depth, ret_walk);
        return;
    }
    if (BL_UNLIKELY(t->deep)) {
        walk_deep(t, o, depth, ret_walk);
        return;
    }
    uint32_t kept = verify_kept(t, o->sp);
    uint32_t fresh = 0;
    for (;;) {
        while (kept > 0 && t->frames[kept - 1].sp < c.sp)
            kept--;
        if (kept > 0 && t->frames[kept - 1].sp == c.sp && t->frames[kept - 1].pc == c.pc &&
            (!t->details[kept - 1].demands_rbp || t->details[kept - 1].rbp == c.rbp)) {
            finish(t, kept, fresh, 0, ret_walk);
            return;
        }
        if (BL_UNLIKELY(fresh == BL_FRAMES_MAX)) {
            walk_deep(t, o, depth, ret_walk);
            t->deep = true;
            return;
        }
        struct bl_scratch_frame *f = &t->scratch[fresh++];
        note_frame(f, &c);
        enum step step = step_out(&c, f, t->stack_high);
        if (BL_LIKELY(step == STEP_ON))
            continue;
        if (step == STEP_ROOT)
            finish(t, 0, fresh, 0, ret_walk);
        else if (step == STEP_UNROOTED)
            finish(t, 0, fresh, BL_WALK_UNROOTED, ret_walk);
        else if (step == STEP_SIGNAL)
            walk_plain(t, o, c, fresh, depth, ret_walk);
        else
            walk_by_libunwind(t, o, depth, ret_walk);
        return;
    }
}

uint64_t bl_capture_pc(const struct bl_thread_state *t, const struct bl_walk *w, uint32_t i,
                       bool *ret_exact)
{
    *ret_exact = false;
    if (i >= w->fresh)
        return t->frames[w->known - 1 - (i - w->fresh)].pc;
    *ret_exact = t->scratch[i].exact;
    return t->scratch[i].pc - t->scratch[i].exact;
}
