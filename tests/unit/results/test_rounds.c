/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of equal settings in one file: rounds of one measurement. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/summary.h"

static struct fixture_image image;
static struct cell_result result;
static struct summary summary;
static struct reader *reader;

/* Three rounds of a cell at 100, 110 and 104 ticks, with another cell and a failure between them. */
static void make_run(void)
{
	static const uint64_t ticks[] = {100, 0, 110, 55, 104};
	struct ledger_record records[26];
	struct cell cell, other;

	cell_defaults(&cell);
	other = cell;
	ck_assert_int_eq(cell_set(&other, "workload", "pio", NULL, 0), 0);
	fixture_image_begin(&image);
	fixture_image_run(&image);
	fixture_virtual_records(records, 26);
	for (uint64_t i = 0; i < 5; i++) {
		fixture_result(&result, 1000, ticks[i]);
		result.counters[1] = 10 + i;
		result.stamp_count = 4;
		result.stamp_sum[STAMP_MERGE] = 400 + i;
		result.stamp_median_of = 4;
		result.stamp_median[STAMP_MERGE] = i == 2 ? 100000 : 100 + i;
		if (!ticks[i]) {
			result.status = CELL_FAILED;
			strcpy(result.reason, "hung");
		}
		fixture_image_cell(&image, i, i == 3 ? &other : &cell);
		fixture_image_records(&image, records, i == 4 ? 26 : 13);
		fixture_image_cell_end(&image, i, &result, 0);
	}
	fixture_image_end(&image, true, "", 0);
	reader = fixture_open(image.bytes, image.used);
	ck_assert_ptr_nonnull(reader);
	ck_assert_int_eq(summary_compute(&summary, reader), 0);
}

static void end_run(void)
{
	summary_free(&summary);
	reader_close(reader);
	fixture_image_free(&image);
}

START_TEST(rounds_are_one_row)
{
	const struct summary_row *row;

	make_run();
	row = &summary.rows[0];
	ck_assert_uint_eq(summary.count, 3);
	ck_assert_uint_eq(row->cell->number, 0);
	ck_assert_uint_eq(row->cell->rounds, 3);
	ck_assert_uint_eq(row->stats.op.n, 27);
	ck_assert_uint_eq(row->stats.ops, 27000);
	ck_assert_double_eq_tol(row->stats.op.median, 102.004, 1e-3);
	/* 98, 108 and 102 after the control loop: half of 10 by 102. */
	ck_assert_double_eq_tol(row->between_rounds, 5 / 102.004, 1e-6);
	ck_assert_uint_eq(row->cell->records, 13 + 13 + 26);
	/* A trip has one exit of L2; each round has one or two trips over 9,000 operations. */
	ck_assert(row->have_exits);
	ck_assert_uint_eq(row->l2_exits, 4);
	ck_assert_uint_eq(row->trip.trips, 4);
	ck_assert_uint_eq(row->cell->wall_ns, 0);
	/* The failure is a row of its own, and a single cell has one round and no spread. */
	ck_assert_int_eq(summary.rows[1].cell->status, CELL_FAILED);
	ck_assert_uint_eq(summary.rows[2].cell->rounds, 1);
	ck_assert_double_eq(summary.rows[2].between_rounds, 0);
	end_run();
}
END_TEST

START_TEST(the_reader_adds_up_and_tells_apart)
{
	uint32_t digest;

	make_run();
	ck_assert_uint_eq(reader_cell_count(reader), 5);
	ck_assert_uint_eq(reader_cell(reader, 2)->round, 1);
	ck_assert_uint_eq(reader_cell(reader, 4)->round, 2);
	ck_assert_uint_eq(reader_cell(reader, 1)->round, 0);
	ck_assert_int_eq(reader_result(reader, 0, &result), 0);
	ck_assert_uint_eq(result.sample_count, 27);
	ck_assert_uint_eq(result.samples[9].ticks, 110000);
	ck_assert_uint_eq(result.counters[1], 10 + 12 + 14);
	ck_assert_uint_eq(result.stamp_count, 12);
	ck_assert_uint_eq(result.stamp_sum[STAMP_MERGE], 400 + 402 + 404);
	/* 100, 100,000 and 104 in the rounds. */
	ck_assert_uint_eq(result.stamp_median[STAMP_MERGE], 104);
	ck_assert_uint_eq(result.stamp_median_of, 12);
	ck_assert_int_eq(reader_round_result(reader, 0, 2, &result), 0);
	ck_assert_uint_eq(result.sample_count, 9);
	ck_assert_uint_eq(result.samples[0].ticks, 104000);
	ck_assert_int_eq(reader_round_result(reader, 0, 3, &result), -ENOENT);
	ck_assert_int_eq(reader_result(reader, 4, &result), 0);
	ck_assert_uint_eq(result.samples[0].ticks, 104000);
	ck_assert_int_eq(reader_cell_digest(reader, 0, &digest), 0);
	end_run();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rounds");
	TCase *tcase = tcase_create("rounds");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, rounds_are_one_row);
	tcase_add_test(tcase, the_reader_adds_up_and_tells_apart);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
