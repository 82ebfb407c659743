#include "lacking.h"

#include <stdlib.h>

#define SHOWN __attribute__((visibility("default")))

/* LACKING_HEAD: bytes of the block before the thing; with some, no block begins at a handle.
 * LACKING_KEEPS: what has ended is kept for the next one. */
struct thing {
    long unused[4]; /* where allocators put their own into what is free */
    struct thing *next;
    volatile int refs; /* read of what is gone, by who releases it again */
};

#ifdef LACKING_KEEPS
static struct thing *kept;

static void give_back(struct thing *thing)
{
    thing->next = kept;
    kept = thing;
}

static struct thing *find_kept(void)
{
    struct thing *thing = kept;
    if (thing)
        kept = thing->next;
    return thing;
}
#else
static void give_back(struct thing *thing)
{
    free((char *)thing - LACKING_HEAD);
}

static struct thing *find_kept(void)
{
    return NULL;
}
#endif

static struct thing *make(void)
{
    struct thing *thing = find_kept();
    if (!thing) {
        char *block = malloc(sizeof(*thing) + LACKING_HEAD);
        if (!block)
            abort();
        thing = (struct thing *)(void *)(block + LACKING_HEAD);
    }
    thing->refs = 1;
    return thing;
}

static void lose(struct thing *thing)
{
    thing->refs = thing->refs - 1;
    if (thing->refs == 0)
        give_back(thing);
}

SHOWN struct thing *thing_new(void)
{
    return make();
}

SHOWN struct thing *thing_open(void)
{
    return make();
}

SHOWN struct thing *thing_ref(struct thing *thing)
{
    thing->refs = thing->refs + 1;
    return thing;
}

SHOWN struct thing *thing_grab(struct thing *thing)
{
    thing->refs = thing->refs + 1;
    return thing;
}

SHOWN void thing_unref(struct thing *thing)
{
    lose(thing);
}

SHOWN void thing_drop(struct thing *thing)
{
    lose(thing);
}
