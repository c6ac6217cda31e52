/* SPDX-License-Identifier: Apache-2.0 */
/* l0_run_cell: from a cell's settings to its result. */
#include "l0/cell.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "l0/kvm_module.h"
#include "l0/l0.h"

/* ops=auto: operations so that a sample takes about this long; on a virtual-time machine a fixed number, so that every
 * host does the same. */
#define SAMPLE_US 20000
#define VIRTUAL_OPS 1000
/* The lab makes some 30 million instructions a second; its samples repeat exactly, so few operations do. */
#define LAB_OPS 100
#define OPS_MAX 1000000
/* The first guess, and what a calibrating run must last to be believed. */
#define CALIBRATION_OPS 16
#define CALIBRATION_MACRO_OPS 1
#define CALIBRATION_LEAST_US 400

bool l0_instruction_clock(void)
{
	static int known = -1; /* it does not change while a kernel runs */
	char line[2048] = "";
	FILE *file;

	if (known >= 0)
		return known;
	file = fopen("/proc/cmdline", "re");
	known = file && fgets(line, sizeof(line), file) && strstr(line, "testudo.clock=instructions");
	if (file)
		fclose(file);
	return known;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void finish(struct cell_result *result, enum cell_status status, const char *reason)
{
	snprintf(result->reason, sizeof(result->reason), "%s", reason);
	result->status = status;
}

/* ---- samples ---- */

static void on_sample(void *ctx, enum testdev_mark end, uint64_t sample, uint64_t ops, uint64_t ticks)
{
	struct cell_result *result = ctx;

	/* The guest chooses the number: only the next or the current one is believed. */
	if (sample > result->sample_count || sample >= CELL_SAMPLES_MAX)
		return;
	if (end == TESTDEV_MARK_CONTROL_END) {
		result->samples[sample].control_ops = ops;
		result->samples[sample].control_ticks = ticks;
	} else {
		result->samples[sample].ops = ops;
		result->samples[sample].ticks = ticks;
		if (sample == result->sample_count)
			result->sample_count++;
	}
}

/* ---- the outcome of a run ---- */

static void take_log(struct cell_result *result, const struct cell_setup *setup)
{
	const struct boot_info *info = cell_setup_boot(setup);
	const struct exit_log_entry *log = (const void *)(setup->l1.memory + LAYOUT_L1_LOG_BASE);
	uint64_t kept;

	if (!(info->flags & BOOT_FLAG_EXIT_LOG))
		return;
	result->log_count = info->log_count;
	kept = result->log_count < LAYOUT_L1_LOG_ENTRIES ? result->log_count : LAYOUT_L1_LOG_ENTRIES;
	for (uint64_t i = 0; i < kept && i < CELL_LOG_MAX; i++)
		result->log[i] = (struct cell_log_entry){log[i].reason, log[i].instruction_length, log[i].qualification,
		        log[i].guest_rip, log[i].interruption_info, log[i].idt_vectoring_info,
		        log[i].guest_physical_address};
}

static void take_console(struct cell_result *result, const struct console *console)
{
	_Static_assert(sizeof(result->console) >= sizeof(console->text), "the console's text fits");
	result->console_bytes = console->bytes;
	memcpy(result->console, console->text, sizeof(console->text));
}

/* What the guest said last is the reason of its end. */
static void guest_ended(struct cell_result *result, const struct vmm *vmm, const struct cell_plan *plan)
{
	const char *line = console_last_line(&vmm->console);
	char reason[CELL_REASON_BYTES];

	switch (vmm->status) {
	case TESTDEV_END_OK:
		if (result->sample_count == plan->samples) {
			finish(result, CELL_OK, "");
			return;
		}
		snprintf(reason, sizeof(reason), "the guest ended after %llu of %llu samples",
		        (unsigned long long)result->sample_count, (unsigned long long)plan->samples);
		finish(result, CELL_FAILED, reason);
		return;
	case TESTDEV_END_REFUSED:
		finish(result, CELL_REFUSED, *line ? line : "the guest refused to run and gave no reason");
		return;
	case TESTDEV_END_FAILED:
		line = *line ? line : "the guest found something wrong and gave no reason";
		if (vmm->nested.failed_check)
			snprintf(reason, sizeof(reason), "VM-entry check failed: %.100s; %.120s",
			        vmm->nested.failed_check, line);
		else
			snprintf(reason, sizeof(reason), "%s", line);
		finish(result, CELL_FAILED, reason);
		return;
	default:
		snprintf(reason, sizeof(reason), "the guest ended with status %d, which means nothing", vmm->status);
		finish(result, CELL_FAILED, reason);
	}
}

/* One run of the guest. Its samples, console, log and end go into result. 0; -errno: it could not even be set up. */
static int run_once(struct cell_result *result, const struct cell_plan *plan, struct ledger *ledger, uint64_t begun_ns)
{
	struct cell_setup setup;
	struct refusal why;
	struct vmm *vmm = &setup.vmm;
	int error;

	if (plan->machine->run_native) {
		error = plan->machine->run_native(plan->workload, plan->samples, plan->ops, result, &why);
		finish(result, error ? CELL_FAILED : CELL_OK, error ? why.text : "");
		return error;
	}
	error = cell_setup_make(&setup, plan, ledger, &why);
	if (error) {
		finish(result, error == -EOPNOTSUPP || error == -EINVAL ? CELL_REFUSED : CELL_FAILED, why.text);
		return error;
	}
	result->virtual_time = vmm->ops->virtual_time;
	result->instruction_clock = vmm->ops->virtual_time || l0_instruction_clock();
	result->tsc_khz = vmm->machine->tsc_khz;
	result->sample_count = 0;
	vmm->on_sample = on_sample;
	vmm->on_sample_ctx = result;
	error = vmm_run(vmm);
	result->have_checksum = vmm->have_checksum;
	result->checksum = vmm->checksum;
	result->machine_counted = vmm->machine_counted;
	result->machine_exits = vmm->machine_counts.exits;
	result->machine_l2_entries = vmm->machine_counts.l2_entries;
	memcpy(result->counters, vmm->nested.counters, sizeof(vmm->nested.counters));
	_Static_assert(COUNTER_COUNT <= CELL_COUNTERS_MAX, "the engine's counters fit");
	result->first_l2_exit_ns = vmm->first_l2_exit_ns ? vmm->first_l2_exit_ns - begun_ns : 0;
	take_console(result, &vmm->console);
	take_log(result, &setup);
	if (plan->stamps)
		stamps_result(&setup.stamps, result);
	if (error)
		finish(result, CELL_FAILED, vmm->why.text);
	else
		guest_ended(result, vmm, plan);
	cell_setup_free(&setup);
	return 0;
}

/* ---- operations per sample ---- */

/* One sample of few operations, recorded nowhere; more of them until it lasts long enough to be believed. 0, or -errno
 * when the cell cannot run (result says why). */
static int calibrate(struct cell_plan *plan, struct cell_result *result)
{
	struct ledger nowhere = {0};
	struct cell_plan trial = *plan;
	const uint64_t least = plan->macro ? CALIBRATION_MACRO_OPS : CALIBRATION_OPS;
	uint64_t us;

	trial.samples = 1;
	for (trial.ops = least;; trial.ops *= 16) {
		const int error = run_once(result, &trial, &nowhere, 0);
		if (error)
			return error;
		if (result->status != CELL_OK)
			return -EIO;
		us = result->samples[0].ticks * 1000 / result->tsc_khz;
		/* A workload may do fewer operations than it was asked to (first touch): then more are not to be had.
		 */
		if (us >= CALIBRATION_LEAST_US || trial.ops >= OPS_MAX || result->samples[0].ops < trial.ops)
			break;
	}
	plan->ops = result->samples[0].ops * SAMPLE_US / (us ? us : 1);
	if (plan->ops < least)
		plan->ops = least;
	if (plan->ops > OPS_MAX)
		plan->ops = OPS_MAX;
	return 0;
}

static int choose_ops(struct cell_plan *plan, struct cell_result *result)
{
	if (!plan->ops_auto)
		return 0;
	if (!plan->machine->virtual_time && !l0_instruction_clock())
		return calibrate(plan, result);
	plan->ops = plan->macro ? plan->macro->virtual_ops : plan->machine->virtual_time ? VIRTUAL_OPS : LAB_OPS;
	return 0;
}

/* ---- the way in ---- */

int l0_check_cell(const struct cell *cell, struct refusal *why)
{
	struct cell_plan plan;
	int error = cell_plan_make(&plan, cell, why);

	if (!error)
		error = plan.machine->probe(why);
	return error ? error : kvm_module_check(cell, why);
}

void l0_run_cell(const struct cell *cell, struct ledger *ledger, struct cell_result *result)
{
	const uint64_t counted = ledger->counted;
	const uint64_t dropped = ledger->shared ? ledger->shared->dropped : 0;
	uint64_t begun = now_ns();
	struct cell_plan plan;
	struct refusal why;
	int error;

	result->status = CELL_RUNNING;
	error = cell_plan_make(&plan, cell, &why);
	if (!error)
		error = plan.machine->probe(&why);
	if (!error)
		error = kvm_module_check(cell, &why);
	if (error) {
		finish(result, CELL_REFUSED, why.text);
		return;
	}
	if (choose_ops(&plan, result) == 0) {
		const uint64_t run_begun = now_ns();
		run_once(result, &plan, ledger, run_begun);
	}
	result->records = ledger->counted - counted;
	result->dropped = ledger->shared ? ledger->shared->dropped - dropped : 0;
	result->wall_ns = now_ns() - begun;
}
