/*
 * Requests over libgadget. Each request does everything that the library offers; in a run with
 * planted mistakes one in ten of them makes each mistake. The connection's arena stays. Prints what
 * a right report must say, as JSON: for each mistake its line and how often it was made.
 *   victim_gadget clean|planted REQUESTS THREADS
 */
#include "gadget.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mistake { MAKE, OPEN, HOLD, POP, ASSIGN, RESIZE, NOTE, ARENA, OVER, MISTAKES };
static const char *const names[MISTAKES] = {"make",   "open", "hold",  "pop", "assign",
                                            "resize", "note", "arena", "over"};
static atomic_int lines[MISTAKES];
static atomic_int counts[MISTAKES];
static int plants;
static int requests;

/* Is the mistake made this time? The line after the call is the one that a report must name. */
__attribute__((noinline)) static int makes(enum mistake mistake, int number, int line)
{
    atomic_store(&lines[mistake], line + 1);
    if (!plants || number % 10 != 0)
        return 0;
    atomic_fetch_add(&counts[mistake], 1);
    return 1;
}

__attribute__((noinline)) static void use_make(int number)
{
    int forgets = makes(MAKE, number, __LINE__);
    struct gadget *g = gadget_make(GADGET_BLUE, 1, 2, 0.5, 10, 7, "label", 42);
    if (!g)
        abort();
    gadget_measure(g);
    if (!forgets)
        gadget_drop(g);
}

__attribute__((noinline)) static void use_open(int number)
{
    struct gadget *g = NULL;
    if (gadget_open("", 10, &g) == 0)
        abort();
    int forgets = makes(OPEN, number, __LINE__);
    if (gadget_open("name", 50, &g) != 0)
        abort();
    if (!forgets)
        gadget_forget(&g);
    g = NULL;
    gadget_forget(&g); /* does nothing */
}

__attribute__((noinline)) static void hold(struct gadget *g, int number)
{
    int forgets = makes(HOLD, number, __LINE__);
    gadget_hold(g, 3);
    gadget_drop(g);
    gadget_drop(g);
    if (!forgets)
        gadget_drop(g);
}

__attribute__((noinline)) static void use_hold(int number)
{
    struct gadget *g = gadget_make(gadget_red, 0, 0, 0, 1, 30, "label", 42);
    hold(g, number);
    gadget_drop(g);
}

__attribute__((noinline)) static void use_queue(int number)
{
    struct gadget_queue *queue = gadget_queue_make();
    struct gadget *g = gadget_make(GADGET_GREY, 0, 0, 0, 1, 20, "label", 42);
    int forgets = makes(POP, number, __LINE__);
    gadget_queue_push(queue, g);
    if (number % 2 == 0) {
        struct gadget *popped = gadget_queue_pop(queue);
        if (!forgets)
            gadget_drop(popped);
    }
    gadget_queue_free(queue);
    gadget_drop(g);
}

__attribute__((noinline)) static void assign(struct gadget *other, int number)
{
    struct gadget *place = gadget_make(GADGET_GREY, 0, 0, 0, 1, 5, "label", 42);
    int forgets = makes(ASSIGN, number, __LINE__);
    gadget_assign(&place, other);
    gadget_assign(&place, other); /* the same again: a reference more, and one less */
    if (!forgets)
        gadget_drop(place);
}

__attribute__((noinline)) static void use_assign(int number)
{
    struct gadget *other = gadget_make(GADGET_GREY, 0, 0, 0, 1, 6, "label", 42);
    assign(other, number);
    gadget_drop(other);
}

__attribute__((noinline)) static void use_resize(int number)
{
    int forgets = makes(RESIZE, number, __LINE__);
    struct gadget *g = gadget_make(GADGET_BLUE, 0, 0, 0, 1, 11, "label", 42);
    if (gadget_resize(g, (size_t)-1))
        abort();
    g = gadget_resize(g, 77);
    if (!forgets)
        gadget_drop(g);
}

__attribute__((noinline)) static void use_notes(struct gadget_arena *connection, int number)
{
    int forgets = makes(NOTE, number, __LINE__);
    struct gadget_note *note = gadget_note_make(connection, 16);
    if (!forgets)
        gadget_note_free(note);
}

__attribute__((noinline)) static void use_arena(int number)
{
    int forgets = makes(ARENA, number, __LINE__);
    struct gadget_arena *arena = gadget_arena_make(NULL);
    struct gadget_arena *inner = gadget_arena_make(arena);
    gadget_note_free(gadget_note_make(arena, 16));
    gadget_note_pin(gadget_note_make(arena, 16));
    gadget_note_copy(gadget_note_make(inner, 8));
    if (number % 2)
        gadget_arena_clear(arena);
    gadget_note_make(arena, 4);
    if (!forgets)
        gadget_arena_free(arena);
}

__attribute__((noinline)) static void use_after(int number)
{
    struct gadget *g = gadget_make(GADGET_GREY, 0, 0, 0, 1, 5, "label", 42);
    gadget_drop(g);
    if (makes(OVER, number, __LINE__))
        gadget_drop(g);
}

static void *serve_all(void *unused)
{
    for (int i = 0; i < requests; i++) {
        use_make(i);
        use_open(i);
        use_hold(i);
        use_queue(i);
        use_assign(i);
        use_resize(i);
        use_arena(i);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[16];
    if (argc != 4)
        return 2;
    plants = strcmp(argv[1], "planted") == 0;
    requests = atoi(argv[2]);
    int count = atoi(argv[3]);
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, serve_all, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    struct gadget_arena *connection = gadget_arena_make(NULL);
    for (int i = 0; i < requests; i++) {
        use_notes(connection, i);
        use_after(i);
    }
    printf("{");
    for (int i = 0; i < MISTAKES; i++)
        printf("%s\"%s\": {\"line\": %d, \"count\": %d}", i ? ", " : "", names[i],
               atomic_load(&lines[i]), atomic_load(&counts[i]));
    printf("}\n");
    return 0;
}
