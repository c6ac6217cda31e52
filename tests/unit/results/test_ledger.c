/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: order, wrap-around, full with drop and with wait, hand-over to the next producer. */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct ledger_shared *ring(uint64_t capacity)
{
	struct ledger_shared *shared = NULL;

	ck_assert_int_eq(ledger_shared_map(&shared, capacity), 0);
	return shared;
}

static void publish(struct ledger *ledger, uint64_t from, uint64_t count)
{
	for (uint64_t i = from; i < from + count; i++) {
		struct ledger_record record = {.tsc = i, .reason = (uint16_t)i};

		ledger_write(ledger, &record);
	}
}

START_TEST(capacities_are_powers_of_two)
{
	struct ledger_shared *shared;

	ck_assert_uint_eq(ledger_shared_bytes(0), 0);
	ck_assert_uint_eq(ledger_shared_bytes(3), 0);
	ck_assert_uint_eq(ledger_shared_bytes(UINT64_C(1) << 60), 0);
	ck_assert_uint_eq(ledger_shared_bytes(8), sizeof(struct ledger_shared) + 8 * 32);
	ck_assert_int_eq(ledger_shared_map(&shared, 12), -EINVAL);
}
END_TEST

START_TEST(records_come_out_in_order_around_the_end)
{
	struct ledger_shared *shared = ring(16);
	const struct ledger_record *records;
	struct ledger ledger;
	uint64_t next = 0;

	ledger_attach(&ledger, shared, LEDGER_DROP);
	ck_assert_uint_eq(ledger_peek(shared, &records), 0);
	for (uint64_t round = 0; round < 50; round++) {
		uint64_t count = 1 + round % 16;
		size_t ready;

		publish(&ledger, ledger.head, count);
		while ((ready = ledger_peek(shared, &records))) {
			for (size_t i = 0; i < ready; i++)
				ck_assert_uint_eq(records[i].tsc, next++);
			ledger_take(shared, ready);
		}
		ck_assert_uint_eq(next, ledger.head);
	}
	ck_assert_uint_eq(shared->dropped, 0);
	ledger_shared_unmap(shared);
}
END_TEST

START_TEST(a_full_ring_drops_and_counts)
{
	struct ledger_shared *shared = ring(8);
	const struct ledger_record *records;
	struct ledger ledger;

	ledger_attach(&ledger, shared, LEDGER_DROP);
	publish(&ledger, 0, 11);
	ck_assert_uint_eq(ledger.counted, 11);
	ck_assert_uint_eq(shared->head, 8);
	ck_assert_uint_eq(shared->dropped, 3);
	ck_assert_uint_eq(ledger_peek(shared, &records), 8);
	ck_assert_uint_eq(records[7].tsc, 7);
	ledger_take(shared, 2);
	publish(&ledger, 100, 3);
	ck_assert_uint_eq(shared->head, 10);
	ck_assert_uint_eq(shared->dropped, 4);
	ledger_shared_unmap(shared);
}
END_TEST

static void *consume(void *ctx)
{
	struct ledger_shared *shared = ctx;
	const struct ledger_record *records;
	uint64_t next = 0;

	while (next < 10000) {
		size_t ready = ledger_peek(shared, &records);

		for (size_t i = 0; i < ready; i++)
			if (records[i].tsc != next++)
				return "records out of order";
		ledger_take(shared, ready);
	}
	return NULL;
}

START_TEST(a_waiting_producer_loses_nothing)
{
	struct ledger_shared *shared = ring(8);
	struct ledger ledger;
	pthread_t thread;
	void *complaint;

	ledger_attach(&ledger, shared, LEDGER_WAIT);
	ck_assert_int_eq(pthread_create(&thread, NULL, consume, shared), 0);
	publish(&ledger, 0, 10000);
	pthread_join(thread, &complaint);
	ck_assert_ptr_null(complaint);
	ck_assert_uint_eq(shared->dropped, 0);
	ledger_shared_unmap(shared);
}
END_TEST

static void *close_soon(void *ctx)
{
	const struct timespec nap = {.tv_nsec = 2000000};

	nanosleep(&nap, NULL);
	ledger_shared_close(ctx);
	return NULL;
}

/* The recorder died: a producer that waits must not wait for ever. */
START_TEST(a_closed_ring_ends_the_wait)
{
	struct ledger_shared *shared = ring(8);
	struct ledger ledger;
	pthread_t thread;

	ledger_attach(&ledger, shared, LEDGER_WAIT);
	publish(&ledger, 0, 8);
	ck_assert_int_eq(pthread_create(&thread, NULL, close_soon, shared), 0);
	publish(&ledger, 8, 2);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(shared->head, 8);
	ck_assert_uint_eq(shared->dropped, 2);
	ledger_shared_unmap(shared);
}
END_TEST

START_TEST(the_next_producer_goes_on_where_the_last_stopped)
{
	struct ledger_shared *shared = ring(8);
	const struct ledger_record *records;
	struct ledger ledger;

	ledger_attach(&ledger, shared, LEDGER_DROP);
	publish(&ledger, 0, 5);
	ledger_attach(&ledger, shared, LEDGER_DROP);
	ck_assert_uint_eq(ledger.counted, 0);
	publish(&ledger, 5, 5);
	ck_assert_uint_eq(shared->head, 8);
	ck_assert_uint_eq(shared->dropped, 2);
	ck_assert_uint_eq(ledger_peek(shared, &records), 8);
	for (size_t i = 0; i < 8; i++)
		ck_assert_uint_eq(records[i].tsc, i);
	ledger_shared_unmap(shared);
}
END_TEST

START_TEST(without_a_ring_records_are_only_counted)
{
	struct ledger ledger;

	ledger_attach(&ledger, NULL, LEDGER_WAIT);
	publish(&ledger, 0, 1000);
	ck_assert_uint_eq(ledger.counted, 1000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ledger");
	TCase *tcase = tcase_create("ledger");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, capacities_are_powers_of_two);
	tcase_add_test(tcase, records_come_out_in_order_around_the_end);
	tcase_add_test(tcase, a_full_ring_drops_and_counts);
	tcase_add_test(tcase, a_waiting_producer_loses_nothing);
	tcase_add_test(tcase, a_closed_ring_ends_the_wait);
	tcase_add_test(tcase, the_next_producer_goes_on_where_the_last_stopped);
	tcase_add_test(tcase, without_a_ring_records_are_only_counted);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
