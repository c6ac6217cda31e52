/* SPDX-License-Identifier: Apache-2.0 */
/** Multiplication and division; decimal adjustment. */
#include "exec.h"
#include "flags.h"

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

/* SF, ZF, AF and PF are undefined after a multiplication; processors set SF and PF from the low half. */
static void multiply_flags(struct soft_cpu *cpu, uint64_t low, unsigned size, bool overflow)
{
	soft_flags_cf_of(cpu, low, size, overflow, overflow);
}

/** Double-width product into AX, or rDX:rAX. */
static void multiply_accumulator(struct soft_cpu *cpu, const struct soft_insn *insn, bool is_signed)
{
	const unsigned size = insn->size, bits = size * 8;
	const uint64_t b = soft_source_get(cpu, insn, size), a = soft_reg_get(cpu, GPR_RAX, size);
	u128 product;
	uint64_t low, high;

	if (is_signed)
		product = (u128)((s128)soft_sign_extend(a, size) * soft_sign_extend(b, size));
	else
		product = (u128)a * b;
	low = (uint64_t)product & soft_size_mask(size);
	high = (uint64_t)(product >> bits) & soft_size_mask(size);
	if (size == 1) {
		soft_reg_set(cpu, GPR_RAX, 2, (uint64_t)product);
	} else {
		soft_reg_set(cpu, GPR_RAX, size, low);
		soft_reg_set(cpu, GPR_RDX, size, high);
	}
	if (is_signed)
		multiply_flags(cpu, low, size, (s128)product != soft_sign_extend(low, size));
	else
		multiply_flags(cpu, low, size, high != 0);
}

void soft_exec_mul(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	multiply_accumulator(cpu, insn, false);
}

static void imul_accumulator(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	multiply_accumulator(cpu, insn, true);
}

/** Two and three operands: a truncated product. */
SOFT_ALWAYS_INLINE void multiply(
        struct soft_cpu *cpu, const struct soft_insn *insn, bool immediate, bool memory, unsigned size)
{
	const uint64_t source = memory ? soft_mem_get(cpu, insn, size) : soft_reg_get(cpu, insn->rm, size);
	const int64_t a = soft_sign_extend(source, size);
	const int64_t b = immediate ? insn->immediate : soft_sign_extend(soft_reg_get(cpu, insn->reg, size), size);
	int64_t product;
	bool overflow;

	if (size == 8) {
		overflow = __builtin_mul_overflow(a, b, &product);
	} else {
		product = a * b;
		overflow = product != soft_sign_extend((uint64_t)product, size);
	}
	soft_reg_set(cpu, insn->reg, size, (uint64_t)product);
	multiply_flags(cpu, (uint64_t)product, size, overflow);
}

#define IMUL_HANDLER(immediate, memory, size)                                                                          \
	static void imul_##immediate##_##memory##_##size(struct soft_cpu *cpu, const struct soft_insn *insn)           \
	{                                                                                                              \
		multiply(cpu, insn, immediate, memory, size);                                                          \
	}
#define IMUL_SIZES(each, immediate, memory)                                                                            \
	each(immediate, memory, 2) each(immediate, memory, 4) each(immediate, memory, 8)
#define IMUL_ALL(each) IMUL_SIZES(each, 0, 0) IMUL_SIZES(each, 0, 1) IMUL_SIZES(each, 1, 0) IMUL_SIZES(each, 1, 1)
#define SIZE_INDEX_2 1
#define SIZE_INDEX_4 2
#define SIZE_INDEX_8 3
#define IMUL_ENTRY(immediate, memory, size)                                                                            \
	[immediate][memory][SIZE_INDEX_##size] = imul_##immediate##_##memory##_##size,
IMUL_ALL(IMUL_HANDLER)

soft_handler soft_select_imul(const struct soft_insn *insn, unsigned what)
{
	static const soft_handler handlers[2][2][4] = {IMUL_ALL(IMUL_ENTRY)};

	if (insn->form == SOFT_FORM_R || insn->form == SOFT_FORM_M)
		return imul_accumulator;
	return handlers[!!(insn->flags & SOFT_INSN_IMM)][insn->form == SOFT_FORM_RM][__builtin_ctz(insn->size)];
}

/** BMI2: rDX times the source, high half first, no flags. */
void soft_exec_mulx(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->size;
	const bool memory = insn->flags & SOFT_INSN_MEMORY;
	const uint64_t source = memory ? soft_mem_get(cpu, insn, size) : soft_reg_get(cpu, insn->third, size);
	const u128 product = (u128)soft_reg_get(cpu, GPR_RDX, size) * source;

	soft_reg_set(cpu, insn->rm, size, (uint64_t)product);
	soft_reg_set(cpu, insn->reg, size, (uint64_t)(product >> (size * 8)));
}

/* ---- division: flags are undefined and stay as they were ---- */

static _Noreturn void divide_error(struct soft_cpu *cpu)
{
	soft_fault(cpu, VECTOR_DE, false, 0);
}

static void divide_put(struct soft_cpu *cpu, unsigned size, uint64_t quotient, uint64_t remainder)
{
	if (size == 1) {
		soft_reg_set(cpu, GPR_RAX, 2, (quotient & 0xff) | remainder << 8);
	} else {
		soft_reg_set(cpu, GPR_RAX, size, quotient);
		soft_reg_set(cpu, GPR_RDX, size, remainder);
	}
}

static u128 dividend(const struct soft_cpu *cpu, unsigned size)
{
	if (size == 1)
		return (uint16_t)cpu->gpr[GPR_RAX];
	return (u128)soft_reg_get(cpu, GPR_RDX, size) << (size * 8) | soft_reg_get(cpu, GPR_RAX, size);
}

void soft_exec_div(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->size;
	const uint64_t divisor = soft_source_get(cpu, insn, size);
	const u128 value = dividend(cpu, size);

	if (!divisor || value >> (size * 8) >= divisor)
		divide_error(cpu);
	divide_put(cpu, size, (uint64_t)(value / divisor), (uint64_t)(value % divisor));
}

void soft_exec_idiv(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->size, unused = 128 - 16 * size;
	const int64_t divisor = soft_sign_extend(soft_source_get(cpu, insn, size), size);
	const s128 value = (s128)(dividend(cpu, size) << unused) >> unused;
	const u128 magnitude = value < 0 ? -(u128)value : (u128)value;
	const uint64_t by = divisor < 0 ? -(uint64_t)divisor : (uint64_t)divisor;
	u128 quotient;
	uint64_t remainder;

	if (!divisor)
		divide_error(cpu);
	quotient = magnitude / by;
	remainder = (uint64_t)(magnitude % by);
	if ((value < 0) != (divisor < 0)) {
		if (quotient > (u128)1 << (size * 8 - 1))
			divide_error(cpu);
		quotient = -quotient;
	} else if (quotient >= (u128)1 << (size * 8 - 1)) {
		divide_error(cpu);
	}
	/* The remainder has the sign of the dividend. */
	divide_put(cpu, size, (uint64_t)quotient & soft_size_mask(size),
	        (value < 0 ? -remainder : remainder) & soft_size_mask(size));
}

/* ---- decimal adjustment (not in 64-bit mode) ---- */

/** DAA and DAS share everything but the direction; OF is undefined. */
static void decimal_adjust(struct soft_cpu *cpu, bool subtract)
{
	const uint8_t old = (uint8_t)cpu->gpr[GPR_RAX];
	const bool old_cf = soft_cf(cpu);
	bool cf = false, af = false;
	uint8_t al = old;

	if ((old & 15) > 9 || soft_af(cpu)) {
		af = true;
		cf = old_cf || (subtract ? old < 6 : old > 0xf9);
		al = (uint8_t)(subtract ? al - 6 : al + 6);
	}
	if (old > 0x99 || old_cf) {
		al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
		cf = true;
	}
	soft_reg_set(cpu, GPR_RAX, 1, al);
	soft_flags_cf_of(cpu, al, 1, cf, 0);
	cpu->flag_carries |= af ? 8 : 0;
}

void soft_exec_daa(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	decimal_adjust(cpu, false);
}
void soft_exec_das(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	decimal_adjust(cpu, true);
}

static void ascii_adjust(struct soft_cpu *cpu, bool subtract)
{
	const bool adjust = (cpu->gpr[GPR_RAX] & 15) > 9 || soft_af(cpu);
	uint64_t ax = cpu->gpr[GPR_RAX] & 0xffff;

	if (adjust)
		ax = subtract ? ax - 0x106 : ax + 0x106;
	soft_reg_set(cpu, GPR_RAX, 2, ax & 0xff0f);
	soft_flags_cf_of(cpu, ax & 15, 1, adjust, 0);
	cpu->flag_carries |= adjust ? 8 : 0;
}

void soft_exec_aaa(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	ascii_adjust(cpu, false);
}
void soft_exec_aas(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	ascii_adjust(cpu, true);
}

void soft_exec_aam(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint8_t al = (uint8_t)cpu->gpr[GPR_RAX], base = (uint8_t)insn->immediate;

	if (!base)
		divide_error(cpu);
	soft_reg_set(cpu, GPR_RAX, 2, (uint64_t)(al / base) << 8 | al % base);
	soft_flags_logic(cpu, al % base, 1);
}

void soft_exec_aad(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint8_t al = (uint8_t)(cpu->gpr[GPR_RAX] + (cpu->gpr[GPR_RAX] >> 8 & 0xff) * (uint8_t)insn->immediate);

	soft_reg_set(cpu, GPR_RAX, 2, al);
	soft_flags_logic(cpu, al, 1);
}
