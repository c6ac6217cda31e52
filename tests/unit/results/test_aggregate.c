/* SPDX-License-Identifier: Apache-2.0 */
/* Counting exits, and following round trips, on records made by hand. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "results/aggregate.h"
#include "results/roundtrip.h"

static struct fixture_image image;
static struct cell_result *result;
static struct cell cell;

static void setup(void)
{
	fixture_image_begin(&image);
	result = malloc(sizeof(*result));
	fixture_result(result, 10, 10);
	cell_defaults(&cell);
	fixture_image_run(&image);
	fixture_image_cell(&image, 0, &cell);
}

static void teardown(void)
{
	fixture_image_free(&image);
	free(result);
}

static struct reader *finish(void)
{
	struct reader *reader;

	fixture_image_cell_end(&image, 0, result, 0);
	reader = fixture_open(image.bytes, image.used);
	ck_assert_ptr_nonnull(reader);
	return reader;
}

static struct ledger_record exit_of(int level, int handler, uint32_t guest_ticks, uint32_t l0_ticks, int flags)
{
	return (struct ledger_record){.level = (uint8_t)level,
	        .handler = (uint8_t)handler,
	        .phase = LEDGER_MEASURED,
	        .reason = level == 2 ? 10 : 23,
	        .guest_ticks = guest_ticks,
	        .l0_ticks = l0_ticks,
	        .flags = (uint8_t)flags};
}

START_TEST(exits_are_counted_by_what_they_are)
{
	struct ledger_record records[] = {
	        exit_of(2, LEDGER_BY_L1, 100, 10, 0),
	        exit_of(1, LEDGER_BY_ENGINE, 50, 5, 0),
	        exit_of(2, LEDGER_BY_L1, 102, 11, 0),
	        exit_of(2, LEDGER_BY_L0, 7, 1, LEDGER_FLAG_MARK),
	        exit_of(2, LEDGER_BY_EPT02, 9, 2, 0),
	        exit_of(1, LEDGER_BY_ENGINE, 51, 6, LEDGER_FLAG_ENTERS_L2),
	};
	struct aggregate aggregate;
	struct reader *reader;

	records[1].phase = LEDGER_CONTROL;
	fixture_image_records(&image, records, 6);
	reader = finish();
	ck_assert_int_eq(aggregate_cell(&aggregate, reader, 0), 0);
	ck_assert_uint_eq(aggregate.count, 5);
	/* Ordered: control before measured, then level. */
	ck_assert_uint_eq(aggregate.rows[0].phase, LEDGER_CONTROL);
	ck_assert_uint_eq(aggregate.rows[1].level, 1);
	for (size_t i = 2; i < aggregate.count; i++) {
		if (aggregate.rows[i].handler != LEDGER_BY_L1)
			continue;
		ck_assert_uint_eq(aggregate.rows[i].count, 2);
		ck_assert_uint_eq(aggregate.rows[i].guest_ticks, 202);
		ck_assert_uint_eq(aggregate.rows[i].l0_ticks, 21);
	}
	ck_assert_uint_eq(aggregate_exits(&aggregate, LEDGER_MEASURED, 2, -1), 3);
	ck_assert_uint_eq(aggregate_exits(&aggregate, LEDGER_MEASURED, 2, LEDGER_BY_L1), 2);
	ck_assert_uint_eq(aggregate_exits(&aggregate, LEDGER_MEASURED, 1, -1), 1);
	ck_assert_uint_eq(aggregate_exits(&aggregate, LEDGER_CONTROL, 1, -1), 1);
	aggregate_free(&aggregate);
	reader_close(reader);
}
END_TEST

static size_t add_trip(struct ledger_record *records, uint32_t l2)
{
	size_t count = 0;

	records[count++] = exit_of(2, LEDGER_BY_L1, l2, 20, 0);
	records[count++] = exit_of(1, LEDGER_BY_ENGINE, 300, 30, 0);
	records[count++] = exit_of(1, LEDGER_BY_ENGINE, 301, 31, 0);
	records[count++] = exit_of(1, LEDGER_BY_ENGINE, 302, 40, LEDGER_FLAG_ENTERS_L2);
	return count;
}

START_TEST(a_round_trip_falls_into_its_parts)
{
	struct roundtrip_stats stats;
	struct ledger_record records[64];
	struct reader *reader;
	size_t count = 0;

	/* Entering L2 the first time, before any exit of L2: no trip. */
	records[count++] = exit_of(1, LEDGER_BY_ENGINE, 1, 1, LEDGER_FLAG_ENTERS_L2);
	count += add_trip(records + count, 100);
	/* An L2 exit that L0 handles alone lies between trips, and is none. */
	records[count++] = exit_of(2, LEDGER_BY_L0, 5000, 5000, 0);
	count += add_trip(records + count, 200);
	count += add_trip(records + count, 600);
	fixture_image_records(&image, records, count);
	reader = finish();
	ck_assert_int_eq(roundtrip_cell(&stats, reader, 0), 0);
	ck_assert_uint_eq(stats.trips, 3);
	ck_assert_uint_eq(stats.broken, 0);
	ck_assert_uint_eq(stats.median_of, 3);
	ck_assert_double_eq_tol(stats.l1_exits, 3, 1e-9);
	ck_assert_double_eq_tol(stats.median[ROUNDTRIP_L2], 200, 1e-9);
	ck_assert_double_eq_tol(stats.mean[ROUNDTRIP_L2], 300, 1e-9);
	ck_assert_double_eq_tol(stats.q1[ROUNDTRIP_L2], 150, 1e-9);
	ck_assert_double_eq_tol(stats.q3[ROUNDTRIP_L2], 400, 1e-9);
	ck_assert_double_eq_tol(stats.median[ROUNDTRIP_REFLECT], 20, 1e-9);
	ck_assert_double_eq_tol(stats.median[ROUNDTRIP_L1], 903, 1e-9);
	ck_assert_double_eq_tol(stats.median[ROUNDTRIP_L1_EXITS], 61, 1e-9);
	ck_assert_double_eq_tol(stats.median[ROUNDTRIP_MERGE], 40, 1e-9);
	ck_assert_double_eq_tol(stats.median[ROUNDTRIP_TOTAL], 200 + 20 + 903 + 61 + 40, 1e-9);
	reader_close(reader);
}
END_TEST

START_TEST(broken_trips_are_counted_not_used)
{
	struct roundtrip_stats stats;
	struct ledger_record records[64];
	struct reader *reader;
	size_t count = 0;

	count += add_trip(records + count, 100) - 1; /* its entry was dropped */
	count += add_trip(records + count, 100);
	count += add_trip(records + count, 100) - 2;
	records[count] = exit_of(2, LEDGER_BY_L0, 1, 1, LEDGER_FLAG_MARK); /* the sample ends inside */
	records[count++].phase = LEDGER_SETUP;
	count += add_trip(records + count, 100);
	count += add_trip(records + count, 100) - 3; /* the cell ends inside */
	fixture_image_records(&image, records, count);
	reader = finish();
	ck_assert_int_eq(roundtrip_cell(&stats, reader, 0), 0);
	ck_assert_uint_eq(stats.trips, 2);
	ck_assert_uint_eq(stats.broken, 3);
	reader_close(reader);
}
END_TEST

/* Trips outside the measured phase, or begun by a mark, are not measured. */
START_TEST(only_the_measured_phase_counts)
{
	struct roundtrip_stats stats;
	struct ledger_record records[16];
	struct reader *reader;
	size_t count = add_trip(records, 100);

	for (size_t i = 0; i < count; i++)
		records[i].phase = LEDGER_CONTROL;
	count += add_trip(records + count, 100);
	records[4].flags |= LEDGER_FLAG_MARK;
	fixture_image_records(&image, records, count);
	reader = finish();
	ck_assert_int_eq(roundtrip_cell(&stats, reader, 0), 0);
	ck_assert_uint_eq(stats.trips, 0);
	ck_assert_uint_eq(stats.broken, 0);
	reader_close(reader);
}
END_TEST

/* Very many trips: means stay exact, medians come from a systematic sample. */
START_TEST(very_many_trips)
{
	size_t trips = 150000;
	struct ledger_record *records = malloc(trips * 4 * sizeof(*records));
	struct roundtrip_stats stats;
	struct reader *reader;
	size_t count = 0;

	for (size_t i = 0; i < trips; i++)
		count += add_trip(records + count, (uint32_t)i);
	fixture_image_records(&image, records, count);
	reader = finish();
	ck_assert_int_eq(roundtrip_cell(&stats, reader, 0), 0);
	ck_assert_uint_eq(stats.trips, trips);
	ck_assert_uint_lt(stats.median_of, trips);
	ck_assert_uint_gt(stats.median_of, 30000);
	ck_assert_double_eq_tol(stats.mean[ROUNDTRIP_L2], (double)(trips - 1) / 2, 1e-6);
	ck_assert_double_eq_tol(stats.median[ROUNDTRIP_L2], (double)trips / 2, 10);
	reader_close(reader);
	free(records);
}
END_TEST

START_TEST(every_part_has_a_name)
{
	for (int part = 0; part < ROUNDTRIP_PARTS; part++)
		ck_assert_str_ne(roundtrip_part_name((enum roundtrip_part)part), "unknown");
	ck_assert_str_eq(roundtrip_part_name(ROUNDTRIP_PARTS), "unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("aggregate");
	TCase *tcase = tcase_create("aggregate");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, exits_are_counted_by_what_they_are);
	tcase_add_test(tcase, a_round_trip_falls_into_its_parts);
	tcase_add_test(tcase, broken_trips_are_counted_not_used);
	tcase_add_test(tcase, only_the_measured_phase_counts);
	tcase_add_test(tcase, very_many_trips);
	tcase_add_test(tcase, every_part_has_a_name);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
