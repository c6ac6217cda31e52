/* SPDX-License-Identifier: Apache-2.0 */
#include "information.h"

#include "decode.h"

/*
 *  31:28 27  26:23 22   21:18 17:15 14:11 10 9:7  6:3  2 1:0
 * |reg2 |nob|base |noi |index| seg |     |reg|addr|reg1| |scale|
 */
#define INFORMATION_REGISTER (1u << 10)
#define INFORMATION_NO_INDEX (1u << 22)
#define INFORMATION_NO_BASE (1u << 27)

/** 16, 32, 64 -> 0, 1, 2 */
static uint32_t size_code(unsigned bits)
{
	return bits == 64 ? 2 : bits == 32 ? 1 : 0;
}

static uint32_t memory_fields(const struct soft_operands *operands)
{
	uint32_t info = operands->scale | size_code(operands->address_bits) << 7 | (uint32_t)operands->segment << 15;

	if (operands->index == SOFT_NO_REGISTER)
		info = (info & ~3u) | INFORMATION_NO_INDEX;
	else
		info |= (uint32_t)operands->index << 18;
	if (operands->base == SOFT_NO_REGISTER)
		info |= INFORMATION_NO_BASE;
	else
		info |= (uint32_t)operands->base << 23;
	return info;
}

uint32_t soft_information_string(const struct soft_operands *operands, bool in)
{
	return size_code(operands->address_bits) << 7 | (in ? 0 : (uint32_t)operands->segment << 15);
}

uint32_t soft_information_invalidate(const struct soft_operands *operands)
{
	return memory_fields(operands) | (uint32_t)operands->reg2 << 28;
}

uint32_t soft_information_table(const struct soft_operands *operands, unsigned which)
{
	uint32_t info = which << 28;

	if (which >= 4) {
		info = (which - 4) << 28;
		if (!operands->memory)
			return info | INFORMATION_REGISTER | (uint32_t)operands->reg1 << 3;
		return info | memory_fields(operands);
	}
	return info | memory_fields(operands) | (operands->operand_bits == 16 ? 0 : 1u << 11);
}

uint32_t soft_information_random(const struct soft_operands *operands)
{
	return (uint32_t)operands->reg1 << 3 | size_code(operands->operand_bits) << 11;
}

uint32_t soft_information_pointer(const struct soft_operands *operands)
{
	return memory_fields(operands);
}

uint32_t soft_information_vmread(const struct soft_operands *operands)
{
	const uint32_t encoding = (uint32_t)operands->reg2 << 28;

	if (!operands->memory)
		return encoding | INFORMATION_REGISTER | (uint32_t)operands->reg1 << 3;
	return encoding | memory_fields(operands);
}

uint64_t soft_operand_displacement(const struct soft_cpu *cpu, const struct soft_operands *operands)
{
	if (!operands->memory)
		return 0;
	if (operands->rip_relative)
		return cpu->insn_rip + cpu->insn->length + (uint64_t)operands->displacement;
	return (uint64_t)operands->displacement;
}

/** Segmentation of an offset: 64-bit mode has bases only for FS and GS. */
static uint64_t segment_linear(const struct soft_cpu *cpu, unsigned segment, uint64_t offset, unsigned address_bits)
{
	if (address_bits == 16)
		offset = (uint16_t)offset;
	else if (address_bits == 32)
		offset = (uint32_t)offset;
	if (cpu->mode == SOFT_MODE_64)
		return segment == SOFT_FS || segment == SOFT_GS ? cpu->seg[segment].base + offset : offset;
	return (uint32_t)(cpu->seg[segment].base + offset);
}

uint64_t soft_operand_linear(const struct soft_cpu *cpu, const struct soft_operands *operands)
{
	uint64_t offset = soft_operand_displacement(cpu, operands);

	if (operands->base != SOFT_NO_REGISTER)
		offset += cpu->gpr[operands->base & 15];
	if (operands->index != SOFT_NO_REGISTER)
		offset += cpu->gpr[operands->index & 15] << operands->scale;
	return segment_linear(cpu, operands->segment, offset, operands->address_bits);
}

uint64_t soft_string_linear(const struct soft_cpu *cpu, const struct soft_operands *operands, bool in)
{
	if (in)
		return segment_linear(cpu, SOFT_ES, cpu->gpr[GPR_RDI], operands->address_bits);
	return segment_linear(cpu, operands->segment, cpu->gpr[GPR_RSI], operands->address_bits);
}
