/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: faults that unwind, the exits they cause, double and triple faults, and what is looked at between
 * instructions (SDM vol. 3, chapter 6; 26.2, 26.5, 27.6, 27.7). Delivery through the IDT is in idt.c.
 *
 * While an event is being delivered cpu->idt_vectoring holds it: a fault or exit in the middle of delivery finds there
 * what it interrupted.
 */
#include <errno.h>
#include <string.h>

#include "event.h"
#include "flags.h"

#define CONTRIBUTORY ((1u << VECTOR_DE) | (1u << VECTOR_TS) | (1u << VECTOR_NP) | (1u << VECTOR_SS) | (1u << VECTOR_GP))

_Noreturn static void raise(struct soft_cpu *cpu)
{
	/* Nothing of the instruction has happened: RIP still leads to it. */
	cpu->rip = cpu->insn_rip;
	soft_unwind(cpu, SOFT_UNWIND_EVENT);
}

static void set_event(struct soft_cpu *cpu, uint8_t vector, bool has_error, uint32_t error)
{
	memset(&cpu->event, 0, sizeof(cpu->event));
	cpu->event.vector = vector;
	cpu->event.type = INTR_TYPE_HARDWARE_EXCEPTION;
	cpu->event.has_error = has_error;
	cpu->event.error = error;
}

_Noreturn void soft_fault(struct soft_cpu *cpu, uint8_t vector, bool has_error, uint32_t error)
{
	set_event(cpu, vector, has_error, error);
	raise(cpu);
}

_Noreturn void soft_page_fault(struct soft_cpu *cpu, uint64_t linear, uint32_t error)
{
	set_event(cpu, VECTOR_PF, true, error);
	cpu->event.cr2 = linear;
	raise(cpu);
}

_Noreturn void soft_debug_fault(struct soft_cpu *cpu, uint64_t bits)
{
	set_event(cpu, VECTOR_DB, false, 0);
	cpu->event.debug_bits = bits;
	cpu->event.debug_fault = true;
	raise(cpu);
}

/** Exception bitmap, and for page faults mask and match (SDM vol. 3, 25.6.3). */
static bool exception_exits(const struct soft_cpu *cpu)
{
	const uint32_t vector = cpu->event.vector;
	bool exits;

	switch (cpu->event.type) {
	case INTR_TYPE_HARDWARE_EXCEPTION:
	case INTR_TYPE_SOFTWARE_EXCEPTION:
	case INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION:
		break;
	default:
		return false;
	}
	exits = cpu->exception_bitmap >> (vector & 31) & 1;
	if (vector == VECTOR_PF) {
		const uint32_t mask = (uint32_t)vmcs_get(cpu->vmcs, VMCS_PAGE_FAULT_ERROR_CODE_MASK);
		const uint32_t match = (uint32_t)vmcs_get(cpu->vmcs, VMCS_PAGE_FAULT_ERROR_CODE_MATCH);

		if ((cpu->event.error & mask) != match)
			exits = !exits;
	}
	return exits;
}

/** The event as interruption information (SDM vol. 3, 25.9.2). */
static uint32_t event_info(const struct soft_cpu *cpu)
{
	uint32_t info = INTR_INFO_VALID | (uint32_t)cpu->event.type << INTR_INFO_TYPE_SHIFT | cpu->event.vector;

	if (cpu->event.has_error && cpu->mode != SOFT_MODE_REAL)
		info |= INTR_INFO_ERROR_CODE;
	return info;
}

static bool is_software(uint32_t type)
{
	return type == INTR_TYPE_SOFTWARE_INTERRUPT || type == INTR_TYPE_SOFTWARE_EXCEPTION ||
	       type == INTR_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION;
}

/** A trap is a #DB that is reported after its instruction; every other hardware exception here is a fault. */
static bool is_fault(const struct soft_cpu *cpu)
{
	if (cpu->event.type != INTR_TYPE_HARDWARE_EXCEPTION)
		return false;
	return cpu->event.vector != VECTOR_DB || cpu->event.debug_fault;
}

static void exit_for_exception(struct soft_cpu *cpu)
{
	const bool interrupted = cpu->idt_vectoring & INTR_INFO_VALID;
	uint32_t info = event_info(cpu);
	uint64_t qualification = 0;

	if (cpu->event.vector == VECTOR_PF)
		qualification = cpu->event.cr2;
	else if (cpu->event.vector == VECTOR_DB)
		qualification = cpu->event.debug_bits;
	if (cpu->nmi_unblocked && !interrupted && cpu->event.vector != VECTOR_DF)
		info |= INTR_INFO_NMI_UNBLOCKING;
	soft_exit_record(cpu, EXIT_REASON_EXCEPTION_OR_NMI, qualification);
	cpu->vmcs->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] = info;
	cpu->vmcs->field[VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE] = info & INTR_INFO_ERROR_CODE ? cpu->event.error : 0;
	if (is_software(cpu->event.type))
		cpu->vmcs->field[VMCS_VM_EXIT_INSTRUCTION_LENGTH] = cpu->event.instruction_length;
	/* 28.3.3: the saved RF is what delivery would have pushed. */
	if (is_fault(cpu))
		cpu->rflags |= RFLAGS_RF;
}

enum combination { SERIAL, DOUBLE_FAULT, TRIPLE_FAULT };

/** Table 6-5: an exception while `first` was being delivered. */
static enum combination combine(uint32_t first, uint8_t second)
{
	const uint32_t vector = first & INTR_INFO_VECTOR_MASK;
	const bool second_counts = second == VECTOR_PF || (second < 32 && CONTRIBUTORY >> second & 1);

	if ((first & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT != INTR_TYPE_HARDWARE_EXCEPTION || !second_counts)
		return SERIAL;
	if (vector == VECTOR_DF)
		return TRIPLE_FAULT;
	if (vector == VECTOR_PF)
		return DOUBLE_FAULT;
	return CONTRIBUTORY >> (vector & 31) & 1 && second != VECTOR_PF ? DOUBLE_FAULT : SERIAL;
}

int soft_deliver_event(struct soft_cpu *cpu)
{
	const uint32_t first = cpu->idt_vectoring;

	if (exception_exits(cpu)) {
		exit_for_exception(cpu);
		return 1;
	}
	if (first & INTR_INFO_VALID) {
		const enum combination outcome = combine(first, cpu->event.vector);

		/* What comes of it is not "during delivery of" the first event any more (28.2.4). */
		cpu->idt_vectoring = 0;
		/* A page fault that becomes a double or triple fault has loaded CR2 all the same. */
		if (outcome != SERIAL && cpu->event.vector == VECTOR_PF)
			cpu->cr2 = cpu->event.cr2;
		if (outcome == TRIPLE_FAULT) {
			soft_exit_record(cpu, EXIT_REASON_TRIPLE_FAULT, 0);
			return 1;
		}
		if (outcome == DOUBLE_FAULT) {
			set_event(cpu, VECTOR_DF, true, 0);
			if (exception_exits(cpu)) {
				exit_for_exception(cpu);
				return 1;
			}
		}
	}
	soft_idt_deliver(cpu, cpu->rip, is_fault(cpu));
	return 0;
}

void soft_software_interrupt(struct soft_cpu *cpu, uint8_t vector, uint8_t type)
{
	set_event(cpu, vector, false, 0);
	cpu->event.type = type;
	cpu->event.instruction_length = cpu->insn->length;
	if (exception_exits(cpu)) {
		cpu->rip = cpu->insn_rip;
		exit_for_exception(cpu);
		soft_unwind(cpu, SOFT_UNWIND_EXIT);
	}
	soft_idt_deliver(cpu, cpu->insn_rip + cpu->insn->length, false);
}

void soft_unblock_nmi(struct soft_cpu *cpu)
{
	/* 26.3: with NMI exiting but without virtual NMIs IRET leaves NMI blocking alone. */
	if ((cpu->pin & VMX_BIT(PIN_NMI_EXITING)) && !(cpu->pin & VMX_BIT(PIN_VIRTUAL_NMIS)))
		return;
	if (!(cpu->interruptibility & INTERRUPTIBILITY_NMI))
		return;
	cpu->interruptibility &= ~INTERRUPTIBILITY_NMI;
	cpu->nmi_unblocked = true;
	soft_attention(cpu);
}

/** The event of the VM-entry interruption-information field (27.6). */
static void inject(struct soft_cpu *cpu)
{
	const uint32_t info = cpu->inject;
	const uint32_t type = (info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT;
	uint64_t next = cpu->rip;

	cpu->inject = 0;
	if (type == INTR_TYPE_OTHER) {
		cpu->mtf_pending = true;
		return;
	}
	memset(&cpu->event, 0, sizeof(cpu->event));
	cpu->event.vector = info & INTR_INFO_VECTOR_MASK;
	cpu->event.type = (uint8_t)type;
	cpu->event.has_error = info & INTR_INFO_ERROR_CODE;
	cpu->event.error = (uint32_t)vmcs_get(cpu->vmcs, VMCS_VM_ENTRY_EXCEPTION_ERROR_CODE);
	cpu->event.injected = true;
	if (is_software(type)) {
		cpu->event.instruction_length = (uint8_t)(vmcs_get(cpu->vmcs, VMCS_VM_ENTRY_INSTRUCTION_LENGTH) & 15);
		next += cpu->event.instruction_length;
	} else {
		/* 27.7.3: a debug exception that was pending gives way to the injected event. */
		cpu->pending_debug = 0;
	}
	cpu->activity = ACTIVITY_ACTIVE;
	/* 27.7.1: VM entry blocks NMIs when it injects one, whether its delivery then succeeds or exits. */
	if (type == INTR_TYPE_NMI)
		cpu->interruptibility |= INTERRUPTIBILITY_NMI;
	soft_idt_deliver(cpu, next, is_fault(cpu));
}

/** Exit between instructions: RIP is that of the next one. */
static int exit_between(struct soft_cpu *cpu, uint32_t reason)
{
	soft_exit_record(cpu, reason, 0);
	return 1;
}

/** A #DB that the last instruction left behind; 1 = exit. */
static int deliver_debug_trap(struct soft_cpu *cpu)
{
	const uint64_t bits = cpu->pending_debug & (0xf | DR6_BS);

	cpu->pending_debug = 0;
	set_event(cpu, VECTOR_DB, false, 0);
	cpu->event.debug_bits = bits;
	cpu->activity = ACTIVITY_ACTIVE;
	return soft_deliver_event(cpu);
}

static bool code_breakpoints(const struct soft_cpu *cpu)
{
	if (!(cpu->dr[7] & 0xff))
		return false;
	for (unsigned n = 0; n < 4; n++)
		if (cpu->dr[7] >> (2 * n) & 3 && !(cpu->dr[7] >> (16 + 4 * n) & 3))
			return true;
	return false;
}

/** Breakpoints in DR0-3 at the next instruction: bits for DR6. */
static uint64_t code_breakpoint_hits(const struct soft_cpu *cpu)
{
	const uint64_t base = cpu->mode == SOFT_MODE_64 ? 0 : cpu->seg[SOFT_CS].base;
	uint64_t hits = 0;

	if (cpu->rflags & RFLAGS_RF)
		return 0;
	for (unsigned n = 0; n < 4; n++)
		if (cpu->dr[7] >> (2 * n) & 3 && !(cpu->dr[7] >> (16 + 4 * n) & 3) && cpu->dr[n] == base + cpu->rip)
			hits |= 1ull << n;
	return hits;
}

static bool timer_expired(const struct soft_cpu *cpu)
{
	return cpu->preemption_timer_on && cpu->retired >= cpu->preemption_deadline;
}

/** Exits that windows ask for (26.2): interrupts and NMIs could be taken now. 1 = exit. */
static int check_windows(struct soft_cpu *cpu)
{
	const uint32_t shadow = cpu->interruptibility & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);

	if ((cpu->proc & VMX_BIT(PROC_NMI_WINDOW_EXITING)) &&
	        !(cpu->interruptibility & (INTERRUPTIBILITY_NMI | INTERRUPTIBILITY_MOV_SS)))
		return exit_between(cpu, EXIT_REASON_NMI_WINDOW);
	if ((cpu->proc & VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING)) && (cpu->rflags & RFLAGS_IF) && !shadow)
		return exit_between(cpu, EXIT_REASON_INTERRUPT_WINDOW);
	return 0;
}

/** The value of `retired` at which to look again. */
static uint64_t next_look(const struct soft_cpu *cpu)
{
	uint64_t next = ~0ull;

	if (cpu->preemption_timer_on)
		next = cpu->preemption_deadline;
	if (cpu->deadline < next)
		next = cpu->deadline;
	if ((cpu->proc & VMX_BIT(PROC_MONITOR_TRAP_FLAG)) || code_breakpoints(cpu))
		next = cpu->retired + 1;
	return next;
}

/*
 * Priority (SDM vol. 3, table 6-2, and 26.5.1, 26.5.2, 26.2): injection as part of VM entry, TPR below threshold, MTF,
 * debug traps, preemption timer, NMI window, interrupt window, code breakpoints (faults of the next instruction).
 */
int soft_check_events(struct soft_cpu *cpu)
{
	uint64_t hits;

	cpu->insn_rip = cpu->rip;
	cpu->nmi_unblocked = false;
	if (cpu->inject)
		inject(cpu);
	if (cpu->tpr_check) {
		cpu->tpr_check = false;
		if (soft_tpr_below_threshold(cpu))
			return exit_between(cpu, EXIT_REASON_TPR_BELOW_THRESHOLD);
	}
	if (cpu->debug_hits) {
		cpu->pending_debug |= cpu->debug_hits | PENDING_DEBUG_ENABLED;
		cpu->debug_hits = 0;
	}
	if (cpu->proc & VMX_BIT(PROC_MONITOR_TRAP_FLAG)) {
		if (cpu->mtf_armed)
			return exit_between(cpu, EXIT_REASON_MONITOR_TRAP_FLAG);
	} else if (cpu->mtf_pending) {
		return exit_between(cpu, EXIT_REASON_MONITOR_TRAP_FLAG);
	}
	cpu->mtf_armed = true;
	if ((cpu->pending_debug & (PENDING_DEBUG_ENABLED | DR6_BS)) &&
	        !(cpu->interruptibility & INTERRUPTIBILITY_MOV_SS)) {
		if (deliver_debug_trap(cpu))
			return 1;
		cpu->insn_rip = cpu->rip;
	}
	if (timer_expired(cpu) && cpu->activity != ACTIVITY_WAIT_FOR_SIPI)
		return exit_between(cpu, EXIT_REASON_PREEMPTION_TIMER_EXPIRED);
	if (cpu->activity <= ACTIVITY_HLT && check_windows(cpu))
		return 1;
	hits = cpu->activity == ACTIVITY_ACTIVE && code_breakpoints(cpu) ? code_breakpoint_hits(cpu) : 0;
	if (hits) {
		set_event(cpu, VECTOR_DB, false, 0);
		cpu->event.debug_bits = hits;
		cpu->event.debug_fault = true;
		if (soft_deliver_event(cpu))
			return 1;
		cpu->insn_rip = cpu->rip;
	}
	if (cpu->retired >= cpu->deadline)
		soft_unwind(cpu, SOFT_UNWIND_KICK);
	cpu->stop_at = next_look(cpu);
	return 0;
}
