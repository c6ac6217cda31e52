/* SPDX-License-Identifier: Apache-2.0 */
/* VMLAUNCH and VMRESUME: the order in which an entry is checked, merged and made. SDM vol. 3, chapter 27 and 31.3. */
#include "insn.h"

#include "shadow.h"

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
