/* SPDX-License-Identifier: Apache-2.0 */
/* The checksum and the frame header around it. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/crc32.h"

/* The check value every description of this CRC gives. */
START_TEST(the_check_value)
{
	ck_assert_uint_eq(crc32_update(0, "123456789", 9), 0xcbf43926u);
	ck_assert_uint_eq(crc32_update(0, "", 0), 0);
}
END_TEST

/* Bit by bit, as the polynomial division is defined. */
static uint32_t slow(const uint8_t *bytes, size_t count)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < count; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? 0xedb88320u ^ (crc >> 1) : crc >> 1;
	}
	return ~crc;
}

START_TEST(all_lengths_and_alignments)
{
	uint8_t bytes[300];
	uint64_t state = 5;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)fixture_random(&state);
	for (size_t from = 0; from < 9; from++)
		for (size_t count = 0; count < 250; count++)
			ck_assert_uint_eq(crc32_update(0, bytes + from, count), slow(bytes + from, count));
	for (size_t cut = 0; cut <= 250; cut++)
		ck_assert_uint_eq(crc32_update(crc32_update(0, bytes, cut), bytes + cut, 250 - cut), slow(bytes, 250));
}
END_TEST

START_TEST(a_frame_notices_every_flipped_bit)
{
	uint8_t frame[FRAME_HEADER_BYTES + 40];
	struct frame_header header;

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7);
	frame_seal(frame, FRAME_RECORDS, 40);
	ck_assert(frame_parse(frame, &header));
	ck_assert_uint_eq(header.length, 40);
	ck_assert_uint_eq(header.type, FRAME_RECORDS);
	ck_assert(frame_verify(&header, frame, frame + FRAME_HEADER_BYTES));
	for (size_t bit = 0; bit < sizeof(frame) * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		/* A changed length must not make the check read beyond the frame. */
		ck_assert(!frame_parse(frame, &header) || header.length != 40 ||
		          !frame_verify(&header, frame, frame + FRAME_HEADER_BYTES));
		frame[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
}
END_TEST

START_TEST(file_headers)
{
	uint8_t header[FRAME_FILE_HEADER_BYTES];
	uint32_t version;

	frame_put_file_header(header);
	ck_assert_int_eq(frame_check_file_header(header, &version), 0);
	ck_assert_uint_eq(version, FRAME_FILE_VERSION);
	header[8] = 9;
	ck_assert_int_eq(frame_check_file_header(header, &version), -ENOTSUP);
	ck_assert_uint_eq(version, 9);
	header[0] = 't';
	ck_assert_int_eq(frame_check_file_header(header, &version), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crc32");
	TCase *tcase = tcase_create("crc32");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, the_check_value);
	tcase_add_test(tcase, all_lengths_and_alignments);
	tcase_add_test(tcase, a_frame_notices_every_flipped_bit);
	tcase_add_test(tcase, file_headers);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
