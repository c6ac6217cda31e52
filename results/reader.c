/* SPDX-License-Identifier: Apache-2.0 */
#include "results/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/crc32.h"
#include "results/decode.h"
#include "results/encode.h"
#include "results/reader_internal.h"

static int say(char *why, size_t bytes, int error, const char *format, ...) __attribute__((format(printf, 4, 5)));

static int say(char *why, size_t bytes, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (why)
		vsnprintf(why, bytes, format, args);
	va_end(args);
	return error;
}

static int check_file(struct reader *reader, const char *path, char *why, size_t why_bytes)
{
	uint8_t header[FRAME_FILE_HEADER_BYTES];
	struct stat status;
	uint32_t version;
	int err;

	if (fstat(reader->fd, &status))
		return say(why, why_bytes, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return say(why, why_bytes, -EINVAL, "%s is not a file", path);
	reader->overview.file_bytes = (uint64_t)status.st_size;
	err = reader_read(reader, header, sizeof(header), 0);
	if (err == -ENODATA)
		return say(why, why_bytes, -EINVAL, "%s is too short to be a run file (%llu bytes)", path,
		        (unsigned long long)status.st_size);
	if (err)
		return say(why, why_bytes, err, "cannot read %s: %s", path, strerror(-err));
	err = frame_check_file_header(header, &version);
	if (err == -ENOTSUP)
		return say(why, why_bytes, -EINVAL, "%s has format version %u, this program reads version %u", path,
		        version, FRAME_FILE_VERSION);
	if (err)
		return say(why, why_bytes, err, "%s is not a run file: it does not begin with \"TESTUDO\"", path);
	return 0;
}

int reader_open(struct reader **reader, const char *path, char *why, size_t why_bytes)
{
	struct reader *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return say(why, why_bytes, -ENOMEM, "no memory to read %s", path);
	r->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0) {
		err = say(why, why_bytes, -errno, "cannot open %s: %s", path, strerror(errno));
		free(r);
		return err;
	}
	err = check_file(r, path, why, why_bytes);
	if (err)
		goto fail;
	err = reader_scan(r);
	if (!err)
		err = reader_collect(r);
	if (err) {
		say(why, why_bytes, err, "cannot read %s: %s", path, strerror(-err));
		goto fail;
	}
	*reader = r;
	return 0;
fail:
	reader_close(r);
	return err;
}

void reader_close(struct reader *reader)
{
	if (!reader)
		return;
	close(reader->fd);
	free(reader->frames);
	free(reader->entries);
	free(reader->payload);
	free(reader);
}

const struct reader_overview *reader_overview(const struct reader *reader)
{
	return &reader->overview;
}

size_t reader_cell_count(const struct reader *reader)
{
	return reader->entry_count;
}

const struct reader_cell *reader_cell(const struct reader *reader, size_t index)
{
	return &reader->entries[index].public;
}

int reader_run_info(struct reader *reader, uint64_t session, struct run_info *info)
{
	char io[128];

	run_info_clear(info);
	for (size_t i = 0; i < reader->frame_count; i++) {
		const struct reader_frame *frame = &reader->frames[i];
		int err;

		if (frame->type != FRAME_RUN || frame->session != session)
			continue;
		err = reader_load(reader, frame);
		return err ? err : decode_run(info, io, sizeof(io), reader->payload, frame->length);
	}
	return -ENOENT;
}

int reader_host_at_end(struct reader *reader, uint64_t session, struct run_info *info)
{
	run_info_clear(info);
	for (size_t i = reader->frame_count; i--;) {
		const struct reader_frame *frame = &reader->frames[i];
		int err;

		if (frame->type != FRAME_HOST || frame->session != session)
			continue;
		err = reader_load(reader, frame);
		return err ? err : decode_host(info, reader->payload, frame->length);
	}
	return -ENOENT;
}

int reader_load_result(struct reader *reader, const struct reader_entry *entry, struct cell_result *result)
{
	struct decode_cell_times times;
	struct decode_cell_end end;
	int err;

	memset(result, 0, sizeof(*result));
	if (entry->end_frame == NO_CELL) {
		result->status = CELL_RUNNING;
		memcpy(result->reason, entry->public.reason, sizeof(result->reason));
		result->dropped = entry->public.dropped;
		return -ENOENT;
	}
	err = reader_load(reader, &reader->frames[entry->end_frame]);
	if (!err)
		err = decode_cell_end(result, &end, reader->payload, reader->frames[entry->end_frame].length);
	if (err || entry->times_frame == NO_CELL)
		return err;
	err = reader_load(reader, &reader->frames[entry->times_frame]);
	if (!err)
		err = decode_cell_times(&times, reader->payload, reader->frames[entry->times_frame].length);
	if (err)
		return err;
	result->wall_ns = times.wall_ns;
	result->first_l2_exit_ns = times.first_l2_exit_ns;
	return 0;
}

int reader_records(struct reader *reader, size_t index, reader_records_fn *each, void *ctx)
{
	struct decode_batch batch = {0};
	int err = 0;

	for (size_t i = 0; i < reader->frame_count && !err; i++) {
		const struct reader_frame *frame = &reader->frames[i];

		if (frame->type != FRAME_RECORDS || frame->cell == NO_CELL ||
		        (frame->cell != index && reader->entries[frame->cell].first_round != index))
			continue;
		err = reader_load(reader, frame);
		if (!err)
			err = decode_records(&batch, reader->payload, frame->length);
		if (!err && batch.count)
			err = each(ctx, batch.records, batch.count);
	}
	free(batch.records);
	return err;
}

static int digest_records(void *ctx, const struct ledger_record *records, size_t count)
{
	uint32_t *digest = ctx;

	*digest = crc32_update(*digest, records, count * sizeof(*records));
	return 0;
}

/* More than the largest CELL_END: 1,000 samples and 4,096 log entries of the longest numbers take 200 KiB. */
#define DIGEST_BYTES (512u << 10)

int reader_cell_digest(struct reader *reader, size_t index, uint32_t *digest)
{
	const struct reader_cell *cell = reader_cell(reader, index);
	struct cell_result *result = malloc(sizeof(*result));
	struct buffer settings = {.bytes = malloc(DIGEST_BYTES), .capacity = DIGEST_BYTES};
	struct buffer outcome = settings;
	int err = result && settings.bytes ? 0 : -ENOMEM;

	/* Encoded anew with the number 0, so that the cell's place in the matrix does not matter. */
	*digest = 0;
	if (!err)
		err = encode_cell(&settings, 0, &cell->cell);
	if (!err) {
		*digest = crc32_update(0, settings.bytes, settings.used);
		err = reader_records(reader, index, digest_records, digest);
	}
	if (!err)
		err = reader_result(reader, index, result);
	if (!err)
		err = encode_cell_end(&outcome, 0, result, cell->records, cell->dropped);
	if (!err)
		*digest = crc32_update(*digest, outcome.bytes, outcome.used);
	free(settings.bytes);
	free(result);
	return err;
}
