/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMX instructions in non-root operation: each exits, except VMREAD and VMWRITE of fields that VMCS shadowing gives the
 * guest (SDM vol. 3, 25.10 and 31.3).
 */
#include "flags.h"
#include "information.h"
#include "tlb.h"

/* VM-instruction error numbers, 31.4. */
#define ERROR_UNSUPPORTED_FIELD 12

/** In which modes VMX instructions exist (31.3): protected or 64-bit, not virtual-8086, not compatibility. */
static bool vmx_exists(const struct soft_cpu *cpu)
{
	return cpu->mode == SOFT_MODE_64 || cpu->mode == SOFT_MODE_32 || cpu->mode == SOFT_MODE_16;
}

static void succeed(struct soft_cpu *cpu)
{
	soft_flags_set_status(cpu, 0);
}

static void fail_invalid(struct soft_cpu *cpu)
{
	soft_flags_set_status(cpu, FLAG_CF);
}

static void fail_valid(struct soft_cpu *cpu, struct vmcs *shadow, uint64_t error)
{
	vmcs_set(shadow, VMCS_VM_INSTRUCTION_ERROR, error);
	soft_flags_set_status(cpu, FLAG_ZF);
}

/** Does the bitmap (or the lack of shadowing) make this access exit? */
static bool access_exits(const struct soft_cpu *cpu, enum vmcs_field bitmap, uint64_t encoding)
{
	const uint8_t *page;

	if (!(cpu->proc2 & VMX_BIT(PROC2_VMCS_SHADOWING)) || encoding >> 15)
		return true;
	page = soft_host_page(cpu, vmcs_get(cpu->vmcs, bitmap));
	return !page || (page[encoding / 8] >> (encoding % 8) & 1);
}

/** The shadow VMCS region the link pointer names; NULL: there is none. */
static struct vmcs *linked_region(const struct soft_cpu *cpu)
{
	const uint64_t link = vmcs_get(cpu->vmcs, VMCS_VMCS_LINK_POINTER);

	return link & 0xfff ? NULL : soft_host_page(cpu, link);
}

static unsigned operand_bytes(const struct soft_cpu *cpu)
{
	return cpu->mode == SOFT_MODE_64 ? 8 : 4;
}

static void shadow_read(struct soft_cpu *cpu, const struct soft_operands *operands, uint64_t encoding)
{
	struct vmcs *shadow = linked_region(cpu);
	const unsigned bytes = operand_bytes(cpu);
	uint64_t value;

	if (!shadow) {
		fail_invalid(cpu);
	} else if (!vmcs_read_encoding(shadow, (uint32_t)encoding, &value)) {
		fail_valid(cpu, shadow, ERROR_UNSUPPORTED_FIELD);
	} else {
		if (operands->memory)
			soft_store(cpu, soft_operand_linear(cpu, operands), bytes, value);
		else
			cpu->gpr[operands->reg1 & 15] = bytes == 8 ? value : (uint32_t)value;
		succeed(cpu);
	}
}

static void shadow_write(struct soft_cpu *cpu, const struct soft_operands *operands, uint64_t encoding)
{
	struct vmcs *shadow = linked_region(cpu);
	const unsigned bytes = operand_bytes(cpu);
	uint64_t value;

	if (!shadow) {
		fail_invalid(cpu);
		return;
	}
	if (operands->memory)
		value = soft_load(cpu, soft_operand_linear(cpu, operands), bytes);
	else
		value = cpu->gpr[operands->reg1 & 15] & (bytes == 8 ? ~0ull : 0xffffffffull);
	if (vmcs_write_encoding(shadow, (uint32_t)encoding, value))
		succeed(cpu);
	else
		fail_valid(cpu, shadow, ERROR_UNSUPPORTED_FIELD);
}

static void access_field(struct soft_cpu *cpu, uint32_t reason)
{
	const bool read = reason == EXIT_REASON_VMREAD;
	struct soft_operands operands;
	uint64_t encoding;

	soft_insn_operands(cpu->insn, &operands);
	encoding = cpu->gpr[operands.reg2 & 15];
	if (cpu->mode != SOFT_MODE_64)
		encoding = (uint32_t)encoding;
	if (access_exits(cpu, read ? VMCS_VMREAD_BITMAP : VMCS_VMWRITE_BITMAP, encoding))
		soft_exit_with_information(
		        cpu, reason, soft_operand_displacement(cpu, &operands), soft_information_vmread(&operands));
	if (cpu->cpl != 0)
		soft_fault(cpu, VECTOR_GP, true, 0);
	if (read)
		shadow_read(cpu, &operands, encoding);
	else
		shadow_write(cpu, &operands, encoding);
}

void soft_intercept_vmx(struct soft_cpu *cpu, uint32_t reason)
{
	struct soft_operands operands;

	if (reason == EXIT_REASON_VMFUNC || (reason != EXIT_REASON_VMCALL && !vmx_exists(cpu)))
		soft_fault(cpu, VECTOR_UD, false, 0);
	switch (reason) {
	case EXIT_REASON_VMREAD:
	case EXIT_REASON_VMWRITE:
		access_field(cpu, reason);
		return;
	case EXIT_REASON_VMCLEAR:
	case EXIT_REASON_VMPTRLD:
	case EXIT_REASON_VMPTRST:
	case EXIT_REASON_VMXON:
		soft_insn_operands(cpu->insn, &operands);
		soft_exit_with_information(
		        cpu, reason, soft_operand_displacement(cpu, &operands), soft_information_pointer(&operands));
	case EXIT_REASON_INVEPT:
	case EXIT_REASON_INVVPID:
		soft_insn_operands(cpu->insn, &operands);
		soft_exit_with_information(
		        cpu, reason, soft_operand_displacement(cpu, &operands), soft_information_invalidate(&operands));
	default:
		soft_exit_instruction(cpu, reason, 0);
	}
}
