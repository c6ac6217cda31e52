/* SPDX-License-Identifier: Apache-2.0 */
/* Entry of an own image, in the state abi/boot_info.h describes, and the entry stubs of its exception vectors. */

	.section .text.start, "ax"
	.globl _start
_start:
	/* RDI = boot info. The CALL leaves RSP as the System V ABI wants it at a function's entry. */
	call	image_main
1:	hlt
	jmp	1b

/*
 * One stub of 16 bytes per exception vector. Vectors 8, 10-14, 17, 21, 29 and 30 push an error code
 * (SDM vol. 3, table 6-1); the others push 0 so that the frame is the same.
 */
	.text
	.balign	16
	.globl	idt_stubs
idt_stubs:
	.set	vector, 0
	.rept	32
	.balign	16
	.if (0x60227d00 >> vector) & 1
	.else
	push	$0
	.endif
	push	$vector
	jmp	idt_common
	.set	vector, vector + 1
	.endr

	.balign	16
idt_common:
	mov	%rsp, %rdi
	and	$-16, %rsp
	call	idt_unexpected

	.section .note.GNU-stack, "", @progbits
