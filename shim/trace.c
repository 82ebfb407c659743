#include "trace.h"
#include "sigsafe.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_SHIFT  12u
#define GIGA_SHIFT  30u
#define GIGA_PAGES  (1u << (GIGA_SHIFT - PAGE_SHIFT))
#define GIGAS       (1u << (47u - GIGA_SHIFT))
#define DIGIT_BITS  11u
#define PER_PAGE    513u /* blocks that start in one page, at most: addresses are 8 apart */
#define ADDRESS_MAX (1ull << 47)

static void *room_for(uint64_t count, size_t size)
{
    return bl_sys_map(count * size + BL_PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* ---- the table ---- */

static void sort_by_digit(const struct bl_trace_key *from, struct bl_trace_key *to, uint32_t count,
                          unsigned shift)
{
    uint32_t starts[1u << DIGIT_BITS] = {0};
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        starts[from[i].start >> shift & ((1u << DIGIT_BITS) - 1)]++;
    for (uint32_t d = 0; d < 1u << DIGIT_BITS; d++) {
        uint32_t here = starts[d];
        starts[d] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++)
        to[starts[from[i].start >> shift & ((1u << DIGIT_BITS) - 1)]++] = from[i];
}

/* Returns the array that is sorted: one of the two. Digits that are the same everywhere are left
 * out. */
static struct bl_trace_key *sort(struct bl_trace_key *keys, struct bl_trace_key *spare,
                                 uint32_t count)
{
    uint64_t differ = 0;
    for (uint32_t i = 1; i < count; i++)
        differ |= keys[i].start ^ keys[0].start;
    for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (!(differ >> shift & ((1u << DIGIT_BITS) - 1)))
            continue;
        sort_by_digit(keys, spare, count, shift);
        struct bl_trace_key *sorted = spare;
        spare = keys;
        keys = sorted;
    }
    return keys;
}

static int enter_pages(struct bl_trace *trace, uint32_t index)
{
    const struct bl_trace_block *b = &trace->blocks[index];
    for (uint64_t page = b->start >> PAGE_SHIFT; page <= (b->end - 1) >> PAGE_SHIFT; page++) {
        uint32_t **giga = &trace->pages[page >> (GIGA_SHIFT - PAGE_SHIFT)];
        if (!*giga)
            *giga = room_for(GIGA_PAGES, sizeof(uint32_t));
        if (!*giga)
            return -ENOMEM;
        uint32_t *first = &(*giga)[page & (GIGA_PAGES - 1)];
        if (!*first)
            *first = index + 1;
    }
    return 0;
}

int bl_trace_init(struct bl_trace *trace, struct bl_trace_key *keys, struct bl_trace_key *spare,
                  uint32_t count)
{
    int error = 0;
    keys = sort(keys, spare, count);
    trace->blocks = room_for(count, sizeof *trace->blocks);
    trace->queue = room_for(count, sizeof *trace->queue);
    trace->pages = room_for(GIGAS, sizeof *trace->pages);
    if (!trace->blocks || !trace->queue || !trace->pages)
        return -ENOMEM;
    for (uint32_t i = 0; i < count && !error; i++) {
        if (keys[i].end > ADDRESS_MAX || keys[i].start >= keys[i].end)
            continue;
        trace->blocks[trace->count] = (struct bl_trace_block){
            .start = keys[i].start,
            .end = keys[i].end,
            .number = keys[i].number,
            .is_unreadable = keys[i].is_unreadable != 0,
        };
        if (keys[i].end > trace->high)
            trace->high = keys[i].end;
        error = enter_pages(trace, trace->count++);
    }
    trace->low = trace->count ? trace->blocks[0].start : 0;
    return error;
}

BL_INLINE uint32_t find(const struct bl_trace *trace, uint64_t address)
{
    if (BL_LIKELY(address - trace->low >= trace->high - trace->low))
        return BL_TRACE_NONE;
    const uint32_t *giga = trace->pages[address >> GIGA_SHIFT];
    if (!giga)
        return BL_TRACE_NONE;
    uint32_t first = giga[address >> PAGE_SHIFT & (GIGA_PAGES - 1)];
    if (!first)
        return BL_TRACE_NONE;
    uint32_t low = first - 1;
    uint32_t high = low + PER_PAGE < trace->count ? low + PER_PAGE : trace->count;
    if (trace->blocks[low].start > address)
        return BL_TRACE_NONE;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (trace->blocks[middle].start <= address)
            low = middle;
        else
            high = middle;
    }
    return address < trace->blocks[low].end ? low : BL_TRACE_NONE;
}

uint32_t bl_trace_find(const struct bl_trace *trace, uint64_t address)
{
    return find(trace, address);
}

/* ---- holding ---- */

static uint32_t clamp(uint64_t value)
{
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

/* The word at slot, in the given holder, points into block `index`: true if it is reached only now.
 */
BL_INLINE bool hold(struct bl_trace *trace, uint32_t index, uint64_t word, uint64_t slot)
{
    struct bl_trace_block *b = &trace->blocks[index];
    bool exact = word == b->start;
    if (b->grade == BL_REACH_NONE) {
        b->grade = exact ? BL_REACH_EXACT : BL_REACH_INTERIOR;
        b->slot = slot;
        b->inside = clamp(word - b->start);
        trace->queue[trace->tail++] = index;
        return true;
    }
    if (exact && b->grade == BL_REACH_INTERIOR)
        b->grade = BL_REACH_EXACT;
    return false;
}

static void hold_by_root(struct bl_trace *trace, uint32_t index, uint64_t word, uint64_t slot)
{
    if (!hold(trace, index, word, slot))
        return;
    struct bl_trace_block *b = &trace->blocks[index];
    uint32_t number = ++trace->root_count;
    trace->roots[number] = (struct bl_reach_root){.slot = slot};
    if (trace->describe)
        trace->describe(trace->context, &trace->roots[number]);
    b->is_root = true;
    b->holder = number;
}

void bl_trace_word(struct bl_trace *trace, uint64_t slot, uint64_t word)
{
    uint32_t index = find(trace, word);
    if (index != BL_TRACE_NONE)
        hold_by_root(trace, index, word, slot);
}

void bl_trace_scan(struct bl_trace *trace, uint64_t start, uint64_t end, bool exact_only)
{
    start = (start + 7) & ~7ull;
    end &= ~7ull;
    if (start >= end)
        return;
    trace->root_bytes += end - start;
    for (uint64_t at = start; at < end; at += 8) {
        uint64_t word = *(const uint64_t *)(uintptr_t)at; // NOLINT(performance-no-int-to-ptr)
        uint32_t index = find(trace, word);
        if (BL_UNLIKELY(index != BL_TRACE_NONE) &&
            (!exact_only || trace->blocks[index].start == word))
            hold_by_root(trace, index, word, at);
    }
}

void bl_trace_keep(struct bl_trace *trace, uint32_t index, enum bl_root_kind kind)
{
    uint64_t start = trace->blocks[index].start;
    if (!hold(trace, index, start, start))
        return;
    uint32_t number = ++trace->root_count;
    trace->roots[number] = (struct bl_reach_root){.slot = start, .kind = (uint32_t)kind};
    trace->blocks[index].is_root = true;
    trace->blocks[index].holder = number;
}

/* Calls visit for each pointer in a block. */
typedef void visit_fn(struct bl_trace *trace, uint32_t holder, uint32_t index, uint64_t word,
                      uint64_t offset);

BL_INLINE void visit_block(struct bl_trace *trace, uint32_t holder, visit_fn *visit)
{
    const struct bl_trace_block *b = &trace->blocks[holder];
    uint64_t start = (b->start + 7) & ~7ull;
    uint64_t end = b->end & ~7ull;
    if (b->is_unreadable)
        return;
    for (uint64_t at = start; at < end; at += 8) {
        uint64_t word = *(const uint64_t *)(uintptr_t)at; // NOLINT(performance-no-int-to-ptr)
        uint32_t index = find(trace, word);
        if (BL_UNLIKELY(index != BL_TRACE_NONE))
            visit(trace, holder, index, word, at - b->start);
    }
    trace->heap_bytes += b->end - b->start;
}

BL_INLINE void hold_by_block(struct bl_trace *trace, uint32_t holder, uint32_t index, uint64_t word,
                             uint64_t offset)
{
    if (hold(trace, index, word, offset))
        trace->blocks[index].holder = holder;
}

void bl_trace_follow(struct bl_trace *trace)
{
    while (trace->head < trace->tail) {
        if (trace->head + 4 < trace->tail)
            __builtin_prefetch(&trace->blocks[trace->queue[trace->head + 4]]);
        if (trace->head + 2 < trace->tail)
            // NOLINTNEXTLINE(performance-no-int-to-ptr)
            __builtin_prefetch(
                (const void *)(uintptr_t)trace->blocks[trace->queue[trace->head + 2]].start);
        visit_block(trace, trace->queue[trace->head++], hold_by_block);
    }
}

/* ---- lost ---- */

BL_INLINE void note_led(struct bl_trace *trace, uint32_t holder, uint32_t index, uint64_t word,
                        uint64_t offset)
{
    (void)word;
    (void)offset;
    if (index != holder && trace->blocks[index].grade == BL_REACH_NONE)
        trace->blocks[index].is_led = true;
}

/* One that has led a circle so far comes under what leads to it, with all that follows it. */
BL_INLINE bool is_overtaken(const struct bl_trace *trace, uint32_t index)
{
    return trace->blocks[index].grade == BL_REACH_LEADER && index != trace->leading;
}

BL_INLINE void lead_on(struct bl_trace *trace, uint32_t holder, uint32_t index, uint64_t word,
                       uint64_t offset)
{
    struct bl_trace_block *b = &trace->blocks[index];
    bool is_new = b->grade == BL_REACH_NONE;
    if (!is_new && !is_overtaken(trace, index))
        return;
    b->grade = BL_REACH_INDIRECT;
    b->holder = holder;
    b->slot = offset;
    b->inside = clamp(word - b->start);
    if (is_new)
        trace->queue[trace->tail++] = index;
}

static void lead(struct bl_trace *trace, uint32_t index)
{
    trace->blocks[index].grade = BL_REACH_LEADER;
    trace->leading = index;
    trace->queue[trace->tail++] = index;
    while (trace->head < trace->tail)
        visit_block(trace, trace->queue[trace->head++], lead_on);
}

static bool is_older(const struct bl_trace *trace, uint32_t a, uint32_t b)
{
    uint32_t left = trace->blocks[a].number;
    uint32_t right = trace->blocks[b].number;
    uint64_t left_age = trace->age ? trace->age(trace->context, left) : 0;
    uint64_t right_age = trace->age ? trace->age(trace->context, right) : 0;
    return left_age != right_age ? left_age < right_age : left < right;
}

static void sift(const struct bl_trace *trace, uint32_t *heap, uint32_t at, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && is_older(trace, heap[child], heap[child + 1]))
            child++;
        if (!is_older(trace, heap[at], heap[child]))
            return;
        uint32_t moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

/* By heap: nothing of libc may be called here. */
static void sort_by_age(const struct bl_trace *trace, uint32_t *list, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;)
        sift(trace, list, i, count);
    for (uint32_t left = count; left-- > 1;) {
        uint32_t newest = list[0];
        list[0] = list[left];
        list[left] = newest;
        sift(trace, list, 0, left);
    }
}

/* What is left is in circles, or behind one. Without memory they are taken by address. */
static void lead_circles(struct bl_trace *trace)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < trace->count; i++)
        count += trace->blocks[i].grade == BL_REACH_NONE;
    uint32_t *list = count ? room_for(count, sizeof *list) : NULL;
    if (list) {
        uint32_t at = 0;
        for (uint32_t i = 0; i < trace->count; i++) {
            if (trace->blocks[i].grade == BL_REACH_NONE)
                list[at++] = i;
        }
        sort_by_age(trace, list, count);
        for (uint32_t i = 0; i < count; i++) {
            if (trace->blocks[list[i]].grade == BL_REACH_NONE)
                lead(trace, list[i]);
        }
        bl_sys_unmap(list, count * sizeof *list + BL_PAGE);
    }
    for (uint32_t i = 0; count && i < trace->count; i++) {
        if (trace->blocks[i].grade == BL_REACH_NONE)
            lead(trace, i);
    }
}

void bl_trace_lost(struct bl_trace *trace)
{
    uint64_t scanned = trace->heap_bytes;
    for (uint32_t i = 0; i < trace->count; i++) {
        if (trace->blocks[i].grade == BL_REACH_NONE)
            visit_block(trace, i, note_led);
    }
    for (uint32_t i = 0; i < trace->count; i++) {
        if (trace->blocks[i].grade == BL_REACH_NONE && !trace->blocks[i].is_led)
            lead(trace, i);
    }
    lead_circles(trace);
    trace->heap_bytes = scanned;
}
