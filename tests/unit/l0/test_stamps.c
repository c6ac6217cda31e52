/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a nested round trip, from records and the guests' stamps. */
#include "fixture.h"

static struct boot_info l1, l2;
static struct stamps stamps;

static void setup(void)
{
	memset(&l1, 0, sizeof(l1));
	memset(&l2, 0, sizeof(l2));
	stamps = (struct stamps){.l1 = &l1, .l2 = &l2};
}

static void l2_exit(uint64_t tsc, uint64_t entered, uint8_t handler)
{
	const struct ledger_record record = {.tsc = tsc, .level = 2, .handler = handler, .phase = LEDGER_MEASURED};
	stamps_note(&stamps, &record, entered);
}

static void resume(uint64_t tsc, uint64_t entered)
{
	const struct ledger_record record = {
	        .tsc = tsc, .level = 1, .handler = LEDGER_BY_ENGINE, .flags = LEDGER_FLAG_ENTERS_L2};
	stamps_note(&stamps, &record, entered);
}

/* Every part has a length of its own, so a part that is taken between the wrong stamps shows. */
static void one_trip(uint64_t t)
{
	l2.stamps.l2_before = t;
	l2_exit(t + 1, t + 1 + 20, LEDGER_BY_L1);
	l1.stamps.l1_handler_begin = t + 21 + 300;
	l1.stamps.l1_handler_end = t + 321 + 4000;
	resume(t + 4321 + 50000, t + 54321 + 600000);
	l2.stamps.l2_after = t + 654321 + 7000000;
}

START_TEST(parts_of_a_trip)
{
	one_trip(1000);
	one_trip(10000000);
	l2_exit(20000000, 20000010, LEDGER_BY_L0); /* the mark behind the last operation */
	ck_assert_uint_eq(stamps.count, 2);
	ck_assert_uint_eq(stamps.sum[STAMP_L2_TO_L0], 2);
	ck_assert_uint_eq(stamps.sum[STAMP_REFLECT], 40);
	ck_assert_uint_eq(stamps.sum[STAMP_L0_TO_L1], 600);
	ck_assert_uint_eq(stamps.sum[STAMP_L1_HANDLER], 8000);
	ck_assert_uint_eq(stamps.sum[STAMP_L1_TO_L0], 100000);
	ck_assert_uint_eq(stamps.sum[STAMP_MERGE], 1200000);
	ck_assert_uint_eq(stamps.sum[STAMP_L0_TO_L2], 14000000);
}
END_TEST

/* One trip in ten is interrupted for a long time: it moves sums, not medians. More trips than are kept. */
START_TEST(medians_over_trips)
{
	static struct cell_result result;
	uint64_t t = 1000;

	for (int i = 0; i < 3 * STAMPS_KEPT_MAX; i++) {
		const uint64_t late = i % 10 == 4 ? 1000000000 : 0;

		l2.stamps.l2_before = t;
		l2_exit(t + 1, t + 1 + 20, LEDGER_BY_L1);
		l1.stamps.l1_handler_begin = t + 21 + 300;
		l1.stamps.l1_handler_end = t + 321 + 4000 + late;
		t += 4321 + late;
		resume(t + 50000, t + 650000);
		l2.stamps.l2_after = t + 7650000 + (uint64_t)(i % 3);
		t += 8000000;
	}
	l2_exit(t, t + 10, LEDGER_BY_L0);
	stamps_result(&stamps, &result);
	ck_assert_uint_eq(result.stamp_count, 3 * STAMPS_KEPT_MAX);
	/* Every fourth is kept once there were twice as many as there is room for. */
	ck_assert_uint_eq(result.stamp_median_of, 3 * STAMPS_KEPT_MAX / 4);
	ck_assert_uint_eq(result.stamp_median[STAMP_L2_TO_L0], 1);
	ck_assert_uint_eq(result.stamp_median[STAMP_REFLECT], 20);
	ck_assert_uint_eq(result.stamp_median[STAMP_L0_TO_L1], 300);
	ck_assert_uint_eq(result.stamp_median[STAMP_L1_HANDLER], 4000);
	ck_assert_uint_eq(result.stamp_median[STAMP_L1_TO_L0], 50000);
	ck_assert_uint_eq(result.stamp_median[STAMP_MERGE], 600000);
	ck_assert_uint_eq(result.stamp_median[STAMP_L0_TO_L2], 7000001);
	ck_assert_double_eq(cell_stamp(&result, STAMP_L1_HANDLER), 4000);
	/* A file without medians has the mean. */
	result.stamp_median_of = 0;
	ck_assert_double_gt(cell_stamp(&result, STAMP_L1_HANDLER), 90000000);
}
END_TEST

/* Stamps that are not in order were not written for this trip. */
START_TEST(stamps_out_of_order_are_left_out)
{
	one_trip(1000);
	l1.stamps.l1_handler_end = 0;
	stamps.l1_end = 0;
	l2_exit(20000000, 20000010, LEDGER_BY_L0);
	ck_assert_uint_eq(stamps.count, 0);
}
END_TEST

/* An operation of two round trips has its stamps at its ends only. */
START_TEST(two_trips_of_one_operation_are_left_out)
{
	l2.stamps.l2_before = 1000;
	l2_exit(1001, 1010, LEDGER_BY_L1);
	l1.stamps.l1_handler_begin = 1020;
	l1.stamps.l1_handler_end = 1030;
	resume(1040, 1050);
	l2_exit(1060, 1070, LEDGER_BY_L1); /* l2_after is still that of an earlier operation */
	l1.stamps.l1_handler_begin = 1080;
	l1.stamps.l1_handler_end = 1090;
	resume(1100, 1110);
	l2.stamps.l2_after = 1120;
	l2_exit(1130, 1140, LEDGER_BY_L0);
	ck_assert_uint_eq(stamps.count, 0);
}
END_TEST

START_TEST(only_the_measured_loop_counts)
{
	const struct ledger_record record = {.tsc = 1001, .level = 2, .handler = LEDGER_BY_L1, .phase = LEDGER_SETUP};

	l2.stamps.l2_before = 1000;
	stamps_note(&stamps, &record, 1010);
	l1.stamps.l1_handler_begin = 1020;
	l1.stamps.l1_handler_end = 1030;
	resume(1040, 1050);
	l2.stamps.l2_after = 1060;
	l2_exit(1070, 1080, LEDGER_BY_L0);
	ck_assert_uint_eq(stamps.count, 0);
}
END_TEST

static void add(TCase *tests)
{
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, parts_of_a_trip);
	tcase_add_test(tests, medians_over_trips);
	tcase_add_test(tests, stamps_out_of_order_are_left_out);
	tcase_add_test(tests, two_trips_of_one_operation_are_left_out);
	tcase_add_test(tests, only_the_measured_loop_counts);
}

int main(void)
{
	return run_tests("stamps", add);
}
