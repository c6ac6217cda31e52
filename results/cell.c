/* SPDX-License-Identifier: Apache-2.0 */
#include "results/cell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct cell_key_info cell_key_infos[CELL_KEY_COUNT] = {
#define CELL_KEY(id, name, def, allowed, text) [CELL_##id] = {name, def, allowed, text},
#include "cell_keys.def"
#undef CELL_KEY
};

#define CELL_KEY(id, name, def, allowed, text) _Static_assert(sizeof(def) <= CELL_VALUE_BYTES, "default fits: " name);
#include "cell_keys.def"
#undef CELL_KEY

static const char *const workload_names[] = {
#define WORKLOAD(name, exit, unit, text) name,
#include "workloads/workloads.def"
#undef WORKLOAD
#define MACRO(name, identifier, unit, virtual_ops, text) name,
#include "workloads/macros.def"
#undef MACRO
};
#define WORKLOAD(name, exit, unit, text) _Static_assert(sizeof(name) <= CELL_VALUE_BYTES, "name fits: " name);
#include "workloads/workloads.def"
#undef WORKLOAD
#define MACRO(name, identifier, unit, virtual_ops, text)                                                               \
	_Static_assert(sizeof(name) <= CELL_VALUE_BYTES, "name fits: " name);
#include "workloads/macros.def"
#undef MACRO

bool cell_is_nested(const struct cell *cell)
{
	return !strcmp(cell->value[CELL_LEVEL], "2");
}

bool cell_key_is_nested(enum cell_key key)
{
	return key == CELL_VMCS || key == CELL_PROFILE || key == CELL_MMU || key == CELL_EPT12_PAGE ||
	       key == CELL_EPT02 || key == CELL_MERGE || key == CELL_EXIT_LOG || key == CELL_STAMPS;
}

void cell_defaults(struct cell *cell)
{
	memset(cell, 0, sizeof(*cell));
	for (int key = 0; key < CELL_KEY_COUNT; key++)
		snprintf(cell->value[key], CELL_VALUE_BYTES, "%s", cell_key_infos[key].default_value);
}

static int find_key(const char *name)
{
	for (int key = 0; key < CELL_KEY_COUNT; key++)
		if (!strcasecmp(cell_key_infos[key].name, name))
			return key;
	return -1;
}

/* Append to a text of limited size; what does not fit is left out. */
static void append(char *text, size_t bytes, const char *more)
{
	size_t used = strlen(text);

	if (used + 1 < bytes)
		snprintf(text + used, bytes - used, "%s", more);
}

/* The next alternative of "a|b|c"; its length, 0 at the end. */
static size_t next_alternative(const char **at, const char **alternative)
{
	size_t length = strcspn(*at, "|");

	*alternative = *at;
	*at += length;
	if (**at == '|')
		(*at)++;
	return length;
}

static void append_allowed(char *text, size_t bytes, const char *allowed)
{
	const char *alternative, *separator = "";
	char word[64];
	size_t length;

	if (!strcmp(allowed, "workload")) {
		for (size_t i = 0; i < sizeof(workload_names) / sizeof(workload_names[0]); i++) {
			append(text, bytes, i ? ", " : "");
			append(text, bytes, workload_names[i]);
		}
		return;
	}
	while ((length = next_alternative(&allowed, &alternative))) {
		unsigned long long low, high;

		if (sscanf(alternative, "int %llu %llu", &low, &high) == 2)
			snprintf(word, sizeof(word), "%llu to %llu", low, high);
		else
			snprintf(word, sizeof(word), "%.*s", (int)length, alternative);
		append(text, bytes, separator);
		append(text, bytes, word);
		separator = ", ";
	}
}

void cell_key_allowed(enum cell_key key, char *text, size_t bytes)
{
	text[0] = '\0';
	append_allowed(text, bytes, cell_key_infos[key].allowed);
}

/* Digits only: strtoull alone would take signs, blanks and what follows. */
static bool parse_int(const char *text, unsigned long long *value)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && !*end;
}

/* Canonical spelling of a value if `allowed` has it. */
static bool canonical(const char *allowed, const char *value, char text[CELL_VALUE_BYTES])
{
	const char *alternative;
	size_t length;

	if (!strcmp(allowed, "workload")) {
		for (size_t i = 0; i < sizeof(workload_names) / sizeof(workload_names[0]); i++) {
			if (!strcasecmp(workload_names[i], value)) {
				strcpy(text, workload_names[i]);
				return true;
			}
		}
		return false;
	}
	while ((length = next_alternative(&allowed, &alternative))) {
		unsigned long long low, high, number;

		if (sscanf(alternative, "int %llu %llu", &low, &high) == 2) {
			if (parse_int(value, &number) && number >= low && number <= high) {
				snprintf(text, CELL_VALUE_BYTES, "%llu", number);
				return true;
			}
		} else if (strlen(value) == length && !strncasecmp(alternative, value, length)) {
			snprintf(text, CELL_VALUE_BYTES, "%.*s", (int)length, alternative);
			return true;
		}
	}
	return false;
}

int cell_set(struct cell *cell, const char *key, const char *value, char *why, size_t why_bytes)
{
	char text[CELL_VALUE_BYTES] = "";
	int id = find_key(key);

	if (why && why_bytes)
		why[0] = '\0';
	if (id < 0) {
		if (why) {
			snprintf(why, why_bytes, "no such key '%.40s'; the keys are ", key);
			for (int i = 0; i < CELL_KEY_COUNT; i++) {
				append(why, why_bytes, i ? ", " : "");
				append(why, why_bytes, cell_key_infos[i].name);
			}
		}
		return -ENOENT;
	}
	if (!canonical(cell_key_infos[id].allowed, value, text)) {
		if (why) {
			snprintf(why, why_bytes, "%s cannot be '%.40s'; allowed: ", cell_key_infos[id].name, value);
			append_allowed(why, why_bytes, cell_key_infos[id].allowed);
		}
		return -EINVAL;
	}
	memset(cell->value[id], 0, CELL_VALUE_BYTES);
	strcpy(cell->value[id], text);
	return 0;
}

/* Settings a name shows even at their default: without them two names of one table could not be told apart. */
static bool always_named(const struct cell *cell, int key)
{
	return (key == CELL_VMCS || key == CELL_PROFILE) && cell_is_nested(cell);
}

void cell_name(const struct cell *cell, char *text, size_t bytes)
{
	if (!bytes)
		return;
	snprintf(text, bytes, "%.*s level %.*s %.*s", CELL_VALUE_BYTES, cell->value[CELL_MACHINE], CELL_VALUE_BYTES,
	        cell->value[CELL_LEVEL], CELL_VALUE_BYTES, cell->value[CELL_WORKLOAD]);
	for (int key = CELL_WORKLOAD + 1; key < CELL_KEY_COUNT; key++) {
		if (!always_named(cell, key) &&
		        !strncmp(cell->value[key], cell_key_infos[key].default_value, CELL_VALUE_BYTES))
			continue;
		append(text, bytes, " ");
		append(text, bytes, cell_key_infos[key].name);
		append(text, bytes, "=");
		append(text, bytes, cell->value[key]);
	}
}

bool cell_equal(const struct cell *a, const struct cell *b)
{
	for (int key = 0; key < CELL_KEY_COUNT; key++)
		if (strncmp(a->value[key], b->value[key], CELL_VALUE_BYTES) != 0)
			return false;
	return true;
}

uint64_t cell_int(const struct cell *cell, enum cell_key key, uint64_t otherwise)
{
	unsigned long long value;

	return parse_int(cell->value[key], &value) ? value : otherwise;
}

const char *cell_status_name(enum cell_status status)
{
	switch (status) {
	case CELL_RUNNING:
		return "running";
	case CELL_OK:
		return "ok";
	case CELL_FAILED:
		return "failed";
	case CELL_REFUSED:
		return "refused";
	}
	return "unknown";
}

const char *stamp_part_name(enum stamp_part part)
{
	static const char *const names[] = {
#define STAMP_PART(id, name, text) name,
#include "stamp_parts.def"
#undef STAMP_PART
	};

	return part < STAMP_PARTS ? names[part] : "unknown";
}

double cell_stamp(const struct cell_result *result, enum stamp_part part)
{
	if (result->stamp_median_of)
		return (double)result->stamp_median[part];
	return result->stamp_count ? (double)result->stamp_sum[part] / (double)result->stamp_count : 0;
}
