/* SPDX-License-Identifier: Apache-2.0 */
/* Exit multiplication is exact: each workload, level, way to vmcs12 and profile against the count its L1 promises. */
#include "behave.h"

#include <stdio.h>
#include <string.h>

#include "abi/boot_info.h"
#include "l1/expected.h"

static const char *machine;

static const struct {
	const char *name;
	uint16_t reason;
} workloads[] = {
#define EXIT_REASON_NONE EXIT_REASON_LIMIT
#define WORKLOAD(name, exit, unit, text) {name, EXIT_REASON_##exit},
#include "workloads/workloads.def"
#undef WORKLOAD
};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static const char *const modes[] = {
        [BOOT_VMCS_TRAP] = "trap", [BOOT_VMCS_SHADOW] = "shadow", [BOOT_VMCS_DIRECT] = "direct"};
static const char *const profiles[] = {[BOOT_PROFILE_MINIMAL] = "minimal",
        [BOOT_PROFILE_KVM] = "kvm",
        [BOOT_PROFILE_HAXM] = "haxm",
        [BOOT_PROFILE_KVM_PIO] = "kvm-pio"};

static bool lazy; /* this machine builds EPT02 on demand unless told otherwise */

/* The fields this machine fetches on demand, which L1's promise depends on. */
static struct vmcs_mask on_demand_of(void)
{
	struct machine_config config = {.ram_bytes = 4u << 20};
	struct vmcs_mask mask = {{0}};
	struct machine *made;
	struct refusal why;

	if (machine_find(machine)->create(&made, &config, &why) == 0) {
		mask = made->caps.on_demand;
		lazy = made->caps.ept02_lazy;
		made->ops->destroy(made);
	}
	return mask;
}

/* At level 1 an operation is one exit, of its own reason; the sleeper's is two. */
static void check_level_1(size_t w)
{
	const bool hlt = !strcmp(workloads[w].name, "hlt");
	char settings[128];
	struct behave_cell b;

	snprintf(settings, sizeof(settings), "machine=%s level=1 workload=%s ops=5 samples=2", machine,
	        workloads[w].name);
	behave_run(&b, settings);
	behave_check(b.result.status == CELL_OK, "%s: %s", settings, b.result.reason);
	const uint64_t per_op = workloads[w].reason == EXIT_REASON_LIMIT ? 0 : hlt ? 2 : 1;
	behave_check(b.ops == 10 && b.exits[1] == per_op * b.ops && b.exits[2] == 0,
	        "%s: %lu operations made %lu exits of L1 and %lu of L2, not %lu and 0", settings, b.ops, b.exits[1],
	        b.exits[2], per_op * b.ops);
	if (per_op)
		behave_check(b.by_reason[1][workloads[w].reason] == b.ops, "%s: %lu exits %s for %lu operations",
		        settings, b.by_reason[1][workloads[w].reason], exit_reason_name(workloads[w].reason), b.ops);
	behave_free(&b);
}

static void check_level_2(size_t w, unsigned mode, unsigned profile, bool log, const struct vmcs_mask *on_demand)
{
	const struct l1_expected_settings wanted = {.workload = workloads[w].name,
	        .vmcs_mode = mode,
	        .profile = profile,
	        .mmu_mode = BOOT_MMU_EPT,
	        .exit_log = log,
	        .on_demand = *on_demand};
	struct l1_expected e;
	struct behave_cell b;
	char settings[160];

	snprintf(settings, sizeof(settings),
	        "machine=%s level=2 workload=%s vmcs=%s profile=%s exit_log=%s ops=4 samples=1", machine,
	        workloads[w].name, modes[mode], profiles[profile], log ? "on" : "off");
	behave_check(l1_expected_counts(&wanted, &e) == 0, "%s: no expectation", settings);
	behave_run(&b, settings);
	behave_check(b.result.status == CELL_OK, "%s: %s", settings, b.result.reason);
	behave_check(b.ops == 4, "%s: %lu operations", settings, b.ops);
	/* What EPT12 gained by L1's handling comes out once more where EPT02 is built on demand. */
	const uint64_t repairs = lazy && !strncmp(workloads[w].name, "touch", 5) ? b.ops : 0;
	behave_check(b.exits[2] == e.l2_exits * b.ops + repairs &&
	                     b.by_handler[2][LEDGER_BY_L1] == e.l2_exits * b.ops &&
	                     b.by_handler[2][LEDGER_BY_EPT02] == repairs,
	        "%s: %lu exits of L2 (%lu reflected, %lu repaired), not %lu and %lu repaired", settings, b.exits[2],
	        b.by_handler[2][LEDGER_BY_L1], b.by_handler[2][LEDGER_BY_EPT02], e.l2_exits * b.ops, repairs);
	behave_check(b.exits[1] == e.l1_exits * b.ops, "%s: %lu exits of L1, not %lu", settings, b.exits[1],
	        e.l1_exits * b.ops);
	behave_check(b.enters_l2 == e.vmx_entries * b.ops, "%s: %lu entries into L2, not %lu", settings, b.enters_l2,
	        e.vmx_entries * b.ops);
	behave_check(b.by_reason[1][EXIT_REASON_VMREAD] + b.by_reason[1][EXIT_REASON_VMWRITE] ==
	                     (e.accesses + e.fetches) * b.ops,
	        "%s: %lu VMREAD and %lu VMWRITE exits, not %lu in all", settings, b.by_reason[1][EXIT_REASON_VMREAD],
	        b.by_reason[1][EXIT_REASON_VMWRITE], (e.accesses + e.fetches) * b.ops);
	if (e.l2_exits)
		behave_check(b.by_reason[2][workloads[w].reason] == b.ops + repairs,
		        "%s: %lu exits %s for %lu operations", settings, b.by_reason[2][workloads[w].reason],
		        exit_reason_name(workloads[w].reason), b.ops);
	behave_free(&b);
}

/* The numbers of the Turtles paper's cases, written down here and not derived from anything. */
static void check_multiplication(void)
{
	static const struct {
		const char *workload, *profile, *vmcs;
		unsigned multiplication;
	} known[] = {{"cpuid", "kvm", "trap", 13}, {"cpuid", "kvm", "shadow", 2}, {"cpuid", "kvm", "direct", 2},
	        {"cpuid", "haxm", "trap", 57}, {"cpuid", "haxm", "shadow", 2}, {"cpuid", "haxm", "direct", 2},
	        {"cpuid", "minimal", "trap", 5}, {"cpuid", "minimal", "shadow", 2}, {"cpuid", "minimal", "direct", 2},
	        {"pio", "kvm-pio", "trap", 31}, {"pio", "kvm-pio", "direct", 14}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct behave_cell b;
		char settings[128];
		snprintf(settings, sizeof(settings), "machine=%s workload=%s profile=%s vmcs=%s ops=10 samples=1",
		        machine, known[i].workload, known[i].profile, known[i].vmcs);
		behave_run(&b, settings);
		behave_check(b.result.status == CELL_OK && b.exits[2] == 10 &&
		                     b.exits[1] + b.exits[2] == known[i].multiplication * b.exits[2],
		        "%s: (%lu + %lu) / %lu is not %u: %s", settings, b.exits[1], b.exits[2], b.exits[2],
		        known[i].multiplication, b.result.reason);
		behave_free(&b);
	}
}

int main(int argc, char **argv)
{
	struct vmcs_mask on_demand;

	machine = argc > 1 ? argv[1] : "kvm";
	behave_need(machine);
	on_demand = on_demand_of();
	check_multiplication();
	for (size_t w = 0; w < WORKLOADS; w++) {
		check_level_1(w);
		for (unsigned mode = 0; mode < 3; mode++) {
			for (unsigned profile = 0; profile <= BOOT_PROFILE_KVM_PIO; profile++)
				check_level_2(w, mode, profile, false, &on_demand);
			check_level_2(w, mode, BOOT_PROFILE_KVM, true, &on_demand);
		}
	}
	return behave_finish();
}
