/* SPDX-License-Identifier: Apache-2.0 */
#include "results/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "results/pack.h"

/*
 * A batch is written column by column, because exits repeat: a kind (reason, level, handler, phase, flags, and while
 * there are few also the detail) is an index into a dictionary, times are differences to the last record of the same
 * kind, and the time stamp follows from the times (an exit comes guest_ticks after the enter that ended the l0_ticks of
 * the exit before) except where something lay between: a gap.
 */
struct kind {
	uint64_t detail;                /* of all records of this kind; last one when any_detail */
	uint32_t guest_ticks, l0_ticks; /* last ones */
	uint16_t reason;
	uint8_t level, handler, phase, flags;
	bool any_detail;
};

#define SLOTS (2 * ENCODE_KINDS_MAX)
#define INT_BYTES 9 /* the longest integer of msgpack */

struct encoder {
	int64_t cell;
	uint64_t first; /* records of the cell in earlier batches */
	uint32_t count;

	struct kind kinds[ENCODE_KINDS_MAX];
	uint16_t slots[SLOTS]; /* hash table: index into kinds plus one */
	uint32_t kind_count;

	uint64_t first_tsc, next_tsc; /* next_tsc: what follows from the record before */
	uint32_t gapless;             /* records since the last gap */
	uint16_t sample;
	uint32_t sample_run;

	/* The columns, already msgpack but for the head of the array, and their numbers of elements. */
	struct buffer kind, guest, l0, gap, run, detail;
	uint32_t gap_elements, run_elements, detail_elements;
	bool any_guest, any_l0;
	uint8_t *memory;
};

static struct buffer carve(uint8_t **memory, size_t elements)
{
	struct buffer column = {.bytes = *memory, .capacity = elements * INT_BYTES};

	*memory += column.capacity;
	return column;
}

struct encoder *encoder_new(void)
{
	struct encoder *encoder = calloc(1, sizeof(*encoder));
	size_t n = ENCODE_BATCH_RECORDS;
	uint8_t *memory;

	if (!encoder)
		return NULL;
	encoder->memory = memory = malloc(8 * n * INT_BYTES);
	if (!memory) {
		free(encoder);
		return NULL;
	}
	encoder->kind = carve(&memory, n);
	encoder->guest = carve(&memory, n);
	encoder->l0 = carve(&memory, n);
	encoder->gap = carve(&memory, 2 * n);
	encoder->run = carve(&memory, 2 * n);
	encoder->detail = carve(&memory, n);
	encoder->cell = -1;
	return encoder;
}

void encoder_free(struct encoder *encoder)
{
	if (!encoder)
		return;
	free(encoder->memory);
	free(encoder);
}

static void reset_batch(struct encoder *e)
{
	e->count = 0;
	e->kind_count = 0;
	memset(e->slots, 0, sizeof(e->slots));
	e->gapless = e->sample_run = 0;
	e->kind.used = e->guest.used = e->l0.used = e->gap.used = e->run.used = e->detail.used = 0;
	e->gap_elements = e->run_elements = e->detail_elements = 0;
	e->any_guest = e->any_l0 = false;
}

void encoder_begin(struct encoder *encoder, int64_t cell)
{
	encoder->cell = cell;
	encoder->first = 0;
	reset_batch(encoder);
}

size_t encoder_pending(const struct encoder *encoder)
{
	return encoder->count;
}

static uint32_t hash(const struct ledger_record *r, bool any_detail)
{
	uint64_t h = r->reason | (uint64_t)r->level << 16 | (uint64_t)r->handler << 24 | (uint64_t)r->phase << 32 |
	             (uint64_t)r->flags << 40 | (uint64_t)any_detail << 48;

	h *= 0x9e3779b97f4a7c15ull;
	if (!any_detail)
		h = (h ^ r->detail) * 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(h >> 40);
}

/* Index of the record's kind, made when it is new and `make` says so; -1: there is none. */
static int find_kind(struct encoder *e, const struct ledger_record *r, bool any_detail, bool make)
{
	uint32_t slot = hash(r, any_detail) % SLOTS;
	struct kind *kind;

	for (; e->slots[slot]; slot = (slot + 1) % SLOTS) {
		kind = &e->kinds[e->slots[slot] - 1];
		if (kind->reason == r->reason && kind->level == r->level && kind->handler == r->handler &&
		        kind->phase == r->phase && kind->flags == r->flags && kind->any_detail == any_detail &&
		        (any_detail || kind->detail == r->detail))
			return e->slots[slot] - 1;
	}
	if (!make || e->kind_count == ENCODE_KINDS_MAX)
		return -1;
	kind = &e->kinds[e->kind_count++];
	*kind = (struct kind){.detail = any_detail ? 0 : r->detail,
	        .reason = r->reason,
	        .level = r->level,
	        .handler = r->handler,
	        .phase = r->phase,
	        .flags = r->flags,
	        .any_detail = any_detail};
	e->slots[slot] = (uint16_t)e->kind_count;
	return (int)e->kind_count - 1;
}

static void end_sample_run(struct encoder *e)
{
	if (!e->sample_run)
		return;
	pack_uint(&e->run, e->sample);
	pack_uint(&e->run, e->sample_run);
	e->run_elements += 2;
	e->sample_run = 0;
}

static void add_time(struct encoder *e, const struct ledger_record *r)
{
	uint64_t expected = e->next_tsc + r->guest_ticks;

	if (!e->count) {
		e->first_tsc = expected = r->tsc;
	}
	if (r->tsc == expected) {
		e->gapless++;
	} else {
		pack_uint(&e->gap, e->gapless);
		pack_int(&e->gap, (int64_t)(r->tsc - expected));
		e->gap_elements += 2;
		e->gapless = 0;
	}
	e->next_tsc = r->tsc + r->l0_ticks;
}

static bool add(struct encoder *e, const struct ledger_record *r)
{
	int index = find_kind(e, r, false, e->kind_count < ENCODE_DETAILED_KINDS);
	struct kind *kind;

	if (index < 0)
		index = find_kind(e, r, true, true);
	if (index < 0)
		return false;
	kind = &e->kinds[index];
	pack_uint(&e->kind, (uint32_t)index);
	pack_int(&e->guest, (int64_t)r->guest_ticks - kind->guest_ticks);
	pack_int(&e->l0, (int64_t)r->l0_ticks - kind->l0_ticks);
	e->any_guest |= r->guest_ticks != 0;
	e->any_l0 |= r->l0_ticks != 0;
	kind->guest_ticks = r->guest_ticks;
	kind->l0_ticks = r->l0_ticks;
	if (kind->any_detail) {
		pack_int(&e->detail, (int64_t)(r->detail - kind->detail));
		e->detail_elements++;
		kind->detail = r->detail;
	}
	add_time(e, r);
	if (r->sample != e->sample)
		end_sample_run(e);
	e->sample = r->sample;
	e->sample_run++;
	e->count++;
	return true;
}

size_t encoder_add(struct encoder *encoder, const struct ledger_record *records, size_t count)
{
	size_t done = 0;

	while (done < count && encoder->count < ENCODE_BATCH_RECORDS && add(encoder, &records[done]))
		done++;
	return done;
}

static void pack_column(struct buffer *out, const char *name, const struct buffer *column, uint32_t elements)
{
	pack_str(out, name);
	pack_array(out, elements);
	pack_raw(out, column->bytes, column->used);
}

static void pack_kinds(struct buffer *out, const struct encoder *e)
{
	pack_str(out, "kinds");
	pack_array(out, e->kind_count);
	for (uint32_t i = 0; i < e->kind_count; i++) {
		const struct kind *kind = &e->kinds[i];

		pack_array(out, 6);
		pack_uint(out, kind->reason);
		pack_uint(out, kind->level);
		pack_uint(out, kind->handler);
		pack_uint(out, kind->phase);
		pack_uint(out, kind->flags);
		if (kind->any_detail)
			pack_nil(out);
		else
			pack_uint(out, kind->detail);
	}
}

int encoder_finish(struct encoder *e, struct buffer *payload)
{
	bool any_sample;

	any_sample = e->run_elements || e->sample;
	end_sample_run(e);

	/* Columns of zeros only are left out. */
	pack_map(payload, 6u + e->any_guest + e->any_l0 + !!e->gap_elements + any_sample + !!e->detail_elements);
	pack_str(payload, "cell");
	if (e->cell < 0)
		pack_nil(payload);
	else
		pack_uint(payload, (uint64_t)e->cell);
	pack_str(payload, "first");
	pack_uint(payload, e->first);
	pack_str(payload, "n");
	pack_uint(payload, e->count);
	pack_str(payload, "tsc");
	pack_uint(payload, e->first_tsc);
	pack_kinds(payload, e);
	pack_column(payload, "kind", &e->kind, e->count);
	if (e->any_guest)
		pack_column(payload, "guest", &e->guest, e->count);
	if (e->any_l0)
		pack_column(payload, "l0", &e->l0, e->count);
	if (e->gap_elements)
		pack_column(payload, "gap", &e->gap, e->gap_elements);
	if (any_sample)
		pack_column(payload, "sample", &e->run, e->run_elements);
	if (e->detail_elements)
		pack_column(payload, "detail", &e->detail, e->detail_elements);
	e->first += e->count;
	reset_batch(e);
	return payload->overflow ? -EOVERFLOW : 0;
}
