/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A paper's figures as read: papers/PAPER/NAME.csv.
 *
 *   # what it is, where it was read
 *   row,series,value,unit,mark,note
 *   single-level guest,total,2510,cycles,R-fig,text: 2600
 *
 * The mark says how a number was read (marks.def). Nothing but the note, the last field, may contain a comma. A number
 * that was only remembered has no place in the file: its row says mark M and no value, and a file with such a value is
 * refused, so that it cannot be printed or drawn as the paper's.
 */
#ifndef TESTUDO_PAPERS_TABLE_H
#define TESTUDO_PAPERS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum paper_mark {
#define PAPER_MARK(id, name, text) PAPER_##id,
#include "papers/marks.def"
#undef PAPER_MARK
	PAPER_MARK_COUNT
};
/** "R-fig"; and the sentence. */
const char *paper_mark_name(enum paper_mark mark);
const char *paper_mark_text(enum paper_mark mark);

#define PAPER_NAME_BYTES 40

struct paper_value {
	char row[PAPER_NAME_BYTES];
	char series[PAPER_NAME_BYTES];
	char unit[24];
	char note[160];
	enum paper_mark mark;
	bool known;   /**< false: the file gives no number; the note says why */
	double value; /**< 0 unless known */
};

#define PAPER_VALUES_MAX 128

struct paper_table {
	struct paper_value values[PAPER_VALUES_MAX];
	size_t count;
};

/** 0, or -EINVAL with a sentence that names the line. `name` is for the sentence. */
int paper_table_parse(struct paper_table *table, const char *text, const char *name, char *why, size_t why_bytes);
/** NULL: the table has no such place. */
const struct paper_value *paper_table_find(const struct paper_table *table, const char *row, const char *series);
/** The number of a place. false: there is none. */
bool paper_table_number(const struct paper_table *table, const char *row, const char *series, double *number);

#endif
