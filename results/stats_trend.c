/* SPDX-License-Identifier: Apache-2.0 */
/* Samples in the order they were taken: trend, autocorrelation; families of tests. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/stats.h"

/* Sums over groups of t equal values: pairs t (t - 1) / 2, and t (t - 1) (2 t + 5) for the variance of S. */
static int tie_sums(const double *values, size_t n, double *pairs, double *variance)
{
	double *sorted = malloc(n * sizeof(*sorted));

	*pairs = *variance = 0;
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, values, n * sizeof(*sorted));
	stats_sort(sorted, n);
	for (size_t i = 0, next; i < n; i = next) {
		double t;

		for (next = i + 1; next < n && sorted[next] == sorted[i];)
			next++;
		t = (double)(next - i);
		*pairs += t * (t - 1) / 2;
		*variance += t * (t - 1) * (2 * t + 5);
	}
	free(sorted);
	return 0;
}

double stats_trend(const double *values, size_t n, double *p)
{
	double s = 0, all = (double)n * ((double)n - 1) / 2, tied, tied_variance, variance;

	if (p)
		*p = 1;
	if (n < 2 || tie_sums(values, n, &tied, &tied_variance) || tied >= all)
		return 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			s += (values[j] > values[i]) - (values[j] < values[i]);
	variance = ((double)n * ((double)n - 1) * (2 * (double)n + 5) - tied_variance) / 18;
	if (p && fabs(s) > 1)
		*p = erfc((fabs(s) - 1) / sqrt(variance) / sqrt(2));
	return s / sqrt(all * (all - tied));
}

double stats_autocorrelation(const double *values, size_t n)
{
	double *ranks = malloc((n ? n : 1) * sizeof(*ranks));
	double around = 0, along = 0, r;

	if (!ranks || n < 4) {
		free(ranks);
		return 0;
	}
	/* Ranks about their mean; equal values share one. */
	for (size_t i = 0; i < n; i++) {
		ranks[i] = 0;
		for (size_t j = 0; j < n; j++)
			ranks[i] += ((values[j] < values[i]) - (values[j] > values[i])) / 2.0;
	}
	for (size_t i = 0; i < n; i++) {
		around += ranks[i] * ranks[i];
		along += i ? ranks[i - 1] * ranks[i] : 0;
	}
	free(ranks);
	if (around <= 0)
		return 0;
	r = along / around;
	/* Its mean over rows of length n is about r - (1 + 4 r) / n (Kendall 1954). */
	r = (r * (double)n + 1) / ((double)n - 4 > 1 ? (double)n - 4 : 1);
	return fmin(fmax(r, 0), 0.8);
}

struct numbered {
	double p;
	size_t index;
};

static int compare(const void *a, const void *b)
{
	double x = ((const struct numbered *)a)->p, y = ((const struct numbered *)b)->p;

	return (x > y) - (x < y);
}

int stats_holm(double *p, size_t n)
{
	struct numbered *all = malloc((n ? n : 1) * sizeof(*all));
	double largest = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		all[i] = (struct numbered){p[i], i};
	qsort(all, n, sizeof(*all), compare);
	for (size_t i = 0; i < n; i++) {
		largest = fmax(largest, fmin(1, all[i].p * (double)(n - i)));
		p[all[i].index] = largest;
	}
	free(all);
	return 0;
}
