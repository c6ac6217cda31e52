/* SPDX-License-Identifier: Apache-2.0 */
/* Life of struct nested, and what passes between vmcs12 in L1's memory and the engine's own copy of it. */
#include "nested.h"

#include <errno.h>
#include <string.h>

#include "shadow.h"
#include "transition.h"

static bool config_holds(const struct nested_config *config)
{
	if (!config->vmcs01 || !config->ops.l1_page)
		return false;
	if (config->ept02_mode == EPT02_LAZY && !config->machine.ept02_lazy)
		return false;
	if (config->shadow_mode > SHADOW_DIRECT)
		return false;
	if (config->shadow_mode == SHADOW_SHADOW) {
		if (!config->vmread_bitmap.hva || !config->vmwrite_bitmap.hva || !config->shadow_region.hva)
			return false;
		/* A paravirtual L1 looks into bitmaps and region itself; a real one needs a CPU that does. */
		if (config->machine.real_vmx && !config->machine.hardware_shadowing)
			return false;
	}
	return true;
}

static void forget_l1_state(struct nested *nested)
{
	nested->vmcs12 = NULL;
	nested->vmcs12_gpa = ~0ull;
	nested->vmxon_gpa = ~0ull;
	nested->vmx_on = false;
	nested->in_l2 = false;
	nested->merge_all = true;
	nested->pending_kind = 0;
	nested->last_vmcs12 = NULL;
	nested->failed_check = NULL;
	nested->host_state_loaded = false;
	nested->vmx_abort = 0;
	nested->feature_control = nested->config.feature_control;
	memset(&nested->checked12, 0, sizeof(nested->checked12));
}

int nested_init(struct nested *nested, const struct nested_config *config)
{
	int error;

	if (!config_holds(config))
		return -EINVAL;
	memset(nested, 0, sizeof(*nested));
	nested->config = *config;
	caps_offer(&nested->caps, &config->machine);
	nested->vmcs02.revision_id = VMCS_REVISION_ID;
	nested->vmcs02.field[VMCS_VMCS_LINK_POINTER] = ~0ull;
	error = ept02_init(nested);
	if (error)
		return error;
	forget_l1_state(nested);
	if (config->shadow_mode == SHADOW_SHADOW)
		shadow_init(nested);
	return 0;
}

void nested_fini(struct nested *nested)
{
	ept02_fini(nested);
	forget_l1_state(nested);
}

void nested_reset(struct nested *nested)
{
	shadow_stop(nested);
	ept02_invalidate(nested, ~0ull);
	forget_l1_state(nested);
}

bool nested_read_msr(const struct nested *nested, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_IA32_FEATURE_CONTROL) {
		*value = nested->feature_control;
		return true;
	}
	return caps_read_msr(&nested->caps, msr, value);
}

bool nested_write_msr(struct nested *nested, uint32_t msr, uint64_t value)
{
	/* The capability MSRs are read-only; SMX is not there, so its enables are reserved. */
	if (msr != MSR_IA32_FEATURE_CONTROL || (nested->feature_control & FEATURE_CONTROL_LOCK) ||
	        (value & ~(FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX)))
		return false;
	nested->feature_control = value;
	return true;
}

/* One field from L1's memory, read once; bits its width does not have are dropped whoever wrote them. */
static void take_field(struct nested *nested, unsigned field)
{
	const uint64_t value = *(volatile const uint64_t *)&nested->vmcs12->field[field];
	const uint32_t encoding = vmcs_field_infos[field].encoding;

	nested->checked12.field[field] = value & vmcs_width_mask(vmcs_encoding_width(encoding));
	if (vmcs_encoding_type(encoding) == VMCS_TYPE_HOST || field == VMCS_PRIMARY_VM_EXIT_CONTROLS)
		nested->host_state_loaded = false;
}

void nested_snapshot_vmcs12(struct nested *nested)
{
	struct vmcs *vmcs12 = nested->vmcs12;
	struct vmcs_mask *taken = &nested->checked12.dirty;

	if (nested->last_vmcs12 != vmcs12)
		nested->merge_all = true;
	if (nested->merge_all || nested->config.copy_everything) {
		nested_fetch(nested);
		for (unsigned field = 0; field < VMCS_FIELD_COUNT; field++) {
			take_field(nested, field);
			vmcs_mask_set(taken, (enum vmcs_field)field);
		}
		memset(&vmcs12->dirty, 0, sizeof(vmcs12->dirty));
		memset(&nested->checked12.stale, 0, sizeof(nested->checked12.stale));
		return;
	}
	if (merge_needs_fetch(nested))
		nested_fetch(nested);
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		uint64_t bits = *(volatile uint64_t *)&vmcs12->dirty.word[word];

		/* A field L1 wrote is no longer the machine's, whatever the stale mask in L1's memory says. */
		nested->checked12.stale.word[word] =
		        vmcs12->stale.word[word] & nested->config.machine.on_demand.word[word] & ~bits;
		if (bits == 0)
			continue;
		vmcs12->dirty.word[word] = 0;
		for (; bits != 0; bits &= bits - 1) {
			const unsigned field = word * 64 + (unsigned)__builtin_ctzll(bits);

			if (field >= VMCS_FIELD_COUNT)
				break;
			take_field(nested, field);
			vmcs_mask_set(taken, (enum vmcs_field)field);
		}
	}
}

void nested_fetch(struct nested *nested)
{
	struct vmcs *vmcs12 = nested->vmcs12;
	struct vmcs *vmcs02 = &nested->vmcs02;
	struct vmcs_mask wanted;
	uint64_t any = 0, in_machine = 0;

	if (!vmcs12)
		return;
	/* vmcs12 is L1's to scribble in (vmcs=direct): only fields this machine can leave behind are looked at, and a
	 * field L1 wrote is L1's even if it left the mark. */
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		wanted.word[word] = vmcs12->stale.word[word] & nested->config.machine.on_demand.word[word] &
		                    ~vmcs12->dirty.word[word];
		any |= wanted.word[word];
		in_machine |= wanted.word[word] & vmcs02->stale.word[word];
	}
	memset(&vmcs12->stale, 0, sizeof(vmcs12->stale));
	/* vmcs02 belongs to the vmcs12 it was last made from; marks in another one are left-overs of its memory. */
	if (any == 0 || nested->last_vmcs12 != vmcs12)
		return;
	nested->counters[COUNTER_STALE_FETCHES]++;
	if (in_machine && nested->config.ops.fetch)
		nested->config.ops.fetch(nested->config.ops.ctx, vmcs02);
	for (unsigned word = 0; word < VMCS_MASK_WORDS; word++) {
		for (uint64_t bits = wanted.word[word]; bits != 0; bits &= bits - 1) {
			const unsigned field = word * 64 + (unsigned)__builtin_ctzll(bits);
			const uint64_t value = transition_guest12(nested, (enum vmcs_field)field);

			nested->checked12.field[field] = value;
			vmcs12->field[field] = value;
		}
	}
}
