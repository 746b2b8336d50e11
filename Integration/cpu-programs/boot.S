# SPDX-License-Identifier: Apache-2.0
#
# Entry by multiboot, in 32-bit protected mode; with -m64 on to 64-bit mode, the first 4 GiB mapped one to one with pages
# of 2 MiB that user code may use. Application processors come in at `ap_start`, copied to page 0x8000.

        .section .text.boot, "ax"
        .code32
        .balign 4
multiboot:
        .long 0x1BADB002, 0x00010003, -(0x1BADB002 + 0x00010003)
        .long multiboot, load_start, load_end, bss_end, start

        .globl start
start:  cli
        cld
        mov %ebx, boot_information
        mov $stack_top, %esp
        lgdt table_pointer
        ljmp $0x10, $1f
1:      mov $0x18, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %fs
        mov %eax, %gs
        mov %eax, %ss
#ifdef __x86_64__
        call build_tables
        call enter_long
        ljmp $0x08, $long_start
        .code64
long_start:
        mov $stack_top, %rsp
        call main
        mov %eax, %edi
        call leave
#else
        call main
        push %eax
        call leave
#endif

        .code32
enter_long:
        mov %cr4, %eax
        or $0x620, %eax
        mov %eax, %cr4
        mov $level4, %eax
        mov %eax, %cr3
        mov $0xC0000080, %ecx
        rdmsr
        or $0x901, %eax
        wrmsr
        mov %cr0, %eax
        and $~0xE, %eax
        or $0x80010022, %eax
        mov %eax, %cr0
        ret

#ifdef __x86_64__
build_tables:
        mov $level3 + 7, %eax
        mov %eax, level4
        mov $level2 + 7, %eax
        mov $level3, %edi
        mov $4, %ecx
1:      mov %eax, (%edi)
        add $0x1000, %eax
        add $8, %edi
        loop 1b
        mov $0x87, %eax
        mov $level2, %edi
        mov $2048, %ecx
1:      mov %eax, (%edi)
        add $0x200000, %eax
        add $8, %edi
        loop 1b
        ret
#endif

# What application processors run first, at 0x8000.
        .globl ap_start, ap_end
        .code16
ap_start:
        cli
        xor %ax, %ax
        mov %ax, %ds
        lgdtl 0x8000 + ap_pointer - ap_start
        mov %cr0, %eax
        or $1, %eax
        mov %eax, %cr0
        ljmpl $0x10, $ap_protected
        .balign 4
ap_pointer:
        .word table_end - table - 1
        .long table
ap_end:
        .code32
ap_protected:
        mov $0x18, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov ap_stack, %esp
#ifdef __x86_64__
        call enter_long
        ljmp $0x08, $1f
        .code64
1:      mov ap_stack, %rsp
#endif
        call ap_main
1:      hlt
        jmp 1b

# Exceptions and interrupts: the vector on the stack, then all registers.
#ifdef __x86_64__
        .code64
#else
        .code32
#endif
        .text
        .globl stubs
        .balign 16
stubs:
        .set vector, 0
        .rept 256
        .balign 16
        .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21)
        .else
#ifdef __x86_64__
        pushq $0
#else
        pushl $0
#endif
        .endif
#ifdef __x86_64__
        pushq $vector
#else
        pushl $vector
#endif
        jmp common_stub
        .set vector, vector + 1
        .endr

common_stub:
#ifdef __x86_64__
        push %r15
        push %r14
        push %r13
        push %r12
        push %r11
        push %r10
        push %r9
        push %r8
        push %rbp
        push %rdi
        push %rsi
        push %rdx
        push %rcx
        push %rbx
        push %rax
        mov %rsp, %rdi
        mov %rsp, %rbp
        and $-16, %rsp
        cld
        call take
        mov %rbp, %rsp
        pop %rax
        pop %rbx
        pop %rcx
        pop %rdx
        pop %rsi
        pop %rdi
        pop %rbp
        pop %r8
        pop %r9
        pop %r10
        pop %r11
        pop %r12
        pop %r13
        pop %r14
        pop %r15
        add $16, %rsp
        iretq
#else
        push %ebp
        push %edi
        push %esi
        push %edx
        push %ecx
        push %ebx
        push %eax
        mov %esp, %ebp
        push %ds
        push %es
        mov $0x18, %eax
        mov %eax, %ds
        mov %eax, %es
        cld
        push %ebp
        call take
        add $4, %esp
        pop %es
        pop %ds
        pop %eax
        pop %ebx
        pop %ecx
        pop %edx
        pop %esi
        pop %edi
        pop %ebp
        add $8, %esp
        iretl
#endif

# int run_user(function, argument): calls function(argument) at CPL 3; it comes back by INT 0x80.
        .globl run_user, user_return
#ifdef __x86_64__
run_user:
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        pushfq
        mov %rsp, kernel_stack
        mov %rsp, task + 4
        mov %rdi, %rax
        mov %rsi, %rdi
        pushq $0x2B
        pushq $user_stack_top
        pushfq
        pushq $0x33
        pushq $1f
        iretq
1:      call *%rax
        int $0x80
user_return:
        mov kernel_stack, %rsp
        popfq
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        ret
#else
run_user:
        push %ebx
        push %ebp
        push %esi
        push %edi
        pushfl
        mov %esp, kernel_stack
        mov %esp, task + 4
        mov 24(%esp), %eax
        mov 28(%esp), %ecx
        mov $0x2B, %edx
        mov %edx, %ds
        mov %edx, %es
        pushl $0x2B
        pushl $user_stack_top
        pushfl
        pushl $0x23
        pushl $1f
        iretl
1:      push %ecx
        call *%eax
        int $0x80
user_return:
        mov kernel_stack, %esp
        mov $0x18, %edx
        mov %edx, %ds
        mov %edx, %es
        popfl
        pop %edi
        pop %esi
        pop %ebp
        pop %ebx
        ret
#endif

        .data
        .balign 16
        .globl table, table_pointer
# 08 code64, 10 code32, 18 data, 20 user code32 (RPL 3: 23), 28 user data (2B), 30 user code64 (33), 38 code16,
# 40 data16, 48 and 50 TSS, from 58 on free.
table:  .quad 0, 0x00AF9B000000FFFF, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
        .quad 0x00CFFB000000FFFF, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF, 0x00009B000000FFFF
        .quad 0x000093000000FFFF, 0, 0
        .fill 32, 8, 0
table_end:
table_pointer:
        .word table_end - table - 1
        .long table, 0
        .globl boot_information, ap_stack, kernel_stack
boot_information: .quad 0
ap_stack: .quad 0
kernel_stack: .quad 0

        .bss
        .balign 4096
        .globl level4, level3, level2, stack_top, user_stack_top, task
level4: .skip 4096
level3: .skip 4096
level2: .skip 4 * 4096
        .skip 32768
stack_top:
        .skip 16384
user_stack_top:
task:   .skip 8192 + 256
