/* SPDX-License-Identifier: Apache-2.0 */
/* Sentences about what went wrong. Each ends L1 with TESTDEV_END_FAILED. */
#include "l1.h"
#include "shadowvmcs/exit_reasons.h"
#include "vmx.h"
#include "workloads/runtime/print.h"

static const char *reason_name(uint32_t reason)
{
	switch (reason) {
#define EXIT_REASON(number, name, who, group, text)                                                                    \
	case number:                                                                                                   \
		return #name;
#include "shadowvmcs/exit_reasons.def"
#undef EXIT_REASON
	}
	return "UNKNOWN";
}

static uint64_t field_now(enum vmcs_encoding encoding)
{
	uint64_t value = 0;

	vmx_read(l1.pv, encoding, &value);
	return value;
}

#define FIELD(name) field_now(VMCS_ENC_##name)

static void print_field(const char *name, enum vmcs_encoding encoding)
{
	print(" %s %x", name, field_now(encoding));
}

#define PRINT_FIELD(name) print_field(#name, VMCS_ENC_##name)

/* What a failed VM-entry check is usually about. */
static void print_entry_fields(void)
{
	print(" Fields:");
	PRINT_FIELD(PIN_BASED_VM_EXECUTION_CONTROLS);
	PRINT_FIELD(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS);
	PRINT_FIELD(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS);
	PRINT_FIELD(PRIMARY_VM_EXIT_CONTROLS);
	PRINT_FIELD(VM_ENTRY_CONTROLS);
	PRINT_FIELD(VM_ENTRY_INTERRUPTION_INFORMATION);
	PRINT_FIELD(EPT_POINTER);
	PRINT_FIELD(GUEST_CR0);
	PRINT_FIELD(GUEST_CR3);
	PRINT_FIELD(GUEST_CR4);
	PRINT_FIELD(GUEST_IA32_EFER);
	PRINT_FIELD(GUEST_RFLAGS);
	PRINT_FIELD(GUEST_INTERRUPTIBILITY_STATE);
	PRINT_FIELD(GUEST_ACTIVITY_STATE);
	PRINT_FIELD(HOST_CR0);
	PRINT_FIELD(HOST_CR4);
	print(".");
}

void l1_report_exit(const char *why)
{
	const uint32_t reason = (uint32_t)FIELD(EXIT_REASON);

	print("L1: exit %s (%x) %s", reason_name(reason & 0xffff), (unsigned long)reason,
	        reason & EXIT_REASON_ENTRY_FAILURE ? "is a failed VM entry" : why);
	print(": qualification %x, interruption information %x, instruction length %u, L2-physical address %x, RIP %x, "
	      "RAX %x.",
	        FIELD(EXIT_QUALIFICATION), FIELD(VM_EXIT_INTERRUPTION_INFORMATION), FIELD(VM_EXIT_INSTRUCTION_LENGTH),
	        FIELD(GUEST_PHYSICAL_ADDRESS), FIELD(GUEST_RIP), l1_l2_regs.rax);
	if (reason & EXIT_REASON_ENTRY_FAILURE)
		print_entry_fields();
	print_and_end(TESTDEV_END_FAILED, "");
}

void l1_report_entry_failure(const char *instruction, uint64_t result)
{
	if (PV_VMX_RESULT_KIND(result) == PV_VMX_RESULT_FAIL_INVALID)
		print_and_end(TESTDEV_END_FAILED, "L1: %s failed without a current VMCS (VMfailInvalid).", instruction);
	print("L1: %s failed with VM-instruction error %u (SDM vol. 3, 31.4).", instruction,
	        FIELD(VM_INSTRUCTION_ERROR));
	print_entry_fields();
	print_and_end(TESTDEV_END_FAILED, "");
}

void l1_check_vmx(const char *instruction, uint64_t operand, uint64_t result)
{
	uint64_t error = PV_VMX_RESULT_ERROR(result);

	if (PV_VMX_RESULT_KIND(result) == PV_VMX_RESULT_SUCCEED)
		return;
	if (PV_VMX_RESULT_KIND(result) == PV_VMX_RESULT_FAIL_INVALID)
		print_and_end(TESTDEV_END_FAILED, "L1: %s %x failed without a current VMCS (VMfailInvalid).",
		        instruction, operand);
	if (!error)
		error = FIELD(VM_INSTRUCTION_ERROR);
	print_and_end(TESTDEV_END_FAILED, "L1: %s %x failed with VM-instruction error %u (SDM vol. 3, 31.4).",
	        instruction, operand, error);
}
