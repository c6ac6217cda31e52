/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From 64-bit mode to real mode and back, as start-up code of further processors goes up: copied to 0x8000, which is
 * where it is linked to run by its own offsets.
 */
#define AT(label) (label - real_start + 0x8000)
#define DATA_AT 0x9000		/* struct of realmode.c */
#define MSR_EFER 0xc0000080

	.text
	.globl real_start, real_end, real_visit
/* void real_visit(void): called in 64-bit mode, comes back in it. */
real_visit:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, saved_rsp
	sidt saved_idt
	movq %cr3, %rax
	movq %rax, saved_cr3
	movq %cr4, %rax
	movq %rax, saved_cr4
	movq %cr0, %rax
	movq %rax, saved_cr0
	pushq $0x18
	pushq $leave_long_mode
	lretq

	.code32
leave_long_mode:
	movl $0x10, %eax
	movl %eax, %ss
	movl %eax, %ds
	movl %eax, %es
	movl %cr0, %eax
	andl $0x7fffffff, %eax
	movl %eax, %cr0			/* paging and so long mode off */
	movl $MSR_EFER, %ecx
	rdmsr
	andl $~0x100, %eax
	wrmsr
	movl %cr4, %eax
	andl $~0x20, %eax
	movl %eax, %cr4
	call visit_32_bit_paging
	call visit_pae_paging
	lidt AT(real_idt)
	movl $0x98, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	ljmp $0x90, $AT(real_protected)

/* 4 MiB pages, and at 2 GiB a page table that leads to DATA_AT (SDM vol. 3, 4.3). */
visit_32_bit_paging:
	movl $0x83, %eax
	xorl %ecx, %ecx
1:	movl %eax, directory(, %ecx, 4)
	addl $0x400000, %eax
	incl %ecx
	cmpl $1024, %ecx
	jne 1b
	movl $table + 3, directory + 4 * 512
	movl $DATA_AT + 3, table
	movl %cr4, %eax
	orl $0x10, %eax			/* PSE */
	movl %eax, %cr4
	movl $directory, %eax
	movl %eax, %cr3
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	movl $0x55aa1234, 0x80000040
	movl table, %eax
	movl %eax, DATA_AT + 0x44
	movl directory, %eax
	movl %eax, DATA_AT + 0x48
	movl %cr0, %eax
	andl $0x7fffffff, %eax
	movl %eax, %cr0
	movl %cr4, %eax
	andl $~0x10, %eax
	movl %eax, %cr4
	ret

/* Four page-directory pointers; the third leads to memory from 0 again (SDM vol. 3, 4.4). */
visit_pae_paging:
	movl $page_pd + 1, pointers
	movl $page_pd + 1, pointers + 16
	movl %cr4, %eax
	orl $0x20, %eax
	movl %eax, %cr4
	movl $pointers, %eax
	movl %eax, %cr3
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	movl 0x80000000 + DATA_AT + 0x40, %eax
	movl %eax, DATA_AT + 0x4c
	movl %cr0, %eax
	andl $0x7fffffff, %eax
	movl %eax, %cr0
	movl %cr4, %eax
	andl $~0x20, %eax
	movl %eax, %cr4
	ret

	.code16
real_start:
real_protected:
	movl %cr0, %eax
	andl $~1, %eax
	movl %eax, %cr0
	ljmp $0x0800, $(real_mode - real_start)
real_mode:
	movw $0x0900, %ax
	movw %ax, %ds
	movw %ax, %ss
	movw $0x0ff0, %sp
	/* DATA_AT, now DS:0: the mode, a segment sum, an interrupt, a string, the A20-like carry of a 16-bit stack. */
	movl %cr0, %eax
	movl %eax, 0
	movw %cs, 4
	movw $0x1234, %bx
	addw $0xf000, %bx
	movw %bx, 6
	movb $0, 8
	int $0x21
	movw $0xb800, %ax
	movw $0x0a00, %cx
	movw %cx, %es
	xorw %di, %di
	movw $16, %cx
	cld
	rep stosw
	movw %di, 10
	movw %es:30, %ax
	movw %ax, 12
	call 1f
1:	popw %ax
	subw $(1b - real_start), %ax
	movw %ax, 14
	xorw %dx, %dx
	movw $1000, %ax
	movw $7, %cx
	divw %cx
	movw %ax, 16
	movw %dx, 18
	pushfw
	popw 20
	movw $0xffff, %ax
	movw %ax, %gs
	movb %gs:0x10, %al		/* FFFF0 + 10 = 100000H: the wrap of a 8086 does not happen here */
	movb %al, 22

	lgdtl %cs:(real_gdt - real_start)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $0x08, $AT(real_back)

	.code32
real_back:
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	ljmp $0x08, $enter_long_mode

	.code16
real_interrupt:
	incb %ss:8
	iretw

	.align 8
real_gdt_table:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
real_gdt:
	.word 23
	.long AT(real_gdt_table)
real_idt:
	.word 0x3ff
	.long 0
	.globl real_interrupt_offset
real_end:
	.set real_interrupt_offset, real_interrupt - real_start

	.code32
enter_long_mode:
	movl saved_cr4, %eax
	movl %eax, %cr4
	movl saved_cr3, %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $0x100, %eax
	wrmsr
	movl saved_cr0, %eax
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $0x08, $back_64

	.code64
back_64:
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	xorl %eax, %eax
	movw %ax, %fs
	movw %ax, %gs
	movq saved_rsp, %rsp
	lidt saved_idt
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

	.bss
	.align 4096
directory: .skip 4096
table: .skip 4096
pointers: .skip 32

	.data
	.align 8
saved_rsp: .quad 0
saved_cr0: .quad 0
saved_cr3: .quad 0
saved_cr4: .quad 0
saved_idt: .quad 0, 0

	.section .note.GNU-stack, "", @progbits
