/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/matrix.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 64
#define EXCLUDES_MAX 64
#define CELLS_MAX 4096
#define SECTION_BYTES 64
/* inih cuts longer lines silently (INI_MAX_LINE of Debian's build). */
#define LINE_BYTES_MAX 198

/** One section while it is read: the values of each key, none = the default. */
struct section {
	char name[SECTION_BYTES];
	char values[CELL_KEY_COUNT][VALUES_MAX][CELL_VALUE_BYTES];
	size_t value_count[CELL_KEY_COUNT];
	char excludes[EXCLUDES_MAX][LINE_BYTES_MAX + 2];
	int exclude_lines[EXCLUDES_MAX];
	size_t exclude_count;
	bool open;
};

struct parser {
	struct matrix *matrix;
	const char *name;
	FILE *file;
	int line;          /* of the line last read */
	bool continuation; /* that line began with white space */
	const struct matrix_override *overrides;
	size_t override_count;
	const struct matrix_override *override; /* that is applied just now; messages name it, not a line */
	struct section section;
	int error;
};

__attribute__((format(printf, 4, 5))) static int parser_fail(
        struct parser *parser, int line, int error, const char *format, ...)
{
	va_list arguments;
	int used;

	if (parser->error)
		return 0; /* the first error is the one to show */
	if (parser->override)
		used = snprintf(parser->matrix->error, sizeof(parser->matrix->error),
		        "--set %.40s=%.60s: ", parser->override->key, parser->override->value);
	else
		used = snprintf(
		        parser->matrix->error, sizeof(parser->matrix->error), "%.160s:%d: ", parser->name, line);
	va_start(arguments, format);
	vsnprintf(parser->matrix->error + used, sizeof(parser->matrix->error) - (size_t)used, format, arguments);
	va_end(arguments);
	parser->error = error;
	return 0;
}

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

/* inih pulls lines through this, so that handlers know the line number and cut lines are refused. */
static char *parser_read_line(char *buffer, int size, void *stream)
{
	struct parser *parser = stream;
	size_t length;

	if (parser->error || !fgets(buffer, size, parser->file))
		return NULL;
	parser->line++;
	length = strlen(buffer);
	if (length > LINE_BYTES_MAX && buffer[length - 1] != '\n') {
		parser_fail(parser, parser->line, -E2BIG,
		        "the line is longer than %d characters: continue the list on an indented line", LINE_BYTES_MAX);
		return NULL;
	}
	parser->continuation = length && (buffer[0] == ' ' || buffer[0] == '\t');
	return buffer;
}

static int find_key(const char *name)
{
	for (int key = 0; key < CELL_KEY_COUNT; key++)
		if (!strcmp(cell_key_infos[key].name, name))
			return key;
	return -1;
}

static int unknown_key(struct parser *parser, int line, const char *name)
{
	char known[256] = "";

	for (int key = 0; key < CELL_KEY_COUNT; key++) {
		strncat(known, key ? ", " : "", sizeof(known) - strlen(known) - 1);
		strncat(known, cell_key_infos[key].name, sizeof(known) - strlen(known) - 1);
	}
	return parser_fail(parser, line, -ENOENT, "there is no key \"%s\"; keys are exclude, %s", name, known);
}

/* "a, b ,c" appended to the values of a key, each checked and in canonical spelling. */
static int section_add_values(struct parser *parser, int key, const char *list)
{
	struct section *section = &parser->section;
	char copy[LINE_BYTES_MAX + 2];
	char why[224];
	char *rest = copy, *item;
	struct cell cell;

	snprintf(copy, sizeof(copy), "%s", list);
	while ((item = strsep(&rest, ","))) {
		item = trim(item);
		if (!*item) {
			if (!rest)
				continue; /* a trailing comma before a continuation line */
			return parser_fail(parser, parser->line, -EINVAL, "%s has an empty value between two commas",
			        cell_key_infos[key].name);
		}
		cell_defaults(&cell);
		if (cell_set(&cell, cell_key_infos[key].name, item, why, sizeof(why)))
			return parser_fail(parser, parser->line, -EINVAL, "%s", why);
		if (section->value_count[key] == VALUES_MAX)
			return parser_fail(parser, parser->line, -E2BIG, "%s has more than %d values",
			        cell_key_infos[key].name, VALUES_MAX);
		memcpy(section->values[key][section->value_count[key]++], cell.value[key], CELL_VALUE_BYTES);
	}
	return 1;
}

/* Does the cell match all "key=value" words? -1: the rule itself is wrong (reported). */
static int exclude_matches(struct parser *parser, const char *rule, int line, const struct cell *cell)
{
	char copy[LINE_BYTES_MAX + 2];
	char *rest = copy, *word;
	bool any = false, all = true;

	snprintf(copy, sizeof(copy), "%s", rule);
	while ((word = strsep(&rest, " \t,"))) {
		char *equals = strchr(word, '=');
		struct cell wanted;
		char why[224];
		int key;

		if (!*word)
			continue;
		if (!equals) {
			parser_fail(
			        parser, line, -EINVAL, "exclude wants words of the form key=value, not \"%s\"", word);
			return -1;
		}
		*equals = '\0';
		key = find_key(word);
		if (key < 0) {
			unknown_key(parser, line, word);
			return -1;
		}
		cell_defaults(&wanted);
		if (cell_set(&wanted, word, equals + 1, why, sizeof(why))) {
			parser_fail(parser, line, -EINVAL, "%s", why);
			return -1;
		}
		any = true;
		all = all && !strcmp(wanted.value[key], cell->value[key]);
	}
	if (!any) {
		parser_fail(
		        parser, line, -EINVAL, "exclude names nothing; write for example: exclude = level=1 vmcs=trap");
		return -1;
	}
	return all;
}

static void cell_put(struct cell *cell, int key, const char *value)
{
	memcpy(cell->value[key], value, CELL_VALUE_BYTES);
}

/* Settings that mean nothing for the cell take their default, so that duplicates are seen as such. */
static void cell_normalise(struct cell *cell)
{
	struct cell defaults;

	if (cell_is_nested(cell))
		return;
	cell_defaults(&defaults);
	for (int key = 0; key < CELL_KEY_COUNT; key++)
		if (cell_key_is_nested((enum cell_key)key))
			cell_put(cell, key, defaults.value[key]);
}

static int matrix_add(struct parser *parser, const struct cell *cell)
{
	struct matrix *matrix = parser->matrix;
	struct cell *cells;

	for (size_t i = 0; i < matrix->count; i++)
		if (cell_equal(&matrix->cells[i], cell))
			return 1;
	if (matrix->count == CELLS_MAX)
		return parser_fail(parser, parser->line, -E2BIG, "the matrix has more than %d cells", CELLS_MAX);
	if ((matrix->count & (matrix->count + 1)) == 0) {
		cells = realloc(matrix->cells, (2 * matrix->count + 2) * sizeof(*cells));
		if (!cells)
			return parser_fail(parser, parser->line, -ENOMEM, "out of memory at %zu cells", matrix->count);
		matrix->cells = cells;
	}
	matrix->cells[matrix->count++] = *cell;
	return 1;
}

/* --set: replace a list of the section. */
static int section_override(struct parser *parser, const struct matrix_override *override)
{
	struct section *section = &parser->section;
	int key = find_key(override->key);

	parser->override = override;
	if (key < 0)
		return unknown_key(parser, parser->line, override->key);
	if (strlen(override->value) > LINE_BYTES_MAX)
		return parser_fail(parser, parser->line, -E2BIG,
		        "the list is longer than %d characters: write it into a matrix file", LINE_BYTES_MAX);
	section->value_count[key] = 0;
	if (!section_add_values(parser, key, override->value))
		return 0;
	if (!section->value_count[key])
		return parser_fail(parser, parser->line, -EINVAL, "%s has no value", override->key);
	parser->override = NULL;
	return 1;
}

/* The section is complete: walk its Cartesian product like an odometer, the last key fastest. */
static int section_close(struct parser *parser)
{
	struct section *section = &parser->section;
	size_t at[CELL_KEY_COUNT] = {0};
	struct cell cell;

	if (!section->open)
		return 1;
	section->open = false;
	for (size_t i = 0; i < parser->override_count; i++)
		if (!section_override(parser, &parser->overrides[i]))
			return 0;
	for (int key = CELL_KEY_COUNT; key >= 0;) {
		bool excluded = false;

		cell_defaults(&cell);
		for (int k = 0; k < CELL_KEY_COUNT; k++)
			if (section->value_count[k])
				cell_put(&cell, k, section->values[k][at[k]]);
		for (size_t i = 0; i < section->exclude_count && !excluded; i++) {
			int matches = exclude_matches(parser, section->excludes[i], section->exclude_lines[i], &cell);

			if (matches < 0)
				return 0;
			excluded = matches;
		}
		cell_normalise(&cell);
		if (!excluded && !matrix_add(parser, &cell))
			return 0;
		for (key = CELL_KEY_COUNT - 1; key >= 0; key--) {
			if (++at[key] < section->value_count[key])
				break;
			at[key] = 0;
		}
	}
	return 1;
}

static int parser_handle(void *user, const char *section_name, const char *name, const char *value)
{
	struct parser *parser = user;
	struct section *section = &parser->section;
	int key;

	if (parser->error)
		return 0;
	if (!section->open || strncmp(section->name, section_name, SECTION_BYTES - 1)) {
		if (!section_close(parser))
			return 0;
		memset(section, 0, sizeof(*section));
		snprintf(section->name, sizeof(section->name), "%s", section_name);
		section->open = true;
	}
	if (!strcmp(name, "exclude")) {
		if (section->exclude_count == EXCLUDES_MAX)
			return parser_fail(parser, parser->line, -E2BIG, "more than %d exclude lines", EXCLUDES_MAX);
		section->exclude_lines[section->exclude_count] = parser->line;
		snprintf(section->excludes[section->exclude_count++], sizeof(section->excludes[0]), "%s", value);
		return 1;
	}
	key = find_key(name);
	if (key < 0)
		return unknown_key(parser, parser->line, name);
	if (section->value_count[key] && !parser->continuation)
		return parser_fail(parser, parser->line, -EEXIST, "%s is set twice in this section", name);
	if (!section_add_values(parser, key, value))
		return 0;
	if (!section->value_count[key])
		return parser_fail(parser, parser->line, -EINVAL, "%s has no value", name);
	return 1;
}

int matrix_read(struct matrix *matrix, FILE *file, const char *name, const struct matrix_override *overrides,
        size_t override_count)
{
	struct parser *parser = calloc(1, sizeof(*parser));
	int status;

	memset(matrix, 0, sizeof(*matrix));
	if (!parser)
		return -ENOMEM;
	parser->matrix = matrix;
	parser->name = name;
	parser->file = file;
	parser->overrides = overrides;
	parser->override_count = override_count;
	status = ini_parse_stream(parser_read_line, parser, parser_handle, parser);
	if (!parser->error && status > 0)
		parser_fail(parser, status, -EINVAL, "neither [section], key = value nor a comment");
	if (!parser->error && status < 0)
		parser_fail(parser, parser->line, -EIO, "cannot be read");
	if (!parser->error)
		section_close(parser);
	if (!parser->error && !matrix->count)
		parser_fail(parser, parser->line ? parser->line : 1, -ENODATA,
		        "the matrix has no cell: give it a section with keys, such as [default] and workload = cpuid");
	status = parser->error;
	free(parser);
	if (status) {
		free(matrix->cells);
		matrix->cells = NULL;
		matrix->count = 0;
	}
	return status;
}

void matrix_free(struct matrix *matrix)
{
	free(matrix->cells);
	matrix->cells = NULL;
	matrix->count = 0;
}
