/*
 * The first instructions of a function: decoded, checked, and written anew for another place.
 *
 * A jump of five bytes replaces whole instructions. They move into a trampoline, where what depends
 * on their address is corrected: RIP-relative operands, conditional and unconditional jumps, and a
 * call in the last place, which becomes `push return address; jmp`, so that the callee returns into
 * the original code, which unwinders know. An endbr64 stays in place in front of the jump. What
 * cannot move is refused with its cause; so is a function whose own body jumps into the replaced
 * bytes or back to its entry, which would be no call. What is near
 * before and behind it is looked through as well, because hand-written functions share code. Not
 * seen are jumps from further away, and jump tables, into the first five bytes: no compiler was
 * seen to make such.
 *
 * Decoding is libZydis's, opened RTLD_LOCAL by init. Threads: any after init. Signal context: no.
 * Allocates nothing after init. Errors: 0, or -1 with the cause as static text.
 */
#ifndef BL_HOOK_RELOCATE_H
#define BL_HOOK_RELOCATE_H

#include "compiler.h"

#define BL_HOOK_JUMP_BYTES     5u
#define BL_HOOK_HEAD_MAX       19u /* four bytes, then the longest instruction */
#define BL_HOOK_TRAMPOLINE_MAX 64u
#define BL_HOOK_BRANCHES_MAX   3u /* of two bytes and more */

/* Where a function's code is. */
struct bl_hook_function {
    uint64_t address;
    uint64_t size;   /* 0: unknown */
    uint64_t limit;  /* the next function's start at the latest, or the end of the segment */
    uint64_t before; /* start of a near function before it, or address */
    uint64_t behind; /* end of what is near behind limit */
};

enum bl_hook_move {
    BL_HOOK_MOVE_COPY, /* with a RIP-relative operand if operand_at is set */
    BL_HOOK_MOVE_JCC,
    BL_HOOK_MOVE_JMP,
    BL_HOOK_MOVE_CALL,          /* to target */
    BL_HOOK_MOVE_CALL_INDIRECT, /* by register, or RIP-relative */
};

struct bl_hook_instruction {
    uint64_t address;
    uint64_t target; /* of a relative branch; address of a RIP-relative operand */
    enum bl_hook_move move;
    uint8_t length;
    uint8_t operand_at; /* offset of the RIP-relative displacement, 0 = none */
    uint8_t modrm_at;   /* of an indirect call */
    uint8_t condition;  /* low four bits of a jcc's opcode */
};

/* The displaced instructions. */
struct bl_hook_head {
    uint64_t at;     /* where the jump goes: the entry, or behind its endbr64 */
    uint64_t length; /* bytes of whole instructions; of a short function, up to the padding */
    bool ends;       /* control does not run over its end */
    unsigned count;
    struct bl_hook_instruction instructions[BL_HOOK_JUMP_BYTES];
};

int bl_hook_relocate_init(const char **ret_why);
/* A function that does nothing but return, with padding behind it. Needs no decoder. */
int bl_hook_relocate_read_return(const struct bl_hook_function *f, struct bl_hook_head *ret_head,
                                 const char **ret_why);
int bl_hook_relocate_read(const struct bl_hook_function *f, struct bl_hook_head *ret_head,
                          const char **ret_why);
/* Addresses that its instructions branch to: no longer to be seen where they were. */
unsigned bl_hook_relocate_branches(const struct bl_hook_head *head,
                                   uint64_t ret_targets[BL_HOOK_BRANCHES_MAX]);
/* Code for a trampoline at `at` into code[BL_HOOK_TRAMPOLINE_MAX]. */
int bl_hook_relocate_write(const struct bl_hook_head *head, uint64_t at, uint8_t *code,
                           size_t *ret_length, const char **ret_why);

#endif
