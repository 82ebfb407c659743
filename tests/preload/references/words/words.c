/*
 * A library with a function for each way in which a profile can describe one. A profile may name a
 * function in one class only, so every class of the test has all of them under a prefix of its own.
 * Calls among them are bound as the library is linked: nothing but a hook at the entry sees them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* The count is kept in every width. */
struct thing {
    void *content;    /*  0 */
    uint64_t bytes;   /*  8 */
    int64_t count_64; /* 16 */
    int32_t count_32; /* 24 */
    int16_t count_16; /* 28 */
    int8_t count_8;   /* 30 */
};

struct three {
    long values[3];
};

static long change(struct thing *t, int by)
{
    t->count_64 += by;
    t->count_32 += by;
    t->count_16 = (int16_t)(t->count_16 + by);
    t->count_8 = (int8_t)(t->count_8 + by);
    if (t->count_64 != 0)
        return t->count_64;
    free(t->content);
    free(t);
    return 0;
}

static struct thing *make(uint64_t bytes)
{
    struct thing *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    t->content = malloc(16);
    t->bytes = bytes;
    change(t, 1);
    return t;
}

/* As a compiler would inline it: no call that could be hooked. */
void words_quietly(struct thing *t, int by)
{
    change(t, by);
}

void words_end(struct thing *t)
{
    free(t->content);
    free(t);
}

#define EXPORTS(x)                                                                                 \
    struct thing *x##_new(uint64_t bytes)                                                          \
    {                                                                                              \
        return make(bytes);                                                                        \
    }                                                                                              \
    struct thing *x##_outer(uint64_t bytes)                                                        \
    {                                                                                              \
        struct thing *t = x##_new(bytes + 1);                                                      \
        t->bytes = bytes;                                                                          \
        return t;                                                                                  \
    }                                                                                              \
    struct thing *x##_outermost(uint64_t bytes)                                                    \
    {                                                                                              \
        struct thing *t = x##_outer(bytes + 1);                                                    \
        t->bytes = bytes;                                                                          \
        return t;                                                                                  \
    }                                                                                              \
    int x##_open(uint64_t bytes, struct thing **out)                                               \
    {                                                                                              \
        *out = bytes ? make(bytes) : NULL;                                                         \
        return bytes ? 0 : -1;                                                                     \
    }                                                                                              \
    struct thing **x##_box(uint64_t bytes)                                                         \
    {                                                                                              \
        struct thing **box = malloc(sizeof *box);                                                  \
        if (!box)                                                                                  \
            abort();                                                                               \
        *box = make(bytes);                                                                        \
        return box;                                                                                \
    }                                                                                              \
    void x##_fill(struct thing ***place, uint64_t bytes)                                           \
    {                                                                                              \
        **place = make(bytes);                                                                     \
    }                                                                                              \
    void x##_fill_deep(struct thing ****place, uint64_t bytes)                                     \
    {                                                                                              \
        ***place = make(bytes);                                                                    \
    }                                                                                              \
    double x##_nine(long a, long b, double c, long d, long e, long f, long g, uint64_t bytes,      \
                    struct thing **out, double h)                                                  \
    {                                                                                              \
        *out = make(bytes);                                                                        \
        return (double)(a + 2 * b + 3 * d + 4 * e + 5 * f + 6 * g) + c + h;                        \
    }                                                                                              \
    struct thing *x##_table(int rows, int columns)                                                 \
    {                                                                                              \
        return make((uint64_t)rows * (uint64_t)columns);                                           \
    }                                                                                              \
    long x##_sized(struct thing **out)                                                             \
    {                                                                                              \
        *out = make(33);                                                                           \
        return 33;                                                                                 \
    }                                                                                              \
    struct thing *x##_sized_by(const uint64_t *bytes)                                              \
    {                                                                                              \
        return make(*bytes);                                                                       \
    }                                                                                              \
    struct thing *x##_three(void)                                                                  \
    {                                                                                              \
        struct thing *t = make(1);                                                                 \
        change(t, 2);                                                                              \
        return t;                                                                                  \
    }                                                                                              \
    struct thing *x##_again(void)                                                                  \
    {                                                                                              \
        static struct thing only;                                                                  \
        only = (struct thing){.bytes = 5, .count_64 = 1, .count_32 = 1};                           \
        return &only;                                                                              \
    }                                                                                              \
    void x##_ref(struct thing *t)                                                                  \
    {                                                                                              \
        if (t)                                                                                     \
            change(t, 1);                                                                          \
    }                                                                                              \
    long x##_unref(struct thing *t)                                                                \
    {                                                                                              \
        return t ? change(t, -1) : 0;                                                              \
    }                                                                                              \
    struct thing *x##_intern(struct thing *known)                                                  \
    {                                                                                              \
        if (!known)                                                                                \
            return make(2);                                                                        \
        x##_ref(known);                                                                            \
        return known;                                                                              \
    }                                                                                              \
    void x##_ref_many(struct thing *t, int count)                                                  \
    {                                                                                              \
        change(t, count);                                                                          \
    }                                                                                              \
    void x##_unref_many(struct thing *t, int count)                                                \
    {                                                                                              \
        change(t, -count);                                                                         \
    }                                                                                              \
    int x##_unref_all_but_one(struct thing *t)                                                     \
    {                                                                                              \
        int count = (int)t->count_64 - 1;                                                          \
        change(t, -count);                                                                         \
        return count;                                                                              \
    }                                                                                              \
    int x##_try_ref(struct thing *t, int result)                                                   \
    {                                                                                              \
        if (result > 0)                                                                            \
            change(t, 1);                                                                          \
        return result;                                                                             \
    }                                                                                              \
    int x##_add(struct thing *t, int result)                                                       \
    {                                                                                              \
        if (result >= 0)                                                                           \
            change(t, 1);                                                                          \
        return result;                                                                             \
    }                                                                                              \
    void x##_ref_to(struct thing *t, struct thing **out)                                           \
    {                                                                                              \
        change(t, 1);                                                                              \
        *out = t;                                                                                  \
    }                                                                                              \
    void x##_hold(struct thing *t)                                                                 \
    {                                                                                              \
        x##_ref(t);                                                                                \
    }                                                                                              \
    void x##_put(struct thing **place)                                                             \
    {                                                                                              \
        x##_unref(*place);                                                                         \
        *place = NULL;                                                                             \
    }                                                                                              \
    void x##_free(struct thing *t)                                                                 \
    {                                                                                              \
        words_end(t);                                                                              \
    }                                                                                              \
    void x##_close(struct thing *t)                                                                \
    {                                                                                              \
        x##_ref(t);                                                                                \
        x##_unref(t);                                                                              \
        x##_free(t);                                                                               \
    }                                                                                              \
    struct thing *x##_resize(struct thing *t, uint64_t bytes)                                      \
    {                                                                                              \
        if (bytes == 0)                                                                            \
            return NULL;                                                                           \
        struct thing *moved = malloc(sizeof *t + 64);                                              \
        if (!moved)                                                                                \
            abort();                                                                               \
        *moved = *t;                                                                               \
        moved->bytes = bytes;                                                                      \
        free(t);                                                                                   \
        return moved;                                                                              \
    }                                                                                              \
    void x##_set_bytes(struct thing *t, uint64_t bytes)                                            \
    {                                                                                              \
        t->bytes = bytes;                                                                          \
    }                                                                                              \
    void x##_swap(struct thing **place, struct thing *other, uint64_t bytes)                       \
    {                                                                                              \
        change(other, 1);                                                                          \
        change(*place, -1);                                                                        \
        *place = other;                                                                            \
        other->bytes = bytes;                                                                      \
    }                                                                                              \
    void x##_give(struct thing *t, struct thing *into)                                             \
    {                                                                                              \
        into->bytes += t->bytes;                                                                   \
    }                                                                                              \
    void *x##_steal(struct thing *t)                                                               \
    {                                                                                              \
        void *content = t->content;                                                                \
        if (t->count_64 > 1) {                                                                     \
            x##_unref(t);                                                                          \
            return NULL;                                                                           \
        }                                                                                          \
        free(t);                                                                                   \
        return content;                                                                            \
    }                                                                                              \
    struct thing *x##_part(struct thing *owner, uint64_t bytes)                                    \
    {                                                                                              \
        (void)owner;                                                                               \
        return make(bytes);                                                                        \
    }                                                                                              \
    struct thing *x##_twin(struct thing *t)                                                        \
    {                                                                                              \
        return make(t->bytes);                                                                     \
    }                                                                                              \
    void x##_clear(struct thing *t)                                                                \
    {                                                                                              \
        (void)t;                                                                                   \
    }                                                                                              \
    struct thing *x##_register(uint64_t bytes)                                                     \
    {                                                                                              \
        struct thing *t = x##_new(bytes);                                                          \
        x##_ref(t);                                                                                \
        return t;                                                                                  \
    }                                                                                              \
    long x##_many(struct thing *t, long a, long b, long c, long d, long e, long f, long g, long h, \
                  long i, long j, long k, long l, long m, long n, long o, long p, long q, long r,  \
                  long s, long u, long v, long w, long y, long z)                                  \
    {                                                                                              \
        change(t, (int)z);                                                                         \
        return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j +        \
               11 * k + 12 * l + 13 * m + 14 * n + 15 * o + 16 * p + 17 * q + 18 * r + 19 * s +    \
               20 * u + 21 * v + 22 * w + 23 * y + 24 * z;                                         \
    }                                                                                              \
    double x##_float(double a, struct thing *t, float b, double c)                                 \
    {                                                                                              \
        change(t, 1);                                                                              \
        return a + 2 * (double)b + 4 * c;                                                          \
    }                                                                                              \
    struct three x##_struct(struct thing *t, long a)                                               \
    {                                                                                              \
        change(t, 1);                                                                              \
        return (struct three){{a, a + 1, a + 2}};                                                  \
    }                                                                                              \
    long x##_vary(struct thing *t, int count, ...)                                                 \
    {                                                                                              \
        va_list list;                                                                              \
        long sum = 0;                                                                              \
        change(t, 1);                                                                              \
        va_start(list, count);                                                                     \
        for (int i = 0; i < count; i++)                                                            \
            sum += i % 2 ? (long)va_arg(list, double) : va_arg(list, long);                        \
        va_end(list);                                                                              \
        return sum;                                                                                \
    }

EXPORTS(a)
EXPORTS(b)
EXPORTS(c)
EXPORTS(d)
EXPORTS(e)
EXPORTS(f)
EXPORTS(g)
EXPORTS(h)
EXPORTS(i)
EXPORTS(j)
EXPORTS(k)
EXPORTS(l)
EXPORTS(m)
EXPORTS(n)
EXPORTS(o)
EXPORTS(p)
EXPORTS(q)
EXPORTS(r)
EXPORTS(s)
EXPORTS(t)
EXPORTS(u)
EXPORTS(v)
EXPORTS(w)
EXPORTS(x)
EXPORTS(y)
EXPORTS(z)
EXPORTS(aa)
EXPORTS(bb)
EXPORTS(cc)
EXPORTS(dd)
EXPORTS(ee)
EXPORTS(ff)
EXPORTS(gg)
EXPORTS(hh)
EXPORTS(ii)
EXPORTS(jj)
EXPORTS(kk)
EXPORTS(ll)
EXPORTS(mm)
EXPORTS(nn)
EXPORTS(oo)
EXPORTS(pp)
EXPORTS(qq)
EXPORTS(rr)
EXPORTS(ss)
EXPORTS(tt)
EXPORTS(uu)
EXPORTS(vv)
EXPORTS(xx)
