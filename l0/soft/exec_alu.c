/* SPDX-License-Identifier: Apache-2.0 */
/** ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT: a handler for each operation, form and size. */
#include "exec.h"
#include "flags.h"

SOFT_ALWAYS_INLINE uint64_t compute(
        struct soft_cpu *cpu, enum soft_alu what, uint64_t a, uint64_t b, unsigned size, uint64_t *result)
{
	switch (what) {
	case ALU_ADD:
		return *result = a + b;
	case ALU_ADC:
		return *result = a + b + soft_cf(cpu);
	case ALU_SBB:
		return *result = a - b - soft_cf(cpu);
	case ALU_SUB:
	case ALU_CMP:
		return *result = a - b;
	case ALU_OR:
		return *result = a | b;
	case ALU_XOR:
		return *result = a ^ b;
	default:
		return *result = a & b;
	}
}

SOFT_ALWAYS_INLINE void set_flags(
        struct soft_cpu *cpu, enum soft_alu what, uint64_t a, uint64_t b, uint64_t result, unsigned size)
{
	switch (what) {
	case ALU_ADD:
	case ALU_ADC:
		soft_flags_add(cpu, a, b, result, size);
		break;
	case ALU_SUB:
	case ALU_SBB:
	case ALU_CMP:
		soft_flags_sub(cpu, a, b, result, size);
		break;
	default:
		soft_flags_logic(cpu, result, size);
	}
}

SOFT_ALWAYS_INLINE void alu(
        struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_alu what, enum soft_form form, unsigned size)
{
	const bool writes = what != ALU_CMP && what != ALU_TEST;
	const bool memory_first = form == SOFT_FORM_MR || form == SOFT_FORM_MI;
	struct soft_rmw rmw;
	uint64_t a, b, result;

	if (form == SOFT_FORM_RI || form == SOFT_FORM_MI)
		b = (uint64_t)insn->immediate & soft_size_mask(size);
	else if (form == SOFT_FORM_RM)
		b = soft_mem_get(cpu, insn, size);
	else
		b = soft_reg_get(cpu, form == SOFT_FORM_MR ? insn->reg : insn->rm, size);
	if (!memory_first)
		a = soft_reg_get(cpu, insn->reg, size);
	else if (writes)
		a = soft_rmw_get(cpu, insn, size, &rmw);
	else
		a = soft_mem_get(cpu, insn, size);
	compute(cpu, what, a, b, size, &result);
	if (writes && memory_first)
		soft_rmw_set(cpu, &rmw, size, result);
	else if (writes)
		soft_reg_set(cpu, insn->reg, size, result);
	set_flags(cpu, what, a, b, result, size);
}

/* A handler per operation, form and size, and the table of them. */
#define ALU_HANDLER(what, form, size)                                                                                  \
	static void alu_##what##_##form##_##size(struct soft_cpu *cpu, const struct soft_insn *insn)                   \
	{                                                                                                              \
		alu(cpu, insn, ALU_##what, SOFT_FORM_##form, size);                                                    \
	}
#define ALU_SIZES(each, what, form) each(what, form, 1) each(what, form, 2) each(what, form, 4) each(what, form, 8)
#define ALU_FORMS(each, what)                                                                                          \
	ALU_SIZES(each, what, RR)                                                                                      \
	ALU_SIZES(each, what, RM)                                                                                      \
	ALU_SIZES(each, what, MR) ALU_SIZES(each, what, RI) ALU_SIZES(each, what, MI)
#define ALU_ALL(each)                                                                                                  \
	ALU_FORMS(each, ADD)                                                                                           \
	ALU_FORMS(each, OR)                                                                                            \
	ALU_FORMS(each, ADC)                                                                                           \
	ALU_FORMS(each, SBB)                                                                                           \
	ALU_FORMS(each, AND)                                                                                           \
	ALU_FORMS(each, SUB) ALU_FORMS(each, XOR) ALU_FORMS(each, CMP) ALU_FORMS(each, TEST)

ALU_ALL(ALU_HANDLER)

/** Index by log2 of the size. */
static unsigned size_index(unsigned size)
{
	return (unsigned)__builtin_ctz(size);
}

#define SIZE_INDEX_1 0
#define SIZE_INDEX_2 1
#define SIZE_INDEX_4 2
#define SIZE_INDEX_8 3
#define ALU_ENTRY(what, form, size) [ALU_##what][SOFT_FORM_##form][SIZE_INDEX_##size] = alu_##what##_##form##_##size,

soft_handler soft_select_alu(const struct soft_insn *insn, unsigned what)
{
	static const soft_handler handlers[ALU_COUNT][SOFT_FORM_COUNT][4] = {ALU_ALL(ALU_ENTRY)};

	return handlers[what][insn->form][size_index(insn->size)];
}

/* ---- one operand ---- */

SOFT_ALWAYS_INLINE void unary(
        struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_unary what, bool memory, unsigned size)
{
	struct soft_rmw rmw;
	const uint64_t a = memory ? soft_rmw_get(cpu, insn, size, &rmw) : soft_reg_get(cpu, insn->reg, size);
	const uint64_t cf = soft_cf(cpu);
	uint64_t result;

	switch (what) {
	case UNARY_INC:
		result = a + 1;
		break;
	case UNARY_DEC:
		result = a - 1;
		break;
	case UNARY_NEG:
		result = -a;
		break;
	default:
		result = ~a;
	}
	if (memory)
		soft_rmw_set(cpu, &rmw, size, result);
	else
		soft_reg_set(cpu, insn->reg, size, result);
	switch (what) {
	case UNARY_INC: /* INC and DEC leave CF alone */
		soft_flags_add(cpu, a, 1, result, size);
		soft_set_cf(cpu, cf);
		break;
	case UNARY_DEC:
		soft_flags_sub(cpu, a, 1, result, size);
		soft_set_cf(cpu, cf);
		break;
	case UNARY_NEG:
		soft_flags_sub(cpu, 0, a, result, size);
		break;
	default:
		break;
	}
}

#define UNARY_HANDLER(what, kind, memory, size)                                                                        \
	static void unary_##what##_##kind##_##size(struct soft_cpu *cpu, const struct soft_insn *insn)                 \
	{                                                                                                              \
		unary(cpu, insn, UNARY_##what, memory, size);                                                          \
	}
#define UNARY_SIZES(each, what, kind, memory)                                                                          \
	each(what, kind, memory, 1) each(what, kind, memory, 2) each(what, kind, memory, 4) each(what, kind, memory, 8)
#define UNARY_KINDS(each, what) UNARY_SIZES(each, what, R, false) UNARY_SIZES(each, what, M, true)
#define UNARY_ALL(each) UNARY_KINDS(each, INC) UNARY_KINDS(each, DEC) UNARY_KINDS(each, NEG) UNARY_KINDS(each, NOT)
#define UNARY_ENTRY(what, kind, memory, size)                                                                          \
	[UNARY_##what][memory][SIZE_INDEX_##size] = unary_##what##_##kind##_##size,

UNARY_ALL(UNARY_HANDLER)

soft_handler soft_select_unary(const struct soft_insn *insn, unsigned what)
{
	static const soft_handler handlers[UNARY_COUNT][2][4] = {UNARY_ALL(UNARY_ENTRY)};

	return handlers[what][insn->form == SOFT_FORM_M][size_index(insn->size)];
}
