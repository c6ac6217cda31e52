/* SPDX-License-Identifier: Apache-2.0 */
/** The reader's insides: reader_scan.c finds the frames, reader_cells.c makes cells of them, reader.c answers. */
#ifndef TESTUDO_RESULTS_READER_INTERNAL_H
#define TESTUDO_RESULTS_READER_INTERNAL_H

#include "results/frame.h"
#include "results/reader.h"

/** A good frame. */
struct reader_frame {
	uint64_t offset; /**< of its header */
	uint32_t length; /**< of its payload */
	uint32_t type;   /**< enum frame_type, or one this reader does not know */
	uint64_t session;
	uint64_t cell;  /**< index into cells; NO_CELL */
	uint64_t first; /**< RECORDS: number of its first record in the cell */
	uint64_t n;     /**< RECORDS: records in it */
};
#define NO_CELL UINT64_MAX

/** A cell's bookkeeping beside what others see. */
struct reader_entry {
	struct reader_cell public;
	uint64_t end_frame;   /**< index into frames; NO_CELL */
	uint64_t times_frame; /**< the same */
	uint64_t next_record; /**< what the next RECORDS frame should begin with */
	bool dropped_known;
	size_t first_round; /**< index of the entry that stands for all rounds of this cell: its own, when there is one
	                     */
};

struct reader {
	int fd;
	struct reader_overview overview;
	struct reader_frame *frames;
	size_t frame_count, frame_capacity;
	struct reader_entry *entries;
	size_t entry_count, entry_capacity;
	uint8_t *payload; /**< of the frame being looked at */
	size_t payload_capacity;
};

/** Find all good frames, count the rest. 0 or -errno. */
int reader_scan(struct reader *reader);
/** Make cells of the frames. 0 or -errno. */
int reader_collect(struct reader *reader);
/** Find cells that are rounds of one measurement. 0 or -ENOMEM. */
int reader_find_rounds(struct reader *reader);
/** The outcome of an entry, other rounds left aside; as reader_result(). */
int reader_load_result(struct reader *reader, const struct reader_entry *entry, struct cell_result *result);
/** Bring a frame's payload into reader->payload. 0 or -errno; -EBADMSG: the file changed since it was opened. */
int reader_load(struct reader *reader, const struct reader_frame *frame);
/** pread that wants all bytes. 0; -ENODATA: the file ends before; -errno. */
int reader_read(const struct reader *reader, void *bytes, size_t count, uint64_t offset);

#endif
