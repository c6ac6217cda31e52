/* SPDX-License-Identifier: Apache-2.0 */
/** The table of a run: one row per cell, computed from run.tdo; summary.csv. */
#ifndef TESTUDO_RESULTS_SUMMARY_H
#define TESTUDO_RESULTS_SUMMARY_H

#include <stdbool.h>
#include <stdio.h>

#include "results/reader.h"
#include "results/roundtrip.h"
#include "results/stats.h"

struct summary_row {
	const struct reader_cell *cell; /**< belongs to the reader */
	size_t index;                   /**< of the cell in the reader */
	char reason[CELL_REASON_BYTES]; /**< the cell's, or what a CELL_OK row lacks (records dropped, say) */
	bool have_cost;                 /**< there are samples: `stats` holds */
	struct cell_stats stats;
	double between_rounds; /**< session-to-session noise (stats_noise() of the rounds' medians); 0 = one round */
	const char *unit;      /**< "cycles", or "instructions" in virtual time */
	uint64_t tsc_khz;      /**< 0 = unknown */
	bool have_exits;       /**< the ledger is complete: the counts below hold */
	uint64_t l2_exits;     /**< in the measured phase, marks excluded */
	uint64_t l1_exits;     /**< the same */
	uint64_t reflected;    /**< L2 exits reflected to L1 */
	struct roundtrip_stats trip; /**< trips = 0: none */
	uint64_t first_l2_exit_ns;
	bool have_checksum; /**< macro workloads tell what they computed */
	uint64_t checksum;
	double modelled; /**< modelled cycles per operation, from a costs file (costs.h); < 0 = none */
};

struct summary {
	struct summary_row *rows; /**< superseded cells are left out, rounds of one cell are one row */
	size_t count;
};

/** Compute all rows. 0 or -errno. Free with summary_free before closing the reader. */
int summary_compute(struct summary *summary, struct reader *reader);
void summary_free(struct summary *summary);

/** Exits of `count` per operation; and (L2 + L1) / L2: < 0 when there is no such number. */
double summary_per_op(const struct summary_row *row, uint64_t count);
double summary_multiplication(const struct summary_row *row);

/** Write the rows with a header row, RFC 4180 (CRLF is not used: lines end in LF). 0 or -errno of the stream. */
int summary_write_csv(const struct summary *summary, FILE *file);
/** One field of CSV, quoted where it must be. 0 or -EIO. */
int summary_write_field(FILE *file, const char *text);

#endif
