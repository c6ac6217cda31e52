/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What a run says to people: the table on a terminal, summary.csv.
 */
#ifndef TESTUDO_RESULTS_REPORT_H
#define TESTUDO_RESULTS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "results/costs.h"
#include "results/reader.h"
#include "results/summary.h"

/** Makes something else of a run that has been read. 0, or -errno with a sentence. */
typedef int report_page_fn(
        const char *folder, struct reader *reader, const struct summary *summary, char *why, size_t why_bytes);

struct report_files {
	const char *folder; /**< the run's: run.tdo is read there, summary.csv is written there */
	FILE *out;          /**< the table; NULL = none */
	bool colours;
	const struct costs *costs; /**< unit costs for modelled cycles; NULL = none */
	bool all;                  /**< one line for each cell instead of one for each workload */
	bool noise;                /**< the noise of each row besides that of the run */
	report_page_fn *page;      /**< called with what was read; NULL = none */
};

/** Read the run, write summary.csv, print the table. 0 or -errno with a sentence. */
int report_run(const struct report_files *files, char *why, size_t why_bytes);

/** The table by workload: level 1, and level 2 by vmcs mode; what is not available, and why. */
void report_print(FILE *out, const struct summary *summary, bool colours);
/** One line for each cell. */
void report_print_all(FILE *out, const struct summary *summary);
/** Where the time of a nested round trip goes, for the cells of one workload: cpuid, or the first with round trips. */
void report_print_breakdown(FILE *out, const struct summary *summary);
/** Modelled cycles per operation, and where each unit cost comes from. */
void report_print_modelled(FILE *out, const struct summary *summary, const struct costs *costs);
/** Torn tails, damage, drops, a run that did not finish: nothing is printed when all is well. */
void report_print_health(FILE *out, const struct reader_overview *overview);

#endif
