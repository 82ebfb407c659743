#include "frees.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"
#include "stacks.h"
#include "table.h"

#define EVICT_SAMPLES 16u
/* From one candidate to the next: paths that were entered one after the other are alike. Prime, so
 * that all come to their turn. */
#define EVICT_STRIDE 6151u

/* Of the record with the same number. The key is kept here because the file is anybody's. */
struct entry {
    UT_hash_handle hh;
    uint64_t key;
    bool oom;
};

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_FREES: all below */
static struct entry entries[BL_FREES_MAX];
static struct entry *index_of_paths;
static uint32_t used = 1;
static uint32_t spare; /* a record that is in no index; 0: none */
static uint32_t hand;  /* of the latest candidate, less 1 */

BL_INLINE struct bl_free_path *path_at(uint32_t n)
{
    return bl_ledger_at(BL_SECTION_FREE_PATHS, n);
}

/* Seen least often, then longest ago. */
static bool is_worth_less(const struct bl_free_path *a, const struct bl_free_path *b)
{
    return a->count != b->count ? a->count < b->count : a->last_ns < b->last_ns;
}

/* The least useful of a few; its record is free afterwards. */
static uint32_t evict_locked(void)
{
    uint32_t victim = 0;
    for (uint32_t i = 0; i < EVICT_SAMPLES; i++) {
        hand = (hand + EVICT_STRIDE) % (used - 1);
        if (!victim || is_worth_less(path_at(hand + 1), path_at(victim)))
            victim = hand + 1;
    }
    HASH_DEL(index_of_paths, &entries[victim]);
    bl_store_release(&path_at(victim)->count, 0);
    bl_losses_add(BL_LOSS_free_paths_dropped, 1);
    return victim;
}

/* A record that is in no index. 0: no room. */
static uint32_t take_locked(void)
{
    uint32_t n = spare;
    spare = 0;
    if (n)
        return n;
    if (used >= BL_FREES_MAX || bl_ledger_ensure(BL_SECTION_FREE_PATHS, used + 1) != 0)
        return used > 1 ? evict_locked() : 0;
    n = used++;
    memset(path_at(n), 0, sizeof(struct bl_free_path));
    bl_ledger_publish(BL_SECTION_FREE_PATHS, used);
    return n;
}

/* 0: no room. */
static uint32_t enter_locked(uint64_t key, uint32_t alloc_stack, uint32_t free_stack, enum bl_op op)
{
    uint32_t n = take_locked();
    if (n) {
        struct entry *e = &entries[n];
        *e = (struct entry){.key = key};
        HASH_ADD(hh, index_of_paths, key, sizeof e->key, e);
        spare = e->oom ? n : 0;
    }
    if (!n || spare) {
        bl_losses_add(BL_LOSS_free_paths_dropped, 1);
        return 0;
    }
    *path_at(n) = (struct bl_free_path){.alloc_stack = alloc_stack,
                                        .free_stack = free_stack,
                                        .op = (uint32_t)op,
                                        .check = bl_free_path_check(alloc_stack, free_stack)};
    return n;
}

static void count(struct bl_free_path *p, const struct bl_buffer *b, uint64_t now_ns)
{
    uint64_t lifetime_ns = now_ns > b->birth_ns ? now_ns - b->birth_ns : 0;
    if (lifetime_ns > p->max_ns)
        p->max_ns = lifetime_ns;
    p->total_ns += lifetime_ns;
    p->bytes += b->size_bytes;
    p->last_ns = now_ns;
    bl_store_release(&p->count, p->count + 1);
}

void bl_frees_add(const struct bl_buffer *buffer, uint32_t free_stack, enum bl_op op,
                  uint64_t now_ns)
{
    uint64_t key = (uint64_t)buffer->stack << 32 | free_stack;
    struct entry *e = NULL;
    if (!buffer->stack || !free_stack)
        return;
    bl_stacks_keep(buffer->stack);
    bl_lock_take(&lock);
    HASH_FIND(hh, index_of_paths, &key, sizeof key, e);
    uint32_t n = e ? (uint32_t)(e - entries) : enter_locked(key, buffer->stack, free_stack, op);
    if (n)
        count(path_at(n), buffer, now_ns);
    bl_lock_give(&lock);
}

void bl_frees_lock(void)
{
    bl_lock_take(&lock);
}

void bl_frees_unlock(void)
{
    bl_lock_give(&lock);
}

void bl_frees_reset_lock(void)
{
    bl_lock_reset(&lock);
}

void bl_frees_reset(void)
{
    index_of_paths = NULL;
    used = 1;
    spare = 0;
    hand = 0;
}
