/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control registers, MSRs and the TSC as instructions use them once no control intercepts the access (SDM vol. 3, 2.5,
 * 4.1, 4.10.4 and 24.8).
 */
#include "decode.h"
#include "mmu.h"
#include "msr.h"

/** CR4 bits a guest may set here: machine_caps.cr4_fixed1. */
const uint64_t soft_cr4_allowed = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
                                  CR4_OSXMMEXCPT | CR4_UMIP | CR4_VMXE | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE |
                                  CR4_SMEP | CR4_SMAP;

_Noreturn static void protection_fault(struct soft_cpu *cpu)
{
	soft_fault(cpu, VECTOR_GP, true, 0);
}

static bool unrestricted(const struct soft_cpu *cpu)
{
	return cpu->proc2 & VMX_BIT(PROC2_UNRESTRICTED_GUEST);
}

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/** Reload the PDPTEs for a new combination of registers; #GP(0) when one is bad. */
static void reload_pdptes(struct soft_cpu *cpu, uint64_t cr3)
{
	if (!soft_paging_load_pdptes(cpu, cr3))
		protection_fault(cpu);
}

static void check_cr0(struct soft_cpu *cpu, uint64_t value)
{
	const uint64_t fixed = CR0_NE | (unrestricted(cpu) ? 0 : CR0_PE | CR0_PG);

	if (value >> 32 || (value & fixed) != fixed)
		protection_fault(cpu);
	if ((value & CR0_PG) && !(value & CR0_PE))
		protection_fault(cpu);
	if ((value & CR0_NW) && !(value & CR0_CD))
		protection_fault(cpu);
	if (!(value & CR0_PG) && (cpu->cr4 & CR4_PCIDE))
		protection_fault(cpu);
}

/** EFER.LMA follows CR0.PG while EFER.LME is set (10.8.5). */
static uint64_t efer_after(struct soft_cpu *cpu, uint64_t cr0)
{
	const bool code_64 = cpu->seg[SOFT_CS].rights & AR_L;

	if (!(cpu->efer & EFER_LME) || !((cr0 ^ cpu->cr0) & CR0_PG))
		return cpu->efer;
	if (cr0 & CR0_PG) {
		if (!(cpu->cr4 & CR4_PAE) || code_64)
			protection_fault(cpu);
		return cpu->efer | EFER_LMA;
	}
	if (cpu->mode == SOFT_MODE_64)
		protection_fault(cpu);
	return cpu->efer & ~EFER_LMA;
}

void soft_write_cr0(struct soft_cpu *cpu, uint64_t value)
{
	const uint64_t changed = (value ^ cpu->cr0) & (CR0_PG | CR0_CD | CR0_NW);
	uint64_t efer;

	value |= CR0_ET;
	check_cr0(cpu, value);
	efer = efer_after(cpu, value);
	if (changed && pae_paging(value, cpu->cr4, efer))
		reload_pdptes(cpu, cpu->cr3);
	if (changed & CR0_PG)
		soft_tlb_flush_cr3(cpu, true);
	cpu->cr0 = value;
	cpu->efer = efer;
	soft_update_mode(cpu);
	soft_tlb_context(cpu);
}

void soft_write_cr3(struct soft_cpu *cpu, uint64_t value)
{
	const bool keep = (cpu->cr4 & CR4_PCIDE) && value >> 63;

	if (cpu->cr4 & CR4_PCIDE)
		value &= ~(1ull << 63);
	if (soft_long_mode(cpu)) {
		if (value & ~SOFT_PHYSICAL_MASK)
			protection_fault(cpu);
	} else {
		value = (uint32_t)value;
	}
	if (pae_paging(cpu->cr0, cpu->cr4, cpu->efer))
		reload_pdptes(cpu, value);
	cpu->cr3 = value;
	if (!keep)
		soft_tlb_flush_cr3(cpu, false);
	soft_tlb_context(cpu);
}

static void check_cr4(struct soft_cpu *cpu, uint64_t value)
{
	if (value & ~soft_cr4_allowed)
		protection_fault(cpu);
	if (!(value & CR4_VMXE)) /* fixed to 1 in VMX operation (24.8) */
		protection_fault(cpu);
	if (soft_long_mode(cpu) && !(value & CR4_PAE))
		protection_fault(cpu);
	if ((value & ~cpu->cr4 & CR4_PCIDE) && (!soft_long_mode(cpu) || (cpu->cr3 & 0xfff)))
		protection_fault(cpu);
}

void soft_write_cr4(struct soft_cpu *cpu, uint64_t value)
{
	const uint64_t changed = value ^ cpu->cr4;
	const uint64_t paging = CR4_PGE | CR4_PAE | CR4_PSE;

	check_cr4(cpu, value);
	if ((changed & (paging | CR4_SMEP)) && pae_paging(cpu->cr0, value, cpu->efer))
		reload_pdptes(cpu, cpu->cr3);
	if ((changed & (paging | CR4_PCIDE)) || (changed & value & CR4_SMEP))
		soft_tlb_flush_cr3(cpu, true);
	cpu->cr4 = value;
	soft_tlb_context(cpu);
}

uint64_t soft_read_tsc(const struct soft_cpu *cpu)
{
	uint64_t tsc = cpu->retired;

	if (!(cpu->proc & VMX_BIT(PROC_TSC_OFFSETTING)))
		return tsc;
	/* 25.6.5: the multiplier has 48 fraction bits. */
	if (cpu->proc2 & VMX_BIT(PROC2_USE_TSC_SCALING))
		tsc = (uint64_t)((unsigned __int128)tsc * cpu->tsc_multiplier >> 48);
	return tsc + cpu->tsc_offset;
}

void soft_invpcid(struct soft_cpu *cpu, uint64_t type, const uint64_t descriptor[2])
{
	static const enum soft_invalidate what[] = {
	        SOFT_INVALIDATE_PAGE, SOFT_INVALIDATE_PCID, SOFT_INVALIDATE_ALL, SOFT_INVALIDATE_KEEP_GLOBALS};
	const uint64_t pcid = descriptor[0];

	/* SDM vol. 2, INVPCID. */
	if (type > 3 || pcid >> 12 || (type <= 1 && pcid && !(cpu->cr4 & CR4_PCIDE)) ||
	        (type == 0 && !soft_canonical(descriptor[1])))
		protection_fault(cpu);
	soft_tlb_invalidate(cpu, what[type], (uint16_t)pcid, descriptor[1]);
}

/** Where a plain 64-bit MSR lives, or NULL. */
static uint64_t *msr_slot(struct soft_cpu *cpu, uint32_t msr)
{
	switch (msr) {
	case MSR_IA32_SPEC_CTRL:
		return &cpu->spec_ctrl;
	case MSR_IA32_SYSENTER_CS:
		return &cpu->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &cpu->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &cpu->sysenter_eip;
	case MSR_IA32_MISC_ENABLE:
		return &cpu->misc_enable;
	case MSR_IA32_DEBUGCTL:
		return &cpu->debugctl;
	case MSR_IA32_PAT:
		return &cpu->pat;
	case MSR_IA32_MTRR_DEF_TYPE:
		return &cpu->mtrr_def_type;
	case MSR_IA32_PERF_GLOBAL_CTRL:
		return &cpu->perf_global_ctrl;
	case MSR_IA32_STAR:
		return &cpu->star;
	case MSR_IA32_LSTAR:
		return &cpu->lstar;
	case MSR_IA32_CSTAR:
		return &cpu->cstar;
	case MSR_IA32_FMASK:
		return &cpu->sfmask;
	case MSR_IA32_FS_BASE:
		return &cpu->seg[SOFT_FS].base;
	case MSR_IA32_GS_BASE:
		return &cpu->seg[SOFT_GS].base;
	case MSR_IA32_KERNEL_GS_BASE:
		return &cpu->kernel_gs_base;
	case MSR_IA32_TSC_AUX:
		return &cpu->tsc_aux;
	default:
		return NULL;
	}
}

bool soft_read_msr(struct soft_cpu *cpu, uint32_t msr, uint64_t *value)
{
	const uint64_t *slot;

	switch (msr) {
	case MSR_IA32_TSC:
		*value = soft_read_tsc(cpu);
		return true;
	case MSR_IA32_EFER:
		*value = cpu->efer;
		return true;
	default:
		slot = msr_slot(cpu, msr);
		if (slot)
			*value = *slot;
		return slot;
	}
}

static bool write_efer(struct soft_cpu *cpu, uint64_t value)
{
	if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))
		return false;
	if ((cpu->cr0 & CR0_PG) && ((value ^ cpu->efer) & EFER_LME))
		return false;
	cpu->efer = (value & ~EFER_LMA) | (cpu->efer & EFER_LMA);
	soft_tlb_context(cpu);
	return true;
}

bool soft_write_msr(struct soft_cpu *cpu, uint32_t msr, uint64_t value)
{
	uint64_t *slot;

	switch (msr) {
	case MSR_IA32_EFER:
		return write_efer(cpu, value);
	case MSR_IA32_PAT:
		if (!x86_pat_valid(value))
			return false;
		break;
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP:
	case MSR_IA32_LSTAR:
	case MSR_IA32_CSTAR:
	case MSR_IA32_FS_BASE:
	case MSR_IA32_GS_BASE:
	case MSR_IA32_KERNEL_GS_BASE:
		if (!soft_canonical(value))
			return false;
		break;
	case MSR_IA32_FMASK:
	case MSR_IA32_TSC_AUX:
		if (value >> 32)
			return false;
		break;
	case MSR_IA32_DEBUGCTL:
		if (value & ~3ull) /* LBR and BTF */
			return false;
		break;
	}
	slot = msr_slot(cpu, msr);
	if (slot)
		*slot = value;
	return slot;
}
