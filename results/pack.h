/* SPDX-License-Identifier: Apache-2.0 */
/** msgpack-c writing into a struct buffer. Errors stick in buffer.overflow, so callers look once, at the end. */
#ifndef TESTUDO_RESULTS_PACK_H
#define TESTUDO_RESULTS_PACK_H

#include <msgpack/pack.h>
#include <string.h>

#include "results/encode.h"

static inline int pack_write(void *data, const char *bytes, size_t count)
{
	struct buffer *out = data;

	if (count > out->capacity - out->used) {
		out->overflow = true;
		return -1;
	}
	memcpy(out->bytes + out->used, bytes, count);
	out->used += count;
	return 0;
}

static inline void pack_raw(struct buffer *out, const void *bytes, size_t count)
{
	pack_write(out, bytes, count);
}

static inline void pack_uint(struct buffer *out, uint64_t value)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_uint64(&packer, value);
}

static inline void pack_int(struct buffer *out, int64_t value)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_int64(&packer, value);
}

static inline void pack_nil(struct buffer *out)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_nil(&packer);
}

static inline void pack_bool(struct buffer *out, bool value)
{
	msgpack_packer packer = {out, pack_write};

	if (value)
		msgpack_pack_true(&packer);
	else
		msgpack_pack_false(&packer);
}

static inline void pack_map(struct buffer *out, size_t pairs)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_map(&packer, pairs);
}

static inline void pack_array(struct buffer *out, size_t elements)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_array(&packer, elements);
}

static inline void pack_str(struct buffer *out, const char *text)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_str_with_body(&packer, text, strlen(text));
}

static inline void pack_bin(struct buffer *out, const void *bytes, size_t count)
{
	msgpack_packer packer = {out, pack_write};

	msgpack_pack_bin_with_body(&packer, bytes, count);
}

#endif
