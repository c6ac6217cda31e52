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
};

extern const struct machine_ops machine_soft;

#endif
