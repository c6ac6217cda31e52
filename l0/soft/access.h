/* SPDX-License-Identifier: Apache-2.0 */
/**
 * How handlers reach their operands: registers, memory, read-modify-write.
 *
 * `size` is a compile-time constant in the hot handlers, so that each helper becomes one or two host instructions.
 */
#ifndef TESTUDO_L0_SOFT_ACCESS_H
#define TESTUDO_L0_SOFT_ACCESS_H

#include <string.h>

#include "decode.h"
#include "shadowvmcs/regs.h"
#include "shadowvmcs/x86.h"
#include "tlb.h"

/* Byte registers are reached by their offset in gpr[], and guest memory is copied as it lies. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the soft machine needs a little-endian host");

#define SOFT_ALWAYS_INLINE static inline __attribute__((always_inline))
#define SOFT_LIKELY(x) __builtin_expect(!!(x), 1)
#define SOFT_UNLIKELY(x) __builtin_expect(!!(x), 0)

SOFT_ALWAYS_INLINE uint64_t soft_size_mask(unsigned size)
{
	return size == 8 ? ~0ull : (1ull << (size * 8)) - 1;
}

SOFT_ALWAYS_INLINE int64_t soft_sign_extend(uint64_t value, unsigned size)
{
	switch (size) {
	case 1:
		return (int8_t)value;
	case 2:
		return (int16_t)value;
	case 4:
		return (int32_t)value;
	default:
		return (int64_t)value;
	}
}

/* ---- registers ---- */
SOFT_ALWAYS_INLINE uint64_t soft_reg_get(const struct soft_cpu *cpu, unsigned reg, unsigned size)
{
	switch (size) {
	case 1:
		return ((const uint8_t *)cpu->gpr)[reg];
	case 2:
		return (uint16_t)cpu->gpr[reg];
	case 4:
		return (uint32_t)cpu->gpr[reg];
	default:
		return cpu->gpr[reg];
	}
}

/** A 4-byte write clears the upper half; smaller ones keep the rest (SDM vol. 1, 3.4.1.1). */
SOFT_ALWAYS_INLINE void soft_reg_set(struct soft_cpu *cpu, unsigned reg, unsigned size, uint64_t value)
{
	switch (size) {
	case 1:
		((uint8_t *)cpu->gpr)[reg] = (uint8_t)value;
		break;
	case 2:
		cpu->gpr[reg] = (cpu->gpr[reg] & ~0xffffull) | (uint16_t)value;
		break;
	case 4:
		cpu->gpr[reg] = (uint32_t)value;
		break;
	default:
		cpu->gpr[reg] = value;
	}
}

/* ---- addresses (access.c) ---- */
/** The effective address (offset in its segment), cut to the address size. */
uint64_t soft_offset(const struct soft_cpu *cpu, const struct soft_insn *insn);
/** The linear address of segment:offset after the checks of limit and type; unwinds with #GP(0) or #SS(0). */
uint64_t soft_segment_linear(
        struct soft_cpu *cpu, unsigned segment, uint64_t offset, unsigned size, enum soft_access access);
uint64_t soft_linear_slow(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, enum soft_access access);
/** Memory accesses of `size` bytes (any, up to 64) that missed the TLB: canonical check with #SS for stack
 * references, then mmu.c. */
uint64_t soft_load_slow(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size);
void soft_store_slow(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size, uint64_t value);
void soft_probe_operand(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size);
uint64_t soft_rmw_slow(struct soft_cpu *cpu, unsigned segment, uint64_t linear, unsigned size);

/** Linear address of the memory operand. */
SOFT_ALWAYS_INLINE uint64_t soft_linear(
        struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, enum soft_access access)
{
	if (SOFT_LIKELY(insn->flags & SOFT_INSN_FLAT))
		return cpu->gpr[insn->base] + (cpu->gpr[insn->index] << insn->scale) +
		       (uint64_t)(int64_t)insn->displacement;
	return soft_linear_slow(cpu, insn, size, access);
}

/* ---- memory operands ---- */
SOFT_ALWAYS_INLINE uint64_t soft_mem_get(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size)
{
	const uint64_t linear = soft_linear(cpu, insn, size, SOFT_READ);
	const uint8_t *host = soft_tlb_lookup_read(cpu, linear, size);
	uint64_t value = 0;

	if (SOFT_UNLIKELY(!host))
		return soft_load_slow(cpu, insn->segment, linear, size);
	memcpy(&value, host, size);
	return value;
}

SOFT_ALWAYS_INLINE void soft_mem_set(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, uint64_t value)
{
	const uint64_t linear = soft_linear(cpu, insn, size, SOFT_WRITE);
	uint8_t *host = soft_tlb_lookup_write(cpu, linear, size);

	if (SOFT_UNLIKELY(!host))
		soft_store_slow(cpu, insn->segment, linear, size, value);
	else
		memcpy(host, &value, size);
}

/** A destination that is read, then written. Nothing can fault after soft_rmw_get. */
struct soft_rmw {
	uint8_t *host;
	uint64_t linear;
};

SOFT_ALWAYS_INLINE uint64_t soft_rmw_get(
        struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, struct soft_rmw *rmw)
{
	uint64_t value = 0;

	rmw->linear = soft_linear(cpu, insn, size, SOFT_WRITE);
	rmw->host = soft_tlb_lookup_write(cpu, rmw->linear, size);
	if (SOFT_UNLIKELY(!rmw->host))
		return soft_rmw_slow(cpu, insn->segment, rmw->linear, size);
	memcpy(&value, rmw->host, size);
	return value;
}

SOFT_ALWAYS_INLINE void soft_rmw_set(struct soft_cpu *cpu, const struct soft_rmw *rmw, unsigned size, uint64_t value)
{
	if (SOFT_LIKELY(rmw->host != NULL))
		memcpy(rmw->host, &value, size);
	else
		soft_write(cpu, rmw->linear, size, value);
}

/* ---- operands of either kind, for handlers where speed does not matter ---- */
/** Value of the second operand (or of the only one). */
uint64_t soft_source_get(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size);
/** First operand, which will be written: soft_destination_set must follow. */
uint64_t soft_destination_get(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, struct soft_rmw *rmw);
void soft_destination_set(
        struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, const struct soft_rmw *rmw, uint64_t value);
/** Write the first operand without reading it. */
void soft_destination_put(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, uint64_t value);

/* ---- the stack (access.c) ---- */
/** Bytes of a stack address: 8 in 64-bit mode, else by SS.B. */
static inline unsigned soft_stack_size(const struct soft_cpu *cpu)
{
	return cpu->mode == SOFT_MODE_64 ? 8 : cpu->seg[SOFT_SS].rights & AR_DB ? 4 : 2;
}
void soft_push(struct soft_cpu *cpu, unsigned size, uint64_t value);
/** The value `depth` bytes above the top of the stack; RSP stays. */
uint64_t soft_peek(struct soft_cpu *cpu, unsigned size, uint64_t depth);
/** Add to the stack pointer (its low part in 16- and 32-bit stacks). */
void soft_stack_add(struct soft_cpu *cpu, int64_t bytes);

/* ---- branches (exec_branch.c) ---- */
/** Go to a near target, cut to `width` bytes; #GP(0) when it is not canonical or beyond the limit of CS. */
void soft_jump(struct soft_cpu *cpu, uint64_t target, unsigned width);

#endif
