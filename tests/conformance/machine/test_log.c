/* SPDX-License-Identifier: Apache-2.0 */
/* L1's exit log: what L1 was told of each L2 exit is right, and the same on each run, way to vmcs12 and machine. */
#include "behave.h"

#include <stdio.h>
#include <string.h>

static const char *machine, *other;

static const char *const workloads[] = {
#define WORKLOAD(name, exit, unit, text) name,
#include "workloads/workloads.def"
#undef WORKLOAD
};

static void run_logged(struct behave_cell *b, const char *on, const char *workload, const char *vmcs)
{
	char settings[128];

	snprintf(settings, sizeof(settings), "machine=%s workload=%s vmcs=%s exit_log=on ops=5 samples=2", on, workload,
	        vmcs);
	behave_run(b, settings);
	behave_check(b->result.status == CELL_OK, "%s: %s", settings, b->result.reason);
	behave_check(b->result.log_count >= 1 || !strcmp(workload, "null"), "%s: the log is empty", settings);
}

static void compare(const struct behave_cell *a, const struct behave_cell *b, const char *workload, const char *what)
{
	behave_check(a->result.log_count == b->result.log_count, "%s, %s: %lu and %lu entries", workload, what,
	        a->result.log_count, b->result.log_count);
	for (uint64_t i = 0; i < a->result.log_count && i < b->result.log_count && i < CELL_LOG_MAX; i++) {
		const struct cell_log_entry *x = &a->result.log[i], *y = &b->result.log[i];
		const bool same = x->reason == y->reason && x->qualification == y->qualification &&
		                  x->instruction_length == y->instruction_length && x->guest_rip == y->guest_rip &&
		                  x->interruption_info == y->interruption_info &&
		                  x->idt_vectoring_info == y->idt_vectoring_info &&
		                  x->guest_physical_address == y->guest_physical_address;
		behave_check(same,
		        "%s, %s, entry %lu: %s qualification %lx length %u RIP %lx interruption %lx; "
		        "%s qualification %lx length %u RIP %lx interruption %lx",
		        workload, what, i, exit_reason_name(x->reason), x->qualification, x->instruction_length,
		        x->guest_rip, x->interruption_info, exit_reason_name(y->reason), y->qualification,
		        y->instruction_length, y->guest_rip, y->interruption_info);
		if (!same)
			break;
	}
}

static void check_workload(const char *workload)
{
	static const char *const modes[] = {"shadow", "direct"};
	struct behave_cell first, again;

	run_logged(&first, machine, workload, "trap");
	run_logged(&again, machine, workload, "trap");
	compare(&first, &again, workload, "two runs");
	behave_free(&again);
	for (unsigned i = 0; i < 2; i++) {
		run_logged(&again, machine, workload, modes[i]);
		compare(&first, &again, workload, modes[i]);
		behave_free(&again);
	}
	if (other) {
		run_logged(&again, other, workload, "trap");
		compare(&first, &again, workload, other);
		behave_free(&again);
	}
	behave_free(&first);
}

/* Arguments: the machine, and another one whose logs must be the same. */
int main(int argc, char **argv)
{
	machine = argc > 1 ? argv[1] : "kvm";
	other = argc > 2 ? argv[2] : NULL;
	behave_need(machine);
	if (other)
		behave_need(other);
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
		check_workload(workloads[i]);
	return behave_finish();
}
