/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/matrix.h"

static struct matrix matrix;

static int read_text(const char *text, const struct matrix_override *overrides, size_t count)
{
	FILE *file = fmemopen((void *)text, strlen(text), "r");
	int status;

	ck_assert_ptr_nonnull(file);
	status = matrix_read(&matrix, file, "m.ini", overrides, count);
	fclose(file);
	return status;
}

static void expect_error(const char *text, int error, const char *sentence)
{
	ck_assert_int_eq(read_text(text, NULL, 0), error);
	ck_assert_msg(strstr(matrix.error, sentence), "\"%s\" is not in \"%s\"", sentence, matrix.error);
	ck_assert_ptr_null(matrix.cells);
}

START_TEST(product_of_two_lists)
{
	ck_assert_int_eq(
	        read_text("[a]\nmachine = soft\nworkload = cpuid, pio\nvmcs=trap,shadow,direct\n", NULL, 0), 0);
	ck_assert_uint_eq(matrix.count, 6);
	ck_assert_str_eq(matrix.cells[0].value[CELL_WORKLOAD], "cpuid");
	ck_assert_str_eq(matrix.cells[0].value[CELL_VMCS], "trap");
	ck_assert_str_eq(matrix.cells[5].value[CELL_WORKLOAD], "pio");
	ck_assert_str_eq(matrix.cells[5].value[CELL_VMCS], "direct");
	ck_assert_str_eq(matrix.cells[3].value[CELL_MACHINE], "soft");
	matrix_free(&matrix);
}
END_TEST

START_TEST(level_1_cells_collapse)
{
	ck_assert_int_eq(read_text("[a]\nlevel = 1, 2\nworkload = cpuid\nvmcs=trap,shadow,direct\n", NULL, 0), 0);
	ck_assert_uint_eq(matrix.count, 4);
	matrix_free(&matrix);
}
END_TEST

START_TEST(sections_are_joined_without_duplicates)
{
	ck_assert_int_eq(read_text("[a]\nworkload = cpuid\n[b]\nworkload = cpuid, pio\n", NULL, 0), 0);
	ck_assert_uint_eq(matrix.count, 2);
	matrix_free(&matrix);
}
END_TEST

START_TEST(exclude_leaves_out_what_matches_all_words)
{
	ck_assert_int_eq(
	        read_text(
	                "[a]\nworkload = cpuid, pio\nvmcs = trap, shadow\nexclude = workload=pio vmcs=trap\n", NULL, 0),
	        0);
	ck_assert_uint_eq(matrix.count, 3);
	for (size_t i = 0; i < matrix.count; i++)
		ck_assert(strcmp(matrix.cells[i].value[CELL_WORKLOAD], "pio") ||
		          strcmp(matrix.cells[i].value[CELL_VMCS], "trap"));
	matrix_free(&matrix);
}
END_TEST

START_TEST(exclude_lines_add_up)
{
	ck_assert_int_eq(
	        read_text(
	                "[a]\nworkload = cpuid, pio, mmio\nexclude = workload=pio\nexclude = workload=mmio\n", NULL, 0),
	        0);
	ck_assert_uint_eq(matrix.count, 1);
	matrix_free(&matrix);
}
END_TEST

START_TEST(a_list_goes_on_on_indented_lines)
{
	ck_assert_int_eq(read_text("[a]\nworkload = cpuid,\n   pio,\n   mmio\n", NULL, 0), 0);
	ck_assert_uint_eq(matrix.count, 3);
	matrix_free(&matrix);
}
END_TEST

START_TEST(overrides_replace_lists)
{
	const struct matrix_override override = {"workload", "hlt"};

	ck_assert_int_eq(read_text("[a]\nworkload = cpuid, pio\nvmcs = trap, shadow\n", &override, 1), 0);
	ck_assert_uint_eq(matrix.count, 2);
	ck_assert_str_eq(matrix.cells[0].value[CELL_WORKLOAD], "hlt");
	matrix_free(&matrix);
}
END_TEST

START_TEST(a_wrong_override_is_refused)
{
	char list[512] = "cpuid";
	const struct {
		struct matrix_override override;
		int error;
		const char *sentence;
	} cases[] = {
	        {{"colour", "red"}, -ENOENT, "--set colour=red: there is no key \"colour\""},
	        {{"vmcs", "magic"}, -EINVAL, "--set vmcs=magic: "},
	        {{"vmcs", ""}, -EINVAL, "--set vmcs=: vmcs has no value"},
	        {{"workload", list}, -E2BIG, "the list is longer than"},
	};

	while (strlen(list) < 400)
		strcat(list, ", cpuid");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(read_text("[a]\nworkload = cpuid\n", &cases[i].override, 1), cases[i].error);
		ck_assert_msg(strstr(matrix.error, cases[i].sentence), "\"%s\" is not in \"%s\"", cases[i].sentence,
		        matrix.error);
	}
}
END_TEST

START_TEST(a_long_file_name_is_cut_in_messages)
{
	const char *text = "[a]\ncolour = red\n";
	FILE *file = fmemopen((void *)text, strlen(text), "r");
	char name[1024];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(matrix_read(&matrix, file, name, NULL, 0), -ENOENT);
	fclose(file);
	ck_assert_ptr_nonnull(strstr(matrix.error, "nnn:2: there is no key \"colour\""));
}
END_TEST

START_TEST(errors_name_file_line_and_value)
{
	expect_error("[a]\nworkload = cpuid\ncolour = red\n", -ENOENT, "m.ini:3: there is no key \"colour\"");
	expect_error("[a]\n\nvmcs = magic\n", -EINVAL, "m.ini:3: ");
	expect_error("[a]\n\nvmcs = magic\n", -EINVAL, "magic");
	expect_error("[a]\nworkload = sleep\n", -EINVAL, "sleep");
	expect_error("[a]\nsamples = 0\n", -EINVAL, "m.ini:2: ");
	expect_error("[a]\nsamples = 7x\n", -EINVAL, "m.ini:2: ");
	expect_error("[a]\nvmcs = trap\nvmcs = shadow\n", -EEXIST, "m.ini:3: vmcs is set twice");
	expect_error("[a]\nvmcs = trap,,shadow\n", -EINVAL, "empty value");
	expect_error("[a]\nexclude = pio\nvmcs = trap\n", -EINVAL, "m.ini:2: exclude wants");
	expect_error("[a]\nexclude = colour=red\nvmcs = trap\n", -ENOENT, "m.ini:2: ");
	expect_error("[a]\nexclude = vmcs=red\nvmcs = trap\n", -EINVAL, "m.ini:2: ");
	expect_error("[a]\nexclude = \nvmcs = trap\n", -EINVAL, "m.ini:2: exclude names nothing");
	expect_error("[a]\nnonsense\n", -EINVAL, "m.ini:2: ");
	expect_error("; only a comment\n", -ENODATA, "the matrix has no cell");
}
END_TEST

START_TEST(a_line_that_would_be_cut_is_refused)
{
	char text[512] = "[a]\nworkload = ";

	while (strlen(text) < 300)
		strcat(text, "cpuid, ");
	strcat(text, "pio\n");
	expect_error(text, -E2BIG, "m.ini:2: the line is longer than");
}
END_TEST

START_TEST(a_huge_product_is_refused)
{
	char *text = malloc(1 << 16);
	char *at = text;

	at += sprintf(at, "[a]\nsamples = 1");
	for (int i = 2; i <= 64; i++)
		at += sprintf(at, ",\n %d", i);
	at += sprintf(at, "\ntimeout = 1");
	for (int i = 2; i <= 64; i++)
		at += sprintf(at, ",\n %d", i);
	at += sprintf(at, "\nops = 1");
	for (int i = 2; i <= 26; i++)
		at += sprintf(at, ",\n %d", i);
	sprintf(at, "\nlevel = 2\n");
	/* 64 * 64 * 26 cells are over the limit; finding duplicates among them is quadratic: the limit keeps it short.
	 */
	ck_assert_int_eq(read_text(text, NULL, 0), -E2BIG);
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("matrix");
	TCase *tcase = tcase_create("matrix");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, product_of_two_lists);
	tcase_add_test(tcase, level_1_cells_collapse);
	tcase_add_test(tcase, sections_are_joined_without_duplicates);
	tcase_add_test(tcase, exclude_leaves_out_what_matches_all_words);
	tcase_add_test(tcase, exclude_lines_add_up);
	tcase_add_test(tcase, a_list_goes_on_on_indented_lines);
	tcase_add_test(tcase, overrides_replace_lists);
	tcase_add_test(tcase, a_wrong_override_is_refused);
	tcase_add_test(tcase, a_long_file_name_is_cut_in_messages);
	tcase_add_test(tcase, errors_name_file_line_and_value);
	tcase_add_test(tcase, a_line_that_would_be_cut_is_refused);
	tcase_add_test(tcase, a_huge_product_is_refused);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
