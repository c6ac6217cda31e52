/* SPDX-License-Identifier: Apache-2.0 */
/** A paper beside our numbers: as text, and as data for its gnuplot scripts. */
#ifndef TESTUDO_PAPERS_OUTPUT_H
#define TESTUDO_PAPERS_OUTPUT_H

#include <stdio.h>

#include "papers/shape.h"

/** A figure as a table: the paper's numbers with their marks, ours beside them, its statements, and what is missing. */
void paper_print_figure(FILE *out, const struct paper *paper, const struct paper_figure *figure,
        const struct paper_source *sources, size_t source_count);

/**
 * Write <folder>/<figure>.dat, tab-separated with a header row, and <folder>/<figure>-set.gp, what its script needs to
 * know. A line per row of the figure; per panel (the paper, then each source) and bar: absolute, ratio to the base, and
 * the parts as ratios. Numbers that are not there are NaN. 0 or -errno.
 */
int paper_write_figure(
        const char *folder, const struct paper_figure *figure, const struct paper_source *sources, size_t source_count);

#endif
