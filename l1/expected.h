/* SPDX-License-Identifier: Apache-2.0 */
/**
 * What one operation of a workload at level 2 costs in exits, computed from profiles.def and exit_fields.def. For the
 * host: tests compare it with ledgers, and `testudo` can show it beside a measurement.
 */
#ifndef TESTUDO_L1_EXPECTED_H
#define TESTUDO_L1_EXPECTED_H

#include <stdbool.h>

#include "shadowvmcs/vmcs.h"

/** The settings of a cell that the counts depend on. */
struct l1_expected_settings {
	const char *workload; /**< as in workloads.def */
	unsigned vmcs_mode;   /**< BOOT_VMCS_* */
	unsigned profile;     /**< BOOT_PROFILE_* */
	unsigned mmu_mode;    /**< BOOT_MMU_* */
	bool exit_log;
	bool ept02_lazy; /**< EPT02 is built on demand: a page L1 has just mapped costs one exit more, for L0 alone */
	/** machine_caps.on_demand: fields that are not shadowed, and stale after an exit. */
	struct vmcs_mask on_demand;
};

/** Counts of one operation. */
struct l1_expected {
	unsigned l2_exits;    /**< exits from L2 */
	unsigned reflected;   /**< of those, reflected to L1; L0 handles the others alone */
	unsigned l1_exits;    /**< exits from L1: the sum of the next four */
	unsigned vmx_entries; /**< VMRESUME */
	unsigned accesses;    /**< VMREAD and VMWRITE (or their paravirtual calls) that exit */
	unsigned fetches;     /**< PV_VMFETCH calls (vmcs=direct) */
	unsigned others;      /**< instructions of handlers that exit (the real timer's OUT, HLT) */
};

/** 0, or -ENOENT when there is no such workload. A workload without exits gives zeros. */
int l1_expected_counts(const struct l1_expected_settings *settings, struct l1_expected *expected);

#endif
