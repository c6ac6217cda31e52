/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of linpack: known systems, pivoting, and a residual that notices what is wrong. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "workloads/macro/lu.h"

#define N 24

static double a[N * N], lu[N * N], b[N], x[N];
static int pivot[N];

static void make_system(void)
{
	unsigned state = 7;

	for (int i = 0; i < N; i++) {
		b[i] = 0;
		for (int j = 0; j < N; j++) {
			state = state * 1103515245u + 12345u;
			a[i * N + j] = (double)(state >> 8 & 0xffff) / 65536 - 0.5;
			b[i] += a[i * N + j] * (j + 1);
		}
	}
	memcpy(lu, a, sizeof(a));
	memcpy(x, b, sizeof(b));
}

START_TEST(a_small_system_by_hand)
{
	/* The first pivot is 0: without an exchange of rows there is no solution. 2y = 4, 3x + y = 11. */
	double small[] = {0, 2, 3, 1}, right[] = {4, 11};
	int rows[2];

	ck_assert(lu_decompose(small, rows, 2));
	ck_assert_int_eq(rows[0], 1);
	lu_solve(small, rows, right, 2);
	ck_assert_double_eq(right[0], 3);
	ck_assert_double_eq(right[1], 2);
}
END_TEST

START_TEST(a_random_system_is_solved)
{
	make_system();
	ck_assert(lu_decompose(lu, pivot, N));
	lu_solve(lu, pivot, x, N);
	for (int i = 0; i < N; i++)
		ck_assert_double_eq_tol(x[i], i + 1, 1e-9);
	ck_assert_double_lt(lu_residual(a, x, b, N), 16);
}
END_TEST

START_TEST(a_singular_matrix_is_found)
{
	double small[] = {1, 2, 2, 4};
	int rows[2];

	ck_assert(!lu_decompose(small, rows, 2));
}
END_TEST

/* What the workload relies on: one wrong element anywhere makes the residual large. */
START_TEST(corruption_shows_in_the_residual)
{
	make_system();
	ck_assert(lu_decompose(lu, pivot, N));
	lu[(_i + 1) % N * N + _i] += 1e-6;
	lu_solve(lu, pivot, x, N);
	ck_assert_double_gt(lu_residual(a, x, b, N), 16);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("workloads lu");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, a_small_system_by_hand);
	tcase_add_test(tcase, a_random_system_is_solved);
	tcase_add_test(tcase, a_singular_matrix_is_found);
	tcase_add_loop_test(tcase, corruption_shows_in_the_residual, 0, N);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
