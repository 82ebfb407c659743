/*
 * Function entries: rewriting the first instructions of a function so that every call, also one
 * made inside its own library, passes through the shim.
 *
 * A hooked function starts with `jmp rel32` to a stub near it; the stub names the hook and jumps to
 * a common thunk in the shim's own text, which has unwind information; the displaced instructions
 * run in a trampoline. A pre hook is called before the function, preserving every caller-saved
 * register, and the function is entered by a jump. A post hook calls the function from a frame of
 * its own, with copies of `stack_words` words of stack arguments, and sees its result.
 *
 * Owns: stubs and trampolines, in anonymous R-X pages near each library, never freed. Threads:
 * install while no other thread can be inside the function (constructor; for a library that arrives
 * later, at the loader's own notification, bl_hook_entry_watch); never live. Calls libZydis, opened
 * RTLD_LOCAL. Signal context: installing no; the thunks yes. Errors: 0, or -1 with *ret_why naming
 * the cause.
 */
#ifndef BL_HOOK_ENTRY_H
#define BL_HOOK_ENTRY_H

#include "capture.h"

/* One call of a hooked function. args are the integer argument registers rdi rsi rdx rcx r8 r9 at
 * entry; stack_args[n] is the (n+7)th argument. result is rax, valid in a post hook. origin is the
 * caller, for bl_capture_walk: pc after the call, sp and rbp there. */
struct bl_hook_call {
    uint64_t args[6];
    const uint64_t *stack_args;
    uint64_t result;
    struct bl_origin origin;
};

typedef void bl_hook_fn(void *context, const struct bl_hook_call *call);

struct bl_hook_spec {
    bl_hook_fn *pre;  /* NULL: none */
    bl_hook_fn *post; /* NULL: none; both may be given */
    void *context;
    unsigned stack_words; /* copied for a post hook; 8 where unknown */
};

/* Finds libZydis and what writing code needs. Once, in the constructor. -1: no function can be
 * hooked, *ret_why says why. */
int bl_hook_entry_init(const char **ret_why);
/* Hooks the function at `address` of `size` bytes (0 = unknown). One hook an address: a second
 * install of the same address is refused. why is static text such as "too short", "branch into its
 * head". */
int bl_hook_entry_install(uint64_t address, size_t size, const struct bl_hook_spec *spec,
                          const char **ret_why);
/* Finds an exported function (or a local one of .symtab) in a loaded object. name as in the object.
 * path: file name of the object, or NULL for all in load order. Returns its address, 0 if there is
 * none; an IFUNC gives its target. */
uint64_t bl_hook_entry_find(const char *path, const char *name, size_t *ret_size);
/* changed is called, with no lock of the shim held, whenever the loader has mapped or unmapped
 * objects and before constructors of new ones run. */
int bl_hook_entry_watch(void (*changed)(void), const char **ret_why);

#endif
