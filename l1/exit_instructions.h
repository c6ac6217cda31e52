/* SPDX-License-Identifier: Apache-2.0 */
/** Exits that stand for one instruction of L2. Part of exits.c. */
#ifndef TESTUDO_L1_EXIT_INSTRUCTIONS_H
#define TESTUDO_L1_EXIT_INSTRUCTIONS_H

#include "abi/testdev.h"
#include "exit_common.h"
#include "mmu_shadow.h"

/* Bytes of the instructions that have one encoding. */
#define CPUID_BYTES 2
#define VMCALL_BYTES 3
#define RDTSC_BYTES 2
#define RDMSR_BYTES 2
#define WRMSR_BYTES 2

ACCESS_INLINE void exit_cpuid(const bool log)
{
	struct l2_regs *regs = &l1_l2_regs;

	regs->rax = (uint32_t)regs->rax == TESTDEV_CPUID_LEAF ? TESTDEV_CPUID_MAGIC : 0;
	regs->rbx = 0;
	regs->rcx = 0;
	regs->rdx = 0;
	exit_skip(exit_length(CPUID_BYTES, log));
}

ACCESS_INLINE void exit_vmcall(const bool log)
{
	exit_skip(exit_length(VMCALL_BYTES, log));
}

ACCESS_INLINE void exit_rdtsc(const bool log)
{
	const uint64_t tsc = l1_read_tsc();

	l1_l2_regs.rax = (uint32_t)tsc;
	l1_l2_regs.rdx = tsc >> 32;
	exit_skip(exit_length(RDTSC_BYTES, log));
}

ACCESS_INLINE void exit_rdmsr(const bool log)
{
	if ((uint32_t)l1_l2_regs.rcx != TESTDEV_MSR) {
		exit_inject_error(VECTOR_GP, 0);
		return;
	}
	l1_l2_regs.rax = (uint32_t)l1.msr_value;
	l1_l2_regs.rdx = l1.msr_value >> 32;
	exit_skip(exit_length(RDMSR_BYTES, log));
}

ACCESS_INLINE void exit_wrmsr(const bool log)
{
	if ((uint32_t)l1_l2_regs.rcx != TESTDEV_MSR) {
		exit_inject_error(VECTOR_GP, 0);
		return;
	}
	l1.msr_value = l1_l2_regs.rdx << 32 | (uint32_t)l1_l2_regs.rax;
	exit_skip(exit_length(WRMSR_BYTES, log));
}

/* Exit qualification for control-register accesses, SDM vol. 3, table 28-3:
 *  11:8 register | 5:4 type (0 MOV to CR, 1 MOV from CR) | 3:0 number of the control register */
#define CR_NUMBER(qualification) ((qualification)&15)
#define CR_TYPE(qualification) ((qualification) >> 4 & 3)
#define CR_REGISTER(qualification) ((qualification) >> 8 & 15)
#define CR_NO_FLUSH (1ull << 63)

/* mmu=shadow: the CR3 the CPU has is the shadow's, not L2's. */
EXIT_OUTLINE void shadow_control_register(uint64_t qualification)
{
	uint64_t *gpr = l2_reg(&l1_l2_regs, CR_REGISTER(qualification));

	if (CR_TYPE(qualification))
		*gpr = l1_mmu_guest_cr3();
	else
		field_set(VMCS_GUEST_CR3, l1_mmu_load_cr3(*gpr));
}

ACCESS_INLINE void exit_control_register(const bool log)
{
	const uint64_t qualification = field_get(VMCS_EXIT_QUALIFICATION, log);

	exit_skip(field_get(VMCS_VM_EXIT_INSTRUCTION_LENGTH, log));
	if (CR_NUMBER(qualification) != 3 || CR_TYPE(qualification) > 1 || CR_REGISTER(qualification) == GPR_RSP)
		l1_report_exit("is no MOV between CR3 and a register other than RSP");
	if (l1_mmu_active())
		shadow_control_register(qualification);
	else if (CR_TYPE(qualification))
		*l2_reg(&l1_l2_regs, CR_REGISTER(qualification)) = field_get(VMCS_GUEST_CR3, log);
	else
		field_set(VMCS_GUEST_CR3, *l2_reg(&l1_l2_regs, CR_REGISTER(qualification)) & ~CR_NO_FLUSH);
}

ACCESS_INLINE void exit_invlpg(const bool log)
{
	/* The linear address. Nothing to drop for it: L1 gives L2 no VPID where it intercepts INVLPG, so the VM entry
	 * forgets all of L2's translations; with mmu=shadow the tables are never out of date. A hypervisor reads it all
	 * the same. */
	field_get(VMCS_EXIT_QUALIFICATION, log);
	exit_skip(field_get(VMCS_VM_EXIT_INSTRUCTION_LENGTH, log));
}

#endif
