/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A paper as data: which of its figures we show, which cell of ours stands beside which place of theirs, and what must
 * hold (papers/PAPER/figures.ini; README.md there lists the keys).
 */
#ifndef TESTUDO_PAPERS_PAPER_H
#define TESTUDO_PAPERS_PAPER_H

#include <stdbool.h>
#include <stddef.h>

#include "papers/table.h"

#define PAPER_TEXT_BYTES 800
#define PAPER_SETTINGS_BYTES 128
#define PAPER_ROWS_MAX 12
#define PAPER_SERIES_MAX 4
#define PAPER_FIGURES_MAX 12
#define PAPER_SHAPES_MAX 24
#define PAPER_CELLS_MAX 6
#define PAPER_REFERENCES_MAX 4

enum paper_metric {
	PAPER_COST,           /**< cost of an operation */
	PAPER_MULTIPLICATION, /**< exits L0 handles per L2 exit */
	PAPER_L0_SHARE,       /**< % of an operation spent in L0 */
	PAPER_HOST_SHARE,     /**< % of an operation spent outside the workload: switches, L0, L1 */
};

/** What a bar is divided into. */
enum paper_part { PAPER_PART_SWITCH, PAPER_PART_L0, PAPER_PART_L1, PAPER_PART_GUEST, PAPER_PARTS };
/** As the data files call it: "mode switch", "L0", "L1", "guest". */
const char *paper_part_name(enum paper_part part);

/** A row or a series: its name in the paper's data, and the settings of our cell ("level=2 vmcs=trap"). */
struct paper_place {
	char name[PAPER_NAME_BYTES];
	char settings[PAPER_SETTINGS_BYTES];
};

/** Another paper's number, drawn as a line: the ratio of two series of a row. */
struct paper_reference {
	char label[80];
	double ratio;
};

struct paper_figure {
	char id[24];
	char title[120];
	char unit[24];        /**< of the paper's numbers */
	char metric_name[48]; /**< of the axis */
	enum paper_metric metric;
	bool more_is_better;     /**< the paper's number is a rate or a score */
	bool parts[PAPER_PARTS]; /**< the bars are divided; none = they are not */
	struct paper_place rows[PAPER_ROWS_MAX];
	size_t row_count;
	struct paper_place series[PAPER_SERIES_MAX];
	size_t series_count;
	char base[PAPER_NAME_BYTES]; /**< the row (one series) or series (several) that ratios refer to; empty = none */
	char unmeasured[PAPER_TEXT_BYTES]; /**< why we have nothing to put beside it; empty = we have */
	char note[PAPER_TEXT_BYTES];       /**< what is comparable and what is not */
	struct paper_reference references[PAPER_REFERENCES_MAX];
	size_t reference_count;
	struct paper_table table;
};

enum paper_shape_kind {
	PAPER_ASCENDING, /**< each cell costs less than the next */
	PAPER_LESS,      /**< in each row the first series costs less than the second */
	PAPER_AT_LEAST,  /**< the second cell costs at least `limit` times the first */
	PAPER_WITHIN,    /**< the two cells differ by at most the share `limit` */
	PAPER_EQUAL,     /**< the cell's number is `limit` */
};

/** A statement about a figure that a run bears out or does not. */
struct paper_shape {
	char id[32];
	const struct paper_figure *figure;
	char text[PAPER_TEXT_BYTES];
	char why[PAPER_TEXT_BYTES]; /**< why it may fail on a testbed like this; shown when it does */
	char only[48];              /**< sources it is about ("kvm, lab kvm"); empty = all */
	enum paper_shape_kind kind;
	struct {
		char row[PAPER_NAME_BYTES], series[PAPER_NAME_BYTES];
	} cells[PAPER_CELLS_MAX]; /**< row may be empty (PAPER_LESS) */
	size_t cell_count;
	double limit;
};

struct paper {
	char id[32];
	char title[160];
	struct paper_figure figures[PAPER_FIGURES_MAX];
	size_t figure_count;
	struct paper_shape shapes[PAPER_SHAPES_MAX];
	size_t shape_count;
};

/** Text of "papers/PATH", or NULL. */
typedef const char *paper_file_fn(const char *path);

/** Read a paper and its data; calloc-ed: free() it. NULL with a sentence. */
struct paper *paper_read(const char *id, paper_file_fn *file, char *why, size_t why_bytes);
/** NULL: none has that name. */
const struct paper_place *paper_place_find(const struct paper_place *places, size_t count, const char *name);
/** Are its bars divided into parts? */
bool paper_figure_divided(const struct paper_figure *figure);
/** From a place to the one its ratio refers to: in the base's series of several, else in the base's row. It stays where
 * there is no base. */
void paper_figure_base(
        const struct paper_figure *figure, const struct paper_place **row, const struct paper_place **series);
const struct paper_figure *paper_figure_find(const struct paper *paper, const char *id);

#endif
