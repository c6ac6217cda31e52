/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/stream.h"

#include <errno.h>
#include <string.h>

#include "results/crc32.h"

#define HEAD_BYTES 5
#define CRC_BYTES 4

static void put32(uint8_t *to, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get32(const uint8_t *from)
{
	return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

size_t lab_message_make(uint8_t *to, enum lab_kind kind, const void *data, size_t bytes)
{
	to[0] = (uint8_t)kind;
	put32(to + 1, (uint32_t)bytes);
	if (bytes)
		memcpy(to + HEAD_BYTES, data, bytes);
	put32(to + HEAD_BYTES + bytes, crc32_update(0, to, HEAD_BYTES + bytes));
	return HEAD_BYTES + bytes + CRC_BYTES;
}

/* The message at the front of the buffer, if it is whole. */
static int take_one(struct lab_parser *parser, size_t *used)
{
	const uint8_t *buffer = parser->buffer;
	size_t bytes;

	*used = 0;
	if (parser->have < HEAD_BYTES)
		return 0;
	bytes = get32(buffer + 1);
	if (!buffer[0] || buffer[0] >= LAB_KIND_LIMIT || bytes > LAB_DATA_BYTES)
		return -EBADMSG;
	if (parser->have < HEAD_BYTES + bytes + CRC_BYTES)
		return 0;
	if (crc32_update(0, buffer, HEAD_BYTES + bytes) != get32(buffer + HEAD_BYTES + bytes))
		return -EBADMSG;
	*used = HEAD_BYTES + bytes + CRC_BYTES;
	return parser->on_message(parser->ctx, (enum lab_kind)buffer[0], buffer + HEAD_BYTES, bytes);
}

int lab_parser_take(struct lab_parser *parser, const uint8_t *bytes, size_t count)
{
	while (count) {
		const size_t room = sizeof(parser->buffer) - parser->have;
		const size_t more = count < room ? count : room;
		size_t used = 1;
		int error = 0;

		memcpy(parser->buffer + parser->have, bytes, more);
		parser->have += more;
		bytes += more;
		count -= more;
		while (used && !error) {
			error = take_one(parser, &used);
			parser->have -= used;
			memmove(parser->buffer, parser->buffer + used, parser->have);
		}
		if (error)
			return error;
	}
	return 0;
}
