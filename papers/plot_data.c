/* SPDX-License-Identifier: Apache-2.0 */
/* A figure as data for gnuplot. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "papers/output.h"

/* One bar: the number, its ratio to the base with the interval, and the ratio's parts. */
struct bar {
	double value, low, high;
	double ratio, ratio_low, ratio_high;
	double parts[PAPER_PARTS];
};

struct panel {
	const struct paper_figure *figure;
	const struct paper_source *source; /* NULL: the paper */
};

static void measure_theirs(void *ctx, const struct paper_figure *figure, const struct paper_place *row,
        const struct paper_place *series, struct paper_measure *measure)
{
	const struct paper_value *value = paper_table_find(&figure->table, row->name, series->name);

	memset(measure, 0, sizeof(*measure));
	measure->known = value && value->known;
	if (!measure->known)
		return;
	measure->value = measure->low = measure->high = value->value;
	measure->divided = true;
	for (int part = 0; part < PAPER_PARTS; part++)
		if (figure->parts[part])
			measure->divided &= paper_table_number(&figure->table, row->name,
			        paper_part_name((enum paper_part)part), &measure->parts[part]);
}

static void measure(const struct panel *panel, const struct paper_place *row, const struct paper_place *series,
        struct paper_measure *measured)
{
	if (panel->source)
		paper_source_measure(panel->source, panel->figure, row, series, measured);
	else
		measure_theirs(NULL, panel->figure, row, series, measured);
}

static void make_bar(
        const struct panel *panel, const struct paper_place *row, const struct paper_place *series, struct bar *bar)
{
	const struct paper_figure *figure = panel->figure;
	struct paper_figure direct = *figure; /* the paper's numbers are scores already */
	const struct paper_place *base_row = row, *base_series = series;
	struct paper_measure own, base, ratio;

	direct.more_is_better = figure->more_is_better && panel->source;
	*bar = (struct bar){NAN, NAN, NAN, NAN, NAN, NAN, {NAN, NAN, NAN, NAN}};
	measure(panel, row, series, &own);
	paper_figure_base(figure, &base_row, &base_series);
	measure(panel, base_row, base_series, &base);
	if (!own.known)
		return;
	bar->value = own.value;
	bar->low = own.low;
	bar->high = own.high;
	paper_ratio(&direct, &own, &base, &ratio);
	if (!ratio.known)
		return;
	bar->ratio = ratio.value;
	bar->ratio_low = ratio.low;
	bar->ratio_high = ratio.high;
	for (int part = 0; part < PAPER_PARTS && own.divided; part++)
		bar->parts[part] = figure->parts[part] ? own.parts[part] / base.value : 0;
}

static bool has_numbers(const struct panel *panel)
{
	struct paper_measure measured;

	for (size_t i = 0; i < panel->figure->row_count; i++)
		for (size_t j = 0; j < panel->figure->series_count; j++) {
			measure(panel, &panel->figure->rows[i], &panel->figure->series[j], &measured);
			if (measured.known)
				return true;
		}
	return false;
}

/* Above a bar: "4.7x", the number itself where there is no base, a dash where there is no bar; gnuplot takes an empty
 * string for no data. */
static void write_label(FILE *file, const struct paper_figure *figure, const struct bar *bar)
{
	if (isnan(bar->value))
		fputs("–\"", file);
	else if (!figure->base[0])
		fprintf(file, "%.3g\"", bar->value);
	else if (isnan(bar->ratio))
		fputs(" \"", file);
	else
		fprintf(file, bar->ratio < 9.95 ? "%.1f×\"" : "%.0f×\"", bar->ratio);
}

/* The highest bars of a panel, for its axes; gnuplot warns of what it finds empty. */
struct tops {
	double value, ratio;
	bool there[PAPER_SERIES_MAX]; /**< the series has a number at all */
};

static void write_panel(FILE *file, const struct panel *panel, struct tops *tops)
{
	const struct paper_figure *figure = panel->figure;

	memset(tops, 0, sizeof(*tops));

	fputs("# row", file);
	for (size_t j = 0; j < figure->series_count; j++)
		fprintf(file, "\t%s\tlow\thigh\tratio\tlow\thigh\tlabel", figure->series[j].name);
	for (int part = 0; part < PAPER_PARTS; part++)
		fprintf(file, "\t%s", paper_part_name((enum paper_part)part));
	fputc('\n', file);
	for (size_t i = 0; i < figure->row_count; i++) {
		struct bar bar = {0};

		fprintf(file, "\"%s\"", figure->rows[i].name);
		for (size_t j = 0; j < figure->series_count; j++) {
			make_bar(panel, &figure->rows[i], &figure->series[j], &bar);
			tops->value = fmax(tops->value, bar.high);
			tops->ratio = fmax(tops->ratio, bar.ratio_high);
			tops->there[j] |= !isnan(bar.value);
			fprintf(file, "\t%.9g\t%.9g\t%.9g\t%.6g\t%.6g\t%.6g\t\"", bar.value, bar.low, bar.high,
			        bar.ratio, bar.ratio_low, bar.ratio_high);
			write_label(file, figure, &bar);
		}
		/* Bars of several series are not divided. */
		for (int part = 0; part < PAPER_PARTS; part++)
			fprintf(file, "\t%.6g", figure->series_count == 1 ? bar.parts[part] : NAN);
		fputc('\n', file);
	}
}

static void write_names(FILE *file, const char *array, const struct paper_place *places, size_t count)
{
	fprintf(file, "array %s[%zu] = [", array, count);
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%s\"%s\"", i ? ", " : "", places[i].name);
	fputs("]\n", file);
}

static void write_settings(FILE *file, const struct paper_figure *figure, size_t panels)
{
	fprintf(file, "figure = \"%s\"\npanels = %zu\n", figure->id, panels);
	write_names(file, "row_name", figure->rows, figure->row_count);
	write_names(file, "series_name", figure->series, figure->series_count);
	fprintf(file, "references = %zu\n", figure->reference_count);
	fprintf(file, "array reference[%zu]\narray reference_name[%zu]\n", figure->reference_count + 1,
	        figure->reference_count + 1);
	for (size_t i = 0; i < figure->reference_count; i++)
		fprintf(file, "reference[%zu] = %.6g\nreference_name[%zu] = \"%s\"\n", i + 1,
		        figure->references[i].ratio, i + 1, figure->references[i].label);
}

static void write_panel_settings(
        FILE *file, size_t panel, const char *whose, const char *name, const char *unit, const struct tops *tops)
{
	fprintf(file, "panel_name[%zu] = \"%s%s\"\npanel_unit[%zu] = \"%s\"\n", panel, whose, name, panel, unit);
	for (size_t i = 0; i < PAPER_SERIES_MAX; i++)
		fprintf(file, "there[%zu] = %d\n", (panel - 1) * PAPER_SERIES_MAX + i + 1, tops->there[i]);
	fprintf(file, "panel_top[%zu] = %.6g\npanel_top_ratio[%zu] = %.6g\n", panel, tops->value, panel, tops->ratio);
}

static FILE *open_file(const char *folder, const char *figure, const char *suffix)
{
	char path[4300];

	snprintf(path, sizeof(path), "%s/%s%s", folder, figure, suffix);
	return fopen(path, "we");
}

static int close_file(FILE *file)
{
	const bool failed = ferror(file);

	return fclose(file) || failed ? -EIO : 0;
}

int paper_write_figure(
        const char *folder, const struct paper_figure *figure, const struct paper_source *sources, size_t source_count)
{
	FILE *data = open_file(folder, figure->id, ".dat"), *settings = open_file(folder, figure->id, "-set.gp");
	size_t panels = 1;
	struct tops tops;
	int status = data && settings ? 0 : -errno;

	if (!status) {
		fputs("array panel_name[9]\narray panel_unit[9]\narray panel_top[9]\narray panel_top_ratio[9]\n",
		        settings);
		fprintf(settings, "array there[%d]\n", 9 * PAPER_SERIES_MAX);
		write_panel(data, &(struct panel){figure, NULL}, &tops);
		write_panel_settings(settings, panels, "the paper", "", figure->unit, &tops);
		for (size_t i = 0; i < source_count && panels < 9; i++) {
			const struct panel panel = {figure, &sources[i]};

			if (!has_numbers(&panel))
				continue;
			fputs("\n\n", data);
			write_panel(data, &panel, &tops);
			write_panel_settings(settings, ++panels, "Testudo, ", sources[i].name,
			        paper_figure_unit(figure, &sources[i]), &tops);
		}
		write_settings(settings, figure, panels);
	}
	if (data && close_file(data) && !status)
		status = -EIO;
	if (settings && close_file(settings) && !status)
		status = -EIO;
	return status;
}
