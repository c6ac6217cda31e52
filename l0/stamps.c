/* SPDX-License-Identifier: Apache-2.0 */
#include "l0/stamps.h"

/* The guest wrote it: read once. */
static uint64_t read_stamp(const uint64_t *stamp)
{
	return *(const volatile uint64_t *)stamp;
}

/* Add a trip whose stamps are in order; others were not measured operations (or the guest lied) and are left out. */
static void finish_trip(struct stamps *s, uint64_t l2_after, uint64_t l2_exit)
{
	if (s->l2_before > s->l2_exit || s->enter_l1 > s->l1_begin || s->l1_begin > s->l1_end ||
	        s->l1_end > s->l1_exit || s->enter_l2 > l2_after || l2_after > l2_exit)
		return;
	s->count++;
	s->l2_to_l0 += s->l2_exit - s->l2_before;
	s->reflect += s->enter_l1 - s->l2_exit;
	s->l0_to_l1 += s->l1_begin - s->enter_l1;
	s->l1_handler += s->l1_end - s->l1_begin;
	s->l1_to_l0 += s->l1_exit - s->l1_end;
	s->merge += s->enter_l2 - s->l1_exit;
	s->l0_to_l2 += l2_after - s->enter_l2;
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

void stamps_result(const struct stamps *s, struct cell_result *result)
{
	result->stamp_count = s->count;
	result->stamp_l2_to_l0 = s->l2_to_l0;
	result->stamp_reflect = s->reflect;
	result->stamp_l0_to_l1 = s->l0_to_l1;
	result->stamp_l1_handler = s->l1_handler;
	result->stamp_l1_to_l0 = s->l1_to_l0;
	result->stamp_merge = s->merge;
	result->stamp_l0_to_l2 = s->l0_to_l2;
}
