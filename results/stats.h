/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Statistics of samples (design section 8; results/README.md says which and why). Everything is deterministic: the
 * bootstrap's random numbers come from a fixed seed, so the same file gives the same table.
 */
#ifndef TESTUDO_RESULTS_STATS_H
#define TESTUDO_RESULTS_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/cell.h"

#define STATS_CONFIDENCE 0.95
#define STATS_RESAMPLES 2000

struct stats {
	size_t n;
	double min, q1, median, q3, max, mean;
	double mad;             /**< median absolute deviation from the median, not scaled */
	double ci_low, ci_high; /**< bootstrap interval of the median, STATS_CONFIDENCE */
};

void stats_sort(double *values, size_t n);
/** Quantile p (0 to 1) of ascending values, linear between the two nearest (type 7); n > 0. */
double stats_quantile(const double *sorted, size_t n, double p);

/** Describe n > 0 values (they stay as they are). 0; -EINVAL: n is 0; -ENOMEM. */
int stats_describe(struct stats *stats, const double *values, size_t n);

/** A cell's samples as cost per operation. */
struct cell_stats {
	struct stats op; /**< ticks per operation, the control loop's median subtracted; the interval covers the
	                      control's noise too */
	double control;  /**< median ticks per operation of the control loop; 0 = it has none */
	uint64_t ops;    /**< operations measured, all samples together */
	double values[CELL_SAMPLES_MAX];         /**< the op.n costs behind op, in the order they were taken */
	double control_values[CELL_SAMPLES_MAX]; /**< the same of the control loop, control_n of them */
	size_t control_n;
};
/** 0; -EINVAL: the result has no sample with operations; -ENOMEM. */
int stats_cell(struct cell_stats *stats, const struct cell_result *result);

/** 64 random bits, always the same ones from the same state (splitmix64). */
uint64_t stats_random(uint64_t *state);

struct stats_sorted {
	const double *values; /**< ascending */
	size_t n;             /**< 0: its median counts as 0 */
};
/**
 * Percentile interval (STATS_CONFIDENCE) of a function of the medians of up to four independent sets, each drawn anew
 * STATS_RESAMPLES times. Always with the same random numbers. 0; -EINVAL: the first set is empty; -ENOMEM.
 */
int stats_bootstrap(
        const struct stats_sorted *sets, size_t count, double (*of)(const double *medians), double *low, double *high);

/** Two-sided p of the Mann-Whitney rank test: exact for small samples without ties, else normal with tie and
 * continuity correction. 1 when either is empty. */
double stats_rank_test(const double *a, size_t a_n, const double *b, size_t b_n);

/** Cliff's delta: how much more often a value of b is above one of a than below, -1 to 1. 0 when either is empty. */
double stats_cliff_delta(const double *a, size_t a_n, const double *b, size_t b_n);
/** The smallest p the rank test can give for so many values a side (all of one below all of the other). */
double stats_rank_least_p(size_t a_n, size_t b_n);

/** Kendall's tau-b of values and the order they stand in: 1 = they rise always. *p (may be NULL): two-sided, normal
 * approximation with correction for ties and continuity (the Mann-Kendall test of a trend). */
double stats_trend(const double *values, size_t n, double *p);
/**
 * Lag-1 autocorrelation of the ranks, corrected for the bias a short row has, at least 0 and at most 0.8: a rank test
 * takes samples for independent, and rows that hang together find more differences than there are.
 */
double stats_autocorrelation(const double *values, size_t n);

/** Replace n p values by Holm's: those a family of n tests may call significant at the usual level. 0 or -ENOMEM. */
int stats_holm(double *p, size_t n);

/** Session-to-session noise: half the range of the medians of repetitions of one cell, relative to their median. 0 for
 * fewer than two. */
double stats_noise(const double *medians, size_t n);

#endif
