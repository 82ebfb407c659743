#include "shim_shapes.h"

#include <alloca.h>
#include <stdarg.h>
#include <string.h>

#define KEEP(x) __asm__ volatile("" : : "r"(x) : "memory")

#define SHAPE(name) static __attribute__((noinline)) void name(struct walk_plan *p)

SHAPE(plain)
{
    p->probe();
    shape_descend(p);
    KEEP(p);
}

/* two sites of one frame, over and over: what an incremental walk must not confuse */
SHAPE(two_sites)
{
    for (unsigned i = 0; i < 3; i++) {
        p->probe();
        if (i == 1)
            shape_descend(p);
        p->probe();
    }
    KEEP(p);
}

SHAPE(with_alloca)
{
    char *block = alloca(16 + shape_random(p) % 700);
    KEEP(block);
    shape_descend(p);
    p->probe();
    KEEP(block);
}

SHAPE(grows_while_it_calls)
{
    for (unsigned i = 0; i < 2; i++) {
        char *block = alloca(1 + shape_random(p) % 100);
        KEEP(block);
        p->probe();
        shape_descend(p);
    }
    KEEP(p);
}

SHAPE(with_vla)
{
    unsigned n = 1 + (unsigned)(shape_random(p) % 90);
    long values[n];
    memset(values, 0, sizeof values);
    KEEP(values);
    shape_descend(p);
    KEEP(values);
    p->probe();
    KEEP(values);
}

SHAPE(aligned)
{
    char __attribute__((aligned(64))) line[64];
    memset(line, 1, sizeof line);
    KEEP(line);
    p->probe();
    shape_descend(p);
    KEEP(line);
}

SHAPE(aligned_and_growing)
{
    char __attribute__((aligned(32))) line[96];
    char *block = alloca(8 + shape_random(p) % 300);
    KEEP(line);
    KEEP(block);
    shape_descend(p);
    p->probe();
    KEEP(line);
    KEEP(block);
}

SHAPE(big)
{
    char page[4200];
    memset(page, 2, sizeof page);
    KEEP(page);
    shape_descend(p);
    p->probe();
    KEEP(page);
}

static __attribute__((noinline)) long many(struct walk_plan *p, long a, long b, long c, long d,
                                           long e, long f, long g, long h, long i)
{
    p->probe();
    shape_descend(p);
    return a + b + c + d + e + f + g + h + i;
}

SHAPE(arguments_on_the_stack)
{
    KEEP(many(p, 1, 2, 3, 4, 5, 6, 7, 8, 9));
    KEEP(many(p, 9, 8, 7, 6, 5, 4, 3, 2, 1));
}

static __attribute__((noinline)) long varied(struct walk_plan *p, int count, ...)
{
    va_list rest;
    long sum = 0;
    va_start(rest, count);
    while (count-- > 0)
        sum += va_arg(rest, long); // NOLINT(clang-analyzer-valist.Uninitialized)
    va_end(rest);
    shape_descend(p);
    p->probe();
    return sum;
}

SHAPE(variadic)
{
    KEEP(varied(p, 8, 1L, 2L, 3L, 4L, 5L, 6L, 7L, 8L));
}

struct wide {
    long values[12];
};

static __attribute__((noinline)) struct wide make_wide(struct walk_plan *p)
{
    struct wide w = {{0}};
    p->probe();
    shape_descend(p);
    w.values[3] = (long)p->depth;
    return w;
}

SHAPE(returns_a_struct)
{
    struct wide w = make_wide(p);
    KEEP(&w);
    p->probe();
}

/* the frame pointer as an ordinary register: its caller's value must be found on the stack */
SHAPE(many_registers)
{
    uint64_t a = shape_random(p);
    uint64_t b = shape_random(p);
    uint64_t c = shape_random(p);
    uint64_t d = shape_random(p);
    uint64_t e = shape_random(p);
    uint64_t f = shape_random(p);
    p->probe();
    shape_descend(p);
    a ^= b + p->depth;
    c ^= d + p->depth;
    p->probe();
    KEEP(a + b + c + d + e + f);
    KEEP(a ^ b ^ c ^ d ^ e ^ f);
}

SHAPE(jumps_into_another)
{
    p->probe();
    if (shape_random(p) & 1)
        many_registers(p);
    else
        plain(p);
}

SHAPE(recursive)
{
    if (shape_random(p) % 3 && p->depth < p->depth_max && p->calls_left > 0) {
        p->calls_left--;
        p->depth++;
        recursive(p);
        p->depth--;
    }
    p->probe();
    shape_descend(p);
    KEEP(p);
}

extern shape_fn *const SHAPES[SHAPES_EACH];
shape_fn *const SHAPES[SHAPES_EACH] = {
    plain,
    two_sites,
    with_alloca,
    grows_while_it_calls,
    with_vla,
    big,
    arguments_on_the_stack,
    variadic,
    returns_a_struct,
    many_registers,
    jumps_into_another,
    recursive,
    aligned,
    aligned_and_growing,
};
