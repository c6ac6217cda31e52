/* SPDX-License-Identifier: Apache-2.0 */
/* linpack: one operation decomposes the same random matrix, solves for a known right-hand side and checks the residual.
 */
#include "workloads/macro/lu.h"
#include "workloads/macro/macro.h"

#define ORDER 96
#define RESIDUAL_MAX 16

static double matrix[ORDER * ORDER], work[ORDER * ORDER], right[ORDER], solution[ORDER];
static int pivot[ORDER];

/* Entries in [-0.5, 0.5); the right-hand side is the sum of each row, so that the solution is all ones. */
static void prepare(void)
{
	uint64_t state = 1;

	for (int i = 0; i < ORDER; i++) {
		right[i] = 0;
		for (int j = 0; j < ORDER; j++) {
			matrix[i * ORDER + j] =
			        (double)(int64_t)(macro_random(&state) >> 11) / 9007199254740992.0 - 0.5;
			right[i] += matrix[i * ORDER + j];
		}
	}
}

static uint64_t solve(void)
{
	uint64_t hash = MACRO_HASH_START;

	for (int i = 0; i < ORDER * ORDER; i++)
		work[i] = matrix[i];
	for (int i = 0; i < ORDER; i++)
		solution[i] = right[i];
	if (!lu_decompose(work, pivot, ORDER))
		sys_fail("linpack: the matrix came out singular.");
	lu_solve(work, pivot, solution, ORDER);
	if (!(lu_residual(matrix, solution, right, ORDER) < RESIDUAL_MAX))
		sys_fail("linpack: the residual is too large: the arithmetic under this workload is wrong.");
	for (int i = 0; i < ORDER; i++)
		hash = macro_hash(hash, macro_bits(solution[i]));
	return hash;
}

static uint64_t run(uint64_t ops)
{
	uint64_t hash = 0;

	for (; ops; ops--)
		hash = solve();
	return hash;
}

const struct macro macro_linpack = {.name = "linpack", .prepare = prepare, .run = run};
