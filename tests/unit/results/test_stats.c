/* SPDX-License-Identifier: Apache-2.0 */
/* Description of samples, the bootstrap, control subtraction. */
#include "fixture.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/stats.h"

#define EPSILON 1e-9

START_TEST(quantiles_of_known_values)
{
	static const double values[] = {7, 15, 36, 39, 40, 41};

	/* Type 7, as R's quantile() and NumPy's percentile() by default. */
	ck_assert_double_eq_tol(stats_quantile(values, 6, 0.25), 20.25, EPSILON);
	ck_assert_double_eq_tol(stats_quantile(values, 6, 0.5), 37.5, EPSILON);
	ck_assert_double_eq_tol(stats_quantile(values, 6, 0.75), 39.75, EPSILON);
	ck_assert_double_eq_tol(stats_quantile(values, 6, 0), 7, EPSILON);
	ck_assert_double_eq_tol(stats_quantile(values, 6, 1), 41, EPSILON);
	ck_assert_double_eq_tol(stats_quantile(values, 1, 0.3), 7, EPSILON);
}
END_TEST

START_TEST(description_of_known_values)
{
	static const double values[] = {1, 9, 2, 4, 6, 2, 1};
	struct stats stats;

	ck_assert_int_eq(stats_describe(&stats, values, 7), 0);
	ck_assert_uint_eq(stats.n, 7);
	ck_assert_double_eq_tol(stats.median, 2, EPSILON);
	ck_assert_double_eq_tol(stats.mad, 1, EPSILON);
	ck_assert_double_eq_tol(stats.mean, 25.0 / 7, EPSILON);
	ck_assert_double_eq_tol(stats.min, 1, EPSILON);
	ck_assert_double_eq_tol(stats.max, 9, EPSILON);
	ck_assert_int_eq(stats_describe(&stats, values, 0), -EINVAL);
}
END_TEST

START_TEST(the_interval_is_deterministic_and_around_the_median)
{
	double values[100];
	struct stats first, again;
	uint64_t state = 3;

	for (int i = 0; i < 100; i++)
		values[i] = 1000 + (double)(fixture_random(&state) % 100);
	ck_assert_int_eq(stats_describe(&first, values, 100), 0);
	ck_assert_int_eq(stats_describe(&again, values, 100), 0);
	ck_assert_mem_eq(&first, &again, sizeof(first));
	ck_assert_double_lt(first.ci_low, first.median);
	ck_assert_double_gt(first.ci_high, first.median);
	/* The order statistics' interval for n = 100 is the 40th to the 61st value; the bootstrap's is close to it. */
	stats_sort(values, 100);
	ck_assert_double_ge(first.ci_low, values[35]);
	ck_assert_double_le(first.ci_low, values[44]);
	ck_assert_double_ge(first.ci_high, values[55]);
	ck_assert_double_le(first.ci_high, values[65]);
}
END_TEST

/* For three values the distribution of a resample's median is known: low 7/27, middle 13/27, high 7/27. So the 2.5 %
 * and 97.5 % quantiles are the outer values. */
START_TEST(the_interval_of_three_values)
{
	static const double values[] = {30, 10, 20};
	static const double equal[] = {5, 5, 5, 5};
	struct stats stats;

	ck_assert_int_eq(stats_describe(&stats, values, 3), 0);
	ck_assert_double_eq_tol(stats.ci_low, 10, EPSILON);
	ck_assert_double_eq_tol(stats.ci_high, 30, EPSILON);
	ck_assert_int_eq(stats_describe(&stats, equal, 4), 0);
	ck_assert_double_eq_tol(stats.ci_low, 5, EPSILON);
	ck_assert_double_eq_tol(stats.ci_high, 5, EPSILON);
}
END_TEST

/* In 1,000 data sets drawn from a known distribution, the interval should hold the true median in about 95 %. */
START_TEST(the_interval_covers_the_truth)
{
	uint64_t state = 99;
	int covered = 0;

	for (int set = 0; set < 1000; set++) {
		double values[25];
		struct stats stats;

		for (int i = 0; i < 25; i++)
			values[i] = (double)(fixture_random(&state) >> 11) / 9007199254740992.0;
		ck_assert_int_eq(stats_describe(&stats, values, 25), 0);
		covered += stats.ci_low <= 0.5 && stats.ci_high >= 0.5;
	}
	ck_assert_int_ge(covered, 920);
	ck_assert_int_le(covered, 980);
}
END_TEST

START_TEST(the_control_loop_is_subtracted)
{
	struct cell_result *result = calloc(1, sizeof(*result));
	struct cell_stats *stats = malloc(sizeof(*stats));

	/* 100, 110, 90 per operation; the control 4, 6, 5. */
	result->sample_count = 3;
	result->samples[0] = (struct cell_sample){1000, 100000, 500, 2000};
	result->samples[1] = (struct cell_sample){1000, 110000, 500, 3000};
	result->samples[2] = (struct cell_sample){2000, 180000, 500, 2500};
	ck_assert_int_eq(stats_cell(stats, result), 0);
	ck_assert_uint_eq(stats->ops, 4000);
	ck_assert_double_eq_tol(stats->control, 5, EPSILON);
	ck_assert_double_eq_tol(stats->op.median, 95, EPSILON);
	ck_assert_double_eq_tol(stats->op.min, 85, EPSILON);
	ck_assert_double_eq_tol(stats->values[0], 95, EPSILON);
	ck_assert_double_eq_tol(stats->values[2], 85, EPSILON);
	ck_assert_double_eq_tol(stats->op.mad, 10, EPSILON);
	/* The control's own noise widens the interval: its ends are 90 - 6 and 110 - 4. */
	ck_assert_double_lt(stats->op.ci_low, 85 + EPSILON);
	ck_assert_double_gt(stats->op.ci_high, 105 - EPSILON);

	result->samples[1].control_ops = result->samples[0].control_ops = result->samples[2].control_ops = 0;
	ck_assert_int_eq(stats_cell(stats, result), 0);
	ck_assert_double_eq_tol(stats->control, 0, EPSILON);
	ck_assert_double_eq_tol(stats->op.median, 100, EPSILON);
	result->samples[0].ops = result->samples[1].ops = result->samples[2].ops = 0;
	ck_assert_int_eq(stats_cell(stats, result), -EINVAL);
	result->sample_count = UINT64_MAX;
	ck_assert_int_eq(stats_cell(stats, result), -EINVAL);
	free(result);
	free(stats);
}
END_TEST

START_TEST(noise_between_sessions)
{
	static const double medians[] = {100, 104, 98};

	ck_assert_double_eq_tol(stats_noise(medians, 3), 0.03, EPSILON);
	ck_assert_double_eq_tol(stats_noise(medians, 1), 0, EPSILON);
	ck_assert_double_eq_tol(stats_noise(medians, 0), 0, EPSILON);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats");
	TCase *tcase = tcase_create("stats");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, quantiles_of_known_values);
	tcase_add_test(tcase, description_of_known_values);
	tcase_add_test(tcase, the_interval_is_deterministic_and_around_the_median);
	tcase_add_test(tcase, the_interval_of_three_values);
	tcase_add_test(tcase, the_interval_covers_the_truth);
	tcase_add_test(tcase, the_control_loop_is_subtracted);
	tcase_add_test(tcase, noise_between_sessions);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
