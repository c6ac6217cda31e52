/* SPDX-License-Identifier: Apache-2.0 */
#include "results/unpack.h"

#include <string.h>

/* What the first byte of a msgpack object announces. */
struct head {
	size_t head_bytes; /* the first byte and the length that follows it */
	size_t body_bytes; /* of a number, str, bin or ext */
	uint64_t elements; /* of an array; twice the pairs of a map */
	bool map, text, number_unsigned;
};

static uint64_t get_be(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | *at++;
	return value;
}

/* A head of 1 + `length_bytes` whose number counts `what`. */
static bool get_length(const uint8_t *at, size_t left, size_t length_bytes, uint64_t *length, struct head *head)
{
	if (left < 1 + length_bytes)
		return false;
	*length = get_be(at + 1, length_bytes);
	head->head_bytes = 1 + length_bytes;
	return true;
}

/* Numbers and everything with a length: first bytes 0xc0 to 0xdf. */
static bool parse_long_head(const uint8_t *at, size_t left, struct head *head)
{
	uint64_t length;
	uint8_t first = at[0];

	switch (first) {
	case 0xc1: /* never used */
		return false;
	case 0xc4 ... 0xc6: /* bin 8, 16, 32 */
	case 0xd9 ... 0xdb: /* str 8, 16, 32 */
		if (!get_length(at, left, (size_t)1 << (first - (first < 0xd0 ? 0xc4 : 0xd9)), &length, head))
			return false;
		head->body_bytes = length;
		head->text = true;
		return true;
	case 0xc7 ... 0xc9: /* ext 8, 16, 32: a type byte follows */
		if (!get_length(at, left, (size_t)1 << (first - 0xc7), &length, head))
			return false;
		head->body_bytes = length + 1;
		return true;
	case 0xca ... 0xcb: /* float 32, 64 */
		head->body_bytes = (size_t)4 << (first - 0xca);
		return true;
	case 0xcc ... 0xcf: /* uint 8 to 64 */
		head->body_bytes = (size_t)1 << (first - 0xcc);
		head->number_unsigned = true;
		return true;
	case 0xd0 ... 0xd3: /* int 8 to 64 */
		head->body_bytes = (size_t)1 << (first - 0xd0);
		return true;
	case 0xd4 ... 0xd8: /* fixext 1 to 16 */
		head->body_bytes = ((size_t)1 << (first - 0xd4)) + 1;
		return true;
	case 0xdc ... 0xdd: /* array 16, 32 */
	case 0xde ... 0xdf: /* map 16, 32 */
		head->map = first >= 0xde;
		if (!get_length(at, left, (size_t)2 << ((first - 0xdc) & 1), &length, head))
			return false;
		head->elements = length << head->map;
		return true;
	}
	return true; /* 0xc0 nil, 0xc2 false, 0xc3 true */
}

static bool parse_head(const uint8_t *at, size_t left, struct head *head)
{
	uint8_t first;

	if (!left)
		return false;
	first = at[0];
	*head = (struct head){.head_bytes = 1};
	if (first < 0x80) {
		head->number_unsigned = true; /* positive fixint: the value is the head itself */
	} else if (first < 0x90) {
		head->map = true;
		head->elements = (first & 0x0fu) * 2;
	} else if (first < 0xa0) {
		head->elements = first & 0x0f;
	} else if (first < 0xc0) {
		head->text = true;
		head->body_bytes = first & 0x1f;
	} else if (first < 0xe0) {
		if (!parse_long_head(at, left, head))
			return false;
	}
	/* Each element takes a byte at least, so what does not fit now never will. */
	return head->body_bytes <= left - head->head_bytes && head->elements <= left - head->head_bytes;
}

/* Bytes of the object at `at`; 0: malformed, nested too deep, or longer than `left`. */
static size_t object_bytes(const uint8_t *at, size_t left)
{
	uint64_t open[UNPACK_DEPTH];
	size_t depth = 0, used = 0;
	struct head head;

	for (;;) {
		if (!parse_head(at + used, left - used, &head))
			return 0;
		used += head.head_bytes + head.body_bytes;
		if (head.elements) {
			if (depth == UNPACK_DEPTH)
				return 0;
			open[depth++] = head.elements;
			continue;
		}
		while (depth && !--open[depth - 1])
			depth--;
		if (!depth)
			return used;
	}
}

bool unpack_check(const uint8_t *bytes, size_t count)
{
	struct head head;

	return parse_head(bytes, count, &head) && head.map && object_bytes(bytes, count) == count;
}

bool unpack_peek_uint(const uint8_t *bytes, size_t count, const char *key, uint64_t *value)
{
	const uint8_t *at = bytes, *end = bytes + count;
	struct head map, name, number;
	size_t used;

	if (!parse_head(at, count, &map))
		return false;
	at += map.head_bytes;
	for (uint64_t pair = 0; pair < map.elements / 2; pair++) {
		bool found;

		if (!parse_head(at, (size_t)(end - at), &name))
			return false;
		found = name.text && name.body_bytes == strlen(key) &&
		        !memcmp(at + name.head_bytes, key, name.body_bytes);
		used = object_bytes(at, (size_t)(end - at));
		if (!used)
			return false;
		at += used;
		if (found) {
			if (!parse_head(at, (size_t)(end - at), &number) || !number.number_unsigned)
				return false;
			*value = number.body_bytes ? get_be(at + 1, number.body_bytes) : at[0];
			return true;
		}
		used = object_bytes(at, (size_t)(end - at));
		if (!used)
			return false;
		at += used;
	}
	return false;
}

const msgpack_object *unpack_get(const msgpack_object *map, const char *key)
{
	size_t length = strlen(key);

	if (map->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object_kv *pair = &map->via.map.ptr[i];

		if (pair->key.type == MSGPACK_OBJECT_STR && pair->key.via.str.size == length &&
		        !memcmp(pair->key.via.str.ptr, key, length))
			return &pair->val;
	}
	return NULL;
}

bool unpack_uint(const msgpack_object *map, const char *key, uint64_t *value)
{
	const msgpack_object *object = unpack_get(map, key);

	if (!object || object->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return false;
	*value = object->via.u64;
	return true;
}

bool unpack_bool(const msgpack_object *map, const char *key, bool *value)
{
	const msgpack_object *object = unpack_get(map, key);

	if (!object || object->type != MSGPACK_OBJECT_BOOLEAN)
		return false;
	*value = object->via.boolean;
	return true;
}

bool unpack_object_text(const msgpack_object *object, char *text, size_t bytes)
{
	const char *from;
	size_t length;

	if (object->type == MSGPACK_OBJECT_STR) {
		from = object->via.str.ptr;
		length = object->via.str.size;
	} else if (object->type == MSGPACK_OBJECT_BIN) {
		from = object->via.bin.ptr;
		length = object->via.bin.size;
	} else {
		return false;
	}
	if (length >= bytes)
		length = bytes - 1;
	for (size_t i = 0; i < length; i++)
		text[i] = from[i] ? from[i] : ' ';
	text[length] = '\0';
	return true;
}

bool unpack_text(const msgpack_object *map, const char *key, char *text, size_t bytes)
{
	const msgpack_object *object = unpack_get(map, key);

	return object && unpack_object_text(object, text, bytes);
}

const msgpack_object_array *unpack_array(const msgpack_object *map, const char *key)
{
	const msgpack_object *object = unpack_get(map, key);

	if (!object || object->type != MSGPACK_OBJECT_ARRAY)
		return NULL;
	return &object->via.array;
}
