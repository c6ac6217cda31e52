/* SPDX-License-Identifier: Apache-2.0 */
/* From bytes to frames. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results/reader_internal.h"
#include "results/unpack.h"

/* The search behind damage verifies every place that looks like a frame. A file made to look like frames everywhere
 * would make that quadratic, so the bytes it may checksum are limited to so many times the file. */
#define SEARCH_EFFORT 16
#define SEARCH_CHUNK 65536

int reader_read(const struct reader *reader, void *bytes, size_t count, uint64_t offset)
{
	uint8_t *at = bytes;

	while (count) {
		ssize_t got = pread(reader->fd, at, count, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -ENODATA;
		at += got;
		count -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

/* Read a payload, of at most FRAME_PAYLOAD_MAX. As reader_read. */
static int read_payload(struct reader *reader, uint32_t length, uint64_t offset)
{
	if (length > reader->payload_capacity || !reader->payload) {
		/* Frames of a kind are of similar size: room for twice as much spares most of the growing. */
		size_t capacity = length > FRAME_PAYLOAD_MAX / 2 ? FRAME_PAYLOAD_MAX : 2 * (size_t)length + 64;
		uint8_t *more = realloc(reader->payload, capacity);

		if (!more)
			return -ENOMEM;
		reader->payload = more;
		reader->payload_capacity = capacity;
	}
	return reader_read(reader, reader->payload, length, offset);
}

/* Is there a good frame at `offset`? 1: yes, *frame; 0: no; -errno. Its payload is in reader->payload. */
static int try_frame(struct reader *reader, uint64_t offset, struct reader_frame *frame, uint64_t *effort)
{
	uint64_t left = reader->overview.file_bytes - offset;
	uint8_t bytes[FRAME_HEADER_BYTES];
	struct frame_header header;
	int err;

	if (left < FRAME_HEADER_BYTES)
		return 0;
	err = reader_read(reader, bytes, sizeof(bytes), offset);
	if (err)
		return err == -ENODATA ? 0 : err;
	if (!frame_parse(bytes, &header) || header.length > left - FRAME_HEADER_BYTES)
		return 0;
	if (effort) {
		if (header.length > *effort)
			return 0;
		*effort -= header.length;
	}
	err = read_payload(reader, header.length, offset + FRAME_HEADER_BYTES);
	if (err)
		return err == -ENODATA ? 0 : err;
	if (!frame_verify(&header, bytes, reader->payload) || !unpack_check(reader->payload, header.length))
		return 0;
	*frame = (struct reader_frame){.offset = offset, .length = header.length, .type = header.type, .cell = NO_CELL};
	return 1;
}

/* The first good frame behind `from`. As try_frame. */
static int search(struct reader *reader, uint64_t from, struct reader_frame *frame, uint64_t *effort)
{
	uint8_t chunk[SEARCH_CHUNK];
	uint64_t size = reader->overview.file_bytes;

	while (size - from >= FRAME_HEADER_BYTES) {
		size_t bytes = size - from < sizeof(chunk) ? size - from : sizeof(chunk);
		uint8_t *at = chunk, *end = chunk + bytes;
		int found = reader_read(reader, chunk, bytes, from);

		if (found)
			return found == -ENODATA ? 0 : found;
		while ((at = memmem(at, (size_t)(end - at), FRAME_MAGIC, 4))) {
			found = try_frame(reader, from + (uint64_t)(at - chunk), frame, effort);
			if (found)
				return found;
			at++;
		}
		/* A magic may lie across the border. */
		from += bytes - 3;
	}
	return 0;
}

static int keep(struct reader *reader, const struct reader_frame *frame)
{
	if (reader->frame_count == reader->frame_capacity) {
		size_t capacity = reader->frame_capacity ? reader->frame_capacity * 2 : 64;
		struct reader_frame *more = realloc(reader->frames, capacity * sizeof(*more));

		if (!more)
			return -ENOMEM;
		reader->frames = more;
		reader->frame_capacity = capacity;
	}
	reader->frames[reader->frame_count++] = *frame;
	return 0;
}

/* What the index needs of a frame whose payload is loaded. */
static void look_inside(struct reader *reader, struct reader_frame *frame)
{
	if (frame->type == FRAME_RUN)
		reader->overview.sessions++;
	frame->session = reader->overview.sessions ? reader->overview.sessions - 1 : 0;
	if (frame->type != FRAME_RECORDS)
		return;
	unpack_peek_uint(reader->payload, frame->length, "first", &frame->first);
	unpack_peek_uint(reader->payload, frame->length, "n", &frame->n);
	/* The cell's number for now; reader_collect makes an index of it. */
	unpack_peek_uint(reader->payload, frame->length, "cell", &frame->cell);
}

int reader_scan(struct reader *reader)
{
	uint64_t at = FRAME_FILE_HEADER_BYTES, size = reader->overview.file_bytes;
	uint64_t effort = size * SEARCH_EFFORT + FRAME_PAYLOAD_MAX;
	struct reader_frame frame = {0};
	int found, err;

	while (at < size) {
		found = try_frame(reader, at, &frame, NULL);
		if (!found) {
			found = search(reader, at + 1, &frame, &effort);
			if (found > 0) {
				reader->overview.damaged_frames++;
				reader->overview.damaged_bytes += frame.offset - at;
			}
		}
		if (found < 0)
			return found;
		if (!found)
			break;
		look_inside(reader, &frame);
		err = keep(reader, &frame);
		if (err)
			return err;
		reader->overview.frames++;
		at = frame.offset + FRAME_HEADER_BYTES + frame.length;
	}
	reader->overview.torn_bytes = size - at;
	return 0;
}

int reader_load(struct reader *reader, const struct reader_frame *frame)
{
	uint8_t bytes[FRAME_HEADER_BYTES];
	struct frame_header header;
	int err = reader_read(reader, bytes, sizeof(bytes), frame->offset);

	if (!err)
		err = read_payload(reader, frame->length, frame->offset + FRAME_HEADER_BYTES);
	if (err)
		return err == -ENODATA ? -EBADMSG : err;
	if (!frame_parse(bytes, &header) || header.length != frame->length ||
	        !frame_verify(&header, bytes, reader->payload))
		return -EBADMSG;
	return 0;
}
