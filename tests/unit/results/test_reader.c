/* SPDX-License-Identifier: Apache-2.0 */
/* The reader: what a file says, and what is left of it when it is torn, damaged or taken up again. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 70000

static struct fixture_image image;
static struct ledger_record *records;
static struct cell_result *result;
static struct cell cell;

static void setup(void)
{
	fixture_image_begin(&image);
	records = malloc(RECORDS * sizeof(*records));
	result = malloc(sizeof(*result));
	fixture_typical_records(records, RECORDS, 4);
	fixture_result(result, 1000, 50);
	cell_defaults(&cell);
	fixture_image_run(&image);
}

static void teardown(void)
{
	fixture_image_free(&image);
	free(records);
	free(result);
}

static struct reader *open_all(void)
{
	struct reader *reader = fixture_open(image.bytes, image.used);

	ck_assert_ptr_nonnull(reader);
	return reader;
}

static void check_records(
        struct reader *reader, size_t index, const struct ledger_record *expected, size_t expected_count)
{
	size_t count;
	struct ledger_record *found = fixture_read_records(reader, index, &count);

	ck_assert_uint_eq(count, expected_count);
	if (count)
		ck_assert_mem_eq(found, expected, count * sizeof(*found));
	free(found);
}

START_TEST(a_whole_file_says_everything)
{
	struct cell_result *out = malloc(sizeof(*out));
	struct run_info *info = malloc(sizeof(*info));
	const struct reader_overview *overview;
	const struct reader_cell *read;
	struct reader *reader;

	result->wall_ns = 123;
	result->first_l2_exit_ns = 45;
	result->records = RECORDS + 2;
	fixture_image_cell(&image, 0, &cell);
	fixture_image_records(&image, records, RECORDS);
	fixture_image_cell_end(&image, 0, result, 2);
	cell_set(&cell, "workload", "pio", NULL, 0);
	fixture_image_cell(&image, 1, &cell);
	fixture_image_cell_end(&image, 1, result, 0);
	fixture_image_end(&image, true, "", 2);

	reader = open_all();
	overview = reader_overview(reader);
	ck_assert_uint_eq(overview->torn_bytes + overview->damaged_bytes + overview->missing, 0);
	ck_assert_uint_eq(overview->sessions, 1);
	ck_assert_uint_eq(overview->cells, 2);
	ck_assert_uint_eq(overview->next_cell, 2);
	ck_assert_uint_eq(overview->records, RECORDS);
	ck_assert_uint_eq(overview->dropped, 2);
	ck_assert(overview->ended && overview->finished);
	ck_assert_str_eq(overview->io, "memory");

	read = reader_cell(reader, 0);
	ck_assert_int_eq(read->status, CELL_OK);
	ck_assert_uint_eq(read->records, RECORDS);
	ck_assert_uint_eq(read->dropped, 2);
	ck_assert_uint_eq(read->wall_ns, 123);
	ck_assert_uint_eq(read->begun_unix_ns, 77);
	check_records(reader, 0, records, RECORDS);
	check_records(reader, 1, records, 0);
	ck_assert_str_eq(reader_cell(reader, 1)->cell.value[CELL_WORKLOAD], "pio");

	ck_assert_int_eq(reader_result(reader, 0, out), 0);
	result->dropped = 2;
	ck_assert_mem_eq(out, result, sizeof(*out));
	ck_assert_int_eq(reader_run_info(reader, 0, info), 0);
	ck_assert_str_eq(run_info_get(info, "cpu"), "a test");
	ck_assert_int_eq(reader_run_info(reader, 1, info), -ENOENT);
	reader_close(reader);
	free(out);
	free(info);
}
END_TEST

/* Whatever the length the write was torn at: the frames before it are there, the rest is counted, nothing crashes. */
START_TEST(a_file_torn_at_every_byte)
{
	size_t after_run = image.used, after_cell, after_batch, end;

	fixture_image_cell(&image, 0, &cell);
	after_cell = image.used;
	fixture_image_records(&image, records, 40);
	after_batch = image.used;
	fixture_image_records(&image, records + 40, 30);
	fixture_image_cell_end(&image, 0, result, 0);
	fixture_image_end(&image, true, "", 0);
	end = image.used;

	for (size_t cut = 0; cut <= end; cut++) {
		struct reader *reader = fixture_open(image.bytes, cut);
		const struct reader_overview *overview;

		ck_assert_int_eq(!reader, cut < FRAME_FILE_HEADER_BYTES);
		if (!reader)
			continue;
		overview = reader_overview(reader);
		ck_assert_uint_eq(overview->sessions, cut >= after_run);
		ck_assert_uint_eq(overview->cells, cut >= after_cell);
		ck_assert_int_eq(overview->finished, cut == end);
		ck_assert_uint_eq(overview->damaged_frames, 0);
		ck_assert_int_eq(overview->torn_bytes < cut, 1);
		if (cut >= after_cell) {
			size_t expected = cut < after_batch ? 0 : overview->records;

			ck_assert(expected == 0 || expected == 40 || expected == 70);
			check_records(reader, 0, records, expected);
			ck_assert_int_eq(reader_cell(reader, 0)->status == CELL_RUNNING,
			        reader_cell(reader, 0)->reason[0] != '\0');
		}
		reader_close(reader);
	}
}
END_TEST

/* A damaged frame in the middle costs its own records, and the reader says how many. */
START_TEST(a_damaged_batch_is_left_out_and_counted)
{
	size_t begin, end;
	struct reader *reader;

	fixture_image_cell(&image, 0, &cell);
	fixture_image_records(&image, records, 100);
	begin = image.used;
	fixture_image_records(&image, records + 100, 50);
	end = image.used;
	fixture_image_records(&image, records + 150, 10);
	fixture_image_cell_end(&image, 0, result, 0);
	fixture_image_end(&image, true, "", 0);

	for (size_t at = begin; at < end; at++) {
		const struct reader_overview *overview;
		struct ledger_record *found;
		size_t count;

		image.bytes[at] ^= 0x40;
		reader = open_all();
		overview = reader_overview(reader);
		ck_assert_uint_eq(overview->damaged_frames, 1);
		ck_assert_uint_eq(overview->damaged_bytes, end - begin);
		ck_assert_uint_eq(overview->missing, 50);
		ck_assert_uint_eq(reader_cell(reader, 0)->missing, 50);
		ck_assert_int_eq(reader_cell(reader, 0)->status, CELL_OK);
		ck_assert(overview->finished);
		found = fixture_read_records(reader, 0, &count);
		ck_assert_uint_eq(count, 110);
		ck_assert_mem_eq(found + 100, records + 150, 10 * sizeof(*found));
		free(found);
		reader_close(reader);
		image.bytes[at] ^= 0x40;
	}
}
END_TEST

START_TEST(the_last_batch_missing_is_noticed_too)
{
	struct reader *reader;
	size_t begin;

	fixture_image_cell(&image, 0, &cell);
	begin = image.used;
	fixture_image_records(&image, records, 33);
	fixture_image_cell_end(&image, 0, result, 0);
	image.bytes[begin + FRAME_HEADER_BYTES] ^= 1;
	reader = open_all();
	ck_assert_uint_eq(reader_cell(reader, 0)->missing, 33);
	reader_close(reader);
}
END_TEST

START_TEST(lost_settings_are_said_not_guessed)
{
	struct reader *reader;
	size_t begin = image.used;

	fixture_image_cell(&image, 5, &cell);
	fixture_image_records(&image, records, 10);
	fixture_image_cell_end(&image, 5, result, 0);
	image.bytes[begin + FRAME_HEADER_BYTES + 3] ^= 1;
	reader = open_all();
	ck_assert_uint_eq(reader_cell_count(reader), 1);
	ck_assert_uint_eq(reader_cell(reader, 0)->number, 5);
	ck_assert_int_eq(reader_cell(reader, 0)->status, CELL_FAILED);
	ck_assert_ptr_nonnull(strstr(reader_cell(reader, 0)->reason, "settings are lost"));
	check_records(reader, 0, records, 10);
	reader_close(reader);
}
END_TEST

/* A cell whose process died, in a run that ended properly and in one that did not. */
START_TEST(a_cell_without_an_end_says_why)
{
	struct cell_result *out = malloc(sizeof(*out));
	struct reader *reader;

	fixture_image_cell(&image, 0, &cell);
	fixture_image_records(&image, records, 20);
	reader = open_all();
	ck_assert_int_eq(reader_cell(reader, 0)->status, CELL_RUNNING);
	ck_assert_ptr_nonnull(strstr(reader_cell(reader, 0)->reason, "the file ends before"));
	ck_assert(!reader_overview(reader)->ended);
	ck_assert_ptr_nonnull(strstr(reader_overview(reader)->end_reason, "no end"));
	ck_assert_int_eq(reader_result(reader, 0, out), -ENOENT);
	ck_assert_uint_eq(out->status, CELL_RUNNING);
	reader_close(reader);

	fixture_image_end(&image, false, "the VMM ended without finishing", 9);
	reader = open_all();
	ck_assert_ptr_nonnull(strstr(reader_cell(reader, 0)->reason, "the VMM ended without finishing"));
	ck_assert_uint_eq(reader_cell(reader, 0)->dropped, 9);
	ck_assert_uint_eq(reader_overview(reader)->dropped, 9);
	ck_assert(reader_overview(reader)->ended && !reader_overview(reader)->finished);
	reader_close(reader);
	free(out);
}
END_TEST

START_TEST(records_outside_cells_are_strays)
{
	struct reader *reader;

	encoder_begin(image.encoder, -1);
	fixture_image_records(&image, records, 5);
	fixture_image_cell(&image, 0, &cell);
	fixture_image_records(&image, records + 5, 6);
	fixture_image_cell_end(&image, 0, result, 0);
	reader = open_all();
	ck_assert_uint_eq(reader_overview(reader)->records, 11);
	ck_assert_uint_eq(reader_overview(reader)->stray_records, 5);
	check_records(reader, 0, records + 5, 6);
	reader_close(reader);
}
END_TEST

/* run --resume: a second session in the same file. What failed and ran again is history; repetitions are not. */
START_TEST(sessions_supersede_what_failed)
{
	struct cell other = cell;
	struct reader *reader;

	cell_set(&other, "workload", "pio", NULL, 0);
	fixture_image_cell(&image, 0, &cell);
	fixture_image_cell_end(&image, 0, result, 0);
	result->status = CELL_FAILED;
	fixture_image_cell(&image, 1, &cell);
	fixture_image_cell_end(&image, 1, result, 0);
	fixture_image_cell(&image, 2, &other);
	fixture_image_run(&image);
	result->status = CELL_OK;
	fixture_image_cell(&image, 3, &other);
	fixture_image_cell_end(&image, 3, result, 0);
	fixture_image_end(&image, true, "", 0);

	reader = open_all();
	ck_assert_uint_eq(reader_overview(reader)->sessions, 2);
	ck_assert_uint_eq(reader_overview(reader)->next_cell, 4);
	ck_assert(reader_overview(reader)->finished);
	ck_assert(!reader_cell(reader, 0)->superseded);
	ck_assert(!reader_cell(reader, 1)->superseded); /* failed, and never ran again */
	ck_assert(reader_cell(reader, 2)->superseded);
	ck_assert_ptr_nonnull(strstr(reader_cell(reader, 2)->reason, "no result"));
	ck_assert(!reader_cell(reader, 3)->superseded);
	ck_assert_uint_eq(reader_cell(reader, 3)->session, 1);
	reader_close(reader);
}
END_TEST

START_TEST(frames_of_later_versions_are_passed_over)
{
	static const uint8_t empty_map[] = {0x80};
	struct reader *reader;

	fixture_image_frame(&image, 4711, empty_map, sizeof(empty_map));
	fixture_image_cell(&image, 0, &cell);
	fixture_image_cell_end(&image, 0, result, 0);
	reader = open_all();
	ck_assert_uint_eq(reader_overview(reader)->damaged_frames, 0);
	ck_assert_uint_eq(reader_cell_count(reader), 1);
	reader_close(reader);
}
END_TEST

START_TEST(equal_cells_have_equal_digests)
{
	uint32_t first, second, third;
	struct reader *reader;

	fixture_image_cell(&image, 0, &cell);
	fixture_image_records(&image, records, 100);
	fixture_image_cell_end(&image, 0, result, 0);
	/* Read alone: with the others in the file it would stand for all three, as rounds of one cell. */
	reader = open_all();
	ck_assert_int_eq(reader_cell_digest(reader, 0, &first), 0);
	reader_close(reader);
	result->wall_ns = 99;
	fixture_image_cell(&image, 1, &cell);
	fixture_image_records(&image, records, 60);
	fixture_image_records(&image, records + 60, 40);
	fixture_image_cell_end(&image, 1, result, 0);
	records[50].guest_ticks++;
	fixture_image_cell(&image, 2, &cell);
	fixture_image_records(&image, records, 100);
	fixture_image_cell_end(&image, 2, result, 0);
	reader = open_all();
	ck_assert_int_eq(reader_cell_digest(reader, 1, &second), 0);
	ck_assert_int_eq(reader_cell_digest(reader, 2, &third), 0);
	ck_assert_uint_eq(first, second);
	ck_assert_uint_ne(first, third);
	reader_close(reader);
}
END_TEST

static const struct {
	const char *bytes;
	size_t count;
	const char *says;
} not_runs[] = {
        {"", 0, "too short"},
        {"TESTUDO\n", 8, "too short"},
        {"machine,level,workload,vmcs,prof", 32, "not a run file"},
        {"TESTUDO\n\2\0\0\0\0\0\0\0", 16, "version 2"},
};

START_TEST(other_files_are_refused_with_a_sentence)
{
	struct reader *reader;
	char why[200];

	fixture_write_file(fixture_path(), not_runs[_i].bytes, not_runs[_i].count);
	ck_assert_int_eq(reader_open(&reader, fixture_path(), why, sizeof(why)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, not_runs[_i].says));
	ck_assert_ptr_nonnull(strstr(why, fixture_path()));
}
END_TEST

START_TEST(what_cannot_be_opened_is_said)
{
	struct reader *reader;
	char why[200];

	ck_assert_int_eq(reader_open(&reader, "/tmp/no/such/run.tdo", why, sizeof(why)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "No such file"));
	ck_assert_int_eq(reader_open(&reader, "/tmp", why, sizeof(why)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "not a file"));
	ck_assert_int_eq(reader_open(&reader, "/tmp/no/such/run.tdo", NULL, 0), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reader");
	TCase *tcase = tcase_create("reader");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_whole_file_says_everything);
	tcase_add_test(tcase, a_file_torn_at_every_byte);
	tcase_add_test(tcase, a_damaged_batch_is_left_out_and_counted);
	tcase_add_test(tcase, the_last_batch_missing_is_noticed_too);
	tcase_add_test(tcase, lost_settings_are_said_not_guessed);
	tcase_add_test(tcase, a_cell_without_an_end_says_why);
	tcase_add_test(tcase, records_outside_cells_are_strays);
	tcase_add_test(tcase, sessions_supersede_what_failed);
	tcase_add_test(tcase, frames_of_later_versions_are_passed_over);
	tcase_add_test(tcase, equal_cells_have_equal_digests);
	tcase_add_loop_test(tcase, other_files_are_refused_with_a_sentence, 0, sizeof(not_runs) / sizeof(not_runs[0]));
	tcase_add_test(tcase, what_cannot_be_opened_is_said);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
