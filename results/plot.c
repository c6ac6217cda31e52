/* SPDX-License-Identifier: Apache-2.0 */
#include "results/plot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/aggregate.h"
#include "shadowvmcs/exit_reasons.h"

#define MACHINES_MAX 8
#define REASONS_MAX 12
#define DISTRIBUTION_POINTS 400

static const char *const vmcs_modes[] = {"trap", "shadow", "direct"};
#define VMCS_MODES (sizeof(vmcs_modes) / sizeof(vmcs_modes[0]))

struct plotter {
	const char *folder;
	struct reader *reader;
	const struct summary *summary;
	const char *machine;
	FILE *settings;
	int error;
};

static const char *setting(const struct summary_row *row, enum cell_key key)
{
	return row->cell->cell.value[key];
}

static bool is(const struct summary_row *row, enum cell_key key, const char *value)
{
	return !strcmp(setting(row, key), value);
}

/* Rows of the machine that succeeded and differ from the defaults in nothing but level, workload and vmcs (and
 * profile). */
static bool is_plain(const struct plotter *plotter, const struct summary_row *row, bool any_profile)
{
	static const enum cell_key fixed[] = {
	        CELL_MMU, CELL_EPT12_PAGE, CELL_EPT02, CELL_MERGE, CELL_EXIT_LOG, CELL_STAMPS, CELL_RECORD};

	if (row->cell->status != CELL_OK || !is(row, CELL_MACHINE, plotter->machine))
		return false;
	if (!any_profile && !is(row, CELL_PROFILE, cell_key_infos[CELL_PROFILE].default_value))
		return false;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!is(row, fixed[i], cell_key_infos[fixed[i]].default_value))
			return false;
	return true;
}

static const struct summary_row *find(
        const struct plotter *plotter, const char *level, const char *workload, const char *vmcs)
{
	for (size_t i = 0; i < plotter->summary->count; i++) {
		const struct summary_row *row = &plotter->summary->rows[i];

		if (is_plain(plotter, row, false) && is(row, CELL_LEVEL, level) && is(row, CELL_WORKLOAD, workload) &&
		        (!vmcs || is(row, CELL_VMCS, vmcs)))
			return row;
	}
	return NULL;
}

/* Is this the first row of its workload? Plots have a bar, or a group of bars, per workload. */
static bool first_of_workload(const struct plotter *plotter, size_t index)
{
	const struct summary_row *row = &plotter->summary->rows[index];

	if (!is_plain(plotter, row, false))
		return false;
	for (size_t i = 0; i < index; i++)
		if (is_plain(plotter, &plotter->summary->rows[i], false) &&
		        is(&plotter->summary->rows[i], CELL_WORKLOAD, setting(row, CELL_WORKLOAD)))
			return false;
	return true;
}

static FILE *open_data(struct plotter *plotter, const char *name)
{
	char path[4300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s-%s.dat", plotter->folder, name, plotter->machine);
	file = fopen(path, "we");
	if (!file)
		plotter->error = -errno;
	return file;
}

static void close_data(struct plotter *plotter, FILE *file)
{
	bool failed = ferror(file);

	errno = 0;
	if ((fclose(file) || failed) && !plotter->error)
		plotter->error = errno ? -errno : -EIO;
}

static void write_cost_of(FILE *file, const struct summary_row *row)
{
	/* A loop that costs less than its noise has no place on a logarithmic axis; an exact 0 is drawn on a linear
	 * one. */
	if (!row || !row->have_cost || (row->stats.op.median <= 0 && !row->cell->virtual_time))
		fputs("\tNaN\tNaN\tNaN", file);
	else
		fprintf(file, "\t%.9g\t%.9g\t%.9g", row->stats.op.median, row->stats.op.ci_low, row->stats.op.ci_high);
}

static void write_cost(struct plotter *plotter)
{
	FILE *file = open_data(plotter, "cost");

	if (!file)
		return;
	fputs("workload\tlevel1\tlow\thigh", file);
	for (size_t mode = 0; mode < VMCS_MODES; mode++)
		fprintf(file, "\tlevel2_%s\tlow\thigh", vmcs_modes[mode]);
	fputc('\n', file);
	for (size_t i = 0; i < plotter->summary->count; i++) {
		const char *workload = setting(&plotter->summary->rows[i], CELL_WORKLOAD);

		if (!first_of_workload(plotter, i) || !strcmp(workload, "null"))
			continue;
		fprintf(file, "\"%s\"", workload);
		write_cost_of(file, find(plotter, "1", workload, NULL));
		for (size_t mode = 0; mode < VMCS_MODES; mode++)
			write_cost_of(file, find(plotter, "2", workload, vmcs_modes[mode]));
		fputc('\n', file);
	}
	close_data(plotter, file);
}

/* The stacked columns: exits of L2 of any reason first, then L1's exits by reason, as they come up. */
struct reasons {
	uint16_t reason[REASONS_MAX];
	size_t count;
	bool others; /* there were more than have a column */
};

static size_t reason_column(struct reasons *reasons, uint16_t reason)
{
	for (size_t i = 0; i < reasons->count; i++)
		if (reasons->reason[i] == reason)
			return i;
	if (reasons->count == REASONS_MAX - 1) {
		reasons->others = true;
		return REASONS_MAX - 1;
	}
	reasons->reason[reasons->count] = reason;
	return reasons->count++;
}

struct stack {
	double l2;
	double l1[REASONS_MAX];
};

/* Exits of the measured phase per L2 exit. */
static int stack_cell(
        struct plotter *plotter, const struct summary_row *row, struct reasons *reasons, struct stack *stack)
{
	struct aggregate aggregate = {0};
	int status = aggregate_cell(&aggregate, plotter->reader, row->index);
	double l2 = (double)row->l2_exits;

	memset(stack, 0, sizeof(*stack));
	for (size_t i = 0; !status && i < aggregate.count; i++) {
		const struct aggregate_row *exits = &aggregate.rows[i];

		if (exits->mark || exits->phase != LEDGER_MEASURED)
			continue;
		if (exits->level == 2)
			stack->l2 += (double)exits->count / l2;
		else
			stack->l1[reason_column(reasons, exits->reason)] += (double)exits->count / l2;
	}
	aggregate_free(&aggregate);
	return status;
}

static void write_multiplication(struct plotter *plotter)
{
	size_t capacity = plotter->summary->count;
	struct stack *stacks = calloc(capacity + 1, sizeof(*stacks));
	struct reasons reasons = {0};
	FILE *file;

	if (!stacks) {
		plotter->error = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < capacity && !plotter->error; i++) {
		const struct summary_row *row = &plotter->summary->rows[i];

		if (is_plain(plotter, row, false) && row->have_exits && row->l2_exits)
			plotter->error = stack_cell(plotter, row, &reasons, &stacks[i]);
	}
	file = plotter->error ? NULL : open_data(plotter, "multiplication");
	if (file) {
		fputs("workload\tvmcs\t\"L2 exit\"", file);
		for (size_t column = 0; column < reasons.count; column++)
			fprintf(file, "\t\"L1 %s\"", exit_reason_name(reasons.reason[column]));
		fputs(reasons.others ? "\t\"L1 others\"\n" : "\n", file);
		for (size_t i = 0; i < capacity; i++) {
			const struct summary_row *row = &plotter->summary->rows[i];

			if (!stacks[i].l2)
				continue;
			fprintf(file, "\"%s\"\t\"%s\"\t%.6g", setting(row, CELL_WORKLOAD), setting(row, CELL_VMCS),
			        stacks[i].l2);
			for (size_t column = 0; column < reasons.count; column++)
				fprintf(file, "\t%.6g", stacks[i].l1[column]);
			if (reasons.others)
				fprintf(file, "\t%.6g", stacks[i].l1[REASONS_MAX - 1]);
			fputc('\n', file);
		}
		fprintf(plotter->settings, "multiplication_columns_%s = %zu\n", plotter->machine,
		        3 + reasons.count + reasons.others);
		close_data(plotter, file);
	}
	free(stacks);
}

/* The papers' breakdown, from TSC stamps taken inside the round trip (stamps = on). */
static void write_stamps(struct plotter *plotter, FILE *file, struct cell_result *result)
{
	static const enum stamp_part order[] = {STAMP_L2_TO_L0, STAMP_REFLECT, STAMP_L0_TO_L1, STAMP_L1_TO_L0,
	        STAMP_MERGE, STAMP_L0_TO_L2, STAMP_L1_HANDLER};

	fputs("cell\t\"L2 to L0 switch\"\t\"vmcs02 to vmcs12\"\t\"enter L1\"\t\"L1 to L0 switch\"\t\"vmcs12 to "
	      "vmcs02\"\t"
	      "\"enter L2\"\t\"L1's handler with its own exits\"\n",
	        file);
	for (size_t i = 0; i < plotter->summary->count; i++) {
		const struct summary_row *row = &plotter->summary->rows[i];

		if (row->cell->status != CELL_OK || !is(row, CELL_MACHINE, plotter->machine) ||
		        !is(row, CELL_STAMPS, "on") || reader_result(plotter->reader, row->index, result) ||
		        !result->stamp_count)
			continue;
		fprintf(file, "\"%s %s %s\"", setting(row, CELL_WORKLOAD), setting(row, CELL_PROFILE),
		        setting(row, CELL_VMCS));
		for (size_t part = 0; part < sizeof(order) / sizeof(order[0]); part++)
			fprintf(file, "\t%.6g", cell_stamp(result, order[part]));
		fputc('\n', file);
	}
}

/* What the ledger alone tells: L1's and L2's parts hold their switches. */
static void write_parts(struct plotter *plotter, FILE *file)
{
	static const enum roundtrip_part order[] = {
	        ROUNDTRIP_L2, ROUNDTRIP_REFLECT, ROUNDTRIP_L1_EXITS, ROUNDTRIP_MERGE, ROUNDTRIP_L1};
	const size_t parts = sizeof(order) / sizeof(order[0]);

	fputs("cell", file);
	for (size_t part = 0; part < parts; part++)
		fprintf(file, "\t\"%s\"", roundtrip_part_name(order[part]));
	fputc('\n', file);
	for (size_t i = 0; i < plotter->summary->count; i++) {
		const struct summary_row *row = &plotter->summary->rows[i];

		if (!is_plain(plotter, row, true) || !row->trip.trips || !is(row, CELL_WORKLOAD, "cpuid"))
			continue;
		fprintf(file, "\"%s %s\"", setting(row, CELL_PROFILE), setting(row, CELL_VMCS));
		for (size_t part = 0; part < parts; part++)
			fprintf(file, "\t%.6g", row->trip.median[order[part]]);
		fputc('\n', file);
	}
}

static bool has_stamps(const struct plotter *plotter)
{
	for (size_t i = 0; i < plotter->summary->count; i++)
		if (is(&plotter->summary->rows[i], CELL_MACHINE, plotter->machine) &&
		        is(&plotter->summary->rows[i], CELL_STAMPS, "on") &&
		        plotter->summary->rows[i].cell->status == CELL_OK)
			return true;
	return false;
}

static void write_breakdown(struct plotter *plotter)
{
	struct cell_result *result = calloc(1, sizeof(*result));
	bool stamps = has_stamps(plotter);
	FILE *file = result ? open_data(plotter, "breakdown") : NULL;

	if (!result)
		plotter->error = -ENOMEM;
	if (file) {
		if (stamps)
			write_stamps(plotter, file, result);
		else
			write_parts(plotter, file);
		fprintf(plotter->settings, "breakdown_columns_%s = %d\nbreakdown_from_%s = \"%s\"\n", plotter->machine,
		        stamps ? 8 : 6, plotter->machine, stamps ? "TSC stamps" : "the ledger");
		close_data(plotter, file);
	}
	free(result);
}

/* Time from one L2 exit to the next within a sample: what one operation took. */
struct intervals {
	double *values;
	size_t count, capacity;
	uint64_t last_tsc;
	uint16_t last_sample;
	bool have_last;
	uint16_t reason;
};

static int collect_intervals(void *ctx, const struct ledger_record *records, size_t count)
{
	struct intervals *intervals = ctx;

	for (size_t i = 0; i < count; i++) {
		const struct ledger_record *record = &records[i];

		if (record->phase != LEDGER_MEASURED || record->level != 2 || (record->flags & LEDGER_FLAG_MARK)) {
			intervals->have_last = intervals->have_last && record->phase == LEDGER_MEASURED;
			continue;
		}
		if (intervals->have_last && record->sample == intervals->last_sample) {
			if (intervals->count == intervals->capacity) {
				size_t capacity = intervals->capacity ? 2 * intervals->capacity : 4096;
				double *values = realloc(intervals->values, capacity * sizeof(*values));

				if (!values)
					return -ENOMEM;
				intervals->values = values;
				intervals->capacity = capacity;
			}
			intervals->values[intervals->count++] = (double)(record->tsc - intervals->last_tsc);
		}
		intervals->last_tsc = record->tsc;
		intervals->last_sample = record->sample;
		intervals->have_last = true;
	}
	return 0;
}

static void write_distribution(struct plotter *plotter)
{
	const struct summary_row *row = find(plotter, "2", "cpuid", "shadow");
	struct intervals intervals = {0};
	char name[160];
	FILE *file;

	for (size_t i = 0; !row && i < plotter->summary->count; i++)
		if (is_plain(plotter, &plotter->summary->rows[i], true) && plotter->summary->rows[i].trip.trips)
			row = &plotter->summary->rows[i];
	if (!row)
		return;
	plotter->error = reader_records(plotter->reader, row->index, collect_intervals, &intervals);
	if (!plotter->error && intervals.count && (file = open_data(plotter, "distribution"))) {
		stats_sort(intervals.values, intervals.count);
		fputs("ticks\tshare\n", file);
		for (int point = 0; point <= DISTRIBUTION_POINTS; point++) {
			double share = (double)point / DISTRIBUTION_POINTS;

			fprintf(file, "%.9g\t%.6g\n", stats_quantile(intervals.values, intervals.count, share), share);
		}
		close_data(plotter, file);
		cell_name(&row->cell->cell, name, sizeof(name));
		fprintf(plotter->settings, "distribution_cell_%s = \"%s, %zu operations\"\n", plotter->machine, name,
		        intervals.count);
	}
	free(intervals.values);
}

static size_t list_machines(const struct summary *summary, const char *names[MACHINES_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < summary->count; i++) {
		const struct summary_row *row = &summary->rows[i];
		bool seen = row->cell->status != CELL_OK;

		for (size_t j = 0; j < count && !seen; j++)
			seen = !strcmp(names[j], setting(row, CELL_MACHINE));
		if (!seen && count < MACHINES_MAX)
			names[count++] = setting(row, CELL_MACHINE);
	}
	return count;
}

static void plot_machine(struct plotter *plotter)
{
	const char *unit = "cycles";

	for (size_t i = 0; i < plotter->summary->count; i++)
		if (is_plain(plotter, &plotter->summary->rows[i], true) && plotter->summary->rows[i].unit)
			unit = plotter->summary->rows[i].unit;
	fprintf(plotter->settings, "unit_%s = \"%s\"\n", plotter->machine, unit);
	write_cost(plotter);
	if (!plotter->error)
		write_multiplication(plotter);
	if (!plotter->error)
		write_breakdown(plotter);
	if (!plotter->error)
		write_distribution(plotter);
}

int plot_write_data(
        const char *folder, struct reader *reader, const struct summary *summary, char *why, size_t why_bytes)
{
	struct plotter plotter = {.folder = folder, .reader = reader, .summary = summary};
	const char *names[MACHINES_MAX];
	size_t count = list_machines(summary, names);
	char path[4200];

	if (!count) {
		snprintf(why, why_bytes, "there is nothing to plot: no cell of this run succeeded");
		return -ENODATA;
	}
	snprintf(path, sizeof(path), "%s/settings.gp", folder);
	plotter.settings = fopen(path, "we");
	if (!plotter.settings) {
		snprintf(why, why_bytes, "%.180s cannot be written: %s", path, strerror(errno));
		return -errno;
	}
	fputs("# Written by `testudo plot`: which machines there is data for, and what it is about.\nmachines = \"",
	        plotter.settings);
	for (size_t i = 0; i < count; i++)
		fprintf(plotter.settings, "%s%s", i ? " " : "", names[i]);
	fputs("\"\n", plotter.settings);
	for (size_t i = 0; i < count && !plotter.error; i++) {
		plotter.machine = names[i];
		plot_machine(&plotter);
	}
	if (fclose(plotter.settings) && !plotter.error)
		plotter.error = -errno;
	if (plotter.error)
		snprintf(why, why_bytes, "the data of the plots in %.180s cannot be written: %s", folder,
		        strerror(-plotter.error));
	return plotter.error;
}
