/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that must not change what happens, only what it costs; what stamps and ops=auto promise; refusals. */
#include "behave.h"

#include <stdio.h>
#include <string.h>

static const char *machine;

/* The same exits as with the defaults. */
static const char *const harmless[] = {"ept12_page=4k", "merge=full", "ept02=auto", "exit_log=on", "record=off"};

static void check_harmless(const char *workload)
{
	struct behave_cell plain, other;
	char settings[160];

	snprintf(settings, sizeof(settings), "machine=%s workload=%s ops=5 samples=2", machine, workload);
	behave_run(&plain, settings);
	behave_check(plain.result.status == CELL_OK, "%s: %s", settings, plain.result.reason);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		snprintf(settings, sizeof(settings), "machine=%s workload=%s ops=5 samples=2 %s", machine, workload,
		        harmless[i]);
		behave_run(&other, settings);
		behave_check(other.result.status == CELL_OK, "%s: %s", settings, other.result.reason);
		behave_check(other.exits[2] == plain.exits[2] && other.exits[1] == plain.exits[1],
		        "%s: %lu exits of L2 and %lu of L1, without it %lu and %lu", settings, other.exits[2],
		        other.exits[1], plain.exits[2], plain.exits[1]);
		behave_free(&other);
	}
	behave_free(&plain);
}

/* Each operation is one round trip with stamps, and its parts are no longer than the whole sample. */
static void check_stamps(void)
{
	struct behave_cell b;
	char settings[160];

	snprintf(settings, sizeof(settings), "machine=%s workload=cpuid stamps=on ops=20 samples=2", machine);
	behave_run(&b, settings);
	const struct cell_result *r = &b.result;
	if (r->status == CELL_REFUSED) {
		behave_check(strstr(r->reason, "TSC") != NULL, "%s: %s", settings, r->reason);
		behave_free(&b);
		return;
	}
	const uint64_t parts = r->stamp_sum[STAMP_L2_TO_L0] + r->stamp_sum[STAMP_REFLECT] +
	                       r->stamp_sum[STAMP_L0_TO_L1] + r->stamp_sum[STAMP_L1_HANDLER] +
	                       r->stamp_sum[STAMP_L1_TO_L0] + r->stamp_sum[STAMP_MERGE] + r->stamp_sum[STAMP_L0_TO_L2];
	uint64_t ticks = 0;
	for (uint64_t i = 0; i < r->sample_count; i++)
		ticks += r->samples[i].ticks;
	behave_check(r->status == CELL_OK && r->stamp_count == 40, "%s: %lu round trips with stamps: %s", settings,
	        r->stamp_count, r->reason);
	behave_check(r->stamp_sum[STAMP_L1_HANDLER] > 0 && r->stamp_sum[STAMP_L2_TO_L0] > 0,
	        "%s: a part of the guests' own took no time", settings);
	behave_check(
	        parts > 0 && parts <= ticks, "%s: the parts are %lu ticks, the samples %lu", settings, parts, ticks);
	behave_free(&b);
}

/* ops=auto chooses a number, the same for each sample. */
static void check_auto(void)
{
	struct behave_cell b;
	char settings[128];

	snprintf(settings, sizeof(settings), "machine=%s workload=pio level=1 samples=3", machine);
	behave_run(&b, settings);
	behave_check(b.result.status == CELL_OK && b.result.sample_count == 3, "%s: %s", settings, b.result.reason);
	behave_check(b.result.samples[0].ops >= 16 && b.result.samples[0].ops == b.result.samples[2].ops,
	        "%s: %lu and %lu operations", settings, b.result.samples[0].ops, b.result.samples[2].ops);
	/* The run that chose it is not in the ledger. */
	behave_check(b.exits[1] == b.ops, "%s: %lu exits for %lu operations", settings, b.exits[1], b.ops);
	behave_check(b.result.records == b.shared->head && b.result.dropped == 0, "%s: %lu records, %lu in the ring",
	        settings, b.result.records, b.shared->head);
	behave_free(&b);
}

static void check_refused(const char *setting, const char *says)
{
	struct behave_cell b;
	struct refusal why;
	char settings[128];

	snprintf(settings, sizeof(settings), "machine=%s %s", machine, setting);
	behave_run(&b, settings);
	behave_check(b.result.status == CELL_REFUSED && strstr(b.result.reason, says) != NULL, "%s: %s: %s", settings,
	        cell_status_name((enum cell_status)b.result.status), b.result.reason);
	behave_check(l0_check_cell(&b.cell, &why) != 0 && strstr(why.text, says) != NULL, "%s: %s", settings, why.text);
	behave_free(&b);
}

int main(int argc, char **argv)
{
	machine = argc > 1 ? argv[1] : "kvm";
	behave_need(machine);
	check_harmless("cpuid");
	check_harmless("mmio");
	check_harmless("touch-4k");
	check_stamps();
	check_auto();
	if (!strcmp(machine, "kvm")) {
		check_refused("mmu=shadow", "page-fault exits");
		check_refused("ept02=lazy", "use ept02=eager");
	}
	check_refused("level=1 stamps=on", "needs level=2");
	return behave_finish();
}
