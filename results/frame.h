/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The outer layer of run.tdo: a file header, then frames. FORMAT.md is the description for others; this header is the
 * one place in the code where its numbers stand.
 *
 *   file header, 16 bytes          frame header, 16 bytes, then `length` bytes of msgpack
 *   0  "TESTUDO\n"                 0  "TDOF"
 *   8  version, u32                4  length of the payload, u32
 *   12 zero, u32                   8  type, u32
 *                                  12 CRC-32 of bytes 4..11 and the payload, u32
 * All numbers little endian.
 */
#ifndef TESTUDO_RESULTS_FRAME_H
#define TESTUDO_RESULTS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_FILE_MAGIC "TESTUDO\n"
#define FRAME_FILE_VERSION 1
#define FRAME_FILE_HEADER_BYTES 16
#define FRAME_MAGIC "TDOF"
#define FRAME_HEADER_BYTES 16
/** No payload is larger: a length beyond it is damage. The largest RECORDS payload possible is below 4 MiB. */
#define FRAME_PAYLOAD_MAX (4u << 20)

enum frame_type {
	FRAME_RUN = 1,      /**< a session begins: host, matrix, wall time */
	FRAME_CELL = 2,     /**< a cell begins: its settings */
	FRAME_RECORDS = 3,  /**< a batch of ledger records */
	FRAME_CELL_END = 4, /**< its outcome */
	FRAME_CELL_TIMES =
	        5,      /**< wall-clock times of the cell, kept apart: they are all that differs in virtual time */
	FRAME_END = 6,  /**< the session ended, and how */
	FRAME_HOST = 7, /**< the host's state at a later time of the session */
};

struct frame_header {
	uint32_t length, type, crc;
};

void frame_put_file_header(uint8_t bytes[FRAME_FILE_HEADER_BYTES]);
/** 0; -EINVAL: not a run file; -ENOTSUP: another version, put in *version. */
int frame_check_file_header(const uint8_t bytes[FRAME_FILE_HEADER_BYTES], uint32_t *version);

/** Write the header in front of a payload of `length` bytes that stands at frame + FRAME_HEADER_BYTES. */
void frame_seal(uint8_t *frame, uint32_t type, uint32_t length);
/** Take a frame header apart. False: no magic, or a length beyond FRAME_PAYLOAD_MAX. */
bool frame_parse(const uint8_t header[FRAME_HEADER_BYTES], struct frame_header *parsed);
/** Does the checksum agree? */
bool frame_verify(const struct frame_header *parsed, const uint8_t header[FRAME_HEADER_BYTES], const uint8_t *payload);

#endif
