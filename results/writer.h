/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Writing frames: several buffers in flight through io_uring, or one after the other with pwrite where io_uring is
 * refused. After a failed write the file ends behind the last frame that is whole.
 */
#ifndef TESTUDO_RESULTS_WRITER_H
#define TESTUDO_RESULTS_WRITER_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/encode.h"
#include "results/frame.h"

#define WRITER_SLOTS 8
/** Set to 1 in the environment: do not try io_uring. */
#define WRITER_NO_IO_URING "TESTUDO_NO_IO_URING"

struct writer_slot {
	uint8_t *memory; /**< FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX */
	uint64_t offset; /**< in the file */
	uint32_t length;
	bool in_flight;
};

struct writer {
	int fd;
	uint64_t offset; /**< where the next frame goes */
	int error;       /**< first -errno; sticks */
	uint64_t good;   /**< after an error: the file's length */
	bool uring_on;
	struct io_uring uring;
	unsigned in_flight;
	struct writer_slot slots[WRITER_SLOTS];
	char io[128]; /**< "io_uring", or "pwrite (why not)" */
};

/** Write to `fd` from `offset` on. 0 or -ENOMEM; that io_uring is refused is no error, writer.io tells. */
int writer_init(struct writer *writer, int fd, uint64_t offset);
/** Free what writer_init took; the file stays open. Call writer_flush before. */
void writer_free(struct writer *writer);

/** An empty payload to fill; waits for a buffer when all are in flight. NULL after an error. */
struct writer_slot *writer_slot(struct writer *writer, struct buffer *payload);
/** Write it as a frame; it may still be in flight on return. 0 or the writer's -errno. */
int writer_submit(struct writer *writer, struct writer_slot *slot, const struct buffer *payload, enum frame_type type);
/** Wait until all frames are with the kernel (not: on the disk). 0 or the writer's -errno. */
int writer_flush(struct writer *writer);
/** Ask for the disk. 0 or the writer's -errno. Files that cannot be synced (pipes, devices) are no error. */
int writer_sync(struct writer *writer);

/** After an error: write one small frame behind the whole ones, without buffers or io_uring. 0 or -errno; the file is
 * as before then. */
int writer_last_frame(struct writer *writer, uint8_t *frame, uint32_t payload_bytes, enum frame_type type);

#endif
