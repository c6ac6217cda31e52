/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's process, driven as the run scheduler drives it: whole runs, attribution to cells, determinism, append,
 * drops, refusals. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/recorder.h"

static struct recorder recorder;
static struct run_info *info;
static struct cell_result *result;
static struct cell cell;

static void setup(void)
{
	info = calloc(1, sizeof(*info));
	result = calloc(1, sizeof(*result));
	fixture_result(result, 100, 20);
	cell_defaults(&cell);
	run_info_set(info, "cpu", "%s", "a test");
}

static void teardown(void)
{
	free(info);
	free(result);
}

static void start(const struct recorder_config *config)
{
	int err = recorder_start(&recorder, config);

	ck_assert_msg(!err, "%s", recorder_error(&recorder));
	ck_assert_int_eq(recorder_begin_run(&recorder, info), 0);
}

static void publish(enum ledger_when_full when_full, const struct ledger_record *records, size_t count)
{
	struct ledger ledger;

	ledger_attach(&ledger, recorder.ring, when_full);
	for (size_t i = 0; i < count; i++)
		ledger_write(&ledger, &records[i]);
}

/* Each cell with settings of its own: equal ones would be rounds of one cell. */
static int begin_cell(void)
{
	char text[24];

	snprintf(text, sizeof(text), "%d", (int)cell_int(&cell, CELL_TIMEOUT, 0) + 1);
	ck_assert_int_eq(cell_set(&cell, "timeout", text, NULL, 0), 0);
	return recorder_begin_cell(&recorder, &cell);
}

static void run_cell(const struct ledger_record *records, size_t count)
{
	ck_assert_int_eq(begin_cell(), 0);
	publish(LEDGER_WAIT, records, count);
	ck_assert_int_eq(recorder_check(&recorder), 0);
	ck_assert_int_eq(recorder_end_cell(&recorder, result), 0);
}

static struct reader *reopen(void)
{
	struct reader *reader;

	ck_assert_int_eq(reader_open(&reader, fixture_path(), NULL, 0), 0);
	return reader;
}

static void check_cell(struct reader *reader, size_t index, const struct ledger_record *expected, size_t expected_count)
{
	size_t count;
	struct ledger_record *found = fixture_read_records(reader, index, &count);

	ck_assert_uint_eq(count, expected_count);
	ck_assert(!count || !memcmp(found, expected, count * sizeof(*found)));
	free(found);
}

START_TEST(a_run_holds_every_record_in_its_cell)
{
	struct recorder_config config = {.path = fixture_path(), .ring_records = 1024};
	size_t count = 150000;
	struct ledger_record *records = malloc(count * sizeof(*records));
	struct reader *reader;

	fixture_typical_records(records, count, 8);
	start(&config);
	run_cell(records, 1);
	run_cell(records, 0);
	run_cell(records + 1, count - 1);
	ck_assert_int_eq(recorder_finish(&recorder), 0);

	reader = reopen();
	ck_assert(reader_overview(reader)->finished);
	ck_assert_uint_eq(reader_overview(reader)->damaged_bytes + reader_overview(reader)->torn_bytes, 0);
	ck_assert_uint_eq(reader_cell_count(reader), 3);
	check_cell(reader, 0, records, 1);
	check_cell(reader, 1, records, 0);
	check_cell(reader, 2, records + 1, count - 1);
	ck_assert_str_eq(reader_overview(reader)->io, recorder_io(&recorder));
	reader_close(reader);
	free(records);
}
END_TEST

START_TEST(what_is_published_between_cells_belongs_to_none)
{
	struct recorder_config config = {.path = fixture_path()};
	struct ledger_record records[30];
	struct reader *reader;

	fixture_typical_records(records, 30, 8);
	start(&config);
	run_cell(records, 10);
	publish(LEDGER_WAIT, records + 10, 10);
	run_cell(records + 20, 10);
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	reader = reopen();
	check_cell(reader, 0, records, 10);
	check_cell(reader, 1, records + 20, 10);
	ck_assert_uint_eq(reader_overview(reader)->stray_records, 10);
	reader_close(reader);
}
END_TEST

static size_t read_whole(uint8_t **bytes)
{
	struct stat status;
	int fd = open(fixture_path(), O_RDONLY);

	ck_assert_int_eq(fstat(fd, &status), 0);
	*bytes = malloc((size_t)status.st_size);
	ck_assert_int_eq(read(fd, *bytes, (size_t)status.st_size), status.st_size);
	close(fd);
	return (size_t)status.st_size;
}

/* Lengths and checksums of the frames that must be the same, in a row. */
static size_t stable_part(uint8_t *bytes, size_t count)
{
	size_t at = FRAME_FILE_HEADER_BYTES, kept = 0;

	while (at < count) {
		struct frame_header header;
		size_t length;

		ck_assert(frame_parse(bytes + at, &header));
		length = FRAME_HEADER_BYTES + header.length;
		if (header.type == FRAME_CELL || header.type == FRAME_RECORDS || header.type == FRAME_CELL_END) {
			memmove(bytes + kept, bytes + at, length);
			kept += length;
		}
		at += length;
	}
	return kept;
}

/* The same records through rings of different sizes, which tear them differently in time: the same bytes. */
START_TEST(the_file_does_not_depend_on_timing)
{
	static const uint64_t rings[] = {64, 4096, 1 << 18};
	size_t count = 200000, first_count = 0;
	struct ledger_record *records = malloc(count * sizeof(*records));
	uint8_t *first = NULL;

	fixture_virtual_records(records, count);
	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		struct recorder_config config = {.path = fixture_path(), .ring_records = rings[i]};
		uint8_t *bytes;
		size_t kept;

		unlink(fixture_path());
		cell_defaults(&cell);
		start(&config);
		run_cell(records, count);
		run_cell(records, 777);
		ck_assert_int_eq(recorder_finish(&recorder), 0);
		kept = read_whole(&bytes);
		kept = stable_part(bytes, kept);
		if (first) {
			ck_assert_uint_eq(kept, first_count);
			ck_assert_mem_eq(bytes, first, kept);
			free(bytes);
		} else {
			first = bytes;
			first_count = kept;
		}
	}
	free(first);
	free(records);
}
END_TEST

START_TEST(drops_are_counted_where_they_happened)
{
	struct recorder_config config = {.path = fixture_path(), .ring_records = 64};
	struct ledger_record records[1000];
	struct reader *reader;
	uint64_t dropped;

	fixture_typical_records(records, 1000, 8);
	start(&config);
	run_cell(records, 10);
	ck_assert_int_eq(begin_cell(), 0);
	/* The recorder stands still, so all but a ring full of them must go. */
	kill(recorder.pid, SIGSTOP);
	publish(LEDGER_DROP, records, 1000);
	dropped = recorder.ring->dropped;
	kill(recorder.pid, SIGCONT);
	ck_assert_uint_ge(dropped, 1000 - 64);
	ck_assert_int_eq(recorder_end_cell(&recorder, result), 0);
	run_cell(records, 10);
	ck_assert_int_eq(recorder_finish(&recorder), 0);

	reader = reopen();
	ck_assert_uint_eq(reader_cell(reader, 0)->dropped, 0);
	ck_assert_uint_eq(reader_cell(reader, 1)->dropped, dropped);
	ck_assert_uint_eq(reader_cell(reader, 1)->records, 1000 - dropped);
	ck_assert_uint_eq(reader_cell(reader, 2)->dropped, 0);
	ck_assert_uint_eq(reader_overview(reader)->dropped, dropped);
	reader_close(reader);
}
END_TEST

START_TEST(the_host_is_noted_at_the_end)
{
	struct recorder_config config = {.path = fixture_path()};
	struct run_info *host = calloc(1, sizeof(*host));
	struct reader *reader;

	start(&config);
	for (int i = 1; i <= 2; i++) {
		run_info_set(host, "load", "%d.50", i);
		ck_assert_int_eq(recorder_host(&recorder, host), 0);
	}
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	ck_assert_int_eq(recorder_host(&recorder, host), -EPIPE);
	reader = reopen();
	ck_assert_int_eq(reader_host_at_end(reader, 0, host), 0);
	ck_assert_uint_eq(host->pair_count, 1);
	ck_assert_str_eq(run_info_get(host, "load"), "2.50");
	ck_assert_int_eq(reader_host_at_end(reader, 1, host), -ENOENT);
	ck_assert_uint_eq(host->pair_count, 0);
	ck_assert_int_eq(reader_run_info(reader, 0, host), 0);
	ck_assert_str_eq(run_info_get(host, "cpu"), "a test");
	reader_close(reader);
	free(host);
}
END_TEST

START_TEST(append_goes_on_behind_a_torn_end)
{
	struct recorder_config config = {.path = fixture_path()};
	struct ledger_record records[50];
	struct reader *reader;
	FILE *file;

	fixture_typical_records(records, 50, 8);
	start(&config);
	run_cell(records, 20);
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	ck_assert_int_eq(recorder_start(&recorder, &config), -EEXIST);
	ck_assert_ptr_nonnull(strstr(recorder_error(&recorder), fixture_path()));

	file = fopen(fixture_path(), "ab");
	fwrite("TDOF\0\1\0\0half a frame", 1, 20, file);
	fclose(file);
	config.append = true;
	start(&config);
	ck_assert_uint_eq(recorder.first_cell, 1);
	run_cell(records + 20, 30);
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	reader = reopen();
	ck_assert_uint_eq(reader_overview(reader)->damaged_bytes + reader_overview(reader)->torn_bytes, 0);
	ck_assert_uint_eq(reader_overview(reader)->sessions, 2);
	ck_assert_uint_eq(reader_cell(reader, 1)->number, 1);
	check_cell(reader, 0, records, 20);
	check_cell(reader, 1, records + 20, 30);
	reader_close(reader);
}
END_TEST

START_TEST(append_takes_an_empty_file_and_refuses_a_strange_one)
{
	struct recorder_config config = {.path = fixture_path(), .append = true};

	fixture_write_file(fixture_path(), "TEST", 4);
	start(&config);
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	reader_close(reopen());
	fixture_write_file(fixture_path(), "something else altogether", 25);
	ck_assert_int_eq(recorder_start(&recorder, &config), -EINVAL);
	ck_assert_ptr_nonnull(strstr(recorder_error(&recorder), "not a run file"));
}
END_TEST

START_TEST(two_recorders_cannot_write_one_file)
{
	struct recorder_config config = {.path = fixture_path(), .append = true};
	struct recorder second;

	start(&config);
	ck_assert_int_eq(recorder_start(&second, &config), -EWOULDBLOCK);
	ck_assert_ptr_nonnull(strstr(recorder_error(&second), "another recorder"));
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	ck_assert_int_eq(recorder_start(&second, &config), 0);
	ck_assert_int_eq(recorder_finish(&second), 0);
}
END_TEST

START_TEST(refusals_are_sentences)
{
	struct recorder_config config = {.path = "/tmp/no/such/folder/run.tdo"};

	ck_assert_int_eq(recorder_start(&recorder, &config), -ENOENT);
	ck_assert_ptr_nonnull(strstr(recorder_error(&recorder), "/tmp/no/such/folder/run.tdo"));
	config.path = fixture_path();
	config.ring_records = 1000;
	ck_assert_int_eq(recorder_start(&recorder, &config), -EINVAL);
	ck_assert_ptr_nonnull(strstr(recorder_error(&recorder), "1000"));
	ck_assert_int_ne(access(fixture_path(), F_OK), 0);
	config.ring_records = 0;
	start(&config);
	ck_assert_int_eq(recorder_end_cell(&recorder, result), -EPROTO);
	ck_assert_int_eq(recorder_finish(&recorder), 0);
	ck_assert_int_eq(recorder_begin_cell(&recorder, &cell), -EPIPE);
	ck_assert_int_eq(recorder_finish(&recorder), -EPIPE);
}
END_TEST

START_TEST(signals_to_the_group_do_not_end_it)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct recorder_config config = {.path = fixture_path()};
	struct ledger_record records[10];

	fixture_typical_records(records, 10, 8);
	start(&config);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		kill(recorder.pid, signals[i]);
	run_cell(records, 10);
	ck_assert_int_eq(recorder_finish(&recorder), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recorder");
	TCase *tcase = tcase_create("recorder");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_run_holds_every_record_in_its_cell);
	tcase_add_test(tcase, what_is_published_between_cells_belongs_to_none);
	tcase_add_test(tcase, the_file_does_not_depend_on_timing);
	tcase_add_test(tcase, drops_are_counted_where_they_happened);
	tcase_add_test(tcase, the_host_is_noted_at_the_end);
	tcase_add_test(tcase, append_goes_on_behind_a_torn_end);
	tcase_add_test(tcase, append_takes_an_empty_file_and_refuses_a_strange_one);
	tcase_add_test(tcase, two_recorders_cannot_write_one_file);
	tcase_add_test(tcase, refusals_are_sentences);
	tcase_add_test(tcase, signals_to_the_group_do_not_end_it);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
