/* SPDX-License-Identifier: Apache-2.0 */
/* The noise report: every figure from samples and host descriptions that are known. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "results/noise.h"

static struct fixture_image image;
static struct cell_result result;
static struct summary summary;
static struct noise noise;
static struct reader *reader;
static struct run_info host;
static uint64_t cells;
static char text[8192];

static void begin(void)
{
	cells = 0;
	fixture_image_begin(&image);
	fixture_image_run_on(&image, &host);
	run_info_clear(&host);
}

/* A cell whose samples cost these ticks, above a control loop of 10. */
static void add(const char *machine, const char *workload, const double *ticks, uint64_t n)
{
	struct cell cell;

	cell_defaults(&cell);
	ck_assert_int_eq(cell_set(&cell, "machine", machine, NULL, 0), 0);
	ck_assert_int_eq(cell_set(&cell, "workload", workload, NULL, 0), 0);
	memset(&result, 0, sizeof(result));
	result.status = CELL_OK;
	result.virtual_time = !strcmp(machine, "soft");
	result.sample_count = n;
	for (uint64_t i = 0; i < n; i++)
		result.samples[i] = (struct cell_sample){1000, (uint64_t)(1000 * (ticks[i] + 10)), 1000, 10000};
	fixture_image_cell(&image, cells, &cell);
	fixture_image_cell_end(&image, cells++, &result, 0);
}

static void compute(void)
{
	fixture_image_end(&image, true, "", 0);
	reader = fixture_open(image.bytes, image.used);
	ck_assert_ptr_nonnull(reader);
	ck_assert_int_eq(summary_compute(&summary, reader), 0);
	ck_assert_int_eq(noise_compute(&noise, &summary, reader), 0);
}

static void end(void)
{
	noise_free(&noise);
	summary_free(&summary);
	reader_close(reader);
	fixture_image_free(&image);
}

static const char *print(bool rows)
{
	FILE *out;

	memset(text, 0, sizeof(text));
	out = fmemopen(text, sizeof(text) - 1, "w");
	if (rows)
		noise_print_rows(out, &noise);
	else
		noise_print(out, &noise);
	fclose(out);
	return text;
}

static void expect(const char *line)
{
	ck_assert_msg(strstr(text, line), "\"%s\" is not in:\n%s", line, text);
}

static const double even[] = {86, 94, 90, 88, 92, 90, 89, 91, 90, 90};
static const double outlying[] = {86, 94, 90, 88, 92, 90, 89, 91, 90, 150};
static const double rising[] = {80, 82, 84, 86, 88, 90, 92, 94, 96, 98};
static const double nothing[] = {-1, 1, 0, -2, 2, 0, 1, -1, 0, 0};

START_TEST(what_samples_say)
{
	begin();
	add("kvm", "cpuid", even, 10);
	add("kvm", "pio", outlying, 10);
	add("kvm", "rdmsr", rising, 10);
	add("kvm", "null", nothing, 10);
	add("soft", "cpuid", even, 10);
	compute();
	ck_assert_uint_eq(noise.count, 4);
	ck_assert_uint_eq(noise.exact, 1);
	ck_assert_uint_eq(noise.samples, 40);
	ck_assert_uint_eq(noise.outliers, 1);
	ck_assert_uint_eq(noise.rows[1].outliers, 1);
	/* Deviations of `even` from 90: 4 4 0 2 2 0 1 1 0 0, median 1, of 100 with the control loop. */
	ck_assert_double_eq_tol(noise.rows[0].spread, 0.01, 1e-9);
	ck_assert_double_eq(noise.rows[0].control_spread, 0);
	ck_assert(!noise.rows[0].drifts);
	/* Halves of `rising`: 84 and 94; the whole 89, and 10 of the control loop. */
	ck_assert(noise.rows[2].drifts);
	ck_assert_double_eq_tol(noise.rows[2].tau, 1, 1e-12);
	ck_assert_double_eq_tol(noise.rows[2].shift, 10.0 / 99, 1e-9);
	/* S = 45 of a variance of 125: p of 44 / 11.18 standard deviations, times 4 for Holm. */
	ck_assert_double_eq_tol(noise.rows[2].p, 4 * 8.3031e-05, 1e-7);
	ck_assert(noise.rows[3].control);
	ck_assert_uint_eq(noise.run_points, 0);
	print(false);
	expect("Noise of this run: 40 samples in 4 rows; 1 more are exact (virtual time)\n");
	expect("control row      0 is right and in 1 of 1 intervals; farthest 0.0 cycles (kvm level 2 null");
	expect("outliers         1 samples are more than 3 quartile ranges beyond the quartiles, most (1 of 10): kvm "
	       "level 2 pio");
	expect("drift            +10.1 % from the first half of its samples to the second (tau 1.00): kvm level 2 "
	       "rdmsr");
	expect("rounds           1: how much a cell differs from itself later is not known");
	print(true);
	expect("   1.00*  10.1 %");
	end();
}
END_TEST

START_TEST(rounds_show_the_drift_of_the_run)
{
	double slower[10];

	begin();
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < 10; i++)
			slower[i] = even[i] + 2 * round;
		add("kvm", "cpuid", slower, 10);
		add("kvm", "pio", slower, 10);
	}
	compute();
	ck_assert_uint_eq(noise.count, 2);
	ck_assert_uint_eq(noise.run_points, 12);
	/* Rounds at 100 to 110, by twos; the median is 105: halves at 102 and 108. */
	ck_assert_double_eq_tol(noise.run_shift, 6.0 / 105, 1e-9);
	ck_assert_double_gt(noise.run_tau, 0.9);
	ck_assert_double_lt(noise.run_p, 0.001);
	print(false);
	expect("rounds           medians of one cell differ by ±5.3 % (median of rows), at most 5.3 %");
	expect("+5.7 % from the run's first half to its second");
	expect("warning          the whole run drifted by +5.7 %");
	end();
}
END_TEST

START_TEST(what_the_host_says)
{
	run_info_set(&host, "kvm", "kvm_intel");
	run_info_set(&host, "cpus", "4");
	run_info_set(&host, "load", "3.50 2.00 1.00");
	run_info_set(&host, "cpu_time", "1000 0 500 9000 100 0 0 0");
	run_info_set(&host, "governor", "powersave");
	run_info_set(&host, "turbo", "on");
	run_info_set(&host, "vuln.retbleed", "Vulnerable");
	run_info_set(&host, "vuln.l1tf", "Mitigation: PTE Inversion");
	begin();
	add("kvm", "cpuid", even, 10);
	run_info_set(&host, "load", "1.25 2.00 1.00");
	run_info_set(&host, "cpu_time", "1300 0 600 9540 110 0 0 50");
	run_info_set(&host, "own_time", "300");
	run_info_set(&host, "governor", "powersave");
	run_info_set(&host, "turbo", "off");
	fixture_image_host(&image, &host);
	compute();
	ck_assert(noise.have_end);
	ck_assert_double_eq_tol(noise.load_start, 3.5, 1e-9);
	ck_assert_double_eq_tol(noise.load_end, 1.25, 1e-9);
	/* 1,000 ticks between the two: 400 of work, 540 idle, 10 waiting, 50 stolen. */
	ck_assert_double_eq_tol(noise.busy, 0.4, 1e-9);
	ck_assert_double_eq_tol(noise.steal, 0.05, 1e-9);
	/* 300 of these 400 were the run's own: 100 of 1,000 on 4 CPUs. */
	ck_assert_double_eq_tol(noise.others, 0.4, 1e-9);
	print(false);
	expect("host             kvm kvm_intel, virtual not told; governor powersave, turbo on, at the end off, smt "
	       "not told\n");
	expect("load             3.50 2.00 1.00 at the start, 1.25 2.00 1.00 at the end; 4 CPUs, 40 % busy, 5.0 % "
	       "steal; other programs took 0.40 CPUs\n");
	expect("mitigations      retbleed (vulnerable), l1tf\n");
	expect("warning          the host had other work: it kept 0.40 of 4 CPUs busy while the run was made\n");
	expect("warning          5.0 % of the CPU time was taken by other guests");
	expect("warning          the frequency governor is powersave");
	expect("warning          turbo changed while the run was made: on, then off\n");
	ck_assert(!noise_warning(&noise, 4, text, sizeof(text)));
	end();
	run_info_clear(&host);
}
END_TEST

/* Where the end is not told, the load at the start is the only witness. */
START_TEST(load_at_the_start)
{
	run_info_clear(&host);
	run_info_set(&host, "cpus", "2");
	run_info_set(&host, "load", "1.20 0 0");
	begin();
	add("kvm", "cpuid", even, 10);
	compute();
	print(false);
	expect("warning          the host had other work: load 1.20 at the start on 2 CPUs\n");
	end();
}
END_TEST

START_TEST(nothing_is_made_up)
{
	run_info_clear(&host);
	begin();
	add("kvm", "cpuid", even, 10);
	compute();
	ck_assert(!noise.have_end);
	ck_assert_double_lt(noise.busy, 0);
	ck_assert_double_lt(noise.others, 0);
	ck_assert(!noise_warning(&noise, 0, text, sizeof(text)));
	print(false);
	expect("load             not told at the start, the end is not known; not told CPUs\n");
	expect("mitigations      none told\n");
	end();
	begin();
	add("soft", "cpuid", even, 10);
	compute();
	ck_assert_str_eq(print(false), "");
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("noise");
	TCase *tcase = tcase_create("noise");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, what_samples_say);
	tcase_add_test(tcase, rounds_show_the_drift_of_the_run);
	tcase_add_test(tcase, what_the_host_says);
	tcase_add_test(tcase, load_at_the_start);
	tcase_add_test(tcase, nothing_is_made_up);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
