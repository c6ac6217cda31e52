/* SPDX-License-Identifier: Apache-2.0 */
#include "papers/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/aggregate.h"
#include "results/roundtrip.h"

int paper_run_open(struct paper_run *run, const char *folder, char *why, size_t why_bytes)
{
	char path[4200];
	int status;

	memset(run, 0, sizeof(*run));
	snprintf(path, sizeof(path), "%s/run.tdo", folder);
	status = reader_open(&run->reader, path, why, why_bytes);
	if (status)
		return status;
	run->info = calloc(1, sizeof(*run->info));
	status = run->info ? summary_compute(&run->summary, run->reader) : -ENOMEM;
	if (status) {
		snprintf(why, why_bytes, "%.150s cannot be summarised: %s", path, strerror(-status));
		paper_run_close(run);
		return status;
	}
	reader_run_info(run->reader, 0, run->info);
	return 0;
}

void paper_run_close(struct paper_run *run)
{
	summary_free(&run->summary);
	if (run->reader)
		reader_close(run->reader);
	free(run->info);
	memset(run, 0, sizeof(*run));
}

bool paper_source_present(struct paper_source *source)
{
	for (size_t i = 0; i < source->run->summary.count; i++) {
		const struct summary_row *row = &source->run->summary.rows[i];

		if (strcmp(row->cell->cell.value[CELL_MACHINE], source->machine))
			continue;
		if (row->cell->status == CELL_OK && row->have_cost) {
			source->unit = source->costs ? "modelled cycles" : row->unit;
			return true;
		}
	}
	return false;
}

/* ---- finding the cell ---- */

/* Settings that say how it was measured, not what. */
static bool is_method(enum cell_key key)
{
	return key == CELL_SAMPLES || key == CELL_OPS || key == CELL_TIMEOUT || key == CELL_RECORD ||
	       key == CELL_EXIT_LOG || key == CELL_STAMPS;
}

static bool same_place(const struct cell *a, const struct cell *b)
{
	const bool nested = cell_is_nested(b);

	for (int key = 0; key < CELL_KEY_COUNT; key++)
		if (!is_method((enum cell_key)key) && (nested || !cell_key_is_nested((enum cell_key)key)) &&
		        strcmp(a->value[key], b->value[key]))
			return false;
	return true;
}

/* "level=2 vmcs=trap" on top of what the cell is already. 0, or -errno with a sentence. */
static int apply_settings(struct cell *cell, const char *settings, char *why, size_t why_bytes)
{
	char text[PAPER_SETTINGS_BYTES], *rest = text, *word;

	snprintf(text, sizeof(text), "%s", settings);
	while ((word = strsep(&rest, " "))) {
		char *equals = strchr(word, '=');
		int status;

		if (!*word)
			continue;
		if (!equals) {
			snprintf(why, why_bytes, "\"%s\" is no setting", word);
			return -EINVAL;
		}
		*equals = '\0';
		status = cell_set(cell, word, equals + 1, NULL, 0);
		if (status) {
			snprintf(why, why_bytes, "this Testudo knows no %.40s=%.60s", word, equals + 1);
			return status;
		}
	}
	return 0;
}

/* The row of a cell that ran, best without stamps; else one that did not; NULL = none. */
static const struct summary_row *find_row(const struct paper_source *source, const struct cell *wanted, bool stamps)
{
	const struct summary_row *found = NULL;

	for (size_t i = 0; i < source->run->summary.count; i++) {
		const struct summary_row *row = &source->run->summary.rows[i];
		const bool has_stamps = !strcmp(row->cell->cell.value[CELL_STAMPS], "on");

		if (has_stamps == stamps && same_place(&row->cell->cell, wanted) &&
		        (!found || found->cell->status != CELL_OK))
			found = row;
	}
	return found;
}

__attribute__((format(printf, 2, 3))) static void unknown(struct paper_measure *measure, const char *format, ...)
{
	va_list arguments;

	memset(measure, 0, sizeof(*measure));
	va_start(arguments, format);
	vsnprintf(measure->why, sizeof(measure->why), format, arguments);
	va_end(arguments);
}

/* ---- where the time goes ---- */

static void divide_modelled(
        const struct paper_source *source, const struct summary_row *row, struct paper_measure *measure)
{
	const bool nested = cell_is_nested(&row->cell->cell);
	struct cost_parts parts;

	if (costs_parts_per_op(source->costs, row, source->run->reader, &parts))
		return;
	measure->parts[PAPER_PART_SWITCH] = parts.switches;
	measure->parts[PAPER_PART_L0] = parts.l0;
	measure->parts[nested ? PAPER_PART_L1 : PAPER_PART_GUEST] = parts.instructions;
	measure->divided = true;
}

/* Ticks of an operation in L0 and, of a nested cell, in L1, as the ledger has them; L1's with the switches of its
 * exits. */
static int ledger_times(const struct paper_source *source, const struct summary_row *row, double *l0, double *l1)
{
	const bool nested = cell_is_nested(&row->cell->cell);
	struct aggregate aggregate = {0};
	const int error = row->have_exits ? aggregate_cell(&aggregate, source->run->reader, row->index) : -ENODATA;

	*l0 = *l1 = 0;
	for (size_t i = 0; i < aggregate.count && !error; i++) {
		const struct aggregate_row *exits = &aggregate.rows[i];

		if (exits->mark || exits->phase != LEDGER_MEASURED)
			continue;
		*l0 += (double)exits->l0_ticks / (double)row->stats.ops;
		if (nested && exits->level == 1)
			*l1 += (double)exits->guest_ticks / (double)row->stats.ops;
	}
	aggregate_free(&aggregate);
	return error;
}

/* At level 1 the ledger knows L0's part; what is left is the switch. */
static void divide_single(
        const struct paper_source *source, const struct summary_row *row, struct paper_measure *measure)
{
	double l0, l1;

	if (ledger_times(source, row, &l0, &l1))
		return;
	measure->parts[PAPER_PART_L0] = l0;
	measure->parts[PAPER_PART_SWITCH] = measure->value > l0 ? measure->value - l0 : 0;
	measure->divided = true;
}

/* A nested trip's stamps (l0/stamps.h). L1's own exits happen inside its handler: L0's share of them is known, their
 * switches stay with L1. */
static void divide_stamped(const struct paper_source *source, const struct cell *wanted, struct paper_measure *measure)
{
	const struct summary_row *row = find_row(source, wanted, true);
	struct cell_result *result;
	double own, sum = 0;

	if (!row || row->cell->status != CELL_OK || !row->trip.trips) {
		snprintf(measure->why, sizeof(measure->why), "%.190s",
		        row ? row->reason : "the run has no such cell with stamps=on");
		return;
	}
	result = calloc(1, sizeof(*result));
	if (result && !reader_result(source->run->reader, row->index, result) && result->stamp_count) {
		own = result->stamp_median_of ? row->trip.median[ROUNDTRIP_L1_EXITS]
		                              : row->trip.mean[ROUNDTRIP_L1_EXITS];
		measure->parts[PAPER_PART_SWITCH] =
		        cell_stamp(result, STAMP_L2_TO_L0) + cell_stamp(result, STAMP_L0_TO_L1) +
		        cell_stamp(result, STAMP_L1_TO_L0) + cell_stamp(result, STAMP_L0_TO_L2);
		measure->parts[PAPER_PART_L0] =
		        cell_stamp(result, STAMP_REFLECT) + cell_stamp(result, STAMP_MERGE) + own;
		measure->parts[PAPER_PART_L1] = cell_stamp(result, STAMP_L1_HANDLER) - own;
		measure->divided = measure->parts[PAPER_PART_L1] >= 0;
		/* Stamping costs instructions: of that cell only the shares are taken. */
		for (int part = 0; part < PAPER_PARTS; part++)
			sum += measure->parts[part];
		for (int part = 0; part < PAPER_PARTS && sum > 0; part++)
			measure->parts[part] *= measure->value / sum;
	}
	free(result);
}

static void divide(const struct paper_source *source, const struct paper_figure *figure, const struct summary_row *row,
        const struct cell *wanted, struct paper_measure *measure)
{
	if (!paper_figure_divided(figure))
		return;
	if (source->costs)
		divide_modelled(source, row, measure);
	else if (cell_is_nested(&row->cell->cell))
		divide_stamped(source, wanted, measure);
	else
		divide_single(source, row, measure);
}

/* ---- shares ---- */

static void take_share(const struct paper_source *source, const struct paper_figure *figure,
        const struct summary_row *row, struct paper_measure *measure)
{
	double l0, l1, switches = 0, total = row->stats.op.mean;
	struct cost_parts parts;

	if (!row->have_cost || ledger_times(source, row, &l0, &l1)) {
		unknown(measure, "the cell's exits are not all recorded");
		return;
	}
	if (source->costs) {
		if (costs_parts_per_op(source->costs, row, source->run->reader, &parts)) {
			unknown(measure, "the cell has no modelled cost");
			return;
		}
		l0 = parts.l0;
		switches = parts.switches;
		l1 *= source->costs->cycles[COST_INSTRUCTION];
		total = parts.l0 + parts.switches + parts.instructions;
	}
	measure->known = total > 0;
	measure->value = 100 * (figure->metric == PAPER_L0_SHARE ? l0 : l0 + l1 + switches) / total;
	measure->low = measure->high = measure->value;
}

/* ---- the number ---- */

static void take_cost(const struct paper_source *source, const struct summary_row *row, struct paper_measure *measure)
{
	if (source->costs) {
		measure->value = measure->low = measure->high = row->modelled;
		measure->known = row->modelled >= 0;
	} else if (row->have_cost) {
		measure->value = row->stats.op.median;
		measure->low = row->stats.op.ci_low;
		measure->high = row->stats.op.ci_high;
		measure->known = true;
	}
	if (!measure->known)
		unknown(measure, "%s", row->reason[0] ? row->reason : "the cell has no cost");
}

const char *paper_figure_unit(const struct paper_figure *figure, const struct paper_source *source)
{
	switch (figure->metric) {
	case PAPER_MULTIPLICATION:
		return "exits";
	case PAPER_L0_SHARE:
	case PAPER_HOST_SHARE:
		return "%";
	case PAPER_COST:
		break;
	}
	return source->unit;
}

void paper_source_measure(const struct paper_source *source, const struct paper_figure *figure,
        const struct paper_place *place, const struct paper_place *series, struct paper_measure *measure)
{
	const struct summary_row *row;
	struct cell wanted;
	char why[200];

	memset(measure, 0, sizeof(*measure));
	if (figure->unmeasured[0]) {
		unknown(measure, "%.190s", figure->unmeasured);
		return;
	}
	cell_defaults(&wanted);
	if (cell_set(&wanted, "machine", source->machine, why, sizeof(why)) ||
	        apply_settings(&wanted, place->settings, why, sizeof(why)) ||
	        apply_settings(&wanted, series->settings, why, sizeof(why))) {
		unknown(measure, "%s", why);
		return;
	}
	row = find_row(source, &wanted, false);
	if (!row) {
		cell_name(&wanted, why, sizeof(why));
		unknown(measure, "the run has no cell %.150s", why);
	} else if (row->cell->status != CELL_OK) {
		unknown(measure, "%.190s", row->reason);
	} else if (figure->metric == PAPER_L0_SHARE || figure->metric == PAPER_HOST_SHARE) {
		take_share(source, figure, row, measure);
	} else if (figure->metric == PAPER_MULTIPLICATION) {
		measure->value = measure->low = measure->high = summary_multiplication(row);
		measure->known = measure->value >= 0;
		if (!measure->known)
			unknown(measure, "the cell's exits are not all recorded");
	} else {
		take_cost(source, row, measure);
		if (measure->known)
			divide(source, figure, row, &wanted, measure);
	}
}

void paper_ratio(const struct paper_figure *figure, const struct paper_measure *value, const struct paper_measure *base,
        struct paper_measure *ratio)
{
	const struct paper_measure *over = figure->more_is_better ? base : value;
	const struct paper_measure *under = figure->more_is_better ? value : base;

	memset(ratio, 0, sizeof(*ratio));
	if (!value->known || !base->known || under->low <= 0)
		return;
	ratio->known = true;
	ratio->value = over->value / under->value;
	ratio->low = over->low / under->high;
	ratio->high = over->high / under->low;
}
