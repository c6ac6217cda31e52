/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where L1 is entered by a VM exit and left by VMLAUNCH and VMRESUME, on both VMX paths.
 *
 * At an exit the general registers hold L2's values (no VMCS field holds them) and RSP is HOST_RSP, the end of the exit
 * stack. Pushing them there, the last one first, makes struct l2_regs at l1_l2_regs; the handlers find it by name.
 */
#include "abi/pv_vmx.h"

/* enum pv_vmx_op, which the assembler does not know; platform.c holds these to it. */
#define PV_VMREAD_NUMBER 6
#define PV_VMWRITE_NUMBER 7

	.text
	.macro	save_l2
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%r11
	push	%r10
	push	%r9
	push	%r8
	push	%rdi
	push	%rsi
	push	%rbp
	push	%rbx
	push	%rdx
	push	%rcx
	push	%rax
	.endm

	.macro	load_l2
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rbx
	pop	%rbp
	pop	%rsi
	pop	%rdi
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%r11
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	.endm

	.globl	l1_exit_entry_real
l1_exit_entry_real:
	save_l2
	call	*l1_exit_handler(%rip)
	load_l2
	vmresume
	/* It came back: CF = VMfailInvalid (1), ZF = VMfailValid (2); PV_VMX_RESULT_*. */
	mov	$1, %esi
	mov	$2, %eax
	cmovnc	%eax, %esi
	/* RSP is the end of the exit stack again: 8 below a multiple of 16, as after a CALL. */
	sub	$8, %rsp
	jmp	resume_failed

	/* L2's registers are at l1_l2_regs already, and are taken from there again (abi/pv_vmx.h, PV_FRAME). HOST_RIP is right
	 * behind the VMRESUME, RSP is HOST_RSP and the test leaves RFLAGS at 2: L0 has nothing of L1's to change. */
resume_pv:
	call	*l1_exit_handler(%rip)
	testb	$1, one(%rip)
	hlt
	.globl	l1_exit_entry_pv
l1_exit_entry_pv:
	jnc	resume_pv
	mov	%rax, %rsi

resume_failed:
	lea	resume_name(%rip), %rdi
	call	l1_report_entry_failure

	.section .rodata
one:
	.byte	1
resume_name:
	.asciz	"VMRESUME"
	.text

	/* L2 starts with RDI = its boot info and the other registers 0. */
	.macro	clear_others
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	.endm

	/* Return only on failure. Callee-saved registers are lost: the caller ends the image. */
	.globl	l1_launch_real
l1_launch_real:
	clear_others
	vmlaunch
	mov	$1, %ecx
	mov	$2, %eax
	cmovc	%ecx, %eax
	ret

	.globl	l1_launch_pv
l1_launch_pv:
	clear_others
	out	%al, $PV_VMLAUNCH_PORT
	ret

	/* RAX = VMREAD of the field RCX; every other register is kept. */
	.globl	l1_pv_read
l1_pv_read:
	push	%rbx
	mov	$PV_VMREAD_NUMBER, %eax
	out	%al, $PV_VMX_PORT
	mov	%rbx, %rax
	pop	%rbx
	ret

	/* VMWRITE of RAX to the field RCX; every other register is kept. */
	.globl	l1_pv_write
l1_pv_write:
	push	%rbx
	mov	%rax, %rbx
	mov	$PV_VMWRITE_NUMBER, %eax
	out	%al, $PV_VMX_PORT
	pop	%rbx
	ret

	/* TESTDEV_TIMER_VECTOR. */
	.globl	l1_timer_entry
l1_timer_entry:
	movb	$1, l1_timer_fired(%rip)
	iretq

	.bss
	.balign	16
exit_stack:
	.skip	16384
	.globl	l1_l2_regs
l1_l2_regs:
	.skip	15 * 8
	.globl	l1_exit_stack_top
l1_exit_stack_top:

	.section .note.GNU-stack, "", @progbits
