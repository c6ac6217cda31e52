/* SPDX-License-Identifier: Apache-2.0 */
/**
 * How noisy a run was: what its samples say (spread, control loops, outliers, drift, rounds), and the state of its host
 * at start and end. For `testudo report` and everything else that shows a run.
 */
#ifndef TESTUDO_RESULTS_NOISE_H
#define TESTUDO_RESULTS_NOISE_H

#include <stdio.h>

#include "results/run_info.h"
#include "results/summary.h"

/** Samples farther from the quartiles than so many quartile ranges are outliers (Tukey's "far out"). */
#define NOISE_OUTLIER_RANGES 3

/** One measured row; all shares are relative to its median cost with the control loop in it. */
struct noise_row {
	const struct summary_row *row;
	bool control;          /**< workload null: its cost should be 0 */
	double spread;         /**< MAD of the samples */
	double control_spread; /**< MAD of the control loop's samples relative to their median; 0 = no control loop */
	size_t outliers;
	double tau, p; /**< trend over the samples in their order: Kendall's tau-b, its p after Holm over all rows */
	double shift;  /**< second half of the samples against the first, signed */
	bool drifts;   /**< p < STATS_DRIFT_P */
	double autocorrelation;
};

struct noise {
	struct noise_row *rows; /**< rows in virtual time are left out: they have no noise */
	size_t count;
	size_t exact;   /**< how many were left out for that */
	size_t samples; /**< of all rows */
	size_t outliers;
	/** Over the run, where there are rounds: the medians of all rows' rounds, each relative to its row's, in the
	 * order they were taken. */
	size_t run_points;
	double run_tau, run_p, run_shift;
	/** The host, first and last session's; `end` is empty when the run did not end well. */
	struct run_info start, end;
	bool have_end;
	double steal, busy; /**< share of all CPUs' time over the last session; < 0 = not known */
	double others;      /**< CPUs that other programs kept busy (the recorder counts as one); < 0 = not known */
	double load_start, load_end; /**< over a minute; < 0 = not known */
};

/** 0 or -errno. Free it before the summary. */
int noise_compute(struct noise *noise, const struct summary *summary, struct reader *reader);
void noise_free(struct noise *noise);

/** What a reader should be warned of, one sentence each: `index` from 0. False: there is no such warning. */
bool noise_warning(const struct noise *noise, size_t index, char *text, size_t bytes);

/** A few lines for all; nothing when every row is exact. */
void noise_print(FILE *out, const struct noise *noise);
/** One line for each row. */
void noise_print_rows(FILE *out, const struct noise *noise);

#endif
