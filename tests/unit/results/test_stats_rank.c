/* SPDX-License-Identifier: Apache-2.0 */
/* The rank test against published values and against counting all orders. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "results/stats.h"

START_TEST(known_values)
{
	static const double low[] = {1, 2, 3}, high[] = {4, 5, 6};
	/* The example of SciPy's documentation of mannwhitneyu: U = 17, exact two-sided p = 1/9. */
	static const double males[] = {19, 22, 16, 29, 24}, females[] = {20, 11, 17, 12};

	ck_assert_double_eq_tol(stats_rank_test(low, 3, high, 3), 0.1, 1e-12);
	ck_assert_double_eq_tol(stats_rank_test(high, 3, low, 3), 0.1, 1e-12);
	ck_assert_double_eq_tol(stats_rank_test(males, 5, females, 4), 1.0 / 9, 1e-12);
	ck_assert_double_eq_tol(stats_rank_test(low, 1, high, 1), 1, 1e-12);
}
END_TEST

/* Ties and large samples: values from the formula, computed apart from this code. */
START_TEST(the_normal_approximation)
{
	static const double a[] = {1, 1, 2, 3, 5}, b[] = {2, 3, 3, 4, 8, 8};
	double tens[9], elevens[9], long_a[25], long_b[25];

	for (int i = 0; i < 9; i++) {
		tens[i] = 10;
		elevens[i] = 11;
	}
	for (int i = 0; i < 25; i++) {
		long_a[i] = i;
		long_b[i] = i + 10;
	}
	ck_assert_double_eq_tol(stats_rank_test(a, 5, b, 6), 0.13770287768403505, 1e-9);
	ck_assert_double_eq_tol(stats_rank_test(tens, 9, elevens, 9), 4.657054587626073e-05, 1e-9);
	ck_assert_double_eq_tol(stats_rank_test(long_a, 25, long_b, 25), 0.0001078293307480265, 1e-9);
	ck_assert_double_eq_tol(stats_rank_test(tens, 9, tens, 9), 1, 1e-12);
}
END_TEST

START_TEST(nothing_says_nothing)
{
	static const double a[] = {1, 2, 3};

	ck_assert_double_eq_tol(stats_rank_test(a, 3, a, 0), 1, 1e-12);
	ck_assert_double_eq_tol(stats_rank_test(a, 0, a, 3), 1, 1e-12);
}
END_TEST

/* All ways to take 4 of 9 places for `a`, counted: p is the share of those at least as far from the middle. */
START_TEST(exact_p_is_the_share_of_orders)
{
	enum { A = 4, N = 9 };
	double p_of[1 << N];
	int u_of[1 << N], orders = 0;

	for (int mask = 0; mask < 1 << N; mask++) {
		double a[A], b[N - A];
		int a_n = 0, b_n = 0;

		u_of[mask] = -1;
		if (__builtin_popcount((unsigned)mask) != A)
			continue;
		u_of[mask] = 0;
		for (int place = 0; place < N; place++) {
			if (mask & 1 << place) {
				a[a_n++] = place;
				u_of[mask] += b_n;
			} else {
				b[b_n++] = place;
			}
		}
		p_of[mask] = stats_rank_test(a, A, b, N - A);
		orders++;
	}
	ck_assert_int_eq(orders, 126);
	for (int mask = 0; mask < 1 << N; mask++) {
		int least, below = 0;

		if (u_of[mask] < 0)
			continue;
		least = u_of[mask] < A * (N - A) - u_of[mask] ? u_of[mask] : A * (N - A) - u_of[mask];
		for (int other = 0; other < 1 << N; other++)
			below += u_of[other] >= 0 && u_of[other] <= least;
		ck_assert_double_eq_tol(p_of[mask], 2.0 * below / orders < 1 ? 2.0 * below / orders : 1, 1e-12);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats_rank");
	TCase *tcase = tcase_create("stats_rank");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, known_values);
	tcase_add_test(tcase, the_normal_approximation);
	tcase_add_test(tcase, nothing_says_nothing);
	tcase_add_test(tcase, exact_p_is_the_share_of_orders);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
