/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What the guest of the lab sends to the host through the parallel port: messages, each
 *
 *   byte 0      kind (enum lab_kind)
 *   bytes 1-4   length of the text or data that follows, little endian
 *   ...         that many bytes
 *   4 bytes     CRC-32 of kind, length and data, little endian
 *
 * A file comes as LAB_FILE (its name) and any number of LAB_DATA behind it. LAB_END is the last message; what ends
 * before it was cut short.
 */
#ifndef TESTUDO_LAB_STREAM_H
#define TESTUDO_LAB_STREAM_H

#include <stddef.h>
#include <stdint.h>

enum lab_kind {
	LAB_BEGIN = 1, /**< Linux is up, the command starts */
	LAB_TEXT,      /**< the command printed this */
	LAB_FILE,      /**< a file of this name follows */
	LAB_DATA,      /**< more of that file */
	LAB_END,       /**< the command's exit status, as text */
	LAB_KIND_LIMIT
};

#define LAB_DATA_BYTES 4096 /**< most data of one message */
#define LAB_MESSAGE_BYTES (5 + LAB_DATA_BYTES + 4)

/** Put a message of at most LAB_DATA_BYTES into `to` (LAB_MESSAGE_BYTES). How many bytes it has. */
size_t lab_message_make(uint8_t *to, enum lab_kind kind, const void *data, size_t bytes);

/** The receiving end: bytes come as they come. */
struct lab_parser {
	uint8_t buffer[LAB_MESSAGE_BYTES];
	size_t have;
	/** Called for each message whose checksum is right. Not 0: parsing stops with it. */
	int (*on_message)(void *ctx, enum lab_kind kind, const uint8_t *data, size_t bytes);
	void *ctx;
};

/** 0; -EBADMSG: these bytes are no stream of messages (`parser->buffer` holds them); or what on_message returned. */
int lab_parser_take(struct lab_parser *parser, const uint8_t *bytes, size_t count);

#endif
