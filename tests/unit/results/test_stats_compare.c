/* SPDX-License-Identifier: Apache-2.0 */
/* The rule for "different", clause by clause, and how often it errs. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"

#define PAIRS 1000

static struct cell_result result;
static struct cell_stats a, b;
static struct stats_comparison c;

/* n samples spread evenly about a center, in an order without a trend. */
static void make_cell(struct cell_stats *stats, double center, double spread, int n)
{
	memset(&result, 0, sizeof(result));
	result.sample_count = (uint64_t)n;
	for (int i = 0; i < n; i++) {
		double place = (i * 5 % n) / (double)(n - 1) - 0.5;

		result.samples[i] = (struct cell_sample){1000, (uint64_t)(1000 * (center + spread * place)), 0, 0};
	}
	ck_assert_int_eq(stats_cell(stats, &result), 0);
}

static enum stats_verdict judge(double noise, bool exact)
{
	ck_assert_int_eq(stats_compare(&c, &a, &b, exact), 0);
	stats_judge(&c, noise, false);
	return c.verdict;
}

START_TEST(different_only_when_everything_agrees)
{
	make_cell(&a, 100, 6, 9);
	make_cell(&b, 132, 6, 9);
	ck_assert_int_eq(judge(0, false), STATS_SLOWER);
	ck_assert_double_eq_tol(c.difference, 0.32, 1e-6);
	ck_assert_double_lt(c.low, 0.32);
	ck_assert_double_gt(c.low, 0.2);
	ck_assert_double_gt(c.high, 0.32);
	ck_assert_double_eq_tol(c.delta, 1, 1e-12);
	ck_assert_double_lt(c.p, 0.001);
	ck_assert_str_eq(c.reason, "");

	/* A real difference that is smaller than what rounds of one cell differ by. */
	ck_assert_int_eq(judge(0.4, false), STATS_CANNOT_TELL);
	ck_assert_ptr_nonnull(strstr(c.reason, "rounds"));
	ck_assert_int_eq(judge(0.3, false), STATS_SLOWER);

	/* Significant alone, not as one of many. */
	ck_assert_int_eq(stats_compare(&c, &a, &b, false), 0);
	c.p_family = 0.06;
	stats_judge(&c, 0, false);
	ck_assert_int_eq(c.verdict, STATS_CANNOT_TELL);
	ck_assert_ptr_nonnull(strstr(c.reason, "Holm"));

	make_cell(&b, 101, 6, 9);
	ck_assert_int_eq(judge(0, false), STATS_CANNOT_TELL);
	ck_assert_ptr_nonnull(strstr(c.reason, "rank test"));

	make_cell(&b, 80, 6, 9);
	ck_assert_int_eq(judge(0, false), STATS_FASTER);
	ck_assert_double_eq_tol(c.delta, -1, 1e-12);
}
END_TEST

/* The rank test finds that most samples of b are above a's, but the medians are nearly the same: the interval of their
 * difference holds 0. */
START_TEST(the_interval_must_agree)
{
	static const double of_a[] = {50, 101, 52, 102, 51, 103, 54, 100, 53},
	                    of_b[] = {104, 98, 107, 99, 106, 97, 105, 104, 97};

	memset(&result, 0, sizeof(result));
	result.sample_count = 9;
	for (int i = 0; i < 9; i++)
		result.samples[i] = (struct cell_sample){1000, (uint64_t)(1000 * of_a[i]), 0, 0};
	ck_assert_int_eq(stats_cell(&a, &result), 0);
	for (int i = 0; i < 9; i++)
		result.samples[i].ticks = (uint64_t)(1000 * of_b[i]);
	ck_assert_int_eq(stats_cell(&b, &result), 0);
	ck_assert_int_eq(stats_compare(&c, &a, &b, false), 0);
	c.p = c.p_family = 0.01;
	stats_judge(&c, 0, false);
	ck_assert_double_le(c.low, 0);
	ck_assert_int_eq(c.verdict, STATS_CANNOT_TELL);
	ck_assert_ptr_nonnull(strstr(c.reason, "interval"));
}
END_TEST

START_TEST(too_few_samples_are_refused)
{
	make_cell(&a, 100, 1, 4);
	make_cell(&b, 200, 1, 20);
	ck_assert_int_eq(judge(0, false), STATS_CANNOT_TELL);
	ck_assert_ptr_nonnull(strstr(c.reason, "too few samples (4 and 20)"));
	make_cell(&a, 100, 1, 6);
	ck_assert_int_eq(judge(0, false), STATS_SLOWER);
}
END_TEST

START_TEST(a_cost_that_is_not_above_its_control_is_refused)
{
	make_cell(&a, 100, 10, 9);
	for (int i = 0; i < 9; i++) {
		result.samples[i].control_ops = 1000;
		result.samples[i].control_ticks = 100000;
	}
	ck_assert_int_eq(stats_cell(&a, &result), 0);
	make_cell(&b, 200, 10, 9);
	ck_assert_int_eq(judge(0, false), STATS_CANNOT_TELL);
	ck_assert_ptr_nonnull(strstr(c.reason, "control loop"));
	ck_assert(isnan(c.difference));
}
END_TEST

/* Samples that rise from first to last: the host changed while they were taken. */
START_TEST(drift_is_refused)
{
	memset(&result, 0, sizeof(result));
	result.sample_count = 20;
	for (int i = 0; i < 20; i++)
		result.samples[i] = (struct cell_sample){1000, (uint64_t)(100000 + 1000 * i), 0, 0};
	ck_assert_int_eq(stats_cell(&a, &result), 0);
	/* First half's median 104.5, second's 114.5, all: 109.5. */
	ck_assert_double_eq_tol(stats_drift(a.values, 20), 10 / 109.5, 1e-9);
	make_cell(&b, 128, 2, 20);
	ck_assert_int_eq(stats_compare(&c, &a, &b, false), 0);
	c.p = c.p_family = 0.001;
	c.low = 0.05;
	stats_judge(&c, 0, false);
	ck_assert_int_eq(c.verdict, STATS_CANNOT_TELL);
	ck_assert_ptr_nonnull(strstr(c.reason, "drifted"));
	ck_assert_double_eq_tol(stats_drift(b.values, 20), 0, 1e-12);
	/* A difference far larger than the drift stands. */
	make_cell(&b, 500, 2, 20);
	ck_assert_int_eq(judge(0, false), STATS_SLOWER);
}
END_TEST

START_TEST(exact_figures_are_not_tested)
{
	make_cell(&a, 100, 0, 9);
	make_cell(&b, 100.001, 0, 9);
	ck_assert_int_eq(judge(0.5, true), STATS_SLOWER);
	ck_assert_int_eq(judge(0.5, false), STATS_SLOWER);
	ck_assert(c.exact);
	b = a;
	ck_assert_int_eq(judge(0, true), STATS_EQUAL);
	ck_assert_double_eq_tol(c.difference, 0, 1e-12);
	ck_assert_double_eq_tol(c.p, 1, 1e-12);
	/* Two rows of which only one has no spread are noisy. */
	make_cell(&b, 100.001, 1, 9);
	ck_assert_int_eq(judge(0, false), STATS_CANNOT_TELL);
	ck_assert(!c.exact);
}
END_TEST

static uint64_t state;

static double uniform(void)
{
	return ((double)(fixture_random(&state) >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

/* What samples of a host look like: a long tail upwards (log-normal, with a standard deviation of about `sd`), now and
 * then an outlier, and neighbours that resemble each other; over a noisy control loop. */
struct host {
	double sd, outliers, correlation;
	bool skewed;
};

static void simulate(struct cell_stats *stats, double cost, int n, const struct host *host)
{
	double level = normal();

	memset(&result, 0, sizeof(result));
	result.sample_count = (uint64_t)n;
	for (int i = 0; i < n; i++) {
		double control = 10 * (1 + 0.02 * normal()), sample, beside = 10 * (1 + 0.02 * normal());

		level = host->correlation * level + sqrt(1 - host->correlation * host->correlation) * normal();
		sample = cost * (1 + host->sd * (host->skewed ? 1.1 * (exp(0.8 * level) - 1) : level));
		if (uniform() < host->outliers)
			sample += cost * (0.05 + 0.3 * uniform());
		result.samples[i] = (struct cell_sample){
		        1000, (uint64_t)(1000 * (sample + beside)), 1000, (uint64_t)(1000 * control)};
	}
	ck_assert_int_eq(stats_cell(stats, &result), 0);
}

/* How many of so many pairs are called different; those that are, although runs are taken to differ by themselves. */
static int count_different(int pairs, double cost_a, double cost_b, int n, const struct host *host, uint64_t seed)
{
	int different = 0;

	state = seed;
	for (int i = 0; i < pairs; i++) {
		simulate(&a, cost_a, n, host);
		simulate(&b, cost_b, n, host);
		different += judge(cost_a == cost_b ? 0 : COMPARE_NOISE, false) >= STATS_FASTER;
	}
	return different;
}

static const struct host plain = {.sd = 0.02}, skewed = {.sd = 0.02, .outliers = 0.05, .skewed = true},
                         hanging = {.sd = 0.02, .outliers = 0.05, .skewed = true, .correlation = 0.3};

START_TEST(equal_cells_are_called_different_at_most_5_percent)
{
	ck_assert_int_le(count_different(PAIRS, 1000, 1000, 9, &skewed, 11), PAIRS * 5 / 100);
	ck_assert_int_le(count_different(PAIRS, 1000, 1000, 20, &hanging, 14), PAIRS * 5 / 100);
}
END_TEST

START_TEST(five_percent_is_found_with_20_samples)
{
	ck_assert_int_ge(count_different(PAIRS / 2, 1000, 1050, 20, &plain, 21), PAIRS / 2 * 90 / 100);
	ck_assert_int_ge(count_different(PAIRS / 2, 1050, 1000, 20, &skewed, 22), PAIRS / 2 * 90 / 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats_compare");
	TCase *tcase = tcase_create("stats_compare");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase, different_only_when_everything_agrees);
	tcase_add_test(tcase, the_interval_must_agree);
	tcase_add_test(tcase, too_few_samples_are_refused);
	tcase_add_test(tcase, a_cost_that_is_not_above_its_control_is_refused);
	tcase_add_test(tcase, drift_is_refused);
	tcase_add_test(tcase, exact_figures_are_not_tested);
	tcase_add_test(tcase, equal_cells_are_called_different_at_most_5_percent);
	tcase_add_test(tcase, five_percent_is_found_with_20_samples);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
