/* SPDX-License-Identifier: Apache-2.0 */
/* summary.csv. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "results/summary.h"

int summary_write_field(FILE *file, const char *text)
{
	if (!text[strcspn(text, ",\"\r\n")])
		return fputs(text, file) < 0 ? -EIO : 0;
	putc('"', file);
	for (; *text; text++) {
		if (*text == '"')
			putc('"', file);
		putc(*text, file);
	}
	return putc('"', file) < 0 ? -EIO : 0;
}

/* A number with at most three decimals and no trailing zeros; nothing when `have` is false. */
static void write_number(FILE *file, bool have, double value)
{
	char text[64];
	size_t length;

	if (!have || !isfinite(value))
		return;
	snprintf(text, sizeof(text), "%.3f", value);
	length = strlen(text);
	while (text[length - 1] == '0')
		text[--length] = '\0';
	if (text[length - 1] == '.')
		text[--length] = '\0';
	fputs(strcmp(text, "-0") ? text : "0", file);
}

static void write_count(FILE *file, bool have, uint64_t value)
{
	if (have)
		fprintf(file, "%" PRIu64, value);
}

static void write_hex(FILE *file, bool have, uint64_t value)
{
	if (have)
		fprintf(file, "%016" PRIx64, value);
}

static void write_per_op(FILE *file, const struct summary_row *row, uint64_t count)
{
	double value = summary_per_op(row, count);

	write_number(file, value >= 0, value);
}

static void write_multiplication(FILE *file, const struct summary_row *row)
{
	double value = summary_multiplication(row);

	write_number(file, value >= 0, value);
}

/* Below level 2 there is no L1 to have nested settings: "-". */
static void write_setting(FILE *file, const struct summary_row *row, enum cell_key key)
{
	bool applies = !cell_key_is_nested(key) || cell_is_nested(&row->cell->cell);

	summary_write_field(file, applies ? row->cell->cell.value[key] : "-");
}

/* Medians of a round trip's parts; nothing when there was none. */
static void write_trip(FILE *file, const struct summary_row *row, enum roundtrip_part part)
{
	write_number(file, row->trip.trips, row->trip.median[part]);
}

static void write_header(FILE *file)
{
	static const char *const names[] = {
#define COLUMN(name, print, text) name,
#include "summary_columns.def"
#undef COLUMN
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		fprintf(file, "%s%s", i ? "," : "", names[i]);
	putc('\n', file);
}

static void write_row(FILE *file, const struct summary_row *row)
{
	const struct reader_cell *cell = row->cell;
	const struct cell_stats *stats = &row->stats;
	bool cost = row->have_cost;
	const char *separator = "";

#define COLUMN(name, print, text)                                                                                      \
	fputs(separator, file);                                                                                        \
	print;                                                                                                         \
	separator = ",";
#include "summary_columns.def"
#undef COLUMN
	putc('\n', file);
}

int summary_write_csv(const struct summary *summary, FILE *file)
{
	errno = 0;
	write_header(file);
	for (size_t i = 0; i < summary->count; i++)
		write_row(file, &summary->rows[i]);
	if (fflush(file) || ferror(file))
		return errno ? -errno : -EIO;
	return 0;
}
