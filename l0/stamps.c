/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/stamps.h"

#include <stdlib.h>

/* The guest wrote it: read once. */
static uint64_t read_stamp(const uint64_t *stamp)
{
	return *(const volatile uint64_t *)stamp;
}

/* For the medians: a systematic sample, the same for the same trips. */
static void keep(struct stamps *s, const uint64_t trip[STAMP_PARTS])
{
	if (s->to_skip) {
		s->to_skip--;
		return;
	}
	if (!s->stride)
		s->stride = 1;
	if (s->kept_count == STAMPS_KEPT_MAX) {
		for (size_t part = 0; part < STAMP_PARTS; part++)
			for (size_t i = 0; i < STAMPS_KEPT_MAX / 2; i++)
				s->kept[part][i] = s->kept[part][2 * i];
		s->kept_count = STAMPS_KEPT_MAX / 2;
		s->stride *= 2;
	}
	for (size_t part = 0; part < STAMP_PARTS; part++)
		s->kept[part][s->kept_count] = trip[part];
	s->kept_count++;
	s->to_skip = s->stride - 1;
}

/* Add a trip whose stamps are in order; others were not measured operations (or the guest lied) and are left out. */
static void finish_trip(struct stamps *s, uint64_t l2_after, uint64_t l2_exit)
{
	uint64_t trip[STAMP_PARTS];

	if (s->l2_before > s->l2_exit || s->enter_l1 > s->l1_begin || s->l1_begin > s->l1_end ||
	        s->l1_end > s->l1_exit || s->enter_l2 > l2_after || l2_after > l2_exit)
		return;
	trip[STAMP_L2_TO_L0] = s->l2_exit - s->l2_before;
	trip[STAMP_REFLECT] = s->enter_l1 - s->l2_exit;
	trip[STAMP_L0_TO_L1] = s->l1_begin - s->enter_l1;
	trip[STAMP_L1_HANDLER] = s->l1_end - s->l1_begin;
	trip[STAMP_L1_TO_L0] = s->l1_exit - s->l1_end;
	trip[STAMP_MERGE] = s->enter_l2 - s->l1_exit;
	trip[STAMP_L0_TO_L2] = l2_after - s->enter_l2;
	s->count++;
	for (size_t part = 0; part < STAMP_PARTS; part++)
		s->sum[part] += trip[part];
	keep(s, trip);
}

static void l2_exit(struct stamps *s, const struct ledger_record *record, uint64_t entered)
{
	const uint64_t last_enter = s->enter_l2;

	if (s->state == STAMPS_IN_L2)
		finish_trip(s, read_stamp(&s->l2->stamps.l2_after), record->tsc);
	s->state = STAMPS_IDLE;
	if (record->handler != LEDGER_BY_L1 || record->phase != LEDGER_MEASURED)
		return;
	s->l2_before = read_stamp(&s->l2->stamps.l2_before);
	if (s->l2_before < last_enter) /* this operation made a second round trip: its stamp is the first one's */
		return;
	s->l2_exit = record->tsc;
	s->enter_l1 = entered;
	s->state = STAMPS_IN_L1;
}

void stamps_note(struct stamps *s, const struct ledger_record *record, uint64_t entered)
{
	if (record->level == 2) {
		l2_exit(s, record, entered);
	} else if (s->state == STAMPS_IN_L1 && (record->flags & LEDGER_FLAG_ENTERS_L2)) {
		s->l1_begin = read_stamp(&s->l1->stamps.l1_handler_begin);
		s->l1_end = read_stamp(&s->l1->stamps.l1_handler_end);
		s->l1_exit = record->tsc;
		s->enter_l2 = entered;
		s->state = STAMPS_IN_L2;
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void stamps_result(struct stamps *s, struct cell_result *result)
{
	result->stamp_count = s->count;
	result->stamp_median_of = s->kept_count;
	for (size_t part = 0; part < STAMP_PARTS; part++) {
		result->stamp_sum[part] = s->sum[part];
		if (!s->kept_count)
			continue;
		qsort(s->kept[part], s->kept_count, sizeof(s->kept[part][0]), compare);
		result->stamp_median[part] =
		        (s->kept[part][(s->kept_count - 1) / 2] + s->kept[part][s->kept_count / 2]) / 2;
	}
}
