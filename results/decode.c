/* SPDX-License-Identifier: Apache-2.0 */
/* RECORDS frames: from columns back to records. */
#include "results/decode.h"

#include <errno.h>
#include <msgpack/unpack.h>
#include <stdlib.h>

#include "results/unpack.h"

/* One entry of the batch's dictionary, and what its last record held. */
struct kind {
	uint64_t detail, guest_ticks, l0_ticks;
	uint16_t reason;
	uint8_t level, handler, phase, flags;
	bool any_detail;
};

/* A column of the batch; missing = all zeros. */
struct column {
	const msgpack_object *at;
	uint32_t left;
	bool missing;
};

struct batch {
	uint64_t count, tsc;
	struct kind *kinds;
	uint32_t kind_count;
	struct column kind, guest, l0, gap, sample, detail;
};

static bool get_column(const msgpack_object *map, const char *key, uint64_t elements, struct column *column)
{
	const msgpack_object *object = unpack_get(map, key);

	*column = (struct column){.missing = true};
	if (!object)
		return true;
	if (object->type != MSGPACK_OBJECT_ARRAY || (elements != UINT64_MAX && object->via.array.size != elements))
		return false;
	*column = (struct column){.at = object->via.array.ptr, .left = object->via.array.size};
	return true;
}

/* The next number, as two's complement: columns of differences go both ways. */
static bool next(struct column *column, uint64_t *value)
{
	const msgpack_object *object = column->at;

	if (!column->left)
		return false;
	column->at++;
	column->left--;
	if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		*value = object->via.u64;
	else if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		*value = (uint64_t)object->via.i64;
	else
		return false;
	return true;
}

static bool small(const msgpack_object *object, uint64_t limit, uint64_t *value)
{
	*value = object->via.u64;
	return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && *value <= limit;
}

static bool get_kind(const msgpack_object *object, struct kind *kind)
{
	const msgpack_object *field;
	uint64_t reason, level, handler, phase, flags;

	if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != 6)
		return false;
	field = object->via.array.ptr;
	if (!small(&field[0], UINT16_MAX, &reason) || !small(&field[1], UINT8_MAX, &level) ||
	        !small(&field[2], UINT8_MAX, &handler) || !small(&field[3], UINT8_MAX, &phase) ||
	        !small(&field[4], UINT8_MAX, &flags))
		return false;
	*kind = (struct kind){.reason = (uint16_t)reason,
	        .level = (uint8_t)level,
	        .handler = (uint8_t)handler,
	        .phase = (uint8_t)phase,
	        .flags = (uint8_t)flags};
	if (field[5].type == MSGPACK_OBJECT_NIL)
		kind->any_detail = true;
	else if (field[5].type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		kind->detail = field[5].via.u64;
	else
		return false;
	return true;
}

static int get_kinds(const msgpack_object *map, struct batch *b)
{
	const msgpack_object_array *kinds = unpack_array(map, "kinds");

	if (!kinds || !kinds->size)
		return -EBADMSG;
	b->kinds = calloc(kinds->size, sizeof(*b->kinds));
	if (!b->kinds)
		return -ENOMEM;
	b->kind_count = kinds->size;
	for (uint32_t i = 0; i < kinds->size; i++)
		if (!get_kind(&kinds->ptr[i], &b->kinds[i]))
			return -EBADMSG;
	return 0;
}

static int get_batch(const msgpack_object *map, struct batch *b)
{
	if (!unpack_uint(map, "n", &b->count) || !unpack_uint(map, "tsc", &b->tsc))
		return -EBADMSG;
	if (!get_column(map, "kind", b->count, &b->kind) || b->kind.missing ||
	        !get_column(map, "guest", b->count, &b->guest) || !get_column(map, "l0", b->count, &b->l0) ||
	        !get_column(map, "gap", UINT64_MAX, &b->gap) || !get_column(map, "sample", UINT64_MAX, &b->sample) ||
	        !get_column(map, "detail", UINT64_MAX, &b->detail))
		return -EBADMSG;
	return get_kinds(map, b);
}

/* Times of one kind go up and down by differences; the sum must be a 32-bit number again. */
static bool next_ticks(struct column *column, uint64_t *last, uint32_t *ticks)
{
	uint64_t difference;

	if (column->missing) {
		*ticks = 0;
		return true;
	}
	if (!next(column, &difference))
		return false;
	*last += difference;
	*ticks = (uint32_t)*last;
	return *last <= UINT32_MAX;
}

/* Pairs "so many records without a gap, then one with this gap". */
struct gaps {
	uint64_t left;
	bool more;
};

static bool next_gap(struct batch *b, struct gaps *gaps, uint64_t *gap)
{
	*gap = 0;
	if (!gaps->more && b->gap.left) {
		if (!next(&b->gap, &gaps->left))
			return false;
		gaps->more = true;
	}
	if (!gaps->more)
		return true;
	if (gaps->left) {
		gaps->left--;
		return true;
	}
	gaps->more = false;
	return next(&b->gap, gap);
}

/* Pairs "this sample number, for so many records". */
struct run {
	uint64_t sample, left;
};

static bool next_sample(struct batch *b, struct run *run, uint16_t *sample)
{
	*sample = 0;
	if (b->sample.missing)
		return true;
	if (!run->left && (!next(&b->sample, &run->sample) || !next(&b->sample, &run->left)))
		return false;
	if (!run->left || run->sample > UINT16_MAX)
		return false;
	run->left--;
	*sample = (uint16_t)run->sample;
	return true;
}

static int decode_all(struct batch *b, struct ledger_record *records)
{
	uint64_t tsc = b->tsc, index, gap, difference;
	struct gaps gaps = {0};
	struct run run = {0};

	for (uint64_t i = 0; i < b->count; i++) {
		struct ledger_record *record = &records[i];
		struct kind *kind;

		if (!next(&b->kind, &index) || index >= b->kind_count)
			return -EBADMSG;
		kind = &b->kinds[index];
		*record = (struct ledger_record){.reason = kind->reason,
		        .level = kind->level,
		        .handler = kind->handler,
		        .phase = kind->phase,
		        .flags = kind->flags};
		if (!next_ticks(&b->guest, &kind->guest_ticks, &record->guest_ticks) ||
		        !next_ticks(&b->l0, &kind->l0_ticks, &record->l0_ticks) || !next_gap(b, &gaps, &gap) ||
		        !next_sample(b, &run, &record->sample))
			return -EBADMSG;
		if (kind->any_detail) {
			if (!next(&b->detail, &difference))
				return -EBADMSG;
			kind->detail += difference;
		}
		record->detail = kind->detail;
		if (i)
			tsc += record->guest_ticks + gap;
		record->tsc = tsc;
		tsc += record->l0_ticks;
	}
	return 0;
}

static int decode_object(struct decode_batch *batch, const msgpack_object *map)
{
	struct batch b = {0};
	int err = get_batch(map, &b);

	/* The number of records is that of an array's elements: bounded by the payload. */
	if (!err && b.count > batch->capacity) {
		struct ledger_record *more = realloc(batch->records, b.count * sizeof(*more));

		if (more) {
			batch->records = more;
			batch->capacity = b.count;
		} else {
			err = -ENOMEM;
		}
	}
	if (!err)
		err = decode_all(&b, batch->records);
	batch->count = err ? 0 : b.count;
	free(b.kinds);
	return err;
}

int decode_records(struct decode_batch *batch, const uint8_t *payload, size_t bytes)
{
	msgpack_unpacked unpacked;
	size_t offset = 0;
	int err;

	batch->count = 0;
	msgpack_unpacked_init(&unpacked);
	err = msgpack_unpack_next(&unpacked, (const char *)payload, bytes, &offset) == MSGPACK_UNPACK_SUCCESS
	              ? decode_object(batch, &unpacked.data)
	              : -EBADMSG;
	msgpack_unpacked_destroy(&unpacked);
	return err;
}
