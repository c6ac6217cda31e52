/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t fixture_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* One L2 exit, seven VMREADs, four VMWRITEs, VMRESUME: reasons and fields as in the SDM's appendices. */
static void nested_round_trip(struct ledger_record *record, size_t step, size_t trip)
{
	static const uint16_t fields[] = {
	        0x4402, 0x6400, 0x440c, 0x681e, 0x6820, 0x4408, 0x440e, 0x681e, 0x6820, 0x4016, 0x4824};

	*record = (struct ledger_record){.level = 1,
	        .handler = LEDGER_BY_ENGINE,
	        .phase = LEDGER_MEASURED,
	        .sample = (uint16_t)(trip / 1000),
	        .reason = 25};
	if (step == 0) {
		record->level = 2;
		record->handler = LEDGER_BY_L1;
		record->reason = 10;
	} else if (step <= 11) {
		record->detail = fields[step - 1];
		record->reason = step <= 7 ? 23 : 25;
	} else {
		record->reason = 24;
		record->flags = LEDGER_FLAG_ENTERS_L2;
	}
}

void fixture_typical_records(struct ledger_record *records, size_t count, uint64_t seed)
{
	uint64_t tsc = 1000000000, state = seed;

	for (size_t i = 0; i < count; i++) {
		struct ledger_record *record = &records[i];

		nested_round_trip(record, i % 13, i / 13);
		record->guest_ticks = 18000 + (uint32_t)(fixture_random(&state) % 1500);
		record->l0_ticks = 700 + (uint32_t)(fixture_random(&state) % 200);
		if (fixture_random(&state) % 1000 == 0)
			record->guest_ticks += 3000000; /* the host did something else */
		tsc += record->guest_ticks;
		record->tsc = tsc;
		tsc += record->l0_ticks;
		if (fixture_random(&state) % 5000 == 0)
			tsc += 100000; /* kicked without an exit: a gap */
	}
}

void fixture_virtual_records(struct ledger_record *records, size_t count)
{
	uint64_t tsc = 5000;

	for (size_t i = 0; i < count; i++) {
		struct ledger_record *record = &records[i];

		nested_round_trip(record, i % 13, i / 13);
		record->guest_ticks = 3 + (uint32_t)(i % 13);
		tsc += record->guest_ticks;
		record->tsc = tsc;
	}
}

void fixture_random_records(struct ledger_record *records, size_t count, uint64_t seed)
{
	uint64_t state = seed;

	for (size_t i = 0; i < count; i++) {
		uint64_t *words = (uint64_t *)(void *)&records[i];

		for (size_t word = 0; word < sizeof(*records) / sizeof(*words); word++)
			words[word] = fixture_random(&state);
	}
}

void fixture_image_begin(struct fixture_image *image)
{
	memset(image, 0, sizeof(*image));
	image->capacity = 64u << 20;
	image->bytes = malloc(image->capacity);
	ck_assert_ptr_nonnull(image->bytes);
	image->encoder = encoder_new();
	ck_assert_ptr_nonnull(image->encoder);
	frame_put_file_header(image->bytes);
	image->used = FRAME_FILE_HEADER_BYTES;
}

void fixture_image_free(struct fixture_image *image)
{
	free(image->bytes);
	encoder_free(image->encoder);
}

static struct buffer payload_of(struct fixture_image *image)
{
	return (struct buffer){.bytes = image->bytes + image->used + FRAME_HEADER_BYTES, .capacity = FRAME_PAYLOAD_MAX};
}

static void seal(struct fixture_image *image, uint32_t type, const struct buffer *payload)
{
	ck_assert(!payload->overflow);
	frame_seal(image->bytes + image->used, type, (uint32_t)payload->used);
	image->used += FRAME_HEADER_BYTES + payload->used;
	ck_assert_uint_lt(image->used + FRAME_PAYLOAD_MAX, image->capacity);
}

void fixture_image_frame(struct fixture_image *image, uint32_t type, const void *payload, size_t bytes)
{
	struct buffer buffer = payload_of(image);

	memcpy(buffer.bytes, payload, bytes);
	buffer.used = bytes;
	seal(image, type, &buffer);
}

void fixture_image_host(struct fixture_image *image, const struct run_info *host)
{
	struct buffer payload = payload_of(image);

	ck_assert_int_eq(encode_host(&payload, host, 2), 0);
	seal(image, FRAME_HOST, &payload);
}

void fixture_image_run(struct fixture_image *image)
{
	fixture_image_run_on(image, NULL);
}

void fixture_image_run_on(struct fixture_image *image, const struct run_info *host)
{
	struct buffer payload = payload_of(image);
	struct run_info *info = calloc(1, sizeof(*info));

	if (host)
		*info = *host;
	run_info_set(info, "cpu", "%s", "a test");
	run_info_set_matrix(info, "[matrix]\nworkload = cpuid\n");
	ck_assert_int_eq(encode_run(&payload, info, "memory", 1), 0);
	seal(image, FRAME_RUN, &payload);
	free(info);
}

void fixture_image_cell(struct fixture_image *image, uint64_t number, const struct cell *cell)
{
	struct buffer payload = payload_of(image);

	ck_assert_int_eq(encode_cell(&payload, number, cell), 0);
	seal(image, FRAME_CELL, &payload);
	encoder_begin(image->encoder, (int64_t)number);
	image->cell_records = 0;
}

void fixture_image_records(struct fixture_image *image, const struct ledger_record *records, size_t count)
{
	image->cell_records += count;
	while (count) {
		struct buffer payload = payload_of(image);
		size_t taken = encoder_add(image->encoder, records, count);

		ck_assert_int_eq(encoder_finish(image->encoder, &payload), 0);
		seal(image, FRAME_RECORDS, &payload);
		records += taken;
		count -= taken;
	}
}

void fixture_image_cell_end(
        struct fixture_image *image, uint64_t number, const struct cell_result *result, uint64_t dropped)
{
	struct buffer payload = payload_of(image);

	ck_assert_int_eq(encode_cell_end(&payload, number, result, image->cell_records, dropped), 0);
	seal(image, FRAME_CELL_END, &payload);
	payload = payload_of(image);
	ck_assert_int_eq(encode_cell_times(&payload, number, result, 77), 0);
	seal(image, FRAME_CELL_TIMES, &payload);
}

void fixture_image_end(struct fixture_image *image, bool finished, const char *reason, uint64_t dropped)
{
	struct buffer payload = payload_of(image);
	struct encode_end end = {.finished = finished, .reason = reason, .dropped = dropped};

	ck_assert_int_eq(encode_end(&payload, &end), 0);
	seal(image, FRAME_END, &payload);
}

void fixture_result(struct cell_result *result, uint64_t ops, uint64_t ticks)
{
	memset(result, 0, sizeof(*result));
	result->status = CELL_OK;
	result->sample_count = 9;
	for (int i = 0; i < 9; i++)
		result->samples[i] = (struct cell_sample){ops, ops * ticks + (uint64_t)i, ops, ops * 2};
}

static char folder[64];
static char file[80];

static void remove_folder(void)
{
	unlink(file);
	rmdir(folder);
}

const char *fixture_path(void)
{
	if (!folder[0]) {
		strcpy(folder, "/tmp/testudo-results-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(folder));
		snprintf(file, sizeof(file), "%s/run.tdo", folder);
		atexit(remove_folder);
	}
	return file;
}

void fixture_write_file(const char *path, const void *bytes, size_t count)
{
	FILE *stream;

	/* A new file each time: ext4 sends one that is cut and written again to the disk at once. */
	unlink(path);
	stream = fopen(path, "wb");
	ck_assert_ptr_nonnull(stream);
	ck_assert_uint_eq(fwrite(bytes, 1, count, stream), count);
	ck_assert_int_eq(fclose(stream), 0);
}

struct reader *fixture_open(const uint8_t *bytes, size_t count)
{
	struct reader *reader = NULL;

	fixture_write_file(fixture_path(), bytes, count);
	return reader_open(&reader, fixture_path(), NULL, 0) ? NULL : reader;
}

struct collected {
	struct ledger_record *records;
	size_t count;
};

static int collect(void *ctx, const struct ledger_record *records, size_t count)
{
	struct collected *all = ctx;

	all->records = realloc(all->records, (all->count + count) * sizeof(*records));
	ck_assert_ptr_nonnull(all->records);
	memcpy(all->records + all->count, records, count * sizeof(*records));
	all->count += count;
	return 0;
}

struct ledger_record *fixture_read_records(struct reader *reader, size_t index, size_t *count)
{
	struct collected all = {0};

	ck_assert_int_eq(reader_records(reader, index, collect, &all), 0);
	*count = all.count;
	return all.records;
}
