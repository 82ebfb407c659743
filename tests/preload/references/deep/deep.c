/*
 * A library whose functions call back while they are under way, so that they nest as deep as the
 * caller likes. Its memory is its own and is never given out again, and it keeps no count that a
 * profile could read: nothing but the calls tells what happens to a thing.
 */
#include <stddef.h>
#include <stdlib.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define THINGS 20000

struct thing {
    long count;
    struct thing *parts;
    struct thing *next;
};

typedef void callback(void *data);

static struct thing things[THINGS];
static size_t used;

struct thing *deep_new(void)
{
    if (used == THINGS)
        abort();
    struct thing *t = &things[used++];
    t->count = 1;
    return t;
}

struct thing *deep_part(struct thing *owner)
{
    struct thing *part = deep_new();
    part->next = owner->parts;
    owner->parts = part;
    return part;
}

void deep_ref(struct thing *t)
{
    t->count++;
}

void deep_unref(struct thing *t)
{
    t->count--;
}

static void release_parts(struct thing *owner)
{
    for (struct thing *part = owner->parts; part; part = part->next)
        deep_unref(part);
    owner->parts = NULL;
}

/* What is being destroyed is still in use: its last user takes a reference and gives it back. */
void deep_destroy(struct thing *t, callback *inside, void *data)
{
    if (inside)
        inside(data);
    deep_ref(t);
    release_parts(t);
    deep_unref(t);
}

void deep_clear(struct thing *t, callback *inside, void *data)
{
    if (inside)
        inside(data);
    release_parts(t);
}

void deep_swap(struct thing **place, struct thing *other, callback *inside, void *data)
{
    if (inside)
        inside(data);
    if (*place)
        (*place)->count--;
    if (other)
        other->count++;
    *place = other;
}

/* Takes the content out, or leaves it and says so by NULL. */
void *deep_steal(struct thing *t, int takes, callback *inside, void *data)
{
    if (inside)
        inside(data);
    if (!takes)
        return NULL;
    t->count--;
    return t;
}

/* Releases by the function that everybody calls. */
void *deep_steal_copy(struct thing *t, callback *inside, void *data)
{
    if (inside)
        inside(data);
    deep_unref(t);
    return t;
}

struct thing *deep_resize(struct thing *t, callback *inside, void *data)
{
    struct thing *moved = deep_new();
    if (inside)
        inside(data);
    moved->count = t->count;
    return moved;
}

/* Stands for the calls inside it. */
void deep_drop(struct thing *t, callback *inside, void *data)
{
    if (inside)
        inside(data);
    deep_unref(t);
}
