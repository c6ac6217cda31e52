/* SPDX-License-Identifier: Apache-2.0 */
/**
 * The nvmx machine: one VM of /dev/kvm with VMX offered to L1. The kernel runs L2, merges, routes and reflects; L0 sees
 * only what leaves the kernel. It is made of the kvm machine's parts (l0/kvm/kvm.h, `nests`).
 *
 *   machine.c  machine_ops
 *   counts.c   KVM's statistics of the vCPU: exits and nested entries
 *   module.c   which of EPT, VPID and VMCS shadowing the kernel uses: parameters of module kvm_intel
 */
#ifndef TESTUDO_L0_NVMX_NVMX_H
#define TESTUDO_L0_NVMX_NVMX_H

#include <stdbool.h>
#include <stddef.h>

#include "l0/kvm/kvm.h"

extern const struct machine_ops machine_nvmx;

/* ---- counts.c ---- */
/** KVM's statistics of the vCPU so far. 0, or -errno: this kernel has no statistics descriptors (before 5.14), or
 * lacks one of them. */
int nvmx_count(struct machine *machine, struct machine_counts *counts);

#endif
