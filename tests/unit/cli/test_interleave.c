/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/interleave.h"

#define CELLS 12
#define ROUNDS 5

/* Cells told apart by their time-out. */
static void make(struct matrix *matrix)
{
	memset(matrix, 0, sizeof(*matrix));
	matrix->cells = calloc(CELLS, sizeof(*matrix->cells));
	matrix->count = CELLS;
	for (int i = 0; i < CELLS; i++) {
		char text[8];

		cell_defaults(&matrix->cells[i]);
		snprintf(text, sizeof(text), "%d", i + 1);
		ck_assert_int_eq(cell_set(&matrix->cells[i], "timeout", text, NULL, 0), 0);
	}
}

static uint64_t number(const struct matrix *matrix, size_t index)
{
	return cell_int(&matrix->cells[index], CELL_TIMEOUT, 0);
}

START_TEST(each_round_holds_each_cell_once_in_another_order)
{
	struct interleave interleave = {.rounds = ROUNDS, .seed = 42};
	struct matrix matrix, again, other;
	char why[160];
	bool same_order = false, differ = false;

	make(&matrix);
	make(&again);
	make(&other);
	ck_assert_int_eq(interleave_cells(&interleave, &matrix, why, sizeof(why)), 0);
	ck_assert_int_eq(interleave_cells(&interleave, &again, why, sizeof(why)), 0);
	interleave.seed = 43;
	ck_assert_int_eq(interleave_cells(&interleave, &other, why, sizeof(why)), 0);
	ck_assert_uint_eq(matrix.count, CELLS * ROUNDS);
	for (size_t round = 0; round < ROUNDS; round++) {
		uint64_t seen = 0;
		bool as_first = true;

		for (size_t i = 0; i < CELLS; i++) {
			size_t at = round * CELLS + i;

			seen |= 1ull << number(&matrix, at);
			as_first = as_first && number(&matrix, at) == i + 1;
			ck_assert_uint_eq(number(&matrix, at), number(&again, at));
			differ = differ || number(&matrix, at) != number(&other, at);
		}
		ck_assert_uint_eq(seen, ((1ull << CELLS) - 1) << 1);
		ck_assert_msg(as_first == (round == 0), "round %zu", round);
		if (round > 1)
			same_order = same_order || !memcmp(&matrix.cells[round * CELLS], &matrix.cells[CELLS],
			                                   CELLS * sizeof(struct cell));
	}
	ck_assert(!same_order);
	ck_assert(differ);
	matrix_free(&matrix);
	matrix_free(&again);
	matrix_free(&other);
}
END_TEST

/* 12! orders: here that each cell comes to each place about as often. */
START_TEST(places_are_fair)
{
	unsigned at_place[CELLS][CELLS] = {0};
	char why[160];

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct interleave interleave = {.rounds = 13, .seed = seed};
		struct matrix matrix;

		make(&matrix);
		ck_assert_int_eq(interleave_cells(&interleave, &matrix, why, sizeof(why)), 0);
		for (size_t i = CELLS; i < matrix.count; i++)
			at_place[i % CELLS][number(&matrix, i) - 1]++;
		matrix_free(&matrix);
	}
	/* 1,200 shuffles: 100 expected, a standard deviation of 9.6. */
	for (int i = 0; i < CELLS; i++)
		for (int j = 0; j < CELLS; j++)
			ck_assert_msg(at_place[i][j] > 55 && at_place[i][j] < 145, "cell %d at %d: %u times", j, i,
			        at_place[i][j]);
}
END_TEST

START_TEST(a_row_has_room_for_1000_samples)
{
	struct interleave interleave = {.rounds = 11};
	struct matrix matrix;
	char why[160];

	make(&matrix);
	ck_assert_int_eq(cell_set(&matrix.cells[3], "samples", "91", NULL, 0), 0);
	ck_assert_int_eq(interleave_cells(&interleave, &matrix, why, sizeof(why)), -E2BIG);
	ck_assert_str_eq(why, "11 rounds of 91 samples are more than the 1000 of a cell: take fewer rounds or samples");
	ck_assert_uint_eq(matrix.count, CELLS);
	ck_assert_int_eq(cell_set(&matrix.cells[3], "samples", "90", NULL, 0), 0);
	ck_assert_int_eq(interleave_cells(&interleave, &matrix, why, sizeof(why)), 0);
	matrix_free(&matrix);
}
END_TEST

START_TEST(options_and_record)
{
	struct interleave interleave = {0}, restored = {0};
	static struct run_info info;
	char why[160];

	static const char *const wrong[] = {"1", "101", "-3", "x", "", "3x"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_int_eq(interleave_set_rounds(&interleave, wrong[i], why, sizeof(why)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "2 to 100"));
	interleave_describe(&interleave, &info);
	ck_assert_uint_eq(info.pair_count, 0);
	interleave_restore(&restored, &info);
	ck_assert_uint_eq(restored.rounds, 0);
	ck_assert_int_eq(interleave_set_seed(&interleave, "99x", why, sizeof(why)), -EINVAL);
	ck_assert_int_eq(interleave_set_seed(&interleave, "18446744073709551615", why, sizeof(why)), 0);
	ck_assert_int_eq(interleave_set_rounds(&interleave, "7", why, sizeof(why)), 0);
	interleave_describe(&interleave, &info);
	interleave_restore(&restored, &info);
	ck_assert_uint_eq(restored.rounds, 7);
	ck_assert_uint_eq(restored.seed, UINT64_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("interleave");
	TCase *tcase = tcase_create("interleave");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, each_round_holds_each_cell_once_in_another_order);
	tcase_add_test(tcase, places_are_fair);
	tcase_add_test(tcase, a_row_has_room_for_1000_samples);
	tcase_add_test(tcase, options_and_record);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
