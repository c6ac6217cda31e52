/* SPDX-License-Identifier: Apache-2.0 */
/* Statements against numbers made up for the purpose: what holds, what fails, what the intervals leave open. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "papers/shape.h"

/* Two rows, two series: value, low, high; low > high = no number. */
struct numbers {
	double place[2][2][3];
};

static struct paper_figure figure = {.rows = {{.name = "a"}, {.name = "b"}},
        .row_count = 2,
        .series = {{.name = "s"}, {.name = "t"}},
        .series_count = 2};

static void measure(void *ctx, const struct paper_figure *f, const struct paper_place *row,
        const struct paper_place *series, struct paper_measure *measured)
{
	const double *place = ((struct numbers *)ctx)->place[row - f->rows][series - f->series];

	memset(measured, 0, sizeof(*measured));
	measured->known = place[1] <= place[2];
	if (measured->known) {
		measured->value = place[0];
		measured->low = place[1];
		measured->high = place[2];
	} else {
		snprintf(measured->why, sizeof(measured->why), "no cell");
	}
}

static enum paper_outcome judge(enum paper_shape_kind kind, double limit, struct numbers numbers, char *text)
{
	struct paper_shape shape = {
	        .figure = &figure, .kind = kind, .limit = limit, .cell_count = kind == PAPER_EQUAL ? 1 : 2};
	struct paper_verdict verdict;

	/* Ascending and pairs: a|s then b|s. Less: series s against t. */
	strcpy(shape.cells[0].row, kind == PAPER_LESS ? "" : "a");
	strcpy(shape.cells[0].series, "s");
	strcpy(shape.cells[1].row, kind == PAPER_LESS ? "" : "b");
	strcpy(shape.cells[1].series, kind == PAPER_LESS ? "t" : "s");
	paper_shape_judge(&shape, measure, &numbers, &verdict);
	if (text)
		strcpy(text, verdict.text);
	return verdict.outcome;
}

#define EXACT(x)                                                                                                       \
	{                                                                                                              \
		(x), (x), (x)                                                                                          \
	}
#define NONE                                                                                                           \
	{                                                                                                              \
		0, 1, 0                                                                                                \
	}
/* Rows a and b of series s. */
#define PAIR(...) ((struct numbers){{__VA_ARGS__}})

START_TEST(order)
{
	char text[400];

	ck_assert_int_eq(judge(PAPER_ASCENDING, 0, PAIR({EXACT(1), NONE}, {EXACT(2), NONE}), NULL), PAPER_HOLDS);
	ck_assert_int_eq(judge(PAPER_ASCENDING, 0, PAIR({EXACT(2), NONE}, {EXACT(1), NONE}), text), PAPER_FAILS);
	ck_assert_ptr_nonnull(strstr(text, "\"a\" (2) is not below \"b\" (1)"));
	ck_assert_int_eq(judge(PAPER_ASCENDING, 0, PAIR({EXACT(2), NONE}, {EXACT(2), NONE}), NULL), PAPER_FAILS);
	ck_assert_int_eq(judge(PAPER_ASCENDING, 0, PAIR({{10, 9, 12}, NONE}, {{11, 10, 13}, NONE}), text), PAPER_OPEN);
	ck_assert_ptr_nonnull(strstr(text, "told apart"));
	ck_assert_int_eq(judge(PAPER_ASCENDING, 0, PAIR({EXACT(1), NONE}, {NONE, NONE}), text), PAPER_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(text, "no cell"));
}
END_TEST

START_TEST(one_series_below_another)
{
	char text[400];

	ck_assert_int_eq(judge(PAPER_LESS, 0, PAIR({EXACT(1), EXACT(2)}, {EXACT(3), EXACT(4)}), NULL), PAPER_HOLDS);
	/* One row the other way round refutes it, whatever the others say. */
	ck_assert_int_eq(judge(PAPER_LESS, 0, PAIR({EXACT(1), EXACT(2)}, {EXACT(4), EXACT(3)}), text), PAPER_FAILS);
	ck_assert_ptr_nonnull(strstr(text, "b: 4 and 3"));
	ck_assert_int_eq(judge(PAPER_LESS, 0, PAIR({EXACT(1), EXACT(2)}, {{3, 2, 5}, {4, 3, 6}}), NULL), PAPER_OPEN);
	ck_assert_int_eq(judge(PAPER_LESS, 0, PAIR({EXACT(1), EXACT(2)}, {EXACT(1), NONE}), text), PAPER_HOLDS);
	ck_assert_ptr_nonnull(strstr(text, "in 1 of 2 rows; no numbers for b"));
	ck_assert_int_eq(judge(PAPER_LESS, 0, PAIR({NONE, NONE}, {NONE, EXACT(1)}), NULL), PAPER_UNAVAILABLE);
}
END_TEST

START_TEST(ratios)
{
	char text[400];

	ck_assert_int_eq(judge(PAPER_AT_LEAST, 2, PAIR({EXACT(10), NONE}, {EXACT(20), NONE}), text), PAPER_HOLDS);
	ck_assert_ptr_nonnull(strstr(text, "2 times"));
	ck_assert_int_eq(judge(PAPER_AT_LEAST, 2, PAIR({EXACT(10), NONE}, {EXACT(19), NONE}), NULL), PAPER_FAILS);
	ck_assert_int_eq(judge(PAPER_AT_LEAST, 2, PAIR({{10, 9, 11}, NONE}, {{20, 19, 21}, NONE}), NULL), PAPER_OPEN);
	ck_assert_int_eq(judge(PAPER_AT_LEAST, 2, PAIR({EXACT(0), NONE}, {EXACT(19), NONE}), NULL), PAPER_UNAVAILABLE);
	ck_assert_int_eq(judge(PAPER_WITHIN, 0.05, PAIR({EXACT(100), NONE}, {EXACT(104), NONE}), NULL), PAPER_HOLDS);
	ck_assert_int_eq(judge(PAPER_WITHIN, 0.05, PAIR({EXACT(100), NONE}, {EXACT(106), NONE}), NULL), PAPER_FAILS);
	ck_assert_int_eq(judge(PAPER_WITHIN, 0.05, PAIR({EXACT(100), NONE}, {EXACT(94), NONE}), NULL), PAPER_FAILS);
	ck_assert_int_eq(
	        judge(PAPER_WITHIN, 0.05, PAIR({EXACT(100), NONE}, {{104, 103, 107}, NONE}), NULL), PAPER_OPEN);
	ck_assert_int_eq(judge(PAPER_WITHIN, 0.05, PAIR({NONE, NONE}, {EXACT(1), NONE}), NULL), PAPER_UNAVAILABLE);
}
END_TEST

START_TEST(one_number)
{
	ck_assert_int_eq(judge(PAPER_EQUAL, 13, PAIR({EXACT(13), NONE}, {NONE, NONE}), NULL), PAPER_HOLDS);
	ck_assert_int_eq(judge(PAPER_EQUAL, 13, PAIR({EXACT(13.01), NONE}, {NONE, NONE}), NULL), PAPER_FAILS);
	ck_assert_int_eq(judge(PAPER_EQUAL, 13, PAIR({NONE, NONE}, {NONE, NONE}), NULL), PAPER_UNAVAILABLE);
}
END_TEST

START_TEST(sources)
{
	struct paper_shape shape = {.only = "kvm, lab kvm"};

	ck_assert(paper_shape_concerns(&shape, "kvm"));
	ck_assert(paper_shape_concerns(&shape, "lab kvm"));
	ck_assert(!paper_shape_concerns(&shape, "lab"));
	ck_assert(!paper_shape_concerns(&shape, "soft"));
	shape.only[0] = '\0';
	ck_assert(paper_shape_concerns(&shape, "soft"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("papers shape");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, order);
	tcase_add_test(tcase, one_series_below_another);
	tcase_add_test(tcase, ratios);
	tcase_add_test(tcase, one_number);
	tcase_add_test(tcase, sources);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
