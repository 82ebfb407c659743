#include "gadget.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX 4096
#define NOTES_MAX 4096

/* Offset 16 is what the profile says; the room for the content is a block of its own. */
struct gadget {
    void *room;
    const char *label;
    int count;
    int colour;
    size_t bytes;
};

int gadget_red = 7;

static struct gadget *make(size_t bytes, const char *label, int colour)
{
    struct gadget *g = malloc(sizeof *g);
    if (!g)
        abort();
    *g = (struct gadget){malloc(bytes ? bytes : 1), label, 1, colour, bytes};
    return g;
}

struct gadget *gadget_make(int colour, int rows, int columns, double scale, size_t items,
                           size_t item_bytes, const char *label, int flags)
{
    if (rows < 0 || columns < 0 || scale < 0 || flags != 42 || strcmp(label, "label") != 0)
        return NULL; /* what the caller gave did not arrive */
    return make(items * item_bytes, label, colour);
}

int gadget_open(const char *name, size_t bytes, struct gadget **ret_gadget)
{
    if (!*name)
        return -1;
    /* a call of its own exported function, bound when the library was linked */
    *ret_gadget = gadget_make(GADGET_GREY, 1, 1, 1.0, bytes, 1, "label", 42);
    return 0;
}

void gadget_hold(struct gadget *gadget, int times)
{
    gadget->count += times;
}

void gadget_drop(struct gadget *gadget)
{
    if (--gadget->count != 0) /* one too many has no effect but this */
        return;
    free(gadget->room);
    free(gadget);
}

void gadget_forget(struct gadget **gadget)
{
    if (*gadget)
        gadget_drop(*gadget);
    *gadget = NULL;
}

struct gadget *gadget_resize(struct gadget *gadget, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    /* always elsewhere, and the old one is gone before the new one is known */
    struct gadget former = *gadget;
    free(gadget);
    struct gadget *moved = malloc(sizeof *moved + bytes % 64);
    if (!moved)
        abort();
    *moved = former;
    moved->bytes = bytes;
    return moved;
}

void gadget_assign(struct gadget **place, struct gadget *other)
{
    struct gadget *former = *place;
    other->count++;
    *place = other;
    if (former && --former->count == 0) {
        free(former->room);
        free(former);
    }
}

static size_t look(struct gadget *gadget)
{
    gadget_hold(gadget, 2);
    size_t bytes = gadget->bytes;
    gadget_drop(gadget);
    gadget_drop(gadget);
    return bytes;
}

size_t gadget_measure(struct gadget *gadget)
{
    return look(gadget);
}

/* ---- queues ---- */

struct gadget_queue {
    size_t count;
    struct gadget *items[QUEUE_MAX];
};

struct gadget_queue *gadget_queue_make(void)
{
    return calloc(1, sizeof(struct gadget_queue));
}

static void keep(struct gadget_queue *queue, struct gadget *gadget)
{
    gadget_hold(gadget, 1);
    queue->items[queue->count++] = gadget;
}

void gadget_queue_push(struct gadget_queue *queue, struct gadget *gadget)
{
    if (queue->count < QUEUE_MAX)
        keep(queue, gadget);
}

struct gadget *gadget_queue_pop(struct gadget_queue *queue)
{
    return queue->count > 0 ? queue->items[--queue->count] : NULL;
}

void gadget_queue_free(struct gadget_queue *queue)
{
    while (queue->count > 0)
        gadget_drop(queue->items[--queue->count]);
    free(queue);
}

/* ---- arenas ---- */

struct gadget_note {
    struct gadget_arena *arena;
    bool is_pinned;
    bool is_free;
    char content[40];
};

/* Notes are no heap blocks of their own. */
struct gadget_arena {
    struct gadget_arena *inner;
    size_t count;
    struct gadget_note *notes;
};

struct gadget_arena *gadget_arena_make(struct gadget_arena *outer)
{
    struct gadget_arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        abort();
    arena->notes = calloc(NOTES_MAX, sizeof *arena->notes);
    if (outer)
        outer->inner = arena;
    return arena;
}

struct gadget_note *gadget_note_make(struct gadget_arena *arena, size_t bytes)
{
    struct gadget_note *note = &arena->notes[arena->count++];
    if (bytes > sizeof note->content || arena->count > NOTES_MAX)
        abort();
    note->arena = arena;
    note->is_free = false;
    return note;
}

struct gadget_note *gadget_note_copy(struct gadget_note *note)
{
    struct gadget_note *copy = &note->arena->notes[note->arena->count++];
    copy->arena = note->arena;
    return copy;
}

void gadget_note_free(struct gadget_note *note)
{
    note->is_free = true;
}

void gadget_note_pin(struct gadget_note *note)
{
    note->is_pinned = true;
}

static void empty(struct gadget_arena *arena)
{
    for (size_t i = 0; i < arena->count; i++)
        if (!arena->notes[i].is_free && !arena->notes[i].is_pinned)
            gadget_note_free(&arena->notes[i]);
    arena->count = 0;
    if (arena->inner) {
        empty(arena->inner);
        free(arena->inner->notes);
        free(arena->inner);
    }
    arena->inner = NULL;
}

void gadget_arena_clear(struct gadget_arena *arena)
{
    empty(arena);
}

void gadget_arena_free(struct gadget_arena *arena)
{
    empty(arena);
    free(arena->notes);
    free(arena);
}
