/* SPDX-License-Identifier: Apache-2.0 */
/* The run's description: pairs, their limits, the matrix. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct run_info *info;

static void setup(void)
{
	info = malloc(sizeof(*info));
	run_info_clear(info);
}

static void teardown(void)
{
	free(info);
}

START_TEST(pairs_are_kept_and_replaced)
{
	ck_assert_ptr_null(run_info_get(info, "cpu"));
	ck_assert_int_eq(run_info_set(info, "cpu", "%s, %d cores", "EPYC", 2), 0);
	ck_assert_int_eq(run_info_set(info, "kernel", "6.1"), 0);
	ck_assert_str_eq(run_info_get(info, "cpu"), "EPYC, 2 cores");
	ck_assert_int_eq(run_info_set(info, "cpu", "Xeon"), 0);
	ck_assert_str_eq(run_info_get(info, "cpu"), "Xeon");
	ck_assert_uint_eq(info->pair_count, 2);
}
END_TEST

START_TEST(limits_are_errors)
{
	char text[RUN_VALUE_BYTES + 10];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(run_info_set(info, "long", "%s", text), -ENAMETOOLONG);
	ck_assert_uint_eq(strlen(run_info_get(info, "long")), RUN_VALUE_BYTES - 1);
	for (int i = 1; i < RUN_PAIRS_MAX; i++) {
		char key[RUN_KEY_BYTES];

		snprintf(key, sizeof(key), "key%d", i);
		ck_assert_int_eq(run_info_set(info, key, "%d", i), 0);
	}
	ck_assert_int_eq(run_info_set(info, "one more", "x"), -ENOSPC);
	ck_assert_int_eq(run_info_set(info, "key5", "again"), 0);
}
END_TEST

START_TEST(the_matrix_is_cut_to_fit)
{
	char *text = malloc(RUN_MATRIX_BYTES + 10);

	memset(text, '#', RUN_MATRIX_BYTES + 9);
	text[RUN_MATRIX_BYTES + 9] = '\0';
	ck_assert_int_eq(run_info_set_matrix(info, text), -ENAMETOOLONG);
	ck_assert_uint_eq(strlen(info->matrix), RUN_MATRIX_BYTES - 1);
	ck_assert_int_eq(run_info_set_matrix(info, "[matrix]\n"), 0);
	ck_assert_str_eq(info->matrix, "[matrix]\n");
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("run_info");
	TCase *tcase = tcase_create("run_info");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, pairs_are_kept_and_replaced);
	tcase_add_test(tcase, limits_are_errors);
	tcase_add_test(tcase, the_matrix_is_cut_to_fit);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
