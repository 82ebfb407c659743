/*
 * The common way from a hooked function's entry into the shim and on to the function.
 *
 * They stand in the shim's own text, not in generated code, because unwinders must know them: the
 * description is valid from the first byte, so that a stack can be taken in a hook, an exception or
 * a cancellation can pass a post hook's frame, and longjmp can leave it.
 *
 * Every register a function may clobber is preserved, not only those of arguments: a compiler that
 * sees the callee's body keeps values in the others across the call (-fipa-ra). The hook's number
 * comes on the stack for the same reason. Flags, the upper halves of vector registers and the
 * registers behind xmm15 are not preserved; st0 is left alone.
 *
 * At entry: 0(%rsp) number of the hook, 8(%rsp) return address, 16(%rsp) stack arguments.
 */

/* struct bl_hook_call at the frame's start, see the assertions in hook_entry.c */
#define CALL_RDI        0
#define CALL_RSI        8
#define CALL_RDX        16
#define CALL_RCX        24
#define CALL_R8         32
#define CALL_R9         40
#define CALL_STACK_ARGS 48
#define CALL_RESULT     56
#define CALL_PC         64
#define CALL_SP         72
#define CALL_RBP        80
#define SAVED_RAX       88
#define SAVED_R10       96
#define SAVED_R11       104
#define SAVED_XMM       112
#define FRAME_BYTES     (SAVED_XMM + 16 * 16)
/* A post hook's frame goes on: what the function left, and where the function is. */
#define LEFT_RDI        (FRAME_BYTES + 0)
#define LEFT_RSI        (FRAME_BYTES + 8)
#define LEFT_RDX        (FRAME_BYTES + 16)
#define LEFT_RCX        (FRAME_BYTES + 24)
#define LEFT_R8         (FRAME_BYTES + 32)
#define LEFT_R9         (FRAME_BYTES + 40)
#define FUNCTION        (FRAME_BYTES + 48)
#define POST_BYTES      (FRAME_BYTES + 64)

/* Above the frame pointer, the same in both thunks. */
#define HOOK_NUMBER     8
#define RETURN_ADDRESS  16
#define STACK_ARGS      24

.macro EACH_XMM name, base
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        \name \n, \base
        .endr
.endm

.macro SAVE_ONE n, base
        movaps  %xmm\n, SAVED_XMM + 16 * \n(\base)
.endm

.macro RESTORE_ONE n, base
        movaps  SAVED_XMM + 16 * \n(\base), %xmm\n
.endm

/* struct bl_hook_call and the rest of the registers, at the base. */
.macro SAVE_ENTRY base
        movq    %rdi, CALL_RDI(\base)
        movq    %rsi, CALL_RSI(\base)
        movq    %rdx, CALL_RDX(\base)
        movq    %rcx, CALL_RCX(\base)
        movq    %r8, CALL_R8(\base)
        movq    %r9, CALL_R9(\base)
        movq    %rax, SAVED_RAX(\base)
        movq    %r10, SAVED_R10(\base)
        movq    %r11, SAVED_R11(\base)
        EACH_XMM SAVE_ONE, \base
        leaq    STACK_ARGS(%rbp), %rax
        movq    %rax, CALL_STACK_ARGS(\base)
        movq    %rax, CALL_SP(\base)
        movq    $0, CALL_RESULT(\base)
        movq    RETURN_ADDRESS(%rbp), %rax
        movq    %rax, CALL_PC(\base)
        movq    (%rbp), %rax
        movq    %rax, CALL_RBP(\base)
.endm

.macro RESTORE_ENTRY base
        EACH_XMM RESTORE_ONE, \base
        movq    CALL_RDI(\base), %rdi
        movq    CALL_RSI(\base), %rsi
        movq    CALL_RDX(\base), %rdx
        movq    CALL_RCX(\base), %rcx
        movq    CALL_R8(\base), %r8
        movq    CALL_R9(\base), %r9
        movq    SAVED_RAX(\base), %rax
        movq    SAVED_R10(\base), %r10
        movq    SAVED_R11(\base), %r11
.endm

        .text

/* Calls the pre hook and enters the function as if nothing had been. */
        .globl  bl_hook_thunk_pre
        .hidden bl_hook_thunk_pre
        .type   bl_hook_thunk_pre, @function
        .balign 16
bl_hook_thunk_pre:
        .cfi_startproc
        .cfi_def_cfa rsp, 16
        pushq   %rbp
        .cfi_def_cfa_offset 24
        .cfi_offset rbp, -24
        movq    %rsp, %rbp
        .cfi_def_cfa_register rbp
        subq    $FRAME_BYTES, %rsp
        andq    $-16, %rsp
        SAVE_ENTRY %rsp
        movl    HOOK_NUMBER(%rbp), %edi
        movq    %rsp, %rsi
        call    bl_hook_run_pre
        movq    %rax, HOOK_NUMBER(%rbp)
        RESTORE_ENTRY %rsp
        leave
        .cfi_def_cfa rsp, 16
        .cfi_restore rbp
        leaq    8(%rsp), %rsp
        .cfi_def_cfa_offset 8
        /* in the red zone now, which signal handlers leave alone; a ret would be mispredicted */
        jmpq    *-8(%rsp)
        .cfi_endproc
        .size   bl_hook_thunk_pre, . - bl_hook_thunk_pre

/* Calls the pre hook if there is one, the function from a frame of its own, then the post hook. */
        .globl  bl_hook_thunk_post
        .hidden bl_hook_thunk_post
        .type   bl_hook_thunk_post, @function
        .balign 16
bl_hook_thunk_post:
        .cfi_startproc
        .cfi_def_cfa rsp, 16
        pushq   %rbp
        .cfi_def_cfa_offset 24
        .cfi_offset rbp, -24
        movq    %rsp, %rbp
        .cfi_def_cfa_register rbp
        pushq   %rbx
        .cfi_offset rbx, -32
        subq    $POST_BYTES, %rsp
        andq    $-16, %rsp
        movq    %rsp, %rbx
        SAVE_ENTRY %rbx
        movl    HOOK_NUMBER(%rbp), %edi
        movq    %rbx, %rsi
        call    bl_hook_run_pre
        movq    %rax, FUNCTION(%rbx)

        /* rdx words of stack arguments, from the last to the first, below an aligned address */
        leaq    1(%rdx), %rcx
        andq    $-2, %rcx
        negq    %rcx
        leaq    (%rsp,%rcx,8), %rsp
        jmp     2f
1:      movq    STACK_ARGS - 8(%rbp,%rdx,8), %rax
        movq    %rax, -8(%rsp,%rdx,8)
        decq    %rdx
2:      testq   %rdx, %rdx
        jnz     1b

        RESTORE_ENTRY %rbx
        call    *FUNCTION(%rbx)

        movq    %rbx, %rsp
        movq    %rax, CALL_RESULT(%rbx)
        movq    %rdi, LEFT_RDI(%rbx)
        movq    %rsi, LEFT_RSI(%rbx)
        movq    %rdx, LEFT_RDX(%rbx)
        movq    %rcx, LEFT_RCX(%rbx)
        movq    %r8, LEFT_R8(%rbx)
        movq    %r9, LEFT_R9(%rbx)
        movq    %r10, SAVED_R10(%rbx)
        movq    %r11, SAVED_R11(%rbx)
        EACH_XMM SAVE_ONE, %rbx
        movl    HOOK_NUMBER(%rbp), %edi
        movq    %rbx, %rsi
        call    bl_hook_run_post
        EACH_XMM RESTORE_ONE, %rbx
        movq    CALL_RESULT(%rbx), %rax
        movq    LEFT_RDI(%rbx), %rdi
        movq    LEFT_RSI(%rbx), %rsi
        movq    LEFT_RDX(%rbx), %rdx
        movq    LEFT_RCX(%rbx), %rcx
        movq    LEFT_R8(%rbx), %r8
        movq    LEFT_R9(%rbx), %r9
        movq    SAVED_R10(%rbx), %r10
        movq    SAVED_R11(%rbx), %r11
        movq    -8(%rbp), %rbx
        .cfi_restore rbx
        leave
        .cfi_def_cfa rsp, 16
        .cfi_restore rbp
        leaq    8(%rsp), %rsp
        .cfi_def_cfa_offset 8
        ret
        .cfi_endproc
        .size   bl_hook_thunk_post, . - bl_hook_thunk_post

/* Stubs for those who cannot write any, and functions that return their addresses. */
#define FIRST_STUB      32768
#define STUBS           512

        .globl  bl_hook_stubs
        .hidden bl_hook_stubs
        .type   bl_hook_stubs, @function
        .balign 32
bl_hook_stubs:
        .set    stub, 0
        .rept   STUBS
        .cfi_startproc
1:      endbr64
        pushq   $FIRST_STUB + stub
        .cfi_adjust_cfa_offset 8
        jmpq    *bl_hook_stub_thunks + 8 * stub(%rip)
        .cfi_endproc
        .balign 16
        .cfi_startproc
        endbr64
        leaq    1b(%rip), %rax
        ret
        .cfi_endproc
        .balign 32
        .set    stub, stub + 1
        .endr
        .size   bl_hook_stubs, . - bl_hook_stubs

        .bss
        .globl  bl_hook_stub_thunks
        .hidden bl_hook_stub_thunks
        .type   bl_hook_stub_thunks, @object
        .balign 8
bl_hook_stub_thunks:
        .zero   8 * STUBS
        .size   bl_hook_stub_thunks, . - bl_hook_stub_thunks

        .section .note.GNU-stack, "", @progbits
