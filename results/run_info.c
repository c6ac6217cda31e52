/* SPDX-License-Identifier: Apache-2.0 */
#include "results/run_info.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void run_info_clear(struct run_info *info)
{
	memset(info, 0, sizeof(*info));
}

static struct run_pair *find(struct run_info *info, const char *key)
{
	for (uint32_t i = 0; i < info->pair_count; i++)
		if (!strcmp(info->pairs[i].key, key))
			return &info->pairs[i];
	return NULL;
}

int run_info_set(struct run_info *info, const char *key, const char *format, ...)
{
	struct run_pair *pair = find(info, key);
	int key_bytes, value_bytes;
	va_list args;

	if (!pair) {
		if (info->pair_count == RUN_PAIRS_MAX)
			return -ENOSPC;
		pair = &info->pairs[info->pair_count++];
	}
	key_bytes = snprintf(pair->key, sizeof(pair->key), "%s", key);
	va_start(args, format);
	value_bytes = vsnprintf(pair->value, sizeof(pair->value), format, args);
	va_end(args);
	if (key_bytes >= (int)sizeof(pair->key) || value_bytes >= (int)sizeof(pair->value))
		return -ENAMETOOLONG;
	return 0;
}

int run_info_set_matrix(struct run_info *info, const char *text)
{
	size_t bytes = strlen(text);
	int err = 0;

	if (bytes >= sizeof(info->matrix)) {
		bytes = sizeof(info->matrix) - 1;
		err = -ENAMETOOLONG;
	}
	memset(info->matrix, 0, sizeof(info->matrix));
	memcpy(info->matrix, text, bytes);
	return err;
}

const char *run_info_get(const struct run_info *info, const char *key)
{
	for (uint32_t i = 0; i < info->pair_count; i++)
		if (!strcmp(info->pairs[i].key, key))
			return info->pairs[i].value;
	return NULL;
}
