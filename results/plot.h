/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The data behind a run's plots, as tab-separated text with a header row that people can read and other tools can use.
 * The gnuplot scripts are in results/plots/; `testudo plot` puts both into <run>/plots/ and runs gnuplot.
 */
#ifndef TESTUDO_RESULTS_PLOT_H
#define TESTUDO_RESULTS_PLOT_H

#include <stddef.h>

#include "results/summary.h"

/**
 * Write into `folder`, for each machine M of the run:
 *   cost-M.dat            a line per workload: median, ci_low, ci_high at level 1 and at level 2 by vmcs mode
 *   multiplication-M.dat  a line per workload and vmcs mode: exits per L2 exit, by reason
 *   breakdown-M.dat       mean ticks of each part of a round trip: a line per cell with stamps = on; where there is
 *                         none, a line per nested cell of the cpuid workload, from the ledger
 *   distribution-M.dat    one cell's time from L2 exit to L2 exit: value, and share of exits at or below it
 *   settings.gp           the machines, and what the data is about
 *
 * Files without data are not written. 0, or -errno with a sentence.
 */
int plot_write_data(
        const char *folder, struct reader *reader, const struct summary *summary, char *why, size_t why_bytes);

#endif
