/* SPDX-License-Identifier: Apache-2.0 */
#include "results/stats_compare.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALPHA (1 - STATS_CONFIDENCE)

const char *stats_verdict_name(enum stats_verdict verdict)
{
	static const char *const names[] = {"cannot tell", "equal", "faster", "slower"};

	return (size_t)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "unknown";
}

/* Medians of a, a's control, b, b's control. */
static double relative_difference(const double *medians)
{
	return (medians[2] - medians[3]) / (medians[0] - medians[1]) - 1;
}

static const double *sorted_copy(double *to, const double *from, size_t n, double add)
{
	for (size_t i = 0; i < n; i++)
		to[i] = from[i] + add;
	stats_sort(to, n);
	return to;
}

static int interval(struct stats_comparison *c, const struct cell_stats *a, const struct cell_stats *b)
{
	double(*copies)[CELL_SAMPLES_MAX] = malloc(4 * sizeof(*copies));
	struct stats_sorted sets[4];
	int err;

	if (!copies)
		return -ENOMEM;
	sets[0] = (struct stats_sorted){sorted_copy(copies[0], a->values, a->op.n, a->control), a->op.n};
	sets[1] = (struct stats_sorted){sorted_copy(copies[1], a->control_values, a->control_n, 0), a->control_n};
	sets[2] = (struct stats_sorted){sorted_copy(copies[2], b->values, b->op.n, b->control), b->op.n};
	sets[3] = (struct stats_sorted){sorted_copy(copies[3], b->control_values, b->control_n, 0), b->control_n};
	err = stats_bootstrap(sets, 4, relative_difference, &c->low, &c->high);
	free(copies);
	return err;
}

double stats_drift(const double *values, size_t n)
{
	double *sorted, p, first, second, all;
	size_t half = n / 2;

	stats_trend(values, n, &p);
	sorted = p < STATS_DRIFT_P ? malloc(n * sizeof(*sorted)) : NULL;
	if (!sorted)
		return 0;
	first = stats_quantile(sorted_copy(sorted, values, half, 0), half, 0.5);
	second = stats_quantile(sorted_copy(sorted, values + n - half, half, 0), half, 0.5);
	all = stats_quantile(sorted_copy(sorted, values, n, 0), n, 0.5);
	free(sorted);
	return all != 0 ? fabs((second - first) / all) : 0;
}

/* The distance from 0 beyond which lies p of a standard normal distribution, both sides together. */
static double normal_distance(double p)
{
	double low = 0, high = 40;

	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;

		*(erfc(middle / sqrt(2)) > p ? &low : &high) = middle;
	}
	return low;
}

/*
 * Samples that hang together carry less than as many independent ones: with a lag-1 autocorrelation r the variance of
 * a mean is larger by about (1 + r) / (1 - r). The test's distance and the interval are corrected by the root of it.
 */
static void correct_for_autocorrelation(
        struct stats_comparison *c, const struct cell_stats *a, const struct cell_stats *b)
{
	double a_n = (double)a->op.n, b_n = (double)b->op.n, wider;

	c->autocorrelation =
	        (a_n * stats_autocorrelation(a->values, a->op.n) + b_n * stats_autocorrelation(b->values, b->op.n)) /
	        (a_n + b_n);
	if (c->autocorrelation <= 0)
		return;
	wider = sqrt((1 + c->autocorrelation) / (1 - c->autocorrelation));
	c->p = erfc(normal_distance(c->p) / wider / sqrt(2));
	c->low = c->difference - wider * (c->difference - c->low);
	c->high = c->difference + wider * (c->high - c->difference);
}

int stats_compare(struct stats_comparison *c, const struct cell_stats *a, const struct cell_stats *b, bool exact)
{
	int err;

	*c = (struct stats_comparison){.a_n = a->op.n, .b_n = b->op.n};
	c->exact = exact || (a->op.min == a->op.max && b->op.min == b->op.max && a->op.n > 1 && b->op.n > 1);
	c->difference = a->op.median > 0 ? b->op.median / a->op.median - 1 : NAN;
	c->delta = stats_cliff_delta(a->values, a->op.n, b->values, b->op.n);
	if (c->exact) {
		if (a->op.median == b->op.median)
			c->difference = 0;
		c->low = c->high = c->difference;
		c->p = c->p_family = a->op.median == b->op.median;
		c->verdict = a->op.median == b->op.median  ? STATS_EQUAL
		             : a->op.median < b->op.median ? STATS_SLOWER
		                                           : STATS_FASTER;
		return 0;
	}
	c->p = stats_rank_test(a->values, a->op.n, b->values, b->op.n);
	err = interval(c, a, b);
	if (err)
		return err;
	correct_for_autocorrelation(c, a, b);
	c->drift = fmax(stats_drift(a->values, a->op.n), stats_drift(b->values, b->op.n));
	if (a->op.ci_low <= 0)
		c->difference = c->low = c->high = NAN;
	c->p_family = c->p;
	return 0;
}

/* Why the two cannot be told apart into `reason`; empty: they can. */
static void refuse(struct stats_comparison *c, double noise, bool assumed)
{
	char *why = c->reason;
	size_t bytes = sizeof(c->reason);
	size_t fewest = c->a_n < c->b_n ? c->a_n : c->b_n;
	double distance = fabs(c->difference);

	why[0] = '\0';
	if (fewest < STATS_SAMPLES_MIN)
		snprintf(why, bytes, "too few samples (%zu and %zu): at least %d a side, 20 find 5 %%", c->a_n, c->b_n,
		        STATS_SAMPLES_MIN);
	else if (isnan(c->low))
		snprintf(why, bytes, "the cost of A is not above its control loop's");
	else if (c->p >= ALPHA)
		snprintf(why, bytes, "the rank test finds no difference");
	else if (c->p_family >= ALPHA)
		snprintf(why, bytes, "alone p = %.2g, but not among so many comparisons (Holm)", c->p);
	else if (c->low <= 0 && c->high >= 0)
		snprintf(why, bytes, "the interval of the difference holds 0");
	else if (distance <= noise && assumed)
		snprintf(why, bytes, "runs may differ by ±%.1f %% (assumed: measure it with run --interleave)",
		        100 * noise);
	else if (distance <= noise)
		snprintf(why, bytes, "rounds of one cell differ by ±%.1f %%, too", 100 * noise);
	else if (2 * c->drift >= distance)
		snprintf(why, bytes, "the host drifted: samples of one cell shift by %.1f %%", 100 * c->drift);
}

void stats_judge(struct stats_comparison *c, double noise, bool assumed)
{
	if (c->exact)
		return;
	refuse(c, noise, assumed);
	c->verdict = c->reason[0] ? STATS_CANNOT_TELL : c->difference < 0 ? STATS_FASTER : STATS_SLOWER;
}

double stats_noise(const double *medians, size_t n)
{
	struct stats stats;

	if (n < 2 || stats_describe(&stats, medians, n) || stats.median == 0)
		return 0;
	return (stats.max - stats.min) / 2 / fabs(stats.median);
}
