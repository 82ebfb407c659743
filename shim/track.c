#include "track.h"
#include "clock.h"
#include "early.h"
#include "frees.h"
#include "ghosts.h"
#include "limit.h"
#include "losses.h"
#include "modules.h"
#include "references.h"
#include "stacks.h"
#include "thread_numbers.h"

static uint32_t off = BL_TRACK_OFF;
uint32_t *bl_track_state = &off;
struct bl_conf bl_track_conf;
void (*bl_track_attend)(void);
uint8_t bl_track_ignored_class;
bool bl_track_begun;
size_t bl_track_large_bytes = SIZE_MAX;
bool (*bl_track_large)(struct bl_thread_state *t, const struct bl_origin *o,
                       struct bl_buffer *buffer);

BL_COLD bool bl_track_attend_state(void)
{
    uint32_t state = bl_load_relaxed(bl_track_state);
    if (state == BL_TRACK_OFF)
        return false;
    bl_track_attend();
    return bl_load_relaxed(bl_track_state) != BL_TRACK_OFF;
}

BL_COLD void bl_track_pass_by(void)
{
    if (!bl_tls.internal)
        bl_losses_add(BL_LOSS_events_reentrant, 1);
}

void bl_track_unloaded(void)
{
    bool own = bl_tls.guard == 0;
    if (own)
        bl_guard_enter();
    if (bl_modules_check_unloads()) {
        bl_capture_flush();
        bl_stacks_forget_hashes();
    }
    if (own)
        bl_guard_leave();
}

BL_INLINE void walk(struct bl_thread_state *t, const struct bl_origin *o, struct bl_walk *ret_walk)
{
    /* The loader allocates when it loads a library, perhaps where another one was: glibc unloads
     * some (gconv) without anyone calling dlclose. */
    if (BL_UNLIKELY(o->pc - bl_modules_loader_start <
                    bl_modules_loader_end - bl_modules_loader_start))
        bl_track_unloaded();
    bl_capture_walk(t, o, bl_track_conf.depth_frames, ret_walk);
}

BL_INLINE uint32_t take_stack(struct bl_thread_state *t, const struct bl_origin *o)
{
    struct bl_walk w;
    walk(t, o, &w);
    return bl_stacks_intern(t, &w, bl_track_conf.depth_frames);
}

BL_INLINE void take_birth(struct bl_thread_state *t, const struct bl_origin *o,
                          struct bl_buffer *ret_buffer)
{
    struct bl_walk w;
    walk(t, o, &w);
    ret_buffer->stack =
        bl_stacks_intern_birth(t, &w, bl_track_conf.depth_frames, &ret_buffer->watched);
    ret_buffer->thread = t->number;
}

/* -ln of a random number in (0, 1]: exponentially distributed with mean 1. */
static double random_exponential(struct bl_thread_state *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    uint64_t bits = (t->random >> 11) | 1u; /* of 2^53 */
    int top = 63 - __builtin_clzll(bits);
    double m = (double)bits / (double)(1ull << top); /* 1 <= m < 2 */
    double z = (m - 1) / (m + 1);                    /* ln m = 2 atanh z, z <= 1/3 */
    double z2 = z * z;
    double ln_m = 2 * z * (1 + z2 * (1. / 3 + z2 * (1. / 5 + z2 * (1. / 7 + z2 / 9))));
    return (53 - top) * 0.6931471805599453 - ln_m;
}

/* Sample points lie on the line of allocated bytes as a Poisson process of the mean distance; a
 * block is recorded if a point falls into it. */
BL_COLD static bool sampled(struct bl_thread_state *t, size_t size)
{
    t->sample_left -= size > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)size;
    if (t->sample_left > 0)
        return false;
    double mean = (double)bl_track_conf.sample_bytes;
    while (t->sample_left <= 0)
        t->sample_left += 1 + (int64_t)(random_exponential(t) * mean);
    return true;
}

BL_COLD static bool record_large(struct bl_thread_state *t, void *address, size_t size,
                                 const struct bl_origin *o)
{
    struct bl_buffer buffer = {
        .address = (uint64_t)(uintptr_t)address,
        .size_bytes = size,
        .birth_ns = bl_clock_event_ns(),
        .class_number = BL_CLASS_HEAP,
    };
    return t && bl_track_large(t, o, &buffer);
}

BL_INLINE bool record(void *address, size_t size, uint8_t class_number, const struct bl_origin *o)
{
    struct bl_thread_state *t = bl_threads_current();
    bl_live_prefetch((uint64_t)(uintptr_t)address);
    bl_tls.recorded = address; /* or left out of the sample, which is decided once */
    bl_tls.recorded_size = size;
    if (BL_UNLIKELY(size >= bl_load_relaxed(&bl_track_large_bytes)) &&
        class_number == BL_CLASS_HEAP && record_large(t, address, size, o))
        return false;
    if (BL_UNLIKELY(bl_track_conf.sample_bytes > 1) && class_number == BL_CLASS_HEAP &&
        (!t || !sampled(t, size)))
        return false;
    struct bl_buffer buffer = {
        .address = (uint64_t)(uintptr_t)address,
        .size_bytes = size,
        .birth_ns = bl_clock_event_ns(),
        .class_number = class_number,
    };
    if (BL_LIKELY(t != NULL))
        take_birth(t, o, &buffer);
    else
        bl_losses_add(BL_LOSS_stacks_dropped, 1);
    if (BL_UNLIKELY(bl_tls.ignoring) && class_number == BL_CLASS_HEAP)
        buffer.class_number = bl_track_ignored_class;
    return bl_live_insert(&buffer);
}

bool bl_track_alloc(void *address, size_t size, uint8_t class_number, const struct bl_origin *o)
{
    if (!bl_track_enter()) {
        if (!bl_tls.guard && !bl_track_begun) {
            bl_losses_add(BL_LOSS_blocks_before_start, 1);
            bl_early_note((uint64_t)(uintptr_t)address, size);
        }
        return false;
    }
    bool recorded = record(address, size, class_number, o);
    bl_guard_leave();
    if (BL_UNLIKELY(bl_tls.limit_crossed))
        bl_limit_pause();
    return recorded;
}

/* The snapshot is made before the program goes on: it may be about to end for this. */
BL_COLD static void refuse(size_t bytes, const struct bl_origin *o)
{
    if (!bl_limit_note_refused(bytes))
        return;
    if (bl_track_enter()) {
        bl_limit_note_stack(bl_track_stack_entered(o));
        bl_guard_leave();
    } else {
        bl_limit_note_stack(0);
    }
    bl_limit_await();
}

BL_COLD bool bl_track_admit(size_t bytes, const struct bl_origin *o, uint64_t *ret_taken)
{
    *ret_taken = 0;
    if (bl_tls.guard || bl_load_relaxed(bl_track_state) == BL_TRACK_OFF)
        return true;
    if (bl_limit_take(bytes, ret_taken))
        return true;
    refuse(bytes, o);
    return false;
}

bool bl_track_admit_moved(struct bl_track_moved *moved, size_t size, const struct bl_origin *o)
{
    uint64_t taken = 0;
    size_t known = moved->is_limited ? moved->buffer.size_bytes : 0;
    bool admitted = size <= known || bl_track_admit(size - known, o, &taken);
    moved->taken += taken;
    return admitted;
}

void bl_track_resize(void *address, size_t size)
{
    if (!bl_track_enter())
        return;
    bl_live_resize((uint64_t)(uintptr_t)address, size);
    bl_guard_leave();
}

/* Inside one of our own calls into libc (no lock is held there) libc may free what it allocated for
 * the target, the text of dlerror for one. */
static bool forget_in_internal_call(void *address)
{
    bool internal = bl_tls.guard && bl_tls.guard == bl_tls.internal &&
                    bl_load_relaxed(bl_track_state) == BL_TRACK_ON;
    if (internal) {
        bl_guard_enter();
        bl_live_remove((uint64_t)(uintptr_t)address, NULL);
        bl_guard_leave();
    }
    return internal;
}

/* The end of a buffer that belongs to the sample. A thread that has no state any more, at its very
 * end, gets none for this. */
BL_NOINLINE static void note_end(const struct bl_buffer *b, enum bl_op op,
                                 const struct bl_origin *o)
{
    struct bl_thread_state *t = bl_tls.thread;
    if (t && b->class_number == BL_CLASS_HEAP)
        bl_frees_add(b, take_stack(t, o), op, bl_clock_event_ns());
}

/* No lock is held, and the block is the caller's until it is freed. */
static void tell_ghost(uint64_t address, const void *frame)
{
    struct bl_origin o = bl_origin_at(frame);
    if (bl_tls.thread)
        bl_ghosts_block_freed(address, take_stack(bl_tls.thread, &o));
}

BL_COLD static void attend_end(unsigned removed, const struct bl_buffer *watched, uint64_t address,
                               const void *frame)
{
    if (removed & BL_REMOVED_WATCHED) {
        struct bl_origin o = bl_origin_at(frame);
        note_end(watched, BL_OP_END, &o);
    }
    if (removed & BL_REMOVED_HELD && bl_refs_block_freed(address, bl_clock_event_ns()))
        tell_ghost(address, frame);
    if (removed == BL_REMOVED_NONE)
        bl_early_drop(address);
}

/* In a sample, most are. */
BL_COLD void bl_track_end_unknown(void)
{
    if (bl_track_conf.sample_bytes == 1)
        bl_losses_add(BL_LOSS_frees_unknown, 1);
}

BL_INLINE bool end(void *address, const void *frame)
{
    struct bl_buffer watched;
    if (BL_UNLIKELY(bl_tls.internal) && forget_in_internal_call(address))
        return true;
    if (!bl_track_enter())
        return true;
    unsigned removed = bl_live_end((uint64_t)(uintptr_t)address, &watched);
    if (BL_UNLIKELY(removed != BL_REMOVED))
        attend_end(removed, &watched, (uint64_t)(uintptr_t)address, frame);
    bl_guard_leave();
    return removed != BL_REMOVED_NONE;
}

bool bl_track_end(void *address, const void *frame)
{
    return end(address, frame);
}

void bl_track_free(void *address, const void *frame)
{
    if (BL_UNLIKELY(!end(address, frame)))
        bl_track_end_unknown();
}

/* The new block is in the table: it answers for what it points to. */
static void end_move(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    bl_tls.moving = 0;
}

void bl_track_realloc_begin(void *old, size_t size, struct bl_track_moved *ret_moved)
{
    ret_moved->known = false;
    ret_moved->is_limited = false;
    ret_moved->taken = 0;
    if (!bl_track_enter())
        return;
    ret_moved->known = bl_live_take_out((uint64_t)(uintptr_t)old, size, &ret_moved->buffer);
    if (BL_LIKELY(ret_moved->known)) {
        bl_store_relaxed(&bl_tls.moved_stack, ret_moved->buffer.stack);
        bl_store_relaxed(&bl_tls.moved_thread, ret_moved->buffer.thread);
    }
    ret_moved->is_limited = ret_moved->known && bl_live_is_limited(ret_moved->buffer.class_number);
    if (BL_UNLIKELY(bl_limit_on) && ret_moved->is_limited)
        ret_moved->taken = bl_limit_weight(ret_moved->buffer.size_bytes);
    if (!ret_moved->known)
        bl_early_drop((uint64_t)(uintptr_t)old);
    if (!ret_moved->known)
        bl_track_end_unknown();
    bl_guard_leave();
}

/* Has its stack been kept for it while libc had the block? Not if realloc was entered again from a
 * signal handler. */
BL_INLINE bool is_kept(const struct bl_buffer *b)
{
    return bl_tls.moved_stack == b->stack;
}

BL_COLD static bool restore(const struct bl_buffer *b)
{
    struct bl_buffer back = *b;
    if (!is_kept(b)) {
        back.stack = 0;
        back.thread = 0;
        bl_losses_add(BL_LOSS_stacks_dropped, 1);
    }
    bl_stacks_keep(back.stack);
    bl_thread_numbers_keep(back.thread);
    return bl_live_restore(&back);
}

/* Returns what the block uses of the limit. */
BL_INLINE uint64_t end_realloc(const struct bl_track_moved *moved, void *result, size_t size,
                               const struct bl_origin *o)
{
    uint64_t used = 0;
    if (!result && moved->known && size > 0) {
        if (restore(&moved->buffer) && moved->is_limited)
            used = moved->buffer.size_bytes;
    } else if (BL_UNLIKELY(moved->known && moved->buffer.watched && is_kept(&moved->buffer))) {
        note_end(&moved->buffer, result ? BL_OP_RESIZE : BL_OP_END, o);
    }
    /* what is ignored stays so */
    uint8_t class_number = moved->is_limited ? moved->buffer.class_number : BL_CLASS_HEAP;
    if (result && record(result, size, class_number, o))
        used = size;
    return BL_UNLIKELY(bl_limit_on) ? bl_limit_weight(used) : used;
}

void bl_track_realloc_end(const struct bl_track_moved *moved, void *result, size_t size,
                          const struct bl_origin *o)
{
    uint64_t used = 0;
    if (bl_track_enter()) {
        used = end_realloc(moved, result, size, o);
        end_move();
        bl_guard_leave();
        if (BL_UNLIKELY(bl_tls.limit_crossed))
            bl_limit_pause();
    } else {
        end_move();
    }
    if (BL_UNLIKELY(bl_limit_on))
        bl_limit_settle(moved->taken, used);
}

uint32_t bl_track_stack_entered(const struct bl_origin *o)
{
    struct bl_thread_state *t = bl_threads_current();
    return t ? take_stack(t, o) : 0;
}
