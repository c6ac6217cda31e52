/* SPDX-License-Identifier: Apache-2.0 */
/* Ring 3 to ring 0 and back. A trap fills the running process's struct kernel_frame: RSP0 points behind it. */

	.text
	.globl	kernel_entry_syscall, kernel_entry_page_fault, kernel_entry_timer
kernel_entry_syscall:
	push	$0
	push	$3
	jmp	entry_common

	.balign	16
kernel_entry_page_fault:
	push	$14
	jmp	entry_common

	/* The timer: counted, and back to where it came from. */
	.balign	16
kernel_entry_timer:
	incq	kernel_timer_count(%rip)
	iretq

	.balign	16
entry_common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rbx
	push	%rbp
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, %rdi
	mov	$kernel_stack_top, %rsp
	cld
	call	kernel_trap
	/* RAX = the frame to go on with. */
resume:
	mov	%rax, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rbp
	pop	%rbx
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

	.globl	kernel_enter
kernel_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, caller_rsp(%rip)
	mov	%rdi, %rax
	jmp	resume

	.globl	kernel_leave
kernel_leave:
	mov	caller_rsp(%rip), %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.bss
	.balign	16
caller_rsp:
	.skip	8
	.balign	16
kernel_stack:
	.skip	16384
kernel_stack_top:

	/* Ring 3 reads it: in the workloads' variables (macro.ld). */
	.section .bss.user, "aw", @nobits
	.balign	64
	.globl	kernel_timer_count
kernel_timer_count:
	.skip	64

	.section .note.GNU-stack, "", @progbits
