#include "annotate.h"
#include "clock.h"
#include "counters.h"
#include "hook_list.h"
#include "lock.h"
#include "losses.h"
#include "marks.h"
#include "names.h"
#include "references.h"
#include "say.h"
#include "track.h"

#include <errno.h>
#include <string.h>

static_assert(BUFLEAK_NAME_BYTES_ == BL_MARK_NAME, "a moment has its mark's name");

struct pool {
    char name[BL_MARK_NAME];
    uint8_t class_number;
};

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_POOLS */
static struct pool pools[BL_CLASSES_MAX];  /* below pool_count they do not change */
static uint32_t pool_count;                /* (lock) to write; release */
static uint8_t blocks_class;               /* (lock) to write; 0: none yet */

/* False: refused, and counted; else bl_track_leave must follow. */
static bool enter(void)
{
    bool interrupts = bl_tls.guard != 0;
    if (!interrupts && bl_track_enter())
        return true;
    bl_losses_add(BL_LOSS_calls_refused, 1);
    return false;
}

bool bl_annotate_is_recorded(void)
{
    uint32_t state = bl_load_relaxed(bl_track_state);
    return bl_track_begun && state != BL_TRACK_OFF;
}

/* ---- moments ---- */

static uint32_t own_thread(void)
{
    const struct bl_thread_state *t = bl_threads_current();
    return t ? t->number : 0;
}

static uint64_t add_mark(struct bl_new_mark mark, const struct bl_origin *o)
{
    uint64_t serial = 0;
    int saved = errno;
    mark.stack = bl_track_stack_entered(o);
    mark.thread = own_thread();
    bl_marks_add(&mark, &serial);
    errno = saved;
    return serial;
}

void bl_annotate_mark(const char *name, const struct bl_origin *o)
{
    if (!enter())
        return;
    add_mark((struct bl_new_mark){.name = name ? name : "", .kind = BL_MARK_PLAIN}, o);
    bl_track_leave();
}

void bl_annotate_test(const char *name)
{
    if (!enter())
        return;
    bl_threads_set_test(name && *name ? bl_names_add_str(name) : 0);
    bl_track_leave();
}

/* The blocks that pools are carved from are not in the heap's. */
static uint64_t live_bytes(void)
{
    uint64_t bytes = bl_marks_live_bytes();
    uint32_t count = bl_load_acquire(&pool_count);
    for (uint32_t i = 0; i < count; i++)
        bytes += bl_counters_sum(pools[i].class_number).bytes;
    return bytes;
}

void bl_annotate_checkpoint(const char *name, const struct bl_origin *o,
                            struct bufleak_moment *ret_moment)
{
    if (!enter())
        return;
    if (!name)
        name = "";
    ret_moment->serial =
        add_mark((struct bl_new_mark){.name = name, .kind = BL_MARK_CHECKPOINT}, o);
    ret_moment->live_bytes = live_bytes();
    memset(ret_moment->name, 0, sizeof ret_moment->name);
    memcpy(ret_moment->name, name, strnlen(name, sizeof ret_moment->name - 1));
    bl_track_leave();
}

int64_t bl_annotate_growth(const struct bufleak_moment *since)
{
    if (since->serial == 0 || !enter())
        return 0;
    int64_t grown = (int64_t)(live_bytes() - since->live_bytes);
    bl_track_leave();
    return grown;
}

/* Whatever a program calls a moment, a terminal is not told to obey it. */
static void add_name(struct bl_text *t, const char *name)
{
    for (; *name; name++)
        bl_text_bytes(t, (unsigned char)*name < 0x20 || *name == 0x7f ? "?" : name, 1);
}

/* The mark is named by its number: others may have the same name, and not every name is found. */
static void say_grown(const struct bufleak_moment *since, int64_t grown)
{
    char buffer[256];
    struct bl_text t;
    bl_say_begin(&t, buffer, sizeof buffer, bl_header->comm, bl_header->pid);
    bl_text_u64(&t, (uint64_t)grown);
    bl_text_str(&t, " bytes more than at checkpoint \"");
    add_name(&t, since->name);
    bl_text_str(&t, "\"; compare: bufleak diff ");
    bl_text_u64(&t, bl_header->pid);
    bl_text_str(&t, "@#");
    bl_text_u64(&t, since->serial);
    bl_text_str(&t, " ");
    bl_text_u64(&t, bl_header->pid);
    bl_say(&t);
}

bool bl_annotate_assert(const struct bufleak_moment *since, uint64_t allowed,
                        const struct bl_origin *o)
{
    if (since->serial == 0 || !enter())
        return true;
    int64_t grown = (int64_t)(live_bytes() - since->live_bytes);
    bool holds = grown <= 0 || (uint64_t)grown <= allowed;
    if (!holds) {
        add_mark((struct bl_new_mark){.name = since->name,
                                      .kind = BL_MARK_GREW,
                                      .since_serial = since->serial,
                                      .grown_bytes = grown},
                 o);
        say_grown(since, grown);
    }
    bl_track_leave();
    return holds;
}

/* ---- classes ---- */

static const struct pool *find_pool(const char *name, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strncmp(pools[i].name, name, sizeof pools[i].name - 1) == 0)
            return &pools[i];
    }
    return NULL;
}

static bool is_taken(const char *name)
{
    uint64_t classes = bl_load_acquire(&bl_header->published[BL_SECTION_CLASSES]);
    for (uint32_t n = 0; n < classes; n++) {
        const struct bl_class *class = bl_ledger_at(BL_SECTION_CLASSES, n);
        if (bl_names_equal(class->name, name))
            return true;
    }
    return false;
}

/* A class of that name that is not a pool's is another one: this is "pool-NAME" then. */
static const struct pool *make_pool_locked(const char *name)
{
    char shown[BL_MARK_NAME + 8];
    struct bl_text t;
    if (pool_count == BL_CLASSES_MAX)
        return NULL;
    struct pool *pool = &pools[pool_count];
    memset(pool->name, 0, sizeof pool->name);
    memcpy(pool->name, name, strnlen(name, sizeof pool->name - 1));
    bl_text_init(&t, shown, sizeof shown);
    bl_text_str(&t, *name == '\0' || is_taken(pool->name) ? "pool-" : "");
    bl_text_str(&t, pool->name);
    int number = bl_hook_list_add_class(shown, "", "bufleak.h");
    if (number < 0)
        return NULL;
    pool->class_number = (uint8_t)number;
    bl_refs_set_policy(pool->class_number, (struct bl_ref_policy){.ends_by_free = true});
    bl_hook_list_set_flags(pool->class_number, BL_CLASS_RELEASED);
    bl_store_release(&pool_count, pool_count + 1);
    return pool;
}

/* 0: there is no room for it. */
static uint8_t class_of_pool(const char *name)
{
    if (!name)
        name = "";
    const struct pool *pool = find_pool(name, bl_load_acquire(&pool_count));
    if (BL_UNLIKELY(!pool)) {
        bl_lock_take(&lock);
        pool = find_pool(name, pool_count);
        if (!pool)
            pool = make_pool_locked(name);
        bl_lock_give(&lock);
    }
    return pool ? pool->class_number : 0;
}

static uint8_t hidden_class(uint8_t *known, const char *name)
{
    uint8_t number = bl_load_acquire(known);
    if (BL_LIKELY(number != 0))
        return number;
    bl_lock_take(&lock);
    number = *known;
    int made = number ? number : bl_hook_list_add_hidden_class(name);
    if (made > 0 && !number) {
        number = (uint8_t)made;
        bl_live_hide_class(number);
        bl_refs_set_policy(number, (struct bl_ref_policy){.ends_by_free = true, .uncounted = true});
        bl_store_release(known, number);
    }
    bl_lock_give(&lock);
    return number;
}

static uint8_t class_of_ignored(void)
{
    return hidden_class(&bl_track_ignored_class, "ignored");
}

static uint8_t class_of_blocks(void)
{
    return hidden_class(&blocks_class, "pool-blocks");
}

/* ---- ignoring ---- */

void bl_annotate_ignore(uint64_t buffer)
{
    if (!enter())
        return;
    uint8_t ignored = class_of_ignored();
    if (ignored) {
        bl_live_move(buffer, BL_CLASS_HEAP, ignored);
        bl_refs_ignore(buffer);
    } else {
        bl_losses_add(BL_LOSS_calls_refused, 1);
    }
    bl_track_leave();
}

/* An end is never refused: its beginning may not have been. */
void bl_annotate_scope(int change)
{
    if (change < 0) {
        bl_tls.ignoring -= bl_tls.ignoring > 0;
        return;
    }
    if (!bl_load_acquire(&bl_track_ignored_class)) {
        if (!enter())
            return;
        uint8_t ignored = class_of_ignored();
        bl_track_leave();
        if (!ignored) {
            bl_losses_add(BL_LOSS_calls_refused, 1);
            return;
        }
    }
    bl_tls.ignoring++;
}

/* ---- pools ---- */

static struct bl_ref_event make_event(uint8_t class_number, uint64_t object,
                                      const struct bl_origin *o)
{
    return (struct bl_ref_event){
        .handle = object,
        .time_ns = bl_threads_event_ns(),
        .stack = bl_track_stack_entered(o),
        .thread = own_thread(),
        .class_number = class_number,
        .sp = o->sp,
    };
}

void bl_annotate_block(uint64_t block, const struct bl_origin *o)
{
    static const struct bl_ref_birth nobodys;
    if (!block || !enter())
        return;
    uint8_t blocks = class_of_blocks();
    if (!blocks) {
        bl_losses_add(BL_LOSS_calls_refused, 1);
    } else if (!bl_refs_known(block, blocks)) {
        struct bl_ref_event e = make_event(blocks, block, o);
        bl_refs_birth(&e, &nobodys);
        bl_live_move(block, BL_CLASS_HEAP, blocks);
    }
    bl_track_leave();
}

void bl_annotate_drop(uint64_t block, const struct bl_origin *o)
{
    struct bl_buffer recorded;
    if (!block || !enter())
        return;
    uint8_t blocks = bl_load_acquire(&blocks_class);
    if (blocks && bl_refs_known(block, blocks)) {
        struct bl_ref_event e = make_event(blocks, block, o);
        bl_refs_clear(&e);
        if (!bl_live_find(block, &recorded))
            bl_refs_end(&e);
    }
    bl_track_leave();
}

void bl_annotate_alloc(const char *pool, uint64_t block, uint64_t object, uint64_t size,
                       const struct bl_origin *o)
{
    if (!object || !enter())
        return;
    uint8_t class_number = class_of_pool(pool);
    if (class_number) {
        struct bl_ref_event e = make_event(class_number, object, o);
        const struct bl_ref_birth birth = {
            .size = size, .owner = block, .owner_class = block ? class_of_blocks() : 0};
        e.delta = 1;
        bl_refs_birth(&e, &birth);
    } else {
        bl_losses_add(BL_LOSS_calls_refused, 1);
    }
    bl_track_leave();
}

void bl_annotate_op(enum bl_annotate_op op, const char *pool, uint64_t object,
                    const struct bl_origin *o)
{
    if (!object || !enter())
        return;
    uint8_t class_number = class_of_pool(pool);
    if (class_number) {
        struct bl_ref_event e = make_event(class_number, object, o);
        if (op == BL_ANNOTATE_RETAIN) {
            e.delta = 1;
            bl_refs_retain(&e);
        } else if (op == BL_ANNOTATE_RELEASE) {
            e.delta = -1;
            bl_refs_release(&e);
        } else {
            bl_refs_end(&e);
        }
    } else {
        bl_losses_add(BL_LOSS_calls_refused, 1);
    }
    bl_track_leave();
}

/* ---- fork ---- */

void bl_annotate_lock(void)
{
    bl_lock_take(&lock);
}

void bl_annotate_unlock(void)
{
    bl_lock_give(&lock);
}

void bl_annotate_reset_lock(void)
{
    bl_lock_reset(&lock);
}
