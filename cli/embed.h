/* SPDX-License-Identifier: Apache-2.0 */
/** Files that travel inside the binary (meson.build lists them), so that `testudo` works without its source tree. */
#ifndef TESTUDO_CLI_EMBED_H
#define TESTUDO_CLI_EMBED_H

#include <stddef.h>

struct embedded_file {
	const char *name; /**< file name without its folder; of papers: "papers/PAPER/NAME" */
	const char *data; /**< NUL follows the last byte */
	size_t size;
};

/** NULL when there is none of that name. */
const struct embedded_file *embedded_find(const char *name);
/** In order; NULL behind the last. */
const struct embedded_file *embedded_at(size_t index);

#endif
