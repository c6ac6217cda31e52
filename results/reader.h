/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The reader of run.tdo (FORMAT.md). Made for files that may be torn, damaged or still growing: whatever cannot be
 * trusted is left out and counted, and no bytes can make it crash or read outside its memory.
 */
#ifndef TESTUDO_RESULTS_READER_H
#define TESTUDO_RESULTS_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/cell.h"
#include "results/ledger.h"
#include "results/run_info.h"

struct reader;

/** The file as a whole. */
struct reader_overview {
	uint64_t file_bytes;
	uint64_t frames;         /**< whole frames with a good checksum and a payload that makes sense */
	uint64_t damaged_frames; /**< regions between good frames that are not frames: each counts once */
	uint64_t damaged_bytes;  /**< bytes in them */
	uint64_t torn_bytes;     /**< bytes behind the last good frame: a write that did not finish */
	uint64_t sessions;       /**< RUN frames: 1, and one more for each --resume */
	uint64_t cells;
	uint64_t next_cell;     /**< one more than the largest number of a cell */
	uint64_t records;       /**< in good frames */
	uint64_t stray_records; /**< of those, published while no cell was open */
	uint64_t missing;       /**< records the cells' numbering says existed, lost with damaged frames */
	uint64_t dropped;       /**< records that were never written because the ring was full */
	bool ended;             /**< the last session has an END frame */
	bool finished;          /**< … and it says that the VMM finished */
	char end_reason[256];   /**< what the END frame says otherwise; or that there is none */
	char io[128];           /**< how the last session was written: "io_uring", "pwrite (…)" */
};

/** One cell, without its bulk. */
struct reader_cell {
	uint64_t number;  /**< in the file, from 0 */
	uint64_t session; /**< from 0 */
	struct cell cell;
	enum cell_status status; /**< CELL_RUNNING: the file has no end of this cell */
	char reason[CELL_REASON_BYTES];
	bool virtual_time;
	bool superseded; /**< not CELL_OK, and a later session ran an equal cell */
	/** Cells of equal settings that are CELL_OK are rounds of one measurement (run --interleave). The first of them
	 * stands for all: its counts here are those of all rounds, and so are what reader_result() and reader_records()
	 * say of it. */
	uint64_t round;   /**< which, from 0 */
	uint64_t rounds;  /**< of the first: how many; else 1 */
	uint64_t records; /**< in good RECORDS frames */
	uint64_t missing; /**< written but lost with damaged frames */
	uint64_t dropped; /**< never written: the ring was full */
	uint64_t wall_ns; /**< 0 = unknown */
	uint64_t begun_unix_ns;
};

/** 0, or -errno: what open and read say; -EINVAL: not a run file, or of a version this reader does not know. `why`
 * (may be NULL) gets a sentence. */
int reader_open(struct reader **reader, const char *path, char *why, size_t why_bytes);
void reader_close(struct reader *reader);

const struct reader_overview *reader_overview(const struct reader *reader);

/** Session's description. 0; -ENOENT: no such session. */
int reader_run_info(struct reader *reader, uint64_t session, struct run_info *info);

/** What the session said of the host at its end. 0; -ENOENT: nothing (it did not end well, or is of an older Testudo).
 */
int reader_host_at_end(struct reader *reader, uint64_t session, struct run_info *info);

size_t reader_cell_count(const struct reader *reader);
/** In the order they ran; index < reader_cell_count. */
const struct reader_cell *reader_cell(const struct reader *reader, size_t index);

/** The whole result of a cell (about 170 KiB: allocate it). 0; -ENOENT: the file has no end of this cell, *result then
 * holds CELL_RUNNING and a reason. */
int reader_result(struct reader *reader, size_t index, struct cell_result *result);

/** The same of one round alone; round < the cell's rounds. */
int reader_round_result(struct reader *reader, size_t index, uint64_t round, struct cell_result *result);

/** Called with decoded records in order. Non-zero ends the iteration and is handed back. */
typedef int reader_records_fn(void *ctx, const struct ledger_record *records, size_t count);

/** All records of a cell, in order, in batches; `each` may not call the reader. 0, what `each` returned, or -errno
 * (-EBADMSG: the file changed since it was opened, or a batch contradicts itself). */
int reader_records(struct reader *reader, size_t index, reader_records_fn *each, void *ctx);

/**
 * A number for "same content": CRC-32 over settings, records and outcome of a cell, without its wall-clock times and
 * its place in the run. Bit-identical cells (virtual time) have the same. 0; -ENOENT: no end of this cell; -errno.
 */
int reader_cell_digest(struct reader *reader, size_t index, uint32_t *digest);

#endif
