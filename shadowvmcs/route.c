/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does L1 want this exit of L2? One function per exit reason that depends on more than the reason, in a table: the
 * answer follows from checked12 (SDM vol. 3, chapter 26: what causes VM exits) and for bitmaps from L1's memory.
 */
#include "nested.h"

#include "ept12.h"
#include "transition.h"

/* One question. `v` is checked12. */
struct question {
	struct nested *nested;
	const struct vmcs *v;
	const struct guest_regs *regs;
	uint64_t qualification;
};

#define WANTS(name) static bool wants_##name(const struct question *q)
/* L1 wants it exactly when this control is 1. */
#define WANTS_BY(name, control)                                                                                        \
	WANTS(name)                                                                                                    \
	{                                                                                                              \
		const struct vmcs *v = q->v;                                                                           \
		return control;                                                                                        \
	}

static bool wants_never(const struct question *q)
{
	return false;
}

static bool wants_always(const struct question *q)
{
	return true;
}

/* ---- events, 26.2 ---- */

bool transition_wants_exception(const struct vmcs *v, uint32_t vector, uint32_t error_code)
{
	const bool bit = FIELD(EXCEPTION_BITMAP) >> vector & 1;

	if (vector != VECTOR_PF)
		return bit;
	return ((error_code & FIELD(PAGE_FAULT_ERROR_CODE_MASK)) == FIELD(PAGE_FAULT_ERROR_CODE_MATCH)) == bit;
}

WANTS(exception_or_nmi)
{
	const struct vmcs *v = q->v;
	const struct vmcs *vmcs02 = &q->nested->vmcs02;
	const uint32_t info = (uint32_t)vmcs02->field[VMCS_VM_EXIT_INTERRUPTION_INFORMATION];

	if ((info & INTR_INFO_TYPE_MASK) >> INTR_INFO_TYPE_SHIFT == INTR_TYPE_NMI)
		return PIN(NMI_EXITING);
	return transition_wants_exception(v, info & 31, (uint32_t)vmcs02->field[VMCS_VM_EXIT_INTERRUPTION_ERROR_CODE]);
}

WANTS_BY(interrupt_window, PROC(INTERRUPT_WINDOW_EXITING))
WANTS_BY(nmi_window, PROC(NMI_WINDOW_EXITING))
WANTS_BY(monitor_trap, PROC(MONITOR_TRAP_FLAG))
WANTS_BY(preemption_timer, PIN(PREEMPTION_TIMER))
WANTS_BY(tpr, PROC(TPR_SHADOW))
WANTS_BY(apic_access, PROC2(VIRTUALIZE_APIC_ACCESSES))
WANTS_BY(apic_write, PROC2(APIC_REGISTER_VIRTUALIZATION) || PROC2(VIRTUAL_INTERRUPT_DELIVERY))
WANTS_BY(virtualized_eoi, PROC2(VIRTUAL_INTERRUPT_DELIVERY))

/* ---- instructions with a control of their own, 26.1.3 ---- */

WANTS_BY(hlt, PROC(HLT_EXITING))
WANTS_BY(invlpg, PROC(INVLPG_EXITING))
WANTS_BY(rdpmc, PROC(RDPMC_EXITING))
WANTS_BY(rdtsc, PROC(RDTSC_EXITING))
WANTS_BY(rdtscp, PROC2(ENABLE_RDTSCP) && PROC(RDTSC_EXITING))
WANTS_BY(mov_dr, PROC(MOV_DR_EXITING))
WANTS_BY(mwait, PROC(MWAIT_EXITING))
WANTS_BY(monitor, PROC(MONITOR_EXITING))
WANTS_BY(pause, PROC(PAUSE_EXITING) || PROC2(PAUSE_LOOP_EXITING))
WANTS_BY(descriptor_tables, PROC2(DESCRIPTOR_TABLE_EXITING))
WANTS_BY(wbinvd, PROC2(WBINVD_EXITING))
WANTS_BY(rdrand, PROC2(RDRAND_EXITING))
WANTS_BY(rdseed, PROC2(RDSEED_EXITING))
WANTS_BY(invpcid, PROC2(ENABLE_INVPCID) && PROC(INVLPG_EXITING))

/* XSAVES and XRSTORS exit for state components in EDX:EAX and IA32_XSS and the bitmap (25.6.20); that IA32_XSS has one
 * of them, the exit itself says. */
WANTS(xsaves)
{
	const struct vmcs *v = q->v;
	const uint64_t components = q->regs->gpr[GPR_RDX] << 32 | (uint32_t)q->regs->gpr[GPR_RAX];

	return PROC2(ENABLE_XSAVES_XRSTORS) && (components & FIELD(XSS_EXITING_BITMAP)) != 0;
}

/* 25.6.16: bit EAX of the bitmap; bit 63 stands for all leaves above 62. */
WANTS(encls)
{
	const struct vmcs *v = q->v;
	const uint32_t leaf = (uint32_t)q->regs->gpr[GPR_RAX];

	return PROC2(ENABLE_ENCLS_EXITING) && (FIELD(ENCLS_EXITING_BITMAP) >> (leaf < 63 ? leaf : 63) & 1);
}

/* ---- control registers, 26.1.3; qualification: table 28-3 ---- */

enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

/* The operand of MOV to CR: 32 bits outside 64-bit mode. */
static uint64_t cr_operand(const struct question *q)
{
	const struct vmcs *vmcs02 = &q->nested->vmcs02;
	const unsigned gpr = q->qualification >> 8 & 15;
	const uint64_t value = gpr == GPR_RSP ? vmcs02->field[VMCS_GUEST_RSP] : q->regs->gpr[gpr];
	const struct vmcs *v = q->v;

	return ENTRY(IA32E_MODE_GUEST) ? value : (uint32_t)value;
}

static bool changes_owned_bits(uint64_t value, uint64_t shadow, uint64_t mask)
{
	return (value ^ shadow) & mask;
}

static bool wants_mov_to_cr(const struct question *q, unsigned cr)
{
	const struct vmcs *v = q->v;

	switch (cr) {
	case 0:
		return changes_owned_bits(cr_operand(q), FIELD(CR0_READ_SHADOW), FIELD(CR0_GUEST_HOST_MASK));
	case 3:
		if (!PROC(CR3_LOAD_EXITING))
			return false;
		for (unsigned i = 0; i < FIELD(CR3_TARGET_COUNT); i++) {
			if (v->field[VMCS_CR3_TARGET_VALUE0 + i] == cr_operand(q))
				return false;
		}
		return true;
	case 4:
		return changes_owned_bits(cr_operand(q), FIELD(CR4_READ_SHADOW), FIELD(CR4_GUEST_HOST_MASK));
	case 8:
		return PROC(CR8_LOAD_EXITING);
	default:
		return false;
	}
}

/* LMSW writes bits 3:0 of CR0 but cannot clear PE. */
static bool wants_lmsw(const struct question *q)
{
	const struct vmcs *v = q->v;
	const uint64_t source = q->qualification >> 16;
	const uint64_t mask = FIELD(CR0_GUEST_HOST_MASK), shadow = FIELD(CR0_READ_SHADOW);

	if (mask & ~shadow & source & CR0_PE)
		return true;
	return changes_owned_bits(source, shadow, mask & (CR0_MP | CR0_EM | CR0_TS));
}

WANTS(control_register)
{
	const struct vmcs *v = q->v;
	const unsigned cr = q->qualification & 15;

	switch ((enum cr_access)(q->qualification >> 4 & 3)) {
	case CR_MOV_TO:
		return wants_mov_to_cr(q, cr);
	case CR_MOV_FROM:
		return (cr == 3 && PROC(CR3_STORE_EXITING)) || (cr == 8 && PROC(CR8_STORE_EXITING));
	case CR_CLTS:
		return FIELD(CR0_GUEST_HOST_MASK) & FIELD(CR0_READ_SHADOW) & CR0_TS;
	default:
		return wants_lmsw(q);
	}
}

/* ---- I/O, 25.6.4; qualification: table 28-5 ---- */

static bool bitmap_has(const uint8_t *bitmap, uint32_t bit)
{
	return bitmap[bit / 8] >> (bit % 8) & 1;
}

WANTS(io)
{
	const struct vmcs *v = q->v;
	const struct merge_state *state = &q->nested->merge;
	const uint32_t port = q->qualification >> 16 & 0xffff;
	const uint32_t size = (q->qualification & 7) + 1;

	if (!PROC(USE_IO_BITMAPS))
		return PROC(UNCONDITIONAL_IO_EXITING);
	/* An access that wraps around the 16-bit port space exits whatever the bitmaps say. */
	if (port + size > 0x10000)
		return true;
	for (uint32_t p = port; p < port + size; p++) {
		const uint8_t *bitmap = state->io_bitmap12[p >> 15];
		if (!bitmap || bitmap_has(bitmap, p & 0x7fff))
			return true;
	}
	return false;
}

/* ---- MSRs, 25.6.9 ---- */

#define MSR_RANGE 0x2000u
#define MSR_HIGH_BASE 0xc0000000u
/* Byte offsets in the page: read low, read high, write low, write high. */
#define MSR_BITMAP_HIGH 1024u
#define MSR_BITMAP_WRITE 2048u

static bool wants_msr(const struct question *q, uint32_t offset)
{
	const struct vmcs *v = q->v;
	const uint8_t *bitmap = q->nested->merge.msr_bitmap12;
	const uint32_t msr = (uint32_t)q->regs->gpr[GPR_RCX];

	if (!PROC(USE_MSR_BITMAPS) || !bitmap)
		return true;
	if (msr < MSR_RANGE)
		return bitmap_has(bitmap + offset, msr);
	if (msr - MSR_HIGH_BASE < MSR_RANGE)
		return bitmap_has(bitmap + offset + MSR_BITMAP_HIGH, msr - MSR_HIGH_BASE);
	return true;
}

WANTS(rdmsr)
{
	return wants_msr(q, 0);
}

WANTS(wrmsr)
{
	return wants_msr(q, MSR_BITMAP_WRITE);
}

/* ---- the table ---- */

/*
 * Reasons without a row: the owner in exit_reasons.def decides (L1: always; L0: never). An external interrupt belongs
 * to L0, which hands those meant for L1 back through nested_deliver_interrupt.
 */
static bool (*const wants[EXIT_REASON_LIMIT])(const struct question *) = {
        [EXIT_REASON_EXCEPTION_OR_NMI] = wants_exception_or_nmi,
        [EXIT_REASON_EXTERNAL_INTERRUPT] = wants_never,
        [EXIT_REASON_TRIPLE_FAULT] = wants_always,
        [EXIT_REASON_INTERRUPT_WINDOW] = wants_interrupt_window,
        [EXIT_REASON_NMI_WINDOW] = wants_nmi_window,
        [EXIT_REASON_HLT] = wants_hlt,
        [EXIT_REASON_INVLPG] = wants_invlpg,
        [EXIT_REASON_RDPMC] = wants_rdpmc,
        [EXIT_REASON_RDTSC] = wants_rdtsc,
        [EXIT_REASON_CONTROL_REGISTER_ACCESS] = wants_control_register,
        [EXIT_REASON_MOV_DR] = wants_mov_dr,
        [EXIT_REASON_IO_INSTRUCTION] = wants_io,
        [EXIT_REASON_RDMSR] = wants_rdmsr,
        [EXIT_REASON_WRMSR] = wants_wrmsr,
        [EXIT_REASON_MWAIT] = wants_mwait,
        [EXIT_REASON_MONITOR_TRAP_FLAG] = wants_monitor_trap,
        [EXIT_REASON_MONITOR] = wants_monitor,
        [EXIT_REASON_PAUSE] = wants_pause,
        [EXIT_REASON_TPR_BELOW_THRESHOLD] = wants_tpr,
        [EXIT_REASON_APIC_ACCESS] = wants_apic_access,
        [EXIT_REASON_VIRTUALIZED_EOI] = wants_virtualized_eoi,
        [EXIT_REASON_GDTR_OR_IDTR_ACCESS] = wants_descriptor_tables,
        [EXIT_REASON_LDTR_OR_TR_ACCESS] = wants_descriptor_tables,
        [EXIT_REASON_RDTSCP] = wants_rdtscp,
        [EXIT_REASON_PREEMPTION_TIMER_EXPIRED] = wants_preemption_timer,
        [EXIT_REASON_WBINVD] = wants_wbinvd,
        [EXIT_REASON_APIC_WRITE] = wants_apic_write,
        [EXIT_REASON_RDRAND] = wants_rdrand,
        [EXIT_REASON_INVPCID] = wants_invpcid,
        [EXIT_REASON_ENCLS] = wants_encls,
        [EXIT_REASON_RDSEED] = wants_rdseed,
        [EXIT_REASON_XSAVES] = wants_xsaves,
        [EXIT_REASON_XRSTORS] = wants_xsaves,
        [EXIT_REASON_UMWAIT] = wants_rdtsc,
        [EXIT_REASON_TPAUSE] = wants_rdtsc,
};

static bool asks_l1(const struct question *q, uint32_t reason)
{
	if (reason >= EXIT_REASON_LIMIT)
		return false;
	if (wants[reason])
		return wants[reason](q);
	return exit_reason_infos[reason].name && exit_reason_infos[reason].owner == EXIT_OWNER_L1;
}

/* ---- EPT, 26.3.3.2 ---- */

/* What L1 is told of a violation: the permissions of its own EPT12, not of EPT02 (table 28-7). */
static enum nested_owner route_ept(struct nested *nested, enum ept02_verdict *verdict, uint64_t *device_gpa)
{
	const struct vmcs *v = &nested->checked12;
	struct vmcs *vmcs02 = &nested->vmcs02;
	const uint64_t l2_gpa = vmcs02->field[VMCS_GUEST_PHYSICAL_ADDRESS];
	const bool violation = (vmcs02->field[VMCS_EXIT_REASON] & 0xffff) == EXIT_REASON_EPT_VIOLATION;
	uint64_t qualification = violation ? vmcs02->field[VMCS_EXIT_QUALIFICATION] : EPT_VIOLATION_READ;
	uint64_t allowed = 0;

	if (!PROC2(ENABLE_EPT)) {
		/* L2 runs on EPT01, which maps all of L1's RAM: what is not there is L0's device. */
		*verdict = EPT02_DEVICE;
		*device_gpa = l2_gpa;
		return NESTED_TO_L0;
	}
	*verdict = ept02_violation(nested, FIELD(EPT_POINTER), l2_gpa, qualification & EPT_RWX, &allowed, device_gpa);
	switch (*verdict) {
	case EPT02_REFLECT_VIOLATION:
		qualification &= ~(EPT_RWX << EPT_VIOLATION_ALLOWED_SHIFT);
		qualification |= allowed << EPT_VIOLATION_ALLOWED_SHIFT;
		vmcs02->field[VMCS_EXIT_REASON] = EXIT_REASON_EPT_VIOLATION;
		vmcs02->field[VMCS_EXIT_QUALIFICATION] = qualification;
		return NESTED_TO_L1;
	case EPT02_REFLECT_MISCONFIGURATION:
		vmcs02->field[VMCS_EXIT_REASON] = EXIT_REASON_EPT_MISCONFIGURATION;
		vmcs02->field[VMCS_EXIT_QUALIFICATION] = 0;
		return NESTED_TO_L1;
	default:
		return NESTED_TO_L0;
	}
}

enum nested_owner nested_route(
        struct nested *nested, const struct guest_regs *regs, enum ept02_verdict *verdict, uint64_t *device_gpa)
{
	const struct vmcs *vmcs02 = &nested->vmcs02;
	const uint32_t reason = (uint32_t)vmcs02->field[VMCS_EXIT_REASON] & 0xffff;
	const struct question question = {.nested = nested,
	        .v = &nested->checked12,
	        .regs = regs,
	        .qualification = vmcs02->field[VMCS_EXIT_QUALIFICATION]};
	enum nested_owner owner;

	*verdict = EPT02_REPAIRED;
	/* An exit has come: what L0 waited for is asked for again by nested_deliver_interrupt, if it still is. */
	if (nested->pending_kind) {
		nested->pending_kind = 0;
		merge_update_controls(nested);
	}
	if (reason == EXIT_REASON_EPT_VIOLATION || reason == EXIT_REASON_EPT_MISCONFIGURATION)
		owner = route_ept(nested, verdict, device_gpa);
	else
		owner = asks_l1(&question, reason) ? NESTED_TO_L1 : NESTED_TO_L0;
	nested->counters[COUNTER_L2_EXITS]++;
	if (owner == NESTED_TO_L0)
		nested->counters[COUNTER_L0_ONLY]++;
	return owner;
}
