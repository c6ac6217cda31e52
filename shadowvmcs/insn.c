/* SPDX-License-Identifier: Apache-2.0 */
/* The VMX instructions L1 executes, on decoded operands. SDM vol. 3, chapter 31, whose pseudo code sets the order of
 * the conditions here. VMLAUNCH and VMRESUME go on in entry.c. */
#include "insn.h"

#include <string.h>

#include "ept12.h"
#include "shadow.h"

#define MISC_VMWRITE_ANY (1ull << 29) /* IA32_VMX_MISC: VMWRITE to exit-information fields; SDM vol. 3, A.6 */

/* ---- L1's state ---- */

uint64_t insn_l1_field(const struct nested *nested, enum vmcs_field field)
{
	struct vmcs *vmcs01 = nested->config.vmcs01;

	if (vmcs_mask_has(&vmcs01->stale, field) && nested->config.ops.fetch)
		nested->config.ops.fetch(nested->config.ops.ctx, vmcs01);
	return vmcs_get(vmcs01, field);
}

bool insn_l1_is_64bit(const struct nested *nested)
{
	return (insn_l1_field(nested, VMCS_GUEST_IA32_EFER) & EFER_LMA) &&
	       (insn_l1_field(nested, VMCS_GUEST_CS_ACCESS_RIGHTS) & AR_L);
}

/* A control register as L1 sees it: bits L0 keeps to itself come from the read shadow (SDM vol. 3, 25.6.6). */
static uint64_t visible(const struct nested *nested, enum vmcs_field reg, enum vmcs_field mask, enum vmcs_field shadow)
{
	const struct vmcs *vmcs01 = nested->config.vmcs01;
	const uint64_t kept = vmcs_get(vmcs01, mask);

	return (insn_l1_field(nested, reg) & ~kept) | (vmcs_get(vmcs01, shadow) & kept);
}

static uint64_t visible_cr0(const struct nested *nested)
{
	return visible(nested, VMCS_GUEST_CR0, VMCS_CR0_GUEST_HOST_MASK, VMCS_CR0_READ_SHADOW);
}

static uint64_t visible_cr4(const struct nested *nested)
{
	return visible(nested, VMCS_GUEST_CR4, VMCS_CR4_GUEST_HOST_MASK, VMCS_CR4_READ_SHADOW);
}

static unsigned cpl(const struct nested *nested)
{
	return insn_l1_field(nested, VMCS_GUEST_SS_ACCESS_RIGHTS) >> AR_DPL_SHIFT & 3;
}

static bool fixed_bits_hold(const struct nested *nested, uint64_t value, uint32_t fixed0_msr)
{
	const uint64_t fixed0 = nested->caps.msr[fixed0_msr - VMX_MSR_FIRST];
	const uint64_t fixed1 = nested->caps.msr[fixed0_msr + 1 - VMX_MSR_FIRST];

	return (value & fixed0) == fixed0 && (value & ~fixed1) == 0;
}

/* ---- outcomes ---- */

static void succeed(struct vmx_outcome *outcome)
{
	outcome->kind = VMX_SUCCEED;
}

void insn_fault(struct vmx_outcome *outcome, uint8_t vector, uint32_t error_code)
{
	outcome->kind = VMX_FAULT;
	outcome->vector = vector;
	outcome->has_error = true;
	outcome->error = error_code;
}

void insn_undefined(struct vmx_outcome *outcome)
{
	outcome->kind = VMX_FAULT;
	outcome->vector = VECTOR_UD;
	outcome->has_error = false;
}

void insn_fail_invalid(struct vmx_outcome *outcome)
{
	outcome->kind = VMX_FAIL_INVALID;
}

void insn_fail(struct nested *nested, enum vmx_error error, struct vmx_outcome *outcome)
{
	if (!nested->vmcs12) {
		insn_fail_invalid(outcome);
		return;
	}
	outcome->kind = VMX_FAIL_VALID;
	outcome->error = error;
	nested->vmcs12->field[VMCS_VM_INSTRUCTION_ERROR] = error;
	nested->checked12.field[VMCS_VM_INSTRUCTION_ERROR] = error;
	shadow_put(nested, VMCS_VM_INSTRUCTION_ERROR);
}

/* ---- conditions that come before any operand ---- */

/* A paravirtual L1 runs on a CPU without VMX: there is no CR4.VMXE, and I/O privilege guards the ports instead. */
static bool mode_allows(const struct nested *nested, enum exit_reason reason)
{
	if (!nested->config.machine.real_vmx)
		return true;
	if (!(visible_cr0(nested) & CR0_PE) || (insn_l1_field(nested, VMCS_GUEST_RFLAGS) & RFLAGS_VM))
		return false;
	if ((insn_l1_field(nested, VMCS_GUEST_IA32_EFER) & EFER_LMA) &&
	        !(insn_l1_field(nested, VMCS_GUEST_CS_ACCESS_RIGHTS) & AR_L))
		return false;
	return reason != EXIT_REASON_VMXON || (visible_cr4(nested) & CR4_VMXE);
}

/* SDM vol. 3, 24.7: what VMXON wants of a CPU that is not yet in VMX operation. */
static bool may_enter_vmx_operation(const struct nested *nested)
{
	const uint64_t wanted = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;

	if (!nested->config.machine.real_vmx)
		return true;
	return fixed_bits_hold(nested, visible_cr0(nested), MSR_IA32_VMX_CR0_FIXED0) &&
	       fixed_bits_hold(nested, visible_cr4(nested), MSR_IA32_VMX_CR4_FIXED0) &&
	       (nested->feature_control & wanted) == wanted;
}

static bool offered(const struct nested *nested, enum exit_reason reason)
{
	const uint64_t ept_vpid = nested->caps.msr[MSR_IA32_VMX_EPT_VPID_CAP - VMX_MSR_FIRST];

	switch (reason) {
	case EXIT_REASON_INVEPT:
		return ept_vpid & EPT_CAP_INVEPT;
	case EXIT_REASON_INVVPID:
		return ept_vpid & EPT_CAP_INVVPID;
	case EXIT_REASON_VMFUNC: /* VM functions exist in VMX non-root operation only */
		return false;
	default:
		return true;
	}
}

bool insn_allowed(const struct nested *nested, enum exit_reason reason, struct vmx_outcome *outcome)
{
	if (!mode_allows(nested, reason) || (!nested->vmx_on && reason != EXIT_REASON_VMXON) ||
	        !offered(nested, reason)) {
		insn_undefined(outcome);
		return false;
	}
	if ((nested->config.machine.real_vmx && cpl(nested) > 0) ||
	        (reason == EXIT_REASON_VMXON && !nested->vmx_on && !may_enter_vmx_operation(nested))) {
		insn_fault(outcome, VECTOR_GP, 0);
		return false;
	}
	return true;
}

/* ---- VMX regions ---- */

static bool address_holds(const struct nested *nested, uint64_t gpa)
{
	return (gpa & 0xfff) == 0 && (gpa & ~caps_physical_mask(&nested->config.machine)) == 0;
}

static struct vmcs *region_at(const struct nested *nested, uint64_t gpa)
{
	return nested->config.ops.l1_page(nested->config.ops.ctx, gpa);
}

/* Bit 31 marks a shadow VMCS, which no L1 may use: VMCS shadowing is not offered. Where there is no RAM the CPU would
 * read all ones. */
static bool revision_holds(const struct vmcs *region)
{
	return region && *(volatile const uint32_t *)&region->revision_id == VMCS_REVISION_ID;
}

/* vmcs12 is no longer current. All L1 wrote and all L2 left must be in its memory before that. */
static void release_current(struct nested *nested)
{
	if (!nested->vmcs12)
		return;
	shadow_to_vmcs12(nested);
	nested_fetch(nested);
	shadow_stop(nested);
	nested->vmcs12 = NULL;
	nested->vmcs12_gpa = ~0ull;
}

static void vmxon(struct nested *nested, const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	if (nested->vmx_on) {
		insn_fail(nested, VMX_ERROR_VMXON_IN_ROOT, outcome);
		return;
	}
	if (!address_holds(nested, operands->gpa) || !revision_holds(region_at(nested, operands->gpa))) {
		insn_fail_invalid(outcome);
		return;
	}
	nested->vmx_on = true;
	nested->vmxon_gpa = operands->gpa;
	succeed(outcome);
}

static void vmxoff(struct nested *nested, struct vmx_outcome *outcome)
{
	release_current(nested);
	nested->vmx_on = false;
	nested->vmxon_gpa = ~0ull;
	succeed(outcome);
}

static void vmclear(struct nested *nested, const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	struct vmcs *region;

	if (!address_holds(nested, operands->gpa)) {
		insn_fail(nested, VMX_ERROR_VMCLEAR_ADDRESS, outcome);
		return;
	}
	if (operands->gpa == nested->vmxon_gpa) {
		insn_fail(nested, VMX_ERROR_VMCLEAR_VMXON_POINTER, outcome);
		return;
	}
	if (operands->gpa == nested->vmcs12_gpa)
		release_current(nested);
	region = region_at(nested, operands->gpa);
	if (region) {
		region->launched = 0;
		memset(&region->dirty, 0, sizeof(region->dirty));
		memset(&region->stale, 0, sizeof(region->stale));
		/* L1 may now use the memory for anything: whatever stands there later is read anew. */
		if (region == nested->last_vmcs12)
			nested->last_vmcs12 = NULL;
	}
	succeed(outcome);
}

static void vmptrld(struct nested *nested, const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	struct vmcs *region;

	if (!address_holds(nested, operands->gpa)) {
		insn_fail(nested, VMX_ERROR_VMPTRLD_ADDRESS, outcome);
		return;
	}
	if (operands->gpa == nested->vmxon_gpa) {
		insn_fail(nested, VMX_ERROR_VMPTRLD_VMXON_POINTER, outcome);
		return;
	}
	region = region_at(nested, operands->gpa);
	if (!revision_holds(region)) {
		insn_fail(nested, VMX_ERROR_VMPTRLD_REVISION, outcome);
		return;
	}
	if (region != nested->vmcs12) {
		release_current(nested);
		nested->vmcs12 = region;
		nested->vmcs12_gpa = operands->gpa;
		shadow_start(nested);
	}
	succeed(outcome);
}

/* ---- VMREAD and VMWRITE ---- */

/* The field an encoding names; -1 with the outcome when there is none. */
static int field_of_operand(struct nested *nested, const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	int field;

	if (!nested->vmcs12) {
		insn_fail_invalid(outcome);
		return -1;
	}
	field = operands->encoding >> 32 ? -1 : vmcs_field_of_encoding((uint32_t)operands->encoding);
	if (field < 0)
		insn_fail(nested, VMX_ERROR_UNSUPPORTED_COMPONENT, outcome);
	return field;
}

static void vmread(struct nested *nested, const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	const int field = field_of_operand(nested, operands, outcome);

	if (field < 0)
		return;
	if (vmcs_mask_has(&nested->vmcs12->stale, (enum vmcs_field)field))
		nested_fetch(nested);
	shadow_take(nested, (unsigned)field);
	vmcs_read_encoding(nested->vmcs12, (uint32_t)operands->encoding, &outcome->value);
	succeed(outcome);
}

static void vmwrite(struct nested *nested, const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	const int field = field_of_operand(nested, operands, outcome);
	const uint32_t encoding = (uint32_t)operands->encoding;

	if (field < 0)
		return;
	if (vmcs_encoding_type(encoding) == VMCS_TYPE_READ_ONLY &&
	        !(nested->caps.msr[MSR_IA32_VMX_MISC - VMX_MSR_FIRST] & MISC_VMWRITE_ANY)) {
		insn_fail(nested, VMX_ERROR_READ_ONLY_COMPONENT, outcome);
		return;
	}
	if (vmcs_mask_has(&nested->vmcs12->stale, (enum vmcs_field)field)) {
		if (vmcs_encoding_is_high(encoding))
			nested_fetch(nested); /* the low half is in the machine */
		/* What the machine has counts no more, even if the value it had before L2 ran is written again. */
		vmcs_mask_clear(&nested->vmcs12->stale, (enum vmcs_field)field);
		vmcs_mask_set(&nested->vmcs12->dirty, (enum vmcs_field)field);
	}
	shadow_take(nested, (unsigned)field);
	vmcs_write_encoding(nested->vmcs12, encoding, operands->value);
	shadow_put(nested, (unsigned)field);
	succeed(outcome);
}

/* ---- INVEPT and INVVPID ---- */

/* Type n is supported when bit `first` + n of IA32_VMX_EPT_VPID_CAP is set. */
static bool type_supported(const struct nested *nested, uint64_t type, unsigned first, unsigned last_type)
{
	const uint64_t caps = nested->caps.msr[MSR_IA32_VMX_EPT_VPID_CAP - VMX_MSR_FIRST];

	return type <= last_type && (caps >> (first + type) & 1);
}

static void invept(struct nested *nested, const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	enum { SINGLE = 1, ALL = 2 };

	/* Types 1 and 2 have bits 25 and 26; there is no type 0. */
	if (operands->type == 0 || !type_supported(nested, operands->type, 24, ALL) ||
	        (operands->type == SINGLE && !ept12_eptp_valid(nested, operands->descriptor[0]))) {
		insn_fail(nested, VMX_ERROR_INVALIDATION_OPERAND, outcome);
		return;
	}
	nested->counters[COUNTER_INVEPT]++;
	ept02_invalidate(nested, operands->type == SINGLE ? operands->descriptor[0] : ~0ull);
	succeed(outcome);
}

static void invvpid(struct nested *nested, const struct vmx_operands *operands, struct vmx_outcome *outcome)
{
	enum { ADDRESS = 0, SINGLE = 1, ALL = 2, SINGLE_KEEP_GLOBALS = 3 };
	const uint64_t vpid12 = operands->descriptor[0];

	if (!type_supported(nested, operands->type, 40, SINGLE_KEEP_GLOBALS) || vpid12 > 0xffff ||
	        (operands->type != ALL && vpid12 == 0) ||
	        (operands->type == ADDRESS && !x86_canonical(operands->descriptor[1]))) {
		insn_fail(nested, VMX_ERROR_INVALIDATION_OPERAND, outcome);
		return;
	}
	nested->counters[COUNTER_INVVPID]++;
	/* Flushing more than asked is allowed (SDM vol. 3, 29.4.3.1): one address or non-globals become the whole VPID.
	 */
	if (nested->config.ops.flush_vpid)
		nested->config.ops.flush_vpid(
		        nested->config.ops.ctx, operands->type == ALL ? 0 : nested_vpid02(nested, (uint16_t)vpid12));
	succeed(outcome);
}

void nested_vmx_instruction(struct nested *nested, enum exit_reason reason, const struct vmx_operands *operands,
        struct vmx_outcome *outcome)
{
	nested->counters[COUNTER_VMX_INSTRUCTIONS]++;
	*outcome = (struct vmx_outcome){0};
	if (!insn_allowed(nested, reason, outcome))
		return;
	switch (reason) {
	case EXIT_REASON_VMXON:
		vmxon(nested, operands, outcome);
		return;
	case EXIT_REASON_VMXOFF:
		vmxoff(nested, outcome);
		return;
	case EXIT_REASON_VMCLEAR:
		vmclear(nested, operands, outcome);
		return;
	case EXIT_REASON_VMPTRLD:
		vmptrld(nested, operands, outcome);
		return;
	case EXIT_REASON_VMPTRST:
		outcome->value = nested->vmcs12_gpa;
		succeed(outcome);
		return;
	case EXIT_REASON_VMREAD:
		vmread(nested, operands, outcome);
		return;
	case EXIT_REASON_VMWRITE:
		vmwrite(nested, operands, outcome);
		return;
	case EXIT_REASON_VMLAUNCH:
	case EXIT_REASON_VMRESUME:
		insn_enter(nested, reason, outcome);
		return;
	case EXIT_REASON_INVEPT:
		invept(nested, operands, outcome);
		return;
	case EXIT_REASON_INVVPID:
		invvpid(nested, operands, outcome);
		return;
	case EXIT_REASON_VMCALL:
		insn_fail(nested, VMX_ERROR_VMCALL_IN_ROOT, outcome);
		return;
	default:
		insn_undefined(outcome);
	}
}
