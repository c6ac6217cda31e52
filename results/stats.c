/* SPDX-License-Identifier: Apache-2.0 */
#include "results/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void stats_sort(double *values, size_t n)
{
	if (n)
		qsort(values, n, sizeof(*values), compare);
}

double stats_quantile(const double *sorted, size_t n, double p)
{
	double at = p * (double)(n - 1);
	size_t below = (size_t)at;
	double fraction = at - (double)below;

	if (below + 1 >= n)
		return sorted[n - 1];
	return sorted[below] + fraction * (sorted[below + 1] - sorted[below]);
}

static double plain_median(const double *medians)
{
	return medians[0];
}

static double less_control(const double *medians)
{
	return medians[0] - medians[1];
}

/* Everything but the interval, from ascending values; scratch holds n. */
static void describe_sorted(struct stats *stats, const double *sorted, size_t n, double *scratch)
{
	double sum = 0;

	stats->n = n;
	stats->min = sorted[0];
	stats->max = sorted[n - 1];
	stats->q1 = stats_quantile(sorted, n, 0.25);
	stats->median = stats_quantile(sorted, n, 0.5);
	stats->q3 = stats_quantile(sorted, n, 0.75);
	for (size_t i = 0; i < n; i++) {
		sum += sorted[i];
		scratch[i] = fabs(sorted[i] - stats->median);
	}
	stats->mean = sum / (double)n;
	stats_sort(scratch, n);
	stats->mad = stats_quantile(scratch, n, 0.5);
}

int stats_describe(struct stats *stats, const double *values, size_t n)
{
	double *sorted;
	int err;

	memset(stats, 0, sizeof(*stats));
	if (!n)
		return -EINVAL;
	sorted = malloc(2 * n * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, values, n * sizeof(*sorted));
	stats_sort(sorted, n);
	describe_sorted(stats, sorted, n, sorted + n);
	err = stats_bootstrap(&(struct stats_sorted){sorted, n}, 1, plain_median, &stats->ci_low, &stats->ci_high);
	free(sorted);
	return err;
}

/* Costs per operation of both loops, as measured. */
struct costs {
	double op[CELL_SAMPLES_MAX], control[CELL_SAMPLES_MAX], scratch[CELL_SAMPLES_MAX];
	size_t op_n, control_n;
};

static void take_samples(struct costs *costs, struct cell_stats *stats, const struct cell_result *result)
{
	for (uint64_t i = 0; i < result->sample_count && i < CELL_SAMPLES_MAX; i++) {
		const struct cell_sample *sample = &result->samples[i];

		if (sample->ops) {
			costs->op[costs->op_n++] = (double)sample->ticks / (double)sample->ops;
			stats->ops += sample->ops;
		}
		if (sample->control_ops)
			stats->control_values[stats->control_n++] = costs->control[costs->control_n++] =
			        (double)sample->control_ticks / (double)sample->control_ops;
	}
}

static int describe_cell(struct cell_stats *stats, struct costs *costs)
{
	struct stats *op = &stats->op;
	int err;

	stats_sort(costs->control, costs->control_n);
	if (costs->control_n)
		stats->control = stats_quantile(costs->control, costs->control_n, 0.5);
	for (size_t i = 0; i < costs->op_n; i++)
		stats->values[i] = costs->op[i] - stats->control;
	stats_sort(costs->op, costs->op_n);
	err = stats_bootstrap((struct stats_sorted[]){{costs->op, costs->op_n}, {costs->control, costs->control_n}}, 2,
	        less_control, &op->ci_low, &op->ci_high);
	if (err)
		return err;
	for (size_t i = 0; i < costs->op_n; i++)
		costs->op[i] -= stats->control;
	describe_sorted(op, costs->op, costs->op_n, costs->scratch);
	return 0;
}

int stats_cell(struct cell_stats *stats, const struct cell_result *result)
{
	struct costs *costs;
	int err;

	memset(stats, 0, sizeof(*stats));
	costs = calloc(1, sizeof(*costs));
	if (!costs)
		return -ENOMEM;
	take_samples(costs, stats, result);
	err = costs->op_n ? describe_cell(stats, costs) : -EINVAL;
	free(costs);
	return err;
}
