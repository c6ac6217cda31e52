/* SPDX-License-Identifier: Apache-2.0 */
/** The formats of `testudo export` that have files of their own. */
#ifndef TESTUDO_CLI_EXPORT_H
#define TESTUDO_CLI_EXPORT_H

#include <jansson.h>
#include <stdio.h>

#include "results/compare.h"
#include "results/summary.h"

struct trace_options {
	struct compare_filter filter; /**< which cells */
	uint64_t limit;               /**< first exits of each cell; 0 = all */
};

/** What a trace does not show. */
struct trace_left_out {
	uint64_t cells;   /**< of cells that were cut short */
	uint64_t records; /**< their exits behind the limit */
	uint64_t shown;   /**< cells in the trace */
};

/** A timeline in Chrome's trace event format, written as the records are read. 0 or -errno. */
int export_trace(FILE *out, struct reader *reader, const struct summary *summary, const struct trace_options *options,
        struct trace_left_out *left_out);

/** "context" of Google Benchmark's JSON; `info` may be empty. */
json_t *export_benchmark_context(const struct run_info *info);
/** "benchmarks": one entry for each sample of a row that has a cost, then its aggregates. */
void export_benchmark_add(json_t *benchmarks, const struct summary_row *row);

#endif
