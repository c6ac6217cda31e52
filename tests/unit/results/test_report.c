/* SPDX-License-Identifier: Apache-2.0 */
/* What a run says to people: tables, modelled cycles, health, and the data of the plots. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/costs.h"
#include "results/plot.h"
#include "results/report.h"

static struct fixture_image image;
static struct cell_result *result;
static struct cell cell;
static struct reader *reader;
static struct summary summary;
static char *text;
static size_t text_bytes;
static FILE *out;
static uint64_t cells;

static void setup(void)
{
	fixture_image_begin(&image);
	fixture_image_run(&image);
	result = malloc(sizeof(*result));
	fixture_result(result, 10, 5000);
	cell_defaults(&cell);
	cells = 0;
	text = NULL;
	out = open_memstream(&text, &text_bytes);
}

static void teardown(void)
{
	fclose(out);
	free(text);
	summary_free(&summary);
	reader_close(reader);
	fixture_image_free(&image);
	free(result);
}

static void set(const char *key, const char *value)
{
	ck_assert_int_eq(cell_set(&cell, key, value, NULL, 0), 0);
}

static void put_cell(size_t records)
{
	static struct ledger_record stream[256];

	fixture_image_cell(&image, cells, &cell);
	if (records) {
		fixture_typical_records(stream, records, 7);
		fixture_image_records(&image, stream, records);
	}
	fixture_image_cell_end(&image, cells++, result, 0);
}

static void finish(bool finished)
{
	fixture_image_end(&image, finished, finished ? "" : "the VMM was killed", 0);
	reader = fixture_open(image.bytes, image.used);
	ck_assert_ptr_nonnull(reader);
	ck_assert_int_eq(summary_compute(&summary, reader), 0);
}

static void expect(const char *word)
{
	fflush(out);
	ck_assert_msg(strstr(text, word), "\"%s\" is not in:\n%s", word, text);
}

static void expect_not(const char *word)
{
	fflush(out);
	ck_assert_msg(!strstr(text, word), "\"%s\" is in:\n%s", word, text);
}

START_TEST(one_line_holds_a_workload_at_both_levels)
{
	size_t lines = 0;

	set("level", "1");
	put_cell(0);
	set("level", "2");
	set("vmcs", "trap");
	put_cell(200);
	set("vmcs", "shadow");
	put_cell(200);
	finish(true);
	report_print(out, &summary, false);
	expect("machine kvm: cycles per operation");
	for (const char *at = text; (at = strstr(at, "\ncpuid")); at++)
		lines++;
	ck_assert_uint_eq(lines, 1);
	expect_not("failed");
}
END_TEST

START_TEST(counting_instructions_is_explained)
{
	put_cell(200);
	set("machine", "soft");
	result->virtual_time = true;
	put_cell(200);
	finish(true);
	report_print(out, &summary, false);
	expect("machine soft: instructions per operation");
	expect("Only instructions that retire count.");
	ck_assert_ptr_null(strstr(strstr(text, "Only instructions") + 1, "Only instructions")); /* not for kvm */
}
END_TEST

START_TEST(a_breakdown_names_its_cells_in_full)
{
	set("workload", "exception");
	set("profile", "minimal");
	put_cell(200);
	set("stamps", "on");
	put_cell(200);
	finish(true);
	report_print_breakdown(out, &summary);
	expect("\nkvm exception minimal shadow  ");
	expect("\nkvm exception minimal stamps=on shadow ");
	expect("L1's exits");
	fflush(out);
	ck_assert_ptr_null(strstr(text, "cpuid"));
}
END_TEST

START_TEST(a_reason_is_told_once_with_how_many_share_it)
{
	result->status = CELL_REFUSED;
	strcpy(result->reason, "this host has no magic");
	put_cell(0);
	set("workload", "pio");
	put_cell(0);
	result->status = CELL_FAILED;
	strcpy(result->reason, "it fell over");
	set("workload", "mmio");
	put_cell(0);
	finish(true);
	report_print(out, &summary, false);
	expect("and 1 more: this host has no magic");
	expect("not available: ");
	expect("failed: ");
	expect(": it fell over");
	expect("n/a");
	expect("FAILED");
	ck_assert_ptr_null(strstr(strstr(text, "no magic") + 1, "no magic"));
}
END_TEST

START_TEST(health_is_silent_when_all_is_well)
{
	put_cell(0);
	finish(true);
	report_print_health(out, reader_overview(reader));
	fflush(out);
	ck_assert_uint_eq(text_bytes, 0);
}
END_TEST

START_TEST(health_tells_of_an_unfinished_run)
{
	put_cell(0);
	finish(false);
	report_print_health(out, reader_overview(reader));
	expect("incomplete: the VMM was killed");
}
END_TEST

static void write_costs(const char *path, const char *contents)
{
	fixture_write_file(path, contents, strlen(contents));
}

START_TEST(modelled_cycles_are_counts_times_unit_costs)
{
	static struct ledger_record stream[3];
	struct costs costs;
	char why[256];
	const char *path = fixture_path();

	/* One operation in all: an L2 exit reflected, a VMREAD, a VMRESUME; a mark does not count. */
	fixture_result(result, 1, 50);
	result->sample_count = 1;
	result->virtual_time = true;
	set("machine", "soft");
	fixture_image_cell(&image, 0, &cell);
	for (int i = 0; i < 3; i++) {
		stream[i].phase = LEDGER_MEASURED;
		stream[i].level = i ? 1 : 2;
		stream[i].reason = (uint16_t)(i == 0 ? 10 : i == 1 ? 23 : 24);
		stream[i].handler = i ? LEDGER_BY_ENGINE : LEDGER_BY_L1;
	}
	fixture_image_records(&image, stream, 3);
	stream[0].flags = LEDGER_FLAG_MARK;
	fixture_image_records(&image, stream, 1);
	fixture_image_cell_end(&image, 0, result, 0);
	finish(true);
	write_costs(path, "[switch]\ncycles = 1000\nsource = a\n[reflect]\ncycles = 100\nsource = b\n"
	                  "[vmx_instruction]\ncycles = 10\nsource = c\n[merge]\ncycles = 1\nsource = d\n");
	ck_assert_msg(!costs_read(&costs, path, why, sizeof(why)), "%s", why);
	ck_assert_double_eq_tol(costs_per_op(&costs, &summary.rows[0], reader), 3111, 1e-9);
	costs_apply(&costs, &summary, reader);
	report_print_modelled(out, &summary, &costs);
	expect("MODELLED");
	expect("3111 modelled cycles");
	expect("1000 cycles: a");
}
END_TEST

START_TEST(measured_cells_are_never_modelled)
{
	struct costs costs = {.cycles = {[COST_SWITCH] = 1000}};

	put_cell(200);
	finish(true);
	ck_assert_double_lt(costs_per_op(&costs, &summary.rows[0], reader), 0);
}
END_TEST

START_TEST(costs_files_that_do_not_say_enough_are_refused)
{
	const struct {
		const char *text, *word;
		int error;
	} cases[] = {
	        {"[switch]\ncycles = 1\n", "no source", -EINVAL},
	        {"[fuel]\ncycles = 1\nsource = x\n", "[fuel]", -ENOENT},
	        {"[switch]\nprice = 1\n", "price", -ENOENT},
	        {"[switch]\ncycles = 1x\nsource = y\n", "1x", -EINVAL},
	        {"[switch]\ncycles = -1\nsource = y\n", "-1", -EINVAL},
	        {"[switch]\ncycles = inf\nsource = y\n", "inf", -EINVAL},
	        {"; nothing\n", "prices nothing", -ENODATA},
	        {"[switch\n", "line 1", -EINVAL},
	};
	const char *path = fixture_path();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct costs costs;
		char why[256];

		write_costs(path, cases[i].text);
		ck_assert_int_eq(costs_read(&costs, path, why, sizeof(why)), cases[i].error);
		ck_assert_msg(strstr(why, cases[i].word), "\"%s\" is not in \"%s\"", cases[i].word, why);
	}
	finish(true);
}
END_TEST

/* The contents of <folder>/<name>; NULL when there is none. free() it. */
static char *read_file(const char *folder, const char *name)
{
	char path[512];
	char *contents = calloc(1, 1 << 16);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	if (!file) {
		free(contents);
		return NULL;
	}
	ck_assert_uint_gt(fread(contents, 1, (1 << 16) - 1, file), 0);
	fclose(file);
	return contents;
}

START_TEST(plot_data_names_what_it_holds)
{
	char folder[512], why[256];
	char *data;

	snprintf(folder, sizeof(folder), "%s", fixture_path());
	*strrchr(folder, '/') = '\0';
	set("level", "1");
	put_cell(0);
	set("level", "2");
	put_cell(200);
	finish(true);
	ck_assert_msg(!plot_write_data(folder, reader, &summary, why, sizeof(why)), "%s", why);
	data = read_file(folder, "settings.gp");
	ck_assert_ptr_nonnull(strstr(data, "machines = \"kvm\""));
	free(data);
	data = read_file(folder, "cost-kvm.dat");
	/* 5000 ticks in 10 operations, over a control loop of 2. */
	ck_assert_ptr_nonnull(strstr(data, "\"cpuid\"\t"));
	ck_assert_ptr_nonnull(strstr(data, "NaN")); /* vmcs=trap was not run */
	free(data);
	data = read_file(folder, "multiplication-kvm.dat");
	ck_assert_ptr_nonnull(strstr(data, "\"L1 VMRESUME\""));
	ck_assert_ptr_nonnull(strstr(data, "\"cpuid\"\t\"shadow\"\t1\t"));
	free(data);
}
END_TEST

START_TEST(an_exact_zero_is_plotted)
{
	char folder[512], why[256];
	char *data;

	snprintf(folder, sizeof(folder), "%s", fixture_path());
	*strrchr(folder, '/') = '\0';
	set("machine", "soft");
	set("level", "1");
	result->virtual_time = true;
	for (uint64_t i = 0; i < result->sample_count; i++)
		result->samples[i] = (struct cell_sample){10, 20, 10, 20};
	put_cell(0);
	finish(true);
	ck_assert_msg(!plot_write_data(folder, reader, &summary, why, sizeof(why)), "%s", why);
	data = read_file(folder, "cost-soft.dat");
	ck_assert_ptr_nonnull(strstr(data, "\"cpuid\"\t0\t0\t0\tNaN"));
	free(data);
}
END_TEST

START_TEST(nothing_to_plot_is_said)
{
	char why[256];

	result->status = CELL_FAILED;
	put_cell(0);
	finish(true);
	ck_assert_int_eq(plot_write_data("/tmp", reader, &summary, why, sizeof(why)), -ENODATA);
	ck_assert_ptr_nonnull(strstr(why, "nothing to plot"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("report");
	TCase *tcase = tcase_create("report");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, one_line_holds_a_workload_at_both_levels);
	tcase_add_test(tcase, counting_instructions_is_explained);
	tcase_add_test(tcase, a_breakdown_names_its_cells_in_full);
	tcase_add_test(tcase, a_reason_is_told_once_with_how_many_share_it);
	tcase_add_test(tcase, health_is_silent_when_all_is_well);
	tcase_add_test(tcase, health_tells_of_an_unfinished_run);
	tcase_add_test(tcase, modelled_cycles_are_counts_times_unit_costs);
	tcase_add_test(tcase, measured_cells_are_never_modelled);
	tcase_add_test(tcase, costs_files_that_do_not_say_enough_are_refused);
	tcase_add_test(tcase, plot_data_names_what_it_holds);
	tcase_add_test(tcase, an_exact_zero_is_plotted);
	tcase_add_test(tcase, nothing_to_plot_is_said);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
