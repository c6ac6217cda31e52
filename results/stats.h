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
	double values[CELL_SAMPLES_MAX]; /**< the op.n costs behind op, in the order they were taken */
};
/** 0; -EINVAL: the result has no sample with operations; -ENOMEM. */
int stats_cell(struct cell_stats *stats, const struct cell_result *result);

/** Two-sided p of the Mann-Whitney rank test: exact for small samples without ties, else normal with tie and
 * continuity correction. 1 when either is empty. */
double stats_rank_test(const double *a, size_t a_n, const double *b, size_t b_n);

enum stats_verdict {
	STATS_NOT_DISTINGUISHABLE, /**< the noise does not support a comparison */
	STATS_A_IS_LESS,
	STATS_B_IS_LESS,
};
struct stats_comparison {
	enum stats_verdict verdict;
	double ratio;   /**< median of b / median of a */
	double p;       /**< of the rank test; 0 or 1 when both are exact */
	bool overlap;   /**< the two intervals overlap */
	char text[200]; /**< one sentence: "b is 1.32 times a (p = 0.0004, intervals apart)" */
};
/**
 * The rule: different only when the rank test (p < 1 - STATS_CONFIDENCE) and the intervals (apart) agree and the ratio
 * of medians is outside `noise`, the relative session-to-session noise (0.03 = 3 %; 0 = not known). `exact`: both cells
 * ran in virtual time, where any difference of the medians is a difference.
 */
void stats_compare(struct stats_comparison *comparison, const struct cell_stats *a, const struct cell_stats *b,
        double noise, bool exact);

/** Session-to-session noise: half the range of the medians of repetitions of one cell, relative to their median. 0 for
 * fewer than two. */
double stats_noise(const double *medians, size_t n);

#endif
