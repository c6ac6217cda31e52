/* SPDX-License-Identifier: Apache-2.0 */
/** Decoding of payloads that unpack_check accepted: the other direction of encode.h. Nothing in them is trusted. */
#ifndef TESTUDO_RESULTS_DECODE_H
#define TESTUDO_RESULTS_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/cell.h"
#include "results/ledger.h"
#include "results/run_info.h"

/** Decoded records; grows as needed. Starts zeroed; free(batch.records). */
struct decode_batch {
	struct ledger_record *records;
	size_t count, capacity;
};

/** Each: 0; -EBADMSG: the payload does not say what it must; -ENOMEM. */
int decode_records(struct decode_batch *batch, const uint8_t *payload, size_t bytes);
int decode_run(struct run_info *info, char *io, size_t io_bytes, const uint8_t *payload, size_t bytes);
/** Of a HOST frame; the matrix is empty. */
int decode_host(struct run_info *info, const uint8_t *payload, size_t bytes);
/** Settings the payload lacks stay at their defaults; values are taken as they are, cut to fit. */
int decode_cell(struct cell *cell, uint64_t *number, const uint8_t *payload, size_t bytes);

struct decode_cell_end {
	uint64_t number, written, dropped;
};
int decode_cell_end(struct cell_result *result, struct decode_cell_end *end, const uint8_t *payload, size_t bytes);

struct decode_cell_times {
	uint64_t number, begun_unix_ns, wall_ns, first_l2_exit_ns;
};
int decode_cell_times(struct decode_cell_times *times, const uint8_t *payload, size_t bytes);

struct decode_end {
	bool finished;
	char reason[RUN_VALUE_BYTES];
	uint64_t records, dropped, lost;
};
int decode_end(struct decode_end *end, const uint8_t *payload, size_t bytes);

#endif
