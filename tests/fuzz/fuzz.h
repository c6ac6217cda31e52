/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Fuzz targets. Each is one file with one function; a shared driver calls it, in one of two ways:
 *
 *   seeded.c     random inputs from a fixed seed: `meson test` runs a few seconds of each under ASan and UBSan
 *   libFuzzer    inputs bred by coverage: tests/fuzz/libfuzzer TARGET [arguments of libFuzzer]
 *
 * To add a target: write fuzz_<name>.c and add its name and dependencies to the table in meson.build.
 */
#ifndef TESTUDO_TESTS_FUZZ_FUZZ_H
#define TESTUDO_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Run one input. Always returns 0; a failure aborts. The same input gives the same run, whatever ran before. */
int fuzz_one(const uint8_t *data, size_t size);

/** The target's statistics of all runs so far as one line, or NULL: what the inputs reached. */
const char *fuzz_summary(void);

/** An input that is consumed from the front. When it is used up, all that follows is 0. */
struct fuzz_input {
	const uint8_t *data;
	size_t left;
};

static inline uint8_t fuzz_u8(struct fuzz_input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->data++;
}

static inline uint16_t fuzz_u16(struct fuzz_input *input)
{
	const uint16_t low = fuzz_u8(input);

	return (uint16_t)(low | fuzz_u8(input) << 8);
}

static inline uint64_t fuzz_u64(struct fuzz_input *input)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 64; i += 8)
		value |= (uint64_t)fuzz_u8(input) << i;
	return value;
}

/** Abort with the text of a condition that does not hold. */
void fuzz_fail(const char *file, int line, const char *condition) __attribute__((noreturn));
#define FUZZ_REQUIRE(condition)                                                                                        \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			fuzz_fail(__FILE__, __LINE__, #condition);                                                     \
	} while (0)

#endif
