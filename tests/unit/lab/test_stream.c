/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the lab's guest and the host: whole, in pieces, cut short, damaged. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lab/stream.h"

static struct {
	unsigned count;
	enum lab_kind kind[8];
	size_t bytes[8];
	uint8_t data[8][LAB_DATA_BYTES];
	int answer;
} seen;

static int on_message(void *ctx, enum lab_kind kind, const uint8_t *data, size_t bytes)
{
	ck_assert_ptr_eq(ctx, &seen);
	ck_assert_uint_lt(seen.count, 8);
	seen.kind[seen.count] = kind;
	seen.bytes[seen.count] = bytes;
	memcpy(seen.data[seen.count++], data, bytes);
	return seen.answer;
}

static struct lab_parser *make_parser(void)
{
	static struct lab_parser parser;

	memset(&seen, 0, sizeof(seen));
	parser = (struct lab_parser){.on_message = on_message, .ctx = &seen};
	return &parser;
}

static size_t make_three(uint8_t *stream)
{
	uint8_t big[LAB_DATA_BYTES];
	size_t used = lab_message_make(stream, LAB_BEGIN, NULL, 0);

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	used += lab_message_make(stream + used, LAB_DATA, big, sizeof(big));
	return used + lab_message_make(stream + used, LAB_END, "3", 1);
}

/* _i bytes at a time. */
START_TEST(comes_in_any_pieces)
{
	uint8_t stream[3 * LAB_MESSAGE_BYTES];
	const size_t total = make_three(stream), pieces[] = {1, 2, 5, 9, 4096, 100000}, piece = pieces[_i];
	struct lab_parser *parser = make_parser();

	for (size_t at = 0; at < total; at += piece)
		ck_assert_int_eq(lab_parser_take(parser, stream + at, total - at < piece ? total - at : piece), 0);
	ck_assert_uint_eq(seen.count, 3);
	ck_assert_int_eq(seen.kind[0], LAB_BEGIN);
	ck_assert_int_eq(seen.kind[1], LAB_DATA);
	ck_assert_uint_eq(seen.bytes[1], LAB_DATA_BYTES);
	ck_assert_uint_eq(seen.data[1][1000], (uint8_t)7000);
	ck_assert_int_eq(seen.kind[2], LAB_END);
	ck_assert_mem_eq(seen.data[2], "3", 1);
	ck_assert_uint_eq(parser->have, 0);
}
END_TEST

START_TEST(cut_short_gives_what_was_whole)
{
	uint8_t stream[3 * LAB_MESSAGE_BYTES];
	const size_t total = make_three(stream);
	struct lab_parser *parser = make_parser();

	ck_assert_int_eq(lab_parser_take(parser, stream, total - 1), 0);
	ck_assert_uint_eq(seen.count, 2);
}
END_TEST

/* One bit flipped, in any byte of the message: it is refused, or its length makes it wait for more. */
START_TEST(damage_is_found)
{
	uint8_t stream[LAB_MESSAGE_BYTES];
	const size_t total = lab_message_make(stream, LAB_TEXT, "hello", 5);

	for (size_t at = 0; at < total; at++) {
		struct lab_parser *parser = make_parser();
		stream[at] ^= 0x10;
		const int error = lab_parser_take(parser, stream, total);
		ck_assert(error == -EBADMSG || (error == 0 && at >= 1 && at <= 4));
		ck_assert_uint_eq(seen.count, 0);
		stream[at] ^= 0x10;
	}
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
	uint64_t state = 1;

	for (unsigned round = 0; round < 2000; round++) {
		struct lab_parser *parser = make_parser();
		uint8_t bytes[512];
		for (size_t i = 0; i < sizeof(bytes); i++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			bytes[i] = (uint8_t)(state >> 56);
		}
		bytes[0] = 1 + round % (LAB_KIND_LIMIT - 1);
		bytes[2] &= 0x1f;
		bytes[3] = bytes[4] = 0;
		lab_parser_take(parser, bytes, sizeof(bytes));
		ck_assert_uint_eq(seen.count, 0);
	}
}
END_TEST

START_TEST(the_receiver_can_stop)
{
	uint8_t stream[3 * LAB_MESSAGE_BYTES];
	const size_t total = make_three(stream);
	struct lab_parser *parser = make_parser();

	seen.answer = -ENOSPC;
	ck_assert_int_eq(lab_parser_take(parser, stream, total), -ENOSPC);
	ck_assert_uint_eq(seen.count, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lab stream");
	TCase *tests = tcase_create("stream");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(tests, comes_in_any_pieces, 0, 6);
	tcase_add_test(tests, cut_short_gives_what_was_whole);
	tcase_add_test(tests, damage_is_found);
	tcase_add_test(tests, random_bytes_do_no_harm);
	tcase_add_test(tests, the_receiver_can_stop);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
