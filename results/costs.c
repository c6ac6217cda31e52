/* SPDX-License-Identifier: Apache-2.0 */
#include "results/costs.h"

#include <errno.h>
#include <ini.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/aggregate.h"
#include "shadowvmcs/exit_reasons.h"

const struct cost_unit_info cost_unit_infos[COST_UNIT_COUNT] = {
#define COST_UNIT(id, name, text) {name, text},
#include "results/cost_units.def"
#undef COST_UNIT
};

struct parser {
	struct costs *costs;
	bool named[COST_UNIT_COUNT];
	char *why;
	size_t why_bytes;
	int error;
};

__attribute__((format(printf, 3, 4))) static int parser_fail(struct parser *parser, int error, const char *format, ...)
{
	va_list arguments;
	int used;

	if (parser->error)
		return 0;
	used = snprintf(parser->why, parser->why_bytes, "%.100s: ", parser->costs->name);
	va_start(arguments, format);
	if (used >= 0 && (size_t)used < parser->why_bytes)
		vsnprintf(parser->why + used, parser->why_bytes - (size_t)used, format, arguments);
	va_end(arguments);
	parser->error = error;
	return 0;
}

static int find_unit(const char *name)
{
	for (int unit = 0; unit < COST_UNIT_COUNT; unit++)
		if (!strcmp(cost_unit_infos[unit].name, name))
			return unit;
	return -1;
}

static int parser_handle(void *user, const char *section, const char *name, const char *value)
{
	struct parser *parser = user;
	int unit = find_unit(section);
	char *end;

	if (parser->error)
		return 0;
	if (unit < 0)
		return parser_fail(parser, -ENOENT, "there is no unit [%s]; see results/cost_units.def", section);
	if (!strcmp(name, "source")) {
		snprintf(parser->costs->source[unit], COST_SOURCE_BYTES, "%s", value);
		return 1;
	}
	if (strcmp(name, "cycles"))
		return parser_fail(
		        parser, -ENOENT, "[%s] has no key \"%s\"; keys are cycles and source", section, name);
	parser->costs->cycles[unit] = strtod(value, &end);
	if (end == value || *end || !isfinite(parser->costs->cycles[unit]) || parser->costs->cycles[unit] < 0)
		return parser_fail(parser, -EINVAL, "[%s] cycles = %s is not a number of cycles", section, value);
	parser->named[unit] = true;
	return 1;
}

/* What only the whole file shows; `status` is inih's. */
static int conclude(struct parser *parser, int status)
{
	bool any = false;

	if (status < 0)
		parser_fail(parser, -ENOENT, "the costs file cannot be read: %s", strerror(errno));
	else if (status > 0)
		parser_fail(parser, -EINVAL, "line %d is neither [unit], key = value nor a comment", status);
	for (int unit = 0; unit < COST_UNIT_COUNT; unit++) {
		any = any || parser->named[unit];
		if (parser->named[unit] && !parser->costs->source[unit][0])
			parser_fail(parser, -EINVAL, "[%s] has no source: say where the figure comes from",
			        cost_unit_infos[unit].name);
	}
	if (!any)
		parser_fail(parser, -ENODATA, "the costs file prices nothing: give it a section such as [switch]");
	return parser->error;
}

int costs_read(struct costs *costs, const char *path, char *why, size_t why_bytes)
{
	struct parser parser = {.costs = costs, .why = why, .why_bytes = why_bytes};

	memset(costs, 0, sizeof(*costs));
	snprintf(costs->name, sizeof(costs->name), "%s", path);
	return conclude(&parser, ini_parse(path, parser_handle, &parser));
}

int costs_parse(struct costs *costs, const char *text, const char *name, char *why, size_t why_bytes)
{
	struct parser parser = {.costs = costs, .why = why, .why_bytes = why_bytes};

	memset(costs, 0, sizeof(*costs));
	snprintf(costs->name, sizeof(costs->name), "%s", name);
	return conclude(&parser, ini_parse_string(text, parser_handle, &parser));
}

/* The unit of L0's own work on exits of this kind; every exit costs a switch besides. */
static enum cost_unit unit_of(const struct aggregate_row *exits)
{
	switch (exits->handler) {
	case LEDGER_BY_L1:
		return COST_REFLECT;
	case LEDGER_BY_EPT02:
		return COST_EPT02_FAULT;
	case LEDGER_BY_ENGINE:
		return exits->reason == EXIT_REASON_VMLAUNCH || exits->reason == EXIT_REASON_VMRESUME
		               ? COST_MERGE
		               : COST_VMX_INSTRUCTION;
	default:
		return COST_L0_EXIT;
	}
}

/* A transition between vmcs12 and vmcs02, of which merge=full copies all. */
static bool copies_fields(enum cost_unit unit)
{
	return unit == COST_REFLECT || unit == COST_MERGE;
}

int costs_parts_per_op(
        const struct costs *costs, const struct summary_row *row, struct reader *reader, struct cost_parts *parts)
{
	const bool full = !strcmp(row->cell->cell.value[CELL_MERGE], "full");
	struct aggregate aggregate = {0};
	int status;

	memset(parts, 0, sizeof(*parts));
	if (!row->cell->virtual_time || !row->have_cost || !row->have_exits || !row->stats.ops)
		return -ENODATA;
	status = aggregate_cell(&aggregate, reader, row->index);
	parts->instructions = row->stats.op.median * costs->cycles[COST_INSTRUCTION];
	for (size_t i = 0; i < aggregate.count && !status; i++) {
		const struct aggregate_row *exits = &aggregate.rows[i];
		const enum cost_unit unit = unit_of(exits);
		const double per_op = (double)exits->count / (double)row->stats.ops;

		if (exits->mark || exits->phase != LEDGER_MEASURED)
			continue;
		parts->switches += per_op * costs->cycles[COST_SWITCH];
		parts->l0 += per_op * costs->cycles[unit];
		if (full && copies_fields(unit))
			parts->l0 += per_op * costs->cycles[COST_FULL_COPY];
	}
	aggregate_free(&aggregate);
	return status;
}

double costs_per_op(const struct costs *costs, const struct summary_row *row, struct reader *reader)
{
	struct cost_parts parts;

	if (costs_parts_per_op(costs, row, reader, &parts))
		return -1;
	return parts.switches + parts.l0 + parts.instructions;
}

void costs_apply(const struct costs *costs, struct summary *summary, struct reader *reader)
{
	for (size_t i = 0; i < summary->count; i++)
		summary->rows[i].modelled = costs_per_op(costs, &summary->rows[i], reader);
}
