/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics against others': SciPy's values, stored in tests/data/stats_reference.txt beside the script that made
 * them, and printed tables of critical values. Usage: test_results_stats_reference FILE
 */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/stats.h"

#define VALUES_MAX 400

static const char *path;
static char line[65536];

struct numbers {
	double values[VALUES_MAX];
	size_t n;
};
static struct numbers first, second;

static double next_number(char **at)
{
	char *end;
	double value = strtod(*at, &end);

	ck_assert_ptr_ne(end, *at);
	*at = end;
	return value;
}

static void next_numbers(char **at, struct numbers *numbers)
{
	numbers->n = (size_t)next_number(at);
	ck_assert_uint_le(numbers->n, VALUES_MAX);
	for (size_t i = 0; i < numbers->n; i++)
		numbers->values[i] = next_number(at);
}

/* SciPy's p and Cliff's delta from its U. */
static void check_rank(char *at)
{
	double p = next_number(&at), delta = next_number(&at);

	next_numbers(&at, &first);
	next_numbers(&at, &second);
	ck_assert_double_eq_tol(stats_rank_test(first.values, first.n, second.values, second.n), p, 1e-9);
	ck_assert_double_eq_tol(stats_cliff_delta(first.values, first.n, second.values, second.n), delta, 1e-12);
}

static void check_tau(char *at)
{
	double tau = next_number(&at);

	next_numbers(&at, &first);
	ck_assert_double_eq_tol(stats_trend(first.values, first.n, NULL), tau, 1e-12);
}

/* Ours is the normal approximation with continuity, SciPy's is exact. */
static void check_trend(char *at)
{
	double exact = next_number(&at), p;

	next_numbers(&at, &first);
	stats_trend(first.values, first.n, &p);
	ck_assert_double_eq_tol(p, exact, 0.003 + exact / 10);
}

static void check_autocorrelation(char *at)
{
	double r = next_number(&at);

	next_numbers(&at, &first);
	ck_assert_double_eq_tol(stats_autocorrelation(first.values, first.n), r, 1e-12);
}

static void check_quantiles(char *at)
{
	double q1 = next_number(&at), middle = next_number(&at), q3 = next_number(&at), mad = next_number(&at);
	struct stats stats;

	next_numbers(&at, &first);
	ck_assert_int_eq(stats_describe(&stats, first.values, first.n), 0);
	ck_assert_double_eq_tol(stats.q1, q1, 1e-9);
	ck_assert_double_eq_tol(stats.median, middle, 1e-9);
	ck_assert_double_eq_tol(stats.q3, q3, 1e-9);
	ck_assert_double_eq_tol(stats.mad, mad, 1e-9);
}

/* The exact ends of the percentile interval are ranks; 2,000 draws may miss them by one where n is large. */
static void check_interval(char *at)
{
	double low = next_number(&at), high = next_number(&at), miss;
	struct stats stats;

	next_numbers(&at, &first);
	miss = first.n > 20 ? 1.01 : 0.01;
	ck_assert_int_eq(stats_describe(&stats, first.values, first.n), 0);
	ck_assert_double_eq_tol(stats.ci_low, low, miss);
	ck_assert_double_eq_tol(stats.ci_high, high, miss);
}

static void check_holm(char *at)
{
	next_numbers(&at, &first);
	next_numbers(&at, &second);
	ck_assert_int_eq(stats_holm(first.values, first.n), 0);
	for (size_t i = 0; i < first.n; i++)
		ck_assert_double_eq_tol(first.values[i], second.values[i], 1e-12);
}

START_TEST(as_scipy_says)
{
	static const struct {
		const char *kind;
		void (*check)(char *at);
		int lines;
	} kinds[] = {{"rank", check_rank, 12}, {"tau", check_tau, 6}, {"trend", check_trend, 3},
	        {"autocorrelation", check_autocorrelation, 4}, {"quantiles", check_quantiles, 5},
	        {"interval", check_interval, 7}, {"holm", check_holm, 3}};
	int found[sizeof(kinds) / sizeof(kinds[0])] = {0};
	FILE *file = fopen(path, "r");

	ck_assert_msg(file != NULL, "%s cannot be opened", path);
	while (fgets(line, sizeof(line), file)) {
		size_t word = strcspn(line, " ");
		bool known = line[0] == '#';

		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			if (strlen(kinds[i].kind) != word || memcmp(kinds[i].kind, line, word) != 0)
				continue;
			kinds[i].check(line + word);
			found[i]++;
			known = true;
		}
		ck_assert_msg(known, "%.40s", line);
	}
	fclose(file);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		ck_assert_msg(found[i] == kinds[i].lines, "%d lines of %s", found[i], kinds[i].kind);
}
END_TEST

/* p of samples of which U pairs have b below a. */
static double p_of_u(size_t a_n, size_t b_n, size_t u)
{
	double a[20], b[20];

	for (size_t i = a_n; i--;) {
		size_t below = u < b_n ? u : b_n;

		a[i] = (double)below + 0.5 + (double)i / 1000;
		u -= below;
	}
	for (size_t i = 0; i < b_n; i++)
		b[i] = (double)i + 1;
	return stats_rank_test(a, a_n, b, b_n);
}

/* Critical values of the Mann-Whitney U, two-sided at 0.05: the largest U that is significant, as printed in textbooks'
 * tables (Siegel 1956, table K, for one). */
START_TEST(printed_critical_values)
{
	static const struct {
		size_t a_n, b_n, u;
	} table[] = {{4, 4, 0}, {5, 5, 2}, {6, 6, 5}, {7, 7, 8}, {8, 8, 13}, {9, 9, 17}, {10, 10, 23}, {11, 11, 30},
	        {12, 12, 37}, {13, 13, 45}, {14, 14, 55}, {15, 15, 64}, {16, 16, 75}, {17, 17, 87}, {18, 18, 99},
	        {19, 19, 113}, {20, 20, 127}, {5, 10, 8}, {8, 10, 17}, {10, 20, 55}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ck_assert_double_le(p_of_u(table[i].a_n, table[i].b_n, table[i].u), 0.05);
		ck_assert_double_gt(p_of_u(table[i].a_n, table[i].b_n, table[i].u + 1), 0.05);
		ck_assert_double_eq_tol(p_of_u(table[i].a_n, table[i].b_n, table[i].u),
		        p_of_u(table[i].b_n, table[i].a_n, table[i].a_n * table[i].b_n - table[i].u), 1e-12);
	}
	/* With 3 values a side nothing is significant. */
	ck_assert_double_gt(p_of_u(3, 3, 0), 0.05);
}
END_TEST

START_TEST(the_least_p)
{
	for (size_t a_n = 1; a_n <= 20; a_n++)
		for (size_t b_n = 1; b_n <= 20; b_n++)
			ck_assert_double_eq_tol(stats_rank_least_p(a_n, b_n), p_of_u(a_n, b_n, 0), 1e-12);
	ck_assert_double_eq(stats_rank_least_p(0, 5), 1);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("stats_reference");
	TCase *tcase = tcase_create("stats_reference");
	SRunner *runner;
	int failed;

	if (argc != 2)
		return EXIT_FAILURE;
	path = argv[1];
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, as_scipy_says);
	tcase_add_test(tcase, printed_critical_values);
	tcase_add_test(tcase, the_least_p);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
