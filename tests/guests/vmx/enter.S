/* SPDX-License-Identifier: Apache-2.0 */
/* int vmx_switch(struct guest_regs *regs, bool launch): 0 after an exit, 1 VMfailInvalid, 2 VMfailValid. */
#define HOST_RSP 0x6c14

	.text
	.globl vmx_switch, vmx_exited
vmx_switch:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	pushq %rdi
	movl $HOST_RSP, %eax
	vmwrite %rsp, %rax
	testl %esi, %esi
	movq (%rdi), %rax
	movq 8(%rdi), %rcx
	movq 16(%rdi), %rdx
	movq 24(%rdi), %rbx
	movq 32(%rdi), %rbp
	movq 40(%rdi), %rsi
	movq 56(%rdi), %r8
	movq 64(%rdi), %r9
	movq 72(%rdi), %r10
	movq 80(%rdi), %r11
	movq 88(%rdi), %r12
	movq 96(%rdi), %r13
	movq 104(%rdi), %r14
	movq 112(%rdi), %r15
	movq 48(%rdi), %rdi
	jnz 1f
	vmresume
	jmp 2f
1:	vmlaunch
2:	movl $1, %eax
	jc 3f
	movl $2, %eax
3:	popq %rdi
	jmp 4f
vmx_exited:
	pushq %rdi
	movq 8(%rsp), %rdi
	movq %rax, (%rdi)
	movq %rcx, 8(%rdi)
	movq %rdx, 16(%rdi)
	movq %rbx, 24(%rdi)
	movq %rbp, 32(%rdi)
	movq %rsi, 40(%rdi)
	movq %r8, 56(%rdi)
	movq %r9, 64(%rdi)
	movq %r10, 72(%rdi)
	movq %r11, 80(%rdi)
	movq %r12, 88(%rdi)
	movq %r13, 96(%rdi)
	movq %r14, 104(%rdi)
	movq %r15, 112(%rdi)
	popq %rax
	movq %rax, 48(%rdi)
	addq $8, %rsp
	xorl %eax, %eax
4:	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

	.section .note.GNU-stack, "", @progbits
