/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control-register accesses that exit to L0: CR3 where a cell measures it, and the bits of CR0 and CR4 that L0 owns.
 * Exit qualification, SDM vol. 3, table 28-3: bits 3:0 the register, 5:4 the access, 11:8 the general register.
 */
#include "l0/vmm.h"

#include <errno.h>

#include "shadowvmcs/x86.h"

enum access { ACCESS_TO, ACCESS_FROM };

static void access_cr3(struct vmm *vmm, struct vmcs *vmcs, enum access access, unsigned gpr)
{
	if (access == ACCESS_TO) {
		/* Bit 63 only says whether to keep translations; L0 drops them in either case (SDM vol. 3, 4.10.4.1).
		 */
		emulate_set(vmcs, VMCS_GUEST_CR3, emulate_gpr(vmm, vmcs, gpr) & ~(1ull << 63));
		emulate_forget_linear(vmm, vmcs);
	} else if (gpr == GPR_RSP) {
		vmcs_set(vmcs, VMCS_GUEST_RSP, emulate_get(vmm, vmcs, VMCS_GUEST_CR3));
	} else {
		vmm->regs.gpr[gpr] = emulate_get(vmm, vmcs, VMCS_GUEST_CR3);
	}
	emulate_advance(vmcs);
}

/* What MOV to CR0 refuses whatever else holds (SDM vol. 2, MOV to control registers). */
static bool cr0_good(uint64_t value)
{
	return !(value >> 32) && (!(value & CR0_PG) || (value & CR0_PE)) && (!(value & CR0_NW) || (value & CR0_CD));
}

static bool cr4_good(struct vmm *vmm, struct vmcs *vmcs, uint64_t value)
{
	const uint64_t old = emulate_get(vmm, vmcs, VMCS_GUEST_CR4);
	const bool long_mode = emulate_get(vmm, vmcs, VMCS_GUEST_IA32_EFER) & EFER_LMA;

	if (value & ~vmm->machine->caps.cr4_fixed1)
		return false;
	if (long_mode && !(value & CR4_PAE))
		return false;
	return !(value & ~old & CR4_PCIDE) || (long_mode && !(emulate_get(vmm, vmcs, VMCS_GUEST_CR3) & 0xfff));
}

/*
 * L1 writes bits L0 owns (vmcs01_start_multiboot). The read shadow takes its value; then the instruction executes
 * again, exits no more, and the processor does the rest of it. In VMX operation the bits are fixed (24.8), for L2 too.
 */
static void write_owned(struct vmm *vmm, struct vmcs *vmcs, bool cr0, uint64_t value)
{
	const enum vmcs_field shadow = cr0 ? VMCS_CR0_READ_SHADOW : VMCS_CR4_READ_SHADOW;
	const bool good = cr0 ? cr0_good(value) : cr4_good(vmm, vmcs, value);

	if (!good || vmm->nested.vmx_on)
		emulate_fault(vmm, VECTOR_GP, true, 0);
	else
		vmcs_set(vmcs, shadow, value);
}

/* CR8 of an L2 that has L1's: the local APIC's task priority. L1's own does not exit (TPR shadow of vmcs01). */
static void access_cr8(struct vmm *vmm, struct vmcs *vmcs, enum access access, unsigned gpr)
{
	const uint64_t value = emulate_gpr(vmm, vmcs, gpr);

	if (access == ACCESS_TO && value > 15) {
		emulate_fault(vmm, VECTOR_GP, true, 0);
		return;
	}
	if (access == ACCESS_TO)
		lapic_set_cr8(&vmm->interrupts.lapic, value);
	else if (gpr == GPR_RSP)
		vmcs_set(vmcs, VMCS_GUEST_RSP, lapic_get_cr8(&vmm->interrupts.lapic));
	else
		vmm->regs.gpr[gpr] = lapic_get_cr8(&vmm->interrupts.lapic);
	emulate_advance(vmcs);
}

int emulate_cr(struct vmm *vmm, struct vmcs *vmcs, unsigned level)
{
	const uint64_t qualification = vmcs_get(vmcs, VMCS_EXIT_QUALIFICATION);
	const unsigned cr = qualification & 15, access = qualification >> 4 & 3, gpr = qualification >> 8 & 15;

	if (cr == 3 && access <= ACCESS_FROM) {
		access_cr3(vmm, vmcs, (enum access)access, gpr);
		return 0;
	}
	if (cr == 8 && access <= ACCESS_FROM && vmm->interrupts.on) {
		access_cr8(vmm, vmcs, (enum access)access, gpr);
		return 0;
	}
	if ((cr == 0 || cr == 4) && access == ACCESS_TO && vmm->config.memory.foreign) {
		uint64_t value = emulate_gpr(vmm, vmcs, gpr);
		if (!(vmcs_get(vmcs, VMCS_GUEST_CS_ACCESS_RIGHTS) & AR_L))
			value = (uint32_t)value;
		write_owned(vmm, vmcs, cr == 0, value);
		return 0;
	}
	return vmm_fail(vmm, -EOPNOTSUPP,
	        "level %u accessed CR%u (access type %u) at RIP %#llx, which L0 does not intercept: report this exit",
	        level, cr, access, (unsigned long long)vmcs_get(vmcs, VMCS_GUEST_RIP));
}
