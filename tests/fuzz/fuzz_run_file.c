/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of run.tdo on files with good checksums and contents made to mislead: the input is read as a grammar of
 * frames whose maps hold the format's own keys with any values, so that every decoder is reached. A share of the inputs
 * is taken as raw payload, which holds unpack_check and msgpack-c against each other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "results/aggregate.h"
#include "results/frame.h"
#include "results/pack.h"
#include "results/reader.h"
#include "results/roundtrip.h"
#include "results/unpack.h"

enum { FILE_MAX = 64 << 10, FRAMES_MAX = 12 };

static struct cell_result result;
static struct run_info info;
static uint64_t runs, files_with_cells, files_with_records, contradictions;

/* Keys of the frames, and numbers of the engine's first counters. */
static const char *const keys[] = {"cell", "n", "first", "tsc", "kinds", "kind", "guest", "l0", "gap", "sample",
        "detail", "settings", "host", "matrix", "io", "status", "reason", "samples", "counters", "written", "dropped",
        "offered", "stamps", "console", "console_bytes", "log", "log_count", "finished", "wall_ns", "machine",
        "workload", "L1_EXITS"};
static const char *const texts[] = {"ok", "failed", "refused", "running", "cpuid", "", "\xff", "a,\"b\"\n"};

static void put_number(struct buffer *out, struct fuzz_input *input)
{
	uint8_t choice = fuzz_u8(input);

	if (choice < 128)
		pack_uint(out, choice % 8);
	else if (choice < 192)
		pack_int(out, (int64_t)(int8_t)fuzz_u8(input));
	else if (choice < 224)
		pack_uint(out, (uint64_t)fuzz_u8(input) << (choice % 8 * 8));
	else
		pack_int(out, -((int64_t)fuzz_u8(input) << (choice % 7 * 8)));
}

static void put_value(struct buffer *out, struct fuzz_input *input, int depth)
{
	uint8_t choice = fuzz_u8(input);
	unsigned count = fuzz_u8(input) % 9;

	switch (choice % 16) {
	case 0:
		pack_nil(out);
		return;
	case 1:
		pack_bool(out, count & 1);
		return;
	case 2:
		pack_str(out, texts[count % 8]);
		return;
	case 3:
		pack_bin(out, "\0bytes\xff", count % 8);
		return;
	case 4 ... 7:
		pack_array(out, count);
		for (unsigned i = 0; i < count; i++)
			put_number(out, input);
		return;
	case 8 ... 10: /* rows of four, five or six numbers: samples, log entries, kinds */
		pack_array(out, count);
		for (unsigned i = 0; i < count; i++) {
			unsigned columns = choice % 16 - 4;

			pack_array(out, columns);
			for (unsigned column = 0; column < columns; column++)
				if (column == 5 && fuzz_u8(input) % 3 == 0)
					pack_nil(out);
				else
					put_number(out, input);
		}
		return;
	case 11:
		if (depth < 3) {
			pack_map(out, count);
			for (unsigned i = 0; i < count; i++) {
				pack_str(out, keys[fuzz_u8(input) % (sizeof(keys) / sizeof(keys[0]))]);
				put_value(out, input, depth + 1);
			}
			return;
		}
	}
	put_number(out, input);
}

static void put_pair(struct buffer *out, struct fuzz_input *input, const char *key)
{
	pack_str(out, key);
	put_value(out, input, 1);
}

/* A RECORDS frame that agrees with itself as far as the input lets it. */
static void put_records(struct buffer *out, struct fuzz_input *input)
{
	unsigned n = 1 + fuzz_u8(input) % 6, kinds = 1 + fuzz_u8(input) % 3;
	static const char *const columns[] = {"guest", "l0", "gap", "sample", "detail"};

	pack_map(out, 11);
	pack_str(out, "cell");
	pack_uint(out, fuzz_u8(input) % 2);
	pack_str(out, "n");
	pack_uint(out, n);
	put_pair(out, input, "first");
	pack_str(out, "tsc");
	pack_uint(out, fuzz_u8(input));
	pack_str(out, "kinds");
	pack_array(out, kinds);
	for (unsigned i = 0; i < kinds; i++) {
		pack_array(out, 6);
		for (int field = 0; field < 5; field++)
			pack_uint(out, fuzz_u8(input) % 4);
		if (fuzz_u8(input) & 1)
			pack_nil(out);
		else
			pack_uint(out, fuzz_u8(input));
	}
	pack_str(out, "kind");
	pack_array(out, n);
	for (unsigned i = 0; i < n; i++)
		pack_uint(out, fuzz_u8(input) % (kinds + fuzz_u8(input) / 250));
	for (size_t column = 0; column < sizeof(columns) / sizeof(columns[0]); column++) {
		unsigned count = fuzz_u8(input) % 16 ? n : fuzz_u8(input) % 4;

		pack_str(out, columns[column]);
		if (count == n && !strcmp(columns[column], "sample")) {
			/* A run must not end before the batch does. */
			pack_array(out, 2);
			pack_uint(out, fuzz_u8(input));
			pack_uint(out, n);
			continue;
		}
		pack_array(out, count);
		for (unsigned i = 0; i < count; i++)
			pack_int(out, (int64_t)fuzz_u8(input) - (column < 2 ? 0 : 4));
	}
}

static void put_payload(struct buffer *out, struct fuzz_input *input, uint32_t type)
{
	unsigned pairs = 1 + fuzz_u8(input) % 15;

	if (type == FRAME_RECORDS && fuzz_u8(input) % 8) {
		put_records(out, input);
		return;
	}
	if (type == FRAME_CELL && fuzz_u8(input) % 8) {
		pack_map(out, 2);
		pack_str(out, "cell");
		pack_uint(out, fuzz_u8(input) % 2);
		pack_str(out, "settings");
		pack_map(out, 1);
		put_pair(out, input, keys[fuzz_u8(input) % (sizeof(keys) / sizeof(keys[0]))]);
		return;
	}
	if (fuzz_u8(input) % 16 == 0) {
		while (input->left)
			pack_raw(out, &(uint8_t){fuzz_u8(input)}, 1);
		return;
	}
	pack_map(out, pairs);
	pack_str(out, "cell");
	pack_uint(out, fuzz_u8(input) % 2);
	for (unsigned i = 1; i < pairs; i++)
		put_pair(out, input, keys[fuzz_u8(input) % (sizeof(keys) / sizeof(keys[0]))]);
}

static size_t make_file(uint8_t *bytes, struct fuzz_input *input)
{
	size_t used = FRAME_FILE_HEADER_BYTES;

	frame_put_file_header(bytes);
	for (int i = 0; i < FRAMES_MAX && input->left; i++) {
		struct buffer payload = {.bytes = bytes + used + FRAME_HEADER_BYTES,
		        .capacity = (FILE_MAX - FRAME_FILE_HEADER_BYTES) / FRAMES_MAX - FRAME_HEADER_BYTES};
		uint32_t type = fuzz_u8(input) % 7;

		put_payload(&payload, input, type);
		frame_seal(bytes + used, type, (uint32_t)payload.used);
		used += FRAME_HEADER_BYTES + payload.used;
	}
	return used;
}

static int count_records(void *ctx, const struct ledger_record *records, size_t count)
{
	uint64_t *sum = ctx;

	for (size_t i = 0; i < count; i++)
		*sum += records[i].tsc ^ records[i].detail;
	files_with_records++;
	return 0;
}

static void use_cell(struct reader *reader, size_t index)
{
	struct roundtrip_stats trips;
	struct aggregate aggregate;
	uint64_t sum = 0;
	uint32_t digest;

	reader_result(reader, index, &result);
	FUZZ_REQUIRE(result.sample_count <= CELL_SAMPLES_MAX);
	FUZZ_REQUIRE(memchr(result.reason, 0, sizeof(result.reason)));
	for (int key = 0; key < CELL_KEY_COUNT; key++)
		FUZZ_REQUIRE(memchr(reader_cell(reader, index)->cell.value[key], 0, CELL_VALUE_BYTES));
	if (reader_records(reader, index, count_records, &sum))
		contradictions++;
	aggregate_cell(&aggregate, reader, index);
	aggregate_free(&aggregate);
	roundtrip_cell(&trips, reader, index);
	reader_cell_digest(reader, index, &digest);
}

int fuzz_one(const uint8_t *data, size_t size)
{
	static uint8_t bytes[FILE_MAX];
	struct fuzz_input input = {data, size};
	size_t count = make_file(bytes, &input);
	int fd = memfd_create("run", MFD_CLOEXEC);
	struct reader *reader;
	char path[40];

	FUZZ_REQUIRE(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FUZZ_REQUIRE(reader_open(&reader, path, NULL, 0) == 0);
	runs++;
	files_with_cells += reader_cell_count(reader) > 0;
	reader_run_info(reader, 0, &info);
	for (size_t i = 0; i < reader_cell_count(reader); i++)
		use_cell(reader, i);
	reader_close(reader);
	close(fd);
	return 0;
}

const char *fuzz_summary(void)
{
	static char text[200];

	snprintf(text, sizeof(text),
	        "%llu files, %llu with cells, %llu batches of records decoded, %llu cells with a contradiction",
	        (unsigned long long)runs, (unsigned long long)files_with_cells, (unsigned long long)files_with_records,
	        (unsigned long long)contradictions);
	return text;
}
