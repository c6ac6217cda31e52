/* SPDX-License-Identifier: Apache-2.0 */
/** Shifts and rotates. Undefined flags: OF as for a count of 1, AF = 0 (SDM vol. 2; see also tests/conformance). */
#include "exec.h"
#include "flags.h"

/** SHL, SHR, SAR by 1 .. 31 (63): the count may exceed the size of 8- and 16-bit operands. */
SOFT_ALWAYS_INLINE uint64_t shift(struct soft_cpu *cpu, enum soft_shift what, uint64_t a, unsigned count, unsigned size)
{
	const unsigned bits = size * 8;
	uint64_t result, cf, of;

	switch (what) {
	case SHIFT_SHL:
		result = a << count;
		cf = count <= bits ? a >> (bits - count) & 1 : 0;
		of = (result >> (bits - 1) & 1) ^ cf;
		break;
	case SHIFT_SHR:
		result = a >> count;
		cf = a >> (count - 1) & 1;
		of = a >> (bits - 1) & 1;
		/* for a count of 1; beyond, processors give the same formula on the operand before the last step */
		if (count > 1)
			of = 0;
		break;
	default: {
		const int64_t value = soft_sign_extend(a, size);

		result = (uint64_t)(value >> count);
		cf = (uint64_t)(value >> (count - 1)) & 1;
		of = 0;
	}
	}
	soft_flags_cf_of(cpu, result, size, cf, of);
	return result;
}

static uint64_t rotate(struct soft_cpu *cpu, enum soft_shift what, uint64_t a, unsigned count, unsigned size)
{
	const unsigned bits = size * 8, by = count % bits;
	uint64_t result, cf, of;

	if (what == SHIFT_ROL) {
		result = by ? a << by | a >> (bits - by) : a;
		cf = result & 1;
		of = (result >> (bits - 1) & 1) ^ cf;
	} else {
		result = by ? a >> by | a << (bits - by) : a;
		cf = result >> (bits - 1) & 1;
		of = cf ^ (result >> (bits - 2) & 1);
	}
	soft_set_cf(cpu, cf);
	soft_set_of(cpu, of);
	return result;
}

/** Through CF: a rotation of bits + 1 places. */
static uint64_t rotate_carry(struct soft_cpu *cpu, enum soft_shift what, uint64_t a, unsigned count, unsigned size)
{
	const unsigned bits = size * 8;
	uint64_t cf = soft_cf(cpu), of;

	for (count %= bits + 1; count; count--) {
		if (what == SHIFT_RCL) {
			const uint64_t out = a >> (bits - 1) & 1;

			a = (a << 1 | cf) & soft_size_mask(size);
			cf = out;
		} else {
			const uint64_t out = a & 1;

			a = a >> 1 | cf << (bits - 1);
			cf = out;
		}
	}
	if (what == SHIFT_RCL)
		of = (a >> (bits - 1) & 1) ^ cf;
	else
		of = (a >> (bits - 1) ^ a >> (bits - 2)) & 1;
	soft_set_cf(cpu, cf);
	soft_set_of(cpu, of);
	return a;
}

SOFT_ALWAYS_INLINE void execute(
        struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_shift what, bool memory, unsigned size)
{
	struct soft_rmw rmw;
	const uint64_t a = memory ? soft_rmw_get(cpu, insn, size, &rmw) : soft_reg_get(cpu, insn->reg, size);
	const unsigned count = (insn->flags & SOFT_INSN_IMM ? (unsigned)insn->immediate : (unsigned)cpu->gpr[GPR_RCX]) &
	                       (size == 8 ? 63 : 31);
	uint64_t result = a;

	/* A count of 0 changes no flag, but a memory operand is written back and a 32-bit register zero-extended. */
	if (count) {
		if (what >= SHIFT_SHL)
			result = shift(cpu, what, a, count, size);
		else if (what >= SHIFT_RCL)
			result = rotate_carry(cpu, what, a, count, size);
		else
			result = rotate(cpu, what, a, count, size);
	}
	if (memory)
		soft_rmw_set(cpu, &rmw, size, result);
	else
		soft_reg_set(cpu, insn->reg, size, result);
}

#define SHIFT_HANDLER(what, memory, size)                                                                              \
	static void shift_##what##_##memory##_##size(struct soft_cpu *cpu, const struct soft_insn *insn)               \
	{                                                                                                              \
		execute(cpu, insn, SHIFT_##what, memory, size);                                                        \
	}
#define SHIFT_SIZES(each, what, memory)                                                                                \
	each(what, memory, 1) each(what, memory, 2) each(what, memory, 4) each(what, memory, 8)
#define SHIFT_KINDS(each, what) SHIFT_SIZES(each, what, 0) SHIFT_SIZES(each, what, 1)
#define SHIFT_ALL(each)                                                                                                \
	SHIFT_KINDS(each, ROL)                                                                                         \
	SHIFT_KINDS(each, ROR)                                                                                         \
	SHIFT_KINDS(each, RCL)                                                                                         \
	SHIFT_KINDS(each, RCR) SHIFT_KINDS(each, SHL) SHIFT_KINDS(each, SHR) SHIFT_KINDS(each, SAR)
#define SIZE_INDEX_1 0
#define SIZE_INDEX_2 1
#define SIZE_INDEX_4 2
#define SIZE_INDEX_8 3
#define SHIFT_ENTRY(what, memory, size) [SHIFT_##what][memory][SIZE_INDEX_##size] = shift_##what##_##memory##_##size,

SHIFT_ALL(SHIFT_HANDLER)

soft_handler soft_select_shift(const struct soft_insn *insn, unsigned what)
{
	static const soft_handler handlers[SHIFT_COUNT][2][4] = {SHIFT_ALL(SHIFT_ENTRY)};

	return handlers[what][soft_insn_memory_first(insn)][__builtin_ctz(insn->size)];
}

/* ---- SHLD, SHRD: operands destination, source register, then immediate or CL ---- */

static void shift_double(struct soft_cpu *cpu, const struct soft_insn *insn, bool left)
{
	const unsigned size = insn->size, bits = size * 8;
	const unsigned count = (insn->flags & SOFT_INSN_IMM ? (unsigned)insn->immediate : (unsigned)cpu->gpr[GPR_RCX]) &
	                       (size == 8 ? 63 : 31);
	struct soft_rmw rmw;
	const uint64_t a = soft_destination_get(cpu, insn, size, &rmw);
	const uint64_t b = soft_reg_get(cpu, insn->form == SOFT_FORM_MR ? insn->reg : insn->rm, size);
	uint64_t result, cf;

	if (!count) {
		soft_destination_set(cpu, insn, size, &rmw, a);
		return;
	}
	if (size == 2) { /* a count above 16 is undefined: bits of the source, then of the destination again */
		const uint64_t both = left ? (a << 32 | b << 16 | a) : (a << 32 | b << 16 | a);

		if (left) {
			result = both << count >> 32;
			cf = both >> (48 - count) & 1;
		} else {
			result = both >> count;
			cf = both >> (count - 1) & 1;
		}
	} else if (left) {
		result = a << count | b >> (bits - count);
		cf = a >> (bits - count) & 1;
	} else {
		result = a >> count | b << (bits - count);
		cf = a >> (count - 1) & 1;
	}
	result &= soft_size_mask(size);
	soft_destination_set(cpu, insn, size, &rmw, result);
	soft_flags_cf_of(cpu, result, size, cf, (result ^ a) >> (bits - 1) & 1);
}

void soft_exec_shld(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	shift_double(cpu, insn, true);
}
void soft_exec_shrd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	shift_double(cpu, insn, false);
}

/* ---- BMI2: SARX SHLX SHRX RORX change no flag ---- */

static void shift_vex(struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_shift what)
{
	const unsigned size = insn->size, bits = size * 8;
	const bool memory = insn->form == SOFT_FORM_RM;
	const uint64_t a = memory ? soft_mem_get(cpu, insn, size) : soft_reg_get(cpu, insn->rm, size);
	const uint64_t by =
	        insn->flags & SOFT_INSN_IMM ? (uint64_t)insn->immediate : cpu->gpr[memory ? insn->rm : insn->third];
	const unsigned count = (unsigned)by & (bits - 1);
	uint64_t result;

	switch (what) {
	case SHIFT_SHL:
		result = a << count;
		break;
	case SHIFT_SHR:
		result = a >> count;
		break;
	case SHIFT_SAR:
		result = (uint64_t)(soft_sign_extend(a, size) >> count);
		break;
	default:
		result = count ? a >> count | a << (bits - count) : a;
	}
	soft_reg_set(cpu, insn->reg, size, result);
}

void soft_exec_shlx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	shift_vex(cpu, insn, SHIFT_SHL);
}
void soft_exec_shrx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	shift_vex(cpu, insn, SHIFT_SHR);
}
void soft_exec_sarx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	shift_vex(cpu, insn, SHIFT_SAR);
}
void soft_exec_rorx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	shift_vex(cpu, insn, SHIFT_ROR);
}
