/*
 * A library whose functions call back while they are under way, so that they can be left before
 * they are through.
 */
#include <stdint.h>
#include <stdlib.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct thing {
    int64_t count;
    uint64_t bytes[3];
};

typedef void callback(void);

struct thing *left_new(void)
{
    struct thing *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    t->count = 1;
    return t;
}

struct thing *left_part(struct thing *owner)
{
    (void)owner;
    return left_new();
}

void left_ref(struct thing *t)
{
    t->count++;
}

void left_unref(struct thing *t, callback *leave)
{
    if (--t->count > 0)
        return;
    if (leave)
        leave();
    free(t);
}

void left_destroy(struct thing *t, callback *leave)
{
    leave();
    free(t);
}

void left_clear(struct thing *t, callback *leave)
{
    (void)t;
    leave();
}

void left_swap(struct thing **place, struct thing *other, callback *leave)
{
    leave();
    (*place)->count--;
    other->count++;
    *place = other;
}

void *left_steal(struct thing *t, callback *leave)
{
    leave();
    free(t);
    return NULL;
}

struct thing *left_resize(struct thing *t, callback *leave)
{
    leave();
    return realloc(t, 4 * sizeof *t);
}

/* Not in the profile. */
void left_lose(struct thing *t)
{
    free(t);
}
