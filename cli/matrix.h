/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Matrix files: INI, one Cartesian product of cells per section.
 *
 *   [section name]
 *   key = value, value, ...        a key of results/cell_keys.def; indented lines continue the list
 *   exclude = key=value key=value  cells that match all of these are left out; may be repeated
 *
 * Cells that differ only in settings without meaning for them (nested settings at level 1) are one cell.
 */
#ifndef TESTUDO_CLI_MATRIX_H
#define TESTUDO_CLI_MATRIX_H

#include <stddef.h>
#include <stdio.h>

#include "results/cell.h"

struct matrix {
	struct cell *cells;
	size_t count;
	char error[320]; /**< "FILE:LINE: sentence" or "--set KEY=VALUE: sentence" after a failure */
};

/** Settings given on the command line (--set key=value): they replace what the file says. */
struct matrix_override {
	const char *key;
	const char *value;
};

/** Read a matrix. 0, or -errno with matrix->error. The name is used in messages. */
int matrix_read(struct matrix *matrix, FILE *file, const char *name, const struct matrix_override *overrides,
        size_t override_count);
void matrix_free(struct matrix *matrix);

#endif
