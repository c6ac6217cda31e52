/* SPDX-License-Identifier: Apache-2.0 */
/** Between cell.c (a cell from its settings to its result) and cell_setup.c (guest memory and VMM of one run of it). */
#ifndef TESTUDO_L0_CELL_H
#define TESTUDO_L0_CELL_H

#include "l0/image.h"
#include "l0/layout.h"
#include "l0/vmm.h"
#include "results/cell.h"

/** A cell's settings, as numbers. */
struct cell_plan {
	const struct machine_ops *machine;
	unsigned level;
	const char *workload;
	enum shadow_mode vmcs;
	uint32_t profile;
	bool ept12_small; /**< 4 KiB leaves */
	enum ept02_mode ept02;
	bool ept02_auto; /**< the machine's best: known when it was made */
	bool mmu_shadow, merge_full, exit_log, stamps;
	uint64_t samples, ops, warmup;
	bool ops_auto;
	uint64_t touch_base, touch_page, touch_bytes;
	const struct macro_info *macro; /**< NULL: a micro workload */
};

/** What L0 knows of a macro workload. */
struct macro_info {
	const char *name;
	uint64_t virtual_ops;
};

/** Settings that contradict one another or the machine's nature are refused. 0 or -errno. */
int cell_plan_make(struct cell_plan *plan, const struct cell *cell, struct refusal *why);

/** Build machine, guest memory and images for one run of the plan. 0 or -errno; then cell_setup_free. */
struct cell_setup {
	struct vmm vmm;
	struct image l1_image, l2_image;
	struct guest_space l1, l2; /**< l2.memory = NULL at level 1 */
	struct stamps stamps;
};
int cell_setup_make(struct cell_setup *setup, const struct cell_plan *plan, struct ledger *ledger, struct refusal *why);
void cell_setup_free(struct cell_setup *setup);

/** L1's boot info as it stands in guest memory. */
static inline const struct boot_info *cell_setup_boot(const struct cell_setup *setup)
{
	return (const struct boot_info *)(setup->l1.memory + BOOT_GPA_INFO);
}

#endif
