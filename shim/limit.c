#include "limit.h"
#include "clock.h"
#include "guard.h"
#include "ledger.h"
#include "sigsafe.h"

#define AWAIT_NS 1000000000u
#define PAUSE_NS 100000000u

bool bl_limit_on;

static uint64_t limit;
uint64_t bl_limit_sample_mean = 1; /* bytes between samples; 1: every block */
static bool fails;
static uint32_t due;                     /* atomic; counts the snapshots that became due */
static uint64_t due_ns;                  /* atomic; when the latest did */
static uint32_t shown;                   /* atomic, futex; the latest whose moment was copied */
static uint32_t served;                  /* atomic, futex; the latest of them that was answered */
static uint32_t answering;               /* the helper's: which it is at */
static uint32_t refused;                 /* atomic; 1 after the first */
static uint64_t next_due BL_ALIGNED(64); /* atomic; the next snapshot is due at so many used */
/* atomic; never more than limit if allocations are to fail, but for samples */
static uint64_t used_bytes BL_ALIGNED(64);

void bl_limit_init(uint64_t bytes, enum bl_limit_action action, uint64_t sample_bytes)
{
    limit = bytes;
    next_due = bytes;
    fails = action == BL_LIMIT_FAIL;
    bl_limit_sample_mean = sample_bytes;
    bl_limit_on = bytes > 0 && (fails || sample_bytes > 1);
}

void bl_limit_restart(uint64_t used)
{
    bl_store_relaxed(&used_bytes, used);
    shown = served = answering = due;
    refused = 0;
}

/* ---- snapshots ---- */

static void make_due(void)
{
    uint64_t unknown = 0;
    uint64_t now_ns = bl_clock_read(CLOCK_MONOTONIC);
    __atomic_compare_exchange_n(&bl_header->limit_reached_ns, &unknown, now_ns, false,
                                __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    bl_store_relaxed(&due_ns, now_ns);
    bl_tls.limit_crossed = true;
    __atomic_fetch_add(&due, 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&bl_header->wake, 1, __ATOMIC_RELEASE);
    bl_sys_futex_wake(&bl_header->wake);
}

/* At the limit, then whenever it is a tenth more. */
BL_COLD static void cross(uint64_t used)
{
    uint64_t next = bl_load_relaxed(&next_due);
    while (used >= next) {
        uint64_t after = used + (used < 10 ? 1 : used / 10);
        if (__atomic_compare_exchange_n(&next_due, &next, after, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            make_due();
            return;
        }
    }
}

void bl_limit_look_settled(uint64_t settled)
{
    if (BL_LIKELY(limit == 0))
        return;
    if (!bl_limit_on && settled >= bl_load_relaxed(&next_due))
        cross(settled);
    if (BL_UNLIKELY(bl_load_relaxed(&due) != bl_load_relaxed(&shown)))
        bl_tls.limit_crossed = true; /* by another thread, whose snapshot is to show that moment */
}

BL_INLINE void look(uint64_t used)
{
    if (BL_UNLIKELY(used >= bl_load_relaxed(&next_due)))
        cross(used);
}

/* What becomes due from here on, while the snapshot is made, is another one's. */
bool bl_limit_is_due(void)
{
    answering = bl_load_acquire(&due);
    return answering != bl_load_relaxed(&served);
}

void bl_limit_note_taken(void)
{
    bl_store_release(&shown, answering);
    bl_sys_futex_wake(&shown);
}

void bl_limit_done(bool made)
{
    if (made)
        bl_add_relaxed(&bl_header->limit_snapshots, 1);
    bl_limit_note_taken();
    bl_store_release(&served, answering);
    bl_sys_futex_wake(&served);
}

/* Until the word says so, the time is over, or there is nobody who would set it. */
static void await(uint32_t *word, uint32_t wanted, uint64_t end_ns)
{
    for (;;) {
        uint32_t seen = bl_load_acquire(word);
        uint64_t now_ns = bl_clock_read(CLOCK_MONOTONIC);
        if ((int32_t)(seen - wanted) >= 0 || now_ns >= end_ns ||
            bl_load_relaxed(&bl_header->flags) & BL_FLAG_NO_HELPER)
            return;
        struct timespec timeout = {.tv_nsec = (long)(end_ns - now_ns) % 1000000000};
        bl_sys_futex_wait(word, seen, &timeout);
    }
}

void bl_limit_await(void)
{
    await(&served, bl_load_acquire(&due), bl_clock_read(CLOCK_MONOTONIC) + AWAIT_NS);
}

void bl_limit_pause(void)
{
    bl_tls.limit_crossed = false;
    await(&shown, bl_load_acquire(&due), bl_load_relaxed(&due_ns) + PAUSE_NS);
}

/* ---- bytes ---- */

bool bl_limit_take(uint64_t bytes, uint64_t *ret_taken)
{
    uint64_t used = bl_load_relaxed(&used_bytes);
    bool is_sampled = bl_limit_sample_mean > 1;
    *ret_taken = is_sampled ? 0 : bytes;
    if (!fails)
        return true;
    do {
        if (BL_UNLIKELY(used > limit || bytes > limit - used)) {
            *ret_taken = 0;
            return false;
        }
    } while (!is_sampled && !__atomic_compare_exchange_n(&used_bytes, &used, used + bytes, true,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    look(used + bytes);
    return true;
}

/* 1 - e^-x for x > 0. */
static double share_of(double x)
{
    unsigned halvings = 0;
    if (x > 40)
        return 1;
    while (x > 0.125) {
        x /= 2;
        halvings++;
    }
    /* to x^6/720: exact to 4e-9 there */
    double share = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (1 - x / 6)))));
    while (halvings-- > 0)
        share = share * (2 - share); /* 1 - (1 - s)^2 */
    return share;
}

uint64_t bl_limit_weight(uint64_t size)
{
    if (BL_LIKELY(bl_limit_sample_mean <= 1) || size == 0)
        return size;
    double x = (double)size / (double)bl_limit_sample_mean;
    return (uint64_t)((double)size / share_of(x) + 0.5);
}

uint64_t bl_limit_blocks(uint64_t size)
{
    double x = (double)(size > 0 ? size : 1) / (double)bl_limit_sample_mean;
    return (uint64_t)((double)(1u << BL_BLOCKS_SHIFT) / share_of(x) + 0.5);
}

void bl_limit_settle(uint64_t taken, uint64_t used)
{
    if (BL_LIKELY(taken == used))
        return;
    uint64_t now = __atomic_add_fetch(&used_bytes, used - taken, __ATOMIC_RELAXED);
    if (used > taken)
        look(now);
}

/* ---- refusals ---- */

bool bl_limit_note_refused(uint64_t bytes)
{
    bl_add_relaxed(&bl_header->limit_refused, 1);
    bl_add_relaxed(&bl_header->limit_refused_bytes, bytes);
    if (__atomic_exchange_n(&refused, 1, __ATOMIC_RELAXED))
        return false;
    bl_store_relaxed(&bl_header->limit_first_bytes, bytes);
    return true;
}

void bl_limit_note_stack(uint32_t stack)
{
    bl_store_relaxed(&bl_header->limit_stack, stack);
    if (bl_load_relaxed(&bl_header->limit_reached_ns) == 0)
        make_due();
}
