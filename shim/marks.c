#include "marks.h"
#include "clock.h"
#include "counters.h"
#include "ledger.h"
#include "lock.h"
#include "losses.h"

#include <errno.h>
#include <string.h>

#define HEAP 0u

static struct bl_lock lock = BL_LOCK_INIT; /* BL_RANK_MARKS */
static uint64_t made;                      /* (lock) marks made so far */

BL_INLINE struct bl_mark *mark_at(uint64_t serial)
{
    return bl_ledger_at(BL_SECTION_MARKS, (uint32_t)((serial - 1) % BL_MARKS_MAX));
}

static void copy_name(char to[BL_MARK_NAME], const char *name)
{
    size_t length = strnlen(name, BL_MARK_NAME - 1);
    memset(to, 0, BL_MARK_NAME);
    memcpy(to, name, length);
}

static void fill_classes(struct bl_mark *m)
{
    uint64_t classes = bl_load_acquire(&bl_header->published[BL_SECTION_CLASSES]);
    m->class_count = (uint32_t)(classes < BL_CLASSES_MAX ? classes : BL_CLASSES_MAX);
    memset(m->classes, 0, sizeof m->classes);
    for (uint32_t n = 0; n < m->class_count; n++) {
        struct bl_live_sums sums = bl_counters_sum(n);
        m->classes[n] = (struct bl_mark_class){.live_bytes = sums.bytes,
                                               .live_count = sums.count,
                                               .allocs = sums.allocs,
                                               .ended = sums.frees};
    }
}

static void fill_requests(struct bl_mark *m)
{
    uint64_t count = bl_load_acquire(&bl_header->published[BL_SECTION_BOUNDARIES]);
    m->boundary = 0;
    m->completed = 0;
    for (uint32_t n = 0; n < count && n < BL_BOUNDARIES_MAX; n++) {
        const struct bl_boundary *b = bl_ledger_at(BL_SECTION_BOUNDARIES, n);
        bool is_asked = bl_load_relaxed(&b->flags) & BL_BOUNDARY_ASKED;
        uint64_t completed = bl_load_relaxed(&b->completed);
        if (!is_asked && completed <= m->completed)
            continue;
        m->boundary = n + 1;
        m->completed = completed;
        if (is_asked)
            return;
    }
}

static int add_locked(const struct bl_new_mark *mark, uint64_t *ret_serial)
{
    uint64_t serial = made + 1;
    uint32_t records = (uint32_t)(serial < BL_MARKS_MAX ? serial : BL_MARKS_MAX);
    if (bl_ledger_ensure(BL_SECTION_MARKS, records) != 0)
        return -ENOSPC;
    struct bl_mark *m = mark_at(serial);
    bl_store_release(&m->serial, 0);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* before it means another one */
    m->time_ns = bl_clock_read(CLOCK_MONOTONIC);
    m->kind = (uint32_t)mark->kind;
    m->thread = mark->thread;
    m->stack = mark->stack;
    m->rss_bytes = bl_load_relaxed(&bl_header->rss_bytes);
    m->grown_bytes = mark->grown_bytes;
    m->since_serial = mark->since_serial;
    copy_name(m->name, mark->name);
    fill_classes(m);
    fill_requests(m);
    bl_store_release(&m->serial, serial);
    bl_ledger_publish(BL_SECTION_MARKS, records);
    if (serial > BL_MARKS_MAX)
        bl_losses_add(BL_LOSS_marks_dropped, 1);
    made = serial;
    *ret_serial = serial;
    return 0;
}

int bl_marks_add(const struct bl_new_mark *mark, uint64_t *ret_serial)
{
    uint64_t serial = 0;
    bl_lock_take(&lock);
    int error = add_locked(mark, &serial);
    bl_lock_give(&lock);
    if (error)
        bl_losses_add(BL_LOSS_marks_dropped, 1);
    if (ret_serial)
        *ret_serial = serial;
    return error;
}

uint64_t bl_marks_live_bytes(void)
{
    return bl_counters_sum(HEAP).bytes;
}

bool bl_marks_find(uint64_t serial, uint64_t *ret_bytes)
{
    bl_lock_take(&lock);
    bool found = serial > 0 && serial <= made && made - serial < BL_MARKS_MAX &&
                 mark_at(serial)->serial == serial;
    if (found)
        *ret_bytes = mark_at(serial)->classes[HEAP].live_bytes;
    bl_lock_give(&lock);
    return found;
}

void bl_marks_answer(void)
{
    uint32_t requests = bl_load_acquire(&bl_header->mark_requests);
    if (requests == bl_header->mark_served)
        return;
    char name[BL_MARK_NAME];
    memcpy(name, bl_header->mark_name, sizeof name);
    name[sizeof name - 1] = '\0';
    struct bl_new_mark mark = {.name = name, .kind = BL_MARK_PLAIN};
    int error = bl_marks_add(&mark, NULL);
    bl_store_release(&bl_header->mark_error, -error);
    bl_store_release(&bl_header->mark_served, requests);
    bl_sys_futex_wake(&bl_header->mark_served);
}

void bl_marks_reset(void)
{
    bl_lock_reset(&lock);
    made = 0;
}
