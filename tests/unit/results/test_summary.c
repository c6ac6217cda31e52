/* SPDX-License-Identifier: Apache-2.0 */
/* The table: counts per operation, multiplication, empty fields where there is no number, RFC 4180 quoting. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "results/summary.h"

static struct fixture_image image;
static struct cell_result *result;
static struct cell cell;

static void setup(void)
{
	fixture_image_begin(&image);
	result = malloc(sizeof(*result));
	fixture_result(result, 10, 5000);
	cell_defaults(&cell);
	fixture_image_run(&image);
}

static void teardown(void)
{
	fixture_image_free(&image);
	free(result);
}

/* The CSV of the image, split: header fields and the fields of one row. free() *text. */
struct table {
	char *text;
	char *names[64], *values[64];
	size_t columns;
};

/* One field in RFC 4180, unquoted in place; returns what follows it. */
static char *take_field(char *at, char **field)
{
	char *to = at;

	*field = at;
	if (*at != '"') {
		at += strcspn(at, ",\n");
		to = at;
	} else {
		for (at++; *at != '"' || at[1] == '"'; at++) {
			if (*at == '"')
				at++;
			*to++ = *at;
		}
		at++;
	}
	ck_assert(*at == ',' || *at == '\n');
	at++;
	*to = '\0';
	return at;
}

static void make_table(struct table *table, size_t row)
{
	struct reader *reader = fixture_open(image.bytes, image.used);
	struct summary summary;
	size_t bytes = 0;
	FILE *stream;
	char *at;

	memset(table, 0, sizeof(*table));
	ck_assert_ptr_nonnull(reader);
	ck_assert_int_eq(summary_compute(&summary, reader), 0);
	stream = open_memstream(&table->text, &bytes);
	ck_assert_int_eq(summary_write_csv(&summary, stream), 0);
	fclose(stream);
	summary_free(&summary);
	reader_close(reader);

	at = table->text;
	while (true) {
		bool last;

		last = at[strcspn(at, ",\n")] == '\n';
		at = take_field(at, &table->names[table->columns++]);
		if (last)
			break;
	}
	for (size_t i = 0; i <= row; i++)
		for (size_t column = 0; column < table->columns; column++)
			at = take_field(at, &table->values[column]);
}

static const char *value(const struct table *table, const char *name)
{
	for (size_t i = 0; i < table->columns; i++)
		if (!strcmp(table->names[i], name))
			return table->values[i];
	ck_abort_msg("no column %s", name);
	return NULL;
}

/* 90 operations (9 samples of 10): each a round trip of 13 exits; and marks, which do not count. */
static void add_cpuid_cell(uint64_t dropped)
{
	struct ledger_record records[90 * 13 + 2];

	fixture_typical_records(records + 1, 90 * 13, 2);
	records[0] =
	        (struct ledger_record){.level = 2, .phase = LEDGER_MEASURED, .reason = 30, .flags = LEDGER_FLAG_MARK};
	records[90 * 13 + 1] = records[0];
	fixture_image_cell(&image, 0, &cell);
	fixture_image_records(&image, records, sizeof(records) / sizeof(records[0]));
	fixture_image_cell_end(&image, 0, result, dropped);
}

START_TEST(the_columns_of_the_issue_come_first)
{
	static const char *const expected[] = {"machine", "level", "workload", "vmcs", "profile", "ept12_page", "ept02",
	        "status", "reason", "ops", "cycles_per_op", "ci_low", "ci_high", "control_cycles", "l2_exits_per_op",
	        "l1_exits_per_op", "reflected_per_op", "multiplication"};
	struct table table;

	add_cpuid_cell(0);
	make_table(&table, 0);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		ck_assert_str_eq(table.names[i], expected[i]);
	free(table.text);
}
END_TEST

START_TEST(a_row_of_numbers)
{
	struct table table;

	result->tsc_khz = 2600000;
	result->wall_ns = 1500000000;
	add_cpuid_cell(0);
	make_table(&table, 0);
	ck_assert_str_eq(value(&table, "machine"), "kvm");
	ck_assert_str_eq(value(&table, "level"), "2");
	ck_assert_str_eq(value(&table, "workload"), "cpuid");
	ck_assert_str_eq(value(&table, "status"), "ok");
	ck_assert_str_eq(value(&table, "reason"), "");
	ck_assert_str_eq(value(&table, "ops"), "90");
	ck_assert_str_eq(value(&table, "samples"), "9");
	/* 5000 + i / 10 per operation, less 2. */
	ck_assert_str_eq(value(&table, "cycles_per_op"), "4998.4");
	ck_assert_str_eq(value(&table, "control_cycles"), "2");
	ck_assert_str_eq(value(&table, "l2_exits_per_op"), "1");
	ck_assert_str_eq(value(&table, "l1_exits_per_op"), "12");
	ck_assert_str_eq(value(&table, "reflected_per_op"), "1");
	ck_assert_str_eq(value(&table, "multiplication"), "13");
	ck_assert_str_eq(value(&table, "unit"), "cycles");
	ck_assert_str_eq(value(&table, "round_trips"), "90");
	ck_assert_str_eq(value(&table, "drops"), "0");
	ck_assert_str_eq(value(&table, "tsc_khz"), "2600000");
	ck_assert_str_eq(value(&table, "wall_s"), "1.5");
	ck_assert_str_eq(value(&table, "first_l2_exit_s"), "");
	free(table.text);
}
END_TEST

START_TEST(drops_leave_no_false_counts)
{
	struct table table;

	add_cpuid_cell(7);
	make_table(&table, 0);
	ck_assert_str_eq(value(&table, "status"), "ok");
	ck_assert_str_eq(value(&table, "cycles_per_op"), "4998.4");
	ck_assert_str_eq(value(&table, "drops"), "7");
	ck_assert_str_eq(value(&table, "multiplication"), "");
	ck_assert_str_eq(value(&table, "l2_exits_per_op"), "");
	ck_assert_ptr_nonnull(strstr(value(&table, "reason"), "7 exits were dropped"));
	free(table.text);
}
END_TEST

START_TEST(a_cell_without_recording_has_no_counts)
{
	struct table table;

	cell_set(&cell, "record", "off", NULL, 0);
	fixture_image_cell(&image, 0, &cell);
	fixture_image_cell_end(&image, 0, result, 0);
	make_table(&table, 0);
	ck_assert_str_eq(value(&table, "cycles_per_op"), "4998.4");
	ck_assert_str_eq(value(&table, "l1_exits_per_op"), "");
	ck_assert_str_eq(value(&table, "multiplication"), "");
	free(table.text);
}
END_TEST

START_TEST(level_1_has_no_multiplication)
{
	struct ledger_record record = {.level = 1, .phase = LEDGER_MEASURED, .reason = 10};
	struct table table;

	cell_set(&cell, "level", "1", NULL, 0);
	result->sample_count = 1;
	fixture_image_cell(&image, 0, &cell);
	for (int i = 0; i < 10; i++)
		fixture_image_records(&image, &record, 1);
	fixture_image_cell_end(&image, 0, result, 0);
	make_table(&table, 0);
	ck_assert_str_eq(value(&table, "l1_exits_per_op"), "1");
	ck_assert_str_eq(value(&table, "l2_exits_per_op"), "0");
	ck_assert_str_eq(value(&table, "multiplication"), "");
	ck_assert_str_eq(value(&table, "trip_total"), "");
	free(table.text);
}
END_TEST

START_TEST(reasons_are_quoted)
{
	struct table table;

	memset(result, 0, sizeof(*result));
	result->status = CELL_FAILED;
	strcpy(result->reason, "it said \"no\", twice,\nand ended");
	fixture_image_cell(&image, 0, &cell);
	fixture_image_cell_end(&image, 0, result, 0);
	result->status = CELL_REFUSED;
	strcpy(result->reason, "not available: no /dev/kvm");
	fixture_image_cell(&image, 1, &cell);
	fixture_image_cell_end(&image, 1, result, 0);
	result->virtual_time = true;
	fixture_image_cell(&image, 2, &cell);
	make_table(&table, 0);
	ck_assert_str_eq(value(&table, "status"), "failed");
	ck_assert_str_eq(value(&table, "reason"), "it said \"no\", twice,\nand ended");
	ck_assert_str_eq(value(&table, "cycles_per_op"), "");
	ck_assert_str_eq(value(&table, "ops"), "");
	free(table.text);
	make_table(&table, 1);
	ck_assert_str_eq(value(&table, "status"), "refused");
	free(table.text);
	make_table(&table, 2);
	ck_assert_str_eq(value(&table, "status"), "running");
	ck_assert_str_eq(value(&table, "reason"), "no result: the file ends before the cell does");
	free(table.text);
}
END_TEST

static const struct {
	const char *text, *field;
} fields[] = {
        {"", ""},
        {"plain text; with 'marks'", "plain text; with 'marks'"},
        {"a,b", "\"a,b\""},
        {"say \"hi\"", "\"say \"\"hi\"\"\""},
        {"two\nlines", "\"two\nlines\""},
        {"carriage\rreturn", "\"carriage\rreturn\""},
        {"\"", "\"\"\"\""},
};

START_TEST(quoting_of_fields)
{
	char *text = NULL;
	size_t bytes;
	FILE *stream = open_memstream(&text, &bytes);

	ck_assert_int_eq(summary_write_field(stream, fields[_i].text), 0);
	fclose(stream);
	ck_assert_str_eq(text, fields[_i].field);
	free(text);
}
END_TEST

START_TEST(a_full_disk_is_an_error)
{
	struct reader *reader;
	struct summary summary;
	FILE *full = fopen("/dev/full", "w");

	add_cpuid_cell(0);
	reader = fixture_open(image.bytes, image.used);
	ck_assert_int_eq(summary_compute(&summary, reader), 0);
	ck_assert_int_lt(summary_write_csv(&summary, full), 0);
	fclose(full);
	summary_free(&summary);
	reader_close(reader);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("summary");
	TCase *tcase = tcase_create("summary");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_columns_of_the_issue_come_first);
	tcase_add_test(tcase, a_row_of_numbers);
	tcase_add_test(tcase, drops_leave_no_false_counts);
	tcase_add_test(tcase, a_cell_without_recording_has_no_counts);
	tcase_add_test(tcase, level_1_has_no_multiplication);
	tcase_add_test(tcase, reasons_are_quoted);
	tcase_add_loop_test(tcase, quoting_of_fields, 0, sizeof(fields) / sizeof(fields[0]));
	tcase_add_test(tcase, a_full_disk_is_an_error);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
