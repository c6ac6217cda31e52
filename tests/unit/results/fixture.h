/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What the tests of results stand on: streams of ledger records, and run files made in memory, so that a test can tear
 * and damage them before it writes them to a path.
 */
#ifndef TESTUDO_TESTS_RESULTS_FIXTURE_H
#define TESTUDO_TESTS_RESULTS_FIXTURE_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "results/cell.h"
#include "results/encode.h"
#include "results/frame.h"
#include "results/ledger.h"
#include "results/reader.h"
#include "results/run_info.h"

/** Deterministic random bits (splitmix64). */
uint64_t fixture_random(uint64_t *state);

/** What a machine gives: nested cpuid round trips with VMREADs and VMWRITEs of L1, times with noise. */
void fixture_typical_records(struct ledger_record *records, size_t count, uint64_t seed);
/** The same on a virtual-time machine. */
void fixture_virtual_records(struct ledger_record *records, size_t count);
/** Every field random. */
void fixture_random_records(struct ledger_record *records, size_t count, uint64_t seed);

/** A run file in memory. */
struct fixture_image {
	uint8_t *bytes;
	size_t used, capacity;
	struct encoder *encoder;
	uint64_t cell_records;
};
void fixture_image_begin(struct fixture_image *image);
void fixture_image_free(struct fixture_image *image);
/** The host's state once more. */
void fixture_image_host(struct fixture_image *image, const struct run_info *host);
/** Append a frame of any payload. */
void fixture_image_frame(struct fixture_image *image, uint32_t type, const void *payload, size_t bytes);
void fixture_image_run(struct fixture_image *image);
/** The same with what `host` tells besides (may be NULL). */
void fixture_image_run_on(struct fixture_image *image, const struct run_info *host);
void fixture_image_cell(struct fixture_image *image, uint64_t number, const struct cell *cell);
/** Records of the cell begun last; each call ends a batch. */
void fixture_image_records(struct fixture_image *image, const struct ledger_record *records, size_t count);
void fixture_image_cell_end(
        struct fixture_image *image, uint64_t number, const struct cell_result *result, uint64_t dropped);
void fixture_image_end(struct fixture_image *image, bool finished, const char *reason, uint64_t dropped);

/** A result with 9 samples of `ops` operations that cost `ticks` each, over a control loop of 2 ticks. */
void fixture_result(struct cell_result *result, uint64_t ops, uint64_t ticks);

/** A path in a folder of its own, removed at exit. */
const char *fixture_path(void);
void fixture_write_file(const char *path, const void *bytes, size_t count);

/** Open the first `count` bytes of an image as a file; NULL when the reader refuses. */
struct reader *fixture_open(const uint8_t *bytes, size_t count);

/** All records of a cell; *count is how many. free() them. */
struct ledger_record *fixture_read_records(struct reader *reader, size_t index, size_t *count);

#endif
