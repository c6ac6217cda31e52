/* SPDX-License-Identifier: Apache-2.0 */
/**
 * `testudo run --interleave N`: the matrix N times, from the second on in shuffled order, so that what changes on the
 * host with time meets all cells alike and shows as the spread between the rounds of one cell. The order follows from
 * the matrix, N and the seed alone, which the run records: that is how --resume finds what is left.
 */
#ifndef TESTUDO_CLI_INTERLEAVE_H
#define TESTUDO_CLI_INTERLEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/matrix.h"
#include "results/run_info.h"

#define INTERLEAVE_ROUNDS_MAX 100

struct interleave {
	unsigned rounds; /**< 0: the matrix once, in its own order */
	uint64_t seed;
	bool seeded; /**< the user gave it */
};

/** From the command line. 0; -EINVAL: `why` gets a sentence. Rounds without a seed get a random one. */
int interleave_set_rounds(struct interleave *interleave, const char *text, char *why, size_t why_bytes);
int interleave_set_seed(struct interleave *interleave, const char *text, char *why, size_t why_bytes);

/** Into run.tdo, and back from there. */
void interleave_describe(const struct interleave *interleave, struct run_info *info);
void interleave_restore(struct interleave *interleave, const struct run_info *info);

/** Make `rounds` rounds of a matrix' cells. 0; -E2BIG: a cell's samples of all rounds are more than a row of tables
 * takes, `why` says so; -ENOMEM. */
int interleave_cells(const struct interleave *interleave, struct matrix *matrix, char *why, size_t why_bytes);

#endif
