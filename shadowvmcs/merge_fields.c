/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How vmcs02 gets each MERGE field of vmcs_fields.def: one function per field, a pure function of checked12, vmcs01 and
 * the configuration. merge.c says when they run. `v` is the engine's copy of vmcs12.
 */
#include "nested.h"

#include "transition.h"

#define FIELD01(name) (v01->field[VMCS_##name])
#define MERGE(name)                                                                                                    \
	static uint64_t merge_##name(const struct nested *nested, const struct vmcs *v, const struct vmcs *v01)

/* L0's own lists, pages and vectors serve L2 as they serve L1; what vmcs12 asks for is emulated or not offered. */
#define FROM_VMCS01(name)                                                                                              \
	MERGE(name)                                                                                                    \
	{                                                                                                              \
		return FIELD01(name);                                                                                  \
	}
#define FROM_VMCS12(name)                                                                                              \
	MERGE(name)                                                                                                    \
	{                                                                                                              \
		return FIELD(name);                                                                                    \
	}
#define ALWAYS(name, value)                                                                                            \
	MERGE(name)                                                                                                    \
	{                                                                                                              \
		return (value);                                                                                        \
	}

static bool honours(const struct nested *nested, enum vmx_control_word word, uint32_t bit)
{
	return nested->config.machine.honours[word] & bit;
}

static uint32_t proc_of(const struct vmcs *v)
{
	return (uint32_t)FIELD(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS);
}

/* ---- control words ---- */

/* Posted interrupts are for a running vCPU's own VMCS; L0 uses no preemption timer of its own while L2 runs. */
MERGE(PIN_BASED_VM_EXECUTION_CONTROLS)
{
	const uint64_t own01 = VMX_BIT(PIN_PREEMPTION_TIMER) | VMX_BIT(PIN_POSTED_INTERRUPTS);
	const uint64_t own12 = VMX_BIT(PIN_POSTED_INTERRUPTS);

	return (FIELD01(PIN_BASED_VM_EXECUTION_CONTROLS) & ~own01) | (FIELD(PIN_BASED_VM_EXECUTION_CONTROLS) & ~own12);
}

/* Windows and the monitor trap of vmcs01 were asked for while L1 ran and say nothing about L2. */
MERGE(PRIMARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)
{
	const uint32_t bitmaps =
	        VMX_BIT(PROC_USE_IO_BITMAPS) | VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING) | VMX_BIT(PROC_USE_MSR_BITMAPS);
	const uint32_t own01 = bitmaps | VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING) | VMX_BIT(PROC_NMI_WINDOW_EXITING) |
	                       VMX_BIT(PROC_MONITOR_TRAP_FLAG) | VMX_BIT(PROC_TPR_SHADOW);
	const struct nested_config *config = &nested->config;
	uint32_t proc = (proc_of(v01) & ~own01) | (proc_of(v) & ~bitmaps);

	if (honours(nested, VMX_WORD_PROC, VMX_BIT(PROC_USE_IO_BITMAPS)) && config->io_bitmap02[0].hva &&
	        config->io_bitmap02[1].hva)
		proc |= VMX_BIT(PROC_USE_IO_BITMAPS);
	else
		proc |= VMX_BIT(PROC_UNCONDITIONAL_IO_EXITING);
	if (honours(nested, VMX_WORD_PROC, VMX_BIT(PROC_USE_MSR_BITMAPS)) && config->msr_bitmap02.hva)
		proc |= VMX_BIT(PROC_USE_MSR_BITMAPS);
	/* Without a TPR shadow of its own, L2's CR8 is L1's, which vmcs01 lets the CPU virtualize: L0 must do it. */
	if ((proc_of(v01) & VMX_BIT(PROC_TPR_SHADOW)) && !PROC(TPR_SHADOW))
		proc |= VMX_BIT(PROC_CR8_LOAD_EXITING) | VMX_BIT(PROC_CR8_STORE_EXITING);
	if (nested->pending_kind & NESTED_WAITS_WINDOW)
		proc |= VMX_BIT(PROC_INTERRUPT_WINDOW_EXITING);
	if (nested->pending_kind & NESTED_WAITS_ENTRY)
		proc |= VMX_BIT(PROC_MONITOR_TRAP_FLAG);
	return proc;
}

/* What L2 may use is L1's word alone; what exits is either's; EPT and VPID are L0's to use whatever L1 does. */
MERGE(SECONDARY_PROCESSOR_BASED_VM_EXECUTION_CONTROLS)
{
	const uint32_t own12 = VMX_BIT(PROC2_VIRTUALIZE_APIC_ACCESSES) | VMX_BIT(PROC2_VIRTUALIZE_X2APIC_MODE) |
	                       VMX_BIT(PROC2_APIC_REGISTER_VIRTUALIZATION) | VMX_BIT(PROC2_VIRTUAL_INTERRUPT_DELIVERY) |
	                       VMX_BIT(PROC2_ENABLE_RDTSCP) | VMX_BIT(PROC2_UNRESTRICTED_GUEST) |
	                       VMX_BIT(PROC2_ENABLE_INVPCID) | VMX_BIT(PROC2_ENABLE_XSAVES_XRSTORS);
	const uint32_t either = VMX_BIT(PROC2_ENABLE_EPT) | VMX_BIT(PROC2_DESCRIPTOR_TABLE_EXITING) |
	                        VMX_BIT(PROC2_WBINVD_EXITING) | VMX_BIT(PROC2_PAUSE_LOOP_EXITING) |
	                        VMX_BIT(PROC2_RDRAND_EXITING) | VMX_BIT(PROC2_RDSEED_EXITING) |
	                        VMX_BIT(PROC2_ENABLE_ENCLS_EXITING) | VMX_BIT(PROC2_USE_TSC_SCALING);
	const uint32_t own01 = VMX_BIT(PROC2_ENABLE_PML) | VMX_BIT(PROC2_CONCEAL_VMX_FROM_PT);
	uint32_t proc2 = (transition_proc2(v) & (own12 | either)) | (transition_proc2(v01) & (own01 | either));

	if (honours(nested, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_VPID)))
		proc2 |= VMX_BIT(PROC2_ENABLE_VPID);
	return proc2;
}

/* Host state is L0's, so loading it is vmcs01's business; L2's registers are saved wherever the machine can, since L1
 * may ask for them, or its own exit controls may leave them in force. */
MERGE(PRIMARY_VM_EXIT_CONTROLS)
{
	const uint64_t saves =
	        VMX_BIT(EXIT_SAVE_DEBUG_CONTROLS) | VMX_BIT(EXIT_SAVE_IA32_PAT) | VMX_BIT(EXIT_SAVE_IA32_EFER);
	const uint64_t timer = VMX_BIT(EXIT_SAVE_PREEMPTION_TIMER);
	const uint64_t honoured = nested->config.machine.honours[VMX_WORD_EXIT];
	uint64_t exit = (FIELD01(PRIMARY_VM_EXIT_CONTROLS) & ~timer) | (honoured & saves);

	/* An exit that L0 handles alone must not start the timer again. */
	if (PIN(PREEMPTION_TIMER))
		exit |= honoured & timer;
	return exit;
}

/* Registers that vmcs12 does not load keep L1's values: merge.c puts those into vmcs02, so loading is always right. */
MERGE(VM_ENTRY_CONTROLS)
{
	const uint64_t own12 = VMX_BIT(ENTRY_IA32E_MODE_GUEST);
	const uint64_t never = VMX_BIT(ENTRY_ENTRY_TO_SMM) | VMX_BIT(ENTRY_DEACTIVATE_DUAL_MONITOR);
	const uint64_t loads =
	        VMX_BIT(ENTRY_LOAD_DEBUG_CONTROLS) | VMX_BIT(ENTRY_LOAD_IA32_PAT) | VMX_BIT(ENTRY_LOAD_IA32_EFER);
	const uint64_t either = FIELD(VM_ENTRY_CONTROLS) | (FIELD01(VM_ENTRY_CONTROLS) & ~own12);

	return (either & ~never) | (nested->config.machine.honours[VMX_WORD_ENTRY] & loads);
}

/* ---- page-fault error-code mask and match ---- */

/*
 * A #PF exits when ((error code & mask) == match) equals bit 14 of the exception bitmap (25.6.3). Two levels' wishes
 * fit one pair only when one of them wants no #PF at all or both want the same; else every #PF exits and route.c asks
 * vmcs12's pair.
 */
struct page_fault_filter {
	bool bit;
	uint32_t mask, match;
};

static struct page_fault_filter filter_of(const struct vmcs *v)
{
	return (struct page_fault_filter){FIELD(EXCEPTION_BITMAP) >> VECTOR_PF & 1,
	        (uint32_t)FIELD(PAGE_FAULT_ERROR_CODE_MASK), (uint32_t)FIELD(PAGE_FAULT_ERROR_CODE_MATCH)};
}

static bool filter_wants_none(struct page_fault_filter f)
{
	return f.bit ? (f.match & ~f.mask) != 0 : f.mask == 0 && f.match == 0;
}

static struct page_fault_filter filter02(const struct vmcs *v, const struct vmcs *v01)
{
	const struct page_fault_filter of12 = filter_of(v), of01 = filter_of(v01);
	const bool bit = of12.bit || of01.bit; /* EXCEPTION_BITMAP is an OR field */

	if (of12.bit == bit &&
	        (filter_wants_none(of01) || (of01.bit == bit && of01.mask == of12.mask && of01.match == of12.match)))
		return of12;
	if (of01.bit == bit && filter_wants_none(of12))
		return of01;
	return (struct page_fault_filter){bit, 0, bit ? 0 : 1};
}

MERGE(PAGE_FAULT_ERROR_CODE_MASK)
{
	return filter02(v, v01).mask;
}

MERGE(PAGE_FAULT_ERROR_CODE_MATCH)
{
	return filter02(v, v01).match;
}

/* ---- bitmaps: L0's own merged pages ---- */

ALWAYS(IO_BITMAP_A, nested->config.io_bitmap02[0].hpa)
ALWAYS(IO_BITMAP_B, nested->config.io_bitmap02[1].hpa)
ALWAYS(MSR_BITMAP, nested->config.msr_bitmap02.hpa)
/* L2's VMREAD and VMWRITE always exit: VMCS shadowing is not offered to L1. */
ALWAYS(VMREAD_BITMAP, 0)
ALWAYS(VMWRITE_BITMAP, 0)
ALWAYS(VMCS_LINK_POINTER, ~0ull)

/* ---- time stamp counter, 25.6.5 ---- */

#define TSC_FRACTION_BITS 48
#define TSC_ONE (1ull << TSC_FRACTION_BITS)

static uint64_t tsc_offset_of(const struct vmcs *v)
{
	return PROC(TSC_OFFSETTING) ? FIELD(TSC_OFFSET) : 0;
}

/* Scaling works only together with offsetting. */
static uint64_t tsc_multiplier_of(const struct vmcs *v)
{
	return PROC(TSC_OFFSETTING) && PROC2(USE_TSC_SCALING) ? FIELD(TSC_MULTIPLIER) : TSC_ONE;
}

/*
 * tsc1 = tsc0 * m01 + o01 and tsc2 = tsc1 * m12 + o12, so tsc2 = tsc0 * (m01 * m12) + (o01 * m12 + o12). The offset is
 * signed.
 */
MERGE(TSC_OFFSET)
{
	const __int128 scaled = (__int128)(int64_t)tsc_offset_of(v01) * tsc_multiplier_of(v);

	return (uint64_t)(scaled >> TSC_FRACTION_BITS) + tsc_offset_of(v);
}

MERGE(TSC_MULTIPLIER)
{
	const unsigned __int128 product = (unsigned __int128)tsc_multiplier_of(v01) * tsc_multiplier_of(v);

	return (uint64_t)(product >> TSC_FRACTION_BITS);
}

/* ---- MSR lists: vmcs12's are emulated (msr_list.c), vmcs01's are L0's own ---- */

FROM_VMCS01(VM_EXIT_MSR_STORE_ADDRESS)
FROM_VMCS01(VM_EXIT_MSR_STORE_COUNT)
FROM_VMCS01(VM_EXIT_MSR_LOAD_ADDRESS)
FROM_VMCS01(VM_EXIT_MSR_LOAD_COUNT)
FROM_VMCS01(VM_ENTRY_MSR_LOAD_ADDRESS)
FROM_VMCS01(VM_ENTRY_MSR_LOAD_COUNT)

/* ---- CR3 targets, 25.6.7: moves to them do not exit, which L0 allows only when it does not want CR3 loads ---- */

MERGE(CR3_TARGET_COUNT)
{
	return proc_of(v01) & VMX_BIT(PROC_CR3_LOAD_EXITING) ? 0 : FIELD(CR3_TARGET_COUNT);
}
FROM_VMCS12(CR3_TARGET_VALUE0)
FROM_VMCS12(CR3_TARGET_VALUE1)
FROM_VMCS12(CR3_TARGET_VALUE2)
FROM_VMCS12(CR3_TARGET_VALUE3)

/* ---- CR0 and CR4 read shadows, 25.6.6 ---- */

/* Of a bit that L0 owns and L1 does not, L2 sees the value L1 gave it; of others what L1 says. */
static uint64_t read_shadow02(uint64_t shadow12, uint64_t guest12, uint64_t mask12, uint64_t mask01)
{
	const uint64_t l0_only = mask01 & ~mask12;

	return (shadow12 & ~l0_only) | (guest12 & l0_only);
}

MERGE(CR0_READ_SHADOW)
{
	return read_shadow02(
	        FIELD(CR0_READ_SHADOW), FIELD(GUEST_CR0), FIELD(CR0_GUEST_HOST_MASK), FIELD01(CR0_GUEST_HOST_MASK));
}

MERGE(CR4_READ_SHADOW)
{
	return read_shadow02(
	        FIELD(CR4_READ_SHADOW), FIELD(GUEST_CR4), FIELD(CR4_GUEST_HOST_MASK), FIELD01(CR4_GUEST_HOST_MASK));
}

/* ---- APIC virtualization: L1's pages, by the addresses the machine knows them by ---- */

static uint64_t host_address(const struct nested *nested, uint64_t gpa)
{
	const struct nested_ops *ops = &nested->config.ops;

	return ops->l1_to_host ? ops->l1_to_host(ops->ctx, gpa) : gpa;
}

MERGE(VIRTUAL_APIC_ADDRESS)
{
	return PROC(TPR_SHADOW) ? host_address(nested, FIELD(VIRTUAL_APIC_ADDRESS)) : 0;
}

MERGE(APIC_ACCESS_ADDRESS)
{
	return PROC2(VIRTUALIZE_APIC_ACCESSES) ? host_address(nested, FIELD(APIC_ACCESS_ADDRESS)) : 0;
}

MERGE(TPR_THRESHOLD)
{
	return PROC(TPR_SHADOW) ? FIELD(TPR_THRESHOLD) : 0;
}
FROM_VMCS12(EOI_EXIT_BITMAP0)
FROM_VMCS12(EOI_EXIT_BITMAP1)
FROM_VMCS12(EOI_EXIT_BITMAP2)
FROM_VMCS12(EOI_EXIT_BITMAP3)
FROM_VMCS01(POSTED_INTERRUPT_NOTIFICATION_VECTOR)
FROM_VMCS01(POSTED_INTERRUPT_DESCRIPTOR_ADDRESS)

/* ---- the rest ---- */

/* vmcs12's EPT is not loaded: merge.c puts EPT02 there, which ept02_enter may fail to make. */
FROM_VMCS01(EPT_POINTER)
/* The page-modification log is L0's own (not offered to L1). */
FROM_VMCS01(PML_ADDRESS)
/* VM functions and #VE are not offered to L1 and not used by L0. */
ALWAYS(VM_FUNCTION_CONTROLS, 0)
ALWAYS(EPTP_LIST_ADDRESS, 0)
ALWAYS(VIRTUALIZATION_EXCEPTION_ADDRESS, 0)
/* Loaded at every entry (25.5.1). */
FROM_VMCS12(VMX_PREEMPTION_TIMER_VALUE)

MERGE(PLE_GAP)
{
	return PROC2(PAUSE_LOOP_EXITING) ? FIELD(PLE_GAP) : FIELD01(PLE_GAP);
}

MERGE(PLE_WINDOW)
{
	return PROC2(PAUSE_LOOP_EXITING) ? FIELD(PLE_WINDOW) : FIELD01(PLE_WINDOW);
}

/* ---- VPID ---- */

/*
 * vmcs01's VPID is L0's choice below VPID02_BASE, so the upper half is L2's: L1's VPIDs 1..0x7fff have one each; higher
 * ones, and an L2 without VPID (whose translations the architecture drops at each entry), share VPID02_BASE, which is
 * flushed when its user changes.
 */
#define VPID02_BASE 0x8000u

uint16_t nested_vpid02(const struct nested *nested, uint16_t vpid12)
{
	if (!honours(nested, VMX_WORD_PROC2, VMX_BIT(PROC2_ENABLE_VPID)))
		return 0;
	return (uint16_t)(vpid12 < VPID02_BASE ? VPID02_BASE | vpid12 : VPID02_BASE);
}

MERGE(VIRTUAL_PROCESSOR_ID)
{
	return nested_vpid02(nested, PROC2(ENABLE_VPID) ? (uint16_t)FIELD(VIRTUAL_PROCESSOR_ID) : 0);
}

/* ---- the table ---- */

#define PICK_MERGE(name) [VMCS_##name] = merge_##name,
#define PICK_NONE(name)
#define PICK_GUEST(name)
#define PICK_HOST(name)
#define PICK_OR(name)
#define PICK_ENTRY(name)
#define PICK_EXIT(name)
merge_function *const merge_functions[VMCS_FIELD_COUNT] = {
#define VMCS_FIELD(name, encoding, how, shadow, section, text) PICK_##how(name)
#include "vmcs_fields.def"
#undef VMCS_FIELD
};
