/* SPDX-License-Identifier: Apache-2.0 */
/** What the soft CPU's CPUID shows: the one place that says which instruction sets it has. */
#ifndef TESTUDO_L0_SOFT_CPUID_H
#define TESTUDO_L0_SOFT_CPUID_H

#include <stdint.h>

struct soft_cpuid {
	uint32_t eax, ebx, ecx, edx;
};

/* Leaf 1, ECX: bits that L0 decides (VMX) or that follow CR4 (OSXSAVE). */
#define CPUID_1_ECX_VMX (1u << 5)
#define CPUID_1_ECX_OSXSAVE (1u << 27)

/**
 * The leaf as the processor itself would show it (SDM vol. 2, CPUID), VMX included, OSXSAVE clear. CPUID always exits
 * in VMX non-root operation, so L0 calls this on the exit and changes what depends on the guest.
 */
void soft_cpuid(uint32_t leaf, uint32_t subleaf, struct soft_cpuid *out);

#endif
