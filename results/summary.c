/* SPDX-License-Identifier: Apache-2.0 */
#include "results/summary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/aggregate.h"

static void note(struct summary_row *row, const char *text, uint64_t count)
{
	if (row->reason[0])
		return;
	snprintf(row->reason, sizeof(row->reason), text, (unsigned long long)count);
}

/* Exits per operation are only told when no exit of the cell can be missing. */
static int count_exits(struct summary_row *row, struct reader *reader)
{
	const struct reader_cell *cell = row->cell;
	struct aggregate aggregate;
	int err;

	if (!strcmp(cell->cell.value[CELL_RECORD], "off") || cell->status == CELL_REFUSED)
		return 0;
	if (cell->dropped) {
		note(row, "%llu exits were dropped, the ring was full: exits per operation are not known",
		        cell->dropped);
		return 0;
	}
	if (cell->missing) {
		note(row, "%llu exits are lost in damaged parts of the file: exits per operation are not known",
		        cell->missing);
		return 0;
	}
	err = aggregate_cell(&aggregate, reader, row->index);
	if (!err) {
		row->have_exits = true;
		row->l2_exits = aggregate_exits(&aggregate, LEDGER_MEASURED, 2, -1);
		row->l1_exits = aggregate_exits(&aggregate, LEDGER_MEASURED, 1, -1);
		row->reflected = aggregate_exits(&aggregate, LEDGER_MEASURED, 2, LEDGER_BY_L1);
		if (row->l2_exits)
			err = roundtrip_cell(&row->trip, reader, row->index);
	}
	aggregate_free(&aggregate);
	return err;
}

/* How much the rounds of a cell differ; `result` and `stats` are room to work in. */
static int compare_rounds(
        struct summary_row *row, struct reader *reader, struct cell_result *result, struct cell_stats *stats)
{
	uint64_t rounds = row->cell->rounds;
	double *medians = malloc(rounds * sizeof(*medians));
	int err = medians ? 0 : -ENOMEM;

	for (uint64_t i = 0; i < rounds && !err; i++) {
		err = reader_round_result(reader, row->index, i, result);
		if (!err)
			err = stats_cell(stats, result);
		if (!err)
			medians[i] = stats->op.median;
	}
	if (!err)
		row->between_rounds = stats_noise(medians, rounds);
	free(medians);
	return err == -EINVAL ? 0 : err; /* a round without samples: nothing to say */
}

static int compute_row(struct summary_row *row, struct reader *reader, struct cell_result *result)
{
	int err;

	memcpy(row->reason, row->cell->reason, sizeof(row->reason));
	row->modelled = -1;
	row->unit = row->cell->virtual_time ? "instructions" : "cycles";
	err = reader_result(reader, row->index, result);
	if (err && err != -ENOENT)
		return err;
	if (!err) {
		if (result->instruction_clock)
			row->unit = "instructions";
		row->tsc_khz = result->tsc_khz;
		row->first_l2_exit_ns = result->first_l2_exit_ns;
		row->have_checksum = result->have_checksum;
		row->checksum = result->checksum;
		err = stats_cell(&row->stats, result);
		if (err && err != -EINVAL)
			return err;
		row->have_cost = !err;
	}
	if (!err && result->machine_counted) {
		/* L0 saw next to none of these exits; the kernel counted them. */
		row->have_exits = true;
		row->l2_exits = row->reflected = result->machine_l2_entries;
		row->l1_exits = result->machine_exits - result->machine_l2_entries;
		return 0;
	}
	return count_exits(row, reader);
}

int summary_compute(struct summary *summary, struct reader *reader)
{
	size_t cells = reader_cell_count(reader);
	struct cell_result *result = malloc(sizeof(*result));
	struct cell_stats *stats = malloc(sizeof(*stats));
	int err = 0;

	summary->count = 0;
	summary->rows = calloc(cells ? cells : 1, sizeof(*summary->rows));
	if (!result || !stats || !summary->rows)
		err = -ENOMEM;
	for (size_t i = 0; i < cells && !err; i++) {
		struct summary_row *row = &summary->rows[summary->count];

		row->cell = reader_cell(reader, i);
		if (row->cell->superseded || row->cell->round)
			continue;
		row->index = i;
		summary->count++;
		err = compute_row(row, reader, result);
		if (!err && row->cell->rounds > 1)
			err = compare_rounds(row, reader, result, stats);
	}
	free(stats);
	free(result);
	if (err)
		summary_free(summary);
	return err;
}

void summary_free(struct summary *summary)
{
	free(summary->rows);
	summary->rows = NULL;
	summary->count = 0;
}

double summary_per_op(const struct summary_row *row, uint64_t count)
{
	if (!row->have_exits || !row->have_cost)
		return -1;
	return (double)count / (double)row->stats.ops;
}

double summary_multiplication(const struct summary_row *row)
{
	if (!row->have_exits || !row->l2_exits)
		return -1;
	return (double)(row->l2_exits + row->l1_exits) / (double)row->l2_exits;
}
