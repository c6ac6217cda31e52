/* SPDX-License-Identifier: Apache-2.0 */
/** SSE and SSE2 floating point: arithmetic, comparison, conversion (SDM vol. 1, 11.5). */
#include "exec.h"
#include "float.h"
#include "flags.h"
#include "sse.h"

#define BEFORE_RESULT (MXCSR_INVALID | MXCSR_DENORMAL | MXCSR_DIVIDE)

/** Record the flags of the instruction; an unmasked one is #XM, and then no result is written. */
static void raise(struct soft_cpu *cpu, uint32_t flags)
{
	const uint32_t masks = cpu->mxcsr >> MXCSR_MASK_SHIFT & MXCSR_FLAGS;

	/* Exceptions found before the result exists keep the others from being found (11.5.3). */
	if (flags & BEFORE_RESULT & ~masks)
		flags &= BEFORE_RESULT;
	cpu->mxcsr |= flags;
	if (SOFT_UNLIKELY(flags & ~masks)) {
		if (!(cpu->cr4 & CR4_OSXMMEXCPT_BIT))
			soft_fault(cpu, VECTOR_UD, false, 0);
		soft_fault(cpu, VECTOR_XM, false, 0);
	}
}

/* ---- underflow and overflow with the exception unmasked ---- */

/*
 * Then tininess alone raises underflow, and precision tells whether the result with an unbounded exponent would have
 * been inexact (4.9.1.5, 4.9.1.6), which the masked operation that was computed does not say.
 */

static bool unmasked(const struct soft_cpu *cpu, uint32_t exceptions)
{
	return ~(cpu->mxcsr >> MXCSR_MASK_SHIFT) & exceptions;
}

static bool subnormal_32(uint32_t a)
{
	return !(a & 0x7f800000) && (a & 0x7fffff);
}
static bool subnormal_64(uint64_t a)
{
	return !(a & 0x7ff0000000000000ull) && (a & 0xfffffffffffffull);
}

/** Significant bits of a double that a single has not. */
#define BEYOND_SINGLE 0x1fffffffull

/** As doubles, singles can neither overflow nor underflow. */
static bool inexact_32(const struct soft_cpu *cpu, enum soft_float_op op, uint32_t a, uint32_t b)
{
	uint64_t wide;

	soft_float_begin(cpu->mxcsr);
	wide = soft_float_64(op, soft_float_32_to_64(a), soft_float_32_to_64(b));
	return (soft_float_end() & MXCSR_PRECISION) || (wide & BEYOND_SINGLE);
}

/** The value with an exponent near 1, which keeps the significand; subnormals are normalized. */
static uint64_t near_one(uint64_t a)
{
	uint64_t fraction = a & 0xfffffffffffffull;

	if (!(a & 0x7ff0000000000000ull) && fraction)
		fraction = fraction << (__builtin_clzll(fraction) - 11) & 0xfffffffffffffull;
	return fraction | 0x3ff0000000000000ull;
}

static bool inexact_64(const struct soft_cpu *cpu, enum soft_float_op op, uint64_t a, uint64_t b, bool overflow)
{
	const uint64_t quarter = 0x3fd0000000000000ull; /* 0.25 */

	/* A tiny sum is exact. */
	if (op != FLOAT_MUL && op != FLOAT_DIV && !overflow)
		return false;
	soft_float_begin(cpu->mxcsr);
	if (op == FLOAT_MUL || op == FLOAT_DIV) {
		soft_float_64(op, near_one(a), near_one(b));
	} else {
		/* A quarter of a sum that overflows does not, and loses bits only where the sum did. */
		soft_float_64(op, soft_float_64(FLOAT_MUL, a, quarter), soft_float_64(FLOAT_MUL, b, quarter));
	}
	return soft_float_end() & MXCSR_PRECISION;
}

/** The flags of one element, from those of the masked operation. */
static uint32_t unmasked_flags(const struct soft_cpu *cpu, uint32_t flags, bool subnormal, bool inexact)
{
	const bool underflow = ((flags & MXCSR_UNDERFLOW) || subnormal) && unmasked(cpu, MXCSR_UNDERFLOW);
	const bool overflow = (flags & MXCSR_OVERFLOW) && unmasked(cpu, MXCSR_OVERFLOW);

	if (underflow)
		flags |= MXCSR_UNDERFLOW;
	if (underflow || overflow)
		flags = (flags & ~MXCSR_PRECISION) | (inexact ? MXCSR_PRECISION : 0);
	return flags;
}

/* ---- arithmetic ---- */

static void arithmetic_32_unmasked(struct soft_cpu *cpu, union soft_xmm *a, const union soft_xmm *b,
        enum soft_float_op op, unsigned count, uint32_t *flags)
{
	for (unsigned i = 0; i < count; i++) {
		const uint32_t x = a->u32[i];
		uint32_t raised;

		soft_float_begin(cpu->mxcsr);
		a->u32[i] = soft_float_32(op, x, b->u32[i]);
		raised = soft_float_end();
		*flags |= unmasked_flags(cpu, raised, subnormal_32(a->u32[i]), inexact_32(cpu, op, x, b->u32[i]));
	}
}

SOFT_ALWAYS_INLINE void arithmetic_32(
        struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_float_op op, unsigned count)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, count == 4 ? 16 : 4);
	union soft_xmm a = cpu->xmm[insn->reg];
	uint32_t flags = 0;

	if (op <= FLOAT_DIV && SOFT_UNLIKELY(unmasked(cpu, MXCSR_OVERFLOW | MXCSR_UNDERFLOW))) {
		arithmetic_32_unmasked(cpu, &a, &b, op, count, &flags);
	} else {
		soft_float_begin(cpu->mxcsr);
		for (unsigned i = 0; i < count; i++)
			a.u32[i] = soft_float_32(op, a.u32[i], b.u32[i]);
		flags = soft_float_end();
	}
	raise(cpu, flags);
	cpu->xmm[insn->reg] = a;
}

static void arithmetic_64_unmasked(struct soft_cpu *cpu, union soft_xmm *a, const union soft_xmm *b,
        enum soft_float_op op, unsigned count, uint32_t *flags)
{
	for (unsigned i = 0; i < count; i++) {
		const uint64_t x = a->u64[i];
		uint32_t raised;

		soft_float_begin(cpu->mxcsr);
		a->u64[i] = soft_float_64(op, x, b->u64[i]);
		raised = soft_float_end();
		*flags |= unmasked_flags(cpu, raised, subnormal_64(a->u64[i]),
		        inexact_64(cpu, op, x, b->u64[i], raised & MXCSR_OVERFLOW));
	}
}

SOFT_ALWAYS_INLINE void arithmetic_64(
        struct soft_cpu *cpu, const struct soft_insn *insn, enum soft_float_op op, unsigned count)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, count == 2 ? 16 : 8);
	union soft_xmm a = cpu->xmm[insn->reg];
	uint32_t flags = 0;

	if (op <= FLOAT_DIV && SOFT_UNLIKELY(unmasked(cpu, MXCSR_OVERFLOW | MXCSR_UNDERFLOW))) {
		arithmetic_64_unmasked(cpu, &a, &b, op, count, &flags);
	} else {
		soft_float_begin(cpu->mxcsr);
		for (unsigned i = 0; i < count; i++)
			a.u64[i] = soft_float_64(op, a.u64[i], b.u64[i]);
		flags = soft_float_end();
	}
	raise(cpu, flags);
	cpu->xmm[insn->reg] = a;
}

#define ARITHMETIC(name, op)                                                                                           \
	void soft_exec_##name##ps(struct soft_cpu *cpu, const struct soft_insn *insn)                                  \
	{                                                                                                              \
		arithmetic_32(cpu, insn, op, 4);                                                                       \
	}                                                                                                              \
	void soft_exec_##name##ss(struct soft_cpu *cpu, const struct soft_insn *insn)                                  \
	{                                                                                                              \
		arithmetic_32(cpu, insn, op, 1);                                                                       \
	}                                                                                                              \
	void soft_exec_##name##pd(struct soft_cpu *cpu, const struct soft_insn *insn)                                  \
	{                                                                                                              \
		arithmetic_64(cpu, insn, op, 2);                                                                       \
	}                                                                                                              \
	void soft_exec_##name##sd(struct soft_cpu *cpu, const struct soft_insn *insn)                                  \
	{                                                                                                              \
		arithmetic_64(cpu, insn, op, 1);                                                                       \
	}
ARITHMETIC(add, FLOAT_ADD)
ARITHMETIC(sub, FLOAT_SUB)
ARITHMETIC(mul, FLOAT_MUL)
ARITHMETIC(div, FLOAT_DIV)
ARITHMETIC(min, FLOAT_MIN)
ARITHMETIC(max, FLOAT_MAX)
ARITHMETIC(sqrt, FLOAT_SQRT)

static void estimate(struct soft_cpu *cpu, const struct soft_insn *insn, uint32_t (*function)(uint32_t), unsigned count)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, count == 4 ? 16 : 4);

	for (unsigned i = 0; i < count; i++)
		cpu->xmm[insn->reg].u32[i] = function(b.u32[i]);
}

void soft_exec_rcpps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	estimate(cpu, insn, soft_float_reciprocal, 4);
}
void soft_exec_rcpss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	estimate(cpu, insn, soft_float_reciprocal, 1);
}
void soft_exec_rsqrtps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	estimate(cpu, insn, soft_float_reciprocal_root, 4);
}
void soft_exec_rsqrtss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	estimate(cpu, insn, soft_float_reciprocal_root, 1);
}

/* ---- comparison ---- */

/** Predicates 0..7 of CMPPS: EQ LT LE UNORD and their negations; LT and LE signal on quiet NaNs. */
static bool holds(unsigned predicate, enum soft_float_order order)
{
	bool result;

	switch (predicate & 3) {
	case 0:
		result = order == FLOAT_EQUAL;
		break;
	case 1:
		result = order == FLOAT_LESS;
		break;
	case 2:
		result = order == FLOAT_LESS || order == FLOAT_EQUAL;
		break;
	default:
		result = order == FLOAT_UNORDERED;
	}
	return result != !!(predicate & 4);
}

static bool signals(unsigned predicate)
{
	return (predicate & 3) == 1 || (predicate & 3) == 2;
}

static void compare_32(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned count)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, count == 4 ? 16 : 4);
	const unsigned predicate = insn->immediate & 7;
	union soft_xmm a = cpu->xmm[insn->reg];

	soft_float_begin(cpu->mxcsr);
	for (unsigned i = 0; i < count; i++)
		a.u32[i] = holds(predicate, soft_float_compare_32(a.u32[i], b.u32[i], signals(predicate))) ? ~0u : 0;
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg] = a;
}

static void compare_64(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned count)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, count == 2 ? 16 : 8);
	const unsigned predicate = insn->immediate & 7;
	union soft_xmm a = cpu->xmm[insn->reg];

	soft_float_begin(cpu->mxcsr);
	for (unsigned i = 0; i < count; i++)
		a.u64[i] = holds(predicate, soft_float_compare_64(a.u64[i], b.u64[i], signals(predicate))) ? ~0ull : 0;
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg] = a;
}

void soft_exec_cmpps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_32(cpu, insn, 4);
}
void soft_exec_cmpss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_32(cpu, insn, 1);
}
void soft_exec_cmppd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_64(cpu, insn, 2);
}
void soft_exec_cmpsd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_64(cpu, insn, 1);
}

/** (U)COMISS, (U)COMISD: ZF PF CF = 111 unordered, 001 less, 100 equal, 000 greater. */
static void compare_to_flags(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned size, bool signalling)
{
	static const uint8_t flags[] = {[FLOAT_LESS] = FLAG_CF,
	        [FLOAT_EQUAL] = FLAG_ZF,
	        [FLOAT_GREATER] = 0,
	        [FLOAT_UNORDERED] = FLAG_ZF | FLAG_PF | FLAG_CF};
	const union soft_xmm b = soft_sse_source(cpu, insn, size), *a = &cpu->xmm[insn->reg];
	enum soft_float_order order;

	soft_float_begin(cpu->mxcsr);
	order = size == 4 ? soft_float_compare_32(a->u32[0], b.u32[0], signalling)
	                  : soft_float_compare_64(a->u64[0], b.u64[0], signalling);
	raise(cpu, soft_float_end());
	soft_flags_set_status(cpu, flags[order]);
}

void soft_exec_comiss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_to_flags(cpu, insn, 4, true);
}
void soft_exec_ucomiss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_to_flags(cpu, insn, 4, false);
}
void soft_exec_comisd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_to_flags(cpu, insn, 8, true);
}
void soft_exec_ucomisd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	compare_to_flags(cpu, insn, 8, false);
}

/* ---- conversion ---- */

void soft_exec_cvtss2sd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 4);
	uint64_t result;

	soft_float_begin(cpu->mxcsr);
	result = soft_float_32_to_64(b.u32[0]);
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg].u64[0] = result;
}

/** A double as a single; the flags it raises. */
static uint32_t narrow(struct soft_cpu *cpu, uint64_t value, uint32_t *result)
{
	soft_float_begin(cpu->mxcsr);
	*result = soft_float_64_to_32(value);
	return unmasked_flags(cpu, soft_float_end(), subnormal_32(*result), near_one(value) & BEYOND_SINGLE);
}

void soft_exec_cvtsd2ss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 8);
	uint32_t result;

	raise(cpu, narrow(cpu, b.u64[0], &result));
	cpu->xmm[insn->reg].u32[0] = result;
}

void soft_exec_cvtps2pd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 8);
	union soft_xmm result;

	soft_float_begin(cpu->mxcsr);
	result.u64[0] = soft_float_32_to_64(b.u32[0]);
	result.u64[1] = soft_float_32_to_64(b.u32[1]);
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg] = result;
}

void soft_exec_cvtpd2ps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16);
	union soft_xmm result = {.u64 = {0, 0}};
	uint32_t flags;

	flags = narrow(cpu, b.u64[0], &result.u32[0]);
	flags |= narrow(cpu, b.u64[1], &result.u32[1]);
	raise(cpu, flags);
	cpu->xmm[insn->reg] = result;
}

/** The integer source is a general register or memory, of 4 or 8 bytes. */
static int64_t integer_source(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const unsigned size = insn->source_size;

	soft_sse_check(cpu);
	return soft_sign_extend(
	        insn->flags & SOFT_INSN_MEMORY ? soft_mem_get(cpu, insn, size) : cpu->gpr[insn->rm], size);
}

void soft_exec_cvtsi2ss(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const int64_t value = integer_source(cpu, insn);
	uint32_t result;

	soft_float_begin(cpu->mxcsr);
	result = soft_float_from_int_32(value);
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg].u32[0] = result;
}

void soft_exec_cvtsi2sd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const int64_t value = integer_source(cpu, insn);
	uint64_t result;

	soft_float_begin(cpu->mxcsr);
	result = soft_float_from_int_64(value);
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg].u64[0] = result;
}

static void to_general(struct soft_cpu *cpu, const struct soft_insn *insn, unsigned from, bool truncate)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, from);
	int64_t result;

	soft_float_begin(cpu->mxcsr);
	result = from == 4 ? soft_float_32_to_int(b.u32[0], insn->size, truncate)
	                   : soft_float_64_to_int(b.u64[0], insn->size, truncate);
	raise(cpu, soft_float_end());
	soft_reg_set(cpu, insn->reg, insn->size, (uint64_t)result);
}

void soft_exec_cvtss2si(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	to_general(cpu, insn, 4, false);
}
void soft_exec_cvttss2si(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	to_general(cpu, insn, 4, true);
}
void soft_exec_cvtsd2si(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	to_general(cpu, insn, 8, false);
}
void soft_exec_cvttsd2si(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	to_general(cpu, insn, 8, true);
}

void soft_exec_cvtdq2ps(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16);
	union soft_xmm result;

	soft_float_begin(cpu->mxcsr);
	for (unsigned i = 0; i < 4; i++)
		result.u32[i] = soft_float_from_int_32(b.i32[i]);
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg] = result;
}

/** Exact. */
void soft_exec_cvtdq2pd(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 8);

	soft_float_begin(cpu->mxcsr);
	cpu->xmm[insn->reg].u64[0] = soft_float_from_int_64(b.i32[0]);
	cpu->xmm[insn->reg].u64[1] = soft_float_from_int_64(b.i32[1]);
	soft_float_end();
}

static void packed_32_to_int(struct soft_cpu *cpu, const struct soft_insn *insn, bool truncate)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16);
	union soft_xmm result;

	soft_float_begin(cpu->mxcsr);
	for (unsigned i = 0; i < 4; i++)
		result.i32[i] = (int32_t)soft_float_32_to_int(b.u32[i], 4, truncate);
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg] = result;
}

void soft_exec_cvtps2dq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	packed_32_to_int(cpu, insn, false);
}
void soft_exec_cvttps2dq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	packed_32_to_int(cpu, insn, true);
}

static void packed_64_to_int(struct soft_cpu *cpu, const struct soft_insn *insn, bool truncate)
{
	const union soft_xmm b = soft_sse_source(cpu, insn, 16);
	union soft_xmm result = {.u64 = {0, 0}};

	soft_float_begin(cpu->mxcsr);
	result.i32[0] = (int32_t)soft_float_64_to_int(b.u64[0], 4, truncate);
	result.i32[1] = (int32_t)soft_float_64_to_int(b.u64[1], 4, truncate);
	raise(cpu, soft_float_end());
	cpu->xmm[insn->reg] = result;
}

void soft_exec_cvtpd2dq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	packed_64_to_int(cpu, insn, false);
}
void soft_exec_cvttpd2dq(struct soft_cpu *cpu, const struct soft_insn *insn)
{
	packed_64_to_int(cpu, insn, true);
}
