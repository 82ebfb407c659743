/*
 * One frame's unwinding rule, from .eh_frame, for the part of it that matters on x86-64: where the
 * caller's stack pointer is and where its rbp was saved.
 *
 * The rule of a return address is found once (_dl_find_object, the binary search table of
 * .eh_frame_hdr, one FDE interpreted) and kept in a process-wide cache of 64-bit words, so a warm
 * lookup is one load. DWARF 5 section 6.4 and the LSB's .eh_frame_hdr describe the input.
 * Threads: any, lock-free. Signal context: safe (_dl_find_object is). Allocates nothing.
 * Trust: .eh_frame of loaded objects is trusted as far as libgcc trusts it.
 */
#ifndef BL_CFI_H
#define BL_CFI_H

#include "compiler.h"

enum bl_cfi_type {
    BL_CFI_UNSET = 0,
    BL_CFI_RSP = 1,     /* CFA = rsp + cfa */
    BL_CFI_RBP = 2,     /* CFA = rbp + cfa */
    BL_CFI_REALIGN = 3, /* CFA = *(rbp + cfa), rbp = *(rbp + rbp_slot): realigned stack frame */
    BL_CFI_SIGNAL = 4,  /* the kernel's signal frame: a ucontext_t at rsp */
    BL_CFI_END = 5,     /* return address undefined: outermost frame */
    BL_CFI_HARD = 6,    /* has a rule, but not one of these: ask libunwind */
    BL_CFI_NONE = 7,    /* no rule at all: generated code */
};

/* bits 0-2 type, 3-17 CFA offset / 8 (signed), 18-29 rbp slot offset from the CFA / 8 (signed; from
 * rbp for REALIGN); slot 0 = rbp unchanged (never so for REALIGN) */
typedef uint32_t bl_cfi_rule;

BL_INLINE enum bl_cfi_type bl_cfi_type_of(bl_cfi_rule r)
{
    return (enum bl_cfi_type)(r & 7u);
}

BL_INLINE int64_t bl_cfi_cfa(bl_cfi_rule r)
{
    return (int64_t)((int32_t)(r << 14) >> 17) * 8;
}

BL_INLINE int64_t bl_cfi_rbp_slot(bl_cfi_rule r)
{
    return (int64_t)((int32_t)(r << 2) >> 20) * 8;
}

#define BL_CFI_SETS 8192u
extern uint64_t bl_cfi_cache[BL_CFI_SETS][2]; /* relaxed atomics: address bits 13-46 << 30 | rule */

bl_cfi_rule bl_cfi_lookup_slow(uint64_t pc);

/* The rule that holds at the instruction before pc (a return address). */
BL_INLINE bl_cfi_rule bl_cfi_lookup(uint64_t pc)
{
    uint64_t tag = pc >> 13 << 30;
    uint64_t *set = bl_cfi_cache[pc & (BL_CFI_SETS - 1)];
    uint64_t word = bl_load_relaxed(&set[0]);
    if (BL_LIKELY((word & ~0x3fffffffull) == tag && word))
        return (bl_cfi_rule)(word & 0x3fffffffu);
    word = bl_load_relaxed(&set[1]);
    if ((word & ~0x3fffffffull) == tag && word)
        return (bl_cfi_rule)(word & 0x3fffffffu);
    return bl_cfi_lookup_slow(pc);
}

/* Takes the cache's pages at once: nearly all are touched by the first hundred stacks, and a fault
 * for each costs more than all of them do together. */
void bl_cfi_init(void);

/* A library was unloaded: its addresses may mean something else from now on. */
void bl_cfi_flush(void);

#endif
