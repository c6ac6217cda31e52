/* SPDX-License-Identifier: Apache-2.0 */
/* figures.ini: the Turtles paper as it stands in the tree, and mistakes that are refused by name. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "papers/paper.h"

static const char *papers_folder;

/* The file of the tree; lives as long as the test. */
static const char *tree_file(const char *path)
{
	static char *texts[64];
	static size_t count;
	char full[4300];
	FILE *file;
	size_t used;

	snprintf(full, sizeof(full), "%s/%s", papers_folder, path);
	file = fopen(full, "re");
	if (!file)
		return NULL;
	ck_assert_uint_lt(count, 64);
	texts[count] = calloc(1, 65536);
	used = fread(texts[count], 1, 65535, file);
	fclose(file);
	ck_assert_uint_lt(used, 65535);
	return texts[count++];
}

START_TEST(turtles_is_read)
{
	char why[400] = "";
	struct paper *paper = paper_read("turtles-osdi10", tree_file, why, sizeof(why));
	const struct paper_figure *figure;
	double number = 0;

	ck_assert_msg(paper, "%s", why);
	figure = paper_figure_find(paper, "figure10");
	ck_assert_ptr_nonnull(figure);
	ck_assert_uint_eq(figure->row_count, 5);
	ck_assert(figure->parts[PAPER_PART_SWITCH] && figure->parts[PAPER_PART_L1] && !figure->parts[PAPER_PART_GUEST]);
	ck_assert(paper_table_number(&figure->table, "nested", "total", &number));
	ck_assert_double_eq(number, 58500);
	/* 19,350 / 1,475 cycles, PVM's Table 1: another paper's line. */
	ck_assert_uint_ge(figure->reference_count, 1);
	ck_assert_double_gt(figure->references[0].ratio, 5);
	figure = paper_figure_find(paper, "figure6");
	ck_assert_uint_eq(figure->row_count, 10);
	ck_assert_uint_eq(figure->series_count, 3);
	ck_assert_ptr_null(paper_figure_find(paper, "figure99"));
	/* Each issue's statement has its place. */
	ck_assert_uint_ge(paper->shape_count, 6);
	free(paper);
}
END_TEST

/* ---- mistakes ---- */

static const char *mistaken;

static const char *mistaken_file(const char *path)
{
	if (!strcmp(path, "p/figures.ini"))
		return mistaken;
	if (!strcmp(path, "p/d.csv"))
		return "row,series,value,unit,mark,note\na,s,1,x,R,\nb,s,2,x,R,\na,t,3,x,R,\nb,t,,x,M,not read\n";
	return NULL;
}

#define GOOD "[f]\ntitle = F\ndata = d.csv\nrow = a | workload=cpuid\nrow = b\nseries = s | level=1\nseries = t\n"

static void expect_refused(const char *text, const char *what)
{
	char why[400] = "";
	struct paper *paper;

	mistaken = text;
	paper = paper_read("p", mistaken_file, why, sizeof(why));
	ck_assert_msg(!paper, "taken: %s", text);
	ck_assert_msg(strstr(why, what) != NULL, "\"%s\" does not say \"%s\"", why, what);
}

START_TEST(the_small_paper_is_good)
{
	char why[400] = "";
	struct paper *paper;

	mistaken = GOOD "[shape x]\nfigure = f\ntext = T\nkind = within | 0.1\ncell = a | s\ncell = b | s\n";
	paper = paper_read("p", mistaken_file, why, sizeof(why));
	ck_assert_msg(paper, "%s", why);
	ck_assert_str_eq(paper->figures[0].rows[0].settings, "workload=cpuid");
	ck_assert_str_eq(paper->figures[0].unit, "x");
	ck_assert_double_eq(paper->shapes[0].limit, 0.1);
	ck_assert_int_eq(paper->shapes[0].kind, PAPER_WITHIN);
	free(paper);
}
END_TEST

START_TEST(mistakes_are_named)
{
	char text[700];

	expect_refused(NULL, "there is no paper");
	expect_refused("nonsense\n", "line 1");
	expect_refused("[paper]\nauthor = X\n", "author");
	expect_refused("[f]\ntitle = F\nrow = a\nseries = s\n", "wants title, data, row and series");
	expect_refused("[f]\ndata = none.csv\n", "none.csv");
	expect_refused("[f]\ncolour = red\n", "colour = red");
	expect_refused("[f]\npart = L7\n", "L7");
	expect_refused(GOOD "row = c\n", "the data has no \"c\"");
	expect_refused(GOOD "base = z\n", "the base \"z\"");
	expect_refused(GOOD "[g]\ntitle = G\ndata = d.csv\nrow = a\nseries = s\n[f]\ntitle = again\n", "there already");
	expect_refused(GOOD "reference = R | d.csv | a | s | t\n", "no papers/d.csv");
	expect_refused(GOOD "reference = R | p/d.csv | b | s | t\n", "has no number");
	expect_refused(GOOD "[shape x]\nfigure = g\n", "no figure \"g\"");
	expect_refused(GOOD "[shape x]\nfigure = f\ntext = T\nkind = magic\n", "magic");
	expect_refused(GOOD "[shape x]\nfigure = f\ntext = T\nkind = within\n", "limit");
	expect_refused(GOOD "[shape x]\nfigure = f\ntext = T\nkind = less | 3\n", "limit");
	expect_refused(GOOD "[shape x]\nfigure = f\ntext = T\nkind = less\ncell = a | s\n", "its cells");
	expect_refused(
	        GOOD "[shape x]\nfigure = f\ntext = T\nkind = less\ncell = a | s\ncell = a | u\n", "no cell \"a | u\"");
	snprintf(text, sizeof(text), "[paper]\ntitle = %0300d\n", 1);
	expect_refused(text, "longer than");
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("papers paper");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	papers_folder = argc > 1 ? argv[1] : "papers";
	tcase_add_test(tcase, turtles_is_read);
	tcase_add_test(tcase, the_small_paper_is_good);
	tcase_add_test(tcase, mistakes_are_named);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
