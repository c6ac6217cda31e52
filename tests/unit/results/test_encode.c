/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and decoding: round trips of records and of everything else, size, independence of timing. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/decode.h"
#include "results/unpack.h"

#define RECORDS 200000

static uint8_t *payload_memory;

static struct buffer fresh(void)
{
	return (struct buffer){.bytes = payload_memory, .capacity = FRAME_PAYLOAD_MAX};
}

static void setup(void)
{
	payload_memory = malloc(FRAME_PAYLOAD_MAX);
	ck_assert_ptr_nonnull(payload_memory);
}

static void teardown(void)
{
	free(payload_memory);
}

/* Encode, decode, compare; `step` is how many records are offered at a time. Returns the payloads' bytes. */
static size_t round_trip(const struct ledger_record *records, size_t count, size_t step)
{
	struct encoder *encoder = encoder_new();
	struct decode_batch batch = {0};
	size_t at = 0, decoded = 0, bytes = 0;

	ck_assert_ptr_nonnull(encoder);
	encoder_begin(encoder, 7);
	while (decoded < count) {
		struct buffer payload = fresh();
		size_t offered = count - at < step ? count - at : step;
		size_t taken = encoder_add(encoder, records + at, offered);

		at += taken;
		if (taken == offered && at < count && encoder_pending(encoder) < ENCODE_BATCH_RECORDS)
			continue;
		ck_assert_int_eq(encoder_finish(encoder, &payload), 0);
		ck_assert_uint_eq(encoder_pending(encoder), 0);
		ck_assert(unpack_check(payload.bytes, payload.used));
		ck_assert_int_eq(decode_records(&batch, payload.bytes, payload.used), 0);
		ck_assert_uint_gt(batch.count, 0);
		ck_assert_uint_le(decoded + batch.count, count);
		ck_assert_mem_eq(batch.records, records + decoded, batch.count * sizeof(*records));
		decoded += batch.count;
		bytes += payload.used;
	}
	free(batch.records);
	encoder_free(encoder);
	return bytes;
}

START_TEST(typical_records_take_few_bytes)
{
	struct ledger_record *records = malloc(RECORDS * sizeof(*records));
	size_t bytes;

	fixture_typical_records(records, RECORDS, 1);
	bytes = round_trip(records, RECORDS, 1000);
	ck_assert_uint_lt(bytes, RECORDS * 8);
	fixture_virtual_records(records, RECORDS);
	bytes = round_trip(records, RECORDS, 1000);
	ck_assert_uint_lt(bytes, RECORDS * 3);
	free(records);
}
END_TEST

START_TEST(random_records_come_back)
{
	struct ledger_record *records = malloc(RECORDS * sizeof(*records));

	fixture_random_records(records, RECORDS, (uint64_t)_i);
	round_trip(records, RECORDS, 8192);
	free(records);
}
END_TEST

/* The corners of every column: saturated times, a clock that goes back, wrap-around, each a first and a later record.
 */
START_TEST(extreme_records_come_back)
{
	static const uint64_t words[] = {
	        0, 1, 127, 128, 0x7fffffff, 0xffffffff, 0x100000000, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
	enum { WORDS = sizeof(words) / sizeof(words[0]) };
	struct ledger_record records[WORDS * WORDS * 2];
	size_t count = 0;

	memset(records, 0, sizeof(records));
	for (int i = 0; i < WORDS; i++)
		for (int j = 0; j < WORDS; j++) {
			struct ledger_record *record = &records[count++];

			record->tsc = words[i];
			record->detail = words[j];
			record->guest_ticks = (uint32_t)words[j];
			record->l0_ticks = (uint32_t)words[i];
			record->sample = (uint16_t)words[j];
		}
	memcpy(records + count, records, count * sizeof(records[0]));
	round_trip(records, 2 * count, 1);
}
END_TEST

/* More details than the dictionary takes go into their own column: strides of a first-touch workload. */
START_TEST(many_details_come_back)
{
	struct ledger_record *records = calloc(RECORDS, sizeof(*records));
	size_t bytes;

	for (size_t i = 0; i < RECORDS; i++) {
		records[i].detail = 0x40000000 + i * 4096;
		records[i].reason = 48;
		records[i].tsc = records[i].guest_ticks = 0;
	}
	bytes = round_trip(records, RECORDS, 8192);
	ck_assert_uint_lt(bytes, RECORDS * 6);
	free(records);
}
END_TEST

/* A file must not depend on how the records trickled in. */
START_TEST(batches_do_not_depend_on_the_steps)
{
	static const size_t steps[] = {1, 7, 8192, 65536, RECORDS};
	struct ledger_record *records = malloc(RECORDS * sizeof(*records));
	size_t bytes = 0;

	/* Random: also batches that end because their dictionary is full. */
	fixture_random_records(records, RECORDS / 4, 3);
	fixture_typical_records(records + RECORDS / 4, RECORDS - RECORDS / 4, 3);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		size_t now = round_trip(records, RECORDS, steps[i]);

		ck_assert(!bytes || now == bytes);
		bytes = now;
	}
	free(records);
}
END_TEST

START_TEST(a_small_buffer_is_an_error_not_an_overrun)
{
	struct ledger_record records[100];
	struct encoder *encoder = encoder_new();
	struct buffer payload = {.bytes = payload_memory, .capacity = 50};

	fixture_random_records(records, 100, 9);
	encoder_begin(encoder, -1);
	ck_assert_uint_eq(encoder_add(encoder, records, 100), 100);
	payload_memory[50] = 0xa5;
	ck_assert_int_eq(encoder_finish(encoder, &payload), -EOVERFLOW);
	ck_assert_uint_eq(payload_memory[50], 0xa5);
	encoder_free(encoder);
}
END_TEST

START_TEST(a_cells_result_comes_back)
{
	struct cell_result *in = calloc(1, sizeof(*in)), *out = calloc(1, sizeof(*out));
	struct buffer payload = fresh();
	struct decode_cell_end end;
	uint64_t state = 11;

	in->status = CELL_FAILED;
	strcpy(in->reason, "L2 met a triple fault at RIP 0x100234, \"quoted\"");
	in->virtual_time = true;
	in->tsc_khz = 2600000;
	in->sample_count = CELL_SAMPLES_MAX;
	for (size_t i = 0; i < CELL_SAMPLES_MAX; i++)
		in->samples[i] = (struct cell_sample){fixture_random(&state), fixture_random(&state), i, 0};
	in->counters[0] = 17;
	in->counters[3] = UINT64_MAX;
	in->records = 1001;
	in->dropped = 1;
	in->stamp_count = 5;
	in->stamp_sum[STAMP_MERGE] = 6;
	in->stamp_median_of = 7;
	in->stamp_median[STAMP_L0_TO_L2] = 8;
	in->console_bytes = 9000;
	memset(in->console, 0xff, sizeof(in->console));
	in->log_count = CELL_LOG_MAX + 5;
	for (size_t i = 0; i < CELL_LOG_MAX; i++)
		in->log[i] = (struct cell_log_entry){10, 2, fixture_random(&state), i, 3};

	ck_assert_int_eq(encode_cell_end(&payload, 3, in, 1000, 1), 0);
	ck_assert(unpack_check(payload.bytes, payload.used));
	ck_assert_int_eq(decode_cell_end(out, &end, payload.bytes, payload.used), 0);
	ck_assert_uint_eq(end.number, 3);
	ck_assert_uint_eq(end.written, 1000);
	ck_assert_uint_eq(end.dropped, 1);
	ck_assert_mem_eq(in, out, sizeof(*in));
	free(in);
	free(out);
}
END_TEST

/* Numbers a dying VMM left in shared memory must not lead the encoder outside its arrays. */
START_TEST(wild_counts_are_limited)
{
	struct cell_result *in = calloc(1, sizeof(*in)), *out = calloc(1, sizeof(*out));
	struct buffer payload = fresh();
	struct decode_cell_end end;

	memset(in, 0xff, sizeof(*in));
	in->virtual_time = in->instruction_clock = in->machine_counted = true; /* 0xff is no bool */
	in->virtual_time = false;
	ck_assert_int_eq(encode_cell_end(&payload, 0, in, 0, 0), 0);
	ck_assert_int_eq(decode_cell_end(out, &end, payload.bytes, payload.used), 0);
	ck_assert_uint_eq(out->status, CELL_FAILED);
	ck_assert_uint_eq(out->sample_count, CELL_SAMPLES_MAX);
	ck_assert_uint_eq(strlen(out->reason), CELL_REASON_BYTES - 1);
	ck_assert_int_eq(out->reason[0], '?');
	free(in);
	free(out);
}
END_TEST

START_TEST(text_is_always_utf8)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	        {"Grüße, 世界 𝄞", "Grüße, 世界 𝄞"},
	        {"cut \xe4\xb8", "cut ??"},
	        {"latin \xe9t\xe9", "latin ?t?"},
	        {"overlong \xc0\xaf \xe0\x80\xaf", "overlong ?? ???"},
	        {"surrogate \xed\xa0\x80", "surrogate ???"},
	};
	struct cell_result *in = calloc(1, sizeof(*in)), *out = calloc(1, sizeof(*out));

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buffer payload = fresh();
		struct decode_cell_end end;

		strcpy(in->reason, cases[i].in);
		ck_assert_int_eq(encode_cell_end(&payload, 0, in, 0, 0), 0);
		ck_assert_int_eq(decode_cell_end(out, &end, payload.bytes, payload.used), 0);
		ck_assert_str_eq(out->reason, cases[i].out);
	}
	free(in);
	free(out);
}
END_TEST

START_TEST(settings_and_run_come_back)
{
	struct run_info *in = calloc(1, sizeof(*in)), *out = calloc(1, sizeof(*out));
	struct buffer payload = fresh();
	struct cell cell, cell_out;
	uint64_t number;
	char io[128];

	cell_defaults(&cell);
	cell_set(&cell, "workload", "pio", NULL, 0);
	cell_set(&cell, "vmcs", "trap", NULL, 0);
	ck_assert_int_eq(encode_cell(&payload, 42, &cell), 0);
	ck_assert_int_eq(decode_cell(&cell_out, &number, payload.bytes, payload.used), 0);
	ck_assert_uint_eq(number, 42);
	ck_assert(cell_equal(&cell, &cell_out));

	for (int i = 0; i < RUN_PAIRS_MAX; i++) {
		char key[RUN_KEY_BYTES];

		snprintf(key, sizeof(key), "key%d", i);
		ck_assert_int_eq(run_info_set(in, key, "value %d", i), 0);
	}
	run_info_set_matrix(in, "[matrix]\nmachine = kvm, soft\n");
	payload = fresh();
	ck_assert_int_eq(encode_run(&payload, in, "io_uring", 99), 0);
	ck_assert_int_eq(decode_run(out, io, sizeof(io), payload.bytes, payload.used), 0);
	ck_assert_mem_eq(in, out, sizeof(*in));
	ck_assert_str_eq(io, "io_uring");
	free(in);
	free(out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("encode");
	TCase *tcase = tcase_create("encode");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, typical_records_take_few_bytes);
	tcase_add_loop_test(tcase, random_records_come_back, 0, 3);
	tcase_add_test(tcase, extreme_records_come_back);
	tcase_add_test(tcase, many_details_come_back);
	tcase_add_test(tcase, batches_do_not_depend_on_the_steps);
	tcase_add_test(tcase, a_small_buffer_is_an_error_not_an_overrun);
	tcase_add_test(tcase, a_cells_result_comes_back);
	tcase_add_test(tcase, wild_counts_are_limited);
	tcase_add_test(tcase, text_is_always_utf8);
	tcase_add_test(tcase, settings_and_run_come_back);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
