/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Modelled cycles: exact counts of a virtual-time machine times unit costs from a file. Never mixed with measured
 * cycles: whatever comes from here is called "modelled" wherever it is shown.
 *
 * A costs file is INI, a section per unit of cost_units.def, each with its source:
 *
 *   [switch]
 *   cycles = 1000
 *   source = Turtles (OSDI 2010), section 4.3
 */
#ifndef TESTUDO_RESULTS_COSTS_H
#define TESTUDO_RESULTS_COSTS_H

#include <stddef.h>

#include "results/summary.h"

enum cost_unit {
#define COST_UNIT(id, name, text) COST_##id,
#include "results/cost_units.def"
#undef COST_UNIT
	COST_UNIT_COUNT
};

struct cost_unit_info {
	const char *name;
	const char *text;
};
extern const struct cost_unit_info cost_unit_infos[COST_UNIT_COUNT];

#define COST_SOURCE_BYTES 192

struct costs {
	double cycles[COST_UNIT_COUNT]; /**< 0 for units the file does not name */
	char source[COST_UNIT_COUNT][COST_SOURCE_BYTES];
	char name[128]; /**< the file's name */
};

/** Read a costs file. 0, or -errno with a sentence that names the file and what is wrong in it. */
int costs_read(struct costs *costs, const char *path, char *why, size_t why_bytes);

/** The same from text; `name` is what messages and tables call it. */
int costs_parse(struct costs *costs, const char *text, const char *name, char *why, size_t why_bytes);

/** Modelled cycles of one operation, by where they go. */
struct cost_parts {
	double switches; /**< between a guest and L0 */
	double l0;
	double instructions; /**< retired by guests of any level */
};
/** 0; -ENODATA: the row has no exact counts (measured time, missing records); -errno. */
int costs_parts_per_op(
        const struct costs *costs, const struct summary_row *row, struct reader *reader, struct cost_parts *parts);

/** Their sum: modelled cycles of one operation; < 0 when the row has no exact counts (measured time, missing records).
 */
double costs_per_op(const struct costs *costs, const struct summary_row *row, struct reader *reader);

/** Set `modelled` of each row that has one. */
void costs_apply(const struct costs *costs, struct summary *summary, struct reader *reader);

#endif
