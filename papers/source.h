/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Where our numbers come from: the cells of one machine in one run folder, measured, or modelled from exact counts.
 */
#ifndef TESTUDO_PAPERS_SOURCE_H
#define TESTUDO_PAPERS_SOURCE_H

#include "papers/paper.h"
#include "results/costs.h"
#include "results/reader.h"
#include "results/summary.h"

/** One of our numbers, or why there is none. */
struct paper_measure {
	bool known;
	double value, low, high; /**< median and its 95 % interval; exact where the three are equal */
	bool divided;
	double parts[PAPER_PARTS]; /**< where it goes; measured ones are the shares of a cell with stamps, times value
	                            */
	char why[200];             /**< !known: a sentence; known and not divided: why not (may be empty) */
};

/** An opened run. */
struct paper_run {
	struct reader *reader;
	struct summary summary;
	struct run_info *info;
};
/** 0, or -errno with a sentence. */
int paper_run_open(struct paper_run *run, const char *folder, char *why, size_t why_bytes);
void paper_run_close(struct paper_run *run);

struct paper_source {
	const char *name;          /**< "kvm", "lab kvm" */
	const char *machine;       /**< its cells' */
	const struct costs *costs; /**< modelled costs, applied to the run (costs_apply); NULL: measured ones */
	struct paper_run *run;
	const char *unit; /**< of costs: "cycles", "instructions", "modelled cycles" */
};
/** Does the run have any cell of the source's machine? Sets the unit. */
bool paper_source_present(struct paper_source *source);

/** Unit of our numbers in a figure: "exits", "%", or the source's. */
const char *paper_figure_unit(const struct paper_figure *figure, const struct paper_source *source);

/** The number for one place of a figure. */
void paper_source_measure(const struct paper_source *source, const struct paper_figure *figure,
        const struct paper_place *row, const struct paper_place *series, struct paper_measure *measure);

/** value / base (or base / value where more is better) with the widest interval the two allow. */
void paper_ratio(const struct paper_figure *figure, const struct paper_measure *value, const struct paper_measure *base,
        struct paper_measure *ratio);

#endif
