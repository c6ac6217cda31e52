/* SPDX-License-Identifier: Apache-2.0 */
#include "results/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOT_BYTES (FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX)

static void open_uring(struct writer *writer)
{
	const char *forced = getenv(WRITER_NO_IO_URING);
	int err;

	if (forced && !strcmp(forced, "1")) {
		snprintf(writer->io, sizeof(writer->io), "pwrite (%s=1)", WRITER_NO_IO_URING);
		return;
	}
	err = io_uring_queue_init(WRITER_SLOTS, &writer->uring, 0);
	writer->uring_on = !err;
	if (err)
		snprintf(writer->io, sizeof(writer->io), "pwrite (io_uring refused: %s)", strerror(-err));
	else
		snprintf(writer->io, sizeof(writer->io), "io_uring");
}

int writer_init(struct writer *writer, int fd, uint64_t offset)
{
	/* One mapping, touched only as far as frames are long. */
	uint8_t *memory = mmap(NULL, (size_t)WRITER_SLOTS * SLOT_BYTES, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	memset(writer, 0, sizeof(*writer));
	writer->fd = fd;
	writer->offset = offset;
	for (int i = 0; i < WRITER_SLOTS; i++)
		writer->slots[i].memory = memory + (size_t)i * SLOT_BYTES;
	open_uring(writer);
	return 0;
}

void writer_free(struct writer *writer)
{
	if (writer->uring_on)
		io_uring_queue_exit(&writer->uring);
	writer->uring_on = false;
	munmap(writer->slots[0].memory, (size_t)WRITER_SLOTS * SLOT_BYTES);
}

/* The first frame that failed decides how much of the file is good: later ones may be on the disk, but behind a hole.
 */
static void fail(struct writer *writer, int error, uint64_t frame_offset)
{
	if (!writer->error) {
		writer->error = error;
		writer->good = frame_offset;
	} else if (frame_offset < writer->good) {
		writer->good = frame_offset;
	}
}

static int write_all(int fd, const uint8_t *bytes, size_t count, uint64_t offset)
{
	while (count) {
		ssize_t done = pwrite(fd, bytes, count, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EIO;
		bytes += done;
		count -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

/* What io_uring did not write is tried with pwrite: it finishes short writes, and its errno is the one to report. */
static void complete(struct writer *writer, struct writer_slot *slot, int32_t written)
{
	uint32_t done;
	int err;

	slot->in_flight = false;
	writer->in_flight--;
	done = written > 0 ? (uint32_t)written : 0;
	if (done == slot->length)
		return;
	err = write_all(writer->fd, slot->memory + done, slot->length - done, slot->offset + done);
	if (err)
		fail(writer, err, slot->offset);
}

/* io_uring cannot say any more what became of the frames in flight. */
static void lose_in_flight(struct writer *writer, int error)
{
	for (int i = 0; i < WRITER_SLOTS; i++) {
		if (!writer->slots[i].in_flight)
			continue;
		writer->slots[i].in_flight = false;
		fail(writer, error, writer->slots[i].offset);
	}
	writer->in_flight = 0;
}

/* Take completions; with `wait`, at least one. */
static void reap(struct writer *writer, bool wait)
{
	struct io_uring_cqe *cqe;

	while (writer->in_flight) {
		int err = wait ? io_uring_wait_cqe(&writer->uring, &cqe) : io_uring_peek_cqe(&writer->uring, &cqe);

		if (err == -EINTR)
			continue;
		if (err == -EAGAIN && !wait)
			return;
		if (err) {
			lose_in_flight(writer, err);
			return;
		}
		complete(writer, io_uring_cqe_get_data(cqe), cqe->res);
		io_uring_cqe_seen(&writer->uring, cqe);
		wait = false;
	}
}

static struct writer_slot *find_free(struct writer *writer)
{
	for (int i = 0; i < WRITER_SLOTS; i++)
		if (!writer->slots[i].in_flight)
			return &writer->slots[i];
	return NULL;
}

struct writer_slot *writer_slot(struct writer *writer, struct buffer *payload)
{
	struct writer_slot *slot;

	reap(writer, false);
	while (!(slot = find_free(writer)))
		reap(writer, true);
	if (writer->error)
		return NULL;
	*payload = (struct buffer){.bytes = slot->memory + FRAME_HEADER_BYTES, .capacity = FRAME_PAYLOAD_MAX};
	return slot;
}

/* False: io_uring does not take it; from then on it is not used any more. */
static bool submit_uring(struct writer *writer, struct writer_slot *slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&writer->uring);
	int taken = -EBUSY;

	if (sqe) {
		io_uring_prep_write(sqe, writer->fd, slot->memory, slot->length, slot->offset);
		io_uring_sqe_set_data(sqe, slot);
		taken = io_uring_submit(&writer->uring);
	}
	if (taken == 1) {
		slot->in_flight = true;
		writer->in_flight++;
		return true;
	}
	snprintf(writer->io, sizeof(writer->io), "pwrite (io_uring failed: %s)", strerror(taken < 0 ? -taken : EAGAIN));
	while (writer->in_flight)
		reap(writer, true);
	io_uring_queue_exit(&writer->uring);
	writer->uring_on = false;
	return false;
}

int writer_submit(struct writer *writer, struct writer_slot *slot, const struct buffer *payload, enum frame_type type)
{
	int err;

	if (writer->error)
		return writer->error;
	frame_seal(slot->memory, type, (uint32_t)payload->used);
	slot->length = (uint32_t)(FRAME_HEADER_BYTES + payload->used);
	slot->offset = writer->offset;
	writer->offset += slot->length;
	if (writer->uring_on && submit_uring(writer, slot))
		return writer->error;
	err = write_all(writer->fd, slot->memory, slot->length, slot->offset);
	if (err) {
		fail(writer, err, slot->offset);
		writer_flush(writer);
	}
	return writer->error;
}

/* Best effort: where the file cannot be cut (a device), the reader will do it. */
static void cut(const struct writer *writer)
{
	if (ftruncate(writer->fd, (off_t)writer->offset))
		return;
}

int writer_flush(struct writer *writer)
{
	while (writer->in_flight)
		reap(writer, true);
	if (writer->error && writer->offset != writer->good) {
		writer->offset = writer->good;
		cut(writer);
	}
	return writer->error;
}

int writer_sync(struct writer *writer)
{
	if (!writer->error && fdatasync(writer->fd) && errno != EINVAL && errno != EROFS)
		fail(writer, -errno, writer->offset);
	return writer->error;
}

int writer_last_frame(struct writer *writer, uint8_t *frame, uint32_t payload_bytes, enum frame_type type)
{
	int err;

	writer_flush(writer);
	frame_seal(frame, type, payload_bytes);
	err = write_all(writer->fd, frame, FRAME_HEADER_BYTES + payload_bytes, writer->offset);
	if (!err)
		writer->offset = writer->good = writer->offset + FRAME_HEADER_BYTES + payload_bytes;
	else
		cut(writer);
	return err;
}
