/* SPDX-License-Identifier: Apache-2.0 */
/* Events that L0 gives to L1 or L2: injection, injection again after an exit of L0's, external interrupts. */
#include "nested.h"

#include "transition.h"

static struct vmcs *running(struct nested *nested)
{
	return nested->in_l2 ? &nested->vmcs02 : nested->config.vmcs01;
}

static void fill_event(struct vmcs *vmcs, uint32_t info, uint32_t error_code, uint32_t instruction_length)
{
	vmcs_set(vmcs, VMCS_VM_ENTRY_INTERRUPTION_INFORMATION, info);
	vmcs_set(vmcs, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE, error_code);
	vmcs_set(vmcs, VMCS_VM_ENTRY_INSTRUCTION_LENGTH, instruction_length);
}

static bool is_exception(uint32_t info)
{
	return (info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT == INTR_TYPE_HARDWARE_EXCEPTION;
}

void nested_inject(struct nested *nested, uint32_t interruption_info, uint32_t error_code, uint32_t instruction_length)
{
	const uint32_t vector = interruption_info & INTR_INFO_VECTOR_MASK;

	if (nested->in_l2 && is_exception(interruption_info) && vector < 32 &&
	        transition_wants_exception(&nested->checked12, vector, error_code)) {
		const bool page_fault = vector == VECTOR_PF;
		nested_reflect_made(nested, EXIT_REASON_EXCEPTION_OR_NMI,
		        page_fault ? nested->vmcs02.field[VMCS_EXIT_QUALIFICATION] : 0, interruption_info, error_code);
		return;
	}
	fill_event(running(nested), interruption_info, error_code, instruction_length);
	nested->counters[COUNTER_EVENTS_INJECTED]++;
}

void nested_reinject(struct nested *nested)
{
	struct vmcs *vmcs = running(nested);
	const uint32_t vectoring = (uint32_t)vmcs->field[VMCS_IDT_VECTORING_INFORMATION];
	const uint64_t blocking = vmcs->field[VMCS_GUEST_INTERRUPTIBILITY_STATE];

	if (!(vectoring & INTR_INFO_VALID))
		return;
	/* Bit 12 is undefined in IDT-vectoring information and reserved in the entry field. */
	fill_event(vmcs, vectoring & ~INTR_INFO_NMI_UNBLOCKING, (uint32_t)vmcs->field[VMCS_IDT_VECTORING_ERROR_CODE],
	        (uint32_t)vmcs->field[VMCS_VM_EXIT_INSTRUCTION_LENGTH]);
	/* The delivery that was cut short had already blocked NMIs; an NMI cannot be injected while they are. */
	if ((vectoring & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT == INTR_TYPE_NMI)
		transition_set(vmcs, VMCS_GUEST_INTERRUPTIBILITY_STATE, blocking & ~(uint64_t)INTERRUPTIBILITY_NMI);
	/* Taken: it must not come twice when the guest is entered without another exit in between. */
	vmcs->field[VMCS_IDT_VECTORING_INFORMATION] = 0;
	nested->counters[COUNTER_EVENTS_INJECTED]++;
}

/* ---- external interrupts ---- */

static bool event_pending(const struct vmcs *vmcs)
{
	return vmcs->field[VMCS_VM_ENTRY_INTERRUPTION_INFORMATION] & INTR_INFO_VALID;
}

/* RFLAGS.IF and no blocking by STI or MOV SS (6.8.1), in a state in which interrupts wake or find the CPU. */
static bool can_take_interrupt(struct nested *nested, struct vmcs *vmcs)
{
	const uint64_t blocking = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;

	if (vmcs_mask_has(&vmcs->stale, VMCS_GUEST_INTERRUPTIBILITY_STATE) ||
	        vmcs_mask_has(&vmcs->stale, VMCS_GUEST_RFLAGS) ||
	        vmcs_mask_has(&vmcs->stale, VMCS_GUEST_ACTIVITY_STATE))
		transition_fetch(nested, vmcs);
	return (vmcs->field[VMCS_GUEST_RFLAGS] & RFLAGS_IF) &&
	       !(vmcs->field[VMCS_GUEST_INTERRUPTIBILITY_STATE] & blocking) &&
	       vmcs->field[VMCS_GUEST_ACTIVITY_STATE] <= ACTIVITY_HLT && !event_pending(vmcs);
}

/* Ask for, or no longer ask for, an exit that helps to deliver an interrupt. vmcs02's controls are merged. */
static void wait_for(struct nested *nested, uint8_t kind)
{
	const uint64_t window = VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING);
	const enum vmcs_field field = VMCS_PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS;

	if (nested->in_l2) {
		if (nested->pending_kind != kind) {
			nested->pending_kind = kind;
			merge_update_controls(nested);
		}
		return;
	}
	const uint64_t proc = nested->config.vmcs01->field[field];
	vmcs_set(nested->config.vmcs01, field, kind & NESTED_WAITS_WINDOW ? proc | window : proc & ~window);
}

static bool inject_or_wait(struct nested *nested, uint8_t vector)
{
	struct vmcs *vmcs = running(nested);

	if (!can_take_interrupt(nested, vmcs)) {
		wait_for(nested, NESTED_WAITS_WINDOW);
		return false;
	}
	wait_for(nested, 0);
	nested_inject(nested, INTR_INFO_VALID | INTR_TYPE_EXTERNAL << INTR_INFO_TYPE_SHIFT | vector, 0, 0);
	return true;
}

/*
 * The event vmcs12 injects comes before the interrupt (27.6 before 26.2), so L2 must be entered once more; a monitor
 * trap ends that entry right after the delivery. Where there is none, the event becomes one whose delivery the exit
 * interrupted, which L1 injects again.
 */
static bool entry_comes_first(struct nested *nested)
{
	const bool can_trap = nested->config.machine.honours[VMX_WORD_PROC] & VMX_BIT(PROC_MONITOR_TRAP_FLAG);

	if (!event_pending(&nested->vmcs02) || !can_trap)
		return false;
	wait_for(nested, NESTED_WAITS_ENTRY);
	return true;
}

bool nested_deliver_interrupt(struct nested *nested, uint8_t vector)
{
	const struct vmcs *v = &nested->checked12;
	const uint32_t info = INTR_INFO_VALID | INTR_TYPE_EXTERNAL << INTR_INFO_TYPE_SHIFT | vector;
	bool acknowledged;

	if (!nested->in_l2 || !PIN(EXTERNAL_INTERRUPT_EXITING))
		return inject_or_wait(nested, vector);
	if (entry_comes_first(nested))
		return false;
	acknowledged = EXIT(ACKNOWLEDGE_INTERRUPT);
	nested_reflect_made(nested, EXIT_REASON_EXTERNAL_INTERRUPT, 0, acknowledged ? info : 0, 0);
	/* Not acknowledged, the interrupt stays pending for L1, which runs with RFLAGS.IF = 0 now. */
	return acknowledged ? true : inject_or_wait(nested, vector);
}
