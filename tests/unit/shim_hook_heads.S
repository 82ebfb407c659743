/* Heads as no compiler can be made to write them on demand. All return in rax what rdi makes. */
        .text

.macro FUNCTION name
        .balign 32, 0xcc
        .globl  \name
        .type   \name, @function
\name:  .cfi_startproc
.endm

.macro END name
        .cfi_endproc
        .size   \name, . - \name
.endm

FUNCTION hv_asm_endbr
        .byte   0xf3, 0x0f, 0x1e, 0xfa
        leaq    1(%rdi), %rax
        ret
        nop
END hv_asm_endbr

/* as whatever is built with -fcf-protection begins, when it looks at its argument first */
FUNCTION hv_asm_endbr_jcc_short
        .byte   0xf3, 0x0f, 0x1e, 0xfa
        testq   %rdi, %rdi
        jz      1f
        leaq    1(%rdi), %rax
        ret
1:      movl    $7, %eax
        ret
END hv_asm_endbr_jcc_short

FUNCTION hv_asm_endbr_jcc_near
        .byte   0xf3, 0x0f, 0x1e, 0xfa
        testq   %rdi, %rdi
        .byte   0x0f, 0x84
        .long   1f - . - 4
        leaq    -1(%rdi), %rax
        ret
        .skip   200, 0x90
1:      movl    $9, %eax
        ret
END hv_asm_endbr_jcc_near

FUNCTION hv_asm_jcc_short
        testq   %rdi, %rdi
        jz      1f
        leaq    1(%rdi), %rax
        ret
1:      movl    $7, %eax
        ret
END hv_asm_jcc_short

FUNCTION hv_asm_jcc_near
        testq   %rdi, %rdi
        .byte   0x0f, 0x84
        .long   1f - . - 4
        leaq    -1(%rdi), %rax
        ret
        .skip   200, 0x90
1:      movl    $9, %eax
        ret
END hv_asm_jcc_near

FUNCTION hv_asm_rip
        movq    number(%rip), %rax
        addq    %rdi, %rax
        ret
END hv_asm_rip

/* the displacement counts from behind the immediate */
FUNCTION hv_asm_rip_immediate
        cmpl    $1234, number(%rip)
        sete    %al
        movzbl  %al, %eax
        ret
END hv_asm_rip_immediate

FUNCTION hv_asm_jmp_short
        jmp     1f
        .byte   0xcc, 0xcc, 0xcc
        .skip   20, 0xcc
1:      leaq    100(%rdi), %rax
        ret
END hv_asm_jmp_short

FUNCTION hv_asm_jmp_near
        .byte   0xe9
        .long   plus_hundred - . - 4
END hv_asm_jmp_near

FUNCTION hv_asm_jmp_register
        leaq    plus_hundred(%rip), %rax
        jmp     *%rax
END hv_asm_jmp_register

FUNCTION hv_asm_jmp_memory
        jmp     *pointer(%rip)
END hv_asm_jmp_memory

FUNCTION hv_asm_call
        call    plus_hundred
        addq    $101, %rax
        ret
END hv_asm_call

FUNCTION hv_asm_call_register
        movq    pointer(%rip), %rax
        call    *%rax
        addq    $101, %rax
        ret
END hv_asm_call_register

/* the push at the front makes the memory call the second displaced instruction */
FUNCTION hv_asm_call_memory
        pushq   %rdi
        .cfi_adjust_cfa_offset 8
        call    *pointer(%rip)
        addq    $101, %rax
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        ret
END hv_asm_call_memory

FUNCTION hv_asm_ret_padded
        movq    %rdi, %rax
        ret
END hv_asm_ret_padded
        .byte   0x90, 0x90, 0xcc, 0xcc

FUNCTION hv_asm_ret_long_nop
        movq    %rdi, %rax
        ret
END hv_asm_ret_long_nop
        .byte   0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0

FUNCTION hv_asm_ret_zeros
        movq    %rdi, %rax
        ret
END hv_asm_ret_zeros
        .byte   0, 0, 0, 0

FUNCTION hv_asm_recursive
        testq   %rdi, %rdi
        jz      1f
        pushq   %rdi
        .cfi_adjust_cfa_offset 8
        subq    $1, %rdi
        call    hv_asm_recursive
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        addq    %rdi, %rax
        ret
1:      xorl    %eax, %eax
        ret
END hv_asm_recursive

FUNCTION hv_asm_long
        movabsq $0x1122334455667788, %rax
        addq    %rdi, %rax
        ret
END hv_asm_long

/* ---- refused ---- */

FUNCTION hv_asm_short_neighbour
        movq    %rdi, %rax
        ret
END hv_asm_short_neighbour
        .globl  hv_asm_neighbour
        .type   hv_asm_neighbour, @function
hv_asm_neighbour:
        .cfi_startproc
        nop
        nop
        movq    %rdi, %rax
        ret
END hv_asm_neighbour

FUNCTION hv_asm_short_falls_on
        movq    %rdi, %rax
END hv_asm_short_falls_on
        nop
        nop
        ret

FUNCTION hv_asm_into_head
        xorl    %eax, %eax
1:      incq    %rax
        decq    %rdi
        jnz     1b
        ret
END hv_asm_into_head

FUNCTION hv_asm_endbr_into_head
        .byte   0xf3, 0x0f, 0x1e, 0xfa
        xorl    %eax, %eax
1:      incq    %rax
        decq    %rdi
        jnz     1b
        ret
END hv_asm_endbr_into_head

FUNCTION enters_next
        leaq    1(%rdi), %rax
        jmp     .Lnext
END enters_next

FUNCTION hv_asm_entered_from_before
        movq    %rdi, %rax
.Lnext: incq    %rax
        ret
        nop
END hv_asm_entered_from_before

FUNCTION hv_asm_entered_from_behind
        movq    %rdi, %rax
.Llast: incq    %rax
        ret
        nop
END hv_asm_entered_from_behind

FUNCTION enters_last
        leaq    2(%rdi), %rax
        jmp     .Llast
END enters_last

/* What enters the next function is displaced itself when this one is hooked. */
FUNCTION hv_asm_enters_when_hooked
        movq    %rdi, %rax
        jmp     .Lmiddle
END hv_asm_enters_when_hooked

FUNCTION hv_asm_entered_when_hooked
        movq    %rdi, %rax
.Lmiddle: incq  %rax
        ret
        nop
END hv_asm_entered_when_hooked

FUNCTION hv_asm_to_entry
.Lentry:
        leaq    (%rdi,%rdi), %rax
        nop
        decq    %rdi
        jnz     .Lentry
        ret
END hv_asm_to_entry

FUNCTION hv_asm_loop
        nop
        loop    1f
        nop
        nop
        nop
1:      nop
        nop
        ret
END hv_asm_loop

FUNCTION hv_asm_jrcxz
        jrcxz   1f
        nop
        nop
        nop
1:      nop
        ret
END hv_asm_jrcxz

FUNCTION hv_asm_breakpoint
        int3
        movq    %rdi, %rax
        ret
        nop
        nop
END hv_asm_breakpoint

FUNCTION hv_asm_call_within
        call    *%rax
        nop
        nop
        nop
        ret
END hv_asm_call_within

FUNCTION hv_asm_call_on_stack
        nop
        call    *8(%rsp)
        nop
        ret
END hv_asm_call_on_stack

FUNCTION hv_asm_undecodable
        movl    $1, %eax
        .byte   0x06
        ret
END hv_asm_undecodable

FUNCTION plus_hundred
        leaq    100(%rdi), %rax
        jmp     1f
        nop
1:      cmpq    %rdi, %rdi
        jne     2f
        ret
2:      ud2
END plus_hundred

/* ---- registers ---- */

/* Touches nothing: a caller that knows this body may keep anything in any register. */
FUNCTION hv_asm_keeps
        nop
        nop
        nop
        nop
        nop
        ret
END hv_asm_keeps

.macro EACH_GENERAL name
        .irp r, rax, rcx, rdx, rsi, r8, r9, r10, r11, rdi
        \name \r
        .endr
.endm

.macro SET_GENERAL r
        movabsq $0x5a00000000000001 + (\@ << 8), %\r
        pushq   %\r
        .cfi_adjust_cfa_offset 8
.endm

FUNCTION hv_asm_registers
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        movq    %rdi, %rbx
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movabsq $0x7b00000000000011 * (\n + 1), %rax
        movq    %rax, %xmm\n
        punpcklqdq %xmm\n, %xmm\n
        .endr
        /* 9 pushes and 2, and the return address: aligned for the call */
        EACH_GENERAL SET_GENERAL
        call    *%rbx
        xorl    %ebx, %ebx
        .set    place, 0
        .irp r, rdi, r11, r10, r9, r8, rsi, rdx, rcx, rax
        cmpq    %\r, place(%rsp)
        je      1f
        incq    %rbx
1:
        .set    place, place + 8
        .endr
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movabsq $0x7b00000000000011 * (\n + 1), %rax
        movq    %xmm\n, %rcx
        cmpq    %rax, %rcx
        jne     2f
        psrldq  $8, %xmm\n
        movq    %xmm\n, %rcx
        cmpq    %rax, %rcx
        je      3f
2:      incq    %rbx
3:
        .endr
        movq    %rbx, %rax
        addq    $72, %rsp
        .cfi_adjust_cfa_offset -72
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        ret
END hv_asm_registers

        .data
        .balign 8
number: .quad   1234
        .hidden plus_hundred
pointer:
        .quad   plus_hundred

        .section .note.GNU-stack, "", @progbits
