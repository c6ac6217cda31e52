/* SPDX-License-Identifier: Apache-2.0 */
/* stream: McCalpin's four kernels over arrays of doubles; the results are checked against the same steps on one number.
 */
#include "workloads/macro/macro.h"

#define LENGTH 32768
#define SCALAR 3.0

static double a[LENGTH], b[LENGTH], c[LENGTH];

/* Every pass begins from the same values. */
static uint64_t pass(void)
{
	double a1 = 1.5, b1, c1;
	uint64_t hash = MACRO_HASH_START;

	for (int i = 0; i < LENGTH; i++)
		a[i] = 1.5;
	for (int i = 0; i < LENGTH; i++)
		c[i] = a[i];
	for (int i = 0; i < LENGTH; i++)
		b[i] = SCALAR * c[i];
	for (int i = 0; i < LENGTH; i++)
		c[i] = a[i] + b[i];
	for (int i = 0; i < LENGTH; i++)
		a[i] = b[i] + SCALAR * c[i];
	c1 = a1;
	b1 = SCALAR * c1;
	c1 = a1 + b1;
	a1 = b1 + SCALAR * c1;
	for (int i = 0; i < LENGTH; i++)
		if (a[i] != a1 || b[i] != b1 || c[i] != c1)
			sys_fail("stream: an element differs from what its four steps give.");
	for (int i = 0; i < LENGTH; i += LENGTH / 16)
		hash = macro_hash(hash, macro_bits(a[i] + b[i] + c[i]));
	return hash;
}

static uint64_t run(uint64_t ops)
{
	uint64_t hash = 0;

	for (; ops; ops--)
		hash = pass();
	return hash;
}

const struct macro macro_stream = {.name = "stream", .run = run};
