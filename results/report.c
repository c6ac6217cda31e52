/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a run on a terminal. */
#include "results/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/noise.h"

/* Columns of the table by workload: level 1, then level 2 by vmcs mode. */
enum { COLUMN_LEVEL1, COLUMN_TRAP, COLUMN_SHADOW, COLUMN_DIRECT, COLUMN_COUNT };

/* One line of it: rows that agree in all settings but level and vmcs. */
struct line {
	const struct summary_row *cell[COLUMN_COUNT];
	const struct summary_row *any;
	bool joined; /* a level-1 line with nested settings' defaults, shown in other lines too */
};

static const char *setting(const struct summary_row *row, enum cell_key key)
{
	return row->cell->cell.value[key];
}

static bool is_level1(const struct summary_row *row)
{
	return !cell_is_nested(&row->cell->cell);
}

static int column_of(const struct summary_row *row)
{
	if (is_level1(row))
		return COLUMN_LEVEL1;
	if (!strcmp(setting(row, CELL_VMCS), "trap"))
		return COLUMN_TRAP;
	return strcmp(setting(row, CELL_VMCS), "shadow") ? COLUMN_DIRECT : COLUMN_SHADOW;
}

/* Settings that put two level-2 rows on different lines. */
static bool same_line(const struct summary_row *a, const struct summary_row *b)
{
	static const enum cell_key keys[] = {CELL_MACHINE, CELL_WORKLOAD, CELL_PROFILE, CELL_MMU, CELL_EPT12_PAGE,
	        CELL_EPT02, CELL_MERGE, CELL_EXIT_LOG, CELL_STAMPS, CELL_RECORD};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(setting(a, keys[i]), setting(b, keys[i])))
			return false;
	return true;
}

/* A level-1 row belongs beside every level-2 row of its machine and workload. */
static bool is_control_of(const struct summary_row *level1, const struct summary_row *row)
{
	return !strcmp(setting(level1, CELL_MACHINE), setting(row, CELL_MACHINE)) &&
	       !strcmp(setting(level1, CELL_WORKLOAD), setting(row, CELL_WORKLOAD)) &&
	       !strcmp(setting(level1, CELL_RECORD), setting(row, CELL_RECORD));
}

static struct line *make_lines(const struct summary *summary, size_t *count)
{
	struct line *lines = calloc(summary->count + 1, sizeof(*lines));

	*count = 0;
	for (size_t i = 0; lines && i < summary->count; i++) {
		const struct summary_row *row = &summary->rows[i];
		struct line *line = NULL;

		for (size_t j = 0; j < *count && !is_level1(row); j++)
			if (!is_level1(lines[j].any) && same_line(lines[j].any, row) && !lines[j].cell[column_of(row)])
				line = &lines[j];
		if (!line) {
			line = &lines[(*count)++];
			line->any = row;
		}
		line->cell[column_of(row)] = row;
	}
	/* Show each level-1 result in the lines of its workload instead of alone. */
	for (size_t i = 0; lines && i < *count; i++) {
		if (!is_level1(lines[i].any))
			continue;
		for (size_t j = 0; j < *count; j++) {
			if (is_level1(lines[j].any) || !is_control_of(lines[i].any, lines[j].any))
				continue;
			lines[j].cell[COLUMN_LEVEL1] = lines[i].any;
			lines[i].joined = true;
		}
	}
	return lines;
}

static void format_cost(double cost, char *text, size_t bytes)
{
	if (fabs(cost) < 99.95)
		snprintf(text, bytes, "%.1f", cost);
	else if (fabs(cost) < 1e6)
		snprintf(text, bytes, "%.0f", cost);
	else
		snprintf(text, bytes, "%.2fM", cost / 1e6);
}

/* Half of the interval in per cent of the median. */
static void format_spread(const struct stats *stats, char *text, size_t bytes)
{
	double half = stats->median > 0 ? 50 * (stats->ci_high - stats->ci_low) / stats->median : INFINITY;

	if (half <= 0 || stats->min == stats->max)
		snprintf(text, bytes, "exact");
	else if (half > 999)
		snprintf(text, bytes, "noise");
	else
		snprintf(text, bytes, "±%.*f%%", half < 10 ? 1 : 0, half);
}

/* printf's widths count bytes: pad by characters instead. */
static void print_right(FILE *out, const char *text, int width)
{
	int shown = 0;

	for (const char *at = text; *at; at++)
		shown += (*at & 0xc0) != 0x80;
	fprintf(out, "%*s%s", width > shown ? width - shown : 0, "", text);
}

enum { COST_WIDTH = 10, SPREAD_WIDTH = 7, EXITS_WIDTH = 6, LEVEL2_WIDTH = COST_WIDTH + SPREAD_WIDTH + EXITS_WIDTH };

static void print_cell(FILE *out, const struct summary_row *row, int column)
{
	char cost[24] = "-", spread[24] = "", exits[24] = "";

	if (row && row->cell->status != CELL_OK) {
		snprintf(cost, sizeof(cost), "%s", row->cell->status == CELL_REFUSED ? "n/a" : "FAILED");
	} else if (row && row->have_cost) {
		format_cost(row->stats.op.median, cost, sizeof(cost));
		format_spread(&row->stats.op, spread, sizeof(spread));
	}
	if (row && row->cell->status == CELL_OK && row->have_exits && summary_multiplication(row) >= 0)
		snprintf(exits, sizeof(exits), "%.4gx", summary_multiplication(row));
	print_right(out, cost, COST_WIDTH);
	print_right(out, spread, SPREAD_WIDTH);
	if (column != COLUMN_LEVEL1)
		print_right(out, exits, EXITS_WIDTH);
}

/* The workload, and the settings that make this row differ from others of the same workload. */
static void row_label(const struct summary_row *row, char *text, size_t bytes)
{
	static const enum cell_key keys[] = {CELL_PROFILE, CELL_MMU, CELL_EPT12_PAGE, CELL_EPT02, CELL_MERGE,
	        CELL_EXIT_LOG, CELL_STAMPS, CELL_RECORD};
	int used = snprintf(text, bytes, "%s", setting(row, CELL_WORKLOAD));

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && (size_t)used < bytes; i++)
		if (strcmp(setting(row, keys[i]), cell_key_infos[keys[i]].default_value))
			used += snprintf(text + used, bytes - (size_t)used, " %s%s%s",
			        keys[i] == CELL_PROFILE ? "" : cell_key_infos[keys[i]].name,
			        keys[i] == CELL_PROFILE ? "" : "=", setting(row, keys[i]));
}

static void print_machine(FILE *out, const struct line *lines, size_t count, const char *machine, bool colours)
{
	const char *bold = colours ? "\033[1m" : "", *plain = colours ? "\033[0m" : "";
	const char *unit = "cycles";
	bool virtual_time = false;
	char label[64];
	int width = (int)strlen("workload");

	for (size_t i = 0; i < count; i++) {
		if (lines[i].joined || strcmp(setting(lines[i].any, CELL_MACHINE), machine))
			continue;
		if (lines[i].any->unit)
			unit = lines[i].any->unit;
		virtual_time |= lines[i].any->cell->virtual_time;
		row_label(lines[i].any, label, sizeof(label));
		width = (int)strlen(label) > width ? (int)strlen(label) : width;
	}
	fprintf(out,
	        "\n%smachine %s: %s per operation, median ± half of its 95%% interval; exits L0 handles per L2 "
	        "exit%s\n",
	        bold, machine, unit, plain);
	fprintf(out, "%-*s%*s%*s%*s%*s\n", width, "workload", COST_WIDTH + SPREAD_WIDTH, "level 1", LEVEL2_WIDTH,
	        "level 2 trap", LEVEL2_WIDTH, "level 2 shadow", LEVEL2_WIDTH, "level 2 direct");
	for (size_t i = 0; i < count; i++) {
		if (lines[i].joined || strcmp(setting(lines[i].any, CELL_MACHINE), machine))
			continue;
		row_label(lines[i].any, label, sizeof(label));
		fprintf(out, "%-*s", width, label);
		for (int column = 0; column < COLUMN_COUNT; column++)
			print_cell(out, lines[i].cell[column], column);
		fputc('\n', out);
	}
	if (virtual_time)
		fputs("Only instructions that retire count. One that exits and is emulated does not, and L0's\n"
		      "work takes no virtual time: such an operation costs 0 at level 1, and at level 2 what L1\n"
		      "executes to handle it. With vmcs=trap VMREAD and VMWRITE exit, too: compare exits with\n"
		      "the other modes, not instructions.\n",
		        out);
}

/* Cells without a result, one line for each reason. */
static void print_reasons(FILE *out, const struct summary *summary)
{
	const char *separator = "\n";

	for (size_t i = 0; i < summary->count; i++) {
		const struct summary_row *row = &summary->rows[i];
		size_t same = 0;
		bool first = true;
		char name[160];

		if (row->cell->status == CELL_OK)
			continue;
		for (size_t j = 0; j < summary->count; j++) {
			if (summary->rows[j].cell->status != row->cell->status ||
			        strcmp(summary->rows[j].cell->reason, row->cell->reason))
				continue;
			first = first && j >= i;
			same++;
		}
		if (!first)
			continue;
		cell_name(&row->cell->cell, name, sizeof(name));
		fprintf(out, "%s%s: %s", separator, row->cell->status == CELL_REFUSED ? "not available" : "failed",
		        name);
		separator = "";
		if (same > 1)
			fprintf(out, " and %zu more", same - 1);
		fprintf(out, ": %s\n", row->cell->reason);
	}
}

void report_print(FILE *out, const struct summary *summary, bool colours)
{
	size_t count;
	struct line *lines = make_lines(summary, &count);

	if (!lines)
		return;
	for (size_t i = 0; i < summary->count; i++) {
		const char *machine = setting(&summary->rows[i], CELL_MACHINE);
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = !strcmp(setting(&summary->rows[j], CELL_MACHINE), machine);
		if (!seen)
			print_machine(out, lines, count, machine, colours);
	}
	free(lines);
	print_reasons(out, summary);
}

void report_print_all(FILE *out, const struct summary *summary)
{
	for (size_t i = 0; i < summary->count; i++) {
		const struct summary_row *row = &summary->rows[i];
		char name[160], cost[24], spread[24];

		cell_name(&row->cell->cell, name, sizeof(name));
		fprintf(out, "%-56s %-7s", name, cell_status_name(row->cell->status));
		if (row->cell->status != CELL_OK || !row->have_cost) {
			fprintf(out, " %s\n", row->reason);
			continue;
		}
		format_cost(row->stats.op.median, cost, sizeof(cost));
		format_spread(&row->stats.op, spread, sizeof(spread));
		print_right(out, cost, 11);
		fprintf(out, " %s ", row->unit);
		print_right(out, spread, 7);
		if (row->have_exits)
			fprintf(out, "  exits/op: L2 %.4g, L1 %.4g, reflected %.4g", summary_per_op(row, row->l2_exits),
			        summary_per_op(row, row->l1_exits), summary_per_op(row, row->reflected));
		if (row->have_exits && summary_multiplication(row) >= 0)
			fprintf(out, "; multiplication %.4g", summary_multiplication(row));
		fputc('\n', out);
	}
}

/* In virtual time L0 takes none: there is nothing to break down. */
static bool has_breakdown(const struct summary_row *row)
{
	return row->cell->status == CELL_OK && row->trip.trips && !row->cell->virtual_time &&
	       row->trip.median[ROUNDTRIP_TOTAL] > 0;
}

/* The workload to break down: cpuid, the papers' example, or the first there is. NULL = none. */
static const char *breakdown_workload(const struct summary *summary, const char **unit)
{
	const char *first = NULL;

	for (size_t i = 0; i < summary->count; i++) {
		const char *workload = setting(&summary->rows[i], CELL_WORKLOAD);

		if (!has_breakdown(&summary->rows[i]))
			continue;
		*unit = summary->rows[i].unit;
		if (!strcmp(workload, "cpuid"))
			return workload;
		first = first ? first : workload;
	}
	return first;
}

void report_print_breakdown(FILE *out, const struct summary *summary)
{
	const char *unit = "cycles", *workload = breakdown_workload(summary, &unit);

	if (!workload)
		return;
	fprintf(out,
	        "\nWhere a nested round trip goes: median %s of each part, and its share of the median total\n"
	        "L1 and L2 with the switches to and from them; reflect, L1's exits and merge are L0's work\n%-31s",
	        unit, "");
	for (int part = 0; part < ROUNDTRIP_PARTS; part++)
		fprintf(out, "%15s", roundtrip_part_name((enum roundtrip_part)part));
	fputc('\n', out);
	for (size_t i = 0; i < summary->count; i++) {
		const struct summary_row *row = &summary->rows[i];
		double total = row->trip.median[ROUNDTRIP_TOTAL];
		char label[64], name[128];

		if (!has_breakdown(row) || strcmp(setting(row, CELL_WORKLOAD), workload))
			continue;
		row_label(row, label, sizeof(label));
		snprintf(name, sizeof(name), "%s %s %s", setting(row, CELL_MACHINE), label, setting(row, CELL_VMCS));
		fprintf(out, "%-31s", name);
		for (int part = 0; part < ROUNDTRIP_PARTS; part++)
			fprintf(out, "%8.0f (%3.0f%%)", row->trip.median[part], 100 * row->trip.median[part] / total);
		fputc('\n', out);
	}
}

void report_print_modelled(FILE *out, const struct summary *summary, const struct costs *costs)
{
	fprintf(out, "\nMODELLED cycles per operation: exact counts times the unit costs of %s; not a measurement\n",
	        costs->name);
	for (size_t i = 0; i < summary->count; i++) {
		char name[160];

		if (summary->rows[i].modelled < 0)
			continue;
		cell_name(&summary->rows[i].cell->cell, name, sizeof(name));
		fprintf(out, "  %-56s %12.0f modelled cycles\n", name, summary->rows[i].modelled);
	}
	for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
		if (costs->source[unit][0])
			fprintf(out, "  %-16s %8g cycles: %s\n", cost_unit_infos[unit].name, costs->cycles[unit],
			        costs->source[unit]);
}

void report_print_health(FILE *out, const struct reader_overview *overview)
{
	if (!overview->finished)
		fprintf(out, "incomplete: %s\n", overview->end_reason);
	if (overview->torn_bytes)
		fprintf(out, "torn: the last %llu bytes of run.tdo are a write that did not finish\n",
		        (unsigned long long)overview->torn_bytes);
	if (overview->damaged_frames)
		fprintf(out, "damaged: %llu bytes in %llu places of run.tdo; %llu records are lost with them\n",
		        (unsigned long long)overview->damaged_bytes, (unsigned long long)overview->damaged_frames,
		        (unsigned long long)overview->missing);
	if (overview->dropped)
		fprintf(out, "dropped: %llu exits were not recorded because the recorder was too slow\n",
		        (unsigned long long)overview->dropped);
}

static int write_csv(const char *folder, const struct summary *summary, char *why, size_t why_bytes)
{
	char path[4200], temporary[4240];
	FILE *file;
	int status;

	snprintf(path, sizeof(path), "%s/summary.csv", folder);
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	file = fopen(temporary, "we");
	status = file ? summary_write_csv(summary, file) : -errno;
	if (file && fclose(file) && !status)
		status = -errno;
	if (!status && rename(temporary, path))
		status = -errno;
	if (status) {
		remove(temporary);
		snprintf(why, why_bytes, "%.150s cannot be written: %s", path, strerror(-status));
	}
	return status;
}

static int print_noise(const struct report_files *files, const struct summary *summary, struct reader *reader)
{
	struct noise *noise = malloc(sizeof(*noise));
	int err = noise ? noise_compute(noise, summary, reader) : -ENOMEM;

	if (!err) {
		noise_print(files->out, noise);
		if (files->noise)
			noise_print_rows(files->out, noise);
		noise_free(noise);
	}
	free(noise);
	return err;
}

int report_run(const struct report_files *files, char *why, size_t why_bytes)
{
	struct reader *reader;
	struct summary summary = {0};
	char path[4200];
	int status;

	snprintf(path, sizeof(path), "%s/run.tdo", files->folder);
	status = reader_open(&reader, path, why, why_bytes);
	if (status)
		return status;
	status = summary_compute(&summary, reader);
	if (!status && files->costs)
		costs_apply(files->costs, &summary, reader);
	if (status)
		snprintf(why, why_bytes, "%.150s cannot be summarised: %s", path, strerror(-status));
	else
		status = write_csv(files->folder, &summary, why, why_bytes);
	if (files->out && summary.count) {
		if (files->all)
			report_print_all(files->out, &summary);
		else
			report_print(files->out, &summary, files->colours);
		report_print_breakdown(files->out, &summary);
		if (files->costs)
			report_print_modelled(files->out, &summary, files->costs);
		if (!status) {
			status = print_noise(files, &summary, reader);
			if (status)
				snprintf(why, why_bytes, "the noise of %.150s cannot be told: %s", path,
				        strerror(-status));
		}
	}
	if (files->out)
		report_print_health(files->out, reader_overview(reader));
	if (!status && files->page)
		status = files->page(files->folder, reader, &summary, why, why_bytes);
	summary_free(&summary);
	reader_close(reader);
	return status;
}
