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
 * Not for a post hook: functions that return twice or look at who called them (setjmp, vfork,
 * getcontext, dlsym). An exception, a cancellation or longjmp passes a post hook's frame and skips
 * the hook. Flags, the upper halves of vector registers (arguments of type __m256) and the
 * registers behind xmm15 are not preserved. Calls that the compiler has inlined are not seen. Under
 * a debugger that has a breakpoint at an entry, that function is refused.
 *
 * Owns: stubs and trampolines, in anonymous R-X pages near each library, never freed; no
 * descriptor, so that nothing is to be done after a fork. Threads: install one at a time, and while
 * no other thread can be inside the function (constructor; for a library that arrives later, at the
 * loader's own notification, bl_hook_entry_watch); never live. Hooks of a function may run in many
 * threads at once. Calls libZydis, opened RTLD_LOCAL. Signal context: installing no; the thunks
 * yes. They take no lock, allocate nothing and leave errno to the callback. Errors: 0, or -1 with
 * *ret_why naming the cause.
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

/* In a post hook: the caller gets another result. */
BL_INLINE void bl_hook_call_return(const struct bl_hook_call *call, uint64_t result)
{
    ((struct bl_hook_call *)(uintptr_t)call)->result = result; // NOLINT(performance-no-int-to-ptr)
}

struct bl_hook_spec {
    bl_hook_fn *pre;  /* NULL: none */
    bl_hook_fn *post; /* NULL: none; both may be given */
    void *context;
    unsigned stack_words; /* copied for a post hook: 8 where unknown, at most 256 */
};

/* Ways into a hook in the shim's own text, for who writes no code. */
struct bl_hook_stub {
    uint64_t entry;    /* to be called instead of the function */
    uint64_t resolver; /* a function that returns entry */
};

/* A stub that calls the hook and goes on with the function at address. A stub that has been made
 * before is given another function. There are BL_HOOK_STUBS. Needs no bl_hook_entry_init. */
#define BL_HOOK_STUBS 512u
int bl_hook_entry_stub(uint64_t address, const struct bl_hook_spec *spec, struct bl_hook_stub *stub,
                       const char **ret_why);
/* Finds libZydis and what writing code needs. Once, in the constructor. -1: no function can be
 * hooked, *ret_why says why. */
int bl_hook_entry_init(const char **ret_why);
/* Hooks the function at `address` of `size` bytes (0 = unknown). One hook an address, and a second
 * install is refused, unless the library was unloaded and is back at its old place. why is static
 * text such as "too short", "branch into its head". */
int bl_hook_entry_install(uint64_t address, size_t size, const struct bl_hook_spec *spec,
                          const char **ret_why);
/* Is there a hook at the entry of the function at address? */
bool bl_hook_entry_is_hooked(uint64_t address);
/* Finds a function in a loaded object. path: as the loader names it, or only the file's name; "" is
 * the executable; NULL all objects in load order. Exported functions are found, in their default
 * version; where a path is given, then local ones of .symtab. Returns its address, 0 if there is
 * none; an IFUNC gives its target, and none while its object is not relocated. */
uint64_t bl_hook_entry_find(const char *path, const char *name, size_t *ret_size);
/* changed is called, with no lock of the shim held, whenever the loader has mapped or unmapped
 * objects: new ones can be found and hooked, are not relocated and have not run their constructors.
 * The loader holds its own lock, and its lists are in order. Needs no bl_hook_entry_init: without
 * a decoder it is hooked where it does nothing but return, as glibc's does. */
int bl_hook_entry_watch(void (*changed)(void), const char **ret_why);

#endif
