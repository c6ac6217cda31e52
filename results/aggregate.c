/* SPDX-License-Identifier: Apache-2.0 */
#include "results/aggregate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A cell has a few dozen rows: a search from the row of the last record is all it takes. */
static bool same(const struct aggregate_row *row, const struct ledger_record *record)
{
	return row->reason == record->reason && row->phase == record->phase && row->level == record->level &&
	       row->handler == record->handler && row->mark == !!(record->flags & LEDGER_FLAG_MARK);
}

static struct aggregate_row *find(struct aggregate *aggregate, const struct ledger_record *record)
{
	for (size_t i = 0; i < aggregate->count; i++) {
		size_t at = aggregate->last + i;

		if (at >= aggregate->count)
			at -= aggregate->count;
		if (same(&aggregate->rows[at], record)) {
			aggregate->last = at;
			return &aggregate->rows[at];
		}
	}
	return NULL;
}

static struct aggregate_row *append(struct aggregate *aggregate, const struct ledger_record *record)
{
	struct aggregate_row *row;

	if (aggregate->count == aggregate->capacity) {
		size_t capacity = aggregate->capacity ? aggregate->capacity * 2 : 32;
		struct aggregate_row *more = realloc(aggregate->rows, capacity * sizeof(*more));

		if (!more)
			return NULL;
		aggregate->rows = more;
		aggregate->capacity = capacity;
	}
	aggregate->last = aggregate->count;
	row = &aggregate->rows[aggregate->count++];
	*row = (struct aggregate_row){.reason = record->reason,
	        .phase = record->phase,
	        .level = record->level,
	        .handler = record->handler,
	        .mark = record->flags & LEDGER_FLAG_MARK};
	return row;
}

int aggregate_add(struct aggregate *aggregate, const struct ledger_record *records, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct aggregate_row *row = find(aggregate, &records[i]);

		if (!row)
			row = append(aggregate, &records[i]);
		if (!row)
			return -ENOMEM;
		row->count++;
		row->guest_ticks += records[i].guest_ticks;
		row->l0_ticks += records[i].l0_ticks;
	}
	return 0;
}

static int each(void *ctx, const struct ledger_record *records, size_t count)
{
	return aggregate_add(ctx, records, count);
}

int aggregate_cell(struct aggregate *aggregate, struct reader *reader, size_t cell_index)
{
	int err;

	memset(aggregate, 0, sizeof(*aggregate));
	err = reader_records(reader, cell_index, each, aggregate);
	aggregate_sort(aggregate);
	return err;
}

static int compare(const void *a, const void *b)
{
	const struct aggregate_row *x = a, *y = b;
	const int differences[] = {x->phase - y->phase, x->level - y->level, x->reason - y->reason,
	        x->handler - y->handler, x->mark - y->mark};

	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
		if (differences[i])
			return differences[i];
	return 0;
}

void aggregate_sort(struct aggregate *aggregate)
{
	if (aggregate->count)
		qsort(aggregate->rows, aggregate->count, sizeof(*aggregate->rows), compare);
	aggregate->last = 0;
}

void aggregate_free(struct aggregate *aggregate)
{
	free(aggregate->rows);
	memset(aggregate, 0, sizeof(*aggregate));
}

uint64_t aggregate_exits(const struct aggregate *aggregate, int phase, int level, int handler)
{
	uint64_t exits = 0;

	for (size_t i = 0; i < aggregate->count; i++) {
		const struct aggregate_row *row = &aggregate->rows[i];

		if (row->phase == phase && row->level == level && !row->mark &&
		        (handler < 0 || row->handler == handler))
			exits += row->count;
	}
	return exits;
}
