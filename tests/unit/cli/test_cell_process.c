/* SPDX-License-Identifier: Apache-2.0 */
/* Isolation: whatever a cell's process does, the scheduler gets a sentence. l0_run_cell is the test's own here. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cell_process.h"
#include "l0/l0.h"

static struct cell cell;
static struct cell_result *result;
static volatile sig_atomic_t stop;
static int ticks;

/* The workload's name says what the cell does. */
void l0_run_cell(const struct cell *run, struct ledger *ledger, struct cell_result *out)
{
	const char *what = run->value[CELL_WORKLOAD];

	if (!strcmp(what, "good")) {
		out->sample_count = 1;
		out->status = CELL_OK;
	} else if (!strcmp(what, "segv")) {
		raise(SIGSEGV);
	} else if (!strcmp(what, "exit")) {
		_exit(3);
	} else if (!strcmp(what, "partial")) {
		out->sample_count = 5;
		_exit(0);
	} else if (!strcmp(what, "late")) {
		out->status = CELL_OK;
		raise(SIGABRT);
	} else if (!strcmp(what, "hang")) {
		for (;;)
			pause();
	}
}

const struct machine_ops *machine_find(const char *name)
{
	return NULL;
}

static void tick(void *ctx)
{
	ticks++;
	if (ctx)
		stop = 1;
}

static void setup(void)
{
	cell_defaults(&cell);
	result = cell_result_share();
	ck_assert_ptr_nonnull(result);
	stop = 0;
	ticks = 0;
	signal(SIGSEGV, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
}

static void teardown(void)
{
	cell_result_unshare(result);
}

static void run(const char *what, void *ctx)
{
	strcpy(cell.value[CELL_WORKLOAD], what);
	ck_assert_int_eq(cell_process_run(&cell, NULL, result, &stop, tick, ctx), 0);
}

START_TEST(a_good_cell_is_ok)
{
	run("good", NULL);
	ck_assert_int_eq(result->status, CELL_OK);
	ck_assert_uint_eq(result->sample_count, 1);
	ck_assert_uint_gt(result->wall_ns, 0);
}
END_TEST

START_TEST(a_crash_names_the_signal)
{
	run("segv", NULL);
	ck_assert_int_eq(result->status, CELL_FAILED);
	ck_assert_ptr_nonnull(strstr(result->reason, "signal 11"));
}
END_TEST

START_TEST(a_crash_after_success_is_a_failure)
{
	run("late", NULL);
	ck_assert_int_eq(result->status, CELL_FAILED);
	ck_assert_ptr_nonnull(strstr(result->reason, "signal 6"));
}
END_TEST

START_TEST(an_end_without_a_result_is_a_failure_and_keeps_what_there_was)
{
	run("exit", NULL);
	ck_assert_int_eq(result->status, CELL_FAILED);
	ck_assert_ptr_nonnull(strstr(result->reason, "status 3"));
	run("partial", NULL);
	ck_assert_int_eq(result->status, CELL_FAILED);
	ck_assert_uint_eq(result->sample_count, 5);
}
END_TEST

START_TEST(a_hang_ends_at_the_timeout)
{
	strcpy(cell.value[CELL_TIMEOUT], "1");
	run("hang", NULL);
	ck_assert_int_eq(result->status, CELL_FAILED);
	ck_assert_ptr_nonnull(strstr(result->reason, "hung: no end after 1 s"));
	ck_assert_int_gt(ticks, 0);
}
END_TEST

START_TEST(a_stop_ends_the_cell)
{
	run("hang", result); /* a context makes the tick ask for a stop */
	ck_assert_int_eq(result->status, CELL_FAILED);
	ck_assert_ptr_nonnull(strstr(result->reason, "interrupted"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cell_process");
	TCase *tcase = tcase_create("cell_process");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_good_cell_is_ok);
	tcase_add_test(tcase, a_crash_names_the_signal);
	tcase_add_test(tcase, a_crash_after_success_is_a_failure);
	tcase_add_test(tcase, an_end_without_a_result_is_a_failure_and_keeps_what_there_was);
	tcase_add_test(tcase, a_hang_ends_at_the_timeout);
	tcase_add_test(tcase, a_stop_ends_the_cell);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
