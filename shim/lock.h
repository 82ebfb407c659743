/*
 * A mutex of one word on futex, because pthread mutexes cannot be made anew in a forked child and
 * other libraries interpose them.
 *
 * Whoever takes a lock has the thread's guard set (guard.h), so a signal handler that allocates
 * while the lock is held passes through instead of deadlocking. Not recursive.
 * Ranks: a thread that holds a lock takes only locks of a higher rank. bl_process takes all of them
 * in rank order before a fork.
 */
#ifndef BL_LOCK_H
#define BL_LOCK_H

#include "sigsafe.h"

#include <linux/futex.h>
#include <time.h>

enum bl_lock_rank {
    BL_RANK_POOLS,   /* annotate.c */
    BL_RANK_HOOKS,   /* hook_list.c */
    BL_RANK_REFS,    /* references.c, one per shard, in index order; then history.c; then slab.c */
    BL_RANK_OWNERS,  /* owners.c, in index order; nothing is taken inside */
    BL_RANK_FREES,   /* frees.c */
    BL_RANK_LIVE,    /* live.c, one per shard, taken in index order */
    BL_RANK_SLAB,    /* live.c: unused records */
    BL_RANK_STRAYS,  /* live.c, one per shard, taken in index order */
    BL_RANK_REGIONS, /* regions.c */
    BL_RANK_MARKS,   /* marks.c */
    BL_RANK_STACKS,  /* stacks.c, one per shard, then the trie */
    BL_RANK_JAVA,    /* jvm/: never across a call into the VM */
    BL_RANK_MODULES, /* modules.c */
    BL_RANK_THREADS, /* threads.c */
    BL_RANK_NAMES,   /* names.c */
    BL_RANK_LEDGER,  /* ledger.c: growth of a section */
    BL_RANK_ARENA,   /* arena.c: leaf */
};

struct bl_lock {
    uint32_t word; /* 0 free, 1 held, 2 held and waited for */
};

#define BL_LOCK_INIT                                                                               \
    {                                                                                              \
        0                                                                                          \
    }

#define BL_LOCK_LOOK_NS 1000000 /* between two looks of one that waits */

__attribute__((cold)) static inline void bl_lock_await(struct bl_lock *lock)
{
    const struct timespec look = {.tv_nsec = BL_LOCK_LOOK_NS};
    while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
        bl_sys4(SYS_futex, (long)&lock->word, FUTEX_WAIT_PRIVATE, 2, (long)&look);
}

BL_INLINE void bl_lock_take(struct bl_lock *lock)
{
    uint32_t seen = 0;
    if (BL_LIKELY(__atomic_compare_exchange_n(&lock->word, &seen, 1, false, __ATOMIC_ACQUIRE,
                                              __ATOMIC_RELAXED)))
        return;
    /* Critical sections are tens of nanoseconds: look again before sleeping. */
    for (int spin = 0; spin < 100; spin++) {
        __builtin_ia32_pause();
        seen = 0;
        if (bl_load_relaxed(&lock->word) == 0 &&
            __atomic_compare_exchange_n(&lock->word, &seen, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return;
    }
    bl_lock_await(lock);
}

/* A load and a store, because an atomic exchange costs as much as the section it ends. Who says
 * between the two that it waits is overlooked, and looks again by itself. */
BL_INLINE void bl_lock_give(struct bl_lock *lock)
{
#ifdef __SANITIZE_THREAD__ /* its clock of a thread that has ended takes no release store */
    uint32_t seen = __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE);
#else
    uint32_t seen = bl_load_relaxed(&lock->word);
    bl_store_release(&lock->word, 0);
#endif
    if (BL_UNLIKELY(seen == 2))
        bl_sys3(SYS_futex, (long)&lock->word, FUTEX_WAKE_PRIVATE, 1);
}

/* In a forked child, where the holder no longer exists. */
BL_INLINE void bl_lock_reset(struct bl_lock *lock)
{
    bl_store_relaxed(&lock->word, 0);
}

#endif
