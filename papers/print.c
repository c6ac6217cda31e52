/* SPDX-License-Identifier: Apache-2.0 */
/* A figure as a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "papers/output.h"

#define MISSING_MAX 16
#define TEXT_WIDTH 118

/* What is not available, one line for each reason. */
struct missing {
	char source[24];
	char why[200];
	char places[160];
	size_t count;
};

struct printer {
	FILE *out;
	const struct paper_figure *figure;
	struct missing missing[MISSING_MAX];
	size_t missing_count;
};

static void print_wrapped(FILE *out, const char *first, const char *indent, const char *text)
{
	int column = fprintf(out, "%s", first);

	while (*text) {
		const int length = (int)strcspn(text, " ");

		if (column + length > TEXT_WIDTH) {
			fputc('\n', out);
			column = fprintf(out, "%s", indent);
		}
		column += fprintf(out, "%.*s%s", length, text, text[length] ? " " : "");
		text += length + (text[length] != '\0');
	}
	fputc('\n', out);
}

static void format_number(char *text, size_t bytes, double value)
{
	if (fabs(value) >= 1e6)
		snprintf(text, bytes, "%.3gM", value / 1e6);
	else if (fabs(value) >= 1000 || value == floor(value))
		snprintf(text, bytes, "%.0f", value);
	else
		snprintf(text, bytes, "%.4g", value);
}

static void format_ratio(char *text, size_t bytes, double ratio)
{
	snprintf(text, bytes, ratio < 1.995 ? "%.2fx" : ratio < 99.5 ? "%.1fx" : "%.0fx", ratio);
}

static void note_missing(struct printer *printer, const char *source, const char *place, const char *why)
{
	struct missing *missing = printer->missing;
	size_t i = 0;

	while (i < printer->missing_count && (strcmp(missing[i].source, source) || strcmp(missing[i].why, why)))
		i++;
	if (i == MISSING_MAX)
		return;
	if (i == printer->missing_count) {
		printer->missing_count++;
		snprintf(missing[i].source, sizeof(missing[i].source), "%s", source);
		snprintf(missing[i].why, sizeof(missing[i].why), "%s", why);
		missing[i].places[0] = '\0';
		missing[i].count = 0;
	}
	if (missing[i].count++ < 2)
		snprintf(missing[i].places + strlen(missing[i].places),
		        sizeof(missing[i].places) - strlen(missing[i].places), "%s%s", missing[i].places[0] ? ", " : "",
		        place);
}

/* A place's column of one source is "value ratio [parts]", each of fixed width. */
#define VALUE_WIDTH 9
#define RATIO_WIDTH 7
#define PARTS_WIDTH 13

static bool is_base_series(const struct paper_figure *figure, size_t series)
{
	return figure->series_count > 1 && !strcmp(figure->series[series].name, figure->base);
}

static int numbers_width(const struct paper_figure *figure, size_t series)
{
	return VALUE_WIDTH + (figure->base[0] && !is_base_series(figure, series) ? RATIO_WIDTH : 0) +
	       (paper_figure_divided(figure) ? PARTS_WIDTH : 0);
}

/* Wide enough for the heading of the series, too. */
static int place_width(const struct paper_figure *figure, size_t series)
{
	const int numbers = numbers_width(figure, series), heading = (int)strlen(figure->series[series].name) + 1;

	return figure->series_count > 1 && heading > numbers ? heading : numbers;
}

static int source_width(const struct paper_figure *figure)
{
	int width = 2;

	for (size_t i = 0; i < figure->series_count; i++)
		width += place_width(figure, i);
	return width;
}

/* "20/66/14": the parts in hundredths of their sum. */
static void format_parts(const struct paper_figure *figure, char *text, size_t bytes, const double *parts)
{
	double sum = 0;
	size_t used = 0;

	text[0] = '\0';
	for (int part = 0; part < PAPER_PARTS; part++)
		sum += figure->parts[part] ? parts[part] : 0;
	for (int part = 0; part < PAPER_PARTS && sum > 0; part++)
		if (figure->parts[part])
			used += (size_t)snprintf(
			        text + used, bytes - used, "%s%.0f", used ? "/" : "", 100 * parts[part] / sum);
}

static void print_place(struct printer *printer, size_t series, const char *value, const char *ratio, const char *parts)
{
	const struct paper_figure *figure = printer->figure;

	fprintf(printer->out, "%*s", VALUE_WIDTH + place_width(figure, series) - numbers_width(figure, series), value);
	if (figure->base[0] && !is_base_series(figure, series))
		fprintf(printer->out, "%*s", RATIO_WIDTH, ratio);
	if (paper_figure_divided(figure))
		fprintf(printer->out, "%*s", PARTS_WIDTH, parts);
}

/* ---- the paper's own ---- */

static void print_theirs(struct printer *printer, const struct paper_place *row, size_t s)
{
	const struct paper_figure *figure = printer->figure;
	const struct paper_place *series = &figure->series[s], *base_row = row, *base_series = series;
	const struct paper_value *value = paper_table_find(&figure->table, row->name, series->name);
	char number[32] = "-", ratio[16] = "", parts[32] = "";
	double base, part[PAPER_PARTS] = {0};
	bool all = true;

	paper_figure_base(figure, &base_row, &base_series);
	if (value && value->known)
		format_number(number, sizeof(number), value->value);
	else if (value)
		note_missing(printer, "paper", row->name, value->note);
	if (value && value->known && paper_table_number(&figure->table, base_row->name, base_series->name, &base) &&
	        base > 0)
		format_ratio(ratio, sizeof(ratio), value->value / base);
	for (int i = 0; i < PAPER_PARTS; i++)
		if (figure->parts[i])
			all &= paper_table_number(
			        &figure->table, row->name, paper_part_name((enum paper_part)i), &part[i]);
	if (all)
		format_parts(figure, parts, sizeof(parts), part);
	print_place(printer, s, number, ratio, parts);
}

/* ---- ours ---- */

static void print_ours(
        struct printer *printer, const struct paper_source *source, const struct paper_place *row, size_t s)
{
	const struct paper_figure *figure = printer->figure;
	const struct paper_place *series = &figure->series[s], *base_row = row, *base_series = series;
	char number[32] = "-", ratio[16] = "", parts[32] = "", name[96];
	struct paper_measure measure, base, times;

	paper_source_measure(source, figure, row, series, &measure);
	snprintf(name, sizeof(name), "%s%s%s", row->name, figure->series_count > 1 ? " " : "",
	        figure->series_count > 1 ? series->name : "");
	if (!measure.known) {
		note_missing(printer, source->name, name, measure.why);
		print_place(printer, s, number, ratio, parts);
		return;
	}
	format_number(number, sizeof(number), measure.value);
	paper_figure_base(figure, &base_row, &base_series);
	paper_source_measure(source, figure, base_row, base_series, &base);
	paper_ratio(figure, &measure, &base, &times);
	if (times.known)
		format_ratio(ratio, sizeof(ratio), times.value);
	if (measure.divided)
		format_parts(figure, parts, sizeof(parts), measure.parts);
	else if (paper_figure_divided(figure) && measure.why[0])
		note_missing(printer, source->name, "parts", measure.why);
	print_place(printer, s, number, ratio, parts);
}

/* Widest half interval of the source's numbers in this figure, relative to the number. */
static double spread(const struct paper_source *source, const struct paper_figure *figure)
{
	double widest = 0;

	for (size_t i = 0; i < figure->row_count; i++)
		for (size_t j = 0; j < figure->series_count; j++) {
			struct paper_measure measure;

			paper_source_measure(source, figure, &figure->rows[i], &figure->series[j], &measure);
			if (measure.known && measure.value > 0)
				widest = fmax(widest, (measure.high - measure.low) / 2 / measure.value);
		}
	return widest;
}

/* ---- the table ---- */

static void print_centred(FILE *out, int width, const char *text)
{
	const int length = (int)strlen(text), left = width > length ? (width - length + 1) / 2 : 0;

	fprintf(out, "%*s%-*s", left, "", width - left > length ? width - left : length, text);
}

static void print_header(
        struct printer *printer, int label, const struct paper_source *const *shown, size_t shown_count)
{
	const struct paper_figure *figure = printer->figure;
	const int width = source_width(figure);
	char head[64];

	fprintf(printer->out, "%-*s", label, "");
	snprintf(head, sizeof(head), "paper: %s", figure->unit);
	print_centred(printer->out, width, head);
	for (size_t i = 0; i < shown_count; i++) {
		snprintf(head, sizeof(head), "%s: %s", shown[i]->name, paper_figure_unit(figure, shown[i]));
		print_centred(printer->out, width, head);
	}
	fputc('\n', printer->out);
	if (figure->series_count == 1)
		return;
	fprintf(printer->out, "%-*s", label, "");
	for (size_t i = 0; i <= shown_count; i++) {
		fputs("  ", printer->out);
		for (size_t j = 0; j < figure->series_count; j++)
			fprintf(printer->out, "%*s", place_width(figure, j), figure->series[j].name);
	}
	fputc('\n', printer->out);
}

static void print_explanation(struct printer *printer, const struct paper_source *const *shown, size_t shown_count)
{
	const struct paper_figure *figure = printer->figure;
	char text[400] = "";
	size_t used = 0;

	if (figure->base[0])
		used += (size_t)snprintf(text, sizeof(text), "x: %s \"%s\"",
		        figure->more_is_better ? "how much better than" : "times", figure->base);
	if (paper_figure_divided(figure)) {
		used += (size_t)snprintf(
		        text + used, sizeof(text) - used, "%sa/b/c: hundredths that are ", used ? "; " : "");
		for (int part = 0, first = 1; part < PAPER_PARTS; part++)
			if (figure->parts[part]) {
				used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", first ? "" : ", ",
				        paper_part_name((enum paper_part)part));
				first = 0;
			}
	}
	for (size_t i = 0; i < shown_count; i++) {
		const double widest = spread(shown[i], figure);

		if (widest > 0)
			used += (size_t)snprintf(text + used, sizeof(text) - used,
			        "%s%s: medians, 95 %% intervals within ±%.1f %%", used ? "; " : "", shown[i]->name,
			        100 * widest);
	}
	if (*text)
		print_wrapped(printer->out, "  ", "  ", text);
}

static void print_marks(struct printer *printer)
{
	const struct paper_figure *figure = printer->figure;
	bool used[PAPER_MARK_COUNT] = {false};
	char text[300] = "";

	for (size_t i = 0; i < figure->table.count; i++)
		used[figure->table.values[i].mark] = true;
	for (int mark = 0; mark < PAPER_MARK_COUNT; mark++)
		if (used[mark])
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s: %s", *text ? " " : "",
			        paper_mark_name((enum paper_mark)mark), paper_mark_text((enum paper_mark)mark));
	print_wrapped(printer->out, "  marks of the paper's numbers: ", "    ", text);
}

static void measure_source(void *ctx, const struct paper_figure *figure, const struct paper_place *row,
        const struct paper_place *series, struct paper_measure *measure)
{
	paper_source_measure(ctx, figure, row, series, measure);
}

static void print_shapes(
        struct printer *printer, const struct paper *paper, const struct paper_source *sources, size_t source_count)
{
	for (size_t i = 0; i < paper->shape_count; i++) {
		const struct paper_shape *shape = &paper->shapes[i];
		bool explain = false;

		if (shape->figure != printer->figure)
			continue;
		print_wrapped(printer->out, "  * ", "    ", shape->text);
		for (size_t j = 0; j < source_count; j++) {
			struct paper_verdict verdict;
			char first[64];

			if (!paper_shape_concerns(shape, sources[j].name))
				continue;
			paper_shape_judge(shape, measure_source, (void *)&sources[j], &verdict);
			snprintf(first, sizeof(first), "      %-9s %-13s ", sources[j].name,
			        paper_outcome_name(verdict.outcome));
			print_wrapped(printer->out, first, "                              ", verdict.text);
			explain |= verdict.outcome == PAPER_FAILS || verdict.outcome == PAPER_OPEN;
		}
		if (explain && shape->why[0])
			print_wrapped(printer->out, "      why: ", "      ", shape->why);
	}
}

static void print_missing(struct printer *printer)
{
	for (size_t i = 0; i < printer->missing_count; i++) {
		const struct missing *missing = &printer->missing[i];
		char first[256];

		snprintf(first, sizeof(first), "  not available: %s: %s", missing->source, missing->places);
		if (missing->count > 2)
			snprintf(first + strlen(first), sizeof(first) - strlen(first), " and %zu more",
			        missing->count - 2);
		strcat(first, ": ");
		print_wrapped(printer->out, first, "    ", missing->why);
	}
}

/* Has the source any number of the figure? */
static bool has_numbers(
        const struct paper_source *source, const struct paper_figure *figure, char *why, size_t why_bytes)
{
	for (size_t i = 0; i < figure->row_count; i++)
		for (size_t j = 0; j < figure->series_count; j++) {
			struct paper_measure measure;

			paper_source_measure(source, figure, &figure->rows[i], &figure->series[j], &measure);
			if (measure.known)
				return true;
			if (!i && !j)
				snprintf(why, why_bytes, "%s", measure.why);
		}
	return false;
}

void paper_print_figure(FILE *out, const struct paper *paper, const struct paper_figure *figure,
        const struct paper_source *sources, size_t source_count)
{
	const struct paper_source *shown[8];
	struct printer *printer = calloc(1, sizeof(*printer));
	size_t shown_count = 0;
	char why[200] = "";
	int label = 0;

	if (!printer)
		return;
	printer->out = out;
	printer->figure = figure;
	fprintf(out, "\n%s\n", figure->title);
	for (size_t i = 0; i < source_count && !figure->unmeasured[0] && shown_count < 8; i++) {
		if (has_numbers(&sources[i], figure, why, sizeof(why)))
			shown[shown_count++] = &sources[i];
		else
			note_missing(printer, sources[i].name, "all of it", why);
	}
	for (size_t i = 0; i < figure->row_count; i++)
		label = (int)strlen(figure->rows[i].name) > label ? (int)strlen(figure->rows[i].name) : label;
	label += 2;
	print_header(printer, label, shown, shown_count);
	for (size_t i = 0; i < figure->row_count; i++) {
		fprintf(out, "  %-*s", label - 2, figure->rows[i].name);
		for (size_t source = 0; source <= shown_count; source++) {
			fputs("  ", out);
			for (size_t j = 0; j < figure->series_count; j++) {
				if (!source)
					print_theirs(printer, &figure->rows[i], j);
				else
					print_ours(printer, shown[source - 1], &figure->rows[i], j);
			}
		}
		fputc('\n', out);
	}
	print_explanation(printer, shown, shown_count);
	print_marks(printer);
	if (figure->note[0])
		print_wrapped(out, "  ", "  ", figure->note);
	for (size_t i = 0; i < figure->reference_count; i++)
		fprintf(out, "  elsewhere: %s: %.3gx\n", figure->references[i].label, figure->references[i].ratio);
	if (figure->unmeasured[0])
		print_wrapped(out, "  not measured: ", "    ", figure->unmeasured);
	print_shapes(printer, paper, sources, source_count);
	print_missing(printer);
	free(printer);
}
