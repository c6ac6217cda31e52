/* SPDX-License-Identifier: Apache-2.0 */
/**
 * String instructions. REP executes up to REP_CHUNK elements per visit and then starts again at the same RIP, so that
 * events and kicks are seen; registers are brought up to date after each element, which makes faults restartable.
 */
#include "exec.h"
#include "flags.h"

#define REP_CHUNK 1024

enum string_op { STRING_MOVS, STRING_STOS, STRING_LODS, STRING_SCAS, STRING_CMPS, STRING_COUNT };

static void advance(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned reg, unsigned size)
{
	const uint64_t step = cpu->rflags & FLAG_DF ? -(uint64_t)size : size;

	soft_reg_set(cpu, reg, insn->address_size, cpu->gpr[reg] + step);
}

static uint64_t source_linear(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size)
{
	const uint64_t offset = cpu->gpr[GPR_RSI] & soft_size_mask(insn->address_size);

	return soft_segment_linear(cpu, insn->segment, offset, size, SOFT_READ);
}

static uint64_t destination_linear(
        struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, enum soft_access access)
{
	const uint64_t offset = cpu->gpr[GPR_RDI] & soft_size_mask(insn->address_size);

	return soft_segment_linear(cpu, SOFT_ES, offset, size, access);
}

static uint64_t load(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size)
{
	const uint8_t *host = soft_tlb_lookup_read(cpu, linear, size);
	uint64_t value = 0;

	if (SOFT_UNLIKELY(!host))
		return soft_load_slow(cpu, segment, linear, size);
	memcpy(&value, host, size);
	return value;
}

/** One element. */
SOFT_ALWAYS_INLINE void element(struct soft_cpu *cpu, const struct soft_insn *insn, enum string_op op, unsigned size)
{
	uint64_t value = 0, other;

	if (op == STRING_MOVS || op == STRING_LODS || op == STRING_CMPS)
		value = load(cpu, insn->segment, source_linear(cpu, insn, size), size);
	switch (op) {
	case STRING_MOVS:
		soft_store(cpu, destination_linear(cpu, insn, size, SOFT_WRITE), size, value);
		break;
	case STRING_STOS:
		value = soft_reg_get(cpu, GPR_RAX, size);
		soft_store(cpu, destination_linear(cpu, insn, size, SOFT_WRITE), size, value);
		break;
	case STRING_LODS:
		soft_reg_set(cpu, GPR_RAX, size, value);
		break;
	case STRING_SCAS:
		value = soft_reg_get(cpu, GPR_RAX, size);
		/* fall through */
	default:
		other = load(cpu, SOFT_ES, destination_linear(cpu, insn, size, SOFT_READ), size);
		soft_flags_sub(cpu, value, other, value - other, size);
	}
	if (op == STRING_MOVS || op == STRING_LODS || op == STRING_CMPS)
		advance(cpu, insn, GPR_RSI, size);
	if (op != STRING_LODS)
		advance(cpu, insn, GPR_RDI, size);
}

SOFT_ALWAYS_INLINE void string(struct soft_cpu *cpu, const struct soft_insn *insn, enum string_op op, unsigned size)
{
	const bool compares = op == STRING_SCAS || op == STRING_CMPS;

	if (!(insn->flags & (SOFT_INSN_REP | SOFT_INSN_REPNE))) {
		element(cpu, insn, op, size);
		return;
	}
	for (unsigned i = 0; i < REP_CHUNK; i++) {
		const uint64_t count = soft_reg_get(cpu, GPR_RCX, insn->address_size);

		if (!count)
			return;
		element(cpu, insn, op, size);
		soft_reg_set(cpu, GPR_RCX, insn->address_size, count - 1);
		if (count == 1 || (compares && soft_zf(cpu) != !!(insn->flags & SOFT_INSN_REP)))
			return;
		/* The element may have changed this very code, or what decides about events. */
		if (!cpu->insn_end)
			break;
	}
	cpu->rip = cpu->insn_rip;
	cpu->insn_end = NULL;
}

#define STRING_HANDLER(op, size)                                                                                       \
	static void string_##op##_##size(struct soft_cpu *cpu, const struct soft_insn *insn)                           \
	{                                                                                                              \
		string(cpu, insn, STRING_##op, size);                                                                  \
	}
#define STRING_SIZES(each, op) each(op, 1) each(op, 2) each(op, 4) each(op, 8)
#define STRING_ALL(each)                                                                                               \
	STRING_SIZES(each, MOVS)                                                                                       \
	STRING_SIZES(each, STOS) STRING_SIZES(each, LODS) STRING_SIZES(each, SCAS) STRING_SIZES(each, CMPS)
#define SIZE_INDEX_1 0
#define SIZE_INDEX_2 1
#define SIZE_INDEX_4 2
#define SIZE_INDEX_8 3
#define STRING_ENTRY(op, size) [STRING_##op][SIZE_INDEX_##size] = string_##op##_##size,
STRING_ALL(STRING_HANDLER)

/** Even opcodes are the byte forms, odd ones have the operand size; MOVSD and CMPSD are also SSE2 instructions. */
soft_handler soft_select_string(const struct soft_insn *insn, unsigned what)
{
	static const soft_handler handlers[STRING_COUNT][4] = {STRING_ALL(STRING_ENTRY)};
	enum string_op op;

	switch (insn->opcode & 0xfe) {
	case 0xa4:
		op = STRING_MOVS;
		break;
	case 0xa6:
		op = STRING_CMPS;
		break;
	case 0xaa:
		op = STRING_STOS;
		break;
	case 0xac:
		op = STRING_LODS;
		break;
	case 0xae:
		op = STRING_SCAS;
		break;
	default:
		return soft_select_sse(insn, what);
	}
	return handlers[op][__builtin_ctz(insn->opcode & 1 ? insn->width : 1)];
}
