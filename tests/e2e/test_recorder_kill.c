/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9, at random moments, of each process around the recorder. What is true is what the ring says: every record
 * published before the death must be in the file.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "results/recorder.h"

#define KILLS 50
#define RING 4096

static struct cell_result *result;
static struct run_info *info;
static uint64_t random_state;

static void setup(void)
{
	struct timespec now;

	result = calloc(1, sizeof(*result));
	info = calloc(1, sizeof(*info));
	fixture_result(result, 10, 10);
	/* Orphans become ours, so that we can wait for a recorder whose parent was killed. */
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	clock_gettime(CLOCK_REALTIME, &now);
	random_state = getenv("TESTUDO_SEED") ? strtoull(getenv("TESTUDO_SEED"), NULL, 0) : (uint64_t)now.tv_nsec;
	printf("TESTUDO_SEED=%llu\n", (unsigned long long)random_state);
	fflush(stdout);
}

static void teardown(void)
{
	free(result);
	free(info);
}

/* Record number i of the stream every producer here writes. */
static struct ledger_record record_number(uint64_t i)
{
	uint64_t state = i;
	uint64_t noise = fixture_random(&state);

	return (struct ledger_record){.tsc = i * 20000 + noise % 1000,
	        .detail = i,
	        .guest_ticks = (uint32_t)noise,
	        .l0_ticks = (uint32_t)(noise >> 40),
	        .reason = (uint16_t)(noise >> 59),
	        .level = 1 + i % 2,
	        .phase = LEDGER_MEASURED};
}

static void publish_until(struct ledger_shared *ring, uint64_t end)
{
	struct ledger ledger;

	ledger_attach(&ledger, ring, LEDGER_WAIT);
	while (ledger.head < end) {
		struct ledger_record record = record_number(ledger.head);

		ledger_write(&ledger, &record);
	}
}

static _Noreturn void offer_and_exit(struct ledger_shared *ring, uint64_t count)
{
	struct ledger ledger;

	ledger_attach(&ledger, ring, LEDGER_WAIT);
	while (ledger.counted < count) {
		struct ledger_record record = record_number(ledger.head);

		ledger_write(&ledger, &record);
	}
	_exit(0);
}

static void nap_us(uint64_t microseconds)
{
	struct timespec nap = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000 * 1000)};

	nanosleep(&nap, NULL);
}

static void wait_for_everyone(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

struct checked {
	uint64_t next;
	bool wrong;
};

static int check_batch(void *ctx, const struct ledger_record *records, size_t count)
{
	struct checked *checked = ctx;

	for (size_t i = 0; i < count; i++) {
		struct ledger_record expected = record_number(checked->next++);

		checked->wrong |= memcmp(&expected, &records[i], sizeof(expected)) != 0;
	}
	return 0;
}

/* The cell's records must be the stream's first ones; how many. */
static uint64_t count_good_records(struct reader *reader, size_t index)
{
	struct checked checked = {0};

	ck_assert_int_eq(reader_records(reader, index, check_batch, &checked), 0);
	ck_assert(!checked.wrong);
	return checked.next;
}

static _Noreturn void be_the_vmm(struct ledger_shared *ring)
{
	struct recorder_config config = {.path = fixture_path(), .ring = ring};
	struct recorder recorder;
	struct cell cell;

	cell_defaults(&cell);
	if (recorder_start(&recorder, &config) || recorder_begin_run(&recorder, info) ||
	        recorder_begin_cell(&recorder, &cell))
		_exit(1);
	publish_until(ring, UINT64_MAX);
	_exit(0);
}

/* One life and death of a VMM, at a random moment from its start on or from its first record on; returns how many
 * records it had published. */
static uint64_t kill_a_vmm(struct ledger_shared *ring, bool when_publishing)
{
	struct reader *reader;
	uint64_t head;
	pid_t vmm;

	ledger_shared_init(ring, RING);
	unlink(fixture_path());
	vmm = fork();
	if (!vmm)
		be_the_vmm(ring);
	while (when_publishing && !ring->head)
		nap_us(100);
	nap_us(fixture_random(&random_state) % (when_publishing ? 5000 : 15000));
	kill(vmm, SIGKILL);
	wait_for_everyone();
	head = ring->head;
	if (!head)
		return 0;

	ck_assert_int_eq(reader_open(&reader, fixture_path(), NULL, 0), 0);
	ck_assert_uint_eq(count_good_records(reader, 0), head);
	ck_assert_uint_eq(reader_overview(reader)->torn_bytes + reader_overview(reader)->damaged_bytes, 0);
	ck_assert(reader_overview(reader)->ended && !reader_overview(reader)->finished);
	ck_assert_str_eq(reader_overview(reader)->end_reason, "the VMM ended without finishing");
	ck_assert_int_eq(reader_cell(reader, 0)->status, CELL_RUNNING);
	reader_close(reader);
	return head;
}

START_TEST(the_vmm_is_killed)
{
	struct ledger_shared *ring;
	uint64_t records = 0;
	int kills = 0, early = 0;

	fixture_path();
	ck_assert_int_eq(ledger_shared_map(&ring, RING), 0);
	while (kills < KILLS) {
		uint64_t published = kill_a_vmm(ring, (kills + early) % 2);

		records += published;
		kills += published > 0;
		early += !published;
	}
	printf("%d kills while publishing, %d before; %llu records published, every one in its file\n", kills, early,
	        (unsigned long long)records);
	fflush(stdout);
	ledger_shared_unmap(ring);
}
END_TEST

/* The scheduler dies, the cell's process lives on for a while: what it still publishes is recorded. */
START_TEST(the_scheduler_is_killed_its_cell_lives_on)
{
	struct ledger_shared *ring;
	struct reader *reader;
	pid_t scheduler;

	fixture_path();
	ck_assert_int_eq(ledger_shared_map(&ring, RING), 0);
	scheduler = fork();
	if (!scheduler) {
		struct recorder_config config = {.path = fixture_path(), .ring = ring};
		struct recorder recorder;
		struct cell cell;

		cell_defaults(&cell);
		if (recorder_start(&recorder, &config) || recorder_begin_run(&recorder, info) ||
		        recorder_begin_cell(&recorder, &cell))
			_exit(1);
		if (!fork()) {
			publish_until(ring, 50000);
			kill(getppid(), SIGKILL);
			nap_us(20000);
			publish_until(ring, 100000);
			_exit(0);
		}
		pause();
	}
	wait_for_everyone();
	ck_assert_uint_eq(ring->head, 100000);
	ck_assert_int_eq(reader_open(&reader, fixture_path(), NULL, 0), 0);
	ck_assert_uint_eq(count_good_records(reader, 0), 100000);
	ck_assert_str_eq(reader_overview(reader)->end_reason, "the VMM ended without finishing");
	reader_close(reader);
	ledger_shared_unmap(ring);
}
END_TEST

/* A cell's process dies; the run goes on. */
START_TEST(a_cell_is_killed_the_run_goes_on)
{
	struct recorder_config config = {.path = fixture_path()};
	struct recorder recorder;
	struct reader *reader;
	struct cell cell;
	uint64_t published[10], before = 0;

	cell_defaults(&cell);
	ck_assert_int_eq(recorder_start(&recorder, &config), 0);
	ck_assert_int_eq(recorder_begin_run(&recorder, info), 0);
	for (int i = 0; i < 10; i++) {
		pid_t process;

		ck_assert_int_eq(recorder_begin_cell(&recorder, &cell), 0);
		process = fork();
		if (!process)
			publish_until(recorder.ring, UINT64_MAX);
		nap_us(fixture_random(&random_state) % 5000);
		kill(process, SIGKILL);
		ck_assert_int_eq(waitpid(process, NULL, 0), process);
		published[i] = recorder.ring->head - before;
		before = recorder.ring->head;
		result->status = CELL_FAILED;
		strcpy(result->reason, "the cell's process was killed by signal 9");
		ck_assert_int_eq(recorder_end_cell(&recorder, result), 0);
	}
	ck_assert_int_eq(recorder_finish(&recorder), 0);

	ck_assert_int_eq(reader_open(&reader, fixture_path(), NULL, 0), 0);
	ck_assert(reader_overview(reader)->finished);
	for (int i = 0; i < 10; i++) {
		ck_assert_uint_eq(reader_cell(reader, (size_t)i)->records, published[i]);
		ck_assert_int_eq(reader_cell(reader, (size_t)i)->status, CELL_FAILED);
	}
	reader_close(reader);
}
END_TEST

/* The recorder dies: who waits for room in the ring is let go, the scheduler learns it, the file is readable. */
START_TEST(the_recorder_is_killed)
{
	struct recorder_config config = {.path = fixture_path(), .ring_records = RING};
	struct recorder recorder;
	struct cell cell;

	cell_defaults(&cell);
	for (int i = 0; i < 10; i++) {
		struct reader *reader;
		int err = 0, status;
		pid_t process;

		unlink(fixture_path());
		ck_assert_int_eq(recorder_start(&recorder, &config), 0);
		ck_assert_int_eq(recorder_begin_run(&recorder, info), 0);
		ck_assert_int_eq(recorder_begin_cell(&recorder, &cell), 0);
		process = fork();
		if (!process)
			offer_and_exit(recorder.ring, 1000000);
		nap_us(fixture_random(&random_state) % 5000);
		ck_assert_int_eq(recorder_check(&recorder), 0);
		kill(recorder.pid, SIGKILL);
		for (int tries = 0; tries < 5000 && !err; tries++) {
			err = recorder_check(&recorder);
			nap_us(1000);
		}
		ck_assert_int_eq(err, -EPIPE);
		ck_assert_ptr_nonnull(strstr(recorder_error(&recorder), "killed by signal 9"));
		ck_assert_int_eq(recorder_end_cell(&recorder, result), -EPIPE);
		/* It offers a million records to a ring of 4096: it ends because the ring was closed. */
		ck_assert_int_eq(waitpid(process, &status, 0), process);
		ck_assert_int_eq(status, 0);
		ck_assert_int_eq(recorder_finish(&recorder), -EPIPE);
		ck_assert_ptr_nonnull(strstr(recorder_error(&recorder), "killed by signal 9"));

		ck_assert_int_eq(reader_open(&reader, fixture_path(), NULL, 0), 0);
		ck_assert(!reader_overview(reader)->ended);
		ck_assert_uint_eq(reader_cell_count(reader), 1);
		ck_assert_int_eq(reader_cell(reader, 0)->status, CELL_RUNNING);
		count_good_records(reader, 0);
		reader_close(reader);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recorder_kill");
	TCase *tcase = tcase_create("recorder_kill");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 200);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_vmm_is_killed);
	tcase_add_test(tcase, the_scheduler_is_killed_its_cell_lives_on);
	tcase_add_test(tcase, a_cell_is_killed_the_run_goes_on);
	tcase_add_test(tcase, the_recorder_is_killed);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
