/* SPDX-License-Identifier: Apache-2.0 */
/* Percentile bootstrap of medians. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/stats.h"

/* Any number, but always the same. */
#define SEED 0x7465737475646full
#define SETS_MAX 4

/* Steele, Lea, Flood 2014: a counter, and its bits mixed. */
uint64_t stats_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Median of n draws with replacement. Drawing ranks and counting them spares the sorting of each resample. */
static double resampled_median(const struct stats_sorted *set, uint32_t *counts, uint64_t *state)
{
	size_t n = set->n, low = (n - 1) / 2, high = n / 2, seen = 0, i = 0;
	double lower;

	if (!n)
		return 0;
	memset(counts, 0, n * sizeof(*counts));
	for (size_t draw = 0; draw < n; draw++)
		counts[((stats_random(state) >> 32) * n) >> 32]++;
	while (seen + counts[i] <= low)
		seen += counts[i++];
	lower = set->values[i];
	while (seen + counts[i] <= high)
		seen += counts[i++];
	return (lower + set->values[i]) / 2;
}

int stats_bootstrap(
        const struct stats_sorted *sets, size_t count, double (*of)(const double *medians), double *low, double *high)
{
	double *results = malloc(STATS_RESAMPLES * sizeof(*results));
	uint64_t state = SEED;
	uint32_t *counts;
	size_t largest = 1;
	int err = 0;

	for (size_t set = 0; set < count; set++)
		largest = sets[set].n > largest ? sets[set].n : largest;
	counts = malloc(largest * sizeof(*counts));
	if (!results || !counts)
		err = -ENOMEM;
	else if (!count || count > SETS_MAX || !sets[0].n)
		err = -EINVAL;
	for (size_t i = 0; i < STATS_RESAMPLES && !err; i++) {
		double medians[SETS_MAX] = {0};

		for (size_t set = 0; set < count; set++)
			medians[set] = resampled_median(&sets[set], counts, &state);
		results[i] = of(medians);
	}
	if (!err) {
		stats_sort(results, STATS_RESAMPLES);
		*low = stats_quantile(results, STATS_RESAMPLES, (1 - STATS_CONFIDENCE) / 2);
		*high = stats_quantile(results, STATS_RESAMPLES, (1 + STATS_CONFIDENCE) / 2);
	}
	free(results);
	free(counts);
	return err;
}
