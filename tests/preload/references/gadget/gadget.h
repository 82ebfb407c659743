/* A library as a third party would write one: counted buffers, queues of them, and arenas of notes.
 */
#ifndef GADGET_H
#define GADGET_H

#include <stddef.h>

struct gadget;
struct gadget_queue;
struct gadget_arena;
struct gadget_note;

enum gadget_colour { GADGET_GREY, GADGET_BLUE };
extern int gadget_red; /* what red is in this version */

/* items times item_bytes of room */
struct gadget *gadget_make(int colour, int rows, int columns, double scale, size_t items,
                           size_t item_bytes, const char *label, int flags);
/* 0, or -1 for an empty name */
int gadget_open(const char *name, size_t bytes, struct gadget **ret_gadget);
void gadget_hold(struct gadget *gadget, int times);
void gadget_drop(struct gadget *gadget);
/* and sets the pointer to NULL */
void gadget_forget(struct gadget **gadget);
/* Where it is now; NULL: there is no room, and it is as it was. */
struct gadget *gadget_resize(struct gadget *gadget, size_t bytes);
/* Puts another one in the place of what is there, with a reference of its own. */
void gadget_assign(struct gadget **place, struct gadget *other);
/* A look at it, which holds it meanwhile. */
size_t gadget_measure(struct gadget *gadget);

struct gadget_queue *gadget_queue_make(void);
/* keeps a reference */
void gadget_queue_push(struct gadget_queue *queue, struct gadget *gadget);
/* hands its reference out; NULL: the queue is empty */
struct gadget *gadget_queue_pop(struct gadget_queue *queue);
void gadget_queue_free(struct gadget_queue *queue);

struct gadget_arena *gadget_arena_make(struct gadget_arena *outer);
struct gadget_note *gadget_note_make(struct gadget_arena *arena, size_t bytes);
struct gadget_note *gadget_note_copy(struct gadget_note *note);
void gadget_note_free(struct gadget_note *note);
void gadget_arena_clear(struct gadget_arena *arena);
/* Frees the notes by gadget_note_free, but for those that are pinned. */
void gadget_arena_free(struct gadget_arena *arena);
void gadget_note_pin(struct gadget_note *note);

#endif
