/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VM entry: VMCS -> CPU (SDM vol. 3, 27.3). The engine has checked vmcs02; vmcs01 is L0's own. Values that no check
 * covers may be anything: nothing here trusts them beyond what the guest itself could do to its own state.
 */
#include <string.h>

#include "event.h"
#include "flags.h"

_Static_assert(VMCS_GUEST_TR_SELECTOR - VMCS_GUEST_ES_SELECTOR == SOFT_TR, "selectors in segment order");
_Static_assert(VMCS_GUEST_TR_LIMIT - VMCS_GUEST_ES_LIMIT == SOFT_TR, "limits in segment order");
_Static_assert(VMCS_GUEST_TR_ACCESS_RIGHTS - VMCS_GUEST_ES_ACCESS_RIGHTS == SOFT_TR, "rights in segment order");
_Static_assert(VMCS_GUEST_TR_BASE - VMCS_GUEST_ES_BASE == SOFT_TR, "bases in segment order");

static void load_controls(struct soft_cpu *cpu, const uint64_t *field)
{
	cpu->pin = (uint32_t)field[VMCS_PIN_BASED_VM_EXECUTION_CONTROLS];
	cpu->proc = (uint32_t)field[VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS];
	cpu->proc2 = cpu->proc & VMX_BIT(PROC_ACTIVATE_SECONDARY_CONTROLS)
	                     ? (uint32_t)field[VMCS_SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS]
	                     : 0;
	cpu->exit_controls = (uint32_t)field[VMCS_PRIMARY_VM_EXIT_CONTROLS];
	cpu->entry_controls = (uint32_t)field[VMCS_VM_ENTRY_CONTROLS];
	cpu->exception_bitmap = (uint32_t)field[VMCS_EXCEPTION_BITMAP];
	cpu->eptp = cpu->proc2 & VMX_BIT(PROC2_ENABLE_EPT) ? field[VMCS_EPT_POINTER] : 0;
	cpu->vpid = cpu->proc2 & VMX_BIT(PROC2_ENABLE_VPID) ? (uint16_t)field[VMCS_VIRTUAL_PROCESSOR_ID] : 0;
	cpu->tsc_offset = cpu->proc & VMX_BIT(PROC_TSC_OFFSETTING) ? field[VMCS_TSC_OFFSET] : 0;
	cpu->tsc_multiplier = 0;
	if (cpu->tsc_offset != 0 || (cpu->proc & VMX_BIT(PROC_TSC_OFFSETTING)))
		if (cpu->proc2 & VMX_BIT(PROC2_USE_TSC_SCALING))
			cpu->tsc_multiplier = field[VMCS_TSC_MULTIPLIER];
}

static void load_segments(struct soft_cpu *cpu, const uint64_t *field)
{
	for (unsigned i = 0; i < SOFT_SEGMENT_COUNT; i++) {
		struct soft_segment *segment = &cpu->seg[i];

		segment->selector = (uint16_t)field[VMCS_GUEST_ES_SELECTOR + i];
		segment->base = field[VMCS_GUEST_ES_BASE + i];
		segment->limit = (uint32_t)field[VMCS_GUEST_ES_LIMIT + i];
		segment->rights = (uint32_t)field[VMCS_GUEST_ES_ACCESS_RIGHTS + i];
	}
	cpu->gdtr.base = field[VMCS_GUEST_GDTR_BASE];
	cpu->gdtr.limit = (uint16_t)field[VMCS_GUEST_GDTR_LIMIT];
	cpu->idtr.base = field[VMCS_GUEST_IDTR_BASE];
	cpu->idtr.limit = (uint16_t)field[VMCS_GUEST_IDTR_LIMIT];
}

/** 27.3.2.1: control registers, debug registers, MSRs. */
static void load_registers(struct soft_cpu *cpu, const uint64_t *field)
{
	const uint32_t entry = cpu->entry_controls;

	cpu->cr0 = field[VMCS_GUEST_CR0] | CR0_ET;
	cpu->cr3 = field[VMCS_GUEST_CR3];
	cpu->cr4 = field[VMCS_GUEST_CR4];
	cpu->dr[7] = DR7_INITIAL;
	cpu->debugctl = 0;
	if (entry & VMX_BIT(ENTRY_LOAD_DEBUG_CONTROLS)) {
		cpu->dr[7] = (uint32_t)field[VMCS_GUEST_DR7] | DR7_INITIAL;
		cpu->debugctl = field[VMCS_GUEST_IA32_DEBUGCTL];
	}
	cpu->sysenter_cs = field[VMCS_GUEST_IA32_SYSENTER_CS];
	cpu->sysenter_esp = field[VMCS_GUEST_IA32_SYSENTER_ESP];
	cpu->sysenter_eip = field[VMCS_GUEST_IA32_SYSENTER_EIP];
	if (entry & VMX_BIT(ENTRY_LOAD_IA32_EFER))
		cpu->efer = field[VMCS_GUEST_IA32_EFER];
	else if (entry & VMX_BIT(ENTRY_IA32E_MODE_GUEST))
		cpu->efer |= EFER_LMA | EFER_LME;
	else
		/* LME stays set only where paging is off (27.3.2.1): without paging IA-32e mode is not active. */
		cpu->efer &= ~(cpu->cr0 & CR0_PG ? EFER_LMA | EFER_LME : EFER_LMA);
	if (entry & VMX_BIT(ENTRY_LOAD_IA32_PAT))
		cpu->pat = field[VMCS_GUEST_IA32_PAT];
	if (entry & VMX_BIT(ENTRY_LOAD_IA32_PERF_GLOBAL_CTRL))
		cpu->perf_global_ctrl = field[VMCS_GUEST_IA32_PERF_GLOBAL_CTRL];
	if (entry & VMX_BIT(ENTRY_LOAD_IA32_BNDCFGS))
		cpu->bndcfgs = field[VMCS_GUEST_IA32_BNDCFGS];
	cpu->gpr[GPR_RSP] = field[VMCS_GUEST_RSP];
	cpu->rip = field[VMCS_GUEST_RIP];
	soft_flags_set(cpu, field[VMCS_GUEST_RFLAGS] | RFLAGS_FIXED);
}

/** PAE paging outside IA-32e mode (27.3.2.4): from the VMCS with EPT, from memory without. */
static void load_pdptes(struct soft_cpu *cpu, const uint64_t *field)
{
	if (!(cpu->cr0 & CR0_PG) || !(cpu->cr4 & CR4_PAE) || (cpu->efer & EFER_LMA))
		return;
	for (unsigned i = 0; i < 4; i++) {
		if (cpu->eptp) {
			cpu->pdpte[i] = field[VMCS_GUEST_PDPTE0 + i];
		} else {
			const uint64_t *page = soft_host_page(cpu, cpu->cr3 & 0xffffffe0);

			cpu->pdpte[i] = page ? page[(cpu->cr3 & 0xfe0) / 8 + i] : 0;
		}
	}
}

/** 27.3.2.5 and 27.6: state that is no register, and the event to inject. */
static void load_events(struct soft_cpu *cpu, const uint64_t *field)
{
	const uint32_t info = (uint32_t)field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION];

	cpu->activity = (uint32_t)field[VMCS_GUEST_ACTIVITY_STATE] & 3;
	cpu->interruptibility = (uint32_t)field[VMCS_GUEST_INTERRUPTIBILITY_STATE];
	cpu->pending_debug = field[VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS];
	cpu->inject = info & INTR_INFO_VALID ? info : 0;
	cpu->mtf_armed = cpu->inject;
	cpu->mtf_pending = false;
	cpu->nmi_unblocked = false;
	cpu->debug_hits = 0;
	cpu->idt_vectoring = 0;
	cpu->tpr_check = cpu->proc & VMX_BIT(PROC_TPR_SHADOW);
	cpu->preemption_timer_on = cpu->pin & VMX_BIT(PIN_PREEMPTION_TIMER);
	if (cpu->preemption_timer_on) {
		/* The timer counts changes of bit SOFT_TIMER_SHIFT of the TSC (26.5.1). */
		const uint64_t count = (uint32_t)field[VMCS_VMX_PREEMPTION_TIMER_VALUE];

		cpu->preemption_deadline = ((cpu->retired >> SOFT_TIMER_SHIFT) + count) << SOFT_TIMER_SHIFT;
	}
}

void soft_vmentry(struct soft_cpu *cpu, struct vmcs *vmcs, const struct guest_regs *regs)
{
	const uint64_t *field = vmcs->field;

	cpu->vmcs = vmcs;
	load_controls(cpu, field);
	load_segments(cpu, field);
	load_registers(cpu, field);
	load_pdptes(cpu, field);
	memcpy(cpu->gpr, regs->gpr, sizeof(uint64_t) * GPR_RSP);
	memcpy(&cpu->gpr[GPR_RSP + 1], &regs->gpr[GPR_RSP + 1], sizeof(uint64_t) * (GPR_COUNT - GPR_RSP - 1));
	memcpy(cpu->dr, regs->dr, sizeof(regs->dr));
	cpu->dr[6] = regs->dr6;
	cpu->cr2 = regs->cr2;
	load_events(cpu, field);
	memset(&vmcs->dirty, 0, sizeof(vmcs->dirty));
	soft_update_mode(cpu);
	if (!(cpu->proc2 & VMX_BIT(PROC2_ENABLE_VPID)))
		soft_tlb_flush_vpid(cpu, 0); /* 29.4.3.1: entries and exits without VPID */
	soft_tlb_context(cpu);
	soft_attention(cpu);
}
