/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Encoding of frames: ledger records into columns, and everything else that stands in run.tdo. Pure: from memory to
 * memory, no allocation after encoder_init, and what comes out depends on what came in alone, never on timing.
 */
#ifndef TESTUDO_RESULTS_ENCODE_H
#define TESTUDO_RESULTS_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/cell.h"
#include "results/ledger.h"
#include "results/run_info.h"

/** A batch ends after so many records … */
#define ENCODE_BATCH_RECORDS 65536u
/** … or when its dictionary of kinds is full. */
#define ENCODE_KINDS_MAX 4096u
/** Kinds that name their detail; once a batch has so many, further records carry it in a column of its own. One-byte
 * indexes end at 127: the rest is left for kinds without. */
#define ENCODE_DETAILED_KINDS 96u

/** Bytes of a growing message; overflow sticks. */
struct buffer {
	uint8_t *bytes;
	size_t used, capacity;
	bool overflow;
};

struct encoder;

/** NULL: no memory. */
struct encoder *encoder_new(void);
void encoder_free(struct encoder *encoder);

/** Records from here on belong to this cell; negative: to none. The batch before must be finished. */
void encoder_begin(struct encoder *encoder, int64_t cell);
/** Take records into the batch; returns how many: fewer than `count` when the batch is full. */
size_t encoder_add(struct encoder *encoder, const struct ledger_record *records, size_t count);
/** Records in the batch. */
size_t encoder_pending(const struct encoder *encoder);
/** Append the payload of a RECORDS frame and empty the batch. 0; -EOVERFLOW. */
int encoder_finish(struct encoder *encoder, struct buffer *payload);

/** What stands in an END frame. */
struct encode_end {
	bool finished;
	const char *reason; /**< why not; "" when finished */
	uint64_t records, dropped, lost;
	uint64_t unix_ns;
};

/* Payloads of the other frames, appended to a buffer. 0; -EOVERFLOW. */
int encode_run(struct buffer *payload, const struct run_info *info, const char *io, uint64_t unix_ns);
int encode_cell(struct buffer *payload, uint64_t number, const struct cell *cell);
int encode_cell_end(
        struct buffer *payload, uint64_t number, const struct cell_result *result, uint64_t written, uint64_t dropped);
int encode_cell_times(
        struct buffer *payload, uint64_t number, const struct cell_result *result, uint64_t begun_unix_ns);
/** The pairs of info as a HOST frame. */
int encode_host(struct buffer *payload, const struct run_info *info, uint64_t unix_ns);
int encode_end(struct buffer *payload, const struct encode_end *end);

#endif
