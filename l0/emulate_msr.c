/* SPDX-License-Identifier: Apache-2.0 */
/* RDMSR and WRMSR that L0 intercepts. SDM vol. 4; an unknown MSR is #GP(0). */
#include "l0/vmm.h"

#include <errno.h>

#include "abi/testdev.h"
#include "shadowvmcs/x86.h"

#define MSR_IA32_TSC 0x10u
#define MSR_IA32_PLATFORM_ID 0x17u
#define MSR_IA32_BIOS_SIGN_ID 0x8bu
#define MSR_IA32_MCG_CAP 0x179u
#define MSR_IA32_MCG_STATUS 0x17au
#define MSR_IA32_MTRRCAP 0xfeu
#define MSR_IA32_MISC_ENABLE 0x1a0u
#define MSR_IA32_MTRR_DEF_TYPE 0x2ffu

/* MSRs a VMCS field holds. */
static int field_of(uint32_t msr)
{
	switch (msr) {
	case MSR_IA32_SYSENTER_CS:
		return VMCS_GUEST_IA32_SYSENTER_CS;
	case MSR_IA32_SYSENTER_ESP:
		return VMCS_GUEST_IA32_SYSENTER_ESP;
	case MSR_IA32_SYSENTER_EIP:
		return VMCS_GUEST_IA32_SYSENTER_EIP;
	case MSR_IA32_DEBUGCTL:
		return VMCS_GUEST_IA32_DEBUGCTL;
	case MSR_IA32_PAT:
		return VMCS_GUEST_IA32_PAT;
	case MSR_IA32_EFER:
		return VMCS_GUEST_IA32_EFER;
	case MSR_IA32_FS_BASE:
		return VMCS_GUEST_FS_BASE;
	case MSR_IA32_GS_BASE:
		return VMCS_GUEST_GS_BASE;
	default:
		return -1;
	}
}

static bool is_vmx_msr(uint32_t msr)
{
	return msr == MSR_IA32_FEATURE_CONTROL || (msr >= VMX_MSR_FIRST && msr < VMX_MSR_FIRST + VMX_MSR_COUNT);
}

/* ---- the TSC of a foreign L1: the clock, moved by vmcs01's offset ---- */

static uint64_t tsc_offset01(const struct vmm *vmm)
{
	return vmcs_get(&vmm->vmcs01, VMCS_TSC_OFFSET);
}

/* A TSC deadline as a value of the clock; 0 disarms, so a deadline before the clock's 0 is at once. */
static uint64_t deadline_clock(const struct vmm *vmm, uint64_t deadline)
{
	const uint64_t clock = deadline - tsc_offset01(vmm);

	if (!deadline)
		return 0;
	return clock && clock >> 63 == 0 ? clock : 1;
}

/* There is one TSC: whoever writes it, and by an MSR list too, L2's moves with L1's. Offsets do not count (26.3). */
static bool write_tsc(struct vmm *vmm, uint64_t value)
{
	struct vmcs *vmcs02 = &vmm->nested.vmcs02;
	const uint64_t moved = value - vmm->ops->clock(vmm->machine) - tsc_offset01(vmm);

	if (!vmm->interrupts.on)
		return false;
	vmcs_set(&vmm->vmcs01, VMCS_TSC_OFFSET, tsc_offset01(vmm) + moved);
	vmcs_set(vmcs02, VMCS_TSC_OFFSET, vmcs_get(vmcs02, VMCS_TSC_OFFSET) + moved);
	return true;
}

bool emulate_list_read_msr(struct vmm *vmm, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_IA32_TSC && vmm->interrupts.on) {
		*value = vmm->ops->clock(vmm->machine) + tsc_offset01(vmm);
		return true;
	}
	return !vmm->ops->read_msr(vmm->machine, vmm->nested.in_l2 ? 2 : 1, msr, value);
}

bool emulate_list_write_msr(struct vmm *vmm, uint32_t msr, uint64_t value)
{
	if (msr == MSR_IA32_TSC && vmm->interrupts.on)
		return write_tsc(vmm, value);
	return !vmm->ops->write_msr(vmm->machine, vmm->nested.in_l2 ? 2 : 1, msr, value);
}

static bool read_msr(struct vmm *vmm, struct vmcs *vmcs, unsigned level, uint32_t msr, uint64_t *value)
{
	const int field = field_of(msr);

	*value = 0;
	if (field >= 0) {
		*value = emulate_get(vmm, vmcs, (enum vmcs_field)field);
		return true;
	}
	if (vmm->interrupts.on && lapic_owns_msr(msr)) {
		if (!lapic_read_msr(&vmm->interrupts.lapic, msr, value))
			return false;
		if (msr == MSR_IA32_TSC_DEADLINE && *value)
			*value += tsc_offset01(vmm);
		return true;
	}
	if (is_vmx_msr(msr)) /* what L1 is offered; an L2 that L1 lets read them through has none */
		return level == 1 && nested_read_msr(&vmm->nested, msr, value);
	switch (msr) {
	case TESTDEV_MSR:
		*value = vmm->testdev.msr_value;
		return true;
	case MSR_IA32_TSC:
		*value = vmm->ops->clock(vmm->machine) + vmcs_get(vmcs, VMCS_TSC_OFFSET);
		return true;
	case MSR_IA32_APIC_BASE:
		*value = vmm->apic_base;
		return true;
	case MSR_IA32_MISC_ENABLE:
		*value = 1; /* fast strings */
		return true;
	case MSR_IA32_MTRR_DEF_TYPE:
		*value = 6 | 1u << 11; /* write-back, MTRRs on */
		return true;
	case MSR_IA32_PLATFORM_ID:
	case MSR_IA32_BIOS_SIGN_ID:
	case MSR_IA32_MTRRCAP: /* no variable ranges */
	case MSR_IA32_MCG_CAP: /* no banks */
	case MSR_IA32_MCG_STATUS:
		return true;
	default:
		return vmm->ops->read_msr && !vmm->ops->read_msr(vmm->machine, level, msr, value);
	}
}

/* EFER: the reserved bits fault, LMA follows LME and CR0.PG, and LME cannot change while paging is on (SDM vol.
 * 3, 4.1.1).
 */
static bool write_efer(struct vmm *vmm, struct vmcs *vmcs, uint64_t value)
{
	const uint64_t old = emulate_get(vmm, vmcs, VMCS_GUEST_IA32_EFER);
	const bool paging = emulate_get(vmm, vmcs, VMCS_GUEST_CR0) & CR0_PG;

	if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE) || (paging && ((value ^ old) & EFER_LME)))
		return false;
	emulate_set(vmcs, VMCS_GUEST_IA32_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
	return true;
}

static bool write_field(struct vmm *vmm, struct vmcs *vmcs, enum vmcs_field field, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_IA32_EFER:
		return write_efer(vmm, vmcs, value);
	case MSR_IA32_PAT:
		if (!x86_pat_valid(value))
			return false;
		break;
	case MSR_IA32_DEBUGCTL:
		if (value & ~3ull)
			return false;
		break;
	case MSR_IA32_SYSENTER_CS:
		value = (uint32_t)value;
		break;
	default: /* addresses */
		if (!x86_canonical(value))
			return false;
	}
	emulate_set(vmcs, field, value);
	return true;
}

static bool write_msr(struct vmm *vmm, struct vmcs *vmcs, unsigned level, uint32_t msr, uint64_t value)
{
	const int field = field_of(msr);

	if (field >= 0)
		return write_field(vmm, vmcs, (enum vmcs_field)field, msr, value);
	if (vmm->interrupts.on && lapic_owns_msr(msr))
		return lapic_write_msr(
		        &vmm->interrupts.lapic, msr, msr == MSR_IA32_TSC_DEADLINE ? deadline_clock(vmm, value) : value);
	if (is_vmx_msr(msr))
		return level == 1 && nested_write_msr(&vmm->nested, msr, value);
	switch (msr) {
	case MSR_IA32_TSC:
		return write_tsc(vmm, value);
	case TESTDEV_MSR:
		vmm->testdev.msr_value = value;
		return true;
	case MSR_IA32_APIC_BASE:
		vmm->apic_base = value;
		return true;
	case MSR_IA32_MISC_ENABLE:
	case MSR_IA32_BIOS_SIGN_ID:
	case MSR_IA32_MCG_STATUS:
	case MSR_IA32_MTRR_DEF_TYPE: /* all memory is write-back whatever the guest says */
		return true;
	default:
		return vmm->ops->write_msr && !vmm->ops->write_msr(vmm->machine, level, msr, value);
	}
}

int emulate_msr(struct vmm *vmm, struct vmcs *vmcs, unsigned level, bool write)
{
	uint64_t *gpr = vmm->regs.gpr;
	const uint32_t msr = (uint32_t)gpr[GPR_RCX];
	uint64_t value = gpr[GPR_RDX] << 32 | (uint32_t)gpr[GPR_RAX];
	const bool good = write ? write_msr(vmm, vmcs, level, msr, value) : read_msr(vmm, vmcs, level, msr, &value);

	if (!good) {
		emulate_fault(vmm, VECTOR_GP, true, 0);
		return 0;
	}
	if (!write) {
		gpr[GPR_RAX] = (uint32_t)value;
		gpr[GPR_RDX] = value >> 32;
	}
	emulate_advance(vmcs);
	return 0;
}
