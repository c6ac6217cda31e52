/* SPDX-License-Identifier: Apache-2.0 */
/** Bit tests and scans, compare-and-exchange, population count, CRC32, BMI. */
#include "exec.h"
#include "flags.h"

/* ---- BT BTS BTR BTC ---- */

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

/** A register offset reaches memory beyond the operand: its high part, signed, moves the address (SDM vol. 2, BT). */
static uint64_t bit_string_linear(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, bool writes)
{
	const enum soft_access access = writes ? SOFT_WRITE : SOFT_READ;
	const int64_t bit = soft_sign_extend(soft_reg_get(cpu, insn->reg, size), size);
	const uint64_t bytes = (uint64_t)(bit >> (3 + __builtin_ctz(size))) * size;
	const uint64_t offset = (soft_offset(cpu, insn) + bytes) & soft_size_mask(insn->address_size);

	return soft_segment_linear(cpu, insn->segment, offset, size, access);
}

static void bit_operate(struct soft_cpu *cpu, const struct soft_insn *insn, enum bit_op op)
{
	const unsigned size = insn->size;
	const bool memory = soft_insn_memory_first(insn), writes = op != BIT_TEST;
	const uint64_t by =
	        insn->flags & SOFT_INSN_IMM ? (uint64_t)insn->immediate : cpu->gpr[memory ? insn->reg : insn->rm];
	const uint64_t bit = 1ull << (by & (size * 8 - 1));
	uint64_t linear = 0, value, result;

	if (!memory) {
		value = soft_reg_get(cpu, insn->reg, size);
	} else {
		if (insn->flags & SOFT_INSN_IMM)
			linear = soft_linear(cpu, insn, size, writes ? SOFT_WRITE : SOFT_READ);
		else
			linear = bit_string_linear(cpu, insn, size, writes);
		value = writes ? soft_rmw_slow(cpu, insn->segment, linear, size)
		               : soft_load_slow(cpu, insn->segment, linear, size);
	}
	result = op == BIT_SET ? value | bit : op == BIT_RESET ? value & ~bit : value ^ bit;
	if (writes && memory)
		soft_write(cpu, linear, size, result);
	else if (writes)
		soft_reg_set(cpu, insn->reg, size, result);
	soft_set_cf(cpu, !!(value & bit));
}

void soft_exec_bt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	bit_operate(cpu, insn, BIT_TEST);
}
void soft_exec_bts(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	bit_operate(cpu, insn, BIT_SET);
}
void soft_exec_btr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	bit_operate(cpu, insn, BIT_RESET);
}
void soft_exec_btc(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	bit_operate(cpu, insn, BIT_COMPLEMENT);
}

/* ---- scans and counts ---- */

/** With a source of 0 the destination stays as it is, upper half included: what processors do where the SDM says
 * undefined. Only ZF is defined. */
static void scan(struct soft_cpu *cpu, const struct soft_insn *insn, bool reverse)
{
	const unsigned size = insn->size;
	const uint64_t value = soft_source_get(cpu, insn, size);

	if (value)
		soft_reg_set(cpu, insn->reg, size,
		        reverse ? 63u - (unsigned)__builtin_clzll(value) : (unsigned)__builtin_ctzll(value));
	soft_flags_logic(cpu, value != 0, 4);
}

void soft_exec_bsf(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	scan(cpu, insn, false);
}
void soft_exec_bsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	scan(cpu, insn, true);
}

/** CF = the source is 0, ZF = the count is 0. */
static void count_zeros(struct soft_cpu *cpu, const struct soft_insn *insn, bool leading)
{
	const unsigned size = insn->size, bits = size * 8;
	const uint64_t value = soft_source_get(cpu, insn, size);
	unsigned count = bits;

	if (value)
		count = leading ? (unsigned)__builtin_clzll(value) - (64 - bits) : (unsigned)__builtin_ctzll(value);
	soft_reg_set(cpu, insn->reg, size, count);
	soft_flags_cf_of(cpu, count, 4, !value, 0);
}

void soft_exec_tzcnt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	count_zeros(cpu, insn, false);
}
void soft_exec_lzcnt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	count_zeros(cpu, insn, true);
}

void soft_exec_popcnt(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t value = soft_source_get(cpu, insn, insn->size);

	soft_reg_set(cpu, insn->reg, insn->size, (unsigned)__builtin_popcountll(value));
	/* All flags are cleared but ZF. */
	soft_flags_set_status(cpu, value ? 0 : FLAG_ZF);
}

/** CRC-32C (polynomial 11EDC6F41, bits reflected) of the source on top of the destination. */
void soft_exec_crc32(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	uint64_t value = soft_source_get(cpu, insn, insn->source_size);
	uint32_t crc = (uint32_t)cpu->gpr[insn->reg];

	for (unsigned i = 0; i < insn->source_size; i++, value >>= 8) {
		crc ^= (uint8_t)value;
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	cpu->gpr[insn->reg] = crc;
}

/* ---- exchanges ---- */

void soft_exec_xadd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->size, source = insn->form == SOFT_FORM_MR ? insn->reg : insn->rm;
	struct soft_rmw rmw;
	const uint64_t a = soft_destination_get(cpu, insn, size, &rmw), b = soft_reg_get(cpu, source, size);

	/* The source is written first, so that XADD of a register with itself leaves the sum. */
	if (insn->form == SOFT_FORM_MR)
		soft_rmw_set(cpu, &rmw, size, a + b);
	soft_reg_set(cpu, source, size, a);
	if (insn->form != SOFT_FORM_MR)
		soft_reg_set(cpu, insn->reg, size, a + b);
	soft_flags_add(cpu, a, b, a + b, size);
}

void soft_exec_cmpxchg(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->size;
	const bool memory = insn->form == SOFT_FORM_MR;
	struct soft_rmw rmw;
	const uint64_t old = soft_destination_get(cpu, insn, size, &rmw);
	const uint64_t expected = soft_reg_get(cpu, GPR_RAX, size);
	const uint64_t source = soft_reg_get(cpu, memory ? insn->reg : insn->rm, size);

	if (old == expected) {
		soft_destination_set(cpu, insn, size, &rmw, source);
	} else {
		/* Memory is written back, so a read-only page faults either way; of the registers only rAX changes. */
		if (memory)
			soft_rmw_set(cpu, &rmw, size, old);
		soft_reg_set(cpu, GPR_RAX, size, old);
	}
	soft_flags_sub(cpu, expected, old, expected - old, size);
}

static void set_zf(struct soft_cpu *cpu, bool zf)
{
	soft_flags_set_status(cpu, (soft_flags_get(cpu) & ~(uint64_t)FLAG_ZF) | (zf ? FLAG_ZF : 0));
}

/** CMPXCHG8B and CMPXCHG16B: a pair of `half` bytes each. */
static void compare_pair(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned half)
{
	const uint64_t linear = soft_linear(cpu, insn, 2 * half, SOFT_WRITE);
	uint64_t low, high;
	bool equal;

	if (half == 8 && linear & 15)
		soft_fault(cpu, VECTOR_GP, true, 0);
	soft_probe_operand(cpu, insn->segment, linear, 2 * half);
	low = soft_rmw_slow(cpu, insn->segment, linear, half);
	high = soft_rmw_slow(cpu, insn->segment, linear + half, half);
	equal = low == soft_reg_get(cpu, GPR_RAX, half) && high == soft_reg_get(cpu, GPR_RDX, half);
	if (equal) {
		soft_write(cpu, linear, half, soft_reg_get(cpu, GPR_RBX, half));
		soft_write(cpu, linear + half, half, soft_reg_get(cpu, GPR_RCX, half));
	} else {
		soft_reg_set(cpu, GPR_RAX, half, low);
		soft_reg_set(cpu, GPR_RDX, half, high);
	}
	set_zf(cpu, equal);
}

void soft_exec_cmpxchg8b(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_pair(cpu, insn, 4);
}
void soft_exec_cmpxchg16b(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_pair(cpu, insn, 8);
}

/* ---- BMI1, BMI2, ADX: operands destination, then r/m and a register in either order ---- */

/** The r/m operand of a VEX form: memory, or the register at that place. */
static uint64_t vex_rm(struct soft_cpu *cpu, const struct soft_insn *insn, uint8_t reg)
{
	if (insn->flags & SOFT_INSN_MEMORY)
		return soft_mem_get(cpu, insn, insn->size);
	return soft_reg_get(cpu, reg, insn->size);
}

/** dest, register, r/m. */
void soft_exec_andn(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const uint64_t source = vex_rm(cpu, insn, insn->third);
	const uint64_t result = ~cpu->gpr[insn->rm] & source;

	soft_reg_set(cpu, insn->reg, insn->size, result);
	soft_flags_logic(cpu, result, insn->size);
}

enum blsx { BLSI, BLSMSK, BLSR };

/** dest, r/m. */
static void lowest_set_bit(struct soft_cpu *cpu, const struct soft_insn *insn, enum blsx what)
{
	const uint64_t source = vex_rm(cpu, insn, insn->rm) & soft_size_mask(insn->size);
	const uint64_t result = what == BLSI     ? source & -source
	                        : what == BLSMSK ? source ^ (source - 1)
	                                         : source & (source - 1);

	soft_reg_set(cpu, insn->reg, insn->size, result);
	soft_flags_cf_of(cpu, result, insn->size, what == BLSI ? source != 0 : source == 0, 0);
}

void soft_exec_blsi(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	lowest_set_bit(cpu, insn, BLSI);
}
void soft_exec_blsmsk(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	lowest_set_bit(cpu, insn, BLSMSK);
}
void soft_exec_blsr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	lowest_set_bit(cpu, insn, BLSR);
}

/** dest, r/m, register: start in bits 7:0, length in bits 15:8. */
void soft_exec_bextr(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const bool memory = insn->flags & SOFT_INSN_MEMORY;
	const uint64_t source = vex_rm(cpu, insn, insn->rm), control = cpu->gpr[memory ? insn->rm : insn->third];
	const unsigned start = control & 0xff, length = control >> 8 & 0xff;
	uint64_t result = start < 64 ? (source & soft_size_mask(insn->size)) >> start : 0;

	if (length < 64)
		result &= (1ull << length) - 1;
	soft_reg_set(cpu, insn->reg, insn->size, result);
	soft_flags_logic(cpu, result, insn->size);
}

/** dest, r/m, register: clear the bits from that number on. */
void soft_exec_bzhi(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const bool memory = insn->flags & SOFT_INSN_MEMORY;
	const unsigned bits = insn->size * 8, from = cpu->gpr[memory ? insn->rm : insn->third] & 0xff;
	uint64_t result = vex_rm(cpu, insn, insn->rm) & soft_size_mask(insn->size);

	if (from < bits)
		result &= (1ull << from) - 1;
	soft_reg_set(cpu, insn->reg, insn->size, result);
	soft_flags_cf_of(cpu, result, insn->size, from >= bits, 0);
}

/** dest, register, r/m (the mask): gather (PEXT) or scatter (PDEP) bits. */
static void parallel_bits(struct soft_cpu *cpu, const struct soft_insn *insn, bool deposit)
{
	const uint64_t mask = vex_rm(cpu, insn, insn->third) & soft_size_mask(insn->size);
	const uint64_t source = soft_reg_get(cpu, insn->rm, insn->size);
	uint64_t result = 0, rest = mask;

	for (unsigned k = 0; rest; k++, rest &= rest - 1) {
		const unsigned bit = (unsigned)__builtin_ctzll(rest);

		if (deposit)
			result |= (source >> k & 1) << bit;
		else
			result |= (source >> bit & 1) << k;
	}
	soft_reg_set(cpu, insn->reg, insn->size, result);
}

void soft_exec_pdep(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	parallel_bits(cpu, insn, true);
}
void soft_exec_pext(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	parallel_bits(cpu, insn, false);
}
