/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The only file of the soft machine with host instructions in it. Each operation is one SSE instruction, volatile so
 * that the compiler keeps it between soft_float_begin and soft_float_end.
 */
#include "float.h"

#if defined(__x86_64__)

#include <string.h>

static _Thread_local uint32_t host_mxcsr;

static void load_mxcsr(uint32_t value)
{
	__asm__ volatile("ldmxcsr %0" : : "m"(value) : "memory");
}

static uint32_t store_mxcsr(void)
{
	uint32_t value;

	__asm__ volatile("stmxcsr %0" : "=m"(value) : : "memory");
	return value;
}

void soft_float_begin(uint32_t mxcsr)
{
	const uint32_t all_masked = MXCSR_FLAGS << MXCSR_MASK_SHIFT;

	host_mxcsr = store_mxcsr();
	/* Flush-to-zero counts only while underflow is masked. */
	if (!(mxcsr & MXCSR_UNDERFLOW << MXCSR_MASK_SHIFT))
		mxcsr &= ~MXCSR_FTZ;
	load_mxcsr((mxcsr & (MXCSR_ROUNDING | MXCSR_DAZ | MXCSR_FTZ)) | all_masked);
}

uint32_t soft_float_end(void)
{
	const uint32_t flags = store_mxcsr() & MXCSR_FLAGS;

	load_mxcsr(host_mxcsr);
	return flags;
}

#define OPERATE(instruction) __asm__ volatile(instruction " %1, %0" : "+x"(x) : "x"(y))

uint32_t soft_float_32(enum soft_float_op op, uint32_t a, uint32_t b)
{
	float x, y;

	memcpy(&x, &a, 4);
	memcpy(&y, &b, 4);
	switch (op) {
	case FLOAT_ADD:
		OPERATE("addss");
		break;
	case FLOAT_SUB:
		OPERATE("subss");
		break;
	case FLOAT_MUL:
		OPERATE("mulss");
		break;
	case FLOAT_DIV:
		OPERATE("divss");
		break;
	case FLOAT_MIN:
		OPERATE("minss");
		break;
	case FLOAT_MAX:
		OPERATE("maxss");
		break;
	default:
		OPERATE("sqrtss");
	}
	memcpy(&a, &x, 4);
	return a;
}

uint64_t soft_float_64(enum soft_float_op op, uint64_t a, uint64_t b)
{
	double x, y;

	memcpy(&x, &a, 8);
	memcpy(&y, &b, 8);
	switch (op) {
	case FLOAT_ADD:
		OPERATE("addsd");
		break;
	case FLOAT_SUB:
		OPERATE("subsd");
		break;
	case FLOAT_MUL:
		OPERATE("mulsd");
		break;
	case FLOAT_DIV:
		OPERATE("divsd");
		break;
	case FLOAT_MIN:
		OPERATE("minsd");
		break;
	case FLOAT_MAX:
		OPERATE("maxsd");
		break;
	default:
		OPERATE("sqrtsd");
	}
	memcpy(&a, &x, 8);
	return a;
}

/** ZF, PF and CF after (U)COMIS: unordered 111, less 001, equal 100, greater 000. */
static enum soft_float_order order_of(uint8_t below, uint8_t equal, uint8_t parity)
{
	return parity ? FLOAT_UNORDERED : equal ? FLOAT_EQUAL : below ? FLOAT_LESS : FLOAT_GREATER;
}

#define COMPARE(instruction)                                                                                           \
	__asm__ volatile(instruction " %4, %3\n\tsetb %0\n\tsete %1\n\tsetp %2"                                        \
	                 : "=&q"(below), "=&q"(equal), "=&q"(parity)                                                   \
	                 : "x"(x), "x"(y)                                                                              \
	                 : "cc")

enum soft_float_order soft_float_compare_32(uint32_t a, uint32_t b, int signalling)
{
	uint8_t below, equal, parity;
	float x, y;

	memcpy(&x, &a, 4);
	memcpy(&y, &b, 4);
	if (signalling)
		COMPARE("comiss");
	else
		COMPARE("ucomiss");
	return order_of(below, equal, parity);
}

enum soft_float_order soft_float_compare_64(uint64_t a, uint64_t b, int signalling)
{
	uint8_t below, equal, parity;
	double x, y;

	memcpy(&x, &a, 8);
	memcpy(&y, &b, 8);
	if (signalling)
		COMPARE("comisd");
	else
		COMPARE("ucomisd");
	return order_of(below, equal, parity);
}

uint64_t soft_float_32_to_64(uint32_t a)
{
	uint64_t result;
	double x;
	float y;

	memcpy(&y, &a, 4);
	__asm__ volatile("cvtss2sd %1, %0" : "=x"(x) : "x"(y));
	memcpy(&result, &x, 8);
	return result;
}

uint32_t soft_float_64_to_32(uint64_t a)
{
	uint32_t result;
	float x;
	double y;

	memcpy(&y, &a, 8);
	__asm__ volatile("cvtsd2ss %1, %0" : "=x"(x) : "x"(y));
	memcpy(&result, &x, 4);
	return result;
}

uint32_t soft_float_from_int_32(int64_t a)
{
	uint32_t result;
	float x = 0;

	__asm__ volatile("cvtsi2ssq %1, %0" : "+x"(x) : "r"(a));
	memcpy(&result, &x, 4);
	return result;
}

uint64_t soft_float_from_int_64(int64_t a)
{
	uint64_t result;
	double x = 0;

	__asm__ volatile("cvtsi2sdq %1, %0" : "+x"(x) : "r"(a));
	memcpy(&result, &x, 8);
	return result;
}

#define CONVERT(instruction, result) __asm__ volatile(instruction " %1, %0" : "=r"(result) : "x"(x))

int64_t soft_float_32_to_int(uint32_t a, unsigned size, int truncate)
{
	int32_t narrow;
	int64_t wide;
	float x;

	memcpy(&x, &a, 4);
	if (size == 8) {
		if (truncate)
			CONVERT("cvttss2siq", wide);
		else
			CONVERT("cvtss2siq", wide);
		return wide;
	}
	if (truncate)
		CONVERT("cvttss2sil", narrow);
	else
		CONVERT("cvtss2sil", narrow);
	return narrow;
}

int64_t soft_float_64_to_int(uint64_t a, unsigned size, int truncate)
{
	int32_t narrow;
	int64_t wide;
	double x;

	memcpy(&x, &a, 8);
	if (size == 8) {
		if (truncate)
			CONVERT("cvttsd2siq", wide);
		else
			CONVERT("cvtsd2siq", wide);
		return wide;
	}
	if (truncate)
		CONVERT("cvttsd2sil", narrow);
	else
		CONVERT("cvtsd2sil", narrow);
	return narrow;
}

#else /* any other host: the portable implementation */

void soft_float_begin(uint32_t mxcsr)
{
	soft_portable_begin(mxcsr);
}
uint32_t soft_float_end(void)
{
	return soft_portable_end();
}
uint32_t soft_float_32(enum soft_float_op op, uint32_t a, uint32_t b)
{
	return soft_portable_32(op, a, b);
}
uint64_t soft_float_64(enum soft_float_op op, uint64_t a, uint64_t b)
{
	return soft_portable_64(op, a, b);
}
enum soft_float_order soft_float_compare_32(uint32_t a, uint32_t b, int signalling)
{
	return soft_portable_compare_32(a, b, signalling);
}
enum soft_float_order soft_float_compare_64(uint64_t a, uint64_t b, int signalling)
{
	return soft_portable_compare_64(a, b, signalling);
}
uint64_t soft_float_32_to_64(uint32_t a)
{
	return soft_portable_32_to_64(a);
}
uint32_t soft_float_64_to_32(uint64_t a)
{
	return soft_portable_64_to_32(a);
}
uint32_t soft_float_from_int_32(int64_t a)
{
	return soft_portable_from_int_32(a);
}
uint64_t soft_float_from_int_64(int64_t a)
{
	return soft_portable_from_int_64(a);
}
int64_t soft_float_32_to_int(uint32_t a, unsigned size, int truncate)
{
	return soft_portable_32_to_int(a, size, truncate);
}
int64_t soft_float_64_to_int(uint64_t a, unsigned size, int truncate)
{
	return soft_portable_64_to_int(a, size, truncate);
}

#endif
