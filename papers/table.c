/* SPDX-License-Identifier: Apache-2.0 */
#include "papers/table.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "row,series,value,unit,mark,note"
#define LINE_BYTES 400
#define FIELDS 6

static const struct {
	const char *name, *text;
} marks[PAPER_MARK_COUNT] = {
#define PAPER_MARK(id, name, text) {name, text},
#include "papers/marks.def"
#undef PAPER_MARK
};

const char *paper_mark_name(enum paper_mark mark)
{
	return marks[mark].name;
}

const char *paper_mark_text(enum paper_mark mark)
{
	return marks[mark].text;
}

static int find_mark(const char *name)
{
	for (int mark = 0; mark < PAPER_MARK_COUNT; mark++)
		if (!strcmp(marks[mark].name, name))
			return mark;
	return -1;
}

/* The last field takes the rest of the line. */
static size_t split(char *line, char *fields[FIELDS])
{
	size_t count = 0;

	while (count < FIELDS && line) {
		fields[count++] = line;
		line = count < FIELDS ? strchr(line, ',') : NULL;
		if (line)
			*line++ = '\0';
	}
	return count;
}

static const char *parse_number(struct paper_value *value, const char *text)
{
	char *end;

	value->known = *text;
	if (!*text)
		return value->note[0] ? NULL : "there is neither a value nor a note that says why not";
	if (value->mark == PAPER_REMEMBERED)
		return "a remembered value (mark M) is no data: leave the value out";
	value->value = strtod(text, &end);
	return *end || !isfinite(value->value) ? "the value is not a number" : NULL;
}

/* What is wrong with the line; NULL = nothing. */
static const char *parse_line(struct paper_value *value, char *line)
{
	char *fields[FIELDS];
	int mark;

	if (split(line, fields) != FIELDS)
		return "the line does not have the fields " HEADER;
	if (!*fields[0] || !*fields[1] || strlen(fields[0]) >= sizeof(value->row) ||
	        strlen(fields[1]) >= sizeof(value->series) || strlen(fields[3]) >= sizeof(value->unit) ||
	        strlen(fields[5]) >= sizeof(value->note))
		return "a field is empty or too long";
	mark = find_mark(fields[4]);
	if (mark < 0)
		return "there is no such mark: marks are R, R-fig, R2 and M";
	strcpy(value->row, fields[0]);
	strcpy(value->series, fields[1]);
	strcpy(value->unit, fields[3]);
	strcpy(value->note, fields[5]);
	value->mark = (enum paper_mark)mark;
	return parse_number(value, fields[2]);
}

/* What is wrong with the line; NULL = nothing. */
static const char *add_line(struct paper_table *table, char *line)
{
	struct paper_value value = {0};
	const char *wrong = parse_line(&value, line);

	if (wrong)
		return wrong;
	if (table->count == PAPER_VALUES_MAX)
		return "there are too many lines";
	if (paper_table_find(table, value.row, value.series))
		return "the place (row and series) is there already";
	table->values[table->count++] = value;
	return NULL;
}

int paper_table_parse(struct paper_table *table, const char *text, const char *name, char *why, size_t why_bytes)
{
	const char *wrong = NULL;
	bool header = false;
	int number = 0;

	memset(table, 0, sizeof(*table));
	while (*text && !wrong) {
		const size_t length = strcspn(text, "\n");
		char line[LINE_BYTES];

		number++;
		snprintf(line, sizeof(line), "%.*s", (int)length, text);
		text += length + (text[length] == '\n');
		if (length >= sizeof(line))
			wrong = "the line is too long";
		else if (!*line || *line == '#')
			continue;
		else if (header)
			wrong = add_line(table, line);
		else if (strcmp(line, HEADER))
			wrong = "the first line must be " HEADER;
		else
			header = true;
	}
	if (!wrong && !header)
		wrong = "the file is empty";
	if (!wrong)
		return 0;
	snprintf(why, why_bytes, "%.80s:%d: %s", name, number, wrong);
	return -EINVAL;
}

const struct paper_value *paper_table_find(const struct paper_table *table, const char *row, const char *series)
{
	for (size_t i = 0; i < table->count; i++)
		if (!strcmp(table->values[i].row, row) && !strcmp(table->values[i].series, series))
			return &table->values[i];
	return NULL;
}

bool paper_table_number(const struct paper_table *table, const char *row, const char *series, double *number)
{
	const struct paper_value *value = paper_table_find(table, row, series);

	if (!value || !value->known)
		return false;
	*number = value->value;
	return true;
}
