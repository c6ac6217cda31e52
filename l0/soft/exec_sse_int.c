/* SPDX-License-Identifier: Apache-2.0 */
/** SSE2 integer arithmetic; the bitwise operations of SSE too. */
#include "exec.h"
#include "sse.h"

/* One instruction per line: for each of `count` elements of `field`, A and B are the operands' elements. */
#define LANES(name, field, count, type, expression)                                                                    \
	void soft_exec_##name(struct soft_cpu *cpu, const struct soft_insn *insn)                                      \
	{                                                                                                              \
		const union soft_xmm b = soft_sse_source(cpu, insn, 16);                                               \
		union soft_xmm *a = &cpu->xmm[insn->reg];                                                              \
                                                                                                                       \
		for (unsigned i = 0; i < (count); i++) {                                                               \
			const type A = a->field[i], B = b.field[i];                                                    \
                                                                                                                       \
			a->field[i] = (type)(expression);                                                              \
		}                                                                                                      \
	}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

LANES(paddb, u8, 16, uint8_t, A + B)
LANES(paddw, u16, 8, uint16_t, A + B)
LANES(paddd, u32, 4, uint32_t, A + B)
LANES(paddq, u64, 2, uint64_t, A + B)
LANES(psubb, u8, 16, uint8_t, A - B)
LANES(psubw, u16, 8, uint16_t, A - B)
LANES(psubd, u32, 4, uint32_t, A - B)
LANES(psubq, u64, 2, uint64_t, A - B)
LANES(paddsb, i8, 16, int8_t, clamp(A + B, INT8_MIN, INT8_MAX))
LANES(paddsw, i16, 8, int16_t, clamp(A + B, INT16_MIN, INT16_MAX))
LANES(psubsb, i8, 16, int8_t, clamp(A - B, INT8_MIN, INT8_MAX))
LANES(psubsw, i16, 8, int16_t, clamp(A - B, INT16_MIN, INT16_MAX))
LANES(paddusb, u8, 16, uint8_t, clamp(A + B, 0, UINT8_MAX))
LANES(paddusw, u16, 8, uint16_t, clamp(A + B, 0, UINT16_MAX))
LANES(psubusb, u8, 16, uint8_t, clamp(A - B, 0, UINT8_MAX))
LANES(psubusw, u16, 8, uint16_t, clamp(A - B, 0, UINT16_MAX))
LANES(pavgb, u8, 16, uint8_t, (A + B + 1) >> 1)
LANES(pavgw, u16, 8, uint16_t, (A + B + 1) >> 1)
LANES(pmaxub, u8, 16, uint8_t, A > B ? A : B)
LANES(pminub, u8, 16, uint8_t, A < B ? A : B)
LANES(pmaxsw, i16, 8, int16_t, A > B ? A : B)
LANES(pminsw, i16, 8, int16_t, A < B ? A : B)
LANES(pmullw, i16, 8, int16_t, A *B)
LANES(pmulhw, i16, 8, int16_t, (A * B) >> 16)
LANES(pmulhuw, u16, 8, uint16_t, ((uint32_t)A * B) >> 16)
LANES(pcmpeqb, u8, 16, uint8_t, A == B ? 0xff : 0)
LANES(pcmpeqw, u16, 8, uint16_t, A == B ? 0xffff : 0)
LANES(pcmpeqd, u32, 4, uint32_t, A == B ? 0xffffffff : 0)
LANES(pcmpgtb, i8, 16, int8_t, A > B ? -1 : 0)
LANES(pcmpgtw, i16, 8, int16_t, A > B ? -1 : 0)
LANES(pcmpgtd, i32, 4, int32_t, A > B ? -1 : 0)
LANES(pand, u64, 2, uint64_t, A &B)
LANES(pandn, u64, 2, uint64_t, ~A &B)
LANES(por, u64, 2, uint64_t, A | B)
LANES(pxor, u64, 2, uint64_t, A ^ B)

/** The low doublewords of each half. */
void soft_exec_pmuludq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16);
	union soft_xmm *a = &cpu->xmm[insn->reg];

	for (unsigned i = 0; i < 2; i++)
		a->u64[i] = (a->u64[i] & 0xffffffff) * (b.u64[i] & 0xffffffff);
}

void soft_exec_pmaddwd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16);
	union soft_xmm *a = &cpu->xmm[insn->reg];

	/* The sum of two products of -32768 wraps around. */
	for (unsigned i = 0; i < 4; i++)
		a->u32[i] = (uint32_t)(a->i16[2 * i] * b.i16[2 * i]) + (uint32_t)(a->i16[2 * i + 1] * b.i16[2 * i + 1]);
}

void soft_exec_psadbw(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16), a = cpu->xmm[insn->reg];

	for (unsigned half = 0; half < 2; half++) {
		uint64_t sum = 0;

		for (unsigned i = 8 * half; i < 8 * half + 8; i++)
			sum += (uint64_t)(a.u8[i] > b.u8[i] ? a.u8[i] - b.u8[i] : b.u8[i] - a.u8[i]);
		cpu->xmm[insn->reg].u64[half] = sum;
	}
}

/* ---- narrowing with saturation: the destination's elements, then the source's ---- */

#define PACK(name, from, to, count, low, high)                                                                         \
	void soft_exec_##name(struct soft_cpu *cpu, const struct soft_insn *insn)                                      \
	{                                                                                                              \
		const union soft_xmm b = soft_sse_source(cpu, insn, 16), a = cpu->xmm[insn->reg];                      \
		union soft_xmm *result = &cpu->xmm[insn->reg];                                                         \
                                                                                                                       \
		for (unsigned i = 0; i < (count); i++) {                                                               \
			result->to[i] = clamp(a.from[i], low, high);                                                   \
			result->to[(count) + i] = clamp(b.from[i], low, high);                                         \
		}                                                                                                      \
	}
PACK(packsswb, i16, i8, 8, INT8_MIN, INT8_MAX)
PACK(packuswb, i16, u8, 8, 0, UINT8_MAX)
PACK(packssdw, i32, i16, 4, INT16_MIN, INT16_MAX)

/* ---- shifts: by an immediate, or by the low quadword of the source; too large a count gives 0, or the sign ---- */

static uint64_t shift_count(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	if (insn->flags & SOFT_INSN_IMM) {
		soft_sse_check(cpu);
		return (uint8_t)insn->immediate;
	}
	return soft_sse_source(cpu, insn, 16).u64[0];
}

#define SHIFT(name, field, count, bits, operator)                                                                      \
	void soft_exec_##name(struct soft_cpu *cpu, const struct soft_insn *insn)                                      \
	{                                                                                                              \
		const uint64_t by = shift_count(cpu, insn);                                                            \
		union soft_xmm *a = &cpu->xmm[insn->reg];                                                              \
                                                                                                                       \
		for (unsigned i = 0; i < (count); i++)                                                                 \
			a->field[i] = by < (bits) ? a->field[i] operator by : 0;                                       \
	}
SHIFT(psllw, u16, 8, 16, <<)
SHIFT(pslld, u32, 4, 32, <<)
SHIFT(psllq, u64, 2, 64, <<)
SHIFT(psrlw, u16, 8, 16, >>)
SHIFT(psrld, u32, 4, 32, >>)
SHIFT(psrlq, u64, 2, 64, >>)

#define SHIFT_SIGNED(name, field, count, bits)                                                                         \
	void soft_exec_##name(struct soft_cpu *cpu, const struct soft_insn *insn)                                      \
	{                                                                                                              \
		const uint64_t by = shift_count(cpu, insn);                                                            \
		union soft_xmm *a = &cpu->xmm[insn->reg];                                                              \
                                                                                                                       \
		for (unsigned i = 0; i < (count); i++)                                                                 \
			a->field[i] >>= by < (bits) ? by : (bits)-1;                                                   \
	}
SHIFT_SIGNED(psraw, i16, 8, 16)
SHIFT_SIGNED(psrad, i32, 4, 32)

/** By bytes. */
void soft_exec_pslldq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned by = (uint8_t)insn->immediate > 16 ? 16 : (uint8_t)insn->immediate;
	union soft_xmm *a = &cpu->xmm[insn->reg];

	soft_sse_check(cpu);
	memmove(&a->u8[by], &a->u8[0], 16 - by);
	memset(&a->u8[0], 0, by);
}

void soft_exec_psrldq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned by = (uint8_t)insn->immediate > 16 ? 16 : (uint8_t)insn->immediate;
	union soft_xmm *a = &cpu->xmm[insn->reg];

	soft_sse_check(cpu);
	memmove(&a->u8[0], &a->u8[by], 16 - by);
	memset(&a->u8[16 - by], 0, by);
}
