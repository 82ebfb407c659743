#include "thread_numbers.h"
#include "arena.h"
#include "ledger.h"
#include "lock.h"
#include "sigsafe.h"

#include <sys/mman.h>

#define NUMBERS_MAX (1u << 20)
#define WORDS       (NUMBERS_MAX / 64)
#define BATCH_WORDS 64 /* looked at in one turn of the lock */

struct sets {
    uint64_t ended[WORDS]; /* when the sweep began */
    uint64_t marked[WORDS];
    uint64_t aside[WORDS]; /* (threads lock) */
    uint64_t free[WORDS];  /* (threads lock) */
};

struct bl_lock bl_thread_lock = BL_LOCK_INIT; /* BL_RANK_THREADS */
uint32_t bl_thread_numbers_sweeping;
static struct sets *sets; /* NULL before the first sweep */
static uint32_t least = BL_THREAD_NUMBERS_MIN;
static uint32_t first_own = 1; /* the main thread: what it began is told by it for ever */
static uint32_t left_by_sweep;
static uint32_t aside_count; /* (threads lock), relaxed atomic */
static uint32_t free_count;  /* (threads lock), relaxed atomic */
static uint32_t free_word;   /* (threads lock) no free number is in a word before */

static uint32_t published(void)
{
    uint64_t count = bl_load_acquire(&bl_header->published[BL_SECTION_THREADS]);
    return count < NUMBERS_MAX ? (uint32_t)count : NUMBERS_MAX;
}

static uint32_t take_free_locked(void)
{
    while (free_word < WORDS && !sets->free[free_word])
        free_word++;
    if (free_word == WORDS)
        return 0;
    uint32_t bit = (uint32_t)__builtin_ctzll(sets->free[free_word]);
    sets->free[free_word] &= sets->free[free_word] - 1;
    bl_store_relaxed(&free_count, free_count - 1);
    return free_word * 64 + bit;
}

uint32_t bl_thread_numbers_take_locked(bool *ret_is_new)
{
    *ret_is_new = false;
    if (free_count > 0)
        return take_free_locked();
    uint32_t used = published();
    uint32_t n = used == 0 ? 1u : used;
    if (n >= NUMBERS_MAX || bl_ledger_ensure(BL_SECTION_THREADS, n + 1) != 0)
        return 0;
    *ret_is_new = true;
    return n;
}

static uint32_t in_use(void)
{
    uint32_t spare = bl_load_relaxed(&free_count) + bl_load_relaxed(&aside_count) + first_own;
    uint32_t used = published();
    return used > spare ? used - spare : 0;
}

bool bl_thread_numbers_due(void)
{
    uint32_t numbers = in_use();
    return numbers >= least && numbers / 2 >= left_by_sweep;
}

static bool clear_sets(void)
{
    if (!sets)
        bl_store_release(&sets, (struct sets *)bl_arena_map(sizeof *sets));
    return sets && bl_sys3(SYS_madvise, (long)sets->ended, sizeof sets->ended + sizeof sets->marked,
                           MADV_DONTNEED) == 0;
}

/* A number that is free is of one that has ended, and may be taken any moment. */
static void look_who_ended(void)
{
    uint32_t count = published();
    for (uint32_t n = first_own + 1; n < count; n++) {
        const struct bl_thread *record = bl_ledger_at(BL_SECTION_THREADS, n);
        if (bl_load_relaxed(&record->flags) & BL_THREAD_ENDED)
            sets->ended[n / 64] |= 1ull << n % 64;
    }
    for (uint32_t word = 0; word * 64 < count; word++)
        sets->ended[word] &= ~sets->free[word];
}

bool bl_thread_numbers_begin(void)
{
    if (!clear_sets())
        return false;
    bl_lock_take(&bl_thread_lock);
    look_who_ended();
    bl_lock_give(&bl_thread_lock);
    bl_store_release(&bl_thread_numbers_sweeping, 1);
    return true;
}

void bl_thread_numbers_cancel(void)
{
    bl_store_release(&bl_thread_numbers_sweeping, 0);
}

void bl_thread_numbers_mark(uint32_t number)
{
    struct sets *s = bl_load_acquire(&sets);
    if (s && number < NUMBERS_MAX)
        __atomic_fetch_or(&s->marked[number / 64], 1ull << number % 64, __ATOMIC_RELAXED);
}

static void set_aside_locked(uint32_t word)
{
    uint64_t gone = sets->ended[word] & ~__atomic_load_n(&sets->marked[word], __ATOMIC_RELAXED);
    sets->aside[word] = gone;
    bl_store_relaxed(&aside_count, aside_count + (uint32_t)__builtin_popcountll(gone));
}

void bl_thread_numbers_sweep(void)
{
    uint32_t count = published();
    for (uint32_t word = 0; word * 64 < count;) {
        bl_lock_take(&bl_thread_lock);
        for (uint32_t i = 0; i < BATCH_WORDS && word * 64 < count; i++)
            set_aside_locked(word++);
        bl_lock_give(&bl_thread_lock);
    }
    bl_store_release(&bl_thread_numbers_sweeping, 0);
    left_by_sweep = in_use();
}

uint32_t bl_thread_numbers_set_aside(void)
{
    return bl_load_relaxed(&aside_count);
}

static void free_locked(uint32_t word)
{
    uint32_t count = (uint32_t)__builtin_popcountll(sets->aside[word]);
    sets->free[word] |= sets->aside[word];
    sets->aside[word] = 0;
    bl_store_relaxed(&aside_count, aside_count - count);
    bl_store_relaxed(&free_count, free_count + count);
    if (count && word < free_word)
        free_word = word;
}

void bl_thread_numbers_reuse(void)
{
    uint32_t count = published();
    bl_store_release(&bl_header->frame_reuse, bl_header->frame_reuse + 1);
    for (uint32_t word = 0; word * 64 < count;) {
        bl_lock_take(&bl_thread_lock);
        for (uint32_t i = 0; i < BATCH_WORDS && word * 64 < count; i++)
            free_locked(word++);
        bl_lock_give(&bl_thread_lock);
    }
}

void bl_thread_numbers_set_min(uint32_t numbers)
{
    least = numbers;
}

void bl_thread_numbers_after_fork(void)
{
    bl_thread_numbers_sweeping = 0;
    bl_arena_unmap(sets, sizeof *sets);
    sets = NULL;
    uint32_t count = published();
    first_own = count ? count : 1;
    left_by_sweep = 0;
    aside_count = free_count = free_word = 0;
}
