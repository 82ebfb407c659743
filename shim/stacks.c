#include "stacks.h"
#include "arena.h"
#include "conf.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"
#include "modules.h"
#include "stack_index.h"

#include <sys/mman.h>

#define SEEN_SHARDS 16u
#define SEEN_MAX    (1u << 18) /* per shard; a fuller one starts anew, the trie keeps the stacks */
#define FRAMES_MAX  BL_EDGE_FRAMES_MAX
#define WORDS       (FRAMES_MAX / 64)
#define SWEEP_BATCH 512u /* frames between two looks whether others want the lock */

/* Lock-free, two ways a set. A TLS handshake alone passes some thousand stacks: more than a memo
 * per thread should hold. check repeats the hash's upper half, so that a half-written entry does
 * not match. */
#define CACHE_SETS       (1u << 14)
#define CACHE_SETS_FIRST (1u << 8)

struct cached {
    uint64_t hash; /* relaxed atomics, both */
    uint64_t word; /* bits 0-31 stack, 32-63 check */
};

static struct cached cache[CACHE_SETS][2];
/* The sets in use, less one: as few pages are touched as the process has stacks. What was in a set
 * that is no longer looked into is found among the seen. */
static uint32_t cache_mask = CACHE_SETS_FIRST - 1; /* relaxed atomic */
static uint32_t cache_adds;                        /* relaxed atomic; about */

static struct seen_shard {
    struct bl_lock lock; /* BL_RANK_STACKS */
    struct bl_seen_set set;
} BL_ALIGNED(64) seen_shards[SEEN_SHARDS];

static struct bl_lock trie_lock = BL_LOCK_INIT; /* BL_RANK_STACKS, after the shards */
static struct bl_edges edges;                   /* (trie_lock) */

/* One bit a frame. Mapped at the first sweep, for good. */
struct maps {
    uint64_t marked[WORDS];     /* atomic */
    uint64_t aside[WORDS];      /* (trie_lock) freed, not to be used yet */
    uint64_t free[WORDS];       /* (trie_lock) */
    uint64_t words[WORDS / 64]; /* (trie_lock) which words of free are not 0 */
};
static struct maps *maps;    /* release store */
static uint32_t free_count;  /* (trie_lock) */
static uint32_t aside_count; /* (trie_lock) to write */
static uint32_t sweep_min = BL_SWEEP_MIN;
static uint32_t left_by_sweep;
uint32_t bl_stacks_sweeping;

BL_INLINE uint32_t cache_find(uint64_t hash)
{
    const struct cached *set = cache[hash & bl_load_relaxed(&cache_mask)];
    for (unsigned way = 0; way < 2; way++) {
        uint64_t word;
        if (bl_load_relaxed(&set[way].hash) != hash)
            continue;
        word = bl_load_relaxed(&set[way].word);
        if (word >> 32 == hash >> 32)
            return (uint32_t)word;
    }
    return 0;
}

BL_INLINE void cache_add(uint64_t hash, uint32_t stack)
{
    uint32_t mask = bl_load_relaxed(&cache_mask);
    struct cached *way = &cache[hash & mask][hash >> 20 & 1];
    bl_store_relaxed(&way->word, 0);
    bl_store_relaxed(&way->hash, hash);
    bl_store_relaxed(&way->word, (hash >> 32 << 32) | stack);
    if (mask < CACHE_SETS - 1 && bl_add_relaxed(&cache_adds, 1) > mask)
        bl_store_relaxed(&cache_mask, mask * 2 + 1);
}

static struct seen_shard *shard_of(uint64_t hash)
{
    return &seen_shards[hash >> 60 & (SEEN_SHARDS - 1)];
}

static uint32_t find_seen(uint64_t hash)
{
    struct seen_shard *shard = shard_of(hash);
    bl_lock_take(&shard->lock);
    uint32_t stack = bl_seen_find(&shard->set, hash);
    bl_lock_give(&shard->lock);
    return stack;
}

/* One that does not get in is found by the trie again next time. */
static void add_seen(uint64_t hash, uint32_t stack)
{
    struct seen_shard *shard = shard_of(hash);
    bl_lock_take(&shard->lock);
    if (shard->set.count >= SEEN_MAX)
        bl_seen_clear(&shard->set);
    bl_seen_add(&shard->set, hash, stack);
    bl_lock_give(&shard->lock);
}

/* ---- numbers that are free again ---- */

static void set_free_locked(uint32_t n)
{
    maps->free[n / 64] |= 1ull << n % 64;
    maps->words[n / 64 / 64] |= 1ull << n / 64 % 64;
    bl_store_relaxed(&free_count, free_count + 1);
}

static void clear_free_locked(uint32_t n)
{
    maps->free[n / 64] &= ~(1ull << n % 64);
    if (!maps->free[n / 64])
        maps->words[n / 64 / 64] &= ~(1ull << n / 64 % 64);
    bl_store_relaxed(&free_count, free_count - 1);
}

/* The bits above bit n of a word. */
BL_INLINE uint64_t above(uint32_t n)
{
    return n == 63 ? 0 : ~0ull << (n + 1);
}

/* The lowest free number above a caller's; 0: none. */
static uint32_t find_free_locked(uint32_t parent)
{
    if (free_count == 0)
        return 0;
    uint32_t word = parent / 64;
    uint64_t bits = maps->free[word] & above(parent % 64);
    uint64_t words = maps->words[word / 64] & above(word % 64);
    uint32_t last = (uint32_t)(bl_header->published[BL_SECTION_FRAMES] / 64 / 64);
    for (uint32_t i = word / 64; !bits; words = maps->words[i]) {
        if (words) {
            word = i * 64 + (uint32_t)__builtin_ctzll(words);
            bits = maps->free[word];
        } else if (++i > last || i >= WORDS / 64) {
            return 0;
        }
    }
    return word * 64 + (uint32_t)__builtin_ctzll(bits);
}

/* ---- the trie ---- */

/* The number of a new frame, addressable; 0: no room. */
static uint32_t next_number_locked(uint32_t parent)
{
    uint64_t used = bl_header->published[BL_SECTION_FRAMES];
    uint32_t n = find_free_locked(parent);
    if (n)
        return n;
    n = used == 0 ? 1u : (uint32_t)used;
    return n < FRAMES_MAX && bl_ledger_ensure(BL_SECTION_FRAMES, n + 1) == 0 ? n : 0;
}

/* A new trie node. 0: no room. */
static uint32_t add_frame_locked(const struct bl_edge *key)
{
    uint32_t n = next_number_locked(key->parent);
    if (!n || !bl_edges_add(&edges, key, n))
        return 0;
    struct bl_frame *frame = bl_ledger_at(BL_SECTION_FRAMES, n);
    bl_store_relaxed(&frame->parent, key->parent);
    bl_store_relaxed(&frame->module, key->module);
    bl_store_relaxed(&frame->offset, key->offset);
    if (n < bl_header->published[BL_SECTION_FRAMES])
        clear_free_locked(n);
    else
        bl_ledger_publish(BL_SECTION_FRAMES, n + 1);
    return n;
}

/* True: it was not marked before. */
BL_INLINE bool set_mark(struct maps *m, uint32_t n)
{
    uint64_t bit = 1ull << n % 64;
    return !(__atomic_fetch_or(&m->marked[n / 64], bit, __ATOMIC_RELAXED) & bit);
}

BL_COLD void bl_stacks_mark(uint32_t stack)
{
    struct maps *m = bl_load_acquire(&maps);
    uint64_t frames = bl_load_acquire(&bl_header->published[BL_SECTION_FRAMES]);
    while (stack && stack < frames && stack < FRAMES_MAX && set_mark(m, stack)) {
        const struct bl_frame *f = bl_ledger_at(BL_SECTION_FRAMES, stack);
        uint32_t parent = bl_load_relaxed(&f->parent);
        stack = parent < stack ? parent : 0;
    }
}

/* Enters the path keys[count-1] (outermost) .. keys[0] below `parent`; parents are filled in on the
 * way. */
static uint32_t enter_path(struct bl_edge *keys, uint32_t count, uint32_t parent)
{
    uint32_t frame = parent;
    bl_lock_take(&trie_lock);
    bool sweeping = bl_load_relaxed(&bl_stacks_sweeping);
    for (uint32_t i = count; i-- > 0;) {
        keys[i].parent = frame;
        uint32_t known = bl_edges_find(&edges, &keys[i]);
        frame = known ? known : add_frame_locked(&keys[i]);
        if (!frame)
            break;
        if (BL_UNLIKELY(sweeping))
            set_mark(maps, frame);
    }
    bl_lock_give(&trie_lock);
    return frame;
}

uint32_t bl_stacks_enter(const struct bl_stack_frame *frames, uint32_t count)
{
    size_t bytes = count * sizeof(struct bl_edge);
    struct bl_edge *keys = count > 0 ? bl_arena_alloc(bytes) : NULL;
    if (!keys)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        keys[i] = (struct bl_edge){.module = frames[i].module, .offset = frames[i].offset};
    uint32_t stack = enter_path(keys, count, 0);
    bl_arena_free(keys, bytes);
    return stack;
}

static void count_flags(const struct bl_walk *w, bool cut)
{
    if (cut)
        bl_losses_add(BL_LOSS_stacks_truncated, 1);
    if (w->flags & BL_WALK_UNROOTED)
        bl_losses_add(BL_LOSS_stacks_unrooted, 1);
    if (w->flags & BL_WALK_FALLBACK)
        bl_losses_add(BL_LOSS_stacks_fallback, 1);
}

static void fill_keys(struct bl_edge *keys, uint32_t count, const struct bl_thread_state *t,
                      const struct bl_walk *w)
{
    for (uint32_t i = 0; i < count; i++) {
        bool exact;
        uint64_t pc = bl_capture_pc(t, w, i, &exact);
        struct bl_location where = bl_modules_locate(pc);
        keys[i] = (struct bl_edge){
            .module = where.module | (exact ? BL_FRAME_EXACT : 0u),
            .offset = where.offset,
        };
    }
}

/* The whole stack is recorded, from its root: its frames are nodes of the trie as they stand. */
static bool is_whole(const struct bl_walk *w, uint32_t depth)
{
    return w->flags == 0 && w->known + w->fresh <= depth;
}

/* How many of the kept frames, outermost first, are in the trie already. */
static uint32_t entered(const struct bl_thread_state *t, const struct bl_walk *w, uint32_t depth)
{
    uint32_t count = is_whole(w, depth) ? w->known : 0;
    while (count > 0 && t->details[count - 1].trie == 0)
        count--;
    return count;
}

/* The path has been entered: the frames that the thread keeps learn where they are in the trie. */
static void note_entered(struct bl_thread_state *t, const struct bl_walk *w,
                         const struct bl_edge *keys, uint32_t count, uint32_t stack)
{
    uint32_t total = w->known + w->fresh;
    bool committed = t->frame_count == total;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = total - 1 - i;
        if (committed || k < w->known)
            t->details[k].trie = i == 0 ? stack : keys[i - 1].parent;
    }
}

/* Stacks that are new differ from the one before in their innermost frames: only those are looked
 * up. */
static uint32_t intern_new(struct bl_thread_state *t, const struct bl_walk *w, uint32_t depth)
{
    uint32_t total = w->known + w->fresh;
    uint32_t above = entered(t, w, depth);
    uint32_t count = (total < depth ? total : depth) - above;
    bool cut = above + count < total || (w->flags & BL_WALK_DEEP);
    size_t bytes = BL_DEPTH_MAX * sizeof(struct bl_edge);
    struct bl_edge *keys = bl_arena_alloc(bytes);
    uint32_t stack = above && keys ? t->details[above - 1].trie : 0;
    if (keys && count > 0) {
        fill_keys(keys, count, t, w);
        keys[count - 1].module |= cut ? BL_FRAME_TRUNCATED : 0u;
        keys[count - 1].module |= !cut && (w->flags & BL_WALK_UNROOTED) ? BL_FRAME_UNROOTED : 0u;
        stack = enter_path(keys, count, stack);
        if (stack && is_whole(w, depth))
            note_entered(t, w, keys, count, stack);
    }
    bl_arena_free(keys, bytes);
    if (!stack)
        bl_losses_add(BL_LOSS_stacks_dropped, 1);
    else
        count_flags(w, cut);
    return stack;
}

/* How a stack's buffers are sampled: the thread counts its births in the memo and watches the first
 * WATCHED_A_STEP, then as many at one in two on average, at one in four … at last one in
 * 2^WATCHED_STEPS. The distances are random: what a program does with every tenth buffer must not
 * fall in step with them. A memo that lost its place to another stack has forgotten how far it was
 * and goes on with one in 2^STEP_OF_KNOWN, so that many stacks that push each other out, or many
 * threads that live but shortly, are sampled no more often than that. */
#define WATCHED_A_STEP 8u
#define WATCHED_STEPS  10u
#define STEP_OF_KNOWN  7u

static uint32_t next_random(struct bl_thread_state *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return (uint32_t)(t->random >> 20);
}

/* The first birth on a stack, as far as the memo knows. */
static void watch_first(struct bl_thread_state *t, struct bl_memo *memo, bool is_new)
{
    memo->watched = is_new ? 0 : STEP_OF_KNOWN * WATCHED_A_STEP;
    memo->births_left = (uint16_t)(is_new ? 1 : 1 + (next_random(t) & ((1u << STEP_OF_KNOWN) - 1)));
}

/* A birth is watched: how many are until the next. Evenly 1 to 2^(step + 1) - 1, on average 2^step.
 */
static void watch_next(struct bl_thread_state *t, struct bl_memo *memo)
{
    if (memo->watched < WATCHED_STEPS * WATCHED_A_STEP)
        memo->watched++;
    uint32_t range = (2u << memo->watched / WATCHED_A_STEP) - 1;
    memo->births_left = (uint16_t)(1 + next_random(t) % range);
}

static uint32_t find_or_enter(struct bl_thread_state *t, const struct bl_walk *w, uint32_t depth,
                              bool *ret_new)
{
    uint32_t stack = cache_find(w->hash);
    *ret_new = false;
    if (BL_LIKELY(stack != 0))
        return stack;
    stack = find_seen(w->hash);
    if (!stack) {
        *ret_new = true;
        stack = intern_new(t, w, depth);
        if (stack)
            add_seen(w->hash, stack);
    }
    if (stack)
        cache_add(w->hash, stack);
    return stack;
}

BL_INLINE struct bl_memo *memo_of(struct bl_thread_state *t, const struct bl_walk *w,
                                  uint32_t depth)
{
    struct bl_memo *memo = &t->memo[w->hash & (BL_MEMO_SIZE - 1)];
    if (BL_LIKELY(memo->hash == w->hash && memo->stack))
        return memo;
    bool is_new;
    memo->stack = find_or_enter(t, w, depth, &is_new);
    memo->hash = w->hash;
    watch_first(t, memo, is_new);
    return memo;
}

uint32_t bl_stacks_intern(struct bl_thread_state *t, const struct bl_walk *w, uint32_t depth)
{
    return memo_of(t, w, depth)->stack;
}

uint32_t bl_stacks_intern_birth(struct bl_thread_state *t, const struct bl_walk *w, uint32_t depth,
                                bool *ret_watched)
{
    struct bl_memo *memo = memo_of(t, w, depth);
    *ret_watched = --memo->births_left == 0;
    if (BL_UNLIKELY(*ret_watched))
        watch_next(t, memo);
    return memo->stack;
}

void bl_stacks_forget_hashes(void)
{
    for (unsigned i = 0; i < SEEN_SHARDS; i++) {
        bl_lock_take(&seen_shards[i].lock);
        bl_seen_clear(&seen_shards[i].set);
        bl_lock_give(&seen_shards[i].lock);
    }
}

/* ---- reclaiming ---- */

void bl_stacks_set_sweep_min(uint32_t frames)
{
    sweep_min = frames;
}

static uint32_t in_use(void)
{
    uint64_t used = bl_load_relaxed(&bl_header->published[BL_SECTION_FRAMES]);
    uint64_t spare = (uint64_t)bl_load_relaxed(&free_count) + bl_load_relaxed(&aside_count);
    return used > spare ? (uint32_t)(used - spare) : 0;
}

bool bl_stacks_sweep_due(void)
{
    uint32_t frames = in_use();
    return frames >= sweep_min && frames / 2 >= left_by_sweep;
}

/* A thread that is late from the sweep before may mark a frame too many. */
static bool clear_marks(void)
{
    if (!maps)
        bl_store_release(&maps, (struct maps *)bl_arena_map(sizeof *maps));
    return maps &&
           bl_sys3(SYS_madvise, (long)maps->marked, sizeof maps->marked, MADV_DONTNEED) == 0;
}

bool bl_stacks_sweep_begin(void)
{
    if (!clear_marks())
        return false;
    bl_store_release(&bl_stacks_sweeping, 1);
    bl_modules_renew_epoch();
    bl_stacks_forget_hashes();
    return true;
}

void bl_stacks_sweep_cancel(void)
{
    bl_store_release(&bl_stacks_sweeping, 0);
}

/* One that is not in the index is left alone. */
static bool drop_frame_locked(uint32_t n)
{
    if (!bl_edges_remove(&edges, n))
        return false;
    maps->aside[n / 64] |=
        1ull << n % 64; /* together with the count: a fork may come between two */
    bl_store_relaxed(&aside_count, aside_count + 1);
    return true;
}

static uint32_t sweep_word_locked(uint32_t word, uint64_t limit, void (*freed)(uint32_t frame))
{
    uint64_t kept = __atomic_load_n(&maps->marked[word], __ATOMIC_RELAXED) | maps->aside[word] |
                    maps->free[word] | (word == 0);
    uint32_t count = 0;
    for (uint64_t gone = ~kept; gone; gone &= gone - 1) {
        uint32_t n = word * 64 + (uint32_t)__builtin_ctzll(gone);
        if (n < limit && drop_frame_locked(n)) {
            freed(n);
            count++;
        }
    }
    return count;
}

/* Frames that came since the beginning are marked, whatever their number. */
uint32_t bl_stacks_sweep(void (*freed)(uint32_t frame))
{
    uint64_t limit = bl_load_relaxed(&bl_header->published[BL_SECTION_FRAMES]);
    uint32_t count = 0;
    for (uint32_t word = 0; word * 64ull < limit;) {
        bl_lock_take(&trie_lock);
        for (uint32_t i = 0; i < SWEEP_BATCH / 64 && word * 64ull < limit; i++)
            count += sweep_word_locked(word++, limit, freed);
        bl_lock_give(&trie_lock);
    }
    bl_store_release(&bl_stacks_sweeping, 0);
    left_by_sweep = in_use();
    bl_store_relaxed(&bl_header->frame_sweeps, bl_header->frame_sweeps + 1);
    bl_store_relaxed(&bl_header->frames_reclaimed, bl_header->frames_reclaimed + count);
    return count;
}

uint32_t bl_stacks_set_aside(void)
{
    return bl_load_relaxed(&aside_count);
}

void bl_stacks_reuse(void)
{
    uint64_t limit = bl_load_relaxed(&bl_header->published[BL_SECTION_FRAMES]);
    bl_store_release(&bl_header->frame_reuse, bl_header->frame_reuse + 1);
    for (uint32_t word = 0; word * 64ull < limit; word++) {
        if (!maps->aside[word])
            continue;
        bl_lock_take(&trie_lock);
        for (uint64_t bits = maps->aside[word]; bits; bits &= bits - 1) {
            set_free_locked(word * 64 + (uint32_t)__builtin_ctzll(bits));
            bl_store_relaxed(&aside_count, aside_count - 1);
        }
        maps->aside[word] = 0;
        bl_lock_give(&trie_lock);
    }
}

void bl_stacks_lock(void)
{
    for (unsigned i = 0; i < SEEN_SHARDS; i++)
        bl_lock_take(&seen_shards[i].lock);
    bl_lock_take(&trie_lock);
}

void bl_stacks_unlock(void)
{
    bl_lock_give(&trie_lock);
    for (unsigned i = SEEN_SHARDS; i-- > 0;)
        bl_lock_give(&seen_shards[i].lock);
}

void bl_stacks_reset_lock(void)
{
    bl_stacks_sweep_cancel();
    bl_lock_reset(&trie_lock);
    for (unsigned i = 0; i < SEEN_SHARDS; i++)
        bl_lock_reset(&seen_shards[i].lock);
}

void bl_stacks_reset(void)
{
    bl_edges_forget(&edges);
    bl_arena_unmap(maps, sizeof *maps);
    maps = NULL;
    free_count = aside_count = left_by_sweep = 0;
    for (unsigned i = 0; i < SEEN_SHARDS; i++)
        seen_shards[i].set = (struct bl_seen_set){.slots = NULL};
}
