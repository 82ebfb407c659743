#include "shim_hook_victim.h"

#include <stdio.h>

#define NOINLINE __attribute__((noinline))

uint64_t hv_nine(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g,
                 uint64_t h, uint64_t i)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i;
}

double hv_doubles(double a, double b, double c, double d, double e, double f, double g, double h,
                  double i, int j)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + j;
}

long double hv_long_double(long double a, int b, long double c)
{
    return a * b + c;
}

int hv_print(char *buffer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = vsnprintf(buffer, 256, format, list);
    va_end(list);
    return length;
}

struct hv_pair hv_pair_of(uint64_t a, uint64_t b)
{
    return (struct hv_pair){a * 3, b * 5};
}

struct hv_mixed hv_mixed_of(double a, uint64_t b)
{
    return (struct hv_mixed){a / 2, b * 5};
}

struct hv_big hv_big_of(uint64_t seed, uint64_t step)
{
    struct hv_big big;
    for (unsigned i = 0; i < 7; i++)
        big.word[i] = seed + i * step;
    return big;
}

uint64_t hv_take_big(struct hv_big big, uint64_t factor)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < 7; i++)
        sum += big.word[i] * (i + 1);
    return sum * factor;
}

NOINLINE uint64_t hv_factorial(uint64_t n)
{
    uint64_t (*volatile again)(uint64_t) = hv_factorial;
    return n < 2 ? 1 : n * again(n - 1);
}

uint64_t hv_tail(uint64_t n)
{
    return hv_factorial(n + 1);
}

uint64_t hv_jump(jmp_buf to, int value)
{
    longjmp(to, value);
}

uint64_t hv_call(uint64_t (*function)(void *), void *context)
{
    return function(context) + 1;
}
