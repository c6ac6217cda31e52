/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real VMX instructions of L1: operands out of the exit information, results back into L1's registers and memory.
 *
 * VM-exit instruction-information field (SDM vol. 3, tables 28-9, 28-13, 28-14):
 *
 *  31    28  27  26  23  22  21   18 17  15 14 11 10 9    7  6   3  2 1     0
 * |  reg2  |nobase|base|noindex|index|segment|  0 |r/m|addr size| reg1 |0|scale|
 *
 *   reg2  VMREAD, VMWRITE: the register with the encoding; INVEPT, INVVPID: the register with the type
 *   r/m   VMREAD, VMWRITE: 1 = the other operand is register reg1, 0 = it is in memory
 *
 * The exit qualification holds the displacement, in 64-bit mode already relative to the next instruction where the
 * instruction says so.
 */
#include "insn.h"

#define INFO_SCALE(info) ((info)&3)
#define INFO_REG1(info) ((info) >> 3 & 15)
#define INFO_ADDRESS_SIZE(info) ((info) >> 7 & 7)
#define INFO_IS_REGISTER (1u << 10)
#define INFO_SEGMENT(info) ((info) >> 15 & 7)
#define INFO_INDEX(info) ((info) >> 18 & 15)
#define INFO_NO_INDEX (1u << 22)
#define INFO_BASE(info) ((info) >> 23 & 15)
#define INFO_NO_BASE (1u << 27)
#define INFO_REG2(info) ((info) >> 28 & 15)

#define AR_TYPE_EXPAND_DOWN 4u /* of a data segment */

enum segment { SEGMENT_ES, SEGMENT_CS, SEGMENT_SS, SEGMENT_DS, SEGMENT_FS, SEGMENT_GS, SEGMENT_COUNT };

static const struct {
	enum vmcs_field base, limit, access_rights;
} segment_fields[SEGMENT_COUNT] = {
        [SEGMENT_ES] = {VMCS_GUEST_ES_BASE, VMCS_GUEST_ES_LIMIT, VMCS_GUEST_ES_ACCESS_RIGHTS},
        [SEGMENT_CS] = {VMCS_GUEST_CS_BASE, VMCS_GUEST_CS_LIMIT, VMCS_GUEST_CS_ACCESS_RIGHTS},
        [SEGMENT_SS] = {VMCS_GUEST_SS_BASE, VMCS_GUEST_SS_LIMIT, VMCS_GUEST_SS_ACCESS_RIGHTS},
        [SEGMENT_DS] = {VMCS_GUEST_DS_BASE, VMCS_GUEST_DS_LIMIT, VMCS_GUEST_DS_ACCESS_RIGHTS},
        [SEGMENT_FS] = {VMCS_GUEST_FS_BASE, VMCS_GUEST_FS_LIMIT, VMCS_GUEST_FS_ACCESS_RIGHTS},
        [SEGMENT_GS] = {VMCS_GUEST_GS_BASE, VMCS_GUEST_GS_LIMIT, VMCS_GUEST_GS_ACCESS_RIGHTS},
};

/* ---- operands ---- */

static uint32_t information(const struct nested *nested)
{
	return (uint32_t)vmcs_get(nested->config.vmcs01, VMCS_VM_EXIT_INSTRUCTION_INFORMATION);
}

static uint64_t register_read(const struct nested *nested, const struct guest_regs *regs, unsigned number)
{
	return number == GPR_RSP ? insn_l1_field(nested, VMCS_GUEST_RSP) : regs->gpr[number];
}

static uint64_t operand_mask(const struct nested *nested)
{
	return insn_l1_is_64bit(nested) ? ~0ull : 0xffffffff;
}

static uint64_t register_operand(const struct nested *nested, const struct guest_regs *regs, unsigned number)
{
	return register_read(nested, regs, number) & operand_mask(nested);
}

static uint64_t effective_address(const struct nested *nested, const struct guest_regs *regs, uint32_t info)
{
	static const uint64_t masks[] = {0xffff, 0xffffffff, ~0ull};
	const unsigned size = INFO_ADDRESS_SIZE(info);
	uint64_t address = vmcs_get(nested->config.vmcs01, VMCS_EXIT_QUALIFICATION);

	if (!(info & INFO_NO_BASE))
		address += register_read(nested, regs, INFO_BASE(info));
	if (!(info & INFO_NO_INDEX))
		address += register_read(nested, regs, INFO_INDEX(info)) << INFO_SCALE(info);
	return address & masks[size < 2 ? size : 2];
}

/* SDM vol. 3, 5.3 and 5.5: may [offset, +size) of this segment be read or written, outside 64-bit mode? */
static bool segment_allows(const struct nested *nested, unsigned segment, uint64_t offset, unsigned size, bool write)
{
	const uint64_t rights = insn_l1_field(nested, segment_fields[segment].access_rights);
	const uint64_t limit = insn_l1_field(nested, segment_fields[segment].limit);
	const uint64_t last = offset + size - 1;

	if (rights & AR_UNUSABLE)
		return false;
	if (rights & AR_TYPE_CODE)
		return !write && (rights & AR_TYPE_WRITABLE) && last <= limit;
	if (write && !(rights & AR_TYPE_WRITABLE))
		return false;
	if (rights & AR_TYPE_EXPAND_DOWN)
		return offset > limit && last <= ((rights & AR_DB) ? 0xffffffff : 0xffff);
	return last <= limit;
}

static bool linear_address(const struct nested *nested, const struct guest_regs *regs, unsigned size, bool write,
        uint64_t *linear, struct vmx_outcome *outcome)
{
	const uint32_t info = information(nested);
	const unsigned segment = INFO_SEGMENT(info) < SEGMENT_COUNT ? INFO_SEGMENT(info) : SEGMENT_DS;
	const uint64_t offset = effective_address(nested, regs, info);
	const uint64_t base = insn_l1_field(nested, segment_fields[segment].base);
	bool allowed;

	if (insn_l1_is_64bit(nested)) {
		*linear = offset + (segment >= SEGMENT_FS ? base : 0);
		allowed = x86_canonical(*linear) && x86_canonical(*linear + size - 1);
	} else {
		*linear = (base + offset) & 0xffffffff;
		allowed = segment_allows(nested, segment, offset, size, write);
	}
	if (!allowed)
		insn_fault(outcome, segment == SEGMENT_SS ? VECTOR_SS : VECTOR_GP, 0);
	return allowed;
}

static bool read_memory(
        struct nested *nested, const struct guest_regs *regs, void *data, unsigned size, struct vmx_outcome *outcome)
{
	uint64_t linear;

	return linear_address(nested, regs, size, false, &linear, outcome) &&
	       insn_l1_read(nested, linear, data, size, outcome);
}

/* VMREAD and VMWRITE move 64 bits in 64-bit mode, else 32. */
static unsigned field_operand_bytes(const struct nested *nested)
{
	return insn_l1_is_64bit(nested) ? 8 : 4;
}

static bool decode_field_access(struct nested *nested, enum exit_reason reason, const struct guest_regs *regs,
        struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	const uint32_t info = information(nested);
	const unsigned size = field_operand_bytes(nested);

	operands->encoding = register_operand(nested, regs, INFO_REG2(info));
	operands->to_memory = !(info & INFO_IS_REGISTER);
	if (reason == EXIT_REASON_VMREAD) {
		operands->destination_gpr = (uint8_t)INFO_REG1(info);
		return !operands->to_memory ||
		       linear_address(nested, regs, size, true, &operands->destination, outcome);
	}
	if (operands->to_memory)
		return read_memory(nested, regs, &operands->value, size, outcome);
	operands->value = register_operand(nested, regs, INFO_REG1(info));
	return true;
}

bool nested_vmx_decode(struct nested *nested, enum exit_reason reason, const struct guest_regs *regs,
        struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	*operands = (struct vmx_operands){0};
	*outcome = (struct vmx_outcome){0};
	/* These faults come before any the operand may cause. */
	if (!insn_allowed(nested, reason, outcome))
		return false;
	switch (reason) {
	case EXIT_REASON_VMXON:
		if (nested->vmx_on) /* VMfail without a look at the operand */
			return true;
		return read_memory(nested, regs, &operands->gpa, sizeof(operands->gpa), outcome);
	case EXIT_REASON_VMCLEAR:
	case EXIT_REASON_VMPTRLD:
		return read_memory(nested, regs, &operands->gpa, sizeof(operands->gpa), outcome);
	case EXIT_REASON_VMPTRST:
		operands->to_memory = true;
		return linear_address(nested, regs, sizeof(uint64_t), true, &operands->destination, outcome);
	case EXIT_REASON_VMREAD:
	case EXIT_REASON_VMWRITE:
		if (!nested->vmcs12) /* VMfailInvalid, the same */
			return true;
		return decode_field_access(nested, reason, regs, operands, outcome);
	case EXIT_REASON_INVEPT:
	case EXIT_REASON_INVVPID:
		operands->type = register_operand(nested, regs, INFO_REG2(information(nested)));
		return read_memory(nested, regs, operands->descriptor, sizeof(operands->descriptor), outcome);
	default:
		return true;
	}
}

/* ---- results ---- */

#define RFLAGS_CF (1ull << 0)
#define RFLAGS_ZF (1ull << 6)
#define RFLAGS_ARITHMETIC (RFLAGS_CF | 1ull << 2 | 1ull << 4 | RFLAGS_ZF | 1ull << 7 | 1ull << 11)
#define PENDING_DEBUG_BS (1ull << 14)

/* A fault of the destination becomes the outcome. */
static void write_result(struct nested *nested, enum exit_reason reason, struct guest_regs *regs,
        const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	const unsigned size = reason == EXIT_REASON_VMPTRST ? 8 : field_operand_bytes(nested);

	if (operands->to_memory)
		insn_l1_write(nested, operands->destination, &outcome->value, size, outcome);
	else if (operands->destination_gpr == GPR_RSP)
		vmcs_set(nested->config.vmcs01, VMCS_GUEST_RSP, outcome->value & operand_mask(nested));
	else
		regs->gpr[operands->destination_gpr & 15] = outcome->value & operand_mask(nested);
}

/* L1's instruction is done: the next one, with what ends at an instruction boundary (SDM vol. 3, 6.8.3, 17.3.1.4). */
static void advance(struct nested *nested, uint64_t arithmetic_flags)
{
	struct vmcs *vmcs01 = nested->config.vmcs01;
	const uint64_t rflags = insn_l1_field(nested, VMCS_GUEST_RFLAGS);
	const uint64_t blocking = insn_l1_field(nested, VMCS_GUEST_INTERRUPTIBILITY_STATE);
	const uint64_t rip = insn_l1_field(nested, VMCS_GUEST_RIP) + vmcs_get(vmcs01, VMCS_VM_EXIT_INSTRUCTION_LENGTH);

	vmcs_set(vmcs01, VMCS_GUEST_RFLAGS, (rflags & ~RFLAGS_ARITHMETIC) | arithmetic_flags);
	vmcs_set(vmcs01, VMCS_GUEST_RIP, rip & operand_mask(nested));
	vmcs_set(vmcs01, VMCS_GUEST_INTERRUPTIBILITY_STATE,
	        blocking & ~(uint64_t)(INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
	if (rflags & RFLAGS_TF)
		vmcs_set(vmcs01, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
		        insn_l1_field(nested, VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_DEBUG_BS);
}

static void deliver_fault(struct nested *nested, struct guest_regs *regs, const struct vmx_outcome *outcome)
{
	const uint32_t info = INTR_INFO_VALID | (uint32_t)INTR_TYPE_HARDWARE_EXCEPTION << INTR_INFO_TYPE_SHIFT |
	                      (outcome->has_error ? INTR_INFO_ERROR_CODE : 0) | outcome->vector;

	if (outcome->vector == VECTOR_PF)
		regs->cr2 = outcome->cr2;
	nested_inject(nested, info, outcome->error, 0);
}

void nested_vmx_complete(struct nested *nested, enum exit_reason reason, struct guest_regs *regs,
        const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	const bool has_result = reason == EXIT_REASON_VMREAD || reason == EXIT_REASON_VMPTRST;

	if (outcome->kind == VMX_SUCCEED && has_result)
		write_result(nested, reason, regs, operands, outcome);
	switch (outcome->kind) {
	case VMX_SUCCEED:
		advance(nested, 0);
		break;
	case VMX_FAIL_INVALID:
		advance(nested, RFLAGS_CF);
		break;
	case VMX_FAIL_VALID:
		advance(nested, RFLAGS_ZF);
		break;
	case VMX_FAULT:
		deliver_fault(nested, regs, outcome);
		break;
	default: /* L2 runs, or L1 is at its host state: neither goes on after this instruction */
		break;
	}
}
