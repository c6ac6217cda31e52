/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a multiboot loader's 32-bit protected mode to 64-bit mode and main().
 *
 * Memory is mapped twice: 4 GiB at 0 for the supervisor only, and the first GiB again at USER_BASE (512 GiB) for ring 3,
 * both in 2 MiB pages.
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MSR_EFER 0xc0000080

	.section .multiboot, "a"
	.align 4
	.long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

	.section .text.start, "ax"
	.code32
	.globl start
start:
	movl %eax, boot_magic
	movl %ebx, boot_info_address
	movl $stack_top, %esp

	movl $page_pd, %edi
	movl $0x83, %eax		/* present, writable, 2 MiB */
	movl $2048, %ecx
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	movl $page_pd_user, %edi
	movl $0x87, %eax		/* and user */
	movl $512, %ecx
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	movl $page_pd + 3, page_pdpt
	movl $page_pd + 0x1003, page_pdpt + 8
	movl $page_pd + 0x2003, page_pdpt + 16
	movl $page_pd + 0x3003, page_pdpt + 24
	movl $page_pd_user + 7, page_pdpt_user
	movl $page_pdpt + 3, page_pml4
	movl $page_pdpt_user + 7, page_pml4 + 8

	lgdt gdt_pointer
	movl %cr4, %eax
	btsl $5, %eax			/* PAE */
	movl %eax, %cr4
	movl $page_pml4, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	btsl $8, %eax			/* LME */
	btsl $11, %eax			/* NXE */
	wrmsr
	movl %cr0, %eax
	orl $0x80010001, %eax		/* PG, WP, PE */
	movl %eax, %cr0
	ljmp $8, $start_64

	.code64
start_64:
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	xorl %eax, %eax
	movw %ax, %fs
	movw %ax, %gs
	movl $stack_top, %esp
	call runtime_main
	movl %eax, %edi
	call finish

/* ---- traps: 256 entries of 16 bytes, then one way in ---- */

	.section .text
	.globl trap_entries
	.align 16
trap_entries:
	vector = 0
	.rept 256
	.align 16
	/* Vectors for which the processor pushes an error code: #DF, #TS to #PF, #AC, #CP. */
	.if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	.else
	pushq $0
	.endif
	pushq $vector
	jmp trap_common
	vector = vector + 1
	.endr

trap_common:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, %rdi
	movq %rsp, %rbx
	andq $-16, %rsp
	cld
	call trap_arrived
	movq %rbx, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

/* void user_enter(u64 rip, u64 rsp, u64 rflags, u64 argument): returns when ring 3 traps (trap_arrived leads to
 * user_left with the stack pointer saved here). */
	.globl user_enter, user_left
user_enter:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, user_kernel_rsp
	pushq $0x2b
	pushq %rsi
	pushq %rdx
	pushq $0x33
	pushq %rdi
	movq %rcx, %rdi
	iretq
user_left:
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

/* ---- tables ---- */

	.data
	.align 16
	.globl gdt, gdt_pointer
gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 08 code, 64 bits */
	.quad 0x00cf93000000ffff	/* 10 data */
	.quad 0x00cf9b000000ffff	/* 18 code, 32 bits */
	.quad 0x00cffb000000ffff	/* 20 user code, 32 bits */
	.quad 0x00cff3000000ffff	/* 28 user data */
	.quad 0x00affb000000ffff	/* 30 user code, 64 bits */
	.quad 0, 0			/* 38 TSS */
	.quad 0x008f9b000000ffff	/* 48 code, 16 bits, limit 4 GiB */
	.quad 0x008f93000000ffff	/* 50 data, 16 bits */
	.quad 0x00af9b000000ffff	/* 58 code and what SYSENTER and SYSEXIT expect behind it */
	.quad 0x00cf93000000ffff	/* 60 */
	.quad 0x00cffb000000ffff	/* 68 */
	.quad 0x00cff3000000ffff	/* 70 */
	.quad 0x00affb000000ffff	/* 78 */
	.quad 0x00cff3000000ffff	/* 80 */
	.quad 0x00cf13000000ffff	/* 88 data, not present */
	.quad 0x00009b000000ffff	/* 90 code of real mode's shape: base 0, limit 64 KiB */
	.quad 0x000093000000ffff	/* 98 data of real mode's shape */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt

	.globl boot_magic, boot_info_address, user_kernel_rsp
boot_magic: .long 0
boot_info_address: .long 0
user_kernel_rsp: .quad 0

	.bss
	.align 4096
	.globl page_pml4, page_pdpt, page_pd
page_pml4: .skip 4096
page_pdpt: .skip 4096
page_pdpt_user: .skip 4096
page_pd: .skip 4096 * 4
page_pd_user: .skip 4096
	.skip 32768
	.globl stack_top
stack_top:

	.section .note.GNU-stack, "", @progbits
