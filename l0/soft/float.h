/* SPDX-License-Identifier: Apache-2.0 */
/**
 * SSE floating point on single elements, as bit patterns. float_x86.c computes with the host's own SSE unit,
 * float_portable.c in C on any host; a test holds one against the other.
 *
 * Between soft_float_begin and soft_float_end the guest's rounding mode, denormals-are-zeros and flush-to-zero are in
 * force on the host, with every exception masked; _end gives back the exception flags raised (MXCSR bits 5:0).
 */
#ifndef TESTUDO_L0_SOFT_FLOAT_H
#define TESTUDO_L0_SOFT_FLOAT_H

#include <stdint.h>

/* MXCSR, SDM vol. 1, 10.2.3. */
#define MXCSR_INVALID 0x01u
#define MXCSR_DENORMAL 0x02u
#define MXCSR_DIVIDE 0x04u
#define MXCSR_OVERFLOW 0x08u
#define MXCSR_UNDERFLOW 0x10u
#define MXCSR_PRECISION 0x20u
#define MXCSR_FLAGS 0x3fu
#define MXCSR_DAZ 0x40u
#define MXCSR_MASK_SHIFT 7
#define MXCSR_ROUNDING 0x6000u
#define MXCSR_FTZ 0x8000u
#define MXCSR_DEFAULT 0x1f80u
/** Bits that may be 1; FXSAVE stores it as MXCSR_MASK. */
#define MXCSR_ALLOWED 0xffffu

enum soft_float_op { FLOAT_ADD, FLOAT_SUB, FLOAT_MUL, FLOAT_DIV, FLOAT_MIN, FLOAT_MAX, FLOAT_SQRT };

/** How two values relate. */
enum soft_float_order { FLOAT_LESS, FLOAT_EQUAL, FLOAT_GREATER, FLOAT_UNORDERED };

void soft_float_begin(uint32_t mxcsr);
uint32_t soft_float_end(void);

/** SQRT uses b. */
uint32_t soft_float_32(enum soft_float_op op, uint32_t a, uint32_t b);
uint64_t soft_float_64(enum soft_float_op op, uint64_t a, uint64_t b);
/** `signalling`: a quiet NaN is invalid too. */
enum soft_float_order soft_float_compare_32(uint32_t a, uint32_t b, int signalling);
enum soft_float_order soft_float_compare_64(uint64_t a, uint64_t b, int signalling);

uint64_t soft_float_32_to_64(uint32_t a);
uint32_t soft_float_64_to_32(uint64_t a);
uint32_t soft_float_from_int_32(int64_t a);
uint64_t soft_float_from_int_64(int64_t a);
/** To an integer of 4 or 8 bytes; out of range and NaN give the integer indefinite, 1 followed by zeros. */
int64_t soft_float_32_to_int(uint32_t a, unsigned size, int truncate);
int64_t soft_float_64_to_int(uint64_t a, unsigned size, int truncate);

/** RCPSS and RSQRTSS: the value cut to 12 bits after the leading one, the same on every host; they raise nothing. */
uint32_t soft_float_reciprocal(uint32_t a);
uint32_t soft_float_reciprocal_root(uint32_t a);

/* The portable implementation, under names of its own so that a test on an x86 host can reach both. */
void soft_portable_begin(uint32_t mxcsr);
uint32_t soft_portable_end(void);
uint32_t soft_portable_32(enum soft_float_op op, uint32_t a, uint32_t b);
uint64_t soft_portable_64(enum soft_float_op op, uint64_t a, uint64_t b);
enum soft_float_order soft_portable_compare_32(uint32_t a, uint32_t b, int signalling);
enum soft_float_order soft_portable_compare_64(uint64_t a, uint64_t b, int signalling);
uint64_t soft_portable_32_to_64(uint32_t a);
uint32_t soft_portable_64_to_32(uint64_t a);
uint32_t soft_portable_from_int_32(int64_t a);
uint64_t soft_portable_from_int_64(int64_t a);
int64_t soft_portable_32_to_int(uint32_t a, unsigned size, int truncate);
int64_t soft_portable_64_to_int(uint64_t a, unsigned size, int truncate);

#endif
