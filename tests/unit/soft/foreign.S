/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A multiboot kernel that knows nothing of Testudo: what a UP test kernel expects of a PC. Each step that works sets a
 * bit of EBX, which goes to the debug-exit port: 1 serial port, 2 exception through the IDT, 4 local-APIC timer, 8
 * self-IPI, 16 8254 through the 8259, 32 two NMIs, 64 x2APIC and TSC-deadline timer.
 */
#define APIC 0xfee00000

	.section .multiboot, "a"
	.align 4
	.long 0x1badb002, 0, -0x1badb002

	.text
	.code32
	.globl _start
_start:
	mov $stack_top, %esp
	cmp $0x2badb002, %eax
	jne finish
	xor %ebx, %ebx
	lgdt gdt_pointer
	ljmp $8, $1f
1:	mov $16, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	lidt idt_pointer

	/* serial port: wait for the transmitter, print */
	mov $message, %esi
2:	mov $0x3fd, %dx
	in %dx, %al
	test $0x20, %al
	jz 2b
	mov $0x3f8, %dx
	lodsb
	test %al, %al
	jz 3f
	out %al, %dx
	jmp 2b
3:	or $1, %ebx

	/* #UD, returned from behind the instruction */
	mov $on_ud, %eax
	mov $6, %ecx
	call set_gate
	ud2
	cmpl $1, hits
	jne finish
	or $2, %ebx

	/* mask the 8259 pair, enable the APIC, one-shot timer, HLT */
	mov $0xff, %al
	out %al, $0x21
	out %al, $0xa1
	mov $on_apic, %eax
	mov $0x40, %ecx
	call set_gate
	movl $0x1ff, APIC + 0xf0
	movl $0xb, APIC + 0x3e0
	movl $0x40, APIC + 0x320
	movl $0, hits
	movl $100000, APIC + 0x380
	sti
4:	hlt
	cmpl $1, hits
	jb 4b
	jne finish
	or $4, %ebx

	/* self-IPI: taken right behind the store */
	movl $0, hits
	movl $0x40040, APIC + 0x300
	nop
	cmpl $1, hits
	jne finish
	or $8, %ebx
	cli

	/* 8254 channel 0 through the 8259 and LINT0 */
	mov $on_pit, %eax
	mov $0x20, %ecx
	call set_gate
	mov $0x11, %al
	out %al, $0x20
	mov $0x20, %al
	out %al, $0x21
	mov $4, %al
	out %al, $0x21
	mov $1, %al
	out %al, $0x21
	mov $0xfe, %al
	out %al, $0x21
	movl $0x700, APIC + 0x350
	movl $0, hits
	mov $0x34, %al
	out %al, $0x43
	mov $0xa9, %al
	out %al, $0x40
	mov $0x04, %al
	out %al, $0x40
	sti
5:	hlt
	cmpl $3, hits
	jb 5b
	cli
	mov $0xff, %al
	out %al, $0x21
	or $16, %ebx

	/* two NMIs: the IRET of the first ends the blocking */
	mov $on_nmi, %eax
	mov $2, %ecx
	call set_gate
	movl $0, hits
	movl $0x44400, APIC + 0x300
	nop
	movl $0x44400, APIC + 0x300
	nop
	cmpl $2, hits
	jne finish
	or $32, %ebx

	/* x2APIC, TSC-deadline timer */
	mov $0x1b, %ecx
	rdmsr
	or $0x400, %eax
	wrmsr
	mov $on_x2apic, %eax
	mov $0x41, %ecx
	call set_gate
	mov $0x832, %ecx
	xor %edx, %edx
	mov $0x40041, %eax
	wrmsr
	movl $0, hits
	rdtsc
	add $50000, %eax
	adc $0, %edx
	mov $0x6e0, %ecx
	wrmsr
	sti
6:	hlt
	cmpl $1, hits
	jb 6b
	or $64, %ebx

finish:
	mov %bl, %al
	out %al, $0xf4
	hlt

on_ud:
	incl hits
	addl $2, (%esp)
	iret
on_apic:
	incl hits
	movl $0, APIC + 0xb0
	iret
on_pit:
	push %eax
	incl hits
	mov $0x20, %al
	out %al, $0x20
	pop %eax
	iret
on_nmi:
	incl hits
	iret
on_x2apic:
	pusha
	incl hits
	mov $0x80b, %ecx
	xor %eax, %eax
	xor %edx, %edx
	wrmsr
	popa
	iret

/* %ecx: vector, %eax: handler */
set_gate:
	mov %ax, idt(, %ecx, 8)
	movw $8, idt + 2(, %ecx, 8)
	movw $0x8e00, idt + 4(, %ecx, 8)
	shr $16, %eax
	mov %ax, idt + 6(, %ecx, 8)
	ret

	.data
message: .asciz "foreign kernel\n"
	.align 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer: .word 23
	.long gdt
idt_pointer: .word 0x7ff
	.long idt
	.align 4
hits:	.long 0
	.bss
	.align 16
idt:	.skip 0x800
	.skip 4096
stack_top:
