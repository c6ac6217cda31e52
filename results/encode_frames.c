/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of all frames but RECORDS. Every field is described in FORMAT.md. */
#include <errno.h>
#include <stdio.h>

#include "results/encode.h"
#include "results/pack.h"

static const char *const counter_names[] = {
#define COUNTER(id, unit, text) #id,
#include "shadowvmcs/counters.def"
#undef COUNTER
};
#define COUNTER_NAMES (sizeof(counter_names) / sizeof(counter_names[0]))
_Static_assert(COUNTER_NAMES <= CELL_COUNTERS_MAX, "cell_result.counters holds each");

/* Length of the well-formed UTF-8 sequence at `at`, 0 if there is none within `left` bytes. */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
	size_t length = at[0] < 0x80   ? 1
	                : at[0] < 0xc2 ? 0
	                : at[0] < 0xe0 ? 2
	                : at[0] < 0xf0 ? 3
	                : at[0] < 0xf5 ? 4
	                               : 0;

	if (length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong three- and four-byte forms, surrogates, and beyond U+10FFFF. */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
	        (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

/* Text from outside, at most limit - 1 bytes: readers in other languages refuse a str that is not UTF-8, so bytes that
 * are not become '?'. */
static void pack_text(struct buffer *out, const char *text, size_t limit)
{
	unsigned char clean[RUN_MATRIX_BYTES];
	size_t length = strnlen(text, limit < sizeof(clean) ? limit : sizeof(clean) - 1), sequence;
	msgpack_packer packer = {out, pack_write};

	memcpy(clean, text, length);
	for (size_t i = 0; i < length; i += sequence ? sequence : 1) {
		sequence = utf8_sequence(clean + i, length - i);
		if (!sequence)
			clean[i] = '?';
	}
	msgpack_pack_str_with_body(&packer, clean, length);
}

static void pack_uint_pair(struct buffer *out, const char *key, uint64_t value)
{
	pack_str(out, key);
	pack_uint(out, value);
}

static int outcome(const struct buffer *payload)
{
	return payload->overflow ? -EOVERFLOW : 0;
}

static void pack_host(struct buffer *payload, const struct run_info *info)
{
	uint32_t pairs = info->pair_count < RUN_PAIRS_MAX ? info->pair_count : RUN_PAIRS_MAX;

	pack_str(payload, "host");
	pack_map(payload, pairs);
	for (uint32_t i = 0; i < pairs; i++) {
		pack_text(payload, info->pairs[i].key, RUN_KEY_BYTES);
		pack_text(payload, info->pairs[i].value, RUN_VALUE_BYTES);
	}
}

int encode_host(struct buffer *payload, const struct run_info *info, uint64_t unix_ns)
{
	pack_map(payload, 2);
	pack_host(payload, info);
	pack_uint_pair(payload, "unix_ns", unix_ns);
	return outcome(payload);
}

int encode_run(struct buffer *payload, const struct run_info *info, const char *io, uint64_t unix_ns)
{
	pack_map(payload, 4);
	pack_host(payload, info);
	pack_str(payload, "matrix");
	pack_text(payload, info->matrix, RUN_MATRIX_BYTES);
	pack_str(payload, "io");
	pack_text(payload, io, RUN_VALUE_BYTES);
	pack_uint_pair(payload, "unix_ns", unix_ns);
	return outcome(payload);
}

int encode_cell(struct buffer *payload, uint64_t number, const struct cell *cell)
{
	pack_map(payload, 2);
	pack_uint_pair(payload, "cell", number);
	pack_str(payload, "settings");
	pack_map(payload, CELL_KEY_COUNT);
	for (int key = 0; key < CELL_KEY_COUNT; key++) {
		pack_str(payload, cell_key_infos[key].name);
		pack_text(payload, cell->value[key], CELL_VALUE_BYTES);
	}
	return outcome(payload);
}

static void pack_samples(struct buffer *payload, const struct cell_result *result)
{
	uint64_t count = result->sample_count < CELL_SAMPLES_MAX ? result->sample_count : CELL_SAMPLES_MAX;

	pack_str(payload, "samples");
	pack_array(payload, count);
	for (uint64_t i = 0; i < count; i++) {
		const struct cell_sample *sample = &result->samples[i];

		pack_array(payload, 4);
		pack_uint(payload, sample->ops);
		pack_uint(payload, sample->ticks);
		pack_uint(payload, sample->control_ops);
		pack_uint(payload, sample->control_ticks);
	}
}

static void pack_counters(struct buffer *payload, const struct cell_result *result)
{
	pack_str(payload, "counters");
	pack_map(payload, COUNTER_NAMES);
	for (size_t i = 0; i < COUNTER_NAMES; i++)
		pack_uint_pair(payload, counter_names[i], result->counters[i]);
}

/* What the machine counted itself: only of machines that do. */
static void pack_machine(struct buffer *payload, const struct cell_result *result)
{
	pack_str(payload, "machine_counts");
	pack_map(payload, 2);
	pack_uint_pair(payload, "exits", result->machine_exits);
	pack_uint_pair(payload, "l2_entries", result->machine_l2_entries);
}

static void pack_stamps(struct buffer *payload, const struct cell_result *result)
{
	pack_str(payload, "stamps");
	pack_map(payload, 1 + STAMP_PARTS);
	pack_uint_pair(payload, "count", result->stamp_count);
	for (int part = 0; part < STAMP_PARTS; part++)
		pack_uint_pair(payload, stamp_part_name((enum stamp_part)part), result->stamp_sum[part]);
	if (!result->stamp_median_of)
		return;
	pack_str(payload, "stamp_medians");
	pack_map(payload, 1 + STAMP_PARTS);
	pack_uint_pair(payload, "of", result->stamp_median_of);
	for (int part = 0; part < STAMP_PARTS; part++)
		pack_uint_pair(payload, stamp_part_name((enum stamp_part)part), result->stamp_median[part]);
}

static void pack_log(struct buffer *payload, const struct cell_result *result)
{
	uint64_t count = result->log_count < CELL_LOG_MAX ? result->log_count : CELL_LOG_MAX;

	pack_uint_pair(payload, "log_count", result->log_count);
	pack_str(payload, "log");
	pack_array(payload, count);
	for (uint64_t i = 0; i < count; i++) {
		const struct cell_log_entry *entry = &result->log[i];

		pack_array(payload, 7);
		pack_uint(payload, entry->reason);
		pack_uint(payload, entry->instruction_length);
		pack_uint(payload, entry->qualification);
		pack_uint(payload, entry->guest_rip);
		pack_uint(payload, entry->interruption_info);
		pack_uint(payload, entry->idt_vectoring_info);
		pack_uint(payload, entry->guest_physical_address);
	}
}

int encode_cell_end(
        struct buffer *payload, uint64_t number, const struct cell_result *result, uint64_t written, uint64_t dropped)
{
	uint64_t console =
	        result->console_bytes < sizeof(result->console) ? result->console_bytes : sizeof(result->console);

	pack_map(payload, 16 + (result->machine_counted ? 1 : 0) + (result->stamp_median_of ? 1 : 0) +
	                          (result->have_checksum ? 1 : 0));
	pack_uint_pair(payload, "cell", number);
	pack_str(payload, "status");
	/* A cell that died may leave any number here. */
	pack_str(payload, cell_status_name(result->status <= CELL_REFUSED ? result->status : CELL_FAILED));
	pack_str(payload, "reason");
	pack_text(payload, result->reason, CELL_REASON_BYTES);
	pack_str(payload, "virtual_time");
	pack_bool(payload, result->virtual_time);
	pack_str(payload, "instruction_clock");
	pack_bool(payload, result->instruction_clock);
	pack_uint_pair(payload, "tsc_khz", result->tsc_khz);
	pack_samples(payload, result);
	pack_counters(payload, result);
	pack_uint_pair(payload, "offered", result->records);
	pack_uint_pair(payload, "written", written);
	pack_uint_pair(payload, "dropped", dropped);
	pack_stamps(payload, result);
	if (result->machine_counted)
		pack_machine(payload, result);
	if (result->have_checksum)
		pack_uint_pair(payload, "checksum", result->checksum);
	pack_uint_pair(payload, "console_bytes", result->console_bytes);
	pack_str(payload, "console");
	pack_bin(payload, result->console, console);
	pack_log(payload, result);
	return outcome(payload);
}

int encode_cell_times(struct buffer *payload, uint64_t number, const struct cell_result *result, uint64_t begun_unix_ns)
{
	pack_map(payload, 4);
	pack_uint_pair(payload, "cell", number);
	pack_uint_pair(payload, "begun_unix_ns", begun_unix_ns);
	pack_uint_pair(payload, "wall_ns", result->wall_ns);
	pack_uint_pair(payload, "first_l2_exit_ns", result->first_l2_exit_ns);
	return outcome(payload);
}

int encode_end(struct buffer *payload, const struct encode_end *end)
{
	pack_map(payload, 6);
	pack_str(payload, "finished");
	pack_bool(payload, end->finished);
	pack_str(payload, "reason");
	pack_text(payload, end->reason, RUN_VALUE_BYTES);
	pack_uint_pair(payload, "records", end->records);
	pack_uint_pair(payload, "dropped", end->dropped);
	pack_uint_pair(payload, "lost", end->lost);
	pack_uint_pair(payload, "unix_ns", end->unix_ns);
	return outcome(payload);
}
