/* SPDX-License-Identifier: Apache-2.0 */
/** Statements about a paper's figures, held against measurements. Intervals decide; what they leave open is said so. */
#ifndef TESTUDO_PAPERS_SHAPE_H
#define TESTUDO_PAPERS_SHAPE_H

#include "papers/paper.h"
#include "papers/source.h"

enum paper_outcome {
	PAPER_HOLDS,
	PAPER_FAILS,
	PAPER_OPEN,        /**< the intervals overlap, or contain the limit */
	PAPER_UNAVAILABLE, /**< a number it needs is not there */
};
/** "holds", "does not hold", "cannot tell", "not available". */
const char *paper_outcome_name(enum paper_outcome outcome);

struct paper_verdict {
	enum paper_outcome outcome;
	char text[400]; /**< the numbers behind it, or what is missing */
};

/** Gives the number of a place; paper_source_measure with a source, or a test's own. */
typedef void paper_measure_fn(void *ctx, const struct paper_figure *figure, const struct paper_place *row,
        const struct paper_place *series, struct paper_measure *measure);

void paper_shape_judge(
        const struct paper_shape *shape, paper_measure_fn *measure, void *ctx, struct paper_verdict *verdict);
/** Is the statement about numbers of this source? */
bool paper_shape_concerns(const struct paper_shape *shape, const char *source);

#endif
