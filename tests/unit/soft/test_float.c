/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSE arithmetic in portable C against the host's SSE unit (x86-64 hosts): results and flags of every operation in
 * every rounding mode, with and without DAZ and FTZ. On other hosts the two are the same code and nothing is shown, so
 * the test is skipped there; values from the SDM are checked on all.
 */
#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "l0/soft/float.h"

#define CASES 200000u

static uint64_t rng = 0x9e3779b97f4a7c15ull;

static uint64_t next_random(void)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return rng * 0x2545f4914f6cdd1dull;
}

/** Corners of the format, or near 1 so that results round, or anything. */
static uint32_t single(void)
{
	static const uint32_t corners[] = {0, 1, 2, 0x007fffff, 0x00800000, 0x00800001, 0x3f7fffff, 0x3f800000,
	        0x3f800001, 0x4effffff, 0x4f000000, 0x5effffff, 0x5f000000, 0x7f7fffff, 0x7f800000, 0x7f800001,
	        0x7fc00000, 0x1f800000, 0x20000000, 0x1fffffff};
	const uint64_t kind = next_random() >> 32;
	const uint32_t sign = (uint32_t)(kind & 1) << 31;

	switch (kind >> 1 & 3) {
	case 0:
		return sign | corners[(kind >> 8) % (sizeof(corners) / sizeof(corners[0]))];
	case 1:
		return sign | (0x3e000000 + (uint32_t)((kind >> 8) % 0x03000000));
	default:
		return (uint32_t)next_random();
	}
}

static uint64_t twice(void)
{
	static const uint64_t corners[] = {0, 1, 0x000fffffffffffff, 0x0010000000000000, 0x0010000000000001,
	        0x3fefffffffffffff, 0x3ff0000000000000, 0x3ff0000000000001, 0x41dfffffffc00000, 0x41e0000000000000,
	        0x43dfffffffffffff, 0x43e0000000000000, 0x380fffffffffffff, 0x3810000000000000, 0x380ffffff0000000,
	        0x380fffffe0000001, 0x47efffffe0000000, 0x47effffff0000000, 0x36a0000000000000, 0x3690000000000001,
	        0x1ff0000000000000, 0x1fffffffffffffff, 0x7fefffffffffffff, 0x7ff0000000000000, 0x7ff0000000000001,
	        0x7ff8000000000000};
	const uint64_t kind = next_random() >> 32;
	const uint64_t sign = (kind & 1) << 63;

	switch (kind >> 1 & 3) {
	case 0:
		return sign | corners[(kind >> 8) % (sizeof(corners) / sizeof(corners[0]))];
	case 1:
		return sign | (0x3fe0000000000000 + next_random() % 0x0060000000000000);
	default:
		return next_random();
	}
}

static uint32_t control(void)
{
	return MXCSR_DEFAULT | ((uint32_t)next_random() & (MXCSR_ROUNDING | MXCSR_DAZ | MXCSR_FTZ));
}

static void same(const char *what, uint32_t mxcsr, uint64_t a, uint64_t b, uint64_t host, uint32_t host_flags,
        uint64_t portable, uint32_t portable_flags)
{
	ck_assert_msg(host == portable && host_flags == portable_flags,
	        "%s of %#llx and %#llx, MXCSR %#x: host %#llx flags %#x, portable %#llx flags %#x", what,
	        (unsigned long long)a, (unsigned long long)b, mxcsr, (unsigned long long)host, host_flags,
	        (unsigned long long)portable, portable_flags);
}

/** Compute the expression on both sides; X is soft_float or soft_portable. */
#define BOTH(what, a, b, expression_host, expression_portable)                                                         \
	do {                                                                                                           \
		uint64_t host_result, portable_result;                                                                 \
		uint32_t host_flags, portable_flags;                                                                   \
                                                                                                                       \
		soft_float_begin(mxcsr);                                                                               \
		host_result = (uint64_t)(expression_host);                                                             \
		host_flags = soft_float_end();                                                                         \
		soft_portable_begin(mxcsr);                                                                            \
		portable_result = (uint64_t)(expression_portable);                                                     \
		portable_flags = soft_portable_end();                                                                  \
		same(what, mxcsr, a, b, host_result, host_flags, portable_result, portable_flags);                     \
	} while (0)

START_TEST(arithmetic_is_the_hosts)
{
	static const char *const names[] = {"ADD", "SUB", "MUL", "DIV", "MIN", "MAX", "SQRT"};

	for (unsigned i = 0; i < CASES; i++) {
		const enum soft_float_op op = (enum soft_float_op)(i % 7);
		const uint32_t mxcsr = control(), a = single(), b = single();
		const uint64_t c = twice(), d = twice();

		BOTH(names[op], a, b, soft_float_32(op, a, b), soft_portable_32(op, a, b));
		BOTH(names[op], c, d, soft_float_64(op, c, d), soft_portable_64(op, c, d));
	}
}
END_TEST

START_TEST(comparison_is_the_hosts)
{
	for (unsigned i = 0; i < CASES; i++) {
		const int signalling = i & 1;
		const uint32_t mxcsr = control(), a = single(), b = i % 8 ? single() : a;
		const uint64_t c = twice(), d = i % 8 ? twice() : c;

		BOTH("COMISS", a, b, soft_float_compare_32(a, b, signalling),
		        soft_portable_compare_32(a, b, signalling));
		BOTH("COMISD", c, d, soft_float_compare_64(c, d, signalling),
		        soft_portable_compare_64(c, d, signalling));
	}
}
END_TEST

START_TEST(conversion_is_the_hosts)
{
	for (unsigned i = 0; i < CASES; i++) {
		const unsigned size = i & 1 ? 8 : 4;
		const int truncate = i >> 1 & 1;
		const uint32_t mxcsr = control(), a = single();
		const uint64_t c = twice();
		const int64_t n = (int64_t)next_random() >> (next_random() >> 58);

		BOTH("CVTSS2SD", a, 0, soft_float_32_to_64(a), soft_portable_32_to_64(a));
		BOTH("CVTSD2SS", c, 0, soft_float_64_to_32(c), soft_portable_64_to_32(c));
		BOTH("CVTSI2SS", (uint64_t)n, 0, soft_float_from_int_32(n), soft_portable_from_int_32(n));
		BOTH("CVTSI2SD", (uint64_t)n, 0, soft_float_from_int_64(n), soft_portable_from_int_64(n));
		BOTH("CVTSS2SI", a, size, soft_float_32_to_int(a, size, truncate),
		        soft_portable_32_to_int(a, size, truncate));
		BOTH("CVTSD2SI", c, size, soft_float_64_to_int(c, size, truncate),
		        soft_portable_64_to_int(c, size, truncate));
	}
}
END_TEST

/* SDM vol. 1, 4.8.3.5 and table 4-7; vol. 2, CVTSD2SI: values that must hold on every host. */
START_TEST(nan_rules)
{
	uint32_t flags;

	soft_portable_begin(MXCSR_DEFAULT);
	/* The first operand's NaN, made quiet; infinity minus infinity is the default NaN, which is negative. */
	ck_assert_uint_eq(soft_portable_32(FLOAT_ADD, 0x7f800001, 0x7fc12345), 0x7fc00001);
	ck_assert_uint_eq(soft_portable_32(FLOAT_ADD, 0x3f800000, 0xffc12345), 0xffc12345);
	ck_assert_uint_eq(soft_portable_64(FLOAT_SUB, 0x7ff0000000000000, 0x7ff0000000000000), 0xfff8000000000000);
	ck_assert_int_eq(soft_portable_64_to_int(0x41e0000000000000, 4, 1), INT32_MIN);
	/* MIN gives the second operand when one is a NaN. */
	ck_assert_uint_eq(soft_portable_32(FLOAT_MIN, 0x7fc00000, 0x3f800000), 0x3f800000);
	flags = soft_portable_end();
	ck_assert_uint_eq(flags, MXCSR_INVALID);
}
END_TEST

START_TEST(estimates_are_close)
{
	for (unsigned i = 0; i < CASES; i++) {
		const uint32_t bits = 0x00800000 + (uint32_t)(next_random() % 0x7e000000);
		float x, r, q;
		uint32_t reciprocal = soft_float_reciprocal(bits), root = soft_float_reciprocal_root(bits);

		__builtin_memcpy(&x, &bits, 4);
		__builtin_memcpy(&r, &reciprocal, 4);
		__builtin_memcpy(&q, &root, 4);
		/* A result that would be denormal is 0. */
		if (reciprocal)
			ck_assert_double_le(fabs((double)r * x - 1.0), 1.5 / 4096);
		ck_assert_double_le(fabs((double)q * q * x - 1.0), 3.0 / 4096);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("soft: float");
	TCase *cases = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_set_timeout(cases, 120);
#if defined(__x86_64__)
	tcase_add_test(cases, arithmetic_is_the_hosts);
	tcase_add_test(cases, comparison_is_the_hosts);
	tcase_add_test(cases, conversion_is_the_hosts);
#endif
	tcase_add_test(cases, nan_rules);
	tcase_add_test(cases, estimates_are_close);
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
