/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID as L0 answers it: one processor model for every host, so that a guest sees the same on each machine. It has
 * what the soft CPU executes, and VMX where L1 gets real VMX instructions. SDM vol. 2, CPUID.
 */
#include "l0/vmm.h"

#include "abi/testdev.h"

struct answer {
	uint32_t eax, ebx, ecx, edx;
};

#define FAMILY_MODEL_STEPPING 0x000306a9 /* family 6 */

/* Leaf 1 EDX. */
#define F1_EDX                                                                                                         \
	((1u << 0 /* FPU */) | (1u << 3 /* PSE */) | (1u << 4 /* TSC */) | (1u << 5 /* MSR */) | (1u << 6 /* PAE */) | \
	        (1u << 8 /* CX8 */) | (1u << 9 /* APIC */) | (1u << 12 /* MTRR */) | (1u << 13 /* PGE */) |            \
	        (1u << 15 /* CMOV */) | (1u << 16 /* PAT */) | (1u << 17 /* PSE-36 */) | (1u << 19 /* CLFSH */) |      \
	        (1u << 24 /* FXSR */) | (1u << 25 /* SSE */) | (1u << 26 /* SSE2 */))
/* Leaf 1 ECX; bit 5 is VMX, bit 31 says that a hypervisor answers. */
#define F1_ECX                                                                                                         \
	((1u << 13 /* CX16 */) | (1u << 17 /* PCID */) | (1u << 21 /* x2APIC */) | (1u << 23 /* POPCNT */) | (1u << 31))
#define F1_ECX_VMX (1u << 5)
#define F1_EDX_APIC (1u << 9)
#define F1_ECX_OSXSAVE (1u << 27)
#define CR4_OSXSAVE (1ull << 18)

/* Leaf 7 EBX: SMEP, SMAP. */
#define F7_EBX ((1u << 7) | (1u << 20))

/* Leaf 80000001. */
#define E1_ECX (1u << 0) /* LAHF in 64-bit mode */
#define E1_EDX                                                                                                         \
	((1u << 11 /* SYSCALL */) | (1u << 20 /* NX */) | (1u << 26 /* 1 GiB pages */) | (1u << 29 /* long mode */))

/* A machine that does not describe itself has no RDTSCP and no INVPCID: KVM would run them whatever L1 asks for. */
static struct answer model(const struct vmm *vmm, uint32_t leaf)
{
	const struct machine_caps *caps = &vmm->machine->caps;

	switch (leaf) {
	case 0: /* "GenuineIntel": software looks for VMX only there */
		return (struct answer){7, 0x756e6547, 0x6c65746e, 0x49656e69};
	case 1:
		return (struct answer){FAMILY_MODEL_STEPPING, 1u << 16 | 8u << 8, F1_ECX, F1_EDX};
	case 7:
		return (struct answer){0, F7_EBX, 0, 0};
	case 0x80000000:
		return (struct answer){0x80000008, 0, 0, 0};
	case 0x80000001:
		return (struct answer){0, 0, E1_ECX, E1_EDX};
	case 0x80000008:
		return (struct answer){48u << 8 | (caps->physical_address_bits ? caps->physical_address_bits
		                                                               : VMX_PHYSICAL_ADDRESS_BITS),
		        0, 0, 0};
	default:
		return (struct answer){0};
	}
}

void emulate_cpuid(struct vmm *vmm, struct vmcs *vmcs)
{
	uint64_t *gpr = vmm->regs.gpr;
	const uint32_t leaf = (uint32_t)gpr[GPR_RAX], subleaf = (uint32_t)gpr[GPR_RCX];
	struct answer answer;

	if (leaf == TESTDEV_CPUID_LEAF) {
		answer = (struct answer){TESTDEV_CPUID_MAGIC, 0, 0, 0};
	} else if (vmm->ops->cpuid) {
		uint32_t registers[4] = {0};
		vmm->ops->cpuid(vmm->machine, leaf, subleaf, registers);
		answer = (struct answer){registers[0], registers[1], registers[2], registers[3]};
	} else {
		answer = model(vmm, leaf);
	}
	if (leaf == 1) {
		answer.ecx &= ~(F1_ECX_OSXSAVE | F1_ECX_VMX);
		if (emulate_get(vmm, vmcs, VMCS_GUEST_CR4) & CR4_OSXSAVE)
			answer.ecx |= F1_ECX_OSXSAVE;
		/* What L1 is offered; an L2 whose L1 lets L0 answer has no VMX. */
		if (vmm->machine->caps.real_vmx && !vmm->nested.in_l2)
			answer.ecx |= F1_ECX_VMX;
		if (vmm->interrupts.on && !(vmm->interrupts.lapic.base_msr & LAPIC_BASE_ENABLED))
			answer.edx &= ~F1_EDX_APIC; /* SDM vol. 3, 11.4.3 */
	}
	gpr[GPR_RAX] = answer.eax;
	gpr[GPR_RBX] = answer.ebx;
	gpr[GPR_RCX] = answer.ecx;
	gpr[GPR_RDX] = answer.edx;
}
