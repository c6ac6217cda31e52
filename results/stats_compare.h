/* SPDX-License-Identifier: Apache-2.0 */
/**
 * When two cells may be called different (results/README.md has the rule and its reasons). In two steps, because how
 * small a p must be depends on how many comparisons are made together.
 */
#ifndef TESTUDO_RESULTS_STATS_COMPARE_H
#define TESTUDO_RESULTS_STATS_COMPARE_H

#include "results/stats.h"

/** Fewer samples a side are not compared: the median's interval would be their range. */
#define STATS_SAMPLES_MIN 5
/** A trend over a cell's samples is drift when its p is below this. */
#define STATS_DRIFT_P 0.01

enum stats_verdict {
	STATS_CANNOT_TELL, /**< the noise does not support a comparison: `reason` */
	STATS_EQUAL,       /**< exact figures, and the same */
	STATS_FASTER,      /**< b costs less than a */
	STATS_SLOWER,      /**< b costs more than a */
};
/** "cannot tell", "equal", "faster", "slower". */
const char *stats_verdict_name(enum stats_verdict verdict);

struct stats_comparison {
	double difference;      /**< median of b / median of a - 1; NaN when a's interval is not above 0 */
	double low, high;       /**< its 95 % interval, the noise of the control loops in it */
	double delta;           /**< Cliff's delta: > 0: samples of b are mostly above those of a */
	double p;               /**< two-sided, of the rank test, corrected for autocorrelation */
	double p_family;        /**< the caller sets it with stats_holm(); else as p */
	double autocorrelation; /**< of the samples, lag 1, mean of the two cells */
	double drift;           /**< the larger of the shifts of a and b between halves, where there is a trend */
	size_t a_n, b_n;        /**< samples */
	bool exact;             /**< no noise: any difference is a difference */
	enum stats_verdict verdict;
	char reason[160]; /**< STATS_CANNOT_TELL: why, a sentence's part */
};

/** How far the median of the second half of values is from the first half's, relative to the median; 0 where
 * stats_trend() finds no trend at STATS_DRIFT_P. */
double stats_drift(const double *values, size_t n);

/** Everything but the verdict. `exact`: both cells ran in virtual time. Cells whose samples are all the same are exact,
 * too. 0 or -ENOMEM. */
int stats_compare(struct stats_comparison *c, const struct cell_stats *a, const struct cell_stats *b, bool exact);
/** The verdict, from p_family. noise: the relative session-to-session noise (0.03 = 3 %), measured or assumed. */
void stats_judge(struct stats_comparison *c, double noise, bool assumed);

#endif
