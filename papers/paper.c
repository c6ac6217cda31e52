/* SPDX-License-Identifier: Apache-2.0 */
#include "papers/paper.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* inih cuts longer lines silently (INI_MAX_LINE of Debian's build). */
#define LINE_BYTES_MAX 198
#define SHAPE_PREFIX "shape "

struct parser {
	struct paper *paper;
	paper_file_fn *file;
	const char *section;
	char *why;
	size_t why_bytes;
	int error;
};

const char *paper_part_name(enum paper_part part)
{
	static const char *const names[PAPER_PARTS] = {"mode switch", "L0", "L1", "guest"};

	return names[part];
}

__attribute__((format(printf, 2, 3))) static int parser_fail(struct parser *parser, const char *format, ...)
{
	va_list arguments;
	int used;

	if (parser->error)
		return 0;
	used = snprintf(parser->why, parser->why_bytes, "papers/%s/figures.ini [%s]: ", parser->paper->id,
	        parser->section ? parser->section : "");
	va_start(arguments, format);
	if (used >= 0 && (size_t)used < parser->why_bytes)
		vsnprintf(parser->why + used, parser->why_bytes - (size_t)used, format, arguments);
	va_end(arguments);
	parser->error = -EINVAL;
	return 0;
}

static int copy(struct parser *parser, char *to, size_t bytes, const char *text)
{
	if (strlen(text) >= bytes)
		return parser_fail(parser, "\"%.60s\" is longer than %zu bytes", text, bytes - 1);
	strcpy(to, text);
	return 1;
}
#define COPY(to, text) copy(parser, to, sizeof(to), text)

/* Long text stands on several lines of one key. */
static int append(struct parser *parser, char *to, const char *text)
{
	const size_t used = strlen(to);

	if (used + strlen(text) + 2 > PAPER_TEXT_BYTES)
		return parser_fail(parser, "a text is longer than %d bytes", PAPER_TEXT_BYTES - 1);
	snprintf(to + used, PAPER_TEXT_BYTES - used, "%s%s", used ? " " : "", text);
	return 1;
}

/* The next of the fields that '|' divides, without blanks around it; "" when there is none. */
static char *next_field(char **rest)
{
	char *field = strsep(rest, "|"), *end;

	if (!field)
		return "";
	while (isspace((unsigned char)*field))
		field++;
	end = field + strlen(field);
	while (end > field && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return field;
}

static int add_place(struct parser *parser, struct paper_place *places, size_t *count, size_t max, const char *value)
{
	char text[LINE_BYTES_MAX + 2], *rest = text;
	struct paper_place *place = &places[*count];

	if (*count == max)
		return parser_fail(parser, "there are more than %zu rows or series", max);
	snprintf(text, sizeof(text), "%s", value);
	(*count)++;
	return COPY(place->name, next_field(&rest)) && COPY(place->settings, next_field(&rest));
}

static int add_part(struct parser *parser, struct paper_figure *figure, const char *value)
{
	for (int part = 0; part < PAPER_PARTS; part++) {
		if (strcmp(paper_part_name((enum paper_part)part), value))
			continue;
		figure->parts[part] = true;
		return 1;
	}
	return parser_fail(parser, "there is no part \"%s\"", value);
}

static int read_table(struct parser *parser, struct paper_table *table, const char *folder, const char *name)
{
	char path[128], why[200];
	const char *text;

	snprintf(path, sizeof(path), "%s%s%s", folder, *folder ? "/" : "", name);
	text = parser->file(path);
	if (!text)
		return parser_fail(parser, "there is no papers/%s", path);
	return paper_table_parse(table, text, path, why, sizeof(why)) ? parser_fail(parser, "%s", why) : 1;
}

/* label | pvm-sosp23/table1.csv | row | series | series it is divided by */
static int add_reference(struct parser *parser, struct paper_figure *figure, const char *value)
{
	struct paper_reference *reference = &figure->references[figure->reference_count];
	struct paper_table *table = calloc(1, sizeof(*table));
	char text[LINE_BYTES_MAX + 2], *rest = text;
	const char *row;
	double number = 0, base = 0;
	int good;

	if (figure->reference_count == PAPER_REFERENCES_MAX || !table) {
		free(table);
		return parser_fail(parser, "there are too many references");
	}
	snprintf(text, sizeof(text), "%s", value);
	good = COPY(reference->label, next_field(&rest)) && read_table(parser, table, "", next_field(&rest));
	row = next_field(&rest);
	if (good && (!paper_table_number(table, row, next_field(&rest), &number) ||
	                    !paper_table_number(table, row, next_field(&rest), &base) || base <= 0))
		good = parser_fail(parser, "the reference \"%s\" has no number in the data", reference->label);
	free(table);
	if (!good)
		return 0;
	reference->ratio = number / base;
	figure->reference_count++;
	return 1;
}

static int set_metric(struct parser *parser, struct paper_figure *figure, const char *value)
{
	static const char *const names[] = {"cost", "multiplication", "share of L0", "share outside the guest"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], value))
			continue;
		figure->metric = (enum paper_metric)i;
		return 1;
	}
	return parser_fail(parser, "there is no metric \"%s\"", value);
}

static int set_figure(struct parser *parser, struct paper_figure *figure, const char *name, const char *value)
{
	if (!strcmp(name, "title"))
		return COPY(figure->title, value);
	if (!strcmp(name, "axis"))
		return COPY(figure->metric_name, value);
	if (!strcmp(name, "base"))
		return COPY(figure->base, value);
	if (!strcmp(name, "note"))
		return append(parser, figure->note, value);
	if (!strcmp(name, "unmeasured"))
		return append(parser, figure->unmeasured, value);
	if (!strcmp(name, "data"))
		return read_table(parser, &figure->table, parser->paper->id, value);
	if (!strcmp(name, "part"))
		return add_part(parser, figure, value);
	if (!strcmp(name, "row"))
		return add_place(parser, figure->rows, &figure->row_count, PAPER_ROWS_MAX, value);
	if (!strcmp(name, "series"))
		return add_place(parser, figure->series, &figure->series_count, PAPER_SERIES_MAX, value);
	if (!strcmp(name, "reference"))
		return add_reference(parser, figure, value);
	if (!strcmp(name, "metric"))
		return set_metric(parser, figure, value);
	if (!strcmp(name, "better") && !strcmp(value, "more"))
		return figure->more_is_better = true, 1;
	return parser_fail(parser, "a figure has no \"%s = %s\"", name, value);
}

static int set_kind(struct parser *parser, struct paper_shape *shape, const char *value)
{
	static const char *const kinds[] = {"ascending", "less", "at least", "within", "equal"};
	char text[LINE_BYTES_MAX + 2], *rest = text, *end;
	const char *name, *limit;

	snprintf(text, sizeof(text), "%s", value);
	name = next_field(&rest);
	limit = next_field(&rest);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i], name))
			continue;
		shape->kind = (enum paper_shape_kind)i;
		shape->limit = strtod(limit, &end);
		if (*end || !isfinite(shape->limit) || (*limit != '\0') != (i >= PAPER_AT_LEAST))
			return parser_fail(parser, "\"%s\" lacks its limit, or has one too many", value);
		return 1;
	}
	return parser_fail(parser, "there is no kind of statement \"%s\"", name);
}

static int add_cell(struct parser *parser, struct paper_shape *shape, const char *value)
{
	char text[LINE_BYTES_MAX + 2], *rest = text;
	const size_t i = shape->cell_count;

	if (i == PAPER_CELLS_MAX)
		return parser_fail(parser, "there are more than %d cells", PAPER_CELLS_MAX);
	snprintf(text, sizeof(text), "%s", value);
	shape->cell_count++;
	return COPY(shape->cells[i].row, next_field(&rest)) && COPY(shape->cells[i].series, next_field(&rest));
}

static int set_shape(struct parser *parser, struct paper_shape *shape, const char *name, const char *value)
{
	if (!strcmp(name, "figure")) {
		shape->figure = paper_figure_find(parser->paper, value);
		return shape->figure ? 1 : parser_fail(parser, "there is no figure \"%s\" above", value);
	}
	if (!strcmp(name, "text"))
		return append(parser, shape->text, value);
	if (!strcmp(name, "why"))
		return append(parser, shape->why, value);
	if (!strcmp(name, "only"))
		return COPY(shape->only, value);
	if (!strcmp(name, "kind"))
		return set_kind(parser, shape, value);
	if (!strcmp(name, "cell"))
		return add_cell(parser, shape, value);
	return parser_fail(parser, "a statement has no \"%s\"", name);
}

static struct paper_figure *figure_of(struct parser *parser, const char *section)
{
	struct paper *paper = parser->paper;
	struct paper_figure *last = paper->figure_count ? &paper->figures[paper->figure_count - 1] : NULL;

	if (last && !strcmp(last->id, section))
		return last;
	if (paper->figure_count == PAPER_FIGURES_MAX || paper_figure_find(paper, section)) {
		parser_fail(parser, "the figure is there already, or there are too many");
		return NULL;
	}
	last = &paper->figures[paper->figure_count++];
	return COPY(last->id, section) ? last : NULL;
}

static struct paper_shape *shape_of(struct parser *parser, const char *id)
{
	struct paper *paper = parser->paper;
	struct paper_shape *last = paper->shape_count ? &paper->shapes[paper->shape_count - 1] : NULL;

	if (last && !strcmp(last->id, id))
		return last;
	if (paper->shape_count == PAPER_SHAPES_MAX) {
		parser_fail(parser, "there are more than %d statements", PAPER_SHAPES_MAX);
		return NULL;
	}
	last = &paper->shapes[paper->shape_count++];
	return COPY(last->id, id) ? last : NULL;
}

static int parser_handle(void *user, const char *section, const char *name, const char *value)
{
	struct parser *parser = user;
	struct paper_figure *figure;
	struct paper_shape *shape;

	if (parser->error)
		return 0;
	parser->section = section;
	if (!strcmp(section, "paper"))
		return !strcmp(name, "title") ? COPY(parser->paper->title, value)
		                              : parser_fail(parser, "there is no \"%s\"", name);
	if (!strncmp(section, SHAPE_PREFIX, strlen(SHAPE_PREFIX))) {
		shape = shape_of(parser, section + strlen(SHAPE_PREFIX));
		return shape && set_shape(parser, shape, name, value);
	}
	figure = figure_of(parser, section);
	return figure && set_figure(parser, figure, name, value);
}

const struct paper_place *paper_place_find(const struct paper_place *places, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(places[i].name, name))
			return &places[i];
	return NULL;
}

bool paper_figure_divided(const struct paper_figure *figure)
{
	for (int part = 0; part < PAPER_PARTS; part++)
		if (figure->parts[part])
			return true;
	return false;
}

void paper_figure_base(
        const struct paper_figure *figure, const struct paper_place **row, const struct paper_place **series)
{
	if (!figure->base[0])
		return;
	if (figure->series_count > 1)
		*series = paper_place_find(figure->series, figure->series_count, figure->base);
	else
		*row = paper_place_find(figure->rows, figure->row_count, figure->base);
}

/* What only the whole figure shows. */
static void check_figure(struct parser *parser, struct paper_figure *figure)
{
	parser->section = figure->id;
	if (!figure->table.count || !figure->row_count || !figure->series_count || !figure->title[0])
		parser_fail(parser, "a figure wants title, data, row and series");
	for (size_t i = 0; i < figure->row_count && !parser->error; i++)
		for (size_t j = 0; j < figure->series_count; j++)
			if (!paper_table_find(&figure->table, figure->rows[i].name, figure->series[j].name))
				parser_fail(parser, "the data has no \"%s\", \"%s\"", figure->rows[i].name,
				        figure->series[j].name);
	if (figure->base[0] &&
	        !paper_place_find(figure->series_count > 1 ? figure->series : figure->rows,
	                figure->series_count > 1 ? figure->series_count : figure->row_count, figure->base))
		parser_fail(parser, "the base \"%s\" is none of its series or rows", figure->base);
	if (figure->table.count)
		memcpy(figure->unit, figure->table.values[0].unit, sizeof(figure->unit));
}

static void check_shape(struct parser *parser, const struct paper_shape *shape)
{
	const struct paper_figure *figure = shape->figure;

	parser->section = shape->id;
	if (!figure || !shape->text[0] || shape->cell_count < (shape->kind == PAPER_EQUAL ? 1 : 2)) {
		parser_fail(parser, "a statement wants figure, text, kind and its cells");
		return;
	}
	for (size_t i = 0; i < shape->cell_count; i++)
		if (!paper_place_find(figure->series, figure->series_count, shape->cells[i].series) ||
		        (shape->cells[i].row[0] &&
		                !paper_place_find(figure->rows, figure->row_count, shape->cells[i].row)) ||
		        (!shape->cells[i].row[0] && shape->kind != PAPER_LESS))
			parser_fail(parser, "the figure has no cell \"%s | %s\"", shape->cells[i].row,
			        shape->cells[i].series);
}

static void check_lines(struct parser *parser, const char *text)
{
	for (; *text; text += *text == '\n') {
		const size_t length = strcspn(text, "\n");

		if (length > LINE_BYTES_MAX)
			parser_fail(parser, "a line is longer than %d bytes: \"%.40s...\"", LINE_BYTES_MAX, text);
		text += length;
	}
}

struct paper *paper_read(const char *id, paper_file_fn *file, char *why, size_t why_bytes)
{
	struct parser parser = {
	        .paper = calloc(1, sizeof(*parser.paper)), .file = file, .why = why, .why_bytes = why_bytes};
	char path[64];
	const char *text;
	int line;

	snprintf(why, why_bytes, "out of memory");
	if (!parser.paper)
		return NULL;
	snprintf(parser.paper->id, sizeof(parser.paper->id), "%s", id);
	snprintf(path, sizeof(path), "%.31s/figures.ini", id);
	text = file(path);
	if (!text) {
		snprintf(why, why_bytes, "there is no paper \"%s\"", id);
		free(parser.paper);
		return NULL;
	}
	check_lines(&parser, text);
	line = parser.error ? 0 : ini_parse_string(text, parser_handle, &parser);
	if (line)
		parser_fail(&parser, "line %d is neither [section] nor key = value", line);
	for (size_t i = 0; i < parser.paper->figure_count && !parser.error; i++)
		check_figure(&parser, &parser.paper->figures[i]);
	for (size_t i = 0; i < parser.paper->shape_count && !parser.error; i++)
		check_shape(&parser, &parser.paper->shapes[i]);
	if (!parser.error)
		return parser.paper;
	free(parser.paper);
	return NULL;
}

const struct paper_figure *paper_figure_find(const struct paper *paper, const char *id)
{
	for (size_t i = 0; i < paper->figure_count; i++)
		if (!strcmp(paper->figures[i].id, id))
			return &paper->figures[i];
	return NULL;
}
