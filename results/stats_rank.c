/* SPDX-License-Identifier: Apache-2.0 */
/* The Mann-Whitney rank test. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/stats.h"

/* Up to so many values on each side the distribution of U is counted out. */
#define EXACT_MAX 20

struct ranked {
	double value;
	bool of_a;
};

static int compare(const void *a, const void *b)
{
	double x = ((const struct ranked *)a)->value, y = ((const struct ranked *)b)->value;

	return (x > y) - (x < y);
}

/*
 * Probability of U <= u when all orders of a and b are equally likely. ways[m][u]: orders of the first k values of `a`
 * and m values of `b` in which b is below a in u pairs. The last place of such an order is either an `a` (above all m
 * of b: m more pairs, k - 1 left) or a `b`: ways(k, m, u) = ways(k - 1, m, u - m) + ways(k, m - 1, u).
 */
static double exact_below(size_t a_n, size_t b_n, double u)
{
	static const size_t width = EXACT_MAX * EXACT_MAX + 1;
	double(*ways)[EXACT_MAX * EXACT_MAX + 1] = calloc(EXACT_MAX + 1, sizeof(*ways));
	double all = 0, below = 0;

	if (!ways)
		return 1;
	for (size_t m = 0; m <= b_n; m++)
		ways[m][0] = 1;
	for (size_t k = 1; k <= a_n; k++)
		for (size_t m = 1; m <= b_n; m++)
			for (size_t at = width; at--;)
				ways[m][at] = (at >= m ? ways[m][at - m] : 0) + ways[m - 1][at];
	for (size_t at = 0; at < width; at++) {
		all += ways[b_n][at];
		if ((double)at <= u)
			below += ways[b_n][at];
	}
	free(ways);
	return below / all;
}

/* Two-sided p from the normal distribution; ties: sum of t^3 - t over groups of t equal values. */
static double normal_p(double a_n, double b_n, double u, double ties)
{
	double n = a_n + b_n, mean = a_n * b_n / 2;
	double variance = a_n * b_n / 12 * ((n + 1) - ties / (n * (n - 1)));
	double distance = fabs(u - mean) - 0.5;

	if (variance <= 0 || distance <= 0)
		return 1;
	return erfc(distance / sqrt(variance) / sqrt(2));
}

/* Sum of the ranks of a, equal values sharing the mean of theirs. */
static double rank_sum(const struct ranked *all, size_t n, double *ties)
{
	double sum = 0;

	*ties = 0;
	for (size_t i = 0, next; i < n; i = next) {
		double group, rank;

		for (next = i + 1; next < n && all[next].value == all[i].value;)
			next++;
		group = (double)(next - i);
		rank = (double)(i + 1 + next) / 2;
		*ties += group * group * group - group;
		for (size_t j = i; j < next; j++)
			sum += all[j].of_a ? rank : 0;
	}
	return sum;
}

double stats_rank_test(const double *a, size_t a_n, const double *b, size_t b_n)
{
	size_t n = a_n + b_n;
	struct ranked *all;
	double u, other, ties;

	if (!a_n || !b_n)
		return 1;
	all = malloc(n * sizeof(*all));
	if (!all)
		return 1;
	for (size_t i = 0; i < n; i++)
		all[i] = (struct ranked){i < a_n ? a[i] : b[i - a_n], i < a_n};
	qsort(all, n, sizeof(*all), compare);
	u = rank_sum(all, n, &ties) - (double)a_n * (double)(a_n + 1) / 2;
	free(all);
	if (ties > 0 || a_n > EXACT_MAX || b_n > EXACT_MAX)
		return normal_p((double)a_n, (double)b_n, u, ties);
	other = (double)a_n * (double)b_n - u;
	return fmin(1, 2 * exact_below(a_n, b_n, fmin(u, other)));
}

double stats_rank_least_p(size_t a_n, size_t b_n)
{
	double orders = 1;

	if (!a_n || !b_n)
		return 1;
	if (a_n > EXACT_MAX || b_n > EXACT_MAX)
		return normal_p((double)a_n, (double)b_n, 0, 0);
	for (size_t i = 1; i <= a_n; i++)
		orders *= (double)(b_n + i) / (double)i;
	return fmin(1, 2 / orders);
}

double stats_cliff_delta(const double *a, size_t a_n, const double *b, size_t b_n)
{
	double sum = 0;

	for (size_t i = 0; i < a_n; i++)
		for (size_t j = 0; j < b_n; j++)
			sum += (b[j] > a[i]) - (b[j] < a[i]);
	return a_n && b_n ? sum / ((double)a_n * (double)b_n) : 0;
}
