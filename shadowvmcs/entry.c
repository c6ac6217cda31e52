/* SPDX-License-Identifier: Apache-2.0 */
/* VMLAUNCH and VMRESUME: the order in which an entry is checked, merged and made. SDM vol. 3, chapter 27 and 31.3. */
#include "insn.h"

#include "shadow.h"
#include "transition.h"

/*
 * Checks look only at what changed: they held for everything else when L2 was last entered from this vmcs12, and
 * what L2 did since cannot break them. After a failed entry the fields of checked12.dirty are looked at again.
 */
static const char *check_controls(const struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;

	return nested->merge_all ? checks_controls(nested, v) : checks_controls_changed(nested, v, &v->dirty);
}

static const char *check_host_state(const struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;

	return nested->merge_all ? checks_host_state(nested, v) : checks_host_state_changed(nested, v, &v->dirty);
}

static const char *check_guest_state(const struct nested *nested, uint64_t *qualification)
{
	const struct vmcs *v = &nested->checked12;

	return nested->merge_all ? checks_guest_state(nested, v, qualification)
	                         : checks_guest_state_changed(nested, v, &v->dirty, qualification);
}

/* SDM vol. 3, 27.8: L1 goes on at its host state, with the reason in vmcs12. */
static void fail_entry(struct nested *nested, uint32_t reason, uint64_t qualification, struct vmx_outcome *outcome)
{
	nested->counters[COUNTER_ENTRY_FAILURES]++;
	nested_reflect_made(nested, reason | EXIT_REASON_ENTRY_FAILURE, qualification, 0, 0);
	outcome->kind = VMX_ENTRY_FAILED;
}

static void fail_check(struct nested *nested, enum vmx_error error, struct vmx_outcome *outcome)
{
	nested->counters[COUNTER_ENTRY_FAILURES]++;
	insn_fail(nested, error, outcome);
}

static bool launch_state_holds(struct nested *nested, enum exit_reason reason, struct vmx_outcome *outcome)
{
	if (insn_l1_field(nested, VMCS_GUEST_INTERRUPTIBILITY_STATE) & INTERRUPTIBILITY_MOV_SS)
		insn_fail(nested, VMX_ERROR_MOV_SS_BLOCKING, outcome);
	else if (reason == EXIT_REASON_VMLAUNCH && nested->vmcs12->launched)
		insn_fail(nested, VMX_ERROR_VMLAUNCH_NOT_CLEAR, outcome);
	else if (reason == EXIT_REASON_VMRESUME && !nested->vmcs12->launched)
		insn_fail(nested, VMX_ERROR_VMRESUME_NOT_LAUNCHED, outcome);
	else
		return true;
	return false;
}

/* The MSR list is processed after guest state is loaded, so its values win over those of the guest-state area. */
static uint32_t load_msrs(struct nested *nested)
{
	const struct vmcs *v = &nested->checked12;
	const uint32_t count = (uint32_t)vmcs_get(v, VMCS_VM_ENTRY_MSR_LOAD_COUNT);

	if (count == 0)
		return 0;
	return nested_msr_load(nested, &nested->vmcs02, vmcs_get(v, VMCS_VM_ENTRY_MSR_LOAD_ADDRESS), count);
}

/* RIP alone was written, to `rip`: check_rip_rflags and what else is looked at whatever is dirty, for an entry in
 * IA-32e mode (plain_entries in merge.c) that injects nothing. RFLAGS is as L2 left it. */
static bool rip_check_holds(const struct nested *nested, uint64_t rip)
{
	const struct vmcs *v = &nested->checked12;
	const bool cs_known = !vmcs_mask_has(&nested->vmcs02.stale, VMCS_GUEST_CS_ACCESS_RIGHTS);

	if (FIELD(VM_ENTRY_INTERRUPTION_INFORMATION) & INTR_INFO_VALID || FIELD(VMCS_LINK_POINTER) != ~0ull)
		return false;
	return rip >> 32 == 0 || (x86_canonical(rip) && !(cs_known && !(FIELD(GUEST_CS_ACCESS_RIGHTS) & AR_L)));
}

/*
 * An L1 that emulated an instruction comes back with a new RIP and nothing else: what shadow_to_vmcs12, the snapshot,
 * the checks and the merge would do then, in one. It stands on the entry before: that one passed all checks with the
 * same fields (merge.plain_entries), and every change since has a mark or is compared here or in merge_rip. False: the
 * long way is to be gone, and nothing that it looks at has changed.
 */
static bool enter_with_rip(struct nested *nested)
{
	struct vmcs *vmcs12 = nested->vmcs12, *checked12 = &nested->checked12;
	const uint64_t rip_bit = 1ull << VMCS_GUEST_RIP % 64;
	bool in_region, dirty;
	uint64_t others = 0, rip;

	if (!nested->merge.plain_entries || nested->last_vmcs12 != vmcs12 || !transition_l1_long_mode(nested) ||
	        !shadow_rip_alone(nested, &in_region))
		return false;
	dirty = *(volatile uint64_t *)&vmcs12->dirty.word[VMCS_GUEST_RIP / 64] & rip_bit;
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		const uint64_t mine = word == VMCS_GUEST_RIP / 64 ? rip_bit : 0;
		others |= *(volatile uint64_t *)&vmcs12->dirty.word[word] & ~mine;
		/* As nested_snapshot_vmcs12, which does it again if the long way is gone. */
		checked12->stale.word[word] =
		        vmcs12->stale.word[word] & nested->config.machine.on_demand.word[word] & ~(dirty ? mine : 0);
	}
	rip = in_region ? shadow_rip(nested) : *(volatile uint64_t *)&vmcs12->field[VMCS_GUEST_RIP];
	const bool taken = in_region && rip != vmcs12->field[VMCS_GUEST_RIP];
	dirty |= taken;
	if (others != 0 || !rip_check_holds(nested, dirty ? rip : 0) || !merge_rip(nested, rip, dirty))
		return false;
	if (in_region)
		shadow_take_rip_mark(nested);
	if (taken) {
		vmcs12->field[VMCS_GUEST_RIP] = rip;
		nested->counters[COUNTER_SHADOW_FIELDS_TO_VMCS12]++;
	}
	if (dirty) {
		vmcs12->dirty.word[VMCS_GUEST_RIP / 64] = 0;
		checked12->field[VMCS_GUEST_RIP] = rip;
	}
	nested->in_l2 = true;
	nested->counters[COUNTER_NESTED_ENTRIES]++;
	return true;
}

bool nested_resume(struct nested *nested)
{
	const struct vmcs *vmcs01 = nested->config.vmcs01;

	/* insn_allowed and launch_state_holds, of a paravirtual L1. */
	if (nested->config.machine.real_vmx || !nested->vmx_on || !nested->vmcs12 || !nested->vmcs12->launched ||
	        vmcs_mask_has(&vmcs01->stale, VMCS_GUEST_INTERRUPTIBILITY_STATE) ||
	        (vmcs01->field[VMCS_GUEST_INTERRUPTIBILITY_STATE] & INTERRUPTIBILITY_MOV_SS) || !enter_with_rip(nested))
		return false;
	nested->counters[COUNTER_VMX_INSTRUCTIONS]++;
	nested->failed_check = NULL;
	return true;
}

void insn_enter(struct nested *nested, enum exit_reason reason, struct vmx_outcome *outcome)
{
	uint64_t qualification = 0;
	uint32_t failed_msr;
	int error;

	nested->failed_check = NULL;
	if (!nested->vmcs12) {
		insn_fail_invalid(outcome);
		return;
	}
	if (!launch_state_holds(nested, reason, outcome))
		return;
	if (enter_with_rip(nested)) {
		outcome->kind = VMX_ENTERED;
		return;
	}
	nested->merge.plain_entries = false; /* until this entry succeeds */
	shadow_to_vmcs12(nested);
	nested_snapshot_vmcs12(nested);

	nested->failed_check = check_controls(nested);
	if (nested->failed_check) {
		fail_check(nested, VMX_ERROR_ENTRY_CONTROLS, outcome);
		return;
	}
	nested->failed_check = check_host_state(nested);
	if (nested->failed_check) {
		fail_check(nested, VMX_ERROR_ENTRY_HOST_STATE, outcome);
		return;
	}
	nested->failed_check = check_guest_state(nested, &qualification);
	if (nested->failed_check) {
		fail_entry(nested, EXIT_REASON_ENTRY_FAILURE_GUEST_STATE, qualification, outcome);
		return;
	}
	error = merge_vmcs02(nested);
	if (error) {
		outcome->kind = VMX_REFUSED;
		outcome->error = (uint32_t)-error;
		return;
	}
	nested->in_l2 = true;
	failed_msr = load_msrs(nested);
	if (failed_msr) {
		nested->merge_all = true; /* earlier entries of the list may stand in vmcs02 */
		nested->failed_check = "every entry of the VM-entry MSR-load list can be loaded";
		fail_entry(nested, EXIT_REASON_ENTRY_FAILURE_MSR_LOADING, failed_msr, outcome);
		return;
	}
	nested->vmcs12->launched = 1;
	nested->counters[COUNTER_NESTED_ENTRIES]++;
	outcome->kind = VMX_ENTERED;
}
