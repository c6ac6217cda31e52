/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <string.h>

#include "cli/progress.h"

static struct cell cells[4];
static struct progress progress;
static char text[4096];
static FILE *out;

static void setup(void)
{
	for (int i = 0; i < 4; i++) {
		cell_defaults(&cells[i]);
		strcpy(cells[i].value[CELL_MACHINE], i < 2 ? "kvm" : "soft");
	}
	memset(text, 0, sizeof(text));
	out = fmemopen(text, sizeof(text), "w");
	progress_begin(&progress, out, false, cells, 4);
}

static void teardown(void)
{
	fclose(out);
}

START_TEST(time_left_is_unknown_before_the_first_cell_ends)
{
	ck_assert_double_lt(progress_seconds_left(&progress, progress.started_ns), 0);
}
END_TEST

START_TEST(time_left_goes_by_machine)
{
	progress.class_count = 2;
	strcpy(progress.classes[0].machine, "kvm");
	strcpy(progress.classes[0].level, cells[0].value[CELL_LEVEL]);
	progress.classes[0].finished = 1;
	progress.classes[0].total_ns = 4000000000u;
	strcpy(progress.classes[1].machine, "soft");
	strcpy(progress.classes[1].level, cells[0].value[CELL_LEVEL]);
	progress.classes[1].finished = 2;
	progress.classes[1].total_ns = 1000000000u;
	progress.done = 1;
	/* One kvm cell of 4 s and two soft cells of half a second. */
	ck_assert_double_eq_tol(progress_seconds_left(&progress, 0), 5.0, 1e-6);
	/* The running cell has used 1 s of its 4. */
	progress.cell_started_ns = 1000000000u;
	ck_assert_double_eq_tol(progress_seconds_left(&progress, 2000000000u), 4.0, 1e-6);
	/* A cell that takes longer than expected does not make the rest negative. */
	ck_assert_double_eq_tol(progress_seconds_left(&progress, 90000000000u), 1.0, 1e-6);
}
END_TEST

START_TEST(plain_lines_where_there_is_no_terminal)
{
	static struct cell_result result;

	result.status = CELL_FAILED;
	strcpy(result.reason, "because");
	progress_cell_begin(&progress);
	progress_tick(&progress);
	progress_cell_end(&progress, &result);
	fflush(out);
	ck_assert_ptr_nonnull(strstr(text, "[1/4]"));
	ck_assert_ptr_nonnull(strstr(text, "because\n"));
	ck_assert_ptr_null(strchr(text, '\r'));
	ck_assert_ptr_null(strchr(text, '\033'));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("progress");
	TCase *tcase = tcase_create("progress");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, time_left_is_unknown_before_the_first_cell_ends);
	tcase_add_test(tcase, time_left_goes_by_machine);
	tcase_add_test(tcase, plain_lines_where_there_is_no_terminal);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
