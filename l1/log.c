/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "l1.h"
#include "shadowvmcs/exit_reasons.h"

void log_stamp_begin(void)
{
	if (l1.boot->flags & BOOT_FLAG_STAMPS)
		l1.boot->stamps.l1_handler_begin = l1_read_tsc();
}

void log_stamp_end(void)
{
	if (l1.boot->flags & BOOT_FLAG_STAMPS)
		l1.boot->stamps.l1_handler_end = l1_read_tsc();
}

/* The SDM defines the instruction length for exits by instructions only (vol. 3, 28.2.5): for the others the field
 * holds what the machine left there, which two machines need not agree on. */
static bool has_instruction_length(uint32_t reason)
{
	switch (reason) {
	case EXIT_REASON_CPUID:
	case EXIT_REASON_HLT:
	case EXIT_REASON_INVLPG:
	case EXIT_REASON_RDTSC:
	case EXIT_REASON_VMCALL:
	case EXIT_REASON_CONTROL_REGISTER_ACCESS:
	case EXIT_REASON_IO_INSTRUCTION:
	case EXIT_REASON_RDMSR:
	case EXIT_REASON_WRMSR:
		return true;
	}
	return false;
}

void log_exit(const uint64_t *fields)
{
	struct boot_info *boot = l1.boot;

	if (!(boot->flags & BOOT_FLAG_EXIT_LOG))
		return;
	if (boot->log_count < boot->log_capacity) {
		const uint32_t reason = (uint32_t)fields[VMCS_EXIT_REASON];
		struct exit_log_entry *entry = (struct exit_log_entry *)boot->log_base + boot->log_count;

		entry->reason = reason;
		entry->instruction_length =
		        has_instruction_length(reason) ? (uint32_t)fields[VMCS_VM_EXIT_INSTRUCTION_LENGTH] : 0;
		entry->qualification = fields[VMCS_EXIT_QUALIFICATION];
		entry->guest_rip = fields[VMCS_GUEST_RIP];
		/* Valid for this reason and for external interrupts that are acknowledged, which L1 does not ask for.
		 */
		entry->interruption_info =
		        reason == EXIT_REASON_EXCEPTION_OR_NMI ? fields[VMCS_VM_EXIT_INTERRUPTION_INFORMATION] : 0;
		entry->idt_vectoring_info = fields[VMCS_IDT_VECTORING_INFORMATION];
		entry->guest_physical_address =
		        reason == EXIT_REASON_EPT_VIOLATION ? fields[VMCS_GUEST_PHYSICAL_ADDRESS] : 0;
	}
	boot->log_count++;
}
