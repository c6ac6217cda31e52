/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder's own process: wait, drain, encode, write. */
#include "results/recorder_process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "results/encode.h"
#include "results/writer.h"

/*
 * How long to sleep when there is nothing to do. The producer never wakes us (that would be a system call in the vCPU
 * thread), so we look by ourselves: often when the ring fills quickly, rarely when it does not, for each look disturbs
 * what is measured on a small host.
 */
#define NAP_MIN_NS 50000
#define NAP_MAX_NS 5000000

struct process {
	const struct recorder_process *given;
	struct encoder *encoder;
	struct writer writer;
	int64_t cell; /* number of the open cell; -1 = none */
	uint64_t next_cell;
	uint64_t cell_records;        /* written for the open cell */
	uint64_t cell_dropped_before; /* ring's count when it began */
	uint64_t cell_begun_unix_ns;
	uint64_t records, lost;  /* over the session; lost: drained after a write had failed */
	uint64_t dropped_before; /* ring's count when the session began */
	long nap_ns;
};

static uint64_t unix_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t ring_dropped(const struct process *p)
{
	return atomic_load_explicit(&p->given->ring->dropped, memory_order_relaxed);
}

static void publish_error(struct process *p)
{
	if (p->writer.error)
		atomic_store_explicit(&p->given->mail->error, p->writer.error, memory_order_release);
}

/* Write the batch, full or not. */
static void write_batch(struct process *p)
{
	size_t count = encoder_pending(p->encoder);
	struct writer_slot *slot;
	struct buffer payload;

	if (!count)
		return;
	slot = writer_slot(&p->writer, &payload);
	if (!slot) {
		p->lost += count;
		encoder_begin(p->encoder, p->cell);
		writer_flush(&p->writer);
		publish_error(p);
		return;
	}
	/* Cannot overflow: FRAME_PAYLOAD_MAX holds the largest batch. */
	encoder_finish(p->encoder, &payload);
	writer_submit(&p->writer, slot, &payload, FRAME_RECORDS);
	p->records += count;
	p->cell_records += count;
	publish_error(p);
}

/* Take what is published, at most one ring full of it; returns how many records. */
static size_t drain(struct process *p)
{
	struct ledger_shared *ring = p->given->ring;
	const struct ledger_record *records;
	size_t ready, taken, total = 0;

	while (total < ring->capacity && (ready = ledger_peek(ring, &records))) {
		/* In pieces, so that a waiting producer gets room early. */
		if (ready > ENCODE_BATCH_RECORDS / 8)
			ready = ENCODE_BATCH_RECORDS / 8;
		taken = encoder_add(p->encoder, records, ready);
		ledger_take(ring, taken);
		total += taken;
		if (taken < ready || encoder_pending(p->encoder) == ENCODE_BATCH_RECORDS)
			write_batch(p);
	}
	return total;
}

/* Everything published until now is in frames. */
static void drain_all(struct process *p)
{
	struct ledger_shared *ring = p->given->ring;
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	while (atomic_load_explicit(&ring->tail, memory_order_relaxed) < head)
		drain(p);
	write_batch(p);
}

static int begin_run(struct process *p)
{
	const struct recorder_mail *mail = p->given->mail;
	struct writer_slot *slot;
	struct buffer payload;

	drain_all(p);
	snprintf(p->given->mail->io, sizeof(p->given->mail->io), "%s", p->writer.io);
	slot = writer_slot(&p->writer, &payload);
	if (slot) {
		encode_run(&payload, &mail->info, mail->io, unix_ns());
		writer_submit(&p->writer, slot, &payload, FRAME_RUN);
	}
	return writer_flush(&p->writer);
}

static int note_host(struct process *p)
{
	struct writer_slot *slot;
	struct buffer payload;

	drain_all(p);
	slot = writer_slot(&p->writer, &payload);
	if (slot) {
		encode_host(&payload, &p->given->mail->info, unix_ns());
		writer_submit(&p->writer, slot, &payload, FRAME_HOST);
	}
	return writer_flush(&p->writer);
}

static int begin_cell(struct process *p)
{
	struct writer_slot *slot;
	struct buffer payload;

	drain_all(p);
	p->cell = (int64_t)p->next_cell++;
	p->cell_records = 0;
	p->cell_dropped_before = ring_dropped(p);
	p->cell_begun_unix_ns = unix_ns();
	encoder_begin(p->encoder, p->cell);
	slot = writer_slot(&p->writer, &payload);
	if (slot) {
		encode_cell(&payload, (uint64_t)p->cell, &p->given->mail->cell);
		writer_submit(&p->writer, slot, &payload, FRAME_CELL);
	}
	return writer_flush(&p->writer);
}

static int end_cell(struct process *p)
{
	const struct cell_result *result = &p->given->mail->result;
	uint64_t number = (uint64_t)p->cell;
	struct writer_slot *slot;
	struct buffer payload;

	drain_all(p);
	if (p->cell < 0)
		return -EPROTO;
	slot = writer_slot(&p->writer, &payload);
	if (slot) {
		encode_cell_end(&payload, number, result, p->cell_records, ring_dropped(p) - p->cell_dropped_before);
		writer_submit(&p->writer, slot, &payload, FRAME_CELL_END);
	}
	slot = writer_slot(&p->writer, &payload);
	if (slot) {
		encode_cell_times(&payload, number, result, p->cell_begun_unix_ns);
		writer_submit(&p->writer, slot, &payload, FRAME_CELL_TIMES);
	}
	p->cell = -1;
	encoder_begin(p->encoder, -1);
	return writer_flush(&p->writer);
}

static int end_run(struct process *p, const char *reason)
{
	uint8_t frame[FRAME_HEADER_BYTES + 1024];
	struct buffer payload = {.bytes = frame + FRAME_HEADER_BYTES, .capacity = sizeof(frame) - FRAME_HEADER_BYTES};
	struct encode_end end;
	char text[RUN_VALUE_BYTES];

	drain_all(p);
	writer_flush(&p->writer);
	snprintf(text, sizeof(text), "%s", reason);
	if (p->writer.error)
		snprintf(text, sizeof(text), "a write failed: %s", strerror(-p->writer.error));
	end = (struct encode_end){.finished = !text[0],
	        .reason = text,
	        .records = p->records,
	        .dropped = ring_dropped(p) - p->dropped_before,
	        .lost = p->lost,
	        .unix_ns = unix_ns()};
	encode_end(&payload, &end);
	writer_last_frame(&p->writer, frame, (uint32_t)payload.used, FRAME_END);
	return writer_sync(&p->writer);
}

static int handle(struct process *p, uint32_t type)
{
	switch (type) {
	case RECORDER_BEGIN_RUN:
		return begin_run(p);
	case RECORDER_BEGIN_CELL:
		return begin_cell(p);
	case RECORDER_END_CELL:
		return end_cell(p);
	case RECORDER_HOST:
		return note_host(p);
	case RECORDER_FINISH:
		return end_run(p, p->given->mail->end_reason);
	}
	return -EPROTO;
}

/* Wait for a message or the end of the nap. */
static bool readable(struct process *p, size_t drained)
{
	uint64_t capacity = p->given->ring->capacity;
	struct pollfd wait = {.fd = p->given->socket, .events = POLLIN};
	struct timespec nap = {0};

	if (drained >= capacity / 8)
		p->nap_ns = NAP_MIN_NS;
	else if (drained < capacity / 64 && p->nap_ns < NAP_MAX_NS)
		p->nap_ns *= 2;
	if (drained < capacity / 2)
		nap.tv_nsec = p->nap_ns;
	return ppoll(&wait, 1, &nap, NULL) > 0;
}

static int serve(struct process *p)
{
	struct recorder_message message;
	size_t drained;
	ssize_t got;

	for (;;) {
		drained = drain(p);
		if (!readable(p, drained))
			continue;
		got = recv(p->given->socket, &message, sizeof(message), 0);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got != sizeof(message)) {
			/* End of file: every process that could publish is gone, the ring's head will not move. */
			return end_run(p, "the VMM ended without finishing");
		}
		message.error = handle(p, message.type);
		publish_error(p);
		send(p->given->socket, &message, sizeof(message), MSG_NOSIGNAL);
		if (message.type == RECORDER_FINISH)
			return message.error;
	}
}

int recorder_process_run(const struct recorder_process *given)
{
	struct process p = {.given = given, .cell = -1, .next_cell = given->first_cell, .nap_ns = NAP_MIN_NS};
	int err;

	p.encoder = encoder_new();
	if (!p.encoder)
		return 1;
	err = writer_init(&p.writer, given->fd, given->offset);
	if (err) {
		encoder_free(p.encoder);
		return 1;
	}
	encoder_begin(p.encoder, -1);
	p.dropped_before = ring_dropped(&p);
	err = serve(&p);
	writer_free(&p.writer);
	encoder_free(p.encoder);
	return err ? 1 : 0;
}
