/* SPDX-License-Identifier: Apache-2.0 */
/**
 * A cell: one point of a matrix, its settings and its outcome. Shared by cli (which makes cells), l0 (which runs one)
 * and results (which stores and reports them).
 */
#ifndef TESTUDO_RESULTS_CELL_H
#define TESTUDO_RESULTS_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cell_key {
#define CELL_KEY(id, name, def, allowed, text) CELL_##id,
#include "cell_keys.def"
#undef CELL_KEY
	CELL_KEY_COUNT
};

struct cell_key_info {
	const char *name;
	const char *default_value;
	const char *allowed;
	const char *text;
};
extern const struct cell_key_info cell_key_infos[CELL_KEY_COUNT];

#define CELL_VALUE_BYTES 24

/** Settings as text, checked against cell_key_infos: canonical spelling, so equal cells compare equal. */
struct cell {
	char value[CELL_KEY_COUNT][CELL_VALUE_BYTES];
};

/** Does the workload run at level 2? */
bool cell_is_nested(const struct cell *cell);
/** Does the setting mean something at level 2 only? */
bool cell_key_is_nested(enum cell_key key);
/** The values a key takes, for people: "trap, shadow, direct", "1 to 1000". */
void cell_key_allowed(enum cell_key key, char *text, size_t bytes);

/** Every key at its default. */
void cell_defaults(struct cell *cell);
/** Keys and values in any case. 0; -ENOENT no such key; -EINVAL no such value. `why` (may be NULL) gets a sentence that
 * names the allowed values. */
int cell_set(struct cell *cell, const char *key, const char *value, char *why, size_t why_bytes);
/** A one-line name: "kvm level 2 cpuid vmcs=shadow profile=kvm mmu=shadow" (machine, level, workload; at level 2 always
 * vmcs and profile; then what differs from the defaults). */
void cell_name(const struct cell *cell, char *text, size_t bytes);
bool cell_equal(const struct cell *a, const struct cell *b);
/** Value of an int key; `otherwise` for "auto". */
uint64_t cell_int(const struct cell *cell, enum cell_key key, uint64_t otherwise);

enum cell_status {
	CELL_RUNNING = 0, /**< found in a result whose process died before it could say */
	CELL_OK,
	CELL_FAILED,  /**< crashed, hung, triple fault, wrong result: reason says which */
	CELL_REFUSED, /**< this host or machine cannot do it: "not available: reason" */
};
/** "running", "ok", "failed", "refused"; "unknown" for any other number. */
const char *cell_status_name(enum cell_status status);

#define CELL_SAMPLES_MAX 1000
#define CELL_COUNTERS_MAX 64
#define CELL_REASON_BYTES 256
#define CELL_LOG_MAX 4096

struct cell_sample {
	uint64_t ops;
	uint64_t ticks; /**< TSC ticks the guest counted over the measured loop */
	uint64_t control_ops;
	uint64_t control_ticks; /**< the same over the control loop */
};

/** One entry of L1's exit log, as read back (abi/boot_info.h). */
struct cell_log_entry {
	uint32_t reason, instruction_length;
	uint64_t qualification, guest_rip, interruption_info, idt_vectoring_info, guest_physical_address;
};

/** Parts of a nested round trip between time stamps. */
enum stamp_part {
#define STAMP_PART(id, name, text) STAMP_##id,
#include "stamp_parts.def"
#undef STAMP_PART
	STAMP_PARTS
};
/** "l2_to_l0", … */
const char *stamp_part_name(enum stamp_part part);

/**
 * What a cell gave. Lives in memory shared between the cell's process and the one that started it, so that a cell that
 * dies leaves what it had: fixed size, no pointers, written front to back.
 */
struct cell_result {
	uint32_t status;                /**< enum cell_status */
	char reason[CELL_REASON_BYTES]; /**< one sentence; empty when CELL_OK */
	bool virtual_time;              /**< ticks are retired instructions */
	bool instruction_clock;         /**< ticks are instructions: virtual time, or the lab */
	uint64_t tsc_khz;               /**< ticks per ms of the guest's TSC; 0 = unknown */
	uint64_t sample_count;
	struct cell_sample samples[CELL_SAMPLES_MAX];
	uint64_t counters[CELL_COUNTERS_MAX]; /**< the engine's, in the order of shadowvmcs/counters.def, over the whole
	                                         cell */
	/** What the machine itself counted over the measured loops (nvmx: KVM's statistics). */
	bool machine_counted;
	uint64_t machine_exits, machine_l2_entries;
	/** What a macro workload computed: the same at every level. */
	bool have_checksum;
	uint64_t checksum;
	uint64_t records;                /**< ledger records offered */
	uint64_t dropped;                /**< of those, not written: the ring was full */
	uint64_t stamp_count;            /**< round trips with stamps */
	uint64_t stamp_sum[STAMP_PARTS]; /**< of their parts, in ticks */
	uint64_t stamp_median_of;        /**< trips behind the medians; 0 = there are none (older files) */
	uint64_t stamp_median[STAMP_PARTS];
	uint64_t first_l2_exit_ns; /**< wall time from the cell's start to the first L2 exit; 0 = none */
	uint64_t wall_ns;
	uint64_t console_bytes;
	char console[4096]; /**< the first bytes of the guest's console */
	uint64_t log_count; /**< exits L1 logged (may exceed CELL_LOG_MAX: the first ones are kept) */
	struct cell_log_entry log[CELL_LOG_MAX];
};

/** A part's ticks in a round trip: the median, or the mean where a file has no medians. 0 without stamps. */
double cell_stamp(const struct cell_result *result, enum stamp_part part);

#endif
