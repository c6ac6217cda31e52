/* SPDX-License-Identifier: Apache-2.0 */
/* The guest images as data of the host program, and their struct guest_image (guest_images.h). Assembled for the host,
 * whatever its 64-bit architecture. */
	.macro	image name, path
	.section .rodata
	.balign	16
.Ldata_\name:
	.incbin	"\path"
.Lend_\name:
	.byte	0
.Lname_\name:
	.asciz	"\name"

	.section .data.rel.ro, "aw"
	.balign	8
	.globl	guest_image_\name
	.type	guest_image_\name, %object
	.size	guest_image_\name, 24
guest_image_\name:
	.quad	.Lname_\name
	.quad	.Ldata_\name
	.quad	.Lend_\name - .Ldata_\name
	.endm

	image	l1, L1_ELF
	image	micro, MICRO_ELF
	image	macro, MACRO_ELF

	.section .note.GNU-stack, "", %progbits
