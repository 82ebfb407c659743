/* Functions with every kind of head and signature, in a library of their own. */
#ifndef BL_TEST_HOOK_VICTIM_H
#define BL_TEST_HOOK_VICTIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hv_pair {
    uint64_t a;
    uint64_t b;
};

struct hv_mixed {
    double a;
    uint64_t b;
};

struct hv_big {
    uint64_t word[7];
};

/* compiled C */
uint64_t hv_nine(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g,
                 uint64_t h, uint64_t i);
double hv_doubles(double a, double b, double c, double d, double e, double f, double g, double h,
                  double i, int j);
long double hv_long_double(long double a, int b, long double c);
int hv_print(char *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct hv_pair hv_pair_of(uint64_t a, uint64_t b);
struct hv_mixed hv_mixed_of(double a, uint64_t b);
struct hv_big hv_big_of(uint64_t seed, uint64_t step);
uint64_t hv_take_big(struct hv_big big, uint64_t factor);
uint64_t hv_factorial(uint64_t n);
uint64_t hv_tail(uint64_t n);
uint64_t hv_jump(jmp_buf to, int value);
/* a callback under the function */
uint64_t hv_call(uint64_t (*function)(void *), void *context);

/* assembly: the head is exactly what the name says */
#define HV_HOOKABLE(X)                                                                             \
    X(hv_asm_endbr, 41, 42)                                                                        \
    X(hv_asm_endbr_jcc_short, 0, 7)                                                                \
    X(hv_asm_endbr_jcc_short, 5, 6)                                                                \
    X(hv_asm_endbr_jcc_near, 0, 9)                                                                 \
    X(hv_asm_endbr_jcc_near, 5, 4)                                                                 \
    X(hv_asm_jcc_short, 0, 7)                                                                      \
    X(hv_asm_jcc_short, 5, 6)                                                                      \
    X(hv_asm_jcc_near, 0, 9)                                                                       \
    X(hv_asm_jcc_near, 5, 4)                                                                       \
    X(hv_asm_rip, 1, 1235)                                                                         \
    X(hv_asm_rip_immediate, 77, 1)                                                                 \
    X(hv_asm_jmp_short, 3, 103)                                                                    \
    X(hv_asm_jmp_near, 3, 103)                                                                     \
    X(hv_asm_jmp_register, 3, 103)                                                                 \
    X(hv_asm_jmp_memory, 3, 103)                                                                   \
    X(hv_asm_call, 3, 204)                                                                         \
    X(hv_asm_call_register, 3, 204)                                                                \
    X(hv_asm_call_memory, 3, 204)                                                                  \
    X(hv_asm_ret_padded, 3, 3)                                                                     \
    X(hv_asm_ret_long_nop, 3, 3)                                                                   \
    X(hv_asm_ret_zeros, 3, 3)                                                                      \
    X(hv_asm_recursive, 4, 10)                                                                     \
    X(hv_asm_long, 1, 0x1122334455667789)

#define HV_REFUSED(X)                                                                              \
    X(hv_asm_short_neighbour, "too short")                                                         \
    X(hv_asm_short_falls_on, "too short")                                                          \
    X(hv_asm_into_head, "branch into its head")                                                    \
    X(hv_asm_endbr_into_head, "branch into its head")                                              \
    X(hv_asm_entered_from_before, "branch into its head from elsewhere")                           \
    X(hv_asm_entered_from_behind, "branch into its head from elsewhere")                           \
    X(hv_asm_to_entry, "branch into its head")                                                     \
    X(hv_asm_loop, "loop instruction in its head")                                                 \
    X(hv_asm_jrcxz, "loop instruction in its head")                                                \
    X(hv_asm_breakpoint, "breakpoint of a debugger at its entry")                                  \
    X(hv_asm_call_within, "call within its head")                                                  \
    X(hv_asm_call_on_stack, "indirect call in its head")                                           \
    X(hv_asm_undecodable, "undecodable")

#define HV_ASM(name, ...) uint64_t name(uint64_t a);
HV_HOOKABLE(HV_ASM)
HV_REFUSED(HV_ASM)
#undef HV_ASM

/* The first jumps into the head of the second. */
uint64_t hv_asm_enters_when_hooked(uint64_t a);
uint64_t hv_asm_entered_when_hooked(uint64_t a);

/* Calls the function with every caller-saved register set, and returns the number of registers that
 * changed. The function keeps them all. */
uint64_t hv_asm_registers(uint64_t (*function)(uint64_t));
uint64_t hv_asm_keeps(uint64_t a);

/* C++: hv_catch calls hv_throw_over, which calls hv_throw. 1: caught what was thrown, 0: nothing
 * was. */
uint64_t hv_throw(uint64_t value);
uint64_t hv_throw_over(uint64_t value, int *destroyed);
int hv_catch(uint64_t value, int *destroyed);

#ifdef __cplusplus
}
#endif

#endif
