/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VM exit: exit information (SDM vol. 3, 28.2) and the guest state saved (28.3). There is no host state to load: root
 * operation is L0.
 */
#include <string.h>

#include "flags.h"
#include "internal.h"

void soft_exit_record(struct soft_cpu *cpu, uint32_t reason, uint64_t qualification)
{
	uint64_t *field = cpu->vmcs->field;
	const uint32_t vectoring = cpu->idt_vectoring;

	field[VMCS_EXIT_REASON] = reason;
	field[VMCS_EXIT_QUALIFICATION] = qualification;
	field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = 0;
	field[VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE] = 0;
	field[VMCS_IDT_VECTORING_INFORMATION] = vectoring;
	field[VMCS_IDT_VECTORING_ERROR_CODE] = vectoring & INTR_INFO_ERROR_CODE ? cpu->idt_vectoring_error : 0;
	/* 28.2.5: the length is that of INT n and its like when the exit interrupted their delivery. */
	field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = vectoring ? cpu->idt_vectoring_length : 0;
	field[VMCS_VM_EXIT_INSTRUCTION_INFORMATION] = 0;
	vmcs_store(cpu->vmcs, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION,
	        field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] & ~(uint64_t)INTR_INFO_VALID);
	cpu->idt_vectoring = 0;
	cpu->inject = 0;
	cpu->mtf_pending = false;
}

/** Exits that RFLAGS.RF and "NMI unblocking due to IRET" treat like faults (28.3.3, table 28-7). */
static bool faultlike(uint32_t reason)
{
	return reason == EXIT_REASON_EPT_VIOLATION || reason == EXIT_REASON_EPT_MISCONFIGURATION ||
	       reason == EXIT_REASON_PAGE_MODIFICATION_LOG_FULL || reason == EXIT_REASON_APIC_ACCESS;
}

_Noreturn void soft_exit(struct soft_cpu *cpu, uint32_t reason, uint64_t qualification)
{
	const bool delivering = cpu->idt_vectoring & INTR_INFO_VALID;

	if (faultlike(reason)) {
		if (cpu->nmi_unblocked && !delivering)
			qualification |= EPT_VIOLATION_NMI_UNBLOCKING;
		if (!delivering)
			cpu->rflags |= RFLAGS_RF;
	}
	cpu->rip = cpu->insn_rip;
	soft_exit_record(cpu, reason, qualification);
	soft_unwind(cpu, SOFT_UNWIND_EXIT);
}

_Noreturn void soft_exit_with_information(
        struct soft_cpu *cpu, uint32_t reason, uint64_t qualification, uint32_t information)
{
	cpu->rip = cpu->insn_rip;
	soft_exit_record(cpu, reason, qualification);
	cpu->vmcs->field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = cpu->insn->length;
	cpu->vmcs->field[VMCS_VM_EXIT_INSTRUCTION_INFORMATION] = information;
	soft_unwind(cpu, SOFT_UNWIND_EXIT);
}

_Noreturn void soft_exit_instruction(struct soft_cpu *cpu, uint32_t reason, uint64_t qualification)
{
	soft_exit_with_information(cpu, reason, qualification, 0);
}

static void save_segments(const struct soft_cpu *cpu, struct vmcs *vmcs)
{
	for (unsigned i = 0; i < SOFT_SEGMENT_COUNT; i++) {
		const struct soft_segment *segment = &cpu->seg[i];

		vmcs_store(vmcs, (enum vmcs_field)(VMCS_GUEST_ES_SELECTOR + i), segment->selector);
		vmcs_store(vmcs, (enum vmcs_field)(VMCS_GUEST_ES_BASE + i), segment->base);
		vmcs_store(vmcs, (enum vmcs_field)(VMCS_GUEST_ES_LIMIT + i), segment->limit);
		vmcs_store(vmcs, (enum vmcs_field)(VMCS_GUEST_ES_ACCESS_RIGHTS + i), segment->rights);
	}
	vmcs_store(vmcs, VMCS_GUEST_GDTR_BASE, cpu->gdtr.base);
	vmcs_store(vmcs, VMCS_GUEST_GDTR_LIMIT, cpu->gdtr.limit);
	vmcs_store(vmcs, VMCS_GUEST_IDTR_BASE, cpu->idtr.base);
	vmcs_store(vmcs, VMCS_GUEST_IDTR_LIMIT, cpu->idtr.limit);
}

/** 28.3.1. */
static void save_registers(const struct soft_cpu *cpu, struct vmcs *vmcs)
{
	const uint32_t exit = cpu->exit_controls;

	vmcs_store(vmcs, VMCS_GUEST_CR0, cpu->cr0);
	vmcs_store(vmcs, VMCS_GUEST_CR3, cpu->cr3);
	vmcs_store(vmcs, VMCS_GUEST_CR4, cpu->cr4);
	vmcs_store(vmcs, VMCS_GUEST_RSP, cpu->gpr[GPR_RSP]);
	vmcs_store(vmcs, VMCS_GUEST_RIP, cpu->rip);
	vmcs_store(vmcs, VMCS_GUEST_RFLAGS, soft_flags_get(cpu));
	vmcs_store(vmcs, VMCS_GUEST_IA32_SYSENTER_CS, cpu->sysenter_cs);
	vmcs_store(vmcs, VMCS_GUEST_IA32_SYSENTER_ESP, cpu->sysenter_esp);
	vmcs_store(vmcs, VMCS_GUEST_IA32_SYSENTER_EIP, cpu->sysenter_eip);
	if (exit & VMX_BIT(EXIT_SAVE_DEBUG_CONTROLS)) {
		vmcs_store(vmcs, VMCS_GUEST_DR7, cpu->dr[7]);
		vmcs_store(vmcs, VMCS_GUEST_IA32_DEBUGCTL, cpu->debugctl);
	}
	if (exit & VMX_BIT(EXIT_SAVE_IA32_EFER))
		vmcs_store(vmcs, VMCS_GUEST_IA32_EFER, cpu->efer);
	if (exit & VMX_BIT(EXIT_SAVE_IA32_PAT))
		vmcs_store(vmcs, VMCS_GUEST_IA32_PAT, cpu->pat);
	/* An unrestricted guest leaves and enters IA-32e mode by itself (28.3.1). */
	if (cpu->proc2 & VMX_BIT(PROC2_UNRESTRICTED_GUEST)) {
		const uint64_t bit = VMX_BIT(ENTRY_IA32E_MODE_GUEST);

		vmcs_store(vmcs, VMCS_VM_ENTRY_CONTROLS,
		        (vmcs_get(vmcs, VMCS_VM_ENTRY_CONTROLS) & ~bit) | (cpu->efer & EFER_LMA ? bit : 0));
	}
	if (cpu->eptp && (cpu->cr0 & CR0_PG) && (cpu->cr4 & CR4_PAE) && !(cpu->efer & EFER_LMA)) {
		for (unsigned i = 0; i < 4; i++)
			vmcs_store(vmcs, (enum vmcs_field)(VMCS_GUEST_PDPTE0 + i), cpu->pdpte[i]);
	}
}

/** 28.3.4. */
static void save_events(const struct soft_cpu *cpu, struct vmcs *vmcs)
{
	vmcs_store(vmcs, VMCS_GUEST_ACTIVITY_STATE, cpu->activity);
	vmcs_store(vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE, cpu->interruptibility);
	vmcs_store(vmcs, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS, cpu->pending_debug);
	if (cpu->preemption_timer_on && (cpu->exit_controls & VMX_BIT(EXIT_SAVE_PREEMPTION_TIMER))) {
		const uint64_t now = cpu->retired >> SOFT_TIMER_SHIFT;
		const uint64_t end = cpu->preemption_deadline >> SOFT_TIMER_SHIFT;

		vmcs_store(vmcs, VMCS_VMX_PREEMPTION_TIMER_VALUE, end > now ? end - now : 0);
	}
}

void soft_vmexit_save(struct soft_cpu *cpu, struct guest_regs *regs)
{
	struct vmcs *vmcs = cpu->vmcs;

	save_segments(cpu, vmcs);
	save_registers(cpu, vmcs);
	save_events(cpu, vmcs);
	memcpy(regs->gpr, cpu->gpr, sizeof(uint64_t) * GPR_RSP);
	memcpy(&regs->gpr[GPR_RSP + 1], &cpu->gpr[GPR_RSP + 1], sizeof(uint64_t) * (GPR_COUNT - GPR_RSP - 1));
	memcpy(regs->dr, cpu->dr, sizeof(regs->dr));
	regs->dr6 = cpu->dr[6];
	regs->cr2 = cpu->cr2;
	if (cpu->exit_controls & VMX_BIT(EXIT_CLEAR_IA32_BNDCFGS))
		cpu->bndcfgs = 0;
}
