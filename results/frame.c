/* SPDX-License-Identifier: Apache-2.0 */
#include "results/frame.h"

#include <errno.h>
#include <string.h>

#include "results/crc32.h"

static void put_le32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_le32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void frame_put_file_header(uint8_t bytes[FRAME_FILE_HEADER_BYTES])
{
	memcpy(bytes, FRAME_FILE_MAGIC, 8);
	put_le32(bytes + 8, FRAME_FILE_VERSION);
	put_le32(bytes + 12, 0);
}

int frame_check_file_header(const uint8_t bytes[FRAME_FILE_HEADER_BYTES], uint32_t *version)
{
	if (memcmp(bytes, FRAME_FILE_MAGIC, 8) != 0)
		return -EINVAL;
	*version = get_le32(bytes + 8);
	return *version == FRAME_FILE_VERSION ? 0 : -ENOTSUP;
}

static uint32_t checksum(const uint8_t *header, const uint8_t *payload, size_t length)
{
	return crc32_update(crc32_update(0, header + 4, 8), payload, length);
}

void frame_seal(uint8_t *frame, uint32_t type, uint32_t length)
{
	memcpy(frame, FRAME_MAGIC, 4);
	put_le32(frame + 4, length);
	put_le32(frame + 8, type);
	put_le32(frame + 12, checksum(frame, frame + FRAME_HEADER_BYTES, length));
}

bool frame_parse(const uint8_t header[FRAME_HEADER_BYTES], struct frame_header *parsed)
{
	if (memcmp(header, FRAME_MAGIC, 4) != 0)
		return false;
	parsed->length = get_le32(header + 4);
	parsed->type = get_le32(header + 8);
	parsed->crc = get_le32(header + 12);
	return parsed->length <= FRAME_PAYLOAD_MAX;
}

bool frame_verify(const struct frame_header *parsed, const uint8_t header[FRAME_HEADER_BYTES], const uint8_t *payload)
{
	return checksum(header, payload, parsed->length) == parsed->crc;
}
