/* victim_lacking WHAT COUNT EVERY: lives of things, each EVERYth in another way. */
#include "lacking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 50

static struct thing *kept[KEPT];
static volatile int shared; /* else the compiler makes one function of two that are alike */

static __attribute__((noinline)) void finish(struct thing *thing)
{
    thing_unref(thing);
}

static __attribute__((noinline)) void finish_shared(struct thing *thing)
{
    thing_unref(thing); /* @finish-shared */
    shared = 1;
}

static __attribute__((noinline)) void finish_twice(struct thing *thing)
{
    thing_unref(thing);
    thing_unref(thing); /* @twice */
}

static __attribute__((noinline)) void finish_by_drop(struct thing *thing)
{
    thing_ref(thing);
    thing_drop(thing);
    thing_drop(thing);
}

static __attribute__((noinline)) void forget(void)
{
    struct thing *thing = thing_new();
    thing_ref(thing); /* @forget */
    thing_drop(thing);
}

/* The references that are grabbed and dropped have nothing wrong about them. */
static void live(const char *what, int is_other, int number)
{
    struct thing *thing = thing_new();
    struct thing *opened = NULL;
    if (!is_other) {
        finish(thing);
    } else if (strcmp(what, "grab") == 0) {
        thing_grab(thing);
        thing_grab(thing);
        finish(thing);
        finish_shared(thing);
        finish_shared(thing);
    } else if (strcmp(what, "keep") == 0) {
        /* the last reference stays with the one who grabbed it */
        thing_grab(thing);
        thing_grab(thing);
        finish(thing);
        finish_shared(thing);
        kept[number % KEPT] = thing;
    } else if (strcmp(what, "open") == 0) {
        finish(thing);
        opened = thing_open(); /* at the address of the one before */
        thing_ref(opened);
        finish_shared(opened);
        finish(opened);
    } else if (strcmp(what, "drop") == 0) {
        thing_ref(thing);
        thing_drop(thing);
        finish(thing);
    } else if (strcmp(what, "forget") == 0) {
        finish_by_drop(thing);
        forget();
    } else if (strcmp(what, "twice") == 0) {
        finish_twice(thing);
    } else if (strcmp(what, "grab-twice") == 0) {
        thing_grab(thing);
        finish(thing);
        if (number % 2)
            finish_shared(thing);
        else
            finish_twice(thing);
    } else if (strcmp(what, "leak") == 0) {
        thing_ref(thing); /* @leak */
        finish(thing);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int count = atoi(argv[2]);
    int every = atoi(argv[3]);
    for (int i = 0; i < count; i++)
        live(argv[1], i % every == 0, i / every);
    puts("done");
    return 0;
}
