/*
 * Calls functions of the library inside one another:
 *   PROGRAM CASE DEPTH       makes the case's calls inside DEPTH others; prints "done"
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct thing;
typedef void callback(void *data);

struct thing *deep_new(void);
struct thing *deep_part(struct thing *owner);
void deep_ref(struct thing *t);
void deep_unref(struct thing *t);
void deep_drop(struct thing *t, callback *inside, void *data);
void deep_destroy(struct thing *t, callback *inside, void *data);
void deep_clear(struct thing *t, callback *inside, void *data);
void deep_swap(struct thing **place, struct thing *other, callback *inside, void *data);
void *deep_steal(struct thing *t, int takes, callback *inside, void *data);
void *deep_steal_copy(struct thing *t, callback *inside, void *data);
struct thing *deep_resize(struct thing *t, callback *inside, void *data);

#define TIMES 40

struct shaft {
    int depth;
    void (*run)(void);
};

static void dig(void *data)
{
    const struct shaft *shaft = data;
    struct shaft deeper = {shaft->depth - 1, shaft->run};
    if (shaft->depth == 0)
        shaft->run();
    else
        deep_destroy(deep_new(), dig, &deeper);
}

static void destroy(void)
{
    struct thing *t = deep_new();
    deep_part(t);
    deep_part(t);
    deep_destroy(t, NULL, NULL);
}

static struct thing *kept;

static void clear(void)
{
    struct thing *t = deep_new();
    deep_part(t);
    deep_part(t);
    deep_clear(t, NULL, NULL);
    deep_unref(t);
}

static void steal(void)
{
    deep_steal(deep_new(), 1, NULL, NULL);
}

static void steal_nothing(void)
{
    kept = deep_new();
    deep_steal(kept, 0, NULL, NULL);
}

static void steal_copy(void)
{
    deep_steal_copy(deep_new(), NULL, NULL);
}

static void swap(void)
{
    struct thing *other = deep_new();
    kept = deep_new();
    deep_swap(&kept, other, NULL, NULL);
    deep_unref(other);
}

static void resize(void)
{
    kept = deep_resize(deep_new(), NULL, NULL);
}

static void drop(void)
{
    deep_drop(deep_new(), NULL, NULL);
}

static void keep(void)
{
    kept = deep_new();
}

static jmp_buf way_out;

static void jump(void)
{
    kept = deep_new();
    longjmp(way_out, 1); /* NOLINT(cert-err52-cpp) */
}

static void nothing(void)
{
}

/* What the case left is given back when all has been left again. */
static void give_back(void)
{
    deep_unref(kept);
}

/* Mistakes that are made when all has been left again. */
static void give_back_twice(void)
{
    deep_unref(kept);
    deep_unref(kept);
}

static int turn;

static void give_back_mostly(void)
{
    if (turn++ % 4 != 0)
        deep_unref(kept);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
        void (*after)(void);
    } cases[] = {
        {"destroy", destroy, nothing},
        {"clear", clear, nothing},
        {"steal", steal, nothing},
        {"steal-copy", steal_copy, nothing},
        {"steal-nothing", steal_nothing, give_back},
        {"swap", swap, give_back},
        {"resize", resize, give_back},
        {"drop", drop, nothing},
        {"twice", keep, give_back_twice},
        {"leak", keep, give_back_mostly},
        {"jump", jump, give_back_twice},
    };
    if (argc != 3)
        return 2;
    for (volatile size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shaft shaft = {atoi(argv[2]), cases[i].run};
        if (strcmp(cases[i].name, argv[1]) != 0)
            continue;
        for (volatile int n = 0; n < TIMES; n++) {
            if (setjmp(way_out) == 0) /* NOLINT(cert-err52-cpp) */
                dig(&shaft);
            cases[i].after();
        }
        puts("done");
        return 0;
    }
    return 2;
}
