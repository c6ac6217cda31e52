/* SPDX-License-Identifier: Apache-2.0 */
/* All frames but RECORDS. */
#include <errno.h>
#include <msgpack/unpack.h>
#include <string.h>

#include "results/decode.h"
#include "results/unpack.h"

static const char *const counter_names[] = {
#define COUNTER(id, unit, text) #id,
#include "shadowvmcs/counters.def"
#undef COUNTER
};

/* Unpack and hand the map to one of the functions below. */
static int with_map(
        const uint8_t *payload, size_t bytes, int (*take)(const msgpack_object *map, void *into), void *into)
{
	msgpack_unpacked unpacked;
	size_t offset = 0;
	int err = -EBADMSG;

	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, (const char *)payload, bytes, &offset) == MSGPACK_UNPACK_SUCCESS &&
	        unpacked.data.type == MSGPACK_OBJECT_MAP)
		err = take(&unpacked.data, into);
	msgpack_unpacked_destroy(&unpacked);
	return err;
}

struct run_target {
	struct run_info *info;
	char *io;
	size_t io_bytes;
};

static int take_host(const msgpack_object *map, void *into)
{
	const msgpack_object *host = unpack_get(map, "host");
	struct run_info *info = into;

	run_info_clear(info);
	if (!host || host->type != MSGPACK_OBJECT_MAP)
		return -EBADMSG;
	for (uint32_t i = 0; i < host->via.map.size && info->pair_count < RUN_PAIRS_MAX; i++) {
		const msgpack_object_kv *from = &host->via.map.ptr[i];
		struct run_pair *pair = &info->pairs[info->pair_count];

		if (unpack_object_text(&from->key, pair->key, sizeof(pair->key)) &&
		        unpack_object_text(&from->val, pair->value, sizeof(pair->value)))
			info->pair_count++;
	}
	return 0;
}

int decode_host(struct run_info *info, const uint8_t *payload, size_t bytes)
{
	return with_map(payload, bytes, take_host, info);
}

static int take_run(const msgpack_object *map, void *into)
{
	const struct run_target *target = into;
	struct run_info *info = target->info;
	int err = take_host(map, info);

	target->io[0] = '\0';
	if (err)
		return err;
	unpack_text(map, "matrix", info->matrix, sizeof(info->matrix));
	unpack_text(map, "io", target->io, target->io_bytes);
	return 0;
}

int decode_run(struct run_info *info, char *io, size_t io_bytes, const uint8_t *payload, size_t bytes)
{
	struct run_target target = {info, io, io_bytes};

	return with_map(payload, bytes, take_run, &target);
}

struct cell_target {
	struct cell *cell;
	uint64_t *number;
};

static int take_cell(const msgpack_object *map, void *into)
{
	const struct cell_target *target = into;
	const msgpack_object *settings = unpack_get(map, "settings");

	if (!settings || !unpack_uint(map, "cell", target->number))
		return -EBADMSG;
	cell_defaults(target->cell);
	for (int key = 0; key < CELL_KEY_COUNT; key++) {
		char text[CELL_VALUE_BYTES];

		if (!unpack_text(settings, cell_key_infos[key].name, text, sizeof(text)))
			continue;
		memset(target->cell->value[key], 0, CELL_VALUE_BYTES);
		memcpy(target->cell->value[key], text, strlen(text));
	}
	return 0;
}

int decode_cell(struct cell *cell, uint64_t *number, const uint8_t *payload, size_t bytes)
{
	struct cell_target target = {cell, number};

	return with_map(payload, bytes, take_cell, &target);
}

/* The elements of an array of unsigned numbers; -EBADMSG when they are not so many. */
static int take_numbers(const msgpack_object *object, uint64_t *numbers, uint32_t count)
{
	if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != count)
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++) {
		if (object->via.array.ptr[i].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
			return -EBADMSG;
		numbers[i] = object->via.array.ptr[i].via.u64;
	}
	return 0;
}

static int take_samples(const msgpack_object *map, struct cell_result *result)
{
	const msgpack_object_array *samples = unpack_array(map, "samples");
	uint64_t numbers[4];

	if (!samples)
		return -EBADMSG;
	for (uint32_t i = 0; i < samples->size && i < CELL_SAMPLES_MAX; i++) {
		if (take_numbers(&samples->ptr[i], numbers, 4))
			return -EBADMSG;
		result->samples[i] = (struct cell_sample){numbers[0], numbers[1], numbers[2], numbers[3]};
		result->sample_count = i + 1;
	}
	return 0;
}

static int take_log(const msgpack_object *map, struct cell_result *result)
{
	const msgpack_object_array *log = unpack_array(map, "log");
	uint64_t numbers[7] = {0};

	unpack_uint(map, "log_count", &result->log_count);
	if (!log)
		return result->log_count ? -EBADMSG : 0;
	for (uint32_t i = 0; i < log->size && i < CELL_LOG_MAX; i++) {
		/* Files of before the lab have the first five. */
		if (take_numbers(&log->ptr[i], numbers, 7) && take_numbers(&log->ptr[i], numbers, 5))
			return -EBADMSG;
		result->log[i] = (struct cell_log_entry){(uint32_t)numbers[0], (uint32_t)numbers[1], numbers[2],
		        numbers[3], numbers[4], numbers[5], numbers[6]};
	}
	/* Entries a reader may look at: as many as there are. */
	if (result->log_count < CELL_LOG_MAX && result->log_count > log->size)
		result->log_count = log->size;
	return 0;
}

static void take_machine(const msgpack_object *map, struct cell_result *result)
{
	const msgpack_object *counts = unpack_get(map, "machine_counts");

	if (!counts)
		return;
	result->machine_counted = true;
	unpack_uint(counts, "exits", &result->machine_exits);
	unpack_uint(counts, "l2_entries", &result->machine_l2_entries);
}

static void take_stamps(const msgpack_object *map, struct cell_result *result)
{
	const msgpack_object *stamps = unpack_get(map, "stamps"), *medians = unpack_get(map, "stamp_medians");

	if (stamps)
		unpack_uint(stamps, "count", &result->stamp_count);
	if (medians)
		unpack_uint(medians, "of", &result->stamp_median_of);
	for (int part = 0; part < STAMP_PARTS; part++) {
		const char *name = stamp_part_name((enum stamp_part)part);

		if (stamps)
			unpack_uint(stamps, name, &result->stamp_sum[part]);
		if (medians)
			unpack_uint(medians, name, &result->stamp_median[part]);
	}
}

static int take_status(const msgpack_object *map, struct cell_result *result)
{
	char name[16] = "";

	unpack_text(map, "status", name, sizeof(name));
	for (enum cell_status status = CELL_RUNNING; status <= CELL_REFUSED; status++) {
		if (!strcmp(name, cell_status_name(status))) {
			result->status = status;
			return 0;
		}
	}
	return -EBADMSG;
}

struct end_target {
	struct cell_result *result;
	struct decode_cell_end *end;
};

static int take_cell_end(const msgpack_object *map, void *into)
{
	const struct end_target *target = into;
	struct cell_result *result = target->result;
	const msgpack_object *counters = unpack_get(map, "counters");
	const msgpack_object *console = unpack_get(map, "console");
	int err;

	memset(result, 0, sizeof(*result));
	memset(target->end, 0, sizeof(*target->end));
	if (!unpack_uint(map, "cell", &target->end->number))
		return -EBADMSG;
	unpack_uint(map, "written", &target->end->written);
	unpack_uint(map, "dropped", &target->end->dropped);
	unpack_text(map, "reason", result->reason, sizeof(result->reason));
	unpack_bool(map, "virtual_time", &result->virtual_time);
	/* Files of before there was a lab do not say. */
	result->instruction_clock = result->virtual_time;
	unpack_bool(map, "instruction_clock", &result->instruction_clock);
	unpack_uint(map, "tsc_khz", &result->tsc_khz);
	unpack_uint(map, "offered", &result->records);
	result->dropped = target->end->dropped;
	for (size_t i = 0; counters && i < sizeof(counter_names) / sizeof(counter_names[0]); i++)
		unpack_uint(counters, counter_names[i], &result->counters[i]);
	take_stamps(map, result);
	take_machine(map, result);
	result->have_checksum = unpack_get(map, "checksum") != NULL;
	unpack_uint(map, "checksum", &result->checksum);
	unpack_uint(map, "console_bytes", &result->console_bytes);
	if (console && console->type == MSGPACK_OBJECT_BIN)
		memcpy(result->console, console->via.bin.ptr,
		        console->via.bin.size < sizeof(result->console) ? console->via.bin.size
		                                                        : sizeof(result->console));
	err = take_status(map, result);
	if (!err)
		err = take_samples(map, result);
	return err ? err : take_log(map, result);
}

int decode_cell_end(struct cell_result *result, struct decode_cell_end *end, const uint8_t *payload, size_t bytes)
{
	struct end_target target = {result, end};

	return with_map(payload, bytes, take_cell_end, &target);
}

static int take_cell_times(const msgpack_object *map, void *into)
{
	struct decode_cell_times *times = into;

	memset(times, 0, sizeof(*times));
	if (!unpack_uint(map, "cell", &times->number))
		return -EBADMSG;
	unpack_uint(map, "begun_unix_ns", &times->begun_unix_ns);
	unpack_uint(map, "wall_ns", &times->wall_ns);
	unpack_uint(map, "first_l2_exit_ns", &times->first_l2_exit_ns);
	return 0;
}

int decode_cell_times(struct decode_cell_times *times, const uint8_t *payload, size_t bytes)
{
	return with_map(payload, bytes, take_cell_times, times);
}

static int take_end(const msgpack_object *map, void *into)
{
	struct decode_end *end = into;

	memset(end, 0, sizeof(*end));
	if (!unpack_bool(map, "finished", &end->finished))
		return -EBADMSG;
	unpack_text(map, "reason", end->reason, sizeof(end->reason));
	unpack_uint(map, "records", &end->records);
	unpack_uint(map, "dropped", &end->dropped);
	unpack_uint(map, "lost", &end->lost);
	return 0;
}

int decode_end(struct decode_end *end, const uint8_t *payload, size_t bytes)
{
	return with_map(payload, bytes, take_end, end);
}
