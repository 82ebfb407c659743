#include "spans.h"
#include "sigsafe.h"

#include <string.h>
#include <sys/mman.h>

static bool grow(struct bl_spans *spans)
{
    uint32_t room = spans->room ? spans->room * 2 : 1024;
    struct bl_span *list = bl_sys_map((size_t)room * sizeof *list, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!list) {
        spans->failed = true;
        return false;
    }
    if (spans->list)
        memcpy(list, spans->list, spans->count * sizeof *list);
    spans->list = list;
    spans->room = room;
    return true;
}

void bl_spans_add(struct bl_spans *spans, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    struct bl_span *last = spans->count ? &spans->list[spans->count - 1] : NULL;
    if (last && start >= last->start && start <= last->end) {
        if (end > last->end)
            last->end = end;
        return;
    }
    if (spans->count == spans->room && !grow(spans))
        return;
    if (!spans->list)
        return;
    spans->list[spans->count++] = (struct bl_span){start, end};
}

static void sift(struct bl_span *list, uint32_t at, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && list[child + 1].start > list[child].start)
            child++;
        if (list[at].start >= list[child].start)
            return;
        struct bl_span held = list[at];
        list[at] = list[child];
        list[child] = held;
        at = child;
    }
}

static void sort(struct bl_span *list, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;)
        sift(list, i, count);
    for (uint32_t i = count; i-- > 1;) {
        struct bl_span held = list[0];
        list[0] = list[i];
        list[i] = held;
        sift(list, 0, i);
    }
}

void bl_spans_settle(struct bl_spans *spans)
{
    uint32_t kept = 0;
    if (!spans->list)
        return;
    sort(spans->list, spans->count);
    for (uint32_t i = 0; i < spans->count; i++) {
        struct bl_span next = spans->list[i];
        struct bl_span *last = kept ? &spans->list[kept - 1] : NULL;
        if (last && next.start <= last->end)
            last->end = next.end > last->end ? next.end : last->end;
        else
            spans->list[kept++] = next;
    }
    spans->count = kept;
}

uint32_t bl_spans_after(const struct bl_spans *spans, uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = spans->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (spans->list[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool bl_spans_cover(const struct bl_spans *spans, uint64_t start, uint64_t end)
{
    uint32_t i = bl_spans_after(spans, start);
    return i < spans->count && spans->list[i].start <= start && end <= spans->list[i].end;
}

void bl_spans_outside(const struct bl_spans *spans, uint64_t start, uint64_t end,
                      void (*visit)(void *context, uint64_t start, uint64_t end), void *context)
{
    uint32_t i = bl_spans_after(spans, start);
    while (start < end && i < spans->count && spans->list[i].start < end) {
        if (spans->list[i].start > start)
            visit(context, start, spans->list[i].start);
        start = spans->list[i].end;
        i++;
    }
    if (start < end)
        visit(context, start, end);
}
