/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Lazy status flags.
 *
 * An instruction leaves its result and its carries; a flag is computed from them when someone asks:
 *
 *   flag_result   result, sign-extended to 64 bits
 *   flag_carries  bit 63: carry out of the most significant bit (CF); bit 63 ^ bit 62: overflow (OF);
 *                 bit 3: carry out of bit 3 (AF)
 *   flag_delta    differs from 0 only when flags were loaded (POPF, SAHF): bit 63 flips SF, bit 0 flips PF
 *
 *   ZF = result is 0     SF = sign of result ^ delta     PF = parity of the low byte of result ^ delta
 *
 * Every condition is a few operations without a branch, whatever instruction set the flags (the representation is
 * Mihocka's and Shwartsman's, "Virtualization without direct execution", 2008).
 */
#ifndef TESTUDO_L0_SOFT_FLAGS_H
#define TESTUDO_L0_SOFT_FLAGS_H

#include "access.h"

#define FLAG_CF 0x1u
#define FLAG_PF 0x4u
#define FLAG_AF 0x10u
#define FLAG_ZF 0x40u
#define FLAG_SF 0x80u
#define FLAG_TF 0x100u
#define FLAG_IF 0x200u
#define FLAG_DF 0x400u
#define FLAG_OF 0x800u
#define FLAG_IOPL 0x3000u
#define FLAG_NT 0x4000u
#define FLAG_RF 0x10000u
#define FLAG_VM 0x20000u
#define FLAG_AC 0x40000u
#define FLAG_VIF 0x80000u
#define FLAG_VIP 0x100000u
#define FLAG_ID 0x200000u
#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/** `carries`: carry out of each bit of an operation of `size` bytes. */
SOFT_ALWAYS_INLINE void soft_flags_put(struct soft_cpu *cpu, uint64_t result, uint64_t carries, unsigned size)
{
	cpu->flag_result = (uint64_t)soft_sign_extend(result, size);
	cpu->flag_carries = size == 8 ? carries : (carries << (64 - 8 * size)) | (carries & 8);
	cpu->flag_delta = 0;
}

SOFT_ALWAYS_INLINE void soft_flags_add(struct soft_cpu *cpu, uint64_t a, uint64_t b, uint64_t result, unsigned size)
{
	soft_flags_put(cpu, result, (a & b) | ((a | b) & ~result), size);
}

SOFT_ALWAYS_INLINE void soft_flags_sub(struct soft_cpu *cpu, uint64_t a, uint64_t b, uint64_t result, unsigned size)
{
	soft_flags_put(cpu, result, (~a & b) | ((~a | b) & result), size);
}

SOFT_ALWAYS_INLINE void soft_flags_logic(struct soft_cpu *cpu, uint64_t result, unsigned size)
{
	soft_flags_put(cpu, result, 0, size);
}

/** Result with explicit CF and OF (0 or 1); AF = 0. */
SOFT_ALWAYS_INLINE void soft_flags_cf_of(struct soft_cpu *cpu, uint64_t result, unsigned size, uint64_t cf, uint64_t of)
{
	cpu->flag_result = (uint64_t)soft_sign_extend(result, size);
	/* clang's analyzer does not see that cf is 0 or 1. */
	cpu->flag_carries = cf << 63 | (cf ^ of) << 62; // NOLINT(clang-analyzer-core.*)
	cpu->flag_delta = 0;
}

SOFT_ALWAYS_INLINE uint64_t soft_cf(const struct soft_cpu *cpu)
{
	return cpu->flag_carries >> 63;
}
SOFT_ALWAYS_INLINE uint64_t soft_of(const struct soft_cpu *cpu)
{
	return (cpu->flag_carries ^ cpu->flag_carries << 1) >> 63;
}
SOFT_ALWAYS_INLINE uint64_t soft_zf(const struct soft_cpu *cpu)
{
	return cpu->flag_result == 0;
}
SOFT_ALWAYS_INLINE uint64_t soft_sf(const struct soft_cpu *cpu)
{
	return (cpu->flag_result ^ cpu->flag_delta) >> 63;
}
SOFT_ALWAYS_INLINE uint64_t soft_pf(const struct soft_cpu *cpu)
{
	return !__builtin_parity((unsigned)(cpu->flag_result ^ cpu->flag_delta) & 0xff);
}
SOFT_ALWAYS_INLINE uint64_t soft_af(const struct soft_cpu *cpu)
{
	return cpu->flag_carries >> 3 & 1;
}

/** Replace CF, keep the others. */
SOFT_ALWAYS_INLINE void soft_set_cf(struct soft_cpu *cpu, uint64_t cf)
{
	const uint64_t flip = cf ^ soft_cf(cpu);

	cpu->flag_carries ^= flip << 63 | flip << 62;
}
SOFT_ALWAYS_INLINE void soft_set_of(struct soft_cpu *cpu, uint64_t of)
{
	cpu->flag_carries ^= (of ^ soft_of(cpu)) << 62;
}

/** Condition `cc` as encoded in Jcc, SETcc and CMOVcc (SDM vol. 1, appendix B). */
SOFT_ALWAYS_INLINE bool soft_condition(const struct soft_cpu *cpu, unsigned cc)
{
	uint64_t value;

	switch (cc >> 1) {
	case 0:
		value = soft_of(cpu);
		break;
	case 1:
		value = soft_cf(cpu);
		break;
	case 2:
		value = soft_zf(cpu);
		break;
	case 3:
		value = soft_cf(cpu) | soft_zf(cpu);
		break;
	case 4:
		value = soft_sf(cpu);
		break;
	case 5:
		value = soft_pf(cpu);
		break;
	case 6:
		value = soft_sf(cpu) ^ soft_of(cpu);
		break;
	default:
		value = soft_zf(cpu) | (soft_sf(cpu) ^ soft_of(cpu));
	}
	return value ^ (cc & 1);
}

/** Set the six status flags; the rest of RFLAGS stays. */
void soft_flags_set_status(struct soft_cpu *cpu, uint64_t flags);

#endif
