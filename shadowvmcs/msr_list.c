/* SPDX-License-Identifier: Apache-2.0 */
/*
 * L1's MSR lists: loaded on VM entry, stored and loaded on VM exit. SDM vol. 3, 27.4, 28.4 and 28.6. An entry:
 *
 *   127           64 63      32 31       0
 *  |   MSR data     | reserved | MSR index |
 */
#include <string.h>

#include "insn.h"
#include "transition.h"

struct msr_entry {
	uint32_t index;
	uint32_t reserved;
	uint64_t data;
};

/* IA32_VMX_MISC bits 27:25 of 0 recommend at most 512 entries (A.6). More could make a hostile L1 keep L0 busy for
 * minutes; the CPU's answer to too long a list is undefined. */
#define ENTRIES_MAX 512

#define MSR_IA32_SMM_MONITOR_CTL 0x9bu
#define MSR_IA32_SMBASE 0x9eu
#define MSR_X2APIC_PAGE 0x8u /* index bits 31:8 */

/* MSRs of the guest-state area. */
static int field_of_msr(uint32_t msr)
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
	case MSR_IA32_PERF_GLOBAL_CTRL:
		return VMCS_GUEST_IA32_PERF_GLOBAL_CTRL;
	case MSR_IA32_BNDCFGS:
		return VMCS_GUEST_IA32_BNDCFGS;
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

static void bring_up_to_date(struct nested *nested, struct vmcs *vmcs, enum vmcs_field field)
{
	if (vmcs_mask_has(&vmcs->stale, field) && nested->config.ops.fetch)
		nested->config.ops.fetch(nested->config.ops.ctx, vmcs);
}

/* WRMSR of an MSR that a field holds; false: #GP. */
static bool write_field(struct nested *nested, struct vmcs *vmcs, enum vmcs_field field, uint64_t value)
{
	switch (field) {
	case VMCS_GUEST_IA32_SYSENTER_CS:
		value &= 0xffffffff;
		break;
	case VMCS_GUEST_IA32_SYSENTER_ESP:
	case VMCS_GUEST_IA32_SYSENTER_EIP:
		if (!x86_canonical(value))
			return false;
		break;
	case VMCS_GUEST_IA32_DEBUGCTL:
		if (value & ~DEBUGCTL_VALID_BITS)
			return false;
		break;
	case VMCS_GUEST_IA32_PAT:
		if (!x86_pat_valid(value))
			return false;
		break;
	case VMCS_GUEST_IA32_PERF_GLOBAL_CTRL:
		if (value & ~PERF_GLOBAL_CTRL_VALID_BITS)
			return false;
		break;
	case VMCS_GUEST_IA32_BNDCFGS:
		if ((value & 0xffc) || !x86_canonical(value))
			return false;
		break;
	default: /* VMCS_GUEST_IA32_EFER: LME cannot change under paging, LMA not at all (SDM vol. 3, 2.2.1) */
		bring_up_to_date(nested, vmcs, VMCS_GUEST_IA32_EFER);
		bring_up_to_date(nested, vmcs, VMCS_GUEST_CR0);
		if ((value & ~EFER_VALID_BITS) ||
		        (((value ^ vmcs_get(vmcs, field)) & EFER_LME) && (vmcs_get(vmcs, VMCS_GUEST_CR0) & CR0_PG)))
			return false;
		value = (value & ~EFER_LMA) | (vmcs_get(vmcs, field) & EFER_LMA);
	}
	transition_set(vmcs, field, value);
	return true;
}

/* The list is L1's memory: each entry is read once. */
static bool read_entry(struct nested *nested, uint64_t gpa, struct msr_entry *entry, uint8_t **at)
{
	uint8_t *page = nested->config.ops.l1_page(nested->config.ops.ctx, gpa);
	uint64_t words[sizeof(*entry) / sizeof(uint64_t)];

	if (!page)
		return false;
	*at = page + (gpa & 0xff0);
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		words[i] = ((volatile uint64_t *)*at)[i];
	memcpy(entry, words, sizeof(*entry));
	return entry->reserved == 0 && entry->index >> 8 != MSR_X2APIC_PAGE;
}

static bool load_entry(struct nested *nested, struct vmcs *vmcs, uint64_t gpa)
{
	struct msr_entry entry;
	uint8_t *at;
	int field;

	if (!read_entry(nested, gpa, &entry, &at))
		return false;
	if (entry.index == MSR_IA32_FS_BASE || entry.index == MSR_IA32_GS_BASE ||
	        entry.index == MSR_IA32_SMM_MONITOR_CTL)
		return false;
	field = field_of_msr(entry.index);
	if (field >= 0)
		return write_field(nested, vmcs, (enum vmcs_field)field, entry.data);
	return nested->config.ops.write_msr &&
	       nested->config.ops.write_msr(nested->config.ops.ctx, entry.index, entry.data);
}

static bool store_entry(struct nested *nested, struct vmcs *vmcs, uint64_t gpa)
{
	struct msr_entry entry;
	uint64_t value;
	uint8_t *at;
	int field;

	if (!read_entry(nested, gpa, &entry, &at) || entry.index == MSR_IA32_SMBASE)
		return false;
	field = field_of_msr(entry.index);
	if (field >= 0) {
		bring_up_to_date(nested, vmcs, (enum vmcs_field)field);
		value = vmcs_get(vmcs, (enum vmcs_field)field);
	} else if (!nested->config.ops.read_msr ||
	           !nested->config.ops.read_msr(nested->config.ops.ctx, entry.index, &value)) {
		return false;
	}
	memcpy(at + offsetof(struct msr_entry, data), &value, sizeof(value));
	return true;
}

uint32_t nested_msr_load(struct nested *nested, struct vmcs *vmcs, uint64_t address, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (i == ENTRIES_MAX || !load_entry(nested, vmcs, address + i * sizeof(struct msr_entry)))
			return i + 1;
	}
	return 0;
}

uint32_t nested_msr_store(struct nested *nested, struct vmcs *vmcs, uint64_t address, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (i == ENTRIES_MAX || !store_entry(nested, vmcs, address + i * sizeof(struct msr_entry)))
			return i + 1;
	}
	return 0;
}
