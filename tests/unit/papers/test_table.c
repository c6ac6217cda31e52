/* SPDX-License-Identifier: Apache-2.0 */
/* Data files: what is read, and what is refused with the line that is wrong. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "papers/table.h"

#define HEADER "row,series,value,unit,mark,note\n"

static struct paper_table table;

static void expect_refused(const char *text, const char *where, const char *what)
{
	char why[300] = "";

	ck_assert_int_eq(paper_table_parse(&table, text, "x.csv", why, sizeof(why)), -EINVAL);
	ck_assert_msg(strstr(why, where) && strstr(why, what), "\"%s\" names neither %s nor \"%s\"", why, where, what);
}

START_TEST(a_table_is_read_with_marks_and_notes)
{
	const struct paper_value *value;
	char why[300];
	double number = 0;

	ck_assert_int_eq(paper_table_parse(&table,
	                         "# of a paper\n" HEADER "cpuid,nested,58500,cycles,R-fig,text: 58000, or so\n\n"
	                         "cpuid,guest,-2.5e3,cycles,R,\n",
	                         "x.csv", why, sizeof(why)),
	        0);
	ck_assert_uint_eq(table.count, 2);
	value = paper_table_find(&table, "cpuid", "nested");
	ck_assert_ptr_nonnull(value);
	ck_assert_str_eq(paper_mark_name(value->mark), "R-fig");
	ck_assert_str_eq(value->note, "text: 58000, or so");
	ck_assert_str_eq(value->unit, "cycles");
	ck_assert(paper_table_number(&table, "cpuid", "guest", &number));
	ck_assert_double_eq(number, -2500);
	ck_assert_ptr_null(paper_table_find(&table, "cpuid", "L3"));
	ck_assert(!paper_table_number(&table, "pio", "guest", &number));
}
END_TEST

/* The rule that keeps remembered figures from being shown as a paper's. */
START_TEST(a_remembered_number_is_refused_and_its_row_has_none)
{
	char why[300];
	double number = 7;

	expect_refused(HEADER "cpuid,nested,58000,cycles,M,I think\n", "x.csv:2", "remembered");
	ck_assert_int_eq(
	        paper_table_parse(&table, HEADER "cpuid,nested,,cycles,M,not read\n", "x.csv", why, sizeof(why)), 0);
	ck_assert(!paper_table_number(&table, "cpuid", "nested", &number));
	ck_assert_double_eq(number, 7);
}
END_TEST

START_TEST(what_is_wrong_is_refused_with_its_line)
{
	char text[900] = HEADER;

	expect_refused("", "x.csv:0", "empty");
	expect_refused("a,b,1,x,R,\n", "x.csv:1", "first line");
	expect_refused(HEADER "a,b,1,x\n", "x.csv:2", "fields");
	expect_refused(HEADER "a,b,1,x,S,\n", "x.csv:2", "no such mark");
	expect_refused(HEADER "a,b,one,x,R,\n", "x.csv:2", "not a number");
	expect_refused(HEADER "a,b,inf,x,R,\n", "x.csv:2", "not a number");
	expect_refused(HEADER "a,b,,x,R,\n", "x.csv:2", "neither a value nor a note");
	expect_refused(HEADER ",b,1,x,R,\n", "x.csv:2", "empty or too long");
	expect_refused(HEADER "a,b,1,x,R,\n#\na,b,2,x,R,\n", "x.csv:4", "there already");
	for (int i = 0; i < 80; i++)
		strcat(text, "aaaaaaaa");
	expect_refused(text, "x.csv:2", "too long");
}
END_TEST

START_TEST(a_table_has_an_end)
{
	char *text = calloc(1, 64 * (PAPER_VALUES_MAX + 2)), why[300];

	strcpy(text, HEADER);
	for (int i = 0; i < PAPER_VALUES_MAX; i++)
		sprintf(text + strlen(text), "r%d,s,1,x,R,\n", i);
	ck_assert_int_eq(paper_table_parse(&table, text, "x.csv", why, sizeof(why)), 0);
	strcat(text, "last,s,1,x,R,\n");
	expect_refused(text, "x.csv", "too many");
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("papers table");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, a_table_is_read_with_marks_and_notes);
	tcase_add_test(tcase, a_remembered_number_is_refused_and_its_row_has_none);
	tcase_add_test(tcase, what_is_wrong_is_refused_with_its_line);
	tcase_add_test(tcase, a_table_has_an_end);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
