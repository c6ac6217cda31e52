/* SPDX-License-Identifier: Apache-2.0 */
/** Module kvm_intel on this host: the parameters that decide how the kernel nests, and changing them. */
#ifndef TESTUDO_L0_KVM_MODULE_H
#define TESTUDO_L0_KVM_MODULE_H

#include <stdbool.h>

#include "l0/machine.h"
#include "results/cell.h"

enum kvm_module_switch {
	KVM_MODULE_OFF,
	KVM_MODULE_ON,
	KVM_MODULE_ANY, /**< unknown; or, of what a cell asks for: whatever it is */
};

struct kvm_module {
	bool loaded; /**< kvm_intel is there */
	enum kvm_module_switch nested, shadow_vmcs, ept, vpid;
};

/** What is loaded, from /sys/module/kvm_intel/parameters. */
void kvm_module_read(struct kvm_module *module);
/** What the cell asks for: its kvm.* settings; and on nvmx vmcs=trap means shadowing off, vmcs=shadow on. */
void kvm_module_of_cell(struct kvm_module *wanted, const struct cell *cell);
/** Does what is loaded serve the cell? 0, or -EOPNOTSUPP with the sentence. */
int kvm_module_check(const struct cell *cell, struct refusal *why);
/** Reload kvm_intel so that it serves the cell; nothing when it does already. Needs root, and that no VM runs. From the
 * file $TESTUDO_KVM_MODULE, or with modprobe. 0 or -errno with the sentence. */
int kvm_module_switch_to(const struct cell *cell, struct refusal *why);

#endif
