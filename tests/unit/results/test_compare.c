/* SPDX-License-Identifier: Apache-2.0 */
/* Which cells of two runs are compared, which are not and why. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "results/compare.h"

/* One side: a run file, read. */
struct side {
	struct fixture_image image;
	struct reader *reader;
	struct summary summary;
	struct run_info info;
	struct compare_filter filter;
	uint64_t cells;
};

static struct side sides[2];
static struct compare_options options;
static struct compare compare;
static struct cell_result result;

static void begin(void)
{
	memset(sides, 0, sizeof(sides));
	memset(&options, 0, sizeof(options));
	options.assumed_noise = COMPARE_NOISE;
	for (int i = 0; i < 2; i++) {
		fixture_image_begin(&sides[i].image);
		fixture_image_run(&sides[i].image);
	}
}

/* A cell of the settings given ("vmcs=trap profile=haxm") whose 9 samples cost about `ticks`. */
static void add(struct side *side, const char *settings, uint64_t ticks, uint64_t spread)
{
	char copy[256], *rest = copy, *word;
	struct cell cell;

	cell_defaults(&cell);
	snprintf(copy, sizeof(copy), "%s", settings);
	while ((word = strsep(&rest, " "))) {
		char *key = strsep(&word, "=");

		ck_assert_int_eq(cell_set(&cell, key, word, NULL, 0), 0);
	}
	fixture_result(&result, 1000, 0);
	result.virtual_time = result.instruction_clock = strstr(settings, "machine=soft") != NULL;
	for (uint64_t i = 0; i < 9; i++) {
		result.samples[i].ticks = 1000 * ticks + 1000 * spread * (i * 5 % 9);
		result.samples[i].control_ops = 0;
	}
	if (!ticks) {
		result.status = CELL_REFUSED;
		strcpy(result.reason, "not here");
	}
	fixture_image_cell(&side->image, side->cells, &cell);
	fixture_image_cell_end(&side->image, side->cells++, &result, 0);
}

static void run(bool across_hosts)
{
	struct compare_side a, b;

	for (int i = 0; i < 2; i++) {
		fixture_image_end(&sides[i].image, true, "", 0);
		sides[i].reader = fixture_open(sides[i].image.bytes, sides[i].image.used);
		ck_assert_ptr_nonnull(sides[i].reader);
		ck_assert_int_eq(summary_compute(&sides[i].summary, sides[i].reader), 0);
	}
	a = (struct compare_side){&sides[0].summary, &sides[0].info, &sides[0].filter};
	b = (struct compare_side){&sides[1].summary, &sides[1].info, &sides[1].filter};
	options.across_hosts = across_hosts;
	ck_assert_int_eq(compare_runs(&compare, &a, &b, &options), 0);
}

static void end(void)
{
	compare_free(&compare);
	for (int i = 0; i < 2; i++) {
		summary_free(&sides[i].summary);
		reader_close(sides[i].reader);
		fixture_image_free(&sides[i].image);
	}
}

static void filter(struct compare_filter *to, const char *text)
{
	char why[320];

	ck_assert_int_eq(compare_filter_add(to, text, why, sizeof(why)), 0);
}

/* The text of the pair with this name, or of none. */
static const struct compare_pair *find(const char *name)
{
	char text[384];

	for (size_t i = 0; i < compare.pair_count; i++) {
		compare_name(&compare.pairs[i], text, sizeof(text));
		if (!strcmp(text, name))
			return &compare.pairs[i];
	}
	ck_abort_msg("no pair is named %s", name);
	return NULL;
}

START_TEST(cells_of_equal_settings_are_paired)
{
	begin();
	add(&sides[0], "machine=kvm workload=cpuid", 100, 1);
	add(&sides[0], "machine=kvm workload=pio", 100, 1);
	add(&sides[0], "machine=kvm workload=rdmsr", 100, 1);
	add(&sides[0], "machine=kvm workload=mmio", 0, 0);
	add(&sides[1], "machine=kvm workload=pio samples=20", 200, 1);
	add(&sides[1], "machine=kvm workload=cpuid", 50, 1);
	add(&sides[1], "machine=kvm workload=wrmsr", 100, 1);
	add(&sides[1], "machine=kvm workload=mmio", 100, 1);
	run(false);
	ck_assert_uint_eq(compare.pair_count, 2);
	ck_assert_uint_eq(compare.tests, 2);
	ck_assert_int_eq(find("kvm level 2 cpuid vmcs=shadow profile=kvm")->c.verdict, STATS_FASTER);
	ck_assert_int_eq(find("kvm level 2 pio vmcs=shadow profile=kvm samples=9|20")->c.verdict, STATS_SLOWER);
	/* Two p of 2 / C(18, 9): the smallest is doubled, the other follows it. */
	for (int i = 0; i < 2; i++)
		ck_assert_double_eq_tol(compare.pairs[i].c.p_family, 4.0 / 48620, 1e-9);
	ck_assert_uint_eq(compare.lone_count, 4);
	ck_assert_str_eq(compare.lone[0].reason, "B has no such cell with figures");
	ck_assert(!compare.lone[0].of_b);
	ck_assert_str_eq(compare.lone[1].reason, "refused: not here");
	ck_assert_str_eq(compare.lone[2].reason, "A has no such cell with figures");
	ck_assert(compare.lone[2].of_b);
	ck_assert_uint_eq(compare_count(&compare, STATS_FASTER), 1);
	ck_assert_uint_eq(compare_count(&compare, STATS_SLOWER), 1);
	end();
}
END_TEST

START_TEST(sides_differ_in_what_their_filters_name)
{
	begin();
	for (int i = 0; i < 2; i++) {
		add(&sides[i], "machine=kvm level=1 workload=cpuid", 10, 0);
		add(&sides[i], "machine=kvm workload=cpuid vmcs=trap", 100, 1);
		add(&sides[i], "machine=kvm workload=cpuid vmcs=shadow", 60, 1);
		add(&sides[i], "machine=kvm workload=pio vmcs=trap", 100, 1);
		add(&sides[i], "machine=kvm workload=pio vmcs=shadow", 60, 1);
	}
	filter(&sides[0].filter, "vmcs=trap");
	filter(&sides[1].filter, "vmcs=SHADOW");
	filter(&options.both, "workload=cpuid,rdmsr");
	run(false);
	/* The cell of level 1 stands at vmcs=shadow, which means nothing for it. */
	ck_assert_uint_eq(compare.pair_count, 1);
	ck_assert_uint_eq(compare.lone_count, 0);
	ck_assert_int_eq(find("kvm level 2 cpuid vmcs=trap|shadow profile=kvm")->c.verdict, STATS_FASTER);
	end();
}
END_TEST

START_TEST(what_cannot_be_compared_is_refused)
{
	begin();
	add(&sides[0], "machine=kvm workload=cpuid", 100, 1);
	add(&sides[0], "machine=soft workload=pio vmcs=trap", 100, 0);
	add(&sides[1], "machine=soft workload=cpuid", 50, 0);
	add(&sides[1], "machine=soft workload=pio vmcs=shadow", 100, 0);
	filter(&sides[0].filter, "machine=kvm,soft");
	filter(&sides[1].filter, "machine=soft");
	filter(&sides[1].filter, "vmcs=trap,shadow");
	run(false);
	ck_assert_uint_eq(compare.pair_count, 2);
	ck_assert_int_eq(compare.pairs[0].c.verdict, STATS_CANNOT_TELL);
	ck_assert_str_eq(compare.pairs[0].c.reason, "different units: A in cycles, B in instructions");
	ck_assert_int_eq(compare.pairs[1].c.verdict, STATS_CANNOT_TELL);
	ck_assert_ptr_nonnull(strstr(compare.pairs[1].c.reason, "compare exits"));
	ck_assert_uint_eq(compare.tests, 0);
	end();
}
END_TEST

START_TEST(hosts_must_be_the_same_for_measured_times)
{
	for (int across = 0; across < 2; across++) {
		begin();
		for (int i = 0; i < 2; i++) {
			add(&sides[i], "machine=kvm workload=cpuid", 100 + 100 * (uint64_t)i, 1);
			add(&sides[i], "machine=soft workload=cpuid", 30, 0);
			run_info_set(&sides[i].info, "cpu", "%s", i ? "a slow one" : "a fast one");
			run_info_set(&sides[i].info, "kernel", "Linux 6.%d", i);
		}
		run(across);
		ck_assert_str_eq(compare.host, "cpu is \"a fast one\" for A and \"a slow one\" for B");
		ck_assert_uint_eq(compare.note_count, 1);
		ck_assert_str_eq(compare.notes[0], "kernel: A Linux 6.0, B Linux 6.1");
		ck_assert_int_eq(compare.pairs[0].c.verdict, across ? STATS_SLOWER : STATS_CANNOT_TELL);
		if (!across)
			ck_assert_str_eq(compare.pairs[0].c.reason, "different hosts");
		ck_assert_int_eq(compare.pairs[1].c.verdict, STATS_EQUAL);
		end();
	}
}
END_TEST

/* Cells in rounds know how much they differ from themselves; others are taken to differ by what is assumed. */
START_TEST(runs_may_differ_by_themselves)
{
	static const struct {
		double assumed;
		uint64_t rounds;
		enum stats_verdict verdict;
		double noise;
	} cases[] = {{COMPARE_NOISE, 1, STATS_CANNOT_TELL, COMPARE_NOISE}, {0, 1, STATS_SLOWER, 0},
	        {0.02, 1, STATS_SLOWER, 0.02}, {COMPARE_NOISE, 2, STATS_SLOWER, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin();
		options.assumed_noise = cases[i].assumed;
		for (uint64_t round = 0; round < cases[i].rounds; round++) {
			add(&sides[0], "machine=kvm workload=cpuid", 1000, 1);
			add(&sides[1], "machine=kvm workload=cpuid", 1025, 1);
		}
		run(false);
		ck_assert_uint_eq(compare.pair_count, 1);
		ck_assert_int_eq(compare.pairs[0].c.verdict, cases[i].verdict);
		ck_assert_double_eq_tol(compare.pairs[0].noise, cases[i].noise, 1e-9);
		ck_assert(compare.pairs[0].noise_assumed == (cases[i].noise > 0));
		if (cases[i].verdict == STATS_CANNOT_TELL)
			ck_assert_ptr_nonnull(strstr(compare.pairs[0].c.reason, "runs may differ by ±3.0 %"));
		end();
	}
	/* Rounds 3 % apart: a difference of 1 % is within that. */
	begin();
	for (uint64_t round = 0; round < 2; round++) {
		add(&sides[0], "machine=kvm workload=cpuid", 1000 + 60 * round, 1);
		add(&sides[1], "machine=kvm workload=cpuid", 1000 + 60 * round, 1);
	}
	run(false);
	ck_assert_double_eq_tol(compare.pairs[0].noise, 30.0 / 1034, 1e-6);
	ck_assert(!compare.pairs[0].noise_assumed);
	end();
}
END_TEST

START_TEST(filters_are_checked)
{
	struct compare_filter wrong = {0};
	char why[320];

	ck_assert_int_lt(compare_filter_add(&wrong, "vmcs", why, sizeof(why)), 0);
	ck_assert_ptr_nonnull(strstr(why, "KEY=VALUE"));
	ck_assert_int_lt(compare_filter_add(&wrong, "vmcs=often", why, sizeof(why)), 0);
	ck_assert_ptr_nonnull(strstr(why, "trap, shadow, direct"));
	ck_assert_int_lt(compare_filter_add(&wrong, "colour=red", why, sizeof(why)), 0);
	ck_assert_ptr_nonnull(strstr(why, "no such key"));
	ck_assert_int_lt(compare_filter_add(&wrong, "vmcs=", why, sizeof(why)), 0);
	for (int i = 0; i < 16; i++)
		ck_assert_int_eq(compare_filter_add(&wrong, "samples=9", why, sizeof(why)), 0);
	ck_assert_int_lt(compare_filter_add(&wrong, "samples=9", why, sizeof(why)), 0);
}
END_TEST

START_TEST(table_and_csv)
{
	static char text[8192];
	FILE *out;

	begin();
	add(&sides[0], "machine=kvm workload=cpuid", 100, 1);
	add(&sides[1], "machine=kvm workload=cpuid", 200, 1);
	add(&sides[1], "machine=kvm workload=pio", 100, 1);
	run(false);
	out = fmemopen(text, sizeof(text), "w");
	compare_print(out, &compare, false);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "cycles per operation"));
	ck_assert_ptr_nonnull(
	        strstr(text, "kvm level 2 cpuid vmcs=shadow profile=kvm          104          204  +96.15 % ["));
	ck_assert_ptr_nonnull(strstr(text, "<0.0001  slower\n"));
	ck_assert_ptr_nonnull(
	        strstr(text, "only in B: kvm level 2 pio vmcs=shadow profile=kvm: A has no such cell with figures\n"));
	ck_assert_ptr_nonnull(
	        strstr(text, "1 pairs: 0 faster, 1 slower, 0 equal, 0 cannot tell; 1 cells without a partner\n"));
	memset(text, 0, sizeof(text));
	out = fmemopen(text, sizeof(text), "w");
	ck_assert_int_eq(compare_write_csv(out, &compare), 0);
	fclose(out);
	/* Every line has as many columns as the header. */
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
		int commas = 0;

		for (const char *at = line; *at != '\n'; at++)
			commas += *at == ',';
		ck_assert_int_eq(commas, 19);
	}
	ck_assert_ptr_nonnull(
	        strstr(text, "\nkvm level 2 cpuid vmcs=shadow profile=kvm,0,0,cycles,9,9,104,204,0.961538,"));
	ck_assert_ptr_nonnull(strstr(text, ",unmatched,A has no such cell with figures\n"));
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("compare");
	TCase *tcase = tcase_create("compare");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, cells_of_equal_settings_are_paired);
	tcase_add_test(tcase, sides_differ_in_what_their_filters_name);
	tcase_add_test(tcase, what_cannot_be_compared_is_refused);
	tcase_add_test(tcase, hosts_must_be_the_same_for_measured_times);
	tcase_add_test(tcase, runs_may_differ_by_themselves);
	tcase_add_test(tcase, filters_are_checked);
	tcase_add_test(tcase, table_and_csv);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
