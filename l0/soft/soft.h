/* SPDX-License-Identifier: Apache-2.0 */
/** The soft machine: one CPU and its memory. */
#ifndef TESTUDO_L0_SOFT_SOFT_H
#define TESTUDO_L0_SOFT_SOFT_H

#include "internal.h"

struct soft_machine {
	struct machine base;
	struct soft_memory memory;
	struct ept02_tree tree;     /**< builds EPT01 and EPT02 from pool pages */
	struct ept02_backend ept01; /**< the same builder, as EPT01 uses it */
	struct soft_cpu cpu;
	/** The completion of an MMIO instruction met an exit of its own, which this VMCS holds: the next enter gives
	 * it.
	 */
	const struct vmcs *pending_exit;
	uint64_t pending_clock, pending_rcx; /**< clock() and RCX when pending_count began */
	unsigned pending_count;              /**< such exits without progress (an instruction, or an iteration) since */
};

extern const struct machine_ops machine_soft;

#endif
