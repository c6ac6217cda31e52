/* SPDX-License-Identifier: Apache-2.0 */
/** Progress of a run: one line that is rewritten on a terminal, plain lines elsewhere. */
#ifndef TESTUDO_CLI_PROGRESS_H
#define TESTUDO_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "results/cell.h"

struct progress {
	FILE *out;
	bool terminal; /**< there is one and it can erase a line: the running cell is shown */
	bool quiet;
	const struct cell *cells; /**< all cells of the run, in order */
	size_t count;
	size_t done;
	uint64_t started_ns;
	uint64_t cell_started_ns;
	/** Mean wall time of finished cells by machine and level, for the time left. */
	struct progress_class {
		char machine[CELL_VALUE_BYTES];
		char level[CELL_VALUE_BYTES];
		uint64_t finished;
		uint64_t total_ns;
	} classes[16];
	size_t class_count;
};

void progress_begin(struct progress *progress, FILE *out, bool quiet, const struct cell *cells, size_t count);
void progress_cell_begin(struct progress *progress);
void progress_tick(void *progress);
/** One line about the finished cell: number, outcome, cost. */
void progress_cell_end(struct progress *progress, const struct cell_result *result);
void progress_end(struct progress *progress);

/** Seconds left as far as finished cells tell; < 0 = unknown yet. */
double progress_seconds_left(const struct progress *progress, uint64_t now_ns);

#endif
