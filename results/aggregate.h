/* SPDX-License-Identifier: Apache-2.0 */
/** Exits of a cell counted by phase, level, reason, handler, and whether they are the workload's own marks. */
#ifndef TESTUDO_RESULTS_AGGREGATE_H
#define TESTUDO_RESULTS_AGGREGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/reader.h"

struct aggregate_row {
	uint16_t reason; /**< basic exit reason */
	uint8_t phase;   /**< enum ledger_phase */
	uint8_t level;
	uint8_t handler; /**< enum ledger_handler */
	bool mark;       /**< LEDGER_FLAG_MARK */
	uint64_t count;
	uint64_t guest_ticks; /**< sums over the exits */
	uint64_t l0_ticks;
};

struct aggregate {
	struct aggregate_row *rows; /**< by phase, level, reason, handler, mark */
	size_t count;
	size_t capacity;
	size_t last; /**< row of the last record counted */
};

/** Count a cell's records. 0 or -errno. Free with aggregate_free, also after an error. */
int aggregate_cell(struct aggregate *aggregate, struct reader *reader, size_t cell_index);
/** Count one batch (for callers that iterate themselves); aggregate starts zeroed. 0 or -ENOMEM. */
int aggregate_add(struct aggregate *aggregate, const struct ledger_record *records, size_t count);
/** Bring the rows into their order. aggregate_cell has done it. */
void aggregate_sort(struct aggregate *aggregate);
void aggregate_free(struct aggregate *aggregate);

/** Exits of one level in one phase, marks excluded. handler < 0: all handlers. */
uint64_t aggregate_exits(const struct aggregate *aggregate, int phase, int level, int handler);

#endif
