/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What a run was made on and from: the host's description as key and value pairs, and the matrix as its author wrote
 * it. Filled in by the run scheduler, stored in the RUN frame of run.tdo, given back by the reader.
 */
#ifndef TESTUDO_RESULTS_RUN_INFO_H
#define TESTUDO_RESULTS_RUN_INFO_H

#include <stdint.h>

#define RUN_PAIRS_MAX 128
#define RUN_KEY_BYTES 32
#define RUN_VALUE_BYTES 256
#define RUN_MATRIX_BYTES 32768

struct run_pair {
	char key[RUN_KEY_BYTES];
	char value[RUN_VALUE_BYTES];
};

/** Fixed size, no pointers: it crosses to the recorder in shared memory. About 70 KiB. */
struct run_info {
	uint32_t pair_count;
	struct run_pair pairs[RUN_PAIRS_MAX];
	char matrix[RUN_MATRIX_BYTES]; /**< text of the matrix file; empty = none */
};

void run_info_clear(struct run_info *info);

/** Add or replace one pair, value printf-like. 0; -ENOSPC: full; -ENAMETOOLONG: key or value was cut to fit. */
int run_info_set(struct run_info *info, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

/** Keep the matrix file's text. 0; -ENAMETOOLONG: it was cut to fit. */
int run_info_set_matrix(struct run_info *info, const char *text);

/** Value of a key, or NULL. */
const char *run_info_get(const struct run_info *info, const char *key);

#endif
