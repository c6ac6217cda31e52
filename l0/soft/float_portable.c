/* SPDX-License-Identifier: Apache-2.0 */
/**
 * SSE arithmetic in C: NaNs, denormals and flags by the rules of SDM vol. 1, 4.8 to 4.9 and 11.5; the host's own
 * arithmetic (IEEE 754, rounding by fesetround) for everything in between. Operands are volatile, so that the compiler
 * neither computes ahead nor moves an operation past the calls around it; built with -frounding-math.
 */
#include "float.h"

#include <fenv.h>
#include <math.h>
#include <string.h>

/** The operation in progress: MXCSR, the flags raised so far, what to put back. */
static _Thread_local uint32_t control, flags;
static _Thread_local fenv_t host_environment;

/** The two formats, described so that one set of rules serves both; values are held as 64-bit patterns. */
struct format {
	uint64_t sign, exponent, fraction, quiet;
	unsigned bytes;
};
static const struct format single = {0x80000000u, 0x7f800000u, 0x007fffffu, 0x00400000u, 4};
static const struct format twice = {
        0x8000000000000000ull, 0x7ff0000000000000ull, 0x000fffffffffffffull, 0x0008000000000000ull, 8};

void soft_portable_begin(uint32_t mxcsr)
{
	static const int rounding[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};

	if (!(mxcsr & MXCSR_UNDERFLOW << MXCSR_MASK_SHIFT))
		mxcsr &= ~MXCSR_FTZ;
	control = mxcsr;
	flags = 0;
	feholdexcept(&host_environment);
	fesetround(rounding[(mxcsr & MXCSR_ROUNDING) >> 13]);
}

uint32_t soft_portable_end(void)
{
	fesetenv(&host_environment);
	return flags;
}

static double to_double(const struct format *f, uint64_t bits)
{
	const uint32_t narrow = (uint32_t)bits;
	double d;
	float s;

	if (f->bytes == 4) {
		memcpy(&s, &narrow, 4);
		return s;
	}
	memcpy(&d, &bits, 8);
	return d;
}

static uint64_t from_float(float s)
{
	uint32_t bits;

	memcpy(&bits, &s, 4);
	return bits;
}

static uint64_t from_double(double d)
{
	uint64_t bits;

	memcpy(&bits, &d, 8);
	return bits;
}

static int is_nan(const struct format *f, uint64_t a)
{
	return (a & f->exponent) == f->exponent && (a & f->fraction);
}
static int is_signalling(const struct format *f, uint64_t a)
{
	return is_nan(f, a) && !(a & f->quiet);
}
static int is_subnormal(const struct format *f, uint64_t a)
{
	return !(a & f->exponent) && (a & f->fraction);
}
static uint64_t default_nan(const struct format *f)
{
	return f->sign | f->exponent | f->quiet;
}

/** Denormals-are-zeros, else note the denormal operand. */
static uint64_t take(const struct format *f, uint64_t a, uint32_t *denormal)
{
	if (!is_subnormal(f, a))
		return a;
	if (control & MXCSR_DAZ)
		return a & f->sign;
	*denormal |= MXCSR_DENORMAL;
	return a;
}

/** Was a result of the smallest normal magnitude tiny before rounding to it? Decided with the exponent out of the way.
 */
static int tiny_scaled(const struct format *f, enum soft_float_op op, uint64_t a, uint64_t b)
{
	if (f->bytes == 4) {
		volatile float x = (float)to_double(f, a) * 0x1p32f, y = (float)to_double(f, b);
		const float r = op == FLOAT_MUL ? x * y : x / y;

		return fabsf(r) < 0x1p-94f;
	} else {
		volatile double x = to_double(f, a) * 0x1p128, y = to_double(f, b);
		const double r = op == FLOAT_MUL ? x * y : x / y;

		return fabs(r) < 0x1p-894;
	}
}

/** Flags of a rounded result; tiny results may be flushed. Tininess is found after rounding (4.9.1.5). */
static uint64_t finish(const struct format *f, enum soft_float_op op, uint64_t a, uint64_t b, uint64_t result)
{
	const uint64_t smallest_normal = f->fraction + 1, magnitude = result & ~f->sign;
	const int inexact = fetestexcept(FE_INEXACT) != 0;
	int is_tiny = magnitude < smallest_normal && (magnitude || inexact);

	if (fetestexcept(FE_OVERFLOW))
		flags |= MXCSR_OVERFLOW | MXCSR_PRECISION;
	if (magnitude == smallest_normal && inexact && (op == FLOAT_MUL || op == FLOAT_DIV))
		is_tiny = tiny_scaled(f, op, a, b);
	if (is_tiny && (control & MXCSR_FTZ)) {
		flags |= MXCSR_UNDERFLOW | MXCSR_PRECISION;
		return result & f->sign;
	}
	if (inexact)
		flags |= MXCSR_PRECISION | (is_tiny ? MXCSR_UNDERFLOW : 0);
	return result;
}

static uint64_t invalid(const struct format *f)
{
	flags |= MXCSR_INVALID;
	return default_nan(f);
}

static uint64_t raw(const struct format *f, enum soft_float_op op, uint64_t a, uint64_t b)
{
	feclearexcept(FE_ALL_EXCEPT);
	if (f->bytes == 4) {
		volatile float x = (float)to_double(f, a), y = (float)to_double(f, b), r;

		feclearexcept(FE_ALL_EXCEPT);
		r = op == FLOAT_ADD   ? x + y
		    : op == FLOAT_SUB ? x - y
		    : op == FLOAT_MUL ? x * y
		    : op == FLOAT_DIV ? x / y
		                      : sqrtf(y);
		return from_float(r);
	} else {
		volatile double x = to_double(f, a), y = to_double(f, b), r;

		r = op == FLOAT_ADD   ? x + y
		    : op == FLOAT_SUB ? x - y
		    : op == FLOAT_MUL ? x * y
		    : op == FLOAT_DIV ? x / y
		                      : sqrt(y);
		return from_double(r);
	}
}

/** MIN and MAX give the second operand when one is a NaN or both are zeros, and any NaN is invalid. */
static uint64_t min_max(const struct format *f, enum soft_float_op op, uint64_t a, uint64_t b)
{
	uint32_t denormal = 0;
	double x, y;

	if (is_nan(f, a) || is_nan(f, b)) {
		flags |= MXCSR_INVALID;
		return take(f, b, &denormal);
	}
	a = take(f, a, &denormal);
	b = take(f, b, &denormal);
	flags |= denormal;
	x = to_double(f, a);
	y = to_double(f, b);
	return (op == FLOAT_MIN ? x < y : x > y) ? a : b;
}

static uint64_t operate(const struct format *f, enum soft_float_op op, uint64_t a, uint64_t b)
{
	const uint64_t infinity = f->exponent, magnitude = ~f->sign;
	uint32_t denormal = 0;

	if (op == FLOAT_MIN || op == FLOAT_MAX)
		return min_max(f, op, a, b);
	if (op == FLOAT_SQRT)
		a = b;
	/* The first NaN operand, made quiet. */
	if (is_nan(f, a) || is_nan(f, b)) {
		if (is_signalling(f, a) || is_signalling(f, b))
			flags |= MXCSR_INVALID;
		return (is_nan(f, a) ? a : b) | f->quiet;
	}
	a = take(f, a, &denormal);
	b = take(f, b, &denormal);
	switch (op) {
	case FLOAT_ADD:
	case FLOAT_SUB:
		if ((a & magnitude) == infinity && (b & magnitude) == infinity &&
		        ((a ^ b) >> (8 * f->bytes - 1) & 1) == (op == FLOAT_ADD))
			return invalid(f);
		break;
	case FLOAT_MUL:
		if (((a & magnitude) == infinity && !(b & magnitude)) ||
		        (!(a & magnitude) && (b & magnitude) == infinity))
			return invalid(f);
		break;
	case FLOAT_DIV:
		if (((a & magnitude) == infinity && (b & magnitude) == infinity) ||
		        (!(a & magnitude) && !(b & magnitude)))
			return invalid(f);
		if (!(b & magnitude) && (a & magnitude) != infinity) {
			/* The division by zero takes precedence over a denormal dividend. */
			flags |= MXCSR_DIVIDE;
			return ((a ^ b) & f->sign) | infinity;
		}
		break;
	default:
		if ((b & f->sign) && (b & magnitude))
			return invalid(f);
	}
	flags |= denormal;
	return finish(f, op, a, b, raw(f, op, a, b));
}

uint32_t soft_portable_32(enum soft_float_op op, uint32_t a, uint32_t b)
{
	return (uint32_t)operate(&single, op, a, b);
}
uint64_t soft_portable_64(enum soft_float_op op, uint64_t a, uint64_t b)
{
	return operate(&twice, op, a, b);
}

static enum soft_float_order compare(const struct format *f, uint64_t a, uint64_t b, int signalling)
{
	uint32_t denormal = 0;
	double x, y;

	if (is_nan(f, a) || is_nan(f, b)) {
		if (signalling || is_signalling(f, a) || is_signalling(f, b))
			flags |= MXCSR_INVALID;
		return FLOAT_UNORDERED;
	}
	x = to_double(f, take(f, a, &denormal));
	y = to_double(f, take(f, b, &denormal));
	flags |= denormal;
	return x < y ? FLOAT_LESS : x > y ? FLOAT_GREATER : FLOAT_EQUAL;
}

enum soft_float_order soft_portable_compare_32(uint32_t a, uint32_t b, int signalling)
{
	return compare(&single, a, b, signalling);
}
enum soft_float_order soft_portable_compare_64(uint64_t a, uint64_t b, int signalling)
{
	return compare(&twice, a, b, signalling);
}

/* ---- conversions ---- */

uint64_t soft_portable_32_to_64(uint32_t a)
{
	uint32_t denormal = 0;
	uint64_t value;

	if (is_nan(&single, a)) {
		if (is_signalling(&single, a))
			flags |= MXCSR_INVALID;
		return (uint64_t)(a & single.sign) << 32 | twice.exponent | twice.quiet |
		       (uint64_t)(a & single.fraction) << 29;
	}
	value = take(&single, a, &denormal);
	flags |= denormal;
	return from_double(to_double(&single, value));
}

uint32_t soft_portable_64_to_32(uint64_t a)
{
	uint32_t denormal = 0;
	uint64_t value;
	volatile double source;
	volatile float result;

	if (is_nan(&twice, a)) {
		if (is_signalling(&twice, a))
			flags |= MXCSR_INVALID;
		return (uint32_t)((a & twice.sign) >> 32 | single.exponent | single.quiet | (a & twice.fraction) >> 29);
	}
	value = take(&twice, a, &denormal);
	flags |= denormal;
	source = to_double(&twice, value);
	feclearexcept(FE_ALL_EXCEPT);
	result = (float)source;
	if (fabsf(result) == 0x1p-126f && fetestexcept(FE_INEXACT) && fabs(source) < 0x1p-126) {
		/* Tiny after rounding? Round with a wider exponent. */
		volatile float scaled = (float)(source * 0x1p32);

		if (fabsf(scaled) < 0x1p-94f) {
			flags |= MXCSR_UNDERFLOW | MXCSR_PRECISION;
			return control & MXCSR_FTZ ? (uint32_t)from_float(result) & 0x80000000u
			                           : (uint32_t)from_float(result);
		}
		feraiseexcept(FE_INEXACT);
	}
	return (uint32_t)finish(&single, FLOAT_ADD, 0, 0, from_float(result));
}

uint32_t soft_portable_from_int_32(int64_t a)
{
	volatile float result;

	feclearexcept(FE_ALL_EXCEPT);
	result = (float)a;
	if (fetestexcept(FE_INEXACT))
		flags |= MXCSR_PRECISION;
	return (uint32_t)from_float(result);
}

uint64_t soft_portable_from_int_64(int64_t a)
{
	volatile double result;

	feclearexcept(FE_ALL_EXCEPT);
	result = (double)a;
	if (fetestexcept(FE_INEXACT))
		flags |= MXCSR_PRECISION;
	return from_double(result);
}

static int64_t to_int(const struct format *f, uint64_t a, unsigned size, int truncate)
{
	const int64_t indefinite = size == 8 ? INT64_MIN : INT32_MIN;
	const double limit = size == 8 ? 0x1p63 : 0x1p31;
	uint32_t denormal = 0;
	double value, rounded;

	if (is_nan(f, a)) {
		flags |= MXCSR_INVALID;
		return indefinite;
	}
	/* A denormal is inexact, not a denormal exception; with DAZ it is an exact zero. */
	value = to_double(f, take(f, a, &denormal));
	rounded = truncate ? trunc(value) : nearbyint(value);
	if (rounded >= limit || rounded < -limit) {
		flags |= MXCSR_INVALID;
		return indefinite;
	}
	if (rounded != value)
		flags |= MXCSR_PRECISION;
	return (int64_t)rounded;
}

int64_t soft_portable_32_to_int(uint32_t a, unsigned size, int truncate)
{
	return to_int(&single, a, size, truncate);
}
int64_t soft_portable_64_to_int(uint64_t a, unsigned size, int truncate)
{
	return to_int(&twice, a, size, truncate);
}

/* ---- estimates: relative error below 1.5 * 2^-12 is all that is promised ---- */

/** Cut to 12 bits after the leading one; a tiny result is 0. */
static uint32_t cut(double value)
{
	const uint32_t bits = (uint32_t)from_float((float)value) & ~0x7ffu;

	return is_subnormal(&single, bits) ? bits & single.sign : bits;
}

uint32_t soft_float_reciprocal(uint32_t a)
{
	const uint32_t sign = a & 0x80000000u, magnitude = a & 0x7fffffff;

	if (is_nan(&single, a))
		return a | (uint32_t)single.quiet;
	if (magnitude < 0x00800000)
		return sign | (uint32_t)single.exponent;
	if (magnitude == single.exponent)
		return sign;
	return sign | cut(1.0 / to_double(&single, magnitude));
}

uint32_t soft_float_reciprocal_root(uint32_t a)
{
	const uint32_t sign = a & 0x80000000u, magnitude = a & 0x7fffffff;

	if (is_nan(&single, a))
		return a | (uint32_t)single.quiet;
	if (magnitude < 0x00800000)
		return sign | (uint32_t)single.exponent;
	if (sign)
		return (uint32_t)default_nan(&single);
	if (magnitude == single.exponent)
		return 0;
	return cut(1.0 / sqrt(to_double(&single, magnitude)));
}
