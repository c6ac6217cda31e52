/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes nobody vouches for. Two kinds: damage to the file, which the checksum catches, and frames with a good checksum
 * around contents that were made to mislead, which it does not. All random numbers come from the test's number.
 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "results/aggregate.h"
#include "results/decode.h"
#include "results/roundtrip.h"
#include "results/summary.h"
#include "results/unpack.h"

static int add_up(void *ctx, const struct ledger_record *records, size_t count)
{
	volatile uint64_t *sum = ctx;

	for (size_t i = 0; i < count; i++)
		*sum += records[i].tsc + records[i].detail + records[i].reason;
	return 0;
}

/* Everything a reader offers, on a file that may be anything. */
static void use_everything(struct reader *reader)
{
	struct cell_result *result = malloc(sizeof(*result));
	struct run_info *info = malloc(sizeof(*info));
	struct summary summary;
	uint64_t sum = 0;
	uint32_t digest;

	reader_run_info(reader, 0, info);
	for (size_t i = 0; i < reader_cell_count(reader); i++) {
		reader_result(reader, i, result);
		reader_records(reader, i, add_up, &sum);
		reader_cell_digest(reader, i, &digest);
	}
	if (!summary_compute(&summary, reader)) {
		FILE *sink = fopen("/dev/null", "w");

		ck_assert_int_eq(summary_write_csv(&summary, sink), 0);
		fclose(sink);
		summary_free(&summary);
	}
	free(result);
	free(info);
}

static void make_image(struct fixture_image *image, uint64_t seed)
{
	struct cell_result *result = malloc(sizeof(*result));
	struct ledger_record records[600];
	struct cell cell;

	fixture_image_begin(image);
	cell_defaults(&cell);
	fixture_result(result, 100, 30);
	result->log_count = 3;
	fixture_image_run(image);
	for (uint64_t number = 0; number < 2; number++) {
		fixture_image_cell(image, number, &cell);
		fixture_typical_records(records, 600, seed);
		fixture_image_records(image, records, 600);
		fixture_random_records(records, 20, seed);
		fixture_image_records(image, records, 20);
		fixture_image_cell_end(image, number, result, 0);
	}
	fixture_image_end(image, true, "", 0);
	free(result);
}

START_TEST(damaged_files)
{
	struct fixture_image image;
	uint64_t state = 1000 + (uint64_t)_i;
	uint8_t *bytes;

	make_image(&image, state);
	bytes = malloc(image.used);
	for (int round = 0; round < 60; round++) {
		size_t count = image.used - (round % 3 ? 0 : fixture_random(&state) % image.used);
		struct reader *reader;

		memcpy(bytes, image.bytes, image.used);
		for (uint64_t hits = fixture_random(&state) % 20; hits; hits--)
			bytes[fixture_random(&state) % image.used] = (uint8_t)fixture_random(&state);
		/* The header stays, or there would be nothing behind it to look at. */
		frame_put_file_header(bytes);
		reader = fixture_open(bytes, count > FRAME_FILE_HEADER_BYTES ? count : FRAME_FILE_HEADER_BYTES);
		ck_assert_ptr_nonnull(reader);
		use_everything(reader);
		reader_close(reader);
	}
	free(bytes);
	fixture_image_free(&image);
}
END_TEST

/* Change bytes inside payloads and make their checksums good again. */
static void mislead(uint8_t *bytes, size_t count, uint64_t *state)
{
	size_t at = FRAME_FILE_HEADER_BYTES;

	while (at + FRAME_HEADER_BYTES <= count) {
		struct frame_header header;

		if (!frame_parse(bytes + at, &header) || header.length > count - at - FRAME_HEADER_BYTES)
			return;
		if (fixture_random(state) % 3 == 0)
			for (uint64_t hits = 1 + fixture_random(state) % 4; hits; hits--)
				bytes[at + FRAME_HEADER_BYTES + fixture_random(state) % header.length] =
				        (uint8_t)fixture_random(state);
		frame_seal(bytes + at, fixture_random(state) % 50 ? header.type : (uint32_t)(fixture_random(state) % 8),
		        header.length);
		at += FRAME_HEADER_BYTES + header.length;
	}
}

START_TEST(misleading_frames)
{
	struct fixture_image image;
	uint64_t state = 2000 + (uint64_t)_i;
	uint8_t *bytes;

	make_image(&image, state);
	bytes = malloc(image.used);
	for (int round = 0; round < 60; round++) {
		struct reader *reader;

		memcpy(bytes, image.bytes, image.used);
		mislead(bytes, image.used, &state);
		reader = fixture_open(bytes, image.used);
		ck_assert_ptr_nonnull(reader);
		use_everything(reader);
		reader_close(reader);
	}
	free(bytes);
	fixture_image_free(&image);
}
END_TEST

/* Random msgpack-like bytes: what unpack_check accepts, every decoder must survive. */
START_TEST(random_payloads)
{
	struct cell_result *result = malloc(sizeof(*result));
	struct run_info *info = malloc(sizeof(*info));
	struct decode_batch batch = {0};
	uint64_t state = 3000 + (uint64_t)_i, accepted = 0;

	for (int round = 0; round < 20000; round++) {
		uint8_t exact[64], *bytes;
		size_t count = 1 + fixture_random(&state) % sizeof(exact);
		struct decode_cell_times times;
		struct decode_cell_end cell_end;
		struct decode_end end;
		struct cell cell;
		uint64_t number;
		char io[16];

		/* On the heap and of exact size, so that a read beyond the end is seen. */
		bytes = malloc(count);
		for (size_t i = 0; i < count; i++)
			bytes[i] = (uint8_t)fixture_random(&state);
		bytes[0] = (uint8_t)(0x80 | (bytes[0] & 0x0f));
		unpack_peek_uint(bytes, count, "n", &number);
		if (unpack_check(bytes, count)) {
			accepted++;
			decode_records(&batch, bytes, count);
			decode_run(info, io, sizeof(io), bytes, count);
			decode_cell(&cell, &number, bytes, count);
			decode_cell_end(result, &cell_end, bytes, count);
			decode_cell_times(&times, bytes, count);
			decode_end(&end, bytes, count);
		}
		free(bytes);
	}
	ck_assert_uint_gt(accepted, 0);
	free(batch.records);
	free(result);
	free(info);
}
END_TEST

/* A file full of things that look like long frames: the search behind damage must not become quadratic. */
START_TEST(a_file_of_false_frame_heads)
{
	size_t count = 2u << 20;
	uint8_t *bytes = malloc(count);
	struct reader *reader;

	frame_put_file_header(bytes);
	for (size_t at = FRAME_FILE_HEADER_BYTES; at + FRAME_HEADER_BYTES <= count; at += FRAME_HEADER_BYTES) {
		frame_seal(bytes + at, FRAME_RECORDS, 0);
		bytes[at + 6] = 0x0f; /* length: about a megabyte */
	}
	reader = fixture_open(bytes, count);
	ck_assert_ptr_nonnull(reader);
	ck_assert_uint_eq(reader_overview(reader)->frames, 0);
	ck_assert_uint_eq(reader_overview(reader)->torn_bytes, count - FRAME_FILE_HEADER_BYTES);
	reader_close(reader);
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reader_fuzz");
	TCase *tcase = tcase_create("reader_fuzz");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, damaged_files, 0, 4);
	tcase_add_loop_test(tcase, misleading_frames, 0, 8);
	tcase_add_loop_test(tcase, random_payloads, 0, 4);
	tcase_add_test(tcase, a_file_of_false_frame_heads);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
